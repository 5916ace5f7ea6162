//! The surface for OpenAI's clients: `/v1beta/openai/`.
//!
//! | path | answer |
//! |---|---|
//! | `POST chat/completions` | compact JSON with its keys in alphabetical order, or events that end in `data: [DONE]` |
//! | `POST embeddings` | vectors as numbers, whatever `encoding_format` says |
//! | `POST images/generations` | pictures as `b64_json` |
//! | `POST videos`, `GET videos/{id}` | how far the video is |
//! | `POST`, `GET batches`, `GET batches/{id}` | how far the batch is; ids begin with `batches/`, and may come so |
//! | `GET models`, `GET models/{id}` | ids with `models/` in front, without `created` |
//!
//! Sources: <https://ai.google.dev/gemini-api/docs/openai>, and what users published of chat completions, of vectors
//! and of the list. Of a single model nothing is recorded.

mod chat;
mod fields;
mod lists;
mod resources;

use super::input::{
    Body, cache_name, check_texts, dimensions, integer, references, text_of, tokens_in,
};
use super::multipart::is_multipart;
use super::shape::check;
use super::turn::Turn;
use super::{Act, Delivery, Operation, Request, Scene, Strictness, Success, Surface, Target, Text};
use crate::answer::Answer;
use crate::errors::{self, ApiError};
use crate::resources::{References, Task};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use serde_json::Value;

/// What Google calls the API behind this surface when a model is not found.
pub(super) const API_VERSION: &str = "v1main";

/// The most answers that one call may want, as `candidateCount` of the native API.
const MAX_CHOICES: i64 = 8;

/// `path` is what follows `/v1beta/openai/`, decoded.
pub(super) fn route(method: &Method, path: &str, query: &str) -> Option<Target> {
    let (operation, id) = match (method, path) {
        (&Method::POST, "chat/completions") => (Operation::Generate, None),
        (&Method::POST, "embeddings") => (Operation::Embed, None),
        (&Method::GET, "models") => (Operation::ListModels, None),
        (&Method::POST, "images/generations") => (Operation::Predict, None),
        (&Method::POST, "videos") => (Operation::PredictLongRunning, None),
        (&Method::POST, "batches") => (Operation::Resource(Act::CreateBatch), None),
        (&Method::GET, "batches") => (Operation::Resource(Act::ListBatches), None),
        (&Method::GET, path) => {
            let (collection, id) = path.split_once('/').filter(|(_, id)| !id.is_empty())?;
            let operation = match collection {
                "models" => Operation::GetModel,
                "batches" => Operation::Resource(Act::GetBatch),
                "videos" => Operation::Resource(Act::GetOperation),
                _ => return None,
            };
            (operation, Some(id.to_owned()))
        }
        _ => return None,
    };
    let (model, resource) = match operation {
        Operation::Resource(Act::GetBatch) => {
            let whole = |id: String| match id.strip_prefix("batches/") {
                Some(_) => id,
                None => format!("batches/{id}"),
            };
            (None, id.map(whole))
        }
        Operation::Resource(_) => (None, id),
        Operation::Generate
        | Operation::CountTokens
        | Operation::Embed
        | Operation::BatchEmbed
        | Operation::Predict
        | Operation::PredictLongRunning
        | Operation::ListModels
        | Operation::GetModel => (id, None),
    };
    Some(Target {
        surface: Surface::Compat,
        operation,
        version: "v1beta",
        model,
        resource,
        delivery: Delivery::Whole,
        query: query.to_owned(),
    })
}

