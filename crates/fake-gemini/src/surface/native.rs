//! Google's own surface: `/v1beta/`, and `/v1alpha/` and `/v1/`, which are the same here.
//!
//! | path | answer |
//! |---|---|
//! | `POST models/{m}:generateContent` | pretty-printed JSON |
//! | `POST models/{m}:streamGenerateContent?alt=sse` | events that end in CRLF CRLF, without a closing one |
//! | `POST models/{m}:streamGenerateContent` | a JSON array that grows |
//! | `POST models/{m}:countTokens`, `:embedContent`, `:batchEmbedContents` | pretty-printed JSON |
//! | `GET models?pageSize=…&pageToken=…`, `GET models/{m}` | pretty-printed JSON |
//! | `POST /upload/v1beta/files`, and what that leads to | see [`upload`] |
//! | `GET files`, `GET`, `DELETE files/{f}` | pretty-printed JSON |
//! | `POST`, `GET cachedContents`, `GET`, `PATCH`, `DELETE cachedContents/{c}` | pretty-printed JSON |
//! | `POST models/{m}:batchGenerateContent`, `GET batches`, `GET`, `DELETE batches/{b}`, `POST batches/{b}:cancel` | pretty-printed JSON |
//! | `POST models/{m}:predict`, `:predictLongRunning`, `GET models/{m}/operations/{o}`, `operations/{o}` | pretty-printed JSON |
//! | `GET tunedModels`, `GET tunedModels/{t}`, `POST tunedModels/{t}:generateContent`, `:streamGenerateContent` | as for other models |
//! | `GET files/{f}:download?alt=media`, `/download/v1beta/…` too | the file; Google gives out its own files alone |
//!
//! Unknown fields are not looked for here.
//!
//! Sources: <https://ai.google.dev/api/generate-content>, <https://ai.google.dev/api/embeddings>,
//! <https://ai.google.dev/api/models>, <https://ai.google.dev/api/files>, <https://ai.google.dev/api/caching>,
//! <https://ai.google.dev/api/batch-api>, and answers recorded from the API. Of the list of models only an entry and
//! `nextPageToken` are recorded.

mod generate;
mod lists;
mod media;
mod resources;
mod upload;

use super::input::{Body, cache_name, check_texts, dimensions, references, text_of, tokens_in};
use super::turn::Turn;
use super::{Act, Delivery, Operation, Page, Request, Scene, Success, Surface, Target, Text};
use crate::answer::Answer;
use crate::errors::{self, ApiError};
use crate::resources::TUNED_MODELS;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

/// Models on a page of the list when nothing is said, and at most.
const PAGE: usize = 50;
const MAX_PAGE: usize = 1000;

/// What comes after the last element of an array.
pub(super) const ARRAY_END: &str = "]\n";

/// An element of an array that grows, behind what sets it off from the one before.
pub(super) fn element(first: bool, json: &str) -> String {
    let before = if first { "[" } else { ",\r\n" };
    format!("{before}{json}")
}

/// What comes before the version in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Nothing.
    Plain,
    /// `/upload`.
    Upload,
    /// `/download`.
    Download,
}

/// `path` is what follows the version, decoded.
pub(super) fn route(
    service: Service,
    method: &Method,
    version: &'static str,
    path: &str,
    query: &str,
) -> Option<Target> {
    let target = |operation, model: Option<&str>, delivery| Target {
        surface: Surface::Native,
        operation,
        version,
        model: model.map(str::to_owned),
        resource: None,
        delivery,
        query: query.to_owned(),
    };
    let resource = match service {
        Service::Upload => Some(upload::route(method, path, query)?),
        Service::Download => Some(resources::download(method, path)?),
        Service::Plain => resources::route(method, path),
    };
    if let Some((act, resource)) = resource {
        return Some(Target {
            resource,
            ..target(Operation::Resource(act), None, Delivery::Whole)
        });
    }
    if method == Method::GET && path == "models" {
        return Some(target(Operation::ListModels, None, Delivery::Whole));
    }
    let (prefix, name) = match path.strip_prefix(TUNED_MODELS) {
        Some(name) => (TUNED_MODELS, name),
        None => ("", path.strip_prefix("models/")?),
    };
    // A model's name is one segment.
    if name.is_empty() || name.contains('/') {
        return None;
    }
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
        "predict" => (Operation::Predict, Delivery::Whole),
        "predictLongRunning" => (Operation::PredictLongRunning, Delivery::Whole),
        "batchGenerateContent" => (Operation::Resource(Act::CreateBatch), Delivery::Whole),
        _ => return None,
    };
    // Of those that are tuned, no more is served.
    if !prefix.is_empty() && operation != Operation::Generate {
        return None;
    }
    Some(target(
        operation,
        Some(&format!("{prefix}{model}")),
        delivery,
    ))
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

