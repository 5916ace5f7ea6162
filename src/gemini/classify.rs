//! From what came of a call to the fault behind it.
//!
//! Google says "your key is dead" with 400, 401 and 403, "this model is not for you" with 403, 404 and 429, and uses one
//! code for several faults, so the status alone never decides. Read top down, the first row that fits:
//!
//! | status | and | outcome |
//! |---|---|---|
//! | 200 | no error in the body | success |
//! | 200, or in a stream | an error | by the code that it names, 500 if none |
//! | 403, 429 | an HTML page (Google's automated-queries page, or somebody on the way) | egress refused |
//! | 400, 401, 503 | an HTML page | upstream trouble |
//! | 400 | reason `API_KEY_INVALID`, or a message that begins with "API key not valid / expired / not found" | key rejected |
//! | 400 | a message that begins with "Multiple authentication credentials" or "Missing or invalid Authorization header" | pool fault |
//! | 400 | a message that begins with "User location is not supported" | egress refused |
//! | 401 | an error of Google's | key rejected |
//! | 401 | anything else | upstream trouble |
//! | 403 | a message that begins with "Method doesn't allow unregistered callers": no key arrived | pool fault |
//! | 403 | reason `SERVICE_DISABLED`, or a message that begins as [`REFUSED_PROJECT`] says | project refused |
//! | 403 | reason `CONSUMER_SUSPENDED` or `API_KEY_…_BLOCKED`, or a message that begins as [`DEAD_KEY`] says | key rejected |
//! | 403 | anything else | resource refused |
//! | 404 | "This model models/… is no longer available" | model refused |
//! | 408, 499 | anything | upstream trouble |
//! | 429 | a message that begins with "Your prepayment credits are depleted" | billing exhausted |
//! | 429 | a limit of 0, or "MODEL doesn't have a free quota tier" | quota none |
//! | 429 | a quota whose name has "per day" in it | quota per day |
//! | 429 | a quota of any other name | quota per minute |
//! | 429 | "You exceeded your current quota" and how long to wait | quota per minute |
//! | 429 | anything else: bursts, shared capacity, a paid tier's, a body that cannot be read | quota unspecified |
//! | 503 | anything else | model overloaded |
//! | other 4xx | anything | client fault |
//! | everything else | anything | upstream trouble |
//! | none | the host denied the call | pool fault |
//! | none | any other reason | upstream trouble |
//!
//! Messages are looked at from their beginning alone: further on they quote the request, and a client that names a field
//! "API key not valid" must not disable a key with it. And a key or its project is condemned only by an error of
//! Google's, read to its end: one with a canonical code. Whoever else answers, such as a proxy on the way, does not know
//! the key.
//!
//! Sources: error bodies recorded from the API, <https://ai.google.dev/gemini-api/docs/troubleshooting>, and
//! <https://cloud.google.com/apis/design/errors>.

use super::{ApiError, TransportError, quota};
use crate::pool::{Limit, Outcome};
use http::HeaderMap;
use http::header::RETRY_AFTER;

/// How messages of a 403 begin that tell of a dead key, with a piece that must follow.
const DEAD_KEY: [(&str, &str); 3] = [
    ("Your API key was reported as leaked", ""),
    ("Permission denied: Consumer ", "has been suspended"),
    ("Requests to this API ", "are blocked"),
];

/// How messages of a 403 begin that tell of a project that is shut out, or has the API switched off.
const REFUSED_PROJECT: [&str; 2] = [
    "Generative Language API has not been used in project ",
    "Your project has been denied access",
];

/// Stands for the status of an error that came without one.
const NO_STATUS: u16 = 500;

/// What came of a call.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// A response.
    Response {
        /// HTTP status.
        status: u16,
        /// Response headers.
        headers: &'a HeaderMap,
        /// The body, as far as it came.
        body: &'a [u8],
    },
    /// An error in the middle of a stream whose head said 200: its JSON text, as far as it came.
    InStream(&'a [u8]),
    /// No response.
    NoResponse(&'a TransportError),
}

/// What it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// How the attempt ended, and whose fault that was.
    pub outcome: Outcome,
    /// The response's status. Of an error in a stream, the one that it names, 500 if none. `None` without a response.
    pub status: Option<u16>,
    /// How long the upstream asks to wait, in milliseconds; `None` if it does not say. Of no use for quotas that last
    /// until midnight: it is below a minute there, too.
    pub retry_after_ms: Option<u64>,
    /// The project that the key belongs to, as `projects/NUMBER`, where the error names it.
    pub project: Option<String>,
    /// The limits that the error teaches, for the project of the key and the model that was asked for.
    pub limits: Vec<Limit>,
    /// The error itself, without any field where there was none or it could not be read.
    pub error: ApiError,
}

