//! The attempts of one request: which key next, whether to go on, and what to say when nothing is left.
//!
//! | what an attempt came to | what follows |
//! |---|---|
//! | an answer, the caller's own mistake | the caller gets it |
//! | the key or its project cannot serve this: rejected, refused, no quota | another key at once |
//! | this machine is refused, or a credential in this form | another key at once, which may be let through; part of the retry budget |
//! | overload, trouble on the way, silence | another key after a back-off with jitter; part of the retry budget |
//! | an answer without content | another key, once; part of the retry budget |
//!
//! A request uses no key twice, and none of a project it has tried while another project is left. It ends with its
//! attempts ([`Policy::max_attempts`]), its time ([`Policy::deadline_ms`]), the pool's retry budget, or its keys. Then
//! [`GiveUp`] says which answer is the true one.

use super::{KeyId, Moment, Outcome, Pick, PoolKey, Scope, Snapshot, Survey, UnixMillis};
use rand::{Rng, RngExt};

/// The first back-off in milliseconds; each next one is twice as long. What is waited is between half of it and all.
const BACK_OFF_MS: u64 = 100;
/// The longest back-off in milliseconds: 2 s.
const LONGEST_BACK_OFF_MS: u64 = 2_000;
/// The pool gives up so much before its client does, in milliseconds, so that the client hears why: 500 ms.
const BEFORE_CLIENT_MS: u64 = 500;
/// The shortest wait for a key, in milliseconds.
const SHORTEST_WAIT_MS: i64 = 5;

/// How far a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Calls to the upstream, the first included; at least 1.
    pub max_attempts: u32,
    /// How long one call may take until the first byte of its answer, in milliseconds.
    pub first_byte_timeout_ms: u64,
    /// How long all of them may take until then, in milliseconds.
    pub deadline_ms: u64,
    /// How long a request may wait for a key that cools, in milliseconds.
    pub max_wait_ms: u64,
    /// Whether an answer without content is tried once more.
    pub retry_empty: bool,
}

/// The attempts of one request, so far.
#[derive(Debug)]
pub struct Failover {
    policy: Policy,
    deadline: UnixMillis,
    attempts: u32,
    tried: Vec<(KeyId, Scope)>,
    waited_ms: u64,
    back_offs: u32,
    last: Option<Outcome>,
    empty_seen: bool,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Claim what the pick asks for, and send. A claim that fails leads back here.
    Send(Box<Pick>),
    /// A key comes back soon: wait, and look again.
    Wait {
        /// So many milliseconds.
        ms: u64,
    },
    /// Nothing is left to try.
    GiveUp(GiveUp),
}

/// Which answer is the true one when no key is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GiveUp {
    /// What the last attempt came to.
    LastFailure,
    /// There is no key at all.
    NoKeys,
    /// Quotas and budgets are used up; keys come back.
    Exhausted(Survey),
    /// The keys that are left were all rejected, or are paused.
    CredentialsExhausted(Survey),
    /// Keys fail alike, so the upstream or this machine's address is suspected.
    Suspected(Survey),
    /// No project of the pool may use the model.
    ModelRefused(Survey),
}

/// What to do after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The caller gets what the attempt came to.
    Answer,
    /// Another attempt.
    Retry {
        /// It takes from the pool's retry budget; without that, the caller gets what this attempt came to.
        charged: bool,
        /// Milliseconds to wait before.
        back_off_ms: u64,
    },
}

enum Cure {
    None,
    AnotherKey,
    PerhapsAnotherKey,
    AnotherTime,
}

fn cure(outcome: Outcome) -> Cure {
    match outcome {
        Outcome::Success | Outcome::ClientGone | Outcome::ClientFault => Cure::None,
        Outcome::KeyRejected
        | Outcome::ProjectRefused
        | Outcome::ResourceRefused
        | Outcome::ModelRefused
        | Outcome::QuotaPerMinute
        | Outcome::QuotaPerDay
        | Outcome::QuotaNone
        | Outcome::BillingExhausted
        | Outcome::QuotaUnspecified => Cure::AnotherKey,
        Outcome::EgressRefused | Outcome::PoolFault | Outcome::EmptyAnswer => {
            Cure::PerhapsAnotherKey
        }
        Outcome::ModelOverloaded | Outcome::UpstreamTrouble => Cure::AnotherTime,
    }
}

impl Failover {
    /// A request that arrived at `now`, from a client that waits for `client_timeout_ms` at most, if it says so.
    pub fn new(policy: Policy, now: UnixMillis, client_timeout_ms: Option<u64>) -> Self {
        let patience = client_timeout_ms.map_or(u64::MAX, |ms| {
            ms.saturating_sub(BEFORE_CLIENT_MS.min(ms / 2))
        });
        let deadline_ms = policy.deadline_ms.min(patience);
        Self {
            policy,
            deadline: now.plus(i64::try_from(deadline_ms).unwrap_or(i64::MAX)),
            attempts: 0,
            tried: Vec::new(),
            waited_ms: 0,
            back_offs: 0,
            last: None,
            empty_seen: false,
        }
    }

