//! Client tokens that operators create: their limits, and how changes take effect.

use super::admin::{assert_problem, ids};
use super::*;
use serde_json::{Value, json};

const MODELS: &str = r#"{"object":"list","data":[{"id":"models/m"},{"id":"models/gemini-flash"}]}"#;
const ADDRESS: &str = "spin-client-addr";

impl Pool {
    /// Creates a token with these limits, and returns it.
    #[track_caller]
    fn create(&self, limits: Value) -> String {
        let mut body = json!({"name": "of a colleague"});
        let all = body.as_object_mut().unwrap();
        all.extend(limits.as_object().unwrap().clone());
        let created = self.admin("POST", "tokens", &body);
        created.assert_status(201);
        created.json()["token"].as_str().unwrap().to_owned()
    }

    fn chat_as(&self, token: &str) -> Answer {
        self.chat_as_with(token, &[], CHAT)
    }

    fn chat_as_with(&self, token: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [&[("authorization", &*bearer)], headers].concat();
        self.call("POST", COMPLETIONS, &headers, body)
    }

    #[track_caller]
    fn serve_as(&self, token: &str) {
        self.script_answer();
        self.chat_as(token).assert_status(200);
    }

    fn token_action(&self, action: &str, body: Value) -> Value {
        let answer = self.admin("POST", &format!("tokens/1/{action}"), &body);
        answer.assert_status(200);
        answer.json()
    }
}

#[test]
fn a_created_token_calls_wherever_clients_put_it_and_its_calls_bear_its_id() {
    let pool = Pool::new();
    pool.serve_chats(1);
    let token = pool.create(json!({}));
    let bearer = format!("Bearer {token}");
    for header in [
        ("authorization", &*bearer),
        ("x-goog-api-key", &token),
        ("x-api-key", &token),
    ] {
        pool.script_answer();
        pool.call("POST", COMPLETIONS, &[header], CHAT)
            .assert_status(200);
    }
    pool.script_json(GENERATED);
    let path = format!("{GENERATE}?key={token}");
    pool.call("POST", &path, &[], CONTENTS).assert_status(200);
    assert_eq!(
        pool.log_rows("token_id"),
        ["NULL", "1", "1", "1", "1"],
        "the built-in token has no id"
    );
    let sums = "SELECT token_id, sum(calls) FROM api_call_hours GROUP BY 1";
    assert_eq!(pool.query(sums), ["0|1", "1|4"]);
    let sent = pool.last_sent();
    assert!(!sent.uri.contains(&token) && !format!("{:?}", sent.headers).contains(&token));
    let status = pool.call("GET", "/api/keys/status", &[("authorization", &bearer)], "");
    status.assert_status(200);
    let keys = "/admin/api/v1/keys";
    let refused = pool.call("GET", keys, &[("authorization", &bearer)], "");
    assert_problem(&refused, keys, 401, "invalid_operator_token");
}

#[test]
fn a_token_is_shown_once() {
    let pool = Pool::new();
    let limits = json!({
        "expires_at": "2030-01-01T00:00:00.000Z", "models": ["gemini-*"],
        "networks": ["10.0.0.0/8", "2001:db8::/32"],
        "requests_per_minute": 60, "tokens_per_day": 1000
    });
    let token = pool.create(limits.clone());
    let shown = pool.listed("tokens/1");
    for (name, value) in limits.as_object().unwrap() {
        assert_eq!(shown[name], *value, "{name}");
    }
    assert_eq!(shown["prefix"], token[..11]);
    assert_eq!(shown["state"], "active");
    assert_eq!(pool.listed("tokens")["items"][0], shown);
    let rotated = pool.token_action("rotate", json!({}));
    assert_ne!(rotated["token"], *token);
    let all = [
        pool.listed("tokens").to_string(),
        pool.listed("audit").to_string(),
        pool.log_lines().concat(),
        pool.query("SELECT * FROM client_tokens").concat(),
    ];
    for text in all {
        for secret in [&*token, rotated["token"].as_str().unwrap()] {
            assert!(!text.contains(&secret[..12]), "{text}");
        }
    }
    pool.create(json!({}));
    assert_eq!(ids(&pool.listed("tokens?q=COLLEAGUE&sort=-id")), [2, 1]);
    assert_eq!(ids(&pool.listed("tokens?state=expired")), [0; 0]);
}

#[test]
fn an_unknown_token_is_a_wrong_guess() {
    let (pool, other) = (Pool::new(), Pool::new());
    let secret = ("authorization", "Bearer kp_fake-token-of-nobody");
    pool.create(json!({}));
    other.host.random();
    let foreign = other.create(json!({}));
    pool.chat_as(&foreign)
        .assert_error(401, "invalid_client_token");
    for _ in 0..19 {
        let answer = pool.call("POST", COMPLETIONS, &[secret], CHAT);
        answer.assert_error(401, "invalid_client_token");
    }
    let limited = pool.call("POST", COMPLETIONS, &[secret], CHAT);
    limited.assert_error(429, "rate_limit_exceeded");
}

