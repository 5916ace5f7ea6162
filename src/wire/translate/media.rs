//! Images and files in requests: in base64, by URL, or by the name of an uploaded file.
//!
//! Google fetches public URLs itself (<https://ai.google.dev/gemini-api/docs/file-input-methods>).

use super::generate::{Blob, FileData, Part};
use crate::wire::parameters::Invalid;
use std::borrow::Cow;

/// Where Google's clients find uploaded files.
const FILES: &str = "https://generativelanguage.googleapis.com/v1beta/";

/// MIME types by file extension, for URLs.
const BY_EXTENSION: [(&str, &str); 18] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("heic", "image/heic"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("mp3", "audio/mp3"),
    ("mpga", "audio/mp3"),
    ("wav", "audio/wav"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("m4a", "audio/m4a"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
];

/// Data in base64.
pub(crate) fn inline<'a>(
    mime_type: impl Into<Cow<'a, str>>,
    data: impl Into<Cow<'a, str>>,
) -> Part<'a> {
    Part {
        inline_data: Some(Blob {
            mime_type: mime_type.into(),
            data: data.into(),
        }),
        ..Part::default()
    }
}

/// A `data:` URL with base64, or a URL that Google fetches.
pub(crate) fn from_url(url: Cow<'_, str>) -> Result<Part<'_>, Invalid> {
    if let Some(data) = url.strip_prefix("data:") {
        let (head, data) = data
            .split_once(',')
            .ok_or_else(|| Invalid::new("is a `data:` URL without data"))?;
        let mime_type = head.strip_suffix(";base64").ok_or_else(|| {
            Invalid::new("is a `data:` URL in another encoding than base64; encode the data")
        })?;
        let mime_type = mime_type.split(';').next().unwrap_or_default();
        let mime_type = match mime_type {
            "" => "text/plain",
            other => other,
        };
        return Ok(inline(mime_type.to_owned(), data.to_owned()));
    }
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(Invalid::new("must be a `data:`, `https:` or `http:` URL"));
    }
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let mime_type = mime_type_of(path);
    Ok(Part {
        file_data: Some(FileData {
            mime_type: mime_type.map(Cow::Borrowed),
            file_uri: url,
        }),
        ..Part::default()
    })
}

/// The type of a file by the extension of its name.
pub(crate) fn mime_type_of(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    let (_, mime_type) = BY_EXTENSION
        .iter()
        .find(|(known, _)| extension.eq_ignore_ascii_case(known))?;
    Some(mime_type)
}

/// The type of an image by the beginning of its base64.
pub(crate) fn image_type_of(base64: &str) -> &'static str {
    match base64.get(..5).unwrap_or_default() {
        start if start.starts_with("/9j/") => "image/jpeg",
        start if start.starts_with("UklGR") => "image/webp",
        start if start.starts_with("R0lGO") => "image/gif",
        _ => "image/png",
    }
}

/// A file that was uploaded through Gemini's Files API, such as `files/abc`.
pub(crate) fn uploaded(name: &str) -> Result<Part<'static>, Invalid> {
    let id = name.strip_prefix("files/").unwrap_or_default();
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if id.is_empty() || !id.bytes().all(is_id) {
        return Err(Invalid::new(
            "must name a file of Gemini's Files API, such as `files/abc`; other files can be sent as data",
        ));
    }
    Ok(Part {
        file_data: Some(FileData {
            mime_type: None,
            file_uri: format!("{FILES}{name}").into(),
        }),
        ..Part::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(part: &Part<'_>) -> String {
        serde_json::to_string(part).unwrap()
    }

    #[test]
    fn urls_become_data_or_files() {
        for (url, expected) in [
            (
                "data:image/png;base64,iVBO",
                r#"{"inlineData":{"mimeType":"image/png","data":"iVBO"}}"#,
            ),
            (
                "data:text/plain;charset=utf-8;base64,SGk=",
                r#"{"inlineData":{"mimeType":"text/plain","data":"SGk="}}"#,
            ),
            (
                "https://a.example/x.PNG?y=1",
                r#"{"fileData":{"mimeType":"image/png","fileUri":"https://a.example/x.PNG?y=1"}}"#,
            ),
            (
                "https://a.example/x",
                r#"{"fileData":{"fileUri":"https://a.example/x"}}"#,
            ),
        ] {
            assert_eq!(json(&from_url(url.into()).unwrap()), expected, "{url}");
        }
        for url in [
            "",
            "data:image/png",
            "data:image/png,x",
            "file:///x",
            "x.png",
        ] {
            assert!(from_url(url.into()).is_err(), "{url}");
        }
    }

    #[test]
    fn only_names_of_the_files_api_are_accepted() {
        assert_eq!(
            json(&uploaded("files/a-1").unwrap()),
            r#"{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/a-1"}}"#
        );
        for name in ["", "files/", "file-abc", "files/../x", "files/a?b"] {
            assert!(uploaded(name).is_err(), "{name}");
        }
    }
}
