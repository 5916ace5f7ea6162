//! Copies the rows of a table from the dump to the pool.
//!
//! Values that the pool's table accepts are copied unchanged, and odd ones noted. The pool's
//! triggers add the calls to the hourly sums.

use super::dump::{Dump, Table};
use super::notes::Notes;
use anyhow::{Result, ensure};
use gemini_keypool::pool::{ApiKey, UnixMillis};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode};

const DEFAULT_PRIORITY: ValueRef<'static> = ValueRef::Integer(100);
const ZERO: ValueRef<'static> = ValueRef::Integer(0);

/// Names the author of a row's latest change, for triggers that write the audit log.
const AUTHOR: &str = "changed_by";

/// How the value of a column is converted.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// The row's id; one that is not an integer is replaced by a new one.
    Id,
    /// A key that can be sent.
    Key,
    /// The digest of a client token.
    Digest,
    /// NULL and 0 become 100, as the earlier deployment read them.
    Priority,
    /// 0, 1 or 2.
    Status,
    /// A number; NULL becomes 0.
    Count,
    /// A time or NULL.
    Time,
    /// A time; NULL becomes now.
    TimeOrNow,
    /// A time; NULL becomes '', which has no age.
    CallTime,
    /// Anything; NULL becomes 0.
    NotNull,
    /// Anything.
    Any,
}

impl Rule {
    fn of(table: Table, column: &str) -> Self {
        match (table, column) {
            (_, "id") => Self::Id,
            (Table::Keys, "api_key") => Self::Key,
            (Table::Keys, "priority") => Self::Priority,
            (Table::Keys, "status") => Self::Status,
            (Table::Keys, "consecutive_failures" | "total_calls" | "success_calls") => Self::Count,
            (Table::Keys | Table::Tokens, "created_at" | "updated_at") => Self::TimeOrNow,
            (Table::Tokens, "digest") => Self::Digest,
            (Table::Calls, "called_at") => Self::CallTime,
            (Table::Calls, "api_key_id" | "success") => Self::NotNull,
            (_, column) if column.ends_with("_at") || column.ends_with("_until") => Self::Time,
            _ => Self::Any,
        }
    }

    /// The converted value, with a note if it is odd.
    fn apply<'a>(self, value: ValueRef<'a>, now: &'a str) -> (ValueRef<'a>, Option<&'static str>) {
        let same = |note| (value, note);
        let is_null = matches!(value, ValueRef::Null);
        match self {
            Self::Id => match value {
                ValueRef::Integer(_) => same(None),
                _ => (
                    ValueRef::Null,
                    Some("is not a whole number; the row has a new id"),
                ),
            },
            Self::Key => match text(value).map(|key| ApiKey::try_new(key).is_ok()) {
                Some(true) => same(None),
                _ => same(Some("is not a valid key; the pool does not use it")),
            },
            Self::Digest => {
                let is_digest = matches!(value, ValueRef::Blob(bytes) if bytes.len() == 32);
                same((!is_digest).then_some("is not a digest; the token does not work"))
            }
            Self::Priority => match value {
                ValueRef::Null => (DEFAULT_PRIORITY, Some("was NULL and is now 100")),
                ValueRef::Integer(0) => (DEFAULT_PRIORITY, Some("was 0 and is now 100")),
                ValueRef::Real(0.0) => (DEFAULT_PRIORITY, Some("was 0 and is now 100")),
                ValueRef::Integer(_) | ValueRef::Real(_) => same(None),
                _ => (DEFAULT_PRIORITY, Some("was not a number and is now 100")),
            },
            Self::Status => match value {
                ValueRef::Integer(0..=2) => same(None),
                ValueRef::Null => (
                    ZERO,
                    Some("was NULL, for which no key was used, and is now 0, disabled"),
                ),
                _ => same(Some("is not 0, 1 or 2; the pool does not use the key")),
            },
            Self::Count => match value {
                ValueRef::Integer(_) | ValueRef::Real(_) => same(None),
                ValueRef::Null => (ZERO, Some("was NULL and is now 0")),
                _ => (ZERO, Some("was not a number and is now 0")),
            },
            Self::TimeOrNow if is_null => (ValueRef::Text(now.as_bytes()), None),
            Self::CallTime if is_null => (
                ValueRef::Text(b""),
                Some("was NULL and is now '': the call has no age"),
            ),
            Self::Time | Self::TimeOrNow | Self::CallTime => {
                let is_time =
                    is_null || text(value).is_some_and(|text| UnixMillis::parse(text).is_some());
                same((!is_time).then_some("is not a valid time"))
            }
            Self::NotNull if is_null => (ZERO, Some("was NULL and is now 0")),
            Self::NotNull | Self::Any => {
                let is_garbled =
                    matches!(value, ValueRef::Text(text) if std::str::from_utf8(text).is_err());
                same(is_garbled.then_some("is not UTF-8; its bytes are unchanged"))
            }
        }
    }
}

