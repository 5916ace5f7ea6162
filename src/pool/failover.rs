//! The attempts of one request: which key next, whether to go on, and what to say when nothing is left.
//!
//! What follows an attempt is its outcome's [`Cure`]: another key at once where the key or its project cannot serve this;
//! one other project where the request may be at fault; another key after a back-off, from the retry budget, where the
//! upstream is in trouble; nothing where the request is wrong.
//!
//! A request uses no key twice, and none of a project it has tried while another project is left. It ends with its
//! attempts ([`Policy::max_attempts`]), its time ([`Policy::deadline_ms`]), the pool's retry budget, or its keys. Then
//! [`GiveUp`] says which answer is the true one.

use super::{
    Blame, Cure, KeyId, LONGEST_TRIAL_LEASE_MS, Limit, Moment, Outcome, Owner, Pick, PoolKey,
    Reason, RequestSize, Scope, Snapshot, Standing, Survey, Unit, UnixMillis,
};
use rand::{Rng, RngExt};
use std::collections::BTreeSet;

/// The first back-off in milliseconds; each next one is twice as long. What is waited is between half of it and all.
const BACK_OFF_MS: u64 = 100;
/// The longest back-off in milliseconds: 2 s.
const LONGEST_BACK_OFF_MS: u64 = 2_000;
/// The pool gives up so much before its client does, in milliseconds, so that the client hears why: 500 ms.
const BEFORE_CLIENT_MS: u64 = 500;
/// How long a client waits that does not say, in milliseconds: 600 s, as OpenAI's clients do.
const DEFAULT_PATIENCE_MS: u64 = 600_000;
/// A client that says it waits no longer than this, in milliseconds, does not expect a long answer: 60 s. Then silence may
/// cost it half its time, so that another key can answer.
const SHORT_PATIENCE_MS: u64 = 60_000;
/// The shortest wait for a key, in milliseconds.
const SHORTEST_WAIT_MS: i64 = 5;
/// How soon a request looks again whether another's trial has ended, or whether a key can be had that it has just lost to
/// another: in milliseconds.
const LOOK_AGAIN_MS: i64 = 100;
/// What a caller is asked to wait when others were faster at every key, in milliseconds: 1 s.
const CONTENDED_MS: i64 = 1000;
/// How much longer the lease of a trial is than the request's time, in milliseconds: 5 s, until its end is written.
const TRIAL_LEASE_MARGIN_MS: i64 = 5_000;
/// Keys that a request may lose to others before it gives up.
const MAX_LOST_CLAIMS: u32 = 20;
/// Projects that have to say the same before the request is taken to be at fault.
const PROJECTS_THAT_DECIDE: usize = 2;

/// How far a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Calls to the upstream, the first included; at least 1.
    pub max_attempts: u32,
    /// How long one call may take until the head of a stream, in milliseconds.
    pub first_byte_timeout_ms: u64,
    /// How long one may take until a stream says something, in milliseconds; longer for a client that waits longer.
    pub first_content_timeout_ms: u64,
    /// How long one may take until an answer in one piece, in milliseconds; `None` for as long as the request may.
    pub answer_timeout_ms: Option<u64>,
    /// How long all of them may take until the caller is given something, in milliseconds; `None` for as long as the client
    /// says that it waits, or else 600 s.
    pub deadline_ms: Option<u64>,
    /// How long a request may wait for a key that cools, in milliseconds.
    pub max_wait_ms: u64,
    /// Whether an answer without content is tried once more.
    pub retry_empty: bool,
}

/// What a request asks of the pool.
#[derive(Debug, Clone)]
pub struct Demand {
    /// How long the client waits, if it says so, in milliseconds.
    pub client_timeout_ms: Option<u64>,
    /// Whether it may be sent again after a failure that leaves open whether it was done.
    pub is_repeatable: bool,
    /// How its answer arrives.
    pub answer: AnswerShape,
    /// How large it is.
    pub size: RequestSize,
    /// Whose keys alone can serve it.
    pub owner: Option<Owner>,
    /// The conversation that it continues, if that is to stay with one project.
    pub conversation: Option<u64>,
    /// Whether it goes to one project after another.
    pub asks_all_projects: bool,
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            client_timeout_ms: None,
            is_repeatable: true,
            answer: AnswerShape::default(),
            size: RequestSize::default(),
            owner: None,
            conversation: None,
            asks_all_projects: false,
        }
    }
}