/// The last of the query's values of that name.
fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .filter(|(found, _)| found == name)
        .last()
        .map(|(_, value)| value.into_owned())
}

pub(super) fn read(
    target: &Target,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Request, ApiError> {
    let request = Request::bare(target);
    match target.operation {
        Operation::GetModel => Ok(request),
        Operation::ListModels => Ok(Request {
            page: page_of(&target.query, PAGE, MAX_PAGE)?,
            ..request
        }),
        Operation::Generate | Operation::CountTokens => {
            let body = Body::parse(body)?;
            let contents = contents_of(&body)?;
            if contents.is_empty() {
                return Err(errors::no_contents());
            }
            let mut references = references(&body);
            let mut turn = Turn::default();
            if target.operation == Operation::Generate {
                references.cached_content = cached_content(&body)?;
                turn = Turn::of_contents(contents);
            }
            Ok(Request {
                prompt_tokens: tokens_in(contents),
                references,
                turn,
                ..request
            })
        }
        Operation::Embed => {
            let body = Body::parse(body)?;
            let content = body.get("content").ok_or_else(errors::invalid_argument)?;
            Ok(request.embedding(vec![Text {
                text: text_of(content),
                dimensions: dimensions(body.get("outputDimensionality"), "output_dimensionality")?,
            }]))
        }
        Operation::BatchEmbed => read_batch(&Body::parse(body)?, request),
        Operation::Predict => media::read_images(&Body::parse(body)?, request),
        Operation::PredictLongRunning => media::read_video(&Body::parse(body)?, request),
        Operation::Resource(act) => resources::read(act, target, headers, body),
    }
}

/// The field, in either of protobuf's spellings.
fn either<'a>(body: &'a Body, names: [&str; 2]) -> Option<&'a Value> {
    names.iter().find_map(|name| body.get(name))
}

/// The cache that a request names. What belongs into the cache may not come along.
fn cached_content(body: &Body) -> Result<Option<String>, ApiError> {
    let cache = either(body, ["cachedContent", "cached_content"]).and_then(cache_name);
    let more = [
        ["systemInstruction", "system_instruction"],
        ["tools", "tools"],
        ["toolConfig", "tool_config"],
    ];
    if cache.is_some() && more.iter().any(|names| either(body, *names).is_some()) {
        return Err(errors::cached_content_with_more());
    }
    Ok(cache)
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
    check_texts(requests.len())?;
    let texts: Result<Vec<Text>, ApiError> = requests
        .iter()
        .enumerate()
        .map(|(index, request)| {
            let place = format!("requests[{index}]");
            if !request.is_object() {
                let value = request.to_string();
                return Err(errors::invalid_value(&place, "TYPE_MESSAGE", &value));
            }
            let field = format!("{place}.output_dimensionality");
            Ok(Text {
                text: text_of(request),
                dimensions: dimensions(request.get("outputDimensionality"), &field)?,
            })
        })
        .collect();
    Ok(request.embedding(texts?))
}

/// The part of a list that is wanted. A page has `usual` entries when nothing is said, and `most` at most.
fn page_of(query: &str, usual: usize, most: usize) -> Result<Page, ApiError> {
    let mut page = Page {
        start: 0,
        size: usual,
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "pageSize" => {
                let size: i64 = value.parse().map_err(|_| {
                    errors::invalid_value("page_size", "TYPE_INT32", &format!("\"{value}\""))
                })?;
                // Of a negative one nothing is left, and 0 is as good as none.
                page.size = match usize::try_from(size) {
                    Ok(0) => usual,
                    Ok(size) => size.min(most),
                    Err(_) => return Err(errors::invalid_argument()),
                };
            }
            "pageToken" if value.is_empty() => {}
            "pageToken" => {
                page.start = lists::start_of(&value).ok_or_else(errors::invalid_argument)?;
            }
            _ => {}
        }
    }
    Ok(page)
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
        (Operation::Predict, _) => media::images(scene),
        (Operation::PredictLongRunning | Operation::Resource(_), _) => {
            resources::success(target, scene)
        }
    }
}
