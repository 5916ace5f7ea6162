//! The SQL of `--sqlite`, run as a whole or not at all.

use anyhow::{Context, Result, anyhow, bail};
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::ffi::ErrorCode;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization, TransactionOperation};
use rusqlite::{Batch, Connection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs statements in one transaction, which replaces those of the script, such as a `.dump` of
/// `sqlite3` has.
///
/// # Errors
/// A statement fails; the transaction is rolled back. The message states the statement's number and
/// the kind of error, but not its text, which may contain a key.
pub(super) fn run(connection: &mut Connection, sql: &str) -> Result<()> {
    let seen = Arc::new(Seen::default());
    connection
        .authorizer(Some({
            let seen = Arc::clone(&seen);
            move |context: AuthContext<'_>| seen.authorize(context.action)
        }))
        .context("cannot observe statements")?;
    let outcome = run_all(connection, sql, &seen);
    seen.set(&seen.is_ours, true);
    if outcome.is_err() && !connection.is_autocommit() {
        // Dropping the connection rolls back as well.
        let _ = connection.execute_batch("ROLLBACK");
    }
    outcome
}

fn run_all(connection: &Connection, sql: &str, seen: &Seen) -> Result<()> {
    let ours = |statement: &str| {
        seen.set(&seen.is_ours, true);
        let ran = connection.execute_batch(statement);
        seen.set(&seen.is_ours, false);
        ran.map_err(|error| anyhow!(error_kind(&error)))
    };
    let mut batch = Batch::new(connection, sql);
    let mut number = 0;
    loop {
        number += 1;
        seen.set(&seen.is_pragma, false);
        seen.set(&seen.rolls_back, false);
        let failed = |error: rusqlite::Error| match seen.rolls_back.load(Ordering::Relaxed) {
            true => anyhow!(
                "statement {number} is a ROLLBACK, which ends the dump of a damaged database; \
                 nothing was changed"
            ),
            false => anyhow!(
                "statement {number}: {}; nothing was changed; the statement is not shown, since it \
                 may contain a key",
                error_kind(&error)
            ),
        };
        let Some(mut statement) = batch.next().map_err(failed)? else {
            break;
        };
        // Some pragmas, such as `foreign_keys`, have no effect in a transaction, so it starts after
        // the first ones.
        if connection.is_autocommit() && !seen.is_pragma.load(Ordering::Relaxed) {
            ours("BEGIN IMMEDIATE").context("cannot write to the database")?;
        }
        if statement.parameter_count() > 0 {
            bail!("statement {number} has parameters; nothing was changed");
        }
        let mut rows = statement.raw_query();
        while rows.next().map_err(failed)?.is_some() {}
    }
    if !connection.is_autocommit() {
        ours("COMMIT").context("cannot write to the database; nothing was changed")?;
    }
    Ok(())
}

/// What SQLite's authorizer reported about the latest statement.
#[derive(Default)]
struct Seen {
    /// Whether the statement is not the script's.
    is_ours: AtomicBool,
    is_pragma: AtomicBool,
    rolls_back: AtomicBool,
}

impl Seen {
    fn set(&self, flag: &AtomicBool, value: bool) {
        flag.store(value, Ordering::Relaxed);
    }

    fn authorize(&self, action: AuthAction<'_>) -> Authorization {
        match action {
            AuthAction::Transaction { operation } if !self.is_ours.load(Ordering::Relaxed) => {
                match operation {
                    TransactionOperation::Rollback => {
                        self.set(&self.rolls_back, true);
                        Authorization::Deny
                    }
                    // The statement has no effect.
                    _ => Authorization::Ignore,
                }
            }
            AuthAction::Pragma { .. } => {
                self.set(&self.is_pragma, true);
                Authorization::Allow
            }
            _ => Authorization::Allow,
        }
    }
}

/// The kind of error, without any text of the statement.
pub(crate) fn error_kind(error: &rusqlite::Error) -> String {
    let message = match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.as_str(),
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.as_str(),
        _ => "",
    };
    const KINDS: [&str; 16] = [
        "syntax error",
        "unrecognized token",
        "incomplete input",
        "no such table",
        "no such column",
        "no column named",
        "no such function",
        "no such index",
        "already exists",
        "UNIQUE constraint failed",
        "NOT NULL constraint failed",
        "CHECK constraint failed",
        "FOREIGN KEY constraint failed",
        "within a transaction",
        "values for",
        "values were supplied",
    ];
    let known = KINDS.iter().find(|kind| message.contains(**kind));
    match (known, error.sqlite_error_code()) {
        (Some(&("values for" | "values were supplied")), _) => {
            "the number of values differs from that of the columns".to_owned()
        }
        (Some(&"no column named"), _) => {
            "it names a column that the table does not have".to_owned()
        }
        (Some(&"already exists"), _) => "a table or index of this name already exists".to_owned(),
        (Some(kind), _) => (*kind).to_owned(),
        (None, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => {
            "the database is locked by another program".to_owned()
        }
        (None, Some(code)) => format!("SQLite rejects it ({code:?})"),
        (None, None) => "SQLite rejects it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_error;

    fn tables(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT name FROM sqlite_schema ORDER BY name")
            .unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.collect::<Result<_, _>>().unwrap()
    }

    fn connection() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    #[test]
    fn script_may_have_transactions() {
        for script in [
            "CREATE TABLE a (x); INSERT INTO a VALUES (1);",
            "BEGIN TRANSACTION; CREATE TABLE a (x); INSERT INTO a VALUES (1); COMMIT;",
            "-- a comment\nPRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE a (x);\n\
             INSERT INTO a VALUES (1);\nCOMMIT;\n",
            "BEGIN; CREATE TABLE a (x); END; /* and */ BEGIN; INSERT INTO a VALUES (1); COMMIT;\n\
             -- the end",
            "CREATE TABLE a (x); SAVEPOINT s; INSERT INTO a VALUES (2); ROLLBACK TO s; RELEASE s; \
             INSERT INTO a VALUES (1); SELECT * FROM a",
        ] {
            let mut connection = connection();
            run(&mut connection, script).unwrap_or_else(|error| panic!("{script}: {error:#}"));
            let sum: (i64, i64) = connection
                .query_row("SELECT count(*), sum(x) FROM a", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .unwrap();
            assert_eq!(sum, (1, 1), "{script}");
            assert!(connection.is_autocommit(), "{script}");
        }
    }

    #[test]
    fn leading_pragmas_take_effect() {
        let script = "PRAGMA foreign_keys=OFF; BEGIN; \
             CREATE TABLE child (parent REFERENCES parent(id)); INSERT INTO child VALUES (1); \
             CREATE TABLE parent (id INTEGER PRIMARY KEY); COMMIT;";
        run(&mut connection(), script).unwrap();
        let error = run(
            &mut connection(),
            &script.replace("PRAGMA foreign_keys=OFF;", ""),
        );
        assert!(error.is_err(), "foreign keys are on by default");
    }

    #[test]
    fn failure_changes_nothing_and_quotes_nothing() {
        for (bad, expected) in [
            ("INSERT INTO a VALUES ('s3cret', 2)", "number of values"),
            ("INSERT INTO s3cret VALUES (1)", "no such table"),
            ("INSERT INTO a VALUES (s3cret)", "no such column"),
            ("INSERT INTO a VALUES ('s3cret' 's3cret')", "syntax error"),
            ("INSERT INTO a VALUES ('s3cret", "unrecognized token"),
            ("INSERT INTO a VALUES (1)", "UNIQUE constraint failed"),
            ("CREATE TABLE a (s3cret)", "already exists"),
            ("SELECT s3cret(1)", "no such function"),
            ("ROLLBACK", "is a ROLLBACK"),
            ("VACUUM", "within a transaction"),
            ("SELECT :s3cret", "has parameters"),
        ] {
            for script in [
                format!("CREATE TABLE a (x UNIQUE); INSERT INTO a VALUES (1); {bad}"),
                format!(
                    "BEGIN; CREATE TABLE a (x UNIQUE); INSERT INTO a VALUES (1); COMMIT; {bad}; \
                     SELECT 1"
                ),
            ] {
                let mut connection = connection();
                let number = if script.starts_with("BEGIN") { 5 } else { 3 };
                let statement = format!("statement {number}");
                let ran = run(&mut connection, &script);
                assert_error(ran, &[expected, &statement, "nothing was changed"]);
                assert_eq!(tables(&connection), [""; 0], "{bad}");
            }
        }
    }
}
