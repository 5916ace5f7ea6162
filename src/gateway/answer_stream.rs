//! A response's body that is passed on as it arrives from the upstream. Its attempt is in the log
//! before the last bytes leave.

use super::Failure;
use super::answer_form::AnswerForm;
use super::attempt::{Attempt, ErrorSource, Failed, NO_ANSWER};
use super::error_response::ErrorForm;
use super::ports::{ByteStream, System, TransportError, UpstreamResponse};
use super::request_line::RequestLine;
use crate::store::Database;
use crate::wire::gemini::{self, CallResult, MAX_ERROR_BYTES, diagnose};
use crate::wire::json::{Members, find, parse};
use crate::wire::openai::repair::StreamRepair;
use crate::wire::openai::signatures::Signatures;
use crate::wire::stream::{ArrayScanner, EventScanner, Found, StreamSummary, error_text};
use crate::wire::translate::{StreamError, Translator, Unreadable};
use crate::wire::{ClientApi, Kind, Surface};
use futures::future::{Either, select};
use std::pin::{Pin, pin};

/// Events without content are held up to this size: 64 KiB. A longer stream counts as having
/// content.
const MAX_HELD_EVENTS: usize = 64 * 1024;

/// A streamed answer, and its attempt until its row is written.
pub struct AnswerStream<D, B, S> {
    /// The attempt until its row is written.
    attempt: Option<Attempt<D, S>>,
    /// The request is over when this is dropped.
    _request_line: RequestLine,
    status: u16,
    kind: Kind,
    api: ClientApi,
    upstream: B,
    /// What the upstream sent and was not looked at yet.
    arrived: Option<Result<Option<Vec<u8>>, TransportError>>,
    phase: Phase,
    framing: Framing,
    /// The text of an error in the stream, as far as it has arrived.
    error: Option<Vec<u8>>,
    repair: Option<StreamRepair>,
    /// Translates the events, if the client speaks another API.
    translator: Option<Translator>,
    /// Thought signatures of its tool calls, if it is repaired.
    signatures: Option<Signatures>,
    summary: StreamSummary,
}

/// How far a stream is.
enum Phase {
    /// Nothing was promised to the client: an end without content is a failure.
    Opening,
    /// These bytes are for the client, before anything else arrives.
    Opened(Vec<u8>),
    /// Bytes pass as they arrive.
    Flowing,
    /// Nothing follows.
    Ended,
}

/// How a stream is divided.
pub(super) enum Framing {
    Events(EventScanner),
    /// A JSON array.
    Array(ArrayScanner),
    /// Anything else.
    Opaque(Opaque),
}

pub(super) struct Opaque {
    /// The latest chunk, held back since it may be the last.
    held: Vec<u8>,
    /// The bracket without which the answer is cut short, if it is JSON.
    closing: Option<u8>,
    /// The last byte so far that is not white space.
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

    /// Takes a chunk and returns the one before it.
    fn push(&mut self, chunk: Vec<u8>) -> Vec<u8> {
        self.last = chunk.trim_ascii_end().last().copied().or(self.last);
        std::mem::replace(&mut self.held, chunk)
    }

    fn is_cut_short(&self) -> bool {
        self.closing.is_some() && self.closing != self.last
    }
}

impl Framing {
    /// The bytes that end a failed answer with an error that the client understands; `None` if none
    /// can be appended.
    fn close_with(&mut self, failure: &Failure, kind: Kind, api: ClientApi) -> Option<Vec<u8>> {
        match self {
            Self::Events(scanner) => {
                let error = failure.to_json(api, ErrorForm::Pool);
                let error = match (kind, api) {
                    (Kind::Other, ClientApi::Gemini) => gemini::error_event(&error),
                    _ => on_one_line(&error),
                };
                Some(scanner.close_with(&error))
            }
            Self::Array(scanner) => {
                let error = failure.to_json(ClientApi::Gemini, ErrorForm::Pool);
                scanner.close_with(error.trim_end())
            }
            Self::Opaque(_) => None,
        }
    }
}

/// JSON text without line ends, as an event needs it.
fn on_one_line(json: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(value) => value.to_string(),
        // The pool's own errors are JSON, and others are passed only if they are.
        Err(_) => json.replace(['\r', '\n'], " "),
    }
}

/// The next part of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes for the client, never empty.
    Data(Vec<u8>),
    /// Nothing that can be passed on yet.
    Pending,
    /// The end. The attempt is in the log.
    End,
    /// The upstream broke off, and nothing in the body can tell the client: the connection must be
    /// cut. The attempt is in the log.
    Broken,
}

