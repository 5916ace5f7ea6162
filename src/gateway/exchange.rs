//! One call to the upstream, up to the moment when the caller can be given something of the answer.
//!
//! Nothing can be tried again once a byte has gone to the client. So a plain answer is read to its
//! end, and a stream until it has content, before the caller gets anything.

use super::answer_form::{AnswerForm, MAX_HELD_ANSWER};
use super::answer_stream::{AnswerStream, Framing, Opening};
use super::attempt::{Attempt, ErrorSource, Failed, NO_ANSWER};
use super::headers;
use super::ports::{ByteStream, System, TransportError, Upstream, UpstreamResponse};
use super::reply::{Body, Reply};
use super::request_body::declared_length;
use super::upstream_request::UpstreamRequest;
use crate::pool::{Deadlines, Outcome, UnixMillis};
use crate::store::Database;
use crate::wire::Kind;
use crate::wire::gemini::{
    CallResult, Fault, MAX_ERROR_BYTES, closing_bracket, diagnose, is_events, is_page, is_readable,
    unpacked_answer,
};
use crate::wire::openai::repair;
use crate::wire::openai::signatures::{Signatures, SignedCall};
use crate::wire::stream::{ArrayScanner, EventScanner, summarize};
use crate::wire::translate::{self, Delivery};
use futures::future::{Either, select};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Uri};
use std::pin::{Pin, pin};

/// Capacity for an answer that declares to be larger, so that what is held of it is never moved.
const HELD_CAPACITY: usize = MAX_HELD_ANSWER + MAX_HELD_ANSWER / 4;

/// Google redirects downloads of what it has made to other paths of its host.
const MAX_REDIRECTS: usize = 3;

/// The result of a call before the caller got anything. Its row is in the log unless the answer is
/// still arriving.
pub(super) enum Attempted<D, B, S> {
    /// An answer.
    Answered(Reply<D, B, S>),
    /// An answer without content, to be passed on if there is no better one.
    Empty(Reply<D, B, S>),
    /// No answer.
    Failed(Failed),
}

impl<D, B, S> From<Failed> for Attempted<D, B, S> {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

type Timer<'t> = Pin<&'t mut dyn Future<Output = ()>>;

/// The timers of a call. Each starts when it is first waited for.
struct Timers<'t> {
    /// Ends when the answer must have content.
    content: Timer<'t>,
    /// Ends when all of it must be there.
    answer: Timer<'t>,
}

/// An attempt in flight, its request and its deadlines.
pub(super) struct Exchange<'a, D, S> {
    pub(super) attempt: Attempt<D, S>,
    pub(super) request: &'a UpstreamRequest<'a>,
    pub(super) deadlines: Deadlines,
}

/// A plain answer that has arrived, with the response's head.
struct PlainAnswer<'h, D, B, S> {
    status: u16,
    /// The upstream's headers.
    headers: &'h HeaderMap,
    reply: Reply<D, B, S>,
    bytes: Vec<u8>,
    /// Compressed in a way that is not read here.
    is_encoded: bool,
}

