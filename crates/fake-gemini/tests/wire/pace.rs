//! Who waits for whom: gates, steps, clients that leave, connections, and the log that shows it all.

use crate::support::{
    CHAT, Client, KEY, MIDNIGHT, OTHER_KEY, STREAM, call, chat, chat_with, gemini, question, soon,
    start,
};
use fake_gemini::{
    Answer, Call, Connections, Credential, Ended, FakeGemini, ManualClock, Operation, Place, Reply,
    Surface, errors,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;

#[tokio::test]
async fn events_leave_one_by_one_as_they_are_released() {
    let gemini = gemini().await;
    let (reply, steps) = Reply::stepped(3);
    gemini.script(KEY, reply);
    let mut client = Client::connect(&gemini).await;
    client.chat(STREAM, &[]).await;
    assert_eq!(client.head().await.status, 200, "the head does not wait");
    for number in 1..=3 {
        assert_eq!(gemini.calls()[0].events_sent, number - 1);
        steps.release(1);
        let event = client.text_chunk().await.unwrap();
        assert!(event.contains(&format!("Piece {number} of 3.")), "{event}");
        assert_eq!(gemini.calls()[0].events_sent, number);
    }
    assert_eq!(
        client.text_chunk().await.as_deref(),
        Some("data: [DONE]\n\n"),
        "the closing event waits for nothing"
    );
    assert_eq!(client.chunk().await, None);
    assert_eq!(gemini.calls()[0].ended, Ended::Whole);
}

#[tokio::test]
async fn steps_may_be_released_early_and_all_at_once() {
    let gemini = gemini().await;
    let (reply, steps) = Reply::stepped(50);
    gemini.script(KEY, reply.clone());
    steps.release(2);
    steps.release(usize::MAX);
    let text = chat(&gemini, STREAM).await;
    assert_eq!(text.text().matches("data: {").count(), 50);
    steps.release_all();
    gemini.script(KEY, reply);
    assert!(chat(&gemini, STREAM).await.text().ends_with("[DONE]\n\n"));
}

#[tokio::test]
async fn a_head_is_held_back_until_its_gate_opens() {
    let gemini = gemini().await;
    let (reply, gate) = Reply::error(errors::internal()).hold();
    gemini.script(KEY, reply);
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[]).await;
    let calls = soon(gemini.wait_until(|calls| calls.len() == 1)).await;
    assert_eq!((calls[0].status, calls[0].ended), (None, Ended::NotYet));
    gate.open();
    assert_eq!(client.response().await.status(), 500);
    assert_eq!(gemini.calls()[0].status, Some(500));
}

#[tokio::test]
async fn delays_and_gaps_change_nothing_but_the_pace() {
    let gemini = gemini().await;
    let moment = Duration::from_millis(1);
    gemini.script(KEY, Reply::events(4).delay(moment).gap(moment));
    let text = chat(&gemini, STREAM).await;
    assert_eq!(text.text().matches("data: ").count(), 5);
}

#[tokio::test]
async fn a_connection_serves_call_after_call() {
    let gemini = gemini().await;
    let mut client = Client::connect(&gemini).await;
    gemini.script(KEY, Reply::error(errors::internal()));
    for status in [500, 200] {
        client.chat("", &[]).await;
        assert_eq!(client.response().await.status(), status);
    }
    client.chat(STREAM, &[]).await;
    client.response().await;
    assert_eq!(
        gemini.connections(),
        Connections {
            accepted: 1,
            open: 1
        }
    );
    let other = Client::connect(&gemini).await;
    soon(gemini.wait_for_connections(|connections| connections.open == 2)).await;
    drop((client, other));
    let closed = soon(gemini.wait_for_connections(|connections| connections.open == 0)).await;
    assert_eq!(closed.accepted, 2);
    let on: Vec<_> = gemini.calls().iter().map(|call| call.connection).collect();
    assert_eq!(on, [0, 0, 0]);
}