/// How an answer arrives, which decides how long to wait for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AnswerShape {
    /// Event by event: the head comes soon, the first content later.
    #[default]
    Stream,
    /// In one piece: the head comes once the answer is complete, and the body without a pause.
    Whole,
    /// In one piece or not: like [`Whole`](Self::Whole), but the body may pause.
    Unknown,
}

/// Until when an attempt must have got how far. Built once per attempt, by [`Failover::deadlines`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// When the head of its answer must be there.
    pub head_by: UnixMillis,
    /// When its answer must have content.
    pub content_by: UnixMillis,
    /// When the caller must be given something of it.
    pub answer_by: UnixMillis,
    /// How long a body may pause, in milliseconds; `None` where pauses are normal.
    pub idle_ms: Option<u64>,
    /// When the client gives up, if it says so.
    pub client_by: Option<UnixMillis>,
}

/// The deadlines that a host keeps by itself, which costs less than timers of the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From sending the request to the head of the response, in milliseconds.
    pub head_ms: u64,
    /// From one part of the body to the next, in milliseconds; `None` where pauses are normal.
    pub idle_ms: Option<u64>,
}

impl Deadlines {
    /// What the host keeps for a request that is sent at `now`.
    pub fn timeouts(&self, now: UnixMillis) -> Timeouts {
        Timeouts {
            head_ms: u64::try_from(self.head_by.since(now)).unwrap_or_default(),
            idle_ms: self.idle_ms,
        }
    }

    /// When a body that pauses at `now` is idle for too long.
    pub fn idle_by(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.idle_ms.map(|ms| after(now, ms))
    }
}

/// The attempts of one request, so far.
#[derive(Debug)]
pub struct Failover {
    policy: Policy,
    demand: Demand,
    /// How long the client waits, if it says so, in milliseconds, less what the pool needs to answer
    /// it before it gives up.
    patience_ms: Option<u64>,
    /// How long one attempt may take, in milliseconds, so that a client that waits for a short time
    /// gets a second one.
    attempt_ms: Option<u64>,
    deadline: UnixMillis,
    attempts: u32,
    tried: Vec<(KeyId, Scope)>,
    /// Keys whose trial or budget another request was faster to take, since the last wait.
    lost: Vec<KeyId>,
    lost_claims: u32,
    waited_ms: u64,
    back_offs: u32,
    last: Option<Outcome>,
    empty_seen: bool,
    /// Projects that refused the request in a way that puts the request at fault if another agrees.
    doubts: usize,
    /// Only a project that was not tried yet can tell more.
    needs_new_project: bool,
    was_not_sent: bool,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Claim what the pick asks for, and send. A claim that fails leads to [`Failover::lost`] and back here.
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
    /// What the request uses belongs to keys that are gone or disabled.
    OwnerGone,
    /// Quotas and budgets are used up, or others are faster; keys come back.
    Exhausted(Survey),
    /// The keys that are left were all rejected, or are paused.
    CredentialsExhausted(Survey),
    /// Keys fail alike, so the upstream or this machine's address is suspected.
    Suspected(Survey),
    /// No project of the pool may use the model.
    ModelRefused(Survey),
    /// The request alone is larger than this limit, which holds in all projects that it is known of.
    TooLarge(Limit),
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

impl Failover {
    /// A request that arrived at `now`.
    pub fn new(policy: Policy, demand: Demand, now: UnixMillis) -> Self {
        let client_timeout_ms = demand.client_timeout_ms;
        let patience_ms =
            client_timeout_ms.map(|ms| ms.saturating_sub(BEFORE_CLIENT_MS.min(ms / 2)));
        let deadline_ms = match (policy.deadline_ms, patience_ms) {
            (Some(deadline_ms), Some(patience_ms)) => deadline_ms.min(patience_ms),
            (set, None) | (None, set) => set.unwrap_or(DEFAULT_PATIENCE_MS),
        };
        let is_short = client_timeout_ms.is_some_and(|ms| ms <= SHORT_PATIENCE_MS);
        Self {
            policy,
            demand,
            patience_ms,
            attempt_ms: is_short.then_some(deadline_ms / 2),
            deadline: after(now, deadline_ms),
            attempts: 0,
            tried: Vec::new(),
            lost: Vec::new(),
            lost_claims: 0,
            waited_ms: 0,
            back_offs: 0,
            last: None,
            empty_seen: false,
            doubts: 0,
            needs_new_project: false,
            was_not_sent: false,
        }
    }

