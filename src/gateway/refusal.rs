//! An error that the upstream sent: whose fault it is, what the caller is told, and what is kept of it.

use super::Failure;
use super::ports::System;
use super::reply::Call;
use crate::gemini::{ApiError, classify, kept};
use crate::pool::Outcome;
use crate::store::Database;

/// Stands for the status of an error that came without one.
const NO_STATUS: u16 = 500;

/// What an error of the upstream comes to.
pub(super) struct Refusal {
    pub(super) outcome: Outcome,
    /// For the log, which redacts it.
    pub(super) message: String,
    /// For the caller.
    pub(super) failure: Failure,
}

impl Refusal {
    /// `status` is that of the response; `None` for an error in the middle of a stream, whose own code counts.
    pub(super) fn new<D: Database, S: System>(
        status: Option<u16>,
        error: &ApiError,
        call: &Call<D, S>,
    ) -> Self {
        let said = match status {
            Some(status) => format!("the upstream answered {status} without saying why"),
            None => "the upstream sent an error without saying why".to_owned(),
        };
        let status = status.or(error.code).unwrap_or(NO_STATUS);
        let outcome = classify(status, error);
        let message = match (&error.message, error.canonical_code()) {
            (None, _) => said.clone(),
            (Some(message), None) => kept(message).to_owned(),
            (Some(message), Some(code)) => format!("{code}: {}", kept(message)),
        };
        Self {
            outcome,
            message,
            failure: Failure::Upstream {
                outcome,
                status,
                code: error.canonical_code().map(str::to_ascii_lowercase),
                message: error
                    .message
                    .as_deref()
                    .map_or(said, |message| call.redact(message)),
            },
        }
    }
}
