//! The bytes of a generated answer: whole, as events, and as a growing array.
//!
//! Each chunk of a stream is a whole response with the usage up to it; the last one has the finish reason. After tool
//! calls of Gemini 3 that is a chunk of its own with an empty text.

use super::{ARRAY_END, element};
use crate::answer::{self, Answer, Finish, Tokens};
use crate::ids;
use crate::json;
use crate::models::is_gemini_3;
use crate::surface::{EVENT_STREAM, JSON_UTF8, Scene, Success, Surface};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<Candidate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_feedback: Option<PromptFeedback>,
    usage_metadata: Usage,
    model_version: &'a str,
    response_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    safety_ratings: Vec<SafetyRating>,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

#[derive(Clone, Serialize)]
struct FunctionCall<'a> {
    name: &'a str,
    args: Value,
}

#[derive(Serialize)]
struct SafetyRating {
    category: &'static str,
    probability: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    block_reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    prompt_token_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates_token_count: Option<u64>,
    total_token_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_content_token_count: Option<u64>,
    prompt_tokens_details: [Modality; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    thoughts_token_count: Option<u64>,
    service_tier: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Modality {
    modality: &'static str,
    token_count: u64,
}

impl Modality {
    pub(super) fn text(token_count: u64) -> Self {
        Self {
            modality: "TEXT",
            token_count,
        }
    }
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        // Zeros are left out, as everywhere in protobuf's JSON.
        let counted = |count: u64| Some(count).filter(|count| *count > 0);
        Self {
            prompt_token_count: tokens.prompt,
            candidates_token_count: counted(tokens.completion),
            total_token_count: tokens.total(),
            cached_content_token_count: tokens.cached,
            prompt_tokens_details: [Modality::text(tokens.prompt)],
            thoughts_token_count: counted(tokens.thinking),
            service_tier: "standard",
        }
    }
}

impl<'a> Part<'a> {
    fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            text: Some(text.into()),
            thought: None,
            function_call: None,
            thought_signature: None,
        }
    }

    fn thought(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            thought: Some(true),
            ..Self::text(text)
        }
    }

    fn of(part: answer::Part<'a>) -> Self {
        match part {
            answer::Part::Thought(text) => Self::thought(text),
            answer::Part::Text(text) => Self::text(text),
            answer::Part::Call(_, call) => Self {
                text: None,
                thought: None,
                function_call: Some(FunctionCall {
                    name: &call.name,
                    args: serde_json::from_str(&call.arguments)
                        .unwrap_or_else(|_| Value::String(call.arguments.clone())),
                }),
                thought_signature: call.signature.as_deref(),
            },
            answer::Part::Signature(signature) => Self {
                thought_signature: Some(signature),
                ..Self::text("")
            },
        }
    }
}

/// All parts, one an event.
fn parts(answer: &Answer) -> Vec<Part<'_>> {
    let parts = answer.parts().into_iter();
    parts
        .map(|(part, signature)| {
            let part = Part::of(part);
            Part {
                thought_signature: part.thought_signature.or(signature),
                ..part
            }
        })
        .collect()
}

/// Stretches of thoughts and of text in one part each, as in an answer that is no stream.
fn joined(parts: Vec<Part<'_>>) -> Vec<Part<'_>> {
    let mut joined: Vec<Part<'_>> = Vec::new();
    for part in parts {
        if let Some(last) = joined.last_mut()
            && last.thought == part.thought
            && let (Some(so_far), Some(text)) = (&mut last.text, &part.text)
        {
            so_far.to_mut().push_str(text);
            last.thought_signature = part.thought_signature;
        } else {
            joined.push(part);
        }
    }
    joined.retain(|part| part.text.as_deref() != Some("") || part.thought_signature.is_some());
    joined
}

/// One response; `finish` is `None` in all chunks but the last.
fn response<'a>(
    answer: &Answer,
    parts: Vec<Part<'a>>,
    finish: Option<&'a Finish>,
    tokens: Tokens,
    scene: &'a Scene<'_>,
) -> Response<'a> {
    let filtered = finish == Some(&Finish::Safety) && parts.is_empty();
    let candidate = Candidate {
        content: Content {
            parts,
            role: (!filtered).then_some("model"),
        },
        finish_reason: finish.map(Finish::native),
        index: (!filtered).then_some(0),
        safety_ratings: if filtered {
            safety_ratings()
        } else {
            Vec::new()
        },
    };
    let blocked = answer.prompt_blocked;
    Response {
        candidates: if blocked { Vec::new() } else { vec![candidate] },
        prompt_feedback: blocked.then_some(PromptFeedback {
            block_reason: "PROHIBITED_CONTENT",
        }),
        usage_metadata: tokens.into(),
        model_version: scene.request.bare_model(),
        response_id: ids::response_id(scene.number),
    }
}

fn safety_ratings() -> Vec<SafetyRating> {
    [
        ("HARM_CATEGORY_HATE_SPEECH", "LOW", Some(true)),
        ("HARM_CATEGORY_DANGEROUS_CONTENT", "NEGLIGIBLE", None),
        ("HARM_CATEGORY_HARASSMENT", "NEGLIGIBLE", None),
        ("HARM_CATEGORY_SEXUALLY_EXPLICIT", "NEGLIGIBLE", None),
    ]
    .into_iter()
    .map(|(category, probability, blocked)| SafetyRating {
        category,
        probability,
        blocked,
    })
    .collect()
}

/// All chunks of a stream.
fn chunks<'a>(answer: &'a Answer, scene: &'a Scene<'_>) -> Vec<Response<'a>> {
    let mut contents: Vec<Vec<Part<'a>>> =
        parts(answer).into_iter().map(|part| vec![part]).collect();
    let called = !answer.tool_calls.is_empty();
    if answer.finish_apart || (called && is_gemini_3(scene.request.bare_model())) {
        contents.push(vec![Part::text("")]);
    } else if contents.is_empty() {
        contents.push(Vec::new());
    }
    let tokens = answer.tokens(scene.request);
    let count = contents.len();
    contents
        .into_iter()
        .enumerate()
        .map(|(index, parts)| {
            let done = index + 1;
            let finish = (done == count).then(|| answer.finish_of_stream());
            response(answer, parts, finish, tokens.after(done, count), scene)
        })
        .collect()
}

pub(super) fn whole(answer: &Answer, scene: &Scene<'_>) -> Success {
    let parts = joined(parts(answer));
    let tokens = answer.tokens(scene.request);
    let response = response(answer, parts, Some(&answer.finish), tokens, scene);
    Success::pretty(&response)
}

pub(super) fn events(answer: &Answer, scene: &Scene<'_>) -> Success {
    let chunks = chunks(answer, scene);
    let events = chunks
        .iter()
        .map(|chunk| Surface::Native.event(&json::spaced(chunk)));
    Success {
        attachment: true,
        ..Success::stream(EVENT_STREAM, events.collect())
    }
}

pub(super) fn array(answer: &Answer, scene: &Scene<'_>) -> Success {
    let chunks = chunks(answer, scene);
    let elements = chunks.iter().enumerate();
    let elements =
        elements.map(|(index, chunk)| element(index == 0, &(json::pretty(chunk) + "\n")));
    Success {
        closing: ARRAY_END,
        ..Success::stream(JSON_UTF8, elements.collect())
    }
}
