//! `cargo xtask test`: every check of the project, in an order that finds simple errors early.
//!
//! The first failure ends the run, since later stages would mostly repeat it. Most of a run from
//! nothing is compiling, and Cargo compiles a dependency again for each profile and for each set of
//! features. So stages share profiles: tests that link wasmtime are built in release, as the host
//! is. And stages that share dependencies select the same packages, since Cargo unites the features
//! of all packages that one command selects.

use crate::command::{cargo, run as run_command};
use crate::{bench, build, clients, dashboard, fuzz, setup};
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
        run: || run_cargo("fmt --all --check"),
    },
    Stage {
        name: "clippy",
        what: "clippy has no warnings, natively and for WebAssembly",
        run: || {
            setup::run()?;
            run_cargo("clippy --locked --release --workspace --all-targets -- -D warnings")?;
            run_cargo(
                "clippy --locked --profile component --target wasm32-wasip2 \
                 --package gemini-keypool --package bare-proxy --package test-guest \
                 -- -D warnings",
            )
        },
    },
    Stage {
        name: "docs",
        what: "the documentation builds without warnings, and its examples run",
        run: || {
            // `--examples`, of which there are none, has Cargo select features as for clippy. The
            // program `fake-gemini` is not listed, since its library has the same name.
            run_command(
                cargo(
                    "doc --locked --release --workspace --no-deps --document-private-items \
                     --lib --bin keypool --bin keypool-bench --bin keypool-simulation --bin xtask \
                     --examples",
                )
                .env("RUSTDOCFLAGS", "-D warnings"),
            )?;
            run_command(cargo("test --locked --doc").args(DEV_PACKAGES))
        },
    },
    Stage {
        name: "unit",
        what: "the unit tests of all packages but the host and the benchmark",
        run: || run_command(cargo("test --locked --lib --bins").args(DEV_PACKAGES)),
    },
    Stage {
        name: "build",
        what: "the component and the host build",
        run: build::run,
    },
    Stage {
        name: "clients",
        what: "the Python and Node clients, the browser and promtool for the tests are installed",
        run: || clients::prepare().map(drop),
    },
    Stage {
        name: "dashboard",
        what: "the dashboard is formatted, linted, type-checked and unit-tested",
        run: dashboard::check,
    },
    Stage {
        name: "test",
        what: "the integration and end-to-end tests of the same packages",
        run: run_integration_tests,
    },
    Stage {
        name: "host",
        what: "the tests of the host and of the benchmark",
        run: || {
            run_cargo(
                "build --locked --profile component --target wasm32-wasip2 --package test-guest",
            )?;
            run_cargo("test --locked --release --package keypool-host --package keypool-bench")
        },
    },
    Stage {
        name: "bench",
        what: "nothing is lost under load, in a short run of each case of the benchmark",
        run: bench::run_quick,
    },
    Stage {
        name: "fuzz",
        what: "the parsers withstand a few seconds of fuzzing each",
        run: fuzz::run_quick,
    },
];

/// The packages that are tested in the dev profile.
const DEV_PACKAGES: [&str; 8] = [
    "--package",
    "gemini-keypool",
    "--package",
    "fake-gemini",
    "--package",
    "keypool-simulation",
    "--package",
    "xtask",
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run this stage only, on what was last built; can be repeated.
    #[arg(long, value_name = "STAGE", value_parser = stage_named)]
    only: Vec<&'static Stage>,
    /// List the stages and exit.
    #[arg(long)]
    list: bool,
}

/// The result of a stage.
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

fn run_cargo(arguments: &str) -> Result<()> {
    run_command(&mut cargo(arguments))
}

fn run_integration_tests() -> Result<()> {
    let clients = clients::prepare()?;
    run_command(
        cargo("test --locked --test *")
            .args(DEV_PACKAGES)
            .env("KEYPOOL_TEST_PYTHON", clients.python)
            .env("KEYPOOL_TEST_PYTHON_PREVIOUS", clients.previous_python)
            .env("KEYPOOL_TEST_NODE", clients.node)
            .env("KEYPOOL_TEST_BROWSER", clients.browser)
            .env("KEYPOOL_TEST_PROMTOOL", clients.promtool),
    )
}

/// The named stages in the order of [`STAGES`], or all if none is named.
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
    fn chosen_stages_run_once_in_table_order() {
        let only: Vec<&Stage> = ["docs", "fmt", "docs"]
            .map(|name| stage_named(name).unwrap())
            .to_vec();
        assert_eq!(names(&chosen(&only)), "fmt, docs");
        assert_eq!(chosen(&[]).len(), STAGES.len());
    }

    #[test]
    fn table_has_a_line_per_stage() {
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
