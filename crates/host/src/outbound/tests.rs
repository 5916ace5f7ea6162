//! Tests of the client against small servers.

use super::*;
use crate::variables::Expanded;
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

/// A server that handles each connection with `serve`, given the number of earlier ones.
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
    let request = get(&format!("http://{address}/x"));
    text(default_client().send(request, options).await?).await
}

#[tokio::test]
async fn does_not_connect_to_forbidden_host() {
    static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
    let address = server(|_, _| async {
        CONNECTIONS.fetch_add(1, Ordering::SeqCst);
    })
    .await;
    let config = RuntimeConfig::default_of_spin().unwrap();
    let client = allowing("http://127.0.0.1:1", config);
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
async fn connections_are_kept_alive_and_shared() {
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
    let client = default_client();
    for _ in 0..3 {
        let Hooks(shared) = client.hooks();
        let response = shared.send(get(&origin), RequestOptions::default()).await;
        assert_eq!(text(response.unwrap()).await.unwrap(), "connection 0");
    }
}

#[tokio::test]
async fn chunked_encoding_overrides_length() {
    let address = server(|stream, _| async {
        let both = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n\
        5\r\nwhole\r\n0\r\n\r\n";
        answer(stream, both).await;
    })
    .await;
    let origin = format!("http://{address}");
    let request = get(&format!("{origin}/x"));
    let response = default_client()
        .send(request, RequestOptions::default())
        .await;
    let response = response.unwrap();
    assert!(!response.headers().contains_key(CONTENT_LENGTH));
    assert_eq!(text(response).await.unwrap(), "whole");
}

#[tokio::test]
async fn errors_have_spins_kinds() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let unused = closed.local_addr().unwrap();
    drop(closed);
    let refused = send_to(unused, RequestOptions::default()).await;
    assert!(
        matches!(refused, Err(Error::ConnectionRefused)),
        "{refused:?}"
    );

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
        let address = server(move |stream, _| answer(stream, answered)).await;
        let sent = send_to(address, RequestOptions::default()).await;
        assert!(
            matches!(sent, Err(Error::HttpProtocolError)),
            "{what}: {sent:?}"
        );
    }

    let sent = default_client()
        .send(get("http://nowhere.invalid/"), RequestOptions::default())
        .await;
    assert!(
        matches!(sent, Err(Error::DnsError { .. })),
        "{:?}",
        sent.err()
    );
}

