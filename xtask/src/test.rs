//! `cargo xtask test`: every check of the project, cheapest first where order is free.
//!
//! The checks are rows of [`STAGES`]; a further one is a further row. The first failure ends the run, since what
//! follows would mostly repeat it.

use crate::command::{cargo, run as run_command};
use crate::{bench, build, clients, fuzz};
use anyhow::{Result, anyhow};
use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// One check.
#[derive(Debug)]
struct Stage {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<()>,
}

const STAGES: &[Stage] = &[
    Stage {
        name: "fmt",
        what: "the code is formatted",
        run: || cargo_runs("fmt --all --check"),
    },
    Stage {
        name: "build",
        what: "the component and the host build",
        run: build::run,
    },
    Stage {
        name: "unit",
        what: "quick tests of the component's logic",
        run: || cargo_runs("test --locked --package gemini-keypool --lib"),
    },
    Stage {
        name: "clients",
        what: "the Python and Node clients and the browser that tests drive are installed",
        run: || clients::prepare().map(drop),
    },
    Stage {
        name: "test",
        what: "all tests of the component, the fake Gemini and xtask",
        run: all_tests,
    },
    Stage {
        name: "host",
        what: "the tests of the host, with a component of their own, and of the benchmark",
        // Released, as in the next two, since the build above has compiled wasmtime in that profile; another one takes
        // many minutes.
        run: || {
            cargo_runs(
                "build --locked --profile component --target wasm32-wasip2 --package test-guest",
            )?;
            cargo_runs("test --locked --release --package keypool-host --package keypool-bench")
        },
    },
    Stage {
        name: "bench",
        what: "under load nothing is lost, in a short run of each case of the benchmark",
        run: bench::run_quick,
    },
    Stage {
        name: "clippy",
        what: "no lint complains, natively and for wasm",
        run: || {
            cargo_runs("clippy --locked --release --workspace --all-targets -- -D warnings")?;
            cargo_runs(
                "clippy --locked --profile component --target wasm32-wasip2 --package gemini-keypool --package bare-proxy --package test-guest -- -D warnings",
            )
        },
    },
    Stage {
        name: "fuzz",
        what: "parsers of foreign bytes bear any bytes, for a few seconds each",
        run: fuzz::shortly,
    },
    Stage {
        name: "docs",
        what: "the documentation builds, and its links lead somewhere",
        run: || {
            run_command(
                cargo("doc --locked --release --workspace --no-deps --document-private-items")
                    .env("RUSTDOCFLAGS", "-D warnings"),
            )
        },
    },
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run this stage alone, on what was built last; can be repeated.
    #[arg(long, value_name = "STAGE", value_parser = stage_named)]
    only: Vec<&'static Stage>,
    /// List the stages and stop.
    #[arg(long)]
    list: bool,
}

/// How a stage went.
enum Outcome {
    Passed(Duration),
    Failed(Duration),
    NotRun,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        for stage in STAGES {
            println!("{:<8} {}", stage.name, stage.what);
        }
        return Ok(ExitCode::SUCCESS);
    }

    let chosen = chosen(&options.only);
    let mut failure = None;
    let mut outcomes = Vec::new();
    for (index, stage) in chosen.iter().enumerate() {
        if failure.is_some() {
            outcomes.push((stage.name, Outcome::NotRun));
            continue;
        }
        eprintln!(
            "\n==> [{}/{}] {}: {}",
            index + 1,
            chosen.len(),
            stage.name,
            stage.what
        );
        let started = Instant::now();
        let result = (stage.run)();
        let took = started.elapsed();
        outcomes.push((
            stage.name,
            match result {
                Ok(()) => Outcome::Passed(took),
                Err(error) => {
                    failure = Some((stage.name, error));
                    Outcome::Failed(took)
                }
            },
        ));
    }

    eprint!("\n{}", table(&outcomes));
    match failure {
        None => {
            eprintln!("\nPASSED: {}", names(&chosen));
            Ok(ExitCode::SUCCESS)
        }
        Some((name, error)) => {
            eprintln!("\nFAILED at `{name}`: {error:#}");
            eprintln!("Run it alone with: cargo xtask test --only {name}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn cargo_runs(arguments: &str) -> Result<()> {
    run_command(&mut cargo(arguments))
}

fn all_tests() -> Result<()> {
    let clients = clients::prepare()?;
    run_command(
        cargo("test --locked --package gemini-keypool --package fake-gemini --package keypool-simulation --package xtask")
            .env("KEYPOOL_TEST_PYTHON", clients.python)
            .env("KEYPOOL_TEST_PYTHON_PREVIOUS", clients.previous_python)
            .env("KEYPOOL_TEST_NODE", clients.node)
            .env("KEYPOOL_TEST_BROWSER", clients.browser),
    )
}

/// The stages named, in the table's order; all of them if none is.
fn chosen(only: &[&'static Stage]) -> Vec<&'static Stage> {
    let is_chosen =
        |stage: &&Stage| only.is_empty() || only.iter().any(|named| named.name == stage.name);
    STAGES.iter().filter(is_chosen).collect()
}

fn stage_named(name: &str) -> Result<&'static Stage> {
    STAGES
        .iter()
        .find(|stage| stage.name == name)
        .ok_or_else(|| {
            let all: Vec<&Stage> = STAGES.iter().collect();
            anyhow!("the stages are {}", names(&all))
        })
}

fn names(stages: &[&Stage]) -> String {
    let names: Vec<&str> = stages.iter().map(|stage| stage.name).collect();
    names.join(", ")
}

fn table(outcomes: &[(&str, Outcome)]) -> String {
    let mut table = String::new();
    for (name, outcome) in outcomes {
        let (word, took) = match outcome {
            Outcome::Passed(took) => ("ok", Some(took)),
            Outcome::Failed(took) => ("FAILED", Some(took)),
            Outcome::NotRun => ("not run", None),
        };
        let took = took.map(|took| format!("{:>8.1} s", took.as_secs_f64()));
        let row = format!("  {name:<8} {word:<8}{}", took.unwrap_or_default());
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{}", row.trim_end());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_different_names() {
        for (index, stage) in STAGES.iter().enumerate() {
            let named_before = STAGES[..index].iter().any(|other| other.name == stage.name);
            assert!(!named_before, "two stages are called {}", stage.name);
        }
    }

    #[test]
    fn chosen_stages_run_in_the_tables_order_and_once() {
        let only: Vec<&Stage> = ["docs", "fmt", "docs"]
            .map(|name| stage_named(name).unwrap())
            .to_vec();
        assert_eq!(names(&chosen(&only)), "fmt, docs");
        assert_eq!(chosen(&[]).len(), STAGES.len());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = stage_named("lint").unwrap_err().to_string();
        assert!(
            error.contains("fmt, build, unit, clients, test, host, bench, clippy, fuzz, docs"),
            "{error}"
        );
    }

    #[test]
    fn the_table_has_a_line_for_each_stage() {
        let outcomes = [
            ("fmt", Outcome::Passed(Duration::from_millis(1_240))),
            ("build", Outcome::Failed(Duration::from_secs(75))),
            ("unit", Outcome::NotRun),
        ];
        assert_eq!(
            table(&outcomes),
            "  fmt      ok           1.2 s\n  build    FAILED      75.0 s\n  unit     not run\n"
        );
    }
}
