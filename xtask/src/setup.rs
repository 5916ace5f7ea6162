//! `cargo xtask setup`: adds the component's target to the Rust toolchain.
//!
//! rustup reads `rust-toolchain.toml` and installs the target by itself, unless
//! `RUSTUP_AUTO_INSTALL=0` forbids it. Linking an empty crate, rather than asking rustup, covers
//! toolchains of other origin; it takes a fraction of a second.

use crate::command::{capture, on_path, program};
use crate::workspace::TARGET;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;

pub(crate) fn run() -> Result<()> {
    let Err(error) = link_empty_crate() else {
        eprintln!("==> Rust builds for {TARGET}.");
        return Ok(());
    };
    if on_path("rustup").is_none() {
        bail!(no_rustup(&error));
    }
    eprintln!("==> Adding the target {TARGET}");
    capture(program("rustup").args(["target", "add", TARGET]))?;
    link_empty_crate().with_context(|| {
        format!("rustup added {TARGET}, but `rustc` still cannot link for it; is it rustup's?")
    })
}

/// Compiles and links an empty library for [`TARGET`].
fn link_empty_crate() -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let source = folder.path().join("empty.rs");
    fs::write(&source, "")?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    capture(
        program(rustc)
            .args(["--target", TARGET, "--crate-type", "cdylib", "--out-dir"])
            .arg(folder.path())
            .arg(&source),
    )?;
    Ok(())
}

fn no_rustup(error: &anyhow::Error) -> String {
    format!(
        "this Rust cannot build for {TARGET}, and there is no rustup that could add the target\n\
         Either install Rust from https://rustup.rs, or add to this one its standard library for\n\
         {TARGET} and the linkers `rust-lld` and `wasm-component-ld`.\n\
         {error:#}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_rustup_says_what_a_toolchain_needs() {
        let message = no_rustup(&anyhow::anyhow!("can't find crate for `std`"));
        for part in [
            "rustup.rs",
            "standard library for\nwasm32-wasip2",
            "wasm-component-ld",
            "can't find crate for `std`",
        ] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }
}
