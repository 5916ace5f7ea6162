//! The load generator: chat completions, and streams whose events are timed one by one.
//!
//! It runs on one thread, since it shares the machine with what is measured.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long an answer may take, to its end.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The API of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// OpenAI's chat completions.
    Chat,
    /// Gemini's own.
    Gemini,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
}

impl Api {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Chat => "chat completions",
            Self::Gemini => "Gemini",
            Self::Responses => "Responses",
            Self::Messages => "Messages",
        }
    }

    /// The path in the pool; Gemini's API has it for streams only.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Gemini => "/v1beta/models/gemini-flash-latest:streamGenerateContent?alt=sse",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    fn stream_request(self) -> &'static str {
        match self {
            Self::Chat => {
                r#"{"model":"gemini-flash-latest","stream":true,
                    "messages":[{"role":"user","content":"Say hello."}]}"#
            }
            Self::Gemini => r#"{"contents":[{"role":"user","parts":[{"text":"Say hello."}]}]}"#,
            Self::Responses => {
                r#"{"model":"gemini-flash-latest","stream":true,"input":"Say hello."}"#
            }
            Self::Messages => {
                r#"{"model":"gemini-flash-latest","stream":true,"max_tokens":1000,
                    "messages":[{"role":"user","content":"Say hello."}]}"#
            }
        }
    }

    /// What only the last event of a stream contains.
    fn last_event(self) -> &'static str {
        match self {
            Self::Chat => CLOSING_LINE,
            Self::Gemini => "\"finishReason\"",
            Self::Responses => "event: response.completed",
            Self::Messages => "event: message_stop",
        }
    }
}

/// Closes a stream of chat completions. It is no event.
const CLOSING_LINE: &str = "data: [DONE]";

/// Where requests go, and with which token.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) api: Api,
    pub(crate) path: &'static str,
    pub(crate) token: String,
}

/// The outcome of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) took: Duration,
    /// Time to the end of each answer; of a stream, to its first event.
    pub(crate) latencies: Vec<Duration>,
    /// Times between events.
    pub(crate) gaps: Vec<Duration>,
    /// The error of each request that failed.
    pub(crate) failures: Vec<String>,
}

impl Outcome {
    /// Requests that were answered with 200, to the last byte.
    pub(crate) fn answered(&self) -> u64 {
        self.latencies.len() as u64
    }

    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.gaps.extend(other.gaps);
        self.failures.extend(other.failures);
    }
}

/// A chat completion whose prompt has about so many bytes.
pub(crate) fn request_body(prompt_bytes: usize) -> Bytes {
    let prompt = "Say hello. ".repeat(prompt_bytes / 11 + 1);
    let request = serde_json::json!({
        "model": "gemini-flash-latest",
        "messages": [{"role": "user", "content": prompt}],
    });
    Bytes::from(request.to_string())
}

/// Sends requests on so many connections for `duration`, and waits for all answers.
pub(crate) fn requests(
    target: &Target,
    connections: usize,
    duration: Duration,
    body: &Bytes,
) -> Result<Outcome> {
    let until = Instant::now() + duration;
    let workers = (0..connections).map(|_| repeat(target.clone(), until, body.clone()));
    run(workers)
}

/// Starts `count` streams within `ramp`, and waits for the end of the last.
pub(crate) fn streams(
    target: &Target,
    count: usize,
    events: usize,
    ramp: Duration,
) -> Result<Outcome> {
    let worker = |number| {
        let target = target.clone();
        let delay = ramp.mul_f64(number as f64 / count as f64);
        async move {
            tokio::time::sleep(delay).await;
            stream_once(&target, events).await
        }
    };
    run((0..count).map(worker))
}

/// Runs all workers on this thread, and adds their outcomes up.
fn run(
    workers: impl Iterator<Item = impl Future<Output = Outcome> + Send + 'static>,
) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for worker in workers {
            tasks.spawn(worker);
        }
        let mut sum = Outcome::default();
        while let Some(outcome) = tasks.join_next().await {
            sum.add(outcome.context("a task of the load generator panicked")?);
        }
        sum.took = started.elapsed();
        Ok(sum)
    })
}

/// Sends one request after the other on one connection, until a time or a broken connection.
async fn repeat(target: Target, until: Instant, body: Bytes) -> Outcome {
    let mut outcome = Outcome::default();
    let mut sender = match connect(&target).await {
        Ok(sender) => sender,
        Err(error) => {
            outcome.failures.push(format!("{error:#}"));
            return outcome;
        }
    };
    while Instant::now() < until && !sender.is_closed() {
        let started = Instant::now();
        match answer(&mut sender, &target, body.clone()).await {
            Ok(()) => outcome.latencies.push(started.elapsed()),
            Err(error) => outcome.failures.push(format!("{error:#}")),
        }
    }
    outcome
}

