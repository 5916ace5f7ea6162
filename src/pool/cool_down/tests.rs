use super::*;
use crate::pool::testing::key;
use proptest::prelude::*;

/// 09:00 in Los Angeles.
const NOW: UnixMillis = UnixMillis(1_800_032_400_000);

fn incident(outcome: Outcome, retry_after_ms: Option<u64>, ended: i64) -> Incident {
    Incident {
        outcome,
        retry_after_ms,
        began_at: NOW.plus(ended),
        ended_at: NOW.plus(ended),
    }
}

/// The first cool-down for this reason, which begins now.
fn first(outcome: Outcome) -> CoolDown {
    CoolDown::after(None, &incident(outcome, None, 0)).unwrap()
}

fn length(outcome: Outcome, retry_after_ms: Option<u64>) -> Option<i64> {
    CoolDown::after(None, &incident(outcome, retry_after_ms, 0))
        .map(|cool_down| cool_down.until.since(NOW))
}

#[test]
fn first_cool_downs_follow_the_rules() {
    use Outcome::*;
    let next_day = moment::next_day(NOW).since(NOW);
    for (outcome, asked, expected) in [
        (QuotaPerMinute, Some(41_700), Some(41_700)),
        (QuotaPerMinute, None, Some(60_000)),
        (QuotaPerMinute, Some(3_600_000), Some(60_000)),
        (QuotaPerMinute, Some(u64::MAX), Some(60_000)),
        (QuotaPerMinute, Some(0), Some(100)),
        (QuotaPerDay, Some(5_000), Some(next_day)),
        (QuotaNone, Some(11_000), Some(next_day)),
        (ModelRefused, None, Some(next_day)),
        (BillingExhausted, None, Some(HOUR_MS)),
        (QuotaUnspecified, Some(30_000), Some(5_000)),
        (ResourceRefused, None, Some(300_000)),
        (EgressRefused, None, Some(60_000)),
        (KeyRejected, None, Some(60_000)),
        (ProjectRefused, None, Some(60_000)),
        (Success, None, None),
        (ClientFault, None, None),
        (UpstreamTrouble, Some(1_000), None),
        (ModelOverloaded, None, None),
    ] {
        assert_eq!(length(outcome, asked), expected, "{}", outcome.name());
    }
}

#[test]
fn a_cool_down_doubles_after_each_incident_up_to_a_maximum() {
    let hours = [1, 2, 4, 8, 16, 24, 24].map(|hours| hours * 3600);
    for (outcome, lengths) in [
        (Outcome::QuotaUnspecified, vec![5, 10, 20, 40, 60, 60]),
        (Outcome::BillingExhausted, hours.to_vec()),
    ] {
        let mut before: Option<CoolDown> = None;
        let mut at = 0;
        for seconds in lengths {
            let next = CoolDown::after(before.as_ref(), &incident(outcome, None, at)).unwrap();
            assert_eq!(next.until.since(NOW.plus(at)), seconds * SECOND_MS);
            at = next.until.since(NOW) + 1;
            before = Some(next);
        }
    }
}

#[test]
fn a_forgotten_incident_does_not_double_the_next() {
    let first = first(Outcome::QuotaUnspecified);
    let forgotten = first.until.since(NOW) + 60_001;
    let next = incident(Outcome::QuotaUnspecified, None, forgotten);
    assert_eq!(CoolDown::after(Some(&first), &next).unwrap().strikes, 1);
}

#[test]
fn a_cool_down_from_the_future_is_ignored() {
    let year = 365 * 24 * HOUR_MS;
    for outcome in Outcome::ALL {
        let Some(ahead) = CoolDown::after(None, &incident(outcome, None, year)) else {
            continue;
        };
        let name = outcome.name();
        assert!(!ahead.holds(NOW) && ahead.is_spent(NOW), "{name}");
        assert!(ahead.holds(NOW.plus(year)), "{name}");
        // The next incident starts over.
        let now = CoolDown::after(Some(&ahead), &incident(outcome, None, 0)).unwrap();
        assert_eq!((now.began_at, now.strikes), (NOW, 1), "{name}");
        assert!(now.holds(NOW) && !now.is_spent(NOW), "{name}");
        // A cool-down that lasts too long is implausible, too.
        let too_long = CoolDown {
            until: NOW.plus(year),
            ..now
        };
        assert!(!too_long.holds(NOW), "{name}");
        // Clocks may differ slightly.
        let slightly_ahead = CoolDown::after(None, &incident(outcome, None, 4_000)).unwrap();
        assert!(slightly_ahead.holds(NOW), "{name}");
    }
}

