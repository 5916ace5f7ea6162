//! Behaviour of Google that operators of such pools have reported. The table of
//! `gemini/classify.rs` names the sources.

use super::*;
use serde_json::json;

const GENERATE: &str = "/v1beta/models/m:generateContent";
const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"x"}]}]}"#;
const NATIVE_ANSWER: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1}}"#;
const MINUTE_MS: i64 = 60_000;

/// A pool of keys 1 to `keys`, each of its own project, picked in that order.
fn projects(keys: i64) -> Pool {
    let pool = Pool::new();
    for id in 2..=keys {
        pool.database.run(&format!(
            "INSERT INTO api_keys (id, api_key) VALUES ({id}, 'AIzaFAKE-{id}')"
        ));
    }
    pool.database.run(&format!(
        "UPDATE api_keys SET project = 'p' || id, priority = 1 << (10 * ({keys} - id))"
    ));
    pool
}

fn google_error(status: u16, code: &str, message: &str, details: serde_json::Value) -> String {
    json!({"error": {"code": status, "message": message, "status": code, "details": details}})
        .to_string()
}

impl Pool {
    fn script_google_error(&self, status: u16, code: &str, message: &str) {
        let error = google_error(status, code, message, json!([]));
        self.script(status, "application/json", &[&error]);
    }

    fn generate(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, &[("x-goog-api-key", TOKEN)], body)
    }

    fn chat_for(&self, model: &str) -> Answer {
        self.chat(&CHAT.replace("\"m\"", &format!("{model:?}")))
    }

    /// The keys of all calls so far, in order of the calls.
    fn used_keys(&self) -> String {
        self.database
            .query("SELECT api_key_id FROM api_call_logs ORDER BY id")
            .concat()
    }

    fn outcomes(&self) -> String {
        self.database
            .query("SELECT outcome FROM api_call_logs ORDER BY id")
            .join(" ")
    }

    fn cooling_scopes(&self) -> Vec<String> {
        self.database
            .query("SELECT scope, model, reason FROM cool_downs ORDER BY scope, model")
    }

    fn statuses(&self) -> String {
        self.database
            .query("SELECT status FROM api_keys ORDER BY id")
            .concat()
    }

    /// Marks all keys as used with success a day ago.
    fn mark_recent_success(&self) {
        self.database.run(
            "UPDATE api_keys SET last_success_at = '2027-01-14T08:00:00.000Z', last_success_began_at = '2027-01-14T07:59:59.000Z'",
        );
    }
}

#[test]
fn a_spending_cap_cools_the_whole_project() {
    const CAP: &str = "Your project has exceeded its monthly spending cap. Please go to AI Studio at https://ai.studio/spend to manage your project spend cap.";
    let pool = projects(2);
    pool.script_google_error(429, "RESOURCE_EXHAUSTED", CAP);
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert_eq!(pool.cooling_scopes(), ["project:p1||billing_exhausted"]);
    for model in ["m", "another"] {
        pool.advance(5 * MINUTE_MS);
        pool.script_answer();
        assert_eq!(pool.chat_for(model).status, 200);
    }
    assert_eq!(pool.used_keys(), "1222");

    let pool = projects(1);
    pool.script_google_error(429, "RESOURCE_EXHAUSTED", CAP);
    for _ in 0..2 {
        let answer = pool.chat(CHAT);
        assert_eq!((answer.status, pool.sent()), (429, 1), "{}", answer.body);
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(answer.header("retry-after"), None);
        let wait = answer.reported_wait();
        assert!((3590..=3600).contains(&wait), "{wait}");
        assert_eq!(answer.error("code"), "billing_exhausted");
        assert!(answer.error("message").contains("spending cap"));
    }
    // The trial after an hour fails as well, which doubles the cool-down.
    pool.advance(60 * MINUTE_MS);
    pool.script_google_error(429, "RESOURCE_EXHAUSTED", CAP);
    let wait = pool.chat(CHAT).reported_wait();
    assert!((7190..=7200).contains(&wait), "{wait}");
}

