//! `cargo xtask bench`: the benchmark, with all that it needs, built and run. What it does is in `crates/bench`.

use crate::command::{HandedOn, capture, cargo, program, run as run_command};
use crate::{build, workspace};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::PathBuf;

/// The load generator, at the version whose report is read.
const OHA: &str = "1.16.0";
/// The component that only forwards, built as the pool is.
const BARE_BUILD: &str =
    "build --locked --profile component --target wasm32-wasip2 --package bare-proxy";

pub(crate) fn run(options: &HandedOn) -> Result<()> {
    bench(&options.arguments)
}

/// A short run of every case, as a check that nothing is lost.
pub(crate) fn shortly() -> Result<()> {
    bench(&["--quick".into()])
}

fn bench(arguments: &[OsString]) -> Result<()> {
    build::run()?;
    run_command(&mut cargo(BARE_BUILD))?;
    let oha = load_generator()?;
    run_command(
        cargo("run --locked --release --quiet --package keypool-bench -- run")
            .arg("--project")
            .arg(workspace::root())
            .arg("--oha")
            .arg(oha)
            .args(arguments),
    )
}

/// Makes sure that the load generator is there, below `target/`, so that nothing is installed for the user.
fn load_generator() -> Result<PathBuf> {
    let root = workspace::target("bench/tools");
    let oha = root.join("bin/oha");
    let version = capture(program(&oha).arg("--version"));
    if version.is_ok_and(|version| version.trim() == format!("oha {OHA}")) {
        return Ok(oha);
    }
    run_command(
        cargo(&format!(
            "install oha --version {OHA} --locked --force --quiet"
        ))
        .arg("--root")
        .arg(&root)
        .env("CARGO_TARGET_DIR", workspace::target("bench/tools/build")),
    )
    .context("the load generator cannot be built; it needs a C compiler (on Debian: apt-get install gcc)")?;
    Ok(oha)
}
