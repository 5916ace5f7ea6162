//! Requests on the compatible surface.

use super::body::{Body, cache_name, text_of, tokens_in};
use super::fields;
use super::received::{Received, Request};
use super::shapes::Field;
use crate::answer::estimate_tokens;
use crate::api::Operation;
use crate::errors::{self, ApiError};
use crate::resources::Task;
use crate::turn::Turn;
use serde_json::{Value, json};

/// The fields that a request may have; `None` if they are not checked.
pub(super) fn fields(operation: Operation) -> Option<&'static [Field]> {
    match operation {
        Operation::Generate => Some(fields::CHAT),
        Operation::Embed => Some(fields::EMBEDDING),
        Operation::GenerateImages => Some(fields::IMAGES),
        Operation::CreateBatch => Some(fields::BATCH),
        _ => None,
    }
}

pub(super) fn read(received: &Received<'_>) -> Result<Request, ApiError> {
    let operation = received.target.operation;
    if operation == Operation::GetBatch {
        let name = received.target.name.clone();
        return Ok(Request::task(Task::Get(name)));
    }
    if fields(operation).is_none() {
        return Ok(Request::default());
    }
    let body = received.body.as_ref().map_err(Clone::clone)?;
    if operation == Operation::CreateBatch {
        return read_batch(body);
    }
    if body.text("model").is_none() {
        return Err(errors::no_model());
    }
    match operation {
        Operation::Generate => read_chat(body),
        Operation::Embed => read_embedding(body),
        _ => read_images(body),
    }
}

fn read_chat(body: &Body) -> Result<Request, ApiError> {
    let messages = body.list("messages")?;
    if messages.is_empty() {
        return Err(errors::no_contents());
    }
    let include_usage = body.get("stream_options").map(|it| &it["include_usage"]);
    let google = body.get("extra_body").map(|extra| &extra["google"]);
    let cache = google.and_then(|google| cache_name(&google["cached_content"]));
    let mut references = body.files();
    references.extend(cache);
    Ok(Request {
        include_usage: include_usage == Some(&Value::Bool(true)),
        prompt_tokens: tokens_in(messages),
        references,
        turn: Turn::of_messages(messages),
        ..Request::default()
    })
}

fn read_embedding(body: &Body) -> Result<Request, ApiError> {
    let texts = match body.get("input") {
        Some(Value::Array(texts)) => texts.iter().map(text_of).collect(),
        input => input.map(text_of).into_iter().collect(),
    };
    Request::embedding(texts)
}

fn read_images(body: &Body) -> Result<Request, ApiError> {
    let prompt = body.text("prompt").ok_or_else(errors::invalid_argument)?;
    Ok(Request {
        prompt_tokens: estimate_tokens(prompt.len()),
        ..Request::default()
    })
}

fn read_batch(body: &Body) -> Result<Request, ApiError> {
    if body.text("input_file_id").is_none() {
        return Err(errors::invalid_argument());
    }
    let names = ["completion_window", "endpoint", "input_file_id"];
    let sent = names.map(|name| (name, body.get(name)));
    let mut batch = json!({});
    for (name, value) in sent {
        if let Some(value) = value {
            batch[name] = value.clone();
        }
    }
    Ok(Request {
        references: body.files(),
        ..Request::task(Task::CreateBatch(batch))
    })
}
