//! What people who run such pools have reported, and what the pool must make of it. Sources are named in the table of
//! `gemini/classify.rs`.

use super::*;
use serde_json::json;

const GENERATE: &str = "/v1beta/models/m:generateContent";
const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"x"}]}]}"#;
const NATIVE_ANSWER: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1}}"#;
const MINUTE_MS: i64 = 60_000;

/// A pool of keys 1 to `keys`, each of a project of its own, drawn in their order.
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
    fn says(&self, status: u16, code: &str, message: &str) {
        let error = google_error(status, code, message, json!([]));
        self.script(status, "application/json", &[&error]);
    }

    fn works(&self) {
        self.script(200, "application/json", &[ANSWER]);
    }

    fn generate(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, &[("x-goog-api-key", TOKEN)], body)
    }

    fn chat_for(&self, model: &str) -> Answer {
        self.chat(&CHAT.replace("\"m\"", &format!("{model:?}")))
    }

    /// The keys of all calls so far, in order.
    fn keys(&self) -> String {
        self.database
            .query("SELECT api_key_id FROM api_call_logs ORDER BY id")
            .concat()
    }

    fn outcomes(&self) -> String {
        self.database
            .query("SELECT outcome FROM api_call_logs ORDER BY id")
            .join(" ")
    }

    fn places(&self) -> Vec<String> {
        self.database
            .query("SELECT scope, model, reason FROM cool_downs ORDER BY scope, model")
    }

    fn statuses(&self) -> String {
        self.database
            .query("SELECT status FROM api_keys ORDER BY id")
            .concat()
    }

    /// As if all keys had been used for a day, with success.
    fn has_worked(&self) {
        self.database.run(
            "UPDATE api_keys SET last_success_at = '2027-01-14T08:00:00.000Z', last_success_began_at = '2027-01-14T07:59:59.000Z'",
        );
    }
}

#[test]
fn a_spending_cap_puts_the_whole_project_out_for_long() {
    const CAP: &str = "Your project has exceeded its monthly spending cap. Please go to AI Studio at https://ai.studio/spend to manage your project spend cap.";
    let pool = projects(2);
    pool.says(429, "RESOURCE_EXHAUSTED", CAP);
    pool.works();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert_eq!(pool.places(), ["project:p1||billing_exhausted"]);
    for model in ["m", "another"] {
        pool.later(5 * MINUTE_MS);
        pool.works();
        assert_eq!(pool.chat_for(model).status, 200);
    }
    assert_eq!(pool.keys(), "1222");

    let pool = projects(1);
    pool.says(429, "RESOURCE_EXHAUSTED", CAP);
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
    // The trial after an hour fails as well: twice as long.
    pool.later(60 * MINUTE_MS);
    pool.says(429, "RESOURCE_EXHAUSTED", CAP);
    let wait = pool.chat(CHAT).reported_wait();
    assert!((7190..=7200).contains(&wait), "{wait}");
}

#[test]
fn a_plan_that_lacks_something_is_no_fault_of_the_request() {
    let country = "Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.";
    let billed = "Imagen API is only accessible to billed users at this time.";
    for (code, message, place) in [
        (
            "FAILED_PRECONDITION",
            country,
            "project:p1||free_tier_refused",
        ),
        ("INVALID_ARGUMENT", billed, "project:p1|m|plan_refused"),
    ] {
        let pool = projects(2);
        pool.says(400, code, message);
        pool.works();
        let answer = pool.chat(CHAT);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-keypool-attempts"), Some("2"));
        assert_eq!(pool.places(), [place]);
        for _ in 0..10 {
            pool.works();
            assert_eq!(pool.chat(CHAT).status, 200);
        }
        assert_eq!(pool.keys(), "12".to_owned() + &"2".repeat(10));

        // The caller hears of it only if every project says so.
        let pool = projects(2);
        pool.says(400, code, message);
        pool.says(400, code, message);
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
fn a_message_that_only_resembles_a_refusal_harms_nobody() {
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
            pool.says(status, code, message);
        }
        let answer = pool.chat(CHAT);
        assert_eq!(answer.status, status, "{message}");
        assert_eq!(pool.places().len(), 0, "{message}");
        assert_eq!(pool.statuses(), "11111", "{message}");
        pool.outside.0.replies.borrow_mut().clear();
        pool.works();
        assert_eq!(pool.chat(CHAT).status, 200, "{message}");
    }
}

