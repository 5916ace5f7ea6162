//! Web pages that may call the pool.

use crate::support::{CHAT, Setup};
use http::Method;

#[tokio::test]
async fn pages_of_allowed_origins_can_read_answers() {
    let allowed = ("allowed_origins", "https://app.example, *.example.com");
    let app = Setup::with(1, &[allowed]).start().await;
    for (header, value, allowed) in [
        ("origin", "https://app.example", Some("https://app.example")),
        ("origin", "https://example.com", Some("https://example.com")),
        (
            "origin",
            "https://a.b.example.com",
            Some("https://a.b.example.com"),
        ),
        (
            "referer",
            "https://a.example.com/page?x",
            Some("https://a.example.com"),
        ),
        ("origin", "https://evilexample.com", None),
        ("origin", "https://app.example.evil.org", None),
        ("origin", "http://app.example", None),
        ("origin", "null", None),
    ] {
        let answer = app.client.chat(CHAT).header(header, value).send().await;
        // Without enforcement, all are served.
        answer.assert_status(200);
        let header = answer.header("access-control-allow-origin");
        assert_eq!(header, allowed, "{value}");
        assert_eq!(answer.header("vary"), Some("origin"));
    }
}

#[tokio::test]
async fn preflight_needs_no_token() {
    let app = Setup::with(1, &[("allowed_origins", "https://app.example")])
        .start()
        .await;
    let asked = "authorization,content-type,x-stainless-lang";
    let request = app.client.request(Method::OPTIONS, "/v1/chat/completions");
    let answer = request
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", asked)
        .send()
        .await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(answer.header("content-length"), None);
    for (header, value) in [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-methods", "POST, OPTIONS"),
        ("access-control-allow-headers", asked),
        ("access-control-max-age", "86400"),
    ] {
        assert_eq!(answer.header(header), Some(value), "{header}");
    }
    assert!(app.gemini.calls().is_empty());
}

#[tokio::test]
async fn enforce_origin_refuses_only_other_pages() {
    let allowed = ("allowed_origins", "*.example.com");
    let app = Setup::with(1, &[allowed, ("enforce_origin", "true")]);
    let app = app.start().await;
    for (origin, status) in [
        (None, 200),
        (Some("https://a.example.com"), 200),
        (Some("https://evilexample.com"), 403),
        (Some("null"), 403),
    ] {
        let mut request = app.client.chat(CHAT);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let answer = request.send().await;
        assert_eq!(answer.status, status, "{origin:?}");
        if status == 403 {
            assert_eq!(answer.error_code(), "origin_not_allowed");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    assert_eq!(app.gemini.calls().len(), 2);
}
