//! The project's own commands, run as `cargo xtask …` from any folder of the project.
//!
//! They are Rust rather than shell so that a checkout needs nothing that its build does not need anyway. Each command
//! is one module; what they share is [`workspace`] (where things are), [`command`] (running programs) and [`signals`].

mod bench;
mod build;
mod clients;
mod command;
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
    /// Make sure that Rust can build for wasm32-wasip2, the component's target.
    Setup,
    /// Build the component, the host that runs it without Spin, and the fake Gemini.
    Build,
    /// Build everything and serve the component until Ctrl-C.
    Up(up::Options),
    /// Simulate days of traffic over a thousand keys, and compare the pool with simpler ways to choose keys.
    Simulate(command::PassedOn),
    /// Measure the pool against a component that only forwards.
    Bench(command::PassedOn),
    /// Meet the parsers of foreign bytes with any bytes.
    Fuzz(fuzz::Options),
    /// Run every check of the project, in order, up to the first that fails.
    Test(test::Options),
    /// Run a program that ends when this process's parent does (used by `up`).
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
        // `{:#}` and not `{:?}`: the person at the terminal wants the reason, not a backtrace.
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_that_up_does_not_know_go_to_the_host() {
        for (arguments, host_gets) in [
            ("up --demo", ""),
            ("up --demo -- --quiet x", "--quiet x"),
            ("up --demo --quiet x", "--quiet x"),
            ("up --listen 127.0.0.1:0 -q --demo", "-q --demo"),
        ] {
            let line = std::iter::once("xtask").chain(arguments.split(' '));
            let Task::Up(options) = Cli::try_parse_from(line).unwrap().task else {
                panic!("{arguments}: not understood as `up`");
            };
            assert_eq!(options.host_arguments.join(" "), host_gets, "{arguments}");
        }
    }

    #[test]
    fn an_unknown_stage_is_refused_with_the_names_that_exist() {
        let Err(error) = Cli::try_parse_from(["xtask", "test", "--only", "lint"]) else {
            panic!("`lint` is no stage");
        };
        assert!(error.to_string().contains("clippy"), "{error}");
    }
}
