//! Lines for whoever reads along, which nobody has to.
//!
//! Writing blocks when the reader does not keep up, such as a pipe that is never read. It is left to a thread of its
//! own, and what does not fit into the queue before it is dropped and counted: answering goes on.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::sync::oneshot;

/// Lines that may wait to be written. Whoever reads at all is not that far behind.
const QUEUE: usize = 1024;

/// Where lines go in.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    queue: SyncSender<String>,
    dropped: Arc<AtomicU64>,
}

impl Lines {
    /// Lines that go to `out`, and what completes when all are written after the last handle is gone. That may be
    /// never.
    pub(crate) fn new(out: impl Write + Send + 'static) -> (Self, oneshot::Receiver<()>) {
        let (queue, lines) = sync_channel(QUEUE);
        let (done, written) = oneshot::channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        std::thread::spawn(move || {
            write(out, &lines, &count);
            // Nobody has to wait for it.
            let _ = done.send(());
        });
        (Self { queue, dropped }, written)
    }

    /// Never blocks.
    pub(crate) fn push(&self, line: String) {
        if self.queue.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn write(mut out: impl Write, lines: &Receiver<String>, dropped: &AtomicU64) {
    // What cannot be written is lost, as if nobody read it.
    for line in lines {
        let _ = writeln!(out, "{line}");
        let lost = dropped.swap(0, Ordering::SeqCst);
        if lost > 0 {
            let _ = writeln!(
                out,
                "(about here, {lost} lines were dropped: nobody read them)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    /// Waits with each write until it may go on, and tells that it waits.
    struct Pipe {
        text: Arc<Mutex<String>>,
        waits: Sender<()>,
        goes_on: Receiver<()>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.waits.send(());
            let _ = self.goes_on.recv();
            self.text
                .lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(bytes));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_nobody_reads_is_dropped_and_counted() {
        let text = Arc::new(Mutex::new(String::new()));
        let (waits, waiting) = channel();
        let (go_on, goes_on) = channel();
        let (lines, written) = Lines::new(Pipe {
            text: Arc::clone(&text),
            waits,
            goes_on,
        });
        lines.push("first".to_owned());
        waiting.recv().unwrap();
        for number in 0..QUEUE + 3 {
            lines.push(number.to_string());
        }
        // From now on it never waits again.
        drop(go_on);
        drop(lines);
        written.await.unwrap();
        let text = text.lock().unwrap();
        let begin = "first\n(about here, 3 lines were dropped: nobody read them)\n0\n1\n";
        assert!(text.starts_with(begin), "{text}");
        assert!(text.ends_with(&format!("\n{}\n", QUEUE - 1)), "{text}");
    }
}
