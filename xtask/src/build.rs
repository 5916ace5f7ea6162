//! `cargo xtask build`: builds what `up` and the end-to-end tests run.
//!
//! The component has a profile of its own, so it takes a build of its own.

use crate::command::{cargo, run as run_command};
use crate::{setup, workspace};
use anyhow::{Result, ensure};

/// The component, below `target/`; spin.toml names the same file.
const COMPONENT: &str = "wasm32-wasip2/component/gemini_keypool.wasm";
/// The host that runs the component without Spin, below `target/`.
pub(crate) const HOST: &str = "release/keypool";
/// The fake Gemini, below `target/`.
pub(crate) const FAKE_GEMINI: &str = "release/fake-gemini";

const COMPONENT_BUILD: &str =
    "build --locked --profile component --target wasm32-wasip2 --package gemini-keypool";
const HOST_BUILD: &str = "build --locked --release --package keypool-host --package fake-gemini";

pub(crate) fn run() -> Result<()> {
    setup::run()?;
    run_command(&mut cargo(COMPONENT_BUILD))?;
    run_command(&mut cargo(HOST_BUILD))?;
    for file in [COMPONENT, HOST, FAKE_GEMINI] {
        let path = workspace::target(file);
        ensure!(
            path.is_file(),
            "cargo succeeded, but {} does not exist",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spin_toml_agrees_on_component_and_command() {
        let manifest = std::fs::read_to_string(workspace::root().join("spin.toml")).unwrap();
        assert!(
            manifest.contains(&format!("source = \"target/{COMPONENT}\"")),
            "spin.toml does not run target/{COMPONENT}"
        );
        assert!(
            manifest.contains(&format!("command = \"cargo {COMPONENT_BUILD}\"")),
            "spin.toml does not build with `cargo {COMPONENT_BUILD}`"
        );
    }
}