#[test]
fn a_change_by_another_instance_counts_within_half_a_second() {
    let pool = Pool::new();
    let token = pool.create(json!({}));
    pool.serve_as(&token);
    pool.run("UPDATE client_tokens SET disabled_at = '2027-01-15T08:00:00.000Z'");
    pool.serve_as(&token);
    pool.advance(500);
    let refused = pool.chat_as(&token);
    refused.assert_error(401, "client_token_disabled");
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    // A change by this instance counts at once.
    pool.token_action("enable", json!({}));
    pool.serve_as(&token);
    assert_eq!(pool.token_action("disable", json!({}))["state"], "disabled");
    pool.chat_as(&token)
        .assert_error(401, "client_token_disabled");
    pool.admin("DELETE", "tokens/1", &json!({}))
        .assert_status(204);
    pool.chat_as(&token)
        .assert_error(401, "invalid_client_token");
}

#[test]
fn only_unknown_tokens_cost_a_statement() {
    let pool = Pool::new();
    let token = pool.create(json!({}));
    pool.serve_chats(1);
    let statements = |chat: &dyn Fn()| {
        let before = pool.database.statements();
        chat();
        pool.database.statements() - before
    };
    let built_in = statements(&|| pool.serve_chats(1));
    let first = statements(&|| pool.serve_as(&token));
    let second = statements(&|| pool.serve_as(&token));
    assert_eq!((first, second), (built_in + 1, built_in));
}

#[test]
fn a_token_expires() {
    let pool = Pool::new();
    let token = pool.create(json!({"expires_at": "2027-01-15T08:00:01Z"}));
    pool.serve_as(&token);
    pool.advance(1000);
    pool.chat_as(&token)
        .assert_error(401, "client_token_expired");
    assert_eq!(ids(&pool.listed("tokens?state=expired")), [1]);
    pool.admin("PATCH", "tokens/1", &json!({"expires_at": null}))
        .assert_status(200);
    pool.serve_as(&token);
}

#[test]
fn a_rotated_token_works_until_its_grace_ends() {
    let pool = Pool::new();
    let first = pool.create(json!({}));
    let rotated = pool.token_action("rotate", json!({"grace_seconds": 60}));
    let second = rotated["token"].as_str().unwrap();
    assert_eq!(rotated["previous_until"], "2027-01-15T08:01:00.000Z");
    pool.serve_as(&first);
    pool.serve_as(second);
    assert_eq!(pool.log_rows("token_id"), ["1", "1"]);
    pool.advance(60_500);
    pool.chat_as(&first)
        .assert_error(401, "invalid_client_token");
    pool.serve_as(second);
    pool.token_action("rotate", json!({}));
    pool.chat_as(second)
        .assert_error(401, "invalid_client_token");
}

#[test]
fn a_token_works_from_its_networks_only() {
    let pool = Pool::new();
    let token = pool.create(json!({"networks": ["10.0.0.0/8", "2001:db8::/32"]}));
    for (address, is_allowed) in [
        ("10.1.2.3:4567", true),
        ("[::ffff:10.1.2.3]:4567", true),
        ("[2001:db8::1]:4567", true),
        ("11.0.0.1:4567", false),
        ("[2001:db9::1]:4567", false),
        ("unknown", false),
    ] {
        if is_allowed {
            pool.script_answer();
        }
        let answer = pool.chat_as_with(&token, &[(ADDRESS, address)], CHAT);
        match is_allowed {
            true => answer.assert_status(200),
            false => answer.assert_error(403, "network_not_allowed"),
        }
    }
    pool.chat_as(&token)
        .assert_error(403, "network_not_allowed");
}

