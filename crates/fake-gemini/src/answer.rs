//! What a model says: text in pieces, tool calls, or nothing, and what it costs in tokens.
//!
//! An answer is the same for all surfaces; they write it each in their own way, and a stream carries one piece or one
//! tool call an event.

/// Why a model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// It was done.
    Stop,
    /// It reached its limit of tokens.
    MaxTokens,
    /// It called tools.
    ToolCalls,
    /// A filter cut it off.
    Safety,
    /// Anything else, written as it is on every surface.
    Other(String),
}

impl Finish {
    /// In OpenAI's words.
    pub(crate) fn compat(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::MaxTokens => "length",
            Self::ToolCalls => "tool_calls",
            Self::Safety => "content_filter",
            Self::Other(text) => text,
        }
    }

    /// In Google's words.
    pub(crate) fn native(&self) -> &str {
        match self {
            Self::Stop | Self::ToolCalls => "STOP",
            Self::MaxTokens => "MAX_TOKENS",
            Self::Safety => "SAFETY",
            Self::Other(text) => text,
        }
    }
}

/// A tool that the model wants called.
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

    /// The id to give it instead of `function-call-…`. Gemini gave an empty one in 2025, and one that was not unique
    /// later.
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
    pub(crate) prompt_blocked: bool,
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) completion_tokens: Option<u64>,
    pub(crate) thinking_tokens: u64,
    pub(crate) cached_tokens: Option<u64>,
    pub(crate) usage_in_last_event_only: bool,
    pub(crate) id: bool,
}

impl Answer {
    /// Nothing at all: finished, with 0 tokens, as Gemini does at times.
    pub fn empty() -> Self {
        Self {
            pieces: Vec::new(),
            tool_calls: Vec::new(),
            finish: Finish::Stop,
            prompt_blocked: false,
            prompt_tokens: None,
            completion_tokens: None,
            thinking_tokens: 0,
            cached_tokens: None,
            usage_in_last_event_only: false,
            id: true,
        }
    }

    /// A text, in one piece.
    pub fn text(text: impl Into<String>) -> Self {
        Self::pieces([text.into()])
    }

    /// A text in pieces, of which a stream carries one an event.
    pub fn pieces<T: Into<String>>(pieces: impl IntoIterator<Item = T>) -> Self {
        Self {
            pieces: pieces.into_iter().map(Into::into).collect(),
            ..Self::empty()
        }
    }

    /// A text, in pieces of one word.
    pub fn words(text: &str) -> Self {
        Self::pieces(text.split_inclusive(' '))
    }

    /// A text in `count` pieces, made up.
    pub fn events(count: usize) -> Self {
        Self::pieces((1..=count).map(|number| format!("Piece {number} of {count}. ")))
    }

    /// A call of one tool; `arguments` is a JSON object as text.
    pub fn tool_call(name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self::tool_calls([ToolCall::new(name, arguments)])
    }

    /// Calls of tools.
    pub fn tool_calls(calls: impl IntoIterator<Item = ToolCall>) -> Self {
        Self {
            tool_calls: calls.into_iter().collect(),
            finish: Finish::ToolCalls,
            ..Self::empty()
        }
    }

    /// An answer that a filter kept back: 200, without content.
    pub fn blocked() -> Self {
        Self::empty().finish(Finish::Safety)
    }

    /// A prompt that a filter kept back: on the native surface there is no candidate then.
    pub fn prompt_blocked() -> Self {
        Self {
            prompt_blocked: true,
            ..Self::blocked()
        }
    }

    /// Why it ended, where that is not the usual.
    pub fn finish(mut self, finish: Finish) -> Self {
        self.finish = finish;
        self
    }

    /// Tokens of the prompt and of the answer, instead of one for each four characters.
    pub fn usage(mut self, prompt: u64, completion: u64) -> Self {
        (self.prompt_tokens, self.completion_tokens) = (Some(prompt), Some(completion));
        self
    }

    /// Tokens spent on thinking. They are in the total and nowhere else.
    pub fn thinking(mut self, tokens: u64) -> Self {
        self.thinking_tokens = tokens;
        self
    }

    /// Tokens of the prompt that came out of a cache.
    pub fn cached(mut self, tokens: u64) -> Self {
        self.cached_tokens = Some(tokens);
        self
    }

    /// Puts the usage into a compatible stream's last event alone, as recorded in October 2026, instead of into each.
    pub fn usage_in_last_event_only(mut self) -> Self {
        self.usage_in_last_event_only = true;
        self
    }

    /// Leaves out the compatible surface's `id`, as some of Google's streams do.
    pub fn without_id(mut self) -> Self {
        self.id = false;
        self
    }

    /// The whole text; `None` when there is none.
    pub(crate) fn whole_text(&self) -> Option<String> {
        let text = self.pieces.concat();
        (!text.is_empty()).then_some(text)
    }

    /// The tokens, given those of the prompt.
    pub(crate) fn tokens(&self, prompt: u64) -> Tokens {
        let prompt = self.prompt_tokens.unwrap_or(prompt);
        let said = self.pieces.iter().map(String::len);
        let called = self.tool_calls.iter().map(|call| call.arguments.len() + 1);
        Tokens {
            prompt,
            completion: self
                .completion_tokens
                .unwrap_or_else(|| tokens_of(said.chain(called).sum())),
            thinking: self.thinking_tokens,
            cached: self.cached_tokens,
        }
    }
}

impl Default for Answer {
    /// A short text in three pieces.
    fn default() -> Self {
        Self::pieces(["This is", " a made-up answer", " of a fake Gemini."])
    }
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

/// What a call used, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
    pub(crate) thinking: u64,
    pub(crate) cached: Option<u64>,
}

impl Tokens {
    /// Thinking is in the total, though in none of the parts.
    pub(crate) fn total(&self) -> u64 {
        self.prompt
            .saturating_add(self.completion)
            .saturating_add(self.thinking)
    }

    /// The tokens after `done` of `all` events, for surfaces that count along.
    pub(crate) fn after(&self, done: usize, all: usize) -> Self {
        let part = u128::from(self.completion) * done as u128 / (all.max(1) as u128);
        Self {
            completion: u64::try_from(part).unwrap_or(self.completion),
            ..*self
        }
    }
}

/// A rough count of the tokens in so many bytes of text: the fake has no tokenizer.
pub(crate) fn tokens_of(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX)
}