/// What the upstream sent, before it is passed to the client.
enum Progress {
    /// Bytes for the client, possibly none.
    Data(Vec<u8>),
    End,
    /// It broke off, or sent an error.
    Failed(Failed),
}

/// How a stream begins.
pub(super) enum Opening<D, B, S> {
    /// It has content.
    Stream(Box<AnswerStream<D, B, S>>),
    /// It has ended without content. These are its bytes; the attempt is in the log.
    Empty(Vec<u8>),
    /// It broke off, or is an error, before it had content.
    Failed(Failed),
}

impl<D: Database, B: ByteStream, S: System> AnswerStream<D, B, S> {
    /// A stream of events, or an array, of which nothing was read.
    pub(super) fn new(
        attempt: Attempt<D, S>,
        form: AnswerForm,
        framing: Framing,
        response: UpstreamResponse<B>,
    ) -> Self {
        let AnswerForm {
            api,
            kind,
            surface,
            repair,
            translation,
            ..
        } = form;
        let repair = repair.filter(|_| kind != Kind::Other);
        Self {
            _request_line: attempt.request_line.clone(),
            attempt: Some(attempt),
            status: response.status,
            kind,
            api,
            upstream: response.body,
            arrived: None,
            phase: Phase::Opening,
            framing,
            error: None,
            signatures: repair.as_ref().map(|_| Signatures::default()),
            repair: repair.map(StreamRepair::new),
            translator: translation.as_ref().and_then(Translator::new),
            summary: StreamSummary::new(surface),
        }
    }

    /// A body that passes unparsed, of which `first` was read. If `closing` is given and the body
    /// does not end with it, it is truncated.
    pub(super) fn opaque(
        attempt: Attempt<D, S>,
        status: u16,
        first: Vec<u8>,
        closing: Option<u8>,
        upstream: B,
    ) -> Self {
        Self {
            _request_line: attempt.request_line.clone(),
            attempt: Some(attempt),
            status,
            kind: Kind::Other,
            api: ClientApi::OpenAi,
            upstream,
            arrived: None,
            phase: Phase::Flowing,
            framing: Framing::Opaque(Opaque::new(first, closing)),
            error: None,
            repair: None,
            translator: None,
            signatures: None,
            summary: StreamSummary::new(Surface::OpenAi),
        }
    }

    /// Reads until the stream has content, for as long as `timeout` allows. Nothing is promised to
    /// the client before.
    pub(super) async fn open(
        mut self,
        mut timeout: Pin<&mut dyn Future<Output = ()>>,
    ) -> Opening<D, B, S> {
        let mut held = Vec::new();
        loop {
            let is_late = matches!(
                select(pin!(self.ready()), timeout.as_mut()).await,
                Either::Right(_)
            );
            if is_late {
                return self.fail_to_open(Late::Timeout).await;
            }
            match self.advance().await {
                Progress::Data(bytes) => held.extend(bytes),
                Progress::End if held.is_empty() => {
                    return self.fail_to_open(Late::NoByte).await;
                }
                Progress::End => return Opening::Empty(held),
                Progress::Failed(failed) => return Opening::Failed(failed),
            }
            if self.attempt.is_none() && self.is_empty_answer() {
                return Opening::Empty(held);
            }
            let has_content = self.summary.seen.has_content || self.attempt.is_none();
            if has_content || held.len() > MAX_HELD_EVENTS {
                self.phase = Phase::Opened(held);
                if let Some(attempt) = &self.attempt {
                    attempt.on_first_content().await;
                }
                return Opening::Stream(Box::new(self));
            }
        }
    }

    async fn fail_to_open(mut self, late: Late) -> Opening<D, B, S> {
        let Some(attempt) = self.attempt.take() else {
            return Opening::Empty(Vec::new());
        };
        Opening::Failed(match late {
            Late::Timeout => {
                let error = TransportError::TimedOut;
                attempt
                    .end_without_response(&error, Some(self.status))
                    .await
            }
            Late::NoByte => attempt.end_without_byte(self.status).await,
        })
    }

    /// Waits until [`next`](Self::next) has something to do. This future may be dropped; that of
    /// `next`, which writes to the log, must not.
    pub async fn ready(&mut self) {
        let has_something = matches!(self.phase, Phase::Opened(_) | Phase::Ended)
            || self.arrived.is_some()
            || self.has_whole_error();
        if !has_something {
            self.arrived = Some(self.upstream.next().await);
        }
    }

