//! A child process that serves until it is stopped.
//!
//! It has a process group of its own. The terminal sends Ctrl-C to a whole group, so the child
//! would get it in addition to the SIGTERM from here, and some programs then stop without grace. To
//! stop when this process is killed, it is [`tied`] to it.

use super::tied;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often a stopping child is polled.
const TICK: Duration = Duration::from_millis(20);
/// How long to wait for a child's last output after its exit; a grandchild can hold the pipe open.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

/// How a child exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// With an exit code.
    Code(u8),
    /// By a signal.
    Killed(i32),
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match status.code() {
            // A Unix exit code has eight bits.
            Some(code) => Self::Code(u8::try_from(code).unwrap_or(1)),
            None => Self::Killed(status.signal().unwrap_or_default()),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Killed(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A running child. Dropping it kills it.
pub(super) struct Service {
    child: Child,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Service {
    /// Starts `command` with its output passed through; `parse`d lines arrive at the receiver.
    pub(super) fn start<T: Send + 'static>(
        name: &str,
        command: Command,
        parse: fn(&str) -> Option<T>,
    ) -> Result<(Self, Receiver<T>)> {
        let (sender, receiver) = channel();
        let mut child = tied::tie(&command)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let sender = sender.clone();
            readers.push(thread::spawn(move || {
                pass_on(stdout, std::io::stdout(), &sender, parse);
            }));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(thread::spawn(move || {
                pass_on(stderr, std::io::stderr(), &sender, parse);
            }));
        }
        Ok((Self { child, readers }, receiver))
    }

    /// How it exited, if it did; all its output has been passed on then.
    pub(super) fn ended(&mut self) -> Result<Option<Ended>> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(None);
        };
        let since = Instant::now();
        while since.elapsed() < LAST_OUTPUT && self.readers.iter().any(|it| !it.is_finished()) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Some(status.into()))
    }

    /// Sends SIGTERM, and SIGKILL after `grace` or once `now` returns true.
    pub(super) fn stop(&mut self, grace: Duration, now: impl Fn() -> bool) -> Result<Ended> {
        let asked = Instant::now();
        if self.ended()?.is_none() {
            // A child that was not waited for keeps its id, so this cannot reach another process.
            kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        }
        loop {
            if let Some(ended) = self.ended()? {
                return Ok(ended);
            }
            if asked.elapsed() >= grace || now() {
                self.kill()?;
            }
            thread::sleep(TICK);
        }
    }

    /// Kills it and its children, such as the process that serves for `spin`.
    fn kill(&self) -> Result<()> {
        Ok(kill_process_group(
            Pid::from_child(&self.child),
            Signal::KILL,
        )?)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Once it has been waited for, its id may belong to another process.
        if let Ok(None) = self.child.try_wait() {
            let _ = self.kill();
            let _ = self.child.wait();
        }
    }
}

/// Copies line by line. If the terminal is closed, it reads on, so as not to block the child.
fn pass_on<T>(
    from: impl Read,
    mut to: impl Write,
    sender: &Sender<T>,
    parse: fn(&str) -> Option<T>,
) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let _ = to.write_all(&line).and_then(|()| to.flush());
        if let Some(message) = parse(&String::from_utf8_lossy(&line)) {
            // The receiver may be gone.
            let _ = sender.send(message);
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_copied_byte_for_byte_and_parsed() {
        let written = b"one\n\xff two\nSERVING\nwithout end";
        let (sender, receiver) = channel();
        let mut passed = Vec::new();
        pass_on(&written[..], &mut passed, &sender, |line| {
            line.contains("SERVING").then(|| line.trim().to_owned())
        });
        assert_eq!(passed, written);
        drop(sender);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), ["SERVING"]);
    }

    #[test]
    fn exit_is_a_code_or_a_signal() {
        let end = |script: &str| {
            let status = Command::new("sh").args(["-c", script]).status().unwrap();
            Ended::from(status)
        };
        assert_eq!(end("exit 0"), Ended::Code(0));
        assert_eq!(end("exit 7"), Ended::Code(7));
        assert_eq!(end("kill -9 $$"), Ended::Killed(9));
    }
}
