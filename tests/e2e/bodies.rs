//! Bodies of any size pass unchanged and in bounded memory.

use crate::support::{Answer, Client, Setup, Stream, TOKEN, TestApp, key};
use bytes::Bytes;
use fake_gemini::{Call, Operation, Reply, Surface, ToolCall};
use http::Method;
use std::time::Duration;

const MIB: usize = 1024 * 1024;

/// Reads and discards a body. Returns its length, and whether it consists only of `byte`.
async fn length(mut stream: Stream, byte: u8) -> (usize, bool) {
    let (mut length, mut same) = (0, true);
    while let Some(chunk) = stream.chunk().await {
        length += chunk.len();
        same &= chunk.iter().all(|other| *other == byte);
    }
    (length, same)
}

#[tokio::test]
async fn streams_a_file_of_200_mib_in_bounded_memory() {
    let app = Setup::keys(1).alone().start().await;
    let chunk = Bytes::from(vec![7; MIB]);
    app.client.get("/healthz").send().await;
    let path = "/v1beta/files/film:download?alt=media";
    let get = || app.client.get(path).google();
    // Warm up, so that the first megabytes do not count as growth.
    app.script(Reply::raw_chunks(200, "video/mp4", vec![chunk.clone(); 4]));
    assert_eq!(length(get().open().await, 7).await, (4 * MIB, true));
    let before = app.peak_memory();
    assert!(before > 0);
    app.script(Reply::raw_chunks(200, "video/mp4", vec![chunk; 200]));
    let stream = get().open().await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.headers["content-type"], "video/mp4");
    assert_eq!(length(stream, 7).await, (200 * MIB, true));
    let grown = app.peak_memory() - before;
    assert!(grown < 64 * MIB as u64, "{} MiB more", grown / MIB as u64);
    assert_eq!(app.log_rows("outcome"), ["success", "success"]);
}

#[tokio::test]
async fn passes_an_image_of_30_mib() {
    let app = Setup::keys(1).start().await;
    let image = "A".repeat(30 * MIB);
    let part = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{image}"}}}}]}},"finishReason":"STOP"}}]}}"#
    );
    let event = format!("data: {part}\r\n\r\n");
    for (method, kind, body) in [
        ("generateContent", "application/json", &part),
        ("streamGenerateContent?alt=sse", "text/event-stream", &event),
    ] {
        // Chunks end at arbitrary positions.
        let chunks = body.as_bytes().chunks(999_983).map(Bytes::copy_from_slice);
        app.script(Reply::raw_chunks(200, kind, chunks));
        let path = format!("/v1beta/models/gemini-2.5-flash-image:{method}");
        let prompt = r#"{"contents":[{"parts":[{"text":"a cat"}]}]}"#;
        let answer = app.google(Method::POST, &path, prompt).await;
        assert_eq!(answer.status, 200, "{path}");
        let (length, expected) = (answer.body.len(), body.len());
        assert!(answer.body == *body, "{path}: {length} of {expected} bytes");
    }
    assert_eq!(app.log_rows("outcome"), ["success", "success"]);
}

