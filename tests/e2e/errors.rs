//! Errors of the upstream, as seen by the caller, the key and the log.

use crate::support::{CHAT, Setup, TestApp, key};
use fake_gemini::{Condition, Framing, Reply, errors};
use std::time::Duration;

const MODEL: &str = "gemini-2.5-flash";
const SOON: Duration = Duration::from_secs(41);

/// Checks the effects of a reply on a new pool with one key: `(status, code)` for the caller,
/// `status|consecutive_failures` of the key, and the log row's status and outcome.
async fn check(
    name: &str,
    reply: Reply,
    caller: (u16, &str),
    key_state: &str,
    logged: (&str, &str),
) {
    let app = Setup::keys(1).start().await;
    app.gemini.script(&key(1), reply);
    check_call(&app, name, caller, key_state, logged).await;
}

/// The same, for an error that the fake raises by itself.
async fn check_call(
    app: &TestApp,
    name: &str,
    caller: (u16, &str),
    key_state: &str,
    (status, outcome): (&str, &str),
) {
    let answer = app.chat(CHAT).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        caller,
        "{name}: {}",
        answer.body
    );
    assert_eq!(
        app.rows("SELECT status || '|' || consecutive_failures FROM api_keys"),
        [key_state],
        "{name}"
    );
    assert_eq!(
        app.rows("SELECT success, response_status, outcome, attempt, error_message <> '' FROM api_call_logs"),
        [format!("0|{status}|{outcome}|1|1")],
        "{name}"
    );
    assert_eq!(app.gemini.calls().len(), 1, "{name}");
    assert_eq!(
        app.rows("SELECT total_calls, success_calls FROM api_keys"),
        ["1|0"],
        "{name}"
    );
}

#[tokio::test]
async fn a_refused_key_is_a_503() {
    for condition in Condition::ALL {
        let (caller, key_state, logged) = match condition {
            Condition::Valid => continue,
            Condition::Invalid | Condition::Expired | Condition::NotFound => (
                (503, "upstream_credentials_exhausted"),
                "0|1",
                ("400", "key_rejected"),
            ),
            Condition::Unauthenticated => (
                (503, "upstream_credentials_exhausted"),
                "0|1",
                ("401", "key_rejected"),
            ),
            Condition::Leaked | Condition::Suspended => (
                (503, "upstream_credentials_exhausted"),
                "0|1",
                ("403", "key_rejected"),
            ),
            Condition::ServiceBlocked => (
                (503, "upstream_credentials_exhausted"),
                "2|0",
                ("403", "key_restricted"),
            ),
            Condition::ProjectDenied | Condition::ServiceDisabled => (
                (503, "upstream_key_rejected"),
                "1|1",
                ("403", "project_refused"),
            ),
            Condition::PermissionDenied => (
                (403, "permission_denied"),
                "1|0",
                ("403", "resource_refused"),
            ),
            Condition::LocationUnsupported => (
                (400, "failed_precondition"),
                "1|0",
                ("400", "egress_refused"),
            ),
        };
        let app = Setup::keys(1).start().await;
        app.gemini.set_condition(&key(1), condition);
        check_call(&app, &format!("{condition:?}"), caller, key_state, logged).await;
    }
}

#[tokio::test]
async fn an_exhausted_quota_cools_and_is_not_the_keys_fault() {
    for (outcome, error) in [
        (
            "quota_per_minute",
            errors::quota_per_minute(MODEL, 10, SOON),
        ),
        ("quota_per_day", errors::quota_per_day(MODEL, 250, SOON)),
        (
            "quota_per_minute",
            errors::input_tokens_per_minute(MODEL, 250_000, SOON),
        ),
        ("quota_none", errors::quota_zero(MODEL, SOON)),
        ("quota_unspecified", errors::resource_exhausted()),
        ("quota_unspecified", errors::paid_quota()),
        ("billing_exhausted", errors::prepayment_depleted()),
        (
            "quota_per_minute",
            errors::service_control("000000000001", 100),
        ),
        ("quota_unspecified", errors::shared_capacity()),
    ] {
        let app = Setup::keys(1).start().await;
        app.gemini.script(&key(1), Reply::error(error));
        let code = match outcome {
            "billing_exhausted" => "billing_exhausted",
            _ => "rate_limit_exceeded",
        };
        check_call(&app, outcome, (429, code), "1|0", ("429", outcome)).await;
        assert_eq!(app.rows("SELECT reason FROM cool_downs"), [outcome]);
        let again = app.chat(CHAT).await;
        assert_eq!(
            (again.status, app.gemini.calls().len()),
            (429, 1),
            "{outcome}"
        );
    }
}

#[tokio::test]
async fn errors_of_the_caller_do_not_affect_the_key() {
    for (name, reply, caller) in [
        (
            "unknown field",
            Reply::error(errors::unknown_fields(&["frequency_penalty", "seed"])),
            (400, "invalid_argument"),
        ),
        (
            "too long",
            Reply::error(errors::input_too_long(1_048_576)),
            (400, "invalid_argument"),
        ),
        (
            "signature",
            Reply::error(errors::missing_thought_signature("write_file", 8)),
            (400, "invalid_argument"),
        ),
        (
            "generic",
            Reply::error(errors::invalid_argument()),
            (400, "invalid_argument"),
        ),
        (
            "no such model",
            Reply::error(errors::model_not_found(
                "gemini-9",
                "v1main",
                "generateContent",
            )),
            (404, "not_found"),
        ),
        (
            "retired for the project",
            Reply::error(errors::model_retired_for_new_users(MODEL)),
            (404, "not_found"),
        ),
        (
            "too large",
            Reply::error(errors::payload_too_large()),
            (400, "invalid_argument"),
        ),
        (
            "413 without a body",
            Reply::bare(413),
            (413, "invalid_request"),
        ),
        (
            "404 without a body",
            Reply::bare(404),
            (404, "invalid_request"),
        ),
    ] {
        let logged = caller.0.to_string();
        let outcome = match name {
            "retired for the project" => "model_refused",
            "signature" => "signature_missing",
            _ => "client_fault",
        };
        check(name, reply, caller, "1|0", (&logged, outcome)).await;
    }
}

