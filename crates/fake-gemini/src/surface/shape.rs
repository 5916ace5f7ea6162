//! What a request may be made of, and Google's complaints about everything else: all of them in one error.

use super::Strictness;
use super::input::{Body, integer};
use crate::errors::{ApiError, FieldViolation, invalid_fields};
use serde_json::{Map, Value};

/// What a value may be. As a field, `null` is as good as none.
#[derive(Debug)]
pub(super) enum Shape {
    Text,
    Flag,
    /// Protobuf takes numbers as text, too.
    Number,
    Integer,
    /// An object with these fields.
    Object(&'static [Field]),
    /// An object with any fields.
    Open,
    List(&'static Shape),
    /// A text in short, or the other in full.
    TextOr(&'static Shape),
}

/// A field that is known, and what it may be.
pub(super) type Field = (&'static str, Shape);

/// Looks for fields that are not known, and for values that are something else than they may be.
pub(super) fn check(body: &Body, known: &[Field], strictness: Strictness) -> Result<(), ApiError> {
    let mut search = Search {
        strictness,
        found: Vec::new(),
    };
    for (name, value) in &body.0 {
        search.field(known, "", name, value);
    }
    if search.found.is_empty() {
        Ok(())
    } else {
        Err(invalid_fields(search.found))
    }
}

struct Search {
    strictness: Strictness,
    found: Vec<FieldViolation>,
}

impl Search {
    fn field(&mut self, known: &[Field], path: &str, name: &str, value: &Value) {
        let within = match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        match known.iter().find(|(known, _)| *known == name) {
            Some(_) if value.is_null() => {}
            Some((_, shape)) => self.value(shape, &within, value),
            None if self.strictness == Strictness::Refuse => {
                self.found.push(FieldViolation::unknown(path, name));
            }
            None => {}
        }
    }

    fn object(&mut self, known: &[Field], path: &str, fields: &Map<String, Value>) {
        for (name, value) in fields {
            self.field(known, path, name, value);
        }
    }

    /// Goes no deeper than the shapes do.
    fn value(&mut self, shape: &Shape, path: &str, value: &Value) {
        match (shape, value) {
            (Shape::Object(known), Value::Object(fields)) => self.object(known, path, fields),
            (Shape::List(shape), Value::Array(values)) => {
                for (index, value) in values.iter().enumerate() {
                    self.value(shape, &format!("{path}[{index}]"), value);
                }
            }
            (Shape::TextOr(other), value) if !value.is_string() => self.value(other, path, value),
            (shape, value) if shape.fits(value) => {}
            (shape, value) => {
                let value = value.to_string();
                let found = FieldViolation::invalid(path, shape.kind(), &value);
                self.found.push(found);
            }
        }
    }
}

impl Shape {
    /// Whether the value itself is of that kind, whatever is in it.
    fn fits(&self, value: &Value) -> bool {
        match self {
            Self::Text | Self::TextOr(_) => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Number => value.is_number() || value.as_str().is_some_and(is_number),
            Self::Integer => integer(value).is_some(),
            Self::Object(_) | Self::Open => value.is_object(),
            Self::List(_) => value.is_array(),
        }
    }

    /// What Google calls it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Text | Self::TextOr(_) => "TYPE_STRING",
            Self::Flag => "TYPE_BOOL",
            Self::Number => "TYPE_FLOAT",
            Self::Integer => "TYPE_INT32",
            Self::Object(_) | Self::Open | Self::List(_) => "TYPE_MESSAGE",
        }
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}
