//! A model's answer: text in pieces, tool calls, or nothing, and what it costs in tokens.
//!
//! An answer is the same for both surfaces. A stream carries one piece or one tool call per event.
//! What changed over the years and the models is a switch:
//!
//! | recorded | made by |
//! |---|---|
//! | 2.0 and 2.5, 2025: streams end in "stop" even after tool calls | `finish_in_streams(Stop)` |
//! | 3.x: tool calls have signatures | `ToolCall::signature` |
//! | 3.8, 2026: the finish reason follows the tool calls | `finish_apart()` |
//! | some: chunks without `id` | `without_id()` |

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It was done.
    Stop,
    /// It called tools, which the native surface reports as `STOP`.
    ToolCalls,
}

/// A tool call by the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) id: Option<String>,
    pub(crate) signature: Option<String>,
}

impl ToolCall {
    /// `arguments` is a JSON object as text.
    pub fn new(name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            arguments: arguments.into(),
            id: None,
            signature: None,
        }
    }

    /// An id instead of `function-call-…`. Gemini 2.5 sent an empty one in 2025.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The thought signature that the client has to send back.
    pub fn signature(mut self, signature: impl Into<String>) -> Self {
        self.signature = Some(signature.into());
        self
    }
}

/// A model's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub(crate) pieces: Vec<String>,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) finish: Finish,
    pub(crate) finish_in_streams: Finish,
    pub(crate) finish_apart: bool,
    pub(crate) has_id: bool,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    thinking_tokens: u64,
}

impl Answer {
    /// No content: finished with 0 tokens, as Gemini does at times.
    pub fn empty() -> Self {
        Self {
            pieces: Vec::new(),
            tool_calls: Vec::new(),
            finish: Finish::Stop,
            finish_in_streams: Finish::Stop,
            finish_apart: false,
            has_id: true,
            prompt_tokens: None,
            completion_tokens: None,
            thinking_tokens: 0,
        }
    }

    /// A text in one piece.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            pieces: vec![text.into()],
            ..Self::empty()
        }
    }

    /// A text in pieces of one word.
    pub fn words(text: &str) -> Self {
        Self::empty().with_words(text)
    }

    /// The same with another text.
    pub(crate) fn with_words(mut self, text: &str) -> Self {
        self.pieces = text.split_inclusive(' ').map(str::to_owned).collect();
        self
    }

    /// A made-up text in `count` pieces.
    pub fn events(count: usize) -> Self {
        let pieces = (1..=count).map(|number| format!("Piece {number} of {count}. "));
        Self {
            pieces: pieces.collect(),
            ..Self::empty()
        }
    }

    /// Tool calls.
    pub fn tool_calls(calls: impl IntoIterator<Item = ToolCall>) -> Self {
        Self {
            tool_calls: calls.into_iter().collect(),
            finish: Finish::ToolCalls,
            finish_in_streams: Finish::ToolCalls,
            ..Self::empty()
        }
    }

    /// Another finish reason in streams than in whole answers.
    pub fn finish_in_streams(mut self, finish: Finish) -> Self {
        self.finish_in_streams = finish;
        self
    }

    /// Sends the finish reason of a stream in an event of its own. Native streams of Gemini 3 do
    /// so after tool calls anyway.
    pub fn finish_apart(mut self) -> Self {
        self.finish_apart = true;
        self
    }

    /// Tokens of the prompt and of the answer, instead of one per four bytes.
    pub fn usage(mut self, prompt: u64, completion: u64) -> Self {
        (self.prompt_tokens, self.completion_tokens) = (Some(prompt), Some(completion));
        self
    }

    /// Tokens spent on thinking. The compatible surface reports them in the total only.
    pub fn thinking(mut self, tokens: u64) -> Self {
        self.thinking_tokens = tokens;
        self
    }

    /// Omits the `id` of the compatible surface, as some of Google's streams do.
    pub fn without_id(mut self) -> Self {
        self.has_id = false;
        self
    }

    /// What the answer to a prompt of `prompt_tokens` costs.
    pub(crate) fn tokens(&self, prompt_tokens: u64) -> Tokens {
        let said = self.pieces.iter().map(String::len);
        let called = self.tool_calls.iter().map(|call| call.arguments.len() + 1);
        let estimate = || estimate_tokens(said.chain(called).sum());
        Tokens {
            prompt: self.prompt_tokens.unwrap_or(prompt_tokens),
            completion: self.completion_tokens.unwrap_or_else(estimate),
            thinking: self.thinking_tokens,
        }
    }
}

impl Default for Answer {
    /// A short text in three pieces.
    fn default() -> Self {
        let pieces = ["This is", " a made-up answer", " of a fake Gemini."];
        Self {
            pieces: pieces.map(str::to_owned).into(),
            ..Self::empty()
        }
    }
}

/// The tokens of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
    pub(crate) thinking: u64,
}

impl Tokens {
    pub(crate) fn total(&self) -> u64 {
        self.prompt + self.completion + self.thinking
    }

    /// The tokens after `done` of `all` events.
    pub(crate) fn after(&self, done: usize, all: usize) -> Self {
        Self {
            completion: self.completion * done as u64 / all.max(1) as u64,
            ..*self
        }
    }
}

/// A rough count of the tokens in so many bytes of text: the fake has no tokenizer.
pub(crate) fn estimate_tokens(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}
