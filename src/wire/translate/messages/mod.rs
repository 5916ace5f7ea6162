//! Anthropic's Messages API, translated to Gemini's and back.
//!
//! | module | contents |
//! |---|---|
//! | `request` | the parameters of a request |
//! | `content` | messages and their blocks |
//! | `tools` | tools, and which of them the model may call |
//! | `answer` | answers, streamed or whole |
//! | `format` | what an answer consists of |
//! | [`error_json`], [`error_code`], [`error_status`] | errors |
//! | [`models`] | the list of models |
//!
//! What Gemini cannot do is refused if the answer would be wrong without it, such as a restriction
//! of domains. What only saves money or time, such as `cache_control`, is ignored.
//!
//! Thought signatures travel as those of thinking blocks, which clients return unchanged. A client
//! that has not turned thinking on does not expect such blocks, so its signatures are
//! [collected](super::Translator::signed_calls) instead.
//!
//! Sources: <https://platform.claude.com/docs/en/api/messages>, and the types of the official
//! clients: <https://github.com/anthropics/anthropic-sdk-typescript>.

mod answer;
mod content;
mod error;
mod format;
pub mod models;
mod request;
mod tools;

pub use error::{error_code, error_json, error_status};

pub(crate) use answer::Turn;
pub(crate) use request::{count_tokens, request, token_count};

use super::tool_names::ToolNames;

/// What the form of an answer depends on.
#[derive(Debug, PartialEq, Eq)]
pub struct Form {
    /// The model as the client named it, which expects it back.
    model: String,
    thinking: Thinking,
    tool_names: ToolNames,
    seed: u64,
}

/// What the client receives of the model's thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thinking {
    /// Blocks with a summary and a signature.
    Shown,
    /// Blocks with a signature only.
    Signed,
    /// No blocks.
    Hidden,
}
