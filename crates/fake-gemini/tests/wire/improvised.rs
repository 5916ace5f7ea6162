//! What is answered without a script to requests with tools, and for JSON.

use crate::support::{KEY, STREAM, chat_with, gemini, native};
use fake_gemini::FakeGemini;
use serde_json::{Value, json};

const TOOLS: &str = r#""tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string","enum":["Oslo","Bergen"]},"days":{"type":"integer"}},"required":["city"]}}},{"type":"function","function":{"name":"time"}}]"#;

const DECLARED: &str = r#""tools":[{"functionDeclarations":[{"name":"weather","parameters":{"type":"OBJECT","properties":{"city":{"type":"STRING","enum":["Oslo"]}},"required":["city"]}},{"name":"time","parametersJsonSchema":{"type":"object"}}]}]"#;

/// The made-up signatures of the first call.
const SIGNATURE: &str = "EpwI++\u{2026}";

/// A chat completion with one message and `more` fields.
fn question(model: &str, more: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Use tools"}}],{more}}}"#)
}

fn contents(more: &str) -> String {
    format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"Use tools"}}]}}],{more}}}"#)
}

/// The text with its signatures cut short, and without what comes after the choices of each line.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("EpwI++") {
        let end = at + rest[at..].find('"').unwrap();
        shown.push_str(&rest[..at]);
        shown.push_str(SIGNATURE);
        rest = &rest[end..];
    }
    shown + rest
}

async fn said(gemini: &FakeGemini, body: &str) -> String {
    let response = chat_with(gemini, KEY, body).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    shown(response.text())
}

/// The function that an answer calls; `None` for words.
async fn called(gemini: &FakeGemini, more: &str) -> Option<String> {
    let body = question("gemini-3.8-flash", more);
    let answer = chat_with(gemini, KEY, &body).await.json();
    let name = &answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"];
    name.as_str().map(str::to_owned)
}

