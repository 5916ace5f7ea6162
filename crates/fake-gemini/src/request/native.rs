//! Requests on the native surface. Only requests to generate and to count are checked in full.
//!
//! Files arrive by resumable uploads: a `start` command, which returns the URL to continue at, then
//! `upload` commands there, the last of which says `finalize`.
//!
//! Sources: <https://ai.google.dev/api/generate-content>, <https://ai.google.dev/api/embeddings>,
//! <https://ai.google.dev/api/files>, <https://ai.google.dev/api/caching>, and what Google's
//! clients send (<https://github.com/googleapis/js-genai>).

mod conversation;
mod fields;
mod options;
mod schema;
mod tokens;
mod tools;

use super::body::{Body, cache_name, integer, text_of};
use super::received::{Options, Page, Received, Request};
use super::shapes::Field;
use crate::api::Operation;
use crate::errors::{self, ApiError};
use crate::json::either;
use crate::models::bare;
use crate::resources::{Chunk, Task};
use crate::route::Target;
use crate::turn::Turn;
use http::HeaderMap;
use serde_json::Value;

/// Models per page by default, and at most.
const PAGE: usize = 50;
const MAX_PAGE: usize = 1000;

/// A cache lives for an hour by default, in milliseconds.
const CACHE_LIFETIME_MS: i64 = 60 * 60 * 1000;

/// What precedes the start of a page in its token.
pub(crate) const PAGE_TOKEN: &str = "page-from-";

/// The fields that a request may have; `None` if they are not checked.
pub(super) fn fields(operation: Operation) -> Option<&'static [Field]> {
    match operation {
        Operation::Generate => Some(fields::GENERATE),
        Operation::CountTokens => Some(fields::COUNT),
        _ => None,
    }
}

pub(super) fn read(received: &Received<'_>) -> Result<Request, ApiError> {
    let target = received.target;
    let body = || received.body.as_ref().map_err(Clone::clone);
    let name = || target.name.clone();
    Ok(match target.operation {
        Operation::Generate => read_generate(body()?, &target.name)?,
        Operation::CountTokens => read_count(body()?)?,
        Operation::Embed => {
            let body = body()?;
            let content = body.get("content").ok_or_else(errors::invalid_argument)?;
            Request::embedding(vec![text_of(content)])?
        }
        Operation::BatchEmbed => {
            let requests = body()?.list("requests")?;
            Request::embedding(requests.iter().map(text_of).collect())?
        }
        Operation::GenerateVideo => {
            let model = bare(&target.name).to_owned();
            let instances = body()?.list("instances")?;
            if !instances.iter().any(|it| it["prompt"].is_string()) {
                return Err(errors::invalid_argument());
            }
            Request::task(Task::CreateVideo { model })
        }
        Operation::ListModels => Request {
            page: read_page(target)?,
            ..Request::default()
        },
        Operation::StartUpload => Request::task(read_start(received)?),
        Operation::ContinueUpload => Request::task(read_chunk(received, name())?),
        Operation::CreateCache => read_cache(body()?)?,
        Operation::UpdateCache => Request::task(Task::UpdateCache {
            name: name(),
            ttl_ms: read_ttl(body()?)?,
        }),
        Operation::GetFile | Operation::GetOperation => Request::task(Task::Get(name())),
        Operation::DownloadFile => Request::task(Task::Download(name())),
        Operation::DeleteFile | Operation::DeleteCache => Request::task(Task::Delete(name())),
        Operation::GetModel
        | Operation::GenerateImages
        | Operation::CreateBatch
        | Operation::GetBatch => Request::default(),
    })
}

fn contents(body: &Body) -> Result<&[Value], ApiError> {
    match body.list("contents")? {
        [] => Err(errors::no_contents()),
        contents => Ok(contents),
    }
}

fn read_generate(body: &Body, model: &str) -> Result<Request, ApiError> {
    let contents = contents(body)?;
    conversation::check(contents, model)?;
    tools::check(body, model)?;
    let config = body.either("generationConfig");
    options::check(config, model, tools::has_functions(body))?;
    let mut references = body.files();
    references.extend(cache_name(body.either("cachedContent")));
    Ok(Request {
        prompt_tokens: tokens::in_request(body),
        references,
        turn: Turn::of_contents(contents),
        options: read_options(body),
        ..Request::default()
    })
}