#[tokio::test]
async fn request_sets_its_time_outs() {
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

fn config(text: &str) -> RuntimeConfig {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runtime-config.toml");
    std::fs::write(&path, text).unwrap();
    RuntimeConfig::load(&path, "guest").unwrap()
}

#[tokio::test]
async fn connect_timeout_includes_the_wait_for_a_permit() {
    let address = server(|stream, _| async {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let client = client(config(
        "[outbound_http]\nconnection_pooling = true\nmax_connections = 1",
    ));
    let request = || get(&format!("http://{address}/"));
    // Takes the only permit.
    let mut first = Box::pin(client.clone().send(request(), RequestOptions::default()));
    assert!(futures_poll(&mut first).await.is_none());
    let soon = RequestOptions {
        connect_timeout: Some(Duration::from_millis(20)),
        ..RequestOptions::default()
    };
    let second = client.send(request(), soon).await;
    assert!(
        matches!(second, Err(Error::ConnectionTimeout)),
        "{:?}",
        second.err()
    );
}

/// Polls a future several times, until it has connected.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    timeout(Duration::from_millis(50), future).await.ok()
}

#[tokio::test]
async fn stop_fails_running_and_later_requests() {
    let stuck = server(|stream, number| async move {
        // The first gets the start of a response, the second nothing.
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nso far";
        let stream = match number {
            0 => answer(stream, head).await,
            _ => stream,
        };
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let client = default_client();
    let request = || get(&format!("http://{stuck}/"));
    let send = |client: &Client| client.clone().send(request(), RequestOptions::default());
    let mut body = send(&client).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "so far");
    let waiting = tokio::spawn(send(&client));
    let reading = tokio::spawn(async move { body.frame().await });

    client.stop.cancel();
    let is_stopping = |error: &Error| match error {
        Error::InternalError(text) => text.as_deref() == Some("the host is stopping"),
        _ => false,
    };
    let waited = waiting.await.unwrap().err().unwrap();
    assert!(is_stopping(&waited), "{waited:?}");
    let read = reading.await.unwrap().unwrap().err().unwrap();
    assert!(is_stopping(&read), "{read:?}");
    let new = send(&client).await.err().unwrap();
    assert!(is_stopping(&new), "{new:?}");
}

/// Tests with an upstream that speaks TLS.
mod tls {
    use super::*;
    use hyper::server::conn::http2;
    use std::sync::Mutex;
    use tokio::sync::Semaphore;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::server::TlsStream;

    type Stream = TlsStream<TcpStream>;

    /// A server with a certificate of its own, and the configuration of a client that trusts it.
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
        let address = server(move |stream, number| {
            let (acceptor, serve) = (acceptor.clone(), serve.clone());
            async move {
                // A client that does not trust the certificate closes the connection.
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _sent = serve(stream, number).await;
                }
            }
        })
        .await;
        (
            format!("https://localhost:{}", address.port()),
            certified.cert.pem(),
        )
    }

    /// The configuration that trusts a certificate for `localhost`.
    fn trusting(certificate: &str, more: &str) -> RuntimeConfig {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate).unwrap();
        let path = folder.path().join("runtime-config.toml");
        let text = format!(
            "{more}\n[[client_tls]]\ncomponent_ids = [\"guest\"]\nhosts = [\"localhost\"]\n\
             ca_roots_file = \"ca.pem\"\n"
        );
        std::fs::write(&path, text).unwrap();
        RuntimeConfig::load(&path, "guest").unwrap()
    }

    async fn fetch(client: &Client, url: &str) -> Result<String, Error> {
        let sent = client.clone().send(get(url), RequestOptions::default());
        text(sent.await?).await
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

    #[tokio::test]
    async fn http_2_is_used_if_offered_without_host_header() {
        let serve = |stream, number| async move {
            let service = service_fn(move |request| seen(request, number));
            let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        };
        for (offered, version) in [
            (&[&b"h2"[..], b"http/1.1"][..], "HTTP/2.0 0 None"),
            (&[b"http/1.1"], "HTTP/1.1 0 Some(\"localhost:"),
            (&[], "HTTP/1.1 0 Some(\"localhost:"),
        ] {
            let (origin, certificate) = tls_server(offered, serve).await;
            let client = client(trusting(&certificate, ""));
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
            (client(trusting(&certificate, "")), &other),
        ] {
            let sent = fetch(&client, origin).await;
            assert!(matches!(sent, Err(Error::TlsProtocolError)), "{sent:?}");
        }
    }

    #[tokio::test]
    async fn requests_beyond_the_stream_limit_wait() {
        // The maximum of concurrent requests.
        static MOST: Mutex<(usize, usize)> = Mutex::new((0, 0));
        let both = Arc::new(Semaphore::new(0));
        let serve = {
            let both = Arc::clone(&both);
            move |stream, number| {
                let both = Arc::clone(&both);
                async move {
                    let service = service_fn(move |request| {
                        let both = Arc::clone(&both);
                        async move {
                            {
                                let mut running = MOST.lock().unwrap();
                                running.0 += 1;
                                running.1 = running.1.max(running.0);
                                if running.0 == 2 {
                                    both.add_permits(100);
                                }
                            }
                            let _permit = both.acquire().await.unwrap();
                            let response = seen(request, number).await;
                            MOST.lock().unwrap().0 -= 1;
                            response
                        }
                    });
                    let _ = http2::Builder::new(TokioExecutor::new())
                        .max_concurrent_streams(2)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                }
            }
        };
        let (origin, certificate) = tls_server(&[b"h2"], serve).await;
        let client = client(trusting(&certificate, ""));
        // The client learns the limit with the first response; earlier requests may be refused.
        both.add_permits(1);
        fetch(&client, &origin).await.unwrap();
        both.acquire().await.unwrap().forget();

        let calls: Vec<_> = (0..8)
            .map(|_| {
                let (client, origin) = (client.clone(), origin.clone());
                tokio::spawn(async move { fetch(&client, &origin).await })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), "HTTP/2.0 0 None");
        }
        assert_eq!(MOST.lock().unwrap().1, 2);
    }

    #[tokio::test]
    async fn without_pooling_each_request_opens_a_connection() {
        let serve = |stream, number| async move {
            let service = service_fn(move |request| seen(request, number));
            let _ = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        };
        let (origin, certificate) = tls_server(&[b"h2"], serve).await;
        let client = client(trusting(
            &certificate,
            "[outbound_http]\nconnection_pooling = false",
        ));
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
        let lost = Arc::new(tokio::sync::Notify::new());
        let serve = {
            let lost = Arc::clone(&lost);
            move |stream, _| {
                let lost = Arc::clone(&lost);
                async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    let (_, mut refused) = connection.accept().await.unwrap().unwrap();
                    refused.send_reset(h2::Reason::REFUSED_STREAM);
                    let (_, mut respond) = connection.accept().await.unwrap().unwrap();
                    let body = begin(&mut respond);
                    // The connection works while it is polled.
                    tokio::select! {
                        _ = connection.accept() => {}
                        () = lost.notified() => {}
                    }
                    drop((body, connection));
                }
            }
        };
        let (origin, certificate) = tls_server(&[b"h2"], serve).await;
        let client = client(trusting(&certificate, ""));
        let refused = fetch(&client, &origin).await;
        assert!(
            matches!(refused, Err(Error::HttpProtocolError)),
            "{refused:?}"
        );

        let sent = client.clone().send(get(&origin), RequestOptions::default());
        let mut body = sent.await.unwrap().into_body();
        let begun = body.frame().await.unwrap().unwrap();
        assert_eq!(begun.into_data().unwrap(), "begun");
        lost.notify_one();
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
        let client = client(trusting(&certificate, ""));
        for number in 0..2 {
            let expected = format!("begun, and ended by {number}");
            assert_eq!(fetch(&client, &origin).await.unwrap(), expected);
        }
    }
}
