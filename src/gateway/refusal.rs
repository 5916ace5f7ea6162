//! An error that the upstream sent: whose fault it is, what the caller is told, and what is kept of it.

use super::Failure;
use super::ports::System;
use super::reply::Call;
use crate::gemini::{ApiError, classify};
use crate::pool::Outcome;
use crate::store::Database;

/// What an error of the upstream comes to.
pub(super) struct Refusal {
    pub(super) outcome: Outcome,
    /// For the log.
    pub(super) message: String,
    /// For the caller.
    pub(super) failure: Failure,
}

impl Refusal {
    pub(super) fn new<D: Database, S: System>(
        status: u16,
        error: ApiError,
        call: &Call<D, S>,
    ) -> Self {
        let outcome = classify(status, &error);
        let told = match &error.message {
            Some(message) => call.redact(message),
            None => format!("the upstream answered {status} without saying why"),
        };
        let kept = match outcome {
            Outcome::ClientFault => without_request_content(&told),
            _ => &told,
        };
        Self {
            outcome,
            message: kept.to_owned(),
            failure: Failure::Upstream {
                outcome,
                status,
                code: error.status.map(|code| code.to_ascii_lowercase()),
                message: told,
            },
        }
    }
}

/// What may be kept of a message about a faulty request: Google quotes the offending value after the field's type
/// (`Invalid value at 'messages[0].content' (TYPE_STRING), "…"`), and that may be a piece of a prompt.
fn without_request_content(message: &str) -> &str {
    let line = message.lines().next().unwrap_or_default();
    match line.find("Invalid value at").and_then(|_| line.find("), ")) {
        Some(end) => line.get(..=end).unwrap_or(line),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::without_request_content;

    #[test]
    fn quoted_values_are_not_kept() {
        for (message, kept) in [
            (
                "Invalid value at 'messages[0].content' (TYPE_STRING), \"my secret prompt\"",
                "Invalid value at 'messages[0].content' (TYPE_STRING)",
            ),
            (
                "Request contains an invalid argument.",
                "Request contains an invalid argument.",
            ),
            ("first line\nmy prompt", "first line"),
            ("", ""),
        ] {
            assert_eq!(without_request_content(message), kept);
        }
    }
}
