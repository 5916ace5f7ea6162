//! Draws from a snapshot, and what excludes keys from them.

use super::*;
use crate::pool::testing::{USED as NOW, key, key_of, key_with};
use crate::pool::{Incident, Unit};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

const HOUR: i64 = 3_600_000;
const MODEL: &str = "m";

fn moment(ms: i64) -> Moment {
    Moment::new(NOW.plus(ms))
}

fn drawn(snapshot: &mut Snapshot, count: usize, at_ms: i64) -> Vec<i64> {
    let mut rng = SmallRng::seed_from_u64(7);
    (0..count)
        .filter_map(|_| snapshot.choose(MODEL, &moment(at_ms), |_| false, &mut rng))
        .map(|pick| pick.key.id.0)
        .collect()
}

/// The draw of another key than this one.
fn pick_except(snapshot: &mut Snapshot, id: i64, at_ms: i64) -> Pick {
    let mut rng = SmallRng::seed_from_u64(1);
    let is_excluded = |key: &PoolKey| key.id == KeyId(id);
    let pick = snapshot.choose(MODEL, &moment(at_ms), is_excluded, &mut rng);
    pick.unwrap()
}

fn draws(keys: &[PoolKey], count: usize) -> Vec<i64> {
    drawn(&mut Snapshot::new(keys.to_vec()), count, 0)
}

#[test]
fn a_key_is_eligible_when_active_or_past_its_pause() {
    use KeyStatus::{Active, Cooling, Disabled};
    for (rule, status, pause_ms, expected) in [
        ("active", Active, None, true),
        ("active, with a leftover pause", Active, Some(HOUR), true),
        ("pause is over", Cooling, Some(-1), true),
        ("pause ends now", Cooling, Some(0), true),
        ("pause not over", Cooling, Some(1), false),
        ("pause without an end", Cooling, None, false),
        ("disabled", Disabled, None, false),
        ("disabled, with a past pause", Disabled, Some(-1), false),
    ] {
        let key = key_with(|key| {
            key.state.status = status;
            key.state.disabled_until = pause_ms.map(|ms| NOW.plus(ms));
        });
        let standing = Snapshot::new(vec![]).standing(&key, MODEL, &moment(0));
        assert_eq!(standing.is_eligible(), expected, "{rule}");
    }
}

#[test]
fn draws_are_proportional_to_the_weights() {
    let mut keys = vec![key(1), key(2), key(3)];
    keys[0].priority = 300;
    keys[2].priority = 0;
    let drawn = draws(&keys, 4000);
    let first = drawn.iter().filter(|id| **id == 1).count();
    assert!((2900..=3100).contains(&first), "3 of 4 draws, not {first}");
    // A key without weight is not drawn while others have some.
    assert!(!drawn.contains(&3));
}

#[test]
fn keys_without_any_weight_are_equally_likely() {
    let mut keys = vec![key(1), key(2), key(3), key(4)];
    keys.iter_mut().for_each(|key| key.priority = 0);
    let drawn = draws(&keys, 4000);
    for id in 1..=4 {
        let count = drawn.iter().filter(|drawn| **drawn == id).count();
        assert!((850..=1150).contains(&count), "key {id}: {count} of 4000");
    }
}

#[test]
fn nothing_is_drawn_without_an_eligible_key() {
    assert!(draws(&[], 1).is_empty());
    let disabled = [key_with(|key| key.state.status = KeyStatus::Disabled)];
    assert!(draws(&disabled, 1).is_empty());
}

fn any_key() -> impl Strategy<Value = PoolKey> {
    (
        any::<i64>(),
        0i64..3,
        any::<i64>(),
        prop::option::of(any::<i64>()),
        prop::option::of(any::<i64>()),
    )
        .prop_map(|(priority, status, failures, until, used)| PoolKey {
            priority,
            state: KeyState {
                status: KeyStatus::from_code(status).unwrap(),
                consecutive_failures: failures,
                disabled_until: until.map(UnixMillis),
            },
            last_used_at: used.map(UnixMillis),
            ..key(1)
        })
}

