//! Tests of whole requests: real SQL on SQLite, a scripted upstream, and a manual clock.

use super::attempt::NO_ANSWER;
use super::ports::{ByteStream, System, Timeouts, TransportError, Upstream, UpstreamResponse};
use super::{AnswerStream, Body, Chunk, Gateway, Reply};
use crate::config::Config;
use crate::pool::UnixMillis;
use crate::store::testing::NativeDatabase;
use crate::store::{Database, DatabaseError};
use futures::executor::block_on;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

mod affinity;
mod failover;
mod repair;
mod reported;
mod requests;
mod signatures;
mod surface;
mod view;

const NOON: UnixMillis = UnixMillis(1_800_000_000_000);
const TOKEN: &str = "fake-client-token-0001";
const KEY: &str = "AIzaFAKE-first-key-of-the-pool-00000001";
const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"the prompt"}]}"#;
const ANSWER: &str = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"Hi","role":"assistant"}}],"created":1800000000,"id":"fake-id","model":"m","object":"chat.completion","usage":{"completion_tokens":2,"prompt_tokens":17,"total_tokens":49}}"#;

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

struct Sent {
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: String,
    timeouts: Timeouts,
}

struct Scripted {
    status: u16,
    content_type: &'static str,
    content_encoding: Option<&'static str>,
    /// In addition to those of every response.
    headers: Vec<(&'static str, String)>,
    /// An empty chunk stands for a stall.
    chunks: Vec<Result<Vec<u8>, TransportError>>,
}

#[derive(Clone, Default)]
struct FakeHost(Rc<World>);

impl System for FakeHost {
    fn now(&self) -> UnixMillis {
        NOON.plus(self.0.now.get())
    }

    /// Timers advance the clock and expire at once.
    async fn wait(&self, ms: u64) {
        self.0
            .now
            .set(self.0.now.get() + i64::try_from(ms).unwrap());
    }

    /// Runs when the test calls [`Pool::run_spawned`] or [`Pool::finish_spawned`].
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawned.borrow_mut().push(Box::pin(task));
    }

    fn random(&self) -> u64 {
        self.0.random_state.set(self.0.random_state.get() + 1);
        self.0
            .random_state
            .get()
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn log(&self, line: &str) {
        self.0.log.borrow_mut().push(line.to_owned());
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
        let body = String::from_utf8(body).unwrap();
        self.0.sent.borrow_mut().push(Sent {
            method: method.clone(),
            uri: uri.to_string(),
            headers,
            body,
            timeouts,
        });
        self.0.now.set(self.0.now.get() + 40);
        let reply = self
            .0
            .replies
            .borrow_mut()
            .pop_front()
            .expect("one scripted reply per call");
        let Some(reply) = reply else {
            self.wait(timeouts.head_ms).await;
            return Err(TransportError::TimedOut);
        };
        let reply = reply?;
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(reply.content_type));
        if let Some(encoding) = reply.content_encoding {
            headers.insert("content-encoding", HeaderValue::from_static(encoding));
        }
        for (name, value) in reply.headers {
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
        }
        headers.insert(
            "server",
            HeaderValue::from_static("scaffolding on HTTPServer2"),
        );
        Ok(UpstreamResponse {
            status: reply.status,
            headers,
            body: ScriptedBody {
                chunks: reply.chunks.into(),
                idle_ms: timeouts.idle_ms,
                world: Rc::clone(&self.0),
            },
        })
    }
}

struct ScriptedBody {
    chunks: VecDeque<Result<Vec<u8>, TransportError>>,
    idle_ms: Option<u64>,
    world: Rc<World>,
}

impl ByteStream for ScriptedBody {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        self.world.now.set(self.world.now.get() + 5);
        let next = self.chunks.pop_front().transpose();
        if next
            .as_ref()
            .is_ok_and(|chunk| chunk.as_ref().is_some_and(Vec::is_empty))
        {
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
            return Err(TransportError::TimedOut);
        }
        next
    }
}

impl Drop for ScriptedBody {
    fn drop(&mut self) {
        self.world
            .bodies_dropped
            .set(self.world.bodies_dropped.get() + 1);
    }
}

struct Pool {
    gateway: Gateway<NativeDatabase, FakeHost, FakeHost>,
    database: Rc<NativeDatabase>,
    host: FakeHost,
}

type PoolReply = Reply<NativeDatabase, ScriptedBody, FakeHost>;
type PoolStream = Box<AnswerStream<NativeDatabase, ScriptedBody, FakeHost>>;

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
    /// Whether the connection was cut before the body's end.
    cut: bool,
}

impl Answer {
    /// Parses the seconds until a key is available from the error message.
    fn reported_wait(&self) -> i64 {
        let message = self.error("message");
        let (_, wait) = message
            .split_once("The first key is available again in ")
            .unwrap();
        wait.split_once(" s.").unwrap().0.parse().unwrap()
    }

