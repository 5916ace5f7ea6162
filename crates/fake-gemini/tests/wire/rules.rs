//! What native requests to generate must be like.

use crate::support::{KEY, gemini, native};
use fake_gemini::{FakeGemini, errors};
use serde_json::{Value, json};

const OLDER: &str = "gemini-2.5-flash";
const NEWER: &str = "gemini-3.8-flash";
/// What Google accepts instead of a signature.
const SIGNATURE: &str = "skip_thought_signature_validator";

async fn generate(gemini: &FakeGemini, model: &str, body: &Value) -> (u16, String) {
    let path = format!("/v1beta/models/{model}:generateContent");
    let response = native(gemini, KEY, "POST", &path, &body.to_string()).await;
    (response.status(), response.text().to_owned())
}

/// Sends the bodies and compares the errors; `None` means success.
async fn check(cases: impl IntoIterator<Item = (&str, Value, Option<errors::ApiError>)>) {
    let gemini = gemini().await;
    for (model, body, error) in cases {
        let (status, text) = generate(&gemini, model, &body).await;
        match error {
            None => assert_eq!(status, 200, "{body}: {text}"),
            Some(error) => assert_eq!(text, error.pretty(), "{body}"),
        }
    }
}

fn invalid(path: &str, rule: &str) -> Option<errors::ApiError> {
    Some(errors::invalid_request(&[(path.to_owned(), rule)]))
}

fn user() -> Value {
    json!({"role": "user", "parts": [{"text": "Hello"}]})
}

fn model() -> Value {
    json!({"role": "model", "parts": [{"text": "Well."}]})
}

/// `count` parallel calls, of which the first is signed.
fn calls(count: usize) -> Value {
    let call = |index| match index {
        0 => json!({"functionCall": {"name": "f", "args": {}}, "thoughtSignature": SIGNATURE}),
        _ => json!({"functionCall": {"name": "f"}}),
    };
    json!({"role": "model", "parts": (0..count).map(call).collect::<Vec<_>>()})
}

fn results(count: usize) -> Value {
    let result = json!({"functionResponse": {"name": "f", "response": {"a": 1}}});
    json!({"role": "user", "parts": vec![result; count]})
}

#[tokio::test]
async fn calls_and_results_follow_each_other() {
    let mut mixed = results(1);
    let parts = mixed["parts"].as_array_mut().unwrap();
    parts.push(json!({"text": "and?"}));
    let out_of_turn = Some(errors::calls_out_of_turn());
    let unmatched = Some(errors::results_do_not_match_calls());
    let cases = [
        (json!([user(), calls(1), results(1)]), None, None),
        (
            json!([
                user(),
                calls(2),
                results(2),
                calls(1),
                results(1),
                model(),
                user()
            ]),
            None,
            None,
        ),
        // As Google's clients send the chunks of a stream.
        (
            json!([user(), model(), calls(1), calls(1), model(), results(2)]),
            None,
            None,
        ),
        (json!([calls(1), results(1)]), out_of_turn, None),
        (
            json!([user(), calls(2), results(1)]),
            unmatched.clone(),
            None,
        ),
        (json!([user(), calls(1), user()]), unmatched, None),
        (
            json!([user(), results(1)]),
            Some(errors::results_out_of_turn()),
            None,
        ),
        (
            json!([user(), calls(1), results(1), results(1)]),
            Some(errors::results_out_of_turn()),
            None,
        ),
        (
            json!([user(), model()]),
            None,
            Some(errors::ends_with_model_turn()),
        ),
        (
            json!([user(), calls(1), mixed]),
            None,
            Some(errors::ends_with_model_turn()),
        ),
    ];
    // The last column is for Gemini 3 alone.
    check(cases.into_iter().flat_map(|(contents, both, newer)| {
        let body = json!({"contents": contents});
        let newer = both.clone().or(newer);
        [(OLDER, body.clone(), both), (NEWER, body, newer)]
    }))
    .await;
}

