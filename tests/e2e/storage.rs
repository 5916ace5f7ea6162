//! A database that other processes lock, write to, or fill with invalid text.

use crate::support::{Answer, CHAT, STREAM, Setup, TestApp, soon};
use fake_gemini::{Reply, errors};
use futures::future::join_all;

/// A pool whose calls write everything: counts, claims, reservations, cool-downs, retries and rows.
async fn app() -> TestApp {
    let app = Setup::with(4, &[("rate_limit_per_minute", "1000")])
        .start()
        .await;
    app.serve_chats(1).await;
    app.execute(
        "INSERT INTO limits (scope, model, unit, per, preset)
             SELECT 'key:' || id, 'gemini-2.5-flash', 'requests', 'day', 1000 FROM api_keys;
         UPDATE api_keys SET status = 2, disabled_until = '2025-01-01T00:00:00.000Z' WHERE id = 2",
    );
    app
}

async fn ready(app: &TestApp) -> Answer {
    app.client.get("/readyz").send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_calls_while_another_process_holds_the_lock() {
    let app = app().await;
    let lock = app.lock();
    app.gemini
        .script(&crate::support::key(1), Reply::error(errors::overloaded()));
    let calls = (0..16).map(|number| app.chat(if number % 2 == 0 { CHAT } else { STREAM }));
    let answers = soon("16 answers", join_all(calls)).await;
    for answer in answers {
        answer.assert_status(200);
    }
    let unready = ready(&app).await;
    unready.assert_error(503, "database_not_writable");
    let logged = app.log_rows("count(*)");
    assert_eq!(logged, ["1"], "the lock was held throughout");
    drop(lock);
    app.serve_chats(1).await;
    let rows = app.log_rows("count(*), sum(success)");
    assert_eq!(
        rows,
        ["2|2"],
        "calls are logged again after the lock is released"
    );
}

#[tokio::test]
async fn liveness_does_not_wait_for_a_migration() {
    let app = Setup::keys(1).start().await;
    // Nothing has been migrated yet, and the lock prevents it.
    let lock = app.lock();
    let waiting = app.chat(CHAT);
    let probing = async {
        for _ in 0..3 {
            let alive = app.client.get("/healthz").send().await;
            alive.assert_status(200);
            assert_eq!(alive.body, r#"{"status":"ok"}"#);
        }
        drop(lock);
    };
    let (answer, ()) = futures::future::join(waiting, probing).await;
    answer.assert_status(200);
}

#[tokio::test]
async fn a_text_in_another_encoding_loses_only_its_value() {
    let app = Setup::keys(3).without_memory().start().await;
    assert_eq!(ready(&app).await.status, 200);
    app.execute(
        "UPDATE api_keys SET name = CAST(X'4dfc6c6c6572' AS TEXT), disabled_reason = CAST(X'c4e3' AS TEXT),
             project = CAST(X'ff' AS TEXT), last_used_at = CAST(X'e4bd' AS TEXT) WHERE id = 1;
         UPDATE api_keys SET api_key = CAST(X'41497a61e9' AS TEXT) WHERE id = 2;
         INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes)
             VALUES (CAST(X'ff' AS TEXT), CAST(X'ff' AS TEXT), CAST(X'ff' AS TEXT), CAST(X'ff' AS TEXT), CAST(X'ff' AS TEXT), 1);
         INSERT INTO limits (scope, model, unit, per, preset) VALUES (CAST(X'ff' AS TEXT), '', 'requests', 'day', 0)",
    );
    for _ in 0..6 {
        let answer = app.chat(CHAT).await;
        answer.assert_status(200);
        assert_ne!(answer.header("x-keypool-key"), Some("2"));
    }
    assert_eq!(ready(&app).await.status, 200);
    let keys = app.keys_status().await;
    assert_eq!(keys.len(), 4, "the unreadable key is imported again");
    assert_eq!(keys[0]["name"], "M\u{fffd}ller");
    app.assert_logged(&["key 1: the text in its column `name`"]);
    app.assert_logged(&["key 2 is left out"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_do_not_undo_a_manual_pause() {
    let app = Setup::keys(1).start().await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(app.chat_stream(STREAM).await);
    }
    app.execute("UPDATE api_keys SET status = 2, disabled_until = '2099-01-01' WHERE id = 1");
    for mut stream in streams {
        assert_eq!(stream.events().await.last().unwrap(), "data: [DONE]");
    }
    app.rows_become("SELECT count(*) FROM api_call_logs", &["4"])
        .await;
    let key = app.key_rows("status, disabled_until, total_calls");
    assert_eq!(key, ["2|2099-01-01|4"]);
}
