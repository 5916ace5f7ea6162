use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Recorded from gemini-3.8-flash, shortened.
const CHUNK: &str = r#"{"choices":[{"delta":{"role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"sig-1"}},"function":{"arguments":"{\"offset\":1}","name":"read"},"id":"call_297140","type":"function"}]},"index":0}],"model":"gemini-3.8-flash","object":"chat.completion.chunk"}"#;

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall::new(id, name, arguments)
}

fn of_stream(chunks: &[&str]) -> Vec<SignedCall> {
    let mut signatures = Signatures::default();
    for chunk in chunks {
        signatures.take_lines(format!("data: {chunk}\n\n").as_bytes());
    }
    signatures.collected()
}

/// A history with one message per list of calls, given as (id, signature).
fn history_of(messages: &[&[(&str, Option<&str>)]]) -> Vec<u8> {
    let messages: Vec<Value> = messages
        .iter()
        .map(|calls| {
            let calls: Vec<Value> = calls
                .iter()
                .map(|(id, signature)| {
                    let mut call = json!({"id": id, "type": "function", "function": {"name": "read", "arguments": "{}"}});
                    if let Some(signature) = signature {
                        call["extra_content"] = json!({"google": {"thought_signature": signature}});
                    }
                    call
                })
                .collect();
            json!({"role": "assistant", "content": null, "tool_calls": calls})
        })
        .collect();
    json!({"model": "m", "messages": messages})
        .to_string()
        .into_bytes()
}

fn signatures_in(body: &[u8]) -> Vec<Option<String>> {
    history(body).iter().map(PastCall::signature).collect()
}

#[test]
fn collects_a_signature_with_its_call() {
    let expected = [SignedCall {
        call: call("call_297140", "read", r#"{"offset":1}"#),
        signature: "sig-1".to_owned(),
    }];
    assert_eq!(of_stream(&[CHUNK]), expected);
    let whole = CHUNK.replace("\"delta\"", "\"message\"");
    assert_eq!(Signatures::of_answer(whole.as_bytes()), expected);
    let twice = CHUNK.replace("sig-1", "sig-2");
    assert_eq!(
        of_stream(&[CHUNK, &twice])
            .first()
            .map(|signed| &*signed.signature),
        Some("sig-1")
    );
    for none in [
        "",
        "[DONE]",
        "{\"choices\":null}",
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f"}}]}}]}"#,
    ] {
        assert_eq!(of_stream(&[none]), [], "{none}");
    }
}

#[test]
fn assembles_calls_and_assigns_detached_signatures() {
    let piece = |index: u32, piece: Value| {
        let mut piece = piece;
        piece["index"] = json!(index);
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]}).to_string()
    };
    let found = of_stream(&[
        &piece(
            0,
            json!({"id": "a", "function": {"name": "f", "arguments": "{\"x\""}}),
        ),
        &piece(
            1,
            json!({"id": "b", "function": {"name": "g", "arguments": "{}"}}),
        ),
        &piece(0, json!({"function": {"arguments": ":1}"}})),
        r#"{"choices":[{"index":0,"delta":{"extra_content":{"google":{"thought_signature":"s"}}}}]}"#,
    ]);
    let expected = SignedCall {
        call: call("a", "f", r#"{"x":1}"#),
        signature: "s".to_owned(),
    };
    assert_eq!(found, [expected]);
}

