//! Status, headers and frames of a response.
//!
//! The headers are those recorded from the API, and none is missing that a client could look for: there is no request
//! id, no `x-ratelimit-…`, no `Retry-After`.

use super::gzip::Gzip;
use super::{Finish, Frame, Score};
use crate::errors::{ApiError, final_status};
use crate::reply::{Break, Content, Framing, MidStream, Reply};
use crate::surface::{Delivery, Scene, Success, Target};
use bytes::Bytes;
use http::header::{
    ALT_SVC, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, SERVER, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::collections::VecDeque;
use std::time::Duration;

/// A body, before anything is done to it.
struct Body {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    attachment: bool,
    /// More headers, or others in place of the usual ones.
    headers: Vec<(&'static str, String)>,
    frames: VecDeque<Frame>,
    /// Raw bytes stay as they are.
    may_compress: bool,
    /// Without compression, errors have a `Content-Length`; successes come in chunks.
    has_length: bool,
}

impl Body {
    fn whole(&self) -> Vec<u8> {
        let bytes = self.frames.iter().map(Frame::bytes);
        bytes.flat_map(|bytes| bytes.iter().copied()).collect()
    }
}

/// The response to a call that is refused.
pub(crate) fn compose_error(target: &Target, error: &ApiError, gzip: bool) -> Score {
    score(error_body(target, error), gzip, Finish::Whole)
}

/// A response without a type and without a body.
pub(crate) fn compose_nothing(status: StatusCode) -> Score {
    let body = Body {
        status,
        content_type: None,
        attachment: false,
        headers: Vec::new(),
        frames: VecDeque::new(),
        may_compress: false,
        has_length: true,
    };
    score(body, false, Finish::Whole)
}

/// The response to a call that is answered by `reply`.
pub(crate) fn compose_reply(
    target: &Target,
    reply: &Reply,
    scene: &Scene<'_>,
    gzip: bool,
) -> Score {
    let delivery = match (reply.stream, scene.request.delivery) {
        (Some(true), Delivery::Whole) => Delivery::Events,
        (Some(false), _) => Delivery::Whole,
        (_, delivery) => delivery,
    };
    let mut body = match &reply.content {
        Content::Answer(answer) => success_body(target.success(answer, delivery, scene)),
        Content::Error(error) => error_body(target, error),
        Content::Raw {
            status,
            content_type,
            body,
            has_length,
        } => Body {
            status: final_status(*status),
            content_type: content_type.clone(),
            attachment: false,
            headers: Vec::new(),
            frames: body.iter().cloned().filter_map(event).collect(),
            may_compress: false,
            has_length: *has_length,
        },
    };
    let finish = match &reply.broken {
        Some((events, how)) => break_after(&mut body, *events, how, target, delivery),
        None => Finish::Whole,
    };
    if let Some(bytes) = reply.pieces {
        split(&mut body, bytes);
    }
    let mut score = match &reply.cut {
        Some((bytes, framing)) => cut(body, *bytes, *framing, gzip),
        None => score(body, gzip, finish),
    };
    if [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&score.status) {
        // Neither has a body, so hyper would never ask for one.
        score.frames.clear();
        score.finish = Finish::Whole;
        score.headers.remove(CONTENT_LENGTH);
    }
    for (name, value) in &reply.headers {
        score.headers.insert(name.clone(), value.clone());
    }
    score.gap = reply.gap;
    score.steps = reply.steps.clone();
    score
}

fn event(bytes: impl Into<Bytes>) -> Option<Frame> {
    Some(bytes.into())
        .filter(|bytes: &Bytes| !bytes.is_empty())
        .map(Frame::Event)
}

fn success_body(success: Success) -> Body {
    let events = success.events.into_iter();
    let mut frames: VecDeque<Frame> = events.filter_map(event).collect();
    if !success.closing.is_empty() {
        frames.push_back(Frame::Rest(Bytes::from_static(success.closing.as_bytes())));
    }
    Body {
        status: StatusCode::OK,
        content_type: HeaderValue::from_str(&success.content_type)
            .ok()
            .filter(|value| !value.is_empty()),
        attachment: success.attachment,
        headers: success.headers,
        frames,
        may_compress: !success.is_file,
        has_length: success.is_file,
    }
}

fn error_body(target: &Target, error: &ApiError) -> Body {
    let (content_type, body) = target.error(error);
    Body {
        status: error.http_status(),
        content_type: Some(HeaderValue::from_static(content_type)),
        attachment: false,
        headers: Vec::new(),
        frames: event(body).into_iter().collect(),
        may_compress: true,
        has_length: true,
    }
}

/// Keeps the first `events` events, and what breaks off the rest.
fn break_after(
    body: &mut Body,
    events: usize,
    how: &Break,
    target: &Target,
    delivery: Delivery,
) -> Finish {
    body.frames.retain(|frame| matches!(frame, Frame::Event(_)));
    body.frames.truncate(events);
    body.has_length = false;
    match how {
        Break::Reset => Finish::Reset,
        Break::Close => Finish::Close,
        Break::End => Finish::Whole,
        Break::Error(error, form) => {
            let text = target.mid_stream(error, *form, delivery, body.frames.is_empty());
            let rest = |bytes: &str| Frame::Rest(Bytes::copy_from_slice(bytes.as_bytes()));
            match form {
                MidStream::Object | MidStream::Array => body.frames.push_back(rest(&text)),
                MidStream::Unframed => body.frames.extend(text.split_inclusive('\n').map(rest)),
            }
            Finish::Whole
        }
    }
}

/// Turns the body into pieces of `bytes` bytes.
fn split(body: &mut Body, bytes: usize) {
    let whole = body.whole();
    body.has_length = false;
    body.frames = whole
        .chunks(bytes)
        .map(|piece| Frame::Event(Bytes::copy_from_slice(piece)))
        .collect();
}

fn score(body: Body, gzip: bool, finish: Finish) -> Score {
    let gzip = gzip && body.may_compress && !body.frames.is_empty();
    let mut headers = headers(&body, gzip);
    if body.frames.is_empty() || (body.has_length && !gzip) {
        let length: usize = body.frames.iter().map(|frame| frame.bytes().len()).sum();
        // A body that breaks off before its first byte still has one to come.
        if finish == Finish::Whole || length > 0 {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
    }
    Score {
        status: body.status,
        headers,
        frames: body.frames,
        finish,
        gzip,
        gap: Duration::ZERO,
        steps: None,
    }
}

/// The first `bytes` bytes of the body as it would go out.
fn cut(body: Body, bytes: usize, framing: Framing, gzip: bool) -> Score {
    let gzip = gzip && body.may_compress;
    let mut headers = headers(&body, gzip);
    let plain = body.whole();
    let mut whole = if gzip {
        // Writing into memory does not fail; if it did, there would be nothing to cut.
        Gzip::new().push(&plain, true).unwrap_or_default()
    } else {
        plain
    };
    if framing == Framing::Length {
        // One more than there is, where the cut is behind the end: the body has to stay incomplete.
        let length = whole
            .len()
            .max(bytes.saturating_add(1).min(whole.len() + 1));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    whole.truncate(bytes);
    Score {
        status: body.status,
        headers,
        frames: event(whole).into_iter().collect(),
        finish: Finish::Close,
        // It is compressed already.
        gzip: false,
        gap: Duration::ZERO,
        steps: None,
    }
}

fn headers(body: &Body, gzip: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let text = HeaderValue::from_static;
    if let Some(content_type) = &body.content_type {
        headers.insert(CONTENT_TYPE, content_type.clone());
    }
    if body.attachment {
        headers.insert(CONTENT_DISPOSITION, text("attachment"));
    }
    if gzip {
        headers.insert(CONTENT_ENCODING, text("gzip"));
    }
    // Three lines on the wire, which most clients show as one.
    for name in ["Origin", "X-Origin", "Referer"] {
        headers.append(VARY, text(name));
    }
    headers.insert(SERVER, text("scaffolding on HTTPServer2"));
    headers.insert(X_XSS_PROTECTION, text("0"));
    headers.insert(X_FRAME_OPTIONS, text("SAMEORIGIN"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, text("nosniff"));
    headers.insert(
        ALT_SVC,
        text("h3=\":443\"; ma=2592000,h3-29=\":443\"; ma=2592000"),
    );
    for (name, value) in &body.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(*name, value);
        }
    }
    headers
}
