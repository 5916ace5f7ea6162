//! Which key is used, and how its state moves.

use crate::support::{CHAT, Setup, TestApp, key};
use fake_gemini::Condition;
use std::collections::BTreeMap;
use std::path::Path;

const STATE: &str = "SELECT status, consecutive_failures, disabled_until IS NOT NULL FROM api_keys";

/// Two failures in a row, which pause the key.
async fn pause(app: &TestApp) {
    app.gemini
        .set_condition(&key(1), Condition::ServiceDisabled);
    for _ in 0..2 {
        app.chat(CHAT).await;
    }
    app.gemini.set_condition(&key(1), Condition::Valid);
}

#[tokio::test]
async fn keys_of_the_variable_are_imported_once_each() {
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
async fn keys_are_taken_however_they_were_pasted() {
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
async fn calls_are_spread_over_the_keys() {
    let app = Setup::keys(10).without_memory().start().await;
    // Equal chances: of 400 calls none of 10 keys then goes without, but once in 10^17 runs.
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
async fn a_key_without_weight_is_not_drawn_while_another_has_some() {
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
        "alone, it is drawn all the same"
    );
    assert_eq!(app.gemini.calls().last().unwrap().key_ordinal, Some(1));
}

#[tokio::test]
async fn failures_in_a_row_pause_the_key_and_then_disable_it() {
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
        // Half an hour later.
        app.execute("UPDATE api_keys SET disabled_until = '2020-01-01T00:00:00.000Z' WHERE disabled_until IS NOT NULL");
    }
    assert_eq!(
        app.chat(CHAT).await.status,
        503,
        "only a person brings it back"
    );
}

#[tokio::test]
async fn a_pause_is_thirty_minutes() {
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
async fn a_success_after_the_pause_starts_afresh() {
    let app = Setup::keys(1).without_memory().start().await;
    pause(&app).await;
    app.execute("UPDATE api_keys SET disabled_until = '2020-01-01T00:00:00.000Z'");
    assert_eq!(app.chat(CHAT).await.status, 200);
    assert_eq!(app.rows(STATE), ["1|0|0"]);
}

#[tokio::test]
async fn a_dead_key_costs_one_call_that_nobody_notices() {
    let app = Setup::keys(3).start().await;
    app.gemini.set_condition(&key(2), Condition::Suspended);
    // Of 60 calls over three keys with like chances, the dead one is drawn but once in 10^9 runs.
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
async fn without_any_key_the_answer_is_a_503_at_once() {
    let app = Setup::keys(0).start().await;
    let answer = app.chat(CHAT).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (503, "no_usable_key")
    );
    assert!(app.gemini.calls().is_empty());
}

#[tokio::test]
async fn a_dump_of_an_earlier_deployment_works() {
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/earlier_deployment.sql");
    let keys = [1, 2, 3].map(|number| format!("AIzaFAKE-earlier-deployment-key-number-{number}"));
    let app = Setup::keys(0)
        .gemini(|gemini| keys.iter().fold(gemini, |gemini, key| gemini.key(key)))
        .arguments(&["--sqlite", &format!("@{}", dump.display())])
        // Its rows are old, and one request in 256 would delete them.
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
async fn of_many_keys_every_one_is_known_to_operators_and_the_only_one_left_is_found() {
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
