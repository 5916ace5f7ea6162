//! The tokens of a call.

/// Tokens of an answer, as its `usage` tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompt, cached ones included.
    pub input: u64,
    /// Of what the reader gets.
    pub output: u64,
    /// Of the thinking before it.
    pub thinking: u64,
    /// Those of the prompt that the upstream had seen before.
    pub cached: u64,
}
