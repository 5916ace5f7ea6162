use super::super::tests::{MODEL, gemini, translate};
use crate::wire::translate::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The body for Gemini of a request with this input.
fn with_input(input: Value) -> Value {
    gemini(&json!({"input": input}))
}

fn contents(input: Value) -> Value {
    with_input(input)["contents"].clone()
}

fn user(parts: Value) -> Value {
    json!({"role": "user", "parts": parts})
}

fn model(parts: Value) -> Value {
    json!({"role": "model", "parts": parts})
}

#[test]
fn the_model_and_the_method_are_resolved() {
    for (body, name, method) in [
        (json!({"input": "hi"}), MODEL, Method::Generate),
        (
            json!({"input": "hi", "model": "gemini-2.5-pro", "stream": true}),
            "gemini-2.5-pro",
            Method::Stream,
        ),
        (
            json!({"input": "hi", "model": "models/gpt-5.5", "stream": false}),
            MODEL,
            Method::Generate,
        ),
    ] {
        let translated = translate(body.to_string().as_bytes()).unwrap();
        assert_eq!((&*translated.model, translated.method), (name, method));
    }
}

#[test]
fn messages_become_contents() {
    let hi = || user(json!([{"text": "hi"}]));
    for (input, expected) in [
        (json!("hi"), json!([hi()])),
        (json!([{"role": "user", "content": "hi"}]), json!([hi()])),
        (
            json!([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]),
            json!([hi()]),
        ),
        (
            json!([{"role": "user", "content": "hi"}, {"role": "user", "content": "ho"}]),
            json!([user(json!([{"text": "hi"}, {"text": "ho"}]))]),
        ),
        (
            json!([
                {"role": "user", "content": "hi"},
                {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "commentary", "content": [
                    {"type": "output_text", "text": "a", "annotations": [], "logprobs": []}, {"type": "refusal", "refusal": "no"}]},
                {"role": "developer", "content": "hurry"},
            ]),
            json!([
                hi(),
                model(json!([{"text": "a"}, {"text": "no"}])),
                user(json!([{"text": "hurry"}])),
            ]),
        ),
        (
            json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": ""}, {"role": "user", "content": []}]),
            json!([hi()]),
        ),
    ] {
        assert_eq!(contents(input.clone()), expected, "{input}");
    }
}

#[test]
fn leading_instructions_become_the_system_instruction() {
    let body = json!({
        "instructions": "one",
        "input": [
            {"type": "additional_tools", "role": "developer", "tools": []},
            {"role": "developer", "content": "two"},
            {"role": "system", "content": [{"type": "input_text", "text": "three"}]},
            {"role": "user", "content": "hi"},
            {"role": "developer", "content": "four"},
        ],
    });
    let sent = gemini(&body);
    assert_eq!(
        sent["systemInstruction"],
        json!({"parts": [{"text": "one"}, {"text": "two"}, {"text": "three"}]})
    );
    assert_eq!(
        sent["contents"],
        json!([user(json!([{"text": "hi"}, {"text": "four"}]))])
    );
    // Gemini needs something to answer.
    let alone =
        gemini(&json!({"instructions": "one", "input": [{"role": "system", "content": "two"}]}));
    assert_eq!(
        alone["systemInstruction"],
        json!({"parts": [{"text": "one"}]})
    );
    assert_eq!(alone["contents"], json!([user(json!([{"text": "two"}]))]));
}

