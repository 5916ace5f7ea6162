//! `cargo xtask bench`: builds and runs the benchmark in `crates/bench`.

use crate::command::{PassedOn, cargo, run as run_command};
use crate::{build, workspace};
use anyhow::Result;
use std::ffi::OsString;

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
    run_command(
        cargo("run --locked --release --quiet --package keypool-bench -- run")
            .arg("--project")
            .arg(workspace::root())
            .args(arguments),
    )
}
