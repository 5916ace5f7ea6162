//! Concurrent calls, and a host that is killed.

use crate::support::{CHAT, STREAM, Setup, key};
use fake_gemini::{Answer, Reply};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

#[tokio::test(flavor = "multi_thread")]
async fn logs_each_of_200_concurrent_calls_once() {
    let app = Setup::keys(10).start().await;
    let answers =
        join_all((0..200).map(|number| app.chat(if number % 2 == 0 { CHAT } else { STREAM })))
            .await;
    assert!(answers.iter().all(|answer| answer.status == 200));

    let calls = app.gemini.calls();
    assert_eq!(calls.len(), 200);
    assert_eq!(
        app.rows("SELECT count(*), sum(success) FROM api_call_logs"),
        ["200|200"]
    );
    for number in 1..=10 {
        let seen = calls
            .iter()
            .filter(|call| call.key_ordinal == Some(number))
            .count();
        assert_eq!(
            app.rows(&format!(
                "SELECT total_calls, success_calls, consecutive_failures, (SELECT count(*) FROM api_call_logs WHERE api_key_id = api_keys.id)
                 FROM api_keys WHERE api_key = '{}'",
                key(number)
            )),
            [format!("{seen}|{seen}|0|{seen}")],
            "key {number}"
        );
    }
    assert!(
        !app.output().contains("database is locked"),
        "{}",
        app.output()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answered_call_is_logged_after_kill_9() {
    let mut app = Setup::keys(10)
        .gemini(|gemini| {
            gemini.default_reply(|call| {
                Reply::answer(Answer::text(format!(
                    "key {}",
                    call.key_ordinal.unwrap_or_default()
                )))
            })
        })
        .start()
        .await;

    // Clients call until the host is gone, and return the key of each answer.
    let answered = Arc::new(Semaphore::new(0));
    let going = Arc::new(AtomicBool::new(true));
    let clients: Vec<_> = (0..40)
        .map(|number| {
            let (client, answered, going) = (
                app.client.clone(),
                Arc::clone(&answered),
                Arc::clone(&going),
            );
            tokio::spawn(async move {
                let mut keys = Vec::new();
                while going.load(Ordering::SeqCst) {
                    let body = if number % 2 == 0 { CHAT } else { STREAM };
                    match client.chat(body).try_send().await {
                        Ok(answer) if answer.body.contains("[DONE]") || number % 2 == 0 => {
                            assert_eq!(answer.status, 200, "{}", answer.body);
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
        let row = app.rows(&format!(
            "SELECT count(*) FROM api_call_logs WHERE success = 1 AND api_key_id = (SELECT id FROM api_keys WHERE api_key = '{}')",
            key(number)
        ));
        let logged: usize = row[0].parse().unwrap();
        assert!(
            logged >= answered,
            "key {number}: {answered} answered, {logged} logged"
        );
        // The counters are written after the log, so a crash between them leaves too many rows
        // rather than too few.
        let counted: usize = app.rows(&format!(
            "SELECT success_calls FROM api_keys WHERE api_key = '{}'",
            key(number)
        ))[0]
            .parse()
            .unwrap();
        assert!(
            answered <= counted && counted <= logged,
            "key {number}: {answered}, {counted}, {logged}"
        );
    }

    app.restart().await;
    assert_eq!(app.chat(CHAT).await.status, 200, "the pool still works");
}

/// Parses the number in the text `key 3` of a plain or streamed answer.
fn key_of(body: &str) -> usize {
    let event = body
        .strip_prefix("data: ")
        .and_then(|events| events.strip_suffix("\n\ndata: [DONE]\n\n"));
    let json: serde_json::Value = serde_json::from_str(event.unwrap_or(body))
        .unwrap_or_else(|error| panic!("{error}: {body}"));
    let choice = &json["choices"][0];
    let text = choice["message"]["content"]
        .as_str()
        .or(choice["delta"]["content"].as_str());
    let number = text
        .and_then(|text| text.strip_prefix("key "))
        .unwrap_or_else(|| panic!("no key in {body}"));
    number.parse().unwrap()
}

#[tokio::test]
async fn log_commit_after_logs_every_answer_eventually() {
    let app = Setup::keys(3)
        .variable("log_commit", "after")
        .without_memory()
        .start()
        .await;
    let answers = join_all((0..100).map(|_| app.chat(CHAT))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let mut stream = app.chat_stream(STREAM).await;
    assert_eq!(stream.events().await.last().unwrap(), "data: [DONE]");
    app.rows_become(
        "SELECT count(*), sum(success), sum(input_tokens > 0) FROM api_call_logs",
        &["101|101|100"],
    )
    .await;
    app.rows_become(
        "SELECT sum(total_calls), sum(success_calls), (SELECT sum(calls) FROM api_call_hours) FROM api_keys",
        &["101|101|101"],
    )
    .await;
}
