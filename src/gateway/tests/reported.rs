//! Behaviour of Google that operators of such pools have reported. The table of
//! `gemini/classify.rs` names the sources.

use super::*;
use serde_json::json;

const MINUTE_MS: i64 = 60_000;

/// A pool of keys 1 to `keys`, each of its own project, picked in that order.
fn projects(keys: usize) -> Pool {
    let pool = Pool::of(keys);
    pool.run(&format!(
        "UPDATE api_keys SET project = 'p' || id, priority = 1 << (10 * ({keys} - id))"
    ));
    pool
}

fn google_error(status: u16, code: &str, message: &str, details: serde_json::Value) -> String {
    json!({"error": {"code": status, "message": message, "status": code, "details": details}})
        .to_string()
}

fn spending_cap() -> ApiError {
    let message = "Your project has exceeded its monthly spending cap. Please go to AI Studio at https://ai.studio/spend to manage your project spend cap.";
    ApiError::new(429, "RESOURCE_EXHAUSTED", message)
}

/// Imagen on a project without a plan.
fn not_billed() -> ApiError {
    let message = "Imagen API is only accessible to billed users at this time.";
    ApiError::new(400, "INVALID_ARGUMENT", message)
}

/// An invalid key, without the usual details.
fn invalid_key() -> ApiError {
    let message = "API key not valid. Please pass a valid API key.";
    ApiError::new(400, "INVALID_ARGUMENT", message)
}

/// A key in a header that does not suit it.
fn two_credentials() -> ApiError {
    let message = "Multiple authentication credentials received. Please pass only one.";
    ApiError::new(400, "INVALID_ARGUMENT", message)
}

impl Pool {
    fn outcomes(&self) -> String {
        self.log_rows("outcome").join(" ")
    }

    fn cooling_scopes(&self) -> Vec<String> {
        self.query("SELECT scope, model, reason FROM cool_downs ORDER BY scope, model")
    }

    /// Marks all keys as used with success a day ago.
    fn mark_recent_success(&self) {
        self.run(
            "UPDATE api_keys SET last_success_at = '2027-01-14T08:00:00.000Z', last_success_began_at = '2027-01-14T07:59:59.000Z'",
        );
    }
}

#[test]
fn a_spending_cap_cools_the_whole_project() {
    let pool = projects(2);
    pool.script_error(&spending_cap());
    pool.serve_chats(1);
    assert_eq!(pool.cooling_scopes(), ["project:p1||billing_exhausted"]);
    for model in ["m", "another"] {
        pool.advance(5 * MINUTE_MS);
        pool.script_answer();
        pool.chat_for(model).assert_status(200);
    }
    assert_eq!(pool.used_keys(), "1222");

    let pool = projects(1);
    pool.script_error(&spending_cap());
    for _ in 0..2 {
        let answer = pool.chat(CHAT);
        answer.assert_error(429, "billing_exhausted");
        answer.assert_message("spending cap");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(answer.header("retry-after"), None);
        let wait = answer.reported_wait();
        assert!((3590..=3600).contains(&wait), "{wait}");
        assert_eq!(pool.sent(), 1);
    }
    // The trial after an hour fails as well, which doubles the cool-down.
    pool.advance(60 * MINUTE_MS);
    pool.script_error(&spending_cap());
    let wait = pool.chat(CHAT).reported_wait();
    assert!((7190..=7200).contains(&wait), "{wait}");
}

#[test]
fn a_missing_plan_is_not_the_callers_fault() {
    let country = "Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.";
    let country = ApiError::new(400, "FAILED_PRECONDITION", country);
    for (error, scope) in [
        (country, "project:p1||free_tier_refused"),
        (not_billed(), "project:p1|m|plan_refused"),
    ] {
        let pool = projects(2);
        pool.script_error(&error);
        pool.script_answer();
        let answer = pool.chat(CHAT);
        answer.assert_status(200);
        assert_eq!(answer.header("x-keypool-attempts"), Some("2"));
        assert_eq!(pool.cooling_scopes(), [scope]);
        pool.serve_chats(10);
        assert_eq!(pool.used_keys(), "122222222222");

        // The caller gets the error only if every project returns it.
        let pool = projects(2);
        pool.script_errors(2, &error);
        let answer = pool.chat(CHAT);
        answer.assert_status(400);
        answer.assert_message(error.message());
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(pool.sent(), 2);
        let again = pool.chat(CHAT);
        again.assert_error(403, "plan_refused");
        assert_eq!(again.header("x-should-retry"), Some("false"));
        assert_eq!(pool.sent(), 2);
    }
}

