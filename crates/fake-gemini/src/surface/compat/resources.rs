//! Pictures, videos and batches: their requests and their bytes, with the fields in alphabetical order as elsewhere.
//!
//! What Google answers here is not recorded: the fields are those that OpenAI has and that clients look for.
//! Of videos, Google documents the states and that a finished one has its address in `url`
//! (<https://ai.google.dev/gemini-api/docs/openai>).

use crate::answer::tokens_of;
use crate::errors::{self, ApiError};
use crate::resources::{Batch, BatchInput, Found, JobState, LongRunning, NewBatch, Task};
use crate::surface::input::{Body, integer, references, text_of};
use crate::surface::{PNG, Page, Request, Scene, Success, Target, multipart};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

/// The most pictures of one call.
const MAX_IMAGES: i64 = 10;
/// Batches in a list when nothing is said, and at most.
const BATCHES: usize = 20;
const MAX_BATCHES: usize = 100;

fn text(body: &Body, name: &str) -> Option<String> {
    body.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// The fields of a form as those of an object.
pub(super) fn form(content_type: &str, body: &Bytes) -> Option<Body> {
    let parts = multipart::parts(content_type, body)?;
    let field = |part: multipart::Part| {
        let value = String::from_utf8_lossy(&part.bytes).into_owned();
        Some((part.name?, Value::String(value)))
    };
    Some(Body(parts.into_iter().filter_map(field).collect()))
}

pub(super) fn read_images(body: &Body, request: Request) -> Result<Request, ApiError> {
    let count = body.get("n").and_then(integer).unwrap_or(1);
    if !(1..=MAX_IMAGES).contains(&count) {
        return Err(errors::invalid_argument());
    }
    Ok(Request {
        choices: u32::try_from(count).unwrap_or(1),
        ..read_prompt(body, request)?
    })
}

pub(super) fn read_video(body: &Body, request: Request) -> Result<Request, ApiError> {
    let model = request.model.clone().unwrap_or_default();
    Ok(Request {
        task: Some(Task::StartVideo(model)),
        ..read_prompt(body, request)?
    })
}

fn read_prompt(body: &Body, request: Request) -> Result<Request, ApiError> {
    let prompt = body.get("prompt").ok_or_else(errors::invalid_argument)?;
    Ok(Request {
        prompt_tokens: tokens_of(text_of(prompt).len()),
        references: references(body),
        ..request
    })
}

pub(super) fn read_batch(target: &Target, body: &Body) -> Result<Request, ApiError> {
    let file = text(body, "input_file_id").ok_or_else(errors::invalid_argument)?;
    let new = NewBatch {
        model: None,
        display_name: None,
        input: BatchInput::File(file),
        endpoint: text(body, "endpoint"),
        completion_window: text(body, "completion_window"),
    };
    Ok(Request {
        references: references(body),
        ..Request::of(target, Task::CreateBatch(new))
    })
}

/// The `limit` of a list, which begins with the newest: `after` is not looked for.
pub(super) fn page(query: &str) -> Page {
    let limit = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "limit")
        .find_map(|(_, value)| value.parse().ok());
    Page {
        start: 0,
        size: limit.unwrap_or(BATCHES).clamp(1, MAX_BATCHES),
    }
}

#[derive(Serialize)]
struct Images {
    created: i64,
    data: Vec<Image>,
}

#[derive(Serialize)]
struct Image {
    b64_json: String,
}

pub(super) fn images(scene: &Scene<'_>) -> Success {
    let image = |_| Image {
        b64_json: BASE64.encode(PNG),
    };
    Success::compact(&Images {
        created: scene.created,
        data: (0..scene.request.choices).map(image).collect(),
    })
}

/// A batch or a video, or a list of them. Nothing else is found on this surface.
pub(super) fn success(scene: &Scene<'_>) -> Success {
    match &scene.found {
        Found::Batch(batch) => Success::compact(&BatchEntry::of(batch)),
        Found::Batches(batches) => Success::compact(&BatchList {
            data: batches.items.iter().map(BatchEntry::of).collect(),
            has_more: batches.next.is_some(),
            object: "list",
        }),
        Found::Operation(video) => Success::compact(&Video::of(video, scene)),
        Found::Nothing
        | Found::Upload(_)
        | Found::Uploaded(_)
        | Found::File(_)
        | Found::Files(_)
        | Found::Content(_)
        | Found::Cache(_)
        | Found::Caches(_)
        | Found::TunedModel(_)
        | Found::TunedModels(_) => Success::compact(&Value::Object(serde_json::Map::new())),
    }
}

#[derive(Serialize)]
struct BatchList<'a> {
    data: Vec<BatchEntry<'a>>,
    has_more: bool,
    object: &'static str,
}

#[derive(Serialize)]
struct BatchEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_window: Option<&'a str>,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_file_id: Option<&'a str>,
    object: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_file_id: Option<&'a str>,
    status: &'static str,
}

impl<'a> BatchEntry<'a> {
    fn of(batch: &'a Batch) -> Self {
        Self {
            completion_window: batch.new.completion_window.as_deref(),
            created_at: batch.created_ms.div_euclid(1000),
            endpoint: batch.new.endpoint.as_deref(),
            id: &batch.name,
            input_file_id: match &batch.new.input {
                BatchInput::File(file) => Some(file),
                BatchInput::Inline(_) => None,
            },
            object: "batch",
            output_file_id: batch.output.as_deref(),
            status: match batch.state {
                JobState::Pending => "validating",
                JobState::Succeeded => "completed",
                JobState::Cancelled => "cancelled",
            },
        }
    }
}

#[derive(Serialize)]
struct Video<'a> {
    created_at: i64,
    id: &'a str,
    model: &'a str,
    object: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl<'a> Video<'a> {
    fn of(video: &'a LongRunning, scene: &Scene<'_>) -> Self {
        let url = |file| format!("{}/v1beta/{file}:download?alt=media", scene.origin);
        Self {
            created_at: video.created_ms.div_euclid(1000),
            id: video.id(),
            model: &video.model,
            object: "video",
            status: match video.state {
                JobState::Pending => "processing",
                JobState::Succeeded => "completed",
                JobState::Cancelled => "failed",
            },
            url: video.output.as_ref().map(url),
        }
    }
}
