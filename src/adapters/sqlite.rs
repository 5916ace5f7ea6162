//! `spin:sqlite` behind the store's trait.
//!
//! Many instances write to one file, and SQLite has each wait for the lock in sleeps that grow to a tenth of a second:
//! under load, some would starve beside others that write all the time. So SQLite waits for a while only, in which its sleeps
//! are short, and is then asked anew. Not to have it wait at all would cost a way to the host and back for each look at the lock.

use crate::store::{Database, DatabaseError, Row, Value};
use spin_sdk::sqlite::{Connection, Error, Value as HostValue};
use spin_sdk::wasip3::clocks::monotonic_clock;

/// How long a connection that finds the database locked waits: 100 ms, in sleeps of up to 25 ms. Where the host refuses it
/// (libSQL), its own ways hold.
const WAIT_A_WHILE: &str = "PRAGMA busy_timeout = 100";
/// Said to each connection as well, where the host takes it: readers and writers do not block each other, and a commit survives
/// the end of the process; and the log before the database's pages, of which the busiest are written with every commit, is
/// worked off at 16 MiB instead of 4.
const PRAGMAS: [&str; 3] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA wal_autocheckpoint = 4000",
];

/// Nanoseconds between two tries of a statement that has found the database locked: 1 ms, since others hold the lock for a
/// tenth of that.
const LOCKED_WAIT_NS: u64 = 1_000_000;
/// Tries that come to 5 s, as Spin's own time-out is.
const LOCKED_TRIES: u64 = 50;
/// Tries where each waits for as long as the host sees fit.
const TRIES_OF_HOST: u64 = 1;

/// An open connection to the component's database.
pub(super) struct HostDatabase {
    connection: Connection,
    locked_tries: u64,
}

impl HostDatabase {
    /// Opens the default database.
    pub(super) async fn open() -> Result<Self, DatabaseError> {
        let connection = Connection::open_default().await.map_err(describe)?;
        let mut database = Self {
            connection,
            locked_tries: TRIES_OF_HOST,
        };
        if database.try_execute(WAIT_A_WHILE, Vec::new()).await.is_ok() {
            database.locked_tries = LOCKED_TRIES;
        }
        for pragma in PRAGMAS {
            // A host that refuses it has its own ways. Each is waited for, since it holds for this connection alone, and even a
            // pragma finds the database locked while another instance, the last one so far, closes it.
            let set = database.execute(pragma, Vec::new()).await;
            if set.is_err_and(|error| error.is_busy()) {
                break;
            }
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
        let mut tries = 1;
        loop {
            match self.try_execute(statement, parameters.clone()).await {
                Err(error) if error.is_busy() && self.wait_for_lock(tries).await => tries += 1,
                result => return result,
            }
        }
    }

    async fn wait_for_lock(&self, tries: u64) -> bool {
        if tries >= self.locked_tries {
            return false;
        }
        monotonic_clock::wait_for(LOCKED_WAIT_NS).await;
        true
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
            .connection
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