proptest! {
    #[test]
    fn an_eligible_key_is_drawn_if_there_is_one(
        mut keys in prop::collection::vec(any_key(), 0..20),
        now in any::<i64>(),
        seed in any::<u64>(),
    ) {
        let now = Moment::new(UnixMillis(now));
        for (index, key) in keys.iter_mut().enumerate() {
            key.id = KeyId(index as i64);
        }
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut snapshot = Snapshot::new(keys);
        let drawn = snapshot.choose(MODEL, &now, |_| false, &mut rng).map(|pick| pick.key);
        let weights: Vec<f64> = snapshot
            .keys()
            .iter()
            .filter_map(|key| match snapshot.standing(key, MODEL, &now) {
                Standing::Eligible { weight } => Some(weight),
                Standing::Ineligible { .. } => None,
            })
            .collect();
        prop_assert_eq!(drawn.is_some(), !weights.is_empty());
        if let Some(drawn) = drawn {
            let Standing::Eligible { weight } = snapshot.standing(&drawn, MODEL, &now) else {
                return Err(TestCaseError::fail("an ineligible key was drawn"));
            };
            let any_weight = weights.iter().any(|weight| *weight > 0.0);
            prop_assert!(!any_weight || weight > 0.0, "a key without weight was drawn while others have some");
        }
    }

    #[test]
    fn every_key_with_weight_is_drawn_eventually(priorities in prop::collection::vec(1i64..200, 1..8)) {
        let keys = (0..).zip(&priorities).map(|(id, &priority)| PoolKey { priority, ..key(id) });
        let keys: Vec<PoolKey> = keys.collect();
        let (mut snapshot, mut rng) = (Snapshot::new(keys), SmallRng::seed_from_u64(7));
        let mut draws = (0..20_000).filter_map(|_| snapshot.choose(MODEL, &moment(0), |_| false, &mut rng));
        let mut left: BTreeSet<KeyId> = (0..).zip(&priorities).map(|(id, _)| KeyId(id)).collect();
        let all_drawn = draws.any(|pick| left.remove(&pick.key.id) && left.is_empty());
        prop_assert!(all_drawn, "{left:?} of {priorities:?} never drawn");
    }
}

fn quota_scope(scope: Scope, model: Option<&str>) -> QuotaScope {
    QuotaScope {
        scope,
        model: model.map(str::to_owned),
    }
}

fn cooling(reason: Outcome, ms: i64) -> CoolDown {
    let incident = Incident {
        outcome: reason,
        retry_after_ms: Some(60_000),
        began_at: NOW,
        ended_at: NOW,
    };
    CoolDown {
        until: NOW.plus(ms),
        ..CoolDown::after(None, &incident).unwrap()
    }
}

/// Keys 1 and 2 share a project; key 3 has none.
fn two_projects() -> Snapshot {
    let [first, second] = [1, 2].map(|id| key_of(id, "projects/1"));
    Snapshot::new(vec![first, second, key(3)])
}

fn project() -> Scope {
    Scope::Project("projects/1".into())
}

#[test]
fn a_cool_down_applies_to_its_project_and_model() {
    let mut snapshot = two_projects();
    let quota_scope = quota_scope(project(), Some(MODEL));
    snapshot.set_cool_down(&quota_scope, cooling(Outcome::QuotaPerMinute, 1000));
    assert_eq!(drawn(&mut snapshot, 20, 0), [3; 20]);
    let other_model = snapshot.survey("other", &moment(0));
    assert_eq!(other_model.eligible, 3);
    let survey = snapshot.survey(MODEL, &moment(0));
    let cooling = survey.count(Reason::Cooling(Outcome::QuotaPerMinute));
    assert_eq!((survey.eligible, cooling), (1, 2));
    assert_eq!(survey.soonest, Some(NOW.plus(1000)));
    // The cool-down ends without a trial.
    let later = drawn(&mut snapshot, 200, 1000);
    assert!(later.contains(&1) && later.contains(&2));
}

#[test]
fn a_cool_down_for_all_models_ends_with_one_trial() {
    let mut snapshot = two_projects();
    let quota_scope = quota_scope(project(), None);
    snapshot.set_cool_down(&quota_scope, cooling(Outcome::BillingExhausted, 1000));
    assert_eq!(drawn(&mut snapshot, 20, 999), [3; 20]);
    let pick = pick_except(&mut snapshot, 3, 1000);
    assert_eq!(pick.claims, [Claim::ScopeTrial(quota_scope.clone())]);
    assert_eq!(pick.on_probation, std::slice::from_ref(&quota_scope));
    snapshot.apply(&Change::TrialBegan(pick.claims[0].clone(), NOW.plus(5000)));
    assert_eq!(drawn(&mut snapshot, 20, 1001), [3; 20]);
    let survey = snapshot.survey(MODEL, &moment(1001));
    assert_eq!(survey.count(Reason::OnTrial), 2);
    // Others do not wait for the whole lease.
    assert_eq!(survey.soonest, Some(NOW.plus(2001)));
    // The end of another trial does not end this one.
    snapshot.apply(&Change::TrialEnded(pick.claims[0].clone(), NOW.plus(4999)));
    assert_eq!(snapshot.survey(MODEL, &moment(1001)), survey);
    snapshot.apply(&Change::Worked(quota_scope.clone(), NOW.plus(999)));
    assert_eq!(snapshot.survey(MODEL, &moment(1001)), survey);
    snapshot.apply(&Change::Worked(quota_scope, NOW.plus(1000)));
    assert_eq!(snapshot.survey(MODEL, &moment(1001)).eligible, 3);
}