#[tokio::test]
async fn errors_of_the_upstream_do_not_affect_the_key() {
    for (name, reply, caller, logged) in [
        (
            "internal",
            Reply::error(errors::internal()),
            (500, "internal"),
            "500",
        ),
        (
            "overloaded",
            Reply::error(errors::overloaded()),
            (503, "unavailable"),
            "503",
        ),
        (
            "high demand",
            Reply::error(errors::high_demand()),
            (503, "unavailable"),
            "503",
        ),
        (
            "deadline",
            Reply::error(errors::deadline_exceeded()),
            (504, "deadline_exceeded"),
            "504",
        ),
        (
            "cancelled",
            Reply::error(errors::cancelled()),
            (502, "cancelled"),
            "499",
        ),
        (
            "bad gateway page",
            Reply::html(502),
            (502, "upstream_error"),
            "502",
        ),
        (
            "empty 500",
            Reply::bare(500),
            (500, "upstream_error"),
            "500",
        ),
        (
            "automated queries",
            Reply::automated_queries(),
            (403, "permission_denied"),
            "403",
        ),
        (
            "cut short by length",
            Reply::ok().cut_at(20, Framing::Length),
            (502, "upstream_answer_broken"),
            "200",
        ),
        (
            "cut short in chunks",
            Reply::ok().cut_at(20, Framing::Chunked),
            (502, "upstream_answer_broken"),
            "200",
        ),
    ] {
        let outcome = match name {
            "overloaded" | "high demand" => "model_overloaded",
            "automated queries" => "request_refused",
            _ => "upstream_trouble",
        };
        check(name, reply, caller, "1|0", (logged, outcome)).await;
    }
}

#[tokio::test]
async fn retries_when_a_connection_breaks_before_the_response() {
    for (name, reply) in [("reset", Reply::reset()), ("closed", Reply::close())] {
        let app = Setup::keys(1).start().await;
        app.gemini.script(&key(1), reply);
        assert_eq!(app.chat(CHAT).await.status, 200, "{name}");
        assert_eq!(
            app.rows("SELECT response_status, outcome FROM api_call_logs ORDER BY id"),
            ["NULL|unanswered", "200|success"],
            "{name}"
        );
        assert_eq!(
            app.rows("SELECT status || '|' || consecutive_failures FROM api_keys"),
            ["1|0"]
        );
    }
}

#[tokio::test]
async fn reports_empty_responses_and_pool_faults() {
    for (name, reply, caller, logged) in [
        (
            "nothing",
            Reply::bare(200),
            (502, "upstream_answer_broken"),
            ("200", "upstream_trouble"),
        ),
        (
            "two credentials",
            Reply::error(errors::two_credentials()),
            (502, "pool_fault"),
            ("400", "pool_fault"),
        ),
    ] {
        check(name, reply, caller, "1|0", logged).await;
    }
}

#[tokio::test]
async fn a_truncated_error_body_still_has_its_status() {
    let quota = errors::quota_per_minute(MODEL, 10, SOON);
    let reply = Reply::error(quota).cut_at(30, Framing::Chunked);
    check(
        "429",
        reply,
        (429, "rate_limit_exceeded"),
        "1|0",
        ("429", "quota_unspecified"),
    )
    .await;
}

#[tokio::test]
async fn a_refused_connection_is_a_502() {
    let app = Setup::keys(1).start().await;
    app.gemini.stop().await;
    let answer = app.chat(CHAT).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (502, "upstream_error")
    );
    assert_eq!(
        app.rows("SELECT status, consecutive_failures FROM api_keys"),
        ["1|0"]
    );
    let reason = "no request reached the upstream: ConnectionRefused";
    assert!(answer.body.contains(reason), "{}", answer.body);
    let row = format!("0|NULL|not_sent|{reason}");
    assert_eq!(
        app.rows("SELECT success, response_status, outcome, error_message FROM api_call_logs"),
        [row.clone(), row],
        "retried at once, since it was never sent"
    );
}

#[tokio::test]
async fn names_in_a_request_never_affect_a_key() {
    // With repair, the field would be removed.
    let app = Setup::keys(1).variable("max_attempts", "1").start().await;
    let body = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hello"}],"API key not valid":1}"#;
    let answer = app.chat(body).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (400, "invalid_argument")
    );
    assert!(answer.body.contains("API key not valid"), "{}", answer.body);
    assert_eq!(
        app.rows("SELECT status, consecutive_failures FROM api_keys"),
        ["1|0"]
    );
}

#[tokio::test]
async fn a_page_of_a_middlebox_is_not_the_keys_fault() {
    let page = |status| Reply::raw(status, "text/html", "<html>Please log in.</html>");
    for (status, caller, outcome) in [
        (401, (401, "permission_denied"), "request_refused"),
        (403, (403, "permission_denied"), "request_refused"),
        (429, (503, "upstream_refuses_location"), "egress_refused"),
    ] {
        let logged = status.to_string();
        check(&logged, page(status), caller, "1|0", (&logged, outcome)).await;
    }
}
