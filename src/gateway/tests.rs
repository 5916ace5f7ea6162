//! Tests of whole requests: real SQL on SQLite, a scripted upstream, and a manual clock.

use super::ports::{ByteStream, System, Timeouts, TransportError, Upstream, UpstreamResponse};
use super::{AnswerStream, Body, Chunk, Gateway, Reply};
use crate::config::Config;
use crate::pool::UnixMillis;
use crate::store::testing::NativeDatabase;
use crate::store::{Database, DatabaseError};
use fake_gemini::errors::{self, ApiError};
use futures::executor::block_on;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

mod access;
mod admin;
mod affinity;
mod alerts;
mod answers;
mod dashboard;
mod drills;
mod failover;
mod keys;
mod metrics;
mod openapi;
mod repair;
mod reported;
mod request_lines;
mod requests;
mod sealing;
mod session;
mod signatures;
mod storage;
mod surface;
mod tokens;
mod translation;
mod view;

const NOON: UnixMillis = UnixMillis(1_800_000_000_000);
const TOKEN: &str = "fake-client-token-0001";
const ADMIN_TOKEN: &str = "fake-admin-token-0001";
const READ_TOKEN: &str = "fake-read-token-00001";
const KEY: &str = "AIzaFAKE-first-key-of-the-pool-00000001";

/// The client token as OpenAI's clients send it.
const BEARER: (&str, &str) = ("authorization", "Bearer fake-client-token-0001");
/// The operator's token.
const OPERATOR: (&str, &str) = ("authorization", "Bearer fake-admin-token-0001");
/// The client token as Google's clients send it.
const API_KEY: (&str, &str) = ("x-goog-api-key", TOKEN);

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const ORIGIN: &str = "https://generativelanguage.googleapis.com";

// A call of each API, and its answer.
const COMPLETIONS: &str = "/v1/chat/completions";
const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"the prompt"}]}"#;
const ANSWER: &str = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"Hi","role":"assistant"}}],"created":1800000000,"id":"fake-id","model":"m","object":"chat.completion","usage":{"completion_tokens":2,"prompt_tokens":17,"total_tokens":49}}"#;
const GENERATE: &str = "/v1beta/models/m:generateContent";
const CONTENTS: &str = r#"{"contents":[{"parts":[{"text":"the prompt"}]}]}"#;
const GENERATED: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2,"thoughtsTokenCount":7,"totalTokenCount":14}}"#;

/// A chunk that never arrives.
const STALL: &str = "";

// Events of a stream.
const FIRST: &str = "data: {\"a\":1}\n\n";
const SECOND: &str = "data: {\"b\":2}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[derive(Default)]
struct World {
    now: Cell<i64>,
    random_state: Cell<u64>,
    log: RefCell<Vec<String>>,
    /// `None` stands for no reply.
    replies: RefCell<VecDeque<Option<Result<Scripted, TransportError>>>>,
    sent: RefCell<Vec<Sent>>,
    bodies_dropped: Cell<usize>,
    spawned: RefCell<Vec<Pin<Box<dyn Future<Output = ()>>>>>,
}

#[derive(Clone)]
struct Sent {
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: String,
    timeouts: Timeouts,
}

struct Scripted {
    status: u16,
    headers: HeaderMap,
    chunks: Chunks,
}

/// The chunks of a body. [`STALL`] is empty.
type Chunks = VecDeque<Result<Vec<u8>, TransportError>>;

#[derive(Clone, Default)]
struct FakeHost(Rc<World>);

impl System for FakeHost {
    fn now(&self) -> UnixMillis {
        NOON.plus(self.0.now.get())
    }

    /// Timers advance the clock and expire at once.
    async fn wait(&self, ms: u64) {
        self.0.advance(i64::try_from(ms).unwrap());
    }

    /// Runs when the test calls [`Pool::run_spawned`] or [`Pool::finish_spawned`].
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawned.borrow_mut().push(Box::pin(task));
    }

    fn random(&self) -> u64 {
        let state = self.0.random_state.get() + 1;
        self.0.random_state.set(state);
        state.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn entropy(&self) -> [u8; 32] {
        let mut entropy = [0; 32];
        for part in entropy.chunks_exact_mut(8) {
            part.copy_from_slice(&self.random().to_le_bytes());
        }
        entropy
    }

    fn log(&self, line: &str) {
        self.0.log.borrow_mut().push(line.to_owned());
    }

    fn log_json(&self, object: &str) {
        self.log(object);
    }
}