    /// The error that has begun, as far as it has arrived.
    fn error_json(&self) -> Option<&[u8]> {
        let error = self.error.as_deref()?;
        match self.framing {
            Framing::Events(_) => Some(error_text(error).json),
            Framing::Array(_) | Framing::Opaque(_) => Some(error),
        }
    }

    /// Whether an error has arrived as a whole, or as far as errors are read.
    fn has_whole_error(&self) -> bool {
        self.error
            .as_deref()
            .is_some_and(|error| match self.framing {
                Framing::Events(_) => {
                    error_text(error).is_complete || error.len() >= MAX_ERROR_BYTES
                }
                Framing::Array(_) | Framing::Opaque(_) => true,
            })
    }

    /// The interaction in the stream's first events, while none of them has been sent.
    pub(super) fn begun_interaction(&self) -> Option<&[u8]> {
        let Phase::Opened(first) = &self.phase else {
            return None;
        };
        first.split(|byte| *byte == b'\n').find_map(|line| {
            let Members(event) = parse(line.strip_prefix(b"data:")?)?;
            find(&event, "interaction").map(|interaction| interaction.get().as_bytes())
        })
    }

    /// The next part of the body.
    pub async fn next(&mut self) -> Chunk {
        if let Phase::Opened(first) = &mut self.phase {
            let first = std::mem::take(first);
            self.phase = Phase::Flowing;
            return Chunk::Data(first);
        }
        match self.advance().await {
            Progress::Data(bytes) if bytes.is_empty() => Chunk::Pending,
            Progress::Data(bytes) => Chunk::Data(bytes),
            Progress::End => Chunk::End,
            Progress::Failed(Failed { failure, .. }) => match self.close_with(&failure) {
                Some(end) => Chunk::Data(end),
                None => Chunk::Broken,
            },
        }
    }

    /// The bytes that end a failed answer; `None` if none can be appended.
    fn close_with(&mut self, failure: &Failure) -> Option<Vec<u8>> {
        let Some(translator) = &mut self.translator else {
            return self.framing.close_with(failure, self.kind, self.api);
        };
        let error = failure.describe();
        Some(translator.fail(&StreamError {
            status: error.status.as_u16(),
            kind: error.body.kind,
            code: &error.body.code,
            message: &error.body.message,
        }))
    }

    async fn advance(&mut self) -> Progress {
        if let Phase::Ended = self.phase {
            return Progress::End;
        }
        self.ready().await;
        match self.arrived.take() {
            Some(Ok(Some(chunk))) => {
                if let Some(attempt) = &mut self.attempt {
                    attempt.on_first_byte();
                }
                match self.take(chunk).await {
                    Ok(ready) => Progress::Data(ready),
                    Err(Unreadable) => self.end_unreadable().await,
                }
            }
            Some(Ok(None)) => self.on_upstream_end(None).await,
            Some(Err(error)) => self.on_upstream_end(Some(error)).await,
            // The error is complete, so nothing is waited for.
            None => self.end_with_upstream_error().await,
        }
    }

    /// Takes a chunk and returns what of it is for the client.
    ///
    /// # Errors
    /// The answer is to be translated, and cannot be read.
    async fn take(&mut self, chunk: Vec<u8>) -> Result<Vec<u8>, Unreadable> {
        if let Some(error) = &mut self.error {
            error.extend_from_slice(&chunk);
            return Ok(Vec::new());
        }
        let (ready, found) = match &mut self.framing {
            Framing::Opaque(body) => return Ok(body.push(chunk)),
            Framing::Events(scanner) => {
                let scan = scanner.push(chunk);
                self.summary.take(&scan.ready);
                let ready = match (&mut self.repair, &mut self.translator) {
                    (Some(repair), _) => repair.lines(scan.ready),
                    (None, Some(translator)) => translator.push(&scan.ready)?,
                    (None, None) => scan.ready,
                };
                if let Some(signatures) = &mut self.signatures {
                    signatures.take_lines(&ready);
                }
                (ready, scan.found)
            }
            Framing::Array(scanner) => {
                let scan = scanner.push(chunk);
                for element in scan.elements {
                    self.summary
                        .take_element(scan.ready.get(element).unwrap_or_default());
                }
                (scan.ready, scan.found)
            }
        };
        match found {
            Found::Nothing => {}
            Found::Done => self.end().await,
            Found::Error(begun) => self.error = Some(begun),
        }
        Ok(ready)
    }

