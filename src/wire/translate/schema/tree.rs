//! JSON as a tree that keeps the order of names and the spelling of numbers, unlike
//! `serde_json::Value`.

use super::error::SchemaError;
use crate::wire::json::Name;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;

/// The most levels of a schema, counted in braces and brackets. Deeper ones would be refused by
/// Gemini, and parsing them would cost more and more stack.
pub(super) const MAX_DEPTH: usize = 100;
/// The most values in a schema. Merging alternatives compares them with each other, so larger
/// schemas would cost too much.
const MAX_VALUES: usize = 10_000;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree<'a> {
    /// A string, a number, a boolean or null, as it is spelled.
    Scalar(Cow<'a, str>),
    Array(Vec<Tree<'a>>),
    Object(Fields<'a>),
}

/// The members of an object, each name once.
pub(super) type Fields<'a> = Vec<(Cow<'a, str>, Tree<'a>)>;

/// A parsed value.
pub(super) struct Parsed<'a> {
    pub(super) tree: Tree<'a>,
    /// Whether an object had two members of one name, of which the last counts.
    pub(super) has_duplicates: bool,
}

impl<'a> Parsed<'a> {
    /// Takes time proportional to the length of the text.
    ///
    /// # Errors
    /// The value is nested more than [`MAX_DEPTH`] levels deep, or contains more than
    /// [`MAX_VALUES`].
    pub(super) fn new(raw: &'a RawValue) -> Result<Self, SchemaError> {
        let mut parser = Parser {
            text: raw.get(),
            at: 0,
            values: 0,
            path: Vec::new(),
            has_duplicates: false,
        };
        let tree = parser.parse()?;
        Ok(Self {
            tree,
            has_duplicates: parser.has_duplicates,
        })
    }
}

/// Parses text that is known to be JSON.
struct Parser<'a> {
    text: &'a str,
    /// The position of the next byte.
    at: usize,
    /// How many values have begun so far.
    values: usize,
    /// The names and indices on the way to the current value.
    path: Vec<String>,
    has_duplicates: bool,
}

impl<'a> Parser<'a> {
    fn parse(&mut self) -> Result<Tree<'a>, SchemaError> {
        if self.path.len() > MAX_DEPTH {
            return Err(SchemaError::new(
                &self.path,
                "is nested too deeply: 100 levels are allowed",
            ));
        }
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(SchemaError::new(
                &self.path,
                "is beyond the 10,000 values that a schema may have",
            ));
        }
        match self.peek() {
            Some(b'{') => self.parse_object(),
            Some(b'[') => self.parse_array(),
            Some(_) | None => Ok(Tree::Scalar(Cow::Borrowed(self.take_scalar()))),
        }
    }

    fn parse_object(&mut self) -> Result<Tree<'a>, SchemaError> {
        self.at += 1;
        let mut members: Fields<'a> = Vec::new();
        while self.peek() == Some(b'"') {
            let quoted = self.take_scalar();
            let name =
                serde_json::from_str(quoted).map_or(Cow::Borrowed(quoted), |Name(name)| name);
            self.skip(b':');
            self.path.push(name.clone().into_owned());
            let value = self.parse()?;
            self.path.pop();
            members.push((name, value));
            self.skip(b',');
        }
        self.skip(b'}');
        let mut names = HashSet::new();
        let is_last: Vec<bool> = members
            .iter()
            .rev()
            .map(|(name, _)| names.insert(&**name))
            .collect();
        if names.len() < members.len() {
            self.has_duplicates = true;
            let mut is_last = is_last.into_iter().rev();
            members.retain(|_| is_last.next() == Some(true));
        }
        Ok(Tree::Object(members))
    }

    fn parse_array(&mut self) -> Result<Tree<'a>, SchemaError> {
        self.at += 1;
        let mut elements = Vec::new();
        while self.peek().is_some_and(|byte| byte != b']') {
            self.path.push(elements.len().to_string());
            elements.push(self.parse()?);
            self.path.pop();
            self.skip(b',');
        }
        self.skip(b']');
        Ok(Tree::Array(elements))
    }

    /// Takes a string, a number or a literal.
    fn take_scalar(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut is_escaped = false;
        let end = match rest.strip_prefix('"') {
            Some(content) => content.bytes().position(|byte| {
                let is_end = byte == b'"' && !is_escaped;
                is_escaped = byte == b'\\' && !is_escaped;
                is_end
            }),
            None => rest.bytes().position(|byte| b",:]} \t\r\n".contains(&byte)),
        };
        let length = match (end, rest.starts_with('"')) {
            (Some(end), true) => end + 2,
            (Some(end), false) => end,
            (None, _) => rest.len(),
        };
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// Skips blanks and returns the next byte.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let blanks = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.at += blanks;
        rest.get(blanks).copied()
    }

    /// Skips blanks and a byte, if it is the next one.
    fn skip(&mut self, byte: u8) {
        if self.peek() == Some(byte) {
            self.at += 1;
        }
    }
}

