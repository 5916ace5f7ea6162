//! Plays a response: waits, compresses, counts, and breaks off.
//!
//! The call's guard travels in the body, so that hyper's dropping it means what it says: the client went away.

use super::gzip::Gzip;
use super::{Finish, Frame, Score};
use crate::gate::Steps;
use crate::log::{CallGuard, Ended};
use crate::server::Watch;
use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// The body of a response.
pub(crate) type ReplyBody = UnsyncBoxBody<Bytes, Cut>;

/// Makes hyper drop the connection, in place of a head or in the middle of a body.
#[derive(Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is cut")
    }
}

impl std::error::Error for Cut {}

/// A body on its way out.
#[derive(Debug)]
pub(crate) struct Player {
    frames: VecDeque<Frame>,
    finish: Finish,
    gzip: Option<Gzip>,
    gap: Duration,
    steps: Option<Steps>,
    line: Watch,
    guard: CallGuard,
    /// Whether an event has gone out.
    begun: bool,
}

impl Player {
    pub(crate) fn new(score: Score, line: Watch, mut guard: CallGuard) -> Self {
        if score.frames.is_empty() && score.finish == Finish::Whole {
            // hyper does not ask for a body of length 0.
            guard.end(Ended::Whole);
        }
        Self {
            frames: score.frames,
            finish: score.finish,
            gzip: score.gzip.then(Gzip::new),
            gap: score.gap,
            steps: score.steps,
            line,
            guard,
            begun: false,
        }
    }

    pub(crate) fn into_body(self) -> ReplyBody {
        let frames = stream::unfold(self, |mut player| async move {
            let frame = player.next().await?;
            Some((frame.map(hyper::body::Frame::data), player))
        });
        StreamBody::new(frames).boxed_unsync()
    }

    async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        let Some(frame) = self.frames.pop_front() else {
            return self.finish().await;
        };
        if matches!(frame, Frame::Event(_)) {
            if self.begun && !self.gap.is_zero() {
                tokio::time::sleep(self.gap).await;
            }
            if let Some(steps) = &self.steps {
                steps.pass().await;
            }
            self.begun = true;
            self.guard.event_sent();
        }
        let last = self.frames.is_empty() && self.finish == Finish::Whole;
        let bytes = self.encode(frame.bytes(), last);
        if last {
            // Now, while the bytes are still here: a client that has them finds the call ended.
            self.guard.end(Ended::Whole);
        }
        Some(bytes)
    }

    fn encode(&mut self, bytes: &Bytes, last: bool) -> Result<Bytes, Cut> {
        match &mut self.gzip {
            Some(gzip) => gzip.push(bytes, last).map(Bytes::from).map_err(|_| Cut),
            None => Ok(bytes.clone()),
        }
    }

    async fn finish(&mut self) -> Option<Result<Bytes, Cut>> {
        if self.finish == Finish::Whole {
            return None;
        }
        // What came before has to reach the client; hyper would throw away what it still holds.
        self.line.flushed().await;
        if self.finish == Finish::Reset {
            self.line.reset_when_closed();
        }
        self.guard.end(Ended::BrokenOff);
        Some(Err(Cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Call, Log};
    use crate::server::Line;
    use http::{HeaderMap, StatusCode};
    use std::sync::Arc;
    use tokio::time::Instant;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn gaps_are_between_events_and_nowhere_else() {
        let event = || Frame::Event(Bytes::from_static(b"x"));
        let rest = Frame::Rest(Bytes::from_static(b"y"));
        let score = Score {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            frames: VecDeque::from([event(), event(), event(), rest]),
            finish: Finish::Whole,
            gzip: false,
            gap: HOUR,
            steps: None,
        };
        let guard = Arc::new(Log::new(1, None)).begin(&mut Call::empty());
        let watch = Arc::new(Line::new(0)).watch();
        let mut player = Player::new(score, watch, guard);
        let start = Instant::now();
        let mut hours = Vec::new();
        while let Some(Ok(_)) = player.next().await {
            hours.push(start.elapsed().as_secs() / HOUR.as_secs());
        }
        assert_eq!(hours, [0, 1, 2, 2]);
    }
}
