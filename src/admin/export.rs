//! Exports of the log, which arrive page by page, so that memory stays bounded.

use super::calls::{COLUMNS, CallReport, log_filter};
use super::request::{Pages, Refusal, Request, Response};
use crate::store::{self, ByStart, Database, DatabaseError, LogFilter, Order, PageOf};
use futures::future::LocalBoxFuture;
use http::HeaderValue;
use serde_json::Value;
use std::rc::Rc;

/// The calls of a page.
const PAGE: u64 = 500;

/// The format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// A line of column names, then a line for each call (RFC 4180).
    Csv,
    /// A JSON object for each call, one a line.
    JsonLines,
}

const FORMATS: [(&str, Format); 2] = [("csv", Format::Csv), ("jsonl", Format::JsonLines)];

/// An export under way.
struct CallExport<D> {
    database: Rc<D>,
    format: Format,
    filter: LogFilter,
    /// The next page; `None` at the end.
    page: Option<PageOf<ByStart>>,
}

/// `GET calls/export`: the earliest first.
pub(super) fn export<D: Database>(
    database: &Rc<D>,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let query = request.query()?;
    let format = query.choose("format", &FORMATS)?;
    let filter = log_filter(&query)?;
    query.finish()?;
    Ok(Response::pages(CallExport {
        database: Rc::clone(database),
        format: format.unwrap_or(Format::Csv),
        filter,
        page: Some(PageOf {
            sort: ByStart,
            order: Order::Ascending,
            after: None,
            limit: PAGE,
        }),
    }))
}

impl<D: Database> Pages for CallExport<D> {
    fn next(&mut self) -> LocalBoxFuture<'_, Option<Result<Vec<u8>, DatabaseError>>> {
        Box::pin(async {
            let mut page = self.page.take()?;
            let mut text = String::new();
            if page.after.is_none() && self.format == Format::Csv {
                text.push_str(&COLUMNS.join(","));
                text.push_str("\r\n");
            }
            let calls = match store::list_calls(&*self.database, &self.filter, &page).await {
                Ok(calls) => calls,
                Err(error) => return Some(Err(error)),
            };
            for call in calls.items {
                self.format.write(&CallReport::of(call), &mut text);
            }
            if let Some(next) = calls.next {
                page.after = Some(next);
                self.page = Some(page);
            }
            Some(Ok(text.into_bytes()))
        })
    }

    fn content_type(&self) -> HeaderValue {
        HeaderValue::from_static(match self.format {
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::JsonLines => "application/jsonl",
        })
    }
}

impl Format {
    fn write(self, call: &CallReport, text: &mut String) {
        // Texts and numbers always serialize.
        match self {
            Self::JsonLines => {
                text.push_str(&serde_json::to_string(call).unwrap_or_default());
                text.push('\n');
            }
            Self::Csv => {
                let call = serde_json::to_value(call).unwrap_or_default();
                let fields: Vec<String> = COLUMNS.iter().map(|name| csv(&call[name])).collect();
                text.push_str(&fields.join(","));
                text.push_str("\r\n");
            }
        }
    }
}

/// A field of CSV; empty for null.
fn csv(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains(['"', ',', '\r', '\n']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
