//! A body on its way out: waits, compresses, counts, and breaks off.
//!
//! It owns the call's guard, so that the call ends when hyper drops the body.

use super::gzip::{Encoding, Gzip};
use super::{Composed, End, Frame};
use crate::connection::Handle;
use crate::log::{CallGuard, Ended};
use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use std::fmt;
use std::sync::Arc;

/// The body of a response.
pub(crate) type ReplyBody = UnsyncBoxBody<Bytes, BrokenOff>;

/// Makes hyper drop the connection, instead of a head or in the middle of a body.
#[derive(Debug)]
pub(crate) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is broken off")
    }
}

impl std::error::Error for BrokenOff {}

/// The body of a composed response.
pub(crate) fn into_body(
    composed: Composed,
    connection: Arc<Handle>,
    mut guard: CallGuard,
) -> ReplyBody {
    if composed.frames.is_empty() && composed.end == End::Whole {
        // hyper does not ask for a body of length 0.
        guard.end(Ended::Whole);
    }
    let sender = Sender {
        gzip: (composed.encoding == Encoding::Gzip).then(Gzip::new),
        composed,
        connection,
        guard,
        has_begun: false,
    };
    let frames = stream::unfold(sender, |mut sender| async move {
        let frame = sender.next().await?;
        Some((frame.map(hyper::body::Frame::data), sender))
    });
    StreamBody::new(frames).boxed_unsync()
}

struct Sender {
    composed: Composed,
    gzip: Option<Gzip>,
    connection: Arc<Handle>,
    guard: CallGuard,
    /// Whether an event was sent.
    has_begun: bool,
}

impl Sender {
    async fn next(&mut self) -> Option<Result<Bytes, BrokenOff>> {
        let Some(frame) = self.composed.frames.pop_front() else {
            return self.finish().await;
        };
        if matches!(frame, Frame::Event(_)) {
            if self.has_begun && !self.composed.gap.is_zero() {
                tokio::time::sleep(self.composed.gap).await;
            }
            if let Some(steps) = &self.composed.steps {
                steps.pass().await;
            }
            self.has_begun = true;
            self.guard.count_event();
        }
        let is_last = self.composed.frames.is_empty() && self.composed.end == End::Whole;
        let bytes = match &mut self.gzip {
            Some(gzip) if is_last => gzip.finish(frame.bytes()).map(Bytes::from),
            Some(gzip) => gzip.push(frame.bytes()).map(Bytes::from),
            None => Ok(frame.bytes().clone()),
        };
        if is_last {
            // Before the bytes leave: a client that has them finds the call ended.
            self.guard.end(Ended::Whole);
        }
        Some(bytes.map_err(|_| BrokenOff))
    }

    async fn finish(&mut self) -> Option<Result<Bytes, BrokenOff>> {
        if self.composed.end == End::Whole {
            return None;
        }
        // hyper drops what it has not written yet.
        self.connection.flushed().await;
        if self.composed.end == End::Reset {
            self.connection.reset_when_closed();
        }
        self.guard.end(Ended::BrokenOff);
        Some(Err(BrokenOff))
    }
}