impl World {
    fn advance(&self, ms: i64) {
        self.now.set(self.now.get() + ms);
    }
}

impl Upstream for FakeHost {
    type Body = ScriptedBody;

    async fn send(
        &self,
        method: &Method,
        uri: &Uri,
        headers: HeaderMap,
        body: Vec<u8>,
        timeouts: Timeouts,
    ) -> Result<UpstreamResponse<ScriptedBody>, TransportError> {
        self.0.sent.borrow_mut().push(Sent {
            method: method.clone(),
            uri: uri.to_string(),
            headers,
            body: String::from_utf8(body).unwrap(),
            timeouts,
        });
        self.0.advance(40);
        let reply = self.0.replies.borrow_mut().pop_front();
        let Some(reply) = reply.expect("one scripted reply per call") else {
            self.wait(timeouts.head_ms).await;
            return Err(TransportError::TimedOut);
        };
        let mut reply = reply?;
        let server = HeaderValue::from_static("scaffolding on HTTPServer2");
        reply.headers.insert("server", server);
        Ok(UpstreamResponse {
            status: reply.status,
            headers: reply.headers,
            body: ScriptedBody {
                chunks: reply.chunks,
                idle_ms: timeouts.idle_ms,
                world: Rc::clone(&self.0),
            },
        })
    }
}

struct ScriptedBody {
    chunks: Chunks,
    idle_ms: Option<u64>,
    world: Rc<World>,
}

impl ByteStream for ScriptedBody {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        self.world.advance(5);
        let next = self.chunks.pop_front().transpose();
        if !matches!(&next, Ok(Some(chunk)) if chunk.is_empty()) {
            return next;
        }
        let Some(ms) = self.idle_ms else {
            return std::future::pending().await;
        };
        // Yield once, so that a timer of the gateway expires first.
        let mut is_first = true;
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::take(&mut is_first) {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
        FakeHost(Rc::clone(&self.world)).wait(ms).await;
        Err(TransportError::TimedOut)
    }
}

impl Drop for ScriptedBody {
    fn drop(&mut self) {
        let dropped = &self.world.bodies_dropped;
        dropped.set(dropped.get() + 1);
    }
}

/// A connection that failed for this reason.
fn failed(reason: &str) -> TransportError {
    TransportError::Failed(reason.to_owned())
}

/// An exhausted quota of requests per minute.
fn quota_per_minute() -> ApiError {
    errors::quota_per_minute("m", 10, Duration::from_secs(20))
}

/// An exhausted quota of requests per day.
fn quota_per_day() -> ApiError {
    errors::quota_per_day("m", 250, Duration::from_secs(5))
}

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    list.iter().map(header).collect()
}

/// The rows of a table whose cells contain no spaces.
fn table<const COLUMNS: usize>(rows: &str) -> Vec<[&str; COLUMNS]> {
    let rows = rows.lines().filter(|row| !row.is_empty());
    let columns = rows.map(|row| row.split_whitespace().collect::<Vec<_>>());
    columns.map(|row| row.try_into().unwrap()).collect()
}

fn gzip(plain: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, plain.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {text}"))
}

#[track_caller]
fn assert_contains(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in {text}");
}

#[track_caller]
fn assert_starts_with(text: &str, start: &str) {
    assert!(
        text.starts_with(start),
        "no {start:?} at the start of {text}"
    );
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
    /// Whether the connection was cut before the body's end.
    cut: bool,
}

