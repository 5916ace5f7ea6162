//! How files come: `/upload/v1beta/files`.
//!
//! | call | answer |
//! |---|---|
//! | `POST`, `X-Goog-Upload-Protocol: resumable`, `X-Goog-Upload-Command: start`, JSON | headers that tell where to go on |
//! | `POST` or `PUT` there, `X-Goog-Upload-Command: upload`, `upload, finalize`, `query` or `cancel` | how far it is; at the end the file |
//! | `POST`, `X-Goog-Upload-Protocol: multipart` or `?uploadType=multipart`, `multipart/related` | the file |
//! | `POST`, `X-Goog-Upload-Protocol: raw` or `?uploadType=media`, the bytes | the file |
//!
//! Of parts that are not the last, Google wants whole multiples of the granularity; here each size will do. Sources:
//! <https://ai.google.dev/api/files>, and what Google's clients send and look for
//! (<https://github.com/googleapis/js-genai>). The bytes of an answer other than the file are not recorded.

use super::parameter;
use crate::errors::{self, ApiError};
use crate::resources::{Draft, Part, Progress, Task, UploadStatus};
use crate::surface::input::{Body, integer};
use crate::surface::{Act, Scene, Success, Target, multipart};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use serde_json::Value;

/// What the parts of an upload have to be multiples of, in bytes: 8 MiB.
const GRANULARITY: &str = "8388608";

/// `path` is what follows the version.
pub(super) fn route(method: &Method, path: &str, query: &str) -> Option<(Act, Option<String>)> {
    if path != "files" {
        return None;
    }
    match parameter(query, "upload_id") {
        Some(id) if method == Method::POST || method == Method::PUT => {
            Some((Act::UploadFile, Some(id)))
        }
        None if method == Method::POST => Some((Act::CreateFile, None)),
        Some(_) | None => None,
    }
}

/// Begins an upload, or takes a file that comes at once.
pub(super) fn read_start(
    target: &Target,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Task, ApiError> {
    let kind = parameter(&target.query, "uploadType");
    let protocol = header(headers, "x-goog-upload-protocol").or(kind.as_deref());
    let content_type = header(headers, CONTENT_TYPE.as_str());
    match protocol {
        Some("resumable") if commands(headers) == ["start"] => {
            let draft = draft(body)?;
            let of_header = header(headers, "x-goog-upload-header-content-type");
            let size = header(headers, "x-goog-upload-header-content-length");
            let size = size.map(|size| size.parse().map_err(|_| errors::invalid_argument()));
            Ok(Task::StartUpload(Draft {
                mime_type: of_header.map(str::to_owned).or(draft.mime_type),
                size: size.transpose()?,
                ..draft
            }))
        }
        Some("multipart") => {
            let parts = multipart::parts(content_type.unwrap_or_default(), body);
            let [metadata, content] = parts.as_deref().unwrap_or_default() else {
                return Err(errors::invalid_argument());
            };
            let draft = draft(&metadata.bytes)?;
            let mime_type = content.content_type.clone().or(draft.mime_type);
            Ok(Task::UploadWhole(
                Draft { mime_type, ..draft },
                content.bytes.clone(),
            ))
        }
        Some("raw" | "media") => {
            let draft = Draft {
                display_name: header(headers, "x-goog-upload-file-name").map(str::to_owned),
                mime_type: content_type.map(str::to_owned),
                ..Draft::default()
            };
            Ok(Task::UploadWhole(draft, body.clone()))
        }
        Some(_) | None => Err(errors::invalid_argument()),
    }
}

/// Goes on with an upload.
pub(super) fn read_part(id: &str, headers: &HeaderMap, body: &Bytes) -> Result<Task, ApiError> {
    let part = match commands(headers).as_slice() {
        ["query"] => Part::Query,
        ["cancel"] => Part::Cancel,
        commands @ (["upload"] | ["finalize"] | ["upload", "finalize"]) => {
            let offset = header(headers, "x-goog-upload-offset");
            let offset = offset.map(|at| at.parse().map_err(|_| errors::invalid_argument()));
            Part::Bytes {
                offset: offset.transpose()?,
                bytes: body.clone(),
                last: commands.contains(&"finalize"),
            }
        }
        _ => return Err(errors::invalid_argument()),
    };
    Ok(Task::UploadPart(id.to_owned(), part))
}

/// What `{"file":{…}}` says. Nothing at all is as good as an empty object.
fn draft(body: &[u8]) -> Result<Draft, ApiError> {
    if body.is_empty() {
        return Ok(Draft::default());
    }
    let body = Body::parse(body)?;
    let field = |names: [&str; 2]| {
        let file = body.get("file")?;
        names.iter().find_map(|name| file.get(*name))
    };
    let text = |names| field(names).and_then(Value::as_str).map(str::to_owned);
    let size = field(["sizeBytes", "size_bytes"]).and_then(integer);
    let name = text(["name"; 2]).map(|name| {
        let id = name.strip_prefix("files/").unwrap_or(&name);
        format!("files/{id}")
    });
    if name.as_deref().is_some_and(|name| !is_name(name)) {
        return Err(errors::invalid_argument());
    }
    Ok(Draft {
        name,
        display_name: text(["displayName", "display_name"]),
        mime_type: text(["mimeType", "mime_type"]),
        size: size.and_then(|size| u64::try_from(size).ok()),
    })
}

/// Up to 40 lower-case letters, digits and dashes, none of which is at an end.
fn is_name(name: &str) -> bool {
    let id = name.strip_prefix("files/").unwrap_or_default();
    let of_a_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=40).contains(&id.len())
        && id.bytes().all(of_a_name)
        && !id.starts_with('-')
        && !id.ends_with('-')
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `X-Goog-Upload-Command`: one command, or several between commas.
fn commands(headers: &HeaderMap) -> Vec<&str> {
    let commands = header(headers, "x-goog-upload-command").unwrap_or_default();
    commands.split(',').map(str::trim).collect()
}

/// How far an upload is; with the file, once that is whole.
pub(super) fn progress(progress: &Progress, target: &Target, scene: &Scene<'_>) -> Success {
    let status = match progress.status {
        UploadStatus::Active => "active",
        UploadStatus::Final => "final",
        UploadStatus::Cancelled => "cancelled",
    };
    let mut headers = vec![
        // The files have a server of their own.
        ("server", "UploadServer".to_owned()),
        ("x-guploader-uploadid", progress.id.clone()),
        ("x-goog-upload-status", status.to_owned()),
    ];
    if progress.is_new {
        let url = format!(
            "{}/upload/{}/files?upload_id={}&upload_protocol=resumable",
            scene.origin, target.version, progress.id
        );
        headers.push(("x-goog-upload-url", url.clone()));
        headers.push(("x-goog-upload-control-url", url));
        headers.push(("x-goog-upload-chunk-granularity", GRANULARITY.to_owned()));
    } else {
        let received = progress.received.to_string();
        headers.push(("x-goog-upload-size-received", received));
    }
    let body = match &progress.file {
        Some(file) => super::resources::uploaded(file, scene),
        None => Success::stream("text/plain; charset=utf-8", Vec::new()),
    };
    Success { headers, ..body }
}
