//! The admin API: who may use it, and what it answers.

use super::*;
use serde_json::{Value, json};

/// Every call of the admin API, and the older paths for operators.
pub(super) const CALLS: &str = r#"
    GET     /admin/api/v1/keys            -                                     read
    GET     /admin/api/v1/keys/1          -                                     read
    PATCH   /admin/api/v1/keys/1          {"name":"n"}                          change
    POST    /admin/api/v1/keys/1/disable  -                                     change
    POST    /admin/api/v1/keys/1/enable   -                                     change
    POST    /admin/api/v1/keys/1/pause    {"until":"2030-01-01T00:00:00Z"}      change
    POST    /admin/api/v1/keys/1/reset    -                                     change
    POST    /admin/api/v1/keys/1/drill    {"fault":"reset"}                     change
    PUT     /admin/api/v1/keys/1/limits   {"limits":[]}                         change
    GET     /admin/api/v1/keys/1/history  -                                     read
    POST    /admin/api/v1/keys/1/test     -                                     change
    POST    /admin/api/v1/keys/test       -                                     change
    POST    /admin/api/v1/keys            fake-new-key-1                        change
    DELETE  /admin/api/v1/keys/1          -                                     change
    GET     /admin/api/v1/calls           -                                     read
    GET     /admin/api/v1/calls/export    -                                     read
    GET     /admin/api/v1/statistics      -                                     read
    GET     /admin/api/v1/requests/req_00000000000000000000000000000007 -       read
    GET     /admin/api/v1/tokens          -                                     read
    GET     /admin/api/v1/tokens/1        -                                     read
    POST    /admin/api/v1/tokens          {"name":"n"}                          change
    PATCH   /admin/api/v1/tokens/1        {"name":"n"}                          change
    POST    /admin/api/v1/tokens/1/disable -                                    change
    POST    /admin/api/v1/tokens/1/enable -                                     change
    POST    /admin/api/v1/tokens/1/rotate {"grace_seconds":60}                  change
    DELETE  /admin/api/v1/tokens/1        -                                     change
    GET     /admin/api/v1/keys/activity?ids=1 -                                 read
    GET     /admin/api/v1/pool            -                                     read
    GET     /admin/api/v1/audit           -                                     read
    GET     /admin/api/v1/encryption      -                                     read
    GET     /admin/api/v1/openapi.json    -                                     read
    GET     /admin/api/v1/forecast        -                                     read
    GET     /admin/api/v1/settings        -                                     read
    GET     /admin/api/v1/session         -                                     anyone
    POST    /admin/api/v1/session         -                                     read
    DELETE  /admin/api/v1/session         -                                     read
    POST    /api/keys/1/reset             -                                     change
    POST    /api/pool/forget?model=m      -                                     change
    GET     /api/pool/explain?model=m     -                                     read"#;

/// Calls as an operator who may only read.
const READER: (&str, &str) = ("authorization", "Bearer fake-read-token-00001");

impl Pool {
    pub(super) fn admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.admin_text(method, path, &body.to_string())
    }

    pub(super) fn admin_text(&self, method: &str, path: &str, body: &str) -> Answer {
        let path = format!("/admin/api/v1/{path}");
        let answer = self.call(method, &path, &[OPERATOR], body);
        openapi::assert_described(method, &path, &answer);
        answer
    }

    pub(super) fn listed(&self, query: &str) -> Value {
        let answer = self.admin_text("GET", query, "");
        answer.assert_status(200);
        answer.json()
    }
}

pub(super) fn ids(list: &Value) -> Vec<i64> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|key| key["id"].as_i64().unwrap())
        .collect()
}

/// Checks an error of the admin API, in the format of RFC 9457. The older paths have OpenAI's.
pub(super) fn assert_problem(answer: &Answer, path: &str, status: u16, code: &str) {
    if path.starts_with("/api/") {
        answer.assert_error(status, code);
        return;
    }
    answer.assert_status(status);
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/problem+json"), "{path}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem["code"], code, "{problem}");
    for member in ["type", "title", "detail"] {
        assert!(problem[member].is_string(), "{problem}");
    }
}

