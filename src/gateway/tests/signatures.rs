//! Thought signatures that clients drop, and that the pool restores.

use super::*;
use serde_json::{Value, json};

const PLACEHOLDER: &str = "skip_thought_signature_validator";

fn missing() -> ApiError {
    errors::missing_thought_signature("read", 2)
}

fn corrupted() -> ApiError {
    ApiError::new(400, "INVALID_ARGUMENT", "Corrupted thought signature.")
}

fn call(id: &str, signature: Option<&str>) -> Value {
    let mut call = json!({"id": id, "type": "function", "function": {"name": "read", "arguments": "{\"offset\":1}"}});
    if let Some(signature) = signature {
        call["extra_content"] = json!({"google": {"thought_signature": signature}});
    }
    call
}

fn answer(calls: &[Value]) -> String {
    json!({"choices": [{"finish_reason": "tool_calls", "index": 0, "message": {"content": null, "role": "assistant", "tool_calls": calls}}],
        "created": 1, "id": "x", "model": "m", "object": "chat.completion"})
    .to_string()
}

/// The chunks of a stream as recorded from Gemini 3.x: the calls first, then the finish reason.
fn stream(calls: &[Value]) -> Vec<String> {
    let chunk = |delta: Value, finish: Option<&str>| {
        let mut choice = json!({"delta": delta, "index": 0});
        if let Some(finish) = finish {
            choice["finish_reason"] = json!(finish);
        }
        let chunk = json!({"choices": [choice], "created": 1, "model": "m", "object": "chat.completion.chunk"});
        format!("data: {chunk}\n\n")
    };
    let calls = json!({"role": "assistant", "tool_calls": calls});
    vec![
        chunk(calls, None),
        chunk(json!({"role": "assistant"}), Some("stop")),
        DONE.to_owned(),
    ]
}

/// The client's next turn: each message's calls, and a result for each call.
fn next_turn(messages: &[Vec<Value>]) -> String {
    let mut list = vec![json!({"role": "user", "content": "hi"})];
    for calls in messages {
        list.push(json!({"role": "assistant", "content": null, "tool_calls": calls}));
        for call in calls {
            list.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "1"}));
        }
    }
    json!({"model": "m", "messages": list}).to_string()
}

impl Pool {
    /// The signatures in the latest request to the upstream.
    fn sent_signatures(&self) -> Vec<Option<String>> {
        let body = json(&self.last_sent().body);
        let messages = body["messages"].as_array().unwrap().iter();
        let calls = messages.filter_map(|message| message["tool_calls"].as_array());
        let signature = |call: &Value| {
            let signature = &call["extra_content"]["google"]["thought_signature"];
            signature.as_str().map(str::to_owned)
        };
        calls.flatten().map(signature).collect()
    }
}

fn some(signature: &str) -> Option<String> {
    Some(signature.to_owned())
}

#[test]
fn replaces_missing_signatures_and_remembers_the_model() {
    let pool = Pool::new();
    let turn = next_turn(&[
        vec![call("a", None), call("b", None)],
        vec![call("c", Some("own"))],
    ]);
    pool.script_error(&missing());
    pool.script_answer();
    let reply = pool.chat(&turn);
    reply.assert_status(200);
    assert_eq!(reply.headers["x-keypool-attempts"], "2");
    let expected = [some(PLACEHOLDER), None, some("own")];
    assert_eq!(pool.sent_signatures(), expected);
    for later in [0, 600] {
        // After 600 ms, the view is read again.
        pool.advance(later);
        pool.script_answer();
        let reply = pool.chat(&turn);
        assert_eq!(reply.headers["x-keypool-attempts"], "1");
        assert_eq!(pool.sent_signatures(), expected);
    }
    let other = turn.replace("\"model\":\"m\"", "\"model\":\"other\"");
    pool.script_answer();
    pool.chat(&other);
    assert_eq!(pool.sent_signatures(), [None, None, some("own")]);
    let outcomes = &pool.log_rows("outcome")[..2];
    assert_eq!(outcomes, ["signature_missing", "success"]);
}

#[test]
fn restores_signatures_for_some_hours() {
    let pool = Pool::new();
    let whole = [call("a", Some("sig-a")), call("b", None)];
    pool.script_json(&answer(&whole));
    assert_eq!(pool.chat(&next_turn(&[])).status, 200);
    let streamed = stream(&[call("c", Some("sig-c")), call("d", Some("sig-d"))]);
    let chunks: Vec<&str> = streamed.iter().map(String::as_str).collect();
    pool.script_events(&chunks);
    let reply = pool.chat(&next_turn(&[]));
    assert!(reply.body.ends_with(DONE), "{}", reply.body);

    let turn = next_turn(&[
        vec![call("a", None), call("b", None)],
        vec![call("c", None), call("d", None)],
    ]);
    pool.script_answer();
    pool.chat(&turn);
    let expected = [some("sig-a"), None, some("sig-c"), some("sig-d")];
    assert_eq!(pool.sent_signatures(), expected);
    pool.advance(6 * 3_600_000);
    pool.script_answer();
    pool.chat(&turn);
    assert_eq!(pool.sent_signatures(), [None, None, None, None]);
}

#[test]
fn replaces_a_rejected_restored_signature() {
    let pool = Pool::new();
    pool.script_json(&answer(&[call("a", Some("sig-a"))]));
    pool.chat(&next_turn(&[]));
    pool.script_error(&corrupted());
    pool.script_answer();
    let reply = pool.chat(&next_turn(&[vec![call("a", None)]]));
    assert_eq!(reply.status, 200);
    assert_eq!(pool.sent_signatures(), [some(PLACEHOLDER)]);
    // The client's own signature is not replaced.
    pool.script_error(&corrupted());
    let signed = next_turn(&[vec![call("a", Some("own"))]]);
    pool.chat(&signed).assert_status(400);
    assert_eq!(pool.sent_signatures(), [some("own")]);
}

#[test]
fn passes_a_signature_error_that_remains() {
    let pool = Pool::new();
    let signed = next_turn(&[vec![call("a", Some("own"))]]);
    pool.script_error(&missing());
    assert_eq!((pool.chat(&signed).status, pool.sent()), (400, 1));
    pool.script_errors(2, &missing());
    let unsigned = next_turn(&[vec![call("a", None)]]);
    let reply = pool.chat(&unsigned);
    assert_eq!((reply.status, pool.sent()), (400, 3));
    reply.assert_message("thought_signature");
    assert_eq!(pool.count("signed_models"), 0);
}

#[test]
fn without_repair_no_signature_is_stored_or_restored() {
    let pool = Pool::with(&[("repair", "off")]);
    pool.script_json(&answer(&[call("a", Some("sig-a"))]));
    pool.chat(&next_turn(&[]));
    assert_eq!(pool.count("thought_signatures"), 0);
    pool.script_error(&missing());
    assert_eq!(pool.chat(&next_turn(&[vec![call("a", None)]])).status, 400);
    assert_eq!(pool.sent_signatures(), [None]);
}