#[test]
fn media_become_parts() {
    let inline =
        |mime_type: &str, data: &str| json!({"inlineData": {"mimeType": mime_type, "data": data}});
    let uri = |uri: &str| json!({"fileData": {"fileUri": uri}});
    for (content, expected) in [
        (
            json!({"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "high"}),
            inline("image/png", "iVBO"),
        ),
        (
            json!({"type": "input_image", "image_url": "https://a.example/x"}),
            uri("https://a.example/x"),
        ),
        (
            json!({"type": "input_image", "image_url": null, "file_id": "files/a"}),
            uri("https://generativelanguage.googleapis.com/v1beta/files/a"),
        ),
        (
            json!({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}),
            inline("application/pdf", "JVBE"),
        ),
        (
            json!({"type": "input_file", "filename": "a.PDF", "file_data": "JVBE"}),
            inline("application/pdf", "JVBE"),
        ),
        (
            json!({"type": "input_file", "file_url": "https://a.example/x"}),
            uri("https://a.example/x"),
        ),
        (
            json!({"type": "input_file", "file_id": "files/a"}),
            uri("https://generativelanguage.googleapis.com/v1beta/files/a"),
        ),
        (
            json!({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}),
            inline("audio/wav", "UklG"),
        ),
    ] {
        let input = json!([{"role": "user", "content": [content]}]);
        assert_eq!(
            contents(input),
            json!([user(json!([expected]))]),
            "{content}"
        );
    }
}

#[test]
fn calls_and_their_outputs_become_parts() {
    let sent = with_input(json!([
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "content": null, "encrypted_content": "gemini//AVSo"},
        {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "read", "arguments": "{\"path\": \"x\"}", "status": "completed"},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "b", "name": "patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}]},
        {"type": "function_call_output", "id": "fco_1", "call_id": "a", "output": [{"type": "input_image", "image_url": "data:image/png;base64,iVBO"}]},
    ]));
    let expected = json!([
        user(json!([{"text": "hi"}])),
        model(json!([
            {"functionCall": {"id": "a", "name": "read", "args": {"path": "x"}}, "thoughtSignature": "AVSo"},
            {"functionCall": {"id": "b", "name": "patch", "args": {"input": "*** Begin"}}},
        ])),
        user(json!([
            {"functionResponse": {"id": "a", "name": "read", "response": {"output": ""},
                "parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]}},
            {"functionResponse": {"id": "b", "name": "patch", "response": {"output": "one\ntwo"}}},
        ])),
    ]);
    assert_eq!(sent["contents"], expected);
}

#[test]
fn arguments_that_are_no_object_are_wrapped() {
    for (arguments, expected) in [
        ("{\"a\":1.50}", json!({"a": 1.5})),
        (" {} ", json!({})),
        ("", json!({})),
        ("{\"a\":", json!({"arguments": "{\"a\":"})),
        ("[1]", json!({"arguments": "[1]"})),
        ("\"é\"", json!({"arguments": "\"é\""})),
    ] {
        let sent = contents(json!([
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": arguments},
            {"type": "function_call_output", "call_id": "a", "output": "failed to parse function arguments"},
        ]));
        assert_eq!(
            sent[1]["parts"][0]["functionCall"]["args"], expected,
            "{arguments}"
        );
    }
}

#[test]
fn only_signatures_of_gemini_are_sent() {
    for (field, expected) in [
        (json!("gemini//AVSo"), json!("AVSo")),
        (json!("gemini//AV\u{e9}"), json!("AV\u{e9}")),
        (json!("gAAAAABo"), Value::Null),
        (Value::Null, Value::Null),
    ] {
        let sent = contents(json!([
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": field},
            {"role": "assistant", "content": "a"},
        ]));
        assert_eq!(sent[1]["parts"][0]["thoughtSignature"], expected, "{field}");
    }
}

#[test]
fn signatures_do_not_outlast_a_step() {
    let sent = contents(json!([
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gemini//AVSo"},
        {"type": "function_call_output", "call_id": "a", "output": "x"},
        {"role": "assistant", "content": "a"},
    ]));
    assert_eq!(sent[3], model(json!([{"text": "a"}])));
}

#[test]
fn a_conversation_may_begin_with_a_call() {
    // As Codex sends it when it makes room for a summary.
    let sent = with_input(json!([
        {"role": "developer", "content": "Be brief."},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gemini//AVSo"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "x"},
        {"role": "user", "content": "Summarize this."},
    ]));
    let contents = &sent["contents"];
    assert_eq!(contents[0]["role"], "user");
    assert!(contents[0]["parts"][0]["text"].is_string(), "{contents}");
    assert!(contents[1]["parts"][0]["functionCall"].is_object());
    assert_eq!(contents[1]["parts"][0]["thoughtSignature"], "AVSo");
    assert_eq!(contents[3], user(json!([{"text": "Summarize this."}])));
}

#[test]
fn items_of_tools_that_openai_defines() {
    let sent = with_input(json!([
        {"role": "user", "content": "hi"},
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "a", "status": "completed", "action": {"type": "exec", "command": ["ls"], "env": {}}},
        {"type": "local_shell_call_output", "id": "a", "output": "x"},
        {"type": "shell_call", "call_id": "b", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "b", "output": [{"stdout":"x","stderr":"","outcome":{"type":"exit","exit_code":0}}]},
        {"type": "apply_patch_call", "call_id": "c", "status": "completed", "operation": {"type": "delete_file", "path": "x"}},
        {"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": "no such file"},
        {"type": "tool_search_call", "call_id": "d", "execution": "client", "arguments": {"query": "q"}},
        {"type": "tool_search_output", "call_id": "d", "execution": "client", "tools": [
            {"type": "namespace", "name": "agents", "description": "", "tools": [{"type": "function", "name": "spawn", "defer_loading": true}]}]},
        {"type": "tool_search_call", "id": "tsc_1", "call_id": null, "execution": "server", "arguments": {}},
        {"type": "item_reference", "id": "rs_1"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "/9j/4AAQ"},
    ]));
    let parts: Vec<&Value> = sent["contents"]
        .as_array()
        .unwrap()
        .iter()
        .skip(1)
        .flat_map(|content| content["parts"].as_array().unwrap())
        .collect();
    let call = |id: &str, name: &str, args: Value| json!({"functionCall": {"id": id, "name": name, "args": args}});
    let result = |id: &str, name: &str, response: Value| json!({"functionResponse": {"id": id, "name": name, "response": response}});
    let expected = [
        call(
            "a",
            "local_shell",
            json!({"type": "exec", "command": ["ls"], "env": {}}),
        ),
        result("a", "local_shell", json!({"output": "x"})),
        call("b", "shell", json!({"commands": ["ls"]})),
        result(
            "b",
            "shell",
            json!({"output": r#"[{"outcome":{"exit_code":0,"type":"exit"},"stderr":"","stdout":"x"}]"#}),
        ),
        call(
            "c",
            "apply_patch",
            json!({"type": "delete_file", "path": "x"}),
        ),
        result("c", "apply_patch", json!({"error": "no such file"})),
        call("d", "tool_search", json!({"query": "q"})),
        result(
            "d",
            "tool_search",
            json!({"output": "These tools can be called now: agents__spawn"}),
        ),
        json!({"inlineData": {"mimeType": "image/jpeg", "data": "/9j/4AAQ"}}),
    ];
    assert_eq!(parts, expected.iter().collect::<Vec<_>>());
    let declared = &sent["tools"][0]["functionDeclarations"];
    assert_eq!(
        *declared,
        json!([{"name": "agents__spawn"}]),
        "found tools are declared"
    );
}

fn declarations(tools: Value) -> Value {
    let sent = gemini(&json!({"input": "hi", "tools": tools}));
    sent["tools"][0]["functionDeclarations"].clone()
}

#[test]
fn tools_become_functions() {
    let free = |input: &str| {
        json!({"type": "object", "required": ["input"],
            "properties": {"input": {"type": "string", "description": input}}})
    };
    let free = free("The tool's whole input.");
    for (tool, expected) in [
        (
            json!({"type": "function", "name": "f", "description": "d", "strict": true, "parameters": {"type": "object", "properties": {}}}),
            json!([{"name": "f", "description": "d", "parametersJsonSchema": {"type": "object", "properties": {}}}]),
        ),
        (
            json!({"type": "function", "name": "f", "parameters": null, "description": null}),
            json!([{"name": "f"}]),
        ),
        (
            json!({"type": "custom", "name": "f", "format": {"type": "text"}}),
            json!([{"name": "f", "parametersJsonSchema": free}]),
        ),
        (
            json!({"type": "custom", "name": "f", "description": "d", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}}),
            json!([{"name": "f", "description": "d\n\nThe input must match this Lark grammar:\nstart: x", "parametersJsonSchema": free}]),
        ),
        (
            json!({"type": "custom", "name": "f", "format": {"type": "grammar", "syntax": "regex", "definition": "x+"}}),
            json!([{"name": "f", "description": "The input must match this regular expression:\nx+", "parametersJsonSchema": free}]),
        ),
        (
            json!({"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}]}),
            json!([{"name": "n__f"}, {"name": "n__g", "parametersJsonSchema": free}]),
        ),
        (
            json!({"type": "tool_search", "execution": "client", "description": "d", "parameters": {"type": "object", "properties": {}}}),
            json!([{"name": "tool_search", "description": "d", "parametersJsonSchema": {"type": "object", "properties": {}}}]),
        ),
        (json!({"type": "tool_search"}), Value::Null),
    ] {
        assert_eq!(declarations(json!([tool])), expected, "{tool}");
    }
    for kind in ["local_shell", "shell", "apply_patch"] {
        let declared = declarations(json!([{"type": kind}]));
        assert_eq!(declared[0]["name"], kind);
        assert_eq!(declared[0]["parametersJsonSchema"]["type"], "object");
    }
}

#[test]
fn names_of_tools_stay_apart() {
    let declared = declarations(json!([
        {"type": "function", "name": "a__b"},
        {"type": "namespace", "name": "a", "tools": [{"type": "function", "name": "b"}]},
        {"type": "function", "name": "a__b", "description": "again"},
    ]));
    let names: Vec<&str> = declared
        .as_array()
        .unwrap()
        .iter()
        .map(|function| function["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 2);
    assert_eq!(names[0], "a__b");
    assert!(names[1].starts_with("a_b_"), "{names:?}");
}

#[test]
fn searches_become_googles_unless_there_are_functions() {
    let search = json!([{"googleSearch": {}}]);
    for kind in [
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    ] {
        let body = json!({"input": "hi", "tools": [{"type": kind, "external_web_access": true, "filters": null}]});
        assert_eq!(gemini(&body)["tools"], search, "{kind}");
    }
    let mut body = json!({"input": "hi", "tools": [{"type": "web_search"}, {"type": "function", "name": "f"}]});
    assert_eq!(
        gemini(&body)["tools"],
        json!([{"functionDeclarations": [{"name": "f"}]}])
    );
    body["tool_choice"] = json!({"type": "web_search_preview"});
    assert_eq!(gemini(&body)["tools"], search);
    body["tool_choice"] = "none".into();
    body["tools"] = json!([{"type": "web_search"}]);
    assert_eq!(gemini(&body)["tools"], Value::Null);
}

#[test]
fn choices_become_modes() {
    let tools = json!([
        {"type": "function", "name": "f"},
        {"type": "custom", "name": "g"},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "h"}]},
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "web_search"},
    ]);
    let all = "f g n__h shell";
    let mode = |mode: &str, names: &[&str]| match names {
        [] => json!({"functionCallingConfig": {"mode": mode}}),
        names => json!({"functionCallingConfig": {"mode": mode, "allowedFunctionNames": names}}),
    };
    for (choice, declared, config) in [
        (json!("auto"), all, Value::Null),
        (Value::Null, all, Value::Null),
        (json!("none"), all, mode("NONE", &[])),
        (json!("required"), all, mode("ANY", &[])),
        (
            json!({"type": "function", "name": "f"}),
            "f",
            mode("ANY", &["f"]),
        ),
        (
            json!({"type": "custom", "name": "g"}),
            "g",
            mode("ANY", &["g"]),
        ),
        (
            json!({"type": "function", "name": "h", "namespace": "n"}),
            "n__h",
            mode("ANY", &["n__h"]),
        ),
        (json!({"type": "shell"}), "shell", mode("ANY", &["shell"])),
        (
            json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}]}),
            "f g",
            Value::Null,
        ),
        (
            json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}),
            "f",
            mode("ANY", &["f"]),
        ),
    ] {
        let sent = gemini(&json!({"input": "hi", "tools": tools, "tool_choice": choice}));
        let names: Vec<&str> = sent["tools"][0]["functionDeclarations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|function| function["name"].as_str().unwrap())
            .collect();
        assert_eq!(names.join(" "), declared, "{choice}");
        assert_eq!(sent["toolConfig"], config, "{choice}");
    }
    for choice in ["auto", "required", "none"] {
        let sent = gemini(&json!({"input": "hi", "tool_choice": choice}));
        assert_eq!(
            (&sent["tools"], &sent["toolConfig"]),
            (&Value::Null, &Value::Null)
        );
    }
}

