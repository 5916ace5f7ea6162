//! What an answer carries, on either API.

use crate::pool::Usage;

/// What a completion, or a chunk of one, comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// `None` where it does not say. Of a stream, the last chunk that has it counts.
    pub usage: Option<Usage>,
    /// It carries something to pass on: text, a tool call, a thought, audio, an image, a refusal.
    pub has_content: bool,
    /// It carries an answer: something to pass on that is not a thought.
    pub has_answer: bool,
    /// Some choice has a `finish_reason`.
    pub is_finished: bool,
    /// It came to its end in another way than by saying all (`length`, `content_filter`, `SAFETY`), or the prompt was
    /// refused: without content it is an answer all the same. A tool call that came out malformed is not: the model is asked
    /// once more.
    pub is_blocked: bool,
}

impl Summary {
    /// No answer in it, at most thoughts, though nothing was in the way. Only of a whole answer, or of all chunks of a
    /// stream together: one of them may well be empty.
    pub fn is_empty_answer(&self) -> bool {
        !self.has_answer && !self.is_blocked
    }
}

/// Whether an answer ended so because the model's tool call could not be read: `MALFORMED_FUNCTION_CALL`,
/// `function_call_filter: MALFORMED_FUNCTION_CALL`, `UNEXPECTED_TOOL_CALL`. Requested once more, the model mostly gets it right.
pub(crate) fn is_malformed_call(finish_reason: &str) -> bool {
    let reason = finish_reason.to_ascii_uppercase();
    ["MALFORMED_", "UNEXPECTED_TOOL_CALL"]
        .iter()
        .any(|name| reason.contains(name))
}