impl Answer {
    /// Reads a reply to its end.
    fn read(reply: PoolReply) -> Self {
        let (mut bytes, mut cut) = (Vec::new(), false);
        match reply.body {
            Body::Whole(whole) => bytes = whole,
            Body::Pages(mut pages) => {
                while let Some(page) = block_on(pages.next()) {
                    bytes.extend(page.unwrap());
                }
            }
            Body::Stream(mut stream) => loop {
                match block_on(stream.next()) {
                    Chunk::Data(more) => bytes.extend(more),
                    Chunk::Pending => {}
                    Chunk::End => break,
                    Chunk::Broken => {
                        cut = true;
                        break;
                    }
                }
            },
        }
        Self {
            status: reply.status.as_u16(),
            headers: reply.headers,
            body: String::from_utf8(bytes).unwrap(),
            cut,
        }
    }

    #[track_caller]
    fn json(&self) -> serde_json::Value {
        json(&self.body)
    }

    /// A field of an error in OpenAI's format.
    #[track_caller]
    fn error(&self, field: &str) -> String {
        let json = self.json();
        let Some(error) = json["error"].as_object() else {
            panic!("no error: {}", self.body);
        };
        let fields: Vec<_> = error.keys().collect();
        assert_eq!(fields, ["code", "message", "param", "type"]);
        error[field].as_str().unwrap_or("null").to_owned()
    }

    #[track_caller]
    fn assert_status(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.body);
    }

    /// Checks for an error in OpenAI's format.
    #[track_caller]
    fn assert_error(&self, status: u16, code: &str) {
        self.assert_status(status);
        assert_eq!(self.error("code"), code, "{}", self.body);
    }

    /// Checks for a text within the message of an error in OpenAI's format.
    #[track_caller]
    fn assert_message(&self, part: &str) {
        assert_contains(&self.error("message"), part);
    }

    /// Parses the seconds until a key is available from the error message.
    fn reported_wait(&self) -> i64 {
        let message = self.error("message");
        let (_, wait) = message
            .split_once("The first key is available again in ")
            .unwrap();
        wait.split_once(" s.").unwrap().0.parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The id of the key that answered.
    fn key(&self) -> &str {
        self.header("x-keypool-key").unwrap()
    }
}

/// The token for a path, as most callers send it.
fn credential(path: &str) -> (&'static str, &'static str) {
    let is_for_operators = path.starts_with("/api/") || path.starts_with("/admin/");
    if is_for_operators { OPERATOR } else { BEARER }
}

struct Pool {
    gateway: Gateway<NativeDatabase, FakeHost, FakeHost>,
    database: Rc<NativeDatabase>,
    host: FakeHost,
}

type PoolReply = Reply<NativeDatabase, ScriptedBody, FakeHost>;
type PoolStream = Box<AnswerStream<NativeDatabase, ScriptedBody, FakeHost>>;

// Set-up.
impl Pool {
    /// A pool with one key, [`KEY`].
    fn new() -> Self {
        Self::of(1)
    }

    /// A pool of equal keys 1 to `keys`.
    fn of(keys: usize) -> Self {
        Self::with_keys(keys, &[])
    }

    fn with(variables: &[(&str, &str)]) -> Self {
        Self::with_keys(1, variables)
    }

    fn with_keys(keys: usize, variables: &[(&str, &str)]) -> Self {
        let pool = Self::with_database(variables, Ok);
        for id in 2..=keys {
            pool.run(&format!(
                "INSERT INTO api_keys (id, api_key) VALUES ({id}, 'AIzaFAKE-key-{id:03}')"
            ));
        }
        pool
    }

    /// Passes the result of `open` to the gateway, so that a test can withhold the database.
    fn with_database(
        variables: &[(&str, &str)],
        open: impl FnOnce(Rc<NativeDatabase>) -> Result<Rc<NativeDatabase>, DatabaseError>,
    ) -> Self {
        let config = Config::from_variables(|name| {
            let set = variables.iter().find(|(set, _)| *set == name);
            let default = match name {
                "my_api_token" => Some(TOKEN),
                "admin_token" => Some(ADMIN_TOKEN),
                "admin_read_token" => Some(READ_TOKEN),
                "log_format" => Some("none"),
                _ => None,
            };
            set.map(|(_, value)| *value).or(default).map(str::to_owned)
        });
        let database = Rc::new(NativeDatabase::migrated());
        database.run(&format!(
            "INSERT INTO api_keys (id, api_key) VALUES (1, '{KEY}')"
        ));
        let host = FakeHost::default();
        let gateway = Gateway::new(
            config,
            open(Rc::clone(&database)),
            host.clone(),
            host.clone(),
            crate::sync::native,
        );
        Self {
            gateway,
            database,
            host,
        }
    }