#[test]
fn a_message_that_resembles_a_refusal_blames_no_key() {
    let invalid = [
        "tools[0].api_key: Invalid enum value.",
        "Function upgrade_account: parameter type is missing.",
        "The image shows paid users content that cannot be described.",
        "Please upgrade the plan of your function.",
    ];
    let denied = [
        "Fetching the URL was refused: IP address 10.0.0.1 is blocked.",
        "Project billing-demo has been blocked from model x for policy reasons.",
    ];
    let unprepared = "The File files/abc is still being prepared and has no content yet.";
    let invalid = invalid.map(|message| ApiError::new(400, "INVALID_ARGUMENT", message));
    let denied = denied.map(|message| ApiError::new(403, "PERMISSION_DENIED", message));
    let unprepared = ApiError::new(400, "FAILED_PRECONDITION", unprepared);
    for error in invalid.iter().chain(&denied).chain([&unprepared]) {
        let pool = projects(5);
        pool.script_errors(5, error);
        pool.chat(CHAT).assert_status(error.code());
        assert_eq!(pool.count("cool_downs"), 0, "{error:?}");
        assert_eq!(pool.statuses(), "11111", "{error:?}");
        pool.host.0.replies.borrow_mut().clear();
        pool.serve_chats(1);
    }
}

#[test]
fn a_plan_refusal_does_not_affect_other_models() {
    let pool = projects(2);
    let predict = || {
        pool.script_json(r#"{"predictions":[]}"#);
        let image = "/v1beta/models/imagen-4.0-generate-001:predict";
        pool.gemini_post(image, "{}").assert_status(200);
    };
    pool.script_native_errors(1, &not_billed());
    predict();
    pool.serve_chats(1);
    predict();
    assert_eq!(pool.used_keys(), "1212");
}

#[test]
fn retries_a_missing_model_on_one_other_project() {
    let gone = ApiError::new(404, "NOT_FOUND", "Requested entity was not found.");
    let pool = projects(3);
    pool.script_error(&gone);
    pool.serve_chats(1);
    assert_eq!(pool.cooling_scopes(), ["project:p1|m|entity_not_found"]);
    pool.serve_chats(1);
    assert_eq!(pool.used_keys(), "122");

    // If two projects agree, the model does not exist.
    let pool = projects(3);
    pool.script_native_errors(2, &gone);
    let answer = pool.gemini_post(GENERATE, CONTENTS);
    assert_eq!((answer.status, pool.sent()), (404, 2));
    assert_contains(&answer.body, gone.message());
    assert_eq!(pool.count("cool_downs"), 0);

    // No retry if the request names a resource, or if all keys belong to one project.
    let pool = projects(3);
    pool.script_native_errors(1, &gone);
    let with_file = r#"{"contents":[{"parts":[{"fileData":{"fileUri":"files/abc"}}]}]}"#;
    pool.gemini_post(GENERATE, with_file).assert_status(404);
    assert_eq!(pool.sent(), 1);
    let pool = projects(3);
    pool.run("UPDATE api_keys SET project = 'p'");
    pool.script_error(&gone);
    assert_eq!((pool.chat(CHAT).status, pool.sent()), (404, 1));
}

#[test]
fn a_method_without_api_keys_blames_no_key() {
    let missing = google_error(
        401,
        "UNAUTHENTICATED",
        "API keys are not supported by this API. Expected OAuth2 access token or other authentication credentials that assert a principal.",
        json!([{"reason": "CREDENTIALS_MISSING"}]),
    );
    let page = "<html><title>403</title>Forbidden</html>";
    let vision = google_error(
        403,
        "PERMISSION_DENIED",
        "Cloud Vision API has not been used in project 7 before or it is disabled.",
        json!([{"reason": "SERVICE_DISABLED", "metadata": {"service": "vision.googleapis.com"}}]),
    );
    for (status, kind, body) in [
        (401, JSON, missing.as_str()),
        (403, "text/html", page),
        (401, "text/html", page),
        (403, JSON, &vision),
    ] {
        let pool = projects(5);
        pool.mark_recent_success();
        for _ in 0..2 {
            pool.script(status, kind, &[body]);
            pool.script(status, kind, &[body]);
            let answer = pool.gemini_post("/v1beta/tunedModels", "{}");
            answer.assert_status(status);
        }
        assert_eq!(pool.sent(), 4, "one retry on another project");
        assert_eq!(pool.statuses(), "11111");
        assert_eq!(pool.count("cool_downs"), 0);
        pool.serve_chats(1);
    }
}

#[test]
fn a_location_refusal_cools_only_that_key_and_model() {
    let location = errors::location_unsupported();
    let pool = projects(2);
    pool.script_error(&location);
    pool.serve_chats(1);
    assert_eq!(pool.cooling_scopes(), ["key:1|m|egress_refused"]);
    pool.script_answer();
    pool.chat_for("another");
    assert_eq!(pool.used_keys(), "121");

    // If all keys fail, the caller gets the error, and other models still work.
    let pool = projects(2);
    pool.script_errors(2, &location);
    let answer = pool.chat(CHAT);
    answer.assert_status(400);
    answer.assert_message(location.message());
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(pool.count("cool_downs"), 0);
    pool.script_answer();
    pool.chat_for("another").assert_status(200);
}

#[test]
fn a_recently_used_key_is_disabled_by_a_second_rejection() {
    let pool = projects(2);
    pool.mark_recent_success();
    pool.script_error(&invalid_key());
    pool.serve_chats(1);
    assert_eq!(pool.statuses(), "21");
    let reason = "SELECT disabled_reason LIKE 'key_rejected: %' FROM api_keys WHERE id = 1";
    assert_eq!(pool.query(reason), ["1"]);
    pool.advance(29 * MINUTE_MS);
    pool.serve_chats(1);
    // After its pause, the key works again.
    pool.advance(MINUTE_MS);
    pool.serve_chats(1);
    assert_eq!(pool.used_keys(), "1221");
    assert_eq!(pool.statuses(), "11");

    // The key is rejected once more, and then a second time in a row.
    for statuses in ["21", "01"] {
        pool.advance(31 * MINUTE_MS);
        pool.script_error(&invalid_key());
        pool.serve_chats(1);
        assert_eq!(pool.statuses(), statuses);
    }
}

#[test]
fn a_rejection_disables_an_unused_key_at_once() {
    let pool = projects(2);
    pool.script_error(&invalid_key());
    pool.serve_chats(1);
    assert_eq!(pool.statuses(), "01");
}

#[test]
fn a_restricted_key_is_paused_with_a_reason() {
    for reason in [
        "API_KEY_IP_ADDRESS_BLOCKED",
        "API_KEY_HTTP_REFERRER_BLOCKED",
        "API_KEY_SERVICE_BLOCKED",
    ] {
        let pool = projects(2);
        let error = google_error(
            403,
            "PERMISSION_DENIED",
            "The provided API key has an IP address restriction.",
            json!([{"reason": reason}]),
        );
        for _ in 0..3 {
            pool.script(403, JSON, &[&error]);
            pool.serve_chats(1);
            assert_eq!(pool.statuses(), "21", "{reason}");
            pool.advance(31 * MINUTE_MS);
        }
        pool.serve_chats(1);
        assert_eq!(pool.used_keys(), "1212121");
        let restricted = "api_call_logs WHERE outcome = 'key_restricted'";
        assert_eq!(pool.count(restricted), 3);
    }
}

#[test]
fn a_key_blocked_for_one_method_still_serves_others() {
    let pool = projects(2);
    let blocked = google_error(
        403,
        "PERMISSION_DENIED",
        "Requests to this API generativelanguage.googleapis.com method google.ai.FileService.CreateFile are blocked.",
        json!([{"reason": "API_KEY_SERVICE_BLOCKED"}]),
    );
    pool.script(403, JSON, &[&blocked]);
    pool.script_json(r#"{"files":[]}"#);
    pool.gemini_get("/v1beta/files").assert_status(200);
    assert_eq!(pool.statuses(), "11");
    assert_eq!(pool.cooling_scopes(), ["key:1|files|request_refused"]);
    pool.serve_chats(1);
    assert_eq!(pool.used_keys(), "121");
}

/// An exhausted quota of this metric per minute.
fn quota_violation(metric: &str, id: &str, limit: u64) -> String {
    let violation = json!({
        "quotaMetric": format!("generativelanguage.googleapis.com/{metric}"),
        "quotaId": id,
        "quotaValue": limit.to_string(),
    });
    google_error(
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.\nPlease retry in 41s.",
        json!([{"violations": [violation]}, {"retryDelay": "41s"}]),
    )
}

#[test]
fn a_request_above_every_quota_cools_no_key() {
    let pool = projects(6);
    let large = CHAT.replace("the prompt", &"word ".repeat(80_000));
    let error = quota_violation(
        "generate_content_free_tier_input_token_count",
        "GenerateContentInputTokensPerModelPerMinute-FreeTier",
        16_000,
    );
    pool.script(429, JSON, &[&error]);
    pool.script(429, JSON, &[&error]);
    for run in ["without known limits", "with known limits"] {
        let answer = pool.chat(&large);
        answer.assert_error(413, "request_exceeds_quota");
        answer.assert_message("16000 input tokens per minute");
        assert_eq!(answer.header("retry-after"), None);
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(pool.sent(), 2, "{run}");
    }
    assert_eq!(pool.count("cool_downs"), 0);
    pool.serve_chats(10);
    // No limits of another model are known.
    pool.script_answer();
    let other = large.replace("\"m\"", "\"another\"");
    pool.chat(&other).assert_status(200);
}

#[test]
fn routes_a_large_request_to_a_sufficient_limit() {
    let large = CHAT.replace("the prompt", &"word ".repeat(80_000));
    let limits = [("p1", 16_000), ("p2", 16_000), ("p3", 1_000_000)];
    // The same if the limits of the others are unknown.
    for known in [&limits[..], &limits[2..]] {
        let pool = projects(3);
        for (project, limit) in known {
            let scope = format!("project:{project}");
            pool.insert_limit(&scope, "m", "input_tokens", "minute", *limit);
        }
        pool.script_answer();
        pool.chat(&large).assert_status(200);
        assert_eq!(pool.used_keys(), "3");
    }
}

#[test]
fn reports_a_batch_with_more_texts_than_the_quota() {
    let pool = projects(3);
    let error = quota_violation(
        "embed_content_free_tier_requests",
        "EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier",
        100,
    );
    let texts = vec!["\"a\""; 143].join(",");
    let batch = format!(r#"{{"model":"m","input":[{texts}]}}"#);
    pool.script(429, JSON, &[&error]);
    pool.script(429, JSON, &[&error]);
    for _ in 0..2 {
        let answer = pool.gemini_post("/v1beta/openai/embeddings", &batch);
        answer.assert_status(413);
        assert_contains(&answer.body, "100 texts per minute");
        assert_eq!(pool.sent(), 2);
    }
    pool.script_json(r#"{"data":[]}"#);
    let small = r#"{"model":"m","input":["a","b"]}"#;
    let answer = pool.gemini_post("/v1beta/openai/embeddings", small);
    answer.assert_status(200);
}

#[test]
fn an_exhausted_tool_quota_does_not_cool_the_model() {
    let pool = projects(2);
    let with_tool = r#"{"contents":[{"parts":[{"text":"news?"}]}],"tools":[{"google_search":{}}]}"#;
    let quota = "You exceeded your current quota, please check your plan and billing details.";
    pool.script_native_errors(2, &ApiError::new(429, "RESOURCE_EXHAUSTED", quota));
    for _ in 0..10 {
        pool.gemini_post(GENERATE, with_tool).assert_status(429);
        assert_eq!(pool.sent(), 2);
    }
    let scopes = ["p1", "p2"].map(|id| format!("project:{id}|m#google_search|tool_quota"));
    assert_eq!(pool.cooling_scopes(), scopes);
    let assert_served = |body: &str| {
        pool.script_json(GENERATED);
        pool.gemini_post(GENERATE, body).assert_status(200);
    };
    assert_served(CONTENTS);
    assert_served(&with_tool.replace("google_search", "code_execution"));
    pool.advance(6_000);
    assert_served(with_tool);
    assert_eq!(pool.count("cool_downs"), 1, "the trial succeeded");
    let models = pool.query("SELECT DISTINCT model FROM api_call_logs");
    assert_eq!(models, ["m"]);
}

#[test]
fn retries_a_corrupted_signature_once() {
    let body = r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"QS1zaWc="}}}]}]}"#;
    let corrupted = ApiError::new(400, "INVALID_ARGUMENT", "Corrupted thought signature.");
    let pool = projects(3);
    pool.script_error(&corrupted);
    pool.script_answer();
    pool.chat(body).assert_status(200);
    assert_eq!(pool.used_keys(), "12");
    assert_eq!(pool.count("cool_downs"), 0);

    let pool = projects(3);
    pool.script_errors(2, &corrupted);
    let answer = pool.chat(body);
    assert_eq!((answer.status, pool.sent()), (400, 2));
    answer.assert_message("Corrupted thought signature");
}