#[test]
fn a_missing_plan_is_not_the_callers_fault() {
    let country = "Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.";
    let billed = "Imagen API is only accessible to billed users at this time.";
    for (code, message, scope) in [
        (
            "FAILED_PRECONDITION",
            country,
            "project:p1||free_tier_refused",
        ),
        ("INVALID_ARGUMENT", billed, "project:p1|m|plan_refused"),
    ] {
        let pool = projects(2);
        pool.script_google_error(400, code, message);
        pool.script_answer();
        let answer = pool.chat(CHAT);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-keypool-attempts"), Some("2"));
        assert_eq!(pool.cooling_scopes(), [scope]);
        for _ in 0..10 {
            pool.script_answer();
            assert_eq!(pool.chat(CHAT).status, 200);
        }
        assert_eq!(pool.used_keys(), "12".to_owned() + &"2".repeat(10));

        // The caller gets the error only if every project returns it.
        let pool = projects(2);
        pool.script_google_error(400, code, message);
        pool.script_google_error(400, code, message);
        let answer = pool.chat(CHAT);
        assert_eq!((answer.status, pool.sent()), (400, 2));
        assert!(answer.error("message").contains(message), "{}", answer.body);
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        let again = pool.chat(CHAT);
        assert_eq!((again.status, pool.sent()), (403, 2), "{}", again.body);
        assert_eq!(again.error("code"), "plan_refused");
        assert_eq!(again.header("x-should-retry"), Some("false"));
    }
}

#[test]
fn a_message_that_resembles_a_refusal_blames_no_key() {
    for (status, code, message) in [
        (
            400,
            "FAILED_PRECONDITION",
            "The File files/abc is still being prepared and has no content yet.",
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "tools[0].api_key: Invalid enum value.",
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "Function upgrade_account: parameter type is missing.",
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "The image shows paid users content that cannot be described.",
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "Please upgrade the plan of your function.",
        ),
        (
            403,
            "PERMISSION_DENIED",
            "Fetching the URL was refused: IP address 10.0.0.1 is blocked.",
        ),
        (
            403,
            "PERMISSION_DENIED",
            "Project billing-demo has been blocked from model x for policy reasons.",
        ),
    ] {
        let pool = projects(5);
        for _ in 0..5 {
            pool.script_google_error(status, code, message);
        }
        let answer = pool.chat(CHAT);
        assert_eq!(answer.status, status, "{message}");
        assert_eq!(pool.cooling_scopes().len(), 0, "{message}");
        assert_eq!(pool.statuses(), "11111", "{message}");
        pool.host.0.replies.borrow_mut().clear();
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).status, 200, "{message}");
    }
}

