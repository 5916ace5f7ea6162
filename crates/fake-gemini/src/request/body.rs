//! A JSON body and what is found in it.

use crate::answer::estimate_tokens;
use crate::errors::{self, ApiError};
use crate::json::snake_case;
use serde_json::{Map, Value};

/// How much of an invalid body an error shows.
const EXCERPT: usize = 40;

/// The fields that may name a file: Google's in both spellings, and OpenAI's.
const FILE_FIELDS: [&str; 6] = [
    "fileUri",
    "file_uri",
    "file_id",
    "input_file_id",
    "uri",
    "url",
];

/// The outermost object.
#[derive(Debug)]
pub(crate) struct Body(pub(super) Map<String, Value>);

impl Body {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        let fields = serde_json::from_slice(bytes).map_err(|error| {
            if error.is_data() {
                return errors::not_an_object();
            }
            let text = String::from_utf8_lossy(bytes);
            let excerpt: String = text.chars().take(EXCERPT).collect();
            errors::invalid_json(&excerpt, 0)
        })?;
        Ok(Self(fields))
    }

    /// A field; `null` is as good as none.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A field in either spelling of protobuf's JSON; `null` if there is none.
    pub(super) fn either(&self, camel_case: &str) -> &Value {
        let field = self.get(camel_case);
        field
            .or_else(|| self.get(&snake_case(camel_case)))
            .unwrap_or(&Value::Null)
    }

    /// A string that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text = self.get(name)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub(super) fn list(&self, name: &str) -> Result<&[Value], ApiError> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(values)) => Ok(values),
            Some(value) => {
                let value = value.to_string();
                Err(errors::invalid_value(name, "TYPE_MESSAGE", &value))
            }
        }
    }

    /// The names of all files in the request, wherever they are.
    pub(super) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for (name, value) in &self.0 {
            collect_files(name, value, &mut files);
        }
        files
    }
}

/// A whole number; protobuf accepts it as text, too.
pub(super) fn integer(value: &Value) -> Option<i64> {
    let whole = |number: f64| (number.fract() == 0.0).then_some(number as i64);
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64().or_else(|| value.as_f64().and_then(whole)),
    }
}

/// The name of a cache with its prefix.
pub(super) fn cache_name(value: &Value) -> Option<String> {
    let name = value.as_str().filter(|name| !name.is_empty())?;
    let id = name.strip_prefix("cachedContents/").unwrap_or(name);
    Some(format!("cachedContents/{id}"))
}

/// The text of a message, of contents or of a part.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(text_of).collect(),
        Value::Object(fields) => ["content", "parts", "text"]
            .iter()
            .filter_map(|name| fields.get(*name))
            .map(text_of)
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    }
}

/// The tokens of the model's input.
pub(super) fn tokens_in(values: &[Value]) -> u64 {
    let tokens = values
        .iter()
        .map(|value| estimate_tokens(text_of(value).len()));
    tokens.sum()
}

fn collect_files(name: &str, value: &Value, files: &mut Vec<String>) {
    match value {
        Value::String(text) if FILE_FIELDS.contains(&name) => files.extend(file_name(text)),
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

/// The name of a file that is given by name or by its address on any host; `None` for other
/// addresses, such as those of videos.
fn file_name(text: &str) -> Option<String> {
    let id = match text.strip_prefix("files/") {
        Some(id) => id,
        None => text.rsplit_once("/v1beta/files/")?.1,
    };
    let id = id.split([':', '?']).next().unwrap_or_default();
    (!id.is_empty() && !id.contains('/')).then(|| format!("files/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_name_and_by_address() {
        for (text, file) in [
            ("files/a-1", Some("files/a-1")),
            ("https://example.com/v1beta/files/a", Some("files/a")),
            (
                "http://127.0.0.1:8/v1beta/files/a:download?alt=media",
                Some("files/a"),
            ),
            ("https://example.com/watch/files/a", None),
            ("data:image/png;base64,AA==", None),
        ] {
            assert_eq!(file_name(text).as_deref(), file, "{text}");
        }
    }
}
