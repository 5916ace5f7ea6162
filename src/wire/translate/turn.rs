//! An answer under way, in any API.

use super::answer::Answer;
use super::events::{Events, StreamError};
use crate::wire::openai::signatures::SignedCall;

/// An answer under way: takes Gemini's events and writes those of another API.
pub(crate) trait Turn {
    /// Takes the next event, or a whole answer.
    fn take(&mut self, answer: Answer<'_>, events: &mut Events);
    /// The answer is complete.
    fn end(&mut self, events: &mut Events);
    /// The answer has failed.
    fn fail(&mut self, error: &StreamError<'_>, events: &mut Events);
    /// The whole answer as JSON, once it is complete.
    fn to_json(&self) -> Vec<u8>;
    /// Whether the answer has failed in a way that [`to_json`](Self::to_json) cannot express.
    fn has_failed(&self) -> bool {
        false
    }
    /// Tool calls whose thought signatures the client does not receive.
    fn signed_calls(&mut self) -> Vec<SignedCall> {
        Vec::new()
    }
}

/// A whole answer for the client, and the tool calls whose thought signatures it does not receive.
#[derive(Debug)]
pub struct Whole {
    /// The answer.
    pub body: Vec<u8>,
    /// Its type.
    pub content_type: &'static str,
    /// The calls.
    pub signed_calls: Vec<SignedCall>,
}

impl Whole {
    pub(crate) fn new(body: Vec<u8>, content_type: &'static str) -> Self {
        Self {
            body,
            content_type,
            signed_calls: Vec::new(),
        }
    }
}