    fn run(&self, sql: &str) {
        self.database.run(sql);
    }

    /// Sets a limit of requests or tokens.
    fn insert_limit(&self, scope: &str, model: &str, unit: &str, per: &str, limit: i64) {
        self.run(&format!(
            "INSERT INTO limits (scope, model, unit, per, preset)
             VALUES ('{scope}', '{model}', '{unit}', '{per}', {limit})"
        ));
    }

    /// Gives key 1 a cool-down that has ended, so that its next call is a trial.
    fn insert_ended_cool_down(&self) {
        self.run(
            "INSERT INTO cool_downs (scope, model, reason, strikes, began_at, until) VALUES
             ('key:1', '', 'billing_exhausted', 3,
              '2027-01-15T06:00:00.000Z', '2027-01-15T07:00:00.000Z')",
        );
    }

    fn insert_resource(&self, name: &str, key: i64, project: &str) {
        self.run(&format!(
            "INSERT INTO resources (name, api_key_id, project, made_at)
             VALUES ('{name}', {key}, {project}, '2027-01-15T08:00:00.000Z')"
        ));
    }

    /// Advances the clock.
    fn advance(&self, ms: i64) {
        self.host.0.advance(ms);
    }

    /// Runs all spawned tasks.
    fn run_spawned(&self) {
        self.host.0.spawned.take().into_iter().for_each(block_on);
    }

    /// Runs all spawned tasks and checks their number.
    fn finish_spawned(&self, expected: usize) {
        assert_eq!(self.host.0.spawned.borrow().len(), expected);
        self.run_spawned();
    }
}

// What the upstream replies to the next call.
impl Pool {
    fn script(&self, status: u16, content_type: &str, chunks: &[&str]) {
        self.script_with(status, &[("content-type", content_type)], chunks);
    }

    fn script_with(&self, status: u16, list: &[(&str, &str)], chunks: &[impl AsRef<[u8]>]) {
        let chunks = chunks.iter().map(|chunk| Ok(chunk.as_ref().to_vec()));
        self.script_reply(Ok(Scripted {
            status,
            headers: headers(list),
            chunks: chunks.collect(),
        }));
    }

    fn script_json(&self, json: &str) {
        self.script(200, JSON, &[json]);
    }

    fn script_answer(&self) {
        self.script_json(ANSWER);
    }

    fn script_events(&self, chunks: &[&str]) {
        self.script(200, EVENTS, chunks);
    }

    /// Scripts an answer that breaks off.
    fn script_broken(&self, content_type: &str, chunks: &[&str], error: TransportError) {
        let chunks = chunks.iter().map(|chunk| Ok(chunk.as_bytes().to_vec()));
        self.script_reply(Ok(Scripted {
            status: 200,
            headers: headers(&[("content-type", content_type)]),
            chunks: chunks.chain([Err(error)]).collect(),
        }));
    }

    fn script_error(&self, error: &ApiError) {
        self.script(error.code(), JSON, &[&error.pretty_array()]);
    }

    fn script_errors(&self, count: usize, error: &ApiError) {
        (0..count).for_each(|_| self.script_error(error));
    }

    /// Scripts an error in the frame of the native API.
    fn script_native_errors(&self, count: usize, error: &ApiError) {
        (0..count).for_each(|_| self.script(error.code(), JSON, &[&error.pretty()]));
    }

    /// Scripts the start of an upload that continues at `url`.
    fn script_upload(&self, url: &str) {
        let headers = [
            ("content-type", "text/plain"),
            ("x-goog-upload-url", url),
            ("x-goog-upload-status", "active"),
        ];
        self.script_with(200, &headers, &[""; 0]);
    }

    fn script_silence(&self) {
        self.host.0.replies.borrow_mut().push_back(None);
    }

    fn script_reply(&self, reply: Result<Scripted, TransportError>) {
        self.host.0.replies.borrow_mut().push_back(Some(reply));
    }
}

