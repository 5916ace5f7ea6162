//! The database: its schema, all SQL statements of the pool, and the mapping from rows to values.
//!
//! The database is authoritative, not an instance's memory: many instances run concurrently, and
//! each can vanish at any `await`. The database may be local SQLite or libSQL, where every
//! statement is a network request and there are no sessions. So the store uses no transactions:
//! each change is one statement that is correct under concurrency, such as an increment, an upsert,
//! or a compare-and-set.
//!
//! All statements run against [`Database`]: the host's SQLite in the component, `rusqlite` in
//! native tests.

mod alerts;
mod audit;
mod author;
mod budgets;
mod call_durations;
mod call_totals;
mod calls;
mod client_tokens;
mod connection;
mod cool_downs;
mod database;
mod fault_drills;
mod forecasts;
mod key_activity;
mod key_additions;
mod key_admin;
mod key_changes;
mod key_history;
mod key_limits;
mod key_list;
mod key_sample;
mod key_vault;
mod log_retention;
mod metrics;
mod migrate;
mod model_lists;
mod page;
mod rate_limit;
mod read_pool;
mod recorder;
mod resources;
mod seal_keys;
mod signatures;
mod statistics;
mod value;

#[cfg(test)]
pub(crate) mod testing;

pub use alerts::{AlertChange, AlertFacts, Event, alert_facts, change_alert};
pub use audit::{AuditEntry, AuditFilter, ByTime, list_audit};
pub use author::Author;
pub use budgets::{
    Reservation, forget_learned, learn_limit, learn_unsupported, reserve, settle, take_retry,
};
pub use calls::{ByStart, CallFilter, LogFilter, LoggedCall, attempts_of, list_calls};
pub use client_tokens::{
    ListedToken, TokenChange, TokenColumn, TokenDigest, TokenField, TokenFilter, TokenSecret,
    TokenSort, change_client_token, create_client_token, find_client_token, has_client_tokens,
    list_client_tokens, listed_client_token, tokens_used_today,
};
pub use connection::{Connector, Reconnecting};
pub use cool_downs::{CurrentCoolDown, claim, cool, current_cool_downs, end_cool_down, release};
pub use database::{
    Access, Database, DatabaseError, ErrorKind, OPTIONAL_WAIT_MS, ROW_WAIT_MS, Result, SettingUp,
    Within,
};
pub use fault_drills::{Drill, set_drill, take_drill};
pub use forecasts::forecasts;
pub use key_activity::{KeyHour, key_activity};
pub use key_additions::{Known, NewKey, add_keys, known_keys};
pub use key_admin::{
    KeyReport, import_keys, key_report, learn_credential_header, learn_project, reset_key,
};
pub use key_changes::{KeyChange, KeyField, change_key};
pub use key_history::{StateChange, key_history};
pub use key_limits::{KeyLimit, key_limits, set_presets};
pub use key_list::{KeyCounts, KeyFilter, KeySort, ListedKey, count_keys, list_keys, listed_key};
pub use key_vault::KeyVault;
pub use log_retention::count_old_calls;
pub use metrics::{
    AttemptTotal, DurationTotal, Totals, UsageTotal, add_database_errors, read_totals,
};
pub use migrate::{Readiness, migrate, readiness};
pub use model_lists::{cache_models, cached_models};
pub use page::{Cursor, LARGEST_PAGE, Order, Page, PageOf};
pub use rate_limit::{CallCount, count_call};
pub use read_pool::{PoolRead, read_pool};
pub use recorder::{AttemptRow, Deferred, Lost, Moved, Recorder};
pub use resources::{
    forget_resource, owners, remember_created, remember_reported, was_created_since,
};
pub use seal_keys::{KeysAtRest, keys_at_rest, seal_keys};
pub use signatures::{Nonce, learn_signed_model, save_signatures, signatures_of};
pub use statistics::{CallGroup, Dimension, Durations, Grouping, call_statistics};
pub use value::{LONGEST_TEXT, Row, Value};

use crate::pool::{QuotaScope, UnixMillis};
use database::{read, write, write_once};
use value::values;

/// An expression that reads a text column as bytes. Operators write to the database, and on Spin a
/// text that is not UTF-8 traps the whole instance; so texts are decoded here.
fn text(column: &str) -> String {
    format!("substr(CAST({column} AS BLOB), 1, {})", LONGEST_TEXT + 1)
}

/// An expression that reads a number column. SQLite may store a text in it, which could trap for
/// the same reason.
fn number(column: &str) -> String {
    format!("iif(typeof({column}) = 'text', NULL, {column})")
}

/// A column with a JSON array of texts.
fn json_of(texts: &[String]) -> Value {
    match texts {
        [] => Value::Null,
        // Texts always serialize.
        texts => serde_json::to_string(texts).unwrap_or_default().into(),
    }
}

/// The texts in a column that has a JSON array of them; none if it has anything else.
fn texts_of(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}

/// Whether everything that can be counted is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is.
    Done,
    /// Time was up before.
    MoreToCount,
}

/// How long calls may be added to their totals, and durations of past hours counted, at a time: 1 s
/// each.
const MAX_COUNTING_MS: u64 = 1_000;

/// Deletes expired rows: cool-downs, usage and retries that no longer count, and calls in the log
/// after `log_retention_days`, if set.
///
/// # Errors
/// The database refused.
pub async fn delete_expired(
    database: &impl Database,
    now: UnixMillis,
    log_retention_days: Option<u32>,
) -> Result<()> {
    cool_downs::delete_spent_cool_downs(database, now).await?;
    budgets::delete_old_usage(database, now).await?;
    resources::delete_old_resources(database, now).await?;
    key_admin::delete_old_resets(database, now).await?;
    key_history::delete_old_history(database, now).await?;
    signatures::delete_old_signatures(database, now).await?;
    client_tokens::delete_old_token_usage(database, now).await?;
    match (count_calls(database, now).await?, log_retention_days) {
        (Progress::Done, Some(days)) => log_retention::delete_old_calls(database, now, days).await,
        (Progress::MoreToCount, _) | (_, None) => Ok(()),
    }
}

/// Adds calls of the log to their totals, and counts the durations of past hours, for some time.
///
/// # Errors
/// The database refused.
pub async fn count_calls(database: &impl Database, now: UnixMillis) -> Result<Progress> {
    let added = call_totals::add_to_totals(database, MAX_COUNTING_MS).await?;
    let counted = call_durations::count_durations(database, now, MAX_COUNTING_MS).await?;
    match (added, counted) {
        (Progress::Done, Progress::Done) => Ok(Progress::Done),
        (Progress::MoreToCount, _) | (_, Progress::MoreToCount) => Ok(Progress::MoreToCount),
    }
}

/// The values of the columns `scope` and `model`.
fn quota_scope_values(quota_scope: &QuotaScope) -> Vec<Value> {
    let model = quota_scope.model.as_deref().unwrap_or_default();
    values![quota_scope.scope.to_string(), model]
}

/// Placeholders such as `(?3, ?4)` for `count` parameters after the first `bound`.
fn placeholders(bound: usize, count: usize) -> String {
    let marks: Vec<String> = (bound + 1..=bound + count)
        .map(|index| format!("?{index}"))
        .collect();
    format!("({})", marks.join(", "))
}
