//! Repairs deviations of Google's compatible surface that break OpenAI's clients.
//!
//! | Google sends | effect | repair |
//! |---|---|---|
//! | streamed tool calls without `index`, all with 0, or counting from 1 | clients raise, or merge two calls | indices count up per choice, from 0 |
//! | tool calls with an empty or repeated `id` | results cannot be assigned to calls | generated ids |
//! | repeated thought signatures | clients concatenate them | one per call |
//! | tool calls that end with `stop` | agents take the answer for the final one | `tool_calls` |
//! | its own finish reasons, such as `SAFETY` | strict decoders fail | one of OpenAI's five |
//! | choices that never get a finish reason | stream helpers raise | `stop`, in an additional chunk |
//! | first deltas without `role`, or every delta with it | stream helpers raise, or concatenate the roles | `assistant`, once |
//! | answers without `choices`, choices without a message or delta | clients raise | an empty list, an empty message |
//! | messages without `content`, chunks without `id` | strict decoders fail | `null`; one id for all chunks |
//! | cumulative `usage` on many chunks | clients add it up, or did not ask for it | once, in an additional last chunk, or never |
//! | a completion although a stream was requested | clients see an empty stream | a stream of one chunk |
//! | models named `models/…`, without `created` | model pickers and strict decoders fail | the bare name; [`UNKNOWN_CREATED`] |
//! | embeddings as numbers although base64 was requested | clients decode them to zeros | base64 |
//! | embeddings without `usage` | clients that read it fail | zeros |
//!
//! Nothing else is changed: bodies are skimmed, and missing parts are spliced into the upstream's
//! bytes, so that unknown fields, thought signatures, number formats and the order of names are
//! preserved. A body without deviations is returned as the very same bytes. Unsupported input
//! passes unchanged: broken JSON, unexpected types, relevant names that occur twice, and batch
//! outputs with camel-case names. Repairs are idempotent.

mod answer;
mod completion;
mod context;
mod embeddings;
mod ids;
mod models;
mod parts;
mod stream;
#[cfg(test)]
mod tests;

use completion::{completion, stream_of};
pub use context::{Context, Requested};
use embeddings::embeddings;
pub use models::{UNKNOWN_CREATED, model, models};
pub use stream::StreamRepair;

/// Repairs a complete answer; `None` if a stream was requested and the answer cannot be converted
/// to one.
pub fn whole(body: Vec<u8>, context: &Context) -> Option<Vec<u8>> {
    match context.requested {
        Requested::Completion => Some(completion(body, context)),
        Requested::Stream { .. } => stream_of(&body, context),
        Requested::Embeddings | Requested::Base64Embeddings => {
            Some(embeddings(body, context.requested))
        }
        Requested::Other => Some(body),
    }
}
