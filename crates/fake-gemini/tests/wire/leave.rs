//! Clients that leave, at each place, and whatever else they have sent before.

use crate::support::{CHAT, Client, KEY, STREAM, chat, ended, gemini, soon};
use fake_gemini::{Call, Ended, Reply};
use std::time::Duration;

#[tokio::test]
async fn a_client_that_leaves_a_stream_is_noticed() {
    let gemini = gemini().await;
    let (reply, steps) = Reply::stepped(50);
    gemini.script(KEY, reply);
    let mut client = Client::connect(&gemini).await;
    client.chat(STREAM, &[]).await;
    client.head().await;
    steps.release(2);
    client.chunk().await.unwrap();
    client.chunk().await.unwrap();
    drop(client);
    let call = ended(&gemini).await;
    assert_eq!(
        (call.ended, call.events_sent, call.status),
        (Ended::ClientGone, 2, Some(200))
    );
    let connections = soon(gemini.wait_for_connections(|connections| connections.open == 0)).await;
    assert_eq!(connections.accepted, 1);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_is_noticed() {
    for reply in [
        Reply::silence(),
        Reply::ok().hold().0,
        Reply::ok().delay(Duration::from_secs(3600)),
    ] {
        let gemini = gemini().await;
        gemini.script(KEY, reply);
        let mut client = Client::connect(&gemini).await;
        client.chat("", &[]).await;
        soon(gemini.wait_until(|calls| calls.len() == 1)).await;
        drop(client);
        let call = ended(&gemini).await;
        assert_eq!((call.ended, call.status), (Ended::ClientGone, None));
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_it_sends_is_no_call() {
    let gemini = gemini().await;
    let mut client = Client::connect(&gemini).await;
    let head = format!("POST {CHAT} HTTP/1.1\r\nauthorization: Bearer {KEY}\r\n");
    client
        .write(&format!("{head}content-length: 9\r\n\r\n{{"))
        .await;
    soon(gemini.wait_for_connections(|connections| connections.open == 1)).await;
    drop(client);
    soon(gemini.wait_for_connections(|connections| connections.open == 0)).await;
    assert!(gemini.calls().is_empty());
}

#[tokio::test]
async fn a_client_that_has_sent_too_much_is_noticed_all_the_same() {
    let much = "x".repeat(500_000);
    for surplus in ["\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HT", &much] {
        for (reply, status) in [
            (Reply::silence(), None),
            (Reply::ok().hold().0, None),
            (Reply::ok().delay(Duration::from_secs(3600)), None),
            (Reply::stepped(3).0, Some(200)),
            (Reply::events(3).gap(Duration::from_secs(3600)), Some(200)),
        ] {
            for resets in [false, true] {
                let gemini = gemini().await;
                gemini.script(KEY, reply.clone());
                let mut client = Client::connect(&gemini).await;
                client.chat(STREAM, &[]).await;
                client.write(surplus).await;
                soon(
                    gemini.wait_until(|calls| {
                        calls.first().is_some_and(|call| call.status == status)
                    }),
                )
                .await;
                if resets {
                    client.reset();
                } else {
                    drop(client);
                }
                let call = ended(&gemini).await;
                assert_eq!((call.ended, call.status), (Ended::ClientGone, status));
            }
        }
    }
}

#[tokio::test]
async fn what_a_client_sends_while_it_is_answered_is_answered_next() {
    let gemini = gemini().await;
    let (reply, gate) = Reply::ok().hold();
    gemini.script(KEY, reply);
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[]).await;
    soon(gemini.wait_until(|calls| calls.len() == 1)).await;
    // Another call in between lets the fake read what has come so far: the first one with hyper, the rest ahead.
    for number in 1..=3 {
        client.chat(&format!(r#","n":{number}"#), &[]).await;
        chat(&gemini, "").await;
    }
    gate.open();
    assert_eq!(client.response().await.status(), 200);
    for number in 1..=3 {
        let answer = client.response().await.json();
        assert_eq!(answer["choices"].as_array().unwrap().len(), number);
    }
    client.chat(r#","n":4"#, &[]).await;
    let answer = client.response().await.json();
    assert_eq!(answer["choices"].as_array().unwrap().len(), 4);
    let mine = |call: &&Call| call.connection == 0;
    assert_eq!(gemini.calls().iter().filter(mine).count(), 5);
}
