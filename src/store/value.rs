//! Values and rows of the database.

use crate::pool::{KeyId, UnixMillis};
use serde::Serialize;

/// Converts each expression to a [`Value`] and collects them in a vector.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::Value::from($value)),*] };
}
pub(super) use values;

/// A value of a column or a parameter. Serializes to a JSON value for `json_each`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// SQL `NULL`.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes. Texts that operators may have written are also read as bytes: see `text`.
    Blob(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

/// Saturates at the largest integer that SQL can hold.
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<KeyId> for Value {
    fn from(id: KeyId) -> Self {
        Self::Integer(id.0)
    }
}

/// As text in the form of [`UnixMillis::to_iso`].
impl From<UnixMillis> for Value {
    fn from(time: UnixMillis) -> Self {
        Self::Text(time.to_iso())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of a result, by column position.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The integer in a column; a real number is rounded towards zero. `None` for anything else.
    pub fn integer(&self, column: usize) -> Option<i64> {
        match self.0.get(column)? {
            Value::Integer(value) => Some(*value),
            Value::Real(value) => Some(*value as i64),
            Value::Null | Value::Text(_) | Value::Blob(_) => None,
        }
    }

    /// The text in a column, even if it was read as bytes. `None` for anything else, for bytes that
    /// are not UTF-8, and for a text of more than [`LONGEST_TEXT`] bytes.
    pub fn text(&self, column: usize) -> Option<&str> {
        let text = match self.0.get(column)? {
            Value::Text(text) => text,
            Value::Blob(bytes) => std::str::from_utf8(bytes).ok()?,
            Value::Null | Value::Integer(_) | Value::Real(_) => return None,
        };
        (text.len() <= LONGEST_TEXT).then_some(text)
    }

    /// The text in a column for display: invalid UTF-8 is replaced, and a long text is truncated.
    /// `None` if there is none.
    pub fn lossy_text(&self, column: usize) -> Option<String> {
        let bytes = match self.0.get(column)? {
            Value::Text(text) => text.as_bytes(),
            Value::Blob(bytes) => bytes,
            Value::Null | Value::Integer(_) | Value::Real(_) => return None,
        };
        let bytes = bytes.get(..LONGEST_TEXT).unwrap_or(bytes);
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Whether a column has a value that [`text`](Self::text) cannot read.
    pub fn is_malformed(&self, column: usize) -> bool {
        !matches!(self.0.get(column), None | Some(Value::Null)) && self.text(column).is_none()
    }
}

/// The longest text that is read from a column, in bytes.
pub const LONGEST_TEXT: usize = 4096;