    /// Attempts so far.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The deadlines of an attempt that starts at `now`.
    pub fn deadlines(&self, now: UnixMillis) -> Deadlines {
        let policy = &self.policy;
        let left_ms = self.left_ms(now);
        let attempt_ms = left_ms.min(self.attempt_ms.unwrap_or(u64::MAX));
        let (head_ms, content_ms) = match self.demand.answer {
            AnswerShape::Stream => {
                let patience_ms = self.patience_ms.unwrap_or_default();
                let content_ms = policy.first_content_timeout_ms.max(patience_ms);
                (policy.first_byte_timeout_ms, content_ms)
            }
            AnswerShape::Whole | AnswerShape::Unknown => {
                let answer_ms = policy.answer_timeout_ms.unwrap_or(u64::MAX);
                (answer_ms, answer_ms)
            }
        };
        Deadlines {
            head_by: after(now, head_ms.min(attempt_ms)),
            content_by: after(now, content_ms.min(attempt_ms)),
            answer_by: after(now, left_ms),
            idle_ms: match self.demand.answer {
                AnswerShape::Whole => Some(policy.first_byte_timeout_ms),
                AnswerShape::Stream | AnswerShape::Unknown => None,
            },
            client_by: self.patience_ms.map(|_| after(now, left_ms)),
        }
    }

    /// How long a trial call that begins at `now` is waited for before another may try, in milliseconds: a little longer than
    /// the request may take to know.
    pub fn trial_lease_ms(&self, now: UnixMillis) -> i64 {
        i64::try_from(self.left_ms(now))
            .unwrap_or(LONGEST_TRIAL_LEASE_MS)
            .saturating_add(TRIAL_LEASE_MARGIN_MS)
            .min(LONGEST_TRIAL_LEASE_MS)
    }

    /// Milliseconds left until the caller must have an answer.
    fn left_ms(&self, now: UnixMillis) -> u64 {
        u64::try_from(self.deadline.since(now)).unwrap_or_default()
    }

    /// The next step.
    pub fn next(
        &mut self,
        snapshot: &mut Snapshot,
        model: &str,
        now: &Moment,
        rng: &mut impl Rng,
    ) -> Step {
        if let Some(limit) = self.limit_below(snapshot, model, now) {
            return Step::GiveUp(GiveUp::TooLarge(limit));
        }
        if self.lost_claims < MAX_LOST_CLAIMS {
            if let Some(pick) = self.choose(snapshot, model, now, rng) {
                return Step::Send(Box::new(pick));
            }
            if let Some(ms) = self.wait_for_key(snapshot, model, now) {
                self.waited_ms += ms;
                self.lost.clear();
                return Step::Wait { ms };
            }
        }
        let survey = snapshot.survey_among(model, now, |key| self.may_serve(key));
        Step::GiveUp(self.give_up(survey, now.at()))
    }

    /// Whether a sample of the pool cannot serve the request: it needs the keys of one owner, of the
    /// project that a conversation prefers, or of all projects.
    pub fn needs_all_keys(&self) -> bool {
        let demand = &self.demand;
        demand.owner.is_some() || demand.conversation.is_some() || demand.asks_all_projects
    }

