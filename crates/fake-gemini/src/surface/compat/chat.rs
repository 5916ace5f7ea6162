//! The bytes of a chat completion. The fields of each struct are in alphabetical order, since Google's are.
//!
//! What differs from OpenAI: `finish_reason` is missing until the last chunk, the role is in each delta, tool calls
//! have no `index` and come one to a chunk, usage rides on the chunks with content, and thinking is in the total of
//! the tokens alone.

use crate::answer::{Answer, Tokens, ToolCall};
use crate::ids;
use crate::json;
use crate::surface::{EVENT_STREAM, JSON, Scene, Success};
use serde::Serialize;

#[derive(Serialize)]
struct Completion<'a, C> {
    choices: [C; 1],
    created: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    model: &'a str,
    object: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Choice<'a> {
    finish_reason: &'a str,
    index: u32,
    message: Message<'a>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    delta: Message<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'a str>,
    index: u32,
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    role: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

#[derive(Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent<'a>>,
    function: Function<'a>,
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct ExtraContent<'a> {
    google: GoogleContent<'a>,
}

#[derive(Serialize)]
struct GoogleContent<'a> {
    thought_signature: &'a str,
}

#[derive(Serialize)]
struct Function<'a> {
    arguments: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Usage {
    completion_tokens: u64,
    prompt_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<PromptDetails>,
    total_tokens: u64,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        Self {
            completion_tokens: tokens.completion,
            prompt_tokens: tokens.prompt,
            prompt_tokens_details: tokens
                .cached
                .map(|cached_tokens| PromptDetails { cached_tokens }),
            total_tokens: tokens.total(),
        }
    }
}

impl<'a> Message<'a> {
    fn new(content: Option<&'a str>, tool_calls: Vec<Call<'a>>) -> Self {
        Self {
            content,
            role: "assistant",
            tool_calls,
        }
    }
}

fn call<'a>(call: &'a ToolCall, number: u64, index: usize) -> Call<'a> {
    Call {
        extra_content: call
            .signature
            .as_deref()
            .map(|thought_signature| ExtraContent {
                google: GoogleContent { thought_signature },
            }),
        function: Function {
            arguments: &call.arguments,
            name: &call.name,
        },
        id: call
            .id
            .clone()
            .unwrap_or_else(|| ids::tool_call_id(number, index)),
        kind: "function",
    }
}

fn completion<'a, C>(
    choice: C,
    object: &'static str,
    usage: Option<Tokens>,
    answer: &Answer,
    scene: &Scene<'a>,
) -> Completion<'a, C> {
    Completion {
        choices: [choice],
        created: scene.created,
        id: answer.id.then(|| ids::response_id(scene.number)),
        model: scene.request.model.as_deref().unwrap_or_default(),
        object,
        usage: usage.map(Usage::from),
    }
}

pub(super) fn whole(answer: &Answer, scene: &Scene<'_>) -> Success {
    let text = answer.whole_text();
    let calls = answer.tool_calls.iter().enumerate();
    let choice = Choice {
        finish_reason: answer.finish.compat(),
        index: 0,
        message: Message::new(
            text.as_deref(),
            calls
                .map(|(index, tool)| call(tool, scene.number, index))
                .collect(),
        ),
    };
    let tokens = answer.tokens(scene.request.prompt_tokens);
    let completion = completion(choice, "chat.completion", Some(tokens), answer, scene);
    Success::whole(JSON, json::compact(&completion))
}

pub(super) fn stream(answer: &Answer, scene: &Scene<'_>) -> Success {
    let texts = answer
        .pieces
        .iter()
        .map(|piece| Message::new(Some(piece), Vec::new()));
    let tools = answer
        .tool_calls
        .iter()
        .enumerate()
        .map(|(index, tool)| Message::new(None, vec![call(tool, scene.number, index)]));
    let mut deltas: Vec<Message<'_>> = texts.chain(tools).collect();
    if deltas.is_empty() {
        deltas.push(Message::new(None, Vec::new()));
    }

    let tokens = answer.tokens(scene.request.prompt_tokens);
    // As recorded: nothing but the prompt is counted until the last chunk.
    let so_far = Tokens {
        completion: 0,
        thinking: 0,
        ..tokens
    };
    let count = deltas.len();
    let events = deltas
        .into_iter()
        .enumerate()
        .map(|(index, delta)| {
            let last = index + 1 == count;
            let usage = if last {
                Some(tokens)
            } else {
                Some(so_far).filter(|_| !answer.usage_in_last_event_only)
            };
            let choice = ChunkChoice {
                delta,
                finish_reason: last.then(|| answer.finish.compat()),
                index: 0,
            };
            let usage = usage.filter(|_| scene.request.include_usage);
            let chunk = completion(choice, "chat.completion.chunk", usage, answer, scene);
            format!("data: {}\n\n", json::compact(&chunk))
        })
        .collect();
    Success {
        content_type: EVENT_STREAM,
        attachment: false,
        events,
        closing: "data: [DONE]\n\n",
    }
}
