//! Repairs what Google's compatible surface does otherwise than OpenAI's, where it breaks OpenAI's clients.
//!
//! | Google                                             | breaks                                         | here                              |
//! |----------------------------------------------------|------------------------------------------------|-----------------------------------|
//! | streamed tool calls without `index`, all with 0, or from 1 on | clients raise, or glue two calls into one | indices count up per choice, from 0 |
//! | tool calls with an empty `id`, or one for several  | a result cannot be told from the other         | ids are made                      |
//! | a thought signature that is said again             | clients put both together                      | once for each call                |
//! | tool calls that end with `stop`                    | agents take the answer for the last            | `tool_calls`                      |
//! | reasons of Google's own, such as `SAFETY`          | strict decoders                                | one of OpenAI's five              |
//! | choices without a reason until the end             | stream helpers raise                           | `stop`, in a chunk of its own     |
//! | first deltas without `role`, or all with it        | stream helpers raise, or put them together     | `assistant`, once                 |
//! | answers without `choices`, choices without what they say | clients raise                            | an empty list, an empty message   |
//! | messages without `content`, chunks without `id`    | strict decoders                                | `null`; one id for all chunks     |
//! | `usage` so far on many chunks                      | clients that add up, or did not ask for it     | once, in a last chunk of its own, or not at all |
//! | a completion where a stream was asked for          | clients see an empty stream                    | a stream of one chunk             |
//! | models named `models/…`, without `created`         | lists to choose from, strict decoders          | the bare name; [`UNKNOWN_CREATED`] |
//! | embeddings as numbers where base64 was asked for   | clients that decode whatever comes, to zeros   | base64                            |
//! | embeddings without `usage`                         | clients that read it                           | zeros                             |
//!
//! Only that is changed, in the upstream's own bytes: a body is skimmed, and what is missing spliced in, so that unknown
//! fields, thought signatures, number formats and the order of names reach the client as they were sent. A body without
//! a quirk comes back as the very same bytes. What is not understood passes, too: broken JSON, an unexpected type, a name
//! that is given twice where it matters, batch outputs with their names in camel case. Repairing twice changes nothing.

mod answer;
mod completion;
mod embeddings;
mod ids;
mod models;
mod parts;
mod stream;
#[cfg(test)]
mod tests;

use completion::{completion, stream_of};
use embeddings::embeddings;
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
    /// What kind of answer that is.
    pub requested: Requested,
}

/// Repairs a whole answer; `None` if a stream was asked for, and it is nothing that could be made one.
pub fn whole(body: Vec<u8>, context: &Context) -> Option<Vec<u8>> {
    match context.requested {
        Requested::Completion => Some(completion(body, context)),
        Requested::Stream { .. } => stream_of(&body, context),
        Requested::Embeddings { as_base64 } => Some(embeddings(body, as_base64)),
        Requested::Other => Some(body),
    }
}

/// What a client asked for, as far as it decides how the answer is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requested {
    /// A chat completion.
    Completion,
    /// A chat completion, chunk by chunk.
    Stream {
        /// The client asked for `stream_options.include_usage`.
        include_usage: bool,
    },
    /// Embeddings.
    Embeddings {
        /// As base64 of their numbers.
        as_base64: bool,
    },
    /// Something else.
    Other,
}