    /// Whether the next step is to send, and to a project that was not tried yet, if the pool is a sample that may hide one.
    pub fn has_choice(
        &self,
        snapshot: &mut Snapshot,
        model: &str,
        now: &Moment,
        rng: &mut impl Rng,
    ) -> bool {
        if self.limit_below(snapshot, model, now).is_some() {
            return false;
        }
        let too_small = self.keys_too_small(snapshot, model, now);
        let is_out = |key: &PoolKey| {
            self.is_out(key) || self.is_of_tried_project(key) || too_small.contains(&key.id)
        };
        self.lost_claims < MAX_LOST_CLAIMS && snapshot.choose(model, now, is_out, rng).is_some()
    }

    fn choose(
        &self,
        snapshot: &mut Snapshot,
        model: &str,
        now: &Moment,
        rng: &mut impl Rng,
    ) -> Option<Pick> {
        let too_small = self.keys_too_small(snapshot, model, now);
        let is_out = |key: &PoolKey| self.is_out(key) || too_small.contains(&key.id);
        // A project that is known to allow so much goes first.
        let roomy = self.keys_with_room(snapshot, model, now);
        if !roomy.is_empty() {
            let is_out = |key: &PoolKey| is_out(key) || !roomy.contains(&key.id);
            if let Some(pick) = snapshot.choose(model, now, is_out, rng) {
                return Some(pick);
            }
        }
        if self.tried.is_empty() {
            return match self.demand.conversation {
                Some(conversation) => snapshot.choose_for(conversation, model, now, is_out, rng),
                None => snapshot.choose(model, now, is_out, rng),
            };
        }
        let of_tried_project = |key: &PoolKey| is_out(key) || self.is_of_tried_project(key);
        let of_new_project = snapshot.choose(model, now, of_tried_project, rng);
        if self.needs_new_project {
            return of_new_project;
        }
        of_new_project.or_else(|| snapshot.choose(model, now, is_out, rng))
    }

    /// A limit that the request alone exceeds in every project whose limits are known, if enough of them are: then the
    /// others are taken to have the same.
    fn limit_below(&self, snapshot: &Snapshot, model: &str, now: &Moment) -> Option<Limit> {
        if self.attempts > 0 || self.demand.size == RequestSize::default() {
            return None;
        }
        let mut largest: Option<Limit> = None;
        let (mut too_small, mut unknown) = (BTreeSet::new(), false);
        for key in snapshot.keys().iter().filter(|key| self.may_serve(key)) {
            let exceeded = |limit: &Limit| self.demand.size.surely_exceeds(limit);
            let limits: Vec<Limit> = snapshot.limits(key, model, now).collect();
            match limits.iter().copied().find(exceeded) {
                Some(limit) => {
                    largest = Some(largest.map_or(limit, |before| {
                        if before.value < limit.value {
                            limit
                        } else {
                            before
                        }
                    }));
                    too_small.insert(key.scope());
                }
                None => unknown = true,
            }
        }
        let limit = largest?;
        let fits_somewhere = unknown
            && snapshot.keys().iter().any(|key| {
                self.may_serve(key)
                    && !too_small.contains(&key.scope())
                    && snapshot
                        .limits(key, model, now)
                        .any(|other| other.unit == limit.unit && !self.demand.size.exceeds(&other))
            });
        let decides = !unknown || too_small.len() >= PROJECTS_THAT_DECIDE;
        (decides && !fits_somewhere).then_some(limit)
    }

    /// Of a large request, keys that are known to have limits of which it exceeds none.
    fn keys_with_room(&self, snapshot: &Snapshot, model: &str, now: &Moment) -> BTreeSet<KeyId> {
        if self.demand.size == RequestSize::default() {
            return BTreeSet::new();
        }
        let is_of_size = |limit: &Limit| limit.unit != Unit::Requests;
        let has_room = |key: &&PoolKey| {
            let mut limits = snapshot
                .limits(key, model, now)
                .filter(is_of_size)
                .peekable();
            limits.peek().is_some() && limits.all(|limit| !self.demand.size.exceeds(&limit))
        };
        let keys = snapshot.keys().iter().filter(has_room);
        keys.map(|key| key.id).collect()
    }