// Calls.
impl Pool {
    async fn handle(
        &self,
        method: &str,
        path: &str,
        list: &[(&str, &str)],
        body: &[u8],
    ) -> PoolReply {
        let request = Request::builder().method(method).uri(path).body(());
        let (mut parts, ()) = request.unwrap().into_parts();
        parts.headers = headers(list);
        let body = ScriptedBody {
            chunks: body.chunks(7).map(|chunk| Ok(chunk.to_vec())).collect(),
            idle_ms: None,
            world: Rc::default(),
        };
        self.gateway.handle(parts, body).await
    }

    fn reply(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> PoolReply {
        block_on(self.handle(method, path, headers, body))
    }

    fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        Answer::read(self.reply(method, path, headers, body.as_bytes()))
    }

    /// A call without a token.
    fn probe(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "")
    }

    fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[credential(path)], "")
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, &[credential(path)], body)
    }

    fn gemini_get(&self, path: &str) -> Answer {
        self.call("GET", path, &[API_KEY], "")
    }

    fn gemini_post(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, &[API_KEY], body)
    }

    fn chat(&self, body: &str) -> Answer {
        self.post(COMPLETIONS, body)
    }

    /// Makes chats that the upstream answers.
    #[track_caller]
    fn serve_chats(&self, count: usize) {
        for _ in 0..count {
            self.script_answer();
            self.chat(CHAT).assert_status(200);
        }
    }

    /// A call with headers in addition to the token.
    fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.call("POST", path, &[&[BEARER], headers].concat(), body)
    }

    fn chat_with(&self, headers: &[(&str, &str)]) -> Answer {
        self.post_with(COMPLETIONS, headers, CHAT)
    }

    fn chat_for(&self, model: &str) -> Answer {
        self.chat(&CHAT.replace("\"m\"", &format!("{model:?}")))
    }

    /// Starts a call whose answer is a stream.
    fn open(&self, path: &str, token: (&str, &str), body: &str) -> PoolStream {
        let reply = self.reply("POST", path, &[token], body.as_bytes());
        let Body::Stream(stream) = reply.body else {
            panic!("not a stream");
        };
        stream
    }

    /// Starts a chat whose answer is a stream.
    fn chat_stream(&self) -> PoolStream {
        self.open(COMPLETIONS, BEARER, CHAT)
    }
}

// What has happened.
impl Pool {
    /// The milliseconds since [`NOON`].
    fn now(&self) -> i64 {
        self.host.0.now.get()
    }

    /// The number of calls to the upstream.
    fn sent(&self) -> usize {
        self.host.0.sent.borrow().len()
    }

    /// The latest call to the upstream.
    fn last_sent(&self) -> Sent {
        self.host.0.sent.borrow().last().unwrap().clone()
    }

    /// The lines of the operator's log.
    fn log_lines(&self) -> Vec<String> {
        self.host.0.log.borrow().clone()
    }

    fn count_lines(&self, part: &str) -> usize {
        let lines = self.host.0.log.borrow();
        lines.iter().filter(|line| line.contains(part)).count()
    }

    fn query(&self, sql: &str) -> Vec<String> {
        self.database.query(sql)
    }

    fn count(&self, table: &str) -> usize {
        self.query(&format!("SELECT 1 FROM {table}")).len()
    }

    /// Columns of the rows in the log of calls, in order of the calls.
    fn log_rows(&self, columns: &str) -> Vec<String> {
        self.query(&format!("SELECT {columns} FROM api_call_logs ORDER BY id"))
    }

    fn logged(&self) -> Vec<String> {
        self.log_rows("success, response_status, error_message")
    }

    fn attempts(&self) -> Vec<String> {
        self.log_rows("attempt || ' ' || outcome")
    }

    /// The keys of all calls so far.
    fn used_keys(&self) -> String {
        self.log_rows("api_key_id").concat()
    }

    fn key_state(&self) -> String {
        let columns = "status, consecutive_failures, total_calls, success_calls";
        self.query(&format!("SELECT {columns} FROM api_keys WHERE id = 1"))
            .concat()
    }

    /// The status of every key.
    fn statuses(&self) -> String {
        self.query("SELECT status FROM api_keys ORDER BY id")
            .concat()
    }
}
