//! `cargo xtask fuzz`: fuzzes the parsers of untrusted input.
//!
//! The targets are in `fuzz/`, where cargo-fuzz expects them, but build with these flags on stable
//! Rust. New inputs are collected in `target/`; the seeds are committed.

use crate::command::{capture, cargo, program, run as run_command};
use crate::workspace;
use anyhow::{Context, Result};
use std::fs;

const MANIFEST: &str = "fuzz/Cargo.toml";
const TARGETS: [&str; 8] = [
    "events",
    "array",
    "errors",
    "requests",
    "repairs",
    "translations",
    "answers",
    "schemas",
];
/// Instruments branches and comparisons for libFuzzer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds per target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Run this target only; can be repeated.
    #[arg(long, value_name = "TARGET", value_parser = TARGETS)]
    only: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let chosen =
        |target: &&str| options.only.is_empty() || options.only.iter().any(|only| only == target);
    fuzz(options.seconds, TARGETS.into_iter().filter(chosen))
}

/// A short run of each target.
pub(crate) fn run_quick() -> Result<()> {
    fuzz(5, TARGETS.into_iter())
}

fn fuzz(seconds: u32, targets: impl Iterator<Item = &'static str>) -> Result<()> {
    let version = capture(program("rustc").arg("-vV"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("`rustc -vV` does not name the host")?;
    // With `--target`, Cargo does not apply the flags to build scripts.
    run_command(
        cargo(&format!(
            "build --locked --release --manifest-path {MANIFEST} --target {host}"
        ))
        .env("CARGO_TARGET_DIR", workspace::target("fuzz"))
        .env("RUSTFLAGS", FLAGS),
    )
    .context("the fuzz targets need a C++ compiler (on Debian: apt-get install g++)")?;
    for target in targets {
        let found = workspace::target("fuzz/corpus").join(target);
        fs::create_dir_all(&found)?;
        let built = workspace::target("fuzz").join(host).join("release");
        let failures = workspace::target("fuzz").join(format!("failure-{target}-"));
        run_command(
            program(built.join(target))
                .arg(format!("-max_total_time={seconds}"))
                .arg(format!("-artifact_prefix={}", failures.display()))
                .args([
                    "-timeout=10",
                    "-rss_limit_mb=2048",
                    "-verbosity=0",
                    "-print_final_stats=1",
                ])
                .arg(found)
                .arg(workspace::root().join("fuzz/seeds").join(target)),
        )
        .with_context(|| format!("`{target}` failed; the input is at {}…", failures.display()))?;
    }
    Ok(())
}
