//! `wasi:http` behind the gateway's traits, and responses on their way out.
//!
//! Requests and responses are built by hand rather than by the SDK's conversions, because of a 40
//! ms trap. A host whose sockets leave Nagle's algorithm on sends a head and a body that arrive
//! separately in two packets, and holds the second until the peer has acknowledged the first, which
//! the peer delays by 40 ms. Both leave together if the first bytes of the body are already offered
//! when the host takes the head. So a body's first write is polled once before its message is
//! handed over.

use super::system::HostSystem;
use crate::admin::Pages;
use crate::gateway::ports::{
    ByteStream, System, Timeouts, TransportError, Upstream, UpstreamResponse,
};
use crate::gateway::{AnswerStream, Body, Chunk, Reply, declared_length};
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
/// How long a streamed answer may be idle, in nanoseconds: 5 minutes, since a model may think for
/// minutes between two words.
const STREAM_IDLE_TIMEOUT_NS: u64 = 300_000_000_000;
/// How often a stream probes its client while the upstream is idle, in nanoseconds: 500 ms. Only a
/// write that fails tells the component that a client has left.
const PROBE_INTERVAL_NS: u64 = 500_000_000;
/// The size of the first read, in bytes, which most bodies fit in.
const FIRST_READ: usize = 16 * 1024;
/// The size of the largest read, in bytes. Each read is a call into the host.
const LARGEST_READ: usize = 256 * 1024;

/// The internal error with which the embedded host ends every exchange once it stops.
const HOST_STOPPING: &str = "the host is stopping";

type TrailersResult = Result<Option<Trailers>, ErrorCode>;

/// A request's head. The SDK's conversion makes more calls into the host, for parts that are not
/// used.
pub(super) fn head_of(request: &Request) -> Result<Parts, ErrorCode> {
    let mut uri = Uri::builder();
    if let Some(authority) = request.get_authority() {
        // An authority needs a scheme, which is never read.
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
    /// The size of the next read, in bytes, if there is no capacity left.
    read_size: usize,
    /// Bytes that are still to come, if the length was declared. After the last of them the host
    /// need not be asked for the end.
    left: Option<u64>,
    /// Whether the body arrived whole; `None` once its end was read.
    end: Option<FutureReader<TrailersResult>>,
    /// Dropping it tells the host that the body is no longer read.
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
        timeouts: Timeouts,
    ) -> Result<UpstreamResponse<IncomingBody>, TransportError> {
        // A GET without a body has no content length (RFC 9110 §8.6).
        let has_body = !body.is_empty() || !is_without_body(method);
        if has_body {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let OutgoingBody {
            contents,
            trailers,
            write,
        } = outgoing_body(body);
        let options = RequestOptions::new();
        // A host that does not know a timeout applies its own.
        let _ = options.set_connect_timeout(Some(CONNECT_TIMEOUT_NS));
        let _ = options.set_first_byte_timeout(Some(nanoseconds(timeouts.head_ms)));
        let idle = timeouts.idle_ms.map_or(STREAM_IDLE_TIMEOUT_NS, nanoseconds);
        let _ = options.set_between_bytes_timeout(Some(idle));
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

/// An error before a response's head. Spin has one code both for a stream that the upstream
/// refused, whose request was never read, and for a connection that broke.
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
        // Only the name: the host's text may contain the URL.
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
        // The host has checked both, so nothing that is needed is skipped.
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

/// A body on its way out: what the host reads, and the future that writes it.
struct OutgoingBody {
    contents: StreamReader<u8>,
    trailers: FutureReader<TrailersResult>,
    write: Write,
}

fn outgoing_body(bytes: Vec<u8>) -> OutgoingBody {
    let (mut writer, reader) = wit_stream::new::<u8>();
    let (end, trailers) = wit_future::new::<TrailersResult>(|| Ok(None));
    let write = Box::pin(async move {
        // If the receiver is gone, the rest is dropped.
        let _ = writer.write_all(bytes).await;
        drop(writer);
        let _ = end.write(Ok(None)).await;
    });
    OutgoingBody {
        contents: reader,
        trailers,
        write,
    }
}

/// Offers the first bytes now and writes the rest in a task of its own.
async fn start(mut write: Write) {
    if futures::poll!(&mut write) == Poll::Pending {
        spawn(write);
    }
}

/// Hands a reply over to the host.
pub(super) async fn respond<D: Database, B: ByteStream + 'static, S: System>(
    reply: Reply<D, B, S>,
) -> Result<Response, ErrorCode> {
    let Reply {
        status,
        headers,
        body,
    } = reply;
    let internal = |error: TransportError| ErrorCode::InternalError(Some(error.to_string()));
    let (has_contents, body) = match body {
        // An empty body is no body: after the head of a response to HEAD, HTTP/2 lets nothing
        // follow.
        Body::Whole(bytes) => (!bytes.is_empty(), outgoing_body(bytes)),
        Body::Stream(stream) => (true, outgoing_stream(*stream)),
        Body::Pages(pages) => (true, outgoing_pages(pages)),
    };
    let contents = has_contents.then_some(body.contents);
    let headers = fields(&headers).map_err(internal)?;
    let (response, _sent) = Response::new(headers, contents, body.trailers);
    response.set_status_code(status.as_u16()).map_err(|()| {
        ErrorCode::InternalError(Some("status code refused by the host".to_owned()))
    })?;
    // The host finishes what the last read from the upstream or the database began. Without this it
    // does not see the first write together with the head.
    wit_bindgen::yield_async().await;
    start(body.write).await;
    Ok(response)
}

fn outgoing_stream<D: Database, B: ByteStream + 'static, S: System>(
    stream: AnswerStream<D, B, S>,
) -> OutgoingBody {
    let (writer, contents) = wit_stream::new::<u8>();
    let (end, trailers) = wit_future::new::<TrailersResult>(|| Ok(None));
    OutgoingBody {
        contents,
        trailers,
        write: Box::pin(pump(stream, writer, end)),
    }
}

fn outgoing_pages(pages: Box<dyn Pages>) -> OutgoingBody {
    let (writer, contents) = wit_stream::new::<u8>();
    let (end, trailers) = wit_future::new::<TrailersResult>(|| Ok(None));
    OutgoingBody {
        contents,
        trailers,
        write: Box::pin(pump_pages(pages, writer, end)),
    }
}

/// Reads a page once the client has taken the one before.
async fn pump_pages(
    mut pages: Box<dyn Pages>,
    mut writer: StreamWriter<u8>,
    end: FutureWriter<TrailersResult>,
) {
    let result = loop {
        match pages.next().await {
            None => break Ok(None),
            Some(Ok(page)) => {
                if !writer.write_all(page).await.is_empty() {
                    return;
                }
            }
            Some(Err(error)) => {
                HostSystem.log(&format!("an export broke off: {error}"));
                break Err(ErrorCode::ConnectionTerminated);
            }
        }
    };
    drop(writer);
    let _ = end.write(result).await;
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
            Chunk::Data(bytes) => {
                if !writer.write_all(bytes).await.is_empty() {
                    return stream.client_gone().await;
                }
            }
            Chunk::Pending => {}
            Chunk::End => break Ok(None),
            Chunk::Broken => break Err(ErrorCode::ConnectionTerminated),
        }
    };
    drop(writer);
    let _ = end.write(result).await;
}

/// Checks from time to time whether the client is still there.
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
