//! `spin:sqlite` on local files.
//!
//! A connection that the component opens is a connection of its own, as with Spin: writers of several instances meet
//! in the file, and wait for each other there for up to 5 s (SQLite's busy time-out as rusqlite sets it). A text of
//! several statements is refused; Spin would run the first and silently drop the others.

use crate::bindings::sqlite::{self, Error, QueryResult, RowResult, Value};
use crate::log::announce;
use crate::manifest::App;
use anyhow::{Context, Result};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{Value as SqlValue, ValueRef};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::component::{Accessor, FutureReader, HasData, Resource, ResourceTable, StreamReader};

/// Spin's name for the default database's file.
pub(crate) const FILE: &str = "sqlite_db.db";
/// A result of more bytes than this is refused, as with Spin: 128 MiB.
const MAX_RESULT_BYTES: usize = 128 << 20;

/// The databases of the application.
pub(crate) struct Databases {
    file: PathBuf,
    /// Those that the component may open.
    allowed: Vec<String>,
    /// Run by the component so far.
    statements: AtomicU64,
}

impl Databases {
    /// Makes the folder of the default database.
    ///
    /// # Errors
    /// It cannot be made or written to.
    pub(crate) fn prepare(app: &App, state_dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(state_dir).with_context(|| {
            format!(
                "cannot make the folder {} for the database (--state-dir names another one)",
                state_dir.display()
            )
        })?;
        let databases = Self {
            file: state_dir.join(FILE),
            allowed: app.sqlite_databases.clone(),
            statements: AtomicU64::new(0),
        };
        databases
            .connect()
            .and_then(|connection| {
                // Opening does not touch the file yet.
                connection.query_row("PRAGMA schema_version", [], |_| Ok(()))
            })
            .with_context(|| format!("cannot open the database {}", databases.file.display()))?;
        announce(format_args!(
            "Storing default SQLite data to {:?}.",
            databases.file
        ));
        Ok(databases)
    }

    /// Runs what `--sqlite` says: a statement, or all statements of `@FILE`.
    ///
    /// # Errors
    /// A file cannot be read, or a statement fails. Statements may hold keys, so they are not repeated.
    pub(crate) fn execute_at_start(&self, statements: &[String]) -> Result<()> {
        if statements.is_empty() {
            return Ok(());
        }
        let connection = self.connect()?;
        for (index, statement) in statements.iter().enumerate() {
            match statement.strip_prefix('@') {
                Some(file) => {
                    // Spin allows the database's name after the file's.
                    let file = file.strip_suffix(":default").unwrap_or(file);
                    let sql = std::fs::read_to_string(file)
                        .with_context(|| format!("--sqlite cannot read {file}"))?;
                    connection
                        .execute_batch(&sql)
                        .map_err(without_statement)
                        .with_context(|| format!("--sqlite @{file}"))?;
                }
                None => {
                    run(&connection, statement, Vec::new())
                        .map_err(anyhow::Error::msg)
                        .with_context(|| {
                            format!("the statement of --sqlite number {}", index + 1)
                        })?;
                }
            }
        }
        Ok(())
    }

    /// Statements that the component has run so far.
    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    fn connect(&self) -> rusqlite::Result<rusqlite::Connection> {
        rusqlite::Connection::open(&self.file)
    }

    fn open(&self, database: &str) -> Result<rusqlite::Connection, Error> {
        if !self.allowed.iter().any(|allowed| allowed == database) {
            return Err(Error::AccessDenied);
        }
        let connection = self.connect().map_err(io)?;
        // The file system stays out of reach: no other file, but temporary and in-memory databases.
        connection
            .authorizer(Some(|context: AuthContext<'_>| match context.action {
                AuthAction::Attach { filename } if !matches!(filename, "" | ":memory:") => {
                    Authorization::Deny
                }
                _ => Authorization::Allow,
            }))
            .map_err(io)?;
        Ok(connection)
    }
}

/// `rusqlite`'s message for a failed batch quotes the statement.
fn without_statement(error: rusqlite::Error) -> anyhow::Error {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => anyhow::anyhow!(msg),
        other => other.into(),
    }
}

fn io(error: rusqlite::Error) -> Error {
    Error::Io(match error {
        // The statement belongs to the guest, which knows it; and it may be long.
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        other => other.to_string(),
    })
}

/// A connection that the component has opened.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Connection(Arc<Mutex<rusqlite::Connection>>);