    /// Attempts so far.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Milliseconds that an attempt that begins at `now` may take until the first byte of its answer.
    pub fn first_byte_timeout_ms(&self, now: UnixMillis) -> u64 {
        let left = u64::try_from(self.deadline.since(now)).unwrap_or_default();
        left.min(self.policy.first_byte_timeout_ms)
    }

    /// The next step.
    pub fn next(
        &mut self,
        snapshot: &mut Snapshot,
        model: &str,
        now: &Moment,
        rng: &mut impl Rng,
    ) -> Step {
        let is_tried = |key: &PoolKey| self.tried.iter().any(|(id, _)| *id == key.id);
        let pick = if self.tried.is_empty() {
            snapshot.choose(model, now, |_| false, rng)
        } else {
            let of_tried_project = |key: &PoolKey| {
                let scope = key.scope();
                is_tried(key) || self.tried.iter().any(|(_, tried)| *tried == scope)
            };
            snapshot
                .choose(model, now, of_tried_project, rng)
                .or_else(|| snapshot.choose(model, now, is_tried, rng))
        };
        if let Some(pick) = pick {
            return Step::Send(Box::new(pick));
        }
        if let Some(ms) = self.wait_for_key(snapshot, model, now) {
            self.waited_ms += ms;
            return Step::Wait { ms };
        }
        Step::GiveUp(self.give_up(snapshot.survey(model, now)))
    }

    /// Notes that a call is sent with a key. Gives the attempt's number, from 1.
    pub fn sent(&mut self, key: &PoolKey) -> u32 {
        self.attempts += 1;
        self.tried.push((key.id, key.scope()));
        self.attempts
    }

    /// What follows an attempt that came to `outcome` before the caller got anything of it.
    pub fn after(&mut self, outcome: Outcome, now: UnixMillis, rng: &mut impl Rng) -> After {
        self.last = Some(outcome);
        if outcome == Outcome::EmptyAnswer {
            let again = self.policy.retry_empty && !self.empty_seen;
            self.empty_seen = true;
            if !again {
                return After::Answer;
            }
        }
        if self.attempts >= self.policy.max_attempts || now >= self.deadline {
            return After::Answer;
        }
        match cure(outcome) {
            Cure::None => After::Answer,
            Cure::AnotherKey => After::Retry {
                charged: false,
                back_off_ms: 0,
            },
            Cure::PerhapsAnotherKey => After::Retry {
                charged: true,
                back_off_ms: 0,
            },
            Cure::AnotherTime => {
                let full = (BACK_OFF_MS << self.back_offs.min(10)).min(LONGEST_BACK_OFF_MS);
                self.back_offs += 1;
                let back_off_ms = rng.random_range(full / 2..=full);
                if self.first_byte_timeout_ms(now) <= back_off_ms {
                    return After::Answer;
                }
                After::Retry {
                    charged: true,
                    back_off_ms,
                }
            }
        }
    }

    /// How long to wait for a key that was not tried yet, if one comes back in time.
    fn wait_for_key(&self, snapshot: &Snapshot, model: &str, now: &Moment) -> Option<u64> {
        use super::Standing::Out;
        let soonest = snapshot
            .keys()
            .iter()
            .filter(|key| !self.tried.iter().any(|(id, _)| *id == key.id))
            .filter_map(|key| match snapshot.standing(key, model, now) {
                Out { until, .. } => until,
                super::Standing::Eligible { .. } => None,
            })
            .min()?;
        let wait = soonest.since(now.at()).max(SHORTEST_WAIT_MS);
        let ms = u64::try_from(wait).ok()?;
        let left = self.policy.max_wait_ms.saturating_sub(self.waited_ms);
        (ms <= left && now.at().plus(wait) < self.deadline).then_some(ms)
    }

