//! The pool's database: opened exclusively, migrated like the component does, and filled.

use super::copy;
use super::dump::{Dump, Table};
use super::notes::Notes;
use super::progress::Progress;
use anyhow::{Context, Result, anyhow, ensure};
use gemini_keypool::pool::UnixMillis;
use gemini_keypool::store::{self, Access, Database, DatabaseError, Row, Value};
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use std::path::Path;
use std::time::Duration;

/// Indexes of the log that only the owner needs, with their columns; created if the dump has them.
const OWNERS_INDEXES: [(&str, &str); 2] = [
    ("idx_logs_api_key_id", "api_key_id"),
    ("idx_logs_success", "success"),
];

/// How long to wait for another program, such as a stopping pool, to close the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The pool's database in a transaction, which is rolled back unless it is committed.
pub(super) struct Pool(Connection);

impl Pool {
    /// Opens the database exclusively and begins the transaction.
    ///
    /// # Errors
    /// The database cannot be opened, is in use, or is not empty. The message says what to do.
    pub(super) fn open(file: &Path) -> Result<Self> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        begin(&connection).map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => anyhow!(
                "it is in use; stop the pool (`keypool up`, `spin up`) and any other program that \
                 has it open, and run this again"
            ),
            _ => error.into(),
        })?;
        let pool = Self(connection);
        pool.check_empty()?;
        Ok(pool)
    }

    /// With other data, an import that is repeated could duplicate rows.
    fn check_empty(&self) -> Result<()> {
        let keys = self.count("api_keys")?;
        let tokens = self.count("client_tokens")?;
        let calls = self.count("api_call_logs")?;
        let sums = self.count("api_call_hours")?;
        ensure!(
            keys == 0 && tokens == 0 && calls == 0 && sums == 0,
            "it already has data ({keys} keys, {tokens} client tokens, {calls} calls, {sums} hourly \
             sums), which an import could duplicate. Import into a new database: choose another \
             folder with --state-dir, or move this file away. Keys from gemini_api_key are added \
             again when the pool starts"
        );
        let foreign_keys = "SELECT count(*) FROM pragma_foreign_key_list('api_call_logs')";
        let foreign_keys: i64 = self.0.query_row(foreign_keys, [], |row| row.get(0))?;
        ensure!(
            foreign_keys == 0,
            "its empty tables are those of an earlier deployment, where deleting a key deletes its \
             calls or fails. Import into a new database: choose another folder with --state-dir, \
             or move this file away"
        );
        Ok(())
    }

    fn count(&self, table: &str) -> rusqlite::Result<i64> {
        let exists = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        match self.0.query_row(exists, [table], |_| Ok(())).optional()? {
            Some(()) => {
                let count = format!("SELECT count(*) FROM {table}");
                self.0.query_row(&count, [], |row| row.get(0))
            }
            None => Ok(0),
        }
    }

    /// Migrates the database and copies a dump into it.
    ///
    /// # Errors
    /// The database rejects it.
    pub(super) fn fill(&mut self, dump: &Dump, progress: &mut Progress) -> Result<Filled> {
        wait(store::migrate(self))?;
        let now = self.now()?;
        let mut filled = Filled::default();
        for &table in &dump.tables {
            let before = filled.keys + filled.tokens + filled.calls;
            let rows = copy::table(table, dump, &self.0, &now, &mut filled.notes, |rows| {
                progress.show(before + rows);
            })
            .with_context(|| format!("table {}", table.name()))?;
            match table {
                Table::Keys => filled.keys = rows,
                Table::Tokens => filled.tokens = rows,
                Table::Calls => filled.calls = rows,
            }
            self.raise_sequence(table, dump)?;
        }
        for (index, column) in OWNERS_INDEXES {
            if dump.indexes.contains(index) {
                let create =
                    format!("CREATE INDEX IF NOT EXISTS {index} ON api_call_logs ({column})");
                self.0.execute_batch(&create)?;
            }
        }
        Ok(filled)
    }

    /// Raises the sequence, so that ids of rows deleted in the earlier deployment are not reused.
    fn raise_sequence(&self, table: Table, dump: &Dump) -> Result<()> {
        let last = "SELECT max(seq) FROM sqlite_sequence \
            WHERE name = ?1 COLLATE NOCASE AND typeof(seq) = 'integer'";
        let last: Option<i64> = dump
            .database
            .query_row(last, [table.name()], |row| row.get(0))?;
        let Some(last) = last else {
            return Ok(());
        };
        let raise = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1";
        if self.0.execute(raise, (table.name(), last))? == 0 {
            let insert = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";
            self.0.execute(insert, (table.name(), last))?;
        }
        Ok(())
    }

    /// Counts the calls, so that statistics of them are fast from the start.
    pub(super) fn count_calls(&self) -> Result<()> {
        let now = UnixMillis::parse(&self.now()?).context("SQLite returned no time")?;
        while wait(store::count_calls(self, now))? == store::Progress::MoreToCount {}
        Ok(())
    }

    /// The number of calls older than so many days.
    pub(super) fn old_calls(&self, days: u32) -> Result<u64> {
        let now = UnixMillis::parse(&self.now()?).context("SQLite returned no time")?;
        wait(store::count_old_calls(self, now, days))
    }

    /// The current time, in the format of the database.
    fn now(&self) -> rusqlite::Result<String> {
        let now = "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";
        self.0.query_row(now, [], |row| row.get(0))
    }

    pub(super) fn commit(self) -> Result<()> {
        Ok(self.0.execute_batch("COMMIT")?)
    }
}

fn begin(connection: &Connection) -> rusqlite::Result<()> {
    // Excludes a running pool even while it holds no lock.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    // Inserts need a statement journal, because of the trigger.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.execute_batch("BEGIN EXCLUSIVE")
}

/// The result of an import.
#[derive(Debug, Default)]
pub(super) struct Filled {
    /// Rows in the database.
    pub(super) keys: u64,
    pub(super) tokens: u64,
    pub(super) calls: u64,
    /// What was changed or left out.
    pub(super) notes: Notes,
}

/// Runs a future of the store, which never blocks here.
fn wait<T>(future: impl Future<Output = store::Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok(runtime.block_on(future)?)
}

impl Database for Pool {
    async fn try_execute(
        &self,
        _access: Access,
        statement: &str,
        parameters: Vec<Value>,
        _limit_ms: u64,
    ) -> store::Result<Vec<Row>> {
        run(&self.0, statement, parameters).map_err(|error| DatabaseError::new(&error.to_string()))
    }

    fn clock_ms(&self) -> u64 {
        0
    }

    async fn pause(&self, _ms: u64) {}

    /// No waiting: the transaction already holds the lock.
    fn patience_ms(&self, _access: Access) -> u64 {
        0
    }
}

fn run(
    connection: &Connection,
    statement: &str,
    parameters: Vec<Value>,
) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare(statement)?;
    let columns = statement.column_count();
    let parameters = parameters.into_iter().map(|value| match value {
        Value::Null => SqlValue::Null,
        Value::Integer(value) => SqlValue::Integer(value),
        Value::Real(value) => SqlValue::Real(value),
        Value::Text(text) => SqlValue::Text(text),
        Value::Blob(bytes) => SqlValue::Blob(bytes),
    });
    let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
    let mut result = Vec::new();
    while let Some(row) = rows.next()? {
        let value = |column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(value) => Value::Integer(value),
                ValueRef::Real(value) => Value::Real(value),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            })
        };
        let values: rusqlite::Result<_> = (0..columns).map(value).collect();
        result.push(Row(values?));
    }
    Ok(result)
}

#[cfg(test)]
mod tests;
