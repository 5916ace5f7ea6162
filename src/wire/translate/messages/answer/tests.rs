use super::*;
use crate::wire::translate::Delivery;
use crate::wire::translate::tool_names::ToolNames;
use crate::wire::translate::{Context, Form as AnyForm, Translator, whole};
use proptest::prelude::*;
use serde_json::{Value, json};

fn form(thinking: Thinking) -> AnyForm {
    AnyForm::Message(Rc::new(Form {
        model: "flash".to_owned(),
        thinking,
        tool_names: ToolNames::new(["files.list", "read"].into_iter()),
        seed: 7,
    }))
}

/// Gemini's event with these parts, and perhaps the reason why the answer ends.
fn event(parts: &Value, end: Option<&str>) -> Value {
    let mut event = json!({
        "candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 20, "cachedContentTokenCount": 5,
            "candidatesTokenCount": 3, "thoughtsTokenCount": 2},
    });
    if let Some(end) = end {
        event["candidates"][0]["finishReason"] = end.into();
    }
    event
}

fn bytes(events: &[Value]) -> Vec<u8> {
    let lines = events.iter().map(|event| format!("data: {event}\r\n\r\n"));
    lines.collect::<String>().into_bytes()
}

fn streamed(form: &AnyForm, events: &[Value]) -> String {
    let mut translator = Translator::new(form).unwrap();
    let mut text = translator.push(&bytes(events)).unwrap();
    text.extend(translator.end().unwrap());
    String::from_utf8(text).unwrap()
}

/// The events of a stream. Each has its type as its name.
fn parse(stream: &str) -> Vec<Value> {
    let blocks = stream.split_terminator("\n\n");
    blocks
        .map(|block| {
            let (name, data) = block.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(
                Some(name),
                data["type"]
                    .as_str()
                    .map(|kind| format!("event: {kind}"))
                    .as_deref()
            );
            data
        })
        .collect()
}

/// A short form of events, one a line.
fn short(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event["type"].as_str().unwrap() {
            "content_block_start" => format!("start {} {}", event["index"], event["content_block"]),
            "content_block_delta" => format!("delta {} {}", event["index"], event["delta"]),
            "content_block_stop" => format!("stop {}", event["index"]),
            "message_delta" => format!("end {}", event["delta"]["stop_reason"]),
            other => other.to_owned(),
        })
        .collect()
}

/// The blocks of an answer, as events without those around them.
fn blocks(thinking: Thinking, events: &[Value]) -> Vec<String> {
    let mut lines = short(&parse(&streamed(&form(thinking), events)));
    assert_eq!(
        lines.drain(..2).collect::<Vec<_>>(),
        ["message_start", "ping"]
    );
    assert_eq!(lines.pop().as_deref(), Some("message_stop"));
    lines
}

