//! Paths in the project, whatever the working directory.

use std::path::{Path, PathBuf};

/// The component's target.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// The project's root folder; Cargo recompiles xtask if the project has moved.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// A path below the project's own `target`, where spin.toml expects the component.
pub(crate) fn target(path: &str) -> PathBuf {
    root().join("target").join(path)
}
