//! What a script says: an answer, an error or bytes, when they come, and how they break off.
//!
//! The parts combine: `Reply::events(5).gap(…).break_after(3, Break::Reset)`. Whether it is a stream is for the
//! request to say; a body that is no stream counts as one event.

use crate::answer::Answer;
use crate::errors::ApiError;
use crate::gate::{Gate, Steps};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::time::Duration;

/// How a body breaks off.
#[derive(Debug, Clone, PartialEq)]
pub enum Break {
    /// The connection is reset: the client's next read fails.
    Reset,
    /// The connection is closed in the middle of the message: its end is missing.
    Close,
    /// The message ends as HTTP, but the stream does not: no finish reason, no `[DONE]`.
    End,
    /// An error takes the place of what is left, then the message ends.
    Error(ApiError, MidStream),
}

/// How an error looks in the middle of a stream. Of the native surface the last one is known; of the compatible one
/// no recording is public, and clients have to bear all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MidStream {
    /// `data: {"error":{…}}`.
    Object,
    /// `data: [{"error":{…}}]`.
    Array,
    /// The surface's pretty-printed error as it is, without `data:`, line by line.
    Unframed,
}

/// How a body that is cut short claims its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By a `Content-Length` that is never reached.
    Length,
    /// By chunks, of which the last is missing.
    Chunked,
}

/// A scripted reply. Clones share their [`Gate`] and [`Steps`].
#[derive(Debug, Clone)]
pub struct Reply {
    pub(crate) content: Content,
    pub(crate) head: Head,
    pub(crate) delay: Duration,
    pub(crate) gate: Option<Gate>,
    pub(crate) gap: Duration,
    pub(crate) steps: Option<Steps>,
    pub(crate) stream: Option<bool>,
    pub(crate) broken: Option<(usize, Break)>,
    pub(crate) pieces: Option<usize>,
    pub(crate) cut: Option<(usize, Framing)>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// What the operation answers by itself.
    Answer(Answer),
    Error(ApiError),
    Raw {
        status: u16,
        content_type: Option<HeaderValue>,
        body: Vec<Bytes>,
        has_length: bool,
    },
}

/// What comes where the head is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    Send,
    Silence,
    Reset,
    Close,
}

impl Reply {
    fn new(content: Content) -> Self {
        Self {
            content,
            head: Head::Send,
            delay: Duration::ZERO,
            gate: None,
            gap: Duration::ZERO,
            steps: None,
            stream: None,
            broken: None,
            pieces: None,
            cut: None,
            headers: Vec::new(),
        }
    }

    /// An ordinary answer, the same each time. Calls that ask no model are answered as ever.
    pub fn ok() -> Self {
        Self::answer(Answer::default())
    }

    /// An answer of the model. Calls that ask no model are answered as ever.
    pub fn answer(answer: impl Into<Answer>) -> Self {
        Self::new(Content::Answer(answer.into()))
    }

    /// An answer whose stream has `count` events.
    pub fn events(count: usize) -> Self {
        Self::answer(Answer::events(count))
    }

    /// An answer whose stream has `count` events, each of which waits to be released.
    pub fn stepped(count: usize) -> (Self, Steps) {
        Self::events(count).stepwise()
    }

    /// An error, framed as the surface does it.
    pub fn error(error: ApiError) -> Self {
        Self::new(Content::Error(error))
    }

    /// Exactly these bytes, never compressed. A status that no final response has becomes 500, and a content type
    /// that no header can carry is left out, as is an empty one. 204 and 304 come without a body, whatever is given.
    pub fn raw(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::of_bytes(status, content_type, vec![body.into()], true)
    }

    /// The same in chunks as given, each of which counts as an event.
    pub fn raw_chunks<T: Into<Bytes>>(
        status: u16,
        content_type: &str,
        chunks: impl IntoIterator<Item = T>,
    ) -> Self {
        let chunks = chunks.into_iter().map(Into::into).collect();
        Self::of_bytes(status, content_type, chunks, false)
    }

