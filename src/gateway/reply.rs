//! Answers: what the client gets, whole or bit by bit.

use super::Failure;
use super::ports::{ByteStream, System};
use super::refusal::Refusal;
use crate::gemini::{ApiError, MAX_ERROR_BYTES};
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
        if outcome != Outcome::Success {
            self.system.log(&format!(
                "call key={} outcome={} status={} duration_ms={} message={:?}",
                self.key,
                outcome.name(),
                response_status.map_or_else(|| "none".to_owned(), |status| status.to_string()),
                ended_at.since(self.started_at),
                attempt.error_message.as_deref().unwrap_or_default(),
            ));
        }
        if let Err(error) = self.recorder.commit(attempt).await {
            self.system.log(&format!(
                "a call of key {} is missing from the log or the counters: {error}",
                self.key
            ));
        }
    }
}

/// A body that is handed on as it arrives from the upstream, recorded before its last bytes.
pub struct AnswerStream<D, B, S> {
    call: Call<D, S>,
    status: u16,
    upstream: B,
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
    /// The end; the call is in the log.
    End,
    /// The upstream broke off, and nothing in the body can tell the client: cut the connection. The call is in the log.
    Broken,
}

/// What the upstream came to, before a client is told.
enum Step {
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
        match stream.step().await {
            Step::Bytes(first) => stream.first = Some(first),
            Step::End => {}
            Step::Failed(failure) => return Err(failure),
        }
        Ok(stream)
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
            first: None,
            framing,
            recorded: false,
            ended: false,
        }
    }

    /// The next bytes for the client.
    pub async fn next(&mut self) -> Next {
        if let Some(first) = self.first.take() {
            return Next::Bytes(first);
        }
        match self.step().await {
            Step::Bytes(bytes) => Next::Bytes(bytes),
            Step::End => Next::End,
            Step::Failed(failure) => match &mut self.framing {
                Framing::Events(scanner) | Framing::Error(scanner, _) => {
                    Next::Bytes(scanner.close_with(&failure.describe().1))
                }
                Framing::Opaque(_) => Next::Broken,
            },
        }
    }

    async fn step(&mut self) -> Step {
        loop {
            if self.ended {
                return Step::End;
            }
            if let Framing::Error(_, text) = &self.framing
                && (error_text(text).1 || text.len() >= MAX_ERROR_BYTES)
            {
                return Step::Failed(self.upstream_error().await);
            }
            let chunk = self.upstream.next().await;
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
                    continue;
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
                    continue;
                }
                (Ok(None), Framing::Events(_)) => {
                    let reason = "the upstream ended the stream before its closing event";
                    return Step::Failed(self.broken_off(reason).await);
                }
                (Err(error), Framing::Events(_) | Framing::Opaque(_)) => {
                    return Step::Failed(self.broken_off(&error.to_string()).await);
                }
            };
            if !bytes.is_empty() {
                return Step::Bytes(bytes);
            }
        }
    }

    /// The upstream has nothing more, though something is missing.
    async fn broken_off(&mut self, reason: &str) -> Failure {
        self.ended = true;
        self.record(Outcome::UpstreamTrouble, Some(reason)).await;
        Failure::AnswerBroken {
            reason: self.call.redact(reason),
        }
    }

    /// The upstream has sent an error in place of what was to come.
    async fn upstream_error(&mut self) -> Failure {
        self.ended = true;
        let Framing::Error(_, text) = &self.framing else {
            return self.broken_off("the upstream sent an error").await;
        };
        let error = ApiError::parse(error_text(text).0);
        // The response's own status said that all was well.
        let refusal = Refusal::new(error.code.unwrap_or(500), error, &self.call);
        self.record(refusal.outcome, Some(&refusal.message)).await;
        refusal.failure
    }

    /// The client left. Dropping the stream afterwards closes the connection to the upstream.
    pub async fn client_gone(mut self) {
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