/// Reads what came of a call. Total: whatever came has an outcome.
pub fn diagnose(seen: Seen<'_>) -> Diagnosis {
    match seen {
        Seen::Response {
            status,
            headers,
            body,
        } => {
            let (outcome, error) = if status == 200 {
                match ApiError::find(body) {
                    Some(error) => (classify(named_status(&error), &error), error),
                    None => (Outcome::Success, ApiError::default()),
                }
            } else {
                let error = ApiError::parse(body);
                (classify(status, &error), error)
            };
            let retry_after_ms = error.retry_after_ms.or_else(|| retry_after_ms(headers));
            Diagnosis {
                retry_after_ms: retry_after_ms.filter(|_| outcome != Outcome::Success),
                ..Diagnosis::new(outcome, Some(status), error)
            }
        }
        Seen::InStream(text) => {
            let error = ApiError::parse(text);
            let status = named_status(&error);
            Diagnosis::new(classify(status, &error), Some(status), error)
        }
        Seen::NoResponse(error) => {
            let outcome = match error {
                TransportError::Denied => Outcome::PoolFault,
                TransportError::TimedOut | TransportError::Failed(_) => Outcome::UpstreamTrouble,
            };
            Diagnosis::new(outcome, None, ApiError::default())
        }
    }
}

impl Diagnosis {
    fn new(outcome: Outcome, status: Option<u16>, error: ApiError) -> Self {
        Self {
            outcome,
            status,
            retry_after_ms: error.retry_after_ms,
            project: error.project.clone(),
            limits: quota::limits(&error),
            error,
        }
    }
}

/// The status of an error that came with 200: one of an error in any case.
fn named_status(error: &ApiError) -> u16 {
    error
        .code
        .filter(|code| (400..600).contains(code))
        .unwrap_or(NO_STATUS)
}

/// The header's seconds. A date says nothing without a clock.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    seconds.checked_mul(1000)
}

/// The outcome behind an error with this status.
fn classify(status: u16, error: &ApiError) -> Outcome {
    let message = error.message.as_deref().unwrap_or_default();
    let begins = |texts: &[&str]| texts.iter().any(|text| message.starts_with(text));
    let reason = error.reason.as_deref().unwrap_or_default();
    let is_googles = error.canonical_code().is_some();
    match status {
        403 | 429 if error.is_html => Outcome::EgressRefused,
        400 | 401 | 503 if error.is_html => Outcome::UpstreamTrouble,
        400 if is_googles
            && (reason == "API_KEY_INVALID"
                || begins(&[
                    "API key not valid",
                    "API key expired",
                    "API Key not found",
                    "API key not found",
                ])) =>
        {
            Outcome::KeyRejected
        }
        400 if begins(&[
            "Multiple authentication credentials",
            "Missing or invalid Authorization header",
        ]) =>
        {
            Outcome::PoolFault
        }
        400 if begins(&["User location is not supported"]) => Outcome::EgressRefused,
        401 if is_googles => Outcome::KeyRejected,
        401 => Outcome::UpstreamTrouble,
        403 if begins(&["Method doesn't allow unregistered callers"]) => Outcome::PoolFault,
        403 if is_googles && (reason == "SERVICE_DISABLED" || begins(&REFUSED_PROJECT)) => {
            Outcome::ProjectRefused
        }
        403 if is_googles
            && (is_dead_consumer(reason)
                || DEAD_KEY.iter().any(|(begins, holds)| {
                    message.starts_with(begins) && message.contains(holds)
                })) =>
        {
            Outcome::KeyRejected
        }
        403 => Outcome::ResourceRefused,
        404 if begins(&["This model models/"]) && message.contains("no longer available") => {
            Outcome::ModelRefused
        }
        408 | 499 => Outcome::UpstreamTrouble,
        429 => quota::outcome(error),
        503 => Outcome::ModelOverloaded,
        400..=498 => Outcome::ClientFault,
        _ => Outcome::UpstreamTrouble,
    }
}

fn is_dead_consumer(reason: &str) -> bool {
    reason == "CONSUMER_SUSPENDED"
        || (reason.starts_with("API_KEY_") && reason.ends_with("_BLOCKED"))
}

#[cfg(test)]
mod tests;
