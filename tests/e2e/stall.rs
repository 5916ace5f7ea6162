//! Responses do not stall for 40 ms: with Nagle's algorithm, a response whose head and body are
//! sent separately waits for the peer's delayed acknowledgement.
//!
//! The test runs alone: the stall is far above the noise of an idle machine, but not above that of
//! 200 concurrent calls. The limit, 10 ms in the median, is a quarter of the stall.

use crate::support::{CHAT, HostKind, PATIENCE, STREAM, Setup, TOKEN, key};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A request with a field of the wrong type.
const WRONG_TYPE: &str = r#"{"model":"gemini-2.5-flash","temperature":"hot","messages":[{"role":"user","content":"Hello"}]}"#;

const CALLS: usize = 200;
const BOUND: Duration = Duration::from_millis(10);

/// A request that is sent repeatedly over one connection.
struct Call {
    path: &'static str,
    token: String,
    body: &'static str,
    status: &'static str,
}

impl Call {
    fn new(path: &'static str, body: &'static str, status: &'static str) -> Self {
        Self {
            path,
            token: TOKEN.to_owned(),
            body,
            status,
        }
    }

    fn token(mut self, token: &str) -> Self {
        self.token = token.to_owned();
        self
    }

    fn text(&self) -> String {
        let method = if self.body.is_empty() { "GET" } else { "POST" };
        format!(
            "{method} {} HTTP/1.1\r\nhost: pool.test\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
            self.path,
            self.token,
            self.body.len(),
            self.body
        )
    }

    /// The median time until `until` has been read, over enough calls for the kernel to learn that
    /// the connection is interactive, and to delay acknowledgements on it.
    async fn median(&self, address: SocketAddr, until: Until) -> Duration {
        let (text, status) = (self.text(), self.status);
        let measure = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut times: Vec<Duration> = (0..CALLS)
                .map(|_| {
                    let started = now();
                    stream.write_all(text.as_bytes()).unwrap();
                    read_response(&mut reader, status, until, started)
                })
                .collect();
            times.sort_unstable();
            times[CALLS / 2]
        };
        tokio::task::spawn_blocking(measure).await.unwrap()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured here is time itself"
)]
fn now() -> Instant {
    Instant::now()
}

#[derive(Clone, Copy)]
enum Until {
    /// The body's first bytes. The later events of a stream are new data, which Nagle's algorithm
    /// does delay.
    BodyBegins,
    End,
}

fn read_response(
    reader: &mut impl BufRead,
    status: &str,
    until: Until,
    started: Instant,
) -> Duration {
    let mut line = String::new();
    let mut next_line = |reader: &mut dyn BufRead| {
        line.clear();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_ascii_lowercase()
    };
    let head = next_line(reader);
    assert!(head.contains(status), "{head}");
    let mut length = None;
    loop {
        let header = next_line(reader);
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = Some(value.parse().unwrap());
        }
    }
    if let Some(length) = length {
        reader.read_exact(&mut vec![0; length]).unwrap();
        return started.elapsed();
    }
    let mut begins = None;
    loop {
        let size = usize::from_str_radix(&next_line(reader), 16).unwrap();
        reader.read_exact(&mut vec![0; size + 2]).unwrap();
        let begun = *begins.get_or_insert_with(|| started.elapsed());
        if size == 0 {
            return match until {
                Until::BodyBegins => begun,
                Until::End => started.elapsed(),
            };
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_response_waits_for_a_delayed_acknowledgement() {
    // Raise the limit of wrong tokens, of which this test sends many.
    let setup = Setup::with(1, &[("rate_limit_per_minute", "1000000")]).alone();
    let setup = match HostKind::chosen() {
        HostKind::Embedded => setup.arguments(&["--nagle"]),
        // Spin does not disable Nagle's algorithm.
        HostKind::Spin => setup,
    };
    let app = setup.start().await;

    let upstream = Call::new("/v1beta/openai/chat/completions", CHAT, "200").token(&key(1));
    let direct = upstream.median(app.gemini.address(), Until::End).await;
    let chat = |body, status| Call::new("/v1/chat/completions", body, status);
    let status = Call::new("/api/keys/status", "", "200");
    for (what, call, until) in [
        ("chat", chat(CHAT, "200"), Until::End),
        ("stream", chat(STREAM, "200"), Until::BodyBegins),
        ("status", status, Until::End),
        ("ready", Call::new("/readyz", "", "200"), Until::End),
        ("malformed", chat("{", "400"), Until::End),
        ("wrong token", chat(CHAT, "401").token("wrong"), Until::End),
        ("unknown path", Call::new("/nowhere", "", "404"), Until::End),
        ("upstream's error", chat(WRONG_TYPE, "400"), Until::End),
    ] {
        let took = call.median(app.address(), until).await;
        println!("{what}: median {took:?}, the upstream alone {direct:?}");
        assert!(took < direct + BOUND, "{what}: {took:?} of {CALLS} calls");
    }
}
