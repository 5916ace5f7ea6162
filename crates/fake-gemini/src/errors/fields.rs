//! Fields of a request that are refused, all in one error.

use super::{ApiError, detail};
use serde_json::{Value, json};

/// A field that is unknown or has another type.
#[derive(Debug)]
pub(crate) struct FieldViolation {
    /// Empty for the outermost object.
    field: String,
    description: String,
}

impl FieldViolation {
    /// A field that the object at `path` does not have; the outermost object has an empty path.
    pub(crate) fn unknown(path: &str, name: &str) -> Self {
        let place = match path {
            "" => String::new(),
            path => format!(" at '{path}'"),
        };
        let name = format!("Unknown name \"{name}\"{place}: Cannot find field.");
        Self {
            field: path.to_owned(),
            description: format!("Invalid JSON payload received. {name}"),
        }
    }

    /// A value of another type; see [`invalid_value`].
    pub(crate) fn invalid(field: &str, kind: &str, value: &str) -> Self {
        Self {
            field: field.to_owned(),
            description: format!("Invalid value at '{field}' ({kind}), {value}"),
        }
    }

    /// A list where one value belongs.
    pub(crate) fn repeated(path: &str, name: &str) -> Self {
        let unknown = Self::unknown(path, name);
        let cause = "Proto field is not repeating, cannot start list.";
        let description = unknown.description.replace("Cannot find field.", cause);
        Self {
            description,
            ..unknown
        }
    }

    /// Bytes that are not base64.
    pub(crate) fn not_base64(field: &str, text: &str) -> Self {
        let cause = format!("Base64 decoding failed for \"{text}\"");
        Self::invalid(field, "TYPE_BYTES", &cause)
    }

    /// A part with more than one kind of data.
    pub(crate) fn second_of_one(field: &str, name: &str) -> Self {
        let description = format!(
            "Invalid value at '{field}' (oneof), oneof field 'data' is already set. Cannot set \
             '{name}'"
        );
        Self {
            field: field.to_owned(),
            description,
        }
    }

    fn json(&self) -> Value {
        match self.field.as_str() {
            "" => json!({"description": self.description}),
            field => json!({"field": field, "description": self.description}),
        }
    }
}

/// All violations of a request.
pub(crate) fn invalid_fields(violations: &[FieldViolation]) -> ApiError {
    let lines = violations
        .iter()
        .map(|violation| violation.description.as_str());
    let message = lines.collect::<Vec<_>>().join("\n");
    let violations: Value = violations.iter().map(FieldViolation::json).collect();
    let violations = json!({"fieldViolations": violations});
    ApiError::new(400, "INVALID_ARGUMENT", message).with(detail("BadRequest", violations))
}

/// Unknown fields of the outermost object.
pub fn unknown_fields(names: &[&str]) -> ApiError {
    let violations = names.iter().map(|name| FieldViolation::unknown("", name));
    invalid_fields(&violations.collect::<Vec<_>>())
}

/// An unknown field of the object at `path`.
pub fn unknown_field_in(path: &str, name: &str) -> ApiError {
    invalid_fields(&[FieldViolation::unknown(path, name)])
}

/// A value of another type. `kind` is the expected one, such as `TYPE_BOOL`; `value` is JSON.
pub fn invalid_value(field: &str, kind: &str, value: &str) -> ApiError {
    invalid_fields(&[FieldViolation::invalid(field, kind, value)])
}

/// A body that is JSON but not an object.
pub fn not_an_object() -> ApiError {
    let root = "Unknown name \"\": Root element must be a message.";
    invalid_fields(&[FieldViolation {
        field: String::new(),
        description: format!("Invalid JSON payload received. {root}"),
    }])
}
