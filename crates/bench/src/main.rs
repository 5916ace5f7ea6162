//! `cargo xtask bench`: measures the pool, and checks that it loses no request and no log row.
//!
//! Absolute figures depend on the machine and the minute. So each case starts what it compares
//! side by side and lets the subjects take turns: the upstream itself, a component that only
//! forwards (`crates/bare-proxy`) and the pool; or, with `--against`, two builds of the pool. One
//! case compares the APIs of the pool instead.
//!
//! | module | what it does |
//! |---|---|
//! | [`case`] | the list of cases |
//! | [`measure`] | runs one case, in turns |
//! | [`kill`] | kills the host under load |
//! | [`reads`] | times how the pool reads its keys, sealed or not |
//! | [`load`] | sends requests and streams, and times them |
//! | [`build`] | the binaries that are measured |
//! | [`service`], [`upstream`] | a running pool or bare component, and the fake Gemini behind it |
//! | [`process`] | child processes, their CPU time and memory |
//! | [`report`] | medians and ratios, as Markdown tables |

mod build;
mod case;
mod kill;
mod load;
mod measure;
mod process;
mod reads;
mod report;
mod service;
mod upstream;

use anyhow::{Context, Result, ensure};
use build::Builds;
use case::{Comparison, Scale};
use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use upstream::Upstream;

#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the benchmark.
    Run(Options),
    /// Serve as the upstream of a case.
    #[command(hide = true)]
    Upstream(Upstream),
}

#[derive(clap::Args)]
struct Options {
    /// Run one short round of each case, with fewer streams.
    #[arg(long)]
    quick: bool,
    /// Rounds of each case [default: 5, or 1 with --quick].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Run this case only; can be repeated.
    #[arg(long, value_name = "CASE", value_parser = case_names())]
    only: Vec<String>,
    /// Compare with another build of the pool: `keypool` and `gemini_keypool.wasm` in DIR.
    ///
    /// A file that is missing there is taken from this build; a `spin.toml` is used if it exists.
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// The project's folder.
    #[arg(long, value_name = "DIR", hide = true)]
    project: PathBuf,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Upstream(upstream) => upstream::serve(upstream).map(|()| ExitCode::SUCCESS),
        Command::Run(options) => run(&options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The cases of [`case`], and [`reads`].
fn case_names() -> PossibleValuesParser {
    let names = case::NAMES.into_iter().chain([reads::NAME]);
    PossibleValuesParser::new(names)
}

fn run(options: &Options) -> Result<ExitCode> {
    let mut scale = if options.quick {
        Scale::QUICK
    } else {
        Scale::FULL
    };
    if let Some(rounds) = options.rounds {
        ensure!(rounds > 0, "--rounds must be at least 1");
        scale.rounds = rounds;
    }
    let scratch = build::scratch_folder(&options.project)?;
    let builds = Builds::find(&options.project, options.against.as_deref(), &scratch)?;
    let comparison = match options.against {
        Some(_) => Comparison::Builds,
        None => Comparison::Baselines,
    };

    let mut cases = case::all(comparison, scale);
    cases.retain(|case| options.only.is_empty() || options.only.iter().any(|it| it == case.name));
    let mut report = report::head(scale);
    let mut faults = Vec::new();
    for case in &cases {
        eprintln!("==> {}: {}", case.name, case.what);
        let measured = measure::case(&builds, &scratch, case, scale)?;
        report += &report::section(case, comparison, &measured);
        for one in &measured {
            let of_case = |fault| format!("{}, {}: {fault}", case.name, one.label);
            faults.extend(one.faults.iter().map(of_case));
        }
    }
    let is_chosen = options.only.is_empty() || options.only.iter().any(|it| it == reads::NAME);
    if is_chosen && comparison == Comparison::Baselines {
        eprintln!("==> {}: keys in clear text and sealed", reads::NAME);
        report += &reads::run(scale)?;
    }
    if options.only.is_empty() {
        eprintln!("==> kill: kill -9 under load");
        let killed = kill::run(&builds.this, &scratch, scale)?;
        report += &killed.line();
        faults.extend(killed.fault());
    }

    let file = scratch.join("report.md");
    std::fs::write(&file, &report).with_context(|| format!("cannot write {}", file.display()))?;
    print!("{report}");
    if faults.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: something was lost:");
    for fault in faults {
        eprintln!("  {fault}");
    }
    Ok(ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
