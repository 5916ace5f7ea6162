//! The terminal output of the host and the component.
//!
//! A stuck reader (a pager, Ctrl-S) must not stop the service. So lines go to a bounded queue for
//! stdout or stderr, which a thread empties. If it is full, lines are dropped and counted. A closed
//! terminal is not an error.

use bytes::Bytes;
use std::fmt::Display;
use std::io::{self, Write};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The capacity of a queue: 1 MiB.
const MAX_WAITING: usize = 1 << 20;
/// How long the writer waits for more lines to write together: 10 ms.
const GATHER_TIME: Duration = Duration::from_millis(10);
/// How many waiting bytes end that wait: 64 KiB.
const MAX_GATHERED: usize = 64 << 10;
/// The longest line of the component that is not split: 64 KiB.
const MAX_LINE: usize = 64 << 10;
/// How long the host waits for its last lines to be read when it exits.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

static STDOUT: LazyLock<Arc<Queue>> = LazyLock::new(|| Queue::start("stdout", io::stdout()));
static STDERR: LazyLock<Arc<Queue>> = LazyLock::new(|| Queue::start("stderr", io::stderr()));

/// Writes a line for the operator.
pub(crate) fn log(line: impl Display) {
    STDERR.push(format!("keypool: {line}\n").as_bytes());
}

/// Writes a line to stdout, for the person or program that started the host.
pub(crate) fn announce(line: impl Display) {
    STDOUT.push(format!("{line}\n").as_bytes());
}

/// Waits until everything is written, up to a limit.
pub(crate) fn flush() {
    STDOUT.flush(FLUSH_TIMEOUT);
    STDERR.flush(FLUSH_TIMEOUT);
}

/// The stdout of an instance.
pub(crate) fn guest_stdout() -> GuestOutput {
    GuestOutput::new(Arc::clone(&STDOUT))
}

/// The stderr of an instance.
pub(crate) fn guest_stderr() -> GuestOutput {
    GuestOutput::new(Arc::clone(&STDERR))
}

/// Lines waiting to be written to one of the standard streams.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whole lines.
    waiting: Vec<u8>,
    /// Lines dropped since the last one that fit.
    dropped: u64,
    /// Whether the writer is writing.
    is_writing: bool,
}

impl Queue {
    fn start(name: &str, sink: impl Write + Send + 'static) -> Arc<Self> {
        let queue = Arc::new(Self::default());
        let writer = Arc::clone(&queue);
        // Without a thread, lines are lost, which is better than not serving.
        let _ = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || writer.write_to(sink));
        queue
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        let before = state.waiting.len();
        // After one dropped line, all are dropped, so that the count appears where they are
        // missing.
        if state.dropped > 0 || state.waiting.len() + line.len() > MAX_WAITING {
            state.dropped += 1;
        } else {
            state.waiting.extend_from_slice(line);
        }
        let has_enough = before < MAX_GATHERED && state.waiting.len() >= MAX_GATHERED;
        drop(state);
        if before == 0 || has_enough {
            self.changed.notify_all();
        }
    }

    fn flush(&self, limit: Duration) {
        let is_busy =
            |state: &mut State| state.is_writing || !state.waiting.is_empty() || state.dropped > 0;
        // On a time-out, the lines are lost.
        drop(self.changed.wait_timeout_while(self.lock(), limit, is_busy));
    }

    fn write_to(&self, mut sink: impl Write) {
        let mut lines = Vec::new();
        loop {
            lines.clear();
            let mut state = self.lock();
            state.is_writing = false;
            self.changed.notify_all();
            let is_idle = |state: &mut State| state.waiting.is_empty() && state.dropped == 0;
            state = self
                .changed
                .wait_while(state, is_idle)
                .unwrap_or_else(PoisonError::into_inner);
            let is_gathering = |state: &mut State| state.waiting.len() < MAX_GATHERED;
            (state, _) = self
                .changed
                .wait_timeout_while(state, GATHER_TIME, is_gathering)
                .unwrap_or_else(PoisonError::into_inner);
            state.is_writing = true;
            mem::swap(&mut lines, &mut state.waiting);
            let dropped = mem::take(&mut state.dropped);
            drop(state);

            if dropped > 0 {
                lines.extend_from_slice(
                    format!(
                        "keypool: {dropped} lines were dropped, since they were not read in time\n"
                    )
                    .as_bytes(),
                );
            }
            let _ = sink.write_all(&lines).and_then(|()| sink.flush());
        }
    }
}

/// An output stream of an instance. It passes on whole lines, so that lines of other instances and
/// of the host do not mix.
#[derive(Clone)]
pub(crate) struct GuestOutput(Arc<Lines>);

struct Lines {
    queue: Arc<Queue>,
    unfinished: Mutex<Vec<u8>>,
}

impl GuestOutput {
    fn new(queue: Arc<Queue>) -> Self {
        Self(Arc::new(Lines {
            queue,
            unfinished: Mutex::default(),
        }))
    }

    fn take(&self, bytes: &[u8]) {
        let Lines { queue, unfinished } = &*self.0;
        let mut unfinished = unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in piece.chunks(MAX_LINE) {
                unfinished.extend_from_slice(piece);
                if unfinished.len() >= MAX_LINE || unfinished.ends_with(b"\n") {
                    queue.push(&unfinished);
                    unfinished.clear();
                }
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let unfinished = mem::take(&mut self.unfinished);
        let mut line = unfinished
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if !line.is_empty() {
            line.push(b'\n');
            self.queue.push(&line);
        }
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_LINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A sink whose writes block until the test permits them, one by one.
    struct Gate {
        open: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.open.recv().map_err(io::Error::other)?;
            self.written
                .send(bytes.to_vec())
                .map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Arc<Queue>, Sender<()>, Receiver<Vec<u8>>) {
        let (opener, open) = channel();
        let (written, seen) = channel();
        (Queue::start("test", Gate { open, written }), opener, seen)
    }

    #[test]
    fn dropped_lines_are_counted_where_they_are_missing() {
        let (queue, open, seen) = gated();
        queue.push(b"first\n");
        // Wait until the writer has taken it and blocks.
        while !queue.lock().waiting.is_empty() {
            std::thread::yield_now();
        }
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        for _ in 0..MAX_WAITING / line.len() + 3 {
            queue.push(&line);
        }
        for _ in 0..2 {
            open.send(()).unwrap();
        }
        assert_eq!(seen.recv().unwrap(), b"first\n");
        let rest = String::from_utf8(seen.recv().unwrap()).unwrap();
        assert_eq!(rest.matches("x\n").count(), MAX_WAITING / line.len());
        assert!(
            rest.ends_with("\nkeypool: 3 lines were dropped, since they were not read in time\n"),
            "{}",
            &rest[rest.len() - 100..]
        );
    }

    #[test]
    fn lines_of_two_instances_are_not_mixed() {
        let queue = Arc::new(Queue::default());
        let (one, other) = (
            GuestOutput::new(Arc::clone(&queue)),
            GuestOutput::new(Arc::clone(&queue)),
        );
        one.take(b"on");
        other.take(b"other\nunfin");
        one.take(b"e\n");
        drop(other);
        assert_eq!(queue.lock().waiting, b"other\none\nunfin\n");
    }

    #[test]
    fn overlong_line_is_split() {
        let queue = Arc::new(Queue::default());
        let output = GuestOutput::new(Arc::clone(&queue));
        output.take(&b"x".repeat(MAX_LINE + 1));
        assert_eq!(queue.lock().waiting.len(), MAX_LINE);
    }
}
