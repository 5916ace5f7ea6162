//! One call to the upstream, up to the moment when the caller can be given something of it.
//!
//! Nothing can be tried again once a byte went to the client. So a plain answer is read to its end, and of a stream as much
//! as it takes to know that it says something, before the caller hears of it.

use super::Failure;
use super::call::{Call, EMPTY};
use super::headers;
use super::ports::{ByteStream, Limits, System, TransportError, Upstream, UpstreamResponse};
use super::reply::{AnswerStream, Begun, Body, Reply};
use super::request_body::declared_length;
use crate::pool::{Outcome, UnixMillis};
use crate::store::Database;
use crate::wire::gemini::{
    MAX_ERROR_BYTES, Seen, closing_bracket, diagnose, is_events, is_page, is_readable,
    unpacked_answer,
};
use crate::wire::openai::repair::{self, Asked};
use crate::wire::openai::signatures::Signatures;
use crate::wire::stream::summarize;
use crate::wire::{Kind, Surface};
use futures::future::{Either, select};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Uri};
use std::pin::{Pin, pin};

/// A plain answer up to this size is held until its call is in the log; a larger one streams through, all but its last
/// chunk, so that memory stays bounded.
const MAX_HELD_ANSWER: usize = 1024 * 1024;

/// An answer up to this size is held where it comes in another form than was asked for: 16 MiB, more than Google's largest
/// list of embeddings.
const MAX_REFORMED_ANSWER: usize = 16 * 1024 * 1024;

/// ByteSemaphore for an answer that declares to be larger, so that what is held of it is never moved.
const HELD_ROOM: usize = MAX_HELD_ANSWER + MAX_HELD_ANSWER / 4;

/// Google sends downloads of what it has made elsewhere on its host.
const MOST_REDIRECTS: usize = 3;

/// What a call came to before the caller got anything. The call is in the log, unless its answer is still arriving.
pub(super) enum Attempted<D, B, S> {
    /// An answer.
    Answered(Reply<D, B, S>),
    /// An answer without content, to be handed on if there is no better one.
    Empty(Reply<D, B, S>),
    /// None.
    Failed(Outcome, Failure),
}

/// What is said of a 200 that is no answer.
pub(super) const NO_ANSWER: &str = "the upstream's answer is none, or is cut short";

type Timeout<'a> = Pin<&'a mut dyn Future<Output = ()>>;

/// How long an attempt may take.
pub(super) struct Patience {
    /// Milliseconds until the head of its answer.
    pub(super) head_ms: u64,
    /// Milliseconds until it says something.
    pub(super) content_ms: u64,
    /// Milliseconds until the caller is given something of it.
    pub(super) answer_ms: u64,
    /// Milliseconds from one part of an answer in one piece to the next, whatever is left of the request's time: they hold
    /// for what is given to the caller, too.
    pub(super) silence_ms: u64,
}

/// What is sent.
pub(super) struct Outgoing<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) form: Form,
}

/// What the answer is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) surface: Surface,
    pub(super) kind: Kind,
    /// It comes bit by bit, with pauses, or may.
    pub(super) is_slow: bool,
    /// A JSON array that grows.
    pub(super) is_array: bool,
    /// What repairing it takes; `None` where nothing is repaired.
    pub(super) repair: Option<repair::Context>,
}

impl Form {
    /// Whether a response with this status is what was asked for.
    fn is_answer(&self, status: u16) -> bool {
        match self.kind {
            Kind::Chat | Kind::Generate => status == 200,
            // 304: the client has it already. 308: an upload goes on.
            Kind::Other => (200..300).contains(&status) || [304, 308].contains(&status),
        }
    }

    /// Up to what size a plain answer is held.
    fn max_held(&self) -> usize {
        match self.repair.as_ref().map(|context| context.asked) {
            Some(Asked::Embeddings { as_base64: true } | Asked::Stream { .. }) => {
                MAX_REFORMED_ANSWER
            }
            Some(_) | None => MAX_HELD_ANSWER,
        }
    }

