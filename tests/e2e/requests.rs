//! Requests that are refused in OpenAI's error format without using a key, and authentication.

use crate::support::{CHAT, Setup, TOKEN, TestApp, key, soon};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn invalid_requests_are_explained_and_use_no_key() {
    let app = Setup::with(1, &[("max_body_bytes", "1000")]).start().await;
    let long = "x".repeat(1000);
    let long = format!(r#"{{"messages":[{{"role":"user","content":"{long}"}}]}}"#);
    for (body, status, param) in [
        ("", 400, "null"),
        ("{", 400, "null"),
        ("[]", 400, "null"),
        ("{}", 400, "messages"),
        (r#"{"messages":"hi"}"#, 400, "messages"),
        (r#"{"messages":{}}"#, 400, "messages"),
        (r#"{"messages":[],"model":7}"#, 400, "model"),
        (long.as_str(), 413, "null"),
    ] {
        let answer = app.chat(body).await;
        answer.error_code();
        let error = &answer.json()["error"];
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(error["type"], "invalid_request_error", "{body}");
        assert_eq!(error["param"].as_str().unwrap_or("null"), param, "{body}");
    }
    assert!(app.gemini.calls().is_empty());
    assert_eq!(app.key_rows("total_calls, last_used_at"), ["0|NULL"]);
    assert_eq!(app.log_rows("count(*)"), ["0"]);
}

/// Sends a request before reading anything, and checks the status of the response, after which the
/// pool closes the connection.
async fn assert_refused(app: &TestApp, path: &str, head: &str, body: &str, status: u16) {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: pool.test\r\nconnection: close\r\n{head}\r\n\r\n{body}"
    );
    let exchange = async {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = soon(&format!("the end of the answer to {path}"), exchange).await;
    let line = format!("HTTP/1.1 {status} ");
    assert!(answer.starts_with(&line), "{path}, {head}: {answer}");
}

#[tokio::test]
async fn a_client_that_sends_before_reading_gets_the_error() {
    let app = Setup::keys(1).start().await;
    let body = "x".repeat(15_000_000);
    for (path, token, status) in [
        ("/v1/chat/completions", "wrong", 401),
        ("/nowhere", TOKEN, 404),
        ("/healthz", TOKEN, 405),
    ] {
        let head = format!("authorization: Bearer {token}\r\ncontent-length: 15000000");
        assert_refused(&app, path, &head, &body, status).await;
    }
}

#[tokio::test]
async fn refuses_expect_100_continue_without_the_body() {
    let app = Setup::keys(1).start().await;
    for (path, status) in [("/v1/chat/completions", 401), ("/nowhere", 404)] {
        let head = "content-length: 1000\r\nexpect: 100-continue";
        assert_refused(&app, path, head, "", status).await;
    }
}

#[tokio::test]
async fn refuses_an_overflowing_content_length_at_once() {
    let app = Setup::keys(1).start().await;
    for length in ["4294967297", "9223372036854775807"] {
        let head = format!("authorization: Bearer {TOKEN}\r\ncontent-length: {length}");
        assert_refused(&app, "/v1/chat/completions", &head, "", 413).await;
    }
}

#[tokio::test]
async fn head_has_the_length_of_get_and_no_body() {
    let app = Setup::keys(1).start().await;
    for path in ["/healthz", "/readyz", "/nowhere"] {
        let get = app.client.get(path).send().await;
        let head = app.client.request(Method::HEAD, path).send().await;
        assert_eq!((head.status, &*head.body), (get.status, ""), "{path}");
        assert!(!get.body.is_empty());
        let length = get.body.len().to_string();
        assert_eq!(head.headers["content-length"], length, "{path}");
    }
}

#[tokio::test]
async fn refuses_long_and_secret_names_without_storing_them() {
    let app = Setup::keys(1).start().await;
    let long = "n".repeat(1_000_000);
    for model in [long.as_str(), "my secret plan", TOKEN, &key(1)] {
        let body = serde_json::json!({ "model": model, "messages": [] }).to_string();
        let answer = app.chat(body).await;
        answer.assert_status(400);
        assert!(answer.body.len() < 1000 && !answer.body.contains(model));
    }
    for path in [
        format!("/v1beta/{TOKEN}"),
        format!("/v1beta/models/{TOKEN}:generateContent"),
    ] {
        let answer = app.post(&path, "{}").await;
        answer.assert_status(400);
        assert!(!answer.body.contains(TOKEN));
    }
    assert!(app.gemini.calls().is_empty());
    assert_eq!(app.log_rows("count(*)"), ["0"]);
    assert!(!app.output().contains(TOKEN) && !app.output().contains(&key(1)));
}

#[tokio::test]
async fn serves_bodies_up_to_the_default_limit_of_32_mib() {
    let app = Setup::keys(1).start().await;
    // An image, since this much text exceeds a model's context.
    let (before, after) = (
        concat!(
            r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"#,
            r#"[{"type":"image_url","image_url":{"url":"data:image/png;base64,"#
        ),
        r#""}}]}]}"#,
    );
    for (size, status) in [(32 * 1024 * 1024, 200), (32 * 1024 * 1024 + 1, 413)] {
        let image = "A".repeat(size - before.len() - after.len());
        let body = [before, &image, after].concat();
        assert_eq!(body.len(), size);
        assert_eq!(app.chat(body).await.status, status, "{size} bytes");
    }
    assert_eq!(app.gemini.calls().len(), 1);
}

#[tokio::test]
async fn distinguishes_unknown_paths_from_wrong_methods() {
    let app = Setup::keys(1).start().await;
    for (method, path, allow) in [
        (Method::GET, "/", None),
        (Method::POST, "/v2/completions", None),
        (Method::POST, "/v1/responses/resp_1/cancel", None),
        (Method::GET, "/v1/responses", Some("POST, OPTIONS")),
        (Method::GET, "/v1/chat/completions", Some("POST, OPTIONS")),
        (Method::PUT, "/v1/chat/completions", Some("POST, OPTIONS")),
        (
            Method::DELETE,
            "/api/keys/status",
            Some("GET, POST, OPTIONS"),
        ),
        (Method::POST, "/healthz", Some("GET, HEAD, OPTIONS")),
        (Method::PATCH, "/readyz", Some("GET, HEAD, OPTIONS")),
    ] {
        let request = app.client.request(method.clone(), path);
        let answer = request.authorized().send().await;
        match allow {
            None => answer.assert_error(404, "unknown_path"),
            Some(_) => answer.assert_error(405, "method_not_allowed"),
        }
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
    assert!(app.gemini.calls().is_empty());
}

#[tokio::test]
async fn rejects_calls_without_the_token() {
    let app = Setup::keys(1).start().await;
    let almost = format!("Bearer {TOKEN}x");
    for (authorization, code) in [
        (None, "missing_client_token"),
        (Some("Bearer"), "missing_client_token"),
        (Some("Basic abc"), "missing_client_token"),
        (Some("Bearer wrong"), "invalid_client_token"),
        (Some(almost.as_str()), "invalid_client_token"),
    ] {
        for (method, path) in [
            (Method::POST, "/v1/chat/completions"),
            (Method::GET, "/api/keys/status"),
            (Method::POST, "/api/keys/status"),
        ] {
            let mut request = app.client.request(method, path).body(CHAT);
            if let Some(authorization) = authorization {
                request = request.header("authorization", authorization);
            }
            let answer = request.send().await;
            answer.assert_error(401, code);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert!(app.gemini.calls().is_empty());
}

#[tokio::test]
async fn refuses_every_call_without_a_configured_token() {
    let app = Setup::keys(1).without_token().start().await;
    for path in ["/v1/chat/completions", "/api/keys/status"] {
        let answer = app.post(path, CHAT).await;
        answer.assert_error(503, "client_token_not_configured");
        answer.assert_contains("my_api_token");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    assert!(app.gemini.calls().is_empty());
}

#[tokio::test]
async fn removes_and_remembers_unsupported_fields() {
    let app = Setup::keys(2).without_memory().start().await;
    let body = r#"{"model":"gemini-2.5-flash","seed":7,"frequency_penalty":1,"messages":[{"role":"user","content":"Hello"}]}"#;
    for (attempts, calls) in [("2", 2), ("1", 3)] {
        let answer = app.chat(body).await;
        answer.assert_status(200);
        assert_eq!(
            answer.headers["x-keypool-dropped"],
            "frequency_penalty, seed"
        );
        assert_eq!(answer.headers["x-keypool-attempts"], attempts);
        assert_eq!(app.gemini.calls().len(), calls);
    }
    // Google's error is unchanged.
    let strict = app.client.chat(body).header("x-keypool-repair", "off");
    let strict = strict.send().await;
    strict.assert_status(400);
    assert!(strict.body.starts_with("[{"), "{}", strict.body);
}