#[tokio::test]
async fn gemini_3_calls_a_tool_with_an_id_and_a_signature_of_its_own() {
    let gemini = gemini().await;
    let whole = said(&gemini, &question("gemini-3.8-flash", TOOLS)).await;
    assert!(
        whole.starts_with(r#"{"choices":[{"finish_reason":"tool_calls","index":0,"message":{"role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"EpwI++…"}},"function":{"arguments":"{\"city\":\"Oslo\"}","name":"weather"},"id":"call_"#),
        "{whole}"
    );
    let streamed = said(
        &gemini,
        &question("gemini-3.8-flash", &format!("{TOOLS}{STREAM}")),
    )
    .await;
    let events: Vec<&str> = streamed.split("\n\n").collect();
    assert_eq!(events.len(), 4, "{streamed}");
    for (event, (begin, end)) in events.iter().zip([
        (
            r#"data: {"choices":[{"delta":{"role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"EpwI++…"}},"function":{"arguments":"{\"city\":\"Oslo\"}","name":"weather"},"id":"call_"#,
            r#"","type":"function"}]},"index":0}],"created":1800000000,"id":"BzlAJyeLKEnxujlFajr7eV","model":"gemini-3.8-flash","object":"chat.completion.chunk"}"#,
        ),
        (
            r#"data: {"choices":[{"delta":{"role":"assistant"},"finish_reason":"stop","index":0}],"#,
            r#""object":"chat.completion.chunk"}"#,
        ),
        ("data: [DONE]", ""),
        ("", ""),
    ]) {
        assert!(event.starts_with(begin) && event.ends_with(end), "{event}");
    }
}

#[tokio::test]
async fn gemini_2_5_calls_a_tool_without_an_id_and_signs_the_message() {
    let gemini = gemini().await;
    let whole = said(&gemini, &question("gemini-2.5-pro", TOOLS)).await;
    assert!(
        whole.starts_with(r#"{"choices":[{"finish_reason":"tool_calls","index":0,"message":{"extra_content":{"google":{"thought":true,"thought_signature":"EpwI++…"}},"role":"assistant","thought_signature":"EpwI++…","tool_calls":[{"function":{"arguments":"{\"city\":\"Oslo\"}","name":"weather"},"id":"","type":"function"}]}}],"created":"#),
        "{whole}"
    );
    let streamed = said(
        &gemini,
        &question("gemini-2.5-pro", &format!("{TOOLS}{STREAM}")),
    )
    .await;
    let events: Vec<&str> = streamed.split("\n\n").collect();
    assert_eq!(events.len(), 3, "{streamed}");
    assert!(
        events[0].contains(
            r#""name":"weather"},"id":"","type":"function"}]},"finish_reason":"stop","index":0}]"#
        ),
        "{streamed}"
    );
}

#[tokio::test]
async fn the_native_surface_calls_tools_too() {
    let gemini = gemini().await;
    let generate = "models/gemini-3.8-flash:generateContent";
    let answer = native(&gemini, generate, &contents(DECLARED)).await.json();
    let content = &answer["candidates"][0]["content"];
    assert_eq!(
        shown(&content.to_string()),
        r#"{"parts":[{"functionCall":{"args":{"city":"Oslo"},"name":"weather"},"thoughtSignature":"EpwI++…"}],"role":"model"}"#
    );
    let stream = "models/gemini-3.8-flash:streamGenerateContent?alt=sse";
    let streamed = native(&gemini, stream, &contents(DECLARED)).await;
    let streamed = shown(streamed.text());
    let events: Vec<&str> = streamed.split("\r\n\r\n").collect();
    assert_eq!(events.len(), 3, "{streamed}");
    for (event, begin) in events.iter().zip([
        r#"data: {"candidates": [{"content": {"parts": [{"functionCall": {"name": "weather","args": {"city": "Oslo"}},"thoughtSignature": "EpwI++…"}],"role": "model"},"index": 0}],"usageMetadata": {"#,
        r#"data: {"candidates": [{"content": {"parts": [{"text": ""}],"role": "model"},"finishReason": "STOP","index": 0}],"usageMetadata": {"#,
    ]) {
        assert!(event.starts_with(begin), "{event}");
    }
    for (config, calls) in [
        (r#"{"mode":"NONE"}"#, Value::Null),
        (r#"{"mode":"AUTO"}"#, "weather".into()),
        (
            r#"{"mode":"ANY","allowedFunctionNames":["time"]}"#,
            "time".into(),
        ),
    ] {
        let more = format!(r#"{DECLARED},"toolConfig":{{"functionCallingConfig":{config}}}"#);
        let answer = native(&gemini, generate, &contents(&more)).await.json();
        let part = &answer["candidates"][0]["content"]["parts"][0];
        assert_eq!(part["functionCall"]["name"], calls, "{config}");
    }
}

#[tokio::test]
async fn a_loop_ends_in_words_after_two_results() {
    let gemini = gemini().await;
    let mut messages = json!([{"role": "user", "content": "Use tools"}]);
    let mut body: Value = serde_json::from_str(&question("gemini-3.8-flash", TOOLS)).unwrap();
    for name in ["weather", "time"] {
        let answer = chat_with(&gemini, KEY, &body.to_string()).await.json();
        let message = answer["choices"][0]["message"].clone();
        assert_eq!(message["tool_calls"][0]["function"]["name"], name);
        let id = message["tool_calls"][0]["id"].clone();
        messages.as_array_mut().unwrap().extend([
            message,
            json!({"role": "tool", "tool_call_id": id, "content": "fine"}),
        ]);
        body["messages"] = messages.clone();
    }
    let answer = chat_with(&gemini, KEY, &body.to_string()).await.json();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "stop", "{answer}");
    assert_eq!(
        choice["message"]["content"],
        "This is a made-up answer of a fake Gemini."
    );

    let mut contents = json!([{"parts": [{"text": "Use tools"}]}]);
    let mut body: Value = serde_json::from_str(&self::contents(DECLARED)).unwrap();
    let generate = "models/gemini-3.8-flash:generateContent";
    for name in ["weather", "time"] {
        let answer = native(&gemini, generate, &body.to_string()).await.json();
        let content = answer["candidates"][0]["content"].clone();
        assert_eq!(
            content["parts"][0]["functionCall"]["name"], name,
            "{answer}"
        );
        contents.as_array_mut().unwrap().extend([
            content,
            json!({"role": "user", "parts": [{"functionResponse": {"name": name, "response": {}}}]}),
        ]);
        body["contents"] = contents.clone();
    }
    let answer = native(&gemini, generate, &body.to_string()).await.json();
    let part = &answer["candidates"][0]["content"]["parts"][0];
    assert_eq!(part["text"], "This is a made-up answer of a fake Gemini.");
}

#[tokio::test]
async fn the_tool_choice_is_obeyed() {
    let gemini = gemini().await;
    for (choice, name) in [
        (r#""auto""#, Some("weather")),
        (r#""none""#, None),
        (r#""required""#, Some("weather")),
        (
            r#"{"type":"function","function":{"name":"time"}}"#,
            Some("time"),
        ),
    ] {
        let more = format!(r#"{TOOLS},"tool_choice":{choice}"#);
        assert_eq!(called(&gemini, &more).await.as_deref(), name, "{choice}");
    }
    assert_eq!(called(&gemini, r#""tools":[]"#).await, None);
}

#[tokio::test]
async fn json_fits_the_schema_that_was_asked_for() {
    let gemini = gemini().await;
    let schema = r#"{"type":"object","properties":{"name":{"type":"string"},"year":{"type":"integer","minimum":1800}},"required":["name","year"],"additionalProperties":false}"#;
    let pretty = "{\n  \"name\": \"made up\",\n  \"year\": 1800\n}";
    let format = format!(
        r#""response_format":{{"type":"json_schema","json_schema":{{"name":"person","strict":true,"schema":{schema}}}}}"#
    );
    let whole = said(&gemini, &question("gemini-2.5-flash", &format)).await;
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(whole["choices"][0]["message"]["content"], pretty);
    let streamed = said(
        &gemini,
        &question("gemini-2.5-flash", &format!("{format}{STREAM}")),
    )
    .await;
    let pieces: String = streamed
        .split("\n\n")
        .filter_map(|event| serde_json::from_str::<Value>(event.strip_prefix("data: ")?).ok())
        .map(|chunk| {
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(pieces, pretty);

    for (config, text) in [
        (format!(r#"{{"responseMimeType":"application/json","responseJsonSchema":{schema}}}"#), pretty),
        (format!(r#"{{"response_mime_type":"application/json","response_schema":{schema}}}"#), pretty),
        (
            r#"{"responseMimeType":"application/json"}"#.to_owned(),
            "{\n  \"answer\": \"made up\"\n}",
        ),
        (
            r#"{"responseMimeType":"text/x.enum","responseSchema":{"type":"STRING","enum":["yes","no"]}}"#.to_owned(),
            "yes",
        ),
    ] {
        let body = contents(&format!(r#""generationConfig":{config}"#));
        let answer = native(&gemini, "models/gemini-2.5-flash:generateContent", &body).await.json();
        assert_eq!(answer["candidates"][0]["content"]["parts"][0]["text"], text, "{config}");
    }
}
