//! Connections in, requests to the component, and the orderly end.

use crate::guest::Handler;
use crate::log::{announce, log};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};
use wasmtime_wasi_http::{Error, WasiBody};

/// How long requests and the work they leave behind may take after the host was told to stop.
const GRACE: Duration = Duration::from_secs(10);
/// After an `accept` that failed for want of files or memory: time for a connection to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves until SIGTERM or SIGINT; then no connection is accepted any more, and requests and spawned work finish.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) async fn serve(address: &str, handler: Handler, nagle: bool) -> Result<()> {
    // Before the address is announced: whoever reads it may send a signal.
    let mut signals = Signals::new().context("cannot handle signals")?;
    let listener = listen(address).await?;
    let address = listener.local_addr().context("cannot tell the address")?;
    announce(format_args!("Serving http://{address}"));

    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = signals.next() => break,
        };
        match accepted {
            Ok((stream, client)) => {
                // Only a connection that has ended refuses it.
                let _ = stream.set_nodelay(!nagle);
                let serving = graceful.watch(connection(stream, client, address, handler.clone()));
                tokio::spawn(async move {
                    // Clients that leave are no news.
                    let _ = serving.await;
                });
            }
            Err(error) => {
                if !matches!(
                    error.kind(),
                    ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
                ) {
                    log(format_args!("cannot accept a connection: {error}"));
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    drop(listener);
    let finish = async {
        graceful.shutdown().await;
        handler.finish().await;
    };
    tokio::select! {
        done = timeout(GRACE, finish) => if done.is_err() {
            log(format_args!("what was not finished after {} s is cut off", GRACE.as_secs()));
        },
        () = signals.next() => log("stopping at once"),
    }
    handler.cut_off();
    Ok(())
}

async fn listen(address: &str) -> Result<TcpListener> {
    let resolved: Vec<SocketAddr> = lookup_host(address)
        .await
        .with_context(|| format!("--listen {address}: not an address such as 127.0.0.1:3000"))?
        .collect();
    match TcpListener::bind(resolved.as_slice()).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "another program already listens on {address}; stop it, or choose another address with --listen"
        ),
        Err(error) => Err(error).with_context(|| format!("cannot listen on {address}")),
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn connection(
    stream: TcpStream,
    client: SocketAddr,
    own: SocketAddr,
    handler: Handler,
) -> impl GracefulConnection<Error = hyper::Error> + Send {
    let service = service_fn(move |request| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(answer(request, client, own, &handler).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
}

async fn answer(
    mut request: Request<Incoming>,
    client: SocketAddr,
    own: SocketAddr,
    handler: &Handler,
) -> Response<WasiBody> {
    if let Err(reason) = prepare(&mut request, client, own) {
        return plain(StatusCode::BAD_REQUEST, reason);
    }
    let request = request.map(|body| body.map_err(Error::from).boxed_unsync());
    match handler.handle(request).await {
        Ok(response) => response,
        Err(error) => {
            log(format_args!(
                "a request failed in the component: {}",
                error.root_cause()
            ));
            plain(StatusCode::INTERNAL_SERVER_ERROR, "")
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<WasiBody> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(Error::from);
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Makes of a request what Spin makes of it: an absolute URL, no hop-by-hop header, and Spin's own headers, which no
/// client can set.
fn prepare(
    request: &mut Request<Incoming>,
    client: SocketAddr,
    own: SocketAddr,
) -> Result<(), &'static str> {
    let headers = request.headers();
    let host = match headers.get(HOST) {
        Some(host) => Some(
            host.to_str()
                .ok()
                .and_then(|host| host.parse::<Authority>().ok())
                .ok_or("the Host header is no host\n")?,
        ),
        None => None,
    };
    let authority = match (host, request.uri().authority()) {
        (Some(host), Some(authority)) if host != *authority => {
            return Err("the Host header and the URL name different hosts\n");
        }
        (Some(host), _) => host,
        (None, Some(authority)) => authority.clone(),
        (None, None) => own.to_string().parse().map_err(|_| "no Host header\n")?,
    };
    let path = request
        .uri()
        .path_and_query()
        .cloned()
        .unwrap_or(PathAndQuery::from_static("/"));
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query = Some(path);
    let uri = Uri::from_parts(parts).map_err(|_| "the request's target is no URL\n")?;
    spin_headers(request.headers_mut(), &uri, client);
    request.headers_mut().remove(CONNECTION);
    *request.uri_mut() = uri;
    Ok(())
}

fn spin_headers(headers: &mut HeaderMap, uri: &Uri, client: SocketAddr) {
    for (name, value) in [
        ("spin-path-info", uri.path()),
        ("spin-full-url", &uri.to_string()),
        ("spin-matched-route", "/..."),
        ("spin-base-path", "/"),
        ("spin-raw-component-route", "/..."),
        ("spin-component-route", ""),
        ("spin-client-addr", &client.to_string()),
    ] {
        // A URL that was parsed from a request line is a header value, too.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
