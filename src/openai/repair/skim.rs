//! The parts of an answer that may need mending, found in one pass over its text.
//!
//! Values stay unread, so that their place in the text is known, and a chunk of plain text costs no more than this pass
//! and the list of its choices. A part of an unexpected type, or a name of these that is given twice, makes the whole
//! unreadable, and it passes as it is: nobody knows what a client takes it for.

use crate::skim::{raw, read};
use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// An unread value; `None` if it is not there. Null is a value.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// A completion, or a chunk of one.
#[derive(Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) id: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) object: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) created: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) model: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) usage: Raw<'a>,
    #[serde(borrow)]
    pub(super) choices: Option<Vec<Object<Choice<'a>>>>,
}

/// One of an answer's choices.
#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    /// Which one it is; `None` counts as the first.
    pub(super) index: Option<u32>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) finish_reason: Raw<'a>,
    /// Of a batch output, which has its names in camel case.
    #[serde(rename = "finishReason")]
    pub(super) camel_case: Option<IgnoredAny>,
    /// Of a chunk.
    #[serde(borrow)]
    pub(super) delta: Option<Object<Said<'a>>>,
    /// Of a whole completion: to be read as [`Said`].
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) message: Raw<'a>,
}

/// A message or a delta.
#[derive(Deserialize)]
pub(super) struct Said<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) content: Raw<'a>,
    /// To be read as a list of [`ToolCall`]s.
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) tool_calls: Raw<'a>,
}

/// A tool call, or a part of one.
#[derive(Deserialize)]
pub(super) struct ToolCall<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) index: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) id: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw", rename = "type")]
    pub(super) kind: Raw<'a>,
    #[serde(borrow)]
    pub(super) function: Option<Object<Function<'a>>>,
}

/// The function of a tool call.
#[derive(Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) name: Raw<'a>,
}

impl Answer<'_> {
    /// Whether it says to be of this kind, or has choices and does not say.
    pub(super) fn is(&self, kind: &str) -> bool {
        if is_blank(self.object) {
            self.choices.is_some()
        } else {
            is_text(self.object, kind)
        }
    }
}

impl<'a> Said<'a> {
    /// Its tool calls, unread.
    pub(super) fn tool_calls(&self) -> Vec<&'a RawValue> {
        self.tool_calls.and_then(read).unwrap_or_default()
    }
}

/// Reads an object; `None` if the text is none, or not of this kind.
pub(super) fn read_object<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    serde_json::from_str(json).ok().map(|Object(object)| object)
}

/// Text that may hold JSON, without the blanks around it; `None` if it is no text.
pub(super) fn text_of(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.trim_matches([' ', '\t', '\r', '\n']))
}

/// Absent, null or an empty text.
pub(super) fn is_blank(value: Raw<'_>) -> bool {
    value.is_none_or(|value| matches!(value.get(), "null" | "\"\""))
}

/// A value that is a text; an absent one is an empty text, and so is null.
pub(super) fn text_or_blank(value: Raw<'_>) -> Option<Cow<'_, str>> {
    match value {
        Some(value) if !is_blank(Some(value)) => read(value).map(|Text(text)| text),
        Some(_) | None => Some(Cow::Borrowed("")),
    }
}

pub(super) fn is_text(value: Raw<'_>, expected: &str) -> bool {
    text_or_blank(value).is_some_and(|text| text == expected)
}

/// Borrows a text that holds no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value that is an object in the text, too: a list of its fields would be read as well, and nothing could be put into
/// it by name.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(ObjectVisitor(PhantomData))
            .map(Object)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}
