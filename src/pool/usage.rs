//! The tokens of a call.

/// Token counts of an answer, from its `usage`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, including cached ones.
    pub input: u64,
    /// Tokens of the visible answer.
    pub output: u64,
    /// Tokens of the thoughts before the answer.
    pub thinking: u64,
    /// Tokens of the prompt that were served from the upstream's cache.
    pub cached: u64,
}

impl Usage {
    /// All tokens that the model wrote: the visible answer and the thoughts.
    pub fn written(self) -> u64 {
        self.output.saturating_add(self.thinking)
    }
}
