//! Reading request bodies as Google's JSON front end does, with its complaints.

use super::VERSIONS;
use crate::answer::tokens_of;
use crate::errors::{self, ApiError};
use crate::resources::References;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// The largest vector that any model gives.
const MAX_DIMENSIONS: usize = 3072;
/// The most texts that one call may embed.
const MAX_TEXTS: usize = 100;

/// The fields of the outermost object, in their order: complaints about them come in that order.
#[derive(Debug)]
pub(super) struct Body(pub(super) Vec<(String, Value)>);

impl Body {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        serde_json::from_slice(bytes).map_err(|error| {
            if error.is_data() {
                errors::not_an_object()
            } else {
                let (excerpt, at) = excerpt(bytes, error.line(), error.column());
                errors::invalid_json(&excerpt, at)
            }
        })
    }

    /// The field of that name; of several, the last.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .rev()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
            .filter(|value| !value.is_null())
    }

    pub(super) fn list(&self, field: &str) -> Result<&[Value], ApiError> {
        let list = typed(self.get(field), field, "TYPE_MESSAGE", Value::as_array)?;
        Ok(list.map_or(&[], Vec::as_slice))
    }
}

fn typed<'a, T>(
    value: Option<&'a Value>,
    field: &str,
    kind: &str,
    read: impl Fn(&'a Value) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    value
        .map(|value| {
            read(value).ok_or_else(|| errors::invalid_value(field, kind, &value.to_string()))
        })
        .transpose()
}