impl<D: Database, S: System> Exchange<'_, D, S> {
    /// Sends the call and waits for its answer.
    pub(super) async fn run<U: Upstream>(
        self,
        upstream: &U,
        headers: HeaderMap,
    ) -> Attempted<D, U::Body, S> {
        if let Some(fault) = self.attempt.drill {
            return drilled(self.attempt, fault).await.into();
        }
        let system = self.attempt.system.clone();
        let until = async |deadline: UnixMillis| system.wait(left_ms(&system, deadline)).await;
        let timers = Timers {
            content: pin!(until(self.deadlines.content_by)),
            answer: pin!(until(self.deadlines.answer_by)),
        };
        match self.send(upstream, headers).await {
            Err(error) => self.attempt.end_without_response(&error, None).await.into(),
            Ok(response) if self.request.form.is_answer(response.status) => {
                self.read(response, timers).await
            }
            Ok(response) => refused(self.attempt, response, timers.content).await.into(),
        }
    }

    /// Sends the request and follows redirects of reads.
    async fn send<U: Upstream>(
        &self,
        upstream: &U,
        headers: HeaderMap,
    ) -> Result<UpstreamResponse<U::Body>, TransportError> {
        let (request, method) = (self.request, self.request.method);
        let timeouts = || {
            let now = self.attempt.system.now();
            self.deadlines.timeouts(now)
        };
        if ![Method::GET, Method::HEAD].contains(method) {
            let body = request.body.clone();
            let uri = &request.uri;
            return upstream.send(method, uri, headers, body, timeouts()).await;
        }
        let (mut uri, mut body) = (request.uri.clone(), request.body.clone());
        let mut redirects = 0;
        loop {
            let body = std::mem::take(&mut body);
            let response = upstream
                .send(method, &uri, headers.clone(), body, timeouts())
                .await?;
            match redirect(&response, &uri) {
                Some(to) if redirects < MAX_REDIRECTS => uri = to,
                _ => return Ok(response),
            }
            redirects += 1;
        }
    }

    async fn read<B: ByteStream>(
        self,
        response: UpstreamResponse<B>,
        timers: Timers<'_>,
    ) -> Attempted<D, B, S> {
        let form = &self.request.form;
        let mut reply =
            Reply::empty(StatusCode::from_u16(response.status).unwrap_or(StatusCode::OK));
        reply.headers = headers::to_client(&response.headers, &self.attempt.secrets);
        if form.translation.is_some() {
            // Google sends its streams as attachments.
            reply.headers.remove(header::CONTENT_DISPOSITION);
        }
        let is_encoded = reply.headers.contains_key(header::CONTENT_ENCODING);
        let is_events = *self.request.method != Method::HEAD
            && content_type(&reply.headers)
                .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/event-stream"));
        let is_model = form.kind != Kind::Other;
        let is_stream = (is_events && (is_model || !is_encoded)) || (form.is_array && is_model);
        if is_stream && is_encoded {
            let reason = "the upstream compressed a stream, which it was asked not to";
            let ended = self.attempt.end_broken_off(response.status, reason);
            return ended.await.into();
        }
        if is_stream {
            let no_cache = HeaderValue::from_static("no-cache");
            reply.headers.insert(header::CACHE_CONTROL, no_cache);
            let framing = match is_events {
                true => Framing::Events(EventScanner::new(form.kind)),
                false => Framing::Array(ArrayScanner::default()),
            };
            let stream = AnswerStream::new(self.attempt, form.clone(), framing, response);
            return match stream.open(timers.content).await {
                Opening::Stream(stream) => {
                    reply.body = Body::Stream(stream);
                    Attempted::Answered(reply)
                }
                Opening::Empty(bytes) => {
                    reply.body = Body::Whole(bytes);
                    Attempted::Empty(reply)
                }
                Opening::Failed(failed) => failed.into(),
            };
        }
        self.read_plain(response, reply, is_events, timers).await
    }

    async fn read_plain<B: ByteStream>(
        mut self,
        response: UpstreamResponse<B>,
        mut reply: Reply<D, B, S>,
        is_events: bool,
        mut timers: Timers<'_>,
    ) -> Attempted<D, B, S> {
        let UpstreamResponse {
            status,
            headers,
            mut body,
        } = response;
        let is_encoded = reply.headers.contains_key(header::CONTENT_ENCODING);
        let is_model = self.request.form.kind != Kind::Other;
        let declared = declared_length(&headers).unwrap_or_default();
        let declared = usize::try_from(declared).unwrap_or(HELD_CAPACITY);
        let mut bytes = Vec::with_capacity(declared.min(HELD_CAPACITY));
        loop {
            match self.append(&mut body, &mut bytes, &mut timers).await {
                Ok(true) => self.attempt.on_first_byte(),
                Ok(false) => {
                    let plain = PlainAnswer {
                        status,
                        headers: &headers,
                        reply,
                        bytes,
                        is_encoded,
                    };
                    return self.finish(plain).await;
                }
                Err(error @ (TransportError::TimedOut | TransportError::Stopping)) => {
                    let ended = self.attempt.end_without_response(&error, Some(status));
                    return ended.await.into();
                }
                Err(error) => {
                    let reason = error.to_string();
                    return self.attempt.end_broken_off(status, &reason).await.into();
                }
            }
            let is_large = bytes.len() > self.request.form.max_held();
            let is_translated = self.request.form.translation.is_some();
            let is_page = || is_model && !is_encoded && is_page(&bytes);
            if is_large && (is_translated || is_page()) {
                return self.attempt.end_broken_off(status, NO_ANSWER).await.into();
            }
            if (is_events && !is_translated) || is_large {
                self.attempt.on_first_content().await;
                let closing = match self.must_answer() && !is_encoded {
                    true => closing_bracket(&bytes),
                    false => None,
                };
                let stream = AnswerStream::opaque(self.attempt, status, bytes, closing, body);
                reply.body = Body::Stream(Box::new(stream));
                return Attempted::Answered(reply);
            }
        }
    }

    /// Whether the body must be an answer that a model gives.
    fn must_answer(&self) -> bool {
        self.request.form.kind != Kind::Other || self.attempt.traits.is_model_call
    }

    /// Appends the next bytes of a body, within the deadlines.
    async fn append<B: ByteStream>(
        &self,
        body: &mut B,
        bytes: &mut Vec<u8>,
        timers: &mut Timers<'_>,
    ) -> Result<bool, TransportError> {
        let now = self.attempt.system.now();
        let answer_by = self.deadlines.answer_by;
        // A slow but steady body never hits an idle timeout, so the deadline is checked explicitly.
        if !bytes.is_empty() && now > answer_by {
            return Err(TransportError::TimedOut);
        }
        let timer = match self.deadlines.idle_by(now) {
            // The host's idle timeout suffices, and costs less than a timer.
            Some(idle_by) if idle_by <= answer_by => return body.append(bytes).await,
            None if bytes.is_empty() => timers.content.as_mut(),
            _ => timers.answer.as_mut(),
        };
        match select(pin!(body.append(bytes)), timer).await {
            Either::Left((more, _)) => more,
            Either::Right(_) => Err(TransportError::TimedOut),
        }
    }

    /// Ends the attempt with a plain answer that has arrived.
    async fn finish<B>(self, mut plain: PlainAnswer<'_, D, B, S>) -> Attempted<D, B, S> {
        if self.must_answer() && is_gzip(&plain.reply.headers) {
            let Some(bytes) = unpacked_answer(plain.bytes) else {
                let ended = self.attempt.end_broken_off(plain.status, NO_ANSWER);
                return ended.await.into();
            };
            plain.reply.headers.remove(header::CONTENT_ENCODING);
            (plain.bytes, plain.is_encoded) = (bytes, false);
        }
        match self.request.form.kind {
            Kind::Other => self.finish_other(plain).await,
            Kind::Chat | Kind::Generate => self.finish_model(plain).await,
        }
    }

    /// A plain answer of an endpoint that is not a model's.
    async fn finish_other<B>(self, plain: PlainAnswer<'_, D, B, S>) -> Attempted<D, B, S> {
        let is_media = content_type(&plain.reply.headers)
            .is_some_and(|kind| !is_json(kind) && !kind.starts_with("text/"));
        let must_be_readable = self.attempt.traits.is_model_call && !plain.is_encoded && !is_media;
        let usage = match plain.is_encoded {
            true => None,
            false => {
                summarize(self.request.form.surface, &plain.bytes).and_then(|summary| summary.usage)
            }
        };
        let attempt = match must_be_readable {
            true => match check(self.attempt, &plain, is_readable).await {
                Ok(attempt) => attempt,
                Err(failed) => return failed.into(),
            },
            false => self.attempt,
        };
        let mut reply = plain.reply;
        if self.request.form.translation.is_some() {
            if plain.is_encoded || put_into(&self.request.form, &mut reply, plain.bytes).is_err() {
                return attempt.end_broken_off(plain.status, NO_ANSWER).await.into();
            }
            attempt.end_with_answer(plain.status, usage).await;
            return Attempted::Answered(reply);
        }
        attempt.end_with_answer(plain.status, usage).await;
        // The length of an answer to HEAD, and of a 304, is that of the answer to GET.
        if let Some(length) = plain
            .headers
            .get(header::CONTENT_LENGTH)
            .filter(|_| plain.bytes.is_empty())
        {
            reply.headers.insert(header::CONTENT_LENGTH, length.clone());
        }
        if plain.is_encoded {
            reply.body = Body::Whole(plain.bytes);
        } else {
            let _ = put_into(&self.request.form, &mut reply, plain.bytes);
        }
        Attempted::Answered(reply)
    }

    /// A plain answer of a model.
    async fn finish_model<B>(self, plain: PlainAnswer<'_, D, B, S>) -> Attempted<D, B, S> {
        let status = plain.status;
        if plain.bytes.is_empty() {
            return self.attempt.end_without_byte(status).await.into();
        }
        let summary = match plain.is_encoded {
            true => None,
            false => summarize(self.request.form.surface, &plain.bytes),
        };
        let Some(summary) = summary else {
            let is_translated = self.request.form.translation.is_some();
            let passes = |bytes: &[u8]| !is_translated && (plain.is_encoded || is_events(bytes));
            let attempt = match check(self.attempt, &plain, passes).await {
                Ok(attempt) => attempt,
                Err(failed) => return failed.into(),
            };
            attempt.end_with_answer(status, None).await;
            let mut reply = plain.reply;
            reply.body = Body::Whole(plain.bytes);
            return Attempted::Answered(reply);
        };
        let mut reply = plain.reply;
        let Ok(signed_calls) = put_into(&self.request.form, &mut reply, plain.bytes) else {
            return match summary.is_finished && self.request.form.translation.is_some() {
                true => {
                    let ended = self.attempt.end_incomplete(status, summary.usage);
                    ended.await.into()
                }
                false => self.attempt.end_broken_off(status, NO_ANSWER).await.into(),
            };
        };
        if summary.is_empty_answer() {
            self.attempt
                .end_without_content(status, summary.usage)
                .await;
            return Attempted::Empty(reply);
        }
        self.attempt.save_signatures(&signed_calls).await;
        self.attempt.end_with_answer(status, summary.usage).await;
        Attempted::Answered(reply)
    }
}

