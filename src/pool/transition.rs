//! How a verdict changes a key's state.
//!
//! | verdict | consecutive failures | status |
//! |---|---|---|
//! | works | 0 | active; a disabled key stays disabled, since only an operator reactivates it |
//! | failed, 1st in a row | 1 | unchanged |
//! | failed, 2nd to 4th in a row | + 1 | cooling for 30 minutes |
//! | failed, 5th in a row or later | + 1 | disabled |
//! | failed while cooling | unchanged | unchanged: concurrent calls are one incident and must not add up to disabling the key, nor reduce its weight to 0 |
//! | rejected, without a success within the last 7 days | + 1 | disabled |
//! | rejected, with a success within the last 7 days | + 1 | cooling for 30 minutes: Google sometimes rejects good keys for minutes |
//! | rejected again, without a success in between | + 1 | disabled |
//! | rejected while cooling, with a success within the last 7 days | unchanged | unchanged |
//! | restricted | unchanged | cooling for 30 minutes; only the operator can lift the restriction |
//! | unknown | unchanged | unchanged |

use super::{KeyState, KeyStatus, UnixMillis, Verdict};

/// How many consecutive failures pause a key.
pub const FAILURES_UNTIL_PAUSE: i64 = 2;
/// How many consecutive failures disable a key.
pub const FAILURES_UNTIL_DISABLED: i64 = 5;
/// Length of a pause in milliseconds: 30 minutes.
pub const PAUSE_MS: i64 = 30 * 60 * 1000;

/// How long a success counts in a key's favour, in milliseconds: 7 days.
const WORKED_LATELY_MS: i64 = 7 * 24 * 3600 * 1000;

/// The history of a key, as far as it matters for a rejection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record {
    /// When the latest successful call ended.
    pub last_success_at: Option<UnixMillis>,
    /// When the latest successful call began.
    pub last_success_began_at: Option<UnixMillis>,
    /// When the key was last rejected.
    pub rejected_at: Option<UnixMillis>,
}

impl Record {
    /// Ignores a success in the future, which a wrong clock has written.
    fn worked_lately(&self, now: UnixMillis) -> bool {
        self.last_success_at
            .is_some_and(|at| at <= now && now.since(at) <= WORKED_LATELY_MS)
    }

    /// Whether the key was rejected before a call that ends at `now`, but after its latest success.
    fn was_rejected(&self, now: UnixMillis) -> bool {
        let since_success = |at: UnixMillis| Some(at) > self.last_success_began_at && at <= now;
        self.rejected_at.is_some_and(since_success)
    }
}

/// The state after a verdict that was reached at `now`. Covers every state and verdict.
pub fn transition(state: KeyState, verdict: Verdict, record: Record, now: UnixMillis) -> KeyState {
    let failures = state.consecutive_failures.max(0);
    let is_pausing =
        state.status == KeyStatus::Cooling && state.disabled_until.is_some_and(|until| until > now);
    let paused = |consecutive_failures| KeyState {
        status: KeyStatus::Cooling,
        consecutive_failures,
        disabled_until: Some(now.plus(PAUSE_MS)),
    };
    let disabled = |consecutive_failures| KeyState {
        status: KeyStatus::Disabled,
        consecutive_failures,
        disabled_until: None,
    };
    match verdict {
        Verdict::Unknown => state,
        Verdict::Works => KeyState {
            status: match state.status {
                KeyStatus::Active | KeyStatus::Cooling => KeyStatus::Active,
                KeyStatus::Disabled => KeyStatus::Disabled,
            },
            consecutive_failures: 0,
            disabled_until: None,
        },
        Verdict::Rejected => {
            let may_recover = state.status != KeyStatus::Disabled && record.worked_lately(now);
            if may_recover && is_pausing {
                return state;
            }
            let failures = failures.saturating_add(1);
            if may_recover && !record.was_rejected(now) {
                return paused(failures);
            }
            disabled(failures)
        }
        Verdict::Restricted if state.status == KeyStatus::Disabled || is_pausing => state,
        Verdict::Restricted => paused(failures),
        Verdict::Failed if is_pausing => state,
        Verdict::Failed => match failures.saturating_add(1) {
            failures if state.status == KeyStatus::Disabled => KeyState {
                consecutive_failures: failures,
                ..state
            },
            failures @ FAILURES_UNTIL_DISABLED.. => disabled(failures),
            failures @ FAILURES_UNTIL_PAUSE.. => paused(failures),
            failures => KeyState {
                consecutive_failures: failures,
                ..state
            },
        },
    }
}

#[cfg(test)]
mod tests;