/// What clients make of a stream, as the official ones do. Panics if the order of events is wrong.
fn accumulate(stream: &str) -> Value {
    let mut events = parse(stream).into_iter();
    let mut message = events.next().unwrap()["message"].clone();
    assert_eq!(events.next().unwrap(), json!({"type": "ping"}));
    assert_eq!(message["content"], json!([]));
    let mut open = None;
    let mut input = String::new();
    for event in events.by_ref() {
        let length = message["content"].as_array().unwrap().len();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!((open, &event["index"]), (None, &json!(length)));
                open = Some(length);
                input.clear();
                message["content"]
                    .as_array_mut()
                    .unwrap()
                    .push(event["content_block"].clone());
            }
            "content_block_delta" => {
                assert_eq!(
                    Some(&event["index"]),
                    open.map(|index| json!(index)).as_ref()
                );
                let block = message["content"]
                    .as_array_mut()
                    .unwrap()
                    .last_mut()
                    .unwrap();
                add(block, &event["delta"], &mut input);
            }
            "content_block_stop" => {
                assert_eq!(
                    Some(&event["index"]),
                    open.take().map(|index| json!(index)).as_ref()
                );
            }
            "message_delta" => {
                assert_eq!(open, None);
                for source in [&event["delta"], &event["usage"]] {
                    let target = match source.get("output_tokens") {
                        Some(_) => &mut message["usage"],
                        None => &mut message,
                    };
                    for (name, value) in source.as_object().unwrap() {
                        target[name] = value.clone();
                    }
                }
                break;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(events.next(), Some(json!({"type": "message_stop"})));
    assert_eq!(events.next(), None);
    message
}

fn add(block: &mut Value, delta: &Value, input: &mut String) {
    let kind = delta["type"].as_str().unwrap();
    let mut append = |name: &str| {
        let text = block[name].as_str().unwrap().to_owned() + delta[name].as_str().unwrap();
        block[name] = text.into();
    };
    match kind {
        "text_delta" => append("text"),
        "thinking_delta" => append("thinking"),
        "signature_delta" => {
            assert_eq!(block["signature"], "");
            block["signature"] = delta["signature"].clone();
        }
        "input_json_delta" => {
            input.push_str(delta["partial_json"].as_str().unwrap());
            block["input"] = serde_json::from_str(input).unwrap();
        }
        "citations_delta" => {
            assert_eq!(block["type"], "text");
            if block["citations"].is_null() {
                block["citations"] = json!([]);
            }
            block["citations"]
                .as_array_mut()
                .unwrap()
                .push(delta["citation"].clone());
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_message_has_all_required_fields() {
    let events = [
        event(&json!([{"text": "Hi"}]), None),
        event(&json!([{"text": "!"}]), Some("STOP")),
    ];
    let usage = json!({
        "input_tokens": 15, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 5,
        "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 2}, "server_tool_use": null,
    });
    let mut whole_usage = usage.clone();
    for name in ["cache_creation", "inference_geo", "service_tier", "speed"] {
        whole_usage[name] = Value::Null;
    }
    let mut first_usage = whole_usage.clone();
    first_usage["output_tokens"] = 0.into();
    first_usage["output_tokens_details"]["thinking_tokens"] = 0.into();
    let mut message = json!({
        "id": "msg_000000000000000700000001", "type": "message", "role": "assistant", "model": "flash",
        "content": [], "container": null, "diagnostics": null,
        "stop_reason": null, "stop_sequence": null, "stop_details": null, "usage": first_usage,
    });
    let stream = parse(&streamed(&form(Thinking::Hidden), &events));
    assert_eq!(
        stream,
        [
            json!({"type": "message_start", "message": message}),
            json!({"type": "ping"}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "", "citations": null}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "!"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "usage": usage, "delta": {
                "stop_reason": "end_turn", "stop_sequence": null, "stop_details": null, "container": null}}),
            json!({"type": "message_stop"}),
        ]
    );
    message["content"] = json!([{"type": "text", "text": "Hi!", "citations": null}]);
    message["stop_reason"] = "end_turn".into();
    message["usage"] = whole_usage;
    let json = event(&json!([{"text": "Hi!"}]), Some("STOP")).to_string();
    let whole = whole(json.as_bytes(), &form(Thinking::Hidden), Delivery::Whole).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&whole.body).unwrap(),
        message
    );
}

#[test]
fn a_thought_takes_the_signature_of_the_next_part() {
    let call = json!({"functionCall": {"name": "read", "args": {"b": 1.0, "a": 2}, "id": "call_1"}, "thoughtSignature": "AAA="});
    for events in [
        vec![
            event(&json!([{"text": "H", "thought": true}]), None),
            event(
                &json!([{"text": "m.", "thought": true}, call]),
                Some("STOP"),
            ),
        ],
        vec![
            event(
                &json!([{"text": "H", "thought": true}, {"text": "m.", "thought": true}]),
                None,
            ),
            event(&json!([call]), None),
            event(&json!([{"text": ""}]), Some("STOP")),
        ],
    ] {
        assert_eq!(
            blocks(Thinking::Shown, &events),
            [
                r#"start 0 {"signature":"","thinking":"","type":"thinking"}"#,
                r#"delta 0 {"thinking":"H","type":"thinking_delta"}"#,
                r#"delta 0 {"thinking":"m.","type":"thinking_delta"}"#,
                r#"delta 0 {"signature":"gemini//AAA=","type":"signature_delta"}"#,
                "stop 0",
                r#"start 1 {"caller":{"type":"direct"},"id":"call_1","input":{},"name":"read","type":"tool_use"}"#,
                r#"delta 1 {"partial_json":"{\"a\":2,\"b\":1.0}","type":"input_json_delta"}"#,
                "stop 1",
                r#"end "tool_use""#,
            ]
        );
    }
}

