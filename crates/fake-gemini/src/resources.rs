//! What projects own: files, caches, batches and videos.
//!
//! A resource belongs to the project of the key that made it; for all others it does not exist.
//! It is stored as the JSON that its surface shows. Batches and videos stay pending.
//!
//! Sources: <https://ai.google.dev/api/files>, <https://ai.google.dev/api/caching>.

use crate::errors::{self, ApiError};
use crate::ids;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

/// A file lives for 48 hours, in milliseconds.
const FILE_LIFETIME_MS: i64 = 48 * 60 * 60 * 1000;

/// What to do with what a project owns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Task {
    StartUpload {
        mime_type: String,
    },
    ContinueUpload(Chunk),
    CreateCache {
        model: String,
        ttl_ms: i64,
    },
    UpdateCache {
        name: String,
        ttl_ms: i64,
    },
    /// With the fields that the client sent.
    CreateBatch(Value),
    CreateVideo {
        model: String,
    },
    Get(String),
    Download(String),
    Delete(String),
}

/// Bytes of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The id of the upload.
    pub(crate) upload: String,
    pub(crate) offset: Option<usize>,
    pub(crate) bytes: Bytes,
    pub(crate) is_last: bool,
}

/// The result of a task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Json(Value),
    /// A new upload with this id.
    UploadStarted(String),
    UploadContinues,
    /// The uploaded file.
    Uploaded(Value),
}

/// Who acts, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) project: &'a str,
    pub(crate) key: &'a str,
    pub(crate) now_ms: i64,
    /// Different for each call; new names derive from it.
    pub(crate) number: u64,
    /// The address of the fake, such as `http://127.0.0.1:8080`.
    pub(crate) origin: &'a str,
}

#[derive(Debug)]
struct Resource {
    name: String,
    project: String,
    json: Value,
}

#[derive(Debug)]
struct Upload {
    id: String,
    project: String,
    key: String,
    mime_type: String,
    received: usize,
}

/// What all projects own.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    all: Vec<Resource>,
    uploads: Vec<Upload>,
}

impl Resources {
    pub(crate) fn perform(
        &mut self,
        task: &Task,
        caller: &Caller<'_>,
    ) -> Result<Outcome, ApiError> {
        let number = caller.number;
        let json = match task {
            Task::StartUpload { mime_type } => return Ok(self.start_upload(mime_type, caller)),
            Task::ContinueUpload(chunk) => return self.continue_upload(chunk, caller),
            Task::CreateCache { model, ttl_ms } => {
                let name = format!("cachedContents/{}", ids::resource_id(number, 40));
                let cache = json!({
                    "name": name,
                    "model": format!("models/{model}"),
                    "createTime": timestamp(caller.now_ms),
                    "updateTime": timestamp(caller.now_ms),
                    "expireTime": timestamp(caller.now_ms + ttl_ms),
                });
                self.add(name, cache, caller.project)
            }
            Task::UpdateCache { name, ttl_ms } => {
                let cache = &mut self.find(name, caller.project)?.json;
                cache["updateTime"] = timestamp(caller.now_ms).into();
                cache["expireTime"] = timestamp(caller.now_ms + ttl_ms).into();
                cache.clone()
            }
            Task::CreateBatch(fields) => {
                let name = format!("batches/{}", ids::resource_id(number, 36));
                let mut batch = fields.clone();
                batch["created_at"] = (caller.now_ms / 1000).into();
                batch["id"] = name.as_str().into();
                batch["object"] = "batch".into();
                batch["status"] = "validating".into();
                self.add(name, batch, caller.project)
            }
            Task::CreateVideo { model } => {
                let id = ids::resource_id(number, 12);
                let name = format!("models/{model}/operations/{id}");
                let video = json!({"name": name});
                self.add(name, video, caller.project)
            }
            Task::Get(name) => self.find(name, caller.project)?.json.clone(),
            // Google gives out generated files only.
            Task::Download(name) => return Err(errors::file_denied(name)),
            Task::Delete(name) => {
                self.find(name, caller.project)?;
                self.all.retain(|resource| resource.name != *name);
                json!({})
            }
        };
        Ok(Outcome::Json(json))
    }

    /// Checks that the project owns everything with these names.
    pub(crate) fn check(&mut self, names: &[String], project: &str) -> Result<(), ApiError> {
        names
            .iter()
            .try_for_each(|name| self.find(name, project).map(drop))
    }

    /// The key that an upload was started with.
    pub(crate) fn uploader(&self, id: &str) -> Result<String, ApiError> {
        let upload = self.uploads.iter().find(|upload| upload.id == id);
        upload
            .map(|upload| upload.key.clone())
            .ok_or_else(errors::no_such_entity)
    }

    fn find(&mut self, name: &str, project: &str) -> Result<&mut Resource, ApiError> {
        let mut all = self.all.iter_mut();
        all.find(|resource| resource.name == name && resource.project == project)
            .ok_or_else(|| match name.split('/').next() {
                Some("files") => errors::file_denied(name),
                Some("cachedContents") => errors::cached_content_denied(),
                _ => errors::no_such_entity(),
            })
    }

    fn add(&mut self, name: String, json: Value, project: &str) -> Value {
        self.all.push(Resource {
            name,
            project: project.to_owned(),
            json: json.clone(),
        });
        json
    }

    fn start_upload(&mut self, mime_type: &str, caller: &Caller<'_>) -> Outcome {
        let id = ids::upload_id(caller.number);
        self.uploads.push(Upload {
            id: id.clone(),
            project: caller.project.to_owned(),
            key: caller.key.to_owned(),
            mime_type: mime_type.to_owned(),
            received: 0,
        });
        Outcome::UploadStarted(id)
    }

    fn continue_upload(&mut self, chunk: &Chunk, caller: &Caller<'_>) -> Result<Outcome, ApiError> {
        let mut uploads = self.uploads.iter_mut();
        let upload = uploads
            .find(|upload| upload.id == chunk.upload)
            .ok_or_else(errors::no_such_entity)?;
        if chunk.offset.is_some_and(|offset| offset != upload.received) {
            return Err(errors::invalid_argument());
        }
        upload.received += chunk.bytes.len();
        if !chunk.is_last {
            return Ok(Outcome::UploadContinues);
        }
        let name = format!("files/{}", ids::resource_id(caller.number, 12));
        let now = timestamp(caller.now_ms);
        let file = json!({
            "name": name,
            "mimeType": upload.mime_type,
            "sizeBytes": upload.received.to_string(),
            "createTime": now,
            "updateTime": now,
            "expirationTime": timestamp(caller.now_ms + FILE_LIFETIME_MS),
            "uri": format!("{}/v1beta/{name}", caller.origin),
            "state": "ACTIVE",
            "source": "UPLOADED",
        });
        let project = upload.project.clone();
        self.uploads.retain(|upload| upload.id != chunk.upload);
        Ok(Outcome::Uploaded(self.add(name, file, &project)))
    }
}

/// A time in UTC, with as many groups of three digits as it needs.
fn timestamp(unix_ms: i64) -> String {
    DateTime::from_timestamp_millis(unix_ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
