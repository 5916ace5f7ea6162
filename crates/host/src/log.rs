//! What the host and the component write to the terminal.
//!
//! A reader that stops reading (a stuck pager, Ctrl-S) must not stop the service, so nobody writes to stdout or stderr
//! directly: lines go into a bounded queue, which a thread of its own empties. When a queue is full, lines are dropped
//! and counted. A closed terminal is no error.

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

/// How many bytes wait for a reader: 1 MiB.
const MAX_WAITING: usize = 1 << 20;
/// The longest line of the component's that is kept in one piece: 64 KiB.
const MAX_LINE: usize = 64 << 10;
/// How long the host waits for its last lines to be read when it ends.
const LAST_LINES: Duration = Duration::from_secs(1);

static STDOUT: LazyLock<Arc<Queue>> = LazyLock::new(|| Queue::start("stdout", io::stdout()));
static STDERR: LazyLock<Arc<Queue>> = LazyLock::new(|| Queue::start("stderr", io::stderr()));

/// Writes a line for the operator.
pub(crate) fn log(line: impl Display) {
    STDERR.push(format!("keypool: {line}\n").as_bytes());
}

/// Writes a line for whoever started the host, a person or a program.
pub(crate) fn announce(line: impl Display) {
    STDOUT.push(format!("{line}\n").as_bytes());
}

/// Waits until everything is written, or for a second if nobody reads.
pub(crate) fn flush() {
    STDOUT.flush(LAST_LINES);
    STDERR.flush(LAST_LINES);
}

/// The stdout of an instance.
pub(crate) fn guest_stdout() -> GuestOutput {
    GuestOutput::new(Arc::clone(&STDOUT))
}

/// The stderr of an instance.
pub(crate) fn guest_stderr() -> GuestOutput {
    GuestOutput::new(Arc::clone(&STDERR))
}

/// Lines on their way to one of the standard streams.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whole lines.
    waiting: Vec<u8>,
    /// Lines that found no room since the last that did.
    dropped: u64,
    /// Whether the writer is at work.
    is_writing: bool,
}

impl Queue {
    fn start(name: &str, sink: impl Write + Send + 'static) -> Arc<Self> {
        let queue = Arc::new(Self::default());
        let writer = Arc::clone(&queue);
        // Without a thread the lines are lost, which beats not serving.
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
        // Once a line is dropped the next ones are, too, so that the count stands where they are missing.
        if state.dropped > 0 || state.waiting.len() + line.len() > MAX_WAITING {
            state.dropped += 1;
        } else {
            state.waiting.extend_from_slice(line);
        }
        drop(state);
        self.changed.notify_all();
    }

    fn flush(&self, limit: Duration) {
        let is_busy =
            |state: &mut State| state.is_writing || !state.waiting.is_empty() || state.dropped > 0;
        // Nobody is told about lines that nobody reads.
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
            state.is_writing = true;
            mem::swap(&mut lines, &mut state.waiting);
            let dropped = mem::take(&mut state.dropped);
            drop(state);

            if dropped > 0 {
                lines.extend_from_slice(
                    format!("keypool: {dropped} lines were not written, since they were not read in time\n")
                        .as_bytes(),
                );
            }
            let _ = sink.write_all(&lines).and_then(|()| sink.flush());
        }
    }
}

/// One of an instance's two output streams. Its bytes are passed on by whole lines, so that those of other instances and
/// of the host do not get in between.
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

    /// A sink whose writes wait until the test lets them through, one by one.
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
    fn lines_that_find_no_room_are_counted_where_they_are_missing() {
        let (queue, open, seen) = gated();
        queue.push(b"first\n");
        // Until the writer has taken it, and waits for a reader.
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
            rest.ends_with(
                "\nkeypool: 3 lines were not written, since they were not read in time\n"
            ),
            "{}",
            &rest[rest.len() - 100..]
        );
    }

    #[test]
    fn output_of_two_instances_is_not_mixed_within_a_line() {
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
    fn a_line_without_end_is_passed_on_in_pieces() {
        let queue = Arc::new(Queue::default());
        let output = GuestOutput::new(Arc::clone(&queue));
        output.take(&b"x".repeat(MAX_LINE + 1));
        assert_eq!(queue.lock().waiting.len(), MAX_LINE);
    }
}