#[test]
fn failures_of_concurrent_calls_are_one_incident() {
    let first = first(Outcome::QuotaUnspecified);
    for (began, ended) in [(-500, 1), (100, 200), (4_000, 9_000)] {
        let same = Incident {
            began_at: NOW.plus(began),
            ended_at: NOW.plus(ended),
            ..incident(Outcome::QuotaUnspecified, None, 0)
        };
        assert_eq!(CoolDown::after(Some(&first), &same), None);
    }
}

#[test]
fn the_longer_cool_down_of_an_incident_wins() {
    let minute =
        CoolDown::after(None, &incident(Outcome::QuotaPerMinute, Some(20_000), 0)).unwrap();
    let day = incident(Outcome::QuotaPerDay, None, 10);
    let both = CoolDown::after(Some(&minute), &day).unwrap();
    assert_eq!(both.until, moment::next_day(NOW));
    let minute_again = incident(Outcome::QuotaPerMinute, Some(20_000), 20);
    assert_eq!(CoolDown::after(Some(&both), &minute_again), None);
}

#[test]
fn either_the_project_or_the_key_cools_down() {
    let mut key = key(7);
    let scope_and_model = |outcome, key: &PoolKey| {
        quota_scope_of(outcome, key, "m", None).map(|scope| (scope.scope.to_string(), scope.model))
    };
    let asked = Some("m".to_owned());
    let of_key = Some(("key:7".into(), asked.clone()));
    assert_eq!(scope_and_model(Outcome::QuotaPerDay, &key), of_key);
    key.project = Some("projects/1".into());
    for (outcome, scope, model) in [
        (Outcome::QuotaPerMinute, "project:projects/1", asked.clone()),
        (Outcome::BillingExhausted, "project:projects/1", None),
        (Outcome::ResourceRefused, "key:7", asked.clone()),
        (Outcome::EgressRefused, "key:7", asked.clone()),
        (Outcome::PlanRefused, "project:projects/1", asked.clone()),
        (Outcome::FreeTierRefused, "project:projects/1", None),
        (Outcome::EntityNotFound, "project:projects/1", asked),
    ] {
        assert_eq!(scope_and_model(outcome, &key), Some((scope.into(), model)));
    }
    let of_tool = quota_scope_of(Outcome::ToolQuota, &key, "m", Some("google_search"));
    let model = of_tool.and_then(|scope| scope.model);
    assert_eq!(model.as_deref(), Some("m#google_search"));
    assert_eq!(scope_and_model(Outcome::UpstreamTrouble, &key), None);
}

proptest! {
    #[test]
    fn a_cool_down_ends_in_the_future_and_never_shrinks(
        outcome in prop::sample::select(Outcome::ALL.to_vec()),
        earlier in prop::sample::select(Outcome::ALL.to_vec()),
        asked in prop::option::of(any::<u64>()),
        began in 0i64..200_000_000,
        took in 0i64..100_000,
    ) {
        let before = CoolDown::after(None, &incident(earlier, None, 0));
        let incident = Incident {
            outcome,
            retry_after_ms: asked,
            began_at: NOW.plus(began),
            ended_at: NOW.plus(began + took),
        };
        if let Some(after) = CoolDown::after(before.as_ref(), &incident) {
            prop_assert!(after.until > incident.ended_at);
            prop_assert!(after.until.since(incident.ended_at) <= 25 * HOUR_MS);
            prop_assert!(after.strikes >= 1);
            prop_assert!(before.is_none_or(|before| after.until > before.until));
        }
    }
}
