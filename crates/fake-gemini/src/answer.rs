//! A model's answer: text and data in pieces, tool calls, or nothing, and what it costs in tokens.
//!
//! An answer is the same for both surfaces. A stream carries one piece or one tool call per event.
//! Thoughts, data, sources and the signature of a text are seen on the native surface only. What
//! changed over the years and the models is a switch:
//!
//! | recorded | made by |
//! |---|---|
//! | 2.0 and 2.5, 2025: streams end in "stop" even after tool calls | `finish_in_streams(Stop)` |
//! | 3.x: tool calls have signatures | `ToolCall::signature` |
//! | 3.8, 2026: the finish reason follows the tool calls | `finish_apart()` |
//! | some: chunks without `id` | `without_id()` |

use serde_json::{Value, json};

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It was done.
    Stop,
    /// It called tools, which the native surface reports as `STOP`.
    ToolCalls,
    /// It was not allowed to say more.
    MaxTokens,
    /// What it said was unsafe.
    Safety,
    /// It repeated what it had learnt.
    Recitation,
    /// What it said is prohibited.
    ProhibitedContent,
    /// It called a tool with something that is not JSON.
    MalformedFunctionCall,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    /// A part of the native surface.
    Data(Value),
}

/// A web page that an answer cites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub(crate) uri: String,
    pub(crate) title: String,
    pub(crate) quote: String,
}

impl Source {
    /// `quote` is the part of the answer that the page supports.
    pub fn new(uri: impl Into<String>, title: impl Into<String>, quote: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            title: title.into(),
            quote: quote.into(),
        }
    }
}

/// What Google searched for, and what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grounding {
    pub(crate) query: String,
    pub(crate) sources: Vec<Source>,
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
    pub(crate) thoughts: Vec<String>,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) tool_calls: Vec<ToolCall>,
    /// The signature of an answer without tool calls.
    pub(crate) signature: Option<String>,
    pub(crate) grounding: Option<Grounding>,
    /// Why the prompt was blocked, in which case there is no answer.
    pub(crate) block_reason: Option<String>,
    pub(crate) finish: Finish,
    pub(crate) finish_in_streams: Finish,
    pub(crate) finish_apart: bool,
    pub(crate) has_id: bool,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    thinking_tokens: u64,
    cached_tokens: u64,
}

impl Answer {
    /// No content: finished with 0 tokens, as Gemini does at times.
    pub fn empty() -> Self {
        Self {
            thoughts: Vec::new(),
            pieces: Vec::new(),
            tool_calls: Vec::new(),
            signature: None,
            grounding: None,
            block_reason: None,
            finish: Finish::Stop,
            finish_in_streams: Finish::Stop,
            finish_apart: false,
            has_id: true,
            prompt_tokens: None,
            completion_tokens: None,
            thinking_tokens: 0,
            cached_tokens: 0,
        }
    }