    /// Puts a plain answer into its reply, as the client asked for it; `None` if it is none.
    fn put_into<D, B, S>(&self, reply: &mut Reply<D, B, S>, bytes: Vec<u8>) -> Option<()> {
        let Some(context) = &self.repair else {
            reply.body = Body::Whole(bytes);
            return Some(());
        };
        reply.body = Body::Whole(repair::whole(bytes, context)?);
        if let Asked::Stream { .. } = context.asked {
            let events = HeaderValue::from_static("text/event-stream");
            reply.headers.insert(header::CONTENT_TYPE, events);
            let is_new = HeaderValue::from_static("no-cache");
            reply.headers.insert(header::CACHE_CONTROL, is_new);
        }
        Some(())
    }
}

/// Sends a call and waits for its answer.
pub(super) async fn attempt<D: Database, U: Upstream, S: System>(
    mut call: Call<D, S>,
    upstream: &U,
    outgoing: Outgoing<'_>,
    patience: Patience,
) -> Attempted<D, U::Body, S> {
    let Outgoing {
        method,
        uri,
        headers,
        body,
        form,
    } = outgoing;
    let (system, began_at) = (call.system.clone(), call.started_at);
    let left_of = |ms: u64| {
        let passed = system.now().since(began_at);
        ms.saturating_sub(u64::try_from(passed).unwrap_or_default())
    };
    // Begins to pass when it is first waited for.
    let rest_of = async |ms: u64| system.wait(left_of(ms)).await;
    let timeout = pin!(rest_of(patience.content_ms));
    let late = pin!(rest_of(patience.answer_ms));
    let mut limits = Limits {
        head_ms: patience.head_ms,
        silence_ms: (!form.is_slow).then_some(patience.silence_ms),
    };
    let (mut uri, mut headers, mut body) = (uri.clone(), headers, body);
    let is_read = [Method::GET, Method::HEAD].contains(method);
    let mut redirects = 0;
    let sent = loop {
        let sent = {
            // Only what may be redirected is needed again.
            let sent_headers = if is_read {
                headers.clone()
            } else {
                std::mem::take(&mut headers)
            };
            let body = std::mem::take(&mut body);
            upstream
                .send(method, &uri, sent_headers, body, limits)
                .await
        };
        let next = match &sent {
            Ok(response) if is_read && redirects < MOST_REDIRECTS => redirect(response, &uri),
            _ => None,
        };
        match next {
            Some(next) => {
                redirects += 1;
                uri = next;
                limits.head_ms = left_of(patience.head_ms);
            }
            None => break sent,
        }
    };
    match sent {
        Err(error) => {
            let (outcome, failure) = call.silent(&error, None).await;
            Attempted::Failed(outcome, failure)
        }
        Ok(response) if form.is_answer(response.status) => {
            let milliseconds = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
            let end = Deadline {
                first_byte: timeout,
                answer: late,
                answer_by: began_at.plus(milliseconds(patience.answer_ms)),
                silence_ms: limits.silence_ms.map(milliseconds),
            };
            answer(call, form, response, end, *method != Method::HEAD).await
        }
        Ok(response) => {
            call.first_byte();
            refused(&call, response, timeout).await
        }
    }
}

/// Where a response sends a request on the same host; no key goes anywhere else.
fn redirect<B>(response: &UpstreamResponse<B>, from: &Uri) -> Option<Uri> {
    let is_redirect = [301, 302, 303, 307, 308].contains(&response.status);
    let location = response
        .headers
        .get(header::LOCATION)
        .filter(|_| is_redirect)?;
    let to: Uri = location.to_str().ok()?.parse().ok()?;
    let is_here = match to.authority() {
        Some(authority) => to.scheme() == from.scheme() && Some(authority) == from.authority(),
        None => to.path().starts_with('/'),
    };
    if !is_here {
        return None;
    }
    let mut parts = from.clone().into_parts();
    parts.path_and_query = to.path_and_query().cloned();
    Uri::from_parts(parts).ok()
}

/// Until when an answer has to be here.
struct Deadline<'a> {
    /// Waits until its first byte is late.
    first_byte: Timeout<'a>,
    /// Waits until all of it is.
    answer: Timeout<'a>,
    /// When that is.
    answer_by: UnixMillis,
    /// How long the host waits for a part of it; `None` where the timers alone count.
    silence_ms: Option<i64>,
}

