//! How the program ends.

use crate::support::{Answer, App, Upstream};
use rustix::process::Signal;
use std::io::Read;

/// Longer than any test waits.
const LONG_GRACE: [&str; 2] = ["--grace", "3600s"];

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

    host.signal_and_await_closed_door(Signal::TERM);
    request.answer("finished");
    assert_eq!(Answer::read(&mut running).body, "200 finished");
    spawned.answer("finished");
    host.line_with("later: 200 finished");
    host.ends_well();

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
    host.signal_and_await_closed_door(Signal::TERM);
    host.signal(Signal::TERM);
    host.line_with("stopping at once");
    host.ends_well();
}

#[test]
fn without_work_it_ends_at_once() {
    let host = App::new("", "").start();
    assert_eq!(host.get("/headers").status, 200);
    host.signal(Signal::TERM);
    host.ends_well();
}

#[test]
fn what_is_not_finished_in_time_hears_of_the_end_and_may_still_write() {
    let upstream = Upstream::new();
    let app = App::new(
        "",
        "sqlite_databases = [\"default\"]\nallowed_outbound_hosts = [\"http://*:*\"]",
    )
    .arguments(&["--sqlite", "CREATE TABLE later (number)", "--grace", "1ms"]);
    let host = app.start();
    assert_eq!(host.post("/later", &upstream.origin()).body, "at once");
    let _spawned = upstream.request();
    let mut running = host.send("POST", "/fetch", &[], &upstream.origin());
    let _request = upstream.request();

    host.signal(Signal::TERM);
    let told = Answer::read(&mut running).body;
    assert!(told.contains("the host is stopping"), "{told}");
    host.line_with("the host is stopping");
    host.ends_well();
    let database = rusqlite::Connection::open(app.path(".spin/sqlite_db.db")).unwrap();
    let rows: i64 = database
        .query_row("SELECT count(*) FROM later", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn connections_without_a_request_do_not_delay_the_end() {
    let host = App::new("", "").arguments(&LONG_GRACE).start();
    let connections = [
        // Nothing, half a head, half of what tells HTTP/2, and one that waits for its next request.
        "",
        "GET /headers HTTP/1.1\r\nhost: keypool.te",
        "PRI * HT",
        "GET /headers HTTP/1.1\r\nhost: keypool.test\r\n\r\n",
    ]
    .map(|text| host.raw(text));
    // Its answer has begun, so that the others have been seen, too.
    let [.., mut answered] = connections.each_ref();
    assert!(answered.read(&mut [0; 1]).unwrap() > 0);
    host.signal(Signal::TERM);
    host.ends_well();
    drop(connections);
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
    let app = App::new("", "sqlite_databases = [\"default\"]")
        .arguments(&LONG_GRACE)
        .arguments(&["--write-timeout", "100ms"]);
    let host = app.start();
    // More than the buffers of both sides hold.
    let much = "SELECT hex(zeroblob(20000000))";
    let mut connection = host.send("POST", "/sql", &[], much);
    assert!(connection.read(&mut [0; 1]).unwrap() > 0);
    // The end waits for every answer.
    host.signal(Signal::TERM);
    host.ends_well();
    drop(connection);
}

#[test]
fn every_signal_that_ends_a_program_ends_it_in_order() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let upstream = Upstream::new();
        // The tests themselves may have been started by `nohup`.
        let host = App::new("", "allowed_outbound_hosts = [\"http://*:*\"]")
            .start_by("env", &["--default-signal=HUP"]);
        let mut running = host.send("POST", "/fetch", &[], &upstream.origin());
        let request = upstream.request();
        host.signal_and_await_closed_door(signal);
        request.answer("finished");
        assert_eq!(
            Answer::read(&mut running).body,
            "200 finished",
            "{signal:?}"
        );
        host.ends_well();
    }
}

#[test]
fn a_hangup_that_is_ignored_from_the_start_stays_ignored() {
    let upstream = Upstream::new();
    let host = App::new("", "allowed_outbound_hosts = [\"http://*:*\"]")
        .arguments(&LONG_GRACE)
        .start_by("nohup", &[]);
    let mut running = host.send("POST", "/fetch", &[], &upstream.origin());
    let request = upstream.request();
    host.signal(Signal::HUP);
    // Were this the second signal, it would end the request.
    host.signal_and_await_closed_door(Signal::TERM);
    request.answer("finished");
    assert_eq!(Answer::read(&mut running).body, "200 finished");
    host.ends_well();
}
