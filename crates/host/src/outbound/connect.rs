//! New connections to upstreams.

use super::Nagle;
use crate::runtime_config::ClientTls;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tower_service::Service;
use wasmtime_wasi_http::Error;

tokio::task_local! {
    /// For the connector, which receives only the URL of a request.
    pub(super) static CONNECT_TIMEOUT: Duration;
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;
type Stream = MaybeHttpsStream<Permitted>;

/// Why TCP did not connect.
#[derive(Debug, Clone, Copy)]
pub(super) enum NoConnection {
    TimedOut,
    NoAddress,
    Refused,
}

impl NoConnection {
    /// Spin's error.
    pub(super) fn to_wasi(self) -> Error {
        match self {
            Self::TimedOut => Error::ConnectionTimeout,
            Self::NoAddress => Error::DnsError {
                rcode: Some("address not available".to_owned()),
                info_code: Some(0),
            },
            Self::Refused => Error::ConnectionRefused,
        }
    }
}

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection")
    }
}

impl std::error::Error for NoConnection {}

/// Connects to `http` and `https` URLs.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: Tcp,
    tls: Arc<ClientTls>,
}

impl Connector {
    pub(super) fn new(nagle: Nagle, max_connections: Option<usize>, tls: ClientTls) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(nagle == Nagle::Off);
        Self {
            tcp: Tcp {
                http,
                permits: max_connections
                    .map(|most| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))),
            },
            tls: Arc::new(tls),
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Connecting<Stream, BoxError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(BoxError::from)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = self.tls.config_for(uri.host().unwrap_or_default());
        HttpsConnector::from((self.tcp.clone(), tls)).call(uri)
    }
}

/// Opens TCP connections, up to a limit. As with Spin, the time-out includes the wait for a permit
/// but not the TLS handshake.
#[derive(Clone)]
struct Tcp {
    http: HttpConnector,
    permits: Option<Arc<Semaphore>>,
}

impl Service<Uri> for Tcp {
    type Response = Permitted;
    type Error = NoConnection;
    type Future = Connecting<Permitted, NoConnection>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        self.http
            .poll_ready(context)
            .map_err(|_| NoConnection::Refused)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let limit = CONNECT_TIMEOUT
            .try_with(|limit| *limit)
            .unwrap_or(super::DEFAULT_TIMEOUT);
        let Self { mut http, permits } = self.clone();
        Box::pin(async move {
            let connecting = async {
                let permit = match permits {
                    // It fails only if the semaphore is closed, which never happens.
                    Some(permits) => permits.acquire_owned().await.ok(),
                    None => None,
                };
                (http.call(uri).await, permit)
            };
            match timeout(limit, connecting).await {
                Ok((Ok(stream), permit)) => Ok(Permitted {
                    stream,
                    _permit: permit,
                }),
                // The client's type for this is private.
                Ok((Err(error), _)) if error.to_string() == "dns error" => {
                    Err(NoConnection::NoAddress)
                }
                Ok((Err(_), _)) => Err(NoConnection::Refused),
                Err(_) => Err(NoConnection::TimedOut),
            }
        })
    }
}

/// A TCP connection with its permit.
pub(super) struct Permitted {
    stream: TokioIo<TcpStream>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection for Permitted {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

impl Read for Permitted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Permitted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }
}