#[test]
fn a_plan_refusal_does_not_affect_other_models() {
    let pool = projects(2);
    pool.script_google_error(
        400,
        "INVALID_ARGUMENT",
        "Imagen API is only accessible to billed users at this time.",
    );
    pool.script(200, "application/json", &[r#"{"predictions":[]}"#]);
    let image = "/v1beta/models/imagen-4.0-generate-001:predict";
    assert_eq!(pool.generate(image, "{}").status, 200);
    pool.script_answer();
    pool.chat(CHAT);
    pool.script(200, "application/json", &[r#"{"predictions":[]}"#]);
    assert_eq!(pool.generate(image, "{}").status, 200);
    assert_eq!(pool.used_keys(), "1212");
}

#[test]
fn retries_a_missing_model_on_one_other_project() {
    const GONE: &str = "Requested entity was not found.";
    let pool = projects(3);
    pool.script_google_error(404, "NOT_FOUND", GONE);
    pool.script_answer();
    let answer = pool.chat(CHAT);
    assert_eq!(answer.status, 200);
    assert_eq!(pool.cooling_scopes(), ["project:p1|m|entity_not_found"]);
    pool.script_answer();
    pool.chat(CHAT);
    assert_eq!(pool.used_keys(), "122");

    // If two projects agree, the model does not exist.
    let pool = projects(3);
    pool.script_google_error(404, "NOT_FOUND", GONE);
    pool.script_google_error(404, "NOT_FOUND", GONE);
    let answer = pool.generate(GENERATE, PROMPT);
    assert_eq!((answer.status, pool.sent()), (404, 2));
    assert!(answer.body.contains(GONE));
    assert_eq!(pool.cooling_scopes().len(), 0);

    // No retry if the request names a resource, or if all keys belong to one project.
    let pool = projects(3);
    pool.script_google_error(404, "NOT_FOUND", GONE);
    let with_file = r#"{"contents":[{"parts":[{"fileData":{"fileUri":"files/abc"}}]}]}"#;
    assert_eq!(pool.generate(GENERATE, with_file).status, 404);
    assert_eq!(pool.sent(), 1);
    let pool = projects(3);
    pool.database.run("UPDATE api_keys SET project = 'p'");
    pool.script_google_error(404, "NOT_FOUND", GONE);
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
        (401, "application/json", missing.as_str()),
        (403, "text/html", page),
        (401, "text/html", page),
        (403, "application/json", &vision),
    ] {
        let pool = projects(5);
        pool.mark_recent_success();
        for _ in 0..2 {
            pool.script(status, kind, &[body]);
            pool.script(status, kind, &[body]);
            let answer = pool.generate("/v1beta/tunedModels", "{}");
            assert_eq!(answer.status, status, "{}", answer.body);
        }
        assert_eq!(pool.sent(), 4, "one retry on another project");
        assert_eq!(pool.statuses(), "11111");
        assert_eq!(pool.cooling_scopes().len(), 0);
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).status, 200);
    }
}

#[test]
fn a_location_refusal_cools_only_that_key_and_model() {
    let location = "User location is not supported for the API use.";
    let pool = projects(2);
    pool.script_google_error(400, "FAILED_PRECONDITION", location);
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert_eq!(pool.cooling_scopes(), ["key:1|m|egress_refused"]);
    pool.script_answer();
    pool.chat_for("another");
    assert_eq!(pool.used_keys(), "121");

    // If all keys fail, the caller gets the error, and other models still work.
    let pool = projects(2);
    pool.script_google_error(400, "FAILED_PRECONDITION", location);
    pool.script_google_error(400, "FAILED_PRECONDITION", location);
    let answer = pool.chat(CHAT);
    assert_eq!(answer.status, 400);
    assert!(answer.error("message").contains(location));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(pool.cooling_scopes().len(), 0);
    pool.script_answer();
    assert_eq!(pool.chat_for("another").status, 200);
}

#[test]
fn a_recently_used_key_is_disabled_by_a_second_rejection() {
    const INVALID: &str = "API key not valid. Please pass a valid API key.";
    let pool = projects(2);
    pool.mark_recent_success();
    pool.script_google_error(400, "INVALID_ARGUMENT", INVALID);
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert_eq!(pool.statuses(), "21");
    let reason = "SELECT disabled_reason LIKE 'key_rejected: %' FROM api_keys WHERE id = 1";
    assert_eq!(pool.database.query(reason), ["1"]);
    pool.advance(29 * MINUTE_MS);
    pool.script_answer();
    pool.chat(CHAT);
    // After its pause, the key works again.
    pool.advance(MINUTE_MS);
    pool.script_answer();
    pool.chat(CHAT);
    assert_eq!(
        (pool.used_keys(), pool.statuses()),
        ("1221".into(), "11".into())
    );

    // The key is rejected once more, and then a second time in a row.
    for statuses in ["21", "01"] {
        pool.advance(31 * MINUTE_MS);
        pool.script_google_error(400, "INVALID_ARGUMENT", INVALID);
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).status, 200);
        assert_eq!(pool.statuses(), statuses);
    }
}

