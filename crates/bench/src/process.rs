//! Child processes that serve: start, CPU time and memory, stop and kill.

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// How long a program may take to report its address; compiling a component takes seconds.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// `/proc` counts CPU time in these, on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// A program that serves, in a process group of its own. Dropping it kills it.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    group: Pid,
    address: SocketAddr,
    output: Arc<Mutex<String>>,
}

impl Process {
    /// Starts `command` and waits until it reports its address.
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        for (variable, _) in std::env::vars_os() {
            let is_callers = variable.to_string_lossy().starts_with("SPIN_VARIABLE_");
            if is_callers && !command.get_envs().any(|(set, _)| set == variable) {
                command.env_remove(variable);
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let output = Arc::default();
        let (sender, address) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            collect(pipe, Arc::clone(&output), sender.clone());
        }
        if let Some(pipe) = child.stderr.take() {
            collect(pipe, Arc::clone(&output), sender);
        }
        let mut process = Self {
            name,
            group: Pid::from_child(&child),
            child,
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            output,
        };
        match address.recv_timeout(START_TIMEOUT) {
            Ok(address) => process.address = address,
            Err(_) => bail!("{name} does not serve:\n{}", process.output()),
        }
        Ok(process)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that it has written so far.
    pub(crate) fn output(&self) -> String {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.clone()
    }

    /// The CPU time since its start; `None` where there is no `/proc`.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        cpu_time(&self.proc_file("stat")?)
    }

    /// The most resident memory, in bytes; `None` where there is no `/proc`.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        peak_memory(&self.proc_file("status")?)
    }

    fn proc_file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).ok()
    }

    /// Stops it with SIGTERM and returns everything that it has written.
    pub(crate) fn stop(mut self) -> Result<String> {
        kill_process_group(self.group, Signal::TERM)
            .with_context(|| format!("cannot stop {}", self.name))?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.child.try_wait()?.is_none() {
            ensure!(
                Instant::now() < deadline,
                "{} does not stop:\n{}",
                self.name,
                self.output()
            );
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(self.output())
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        // Once it has been waited for, its id may belong to another process.
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process_group(self.group, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads the output line by line, and sends the address that a line reports.
fn collect(
    pipe: impl Read + Send + 'static,
    output: Arc<Mutex<String>>,
    sender: mpsc::Sender<SocketAddr>,
) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let address = ["Serving http://", "Listening http://"]
                .iter()
                .find_map(|words| line.split_once(words)?.1.trim().parse().ok());
            if let Some(address) = address {
                // The receiver is dropped once it has one.
                let _ = sender.send(address);
            }
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            output.push_str(&line);
            output.push('\n');
        }
    });
}

/// `utime` and `stime` of `/proc/PID/stat`.
fn cpu_time(stat: &str) -> Option<Duration> {
    // The second field is the program's name, in parentheses, and may contain spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u32>().ok();
    Some(TICK * (ticks(11)? + ticks(12)?))
}

/// `VmHWM` of `/proc/PID/status`.
fn peak_memory(status: &str) -> Option<u64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_and_peak_memory_are_read_from_proc() {
        let stat = "7 (a name) S 1 7 7 0 -1 4194304 9 0 0 0 250 50 0 0 20 0 1 0 5 9 9";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_time("7 (x) S 1"), None);
        assert_eq!(
            peak_memory("VmPeak:\t9 kB\nVmHWM:\t   12 kB\n"),
            Some(12_288)
        );
        assert_eq!(peak_memory("VmPeak:\t9 kB\n"), None);
    }
}
