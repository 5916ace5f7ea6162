//! The native surface: pretty-printed JSON, streamed arrays, and events that end in CRLF CRLF
//! without a final marker.
//!
//! `content` writes the answers of models.

mod content;

use super::success::{Context, EVENT_STREAM, JSON_UTF8, Success, event};
use crate::answer::Answer;
use crate::api::{Delivery, Operation, Surface};
use crate::ids;
use crate::json;
use crate::models::Model;
use crate::request::PAGE_TOKEN;
use crate::resources::Outcome;
use serde_json::{Value, json};

/// What surrounds the elements of a growing array.
const ARRAY_START: &str = "[";
pub(super) const ARRAY_SEPARATOR: &str = ",\r\n";
pub(super) const ARRAY_END: &str = "]\n";

/// What the parts of an upload should be multiples of, in bytes: 8 MiB.
const GRANULARITY: &str = "8388608";

pub(super) fn success(answer: &Answer, delivery: Delivery, context: &Context<'_>) -> Success {
    match context.target.operation {
        Operation::Generate => generate(answer, delivery, context),
        Operation::CountTokens => {
            let tokens = context.request.prompt_tokens;
            let details = json!([{"modality": "TEXT", "tokenCount": tokens}]);
            Success::pretty(&json!({"totalTokens": tokens, "promptTokensDetails": details}))
        }
        Operation::Embed => Success::pretty(&json!({"embedding": vectors(context).pop()})),
        Operation::BatchEmbed => Success::pretty(&json!({"embeddings": vectors(context)})),
        Operation::GetModel => Success::pretty(&context.described().first().map(|it| model(it))),
        Operation::ListModels => Success::pretty(&models(context)),
        _ => match &context.outcome {
            Some(Outcome::Json(json)) => Success::pretty(json),
            Some(Outcome::UploadStarted(id)) => upload_started(id, context),
            Some(Outcome::UploadContinues) => upload("active", None),
            Some(Outcome::Uploaded(file)) => upload("final", Some(file)),
            None => Success::pretty(&json!({})),
        },
    }
}

fn generate(answer: &Answer, delivery: Delivery, context: &Context<'_>) -> Success {
    let options = &context.request.options;
    let answer = &answer.limited(&options.stop_sequences, options.max_tokens);
    match delivery {
        Delivery::Whole => Success::pretty(&content::whole(answer, context)),
        Delivery::Events => {
            let chunks = content::chunks(answer, context);
            let events = chunks.iter().map(json::spaced);
            let events = events.map(|chunk| event(Surface::Native, &chunk));
            Success {
                headers: vec![("content-disposition", "attachment".to_owned())],
                ..Success::stream(EVENT_STREAM, events.collect())
            }
        }
        Delivery::Array => {
            let chunks = content::chunks(answer, context);
            let starts = std::iter::once(ARRAY_START).chain(std::iter::repeat(ARRAY_SEPARATOR));
            let elements = starts.zip(&chunks);
            let elements =
                elements.map(|(start, chunk)| start.to_owned() + &json::pretty(chunk) + "\n");
            Success {
                closing: ARRAY_END,
                ..Success::stream(JSON_UTF8, elements.collect())
            }
        }
    }
}

fn vectors(context: &Context<'_>) -> Vec<Value> {
    let texts = context.request.texts.iter();
    let vectors = texts.map(|text| ids::vector(text));
    vectors.map(|vector| json!({"values": vector})).collect()
}

fn model(model: &Model) -> Value {
    json!({
        "name": format!("models/{}", model.id),
        "displayName": model.display_name,
        "supportedGenerationMethods": model.methods(),
    })
}

fn models(context: &Context<'_>) -> Value {
    let page = context.request.page;
    let all = context.described();
    let models = all.iter().skip(page.start).take(page.size);
    let models: Vec<Value> = models.map(|it| model(it)).collect();
    let end = page.start + models.len();
    let mut json = json!({"models": models});
    if end < all.len() {
        json["nextPageToken"] = format!("{PAGE_TOKEN}{end}").into();
    }
    json
}

/// The state of an upload in a header; the body is the file once that is complete.
fn upload(status: &str, file: Option<&Value>) -> Success {
    let body = match file {
        Some(file) => Success::pretty(&json!({"file": file})),
        None => Success::stream("text/plain; charset=utf-8", Vec::new()),
    };
    Success {
        headers: vec![("x-goog-upload-status", status.to_owned())],
        ..body
    }
}

/// An upload with the URL to continue at.
fn upload_started(id: &str, context: &Context<'_>) -> Success {
    let (origin, version) = (context.origin, context.target.version);
    let path = format!("/upload/{version}/files?upload_id={id}&upload_protocol=resumable");
    let url = format!("{origin}{path}");
    let mut success = upload("active", None);
    success.headers.extend([
        ("x-goog-upload-url", url.clone()),
        ("x-goog-upload-control-url", url),
        ("x-goog-upload-chunk-granularity", GRANULARITY.to_owned()),
    ]);
    success
}