#[test]
fn a_rejection_disables_an_unused_key_at_once() {
    let pool = projects(2);
    pool.script_google_error(
        400,
        "INVALID_ARGUMENT",
        "API key not valid. Please pass a valid API key.",
    );
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
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
            pool.script(403, "application/json", &[&error]);
            pool.script_answer();
            assert_eq!(pool.chat(CHAT).status, 200, "{reason}");
            assert_eq!(pool.statuses(), "21", "{reason}");
            pool.advance(31 * MINUTE_MS);
        }
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).status, 200);
        assert_eq!(pool.used_keys(), "1212121");
        let logged = pool
            .database
            .query("SELECT count(*) FROM api_call_logs WHERE outcome = 'key_restricted'");
        assert_eq!(logged, ["3"]);
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
    pool.script(403, "application/json", &[&blocked]);
    pool.script(200, "application/json", &[r#"{"files":[]}"#]);
    let files = pool.call("GET", "/v1beta/files", &[("x-goog-api-key", TOKEN)], "");
    assert_eq!(files.status, 200);
    assert_eq!(pool.statuses(), "11");
    assert_eq!(pool.cooling_scopes(), ["key:1|files|request_refused"]);
    pool.script_answer();
    pool.chat(CHAT);
    assert_eq!(pool.used_keys(), "121");
}

fn tokens_error(limit: u64) -> String {
    google_error(
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.\nPlease retry in 41s.",
        json!([{"violations": [{
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_input_token_count",
            "quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier",
            "quotaValue": limit.to_string(),
        }]}, {"retryDelay": "41s"}]),
    )
}

#[test]
fn a_request_above_every_quota_cools_no_key() {
    let pool = projects(6);
    let large = CHAT.replace("the prompt", &"word ".repeat(80_000));
    pool.script(429, "application/json", &[&tokens_error(16_000)]);
    pool.script(429, "application/json", &[&tokens_error(16_000)]);
    for run in ["without known limits", "with known limits"] {
        let answer = pool.chat(&large);
        assert_eq!((answer.status, pool.sent()), (413, 2), "{run}");
        assert_eq!(answer.error("code"), "request_exceeds_quota");
        let message = answer.error("message");
        assert!(
            message.contains("16000 input tokens per minute"),
            "{message}"
        );
        assert_eq!(answer.header("retry-after"), None);
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    assert_eq!(pool.cooling_scopes().len(), 0);
    for _ in 0..10 {
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).status, 200);
    }
    // No limits of another model are known.
    pool.script_answer();
    assert_eq!(
        pool.chat(&large.replace("\"m\"", "\"another\"")).status,
        200
    );
}

#[test]
fn routes_a_large_request_to_a_sufficient_limit() {
    let pool = projects(3);
    for (project, limit) in [("p1", 16_000), ("p2", 16_000), ("p3", 1_000_000)] {
        pool.database.run(&format!(
            "INSERT INTO limits (scope, model, unit, per, preset) VALUES ('project:{project}', 'm', 'input_tokens', 'minute', {limit})"
        ));
    }
    pool.script_answer();
    let large = CHAT.replace("the prompt", &"word ".repeat(80_000));
    assert_eq!(pool.chat(&large).status, 200);
    assert_eq!(pool.used_keys(), "3");

    // The same if the limits of the others are unknown.
    let pool = projects(3);
    pool.database.run("INSERT INTO limits (scope, model, unit, per, preset) VALUES ('project:p3', 'm', 'input_tokens', 'minute', 1000000)");
    pool.script_answer();
    assert_eq!(pool.chat(&large).status, 200);
    assert_eq!(pool.used_keys(), "3");
}

