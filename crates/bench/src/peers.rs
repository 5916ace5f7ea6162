//! Other gateways, in the same run: installed below `target/`, pinned, with one key and no log.

use crate::process::Process;
use crate::service::{Places, TOKEN};
use crate::upstream;
use anyhow::{Context, Result, bail, ensure};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

const LITELLM: &str = "litellm[proxy]==1.90.0";
const PORTKEY: &str = "@portkey-ai/gateway@1.15.2";
/// As many workers as there are cores where the figures of the docs come from.
const WORKERS: &str = "2";

/// Another gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// LiteLLM's proxy, in Python.
    LiteLlm,
    /// Portkey's gateway, on Node.
    Portkey,
}

impl Peer {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::LiteLlm => "LiteLLM",
            Self::Portkey => "Portkey",
        }
    }

    /// Makes sure that it is there.
    pub(crate) fn install(self, places: &Places) -> Result<()> {
        let folder = folder(places, self);
        let (package, done) = match self {
            Self::LiteLlm => (LITELLM, folder.join("bin/litellm")),
            Self::Portkey => (PORTKEY, portkey_server(&folder)),
        };
        let installed = folder.join("installed");
        let is_there = std::fs::read_to_string(&installed).is_ok_and(|found| found == package);
        if is_there && done.is_file() {
            return Ok(());
        }
        eprintln!("    installing {package} …");
        std::fs::create_dir_all(&folder)?;
        match self {
            Self::LiteLlm => {
                run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
                run(Command::new(folder.join("bin/python"))
                    .args([
                        "-m",
                        "pip",
                        "install",
                        "--quiet",
                        "--disable-pip-version-check",
                    ])
                    .arg(package))?;
            }
            Self::Portkey => run(Command::new("npm")
                .args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"])
                .arg(&folder)
                .arg(package))?,
        }
        ensure!(done.is_file(), "{package} has no {}", done.display());
        std::fs::write(installed, package)?;
        Ok(())
    }

    /// Starts it before an upstream.
    pub(crate) fn start(self, places: &Places, upstream: SocketAddr) -> Result<Process> {
        let folder = folder(places, self);
        // It does not choose one itself, and the next to ask for one gets another.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = match self {
            Self::LiteLlm => {
                let config = folder.join("config.yaml");
                std::fs::write(&config, litellm_config(upstream))?;
                let mut command = Command::new(folder.join("bin/litellm"));
                command
                    .args(["--host", "127.0.0.1", "--num_workers", WORKERS, "--config"])
                    .arg(config)
                    .args(["--port", &port.to_string()])
                    // Otherwise it asks a server for prices.
                    .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
                    .env("LITELLM_LOG", "ERROR");
                command
            }
            Self::Portkey => {
                let mut command = Command::new("node");
                command
                    .arg(portkey_server(&folder))
                    .arg(format!("--port={port}"))
                    .arg("--headless")
                    .env("TRUSTED_CUSTOM_HOSTS", "127.0.0.1,localhost");
                command
            }
        };
        command.current_dir(&folder);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Process::start_at(self.label(), &mut command, address)
    }

    /// What a client presents, and headers beside that.
    pub(crate) fn credentials(self, upstream: SocketAddr) -> (String, Vec<String>) {
        match self {
            // It takes no token without this beginning.
            Self::LiteLlm => (format!("sk-{TOKEN}"), Vec::new()),
            Self::Portkey => (
                upstream::key(1),
                vec![
                    "x-portkey-provider: openai".to_owned(),
                    format!("x-portkey-custom-host: http://{upstream}/v1beta/openai"),
                ],
            ),
        }
    }
}

fn folder(places: &Places, peer: Peer) -> PathBuf {
    places
        .scratch()
        .join("peers")
        .join(peer.label().to_ascii_lowercase())
}

fn portkey_server(folder: &Path) -> PathBuf {
    folder.join("node_modules/@portkey-ai/gateway/build/start-server.js")
}

fn litellm_config(upstream: SocketAddr) -> String {
    let key = upstream::key(1);
    format!(
        "model_list:
  - model_name: gemini-flash-latest
    litellm_params:
      model: openai/gemini-flash-latest
      api_base: http://{upstream}/v1beta/openai
      api_key: {key}
general_settings:
  master_key: sk-{TOKEN}
litellm_settings:
  telemetry: false
  num_retries: 0
"
    )
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("{name} cannot be started"))?;
    if !status.success() {
        bail!("{name} has failed: {status}");
    }
    Ok(())
}
