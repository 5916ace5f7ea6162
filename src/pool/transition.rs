//! What an outcome does to a key's state.
//!
//! | verdict | consecutive failures | status |
//! |---|---|---|
//! | works | 0 | active; a disabled key stays disabled, since only a person brings it back |
//! | failed, 1st in a row | 1 | as it was |
//! | failed, 2nd to 4th in a row | + 1 | cooling for 30 minutes |
//! | failed, 5th in a row or later | + 1 | disabled |
//! | failed while already cooling | as it was | as it was: calls that were under way together are one incident, and must not add up to a ban, nor to a weight of nothing |
//! | rejected | + 1 | disabled |
//! | unknown | as it was | as it was |

use super::{KeyState, KeyStatus, UnixMillis, Verdict};

/// From this many failures in a row on, a key pauses.
pub const FAILURES_UNTIL_PAUSE: i64 = 2;
/// From this many failures in a row on, a key is disabled.
pub const FAILURES_UNTIL_DISABLED: i64 = 5;
/// Length of a pause in milliseconds: 30 minutes.
pub const PAUSE_MS: i64 = 30 * 60 * 1000;

/// The state after a verdict that was reached at `now`. Total: every state and verdict has an answer.
pub fn transition(state: KeyState, verdict: Verdict, now: UnixMillis) -> KeyState {
    let failures = state.consecutive_failures.max(0);
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
        Verdict::Rejected => KeyState {
            status: KeyStatus::Disabled,
            consecutive_failures: failures.saturating_add(1),
            disabled_until: None,
        },
        Verdict::Failed => failed(state, failures.saturating_add(1), now),
    }
}

fn failed(state: KeyState, failures: i64, now: UnixMillis) -> KeyState {
    let pausing =
        state.status == KeyStatus::Cooling && state.disabled_until.is_some_and(|until| until > now);
    if pausing {
        return state;
    }
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
            assert_eq!(transition(before, verdict, NOW), after, "{rule}");
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
            Just(Verdict::Unknown)
        ]
    }

    proptest! {
        #[test]
        fn no_verdict_but_a_person_brings_back_a_disabled_key(state in any_state(), verdict in any_verdict(), now in any::<i64>()) {
            let after = transition(state, verdict, UnixMillis(now));
            prop_assert!(state.status != KeyStatus::Disabled || after.status == KeyStatus::Disabled);
        }

        #[test]
        fn a_key_that_works_has_no_failures(state in any_state(), now in any::<i64>()) {
            let after = transition(state, Verdict::Works, UnixMillis(now));
            prop_assert_eq!(after.consecutive_failures, 0);
        }

        #[test]
        fn each_failure_counts_once(failures in 0i64..1000, now in any::<i64>()) {
            for verdict in [Verdict::Failed, Verdict::Rejected] {
                let after = transition(active(failures), verdict, UnixMillis(now));
                prop_assert_eq!(after.consecutive_failures, failures + 1);
            }
        }

        #[test]
        fn a_pause_is_thirty_minutes(failures in 1i64..4, now in 0i64..4_000_000_000_000) {
            let after = transition(active(failures), Verdict::Failed, UnixMillis(now));
            prop_assert_eq!(after, cooling(failures + 1, UnixMillis(now + 30 * 60 * 1000)));
        }
    }
}
