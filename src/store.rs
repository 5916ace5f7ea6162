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
mod cool_downs;
mod keys;
mod migrate;
mod model_lists;
mod pool_keys;
mod rate_limit;
mod recorder;
mod resources;
mod snapshot;

#[cfg(test)]
pub(crate) mod testing;

pub use budgets::{Reservation, learn_limit, learn_unsupported, reserve, settle, take_retry};
pub use call_logs::count_old_calls;
pub use cool_downs::{claim, cool, end_cool_down, release};
pub use keys::{
    KeyReport, import_keys, key_report, learn_credential_header, learn_project, reset_key,
};
pub use migrate::{check_writable, migrate};
pub use model_lists::{keep_models, kept_models};
pub use rate_limit::count_call;
pub use recorder::{Attempt, Deferred, Lost, Moved, Recorder};
pub use resources::{forget_resource, is_made_since, owners, remember_resources};
pub use snapshot::{PoolRead, read_pool};

use crate::pool::{Place, UnixMillis};
use serde::Serialize;
use std::fmt;

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
            Value::Null | Value::Text(_) => None,
        }
    }

    /// The text in a column. `None` for anything else.
    pub fn text(&self, column: usize) -> Option<&str> {
        match self.0.get(column)? {
            Value::Text(text) => Some(text),
            Value::Null | Value::Integer(_) | Value::Real(_) => None,
        }
    }
}

/// A statement that failed: the database's own words, which hold no value of any parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseError(pub String);

impl DatabaseError {
    /// Another connection held the lock for longer than the host waits; the same statement may go through next time.
    pub fn is_busy(&self) -> bool {
        self.0.contains("database is locked") || self.0.contains("database table is locked")
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database: {}", self.0)
    }
}

impl std::error::Error for DatabaseError {}

/// One connection to the pool's database.
#[expect(
    async_fn_in_trait,
    reason = "components are single-threaded: no future here is ever sent to another thread"
)]
pub trait Database: 'static {
    /// Runs one statement, with `?1`, `?2`, … bound in order, and gives all rows of its result. Waits for other
    /// connections, for some seconds.
    ///
    /// # Errors
    /// The statement was refused or failed; it then changed nothing.
    async fn execute(
        &self,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Row>, DatabaseError>;

    /// The same, but fails soon where another connection holds the lock: within a tenth of a second where the host lets it.
    ///
    /// # Errors
    /// The database is busy, or as with [`execute`](Self::execute).
    async fn try_execute(
        &self,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Row>, DatabaseError>;

    /// Lets some time pass after so many tries, for another connection to give up the lock; `false`, at once, where they have
    /// taken long enough: about 5 s.
    async fn wait_for_lock(&self, tries: u64) -> bool;
}

/// Forgets what is over: cool-downs, usage and retries that count for nothing any more, and calls in the log after
/// `log_retention_days`, if they are not kept for ever.
///
/// # Errors
/// The database refused.
pub async fn tidy(
    database: &impl Database,
    now: UnixMillis,
    log_retention_days: Option<u32>,
) -> Result<(), DatabaseError> {
    cool_downs::forget_cool_downs(database, now).await?;
    budgets::forget_usage(database, now).await?;
    resources::forget_old_resources(database, now).await?;
    match log_retention_days {
        Some(days) => call_logs::forget_old_calls(database, now, days).await,
        None => Ok(()),
    }
}

/// A place's columns `scope` and `model`.
fn place_values(place: &Place) -> [Value; 2] {
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

/// How often a statement is tried while the database is locked. Each try already waits for some seconds, so this is about
/// bursts of writers, not about a database that is stuck.
const BUSY_TRIES: usize = 3;

/// Runs a statement that changes something, again if the database was locked.
async fn write(
    database: &impl Database,
    statement: &str,
    parameters: Vec<Value>,
) -> Result<Vec<Row>, DatabaseError> {
    let mut tries = 1;
    loop {
        match database.execute(statement, parameters.clone()).await {
            Err(error) if error.is_busy() && tries < BUSY_TRIES => tries += 1,
            result => return result,
        }
    }
}
