//! Fields of a request that are refused, all in one error.

use super::{ApiError, Detail};
use serde::Serialize;

/// A field that is unknown or has another type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FieldViolation {
    /// Missing for the outermost object.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
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
            field: (!path.is_empty()).then(|| path.to_owned()),
            description: format!("Invalid JSON payload received. {name}"),
        }
    }

    /// A value of another type; see [`invalid_value`].
    pub(crate) fn invalid(field: &str, kind: &str, value: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            description: format!("Invalid value at '{field}' ({kind}), {value}"),
        }
    }
}

/// All violations of a request.
pub(crate) fn invalid_fields(field_violations: Vec<FieldViolation>) -> ApiError {
    let lines: Vec<&str> = field_violations
        .iter()
        .map(|violation| violation.description.as_str())
        .collect();
    ApiError::new(400, "INVALID_ARGUMENT", lines.join("\n"))
        .with(Detail::BadRequest { field_violations })
}

/// Unknown fields of the outermost object.
pub fn unknown_fields(names: &[&str]) -> ApiError {
    let unknown = |name: &&str| FieldViolation::unknown("", name);
    invalid_fields(names.iter().map(unknown).collect())
}

/// An unknown field of the object at `path`.
pub fn unknown_field_in(path: &str, name: &str) -> ApiError {
    invalid_fields(vec![FieldViolation::unknown(path, name)])
}

/// A value of another type. `kind` is the expected one, such as `TYPE_BOOL`; `value` is JSON.
pub fn invalid_value(field: &str, kind: &str, value: &str) -> ApiError {
    invalid_fields(vec![FieldViolation::invalid(field, kind, value)])
}

/// A body that is JSON but not an object.
pub fn not_an_object() -> ApiError {
    let root = "Unknown name \"\": Root element must be a message.";
    invalid_fields(vec![FieldViolation {
        field: None,
        description: format!("Invalid JSON payload received. {root}"),
    }])
}