#[test]
fn learns_the_credential_header_of_a_key() {
    let pool = Pool::new();
    pool.run("UPDATE api_keys SET api_key = 'AQ.FAKE-1' WHERE id = 1");
    pool.script_error(&two_credentials());
    pool.serve_chats(1);
    pool.advance(1_000);
    pool.serve_chats(1);
    let sent = pool.host.0.sent.borrow();
    for (call, used, unused, credential) in [
        (0, "authorization", "x-goog-api-key", "Bearer AQ.FAKE-1"),
        (1, "x-goog-api-key", "authorization", "AQ.FAKE-1"),
        (2, "x-goog-api-key", "authorization", "AQ.FAKE-1"),
    ] {
        assert_eq!(sent[call].headers[used], credential);
        assert!(!sent[call].headers.contains_key(unused));
    }
    let view = "SELECT status, credential_header FROM api_keys";
    assert_eq!(pool.query(view), ["1|x-goog-api-key"]);
    assert_eq!(pool.outcomes(), "credential_misplaced success success");
}

#[test]
fn fails_when_the_upstream_accepts_no_credential_header() {
    let pool = Pool::new();
    pool.run("UPDATE api_keys SET api_key = 'AQ.FAKE-1' WHERE id = 1");
    pool.script_errors(2, &two_credentials());
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent()), (502, 2));
    assert_eq!(pool.outcomes(), "credential_misplaced pool_fault");
    let view = "SELECT status, credential_header FROM api_keys";
    assert_eq!(pool.query(view), ["1|NULL"]);
}

