//! `keypool explain MODEL`: which keys could serve a call now, and why the others could not.

use crate::connection::{Connection, parse, query};
use crate::output::{Format, or_dash, state, table};
use anyhow::Result;
use serde::Deserialize;
use std::io::Write;

#[derive(Deserialize)]
struct Explanation {
    model: String,
    alias: Option<Alias>,
    eligible: usize,
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Alias {
    name: String,
    pattern: String,
}

#[derive(Deserialize)]
struct Key {
    id: i64,
    name: Option<String>,
    project: Option<String>,
    eligible: bool,
    reason: Option<String>,
    detail: Option<String>,
    until: Option<String>,
    probability: f64,
    budgets: Vec<Budget>,
}

#[derive(Deserialize)]
struct Budget {
    unit: String,
    per: String,
    used: u64,
    limit: u64,
}

pub(crate) fn run(
    connection: &Connection,
    format: Format,
    model: &str,
    out: &mut impl Write,
) -> Result<()> {
    let query = query(&[("model", Some(model))]);
    let json = connection.get_older(&format!("/api/pool/explain?{query}"))?;
    match format {
        Format::Json => writeln!(out, "{json}")?,
        Format::Table => write(&parse(&json)?, out)?,
    }
    Ok(())
}

fn write(explanation: &Explanation, out: &mut impl Write) -> Result<()> {
    if let Some(Alias { name, pattern }) = &explanation.alias {
        writeln!(
            out,
            "{name} leads to {} (model_aliases: {pattern}).",
            explanation.model
        )?;
    }
    writeln!(
        out,
        "{} of {} keys can take a call for {} now.\n",
        explanation.eligible,
        explanation.keys.len(),
        explanation.model
    )?;
    let mut rows = table(&[
        "ID", "NAME", "PROJECT", "STATE", "UNTIL", "CHANCE", "BUDGETS",
    ]);
    for key in &explanation.keys {
        let reason = match (&key.reason, &key.detail) {
            _ if key.eligible => "eligible",
            (_, Some(detail)) => detail,
            (reason, None) => or_dash(reason.as_deref()),
        };
        rows.add_row([
            key.id.to_string().into(),
            or_dash(key.name.as_deref()).into(),
            or_dash(key.project.as_deref()).into(),
            state(reason),
            or_dash(key.until.as_deref()).into(),
            format!("{:.1} %", key.probability * 100.0).into(),
            budgets(&key.budgets).into(),
        ]);
    }
    writeln!(out, "{rows}")?;
    Ok(())
}

fn budgets(budgets: &[Budget]) -> String {
    let budgets: Vec<String> = budgets
        .iter()
        .map(|budget| {
            let Budget {
                unit,
                per,
                used,
                limit,
            } = budget;
            format!("{used}/{limit} {unit} per {per}")
        })
        .collect();
    match budgets.is_empty() {
        true => "-".to_owned(),
        false => budgets.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_why_a_key_cannot_serve() {
        let json = r#"{"model":"pro","alias":{"name":"claude-x","pattern":"claude-*"},"at":"","eligible":1,"keys":[
            {"id":1,"name":"Anna","project":null,"eligible":true,"reason":null,"detail":null,"until":null,"weight":1.0,"probability":1.0,
             "budgets":[{"scope":"key:1","model":null,"unit":"requests","per":"day","used":3,"limit":20,"resets_at":null}]},
            {"id":2,"name":null,"project":"projects/7","eligible":false,"reason":"disabled","detail":"key_rejected: expired","until":null,"weight":0.0,"probability":0.0,"budgets":[]}]}"#;
        let mut out = Vec::new();
        write(&parse(json).unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for expected in [
            "claude-x leads to pro (model_aliases: claude-*).",
            "1 of 2 keys can take a call for pro now.",
            "3/20 requests per day",
            "key_rejected: expired",
            "100.0 %",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }
}
