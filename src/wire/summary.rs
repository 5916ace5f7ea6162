//! Summaries of answers on either API.

use crate::pool::Usage;

/// What a completion, or a chunk of one, contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Token usage, if reported. In a stream, the last chunk that reports it counts.
    pub usage: Option<Usage>,
    /// There is something to pass on: text, a tool call, a thought, audio, an image or a refusal.
    pub has_content: bool,
    /// There is content other than thoughts.
    pub has_answer: bool,
    /// Some choice has a `finish_reason`.
    pub is_finished: bool,
    /// The answer was cut short (`length`, `content_filter`, `SAFETY`) or the prompt was refused,
    /// so that it counts as an answer even without content. A malformed tool call is not included:
    /// the model is asked again.
    pub is_blocked: bool,
}

impl Summary {
    /// Whether there is no answer, only thoughts at most, although nothing was blocked.
    ///
    /// Only meaningful for a complete answer or all chunks of a stream: a single chunk may well be
    /// empty.
    pub fn is_empty_answer(&self) -> bool {
        !self.has_answer && !self.is_blocked
    }
}

/// Whether an answer ended because the model's tool call was malformed: `MALFORMED_FUNCTION_CALL`,
/// `function_call_filter: MALFORMED_FUNCTION_CALL` or `UNEXPECTED_TOOL_CALL`. A second attempt
/// usually succeeds.
pub(crate) fn is_malformed_call(finish_reason: &str) -> bool {
    let reason = finish_reason.to_ascii_uppercase();
    ["MALFORMED_", "UNEXPECTED_TOOL_CALL"]
        .iter()
        .any(|name| reason.contains(name))
}
