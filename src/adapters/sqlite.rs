//! `spin:sqlite` behind the store's trait.

use crate::store::{Connector, DatabaseError, Reconnecting, Result, Row, Value};
use spin_sdk::sqlite::{Connection, Error, Value as HostValue};
use spin_sdk::wasip3::clocks::monotonic_clock;

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

/// The component's database.
pub(super) type HostDatabase = Reconnecting<HostConnector>;

/// Opens connections to the host's default database.
pub(super) struct HostConnector;

impl Connector for HostConnector {
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection> {
        Connection::open_default().await.map_err(describe)
    }

    async fn execute(
        &self,
        connection: &Connection,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Row>> {
        let parameters = parameters.into_iter().map(|value| match value {
            Value::Null => HostValue::Null,
            Value::Integer(value) => HostValue::Integer(value),
            Value::Real(value) => HostValue::Real(value),
            Value::Text(text) => HostValue::Text(text),
            Value::Blob(bytes) => HostValue::Blob(bytes),
        });
        let result = connection
            .execute(statement, parameters)
            .await
            .map_err(describe)?;
        let rows = result.collect().await.map_err(describe)?;
        Ok(rows
            .into_iter()
            .map(|row| Row(row.values.into_iter().map(from_host).collect()))
            .collect())
    }

    fn clock_ms(&self) -> u64 {
        monotonic_clock::now() / MS
    }

    async fn wait(&self, ms: u64) {
        monotonic_clock::wait_for(ms.saturating_mul(MS)).await;
    }
}

fn from_host(value: HostValue) -> Value {
    match value {
        HostValue::Null => Value::Null,
        HostValue::Integer(value) => Value::Integer(value),
        HostValue::Real(value) => Value::Real(value),
        HostValue::Text(text) => Value::Text(text),
        HostValue::Blob(bytes) => Value::Blob(bytes),
    }
}

fn describe(error: Error) -> DatabaseError {
    match error {
        Error::NoSuchDatabase | Error::AccessDenied => DatabaseError::new(
            "the component has no default database; spin.toml must list sqlite_databases = [\"default\"]",
        ),
        Error::InvalidConnection => DatabaseError::new("the connection is not open"),
        Error::DatabaseFull => DatabaseError::new("database or disk is full"),
        Error::Io(text) => DatabaseError::new(&text),
    }
}
