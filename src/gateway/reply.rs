//! Answers: what the client gets, whole or bit by bit.

use super::Failure;
use super::ports::{ByteStream, System, TransportError};
use super::refusal::Refusal;
use crate::gemini::{MAX_ERROR_BYTES, Seen};
use crate::openai::{EventScanner, Found, error_text};
use crate::pool::{KeyId, Outcome, UnixMillis};
use crate::redact::{redact, truncate};
use crate::store::{Attempt, Database, Recorder};
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use std::rc::Rc;

/// The longest error message that a log row keeps, in characters.
const MAX_LOGGED_MESSAGE: usize = 500;

/// An answer, ready to be sent.
pub struct Reply<D, B, S> {
    /// HTTP status.
    pub status: StatusCode,
    /// Response headers, without `content-length`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body<D, B, S>,
}

/// A reply's body.
pub enum Body<D, B, S> {
    /// All of it. The call is in the log.
    Whole(Vec<u8>),
    /// Still arriving from the upstream. Whoever sends it must draw it to its end, or say that the client has gone.
    Stream(Box<AnswerStream<D, B, S>>),
}

impl<D, B, S> Reply<D, B, S> {
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Body::Whole(Vec::new()),
        }
    }

    pub(crate) fn json(status: StatusCode, json: String) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        Self {
            status,
            headers,
            body: Body::Whole(json.into_bytes()),
        }
    }
}

/// A call to the upstream that is under way; ends in exactly one log row.
pub(super) struct Call<D, S> {
    /// The `x-request-id` of the response.
    pub(super) request_id: String,
    pub(super) key: KeyId,
    /// The key and the client's token, to be kept out of messages.
    pub(super) secrets: Vec<String>,
    pub(super) started_at: UnixMillis,
    pub(super) recorder: Rc<Recorder<D>>,
    pub(super) system: S,
}

impl<D: Database, S: System> Call<D, S> {
    /// `text` without the secrets of this call.
    pub(super) fn redact(&self, text: &str) -> String {
        let secrets: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        redact(text, &secrets)
    }

    /// Writes the call down. The client is answered even where that fails: the answer is paid for, and a retry would
    /// not mend the database; so the failure goes to the operator.
    pub(super) async fn end(
        &self,
        outcome: Outcome,
        response_status: Option<u16>,
        message: Option<&str>,
    ) {
        let ended_at = self.system.now();
        let attempt = Attempt {
            key: self.key,
            outcome,
            response_status,
            error_message: message
                .map(|message| truncate(&self.redact(message), MAX_LOGGED_MESSAGE)),
            started_at: self.started_at,
            ended_at,
        };
        let line = (outcome != Outcome::Success).then(|| {
            format!(
                "call request={} key={} outcome={} status={} duration_ms={} message={:?}",
                self.request_id,
                self.key,
                outcome.name(),
                response_status.map_or_else(|| "none".to_owned(), |status| status.to_string()),
                ended_at.since(self.started_at),
                attempt.error_message.as_deref().unwrap_or_default(),
            )
        });
        let committed = self.recorder.commit(attempt).await;
        if let Some(line) = line {
            self.system.log(&line);
        }
        if let Err(error) = committed {
            self.system.log(&format!(
                "call request={} key={} is missing from the log or the counters: {error}",
                self.request_id, self.key
            ));
        }
    }

    /// Ends a call whose answer does not come to its end.
    pub(super) async fn broken_off(&self, response_status: u16, reason: &str) -> Failure {
        self.end(
            Outcome::UpstreamTrouble,
            Some(response_status),
            Some(reason),
        )
        .await;
        Failure::AnswerBroken {
            reason: self.redact(reason),
        }
    }
}

/// A body that is handed on as it arrives from the upstream, recorded before its last bytes.
pub struct AnswerStream<D, B, S> {
    call: Call<D, S>,
    status: u16,
    upstream: B,
    /// What came of the upstream and was not looked at yet.
    arrived: Option<Result<Option<Vec<u8>>, TransportError>>,
    /// What was ready for the client before the answer began.
    first: Option<Vec<u8>>,
    framing: Framing,
    recorded: bool,
    ended: bool,
}

enum Framing {
    /// Events, closed by `data: [DONE]`.
    Events(EventScanner),
    /// Events that have come to an error: what has arrived of it.
    Error(EventScanner, Vec<u8>),
    /// Anything else. The latest chunk is held back, since it may be the last.
    Opaque(Vec<u8>),
}

/// What comes next in a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Bytes for the client, never empty.
    Bytes(Vec<u8>),
    /// Nothing that can be handed on yet.
    Nothing,
    /// The end; the call is in the log.
    End,
    /// The upstream broke off, and nothing in the body can tell the client: cut the connection. The call is in the log.
    Broken,
}

/// What the upstream came to, before a client is told.
enum Step {
    /// Bytes for the client; may be none.
    Bytes(Vec<u8>),
    End,
    /// It broke off, or sent an error.
    Failed(Failure),
}

