//! Checks that dependencies have licences that `deny.toml` allows, and come from crates.io.
//!
//! `cargo deny` checks the same and more, but takes minutes to install. This needs Cargo alone.

use serde_json::Value;
use std::collections::BTreeSet;
use std::iter::Peekable;
use std::process::Command;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn dependencies_have_allowed_licences_and_come_from_crates_io() {
    let allowed = allowed_licences();
    assert!(!allowed.is_empty(), "deny.toml allows no licence");
    let mut problems = Vec::new();
    for package in packages() {
        let text = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
        let (name, licence, source) = (text("name"), text("license"), text("source"));
        if !is_allowed(&licence, &allowed) {
            problems.push(format!("{name}: the licence is `{licence}`"));
        }
        // Crates of this workspace have no source.
        if !source.is_empty() && source != CRATES_IO {
            problems.push(format!("{name}: comes from {source}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn licence_expressions_need_one_of_an_or_and_all_of_an_and() {
    let allowed =
        BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(String::from));
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("", false),
        ("MIT OR GPL-3.0", true),
        ("MIT/GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("MIT AND ISC", true),
        ("GPL-3.0 OR MIT AND ISC", true),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("(GPL-3.0 OR MIT) AND GPL-3.0", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

/// The packages that the component and the native programs are built of.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--filter-platform", "wasm32-wasip2"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap_or_else(|error| panic!("cargo metadata: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {errors}");
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("cargo metadata: {error}"));
    metadata["packages"].as_array().cloned().unwrap_or_default()
}

/// The texts in `allow = […]` of deny.toml.
fn allowed_licences() -> BTreeSet<String> {
    let lines = include_str!("../deny.toml").lines();
    lines
        .skip_while(|line| *line != "allow = [")
        .skip(1)
        .take_while(|line| *line != "]")
        .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// Whether an SPDX expression can be met by allowed licences alone. `/` is an old way to write
/// `OR`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    either(&mut spaced.split_whitespace().peekable(), allowed)
}

fn either<'a>(
    words: &mut Peekable<impl Iterator<Item = &'a str>>,
    allowed: &BTreeSet<String>,
) -> bool {
    let mut is_met = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        is_met |= all(words, allowed);
    }
    is_met
}

fn all<'a>(
    words: &mut Peekable<impl Iterator<Item = &'a str>>,
    allowed: &BTreeSet<String>,
) -> bool {
    let mut is_met = single(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        is_met &= single(words, allowed);
    }
    is_met
}

fn single<'a>(
    words: &mut Peekable<impl Iterator<Item = &'a str>>,
    allowed: &BTreeSet<String>,
) -> bool {
    let Some(word) = words.next() else {
        return false;
    };
    if word == "(" {
        let is_met = either(words, allowed);
        return words.next() == Some(")") && is_met;
    }
    let mut licence = word.to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        licence = format!("{word} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&licence)
}
