//! What projects own: its paths, its requests and its bytes.

use super::{lists, page_of, parameter, upload};
use crate::errors::ApiError;
use crate::resources::{File, Found, Task, timestamp};
use crate::surface::{Act, Request, Scene, Success, Target};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Serialize;

/// Files on a page of their list when nothing is said, and at most.
const FILES: usize = 10;
const MAX_FILES: usize = 100;

/// What is done with what; `path` is what follows the version. `None` for a path of another kind.
pub(super) fn route(method: &Method, path: &str) -> Option<(Act, Option<String>)> {
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
    let task = match act {
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
    };
    Ok(Request::of(target, task))
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
    state: &'static str,
    source: &'static str,
}

impl<'a> FileEntry<'a> {
    fn of(file: &'a File, scene: &Scene<'_>) -> Self {
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
            uri: format!("{}/v1beta/{}", scene.origin, file.name),
            state: "ACTIVE",
            source: "UPLOADED",
        }
    }
}
