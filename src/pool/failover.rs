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
mod tests;
