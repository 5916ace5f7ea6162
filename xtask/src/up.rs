//! `cargo xtask up`: one command from a checkout to a service that answers.
//!
//! It builds, starts the host, passes its output through and prints what to enter in a client. With
//! `--demo`, a fake Gemini replaces Google, with keys, a token and a database of its own.

mod greeting;
mod host_arguments;
mod service;
mod tied;
mod traffic;

pub(crate) use tied::{TIED, Tied};

use crate::signals::Hold;
use crate::{build, command, workspace};
use anyhow::{Context, Result, bail};
use greeting::{
    DEAD_KEY, DEMO_ADMIN_TOKEN, DEMO_KEYS, DEMO_TOKEN, RESTRICTED_KEY, Settings, Variable,
};
use service::{Ended, Service};
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often children and signals are polled.
const TICK: Duration = Duration::from_millis(50);
/// The host's default for `--grace`.
const HOST_GRACE: Duration = Duration::from_secs(10);
/// How long the host may take after its grace; it gives the component 3 s to write its log.
const HOST_EXIT: Duration = Duration::from_secs(5);
/// How long the fake may take to stop; it has nothing to finish.
const FAKE_GRACE: Duration = Duration::from_secs(2);
/// How long the fake may take until it listens.
const FAKE_START: Duration = Duration::from_secs(10);

/// The prefix of the component's variables in the environment.
const VARIABLES: &str = "SPIN_VARIABLE_";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run without Google: with a fake Gemini, made-up keys and token, and a separate database.
    #[arg(long)]
    demo: bool,
    /// Serve with `spin` from PATH instead of the project's host.
    #[arg(long)]
    spin: bool,
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Arguments for the host, from the first one that is not listed here.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENT"
    )]
    pub(crate) host_arguments: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    // Fail before the build, which takes minutes the first time.
    let host = host_program(options)?;
    check_free(options.listen)?;
    build::run()?;

    let signals = Hold::new()?;
    let mut host = Command::new(host);
    host.current_dir(workspace::root())
        .args(["up", "--from"])
        .arg(workspace::root().join("spin.toml"))
        .arg("--listen")
        .arg(options.listen.to_string());

    let mut fake = None;
    let settings = if options.demo {
        let (service, address) = start_fake(&signals)?;
        fake = Some(service);
        prepare_demo(&mut host, address)?;
        Settings::Demo
    } else {
        Settings::real(|name| variable(&options.host_arguments, name))
    };
    let here = std::env::current_dir().context("the current folder does not exist")?;
    host.args(host_arguments::absolute(&options.host_arguments, &here));
    let (host, serving) = Service::start("host", host, |line| {
        greeting::address_in(line, "Serving http://")
    })?;
    let grace = host_arguments::grace(&options.host_arguments).unwrap_or(HOST_GRACE);
    serve(host, fake, &settings, &serving, &signals, grace + HOST_EXIT)
}

