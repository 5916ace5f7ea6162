use super::super::tests::{MODEL, form, parse, stream};
use crate::wire::openai::signatures::{SignedCall, ToolCall};
use crate::wire::translate::tool_names::ToolNames;
use crate::wire::translate::{Delivery, Form, StreamError, Translator, Unreadable, whole};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn parts(parts: Value) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}}]})
}

fn ending(reason: &str) -> Value {
    json!({"candidates": [{"content": {"parts": []}, "finishReason": reason}]})
}

fn plain() -> Form {
    form(&json!({"model": MODEL, "input": "hi"}))
}

/// Events in short: their type and what they add.
fn brief(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .map(|event| {
            let kind = event["type"].as_str().unwrap();
            let kind = kind.strip_prefix("response.").unwrap();
            let item = &event["item"];
            let details = [
                &event["delta"],
                &event["text"],
                &event["arguments"],
                &event["input"],
                &event["part"]["text"],
                &item["type"],
                &item["status"],
                &item["encrypted_content"],
                &event["response"]["status"],
            ];
            let details = details
                .into_iter()
                .filter_map(Value::as_str)
                .map(|detail| format!(" {detail:?}"));
            kind.to_owned() + &details.collect::<String>()
        })
        .collect()
}

fn output(answers: &[Value], form: &Form) -> Value {
    let events = stream(answers, form, usize::MAX);
    events.last().unwrap()["response"]["output"].clone()
}

