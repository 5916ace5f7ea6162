//! The bytes of a chat completion. The fields of each struct are in alphabetical order, since Google's are.
//!
//! What differs from OpenAI: `finish_reason` is missing until the last chunk, the role is in each delta, tool calls
//! usually have no `index` and come one to a chunk, usage rides on the chunks with content, and thinking is in the total of
//! the tokens alone.

use crate::answer::{Answer, Part, Signature, Tokens, ToolCall};
use crate::ids;
use crate::json;
use crate::surface::{EVENT_STREAM, Scene, Success, Surface};
use serde::Serialize;
use std::borrow::Cow;

#[derive(Serialize)]
struct Completion<'a, C> {
    choices: Vec<C>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Choice<'a> {
    finish_reason: &'a str,
    index: u32,
    message: &'a Message<'a>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    delta: &'a Message<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'a str>,
    index: u32,
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

#[derive(Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent<'a>>,
    function: Function<'a>,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct ExtraContent<'a> {
    google: GoogleContent<'a>,
}

#[derive(Serialize)]
struct GoogleContent<'a> {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    thought: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
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

impl<'a> ExtraContent<'a> {
    fn of(thought: bool, thought_signature: Option<&'a str>) -> Self {
        Self {
            google: GoogleContent {
                thought,
                thought_signature,
            },
        }
    }
}

impl<'a> Message<'a> {
    /// A role and nothing else.
    fn empty() -> Self {
        Self {
            content: None,
            extra_content: None,
            role: Some("assistant"),
            thought_signature: None,
            tool_calls: Vec::new(),
        }
    }

    fn content(content: impl Into<Cow<'a, str>>) -> Self {
        Self {
            content: Some(content.into()),
            ..Self::empty()
        }
    }

    fn thought(content: impl Into<Cow<'a, str>>) -> Self {
        Self {
            extra_content: Some(ExtraContent::of(true, None)),
            ..Self::content(content)
        }
    }

    /// Signs the message as Gemini 2.5 did.
    fn sign(&mut self, signature: &'a str) {
        self.extra_content = Some(ExtraContent::of(true, Some(signature)));
        self.thought_signature = Some(signature);
    }
}

/// The tool call at a place among them. In a whole answer, the place alone tells which it is.
fn call<'a>(call: &'a ToolCall, number: u64, place: usize) -> Call<'a> {
    Call {
        extra_content: call
            .signature
            .as_deref()
            .map(|signature| ExtraContent::of(false, Some(signature))),
        function: Function {
            arguments: &call.arguments,
            name: &call.name,
        },
        id: call
            .id
            .clone()
            .unwrap_or_else(|| ids::tool_call_id(number, place)),
        index: None,
        kind: "function",
    }
}

fn completion<'a, C>(
    choice: impl Fn(u32) -> C,
    object: &'static str,
    usage: Option<Tokens>,
    answer: &Answer,
    scene: &Scene<'a>,
) -> Completion<'a, C> {
    Completion {
        choices: (0..scene.request.choices).map(choice).collect(),
        created: answer.created.then_some(scene.created),
        id: answer.id.then(|| ids::response_id(scene.number)),
        model: scene.request.model.as_deref().unwrap_or_default(),
        object: answer.object.then_some(object),
        usage: usage.map(Usage::from),
    }
}

pub(super) fn whole(answer: &Answer, scene: &Scene<'_>) -> Success {
    let mut message = Message::empty();
    let mut content = answer.pieces.concat();
    if !answer.thoughts.is_empty() {
        content = format!("<thought>{}</thought>{content}", answer.thoughts.concat());
        message.extra_content = Some(ExtraContent::of(true, None));
    }
    message.content = (!content.is_empty()).then_some(content.into());
    match &answer.signature {
        Some(Signature::Message(signature)) => message.sign(signature),
        Some(Signature::Event(signature)) => {
            let thought = !answer.thoughts.is_empty();
            message.extra_content = Some(ExtraContent::of(thought, Some(signature)));
        }
        None => {}
    }
    let calls = answer.tool_calls.iter().enumerate();
    message.tool_calls = calls
        .map(|(index, tool)| call(tool, scene.number, index))
        .collect();
    let choice = |index| Choice {
        finish_reason: answer.finish.compat(),
        index,
        message: &message,
    };
    let tokens = answer.tokens(scene.request);
    let completion = completion(choice, "chat.completion", Some(tokens), answer, scene);
    Success::compact(&completion)
}

/// The deltas of a stream, without the one that only finishes it.
fn deltas<'a>(answer: &'a Answer, scene: &Scene<'_>) -> Vec<Message<'a>> {
    let mut deltas = Vec::new();
    let mut thinking = false;
    for (part, signature) in answer.parts() {
        if thinking && matches!(part, Part::Call(..) | Part::Signature(_)) {
            deltas.push(Message::content("</thought>"));
        }
        if answer.calls_together
            && let Part::Call(place, tool) = part
            && let Some(last) = deltas.last_mut().filter(|last| !last.tool_calls.is_empty())
        {
            last.tool_calls
                .push(streamed_call(answer, tool, scene, place));
            continue;
        }
        let mut delta = match part {
            Part::Thought(text) if thinking => Message::thought(text),
            Part::Thought(text) => Message::thought(format!("<thought>{text}")),
            Part::Text(text) if thinking => Message::content(format!("</thought>{text}")),
            Part::Text(text) => Message::content(text),
            Part::Call(place, tool) => Message {
                tool_calls: vec![streamed_call(answer, tool, scene, place)],
                ..Message::empty()
            },
            Part::Signature(signature) => Message {
                extra_content: Some(ExtraContent::of(false, Some(signature))),
                ..Message::empty()
            },
        };
        if let Some(signature) = signature {
            delta.sign(signature);
        }
        deltas.push(delta);
        thinking = matches!(part, Part::Thought(_));
    }
    if thinking {
        deltas.push(Message::content("</thought>"));
    }
    deltas
}

fn streamed_call<'a>(
    answer: &Answer,
    tool: &'a ToolCall,
    scene: &Scene<'_>,
    place: usize,
) -> Call<'a> {
    Call {
        index: answer.call_index.of(place),
        ..call(tool, scene.number, place)
    }
}

pub(super) fn stream(answer: &Answer, scene: &Scene<'_>) -> Success {
    let mut deltas: Vec<Message<'_>> = deltas(answer, scene);
    if deltas.is_empty() || answer.finish_apart {
        deltas.push(Message::empty());
    }
    if !answer.role {
        for delta in &mut deltas {
            delta.role = None;
        }
    }
    let tokens = answer.tokens(scene.request);
    // As recorded: nothing but the prompt is counted until the last chunk.
    let so_far = Tokens {
        completion: 0,
        thinking: 0,
        ..tokens
    };
    let count = deltas.len();
    let events = deltas
        .iter()
        .enumerate()
        .map(|(index, delta)| {
            let last = index + 1 == count;
            let usage = if last {
                Some(tokens)
            } else {
                Some(so_far).filter(|_| !answer.usage_in_last_event_only)
            };
            let choice = |index| ChunkChoice {
                delta,
                finish_reason: last.then(|| answer.finish_of_stream().compat()),
                index,
            };
            let usage = usage.filter(|_| scene.request.include_usage);
            let chunk = completion(choice, "chat.completion.chunk", usage, answer, scene);
            Surface::Compat.event(&json::compact(&chunk))
        })
        .collect();
    Success {
        closing: "data: [DONE]\n\n",
        ..Success::stream(EVENT_STREAM, events)
    }
}
