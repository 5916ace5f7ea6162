//! Reads a dump into a temporary database.
//!
//! It runs only statements that create one of the imported tables or insert into it, so a file can
//! affect neither the pool's database nor the file system. Errors name the line but quote no text,
//! which may be a key.

use super::progress::Progress;
use super::statements::{Action, End, Statement, Statements};
use super::tokens::{Kind, Tokens};
use crate::sqlite::error_kind;
use anyhow::{Context, Result, anyhow, bail, ensure};
use rusqlite::{Connection, ErrorCode};
use std::collections::BTreeSet;
use std::path::Path;

/// A table that is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Keys,
    /// Client tokens, as digests. Rows of the log refer to their ids.
    Tokens,
    Calls,
}

impl Table {
    pub(super) const ALL: [Self; 3] = [Self::Keys, Self::Tokens, Self::Calls];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Keys => "api_keys",
            Self::Tokens => "client_tokens",
            Self::Calls => "api_call_logs",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let is_name = |table: &Self| table.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is_name)
    }

    /// The table of the earlier deployment or pool, for a dump without the schema.
    fn create(self) -> &'static str {
        match self {
            Self::Keys => {
                "CREATE TABLE api_keys (id INTEGER PRIMARY KEY, api_key TEXT, name TEXT,
                priority INTEGER, status INTEGER, consecutive_failures INTEGER,
                total_calls INTEGER, success_calls INTEGER, last_used_at TEXT,
                last_success_at TEXT, last_failure_at TEXT, disabled_until TEXT,
                created_at TEXT, updated_at TEXT)"
            }
            Self::Tokens => {
                "CREATE TABLE client_tokens (id INTEGER PRIMARY KEY, prefix TEXT, digest BLOB,
                previous_digest BLOB, previous_until TEXT, name TEXT, created_at TEXT,
                updated_at TEXT, expires_at TEXT, disabled_at TEXT, models TEXT, networks TEXT,
                requests_per_minute INTEGER, tokens_per_day INTEGER, changed_by TEXT)"
            }
            Self::Calls => {
                "CREATE TABLE api_call_logs (id INTEGER PRIMARY KEY, api_key_id INTEGER,
                success INTEGER, response_status INTEGER, error_message TEXT,
                response_time_ms INTEGER, called_at TEXT)"
            }
        }
    }
}

/// The contents of a dump.
#[derive(Debug)]
pub(super) struct Dump {
    /// A temporary database with the tables of the dump.
    pub(super) database: Connection,
    pub(super) tables: BTreeSet<Table>,
    /// Rows of all tables.
    pub(super) rows: u64,
    /// Names of the indexes of the tables.
    pub(super) indexes: BTreeSet<String>,
    /// Names of other tables.
    pub(super) ignored: BTreeSet<String>,
    in_transaction: bool,
}

