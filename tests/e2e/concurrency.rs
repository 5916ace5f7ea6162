//! Concurrent calls, and a host that is killed.

use crate::support::{CHAT, STREAM, Setup, key};
use fake_gemini::{Answer, Call, Reply};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

#[tokio::test(flavor = "multi_thread")]
async fn logs_each_of_200_concurrent_calls_once() {
    let app = Setup::keys(10).start().await;
    let chats = (0..200).map(|number| app.chat(if number % 2 == 0 { CHAT } else { STREAM }));
    let answers = join_all(chats).await;
    assert!(answers.iter().all(|answer| answer.status == 200));

    let calls = app.gemini.calls();
    assert_eq!(calls.len(), 200);
    assert_eq!(app.log_rows("count(*), sum(success)"), ["200|200"]);
    for number in 1..=10 {
        let seen = calls.iter().filter(|call| call.key_ordinal == Some(number));
        let seen = seen.count();
        let row = app.rows(&format!(
            "SELECT total_calls, success_calls, consecutive_failures, (SELECT count(*) FROM api_call_logs WHERE api_key_id = api_keys.id)
             FROM api_keys WHERE api_key = '{}'",
            key(number)
        ));
        assert_eq!(row, [format!("{seen}|{seen}|0|{seen}")], "key {number}");
    }
    let output = app.output();
    assert!(!output.contains("database is locked"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answered_call_is_logged_after_kill_9() {
    let play = |call: &Call| {
        let key = call.key_ordinal.unwrap_or_default();
        Reply::answer(Answer::text(format!("key {key}")))
    };
    let setup = Setup::keys(10).gemini(|gemini| gemini.default_reply(play));
    let mut app = setup.start().await;

    // Clients call until the host is gone, and return the key of each answer.
    let answered = Arc::new(Semaphore::new(0));
    let going = Arc::new(AtomicBool::new(true));
    let clients: Vec<_> = (0..40)
        .map(|number| {
            let client = app.client.clone();
            let (answered, going) = (Arc::clone(&answered), Arc::clone(&going));
            tokio::spawn(async move {
                let mut keys = Vec::new();
                while going.load(Ordering::SeqCst) {
                    let body = if number % 2 == 0 { CHAT } else { STREAM };
                    match client.chat(body).try_send().await {
                        Ok(answer) if answer.body.contains("[DONE]") || number % 2 == 0 => {
                            answer.assert_status(200);
                            keys.push(key_of(&answer.body));
                            answered.add_permits(1);
                        }
                        Ok(_) | Err(_) => break,
                    }
                }
                keys
            })
        })
        .collect();
    let _in_the_middle = answered.acquire_many(300).await.unwrap();
    app.kill().await;
    going.store(false, Ordering::SeqCst);

    let mut by_key: BTreeMap<usize, usize> = BTreeMap::new();
    for client in clients {
        for key in client.await.unwrap() {
            *by_key.entry(key).or_default() += 1;
        }
    }
    assert!(by_key.values().sum::<usize>() >= 300);
    for (number, answered) in by_key {
        let key = key(number);
        let row = app.rows(&format!(
            "SELECT success_calls, (SELECT count(*) FROM api_call_logs WHERE success = 1 AND api_key_id = api_keys.id)
             FROM api_keys WHERE api_key = '{key}'"
        ));
        let (counted, logged) = row[0].split_once('|').unwrap();
        let (counted, logged): (usize, usize) = (counted.parse().unwrap(), logged.parse().unwrap());
        // The counters are written after the log, so a crash between them leaves too many rows
        // rather than too few.
        let is_complete = answered <= counted && counted <= logged;
        assert!(is_complete, "key {number}: {answered}, {counted}, {logged}");
    }

    app.restart().await;
    assert_eq!(app.chat(CHAT).await.status, 200, "the pool still works");
}

/// Parses the number in the text `key 3` of a plain or streamed answer.
fn key_of(body: &str) -> usize {
    let event = body.strip_prefix("data: ");
    let event = event.and_then(|events| events.strip_suffix("\n\ndata: [DONE]\n\n"));
    let json: serde_json::Value = serde_json::from_str(event.unwrap_or(body)).expect(body);
    let choice = &json["choices"][0];
    let whole = choice["message"]["content"].as_str();
    let text = whole.or(choice["delta"]["content"].as_str()).expect(body);
    text.strip_prefix("key ").expect(body).parse().unwrap()
}

#[tokio::test]
async fn log_commit_after_logs_every_answer_eventually() {
    let setup = Setup::with(3, &[("log_commit", "after")]);
    let app = setup.without_memory().start().await;
    let answers = join_all((0..100).map(|_| app.chat(CHAT))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let mut stream = app.chat_stream(STREAM).await;
    assert_eq!(stream.events().await.last().unwrap(), "data: [DONE]");
    for (query, expected) in [
        (
            "SELECT count(*), sum(success), sum(input_tokens > 0) FROM api_call_logs",
            "101|101|100",
        ),
        (
            "SELECT sum(total_calls), sum(success_calls), (SELECT sum(calls) FROM api_call_hours) FROM api_keys",
            "101|101|101",
        ),
    ] {
        app.rows_become(query, &[expected]).await;
    }
}