#[tokio::test]
async fn the_log_has_the_whole_request_and_its_fate() {
    let gemini = start(
        FakeGemini::builder()
            .key(OTHER_KEY)
            .key_of_project(KEY, "projects/000000000007"),
    )
    .await;
    let bearer = format!("bearer {KEY}");
    let body = question(STREAM);
    let headers = [("authorization", bearer.as_str()), ("x-mark", "1")];
    let path = format!("{CHAT}?a=b%20c");
    call(&gemini, "POST", &path, &headers, &body).await;
    let call = gemini.calls().remove(0);
    assert_eq!(
        (call.number, call.method.as_str(), call.path.as_str()),
        (0, "POST", CHAT)
    );
    assert_eq!(call.query.as_deref(), Some("a=b%20c"));
    assert_eq!(call.surface, Some(Surface::Compat));
    assert_eq!(call.headers["x-mark"], "1");
    assert_eq!(call.body, body);
    assert_eq!(call.json()["stream"], true);
    assert_eq!(
        call.credentials,
        [Credential {
            place: Place::Bearer,
            value: KEY.to_owned()
        }]
    );
    assert_eq!(call.key.as_deref(), Some(KEY));
    assert_eq!(call.key_ordinal, Some(2));
    assert_eq!(call.project.as_deref(), Some("projects/000000000007"));
    assert_eq!(call.operation, Some(Operation::Generate));
    assert_eq!(call.model.as_deref(), Some("gemini-2.5-flash"));
    assert_eq!(call.known_model.as_deref(), Some("gemini-2.5-flash"));
    assert!(call.stream);
    assert_eq!(
        (call.status, call.ended, call.events_sent),
        (Some(200), Ended::Whole, 3)
    );
}

#[tokio::test]
async fn calls_that_are_refused_are_in_the_log_too() {
    let gemini = gemini().await;
    assert_eq!(call(&gemini, "GET", "/", &[], "").await.status(), 404);
    chat_with(&gemini, "AIzaFAKE-nobody", &question("")).await;
    chat(&gemini, r#","seed":1"#).await;
    let seen: Vec<_> = gemini
        .calls()
        .into_iter()
        .map(|call| (call.number, call.status, call.key_ordinal, call.model))
        .collect();
    let model = Some("gemini-2.5-flash".to_owned());
    assert_eq!(
        seen,
        [
            (0, Some(404), None, None),
            (1, Some(400), None, model.clone()),
            (2, Some(400), Some(1), model),
        ]
    );
    assert_eq!(gemini.calls()[1].key.as_deref(), Some("AIzaFAKE-nobody"));
}

#[tokio::test]
async fn a_refused_call_that_asked_for_a_stream_is_logged_as_one() {
    let gemini = gemini().await;
    for (more, stream) in [
        (r#","stream":true,"seed":1"#, true),
        (r#","stream":true,"tools":5"#, true),
        (r#","stream":false,"seed":1"#, false),
        (r#","stream":"true""#, false),
    ] {
        assert_eq!(chat(&gemini, more).await.status(), 400);
        assert_eq!(gemini.calls().pop().unwrap().stream, stream, "{more}");
    }
}

#[tokio::test]
async fn a_model_is_known_by_its_id_in_the_log() {
    let gemini = gemini().await;
    for (model, known) in [
        ("models/gemini-2.5-flash", Some("gemini-2.5-flash")),
        ("gpt-4o", None),
    ] {
        let body = question("").replace("gemini-2.5-flash", model);
        chat_with(&gemini, KEY, &body).await;
        let call = gemini.calls().pop().unwrap();
        assert_eq!(call.model.as_deref(), Some(model));
        assert_eq!(call.known_model.as_deref(), known);
    }
}

#[test]
fn a_rule_may_look_at_the_fake_itself() {
    let (done, is_done) = std::sync::mpsc::channel();
    // A thread of its own: where the rule cannot look, it hangs for good, and takes its runtime along.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let gemini = gemini().await;
            chat(&gemini, "").await;
            let rule = |calls: &[Call]| calls.len() == gemini.calls().len();
            gemini.wait_until(rule).await;
            let rule = |connections| connections == gemini.connections();
            gemini.wait_for_connections(rule).await;
        });
        done.send(()).unwrap();
    });
    is_done
        .recv_timeout(Duration::from_secs(60))
        .expect("the rule waits for the log that waits for the rule");
}

#[tokio::test]
async fn the_log_shrinks_back_after_a_burst() {
    let gemini = start(FakeGemini::builder().key(KEY).remember(2)).await;
    let (reply, gate) = Reply::ok().hold();
    let mut clients = Vec::new();
    for _ in 0..6 {
        gemini.script(KEY, reply.clone());
        let mut client = Client::connect(&gemini).await;
        client.chat("", &[]).await;
        clients.push(client);
    }
    soon(gemini.wait_until(|calls| calls.len() == 6)).await;
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().await.status(), 200);
    }
    assert_eq!(gemini.calls().len(), 2, "at the end of calls");

    let (reply, gate) = Reply::ok().hold();
    gemini.script(KEY, reply);
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[]).await;
    soon(gemini.wait_until(|calls| calls.iter().any(|call| call.number == 6))).await;
    assert_eq!(gemini.calls().len(), 2, "and at the beginning");
    gate.open();
    client.response().await;
}

