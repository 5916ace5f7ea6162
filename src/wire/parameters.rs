//! Reads the parameters of a request. Errors name the parameter by its path, such as
//! `messages[3].content[0].source`.
//!
//! Values are parsed only as they are needed, so that images and schemas are never copied.

use crate::wire::json::{Members, find, read};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Why a request cannot be translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The path of the parameter at fault; empty for the body itself.
    pub path: String,
    /// What is wrong with it and what to do, without the parameter: `must be a string`.
    pub reason: String,
}

impl Invalid {
    /// An error about the value itself, whose path the callers add.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            reason: reason.into(),
        }
    }

    /// An error about a parameter.
    pub(crate) fn about(path: &str, reason: impl Into<String>) -> Self {
        Self::new(reason).within(path)
    }

    /// The same error, seen from the object that has the value as its member `name`.
    pub(crate) fn within(mut self, name: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => name.to_owned(),
            path if path.starts_with('[') => format!("{name}{path}"),
            path => format!("{name}.{path}"),
        };
        self
    }

    /// The same error, seen from the list that has the value at this index.
    pub(crate) fn at(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }

    /// The error as a sentence.
    pub fn message(&self) -> String {
        match self.path.as_str() {
            "" => format!("The request body {}.", self.reason),
            path => format!("`{path}` {}.", self.reason),
        }
    }
}

/// Turns an iterator's results into a list. An error names the index.
pub(crate) fn each<T, U>(
    items: impl IntoIterator<Item = T>,
    mut read: impl FnMut(T) -> Result<U, Invalid>,
) -> Result<Vec<U>, Invalid> {
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| read(item).map_err(|invalid| invalid.at(index)))
        .collect()
}

/// A string that is borrowed from the request unless it has escapes.
pub(crate) fn text(value: &RawValue) -> Result<Cow<'_, str>, Invalid> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let text = read(value).map(|Text(text)| text);
    text.ok_or_else(|| {
        Invalid::new(match value.get().starts_with('"') {
            // The parser of the body does not look into strings.
            true => "has an escape that is not valid, such as half of a surrogate pair",
            false => "must be a string",
        })
    })
}

/// A string, or `None` if the value is of another type.
pub(crate) fn text_if_any(value: &RawValue) -> Result<Option<Cow<'_, str>>, Invalid> {
    match value.get().starts_with('"') {
        true => text(value).map(Some),
        false => Ok(None),
    }
}

/// The items of a list.
pub(crate) fn list(value: &RawValue) -> Result<Vec<&RawValue>, Invalid> {
    read(value).ok_or_else(|| Invalid::new("must be a list"))
}

/// An object of the request. A member that is null counts as absent.
pub(crate) struct Parameters<'a> {
    /// The object as it was sent.
    pub(crate) json: &'a RawValue,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Parameters<'a> {
    pub(crate) fn of_body(body: &'a [u8]) -> Result<Self, Invalid> {
        let text = std::str::from_utf8(body)
            .map_err(|_| Invalid::new("is not valid JSON: it is not UTF-8"))?;
        let json: &RawValue = serde_json::from_str(text)
            .map_err(|error| Invalid::new(format!("is not valid JSON: {error}")))?;
        Self::of(json)
    }

    pub(crate) fn of(json: &'a RawValue) -> Result<Self, Invalid> {
        let Members(members) = read(json).ok_or_else(|| Invalid::new("must be an object"))?;
        Ok(Self { json, members })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The value as it was sent.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        find(&self.members, name)
    }

    /// Reads the value with `read`, unless it is absent.
    pub(crate) fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Invalid> {
        let value = self.raw(name).map(read).transpose();
        value.map_err(|invalid| invalid.within(name))
    }

    /// Reads the value with `read`. `Some(None)` if it is null, and `None` if it is absent.
    pub(crate) fn nullable<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, Invalid>,
    ) -> Result<Option<Option<T>>, Invalid> {
        let is_present = self.names().any(|member| member == name);
        Ok(is_present.then_some(self.read(name, read)?))
    }

    /// The names of the members, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| &**name)
    }

    /// Reads the value with `read`, which must be there.
    pub(crate) fn require<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, Invalid>,
    ) -> Result<T, Invalid> {
        self.read(name, read)?
            .ok_or_else(|| Invalid::about(name, "is missing"))
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Invalid> {
        self.read(name, text)
    }

    pub(crate) fn object(&self, name: &str) -> Result<Option<Parameters<'a>>, Invalid> {
        self.read(name, Parameters::of)
    }

    /// The items of a list; none if it is absent.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<&'a RawValue>, Invalid> {
        Ok(self.read(name, list)?.unwrap_or_default())
    }

    /// Reads each item of a list. An error names the item.
    pub(crate) fn each<T>(
        &self,
        name: &str,
        read: impl FnMut(&'a RawValue) -> Result<T, Invalid>,
    ) -> Result<Vec<T>, Invalid> {
        each(self.list(name)?, read).map_err(|invalid| invalid.within(name))
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Invalid> {
        self.read(name, |value| {
            read(value).ok_or_else(|| Invalid::new("must be true or false"))
        })
    }

    /// A whole number from 0.
    pub(crate) fn count(&self, name: &str) -> Result<Option<u64>, Invalid> {
        self.read(name, |value| {
            read(value).ok_or_else(|| Invalid::new("must be a whole number of at least 0"))
        })
    }

    /// A number, as it was written.
    pub(crate) fn number(&self, name: &str) -> Result<Option<&'a RawValue>, Invalid> {
        self.read(name, |value| match read::<f64>(value) {
            Some(_) => Ok(value),
            None => Err(Invalid::new("must be a number")),
        })
    }

    /// The `type` of a variant.
    pub(crate) fn kind(&self) -> Result<Cow<'a, str>, Invalid> {
        self.require("type", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_parameter_and_what_is_wrong() {
        fn blocks(body: &str) -> Result<(), Invalid> {
            let request = Parameters::of_body(body.as_bytes())?;
            request.each("messages", |message| {
                let message = Parameters::of(message)?;
                message.require("role", text)?;
                message.each("content", |block| Parameters::of(block)?.flag("is_error"))
            })?;
            Ok(())
        }
        for (body, expected) in [
            ("7", "The request body must be an object."),
            ("{\"messages\":7}", "`messages` must be a list."),
            ("{\"messages\":[7]}", "`messages[0]` must be an object."),
            ("{\"messages\":[{}]}", "`messages[0].role` is missing."),
            (
                r#"{"messages":[{"role":"\ud83d"}]}"#,
                "`messages[0].role` has an escape that is not valid, such as half of a surrogate pair.",
            ),
            (
                r#"{"messages":[{"role":null}]}"#,
                "`messages[0].role` is missing.",
            ),
            (
                r#"{"messages":[{"role":"a"},{"role":"b","content":[{},{"is_error":7}]}]}"#,
                "`messages[1].content[1].is_error` must be true or false.",
            ),
        ] {
            assert_eq!(blocks(body).unwrap_err().message(), expected, "{body}");
        }
        let message = blocks("{").unwrap_err().message();
        assert!(
            message.starts_with("The request body is not valid JSON: EOF"),
            "{message}"
        );
    }

    #[test]
    fn numbers_keep_their_spelling() {
        let request = Parameters::of_body(br#"{"a":1.50,"b":3,"c":-1}"#).unwrap();
        assert_eq!(request.number("a").unwrap().unwrap().get(), "1.50");
        assert_eq!(request.count("b"), Ok(Some(3)));
        assert!(request.count("c").is_err());
        assert_eq!(request.count("d"), Ok(None));
    }
}
