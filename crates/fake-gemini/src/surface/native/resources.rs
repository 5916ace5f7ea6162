//! What projects own: its paths, its requests and its bytes.

use super::{either, lists, page_of, parameter, upload};
use crate::errors::{self, ApiError};
use crate::models::bare;
use crate::resources::{
    Batch, BatchInput, Cache, Expiry, File, Found, JobState, Listed, LongRunning, NewBatch,
    NewCache, Source, Task, TunedModel, timestamp,
};
use crate::surface::input::{Body, references, tokens_in};
use crate::surface::{Act, Request, Scene, Success, Target};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use chrono::DateTime;
use http::{HeaderMap, Method};
use serde::Serialize;
use serde_json::Value;

/// Files on a page of their list when nothing is said, and at most.
const FILES: usize = 10;
const MAX_FILES: usize = 100;
/// Anything else on a page of its list when nothing is said, and at most.
const OTHERS: usize = 50;
const MAX_OTHERS: usize = 1000;

/// What is done with what; `path` is what follows the version. `None` for a path of another kind.
pub(super) fn route(method: &Method, path: &str) -> Option<(Act, Option<String>)> {
    let segments: Vec<&str> = path.split('/').collect();
    if let ["models", model, "operations", id] = segments.as_slice() {
        let leads_there = method == Method::GET && !model.is_empty() && !id.is_empty();
        return leads_there.then(|| (Act::GetOperation, Some(path.to_owned())));
    }
    let (collection, id) = match path.split_once('/') {
        Some((collection, id)) => (collection, Some(id)),
        None => (path, None),
    };
    let (id, verb) = match id.and_then(|id| id.split_once(':')) {
        Some((id, verb)) => (Some(id), Some(verb)),
        None => (id, None),
    };
    // A name is one segment.
    if id.is_some_and(|id| id.is_empty() || id.contains('/')) {
        return None;
    }
    let act = match (method, collection, id, verb) {
        (&Method::GET, "files", None, None) => Act::ListFiles,
        (&Method::GET, "files", Some(_), None) => Act::GetFile,
        (&Method::GET, "files", Some(_), Some("download")) => Act::DownloadFile,
        (&Method::DELETE, "files", Some(_), None) => Act::DeleteFile,
        (&Method::POST, "cachedContents", None, None) => Act::CreateCache,
        (&Method::GET, "cachedContents", None, None) => Act::ListCaches,
        (&Method::GET, "cachedContents", Some(_), None) => Act::GetCache,
        (&Method::PATCH, "cachedContents", Some(_), None) => Act::UpdateCache,
        (&Method::DELETE, "cachedContents", Some(_), None) => Act::DeleteCache,
        (&Method::GET, "batches", None, None) => Act::ListBatches,
        (&Method::GET, "batches", Some(_), None) => Act::GetBatch,
        (&Method::POST, "batches", Some(_), Some("cancel")) => Act::CancelBatch,
        (&Method::DELETE, "batches", Some(_), None) => Act::DeleteBatch,
        (&Method::GET, "operations", Some(_), None) => Act::GetOperation,
        (&Method::GET, "tunedModels", None, None) => Act::ListTunedModels,
        (&Method::GET, "tunedModels", Some(_), None) => Act::GetTunedModel,
        _ => return None,
    };
    Some((act, id.map(|id| format!("{collection}/{id}"))))
}

/// The same behind `/download`, where nothing else is.
pub(super) fn download(method: &Method, path: &str) -> Option<(Act, Option<String>)> {
    route(method, path).filter(|(act, _)| *act == Act::DownloadFile)
}

