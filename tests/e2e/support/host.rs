//! The host process.

use super::soon;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

const KEYPOOL: &str = "target/release/keypool";

fn built(path: &str) -> PathBuf {
    let path = Path::new(PROJECT).join(path);
    assert!(
        path.is_file(),
        "{} is missing; `cargo xtask build` makes it",
        path.display()
    );
    path
}

/// `keypool` without a terminal, and without the settings of the developer.
pub(crate) fn keypool() -> Command {
    let mut command = Command::new(built(KEYPOOL));
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The limit of an import: a million rows take half a minute on a machine with nothing else to do.
const IMPORT_PATIENCE: Duration = Duration::from_secs(240);

/// Loads a dump into the database of a host that has not started. Both hosts use the same file.
pub(super) async fn import(start: &Start, dump: &Path) {
    let import = Command::new(built(KEYPOOL))
        .current_dir(start.folder.path())
        .arg("import-sql")
        .arg(dump)
        .arg("--from")
        .arg(Path::new(PROJECT).join("spin.toml"))
        .arg("--state-dir")
        .arg(start.folder.path())
        .stdin(Stdio::null())
        .output();
    let output = tokio::time::timeout(IMPORT_PATIENCE, import).await;
    let output = output.expect("the import ends").unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
}

/// The host that runs the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostKind {
    /// `target/release/keypool`.
    Embedded,
    /// `spin` from PATH.
    Spin,
}

impl HostKind {
    /// The host in `KEYPOOL_TEST_HOST`.
    pub(crate) fn chosen() -> Self {
        match std::env::var("KEYPOOL_TEST_HOST").as_deref() {
            Err(_) | Ok("" | "embedded") => Self::Embedded,
            Ok("spin") => Self::Spin,
            Ok(other) => panic!("KEYPOOL_TEST_HOST is {other:?}; it can be embedded or spin"),
        }
    }

    fn program(self) -> PathBuf {
        built("target/wasm32-wasip2/component/gemini_keypool.wasm");
        match self {
            Self::Embedded => built(KEYPOOL),
            Self::Spin => "spin".into(),
        }
    }
}

/// The embedded host's option for the scheduler in `KEYPOOL_TEST_SCHEDULER`.
fn scheduler() -> Vec<String> {
    match std::env::var("KEYPOOL_TEST_SCHEDULER") {
        Ok(name) => vec!["--scheduler".to_owned(), name],
        Err(_) => Vec::new(),
    }
}

/// The parameters of a host.
pub(crate) struct Start {
    /// The state and working directory, in which there is no `.env` of the developer.
    pub(crate) folder: TempDir,
    /// The last of several values of a name wins.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) arguments: Vec<String>,
}

/// A running host. Dropping it kills it.
pub(crate) struct Host {
    child: Child,
    /// The host's own process group, since Spin serves in a child process.
    group: Pid,
    address: SocketAddr,
    output: Arc<Mutex<String>>,
    listening: [JoinHandle<()>; 2],
}

impl Host {
    /// Runs a host that must exit before it serves, and returns its output.
    pub(crate) async fn refuse(start: &Start) -> String {
        let output = soon("the host's end", Self::command(start).output()).await;
        let output = output.unwrap();
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    fn command(start: &Start) -> Command {
        let kind = HostKind::chosen();
        let mut command = Command::new(kind.program());
        command
            .current_dir(start.folder.path())
            .args(["up", "--listen", "127.0.0.1:0", "--from"])
            .arg(Path::new(PROJECT).join("spin.toml"))
            .arg("--state-dir")
            .arg(start.folder.path())
            .args(&start.arguments)
            .args(scheduler())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SPIN_") {
                command.env_remove(name);
            }
        }
        for (name, value) in &start.variables {
            command.env(
                format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase()),
                value,
            );
        }
        command
    }

    pub(crate) async fn start(start: &Start) -> Self {
        let mut child = match Self::command(start).spawn() {
            Ok(child) => child,
            Err(error) => panic!("{:?} cannot be started: {error}", HostKind::chosen()),
        };
        let group = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();

        let output = Arc::new(Mutex::new(String::new()));
        let (heard, mut address) = watch::channel(None);
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let listening = [
            tokio::spawn(listen(stdout, Arc::clone(&output), heard.clone())),
            tokio::spawn(listen(stderr, Arc::clone(&output), heard)),
        ];

        let announced = soon("the host's announcement", address.wait_for(Option::is_some)).await;
        let Ok(Some(address)) = announced.map(|address| *address) else {
            panic!(
                "the host ended before it served:\n{}",
                output.lock().unwrap()
            );
        };
        Self {
            child,
            group,
            address,
            output,
            listening,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The peak memory of the host's processes so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let group = self.group.as_raw_pid().to_string();
        let is_of_group = |stat: &str| {
            // The name in parentheses may contain spaces; the group is the third field after it.
            let behind = stat.rsplit_once(')').map(|(_, behind)| behind);
            behind.and_then(|fields| fields.split_ascii_whitespace().nth(2)) == Some(group.as_str())
        };
        let peak = |status: &str| -> Option<u64> {
            let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
            line.split_ascii_whitespace().nth(1)?.parse().ok()
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let peaks = processes.filter_map(|process| {
            let read = |file: &str| std::fs::read_to_string(process.path().join(file)).ok();
            read("stat").filter(|stat| is_of_group(stat))?;
            peak(&read("status")?)
        });
        peaks.sum::<u64>() * 1024
    }

    pub(crate) fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Closes the pipes that the host writes to.
    pub(crate) async fn deafen(&mut self) {
        for task in &mut self.listening {
            task.abort();
            let _ = task.await;
        }
    }

    pub(crate) async fn stop(&mut self) {
        kill_process(self.group, Signal::TERM).unwrap();
        let status = soon("the host's end", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}\n{}", self.output());
    }

    pub(crate) async fn kill(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            kill_process_group(self.group, Signal::KILL).unwrap();
        }
        soon("the host's end", self.child.wait()).await.unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // After the wait, the id may belong to another process.
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }
}

/// Collects the host's output and finds its address in it.
async fn listen(
    pipe: impl AsyncRead + Unpin,
    output: Arc<Mutex<String>>,
    address: watch::Sender<Option<SocketAddr>>,
) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let announced = line
            .split_once("Serving http://")
            .and_then(|(_, rest)| rest.trim().parse().ok());
        if announced.is_some() {
            address.send_replace(announced);
        }
        let mut output = output.lock().unwrap();
        output.push_str(&line);
        output.push('\n');
    }
}
