//! Tests of the client against small servers.

use super::*;
use crate::testing::temp_file;
use crate::variables::Expanded;
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn client(config: RuntimeConfig) -> Client {
    allowing("*://*:*", config)
}

fn allowing(entry: &str, config: RuntimeConfig) -> Client {
    let allowed = AllowedHosts::parse(&[Expanded::plain(entry)]).unwrap();
    Client::new(allowed, Nagle::Off, config, CancellationToken::new())
}

fn default_client() -> Client {
    client(RuntimeConfig::default_of_spin().unwrap())
}

fn get(url: &str) -> Request<WasiBody> {
    let body = Empty::new().map_err(Error::from).boxed_unsync();
    Request::get(url).body(body).unwrap()
}

async fn text(response: Response<WasiBody>) -> Result<String, Error> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

/// The URL of a server that handles each connection with `serve`, given the number of earlier ones.
async fn server<F, S>(serve: S) -> String
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
    format!("http://{address}")
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

/// Keeps a connection open without sending anything more.
async fn hold(stream: TcpStream) {
    std::future::pending::<()>().await;
    drop(stream);
}

/// Answers with the version, the connection's number and the request's `host` header.
async fn seen(
    request: Request<Incoming>,
    number: usize,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let host = request.headers().get(HOST);
    let seen = format!("{:?} {number} {host:?}", request.version());
    Ok(Response::new(Full::new(Bytes::from(seen))))
}

/// Answers all requests of a connection with [`seen`].
async fn serve_seen<S>(stream: S, number: usize)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| seen(request, number));
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The beginning of a response.
const BEGINNING: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nso far";

async fn send(client: &Client, url: &str) -> Result<Response<WasiBody>, Error> {
    let client = client.clone();
    client.send(get(url), RequestOptions::default()).await
}

async fn fetch(client: &Client, url: &str) -> Result<String, Error> {
    text(send(client, url).await?).await
}

#[tokio::test]
async fn does_not_connect_to_forbidden_host() {
    static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
    let url = server(|_, _| async {
        CONNECTIONS.fetch_add(1, Ordering::SeqCst);
    })
    .await;
    let config = RuntimeConfig::default_of_spin().unwrap();
    let sent = fetch(&allowing("http://127.0.0.1:1", config), &url).await;
    assert!(matches!(sent, Err(Error::HttpRequestDenied)), "{sent:?}");
    assert_eq!(CONNECTIONS.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn connections_are_kept_alive_and_shared() {
    let url = server(serve_seen).await;
    let client = default_client();
    for _ in 0..3 {
        let Hooks(shared) = client.hooks();
        let text = fetch(&shared, &url).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 0 "), "{text}");
    }
}

#[tokio::test]
async fn chunked_encoding_overrides_length() {
    let url = server(|stream, _| async {
        let both = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n\
        5\r\nwhole\r\n0\r\n\r\n";
        answer(stream, both).await;
    })
    .await;
    let response = send(&default_client(), &url).await.unwrap();
    assert!(!response.headers().contains_key(CONTENT_LENGTH));
    assert_eq!(text(response).await.unwrap(), "whole");
}

#[tokio::test]
async fn errors_have_spins_kinds() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let unused = closed.local_addr().unwrap();
    drop(closed);
    let client = default_client();
    let refused = fetch(&client, &format!("http://{unused}")).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::ConnectionRefused), "{refused:?}");

    // Any error of an open connection.
    for (answered, what) in [
        ("", "no answer"),
        ("what?\r\n\r\n", "no HTTP"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "short"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsh",
            "a cut chunk",
        ),
    ] {
        let url = server(move |stream, _| answer(stream, answered)).await;
        let error = fetch(&client, &url).await.unwrap_err();
        assert!(
            matches!(error, Error::HttpProtocolError),
            "{what}: {error:?}"
        );
    }

    let sent = fetch(&client, "http://nowhere.invalid/").await;
    assert!(matches!(sent, Err(Error::DnsError { .. })), "{sent:?}");
}

#[tokio::test]
async fn request_sets_its_time_outs() {
    let soon = Some(Duration::from_millis(20));
    let first = RequestOptions {
        first_byte_timeout: soon,
        ..RequestOptions::default()
    };
    let between = RequestOptions {
        between_bytes_timeout: soon,
        ..RequestOptions::default()
    };
    let never = server(|stream, _| hold(stream)).await;
    let stuck = server(|stream, _| async { hold(answer(stream, BEGINNING).await).await }).await;
    for (url, options) in [(never, first), (stuck, between)] {
        let sent = default_client().send(get(&url), options).await;
        let read = match sent {
            Ok(response) => text(response).await,
            Err(error) => Err(error),
        };
        let error = read.unwrap_err();
        assert!(matches!(error, Error::ConnectionReadTimeout), "{error:?}");
    }
}

