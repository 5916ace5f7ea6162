//! A running pool, or the component that only forwards, in the embedded host.

use crate::build::Build;
use crate::process::Process;
use crate::upstream;
use anyhow::{Context, Result, bail};
use rusqlite::Connection;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The client token of the pool.
pub(crate) const TOKEN: &str = "not-a-real-token-of-the-benchmark";
/// The path of chat completions in the upstream.
pub(crate) const UPSTREAM_PATH: &str = "/v1beta/openai/chat/completions";

/// How long the pool may take until it has created its tables, and until it sees its keys.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A running component.
pub(crate) struct Service {
    pub(crate) process: Process,
    folder: TempDir,
    component: Component,
    /// The length of its output when it became ready.
    ready_at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Component {
    Bare,
    Pool,
}

impl Service {
    /// Starts the component that only forwards.
    pub(crate) fn start_bare(build: &Build, scratch: &Path, upstream: SocketAddr) -> Result<Self> {
        Self::start(Component::Bare, build, scratch, upstream, &[])
    }

    /// Starts a pool with so many keys, all of the same priority, and waits until it is ready.
    pub(crate) fn start_pool(
        build: &Build,
        scratch: &Path,
        upstream: SocketAddr,
        keys: usize,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let variables = [&[("MY_API_TOKEN", TOKEN)], variables].concat();
        let mut service = Self::start(Component::Pool, build, scratch, upstream, &variables)?;
        // The first request creates the tables.
        service.get_readiness()?;
        insert_keys(&service.database(), keys)?;
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let answer = service.get_readiness()?;
            if answer.starts_with("HTTP/1.1 200") {
                service.ready_at = service.process.output().len();
                return Ok(service);
            }
            if Instant::now() > deadline {
                bail!("the pool does not become ready: {answer}");
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    fn start(
        component: Component,
        build: &Build,
        scratch: &Path,
        upstream: SocketAddr,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("state-")
            .tempdir_in(scratch)
            .context("cannot create a folder for a service's state")?;
        let mut command = Command::new(&build.host);
        command
            .current_dir(folder.path())
            .args(["up", "--listen", "127.0.0.1:0", "--from"])
            .arg(&build.manifest)
            .arg("--state-dir")
            .arg(folder.path())
            .env("SPIN_VARIABLE_LLM_API_ORIGIN", format!("http://{upstream}"));
        for (name, value) in variables {
            command.env(format!("SPIN_VARIABLE_{name}"), value);
        }
        let process = Process::start("the host", &mut command)?;
        Ok(Self {
            process,
            folder,
            component,
            ready_at: 0,
        })
    }

    /// Stops it and reads what it leaves behind.
    pub(crate) fn stop(self) -> Result<Record> {
        let database = self.database();
        let output = self.process.stop()?;
        Ok(Record {
            rows: match self.component {
                Component::Bare => None,
                Component::Pool => Some(count_rows(&database)?),
            },
            complaints: complaints(output.get(self.ready_at..).unwrap_or_default()),
        })
    }

    /// Rows of successful calls in the log.
    pub(crate) fn count_rows(&self) -> Result<u64> {
        count_rows(&self.database())
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("sqlite_db.db")
    }

    fn get_readiness(&self) -> Result<String> {
        let address = self.process.address();
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(READY_TIMEOUT))?;
        write!(
            stream,
            "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// What a service leaves behind.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Rows of successful calls in the log, if it has one.
    pub(crate) rows: Option<u64>,
    /// Output lines that a healthy service does not write.
    pub(crate) complaints: Vec<String>,
}

/// A failed attempt is logged as a call and is no complaint: another one may have succeeded. Nor is
/// the line of a request that was answered.
fn complaints(output: &str) -> Vec<String> {
    let usual = [
        "Serving",
        "Storing default SQLite data",
        "keypool: call ",
        " outcome=success status=200 ",
    ];
    let is_usual = |line: &str| line.trim().is_empty() || usual.iter().any(|it| line.contains(it));
    let lines = output.lines().filter(|line| !is_usual(line));
    lines.map(str::to_owned).collect()
}

fn insert_keys(database: &Path, keys: usize) -> Result<()> {
    let mut connection = Connection::open(database)?;
    connection.busy_timeout(READY_TIMEOUT)?;
    let transaction = connection.transaction()?;
    {
        let mut insert =
            transaction.prepare("INSERT INTO api_keys (api_key, name) VALUES (?1, ?1)")?;
        for number in 1..=keys {
            insert.execute([upstream::key(number)])?;
        }
    }
    Ok(transaction.commit()?)
}

fn count_rows(database: &Path) -> Result<u64> {
    let connection = Connection::open(database)?;
    let count = "SELECT count(*) FROM api_call_logs WHERE success = 1";
    let rows: i64 = connection.query_row(count, [], |row| row.get(0))?;
    Ok(u64::try_from(rows)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_attempts_and_answers_are_no_complaints() {
        let failed = "keypool: request=req_2 attempts=1 outcome=no_usable_key status=503 ms=3";
        let output = format!(
            "Serving http://127.0.0.1:1\n\nkeypool: call 1 failed\nkeypool: no database\n\
             keypool: request=req_1 attempts=1 outcome=success status=200 ms=3\n{failed}\n"
        );
        assert_eq!(complaints(&output), ["keypool: no database", failed]);
    }
}
