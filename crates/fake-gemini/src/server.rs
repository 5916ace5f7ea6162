//! The listening socket, and a task per connection.

use crate::connection::Socket;
use crate::service::{self, State};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The pause after a failed accept, such as for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Serves until `stop` changes or its sender is gone; then it cuts open connections off.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>, mut stop: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    state.log.connection_accepted();
                    connections.spawn(serve_connection(stream, Arc::clone(&state)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(ended) = connections.join_next() => {
                if let Some(payload) = ended.err().and_then(|error| error.try_into_panic().ok()) {
                    state.log.panicked(&*payload);
                }
            }
        }
    }
    // Before the connections: a client that sees its connection end may rely on the port.
    drop(listener);
    connections.shutdown().await;
}

async fn serve_connection(stream: TcpStream, state: Arc<State>) {
    // Events have to leave one by one. A closed socket reports that when it is read.
    let _ = stream.set_nodelay(true);
    let (socket, handle) = Socket::new(stream);
    let service =
        service_fn(|request| service::answer(Arc::clone(&state), Arc::clone(&handle), request));
    // An error is a client that left or a reply that broke off, which the log knows.
    let _ = http1::Builder::new()
        .title_case_headers(true)
        .serve_connection(socket, service)
        .await;
}