#[tokio::test]
async fn old_calls_are_forgotten_when_told_so_but_none_that_is_under_way() {
    let gemini = start(FakeGemini::builder().key(KEY).remember(2)).await;
    let (reply, steps) = Reply::stepped(1);
    gemini.script(KEY, reply);
    let mut slow = Client::connect(&gemini).await;
    slow.chat(STREAM, &[]).await;
    slow.head().await;
    for _ in 0..3 {
        chat(&gemini, "").await;
    }
    let numbers = |gemini: &FakeGemini| -> Vec<u64> {
        gemini.calls().iter().map(|call| call.number).collect()
    };
    assert_eq!(numbers(&gemini), [0, 3]);
    steps.release(1);
    while slow.chunk().await.is_some() {}
    chat(&gemini, "").await;
    assert_eq!(numbers(&gemini), [3, 4]);
}

#[tokio::test]
async fn an_observer_is_told_of_each_call_once_it_has_ended() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let gemini = start(FakeGemini::builder().key(KEY).on_call(move |call| {
        let note = (call.number, call.ended, call.events_sent);
        notes.lock().unwrap().push(note);
    }))
    .await;
    chat(&gemini, STREAM).await;
    gemini.script(KEY, Reply::reset());
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[]).await;
    let _ = client.rest().await;
    assert_eq!(
        *seen.lock().unwrap(),
        [(0, Ended::Whole, 3), (1, Ended::BrokenOff, 0)]
    );
}

#[tokio::test]
async fn the_default_reply_knows_the_call() {
    let gemini = start(
        FakeGemini::builder()
            .key(OTHER_KEY)
            .key(KEY)
            .default_reply(|call| {
                let ordinal = call.key_ordinal.unwrap_or_default();
                Reply::answer(Answer::text(format!("key {ordinal}, call {}", call.number)))
            }),
    )
    .await;
    for number in 0..2 {
        let text = chat(&gemini, "").await;
        assert_eq!(
            text.json()["choices"][0]["message"]["content"],
            format!("key 2, call {number}")
        );
    }
}

#[tokio::test]
async fn stopping_cuts_what_is_open_and_frees_the_port() {
    let gemini = gemini().await;
    gemini.script(KEY, Reply::silence());
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[]).await;
    soon(gemini.wait_until(|calls| calls.len() == 1)).await;
    soon(gemini.stop()).await;
    assert_eq!(gemini.calls()[0].ended, Ended::Stopped);
    assert_eq!(gemini.connections().open, 0);
    assert!(client.rest().await.0.is_empty());
    assert!(TcpStream::connect(gemini.address()).await.is_err());
    soon(gemini.stop()).await;
}

#[tokio::test]
async fn a_fake_stops_with_its_last_handle() {
    let gemini = gemini().await;
    let address = gemini.address();
    let clone = gemini.clone();
    let client = Client::connect(&gemini).await;
    soon(gemini.wait_for_connections(|connections| connections.open == 1)).await;
    drop(gemini);
    assert_eq!(chat(&clone, "").await.status(), 200);
    drop(clone);
    assert!(client.rest().await.0.is_empty());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn fakes_beside_each_other_share_nothing() {
    let (one, other) = (gemini().await, gemini().await);
    one.script(KEY, Reply::error(errors::internal()));
    assert_eq!(chat(&other, "").await.status(), 200);
    assert_eq!((one.calls().len(), other.calls().len()), (0, 1));
    assert_eq!((one.unused_replies(), other.unused_replies()), (1, 0));
    assert_eq!(chat(&one, "").await.status(), 500);
}

#[tokio::test]
async fn equal_fakes_send_equal_bytes() {
    let clock = ManualClock::at(MIDNIGHT);
    clock.advance(Duration::from_millis(1999));
    let answer = async || {
        let gemini = FakeGemini::builder().key(KEY).clock(clock.clock());
        let gemini = gemini.start().await.unwrap();
        chat(&gemini, STREAM).await.bytes
    };
    let first = answer().await;
    assert_eq!(first, answer().await);
    let text = String::from_utf8(first).unwrap();
    assert!(text.contains(r#""created":1800000001,"#), "{text}");
}
