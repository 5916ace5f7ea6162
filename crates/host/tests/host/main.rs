//! Tests of the built program: start-up errors, the component's environment, traps, import,
//! distribution of requests, and shutdown.

#[cfg(test)]
mod http;
#[cfg(test)]
mod import;
#[cfg(test)]
mod scheduler;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use support::{Answer, App, DATABASE, Upstream, assert_contains};

#[test]
fn start_up_error_names_file_and_remedy() {
    let no_manifest = App::new("", "");
    std::fs::remove_file(no_manifest.path("spin.toml")).unwrap();
    let malformed = App::new("", "");
    malformed.write("spin.toml", "spin_manifest_version = 2\n[application\n");
    let no_component = App::with_source("no/such.wasm", "", "");
    let not_wasm = App::with_source("text.wasm", "", "");
    not_wasm.write("text.wasm", "not wasm");
    let empty = App::with_source("empty.wasm", "", "");
    empty.write("empty.wasm", "");
    // A core module, as a build for another target leaves it.
    let module = App::with_source("module.wasm", "", "");
    module.write("module.wasm", "\0asm\x01\0\0\0");
    let no_variable = App::new("must_be_set = { required = true }", "");
    let bad_host = App::new(
        "origin = { default = \"api.example\" }",
        "allowed_outbound_hosts = [\"{{ origin }}\"]",
    );
    let bad_env_file = App::new("", "");
    bad_env_file.write(".env", "this is a secret\n");
    let state_is_a_file = App::new("", "").arguments(&["--state-dir", "spin.toml/state"]);
    let no_database = App::new("", "");
    std::fs::create_dir_all(no_database.path(".spin/sqlite_db.db")).unwrap();
    let no_sql = App::new("", "").arguments(&["--sqlite", "@no/such.sql"]);
    let bad_sql =
        App::new("", "").arguments(&["--sqlite", "INSERT INTO secrets VALUES ('s3cret')"]);
    let no_clock = App::new("", "").arguments(&["--test-clock", "no/such.clock"]);
    let bad_clock = App::new("", "").arguments(&["--test-clock", "now"]);
    bad_clock.write("now", "noon");
    let bad_runtime_config = App::new("", "").arguments(&["--runtime-config-file", "config.toml"]);
    bad_runtime_config.write("config.toml", "[variables_provider]\ntoken = \"s3cret\"\n");
    let no_runtime_config = App::new("", "").variable("RUNTIME_CONFIG_FILE", "no/such.toml");
    let bad_listen = App::new("", "").arguments(&["--listen", "nowhere"]);
    let taken = Upstream::new();
    let address = taken.origin().replace("http://", "");
    let in_use = App::new("", "").arguments(&["--listen", &address]);

    for (app, parts) in [
        (no_manifest, ["spin.toml", "--from"]),
        (malformed, ["spin.toml", "line 2"]),
        (no_component, ["no/such.wasm", "cargo xtask build"]),
        (not_wasm, ["text.wasm", "cargo xtask build"]),
        (empty, ["empty.wasm", "cargo xtask build"]),
        (module, ["module.wasm", "cargo xtask build"]),
        (no_variable, ["spin.toml", "SPIN_VARIABLE_MUST_BE_SET"]),
        (bad_host, ["allowed_outbound_hosts", "SPIN_VARIABLE_ORIGIN"]),
        (bad_env_file, [".env, line 1,", "NAME=VALUE"]),
        (state_is_a_file, ["spin.toml/state", "--state-dir"]),
        (no_database, ["sqlite_db.db", "cannot open the database"]),
        (no_sql, ["no/such.sql", "--sqlite"]),
        (bad_sql, ["--sqlite number 1: statement 1", "no such table"]),
        (
            no_clock,
            ["--test-clock no/such.clock", "since the Unix epoch"],
        ),
        (bad_clock, ["--test-clock now", "since the Unix epoch"]),
        (bad_runtime_config, ["config.toml", "use `spin up`"]),
        (no_runtime_config, ["no/such.toml", "runtime configuration"]),
        (bad_listen, ["--listen nowhere", "127.0.0.1:3000"]),
        (in_use, [&address, "--listen"]),
    ] {
        let error = app.fail();
        assert_contains(&error, &parts);
        assert!(!error.contains("secret\n"), "{error}");
    }
}