#[test]
fn each_call_needs_its_permission() {
    for [method, path, body, permission] in table(CALLS) {
        let pool = Pool::new();
        pool.admin("POST", "tokens", &json!({"name": "first"}))
            .assert_status(201);
        pool.run(
            "INSERT INTO api_call_logs (api_key_id, success, called_at, request_id, attempt) VALUES
             (1, 1, '1970-01-01T00:00:00.000Z', 'req_00000000000000000000000000000007', 1)",
        );
        let body = body.trim_matches('-');
        // For the tests of keys.
        pool.script_json(r#"{"models":[]}"#);
        let call = |headers: &[(&str, &str)]| pool.call(method, path, headers, body);
        if permission != "anyone" {
            assert_problem(&call(&[]), path, 401, "missing_operator_token");
        }
        assert_problem(&call(&[BEARER]), path, 401, "invalid_operator_token");
        let expected = match (method, path) {
            ("DELETE", _) => 204,
            ("POST", "/admin/api/v1/tokens") => 201,
            _ => 200,
        };
        let reader = call(&[READER]);
        match permission {
            "read" | "anyone" => assert_eq!(reader.status, expected, "{method} {path}"),
            _ => assert_problem(&reader, path, 403, "read_only_token"),
        };
        let answer = call(&[OPERATOR]);
        openapi::assert_described(method, path, &answer);
        assert_eq!(answer.status, expected, "{method} {path}");
    }
}

#[test]
fn without_a_token_of_operators_the_admin_api_says_how_to_set_one() {
    let pool = Pool::with(&[("admin_token", ""), ("admin_read_token", "")]);
    for [method, path, body, permission] in table(CALLS) {
        for headers in [&[][..], &[BEARER], &[OPERATOR]] {
            if permission == "anyone" && headers.is_empty() {
                continue;
            }
            let answer = pool.call(method, path, headers, body.trim_matches('-'));
            assert_problem(&answer, path, 403, "operator_token_not_configured");
            assert_contains(&answer.body, "SPIN_VARIABLE_ADMIN_TOKEN");
        }
    }
    pool.call("GET", "/api/keys/status", &[BEARER], "")
        .assert_status(200);
}

#[test]
fn the_status_report_is_for_clients_and_operators() {
    let pool = Pool::new();
    for token in [BEARER, READER, OPERATOR] {
        let answer = pool.call("GET", "/api/keys/status", &[token], "");
        answer.assert_status(200);
    }
    let wrong = ("authorization", "Bearer wrong-token");
    let answer = pool.call("GET", "/api/keys/status", &[wrong], "");
    answer.assert_error(401, "invalid_client_token");
}

#[test]
fn an_operators_token_is_no_client_token() {
    let pool = Pool::new();
    let answer = pool.call("POST", COMPLETIONS, &[OPERATOR], CHAT);
    answer.assert_error(401, "invalid_client_token");
}

#[test]
fn wrong_tokens_of_operators_are_limited_per_address() {
    let pool = Pool::new();
    let keys = "/admin/api/v1/keys";
    for _ in 0..20 {
        pool.call("GET", keys, &[BEARER], "").assert_status(401);
    }
    let limited = pool.call("GET", keys, &[BEARER], "");
    assert_problem(&limited, keys, 429, "rate_limit_exceeded");
    assert!(limited.header("retry-after").is_some());
    pool.get(keys).assert_status(200);
}

#[test]
fn unknown_paths_and_methods_are_problems() {
    let pool = Pool::new();
    for (method, path, status, code) in [
        ("GET", "/admin/api/v1/nothing", 404, "unknown_path"),
        ("GET", "/admin/api/v2/keys", 404, "unknown_path"),
        ("POST", "/admin/api/v1/keys/2/test", 404, "unknown_key"),
        ("GET", "/admin/api/v1/keys/2/history", 404, "unknown_key"),
        ("PUT", "/admin/api/v1/keys/1", 405, "method_not_allowed"),
        ("GET", "/admin/api/v1/keys/2", 404, "unknown_key"),
        ("DELETE", "/admin/api/v1/keys/2", 404, "unknown_key"),
        ("GET", "/admin/api/v1/tokens/1", 404, "unknown_token"),
        ("DELETE", "/admin/api/v1/tokens/1", 404, "unknown_token"),
        (
            "POST",
            "/admin/api/v1/tokens/1/rotate",
            404,
            "unknown_token",
        ),
    ] {
        let answer = pool.call(method, path, &[OPERATOR], "");
        assert_problem(&answer, path, status, code);
    }
}

#[test]
fn lists_keys_by_page() {
    let pool = Pool::of(5);
    let first = pool.listed("keys?limit=2&sort=-id");
    assert_eq!(ids(&first), [5, 4]);
    let mut seen = ids(&first);
    let mut next = first["next_cursor"].clone();
    while let Some(cursor) = next.as_str() {
        let page = pool.listed(&format!("keys?limit=2&sort=-id&cursor={cursor}"));
        seen.extend(ids(&page));
        next = page["next_cursor"].clone();
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    assert_eq!(ids(&pool.listed("keys?status=disabled")), [0; 0]);
}

#[test]
fn a_key_is_reported_with_its_cool_downs_but_without_its_value() {
    let pool = Pool::new();
    pool.run("UPDATE api_keys SET project = 'projects/7'");
    pool.run(
        "INSERT INTO cool_downs (scope, model, reason, strikes, began_at, until) VALUES
         ('project:projects/7', 'm', 'quota_per_day', 1,
          '2027-01-15T06:00:00.000Z', '2027-01-16T08:00:00.000Z'),
         ('key:2', '', 'billing_exhausted', 1,
          '2027-01-15T06:00:00.000Z', '2027-01-16T08:00:00.000Z')",
    );
    let mut key = pool.listed("keys/1");
    let cooling = json!([{
        "scope": "project:projects/7", "model": "m", "reason": "quota_per_day",
        "until": "2027-01-16T08:00:00.000Z"
    }]);
    assert_eq!(key["cooling"], cooling);
    assert_eq!(key["status"], "active");
    assert_eq!(
        key.as_object_mut().unwrap().remove("limits"),
        Some(json!([]))
    );
    assert_eq!(pool.listed("keys")["items"][0], key);
    assert!(!key.to_string().contains(KEY), "{key}");
}

#[test]
fn an_operator_edits_a_key() {
    let pool = Pool::new();
    let all = json!({"name": "Anna", "priority": 7, "project": "projects/7", "tags": ["a", "b"], "note": "of Anna",
        "allowed_models": ["gemini-*"], "forbidden_models": ["*-pro"]});
    let answer = pool.admin("PATCH", "keys/1", &all);
    answer.assert_status(200);
    let key = answer.json();
    for (name, value) in all.as_object().unwrap() {
        assert_eq!(key[name], *value, "{name}");
    }
    let cleared = json!({"name": null, "tags": null, "note": " "});
    let key = pool.admin("PATCH", "keys/1", &cleared).json();
    assert!(key["name"].is_null() && key["note"].is_null());
    assert_eq!((&key["tags"], &key["priority"]), (&json!([]), &json!(7)));
}

#[test]
fn invalid_parameters_are_named() {
    let pool = Pool::new();
    for (method, path, body, expected) in [
        ("PATCH", "keys/1", json!({}), "at least one member"),
        (
            "PATCH",
            "keys/1",
            json!({"nam": "x"}),
            "it may have `name`, `priority`",
        ),
        (
            "PATCH",
            "keys/1",
            json!({"priority": -1}),
            "`priority` must be a whole number",
        ),
        (
            "PATCH",
            "keys/1",
            json!({"tags": ["a", ""]}),
            "`tags[1]` must not be empty",
        ),
        (
            "PATCH",
            "keys/1",
            json!({"name": "x".repeat(201)}),
            "`name` must have at most 200 characters",
        ),
        (
            "PATCH",
            "keys/1",
            json!({"name": "a\nb"}),
            "`name` must be one line",
        ),
        (
            "PATCH",
            "keys/1",
            json!({"allowed_models": ["a b"]}),
            "`allowed_models[0]` must be a model, or a pattern",
        ),
        ("PUT", "keys/1/limits", json!({}), "`limits` is missing"),
        (
            "PUT",
            "keys/1/limits",
            json!({"limits": [{"scope": "project", "unit": "requests", "per": "day", "preset": 1}]}),
            "`limits[0].scope` must be `key`, since the key has no project",
        ),
        (
            "PUT",
            "keys/1/limits",
            json!({"limits": [{"unit": "requests", "per": "hour", "preset": 1}]}),
            "`limits[0].per` must be one of `minute`, `day`",
        ),
        (
            "POST",
            "keys",
            json!({"key": "x"}),
            "either `keys` or `text`",
        ),
        (
            "POST",
            "keys?dry_run=yes",
            json!({"keys": []}),
            "`dry_run` must be one of `true`, `false`",
        ),
        (
            "POST",
            "keys/test",
            json!({"ids": ["1"]}),
            "`ids[0]` must be the id of a key",
        ),
        (
            "POST",
            "keys/test",
            json!({"status": "odd"}),
            "`status` must be one of `active`",
        ),
        ("PATCH", "keys/1", json!([]), "must be an object"),
        ("POST", "keys/1/pause", json!({}), "`until` is missing"),
        (
            "POST",
            "keys/1/pause",
            json!({"until": "2020-01-01"}),
            "`until` must be a time in the future",
        ),
        ("POST", "keys/1/enable", json!({"x": 1}), "must be empty"),
        ("POST", "keys/1/drill", json!({}), "`fault` is missing"),
        (
            "POST",
            "keys/1/drill",
            json!({"fault": "418"}),
            "`fault` must be one of `429`, `503`, `reset`",
        ),
        (
            "POST",
            "keys/1/drill",
            json!({"fault": "429", "calls": 1001}),
            "`calls` must be a whole number from 0 to 1000",
        ),
        ("POST", "tokens", json!({}), "`name` is missing"),
        (
            "POST",
            "tokens",
            json!({"name": " "}),
            "`name` must not be empty",
        ),
        (
            "POST",
            "tokens",
            json!({"name": "n", "expires_at": "2020-01-01"}),
            "`expires_at` must be a time in the future",
        ),
        (
            "POST",
            "tokens",
            json!({"name": "n", "models": []}),
            "`models` must have 1 to 100 items",
        ),
        (
            "POST",
            "tokens",
            json!({"name": "n", "models": ["m", "a b"]}),
            "`models[1]` must be a model or a pattern",
        ),
        (
            "POST",
            "tokens",
            json!({"name": "n", "networks": ["10.0.0.0/33"]}),
            "`networks[0]` must be a network",
        ),
        (
            "POST",
            "tokens",
            json!({"name": "n", "requests_per_minute": 0}),
            "`requests_per_minute` must be a whole number",
        ),
        (
            "POST",
            "tokens/1/rotate",
            json!({"grace_seconds": 2_592_001}),
            "`grace_seconds` must be a whole number from 0 to 2592000",
        ),
        (
            "GET",
            "tokens?state=cooling",
            json!({}),
            "`state` must be one of `active`",
        ),
        (
            "GET",
            "keys?limit=0",
            json!({}),
            "`limit` must be a whole number from 1 to 1000",
        ),
        (
            "GET",
            "keys?sort=-x",
            json!({}),
            "`sort` must be one of `id`",
        ),
        (
            "GET",
            "keys?status=odd",
            json!({}),
            "`status` must be one of `active`",
        ),
        (
            "GET",
            "keys?cursor=odd",
            json!({}),
            "`cursor` is not the `next_cursor`",
        ),
        (
            "GET",
            "keys?odd=1",
            json!({}),
            "`query` has an unknown parameter",
        ),
    ] {
        let answer = pool.admin(method, path, &body);
        assert_problem(&answer, path, 400, "invalid_request");
        assert_contains(&answer.body, &expected.replace('"', "\\\""));
    }
    assert_eq!(pool.count("audit_log"), 0);
}

#[test]
fn each_action_changes_the_next_draw() {
    let pool = Pool::new();
    for (action, body, status, answered) in [
        ("disable", json!({"reason": "leaked"}), "disabled", 503),
        ("enable", json!({}), "active", 200),
        (
            "pause",
            json!({"until": "2030-01-01T00:00:00Z"}),
            "cooling",
            503,
        ),
        ("reset", json!({}), "active", 200),
    ] {
        let changed = pool.admin("POST", &format!("keys/1/{action}"), &body);
        changed.assert_status(200);
        assert_eq!(changed.json()["status"], status, "{action}");
        if answered == 200 {
            pool.script_answer();
        }
        assert_eq!(pool.chat(CHAT).status, answered, "{action}");
    }
    pool.admin("DELETE", "keys/1", &json!({}))
        .assert_status(204);
    assert_eq!(pool.chat(CHAT).error("code"), "no_usable_key");
    assert_eq!(pool.logged().len(), 2, "the log of a deleted key stays");
    let audit = pool.listed("audit");
    let actions: Vec<&str> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    let expected = [
        "delete_key",
        "reset_key",
        "pause_key",
        "enable_key",
        "disable_key",
    ];
    assert_eq!(actions, expected);
    let disabled = &pool.listed("audit?action=disable_key&subject=key:1")["items"][0];
    assert_eq!(disabled["actor"], "admin_token");
    assert_eq!(disabled["before"]["status"], 1);
    assert_eq!(disabled["after"]["disabled_reason"], "leaked");
    assert!(!audit.to_string().contains(KEY));
}

#[test]
fn calls_are_listed_exported_and_shown_by_request() {
    let pool = Pool::of(2);
    pool.script_error(&errors::overloaded());
    pool.script_answer();
    let answer = pool.chat(CHAT);
    pool.advance(60_000);
    pool.serve_chats(1);
    let calls = pool.listed("calls");
    assert_eq!(calls["items"].as_array().unwrap().len(), 3);
    let failed = pool.listed("calls?success=false&model=m");
    assert_eq!(failed["items"][0]["outcome"], "model_overloaded");
    let earlier = pool.listed("calls?until=2027-01-15T08:00:30Z&sort=called_at");
    assert_eq!(earlier["items"].as_array().unwrap().len(), 2);

    let id = answer.header("x-request-id").unwrap();
    let request = pool.listed(&format!("requests/{id}"));
    assert_eq!(request["arrived_at"], "2027-01-15T08:00:00.000Z");
    let attempts = request["attempts"].as_array().unwrap();
    let statuses: Vec<&Value> = attempts
        .iter()
        .map(|call| &call["response_status"])
        .collect();
    assert_eq!(statuses, [503, 200]);
    assert_eq!(earlier["items"], request["attempts"]);

    let csv = pool.get("/admin/api/v1/calls/export?success=false");
    assert_eq!(
        csv.header("content-type"),
        Some("text/csv; charset=utf-8; header=present")
    );
    let lines: Vec<&str> = csv.body.split("\r\n").collect();
    assert!(lines[0].starts_with("id,called_at,request_id,attempt,key_id,token_id,model,outcome"));
    assert!(lines[1].contains(&format!("{id},1,")), "{}", lines[1]);
    assert_eq!(lines[2..], [""]);
    let export = pool.get("/admin/api/v1/calls/export?format=jsonl");
    let exported: Vec<Value> = export.body.lines().map(json).collect();
    assert_eq!((exported.len(), &exported[0]), (3, &attempts[0]));

    let unknown = format!("requests/req_{:032x}", 8);
    let answer = pool.admin("GET", &unknown, &json!({}));
    assert_problem(&answer, &unknown, 404, "unknown_request");
    let answer = pool.admin("GET", "calls?from=soon", &json!({}));
    assert_problem(&answer, "calls", 400, "invalid_request");
}

#[test]
fn statistics_group_calls() {
    let pool = Pool::new();
    pool.run(
        "INSERT INTO api_call_logs (api_key_id, success, called_at, attempt, model, outcome, token_id, response_time_ms, first_byte_ms, input_tokens) VALUES
         (1, 0, '2027-01-15T08:10:00.000Z', 1, 'm', 'quota_per_minute', 7, 40, 30, NULL),
         (2, 1, '2027-01-15T08:10:01.000Z', 2, 'm', 'success', 7, 1200, 300, 9),
         (2, 1, '2027-01-15T09:10:01.000Z', 1, 'n', 'success', NULL, 15, NULL, 1)",
    );
    let since = "from=2027-01-15T08:00:00Z";
    let hours = pool.listed(&format!("statistics?{since}"));
    let first = json!({
        "hour": "2027-01-15T08:00:00.000Z", "calls": 2, "requests": 1, "successes": 1,
        "outcomes": {"quota_per_minute": 1, "success": 1},
        "input_tokens": 9, "output_tokens": 0, "thinking_tokens": 0, "cached_tokens": 0,
        "longest_ms": 1200,
        "duration_ms": {"mean": 620, "p50": 42, "p95": 1216, "p99": 1216},
        "first_byte_ms": {"mean": 165, "p50": 31, "p95": 304, "p99": 304},
    });
    assert_eq!(hours["items"][0], first);
    assert_eq!(hours["items"].as_array().unwrap().len(), 2);
    let tokens = pool.listed(&format!("statistics?{since}&by=model,token"));
    let groups = |list: &Value| -> Vec<Value> {
        let items = list["items"].as_array().unwrap();
        let group = |item: &Value| json!([item["model"], item["token_id"], item["calls"]]);
        items.iter().map(group).collect()
    };
    assert_eq!(groups(&tokens), [json!(["m", 7, 2]), json!(["n", null, 1])]);
    let page = pool.listed(&format!("statistics?{since}&by=model&limit=1"));
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = pool.listed(&format!("statistics?{since}&by=model&cursor={cursor}"));
    assert_eq!(groups(&rest), [json!(["n", null, 1])]);
    for wrong in [
        "by=hours",
        "by=key,key",
        "limit=0",
        "status=429",
        "by=key,model&cursor=WzFd",
        "from=now",
    ] {
        let answer = pool.admin_text("GET", &format!("statistics?{wrong}"), "");
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[test]
fn budgets_of_a_day_are_forecast_for_keys_that_exist() {
    let pool = Pool::of(2);
    pool.insert_limit("key:1", "m", "requests", "day", 100);
    pool.insert_limit("key:2", "", "requests", "day", 9);
    pool.insert_limit("key:2", "m", "requests", "minute", 9);
    pool.insert_limit("key:9", "m", "requests", "day", 9);
    // NOON is midnight in Los Angeles, when a day begins.
    pool.advance(10 * 3_600_000);
    pool.run(
        "INSERT INTO budget_usage (scope, model, per, began_at, requests, input_tokens) VALUES
         ('key:1', 'm', 'day', '2027-01-15T08:00:00.000Z', 98, 0);
         INSERT INTO api_call_hours SELECT '2027-01-15T17:00:00.000Z', 1, 'm', 'success', 0, 4, 4, 4,
             0, 0, 0, 0, 0, 0, 0, 0",
    );
    let forecast = pool.listed("forecast");
    let expected = json!({"at": "2027-01-15T18:00:00.000Z", "items": [
        {
            "scope": "key:1", "model": "m", "unit": "requests", "limit": 100, "used": 98,
            "left": 2, "resets_at": "2027-01-16T08:00:00.000Z", "pace_per_hour": 2.0,
            "ends_at": "2027-01-15T19:00:00.000Z"
        },
        {
            "scope": "key:2", "model": null, "unit": "requests", "limit": 9, "used": 0, "left": 9,
            "resets_at": "2027-01-16T08:00:00.000Z", "pace_per_hour": 0.0, "ends_at": null
        }
    ]});
    assert_eq!(forecast, expected);
}

#[test]
fn the_settings_list_every_variable_but_no_secret() {
    let encryption_key = crate::store::testing::encryption_key(1);
    let set = [
        ("gemini_api_key", "fake-key-to-import-0001"),
        ("encryption_key", &*encryption_key),
        ("allowed_origins", "AIzaFAKE-key-where-a-host-belongs-01"),
        ("max_attempts", "7"),
        ("retry_empty", "true"),
        ("my_api_token", "short-token"),
    ];
    let pool = Pool::with(&set);
    let answer = pool.admin_text("GET", "settings", "");
    answer.assert_status(200);
    let settings = answer.json();
    let of = |name: &str| {
        let items = settings["items"].as_array().unwrap();
        let mut items = items.iter().filter(|item| item["name"] == name);
        let item = items.next().unwrap_or_else(|| panic!("no {name}")).clone();
        assert!(items.next().is_none(), "{name}");
        (
            item["value"].clone(),
            item["is_set"].clone(),
            item["is_default"].clone(),
        )
    };
    for name in crate::config::VARIABLES {
        of(name);
    }
    let endpoint = format!("{ORIGIN}/v1beta/openai/chat/completions");
    for (name, value, is_set, is_default) in [
        ("my_api_token", json!(null), true, false),
        ("encryption_key", json!(null), true, false),
        ("encryption_key_previous", json!(null), false, true),
        ("gemini_api_key", json!(null), true, false),
        ("max_attempts", json!("7"), true, false),
        ("retry_empty", json!("true"), true, true),
        ("max_wait", json!("1"), true, true),
        ("llm_api_origin", json!(ORIGIN), true, true),
        ("llm_api_endpoint", json!(endpoint), true, true),
        ("public_url", json!(null), false, true),
    ] {
        let expected = (value, json!(is_set), json!(is_default));
        assert_eq!(of(name), expected, "{name}");
    }
    let warning = settings["warnings"][0].as_str().unwrap();
    assert_contains(warning, "my_api_token has fewer");
    let operators = [ADMIN_TOKEN, READ_TOKEN];
    let secrets = set
        .iter()
        .filter(|(name, _)| !["max_attempts", "retry_empty"].contains(name));
    for secret in secrets.map(|(_, value)| *value).chain(operators) {
        assert!(
            !answer.body.contains(&secret[..8]),
            "{secret}: {}",
            answer.body
        );
    }
}

#[test]
fn an_unchanged_response_is_not_sent_again() {
    let pool = Pool::new();
    let get = |path: &str, tag: &str| {
        let path = format!("/admin/api/v1/{path}");
        let answer = pool.call("GET", &path, &[OPERATOR, ("if-none-match", tag)], "");
        openapi::assert_described("GET", &path, &answer);
        answer
    };
    let first = get("keys", "\"other\"");
    first.assert_status(200);
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    let tag = first.header("etag").unwrap();
    for known in [tag, &format!("W/{tag}"), &format!("\"other\", {tag}"), "*"] {
        let again = get("keys", known);
        again.assert_status(304);
        assert_eq!(
            (&*again.body, again.header("etag")),
            ("", Some(tag)),
            "{known}"
        );
        assert_eq!(again.header("content-length"), None);
    }
    get("keys/1", tag).assert_status(200);
    pool.admin("PATCH", "keys/1", &json!({"name": "changed"}))
        .assert_status(200);
    let changed = get("keys", tag);
    changed.assert_status(200);
    assert_ne!(changed.header("etag"), Some(tag));
    for path in ["calls/export", "keys/9"] {
        assert_eq!(get(path, "*").header("etag"), None, "{path}");
    }
}
