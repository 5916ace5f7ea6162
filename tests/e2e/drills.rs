//! Fault drills: an operator sees failover before it is needed.

use crate::commands::{app, json, output};
use crate::support::{ADMIN_TOKEN, CHAT, STREAM, Setup, TestApp};
use futures::future::join_all;

/// Leaves key 2 without weight: a key that was never used has some for that.
const LAST_CHOICE: &str = "UPDATE api_keys SET priority = 0, last_used_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = 2";

/// Begins a drill of key 1.
async fn drill(app: &TestApp, body: &str) {
    let request = app.client.post("/admin/api/v1/keys/1/drill", body);
    let operator = format!("Bearer {ADMIN_TOKEN}");
    let answer = request.header("authorization", &operator).send().await;
    answer.assert_status(200);
}

#[tokio::test]
async fn a_drill_ends_exactly_its_calls() {
    // Each request has an instance of its own.
    let variables = [("admin_token", ADMIN_TOKEN), ("max_attempts", "1")];
    let app = Setup::with(1, &variables).without_memory().start().await;
    app.assert_ready().await;
    drill(&app, r#"{"fault":"reset","calls":7}"#).await;
    let answers = join_all((0..20).map(|_| app.chat(CHAT))).await;
    let failed = answers.iter().filter(|answer| answer.status != 200);
    assert_eq!((failed.count(), app.gemini.calls().len()), (7, 13));
    let marked = app.rows("SELECT count(*), count(drill) FROM api_call_logs");
    assert_eq!(marked, ["20|7"]);
}

#[tokio::test]
async fn failover_is_seen_in_a_drill() {
    let app = app(2).await;
    app.execute(LAST_CHOICE);
    for (fault, body) in [("503", CHAT), ("reset", STREAM), ("429", CHAT)] {
        drill(&app, &format!(r#"{{"fault":"{fault}"}}"#)).await;
        let answer = app.chat(body).await;
        answer.assert_status(200);
        assert_eq!(answer.header("x-keypool-attempts"), Some("2"), "{fault}");
    }
    assert_eq!(app.gemini.calls().len(), 3, "one for each request");
    let rows = app.log_rows("attempt, outcome, drill");
    let expected = [
        "1|model_overloaded|1",
        "2|success|NULL",
        "1|unanswered|1",
        "2|success|NULL",
        "1|quota_per_minute|1",
        "2|success|NULL",
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn commands_begin_show_and_end_a_drill() {
    let app = app(2).await;
    app.execute(LAST_CHOICE);
    let begin = ["keys", "drill", "1", "--fault", "503", "--calls", "2"];
    let shown = output(&app, &begin).await;
    assert!(shown.contains("drill: 503, calls left: 2"), "{shown}");
    let answer = app.chat(CHAT).await;
    let id = answer.header("x-request-id").unwrap();
    let calls = output(&app, &["calls", "show", id]).await;
    assert!(calls.contains("model_overloaded (drill)"), "{calls}");
    output(&app, &["keys", "drill", "1", "--end"]).await;
    let key = json(&app, &["keys", "show", "1"]).await;
    assert!(key[0]["drill"].is_null(), "{key}");
}
