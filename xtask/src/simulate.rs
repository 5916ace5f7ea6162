//! `cargo xtask simulate`: the simulation, built and run. What it takes is in `crates/simulation`.

use crate::command::{self, PassedOn, cargo};
use anyhow::Result;

pub(crate) fn run(options: &PassedOn) -> Result<()> {
    command::run(
        cargo("run --locked --release --quiet --package keypool-simulation --")
            .args(&options.arguments),
    )
}
