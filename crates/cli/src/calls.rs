//! `keypool calls`: the log.

use crate::connection::{Connection, parse};
use crate::output::{Format, grouped, or_dash, pause, table};
use anyhow::Result;
use clap::Subcommand;
use comfy_table::{Cell, Color};
use serde::Deserialize;
use serde_json::Value;
use std::io::Write;

/// The commands about the log.
#[derive(Debug, Subcommand)]
pub enum CallsCommand {
    /// List calls, the latest first.
    List {
        #[command(flatten)]
        filter: CallFilter,
        /// How many calls to list.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show calls as they end, until Ctrl-C.
    Follow {
        #[command(flatten)]
        filter: CallFilter,
    },
    /// Show a request with all its attempts.
    Show {
        /// The request's id, from `x-request-id`.
        id: String,
    },
    /// Write calls as JSON Lines, the earliest first.
    Export {
        #[command(flatten)]
        filter: CallFilter,
    },
}

/// Which calls.
#[derive(Debug, clap::Args)]
pub struct CallFilter {
    /// Calls that began at this time or later, in ISO 8601.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Calls that began before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Calls with this key.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Calls with this client token; 0 for my_api_token.
    #[arg(long, value_name = "ID")]
    token: Option<String>,
    /// Calls for this model.
    #[arg(long)]
    model: Option<String>,
    /// Calls that ended in this way, such as quota_per_day.
    #[arg(long)]
    outcome: Option<String>,
    /// Calls that Google answered with this status.
    #[arg(long)]
    status: Option<String>,
    /// Failed calls only.
    #[arg(long)]
    failed: bool,
}

#[derive(Deserialize)]
struct Request {
    attempts: Vec<Value>,
}

#[derive(Deserialize)]
struct Call {
    called_at: Option<String>,
    request_id: Option<String>,
    attempt: Option<i64>,
    key_id: i64,
    token_id: Option<i64>,
    model: Option<String>,
    outcome: Option<String>,
    success: bool,
    response_status: Option<i64>,
    response_time_ms: Option<i64>,
    first_byte_ms: Option<i64>,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
}

pub(crate) fn run(
    connection: &Connection,
    format: Format,
    command: &CallsCommand,
    out: &mut impl Write,
) -> Result<()> {
    match command {
        CallsCommand::List { filter, limit } => {
            let mut calls = Calls::new(connection, filter, "-called_at");
            let mut listed = Vec::new();
            while let (true, Some(page)) = (listed.len() < *limit, calls.next_page()?) {
                listed.extend(page);
            }
            listed.truncate(*limit);
            write(format, &listed, out)
        }
        CallsCommand::Follow { filter } => follow(connection, format, filter, out),
        CallsCommand::Show { id } => {
            let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
            let json = connection.get(&format!("requests/{id}"))?;
            match format {
                Format::Json => Ok(writeln!(out, "{json}")?),
                Format::Table => write(format, &parse::<Request>(&json)?.attempts, out),
            }
        }
        CallsCommand::Export { filter } => {
            let mut calls = Calls::new(connection, filter, "called_at");
            while let Some(page) = calls.next_page()? {
                write_lines(&page, out)?;
            }
            Ok(())
        }
    }
}

/// The calls that a filter selects, page by page.
struct Calls<'a> {
    connection: &'a Connection,
    filter: &'a CallFilter,
    sort: &'a str,
    cursor: Option<String>,
    is_over: bool,
}

impl<'a> Calls<'a> {
    fn new(connection: &'a Connection, filter: &'a CallFilter, sort: &'a str) -> Self {
        Self {
            connection,
            filter,
            sort,
            cursor: None,
            is_over: false,
        }
    }

    fn next_page(&mut self) -> Result<Option<Vec<Value>>> {
        if self.is_over {
            return Ok(None);
        }
        let filter = self.filter;
        let parameters = [
            ("sort", Some(self.sort)),
            ("from", filter.from.as_deref()),
            ("until", filter.until.as_deref()),
            ("key", filter.key.as_deref()),
            ("token", filter.token.as_deref()),
            ("model", filter.model.as_deref()),
            ("outcome", filter.outcome.as_deref()),
            ("status", filter.status.as_deref()),
            ("success", filter.failed.then_some("false")),
        ];
        let cursor = self.cursor.as_deref();
        let page = self.connection.page("calls", &parameters, cursor)?;
        self.is_over = page.next_cursor.is_none();
        self.cursor = page.next_cursor;
        Ok(Some(page.items))
    }
}

/// Shows calls as they end. A call is logged when it ends, so ids tell which are new.
fn follow(
    connection: &Connection,
    format: Format,
    filter: &CallFilter,
    out: &mut impl Write,
) -> Result<()> {
    let id = |call: &Value| call["id"].as_i64().unwrap_or(0);
    let mut last: Option<i64> = None;
    loop {
        let mut calls = Calls::new(connection, filter, "-called_at");
        let latest = calls.next_page()?.unwrap_or_default();
        let mut new: Vec<Value> = latest
            .iter()
            .filter(|call| last.is_some_and(|last| id(call) > last))
            .cloned()
            .collect();
        new.sort_by_key(id);
        if !new.is_empty() {
            match format {
                Format::Json => write_lines(&new, out)?,
                Format::Table => write(format, &new, out)?,
            }
            out.flush()?;
        }
        last = latest.iter().map(id).max().max(last).or(Some(0));
        pause();
    }
}

fn write_lines(calls: &[Value], out: &mut impl Write) -> Result<()> {
    for call in calls {
        writeln!(out, "{call}")?;
    }
    Ok(())
}

/// Writes calls: as a JSON array, or a table.
fn write(format: Format, calls: &[Value], out: &mut impl Write) -> Result<()> {
    if format == Format::Json {
        return Ok(writeln!(out, "{}", Value::Array(calls.to_vec()))?);
    }
    let mut rows = table(&[
        "TIME",
        "REQUEST",
        "ATTEMPT",
        "KEY",
        "TOKEN",
        "MODEL",
        "OUTCOME",
        "STATUS",
        "MS",
        "FIRST BYTE",
        "TOKENS IN",
        "TOKENS OUT",
    ]);
    let number = |number: Option<i64>| or_dash(number.map(grouped).as_deref()).to_owned();
    for call in calls {
        let call: Call = serde_json::from_value(call.clone())?;
        let color = if call.success {
            Color::Green
        } else {
            Color::Red
        };
        rows.add_row([
            or_dash(call.called_at.as_deref()).into(),
            or_dash(call.request_id.as_deref()).into(),
            number(call.attempt).into(),
            call.key_id.to_string().into(),
            number(call.token_id).into(),
            or_dash(call.model.as_deref()).into(),
            Cell::new(or_dash(call.outcome.as_deref())).fg(color),
            call.response_status
                .map_or("-".into(), |status| status.to_string())
                .into(),
            number(call.response_time_ms).into(),
            number(call.first_byte_ms).into(),
            number(call.input_tokens).into(),
            number(call.output_tokens).into(),
        ]);
    }
    writeln!(out, "{rows}")?;
    Ok(())
}
