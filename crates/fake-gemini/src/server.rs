//! The listening socket and the tasks behind it: one for all connections, one for each.

mod wire;

pub(crate) use wire::{Line, Watch};

use crate::service::{self, State};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use wire::Wire;

/// A pause after a failed accept, such as for want of file descriptors, which would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Serves until `stop` changes or its sender is gone; connections that are open then are cut off.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>, mut stop: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, Arc::clone(&state)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(ended) = connections.join_next() => {
                if let Some(payload) = ended.err().and_then(|error| error.try_into_panic().ok()) {
                    state.log.panicked("a call", &*payload);
                }
            }
        }
    }
    // Whoever sees a connection end may count on the port being free.
    drop(listener);
    state.log.stopping();
    connections.shutdown().await;
}

async fn serve_connection(stream: TcpStream, state: Arc<State>) {
    // Events have to leave one by one. A socket that is closed already says so when it is read.
    let _ = stream.set_nodelay(true);
    let (wire, line) = Wire::new(stream, Arc::clone(&state.log));
    let service =
        service_fn(|request| service::answer(Arc::clone(&state), Arc::clone(&line), request));
    // An error is a client that left or a script that broke off; the log knows which.
    let _ = http1::Builder::new()
        .title_case_headers(true)
        .serve_connection(wire, service)
        .await;
}