#[test]
fn a_token_may_use_its_models_only() {
    let pool = Pool::with(&[("model_aliases", "gpt-*=gemini-flash,other=m")]);
    let token = pool.create(json!({"models": ["gemini-*"]}));
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", &*bearer)];
    for model in ["gemini-flash", "gpt-4o", "models/gemini-flash"] {
        pool.script_answer();
        let body = CHAT.replace("\"m\"", &format!("{model:?}"));
        pool.chat_as_with(&token, &[], &body).assert_status(200);
    }
    let chat = CHAT.replace("\"m\"", "\"other\"");
    for (path, body) in [
        (COMPLETIONS, CHAT),
        (COMPLETIONS, &chat),
        (COMPLETIONS, r#"{"messages":[],"model":"chat"}"#),
        ("/v1/responses", r#"{"model":"m","input":"hi"}"#),
        ("/v1/embeddings", r#"{"model":"m","input":"hi"}"#),
        ("/v1beta/models/m:generateContent", CONTENTS),
        ("/v1beta/models/m:countTokens", CONTENTS),
        ("/v1beta/cachedContents", r#"{"model":"models/m"}"#),
        // These could use any model.
        ("/v1/batches", r#"{"input_file_id":"files/f"}"#),
        ("/v1alpha/auth_tokens", "{}"),
        ("/v1/videos", "--multipart"),
    ] {
        let answer = pool.call("POST", path, &headers, body);
        assert_eq!(answer.status, 403, "{path} {body}: {}", answer.body);
        assert_contains(&answer.body.to_lowercase(), "model_not_allowed");
    }
    pool.script_json(r#"{"totalTokens":1}"#);
    let count = "/v1beta/models/gemini-flash:countTokens";
    pool.call("POST", count, &headers, CONTENTS)
        .assert_status(200);
    pool.script_json("{}");
    pool.call("GET", "/v1beta/files/f", &headers, "")
        .assert_status(200);
    assert_eq!(pool.sent(), 5);
    pool.script_json(MODELS);
    let listed = pool.call("GET", "/v1/models", &headers, "").json();
    let names = listed["data"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["gemini-flash", "gpt-latest"]);
    let all = pool.get("/v1/models").json();
    assert_eq!(all["data"].as_array().unwrap().len(), 4);
}

#[test]
fn requests_per_minute_are_limited() {
    let pool = Pool::new();
    let token = pool.create(json!({"requests_per_minute": 2}));
    let other = pool.create(json!({"requests_per_minute": 2}));
    pool.serve_as(&token);
    pool.serve_as(&token);
    let limited = pool.chat_as(&token);
    limited.assert_error(429, "requests_per_minute_exceeded");
    limited.assert_message("`requests_per_minute` of 2. Try again in 60 s.");
    assert_eq!(limited.header("retry-after"), Some("60"));
    assert_eq!(limited.header("x-should-retry"), None);
    pool.serve_as(&other);
    pool.serve_chats(1);
    pool.advance(60_000);
    pool.serve_as(&token);
}

#[test]
fn tokens_per_day_are_limited() {
    let pool = Pool::new();
    let token = pool.create(json!({"tokens_per_day": 90}));
    pool.serve_as(&token);
    pool.serve_as(&token);
    let used = "SELECT tokens FROM client_token_hours";
    assert_eq!(pool.query(used), ["98"]);
    let limited = pool.chat_as(&token);
    limited.assert_error(429, "tokens_per_day_exceeded");
    limited.assert_message("`tokens_per_day` of 90. Try again in 86400 s.");
    assert_eq!(limited.header("retry-after"), None);
    assert_eq!(limited.header("x-should-retry"), Some("false"));
    pool.serve_chats(1);
    // Shortly before midnight in Los Angeles, a retry makes sense.
    let day_ms = 86_400_000;
    pool.advance(day_ms - pool.now() - 2000);
    let limited = pool.chat_as(&token);
    assert_eq!(limited.header("retry-after"), Some("2"));
    assert_eq!(limited.header("x-should-retry"), None);
    pool.advance(2000);
    pool.serve_as(&token);
    let raised = json!({"tokens_per_day": null});
    pool.admin("PATCH", "tokens/1", &raised).assert_status(200);
    pool.serve_as(&token);
}

#[test]
fn limits_are_not_enforced_while_the_database_cannot_count() {
    let pool = Pool::new();
    let token = pool.create(json!({"requests_per_minute": 1, "tokens_per_day": 1}));
    pool.serve_as(&token);
    pool.database
        .fail("client_token_hours", "disk I/O error", 1);
    pool.serve_as(&token);
    assert_eq!(pool.count_lines("limits of token 1: database"), 1);
    // Whether a token is valid must be known.
    pool.advance(500);
    pool.database
        .fail("FROM client_tokens", "disk I/O error", 1);
    pool.chat_as(&token)
        .assert_error(503, "database_unavailable");
}

#[test]
fn a_pool_without_a_built_in_token_works_with_others() {
    let pool = Pool::with(&[("my_api_token", "")]);
    pool.chat(CHAT)
        .assert_error(503, "client_token_not_configured");
    let token = pool.create(json!({}));
    pool.serve_as(&token);
    pool.probe("/readyz").assert_status(200);
    pool.chat(CHAT).assert_error(401, "invalid_client_token");
    pool.call("POST", COMPLETIONS, &[], CHAT)
        .assert_error(401, "missing_client_token");
    pool.admin("DELETE", "tokens/1", &json!({}))
        .assert_status(204);
    pool.probe("/readyz")
        .assert_error(503, "client_token_not_configured");
}

#[test]
fn a_created_token_in_place_of_a_name_is_refused_and_not_logged() {
    let pool = Pool::new();
    let token = pool.create(json!({}));
    let refused = pool.chat_for(&token);
    refused.assert_error(400, "invalid_request");
    assert_eq!(pool.sent(), 0);
    let echo = ApiError::new(
        400,
        "INVALID_ARGUMENT",
        format!("about {token}, said twice"),
    );
    pool.script_error(&echo);
    let answer = pool.chat_as(&token);
    for text in [
        answer.body,
        pool.logged().concat(),
        pool.log_lines().concat(),
    ] {
        assert!(!text.contains(&token[..12]), "{text}");
    }
}