pub(super) fn read(
    target: &Target,
    headers: &HeaderMap,
    body: &Bytes,
    strictness: Strictness,
) -> Result<Request, ApiError> {
    let resource = target.resource.clone().unwrap_or_default();
    let known = match target.operation {
        Operation::Generate => fields::CHAT,
        Operation::Embed | Operation::BatchEmbed | Operation::CountTokens => fields::EMBEDDING,
        Operation::Predict => fields::IMAGES,
        Operation::PredictLongRunning => fields::VIDEO,
        Operation::Resource(Act::CreateBatch) => fields::BATCH,
        Operation::Resource(Act::ListBatches) => {
            let page = resources::page(&target.query);
            return Ok(Request::of(target, Task::ListBatches(page)));
        }
        Operation::Resource(Act::GetBatch) => {
            return Ok(Request::of(target, Task::GetBatch(resource)));
        }
        Operation::Resource(Act::GetOperation) => {
            return Ok(Request::of(target, Task::GetOperation(resource)));
        }
        // No path of this surface leads to any other.
        Operation::ListModels | Operation::GetModel | Operation::Resource(_) => {
            return Ok(Request::bare(target));
        }
    };
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let body = match content_type.filter(|content_type| is_multipart(content_type)) {
        // Videos may come as forms, whose values are all texts.
        Some(content_type) if target.operation == Operation::PredictLongRunning => {
            resources::form(content_type, body).ok_or_else(errors::invalid_argument)?
        }
        Some(_) | None => {
            let body = Body::parse(body)?;
            check(&body, known, strictness)?;
            body
        }
    };
    if target.operation == Operation::Resource(Act::CreateBatch) {
        return resources::read_batch(target, &body);
    }
    let model = body
        .get("model")
        .and_then(Value::as_str)
        .filter(|model| !model.is_empty())
        .ok_or_else(errors::no_model)?;
    let request = Request {
        model: Some(model.to_owned()),
        ..Request::bare(target)
    };
    match target.operation {
        Operation::Generate => read_chat(&body, request),
        Operation::Predict => resources::read_images(&body, request),
        Operation::PredictLongRunning => resources::read_video(&body, request),
        Operation::Embed
        | Operation::BatchEmbed
        | Operation::CountTokens
        | Operation::ListModels
        | Operation::GetModel
        | Operation::Resource(_) => read_embedding(&body, request),
    }
}

fn read_chat(body: &Body, request: Request) -> Result<Request, ApiError> {
    let messages = body.list("messages")?;
    if messages.is_empty() {
        return Err(errors::no_contents());
    }
    for field in ["max_tokens", "max_completion_tokens"] {
        if body.get(field).and_then(integer).is_some_and(|it| it < 1) {
            return Err(errors::invalid_argument());
        }
    }
    if thinks_twice(body) {
        return Err(errors::invalid_argument());
    }
    let choices = body.get("n").and_then(integer).unwrap_or(1);
    let choices = u32::try_from(choices)
        .ok()
        .filter(|_| (1..=MAX_CHOICES).contains(&choices))
        .ok_or_else(errors::invalid_argument)?;
    let include_usage = body
        .get("stream_options")
        .and_then(|options| options.get("include_usage"))
        .and_then(Value::as_bool)
        .unwrap_or_default();
    Ok(Request {
        delivery: match body.get("stream").and_then(Value::as_bool) {
            Some(true) => Delivery::Events,
            Some(false) | None => Delivery::Whole,
        },
        include_usage,
        prompt_tokens: tokens_in(messages),
        choices,
        references: References {
            cached_content: google(body, "cached_content").and_then(cache_name),
            ..references(body)
        },
        turn: Turn::of_messages(messages),
        ..request
    })
}

/// What Gemini adds to OpenAI's requests.
fn google<'a>(body: &'a Body, name: &str) -> Option<&'a Value> {
    body.get("extra_body")?.get("google")?.get(name)
}

/// Whether the amount of thinking is given in both ways. Google documents that it may not be, but not the error.
fn thinks_twice(body: &Body) -> bool {
    let config = google(body, "thinking_config");
    let given = |field| {
        config
            .and_then(|config| config.get(field))
            .is_some_and(|value| !value.is_null())
    };
    body.get("reasoning_effort").is_some() && (given("thinking_budget") || given("thinking_level"))
}

fn read_embedding(body: &Body, request: Request) -> Result<Request, ApiError> {
    let dimensions = dimensions(body.get("dimensions"), "dimensions")?;
    let text = |value| Text {
        text: text_of(value),
        dimensions,
    };
    let texts: Vec<Text> = match body.get("input") {
        Some(Value::Array(texts)) => texts.iter().map(text).collect(),
        Some(value) => vec![text(value)],
        None => Vec::new(),
    };
    check_texts(texts.len())?;
    Ok(request.embedding(texts))
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
        (Operation::Predict, _) => resources::images(scene),
        (Operation::PredictLongRunning | Operation::Resource(_), _) => resources::success(scene),
        (Operation::ListModels, _) => lists::models(scene),
        (Operation::GetModel, _) => lists::model(scene),
    }
}