/// Loads a runtime configuration, next to a file with this certificate.
fn config(text: &str, certificate: &str) -> RuntimeConfig {
    let (folder, path) = temp_file("runtime-config.toml", text);
    std::fs::write(folder.path().join("ca.pem"), certificate).unwrap();
    RuntimeConfig::load(&path, "guest").unwrap()
}

#[tokio::test]
async fn connect_timeout_includes_the_wait_for_a_permit() {
    let url = server(|stream, _| hold(stream)).await;
    let one = "[outbound_http]\nconnection_pooling = true\nmax_connections = 1";
    let client = client(config(one, ""));
    // Takes the only permit.
    let mut first = Box::pin(send(&client, &url));
    let waited = timeout(Duration::from_millis(50), &mut first).await;
    assert!(waited.is_err());
    let soon = RequestOptions {
        connect_timeout: Some(Duration::from_millis(20)),
        ..RequestOptions::default()
    };
    let second = client.clone().send(get(&url), soon).await;
    let error = second.map(drop).unwrap_err();
    assert!(matches!(error, Error::ConnectionTimeout), "{error:?}");
}

#[tokio::test]
async fn stop_fails_running_and_later_requests() {
    // The first gets the start of a response, the second nothing.
    let url = server(|stream, number| async move {
        hold(match number {
            0 => answer(stream, BEGINNING).await,
            _ => stream,
        })
        .await;
    })
    .await;
    let client = default_client();
    let mut body = send(&client, &url).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "so far");
    let waiting = {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move { fetch(&client, &url).await })
    };
    let reading = tokio::spawn(async move { body.frame().await });

    client.stop.cancel();
    let waited = waiting.await.unwrap().map(drop);
    let read = reading.await.unwrap().unwrap().map(drop);
    let later = fetch(&client, &url).await.map(drop);
    for failed in [waited, read, later] {
        let Err(Error::InternalError(Some(text))) = failed else {
            panic!("{failed:?}");
        };
        assert_eq!(text, "the host is stopping");
    }
}

/// Tests with an upstream that speaks TLS.
mod tls {
    use super::*;
    use hyper::server::conn::http2;
    use std::sync::Mutex;
    use tokio::sync::{Notify, Semaphore};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::server::TlsStream;

    type Stream = TlsStream<TcpStream>;