/// What was asked for.
async fn answer<D: Database, B: ByteStream, S: System>(
    mut call: Call<D, S>,
    form: Form,
    response: UpstreamResponse<B>,
    mut end: Deadline<'_>,
    has_body: bool,
) -> Attempted<D, B, S> {
    let UpstreamResponse {
        status,
        headers: upstream_headers,
        mut body,
    } = response;
    let mut reply = Reply::empty(StatusCode::from_u16(status).unwrap_or(StatusCode::OK));
    reply.headers = headers::to_client(&upstream_headers, &call.secrets);
    let mut is_encoded = reply.headers.contains_key(header::CONTENT_ENCODING);
    let must_answer = form.kind != Kind::Other || call.traits.is_model_call;
    let is_events = has_body
        && reply
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.to_ascii_lowercase().starts_with("text/event-stream"));

    let is_model = form.kind != Kind::Other;
    if (is_events && (is_model || !is_encoded)) || (form.is_array && is_model) {
        if is_encoded {
            let reason = "the upstream compressed a stream, which it was asked not to";
            let failure = call.broken_off(status, reason).await;
            return Attempted::Failed(Outcome::UpstreamTrouble, failure);
        }
        reply
            .headers
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        return match AnswerStream::begin(call, status, form, !is_events, body, end.first_byte).await
        {
            Begun::Stream(stream) => {
                reply.body = Body::Stream(stream);
                Attempted::Answered(reply)
            }
            Begun::Empty(bytes) => {
                reply.body = Body::Whole(bytes);
                Attempted::Empty(reply)
            }
            Begun::Failed(outcome, failure) => Attempted::Failed(outcome, failure),
        };
    }

    let declared = declared_length(&upstream_headers).unwrap_or_default();
    let declared = usize::try_from(declared).unwrap_or(HELD_ROOM);
    let mut bytes = Vec::with_capacity(declared.min(HELD_ROOM));
    loop {
        let now = call.system.now();
        let is_begun = !bytes.is_empty();
        // The host's limit is enough where it ends before the request's time does.
        let limit = match end.silence_ms {
            Some(ms) if now.plus(ms) <= end.answer_by => None,
            None if !is_begun => Some(end.first_byte.as_mut()),
            _ => Some(end.answer.as_mut()),
        };
        let more = match limit {
            // What drips on and on has always something to give.
            _ if is_begun && now > end.answer_by => Err(TransportError::TimedOut),
            Some(limit) => match select(pin!(body.append(&mut bytes)), limit).await {
                Either::Left((more, _)) => more,
                Either::Right(_) => Err(TransportError::TimedOut),
            },
            None => body.append(&mut bytes).await,
        };
        match more {
            Ok(true) => call.first_byte(),
            Ok(false) => {
                if must_answer && is_gzip(&reply.headers) {
                    let Some(plain) = unpacked_answer(bytes) else {
                        let failure = call.broken_off(status, NO_ANSWER).await;
                        return Attempted::Failed(Outcome::UpstreamTrouble, failure);
                    };
                    reply.headers.remove(header::CONTENT_ENCODING);
                    (bytes, is_encoded) = (plain, false);
                }
                return whole(
                    call,
                    form,
                    status,
                    &upstream_headers,
                    reply,
                    bytes,
                    is_encoded,
                )
                .await;
            }
            Err(error @ (TransportError::TimedOut | TransportError::Stopping)) => {
                let (outcome, failure) = call.silent(&error, Some(status)).await;
                return Attempted::Failed(outcome, failure);
            }
            Err(error) => {
                let failure = call.broken_off(status, &error.to_string()).await;
                return Attempted::Failed(Outcome::UpstreamTrouble, failure);
            }
        }
        let is_large = bytes.len() > form.max_held();
        if is_large && form.kind != Kind::Other && !is_encoded && is_page(&bytes) {
            let failure = call.broken_off(status, NO_ANSWER).await;
            return Attempted::Failed(Outcome::UpstreamTrouble, failure);
        }
        if is_events || is_large {
            call.works().await;
            let closing = match must_answer && !is_encoded {
                true => closing_bracket(&bytes),
                false => None,
            };
            let stream = AnswerStream::opaque(call, status, bytes, closing, body);
            reply.body = Body::Stream(Box::new(stream));
            return Attempted::Answered(reply);
        }
    }
}

