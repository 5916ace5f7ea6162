//! `wasi:http` behind the gateway's traits, and replies on their way out.
//!
//! Requests and responses are built by hand rather than by the SDK's conversions, because of a 40 ms trap: a host whose
//! sockets leave Nagle's algorithm on sends a head and a body that come apart in two packets, and holds the second until
//! the peer has acknowledged the first, which a peer delays by 40 ms. They leave together when the first bytes of the
//! body are already offered as the host takes the head. So a body's first write is polled once before its message is
//! handed over.

use crate::gateway::ports::{
    ByteStream, Limits, System, TransportError, Upstream, UpstreamResponse,
};
use crate::gateway::{AnswerStream, Body, Next, Reply, declared_length};
use crate::store::Database;
use futures::future::{Either, select};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{
    ErrorCode, Fields, Method, Request, RequestOptions, Response, Scheme, Trailers,
};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};

/// How long a connection to the upstream may take, in nanoseconds: 10 s.
const CONNECT_TIMEOUT_NS: u64 = 10_000_000_000;
/// How long the upstream may be silent within an answer that comes bit by bit, in nanoseconds: 5 minutes, since a model may
/// think for minutes between two words.
const SILENCE_TIMEOUT_NS: u64 = 300_000_000_000;
/// How often a stream looks after its client while the upstream is silent, in nanoseconds: 500 ms. Nothing tells the
/// component that a client left, but a write that fails.
const PROBE_INTERVAL_NS: u64 = 500_000_000;
/// Bytes read at first, which is more than most bodies have.
const FIRST_READ: usize = 16 * 1024;
/// Bytes read at a time where there are many: each read is a way to the host and back.
const LARGEST_READ: usize = 256 * 1024;

/// What the embedded host says in the internal error that every exchange ends with once it stops.
const HOST_STOPPING: &str = "the host is stopping";

type TrailersResult = Result<Option<Trailers>, ErrorCode>;

/// A request's head. The SDK's own conversion asks the host for half as much again, of which nothing is used.
pub(super) fn head_of(request: &Request) -> Result<Parts, ErrorCode> {
    let mut uri = Uri::builder();
    if let Some(authority) = request.get_authority() {
        // With an authority goes a scheme; which one, nobody asks.
        uri = uri.scheme("http").authority(authority);
    }
    if let Some(path) = request.get_path_with_query() {
        uri = uri.path_and_query(path);
    }
    let (mut head, ()) = http::Request::new(()).into_parts();
    head.method = http::Method::try_from(request.get_method())
        .map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
    head.uri = uri.build().map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    head.headers = header_map(&request.get_headers());
    Ok(head)
}

/// A body that arrives from the host.
pub(super) struct IncomingBody {
    stream: StreamReader<u8>,
    /// Bytes that room is made for where there is none.
    read_size: usize,
    /// Bytes that are still to come, where the length was declared. Then the last of them is the end, and the host need
    /// not be asked for it.
    left: Option<u64>,
    /// Whether the body arrived whole; gone when the last of it is here.
    end: Option<FutureReader<TrailersResult>>,
    /// Tells the host, by being dropped, that nobody reads on.
    _consumed: FutureWriter<Result<(), ErrorCode>>,
}

impl IncomingBody {
    pub(super) fn of_request(request: Request, headers: &HeaderMap) -> Self {
        let (consumed, result) = wit_future::new(|| Ok(()));
        let (stream, end) = Request::consume_body(request, result);
        Self::new(stream, end, consumed, declared_length(headers))
    }

    fn of_response(response: Response, headers: &HeaderMap) -> Self {
        let (consumed, result) = wit_future::new(|| Ok(()));
        let (stream, end) = Response::consume_body(response, result);
        Self::new(stream, end, consumed, declared_length(headers))
    }

    fn new(
        stream: StreamReader<u8>,
        end: FutureReader<TrailersResult>,
        consumed: FutureWriter<Result<(), ErrorCode>>,
        left: Option<u64>,
    ) -> Self {
        Self {
            stream,
            read_size: left.map_or(FIRST_READ, |left| {
                usize::try_from(left).map_or(LARGEST_READ, |left| left.clamp(1, LARGEST_READ))
            }),
            left,
            end: (left != Some(0)).then_some(end),
            _consumed: consumed,
        }
    }
}