/// Milliseconds left until a deadline.
fn left_ms<S: System>(system: &S, deadline: UnixMillis) -> u64 {
    u64::try_from(deadline.since(system.now())).unwrap_or_default()
}

/// Where a response redirects a request on the same host; no key is sent anywhere else.
fn redirect<B>(response: &UpstreamResponse<B>, from: &Uri) -> Option<Uri> {
    let is_redirect = [301, 302, 303, 307, 308].contains(&response.status);
    let location = response
        .headers
        .get(header::LOCATION)
        .filter(|_| is_redirect)?;
    let to: Uri = location.to_str().ok()?.parse().ok()?;
    let is_same_host = match to.authority() {
        Some(authority) => to.scheme() == from.scheme() && Some(authority) == from.authority(),
        None => to.path().starts_with('/'),
    };
    if !is_same_host {
        return None;
    }
    let mut parts = from.clone().into_parts();
    parts.path_and_query = to.path_and_query().cloned();
    Uri::from_parts(parts).ok()
}

/// Ends the attempt if its answer is an error, or does not pass; otherwise returns it.
async fn check<D: Database, B, S: System>(
    attempt: Attempt<D, S>,
    plain: &PlainAnswer<'_, D, B, S>,
    passes: impl FnOnce(&[u8]) -> bool,
) -> Result<Attempt<D, S>, Failed> {
    let response = CallResult::Response {
        status: plain.status,
        headers: plain.headers,
        body: &plain.bytes,
    };
    let diagnosis = diagnose(response, &attempt.traits);
    if diagnosis.outcome != Outcome::Success {
        let body = Some(plain.bytes.as_slice());
        let ended = attempt.end_with_error(&diagnosis, ErrorSource::Answer, body);
        return Err(ended.await);
    }
    if passes(&plain.bytes) {
        return Ok(attempt);
    }
    Err(attempt.end_broken_off(plain.status, NO_ANSWER).await)
}

