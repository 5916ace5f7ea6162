use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A request with these parameters changed; null leaves one out.
fn anthropic(changes: &Value) -> Value {
    let mut request = json!({
        "model": "flash",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "hi"}],
    });
    for (name, value) in changes.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

fn translate_body(body: &[u8]) -> Result<Translated<Form>, Invalid> {
    let context = Context {
        default_model: "gemini-default",
        model_of: &|name| match name {
            "flash" => "gemini-3.8-flash".to_owned(),
            other => other.to_owned(),
        },
        created: 0,
        seed: 7,
    };
    super::request(body, &context)
}

fn translate(changes: &Value) -> Result<Translated<Form>, Invalid> {
    translate_body(anthropic(changes).to_string().as_bytes())
}

/// The request for Gemini.
fn gemini(changes: &Value) -> Value {
    let translated = translate(changes).unwrap_or_else(|invalid| {
        panic!("{}: {changes}", invalid.message());
    });
    serde_json::from_slice(&translated.body).unwrap()
}

fn error(changes: &Value) -> String {
    translate(changes)
        .expect_err(&changes.to_string())
        .message()
}

#[test]
fn the_plainest_request_stays_plain() {
    let translated = translate(&json!({})).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&translated.body),
        r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":10}}"#
    );
    assert_eq!(translated.model, "gemini-3.8-flash");
    assert_eq!(translated.method, Method::Generate);
    assert_eq!(translated.form.model, "flash");
    let streamed = translate(&json!({"stream": true, "model": null})).unwrap();
    assert_eq!(streamed.method, Method::Stream);
    assert_eq!(streamed.form.model, "gemini-default");
}

