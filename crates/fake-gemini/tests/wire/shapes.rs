//! The shapes of answers that changed with models and years, to the byte.

use crate::support::{KEY, STREAM, call, chat, chat_with, contents, gemini, native, question};
use fake_gemini::{Answer, CallIndex, FakeGemini, Finish, Reply, ToolCall};

const USAGE: &str = r#","stream":true,"stream_options":{"include_usage":true}"#;

async fn said(gemini: &FakeGemini, answer: &Answer, more: &str) -> String {
    gemini.script(KEY, Reply::answer(answer.clone()));
    chat(gemini, more).await.text().to_owned()
}

/// A stream's events, without the closing one, which is checked.
async fn streamed(answer: &Answer, more: &str) -> Vec<String> {
    let text = said(&gemini().await, answer, more).await;
    let events = text.strip_suffix("data: [DONE]\n\n").unwrap();
    events.split_terminator("\n\n").map(str::to_owned).collect()
}

#[tokio::test]
async fn thoughts_are_flagged_text_between_tags() {
    let answer = Answer::text("Hi")
        .thoughts(["**Defining the Greeting**\n\n", "Short."])
        .usage(4, 1)
        .thinking(30);
    assert_eq!(
        streamed(&answer.clone().without_id(), STREAM).await,
        [
            r#"data: {"choices":[{"delta":{"content":"<thought>**Defining the Greeting**\n\n","extra_content":{"google":{"thought":true}},"role":"assistant"},"index":0}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion.chunk"}"#,
            r#"data: {"choices":[{"delta":{"content":"Short.","extra_content":{"google":{"thought":true}},"role":"assistant"},"index":0}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion.chunk"}"#,
            r#"data: {"choices":[{"delta":{"content":"</thought>Hi","role":"assistant"},"finish_reason":"stop","index":0}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion.chunk"}"#,
        ]
    );
    assert_eq!(
        said(&gemini().await, &answer, "").await,
        r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"<thought>**Defining the Greeting**\n\nShort.</thought>Hi","extra_content":{"google":{"thought":true}},"role":"assistant"}}],"created":1800000000,"id":"v2cH7lDqgI0XWuhqmn45PV","model":"gemini-2.5-flash","object":"chat.completion","usage":{"completion_tokens":1,"prompt_tokens":4,"total_tokens":35}}"#
    );
}

#[tokio::test]
async fn thoughts_before_tool_calls_end_in_an_event_of_their_own() {
    let call = Answer::tool_call("f", "{}").without_id();
    let events = streamed(&call.thoughts(["Hm."]), STREAM).await;
    let deltas = [
        r#"data: {"choices":[{"delta":{"content":"<thought>Hm.","extra_content":{"google":{"thought":true}},"role":"assistant"},"index":0}]"#,
        r#"data: {"choices":[{"delta":{"content":"</thought>","role":"assistant"},"index":0}]"#,
        r#"data: {"choices":[{"delta":{"role":"assistant","tool_calls":[{"#,
    ];
    assert_eq!(events.len(), deltas.len());
    for (event, delta) in events.iter().zip(deltas) {
        assert!(event.starts_with(delta), "{event}");
    }
    let alone = streamed(&Answer::empty().thoughts(["Hm."]), STREAM).await;
    assert!(
        alone[1].contains(
            r#"{"delta":{"content":"</thought>","role":"assistant"},"finish_reason":"stop""#
        ),
        "{alone:?}"
    );
}

#[tokio::test]
async fn native_thoughts_are_parts_of_their_own() {
    let gemini = gemini().await;
    let answer = Answer::pieces(["H", "i"]).thoughts(["Hm", "."]);
    gemini.script(KEY, Reply::answer(answer.clone()));
    let path = "models/gemini-2.5-flash:streamGenerateContent?alt=sse";
    let stream = native(&gemini, path, &contents()).await;
    for part in [
        r#"{"parts": [{"text": "Hm","thought": true}],"role": "model"}"#,
        r#"{"parts": [{"text": ".","thought": true}],"role": "model"}"#,
        r#"{"parts": [{"text": "H"}],"role": "model"}"#,
    ] {
        assert!(stream.text().contains(part), "{}", stream.text());
    }
    gemini.script(KEY, Reply::answer(answer));
    let path = "models/gemini-2.5-flash:generateContent";
    let whole = native(&gemini, path, &contents()).await.json();
    assert_eq!(
        whole["candidates"][0]["content"]["parts"].to_string(),
        r#"[{"text":"Hm.","thought":true},{"text":"Hi"}]"#
    );
}

