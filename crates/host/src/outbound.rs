//! The component's HTTP client.
//!
//! All instances share kept-alive connections, unless the runtime configuration disables pooling.
//! Requests go only to hosts that the manifest allows. As with Spin, `http` is HTTP/1.1 and `https`
//! is HTTP/2 if the upstream offers it; requests to it then share one connection, and wait if they
//! exceed its limit of streams. Errors are Spin's, too.

mod connect;

use crate::allowed_hosts::AllowedHosts;
use crate::log::log;
use crate::runtime_config::RuntimeConfig;
use bytes::Bytes;
use connect::{CONNECT_TIMEOUT, Connector, NoConnection};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// The default of all time-outs, as with Spin.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// The error for the component when the host stops; it knows this text.
const STOPPING: &str = "the host is stopping";

/// Whether sockets delay small packets by Nagle's algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nagle {
    On,
    Off,
}

/// The connections, and the hosts that they may lead to.
#[derive(Clone)]
pub(crate) struct Client {
    http: legacy::Client<Connector, WasiBody>,
    allowed: Arc<AllowedHosts>,
    stop: CancellationToken,
}

impl Client {
    /// Creates a client whose exchanges all fail once `stop` is cancelled.
    pub(crate) fn new(
        allowed: AllowedHosts,
        nagle: Nagle,
        config: RuntimeConfig,
        stop: CancellationToken,
    ) -> Self {
        let mut http = legacy::Client::builder(TokioExecutor::new());
        http.pool_timer(TokioTimer::new());
        if !config.connection_pooling {
            http.pool_max_idle_per_host(0);
        }
        Self {
            http: http.build(Connector::new(nagle, config.max_connections, config.tls)),
            allowed: Arc::new(allowed),
            stop,
        }
    }

    /// The hooks for an instance.
    pub(crate) fn hooks(&self) -> Hooks {
        Hooks(self.clone())
    }

    async fn send(
        self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(stopping()),
            sent = self.exchange(request, options) => sent,
        }
    }

    async fn exchange(
        self,
        mut request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        if !self.allowed.allows(request.uri()) {
            log(format_args!(
                "the component may not call {}; allowed_outbound_hosts in the manifest does not \
                 allow it",
                origin(request.uri())
            ));
            return Err(Error::HttpRequestDenied);
        }
        // The client sets it from the URL; HTTP/2 has a pseudo-header instead.
        request.headers_mut().remove(HOST);
        let connect = options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let first_byte = options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let between_bytes = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);

        let response = CONNECT_TIMEOUT.scope(connect, self.http.request(request));
        let mut response = timeout(first_byte, response)
            .await
            .map_err(|_| Error::ConnectionReadTimeout)?
            .map_err(|error| to_wasi_error(&error))?;
        // The encoding overrides the length (RFC 9112 §6.3).
        if response.headers().contains_key(TRANSFER_ENCODING) {
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        Ok(response.map(|body| {
            let body = body.map_err(|_| Error::HttpProtocolError);
            TimedBody::new(body, between_bytes, self.stop).boxed_unsync()
        }))
    }
}

fn stopping() -> Error {
    Error::InternalError(Some(STOPPING.to_owned()))
}

fn origin(uri: &http::Uri) -> String {
    format!(
        "{}://{}",
        uri.scheme_str().unwrap_or("?"),
        uri.authority().map_or("?", http::uri::Authority::as_str)
    )
}

/// An instance's access to the client.
pub(crate) struct Hooks(Client);

/// A response, and the future of the rest of the exchange.
pub(crate) type Sent = (
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
            // Connection errors appear in the response's body.
            Ok((
                response,
                Box::new(async { Ok(()) }) as Box<dyn Future<Output = _> + Send>,
            ))
        })
    }
}

/// Spin's error for a failed request: a protocol error unless connecting or TLS failed.
fn to_wasi_error(error: &legacy::Error) -> Error {
    match error
        .source()
        .and_then(|cause| cause.downcast_ref::<NoConnection>())
    {
        Some(reason) => reason.to_wasi(),
        // TCP connected, so TLS failed.
        None if error.is_connect() => Error::TlsProtocolError,
        None => Error::HttpProtocolError,
    }
}

/// A body that fails, and closes its connection, when it is idle for too long or the host stops.
struct TimedBody<B> {
    body: Option<B>,
    idle_timeout: Duration,
    stop: CancellationToken,
    /// The future that ends the wait for the next frame with an error.
    waiting: Option<Pin<Box<dyn Future<Output = Error> + Send>>>,
}

impl<B> TimedBody<B> {
    fn new(body: B, idle_timeout: Duration, stop: CancellationToken) -> Self {
        Self {
            body: Some(body),
            idle_timeout,
            stop,
            waiting: None,
        }
    }
}

fn end_wait(
    idle_timeout: Duration,
    stop: CancellationToken,
) -> Pin<Box<dyn Future<Output = Error> + Send>> {
    Box::pin(async move {
        tokio::select! {
            () = sleep(idle_timeout) => Error::ConnectionReadTimeout,
            () = stop.cancelled() => stopping(),
        }
    })
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for TimedBody<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        // Checked first, since a body may never be pending.
        let error = if this.stop.is_cancelled() {
            stopping()
        } else {
            if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
                this.waiting = None;
                return Poll::Ready(frame);
            }
            let (idle_timeout, stop) = (this.idle_timeout, &this.stop);
            let new = || end_wait(idle_timeout, stop.clone());
            ready!(this.waiting.get_or_insert_with(new).as_mut().poll(context))
        };
        this.body = None;
        Poll::Ready(Some(Err(error)))
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