    /// Keys whose limits the request alone exceeds.
    fn keys_too_small(&self, snapshot: &Snapshot, model: &str, now: &Moment) -> BTreeSet<KeyId> {
        if self.demand.size == RequestSize::default() {
            return BTreeSet::new();
        }
        let is_too_small = |key: &&PoolKey| {
            snapshot
                .limits(key, model, now)
                .any(|limit| self.demand.size.surely_exceeds(&limit))
        };
        let keys = snapshot.keys().iter().filter(is_too_small);
        keys.map(|key| key.id).collect()
    }

    /// Whether a key can take a call whose project was not tried yet.
    pub fn has_new_project(&self, snapshot: &Snapshot, model: &str, now: &Moment) -> bool {
        snapshot.keys().iter().any(|key| {
            !self.is_of_tried_project(key)
                && matches!(
                    snapshot.standing(key, model, now),
                    Standing::Eligible { .. }
                )
        })
    }

    fn is_out(&self, key: &PoolKey) -> bool {
        self.is_tried(key) || self.lost.contains(&key.id) || !self.may_serve(key)
    }

    fn is_of_tried_project(&self, key: &PoolKey) -> bool {
        let scope = key.scope();
        self.tried.iter().any(|(_, tried)| *tried == scope)
    }

    fn may_serve(&self, key: &PoolKey) -> bool {
        self.demand
            .owner
            .as_ref()
            .is_none_or(|owner| owner.shares_with(key))
    }

    fn is_tried(&self, key: &PoolKey) -> bool {
        self.tried.iter().any(|(id, _)| *id == key.id)
    }

    /// Notes that another request was faster: the key is not drawn again before time has passed.
    pub fn lost(&mut self, key: KeyId) {
        self.lost_claims += 1;
        self.lost.push(key);
    }

    /// Notes that a call is sent with a key. Gives the attempt's number, from 1.
    pub fn sent(&mut self, key: &PoolKey) -> u32 {
        self.attempts += 1;
        self.tried.push((key.id, key.scope()));
        self.attempts
    }

    /// Whether another attempt may follow.
    pub fn has_attempt_left(&self, now: UnixMillis) -> bool {
        self.attempts < self.policy.max_attempts && now < self.deadline
    }

    /// The request was changed, and goes once more to whoever can take it, the latest key included: it was not its fault.
    pub fn change_request(&mut self) {
        self.tried.pop();
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
        if !self.has_attempt_left(now) {
            return After::Answer;
        }
        if !self.demand.is_repeatable && outcome.rule().may_have_run {
            return After::Answer;
        }
        self.needs_new_project = false;
        let at_once = |charged| After::Retry {
            charged,
            back_off_ms: 0,
        };
        match outcome.rule().cure {
            Cure::None => After::Answer,
            Cure::AnotherKey => at_once(false),
            Cure::PerhapsAnotherKey => at_once(true),
            Cure::OneOtherProject => {
                self.doubts += 1;
                self.needs_new_project = true;
                if self.doubts < PROJECTS_THAT_DECIDE {
                    at_once(false)
                } else {
                    After::Answer
                }
            }
            Cure::OtherHeader => {
                self.tried.pop();
                at_once(false)
            }
            Cure::AtOnce if !self.was_not_sent => {
                self.was_not_sent = true;
                self.tried.pop();
                at_once(false)
            }
            Cure::AtOnce | Cure::AnotherTime => self.back_off(now, rng),
        }
    }

