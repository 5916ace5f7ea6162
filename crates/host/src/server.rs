//! Client connections, requests to the component, and the orderly shutdown.
//!
//! Clients and the component see the same as with Spin, with the exceptions in
//! `docs/architecture.md`.

use crate::log::{announce, log};
use crate::manifest::App;
use crate::outbound::Nagle;
use crate::scheduler::{Answer, Failure, Scheduler};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde::Serialize;
use socket2::{SockRef, TcpKeepalive};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::str::Utf8Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasmtime_wasi_http::{Error, WasiBody};

/// How long the component may take to write its log and answer clients after a cancellation.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause after an `accept` that failed for lack of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection is kept without a complete request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a closing connection may take to flush its last response.
const LAST_FLUSH: Duration = Duration::from_millis(250);
/// TCP keepalive, to detect clients that have disappeared.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(10));

/// The body if too many requests wait. `docs/errors.md` describes the code.
const BUSY: &str = r#"{"error":{"message":"Too many requests wait already. Try again later.","type":"server_error","param":null,"code":"pool_busy"}}"#;

/// Paths that Spin answers itself.
const WELL_KNOWN: &str = "/.well-known/spin/";

/// Options of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) nagle: Nagle,
    /// How long requests and spawned work may continue after a signal to stop.
    pub(crate) grace: Duration,
    /// How long a client may stop reading before its connection is closed.
    pub(crate) write_timeout: Duration,
}

/// Serves until a signal to stop. Then it accepts no connection any more, and waits for requests
/// and spawned work. What has not finished after `grace`, or at a second signal, is cancelled by
/// `stop`.
///
/// # Errors
/// It cannot listen on the address.
pub(crate) async fn serve(
    address: &str,
    app: &App,
    scheduler: Scheduler,
    options: Options,
    stop: CancellationToken,
) -> Result<()> {
    // Before the address is announced, since its reader may send a signal.
    let mut signals = Signals::new().context("cannot handle signals")?;
    let info = serde_json::to_vec_pretty(&Info {
        name: &app.name,
        version: app.version.as_deref(),
    })?;
    let listener = listen(address).await?;
    let address = listener.local_addr().context("cannot get the address")?;
    announce(format_args!("Serving http://{address}"));

    let server = Arc::new(Server {
        scheduler: scheduler.clone(),
        info: info.into(),
        closing: CancellationToken::new(),
        write_timeout: options.write_timeout,
    });
    let connections = TaskTracker::new();
    tokio::select! {
        () = accept(&listener, &server, &connections, options.nagle) => {}
        () = signals.next() => {}
    }
    drop(listener);
    connections.close();
    server.closing.cancel();
    let finish = async {
        connections.wait().await;
        scheduler.finish().await;
    };
    if let Finish::Aborted = shut_down(finish, &mut signals, options.grace, stop).await {
        scheduler.abort();
    }
    Ok(())
}

/// Accepts connections until it is dropped.
async fn accept(
    listener: &TcpListener,
    server: &Arc<Server>,
    connections: &TaskTracker,
    nagle: Nagle,
) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                // These fail only for a closed connection.
                let _ = stream.set_nodelay(nagle == Nagle::Off);
                let _ = SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE);
                connections.spawn(Arc::clone(server).serve_connection(stream, client));
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                log(format_args!("cannot accept a connection: {error}"));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_connection(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}

/// How the work ended after a signal to stop.
enum Finish {
    Complete,
    Aborted,
}

/// Waits for the work to finish, and cancels it after `grace` or at a second signal.
async fn shut_down(
    finish: impl Future<Output = ()>,
    signals: &mut Signals,
    grace: Duration,
    stop: CancellationToken,
) -> Finish {
    let mut finish = pin!(finish);
    tokio::select! {
        () = &mut finish => return Finish::Complete,
        () = sleep(grace) => log(format_args!("cancelling what did not finish within {grace:?}")),
        () = signals.next() => log("stopping immediately"),
    }
    stop.cancel();
    tokio::select! {
        () = &mut finish => return Finish::Complete,
        () = sleep(CANCEL_TIMEOUT) => log("aborting what has still not finished"),
        () = signals.next() => {}
    }
    Finish::Aborted
}

async fn listen(address: &str) -> Result<TcpListener> {
    let resolved: Vec<SocketAddr> = lookup_host(address)
        .await
        .with_context(|| format!("--listen {address}: not an address such as 127.0.0.1:3000"))?
        .collect();
    match TcpListener::bind(resolved.as_slice()).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "another program already listens on {address}; stop it, or choose another address with \
             --listen"
        ),
        Err(error) => Err(error).with_context(|| format!("cannot listen on {address}")),
    }
}

/// SIGTERM, SIGINT and SIGHUP.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` if it is ignored, as with `nohup`.
    hangup: Option<Signal>,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: match ignores_hangup() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether SIGHUP is ignored, as far as Linux reports it.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is bit 0.
    ignored.is_some_and(|mask| mask & 1 == 1)
}

/// The body of `/.well-known/spin/info`.
#[derive(Serialize)]
struct Info<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

/// State that connections share.
struct Server {
    scheduler: Scheduler,
    info: Bytes,
    /// Cancelled when connections may not take another request.
    closing: CancellationToken,
    write_timeout: Duration,
}

