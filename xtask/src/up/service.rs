//! A child that serves until it is told to stop.
//!
//! It runs in a process group of its own: the terminal sends Ctrl-C to a whole group, and the child would get it in
//! addition to the SIGTERM from here, which some programs take for impatience. So that it is not left behind instead
//! when this process is killed, it is [`tied`] to it.

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

/// How often a child that was told to stop is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How long the last of a child's output may take to arrive after its end. A grandchild can hold the pipe open.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// With this exit code.
    Code(u8),
    /// By this signal.
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
    /// Starts `command` with its output passed through. What `heed` makes of its lines arrives at the receiver.
    pub(super) fn start<T: Send + 'static>(
        name: &str,
        command: Command,
        heed: fn(&str) -> Option<T>,
    ) -> Result<(Self, Receiver<T>)> {
        let (heard, hears) = channel();
        let mut child = tied::tie(&command)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let heard = heard.clone();
            readers.push(thread::spawn(move || {
                pass_on(stdout, std::io::stdout(), &heard, heed);
            }));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(thread::spawn(move || {
                pass_on(stderr, std::io::stderr(), &heard, heed);
            }));
        }
        Ok((Self { child, readers }, hears))
    }

    /// How it ended, if it did. All that it wrote has been passed on then.
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

    /// Asks it to end, and kills it after `grace` or when `now` says so.
    pub(super) fn stop(&mut self, grace: Duration, now: impl Fn() -> bool) -> Result<Ended> {
        let asked = Instant::now();
        if self.ended()?.is_none() {
            // A child that is not waited for keeps its id, so this cannot reach anybody else.
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

    /// Kills it and what it started, such as the process that serves for `spin`.
    fn kill(&self) -> Result<()> {
        Ok(kill_process_group(
            Pid::from_child(&self.child),
            Signal::KILL,
        )?)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Once it has been waited for, its id may be somebody else's.
        if let Ok(None) = self.child.try_wait() {
            let _ = self.kill();
            let _ = self.child.wait();
        }
    }
}

/// Copies line by line until the end. A closed terminal must not block the child, so that reading goes on.
fn pass_on<T>(from: impl Read, mut to: impl Write, heard: &Sender<T>, heed: fn(&str) -> Option<T>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let _ = to.write_all(&line).and_then(|()| to.flush());
        if let Some(message) = heed(&String::from_utf8_lossy(&line)) {
            // Nobody waits any more.
            let _ = heard.send(message);
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_passed_on_byte_for_byte_and_heeded() {
        let written = b"one\n\xff two\nSERVING\nwithout end";
        let (heard, hears) = channel();
        let mut passed = Vec::new();
        pass_on(&written[..], &mut passed, &heard, |line| {
            line.contains("SERVING").then(|| line.trim().to_owned())
        });
        assert_eq!(passed, written);
        drop(heard);
        assert_eq!(hears.iter().collect::<Vec<_>>(), ["SERVING"]);
    }

    #[test]
    fn an_end_is_a_code_or_a_signal() {
        let end = |script: &str| {
            let status = Command::new("sh").args(["-c", script]).status().unwrap();
            Ended::from(status)
        };
        assert_eq!(end("exit 0"), Ended::Code(0));
        assert_eq!(end("exit 7"), Ended::Code(7));
        assert_eq!(end("kill -9 $$"), Ended::Killed(9));
    }
}
