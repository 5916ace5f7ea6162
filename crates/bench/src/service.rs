//! What is measured: the pool, or the component that only forwards, in one of the hosts.

use crate::peers::Peer;
use crate::process::Process;
use crate::upstream;
use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use serde::Deserialize;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The client's token for the pool.
pub(crate) const TOKEN: &str = "not-a-real-token-of-the-benchmark";

/// Where the pool and the component that only forwards are asked.
pub(crate) const POOL_PATH: &str = "/v1/chat/completions";
pub(crate) const UPSTREAM_PATH: &str = "/v1beta/openai/chat/completions";

/// How long the component may take to bring a long log up to date.
const MIGRATION: Duration = Duration::from_secs(600);

/// Which host runs the components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Host {
    /// The project's own.
    Embedded,
    /// `spin` from PATH.
    Spin,
}

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) project: PathBuf,
    pub(crate) oha: PathBuf,
    pub(crate) host: Host,
}

impl Places {
    pub(crate) fn target(&self, path: &str) -> PathBuf {
        self.project.join("target").join(path)
    }

    fn host_program(&self) -> PathBuf {
        match self.host {
            Host::Embedded => self.target("release/keypool"),
            Host::Spin => "spin".into(),
        }
    }

    /// Where what a case writes goes, and what is made once for all runs.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.target("bench")
    }
}

/// How the pool is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) keys: usize,
    pub(crate) variables: Vec<(&'static str, &'static str)>,
    pub(crate) host_arguments: Vec<&'static str>,
    /// Rows that are in the log already.
    pub(crate) log_rows: u64,
}

/// A running component.
pub(crate) struct Service {
    pub(crate) process: Process,
    /// `None` for another gateway.
    host: Option<Host>,
    folder: TempDir,
}

/// What a service has done in its life.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// Rows of successful calls in the log that this service has written.
    pub(crate) rows: Option<u64>,
    /// Statements, and requests; only the project's own host tells.
    pub(crate) statistics: Option<Statistics>,
    /// What it has written on the terminal beyond its greeting.
    pub(crate) complaints: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Statistics {
    pub(crate) requests: u64,
    pub(crate) statements: u64,
}

impl Service {
    /// Starts the component that only forwards.
    pub(crate) fn bare(places: &Places, upstream: SocketAddr) -> Result<Self> {
        let folder = folder(places)?;
        let manifest = places.project.join("crates/bare-proxy/spin.toml");
        start(
            places,
            "the bare component",
            &manifest,
            folder,
            upstream,
            &[],
            &[],
        )
    }

    /// Starts the pool.
    pub(crate) fn pool(places: &Places, upstream: SocketAddr, pool: &Pool) -> Result<Self> {
        let folder = folder(places)?;
        prepare_database(places, folder.path(), pool)?;
        let manifest = places.project.join("spin.toml");
        let arguments = &pool.host_arguments;
        // The bare component has no such variable, and its host would say so.
        let variables = [&[("my_api_token", TOKEN)], &*pool.variables].concat();
        start(
            places, "the pool", &manifest, folder, upstream, &variables, arguments,
        )
    }

    /// Starts another gateway.
    pub(crate) fn peer(places: &Places, upstream: SocketAddr, peer: Peer) -> Result<Self> {
        peer.install(places)?;
        Ok(Self {
            process: peer.start(places, upstream)?,
            host: None,
            folder: folder(places)?,
        })
    }

    pub(crate) fn database(&self) -> PathBuf {
        database(self.folder.path())
    }

    /// Ends it, and looks at what it leaves.
    pub(crate) fn stop(self, rows_before: Option<u64>) -> Result<Record> {
        let Some(host) = self.host else {
            // What it writes is its own.
            return Ok(Record::default());
        };
        let output = self.process.stop()?;
        let statistics = output
            .lines()
            .find_map(|line| line.split_once("statistics: "))
            .map(|(_, json)| serde_json::from_str(json))
            .transpose()
            .context("the host's statistics")?;
        let rows = rows_before
            .map(|before| {
                Ok::<_, anyhow::Error>(count_successes(&database(self.folder.path()))? - before)
            })
            .transpose()?;
        Ok(Record {
            rows,
            statistics,
            complaints: complaints(host, &output),
        })
    }
}

/// Lines that are not there when all is well. That an attempt has failed is told by the pool, and is no complaint where
/// another one worked. Of Spin only the component's own lines count: when it stops, it says much about its workers.
fn complaints(host: Host, output: &str) -> Vec<String> {
    let usual = [
        "Serving",
        "Storing default SQLite data",
        "statistics: ",
        "keypool: call ",
    ];
    let is_complaint = |line: &&str| match host {
        Host::Embedded => {
            !line.trim().is_empty() && !usual.iter().any(|usual| line.contains(usual))
        }
        Host::Spin => line.starts_with("keypool: ") && !line.starts_with("keypool: call "),
    };
    output
        .lines()
        .filter(is_complaint)
        .map(str::to_owned)
        .collect()
}

