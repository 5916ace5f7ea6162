//! What an answer consists of, as Anthropic writes it: a message, its blocks, and the events of a
//! stream.
//!
//! Fields that the official clients require are present even if they say nothing.
//!
//! Source: <https://platform.claude.com/docs/en/build-with-claude/streaming>.

use crate::pool::Usage;
use crate::wire::translate::events::Events;
use crate::wire::translate::generate::{Json, constant};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A whole message, or the beginning of one.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    pub(super) id: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: MessageKind,
    pub(super) role: Assistant,
    pub(super) model: &'a str,
    pub(super) content: &'a [Block],
    #[serde(flatten)]
    pub(super) stop: Stop,
    /// Containers are Anthropic's, so this is always null.
    pub(super) container: (),
    /// Concerns Anthropic's cache, so this is always null.
    pub(super) diagnostics: (),
    pub(super) usage: MessageUsage,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum MessageKind {
    Message,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Assistant {
    Assistant,
}

/// Why a message ended; nothing is set before.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Stop {
    pub(super) stop_reason: Option<StopReason>,
    /// Gemini does not say which sequence it was.
    pub(super) stop_sequence: (),
    pub(super) stop_details: Option<StopDetails>,
}

/// Gemini reports a stop sequence like the natural end, so `stop_sequence` is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StopReason {
    EndTurn,
    MaxTokens,
    ToolUse,
    Refusal,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum StopDetails {
    Refusal {
        /// One of Anthropic's policies, so this is always null.
        category: (),
        explanation: String,
    },
}

/// The tokens of a message. Those of the cache and `input_tokens` add up to the prompt.
#[derive(Serialize)]
pub(super) struct MessageUsage {
    #[serde(flatten)]
    pub(super) tokens: Tokens,
    pub(super) cache_creation: (),
    pub(super) inference_geo: (),
    pub(super) service_tier: (),
    pub(super) speed: (),
}

/// What the end of a stream reports of [`MessageUsage`].
#[derive(Serialize)]
pub(super) struct Tokens {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    /// Including thoughts.
    pub(super) output_tokens: u64,
    pub(super) output_tokens_details: OutputTokens,
    server_tool_use: Option<ServerToolUses>,
}

#[derive(Serialize)]
pub(super) struct OutputTokens {
    pub(super) thinking_tokens: u64,
}

#[derive(Serialize)]
struct ServerToolUses {
    web_search_requests: usize,
    web_fetch_requests: usize,
}

impl Tokens {
    /// `searches` is the number of queries to the web.
    pub(super) fn of(usage: Usage, searches: usize) -> Self {
        Self {
            input_tokens: usage.input.saturating_sub(usage.cached),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: usage.cached,
            output_tokens: usage.written(),
            output_tokens_details: OutputTokens {
                thinking_tokens: usage.thinking,
            },
            server_tool_use: (searches > 0).then_some(ServerToolUses {
                web_search_requests: searches,
                web_fetch_requests: 0,
            }),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Text {
        text: String,
        citations: Option<Vec<Citation>>,
    },
    Thinking {
        thinking: String,
        signature: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Json<'static>,
        caller: Caller,
    },
    ServerToolUse {
        id: String,
        name: &'static str,
        input: Json<'static>,
        caller: Caller,
    },
    WebSearchToolResult {
        tool_use_id: String,
        content: Vec<SearchResult>,
        caller: Caller,
    },
}

/// Who called a tool: the model, never a program of its.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Caller {
    Direct,
}

/// A source of the answer.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename = "web_search_result")]
pub(super) struct SearchResult {
    pub(super) url: String,
    pub(super) title: String,
    /// For Anthropic's later use, so this is always empty.
    pub(super) encrypted_content: &'static str,
    pub(super) page_age: (),
}

/// A passage with its source.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename = "web_search_result_location")]
pub(super) struct Citation {
    pub(super) url: String,
    pub(super) title: String,
    /// The passage of the answer: Gemini does not quote its sources.
    pub(super) cited_text: String,
    /// For Anthropic's later use, so this is always empty.
    pub(super) encrypted_index: &'static str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    MessageStart {
        message: Message<'a>,
    },
    Ping,
    ContentBlockStart {
        index: usize,
        content_block: &'a Block,
    },
    ContentBlockDelta {
        index: usize,
        delta: Delta<'a>,
    },
    ContentBlockStop {
        index: usize,
    },
    MessageDelta {
        delta: MessageDelta,
        usage: Tokens,
    },
    MessageStop,
}

#[derive(Serialize)]
pub(super) struct MessageDelta {
    #[serde(flatten)]
    pub(super) stop: Stop,
    pub(super) container: (),
}

#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
    #[serde(rename = "citations_delta")]
    Citations { citation: &'a Citation },
}

impl Event<'_> {
    pub(super) fn send(&self, events: &mut Events) {
        let name = match self {
            Self::MessageStart { .. } => "message_start",
            Self::Ping => "ping",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        };
        events.push(name, self);
    }
}

/// `{}`
pub(super) fn no_arguments<'a>() -> Json<'a> {
    constant("{}")
}

/// The arguments of a call, which must be an object.
pub(super) fn arguments(args: &str) -> Json<'static> {
    let args = args.trim_ascii();
    let object = args
        .starts_with('{')
        .then(|| RawValue::from_string(args.to_owned()));
    object
        .and_then(Result::ok)
        .map_or_else(no_arguments, Cow::Owned)
}

/// What precedes and follows the MIME type of an image in text.
const IMAGE: (&str, &str) = ("![image](data:", ";base64,");

/// An image or sound as text, in Markdown. Anthropic's answers contain neither, but such text is
/// widely rendered, and [`image`] recognizes it when the client returns it.
pub(super) fn image_text(mime_type: &str, data: &str) -> String {
    let (before, between) = IMAGE;
    format!("{before}{mime_type}{between}{data})")
}

/// The MIME type and the data of a text that [`image_text`] has made.
pub(super) fn image(text: &str) -> Option<(String, String)> {
    let (before, between) = IMAGE;
    let (mime_type, data) = text.strip_prefix(before)?.split_once(between)?;
    let data = data.strip_suffix(')')?;
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let is_one = !data.is_empty() && data.bytes().all(is_base64);
    is_one.then(|| (mime_type.to_owned(), data.to_owned()))
}
