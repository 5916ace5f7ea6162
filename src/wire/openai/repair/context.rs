//! What is known of a call when its answer is repaired.

/// What repairs need to know about a call, apart from its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The model that the client requested.
    pub model: String,
    /// The current time, in seconds since the epoch.
    pub created: i64,
    /// Seed for generated ids. Equal seeds give equal ids, so each call needs its own.
    pub seed: u64,
    /// The kind of answer requested.
    pub requested: Requested,
}

/// What the client asked for, as far as it decides how the answer is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requested {
    /// A chat completion.
    Completion,
    /// A streamed chat completion.
    Stream {
        /// The client asked for `stream_options.include_usage`.
        include_usage: bool,
    },
    /// Embeddings as lists of numbers.
    Embeddings,
    /// Embeddings as base64.
    Base64Embeddings,
    /// Anything else.
    Other,
}
