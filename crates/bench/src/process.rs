//! The programs that a case needs, each a process: started, measured from outside, stopped or killed.

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// How long a program may take to say where it listens: compiling a component takes seconds.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end.
const END: Duration = Duration::from_secs(30);
/// How often memory is looked at.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);

/// A program that serves. Dropping it kills it.
pub(crate) struct Process {
    name: String,
    child: Child,
    group: Pid,
    address: SocketAddr,
    output: Arc<Mutex<String>>,
}

impl Process {
    /// Starts `command`, and waits until it says that it serves.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let (mut process, address) = Self::spawn(name, command)?;
        match address.recv_timeout(START) {
            Ok(address) => process.address = address,
            Err(_) => bail!("{name} does not serve:\n{}", process.output()),
        }
        Ok(process)
    }

    /// Starts `command`, which is to serve at an address, and waits until it does.
    pub(crate) fn start_at(name: &str, command: &mut Command, address: SocketAddr) -> Result<Self> {
        let (mut process, _) = Self::spawn(name, command)?;
        process.address = address;
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            let has_ended = process.child.try_wait()?.is_some();
            if has_ended || Instant::now() > deadline {
                bail!("{name} does not serve:\n{}", process.output());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(process)
    }

    fn spawn(name: &str, command: &mut Command) -> Result<(Self, mpsc::Receiver<SocketAddr>)> {
        for (variable, _) in std::env::vars_os() {
            // What the caller has set for a pool of their own is not for this one.
            if variable.to_string_lossy().starts_with("SPIN_VARIABLE_") {
                let is_set = command.get_envs().any(|(set, _)| set == variable);
                if !is_set {
                    command.env_remove(variable);
                }
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let group = group.context("a process without a number")?;
        let output = Arc::new(Mutex::new(String::new()));
        let (heard, address) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            listen(pipe, Arc::clone(&output), heard.clone());
        }
        if let Some(pipe) = child.stderr.take() {
            listen(pipe, Arc::clone(&output), heard);
        }
        let process = Self {
            name: name.to_owned(),
            child,
            group,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            output,
        };
        Ok((process, address))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has written so far.
    pub(crate) fn output(&self) -> String {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.clone()
    }

    /// A look at it and its children from outside.
    pub(crate) fn watch(&self) -> Result<Watch> {
        let root = sysinfo::Pid::from_u32(self.child.id());
        let mut system = System::new().context("this system does not tell what processes use")?;
        system.refresh_processes_specifics(
            ProcessesToUpdate::All,
            true,
            ProcessRefreshKind::nothing(),
        );
        let mut family = vec![root];
        // A child comes after its parent in no order that is promised.
        loop {
            let more: Vec<sysinfo::Pid> = system
                .processes()
                .iter()
                .filter(|(pid, process)| {
                    !family.contains(pid)
                        && process.thread_kind().is_none()
                        && process
                            .parent()
                            .is_some_and(|parent| family.contains(&parent))
                })
                .map(|(pid, _)| *pid)
                .collect();
            if more.is_empty() {
                break;
            }
            family.extend(more);
        }
        Ok(Watch { system, family })
    }

    /// Ends it in an orderly way, and gives all that it has written.
    pub(crate) fn stop(mut self) -> Result<String> {
        kill_process_group(self.group, Signal::TERM)
            .with_context(|| format!("{} cannot be stopped", self.name))?;
        let deadline = Instant::now() + END;
        while self.child.try_wait()?.is_none() {
            ensure!(
                Instant::now() < deadline,
                "{} does not end:\n{}",
                self.name,
                self.output()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(self.output())
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        // Once it has been waited for, its number may be somebody else's.
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

fn listen(
    pipe: impl Read + Send + 'static,
    output: Arc<Mutex<String>>,
    heard: mpsc::Sender<SocketAddr>,
) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let address = ["Serving http://", "Listening http://"]
                .iter()
                .find_map(|words| line.split_once(words)?.1.trim().parse().ok());
            if let Some(address) = address {
                // Nobody asks any more once one is known.
                let _ = heard.send(address);
            }
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            output.push_str(&line);
            output.push('\n');
        }
    });
}

/// What a process and its children use.
pub(crate) struct Watch {
    system: System,
    family: Vec<sysinfo::Pid>,
}

/// Taken at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Processor time since the start.
    pub(crate) cpu: Duration,
    /// Resident memory, in bytes.
    pub(crate) memory: u64,
}

impl Watch {
    pub(crate) fn usage(&mut self) -> Usage {
        self.system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&self.family),
            false,
            ProcessRefreshKind::nothing().with_cpu().with_memory(),
        );
        let processes = self
            .family
            .iter()
            .filter_map(|pid| self.system.process(*pid));
        processes.fold(Usage::default(), |sum, process| Usage {
            cpu: sum.cpu + Duration::from_millis(process.accumulated_cpu_time()),
            memory: sum.memory + process.memory(),
        })
    }

    /// Looks from time to time until it is told to stop.
    pub(crate) fn sample(mut self) -> Sampler {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let began = Instant::now();
        let first = self.usage();
        let thread = std::thread::spawn(move || {
            let mut memory = vec![(Duration::ZERO, first.memory)];
            loop {
                let ends = stopped.load(Ordering::SeqCst);
                let now = self.usage();
                memory.push((began.elapsed(), now.memory));
                if ends {
                    let cpu = now.cpu.saturating_sub(first.cpu);
                    return Sampled { cpu, memory };
                }
                std::thread::park_timeout(SAMPLE_INTERVAL);
            }
        });
        Sampler { stop, thread }
    }
}

/// A watch that goes on by itself.
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Sampled>,
}

/// What was used meanwhile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sampled {
    pub(crate) cpu: Duration,
    /// Resident memory over time, in bytes.
    pub(crate) memory: Vec<(Duration, u64)>,
}

impl Sampled {
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory
            .iter()
            .map(|(_, bytes)| *bytes)
            .max()
            .unwrap_or_default()
    }
}

impl Sampler {
    pub(crate) fn finish(self) -> Result<Sampled> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        match self.thread.join() {
            Ok(sampled) => Ok(sampled),
            Err(_) => bail!("the watch on a process has failed"),
        }
    }
}
