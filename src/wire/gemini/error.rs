//! Parses Google's error bodies.
//!
//! The OpenAI-compatible surface wraps the error in an array of one (`[{"error":{…}}]`,
//! pretty-printed), the native one sends the bare object; both contain a `google.rpc.Status`
//! (<https://cloud.google.com/apis/design/errors>). The Interactions API has named codes instead.
//! Errors arrive as plain JSON, as the data of an event, or as JSON labelled as an event stream,
//! and any of these may be compressed. Front ends answer with HTML, an empty body, or a truncated
//! one. All of these are handled; an unreadable body yields an [`ApiError`] without any field.
//!
//! Fields are read one by one, so that one of an unexpected type does not invalidate the others.

use super::violation::{self, QuotaViolation};
use super::{body, duration};
use crate::wire::json::parse_first;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::marker::PhantomData;

/// Error codes of the Interactions API, with their HTTP status and canonical code.
///
/// Source: <https://ai.google.dev/gemini-api/docs/api-errors>.
const NAMED_CODES: [(&str, u16, &str); 18] = [
    ("invalid_request", 400, "INVALID_ARGUMENT"),
    ("parameter_unknown", 400, "INVALID_ARGUMENT"),
    ("failed_precondition", 400, "FAILED_PRECONDITION"),
    ("out_of_range", 416, "OUT_OF_RANGE"),
    ("authentication", 401, "UNAUTHENTICATED"),
    ("payment_required", 402, "RESOURCE_EXHAUSTED"),
    ("permission_denied", 403, "PERMISSION_DENIED"),
    ("not_found", 404, "NOT_FOUND"),
    ("model_not_found", 404, "NOT_FOUND"),
    ("already_exists", 409, "ALREADY_EXISTS"),
    ("aborted", 409, "ABORTED"),
    ("rate_limit_exceeded", 429, "RESOURCE_EXHAUSTED"),
    ("quota_exceeded", 429, "RESOURCE_EXHAUSTED"),
    ("too_many_requests", 429, "RESOURCE_EXHAUSTED"),
    ("api_error", 500, "INTERNAL"),
    ("unimplemented", 501, "UNIMPLEMENTED"),
    ("service_unavailable", 503, "UNAVAILABLE"),
    ("deadline_exceeded", 504, "DEADLINE_EXCEEDED"),
];

/// Further error codes, for blocked or malformed output. Their status is 400.
const BLOCKED: [&str; 17] = [
    "blocklist",
    "content_blocked",
    "image_other",
    "image_prohibited_content",
    "image_recitation",
    "image_safety",
    "language",
    "malformed_function_call",
    "malformed_tool_call",
    "missing_thought_signature",
    "no_image",
    "prohibited_content",
    "recitation",
    "safety",
    "spii",
    "too_many_tool_calls",
    "unexpected_tool_call",
];

