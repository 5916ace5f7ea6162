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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn active(failures: i64) -> KeyState {
        KeyState {
            status: KeyStatus::Active,
            consecutive_failures: failures,
            disabled_until: None,
        }
    }

    fn cooling(failures: i64, until: UnixMillis) -> KeyState {
        KeyState {
            status: KeyStatus::Cooling,
            consecutive_failures: failures,
            disabled_until: Some(until),
        }
    }

    fn disabled(failures: i64) -> KeyState {
        KeyState {
            status: KeyStatus::Disabled,
            consecutive_failures: failures,
            disabled_until: None,
        }
    }

    #[test]
    fn states_move_as_the_table_says() {
        let pause_end = NOW.plus(PAUSE_MS);
        let (over, going_on) = (NOW.plus(-1), NOW.plus(1));
        use Verdict::{Failed, Rejected, Unknown, Works};
        for (rule, before, verdict, after) in [
            ("success keeps a healthy key", active(0), Works, active(0)),
            ("success forgets failures", active(1), Works, active(0)),
            ("success ends a pause", cooling(3, over), Works, active(0)),
            (
                "success does not bring back a disabled key",
                disabled(5),
                Works,
                disabled(0),
            ),
            ("1st failure only counts", active(0), Failed, active(1)),
            (
                "2nd failure pauses",
                active(1),
                Failed,
                cooling(2, pause_end),
            ),
            (
                "3rd failure pauses again",
                cooling(2, over),
                Failed,
                cooling(3, pause_end),
            ),
            (
                "4th failure pauses again",
                cooling(3, over),
                Failed,
                cooling(4, pause_end),
            ),
            (
                "5th failure disables",
                cooling(4, over),
                Failed,
                disabled(5),
            ),
            (
                "5th failure disables an active key too",
                active(4),
                Failed,
                disabled(5),
            ),
            (
                "failures under way during a pause neither count nor prolong it",
                cooling(2, going_on),
                Failed,
                cooling(2, going_on),
            ),
            (
                "failures under way during a pause do not disable",
                cooling(4, going_on),
                Failed,
                cooling(4, going_on),
            ),
            (
                "a failure of a disabled key only counts",
                disabled(5),
                Failed,
                disabled(6),
            ),
            (
                "rejection disables at once",
                active(0),
                Rejected,
                disabled(1),
            ),
            (
                "rejection disables a cooling key",
                cooling(2, going_on),
                Rejected,
                disabled(3),
            ),
            (
                "nothing known changes nothing",
                cooling(2, going_on),
                Unknown,
                cooling(2, going_on),
            ),
        ] {
            assert_eq!(
                transition(before, verdict, Record::default(), NOW),
                after,
                "{rule}"
            );
        }
    }

    #[test]
    fn a_key_that_has_worked_lately_gets_a_second_chance() {
        const DAY_MS: i64 = 24 * 3600 * 1000;
        let pause_end = NOW.plus(PAUSE_MS);
        let worked = |ago: i64| Record {
            last_success_at: Some(NOW.plus(-ago)),
            last_success_began_at: Some(NOW.plus(-ago - 1000)),
            rejected_at: None,
        };
        let rejected = |worked: Record, ago: i64| Record {
            rejected_at: Some(NOW.plus(-ago)),
            ..worked
        };
        for (rule, before, record, after) in [
            (
                "the first rejection pauses",
                active(0),
                worked(7 * DAY_MS),
                cooling(1, pause_end),
            ),
            (
                "a success too long ago does not count",
                active(0),
                worked(7 * DAY_MS + 1),
                disabled(1),
            ),
            (
                "nor does one in the future",
                active(0),
                worked(-1),
                disabled(1),
            ),
            (
                "the second rejection in a row disables",
                cooling(1, NOW),
                rejected(worked(DAY_MS), PAUSE_MS),
                disabled(2),
            ),
            (
                "also of a key that was made active by hand meanwhile",
                active(1),
                rejected(worked(DAY_MS), 1000),
                disabled(2),
            ),
            (
                "one before the latest success is not in a row",
                active(0),
                rejected(worked(DAY_MS), 2 * DAY_MS),
                cooling(1, pause_end),
            ),
            (
                "calls that were under way together are one rejection",
                cooling(1, NOW.plus(PAUSE_MS - 5)),
                rejected(worked(DAY_MS), 5),
                cooling(1, NOW.plus(PAUSE_MS - 5)),
            ),
            (
                "a pause for another reason is not a rejection",
                cooling(2, NOW),
                worked(DAY_MS),
                cooling(3, pause_end),
            ),
            (
                "a disabled key stays disabled",
                disabled(2),
                worked(DAY_MS),
                disabled(3),
            ),
        ] {
            assert_eq!(
                transition(before, Verdict::Rejected, record, NOW),
                after,
                "{rule}"
            );
        }
    }

    #[test]
    fn a_restricted_key_is_paused_and_never_disabled() {
        let pause_end = NOW.plus(PAUSE_MS);
        for (before, after) in [
            (active(0), cooling(0, pause_end)),
            (active(4), cooling(4, pause_end)),
            (cooling(0, NOW), cooling(0, pause_end)),
            (cooling(0, NOW.plus(1)), cooling(0, NOW.plus(1))),
            (disabled(5), disabled(5)),
        ] {
            let found = transition(before, Verdict::Restricted, Record::default(), NOW);
            assert_eq!(found, after, "{before:?}");
        }
    }

    fn any_state() -> impl Strategy<Value = KeyState> {
        (0i64..3, any::<i64>(), prop::option::of(any::<i64>())).prop_map(
            |(status, failures, until)| KeyState {
                status: KeyStatus::from_code(status).unwrap(),
                consecutive_failures: failures,
                disabled_until: until.map(UnixMillis),
            },
        )
    }

    fn any_verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::Works),
            Just(Verdict::Failed),
            Just(Verdict::Rejected),
            Just(Verdict::Restricted),
            Just(Verdict::Unknown)
        ]
    }

    proptest! {
        #[test]
        fn no_verdict_but_a_person_brings_back_a_disabled_key(state in any_state(), verdict in any_verdict(), now in any::<i64>()) {
            let after = transition(state, verdict, Record::default(), UnixMillis(now));
            prop_assert!(state.status != KeyStatus::Disabled || after.status == KeyStatus::Disabled);
        }

        #[test]
        fn a_key_that_works_has_no_failures(state in any_state(), now in any::<i64>()) {
            let after = transition(state, Verdict::Works, Record::default(), UnixMillis(now));
            prop_assert_eq!(after.consecutive_failures, 0);
        }

        #[test]
        fn each_failure_counts_once(failures in 0i64..1000, now in any::<i64>()) {
            for verdict in [Verdict::Failed, Verdict::Rejected] {
                let after = transition(active(failures), verdict, Record::default(), UnixMillis(now));
                prop_assert_eq!(after.consecutive_failures, failures + 1);
            }
        }

        #[test]
        fn a_pause_is_thirty_minutes(failures in 1i64..4, now in 0i64..4_000_000_000_000) {
            let after = transition(active(failures), Verdict::Failed, Record::default(), UnixMillis(now));
            prop_assert_eq!(after, cooling(failures + 1, UnixMillis(now + 30 * 60 * 1000)));
        }
    }
}
