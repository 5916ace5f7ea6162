//! `cargo xtask bench`: builds and runs the benchmark in `crates/bench`.

use crate::command::{PassedOn, cargo, program, run as run_command};
use crate::{build, workspace};
use anyhow::{Context, Result};
use std::ffi::OsString;

/// The packages of `cargo xtask build` and the benchmark, so that their dependencies are shared.
const BENCH_BUILD: &str =
    "build --locked --release --package keypool-host --package fake-gemini --package keypool-bench";
/// The benchmark, below `target/`.
const BENCH: &str = "release/keypool-bench";
const BARE_BUILD: &str =
    "build --locked --profile component --target wasm32-wasip2 --package bare-proxy";

pub(crate) fn run(options: &PassedOn) -> Result<()> {
    bench(&options.arguments)
}

/// One short round of each case, as a check that nothing is lost.
pub(crate) fn run_quick() -> Result<()> {
    bench(&["--quick".into()])
}

fn bench(arguments: &[OsString]) -> Result<()> {
    build::run()?;
    run_command(&mut cargo(BARE_BUILD))?;
    run_command(&mut cargo(BENCH_BUILD))?;
    let here = std::env::current_dir().context("the current folder does not exist")?;
    run_command(
        program(workspace::target(BENCH))
            // Paths in the arguments are relative to the caller's folder.
            .current_dir(here)
            .args(["run", "--project"])
            .arg(workspace::root())
            .args(arguments),
    )
}