#[test]
fn a_signature_without_a_thought_gets_a_block_of_its_own() {
    let call = json!({"functionCall": {"name": "read", "args": {}, "id": "a"}, "thoughtSignature": "AAA="});
    let events = [event(&json!([{"text": "I read."}, call]), Some("STOP"))];
    let expected = [
        r#"start 0 {"citations":null,"text":"","type":"text"}"#,
        r#"delta 0 {"text":"I read.","type":"text_delta"}"#,
        "stop 0",
        r#"start 1 {"signature":"","thinking":"","type":"thinking"}"#,
        r#"delta 1 {"signature":"gemini//AAA=","type":"signature_delta"}"#,
        "stop 1",
        r#"start 2 {"caller":{"type":"direct"},"id":"a","input":{},"name":"read","type":"tool_use"}"#,
        r#"delta 2 {"partial_json":"{}","type":"input_json_delta"}"#,
        "stop 2",
        r#"end "tool_use""#,
    ];
    assert_eq!(blocks(Thinking::Shown, &events), expected);
    assert_eq!(blocks(Thinking::Signed, &events), expected);
    let hidden = blocks(Thinking::Hidden, &events);
    assert!(hidden[3].contains("tool_use"), "{}", hidden[3]);
}

#[test]
fn signatures_that_come_late_reach_only_thoughts() {
    for (parts, expected) in [
        (
            json!([{"text": "a"}, {"text": "b", "thoughtSignature": "A"}]),
            "end_turn text:ab",
        ),
        (
            json!([{"text": "a"}, {"text": "", "thoughtSignature": "A"}]),
            "end_turn text:a",
        ),
        (
            json!([{"text": "h", "thought": true}, {"text": "", "thoughtSignature": "A"}]),
            "end_turn thinking:h:gemini//A",
        ),
        (
            json!([{"text": "h", "thought": true, "thoughtSignature": "A"}, {"text": "a"}]),
            "end_turn thinking:h:gemini//A text:a",
        ),
        (
            json!([{"text": "a", "thoughtSignature": "A"}, {"text": "h", "thought": true}, {"text": "b"}]),
            "end_turn thinking::gemini//A text:a thinking:h: text:b",
        ),
    ] {
        let message = accumulate(&streamed(
            &form(Thinking::Shown),
            &[event(&parts, Some("STOP"))],
        ));
        let mut found = message["stop_reason"].as_str().unwrap().to_owned();
        for block in message["content"].as_array().unwrap() {
            let field = |name: &str| block[name].as_str().unwrap().to_owned();
            found += &match field("type").as_str() {
                "thinking" => format!(" thinking:{}:{}", field("thinking"), field("signature")),
                kind => format!(" {kind}:{}", field("text")),
            };
        }
        assert_eq!(found, expected, "{parts}");
    }
}

#[test]
fn hidden_signatures_are_collected() {
    let calls = json!([
        {"functionCall": {"name": "files_list_7e7aa135", "args": {"n": 1.0}, "id": "call_1"}, "thoughtSignature": "AAA="},
        {"functionCall": {"name": "read", "args": {}, "id": "call_1"}},
        {"functionCall": {"name": "read", "args": [7], "id": "a/b"}, "thoughtSignature": "BBB="},
    ]);
    let json = event(&calls, Some("STOP")).to_string();
    let whole = whole(json.as_bytes(), &form(Thinking::Hidden), Delivery::Whole).unwrap();
    let message: Value = serde_json::from_slice(&whole.body).unwrap();
    let content = &message["content"];
    assert_eq!(content[0]["name"], "files.list");
    assert_eq!(content[0]["input"], json!({"n": 1.0}));
    let ids: Vec<&str> = content
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        [
            "call_1",
            "toolu_000000000000000700000002",
            "toolu_000000000000000700000003"
        ]
    );
    assert_eq!(content[2]["input"], json!({}));
    let signed = |id: &str, name: &str, args: &str, signature: &str| SignedCall {
        call: ToolCall::new(id, name, args),
        signature: signature.to_owned(),
    };
    assert_eq!(
        whole.signed_calls,
        [
            signed("call_1", "files_list_7e7aa135", r#"{"n":1}"#, "AAA="),
            signed("toolu_000000000000000700000003", "read", "{}", "BBB="),
        ]
    );
    let shown =
        super::super::super::whole(json.as_bytes(), &form(Thinking::Shown), Delivery::Whole)
            .unwrap();
    assert_eq!(shown.signed_calls, []);
}