    fn give_up(&self, survey: Survey) -> GiveUp {
        if survey.keys == 0 {
            return GiveUp::NoKeys;
        }
        let out = |names: &[Outcome]| {
            names
                .iter()
                .any(|outcome| survey.out.contains_key(outcome.name()))
        };
        if survey.eligible > 0 {
            // Keys that work, and did not help this request.
            return GiveUp::LastFailure;
        }
        let quotas = [
            Outcome::QuotaPerMinute,
            Outcome::QuotaPerDay,
            Outcome::QuotaNone,
            Outcome::QuotaUnspecified,
            Outcome::BillingExhausted,
        ];
        let suspected = [
            Outcome::EgressRefused,
            Outcome::KeyRejected,
            Outcome::ProjectRefused,
        ];
        if out(&quotas) || survey.out.contains_key("budget_spent") {
            return GiveUp::Exhausted(survey);
        }
        if out(&suspected) {
            return match self.last {
                Some(Outcome::EgressRefused) => GiveUp::LastFailure,
                _ => GiveUp::Suspected(survey),
            };
        }
        if out(&[Outcome::ModelRefused, Outcome::ResourceRefused]) {
            return match self.last {
                Some(Outcome::ModelRefused | Outcome::ResourceRefused) => GiveUp::LastFailure,
                _ => GiveUp::ModelRefused(survey),
            };
        }
        GiveUp::CredentialsExhausted(survey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::testing::{USED as NOW, key};
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const MODEL: &str = "m";
    const POLICY: Policy = Policy {
        max_attempts: 5,
        first_byte_timeout_ms: 60_000,
        deadline_ms: 90_000,
        max_wait_ms: 1_000,
        retry_empty: true,
    };

    fn pool(keys: i64, projects: i64) -> Snapshot {
        let of_project = |id| PoolKey {
            project: Some(format!("projects/{}", id % projects)),
            ..key(id)
        };
        Snapshot::new((0..keys).map(of_project).collect())
    }

    #[test]
    fn the_deadline_is_the_pools_or_a_little_before_the_clients() {
        for (client, expected) in [
            (None, 60_000),
            (Some(600_000), 60_000),
            (Some(30_000), 29_500),
            (Some(600), 300),
            (Some(0), 0),
        ] {
            let failover = Failover::new(POLICY, NOW, client);
            assert_eq!(failover.first_byte_timeout_ms(NOW), expected, "{client:?}");
            assert_eq!(failover.first_byte_timeout_ms(NOW.plus(90_000)), 0);
        }
    }

    #[test]
    fn what_follows_depends_on_whose_fault_it_was() {
        let mut rng = SmallRng::seed_from_u64(1);
        for outcome in Outcome::ALL {
            let mut failover = Failover::new(POLICY, NOW, None);
            failover.sent(&key(1));
            let after = failover.after(outcome, NOW, &mut rng);
            let (charged, backs_off) = match after {
                After::Answer => {
                    assert!(matches!(
                        outcome,
                        Outcome::Success | Outcome::ClientGone | Outcome::ClientFault
                    ));
                    continue;
                }
                After::Retry {
                    charged,
                    back_off_ms,
                } => (charged, back_off_ms > 0),
            };
            let is_trouble = matches!(outcome, Outcome::ModelOverloaded | Outcome::UpstreamTrouble);
            let may_cure = matches!(
                outcome,
                Outcome::EgressRefused | Outcome::PoolFault | Outcome::EmptyAnswer
            );
            assert_eq!(
                (charged, backs_off),
                (is_trouble || may_cure, is_trouble),
                "{}",
                outcome.name()
            );
        }
    }

    #[test]
    fn an_answer_without_content_is_tried_once_more_at_most() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut failover = Failover::new(POLICY, NOW, None);
        failover.sent(&key(1));
        let first = failover.after(Outcome::EmptyAnswer, NOW, &mut rng);
        assert!(matches!(first, After::Retry { .. }));
        failover.sent(&key(2));
        let second = failover.after(Outcome::EmptyAnswer, NOW, &mut rng);
        assert_eq!(second, After::Answer);
    }

    proptest! {
        #[test]
        fn no_key_twice_other_projects_first_and_an_end(
            keys in 1i64..12,
            projects in 1i64..6,
            outcomes in prop::collection::vec(prop::sample::select(Outcome::ALL.to_vec()), 40),
            took in prop::collection::vec(0i64..40_000, 40),
            seed in any::<u64>(),
        ) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut snapshot = pool(keys, projects);
            let mut failover = Failover::new(POLICY, NOW, None);
            let (mut now, mut used) = (NOW, Vec::new());
            for (outcome, took) in outcomes.into_iter().zip(took) {
                let Step::Send(pick) = failover.next(&mut snapshot, MODEL, &Moment::new(now), &mut rng) else {
                    break;
                };
                prop_assert!(!used.contains(&pick.key.id));
                let tried = |scope: &Scope| {
                    used.iter().any(|id| snapshot.key(*id).is_some_and(|key| key.scope() == *scope))
                };
                let another_is_left = snapshot.keys().iter().any(|key| !tried(&key.scope()));
                prop_assert!(!another_is_left || !tried(&pick.key.scope()));
                prop_assert!(now.since(NOW) < 90_000, "an attempt after the deadline");
                let number = failover.sent(&pick.key);
                used.push(pick.key.id);
                prop_assert_eq!(number as usize, used.len());
                now = now.plus(took.min(i64::try_from(failover.first_byte_timeout_ms(now)).unwrap()));
                match failover.after(outcome, now, &mut rng) {
                    After::Answer => break,
                    After::Retry { back_off_ms, .. } => now = now.plus(i64::try_from(back_off_ms).unwrap()),
                }
            }
            prop_assert!(used.len() <= 5);
        }
    }
}