/// A whole number; protobuf takes it as text, too.
pub(super) fn integer(value: &Value) -> Option<i64> {
    let whole = |number: f64| (number.fract() == 0.0).then_some(number as i64);
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// How long a vector is to be. `field` is what Google calls it.
pub(super) fn dimensions(value: Option<&Value>, field: &str) -> Result<usize, ApiError> {
    let value = value.filter(|value| !value.is_null());
    let Some(number) = typed(value, field, "TYPE_INT32", integer)? else {
        return Ok(MAX_DIMENSIONS);
    };
    usize::try_from(number)
        .ok()
        .filter(|number| (1..=MAX_DIMENSIONS).contains(number))
        .ok_or_else(errors::invalid_argument)
}

/// Whether one call may embed so many texts.
pub(super) fn check_texts(count: usize) -> Result<(), ApiError> {
    match count {
        0 => Err(errors::invalid_argument()),
        1..=MAX_TEXTS => Ok(()),
        _ => Err(errors::too_many_embeddings()),
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Body;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Body(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// The text of a message, of contents or of a part: whatever is below `content`, `parts` and `text`.
pub(super) fn text_of(value: &Value) -> String {
    let mut text = String::new();
    collect(value, &mut text);
    text
}

/// The tokens of some text that is to be read by the model.
pub(super) fn tokens_in(values: &[Value]) -> u64 {
    values
        .iter()
        .map(|value| tokens_of(text_of(value).len()))
        .fold(0, u64::saturating_add)
}

/// Goes no deeper than the parser did.
fn collect(value: &Value, text: &mut String) {
    match value {
        Value::String(part) => text.push_str(part),
        Value::Array(parts) => parts.iter().for_each(|part| collect(part, text)),
        Value::Object(fields) => ["content", "parts", "text"]
            .iter()
            .filter_map(|name| fields.get(*name))
            .for_each(|part| collect(part, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The fields that may name a file: Google's, in both of protobuf's spellings, and OpenAI's.
const FILE_FIELDS: [&str; 9] = [
    "fileUri",
    "file_uri",
    "fileName",
    "file_name",
    "fileId",
    "file_id",
    "input_file_id",
    "uri",
    "url",
];

/// What a request names that has to be its project's own, wherever it does.
pub(super) fn references(body: &Body) -> References {
    let mut files = Vec::new();
    for (name, value) in &body.0 {
        collect_files(name, value, &mut files);
    }
    References {
        files,
        cached_content: None,
    }
}

/// The name of a cache, in its whole length.
pub(super) fn cache_name(value: &Value) -> Option<String> {
    let name = value.as_str().filter(|name| !name.is_empty())?;
    let id = name.strip_prefix("cachedContents/").unwrap_or(name);
    Some(format!("cachedContents/{id}"))
}

fn collect_files(name: &str, value: &Value, files: &mut Vec<String>) {
    match value {
        Value::String(text) if FILE_FIELDS.contains(&name) => files.extend(file_in(text)),
        Value::Array(values) => {
            for value in values {
                collect_files(name, value, files);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                collect_files(name, value, files);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The name of the file that is meant by its name, or by its address on whatever host. `None` for the addresses of
/// others, such as those of videos.
fn file_in(text: &str) -> Option<String> {
    let is_file = |prefix: &str| {
        prefix.is_empty()
            || VERSIONS.iter().any(|version| {
                let before = prefix.strip_suffix(version);
                before.is_some_and(|before| before.ends_with('/'))
            })
    };
    let (prefix, id) = match text.strip_prefix("files/") {
        Some(id) => ("", id),
        None => text.rsplit_once("/files/")?,
    };
    let id = id.split([':', '?']).next().unwrap_or_default();
    (is_file(prefix) && !id.is_empty() && !id.contains('/')).then(|| format!("files/{id}"))
}

/// What Google shows of a body that it cannot read: up to 20 bytes on both sides of the place, and the characters
/// before.
fn excerpt(bytes: &[u8], line: usize, column: usize) -> (String, usize) {
    let start_of_line: usize = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    let place = (start_of_line + column.saturating_sub(1)).min(bytes.len());
    let from = place.saturating_sub(20);
    let to = (place + 20).min(bytes.len());
    let part = |from, to| {
        String::from_utf8_lossy(bytes.get(from..to).unwrap_or_default())
            .replace(['\n', '\r', '\t'], " ")
    };
    let before = part(from, place);
    let at = before.chars().count();
    (before + &part(place, to), at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_body_that_is_no_json_is_shown_where_it_stops_to_be() {
        let error = Body::parse(b"{\"model\": nonsense}").unwrap_err();
        assert_eq!(
            error.message(),
            "Invalid JSON payload received. Unexpected token.\n{\"model\": nonsense}\n           ^"
        );
        let empty = Body::parse(b"").unwrap_err();
        assert!(empty.message().ends_with("token.\n\n^"), "{empty:?}");
        let array = Body::parse(b"[]").unwrap_err();
        assert!(
            array.message().contains("Root element must be a message."),
            "{array:?}"
        );
    }

    #[test]
    fn text_is_found_in_every_shape_of_a_message() {
        for (json, text) in [
            (r#""a""#, "a"),
            (r#"{"role":"user","content":"ab"}"#, "ab"),
            (
                r#"{"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}},{"text":"b"}]}"#,
                "ab",
            ),
            (
                r#"{"role":"user","parts":[{"text":"a"},{"text":"b"}]}"#,
                "ab",
            ),
            ("7", ""),
        ] {
            assert_eq!(
                text_of(&serde_json::from_str(json).unwrap()),
                text,
                "{json}"
            );
        }
    }

    #[test]
    fn files_are_named_by_name_or_address_and_by_nothing_else() {
        for (text, file) in [
            ("files/a-1", Some("files/a-1")),
            ("https://example.com/v1beta/files/a", Some("files/a")),
            (
                "http://127.0.0.1:8/v1alpha/files/a:download?alt=media",
                Some("files/a"),
            ),
            ("https://example.com/watch/files/a", None),
            ("https://example.com/xv1beta/files/a", None),
            ("https://example.com/v1beta/files/", None),
            ("files/a/b", None),
            ("a", None),
        ] {
            assert_eq!(file_in(text).as_deref(), file, "{text}");
        }
        let body = r#"{"contents":[{"parts":[{"text":"files/t"},{"fileData":{"fileUri":"files/a"}},
            {"file_data":{"file_uri":"files/b"}}]}],"batch":{"inputConfig":{"fileName":"files/c"}}}"#;
        let found = references(&Body::parse(body.as_bytes()).unwrap());
        assert_eq!(found.files, ["files/a", "files/b", "files/c"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_body_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(error) = Body::parse(&bytes) {
                prop_assert_eq!(error.code(), 400);
            }
        }

        #[test]
        fn any_text_is_a_body_or_an_error(text in "[\\{\\}\\[\\]\",:a-zé\n 0-9]{0,60}") {
            if let Err(error) = Body::parse(text.as_bytes()) {
                prop_assert_eq!(error.code(), 400);
            }
        }
    }
}