#[test]
fn the_reason_for_the_end_is_told() {
    for (end, reason, explanation) in [
        (Some("STOP"), "end_turn", None),
        (None, "end_turn", None),
        (Some("MAX_TOKENS"), "max_tokens", None),
        (
            Some("SAFETY"),
            "refusal",
            Some("Gemini's filters stopped the answer: SAFETY."),
        ),
    ] {
        let message = accumulate(&streamed(
            &form(Thinking::Shown),
            &[event(&json!([{"text": "a"}]), end)],
        ));
        assert_eq!(message["stop_reason"], reason);
        let details = explanation
            .map(|text| json!({"type": "refusal", "category": null, "explanation": text}));
        assert_eq!(message["stop_details"], details.unwrap_or_default());
    }
    let refused = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 9}});
    let message = accumulate(&streamed(&form(Thinking::Shown), &[refused]));
    assert_eq!(message["stop_reason"], "refusal");
    assert_eq!(message["content"], json!([]));
}

#[test]
fn a_failure_ends_the_stream_with_an_error() {
    let events = [
        event(&json!([{"text": "a"}]), None),
        event(&json!([]), Some("MALFORMED_FUNCTION_CALL")),
    ];
    let stream = parse(&streamed(&form(Thinking::Shown), &events));
    assert_eq!(
        stream.last().unwrap(),
        &json!({"type": "error", "request_id": null, "error": {
            "type": "api_error", "details": {"error_code": "upstream_error"},
            "message": "Gemini failed to complete its answer: MALFORMED_FUNCTION_CALL. Try again."}})
    );
    assert_eq!(stream[stream.len() - 2]["type"], "content_block_delta");
    let json = event(&json!([{"text": "a"}]), Some("OTHER")).to_string();
    assert!(whole(json.as_bytes(), &form(Thinking::Shown), Delivery::Whole).is_err());
}

#[test]
fn an_interruption_is_an_error_and_the_last_event() {
    let mut translator = Translator::new(&form(Thinking::Shown)).unwrap();
    let error = StreamError {
        kind: "server_error",
        status: 503,
        code: "upstream_unavailable",
        message: "Gone.",
    };
    assert_eq!(
        String::from_utf8(translator.fail(&error)).unwrap(),
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Gone.\",\"details\":{\"error_code\":\"upstream_unavailable\"}},\"request_id\":null}\n\n"
    );
    assert_eq!(translator.fail(&error), b"");
    assert_eq!(
        translator.push(&bytes(&[event(&json!([{"text": "a"}]), None)])),
        Ok(Vec::new())
    );
    assert_eq!(translator.end(), Ok(Vec::new()));
}

#[test]
fn searches_follow_the_text_that_cites_them() {
    let mut last = event(&json!([{"text": " world."}]), Some("STOP"));
    last["candidates"][0]["groundingMetadata"] = json!({
        "webSearchQueries": ["one", "two"],
        "groundingChunks": [{"web": {"uri": "https://a.example/", "title": "A"}}],
        "groundingSupports": [
            {"segment": {"endIndex": 12, "text": "Hello world."}, "groundingChunkIndices": [0, 9]},
            {"segment": {"endIndex": 12, "text": "Elsewhere."}, "groundingChunkIndices": [0]},
        ],
    });
    let stream = streamed(
        &form(Thinking::Shown),
        &[event(&json!([{"text": "Hello"}]), None), last],
    );
    let message = accumulate(&stream);
    let direct = json!({"type": "direct"});
    assert_eq!(
        message["content"],
        json!([
            {"type": "text", "text": "Hello world.", "citations": [{"type": "web_search_result_location",
                "url": "https://a.example/", "title": "A", "cited_text": "Hello world.", "encrypted_index": ""}]},
            {"type": "server_tool_use", "id": "srvtoolu_000000000000000700000002", "name": "web_search",
                "input": {"query": "one; two"}, "caller": direct},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_000000000000000700000002", "caller": direct,
                "content": [{"type": "web_search_result", "url": "https://a.example/", "title": "A",
                    "encrypted_content": "", "page_age": null}]},
        ])
    );
    assert_eq!(message["stop_reason"], "end_turn");
    assert_eq!(
        message["usage"]["server_tool_use"],
        json!({"web_search_requests": 2, "web_fetch_requests": 0})
    );
}

