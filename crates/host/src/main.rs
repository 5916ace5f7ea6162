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
//! | [`clock`] | the wall clock, where a test sets it |
//! | [`allowed_hosts`] | where the component may connect to |
//! | [`engine`] | wasmtime, set up as Spin sets it up; the component, compiled |
//! | [`guest`] | one instance: its state, its life, and the host functions that it sees |
//! | [`bindings`] | Spin's interfaces as Rust traits |
//! | [`sqlite`], [`outbound`] | what is behind the host functions |
//! | [`import`] | the database of an earlier deployment, loaded |
//! | [`log`] | what the host itself says |
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
mod server;
mod sqlite;
mod variables;

use anyhow::{Context, Result};
use clap::Parser;
use cli::{Cli, Command, Up};
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up(options) => up(&options),
        Command::ImportSql(options) => import::import_sql(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn up(options: &Up) -> Result<()> {
    let app = manifest::load(&options.from)?;
    let environment = variables::Environment::read(&options.variable)?;
    let variables = variables::resolve(&app, &environment)
        .with_context(|| options.from.display().to_string())?;
    let allowed_hosts = allowed_hosts::AllowedHosts::parse(&variables.allowed_outbound_hosts)
        .with_context(|| {
            format!(
                "{}: allowed_outbound_hosts of the component {}",
                options.from.display(),
                app.component_id
            )
        })?;
    let clock = options.test_clock.as_deref();
    let clock = clock.map(clock::FileClock::open).transpose()?;
    let databases = sqlite::Databases::prepare(&app, &options.state_dir())?;
    databases.execute_at_start(&options.sqlite)?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let served = runtime.block_on(async {
        let outbound =
            outbound::Client::new(allowed_hosts, options.nagle).context("cannot set up TLS")?;
        let world = guest::World {
            variables: variables.component,
            databases,
            outbound,
            environment: app.environment,
            clock,
            quiet: options.quiet,
        };
        let component = engine::load(&app.source, options.perf_map)?;
        let handler = guest::handler(component, world, options.reuse())?;
        server::serve(&options.listen, handler.clone(), options.nagle).await?;
        if options.statistics {
            log::log(format_args!("statistics: {}", handler.statistics()));
        }
        Ok(())
    });
    // What could finish has finished; a statement that waits for a lock would hold up the end.
    runtime.shutdown_background();
    served
}
