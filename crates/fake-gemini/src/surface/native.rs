//! Google's own surface: `/v1beta/`.
//!
//! | path | answer |
//! |---|---|
//! | `POST models/{m}:generateContent` | pretty-printed JSON |
//! | `POST models/{m}:streamGenerateContent?alt=sse` | events that end in CRLF CRLF, without a closing one |
//! | `POST models/{m}:streamGenerateContent` | a JSON array that grows |
//! | `POST models/{m}:countTokens`, `:embedContent`, `:batchEmbedContents` | pretty-printed JSON |
//! | `GET models`, `GET models/{m}` | pretty-printed JSON, all models on one page |
//!
//! Unknown fields are not looked for here.
//!
//! Sources: <https://ai.google.dev/api/generate-content>, <https://ai.google.dev/api/embeddings>, and answers
//! recorded from the API.

mod generate;
mod lists;

use super::input::{Body, MAX_DIMENSIONS, MAX_TEXTS, text_of, tokens_in};
use super::{Delivery, Operation, Request, Scene, Success, Surface, Target};
use crate::answer::{Answer, tokens_of};
use crate::errors::{self, ApiError};
use http::Method;
use serde_json::Value;

/// What Google calls the API behind this surface when a model is not found.
pub(super) const API_VERSION: &str = "v1beta";

/// `path` is what follows `/v1beta/`, decoded.
pub(super) fn route(method: &Method, path: &str, query: &str) -> Option<Target> {
    let target = |operation, model: Option<&str>, delivery| Target {
        surface: Surface::Native,
        operation,
        model: model.map(str::to_owned),
        delivery,
    };
    if method == Method::GET && path == "models" {
        return Some(target(Operation::ListModels, None, Delivery::Whole));
    }
    let name = path.strip_prefix("models/").filter(|name| {
        // A model's name is one segment.
        !name.is_empty() && !name.contains('/')
    })?;
    if method == Method::GET {
        return Some(target(Operation::GetModel, Some(name), Delivery::Whole));
    }
    let (model, verb) = name.rsplit_once(':').filter(|_| method == Method::POST)?;
    if model.is_empty() {
        return None;
    }
    let (operation, delivery) = match verb {
        "generateContent" => (Operation::Generate, Delivery::Whole),
        "streamGenerateContent" => (Operation::Generate, stream_delivery(query)),
        "countTokens" => (Operation::CountTokens, Delivery::Whole),
        "embedContent" => (Operation::Embed, Delivery::Whole),
        "batchEmbedContents" => (Operation::BatchEmbed, Delivery::Whole),
        _ => return None,
    };
    Some(target(operation, Some(model), delivery))
}

fn stream_delivery(query: &str) -> Delivery {
    let events = form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| (name == "alt" || name == "$alt") && value == "sse");
    if events {
        Delivery::Events
    } else {
        Delivery::Array
    }
}

pub(super) fn read(target: &Target, body: &[u8]) -> Result<Request, ApiError> {
    let request = Request::bare(target);
    match target.operation {
        Operation::ListModels | Operation::GetModel => Ok(request),
        Operation::Generate | Operation::CountTokens => {
            let body = Body::parse(body)?;
            let contents = contents_of(&body)?;
            if contents.is_empty() {
                return Err(errors::no_contents());
            }
            Ok(Request {
                prompt_tokens: tokens_in(contents),
                ..request
            })
        }
        Operation::Embed => {
            let body = Body::parse(body)?;
            let text = text_of(body.get("content").ok_or_else(errors::invalid_argument)?);
            Ok(Request {
                prompt_tokens: tokens_of(text.len()),
                texts: vec![text],
                dimensions: body.dimensions("outputDimensionality")?,
                ..request
            })
        }
        Operation::BatchEmbed => read_batch(&Body::parse(body)?, request),
    }
}

/// `contents`, which for counting may be inside of a whole request.
fn contents_of(body: &Body) -> Result<&[Value], ApiError> {
    let nested = body
        .get("generateContentRequest")
        .and_then(|request| request.get("contents"))
        .and_then(Value::as_array);
    match nested {
        Some(contents) => Ok(contents),
        None => body.list("contents"),
    }
}

fn read_batch(body: &Body, request: Request) -> Result<Request, ApiError> {
    let requests = body.list("requests")?;
    if requests.is_empty() {
        return Err(errors::invalid_argument());
    }
    if requests.len() > MAX_TEXTS {
        return Err(errors::too_many_embeddings());
    }
    let texts: Vec<String> = requests.iter().map(text_of).collect();
    let dimensions = requests
        .first()
        .and_then(|request| request.get("outputDimensionality"))
        .and_then(Value::as_u64)
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(MAX_DIMENSIONS);
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        return Err(errors::invalid_argument());
    }
    Ok(Request {
        prompt_tokens: texts.iter().map(|text| tokens_of(text.len())).sum(),
        texts,
        dimensions,
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
        (Operation::Generate, Delivery::Whole) => generate::whole(answer, scene),
        (Operation::Generate, Delivery::Events) => generate::events(answer, scene),
        (Operation::Generate, Delivery::Array) => generate::array(answer, scene),
        (Operation::CountTokens, _) => lists::count(scene),
        (Operation::Embed, _) => lists::embedding(scene),
        (Operation::BatchEmbed, _) => lists::embeddings(scene),
        (Operation::ListModels, _) => lists::models(scene),
        (Operation::GetModel, _) => lists::model(scene),
    }
}