/// Any part, with a number that makes its texts differ.
fn part() -> impl Strategy<Value = Value> {
    let text = "[a-zé\"\n]{0,4}";
    let signature = prop::option::of("[A-Za-z0-9+/]{1,4}=");
    let kind = prop_oneof![
        text.prop_map(|text| json!({"text": text})),
        text.prop_map(|text| json!({"text": text, "thought": true})),
        ("(call_[0-9])?", "read|files_list_7e7aa135|other", text).prop_map(|(id, name, text)| {
            json!({"functionCall": {"id": id, "name": name, "args": {"x": text, "n": 1}}})
        }),
        Just(json!({"inlineData": {"mimeType": "image/png", "data": "iVBO"}})),
        Just(json!({"executableCode": {"code": "1"}})),
    ];
    (kind, signature).prop_map(|(mut part, signature)| {
        // Gemini signs no thoughts.
        if let Some(signature) = signature
            && part["thought"].is_null()
        {
            part["thoughtSignature"] = signature.into();
        }
        part
    })
}

fn thinking() -> impl Strategy<Value = Thinking> {
    prop::sample::select(vec![Thinking::Shown, Thinking::Signed, Thinking::Hidden])
}

fn answer() -> impl Strategy<Value = Vec<Value>> {
    let end = prop::sample::select(vec!["STOP", "MAX_TOKENS", "SAFETY"]);
    let events = prop::collection::vec(prop::collection::vec(part(), 0..4), 0..5);
    (events, end).prop_map(|(events, end)| {
        let mut events: Vec<Value> = events
            .iter()
            .map(|parts| event(&json!(parts), None))
            .collect();
        events.push(event(&json!([]), Some(end)));
        events
    })
}

/// All parts of an answer.
fn parts_of(events: &[Value]) -> Vec<Value> {
    let parts = events.iter().flat_map(|event| {
        event["candidates"][0]["content"]["parts"]
            .as_array()
            .unwrap()
    });
    parts.cloned().collect()
}

/// What Gemini should receive of its own parts in the next request: those that the client keeps,
/// with the signatures that blocks can carry.
fn expected_history(parts: &[Value], ids: &[String]) -> Vec<Value> {
    let mut history: Vec<Value> = Vec::new();
    let mut ids = ids.iter();
    // Whether text can go on, or a thought waits for a signature.
    let (mut is_text, mut is_thought, mut pending) = (false, false, None);
    for part in parts {
        let signature = part.get("thoughtSignature").cloned();
        if part["thought"] == true {
            (is_text, is_thought) = (false, true);
            pending = None;
            continue;
        }
        if part["text"] == "" {
            if is_thought && signature.is_some() {
                (is_thought, pending) = (false, signature);
            }
            continue;
        }
        let mut kept = part.clone();
        if part["text"].is_string() {
            if is_text {
                let last = history.last_mut().unwrap();
                last["text"] = (last["text"].as_str().unwrap().to_owned()
                    + part["text"].as_str().unwrap())
                .into();
                continue;
            }
            is_text = true;
        } else if part["functionCall"].is_object() {
            kept["functionCall"]["id"] = ids.next().unwrap().as_str().into();
            is_text = false;
        } else if part["inlineData"].is_object() {
            is_text = false;
        } else {
            continue;
        }
        is_thought = false;
        if let Some(signature) = signature.or(pending.take()) {
            kept["thoughtSignature"] = signature;
        }
        pending = None;
        history.push(kept);
    }
    history
}