    /// A text in one piece.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            pieces: vec![Piece::Text(text.into())],
            ..Self::empty()
        }
    }

    /// A text in pieces of one word.
    pub fn words(text: &str) -> Self {
        Self::empty().with_words(text)
    }

    /// The same with another text.
    pub(crate) fn with_words(mut self, text: &str) -> Self {
        let words = text.split_inclusive(' ').map(str::to_owned);
        self.pieces = words.map(Piece::Text).collect();
        self
    }

    /// A block instead of an answer. `reason` is such as `PROHIBITED_CONTENT`.
    pub fn blocked(reason: impl Into<String>) -> Self {
        Self {
            block_reason: Some(reason.into()),
            finish: Finish::ProhibitedContent,
            finish_in_streams: Finish::ProhibitedContent,
            ..Self::empty()
        }
    }

    /// A made-up text in `count` pieces.
    pub fn events(count: usize) -> Self {
        let pieces = (1..=count).map(|number| format!("Piece {number} of {count}. "));
        Self {
            pieces: pieces.map(Piece::Text).collect(),
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

    /// Adds a text in one piece.
    pub fn and_text(mut self, text: impl Into<String>) -> Self {
        self.pieces.push(Piece::Text(text.into()));
        self
    }

    /// Adds an image or a sound; `data` is base64. Models for speech send
    /// `audio/L16;codec=pcm;rate=24000`.
    pub fn and_data(self, mime_type: &str, data: &str) -> Self {
        self.and_part(json!({"inlineData": {"mimeType": mime_type, "data": data}}))
    }

    /// Adds code that Google has run, and what it has printed.
    pub fn and_code(self, code: &str, output: &str) -> Self {
        self.and_part(json!({"executableCode": {"language": "PYTHON", "code": code}}))
            .and_part(json!({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": output}}))
    }

    fn and_part(mut self, part: Value) -> Self {
        self.pieces.push(Piece::Data(part));
        self
    }

    /// Adds tool calls.
    pub fn and_tool_calls(mut self, calls: impl IntoIterator<Item = ToolCall>) -> Self {
        self.tool_calls.extend(calls);
        self.finish(Finish::ToolCalls)
    }

    /// Adds a summary of thoughts, which requests have to ask for. Thoughts cost tokens at all
    /// events.
    pub fn thoughts(mut self, summary: impl Into<String>) -> Self {
        self.thoughts.push(summary.into());
        self
    }

    /// The thought signature of a text, in an empty part of its own if it is streamed.
    pub fn signature(mut self, signature: impl Into<String>) -> Self {
        self.signature = Some(signature.into());
        self
    }

    /// Web pages that Google has searched for and that the answer cites.
    pub fn grounded(
        mut self,
        query: impl Into<String>,
        sources: impl IntoIterator<Item = Source>,
    ) -> Self {
        self.grounding = Some(Grounding {
            query: query.into(),
            sources: sources.into_iter().collect(),
        });
        self
    }

    /// Another finish reason.
    pub fn finish(mut self, finish: Finish) -> Self {
        (self.finish, self.finish_in_streams) = (finish, finish);
        self
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

    /// Tokens of the prompt that came from a cache.
    pub fn cached(mut self, tokens: u64) -> Self {
        self.cached_tokens = tokens;
        self
    }

    /// Omits the `id` of the compatible surface, as some of Google's streams do.
    pub fn without_id(mut self) -> Self {
        self.has_id = false;
        self
    }

    /// What the answer to a prompt of `prompt_tokens` costs.
    pub(crate) fn tokens(&self, prompt_tokens: u64) -> Tokens {
        let said = self.texts().map(str::len);
        let called = self.tool_calls.iter().map(|call| call.arguments.len() + 1);
        let estimate = || estimate_tokens(said.chain(called).sum());
        let thought = self.thoughts.iter().map(String::len).sum();
        Tokens {
            prompt: self.prompt_tokens.unwrap_or(prompt_tokens),
            completion: self.completion_tokens.unwrap_or_else(estimate),
            thinking: self.thinking_tokens.max(estimate_tokens(thought)),
            cached: self.cached_tokens,
        }
    }

    /// This answer as far as a stop sequence or a limit of tokens lets the model speak. Tokens that
    /// were set by [`usage`](Self::usage) are not limited.
    pub(crate) fn limited(&self, stops: &[String], max_tokens: Option<u64>) -> Self {
        let mut answer = self.clone();
        let text: String = self.texts().collect();
        if let Some(end) = stops
            .iter()
            .filter_map(|stop| text.find(stop.as_str()))
            .min()
        {
            answer = answer.truncated(end).finish(Finish::Stop);
        }
        let tokens = answer.tokens(0);
        let spent = tokens.completion + tokens.thinking;
        match max_tokens {
            Some(limit) if spent > limit && self.completion_tokens.is_none() => {
                let left = limit.saturating_sub(tokens.thinking);
                answer = answer.truncated(left as usize * BYTES_PER_TOKEN);
                answer.thinking_tokens = tokens.thinking.min(limit);
                answer.finish(Finish::MaxTokens)
            }
            Some(_) | None => answer,
        }
    }

    /// The first `bytes` bytes of the text, and nothing after it.
    fn truncated(mut self, mut bytes: usize) -> Self {
        let mut pieces = Vec::new();
        for piece in self.pieces {
            match piece {
                Piece::Text(text) if text.len() > bytes => {
                    let end = text.floor_char_boundary(bytes);
                    pieces.extend((end > 0).then(|| Piece::Text(text[..end].to_owned())));
                    break;
                }
                piece => {
                    if let Piece::Text(text) = &piece {
                        bytes -= text.len();
                    }
                    pieces.push(piece);
                }
            }
        }
        self.pieces = pieces;
        self.tool_calls.clear();
        self
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Data(_) => None,
        })
    }
}

impl Default for Answer {
    /// A short text in three pieces.
    fn default() -> Self {
        let pieces = ["This is", " a made-up answer", " of a fake Gemini."];
        Self {
            pieces: pieces.map(|text| Piece::Text(text.to_owned())).into(),
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
    /// Those of the prompt that came from a cache.
    pub(crate) cached: u64,
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

const BYTES_PER_TOKEN: usize = 4;

/// A rough count of the tokens in so many bytes of text: the fake has no tokenizer.
pub(crate) fn estimate_tokens(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN) as u64
}
