//! `keypool calls`: the log.

use crate::connection::{BROKEN_OFF, Connection, parse, query};
use crate::output::{Format, grouped, or_dash, pause, progress, table};
use anyhow::{Context, Result};
use clap::{Subcommand, ValueEnum};
use comfy_table::{Cell, Color};
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::Value;
use std::io::{IsTerminal, Read, Write};

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
    /// Write calls as a file, the earliest first.
    Export {
        #[command(flatten)]
        filter: CallFilter,
        /// The format of the file.
        #[arg(long, value_enum, default_value_t = FileFormat::JsonLines)]
        format: FileFormat,
    },
}

/// The format of exported calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// A line of column names, and a line for each call.
    Csv,
    /// A JSON object for each call, one a line.
    #[value(name = "jsonl")]
    JsonLines,
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

impl CallFilter {
    /// The parameters of a query.
    fn parameters(&self) -> [(&'static str, Option<&str>); 8] {
        [
            ("from", self.from.as_deref()),
            ("until", self.until.as_deref()),
            ("key", self.key.as_deref()),
            ("token", self.token.as_deref()),
            ("model", self.model.as_deref()),
            ("outcome", self.outcome.as_deref()),
            ("status", self.status.as_deref()),
            ("success", self.failed.then_some("false")),
        ]
    }
}

impl FileFormat {
    /// The name in the API.
    fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }
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
    drill: bool,
}

pub(crate) fn run(
    connection: &Connection,
    format: Format,
    command: &CallsCommand,
    out: &mut impl Write,
) -> Result<()> {
    match command {
        CallsCommand::List { filter, limit } => {
            let mut calls = Calls::new(connection, filter);
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
        CallsCommand::Export { filter, format } => export(connection, *format, filter, out),
    }
}

/// The calls that a filter selects, page by page, the latest first.
struct Calls<'a> {
    connection: &'a Connection,
    filter: &'a CallFilter,
    cursor: Option<String>,
    is_over: bool,
}

impl<'a> Calls<'a> {
    fn new(connection: &'a Connection, filter: &'a CallFilter) -> Self {
        Self {
            connection,
            filter,
            cursor: None,
            is_over: false,
        }
    }

    fn next_page(&mut self) -> Result<Option<Vec<Value>>> {
        if self.is_over {
            return Ok(None);
        }
        let parameters = [
            &[("sort", Some("-called_at"))],
            &self.filter.parameters()[..],
        ]
        .concat();
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
        let mut calls = Calls::new(connection, filter);
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

/// Writes calls as they arrive, with a count on a terminal that does not show the calls themselves.
fn export(
    connection: &Connection,
    format: FileFormat,
    filter: &CallFilter,
    out: &mut impl Write,
) -> Result<()> {
    let parameters = [&[("format", Some(format.name()))], &filter.parameters()[..]].concat();
    let progress = match std::io::stdout().is_terminal() {
        true => ProgressBar::hidden(),
        false => progress("0 calls are written"),
    };
    let mut file = connection.download(&format!("calls/export?{}", query(&parameters)))?;
    let mut count = CallCount::new(format);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = file.read(&mut buffer).context(BROKEN_OFF)?;
        if length == 0 {
            break;
        }
        let part = &buffer[..length];
        out.write_all(part)?;
        count.take(part);
        progress.set_message(format!("{} calls are written", count.calls()));
    }
    progress.finish_and_clear();
    Ok(())
}

/// Counts the calls in a file by its lines. A text in CSV may have line breaks, within quotes.
struct CallCount {
    format: FileFormat,
    lines: u64,
    is_quoted: bool,
}

impl CallCount {
    fn new(format: FileFormat) -> Self {
        Self {
            format,
            lines: 0,
            is_quoted: false,
        }
    }

    fn take(&mut self, part: &[u8]) {
        for byte in part {
            match byte {
                b'"' if self.format == FileFormat::Csv => self.is_quoted = !self.is_quoted,
                b'\n' if !self.is_quoted => self.lines += 1,
                _ => {}
            }
        }
    }

    fn calls(&self) -> u64 {
        match self.format {
            // The first line names the columns.
            FileFormat::Csv => self.lines.saturating_sub(1),
            FileFormat::JsonLines => self.lines,
        }
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
        let mark = if call.drill { " (drill)" } else { "" };
        let outcome = format!("{}{mark}", or_dash(call.outcome.as_deref()));
        rows.add_row([
            or_dash(call.called_at.as_deref()).into(),
            or_dash(call.request_id.as_deref()).into(),
            number(call.attempt).into(),
            call.key_id.to_string().into(),
            number(call.token_id).into(),
            or_dash(call.model.as_deref()).into(),
            Cell::new(outcome).fg(color),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_in_a_file_are_counted() {
        for (format, file, calls) in [
            (FileFormat::Csv, "", 0),
            (FileFormat::Csv, "id,message\r\n", 0),
            (
                FileFormat::Csv,
                "id,message\r\n1,\"a \"\"b\"\"\r\nc\"\r\n2,\r\n",
                2,
            ),
            (FileFormat::JsonLines, "{\"message\":\"a \\\"b\"}\n{}\n", 2),
        ] {
            let mut count = CallCount::new(format);
            for part in file.as_bytes().chunks(3) {
                count.take(part);
            }
            assert_eq!(count.calls(), calls, "{file}");
        }
    }
}
