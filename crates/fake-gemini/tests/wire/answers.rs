//! What models say on the native surface: thoughts, signatures, data, sources, and why they stop.

use crate::support::{KEY, gemini, native};
use fake_gemini::{Answer, FakeGemini, Finish, Reply, Source, ToolCall};
use serde_json::{Value, json};

const NEWER: &str = "/v1beta/models/gemini-3.8-flash";

fn request(more: Value) -> Value {
    let mut body = json!({"contents": [{"parts": [{"text": "Hello"}]}]});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn whole(gemini: &FakeGemini, answer: Answer, more: Value) -> Value {
    gemini.script(KEY, Reply::answer(answer));
    let path = format!("{NEWER}:generateContent");
    let body = request(more).to_string();
    let response = native(gemini, KEY, "POST", &path, &body).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    response.json()
}

async fn streamed(gemini: &FakeGemini, answer: Answer, more: Value) -> Vec<Value> {
    gemini.script(KEY, Reply::answer(answer));
    let path = format!("{NEWER}:streamGenerateContent?alt=sse");
    let body = request(more).to_string();
    let response = native(gemini, KEY, "POST", &path, &body).await;
    let events = response.text().split_terminator("\r\n\r\n");
    let chunk = |event: &str| serde_json::from_str(&event["data: ".len()..]).unwrap();
    events.map(chunk).collect()
}

fn parts(response: &Value) -> &Value {
    &response["candidates"][0]["content"]["parts"]
}

#[tokio::test]
async fn thoughts_are_sent_if_asked_for_and_texts_are_signed_at_their_end() {
    let gemini = gemini().await;
    let answer = Answer::words("It rains.")
        .thoughts("**Looking up**")
        .signature("AVSo");
    let answer = answer.usage(10, 2).cached(8);
    let thinking = json!({"generationConfig": {"thinkingConfig": {"includeThoughts": true}}});
    let response = whole(&gemini, answer.clone(), thinking.clone()).await;
    let thought = json!({"text": "**Looking up**", "thought": true});
    let signed = json!({"text": "It rains.", "thoughtSignature": "AVSo"});
    assert_eq!(parts(&response), &json!([thought, signed]));
    let usage = &response["usageMetadata"];
    assert_eq!(usage["thoughtsTokenCount"], 4);
    assert_eq!(
        (&usage["cachedContentTokenCount"], &usage["totalTokenCount"]),
        (&json!(8), &json!(16))
    );
    let response = whole(&gemini, answer.clone(), json!({})).await;
    assert_eq!(parts(&response), &json!([signed]));
    let chunks = streamed(&gemini, answer, thinking).await;
    let said = chunks.iter().map(|chunk| parts(chunk)[0].clone());
    let empty = json!({"text": "", "thoughtSignature": "AVSo"});
    let expected = [
        thought,
        json!({"text": "It "}),
        json!({"text": "rains."}),
        empty,
    ];
    assert!(said.eq(expected), "{chunks:#?}");
    let finished = chunks
        .iter()
        .map(|chunk| chunk["candidates"][0]["finishReason"].is_string());
    assert!(finished.eq([false, false, false, true]));
}

#[tokio::test]
async fn parallel_calls_have_ids_and_one_signature() {
    let gemini = gemini().await;
    let first = ToolCall::new("f", "{}").id("a").signature("AVSo");
    let calls = [first, ToolCall::new("g", r#"{"x":1}"#).id("b")];
    let answer = Answer::text("Let me see.").and_tool_calls(calls);
    let response = whole(&gemini, answer, json!({})).await;
    let expected = json!([
        {"text": "Let me see."},
        {"functionCall": {"name": "f", "args": {}, "id": "a"}, "thoughtSignature": "AVSo"},
        {"functionCall": {"name": "g", "args": {"x": 1}, "id": "b"}},
    ]);
    assert_eq!(parts(&response), &expected);
}

#[tokio::test]
async fn sources_support_segments_counted_in_bytes() {
    let gemini = gemini().await;
    let sources = [
        Source::new("https://a.example/1", "a.example", "Zürich liegt"),
        Source::new("https://b.example/2", "b.example", "am See."),
    ];
    let answer = Answer::words("Zürich liegt am See.").grounded("Zürich Lage", sources);
    let search = json!({"tools": [{"googleSearch": {}}]});
    let response = whole(&gemini, answer.clone(), search.clone()).await;
    let metadata = &response["candidates"][0]["groundingMetadata"];
    assert_eq!(metadata["webSearchQueries"], json!(["Zürich Lage"]));
    let chunk = json!({"web": {"uri": "https://b.example/2", "title": "b.example"}});
    assert_eq!(metadata["groundingChunks"][1], chunk);
    assert_eq!(
        metadata["groundingSupports"],
        json!([
            {"segment": {"endIndex": 13, "text": "Zürich liegt"}, "groundingChunkIndices": [0]},
            {
                "segment": {"startIndex": 14, "endIndex": 21, "text": "am See."},
                "groundingChunkIndices": [1],
            },
        ])
    );
    let chunks = streamed(&gemini, answer.clone(), search.clone()).await;
    let grounded = chunks
        .iter()
        .filter(|chunk| !chunk["candidates"][0]["groundingMetadata"].is_null());
    assert_eq!(grounded.count(), 1);
    let mut included = search;
    included["toolConfig"] = json!({"includeServerSideToolInvocations": true});
    let response = whole(&gemini, answer, included).await;
    let parts = parts(&response);
    assert_eq!(
        parts[0]["toolCall"]["args"],
        json!({"queries": ["Zürich Lage"]})
    );
    assert_eq!(parts[0]["toolCall"]["id"], parts[1]["toolResponse"]["id"]);
    assert_eq!(parts[2]["text"], "Zürich liegt am See.");
}

#[tokio::test]
async fn data_and_code_stand_between_texts() {
    let gemini = gemini().await;
    let answer = Answer::text("Computing. ").and_code("print(6*7)", "42\n");
    let answer = answer.and_text("It is 42. ").and_data("image/png", "AAAA");
    let response = whole(&gemini, answer, json!({})).await;
    let expected = json!([
        {"text": "Computing. "},
        {"executableCode": {"language": "PYTHON", "code": "print(6*7)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}},
        {"text": "It is 42. "},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
    ]);
    assert_eq!(parts(&response), &expected);
}

#[tokio::test]
async fn model_stops_for_many_reasons() {
    let gemini = gemini().await;
    let long = || Answer::words("one two three four five six");
    for (answer, config, text, reason) in [
        (
            long(),
            json!({"stopSequences": ["four", "three"]}),
            "one two ",
            "STOP",
        ),
        (
            long(),
            json!({"maxOutputTokens": 2}),
            "one two ",
            "MAX_TOKENS",
        ),
        (
            long().thinking(5),
            json!({"maxOutputTokens": 2}),
            "",
            "MAX_TOKENS",
        ),
        (
            long().finish(Finish::Safety),
            json!({}),
            "one two three four five six",
            "SAFETY",
        ),
        (
            Answer::empty().finish(Finish::Recitation),
            json!({}),
            "",
            "RECITATION",
        ),
        (
            Answer::empty().finish(Finish::MalformedFunctionCall),
            json!({}),
            "",
            "MALFORMED_FUNCTION_CALL",
        ),
    ] {
        let more = json!({"generationConfig": config});
        let response = whole(&gemini, answer.clone(), more.clone()).await;
        let candidate = &response["candidates"][0];
        assert_eq!(candidate["finishReason"], reason);
        let said = parts(&response)[0]["text"].as_str().unwrap_or_default();
        assert_eq!(said, text, "{response:#}");
        let chunks = streamed(&gemini, answer, more).await;
        let said = chunks
            .iter()
            .filter_map(|chunk| parts(chunk)[0]["text"].as_str());
        assert_eq!(said.collect::<String>(), text);
        assert_eq!(
            chunks.last().unwrap()["candidates"][0]["finishReason"],
            reason
        );
    }
    let blocked = Answer::blocked("PROHIBITED_CONTENT");
    let response = whole(&gemini, blocked, json!({})).await;
    assert_eq!(
        response["promptFeedback"],
        json!({"blockReason": "PROHIBITED_CONTENT"})
    );
    assert!(response["candidates"].is_null());
}