/// Ends the attempt with a response of any other status.
async fn refused<D: Database, B: ByteStream, S: System>(
    mut attempt: Attempt<D, S>,
    response: UpstreamResponse<B>,
    mut timer: Timer<'_>,
) -> Failed {
    let UpstreamResponse {
        status,
        headers,
        mut body,
    } = response;
    attempt.on_first_byte();
    let mut bytes = Vec::new();
    // If the body breaks off or takes too long, the error is diagnosed from what has arrived, or
    // from the status alone.
    while let Either::Left((Ok(Some(chunk)), _)) = select(pin!(body.next()), timer.as_mut()).await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= MAX_ERROR_BYTES {
            break;
        }
    }
    end_refused(attempt, status, &headers, &bytes).await
}

async fn end_refused<D: Database, S: System>(
    attempt: Attempt<D, S>,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> Failed {
    let response = CallResult::Response {
        status,
        headers,
        body,
    };
    let diagnosis = diagnose(response, &attempt.traits);
    attempt
        .end_with_error(&diagnosis, ErrorSource::Response, Some(body))
        .await
}

/// Ends the attempt as if the upstream had answered with this fault.
async fn drilled<D: Database, S: System>(attempt: Attempt<D, S>, fault: Fault) -> Failed {
    match fault.response() {
        Some((status, body)) => {
            end_refused(attempt, status, &HeaderMap::new(), body.as_bytes()).await
        }
        None => {
            let error = TransportError::Unanswered("ConnectionTerminated".to_owned());
            attempt.end_without_response(&error, None).await
        }
    }
}

/// Puts a plain answer into its reply, in the form that the client requested. Returns the tool calls
/// whose thought signatures the client may not send back.
///
/// # Errors
/// It cannot be converted.
fn put_into<D, B, S>(
    form: &AnswerForm,
    reply: &mut Reply<D, B, S>,
    bytes: Vec<u8>,
) -> Result<Vec<SignedCall>, Inconvertible> {
    let delivery = match form.may_pause && form.kind != Kind::Other {
        true => Delivery::Stream,
        false => Delivery::Whole,
    };
    let (bytes, signed_calls) = match (&form.repair, &form.translation) {
        (_, Some(translation)) => {
            let whole = translate::whole(&bytes, translation, delivery);
            let whole = whole.map_err(|_| Inconvertible)?;
            let content_type = HeaderValue::from_static(whole.content_type);
            reply.headers.insert(header::CONTENT_TYPE, content_type);
            (whole.body, whole.signed_calls)
        }
        (Some(context), None) => {
            let bytes = repair::whole(bytes, context).ok_or(Inconvertible)?;
            let signed_calls = match form.kind {
                Kind::Chat => Signatures::of_answer(&bytes),
                Kind::Generate | Kind::Other => Vec::new(),
            };
            (bytes, signed_calls)
        }
        (None, None) => {
            reply.body = Body::Whole(bytes);
            return Ok(Vec::new());
        }
    };
    reply.body = Body::Whole(bytes);
    if delivery == Delivery::Stream {
        let events = HeaderValue::from_static("text/event-stream");
        reply.headers.insert(header::CONTENT_TYPE, events);
        let no_cache = HeaderValue::from_static("no-cache");
        reply.headers.insert(header::CACHE_CONTROL, no_cache);
    }
    Ok(signed_calls)
}

/// A plain answer that cannot be converted to the requested form.
struct Inconvertible;

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

fn is_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"))
}

fn is_json(content_type: &str) -> bool {
    content_type
        .split(';')
        .next()
        .is_some_and(|kind| kind.trim().ends_with("json"))
}
