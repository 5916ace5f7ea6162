//! Mends what Google's compatible surface does otherwise than OpenAI's, where it breaks OpenAI's clients.
//!
//! | Google                                             | breaks                                         | here                              |
//! |----------------------------------------------------|------------------------------------------------|-----------------------------------|
//! | streamed tool calls without `index`, or all with 0 | clients raise, or glue two calls into one      | indices count up per choice       |
//! | tool calls with an empty `id`, or one for several  | a result cannot be told from the other         | ids are made                      |
//! | tool calls that end with `stop`                    | agents take the answer for the last            | `tool_calls`                      |
//! | messages without `content`, chunks without `id`    | strict decoders                                | `null`; one id for all chunks     |
//! | `usage` so far on many chunks                      | clients that add up                            | once, in a last chunk of its own  |
//! | models named `models/…`, without `created`         | lists to choose from, strict decoders          | the bare name; [`UNKNOWN_CREATED`] |
//!
//! Only that is changed, in the upstream's own bytes: a body is skimmed, and what is missing spliced in, so that unknown
//! fields, thought signatures, number formats and the order of names reach the client as they were sent. A body without
//! a quirk comes back as the very same bytes. What is not understood passes, too: broken JSON, an unexpected type, a name
//! that is given twice where it matters, batch outputs with their names in camel case. Mending twice changes nothing.

mod answer;
mod completion;
mod ids;
mod models;
mod skim;
mod stream;
#[cfg(test)]
mod tests;

pub use completion::completion;
pub use models::{UNKNOWN_CREATED, model, models};
pub use stream::StreamRepair;

/// What is known of a call beside the upstream's answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The model that the client asked for.
    pub model: String,
    /// Now, in seconds since the epoch.
    pub created: i64,
    /// What made ids derive from: the same seed makes the same ids, so each call needs its own.
    pub seed: u64,
    /// The client asked for `stream_options.include_usage`.
    pub include_usage: bool,
}