impl Connection {
    /// Works with the connection on a thread that may wait.
    async fn with<T: Send + 'static>(
        self,
        work: impl FnOnce(&rusqlite::Connection) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let done = tokio::task::spawn_blocking(move || {
            // A connection is as good after a panic as before: SQLite has its own state.
            work(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.map_err(|error| Error::Io(error.to_string()))
    }

    async fn execute(
        self,
        statement: String,
        parameters: Vec<Value>,
    ) -> Result<QueryResult, Error> {
        self.with(move |connection| run(connection, &statement, parameters))
            .await?
    }
}

fn run(
    connection: &rusqlite::Connection,
    statement: &str,
    parameters: Vec<Value>,
) -> Result<QueryResult, Error> {
    let mut statement = connection.prepare_cached(statement).map_err(io)?;
    let columns: Vec<String> = statement
        .column_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let parameters = parameters.into_iter().map(|value| match value {
        Value::Null => SqlValue::Null,
        Value::Integer(value) => SqlValue::Integer(value),
        Value::Real(value) => SqlValue::Real(value),
        Value::Text(text) => SqlValue::Text(text),
        Value::Blob(bytes) => SqlValue::Blob(bytes),
    });
    let mut cursor = statement
        .query(rusqlite::params_from_iter(parameters))
        .map_err(io)?;
    let mut rows = Vec::new();
    let mut size = 0usize;
    while let Some(row) = cursor.next().map_err(io)? {
        let mut values = Vec::with_capacity(columns.len());
        for column in 0..columns.len() {
            let value = value(row.get_ref(column).map_err(io)?)?;
            size = size.saturating_add(size_of(&value));
            values.push(value);
        }
        if size > MAX_RESULT_BYTES {
            return Err(Error::Io(format!(
                "query result exceeds limit of {MAX_RESULT_BYTES} bytes"
            )));
        }
        rows.push(RowResult { values });
    }
    Ok(QueryResult { columns, rows })
}

fn value(value: ValueRef<'_>) -> Result<Value, Error> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(text) => Value::Text(
            String::from_utf8(text.to_vec())
                .map_err(|_| Error::Io("a text in the result is not UTF-8".to_owned()))?,
        ),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    })
}

fn size_of(value: &Value) -> usize {
    std::mem::size_of::<Value>()
        + match value {
            Value::Text(text) => text.len(),
            Value::Blob(bytes) => bytes.len(),
            Value::Null | Value::Integer(_) | Value::Real(_) => 0,
        }
}

/// Names [`SqliteView`] to wasmtime.
pub(crate) struct SqliteHost;

impl HasData for SqliteHost {
    type Data<'a> = SqliteView<'a>;
}

/// One call's view of an instance.
pub(crate) struct SqliteView<'a> {
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) databases: &'a Databases,
}

impl SqliteView<'_> {
    fn open_connection(
        &mut self,
        database: &str,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        match self.databases.open(database) {
            Ok(connection) => {
                let connection = Connection(Arc::new(Mutex::new(connection)));
                Ok(Ok(self.table.push(connection)?))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn connection(&self, handle: &Resource<Connection>) -> wasmtime::Result<Connection> {
        Ok(self.table.get(handle)?.clone())
    }

    /// The connection, for a statement.
    fn connection_to_execute(&self, handle: &Resource<Connection>) -> wasmtime::Result<Connection> {
        self.databases.statements.fetch_add(1, Ordering::Relaxed);
        self.connection(handle)
    }
}

impl sqlite::Host for SqliteView<'_> {}

impl sqlite::HostConnection for SqliteView<'_> {
    async fn open(
        &mut self,
        database: String,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        self.open_connection(&database)
    }

    async fn execute(
        &mut self,
        handle: Resource<Connection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<QueryResult, Error>> {
        Ok(self
            .connection_to_execute(&handle)?
            .execute(statement, parameters)
            .await)
    }

    async fn last_insert_rowid(&mut self, handle: Resource<Connection>) -> wasmtime::Result<i64> {
        Ok(self
            .connection(&handle)?
            .with(rusqlite::Connection::last_insert_rowid)
            .await?)
    }

    async fn changes(&mut self, handle: Resource<Connection>) -> wasmtime::Result<u64> {
        Ok(self
            .connection(&handle)?
            .with(rusqlite::Connection::changes)
            .await?)
    }

    async fn drop(&mut self, handle: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

type Streamed = (
    Vec<String>,
    StreamReader<RowResult>,
    FutureReader<Result<(), Error>>,
);

impl<T: Send> sqlite::HostConnectionWithStore<T> for SqliteHost {
    async fn open_async(
        accessor: &Accessor<T, Self>,
        database: String,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        accessor.with(|mut access| access.get().open_connection(&database))
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        handle: Resource<Connection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<Streamed, Error>> {
        let connection = accessor.with(|mut access| access.get().connection_to_execute(&handle))?;
        // As with Spin, a statement that fails is told by the future, after a stream without rows.
        let (columns, rows, result) = match connection.execute(statement, parameters).await {
            Ok(QueryResult { columns, rows }) => (columns, rows, Ok(())),
            Err(error) => (Vec::new(), Vec::new(), Err(error)),
        };
        accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, rows)?;
            let result =
                FutureReader::new(&mut access, async move { wasmtime::error::Ok(result) })?;
            Ok(Ok((columns, rows, result)))
        })
    }

    async fn last_insert_rowid_async(
        accessor: &Accessor<T, Self>,
        handle: Resource<Connection>,
    ) -> wasmtime::Result<i64> {
        let connection = accessor.with(|mut access| access.get().connection(&handle))?;
        Ok(connection
            .with(rusqlite::Connection::last_insert_rowid)
            .await?)
    }

    async fn changes_async(
        accessor: &Accessor<T, Self>,
        handle: Resource<Connection>,
    ) -> wasmtime::Result<u64> {
        let connection = accessor.with(|mut access| access.get().connection(&handle))?;
        Ok(connection.with(rusqlite::Connection::changes).await?)
    }
}
