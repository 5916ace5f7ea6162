//! `spin:sqlite` behind the store's trait.
//!
//! Many instances write to one file, and SQLite has each wait for the lock in sleeps that grow to a tenth of a second:
//! under load, some would starve beside others that write all the time. So connections wait here, in short sleeps.

use crate::store::{Database, DatabaseError, LOCKED_TRIES, Row, Value};
use spin_sdk::sqlite::{Connection, Error, Value as HostValue};
use spin_sdk::wasip3::clocks::monotonic_clock;

/// Said to each connection, where the host takes it: readers and writers do not block each other, and a commit survives the
/// end of the process; who finds the database locked hears of it at once; and the log before the database's pages, of
/// which the busiest are written with every commit, is worked off at 16 MiB instead of 4.
const PRAGMAS: [&str; 4] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 0",
    "PRAGMA wal_autocheckpoint = 4000",
];

/// Nanoseconds between the first two tries of a statement that has found the database locked: 1 ms, since others hold the
/// lock for a tenth of that. It doubles up to 8 ms: longer, and some would starve beside others that come and go.
const LOCKED_WAIT_NS: u64 = 1_000_000;
const MOST_DOUBLINGS: u64 = 3;

/// An open connection to the component's database.
pub(super) struct HostDatabase(Connection);

impl HostDatabase {
    /// Opens the default database. Where the host refuses a pragma (libSQL), its own ways hold.
    pub(super) async fn open() -> Result<Self, DatabaseError> {
        let database = Self(Connection::open_default().await.map_err(describe)?);
        for pragma in PRAGMAS {
            let _ = database.execute(pragma, Vec::new()).await;
        }
        Ok(database)
    }
}

impl Database for HostDatabase {
    async fn execute(
        &self,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Row>, DatabaseError> {
        for tries in 1..LOCKED_TRIES {
            match self.try_execute(statement, parameters.clone()).await {
                Err(error) if error.is_busy() => self.wait_for_lock(tries).await,
                result => return result,
            }
        }
        self.try_execute(statement, parameters).await
    }

    async fn wait_for_lock(&self, tries: u64) {
        let doublings = tries.saturating_sub(1).min(MOST_DOUBLINGS);
        monotonic_clock::wait_for(LOCKED_WAIT_NS << doublings).await;
    }

    async fn try_execute(
        &self,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Row>, DatabaseError> {
        let parameters = parameters.into_iter().map(|value| match value {
            Value::Null => HostValue::Null,
            Value::Integer(value) => HostValue::Integer(value),
            Value::Real(value) => HostValue::Real(value),
            Value::Text(text) => HostValue::Text(text),
        });
        let result = self
            .0
            .execute(statement, parameters)
            .await
            .map_err(describe)?;
        let rows = result.collect().await.map_err(describe)?;
        Ok(rows
            .into_iter()
            .map(|row| Row(row.values.into_iter().map(from_host).collect()))
            .collect())
    }
}

fn from_host(value: HostValue) -> Value {
    match value {
        HostValue::Null => Value::Null,
        HostValue::Integer(value) => Value::Integer(value),
        HostValue::Real(value) => Value::Real(value),
        HostValue::Text(text) => Value::Text(text),
        HostValue::Blob(bytes) => Value::Text(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

fn describe(error: Error) -> DatabaseError {
    DatabaseError(match error {
        Error::NoSuchDatabase | Error::AccessDenied => {
            "the component has no default database; spin.toml must list sqlite_databases = [\"default\"]".to_owned()
        }
        Error::InvalidConnection => "the connection is not open".to_owned(),
        Error::DatabaseFull => "database or disk is full".to_owned(),
        Error::Io(text) => text,
    })
}