#[test]
fn a_text_after_thoughts() {
    let events = stream(
        &[
            parts(json!([{"text": "Hm", "thought": true}])),
            parts(json!([{"text": "m.", "thought": true}])),
            parts(json!([{"text": "Hel", "thoughtSignature": "AVSo"}])),
            parts(json!([{"text": "lo"}])),
            ending("STOP"),
        ],
        &plain(),
        5,
    );
    assert_eq!(
        brief(&events),
        [
            r#"created "in_progress""#,
            r#"in_progress "in_progress""#,
            r#"output_item.added "reasoning""#,
            r#"reasoning_summary_part.added """#,
            r#"reasoning_summary_text.delta "Hm""#,
            r#"reasoning_summary_text.delta "m.""#,
            r#"reasoning_summary_text.done "Hmm.""#,
            r#"reasoning_summary_part.done "Hmm.""#,
            r#"output_item.done "reasoning" "gemini//AVSo""#,
            r#"output_item.added "message" "in_progress""#,
            r#"content_part.added """#,
            r#"output_text.delta "Hel""#,
            r#"output_text.delta "lo""#,
            r#"output_text.done "Hello""#,
            r#"content_part.done "Hello""#,
            r#"output_item.done "message" "completed""#,
            r#"completed "completed""#,
        ]
    );
    let delta = &events[11];
    assert_eq!(
        delta,
        &json!({"type": "response.output_text.delta", "sequence_number": 11, "item_id": "msg_000000000000000700000003",
            "output_index": 1, "content_index": 0, "delta": "Hel", "logprobs": []})
    );
    assert_eq!(
        events[16]["response"]["output"],
        json!([
            {"type": "reasoning", "id": "rs_000000000000000700000002", "encrypted_content": "gemini//AVSo",
                "summary": [{"type": "summary_text", "text": "Hmm."}]},
            {"type": "message", "id": "msg_000000000000000700000003", "status": "completed", "role": "assistant",
                "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}]},
        ])
    );
}

#[test]
fn calls_of_functions_and_custom_tools() {
    let form = form(&json!({"input": "hi", "tools": [
        {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "spawn"}]},
        {"type": "custom", "name": "apply.patch"},
    ]}));
    let names = ToolNames::new(["apply.patch"].into_iter());
    let patch = names.to_gemini("apply.patch");
    let events = stream(
        &[
            parts(json!([
                {"functionCall": {"id": "c-1", "name": "agents__spawn", "args": {"a": 2, "b": 1}}, "thoughtSignature": "AVSo"},
                {"functionCall": {"name": patch, "args": {"input": "*** Begin\n"}}},
                {"functionCall": {"id": "c-1", "name": "unknown"}},
            ])),
            ending("STOP"),
        ],
        &form,
        usize::MAX,
    );
    assert_eq!(
        brief(&events)[2..],
        [
            r#"output_item.added "reasoning""#,
            r#"output_item.done "reasoning" "gemini//AVSo""#,
            r#"output_item.added "function_call" "in_progress""#,
            r#"function_call_arguments.delta "{\"a\":2,\"b\":1}""#,
            r#"function_call_arguments.done "{\"a\":2,\"b\":1}""#,
            r#"output_item.done "function_call" "completed""#,
            r#"output_item.added "custom_tool_call" "in_progress""#,
            r#"custom_tool_call_input.delta "*** Begin\n""#,
            r#"custom_tool_call_input.done "*** Begin\n""#,
            r#"output_item.done "custom_tool_call" "completed""#,
            r#"output_item.added "function_call" "in_progress""#,
            r#"function_call_arguments.delta "{}""#,
            r#"function_call_arguments.done "{}""#,
            r#"output_item.done "function_call" "completed""#,
            r#"completed "completed""#,
        ]
    );
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(
        output[1],
        json!({"type": "function_call", "id": "fc_000000000000000700000003", "status": "completed", "call_id": "c-1",
            "name": "spawn", "namespace": "agents", "arguments": "{\"a\":2,\"b\":1}"})
    );
    assert_eq!(output[2]["name"], "apply.patch");
    assert!(output[2]["call_id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(output[3]["name"], "unknown");
    assert_ne!(output[3]["call_id"], "c-1", "an id is used once");
}

#[test]
fn calls_of_tools_that_openai_defines() {
    let form = form(&json!({"input": "hi", "tools": [
        {"type": "local_shell"}, {"type": "shell"}, {"type": "apply_patch"},
        {"type": "tool_search", "execution": "client"},
    ]}));
    let call =
        |name: &str, args: Value| json!({"functionCall": {"id": name, "name": name, "args": args}});
    let output = output(
        &[
            parts(json!([
                call("local_shell", json!({"command": ["ls"]})),
                call("shell", json!({"commands": ["ls"], "timeout_ms": 9})),
                call("apply_patch", json!({"type": "delete_file", "path": "x"})),
                call("tool_search", json!({"query": "q"})),
            ])),
            ending("STOP"),
        ],
        &form,
    );
    let expected = json!([
        {"type": "local_shell_call", "id": "local_shell", "call_id": "local_shell", "status": "completed",
            "action": {"type": "exec", "env": {}, "command": ["ls"]}},
        {"type": "shell_call", "id": "sh_000000000000000700000002", "call_id": "shell", "status": "completed",
            "action": {"max_output_length": null, "commands": ["ls"], "timeout_ms": 9}, "environment": {"type": "local"}},
        {"type": "apply_patch_call", "id": "apc_000000000000000700000003", "call_id": "apply_patch", "status": "completed",
            "operation": {"type": "delete_file", "path": "x"}},
        {"type": "tool_search_call", "id": "tsc_000000000000000700000004", "call_id": "tool_search", "status": "completed",
            "execution": "client", "arguments": {"query": "q"}},
    ]);
    assert_eq!(output, expected);
}

#[test]
fn signatures_precede_what_they_belong_to() {
    let call = json!({"functionCall": {"name": "f"}, "thoughtSignature": "B"});
    let text = |text: &str, signature: &str| json!({"text": text, "thoughtSignature": signature});
    let thought = json!({"text": "Hm", "thought": true});
    for (parts_sent, expected) in [
        (json!([text("a", "A")]), "reasoning=A message"),
        (json!([{"text": "a"}, text("b", "A")]), "message"),
        (json!([{"text": "a"}, text("", "A")]), "message"),
        (
            json!([{"text": "a"}, call]),
            "message reasoning=B function_call",
        ),
        (
            json!([thought, call, call]),
            "reasoning=B function_call reasoning=B function_call",
        ),
        (json!([thought, text("", "A")]), "reasoning=A"),
        (
            json!([thought, text("", "A"), {"text": "a"}]),
            "reasoning=A message",
        ),
        (json!([text("", "A")]), ""),
        (json!([call, text("", "A")]), "reasoning=B function_call"),
        (
            json!([thought, {"text": "a"}, thought, call]),
            "reasoning message reasoning=B function_call",
        ),
    ] {
        let items: Vec<String> = output(&[parts(parts_sent.clone()), ending("STOP")], &plain())
            .as_array()
            .unwrap()
            .iter()
            .map(|item| match item["encrypted_content"].as_str() {
                Some(signature) => {
                    format!("reasoning={}", signature.trim_start_matches("gemini//"))
                }
                None => item["type"].as_str().unwrap().to_owned(),
            })
            .collect();
        assert_eq!(items.join(" "), expected, "{parts_sent}");
    }
}

#[test]
fn signatures_are_kept_unless_the_client_sends_them_back() {
    let call = json!({"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}, "thoughtSignature": "A"});
    let thought = json!({"text": "Hm", "thought": true, "thoughtSignature": "B"});
    let unsigned = json!({"functionCall": {"id": "b", "name": "f"}});
    let mut answer = parts(json!([call, thought, unsigned, unsigned]));
    answer["candidates"][0]["finishReason"] = "STOP".into();
    let signed = |include: Value| {
        let form = form(&json!({"input": "hi", "include": include}));
        whole(answer.to_string().as_bytes(), &form, Delivery::Whole)
            .unwrap()
            .signed_calls
    };
    let signed_call = |id: &str, args: &str, signature: &str| SignedCall {
        call: ToolCall::new(id, "f", args),
        signature: signature.to_owned(),
    };
    let expected = [
        signed_call("a", "{\"x\":1}", "A"),
        signed_call("b", "{}", "B"),
    ];
    assert_eq!(signed(Value::Null), expected);
    assert_eq!(signed(json!(["reasoning.encrypted_content"])), []);
}

#[test]
fn citations_count_characters_and_searches_follow() {
    let form = form(
        &json!({"input": "hi", "tools": [{"type": "web_search"}], "include": ["web_search_call.action.sources"]}),
    );
    let mut last = ending("STOP");
    last["candidates"][0]["groundingMetadata"] = json!({
        "webSearchQueries": ["weather", "rain"],
        "groundingChunks": [{"web": {"uri": "https://a.example/", "title": "A"}}, {"web": {"uri": "https://b.example/", "title": "B"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 3, "endIndex": 8, "text": "sunny"}, "groundingChunkIndices": [0, 7]},
            {"segment": {"startIndex": 50, "endIndex": 54, "text": "é It"}, "groundingChunkIndices": [1]},
            {"segment": {"startIndex": 90, "endIndex": 99}, "groundingChunkIndices": [1]},
        ],
    });
    let events = stream(
        &[parts(json!([{"text": "é It"}, {"text": " sunny"}])), last],
        &form,
        usize::MAX,
    );
    assert_eq!(
        brief(&events)[6..],
        [
            "output_text.annotation.added",
            "output_text.annotation.added",
            r#"output_text.done "é It sunny""#,
            r#"content_part.done "é It sunny""#,
            r#"output_item.done "message" "completed""#,
            r#"output_item.added "web_search_call" "in_progress""#,
            "web_search_call.in_progress",
            "web_search_call.searching",
            "web_search_call.completed",
            r#"output_item.done "web_search_call" "completed""#,
            r#"completed "completed""#,
        ]
    );
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(
        output[0]["content"][0]["annotations"],
        json!([
            {"type": "url_citation", "start_index": 5, "end_index": 10, "url": "https://a.example/", "title": "A"},
            {"type": "url_citation", "start_index": 0, "end_index": 4, "url": "https://b.example/", "title": "B"},
        ])
    );
    assert_eq!(
        events[6]["annotation"],
        output[0]["content"][0]["annotations"][0]
    );
    assert_eq!(
        output[1]["action"],
        json!({"type": "search", "query": "weather", "queries": ["weather", "rain"],
            "sources": [{"type": "url", "url": "https://a.example/"}, {"type": "url", "url": "https://b.example/"}]})
    );
}

#[test]
fn images_are_items() {
    let events = stream(
        &[
            parts(
                json!([{"text": "Here:"}, {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]),
            ),
            ending("STOP"),
        ],
        &plain(),
        usize::MAX,
    );
    assert_eq!(
        brief(&events)[8..],
        [
            r#"output_item.added "image_generation_call" "in_progress""#,
            "image_generation_call.in_progress",
            "image_generation_call.generating",
            "image_generation_call.completed",
            r#"output_item.done "image_generation_call" "completed""#,
            r#"completed "completed""#,
        ]
    );
    assert_eq!(
        events.last().unwrap()["response"]["output"][1]["result"],
        "iVBO"
    );
}

#[test]
fn ends_say_why() {
    let text = parts(json!([{"text": "a"}]));
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}});
    for (answers, last, reason, status) in [
        (
            vec![text.clone(), ending("STOP")],
            "completed",
            Value::Null,
            Some("completed"),
        ),
        (
            vec![text.clone(), ending("MAX_TOKENS")],
            "incomplete",
            json!("max_output_tokens"),
            Some("incomplete"),
        ),
        (
            vec![ending("MAX_TOKENS")],
            "incomplete",
            json!("max_output_tokens"),
            None,
        ),
        (
            vec![text.clone(), ending("SAFETY")],
            "incomplete",
            json!("content_filter"),
            Some("incomplete"),
        ),
        (
            vec![ending("SAFETY")],
            "failed",
            json!("invalid_prompt"),
            None,
        ),
        (vec![blocked], "failed", json!("invalid_prompt"), None),
        (
            vec![text.clone(), ending("MALFORMED_FUNCTION_CALL")],
            "failed",
            json!("server_error"),
            None,
        ),
        (vec![text.clone()], "failed", json!("server_error"), None),
        (vec![], "failed", json!("server_error"), None),
    ] {
        let events = stream(&answers, &plain(), usize::MAX);
        let event = events.last().unwrap();
        assert_eq!(event["type"], format!("response.{last}"), "{answers:?}");
        let response = &event["response"];
        let found = match last {
            "failed" => &response["error"]["code"],
            _ => &response["incomplete_details"]["reason"],
        };
        assert_eq!(*found, reason, "{answers:?}");
        assert_eq!(
            response["output"][0]["status"].as_str(),
            status,
            "{answers:?}"
        );
    }
    let refused = stream(&[ending("SAFETY")], &plain(), usize::MAX);
    let message = refused.last().unwrap()["response"]["error"]["message"].clone();
    assert!(message.as_str().unwrap().contains("(SAFETY)"), "{message}");
}

#[test]
fn failures_end_the_stream() {
    for (status, code, kind) in [
        (429, "rate_limit_exceeded", "rate_limit_error"),
        (503, "server_error", "server_error"),
    ] {
        for begun in [true, false] {
            let mut translator = Translator::new(&plain()).unwrap();
            let mut out = Vec::new();
            if begun {
                let text = format!("data: {}\n\n", parts(json!([{"text": "a"}])));
                out.extend(translator.push(text.as_bytes()).unwrap());
            }
            let failure = StreamError {
                status,
                kind: "pool_kind",
                code: "pool_code",
                message: "All keys are busy.",
            };
            out.extend(translator.fail(&failure));
            let events = parse(&out);
            assert_eq!(events.len(), if begun { 7 } else { 4 });
            let number = events.len() - 2;
            let error = json!({"type": "pool_kind", "code": "pool_code", "message": "All keys are busy.", "param": null});
            let expected = json!({"type": "error", "sequence_number": number, "code": "pool_code",
                "message": "All keys are busy.", "param": null, "error": error});
            assert_eq!(events[number], expected);
            let response = &events.last().unwrap()["response"];
            assert_eq!(
                response["error"],
                json!({"code": code, "message": "All keys are busy.", "type": kind})
            );
            assert_eq!(
                response["output"],
                json!([]),
                "unfinished items are left out"
            );
            assert!(translator.fail(&failure).is_empty());
            assert!(
                translator
                    .push(b"data: {\"candidates\":[]}\n")
                    .unwrap()
                    .is_empty()
            );
            assert!(translator.end().unwrap().is_empty());
        }
    }
}

#[test]
fn events_before_an_unreadable_one_are_sent() {
    let mut translator = Translator::new(&plain()).unwrap();
    let text = parts(json!([{"text": "a"}]));
    let chunk = format!("data: {text}\n\ndata: 7\n\n");
    assert_eq!(translator.push(chunk.as_bytes()), Err(Unreadable));
    let events = parse(&translator.fail(&StreamError {
        status: 502,
        kind: "server_error",
        code: "upstream_error",
        message: "The answer cannot be read.",
    }));
    let numbers: Vec<u64> = events
        .iter()
        .map(|event| event["sequence_number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(events[0]["type"], "response.created");
}

#[test]
fn responses_repeat_the_request() {
    let request = json!({
        "model": "gpt-5.5", "input": "hi", "instructions": "Be brief.", "temperature": 0.5, "top_p": 0.9,
        "max_output_tokens": 99, "metadata": {"a": "b"}, "parallel_tool_calls": false, "reasoning": {"effort": "low"},
        "text": {"verbosity": "low"}, "tool_choice": "none", "tools": [{"type": "web_search"}], "truncation": "auto",
        "user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "store": true, "service_tier": "flex",
    });
    let answer = json!({
        "candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": 4, "thoughtsTokenCount": 3, "cachedContentTokenCount": 8, "totalTokenCount": 27},
    });
    let response = whole(
        answer.to_string().as_bytes(),
        &form(&request),
        Delivery::Whole,
    )
    .unwrap();
    let response: BTreeMap<String, Value> = serde_json::from_slice(&response.body).unwrap();
    for name in [
        "model",
        "instructions",
        "temperature",
        "top_p",
        "max_output_tokens",
        "metadata",
        "parallel_tool_calls",
        "reasoning",
        "text",
        "tool_choice",
        "tools",
        "truncation",
        "user",
        "safety_identifier",
        "prompt_cache_key",
    ] {
        assert_eq!(response[name], request[name], "{name}");
    }
    for (name, expected) in [
        ("id", json!("resp_000000000000000700000001")),
        ("object", json!("response")),
        ("created_at", json!(1_780_000_000)),
        ("status", json!("completed")),
        ("error", Value::Null),
        ("incomplete_details", Value::Null),
        ("previous_response_id", Value::Null),
        ("store", json!(false)),
        ("background", json!(false)),
        ("service_tier", json!("default")),
        (
            "usage",
            json!({"input_tokens": 20, "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
                "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 27}),
        ),
    ] {
        assert_eq!(response[name], expected, "{name}");
    }
}

#[test]
fn responses_have_defaults() {
    let answer =
        json!({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]});
    let response = whole(
        answer.to_string().as_bytes(),
        &form(&json!({"input": "hi"})),
        Delivery::Whole,
    )
    .unwrap();
    let response: BTreeMap<String, Value> = serde_json::from_slice(&response.body).unwrap();
    for (name, expected) in [
        ("model", json!(MODEL)),
        ("instructions", Value::Null),
        ("metadata", json!({})),
        ("parallel_tool_calls", json!(true)),
        ("temperature", Value::Null),
        ("text", json!({"format": {"type": "text"}})),
        ("tool_choice", json!("auto")),
        ("tools", json!([])),
        ("top_p", Value::Null),
        ("truncation", json!("disabled")),
        ("usage", Value::Null),
    ] {
        assert_eq!(response[name], expected, "{name}");
    }
}
