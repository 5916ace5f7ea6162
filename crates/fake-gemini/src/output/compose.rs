//! Status, headers and frames of a response.
//!
//! The headers are those recorded from the API: there is no request id, no `x-ratelimit-…`, and no
//! `Retry-After`.

use super::gzip::{Encoding, Gzip};
use super::{Composed, End, Frame};
use crate::encode::{self, Success};
use crate::errors::{ApiError, final_status};
use crate::reply::{Break, Framing, MidStream, Raw, Reply};
use crate::route::Target;
use bytes::Bytes;
use http::header::{
    ALT_SVC, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, SERVER, VARY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::collections::VecDeque;
use std::time::Duration;

/// A body before it is split, cut or compressed.
struct Draft {
    status: StatusCode,
    /// Empty for none.
    content_type: String,
    /// Headers in addition to the usual ones or instead of them.
    headers: Vec<(&'static str, String)>,
    frames: VecDeque<Frame>,
    /// Raw bytes are never compressed.
    may_compress: bool,
    /// Errors have a `Content-Length` unless they are compressed; successes come in chunks.
    has_length: bool,
}

impl Draft {
    fn encoding(&self, accepted: Encoding) -> Encoding {
        match self.may_compress && !self.frames.is_empty() {
            true => accepted,
            false => Encoding::Identity,
        }
    }

    fn whole(&self) -> Vec<u8> {
        let bytes = self.frames.iter().map(Frame::bytes);
        bytes.flat_map(|bytes| bytes.iter().copied()).collect()
    }
}

/// The response to a call that is refused.
pub(crate) fn compose_error(target: &Target, error: &ApiError, accepted: Encoding) -> Composed {
    compose(draft_of_error(target, error), accepted, End::Whole)
}

/// 404 without a body.
pub(crate) fn compose_not_found() -> Composed {
    let raw = Raw {
        status: 404,
        content_type: String::new(),
        body: Vec::new(),
        has_length: true,
    };
    compose(draft_of_raw(&raw), Encoding::Identity, End::Whole)
}

/// What a reply consists of.
pub(crate) enum Source<'a> {
    Success(Success),
    Error(&'a ApiError),
    Raw(&'a Raw),
}

/// The response that `reply` scripts, with its delays and breaks.
pub(crate) fn compose_reply(
    target: &Target,
    source: Source<'_>,
    reply: &Reply,
    accepted: Encoding,
) -> Composed {
    let mut draft = match source {
        Source::Success(success) => draft_of_success(success),
        Source::Error(error) => draft_of_error(target, error),
        Source::Raw(raw) => draft_of_raw(raw),
    };
    let end = match &reply.broken {
        Some((events, how)) => break_after(&mut draft, *events, how, target),
        None => End::Whole,
    };
    if let Some(bytes) = reply.piece_size {
        split(&mut draft, bytes);
    }
    let mut composed = match reply.cut {
        Some((bytes, framing)) => cut(&draft, bytes, framing, accepted),
        None => compose(draft, accepted, end),
    };
    composed.gap = reply.gap;
    composed.steps = reply.steps.clone();
    composed
}

/// Empty events are none.
fn event(bytes: impl Into<Bytes>) -> Option<Frame> {
    let bytes = bytes.into();
    (!bytes.is_empty()).then_some(Frame::Event(bytes))
}

fn draft_of_success(success: Success) -> Draft {
    let mut frames: VecDeque<Frame> = success.events.into_iter().filter_map(event).collect();
    if !success.closing.is_empty() {
        let closing = Bytes::from_static(success.closing.as_bytes());
        frames.push_back(Frame::Rest(closing));
    }
    Draft {
        status: StatusCode::OK,
        content_type: success.content_type.to_owned(),
        headers: success.headers,
        frames,
        may_compress: true,
        has_length: false,
    }
}

fn draft_of_error(target: &Target, error: &ApiError) -> Draft {
    let (content_type, body) = encode::error(target, error);
    Draft {
        status: error.http_status(),
        content_type: content_type.to_owned(),
        headers: Vec::new(),
        frames: event(body).into_iter().collect(),
        may_compress: true,
        has_length: true,
    }
}

fn draft_of_raw(raw: &Raw) -> Draft {
    Draft {
        status: final_status(raw.status),
        content_type: raw.content_type.clone(),
        headers: Vec::new(),
        frames: raw.body.iter().cloned().filter_map(event).collect(),
        may_compress: false,
        has_length: raw.has_length,
    }
}

/// Keeps the first `events` events and adds what replaces the rest.
fn break_after(draft: &mut Draft, events: usize, how: &Break, target: &Target) -> End {
    draft
        .frames
        .retain(|frame| matches!(frame, Frame::Event(_)));
    draft.frames.truncate(events);
    draft.has_length = false;
    match how {
        Break::Reset => End::Reset,
        Break::Close => End::Close,
        Break::End => End::Whole,
        Break::Error(error, form) => {
            let text = encode::mid_stream(target, error, *form);
            let rest = |text: &str| Frame::Rest(Bytes::copy_from_slice(text.as_bytes()));
            match form {
                MidStream::Object | MidStream::Array => draft.frames.push_back(rest(&text)),
                MidStream::Unframed => draft.frames.extend(text.split_inclusive('\n').map(rest)),
            }
            End::Whole
        }
    }
}

/// Splits the body into pieces of `bytes` bytes.
fn split(draft: &mut Draft, bytes: usize) {
    let whole = draft.whole();
    draft.has_length = false;
    draft.frames = whole
        .chunks(bytes)
        .map(|piece| Frame::Event(Bytes::copy_from_slice(piece)))
        .collect();
}

fn compose(draft: Draft, accepted: Encoding, end: End) -> Composed {
    let encoding = draft.encoding(accepted);
    let mut headers = headers(&draft, encoding);
    let is_plain = encoding == Encoding::Identity;
    if draft.frames.is_empty() || (draft.has_length && is_plain) {
        let length: usize = draft.frames.iter().map(|it| it.bytes().len()).sum();
        // A body that breaks off before its first byte must not look complete.
        if end == End::Whole || length > 0 {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
    }
    Composed {
        status: draft.status,
        headers,
        frames: draft.frames,
        end,
        encoding,
        gap: Duration::ZERO,
        steps: None,
    }
}

/// The first `bytes` bytes of the body as it would go out.
fn cut(draft: &Draft, bytes: usize, framing: Framing, accepted: Encoding) -> Composed {
    let encoding = draft.encoding(accepted);
    let mut headers = headers(draft, encoding);
    let mut whole = draft.whole();
    if encoding == Encoding::Gzip {
        // Writing to memory does not fail.
        whole = Gzip::new().finish(&whole).unwrap_or_default();
    }
    if framing == Framing::Length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
    }
    whole.truncate(bytes);
    Composed {
        status: draft.status,
        headers,
        frames: event(whole).into_iter().collect(),
        end: End::Close,
        // Already encoded.
        encoding: Encoding::Identity,
        gap: Duration::ZERO,
        steps: None,
    }
}

fn headers(draft: &Draft, encoding: Encoding) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let text = HeaderValue::from_static;
    if encoding == Encoding::Gzip {
        headers.insert(CONTENT_ENCODING, text("gzip"));
    }
    for name in ["Origin", "X-Origin", "Referer"] {
        headers.append(VARY, text(name));
    }
    headers.insert(SERVER, text("scaffolding on HTTPServer2"));
    headers.insert(X_XSS_PROTECTION, text("0"));
    headers.insert(X_FRAME_OPTIONS, text("SAMEORIGIN"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, text("nosniff"));
    let http3 = "h3=\":443\"; ma=2592000,h3-29=\":443\"; ma=2592000";
    headers.insert(ALT_SVC, text(http3));
    let content_type = (CONTENT_TYPE, &draft.content_type);
    let more = draft.headers.iter();
    let more = more.map(|(name, value)| (HeaderName::from_static(name), value));
    for (name, value) in more.chain([content_type]) {
        if let (Ok(value), false) = (HeaderValue::from_str(value), value.is_empty()) {
            headers.insert(name, value);
        }
    }
    headers
}
