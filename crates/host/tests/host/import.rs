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

    /// Runs it with a retention in the environment, and returns the exit code, stdout and stderr.
    fn run(&self, retention: Option<&str>) -> (Option<i32>, String, String) {
        let mut command = self.command();
        command.envs(retention.map(|days| ("SPIN_VARIABLE_LOG_RETENTION_DAYS", days)));
        let output = command.output().unwrap();
        let [out, error] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        (output.status.code(), out, error)
    }

    fn succeed(&self) {
        let (code, _, error) = self.run(None);
        assert_eq!(code, Some(0), "{error}");
    }

    /// Runs it, expecting an error on stderr.
    fn fail(&self, retention: Option<&str>) -> String {
        let (code, _, error) = self.run(retention);
        assert_eq!(code, Some(1), "{error}");
        error
    }

    fn database(&self) -> PathBuf {
        self.0.path(".spin/sqlite_db.db")
    }
}

const CALLS: &str = "SELECT count(*) FROM api_call_logs";

#[test]
fn import_reports_counts_and_warns_of_old_calls() {
    let import = Import::new(&dump(3));
    let (code, out, error) = import.run(None);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let start = "Imported 1 keys, 0 client tokens and 3 calls into .spin/sqlite_db.db.\n3 calls are older than 30 days.";
    assert!(out.starts_with(start), "{out}");
    assert!(out.contains("SPIN_VARIABLE_LOG_RETENTION_DAYS=0"), "{out}");
    assert_eq!(import.0.number(CALLS), 3);
}

#[test]
fn no_warning_if_calls_are_retained() {
    for days in ["0", "3650"] {
        let (code, out, _) = Import::new(&dump(3)).run(Some(days));
        let expected = "Imported 1 keys, 0 client tokens and 3 calls into .spin/sqlite_db.db.\n";
        assert_eq!((code, out.as_str()), (Some(0), expected));
    }
}

#[test]
fn invalid_setting_fails_before_any_change() {
    let import = Import::new(&dump(3));
    assert_eq!(
        import.fail(Some("month")),
        "error: log_retention_days must be a whole number of days\n"
    );
    assert!(!import.database().exists());
}

#[test]
fn rejects_second_import() {
    let import = Import::new(&dump(3));
    import.succeed();
    let error = import.fail(None);
    let start = "error: the database .spin/sqlite_db.db: it already has data (1 keys, 0 client \
        tokens, 3 calls, 1 hourly sums)";
    assert!(error.starts_with(start), "{error}");
    assert_eq!(import.0.number(CALLS), 3);
}

#[test]
fn failed_import_changes_nothing_and_can_be_repeated() {
    let import =
        Import::new(&dump(3).replace("COMMIT;\n", "INSERT INTO api_keys VALUES(2,'AIzaFAKE-2;\n"));
    assert_eq!(
        import.fail(None),
        "error: dump.sql: line 11 (statement 9): the file ends within this statement, so it is \
         incomplete; export it again\n"
    );
    assert_eq!(import.0.number("SELECT count(*) FROM sqlite_schema"), 0);
    import.0.write("dump.sql", &dump(3));
    import.succeed();
    assert_eq!(import.0.number(CALLS), 3);
}

#[test]
fn missing_file_is_named() {
    let import = Import::new("");
    std::fs::remove_file(import.0.path("dump.sql")).unwrap();
    let error = import.fail(None);
    let start = "error: dump.sql: cannot be read";
    assert!(error.starts_with(start), "{error}");
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
        let tables = import.0.number("SELECT count(*) FROM sqlite_schema");
        assert_eq!(tables, if is_new { 0 } else { 1 });
        let (_, out, _) = import.run(None);
        assert!(
            out.starts_with("Imported 1 keys, 0 client tokens and 160000 calls"),
            "{out}"
        );
        let sum = import.0.number("SELECT sum(calls) FROM api_call_hours");
        assert_eq!(sum, 160_000);
    }
}
