//! The surface for OpenAI's clients: `/v1beta/openai/`.
//!
//! | path | answer |
//! |---|---|
//! | `POST chat/completions` | compact JSON with its keys in alphabetical order, or events that end in `data: [DONE]` |
//! | `POST embeddings` | vectors as numbers, whatever `encoding_format` says |
//! | `GET models`, `GET models/{id}` | ids with `models/` in front, without `created` |
//!
//! Sources: <https://ai.google.dev/gemini-api/docs/openai>, and answers recorded from the API.

mod chat;
mod lists;

use super::input::{Body, MAX_TEXTS, text_of, tokens_in};
use super::{Delivery, Operation, Request, Scene, Strictness, Success, Surface, Target};
use crate::answer::{Answer, tokens_of};
use crate::errors::{self, ApiError};
use http::Method;
use serde_json::Value;

/// What Google calls the API behind this surface when a model is not found.
pub(super) const API_VERSION: &str = "v1main";

/// Fields of a chat request that are documented or were seen to be accepted. `frequency_penalty`, `seed`, `top_k` and
/// `reasoning` are refused: users have reported the error for each.
const CHAT_FIELDS: [&str; 17] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "n",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "service_tier",
    "extra_body",
];

const EMBEDDING_FIELDS: [&str; 4] = ["model", "input", "encoding_format", "dimensions"];

/// `path` is what follows `/v1beta/openai/`, decoded.
pub(super) fn route(method: &Method, path: &str) -> Option<Target> {
    let (operation, model) = match (method, path) {
        (&Method::POST, "chat/completions") => (Operation::Generate, None),
        (&Method::POST, "embeddings") => (Operation::Embed, None),
        (&Method::GET, "models") => (Operation::ListModels, None),
        (&Method::GET, path) => {
            let id = path.strip_prefix("models/").filter(|id| !id.is_empty())?;
            (Operation::GetModel, Some(id.to_owned()))
        }
        _ => return None,
    };
    Some(Target {
        surface: Surface::Compat,
        operation,
        model,
        delivery: Delivery::Whole,
    })
}

pub(super) fn read(
    target: &Target,
    body: &[u8],
    strictness: Strictness,
) -> Result<Request, ApiError> {
    let known: &[&str] = match target.operation {
        Operation::Generate => &CHAT_FIELDS,
        Operation::Embed | Operation::BatchEmbed | Operation::CountTokens => &EMBEDDING_FIELDS,
        Operation::ListModels | Operation::GetModel => return Ok(Request::bare(target)),
    };
    let body = Body::parse(body)?;
    let unknown: Vec<&str> = body
        .0
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !known.contains(name))
        .collect();
    if strictness == Strictness::Refuse && !unknown.is_empty() {
        return Err(errors::unknown_fields(&unknown));
    }
    let model = body
        .text("model")?
        .filter(|model| !model.is_empty())
        .ok_or_else(errors::no_model)?;
    let request = Request {
        model: Some(model.to_owned()),
        ..Request::bare(target)
    };
    if target.operation == Operation::Generate {
        read_chat(&body, request)
    } else {
        read_embedding(&body, request)
    }
}

fn read_chat(body: &Body, request: Request) -> Result<Request, ApiError> {
    let messages = body.list("messages")?;
    if messages.is_empty() {
        return Err(errors::no_contents());
    }
    let include_usage = body
        .get("stream_options")
        .and_then(|options| options.get("include_usage"))
        .and_then(Value::as_bool)
        .unwrap_or_default();
    Ok(Request {
        delivery: match body.flag("stream")? {
            Some(true) => Delivery::Events,
            Some(false) | None => Delivery::Whole,
        },
        include_usage,
        prompt_tokens: tokens_in(messages),
        ..request
    })
}

fn read_embedding(body: &Body, request: Request) -> Result<Request, ApiError> {
    let texts: Vec<String> = match body.get("input") {
        Some(Value::Array(texts)) => texts.iter().map(text_of).collect(),
        Some(text) => vec![text_of(text)],
        None => Vec::new(),
    };
    if texts.is_empty() {
        return Err(errors::invalid_argument());
    }
    if texts.len() > MAX_TEXTS {
        return Err(errors::too_many_embeddings());
    }
    Ok(Request {
        prompt_tokens: texts.iter().map(|text| tokens_of(text.len())).sum(),
        texts,
        dimensions: body.dimensions("dimensions")?,
        ..request
    })
}

pub(super) fn success(
    target: &Target,
    answer: &Answer,
    delivery: Delivery,
    scene: &Scene<'_>,
) -> Success {
    match (target.operation, delivery) {
        (Operation::Generate, Delivery::Whole) => chat::whole(answer, scene),
        (Operation::Generate, Delivery::Events | Delivery::Array) => chat::stream(answer, scene),
        (Operation::Embed | Operation::BatchEmbed | Operation::CountTokens, _) => {
            lists::embeddings(scene)
        }
        (Operation::ListModels, _) => lists::models(scene),
        (Operation::GetModel, _) => lists::model(scene),
    }
}
