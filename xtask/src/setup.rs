//! `cargo xtask setup`: makes sure that Rust can build for the component's target.
//!
//! The only record of success is that an empty crate compiles and links, asked anew each time: it takes a fraction of
//! a second, and unlike a marker file it stays true across compiler updates. What a normal machine needs is one
//! rustup command. Where rustup is missing or may not download, Debian's packages hold the same standard library as
//! source ([`debian`]).

mod debian;
mod toolchain;

use crate::command::{capture, program};
use crate::signals::Hold;
use crate::workspace::TARGET;
use anyhow::{Context, Result, bail};
use toolchain::Toolchain;

/// A way to install the target: what it is called in messages, and how it goes.
struct Way {
    name: &'static str,
    install: fn(&Toolchain, &Hold) -> Result<()>,
}

const WAYS: [Way; 2] = [
    Way {
        name: "rustup target add wasm32-wasip2",
        install: add_with_rustup,
    },
    Way {
        name: "Debian's rust-src and wasi-libc packages",
        install: debian::install,
    },
];

pub(crate) fn run() -> Result<()> {
    let toolchain = Toolchain::find()?;
    let Err(missing) = toolchain.links_for_wasm() else {
        eprintln!("==> Rust {} builds for {TARGET}.", toolchain.version);
        return Ok(());
    };
    eprintln!(
        "==> Rust {} cannot build for {TARGET} yet.",
        toolchain.version
    );

    let hold = Hold::new()?;
    let mut tried = String::new();
    for way in &WAYS {
        eprintln!("==> Trying {}", way.name);
        let outcome = (way.install)(&toolchain, &hold).and_then(|()| {
            toolchain
                .links_for_wasm()
                .context("it went through, but the target still fails")
        });
        hold.check()?;
        match outcome {
            Ok(()) => {
                eprintln!("==> Rust {} builds for {TARGET} now.", toolchain.version);
                return Ok(());
            }
            Err(error) => {
                eprintln!("    That did not work.");
                tried.push_str(&format!("\n  - {}\n      {}", way.name, indented(&error)));
            }
        }
    }
    bail!(
        "Rust cannot build for {TARGET} on this machine.\n\
         An empty crate fails with:\n      {}\n\
         What was tried:{tried}\n\
         {}",
        indented(&missing),
        advice(&toolchain),
    )
}

fn indented(error: &anyhow::Error) -> String {
    format!("{error:#}").replace('\n', "\n      ")
}

fn add_with_rustup(toolchain: &Toolchain, _: &Hold) -> Result<()> {
    // rustup refuses to overwrite files that it did not put there, such as what `debian` built for an older compiler.
    let aside = toolchain.set_aside_foreign_target()?;
    capture(program("rustup").args(["target", "add", TARGET]))?;
    aside.discard()
}

fn advice(toolchain: &Toolchain) -> String {
    format!(
        "What you can do:\n  \
         - Install Rust from https://rustup.rs, then run `rustup target add {TARGET}` where rustup's own server\n    \
           (or a mirror of it that RUSTUP_DIST_SERVER names) can be reached.\n  \
         - On Debian, use a Rust version whose source Debian packages ({}): `apt-cache madison rust-src` lists them.\n  \
         - Run this again as a user who may write to {}.",
        debian::SUITES.join(" or "),
        toolchain.sysroot.display(),
    )
}