#[tokio::test]
async fn a_message_of_2025_has_its_signature_twice() {
    let answer = Answer::tool_calls([ToolCall::new("get_current_time", "{}").id("")])
        .signature("AVSo")
        .usage(35, 12)
        .thinking(62);
    assert_eq!(
        said(&gemini().await, &answer, "").await,
        r#"{"choices":[{"finish_reason":"tool_calls","index":0,"message":{"extra_content":{"google":{"thought":true,"thought_signature":"AVSo"}},"role":"assistant","thought_signature":"AVSo","tool_calls":[{"function":{"arguments":"{}","name":"get_current_time"},"id":"","type":"function"}]}}],"created":1800000000,"id":"v2cH7lDqgI0XWuhqmn45PV","model":"gemini-2.5-flash","object":"chat.completion","usage":{"completion_tokens":12,"prompt_tokens":35,"total_tokens":109}}"#
    );
    let signed = r#"{"delta":{"extra_content":{"google":{"thought":true,"thought_signature":"AVSo"}},"role":"assistant","thought_signature":"AVSo","tool_calls":[{"#;
    let calls = [ToolCall::new("f", "{}"), ToolCall::new("g", "{}")];
    let events = streamed(&Answer::tool_calls(calls).signature("AVSo"), STREAM).await;
    assert!(events[0].contains(signed), "{events:?}");
    assert!(!events[1].contains("AVSo"), "{events:?}");
    let events = streamed(&Answer::pieces(["a", "b"]).signature("AVSo"), STREAM).await;
    assert!(!events[0].contains("AVSo"), "{events:?}");
    assert_eq!(events[1].matches("AVSo").count(), 2, "{events:?}");
}