// Typical and unusual requests of clients.
const CHATS: [&str; 6] = [
    r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hello"}]}"#,
    " {\n\t\"messages\" : [ {\"content\":\"h\\u00e9 \u{1F600}\",\"role\":\"user\"} ],\r\n \"temperature\":1.0e0,\"model\":\"models/gemini-2.5-flash\"} ",
    r#"{"model":"gemini-2.5-flash","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hello"}]}"#,
    r#"{"model":"gemini-2.5-flash","stream":true,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"messages":[{"role":"user","content":"Use tools"}]}"#,
    r#"{"model":"gemini-2.5-flash","seed":1,"messages":[{"role":"user","content":"Hello"}]}"#,
    r#"{"model":"gemini-9","messages":[{"role":"user","content":"Hello"}]}"#,
];
const EMBEDDINGS: [&str; 2] = [
    r#"{"input":["a","b"],"model":"gemini-embedding-001","encoding_format":"base64"}"#,
    r#"{"input":[],"model":"gemini-embedding-001"}"#,
];
const CONTENTS: &str = r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#;
const TOOLS: &str = r#"{"contents":[{"parts":[{"text":"Use tools"}]}],"tools":[]}"#;
const NATIVE: [(&str, &str); 5] = [
    ("generateContent", CONTENTS),
    ("streamGenerateContent?alt=sse", CONTENTS),
    ("streamGenerateContent", TOOLS),
    ("countTokens", CONTENTS),
    ("generateContent", r#"{"contents":"nonsense"}"#),
];

/// The fake's reply, which is the same for direct calls and those through the pool.
fn play(call: &Call) -> Reply {
    if String::from_utf8_lossy(&call.body).contains("Use tools") {
        let calls = ["f", "f"].map(|name| ToolCall::new(name, "{}").id(""));
        return Reply::answer(fake_gemini::Answer::tool_calls(calls));
    }
    Reply::answer(fake_gemini::Answer::words("Hello from the other side")).gap(Duration::ZERO)
}

/// An answer without ids and times, which differ between calls.
fn comparable(answer: &Answer) -> (u16, Option<String>, String) {
    let mut body = answer.body.clone();
    let names = [
        r#""id":""#,
        r#""responseId":""#,
        r#""responseId": ""#,
        r#""created":"#,
    ];
    for name in names {
        let mut from = 0;
        while let Some(at) = body[from..].find(name).map(|at| from + at + name.len()) {
            let end = body[at..].find(['"', ',', '}']);
            let end = end.map_or(body.len(), |end| at + end);
            body.replace_range(at..end, "");
            from = at;
        }
    }
    let kind = answer.header("content-type").map(str::to_owned);
    (answer.status, kind, body)
}

#[tokio::test]
async fn without_repair_bytes_pass_unchanged() {
    let setup = Setup::with(1, &[("repair", "false")]);
    let app = setup.gemini(|gemini| gemini.default_reply(play));
    let app = app.start().await;
    let chats = CHATS.map(|body| ("chat/completions", body));
    let embeddings = EMBEDDINGS.map(|body| ("embeddings", body));
    let model = [("models/gemini-2.5-flash", "")];
    for (path, body) in chats.into_iter().chain(embeddings).chain(model) {
        let direct = format!("/v1beta/openai/{path}");
        let bearer = |token| ("authorization", format!("Bearer {token}"));
        assert_same(&app, &direct, &format!("/v1/{path}"), body, bearer).await;
    }
    for (method, body) in NATIVE {
        let path = format!("/v1beta/models/gemini-2.5-flash:{method}");
        assert_same(&app, &path, &path, body, |token| ("x-goog-api-key", token)).await;
    }
}

/// Checks that an answer through the pool is the direct one, and that the upstream receives the
/// same.
async fn assert_same(
    app: &TestApp,
    direct_path: &str,
    pool_path: &str,
    body: &str,
    credential: impl Fn(String) -> (&'static str, String),
) {
    let method = if body.is_empty() {
        Method::GET
    } else {
        Method::POST
    };
    let send = async |client: &Client, path: &str, token: String| {
        let (name, value) = credential(token);
        let request = client.request(method.clone(), path).body(body);
        request.header(name, &value).send().await
    };
    let upstream = Client::of_upstream(app.gemini.address());
    let direct = send(&upstream, direct_path, key(1)).await;
    let through = send(&app.client, pool_path, TOKEN.to_owned()).await;
    let (mut expected, mut seen) = (comparable(&direct), comparable(&through));
    if expected.0 >= 400 {
        // The content types of errors may differ.
        (expected.1, seen.1) = (None, None);
    }
    assert_eq!(seen, expected, "{pool_path} {body}");
    let calls = app.gemini.calls();
    let [.., first, second] = calls.as_slice() else {
        panic!("two calls")
    };
    assert_eq!(first.body, second.body, "{pool_path}");
    assert_eq!(first.method, second.method);
    assert_eq!(first.path, second.path);
    assert_eq!(first.query, second.query);
    let content_type = |call: &Call| call.headers.get("content-type").cloned();
    assert_eq!(content_type(first), content_type(second));
    assert_eq!(first.credentials, second.credentials);
    assert_ne!(first.surface, None::<Surface>);
    assert_ne!(first.operation, None::<Operation>);
}
