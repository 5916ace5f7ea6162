//! The fields of requests on the compatible surface, and the errors for everything else, all of
//! them in one error.
//!
//! The fields are those that are documented or were seen to be accepted, and what Gemini adds to
//! its own answers, which clients send back. `frequency_penalty`, `seed`, `top_k`, `reasoning` and
//! `google` are refused: users have reported the error for each.

use super::body::{Body, integer};
use crate::errors::{ApiError, FieldViolation, invalid_fields};
use Shape::{Flag, Integer, List, Number, Object, Open, Text, TextOr};
use serde_json::{Map, Value};

/// What to do with unknown fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownFields {
    Refuse,
    Ignore,
}

/// A known field and its shape. `null` is as good as no field.
pub(super) type Field = (&'static str, Shape);

/// The shape of a value.
#[derive(Debug)]
pub(super) enum Shape {
    Text,
    Flag,
    /// Protobuf accepts numbers as text, too.
    Number,
    Integer,
    /// An object with these fields.
    Object(&'static [Field]),
    /// An object with any fields.
    Open,
    List(&'static Shape),
    /// A text as a shorthand for something else.
    TextOr(&'static Shape),
}

pub(super) const CHAT: &[Field] = &[
    ("model", Text),
    ("messages", List(&Object(MESSAGE))),
    ("stream", Flag),
    ("stream_options", Object(&[("include_usage", Flag)])),
    ("n", Integer),
    ("temperature", Number),
    ("top_p", Number),
    ("max_tokens", Integer),
    ("max_completion_tokens", Integer),
    ("stop", TextOr(&List(&Text))),
    ("tools", List(&Object(TOOL))),
    ("tool_choice", TextOr(&Open)),
    ("parallel_tool_calls", Flag),
    ("response_format", Open),
    ("reasoning_effort", Text),
    ("service_tier", Text),
    ("extra_body", Object(&[("google", Open)])),
];

pub(super) const EMBEDDING: &[Field] = &[
    ("model", Text),
    ("input", TextOr(&List(&Text))),
    ("encoding_format", Text),
    ("dimensions", Integer),
];

pub(super) const IMAGES: &[Field] = &[
    ("model", Text),
    ("prompt", Text),
    ("n", Integer),
    ("size", Text),
    ("response_format", Text),
    ("extra_body", Object(&[("google", Open)])),
];

pub(super) const BATCH: &[Field] = &[
    ("input_file_id", Text),
    ("endpoint", Text),
    ("completion_window", Text),
    ("metadata", Open),
];

const MESSAGE: &[Field] = &[
    ("role", Text),
    ("content", TextOr(&List(&Object(PART)))),
    ("name", Text),
    ("tool_calls", List(&Object(TOOL_CALL))),
    ("tool_call_id", Text),
    ("extra_content", Open),
    ("thought_signature", Text),
];

const PART: &[Field] = &[
    ("type", Text),
    ("text", Text),
    ("image_url", Open),
    ("input_audio", Open),
    // How files are named here is not documented: OpenAI's way and Google's.
    ("file", Open),
    ("file_data", Open),
];

const TOOL_CALL: &[Field] = &[
    ("id", Text),
    ("type", Text),
    ("function", Object(&[("name", Text), ("arguments", Text)])),
    ("extra_content", Open),
];

const TOOL: &[Field] = &[("type", Text), ("function", Object(FUNCTION))];

const FUNCTION: &[Field] = &[
    ("name", Text),
    ("description", Text),
    ("parameters", Open),
    ("strict", Flag),
];

/// Refuses unknown fields and values of another shape.
pub(super) fn check(body: &Body, known: &[Field], unknown: UnknownFields) -> Result<(), ApiError> {
    let mut check = Check {
        unknown,
        violations: Vec::new(),
    };
    check.object(known, "", &body.0);
    match check.violations.is_empty() {
        true => Ok(()),
        false => Err(invalid_fields(&check.violations)),
    }
}

struct Check {
    unknown: UnknownFields,
    violations: Vec<FieldViolation>,
}

impl Check {
    fn object(&mut self, known: &[Field], path: &str, fields: &Map<String, Value>) {
        for (name, value) in fields {
            let inner = match path {
                "" => name.clone(),
                path => format!("{path}.{name}"),
            };
            match known.iter().find(|(known, _)| known == name) {
                Some(_) if value.is_null() => {}
                Some((_, shape)) => self.value(shape, &inner, value),
                None if self.unknown == UnknownFields::Refuse => {
                    self.violations.push(FieldViolation::unknown(path, name));
                }
                None => {}
            }
        }
    }

    /// Recurses no deeper than the shapes do.
    fn value(&mut self, shape: &Shape, path: &str, value: &Value) {
        match (shape, value) {
            (Object(known), Value::Object(fields)) => self.object(known, path, fields),
            (List(shape), Value::Array(values)) => {
                for (index, value) in values.iter().enumerate() {
                    self.value(shape, &format!("{path}[{index}]"), value);
                }
            }
            (TextOr(other), value) if !value.is_string() => self.value(other, path, value),
            (shape, value) if shape.accepts(value) => {}
            (shape, value) => {
                let value = value.to_string();
                let violation = FieldViolation::invalid(path, shape.kind(), &value);
                self.violations.push(violation);
            }
        }
    }
}

impl Shape {
    fn accepts(&self, value: &Value) -> bool {
        match self {
            Text | TextOr(_) => value.is_string(),
            Flag => value.is_boolean(),
            Number => value.is_number() || value.as_str().is_some_and(is_number),
            Integer => integer(value).is_some(),
            Object(_) | Open => value.is_object(),
            List(_) => value.is_array(),
        }
    }

    /// The name of the type in errors.
    fn kind(&self) -> &'static str {
        match self {
            Text | TextOr(_) => "TYPE_STRING",
            Flag => "TYPE_BOOL",
            Number => "TYPE_FLOAT",
            Integer => "TYPE_INT32",
            Object(_) | Open | List(_) => "TYPE_MESSAGE",
        }
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}