#[test]
fn parameters_become_the_configuration() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let json_format = json!({"type": "json_schema", "name": "x", "strict": true, "schema": schema});
    for (parameters, expected) in [
        (json!({}), json!({})),
        (
            json!({"max_output_tokens": 99, "temperature": 0.5, "top_p": 1}),
            json!({"maxOutputTokens": 99, "temperature": 0.5, "topP": 1}),
        ),
        (
            json!({"text": {"format": {"type": "text"}, "verbosity": "low"}}),
            json!({}),
        ),
        (
            json!({"text": {"format": {"type": "json_object"}}}),
            json!({"responseMimeType": "application/json"}),
        ),
        (
            json!({"text": {"format": json_format}}),
            json!({"responseMimeType": "application/json", "responseJsonSchema": schema}),
        ),
        (json!({"reasoning": null}), json!({})),
        (
            json!({"reasoning": {"effort": null, "summary": null, "context": "all_turns"}}),
            json!({}),
        ),
        (
            json!({"reasoning": {"effort": "none"}}),
            json!({"thinkingConfig": {"thinkingLevel": "low"}}),
        ),
        (
            json!({"reasoning": {"effort": "xhigh", "summary": "auto"}}),
            json!({"thinkingConfig": {"includeThoughts": true, "thinkingLevel": "high"}}),
        ),
        (
            json!({"reasoning": {"generate_summary": "concise"}}),
            json!({"thinkingConfig": {"includeThoughts": true}}),
        ),
        (
            json!({"model": "gemini-2.5-flash", "reasoning": {"effort": "medium"}}),
            json!({"thinkingConfig": {"thinkingBudget": 8192}}),
        ),
        (
            json!({
                "store": true, "include": ["reasoning.encrypted_content"], "metadata": {"a": "b"}, "parallel_tool_calls": false,
                "service_tier": "flex", "truncation": "auto", "top_logprobs": 3, "max_tool_calls": 2, "user": "u",
                "safety_identifier": "s", "prompt_cache_key": "k", "stream_options": {"include_obfuscation": false},
                "background": false, "previous_response_id": null, "conversation": null, "prompt": null,
                "client_metadata": {"a": "b"}, "unheard_of": [1],
            }),
            json!({}),
        ),
    ] {
        let mut body = parameters.clone();
        body["input"] = "hi".into();
        assert_eq!(gemini(&body)["generationConfig"], expected, "{parameters}");
    }
}

