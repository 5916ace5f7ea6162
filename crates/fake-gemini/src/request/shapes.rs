//! Shapes of JSON, and the errors for fields that do not fit, all of them in one error.

use super::body::integer;
use crate::errors::{ApiError, FieldViolation, invalid_fields};
use crate::json::snake_case;
use Shape::{Any, Bytes, Enum, Flag, Integer, List, Map, Number, Object, Open, Text, TextOr};
use serde_json::Value;

type Fields = serde_json::Map<String, Value>;

/// What to do with unknown fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownFields {
    Refuse,
    Ignore,
}

/// How the names of fields may be spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    AsListed,
    /// As listed, which is as in protobuf, or in camel case.
    Protobuf,
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
    /// Any keys, each with a value of this shape.
    Map(&'static Shape),
    /// Anything.
    Any,
    /// Base64.
    Bytes,
    /// One of these names, in capitals or not. The first text is the type.
    Enum(&'static str, &'static [&'static str]),
    List(&'static Shape),
    /// A text as a shorthand for something else.
    TextOr(&'static Shape),
}

/// Refuses unknown fields and values of another shape.
pub(super) fn check(
    body: &Fields,
    known: &[Field],
    spelling: Spelling,
    unknown: UnknownFields,
) -> Result<(), ApiError> {
    let mut check = Check {
        spelling,
        unknown,
        violations: Vec::new(),
    };
    check.object(known, "", body);
    match check.violations.is_empty() {
        true => Ok(()),
        false => Err(invalid_fields(&check.violations)),
    }
}

struct Check {
    spelling: Spelling,
    unknown: UnknownFields,
    violations: Vec<FieldViolation>,
}

impl Check {
    fn object(&mut self, known: &[Field], path: &str, fields: &Fields) {
        for (name, value) in fields {
            let listed = match self.spelling {
                Spelling::AsListed => name.clone(),
                Spelling::Protobuf => snake_case(name),
            };
            let inner = match path {
                "" => listed.clone(),
                path => format!("{path}.{listed}"),
            };
            match known.iter().find(|(known, _)| *known == listed) {
                Some(_) if value.is_null() => {}
                Some((_, shape)) if value.is_array() && !shape.repeats() => {
                    self.violations.push(FieldViolation::repeated(path, name));
                }
                Some((_, shape)) => self.value(shape, &inner, value),
                None if self.unknown == UnknownFields::Refuse => {
                    self.violations.push(FieldViolation::unknown(path, name));
                }
                None => {}
            }
        }
    }

    /// Recurses no deeper than the body, whose depth `serde_json` limits.
    fn value(&mut self, shape: &Shape, path: &str, value: &Value) {
        match (shape, value) {
            (Object(known), Value::Object(fields)) => self.object(known, path, fields),
            (Map(shape), Value::Object(fields)) => {
                // Google counts in the order of the request, which is lost here.
                for (index, value) in fields.values().enumerate() {
                    self.value(shape, &format!("{path}[{index}].value"), value);
                }
            }
            (List(shape), Value::Array(values)) => {
                for (index, value) in values.iter().enumerate() {
                    self.value(shape, &format!("{path}[{index}]"), value);
                }
            }
            (TextOr(other), value) if !value.is_string() => self.value(other, path, value),
            (Bytes, Value::String(text)) if !is_base64(text) => {
                self.violations.push(FieldViolation::not_base64(path, text));
            }
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
    /// Whether a value may be a list.
    fn repeats(&self) -> bool {
        match self {
            List(_) | Any => true,
            TextOr(other) => other.repeats(),
            Text | Flag | Number | Integer | Object(_) | Open | Map(_) | Bytes | Enum(..) => false,
        }
    }

    fn accepts(&self, value: &Value) -> bool {
        match self {
            Any => true,
            Text | TextOr(_) | Bytes => value.is_string(),
            Enum(_, names) => value
                .as_str()
                .is_some_and(|text| names.iter().any(|name| name.eq_ignore_ascii_case(text))),
            Flag => value.is_boolean(),
            Number => value.is_number() || value.as_str().is_some_and(is_number),
            Integer => integer(value).is_some(),
            Object(_) | Open | Map(_) => value.is_object(),
            List(_) => value.is_array(),
        }
    }

    /// The name of the type in errors.
    fn kind(&self) -> &'static str {
        match self {
            Text | TextOr(_) => "TYPE_STRING",
            Bytes => "TYPE_BYTES",
            Enum(kind, _) => kind,
            Flag => "TYPE_BOOL",
            Number => "TYPE_FLOAT",
            Integer => "TYPE_INT32",
            Object(_) | Open | List(_) | Map(_) | Any => "TYPE_MESSAGE",
        }
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Protobuf accepts both alphabets, with or without padding.
fn is_base64(text: &str) -> bool {
    let letters = text.trim_end_matches('=');
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    letters.len() % 4 != 1 && text.len() - letters.len() <= 2 && letters.bytes().all(is_letter)
}
