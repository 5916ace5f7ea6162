//! Answers: what the client gets, whole or bit by bit.

use super::ports::{ByteStream, System, TransportError};
use crate::openai::{DoneScanner, ErrorBody, error_event};
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
    /// Bytes that were read before the answer began.
    first: Option<Vec<u8>>,
    framing: Framing,
    recorded: bool,
    ended: bool,
}

enum Framing {
    /// Events, closed by `data: [DONE]`.
    Events(DoneScanner),
    /// Anything else. The latest chunk is held back, since it may be the last.
    Opaque(Option<Vec<u8>>),
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

impl<D: Database, B: ByteStream, S: System> AnswerStream<D, B, S> {
    pub(super) fn events(call: Call<D, S>, status: u16, first: Vec<u8>, upstream: B) -> Self {
        Self::new(
            call,
            status,
            first,
            upstream,
            Framing::Events(DoneScanner::default()),
        )
    }

    pub(super) fn opaque(call: Call<D, S>, status: u16, first: Vec<u8>, upstream: B) -> Self {
        Self::new(call, status, first, upstream, Framing::Opaque(None))
    }

    fn new(call: Call<D, S>, status: u16, first: Vec<u8>, upstream: B, framing: Framing) -> Self {
        Self {
            call,
            status,
            upstream,
            first: Some(first),
            framing,
            recorded: false,
            ended: false,
        }
    }

    /// The next bytes for the client.
    pub async fn next(&mut self) -> Next {
        loop {
            if self.ended {
                return Next::End;
            }
            let chunk = match self.first.take() {
                Some(first) => Ok(Some(first)),
                None => self.upstream.next().await,
            };
            let bytes = match (chunk, &mut self.framing) {
                (Ok(Some(chunk)), Framing::Events(scanner)) => {
                    let scan = scanner.push(chunk);
                    if scan.done {
                        self.record(Outcome::Success, None).await;
                    }
                    scan.ready
                }
                (Ok(Some(chunk)), Framing::Opaque(held)) => held.replace(chunk).unwrap_or_default(),
                (Ok(None), Framing::Opaque(held)) => {
                    let last = held.take().unwrap_or_default();
                    self.record(Outcome::Success, None).await;
                    self.ended = true;
                    last
                }
                (Err(error), Framing::Opaque(_)) => {
                    self.record(Outcome::UpstreamTrouble, Some(&error.to_string()))
                        .await;
                    self.ended = true;
                    return Next::Broken;
                }
                (Ok(None), Framing::Events(_)) => self.close_events(None).await,
                (Err(error), Framing::Events(_)) => self.close_events(Some(error)).await,
            };
            if !bytes.is_empty() {
                return Next::Bytes(bytes);
            }
        }
    }

    /// The upstream has nothing more. Without the closing line before, the client is told in an event: a stream that
    /// merely stops looks complete to the official clients.
    async fn close_events(&mut self, error: Option<TransportError>) -> Vec<u8> {
        self.ended = true;
        if self.recorded {
            return Vec::new();
        }
        let reason = match error {
            Some(error) => error.to_string(),
            None => "the upstream ended the stream before its closing event".to_owned(),
        };
        self.record(Outcome::UpstreamTrouble, Some(&reason)).await;
        let Framing::Events(scanner) = &mut self.framing else {
            return Vec::new();
        };
        let (mut bytes, clean) = scanner.finish();
        let error = ErrorBody {
            message: format!("The answer is incomplete: {reason}."),
            kind: "server_error",
            param: None,
            code: "upstream_stream_broken".to_owned(),
        };
        bytes.extend(error_event(&error, !clean));
        bytes
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
