//! `keypool keys`: lists and changes of keys.

use crate::connection::{Connection, parse};
use crate::key_tests;
use crate::new_keys::{self, AddOptions, ImportOptions};
use crate::output::{Format, grouped, or_dash, state, table};
use anyhow::{Result, bail};
use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::Write;

/// The commands about keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Add keys from the standard input, or from a prompt that does not show them.
    ///
    /// They may be in any form: lines, commas, JSON, or CSV with a line of column names.
    Add(AddOptions),
    /// Add the keys in a file.
    Import(ImportOptions),
    /// Test keys with a call that costs nothing and generates nothing.
    Test {
        /// The ids of the keys; all keys if there is none.
        #[arg(value_name = "ID")]
        ids: Vec<u64>,
    },
    /// Write the state of all keys as JSON Lines, without the keys themselves.
    Export,
    /// List keys.
    List(ListOptions),
    /// Show one key.
    Show {
        /// The key's id.
        id: u64,
    },
    /// Change a key's name, priority, project, tags or note. An empty text clears.
    Edit(EditOptions),
    /// Take keys out of use. Calls under way go on.
    Disable {
        #[command(flatten)]
        keys: Ids,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Put keys back into use. Their cool-downs stay.
    Enable {
        #[command(flatten)]
        keys: Ids,
    },
    /// Take keys out of use for a while.
    Pause {
        #[command(flatten)]
        keys: Ids,
        /// Until when, in ISO 8601: 2027-01-31T09:00:00Z.
        #[arg(long, value_name = "TIME")]
        until: String,
    },
    /// Put keys back into use, and end the cool-downs of the keys and their projects.
    Reset {
        #[command(flatten)]
        keys: Ids,
    },
    /// Let the next calls of a key end with a fault, to see failover. Google gets none of them.
    Drill(DrillOptions),
    /// Delete keys. Their log rows stay.
    Delete {
        #[command(flatten)]
        keys: Ids,
    },
}

/// The keys that a command is about.
#[derive(Debug, clap::Args)]
pub struct Ids {
    /// The ids of the keys.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<u64>,
}

/// Which keys to list.
#[derive(Debug, Default, clap::Args)]
pub struct ListOptions {
    /// Keys in this state: active, cooling or disabled.
    #[arg(long)]
    status: Option<String>,
    /// Keys of this project.
    #[arg(long)]
    project: Option<String>,
    /// Keys with this tag.
    #[arg(long)]
    tag: Option<String>,
    /// Keys whose name, note or project contains this text.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// What to sort by: id, name, priority, total_calls or last_used_at; with a - before it, the
    /// largest first.
    #[arg(long, allow_hyphen_values = true)]
    sort: Option<String>,
}

/// What to change of a key.
#[derive(Debug, clap::Args)]
pub struct EditOptions {
    /// The key's id.
    id: u64,
    /// The name.
    #[arg(long)]
    name: Option<String>,
    /// The weight in a draw; 0 is never drawn while others can be.
    #[arg(long)]
    priority: Option<u32>,
    /// The Google project.
    #[arg(long)]
    project: Option<String>,
    /// A tag; can be repeated. These replace all tags, and an empty one removes them.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A note.
    #[arg(long)]
    note: Option<String>,
}

/// A fault drill.
#[derive(Debug, clap::Args)]
pub struct DrillOptions {
    /// The key's id.
    id: u64,
    /// How the calls end: 429, 503 or reset.
    #[arg(long, required_unless_present = "end")]
    fault: Option<String>,
    /// How many calls.
    #[arg(long, default_value_t = 1)]
    calls: u32,
    /// End the drill.
    #[arg(long, conflicts_with_all = ["fault", "calls"])]
    end: bool,
}

/// A key, as the API reports it.
#[derive(Deserialize)]
struct Key {
    id: i64,
    name: Option<String>,
    status: Option<String>,
    priority: i64,
    project: Option<String>,
    tags: Vec<String>,
    note: Option<String>,
    disabled_until: Option<String>,
    disabled_reason: Option<String>,
    total_calls: i64,
    success_calls: i64,
    last_used_at: Option<String>,
    last_outcome: Option<String>,
    drill: Option<Drill>,
}

#[derive(Deserialize)]
struct Drill {
    fault: String,
    calls_left: i64,
}

