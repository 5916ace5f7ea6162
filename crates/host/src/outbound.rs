//! The component's HTTP client.
//!
//! Connections are kept alive and shared by all instances. Requests leave only to the hosts that the manifest allows.
//!
//! Over HTTP/1.1 alone: the client would use one HTTP/2 connection for all, and calls beyond its limit of streams, often
//! 100, would wait in line. A call to a model lasts for seconds, so a connection of its own costs it nothing.

use crate::allowed_hosts::AllowedHosts;
use crate::log::log;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use std::error::Error as StdError;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep, timeout};
use tower_service::Service;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Where the component sets no time-out, as with Spin.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

type Connector = WithTimeout<HttpsConnector<HttpConnector>>;

/// The connections, and where they may lead.
#[derive(Clone)]
pub(crate) struct Client {
    http: legacy::Client<Connector, WasiBody>,
    allowed: Arc<AllowedHosts>,
}

impl Client {
    /// A client that trusts the certificate authorities that Mozilla trusts.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn new(allowed: AllowedHosts, nagle: bool) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_webpki_roots()
            .with_no_client_auth();
        Ok(Self::with_tls(allowed, nagle, tls))
    }

    fn with_tls(allowed: AllowedHosts, nagle: bool, tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(!nagle);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self {
            http: legacy::Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(WithTimeout(connector)),
            allowed: Arc::new(allowed),
        }
    }

    /// What an instance holds of it.
    pub(crate) fn hooks(&self) -> Hooks {
        Hooks(self.clone())
    }

    async fn send(
        self,
        mut request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        if !self.allowed.allows(request.uri()) {
            log(format_args!(
                "the component may not call {}; allowed_outbound_hosts in the manifest lists what it may",
                origin(request.uri())
            ));
            return Err(Error::HttpRequestDenied);
        }
        // From the URL, by the client: HTTP/2 has another place for it.
        request.headers_mut().remove(HOST);
        let connect = options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let first_byte = options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let between_bytes = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);

        let response = CONNECT_TIMEOUT.scope(connect, self.http.request(request));
        let mut response = timeout(first_byte, response)
            .await
            .map_err(|_| Error::ConnectionReadTimeout)?
            .map_err(|error| describe(&error))?;
        // Of the two the encoding counts (RFC 9112 §6.3), and the component does not hear of it.
        if response.headers().contains_key(TRANSFER_ENCODING) {
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        Ok(response.map(|body| {
            let body = body.map_err(|error| describe(&error));
            Watched::new(body, between_bytes).boxed_unsync()
        }))
    }
}

fn origin(uri: &http::Uri) -> String {
    format!(
        "{}://{}",
        uri.scheme_str().unwrap_or("?"),
        uri.authority().map_or("?", http::uri::Authority::as_str)
    )
}

/// An instance's way out.
pub(crate) struct Hooks(Client);

type Sent = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let client = self.0.clone();
        Box::new(async move {
            let response = client.send(request, options.unwrap_or_default()).await?;
            // Trouble with the connection shows in the response's body.
            Ok((
                response,
                Box::new(async { Ok(()) }) as Box<dyn Future<Output = _> + Send>,
            ))
        })
    }
}

tokio::task_local! {
    /// For the connector, which learns nothing of a request but its URL.
    static CONNECT_TIMEOUT: Duration;
}

/// A connector that gives up in time.
#[derive(Clone)]
struct WithTimeout<C>(C);

#[derive(Debug)]
struct ConnectTimedOut;

impl std::fmt::Display for ConnectTimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("connecting took too long")
    }
}

impl StdError for ConnectTimedOut {}

type BoxError = Box<dyn StdError + Send + Sync>;

impl<C> Service<http::Uri> for WithTimeout<C>
where
    C: Service<http::Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let limit = CONNECT_TIMEOUT
            .try_with(|limit| *limit)
            .unwrap_or(DEFAULT_TIMEOUT);
        let connecting = self.0.call(uri);
        Box::pin(async move {
            timeout(limit, connecting)
                .await
                .unwrap_or_else(|_| Err(ConnectTimedOut.into()))
        })
    }
}

/// What an error means, by the first of its causes that tells.
fn describe(error: &(dyn StdError + 'static)) -> Error {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(known) = describe_one(error) {
            return known;
        }
        cause = match error.downcast_ref::<std::io::Error>() {
            // Its `source` is that of the error inside, which it would skip.
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    Error::HttpProtocolError
}

fn describe_one(error: &(dyn StdError + 'static)) -> Option<Error> {
    if error.is::<ConnectTimedOut>() {
        return Some(Error::ConnectionTimeout);
    }
    if error.is::<rustls::Error>() {
        return Some(Error::TlsProtocolError);
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        if error.is_incomplete_message() {
            return Some(Error::ConnectionTerminated);
        }
        if error.is_parse() {
            return Some(Error::HttpProtocolError);
        }
    }
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return match error.kind() {
            ErrorKind::ConnectionRefused => Some(Error::ConnectionRefused),
            ErrorKind::TimedOut => Some(Error::ConnectionTimeout),
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => Some(Error::ConnectionTerminated),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                Some(Error::DestinationUnavailable)
            }
            _ => None,
        };
    }
    // The client's type for this is private.
    (error.to_string() == "dns error").then_some(Error::DnsError {
        rcode: None,
        info_code: None,
    })
}

/// A body that fails when nothing arrives for too long, and closes its connection then.
struct Watched<B> {
    body: Option<B>,
    limit: Duration,
    silence: Option<Pin<Box<Sleep>>>,
}

impl<B> Watched<B> {
    fn new(body: B, limit: Duration) -> Self {
        Self {
            body: Some(body),
            limit,
            silence: None,
        }
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            self.silence = None;
            return Poll::Ready(frame);
        }
        let limit = self.limit;
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(silence.as_mut().poll(context));
        self.body = None;
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
