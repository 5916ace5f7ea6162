//! The upstream over TLS and HTTP/2. All calls share one connection, whose failures must not reach
//! the callers.

use crate::support::{CHAT, STREAM, Setup};
use tokio::task::JoinSet;

#[tokio::test]
async fn retries_a_refused_http2_stream() {
    for body in [CHAT, STREAM] {
        let app = Setup::keys(3).behind_front(100).start().await;
        app.front().refuse(1);
        let answer = app.chat(body).await;
        answer.assert_status(200);
        assert_eq!(app.front().refusals_left(), 0);
        assert_eq!(app.gemini.calls().len(), 1);
        let rows = app.rows("SELECT DISTINCT status, consecutive_failures FROM api_keys");
        assert_eq!(rows, ["1|0"]);
        assert_eq!(app.rows("SELECT * FROM cool_downs"), [""; 0]);
    }
}

#[tokio::test]
async fn calls_wait_for_a_free_http2_stream() {
    let app = Setup::keys(3).behind_front(2).start().await;
    // The limit is known once the connection is open.
    app.serve_chats(1).await;
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let call = app.client.chat(CHAT).send();
        calls.spawn(call);
    }
    for answer in calls.join_all().await {
        answer.assert_status(200);
    }
    assert_eq!(app.front().connections(), 1);
    let rows = app.rows("SELECT outcome, count(*) FROM api_call_logs GROUP BY outcome");
    assert_eq!(rows, ["success|9"]);
}
