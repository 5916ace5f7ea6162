//! `spin:sqlite` behind the store's trait.

use crate::store::{Database, DatabaseError, Row, Value};
use spin_sdk::sqlite::{Connection, Error, Value as HostValue};

/// An open connection to the component's database.
pub(super) struct HostDatabase(Connection);

impl HostDatabase {
    /// Opens the default database. Where it is local SQLite, readers and writers then do not block each other, and a
    /// commit survives the end of the process; where the host refuses that (libSQL), its own ways hold.
    pub(super) async fn open() -> Result<Self, DatabaseError> {
        let database = Self(Connection::open_default().await.map_err(describe)?);
        for pragma in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL"] {
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
