//! `keypool keys add` and `import`: keys for the pool.

use crate::connection::{Connection, parse, query};
use crate::output::{Format, or_dash, progress, table};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fs;
use std::io::{IsTerminal, Read, Write, stdin};
use std::path::{Path, PathBuf};

/// How to add keys.
#[derive(Debug, clap::Args)]
pub struct AddOptions {
    /// Change nothing, and say what would be added.
    #[arg(long)]
    dry_run: bool,
    /// Add keys, too, that were deleted after Google had rejected them.
    #[arg(long)]
    add_dead: bool,
}

/// A file with keys.
#[derive(Debug, clap::Args)]
pub struct ImportOptions {
    /// The file; - for the standard input.
    file: PathBuf,
    #[command(flatten)]
    options: AddOptions,
}

#[derive(Deserialize)]
struct Added {
    dry_run: bool,
    counts: Counts,
    items: Vec<Entry>,
}

#[derive(Deserialize)]
struct Counts {
    new: u64,
    duplicate: u64,
    known_dead: u64,
    malformed: u64,
}

#[derive(Deserialize)]
struct Entry {
    position: u64,
    status: String,
    hint: Option<String>,
    id: Option<i64>,
    reason: Option<String>,
}

/// Adds keys from the standard input, or from a prompt that does not show them.
pub(crate) fn add(
    connection: &Connection,
    format: Format,
    options: &AddOptions,
    out: &mut impl Write,
) -> Result<()> {
    let keys = match stdin().is_terminal() {
        true => rpassword::prompt_password("Keys (not shown): ")?,
        false => read_all()?,
    };
    send(connection, format, keys, options, out)
}

/// Adds the keys in a file.
pub(crate) fn import(
    connection: &Connection,
    format: Format,
    import: &ImportOptions,
    out: &mut impl Write,
) -> Result<()> {
    let keys = match import.file == Path::new("-") {
        true => read_all()?,
        false => fs::read_to_string(&import.file)
            .with_context(|| format!("cannot read {}", import.file.display()))?,
    };
    send(connection, format, keys, &import.options, out)
}

fn read_all() -> Result<String> {
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn send(
    connection: &Connection,
    format: Format,
    keys: String,
    options: &AddOptions,
    out: &mut impl Write,
) -> Result<()> {
    if keys.trim().is_empty() {
        bail!("there are no keys to add");
    }
    let query = query(&[
        ("dry_run", options.dry_run.then_some("true")),
        ("add_dead", options.add_dead.then_some("true")),
    ]);
    let progress = progress("the pool reads the keys");
    let json = connection.change("POST", &format!("keys?{query}"), &keys)?;
    progress.finish_and_clear();
    match format {
        Format::Json => Ok(writeln!(out, "{json}")?),
        Format::Table => write(&parse(&json)?, out),
    }
}

fn write(added: &Added, out: &mut impl Write) -> Result<()> {
    let mut rows = table(&["ENTRY", "KEY", "RESULT", "ID", "REASON"]);
    for entry in &added.items {
        rows.add_row([
            entry.position.to_string(),
            or_dash(entry.hint.as_deref()).to_owned(),
            entry.status.replace('_', " "),
            entry.id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            or_dash(entry.reason.as_deref()).to_owned(),
        ]);
    }
    let Counts {
        new,
        duplicate,
        known_dead,
        malformed,
    } = added.counts;
    let verb = match added.dry_run {
        true => "would be added",
        false => "added",
    };
    writeln!(
        out,
        "{rows}\n\n{new} {verb}, {duplicate} duplicate, {known_dead} known to be dead, \
         {malformed} malformed."
    )?;
    Ok(())
}
