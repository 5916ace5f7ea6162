//! Calls that do not end before the host stops.

use crate::support::{CHAT, HostKind, STREAM, Setup};
use fake_gemini::Reply;

#[tokio::test]
async fn calls_cut_off_by_a_stop_are_answered_and_logged() {
    if HostKind::chosen() == HostKind::Spin {
        // Spin does not notify the component.
        return;
    }
    let mut app = Setup::keys(3).arguments(&["--grace", "1ms"]).start().await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let (reply, steps) = Reply::stepped(5);
        app.gemini.script_any(reply);
        steps.release(2);
        let mut stream = app.chat_stream(STREAM).await;
        assert_eq!(stream.status, 200);
        assert!(stream.event().await.is_some());
        streams.push((stream, steps));
    }
    app.gemini.script_any(Reply::silence());
    let plain = tokio::spawn(app.client.chat(CHAT).send());
    app.gemini.wait_until(|calls| calls.len() == 3).await;

    app.stop().await;
    let answer = plain.await.unwrap();
    answer.assert_error(503, "pool_stopping");
    assert_eq!(answer.header("retry-after"), Some("1"));
    for (stream, _steps) in &mut streams {
        let events = stream.events().await;
        let last = events.last().unwrap();
        assert!(last.starts_with("data: {\"error\":"), "{events:?}");
        assert!(last.contains("pool_stopping"), "{events:?}");
    }
    let rows = app.rows("SELECT outcome, error_message, count(*) FROM api_call_logs GROUP BY 1, 2");
    assert_eq!(rows, ["upstream_trouble|the pool's host is stopping|3"]);
    let key = app.key_rows("sum(total_calls), sum(success_calls), max(consecutive_failures)");
    assert_eq!(key, ["3|0|0"]);
    let rows = app.rows("SELECT sum(calls), sum(successes) FROM api_call_hours");
    assert_eq!(rows, ["3|0"]);
}
