//! Statistics of calls per hour, day, key, model and client token.

use super::calls::call_filter;
use super::query::{Query, chosen};
use super::request::{List, Refusal, Request, Response};
use crate::pool::{HOUR_MS, UnixMillis};
use crate::store::{self, CallGroup, Database, Dimension, Durations, Grouping, Value};
use crate::wire::parameters::Invalid;
use serde::Serialize;
use serde_json::Map;

/// The hours before now that are counted unless the request says otherwise.
const DEFAULT_HOURS: i64 = 24;

const DIMENSIONS: [(&str, Dimension); 5] = [
    ("hour", Dimension::Hour),
    ("day", Dimension::Day),
    ("key", Dimension::Key),
    ("model", Dimension::Model),
    ("token", Dimension::Token),
];

/// A group of calls. It has only the members by which they are grouped, of the first five.
#[derive(Serialize)]
struct GroupReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    hour: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// `null` for the built-in token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<Option<i64>>,
    /// Attempts.
    calls: i64,
    /// Attempts that were the first of a request.
    requests: i64,
    successes: i64,
    outcomes: Map<String, serde_json::Value>,
    input_tokens: i64,
    output_tokens: i64,
    thinking_tokens: i64,
    cached_tokens: i64,
    longest_ms: i64,
    duration_ms: DurationReport,
    first_byte_ms: DurationReport,
}

/// Durations in milliseconds; `null` without any.
#[derive(Serialize)]
struct DurationReport {
    mean: Option<i64>,
    p50: Option<i64>,
    p95: Option<i64>,
    p99: Option<i64>,
}

/// `GET statistics`: sums and percentiles of calls, from the hourly sums.
pub(super) async fn list(
    database: &impl Database,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let query = request.query()?;
    let mut filter = call_filter(&query)?;
    filter.from = filter.from.or_else(|| Some(default_from(request.now)));
    let by = dimensions(&query)?;
    let grouping = Grouping {
        after: query.cursor(by.len())?,
        limit: query.limit()?,
        by,
    };
    query.finish()?;
    let page = store::call_statistics(database, &filter, &grouping, request.now).await?;
    Response::ok(&List::of(page, |group| {
        GroupReport::of(group, &grouping.by)
    }))
}

/// The start of the hour that began so many hours before the current one.
pub(super) fn default_from(now: UnixMillis) -> UnixMillis {
    now.plus(-now.0.rem_euclid(HOUR_MS) - DEFAULT_HOURS * HOUR_MS)
}

/// Takes `by`: dimensions between commas, or `none`.
fn dimensions(query: &Query) -> Result<Vec<Dimension>, Invalid> {
    let Some(names) = query.take("by") else {
        return Ok(vec![Dimension::Hour]);
    };
    if names == "none" {
        return Ok(Vec::new());
    }
    let mut by = Vec::new();
    for name in names.split(',') {
        let dimension = chosen(name.trim(), &DIMENSIONS).map_err(|invalid| invalid.within("by"))?;
        if by.contains(&dimension) {
            return Err(Invalid::about("by", "has a name twice"));
        }
        by.push(dimension);
    }
    Ok(by)
}

impl GroupReport {
    fn of(group: CallGroup, by: &[Dimension]) -> Self {
        let value = |dimension| {
            let place = by.iter().position(|by| *by == dimension)?;
            group.values.get(place)
        };
        let text = |dimension| match value(dimension)? {
            Value::Text(text) => Some(text.clone()),
            Value::Null | Value::Integer(_) | Value::Real(_) | Value::Blob(_) => None,
        };
        let id = |dimension| match value(dimension)? {
            Value::Integer(id) => Some(*id),
            Value::Null | Value::Text(_) | Value::Real(_) | Value::Blob(_) => None,
        };
        Self {
            hour: text(Dimension::Hour),
            day: text(Dimension::Day),
            key_id: id(Dimension::Key),
            model: text(Dimension::Model),
            token_id: id(Dimension::Token).map(|id| Some(id).filter(|id| *id != 0)),
            calls: group.durations.count,
            requests: group.requests,
            successes: group.successes,
            outcomes: group
                .outcomes
                .into_iter()
                .map(|(outcome, calls)| (outcome, calls.into()))
                .collect(),
            input_tokens: group.input_tokens,
            output_tokens: group.output_tokens,
            thinking_tokens: group.thinking_tokens,
            cached_tokens: group.cached_tokens,
            longest_ms: group.longest_ms,
            duration_ms: DurationReport::of(group.durations),
            first_byte_ms: DurationReport::of(group.first_bytes),
        }
    }
}

impl DurationReport {
    fn of(durations: Durations) -> Self {
        Self {
            mean: durations.total_ms.checked_div(durations.count),
            p50: durations.p50_ms,
            p95: durations.p95_ms,
            p99: durations.p99_ms,
        }
    }
}
