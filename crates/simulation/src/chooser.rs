//! The choice of keys: by the pool, or by one of two simple strategies that it is compared with.

use crate::world::Reply;
use gemini_keypool::pool::suspicion::{self, Evidence, Judgement, judge};
use gemini_keypool::pool::{
    After, ApiKey, Change, CoolDown, Demand, Failover, Incident, KeyId, KeyState, KeyStatus,
    MINUTE_MS, Moment, Outcome, Pick, Policy, PoolKey, QuotaScope, Record, RetryBudget, Scope,
    Snapshot, Standing, Step, UnixMillis, Verdict, quota_scope_of, transition,
};
use rand::RngExt;
use rand::rngs::SmallRng;
use std::collections::HashMap;

/// The one model of the simulation.
pub(crate) const MODEL: &str = "gemini-flash";
/// Tokens of each prompt.
const TOKENS: u64 = 100;

pub(crate) const POLICY: Policy = Policy {
    max_attempts: 5,
    first_byte_timeout_ms: 60_000,
    first_content_timeout_ms: 300_000,
    answer_timeout_ms: None,
    deadline_ms: Some(DEADLINE_MS),
    max_wait_ms: 1_000,
    retry_empty: true,
};
/// The deadline of a request, in milliseconds.
const DEADLINE_MS: u64 = 90_000;
/// The lease of a trial, in milliseconds: a little longer than the deadline.
const TRIAL_LEASE_MS: i64 = 95_000;

/// What a request does next.
pub(crate) enum Next {
    Send(Box<Pick>),
    Wait(i64),
    GiveUp,
}

/// A strategy to choose keys for requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// The pool's own decisions, with state in memory instead of the database.
    Keypool,
    /// A random key, whatever its state.
    WeightedRandom,
    /// The next key in turn, whatever its state.
    RoundRobin,
}

impl Strategy {
    pub(crate) const ALL: [Self; 3] = [Self::Keypool, Self::WeightedRandom, Self::RoundRobin];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keypool => "keypool",
            Self::WeightedRandom => "weighted random",
            Self::RoundRobin => "round robin",
        }
    }
}

pub(crate) struct Chooser {
    strategy: Strategy,
    pub(crate) snapshot: Snapshot,
    turn: usize,
    /// Calls and charged retries per minute.
    traffic: HashMap<i64, (u64, u64)>,
    /// Keys that the pool has disabled recently, with the time and the state before.
    disabled_at: Vec<(KeyId, UnixMillis, KeyState)>,
}

/// The attempts of one request.
pub(crate) struct Request {
    failover: Failover,
    pub(crate) tried: Vec<KeyId>,
    /// Whether every key it was given was eligible at that moment.
    pub(crate) all_eligible: bool,
}

impl Request {
    pub(crate) fn new(now: UnixMillis) -> Self {
        Self {
            failover: Failover::new(POLICY, Demand::default(), now),
            tried: Vec::new(),
            all_eligible: true,
        }
    }
}

impl Chooser {
    /// Creates a pool with a key for each of these projects; the operator knows which keys share
    /// one.
    pub(crate) fn new(strategy: Strategy, projects: impl Iterator<Item = usize>) -> Self {
        let keys = (0i64..).zip(projects).filter_map(|(id, project)| {
            Some(PoolKey {
                id: KeyId(id),
                key: ApiKey::try_new(format!("fake-key-{id}")).ok()?,
                name: None,
                project: Some(format!("projects/{project}")),
                priority: 100,
                state: KeyState {
                    status: KeyStatus::Active,
                    consecutive_failures: 0,
                    disabled_until: None,
                },
                last_used_at: None,
                last_success_began_at: None,
                last_outcome: None,
                trial_until: None,
                disabled_reason: None,
                credential_header: None,
                edits: 0,
                models: None,
            })
        });
        Self {
            strategy,
            snapshot: Snapshot::new(keys.collect()),
            turn: 0,
            traffic: HashMap::new(),
            disabled_at: Vec::new(),
        }
    }

    pub(crate) fn next(&mut self, request: &mut Request, now: &Moment, rng: &mut SmallRng) -> Next {
        let pick = match self.strategy {
            Strategy::Keypool => match request.failover.next(&mut self.snapshot, MODEL, now, rng) {
                Step::Send(pick) => pick,
                Step::Wait { ms } => return Next::Wait(i64::try_from(ms).unwrap_or(i64::MAX)),
                Step::GiveUp(_) => return Next::GiveUp,
            },
            Strategy::WeightedRandom | Strategy::RoundRobin => Box::new(self.choose_naively(rng)),
        };
        request.tried.push(pick.key.id);
        request.failover.sent(&pick.key);
        self.traffic.entry(now.at().0 / MINUTE_MS).or_default().0 += 1;
        if self.strategy == Strategy::Keypool {
            request.all_eligible &= self.is_eligible(pick.key.id, now);
            for claim in &pick.claims {
                let lease = now.at().plus(TRIAL_LEASE_MS);
                self.snapshot
                    .apply(&Change::TrialBegan(claim.clone(), lease));
            }
            self.snapshot.apply(&Change::Sent {
                key: pick.key.id,
                counted: pick.counted.clone(),
                input_tokens: TOKENS,
                now: now.clone(),
            });
        }
        Next::Send(pick)
    }

