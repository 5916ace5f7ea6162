//! Pictures and videos: `:predict` and `:predictLongRunning`.
//!
//! Sources: <https://ai.google.dev/gemini-api/docs/imagen>, <https://ai.google.dev/gemini-api/docs/video>.

use crate::errors::{self, ApiError};
use crate::resources::Task;
use crate::surface::input::{Body, integer, references, tokens_in};
use crate::surface::{PNG, Request, Scene, Success};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::Value;

/// Pictures when nothing is said, which is also the most.
const IMAGES: i64 = 4;

pub(super) fn read_images(body: &Body, request: Request) -> Result<Request, ApiError> {
    let count = body.get("parameters").and_then(|parameters| {
        let count = ["sampleCount", "sample_count"].iter();
        count
            .filter_map(|name| parameters.get(*name))
            .find_map(integer)
    });
    let count = count.unwrap_or(IMAGES);
    if !(1..=IMAGES).contains(&count) {
        return Err(errors::invalid_argument());
    }
    Ok(Request {
        choices: u32::try_from(count).unwrap_or(1),
        ..read_instances(body, request)?
    })
}

pub(super) fn read_video(body: &Body, request: Request) -> Result<Request, ApiError> {
    let model = request.model.clone().unwrap_or_default();
    Ok(Request {
        task: Some(Task::StartVideo(model)),
        ..read_instances(body, request)?
    })
}

/// What is to be seen.
fn read_instances(body: &Body, request: Request) -> Result<Request, ApiError> {
    let instances = body.list("instances")?;
    let prompts: Vec<Value> = instances
        .iter()
        .filter_map(|instance| instance.get("prompt").cloned())
        .collect();
    if prompts.is_empty() {
        return Err(errors::invalid_argument());
    }
    Ok(Request {
        prompt_tokens: tokens_in(&prompts),
        references: references(body),
        ..request
    })
}

#[derive(Serialize)]
struct Predictions {
    predictions: Vec<Prediction>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prediction {
    mime_type: &'static str,
    bytes_base64_encoded: String,
}

pub(super) fn images(scene: &Scene<'_>) -> Success {
    let image = |_| Prediction {
        mime_type: "image/png",
        bytes_base64_encoded: BASE64.encode(PNG),
    };
    Success::pretty(&Predictions {
        predictions: (0..scene.request.choices).map(image).collect(),
    })
}
