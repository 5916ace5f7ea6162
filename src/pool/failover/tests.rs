use super::*;
use crate::pool::testing::{USED as NOW, key, key_of};
use crate::pool::{CoolDown, QuotaScope};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

const MODEL: &str = "m";
const POLICY: Policy = Policy {
    max_attempts: 5,
    first_byte_timeout_ms: 60_000,
    first_content_timeout_ms: 300_000,
    answer_timeout_ms: None,
    deadline_ms: None,
    max_wait_ms: 1_000,
    retry_empty: true,
};

/// A request from a client with this timeout.
fn patient(client_timeout_ms: Option<u64>) -> Demand {
    Demand {
        client_timeout_ms,
        ..Demand::default()
    }
}

/// Like [`patient`], with an answer in one piece.
fn whole(client_timeout_ms: Option<u64>) -> Demand {
    Demand {
        answer: AnswerShape::Whole,
        ..patient(client_timeout_ms)
    }
}

#[test]
fn the_lease_of_a_trial_outlasts_the_request() {
    for (deadline_ms, client_ms, lease_ms) in [
        (None, None, 605_000),
        (Some(90_000), None, 95_000),
        (None, Some(1_200_000), 1_204_500),
        (Some(90_000), Some(10_000), 14_500),
        (Some(u64::MAX), None, LONGEST_TRIAL_LEASE_MS),
    ] {
        let policy = Policy {
            deadline_ms,
            ..POLICY
        };
        let failover = Failover::new(policy, patient(client_ms), NOW);
        assert_eq!(failover.trial_lease_ms(NOW), lease_ms, "{deadline_ms:?}");
    }
}

fn pool(keys: i64, projects: i64) -> Snapshot {
    let keys = (0..keys).map(|id| key_of(id, &format!("projects/{}", id % projects)));
    Snapshot::new(keys.collect())
}

#[test]
fn a_retry_has_a_choice_while_an_untried_project_is_left() {
    let (mut rng, now) = (SmallRng::seed_from_u64(1), Moment::new(NOW));
    for (projects, expected) in [(1, false), (2, true)] {
        let mut sample = pool(4, projects);
        let mut failover = Failover::new(POLICY, Demand::default(), NOW);
        assert!(failover.has_choice(&sample, MODEL, &now));
        let tried = sample.keys()[0].clone();
        failover.sent(&tried);
        let has_choice = failover.has_choice(&sample, MODEL, &now);
        assert_eq!(has_choice, expected, "{projects} projects");
        // With all keys at hand, another key of the same project is better than none.
        let next = failover.next(&mut sample, MODEL, &now, &mut rng);
        assert!(matches!(next, Step::Send(pick) if pick.key.id != tried.id));
    }
    let one = Failover::new(POLICY, Demand::default(), NOW);
    assert!(!one.needs_all_keys());
    let demand = Demand {
        asks_all_projects: true,
        ..Demand::default()
    };
    let list = Failover::new(POLICY, demand, NOW);
    assert!(list.needs_all_keys());
}

#[test]
fn deadlines_depend_on_the_answer_shape_and_the_client() {
    const S: u64 = 1_000;
    for (client_s, whole_s, head_s, content_s) in [
        (None, 600.0, 60.0, 300.0),
        (Some(600), 599.5, 60.0, 599.5),
        (Some(1_200), 1_199.5, 60.0, 1_199.5),
        (Some(100), 99.5, 60.0, 99.5),
        // Half of the time, so that another key can answer.
        (Some(60), 29.75, 29.75, 29.75),
        (Some(8), 3.75, 3.75, 3.75),
        (Some(0), 0.0, 0.0, 0.0),
    ] {
        let client_ms = client_s.map(|seconds: u64| seconds * S);
        let stream = Failover::new(POLICY, patient(client_ms), NOW).deadlines(NOW);
        let whole = Failover::new(POLICY, whole(client_ms), NOW).deadlines(NOW);
        let ms = |seconds: f64| (seconds * 1000.0) as i64;
        assert_eq!(whole.head_by.since(NOW), ms(whole_s), "{client_s:?}");
        assert_eq!(stream.head_by.since(NOW), ms(head_s), "{client_s:?}");
        assert_eq!(stream.content_by.since(NOW), ms(content_s), "{client_s:?}");
        let client_by = client_s.map(|_| stream.answer_by);
        assert_eq!(stream.client_by, client_by);
    }
    let policy = Policy {
        answer_timeout_ms: Some(20 * S),
        deadline_ms: Some(30 * S),
        ..POLICY
    };
    // The operator's limits also apply to clients with longer timeouts.
    let failover = Failover::new(policy, whole(Some(600 * S)), NOW);
    let head_ms = |ago| {
        let now = NOW.plus(ago);
        failover.deadlines(now).head_by.since(now)
    };
    let left = [0, 15_000, 30_000].map(head_ms);
    assert_eq!(left, [20_000, 15_000, 0]);
}