#[test]
fn a_paused_key_gets_one_trial_at_a_time() {
    let paused = key_with(|key| {
        key.state.status = KeyStatus::Cooling;
        key.state.disabled_until = Some(NOW);
    });
    let mut snapshot = Snapshot::new(vec![paused, key(2)]);
    let trial = Claim::KeyTrial(KeyId(1));
    let pick = pick_except(&mut snapshot, 2, 0);
    assert_eq!(pick.claims, std::slice::from_ref(&trial));
    snapshot.apply(&Change::TrialBegan(trial, NOW.plus(1)));
    assert_eq!(drawn(&mut snapshot, 20, 0), [2; 20]);
    assert!(drawn(&mut snapshot, 200, 1).contains(&1));
}

#[test]
fn a_shrinking_budget_lowers_the_weight_until_it_is_spent() {
    let mut snapshot = two_projects();
    let limit = Limit {
        unit: Unit::Requests,
        window: Window::Day,
        value: 4,
    };
    snapshot.add_limit(&quota_scope(project(), Some(MODEL)), limit);
    let weight_of_first = |snapshot: &Snapshot| snapshot.eligible_weight(0, MODEL, &moment(0));
    for left in [Some(100.0), Some(75.0), Some(50.0), Some(25.0)] {
        assert_eq!(weight_of_first(&snapshot), left);
        let pick = pick_except(&mut snapshot, 3, 0);
        snapshot.apply(&Change::Sent {
            key: pick.key.id,
            counted: pick.counted,
            input_tokens: 10,
            now: moment(0),
        });
    }
    assert_eq!(weight_of_first(&snapshot), None);
    assert_eq!(drawn(&mut snapshot, 20, 0), [3; 20]);
    let survey = snapshot.survey(MODEL, &moment(0));
    assert_eq!(survey.count(Reason::BudgetSpent), 2);
    assert_eq!(survey.soonest, Some(moment(0).next_day()));
    assert_eq!(snapshot.survey("other", &moment(0)).eligible, 3);
}

#[test]
fn a_conversation_stays_with_an_eligible_project() {
    let keys = (0..30).map(|id| key_of(id, &format!("projects/{}", id / 3)));
    let mut snapshot = Snapshot::new(keys.collect());
    let mut rng = SmallRng::seed_from_u64(1);
    let mut chosen = |snapshot: &Snapshot, conversation| {
        let pick = snapshot.choose_for(conversation, MODEL, &moment(0), |_| false, &mut rng);
        pick.unwrap().key
    };
    let mut projects = BTreeSet::new();
    for conversation in 0..100 {
        let scope = chosen(&snapshot, conversation).scope();
        for _ in 0..5 {
            assert_eq!(chosen(&snapshot, conversation).scope(), scope);
        }
        projects.insert(scope);
    }
    // Conversations spread over projects, and each uses all keys of its project.
    assert!(projects.len() > 7, "{projects:?}");
    let keys: BTreeSet<KeyId> = (0..50).map(|_| chosen(&snapshot, 7).id).collect();
    assert_eq!(keys.len(), 3);
    let preferred = chosen(&snapshot, 7).scope();
    let preferred_scope = quota_scope(preferred.clone(), Some(MODEL));
    snapshot.set_cool_down(&preferred_scope, cooling(Outcome::QuotaPerMinute, 1000));
    let second = chosen(&snapshot, 7).scope();
    assert_ne!(second, preferred);
    assert_eq!(chosen(&snapshot, 7).scope(), second);
}

#[test]
fn draws_respect_changes_since_the_table_was_built() {
    let mut snapshot = Snapshot::new((1..=10).map(key).collect());
    assert_eq!(drawn(&mut snapshot, 10, 0).len(), 10);
    for id in 1..=9 {
        let quota_scope = quota_scope(Scope::Key(KeyId(id)), None);
        snapshot.set_cool_down(&quota_scope, cooling(Outcome::EgressRefused, 1000));
    }
    assert_eq!(drawn(&mut snapshot, 50, 1), [10; 50]);
    let all = drawn(&mut snapshot, 500, 1000);
    for id in 1..=10 {
        assert!(all.contains(&id), "key {id} must be eligible again");
    }
}
