//! A socket that can be reset, and that tells when everything has gone out.
//!
//! hyper has neither: a body that fails makes it drop the connection along with what it has not written yet, and
//! closing is always polite. Both are needed to break off exactly after a given event.

use crate::log::Log;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// What those who answer on a connection may do to it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) number: u64,
    flushes: watch::Sender<()>,
    reset: AtomicBool,
}

impl Line {
    /// Waits until hyper has handed everything to the system. Only of use within a body: hyper flushes when that
    /// waits.
    pub(crate) async fn flushed(&self) {
        // Fails only without a sender, and that is `self`.
        let _ = self.flushes.subscribe().changed().await;
    }

    /// The connection's end will be a reset.
    pub(crate) fn reset_when_closed(&self) {
        self.reset.store(true, Ordering::SeqCst);
    }
}

/// The connection as hyper sees it.
pub(super) struct Wire {
    stream: TokioIo<TcpStream>,
    line: Arc<Line>,
    log: Arc<Log>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, log: Arc<Log>) -> (Self, Arc<Line>) {
        let line = Arc::new(Line {
            number: log.connection_opened(),
            flushes: watch::Sender::new(()),
            reset: AtomicBool::new(false),
        });
        let wire = Self {
            stream: TokioIo::new(stream),
            line: Arc::clone(&line),
            log,
        };
        (wire, line)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.line.reset.load(Ordering::SeqCst) {
            // Closing without lingering is how TCP spells a reset. It fails on a connection that is gone already.
            let _ = self.stream.inner().set_zero_linger();
        }
        self.log.connection_closed();
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper comes here only after it has written all that it held.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.line.flushes.send_replace(());
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
