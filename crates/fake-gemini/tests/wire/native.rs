//! The bytes of the native surface.

use crate::support::{Client, KEY, call, contents, gemini, native, start};
use fake_gemini::{Answer, FakeGemini, Finish, Kind, Model, Reply, ToolCall};

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
async fn a_streamed_tool_call_of_gemini_3_is_followed_by_a_chunk_with_the_finish_reason() {
    let gemini = gemini().await;
    let call = ToolCall::new("get_country", r#"{"code":"PT"}"#).signature("EpwI");
    gemini.script(KEY, Reply::answer(Answer::tool_calls([call]).usage(4, 8)));
    let path = STREAM.replace("gemini-2.5-flash", "gemini-3-flash-preview");
    let response = native(&gemini, &path, &contents()).await;
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
async fn cached_tokens_are_in_the_usage() {
    let gemini = gemini().await;
    let answer = Answer::text("x").usage(4634, 19).cached(4088);
    gemini.script(KEY, Reply::answer(answer));
    let usage = native(&gemini, GENERATE, &contents()).await.json()["usageMetadata"].to_string();
    assert!(
        usage.contains(r#""cachedContentTokenCount":4088"#),
        "{usage}"
    );
    gemini.script(KEY, Reply::answer(Answer::text("x")));
    let usage = native(&gemini, GENERATE, &contents()).await;
    assert!(!usage.text().contains("cached"), "{}", usage.text());
}

#[tokio::test]
async fn each_text_of_a_batch_has_its_own_length() {
    let gemini = gemini().await;
    let batch = |second: &str| {
        format!(
            r#"{{"requests":[{{"content":"a","outputDimensionality":2}},{second},{{"content":"c"}}]}}"#
        )
    };
    let path = "models/gemini-embedding-001:batchEmbedContents";
    let second = r#"{"content":"b","outputDimensionality":5}"#;
    let vectors = native(&gemini, path, &batch(second)).await.json();
    let lengths: Vec<_> = vectors["embeddings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vector| vector["values"].as_array().unwrap().len())
        .collect();
    assert_eq!(lengths, [2, 5, 3072]);
    for (second, message) in [
        ("7", "Invalid value at 'requests[1]' (TYPE_MESSAGE), 7"),
        (
            r#"{"content":"b","outputDimensionality":"many"}"#,
            r#"Invalid value at 'requests[1].output_dimensionality' (TYPE_INT32), "many""#,
        ),
        (
            r#"{"content":"b","outputDimensionality":0}"#,
            "Request contains an invalid argument.",
        ),
    ] {
        let refused = native(&gemini, path, &batch(second)).await;
        assert_eq!(refused.status(), 400, "{second}");
        assert_eq!(refused.json()["error"]["message"], message);
    }
}

#[tokio::test]
async fn version_1_serves_the_same_under_its_own_name() {
    let gemini = gemini().await;
    let key = [("x-goog-api-key", KEY)];
    let v1 = async |method, path: &str, body| {
        let path = format!("/v1/{path}");
        call(&gemini, method, &path, &key, body).await
    };
    let body = contents();
    assert_eq!(v1("POST", GENERATE, &body).await.status(), 200);
    assert_eq!(v1("GET", "models", "").await.status(), 200);
    for (method, path, message) in [
        (
            "POST",
            "models/x:generateContent",
            "models/x is not found for API version v1, or is not supported for generateContent. Call ModelService.ListModels to see the list of available models and their supported methods.",
        ),
        (
            "GET",
            "models/x",
            "Model is not found: models/x for api version v1",
        ),
    ] {
        let response = v1(method, path, &body).await;
        assert_eq!(response.status(), 404);
        assert_eq!(response.json()["error"]["message"], message);
    }
    let bearer = [("authorization", "Bearer k")];
    let path = format!("/v1/{GENERATE}");
    let refused = call(&gemini, "POST", &path, &bearer, &body).await;
    let method = "google.ai.generativelanguage.v1.GenerativeService.GenerateContent";
    assert_eq!(
        refused.json()["error"]["details"][0]["metadata"]["method"],
        method
    );
    for path in ["openai/models", "openai/chat/completions"] {
        assert_eq!(v1("GET", path, "").await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn v1alpha_is_a_version_of_its_own_name() {
    let gemini = gemini().await;
    let key = [("x-goog-api-key", KEY)];
    let path = format!("/v1alpha/{GENERATE}");
    let response = call(&gemini, "POST", &path, &key, &contents()).await;
    assert_eq!(response.status(), 200);
    let unknown = call(&gemini, "GET", "/v1alpha/models/x", &key, "").await;
    assert_eq!(
        unknown.json()["error"]["message"],
        "Model is not found: models/x for api version v1alpha"
    );
    let bearer = [("authorization", "Bearer k")];
    let refused = call(&gemini, "POST", &path, &bearer, &contents()).await;
    assert_eq!(
        refused.json()["error"]["details"][0]["metadata"]["method"],
        "google.ai.generativelanguage.v1alpha.GenerativeService.GenerateContent"
    );
    let other = call(&gemini, "GET", "/v1alpha1/models", &key, "").await;
    assert_eq!(other.status(), 404);
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
    for (id, expected) in [
        (
            "gemini-embedding-2",
            r#"{"inputTokenLimit":2048,"name":"models/gemini-embedding-2","supportedGenerationMethods":["embedContent","countTextTokens","countTokens"]}"#,
        ),
        (
            "aqa",
            r#"{"inputTokenLimit":7168,"name":"models/aqa","supportedGenerationMethods":["generateAnswer"]}"#,
        ),
        (
            "gemini-3.8-live",
            r#"{"inputTokenLimit":131072,"name":"models/gemini-3.8-live","supportedGenerationMethods":["bidiGenerateContent"]}"#,
        ),
        (
            "veo-3.1-generate-preview",
            r#"{"inputTokenLimit":480,"name":"models/veo-3.1-generate-preview","supportedGenerationMethods":["predictLongRunning"]}"#,
        ),
    ] {
        let one = native(&gemini, &format!("models/{id}"), "").await;
        assert_eq!(one.json().to_string(), expected);
    }
    let unknown = native(&gemini, "models/invalid-model", "").await;
    assert_eq!(
        unknown.text(),
        "{\n  \"error\": {\n    \"code\": 404,\n    \"message\": \"Model is not found: models/invalid-model for api version v1beta\",\n    \"status\": \"NOT_FOUND\"\n  }\n}\n"
    );
}

#[tokio::test]
async fn the_list_comes_in_pages() {
    let mut builder = FakeGemini::builder().key(KEY);
    for number in 0..40 {
        builder = builder.model(Model::new(&format!("odd-{number}"), Kind::Other));
    }
    let gemini = start(builder).await;
    let list = async |query: &str| {
        let list = native(&gemini, &format!("models{query}"), "").await.json();
        let names: Vec<String> = list["models"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|model| model["name"].to_string())
            .collect();
        let token = list["nextPageToken"].as_str().map(str::to_owned);
        (names, token)
    };
    let (all, none) = list("?pageSize=1000").await;
    assert_eq!((all.len(), none), (61, None));
    let mut paged = Vec::new();
    let mut query = "?pageSize=20".to_owned();
    let mut pages = Vec::new();
    loop {
        let (names, token) = list(&query).await;
        pages.push(names.len());
        paged.extend(names);
        match token {
            Some(token) => query = format!("?pageSize=20&pageToken={token}"),
            None => break,
        }
    }
    assert_eq!((pages, paged), (vec![20, 20, 20, 1], all));
    for query in ["", "?pageSize=0", "?pageToken="] {
        assert_eq!(list(query).await.0.len(), 50, "{query}");
    }
    assert_eq!(list("?pageSize=61").await.1, None);
    for (query, message) in [
        ("pageSize=-1", "Request contains an invalid argument."),
        (
            "pageSize=all",
            "Invalid value at 'page_size' (TYPE_INT32), \"all\"",
        ),
        ("pageToken=odd", "Request contains an invalid argument."),
    ] {
        let refused = native(&gemini, &format!("models?{query}"), "").await;
        assert_eq!(refused.status(), 400, "{query}");
        assert_eq!(refused.json()["error"]["message"], message);
    }
}

#[tokio::test]
async fn of_a_model_that_nothing_is_known_of_nothing_is_said() {
    let builder = FakeGemini::builder().key(KEY);
    let gemini = start(builder.model(Model::new("odd", Kind::Other))).await;
    let odd = native(&gemini, "models/odd", "").await;
    assert_eq!(odd.text(), "{\n  \"name\": \"models/odd\"\n}\n");
}
