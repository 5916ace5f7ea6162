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
fn states_change_as_the_table_says() {
    let pause_end = NOW.plus(PAUSE_MS);
    let (over, ongoing) = (NOW.plus(-1), NOW.plus(1));
    use Verdict::{Failed, Rejected, Unknown, Works};
    for (rule, before, verdict, after) in [
        (
            "success keeps an active key active",
            active(0),
            Works,
            active(0),
        ),
        ("success resets the failures", active(1), Works, active(0)),
        ("success ends a pause", cooling(3, over), Works, active(0)),
        (
            "success does not reactivate a disabled key",
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
            "failures during a pause neither count nor prolong it",
            cooling(2, ongoing),
            Failed,
            cooling(2, ongoing),
        ),
        (
            "failures during a pause do not disable",
            cooling(4, ongoing),
            Failed,
            cooling(4, ongoing),
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
            cooling(2, ongoing),
            Rejected,
            disabled(3),
        ),
        (
            "an unknown verdict changes nothing",
            cooling(2, ongoing),
            Unknown,
            cooling(2, ongoing),
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
fn a_key_with_a_recent_success_gets_a_second_chance() {
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
            "an old success does not count",
            active(0),
            worked(7 * DAY_MS + 1),
            disabled(1),
        ),
        (
            "a success in the future does not count",
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
            "even if an operator reactivated the key in between",
            active(1),
            rejected(worked(DAY_MS), 1000),
            disabled(2),
        ),
        (
            "a rejection before the latest success does not count",
            active(0),
            rejected(worked(DAY_MS), 2 * DAY_MS),
            cooling(1, pause_end),
        ),
        (
            "concurrent rejections count once",
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
    (0i64..3, any::<i64>(), prop::option::of(any::<i64>())).prop_map(|(status, failures, until)| {
        KeyState {
            status: KeyStatus::from_code(status).unwrap(),
            consecutive_failures: failures,
            disabled_until: until.map(UnixMillis),
        }
    })
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
