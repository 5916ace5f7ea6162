//! The project's commands, run as `cargo xtask …` from any folder of the project.
//!
//! They are written in Rust, not shell, so that a checkout needs no tools but those of its build.
//! Each command is a module; shared are [`workspace`] (paths), [`command`] (running programs) and
//! [`signals`].

mod bench;
mod build;
mod clients;
mod command;
mod dashboard;
mod fuzz;
mod setup;
mod signals;
mod simulate;
mod test;
mod up;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Add wasm32-wasip2, the component's target, to the Rust toolchain.
    Setup,
    /// Build the component, the host and the fake Gemini.
    Build,
    /// Build everything and serve until Ctrl-C.
    Up(up::Options),
    /// Compare the pool with simpler key choosers, over days of simulated traffic.
    Simulate(command::PassedOn),
    /// Measure the pool against a component that only forwards, or against another build.
    Bench(command::PassedOn),
    /// Fuzz the parsers of untrusted input.
    Fuzz(fuzz::Options),
    /// Run all checks, up to the first failure.
    Test(test::Options),
    /// Run a program that is stopped when its parent exits (used by `up`).
    #[command(name = up::TIED, hide = true)]
    Tied(up::Tied),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup => setup::run().map(|()| ExitCode::SUCCESS),
        Task::Build => build::run().map(|()| ExitCode::SUCCESS),
        Task::Up(options) => up::run(&options),
        Task::Simulate(options) => simulate::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Bench(options) => bench::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Fuzz(options) => fuzz::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Test(options) => test::run(&options),
        Task::Tied(tied) => tied.run().map(|never| match never {}),
    };
    done.unwrap_or_else(|error| {
        // `{:#}` prints the causes, and no backtrace.
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn up_passes_unknown_arguments_to_the_host() {
        for (arguments, host_gets) in [
            ("up --demo", ""),
            ("up --demo -- --quiet x", "--quiet x"),
            ("up --demo --quiet x", "--quiet x"),
            ("up --listen 127.0.0.1:0 -q --demo", "-q --demo"),
        ] {
            let line = std::iter::once("xtask").chain(arguments.split(' '));
            let Task::Up(options) = Cli::try_parse_from(line).unwrap().task else {
                panic!("{arguments}: not parsed as `up`");
            };
            assert_eq!(options.host_arguments.join(" "), host_gets, "{arguments}");
        }
    }

    #[test]
    fn rejects_unknown_stage() {
        let Err(error) = Cli::try_parse_from(["xtask", "test", "--only", "lint"]) else {
            panic!("`lint` is not a stage");
        };
        let all = "fmt, clippy, docs, unit, build, clients, dashboard, test, host, bench, fuzz\n";
        assert!(error.to_string().contains(all), "{error}");
    }
}
