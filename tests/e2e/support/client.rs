//! An HTTP client that exposes status, headers, and a body that can be read incrementally.

use super::{TOKEN, soon};
use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;

/// A client of one pool. Connections are reused; each request in flight has its own.
#[derive(Clone)]
pub(crate) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    /// Whether answers have a request id: the pool's do, the upstream's do not.
    has_request_ids: bool,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            http: legacy::Client::builder(TokioExecutor::new()).build(connector),
            address,
            has_request_ids: true,
        }
    }

    /// A client of the upstream, for comparison.
    pub(crate) fn of_upstream(address: SocketAddr) -> Self {
        Self {
            has_request_ids: false,
            ..Self::new(address)
        }
    }

    pub(crate) fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str, body: impl Into<String>) -> Request {
        self.request(Method::POST, path).body(body)
    }

    /// A chat completion request with the client token.
    pub(crate) fn chat(&self, body: impl Into<String>) -> Request {
        self.post("/v1/chat/completions", body).authorized()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> Request {
        let builder = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        Request {
            client: self.clone(),
            builder,
            body: Bytes::new(),
        }
    }
}

/// A request builder.
pub(crate) struct Request {
    client: Client,
    builder: http::request::Builder,
    body: Bytes,
}

impl Request {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// Adds the client token.
    pub(crate) fn authorized(self) -> Self {
        self.header("authorization", &format!("Bearer {TOKEN}"))
    }

    /// Adds the client token in the same way as Google's clients.
    pub(crate) fn google(self) -> Self {
        self.header("x-goog-api-key", TOKEN)
    }

    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Bytes::from(body.into());
        self.header("content-type", "application/json")
    }

    /// Sends the request and reads the whole answer.
    pub(crate) async fn send(self) -> Answer {
        self.try_send().await.unwrap()
    }

    /// Like [`send`](Self::send), but fails on an incomplete answer.
    pub(crate) async fn try_send(self) -> Result<Answer, String> {
        let mut stream = self.try_open().await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: stream.status,
            headers: stream.headers,
            body: String::from_utf8(bytes).map_err(|error| error.to_string())?,
        })
    }

    /// Sends the request and waits for the answer's head.
    pub(crate) async fn open(self) -> Stream {
        self.try_open().await.unwrap()
    }

    async fn try_open(self) -> Result<Stream, String> {
        let request = self.builder.body(Full::new(self.body)).unwrap();
        let what = format!("an answer to {} {}", request.method(), request.uri());
        let response = soon(&what, self.client.http.request(request))
            .await
            .map_err(|error| format!("{error:?}"))?;
        let (head, body) = response.into_parts();
        let id = head.headers.get("x-request-id");
        assert!(
            !self.client.has_request_ids || id.is_some_and(|id| id.as_bytes().starts_with(b"req_")),
            "{what}: every response has an id, not {id:?}"
        );
        Ok(Stream {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            rest: Vec::new(),
        })
    }
}

/// An answer whose body is still arriving. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    rest: Vec<u8>,
}

impl Stream {
    async fn try_next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            let frame = match soon("the next bytes", self.body.frame()).await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(format!("{error:?}")),
                None => return Ok(None),
            };
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// The next bytes; `None` at the end of the body.
    pub(crate) async fn chunk(&mut self) -> Option<Bytes> {
        self.try_next().await.unwrap()
    }

    /// The next server-sent event, without the blank line that ends it; `None` at the end of the
    /// body.
    pub(crate) async fn event(&mut self) -> Option<String> {
        loop {
            let end = self.rest.windows(2).position(|pair| pair == b"\n\n");
            if let Some(end) = end {
                let event: Vec<u8> = self.rest.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(event).unwrap());
            }
            match self.try_next().await.unwrap() {
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None => {
                    assert!(self.rest.is_empty(), "without end: {:?}", self.rest);
                    return None;
                }
            }
        }
    }

    /// Reads all remaining events.
    pub(crate) async fn events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        events
    }
}

/// A complete answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn assert_status(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.body);
    }

    /// Checks for an error in OpenAI's format.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, code: &str) {
        assert_eq!(self.error_code(), code, "{}", self.body);
        self.assert_status(status);
    }

    #[track_caller]
    pub(crate) fn assert_contains(&self, part: &str) {
        assert!(self.body.contains(part), "no {part:?} in {}", self.body);
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.body))
    }

    /// The `code` of an error, after checking that it has OpenAI's format.
    #[track_caller]
    pub(crate) fn error_code(&self) -> String {
        let json = self.json();
        let Some(error) = json["error"].as_object() else {
            panic!("no error object: {} {}", self.status, self.body);
        };
        let fields: Vec<&str> = error.keys().map(String::as_str).collect();
        assert_eq!(fields, ["code", "message", "param", "type"], "{json}");
        assert_ne!(error["message"].as_str().unwrap_or_default(), "", "{json}");
        assert!(error["type"].is_string(), "{json}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        error["code"].as_str().unwrap().to_owned()
    }
}
