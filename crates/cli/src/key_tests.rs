//! `keypool keys test`: tests keys with a call that costs nothing.

use crate::connection::{Connection, Page, parse};
use crate::output::{Format, or_dash, progress, state, table};
use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::Write;

#[derive(Deserialize)]
struct KeyTest {
    id: i64,
    name: Option<String>,
    outcome: Option<String>,
    message: Option<String>,
    duration_ms: u64,
    key_status: Option<String>,
}

/// Tests keys, or all if there are no ids.
pub(crate) fn run(
    connection: &Connection,
    format: Format,
    ids: &[u64],
    out: &mut impl Write,
) -> Result<()> {
    let progress = progress("0 keys are tested");
    let mut tests: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut body = json!({});
        if !ids.is_empty() {
            body["ids"] = json!(ids);
        }
        if let Some(cursor) = &cursor {
            body["cursor"] = json!(cursor);
        }
        let json = connection.change("POST", "keys/test", &body.to_string())?;
        let page: Page = parse(&json)?;
        tests.extend(page.items);
        progress.set_message(format!("{} keys are tested", tests.len()));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    progress.finish_and_clear();
    if format == Format::Json {
        return Ok(writeln!(out, "{}", Value::Array(tests))?);
    }
    let mut rows = table(&["ID", "NAME", "OUTCOME", "MS", "STATE", "MESSAGE"]);
    for test in tests {
        let test: KeyTest = serde_json::from_value(test)?;
        rows.add_row([
            test.id.to_string().into(),
            or_dash(test.name.as_deref()).into(),
            or_dash(test.outcome.as_deref()).into(),
            test.duration_ms.to_string().into(),
            state(or_dash(test.key_status.as_deref())),
            or_dash(test.message.as_deref()).into(),
        ]);
    }
    writeln!(out, "{rows}")?;
    Ok(())
}