#[tokio::test]
async fn a_signature_may_come_alone() {
    let answer = Answer::text("Hi").signature_event("AVSo").without_id();
    assert_eq!(
        streamed(&answer.clone().finish_apart(), STREAM).await,
        [
            r#"data: {"choices":[{"delta":{"content":"Hi","role":"assistant"},"index":0}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion.chunk"}"#,
            r#"data: {"choices":[{"delta":{"extra_content":{"google":{"thought_signature":"AVSo"}},"role":"assistant"},"index":0}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion.chunk"}"#,
            r#"data: {"choices":[{"delta":{"role":"assistant"},"finish_reason":"stop","index":0}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion.chunk"}"#,
        ]
    );
    let last = streamed(&answer, STREAM).await.remove(1);
    assert!(
        last.contains(r#""role":"assistant"},"finish_reason":"stop","#),
        "{last}"
    );
    let whole = said(&gemini().await, &answer, "").await;
    assert!(
        whole.contains(r#""message":{"content":"Hi","extra_content":{"google":{"thought_signature":"AVSo"}},"role":"assistant"}"#),
        "{whole}"
    );
}

#[tokio::test]
async fn tool_calls_of_a_stream_have_the_index_and_the_ids_that_are_wanted() {
    let calls = ["f", "g"].map(|name| ToolCall::new(name, "{}").id("same"));
    let answer = Answer::tool_calls(calls).finish_in_streams(Finish::Stop);
    for (index, expected) in [
        (CallIndex::Missing, ["", ""]),
        (CallIndex::Zero, [r#""index":0,"#, r#""index":0,"#]),
        (CallIndex::Counted, [r#""index":0,"#, r#""index":1,"#]),
    ] {
        let events = streamed(&answer.clone().call_index(index), STREAM).await;
        for ((event, name), index) in events.iter().zip(["f", "g"]).zip(expected) {
            let call = format!(
                r#"{{"delta":{{"role":"assistant","tool_calls":[{{"function":{{"arguments":"{{}}","name":"{name}"}},"id":"same",{index}"type":"function"}}]}}"#
            );
            assert!(event.contains(&call), "{event}");
        }
        assert_eq!(events.len(), 2);
        assert!(
            events[1].contains(r#""finish_reason":"stop""#),
            "{events:?}"
        );
    }
    let together = answer.call_index(CallIndex::Counted).calls_together();
    let events = streamed(&together, STREAM).await;
    assert_eq!(events.len(), 1);
    assert!(
        events[0].contains(r#""tool_calls":[{"function":{"arguments":"{}","name":"f"},"id":"same","index":0,"type":"function"},{"function":{"arguments":"{}","name":"g"},"id":"same","index":1,"type":"function"}]"#),
        "{events:?}"
    );
    let whole = said(&gemini().await, &together, "").await;
    assert_eq!(
        whole.matches(r#""index""#).count(),
        1,
        "that of the choice: {whole}"
    );
}

#[tokio::test]
async fn chunks_may_lack_all_that_says_what_they_are() {
    let answer = Answer::text("Hi")
        .signature_event("AVSo")
        .finish_apart()
        .without_id()
        .without_created()
        .without_object()
        .without_role();
    assert_eq!(
        streamed(&answer, STREAM).await,
        [
            r#"data: {"choices":[{"delta":{"content":"Hi"},"index":0}],"model":"gemini-2.5-flash"}"#,
            r#"data: {"choices":[{"delta":{"extra_content":{"google":{"thought_signature":"AVSo"}}},"index":0}],"model":"gemini-2.5-flash"}"#,
            r#"data: {"choices":[{"delta":{},"finish_reason":"stop","index":0}],"model":"gemini-2.5-flash"}"#,
        ]
    );
}

#[tokio::test]
async fn native_signatures_are_on_parts() {
    let gemini = gemini().await;
    let calls = [ToolCall::new("f", "{}"), ToolCall::new("g", "{}")];
    for (answer, parts) in [
        (
            Answer::tool_calls(calls).signature("AVSo"),
            r#"[{"functionCall":{"args":{},"name":"f"},"thoughtSignature":"AVSo"},{"functionCall":{"args":{},"name":"g"}}]"#,
        ),
        (
            Answer::pieces(["a", "b"]).signature("AVSo"),
            r#"[{"text":"ab","thoughtSignature":"AVSo"}]"#,
        ),
        (
            Answer::pieces(["a", "b"]).signature_event("AVSo"),
            r#"[{"text":"ab","thoughtSignature":"AVSo"}]"#,
        ),
        (
            Answer::empty().signature_event("AVSo"),
            r#"[{"text":"","thoughtSignature":"AVSo"}]"#,
        ),
    ] {
        gemini.script(KEY, Reply::answer(answer));
        let path = "models/gemini-2.5-flash:generateContent";
        let whole = native(&gemini, path, &contents()).await.json();
        let content = &whole["candidates"][0]["content"];
        assert_eq!(content["parts"].to_string(), parts);
    }
}

#[tokio::test]
async fn the_finish_reason_may_follow_the_tool_calls() {
    let gemini = gemini().await;
    let call = ToolCall::new("read", r#"{"offset":1}"#).id("call_297140");
    let answer = Answer::tool_calls([call.signature("EpwI")])
        .usage(3, 5)
        .finish_apart()
        .finish_in_streams(Finish::Stop)
        .without_id()
        .without_created();
    gemini.script(KEY, Reply::answer(answer));
    let body = question(USAGE).replace("gemini-2.5-flash", "gemini-3.8-flash");
    assert_eq!(
        chat_with(&gemini, KEY, &body).await.text(),
        concat!(
            r#"data: {"choices":[{"delta":{"role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"EpwI"}},"function":{"arguments":"{\"offset\":1}","name":"read"},"id":"call_297140","type":"function"}]},"index":0}],"model":"gemini-3.8-flash","object":"chat.completion.chunk","usage":{"completion_tokens":0,"prompt_tokens":3,"total_tokens":3}}"#,
            "\n\n",
            r#"data: {"choices":[{"delta":{"role":"assistant"},"finish_reason":"stop","index":0}],"model":"gemini-3.8-flash","object":"chat.completion.chunk","usage":{"completion_tokens":5,"prompt_tokens":3,"total_tokens":8}}"#,
            "\n\ndata: [DONE]\n\n"
        )
    );
}

#[tokio::test]
async fn a_stream_may_finish_for_another_reason_than_a_whole_answer() {
    let gemini = gemini().await;
    let answer = Answer::tool_call("f", "{}").finish_in_streams(Finish::Stop);
    let whole = said(&gemini, &answer, "").await;
    assert!(whole.contains(r#""finish_reason":"tool_calls""#), "{whole}");
    let stream = said(&gemini, &answer, STREAM).await;
    assert!(stream.contains(r#"]},"finish_reason":"stop","#), "{stream}");
    assert_eq!(stream.matches("finish_reason").count(), 1, "{stream}");
}

#[tokio::test]
async fn thinking_is_counted_in_the_last_chunk_alone() {
    let answer = Answer::pieces(["a", "b"]).usage(10, 2).thinking(30);
    let usage: Vec<String> = streamed(&answer, USAGE)
        .await
        .iter()
        .map(|event| event[event.find(r#""usage""#).unwrap()..].to_owned())
        .collect();
    assert_eq!(
        usage,
        [
            r#""usage":{"completion_tokens":0,"prompt_tokens":10,"total_tokens":10}}"#,
            r#""usage":{"completion_tokens":2,"prompt_tokens":10,"total_tokens":42}}"#,
        ]
    );
}

#[tokio::test]
async fn several_choices_come_as_many_as_asked_for() {
    let gemini = gemini().await;
    let answer = Answer::text("four").without_id();
    assert_eq!(
        said(&gemini, &answer, r#","n":2"#).await,
        r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"four","role":"assistant"}},{"finish_reason":"stop","index":1,"message":{"content":"four","role":"assistant"}}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion","usage":{"completion_tokens":2,"prompt_tokens":3,"total_tokens":5}}"#
    );
    assert_eq!(
        streamed(&answer, r#","n":2,"stream":true"#).await,
        [
            r#"data: {"choices":[{"delta":{"content":"four","role":"assistant"},"finish_reason":"stop","index":0},{"delta":{"content":"four","role":"assistant"},"finish_reason":"stop","index":1}],"created":1800000000,"model":"gemini-2.5-flash","object":"chat.completion.chunk"}"#
        ]
    );
}

#[tokio::test]
async fn only_gemini_3_finishes_a_native_stream_apart() {
    let gemini = gemini().await;
    let trailing = r#"data: {"candidates": [{"content": {"parts": [{"text": ""}],"role": "model"},"finishReason": "STOP","index": 0}],"#;
    let together = r#""args": {}}}],"role": "model"},"finishReason": "STOP","index": 0}],"#;
    for (model, answer, last) in [
        ("gemini-2.5-flash", Answer::tool_call("f", "{}"), together),
        (
            "gemini-3-flash-preview",
            Answer::tool_call("f", "{}"),
            trailing,
        ),
        ("gemini-3.8-flash", Answer::tool_call("f", "{}"), trailing),
        (
            "gemini-flash-latest",
            Answer::tool_call("f", "{}"),
            trailing,
        ),
        (
            "gemini-2.5-flash",
            Answer::tool_call("f", "{}").finish_apart(),
            trailing,
        ),
        (
            "gemini-3.8-flash",
            Answer::text("a").finish_in_streams(Finish::MaxTokens),
            r#"{"text": "a"}],"role": "model"},"finishReason": "MAX_TOKENS","#,
        ),
    ] {
        gemini.script(KEY, Reply::answer(answer));
        let path = format!("/v1beta/models/{model}:streamGenerateContent?$alt=sse");
        let key = [("x-goog-api-key", KEY)];
        let stream = call(&gemini, "POST", &path, &key, &contents()).await;
        let content_type = stream.head.get("content-type");
        assert_eq!(content_type, Some("text/event-stream"));
        assert!(stream.text().contains(last), "{model}: {}", stream.text());
        assert_eq!(stream.text().matches("finishReason").count(), 1);
    }
}