impl ByteStream for IncomingBody {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let mut bytes = Vec::new();
        let is_more = self.append(&mut bytes).await?;
        Ok(is_more.then_some(bytes))
    }

    async fn append(&mut self, bytes: &mut Vec<u8>) -> Result<bool, TransportError> {
        while self.end.is_some() {
            let before = bytes.len();
            if before == bytes.capacity() {
                bytes.reserve(self.read_size);
            }
            let room = bytes.capacity() - before;
            let (result, read) = self.stream.read(std::mem::take(bytes)).await;
            *bytes = read;
            let count = bytes.len() - before;
            if count > 0 {
                if count == room {
                    self.read_size = (2 * self.read_size).min(LARGEST_READ);
                }
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(count as u64);
                    if *left == 0 {
                        self.end = None;
                    }
                }
                return Ok(true);
            }
            if let StreamResult::Dropped | StreamResult::Cancelled = result {
                break;
            }
        }
        match self.end.take() {
            Some(end) => end.await.map(|_| false).map_err(|error| describe(&error)),
            None => Ok(false),
        }
    }
}

/// The upstream, over the host's HTTP client.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostUpstream;

impl Upstream for HostUpstream {
    type Body = IncomingBody;

    async fn send(
        &self,
        method: &http::Method,
        uri: &Uri,
        mut headers: HeaderMap,
        body: Vec<u8>,
        limits: Limits,
    ) -> Result<UpstreamResponse<IncomingBody>, TransportError> {
        // A GET says nothing of a body that it does not have (RFC 9110 §8.6).
        let has_body = !body.is_empty() || !is_without_body(method);
        if has_body {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let (contents, trailers, write) = outgoing_body(body);
        let options = RequestOptions::new();
        // A host that does not know a time-out applies its own.
        let _ = options.set_connect_timeout(Some(CONNECT_TIMEOUT_NS));
        let _ = options.set_first_byte_timeout(Some(nanoseconds(limits.head_ms)));
        let silence = limits.silence_ms.map_or(SILENCE_TIMEOUT_NS, nanoseconds);
        let _ = options.set_between_bytes_timeout(Some(silence));
        let (request, _sent) = Request::new(
            fields(&headers)?,
            has_body.then_some(contents),
            trailers,
            Some(options),
        );
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            _ => Scheme::Https,
        };
        let refused = |()| TransportError::Failed("the upstream's URL cannot be used".to_owned());
        request.set_method(&method_of(method)).map_err(refused)?;
        request.set_scheme(Some(&scheme)).map_err(refused)?;
        request
            .set_authority(uri.authority().map(|authority| authority.as_str()))
            .map_err(refused)?;
        request
            .set_path_with_query(uri.path_and_query().map(|path| path.as_str()))
            .map_err(refused)?;

        start(write).await;
        let response = client::send(request)
            .await
            .map_err(|error| before_response(&error))?;
        let headers = header_map(&response.get_headers());
        Ok(UpstreamResponse {
            status: response.get_status_code(),
            body: IncomingBody::of_response(response, &headers),
            headers,
        })
    }
}

fn nanoseconds(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

fn is_without_body(method: &http::Method) -> bool {
    [http::Method::GET, http::Method::HEAD, http::Method::DELETE].contains(method)
}

fn method_of(method: &http::Method) -> Method {
    match method.as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        other => Method::Other(other.to_owned()),
    }
}

/// What an error before a response's head means. Spin has one code for a stream that the upstream refused, which was never
/// read, and for a connection that broke.
fn before_response(error: &ErrorCode) -> TransportError {
    match error {
        ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::DnsError(_)
        | ErrorCode::DnsTimeout
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_) => TransportError::NotSent(name(error)),
        ErrorCode::HttpProtocolError | ErrorCode::ConnectionTerminated => {
            TransportError::Unanswered(name(error))
        }
        other => describe(other),
    }
}

fn describe(error: &ErrorCode) -> TransportError {
    match error {
        ErrorCode::HttpRequestDenied => TransportError::Denied,
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::DnsTimeout
        | ErrorCode::HttpResponseTimeout => TransportError::TimedOut,
        ErrorCode::InternalError(Some(text)) if text == HOST_STOPPING => TransportError::Stopping,
        // The name alone: texts of the host may hold the URL.
        other => TransportError::Failed(name(other)),
    }
}

/// `ConnectionRefused`, `DnsError`: the variant without its content.
fn name(error: &ErrorCode) -> String {
    format!("{error:?}")
        .trim_start_matches("ErrorCode::")
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect()
}

fn header_map(fields: &Fields) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields.copy_all() {
        // The host has checked both; what it let through and we cannot hold is of no use to anybody here.
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::try_from(value),
        ) {
            headers.append(name, value);
        }
    }
    headers
}