pub(super) fn read(
    act: Act,
    target: &Target,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Request, ApiError> {
    let name = || target.resource.clone().unwrap_or_default();
    let others = || page_of(&target.query, OTHERS, MAX_OTHERS);
    let task = match act {
        Act::CreateCache => return read_cache(target, &Body::parse(body)?),
        Act::CreateBatch => return read_batch(target, &Body::parse(body)?),
        Act::CreateFile => upload::read_start(target, headers, body)?,
        Act::UploadFile => upload::read_part(&name(), headers, body)?,
        Act::ListFiles => Task::ListFiles(page_of(&target.query, FILES, MAX_FILES)?),
        Act::GetFile => Task::GetFile(name()),
        Act::DeleteFile => Task::DeleteFile(name()),
        Act::DownloadFile => Task::DownloadFile {
            name: name(),
            media: ["alt", "$alt"]
                .iter()
                .any(|alt| parameter(&target.query, alt).as_deref() == Some("media")),
        },
        Act::ListCaches => Task::ListCaches(others()?),
        Act::GetCache => Task::GetCache(name()),
        Act::UpdateCache => Task::UpdateCache(name(), expiry(&Body::parse(body)?)?),
        Act::DeleteCache => Task::DeleteCache(name()),
        Act::ListBatches => Task::ListBatches(others()?),
        Act::GetBatch => Task::GetBatch(name()),
        Act::CancelBatch => Task::CancelBatch(name()),
        Act::DeleteBatch => Task::DeleteBatch(name()),
        Act::GetOperation => Task::GetOperation(name()),
        Act::ListTunedModels => Task::ListTunedModels(others()?),
        Act::GetTunedModel => Task::GetTunedModel(name()),
    };
    Ok(Request::of(target, task))
}

fn text(body: &Body, names: [&str; 2]) -> Option<String> {
    either(body, names)
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// A new cache. Google wants 1,024 tokens or more, the fake any.
fn read_cache(target: &Target, body: &Body) -> Result<Request, ApiError> {
    let model = text(body, ["model"; 2]).filter(|model| !model.is_empty());
    let model = model.ok_or_else(errors::no_model)?;
    let instruction = either(body, ["systemInstruction", "system_instruction"]);
    let tokens = tokens_in(body.list("contents")?);
    let new = NewCache {
        model: model.clone(),
        display_name: text(body, ["displayName", "display_name"]).unwrap_or_default(),
        tokens: tokens.saturating_add(tokens_in(instruction.map_or(&[], std::slice::from_ref))),
        expiry: expiry(body)?,
    };
    Ok(Request {
        model: Some(model),
        references: references(body),
        ..Request::of(target, Task::CreateCache(new))
    })
}

/// `ttl`, in seconds with an `s` behind them, or `expireTime`.
fn expiry(body: &Body) -> Result<Option<Expiry>, ApiError> {
    if let Some(ttl) = text(body, ["ttl"; 2]) {
        let seconds = ttl.strip_suffix('s').and_then(|text| text.parse().ok());
        let ms = seconds.map(|seconds: f64| (seconds * 1000.0) as i64);
        let ms = ms.filter(|ms| *ms > 0).ok_or_else(|| {
            errors::invalid_value(
                "ttl",
                "type.googleapis.com/google.protobuf.Duration",
                &format!("{ttl:?}"),
            )
        })?;
        return Ok(Some(Expiry::After(ms)));
    }
    let Some(time) = text(body, ["expireTime", "expire_time"]) else {
        return Ok(None);
    };
    let read = DateTime::parse_from_rfc3339(&time).map_err(|_| {
        let kind = "type.googleapis.com/google.protobuf.Timestamp";
        errors::invalid_value("expire_time", kind, &format!("{time:?}"))
    })?;
    Ok(Some(Expiry::At(read.timestamp_millis())))
}

/// A new batch: of a file, or of requests within the call.
fn read_batch(target: &Target, body: &Body) -> Result<Request, ApiError> {
    let batch = body.get("batch").ok_or_else(errors::invalid_argument)?;
    let field = |names: [&str; 2]| names.iter().find_map(|name| batch.get(*name));
    let input = field(["inputConfig", "input_config"]).ok_or_else(errors::invalid_argument)?;
    let file = ["fileName", "file_name"]
        .iter()
        .find_map(|name| input.get(*name)?.as_str());
    let inline = || {
        let requests = input.pointer("/requests/requests")?.as_array()?;
        let key = |request: &Value| Some(request.pointer("/metadata/key")?.as_str()?.to_owned());
        Some(requests.iter().map(key).collect::<Vec<_>>())
    };
    let input = match file {
        Some(file) => BatchInput::File(file.to_owned()),
        None => inline()
            .filter(|keys| !keys.is_empty())
            .map(BatchInput::Inline)
            .ok_or_else(errors::invalid_argument)?,
    };
    let new = NewBatch {
        model: target.model.clone(),
        display_name: field(["displayName", "display_name"])
            .and_then(Value::as_str)
            .map(str::to_owned),
        input,
        endpoint: None,
        completion_window: None,
    };
    Ok(Request {
        references: references(body),
        ..Request::of(target, Task::CreateBatch(new))
    })
}

pub(super) fn success(target: &Target, scene: &Scene<'_>) -> Success {
    match &scene.found {
        Found::Nothing => Success::pretty(&Nothing {}),
        Found::Upload(progress) => upload::progress(progress, target, scene),
        Found::Uploaded(file) => uploaded(file, scene),
        Found::File(file) => Success::pretty(&FileEntry::of(file, scene)),
        Found::Files(files) => Success::pretty(&FileList {
            files: files
                .items
                .iter()
                .map(|file| FileEntry::of(file, scene))
                .collect(),
            next_page_token: files.next.map(lists::token),
        }),
        Found::Content(file) => Success::file(file.mime_type.clone(), file.bytes.clone()),
        Found::Cache(cache) => Success::pretty(&CacheEntry::of(cache)),
        Found::Caches(caches) => Success::pretty(&CacheList {
            cached_contents: caches.items.iter().map(CacheEntry::of).collect(),
            next_page_token: caches.next.map(lists::token),
        }),
        Found::Batch(batch) => Success::pretty(&BatchEntry::of(batch)),
        Found::Batches(batches) => Success::pretty(&BatchList {
            operations: batches.items.iter().map(BatchEntry::of).collect(),
            next_page_token: batches.next.map(lists::token),
        }),
        Found::Operation(operation) => Success::pretty(&OperationEntry::of(operation, scene)),
        Found::TunedModel(model) => Success::pretty(&TunedEntry::of(model)),
        Found::TunedModels(models) => Success::pretty(&TunedList::of(models)),
    }
}

/// A file that has just come.
pub(super) fn uploaded(file: &File, scene: &Scene<'_>) -> Success {
    Success::pretty(&Uploaded {
        file: FileEntry::of(file, scene),
    })
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Uploaded<'a> {
    file: FileEntry<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileList<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FileEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileEntry<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    mime_type: &'a str,
    size_bytes: String,
    create_time: String,
    update_time: String,
    expiration_time: String,
    sha256_hash: String,
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    download_uri: Option<String>,
    state: &'static str,
    source: &'static str,
}

impl<'a> FileEntry<'a> {
    fn of(file: &'a File, scene: &Scene<'_>) -> Self {
        let uri = format!("{}/v1beta/{}", scene.origin, file.name);
        let (source, download_uri) = match file.source {
            Source::Uploaded => ("UPLOADED", None),
            Source::Generated => ("GENERATED", Some(format!("{uri}:download?alt=media"))),
        };
        Self {
            name: &file.name,
            display_name: file.display_name.as_deref(),
            mime_type: &file.mime_type,
            size_bytes: file.bytes.len().to_string(),
            create_time: timestamp(file.created_ms),
            update_time: timestamp(file.created_ms),
            expiration_time: timestamp(file.expires_ms),
            // Not of the hash itself, as documented, but of its digits, as measured.
            sha256_hash: BASE64.encode(&file.sha256),
            uri,
            download_uri,
            state: "ACTIVE",
            source,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CacheList<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cached_contents: Vec<CacheEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// As recorded: a display name that was not given is empty, not missing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CacheEntry<'a> {
    name: &'a str,
    model: String,
    create_time: String,
    update_time: String,
    expire_time: String,
    display_name: &'a str,
    usage_metadata: CacheUsage,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CacheUsage {
    total_token_count: u64,
}

impl<'a> CacheEntry<'a> {
    fn of(cache: &'a Cache) -> Self {
        Self {
            name: &cache.name,
            model: format!("models/{}", cache.model),
            create_time: timestamp(cache.created_ms),
            update_time: timestamp(cache.updated_ms),
            expire_time: timestamp(cache.expires_ms),
            display_name: &cache.display_name,
            usage_metadata: CacheUsage {
                total_token_count: cache.tokens,
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchList<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    operations: Vec<BatchEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// A long-running operation whose metadata are the batch.
#[derive(Serialize)]
struct BatchEntry<'a> {
    name: &'a str,
    metadata: BatchMetadata<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<BatchOutput<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchMetadata<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_config: Option<BatchFile<'a>>,
    create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    update_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_stats: Option<BatchStats>,
    state: &'static str,
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchFile<'a> {
    file_name: &'a str,
}

/// Counts are texts, as all 64-bit numbers in protobuf's JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchStats {
    request_count: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_request_count: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    successful_request_count: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchOutput<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    responses_file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inlined_responses: Option<InlinedResponses<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InlinedResponses<'a> {
    inlined_responses: Vec<InlinedResponse<'a>>,
}

#[derive(Serialize)]
struct InlinedResponse<'a> {
    response: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<RequestKey<'a>>,
}

#[derive(Serialize)]
struct RequestKey<'a> {
    key: &'a str,
}

impl<'a> BatchEntry<'a> {
    fn of(batch: &'a Batch) -> Self {
        let file = match &batch.new.input {
            BatchInput::File(file) => Some(file.as_str()),
            BatchInput::Inline(_) => None,
        };
        let done = batch.state != JobState::Pending;
        Self {
            name: &batch.name,
            metadata: BatchMetadata {
                kind: "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
                model: batch
                    .new
                    .model
                    .as_deref()
                    .map(|model| format!("models/{}", bare(model))),
                display_name: batch.new.display_name.as_deref(),
                input_config: file.map(|file_name| BatchFile { file_name }),
                create_time: timestamp(batch.created_ms),
                end_time: done.then(|| timestamp(batch.updated_ms)),
                update_time: timestamp(batch.updated_ms),
                batch_stats: batch_stats(batch),
                state: match batch.state {
                    JobState::Pending => "BATCH_STATE_PENDING",
                    JobState::Succeeded => "BATCH_STATE_SUCCEEDED",
                    JobState::Cancelled => "BATCH_STATE_CANCELLED",
                },
                name: &batch.name,
            },
            done,
            response: (batch.state == JobState::Succeeded).then(|| batch_output(batch)),
        }
    }
}

/// What is in a file is not counted.
fn batch_stats(batch: &Batch) -> Option<BatchStats> {
    let BatchInput::Inline(keys) = &batch.new.input else {
        return None;
    };
    let count = keys.len().to_string();
    let counted = |state| (batch.state == state).then(|| count.clone());
    Some(BatchStats {
        pending_request_count: counted(JobState::Pending),
        successful_request_count: counted(JobState::Succeeded),
        request_count: count,
    })
}

/// Answers of nobody: each has the same text.
fn batch_output(batch: &Batch) -> BatchOutput<'_> {
    let response = serde_json::json!({"candidates": [
        {"content": {"parts": [{"text": "Done."}], "role": "model"}, "finishReason": "STOP"}
    ]});
    let responses = match &batch.new.input {
        BatchInput::File(_) => None,
        BatchInput::Inline(keys) => Some(InlinedResponses {
            inlined_responses: keys
                .iter()
                .map(|key| InlinedResponse {
                    response: response.clone(),
                    metadata: key.as_deref().map(|key| RequestKey { key }),
                })
                .collect(),
        }),
    };
    BatchOutput {
        kind: "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatchOutput",
        responses_file: batch.output.as_deref(),
        inlined_responses: responses,
    }
}

/// A video that is made, or is there.
#[derive(Serialize)]
struct OperationEntry<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Value>,
}

impl<'a> OperationEntry<'a> {
    fn of(operation: &'a LongRunning, scene: &Scene<'_>) -> Self {
        let response = |file: &String| {
            let uri = format!("{}/v1beta/{file}:download?alt=media", scene.origin);
            serde_json::json!({
                "@type": "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse",
                "generateVideoResponse": {"generatedSamples": [{"video": {"uri": uri}}]},
            })
        };
        Self {
            name: &operation.name,
            done: operation.state != JobState::Pending,
            response: operation.output.as_ref().map(response),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TunedList<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tuned_models: Vec<TunedEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

impl<'a> TunedList<'a> {
    fn of(models: &'a Listed<TunedModel>) -> Self {
        Self {
            tuned_models: models.items.iter().map(TunedEntry::of).collect(),
            next_page_token: models.next.map(lists::token),
        }
    }
}

/// As little as there has to be. No recording of this is public.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TunedEntry<'a> {
    name: &'a str,
    display_name: &'a str,
    state: &'static str,
}

impl<'a> TunedEntry<'a> {
    fn of(model: &'a TunedModel) -> Self {
        Self {
            name: &model.name,
            display_name: model.id(),
            state: "ACTIVE",
        }
    }
}