    fn of_bytes(status: u16, content_type: &str, body: Vec<Bytes>, has_length: bool) -> Self {
        Self::new(Content::Raw {
            status,
            content_type: HeaderValue::from_str(content_type)
                .ok()
                .filter(|value| !value.is_empty()),
            body,
            has_length,
        })
    }

    /// A status with nothing behind it.
    pub fn bare(status: u16) -> Self {
        Self::raw(status, "", Bytes::new())
    }

    /// The page of Google's front end, as for 502 and 503: HTML where JSON is expected.
    pub fn html(status: u16) -> Self {
        let phrase = crate::errors::final_status(status)
            .canonical_reason()
            .unwrap_or("Error");
        Self::raw(
            status,
            "text/html; charset=UTF-8",
            format!(
                "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <meta name=viewport \
                 content=\"initial-scale=1, minimum-scale=1, width=device-width\">\n  <title>Error {status} \
                 ({phrase})!!1</title>\n  <p><b>{status}.</b> <ins>That’s an error.</ins>\n  <p>The server encountered \
                 a temporary error and could not complete your request.<p>Please try again in 30 seconds.  <ins>That’s \
                 all we know.</ins>\n"
            ),
        )
    }

    /// The page that a blocked address gets: 403, and HTML.
    pub fn automated_queries() -> Self {
        Self::raw(
            403,
            "text/html; charset=UTF-8",
            "<html><head><meta http-equiv=\"content-type\" content=\"text/html; charset=utf-8\"/>\
             <title>Sorry...</title></head><body><h1>We're sorry...</h1><p>... but your computer or network may be \
             sending automated queries. To protect our users, we can't process your request right now.</p></body></html>",
        )
    }

    /// Nothing, until the client leaves.
    pub fn silence() -> Self {
        Self::before_head(Head::Silence)
    }

    /// A reset of the connection instead of an answer.
    pub fn reset() -> Self {
        Self::before_head(Head::Reset)
    }

    /// The connection is closed instead of an answer.
    pub fn close() -> Self {
        Self::before_head(Head::Close)
    }

    fn before_head(head: Head) -> Self {
        Self { head, ..Self::ok() }
    }

    /// Waits before the head, and before a reset that takes its place.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Holds the head back, after the delay, until the gate is opened.
    pub fn hold(mut self) -> (Self, Gate) {
        let gate = self.gate.get_or_insert_with(Gate::new).clone();
        (self, gate)
    }

    /// Waits between events.
    pub fn gap(mut self, gap: Duration) -> Self {
        self.gap = gap;
        self
    }

    /// Holds each event back, the first one too, until it is released.
    pub fn stepwise(mut self) -> (Self, Steps) {
        let steps = self.steps.get_or_insert_with(Steps::new).clone();
        (self, steps)
    }

    /// A stream even if none was asked for.
    pub fn as_stream(mut self) -> Self {
        self.stream = Some(true);
        self
    }

    /// No stream even if one was asked for.
    pub fn as_whole(mut self) -> Self {
        self.stream = Some(false);
        self
    }

    /// Breaks the body off after `events` events; 0 is right after the head. More than there are is the place where
    /// only the stream's end is missing.
    pub fn break_after(mut self, events: usize, how: Break) -> Self {
        self.broken = Some((events, how));
        self
    }

    /// Sends the body in chunks of `bytes` bytes, at least one, wherever its events end. Such a piece then takes an
    /// event's place: it is counted, released and waited for; only [`break_after`](Self::break_after) still counts
    /// events.
    pub fn in_pieces_of(mut self, bytes: usize) -> Self {
        self.pieces = Some(bytes.max(1));
        self
    }

    /// Sends only the first `bytes` bytes of a body that is no stream, then closes the connection. Compressed bodies
    /// are cut after compression.
    pub fn cut_at(mut self, bytes: usize, framing: Framing) -> Self {
        self.cut = Some((bytes, framing));
        self
    }

    /// Adds a header, or replaces Google's.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}
