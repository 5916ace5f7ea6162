//! The program, started as a person or `xtask up --demo` starts it.

use crate::support::{KEY, OTHER_KEY, question, soon};
use std::net::SocketAddr;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

struct Program {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    errors: Lines<BufReader<ChildStderr>>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fake-gemini"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            out: BufReader::new(child.stdout.take().unwrap()).lines(),
            errors: BufReader::new(child.stderr.take().unwrap()).lines(),
            child,
        }
    }

    async fn address(&mut self) -> SocketAddr {
        let line = soon(self.out.next_line()).await.unwrap().unwrap();
        let address = line.strip_prefix("Listening http://");
        address.expect(&line).parse().unwrap()
    }

    async fn error_line(&mut self) -> String {
        soon(self.errors.next_line()).await.unwrap().unwrap()
    }

    /// What is left of its standard error.
    async fn errors_left(&mut self) -> String {
        let mut text = String::new();
        while let Some(line) = soon(self.errors.next_line()).await.unwrap() {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    async fn code(&mut self) -> Option<i32> {
        soon(self.child.wait()).await.unwrap().code()
    }
}

async fn ask(address: SocketAddr, key: &str, body: &str) -> String {
    let request = format!(
        "POST /v1beta/openai/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         authorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    send(address, &request).await
}

async fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn it_listens_answers_logs_and_ends_on_a_signal() {
    let expired = format!("{OTHER_KEY}=expired");
    let mut program = Program::start(&[
        "--listen",
        "127.0.0.1:0",
        "--key",
        KEY,
        "--key",
        &expired,
        "--event-gap-ms",
        "0",
    ]);
    let address = program.address().await;

    let stream = ask(address, KEY, &question(r#","stream":true"#)).await;
    assert!(stream.contains(r#""content":"made-up ""#), "{stream}");
    assert!(stream.contains("data: [DONE]\n\n"), "{stream}");
    let whole = ask(address, KEY, &question("")).await;
    assert!(
        whole.contains("by key 1 of 2, which belongs to projects/000000000001."),
        "{whole}"
    );
    assert!(!whole.contains(KEY) && !whole.contains("Say hello."));
    let tools = r#","tools":[{"type":"function","function":{"name":"weather"}}]"#;
    let call = ask(address, KEY, &question(tools)).await;
    assert!(
        call.contains(r#"{"arguments":"{}","name":"weather"}"#),
        "{call}"
    );
    let dead = ask(address, OTHER_KEY, &question("")).await;
    assert!(dead.starts_with("HTTP/1.1 400 "), "{dead}");
    ask(address, "AIzaFAKE-nobody", &question("")).await;

    for expected in [
        "compat generateContent, key 1, gemini-2.5-flash: 200",
        "compat generateContent, key 1, gemini-2.5-flash: 200",
        "compat generateContent, key 1, gemini-2.5-flash: 200",
        "compat generateContent, key 2, gemini-2.5-flash: 400",
        "compat generateContent, unknown key, gemini-2.5-flash: 400",
    ] {
        assert_eq!(program.error_line().await, expected);
    }
    terminate(&mut program, "TERM").await;
}

#[tokio::test]
async fn lines_show_nothing_that_a_client_made_up() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--key", KEY]);
    let address = program.address().await;
    let secret = "AIzaFAKE-secret%0A%1B";
    let huge = format!("{secret}{}", "x".repeat(1_000_000));
    let model = question("").replace("gemini-2.5-flash", &huge);
    ask(address, KEY, &model).await;
    for path in [
        format!("/{secret}"),
        format!("/v1beta/models/{secret}:generateContent"),
        format!("/v1beta/openai/models/{secret}?key={KEY}"),
    ] {
        let request = format!("SECRET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        send(address, &request).await;
        send(address, &request.replacen("SECRET", "GET", 1)).await;
    }
    for expected in [
        "compat generateContent, key 1, unknown model: 404",
        "unknown path, no key, no model: 404",
        "unknown path, no key, no model: 404",
        "unknown path, no key, no model: 404",
        "native getModel, no key, unknown model: 403",
        "unknown path, key 1, no model: 404",
        "compat getModel, no key, unknown model: 400",
    ] {
        assert_eq!(program.error_line().await, expected);
    }
}

#[tokio::test]
async fn lines_that_nobody_reads_stop_neither_answers_nor_the_end() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--key", KEY]);
    let stream = TcpStream::connect(program.address().await).await.unwrap();
    let mut stream = BufReader::new(stream);
    let not_found = "HTTP/1.1 404 Not Found\r\n";
    // More lines than any pipe and the queue before it hold together.
    for _ in 0..5000 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(stream.read_u8()).await.unwrap());
        }
        assert!(head.starts_with(not_found.as_bytes()));
    }
    terminate(&mut program, "TERM").await;
    let text = program.errors_left().await;
    assert!(text.starts_with("unknown path, no key, no model: 404"));
}

#[tokio::test]
async fn the_last_lines_are_written_before_it_ends() {
    let arguments = ["--listen", "127.0.0.1:0", "--key", KEY];
    let slow = ["--event-gap-ms", "3600000"];
    let mut program = Program::start(&[&arguments[..], &slow].concat());
    let mut stream = TcpStream::connect(program.address().await).await.unwrap();
    let body = question(r#","stream":true"#);
    let request = format!(
        "POST /v1beta/openai/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    soon(stream.read_u8()).await.unwrap();
    terminate(&mut program, "TERM").await;
    assert_eq!(
        program.error_line().await,
        "compat generateContent, key 1, gemini-2.5-flash: 200, stopped"
    );
}

#[tokio::test]
async fn scripts_of_the_command_line_come_first() {
    let mut program = Program::start(&[
        "--listen",
        "127.0.0.1:0",
        "--key",
        KEY,
        "--key",
        OTHER_KEY,
        "--script",
        "2=high-demand,quota-day,html-502,close,break:2,error:1,empty",
        "--script",
        "2=internal",
        "--event-gap-ms",
        "0",
    ]);
    let address = program.address().await;
    let stream = question(r#","stream":true"#);
    let other = ask(address, KEY, &question("")).await;
    assert!(other.contains("by key 1 of 2"), "it has no script: {other}");
    for (status, begin) in [
        (
            "HTTP/1.1 503 ",
            "This model is currently experiencing high demand.",
        ),
        (
            "HTTP/1.1 429 ",
            "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        ),
        ("HTTP/1.1 502 ", "<!DOCTYPE html>"),
        ("", ""),
        ("HTTP/1.1 200 ", "Piece 2 of 4."),
        ("HTTP/1.1 200 ", r#"data: {"error":{"code":503,"#),
        (
            "HTTP/1.1 200 ",
            r#"{"delta":{"role":"assistant"},"finish_reason":"stop""#,
        ),
        ("HTTP/1.1 500 ", "An internal error has occurred."),
    ] {
        let answer = ask(address, OTHER_KEY, &stream).await;
        assert!(answer.starts_with(status), "{answer}");
        assert!(answer.contains(begin), "{answer}");
        assert!(!answer.contains("Piece 3"), "{answer}");
    }
    let after = ask(address, OTHER_KEY, &question("")).await;
    assert!(after.contains("by key 2 of 2"), "{after}");
}

#[tokio::test]
async fn an_interrupt_ends_it_too() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--key", "k"]);
    program.address().await;
    terminate(&mut program, "INT").await;
}

async fn terminate(program: &mut Program, signal: &str) {
    let id = program.child.id().unwrap().to_string();
    let sent = Command::new("kill")
        .args(["-s", signal, &id])
        .status()
        .await
        .unwrap();
    assert!(sent.success());
    assert_eq!(program.code().await, Some(0));
}

#[tokio::test]
async fn quotas_of_the_command_line_hold() {
    let mut program = Program::start(&[
        "--listen",
        "127.0.0.1:0",
        "--key",
        KEY,
        "--rpd",
        "1",
        "--lenient",
    ]);
    let address = program.address().await;
    let first = ask(address, KEY, &question(r#","seed":1"#)).await;
    assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    let second = ask(address, KEY, &question("")).await;
    assert!(second.starts_with("HTTP/1.1 429 "), "{second}");
}

#[tokio::test]
async fn wrong_arguments_are_told_without_showing_a_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, code, message) in [
        (&["--listen", "127.0.0.1:0"][..], 2, "--key <KEY>"),
        (&["--key", "k", "--listen", "nowhere"], 2, "nowhere"),
        (&["--key", "k", "--rpm", "many"], 2, "many"),
        (
            &["--key", "AIzaFAKE-secret=odd"],
            1,
            "error: --key number 1: after `=` comes one of: valid, invalid,",
        ),
        (
            &["--key", "k", "--listen", &taken],
            1,
            "(--listen names another address)",
        ),
        (
            &["--key", "k", "--script", "1=ok,okay"],
            1,
            "error: --script number 1: no reply is called `okay`; there are: ok, empty, high-demand,",
        ),
    ] {
        let mut program = Program::start(arguments);
        assert_eq!(program.code().await, Some(code), "{arguments:?}");
        let text = program.errors_left().await;
        assert!(text.contains(message), "{arguments:?}: {text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