#[test]
fn another_model_is_served_by_a_project_whose_plan_lacks_one() {
    let pool = projects(2);
    pool.says(
        400,
        "INVALID_ARGUMENT",
        "Imagen API is only accessible to billed users at this time.",
    );
    pool.script(200, "application/json", &[r#"{"predictions":[]}"#]);
    let image = "/v1beta/models/imagen-4.0-generate-001:predict";
    assert_eq!(pool.generate(image, "{}").status, 200);
    pool.works();
    pool.chat(CHAT);
    pool.script(200, "application/json", &[r#"{"predictions":[]}"#]);
    assert_eq!(pool.generate(image, "{}").status, 200);
    assert_eq!(pool.keys(), "1212");
}

#[test]
fn a_model_that_only_some_projects_may_use_is_asked_of_one_other() {
    const GONE: &str = "Requested entity was not found.";
    let pool = projects(3);
    pool.says(404, "NOT_FOUND", GONE);
    pool.works();
    let answer = pool.chat(CHAT);
    assert_eq!(answer.status, 200);
    assert_eq!(pool.places(), ["project:p1|m|entity_not_found"]);
    pool.works();
    pool.chat(CHAT);
    assert_eq!(pool.keys(), "122");

    // Two that say the same are right.
    let pool = projects(3);
    pool.says(404, "NOT_FOUND", GONE);
    pool.says(404, "NOT_FOUND", GONE);
    let answer = pool.generate(GENERATE, PROMPT);
    assert_eq!((answer.status, pool.sent()), (404, 2));
    assert!(answer.body.contains(GONE));
    assert_eq!(pool.places().len(), 0);

    // Nothing is to be found out where a resource is named, or where all keys are of one project.
    let pool = projects(3);
    pool.says(404, "NOT_FOUND", GONE);
    let with_file = r#"{"contents":[{"parts":[{"fileData":{"fileUri":"files/abc"}}]}]}"#;
    assert_eq!(pool.generate(GENERATE, with_file).status, 404);
    assert_eq!(pool.sent(), 1);
    let pool = projects(3);
    pool.database.run("UPDATE api_keys SET project = 'p'");
    pool.says(404, "NOT_FOUND", GONE);
    assert_eq!((pool.chat(CHAT).status, pool.sent()), (404, 1));
}

#[test]
fn a_method_that_takes_no_keys_harms_none() {
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
        pool.has_worked();
        for _ in 0..2 {
            pool.script(status, kind, &[body]);
            pool.script(status, kind, &[body]);
            let answer = pool.generate("/v1beta/tunedModels", "{}");
            assert_eq!(answer.status, status, "{}", answer.body);
        }
        assert_eq!(pool.sent(), 4, "one other project is asked");
        assert_eq!(pool.statuses(), "11111");
        assert_eq!(pool.places().len(), 0);
        pool.works();
        assert_eq!(pool.chat(CHAT).status, 200);
    }
}

#[test]
fn what_another_key_can_do_is_held_against_the_first_for_that_alone() {
    let location = "User location is not supported for the API use.";
    let pool = projects(2);
    pool.says(400, "FAILED_PRECONDITION", location);
    pool.works();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert_eq!(pool.places(), ["key:1|m|egress_refused"]);
    pool.works();
    pool.chat_for("another");
    assert_eq!(pool.keys(), "121");

    // All say so for one model: the caller hears it, and other models work.
    let pool = projects(2);
    pool.says(400, "FAILED_PRECONDITION", location);
    pool.says(400, "FAILED_PRECONDITION", location);
    let answer = pool.chat(CHAT);
    assert_eq!(answer.status, 400);
    assert!(answer.error("message").contains(location));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(pool.places().len(), 0);
    pool.works();
    assert_eq!(pool.chat_for("another").status, 200);
}

#[test]
fn a_key_that_has_worked_lately_is_disabled_by_the_second_rejection_only() {
    const INVALID: &str = "API key not valid. Please pass a valid API key.";
    let pool = projects(2);
    pool.has_worked();
    pool.says(400, "INVALID_ARGUMENT", INVALID);
    pool.works();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert_eq!(pool.statuses(), "21");
    let reason = "SELECT disabled_reason LIKE 'key_rejected: %' FROM api_keys WHERE id = 1";
    assert_eq!(pool.database.query(reason), ["1"]);
    pool.later(29 * MINUTE_MS);
    pool.works();
    pool.chat(CHAT);
    // Its pause is over, and it works again.
    pool.later(MINUTE_MS);
    pool.works();
    pool.chat(CHAT);
    assert_eq!((pool.keys(), pool.statuses()), ("1221".into(), "11".into()));

    // Once more, and then twice in a row.
    for statuses in ["21", "01"] {
        pool.later(31 * MINUTE_MS);
        pool.says(400, "INVALID_ARGUMENT", INVALID);
        pool.works();
        assert_eq!(pool.chat(CHAT).status, 200);
        assert_eq!(pool.statuses(), statuses);
    }
}

#[test]
fn a_key_that_never_worked_is_disabled_at_once() {
    let pool = projects(2);
    pool.says(
        400,
        "INVALID_ARGUMENT",
        "API key not valid. Please pass a valid API key.",
    );
    pool.works();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert_eq!(pool.statuses(), "01");
}

#[test]
fn a_restricted_key_is_paused_and_says_why() {
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
            pool.works();
            assert_eq!(pool.chat(CHAT).status, 200, "{reason}");
            assert_eq!(pool.statuses(), "21", "{reason}");
            pool.later(31 * MINUTE_MS);
        }
        pool.works();
        assert_eq!(pool.chat(CHAT).status, 200);
        assert_eq!(pool.keys(), "1212121");
        let told = pool
            .database
            .query("SELECT count(*) FROM api_call_logs WHERE outcome = 'key_restricted'");
        assert_eq!(told, ["3"]);
    }
}

#[test]
fn a_key_that_is_restricted_to_other_methods_still_serves_models() {
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
    assert_eq!(pool.places(), ["key:1|files|request_refused"]);
    pool.works();
    pool.chat(CHAT);
    assert_eq!(pool.keys(), "121");
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
fn a_request_that_no_quota_can_take_silences_nobody() {
    let pool = projects(6);
    let large = CHAT.replace("the prompt", &"word ".repeat(80_000));
    pool.script(429, "application/json", &[&tokens_error(16_000)]);
    pool.script(429, "application/json", &[&tokens_error(16_000)]);
    for run in ["the first", "the limits are known"] {
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
    assert_eq!(pool.places().len(), 0);
    for _ in 0..10 {
        pool.works();
        assert_eq!(pool.chat(CHAT).status, 200);
    }
    // Of another model nothing is known.
    pool.works();
    assert_eq!(
        pool.chat(&large.replace("\"m\"", "\"another\"")).status,
        200
    );
}

#[test]
fn a_large_request_goes_to_the_project_whose_limit_allows_it() {
    let pool = projects(3);
    for (project, limit) in [("p1", 16_000), ("p2", 16_000), ("p3", 1_000_000)] {
        pool.database.run(&format!(
            "INSERT INTO limits (scope, model, unit, per, preset) VALUES ('project:{project}', 'm', 'input_tokens', 'minute', {limit})"
        ));
    }
    pool.works();
    let large = CHAT.replace("the prompt", &"word ".repeat(80_000));
    assert_eq!(pool.chat(&large).status, 200);
    assert_eq!(pool.keys(), "3");

    // Also where nothing is known of the others.
    let pool = projects(3);
    pool.database.run("INSERT INTO limits (scope, model, unit, per, preset) VALUES ('project:p3', 'm', 'input_tokens', 'minute', 1000000)");
    pool.works();
    assert_eq!(pool.chat(&large).status, 200);
    assert_eq!(pool.keys(), "3");
}

#[test]
fn a_batch_of_more_texts_than_the_quota_is_told_so() {
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
fn a_tools_quota_does_not_take_the_model_away() {
    let pool = projects(2);
    let with_tool = r#"{"contents":[{"parts":[{"text":"news?"}]}],"tools":[{"google_search":{}}]}"#;
    let quota = "You exceeded your current quota, please check your plan and billing details.";
    pool.says(429, "RESOURCE_EXHAUSTED", quota);
    pool.says(429, "RESOURCE_EXHAUSTED", quota);
    for _ in 0..10 {
        let answer = pool.generate(GENERATE, with_tool);
        assert_eq!((answer.status, pool.sent()), (429, 2), "{}", answer.body);
    }
    assert_eq!(
        pool.places(),
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
    pool.later(6_000);
    pool.script(200, "application/json", &[NATIVE_ANSWER]);
    assert_eq!(pool.generate(GENERATE, with_tool).status, 200);
    assert_eq!(pool.places().len(), 1, "the trial has worked");
    let models = "SELECT DISTINCT model FROM api_call_logs";
    assert_eq!(pool.database.query(models), ["m"]);
}

#[test]
fn a_signature_of_another_project_gets_one_other_attempt() {
    let body = r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"QS1zaWc="}}}]}]}"#;
    let pool = projects(3);
    pool.says(400, "INVALID_ARGUMENT", "Corrupted thought signature.");
    pool.works();
    assert_eq!(pool.chat(body).status, 200);
    assert_eq!((pool.keys(), pool.places().len()), ("12".into(), 0));

    let pool = projects(3);
    pool.says(400, "INVALID_ARGUMENT", "Corrupted thought signature.");
    pool.says(400, "INVALID_ARGUMENT", "Corrupted thought signature.");
    let answer = pool.chat(body);
    assert_eq!((answer.status, pool.sent()), (400, 2));
    assert!(
        answer
            .error("message")
            .contains("Corrupted thought signature")
    );
}

