//! Looking into JSON without building it: an object's names, and its values unread.
//!
//! Nothing is copied but names with escapes, and a field of another type than expected is in nobody's way.

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Null, or a text, list or object with nothing in it.
pub(crate) fn is_empty(value: &RawValue) -> bool {
    let mut bytes = value
        .get()
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace());
    // Blanks inside a list or an object are none of its content; inside a text they are.
    match (bytes.next(), bytes.next()) {
        (Some(b'"'), Some(b'"')) => value.get().len() == 2,
        (Some(b'['), Some(b']')) | (Some(b'{'), Some(b'}')) | (Some(b'n'), _) => true,
        _ => false,
    }
}

/// The value as this type; `None` where it is of another.
pub(crate) fn read<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

/// Keeps a null, which an optional field would take for absence: its place is needed.
pub(crate) fn raw<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The value under this name unless it is null; the last one if there are several.
pub(crate) fn find<'a>(
    members: &[(Cow<'a, str>, &'a RawValue)],
    name: &str,
) -> Option<&'a RawValue> {
    let (_, value) = members.iter().rev().find(|(its, _)| its == name)?;
    (value.get() != "null").then_some(*value)
}

/// An object's names and unread values, in order.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Members)
    }
}

/// Borrows a name where it holds no escapes.
#[derive(Deserialize)]
pub(crate) struct Name<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = entries.next_entry()? {
            members.push((name, value));
        }
        Ok(members)
    }
}