/// A text in UTF-8.
fn text(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

/// The names of the columns that both databases have, without [`AUTHOR`]: an import is no change by
/// an operator.
fn columns(table: Table, dump: &Dump, pool: &Connection, notes: &mut Notes) -> Result<Vec<String>> {
    let (ours, theirs) = (names(pool, table)?, names(&dump.database, table)?);
    for name in &theirs {
        if !ours.contains(name) {
            notes.ignore_column(table, name);
        }
    }
    let required: &[&str] = match table {
        Table::Keys => &["id", "api_key"],
        Table::Tokens => &["id", "prefix", "digest", "name", "created_at", "updated_at"],
        Table::Calls => &["id", "api_key_id", "success", "called_at"],
    };
    for name in required {
        ensure!(
            theirs.iter().any(|their| their == name),
            "the dump's table has no column {name}, so it is not of an earlier deployment"
        );
    }
    let both = ours.into_iter().filter(|name| theirs.contains(name));
    let both = both.filter(|name| name != AUTHOR);
    Ok(both.collect())
}

/// The names of a table's columns, in lower case.
fn names(database: &Connection, table: Table) -> rusqlite::Result<Vec<String>> {
    let names = "SELECT lower(name) FROM pragma_table_info(?1)";
    let mut statement = database.prepare(names)?;
    statement
        .query_map([table.name()], |row| row.get(0))?
        .collect()
}

/// Copies a table, reports the progress, and returns the number of rows.
///
/// # Errors
/// A required column is missing, or a database fails.
pub(super) fn table(
    table: Table,
    dump: &Dump,
    pool: &Connection,
    now: &str,
    notes: &mut Notes,
    mut progress: impl FnMut(u64),
) -> Result<u64> {
    let columns = columns(table, dump, pool, notes)?;
    let rules: Vec<Rule> = columns.iter().map(|it| Rule::of(table, it)).collect();
    let marks = vec!["?"; columns.len()].join(", ");
    let names = columns.join(", ");
    let name = table.name();
    let mut select = dump
        .database
        .prepare(&format!("SELECT {names} FROM {name}"))?;
    let mut insert = pool.prepare(&format!("INSERT INTO {name} ({names}) VALUES ({marks})"))?;
    let mut rows = select.query([])?;
    let mut copied = 0;
    while let Some(row) = rows.next()? {
        let id = row.get_ref("id")?.as_i64().ok();
        for (at, (column, rule)) in columns.iter().zip(&rules).enumerate() {
            let (value, note) = rule.apply(row.get_ref(at)?, now);
            if let Some(note) = note {
                notes.add(table, column, note, id);
            }
            // Text may be in any encoding.
            insert.raw_bind_parameter(at + 1, ToSqlOutput::Borrowed(value))?;
        }
        match insert.raw_execute() {
            Ok(_) => copied += 1,
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                notes.add(table, "id", skipped(table), id);
            }
            Err(error) => return Err(error.into()),
        }
        progress(copied);
    }
    Ok(copied)
}

/// Says why a row was not accepted.
fn skipped(table: Table) -> &'static str {
    match table {
        Table::Keys | Table::Calls => "is skipped: it has no key, or another row has its key or id",
        Table::Tokens => {
            "is skipped: it has no digest, prefix or name, or another row has its digest or id"
        }
    }
}
