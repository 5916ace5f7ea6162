//! Panics in a test's own closures, which run in the fake's tasks: they are caught there, and reach the test.

use crate::support::{Client, KEY, chat, gemini, soon, start};
use fake_gemini::{Clock, FakeGemini, Reply};

/// What the task panicked with.
async fn panic_of(task: tokio::task::JoinHandle<()>) -> String {
    let payload = soon(task).await.unwrap_err().into_panic();
    payload.downcast_ref::<String>().unwrap().clone()
}

/// The panics of all that a test does to a fake that has seen one.
async fn told(gemini: FakeGemini) -> Vec<String> {
    let waits = gemini.clone();
    let counts = gemini.clone();
    let looks = gemini.clone();
    let tasks = [
        tokio::spawn(async move { drop(looks.calls()) }),
        tokio::spawn(async move { drop(waits.wait_until(|_| false).await) }),
        tokio::spawn(async move {
            counts.wait_for_connections(|_| false).await;
        }),
        tokio::spawn(async move { gemini.stop().await }),
    ];
    let mut told = Vec::new();
    for task in tasks {
        told.push(panic_of(task).await);
    }
    told
}

#[tokio::test]
async fn a_panic_of_the_default_reply_is_a_500_and_is_told() {
    let builder = FakeGemini::builder().key(KEY);
    let gemini = start(builder.default_reply(|_| panic!("no reply"))).await;
    assert_eq!(chat(&gemini, "").await.status(), 500);
    assert_eq!(told(gemini).await, ["default_reply panicked: no reply"; 4]);
}

#[tokio::test]
async fn a_panic_of_the_observer_is_told_and_harms_no_answer() {
    let builder = FakeGemini::builder().key(KEY);
    let gemini = start(builder.on_call(|call| panic!("call {}", call.number))).await;
    for _ in 0..2 {
        assert_eq!(chat(&gemini, "").await.status(), 200);
    }
    assert_eq!(told(gemini).await, ["on_call panicked: call 0"; 4]);
}

#[tokio::test]
async fn two_panics_at_once_do_not_end_the_process() {
    let gemini = start(
        FakeGemini::builder()
            .key(KEY)
            .default_reply(|_| panic!("no reply"))
            .on_call(|_| panic!("nor a note")),
    )
    .await;
    assert_eq!(chat(&gemini, "").await.status(), 500);
    assert_eq!(told(gemini).await, ["default_reply panicked: no reply"; 4]);
}

#[tokio::test]
async fn a_panic_elsewhere_cuts_the_connection_and_is_told() {
    let builder = FakeGemini::builder()
        .key(KEY)
        .on_call(|_| panic!("while another panic goes on"))
        .clock(Clock::new(|| panic!("no time")));
    let gemini = builder.start().await.unwrap();
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[]).await;
    assert!(client.rest().await.0.is_empty());
    let told = told(gemini).await;
    assert_eq!(told, ["on_call panicked: while another panic goes on"; 4]);
}

#[tokio::test]
async fn a_panic_of_a_clock_is_told() {
    let builder = FakeGemini::builder().key(KEY);
    let gemini = builder
        .clock(Clock::new(|| panic!("no time")))
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[]).await;
    assert!(client.rest().await.0.is_empty());
    assert_eq!(told(gemini).await, ["a call panicked: no time"; 4]);
}

#[tokio::test]
async fn whoever_waits_is_told() {
    let builder = FakeGemini::builder().key(KEY);
    let gemini = start(builder.on_call(|_| panic!("at the end"))).await;
    gemini.script(KEY, Reply::silence());
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[]).await;
    soon(gemini.wait_until(|calls| calls.len() == 1)).await;
    let waits = gemini.clone();
    let waiting = tokio::spawn(async move { drop(waits.wait_until(|_| false).await) });
    drop(client);
    assert_eq!(panic_of(waiting).await, "on_call panicked: at the end");
}

#[tokio::test]
async fn without_a_panic_nothing_is_told() {
    let gemini = gemini().await;
    assert_eq!(chat(&gemini, "").await.status(), 200);
    assert_eq!(gemini.calls().len(), 1);
    gemini.stop().await;
}