/// The parts of an error body that decide its meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status in the body. It matters for errors within a stream, which have no other.
    pub code: Option<u16>,
    /// Google's canonical code, such as `RESOURCE_EXHAUSTED`.
    pub status: Option<String>,
    /// The human-readable message. It may echo a key, or the request's content if a field was
    /// invalid.
    pub message: Option<String>,
    /// `reason` of the first `google.rpc.ErrorInfo`, such as `API_KEY_INVALID`, or a named code
    /// such as `QUOTA_EXCEEDED`.
    pub reason: Option<String>,
    /// The exceeded quotas, from `google.rpc.QuotaFailure` or Service Control's `ErrorInfo`.
    pub violations: Vec<QuotaViolation>,
    /// How long to wait, in milliseconds: the longer of `google.rpc.RetryInfo`, which drops
    /// fractions of a second, and the wait named by the message.
    pub retry_after_ms: Option<u64>,
    /// The project of the key, as `projects/NUMBER`.
    pub project: Option<String>,
    /// The service that refused, such as `generativelanguage.googleapis.com`, if the error names
    /// it.
    pub service: Option<String>,
    /// The body is an HTML page, from a front end or an intermediary rather than the API.
    pub is_html: bool,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl ApiError {
    /// Returns [`status`](Self::status) if it looks like a canonical code. Nothing else from a body
    /// is repeated unchecked.
    pub fn canonical_code(&self) -> Option<&str> {
        let code = self.status.as_deref()?;
        let fits = (1..=40).contains(&code.len())
            && code
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        fits.then_some(code)
    }

    /// Parses an error body in any of its forms.
    pub fn parse(body: &[u8]) -> Self {
        let body = body::unpacked(body);
        Self::in_envelope(&body).unwrap_or_else(|| Self {
            is_html: body::without_padding(&body).starts_with(b"<"),
            ..Self::default()
        })
    }

    /// Finds the error in a body that may also be a regular answer.
    pub(super) fn find(body: &[u8]) -> Option<Self> {
        Self::in_envelope(&body::unpacked(body))
    }

    fn in_envelope(body: &[u8]) -> Option<Self> {
        let text = body::without_padding(body);
        match text.first()? {
            b'{' | b'[' => Self::read(error_field(text)?),
            _ => {
                let event = body::first_event(text)?;
                Self::read(error_field(body::without_padding(&event))?)
            }
        }
    }

    fn read(error: &RawValue) -> Option<Self> {
        match serde_json::from_str(error.get()).ok()? {
            Value::Object(error) => Some(Self::from_status(&error)),
            Value::String(message) => Some(Self {
                message: Some(message),
                ..Self::default()
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
        }
    }

    /// Reads a `google.rpc.Status`.
    fn from_status(status: &Map<String, Value>) -> Self {
        let details = status.get("details").and_then(Value::as_array);
        let details = details.map(Vec::as_slice).unwrap_or_default();
        let message = text(status.get("message"));
        let words = message.as_deref().unwrap_or_default();

        let each = |name: &'static str| details.iter().filter_map(move |detail| detail.get(name));
        let waits = each("retryDelay")
            .filter_map(Value::as_str)
            .chain(violation::wait_in_message(words))
            .filter_map(duration::milliseconds);
        let consumers = each("metadata")
            .filter_map(|metadata| metadata.get("consumer")?.as_str())
            .chain(consumer_in_message(words));
        let listed = each("violations")
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(|it| violation(it, ["quotaMetric", "quotaId", "quotaValue"]));
        let in_metadata = each("metadata")
            .filter_map(|it| violation(it, ["quota_metric", "quota_limit", "quota_limit_value"]));
        let service = each("metadata").find_map(|metadata| text(metadata.get("service")));
        let code = status.get("code");
        let named = code.and_then(Value::as_str).and_then(named_code);
        Self {
            code: number(code)
                .and_then(|code| u16::try_from(code).ok())
                .or(named.map(|(_, status, _)| status)),
            status: text(status.get("status")).or(named.map(|(_, _, code)| code.to_owned())),
            reason: each("reason")
                .find_map(|reason| text(Some(reason)))
                .or(named.map(|(name, _, _)| name.to_ascii_uppercase())),
            violations: listed
                .chain(in_metadata)
                .map(|it| QuotaViolation {
                    value: it
                        .value
                        .or_else(|| violation::limit_in_message(words, it.metric.as_deref()?)),
                    ..it
                })
                .collect(),
            retry_after_ms: waits.max(),
            project: consumers.filter_map(project).next(),
            service,
            message,
            is_html: false,
        }
    }
}

/// Returns `error` of the object, or of the first object in the array, without parsing the rest.
fn error_field(json: &[u8]) -> Option<&RawValue> {
    let object = match json {
        [b'[', ..] => first::<Vec<&RawValue>>(json)?.first()?.get().as_bytes(),
        _ => json,
    };
    // Serde would also accept an array with the struct's fields in order.
    object
        .starts_with(b"{")
        .then(|| first::<Envelope<'_>>(object))??
        .error
}

/// Parses the JSON value at the start of the text. Within a stream, more may follow it.
fn first<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Option<T> {
    parse_first(PhantomData, json)
}

fn named_code(name: &str) -> Option<(&'static str, u16, &'static str)> {
    let blocked = BLOCKED.map(|name| (name, 400, "INVALID_ARGUMENT"));
    NAMED_CODES
        .into_iter()
        .chain(blocked)
        .find(|(known, _, _)| *known == name)
}

fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(str::to_owned)
}

/// Reads a number. Protobuf's JSON writes 64-bit integers as strings.
fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64(),
    }
}

/// Reads a violation from an object with these field names; `None` if it has neither metric nor id.
fn violation(object: &Value, [metric, id, value]: [&str; 3]) -> Option<QuotaViolation> {
    let violation = QuotaViolation {
        metric: text(object.get(metric)),
        id: text(object.get(id)),
        value: number(object.get(value)),
    };
    (violation.metric.is_some() || violation.id.is_some()).then_some(violation)
}

/// Returns the consumer named by a message from Service Control.
fn consumer_in_message(message: &str) -> Option<&str> {
    let (_, rest) = message
        .strip_prefix(violation::SERVICE_CONTROL)?
        .split_once(" for consumer '")?;
    rest.split('\'').next()
}

/// Returns `projects/NUMBER` if the consumer is a project. A consumer may also be named by its key,
/// which must not be stored.
fn project(consumer: &str) -> Option<String> {
    let number = consumer
        .strip_prefix("projects/")
        .or_else(|| consumer.strip_prefix("project_number:"))?;
    let fits = (1..=20).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| format!("projects/{number}"))
}

#[cfg(test)]
mod tests;