impl Server {
    /// Serves HTTP/1.1, or HTTP/2 with prior knowledge.
    async fn serve_connection(self: Arc<Self>, stream: TcpStream, client: SocketAddr) {
        let running = watch::Sender::new(0);
        let closing = self.closing.clone();
        let requests = running.clone();
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.write_timeout));
        let service = service_fn(move |request| {
            let server = Arc::clone(&self);
            let running = Running::begin(&requests);
            async move {
                let answer = server.answer(request, client).await.inspect_err(|error| {
                    log(format_args!(
                        "a connection is closed without a response: {error}"
                    ));
                })?;
                let ticket = answer.ticket;
                anyhow::Ok(answer.response.map(|body| {
                    body.map_frame(move |frame| {
                        let _counted = (&running, &ticket);
                        frame
                    })
                }))
            }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        let mut connection =
            pin!(builder.serve_connection(TokioIo::new(Box::pin(stream)), service));
        // Errors mean that the client has left.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = idle(&running, IDLE_TIMEOUT) => {}
            () = closing.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ = connection => {}
            () = idle(&running, LAST_FLUSH) => {}
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// Spin would close the connection without a response.
    async fn answer(&self, mut request: Request<Incoming>, client: SocketAddr) -> Result<Answer> {
        request.headers_mut().remove(CONNECTION);
        if let Some(name) = request.uri().path().strip_prefix(WELL_KNOWN) {
            return Ok(self.well_known(name).into());
        }
        set_uri(&mut request)?;
        let Ok(()) = set_headers(&mut request, client) else {
            log("a request is rejected, since one of its headers is not UTF-8");
            return Ok(whole(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()).into());
        };
        let request = request.map(|body| body.map_err(Error::from).boxed_unsync());
        Ok(match self.scheduler.handle(request).await {
            Ok(answer) => answer,
            Err(Failure::Busy) => busy().into(),
            Err(Failure::Instance(error)) => {
                log(format_args!(
                    "a request failed in the component: {}",
                    error.root_cause()
                ));
                whole(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()).into()
            }
        })
    }

    fn well_known(&self, name: &str) -> Response<WasiBody> {
        match name {
            "health" => whole(StatusCode::OK, Bytes::from_static(b"OK")),
            "info" => {
                let mut response = whole(StatusCode::OK, self.info.clone());
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
            _ => whole(StatusCode::NOT_FOUND, Bytes::new()),
        }
    }
}

/// Counts a request of a connection until the end of its response.
struct Running(watch::Sender<usize>);

impl Running {
    fn begin(running: &watch::Sender<usize>) -> Self {
        running.send_modify(|count| *count += 1);
        Self(running.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Waits until no request has been running for `limit`.
async fn idle(running: &watch::Sender<usize>, limit: Duration) {
    let mut running = running.subscribe();
    // Neither wait fails while the sender exists.
    while running.wait_for(|count| *count == 0).await.is_ok()
        && timeout(limit, running.changed()).await.is_ok()
    {}
}

fn whole(status: StatusCode, body: Bytes) -> Response<WasiBody> {
    let body = Full::new(body).map_err(Error::from).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// Says, in the form of OpenAI's errors, that too many requests wait.
fn busy() -> Response<WasiBody> {
    let body = Bytes::from_static(BUSY.as_bytes());
    let mut response = whole(StatusCode::SERVICE_UNAVAILABLE, body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Gives the request an absolute URL, with Spin's rules.
fn set_uri(request: &mut Request<impl Body>) -> Result<()> {
    let mut parts = request.uri().clone().into_parts();
    let host = match request.headers().get(HOST) {
        Some(host) => {
            let host = host.to_str().ok().and_then(|host| host.parse().ok());
            Some(host.context("the Host header is not a host")?)
        }
        None => None,
    };
    let authority: Authority = match (host, parts.authority) {
        (None, None) => bail!("the Host header is missing"),
        (Some(host), Some(authority)) if host != authority => {
            bail!("the Host header and the URL name different hosts")
        }
        (Some(authority), _) | (None, Some(authority)) => authority,
    };
    // Only CONNECT has none.
    ensure!(parts.path_and_query.is_some(), "the URL has no path");
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    *request.uri_mut() = Uri::from_parts(parts).context("the request's target is not a URL")?;
    Ok(())
}

/// Adds Spin's headers, after those of the same name that a client may have sent.
fn set_headers(request: &mut Request<impl Body>, client: SocketAddr) -> Result<(), Utf8Error> {
    for value in request.headers().values() {
        std::str::from_utf8(value.as_bytes())?;
    }
    let uri = request.uri();
    let path_info = path_info(uri.path());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
    // Spin uses only the header, even if the URL has a host.
    let host = std::str::from_utf8(host.unwrap_or(b"localhost"))?;
    let full_url = format!("http://{host}{path}");
    let client = client.to_string();
    for (name, value) in [
        ("spin-path-info", path_info.as_str()),
        ("spin-full-url", &full_url),
        ("spin-matched-route", "/..."),
        ("spin-base-path", "/"),
        ("spin-raw-component-route", "/..."),
        ("spin-component-route", ""),
        ("spin-client-addr", &client),
    ] {
        // Like Spin, it leaves out invalid values.
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            request.headers_mut().append(name, value);
        }
    }
    Ok(())
}

/// The part of the path that Spin's router matches with the wildcard of `/...`.
fn path_info(path: &str) -> String {
    let inner = path.trim_matches('/');
    match (inner.is_empty(), path.ends_with('/')) {
        (true, false) => String::new(),
        (true, true) => "/".to_owned(),
        (false, false) => format!("/{inner}"),
        (false, true) => format!("/{inner}/"),
    }
}
