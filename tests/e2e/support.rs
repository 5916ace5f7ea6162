//! A complete system for one test: the built component in a host, a fake Gemini as its upstream,
//! and its own database.
//!
//! The host is the embedded one, or Spin with `KEYPOOL_TEST_HOST=spin`. Tests pass on both; see
//! [`HostKind`] for the differences.

mod client;
mod database;
mod front;
mod host;

pub(crate) use client::{Answer, Client, Request, Stream};
pub(crate) use database::Lock;
pub(crate) use front::Front;
pub(crate) use host::{HostKind, keypool};

use fake_gemini::{Builder, FakeGemini, Reply};
use host::{Host, Start};
use http::Method;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The pool's client token.
pub(crate) const TOKEN: &str = "fake-client-token-for-tests-0001";

/// The operator's token, if a test sets one.
pub(crate) const ADMIN_TOKEN: &str = "fake-admin-token-for-tests-0001";

/// A valid chat completion request.
pub(crate) const CHAT: &str =
    r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hello"}]}"#;

/// The same request with a streamed answer.
pub(crate) const STREAM: &str =
    r#"{"model":"gemini-2.5-flash","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;

/// The limit of [`soon`], so that a test that waits in vain fails with a message.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The fake key with this number, in the format of a real one.
pub(crate) fn key(number: usize) -> String {
    format!("AIzaFAKE-key-of-the-test-pool-{number:09}")
}

/// Waits for something that must happen soon.
pub(crate) async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, happens).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

/// Held by every running system: shared, or exclusively by a system that must run alone.
static RUNNING: RwLock<()> = RwLock::const_new(());

#[expect(dead_code, reason = "held for its drop")]
enum Running {
    Among(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// How to build a [`TestApp`].
pub(crate) struct Setup {
    alone: bool,
    front: Option<u32>,
    gemini: Builder,
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
    dump: Option<PathBuf>,
}

impl Setup {
    /// A pool of valid keys: [`key`] 1 to `keys`.
    pub(crate) fn keys(keys: usize) -> Self {
        let keys: Vec<String> = (1..=keys).map(key).collect();
        let gemini = keys
            .iter()
            .fold(FakeGemini::builder(), |builder, key| builder.key(key));
        Self {
            alone: false,
            front: None,
            gemini,
            variables: Vec::new(),
            arguments: Vec::new(),
            dump: None,
        }
        .variable("gemini_api_key", &keys.join(","))
        .variable("my_api_token", TOKEN)
    }

    /// The same, with variables of the component.
    pub(crate) fn with(keys: usize, variables: &[(&str, &str)]) -> Self {
        let setup = Self::keys(keys);
        variables
            .iter()
            .fold(setup, |setup, (name, value)| setup.variable(name, value))
    }

    /// A pool of valid keys, each of its own project, or of one that `project_of` tells.
    pub(crate) fn projects(keys: usize, project_of: impl Fn(usize) -> usize) -> Self {
        (1..=keys).fold(Self::keys(keys), |setup, number| {
            let project = format!("projects/{:012}", project_of(number));
            setup.gemini(|gemini| gemini.key_of_project(key(number), project))
        })
    }

    /// Changes the fake before it starts.
    pub(crate) fn gemini(mut self, change: impl FnOnce(Builder) -> Builder) -> Self {
        self.gemini = change(self.gemini);
        self
    }

    /// Sets a variable of the component. The last value wins.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves the client token unset, so that the default in `spin.toml` applies.
    pub(crate) fn without_token(mut self) -> Self {
        self.variables.retain(|(name, _)| name != "my_api_token");
        self
    }

    /// Runs without any other system of this process, for measurements.
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Puts a [`Front`] with a limit of concurrent streams in front of the fake.
    pub(crate) fn behind_front(mut self, max_streams: u32) -> Self {
        self.front = Some(max_streams);
        self
    }

    /// Adds arguments for the host.
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Loads a dump into the database before the pool starts.
    pub(crate) fn import(mut self, dump: &Path) -> Self {
        self.dump = Some(dump.to_owned());
        self
    }

    /// Gives each request its own instance, for tests that change the database: an instance may
    /// cache its view of the pool for half a second.
    pub(crate) fn without_memory(self) -> Self {
        self.arguments(&["--max-instance-reuse-count", "1"])
    }

    /// Starts a host that must refuse its settings, and returns its output.
    pub(crate) async fn refused(self) -> String {
        Host::refuse(&Start {
            folder: tempfile::tempdir().unwrap(),
            variables: self.variables,
            arguments: self.arguments,
        })
        .await
    }

    pub(crate) async fn start(self) -> TestApp {
        let running = if self.alone {
            Running::Alone(RUNNING.write().await)
        } else {
            Running::Among(RUNNING.read().await)
        };
        let gemini = self.gemini.start().await.unwrap();
        // The last value wins, so that a test can set another origin.
        let mut variables = vec![("llm_api_origin".to_owned(), gemini.origin())];
        let mut arguments = self.arguments;
        let folder = tempfile::tempdir().unwrap();
        let mut front = None;
        if let Some(max_streams) = self.front {
            let started = Front::start(gemini.address(), max_streams).await;
            variables.push(("llm_api_origin".to_owned(), started.origin()));
            let config = started.runtime_config(folder.path());
            arguments.push("--runtime-config-file".to_owned());
            arguments.push(config.display().to_string());
            front = Some(started);
        }
        variables.extend(self.variables);
        let start = Start {
            folder,
            variables,
            arguments,
        };
        if let Some(dump) = &self.dump {
            host::import(&start, dump).await;
        }
        let host = Host::start(&start).await;
        TestApp {
            client: Client::new(host.address()),
            gemini,
            front,
            host,
            start,
            _running: running,
        }
    }
}

/// A running system.
pub(crate) struct TestApp {
    pub(crate) gemini: FakeGemini,
    pub(crate) client: Client,
    front: Option<Front>,
    host: Host,
    start: Start,
    _running: Running,
}

impl TestApp {
    /// The pool's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.host.address()
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.host.address())
    }

