//! What a model says: thoughts, text in pieces, tool calls, or nothing, and what it costs in tokens.
//!
//! An answer is the same for all surfaces; they write it each in their own way, and a stream carries one piece or one
//! tool call an event. What changed over the years and the models is a switch:
//!
//! | seen | made by |
//! |---|---|
//! | 2.0 and 2.5, 2025: streams end in "stop" after tool calls too | `.finish_in_streams(Finish::Stop)` |
//! | 2.5, 2025: the message has the signature, twice | `.signature(…)` |
//! | 3.x: each tool call has its signature | `ToolCall::signature` |
//! | 3.x: a delta with nothing but a signature | `.signature_event(…)` |
//! | 3.x: that delta has no role either | `.without_role()` |
//! | all: tool calls of a stream have no `index` (the default); some front ends count them, or give each 0 | `.call_index(…)` |
//! | several tool calls in one delta instead of one in each | `.calls_together()` |
//! | chunks without `id`, `created` or `object` | `.without_id()`, `.without_created()`, `.without_object()` |
//! | 3.8, 2026: the finish reason follows the tool calls | `.finish_apart()`, `.finish_in_streams(Finish::Stop)` |

use crate::surface::Request;

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

/// Which `index` the tool calls of a compatible stream have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallIndex {
    /// None, as Google does.
    Missing,
    /// 0, whatever their place.
    Zero,
    /// Their place, as OpenAI does.
    Counted,
}

impl CallIndex {
    pub(crate) fn of(self, place: usize) -> Option<usize> {
        match self {
            Self::Missing => None,
            Self::Zero => Some(0),
            Self::Counted => Some(place),
        }
    }
}

/// A thought signature that belongs to the answer as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signature {
    /// On the message.
    Message(String),
    /// In an event of its own.
    Event(String),
}

/// What one event of a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Thought(&'a str),
    Text(&'a str),
    /// With its place among the calls.
    Call(usize, &'a ToolCall),
    Signature(&'a str),
}

/// A model's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub(crate) thoughts: Vec<String>,
    pub(crate) pieces: Vec<String>,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) signature: Option<Signature>,
    pub(crate) finish: Finish,
    finish_in_streams: Option<Finish>,
    pub(crate) finish_apart: bool,
    pub(crate) prompt_blocked: bool,
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) completion_tokens: Option<u64>,
    pub(crate) thinking_tokens: u64,
    pub(crate) cached_tokens: Option<u64>,
    pub(crate) usage_in_last_event_only: bool,
    pub(crate) id: bool,
    pub(crate) created: bool,
    pub(crate) object: bool,
    pub(crate) role: bool,
    pub(crate) call_index: CallIndex,
    pub(crate) calls_together: bool,
}