/// A plain answer that is here to its end.
async fn whole<D: Database, B, S: System>(
    call: Call<D, S>,
    form: Form,
    status: u16,
    headers: &HeaderMap,
    mut reply: Reply<D, B, S>,
    bytes: Vec<u8>,
    is_encoded: bool,
) -> Attempted<D, B, S> {
    let glance = if is_encoded {
        None
    } else {
        summarize(form.surface, &bytes)
    };
    if form.kind == Kind::Other {
        let is_media = reply
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| !is_json(kind) && !kind.starts_with("text/"));
        if call.traits.is_model_call && !is_encoded && !is_media {
            let passes = || is_readable(&bytes);
            if let Some((outcome, failure)) =
                no_answer(&call, status, headers, &bytes, passes).await
            {
                return Attempted::Failed(outcome, failure);
            }
        }
        call.succeeded(status, glance.and_then(|glance| glance.usage))
            .await;
        // Of HEAD and of a 304 the length is that of what GET gets.
        if let Some(length) = headers
            .get(header::CONTENT_LENGTH)
            .filter(|_| bytes.is_empty())
        {
            reply.headers.insert(header::CONTENT_LENGTH, length.clone());
        }
        if is_encoded {
            reply.body = Body::Whole(bytes);
        } else {
            form.put_into(&mut reply, bytes);
        }
        return Attempted::Answered(reply);
    }
    if bytes.is_empty() {
        let (outcome, failure) = no_byte(&call, status).await;
        return Attempted::Failed(outcome, failure);
    }
    match glance {
        Some(glance) => {
            if form.put_into(&mut reply, bytes).is_none() {
                let failure = call.broken_off(status, NO_ANSWER).await;
                return Attempted::Failed(Outcome::UpstreamTrouble, failure);
            }
            if glance.is_empty_answer() {
                call.empty(status, glance.usage).await;
                return Attempted::Empty(reply);
            }
            if let (Kind::Chat, Some(_), Body::Whole(bytes)) =
                (form.kind, &form.repair, &reply.body)
            {
                let signatures = Signatures::of_answer(bytes);
                call.keep_signatures(&signatures).await;
            }
            call.succeeded(status, glance.usage).await;
            Attempted::Answered(reply)
        }
        None => {
            let passes = || is_encoded || is_events(&bytes);
            if let Some((outcome, failure)) =
                no_answer(&call, status, headers, &bytes, passes).await
            {
                return Attempted::Failed(outcome, failure);
            }
            call.succeeded(status, None).await;
            reply.body = Body::Whole(bytes);
            Attempted::Answered(reply)
        }
    }
}

/// Ends a call whose answer is an error, or does not pass.
async fn no_answer<D: Database, S: System>(
    call: &Call<D, S>,
    status: u16,
    headers: &HeaderMap,
    bytes: &[u8],
    passes: impl FnOnce() -> bool,
) -> Option<(Outcome, Failure)> {
    let response = Seen::Response {
        status,
        headers,
        body: bytes,
    };
    let diagnosis = diagnose(response, &call.traits);
    if diagnosis.outcome != Outcome::Success {
        let failure = call.failed(&diagnosis, true, Some(bytes)).await;
        return Some((diagnosis.outcome, failure));
    }
    if passes() {
        return None;
    }
    let failure = call.broken_off(status, NO_ANSWER).await;
    Some((Outcome::UpstreamTrouble, failure))
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

/// Ends a call whose answer has not a single byte.
pub(super) async fn no_byte<D: Database, S: System>(
    call: &Call<D, S>,
    status: u16,
) -> (Outcome, Failure) {
    let failure = call.broken_off(status, EMPTY).await;
    (Outcome::UpstreamTrouble, failure)
}

/// Any other status.
async fn refused<D: Database, B: ByteStream, S: System>(
    call: &Call<D, S>,
    response: UpstreamResponse<B>,
    mut timeout: Timeout<'_>,
) -> Attempted<D, B, S> {
    let UpstreamResponse {
        status,
        headers,
        mut body,
    } = response;
    let mut bytes = Vec::new();
    // A body that breaks off, or takes too long, says what it has said so far; the status alone is an answer, too.
    while let Either::Left((Ok(Some(chunk)), _)) = select(pin!(body.next()), timeout.as_mut()).await
    {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= MAX_ERROR_BYTES {
            break;
        }
    }
    let response = Seen::Response {
        status,
        headers: &headers,
        body: &bytes,
    };
    let diagnosis = diagnose(response, &call.traits);
    let failure = call.failed(&diagnosis, false, Some(&bytes)).await;
    Attempted::Failed(diagnosis.outcome, failure)
}
