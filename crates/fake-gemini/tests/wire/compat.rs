//! The bytes of the compatible surface.

use crate::support::{Client, KEY, chat, compat, gemini, start};
use fake_gemini::{Answer, FakeGemini, Finish, Reply, ToolCall};

#[tokio::test]
async fn a_whole_answer_is_compact_with_keys_in_order() {
    let gemini = gemini().await;
    gemini.script(
        KEY,
        Reply::answer(Answer::text("Ghostbusters").usage(17, 2).thinking(30)),
    );
    let response = chat(&gemini, "").await;
    assert_eq!(
        response.text(),
        r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"Ghostbusters","role":"assistant"}}],"created":1800000000,"id":"v2cH7lDqgI0XWuhqmn45PV","model":"gemini-2.5-flash","object":"chat.completion","usage":{"completion_tokens":2,"prompt_tokens":17,"total_tokens":49}}"#
    );
}

#[tokio::test]
async fn the_head_has_googles_headers_and_no_others() {
    let gemini = gemini().await;
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[]).await;
    let head = client.head().await;
    let mut names: Vec<&str> = head.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "alt-svc",
            "content-type",
            "date",
            "server",
            "server-timing",
            "transfer-encoding",
            "vary",
            "vary",
            "vary",
            "x-content-type-options",
            "x-frame-options",
            "x-xss-protection",
        ]
    );
    for (name, values) in [
        ("content-type", &["application/json"][..]),
        ("server", &["scaffolding on HTTPServer2"]),
        ("vary", &["Origin", "X-Origin", "Referer"]),
        (
            "alt-svc",
            &["h3=\":443\"; ma=2592000,h3-29=\":443\"; ma=2592000"],
        ),
        ("transfer-encoding", &["chunked"]),
        ("x-content-type-options", &["nosniff"]),
        ("x-frame-options", &["SAMEORIGIN"]),
        ("x-xss-protection", &["0"]),
    ] {
        assert_eq!(head.all(name), values, "{name}");
    }
    assert!(
        head.get("server-timing")
            .is_some_and(|timing| timing.starts_with("gfet4t7; dur="))
    );
}