#[test]
fn an_authorization_key_is_sent_in_the_header_that_the_upstream_wants() {
    let pool = Pool::new();
    pool.database
        .run("UPDATE api_keys SET api_key = 'AQ.FAKE-1' WHERE id = 1");
    pool.says(
        400,
        "INVALID_ARGUMENT",
        "Multiple authentication credentials received. Please pass only one.",
    );
    pool.works();
    let answer = pool.chat(CHAT);
    assert_eq!(answer.status, 200, "{}", answer.body);
    pool.later(1_000);
    pool.works();
    assert_eq!(pool.chat(CHAT).status, 200);
    let sent = pool.outside.0.sent.borrow();
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
fn a_key_that_no_header_carries_ends_the_request() {
    let pool = Pool::new();
    pool.database
        .run("UPDATE api_keys SET api_key = 'AQ.FAKE-1' WHERE id = 1");
    for _ in 0..2 {
        pool.says(
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
fn a_200_that_is_no_answer_goes_to_another_key() {
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
        // An empty chunk would be a pause.
        let chunks: &[&str] = if body.is_empty() { &[] } else { &[body] };
        let pool = projects(2);
        pool.script(200, kind, chunks);
        pool.works();
        let answer = pool.chat(CHAT);
        assert_eq!(answer.status, 200, "{kind} {body}: {}", answer.body);
        assert!(answer.body.contains("Hi"));
        assert_eq!(pool.outcomes(), "upstream_trouble success", "{kind} {body}");
        for path in [GENERATE, "/v1beta/models/m:embedContent"] {
            let is_json = serde_json::from_str::<serde_json::Value>(body).is_ok();
            if path != GENERATE && (kind == "text/event-stream" || is_json) {
                // Embeddings are not streamed, and may be any JSON.
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
fn an_error_under_a_200_is_an_error_for_embeddings_too() {
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
fn a_large_page_is_no_answer_either() {
    let page = format!("<html>{}</html>", "x".repeat(2_000_000));
    let pool = projects(2);
    pool.script(200, "text/html", &[&page]);
    pool.works();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert_eq!(pool.outcomes(), "upstream_trouble success");
}

#[test]
fn what_is_created_anew_is_not_used() {
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
fn an_answer_that_came_to_nothing_is_asked_for_once_more() {
    let malformed = r#"{"choices":[{"finish_reason":"function_call_filter: MALFORMED_FUNCTION_CALL","index":0,"message":{"extra_content":{"google":{}},"role":"assistant"}}],"created":1,"id":"c1","model":"m","object":"chat.completion","usage":{"completion_tokens":14,"prompt_tokens":111,"total_tokens":125}}"#;
    let thoughts = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant"}}],"created":1,"id":"c1","model":"m","object":"chat.completion","usage":{"completion_tokens":0,"prompt_tokens":10,"total_tokens":810}}"#;
    for empty in [malformed, thoughts] {
        let pool = projects(2);
        pool.script(200, "application/json", &[empty]);
        pool.works();
        let answer = pool.chat(CHAT);
        assert_eq!(answer.header("x-keypool-attempts"), Some("2"));
        assert!(answer.body.contains("Hi"), "{}", answer.body);
        assert_eq!((pool.statuses().as_str(), pool.places().len()), ("11", 0));
        // The second one is passed on.
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
fn a_call_that_was_never_sent_is_sent_again_at_once() {
    for error in [
        TransportError::NotSent("ConnectionLimitReached".into()),
        TransportError::Unanswered("HttpProtocolError".into()),
    ] {
        let pool = projects(1);
        pool.script_reply(Err(error.clone()));
        pool.works();
        let before = pool.outside.0.now.get();
        assert_eq!(pool.chat(CHAT).status, 200, "{error:?}");
        assert!(
            pool.outside.0.now.get() - before < 100,
            "without a back-off"
        );
        assert_eq!(pool.keys(), "11", "the same key will do");
        let retries = "SELECT count(*) FROM retry_budget";
        assert_eq!(pool.database.query(retries), ["0"]);

        // Twice is trouble like any other.
        let pool = projects(2);
        pool.script_reply(Err(error.clone()));
        pool.script_reply(Err(error));
        pool.works();
        assert_eq!(pool.chat(CHAT).status, 200);
        assert_eq!(
            pool.database.query("SELECT retries FROM retry_budget"),
            ["1"]
        );
    }
    // What may have been done is not done again.
    let pool = projects(2);
    pool.script_reply(Err(TransportError::Unanswered("HttpProtocolError".into())));
    let batch = pool.generate("/v1beta/openai/batches", "{}");
    assert_eq!((batch.status, pool.sent()), (502, 1));
    pool.script_reply(Err(TransportError::NotSent("ConnectionRefused".into())));
    pool.script(200, "application/json", &["{}"]);
    assert_eq!(pool.generate("/v1beta/openai/batches", "{}").status, 200);
}

#[test]
fn the_status_report_names_what_cools() {
    let pool = projects(2);
    pool.says(
        429,
        "RESOURCE_EXHAUSTED",
        "Your project has exceeded its monthly spending cap.",
    );
    pool.works();
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
fn a_client_may_come_back_after_trouble_that_was_not_retried() {
    let pool = projects(1);
    // No retry is left in the pool's budget of this minute.
    let minute = NOON.0 / MINUTE_MS;
    pool.database.run(&format!(
        "INSERT INTO retry_budget (minute, calls_before, retries) VALUES ({minute}, 0, 10)"
    ));
    pool.says(
        503,
        "UNAVAILABLE",
        "The model is overloaded. Please try again later.",
    );
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent()), (503, 1));
    assert_eq!(answer.header("x-should-retry"), None);
}
