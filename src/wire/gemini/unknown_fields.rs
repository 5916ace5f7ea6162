//! Finds the unknown fields that a 400 from Google names.
//!
//! Each has a line such as `Invalid JSON payload received. Unknown name "seed": Cannot find
//! field.`; nested fields are followed by a path, as in ` at 'tools[0].function'`.

use super::ApiError;

const BEFORE: &str = "Invalid JSON payload received. Unknown name \"";
const AFTER: &str = ": Cannot find field.";

/// An unknown field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownField {
    /// The path of the object with the field, such as `tools[0].function`; empty for the body.
    pub path: String,
    /// The name of the field.
    pub name: String,
}

/// Returns the unknown fields named by an error; empty if the error reports anything else as well.
pub fn unknown_fields(error: &ApiError) -> Vec<UnknownField> {
    let message = error.message.as_deref().unwrap_or_default();
    let fields: Option<Vec<UnknownField>> = message.lines().map(field).collect();
    fields.unwrap_or_default()
}

fn field(line: &str) -> Option<UnknownField> {
    let (name, path) = line
        .strip_prefix(BEFORE)?
        .strip_suffix(AFTER)?
        .split_once('"')?;
    let path = match path {
        "" => "",
        path => path.strip_prefix(" at '")?.strip_suffix('\'')?,
    };
    (!name.is_empty()).then(|| UnknownField {
        path: path.to_owned(),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fake_gemini::errors;

    fn of(message: &str) -> Vec<(String, String)> {
        let error = ApiError {
            message: Some(message.to_owned()),
            ..ApiError::default()
        };
        unknown_fields(&error)
            .into_iter()
            .map(|field| (field.path, field.name))
            .collect()
    }

    #[test]
    fn finds_a_field_in_each_line() {
        let owned = |path: &str, name: &str| (path.to_owned(), name.to_owned());
        for (error, expected) in [
            (
                errors::unknown_fields(&["frequency_penalty", "seed"]),
                vec![owned("", "frequency_penalty"), owned("", "seed")],
            ),
            (
                errors::unknown_field_in("tools[0].function", "strict"),
                vec![owned("tools[0].function", "strict")],
            ),
        ] {
            let parsed = ApiError::parse(error.pretty_array().as_bytes());
            assert_eq!(of(parsed.message.as_deref().unwrap()), expected);
        }
    }

    #[test]
    fn mixed_errors_yield_no_fields() {
        for message in [
            "",
            "Request contains an invalid argument.",
            "Invalid JSON payload received. Unknown name \"\": Root element must be a message.",
            "Invalid JSON payload received. Unknown name \"a\": Cannot find field.\nInvalid value at 'b'",
            "he said: Invalid JSON payload received. Unknown name \"a\": Cannot find field.",
        ] {
            assert_eq!(of(message), [], "{message}");
        }
    }
}