#[test]
fn errors_name_the_parameter_and_what_to_do() {
    let message = |content: Value| json!({"input": [{"role": "user", "content": [content]}]});
    let tool = |tool: Value| json!({"input": "hi", "tools": [tool]});
    for (body, expected) in [
        (json!({}), "`input` is missing."),
        (json!({"input": 7}), "`input` must be a string or a list."),
        (
            json!({"input": ""}),
            "`input` must contain a text, an image or a file.",
        ),
        (json!({"input": [7]}), "`input[0]` must be an object."),
        (json!({"input": [{}]}), "`input[0].type` is missing."),
        (
            json!({"input": [{"role": "user"}]}),
            "`input[0].content` is missing.",
        ),
        (
            json!({"input": [{"role": "tool", "content": "x"}]}),
            "`input[0].role` is `tool`; it must be",
        ),
        (
            message(json!({"type": "input_video"})),
            "`input[0].content[0].type` is `input_video`; contents are",
        ),
        (
            message(json!({"type": "input_text"})),
            "`input[0].content[0].text` is missing.",
        ),
        (
            message(json!({"type": "input_image"})),
            "`input[0].content[0].image_url` is missing.",
        ),
        (
            message(json!({"type": "input_image", "image_url": "x.png"})),
            "`input[0].content[0].image_url` must be a `data:`",
        ),
        (
            message(json!({"type": "input_image", "file_id": "file-abc"})),
            "`input[0].content[0].file_id` must name a file of Gemini's Files API",
        ),
        (
            message(json!({"type": "input_file", "file_data": "JVBE"})),
            "`input[0].content[0].file_data` is of an unknown type;",
        ),
        (
            message(json!({"type": "input_file"})),
            "`input[0].content[0].file_data` is missing.",
        ),
        (
            message(json!({"type": "input_audio", "input_audio": {"data": "", "format": "flac"}})),
            "`input[0].content[0].input_audio.format` is `flac`;",
        ),
        (
            json!({"input": [{"type": "item_reference", "id": "msg_1"}]}),
            "`input[0].id` refers to a stored item,",
        ),
        (
            json!({"input": [{"id": "msg_1"}]}),
            "`input[0].id` refers to a stored item,",
        ),
        (
            json!({"input": [{"type": "mcp_call"}]}),
            "`input[0].type` is `mcp_call`,",
        ),
        (
            json!({"input": [{"type": "compaction"}]}),
            "`input[0].type` is `compaction`,",
        ),
        (
            json!({"input": [{"type": "function_call_output", "call_id": "x", "output": ""}]}),
            "`input[0].call_id` names no tool call of the conversation;",
        ),
        (
            json!({"input": [{"type": "function_call", "call_id": "x", "name": "f", "arguments": {}}]}),
            "`input[0].arguments` must be a string.",
        ),
        (
            json!({"input": "hi", "previous_response_id": "resp_1"}),
            "`previous_response_id` is not supported,",
        ),
        (
            json!({"input": "hi", "conversation": "conv_1"}),
            "`conversation` is not supported,",
        ),
        (
            json!({"prompt": {"id": "pmpt_1"}}),
            "`prompt` is not supported,",
        ),
        (
            json!({"input": "hi", "background": true}),
            "`background` is not supported,",
        ),
        (
            tool(json!({"type": "function"})),
            "`tools[0].name` is missing.",
        ),
        (
            tool(json!({"type": "file_search"})),
            "`tools[0].type` is `file_search`, which runs at OpenAI",
        ),
        (
            tool(json!({"type": "code_interpreter"})),
            "`tools[0].type` is `code_interpreter`,",
        ),
        (
            tool(json!({"type": "computer_use_preview"})),
            "`tools[0].type` is `computer_use_preview`,",
        ),
        (
            tool(json!({"type": "image_generation"})),
            "`tools[0].type` is `image_generation`,",
        ),
        (tool(json!({"type": "mcp"})), "`tools[0].type` is `mcp`,"),
        (
            tool(json!({"type": "web_search", "filters": {"allowed_domains": ["a.example"]}})),
            "`tools[0].filters.allowed_domains` is not supported,",
        ),
        (
            tool(json!({"type": "shell", "environment": {"type": "container_auto"}})),
            "`tools[0].environment.type` is `container_auto`,",
        ),
        (
            tool(
                json!({"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}, {"type": "mcp"}]}),
            ),
            "`tools[0].tools[1].type` is `mcp`;",
        ),
        (
            tool(
                json!({"type": "custom", "name": "f", "format": {"type": "grammar", "syntax": "ebnf", "definition": ""}}),
            ),
            "`tools[0].format.syntax` is `ebnf`;",
        ),
        (
            json!({"input": [{"type": "additional_tools", "tools": [{"type": "mcp"}]}]}),
            "`input[0].tools[0].type` is `mcp`,",
        ),
        (
            json!({"input": "hi", "tool_choice": "any"}),
            "`tool_choice` is `any`;",
        ),
        (
            json!({"input": "hi", "tool_choice": 7}),
            "`tool_choice` must be a string or an object.",
        ),
        (
            json!({"input": "hi", "tool_choice": {"type": "function", "name": "f"}}),
            "`tool_choice.name` names no tool in `tools`.",
        ),
        (
            json!({"input": "hi", "tool_choice": {"type": "namespace", "name": "n"}}),
            "`tool_choice.type` is `namespace`;",
        ),
        (
            json!({"input": "hi", "tool_choice": {"type": "mcp"}}),
            "`tool_choice.type` is `mcp`,",
        ),
        (
            json!({"input": "hi", "tool_choice": {"type": "web_search"}}),
            "`tool_choice.type` is not the type of a tool in `tools`.",
        ),
        (
            json!({"input": "hi", "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "shell"}]}}),
            "`tool_choice.tools[0].type` names no tool in `tools`.",
        ),
        (
            json!({"input": "hi", "reasoning": {"effort": "ultra"}}),
            "`reasoning.effort` is `ultra`; it must be one of `none`,",
        ),
        (
            json!({"input": "hi", "reasoning": {"summary": "long"}}),
            "`reasoning.summary` is `long`;",
        ),
        (
            json!({"input": "hi", "text": {"format": {"type": "xml"}}}),
            "`text.format.type` is `xml`;",
        ),
        (
            json!({"input": "hi", "text": {"format": {"type": "json_schema"}}}),
            "`text.format.schema` is missing.",
        ),
        (
            json!({"input": "hi", "temperature": "hot"}),
            "`temperature` must be a number.",
        ),
        (
            json!({"input": "hi", "max_output_tokens": -1}),
            "`max_output_tokens` must be a whole number",
        ),
        (
            json!({"input": "hi", "stream": "yes"}),
            "`stream` must be true or false.",
        ),
        (
            json!({"input": "hi", "model": 7}),
            "`model` must be a string.",
        ),
        (
            json!({"input": "hi", "instructions": 7}),
            "`instructions` must be a string or a list.",
        ),
    ] {
        let message = translate(body.to_string().as_bytes()).unwrap_err();
        assert!(message.starts_with(expected), "{body}: {message}");
    }
}

/// Requests of all kinds, with some of their values replaced.
fn mutated() -> impl Strategy<Value = Value> {
    let seed = json!({
        "model": "gemini-2.5-flash",
        "instructions": "a",
        "input": [
            {"role": "developer", "content": "a"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBO"}, {"type": "input_file", "file_data": "x", "filename": "a.pdf"}]},
            {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "gemini//AVSo"},
            {"type": "function_call", "call_id": "a", "name": "f", "namespace": "n", "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": "x"},
            {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "a"}]},
            {"type": "custom_tool_call_output", "call_id": "b", "output": "x"},
            {"type": "tool_search_call", "call_id": "c", "arguments": {}},
            {"type": "tool_search_output", "call_id": "c", "tools": [{"type": "function", "name": "z"}]},
        ],
        "tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f", "parameters": {}}]},
            {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": ""}}, {"type": "web_search"}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "g"}]},
        "text": {"format": {"type": "json_schema", "schema": {}}},
        "reasoning": {"effort": "low", "summary": "auto"},
        "stream": true,
    });
    let replacement = prop_oneof![
        Just(Value::Null),
        Just(json!(7)),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{}])),
        Just(json!("")),
        "\\PC{0,4}".prop_map(Value::from),
        prop::sample::select(vec![
            "message",
            "function_call",
            "item_reference",
            "shell",
            "shell_call_output",
            "assistant"
        ])
        .prop_map(Value::from),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), replacement), 0..5).prop_map(
        move |replacements| {
            let mut value = seed.clone();
            for (index, replacement) in replacements {
                let mut paths = Vec::new();
                pointers(&value, String::new(), &mut paths);
                if let Some(place) = value.pointer_mut(&paths[index.index(paths.len())]) {
                    *place = replacement;
                }
            }
            value
        },
    )
}

