//! Answers: what the client gets, whole or bit by bit.

use super::Failure;
use super::attempt::{Form, NO_ANSWER, no_byte};
use super::call::{Call, EMPTY, End};
use super::headers::UPLOAD_STATUS;
use super::ports::{ByteStream, System, TransportError};
use crate::pool::Outcome;
use crate::store::Database;
use crate::wire::gemini::{self, MAX_ERROR_BYTES, Seen, diagnose};
use crate::wire::json::{Members, find};
use crate::wire::openai::repair::StreamRepair;
use crate::wire::openai::signatures::Signatures;
use crate::wire::stream::ArrayScanner;
use crate::wire::stream::StreamSummary;
use crate::wire::stream::{EventScanner, Found, error_text};
use crate::wire::{Kind, Surface};
use futures::future::{Either, select};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use std::pin::{Pin, pin};

/// Events without content are held up to this size; then they are the answer: 64 KiB.
const MAX_HELD_EVENTS: usize = 64 * 1024;

/// An answer, ready to be sent.
pub struct Reply<D, B, S> {
    /// HTTP status.
    pub status: StatusCode,
    /// Response headers. `content-length` is there once the reply is framed, where it is known.
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

    /// Says how long the body is, and takes it away where there must be none: from an answer to `HEAD`, which has the length
    /// that one to `GET` would have (RFC 9110 §8.6, §9.3.2). What the upstream said stands in the place of a length that
    /// nobody here knows.
    pub(super) fn frame(&mut self, method: &Method) {
        let Body::Whole(bytes) = &mut self.body else {
            return;
        };
        let length = HeaderValue::from(bytes.len());
        let is_bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&self.status);
        if self.status == StatusCode::NO_CONTENT {
            self.headers.remove(header::CONTENT_LENGTH);
        } else if !is_bodiless && (*method != Method::HEAD || !bytes.is_empty()) {
            self.headers.insert(header::CONTENT_LENGTH, length);
        }
        if is_bodiless || *method == Method::HEAD {
            bytes.clear();
        }
    }

    /// Says of an upload's refused part that nothing can follow: google-genai for Python would send it three times more. What
    /// another time may cure does not say so.
    pub(super) fn end_upload(&mut self) {
        let may_be_cured = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        if self.status.is_client_error() && !may_be_cured.contains(&self.status) {
            self.headers
                .entry(UPLOAD_STATUS)
                .or_insert(HeaderValue::from_static("final"));
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

/// A body that is handed on as it arrives from the upstream, recorded before its last bytes.
pub struct AnswerStream<D, B, S> {
    call: Call<D, S>,
    status: u16,
    kind: Kind,
    surface: Surface,
    upstream: B,
    /// What came of the upstream and was not looked at yet.
    arrived: Option<Result<Option<Vec<u8>>, TransportError>>,
    /// What was ready for the client before the answer began.
    first: Option<Vec<u8>>,
    framing: Framing,
    repair: Option<StreamRepair>,
    /// Thought signatures of its tool calls; where nothing is repaired none is kept.
    signatures: Option<Signatures>,
    tally: StreamSummary,
    /// The client has got something, or will: an end without content is then an end like any other.
    promised: bool,
    recorded: bool,
    ended: bool,
}

/// What the beginning of a stream came to.
pub(super) enum Begun<D, B, S> {
    /// It says something.
    Stream(Box<AnswerStream<D, B, S>>),
    /// It has ended without. These are its bytes; the call is in the log.
    Empty(Vec<u8>),
    /// It broke off, or is an error, before it said anything. The call is in the log.
    Failed(Outcome, Failure),
}

enum Framing {
    /// Events.
    Events(EventScanner),
    /// Events that have come to an error: what has arrived of it.
    Error(EventScanner, Vec<u8>),
    /// A JSON array.
    Array(ArrayScanner),
    /// An array that has come to an error.
    ArrayError(ArrayScanner, Vec<u8>),
    /// Anything else.
    Opaque(Opaque),
}

struct Opaque {
    /// The latest chunk is held back, since it may be the last.
    held: Vec<u8>,
    /// The bracket without which the answer is cut short, if it is JSON.
    closing: Option<u8>,
    /// The last byte so far that is no white space.
    last: Option<u8>,
}

impl Opaque {
    fn new(first: Vec<u8>, closing: Option<u8>) -> Self {
        Self {
            last: first.trim_ascii_end().last().copied(),
            held: first,
            closing,
        }
    }

    /// Takes a chunk, and gives the one before it.
    fn push(&mut self, chunk: Vec<u8>) -> Vec<u8> {
        self.last = chunk.trim_ascii_end().last().copied().or(self.last);
        std::mem::replace(&mut self.held, chunk)
    }

    fn is_cut_short(&self) -> bool {
        self.closing.is_some() && self.closing != self.last
    }
}

impl Framing {
    /// How an answer ends in which nothing can follow, as an error that the client reads; `None` where none does.
    fn close_with(&mut self, failure: &Failure, kind: Kind, surface: Surface) -> Option<Vec<u8>> {
        match self {
            Self::Events(scanner) | Self::Error(scanner, _) => {
                let error = failure.to_json(surface, false);
                let error = match (kind, surface) {
                    (Kind::Other, Surface::Gemini) => gemini::error_event(&error),
                    _ => in_a_line(&error),
                };
                Some(scanner.close_with(&error))
            }
            Self::Array(scanner) | Self::ArrayError(scanner, _) => {
                scanner.close_with(failure.to_json(Surface::Gemini, false).trim_end())
            }
            Self::Opaque(_) => None,
        }
    }
}

/// JSON text without line ends, as an event needs it.
fn in_a_line(json: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(value) => value.to_string(),
        // Its own errors are JSON, and of others only what was read as such.
        Err(_) => json.replace(['\r', '\n'], " "),
    }
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
    Failed(Outcome, Failure),
}

impl<D: Database, B: ByteStream, S: System> AnswerStream<D, B, S> {
    /// Reads a stream of events, or an array, until it says something, for as long as `timeout` allows. Nothing has been promised to the
    /// client until then.
    pub(super) async fn begin(
        call: Call<D, S>,
        status: u16,
        form: Form,
        is_array: bool,
        upstream: B,
        mut timeout: Pin<&mut dyn Future<Output = ()>>,
    ) -> Begun<D, B, S> {
        let framing = if is_array {
            Framing::Array(ArrayScanner::default())
        } else {
            Framing::Events(EventScanner::new(form.kind))
        };
        let mut stream = Self::new(call, status, framing, form.kind, form.surface, upstream);
        if form.kind != Kind::Other {
            stream.signatures = form.repair.as_ref().map(|_| Signatures::default());
            stream.repair = form.repair.map(StreamRepair::new);
        }
        let mut held = Vec::new();
        loop {
            let is_late = matches!(
                select(pin!(stream.ready()), timeout.as_mut()).await,
                Either::Right(_)
            );
            if is_late {
                let late = TransportError::TimedOut;
                let (outcome, failure) = stream.call.silent(&late, Some(status)).await;
                return Begun::Failed(outcome, failure);
            }
            match stream.step().await {
                Step::Bytes(bytes) => held.extend(bytes),
                Step::End if held.is_empty() => {
                    let (outcome, failure) = no_byte(&stream.call, status).await;
                    return Begun::Failed(outcome, failure);
                }
                Step::End => return Begun::Empty(held),
                Step::Failed(outcome, failure) => return Begun::Failed(outcome, failure),
            }
            if stream.recorded && stream.is_empty_answer() {
                return Begun::Empty(held);
            }
            if stream.tally.seen.has_content || stream.recorded || held.len() > MAX_HELD_EVENTS {
                stream.promised = true;
                stream.first = Some(held);
                if !stream.recorded {
                    stream.call.works().await;
                }
                return Begun::Stream(Box::new(stream));
            }
        }
    }

    /// Any other body, of which `first` has been read, and which is cut short unless it ends with `closing`.
    pub(super) fn opaque(
        call: Call<D, S>,
        status: u16,
        first: Vec<u8>,
        closing: Option<u8>,
        upstream: B,
    ) -> Self {
        let framing = Framing::Opaque(Opaque::new(first, closing));
        Self {
            promised: true,
            ..Self::new(
                call,
                status,
                framing,
                Kind::Other,
                Surface::OpenAi,
                upstream,
            )
        }
    }

    fn new(
        call: Call<D, S>,
        status: u16,
        framing: Framing,
        kind: Kind,
        surface: Surface,
        upstream: B,
    ) -> Self {
        Self {
            call,
            status,
            kind,
            surface,
            upstream,
            arrived: None,
            first: None,
            framing,
            repair: None,
            signatures: None,
            tally: StreamSummary::new(surface),
            promised: false,
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

    /// The interaction in the stream's first events, as long as none of them has been sent.
    pub(super) fn begun_interaction(&self) -> Option<&[u8]> {
        let mut lines = self.first.as_deref()?.split(|byte| *byte == b'\n');
        lines.find_map(|line| {
            let Members(event) = serde_json::from_slice(line.strip_prefix(b"data:")?).ok()?;
            find(&event, "interaction").map(|interaction| interaction.get().as_bytes())
        })
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
            Step::Failed(_, failure) => {
                match self.framing.close_with(&failure, self.kind, self.surface) {
                    Some(end) => Next::Bytes(end),
                    None => Next::Broken,
                }
            }
        }
    }

    async fn step(&mut self) -> Step {
        if self.ended {
            return Step::End;
        }
        self.ready().await;
        let Some(chunk) = self.arrived.take() else {
            // An error that has come to its end waits for nothing more.
            return self.upstream_error().await;
        };
        if let Ok(Some(_)) = &chunk {
            self.call.first_byte();
        }
        let bytes = match (chunk, &mut self.framing) {
            (Ok(Some(chunk)), Framing::Events(scanner)) => {
                let scan = scanner.push(chunk);
                self.tally.take(&scan.ready);
                let ready = match &mut self.repair {
                    Some(repair) => repair.lines(scan.ready),
                    None => scan.ready,
                };
                if let Some(signatures) = &mut self.signatures {
                    signatures.take_lines(&ready);
                }
                match scan.found {
                    Found::Nothing => {}
                    Found::Done => self.record_end().await,
                    Found::Error(begun) => {
                        let scanner = std::mem::replace(scanner, EventScanner::new(Kind::Chat));
                        self.framing = Framing::Error(scanner, begun);
                    }
                }
                ready
            }
            (Ok(Some(chunk)), Framing::Error(_, text)) => {
                text.extend_from_slice(&chunk);
                Vec::new()
            }
            (Ok(Some(chunk)), Framing::Array(scanner)) => {
                let scan = scanner.push(chunk);
                for element in scan.elements {
                    self.tally
                        .take_element(scan.ready.get(element).unwrap_or_default());
                }
                match scan.found {
                    Found::Nothing => {}
                    Found::Done => self.record_end().await,
                    Found::Error(error) => {
                        self.framing = Framing::ArrayError(std::mem::take(scanner), error);
                    }
                }
                scan.ready
            }
            (Ok(Some(_)), Framing::ArrayError(..)) => Vec::new(),
            (Ok(Some(chunk)), Framing::Opaque(body)) => body.push(chunk),
            (Ok(None), Framing::Opaque(body)) if body.is_cut_short() => {
                return self.broken_off(None).await;
            }
            (Ok(None), Framing::Opaque(body)) => {
                let last = std::mem::take(&mut body.held);
                self.record_end().await;
                self.ended = true;
                last
            }
            (Ok(None) | Err(_), Framing::Error(..) | Framing::ArrayError(..)) => {
                return self.upstream_error().await;
            }
            // After the closing event nothing is missing.
            (Ok(None) | Err(_), Framing::Events(_) | Framing::Array(_)) if self.recorded => {
                self.ended = true;
                return Step::End;
            }
            (ended, Framing::Events(scanner)) => {
                // Nothing after the last event belongs to the answer. Without a known last event, only a clean end is one.
                let may_be_whole = ended.is_ok() || self.kind != Kind::Other;
                if let Some(rest) = scanner.end().filter(|_| may_be_whole) {
                    self.tally.take(&rest);
                    self.record_end().await;
                    self.ended = true;
                    return Step::Bytes(rest);
                }
                return self.broken_off(ended.err()).await;
            }
            (ended, Framing::Array(_)) => {
                return self.broken_off(ended.err()).await;
            }
            (Err(error), Framing::Opaque(_)) => {
                return self.broken_off(Some(error)).await;
            }
        };
        Step::Bytes(bytes)
    }

    /// An error has come to its end, or to more than is read of one.
    fn has_whole_error(&self) -> bool {
        match &self.framing {
            Framing::Error(_, text) => error_text(text).1 || text.len() >= MAX_ERROR_BYTES,
            Framing::ArrayError(..) => true,
            Framing::Events(_) | Framing::Array(_) | Framing::Opaque(_) => false,
        }
    }

    /// The upstream has nothing more, though something is missing.
    async fn broken_off(&mut self, error: Option<TransportError>) -> Step {
        (self.ended, self.recorded) = (true, true);
        let is_stopping = error == Some(TransportError::Stopping);
        let reason = match (error, &self.framing) {
            (Some(error), _) => error.to_string(),
            (None, Framing::Opaque(_)) => NO_ANSWER.to_owned(),
            (None, _) => "the upstream ended the stream before its closing event".to_owned(),
        };
        let failure = self.call.broken_off(self.status, &reason).await;
        let failure = if is_stopping {
            Failure::Stopping
        } else {
            failure
        };
        Step::Failed(Outcome::UpstreamTrouble, failure)
    }

    /// The upstream has sent an error in place of what was to come: what has arrived of it counts.
    async fn upstream_error(&mut self) -> Step {
        (self.ended, self.recorded) = (true, true);
        let text = match &self.framing {
            Framing::Error(_, text) => error_text(text).0,
            Framing::ArrayError(_, text) => text.as_slice(),
            Framing::Events(_) | Framing::Array(_) | Framing::Opaque(_) => &[],
        };
        let diagnosis = diagnose(Seen::InStream(text), &self.call.traits);
        // Clients of interactions know Google's own error codes.
        let body = Some(text).filter(|_| self.kind == Kind::Other);
        let failure = self.call.failed(&diagnosis, true, body).await;
        Step::Failed(diagnosis.outcome, failure)
    }

    /// The client left. Dropping the stream afterwards closes the connection to the upstream.
    pub async fn client_gone(mut self) {
        if let Framing::Error(..) | Framing::ArrayError(..) = self.framing {
            if !self.recorded {
                self.upstream_error().await;
            }
            return;
        }
        self.record(
            Outcome::ClientGone,
            Some("the client closed the connection before the end of the answer"),
        )
        .await;
    }

    /// Whether a model has said nothing.
    fn is_empty_answer(&self) -> bool {
        self.kind != Kind::Other && self.tally.seen.is_empty_answer()
    }

    /// The answer has come to its end.
    async fn record_end(&mut self) {
        if !self.promised && self.is_empty_answer() {
            self.record(Outcome::EmptyAnswer, Some(EMPTY)).await;
        } else {
            self.record(Outcome::Success, None).await;
        }
    }

    async fn record(&mut self, outcome: Outcome, message: Option<&str>) {
        if !self.recorded {
            self.recorded = true;
            if let Some(signatures) = self.signatures.take() {
                self.call.keep_signatures(&signatures.collected()).await;
            }
            let end = End {
                message,
                usage: self.tally.seen.usage,
                ..End::new(outcome, Some(self.status))
            };
            self.call.end(end).await;
        }
    }
}
