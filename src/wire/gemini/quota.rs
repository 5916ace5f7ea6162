//! Reads the quotas named by a 429.
//!
//! Google names quotas in three places: the violations of `QuotaFailure`, lines of the message (`*
//! Quota exceeded for metric: M, limit: N, model: X`), and, for the older Service Control, the
//! metadata of `ErrorInfo`. The ids are not documented, so these rules match fragments of ids seen
//! in errors:
//!
//! | id contains | and | reveals a limit of |
//! |---|---|---|
//! | `EmbedContent` | `Requests` | texts, of which a call may have many |
//! | `PerRegion` | | nothing: it counts the calls of all models together |
//! | `BatchEmbedContent` | | nothing: it is unknown whether it counts calls or texts |
//! | `PerDay`, `PerMinute` | `InputTokens`, or a metric with `input_token_count` | input tokens |
//! | `PerDay`, `PerMinute` | `Requests` | requests |
//! | anything else | | nothing |
//!
//! `retryDelay` is short even if a daily quota is exhausted
//! (<https://ai.google.dev/gemini-api/docs/rate-limits>), so it never decides which quota it was.

use super::ApiError;
use super::violation::{EXCEEDED, QuotaViolation, has_no_free_tier, lines, named_window};
use crate::pool::{Limit, Unit, Window};

/// The kind of quota that a 429 names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuotaKind {
    /// A quota of 0: the project's plan does not include the model.
    Zero,
    /// A daily quota. It outlasts any per-minute quota.
    Day,
    /// A per-minute quota, or one with an unknown id; these recover after the requested wait, which
    /// is at most a minute.
    Minute,
    /// No quota, but a wait.
    Wait,
    /// No quota and no wait.
    Nothing,
}

/// Returns the kind of quota that a 429 names.
pub(super) fn kind(error: &ApiError) -> QuotaKind {
    let message = error.message.as_deref().unwrap_or_default();
    let has_zero = error.violations.iter().any(|it| it.value == Some(0))
        || lines(message).any(|(_, limit)| limit == 0);
    if has_zero || has_no_free_tier(message) {
        return QuotaKind::Zero;
    }
    let windows = error.violations.iter().filter_map(QuotaViolation::window);
    match windows.chain(named_window(message)).max() {
        Some(Window::Day) => QuotaKind::Day,
        Some(Window::Minute) => QuotaKind::Minute,
        None if !error.violations.is_empty() => QuotaKind::Minute,
        None if message.starts_with(EXCEEDED) && error.retry_after_ms.is_some() => QuotaKind::Wait,
        None => QuotaKind::Nothing,
    }
}

/// Whether an error names a quota of a server-side tool.
pub(super) fn names_tool(error: &ApiError) -> bool {
    error.violations.iter().any(|violation| {
        let name = format!("{} {}", violation.id(), violation.metric()).to_ascii_lowercase();
        [
            "grounding",
            "search",
            "maps",
            "code_execution",
            "codeexecution",
        ]
        .iter()
        .any(|tool| name.contains(tool))
    })
}

/// Returns the limits revealed by an error, sorted and without duplicates. If it lists no
/// violations, the lines of a message that asks to wait reveal per-minute limits.
pub(super) fn limits(error: &ApiError) -> Vec<Limit> {
    let message = error.message.as_deref().unwrap_or_default();
    let in_message = lines(message)
        .filter(|_| error.violations.is_empty() && error.retry_after_ms.is_some())
        .filter(|(metric, _)| metric.contains("input_token_count"))
        .map(|(_, value)| Limit {
            unit: Unit::InputTokens,
            window: Window::Minute,
            value,
        })
        .filter(|limit| limit.value > 0);
    let in_violations = error.violations.iter().filter_map(QuotaViolation::limit);
    let mut limits = Vec::new();
    for limit in in_violations.chain(in_message) {
        if let Err(at) = limits.binary_search(&limit) {
            limits.insert(at, limit);
        }
    }
    limits
}

#[cfg(test)]
mod tests;
