//! The three ways in which Google writes JSON.
//!
//! Clients stumble over framing, not over content, so the bytes are those recorded from the API. Field order comes
//! from the order of struct fields; [`Fields`] is for objects whose names are data.
//!
//! | style | where |
//! |---|---|
//! | compact | successes of the OpenAI-compatible surface |
//! | pretty, two blanks a level | whole native answers, and all errors |
//! | one line, a blank after each colon | events of native streams |

use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;
use std::io;

/// Without any white space.
pub(crate) fn compact(value: &impl Serialize) -> String {
    // Nothing here has keys other than strings, which is all that could fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// Indented by two blanks, without a line feed at the end.
pub(crate) fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// In one line, with a blank after each colon and none after commas.
pub(crate) fn spaced(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8(bytes).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// `json` with `<` and `>` escaped, as Google's errors have them. Both occur in strings alone.
pub(crate) fn without_brackets(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e")
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// An object that keeps the order of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fields(pub(crate) Vec<(&'static str, String)>);

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_style_has_its_own_white_space() {
        #[derive(Serialize)]
        struct Sample {
            b: Vec<u8>,
            a: Fields,
        }
        let sample = Sample {
            b: vec![1, 2],
            a: Fields(vec![("z", "\n\"".into()), ("y", String::new())]),
        };
        assert_eq!(compact(&sample), r#"{"b":[1,2],"a":{"z":"\n\"","y":""}}"#);
        assert_eq!(
            spaced(&sample),
            r#"{"b": [1,2],"a": {"z": "\n\"","y": ""}}"#
        );
        assert_eq!(
            pretty(&sample),
            "{\n  \"b\": [\n    1,\n    2\n  ],\n  \"a\": {\n    \"z\": \"\\n\\\"\",\n    \"y\": \"\"\n  }\n}"
        );
    }
}
