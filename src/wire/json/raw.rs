//! Reads JSON without building a tree: the names of an object, and its values unparsed.
//!
//! Only names with escapes are copied, and a field of an unexpected type does not affect the
//! others.

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

/// Whether a value is null or an empty string, list or object.
pub(crate) fn is_empty(value: &RawValue) -> bool {
    let mut bytes = value
        .get()
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace());
    // Blanks count as content in a string, but not in a list or an object.
    match (bytes.next(), bytes.next()) {
        (Some(b'"'), Some(b'"')) => value.get().len() == 2,
        (Some(b'['), Some(b']')) | (Some(b'{'), Some(b'}')) | (Some(b'n'), _) => true,
        _ => false,
    }
}

/// Parses JSON; `None` if it is invalid or of another type.
///
/// It is parsed as text: serde_json's parser of bytes would be a second copy in the component.
pub(crate) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    serde_json::from_str(std::str::from_utf8(json).ok()?).ok()
}

/// Parses the value at the start, which more may follow.
pub(crate) fn parse_first<'a, T: DeserializeSeed<'a>>(seed: T, json: &'a [u8]) -> Option<T::Value> {
    let text = json.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    seed.deserialize(&mut deserializer).ok()
}

/// Parses a value; `None` if it is of another type.
pub(crate) fn read<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

/// Preserves null, which an optional field would read as absence: its position is needed.
pub(crate) fn raw<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Returns the last value with this name, unless it is null.
pub(crate) fn find<'a>(
    members: &[(Cow<'a, str>, &'a RawValue)],
    name: &str,
) -> Option<&'a RawValue> {
    let (_, value) = members.iter().rev().find(|(member, _)| member == name)?;
    (value.get() != "null").then_some(*value)
}

/// The names and unparsed values of an object, in order.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Members)
    }
}

/// Borrows a name unless it has escapes.
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

/// An unparsed value; `None` if it is absent. Null is a value.
pub(crate) type Raw<'a> = Option<&'a RawValue>;

/// Parses an object; `None` if the text is not one, or does not match.
pub(crate) fn read_object<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    serde_json::from_str(json)
        .ok()
        .map(|FromObject(object)| object)
}

/// Returns a member of an object, even if it is null.
pub(crate) fn member<'a>(object: &'a str, name: &str) -> Raw<'a> {
    let Members(members) = serde_json::from_str(object).ok()?;
    let found = members.into_iter().find(|(member, _)| member == name);
    found.map(|(_, value)| value)
}

/// Returns text that may be JSON, without surrounding blanks; `None` if it is not UTF-8.
pub(crate) fn text_of(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.trim_matches([' ', '\t', '\r', '\n']))
}

/// Whether a value is absent, null or an empty string.
pub(crate) fn is_blank(value: Raw<'_>) -> bool {
    value.is_none_or(|value| matches!(value.get(), "null" | "\"\""))
}

/// Reads a string. Absence and null count as an empty one; `None` for any other type.
pub(crate) fn text_or_blank(value: Raw<'_>) -> Option<Cow<'_, str>> {
    match value {
        Some(value) if !is_blank(Some(value)) => read(value).map(|Text(text)| text),
        Some(_) | None => Some(Cow::Borrowed("")),
    }
}

pub(crate) fn is_text(value: Raw<'_>, expected: &str) -> bool {
    text_or_blank(value).is_some_and(|text| text == expected)
}

/// Borrows a string unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A parsed object, with its source text.
pub(crate) struct Object<'a, T> {
    pub(crate) json: &'a str,
    value: T,
}

impl<T> Deref for Object<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Object<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?;
        let json = value.get();
        let value = read_object(json).ok_or_else(|| D::Error::custom("no such object"))?;
        Ok(Self { json, value })
    }
}

/// A value that is an object in the text. Serde would also accept a list of its fields, into which
/// nothing can be inserted by name.
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