#[test]
fn fails_over_on_a_200_without_an_answer() {
    let page = "<html><body>Please sign in</body></html>";
    for (kind, body) in [
        ("text/html", page),
        (JSON, &ANSWER[..60]),
        (JSON, r#"{"status":"ok"}"#),
        (JSON, "null"),
        (JSON, ""),
        (EVENTS, page),
        (EVENTS, ""),
    ] {
        // An empty chunk would be a stall.
        let chunks: &[&str] = if body.is_empty() { &[] } else { &[body] };
        let pool = projects(2);
        pool.script(200, kind, chunks);
        pool.script_answer();
        let answer = pool.chat(CHAT);
        answer.assert_status(200);
        assert_contains(&answer.body, "Hi");
        assert_eq!(pool.outcomes(), "upstream_trouble success", "{kind} {body}");
        for path in [GENERATE, "/v1beta/models/m:embedContent"] {
            let is_json = serde_json::from_str::<serde_json::Value>(body).is_ok();
            if path != GENERATE && (kind == EVENTS || is_json) {
                // Embeddings are not streamed, and any JSON is accepted.
                continue;
            }
            let pool = projects(2);
            pool.script(200, kind, chunks);
            pool.script_json(GENERATED);
            let answer = pool.gemini_post(path, CONTENTS);
            assert!(answer.body.contains("Hi"), "{path} {kind} {body}");
        }
    }
}

#[test]
fn fails_over_on_an_error_with_status_200_for_embeddings() {
    let pool = projects(2);
    pool.script_json(r#"{"error":{"code":503,"status":"UNAVAILABLE","message":"Busy."}}"#);
    pool.script_json(r#"{"embedding":{"values":[1]}}"#);
    let answer = pool.gemini_post("/v1beta/models/m:embedContent", CONTENTS);
    assert_contains(&answer.body, "values");
    assert_eq!(pool.outcomes(), "model_overloaded success");
}

#[test]
fn fails_over_on_a_large_html_page() {
    let page = format!("<html>{}</html>", "x".repeat(2_000_000));
    let pool = projects(2);
    pool.script(200, "text/html", &[&page]);
    pool.serve_chats(1);
    assert_eq!(pool.outcomes(), "upstream_trouble success");
}

#[test]
fn creating_a_known_name_does_not_need_its_owner() {
    let pool = projects(2);
    pool.insert_resource("files/daily", 1, "'p1'");
    pool.run("UPDATE api_keys SET status = 0 WHERE id = 1");
    pool.script_json(r#"{"file":{"name":"files/daily"}}"#);
    let answer = pool.gemini_post("/v1beta/files", r#"{"file":{"name":"files/daily"}}"#);
    answer.assert_status(200);
    let owner = "SELECT api_key_id FROM resources WHERE name = 'files/daily'";
    assert_eq!(pool.query(owner), ["2"]);
}

#[test]
fn retries_an_answer_without_usable_content_once() {
    let malformed = r#"{"choices":[{"finish_reason":"function_call_filter: MALFORMED_FUNCTION_CALL","index":0,"message":{"extra_content":{"google":{}},"role":"assistant"}}],"created":1,"id":"c1","model":"m","object":"chat.completion","usage":{"completion_tokens":14,"prompt_tokens":111,"total_tokens":125}}"#;
    let thoughts = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant"}}],"created":1,"id":"c1","model":"m","object":"chat.completion","usage":{"completion_tokens":0,"prompt_tokens":10,"total_tokens":810}}"#;
    for empty in [malformed, thoughts] {
        let pool = projects(2);
        pool.script_json(empty);
        pool.script_answer();
        let answer = pool.chat(CHAT);
        assert_eq!(answer.header("x-keypool-attempts"), Some("2"));
        assert_contains(&answer.body, "Hi");
        assert_eq!((&*pool.statuses(), pool.count("cool_downs")), ("11", 0));
        // The second empty answer passes.
        let pool = projects(3);
        pool.script_json(empty);
        pool.script_json(empty);
        assert_eq!((pool.chat(CHAT).status, pool.sent()), (200, 2));
    }
    for empty in [
        r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL","index":0}],"usageMetadata":{"promptTokenCount":111}}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"c2ln"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":10,"thoughtsTokenCount":800,"totalTokenCount":810}}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true}],"role":"model"},"finishReason":"STOP","index":0}]}"#,
    ] {
        let pool = projects(2);
        pool.script_json(empty);
        pool.script_json(GENERATED);
        assert_contains(&pool.gemini_post(GENERATE, CONTENTS).body, "Hi");
        let events = format!("data: {empty}\r\n\r\n");
        let answer = format!("data: {GENERATED}\r\n\r\n");
        let stream = "/v1beta/models/m:streamGenerateContent?alt=sse";
        let pool = projects(2);
        pool.script_events(&[&events]);
        pool.script_events(&[&answer]);
        assert_contains(&pool.gemini_post(stream, CONTENTS).body, "Hi");
    }
    let blocked = r#"{"candidates":[{"finishReason":"SAFETY","index":0}]}"#;
    let pool = projects(2);
    pool.script_json(blocked);
    pool.gemini_post(GENERATE, CONTENTS).assert_status(200);
    assert_eq!(pool.sent(), 1);
}

