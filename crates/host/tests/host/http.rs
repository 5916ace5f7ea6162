//! Tests of requests and responses, which must be the same as with Spin.

use crate::support::{ANY_HOST, Answer, App, Host, Upstream, assert_contains};
use bytes::Bytes;
use std::io::Read;

#[test]
fn spin_headers_follow_those_of_the_client() {
    let host = App::new("", "").start();
    let mut stream = host.send(
        "GET",
        "/headers?x=1",
        &[
            "host: pool.test:81",
            "spin-client-addr: 6.6.6.6:1",
            "x-own: kept",
            "spin-full-url: https://forged.test/",
        ],
        "",
    );
    let client = stream.local_addr().unwrap();
    let seen = Answer::read(&mut stream).body;
    let expected = [
        "http://pool.test:81/headers?x=1".to_owned(),
        // In the place of `connection`, which is removed.
        "spin-full-url: https://forged.test/".to_owned(),
        "spin-full-url: http://pool.test:81/headers?x=1".to_owned(),
        "content-length: 0".to_owned(),
        "host: pool.test:81".to_owned(),
        "spin-client-addr: 6.6.6.6:1".to_owned(),
        format!("spin-client-addr: {client}"),
        "x-own: kept".to_owned(),
        "spin-path-info: /headers".to_owned(),
        "spin-matched-route: /...".to_owned(),
        "spin-base-path: /".to_owned(),
        "spin-raw-component-route: /...".to_owned(),
        "spin-component-route: ".to_owned(),
    ];
    assert_eq!(seen.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn component_sees_all_headers_but_connection() {
    let host = App::new("", "").start();
    let sent = [
        "host: keypool.test",
        "keep-alive: timeout=5",
        "upgrade: h2c",
        "http2-settings: AAMAAABkAAQAAP__",
        "proxy-authorization: Basic eDp5",
        "te: trailers",
        "x-own: caf\u{e9}",
    ];
    let seen = Answer::read(&mut host.send("GET", "/headers", &sent, "")).body;
    for header in sent {
        assert!(seen.lines().any(|line| line == header), "{header}: {seen}");
    }
    assert!(!seen.contains("\nconnection"), "{seen}");

    let chunked = "POST /headers HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
        transfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let seen = Answer::read(&mut host.raw(chunked)).body;
    assert!(seen.contains("transfer-encoding: chunked\n"), "{seen}");

    let two_hosts = "GET /headers HTTP/1.1\r\nconnection: close\r\n\
        host: a.test\r\nhost: b.test\r\n\r\n";
    let seen = Answer::read(&mut host.raw(two_hosts)).body;
    assert!(seen.starts_with("http://a.test/headers\n"), "{seen}");
    assert!(seen.contains("host: a.test\nhost: b.test\n"), "{seen}");
}

#[test]
fn request_without_valid_host_gets_no_response() {
    let host = App::new("", "").start();
    for (request, reason) in [
        ("GET /headers HTTP/1.0\r\n\r\n", "Host header is missing"),
        ("GET /headers HTTP/1.1\r\n\r\n", "Host header is missing"),
        ("GET /headers HTTP/1.1\r\nhost:\r\n\r\n", "is not a host"),
        (
            "GET /headers HTTP/1.1\r\nhost: a b\r\n\r\n",
            "is not a host",
        ),
        (
            "GET http://a.test/headers HTTP/1.1\r\nhost: b.test\r\n\r\n",
            "different hosts",
        ),
        (
            "CONNECT a.test:80 HTTP/1.1\r\nhost: a.test:80\r\n\r\n",
            "no path",
        ),
    ] {
        let mut answer = Vec::new();
        host.raw(request).read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"", "{request}");
        let line = host.line_with("closed without a response");
        assert!(line.contains(reason), "{request}: {line}");
    }
    let absolute = "GET http://a.test/headers HTTP/1.1\r\nconnection: close\r\n\r\n";
    let seen = Answer::read(&mut host.raw(absolute)).body;
    assert!(seen.starts_with("http://a.test/headers\n"), "{seen}");
    // Spin takes it from the header only.
    assert_contains(&seen, &["spin-full-url: http://localhost/headers\n"]);
}

#[test]
fn header_that_is_not_utf_8_is_an_empty_500() {
    let host = App::new("", "").start();
    let request =
        b"GET /headers HTTP/1.1\r\nhost: a\r\nconnection: close\r\nuser-agent: caf\xe9\r\n\r\n";
    let answer = Answer::read(&mut host.raw(request));
    assert_eq!((answer.status, answer.body.as_str()), (500, ""));
    host.line_with("not UTF-8");
}

#[test]
fn host_answers_well_known_paths() {
    let host = App::new("", "").start();
    // Even without a host.
    let health = "GET /.well-known/spin/health HTTP/1.0\r\n\r\n";
    let health = Answer::read(&mut host.raw(health));
    assert_eq!((health.status, health.body.as_str()), (200, "OK"));
    let info = host.get("/.well-known/spin/info");
    assert_eq!(
        (info.status, info.body.as_str()),
        (200, "{\n  \"name\": \"test\"\n}")
    );
    assert_eq!(host.get("/.well-known/spin/other").status, 404);
    assert_eq!(host.get("/.well-known/other").body, "no such path");
}

#[test]
fn stream_of_a_lost_instance_ends_like_a_complete_one() {
    let upstream = Upstream::new();
    let host = App::new("", ANY_HOST).start();
    let mut stream = host.send("POST", "/stream-then-trap", &[], &upstream.origin());
    let request = upstream.request();
    let mut begun = Vec::new();
    while !begun.ends_with(b"two \r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        begun.push(byte[0]);
    }
    request.answer("trap");
    host.line_with("an instance of the component failed");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(
        rest, "0\r\n\r\n",
        "the client cannot tell that the stream is incomplete"
    );
}

/// Sends a request by HTTP/2 and returns the status and the body, or the stream's error.
async fn by_http2(host: &Host, method: &str, uri: &str) -> Result<(u16, Bytes), h2::Error> {
    let stream = tokio::net::TcpStream::connect(host.address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    let request = http::Request::builder().method(method).uri(uri).body(());
    let (response, _) = sender.send_request(request.unwrap(), true)?;
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok((head.status.as_u16(), bytes.into()))
}

#[tokio::test]
async fn serves_http_2_with_prior_knowledge() {
    let host = App::new("", "").start();
    let (status, body) = by_http2(&host, "GET", "http://pool.test/headers")
        .await
        .unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(status, 200, "{body}");
    assert!(body.starts_with("http://pool.test/headers\n"), "{body}");
    assert!(!body.contains("\nhost:"), "{body}");

    // Errors reset the stream.
    let head = by_http2(&host, "HEAD", "http://pool.test/headers").await;
    let reason = head.unwrap_err().reason();
    assert_eq!(
        reason,
        Some(h2::Reason::PROTOCOL_ERROR),
        "the body of an answer to HEAD"
    );
    let panicked = by_http2(&host, "GET", "http://pool.test/panic")
        .await
        .unwrap();
    assert_eq!(panicked, (500, Bytes::new()));
}
