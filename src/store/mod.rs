//! The database: its schema, every SQL statement of the pool, and the mapping from rows to values.
//!
//! The database is the truth; an instance's memory is not, since many instances run side by side and each can vanish at
//! any `await`. Behind the same interface may be local SQLite or libSQL, where every statement is a network request of
//! its own and no session exists. So there is no transaction here: each change is one statement that is right whatever
//! other instances do at the same time, an increment, an upsert, or a compare-and-set.
//!
//! All of it runs against [`Database`]: the host's SQLite in the component, `rusqlite` in the native tests.

mod budgets;
mod call_logs;
mod connection;
mod cool_downs;
mod database;
mod keys;
mod migrate;
mod model_lists;
mod pool_keys;
mod rate_limit;
mod recorder;
mod resources;
mod signatures;
mod snapshot;

#[cfg(test)]
pub(crate) mod testing;

pub use budgets::{
    Reservation, forget_learned, learn_limit, learn_unsupported, reserve, settle, take_retry,
};
pub use call_logs::count_old_calls;
pub use connection::{Connector, Reconnecting};
pub use cool_downs::{claim, cool, end_cool_down, release};
pub use database::{
    Access, Database, DatabaseError, ErrorKind, OPTIONAL_WAIT_MS, ROW_WAIT_MS, SettingUp, Within,
};
pub use keys::{
    KeyReport, import_keys, key_report, learn_credential_header, learn_project, reset_key,
};
pub use migrate::{Readiness, migrate, readiness};
pub use model_lists::{keep_models, kept_models};
pub use rate_limit::{CallCount, count_call};
pub use recorder::{AttemptRow, Deferred, Lost, Moved, Recorder};
pub use resources::{forget_resource, is_made_since, owners, remember_created, remember_reported};
pub use signatures::{Nonce, learn_signed_model, save_signatures, signatures_of};
pub use snapshot::{PoolRead, read_pool};

use crate::pool::{QuotaScope, UnixMillis};
use database::{read, write, write_once};
use serde::Serialize;

/// A value in a column or a parameter; or in a row of JSON, as `json_each` takes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// SQL `NULL`.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A floating point number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes, as texts that people write are read: see `text`.
    Blob(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

/// A count; one that SQL cannot hold becomes the largest that it can.
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
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

    /// The text in a column, also where it is read as bytes. `None` for anything else, for bytes that are not UTF-8, and for a
    /// text of more than [`LONGEST_TEXT`] bytes.
    pub fn text(&self, column: usize) -> Option<&str> {
        let text = match self.0.get(column)? {
            Value::Text(text) => text,
            Value::Blob(bytes) => std::str::from_utf8(bytes).ok()?,
            Value::Null | Value::Integer(_) | Value::Real(_) => return None,
        };
        (text.len() <= LONGEST_TEXT).then_some(text)
    }

    /// The text in a column for people to read: what is not UTF-8 in it is replaced, and a long one is cut. `None` where
    /// there is none.
    pub fn lossy_text(&self, column: usize) -> Option<String> {
        let bytes = match self.0.get(column)? {
            Value::Text(text) => text.as_bytes(),
            Value::Blob(bytes) => bytes,
            Value::Null | Value::Integer(_) | Value::Real(_) => return None,
        };
        let bytes = bytes.get(..LONGEST_TEXT).unwrap_or(bytes);
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Whether a column has something in it that is no text.
    pub fn is_malformed(&self, column: usize) -> bool {
        !matches!(self.0.get(column), None | Some(Value::Null)) && self.text(column).is_none()
    }
}

/// The longest text that is read of a column, in bytes.
pub const LONGEST_TEXT: usize = 4096;

/// A text column as an expression that the host cannot stumble over. People write into the database, and a text that is not
/// UTF-8 ends the whole instance on Spin; so texts are read as bytes, and decoded here.
fn text(column: &str) -> String {
    format!("substr(CAST({column} AS BLOB), 1, {})", LONGEST_TEXT + 1)
}

/// A number column as an expression, for the same reason: SQLite keeps a text in it, too.
fn number(column: &str) -> String {
    format!("iif(typeof({column}) = 'text', NULL, {column})")
}

/// Deletes expired rows: cool-downs, usage and retries that no longer count, and calls in the log after
/// `log_retention_days`, if set.
///
/// # Errors
/// The database refused.
pub async fn delete_expired(
    database: &impl Database,
    now: UnixMillis,
    log_retention_days: Option<u32>,
) -> Result<(), DatabaseError> {
    cool_downs::forget_cool_downs(database, now).await?;
    budgets::forget_usage(database, now).await?;
    resources::forget_old_resources(database, now).await?;
    keys::forget_resets(database, now).await?;
    signatures::forget_old_signatures(database, now).await?;
    match log_retention_days {
        Some(days) => call_logs::forget_old_calls(database, now, days).await,
        None => Ok(()),
    }
}

/// A place's columns `scope` and `model`.
fn quota_scope_values(place: &QuotaScope) -> [Value; 2] {
    [
        Value::from(place.scope.to_string()),
        Value::from(place.model.as_deref().unwrap_or_default()),
    ]
}

/// `(?3, ?4)` for two parameters after the first two.
fn placeholders(bound: usize, count: usize) -> String {
    let marks: Vec<String> = (bound + 1..=bound + count)
        .map(|index| format!("?{index}"))
        .collect();
    format!("({})", marks.join(", "))
}