#[test]
fn reports_a_batch_with_more_texts_than_the_quota() {
    let pool = projects(3);
    let error = google_error(
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.\nPlease retry in 41s.",
        json!([{"violations": [{
            "quotaMetric": "generativelanguage.googleapis.com/embed_content_free_tier_requests",
            "quotaId": "EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier",
            "quotaValue": "100",
        }]}]),
    );
    let texts = vec!["\"a\""; 143].join(",");
    let batch = format!(r#"{{"model":"m","input":[{texts}]}}"#);
    pool.script(429, "application/json", &[&error]);
    pool.script(429, "application/json", &[&error]);
    for _ in 0..2 {
        let answer = pool.generate("/v1beta/openai/embeddings", &batch);
        assert_eq!((answer.status, pool.sent()), (413, 2), "{}", answer.body);
        assert!(
            answer.body.contains("100 texts per minute"),
            "{}",
            answer.body
        );
    }
    pool.script(200, "application/json", &[r#"{"data":[]}"#]);
    let small = r#"{"model":"m","input":["a","b"]}"#;
    assert_eq!(
        pool.generate("/v1beta/openai/embeddings", small).status,
        200
    );
}

#[test]
fn an_exhausted_tool_quota_does_not_cool_the_model() {
    let pool = projects(2);
    let with_tool = r#"{"contents":[{"parts":[{"text":"news?"}]}],"tools":[{"google_search":{}}]}"#;
    let quota = "You exceeded your current quota, please check your plan and billing details.";
    pool.script_google_error(429, "RESOURCE_EXHAUSTED", quota);
    pool.script_google_error(429, "RESOURCE_EXHAUSTED", quota);
    for _ in 0..10 {
        let answer = pool.generate(GENERATE, with_tool);
        assert_eq!((answer.status, pool.sent()), (429, 2), "{}", answer.body);
    }
    assert_eq!(
        pool.cooling_scopes(),
        [
            "project:p1|m#google_search|tool_quota",
            "project:p2|m#google_search|tool_quota"
        ]
    );
    pool.script(200, "application/json", &[NATIVE_ANSWER]);
    assert_eq!(pool.generate(GENERATE, PROMPT).status, 200);
    pool.script(200, "application/json", &[NATIVE_ANSWER]);
    let other_tool = with_tool.replace("google_search", "code_execution");
    assert_eq!(pool.generate(GENERATE, &other_tool).status, 200);
    pool.advance(6_000);
    pool.script(200, "application/json", &[NATIVE_ANSWER]);
    assert_eq!(pool.generate(GENERATE, with_tool).status, 200);
    assert_eq!(pool.cooling_scopes().len(), 1, "the trial succeeded");
    let models = "SELECT DISTINCT model FROM api_call_logs";
    assert_eq!(pool.database.query(models), ["m"]);
}

#[test]
fn retries_a_corrupted_signature_once() {
    let body = r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"QS1zaWc="}}}]}]}"#;
    let pool = projects(3);
    pool.script_google_error(400, "INVALID_ARGUMENT", "Corrupted thought signature.");
    pool.script_answer();
    assert_eq!(pool.chat(body).status, 200);
    assert_eq!(
        (pool.used_keys(), pool.cooling_scopes().len()),
        ("12".into(), 0)
    );

    let pool = projects(3);
    pool.script_google_error(400, "INVALID_ARGUMENT", "Corrupted thought signature.");
    pool.script_google_error(400, "INVALID_ARGUMENT", "Corrupted thought signature.");
    let answer = pool.chat(body);
    assert_eq!((answer.status, pool.sent()), (400, 2));
    assert!(
        answer
            .error("message")
            .contains("Corrupted thought signature")
    );
}

#[test]
fn learns_the_credential_header_of_a_key() {
    let pool = Pool::new();
    pool.database
        .run("UPDATE api_keys SET api_key = 'AQ.FAKE-1' WHERE id = 1");
    pool.script_google_error(
        400,
        "INVALID_ARGUMENT",
        "Multiple authentication credentials received. Please pass only one.",
    );
    pool.script_answer();
    let answer = pool.chat(CHAT);
    assert_eq!(answer.status, 200, "{}", answer.body);
    pool.advance(1_000);
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    let sent = pool.host.0.sent.borrow();
    let credential = |index: usize| {
        let headers: &HeaderMap = &sent[index].headers;
        ["authorization", "x-goog-api-key"].map(|name| {
            headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        })
    };
    assert_eq!(credential(0), [Some("Bearer AQ.FAKE-1".into()), None]);
    for index in [1, 2] {
        assert_eq!(credential(index), [None, Some("AQ.FAKE-1".into())]);
    }
    let view = "SELECT status, credential_header FROM api_keys";
    assert_eq!(pool.database.query(view), ["1|x-goog-api-key"]);
    assert_eq!(pool.outcomes(), "credential_misplaced success success");
}

#[test]
fn fails_when_the_upstream_accepts_no_credential_header() {
    let pool = Pool::new();
    pool.database
        .run("UPDATE api_keys SET api_key = 'AQ.FAKE-1' WHERE id = 1");
    for _ in 0..2 {
        pool.script_google_error(
            400,
            "INVALID_ARGUMENT",
            "Multiple authentication credentials received. Please pass only one.",
        );
    }
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent()), (502, 2));
    assert_eq!(pool.outcomes(), "credential_misplaced pool_fault");
    let view = "SELECT status, credential_header FROM api_keys";
    assert_eq!(pool.database.query(view), ["1|NULL"]);
}

