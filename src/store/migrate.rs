//! Schema migrations, and the readiness check.

use super::cool_downs::PAUSED_UNTIL;
use super::key_vault::KeyVault;
use super::read_pool::check_envelope;
use super::{
    Database, DatabaseError, ErrorKind, Result, Within, number, read, text, values, write,
};
use crate::embedded::{self, embedded};
use crate::pool::{CLOCK_TOLERANCE_MS, KeyStatus, UnixMillis};
use std::rc::Rc;

macro_rules! migration {
    ($name:literal) => {
        ($name, embedded!(concat!($name, ".sql")))
    };
}

/// All migrations in order, by name: the statements of a file in `migrations`, without comments. The
/// first is number 1.
const MIGRATIONS: [(&str, &[u8]); 7] = [
    migration!("0001_earlier_deployment"),
    migration!("0002_pool"),
    migration!("0003_operators"),
    migration!("0004_client_tokens"),
    migration!("0005_sealed_keys"),
    migration!("0006_keys"),
    migration!("0007_statistics"),
];

/// Separates the statements of a file, since the host runs one statement at a time.
const SEPARATOR: &str = "\n-- ;;\n";

const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)";
const RECORD: &str = "INSERT OR IGNORE INTO schema_migrations (id, name) VALUES (?1, ?2)";

/// Applies the missing migrations. Costs one cheap query if there are none. Several instances may
/// run it at once, since every statement of every migration may run twice.
///
/// # Errors
/// The database cannot be read or changed, or was created by a newer version of the pool.
pub async fn migrate(database: &impl Database) -> Result<()> {
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
            "the database was created by a newer version of the pool: its schema is version {applied}, but this version supports {newest}; run the newer version, or restore an older backup of the database"
        )));
    }
    for (id, (name, file)) in (1i64..).zip(MIGRATIONS).filter(|(id, _)| *id > applied) {
        let sql = embedded::text(file);
        let sql = sql.map_err(|error| DatabaseError::new(&error.to_string()))?;
        for statement in statements(&sql) {
            match write(database, statement, Vec::new()).await {
                Err(error) if error.kind() != ErrorKind::DuplicateColumn => {
                    return Err(error.within(&format!("migration {name}")));
                }
                Ok(_) | Err(_) => {}
            }
        }
        write(database, RECORD, values![id, name]).await?;
    }
    Ok(())
}

/// Whether the pool can serve, judging by the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// No key is usable: all are disabled, paused or broken.
    NoKey,
    /// The database does not accept writes: it is read-only, full, locked or unreachable.
    NotWritable(DatabaseError),
}

/// How long a successful check by any instance proves that the database accepts writes, in
/// milliseconds: 1 s.
const WRITABLE_MS: i64 = 1_000;
/// How long the check waits for the lock, in milliseconds: 1 s.
const CHECK_WAIT_MS: u64 = 1_000;

/// Conditions for usable keys: for the active ones, and for cooling ones whose pause is over at
/// `?1`.
pub(super) fn usable_keys() -> [String; 2] {
    // The rules of `ApiKey`: the pool ignores rows that break them. An envelope is longer than its
    // key.
    let is_key = "api_key IS NOT NULL AND (length(CAST(api_key AS BLOB)) BETWEEN 1 AND 1024 OR api_key GLOB 'sealed:*') AND NOT (api_key GLOB '*[^!-~]*')";
    let [active, cooling] = [KeyStatus::Active, KeyStatus::Cooling].map(KeyStatus::code);
    [
        format!("status = {active} AND {is_key}"),
        format!("status = {cooling} AND {is_key} AND {PAUSED_UNTIL} <= ?1"),
    ]
}

/// Selects whether any key is neither disabled nor paused, and whether a recent check proves that
/// the database accepts writes. The last column is an envelope that `vault` cannot open.
fn readiness_query(vault: &KeyVault) -> String {
    let [active, cooling] = usable_keys();
    format!(
        "SELECT EXISTS (SELECT 1 FROM api_keys WHERE {active})
    OR EXISTS (SELECT 1 FROM api_keys WHERE {cooling}),
    EXISTS (SELECT 1 FROM readiness WHERE checked_at > ?2 AND checked_at <= ?3),
    {foreign}",
        foreign = text(&vault.foreign_envelope())
    )
}

const CHECK: &str = "INSERT INTO readiness (id, checks, checked_at) VALUES (1, 1, ?1)
ON CONFLICT (id) DO UPDATE SET checks = checks + 1, checked_at = excluded.checked_at";

/// Checks whether the pool can serve, with one small read and, once per second across all
/// instances, one small write.
///
/// # Errors
/// The database cannot be read, or has keys that are sealed with an unknown encryption key.
pub async fn readiness<D: Database>(
    database: &Rc<D>,
    vault: &KeyVault,
    now: UnixMillis,
) -> Result<Readiness> {
    let parameters = values![now, now.plus(-WRITABLE_MS), now.plus(CLOCK_TOLERANCE_MS)];
    let rows = read(&**database, &readiness_query(vault), parameters).await?;
    if let Some(row) = rows.first() {
        check_envelope(row, 2)?;
    }
    let is_true = |column| rows.first().and_then(|row| row.integer(column)) == Some(1);
    if !is_true(1) {
        let database = Within::new(Rc::clone(database), CHECK_WAIT_MS);
        if let Err(error) = write(&database, CHECK, values![now]).await {
            return Ok(Readiness::NotWritable(error));
        }
    }
    Ok(if is_true(0) {
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