    /// The front of [`Setup::behind_front`].
    pub(crate) fn front(&self) -> &Front {
        self.front.as_ref().expect("it was set up with one")
    }

    /// Scripts the upstream's next reply to [`key`] 1.
    pub(crate) fn script(&self, reply: Reply) {
        self.gemini.script(&key(1), reply);
    }

    /// Checks that the pool is ready. The first call creates the schema.
    pub(crate) async fn assert_ready(&self) {
        self.client.get("/readyz").send().await.assert_status(200);
    }

    /// Sends a request with the client token.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.client.get(path).authorized().send().await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<String>) -> Answer {
        self.client.post(path, body).authorized().send().await
    }

    /// Sends a request in the same way as Google's clients.
    pub(crate) async fn google(&self, method: Method, path: &str, body: &str) -> Answer {
        let request = self.client.request(method, path).body(body);
        request.google().send().await
    }

    /// Sends chat completion requests that must be served.
    pub(crate) async fn serve_chats(&self, count: usize) {
        for _ in 0..count {
            self.chat(CHAT).await.assert_status(200);
        }
    }

    /// Sends a chat completion request and reads the whole answer.
    pub(crate) async fn chat(&self, body: impl Into<String>) -> Answer {
        self.client.chat(body).send().await
    }

    /// Sends a chat completion request and returns the streamed answer.
    pub(crate) async fn chat_stream(&self, body: impl Into<String>) -> Stream {
        self.client.chat(body).open().await
    }

    /// The status report's `data`.
    pub(crate) async fn keys_status(&self) -> Vec<serde_json::Value> {
        let answer = self.get("/api/keys/status").await;
        answer.assert_status(200);
        let report = answer.json();
        assert_eq!(report["success"], true, "{report}");
        report["data"].as_array().unwrap().clone()
    }

    /// The pool's database file.
    pub(crate) fn database(&self) -> PathBuf {
        database::file(self.start.folder.path())
    }

    /// The rows of a query on the pool's database, with columns joined by `|`.
    pub(crate) fn rows(&self, query: &str) -> Vec<String> {
        database::rows(&self.database(), query)
    }

    /// Columns of the log of calls, in order of the calls.
    pub(crate) fn log_rows(&self, columns: &str) -> Vec<String> {
        self.rows(&format!("SELECT {columns} FROM api_call_logs ORDER BY id"))
    }

    /// Columns of the keys, in order of their ids.
    pub(crate) fn key_rows(&self, columns: &str) -> Vec<String> {
        self.rows(&format!("SELECT {columns} FROM api_keys ORDER BY id"))
    }

    /// Waits until a query returns these rows, for rows that are written after a client has left.
    /// Polls after each round trip to the pool, since nothing signals the write.
    pub(crate) async fn rows_become(&self, query: &str, expected: &[&str]) {
        let asking = async {
            while self.rows(query) != expected {
                self.client.get("/healthz").send().await;
            }
        };
        soon(&format!("{expected:?}"), asking).await;
    }

    /// Changes the pool's database from outside. Requires an earlier request, which creates the
    /// schema.
    pub(crate) fn execute(&self, statements: &str) {
        database::execute(&self.database(), statements);
    }

    /// Locks the pool's database for writers, like a backup or a migration by another process.
    pub(crate) fn lock(&self) -> Lock {
        Lock::of(&self.database())
    }

    /// The host's peak memory so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.host.peak_memory()
    }

    /// Checks for a line in [`output`](Self::output) that has all of these parts.
    #[track_caller]
    pub(crate) fn assert_logged(&self, parts: &[&str]) {
        let output = self.output();
        let has_all = |line: &str| parts.iter().all(|part| line.contains(part));
        assert!(output.lines().any(has_all), "no {parts:?} in\n{output}");
    }

    /// The keys of all calls to the upstream so far, by number.
    pub(crate) fn used_keys(&self) -> Vec<Option<usize>> {
        let calls = self.gemini.calls();
        calls.iter().map(|call| call.key_ordinal).collect()
    }

    /// Everything that the host and the component have written to the terminal so far.
    pub(crate) fn output(&self) -> String {
        self.host.output()
    }

    /// Closes the terminal that the host and the component write to.
    pub(crate) async fn deafen(&mut self) {
        self.host.deafen().await;
    }

    /// Tells the host to stop and waits for its end.
    pub(crate) async fn stop(&mut self) {
        self.host.stop().await;
    }

    /// Kills the host.
    pub(crate) async fn kill(&mut self) {
        self.host.kill().await;
    }

    /// Restarts the host on the same database.
    pub(crate) async fn restart(&mut self) {
        self.host.kill().await;
        self.host = Host::start(&self.start).await;
        self.client = Client::new(self.host.address());
    }

    /// Restarts the host on the same database with other variables.
    pub(crate) async fn restart_with(&mut self, variables: &[(&str, &str)]) {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.start.variables.extend(variables);
        self.restart().await;
    }

    /// What is stored of the pool: the database file and its write-ahead log.
    pub(crate) fn stored_bytes(&self) -> Vec<u8> {
        let mut log = self.database().into_os_string();
        log.push("-wal");
        let mut bytes = std::fs::read(self.database()).unwrap();
        // The last connection that is closed deletes the log.
        bytes.extend(std::fs::read(log).unwrap_or_default());
        bytes
    }
}