#[test]
fn retries_an_unsent_call_at_once() {
    for error in [
        TransportError::NotSent("ConnectionLimitReached".into()),
        TransportError::Unanswered("HttpProtocolError".into()),
    ] {
        let pool = projects(1);
        pool.script_reply(Err(error.clone()));
        pool.serve_chats(1);
        assert!(pool.now() < 100, "no backoff");
        assert_eq!(pool.used_keys(), "11", "the same key is used");
        assert_eq!(pool.count("retry_budget"), 0);

        // A second failure counts as upstream trouble.
        let pool = projects(2);
        pool.script_reply(Err(error.clone()));
        pool.script_reply(Err(error));
        pool.serve_chats(1);
        assert_eq!(pool.query("SELECT retries FROM retry_budget"), ["1"]);
    }
    // A call that may have had side effects is not repeated.
    let pool = projects(2);
    pool.script_reply(Err(TransportError::Unanswered("HttpProtocolError".into())));
    let batch = pool.gemini_post("/v1beta/openai/batches", "{}");
    assert_eq!((batch.status, pool.sent()), (502, 1));
    pool.script_reply(Err(TransportError::NotSent("ConnectionRefused".into())));
    pool.script_json("{}");
    assert_eq!(pool.gemini_post("/v1beta/openai/batches", "{}").status, 200);
}

#[test]
fn the_status_report_lists_cool_downs() {
    let pool = projects(2);
    pool.script_error(&spending_cap());
    pool.serve_chats(1);
    let report = pool.get("/api/keys/status").json();
    let cooling = &report["data"][0]["cooling"];
    assert_eq!(
        *cooling,
        json!([{"scope": "project:p1", "model": null, "reason": "billing_exhausted", "until": cooling[0]["until"]}])
    );
    assert_eq!(report["data"][1]["cooling"], json!([]));
}

#[test]
fn lets_the_client_retry_when_the_pool_did_not() {
    let pool = projects(1);
    // The pool's retry budget for this minute is used up.
    let minute = NOON.0 / MINUTE_MS;
    pool.run(&format!(
        "INSERT INTO retry_budget (minute, calls_before, retries) VALUES ({minute}, 0, 10)"
    ));
    pool.script_error(&errors::overloaded());
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent()), (503, 1));
    assert_eq!(answer.header("x-should-retry"), None);
}