impl<D: Database, B: ByteStream, S: System> AnswerStream<D, B, S> {
    /// A stream of events, of which the first is here.
    ///
    /// # Errors
    /// The first event did not come, or is an error. Nothing has been promised to the client yet, so that it can be told
    /// as any other error.
    pub(super) async fn events(
        call: Call<D, S>,
        status: u16,
        upstream: B,
    ) -> Result<Self, Failure> {
        let framing = Framing::Events(EventScanner::default());
        let mut stream = Self::new(call, status, framing, upstream);
        loop {
            match stream.step().await {
                Step::Bytes(bytes) if bytes.is_empty() => {}
                Step::Bytes(first) => {
                    stream.first = Some(first);
                    return Ok(stream);
                }
                Step::End => return Ok(stream),
                Step::Failed(failure) => return Err(failure),
            }
        }
    }

    /// Any other body, of which `first` has been read.
    pub(super) fn opaque(call: Call<D, S>, status: u16, first: Vec<u8>, upstream: B) -> Self {
        Self::new(call, status, Framing::Opaque(first), upstream)
    }

    fn new(call: Call<D, S>, status: u16, framing: Framing, upstream: B) -> Self {
        Self {
            call,
            status,
            upstream,
            arrived: None,
            first: None,
            framing,
            recorded: false,
            ended: false,
        }
    }

    /// Waits until [`next`](Self::next) has something to look at. Whoever waits may give up and drop this future, as they
    /// must not with `next`, which writes to the log.
    pub async fn ready(&mut self) {
        let has_something =
            self.first.is_some() || self.arrived.is_some() || self.has_whole_error();
        if !has_something && !self.ended {
            self.arrived = Some(self.upstream.next().await);
        }
    }

    /// What the next bytes of the upstream come to.
    pub async fn next(&mut self) -> Next {
        if let Some(first) = self.first.take() {
            return Next::Bytes(first);
        }
        match self.step().await {
            Step::Bytes(bytes) if bytes.is_empty() => Next::Nothing,
            Step::Bytes(bytes) => Next::Bytes(bytes),
            Step::End => Next::End,
            Step::Failed(failure) => match &self.framing {
                Framing::Events(scanner) | Framing::Error(scanner, _) => {
                    Next::Bytes(scanner.close_with(&failure.describe().1))
                }
                Framing::Opaque(_) => Next::Broken,
            },
        }
    }

    async fn step(&mut self) -> Step {
        if self.ended {
            return Step::End;
        }
        self.ready().await;
        let Some(chunk) = self.arrived.take() else {
            // An error that has come to its end waits for nothing more.
            return Step::Failed(self.upstream_error().await);
        };
        let bytes = match (chunk, &mut self.framing) {
            (Ok(Some(chunk)), Framing::Events(scanner)) => {
                let scan = scanner.push(chunk);
                match scan.found {
                    Found::Nothing => {}
                    Found::Done => self.record(Outcome::Success, None).await,
                    Found::Error(begun) => {
                        self.framing = Framing::Error(std::mem::take(scanner), begun);
                    }
                }
                scan.ready
            }
            (Ok(Some(chunk)), Framing::Error(_, text)) => {
                text.extend_from_slice(&chunk);
                Vec::new()
            }
            (Ok(Some(chunk)), Framing::Opaque(held)) => std::mem::replace(held, chunk),
            (Ok(None), Framing::Opaque(held)) => {
                let last = std::mem::take(held);
                self.record(Outcome::Success, None).await;
                self.ended = true;
                last
            }
            (Ok(None) | Err(_), Framing::Error(..)) => {
                return Step::Failed(self.upstream_error().await);
            }
            // After the closing event nothing is missing.
            (Ok(None) | Err(_), Framing::Events(_)) if self.recorded => {
                self.ended = true;
                return Step::End;
            }
            (Ok(None), Framing::Events(_)) => {
                let reason = "the upstream ended the stream before its closing event";
                return Step::Failed(self.broken_off(reason).await);
            }
            (Err(error), Framing::Events(_) | Framing::Opaque(_)) => {
                return Step::Failed(self.broken_off(&error.to_string()).await);
            }
        };
        Step::Bytes(bytes)
    }

    /// An error has come to its end, or to more than is read of one.
    fn has_whole_error(&self) -> bool {
        match &self.framing {
            Framing::Error(_, text) => error_text(text).1 || text.len() >= MAX_ERROR_BYTES,
            Framing::Events(_) | Framing::Opaque(_) => false,
        }
    }

    /// The upstream has nothing more, though something is missing.
    async fn broken_off(&mut self, reason: &str) -> Failure {
        (self.ended, self.recorded) = (true, true);
        self.call.broken_off(self.status, reason).await
    }

    /// The upstream has sent an error in place of what was to come: what has arrived of it counts.
    async fn upstream_error(&mut self) -> Failure {
        self.ended = true;
        let error = match &self.framing {
            Framing::Error(_, text) => error_text(text).0,
            Framing::Events(_) | Framing::Opaque(_) => &[],
        };
        let refusal = Refusal::new(Seen::InStream(error), &self.call);
        self.record(refusal.outcome, Some(&refusal.message)).await;
        refusal.failure
    }

    /// The client left. Dropping the stream afterwards closes the connection to the upstream.
    pub async fn client_gone(mut self) {
        if let Framing::Error(..) = self.framing {
            self.upstream_error().await;
            return;
        }
        self.record(
            Outcome::ClientGone,
            Some("the client closed the connection before the end of the answer"),
        )
        .await;
    }

    async fn record(&mut self, outcome: Outcome, message: Option<&str>) {
        if !self.recorded {
            self.recorded = true;
            self.call.end(outcome, Some(self.status), message).await;
        }
    }
}
