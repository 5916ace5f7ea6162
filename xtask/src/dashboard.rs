//! Checks the dashboard, which has no build: its libraries are the pinned ones, its files are
//! formatted, linted and type-checked, and its pure parts pass their tests.

use crate::command::{program, run};
use crate::{clients, workspace};
use anyhow::{Context, Result};

/// The folder with the dashboard's files.
const FILES: &str = "dashboard";
/// The folder with the tests of its pure parts.
const TESTS: &str = "tests/dashboard";

pub(crate) fn check() -> Result<()> {
    let modules = clients::prepare_node()?.join("node_modules");
    let tool = |name: &str| program(modules.join(".bin").join(name));
    run(program("node")
        .args(["dashboard/vendor.mjs", "--check"])
        .arg(&modules))?;
    // It looks for its configuration in the current folder.
    run(tool("biome")
        .args(["check", ".", "../tests/dashboard"])
        .current_dir(workspace::root().join(FILES)))
    .context("the same command with --write mends most of it")?;
    run(tool("tsc").args(["--project", FILES]))?;
    run(program("node").args(["--test", TESTS]))
}
