//! `keypool`: runs the component of a `spin.toml` without Spin.
//!
//! It exists so that one command works on a machine without Spin, and so that tests run the real component. It offers
//! WASI, without files and sockets, and of Spin's interfaces what the component's world imports; and it keeps Spin's
//! defaults (flags, variable names, state folder, outbound allow-list, instance reuse), so that whatever works here works
//! with `spin up`. It is not a second Spin: a manifest that needs more is refused with the advice to use Spin.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`manifest`] | `spin.toml`, checked |
//! | [`variables`] | values for the component, from the manifest and the environment |
//! | [`settings`] | the pool's settings, checked |
//! | [`runtime_config`] | Spin's runtime configuration, as far as it is supported |
//! | [`clock`] | the wall clock, where a test sets it |
//! | [`allowed_hosts`] | where the component may connect to |
//! | [`engine`] | wasmtime, set up as Spin sets it up; the component, compiled |
//! | [`guest`] | one instance: its state, its life, and the host functions that it sees |
//! | [`bindings`] | Spin's interfaces as Rust traits |
//! | [`sqlite`], [`outbound`] | what is behind the host functions |
//! | [`import`] | the database of an earlier deployment, loaded |
//! | [`log`] | what the host and the component write to the terminal |
//! | [`server`] | connections in, requests to instances, and the orderly end |

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
mod server;
mod settings;
mod sqlite;
mod variables;

use anyhow::{Context, Result};
use clap::Parser;
use cli::{Cli, Command, Up};
use runtime_config::RuntimeConfig;
use std::mem;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up(options) => up(&options),
        Command::ImportSql(options) => import::import_sql(&options),
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
    let mut app = manifest::load(&options.from)?;
    app.environment.extend(options.env.iter().cloned());
    let environment = variables::Environment::read(&options.variable)?;
    for warning in environment.unknown(&app) {
        eprintln!("warning: {warning}");
    }
    let variables = variables::resolve(&app, &environment)
        .with_context(|| options.from.display().to_string())?;
    for warning in settings::check(&app, &variables.component)? {
        eprintln!("warning: {warning}");
    }
    let allowed_hosts = allowed_hosts::AllowedHosts::parse(&variables.allowed_outbound_hosts)
        .with_context(|| {
            format!(
                "{}: allowed_outbound_hosts of the component {}",
                options.from.display(),
                app.component_id
            )
        })?;
    let runtime_config = match &options.runtime_config_file {
        Some(file) => RuntimeConfig::load(file, &app.component_id)?,
        None => RuntimeConfig::default_of_spin()?,
    };
    let clock = options.test_clock.as_deref();
    let clock = clock.map(clock::FileClock::open).transpose()?;
    let databases = sqlite::Databases::prepare(&app, &options.state_dir())?;
    databases.execute_at_start(&options.sqlite)?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let served = runtime.block_on(async {
        let stop = CancellationToken::new();
        let outbound =
            outbound::Client::new(allowed_hosts, options.nagle, runtime_config, stop.clone());
        let world = guest::World {
            variables: variables.component,
            databases,
            outbound,
            environment: mem::take(&mut app.environment),
            clock,
            quiet: options.quiet,
        };
        let component = engine::load(&app.source, options.perf_map)?;
        let handler = guest::handler(component, world, options.reuse())?;
        let serving = server::Options {
            nagle: options.nagle,
            grace: options.grace,
            write_timeout: options.write_timeout,
        };
        server::serve(&options.listen, &app, handler.clone(), serving, stop).await?;
        if options.statistics {
            log::log(format_args!("statistics: {}", handler.statistics()));
        }
        Ok(())
    });
    // What could finish has finished; a statement that waits for a lock would hold up the end.
    runtime.shutdown_background();
    served
}