    fn back_off(&mut self, now: UnixMillis, rng: &mut impl Rng) -> After {
        let full = (BACK_OFF_MS << self.back_offs.min(10)).min(LONGEST_BACK_OFF_MS);
        self.back_offs += 1;
        let back_off_ms = rng.random_range(full / 2..=full);
        if self.deadlines(now).head_by.since(now) <= signed(back_off_ms) {
            return After::Answer;
        }
        After::Retry {
            charged: true,
            back_off_ms,
        }
    }

    /// How long to wait for a key that was not tried yet, if one comes back in time.
    fn wait_for_key(&self, snapshot: &Snapshot, model: &str, now: &Moment) -> Option<u64> {
        if self.needs_new_project {
            return None;
        }
        let look_again = now.at().plus(LOOK_AGAIN_MS);
        let soonest = snapshot
            .keys()
            .iter()
            .filter(|key| !self.is_tried(key) && self.may_serve(key))
            .filter_map(|key| match snapshot.standing(key, model, now) {
                Standing::Ineligible {
                    reason: Reason::OnTrial,
                    until,
                } => until.map(|until| until.min(look_again)),
                Standing::Ineligible { until, .. } => until,
                Standing::Eligible { .. } => Some(look_again),
            })
            .min()?;
        let wait = soonest.since(now.at()).max(SHORTEST_WAIT_MS);
        let ms = u64::try_from(wait).ok()?;
        let left = self.policy.max_wait_ms.saturating_sub(self.waited_ms);
        (ms <= left && now.at().plus(wait) < self.deadline).then_some(ms)
    }

