//! An error that the upstream sent: whose fault it is, what the caller is told, and what is kept of it.

use super::Failure;
use super::ports::System;
use super::reply::Call;
use crate::gemini::{Seen, diagnose, kept};
use crate::pool::Outcome;
use crate::store::Database;

/// What an error of the upstream comes to.
pub(super) struct Refusal {
    pub(super) outcome: Outcome,
    /// For the log, which redacts it.
    pub(super) message: String,
    /// For the caller.
    pub(super) failure: Failure,
}

impl Refusal {
    pub(super) fn new<D: Database, S: System>(seen: Seen<'_>, call: &Call<D, S>) -> Self {
        let said = match seen {
            Seen::Response { status, .. } => {
                format!("the upstream answered {status} without saying why")
            }
            Seen::InStream(_) | Seen::NoResponse(_) => {
                "the upstream sent an error without saying why".to_owned()
            }
        };
        let diagnosis = diagnose(seen);
        let (outcome, error) = (diagnosis.outcome, diagnosis.error);
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
                status: diagnosis.status.unwrap_or(502),
                code: error.canonical_code().map(str::to_ascii_lowercase),
                message: error
                    .message
                    .as_deref()
                    .map_or(said, |message| call.redact(message)),
            },
        }
    }
}
