//! The ways in which Google reads and writes JSON.
//!
//! | style | where |
//! |---|---|
//! | compact | successes of the compatible surface |
//! | pretty, two spaces per level | whole native answers and all errors |
//! | one line, a space after each colon | events of native streams |
//!
//! Clients stumble over framing, so whitespace is as recorded from the API. Keys are sorted, which
//! is recorded of the compatible surface only.

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::Formatter;
use std::io;

/// A field in either spelling of protobuf's JSON, such as `fileUri` and `file_uri`; `null` if there
/// is none.
pub(crate) fn either<'a>(value: &'a Value, camel_case: &str) -> &'a Value {
    match &value[camel_case] {
        Value::Null => &value[snake_case(camel_case)],
        field => field,
    }
}

/// The name of a field as it is declared in protobuf, of either spelling.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake_case = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake_case.push('_');
        }
        snake_case.push(letter.to_ascii_lowercase());
    }
    snake_case
}

/// Without whitespace.
pub(crate) fn compact(value: &impl Serialize) -> String {
    // Fails only for keys that are not strings, of which there are none here.
    serde_json::to_string(value).unwrap_or_default()
}

/// Indented, without a line feed at the end.
pub(crate) fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// On one line, with a space after each colon and none after commas.
pub(crate) fn spaced(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8(bytes).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
