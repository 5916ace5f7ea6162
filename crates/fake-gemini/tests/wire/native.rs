//! The bytes of the native surface.

use crate::support::{Client, KEY, contents, gemini, native};
use fake_gemini::{Answer, Finish, Reply, ToolCall};

const GENERATE: &str = "models/gemini-2.5-flash:generateContent";
const STREAM: &str = "models/gemini-2.5-flash:streamGenerateContent?alt=sse";

#[tokio::test]
async fn a_whole_answer_is_pretty_with_a_line_feed_at_its_end() {
    let gemini = gemini().await;
    gemini.script(
        KEY,
        Reply::answer(Answer::text("Hello").usage(18, 80).thinking(35)),
    );
    let response = native(&gemini, GENERATE, &contents()).await;
    assert_eq!(
        response.head.get("content-type"),
        Some("application/json; charset=UTF-8")
    );
    assert_eq!(
        response.text(),
        r#"{
  "candidates": [
    {
      "content": {
        "parts": [
          {
            "text": "Hello"
          }
        ],
        "role": "model"
      },
      "finishReason": "STOP",
      "index": 0
    }
  ],
  "usageMetadata": {
    "promptTokenCount": 18,
    "candidatesTokenCount": 80,
    "totalTokenCount": 133,
    "promptTokensDetails": [
      {
        "modality": "TEXT",
        "tokenCount": 18
      }
    ],
    "thoughtsTokenCount": 35,
    "serviceTier": "standard"
  },
  "modelVersion": "gemini-2.5-flash",
  "responseId": "v2cH7lDqgI0XWuhqmn45PV"
}
"#
    );
}