fn fields(headers: &HeaderMap) -> Result<Fields, TransportError> {
    let list: Vec<(String, Vec<u8>)> = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    Fields::from_list(&list)
        .map_err(|error| TransportError::Failed(format!("headers refused by the host: {error:?}")))
}

type Write = Pin<Box<dyn Future<Output = ()>>>;

/// A body's two ends, and the future that writes `bytes` into it.
fn outgoing_body(bytes: Vec<u8>) -> (StreamReader<u8>, FutureReader<TrailersResult>, Write) {
    let (mut writer, reader) = wit_stream::new::<u8>();
    let (end, trailers) = wit_future::new::<TrailersResult>(|| Ok(None));
    let write = Box::pin(async move {
        // What a receiver that has gone does not take, nobody misses.
        let _ = writer.write_all(bytes).await;
        drop(writer);
        let _ = end.write(Ok(None)).await;
    });
    (reader, trailers, write)
}

/// Offers the first bytes now, and leaves the rest to a task of its own.
async fn start(mut write: Write) {
    if futures::poll!(&mut write) == Poll::Pending {
        spawn(write);
    }
}

/// Sends a reply.
pub(super) async fn respond<D, B, S>(reply: Reply<D, B, S>) -> Result<Response, ErrorCode>
where
    D: Database + 'static,
    B: ByteStream + 'static,
    S: System + 'static,
{
    let Reply {
        status,
        headers,
        body,
    } = reply;
    let internal = |error: TransportError| ErrorCode::InternalError(Some(error.to_string()));
    let (contents, trailers, write) = match body {
        Body::Whole(bytes) => {
            // Without any, and not of no bytes: after the head of an answer to HEAD, HTTP/2 lets nothing follow.
            let has_contents = !bytes.is_empty();
            let (contents, trailers, write) = outgoing_body(bytes);
            (has_contents.then_some(contents), trailers, write)
        }
        Body::Stream(stream) => {
            let (contents, trailers, write) = outgoing_stream(*stream);
            (Some(contents), trailers, write)
        }
    };
    let (response, _sent) = Response::new(fields(&headers).map_err(internal)?, contents, trailers);
    response.set_status_code(status.as_u16()).map_err(|()| {
        ErrorCode::InternalError(Some("status code refused by the host".to_owned()))
    })?;
    // Lets the host finish what the last read from the upstream or the database began; without it the first write is
    // not seen together with the head.
    wit_bindgen::yield_async().await;
    start(write).await;
    Ok(response)
}

fn outgoing_stream<D, B, S>(
    stream: AnswerStream<D, B, S>,
) -> (StreamReader<u8>, FutureReader<TrailersResult>, Write)
where
    D: Database + 'static,
    B: ByteStream + 'static,
    S: System + 'static,
{
    let (writer, reader) = wit_stream::new::<u8>();
    let (end, trailers) = wit_future::new::<TrailersResult>(|| Ok(None));
    (reader, trailers, Box::pin(pump(stream, writer, end)))
}

async fn pump<D: Database, B: ByteStream, S: System>(
    mut stream: AnswerStream<D, B, S>,
    mut writer: StreamWriter<u8>,
    end: FutureWriter<TrailersResult>,
) {
    let mut probe = Probe::new();
    let result = loop {
        if probe
            .client_leaves_before(stream.ready(), &mut writer)
            .await
        {
            return stream.client_gone().await;
        }
        match stream.next().await {
            Next::Bytes(bytes) => {
                if !writer.write_all(bytes).await.is_empty() {
                    return stream.client_gone().await;
                }
            }
            Next::Nothing => {}
            Next::End => break Ok(None),
            Next::Broken => break Err(ErrorCode::ConnectionTerminated),
        }
    };
    drop(writer);
    let _ = end.write(result).await;
}

/// Looks after a client from time to time.
struct Probe(Pin<Box<dyn Future<Output = ()>>>);

impl Probe {
    fn new() -> Self {
        Self(Box::pin(monotonic_clock::wait_for(PROBE_INTERVAL_NS)))
    }

    /// Waits for `ready`, unless the client leaves before.
    async fn client_leaves_before(
        &mut self,
        ready: impl Future<Output = ()>,
        writer: &mut StreamWriter<u8>,
    ) -> bool {
        let mut ready = pin!(ready);
        loop {
            match select(ready.as_mut(), &mut self.0).await {
                Either::Left(((), _)) => return false,
                Either::Right(_) => {
                    *self = Self::new();
                    if let (StreamResult::Dropped, _) = writer.write(Vec::new()).await {
                        return true;
                    }
                }
            }
        }
    }
}