#[tokio::test]
async fn a_stream_repeats_the_role_and_finishes_in_its_last_chunk() {
    let gemini = gemini().await;
    let hello = Answer::pieces(["Hello", " there", "! How can I help you today?\n"])
        .usage(4, 11)
        .without_id();
    gemini.script(KEY, Reply::answer(hello.clone()));
    let mut client = Client::connect(&gemini).await;
    client
        .chat(
            r#","stream":true,"stream_options":{"include_usage":true}"#,
            &[],
        )
        .await;
    assert_eq!(
        client.head().await.get("content-type"),
        Some("text/event-stream")
    );
    for expected in [
        concat!(
            r#"data: {"choices":[{"delta":{"content":"Hello","role":"assistant"},"index":0}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion.chunk","usage":{"completion_tokens":0,"prompt_tokens":4,"total_tokens":4}}"#,
            "\n\n"
        ),
        concat!(
            r#"data: {"choices":[{"delta":{"content":" there","role":"assistant"},"index":0}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion.chunk","usage":{"completion_tokens":0,"prompt_tokens":4,"total_tokens":4}}"#,
            "\n\n"
        ),
        concat!(
            r#"data: {"choices":[{"delta":{"content":"! How can I help you today?\n","role":"assistant"},"finish_reason":"stop","index":0}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion.chunk","usage":{"completion_tokens":11,"prompt_tokens":4,"total_tokens":15}}"#,
            "\n\n"
        ),
        "data: [DONE]\n\n",
    ] {
        assert_eq!(client.text_chunk().await.as_deref(), Some(expected));
    }
    assert_eq!(client.chunk().await, None);

    gemini.script(KEY, Reply::answer(hello.clone().usage_in_last_event_only()));
    client
        .chat(
            r#","stream":true,"stream_options":{"include_usage":true}"#,
            &[],
        )
        .await;
    let late = client.response().await;
    assert_eq!(late.text().matches("usage").count(), 1);

    gemini.script(KEY, Reply::answer(hello));
    let silent = chat(&gemini, r#","stream":true"#).await;
    assert!(!silent.text().contains("usage"), "{}", silent.text());
}

#[tokio::test]
async fn the_default_answer_has_an_id_and_three_pieces() {
    let gemini = gemini().await;
    let response = chat(&gemini, r#","stream":true"#).await;
    let text = response.text();
    assert_eq!(text.matches(r#""id":"v2cH7lDqgI0XWuhqmn45PV""#).count(), 3);
    assert!(text.ends_with("\n\ndata: [DONE]\n\n"), "{text}");
    let whole = chat(&gemini, "").await;
    assert_eq!(
        whole.json()["choices"][0]["message"]["content"],
        "This is a made-up answer of a fake Gemini."
    );
    assert_ne!(whole.json()["id"], "v2cH7lDqgI0XWuhqmn45PV");
}

#[tokio::test]
async fn tool_calls_have_no_index_and_come_one_to_a_chunk() {
    let gemini = gemini().await;
    let answer = Answer::tool_calls([
        ToolCall::new("glob", r#"{"pattern":"*"}"#).id(""),
        ToolCall::new("read", "{}")
            .id("call_297140")
            .signature("AVSo"),
    ])
    .usage(12, 5)
    .without_id();
    gemini.script(KEY, Reply::answer(answer.clone()));
    assert_eq!(
        chat(&gemini, r#","stream":true"#).await.text(),
        concat!(
            r#"data: {"choices":[{"delta":{"role":"assistant","tool_calls":[{"function":{"arguments":"{\"pattern\":\"*\"}","name":"glob"},"id":"","type":"function"}]},"index":0}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion.chunk"}"#,
            "\n\n",
            r#"data: {"choices":[{"delta":{"role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"AVSo"}},"function":{"arguments":"{}","name":"read"},"id":"call_297140","type":"function"}]},"finish_reason":"tool_calls","index":0}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion.chunk"}"#,
            "\n\ndata: [DONE]\n\n",
        )
    );
    gemini.script(KEY, Reply::answer(answer));
    assert_eq!(
        chat(&gemini, "").await.text(),
        r#"{"choices":[{"finish_reason":"tool_calls","index":0,"message":{"role":"assistant","tool_calls":[{"function":{"arguments":"{\"pattern\":\"*\"}","name":"glob"},"id":"","type":"function"},{"extra_content":{"google":{"thought_signature":"AVSo"}},"function":{"arguments":"{}","name":"read"},"id":"call_297140","type":"function"}]}}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion","usage":{"completion_tokens":5,"prompt_tokens":12,"total_tokens":17}}"#
    );

    // As in 2025: the finish reason of a tool call was that of a text.
    let older = Answer::tool_call("f", "{}").finish(Finish::Stop);
    gemini.script(KEY, Reply::answer(older));
    let json = chat(&gemini, "").await.json();
    let choice = &json["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    let id = choice["message"]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("function-call-"), "{id}");
}

#[tokio::test]
async fn an_empty_answer_has_a_role_and_no_content() {
    let gemini = gemini().await;
    gemini.script(
        KEY,
        Reply::answer(Answer::empty().usage(5051, 0).without_id()),
    );
    assert_eq!(
        chat(
            &gemini,
            r#","stream":true,"stream_options":{"include_usage":true}"#
        )
        .await
        .text(),
        concat!(
            r#"data: {"choices":[{"delta":{"role":"assistant"},"finish_reason":"stop","index":0}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion.chunk","usage":{"completion_tokens":0,"prompt_tokens":5051,"total_tokens":5051}}"#,
            "\n\ndata: [DONE]\n\n"
        )
    );
}

#[tokio::test]
async fn filters_limits_and_caches_show_in_the_answer() {
    let gemini = gemini().await;
    for (answer, finish) in [
        (Answer::blocked(), "content_filter"),
        (Answer::prompt_blocked(), "content_filter"),
        (Answer::text("cut").finish(Finish::MaxTokens), "length"),
        (
            Answer::empty().finish(Finish::Other("PROHIBITED_CONTENT".into())),
            "PROHIBITED_CONTENT",
        ),
    ] {
        gemini.script(KEY, Reply::answer(answer.clone()));
        let json = chat(&gemini, "").await.json();
        assert_eq!(json["choices"][0]["finish_reason"], finish, "{answer:?}");
    }
    gemini.script(
        KEY,
        Reply::answer(Answer::text("x").usage(4634, 19).cached(4088)),
    );
    assert!(chat(&gemini, "").await.text().ends_with(
        r#""usage":{"completion_tokens":19,"prompt_tokens":4634,"prompt_tokens_details":{"cached_tokens":4088},"total_tokens":4653}}"#
    ));
}

#[tokio::test]
async fn the_reply_may_stream_or_not_against_the_request() {
    let gemini = gemini().await;
    gemini.script(KEY, Reply::ok().as_stream());
    let stream = chat(&gemini, "").await;
    assert_eq!(stream.head.get("content-type"), Some("text/event-stream"));
    gemini.script(KEY, Reply::ok().as_whole());
    let whole = chat(&gemini, r#","stream":true"#).await;
    assert_eq!(whole.head.get("content-type"), Some("application/json"));
}

#[tokio::test]
async fn models_are_listed_with_their_prefix() {
    let gemini = gemini().await;
    let list = compat(&gemini, "models", "").await;
    assert!(
        list.text().starts_with(r#"{"object":"list","data":[{"id":"models/gemini-2.5-flash","object":"model","owned_by":"google","display_name":"Gemini 2.5 Flash"},"#),
        "{}",
        list.text()
    );
    assert!(
        list.text()
            .ends_with(r#"{"id":"models/aqa","object":"model","owned_by":"google"}]}"#)
    );
    for id in [
        "gemini-embedding-2",
        "models/gemini-embedding-2",
        "models%2Fgemini-embedding-2",
    ] {
        let one = compat(&gemini, &format!("models/{id}"), "").await;
        assert_eq!(
            one.text(),
            r#"{"id":"models/gemini-embedding-2","object":"model","owned_by":"google"}"#,
            "{id}"
        );
    }
    let unknown = compat(&gemini, "models/gpt-4o", "").await;
    assert_eq!(
        (unknown.status(), &unknown.json()[0]["error"]["message"]),
        (
            404,
            &"Model is not found: models/gpt-4o for api version v1beta".into()
        )
    );
}

#[tokio::test]
async fn embeddings_are_numbers_of_the_length_asked_for() {
    let plain = gemini().await;
    let short = compat(
        &plain,
        "embeddings",
        r#"{"model":"gemini-embedding-001","input":"x","dimensions":2,"encoding_format":"base64"}"#,
    )
    .await;
    let numbers = short.json()["data"][0]["embedding"].to_string();
    assert_eq!(
        short.text(),
        format!(
            r#"{{"data":[{{"embedding":{numbers},"index":0,"object":"embedding"}}],"model":"models/gemini-embedding-001","object":"list"}}"#
        )
    );
    let with_usage = start(FakeGemini::builder().key(KEY).embedding_usage()).await;
    let many = compat(
        &with_usage,
        "embeddings",
        r#"{"model":"models/gemini-embedding-001","input":["four","eight bytes"]}"#,
    )
    .await
    .json();
    assert_eq!(many["data"][1]["index"], 1);
    assert_eq!(many["data"][1]["embedding"].as_array().unwrap().len(), 3072);
    assert_eq!(
        many["usage"].to_string(),
        r#"{"prompt_tokens":4,"total_tokens":4}"#
    );
}
