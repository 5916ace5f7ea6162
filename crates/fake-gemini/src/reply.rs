//! A scripted reply: an answer, an error or raw bytes, when it comes, and how it breaks off.
//!
//! The parts combine: `Reply::events(5).gap(…).break_after(3, Break::Reset)`. The request decides
//! whether it is a stream; a body that is not a stream counts as one event.

use crate::answer::Answer;
use crate::errors::{self, ApiError};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How a body breaks off.
#[derive(Debug, Clone, PartialEq)]
pub enum Break {
    /// The connection is reset: the client's next read fails.
    Reset,
    /// The connection is closed in the middle of the message.
    Close,
    /// The message is complete as HTTP, but not as a stream: no finish reason, no `[DONE]`.
    End,
    /// An error replaces the rest, then the message ends.
    Error(ApiError, MidStream),
}

/// The form of an error in the middle of a stream. The native surface is recorded to send it
/// unframed; for the compatible one no recording is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MidStream {
    /// `data: {"error":{…}}`.
    Object,
    /// `data: [{"error":{…}}]`.
    Array,
    /// The pretty-printed error of the surface without `data:`, line by line.
    Unframed,
}

/// How a body that is cut short is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By a `Content-Length` that is never reached.
    Length,
    /// In chunks, of which the last is missing.
    Chunked,
}

/// Releases the events of a stream one by one. Dropping it releases nothing: the stream then
/// waits until the client leaves.
#[derive(Debug, Clone)]
pub struct Steps(Arc<Semaphore>);

impl Steps {
    /// Releases `count` more events, possibly before they are waited for.
    pub fn release(&self, count: usize) {
        self.0.add_permits(count);
    }

    /// Waits for a release and consumes it.
    pub(crate) async fn pass(&self) {
        // Fails only if closed, and nothing closes it.
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// A scripted reply. Clones share their [`Steps`].
#[derive(Debug, Clone)]
pub struct Reply {
    pub(crate) content: Content,
    pub(crate) head: Head,
    pub(crate) delay: Duration,
    pub(crate) gap: Duration,
    pub(crate) steps: Option<Steps>,
    pub(crate) broken: Option<(usize, Break)>,
    pub(crate) piece_size: Option<usize>,
    pub(crate) cut: Option<(usize, Framing)>,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Answer(Answer),
    Error(ApiError),
    Raw(Raw),
}

#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    /// Empty for none.
    pub(crate) content_type: String,
    pub(crate) body: Vec<Bytes>,
    pub(crate) has_length: bool,
}

/// What happens when the head is due.
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
            gap: Duration::ZERO,
            steps: None,
            broken: None,
            piece_size: None,
            cut: None,
        }
    }

    /// An ordinary answer, the same each time.
    pub fn ok() -> Self {
        Self::answer(Answer::default())
    }

    /// An answer. Operations other than generating answer as usual.
    pub fn answer(answer: Answer) -> Self {
        Self::new(Content::Answer(answer))
    }

    /// An answer whose stream has `count` events.
    pub fn events(count: usize) -> Self {
        Self::answer(Answer::events(count))
    }

    /// An answer whose stream has `count` events, each of which has to be released.
    pub fn stepped(count: usize) -> (Self, Steps) {
        Self::events(count).stepwise()
    }

    /// An error, framed as the surface does it.
    pub fn error(error: ApiError) -> Self {
        Self::new(Content::Error(error))
    }

    /// Exactly these bytes, never compressed. An empty content type is omitted.
    pub fn raw(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::new(Content::Raw(Raw {
            status,
            content_type: content_type.to_owned(),
            body: vec![body.into()],
            has_length: true,
        }))
    }

    /// The same in the given chunks, each of which counts as an event.
    pub fn raw_chunks<T: Into<Bytes>>(
        status: u16,
        content_type: &str,
        chunks: impl IntoIterator<Item = T>,
    ) -> Self {
        Self::new(Content::Raw(Raw {
            status,
            content_type: content_type.to_owned(),
            body: chunks.into_iter().map(Into::into).collect(),
            has_length: false,
        }))
    }

    /// A status without a body.
    pub fn bare(status: u16) -> Self {
        Self::raw(status, "", Bytes::new())
    }

    /// The page of Google's front end, such as for 502: HTML where JSON is expected.
    pub fn html(status: u16) -> Self {
        let status_code = errors::final_status(status);
        let phrase = status_code.canonical_reason().unwrap_or("Error");
        let page = format!(
            "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  \
             <title>Error {status} ({phrase})!!1</title>\n  <p><b>{status}.</b> <ins>That’s an \
             error.</ins>\n  <p>The server encountered a temporary error and could not complete \
             your request.<p>Please try again in 30 seconds.  <ins>That’s all we know.</ins>\n"
        );
        Self::raw(status, "text/html; charset=UTF-8", page)
    }

    /// The page for a blocked address: 403 and HTML.
    pub fn automated_queries() -> Self {
        let page = "<html><head><title>Sorry...</title></head><body><h1>We're sorry...</h1><p>... \
                    but your computer or network may be sending automated queries. To protect our \
                    users, we can't process your request right now.</p></body></html>";
        Self::raw(403, "text/html; charset=UTF-8", page)
    }

    /// Nothing until the client leaves.
    pub fn silence() -> Self {
        Self::without_head(Head::Silence)
    }

    /// A reset of the connection instead of a response.
    pub fn reset() -> Self {
        Self::without_head(Head::Reset)
    }

    /// A closed connection instead of a response.
    pub fn close() -> Self {
        Self::without_head(Head::Close)
    }

    fn without_head(head: Head) -> Self {
        Self { head, ..Self::ok() }
    }

    /// Waits before the head.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Waits between events.
    pub fn gap(mut self, gap: Duration) -> Self {
        self.gap = gap;
        self
    }

    /// Holds each event back until it is released.
    pub fn stepwise(mut self) -> (Self, Steps) {
        let steps = Steps(Arc::new(Semaphore::new(0)));
        self.steps = Some(steps.clone());
        (self, steps)
    }

    /// Breaks the body off after `events` events, at most all; 0 is right after the head.
    pub fn break_after(mut self, events: usize, how: Break) -> Self {
        self.broken = Some((events, how));
        self
    }

    /// Sends the body in pieces of `bytes` bytes, which then count as the events.
    pub fn in_pieces_of(mut self, bytes: usize) -> Self {
        self.piece_size = Some(bytes.max(1));
        self
    }

    /// Sends only the first `bytes` bytes of a body that is not a stream, then closes the
    /// connection. Compressed bodies are cut after compression.
    pub fn cut_at(mut self, bytes: usize, framing: Framing) -> Self {
        self.cut = Some((bytes, framing));
        self
    }
}