    /// Reads a reply to its end.
    fn read(reply: PoolReply) -> Self {
        let (mut bytes, mut cut) = (Vec::new(), false);
        match reply.body {
            Body::Whole(whole) => bytes = whole,
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

    fn error(&self, field: &str) -> String {
        let json: serde_json::Value =
            serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}", self.body));
        let error = json["error"]
            .as_object()
            .unwrap_or_else(|| panic!("{}", self.body));
        assert_eq!(
            error.keys().collect::<Vec<_>>(),
            ["code", "message", "param", "type"]
        );
        error[field].as_str().unwrap_or("null").to_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Pool {
    fn with(variables: &[(&str, &str)]) -> Self {
        Self::with_database(variables, Ok)
    }

    /// Passes the result of `open` to the gateway, so that a test can withhold the database.
    fn with_database(
        variables: &[(&str, &str)],
        open: impl FnOnce(Rc<NativeDatabase>) -> Result<Rc<NativeDatabase>, DatabaseError>,
    ) -> Self {
        let config = Config::from_variables(|name| {
            let set = variables
                .iter()
                .find(|(set, _)| *set == name)
                .map(|(_, value)| (*value).to_owned());
            set.or_else(|| (name == "my_api_token").then(|| TOKEN.to_owned()))
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

    fn new() -> Self {
        Self::with(&[])
    }

    /// Runs all spawned tasks.
    fn run_spawned(&self) {
        self.host.0.spawned.take().into_iter().for_each(block_on);
    }

    /// Runs all spawned tasks and checks their number.
    fn finish_spawned(&self, expected: usize) {
        let spawned = self.host.0.spawned.take();
        assert_eq!(spawned.len(), expected);
        spawned.into_iter().for_each(block_on);
    }

    fn script(&self, status: u16, content_type: &'static str, chunks: &[&str]) {
        let chunks = chunks
            .iter()
            .map(|chunk| Ok(chunk.as_bytes().to_vec()))
            .collect();
        self.script_chunks(status, content_type, chunks);
    }

    fn script_chunks(
        &self,
        status: u16,
        content_type: &'static str,
        chunks: Vec<Result<Vec<u8>, TransportError>>,
    ) {
        self.script_reply(Ok(Scripted {
            status,
            content_type,
            content_encoding: None,
            headers: Vec::new(),
            chunks,
        }));
    }

    /// Scripts the start of an upload that continues at `url`.
    fn script_upload(&self, url: &str) {
        self.script_reply(Ok(Scripted {
            status: 200,
            content_type: "text/plain",
            content_encoding: None,
            headers: vec![
                ("x-goog-upload-url", url.to_owned()),
                ("x-goog-upload-status", "active".to_owned()),
            ],
            chunks: Vec::new(),
        }));
    }

    fn script_answer(&self) {
        self.script(200, "application/json", &[ANSWER]);
    }

    fn script_silence(&self) {
        self.host.0.replies.borrow_mut().push_back(None);
    }

    fn script_reply(&self, reply: Result<Scripted, TransportError>) {
        self.host.0.replies.borrow_mut().push_back(Some(reply));
    }

    fn reply(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> PoolReply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(HeaderName::from_bytes(name.as_bytes()).unwrap(), *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let chunks = body
            .as_bytes()
            .chunks(7)
            .map(|chunk| Ok(chunk.to_vec()))
            .collect();
        let body = ScriptedBody {
            chunks,
            idle_ms: None,
            world: Rc::default(),
        };
        block_on(self.gateway.handle(parts, body))
    }

    fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        Answer::read(self.reply(method, path, headers, body))
    }

    /// A call in the style of Google's clients.
    fn call_gemini(&self, method: &str, path: &str, body: &str) -> Answer {
        self.call(method, path, &[("x-goog-api-key", TOKEN)], body)
    }

    fn chat_reply(&self, body: &str) -> PoolReply {
        self.reply(
            "POST",
            "/v1/chat/completions",
            &[("authorization", &format!("Bearer {TOKEN}"))],
            body,
        )
    }

    fn chat(&self, body: &str) -> Answer {
        Answer::read(self.chat_reply(body))
    }

    /// Starts a chat whose answer is a stream.
    fn chat_stream(&self) -> (HeaderMap, PoolStream) {
        let reply = self.chat_reply(CHAT);
        let Body::Stream(stream) = reply.body else {
            panic!("a stream")
        };
        (reply.headers, stream)
    }

    /// Advances the clock.
    fn advance(&self, ms: i64) {
        let now = &self.host.0.now;
        now.set(now.get() + ms);
    }

    fn sent(&self) -> usize {
        self.host.0.sent.borrow().len()
    }

    fn logged(&self) -> Vec<String> {
        self.database
            .query("SELECT success, response_status, error_message FROM api_call_logs ORDER BY id")
    }

    fn key_state(&self) -> String {
        self.database.query("SELECT status, consecutive_failures, total_calls, success_calls FROM api_keys WHERE id = 1").concat()
    }
}

#[test]
fn passes_and_logs_a_plain_answer() {
    let pool = Pool::new();
    pool.script(200, "application/json", &[&ANSWER[..10], &ANSWER[10..]]);
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, answer.body.as_str()), (200, ANSWER));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.header("server"),
        None,
        "unlisted headers do not pass"
    );
    assert!(
        answer
            .header("x-request-id")
            .is_some_and(|id| id.starts_with("req_"))
    );
    assert_eq!(pool.logged(), ["1|200|NULL"]);
    assert_eq!(pool.key_state(), "1|0|1|1");
    assert_eq!(
        pool.database
            .query("SELECT response_time_ms, called_at FROM api_call_logs"),
        ["55|2027-01-15T08:00:00.000Z"]
    );
}

#[test]
fn replaces_the_clients_credentials_by_the_pools_key() {
    let pool = Pool::new();
    pool.script_answer();
    let bearer = format!("bearer  {TOKEN}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("cookie", "session=1"),
        ("x-goog-api-key", "clients-own"),
        ("x-forwarded-for", "10.0.0.1"),
        ("spin-client-addr", "127.0.0.1:5000"),
        ("accept-encoding", "gzip"),
        ("connection", "keep-alive"),
        ("host", "pool.example"),
        ("accept", "application/json"),
        ("user-agent", "OpenAI/Python 3.3.1"),
        ("x-stainless-lang", "python"),
    ];
    assert_eq!(
        pool.call("POST", "/v1/chat/completions?key=leak", &headers, CHAT)
            .status,
        200
    );
    let sent = pool.host.0.sent.borrow();
    assert_eq!(
        sent[0].uri,
        "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"
    );
    assert_eq!(sent[0].body, CHAT);
    let mut names: Vec<_> = sent[0].headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "accept-encoding",
            "authorization",
            "content-type",
            "user-agent"
        ]
    );
    assert_eq!(sent[0].headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(sent[0].headers["accept-encoding"], "identity");
}

#[test]
fn fills_in_the_default_model() {
    let pool = Pool::with(&[("llm_model", "house-model")]);
    pool.script_answer();
    assert_eq!(
        pool.chat(r#"{"messages":[],"unknown":{"a":1}}"#).status,
        200
    );
    assert_eq!(
        pool.host.0.sent.borrow()[0].body,
        r#"{"model":"house-model","messages":[],"unknown":{"a":1}}"#
    );
}

#[test]
fn logs_a_stream_before_its_last_event() {
    let pool = Pool::new();
    let events = [
        "data: {\"a\":1}\n\n",
        "data: {\"b\":2}\n\n",
        "data: [DONE]\n\n",
    ];
    pool.script(200, "text/event-stream", &events);
    let (headers, mut stream) = pool.chat_stream();
    assert_eq!(headers["content-type"], "text/event-stream");
    for (event, rows_before) in events.iter().zip([0, 0, 1]) {
        let Chunk::Data(bytes) = block_on(stream.next()) else {
            panic!("an event")
        };
        assert_eq!(bytes, event.as_bytes());
        assert_eq!(pool.logged().len(), rows_before, "{event}");
    }
    assert_eq!(block_on(stream.next()), Chunk::End);
    assert_eq!(pool.logged(), ["1|200|NULL"]);
}

#[test]
fn reports_an_incomplete_stream_in_an_event() {
    for (last, error, reason) in [
        (
            "data: {\"b\":2}\n\n",
            None,
            "the upstream ended the stream before its closing event",
        ),
        (
            "data: {\"b\":2}\n\n",
            Some(TransportError::TimedOut),
            "the upstream took too long",
        ),
        (
            "data: {\"cut",
            Some(TransportError::Failed("ConnectionTerminated".into())),
            "ConnectionTerminated",
        ),
    ] {
        let pool = Pool::new();
        let mut chunks = vec![
            Ok(b"data: {\"a\":1}\n\n".to_vec()),
            Ok(last.as_bytes().to_vec()),
        ];
        chunks.extend(error.map(Err));
        pool.script_chunks(200, "text/event-stream; charset=utf-8", chunks);
        let answer = pool.chat(CHAT);
        let (before, event) = answer.body.rsplit_once("data: ").unwrap();
        let whole = if last.ends_with('\n') { last } else { "" };
        assert_eq!(
            before,
            format!("data: {{\"a\":1}}\n\n{whole}"),
            "complete events pass, and the error is an event of its own"
        );
        let error: serde_json::Value = serde_json::from_str(event.trim()).unwrap();
        assert!(
            error["error"]["message"].as_str().unwrap().contains(reason),
            "{event}"
        );
        assert!(!answer.body.contains("[DONE]"));
        assert!(
            pool.logged()[0].starts_with("0|200|") && pool.logged()[0].contains(reason),
            "{:?}",
            pool.logged()
        );
        assert_eq!(pool.key_state(), "1|0|1|0", "not the key's fault");
    }
}

#[test]
fn a_failure_before_the_first_event_is_a_plain_error() {
    for chunks in [
        vec![],
        vec![Err(TransportError::Failed("ConnectionTerminated".into()))],
    ] {
        let pool = Pool::new();
        pool.script_chunks(200, "text/event-stream", chunks);
        let answer = pool.chat(CHAT);
        assert_eq!(
            (answer.status, answer.error("code").as_str()),
            (502, "upstream_answer_broken")
        );
        assert_eq!(pool.logged().len(), 1);
    }
}

#[test]
fn a_stopping_host_ends_calls_without_a_retry() {
    const REASON: &str = "the pool's host is stopping";
    let stopping = || Err(TransportError::Stopping);
    let event = || Ok(b"data: {\"a\":1}\n\n".to_vec());
    let pool = Pool::new();
    pool.database
        .run("INSERT INTO api_keys (id, api_key) VALUES (2, 'AIzaFAKE-2')");
    pool.script_reply(Err(TransportError::Stopping));
    pool.script_chunks(200, "application/json", vec![Ok(b"{".to_vec()), stopping()]);
    pool.script_chunks(200, "text/event-stream", vec![stopping()]);
    for expected in ["0|NULL|", "0|200|", "0|200|"] {
        let answer = pool.chat(CHAT);
        assert_eq!(
            (answer.status, answer.error("code").as_str()),
            (503, "pool_stopping")
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
        let logged = pool.logged();
        assert_eq!(logged.last().unwrap(), &format!("{expected}{REASON}"));
    }
    pool.script_chunks(200, "text/event-stream", vec![event(), stopping()]);
    let answer = pool.chat(CHAT);
    let (before, error) = answer.body.rsplit_once("data: ").unwrap();
    assert_eq!(before, "data: {\"a\":1}\n\n");
    assert!(error.contains("\"pool_stopping\""), "{error}");
    assert_eq!(pool.logged().len(), 4);
    assert_eq!(
        pool.database
            .query("SELECT DISTINCT outcome FROM api_call_logs"),
        ["upstream_trouble"]
    );
}

#[test]
fn reports_an_error_within_a_stream_in_openais_format() {
    let quota = r#"{"error":{"code":429,"message":"You exceeded your current quota with AIzaFAKE-first-key-of-the-pool-00000001.","status":"RESOURCE_EXHAUSTED"}}"#;
    let pretty = quota.replace("{\"code\"", "{\n  \"code\"");
    for (event, begun) in [
        (format!("data: {quota}\n\n"), true),
        (format!("data: [{quota}]\n\n"), true),
        (format!("[{pretty}\n]\n"), true),
        (pretty.clone(), true),
        (format!("data: {quota}\n\n"), false),
        (format!("[{pretty}\n]\n"), false),
    ] {
        let pool = Pool::new();
        let before = if begun { "data: {\"a\":1}\n\n" } else { "" };
        let stream = [before, &event].concat();
        let (first, second) = stream.split_at(stream.len() / 2);
        pool.script(200, "text/event-stream", &[first, second]);
        let answer = pool.chat(CHAT);
        let error = if begun {
            assert_eq!(answer.status, 200, "{event}");
            let (before, last) = answer.body.split_once("\n\n").unwrap();
            assert_eq!(before, "data: {\"a\":1}");
            last.strip_prefix("data: ").unwrap().trim_end().to_owned()
        } else {
            assert_eq!(answer.status, 429, "{event}: no byte was sent yet");
            answer.body.clone()
        };
        let error: serde_json::Value = serde_json::from_str(&error).unwrap();
        assert_eq!(error["error"]["code"], "rate_limit_exceeded", "{event}");
        assert_eq!(error["error"]["type"], "rate_limit_error", "{event}");
        assert!(!answer.body.contains(KEY), "{event}");
        assert_eq!(pool.key_state(), "1|0|1|0", "{event}: not the key's fault");
        assert!(
            pool.logged()[0].starts_with("0|200|RESOURCE_EXHAUSTED: You exceeded"),
            "{:?}",
            pool.logged()
        );
    }
}

#[test]
fn an_unreadable_error_within_a_stream_is_still_an_error() {
    for event in [
        "data: {\"error\": 7}\n\n",
        "{\"cut",
        "[",
        "data: {\"error\"",
    ] {
        let pool = Pool::new();
        pool.script(200, "text/event-stream", &["data: {\"a\":1}\n\n", event]);
        let answer = pool.chat(CHAT);
        let last = answer.body.trim_end().rsplit("\n\n").next().unwrap();
        assert!(
            last.starts_with("data: {\"error\":{"),
            "{event}: {}",
            answer.body
        );
        assert!(pool.logged()[0].starts_with("0|200|"), "{event}");
        assert_eq!(pool.key_state(), "1|0|1|0", "{event}");
    }
}

#[test]
fn ignores_a_reset_after_the_closing_event() {
    let pool = Pool::new();
    let chunks = vec![
        Ok(b"data: {\"a\":1}\n\ndata: [DONE]\n\n".to_vec()),
        Err(TransportError::Failed("ConnectionTerminated".into())),
    ];
    pool.script_chunks(200, "text/event-stream", chunks);
    let answer = pool.chat(CHAT);
    assert_eq!(
        (answer.body.as_str(), answer.cut),
        ("data: {\"a\":1}\n\ndata: [DONE]\n\n", false)
    );
    assert_eq!(pool.logged(), ["1|200|NULL"]);
}

fn gzip(plain: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, plain.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn decompresses_gzip_answers_and_rejects_compressed_streams() {
    let compressed = |content_type, encoding, body: Vec<u8>| {
        Ok(Scripted {
            status: 200,
            content_type,
            content_encoding: Some(encoding),
            headers: Vec::new(),
            chunks: vec![Ok(body)],
        })
    };
    let json = "application/json";
    let pool = Pool::new();
    pool.script_reply(compressed(json, "gzip", gzip(ANSWER)));
    let answer = pool.chat(CHAT);
    assert_eq!(
        (answer.body.as_str(), answer.header("content-encoding")),
        (ANSWER, None)
    );
    // Other encodings pass unchanged.
    pool.script_reply(compressed(json, "br", b"squeezed".to_vec()));
    let answer = pool.chat(CHAT);
    assert_eq!(
        (answer.body.as_str(), answer.header("content-encoding")),
        ("squeezed", Some("br"))
    );
    let truncated = gzip(ANSWER)[..20].to_vec();
    pool.script_reply(compressed(json, "gzip", truncated));
    pool.script_reply(compressed("text/event-stream", "gzip", gzip("data: {}")));
    for reason in [NO_ANSWER, "the upstream compressed a stream"] {
        let answer = pool.chat(CHAT);
        assert_eq!(
            (answer.status, answer.error("code").as_str()),
            (502, "upstream_answer_broken")
        );
        let row = pool.logged().pop().unwrap();
        assert!(row.starts_with(&format!("0|200|{reason}")), "{row}");
    }
}

#[test]
fn classifies_a_stream_error_after_the_client_left() {
    let pool = Pool::new();
    let quota = "data: {\"error\":{\"code\":429,\"message\":\"You exceeded your current quota\",\"status\":\"RESOURCE_EXHAUSTED\"}}";
    pool.script(200, "text/event-stream", &["data: {\"a\":1}\n\n", quota]);
    let (_, mut stream) = pool.chat_stream();
    assert!(matches!(block_on(stream.next()), Chunk::Data(_)));
    assert_eq!(
        block_on(stream.next()),
        Chunk::Pending,
        "the error's line is incomplete"
    );
    block_on(stream.client_gone());
    assert_eq!(pool.key_state(), "1|0|1|0");
    assert!(pool.logged()[0].starts_with("0|200|RESOURCE_EXHAUSTED"));
}

#[test]
fn a_complete_error_ends_a_stream_at_once() {
    for error in [
        "data: {\"error\":{\"code\":503}}\n",
        "[{\n  \"error\": {\n    \"code\": 503\n  }\n}\n]\n",
    ] {
        let pool = Pool::new();
        // The script has one more chunk, which must not be requested.
        pool.script(
            200,
            "text/event-stream",
            &["data: {\"a\":1}\n\n", error, "data: {\"b\":2}\n\n"],
        );
        let answer = pool.chat(CHAT);
        assert!(
            answer.body.contains("{\"error\":"),
            "{error}: {}",
            answer.body
        );
        assert!(!answer.body.contains("\"b\""), "{error}: {}", answer.body);
    }
}

#[test]
fn limits_the_length_of_logged_messages() {
    let pool = Pool::new();
    let long = format!(
        r#"{{"error":{{"message":"You exceeded your current quota {}","status":"RESOURCE_EXHAUSTED"}}}}"#,
        "x".repeat(2000)
    );
    pool.script(429, "application/json", &[&long]);
    assert_eq!(pool.chat(CHAT).status, 429);
    assert_eq!(
        pool.database
            .query("SELECT length(error_message) FROM api_call_logs"),
        ["501"]
    );
}

#[test]
fn reads_an_endless_error_body_up_to_the_limit() {
    let pool = Pool::new();
    let chunk = "x".repeat(600_000);
    pool.script(400, "application/json", &[&chunk, &chunk, &chunk, &chunk]);
    let before = pool.host.0.now.get();
    assert_eq!(pool.chat(CHAT).status, 400);
    // The head takes 40 ms, and each chunk 5 ms.
    assert_eq!(pool.host.0.now.get() - before, 40 + 2 * 5);
}

#[test]
fn tells_official_clients_when_to_retry() {
    let location = r#"{"error":{"message":"User location is not supported for the API use."}}"#;
    let retired =
        r#"{"error":{"message":"This model models/x is no longer available to new users."}}"#;
    let bad = r#"{"error":{"message":"Request contains an invalid argument."}}"#;
    for (status, body, should_retry) in [
        (400, location, Some("false")),
        (404, retired, Some("false")),
        (
            403,
            r#"{"error":{"message":"The caller does not have permission"}}"#,
            Some("false"),
        ),
        (400, bad, Some("false")),
        (429, "", None),
        (503, "", None),
    ] {
        let pool = Pool::new();
        pool.script(status, "application/json", &[body]);
        let answer = pool.chat(CHAT);
        assert_eq!(
            answer.header("x-should-retry"),
            should_retry,
            "{status} {body}"
        );
    }
}

#[test]
fn a_malformed_error_code_is_replaced() {
    let pool = Pool::new();
    let odd = format!(r#"{{"error":{{"message":"no","status":"bad {TOKEN} {KEY}"}}}}"#);
    pool.script(400, "application/json", &[&odd]);
    assert_eq!(pool.chat(CHAT).error("code"), "invalid_request");
}

#[test]
fn a_disconnected_client_is_not_a_failure() {
    let pool = Pool::new();
    pool.script(
        200,
        "text/event-stream",
        &["data: {\"a\":1}\n\n", "data: {\"b\":2}\n\n"],
    );
    let (_, mut stream) = pool.chat_stream();
    assert!(matches!(block_on(stream.next()), Chunk::Data(_)));
    assert_eq!(pool.host.0.bodies_dropped.get(), 0);
    block_on(stream.client_gone());
    assert_eq!(pool.host.0.bodies_dropped.get(), 1);
    assert_eq!(
        pool.logged(),
        ["1|200|the client closed the connection before the end of the answer"]
    );
    assert_eq!(pool.key_state(), "1|0|1|1");
}

#[test]
fn streams_a_large_answer_and_logs_it_before_its_last_chunk() {
    let pool = Pool::new();
    let chunk = "x".repeat(600_000);
    pool.script(200, "application/json", &[&chunk, &chunk, "middle", "last"]);
    let (_, mut stream) = pool.chat_stream();
    let mut chunks = Vec::new();
    while let Chunk::Data(bytes) = block_on(stream.next()) {
        chunks.push((bytes.len(), pool.logged().len()));
    }
    assert_eq!(chunks, [(1_200_000, 0), (6, 0), (4, 1)]);
}

#[test]
fn an_incomplete_answer_never_passes_as_complete() {
    let pool = Pool::new();
    let small = vec![
        Ok(b"{\"choices\":".to_vec()),
        Err(TransportError::Failed("ConnectionTerminated".into())),
    ];
    pool.script_chunks(200, "application/json", small);
    assert_eq!(pool.chat(CHAT).status, 502);
    let large = vec![Ok(vec![b'x'; 2_000_000]), Err(TransportError::TimedOut)];
    pool.script_chunks(200, "application/json", large);
    let answer = pool.chat(CHAT);
    assert!(answer.status == 200 && answer.cut, "the connection is cut");
    assert_eq!(
        pool.database.query("SELECT success FROM api_call_logs"),
        ["0", "0"]
    );
}

#[test]
fn a_large_answer_with_incomplete_json_cuts_the_connection() {
    let large = format!(
        r#"{{"choices":[{{"message":{{"content":"{}"#,
        "x".repeat(2_000_000)
    );
    let models = "/v1beta/models/m:generateContent";
    let bearer = format!("Bearer {TOKEN}");
    for (rest, is_cut) in [
        (&[r#""}}]}"#][..], false),
        (&[r#""}}]}"#, "\n", " \n"], false),
        (&[r#""}}]"#], true),
        (&["x"], true),
        (&["}", "x"], true),
    ] {
        let pool = Pool::new();
        for path in ["/v1/chat/completions", models] {
            let chunks: Vec<&str> = [large.as_str()]
                .into_iter()
                .chain(rest.iter().copied())
                .collect();
            pool.script(200, "application/json", &chunks);
            let answer = pool.call("POST", path, &[("authorization", &bearer)], CHAT);
            assert_eq!(
                (answer.status, answer.cut),
                (200, is_cut),
                "{path} {rest:?}"
            );
            let row = pool.logged().pop().unwrap();
            assert_eq!(row.starts_with("0|200"), is_cut, "{path} {rest:?}: {row}");
        }
    }
}

#[test]
fn translates_upstream_errors_and_blames_the_right_party() {
    let invalid_key = r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]"#;
    let quota = r#"[{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED"}}]"#;
    let bad = r#"[{"error":{"code":400,"message":"Request contains an invalid argument.","status":"INVALID_ARGUMENT"}}]"#;
    let missing = r#"[{"error":{"code":404,"message":"models/x is not found for API version v1main","status":"NOT_FOUND"}}]"#;
    let overloaded =
        r#"[{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}]"#;
    for (status, body, answered, code, key) in [
        (
            400,
            invalid_key,
            503,
            "upstream_credentials_exhausted",
            "0|1|1|0",
        ),
        (429, quota, 429, "rate_limit_exceeded", "1|0|1|0"),
        (400, bad, 400, "invalid_argument", "1|0|1|0"),
        (404, missing, 404, "not_found", "1|0|1|0"),
        (413, "", 413, "invalid_request", "1|0|1|0"),
        (503, overloaded, 503, "unavailable", "1|0|1|0"),
        (
            502,
            "<html>Bad Gateway</html>",
            502,
            "upstream_error",
            "1|0|1|0",
        ),
        (500, "", 500, "upstream_error", "1|0|1|0"),
    ] {
        let pool = Pool::new();
        pool.script(status, "application/json", &[body]);
        let answer = pool.chat(CHAT);
        assert_eq!(
            (answer.status, answer.error("code").as_str()),
            (answered, code),
            "{status} {body}"
        );
        assert_eq!(pool.key_state(), key, "{status} {body}");
        assert!(
            pool.logged()[0].starts_with(&format!("0|{status}|")),
            "{:?}",
            pool.logged()
        );
    }
}

#[test]
fn transport_errors_do_not_count_against_the_key() {
    for (error, status) in [
        (TransportError::TimedOut, 504),
        (TransportError::Failed("ConnectionRefused".into()), 502),
        (TransportError::Denied, 502),
    ] {
        let pool = Pool::new();
        pool.script_reply(Err(error.clone()));
        assert_eq!(pool.chat(CHAT).status, status, "{error}");
        assert_eq!(pool.key_state(), "1|0|1|0");
        assert_eq!(pool.logged(), [format!("0|NULL|{error}")]);
    }
}

#[test]
fn answers_rows_and_log_lines_contain_no_secret() {
    let pool = Pool::new();
    let echo = format!(
        r#"[{{"error":{{"code":403,"message":"Permission denied: Consumer 'api_key:{KEY}' and {TOKEN} has been suspended","status":"PERMISSION_DENIED"}}}}]"#
    );
    pool.script(403, "application/json", &[&echo]);
    let answer = pool.chat(CHAT);
    let rows = pool.logged().concat();
    let lines = pool.host.0.log.borrow().concat();
    for text in [&answer.body, &rows, &lines] {
        assert!(!text.contains(KEY) && !text.contains(TOKEN), "{text}");
        assert!(!text.contains("the prompt"), "{text}");
    }
    assert!(rows.contains("has been suspended") && lines.contains("has been suspended"));
}

#[test]
fn invalid_requests_use_no_key() {
    let pool = Pool::with(&[("max_body_bytes", "100")]);
    let big = format!(r#"{{"messages":["{}"]}}"#, "x".repeat(200));
    let huge = "x".repeat(1000);
    for (body, status, param) in [
        ("{", 400, "null"),
        ("[]", 400, "null"),
        (r#"{"messages":"hi"}"#, 400, "messages"),
        (r#"{"messages":[],"model":7}"#, 400, "model"),
        (&big, 413, "null"),
        (&huge, 413, "null"),
    ] {
        let answer = pool.chat(body);
        assert_eq!(
            (answer.status, answer.error("param").as_str()),
            (status, param),
            "{body}"
        );
        assert_eq!(answer.error("type"), "invalid_request_error");
    }
    assert_eq!((pool.sent(), pool.logged().len()), (0, 0));
    assert_eq!(pool.key_state(), "1|0|0|0");
}

#[test]
fn returns_503_without_a_usable_key() {
    let pool = Pool::new();
    for change in [
        "status = 0",
        "status = 2, disabled_until = '2027-01-15T08:30:00.000Z'",
    ] {
        pool.database.run(&format!("UPDATE api_keys SET {change}"));
        pool.advance(500);
        let answer = pool.chat(CHAT);
        assert_eq!(
            (answer.status, answer.error("code").as_str()),
            (503, "upstream_credentials_exhausted")
        );
    }
    pool.database.run("DELETE FROM api_keys");
    pool.advance(500);
    assert_eq!(pool.chat(CHAT).error("code"), "no_usable_key");
    assert_eq!(pool.sent(), 0);
}

#[test]
fn uses_a_key_again_after_its_pause() {
    let pool = Pool::new();
    pool.database.run("UPDATE api_keys SET status = 2, consecutive_failures = 2, disabled_until = '2027-01-15T08:00:00.000Z'");
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert_eq!(pool.key_state(), "1|0|1|1");
}

#[test]
fn skips_and_logs_a_key_that_fits_no_header() {
    let pool = Pool::new();
    pool.database
        .run("UPDATE api_keys SET api_key = 'two words'");
    assert_eq!(pool.chat(CHAT).status, 503);
    let lines = pool.host.0.log.borrow().concat();
    assert!(
        lines.contains("key 1 is left out") && !lines.contains("two words"),
        "{lines}"
    );
}

#[test]
fn rejects_calls_without_the_client_token() {
    let pool = Pool::new();
    for (authorization, code) in [
        (None, "missing_client_token"),
        (Some("Bearer"), "missing_client_token"),
        (Some("Basic abc"), "missing_client_token"),
        (Some("Bearer wrong"), "invalid_client_token"),
        (
            Some("Bearer fake-client-token-00010"),
            "invalid_client_token",
        ),
    ] {
        let headers: Vec<_> = authorization
            .map(|value| ("authorization", value))
            .into_iter()
            .collect();
        for (method, path) in [
            ("POST", "/v1/chat/completions"),
            ("GET", "/api/keys/status"),
            ("POST", "/api/keys/status"),
        ] {
            let answer = pool.call(method, path, &headers, CHAT);
            assert_eq!(
                (answer.status, answer.error("code").as_str()),
                (401, code),
                "{authorization:?} {path}"
            );
            assert_eq!(answer.error("type"), "authentication_error");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert_eq!(pool.sent(), 0);
}

#[test]
fn refuses_every_call_without_a_configured_token() {
    let pool = Pool::with(&[("my_api_token", "")]);
    let answer = pool.chat(CHAT);
    assert_eq!(
        (answer.status, answer.error("code").as_str()),
        (503, "client_token_not_configured")
    );
    assert!(answer.error("message").contains("my_api_token"));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
}

#[test]
fn reports_invalid_settings_to_every_caller() {
    let pool = Pool::with(&[
        ("rate_limit_per_minute", "many"),
        ("enforce_origin", "maybe"),
    ]);
    for path in ["/readyz", "/api/keys/status"] {
        let answer = pool.call("GET", path, &[], "");
        assert_eq!(
            (answer.status, answer.error("code").as_str()),
            (503, "invalid_configuration"),
            "{path}"
        );
        assert!(
            answer.error("message").contains("rate_limit_per_minute")
                && answer.error("message").contains("enforce_origin")
        );
    }
    assert_eq!(pool.call("GET", "/healthz", &[], "").status, 200);
}

#[test]
fn distinguishes_unknown_paths_from_wrong_methods() {
    let pool = Pool::new();
    for (method, path, status, allow) in [
        ("GET", "/", 404, None),
        ("POST", "/v2/completions", 404, None),
        ("GET", "/v1/chat/completions", 405, Some("POST, OPTIONS")),
        (
            "DELETE",
            "/api/keys/status",
            405,
            Some("GET, POST, OPTIONS"),
        ),
        ("POST", "/healthz", 405, Some("GET, HEAD, OPTIONS")),
    ] {
        let answer = pool.call(method, path, &[], "");
        assert_eq!(
            (answer.status, answer.header("allow")),
            (status, allow),
            "{method} {path}"
        );
        assert_eq!(answer.error("type"), "invalid_request_error");
    }
}

#[test]
fn status_lists_the_keys_for_get_and_post() {
    let pool = Pool::new();
    let bearer = format!("Bearer {TOKEN}");
    for method in ["GET", "POST"] {
        let answer = pool.call(
            method,
            "/api/keys/status",
            &[("authorization", &bearer)],
            "",
        );
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.body,
            r#"{"success":true,"data":[{"id":1,"name":null,"status":1,"consecutive_failures":0,"total_calls":0,"success_calls":0,"last_used_at":null,"success_rate":null,"project":null,"disabled_until":null,"disabled_reason":null,"last_outcome":null,"cooling":[]}],"suspicion":null}"#
        );
    }
}

#[test]
fn readiness_needs_a_writable_database_and_a_usable_key() {
    let pool = Pool::new();
    assert_eq!(
        pool.call("GET", "/readyz", &[], "").body,
        r#"{"status":"ready"}"#
    );
    pool.database.run("UPDATE api_keys SET status = 0");
    pool.advance(1_000);
    let answer = pool.call("GET", "/readyz", &[], "");
    assert_eq!(
        (answer.status, answer.error("code").as_str()),
        (503, "no_usable_key")
    );
    pool.database.run("PRAGMA query_only = ON");
    pool.advance(1_000);
    let answer = pool.call("GET", "/readyz", &[], "");
    assert_eq!(
        (answer.status, answer.error("code").as_str()),
        (503, "database_not_writable")
    );
    assert_eq!(
        pool.call("GET", "/healthz", &[], "").body,
        r#"{"status":"ok"}"#
    );
}

#[test]
fn readiness_is_checked_at_most_once_a_second() {
    let pool = Pool::new();
    pool.database.answer_at_the_second_poll();
    let view = pool.gateway.view.as_ref().unwrap();
    let ask = || {
        let before = pool.database.statements();
        let all = (0..50).map(|_| view.readiness(&pool.host));
        let all = block_on(futures::future::join_all(all));
        assert!(
            all.iter()
                .all(|ready| *ready == Ok(crate::store::Readiness::Ready))
        );
        pool.database.statements() - before
    };
    assert_eq!(ask(), 2, "one read and one write");
    pool.advance(999);
    assert_eq!(ask(), 0);
    pool.advance(1);
    assert_eq!(ask(), 2);
    // Another instance has written in the last second.
    pool.advance(1_000);
    pool.database
        .run("UPDATE readiness SET checked_at = '2027-01-15T08:00:01.900Z'");
    assert_eq!(ask(), 1);
    // Changes by this instance take effect at once.
    let error = fake_gemini::errors::leaked();
    pool.script(403, "application/json", &[&error.pretty_array()]);
    pool.chat(CHAT);
    assert_eq!(pool.call("GET", "/readyz", &[], "").status, 503);
}

#[test]
fn readiness_of_a_large_pool_needs_two_statements() {
    let pool = Pool::new();
    pool.database.run(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
         INSERT INTO api_keys (id, api_key) SELECT i, 'fake-key-' || i FROM n",
    );
    let before = pool.database.statements();
    assert_eq!(pool.call("GET", "/readyz", &[], "").status, 200);
    assert_eq!(pool.database.statements() - before, 2);
    assert!(
        pool.gateway
            .view
            .as_ref()
            .unwrap()
            .snapshot()
            .keys()
            .is_empty()
    );
}

#[test]
fn only_liveness_needs_no_database() {
    for (method, path, needs) in [
        ("GET", "/healthz", false),
        ("HEAD", "/healthz", false),
        ("GET", "/readyz", true),
        ("POST", "/v1/chat/completions", true),
        ("GET", "/nowhere", true),
    ] {
        let request = Request::builder().method(method).uri(path).body(());
        let (parts, ()) = request.unwrap().into_parts();
        assert_eq!(
            crate::gateway::needs_database(&parts),
            needs,
            "{method} {path}"
        );
    }
    let without = Pool::with_database(&[], |_| Err(DatabaseError::new("not opened")));
    assert_eq!(without.call("GET", "/healthz", &[], "").status, 200);
}

/// Simulates a database locked by another process, where each attempt takes 10 ms.
fn lock(pool: &Pool) {
    pool.database.each_try_takes(10);
    for part in ["INSERT INTO", "UPDATE", "DELETE FROM"] {
        pool.database.fail(part, "database is locked", usize::MAX);
    }
}

#[test]
fn answers_in_time_while_the_database_is_locked() {
    let pool = Pool::with(&[("rate_limit_per_minute", "100"), ("max_attempts", "5")]);
    pool.database.run(
        "INSERT INTO api_keys (id, api_key) VALUES (2, 'AIzaFAKE-2'), (3, 'AIzaFAKE-3');
         INSERT INTO limits (scope, model, unit, per, preset) VALUES ('key:1', 'm', 'requests', 'day', 9),
             ('key:2', 'm', 'requests', 'day', 9), ('key:3', 'm', 'requests', 'day', 9);
         INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes)
         SELECT 'key:' || id, '', 'billing_exhausted', '2027-01-15T06:00:00.000Z', '2027-01-15T07:00:00.000Z', 1 FROM api_keys",
    );
    lock(&pool);
    // Two attempts that write a count, claims, reservations, a retry, cool-downs and two rows.
    let error = fake_gemini::errors::quota_per_day("m", 250, std::time::Duration::from_secs(5));
    pool.script(429, "application/json", &[&error.pretty_array()]);
    pool.script_answer();
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, answer.body.as_str()), (200, ANSWER));
    let waited = pool.database.clock_ms();
    assert!((4_500..=5_100).contains(&waited), "{waited}");
    let lines = pool.host.0.log.borrow();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("missing from the log"))
    );
}

#[test]
fn logs_failures_of_the_pool_with_the_request_id() {
    let pool = Pool::new();
    let last_line = |answer: &Answer| {
        let lines = pool.host.0.log.borrow();
        let line = lines.last().cloned().unwrap_or_default();
        let id = answer.header("x-request-id").unwrap();
        assert!(line.starts_with(&format!("request={id} code=")), "{line}");
        line
    };
    pool.database
        .fail("FROM api_keys", "no such column: secret_column", 1);
    assert!(last_line(&pool.chat(CHAT)).contains("secret_column"));
    pool.database.run("UPDATE api_keys SET status = 0");
    assert!(last_line(&pool.chat(CHAT)).contains("code=upstream_credentials_exhausted"));
    pool.database.run("PRAGMA query_only = ON");
    pool.advance(1_000);
    let answer = pool.call("GET", "/readyz", &[], "");
    assert!(last_line(&answer).contains("code=database_not_writable: database: attempt to write"));
    let lines = pool.host.0.log.borrow().len();
    pool.call("GET", "/nowhere", &[], "");
    pool.call("GET", "/api/keys/status", &[], "");
    assert_eq!(
        pool.host.0.log.borrow().len(),
        lines,
        "errors of clients are not logged"
    );
}

#[test]
fn logs_a_malformed_row_once() {
    let pool = Pool::new();
    pool.database
        .run("INSERT INTO api_keys (id, api_key, status) VALUES (2, 'fake-2', 2)");
    for _ in 0..3 {
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).status, 200);
    }
    let lines = pool.host.0.log.borrow();
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.contains("key 2 is left out"))
            .count(),
        1
    );
}

#[test]
fn a_failing_rate_limit_counter_refuses_no_call() {
    let pool = Pool::with(&[("rate_limit_per_minute", "1")]);
    for _ in 0..3 {
        pool.database.fail("rate_limits", "disk I/O error", 1);
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).status, 200);
    }
    assert!(
        pool.host
            .0
            .log
            .borrow()
            .concat()
            .contains("is not counted against a limit")
    );
}

#[test]
fn works_without_a_database_as_far_as_possible() {
    let pool = Pool::with_database(&[("allowed_origins", "https://app.example")], |_| {
        Err(DatabaseError::new("unable to open database file"))
    });
    let bearer = format!("Bearer {TOKEN}");
    let token = Some(("authorization", bearer.as_str()));
    for (method, path, token, status) in [
        ("GET", "/healthz", None, 200),
        ("GET", "/readyz", None, 503),
        ("OPTIONS", "/v1/chat/completions", None, 204),
        ("POST", "/v1/chat/completions", None, 401),
        ("POST", "/v1/chat/completions", token, 503),
        ("GET", "/api/keys/status", token, 503),
        ("GET", "/nowhere", None, 404),
    ] {
        let mut headers = vec![("origin", "https://app.example")];
        headers.extend(token);
        let answer = pool.call(method, path, &headers, CHAT);
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(
            answer.headers["access-control-allow-origin"], "https://app.example",
            "{method} {path}"
        );
    }
    let lines = pool.host.0.log.borrow();
    assert!(lines.iter().all(|line| line.contains("unable to open")));
    assert_eq!(lines.len(), 3);
}

#[test]
fn a_database_error_is_a_503_without_sql() {
    let pool = Pool::new();
    pool.database
        .fail("FROM api_keys", "no such column: secret_column", 1);
    let answer = pool.chat(CHAT);
    assert_eq!(
        (answer.status, answer.error("code").as_str()),
        (503, "database_unavailable")
    );
    assert!(!answer.body.contains("secret_column"));
}

#[test]
fn log_commit_after_batches_rows_after_the_answers() {
    let pool = Pool::with(&[("log_commit", "after")]);
    for _ in 0..3 {
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).status, 200);
    }
    pool.script(
        200,
        "text/event-stream",
        &["data: {\"a\":1}\n\n", "data: [DONE]\n\n"],
    );
    assert_eq!(pool.chat(CHAT).status, 200);
    let rows = "SELECT count(*), sum(success), sum(input_tokens) FROM api_call_logs";
    assert_eq!(pool.database.query(rows), ["0|NULL|NULL"]);
    let statements = pool.database.statements();
    pool.finish_spawned(1);
    assert_eq!(pool.database.statements() - statements, 1);
    assert_eq!(pool.database.query(rows), ["4|4|51"]);
    assert_eq!(
        pool.database
            .query("SELECT total_calls, success_calls FROM api_keys"),
        ["4|4"]
    );
    pool.script_answer();
    pool.chat(CHAT);
    pool.finish_spawned(1);
    assert_eq!(pool.database.query(rows), ["5|5|68"]);
}

#[test]
fn log_commit_after_updates_key_state_at_once() {
    let pool = Pool::with(&[("log_commit", "after")]);
    pool.script(
        403,
        "application/json",
        &[r#"{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"CONSUMER_SUSPENDED","domain":"googleapis.com"}]}}"#],
    );
    pool.chat(CHAT);
    assert_eq!(
        pool.database
            .query("SELECT success, response_status FROM api_call_logs"),
        ["0|403"]
    );
    pool.finish_spawned(0);
}

#[test]
fn log_commit_after_reports_lost_calls() {
    let pool = Pool::with(&[("log_commit", "after")]);
    for _ in 0..3 {
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).status, 200);
    }
    pool.database.fail("recorded_calls", "disk I/O error", 9);
    pool.finish_spawned(1);
    let log = pool.host.0.log.borrow();
    let lost = log
        .iter()
        .filter(|line| line.contains("missing from the log"));
    assert_eq!(lost.count(), 3, "{log:?}");
}

#[test]
fn answers_when_the_log_cannot_be_written() {
    let pool = Pool::new();
    pool.script_answer();
    pool.database.fail("recorded_calls", "disk I/O error", 9);
    assert_eq!(pool.chat(CHAT).body, ANSWER);
    assert!(
        pool.host
            .0
            .log
            .borrow()
            .concat()
            .contains("missing from the log")
    );
}

#[test]
fn deletes_log_rows_after_the_retention_period() {
    for (days, left) in [("2", 1), ("0", 2)] {
        let pool = Pool::with(&[("log_retention_days", days)]);
        for days_ago in [1, 3] {
            let called_at = NOON.plus(-days_ago * 24 * 3_600_000).to_iso();
            pool.database.run(&format!(
                "INSERT INTO api_call_logs (api_key_id, success, called_at) VALUES (9, 1, '{called_at}')"
            ));
        }
        let old = "SELECT count(*) FROM api_call_logs WHERE api_key_id = 9";
        let is_gone = (0..2000).any(|_| {
            pool.script_answer();
            assert_eq!(pool.chat(CHAT).status, 200);
            pool.run_spawned();
            pool.database.query(old) == ["1"]
        });
        assert_eq!(is_gone, left == 1, "{days}");
        assert_eq!(pool.database.query(old), [left.to_string()]);
    }
}

#[test]
fn allowed_origins_get_cors_headers() {
    let pool = Pool::with(&[("allowed_origins", "https://app.example, *.example.com")]);
    let cors = |headers: &[(&str, &str)]| {
        let answer = pool.call("GET", "/healthz", headers, "");
        assert_eq!(answer.header("vary"), Some("origin"));
        answer
            .header("access-control-allow-origin")
            .map(str::to_owned)
    };
    assert_eq!(
        cors(&[("origin", "https://app.example")]),
        Some("https://app.example".into())
    );
    assert_eq!(
        cors(&[("referer", "https://a.example.com/page")]),
        Some("https://a.example.com".into())
    );
    assert_eq!(cors(&[("origin", "https://evilexample.com")]), None);
    assert_eq!(
        cors(&[
            ("origin", "https://evil.org"),
            ("referer", "https://app.example/")
        ]),
        None
    );
    assert_eq!(cors(&[]), None);
    let refused = pool.call(
        "POST",
        "/v1/chat/completions",
        &[("origin", "https://app.example")],
        CHAT,
    );
    assert_eq!(
        (
            refused.status,
            refused.header("access-control-allow-origin")
        ),
        (401, Some("https://app.example"))
    );
}

#[test]
fn preflight_needs_no_token() {
    let pool = Pool::with(&[("allowed_origins", "https://app.example")]);
    let ask = |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "authorization,x-stainless-lang",
            ),
        ];
        pool.call("OPTIONS", "/v1/chat/completions", &headers, "")
    };
    let answer = ask("https://app.example");
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://app.example")
    );
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("authorization,x-stainless-lang")
    );
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("POST, OPTIONS")
    );
    assert_eq!(answer.header("access-control-max-age"), Some("86400"));
    assert_eq!(answer.header("access-control-allow-private-network"), None);
    for (origin, allowed) in [
        ("https://app.example", Some("true")),
        ("https://other.example", None),
    ] {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-private-network", "true"),
        ];
        let answer = pool.call("OPTIONS", "/v1/chat/completions", &headers, "");
        let header = answer.header("access-control-allow-private-network");
        assert_eq!(header, allowed, "{origin}");
    }
    let answer = ask("https://other.example");
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (204, None)
    );
}

