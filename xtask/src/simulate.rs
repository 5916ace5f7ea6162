//! `cargo xtask simulate`: the simulation, built and run. What it takes is in `crates/simulation`.

use crate::command::{self, cargo};
use anyhow::Result;
use std::ffi::OsString;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Arguments of the simulation, such as `--keys 100`; `-- --help` lists them.
    #[arg(
        value_name = "ARGUMENT",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    arguments: Vec<OsString>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    command::run(
        cargo("run --locked --release --quiet --package keypool-simulation --")
            .args(&options.arguments),
    )
}
