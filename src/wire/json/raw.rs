//! Looking into JSON without building it: an object's names, and its values unread.
//!
//! Nothing is copied but names with escapes, and a field of another type than expected is in nobody's way.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

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

/// An unread value; `None` if it is not there. Null is a value.
pub(crate) type Raw<'a> = Option<&'a RawValue>;

/// Reads an object; `None` if the text is none, or not of this kind.
pub(crate) fn read_object<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    serde_json::from_str(json)
        .ok()
        .map(|FromObject(object)| object)
}

/// An object's member, also if it is null.
pub(crate) fn member<'a>(object: &'a str, name: &str) -> Raw<'a> {
    let Members(members) = serde_json::from_str(object).ok()?;
    let found = members.into_iter().find(|(its, _)| its == name);
    found.map(|(_, value)| value)
}

/// Text that may hold JSON, without the blanks around it; `None` if it is no text.
pub(crate) fn text_of(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.trim_matches([' ', '\t', '\r', '\n']))
}

/// Absent, null or an empty text.
pub(crate) fn is_blank(value: Raw<'_>) -> bool {
    value.is_none_or(|value| matches!(value.get(), "null" | "\"\""))
}

/// A value that is a text; an absent one is an empty text, and so is null.
pub(crate) fn text_or_blank(value: Raw<'_>) -> Option<Cow<'_, str>> {
    match value {
        Some(value) if !is_blank(Some(value)) => read(value).map(|Text(text)| text),
        Some(_) | None => Some(Cow::Borrowed("")),
    }
}

pub(crate) fn is_text(value: Raw<'_>, expected: &str) -> bool {
    text_or_blank(value).is_some_and(|text| text == expected)
}

/// Borrows a text that holds no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object, with its text.
pub(crate) struct Object<'a, T> {
    pub(crate) json: &'a str,
    its: T,
}

impl<T> Deref for Object<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.its
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Object<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?;
        let json = value.get();
        let its = read_object(json).ok_or_else(|| D::Error::custom("no such object"))?;
        Ok(Self { json, its })
    }
}

/// A value that is an object in the text, too: a list of its fields would be read as well, and nothing could be put into
/// it by name.
struct FromObject<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for FromObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(ObjectVisitor(PhantomData))
            .map(FromObject)
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
