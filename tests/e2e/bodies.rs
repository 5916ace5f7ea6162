//! Bodies of any size pass unchanged and in bounded memory.

use crate::support::{Answer, Client, Setup, Stream, TOKEN, key};
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
    let get = || {
        app.client
            .get("/v1beta/files/film:download?alt=media")
            .header("x-goog-api-key", TOKEN)
    };
    // Warm up, so that the first megabytes do not count as growth.
    app.gemini.script(
        &key(1),
        Reply::raw_chunks(200, "video/mp4", vec![chunk.clone(); 4]),
    );
    assert_eq!(length(get().open().await, 7).await, (4 * MIB, true));
    let before = app.peak_memory();
    assert!(before > 0);
    app.gemini.script(
        &key(1),
        Reply::raw_chunks(200, "video/mp4", vec![chunk; 200]),
    );
    let stream = get().open().await;
    assert_eq!(
        (
            stream.status,
            stream.headers["content-type"].to_str().unwrap()
        ),
        (200, "video/mp4")
    );
    assert_eq!(length(stream, 7).await, (200 * MIB, true));
    let grown = app.peak_memory() - before;
    assert!(grown < 64 * MIB as u64, "{} MiB more", grown / MIB as u64);
    assert_eq!(
        app.rows("SELECT outcome FROM api_call_logs"),
        ["success", "success"]
    );
}

#[tokio::test]
async fn passes_an_image_of_30_mib() {
    let app = Setup::keys(1).start().await;
    let image = "A".repeat(30 * MIB);
    let part = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{image}"}}}}]}},"finishReason":"STOP"}}]}}"#
    );
    let event = format!("data: {part}\r\n\r\n");
    for (path, kind, body) in [
        (
            "/v1beta/models/gemini-2.5-flash-image:generateContent",
            "application/json",
            &part,
        ),
        (
            "/v1beta/models/gemini-2.5-flash-image:streamGenerateContent?alt=sse",
            "text/event-stream",
            &event,
        ),
    ] {
        // Chunks end at arbitrary positions.
        let chunks: Vec<Bytes> = body
            .as_bytes()
            .chunks(999_983)
            .map(Bytes::copy_from_slice)
            .collect();
        app.gemini
            .script(&key(1), Reply::raw_chunks(200, kind, chunks));
        let answer = app
            .client
            .post(path, r#"{"contents":[{"parts":[{"text":"a cat"}]}]}"#)
            .header("x-goog-api-key", TOKEN)
            .send()
            .await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer.body == *body,
            "{path}: {} of {} bytes",
            answer.body.len(),
            body.len()
        );
    }
    assert_eq!(
        app.rows("SELECT outcome FROM api_call_logs"),
        ["success", "success"]
    );
}

/// Typical and unusual requests of clients.
const REQUESTS: [(Method, &str, &str); 14] = [
    (
        Method::POST,
        "chat/completions",
        r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hello"}]}"#,
    ),
    (
        Method::POST,
        "chat/completions",
        " {\n\t\"messages\" : [ {\"content\":\"h\\u00e9 \u{1F600}\",\"role\":\"user\"} ],\r\n \"temperature\":1.0e0,\"model\":\"models/gemini-2.5-flash\"} ",
    ),
    (
        Method::POST,
        "chat/completions",
        r#"{"model":"gemini-2.5-flash","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hello"}]}"#,
    ),
    (
        Method::POST,
        "chat/completions",
        r#"{"model":"gemini-2.5-flash","stream":true,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"messages":[{"role":"user","content":"Use tools"}]}"#,
    ),
    (
        Method::POST,
        "chat/completions",
        r#"{"model":"gemini-2.5-flash","seed":1,"messages":[{"role":"user","content":"Hello"}]}"#,
    ),
    (
        Method::POST,
        "chat/completions",
        r#"{"model":"gemini-9","messages":[{"role":"user","content":"Hello"}]}"#,
    ),
    (
        Method::POST,
        "embeddings",
        r#"{"input":["a","b"],"model":"gemini-embedding-001","encoding_format":"base64"}"#,
    ),
    (
        Method::POST,
        "embeddings",
        r#"{"input":[],"model":"gemini-embedding-001"}"#,
    ),
    (Method::GET, "models/gemini-2.5-flash", ""),
    (
        Method::POST,
        "/v1beta/models/gemini-2.5-flash:generateContent",
        r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#,
    ),
    (
        Method::POST,
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#,
    ),
    (
        Method::POST,
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        r#"{"contents":[{"parts":[{"text":"Use tools"}]}],"tools":[]}"#,
    ),
    (
        Method::POST,
        "/v1beta/models/gemini-2.5-flash:countTokens",
        r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#,
    ),
    (
        Method::POST,
        "/v1beta/models/gemini-2.5-flash:generateContent",
        r#"{"contents":"nonsense"}"#,
    ),
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
    for name in [
        "\"id\":\"",
        "\"responseId\":\"",
        "\"responseId\": \"",
        "\"created\":",
    ] {
        let mut from = 0;
        while let Some(at) = body[from..].find(name).map(|at| from + at + name.len()) {
            let end = body[at..]
                .find(['"', ',', '}'])
                .map_or(body.len(), |end| at + end);
            body.replace_range(at..end, "");
            from = at;
        }
    }
    let kind = answer.header("content-type").map(str::to_owned);
    (answer.status, kind, body)
}

#[tokio::test]
async fn without_repair_bytes_pass_unchanged() {
    let app = Setup::keys(1)
        .variable("repair", "false")
        .gemini(|gemini| gemini.default_reply(play))
        .start()
        .await;
    let upstream = Client::of_upstream(app.gemini.address());
    for (method, path, body) in REQUESTS {
        let is_google = path.starts_with('/');
        let (direct_path, pool_path) = if is_google {
            (path.to_owned(), path.to_owned())
        } else {
            (format!("/v1beta/openai/{path}"), format!("/v1/{path}"))
        };
        let send = async |client: &Client, path: &str, token: &str| {
            let request = client.request(method.clone(), path).body(body);
            let request = if is_google {
                request.header("x-goog-api-key", token)
            } else {
                request.header("authorization", &format!("Bearer {token}"))
            };
            request.send().await
        };
        let direct = send(&upstream, &direct_path, &key(1)).await;
        let through = send(&app.client, &pool_path, TOKEN).await;
        let (mut expected, mut seen) = (comparable(&direct), comparable(&through));
        if expected.0 >= 400 {
            // The content types of errors may differ.
            (expected.1, seen.1) = (None, None);
        }
        assert_eq!(seen, expected, "{path} {body}");
        let calls = app.gemini.calls();
        let [.., first, second] = calls.as_slice() else {
            panic!("two calls")
        };
        assert_eq!(first.body, second.body, "{path}");
        assert_eq!(
            (&first.method, &first.path, &first.query),
            (&second.method, &second.path, &second.query)
        );
        assert_eq!(
            first.headers.get("content-type"),
            second.headers.get("content-type")
        );
        assert_eq!(first.credentials, second.credentials);
        assert_ne!(first.surface, None::<Surface>);
        assert_ne!(first.operation, None::<Operation>);
    }
}
