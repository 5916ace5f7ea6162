//! Shapes of JSON, and the errors for fields that do not fit, all of them in one error.

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