    fn choose_naively(&mut self, rng: &mut SmallRng) -> Pick {
        let keys = self.snapshot.keys();
        let position = match self.strategy {
            Strategy::RoundRobin => self.turn % keys.len(),
            // All keys have the same weight.
            Strategy::Keypool | Strategy::WeightedRandom => rng.random_range(0..keys.len()),
        };
        self.turn += 1;
        Pick {
            key: keys[position].clone(),
            claims: Vec::new(),
            counted: Vec::new(),
            on_probation: Vec::new(),
        }
    }

    fn is_eligible(&self, id: KeyId, now: &Moment) -> bool {
        self.snapshot.key(id).is_some_and(|key| {
            matches!(
                self.snapshot.standing(key, MODEL, now),
                Standing::Eligible { .. }
            )
        })
    }

    /// Records the reply to an attempt. Returns the back-off before the next one, if there is one.
    pub(crate) fn on_reply(
        &mut self,
        request: &mut Request,
        pick: &Pick,
        began_at: UnixMillis,
        reply: &Reply,
        now: UnixMillis,
        rng: &mut SmallRng,
    ) -> Option<i64> {
        if self.strategy == Strategy::Keypool {
            self.record(pick, began_at, reply, now);
        }
        match request.failover.after(reply.outcome, now, rng) {
            After::Stop => None,
            After::Retry {
                charged,
                back_off_ms,
            } => {
                if charged && self.strategy == Strategy::Keypool {
                    let (calls, retries) = self.traffic.entry(now.0 / MINUTE_MS).or_default();
                    if !RetryBudget::default().allows(calls.saturating_sub(*retries), *retries) {
                        return None;
                    }
                    *retries += 1;
                }
                i64::try_from(back_off_ms).ok()
            }
        }
    }

    /// The calls and charged retries of each minute.
    pub(crate) fn minutes(&self) -> impl Iterator<Item = &(u64, u64)> {
        self.traffic.values()
    }

    fn record(&mut self, pick: &Pick, began_at: UnixMillis, reply: &Reply, now: UnixMillis) {
        let id = pick.key.id;
        let incident = Incident {
            outcome: reply.outcome,
            retry_after_ms: reply.retry_after_ms,
            began_at,
            ended_at: now,
        };
        let project = QuotaScope {
            scope: pick.key.scope(),
            model: Some(MODEL.to_owned()),
        };
        for limit in &reply.limits {
            self.snapshot.apply(&Change::Limit(project.clone(), *limit));
        }
        match reply.outcome.verdict() {
            Verdict::Works => {
                for place in &pick.on_probation {
                    self.snapshot
                        .apply(&Change::Worked(place.clone(), began_at));
                }
                self.snapshot.update_key(id, |key| {
                    key.state = transition(key.state, Verdict::Works, Record::default(), now);
                    key.last_success_began_at = key.last_success_began_at.max(Some(began_at));
                });
            }
            Verdict::Failed | Verdict::Rejected | Verdict::Restricted => self.reject(id, &incident),
            Verdict::Unknown => {
                if let Some(place) = quota_scope_of(reply.outcome, &pick.key, MODEL, None) {
                    self.cool(&place, &incident);
                }
            }
        }
        for claim in &pick.claims {
            let lease = began_at.plus(TRIAL_LEASE_MS);
            self.snapshot
                .apply(&Change::TrialEnded(claim.clone(), lease));
        }
        self.snapshot.update_key(id, |key| {
            key.last_outcome = Some((reply.outcome, now));
        });
    }

    fn cool(&mut self, place: &QuotaScope, incident: &Incident) {
        let before = self.snapshot.cool_down(place).copied();
        if let Some(cool_down) = CoolDown::after(before.as_ref(), incident) {
            self.snapshot.set_cool_down(place, cool_down);
        }
    }

    fn reject(&mut self, id: KeyId, incident: &Incident) {
        let now = incident.ended_at;
        let recently = |at: UnixMillis| now.since(at) <= suspicion::WAVE_MS;
        self.disabled_at.retain(|(_, at, _)| recently(*at));
        let keys = self.snapshot.keys();
        let evidence = Evidence {
            alike: suspicion::alike(keys, id, incident.outcome, now),
            disabled_lately: self.disabled_at.len(),
            in_use: suspicion::in_use(keys),
        };
        let Some(before) = self.snapshot.key(id).map(|key| key.state) else {
            return;
        };
        // A key's record does not matter: in this world a dead key stays dead.
        let verdict = incident.outcome.verdict();
        let mut suspected = vec![id];
        match judge(before, verdict, Record::default(), now, evidence) {
            Judgement::Move(after) => {
                let was_in_use = before.status != KeyStatus::Disabled;
                if was_in_use && after.status == KeyStatus::Disabled {
                    self.disabled_at.push((id, now, before));
                }
                self.snapshot.apply(&Change::State(id, after));
                return;
            }
            Judgement::Suspect { reinstates: false } => {}
            Judgement::Suspect { reinstates: true } => {
                for (reinstated, _, state) in std::mem::take(&mut self.disabled_at) {
                    self.snapshot.apply(&Change::State(reinstated, state));
                    suspected.push(reinstated);
                }
            }
        }
        for id in suspected {
            let place = QuotaScope {
                scope: Scope::Key(id),
                model: None,
            };
            self.cool(&place, incident);
        }
    }
}

/// Whether an outcome is a 429.
pub(crate) fn is_429(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::QuotaPerMinute
            | Outcome::QuotaPerDay
            | Outcome::QuotaNone
            | Outcome::QuotaUnspecified
    )
}
