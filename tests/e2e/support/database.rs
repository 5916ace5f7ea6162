//! The pool's database file, from outside.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::path::{Path, PathBuf};

/// Where both hosts keep the default database.
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

pub(crate) fn execute(file: &Path, statements: &str) {
    Connection::open(file)
        .unwrap()
        .execute_batch(statements)
        .unwrap();
}
