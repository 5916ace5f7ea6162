//! Where things are, from any working directory.

use std::path::{Path, PathBuf};

/// The wasm target that the component is built for.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// The project's root folder, as it was when xtask was compiled; Cargo recompiles xtask when the project moved.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// `target/…` in the project: where spin.toml expects the component, whatever `CARGO_TARGET_DIR` says.
pub(crate) fn target(path: &str) -> PathBuf {
    root().join("target").join(path)
}