#[tokio::test]
async fn parts_carry_one_kind_of_data() {
    let with = |part: Value| json!({"contents": [{"parts": [part]}]});
    let blob = |mime_type: &str, data: &str| {
        with(json!({"inlineData": {"mimeType": mime_type, "data": data}}))
    };
    let part = "contents[0].parts[0]";
    let no_data = "required oneof field 'data' must have one initialized field";
    let cases = [
        (blob("image/png", "iVBORw0KGgo="), None),
        (blob("audio/wav", "UklGRg"), None),
        (
            blob("image/gif", "R0lGOA=="),
            Some(errors::unsupported_mime_type("image/gif")),
        ),
        (
            json!({"contents": [{"parts": []}, {"role": "model"}]}),
            Some(errors::invalid_request(&[
                (
                    "contents[0].parts".to_owned(),
                    "contents.parts must not be empty.",
                ),
                (
                    "contents[1].parts".to_owned(),
                    "contents.parts must not be empty.",
                ),
            ])),
        ),
        (
            json!({"contents": [{"role": "system", "parts": [{"text": "a"}]}]}),
            Some(errors::invalid_role()),
        ),
        (
            with(json!({"thoughtSignature": SIGNATURE})),
            invalid(&format!("{part}.data"), no_data),
        ),
        (
            with(json!({"functionResponse": {"name": "", "response": {}}})),
            invalid(
                &format!("{part}.function_response.name"),
                "Name cannot be empty.",
            ),
        ),
    ];
    check(cases.map(|(body, error)| (OLDER, body, error))).await;
    let gemini = gemini().await;
    let two = with(json!({"text": "a", "inlineData": {}}));
    let (_, text) = generate(&gemini, OLDER, &two).await;
    let expected = "Invalid value at 'contents[0].parts[0]' (oneof), oneof field 'data' is already \
                    set. Cannot set 'inlineData'";
    assert!(text.contains(expected), "{text}");
    let (_, text) = generate(&gemini, OLDER, &blob("image/png", "data:x")).await;
    let expected = r#"Invalid value at 'contents[0].parts[0].inline_data.data' (TYPE_BYTES), Base64 decoding failed for \"data:x\""#;
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn unknown_fields_of_native_requests_are_refused() {
    let place = "tools[0].function_declarations[0].parameters.properties[0].value";
    let parameters = json!({"type": "OBJECT", "properties": {"a": {"const": 1}}});
    let function = json!({"name": "f", "parameters": parameters});
    let config = json!({"maxTokens": 1, "top_p": 0.5, "topK": "40"});
    let mode = "type.googleapis.com/google.ai.generativelanguage.v1beta.FunctionCallingConfig.Mode";
    let tool_config = json!({"functionCallingConfig": {"mode": "required"}});
    let cases = [
        (
            "tools",
            json!([{"function_declarations": [function]}]),
            errors::unknown_field_in(place, "const"),
        ),
        (
            "generation_config",
            config,
            errors::unknown_field_in("generation_config", "maxTokens"),
        ),
        (
            "system",
            json!("Be brief."),
            errors::unknown_fields(&["system"]),
        ),
        (
            "toolConfig",
            tool_config,
            errors::invalid_value(
                "tool_config.function_calling_config.mode",
                mode,
                r#""required""#,
            ),
        ),
    ];
    check(cases.map(|(name, value, error)| {
        (
            OLDER,
            json!({"contents": [user()], name: value}),
            Some(error),
        )
    }))
    .await;
    let nullable = json!({"type": ["STRING", "NULL"]});
    let function = json!({"name": "f", "parameters": nullable});
    let body = json!({"contents": [user()], "tools": [{"functionDeclarations": [function]}]});
    let (_, text) = generate(&gemini().await, OLDER, &body).await;
    let expected = "Unknown name \\\"type\\\" at 'tools[0].function_declarations[0].parameters': \
                    Proto field is not repeating, cannot start list.";
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn functions_have_valid_names_and_schemas() {
    let name = "Invalid function name. Must start with a letter or an underscore. Must be \
                alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), \
                with a maximum length of 64.";
    let first = "tools[0].function_declarations[0]";
    let long = "f".repeat(65);
    let json_schema = json!({"type": ["object", "null"], "$schema": "x", "properties": {
        "a": {"$ref": "#/$defs/A"},
    }});
    let mut defined = json_schema.clone();
    defined["$defs"] = json!({"A": {"const": 1}});
    let declarations = [
        (json!([{"name": "mcp__a.b:c-d"}, {"name": "_2"}]), None),
        (
            json!([{"name": "2f"}]),
            invalid(&format!("{first}.name"), name),
        ),
        (
            json!([{"name": long}]),
            invalid(&format!("{first}.name"), name),
        ),
        (
            json!([{"name": "f"}, {"name": "f"}]),
            Some(errors::duplicate_function("f")),
        ),
        (
            json!([{"name": "f", "parametersJsonSchema": defined}]),
            None,
        ),
        (
            json!([{"name": "f", "parametersJsonSchema": json_schema}]),
            Some(errors::undefined_schema("properties.a")),
        ),
        (
            json!([{"name": "f", "parameters": {"type": "OBJECT"}, "parametersJsonSchema": {}}]),
            invalid(
                &format!("{first}.parameters_json_schema"),
                "must not be set together with parameters.",
            ),
        ),
    ];
    check(declarations.map(|(functions, error)| {
        let tools = json!([{"functionDeclarations": functions}]);
        (OLDER, json!({"contents": [user()], "tools": tools}), error)
    }))
    .await;
}

#[tokio::test]
async fn tools_combine_since_gemini_3() {
    let function = json!({"functionDeclarations": [{"name": "f"}]});
    let both = json!([{"googleSearch": {}}, function]);
    let included = json!({"includeServerSideToolInvocations": true});
    let request = |tools: &Value, config: Value| json!({"contents": [user()], "tools": tools, "toolConfig": config});
    let search = json!([{"googleSearch": {}}]);
    let auto = json!({"functionCallingConfig": {"mode": "AUTO"}});
    let json_answer = json!({
        "contents": [user()],
        "tools": [function],
        "generationConfig": {"responseMimeType": "application/json"},
    });
    let without = Some(errors::calling_without_functions());
    check([
        (OLDER, request(&search, json!({})), None),
        (
            OLDER,
            request(&both, included.clone()),
            Some(errors::functions_with_tools()),
        ),
        (NEWER, request(&both, included), None),
        (
            NEWER,
            request(&both, auto.clone()),
            Some(errors::server_side_tools_not_included()),
        ),
        (NEWER, request(&search, auto), without),
        (OLDER, json_answer.clone(), Some(errors::tools_with_json())),
        (NEWER, json_answer, None),
    ])
    .await;
}

#[tokio::test]
async fn options_are_those_of_the_model() {
    let (lite, pro) = ("gemini-2.5-flash-lite", "gemini-2.5-pro");
    let budget = |tokens: i64| json!({"thinkingConfig": {"thinkingBudget": tokens}});
    let level = |name: &str| json!({"thinking_config": {"thinking_level": name}});
    let both = json!({"thinkingConfig": {"thinkingBudget": 0, "thinkingLevel": "low"}});
    let schema = json!({"responseJsonSchema": {"type": "object"}});
    let mut with_type = schema.clone();
    with_type["responseMimeType"] = "application/json".into();
    let out_of_range =
        |tokens, least, most| Some(errors::invalid_thinking_budget(tokens, least, most));
    let cases = [
        (OLDER, budget(0), None),
        (OLDER, budget(24_577), out_of_range(24_577, 0, 24_576)),
        (lite, budget(0), None),
        (lite, budget(511), out_of_range(511, 512, 24_576)),
        (pro, budget(-1), None),
        (pro, budget(0), out_of_range(0, 128, 32_768)),
        (NEWER, budget(512), None),
        (NEWER, level("low"), None),
        (
            NEWER,
            level("MINIMAL"),
            Some(errors::unsupported_thinking_level("MINIMAL")),
        ),
        ("gemini-3.5-flash", level("minimal"), None),
        (OLDER, level("LOW"), Some(errors::no_thinking_levels())),
        (
            "claude-x",
            level("LOW"),
            Some(errors::model_not_found(
                "claude-x",
                "v1beta",
                "generateContent",
            )),
        ),
        (NEWER, both, Some(errors::thinking_budget_and_level())),
        (NEWER, with_type, None),
        (
            NEWER,
            schema,
            invalid(
                "generation_config.response_json_schema",
                "requires a response_mime_type of application/json.",
            ),
        ),
        (
            NEWER,
            json!({"temperature": 2.5}),
            invalid(
                "generation_config.temperature",
                "temperature must be in the range [0.0, 2.0].",
            ),
        ),
    ];
    check(cases.map(|(model, config, error)| {
        (
            model,
            json!({"contents": [user()], "generationConfig": config}),
            error,
        )
    }))
    .await;
}

#[tokio::test]
async fn tokens_are_counted_of_contents_or_of_a_whole_request() {
    let gemini = gemini().await;
    let count = async |body: Value| {
        let path = "/v1beta/models/gemini-2.5-flash:countTokens";
        let response = native(&gemini, KEY, "POST", path, &body.to_string()).await;
        match response.status() {
            200 => Ok(response.json()["totalTokens"].as_u64().unwrap()),
            _ => Err(response.text().to_owned()),
        }
    };
    let whole = json!({
        "model": "models/gemini-2.5-flash",
        "contents": [user()],
        "systemInstruction": {"parts": [{"text": "Be brief, please."}]},
        "tools": [{"functionDeclarations": [{"name": "f"}]}],
    });
    let image = json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}});
    let contents = json!([user()]);
    assert_eq!(count(json!({"contents": contents})).await, Ok(2));
    assert_eq!(
        count(json!({"contents": [{"parts": [image]}]})).await,
        Ok(258)
    );
    let request = json!({"generateContentRequest": whole});
    assert_eq!(count(request).await, Ok(2 + 5 + 11));
    let nameless = json!({"generateContentRequest": {"contents": contents}});
    for (body, error) in [
        (json!({}), errors::nothing_to_count()),
        (
            json!({"contents": contents, "generateContentRequest": whole}),
            errors::invalid_argument(),
        ),
        (
            nameless,
            invalid("model", "unexpected model name format").unwrap(),
        ),
        (
            json!({"contents": contents, "tools": []}),
            errors::unknown_fields(&["tools"]),
        ),
    ] {
        assert_eq!(count(body).await, Err(error.pretty()));
    }
}
