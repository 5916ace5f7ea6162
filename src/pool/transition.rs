//! What an outcome does to a key's state.
//!
//! | verdict | consecutive failures | status |
//! |---|---|---|
//! | works | 0 | active; a disabled key stays disabled, since only a person brings it back |
//! | failed, 1st in a row | 1 | as it was |
//! | failed, 2nd to 4th in a row | + 1 | cooling for 30 minutes |
//! | failed, 5th in a row or later | + 1 | disabled |
//! | failed while already cooling | as it was | as it was: calls that were under way together are one incident, and must not add up to a ban, nor to a weight of nothing |
//! | rejected, and never worked within the last 7 days | + 1 | disabled |
//! | rejected, though it has worked within the last 7 days | + 1 | cooling for 30 minutes: Google rejects good keys for minutes at times |
//! | rejected once more, without a success in between | + 1 | disabled |
//! | rejected while already cooling, though it has worked within the last 7 days | as it was | as it was |
//! | restricted | as it was | cooling for 30 minutes; the restriction is the operator's to change |
//! | unknown | as it was | as it was |

use super::{KeyState, KeyStatus, UnixMillis, Verdict};

/// From this many failures in a row on, a key pauses.
pub const FAILURES_UNTIL_PAUSE: i64 = 2;
/// From this many failures in a row on, a key is disabled.
pub const FAILURES_UNTIL_DISABLED: i64 = 5;
/// Length of a pause in milliseconds: 30 minutes.
pub const PAUSE_MS: i64 = 30 * 60 * 1000;

/// How long a success speaks for a key, in milliseconds: 7 days.
const WORKED_LATELY_MS: i64 = 7 * 24 * 3600 * 1000;

/// What a key's past says about a rejection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record {
    /// When the latest call that worked ended.
    pub last_success_at: Option<UnixMillis>,
    /// When the latest call that worked began.
    pub last_success_began_at: Option<UnixMillis>,
    /// When the key was last rejected.
    pub rejected_at: Option<UnixMillis>,
}

impl Record {
    /// A success in the future says nothing: a clock was wrong.
    fn worked_lately(&self, now: UnixMillis) -> bool {
        self.last_success_at
            .is_some_and(|at| at <= now && now.since(at) <= WORKED_LATELY_MS)
    }

    /// Whether a call that ends at `now` is not the first rejected one since the latest success.
    fn was_rejected(&self, now: UnixMillis) -> bool {
        let since_success = |at: UnixMillis| Some(at) > self.last_success_began_at && at <= now;
        self.rejected_at.is_some_and(since_success)
    }
}

/// The state after a verdict that was reached at `now`. Total: every state and verdict has an answer.
pub fn transition(state: KeyState, verdict: Verdict, record: Record, now: UnixMillis) -> KeyState {
    let failures = state.consecutive_failures.max(0);
    let is_pausing =
        state.status == KeyStatus::Cooling && state.disabled_until.is_some_and(|until| until > now);
    let paused = |consecutive_failures| KeyState {
        status: KeyStatus::Cooling,
        consecutive_failures,
        disabled_until: Some(now.plus(PAUSE_MS)),
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
            KeyState {
                status: KeyStatus::Disabled,
                consecutive_failures: failures,
                disabled_until: None,
            }
        }
        Verdict::Restricted if state.status == KeyStatus::Disabled || is_pausing => state,
        Verdict::Restricted => paused(failures),
        Verdict::Failed if is_pausing => state,
        Verdict::Failed => failed(state, failures.saturating_add(1), now),
    }
}

fn failed(state: KeyState, failures: i64, now: UnixMillis) -> KeyState {
    let state = KeyState {
        consecutive_failures: failures,
        ..state
    };
    if state.status == KeyStatus::Disabled {
        return state;
    }
    if state.consecutive_failures >= FAILURES_UNTIL_DISABLED {
        return KeyState {
            status: KeyStatus::Disabled,
            disabled_until: None,
            ..state
        };
    }
    if state.consecutive_failures >= FAILURES_UNTIL_PAUSE {
        return KeyState {
            status: KeyStatus::Cooling,
            disabled_until: Some(now.plus(PAUSE_MS)),
            ..state
        };
    }
    state
}

#[cfg(test)]
mod tests;
