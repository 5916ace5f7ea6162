//! Successes and errors of each surface, to the byte.

use crate::support::{CONTENTS, Client, GENERATE, KEY, STREAM, chat, ended, gemini, native, start};
use fake_gemini::{Answer, Break, Ended, FakeGemini, Framing, Reply, ToolCall, errors};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::io::{Read, Write};

const EVENTS: &str = "/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse";
const ARRAY: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
const GZIP: (&str, &str) = ("accept-encoding", "gzip, deflate");

#[tokio::test]
async fn chat_completion_is_compact_with_sorted_keys() {
    let gemini = gemini().await;
    let answer = Answer::text("Ghostbusters").usage(17, 2).thinking(30);
    gemini.script(KEY, Reply::answer(answer));
    let response = chat(&gemini, "").await;
    assert_eq!(
        response.text(),
        concat!(
            r#"{"choices":[{"finish_reason":"stop","index":0,"#,
            r#""message":{"content":"Ghostbusters","role":"assistant"}}],"created":1800000000,"#,
            r#""id":"v0Psbqh8DmJ27vZrVGksXN","model":"gemini-2.5-flash","#,
            r#""object":"chat.completion","#,
            r#""usage":{"completion_tokens":2,"prompt_tokens":17,"total_tokens":49}}"#
        )
    );
    assert_eq!(response.head.get("content-type"), Some("application/json"));
    assert_eq!(
        response.head.get("server"),
        Some("scaffolding on HTTPServer2")
    );
    let timing = response.head.get("server-timing").unwrap();
    assert!(timing.starts_with("gfet4t7; dur="), "{timing}");
}

#[tokio::test]
async fn chat_stream_has_google_quirks() {
    let gemini = gemini().await;
    let call = ToolCall::new("f", "{}").id("").signature("c2ln");
    let answer = Answer::tool_calls([call]).finish_apart().usage(17, 2);
    gemini.script(KEY, Reply::answer(answer));
    let more = r#","stream":true,"stream_options":{"include_usage":true}"#;
    let response = chat(&gemini, more).await;
    let end = concat!(
        r#""created":1800000000,"id":"v0Psbqh8DmJ27vZrVGksXN","model":"gemini-2.5-flash","#,
        r#""object":"chat.completion.chunk","usage":"#
    );
    let called = concat!(
        r#"data: {"choices":[{"delta":{"role":"assistant","tool_calls":[{"#,
        r#""extra_content":{"google":{"thought_signature":"c2ln"}},"#,
        r#""function":{"arguments":"{}","name":"f"},"id":"","type":"function"}]},"index":0}],"#
    );
    let finish = concat!(
        r#"data: {"choices":[{"delta":{"role":"assistant"},"finish_reason":"tool_calls","#,
        r#""index":0}],"#
    );
    let usage = |completion, total| {
        format!(
            r#"{{"completion_tokens":{completion},"prompt_tokens":17,"total_tokens":{total}}}}}"#
        )
    };
    assert_eq!(
        response.text(),
        format!(
            "{called}{end}{}\n\n{finish}{end}{}\n\ndata: [DONE]\n\n",
            usage(0, 17),
            usage(2, 19)
        )
    );
}

#[tokio::test]
async fn native_answer_is_pretty_printed() {
    let gemini = gemini().await;
    let answer = Answer::text("Hello").usage(18, 80).thinking(35);
    gemini.script(KEY, Reply::answer(answer));
    let response = native(&gemini, KEY, "POST", GENERATE, CONTENTS).await;
    let expected = json!({
        "candidates": [{
            "content": {"parts": [{"text": "Hello"}], "role": "model"},
            "finishReason": "STOP",
            "index": 0,
        }],
        "modelVersion": "gemini-2.5-flash",
        "responseId": "v0Psbqh8DmJ27vZrVGksXN",
        "usageMetadata": {
            "candidatesTokenCount": 80,
            "promptTokenCount": 18,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 18}],
            "serviceTier": "standard",
            "thoughtsTokenCount": 35,
            "totalTokenCount": 133,
        },
    });
    assert_eq!(response.text(), format!("{expected:#}\n"));
}

