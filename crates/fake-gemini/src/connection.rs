//! A socket that can be reset, that reports when everything is written, and that notices when the
//! client leaves.
//!
//! hyper offers none of that: a body that fails makes it drop the connection along with what it has
//! not written yet, and it always closes politely. And while it answers, it notices the end of the
//! connection only until the first byte of a next request has arrived. So [`Socket`] reads ahead.

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// The most that is read ahead: more than any client sends before it has its answer.
const MAX_AHEAD: usize = 1024 * 1024;

/// Controls a connection from the service that answers on it.
#[derive(Debug)]
pub(crate) struct Handle {
    flushes: watch::Sender<()>,
    reset: AtomicBool,
    watched: AtomicBool,
}

impl Handle {
    /// Until the guard is dropped, the connection fails as soon as the client leaves. Not while
    /// hyper waits for a request: nothing would wake it for what has been read ahead.
    pub(crate) fn watch(self: &Arc<Self>) -> WatchGuard {
        self.watched.store(true, Ordering::SeqCst);
        WatchGuard(Arc::clone(self))
    }

    /// Makes the connection end in a reset.
    pub(crate) fn reset_when_closed(&self) {
        self.reset.store(true, Ordering::SeqCst);
    }
}

/// Watches for the client to leave while it is answered.
#[derive(Debug)]
pub(crate) struct WatchGuard(Arc<Handle>);

impl WatchGuard {
    /// Waits until hyper has written everything. Of use within a body only: hyper flushes when a
    /// body waits.
    pub(crate) async fn flushed(&self) {
        // Fails only without a sender, and that is in `self`.
        let _ = self.0.flushes.subscribe().changed().await;
    }

    /// Makes the connection end in a reset.
    pub(crate) fn reset_when_closed(&self) {
        self.0.reset_when_closed();
    }
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.0.watched.store(false, Ordering::SeqCst);
    }
}

/// The connection as hyper sees it.
pub(crate) struct Socket {
    stream: TokioIo<TcpStream>,
    /// What has been read and hyper has not asked for yet.
    ahead: BytesMut,
    handle: Arc<Handle>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> (Self, Arc<Handle>) {
        let handle = Arc::new(Handle {
            flushes: watch::Sender::new(()),
            reset: AtomicBool::new(false),
            watched: AtomicBool::new(false),
        });
        let socket = Self {
            stream: TokioIo::new(stream),
            ahead: BytesMut::new(),
            handle: Arc::clone(&handle),
        };
        (socket, handle)
    }

    /// Reads what there is. Returns an error once the client has left.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.ahead.len() < MAX_AHEAD {
            let mut space = [MaybeUninit::uninit(); 4096];
            let mut buffer = ReadBuf::uninit(&mut space);
            let stream = Pin::new(&mut self.stream);
            match ready!(stream.poll_read(cx, buffer.unfilled())) {
                Ok(()) if buffer.filled().is_empty() => {
                    return Poll::Ready(io::ErrorKind::ConnectionAborted.into());
                }
                Ok(()) => self.ahead.extend_from_slice(buffer.filled()),
                Err(error) => return Poll::Ready(error),
            }
        }
        Poll::Pending
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
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..count]);
            self.ahead.advance(count);
            return Poll::Ready(Ok(()));
        }
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
        // hyper flushes after it has written all that it held, and each time it becomes idle.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.handle.flushes.send_replace(());
            if self.handle.watched.load(Ordering::SeqCst)
                && let Poll::Ready(gone) = self.poll_gone(cx)
            {
                return Poll::Ready(Err(gone));
            }
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
