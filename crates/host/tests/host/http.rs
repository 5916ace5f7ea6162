//! What a client and the component see of each other: the same as with Spin.

use crate::support::{Answer, App, Host, Upstream};
use bytes::Bytes;
use std::io::Read;

/// The lines that `/headers` answers with.
fn seen(host: &Host, headers: &[&str]) -> Vec<String> {
    let body = Answer::read(&mut host.send("GET", "/headers?x=1", headers, "")).body;
    body.lines().map(str::to_owned).collect()
}

#[test]
fn the_hosts_headers_come_after_those_that_a_client_sends_in_their_name() {
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
        // In the place of `connection`, which is left out.
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
fn the_component_sees_all_headers_but_connection() {
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
    let seen = seen(&host, &sent);
    for header in sent {
        assert!(
            seen.iter().any(|line| line == header),
            "{header}: {seen:#?}"
        );
    }
    assert!(
        !seen.iter().any(|line| line.starts_with("connection")),
        "{seen:#?}"
    );

    let chunked = "POST /headers HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let seen = Answer::read(&mut host.raw(chunked)).body;
    assert!(seen.contains("transfer-encoding: chunked\n"), "{seen}");

    let two_hosts = seen_of(&host, "host: a.test\r\nhost: b.test");
    assert!(
        two_hosts.starts_with("http://a.test/headers\n")
            && two_hosts.contains("host: a.test\nhost: b.test\n"),
        "{two_hosts}"
    );
}

fn seen_of(host: &Host, headers: &str) -> String {
    let request = format!("GET /headers HTTP/1.1\r\nconnection: close\r\n{headers}\r\n\r\n");
    Answer::read(&mut host.raw(request)).body
}

#[test]
fn a_request_without_one_host_that_can_be_gets_no_answer() {
    let host = App::new("", "").start();
    for (request, reason) in [
        ("GET /headers HTTP/1.0\r\n\r\n", "no Host header"),
        ("GET /headers HTTP/1.1\r\n\r\n", "no Host header"),
        ("GET /headers HTTP/1.1\r\nhost:\r\n\r\n", "is no host"),
        ("GET /headers HTTP/1.1\r\nhost: a b\r\n\r\n", "is no host"),
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
        let line = host.line_with("closed without an answer");
        assert!(line.contains(reason), "{request}: {line}");
    }
    let absolute = "GET http://a.test/headers HTTP/1.1\r\nconnection: close\r\n\r\n";
    let seen = Answer::read(&mut host.raw(absolute)).body;
    assert!(seen.starts_with("http://a.test/headers\n"), "{seen}");
    // Spin fills it from the header alone.
    assert!(
        seen.contains("spin-full-url: http://localhost/headers\n"),
        "{seen}"
    );
}

#[test]
fn a_header_that_is_not_utf_8_is_an_empty_500() {
    let host = App::new("", "").start();
    let request =
        b"GET /headers HTTP/1.1\r\nhost: a\r\nconnection: close\r\nuser-agent: caf\xe9\r\n\r\n";
    let answer = Answer::read(&mut host.raw(request));
    assert_eq!((answer.status, answer.body.as_str()), (500, ""));
    host.line_with("not UTF-8");
}

#[test]
fn spins_own_paths_are_answered_without_the_component() {
    let host = App::new("", "").start();
    // Not even a host is needed.
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
fn an_instance_that_is_lost_ends_its_stream_as_if_it_were_whole() {
    let upstream = Upstream::new();
    let host = App::new("", "allowed_outbound_hosts = [\"http://*:*\"]").start();
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
        "nothing tells a client that more was to come"
    );
}

/// Sends a request by HTTP/2, and gives the status and the body, or how the stream was reset.
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
async fn http_2_is_spoken_with_clients_that_begin_with_it() {
    let host = App::new("", "").start();
    let (status, body) = by_http2(&host, "GET", "http://pool.test/headers")
        .await
        .unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(status, 200, "{body}");
    assert!(body.starts_with("http://pool.test/headers\n"), "{body}");
    assert!(!body.contains("\nhost:"), "{body}");

    // Whatever goes wrong there is a stream that is reset.
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