#[tokio::test]
async fn events_have_blanks_after_colons_and_end_in_crlf_without_a_closing_one() {
    let gemini = gemini().await;
    let answer = Answer::pieces(["1\n2\n3", "0"]).usage(18, 62).thinking(35);
    gemini.script(KEY, Reply::answer(answer));
    let mut client = Client::connect(&gemini).await;
    let path = format!("/v1beta/{STREAM}");
    client
        .send("POST", &path, &[("x-goog-api-key", KEY)], &contents())
        .await;
    let head = client.head().await;
    assert_eq!(head.get("content-type"), Some("text/event-stream"));
    assert_eq!(head.get("content-disposition"), Some("attachment"));
    for expected in [
        concat!(
            r#"data: {"candidates": [{"content": {"parts": [{"text": "1\n2\n3"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 18,"candidatesTokenCount": 31,"totalTokenCount": 84,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 18}],"thoughtsTokenCount": 35,"serviceTier": "standard"},"modelVersion": "gemini-2.5-flash","responseId": "v2cH7lDqgI0XWuhqmn45PV"}"#,
            "\r\n\r\n"
        ),
        concat!(
            r#"data: {"candidates": [{"content": {"parts": [{"text": "0"}],"role": "model"},"finishReason": "STOP","index": 0}],"usageMetadata": {"promptTokenCount": 18,"candidatesTokenCount": 62,"totalTokenCount": 115,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 18}],"thoughtsTokenCount": 35,"serviceTier": "standard"},"modelVersion": "gemini-2.5-flash","responseId": "v2cH7lDqgI0XWuhqmn45PV"}"#,
            "\r\n\r\n"
        ),
    ] {
        assert_eq!(client.text_chunk().await.as_deref(), Some(expected));
    }
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn without_alt_sse_the_stream_is_an_array_that_grows() {
    let gemini = gemini().await;
    gemini.script(KEY, Reply::answer(Answer::pieces(["a", "b"])));
    let path = "models/gemini-2.5-flash:streamGenerateContent";
    let response = native(&gemini, path, &contents()).await;
    let text = response.text();
    assert!(
        text.starts_with("[{\n  \"candidates\": [\n    {\n"),
        "{text}"
    );
    assert!(text.contains("\n}\n,\r\n{\n  \"candidates\": ["), "{text}");
    assert!(text.ends_with("\n}\n]\n"), "{text}");
    assert_eq!(response.json().as_array().unwrap().len(), 2);
    assert_eq!(response.head.get("content-disposition"), None);
}

#[tokio::test]
async fn a_streamed_tool_call_is_followed_by_a_chunk_with_the_finish_reason() {
    let gemini = gemini().await;
    let call = ToolCall::new("get_country", r#"{"code":"PT"}"#).signature("EpwI");
    gemini.script(KEY, Reply::answer(Answer::tool_calls([call]).usage(4, 8)));
    let response = native(&gemini, STREAM, &contents()).await;
    let events: Vec<&str> = response.text().split_terminator("\r\n\r\n").collect();
    assert_eq!(events.len(), 2);
    assert!(
        events[0].starts_with(
            r#"data: {"candidates": [{"content": {"parts": [{"functionCall": {"name": "get_country","args": {"code": "PT"}},"thoughtSignature": "EpwI"}],"role": "model"},"index": 0}],"#
        ),
        "{}",
        events[0]
    );
    assert!(
        events[1].starts_with(
            r#"data: {"candidates": [{"content": {"parts": [{"text": ""}],"role": "model"},"finishReason": "STOP","index": 0}],"#
        ),
        "{}",
        events[1]
    );
}

#[tokio::test]
async fn what_filters_keep_back_is_200_with_a_reason() {
    let gemini = gemini().await;
    for (answer, expected) in [
        (
            Answer::blocked().usage(14, 0),
            r#"data: {"candidates": [{"content": {},"finishReason": "SAFETY","safetyRatings": [{"category": "HARM_CATEGORY_HATE_SPEECH","probability": "LOW","blocked": true},"#,
        ),
        (
            Answer::prompt_blocked().usage(14, 0),
            r#"data: {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},"usageMetadata": {"promptTokenCount": 14,"totalTokenCount": 14,"promptTokensDetails""#,
        ),
        (
            Answer::empty()
                .finish(Finish::MaxTokens)
                .usage(15, 0)
                .thinking(2),
            r#"data: {"candidates": [{"content": {"role": "model"},"finishReason": "MAX_TOKENS","index": 0}],"usageMetadata": {"promptTokenCount": 15,"totalTokenCount": 17,"#,
        ),
    ] {
        gemini.script(KEY, Reply::answer(answer));
        let response = native(&gemini, STREAM, &contents()).await;
        assert_eq!(response.status(), 200);
        assert!(response.text().starts_with(expected), "{}", response.text());
    }
}

#[tokio::test]
async fn tokens_are_counted_roughly() {
    let gemini = gemini().await;
    let response = native(
        &gemini,
        "models/gemini-2.5-flash:countTokens",
        r#"{"contents":[{"parts":[{"text":"This is twenty bytes"}]}]}"#,
    )
    .await;
    assert_eq!(
        response.text(),
        "{\n  \"totalTokens\": 5,\n  \"promptTokensDetails\": [\n    {\n      \"modality\": \"TEXT\",\n      \"tokenCount\": 5\n    }\n  ]\n}\n"
    );
}

#[tokio::test]
async fn embeddings_come_single_or_in_a_batch() {
    let gemini = gemini().await;
    let single = native(
        &gemini,
        "models/gemini-embedding-001:embedContent",
        r#"{"content":{"parts":[{"text":"x"}]},"outputDimensionality":3}"#,
    )
    .await;
    let vector = single.json()["embedding"]["values"].clone();
    assert_eq!(vector.as_array().unwrap().len(), 3);
    assert!(
        single
            .text()
            .starts_with("{\n  \"embedding\": {\n    \"values\": [\n      ")
    );
    let request = r#"{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"x"}]},"outputDimensionality":3}"#;
    let batch = native(
        &gemini,
        "models/gemini-embedding-001:batchEmbedContents",
        &format!(r#"{{"requests":[{request},{request}]}}"#),
    )
    .await
    .json();
    let embeddings = batch["embeddings"].as_array().unwrap();
    assert_eq!(embeddings.len(), 2);
    assert_eq!(embeddings[1]["values"], vector);
}

#[tokio::test]
async fn models_are_listed_with_what_they_can() {
    let gemini = gemini().await;
    let list = native(&gemini, "models?pageSize=1000", "").await;
    assert!(list.text().starts_with(
        "{\n  \"models\": [\n    {\n      \"name\": \"models/gemini-2.5-flash\",\n      \"displayName\": \"Gemini 2.5 Flash\",\n      \"inputTokenLimit\": 1048576,\n      \"supportedGenerationMethods\": [\n        \"generateContent\",\n"
    ));
    let one = native(&gemini, "models/gemini-embedding-2", "")
        .await
        .json();
    assert_eq!(one["name"], "models/gemini-embedding-2");
    let unknown = native(&gemini, "models/invalid-model", "").await;
    assert_eq!(
        unknown.text(),
        "{\n  \"error\": {\n    \"code\": 404,\n    \"message\": \"Model is not found: models/invalid-model for api version v1beta\",\n    \"status\": \"NOT_FOUND\"\n  }\n}\n"
    );
}
