//! Streams: events pass at once, the call is logged before the last event, and failures are
//! reported.

use crate::support::{CHAT, STREAM, Setup, TestApp, soon};
use fake_gemini::{Break, Call, Ended, MidStream, Reply, errors};
use std::time::Duration;

const ROWS: &str = "SELECT success, response_status, error_message FROM api_call_logs";

#[tokio::test]
async fn passes_each_event_before_the_next_is_sent() {
    let app = Setup::keys(1).start().await;
    let (reply, steps) = Reply::stepped(50);
    app.script(reply.gap(Duration::from_millis(20)));

    steps.release(1);
    let mut stream = app.chat_stream(STREAM).await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.headers["cache-control"], "no-cache");
    for number in 1..=50 {
        let event = stream.event().await.unwrap();
        assert!(event.starts_with("data: {\"choices\":"), "{event}");
        // No event is held back.
        assert_eq!(app.gemini.calls()[0].events_sent, number);
        steps.release(1);
    }
    assert_eq!(stream.events().await, ["data: [DONE]"]);
    assert_eq!(app.rows(ROWS), ["1|200|NULL"]);
}

#[tokio::test]
async fn a_stream_of_50_events_keeps_its_gaps() {
    let app = Setup::keys(1).start().await;
    app.script(Reply::events(50).gap(Duration::from_millis(20)));

    let mut stream = app.chat_stream(STREAM).await;
    let mut apart = 0;
    for number in 1..=50 {
        stream.event().await.unwrap();
        apart += usize::from(app.gemini.calls()[0].events_sent == number);
    }
    assert_eq!(stream.events().await, ["data: [DONE]"]);
    // On an idle machine, all events arrive separately; on a busy one, two may coincide.
    assert!(apart > 25, "only {apart} of 50 events arrived separately");
}

#[tokio::test]
async fn logs_a_call_before_its_last_event() {
    let app = Setup::keys(1).start().await;
    let (reply, steps) = Reply::stepped(3);
    app.script(reply);
    steps.release(3);
    let mut stream = app.chat_stream(STREAM).await;
    for _ in 0..3 {
        stream.event().await.unwrap();
    }
    // The closing event needs no release. The row is written before it arrives.
    assert_eq!(stream.event().await.as_deref(), Some("data: [DONE]"));
    assert_eq!(app.rows(ROWS), ["1|200|NULL"]);
    assert_eq!(app.key_rows("total_calls, success_calls"), ["1|1"]);
}

#[tokio::test]
async fn a_disconnect_closes_the_upstream_within_a_second() {
    let app = Setup::keys(1).start().await;
    app.script(Reply::events(1000).gap(Duration::from_millis(20)));
    disconnect_after_the_first_event(&app).await;

    let row = "1|200|the client closed the connection before the end of the answer";
    app.rows_become(ROWS, &[row]).await;
    let key = app.key_rows("total_calls, consecutive_failures, status");
    assert_eq!(key, ["1|0|1"], "not the key's failure");
}

#[tokio::test]
async fn detects_a_disconnect_while_the_upstream_is_silent() {
    let app = Setup::keys(1).start().await;
    let (reply, steps) = Reply::stepped(50);
    steps.release(1);
    app.script(reply);
    disconnect_after_the_first_event(&app).await;
}

async fn disconnect_after_the_first_event(app: &TestApp) {
    let mut stream = app.chat_stream(STREAM).await;
    stream.event().await.unwrap();
    drop(stream);
    let is_gone = |calls: &[Call]| calls.iter().all(|call| call.ended == Ended::ClientGone);
    let gone = app.gemini.wait_until(is_gone);
    let within = tokio::time::timeout(Duration::from_secs(1), gone).await;
    within.expect("the upstream's connection is still open after a second");
}

#[tokio::test]
async fn reports_an_incomplete_stream_in_an_event() {
    for how in [Break::Reset, Break::Close, Break::End] {
        let app = Setup::keys(1).start().await;
        app.script(Reply::events(5).break_after(3, how.clone()));
        let mut stream = app.chat_stream(STREAM).await;
        assert_eq!(stream.status, 200, "{how:?}");
        let events = stream.events().await;
        let Some((last, before)) = events.split_last() else {
            panic!("{how:?}: no event");
        };
        assert_eq!(before.len(), 3, "{how:?}: {events:?}");
        let error = last.strip_prefix("data: ").unwrap();
        let error: serde_json::Value = serde_json::from_str(error).unwrap();
        assert_eq!(error["error"]["code"], "upstream_answer_broken", "{how:?}");
        assert_eq!(error["error"]["type"], "server_error", "{how:?}");
        let row = app.log_rows("success, response_status, error_message IS NOT NULL");
        assert_eq!(row, ["0|200|1"], "{how:?}");
        // It is not the key's fault, and nothing is sent twice.
        let key = app.key_rows("consecutive_failures, status");
        assert_eq!(key, ["0|1"], "{how:?}");
        assert_eq!(app.gemini.calls().len(), 1, "{how:?}");
    }
}

