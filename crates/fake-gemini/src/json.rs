//! The ways in which Google writes JSON.
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
use serde_json::ser::Formatter;
use std::io;

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