/// Sends a request and reads its answer to the end.
async fn answer(sender: &mut SendRequest<Full<Bytes>>, target: &Target, body: Bytes) -> Result<()> {
    let exchange = async {
        sender.ready().await?;
        let mut answer = send(sender, target, body).await?;
        while let Some(frame) = answer.frame().await {
            frame?;
        }
        Ok(())
    };
    timeout(TIMEOUT, exchange).await.context("no answer")?
}

async fn stream_once(target: &Target, events: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let times = timeout(TIMEOUT, stream(target, events)).await;
    match times.context("a stream did not end").flatten() {
        Ok(mut times) => {
            outcome.gaps = times.split_off(1);
            outcome.latencies = times;
        }
        Err(error) => outcome.failures.push(format!("{error:#}")),
    }
    outcome
}

/// The times to the first event and between each two.
async fn stream(target: &Target, events: usize) -> Result<Vec<Duration>> {
    let mut sender = connect(target).await?;
    let mut last = Instant::now();
    let mut body = send(
        &mut sender,
        target,
        Bytes::from_static(target.api.stream_request().as_bytes()),
    )
    .await?;
    let mut times = Vec::with_capacity(events + 1);
    let mut unread: Vec<u8> = Vec::new();
    let mut is_done = false;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        unread.extend_from_slice(&data);
        while let Some(end) = end_of_event(&unread) {
            let event: Vec<u8> = unread.drain(..end).collect();
            is_done |= memmem::find(&event, target.api.last_event().as_bytes()).is_some();
            if !event.starts_with(CLOSING_LINE.as_bytes()) {
                let now = Instant::now();
                times.push(now - last);
                last = now;
            }
        }
    }
    ensure!(
        is_done && times.len() >= events.max(1),
        "a stream ended after {} of {events} events",
        times.len()
    );
    Ok(times)
}

/// The length of the first event, if it is complete.
fn end_of_event(stream: &[u8]) -> Option<usize> {
    let mut line_ends = memchr::memchr_iter(b'\n', stream);
    line_ends.find_map(|end| match stream.get(end + 1..)? {
        [b'\n', ..] => Some(end + 2),
        [b'\r', b'\n', ..] => Some(end + 3),
        _ => None,
    })
}

async fn connect(target: &Target) -> Result<SendRequest<Full<Bytes>>> {
    let socket = TcpStream::connect(target.address).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    // It ends when the sender is dropped; its errors reach the request.
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    target: &Target,
    body: Bytes,
) -> Result<Incoming> {
    let request = Request::post(target.path)
        .header("host", target.address.to_string())
        .header("authorization", format!("Bearer {}", target.token))
        .header("content-type", "application/json")
        .body(Full::new(body))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    if status != 200 {
        bail!("answered with {status}");
    }
    Ok(response.into_body())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{self, Upstream};
    use fake_gemini::{Answer, FakeGemini, Reply};

    /// A fake Gemini that runs while `test` does.
    fn with_upstream(reply: fn() -> Reply, test: fn(&Target)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let builder = FakeGemini::builder().key(upstream::key(1));
        let gemini = runtime
            .block_on(builder.default_reply(move |_| reply()).start())
            .unwrap();
        let address = gemini.origin().trim_start_matches("http://").parse();
        test(&Target {
            address: address.unwrap(),
            api: Api::Chat,
            path: "/v1beta/openai/chat/completions",
            token: upstream::key(1),
        });
    }

    #[test]
    fn counts_answers_and_failures() {
        let body = request_body(10);
        assert!(body.len() < 200);
        with_upstream(
            || Reply::answer(Answer::text("Hello!")),
            |target| {
                let duration = Duration::from_millis(50);
                let outcome = requests(target, 2, duration, &request_body(10)).unwrap();
                assert!(outcome.answered() >= 2, "{outcome:?}");
                assert!(outcome.failures.is_empty(), "{outcome:?}");
                let wrong = Target {
                    token: "wrong".to_owned(),
                    ..target.clone()
                };
                let outcome = requests(&wrong, 1, duration, &request_body(10)).unwrap();
                assert_eq!(outcome.answered(), 0);
                assert!(!outcome.failures.is_empty());
            },
        );
    }

    #[test]
    fn events_end_with_a_blank_line() {
        assert_eq!(end_of_event(b"event: a\ndata: 1\n\ndata: 2\n\n"), Some(18));
        assert_eq!(end_of_event(b"data: 1\r\n\r\ndata: 2"), Some(11));
        assert_eq!(end_of_event(b"data: 1\r\n\r"), None);
    }

    #[test]
    fn times_each_event_of_a_stream() {
        with_upstream(
            || Reply::answer(Answer::events(Upstream::default().events)),
            |target| {
                let ramp = Duration::from_millis(10);
                let outcome = streams(target, 3, 60, ramp).unwrap();
                assert_eq!(outcome.answered(), 3, "{outcome:?}");
                assert!(outcome.gaps.len() >= 3 * 59, "{}", outcome.gaps.len());
                let outcome = streams(target, 1, 600, ramp).unwrap();
                assert_eq!(outcome.failures.len(), 1, "{outcome:?}");
            },
        );
    }
}