#[test]
fn calls_are_compared_by_value() {
    let known = call("call_1", "f", r#"{"a": 1.0, "b": "\u00e9"}"#);
    assert_eq!(known, call("call_1", "f", r#"{"b":"é","a":1}"#));
    assert_eq!(call("1", "f", ""), call("1", "f", " {} "));
    for other in [
        call("call_2", "f", r#"{"a":1,"b":"é"}"#),
        call("call_1", "g", r#"{"a":1,"b":"é"}"#),
        call("call_1", "f", r#"{"a":2,"b":"é"}"#),
        call("call_1", "f", r#"{"a":"1","b":"é"}"#),
    ] {
        assert_ne!(known, other);
    }
}

#[test]
fn restores_known_signatures_and_keeps_others() {
    let body = history_of(&[
        &[("a", None), ("b", None)],
        &[("c", Some("own"))],
        &[("d", None)],
    ]);
    let names: HashSet<_> = ["a", "b", "d"].map(|id| call(id, "read", "{}")).into();
    assert_eq!(unsigned(&body), names);
    let known = HashMap::from([
        (call("b", "read", "{ }"), "for-b".to_owned()),
        (call("c", "read", "{}"), "for-c".to_owned()),
    ]);
    let body = signed(&body, &known).unwrap();
    let owned = |text: &str| Some(text.to_owned());
    assert_eq!(
        signatures_in(&body),
        [None, owned("for-b"), owned("own"), None]
    );
    assert_eq!(signed(&body, &known), None);
}

#[test]
fn placeholders_fill_first_calls_and_refused_signatures() {
    let body = history_of(&[
        &[("a", None), ("b", None)],
        &[("c", Some("own"))],
        &[("d", Some("old"))],
    ]);
    let refused = BTreeSet::from(["old".to_owned()]);
    let body = with_placeholders(&body, &refused).unwrap();
    let placeholder = Some(PLACEHOLDER.to_owned());
    let own = Some("own".to_owned());
    assert_eq!(
        signatures_in(&body),
        [placeholder.clone(), None, own, placeholder]
    );
    assert_eq!(with_placeholders(&body, &refused), None);
    let plain = br#"{"messages":[{"role":"user","content":"\"tool_calls\""}]}"#;
    assert_eq!(with_placeholders(plain, &refused), None);
}

#[test]
fn a_signature_is_merged_into_existing_extra_content() {
    let signature = r#"{"google":{"thought_signature":"skip_thought_signature_validator"}}"#;
    for (left, expected) in [
        ("", format!(r#""extra_content":{signature},"#)),
        (r#""extra_content":null,"#, format!(r#""extra_content":{signature},"#)),
        (r#""extra_content":{},"#, format!(r#""extra_content":{signature},"#)),
        (r#""extra_content":{"google":null},"#, format!(r#""extra_content":{signature},"#)),
        (r#""extra_content":{"google":{"thought_signature":""}},"#, format!(r#""extra_content":{signature},"#)),
        (
            r#""extra_content":{"x":1},"#,
            r#""extra_content":{"google":{"thought_signature":"skip_thought_signature_validator"},"x":1},"#.to_owned(),
        ),
    ] {
        let body = |extra: &str| {
            format!(r#"{{"messages":[{{"tool_calls":[{{{extra}"id":"a","function":{{"name":"f"}}}}]}}]}}"#)
        };
        let changed = with_placeholders(body(left).as_bytes(), &BTreeSet::new()).unwrap();
        assert_eq!(String::from_utf8(changed).unwrap(), body(&expected), "{left}");
    }
}

proptest! {
    #[test]
    fn accepts_any_text(text in ".{0,200}") {
        let text = format!("\"tool_calls\"{text}");
        let _ = of_stream(&[&text]);
        prop_assert_eq!(with_placeholders(text.as_bytes(), &BTreeSet::new()), None);
    }

    #[test]
    fn signing_only_changes_signatures(ids in prop::collection::vec("[a-z]{1,4}", 1..5)) {
        let calls: Vec<(&str, Option<&str>)> = ids.iter().map(|id| (id.as_str(), None)).collect();
        let body = history_of(&[&calls]);
        let known: HashMap<_, _> = unsigned(&body).into_iter().map(|call| (call, "s".to_owned())).collect();
        let mut changed: Value = serde_json::from_slice(&signed(&body, &known).unwrap()).unwrap();
        for call in changed["messages"][0]["tool_calls"].as_array_mut().unwrap() {
            prop_assert_eq!(&call["extra_content"]["google"]["thought_signature"], "s");
            call.as_object_mut().unwrap().remove("extra_content");
        }
        prop_assert_eq!(changed, serde_json::from_slice::<Value>(&body).unwrap());
    }
}
