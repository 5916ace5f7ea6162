//! A client that sees every byte, and shared helpers.

use fake_gemini::{Builder, Call, Ended, FakeGemini, ManualClock};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const KEY: &str = "AIzaFAKE-first-key-000000000000000000001";
pub(crate) const OTHER_KEY: &str = "AIzaFAKE-second-key-00000000000000000002";
pub(crate) const CHAT: &str = "/v1beta/openai/chat/completions";
pub(crate) const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
/// Makes a chat completion a stream.
pub(crate) const STREAM: &str = r#","stream":true"#;
pub(crate) const CONTENTS: &str =
    r#"{"contents":[{"role":"user","parts":[{"text":"Say hello."}]}]}"#;

/// 2027-01-15T08:00:00Z.
const NOW_MS: i64 = 1_800_000_000_000;
/// A test that waits for longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event)
        .await
        .expect("the expected event did not happen")
}

/// A fake with one key and a clock that stands still.
pub(crate) async fn gemini() -> FakeGemini {
    start(FakeGemini::builder().key(KEY)).await
}

/// A fake with [`KEY`] and [`OTHER_KEY`], each of its own project.
pub(crate) async fn two_projects() -> FakeGemini {
    start(FakeGemini::builder().key(KEY).key(OTHER_KEY)).await
}

pub(crate) async fn start(builder: Builder) -> FakeGemini {
    let clock = ManualClock::at(NOW_MS).clock();
    builder.clock(clock).start().await.unwrap()
}

pub(crate) fn question(more: &str) -> String {
    let messages = r#"[{"role":"user","content":"Say hello."}]"#;
    format!(r#"{{"model":"gemini-2.5-flash","messages":{messages}{more}}}"#)
}

/// Waits until all calls have ended; returns the last one.
pub(crate) async fn ended(gemini: &FakeGemini) -> Call {
    let calls = soon(gemini.wait_until(|calls| {
        !calls.is_empty() && calls.iter().all(|call| call.ended != Ended::NotYet)
    }));
    calls.await.into_iter().next_back().unwrap()
}

#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) bytes: Vec<u8>,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    #[track_caller]
    pub(crate) fn expect(&self, status: u16, text: &str) {
        assert_eq!((self.status(), self.text()), (status, text));
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }
}

pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(gemini: &FakeGemini) -> Self {
        Self {
            stream: TcpStream::connect(gemini.address()).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: fake\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// Connects and sends a chat completion with [`KEY`].
    pub(crate) async fn chat(
        gemini: &FakeGemini,
        more_fields: &str,
        more_headers: &[(&str, &str)],
    ) -> Self {
        let mut client = Self::connect(gemini).await;
        let bearer = format!("Bearer {KEY}");
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(more_headers);
        let body = question(more_fields);
        client.send("POST", CHAT, &headers, &body).await;
        client
    }

    /// Reads more; `false` at the end of the connection.
    async fn fill(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        let count = soon(self.stream.read(&mut bytes)).await?;
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(count > 0)
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(self.fill().await.unwrap(), "the connection has ended");
        }
    }

    async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill().await.unwrap(), "the connection has ended");
        }
        self.buffer.drain(..count).collect()
    }

    pub(crate) async fn head(&mut self) -> Head {
        let status_line = self.line().await;
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else {
                break Head { status, headers };
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    /// The next chunk; `None` at the end of the body.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await, 16).unwrap();
        let chunk = self.exactly(size).await;
        assert_eq!(self.line().await, "");
        (size > 0).then_some(chunk)
    }

    pub(crate) async fn text_chunk(&mut self) -> Option<String> {
        let chunk = self.chunk().await?;
        Some(String::from_utf8(chunk).unwrap())
    }

    /// The whole response.
    pub(crate) async fn response(&mut self) -> Response {
        let head = self.head().await;
        let bytes = match head.get("content-length") {
            Some(length) => self.exactly(length.parse().unwrap()).await,
            None => {
                assert_eq!(head.get("transfer-encoding"), Some("chunked"));
                let mut bytes = Vec::new();
                while let Some(chunk) = self.chunk().await {
                    bytes.extend(chunk);
                }
                bytes
            }
        };
        Response { head, bytes }
    }

    /// Everything until the connection ends, and how it ended.
    pub(crate) async fn rest(mut self) -> (Vec<u8>, io::Result<()>) {
        loop {
            match self.fill().await {
                Ok(true) => {}
                Ok(false) => return (self.buffer, Ok(())),
                Err(error) => return (self.buffer, Err(error)),
            }
        }
    }
}

/// One call on a connection of its own.
pub(crate) async fn call(
    gemini: &FakeGemini,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let mut client = Client::connect(gemini).await;
    client.send(method, path, headers, body).await;
    client.response().await
}

/// A chat completion with [`KEY`].
pub(crate) async fn chat(gemini: &FakeGemini, more_fields: &str) -> Response {
    openai(gemini, KEY, "chat/completions", &question(more_fields)).await
}

/// A compatible call; `path` follows `/v1beta/openai/`. Without a body it is a GET.
pub(crate) async fn openai(gemini: &FakeGemini, key: &str, path: &str, body: &str) -> Response {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let path = format!("/v1beta/openai/{path}");
    let bearer = format!("Bearer {key}");
    call(gemini, method, &path, &[("authorization", &bearer)], body).await
}

/// A native call; `path` starts with the version.
pub(crate) async fn native(
    gemini: &FakeGemini,
    key: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Response {
    call(gemini, method, path, &[("x-goog-api-key", key)], body).await
}
