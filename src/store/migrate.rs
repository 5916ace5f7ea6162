//! The schema, brought up to date at first use.

use super::cool_downs::PAUSED_UNTIL;
use super::{Database, DatabaseError, ErrorKind, Value, Within, number, read, write};
use crate::pool::{CLOCK_TOLERANCE_MS, KeyStatus, UnixMillis};
use std::rc::Rc;

/// All migrations in order; the first is number 1.
const MIGRATIONS: [(&str, &str); 2] = [
    (
        "0001_owner",
        include_str!("../../migrations/0001_owner.sql"),
    ),
    ("0002_pool", include_str!("../../migrations/0002_pool.sql")),
];

/// The line between two statements of a file: the host runs one statement at a time.
const SEPARATOR: &str = "\n-- ;;\n";

const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)";
const RECORD: &str = "INSERT OR IGNORE INTO schema_migrations (id, name) VALUES (?1, ?2)";

/// Applies the migrations that are missing. One cheap query where none is; safe when several instances do it at once,
/// since every statement of every migration may run twice.
///
/// # Errors
/// The database cannot be read or changed, or is of a newer version of the pool.
pub async fn migrate(database: &impl Database) -> Result<(), DatabaseError> {
    let applied = format!("SELECT {} FROM schema_migrations", number("max(id)"));
    let applied = match read(database, &applied, Vec::new()).await {
        Ok(rows) => rows.first().and_then(|row| row.integer(0)).unwrap_or(0),
        Err(error) if error.kind() == ErrorKind::NoSuchTable => {
            write(database, CREATE_TABLE, Vec::new()).await?;
            0
        }
        Err(error) => return Err(error),
    };
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if applied > newest {
        return Err(DatabaseError::new(&format!(
            "the database is of a newer version of the pool: its schema has number {applied}, and this version knows {newest}; run the newer version, or restore a copy of the database from before"
        )));
    }
    for (id, (name, sql)) in (1i64..).zip(MIGRATIONS).filter(|(id, _)| *id > applied) {
        for statement in statements(sql) {
            match write(database, statement, Vec::new()).await {
                Err(error) if error.kind() != ErrorKind::DuplicateColumn => {
                    return Err(error.within(&format!("migration {name}")));
                }
                Ok(_) | Err(_) => {}
            }
        }
        write(database, RECORD, vec![Value::from(id), Value::from(name)]).await?;
    }
    Ok(())
}

/// Whether the pool can serve, as far as the database says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// No key is in use.
    NoKey,
    /// The database takes no writes: it is read-only, full, locked or gone.
    NotWritable(DatabaseError),
}

/// How long a write, by whatever instance, says that the database takes writes, in milliseconds: 1 s.
const WRITABLE_MS: i64 = 1_000;
/// How long the write waits for the lock, in milliseconds: 1 s.
const CHECK_WAIT_MS: u64 = 1_000;

/// Whether some key is neither disabled nor paused, and whether the database took a write lately.
fn look() -> String {
    // As `ApiKey` has it: other rows are left out when the pool is read.
    let is_key = "api_key IS NOT NULL AND length(CAST(api_key AS BLOB)) BETWEEN 1 AND 1024 AND NOT (api_key GLOB '*[^!-~]*')";
    format!(
        "SELECT EXISTS (SELECT 1 FROM api_keys WHERE status = {active} AND {is_key})
    OR EXISTS (SELECT 1 FROM api_keys WHERE status = {cooling} AND {is_key} AND {PAUSED_UNTIL} <= ?1),
    EXISTS (SELECT 1 FROM readiness WHERE checked_at > ?2 AND checked_at <= ?3)",
        active = KeyStatus::Active.code(),
        cooling = KeyStatus::Cooling.code()
    )
}

const CHECK: &str = "INSERT INTO readiness (id, checks, checked_at) VALUES (1, 1, ?1)
ON CONFLICT (id) DO UPDATE SET checks = checks + 1, checked_at = excluded.checked_at";

/// Looks whether the pool can serve: by one small read, and, once a second over all instances, by one small write.
///
/// # Errors
/// The database cannot be read.
pub async fn readiness<D: Database>(
    database: &Rc<D>,
    now: UnixMillis,
) -> Result<Readiness, DatabaseError> {
    let parameters = vec![
        Value::from(now.to_iso()),
        Value::from(now.plus(-WRITABLE_MS).to_iso()),
        Value::from(now.plus(CLOCK_TOLERANCE_MS).to_iso()),
    ];
    let rows = read(&**database, &look(), parameters).await?;
    let says = |column| rows.first().and_then(|row| row.integer(column)) == Some(1);
    if !says(1) {
        let database = Within::new(Rc::clone(database), CHECK_WAIT_MS);
        let checked = write(&database, CHECK, vec![Value::from(now.to_iso())]).await;
        if let Err(error) = checked {
            return Ok(Readiness::NotWritable(error));
        }
    }
    Ok(if says(0) {
        Readiness::Ready
    } else {
        Readiness::NoKey
    })
}

/// The statements of a migration file.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(SEPARATOR)
        .map(|statement| statement.trim().trim_end_matches(';'))
}

#[cfg(test)]
mod tests;
