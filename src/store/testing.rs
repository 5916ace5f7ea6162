//! A native SQLite database that runs the real SQL in tests.

use super::{Access, Author, Database, DatabaseError, KeyVault, Result, Row, Value};
use crate::config::Config;
use crate::pool::UnixMillis;
use crate::sync::yield_now;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fallible_iterator::FallibleIterator;
use libsql_sqlite3_parser::ast::{Cmd, Stmt};
use libsql_sqlite3_parser::lexer::sql::Parser;
use rusqlite::StatementStatus;
use rusqlite::types::ValueRef;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Mutex;
use tempfile::TempDir;

/// The time of tests: 2027-01-15T08:00:00.000Z.
pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// An operator who makes changes.
pub(crate) const AUTHOR: Author<'_> = Author {
    actor: "admin_token",
    request_id: "req_1",
};

/// A dump from before the first migration.
pub(crate) const EARLIER_DEPLOYMENT: &str =
    include_str!("../../tests/fixtures/earlier_deployment.sql");

/// A vault with the encryption keys of these numbers, current and previous; 0 for none.
pub(crate) fn vault(current: u8, previous: u8) -> KeyVault {
    let config = Config::from_variables(|name| {
        let number = match name {
            "encryption_key" => current,
            "encryption_key_previous" => previous,
            _ => 0,
        };
        (number > 0).then(|| encryption_key(number))
    });
    KeyVault::new(&config.unwrap().encryption)
}

/// The encryption key of a number.
pub(crate) fn encryption_key(number: u8) -> String {
    BASE64_STANDARD.encode([number; 32])
}

/// A database for native tests. A text of several statements is an error, since a host might run
/// only the first.
pub(crate) struct NativeDatabase {
    pub(crate) connection: rusqlite::Connection,
    /// Statements to fail, by a part of their text: `(part, error, how often)`.
    failures: RefCell<Vec<(String, String, usize)>>,
    statements: Cell<usize>,
    steps: Cell<i64>,
    pending_first: Cell<bool>,
    /// Called before each statement.
    before_each: RefCell<Option<Box<dyn Fn()>>>,
    /// The simulated time in milliseconds.
    clock_ms: Cell<u64>,
    try_ms: Cell<u64>,
    errors: Cell<u64>,
}

impl NativeDatabase {
    pub(crate) fn in_memory() -> Self {
        Self::new(rusqlite::Connection::open_in_memory().unwrap())
    }

    fn new(connection: rusqlite::Connection) -> Self {
        Self {
            connection,
            failures: RefCell::default(),
            statements: Cell::default(),
            steps: Cell::default(),
            pending_first: Cell::default(),
            before_each: RefCell::default(),
            clock_ms: Cell::default(),
            try_ms: Cell::default(),
            errors: Cell::default(),
        }
    }

    /// Makes every later statement take `ms` milliseconds.
    pub(crate) fn each_try_takes(&self, ms: u64) {
        self.try_ms.set(ms);
    }

    /// Makes every later statement yield first, as on a host.
    pub(crate) fn answer_at_the_second_poll(&self) {
        self.pending_first.set(true);
    }

    /// Calls `first` before every later statement, for example to advance the time.
    pub(crate) fn before_each(&self, first: impl Fn() + 'static) {
        self.before_each.replace(Some(Box::new(first)));
    }

    /// How many statements were executed so far.
    pub(crate) fn statements(&self) -> usize {
        self.statements.get()
    }

    /// How many steps SQLite's virtual machine took so far for the statements executed.
    pub(crate) fn steps(&self) -> i64 {
        self.steps.get()
    }

    /// An empty database with all migrations applied.
    pub(crate) fn migrated() -> Self {
        let database = Self::in_memory();
        futures::executor::block_on(super::migrate(&database)).unwrap();
        // On a new database, a statement of the migration fails.
        database.errors.set(0);
        database
    }

    /// A migrated database with this many active keys, from 1 and `fake-1`.
    pub(crate) fn with_keys(keys: usize) -> Self {
        let database = Self::migrated();
        database.add_keys(keys);
        database
    }

    pub(crate) fn add_keys(&self, keys: usize) {
        for id in 1..=keys {
            self.run(&format!(
                "INSERT INTO api_keys (id, api_key) VALUES ({id}, 'fake-{id}')"
            ));
        }
    }

    pub(crate) fn fail(&self, part: &str, error: &str, times: usize) {
        self.failures
            .borrow_mut()
            .push((part.to_owned(), error.to_owned(), times));
    }

    pub(crate) fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    /// The rows of a query as text, with `|` between columns, like the `sqlite3` shell.
    pub(crate) fn query(&self, sql: &str) -> Vec<String> {
        let (rows, _) = run(&self.connection, sql, Vec::new()).unwrap();
        rows.iter().map(text_of).collect()
    }

    /// How many rows there are, such as `api_keys WHERE status = 0`.
    pub(crate) fn count(&self, rows: &str) -> usize {
        let count = self.query(&format!("SELECT count(*) FROM {rows}"));
        count.concat().parse().unwrap()
    }

    /// The steps by which SQLite would run a statement.
    pub(crate) fn plan(&self, statement: &str) -> String {
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let parameters = self.connection.prepare(&explain).unwrap().parameter_count();
        let (plan, _) = run(&self.connection, &explain, vec![Value::Null; parameters]).unwrap();
        plan.iter().map(text_of).collect::<Vec<_>>().join("\n")
    }
}

