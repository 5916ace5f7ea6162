//! The program as a person or a script runs it: what it says when it cannot start, what the component sees of it, what
//! a component that traps does to it, and how it ends.

#[cfg(test)]
mod import;
mod support;

use support::{Answer, App, Upstream};

#[test]
fn what_keeps_it_from_starting_is_one_error_that_names_file_and_remedy() {
    let no_manifest = App::new("", "");
    std::fs::remove_file(no_manifest.path("spin.toml")).unwrap();
    let malformed = App::new("", "");
    malformed.write("spin.toml", "spin_manifest_version = 2\n[application\n");
    let no_component = App::with_source("no/such.wasm", "", "");
    let not_wasm = App::with_source("text.wasm", "", "");
    not_wasm.write("text.wasm", "not wasm");
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
    let bad_listen = App::new("", "").arguments(&["--listen", "nowhere"]);

    for (app, parts) in [
        (no_manifest, ["spin.toml", "--from"]),
        (malformed, ["spin.toml", "line 2"]),
        (no_component, ["no/such.wasm", "cargo xtask build"]),
        (not_wasm, ["text.wasm", "cargo xtask build"]),
        (no_variable, ["spin.toml", "SPIN_VARIABLE_MUST_BE_SET"]),
        (bad_host, ["allowed_outbound_hosts", "SPIN_VARIABLE_ORIGIN"]),
        (bad_env_file, [".env", "NAME=VALUE"]),
        (state_is_a_file, ["spin.toml/state", "--state-dir"]),
        (no_database, ["sqlite_db.db", "cannot open the database"]),
        (no_sql, ["no/such.sql", "--sqlite"]),
        (bad_sql, ["--sqlite number 1", "no such table"]),
        (
            no_clock,
            ["--test-clock no/such.clock", "since the Unix epoch"],
        ),
        (bad_clock, ["--test-clock now", "since the Unix epoch"]),
        (bad_listen, ["--listen nowhere", "127.0.0.1:3000"]),
    ] {
        let error = app.fail();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
        assert!(
            !error.contains("secret\n") && !error.contains("s3cret"),
            "{error}"
        );
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = Upstream::new();
    let address = taken.origin().trim_start_matches("http://").to_owned();
    let error = App::new("", "").arguments(&["--listen", &address]).fail();
    assert!(
        error.contains(&address) && error.contains("--listen"),
        "{error}"
    );
}

#[test]
fn variables_come_from_arguments_then_environment_then_file_then_manifest() {
    let app = App::new(
        "a = { default = \"manifest\" }\nb = { default = \"manifest\" }\nc = { default = \"manifest\" }\nd = { default = \"manifest\" }",
        "[component.guest.variables]\nall = \"{{ a }} {{ b }} {{ c }} {{ d }}\"\n[component.guest.environment]\nNAME = \"value\"",
    )
    .variable("SPIN_VARIABLE_C", "environment")
    .variable("SPIN_VARIABLE_D", "environment")
    .arguments(&["--variable", "d=argument"]);
    app.write(".env", "SPIN_VARIABLE_B=file\nSPIN_VARIABLE_C=file\n");
    let host = app.start();
    assert_eq!(
        host.get("/variable/all").body,
        "manifest file environment argument"
    );
    assert_eq!(
        host.get("/variable/other").body,
        "error: Error::Undefined(\"other\")"
    );
    assert_eq!(host.get("/environment/NAME").body, "value");
    assert!(
        host.get("/environment/PATH").body.starts_with("error"),
        "the host's own environment stays outside"
    );
}

#[test]
fn the_component_sees_the_time_that_a_test_sets_in_both_of_wasis_wall_clocks() {
    // An instance that lives on, and a new one for each request.
    for requests in ["128", "1"] {
        let app = App::new("", "").arguments(&[
            "--test-clock",
            "now",
            "--max-instance-reuse-count",
            requests,
        ]);
        app.write("now", "1700000000123\n");
        let host = app.start();
        let seen = || host.get("/time").body;
        let twice = |time: &str| format!("{time} {time}");
        assert_eq!(seen(), twice("1700000000123"));
        assert_eq!(seen(), twice("1700000000123"), "it stands still");
        for time in ["1700086400123", "1600000000000"] {
            app.replace("now", time);
            assert_eq!(seen(), twice(time));
        }
        app.replace("now", "noon");
        assert_eq!(seen(), twice("1600000000000"), "the last good time");
    }
}

#[test]
fn the_component_sees_spins_headers_which_no_client_can_set() {
    let host = App::new("", "").start();
    let mut stream = host.send(
        "GET",
        "/headers?x=1",
        &[
            "host: pool.test:81",
            "spin-client-addr: 6.6.6.6:1",
            "x-own: kept",
        ],
        "",
    );
    let client = stream.local_addr().unwrap();
    let seen = Answer::read(&mut stream).body;
    for line in [
        "http://pool.test:81/headers?x=1",
        "x-own: kept",
        &format!("spin-client-addr: {client}"),
        "spin-full-url: http://pool.test:81/headers?x=1",
        "spin-path-info: /headers",
    ] {
        assert!(
            seen.lines().any(|seen| seen == line),
            "{line:?} is not in {seen}"
        );
    }
    assert!(
        !seen.contains("6.6.6.6") && !seen.contains("connection:"),
        "{seen}"
    );
}

#[test]
fn a_request_that_names_two_hosts_or_none_that_can_be_is_refused() {
    let host = App::new("", "").start();
    for (path, header) in [
        ("http://a.test/headers", "host: b.test"),
        ("/headers", "host: a b"),
    ] {
        let answer = Answer::read(&mut host.send("GET", path, &[header], ""));
        assert_eq!(answer.status, 400, "{}", answer.body);
    }
}

#[test]
fn the_database_takes_one_statement_a_call_and_no_other_file() {
    let app =
        App::new("", "sqlite_databases = [\"default\"]").arguments(&["--sqlite", "@start.sql"]);
    app.write(
        "start.sql",
        "CREATE TABLE t (a, b, c, d);\nINSERT INTO t VALUES (1, 2.5, 'three; 3', NULL), (4, 5, x'06', 'é');",
    );
    let host = app.start();
    let sql = |statement: &str| host.post("/sql", statement).body;
    assert_eq!(sql("SELECT * FROM t"), "1|2.5|three; 3|NULL\n4|5|[6]|é");
    // Spin runs the first and drops the others, which helps nobody to find the mistake.
    let two = sql("DELETE FROM t WHERE a = 1; DELETE FROM t");
    assert!(two.contains("Multiple statements"), "{two}");
    assert_eq!(sql("DELETE FROM t WHERE a = 1;"), "");
    assert_eq!(sql("SELECT count(*) FROM t"), "1");
    let unknown = sql("SELECT * FROM nowhere");
    assert!(unknown.contains("no such table: nowhere"), "{unknown}");
    assert!(
        sql("SELECT").starts_with("error: Error::Io("),
        "{}",
        sql("SELECT")
    );
    assert!(sql("ATTACH 'other.db' AS other").contains("not authorized"));
    assert!(!app.path("other.db").exists());
    assert!(app.path(".spin/sqlite_db.db").exists());
}

#[test]
fn a_database_that_the_manifest_does_not_grant_cannot_be_opened() {
    let host = App::new("", "").start();
    assert_eq!(
        host.post("/sql", "SELECT 1").body,
        "error: Error::AccessDenied"
    );
}

#[test]
fn the_component_reaches_the_hosts_that_the_manifest_allows_and_no_other() {
    let (allowed, other) = (Upstream::new(), Upstream::new());
    let app = App::new(
        "origin = { default = \"\" }",
        "allowed_outbound_hosts = [\"{{ origin }}\"]",
    )
    .variable("SPIN_VARIABLE_ORIGIN", &allowed.origin());
    let host = app.start();

    let mut answer = host.send("POST", "/fetch", &[], &format!("{}/x?y", allowed.origin()));
    let request = allowed.request();
    assert!(
        request.head.starts_with("GET /x?y HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    request.answer("hello");
    assert_eq!(Answer::read(&mut answer).body, "200 hello");

    let denied = host.post("/fetch", &other.origin()).body;
    assert!(denied.contains("HttpRequestDenied"), "{denied}");
    let line = host.line_with("may not call");
    assert!(
        line.contains(&other.origin()) && line.contains("allowed_outbound_hosts"),
        "{line}"
    );
}

#[test]
fn a_trap_is_a_500_and_a_line_and_not_the_end() {
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
fn quiet_keeps_the_components_own_output_from_the_terminal() {
    let app = App::new("", "").arguments(&["--quiet"]);
    let host = app.start();
    assert_eq!(host.get("/panic").status, 500);
    let lines = host.stop();
    assert!(
        lines.iter().any(|line| line.starts_with("keypool: ")),
        "the host's own are there: {lines:#?}"
    );
    assert!(
        !lines.concat().contains("as the request asked"),
        "{lines:#?}"
    );
}

#[test]
fn sigterm_lets_requests_and_spawned_work_finish_and_takes_no_new_connection() {
    let upstream = Upstream::new();
    let app = App::new(
        "",
        "sqlite_databases = [\"default\"]\nallowed_outbound_hosts = [\"http://*:*\"]",
    )
    .arguments(&["--sqlite", "CREATE TABLE later (number)"]);
    let host = app.start();
    assert_eq!(host.post("/later", &upstream.origin()).body, "at once");
    let spawned = upstream.request();
    let mut running = host.send("POST", "/fetch", &[], &upstream.origin());
    let request = upstream.request();

    host.terminate_and_await_closed_door();
    request.answer("finished");
    assert_eq!(Answer::read(&mut running).body, "200 finished");
    spawned.answer("finished");
    host.line_with("later: 200 finished");
    assert_eq!(host.wait().code(), Some(0));

    let database = rusqlite::Connection::open(app.path(".spin/sqlite_db.db")).unwrap();
    let rows: i64 = database
        .query_row("SELECT count(*) FROM later", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 1, "the spawned write is there");
}

#[test]
fn a_second_sigterm_ends_it_at_once() {
    let upstream = Upstream::new();
    let host = App::new("", "allowed_outbound_hosts = [\"http://*:*\"]").start();
    let _running = host.send("POST", "/fetch", &[], &upstream.origin());
    let _request = upstream.request();
    host.terminate_and_await_closed_door();
    host.terminate();
    host.line_with("stopping at once");
    assert_eq!(host.wait().code(), Some(0));
}

#[test]
fn without_work_it_ends_at_once() {
    let host = App::new("", "").start();
    assert_eq!(host.get("/headers").status, 200);
    host.terminate();
    assert_eq!(host.wait().code(), Some(0));
}