#[test]
fn fails_over_on_a_200_without_an_answer() {
    let page = "<html><body>Please sign in</body></html>";
    for (kind, body) in [
        ("text/html", page),
        ("application/json", &ANSWER[..60]),
        ("application/json", r#"{"status":"ok"}"#),
        ("application/json", "null"),
        ("application/json", ""),
        ("text/event-stream", page),
        ("text/event-stream", ""),
    ] {
        // An empty chunk would be a stall.
        let chunks: &[&str] = if body.is_empty() { &[] } else { &[body] };
        let pool = projects(2);
        pool.script(200, kind, chunks);
        pool.script_answer();
        let answer = pool.chat(CHAT);
        assert_eq!(answer.status, 200, "{kind} {body}: {}", answer.body);
        assert!(answer.body.contains("Hi"));
        assert_eq!(pool.outcomes(), "upstream_trouble success", "{kind} {body}");
        for path in [GENERATE, "/v1beta/models/m:embedContent"] {
            let is_json = serde_json::from_str::<serde_json::Value>(body).is_ok();
            if path != GENERATE && (kind == "text/event-stream" || is_json) {
                // Embeddings are not streamed, and any JSON is accepted.
                continue;
            }
            let pool = projects(2);
            pool.script(200, kind, chunks);
            pool.script(200, "application/json", &[NATIVE_ANSWER]);
            let answer = pool.generate(path, PROMPT);
            assert!(answer.body.contains("Hi"), "{path} {kind} {body}");
        }
    }
}

#[test]
fn fails_over_on_an_error_with_status_200_for_embeddings() {
    let pool = projects(2);
    pool.script(
        200,
        "application/json",
        &[r#"{"error":{"code":503,"status":"UNAVAILABLE","message":"Busy."}}"#],
    );
    pool.script(
        200,
        "application/json",
        &[r#"{"embedding":{"values":[1]}}"#],
    );
    let answer = pool.generate("/v1beta/models/m:embedContent", PROMPT);
    assert!(answer.body.contains("values"), "{}", answer.body);
    assert_eq!(pool.outcomes(), "model_overloaded success");
}

#[test]
fn fails_over_on_a_large_html_page() {
    let page = format!("<html>{}</html>", "x".repeat(2_000_000));
    let pool = projects(2);
    pool.script(200, "text/html", &[&page]);
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert_eq!(pool.outcomes(), "upstream_trouble success");
}

#[test]
fn creating_a_known_name_does_not_need_its_owner() {
    let pool = projects(2);
    pool.database.run("INSERT INTO resources (name, api_key_id, project, made_at) VALUES ('files/daily', 1, 'p1', '2027-01-14T08:00:00.000Z')");
    pool.database
        .run("UPDATE api_keys SET status = 0 WHERE id = 1");
    pool.script(
        200,
        "application/json",
        &[r#"{"file":{"name":"files/daily"}}"#],
    );
    let answer = pool.generate("/v1beta/files", r#"{"file":{"name":"files/daily"}}"#);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let owner = "SELECT api_key_id FROM resources WHERE name = 'files/daily'";
    assert_eq!(pool.database.query(owner), ["2"]);
}

#[test]
fn retries_an_answer_without_usable_content_once() {
    let malformed = r#"{"choices":[{"finish_reason":"function_call_filter: MALFORMED_FUNCTION_CALL","index":0,"message":{"extra_content":{"google":{}},"role":"assistant"}}],"created":1,"id":"c1","model":"m","object":"chat.completion","usage":{"completion_tokens":14,"prompt_tokens":111,"total_tokens":125}}"#;
    let thoughts = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant"}}],"created":1,"id":"c1","model":"m","object":"chat.completion","usage":{"completion_tokens":0,"prompt_tokens":10,"total_tokens":810}}"#;
    for empty in [malformed, thoughts] {
        let pool = projects(2);
        pool.script(200, "application/json", &[empty]);
        pool.script_answer();
        let answer = pool.chat(CHAT);
        assert_eq!(answer.header("x-keypool-attempts"), Some("2"));
        assert!(answer.body.contains("Hi"), "{}", answer.body);
        assert_eq!(
            (pool.statuses().as_str(), pool.cooling_scopes().len()),
            ("11", 0)
        );
        // The second empty answer passes.
        let pool = projects(3);
        pool.script(200, "application/json", &[empty]);
        pool.script(200, "application/json", &[empty]);
        assert_eq!((pool.chat(CHAT).status, pool.sent()), (200, 2));
    }
    for empty in [
        r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL","index":0}],"usageMetadata":{"promptTokenCount":111}}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"c2ln"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":10,"thoughtsTokenCount":800,"totalTokenCount":810}}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true}],"role":"model"},"finishReason":"STOP","index":0}]}"#,
    ] {
        let pool = projects(2);
        pool.script(200, "application/json", &[empty]);
        pool.script(200, "application/json", &[NATIVE_ANSWER]);
        assert!(pool.generate(GENERATE, PROMPT).body.contains("Hi"));
        let events = format!("data: {empty}\r\n\r\n");
        let answer = format!("data: {NATIVE_ANSWER}\r\n\r\n");
        let stream = "/v1beta/models/m:streamGenerateContent?alt=sse";
        let pool = projects(2);
        pool.script(200, "text/event-stream", &[&events]);
        pool.script(200, "text/event-stream", &[&answer]);
        assert!(pool.generate(stream, PROMPT).body.contains("Hi"), "{empty}");
    }
    let blocked = r#"{"candidates":[{"finishReason":"SAFETY","index":0}]}"#;
    let pool = projects(2);
    pool.script(200, "application/json", &[blocked]);
    assert_eq!(
        (pool.generate(GENERATE, PROMPT).status, pool.sent()),
        (200, 1)
    );
}

