//! What native requests to generate must be like.

use crate::support::{KEY, gemini, native};
use fake_gemini::{FakeGemini, errors};
use serde_json::{Value, json};

const OLDER: &str = "gemini-2.5-flash";

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

fn user() -> Value {
    json!({"role": "user", "parts": [{"text": "Hello"}]})
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