#[test]
fn variables_and_environment_have_an_order_of_precedence() {
    let app = App::new(
        "a = { default = \"manifest\" }\nb = { default = \"manifest\" }\n\
         c = { default = \"manifest\" }\nd = { default = \"manifest\" }\n\
         e = { default = \"manifest\" }",
        "[component.guest.variables]\nall = \"{{ a }} {{ b }} {{ c }} {{ d }} {{ e }}\"\n\
         [component.guest.environment]\nNAME = \"manifest\"\nOTHER = \"manifest\"",
    )
    .variable("SPIN_VARIABLE_C", "environment")
    .variable("SPIN_VARIABLE_D", "environment")
    .arguments(&["--variable", "d=argument", "--variable", "e=@value"])
    .arguments(&["--variable", "typo=ignored", "--env", "NAME=argument"]);
    app.write(".env", "SPIN_VARIABLE_B=file\nSPIN_VARIABLE_C=file\n");
    app.write("value", "of a file\n");
    let host = app.start();
    for (path, expected) in [
        (
            "/variable/all",
            "manifest file environment argument of a file\n",
        ),
        ("/variable/other", "error: Error::Undefined(\"other\")"),
        ("/environment/NAME", "argument"),
        ("/environment/OTHER", "manifest"),
    ] {
        assert_eq!(host.get(path).body, expected, "{path}");
    }
    assert!(
        host.get("/environment/PATH").body.starts_with("error"),
        "the component does not see the host's environment"
    );
}

#[test]
fn test_clock_sets_both_wall_clocks_of_wasi() {
    // With one instance, and with a new one for each request.
    for requests in ["128", "1"] {
        let app = App::new("", "")
            .arguments(&["--test-clock", "now"])
            .arguments(&["--max-instance-reuse-count", requests]);
        app.write("now", "1700000000123\n");
        let host = app.start();
        let seen = || host.get("/time").body;
        let twice = |time: &str| format!("{time} {time}");
        assert_eq!(seen(), twice("1700000000123"));
        assert_eq!(seen(), twice("1700000000123"), "the clock stands still");
        for time in ["1700086400123", " 1600000000000 "] {
            app.replace("now", time);
            assert_eq!(seen(), twice(time.trim()));
        }
        app.replace("now", "noon");
        assert_eq!(seen(), twice("1600000000000"), "the last valid time");
    }
}

#[test]
fn invalid_pool_settings_are_reported_at_the_start() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spin.toml");
    let error = App::new("", "")
        .variable("SPIN_VARIABLE_MAX_ATTEMPTS", "s3cret")
        .variable(
            "SPIN_VARIABLE_LLM_API_ORIGIN",
            "https://origin.test/with/a/path",
        )
        .variable("SPIN_VARIABLE_SELF_SIGNED", "s3cret")
        .arguments(&["--from", &manifest.display().to_string()])
        .arguments(&["--variable", "typo=s3cret"])
        .fail_with("warning: --variable typo is ignored");
    assert_contains(&error, &["\nwarning: SPIN_VARIABLE_SELF_SIGNED is ignored"]);
    for name in ["max_attempts", "llm_api_origin"] {
        let start = format!("error: {name} ");
        let errors = error.lines().filter(|line| line.starts_with(&start));
        assert_eq!(errors.count(), 1, "{name}: {error}");
    }
}

#[test]
fn database_runs_one_statement_and_opens_no_other_file() {
    let app = App::new("", DATABASE).arguments(&["--sqlite", "@start.sql"]);
    app.write(
        "start.sql",
        "CREATE TABLE t (a, b, c, d);\n\
         INSERT INTO t VALUES (1, 2.5, 'three; 3', NULL), (4, 5, x'06', 'é');",
    );
    let host = app.start();
    let sql = |statement: &str| host.post("/sql", statement).body;
    assert_eq!(sql("SELECT * FROM t"), "1|2.5|three; 3|NULL\n4|5|[6]|é");
    // Spin runs the first and ignores the others.
    let two = sql("DELETE FROM t WHERE a = 1; DELETE FROM t");
    assert_contains(&two, &["Multiple statements"]);
    assert_eq!(sql("DELETE FROM t WHERE a = 1;"), "");
    assert_eq!(sql("SELECT count(*) FROM t"), "1");
    assert_contains(&sql("SELECT * FROM nowhere"), &["no such table: nowhere"]);
    let incomplete = sql("SELECT");
    assert!(incomplete.starts_with("error: Error::Io("), "{incomplete}");
    assert_contains(&sql("ATTACH 'other.db' AS other"), &["not authorized"]);
    // As with Spin, which panics.
    let not_utf8 = host.post("/sql", "SELECT CAST(x'ff' AS TEXT)");
    assert_eq!((not_utf8.status, not_utf8.body.as_str()), (500, ""));
    host.line_with("a text in the result is not UTF-8");
    assert_eq!(sql("SELECT CAST(CAST(x'ff' AS TEXT) AS BLOB)"), "[255]");
    assert!(!app.path("other.db").exists());
    assert!(app.path(".spin/sqlite_db.db").exists());
}

