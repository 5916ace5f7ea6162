//! Tests of how requests are distributed over instances.

use crate::support::{ANY_HOST, Answer, App, Upstream, assert_contains};
use h2::client::ResponseFuture;
use std::sync::mpsc::channel;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One instance with so many concurrent requests, and a queue of so many.
fn one_instance(requests: usize, queue: usize) -> App {
    App::new("", ANY_HOST)
        .arguments(&["--max-instances", "1"])
        .arguments(&[
            "--max-instance-concurrent-reuse-count",
            &requests.to_string(),
        ])
        .arguments(&["--max-queued-requests", &queue.to_string()])
}

#[test]
fn requests_wait_for_an_instance_and_get_a_503_beyond_the_queue() {
    let upstream = Upstream::new();
    let host = one_instance(1, 2).start();
    let mut running = host.send("POST", "/fetch", &[], &upstream.origin());
    let request = upstream.request();

    let (sender, answers) = channel();
    for _ in 0..3 {
        let mut waiting = host.send("GET", "/headers", &[], "");
        let sender = sender.clone();
        std::thread::spawn(move || sender.send(Answer::read(&mut waiting)).unwrap());
    }
    let refused = answers.recv().unwrap();
    assert_eq!(refused.status, 503);
    assert_contains(&refused.body, &["pool_busy", "Try again later"]);
    request.answer("done");
    assert_eq!(Answer::read(&mut running).body, "200 done");
    for _ in 0..2 {
        assert_eq!(answers.recv().unwrap().status, 200);
    }
}

#[tokio::test]
async fn ten_thousand_requests_wait_and_are_answered() {
    const QUEUE: usize = 10_000;
    const PER_CONNECTION: usize = 100;
    let upstream = Upstream::new();
    let host = one_instance(1, QUEUE).start();
    let mut running = host.send("POST", "/fetch", &[], &upstream.origin());
    let request = upstream.request();

    let mut answers = JoinSet::new();
    for connection in 0..=QUEUE / PER_CONNECTION {
        let stream = TcpStream::connect(host.address).await.unwrap();
        let (mut sender, driver) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(driver);
        // One more than there is room for.
        let requests = match connection {
            0 => 1,
            _ => PER_CONNECTION,
        };
        for _ in 0..requests {
            sender = sender.ready().await.unwrap();
            let uri = "http://pool.test/variable/none";
            let request = http::Request::get(uri).body(()).unwrap();
            let (response, _) = sender.send_request(request, true).unwrap();
            answers.spawn(status(response));
        }
    }
    assert_eq!(answers.join_next().await.unwrap().unwrap(), 503);
    request.answer("done");
    assert_eq!(Answer::read(&mut running).body, "200 done");
    let statuses = answers.join_all().await;
    assert_eq!(statuses.len(), QUEUE);
    assert!(statuses.iter().all(|status| *status == 200));
}

async fn status(response: ResponseFuture) -> u16 {
    let (head, mut body) = response.await.unwrap().into_parts();
    while let Some(chunk) = body.data().await {
        chunk.unwrap();
    }
    head.status.as_u16()
}

#[test]
fn a_trap_costs_no_request_of_another_instance() {
    let upstream = Upstream::new();
    let host = App::new("", ANY_HOST)
        .arguments(&["--warm-instances", "2"])
        .start();
    let mut running = host.send("POST", "/fetch", &[], &upstream.origin());
    let request = upstream.request();
    // The other instance has less to do.
    assert_eq!(host.get("/panic").status, 500);
    host.line_with("an instance of the component failed");
    assert_eq!(host.get("/headers").status, 200);
    request.answer("done");
    assert_eq!(Answer::read(&mut running).body, "200 done");
}

#[test]
fn spins_scheduler_serves_and_replaces_a_lost_instance() {
    let upstream = Upstream::new();
    let host = App::new("", ANY_HOST)
        .arguments(&["--scheduler", "spin"])
        .start();
    let mut running = host.send("POST", "/fetch", &[], &upstream.origin());
    upstream.request().answer("done");
    assert_eq!(Answer::read(&mut running).body, "200 done");
    assert_eq!(host.get("/panic").status, 500);
    host.line_with("an instance of the component failed");
    assert_eq!(host.get("/headers").status, 200);
}

#[test]
fn a_request_that_computes_forever_is_stopped_and_those_behind_it_are_answered() {
    let host = one_instance(3, 0)
        .arguments(&["--max-busy-time", "500ms"])
        .start();
    let mut endless = host.send("GET", "/compute-forever", &[], "");
    host.line_with("computing");
    let mut behind = [(); 2].map(|()| host.send("GET", "/headers", &[], ""));
    for stream in &mut behind {
        assert_eq!(Answer::read(stream).status, 200);
    }
    assert_eq!(Answer::read(&mut endless).status, 500);
    host.line_with("it computed for 500ms without a pause");
}

#[test]
fn a_request_that_computes_forever_leaves_other_instances_their_turn() {
    let host = App::new("", "")
        .arguments(&["--warm-instances", "3", "--max-busy-time", "60s"])
        .start();
    let _endless = [(); 2].map(|()| host.send("GET", "/compute-forever", &[], ""));
    for _ in 0..20 {
        assert_eq!(host.get("/headers").status, 200);
    }
}

#[test]
fn memory_that_a_request_needed_is_released() {
    let host = App::new("", "")
        .arguments(&["--warm-instances", "1"])
        .start();
    let mebibytes = || -> usize { host.get("/memory").body.parse().unwrap() };
    let before = mebibytes();
    let large = host.post("/none", &"x".repeat(100 << 20));
    assert_eq!(large.body, "no such path");
    assert!(mebibytes() <= before, "another instance answers");
}