#[tokio::test]
async fn an_error_within_a_stream_never_looks_like_its_end() {
    for how in [MidStream::Object, MidStream::Array, MidStream::Unframed] {
        let app = Setup::keys(1).start().await;
        let broken = Break::Error(errors::overloaded(), how);
        app.script(Reply::events(5).break_after(2, broken));
        let answer = app.chat(STREAM).await;
        assert_eq!(answer.status, 200, "{how:?}");
        assert!(!answer.body.contains("[DONE]"), "{how:?}: {}", answer.body);
        let last = answer.body.trim_end().rsplit("\n\n").next().unwrap();
        // A client must see the error.
        assert!(last.starts_with("data: {\"error\":{"), "{how:?}: {last}");
        assert_eq!(app.log_rows("success"), ["0"], "{how:?}");
        assert_eq!(app.key_rows("consecutive_failures"), ["0"], "{how:?}");
    }
}

#[tokio::test]
async fn a_failure_before_the_first_event_is_a_plain_error() {
    let app = Setup::keys(1).start().await;
    for how in [Break::Reset, Break::Close, Break::End] {
        app.script(Reply::events(5).break_after(0, how.clone()));
        let answer = app.chat(STREAM).await;
        answer.assert_error(502, "upstream_answer_broken");
    }
    assert_eq!(app.log_rows("success"), ["0"; 3]);
    assert_eq!(app.key_rows("consecutive_failures"), ["0"]);
}

#[tokio::test]
async fn an_error_in_place_of_a_stream_is_a_plain_error() {
    let app = Setup::keys(1).start().await;
    let quota = errors::quota_per_minute("gemini-2.5-flash", 10, Duration::from_secs(41));
    app.script(Reply::error(quota));
    let answer = app.chat(STREAM).await;
    answer.assert_error(429, "rate_limit_exceeded");
}

#[tokio::test]
async fn streams_of_one_instance_do_not_block_each_other() {
    let app = Setup::keys(1).start().await;
    let (mut streams, mut steps) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let (reply, own) = Reply::stepped(2);
        own.release(1);
        app.script(reply);
        steps.push(own);
        let mut stream = app.chat_stream(STREAM).await;
        stream.event().await.unwrap();
        streams.push(stream);
    }
    // The latest first, so that no stream waits for an older one.
    for (mut stream, steps) in streams.into_iter().zip(steps).rev() {
        steps.release(1);
        assert_eq!(stream.events().await.len(), 2);
    }
    assert_eq!(app.log_rows("count(*), sum(success)"), ["40|40"]);
}

#[tokio::test]
async fn passes_a_large_answer_completely() {
    let app = Setup::keys(1).start().await;
    let text = "0123456789abcdef".repeat(200_000);
    app.script(Reply::answer(fake_gemini::Answer::text(&*text)));
    let answer = soon("the whole answer", app.chat(CHAT)).await;
    assert_eq!(answer.status, 200);
    let content = &answer.json()["choices"][0]["message"]["content"];
    assert_eq!(content, text.as_str());
    assert_eq!(app.rows(ROWS), ["1|200|NULL"]);
}

#[tokio::test]
async fn streams_any_endpoint_and_reports_its_error() {
    const NAMED: &str = "event: step\nid: 1\ndata: {\"event_type\":\"step\"}\n\n";
    const BARE: &str = "{\"error\":{\"code\":429,\"message\":\"Resource has been exhausted.\",\"status\":\"RESOURCE_EXHAUSTED\"}}\n";
    let app = Setup::keys(1).start().await;
    let events = [NAMED, NAMED, BARE];
    let (reply, steps) = Reply::raw_chunks(200, "text/event-stream", events).stepwise();
    app.script(reply);

    steps.release(1);
    let request = app.client.get("/v1beta/models/gemini-2.5-flash");
    let mut stream = request.authorized().open().await;
    for number in 1..=2 {
        let event = stream.event().await.unwrap();
        assert_eq!(format!("{event}\n\n"), NAMED);
        assert_eq!(app.gemini.calls()[0].events_sent, number);
        steps.release(1);
    }
    let [error] = &stream.events().await[..] else {
        panic!("one event")
    };
    assert!(error.contains("rate_limit_exceeded") && error.contains("\"event_type\":\"error\""));
    let outcome = app.log_rows("success, outcome");
    assert_eq!(outcome, ["0|quota_unspecified"]);
}