/// Waits until the host exits, by itself or after a signal to this process.
fn serve(
    mut host: Service,
    mut fake: Option<Service>,
    settings: &Settings,
    serving: &Receiver<SocketAddr>,
    signals: &Hold,
    host_exit: Duration,
) -> Result<ExitCode> {
    let ended = loop {
        match serving.recv_timeout(TICK) {
            Ok(address) => {
                say(&settings.greeting(address));
                if matches!(settings, Settings::Demo) {
                    traffic::start(greeting::reachable(address));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The host has closed its output and will exit.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK),
        }
        if let Some(ended) = host.ended()? {
            break ended;
        }
        if signals.take() {
            say("Stopping; press Ctrl-C again to stop immediately.\n");
            break host.stop(host_exit, || signals.take())?;
        }
        if let Some(fake) = &mut fake
            && let Some(ended) = fake.ended()?
        {
            host.stop(host_exit, || signals.take())?;
            bail!("the fake Gemini exited by itself ({ended}), which ends the demo");
        }
    };
    // Only now: requests that the host was finishing need their upstream.
    if let Some(fake) = &mut fake {
        fake.stop(FAKE_GRACE, || signals.take())?;
    }
    Ok(match ended {
        Ended::Code(code) => ExitCode::from(code),
        Ended::Killed(_) => {
            eprintln!("error: the host was killed: {ended}");
            ExitCode::FAILURE
        }
    })
}

/// A variable as the host will see it: from its arguments, the environment or its `.env` file.
fn variable(host_arguments: &[String], name: &str) -> Variable {
    let in_environment = format!("{VARIABLES}{}", name.to_uppercase());
    let from_file = || {
        let entries = dotenvy::from_path_iter(workspace::root().join(".env")).ok()?;
        let entries = entries.filter_map(Result::ok);
        entries
            .filter(|(key, _)| *key == in_environment)
            .last()
            .map(|(_, value)| value)
    };
    let value = host_arguments::variable(host_arguments, name)
        .or_else(|| std::env::var(&in_environment).ok())
        .or_else(from_file);
    match Variable::from(value) {
        Variable::Unset if host_arguments::has_variables_file(host_arguments) => Variable::Unknown,
        variable => variable,
    }
}

fn host_program(options: &Options) -> Result<PathBuf> {
    if !options.spin {
        return Ok(workspace::target(build::HOST));
    }
    command::on_path("spin").context(
        "`spin` is not in PATH; https://spinframework.dev says how to install it. \
         Without --spin, the project's host serves the same component",
    )
}

/// Checks that the address is free, before the build.
fn check_free(listen: SocketAddr) -> Result<()> {
    TcpListener::bind(listen).map(drop).with_context(|| {
        format!("cannot listen on {listen} (choose another address with --listen)")
    })
}

fn start_fake(signals: &Hold) -> Result<(Service, SocketAddr)> {
    let mut fake = Command::new(workspace::target(build::FAKE_GEMINI));
    fake.current_dir(workspace::root())
        .args(["--listen", "127.0.0.1:0"]);
    for key in DEMO_KEYS {
        fake.args(["--key", key]);
    }
    fake.args(["--dead-key", DEAD_KEY, "--restricted-key", RESTRICTED_KEY]);
    let (mut fake, listening) = Service::start("fake Gemini", fake, |line| {
        greeting::address_in(line, "Listening http://")
    })?;

    let started = Instant::now();
    while started.elapsed() < FAKE_START {
        match listening.recv_timeout(TICK) {
            Ok(address) => return Ok((fake, address)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK),
        }
        if let Some(ended) = fake.ended()? {
            bail!("the fake Gemini exited before it listened ({ended})");
        }
        signals.check()?;
    }
    bail!("the fake Gemini does not listen after {FAKE_START:?}")
}

/// Points the host at the fake, with no setting from outside.
fn prepare_demo(host: &mut Command, fake: SocketAddr) -> Result<()> {
    let state = workspace::target("demo");
    if state.exists() {
        fs::remove_dir_all(&state)
            .with_context(|| format!("cannot remove {} of the last demo", state.display()))?;
    }
    fs::create_dir_all(&state)?;
    import_history(&state)?;
    host.arg("--state-dir").arg(&state);
    // There is no `.env` file.
    host.current_dir(&state);

    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(VARIABLES) {
            host.env_remove(name);
        }
    }
    for (name, value) in [
        ("GEMINI_API_KEY", DEMO_KEYS.join(",")),
        ("MY_API_TOKEN", DEMO_TOKEN.to_owned()),
        ("ADMIN_TOKEN", DEMO_ADMIN_TOKEN.to_owned()),
        ("LLM_API_ORIGIN", format!("http://{fake}")),
    ] {
        host.env(format!("{VARIABLES}{name}"), value);
    }
    Ok(())
}

/// Fills the database with made-up calls of the last days.
fn import_history(state: &Path) -> Result<()> {
    let history = workspace::root().join("xtask/src/up/demo.sql");
    let mut import = Command::new(workspace::target(build::HOST));
    import
        .current_dir(state)
        .args(["import-sql", "--from"])
        .arg(workspace::root().join("spin.toml"))
        .arg("--state-dir")
        .arg(state)
        .arg(history);
    let output = import.output().context("cannot import the history")?;
    if !output.status.success() {
        bail!(
            "cannot import the history of the demo: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// Prints text at once, between the children's lines. Errors of a closed terminal are ignored.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