#[test]
fn the_next_step_depends_on_who_is_at_fault() {
    use Outcome::*;
    let mut rng = SmallRng::seed_from_u64(1);
    for outcome in Outcome::ALL {
        let mut failover = Failover::new(POLICY, Demand::default(), NOW);
        failover.sent(&key(1));
        let retry = match failover.after(outcome, NOW, &mut rng) {
            After::Stop => None,
            After::Retry {
                charged,
                back_off_ms,
            } => Some((charged, back_off_ms > 0)),
        };
        let is_final = matches!(
            outcome,
            Success | ClientGone | ClientFault | SignatureMissing
        );
        let is_trouble = matches!(outcome, ModelOverloaded | UpstreamTrouble);
        let may_cure = matches!(outcome, EgressRefused | PoolFault | EmptyAnswer);
        let expected = (!is_final).then_some((is_trouble || may_cure, is_trouble));
        assert_eq!(retry, expected, "{outcome:?}");
    }
}

#[test]
fn an_unrepeatable_request_that_may_have_run_is_not_retried() {
    let mut rng = SmallRng::seed_from_u64(1);
    for (outcome, is_retried) in [
        (Outcome::UpstreamTrouble, false),
        (Outcome::ModelOverloaded, true),
        (Outcome::KeyRejected, true),
        (Outcome::QuotaPerDay, true),
    ] {
        let demand = Demand {
            is_repeatable: false,
            ..Demand::default()
        };
        let mut failover = Failover::new(POLICY, demand, NOW);
        failover.sent(&key(1));
        let after = failover.after(outcome, NOW, &mut rng);
        assert_eq!(after != After::Stop, is_retried, "{}", outcome.name());
    }
}

#[test]
fn an_empty_answer_is_retried_at_most_once() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut failover = Failover::new(POLICY, Demand::default(), NOW);
    failover.sent(&key(1));
    let first = failover.after(Outcome::EmptyAnswer, NOW, &mut rng);
    assert!(matches!(first, After::Retry { .. }));
    failover.sent(&key(2));
    let second = failover.after(Outcome::EmptyAnswer, NOW, &mut rng);
    assert_eq!(second, After::Stop);
}

#[test]
fn a_resource_is_served_only_by_its_owners_keys() {
    let mut rng = SmallRng::seed_from_u64(1);
    let owner = |key, project: Option<&str>| Owner {
        key: KeyId(key),
        project: project.map(str::to_owned),
    };
    let order = |snapshot: &mut Snapshot, owner: Owner, rng: &mut SmallRng| {
        let demand = Demand {
            owner: Some(owner),
            ..Demand::default()
        };
        let mut failover = Failover::new(POLICY, demand, NOW);
        let mut used = Vec::new();
        loop {
            match failover.next(snapshot, MODEL, &Moment::new(NOW), rng) {
                Step::Send(pick) => {
                    failover.sent(&pick.key);
                    failover.after(Outcome::QuotaPerDay, NOW, rng);
                    used.push(pick.key.id.0);
                }
                Step::GiveUp(reason) => {
                    used.sort_unstable();
                    return (used, reason);
                }
                step @ Step::Wait { .. } => panic!("{step:?}"),
            }
        }
    };
    let mut snapshot = pool(9, 3);
    let (used, reason) = order(&mut snapshot, owner(1, Some("projects/1")), &mut rng);
    assert_eq!((used, reason), (vec![1, 4, 7], GiveUp::LastFailure));
    let (used, _) = order(&mut snapshot, owner(2, None), &mut rng);
    assert_eq!(used, [2]);
    for id in [1, 4, 7] {
        snapshot.update_key(KeyId(id), |key| {
            key.state.status = crate::pool::KeyStatus::Disabled;
        });
    }
    for gone in [owner(1, Some("projects/1")), owner(99, None)] {
        let (used, reason) = order(&mut snapshot, gone, &mut rng);
        assert_eq!((used, reason), (vec![], GiveUp::OwnerGone));
    }
}