proptest! {
    #[test]
    fn any_answer_is_a_message(events in answer(), thinking in thinking()) {
        let form = form(thinking);
        let message = accumulate(&streamed(&form, &events));
        let end = events.last().unwrap()["candidates"][0]["finishReason"].as_str();
        let json = event(&json!(parts_of(&events)), end).to_string();
        let whole = whole(json.as_bytes(), &form, Delivery::Whole).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Value>(&whole.body).unwrap(), message);
    }

    #[test]
    fn odd_answers_are_read_as_far_as_possible(
        odd in prop::sample::select(vec!["null", "7", "\"\"", "[]", "{}", "[7]", "[null]", "{\"x\":[]}", "-1"]),
        name in prop::sample::select(vec![
            "candidates", "content", "parts", "text", "thought", "functionCall", "name", "args", "id",
            "thoughtSignature", "finishReason", "usageMetadata", "promptTokenCount", "groundingMetadata",
            "webSearchQueries", "groundingChunks", "web", "uri", "groundingSupports", "segment", "endIndex",
            "groundingChunkIndices", "inlineData", "data",
        ]),
        thinking in thinking(),
    ) {
        let event = r#"{"candidates":[{"content":{"parts":[{"text":"h","thought":true},{"text":"a"},
            {"functionCall":{"name":"read","args":{},"id":"c"},"thoughtSignature":"A"},
            {"inlineData":{"mimeType":"image/png","data":"x"}}, {"text":"b"}]},"finishReason":"STOP",
            "groundingMetadata":{"webSearchQueries":["q"],"groundingChunks":[{"web":{"uri":"u","title":"t"}}],
            "groundingSupports":[{"segment":{"endIndex":1,"text":"b"},"groundingChunkIndices":[0]}]}}],
            "usageMetadata":{"promptTokenCount":3}}"#;
        let changed = event.replace(&format!("\"{name}\":"), &format!("\"{name}\":{odd},\"_\":"));
        let changed = changed.replace('\n', "");
        let form = form(thinking);
        let mut translator = Translator::new(&form).unwrap();
        let stream = translator.push(format!("data: {changed}\n\n").as_bytes());
        let Ok(mut stream) = stream else {
            return Ok(());
        };
        stream.extend(translator.end().unwrap());
        match whole(changed.as_bytes(), &form, Delivery::Whole) {
            Ok(whole) => {
                let message = accumulate(&String::from_utf8(stream).unwrap());
                prop_assert_eq!(serde_json::from_slice::<Value>(&whole.body).unwrap(), message);
            }
            Err(_) => prop_assert!(String::from_utf8(stream).unwrap().contains("event: error\n")),
        }
    }

    #[test]
    fn chunks_make_no_difference(events in answer(), thinking in thinking(), size in 1usize..200) {
        let form = form(thinking);
        let mut translator = Translator::new(&form).unwrap();
        let mut stream = Vec::new();
        for chunk in bytes(&events).chunks(size) {
            stream.extend(translator.push(chunk).unwrap());
        }
        stream.extend(translator.end().unwrap());
        prop_assert_eq!(String::from_utf8(stream).unwrap(), streamed(&form, &events));
    }

    #[test]
    fn a_returned_message_is_what_gemini_said(events in answer()) {
        let message = accumulate(&streamed(&form(Thinking::Shown), &events));
        let ids: Vec<String> = message["content"].as_array().unwrap().iter()
            .filter(|block| block["type"] == "tool_use")
            .map(|block| block["id"].as_str().unwrap().to_owned())
            .collect();
        let request = json!({
            "model": "gemini-3.8-flash", "max_tokens": 10,
            "tools": [{"name": "read", "input_schema": {}}, {"name": "files.list", "input_schema": {}}],
            "messages": [{"role": "user", "content": "go"}, {"role": "assistant", "content": message["content"]}],
        });
        let context = Context { default_model: "", model_of: &|name| name.to_owned(), created: 0, seed: 8 };
        let translated = super::super::request(request.to_string().as_bytes(), &context).unwrap();
        let request: Value = serde_json::from_slice(&translated.body).unwrap();
        let returned = request["contents"].as_array().unwrap().iter()
            .filter(|content| content["role"] == "model")
            .flat_map(|content| content["parts"].as_array().unwrap().clone())
            .collect::<Vec<_>>();
        prop_assert_eq!(returned, expected_history(&parts_of(&events), &ids));
    }
}
