//! A look at a chat completion request: is it one, which model, and where to put the default model.
//!
//! The body is checked as JSON and skimmed, never rebuilt: a missing `model` is spliced into the caller's own bytes, so
//! that unknown fields, number formats and key order reach the upstream as they were sent.

use crate::wire::json::Patch;
use crate::wire::json::{Members, Name, find, read};
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Why a body is no chat completion request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// Not JSON at all, or a field named twice. The parser's words name line and column, never content.
    #[error("the request body is not valid JSON: {0}")]
    Json(String),
    /// JSON, but no object.
    #[error("the request body must be a JSON object")]
    NotAnObject,
    /// `messages` is missing or not an array.
    #[error("`messages` must be an array")]
    Messages,
    /// `model` is neither a string nor absent.
    #[error("`model` must be a string")]
    Model,
}

impl InvalidRequest {
    /// The field at fault, for the error envelope's `param`.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Self::Json(_) | Self::NotAnObject => None,
            Self::Messages => Some("messages"),
            Self::Model => Some("model"),
        }
    }
}

/// A chat completion request, ready to be sent as often as it takes.
#[derive(Debug, PartialEq, Eq)]
pub struct ChatRequest {
    /// The model that the upstream is asked for.
    pub model: String,
    /// The body to send: the caller's bytes, with the model put in where it was missing.
    pub body: Vec<u8>,
    /// Whether the answer may be asked for bit by bit.
    pub stream: bool,
    /// Whether the tokens of a stream are asked for.
    pub include_usage: bool,
}

#[derive(Default)]
struct Fields<'a> {
    model: Option<&'a RawValue>,
    messages: Option<IsArray>,
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
                // Given twice, they are the upstream's affair; the last one counts with most.
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
    /// Checks `body` and puts in `default_model` where `model` is missing, null or empty.
    ///
    /// # Errors
    /// See [`InvalidRequest`].
    pub fn parse(body: Vec<u8>, default_model: &str) -> Result<Self, InvalidRequest> {
        // Skipped strings are not checked by the parser, and the upstream would refuse them with a puzzling 400.
        let text = std::str::from_utf8(&body)
            .map_err(|_| InvalidRequest::Json("it is not UTF-8".to_owned()))?;
        let first = text.find(|c| !matches!(c, ' ' | '\t' | '\r' | '\n'));
        let Some(open) = first.filter(|at| body.get(*at) == Some(&b'{')) else {
            return Err(match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => InvalidRequest::NotAnObject,
                Err(error) => InvalidRequest::Json(describe(&error)),
            });
        };
        let fields: Fields<'_> =
            serde_json::from_str(text).map_err(|error| InvalidRequest::Json(describe(&error)))?;
        if !fields.messages.is_some_and(|messages| messages.0) {
            return Err(InvalidRequest::Messages);
        }
        // What is no boolean is for the upstream to refuse, or to understand.
        let stream = fields
            .stream
            .is_some_and(|stream| !["false", "null"].contains(&stream.get()));
        let include_usage = fields
            .stream_options
            .and_then(read::<StreamOptions>)
            .is_some_and(|options| options.include_usage == Some(true));
        let asked = match fields.model.map(RawValue::get) {
            None => None,
            Some("null") => None,
            Some(raw) => {
                Some(serde_json::from_str::<String>(raw).map_err(|_| InvalidRequest::Model)?)
            }
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

/// The model that a JSON body names; `None` if it names none, or is something else.
pub fn model_of(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        model: Option<String>,
    }
    let named: Named = serde_json::from_slice(body).ok()?;
    named.model.filter(|model| !model.trim().is_empty())
}

/// Whether a request for embeddings asks for the base64 of their numbers.
pub fn asks_for_base64(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|Members(members)| {
        find(&members, "encoding_format")
            .and_then(read::<Cow<'_, str>>)
            .is_some_and(|format| format == "base64")
    })
}

/// The parser's message: kind, line and column. It quotes nothing of the body but a field's name given twice.
fn describe(error: &serde_json::Error) -> String {
    error.to_string()
}

/// Whether a JSON value is an array, without keeping any of it.
struct IsArray(bool);

impl<'de> Deserialize<'de> for IsArray {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IsArrayVisitor)
    }
}

struct IsArrayVisitor;

impl<'de> Visitor<'de> for IsArrayVisitor {
    type Value = IsArray;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<IsArray, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(IsArray(true))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<IsArray, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(IsArray(false))
    }

    fn visit_bool<E>(self, _: bool) -> Result<IsArray, E> {
        Ok(IsArray(false))
    }

    fn visit_i64<E>(self, _: i64) -> Result<IsArray, E> {
        Ok(IsArray(false))
    }

    fn visit_u64<E>(self, _: u64) -> Result<IsArray, E> {
        Ok(IsArray(false))
    }

    fn visit_f64<E>(self, _: f64) -> Result<IsArray, E> {
        Ok(IsArray(false))
    }

    fn visit_str<E>(self, _: &str) -> Result<IsArray, E> {
        Ok(IsArray(false))
    }

    fn visit_unit<E>(self) -> Result<IsArray, E> {
        Ok(IsArray(false))
    }
}

#[cfg(test)]
mod tests;
