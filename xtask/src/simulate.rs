//! `cargo xtask simulate`: builds and runs the simulation in `crates/simulation`.

use crate::command::{self, PassedOn, cargo};
use anyhow::Result;

pub(crate) fn run(options: &PassedOn) -> Result<()> {
    command::run(
        cargo("run --locked --release --quiet --package keypool-simulation --")
            .args(&options.arguments),
    )
}