    /// The URL and the certificate of a server.
    async fn tls_server<F, S>(protocols: &[&[u8]], serve: S) -> (String, String)
    where
        S: Fn(Stream, usize) -> F + Clone + Send + Sync + 'static,
        F: Future<Output: Send> + Send + 'static,
    {
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let url = server(move |stream, number| {
            let (acceptor, serve) = (acceptor.clone(), serve.clone());
            async move {
                // A client that does not trust the certificate closes the connection.
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _sent = serve(stream, number).await;
                }
            }
        })
        .await;
        let url = url.replace("http://127.0.0.1", "https://localhost");
        (url, certified.cert.pem())
    }

    /// A client that trusts a certificate for `localhost`.
    fn trusting(certificate: &str, more: &str) -> Client {
        let trust = "[[client_tls]]\ncomponent_ids = [\"guest\"]\nhosts = [\"localhost\"]\n\
             ca_roots_file = \"ca.pem\"\n";
        client(config(&format!("{more}\n{trust}"), certificate))
    }

    #[tokio::test]
    async fn http_2_is_used_if_offered_without_host_header() {
        for (offered, version) in [
            (&[&b"h2"[..], b"http/1.1"][..], "HTTP/2.0 0 None"),
            (&[b"http/1.1"], "HTTP/1.1 0 Some(\"localhost:"),
            (&[], "HTTP/1.1 0 Some(\"localhost:"),
        ] {
            let (origin, certificate) = tls_server(offered, serve_seen).await;
            let client = trusting(&certificate, "");
            let text = fetch(&client, &origin).await.unwrap();
            assert!(text.starts_with(version), "{text}");
        }
    }

    #[tokio::test]
    async fn rejects_certificate_of_unknown_authority() {
        let serve = |_, _| async {};
        let (origin, certificate) = tls_server(&[b"h2"], serve).await;
        // Trust is per host; this is another name of the same machine.
        let other = origin.replace("localhost", "127.0.0.1");
        for (client, origin) in [
            (default_client(), &origin),
            (trusting(&certificate, ""), &other),
        ] {
            let sent = fetch(&client, origin).await;
            assert!(matches!(sent, Err(Error::TlsProtocolError)), "{sent:?}");
        }
    }

    #[tokio::test]
    async fn requests_beyond_the_stream_limit_wait() {
        // The number of concurrent requests, and its maximum.
        static RUNNING: Mutex<(usize, usize)> = Mutex::new((0, 0));
        static BOTH: Semaphore = Semaphore::const_new(0);
        let serve = |stream, number| async move {
            let service = service_fn(move |request| async move {
                {
                    let mut running = RUNNING.lock().unwrap();
                    running.0 += 1;
                    running.1 = running.1.max(running.0);
                    if running.0 == 2 {
                        BOTH.add_permits(100);
                    }
                }
                let _permit = BOTH.acquire().await.unwrap();
                let response = seen(request, number).await;
                RUNNING.lock().unwrap().0 -= 1;
                response
            });
            let _ = http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(2)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        };
        let (origin, certificate) = tls_server(&[b"h2"], serve).await;
        let client = trusting(&certificate, "");
        // The client learns the limit with the first response; earlier requests may be refused.
        BOTH.add_permits(1);
        fetch(&client, &origin).await.unwrap();
        BOTH.acquire().await.unwrap().forget();

        let calls: Vec<_> = (0..8)
            .map(|_| {
                let (client, origin) = (client.clone(), origin.clone());
                tokio::spawn(async move { fetch(&client, &origin).await })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), "HTTP/2.0 0 None");
        }
        assert_eq!(RUNNING.lock().unwrap().1, 2);
    }

    #[tokio::test]
    async fn without_pooling_each_request_opens_a_connection() {
        let (origin, certificate) = tls_server(&[b"h2"], serve_seen).await;
        let client = trusting(&certificate, "[outbound_http]\nconnection_pooling = false");
        for number in 0..3 {
            let expected = format!("HTTP/2.0 {number} None");
            assert_eq!(fetch(&client, &origin).await.unwrap(), expected);
        }
    }

    /// Starts the response to an HTTP/2 request.
    fn begin(respond: &mut h2::server::SendResponse<Bytes>) -> h2::SendStream<Bytes> {
        let mut body = respond.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::from_static(b"begun"), false).unwrap();
        body
    }

    #[tokio::test]
    async fn refused_stream_and_lost_connection_are_protocol_errors() {
        static LOST: Notify = Notify::const_new();
        let serve = |stream, _| async {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let (_, mut refused) = connection.accept().await.unwrap().unwrap();
            refused.send_reset(h2::Reason::REFUSED_STREAM);
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            let body = begin(&mut respond);
            // The connection works while it is polled.
            tokio::select! {
                _ = connection.accept() => {}
                () = LOST.notified() => {}
            }
            drop((body, connection));
        };
        let (origin, certificate) = tls_server(&[b"h2"], serve).await;
        let client = trusting(&certificate, "");
        let refused = fetch(&client, &origin).await.unwrap_err();
        assert!(matches!(refused, Error::HttpProtocolError), "{refused:?}");

        let mut body = send(&client, &origin).await.unwrap().into_body();
        let begun = body.frame().await.unwrap().unwrap();
        assert_eq!(begun.into_data().unwrap(), "begun");
        LOST.notify_one();
        let cut = body.frame().await.unwrap();
        assert!(matches!(cut, Err(Error::HttpProtocolError)), "{cut:?}");
    }

    #[tokio::test]
    async fn goaway_finishes_running_requests_and_opens_another_connection() {
        let serve = |stream, number| async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            let mut body = begin(&mut respond);
            connection.graceful_shutdown();
            let rest = Bytes::from(format!(", and ended by {number}"));
            body.send_data(rest, true).unwrap();
            while connection.accept().await.is_some() {}
        };
        let (origin, certificate) = tls_server(&[b"h2"], serve).await;
        let client = trusting(&certificate, "");
        for number in 0..2 {
            let expected = format!("begun, and ended by {number}");
            assert_eq!(fetch(&client, &origin).await.unwrap(), expected);
        }
    }
}