fn folder(places: &Places) -> Result<TempDir> {
    let scratch = places.scratch();
    std::fs::create_dir_all(&scratch)?;
    tempfile::Builder::new()
        .prefix("state-")
        .tempdir_in(scratch)
        .context("no folder for a service's state")
}

fn database(folder: &Path) -> PathBuf {
    // Both hosts call it that.
    folder.join("sqlite_db.db")
}

fn start(
    places: &Places,
    name: &str,
    manifest: &Path,
    folder: TempDir,
    upstream: SocketAddr,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> Result<Service> {
    let mut command = Command::new(places.host_program());
    command
        .current_dir(folder.path())
        .args(["up", "--listen", "127.0.0.1:0", "--from"])
        .arg(manifest)
        .arg("--state-dir")
        .arg(folder.path())
        // Spin leaves Nagle's algorithm on in any case.
        .args(
            arguments
                .iter()
                .filter(|argument| places.host == Host::Embedded || **argument != "--nagle"),
        )
        .env("SPIN_VARIABLE_LLM_API_ORIGIN", format!("http://{upstream}"));
    if places.host == Host::Embedded {
        command.arg("--statistics");
    }
    for (name, value) in variables {
        command.env(
            format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase()),
            value,
        );
    }
    let process = Process::start(name, &mut command)?;
    Ok(Service {
        process,
        host: Some(places.host),
        folder,
    })
}

/// The first of the schema's steps, which the component goes on from; and the keys, each with the same priority.
fn prepare_database(places: &Places, folder: &Path, pool: &Pool) -> Result<()> {
    let file = database(folder);
    if pool.log_rows > 0 {
        let made = log_of(places, pool.log_rows, pool.keys)?;
        std::fs::copy(made, &file).context("the log cannot be copied")?;
        return Ok(());
    }
    let connection = Connection::open(file)?;
    insert_keys(places, &connection, pool.keys)
}

fn insert_keys(places: &Places, connection: &Connection, keys: usize) -> Result<()> {
    let schema = places
        .project
        .join("migrations/0001_keys_and_call_logs.sql");
    let mut statements = std::fs::read_to_string(schema)?;
    statements.push_str("\nBEGIN;\n");
    for number in 1..=keys {
        let key = upstream::key(number);
        statements.push_str(&format!(
            "INSERT INTO api_keys (api_key, name) VALUES ('{key}', 'key {number}');\n"
        ));
    }
    statements.push_str("COMMIT;\n");
    connection.execute_batch(&statements)?;
    Ok(())
}

/// A database with a long log, made once and kept for later runs.
fn log_of(places: &Places, rows: u64, keys: usize) -> Result<PathBuf> {
    let file = places.scratch().join(format!("log-{rows}-{keys}.db"));
    if file.is_file() {
        return Ok(file);
    }
    eprintln!("    making a log of {rows} rows, once …");
    let unfinished = file.with_extension("unfinished");
    if unfinished.exists() {
        std::fs::remove_file(&unfinished)?;
    }
    let connection = Connection::open(&unfinished)?;
    connection.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000;",
    )?;
    insert_keys(places, &connection, keys)?;
    // Twenty days up to now, so that nothing is old enough to be deleted.
    connection.execute(
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
INSERT INTO api_call_logs (api_key_id, success, response_status, response_time_ms, called_at)
SELECT 1 + i % ?2, 1, 200, 500 + i % 1000,
    strftime('%Y-%m-%dT%H:%M:%fZ', 'now', printf('-%f seconds', 1728000.0 * (?1 - i) / ?1))
FROM n",
        (i64::try_from(rows)?, i64::try_from(keys)?),
    )?;
    connection.close().map_err(|(_, error)| error)?;
    migrate(places, &unfinished)?;
    std::fs::rename(unfinished, &file)?;
    Ok(file)
}

/// Has the component bring a database up to date, which takes a while for a long log.
fn migrate(places: &Places, file: &Path) -> Result<()> {
    let folder = folder(places)?;
    std::fs::rename(file, database(folder.path()))?;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let manifest = places.project.join("spin.toml");
    let token = [("my_api_token", TOKEN)];
    let service = start(places, "the pool", &manifest, folder, nowhere, &token, &[])?;
    get(service.process.address(), "/readyz", MIGRATION)?;
    service.process.stop()?;
    std::fs::rename(database(service.folder.path()), file)?;
    Ok(())
}

/// Asks for a page, with the client's token, and gives the whole answer, head and all.
pub(crate) fn get(address: SocketAddr, path: &str, patience: Duration) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(
        answer.starts_with("HTTP/1.1 200"),
        "{path} is answered: {answer}"
    );
    Ok(answer)
}

/// Rows of successful calls.
pub(crate) fn count_successes(database: &Path) -> Result<u64> {
    let connection = Connection::open(database)?;
    let count: i64 = connection.query_row(
        "SELECT count(*) FROM api_call_logs WHERE success = 1",
        [],
        |row| row.get(0),
    )?;
    Ok(u64::try_from(count)?)
}
