//! `spin:sqlite` on local files.
//!
//! As with Spin, each connection of the component is a separate one, and writers wait for each
//! other for up to 5 s (rusqlite's busy time-out). Text that is not UTF-8 in a row traps the
//! instance, as with Spin. A query of several statements is rejected; Spin silently ignores all but
//! the first.
//!
//! SQLite keeps writing to a deleted file, and those writes are lost. Every statement therefore
//! fails once the file is no longer the one that the host started with.

mod script;

pub(crate) use script::error_kind;

use crate::bindings::sqlite::{self, Error, QueryResult, RowResult, Value};
use crate::log::announce;
use crate::manifest::App;
use anyhow::{Context, Result};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{Value as SqlValue, ValueRef};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::component::{Accessor, FutureReader, HasData, Resource, ResourceTable, StreamReader};

/// Spin's name for the default database's file.
pub(crate) const FILE: &str = "sqlite_db.db";
/// The maximum size of a row, as with Spin, or of a result that is not streamed: 128 MiB.
const MAX_BYTES: usize = 128 << 20;

/// The error of statements once the file is gone.
const MOVED: &str = "the database's file was deleted or replaced while the host was running; \
    stop the host, restore the file, and start again";

/// A file and its original identity.
#[derive(Debug)]
struct DatabaseFile {
    path: PathBuf,
    identity: Option<Identity>,
}

/// The device and the inode.
type Identity = (u64, u64);

impl DatabaseFile {
    fn at(path: PathBuf) -> Self {
        let identity = identity(&path);
        Self { path, identity }
    }