    /// The upstream has ended the body, or broken off.
    async fn on_upstream_end(&mut self, error: Option<TransportError>) -> Progress {
        if self.error.is_some() {
            return self.end_with_upstream_error().await;
        }
        let rest = match &mut self.framing {
            Framing::Opaque(body) if error.is_none() && !body.is_cut_short() => {
                Some(std::mem::take(&mut body.held))
            }
            Framing::Opaque(_) => None,
            // After the closing event nothing is missing.
            Framing::Events(_) | Framing::Array(_) if self.attempt.is_none() => {
                self.phase = Phase::Ended;
                return Progress::End;
            }
            Framing::Events(scanner) => {
                // Without a known last event, only a clean end is one.
                let may_be_whole = error.is_none() || self.kind != Kind::Other;
                scanner
                    .end()
                    .filter(|_| may_be_whole)
                    .inspect(|rest| self.summary.take(rest))
            }
            Framing::Array(_) => None,
        };
        match rest {
            Some(rest) => {
                let Ok(rest) = self.translate_rest(rest) else {
                    return self.end_unreadable().await;
                };
                self.end().await;
                self.phase = Phase::Ended;
                Progress::Data(rest)
            }
            None => self.end_broken_off(error).await,
        }
    }

    /// What the client gets of the last bytes.
    fn translate_rest(&mut self, rest: Vec<u8>) -> Result<Vec<u8>, Unreadable> {
        let Some(translator) = &mut self.translator else {
            return Ok(rest);
        };
        let mut events = translator.push(&rest)?;
        events.append(&mut translator.end()?);
        Ok(events)
    }

    /// The upstream has sent something that cannot be translated.
    async fn end_unreadable(&mut self) -> Progress {
        self.phase = Phase::Ended;
        match self.attempt.take() {
            Some(attempt) => Progress::Failed(attempt.end_broken_off(self.status, NO_ANSWER).await),
            None => Progress::End,
        }
    }

    /// The upstream has nothing more, though something is missing.
    async fn end_broken_off(&mut self, error: Option<TransportError>) -> Progress {
        self.phase = Phase::Ended;
        let Some(attempt) = self.attempt.take() else {
            return Progress::End;
        };
        let reason = match (&error, &self.framing) {
            (Some(error), _) => error.to_string(),
            (None, Framing::Opaque(_)) => NO_ANSWER.to_owned(),
            (None, _) => "the upstream ended the stream before its closing event".to_owned(),
        };
        let mut failed = attempt.end_broken_off(self.status, &reason).await;
        if error == Some(TransportError::Stopping) {
            failed.failure = Failure::Stopping;
        }
        Progress::Failed(failed)
    }

    /// The upstream has sent an error instead of the rest. It is diagnosed from what has arrived.
    async fn end_with_upstream_error(&mut self) -> Progress {
        self.phase = Phase::Ended;
        let Some(attempt) = self.attempt.take() else {
            return Progress::End;
        };
        let json = self.error_json().unwrap_or_default();
        let diagnosis = diagnose(CallResult::InStream(json), &attempt.traits);
        // Clients of interactions know Google's own error codes.
        let body = Some(json).filter(|_| self.kind == Kind::Other);
        let ended = attempt.end_with_error(&diagnosis, ErrorSource::Answer, body);
        Progress::Failed(ended.await)
    }

    /// Ends the attempt because the client left. Dropping the stream closes the upstream
    /// connection.
    pub async fn client_gone(mut self) {
        if self.error.is_some() {
            self.end_with_upstream_error().await;
        } else if let Some(attempt) = self.attempt.take() {
            self.save_signatures(&attempt).await;
            let usage = self.summary.seen.usage;
            attempt.end_without_client(self.status, usage).await;
        }
    }

    /// Whether a model has said nothing.
    fn is_empty_answer(&self) -> bool {
        self.kind != Kind::Other && self.summary.seen.is_empty_answer()
    }

    /// Ends the attempt, since the answer is complete.
    async fn end(&mut self) {
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        self.save_signatures(&attempt).await;
        let usage = self.summary.seen.usage;
        if let Phase::Opening = self.phase
            && self.is_empty_answer()
        {
            attempt.end_without_content(self.status, usage).await;
        } else {
            attempt.end_with_answer(self.status, usage).await;
        }
    }

    async fn save_signatures(&mut self, attempt: &Attempt<D, S>) {
        if let Some(signatures) = self.signatures.take() {
            attempt.save_signatures(&signatures.collected()).await;
        }
        if let Some(translator) = &mut self.translator {
            attempt.save_signatures(&translator.signed_calls()).await;
        }
    }
}

/// Why a stream without content is given up.
enum Late {
    /// It had no content in time.
    Timeout,
    /// It ended without a byte.
    NoByte,
}
