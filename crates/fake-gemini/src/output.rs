//! From a reply to the bytes that go out: composed first, then sent event by event.
//!
//! `compose` is pure and settles everything that is known before the head; `body` waits,
//! compresses, counts, and breaks off.

mod body;
mod compose;
mod gzip;

pub(crate) use body::{BrokenOff, ReplyBody, into_body};
pub(crate) use compose::{Source, compose_error, compose_not_found, compose_reply};
pub(crate) use gzip::Encoding;

use crate::reply::Steps;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::collections::VecDeque;
use std::time::Duration;

/// A part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Frame {
    /// Counted and waited for.
    Event(Bytes),
    /// What accompanies events: `[DONE]`, a closing bracket, an error.
    Rest(Bytes),
}

impl Frame {
    fn bytes(&self) -> &Bytes {
        match self {
            Self::Event(bytes) | Self::Rest(bytes) => bytes,
        }
    }
}

/// How a body ends after its last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Completely.
    Whole,
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
}

/// A response that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    frames: VecDeque<Frame>,
    end: End,
    /// How each frame is encoded on its way out.
    encoding: Encoding,
    gap: Duration,
    steps: Option<Steps>,
}
