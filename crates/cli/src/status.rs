//! `keypool status`: the state of the pool at a glance.

use crate::connection::{Connection, parse};
use crate::output::{Format, grouped, or_dash, pause, state, table};
use anyhow::Result;
use serde::Deserialize;
use std::io::{IsTerminal, Write};

/// The options of `keypool status`.
#[derive(Debug, clap::Args)]
pub struct StatusOptions {
    /// Show the state again every 2 seconds, until Ctrl-C.
    #[arg(long)]
    watch: bool,
}

/// Clears a terminal.
const CLEAR: &str = "\x1b[2J\x1b[H";

#[derive(Deserialize)]
struct Status {
    data: Vec<Key>,
    suspicion: Option<Suspicion>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Key {
    id: i64,
    name: Option<String>,
    project: Option<String>,
    status: i64,
    total_calls: i64,
    success_rate: Option<f64>,
    last_outcome: Option<String>,
    disabled_until: Option<String>,
    disabled_reason: Option<String>,
    cooling: Vec<Cooling>,
}

#[derive(Deserialize)]
struct Cooling {
    model: Option<String>,
    reason: String,
    until: String,
}

#[derive(Deserialize)]
struct Suspicion {
    message: String,
}

impl Key {
    fn state(&self) -> &'static str {
        match self.status {
            1 => "active",
            2 => "cooling",
            0 => "disabled",
            _ => "broken",
        }
    }

    /// What keeps the key from serving, and until when.
    fn hindrances(&self) -> String {
        let own = match (&self.disabled_reason, &self.disabled_until) {
            (Some(reason), Some(until)) => Some(format!("{reason} until {until}")),
            (Some(reason), None) => Some(reason.clone()),
            (None, Some(until)) => Some(format!("paused until {until}")),
            (None, None) => None,
        };
        let cooling = self.cooling.iter().map(|cooling| {
            let model = cooling.model.as_deref().unwrap_or("all models");
            format!("{}: {} until {}", model, cooling.reason, cooling.until)
        });
        let all: Vec<String> = own.into_iter().chain(cooling).collect();
        or_dash(Some(&all.join("; "))).to_owned()
    }
}

pub(crate) fn run(
    connection: &Connection,
    format: Format,
    options: StatusOptions,
    out: &mut impl Write,
) -> Result<()> {
    loop {
        let json = connection.get_older("/api/keys/status")?;
        if options.watch && format == Format::Table && std::io::stdout().is_terminal() {
            write!(out, "{CLEAR}")?;
        }
        match format {
            Format::Json => writeln!(out, "{json}")?,
            Format::Table => write(&parse(&json)?, out)?,
        }
        if !options.watch {
            return Ok(());
        }
        out.flush()?;
        pause();
    }
}

fn write(status: &Status, out: &mut impl Write) -> Result<()> {
    let count = |state| {
        let keys = status.data.iter();
        keys.filter(|key| key.state() == state).count()
    };
    writeln!(
        out,
        "{} keys: {} active, {} cooling, {} disabled.",
        status.data.len(),
        count("active"),
        count("cooling"),
        count("disabled")
    )?;
    for warning in &status.warnings {
        writeln!(out, "Warning: {warning}")?;
    }
    if let Some(suspicion) = &status.suspicion {
        writeln!(out, "Warning: {}", suspicion.message)?;
    }
    let mut rows = table(&[
        "ID",
        "NAME",
        "PROJECT",
        "STATE",
        "CALLS",
        "SUCCESS",
        "LAST OUTCOME",
        "COOLING",
    ]);
    for key in &status.data {
        let success = key.success_rate.map(|rate| format!("{rate} %"));
        rows.add_row([
            key.id.to_string().into(),
            or_dash(key.name.as_deref()).into(),
            or_dash(key.project.as_deref()).into(),
            state(key.state()),
            grouped(key.total_calls).into(),
            or_dash(success.as_deref()).into(),
            or_dash(key.last_outcome.as_deref()).into(),
            key.hindrances().into(),
        ]);
    }
    writeln!(out, "\n{rows}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keys_and_says_what_keeps_them_from_serving() {
        let json = r#"{"success":true,"suspicion":null,"warnings":["my_api_token is short"],"data":[
            {"id":1,"name":"Anna","project":null,"status":1,"total_calls":12345,"success_rate":99.5,"last_outcome":"success","disabled_until":null,"disabled_reason":null,
             "cooling":[{"scope":"key:1","model":"m","reason":"quota_per_day","until":"2027-01-16T08:00:00.000Z"}]},
            {"id":2,"name":null,"project":null,"status":0,"total_calls":0,"success_rate":null,"last_outcome":null,"disabled_until":null,"disabled_reason":"leaked","cooling":[]}]}"#;
        let mut out = Vec::new();
        write(&parse(json).unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for expected in [
            "2 keys: 1 active, 0 cooling, 1 disabled.",
            "Warning: my_api_token is short",
            "12,345",
            "m: quota_per_day until 2027-01-16T08:00:00.000Z",
            "leaked",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }
}