#[test]
fn enforce_origin_refuses_only_pages_of_other_origins() {
    let pool = Pool::with(&[
        ("allowed_origins", "https://app.example"),
        ("enforce_origin", "true"),
    ]);
    let bearer = format!("Bearer {TOKEN}");
    let status = |origin: &[(&str, &str)]| {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(origin);
        pool.call("GET", "/api/keys/status", &headers, "").status
    };
    assert_eq!(status(&[("origin", "https://app.example")]), 200);
    assert_eq!(status(&[("referer", "https://app.example/x")]), 200);
    assert_eq!(status(&[]), 200, "a server-side client has no origin");
    assert_eq!(status(&[("origin", "https://other.example")]), 403);
    assert_eq!(status(&[("referer", "https://other.example/x")]), 403);
    assert_eq!(status(&[("origin", "null")]), 403);
    assert_eq!(
        pool.call(
            "OPTIONS",
            "/api/keys/status",
            &[("origin", "https://other.example")],
            ""
        )
        .status,
        403
    );
    assert_eq!(
        pool.call(
            "GET",
            "/healthz",
            &[("origin", "https://other.example")],
            ""
        )
        .status,
        200
    );
}

#[test]
fn refuses_calls_above_the_rate_limit_until_the_next_minute() {
    let pool = Pool::with(&[("rate_limit_per_minute", "2")]);
    let bearer = format!("Bearer {TOKEN}");
    let call = |client: &str, forwarded: &str| {
        let headers = [
            ("authorization", bearer.as_str()),
            ("spin-client-addr", client),
            ("x-forwarded-for", forwarded),
        ];
        pool.call("POST", "/v1/chat/completions", &headers, "{}")
    };
    assert_eq!(call("10.0.0.1:1", "1.1.1.1").status, 400);
    assert_eq!(
        call("10.0.0.1:2", "2.2.2.2").status,
        400,
        "ports and untrusted forwarded addresses are ignored"
    );
    let refused = call("10.0.0.1:3", "3.3.3.3");
    assert_eq!(
        (refused.status, refused.error("code").as_str()),
        (429, "rate_limit_exceeded")
    );
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!(call("10.0.0.2:1", "1.1.1.1").status, 400, "another client");
    assert_eq!(call("[::1]:1", "1.1.1.1").status, 400, "an IPv6 client");
    pool.host.0.now.set(60_000);
    assert_eq!(call("10.0.0.1:4", "1.1.1.1").status, 400, "another minute");
}

#[test]
fn takes_the_client_address_from_a_trusted_proxy() {
    let pool = Pool::with(&[
        ("rate_limit_per_minute", "1"),
        ("trust_forwarded_for", "true"),
    ]);
    let bearer = format!("Bearer {TOKEN}");
    let status = |forwarded: &str| {
        let headers = [
            ("authorization", bearer.as_str()),
            ("spin-client-addr", "10.0.0.1:1"),
            ("x-forwarded-for", forwarded),
        ];
        pool.call("POST", "/v1/chat/completions", &headers, "{}")
            .status
    };
    assert_eq!(status("1.1.1.1"), 400);
    assert_eq!(
        status("6.6.6.6, 1.1.1.1"),
        429,
        "only the proxy's entry counts"
    );
    assert_eq!(status("1.1.1.1, 2.2.2.2"), 400);
    assert_eq!(
        status(" "),
        400,
        "the direct address counts without a forwarded one"
    );
}
