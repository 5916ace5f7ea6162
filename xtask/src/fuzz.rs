//! `cargo xtask fuzz`: what meets foreign bytes, met with any bytes.
//!
//! The targets lie in `fuzz/`, as cargo-fuzz expects them; but it takes no more than these flags to build them with the
//! compiler that builds everything else. What was found of use grows in `target/`, beside the seeds that are committed.

use crate::command::{capture, cargo, program, run as run_command};
use crate::workspace;
use anyhow::{Context, Result};
use std::fs;

const MANIFEST: &str = "fuzz/Cargo.toml";
const TARGETS: [&str; 5] = ["events", "array", "errors", "requests", "repairs"];
/// Has libFuzzer see which branches an input takes.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// This target alone; may be given several times.
    #[arg(long, value_name = "TARGET", value_parser = TARGETS)]
    only: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let chosen =
        |target: &&str| options.only.is_empty() || options.only.iter().any(|only| only == target);
    fuzz(options.seconds, TARGETS.into_iter().filter(chosen))
}

/// A short run of each target, as a check.
pub(crate) fn shortly() -> Result<()> {
    fuzz(5, TARGETS.into_iter())
}

fn fuzz(seconds: u32, targets: impl Iterator<Item = &'static str>) -> Result<()> {
    let version = capture(program("rustc").arg("-vV"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("`rustc -vV` does not tell the machine's target")?;
    // With a target named, the flags are not for build scripts.
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
