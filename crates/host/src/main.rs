//! `keypool`: runs the component of a `spin.toml` without Spin, and works against running pools
//! (`crates/cli`).
//!
//! It makes the project usable with one command on a machine without Spin, and runs the real
//! component in tests. It offers WASI without files and sockets, and Spin's interfaces that the
//! component imports. It has Spin's defaults (flags, variable names, state folder, outbound
//! allow-list, instance reuse), so that what works here works with `spin up`. A manifest that needs
//! more is rejected with the advice to use Spin.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`manifest`] | reads and checks `spin.toml` |
//! | [`variables`] | the component's variables, from the manifest and the environment |
//! | [`settings`] | checks the pool's settings |
//! | [`runtime_config`] | the supported part of Spin's runtime configuration |
//! | [`clock`] | a wall clock for tests |
//! | [`allowed_hosts`] | the hosts that the component may call |
//! | [`engine`] | sets wasmtime up and compiles the component |
//! | [`guest`] | instances: their state and host functions |
//! | [`scheduler`] | distributes requests over instances |
//! | [`bindings`] | Spin's interfaces as Rust traits |
//! | [`sqlite`], [`outbound`] | implement the host functions |
//! | [`import`] | imports the database of an earlier deployment |
//! | [`log`] | the terminal output of the host and the component |
//! | [`server`] | client connections, and the orderly shutdown |

mod allowed_hosts;
mod bindings;
mod cli;
mod clock;
mod engine;
mod guest;
mod import;
mod log;
mod manifest;
mod outbound;
mod runtime_config;
mod scheduler;
mod server;
mod settings;
mod sqlite;
#[cfg(test)]
mod testing;
mod variables;

use allowed_hosts::AllowedHosts;
use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};
use cli::{Cli, Command, Up};
use manifest::App;
use outbound::Nagle;
use runtime_config::RuntimeConfig;
use scheduler::Scheduler;
use std::mem;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;
use variables::Resolved;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up(options) => up(&options),
        Command::ImportSql(options) => import::import_sql(&options),
        Command::Pool(command) => keypool_cli::run(command),
        Command::Completions { shell } => keypool_cli::completions(shell, &mut Cli::command()),
    };
    log::flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn up(options: &Up) -> Result<()> {
    let mut app = manifest::load(&options.app.from)?;
    app.environment.extend(options.env.iter().cloned());
    let environment = variables::Environment::read(&options.variable)?;
    for warning in environment.unknown(&app) {
        eprintln!("warning: {warning}");
    }
    let variables = variables::resolve(&app, &environment)
        .with_context(|| options.app.from.display().to_string())?;
    for warning in settings::check(&app, &variables.component)? {
        eprintln!("warning: {warning}");
    }
    let nagle = match options.nagle {
        true => Nagle::On,
        false => Nagle::Off,
    };
    let stop = CancellationToken::new();
    let outbound = outbound::Client::new(
        load_allowed_hosts(options, &app, &variables)?,
        nagle,
        load_runtime_config(options, &app)?,
        stop.clone(),
    );
    let clock = options.test_clock.as_deref();
    let clock = clock.map(clock::FileClock::open).transpose()?;
    let databases = sqlite::Databases::prepare(&app, &options.app.state_dir())?;
    databases.execute_at_start(&options.sqlite)?;
    let world = guest::World {
        variables: variables.component,
        databases,
        outbound,
        environment: mem::take(&mut app.environment),
        clock,
        quiet: options.quiet,
    };
    let serving = server::Options {
        nagle,
        grace: options.grace,
        write_timeout: options.write_timeout,
    };

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let served = runtime.block_on(async {
        let component = engine::load(&app.source, options.profiling(), options.interruption())?;
        let guests = guest::Guests::link(&component, world)?;
        let scheduler = Scheduler::new(guests, options.scheduling());
        server::serve(&options.listen, &app, scheduler, serving, stop).await
    });
    // A statement that waits for a lock would delay the exit.
    runtime.shutdown_background();
    served
}

fn load_allowed_hosts(options: &Up, app: &App, variables: &Resolved) -> Result<AllowedHosts> {
    AllowedHosts::parse(&variables.allowed_outbound_hosts).with_context(|| {
        format!(
            "{}: allowed_outbound_hosts of the component {}",
            options.app.from.display(),
            app.component_id
        )
    })
}

fn load_runtime_config(options: &Up, app: &App) -> Result<RuntimeConfig> {
    match &options.runtime_config_file {
        Some(file) => RuntimeConfig::load(file, &app.component_id),
        None => RuntimeConfig::default_of_spin(),
    }
}
