use super::*;
use proptest::prelude::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
/// The end of a pause that begins now.
const PAUSE_END: UnixMillis = UnixMillis(NOW.0 + PAUSE_MS);

fn state(status: KeyStatus, failures: i64, until: Option<UnixMillis>) -> KeyState {
    KeyState {
        status,
        consecutive_failures: failures,
        disabled_until: until,
    }
}

fn active(failures: i64) -> KeyState {
    state(KeyStatus::Active, failures, None)
}

fn cooling(failures: i64, until: UnixMillis) -> KeyState {
    state(KeyStatus::Cooling, failures, Some(until))
}

/// After a pause that has begun now.
fn paused(failures: i64) -> KeyState {
    cooling(failures, PAUSE_END)
}

fn disabled(failures: i64) -> KeyState {
    state(KeyStatus::Disabled, failures, None)
}

#[test]
fn states_change_as_the_table_says() {
    let rested = |failures| cooling(failures, NOW.plus(-1));
    let pausing = |failures| cooling(failures, NOW.plus(1));
    let check = |verdict, cases: &[(&str, KeyState, KeyState)]| {
        for (rule, before, after) in cases {
            let found = transition(*before, verdict, Record::default(), NOW);
            assert_eq!(found, *after, "{rule}");
        }
    };
    let succeeds = [
        ("success keeps an active key active", active(0), active(0)),
        ("success resets the failures", active(1), active(0)),
        ("success ends a pause", rested(3), active(0)),
        ("success reactivates no key", disabled(5), disabled(0)),
    ];
    check(Verdict::Works, &succeeds);
    let fails = [
        ("1st failure only counts", active(0), active(1)),
        ("2nd failure pauses", active(1), paused(2)),
        ("3rd failure pauses again", rested(2), paused(3)),
        ("4th failure pauses again", rested(3), paused(4)),
        ("5th failure disables", rested(4), disabled(5)),
        ("5th failure disables an active key", active(4), disabled(5)),
        ("failures in a pause do not count", pausing(2), pausing(2)),
        ("failures in a pause do not disable", pausing(4), pausing(4)),
        ("a disabled key only counts", disabled(5), disabled(6)),
    ];
    check(Verdict::Failed, &fails);
    let is_rejected = [
        ("rejection disables immediately", active(0), disabled(1)),
        ("rejection disables a cooling key", pausing(2), disabled(3)),
    ];
    check(Verdict::Rejected, &is_rejected);
    let unknown = [("an unknown verdict changes nothing", pausing(2), pausing(2))];
    check(Verdict::Unknown, &unknown);
}

#[test]
fn a_key_with_a_recent_success_gets_a_second_chance() {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    let worked = |ago: i64| Record {
        last_success_at: Some(NOW.plus(-ago)),
        last_success_began_at: Some(NOW.plus(-ago - 1000)),
        rejected_at: None,
    };
    let rejected = |ago: i64| Record {
        rejected_at: Some(NOW.plus(-ago)),
        ..worked(DAY_MS)
    };
    let pausing = cooling(1, NOW.plus(PAUSE_MS - 5));
    for (record, before, after) in [
        // The first rejection pauses.
        (worked(7 * DAY_MS), active(0), paused(1)),
        // Neither an old success nor one in the future counts.
        (worked(7 * DAY_MS + 1), active(0), disabled(1)),
        (worked(-1), active(0), disabled(1)),
        // The second rejection in a row disables,
        (rejected(PAUSE_MS), cooling(1, NOW), disabled(2)),
        // even if an operator reactivated the key in between.
        (rejected(1000), active(1), disabled(2)),
        // A rejection before the latest success does not count.
        (rejected(2 * DAY_MS), active(0), paused(1)),
        // Concurrent rejections count once.
        (rejected(5), pausing, pausing),
        // A pause for another reason is not a rejection.
        (worked(DAY_MS), cooling(2, NOW), paused(3)),
        // A disabled key stays disabled.
        (worked(DAY_MS), disabled(2), disabled(3)),
    ] {
        let found = transition(before, Verdict::Rejected, record, NOW);
        assert_eq!(found, after, "{record:?} {before:?}");
    }
}

#[test]
fn a_restricted_key_is_paused_and_never_disabled() {
    for (before, after) in [
        (active(0), paused(0)),
        (active(4), paused(4)),
        (cooling(0, NOW), paused(0)),
        (cooling(0, NOW.plus(1)), cooling(0, NOW.plus(1))),
        (disabled(5), disabled(5)),
    ] {
        let found = transition(before, Verdict::Restricted, Record::default(), NOW);
        assert_eq!(found, after, "{before:?}");
    }
}

fn any_state() -> impl Strategy<Value = KeyState> {
    (0i64..3, any::<i64>(), prop::option::of(any::<i64>())).prop_map(|(code, failures, until)| {
        let status = KeyStatus::from_code(code).unwrap();
        state(status, failures, until.map(UnixMillis))
    })
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    use Verdict::{Failed, Rejected, Restricted, Unknown, Works};
    prop::sample::select(vec![Works, Failed, Rejected, Restricted, Unknown])
}

proptest! {
    #[test]
    fn no_verdict_reactivates_a_disabled_key(state in any_state(), verdict in any_verdict(), now in any::<i64>()) {
        let after = transition(state, verdict, Record::default(), UnixMillis(now));
        prop_assert!(state.status != KeyStatus::Disabled || after.status == KeyStatus::Disabled);
    }

    #[test]
    fn success_resets_the_failures(state in any_state(), now in any::<i64>()) {
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
    fn a_pause_lasts_thirty_minutes(failures in 1i64..4, now in 0i64..4_000_000_000_000) {
        let after = transition(active(failures), Verdict::Failed, Record::default(), UnixMillis(now));
        prop_assert_eq!(after, cooling(failures + 1, UnixMillis(now + 30 * 60 * 1000)));
    }
}