#[tokio::test]
async fn native_events_end_in_crlf_and_finish_after_tool_calls() {
    let gemini = gemini().await;
    let call = ToolCall::new("get_country", r#"{"code":"PT"}"#).signature("EpwI");
    gemini.script(KEY, Reply::answer(Answer::tool_calls([call])));
    let response = native(&gemini, KEY, "POST", EVENTS, CONTENTS).await;
    assert_eq!(response.head.get("content-type"), Some("text/event-stream"));
    let events: Vec<&str> = response.text().split_terminator("\r\n\r\n").collect();
    for (event, start) in events.iter().zip([
        concat!(
            r#"data: {"candidates": [{"content": {"parts": [{"functionCall": {"#,
            r#""args": {"code": "PT"},"name": "get_country"},"thoughtSignature": "EpwI"}],"#,
            r#""role": "model"},"index": 0}],"#
        ),
        concat!(
            r#"data: {"candidates": [{"content": {"parts": [{"text": ""}],"role": "model"},"#,
            r#""finishReason": "STOP","index": 0}],"#
        ),
    ]) {
        assert!(event.starts_with(start), "{event}");
    }
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn native_stream_without_sse_is_a_json_array() {
    let gemini = gemini().await;
    gemini.script(KEY, Reply::answer(Answer::words("a b")));
    let response = native(&gemini, KEY, "POST", ARRAY, CONTENTS).await;
    let text = response.text();
    assert!(
        text.starts_with("[{\n  \"candidates\": [\n    {\n"),
        "{text}"
    );
    assert!(text.contains("\n}\n,\r\n{\n  \"candidates\": ["), "{text}");
    assert!(text.ends_with("\n}\n]\n"), "{text}");
    assert_eq!(response.json().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn errors_are_framed_by_surface() {
    let gemini = gemini().await;
    let object = errors::resource_exhausted().pretty();
    let array = format!("[{object}]\n");
    for more in ["", STREAM] {
        gemini.script(KEY, Reply::error(errors::resource_exhausted()));
        let response = chat(&gemini, more).await;
        response.expect(429, &array);
        assert_eq!(
            response.head.get("content-type"),
            Some("application/json; charset=UTF-8")
        );
        assert_eq!(response.head.get("retry-after"), None);
        assert!(response.head.get("content-length").is_some());
    }
    for (path, content_type) in [
        (GENERATE, "application/json; charset=UTF-8"),
        (ARRAY, "application/json; charset=UTF-8"),
        // Not an event, despite the content type.
        (EVENTS, "text/event-stream"),
    ] {
        gemini.script(KEY, Reply::error(errors::resource_exhausted()));
        let response = native(&gemini, KEY, "POST", path, CONTENTS).await;
        response.expect(429, &object);
        assert_eq!(response.head.get("content-type"), Some(content_type));
    }
}

#[tokio::test]
async fn raw_replies_are_sent_unchanged() {
    let gemini = gemini().await;
    gemini.script(KEY, Reply::bare(503));
    let bare = chat(&gemini, "").await;
    assert_eq!(
        (bare.status(), bare.head.get("content-type"), bare.text()),
        (503, None, "")
    );
    let chunks = ["data: {\"a\"", ":1}\n\nda", "ta: [DONE]\n\n"];
    gemini.script(KEY, Reply::raw_chunks(200, "text/event-stream", chunks));
    let mut client = Client::chat(&gemini, "", &[GZIP]).await;
    assert_eq!(client.head().await.get("content-encoding"), None);
    for chunk in chunks {
        assert_eq!(client.text_chunk().await.as_deref(), Some(chunk));
    }
    assert_eq!(client.chunk().await, None);
    let call = ended(&gemini).await;
    assert_eq!((call.ended, call.events_sent), (Ended::Whole, 3));
}

fn unzipped(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn answers_and_errors_are_compressed_if_accepted() {
    let gemini = gemini().await;
    for (reply, start) in [
        (Reply::ok(), r#"{"choices":["#),
        (Reply::error(errors::high_demand()), "[{\n  \"error\": {"),
        (
            Reply::events(5).break_after(2, Break::End),
            r#"{"choices":["#,
        ),
    ] {
        gemini.script(KEY, reply);
        let mut client = Client::chat(&gemini, "", &[GZIP]).await;
        let response = client.response().await;
        assert_eq!(response.head.get("content-encoding"), Some("gzip"));
        let text = unzipped(&response.bytes);
        assert!(text.starts_with(start), "{text}");
    }
    gemini.script(KEY, Reply::ok().cut_at(30, Framing::Length));
    let mut client = Client::chat(&gemini, "", &[GZIP]).await;
    client.head().await;
    let (rest, _) = client.rest().await;
    assert!(rest.starts_with(b"\x1f\x8b") && rest.len() == 30);
}

#[tokio::test]
async fn each_event_of_a_compressed_stream_is_flushed() {
    let gemini = gemini().await;
    let (reply, steps) = Reply::stepped(3);
    gemini.script(KEY, reply);
    let mut client = Client::chat(&gemini, STREAM, &[GZIP]).await;
    client.head().await;
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    for number in 1..=3 {
        steps.release(1);
        decoder.write_all(&client.chunk().await.unwrap()).unwrap();
        decoder.flush().unwrap();
        let event = String::from_utf8(std::mem::take(decoder.get_mut())).unwrap();
        assert!(event.contains(&format!("Piece {number} of 3.")), "{event}");
        assert!(event.ends_with("}\n\n"), "{event}");
    }
    decoder.write_all(&client.chunk().await.unwrap()).unwrap();
    assert_eq!(decoder.finish().unwrap(), b"data: [DONE]\n\n");
}

#[tokio::test]
async fn default_reply_follows_the_request() {
    let gemini = start(
        FakeGemini::builder()
            .key(KEY)
            .default_reply(|call| Reply::answer(Answer::words("Hello you").as_asked(call))),
    )
    .await;
    let city = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": city}}]);
    let tools = format!(r#","tools":{tools}"#);
    let schema = json!({
        "$defs": {"Year": {"type": "integer"}},
        "type": "object",
        "required": ["name", "year"],
        "properties": {
            "name": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            "year": {"$ref": "#/$defs/Year"},
            "more": {"type": "string"},
        },
    });
    let format = json!({"type": "json_schema", "json_schema": {"schema": schema}});
    let schema = format!(r#","response_format":{format}"#);
    let called = chat(&gemini, &tools).await.json();
    let call = &called["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "f");
    assert_eq!(call["function"]["arguments"], r#"{"city":"made up"}"#);
    let said = |answer: Value| {
        let content = &answer["choices"][0]["message"]["content"];
        content.as_str().unwrap().to_owned()
    };
    let value = said(chat(&gemini, &schema).await.json());
    let value: Value = serde_json::from_str(&value).unwrap();
    assert_eq!(value, json!({"name": "made up", "year": 1}));
    assert_eq!(said(chat(&gemini, "").await.json()), "Hello you");
}

#[tokio::test]
async fn default_reply_may_call_only_required_tools() {
    let gemini = start(
        FakeGemini::builder()
            .key(KEY)
            .default_reply(|call| Reply::answer(Answer::words("Hello you").as_required(call))),
    )
    .await;
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (choice, calls) in [("auto", false), ("required", true)] {
        let more = format!(r#","tools":{tools},"tool_choice":"{choice}""#);
        let answer = chat(&gemini, &more).await.json();
        let message = &answer["choices"][0]["message"];
        assert_eq!(message["tool_calls"].is_array(), calls, "{message}");
        assert_eq!(message["content"] == "Hello you", !calls, "{message}");
    }
}