#[test]
fn deleted_or_replaced_database_is_not_written_to() {
    let app = App::new("", DATABASE).arguments(&["--sqlite", "CREATE TABLE t (a)"]);
    let host = app.start();
    let (file, moved) = (app.path(".spin/sqlite_db.db"), app.path("moved"));
    let insert = || host.post("/sql", "INSERT INTO t VALUES (1)").body;
    assert_eq!(insert(), "");
    std::fs::rename(&file, &moved).unwrap();
    assert_contains(&insert(), &["was deleted or replaced"]);
    assert!(!file.exists(), "no new database is created");
    std::fs::copy(&moved, &file).unwrap();
    assert_contains(&insert(), &["was deleted or replaced"]);
    std::fs::rename(&moved, &file).unwrap();
    assert_eq!(insert(), "");
}

#[test]
fn failed_sql_file_changes_nothing() {
    let app = App::new("", DATABASE).arguments(&["--sqlite", "@dump.sql"]);
    let dump = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t (a);\n\
        INSERT INTO t VALUES (1);\n";
    app.write(
        "dump.sql",
        &format!("{dump}INSERT INTO t VALUES (s3cret);\nCOMMIT;\n"),
    );
    assert_contains(&app.fail(), &["@dump.sql: statement 5: no such column"]);
    app.write("dump.sql", &format!("{dump}COMMIT;\n"));
    let host = app.start();
    assert_eq!(host.post("/sql", "SELECT * FROM t").body, "1");
}

#[test]
fn database_not_in_the_manifest_is_denied() {
    let host = App::new("", "").start();
    assert_eq!(
        host.post("/sql", "SELECT 1").body,
        "error: Error::AccessDenied"
    );
}

#[test]
fn component_reaches_allowed_hosts_only() {
    let (allowed, other) = (Upstream::new(), Upstream::new());
    let app = App::new(
        "origin = { default = \"\" }",
        "allowed_outbound_hosts = [\"{{ origin }}\"]",
    )
    .variable("SPIN_VARIABLE_ORIGIN", &allowed.origin());
    let host = app.start();

    let mut answer = host.send("POST", "/fetch", &[], &format!("{}/x?y", allowed.origin()));
    let request = allowed.request();
    let head = &request.head;
    assert!(head.starts_with("GET /x?y HTTP/1.1\r\n"), "{head}");
    request.answer("hello");
    assert_eq!(Answer::read(&mut answer).body, "200 hello");

    let denied = host.post("/fetch", &other.origin()).body;
    assert_contains(&denied, &["HttpRequestDenied"]);
    let line = host.line_with("may not call");
    assert_contains(&line, &[&other.origin(), "allowed_outbound_hosts"]);
}

#[test]
fn trap_is_a_500_and_a_log_line() {
    let host = App::new(
        "v = { default = \"still here\" }",
        "[component.guest.variables]\nv = \"{{ v }}\"",
    )
    .start();
    for _ in 0..3 {
        let answer = host.get("/panic");
        assert_eq!((answer.status, answer.body.as_str()), (500, ""));
        host.line_with("as the request asked");
        host.line_with("keypool: an instance of the component failed");
        assert_eq!(host.get("/variable/v").body, "still here");
    }
}

#[test]
fn quiet_discards_the_components_output() {
    let app = App::new("", "").arguments(&["--quiet"]);
    let host = app.start();
    assert_eq!(host.get("/panic").status, 500);
    let lines = host.stop();
    assert!(
        lines.iter().any(|line| line.starts_with("keypool: ")),
        "the host's lines are missing: {lines:#?}"
    );
    let output = lines.concat();
    assert!(!output.contains("as the request asked"), "{output}");
}

#[test]
fn unread_output_does_not_stop_the_service() {
    let app = App::new("", "");
    // More than the pipe and the queue can hold, in lines of 1 KiB.
    let (host, stderr) = app.start_with_unread_stderr();
    let text = format!("{}\n", "x".repeat(1023)).repeat(256);
    for _ in 0..8 {
        assert_eq!(host.post("/print", &text).body, "printed");
    }
    assert_eq!(host.get("/headers").status, 200);
    let mut lines = BufReader::new(stderr).lines().map(Result::unwrap);
    let missing = lines.find(|line| line.starts_with("keypool: ")).unwrap();
    let end = "lines were dropped, since they were not read in time";
    assert!(missing.ends_with(end), "{missing}");
    // A reader that returns gets later lines.
    assert_eq!(host.get("/panic").status, 500);
    assert!(lines.any(|line| line.contains("as the request asked")));
}
