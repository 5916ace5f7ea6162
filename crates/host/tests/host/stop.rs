//! Tests of the shutdown.

use crate::support::{ANY_HOST, Answer, App, DATABASE, Host, Pending, Upstream};
use rustix::process::Signal;
use std::io::Read;
use std::net::TcpStream;

/// Longer than any test waits.
const LONG_GRACE: [&str; 2] = ["--grace", "3600s"];

/// An app whose component has a table for what it writes after a response.
fn app() -> App {
    App::new("", &format!("{DATABASE}\n{ANY_HOST}"))
        .arguments(&["--sqlite", "CREATE TABLE later (number)"])
}

/// Has the component call the upstream, and waits until it does.
fn begin_fetch(host: &Host, upstream: &Upstream) -> (TcpStream, Pending) {
    let running = host.send("POST", "/fetch", &[], &upstream.origin());
    (running, upstream.request())
}

#[test]
fn sigterm_stops_accepting_and_waits_for_running_work() {
    let upstream = Upstream::new();
    let app = app();
    let host = app.start();
    assert_eq!(host.post("/later", &upstream.origin()).body, "at once");
    let spawned = upstream.request();
    let (mut running, request) = begin_fetch(&host, &upstream);

    host.signal_and_await_closed_port(Signal::TERM);
    request.answer("finished");
    assert_eq!(Answer::read(&mut running).body, "200 finished");
    spawned.answer("finished");
    host.line_with("later: 200 finished");
    host.exits_with_success();
    let rows = app.number("SELECT count(*) FROM later");
    assert_eq!(rows, 1, "the spawned write is there");
}

#[test]
fn second_sigterm_stops_immediately() {
    let upstream = Upstream::new();
    let host = App::new("", ANY_HOST).start();
    let (_running, _request) = begin_fetch(&host, &upstream);
    host.signal_and_await_closed_port(Signal::TERM);
    host.signal(Signal::TERM);
    host.line_with("stopping immediately");
    host.exits_with_success();
}

#[test]
fn work_is_cancelled_after_grace_and_may_still_write() {
    let upstream = Upstream::new();
    let app = app().arguments(&["--grace", "1ms"]);
    let host = app.start();
    assert_eq!(host.post("/later", &upstream.origin()).body, "at once");
    let _spawned = upstream.request();
    let (mut running, _request) = begin_fetch(&host, &upstream);

    host.signal(Signal::TERM);
    let error = Answer::read(&mut running).body;
    assert!(error.contains("the host is stopping"), "{error}");
    host.line_with("the host is stopping");
    host.exits_with_success();
    assert_eq!(app.number("SELECT count(*) FROM later"), 1);
}

#[test]
fn idle_connections_do_not_delay_the_shutdown() {
    let host = App::new("", "").arguments(&LONG_GRACE).start();
    let connections = [
        // Nothing, half a head, half of HTTP/2's preface, and one that waits for its next request.
        "",
        "GET /headers HTTP/1.1\r\nhost: keypool.te",
        "PRI * HT",
        "GET /headers HTTP/1.1\r\nhost: keypool.test\r\n\r\n",
    ]
    .map(|text| host.raw(text));
    // Its response has begun, so the others have been accepted, too.
    let [.., mut answered] = connections.each_ref();
    assert!(answered.read(&mut [0; 1]).unwrap() > 0);
    host.signal(Signal::TERM);
    host.exits_with_success();
    drop(connections);
}

#[test]
fn client_that_stops_reading_is_disconnected() {
    let app = App::new("", DATABASE)
        .arguments(&LONG_GRACE)
        .arguments(&["--write-timeout", "100ms"]);
    let host = app.start();
    // More than the buffers of both sides hold.
    let much = "SELECT hex(zeroblob(20000000))";
    let mut connection = host.send("POST", "/sql", &[], much);
    assert!(connection.read(&mut [0; 1]).unwrap() > 0);
    // The shutdown waits for every response.
    host.signal(Signal::TERM);
    host.exits_with_success();
    drop(connection);
}

#[test]
fn sigterm_sigint_and_sighup_stop_in_order() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let upstream = Upstream::new();
        // The tests may run under `nohup`.
        let host = App::new("", ANY_HOST).start_by("env", &["--default-signal=HUP"]);
        let (mut running, request) = begin_fetch(&host, &upstream);
        host.signal_and_await_closed_port(signal);
        request.answer("finished");
        assert_eq!(
            Answer::read(&mut running).body,
            "200 finished",
            "{signal:?}"
        );
        host.exits_with_success();
    }
}

#[test]
fn ignored_sighup_stays_ignored() {
    let upstream = Upstream::new();
    let host = App::new("", ANY_HOST)
        .arguments(&LONG_GRACE)
        .start_by("nohup", &[]);
    let (mut running, request) = begin_fetch(&host, &upstream);
    host.signal(Signal::HUP);
    // If SIGHUP had counted, this second signal would abort the request.
    host.signal_and_await_closed_port(Signal::TERM);
    request.answer("finished");
    assert_eq!(Answer::read(&mut running).body, "200 finished");
    host.exits_with_success();
}