    fn is_in_place(&self) -> bool {
        self.identity.is_some() && self.identity == identity(&self.path)
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The databases of the application.
pub(crate) struct Databases {
    file: Arc<DatabaseFile>,
    /// Databases that the component may open.
    allowed: Vec<String>,
}

impl Databases {
    /// Creates the default database.
    ///
    /// # Errors
    /// It cannot be created or opened.
    pub(crate) fn prepare(app: &App, state_dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(state_dir).with_context(|| {
            format!(
                "cannot create the folder {} for the database (--state-dir sets another one)",
                state_dir.display()
            )
        })?;
        let path = state_dir.join(FILE);
        rusqlite::Connection::open(&path)
            .and_then(|connection| {
                // Opening alone does not touch the file.
                connection.query_row("PRAGMA schema_version", [], |_| Ok(()))
            })
            .with_context(|| format!("cannot open the database {}", path.display()))?;
        announce(format_args!("Storing default SQLite data to {path:?}."));
        Ok(Self {
            file: Arc::new(DatabaseFile::at(path)),
            allowed: app.sqlite_databases.clone(),
        })
    }

    /// Runs the `--sqlite` arguments, SQL or `@FILE`, each in a transaction.
    ///
    /// # Errors
    /// A file cannot be read, or a statement fails. Statements are not quoted: they may contain
    /// keys.
    pub(crate) fn execute_at_start(&self, arguments: &[String]) -> Result<()> {
        for (index, argument) in arguments.iter().enumerate() {
            let (sql, name) = match argument.strip_prefix('@') {
                Some(file) => {
                    // Spin allows the database's name after the file's.
                    let file = file.strip_suffix(":default").unwrap_or(file);
                    let sql = std::fs::read_to_string(file)
                        .with_context(|| format!("--sqlite cannot read {file}"))?;
                    (sql, format!("@{file}"))
                }
                None => (argument.clone(), format!("number {}", index + 1)),
            };
            script::run(&mut self.connect()?, &sql).with_context(|| format!("--sqlite {name}"))?;
        }
        Ok(())
    }

    fn connect(&self) -> rusqlite::Result<rusqlite::Connection> {
        let connection = rusqlite::Connection::open(&self.file.path)?;
        // A key that is replaced by a sealed one must not stay in the unused parts of the file.
        connection.pragma_update(None, "secure_delete", "ON")?;
        Ok(connection)
    }

    fn open(&self, database: &str) -> Result<rusqlite::Connection, Error> {
        if !self.allowed.iter().any(|allowed| allowed == database) {
            return Err(Error::AccessDenied);
        }
        if !self.file.is_in_place() {
            return Err(Error::Io(MOVED.to_owned()));
        }
        let connection = self.connect().map_err(io)?;
        // No access to other files; temporary and in-memory databases are allowed.
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

fn io(error: rusqlite::Error) -> Error {
    Error::Io(match error {
        // Without the statement, which the component knows and which may be long.
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        other => other.to_string(),
    })
}

/// A connection of the component.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Connection {
    sqlite: Arc<Mutex<rusqlite::Connection>>,
    file: Arc<DatabaseFile>,
}

impl Connection {
    /// Uses the connection on a thread that may block.
    async fn with<T: Send + 'static>(
        self,
        work: impl FnOnce(&rusqlite::Connection) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let done = tokio::task::spawn_blocking(move || {
            // A panic leaves the connection usable: SQLite has its own state.
            work(&self.sqlite.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.map_err(|error| Error::Io(error.to_string()))
    }

    async fn execute(
        self,
        statement: String,
        parameters: Vec<Value>,
        limit: Limit,
    ) -> wasmtime::Result<Result<QueryResult, Error>> {
        let file = Arc::clone(&self.file);
        let ran = self
            .with(move |connection| {
                if !file.is_in_place() {
                    return Err(Failed::Statement(Error::Io(MOVED.to_owned())));
                }
                run(connection, &statement, parameters, limit)
            })
            .await;
        match ran {
            Ok(Ok(result)) => Ok(Ok(result)),
            Ok(Err(Failed::Statement(error))) | Err(error) => Ok(Err(error)),
            Ok(Err(Failed::NotUtf8)) => Err(wasmtime::format_err!(
                "a text in the result is not UTF-8; read it with CAST(... AS BLOB)"
            )),
        }
    }
}

/// What the size limit applies to.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Result,
    Row,
}

/// Why a statement has no result.
#[derive(Debug)]
enum Failed {
    Statement(Error),
    /// Spin panics here.
    NotUtf8,
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Statement(io(error))
    }
}

fn run(
    connection: &rusqlite::Connection,
    statement: &str,
    parameters: Vec<Value>,
    limit: Limit,
) -> Result<QueryResult, Failed> {
    let mut statement = connection.prepare_cached(statement)?;
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
    let mut cursor = statement.query(rusqlite::params_from_iter(parameters))?;
    let mut rows = Vec::new();
    let mut size = 0usize;
    while let Some(row) = cursor.next()? {
        let mut values = Vec::with_capacity(columns.len());
        if let Limit::Row = limit {
            size = 0;
        }
        for column in 0..columns.len() {
            let value = value(row.get_ref(column)?)?;
            size = size.saturating_add(size_of(&value));
            values.push(value);
        }
        if size > MAX_BYTES {
            return Err(Failed::Statement(Error::Io(format!(
                "query result exceeds limit of {MAX_BYTES} bytes"
            ))));
        }
        rows.push(RowResult { values });
    }
    Ok(QueryResult { columns, rows })
}

fn value(value: ValueRef<'_>) -> Result<Value, Failed> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(text) => {
            Value::Text(String::from_utf8(text.to_vec()).map_err(|_| Failed::NotUtf8)?)
        }
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

/// Identifies [`SqliteView`] to wasmtime.
pub(crate) struct SqliteHost;

impl HasData for SqliteHost {
    type Data<'a> = SqliteView<'a>;
}

/// The state of an instance that a call needs.
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
                let connection = Connection {
                    sqlite: Arc::new(Mutex::new(connection)),
                    file: Arc::clone(&self.databases.file),
                };
                Ok(Ok(self.table.push(connection)?))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn connection(&self, handle: &Resource<Connection>) -> wasmtime::Result<Connection> {
        Ok(self.table.get(handle)?.clone())
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
        self.connection(&handle)?
            .execute(statement, parameters, Limit::Result)
            .await
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
        let connection = accessor.with(|mut access| access.get().connection(&handle))?;
        // As with Spin, the future reports a failure, after a stream without rows.
        let result = connection
            .execute(statement, parameters, Limit::Row)
            .await?;
        let (columns, rows, result) = match result {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn run_in_memory(statement: &str, limit: Limit) -> Result<usize, Failed> {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        run(&connection, statement, Vec::new(), limit).map(|result| result.rows.len())
    }

    #[test]
    fn size_limit_is_per_row_of_a_stream() {
        let two_rows = "SELECT zeroblob(70000000) UNION ALL SELECT zeroblob(70000000)";
        let one_row = "SELECT zeroblob(70000000), zeroblob(70000000)";
        assert_eq!(run_in_memory(two_rows, Limit::Row).unwrap(), 2);
        for (statement, limit) in [
            (two_rows, Limit::Result),
            (one_row, Limit::Row),
            (one_row, Limit::Result),
        ] {
            let error = run_in_memory(statement, limit).unwrap_err();
            assert!(
                matches!(
                    &error,
                    Failed::Statement(Error::Io(text)) if text.contains("exceeds limit")
                ),
                "{error:?}"
            );
        }
    }
}