impl Answer {
    /// Nothing at all: finished, with 0 tokens, as Gemini does at times.
    pub fn empty() -> Self {
        Self {
            thoughts: Vec::new(),
            pieces: Vec::new(),
            tool_calls: Vec::new(),
            signature: None,
            finish: Finish::Stop,
            finish_in_streams: None,
            finish_apart: false,
            prompt_blocked: false,
            prompt_tokens: None,
            completion_tokens: None,
            thinking_tokens: 0,
            cached_tokens: None,
            usage_in_last_event_only: false,
            id: true,
            created: true,
            object: true,
            role: true,
            call_index: CallIndex::Missing,
            calls_together: false,
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

    /// The same with another text.
    pub(crate) fn with_words(mut self, text: &str) -> Self {
        self.pieces = Self::words(text).pieces;
        self
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

    /// Another reason for streams than for whole answers.
    pub fn finish_in_streams(mut self, finish: Finish) -> Self {
        self.finish_in_streams = Some(finish);
        self
    }

    /// Puts the finish reason into a stream's event of its own, behind the content. Native streams of Gemini 3 do that
    /// after tool calls anyway.
    pub fn finish_apart(mut self) -> Self {
        self.finish_apart = true;
        self
    }

    /// Thoughts before the text, in pieces, as for `include_thoughts`. The compatible surface has them within the text,
    /// between `<thought>` and `</thought>`; what it does where no text follows is not recorded, here the second tag
    /// then is an event of its own.
    pub fn thoughts<T: Into<String>>(mut self, pieces: impl IntoIterator<Item = T>) -> Self {
        self.thoughts = pieces.into_iter().map(Into::into).collect();
        self
    }

    /// A thought signature of the whole message, which the compatible surface writes twice. Recorded of a whole
    /// answer; in a stream it is here with the first tool call, or with the last piece of text.
    pub fn signature(mut self, signature: impl Into<String>) -> Self {
        self.signature = Some(Signature::Message(signature.into()));
        self
    }

    /// A thought signature in a stream's event of its own, behind the content. Its exact form is not recorded.
    pub fn signature_event(mut self, signature: impl Into<String>) -> Self {
        self.signature = Some(Signature::Event(signature.into()));
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

    /// Leaves out the compatible surface's `created`, as some of Google's streams do.
    pub fn without_created(mut self) -> Self {
        self.created = false;
        self
    }

    /// Leaves out the compatible surface's `object`.
    pub fn without_object(mut self) -> Self {
        self.object = false;
        self
    }

    /// Leaves out the role in the deltas of a compatible stream, so that a signature's event has nothing but
    /// `extra_content`.
    pub fn without_role(mut self) -> Self {
        self.role = false;
        self
    }

    /// Which `index` the tool calls of a compatible stream have; usually none.
    pub fn call_index(mut self, index: CallIndex) -> Self {
        self.call_index = index;
        self
    }

    /// Puts all tool calls of a compatible stream into one delta, instead of each into its own.
    pub fn calls_together(mut self) -> Self {
        self.calls_together = true;
        self
    }

    /// The content of a stream, event by event, and the message's signature with the one that bears it.
    pub(crate) fn parts(&self) -> Vec<(Part<'_>, Option<&str>)> {
        let thoughts = self.thoughts.iter().map(|piece| Part::Thought(piece));
        let texts = self.pieces.iter().map(|piece| Part::Text(piece));
        let calls = self.tool_calls.iter().enumerate();
        let calls = calls.map(|(index, call)| Part::Call(index, call));
        let (own, message) = match &self.signature {
            Some(Signature::Event(signature)) => (Some(Part::Signature(signature)), None),
            Some(Signature::Message(signature)) => (None, Some(signature.as_str())),
            None => (None, None),
        };
        let parts = thoughts.chain(texts).chain(calls).chain(own);
        let mut parts: Vec<_> = parts.map(|part| (part, None)).collect();
        let mut calls = parts.iter();
        let first_call = calls.position(|(part, _)| matches!(part, Part::Call(..)));
        let bearer = first_call.unwrap_or(parts.len().saturating_sub(1));
        if let Some((_, signature)) = parts.get_mut(bearer) {
            *signature = message;
        }
        parts
    }

    /// All thought signatures in it.
    pub(crate) fn signatures(&self) -> impl Iterator<Item = &str> {
        let own = self.signature.as_ref().map(|signature| match signature {
            Signature::Message(signature) | Signature::Event(signature) => signature.as_str(),
        });
        let calls = self.tool_calls.iter();
        own.into_iter()
            .chain(calls.filter_map(|call| call.signature.as_deref()))
    }

    /// Why a stream of it ends.
    pub(crate) fn finish_of_stream(&self) -> &Finish {
        self.finish_in_streams.as_ref().unwrap_or(&self.finish)
    }

    /// The tokens of a request's answer: what was thought is not in them unless [`Answer::thinking`] says so.
    pub(crate) fn tokens(&self, request: &Request) -> Tokens {
        let said = self.pieces.iter().map(String::len);
        let called = self.tool_calls.iter().map(|call| call.arguments.len() + 1);
        let estimate = || tokens_of(said.chain(called).sum()) * u64::from(request.choices);
        Tokens {
            prompt: self.prompt_tokens.unwrap_or(request.prompt_tokens),
            completion: self.completion_tokens.unwrap_or_else(estimate),
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