    fn give_up(&self, survey: Survey, now: UnixMillis) -> GiveUp {
        let disabled = survey.ineligible.get(&Reason::Disabled).copied();
        if self.demand.owner.is_some() && survey.keys == disabled.unwrap_or_default() {
            return GiveUp::OwnerGone;
        }
        if survey.keys == 0 {
            return GiveUp::NoKeys;
        }
        if survey.eligible > 0 || self.needs_new_project {
            // Keys that work, and did not help this request.
            return match self.last {
                Some(_) => GiveUp::LastFailure,
                None => GiveUp::Exhausted(Survey {
                    soonest: Some(now.plus(CONTENDED_MS)),
                    ..survey
                }),
            };
        }
        if survey.has_cooling(Outcome::is_of_quota) || survey.has(Reason::BudgetSpent) {
            return GiveUp::Exhausted(survey);
        }
        let is_suspicious = |outcome: Outcome| {
            outcome == Outcome::EgressRefused || outcome.verdict().is_against_key()
        };
        if survey.has_cooling(is_suspicious) {
            return match self.last {
                Some(Outcome::EgressRefused) => GiveUp::LastFailure,
                _ => GiveUp::Suspected(survey),
            };
        }
        if survey.has(Reason::OnTrial) {
            // Perhaps one of them is back in a moment.
            return GiveUp::Exhausted(survey);
        }
        let is_refusal = |outcome: Outcome| {
            outcome.is_of_plan() || outcome.blame() == Some(Blame::WhenAnotherServes)
        };
        if survey.has_cooling(is_refusal) {
            return match self.last {
                Some(last) if is_refusal(last) => GiveUp::LastFailure,
                _ => GiveUp::ModelRefused(survey),
            };
        }
        GiveUp::CredentialsExhausted(survey)
    }
}

/// The moment `ms` milliseconds after another.
fn after(now: UnixMillis, ms: u64) -> UnixMillis {
    now.plus(signed(ms))
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::testing::{USED as NOW, key};
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

    /// A request from a client that waits this long.
    fn patient(client_timeout_ms: Option<u64>) -> Demand {
        Demand {
            client_timeout_ms,
            ..Demand::default()
        }
    }

    /// The same, with an answer in one piece.
    fn whole(client_timeout_ms: Option<u64>) -> Demand {
        Demand {
            answer: AnswerShape::Whole,
            ..patient(client_timeout_ms)
        }
    }

    #[test]
    fn the_lease_of_a_trial_outlives_the_request_whatever_time_it_has() {
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
        let of_project = |id| PoolKey {
            project: Some(format!("projects/{}", id % projects)),
            ..key(id)
        };
        Snapshot::new((0..keys).map(of_project).collect())
    }

    #[test]
    fn a_retry_has_a_choice_only_where_a_project_is_left_that_was_not_tried() {
        let (mut rng, now) = (SmallRng::seed_from_u64(1), Moment::new(NOW));
        for (projects, expected) in [(1, false), (2, true)] {
            let mut sample = pool(4, projects);
            let mut failover = Failover::new(POLICY, Demand::default(), NOW);
            assert!(failover.has_choice(&mut sample, MODEL, &now, &mut rng));
            let tried = sample.keys()[0].clone();
            failover.sent(&tried);
            let has_choice = failover.has_choice(&mut sample, MODEL, &now, &mut rng);
            assert_eq!(has_choice, expected, "{projects} projects");
            // Of the whole pool, another key of the same project is better than none.
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
    fn an_attempt_has_the_time_that_its_kind_of_answer_needs_and_the_client_gives() {
        const S: u64 = 1_000;
        for (client_s, whole_s, head_s, content_s) in [
            (None, 600.0, 60.0, 300.0),
            (Some(600), 599.5, 60.0, 599.5),
            (Some(1_200), 1_199.5, 60.0, 1_199.5),
            (Some(100), 99.5, 60.0, 99.5),
            // Half, so that another key can answer.
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
        // What the operator sets applies to clients that wait longer, too.
        let failover = Failover::new(policy, whole(Some(600 * S)), NOW);
        let head_ms = |ago| {
            let now = NOW.plus(ago);
            failover.deadlines(now).head_by.since(now)
        };
        assert_eq!(
            [head_ms(0), head_ms(15_000), head_ms(30_000)],
            [20_000, 15_000, 0]
        );
    }

    #[test]
    fn what_follows_depends_on_whose_fault_it_was() {
        let mut rng = SmallRng::seed_from_u64(1);
        for outcome in Outcome::ALL {
            let mut failover = Failover::new(POLICY, Demand::default(), NOW);
            failover.sent(&key(1));
            let after = failover.after(outcome, NOW, &mut rng);
            let (charged, backs_off) = match after {
                After::Answer => {
                    assert!(matches!(
                        outcome,
                        Outcome::Success
                            | Outcome::ClientGone
                            | Outcome::ClientFault
                            | Outcome::SignatureMissing
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
    fn what_may_have_been_done_is_not_done_again() {
        let mut rng = SmallRng::seed_from_u64(1);
        for (outcome, again) in [
            (Outcome::UpstreamTrouble, false),
            (Outcome::ModelOverloaded, true),
            (Outcome::KeyRejected, true),
            (Outcome::QuotaPerDay, true),
        ] {
            let mut failover = Failover::new(
                POLICY,
                Demand {
                    is_repeatable: false,
                    ..Demand::default()
                },
                NOW,
            );
            failover.sent(&key(1));
            let after = failover.after(outcome, NOW, &mut rng);
            assert_eq!(after != After::Answer, again, "{}", outcome.name());
        }
    }

    #[test]
    fn an_answer_without_content_is_tried_once_more_at_most() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut failover = Failover::new(POLICY, Demand::default(), NOW);
        failover.sent(&key(1));
        let first = failover.after(Outcome::EmptyAnswer, NOW, &mut rng);
        assert!(matches!(first, After::Retry { .. }));
        failover.sent(&key(2));
        let second = failover.after(Outcome::EmptyAnswer, NOW, &mut rng);
        assert_eq!(second, After::Answer);
    }

    #[test]
    fn what_belongs_to_a_project_is_served_by_its_keys_alone() {
        let mut rng = SmallRng::seed_from_u64(1);
        let owner = |key, project: Option<&str>| Owner {
            key: KeyId(key),
            project: project.map(str::to_owned),
        };
        let order = |snapshot: &mut Snapshot, owner: Owner, rng: &mut SmallRng| {
            let mut failover = Failover::new(
                POLICY,
                Demand {
                    owner: Some(owner),
                    ..Demand::default()
                },
                NOW,
            );
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
    fn a_key_that_was_lost_to_another_is_drawn_again_only_after_a_wait() {
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
                    assert!(survey.soonest > Some(now), "and the caller may come back");
                    break;
                }
                Step::GiveUp(other) => panic!("{other:?}"),
            }
        }
        assert!(
            (900..=1000).contains(&now.since(NOW)),
            "no longer than max_wait"
        );

        let mut failover = Failover::new(POLICY, Demand::default(), NOW);
        failover.sent(&key(9));
        failover.after(Outcome::QuotaPerMinute, NOW, &mut rng);
        (0..MAX_LOST_CLAIMS).for_each(|_| failover.lost(KeyId(1)));
        let step = failover.next(&mut snapshot, MODEL, &Moment::new(NOW), &mut rng);
        assert!(
            matches!(step, Step::GiveUp(GiveUp::LastFailure)),
            "{step:?}"
        );
    }

    #[test]
    fn keys_that_fail_alike_are_suspected_though_one_of_them_is_on_trial() {
        let mut snapshot = pool(3, 3);
        let cooling = |reason, until, trial_until| CoolDown {
            reason,
            began_at: NOW.plus(-1),
            until,
            strikes: 1,
            trial_until,
        };
        let give_up = |snapshot: &mut Snapshot| {
            let mut failover = Failover::new(
                Policy {
                    max_wait_ms: 0,
                    ..POLICY
                },
                Demand::default(),
                NOW,
            );
            let mut rng = SmallRng::seed_from_u64(1);
            match failover.next(snapshot, MODEL, &Moment::new(NOW), &mut rng) {
                Step::GiveUp(reason) => reason,
                step => panic!("{step:?}"),
            }
        };
        for (reason, is_suspected) in [(Outcome::KeyRejected, true), (Outcome::ModelRefused, false)]
        {
            for id in 0..3 {
                let place = QuotaScope {
                    scope: Scope::Key(KeyId(id)),
                    model: None,
                };
                let cool_down = match id {
                    0 => cooling(reason, NOW, Some(NOW.plus(90_000))),
                    _ => cooling(reason, NOW.plus(60_000), None),
                };
                snapshot.set_cool_down(&place, cool_down);
            }
            let reason = give_up(&mut snapshot);
            let found = matches!(reason, GiveUp::Suspected(_));
            assert_eq!(found, is_suspected);
            assert!(
                found || matches!(reason, GiveUp::Exhausted(_)),
                "{reason:?}"
            );
        }
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
            let mut failover = Failover::new(POLICY, Demand::default(), NOW);
            let (mut now, mut used, mut same_again) = (NOW, Vec::new(), false);
            for (outcome, took) in outcomes.into_iter().zip(took) {
                let Step::Send(pick) = failover.next(&mut snapshot, MODEL, &Moment::new(now), &mut rng) else {
                    break;
                };
                prop_assert!(same_again || !used.contains(&pick.key.id));
                let tried = |scope: &Scope| {
                    used.iter().any(|id| snapshot.key(*id).is_some_and(|key| key.scope() == *scope))
                };
                let another_is_left = snapshot.keys().iter().any(|key| !tried(&key.scope()));
                prop_assert!(same_again || !another_is_left || !tried(&pick.key.scope()));
                prop_assert!(now.since(NOW) < 600_000, "an attempt after the deadline");
                let number = failover.sent(&pick.key);
                used.push(pick.key.id);
                prop_assert_eq!(number as usize, used.len());
                now = now.plus(took.min(failover.deadlines(now).head_by.since(now)));
                same_again |= matches!(outcome.rule().cure, Cure::AtOnce | Cure::OtherHeader);
                match failover.after(outcome, now, &mut rng) {
                    After::Answer => break,
                    After::Retry { back_off_ms, .. } => now = now.plus(i64::try_from(back_off_ms).unwrap()),
                }
            }
            prop_assert!(used.len() <= 5);
        }
    }
}
