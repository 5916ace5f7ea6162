//! An error that the upstream sent: whose fault it is, what the caller is told, and what is kept of it.

use super::Failure;
use super::ports::System;
use super::reply::Call;
use crate::gemini::{ApiError, classify, known_sentence};
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
            // These begin as Google's messages about keys, quotas and places do, and quote no request.
            Outcome::KeyRejected
            | Outcome::QuotaExceeded
            | Outcome::EgressRefused
            | Outcome::PoolFault => told.clone(),
            Outcome::ClientFault
            | Outcome::ResourceRefused
            | Outcome::UpstreamTrouble
            | Outcome::Success
            | Outcome::ClientGone => without_request_content(&error, status),
        };
        Self {
            outcome,
            message: kept,
            failure: Failure::Upstream {
                outcome,
                status,
                code: error.status.map(|code| code.to_ascii_lowercase()),
                message: told,
            },
        }
    }
}

/// Google's canonical code, and which known sentence the message is.
fn without_request_content(error: &ApiError, status: u16) -> String {
    let Some(message) = &error.message else {
        return format!("the upstream answered {status} without saying why");
    };
    let code = error.status.as_deref().filter(|code| {
        code.bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    });
    let says = known_sentence(message)
        .unwrap_or("a message that is not kept, since it may quote the request");
    match code {
        Some(code) => format!("{code}: {says}"),
        None => says.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_may_quote_a_request_is_kept() {
        for (body, kept) in [
            (
                r#"{"error":{"message":"Invalid value at 'messages[0].content' (TYPE_STRING), \"my prompt\"","status":"INVALID_ARGUMENT"}}"#,
                "INVALID_ARGUMENT: Invalid value in a field",
            ),
            (
                r#"{"error":{"message":"Unsupported value: my prompt","status":"INVALID_ARGUMENT"}}"#,
                "INVALID_ARGUMENT: a message that is not kept, since it may quote the request",
            ),
            (
                r#"{"error":{"message":"my prompt","status":"my prompt"}}"#,
                "a message that is not kept, since it may quote the request",
            ),
            ("", "the upstream answered 400 without saying why"),
        ] {
            let error = ApiError::parse(body.as_bytes());
            assert_eq!(without_request_content(&error, 400), kept, "{body}");
        }
    }
}
