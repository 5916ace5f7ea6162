//! Runs the built program with test manifests; a small HTTP client and server.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tempfile::TempDir;

/// Longer than anything takes: a test that hangs would hide what it waits for.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A folder with a manifest, and the program's arguments and environment.
pub(crate) struct App {
    pub(crate) folder: TempDir,
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
}

/// Lines of the component's table: it may call every host, or open the database.
pub(crate) const ANY_HOST: &str = "allowed_outbound_hosts = [\"http://*:*\"]";
pub(crate) const DATABASE: &str = "sqlite_databases = [\"default\"]";

impl App {
    /// The test guest, with `[variables]` and `more` lines in its component's table.
    pub(crate) fn new(variables: &str, more: &str) -> Self {
        let guest = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../target/wasm32-wasip2/component/test_guest.wasm");
        assert!(
            guest.is_file(),
            "{} is missing; `cargo xtask test --only host` builds it",
            guest.display()
        );
        Self::with_source(&guest.display().to_string(), variables, more)
    }

    pub(crate) fn with_source(source: &str, variables: &str, more: &str) -> Self {
        let app = Self {
            folder: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
            arguments: Vec::new(),
        };
        app.write(
            "spin.toml",
            &format!(
                "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
                 [variables]\n{variables}\n\
                 [[trigger.http]]\nroute = \"/...\"\ncomponent = \"guest\"\n\
                 [component.guest]\nsource = {source:?}\n{more}\n"
            ),
        );
        app
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Replaces a file atomically, so that a reader finds the old text or the new one.
    pub(crate) fn replace(&self, name: &str, text: &str) {
        let new = format!("{name}.new");
        self.write(&new, text);
        std::fs::rename(self.path(&new), self.path(name)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a query for a number in the database.
    pub(crate) fn number(&self, query: &str) -> i64 {
        let database = rusqlite::Connection::open(self.path(".spin/sqlite_db.db")).unwrap();
        database.query_row(query, [], |row| row.get(0)).unwrap()
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    fn command(&self) -> Command {
        self.set_up(Command::new(env!("CARGO_BIN_EXE_keypool")))
    }

    fn set_up(&self, mut command: Command) -> Command {
        command
            .current_dir(self.folder.path())
            .arg("up")
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if !self.arguments.iter().any(|argument| argument == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command
    }

    /// Starts it and waits until it serves.
    pub(crate) fn start(&self) -> Host {
        Host::of(self.command().spawn().unwrap())
    }

    /// Starts it through another program, which executes it.
    pub(crate) fn start_by(&self, program: &str, arguments: &[&str]) -> Host {
        let mut command = Command::new(program);
        command.args(arguments).arg(env!("CARGO_BIN_EXE_keypool"));
        Host::of(self.set_up(command).spawn().unwrap())
    }

    /// Starts it without reading its stderr.
    pub(crate) fn start_with_unread_stderr(&self) -> (Host, ChildStderr) {
        let mut child = self.command().spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        (Host::of(child), stderr)
    }

    /// Runs it, expecting that it cannot start, and returns its stderr, which has no secret.
    pub(crate) fn fail(&self) -> String {
        self.fail_with("error: ")
    }

    /// Runs it, expecting that it cannot start, and returns its stderr, which starts so.
    pub(crate) fn fail_with(&self, beginning: &str) -> String {
        let output = self.command().output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with(beginning), "{error}");
        assert!(!error.contains("panicked"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
        error
    }
}

#[track_caller]
pub(crate) fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

/// A running program; killed when dropped.
pub(crate) struct Host {
    child: Child,
    lines: Receiver<String>,
    pub(crate) address: SocketAddr,
}

impl Host {
    fn of(mut child: Child) -> Self {
        let (sender, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take();
        if let Some(stderr) = stderr {
            send_lines(stderr, sender.clone());
        }
        send_lines(stdout, sender);
        let mut host = Self {
            child,
            lines,
            address: "0.0.0.0:0".parse().unwrap(),
        };
        let line = host.line_with("Serving http://");
        host.address = line.trim_start_matches("Serving http://").parse().unwrap();
        host
    }

    /// Waits for a line of output that contains `part`.
    pub(crate) fn line_with(&self, part: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(TIMEOUT) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => before.push(line),
                Err(error) => panic!("no line with {part:?} ({error}) after {before:#?}"),
            }
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        Answer::read(&mut self.send("GET", path, &[], ""))
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        Answer::read(&mut self.send("POST", path, &[], body))
    }

    /// Connects and sends these bytes.
    pub(crate) fn raw(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(bytes.as_ref()).unwrap();
        stream
    }

    /// Sends a request without reading the response.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> TcpStream {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        if !headers.iter().any(|header| header.starts_with("host:")) {
            request.push_str("host: keypool.test\r\n");
        }
        for header in headers {
            request.push_str(&format!("{header}\r\n"));
        }
        self.raw(format!("{request}\r\n{body}"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends a signal and waits until it accepts no connection any more.
    pub(crate) fn signal_and_await_closed_port(&self, signal: Signal) {
        self.signal(signal);
        while TcpStream::connect(self.address).is_ok() {
            std::thread::yield_now();
        }
    }

    /// Stops it and returns the lines that [`line_with`](Self::line_with) has not skipped.
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.signal(Signal::TERM);
        self.child.wait().unwrap();
        // Both pipes are closed with it.
        self.lines.iter().collect()
    }

    /// Waits until it exits, with code 0.
    pub(crate) fn exits_with_success(mut self) {
        let end = loop {
            if let Err(error) = self.lines.recv_timeout(TIMEOUT) {
                break error;
            }
        };
        // Its pipes are closed.
        assert_eq!(end, RecvTimeoutError::Disconnected, "it does not exit");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

fn send_lines(pipe: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let _ = sender.send(line.unwrap());
        }
    });
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn read(stream: &mut TcpStream) -> Self {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer, but {text:?}"));
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
        let head_in_lower_case = head.to_ascii_lowercase();
        let is_chunked = head_in_lower_case.contains("transfer-encoding: chunked");
        Self {
            status: status.unwrap_or_else(|| panic!("{head}")),
            body: match is_chunked {
                true => unchunk(body),
                false => body.to_owned(),
            },
        }
    }
}

fn unchunk(mut text: &str) -> String {
    let mut body = String::new();
    loop {
        let (size, rest) = text.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body.push_str(&rest[..size]);
        text = rest[size..].trim_start_matches("\r\n");
    }
}

/// A server that answers when a test tells it to.
pub(crate) struct Upstream(TcpListener);

impl Upstream {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// Waits for a request.
    pub(crate) fn request(&self) -> Pending {
        let (stream, _) = self.0.accept().unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut head = String::new();
        let mut lines = BufReader::new(&stream);
        while !head.ends_with("\r\n\r\n") {
            assert!(
                lines.read_line(&mut head).unwrap() > 0,
                "cut after {head:?}"
            );
        }
        Pending { stream, head }
    }
}

/// A request that waits for its response.
pub(crate) struct Pending {
    stream: TcpStream,
    pub(crate) head: String,
}

impl Pending {
    pub(crate) fn answer(mut self, body: &str) {
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(answer.as_bytes()).unwrap();
    }
}
