//! Reads `multipart/form-data`, in which files are uploaded.
//!
//! The first line of a body is its delimiter, so the header is not needed: clients send no preamble.
//!
//! Source: RFC 7578, RFC 2046 §5.1.

use crate::wire::parameters::Invalid;
use memchr::memmem;

/// A field of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) name: String,
    /// Empty if it is no file.
    pub(crate) file_name: String,
    /// Empty if the client sent none.
    pub(crate) content_type: &'a str,
    pub(crate) content: &'a [u8],
}

/// The fields of a form, in order.
pub(crate) fn fields(body: &[u8]) -> Result<Vec<Field<'_>>, Invalid> {
    let invalid = || Invalid::new("must be `multipart/form-data`");
    let end = memmem::find(body, b"\r\n").ok_or_else(invalid)?;
    let (delimiter, mut rest) = body.split_at(end);
    if !delimiter.starts_with(b"--") {
        return Err(invalid());
    }
    let delimiter = [b"\r\n", delimiter].concat();
    let mut fields = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let length = memmem::find(part, &delimiter)
            .ok_or_else(|| Invalid::new("is a form without an end"))?;
        let (part, after) = part.split_at(length);
        fields.extend(field(part));
        rest = after.get(delimiter.len()..).unwrap_or_default();
    }
    Ok(fields)
}

/// A field with its headers; `None` if it has no name.
fn field(part: &[u8]) -> Option<Field<'_>> {
    let end = memmem::find(part, b"\r\n\r\n")?;
    let (headers, content) = part.split_at(end);
    let headers = std::str::from_utf8(headers).ok()?;
    let header = |name: &str| {
        headers.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let disposition = header("content-disposition")?;
    Some(Field {
        name: parameter(disposition, "name")?,
        file_name: parameter(disposition, "filename").unwrap_or_default(),
        content_type: header("content-type").unwrap_or_default(),
        content: content.get(4..).unwrap_or_default(),
    })
}

/// A parameter such as `name="file"`. Browsers write a quote in it as `%22`, other clients as `\"`.
fn parameter(header: &str, name: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once(';') {
        let (found, value) = after.split_once('=')?;
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => {
                let is_end =
                    |at: &usize| !quoted.get(..*at).is_some_and(|text| text.ends_with('\\'));
                let end = quoted.match_indices('"').map(|(at, _)| at).find(is_end)?;
                quoted.split_at(end)
            }
            None => value.split_at(value.find(';').unwrap_or(value.len())),
        };
        if found.trim().eq_ignore_ascii_case(name) {
            return Some(value.replace("\\\"", "\"").replace("%22", "\""));
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_fields_and_files() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a;\\\"b\\\".wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n\r\n--c\r\n--b--\r\n";
        let fields = fields(body).unwrap();
        assert_eq!(fields.len(), 2);
        assert_eq!(
            (fields[0].name.as_str(), fields[0].content),
            ("model", &b"whisper-1"[..])
        );
        assert_eq!(
            fields[1],
            Field {
                name: "file".into(),
                file_name: "a;\"b\".wav".into(),
                content_type: "audio/wav",
                content: b"RIFF\r\n\r\n--c",
            }
        );
    }

    #[test]
    fn other_bodies_are_refused() {
        for body in ["", "{}", "{}\r\n", "--b\r\nContent-Disposition: x\r\n\r\n"] {
            assert!(fields(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn accepts_any_bytes(body in "(--b\r\n)?([-b;:=\"\\\\ \r\na]|name|Content-Disposition){0,30}") {
            let _ = fields(body.as_bytes());
        }
    }
}
