//! From a reply to the bytes that go out: composed first, then played event by event.
//!
//! [`compose`] is pure and settles everything that can be settled before the head; [`Player`] then waits where the
//! script says so, compresses, counts, and breaks off.

mod compose;
mod gzip;
mod player;

pub(crate) use compose::{compose_error, compose_nothing, compose_reply};
pub(crate) use gzip::accepts_gzip;
pub(crate) use player::{Cut, Player, ReplyBody};

use crate::gate::Steps;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::collections::VecDeque;
use std::time::Duration;

/// A part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Counted, and waited for.
    Event(Bytes),
    /// What comes along without being an event: `[DONE]`, a closing bracket, an error.
    Rest(Bytes),
}

impl Frame {
    pub(crate) fn bytes(&self) -> &Bytes {
        match self {
            Self::Event(bytes) | Self::Rest(bytes) => bytes,
        }
    }
}

/// How a body ends after its last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// As HTTP wants it.
    Whole,
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
}

/// A response that is ready to be played.
#[derive(Debug)]
pub(crate) struct Score {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) frames: VecDeque<Frame>,
    pub(crate) finish: Finish,
    /// Whether each frame is compressed on its way out.
    pub(crate) gzip: bool,
    pub(crate) gap: Duration,
    pub(crate) steps: Option<Steps>,
}
