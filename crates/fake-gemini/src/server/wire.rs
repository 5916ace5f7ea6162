//! A socket that can be reset, that tells when everything has gone out, and that notices when the client leaves.
//!
//! hyper has none of that: a body that fails makes it drop the connection along with what it has not written yet, and
//! closing is always polite. Both are needed to break off exactly after a given event. And while it answers, it looks
//! for the connection's end only as long as it holds nothing of a next request: one byte too many, such as a line
//! feed, and a client that leaves goes unnoticed. So [`Wire`] reads ahead on its own.

use crate::log::Log;
use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// So much is read ahead: more than any client sends before it has its answer.
const MAX_AHEAD: usize = 1024 * 1024;

/// What those who answer on a connection may do to it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) number: u64,
    flushes: watch::Sender<()>,
    reset: AtomicBool,
    watched: AtomicBool,
}

impl Line {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            flushes: watch::Sender::new(()),
            reset: AtomicBool::new(false),
            watched: AtomicBool::new(false),
        }
    }

    /// Until the [`Watch`] is dropped, the connection fails as soon as the client leaves. Not for the time in which
    /// hyper waits for a request: nothing would tell it of what has been read ahead.
    pub(crate) fn watch(self: &Arc<Self>) -> Watch {
        self.watched.store(true, Ordering::SeqCst);
        Watch(Arc::clone(self))
    }

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

/// A line on which somebody is answering.
#[derive(Debug)]
pub(crate) struct Watch(Arc<Line>);

impl Deref for Watch {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.0
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watched.store(false, Ordering::SeqCst);
    }
}

/// The connection as hyper sees it.
pub(super) struct Wire {
    stream: TokioIo<TcpStream>,
    /// What has been read and hyper has not asked for yet.
    ahead: BytesMut,
    line: Arc<Line>,
    log: Arc<Log>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, log: Arc<Log>) -> (Self, Arc<Line>) {
        let line = Arc::new(Line::new(log.connection_opened()));
        let wire = Self {
            stream: TokioIo::new(stream),
            ahead: BytesMut::new(),
            line: Arc::clone(&line),
            log,
        };
        (wire, line)
    }

    /// Reads what there is. The error says that the client has left; `Pending`, that it has not, and that this is to
    /// be asked again when the task is woken.
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
            // And it comes here each time that it has nothing else to do.
            if self.line.watched.load(Ordering::SeqCst)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::task::Waker;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn it_reads_ahead_while_it_is_watched_and_at_no_other_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (mut wire, line) = Wire::new(stream, Arc::new(Log::new(0, None)));
        let flush =
            |wire: &mut Wire| Pin::new(wire).poll_flush(&mut Context::from_waker(Waker::noop()));

        client.write_all(b"a").await.unwrap();
        wire.stream.inner().readable().await.unwrap();
        assert!(matches!(flush(&mut wire), Poll::Ready(Ok(()))));
        assert_eq!(&wire.ahead[..], b"");
        let watch = line.watch();
        assert!(matches!(flush(&mut wire), Poll::Ready(Ok(()))));
        assert_eq!(&wire.ahead[..], b"a");
        drop(watch);
        client.write_all(b"b").await.unwrap();
        drop(client);
        wire.stream.inner().readable().await.unwrap();
        assert!(matches!(flush(&mut wire), Poll::Ready(Ok(()))));
        assert_eq!(&wire.ahead[..], b"a");
        let _watch = line.watch();
        let gone = poll_fn(|cx| match Pin::new(&mut wire).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            // It has asked to be woken when there is more to read.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        });
        assert_eq!(gone.await.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(&wire.ahead[..], b"ab");
    }
}
