//! The log of calls.

use super::query::Query;
use super::request::{List, Refusal, Request, Response};
use crate::pool::UnixMillis;
use crate::store::{self, ByStart, CallFilter, Database, LogFilter, LoggedCall, Order};
use crate::wire::parameters::Invalid;
use crate::wire::request_id::RequestId;
use serde::Serialize;

/// The values of a flag.
const FLAG: [(&str, i64); 2] = [("true", 1), ("false", 0)];

/// The members of a call, in order.
pub(super) const COLUMNS: [&str; 18] = [
    "id",
    "called_at",
    "request_id",
    "attempt",
    "key_id",
    "token_id",
    "model",
    "outcome",
    "success",
    "response_status",
    "error_message",
    "response_time_ms",
    "first_byte_ms",
    "input_tokens",
    "output_tokens",
    "thinking_tokens",
    "cached_tokens",
    "drill",
];

#[derive(Serialize)]
pub(super) struct CallReport {
    id: i64,
    called_at: Option<String>,
    request_id: Option<String>,
    attempt: Option<i64>,
    key_id: i64,
    /// `null` for the built-in token.
    token_id: Option<i64>,
    model: Option<String>,
    outcome: Option<String>,
    success: bool,
    response_status: Option<i64>,
    error_message: Option<String>,
    response_time_ms: Option<i64>,
    first_byte_ms: Option<i64>,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    thinking_tokens: Option<i64>,
    cached_tokens: Option<i64>,
    /// Whether a fault drill ended it.
    drill: bool,
}

impl CallReport {
    pub(super) fn of(call: LoggedCall) -> Self {
        Self {
            id: call.id,
            called_at: call.called_at,
            request_id: call.request_id,
            attempt: call.attempt,
            key_id: call.key,
            token_id: call.token,
            model: call.model,
            outcome: call.outcome,
            success: call.success,
            response_status: call.response_status,
            error_message: call.error_message,
            response_time_ms: call.response_time_ms,
            first_byte_ms: call.first_byte_ms,
            input_tokens: call.input_tokens,
            output_tokens: call.output_tokens,
            thinking_tokens: call.thinking_tokens,
            cached_tokens: call.cached_tokens,
            drill: call.drill,
        }
    }
}

/// A request with its attempts.
#[derive(Serialize)]
struct RequestReport {
    request_id: String,
    arrived_at: String,
    attempts: Vec<CallReport>,
}

/// `GET calls`: the latest first.
pub(super) async fn list(
    database: &impl Database,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let query = request.query()?;
    let filter = log_filter(&query)?;
    let sorts = [("called_at", ByStart)];
    let page = query.page(&sorts, (ByStart, Order::Descending))?;
    query.finish()?;
    let page = store::list_calls(database, &filter, &page).await?;
    Response::ok(&List::of(page, CallReport::of))
}

pub(super) fn call_filter(query: &Query) -> Result<CallFilter, Invalid> {
    Ok(CallFilter {
        from: time(query, "from")?,
        until: time(query, "until")?,
        key: query.number("key")?,
        token: query.number("token")?,
        model: query.take("model"),
        outcome: query.take("outcome"),
    })
}

pub(super) fn log_filter(query: &Query) -> Result<LogFilter, Invalid> {
    Ok(LogFilter {
        calls: call_filter(query)?,
        status: query.number("status")?,
        success: query.choose("success", &FLAG)?,
        drill: query.choose("drill", &FLAG)?,
        min_duration_ms: query.number("min_duration_ms")?,
    })
}

pub(super) fn time(query: &Query, name: &'static str) -> Result<Option<UnixMillis>, Invalid> {
    let time = query.take(name).map(|text| {
        UnixMillis::parse(&text)
            .ok_or_else(|| Invalid::about(name, "must be a time such as 2027-01-31T09:00:00Z"))
    });
    time.transpose()
}

/// `GET requests/{id}`: a request with its attempts.
pub(super) async fn show(
    database: &impl Database,
    id: Option<RequestId>,
) -> Result<Response, Refusal> {
    let id = id.ok_or(Refusal::UnknownRequest)?;
    let (request_id, arrived) = (id.to_string(), id.arrival());
    let attempts = store::attempts_of(database, &request_id, arrived).await?;
    if attempts.is_empty() {
        return Err(Refusal::UnknownRequest);
    }
    Response::ok(&RequestReport {
        request_id,
        arrived_at: arrived.to_iso(),
        attempts: attempts.into_iter().map(CallReport::of).collect(),
    })
}
