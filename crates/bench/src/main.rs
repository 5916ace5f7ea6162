//! `cargo xtask bench`: how fast the pool is, and whether it loses anything.
//!
//! A speed means something only beside another one of the same minute and machine. So each case starts what it compares side
//! by side and lets them take turns: the upstream itself, a component that only forwards (`crates/bare-proxy`), and the pool.
//!
//! | module | what it does |
//! |---|---|
//! | [`cases`] | what is measured |
//! | [`measure`] | one case, in turns |
//! | [`checks`] | a kill under load, sizes, pages |
//! | [`load`], [`streams`] | the requests: oha's, and streams |
//! | [`service`], [`peers`], [`upstream`], [`process`] | what they are sent to |
//! | [`summary`], [`verdict`], [`report`], [`plot`] | what came of it |

mod cases;
mod checks;
mod load;
mod measure;
mod peers;
mod plot;
mod process;
mod report;
mod service;
mod streams;
mod summary;
mod upstream;
mod verdict;

use anyhow::{Context, Result, ensure};
use cases::Scale;
use clap::{Parser, Subcommand};
use service::{Host, Places};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use upstream::Upstream;
use verdict::Results;

#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure.
    Run(Options),
    /// Serve as the upstream of a case.
    #[command(hide = true)]
    Upstream(Upstream),
}

#[derive(clap::Args)]
struct Options {
    /// A minute instead of ten: fewer rounds, streams and rows.
    #[arg(long)]
    quick: bool,
    /// Which host runs the components.
    #[arg(long, value_enum, default_value_t = Host::Embedded)]
    host: Host,
    /// Measure LiteLLM and Portkey's gateway as well, installed below target/: needs Python 3 with venv, and Node with npm.
    #[arg(long)]
    peers: bool,
    /// This case alone; may be given several times. The report names them.
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// The project's folder.
    #[arg(long, value_name = "DIR", hide = true)]
    project: PathBuf,
    /// The load generator.
    #[arg(long, value_name = "FILE", hide = true)]
    oha: PathBuf,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Upstream(upstream) => upstream::serve(upstream).map(|()| ExitCode::SUCCESS),
        Command::Run(options) => run(options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(options: Options) -> Result<ExitCode> {
    let began = Instant::now();
    let scale = if options.quick {
        Scale::QUICK
    } else {
        Scale::FULL
    };
    let places = Places {
        project: options.project,
        oha: options.oha,
        host: options.host,
    };
    let mut cases = cases::all(scale);
    if options.peers {
        cases.push(cases::peers(scale));
    }
    let names: Vec<&str> = cases.iter().map(|case| case.name).collect();
    for only in &options.only {
        ensure!(
            names.contains(&only.as_str()),
            "no case {only:?}; there are {}",
            names.join(", ")
        );
    }
    let has_all = options.only.is_empty();
    cases.retain(|case| has_all || options.only.iter().any(|only| only == case.name));

    std::fs::create_dir_all(places.scratch())?;
    let mut results = Results::default();
    for case in &cases {
        eprintln!("==> {}: {}", case.name, case.what);
        results
            .cases
            .insert(case.name, measure::case(&places, case, scale)?);
    }
    if has_all {
        eprintln!("==> a kill under load, pages with a long log");
        results.killed = Some(checks::kill(&places, scale)?);
        results.pages = checks::pages(&places, scale)?;
        results.component_size = Some(checks::component_size(&places)?);
    }
    let plots = plot::draw(&places.scratch(), &cases, &results)?;
    let report = report::report(&cases, &results, scale, options.host, &plots);
    let file = places.scratch().join("report.md");
    std::fs::write(&file, &report).with_context(|| format!("cannot write {}", file.display()))?;
    print!("{report}");
    eprintln!(
        "\n{:.0} s; {}",
        began.elapsed().as_secs_f64(),
        file.display()
    );
    let faults = results.faults();
    if faults.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: something was lost:");
    for fault in faults {
        eprintln!("  {fault}");
    }
    Ok(ExitCode::FAILURE)
}