/// Each executed statement as libSQL's client rewrites it.
static REWRITTEN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// The statement as libSQL's client sends it: parsed and serialized again. Every statement in a
/// test takes this path, so that no statement that libSQL cannot run goes unnoticed.
fn sent(statement: &str) -> String {
    if let Some(rewritten) = REWRITTEN.lock().unwrap().get(statement) {
        return rewritten.clone();
    }
    // Without optimization, the parser takes half of a test's stack.
    let parsing = std::thread::scope(|scope| scope.spawn(|| rewritten(statement)).join());
    let rewritten = parsing.expect("libSQL's client can parse it");
    let mut all = REWRITTEN.lock().unwrap();
    all.insert(statement.to_owned(), rewritten.clone());
    rewritten
}

fn rewritten(statement: &str) -> String {
    let mut parser = Parser::new(statement.as_bytes());
    match parser.next() {
        Ok(Some(parsed @ Cmd::Stmt(_))) => {
            assert!(
                matches!(parser.next(), Ok(None)),
                "libSQL would run only the first statement of {statement}"
            );
            // The client sends a lone CREATE TABLE unchanged.
            match parsed {
                Cmd::Stmt(Stmt::CreateTable { .. }) => statement.to_owned(),
                parsed => parsed.to_string(),
            }
        }
        other => panic!("libSQL's client cannot parse {statement}: {other:?}"),
    }
}

impl Database for NativeDatabase {
    async fn try_execute(
        &self,
        _access: Access,
        statement: &str,
        parameters: Vec<Value>,
        _limit_ms: u64,
    ) -> Result<Vec<Row>> {
        if self.pending_first.get() {
            yield_now().await;
        }
        self.statements.set(self.statements.get() + 1);
        self.clock_ms.set(self.clock_ms.get() + self.try_ms.get());
        if let Some(first) = &*self.before_each.borrow() {
            first();
        }
        for (part, error, times) in self.failures.borrow_mut().iter_mut() {
            if *times > 0 && statement.contains(part.as_str()) {
                *times -= 1;
                return Err(DatabaseError::new(error));
            }
        }
        let statement = sent(statement);
        let (rows, steps) = run(&self.connection, &statement, parameters)
            .map_err(|error| DatabaseError::new(&error.to_string()))?;
        self.steps.set(self.steps.get() + i64::from(steps));
        Ok(rows)
    }

    fn clock_ms(&self) -> u64 {
        self.clock_ms.get()
    }

    async fn pause(&self, ms: u64) {
        self.clock_ms.set(self.clock_ms.get() + ms);
    }

    fn errors(&self) -> Option<&Cell<u64>> {
        Some(&self.errors)
    }
}

/// A database in a temporary file that many can open.
pub(crate) struct DatabaseFile(TempDir);

impl DatabaseFile {
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With all migrations applied, and with the component's journal mode.
    pub(crate) fn migrated() -> Self {
        let file = Self::empty();
        let database = file.open();
        futures::executor::block_on(super::migrate(&database)).unwrap();
        database.run("PRAGMA journal_mode = WAL");
        file
    }

    pub(crate) fn open(&self) -> NativeDatabase {
        let path = self.0.path().join("pool.db");
        NativeDatabase::new(rusqlite::Connection::open(path).unwrap())
    }

    /// Runs several instances concurrently, each with a connection and its number, from 1.
    pub(crate) fn in_parallel(&self, instances: i64, work: impl Fn(i64, NativeDatabase) + Sync) {
        std::thread::scope(|scope| {
            for number in 1..=instances {
                let work = &work;
                scope.spawn(move || work(number, self.open()));
            }
        });
    }
}

fn text_of(row: &Row) -> String {
    let columns = row.0.iter().map(|value| match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(value) => value.to_string(),
        Value::Real(value) => value.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    });
    columns.collect::<Vec<_>>().join("|")
}

/// The rows of a statement, and the steps that it took.
fn run(
    connection: &rusqlite::Connection,
    statement: &str,
    parameters: Vec<Value>,
) -> rusqlite::Result<(Vec<Row>, i32)> {
    let mut statement = connection.prepare_cached(statement)?;
    let columns = statement.column_count();
    let parameters = parameters.into_iter().map(|value| match value {
        Value::Null => rusqlite::types::Value::Null,
        Value::Integer(value) => rusqlite::types::Value::Integer(value),
        Value::Real(value) => rusqlite::types::Value::Real(value),
        Value::Text(text) => rusqlite::types::Value::Text(text),
        Value::Blob(bytes) => rusqlite::types::Value::Blob(bytes),
    });
    let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
    let mut result = Vec::new();
    while let Some(row) = rows.next()? {
        let values = (0..columns)
            .map(|column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(value) => Value::Integer(value),
                    ValueRef::Real(value) => Value::Real(value),
                    // A host would trap here.
                    ValueRef::Text(text) => Value::Text(
                        String::from_utf8(text.to_vec())
                            .expect("texts by operators must be read as bytes"),
                    ),
                    ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
                })
            })
            .collect::<rusqlite::Result<_>>()?;
        result.push(Row(values));
    }
    drop(rows);
    let steps = statement.reset_status(StatementStatus::VmStep);
    Ok((result, steps))
}
