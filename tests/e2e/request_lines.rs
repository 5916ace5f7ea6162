//! The lines of the component on the terminal, for a program that reads them.

use crate::support::{CHAT, HostKind, STREAM, Setup, key, soon};
use fake_gemini::{Condition, Reply, errors};
use serde_json::Value;
use std::time::Duration;

#[tokio::test]
async fn with_json_each_line_is_an_object_and_each_request_has_one() {
    // The rest of the list of keys causes a warning.
    let keys = format!("{},{},not a key", key(1), key(2));
    let variables = [("log_format", "json"), ("gemini_api_key", &*keys)];
    let mut app = Setup::with(2, &variables).without_memory().start().await;
    app.assert_ready().await;
    let mut answers = Vec::new();
    answers.push((app.chat(CHAT).await, "success"));
    app.gemini.script_any(Reply::error(errors::overloaded()));
    answers.push((app.chat(CHAT).await, "success"));
    answers.push((app.chat(STREAM).await, "success"));
    let wrong = app.client.post("/v1/chat/completions", CHAT);
    let wrong = wrong.header("authorization", "Bearer wrong-token");
    answers.push((wrong.send().await, "invalid_client_token"));
    answers.push((app.chat("{").await, "invalid_request"));
    let events = Reply::events(1000).gap(Duration::from_millis(20));
    app.gemini.script_any(events);
    let mut stream = app.chat_stream(STREAM).await;
    stream.event().await.unwrap();
    drop(stream);
    let written = async {
        while !app.output().contains("\"outcome\":\"client_gone\"") {
            app.client.get("/healthz").send().await;
        }
    };
    soon("the line of the client that left", written).await;
    app.gemini.set_condition(&key(1), Condition::Leaked);
    app.gemini.set_condition(&key(2), Condition::Leaked);
    answers.push((app.chat(CHAT).await, "key_rejected"));
    answers.push((app.chat(CHAT).await, "upstream_credentials_exhausted"));
    app.stop().await;

    let output = app.output();
    // What the host writes at its start.
    let is_hosts = |line: &str| match HostKind::chosen() {
        HostKind::Embedded => {
            let starts = ["warning: ", "Storing ", "Serving "];
            starts.iter().any(|start| line.starts_with(start))
        }
        HostKind::Spin => !line.contains("keypool: ") && !line.starts_with('{'),
    };
    let lines = output.lines().filter(|line| !is_hosts(line));
    let lines: Vec<Value> = lines
        .map(|line| {
            let object = serde_json::from_str(line).ok().filter(Value::is_object);
            object.unwrap_or_else(|| panic!("{line} is not an object in\n{output}"))
        })
        .collect();
    let says = |part: &str| {
        let mut messages = lines.iter().filter_map(|line| line["message"].as_str());
        messages.any(|message| message.contains(part))
    };
    assert!(says("gemini_api_key: entry 3 of 3"), "{output}");
    assert!(says("outcome=key_rejected"), "{output}");
    let requests = lines.iter().filter(|line| line["request"].is_string());
    assert_eq!(requests.clone().count(), answers.len() + 1, "{output}");
    for (answer, outcome) in answers {
        let id = answer.header("x-request-id").unwrap();
        let own: Vec<&Value> = requests
            .clone()
            .filter(|line| line["request"] == id)
            .collect();
        assert_eq!(own.len(), 1, "{id} in\n{output}");
        let line = own[0];
        assert_eq!(line["outcome"], outcome, "{line}");
        assert_eq!(line["status"], answer.status, "{line}");
        let key = answer
            .header("x-keypool-key")
            .map(|key| key.parse().unwrap());
        assert_eq!(line["key"].as_i64(), key, "{line}");
        let attempts = answer.header("x-keypool-attempts");
        let attempts = attempts.map_or(0, |attempts| attempts.parse().unwrap());
        assert_eq!(line["attempts"].as_i64(), Some(attempts), "{line}");
        let times = [&line["first_byte_ms"], &line["ms"]];
        let [first, all] = times.map(|time| time.as_i64().unwrap());
        assert!(first <= all, "{line}");
    }
}