#[test]
fn each_parameter_has_its_place() {
    let person = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    for (changes, pointer, expected) in [
        (
            json!({"system": "be brief"}),
            "/systemInstruction",
            json!({"parts": [{"text": "be brief"}]}),
        ),
        (
            json!({"system": [
                {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cch=1;"},
                {"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}},
            ]}),
            "/systemInstruction/parts",
            json!([{"text": "be brief"}]),
        ),
        (
            json!({"max_tokens": 128_000}),
            "/generationConfig/maxOutputTokens",
            json!(65_536),
        ),
        (
            json!({"temperature": 0.5}),
            "/generationConfig/temperature",
            json!(0.5),
        ),
        (
            json!({"top_p": 0.9, "top_k": 5}),
            "/generationConfig/topK",
            json!(5),
        ),
        (
            json!({"top_p": 0.9, "top_k": 5}),
            "/generationConfig/topP",
            json!(0.9),
        ),
        (
            json!({"stop_sequences": ["a", "b"]}),
            "/generationConfig/stopSequences",
            json!(["a", "b"]),
        ),
        (
            json!({"output_config": {"format": {"type": "json_schema", "schema": person}}}),
            "/generationConfig",
            json!({"maxOutputTokens": 10, "responseMimeType": "application/json", "responseJsonSchema": person}),
        ),
        (
            json!({"output_format": {"type": "json_schema", "schema": person}}),
            "/generationConfig/responseJsonSchema",
            person.clone(),
        ),
    ] {
        assert_eq!(
            gemini(&changes).pointer(pointer),
            Some(&expected),
            "{changes}"
        );
    }
}

#[test]
fn what_gemini_does_not_need_is_ignored() {
    let plain = gemini(&json!({}));
    for changes in [
        json!({"metadata": {"user_id": "u"}, "service_tier": "auto", "betas": ["x"]}),
        json!({"container": null, "inference_geo": "us", "speed": "fast", "unheard_of": 7}),
        json!({"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}),
        json!({"cache_control": {"type": "ephemeral"}, "mcp_servers": [], "tools": [], "system": ""}),
        json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
        json!({"thinking": null, "output_config": {}, "stream": false, "stop_sequences": []}),
    ] {
        assert_eq!(gemini(&changes), plain, "{changes}");
    }
}

#[test]
fn thinking_becomes_a_level_or_a_budget() {
    for (model, changes, expected, thinking) in [
        ("flash", json!({}), json!(null), Thinking::Hidden),
        (
            "flash",
            json!({"thinking": {"type": "enabled", "budget_tokens": 31_999, "display": "updates"}}),
            json!({"includeThoughts": true, "thinkingLevel": "high"}),
            Thinking::Shown,
        ),
        (
            "gemini-2.5-flash",
            json!({"thinking": {"type": "enabled", "budget_tokens": 2_000}, "output_config": {"effort": "high"}}),
            json!({"includeThoughts": true, "thinkingBudget": 2_000}),
            Thinking::Shown,
        ),
        (
            "flash",
            json!({"thinking": {"type": "adaptive"}}),
            json!({"includeThoughts": true}),
            Thinking::Shown,
        ),
        (
            "flash",
            json!({"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "low"}}),
            json!({"thinkingLevel": "low"}),
            Thinking::Signed,
        ),
        (
            "flash",
            json!({"thinking": {"type": "between_tools"}, "output_config": {"effort": "max"}}),
            json!({"includeThoughts": true, "thinkingLevel": "high"}),
            Thinking::Shown,
        ),
        (
            "flash",
            json!({"thinking": {"type": "disabled"}, "output_config": {"effort": "xhigh"}}),
            json!({"thinkingLevel": "low"}),
            Thinking::Hidden,
        ),
        (
            "flash",
            json!({"output_config": {"effort": "medium"}}),
            json!({"thinkingLevel": "medium"}),
            Thinking::Hidden,
        ),
    ] {
        let mut changes = changes;
        changes["model"] = model.into();
        let found = gemini(&changes)["generationConfig"]["thinkingConfig"].clone();
        assert_eq!(found, expected, "{changes}");
        let translated = translate(&changes).unwrap();
        assert_eq!(translated.form.thinking, thinking, "{changes}");
    }
}

/// The contents for these messages, with a model of Gemini 3.
fn contents(messages: &Value) -> Value {
    gemini(&json!({"messages": messages}))["contents"].clone()
}

#[test]
fn blocks_of_the_user_become_parts() {
    let png = json!({"type": "base64", "media_type": "image/png", "data": "iVBO"});
    for (block, expected) in [
        (
            json!({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}),
            json!([{"text": "a"}]),
        ),
        (
            json!({"type": "image", "source": png}),
            json!([{"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]),
        ),
        (
            json!({"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}}),
            json!([{"fileData": {"mimeType": "image/png", "fileUri": "https://a.example/x.png"}}]),
        ),
        (
            json!({"type": "image", "source": {"type": "file", "file_id": "files/a"}}),
            json!([{"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}}]),
        ),
        (
            json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                "title": "T", "context": "C", "citations": {"enabled": true}}),
            json!([{"text": "T"}, {"text": "C"}, {"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}}]),
        ),
        (
            json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "long"}}),
            json!([{"text": "long"}]),
        ),
        (
            json!({"type": "document", "source": {"type": "content", "content": "short"}, "title": ""}),
            json!([{"text": "short"}]),
        ),
        (
            json!({"type": "document", "source": {"type": "content", "content": [
                {"type": "text", "text": "a"}, {"type": "image", "source": png}]}}),
            json!([{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]),
        ),
        (
            json!({"type": "document", "source": {"type": "url", "url": "https://a.example/x"}}),
            json!([{"fileData": {"mimeType": "application/pdf", "fileUri": "https://a.example/x"}}]),
        ),
        (
            json!({"type": "search_result", "title": "T", "source": "https://a.example/",
                "content": [{"type": "text", "text": "found"}]}),
            json!([{"text": "T\nhttps://a.example/"}, {"text": "found"}]),
        ),
    ] {
        let contents = contents(&json!([{"role": "user", "content": [block]}]));
        assert_eq!(
            contents,
            json!([{"role": "user", "parts": expected}]),
            "{block}"
        );
    }
}

#[test]
fn roles_may_repeat_and_the_model_may_have_begun() {
    assert_eq!(
        contents(&json!([
            {"role": "user", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": ""}]},
            {"role": "assistant", "content": []},
            {"role": "assistant", "content": "The answer is ("},
        ])),
        json!([
            {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
            {"role": "model", "parts": [{"text": "The answer is ("}]},
        ])
    );
}

#[test]
fn the_system_speaks_first_or_reminds_later() {
    let request = gemini(&json!({
        "system": "one",
        "output_config": {"effort": "medium"},
        "messages": [
            {"role": "system", "content": "two"},
            {"role": "user", "content": "hi"},
            {"role": "system", "content": [{"type": "text", "text": "three"}, {"type": "tool_addition",
                "tool": {"type": "tool_reference", "name": "x"}}]},
            {"role": "system", "content": "gone", "clear_at": "next_user_message"},
            {"role": "system", "output_config": {"effort": "high"}},
            {"role": "system", "output_config": {"effort": "low"}},
            {"role": "user", "content": "go"},
            {"role": "system", "content": "here", "clear_at": "next_user_message"},
        ],
    }));
    assert_eq!(
        request["systemInstruction"],
        json!({"parts": [{"text": "one"}, {"text": "two"}]})
    );
    assert_eq!(
        request["contents"][0]["parts"],
        json!([
            {"text": "hi"},
            {"text": "<system-reminder>\nthree\n</system-reminder>"},
            {"text": "go"},
            {"text": "<system-reminder>\nhere\n</system-reminder>"},
        ])
    );
    let thinking = &request["generationConfig"]["thinkingConfig"];
    assert_eq!(thinking, &json!({"thinkingLevel": "low"}));
}

#[test]
fn thoughts_return_as_signatures() {
    assert_eq!(
        contents(&json!([
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "gemini//AAA="},
                {"type": "text", "text": "I read.", "citations": null},
                {"type": "redacted_thinking", "data": "gemini//BBB="},
                {"type": "tool_use", "id": "t1", "name": "read", "input": {"path": "a"}, "caller": {"type": "direct"}},
                {"type": "tool_use", "id": "t2", "name": "files.list", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "text", "text": "hurry"},
                {"type": "tool_result", "tool_use_id": "t2", "is_error": true, "content": "no such file"},
                {"type": "tool_result", "tool_use_id": "t1", "content": [
                    {"type": "text", "text": "a"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                    {"type": "tool_reference", "tool_name": "edit"},
                ]},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Foreign.", "signature": "EqoBCkYIBRgC"},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
                {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
                {"type": "text", "text": "Done."},
            ]},
        ])),
        json!([
            {"role": "user", "parts": [{"text": "go"}]},
            {"role": "model", "parts": [
                {"text": "I read.", "thoughtSignature": "AAA="},
                {"functionCall": {"id": "t1", "name": "read", "args": {"path": "a"}}, "thoughtSignature": "BBB="},
                {"functionCall": {"id": "t2", "name": "files_list_7e7aa135", "args": {}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "t1", "name": "read",
                    "response": {"output": "a\nThe tool `edit` is available now."},
                    "parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]}},
                {"functionResponse": {"id": "t2", "name": "files_list_7e7aa135", "response": {"error": "no such file"}}},
            ]},
            {"role": "user", "parts": [{"text": "hurry"}]},
            {"role": "model", "parts": [{"text": "Done."}]},
        ])
    );
}

#[test]
fn images_of_the_model_return_as_data() {
    let text = "![image](data:image/png;base64,iVBO+/8=)";
    for (text, expected) in [
        (
            text.to_owned(),
            json!({"inlineData": {"mimeType": "image/png", "data": "iVBO+/8="}}),
        ),
        (
            format!("See {text}"),
            json!({"text": format!("See {text}")}),
        ),
    ] {
        let contents =
            contents(&json!([{"role": "assistant", "content": [{"type": "text", "text": text}]}]));
        assert_eq!(contents[1]["parts"][0], expected);
    }
}

#[test]
fn a_conversation_may_begin_with_a_call() {
    let contents = contents(&json!([
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "read", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]},
        {"role": "user", "content": "Summarize this."},
    ]));
    assert_eq!(contents[0]["role"], "user");
    assert!(contents[0]["parts"][0]["text"].is_string(), "{contents}");
    assert!(contents[1]["parts"][0]["functionCall"].is_object());
}

#[test]
fn tools_become_declarations() {
    let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}});
    let request = gemini(&json!({
        "tools": [
            {"name": "read", "description": "Reads.", "input_schema": schema, "strict": true,
                "cache_control": {"type": "ephemeral"}, "input_examples": [{}], "eager_input_streaming": true},
            {"type": "custom", "name": "files.list", "input_schema": {"type": "object"}},
            {"type": "bash_20250124", "name": "bash"},
            {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 5},
            {"type": "memory_20250818", "name": "memory"},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
        ],
        "tool_choice": {"type": "tool", "name": "files.list"},
    }));
    let functions = &request["tools"][0]["functionDeclarations"];
    assert_eq!(
        functions[0],
        json!({"name": "read", "description": "Reads.", "parametersJsonSchema": schema})
    );
    assert_eq!(
        functions[1],
        json!({"name": "files_list_7e7aa135", "parametersJsonSchema": {"type": "object", "properties": {}}})
    );
    let names = functions
        .as_array()
        .unwrap()
        .iter()
        .map(|function| function["name"].as_str().unwrap());
    assert_eq!(
        names.collect::<Vec<_>>(),
        [
            "read",
            "files_list_7e7aa135",
            "bash",
            "str_replace_based_edit_tool",
            "memory"
        ]
    );
    for (index, parameter) in [(2, "restart"), (3, "insert_line"), (4, "old_path")] {
        let properties = &functions[index]["parametersJsonSchema"]["properties"];
        assert!(properties[parameter].is_object(), "{parameter}");
    }
    // A search beside functions is left out.
    assert_eq!(request["tools"][1], json!(null));
    assert_eq!(
        request["toolConfig"],
        json!({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["files_list_7e7aa135"]}})
    );
}

#[test]
fn a_choice_becomes_a_mode() {
    let tool = json!({"name": "read", "input_schema": {}});
    let search = json!({"type": "web_search_20260318", "name": "web_search"});
    for (tools, choice, expected) in [
        (json!([tool]), json!({"type": "auto"}), json!(null)),
        (
            json!([tool]),
            json!({"type": "any"}),
            json!({"mode": "ANY"}),
        ),
        (
            json!([tool]),
            json!({"type": "none"}),
            json!({"mode": "NONE"}),
        ),
        (json!([search]), json!({"type": "any"}), json!(null)),
        (
            json!([search]),
            json!({"type": "tool", "name": "web_search"}),
            json!(null),
        ),
        (json!([]), json!({"type": "any"}), json!(null)),
    ] {
        let request = gemini(&json!({"tools": tools, "tool_choice": choice}));
        assert_eq!(
            request["toolConfig"]["functionCallingConfig"], expected,
            "{choice}"
        );
    }
}

#[test]
fn deferred_tools_wait_for_a_reference() {
    let tool = |name: &str| json!({"name": name, "input_schema": {}, "defer_loading": true});
    let names = |changes: &Value| {
        let request = gemini(changes);
        let functions = request.pointer("/tools/0/functionDeclarations");
        let functions = functions
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let names = functions
            .iter()
            .map(|function| function["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    let call = json!({"type": "tool_use", "id": "t", "name": "called", "input": {}});
    let result = json!({"type": "tool_result", "tool_use_id": "t", "content": [
        {"type": "tool_reference", "tool_name": "found"}]});
    let addition =
        json!({"type": "tool_addition", "tool": {"type": "tool_reference", "name": "added"}});
    let tools = ["called", "found", "added", "chosen", "other"].map(tool);
    let messages = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
        {"role": "system", "content": [addition]},
    ]);
    let mut request = json!({"tools": tools});
    assert_eq!(names(&request), "");
    request["messages"] = messages;
    assert_eq!(names(&request), "called found added");
    request["tool_choice"] = json!({"type": "tool", "name": "chosen"});
    assert_eq!(names(&request), "called found added chosen");
    let search =
        json!({"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"});
    request["tools"].as_array_mut().unwrap().push(search);
    assert_eq!(names(&request), "called found added chosen other");
}

#[test]
fn errors_name_the_parameter() {
    let user = |block: Value| json!({"messages": [{"role": "user", "content": [block]}]});
    let model = |block: Value| json!({"messages": [{"role": "assistant", "content": [block]}]});
    let tool = |tool: Value| json!({"tools": [{"name": "a", "input_schema": {}}, tool]});
    for (changes, expected) in [
        (json!({"max_tokens": null}), "`max_tokens` is missing."),
        (json!({"max_tokens": 0}), "`max_tokens` must be at least 1."),
        (
            json!({"max_tokens": "9"}),
            "`max_tokens` must be a whole number",
        ),
        (json!({"messages": null}), "`messages` is missing."),
        (json!({"messages": "hi"}), "`messages` must be a list."),
        (
            json!({"messages": []}),
            "`messages` must have at least one message",
        ),
        (
            json!({"messages": [{"role": "user", "content": ""}]}),
            "`messages` must have at least one message",
        ),
        (
            json!({"messages": [{"role": "tool", "content": "x"}]}),
            "`messages[0].role` must be `user`",
        ),
        (
            json!({"messages": [{"role": "user"}]}),
            "`messages[0].content` is missing.",
        ),
        (
            json!({"messages": [{"role": "user", "content": 7}]}),
            "`messages[0].content` must be a string or a list",
        ),
        (json!({"model": 7}), "`model` must be a string."),
        (
            json!({"system": 7}),
            "`system` must be a string or a list of blocks.",
        ),
        (
            json!({"system": [{"type": "text"}]}),
            "`system[0].text` is missing.",
        ),
        (
            json!({"stop_sequences": ["1", "2", "3", "4", "5", "6"]}),
            "`stop_sequences` has 6 entries, but Gemini accepts at most 5.",
        ),
        (
            json!({"temperature": "hot"}),
            "`temperature` must be a number.",
        ),
        (
            json!({"thinking": {"type": "deep"}}),
            "`thinking.type` must be `enabled`",
        ),
        (
            json!({"output_config": {"effort": "huge"}}),
            "`output_config.effort` must be `low`",
        ),
        (
            json!({"output_config": {"format": {"type": "xml"}}}),
            "`output_config.format.type` must be `json_schema`.",
        ),
        (
            json!({"output_config": {"format": {"type": "json_schema"}}}),
            "`output_config.format.schema` is missing.",
        ),
        (
            json!({"mcp_servers": [{"type": "url"}]}),
            "`mcp_servers` cannot be used",
        ),
        (
            json!({"thread": {"type": "create"}}),
            "`thread` cannot be used",
        ),
        (
            json!({"tool_choice": {"type": "tool", "name": "x"}}),
            "`tool_choice.name` names none of the request's `tools`.",
        ),
        (
            json!({"tool_choice": {"type": "some"}}),
            "`tool_choice.type` must be `auto`",
        ),
        (
            tool(json!({"name": "b"})),
            "`tools[1].input_schema` is missing.",
        ),
        (
            tool(json!({"input_schema": {}})),
            "`tools[1].name` is missing.",
        ),
        (
            tool(json!({"type": "web_fetch_20250910", "name": "web_fetch"})),
            "`tools[1].type` is `web_fetch_20250910`, which Gemini does not offer",
        ),
        (
            tool(json!({"type": "code_execution_20250825", "name": "x"})),
            "`tools[1].type` is `code_execution_20250825`",
        ),
        (
            tool(json!({"type": "computer_20251124", "name": "computer"})),
            "`tools[1].type` is `computer_20251124`, whose parameters only Claude knows",
        ),
        (
            tool(
                json!({"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.example"]}),
            ),
            "`tools[1].allowed_domains` cannot be enforced",
        ),
        (
            user(json!({"text": "x"})),
            "`messages[0].content[0].type` is missing.",
        ),
        (
            user(json!({"type": "video"})),
            "`messages[0].content[0].type` is `video`",
        ),
        (
            user(json!({"type": "tool_use", "id": "t", "name": "x", "input": {}})),
            "`messages[0].content[0].type` is `tool_use`",
        ),
        (
            user(json!({"type": "container_upload", "file_id": "f"})),
            "`messages[0].content[0].type` is `container_upload`",
        ),
        (
            user(json!({"type": "image"})),
            "`messages[0].content[0].source` is missing.",
        ),
        (
            user(json!({"type": "image", "source": {"type": "base64", "data": ""}})),
            "`messages[0].content[0].source.media_type` is missing.",
        ),
        (
            user(json!({"type": "image", "source": {"type": "url", "url": "x"}})),
            "`messages[0].content[0].source.url` must be a `data:`",
        ),
        (
            user(json!({"type": "image", "source": {"type": "file", "file_id": "file_01"}})),
            "`messages[0].content[0].source.file_id` must name a file of Gemini's",
        ),
        (
            user(
                json!({"type": "document", "source": {"type": "content", "content": [{"type": "audio"}]}}),
            ),
            "`messages[0].content[0].source.content[0].type` is `audio`",
        ),
        (
            user(json!({"type": "tool_result", "tool_use_id": "t"})),
            "`messages[0].content[0].tool_use_id` names no tool call",
        ),
        (
            user(json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "x"}]})),
            "`messages[0].content[0].content[0].type` is `x`",
        ),
        (
            model(json!({"type": "tool_use", "id": "t", "name": "x", "input": "{}"})),
            "`messages[0].content[0].input` must be an object.",
        ),
        (
            model(json!({"type": "tool_use", "name": "x", "input": {}})),
            "`messages[0].content[0].id` is missing.",
        ),
        (
            json!({"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": [
                {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {}}}]}]}),
            "`messages[1].content[0].tool.definition` cannot be translated",
        ),
    ] {
        let message = error(&changes);
        assert!(message.starts_with(expected), "{message}\n{expected}");
    }
}

#[test]
fn tokens_are_counted_for_all_that_the_model_reads() {
    let context = Context {
        default_model: "gemini-default",
        model_of: &|name| name.to_owned(),
        created: 0,
        seed: 7,
    };
    let request = json!({
        "model": "models/gemini-3.8-flash",
        "system": "be brief",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"name": "a", "input_schema": {}}],
        "thinking": {"type": "adaptive"},
    });
    let translated = count_tokens(request.to_string().as_bytes(), &context).unwrap();
    assert_eq!(translated.method, Method::CountTokens);
    assert_eq!(translated.model, "gemini-3.8-flash");
    let body: Value = serde_json::from_slice(&translated.body).unwrap();
    assert_eq!(
        body,
        json!({"generateContentRequest": {
            "model": "models/gemini-3.8-flash",
            "systemInstruction": {"parts": [{"text": "be brief"}]},
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "tools": [{"functionDeclarations": [{"name": "a", "parametersJsonSchema": {"type": "object", "properties": {}}}]}],
        }})
    );
}

#[test]
fn numbers_of_tokens_are_read() {
    for (json, expected) in [
        (
            r#"{"totalTokens":5,"promptTokensDetails":[]}"#,
            Some(r#"{"input_tokens":5}"#),
        ),
        (
            r#"{"promptTokensDetails":[]}"#,
            Some(r#"{"input_tokens":0}"#),
        ),
        (r#"{"totalTokens":"5"}"#, None),
        (r#"{"error":{}}"#, None),
        ("[]", None),
    ] {
        let count = token_count(json.as_bytes());
        assert_eq!(count.as_deref(), expected.map(str::as_bytes), "{json}");
    }
}

/// A request with all kinds of content.
fn rich() -> Value {
    json!({
        "model": "flash", "max_tokens": 10, "system": [{"type": "text", "text": "s"}],
        "thinking": {"type": "enabled", "budget_tokens": 1}, "output_config": {"effort": "low"},
        "tools": [{"name": "a", "input_schema": {"type": "object"}, "defer_loading": true},
            {"type": "bash_20250124", "name": "bash"}, {"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "tool", "name": "bash"},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "x"},
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "gemini//x"},
                {"type": "tool_use", "id": "t", "name": "a", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "is_error": true,
                "content": [{"type": "text", "text": "x"}, {"type": "tool_reference", "tool_name": "a"}]}]},
            {"role": "system", "content": "x"},
        ],
    })
}

/// Replaces the value at a position, counted in the order of the text.
fn replace(value: &mut Value, position: &mut usize, with: &Value) {
    if *position == 0 {
        *value = with.clone();
    }
    *position = position.wrapping_sub(1);
    match value {
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| replace(item, position, with)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|item| replace(item, position, with)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #[test]
    fn any_request_is_translated_or_refused(
        changes in prop::collection::vec((0usize..80, 0usize..9), 1..4),
    ) {
        let values = [
            json!(null), json!(true), json!(-1), json!("tool_use"), json!("text"), json!([]), json!({}),
            json!([{"type": "text", "text": "x"}]), json!({"type": "tool_result", "content": [7]}),
        ];
        let mut request = rich();
        for (position, value) in changes {
            let (mut position, value) = (position, values[value].clone());
            replace(&mut request, &mut position, &value);
        }
        match translate_body(request.to_string().as_bytes()) {
            Ok(translated) => {
                let body: Value = serde_json::from_slice(&translated.body).unwrap();
                prop_assert!(body["contents"].is_array());
            }
            Err(invalid) => prop_assert!(!invalid.reason.is_empty()),
        }
    }

    #[test]
    fn any_text_is_refused(body in "[\\[\\]{}\",:a-z0-9]{0,60}") {
        prop_assert!(translate_body(body.as_bytes()).is_err());
    }
}

#[test]
fn a_choice_of_the_search_leaves_out_functions() {
    let search = json!({"type": "web_search_20250305", "name": "web_search"});
    let function = json!({"name": "f", "input_schema": {"type": "object"}});
    let tools = json!([search, function]);
    let chosen = json!({"tools": tools, "tool_choice": {"type": "tool", "name": "web_search"}});
    let request = gemini(&chosen);
    assert_eq!(request["tools"], json!([{"googleSearch": {}}]));
    assert_eq!(request["toolConfig"], json!(null));
    let none = json!({"tools": [search], "tool_choice": {"type": "none"}});
    assert_eq!(gemini(&none)["tools"], json!(null));
}
