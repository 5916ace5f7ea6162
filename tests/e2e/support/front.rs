//! A front end like Google's: it speaks TLS and HTTP/2 and forwards every stream to the fake
//! Gemini.

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::PrivateKeyDer;
use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

type Client = legacy::Client<HttpConnector, Full<Bytes>>;

/// A running front end.
pub(crate) struct Front {
    port: u16,
    certificate: String,
    shared: Arc<Shared>,
}

struct Shared {
    behind: SocketAddr,
    client: Client,
    max_streams: u32,
    connections: AtomicUsize,
    refusals: AtomicUsize,
}

impl Front {
    /// Starts a front end for an HTTP server, with a limit of concurrent streams per connection.
    pub(super) async fn start(behind: SocketAddr, max_streams: u32) -> Self {
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            behind,
            client: legacy::Client::builder(TokioExecutor::new()).build_http(),
            max_streams,
            connections: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&accepting));
                // Broken connections are handled by the peer.
                tokio::spawn(async move { serve(&acceptor, stream, shared).await.ok() });
            }
        });
        Self {
            port,
            certificate: certified.cert.pem(),
            shared,
        }
    }

    /// `https://localhost:PORT`.
    pub(super) fn origin(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Writes a runtime configuration that makes the host trust the front end's certificate.
    pub(super) fn runtime_config(&self, folder: &Path) -> PathBuf {
        std::fs::write(folder.join("ca.pem"), &self.certificate).unwrap();
        let path = folder.join("runtime-config.toml");
        let text = "[[client_tls]]\ncomponent_ids = [\"gemini-keypool\"]\nhosts = [\"localhost\"]\nca_roots_file = \"ca.pem\"\n";
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Refuses the next streams without reading them.
    pub(crate) fn refuse(&self, streams: usize) {
        self.shared.refusals.store(streams, Ordering::SeqCst);
    }

    /// The number of streams that are still to be refused.
    pub(crate) fn refusals_left(&self) -> usize {
        self.shared.refusals.load(Ordering::SeqCst)
    }

    /// The number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

async fn serve(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    shared: Arc<Shared>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let stream = acceptor.accept(stream).await?;
    shared.connections.fetch_add(1, Ordering::SeqCst);
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(shared.max_streams)
        .handshake::<_, Bytes>(stream)
        .await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        let one_less = |left: usize| left.checked_sub(1);
        let order = Ordering::SeqCst;
        if shared.refusals.fetch_update(order, order, one_less).is_ok() {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move { forward(&shared, request, respond).await.ok() });
    }
    Ok(())
}

async fn forward(
    shared: &Shared,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (mut head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = format!("http://{}{path}", shared.behind).parse::<Uri>()?;
    head.version = http::Version::HTTP_11;
    let forwarded = Request::from_parts(head, Full::new(Bytes::from(bytes)));

    let (mut head, mut body) = shared.client.request(forwarded).await?.into_parts();
    head.version = http::Version::HTTP_2;
    head.headers.remove(CONNECTION);
    head.headers.remove(TRANSFER_ENCODING);
    let mut answer = respond.send_response(Response::from_parts(head, ()), false)?;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            answer.send_data(data, false)?;
        }
    }
    answer.send_data(Bytes::new(), true)?;
    Ok(())
}
