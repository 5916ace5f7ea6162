//! The choice of keys and their state.

use crate::support::{CHAT, Setup, TestApp, key};
use fake_gemini::Condition;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

const STATE: &str = "SELECT status, consecutive_failures, disabled_until IS NOT NULL FROM api_keys";

/// Pauses the key with two consecutive failures.
async fn pause(app: &TestApp) {
    app.gemini
        .set_condition(&key(1), Condition::ServiceDisabled);
    for _ in 0..2 {
        app.chat(CHAT).await;
    }
    app.gemini.set_condition(&key(1), Condition::Valid);
}

#[tokio::test]
async fn imports_each_key_of_the_variable_once() {
    let mut app = Setup::keys(3).start().await;
    app.assert_ready().await;
    let imported = "SELECT id, name, priority, status, api_key FROM api_keys ORDER BY id";
    let expected = [
        format!("1|Auto-imported Key 1|100|1|{}", key(1)),
        format!("2|Auto-imported Key 2|90|1|{}", key(2)),
        format!("3|Auto-imported Key 3|80|1|{}", key(3)),
    ];
    assert_eq!(app.rows(imported), expected);

    app.restart().await;
    app.assert_ready().await;
    assert_eq!(app.rows(imported), expected);
}

#[tokio::test]
async fn accepts_pasted_keys_in_any_format() {
    let (one, two) = (key(1), key(2));
    for list in [
        format!(r#"["{one}","{two}"]"#),
        format!("'{one}'; '{two}'"),
        format!("{one}\n{two}\n"),
        format!("{one},{} {two} is mine,{two}", "broken"),
    ] {
        let app = Setup::keys(2)
            .variable("gemini_api_key", &list)
            .start()
            .await;
        assert_eq!(app.chat(CHAT).await.status, 200, "{list:?}");
        let key = app.key_rows("api_key, priority");
        assert_eq!(key, [format!("{one}|100"), format!("{two}|90")], "{list:?}");
        let is_told = app.output().contains("gemini_api_key: entry 2 of 3");
        assert_eq!(is_told, list.contains("broken"), "{}", app.output());
        assert!(!app.output().contains(&one) && !app.output().contains("broken"));
    }
}

#[tokio::test]
async fn spreads_calls_over_the_keys() {
    let app = Setup::keys(10).without_memory().start().await;
    // With equal probabilities, 400 calls miss one of 10 keys only once in 10^17 runs.
    app.assert_ready().await;
    app.execute("UPDATE api_keys SET priority = 100");
    app.serve_chats(400).await;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for call in app.gemini.calls() {
        *seen.entry(call.key.unwrap()).or_default() += 1;
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
    for (number, row) in (1..).zip(app.key_rows("total_calls")) {
        // The pool counts what the upstream saw.
        assert_eq!(row, seen[&key(number)].to_string());
    }
}

#[tokio::test]
async fn a_key_with_negative_priority_is_used_last() {
    let app = Setup::keys(2).without_memory().start().await;
    app.assert_ready().await;
    app.execute("UPDATE api_keys SET priority = -1000 WHERE id = 1");
    app.serve_chats(30).await;
    assert_eq!(app.used_keys(), [Some(2); 30]);
    app.execute("UPDATE api_keys SET status = 0 WHERE id = 2");
    // The only active key is used.
    app.serve_chats(1).await;
    assert_eq!(app.used_keys()[30], Some(1));
}

#[tokio::test]
async fn consecutive_failures_pause_and_then_disable_a_key() {
    let app = Setup::keys(1).without_memory().start().await;
    app.gemini
        .set_condition(&key(1), Condition::ServiceDisabled);
    for (failure, state) in [
        (1, "1|1|0"),
        (2, "2|2|1"),
        (3, "2|3|1"),
        (4, "2|4|1"),
        (5, "0|5|0"),
    ] {
        assert_eq!(app.chat(CHAT).await.status, 503, "failure {failure}");
        assert_eq!(app.rows(STATE), [state], "failure {failure}");
        if failure == 1 {
            continue;
        }
        let refused = app.chat(CHAT).await;
        refused.assert_error(503, "upstream_credentials_exhausted");
        // A paused key is not used.
        assert_eq!(app.gemini.calls().len(), failure);
        // Simulate half an hour.
        app.execute("UPDATE api_keys SET disabled_until = '2020-01-01T00:00:00.000Z' WHERE disabled_until IS NOT NULL");
    }
    // Only an operator can enable it again.
    app.chat(CHAT).await.assert_status(503);
}

#[tokio::test]
async fn a_pause_lasts_thirty_minutes() {
    let app = Setup::keys(1).start().await;
    pause(&app).await;
    let minutes = "SELECT round((julianday(disabled_until) - julianday(last_failure_at)) * 1440, 3) FROM api_keys";
    assert_eq!(app.rows(minutes), ["30"]);
    let key = app.key_rows("length(disabled_until), substr(disabled_until, -1)");
    assert_eq!(key, ["24|Z"]);
}

#[tokio::test]
async fn success_after_a_pause_resets_the_failures() {
    let app = Setup::keys(1).without_memory().start().await;
    pause(&app).await;
    app.execute("UPDATE api_keys SET disabled_until = '2020-01-01T00:00:00.000Z'");
    app.serve_chats(1).await;
    assert_eq!(app.rows(STATE), ["1|0|0"]);
}

#[tokio::test]
async fn a_dead_key_costs_one_unnoticed_call() {
    let app = Setup::keys(3).start().await;
    app.gemini.set_condition(&key(2), Condition::Suspended);
    // With equal probabilities, 60 calls miss the dead one of three keys only once in 10^9 runs.
    app.serve_chats(60).await;
    assert_eq!(app.gemini.calls().len(), 61);
    assert_eq!(app.key_rows("id, status"), ["1|1", "2|0", "3|1"]);
    assert_eq!(
        app.rows("SELECT substr(disabled_reason, 1, 49) FROM api_keys WHERE id = 2"),
        ["key_rejected: PERMISSION_DENIED: Permission denied"]
            .map(|reason| reason.chars().take(49).collect::<String>())
    );
}

#[tokio::test]
async fn returns_503_at_once_without_any_key() {
    let app = Setup::keys(0).start().await;
    let answer = app.chat(CHAT).await;
    answer.assert_error(503, "no_usable_key");
    assert!(app.gemini.calls().is_empty());
}

#[tokio::test]
async fn serves_the_database_of_an_earlier_deployment() {
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/earlier_deployment.sql");
    let keys = [1, 2, 3].map(|number| format!("AIzaFAKE-earlier-deployment-key-number-{number}"));
    let app = Setup::keys(0)
        .gemini(|gemini| keys.iter().fold(gemini, |gemini, key| gemini.key(key)))
        .arguments(&["--sqlite", &format!("@{}", dump.display())])
        // Otherwise one request in 256 would delete its old rows.
        .variable("log_retention_days", "0")
        .start()
        .await;
    let keys = app.keys_status().await;
    let calls = |key: &Value| json!([key["name"], key["total_calls"]]);
    let calls: Vec<_> = keys.iter().map(calls).collect();
    assert_eq!(
        json!(calls),
        json!([["Team A", 41], ["Team B", 7], [null, 5]])
    );
    app.serve_chats(20).await;
    // The disabled key stays disabled.
    assert!(!app.used_keys().contains(&Some(3)));
    assert_eq!(app.log_rows("count(*)"), ["24"]);
    assert_eq!(app.key_rows("sum(total_calls)"), ["73"]);
}

#[tokio::test]
async fn state_survives_a_restart() {
    let mut app = Setup::keys(1).start().await;
    pause(&app).await;
    app.stop().await;
    app.restart().await;
    assert_eq!(app.chat(CHAT).await.status, 503);
    assert_eq!(app.rows(STATE), ["2|2|1"]);
}

#[tokio::test]
async fn finds_the_only_active_key_of_many() {
    let app = Setup::keys(1).start().await;
    app.assert_ready().await;
    app.execute(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO api_keys (id, api_key) SELECT i, 'made-up-key-of-a-large-pool-' || i FROM n;
INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes)
SELECT 'key:' || id, '', 'upstream_trouble', '2026-01-01T00:00:00.000Z', '2099-01-01T00:00:00.000Z', 1
FROM api_keys WHERE id > 1",
    );
    assert_eq!(app.keys_status().await.len(), 500);
    app.assert_ready().await;
    for _ in 0..10 {
        let answer = app.chat(CHAT).await;
        answer.assert_status(200);
        assert_eq!(answer.header("x-keypool-key"), Some("1"));
    }
}

#[tokio::test]
async fn an_operator_adds_ten_thousand_keys_and_tests_some() {
    const ADMIN: &str = "fake-admin-token-0001";
    let app = Setup::keys(10_000)
        .variable("gemini_api_key", "")
        .variable("admin_token", ADMIN)
        .start()
        .await;
    let post = async |path: &str, body: String| {
        let path = format!("/admin/api/v1/{path}");
        let request = app.client.request(http::Method::POST, &path);
        let request = request.header("authorization", &format!("Bearer {ADMIN}"));
        let answer = request.body(body).send().await;
        answer.assert_status(200);
        answer.json()
    };
    let rows = (1..=10_000).map(|number| format!("{},key {number},team;x\n", key(number)));
    let csv = format!("api_key,name,tags\n{}", rows.collect::<String>());
    let began = tokio::time::Instant::now();
    let dry = post("keys?dry_run=true", csv.clone()).await;
    assert_eq!(dry["counts"]["new"], 10_000);
    assert_eq!(app.rows("SELECT count(*) FROM api_keys"), ["0"]);
    let added = post("keys", csv.clone()).await;
    assert_eq!(added["items"][9_999]["id"], 10_000);
    assert_eq!(post("keys", csv).await["counts"]["duplicate"], 10_000);
    assert!(began.elapsed().as_secs() < 15, "{:?}", began.elapsed());
    let last = "SELECT api_key, name, tags FROM api_keys WHERE id = 10000";
    assert_eq!(
        app.rows(last),
        [format!(r#"{}|key 10000|["team","x"]"#, key(10_000))]
    );
    let audit = "SELECT action, after FROM audit_log";
    assert_eq!(app.rows(audit), [r#"add_keys|{"added":10000}"#]);
    assert_eq!(app.chat(CHAT).await.status, 200);

    app.gemini.set_condition(&key(2), Condition::Leaked);
    let tests = post("keys/test", r#"{"limit":7}"#.to_owned()).await;
    let outcomes = tests["items"].as_array().unwrap().iter();
    let outcomes: Vec<&str> = outcomes
        .map(|item| item["outcome"].as_str().unwrap())
        .collect();
    let ok = "success";
    assert_eq!(outcomes, [ok, "key_rejected", ok, ok, ok, ok, ok]);
    assert_eq!(tests["items"][1]["key_status"], "disabled");
    assert!(tests["next_cursor"].is_string());
}
