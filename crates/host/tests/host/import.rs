//! Tests of `keypool import-sql` as a process.

use crate::support::App;
use rusqlite::Connection;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const TABLES: &str = "CREATE TABLE api_keys (id INTEGER PRIMARY KEY AUTOINCREMENT,
    api_key TEXT NOT NULL UNIQUE, name TEXT);
CREATE TABLE api_call_logs (id INTEGER PRIMARY KEY AUTOINCREMENT,
    api_key_id INTEGER NOT NULL, success INTEGER NOT NULL, called_at TEXT DEFAULT CURRENT_TIMESTAMP, FOREIGN KEY (api_key_id) REFERENCES api_keys(id));
";

/// A dump of a key and so many old calls.
fn dump(calls: usize) -> String {
    let mut dump = format!(
        "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n{TABLES}\
         INSERT INTO api_keys VALUES(1,'AIzaFAKE-1','first');\n"
    );
    for id in 1..=calls {
        writeln!(
            dump,
            "INSERT INTO api_call_logs VALUES({id},1,1,'2025-01-02 03:04:05');"
        )
        .unwrap();
    }
    dump + "COMMIT;\n"
}

struct Import(App);

impl Import {
    fn new(dump: &str) -> Self {
        let app = App::with_source(
            "none.wasm",
            "log_retention_days = { default = \"30\" }",
            "sqlite_databases = [\"default\"]\n[component.guest.variables]\n\
             log_retention_days = \"{{ log_retention_days }}\"",
        );
        app.write("dump.sql", dump);
        Self(app)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
        command
            .current_dir(self.0.folder.path())
            .args(["import-sql", "dump.sql"])
            .env_remove("SPIN_VARIABLE_LOG_RETENTION_DAYS")
            .stdin(Stdio::null());
        command
    }

    /// Runs it and returns stdout, stderr and the exit code.
    fn run(&self, change: impl FnOnce(&mut Command)) -> (String, String, Option<i32>) {
        let mut command = self.command();
        change(&mut command);
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            text(output.stdout),
            text(output.stderr),
            output.status.code(),
        )
    }

    fn database(&self) -> PathBuf {
        self.0.path(".spin/sqlite_db.db")
    }

    fn number(&self, query: &str) -> i64 {
        let connection = Connection::open(self.database()).unwrap();
        connection.query_row(query, [], |row| row.get(0)).unwrap()
    }
}

const CALLS: &str = "SELECT count(*) FROM api_call_logs";

#[test]
fn import_reports_counts_and_warns_of_old_calls() {
    let import = Import::new(&dump(3));
    let (out, error, code) = import.run(|_| {});
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(
        out.starts_with(
            "Imported 1 keys and 3 calls into .spin/sqlite_db.db.\n3 calls are older than 30 days."
        ),
        "{out}"
    );
    assert!(out.contains("SPIN_VARIABLE_LOG_RETENTION_DAYS=0"), "{out}");
    assert_eq!(import.number(CALLS), 3);
}

#[test]
fn no_warning_if_calls_are_retained() {
    for days in ["0", "3650"] {
        let import = Import::new(&dump(3));
        let (out, _, code) = import.run(|command| {
            command.env("SPIN_VARIABLE_LOG_RETENTION_DAYS", days);
        });
        assert_eq!(code, Some(0));
        assert_eq!(
            out,
            "Imported 1 keys and 3 calls into .spin/sqlite_db.db.\n"
        );
    }
}

#[test]
fn invalid_setting_fails_before_any_change() {
    let import = Import::new(&dump(3));
    let (_, error, code) = import.run(|command| {
        command.env("SPIN_VARIABLE_LOG_RETENTION_DAYS", "month");
    });
    assert_eq!(code, Some(1));
    assert_eq!(
        error,
        "error: log_retention_days must be a whole number of days\n"
    );
    assert!(!import.database().exists());
}

#[test]
fn rejects_second_import() {
    let import = Import::new(&dump(3));
    assert_eq!(import.run(|_| {}).2, Some(0));
    let (_, error, code) = import.run(|_| {});
    assert_eq!(code, Some(1));
    assert!(
        error.starts_with(
            "error: the database .spin/sqlite_db.db: it already has data (1 keys, 3 calls, \
             1 hourly sums)"
        ),
        "{error}"
    );
    assert_eq!(import.number(CALLS), 3);
}

#[test]
fn import_succeeds_after_a_failed_one() {
    let import =
        Import::new(&dump(3).replace("COMMIT;\n", "INSERT INTO api_keys VALUES(2,'AIzaFAKE-2;\n"));
    let (_, error, code) = import.run(|_| {});
    assert_eq!(code, Some(1));
    assert_eq!(
        error,
        "error: dump.sql: line 11 (statement 9): the file ends within this statement, so it is \
         incomplete; export it again\n"
    );
    import.0.write("dump.sql", &dump(3));
    assert_eq!(import.run(|_| {}).2, Some(0));
    assert_eq!(import.number(CALLS), 3);
}

#[test]
fn missing_file_is_named() {
    let import = Import::new(&dump(3));
    let (_, error, code) = import.run(|command| {
        command.args(["--state-dir", "elsewhere"]);
        std::fs::remove_file(import.0.path("dump.sql")).unwrap();
    });
    assert_eq!(code, Some(1));
    assert!(
        error.starts_with("error: dump.sql: cannot be read"),
        "{error}"
    );
}

#[test]
fn killed_import_changes_nothing_and_can_be_repeated() {
    // An existing, unused pool is in WAL mode.
    for is_new in [true, false] {
        let import = Import::new(&dump(160_000));
        if !is_new {
            std::fs::create_dir(import.0.path(".spin")).unwrap();
            let connection = Connection::open(import.database()).unwrap();
            let write = "PRAGMA journal_mode = WAL; \
                CREATE TABLE readiness (id INTEGER PRIMARY KEY, checks INTEGER NOT NULL)";
            connection.execute_batch(write).unwrap();
        }
        let mut child = import
            .command()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let is_halfway = |line: std::io::Result<String>| line.unwrap() == "importing: 100000 rows";
        assert!(lines.any(is_halfway));
        child.kill().unwrap();
        assert_eq!(
            child.wait().unwrap().signal(),
            Some(9),
            "it had not finished"
        );
        let tables = import.number("SELECT count(*) FROM sqlite_schema");
        assert_eq!(tables, if is_new { 0 } else { 1 });
        let (out, ..) = import.run(|_| {});
        assert!(out.starts_with("Imported 1 keys and 160000 calls"), "{out}");
        assert_eq!(
            import.number("SELECT sum(calls) FROM api_call_hours"),
            160_000
        );
    }
}
