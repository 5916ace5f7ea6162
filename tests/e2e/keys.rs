//! The choice of keys and their state.

use crate::support::{CHAT, Setup, TestApp, key};
use fake_gemini::Condition;
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
    assert_eq!(app.client.get("/readyz").send().await.status, 200);
    let imported = "SELECT id, name, priority, status, api_key FROM api_keys ORDER BY id";
    let expected = [
        format!("1|Auto-imported Key 1|100|1|{}", key(1)),
        format!("2|Auto-imported Key 2|90|1|{}", key(2)),
        format!("3|Auto-imported Key 3|80|1|{}", key(3)),
    ];
    assert_eq!(app.rows(imported), expected);

    app.restart().await;
    assert_eq!(app.client.get("/readyz").send().await.status, 200);
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
        assert_eq!(
            app.rows("SELECT api_key, priority FROM api_keys ORDER BY id"),
            [format!("{one}|100"), format!("{two}|90")],
            "{list:?}"
        );
        let is_told = app.output().contains("gemini_api_key: entry 2 of 3");
        assert_eq!(is_told, list.contains("broken"), "{}", app.output());
        assert!(!app.output().contains(&one) && !app.output().contains("broken"));
    }
}

#[tokio::test]
async fn spreads_calls_over_the_keys() {
    let app = Setup::keys(10).without_memory().start().await;
    // With equal probabilities, 400 calls miss one of 10 keys only once in 10^17 runs.
    assert_eq!(app.client.get("/readyz").send().await.status, 200);
    app.execute("UPDATE api_keys SET priority = 100");
    for _ in 0..400 {
        assert_eq!(app.chat(CHAT).await.status, 200);
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for call in app.gemini.calls() {
        *seen.entry(call.key.unwrap()).or_default() += 1;
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
    for (number, row) in (1..).zip(app.rows("SELECT total_calls FROM api_keys ORDER BY id")) {
        assert_eq!(
            row,
            seen[&key(number)].to_string(),
            "the pool counts what the upstream saw"
        );
    }
}

#[tokio::test]
async fn a_key_with_negative_priority_is_used_last() {
    let app = Setup::keys(2).without_memory().start().await;
    assert_eq!(app.client.get("/readyz").send().await.status, 200);
    app.execute("UPDATE api_keys SET priority = -1000 WHERE id = 1");
    for _ in 0..30 {
        assert_eq!(app.chat(CHAT).await.status, 200);
    }
    assert!(
        app.gemini
            .calls()
            .iter()
            .all(|call| call.key_ordinal == Some(2))
    );
    app.execute("UPDATE api_keys SET status = 0 WHERE id = 2");
    assert_eq!(
        app.chat(CHAT).await.status,
        200,
        "the only active key is used"
    );
    assert_eq!(app.gemini.calls().last().unwrap().key_ordinal, Some(1));
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
        assert_eq!(
            (refused.status, refused.error_code().as_str()),
            (503, "upstream_credentials_exhausted"),
            "failure {failure}"
        );
        assert_eq!(
            app.gemini.calls().len(),
            failure,
            "a paused key is not used"
        );
        // Simulate half an hour.
        app.execute("UPDATE api_keys SET disabled_until = '2020-01-01T00:00:00.000Z' WHERE disabled_until IS NOT NULL");
    }
    assert_eq!(
        app.chat(CHAT).await.status,
        503,
        "only an operator can enable it again"
    );
}

#[tokio::test]
async fn a_pause_lasts_thirty_minutes() {
    let app = Setup::keys(1).start().await;
    pause(&app).await;
    let minutes = "SELECT round((julianday(disabled_until) - julianday(last_failure_at)) * 1440, 3) FROM api_keys";
    assert_eq!(app.rows(minutes), ["30"]);
    assert_eq!(
        app.rows("SELECT length(disabled_until), substr(disabled_until, -1) FROM api_keys"),
        ["24|Z"]
    );
}

#[tokio::test]
async fn success_after_a_pause_resets_the_failures() {
    let app = Setup::keys(1).without_memory().start().await;
    pause(&app).await;
    app.execute("UPDATE api_keys SET disabled_until = '2020-01-01T00:00:00.000Z'");
    assert_eq!(app.chat(CHAT).await.status, 200);
    assert_eq!(app.rows(STATE), ["1|0|0"]);
}

#[tokio::test]
async fn a_dead_key_costs_one_unnoticed_call() {
    let app = Setup::keys(3).start().await;
    app.gemini.set_condition(&key(2), Condition::Suspended);
    // With equal probabilities, 60 calls miss the dead one of three keys only once in 10^9 runs.
    for _ in 0..60 {
        assert_eq!(app.chat(CHAT).await.status, 200);
    }
    assert_eq!(app.gemini.calls().len(), 61);
    assert_eq!(
        app.rows("SELECT id, status FROM api_keys ORDER BY id"),
        ["1|1", "2|0", "3|1"]
    );
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
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (503, "no_usable_key")
    );
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
    let names: Vec<_> = app
        .keys_status()
        .await
        .iter()
        .map(|key| (key["name"].clone(), key["total_calls"].clone()))
        .collect();
    assert_eq!(
        serde_json::json!(names),
        serde_json::json!([["Team A", 41], ["Team B", 7], [null, 5]])
    );
    for _ in 0..20 {
        assert_eq!(app.chat(CHAT).await.status, 200);
    }
    assert!(
        app.gemini
            .calls()
            .iter()
            .all(|call| call.key_ordinal != Some(3)),
        "the disabled key stays disabled"
    );
    assert_eq!(app.rows("SELECT count(*) FROM api_call_logs"), ["24"]);
    assert_eq!(app.rows("SELECT sum(total_calls) FROM api_keys"), ["73"]);
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
    assert_eq!(app.client.get("/readyz").send().await.status, 200);
    app.execute(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO api_keys (id, api_key) SELECT i, 'made-up-key-of-a-large-pool-' || i FROM n;
INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes)
SELECT 'key:' || id, '', 'upstream_trouble', '2026-01-01T00:00:00.000Z', '2099-01-01T00:00:00.000Z', 1
FROM api_keys WHERE id > 1",
    );
    assert_eq!(app.keys_status().await.len(), 500);
    assert_eq!(app.client.get("/readyz").send().await.status, 200);
    for _ in 0..10 {
        let answer = app.chat(CHAT).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.header("x-keypool-key"), Some("1"));
    }
}