pub(crate) fn run(
    connection: &Connection,
    format: Format,
    command: KeysCommand,
    out: &mut impl Write,
) -> Result<()> {
    match command {
        KeysCommand::Add(options) => new_keys::add(connection, format, &options, out),
        KeysCommand::Import(options) => new_keys::import(connection, format, &options, out),
        KeysCommand::Test { ids } => key_tests::run(connection, format, &ids, out),
        KeysCommand::Export => {
            for key in all(connection, &ListOptions::default())? {
                writeln!(out, "{key}")?;
            }
            Ok(())
        }
        KeysCommand::List(options) => write(format, all(connection, &options)?, out),
        KeysCommand::Show { id } => {
            let json = connection.get(&format!("keys/{id}"))?;
            write(format, vec![parse(&json)?], out)
        }
        KeysCommand::Edit(options) => edit(connection, format, &options, out),
        KeysCommand::Disable { keys, reason } => {
            let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
            act(connection, format, &keys, "disable", &body, out)
        }
        KeysCommand::Enable { keys } => act(connection, format, &keys, "enable", &json!({}), out),
        KeysCommand::Pause { keys, until } => {
            let body = json!({ "until": until });
            act(connection, format, &keys, "pause", &body, out)
        }
        KeysCommand::Reset { keys } => act(connection, format, &keys, "reset", &json!({}), out),
        KeysCommand::Drill(DrillOptions {
            id,
            fault,
            calls,
            end,
        }) => {
            let body = match end {
                true => json!({ "calls": 0 }),
                false => json!({ "fault": fault, "calls": calls }),
            };
            act(
                connection,
                format,
                &Ids { ids: vec![id] },
                "drill",
                &body,
                out,
            )
        }
        KeysCommand::Delete { keys } => {
            for id in keys.ids {
                connection.change("DELETE", &format!("keys/{id}"), "")?;
                if format == Format::Table {
                    writeln!(out, "Key {id} is deleted.")?;
                }
            }
            Ok(())
        }
    }
}

/// The keys that the options select.
fn all(connection: &Connection, options: &ListOptions) -> Result<Vec<Value>> {
    connection.list(
        "keys",
        &[
            ("status", options.status.as_deref()),
            ("project", options.project.as_deref()),
            ("tag", options.tag.as_deref()),
            ("q", options.search.as_deref()),
            ("sort", options.sort.as_deref()),
        ],
    )
}

fn edit(
    connection: &Connection,
    format: Format,
    options: &EditOptions,
    out: &mut impl Write,
) -> Result<()> {
    let mut body = Map::new();
    let texts = [
        ("name", &options.name),
        ("project", &options.project),
        ("note", &options.note),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            let is_empty = text.trim().is_empty();
            let value = (!is_empty).then(|| text.clone());
            body.insert(name.to_owned(), value.into());
        }
    }
    if let Some(priority) = options.priority {
        body.insert("priority".to_owned(), priority.into());
    }
    if !options.tags.is_empty() {
        let tags = options.tags.iter().filter(|tag| !tag.trim().is_empty());
        body.insert("tags".to_owned(), tags.cloned().collect());
    }
    if body.is_empty() {
        bail!("there is nothing to change: see `keypool keys edit --help`");
    }
    let path = format!("keys/{}", options.id);
    let json = connection.change("PATCH", &path, &Value::Object(body).to_string())?;
    write(format, vec![parse(&json)?], out)
}

/// Does the same to several keys.
fn act(
    connection: &Connection,
    format: Format,
    keys: &Ids,
    action: &str,
    body: &Value,
    out: &mut impl Write,
) -> Result<()> {
    let mut changed = Vec::new();
    for id in &keys.ids {
        let path = format!("keys/{id}/{action}");
        changed.push(parse(&connection.change(
            "POST",
            &path,
            &body.to_string(),
        )?)?);
    }
    write(format, changed, out)
}

/// Writes keys: as a JSON array, or a table.
fn write(format: Format, keys: Vec<Value>, out: &mut impl Write) -> Result<()> {
    if format == Format::Json {
        return Ok(writeln!(out, "{}", Value::Array(keys))?);
    }
    let mut rows = table(&[
        "ID",
        "NAME",
        "STATE",
        "PRIORITY",
        "PROJECT",
        "TAGS",
        "CALLS",
        "SUCCESS",
        "LAST USED",
        "LAST OUTCOME",
        "NOTE",
    ]);
    for key in keys {
        let key: Key = serde_json::from_value(key)?;
        let success = (key.total_calls > 0).then(|| {
            let rate = key.success_calls as f64 * 100.0 / key.total_calls as f64;
            format!("{rate:.1} %")
        });
        let drill = key
            .drill
            .map(|Drill { fault, calls_left }| format!("drill: {fault}, calls left: {calls_left}"));
        let notes = [&drill, &key.disabled_reason, &key.disabled_until, &key.note];
        let notes: Vec<&str> = notes.into_iter().flatten().map(String::as_str).collect();
        rows.add_row([
            key.id.to_string().into(),
            or_dash(key.name.as_deref()).into(),
            state(key.status.as_deref().unwrap_or("broken")),
            key.priority.to_string().into(),
            or_dash(key.project.as_deref()).into(),
            or_dash(Some(&key.tags.join(", "))).into(),
            grouped(key.total_calls).into(),
            or_dash(success.as_deref()).into(),
            or_dash(key.last_used_at.as_deref()).into(),
            or_dash(key.last_outcome.as_deref()).into(),
            or_dash(Some(&notes.join("; "))).into(),
        ]);
    }
    writeln!(out, "{rows}")?;
    Ok(())
}