impl Dump {
    /// Reads a dump.
    ///
    /// # Errors
    /// It cannot be read, is not a dump, is incomplete, or has a statement that SQLite rejects.
    pub(super) fn read(path: &Path, progress: &mut Progress) -> Result<Self> {
        let file = std::fs::read(path).context("cannot be read")?;
        let sql = sql_text(&file)?;
        // An empty name means a temporary file, which is deleted when the connection is closed.
        let database = Connection::open("")?;
        database.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;
             PRAGMA cache_size = -65536;
             CREATE TABLE sequences (id INTEGER PRIMARY KEY AUTOINCREMENT); BEGIN",
        )?;
        let mut dump = Self {
            database,
            tables: BTreeSet::new(),
            rows: 0,
            indexes: BTreeSet::new(),
            ignored: BTreeSet::new(),
            in_transaction: false,
        };
        for (number, statement) in (1..).zip(Statements::new(sql)) {
            dump.rows += dump
                .take(&statement)
                .with_context(|| format!("line {} (statement {number})", statement.line))?;
            progress.show(dump.rows);
        }
        ensure!(
            !dump.in_transaction,
            "the COMMIT at the end is missing, so the file is incomplete; export it again"
        );
        ensure!(
            !dump.tables.is_empty(),
            "it has none of the tables api_keys, api_call_logs and client_tokens, so it is not a \
             dump of an earlier deployment"
        );
        Ok(dump)
    }

    /// Runs a statement if it is for one of the imported tables, and returns the number of inserted
    /// rows.
    fn take(&mut self, statement: &Statement<'_>) -> Result<u64> {
        let action = Action::of(statement.sql);
        ensure!(
            statement.end == End::Semicolon || action == Action::Unexpected,
            "the file ends within this statement, so it is incomplete; export it again"
        );
        match action {
            Action::Begin => self.in_transaction = true,
            Action::Commit => self.in_transaction = false,
            Action::Nothing => {}
            Action::Rollback => bail!(
                "sqlite3 ends a dump with ROLLBACK if it could not read all of the database; \
                 repair that database first (`.recover` of sqlite3)"
            ),
            Action::CreateIndex { name, table } => {
                if Table::named(&table).is_some() {
                    self.indexes.insert(name.to_ascii_lowercase());
                }
            }
            Action::CreateTable(name) => match Table::named(&name) {
                Some(table) => {
                    self.run(statement.sql)?;
                    self.tables.insert(table);
                }
                None => self.ignore(name),
            },
            Action::Insert(name) => match Table::named(&name) {
                Some(table) => {
                    if self.tables.insert(table) {
                        self.database.execute_batch(table.create())?;
                    }
                    return self.run(statement.sql);
                }
                None if name.eq_ignore_ascii_case("sqlite_sequence") => {
                    self.run(statement.sql)?;
                }
                None => self.ignore(name),
            },
            Action::Unexpected => bail!(
                "this is not a statement of a dump (CREATE, INSERT, PRAGMA, BEGIN, COMMIT); is a \
                 quote missing before it?"
            ),
        }
        Ok(0)
    }

    fn ignore(&mut self, name: String) {
        if !name.to_ascii_lowercase().starts_with("sqlite_") {
            self.ignored.insert(name);
        }
    }

    fn run(&self, sql: &[u8]) -> Result<u64> {
        let rewritten;
        let sql = match std::str::from_utf8(sql) {
            Ok(sql) => sql,
            Err(_) => {
                rewritten = with_blobs(sql).context("it has a name that is not UTF-8")?;
                &rewritten
            }
        };
        let rows = self.database.execute(sql, []).map_err(without_values)?;
        Ok(rows as u64)
    }
}

/// The text of a file, without a byte order mark.
///
/// # Errors
/// It is not an SQL text; the message says how to make one.
fn sql_text(file: &[u8]) -> Result<&[u8]> {
    ensure!(
        !file.starts_with(b"SQLite format 3\0"),
        "this is a database and not a dump; make one: sqlite3 FILE .dump > dump.sql"
    );
    ensure!(
        !file.starts_with(&[0xff, 0xfe]) && !file.starts_with(&[0xfe, 0xff]),
        "this is UTF-16, as PowerShell's `>` writes it; have the program write the file itself \
         (sqlite3: .output dump.sql)"
    );
    ensure!(
        !file.starts_with(&[0x1f, 0x8b]),
        "this is compressed; unpack it first (gunzip)"
    );
    Ok(file.strip_prefix("\u{feff}".as_bytes()).unwrap_or(file))
}

/// SQLite's error without text of the statement, which SQLite may quote.
fn without_values(error: rusqlite::Error) -> anyhow::Error {
    match error {
        // Concerns the database, such as a full disk.
        rusqlite::Error::SqliteFailure(code, _) if code.code != ErrorCode::Unknown => code.into(),
        error => anyhow!(error_kind(&error)),
    }
}

/// The statement with each string that is not UTF-8 written as a blob with the same bytes, since
/// SQL has to be UTF-8. `None` if a name is not UTF-8.
fn with_blobs(sql: &[u8]) -> Option<String> {
    let mut rewritten = String::with_capacity(2 * sql.len());
    for token in (Tokens { rest: sql }) {
        match std::str::from_utf8(token.text) {
            Ok(text) => rewritten.push_str(text),
            Err(_) if token.kind == Kind::Blank => rewritten.push(' '),
            Err(_) if token.text.starts_with(b"'") => {
                rewritten.push_str("CAST(X'");
                for byte in token.unquoted() {
                    rewritten.push_str(&format!("{byte:02x}"));
                }
                rewritten.push_str("' AS TEXT)");
            }
            Err(_) => return None,
        }
    }
    Some(rewritten)
}

#[cfg(test)]
mod tests;