#[test]
fn retries_an_unsent_call_at_once() {
    for error in [
        TransportError::NotSent("ConnectionLimitReached".into()),
        TransportError::Unanswered("HttpProtocolError".into()),
    ] {
        let pool = projects(1);
        pool.script_reply(Err(error.clone()));
        pool.script_answer();
        let before = pool.host.0.now.get();
        assert_eq!(pool.chat(CHAT).status, 200, "{error:?}");
        assert!(pool.host.0.now.get() - before < 100, "no backoff");
        assert_eq!(pool.used_keys(), "11", "the same key is used");
        let retries = "SELECT count(*) FROM retry_budget";
        assert_eq!(pool.database.query(retries), ["0"]);

        // A second failure counts as upstream trouble.
        let pool = projects(2);
        pool.script_reply(Err(error.clone()));
        pool.script_reply(Err(error));
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).status, 200);
        assert_eq!(
            pool.database.query("SELECT retries FROM retry_budget"),
            ["1"]
        );
    }
    // A call that may have had side effects is not repeated.
    let pool = projects(2);
    pool.script_reply(Err(TransportError::Unanswered("HttpProtocolError".into())));
    let batch = pool.generate("/v1beta/openai/batches", "{}");
    assert_eq!((batch.status, pool.sent()), (502, 1));
    pool.script_reply(Err(TransportError::NotSent("ConnectionRefused".into())));
    pool.script(200, "application/json", &["{}"]);
    assert_eq!(pool.generate("/v1beta/openai/batches", "{}").status, 200);
}

#[test]
fn the_status_report_lists_cool_downs() {
    let pool = projects(2);
    pool.script_google_error(
        429,
        "RESOURCE_EXHAUSTED",
        "Your project has exceeded its monthly spending cap.",
    );
    pool.script_answer();
    pool.chat(CHAT);
    let token = format!("Bearer {TOKEN}");
    let report = pool.call("GET", "/api/keys/status", &[("authorization", &token)], "");
    let report: serde_json::Value = serde_json::from_str(&report.body).unwrap();
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
    pool.database.run(&format!(
        "INSERT INTO retry_budget (minute, calls_before, retries) VALUES ({minute}, 0, 10)"
    ));
    pool.script_google_error(
        503,
        "UNAVAILABLE",
        "The model is overloaded. Please try again later.",
    );
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent()), (503, 1));
    assert_eq!(answer.header("x-should-retry"), None);
}
