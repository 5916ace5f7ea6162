//! The pool's database file, from outside.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::path::{Path, PathBuf};

/// The path of the default database, which is the same for both hosts.
pub(crate) fn file(state_dir: &Path) -> PathBuf {
    state_dir.join("sqlite_db.db")
}

pub(crate) fn rows(file: &Path, query: &str) -> Vec<String> {
    let connection = Connection::open(file).unwrap();
    let mut statement = connection.prepare(query).unwrap();
    let columns = statement.column_count();
    let mut cursor = statement.query([]).unwrap();
    let mut rows = Vec::new();
    while let Some(row) = cursor.next().unwrap() {
        let values = (0..columns).map(|column| match row.get_ref(column).unwrap() {
            ValueRef::Null => "NULL".to_owned(),
            ValueRef::Integer(value) => value.to_string(),
            ValueRef::Real(value) => value.to_string(),
            ValueRef::Text(text) | ValueRef::Blob(text) => {
                String::from_utf8_lossy(text).into_owned()
            }
        });
        rows.push(values.collect::<Vec<_>>().join("|"));
    }
    rows
}

/// A lock for writers, released on drop.
pub(crate) struct Lock(Connection);

impl Lock {
    pub(crate) fn of(file: &Path) -> Self {
        let connection = Connection::open(file).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(connection)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.execute_batch("COMMIT").unwrap();
    }
}

pub(crate) fn execute(file: &Path, statements: &str) {
    Connection::open(file)
        .unwrap()
        .execute_batch(statements)
        .unwrap();
}
