//! A socket that can be reset and that reports when everything is written.
//!
//! hyper offers neither: a body that fails makes it drop the connection along with what it has not
//! written yet, and it always closes politely.

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Controls a connection from the service that answers on it.
#[derive(Debug, Default)]
pub(crate) struct Handle {
    flushes: watch::Sender<()>,
    reset: AtomicBool,
}

impl Handle {
    /// Waits until hyper has written everything. Works within a body only: hyper flushes when a
    /// body waits.
    pub(crate) async fn flushed(&self) {
        // Fails only without a sender, and that is `self`.
        let _ = self.flushes.subscribe().changed().await;
    }

    /// Makes the connection end in a reset.
    pub(crate) fn reset_when_closed(&self) {
        self.reset.store(true, Ordering::SeqCst);
    }
}

/// The connection as hyper sees it.
pub(crate) struct Socket {
    stream: TokioIo<TcpStream>,
    handle: Arc<Handle>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> (Self, Arc<Handle>) {
        let handle = Arc::<Handle>::default();
        let socket = Self {
            stream: TokioIo::new(stream),
            handle: Arc::clone(&handle),
        };
        (socket, handle)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.handle.reset.load(Ordering::SeqCst) {
            // Closing without lingering resets. It fails if the connection is gone already.
            let _ = self.stream.inner().set_zero_linger();
        }
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes after it has written all that it held.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.handle.flushes.send_replace(());
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