impl<'a> Tree<'a> {
    pub(super) fn text(text: &str) -> Self {
        Self::Scalar(Cow::Owned(quoted(text)))
    }

    pub(super) fn literal(json: &'static str) -> Self {
        Self::Scalar(Cow::Borrowed(json))
    }

    /// The content of a string; `None` for any other value.
    pub(super) fn as_text(&self) -> Option<String> {
        match self {
            Self::Scalar(json) => serde_json::from_str(json).ok(),
            Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// The spelling of a number; `None` for any other value.
    pub(super) fn as_number(&self) -> Option<&str> {
        match self {
            Self::Scalar(json) => json
                .starts_with(|first: char| first == '-' || first.is_ascii_digit())
                .then_some(json),
            Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// An approximate value of a number; `None` for any other value.
    pub(super) fn as_f64(&self) -> Option<f64> {
        serde_json::from_str(self.as_number()?).ok()
    }

    /// Whether this is the literal `true`, `false` or `null`.
    pub(super) fn is(&self, literal: &str) -> bool {
        matches!(self, Self::Scalar(json) if json == literal)
    }

    /// The strings of an array of strings; `None` for any other value.
    pub(super) fn as_texts(&self) -> Option<Vec<String>> {
        match self {
            Self::Array(elements) => elements.iter().map(Self::as_text).collect(),
            Self::Scalar(_) | Self::Object(_) => None,
        }
    }

    /// The number of values in it.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Scalar(_) => 1,
            Self::Array(elements) => elements
                .iter()
                .map(Self::size)
                .fold(1, usize::saturating_add),
            Self::Object(fields) => size_of(fields),
        }
    }

    pub(super) fn to_json(&self) -> String {
        let mut json = String::new();
        self.write(&mut json);
        json
    }

    fn write(&self, json: &mut String) {
        match self {
            Self::Scalar(text) => json.push_str(text),
            Self::Array(elements) => {
                json.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        json.push(',');
                    }
                    element.write(json);
                }
                json.push(']');
            }
            Self::Object(fields) => {
                json.push('{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        json.push(',');
                    }
                    json.push_str(&quoted(name));
                    json.push(':');
                    value.write(json);
                }
                json.push('}');
            }
        }
    }
}

/// A string as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The number of values in an object.
pub(super) fn size_of(fields: &Fields<'_>) -> usize {
    let sizes = fields.iter().map(|(_, value)| value.size());
    sizes.fold(1, usize::saturating_add)
}

pub(super) fn get<'t, 'a>(fields: &'t Fields<'a>, name: &str) -> Option<&'t Tree<'a>> {
    let found = fields.iter().find(|(field, _)| field == name);
    found.map(|(_, value)| value)
}

/// Removes a member and returns its value.
pub(super) fn take<'a>(fields: &mut Fields<'a>, name: &str) -> Option<Tree<'a>> {
    let position = fields.iter().position(|(field, _)| field == name)?;
    Some(fields.remove(position).1)
}

/// Replaces a member, or appends it.
pub(super) fn set<'a>(fields: &mut Fields<'a>, name: &'static str, value: Tree<'a>) {
    match fields.iter_mut().find(|(field, _)| field == name) {
        Some((_, old)) => *old = value,
        None => fields.push((Cow::Borrowed(name), value)),
    }
}
