//! The client against real servers of a few lines.

use super::*;
use crate::variables::Filled;
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn allowing(entries: &[String], tls: Option<ClientConfig>) -> Client {
    let entries: Vec<Filled> = entries.iter().map(Filled::plain).collect();
    let allowed = AllowedHosts::parse(&entries).unwrap();
    match tls {
        Some(tls) => Client::with_tls(allowed, false, tls),
        None => Client::new(allowed, false).unwrap(),
    }
}

fn get(url: &str) -> Request<WasiBody> {
    let body = Empty::new().map_err(Error::from).boxed_unsync();
    Request::get(url).body(body).unwrap()
}

async fn text(response: Response<WasiBody>) -> Result<String, Error> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

/// A server that handles each connection with `serve`, which is told how many there were before.
async fn server<F, S>(serve: S) -> SocketAddr
where
    S: Fn(TcpStream, usize) -> F + Send + 'static,
    F: Future<Output: Send> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, number));
        }
    });
    address
}

/// Reads a request's head, then writes `answer`. Closes the connection when the stream is dropped.
async fn answer(mut stream: TcpStream, answer: &'static str) -> TcpStream {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream
}

async fn send_to(address: SocketAddr, options: RequestOptions) -> Result<String, Error> {
    let origin = format!("http://{address}");
    let client = allowing(std::slice::from_ref(&origin), None);
    let response = client.send(get(&format!("{origin}/x")), options).await?;
    text(response).await
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_not_connected_to() {
    static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
    let address = server(|_, _| async {
        CONNECTIONS.fetch_add(1, Ordering::SeqCst);
    })
    .await;
    let client = allowing(&["http://127.0.0.1:1".to_owned()], None);
    let sent = client
        .send(
            get(&format!("http://{address}/")),
            RequestOptions::default(),
        )
        .await;
    assert!(matches!(sent, Err(Error::HttpRequestDenied)));
    assert_eq!(CONNECTIONS.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn connections_are_kept_and_shared() {
    let address = server(|stream, number| async move {
        let service = service_fn(move |_: Request<Incoming>| async move {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(format!(
                "connection {number}"
            )))))
        });
        let _ = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    })
    .await;
    let origin = format!("http://{address}");
    let client = allowing(std::slice::from_ref(&origin), None);
    for _ in 0..3 {
        let Hooks(shared) = client.hooks();
        let response = shared.send(get(&origin), RequestOptions::default()).await;
        assert_eq!(text(response.unwrap()).await.unwrap(), "connection 0");
    }
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_count() {
    let address = server(|stream, _| async {
        let both = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n";
        answer(stream, both).await;
    })
    .await;
    let origin = format!("http://{address}");
    let client = allowing(std::slice::from_ref(&origin), None);
    let request = get(&format!("{origin}/x"));
    let response = client.send(request, RequestOptions::default()).await;
    let response = response.unwrap();
    assert!(!response.headers().contains_key(CONTENT_LENGTH));
    assert_eq!(text(response).await.unwrap(), "whole");
}

#[tokio::test]
async fn trouble_is_told_by_its_kind() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    let refused = send_to(nobody, RequestOptions::default()).await;
    assert!(
        matches!(refused, Err(Error::ConnectionRefused)),
        "{refused:?}"
    );

    let silent_end = server(|stream, _| answer(stream, "")).await;
    let cut = send_to(silent_end, RequestOptions::default()).await;
    assert!(matches!(cut, Err(Error::ConnectionTerminated)), "{cut:?}");

    let no_http = server(|stream, _| answer(stream, "what?\r\n\r\n")).await;
    let garbled = send_to(no_http, RequestOptions::default()).await;
    assert!(
        matches!(garbled, Err(Error::HttpProtocolError)),
        "{garbled:?}"
    );

    let short =
        server(|stream, _| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"))
            .await;
    let short = send_to(short, RequestOptions::default()).await;
    assert!(short.is_err(), "{short:?}");
}

#[tokio::test]
async fn silence_ends_with_the_time_out_that_the_request_sets() {
    let never = server(|stream, _| async {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let soon = Some(Duration::from_millis(20));
    let first = RequestOptions {
        first_byte_timeout: soon,
        ..RequestOptions::default()
    };
    let sent = send_to(never, first).await;
    assert!(
        matches!(sent, Err(Error::ConnectionReadTimeout)),
        "{sent:?}"
    );

    let stuck = server(|stream, _| async {
        let answered = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nso far";
        let stream = answer(stream, answered).await;
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let between = RequestOptions {
        between_bytes_timeout: soon,
        ..RequestOptions::default()
    };
    let sent = send_to(stuck, between).await;
    assert!(
        matches!(sent, Err(Error::ConnectionReadTimeout)),
        "{sent:?}"
    );
}

#[tokio::test]
async fn connecting_ends_with_its_own_time_out() {
    let connector = tower_never::Never;
    let mut limited = WithTimeout(connector);
    let connecting = CONNECT_TIMEOUT.sync_scope(Duration::ZERO, || {
        limited.call(http::Uri::from_static("http://x/"))
    });
    let error = connecting.await.unwrap_err();
    assert!(matches!(describe(&*error), Error::ConnectionTimeout));
}

/// A connector that never gets anywhere.
mod tower_never {
    use super::*;

    #[derive(Clone)]
    pub(super) struct Never;

    impl Service<http::Uri> for Never {
        type Response = ();
        type Error = BoxError;
        type Future = std::future::Pending<Result<(), BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Uri) -> Self::Future {
            std::future::pending()
        }
    }
}

/// A TLS server with a certificate of its own, and the configuration of a client that trusts it.
async fn tls_server() -> (SocketAddr, ClientConfig) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key =
        rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let address = server(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(|request: Request<Incoming>| async move {
                let seen = format!("{:?} {}", request.version(), request.uri());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(seen))))
            });
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
    .await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let trusting = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (address, trusting)
}

#[tokio::test]
async fn tls_is_spoken_with_servers_that_are_trusted_alone() {
    let (address, trusting) = tls_server().await;
    let origin = format!("https://localhost:{}", address.port());
    let entries = [origin.clone()];

    let client = allowing(&entries, Some(trusting));
    let response = client
        .send(get(&format!("{origin}/x")), RequestOptions::default())
        .await;
    assert_eq!(text(response.unwrap()).await.unwrap(), "HTTP/1.1 /x");

    let stranger = allowing(&entries, None);
    let sent = stranger.send(get(&origin), RequestOptions::default()).await;
    assert!(
        matches!(sent, Err(Error::TlsProtocolError)),
        "{:?}",
        sent.err()
    );
}
