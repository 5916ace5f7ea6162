//! The admin API for keys: adding and testing them, their limits, models and history.

use super::admin::{assert_problem, ids};
use super::*;
use serde_json::{Value, json};

/// A list of models, as a test of a key receives it.
const MODELS: &str = r#"{"models":[{"name":"models/gemini-flash-latest"}]}"#;

impl Pool {
    fn add(&self, query: &str, body: &str) -> Value {
        let answer = self.admin_text("POST", &format!("keys{query}"), body);
        answer.assert_status(200);
        answer.json()
    }
}

/// The status of each entry.
fn statuses(report: &Value) -> Vec<&str> {
    let items = report["items"].as_array().unwrap().iter();
    items.map(|item| item["status"].as_str().unwrap()).collect()
}

#[test]
fn a_dry_run_reports_each_entry_and_changes_nothing() {
    let pool = Pool::new();
    let body = format!("fake-new-key-00001\n{KEY}\nfake-new-key-00001\nbad\n");
    let dry = pool.add("?dry_run=true", &body);
    assert_eq!(
        statuses(&dry),
        ["new", "duplicate", "duplicate", "malformed"]
    );
    let counts = json!({"new": 1, "duplicate": 2, "known_dead": 0, "malformed": 1});
    assert_eq!(dry["counts"], counts);
    let [new, known, again, bad] = [0, 1, 2, 3].map(|at| &dry["items"][at]);
    assert_eq!(new["hint"], "…0001");
    assert_eq!(
        (&new["id"], &known["id"], &again["position"]),
        (&json!(null), &json!(1), &json!(3))
    );
    assert_contains(bad["reason"].as_str().unwrap(), "a key is 8 to 512");
    assert_eq!((pool.count("api_keys"), pool.count("audit_log")), (1, 0));

    let added = pool.add("", &body);
    assert_eq!(statuses(&added), statuses(&dry));
    assert_eq!(
        (&added["items"][0]["id"], &added["items"][2]["id"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(
        statuses(&pool.add("", &body)),
        ["duplicate", "duplicate", "duplicate", "malformed"]
    );
    let audit = pool.listed("audit");
    assert_eq!(audit["items"].as_array().unwrap().len(), 1);
    assert_eq!(audit["items"][0]["after"], json!({"added": 1}));
    assert!(!format!("{dry}{added}{audit}").contains("fake-new"));
}

#[test]
fn added_keys_serve_the_next_call() {
    let pool = Pool::new();
    pool.admin("DELETE", "keys/1", &json!({}))
        .assert_status(204);
    let csv = "key,name,tags\nfake-new-key-00001,Anna,a;b\n";
    pool.add("", csv);
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).key(), "2");
    let key = pool.listed("keys/2");
    assert_eq!(
        (&key["name"], &key["tags"]),
        (&json!("Anna"), &json!(["a", "b"]))
    );
}

#[test]
fn a_rejected_key_is_known_to_be_dead() {
    let pool = Pool::of(2);
    pool.script_error(&errors::key_invalid());
    pool.script_answer();
    pool.run("UPDATE api_keys SET priority = 0 WHERE id = 2");
    pool.chat(CHAT).assert_status(200);
    let report = pool.add("", KEY);
    assert_eq!(
        (statuses(&report), &report["items"][0]["id"]),
        (vec!["known_dead"], &json!(1))
    );
    pool.admin("DELETE", "keys/1", &json!({}))
        .assert_status(204);
    assert_eq!(statuses(&pool.add("", KEY)), ["known_dead"]);
    assert_eq!(pool.count("api_keys"), 1);
    assert_eq!(statuses(&pool.add("?add_dead=true", KEY)), ["new"]);
    assert_eq!(pool.count("api_keys"), 2);
}

#[test]
fn a_test_lists_a_model_and_is_logged() {
    let pool = Pool::new();
    pool.script_json(MODELS);
    let test = pool.admin("POST", "keys/1/test", &json!({}));
    test.assert_status(200);
    let expected = json!({"id": 1, "name": null, "outcome": "success", "upstream_status": null,
        "message": null, "duration_ms": 50, "key_status": "active"});
    assert_eq!(test.json(), expected);
    let sent = pool.last_sent();
    assert_eq!(sent.method, Method::GET);
    assert_eq!(sent.uri, format!("{ORIGIN}/v1beta/models?pageSize=1"));
    assert_eq!(sent.headers["x-goog-api-key"], KEY);
    assert!(!sent.headers.contains_key("authorization"));
    let rows = pool.log_rows("model || ' ' || outcome || ' ' || request_id");
    assert_eq!(
        rows,
        [format!(
            "models success {}",
            test.header("x-request-id").unwrap()
        )]
    );
}

#[test]
fn a_test_moves_the_state_of_a_key_like_any_call() {
    let pool = Pool::new();
    pool.script_native_errors(1, &errors::key_invalid());
    let test = pool.admin("POST", "keys/1/test", &json!({})).json();
    assert_eq!(test["outcome"], "key_rejected");
    assert_eq!(test["upstream_status"], 400);
    assert_eq!(test["key_status"], "disabled");
    assert!(!test.to_string().contains(KEY));

    // A success reactivates nothing that an operator or a rejection has disabled.
    for action in ["disable", "pause"] {
        let until = match action {
            "pause" => json!({"until": "2030-01-01T00:00:00Z"}),
            _ => json!({}),
        };
        pool.admin("POST", &format!("keys/1/{action}"), &until);
        pool.script_json(MODELS);
        let test = pool.admin("POST", "keys/1/test", &json!({})).json();
        let status = if action == "pause" {
            "cooling"
        } else {
            "disabled"
        };
        assert_eq!(
            (&test["outcome"], &test["key_status"]),
            (&json!("success"), &json!(status))
        );
        assert_eq!(pool.listed("keys/1")["status"], status);
    }
}

#[test]
fn an_unreachable_upstream_is_no_fault_of_the_key() {
    let pool = Pool::new();
    pool.script_silence();
    let test = pool.admin("POST", "keys/1/test", &json!({})).json();
    assert_eq!(
        (&test["outcome"], &test["key_status"]),
        (&json!("upstream_trouble"), &json!("active"))
    );
    assert!(test["duration_ms"].as_i64().unwrap() >= 10_000);
}

#[test]
fn several_keys_are_tested_by_selection_and_page() {
    let pool = Pool::of(12);
    pool.run("UPDATE api_keys SET tags = '[\"x\"]' WHERE id IN (3, 5)");
    let test = |body: Value| {
        let answer = pool.admin("POST", "keys/test", &body);
        answer.assert_status(200);
        answer.json()
    };
    let script = |count| (0..count).for_each(|_| pool.script_json(MODELS));
    script(2);
    assert_eq!(ids(&test(json!({"tag": "x"}))), [3, 5]);
    script(2);
    assert_eq!(ids(&test(json!({"ids": [7, 2, 7, 99]}))), [2, 7]);
    script(12);
    let first = test(json!({"limit": 7}));
    let cursor = &first["next_cursor"];
    let rest = test(json!({"limit": 7, "cursor": cursor}));
    assert_eq!(ids(&first), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(
        (ids(&rest), &rest["next_cursor"]),
        (vec![8, 9, 10, 11, 12], &json!(null))
    );
    assert_eq!(pool.sent(), 16);
    assert_eq!(test(json!({"ids": []}))["items"], json!([]));
}

#[test]
fn tests_that_take_long_are_continued_by_the_next_request() {
    let pool = Pool::of(20);
    (0..20).for_each(|_| pool.script_silence());
    let first = pool.admin("POST", "keys/test", &json!({})).json();
    let tested = ids(&first);
    assert!(tested.len() < 20 && !tested.is_empty(), "{tested:?}");
    let rest = json!({"cursor": first["next_cursor"]});
    let next = pool.admin("POST", "keys/test", &rest).json();
    assert_eq!(ids(&next)[0], tested.len() as i64 + 1);
}

#[test]
fn an_operator_sets_limits_which_count_at_once() {
    let pool = Pool::new();
    let limit = json!({"model": "m", "unit": "requests", "per": "day", "preset": 1});
    let key = pool.admin("PUT", "keys/1/limits", &json!({"limits": [limit]}));
    key.assert_status(200);
    pool.serve_chats(1);
    pool.chat(CHAT).assert_error(429, "rate_limit_exceeded");
    let limits = pool.listed("keys/1")["limits"].clone();
    let expected = json!([{"scope": "key:1", "model": "m", "unit": "requests", "per": "day",
        "preset": 1, "learned": null, "learned_at": null, "used": 1}]);
    assert_eq!(limits, expected);
    let none = pool.admin("PUT", "keys/1/limits", &json!({"limits": []}));
    assert_eq!(none.json()["limits"], json!([]));
    pool.serve_chats(1);
    let audit = pool.listed("audit?action=set_limits");
    let set = json!({"limits": [["key:1", "m", "requests", "day", 1]]});
    assert_eq!(audit["items"][0]["before"], set);
    assert_eq!(audit["items"][1]["after"], set);
}

#[test]
fn limits_of_a_project_are_set_with_any_of_its_keys() {
    let pool = Pool::new();
    pool.run("UPDATE api_keys SET project = 'p'");
    let limit = json!({"scope": "project", "unit": "input_tokens", "per": "minute", "preset": 5});
    let set = |limits: Value| pool.admin("PUT", "keys/1/limits", &json!({"limits": limits}));
    let limits = set(json!([limit])).json()["limits"].clone();
    assert_eq!(
        (&limits[0]["scope"], &limits[0]["model"]),
        (&json!("project:p"), &json!(null))
    );
    let twice = set(json!([limit, limit]));
    assert_problem(&twice, "/admin/", 400, "invalid_request");
    assert_contains(&twice.body, "`limits[1]` repeats a limit");
}

#[test]
fn a_key_serves_only_the_models_that_it_is_allowed() {
    let pool = Pool::of(2);
    let edit = |id: u32, rules: Value| pool.admin("PATCH", &format!("keys/{id}"), &rules);
    edit(1, json!({"allowed_models": ["gemini-*-flash"]})).assert_status(200);
    edit(2, json!({"forbidden_models": ["*-flash", "gemma-*"]})).assert_status(200);
    for (model, key) in [("gemini-3-flash", "1"), ("gemini-3-pro", "2")] {
        pool.script_answer();
        assert_eq!(pool.chat_for(model).key(), key, "{model}");
    }
    let none = pool.chat_for("gemma-4");
    none.assert_error(404, "model_not_available");
    none.assert_message("2 model_not_allowed");
    let explained = pool.get("/api/pool/explain?model=gemma-4").json();
    assert_eq!(explained["keys"][0]["reason"], "model_not_allowed");
    edit(1, json!({"allowed_models": null})).assert_status(200);
    pool.script_answer();
    assert_eq!(pool.chat_for("gemma-4").key(), "1");
}

#[test]
fn the_history_of_a_key_has_its_changes_of_state() {
    let pool = Pool::new();
    pool.admin("POST", "keys/1/disable", &json!({"reason": "leaked"}));
    pool.advance(1_000);
    pool.admin("POST", "keys/1/reset", &json!({}));
    pool.advance(1_000);
    pool.script_error(&errors::key_invalid());
    pool.chat(CHAT);
    let history = pool.listed("keys/1/history");
    let items = history["items"].as_array().unwrap();
    let changes: Vec<Value> = items
        .iter()
        .map(|item| json!([item["from"], item["to"]]))
        .collect();
    let expected = [
        ["active", "disabled"],
        ["disabled", "active"],
        ["active", "disabled"],
    ];
    assert_eq!(changes, expected.map(|change| json!(change)));
    assert_contains(items[0]["reason"].as_str().unwrap(), "key_rejected: ");
    assert_eq!(items[2]["reason"], "leaked");
    let page = pool.listed("keys/1/history?limit=1&sort=id");
    assert_eq!(page["items"][0], items[2]);
    assert!(page["next_cursor"].is_string());

    pool.admin("DELETE", "keys/1", &json!({}))
        .assert_status(204);
    assert_eq!(pool.listed("keys/1/history")["items"], history["items"]);
}

#[test]
fn the_pool_is_told_at_a_glance() {
    let pool = Pool::of(6);
    pool.run(
        "UPDATE api_keys SET status = 0, disabled_reason = 'leaked' WHERE id IN (4, 5);
         UPDATE api_keys SET disabled_at = '2027-01-15T07:00:00.000Z' WHERE id = 4;
         UPDATE api_keys SET disabled_at = '2027-01-14T07:59:00.000Z' WHERE id = 5;
         UPDATE api_keys SET status = 2, disabled_until = '2027-01-16T08:00:00.000Z' WHERE id = 3;
         UPDATE api_keys SET status = 2, disabled_until = '2027-01-15T09:00:00+02:00' WHERE id = 6;
         INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
         ('key:1', 'm', 'quota_per_day', '2027-01-15T07:00:00.000Z', '2027-01-15T09:00:00.000Z', 1),
         ('key:3', 'm', 'quota_per_day', '2027-01-15T07:00:00.000Z', '2027-01-15T09:00:00.000Z', 1),
         ('key:6', 'm', 'quota_per_day', '2027-01-15T07:00:00.000Z', '2027-01-15T09:00:00.000Z', 1)",
    );
    pool.admin(
        "POST",
        "keys/2/drill",
        &serde_json::json!({"fault": "429", "calls": 5}),
    )
    .assert_status(200);
    let told = pool.listed("pool");
    assert_eq!(
        told["keys"],
        serde_json::json!({"total": 6, "active": 3, "cooling": 1, "disabled": 2})
    );
    assert_eq!(
        (&told["cooling_for_models"], &told["drills"]),
        (&2.into(), &1.into())
    );
    assert!(told["suspicion"].is_null());
    let lately = serde_json::json!([
        {"id": 4, "name": null, "reason": "leaked", "disabled_at": "2027-01-15T07:00:00.000Z"}
    ]);
    assert_eq!(told["disabled_lately"], lately);
    assert!(told["warnings"].is_array());
}

#[test]
fn the_activity_of_keys_is_listed_by_hour() {
    let pool = Pool::of(2);
    pool.run(
        "INSERT INTO api_call_logs (api_key_id, success, model, outcome, called_at) VALUES
         (1, 1, 'm', 'success', '2027-01-15T06:10:00.000Z'),
         (1, 0, 'm', 'quota_per_day', '2027-01-15T06:50:00.000Z'),
         (2, 1, 'm', 'success', '2027-01-14T07:10:00.000Z')",
    );
    let found = pool.listed("keys/activity?ids=2,1");
    let hours = serde_json::json!([
        {"hour": "2027-01-15T06:00:00.000Z", "outcomes": {"success": 1, "quota_per_day": 1}}
    ]);
    assert_eq!(
        found["items"],
        serde_json::json!([{"key_id": 1, "hours": hours}])
    );
    let earlier = pool.listed("keys/activity?ids=2&from=2027-01-14T07:00:00Z");
    assert_eq!(earlier["items"][0]["key_id"], 2);
    let many = vec!["1"; 1001].join(",");
    for ids in ["", "?ids=", "?ids=1,x", &format!("?ids={many}")] {
        let answer = pool.admin_text("GET", &format!("keys/activity{ids}"), "");
        admin::assert_problem(
            &answer,
            "/admin/api/v1/keys/activity",
            400,
            "invalid_request",
        );
    }
}

#[test]
fn what_is_left_is_summed_by_model() {
    let pool = Pool::of(2);
    for key in ["key:1", "key:2"] {
        pool.insert_limit(key, "m", "requests", "day", 100);
    }
    let found = pool.listed("forecast?by=model");
    let [model] = &found["items"].as_array().unwrap()[..] else {
        panic!("{found}");
    };
    assert_eq!(
        (&model["model"], &model["scopes"], &model["left"]),
        (&"m".into(), &2.into(), &200.into())
    );
    assert!(model.get("scope").is_none());
    let answer = pool.admin_text("GET", "forecast?by=key", "");
    admin::assert_problem(&answer, "/admin/api/v1/forecast", 400, "invalid_request");
}