#[test]
fn a_lost_key_is_drawn_again_only_after_a_wait() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut snapshot = pool(2, 2);
    let mut failover = Failover::new(POLICY, Demand::default(), NOW);
    let mut steps = Vec::new();
    let mut now = NOW;
    loop {
        match failover.next(&mut snapshot, MODEL, &Moment::new(now), &mut rng) {
            Step::Send(pick) => {
                steps.push(pick.key.id.0);
                failover.lost(pick.key.id);
            }
            Step::Wait { ms } => {
                steps.sort_unstable();
                assert_eq!(steps, [0, 1]);
                steps.clear();
                now = now.plus(i64::try_from(ms).unwrap());
            }
            Step::GiveUp(GiveUp::Exhausted(survey)) => {
                assert_eq!((survey.keys, survey.eligible), (2, 2));
                assert!(survey.soonest > Some(now), "the caller may retry");
                break;
            }
            Step::GiveUp(other) => panic!("{other:?}"),
        }
    }
    // The waits do not exceed `max_wait_ms`.
    assert!((900..=1000).contains(&now.since(NOW)));

    let mut failover = Failover::new(POLICY, Demand::default(), NOW);
    failover.sent(&key(9));
    failover.after(Outcome::QuotaPerMinute, NOW, &mut rng);
    (0..MAX_LOST_CLAIMS).for_each(|_| failover.lost(KeyId(1)));
    let step = failover.next(&mut snapshot, MODEL, &Moment::new(NOW), &mut rng);
    assert!(matches!(step, Step::GiveUp(GiveUp::LastFailure)));
}

#[test]
fn keys_failing_alike_are_suspected_despite_a_trial() {
    let mut snapshot = pool(3, 3);
    let cooling = |reason, until, trial_until| CoolDown {
        reason,
        began_at: NOW.plus(-1),
        until,
        strikes: 1,
        trial_until,
    };
    let give_up = |snapshot: &mut Snapshot| {
        let policy = Policy {
            max_wait_ms: 0,
            ..POLICY
        };
        let mut failover = Failover::new(policy, Demand::default(), NOW);
        let mut rng = SmallRng::seed_from_u64(1);
        match failover.next(snapshot, MODEL, &Moment::new(NOW), &mut rng) {
            Step::GiveUp(reason) => reason,
            step => panic!("{step:?}"),
        }
    };
    for (reason, is_suspected) in [(Outcome::KeyRejected, true), (Outcome::ModelRefused, false)] {
        for id in 0..3 {
            let scope = QuotaScope {
                scope: Scope::Key(KeyId(id)),
                model: None,
            };
            let cool_down = match id {
                0 => cooling(reason, NOW, Some(NOW.plus(90_000))),
                _ => cooling(reason, NOW.plus(60_000), None),
            };
            snapshot.set_cool_down(&scope, cool_down);
        }
        let reason = give_up(&mut snapshot);
        match &reason {
            GiveUp::Suspected(_) => assert!(is_suspected, "{reason:?}"),
            GiveUp::Exhausted(_) => assert!(!is_suspected, "{reason:?}"),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn uses_no_key_twice_and_prefers_untried_projects(
        keys in 1i64..12,
        projects in 1i64..6,
        outcomes in prop::collection::vec(prop::sample::select(Outcome::ALL.to_vec()), 40),
        took in prop::collection::vec(0i64..40_000, 40),
        seed in any::<u64>(),
    ) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut snapshot = pool(keys, projects);
        let mut failover = Failover::new(POLICY, Demand::default(), NOW);
        let (mut now, mut used, mut same_key_allowed) = (NOW, Vec::new(), false);
        for (outcome, took) in outcomes.into_iter().zip(took) {
            let Step::Send(pick) = failover.next(&mut snapshot, MODEL, &Moment::new(now), &mut rng) else {
                break;
            };
            prop_assert!(same_key_allowed || !used.contains(&pick.key.id));
            let tried = |scope: &Scope| {
                used.iter().any(|id| snapshot.key(*id).is_some_and(|key| key.scope() == *scope))
            };
            let untried_is_left = snapshot.keys().iter().any(|key| !tried(&key.scope()));
            prop_assert!(same_key_allowed || !untried_is_left || !tried(&pick.key.scope()));
            prop_assert!(now.since(NOW) < 600_000, "no attempt may start after the deadline");
            let number = failover.sent(&pick.key);
            used.push(pick.key.id);
            prop_assert_eq!(number as usize, used.len());
            now = now.plus(took.min(failover.deadlines(now).head_by.since(now)));
            same_key_allowed |= matches!(outcome.rule().cure, Cure::AtOnce | Cure::OtherHeader);
            match failover.after(outcome, now, &mut rng) {
                After::Stop => break,
                After::Retry { back_off_ms, .. } => now = now.plus(i64::try_from(back_off_ms).unwrap()),
            }
        }
        prop_assert!(used.len() <= 5);
    }
}