fn read_options(body: &Body) -> Options {
    let config = body.either("generationConfig");
    let thinking = either(config, "thinkingConfig");
    let is_on = |flag: &Value| flag.as_bool().unwrap_or_default();
    let stops = either(config, "stopSequences").as_array();
    let stops = stops.into_iter().flatten().filter_map(Value::as_str);
    let max_tokens = integer(either(config, "maxOutputTokens"));
    Options {
        includes_thoughts: is_on(either(thinking, "includeThoughts")),
        includes_tool_calls: is_on(either(
            body.either("toolConfig"),
            "includeServerSideToolInvocations",
        )),
        stop_sequences: stops
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect(),
        max_tokens: max_tokens.and_then(|tokens| tokens.try_into().ok()),
    }
}

/// Only a whole request can have instructions and tools. That it excludes `contents` is documented,
/// but not in which words it is refused.
fn read_count(body: &Body) -> Result<Request, ApiError> {
    let whole = match body.either("generateContentRequest") {
        Value::Object(request) => Some(Body(request.clone())),
        _ => None,
    };
    let prompt_tokens = match (&whole, body.get("contents")) {
        (Some(_), Some(_)) => return Err(errors::invalid_argument()),
        (None, None) => return Err(errors::nothing_to_count()),
        (Some(request), None) => {
            let model = request.text("model").unwrap_or_default();
            if !model.starts_with("models/") {
                let violation = ("model".to_owned(), "unexpected model name format");
                return Err(errors::invalid_request(&[violation]));
            }
            contents(request)?;
            tokens::in_request(request)
        }
        (None, Some(_)) => {
            contents(body)?;
            tokens::in_request(body)
        }
    };
    Ok(Request {
        prompt_tokens,
        references: body.files(),
        ..Request::default()
    })
}

fn read_page(target: &Target) -> Result<Page, ApiError> {
    let size = match target.parameter("pageSize") {
        Some(size) => size.parse().map_err(|_| errors::invalid_argument())?,
        None => PAGE,
    };
    let start = match target.parameter("pageToken").filter(|it| !it.is_empty()) {
        Some(token) => token
            .strip_prefix(PAGE_TOKEN)
            .and_then(|start| start.parse().ok())
            .ok_or_else(errors::invalid_argument)?,
        None => 0,
    };
    let size = size.min(MAX_PAGE);
    Ok(Page { start, size })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn read_start(received: &Received<'_>) -> Result<Task, ApiError> {
    let headers = received.headers;
    if header(headers, "x-goog-upload-command") != Some("start") {
        return Err(errors::invalid_argument());
    }
    let mime_type = header(headers, "x-goog-upload-header-content-type");
    let mime_type = mime_type.unwrap_or("application/octet-stream").to_owned();
    Ok(Task::StartUpload { mime_type })
}

fn read_chunk(received: &Received<'_>, upload: String) -> Result<Task, ApiError> {
    let headers = received.headers;
    let is_last = match header(headers, "x-goog-upload-command").unwrap_or_default() {
        "upload" => false,
        "finalize" | "upload, finalize" => true,
        _ => return Err(errors::invalid_argument()),
    };
    let offset = header(headers, "x-goog-upload-offset");
    let offset = offset.map(|offset| offset.parse().map_err(|_| errors::invalid_argument()));
    Ok(Task::ContinueUpload(Chunk {
        upload,
        offset: offset.transpose()?,
        bytes: received.bytes.clone(),
        is_last,
    }))
}

fn read_cache(body: &Body) -> Result<Request, ApiError> {
    let model = body.text("model").ok_or_else(errors::no_model)?;
    let model = bare(&model).to_owned();
    let ttl_ms = read_ttl(body)?;
    Ok(Request {
        references: body.files(),
        ..Request::task(Task::CreateCache { model, ttl_ms })
    })
}

/// `ttl`: seconds with an `s` behind them.
fn read_ttl(body: &Body) -> Result<i64, ApiError> {
    let Some(ttl) = body.text("ttl") else {
        return Ok(CACHE_LIFETIME_MS);
    };
    let seconds = ttl.strip_suffix('s').and_then(|text| text.parse().ok());
    seconds
        .map(|seconds: f64| (seconds * 1000.0) as i64)
        .filter(|milliseconds| *milliseconds > 0)
        .ok_or_else(errors::invalid_argument)
}