fn pointers(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, format!("{path}/{index}"), paths);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                pointers(member, format!("{path}/{name}"), paths);
            }
        }
        _ => {}
    }
    paths.push(path);
}

proptest! {
    #[test]
    fn requests_are_translated_or_refused_with_a_reason(body in mutated()) {
        match translate(body.to_string().as_bytes()) {
            Ok(translated) => {
                let sent: Value = serde_json::from_slice(&translated.body).unwrap();
                prop_assert!(!sent["contents"].as_array().unwrap().is_empty());
            }
            Err(message) => prop_assert!(message.ends_with('.'), "{}", message),
        }
    }

    #[test]
    fn bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = translate(&body);
    }
}

#[test]
fn a_reference_to_words_before_a_call_is_left_out() {
    let call = json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"});
    let output = json!({"type": "function_call_output", "call_id": "a", "output": "ok"});
    let reference = json!({"type": "item_reference", "id": "msg_1"});
    let question = json!({"role": "user", "content": "hi"});
    let body = json!({"input": [question, reference, call, output]});
    assert_eq!(gemini(&body)["contents"].as_array().map(Vec::len), Some(3));
    let body = json!({"input": [question, reference, question]});
    let error = translate(body.to_string().as_bytes()).unwrap_err();
    assert!(
        error.contains("`input[1].id` refers to a stored item"),
        "{error}"
    );
}
