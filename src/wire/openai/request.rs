//! Skims chat completion requests: validates them, and finds the model and where to insert a
//! default.
//!
//! The body is checked as JSON but never rebuilt. A missing `model` is spliced into the caller's
//! bytes, so that unknown fields, number formats and key order reach the upstream as they were
//! sent.

use crate::wire::json::{Members, Name, Patch, find, parse, read};
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Why a body is not a chat completion request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// Invalid JSON, or a repeated field. The parser's message contains the line and column, but no
    /// content except the name of the repeated field.
    #[error("the request body is not valid JSON: {0}")]
    Json(String),
    /// Valid JSON, but not an object.
    #[error("the request body must be a JSON object")]
    NotAnObject,
    /// `messages` is missing or not an array.
    #[error("`messages` must be an array")]
    Messages,
    /// `model` is present but not a string.
    #[error("`model` must be a string")]
    Model,
}

impl InvalidRequest {
    /// The field at fault, for `param` of the error envelope.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Self::Json(_) | Self::NotAnObject => None,
            Self::Messages => Some("messages"),
            Self::Model => Some("model"),
        }
    }
}

/// A validated chat completion request, ready to be sent any number of times.
#[derive(Debug, PartialEq, Eq)]
pub struct ChatRequest {
    /// The model requested from the upstream.
    pub model: String,
    /// The body to send: the caller's bytes, with the model inserted if it was missing.
    pub body: Vec<u8>,
    /// Whether the answer may be streamed.
    pub stream: bool,
    /// Whether a stream should report its usage.
    pub include_usage: bool,
}

#[derive(Default)]
struct Fields<'a> {
    model: Option<&'a RawValue>,
    messages: Option<&'a RawValue>,
    stream: Option<&'a RawValue>,
    stream_options: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Name(name)) = members.next_key()? {
            match &*name {
                "model" if fields.model.is_some() => {
                    return Err(de::Error::duplicate_field("model"));
                }
                "messages" if fields.messages.is_some() => {
                    return Err(de::Error::duplicate_field("messages"));
                }
                "model" => fields.model = Some(members.next_value()?),
                "messages" => fields.messages = Some(members.next_value()?),
                // Repeated fields are up to the upstream; most parsers use the last one.
                "stream" => fields.stream = Some(members.next_value()?),
                "stream_options" => fields.stream_options = Some(members.next_value()?),
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

impl ChatRequest {
    /// Validates `body`, and inserts `default_model` if `model` is missing, null or empty.
    ///
    /// # Errors
    /// See [`InvalidRequest`].
    pub fn parse(body: Vec<u8>, default_model: &str) -> Result<Self, InvalidRequest> {
        // The parser skips strings without checking them, and the upstream's 400 would be
        // confusing.
        let text = std::str::from_utf8(&body)
            .map_err(|_| InvalidRequest::Json("it is not UTF-8".to_owned()))?;
        let first = text.find(|c| !matches!(c, ' ' | '\t' | '\r' | '\n'));
        let Some(open) = first.filter(|at| body.get(*at) == Some(&b'{')) else {
            return Err(match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => InvalidRequest::NotAnObject,
                Err(error) => InvalidRequest::Json(error.to_string()),
            });
        };
        let fields: Fields<'_> =
            serde_json::from_str(text).map_err(|error| InvalidRequest::Json(error.to_string()))?;
        let is_array = |messages: &RawValue| messages.get().starts_with('[');
        if !fields.messages.is_some_and(is_array) {
            return Err(InvalidRequest::Messages);
        }
        // Accepting or refusing a value that is not a boolean is up to the upstream.
        let stream = fields
            .stream
            .is_some_and(|stream| !["false", "null"].contains(&stream.get()));
        let include_usage = fields
            .stream_options
            .and_then(read::<StreamOptions>)
            .is_some_and(|options| options.include_usage == Some(true));
        let asked: Option<String> = match fields.model.map(RawValue::get) {
            None => None,
            Some(raw) => serde_json::from_str(raw).map_err(|_| InvalidRequest::Model)?,
        };
        if let Some(model) = asked.filter(|model| !model.trim().is_empty()) {
            return Ok(Self {
                model,
                body,
                stream,
                include_usage,
            });
        }
        let json_model = serde_json::Value::from(default_model).to_string();
        let mut patch = Patch::of(&body);
        let object = text.get(open..).unwrap_or_default();
        patch.set(object, "model", fields.model, &json_model);
        let edits = patch.into_edits();
        Ok(Self {
            model: default_model.to_owned(),
            body: edits.apply(body),
            stream,
            include_usage,
        })
    }
}

/// Returns the model named by a JSON body, if any.
pub fn model_of(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        model: Option<String>,
    }
    let named: Named = parse(body)?;
    named.model.filter(|model| !model.trim().is_empty())
}

/// Whether an embeddings request asks for base64.
pub fn asks_for_base64(body: &[u8]) -> bool {
    parse(body).is_some_and(|Members(members)| {
        find(&members, "encoding_format")
            .and_then(read::<Cow<'_, str>>)
            .is_some_and(|format| format == "base64")
    })
}

#[cfg(test)]
mod tests;
