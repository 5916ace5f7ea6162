//! Google over TLS and HTTP/2: all calls share one connection, so what happens to that must not happen to callers.

use crate::support::{CHAT, STREAM, Setup};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_stream_that_the_upstream_refuses_is_not_the_callers_problem_nor_the_keys() {
    for body in [CHAT, STREAM] {
        let app = Setup::keys(3).behind_front(100).start().await;
        app.front().refuse(1);
        let answer = app.chat(body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(app.front().refusals_left(), 0);
        assert_eq!(app.gemini.calls().len(), 1);
        assert_eq!(
            app.rows("SELECT DISTINCT status, consecutive_failures FROM api_keys"),
            ["1|0"]
        );
        assert_eq!(app.rows("SELECT * FROM cool_downs"), [""; 0]);
    }
}

#[tokio::test]
async fn calls_beyond_the_upstreams_streams_wait_on_the_one_connection() {
    let app = Setup::keys(3).behind_front(2).start().await;
    // The limit comes with the connection.
    assert_eq!(app.chat(CHAT).await.status, 200);
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let call = app.client.chat(CHAT).send();
        calls.spawn(call);
    }
    for answer in calls.join_all().await {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(app.front().connections(), 1);
    assert_eq!(
        app.rows("SELECT outcome, count(*) FROM api_call_logs GROUP BY outcome"),
        ["success|9"]
    );
}
