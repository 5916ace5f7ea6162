//! Errors of the upstream, as seen by the caller, the key and the log.

use crate::support::{CHAT, Setup, TestApp, key};
use fake_gemini::{Condition, Framing, Reply, errors};
use std::time::Duration;

const MODEL: &str = "gemini-2.5-flash";
const SOON: Duration = Duration::from_secs(41);

/// What a failure does: `(status, code)` for the caller, `status|consecutive_failures` of the key,
/// and the log row's status and outcome.
#[derive(Debug, Clone, Copy)]
struct Effects<'a> {
    caller: (u16, &'a str),
    key_state: &'a str,
    logged: (u16, &'a str),
}

/// Checks the effects of a reply on a new pool with one key.
async fn check(reply: Reply, effects: Effects<'_>) {
    let app = Setup::keys(1).start().await;
    app.script(reply);
    check_call(&app, effects).await;
}

/// The same, for an error that the fake raises by itself.
async fn check_call(app: &TestApp, effects: Effects<'_>) {
    let answer = app.chat(CHAT).await;
    let caller = (answer.status, &*answer.error_code());
    assert_eq!(caller, effects.caller, "{effects:?}: {}", answer.body);
    let key = app.key_rows("status || '|' || consecutive_failures");
    assert_eq!(key, [effects.key_state], "{effects:?}");
    let rows = app.log_rows("success, response_status, outcome, attempt, error_message <> ''");
    let (status, outcome) = effects.logged;
    assert_eq!(rows, [format!("0|{status}|{outcome}|1|1")], "{effects:?}");
    assert_eq!(app.gemini.calls().len(), 1, "{effects:?}");
    let calls = app.key_rows("total_calls, success_calls");
    assert_eq!(calls, ["1|0"], "{effects:?}");
}

/// The effects of a failure that is not the key's fault.
fn blameless<'a>(caller: (u16, &'a str), logged: (u16, &'a str)) -> Effects<'a> {
    Effects {
        caller,
        key_state: "1|0",
        logged,
    }
}

#[tokio::test]
async fn a_refused_key_is_a_503() {
    let exhausted = (503, "upstream_credentials_exhausted");
    let rejected = (503, "upstream_key_rejected");
    let denied = (403, "permission_denied");
    let location = (400, "failed_precondition");
    for condition in Condition::ALL {
        let (caller, key_state, status, outcome) = match condition {
            Condition::Valid => continue,
            Condition::Invalid | Condition::Expired | Condition::NotFound => {
                (exhausted, "0|1", 400, "key_rejected")
            }
            Condition::Unauthenticated => (exhausted, "0|1", 401, "key_rejected"),
            Condition::Leaked | Condition::Suspended => (exhausted, "0|1", 403, "key_rejected"),
            Condition::ServiceBlocked => (exhausted, "2|0", 403, "key_restricted"),
            Condition::ProjectDenied | Condition::ServiceDisabled => {
                (rejected, "1|1", 403, "project_refused")
            }
            Condition::PermissionDenied => (denied, "1|0", 403, "resource_refused"),
            Condition::LocationUnsupported => (location, "1|0", 400, "egress_refused"),
        };
        let app = Setup::keys(1).start().await;
        app.gemini.set_condition(&key(1), condition);
        let effects = Effects {
            caller,
            key_state,
            logged: (status, outcome),
        };
        check_call(&app, effects).await;
    }
}

#[tokio::test]
async fn an_exhausted_quota_cools_and_is_not_the_keys_fault() {
    let per_minute = errors::quota_per_minute(MODEL, 10, SOON);
    let tokens = errors::input_tokens_per_minute(MODEL, 250_000, SOON);
    let service_control = errors::service_control("000000000001", 100);
    for (outcome, error) in [
        ("quota_per_minute", per_minute),
        ("quota_per_day", errors::quota_per_day(MODEL, 250, SOON)),
        ("quota_per_minute", tokens),
        ("quota_none", errors::quota_zero(MODEL, SOON)),
        ("quota_unspecified", errors::resource_exhausted()),
        ("quota_unspecified", errors::paid_quota()),
        ("billing_exhausted", errors::prepayment_depleted()),
        ("quota_per_minute", service_control),
        ("quota_unspecified", errors::shared_capacity()),
    ] {
        let app = Setup::keys(1).start().await;
        app.script(Reply::error(error));
        let code = match outcome {
            "billing_exhausted" => "billing_exhausted",
            _ => "rate_limit_exceeded",
        };
        check_call(&app, blameless((429, code), (429, outcome))).await;
        assert_eq!(app.rows("SELECT reason FROM cool_downs"), [outcome]);
        app.chat(CHAT).await.assert_status(429);
        assert_eq!(app.gemini.calls().len(), 1, "{outcome}");
    }
}

#[tokio::test]
async fn errors_of_the_caller_do_not_affect_the_key() {
    let invalid = (400, "invalid_argument");
    let too_long = (400, "context_length_exceeded");
    let fault = "client_fault";
    let signature = errors::missing_thought_signature("write_file", 8);
    let unknown_fields = errors::unknown_fields(&["frequency_penalty", "seed"]);
    let unknown_model = errors::model_not_found("gemini-9", "v1main", "generateContent");
    let retired = errors::model_retired_for_new_users(MODEL);
    for (error, caller, outcome) in [
        (unknown_fields, invalid, fault),
        (errors::input_too_long(1_048_576), too_long, fault),
        (signature, invalid, "signature_missing"),
        (errors::invalid_argument(), invalid, fault),
        (unknown_model, (404, "not_found"), fault),
        (retired, (404, "not_found"), "model_refused"),
        (errors::payload_too_large(), invalid, fault),
    ] {
        let effects = blameless(caller, (caller.0, outcome));
        check(Reply::error(error), effects).await;
    }
    for status in [413, 404] {
        let effects = blameless((status, "invalid_request"), (status, fault));
        check(Reply::bare(status), effects).await;
    }
}

#[tokio::test]
async fn errors_of_the_upstream_and_the_pool_do_not_affect_the_key() {
    let trouble = "upstream_trouble";
    let overloaded = "model_overloaded";
    let broken = (502, "upstream_answer_broken");
    let by_length = Reply::ok().cut_at(20, Framing::Length);
    let in_chunks = Reply::ok().cut_at(20, Framing::Chunked);
    let error = Reply::error;
    for (reply, caller, status, outcome) in [
        (error(errors::internal()), (500, "internal"), 500, trouble),
        (
            error(errors::overloaded()),
            (503, "unavailable"),
            503,
            overloaded,
        ),
        (
            error(errors::high_demand()),
            (503, "unavailable"),
            503,
            overloaded,
        ),
        (
            error(errors::deadline_exceeded()),
            (504, "deadline_exceeded"),
            504,
            trouble,
        ),
        (error(errors::cancelled()), (502, "cancelled"), 499, trouble),
        (Reply::html(502), (502, "upstream_error"), 502, trouble),
        (Reply::bare(500), (500, "upstream_error"), 500, trouble),
        (
            Reply::automated_queries(),
            (403, "permission_denied"),
            403,
            "request_refused",
        ),
        (by_length, broken, 200, trouble),
        (in_chunks, broken, 200, trouble),
        // An empty response.
        (Reply::bare(200), broken, 200, trouble),
        (
            error(errors::two_credentials()),
            (502, "pool_fault"),
            400,
            "pool_fault",
        ),
    ] {
        check(reply, blameless(caller, (status, outcome))).await;
    }
}

#[tokio::test]
async fn retries_when_a_connection_breaks_before_the_response() {
    for reply in [Reply::reset(), Reply::close()] {
        let app = Setup::keys(1).start().await;
        app.script(reply);
        app.serve_chats(1).await;
        let rows = app.log_rows("response_status, outcome");
        assert_eq!(rows, ["NULL|unanswered", "200|success"]);
        assert_eq!(app.key_rows("status, consecutive_failures"), ["1|0"]);
    }
}

#[tokio::test]
async fn a_truncated_error_body_still_has_its_status() {
    let quota = errors::quota_per_minute(MODEL, 10, SOON);
    let reply = Reply::error(quota).cut_at(30, Framing::Chunked);
    let effects = blameless((429, "rate_limit_exceeded"), (429, "quota_unspecified"));
    check(reply, effects).await;
}

#[tokio::test]
async fn a_refused_connection_is_a_502() {
    let app = Setup::keys(1).start().await;
    app.gemini.stop().await;
    let answer = app.chat(CHAT).await;
    answer.assert_error(502, "upstream_error");
    assert_eq!(app.key_rows("status, consecutive_failures"), ["1|0"]);
    let reason = "no request reached the upstream: ConnectionRefused";
    answer.assert_contains(reason);
    // It is retried immediately, since it was never sent.
    let row = format!("0|NULL|not_sent|{reason}");
    let rows = app.log_rows("success, response_status, outcome, error_message");
    assert_eq!(rows, [row.clone(), row]);
}

#[tokio::test]
async fn names_in_a_request_never_affect_a_key() {
    // With repair, the field would be removed.
    let app = Setup::with(1, &[("max_attempts", "1")]).start().await;
    let body = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hello"}],"API key not valid":1}"#;
    let answer = app.chat(body).await;
    answer.assert_error(400, "invalid_argument");
    answer.assert_contains("API key not valid");
    assert_eq!(app.key_rows("status, consecutive_failures"), ["1|0"]);
}

#[tokio::test]
async fn a_page_of_a_middlebox_is_not_the_keys_fault() {
    let page = |status| Reply::raw(status, "text/html", "<html>Please log in.</html>");
    for (status, caller, outcome) in [
        (401, (401, "permission_denied"), "request_refused"),
        (403, (403, "permission_denied"), "request_refused"),
        (429, (503, "upstream_refuses_location"), "egress_refused"),
    ] {
        check(page(status), blameless(caller, (status, outcome))).await;
    }
}
