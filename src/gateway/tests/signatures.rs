//! Thought signatures that clients drop, and that the pool restores.

use super::*;
use fake_gemini::errors;
use serde_json::{Value, json};

const CORRUPTED: &str = r#"[{"error":{"code":400,"message":"Corrupted thought signature.","status":"INVALID_ARGUMENT"}}]"#;
const PLACEHOLDER: &str = "skip_thought_signature_validator";

fn missing() -> String {
    errors::missing_thought_signature("read", 2).pretty_array()
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
        "data: [DONE]\n\n".to_owned(),
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
        let sent = self.host.0.sent.borrow();
        let body: Value = serde_json::from_str(&sent.last().unwrap().body).unwrap();
        let messages = body["messages"].as_array().unwrap();
        let calls = messages
            .iter()
            .filter_map(|message| message["tool_calls"].as_array())
            .flatten();
        calls
            .map(|call| {
                let signature = &call["extra_content"]["google"]["thought_signature"];
                signature.as_str().map(str::to_owned)
            })
            .collect()
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
    pool.script(400, "application/json", &[&missing()]);
    pool.script_answer();
    let reply = pool.chat(&turn);
    assert_eq!(
        (reply.status, reply.header("x-keypool-attempts")),
        (200, Some("2"))
    );
    let expected = [some(PLACEHOLDER), None, some("own")];
    assert_eq!(pool.sent_signatures(), expected);
    for later in [0, 600] {
        // After 600 ms, the view is read again.
        pool.advance(later);
        pool.script_answer();
        let reply = pool.chat(&turn);
        assert_eq!(reply.header("x-keypool-attempts"), Some("1"));
        assert_eq!(pool.sent_signatures(), expected);
    }
    let other = turn.replace("\"model\":\"m\"", "\"model\":\"other\"");
    pool.script_answer();
    pool.chat(&other);
    assert_eq!(pool.sent_signatures(), [None, None, some("own")]);
    let outcomes = pool
        .database
        .query("SELECT outcome FROM api_call_logs ORDER BY id LIMIT 2");
    assert_eq!(outcomes, ["signature_missing", "success"]);
}

#[test]
fn restores_signatures_for_some_hours() {
    let pool = Pool::new();
    let whole = [call("a", Some("sig-a")), call("b", None)];
    pool.script(200, "application/json", &[&answer(&whole)]);
    assert_eq!(pool.chat(&next_turn(&[])).status, 200);
    let streamed = stream(&[call("c", Some("sig-c")), call("d", Some("sig-d"))]);
    let chunks: Vec<&str> = streamed.iter().map(String::as_str).collect();
    pool.script(200, "text/event-stream", &chunks);
    let reply = pool.chat(&next_turn(&[]));
    assert!(reply.body.ends_with("data: [DONE]\n\n"), "{}", reply.body);

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
    pool.script(
        200,
        "application/json",
        &[&answer(&[call("a", Some("sig-a"))])],
    );
    pool.chat(&next_turn(&[]));
    pool.script(400, "application/json", &[CORRUPTED]);
    pool.script_answer();
    let reply = pool.chat(&next_turn(&[vec![call("a", None)]]));
    assert_eq!(reply.status, 200);
    assert_eq!(pool.sent_signatures(), [some(PLACEHOLDER)]);
    // The client's own signature is not replaced.
    pool.script(400, "application/json", &[CORRUPTED]);
    assert_eq!(
        pool.chat(&next_turn(&[vec![call("a", Some("own"))]]))
            .status,
        400
    );
    assert_eq!(pool.sent_signatures(), [some("own")]);
}

#[test]
fn passes_a_signature_error_that_remains() {
    let pool = Pool::new();
    let signed = next_turn(&[vec![call("a", Some("own"))]]);
    pool.script(400, "application/json", &[&missing()]);
    assert_eq!((pool.chat(&signed).status, pool.sent()), (400, 1));
    pool.script(400, "application/json", &[&missing()]);
    pool.script(400, "application/json", &[&missing()]);
    let unsigned = next_turn(&[vec![call("a", None)]]);
    let reply = pool.chat(&unsigned);
    assert_eq!((reply.status, pool.sent()), (400, 3));
    assert!(
        reply.error("message").contains("thought_signature"),
        "{}",
        reply.body
    );
    assert_eq!(
        pool.database.query("SELECT model FROM signed_models"),
        [""; 0]
    );
}

#[test]
fn without_repair_no_signature_is_stored_or_restored() {
    let pool = Pool::with(&[("repair", "off")]);
    pool.script(
        200,
        "application/json",
        &[&answer(&[call("a", Some("sig-a"))])],
    );
    pool.chat(&next_turn(&[]));
    let rows = pool
        .database
        .query("SELECT count(*) FROM thought_signatures");
    assert_eq!(rows, ["0"]);
    pool.script(400, "application/json", &[&missing()]);
    assert_eq!(pool.chat(&next_turn(&[vec![call("a", None)]])).status, 400);
    assert_eq!(pool.sent_signatures(), [None]);
}
