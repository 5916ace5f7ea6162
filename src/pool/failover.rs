//! The attempts of one request: which key to use next, whether to continue, and what to answer when
//! no key is left.
//!
//! The [`Cure`] of an outcome decides what follows an attempt: another key at once if the key or
//! its project cannot serve the request; one other project if the request may be at fault; another
//! key after a back-off, charged to the retry budget, if the upstream is in trouble; nothing if the
//! request is wrong.
//!
//! A request uses no key twice, and prefers projects that it has not tried. It ends when its
//! attempts ([`Policy::max_attempts`]), its time ([`Policy::deadline_ms`]), the pool's retry budget
//! or its keys are used up. Then [`GiveUp`] says which answer is accurate.

use super::{
    Blame, Cure, KeyId, LONGEST_TRIAL_LEASE_MS, Limit, Moment, Outcome, Owner, Pick, PoolKey,
    Reason, RequestSize, Scope, Snapshot, Standing, Survey, Unit, UnixMillis,
};
use rand::{Rng, RngExt};
use std::collections::HashSet;

/// The first back-off in milliseconds. It doubles each time; the actual delay is random, from half
/// of it to all of it.
const FIRST_BACK_OFF_MS: u64 = 100;
/// The longest back-off in milliseconds: 2 s.
const MAX_BACK_OFF_MS: u64 = 2_000;
/// How long before its client the pool gives up, in milliseconds, so that the client receives the
/// reason: 500 ms.
const CLIENT_MARGIN_MS: u64 = 500;
/// How long a client that states no timeout is assumed to wait, in milliseconds: 600 s, the default
/// of OpenAI's clients.
const DEFAULT_PATIENCE_MS: u64 = 600_000;
/// A client with a timeout of at most this, in milliseconds, does not expect a long answer: 60 s. A
/// silent attempt may then use half of that time, so that another key can still answer.
const SHORT_PATIENCE_MS: u64 = 60_000;
/// The shortest wait for a key, in milliseconds.
const MIN_WAIT_MS: i64 = 5;
/// How soon a request checks again whether another request's trial has ended, or whether a key is
/// available that it has just lost to another request, in milliseconds.
const RECHECK_MS: i64 = 100;
/// The `Retry-After` for a request that lost every key to other requests, in milliseconds: 1 s.
const CONTENTION_RETRY_MS: i64 = 1000;
/// How long the lease of a trial outlasts the request's deadline, in milliseconds, so that the
/// result can be written: 5 s.
const TRIAL_LEASE_MARGIN_MS: i64 = 5_000;
/// How many claims a request may lose to others before it gives up.
const MAX_LOST_CLAIMS: u32 = 20;
/// How many projects must agree before the request is considered at fault.
const AGREEING_PROJECTS: usize = 2;

/// The limits of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Calls to the upstream, including the first; at least 1.
    pub max_attempts: u32,
    /// Timeout of one call until the head of a stream, in milliseconds.
    pub first_byte_timeout_ms: u64,
    /// Timeout of one call until the first content of a stream, in milliseconds; longer for a
    /// client with a longer timeout.
    pub first_content_timeout_ms: u64,
    /// Timeout of one call until an answer in one piece, in milliseconds; `None` for as long as the
    /// request has left.
    pub answer_timeout_ms: Option<u64>,
    /// Deadline for all calls together until the caller receives something, in milliseconds; `None`
    /// for the client's own timeout, or 600 s if it states none.
    pub deadline_ms: Option<u64>,
    /// How long a request may wait for a key that cools, in milliseconds.
    pub max_wait_ms: u64,
    /// Whether to retry an answer without content once.
    pub retry_empty: bool,
}

/// What a request needs from the pool.
#[derive(Debug, Clone)]
pub struct Demand {
    /// The client's timeout, if it states one, in milliseconds.
    pub client_timeout_ms: Option<u64>,
    /// Whether the request may be sent again after a failure that leaves open whether the upstream
    /// processed it.
    pub is_repeatable: bool,
    /// How the answer arrives.
    pub answer: AnswerShape,
    /// How large the request is.
    pub size: RequestSize,
    /// The owner of what the request uses: only the owner's keys can serve it.
    pub owner: Option<Owner>,
    /// The conversation that the request continues, if it should stay with one project.
    pub conversation: Option<u64>,
    /// Whether the request is sent to all projects, one after another.
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

/// How an answer arrives, which determines its deadlines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AnswerShape {
    /// Event by event: the head comes soon, the first content later.
    #[default]
    Stream,
    /// In one piece: the head comes once the answer is complete, and the body without a pause.
    Whole,
    /// In one piece or as a stream: like [`Whole`](Self::Whole), but the body may pause.
    Unknown,
}

/// The deadlines of one attempt, computed by [`Failover::deadlines`] once per attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// When the head of the answer must have arrived.
    pub head_by: UnixMillis,
    /// When the answer must have content.
    pub content_by: UnixMillis,
    /// When a plain answer must be complete: the request's deadline.
    pub answer_by: UnixMillis,
    /// How long a body may pause, in milliseconds; `None` where pauses are normal.
    pub idle_ms: Option<u64>,
    /// When the client gives up, if it states a timeout.
    pub client_by: Option<UnixMillis>,
}

/// The timeouts that the host enforces, which is cheaper than timers in the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From sending the request to the head of the response, in milliseconds.
    pub head_ms: u64,
    /// From one part of the body to the next, in milliseconds; `None` where pauses are normal.
    pub idle_ms: Option<u64>,
}

impl Deadlines {
    /// The host's timeouts for a request that is sent at `now`.
    pub fn timeouts(&self, now: UnixMillis) -> Timeouts {
        Timeouts {
            head_ms: u64::try_from(self.head_by.since(now)).unwrap_or_default(),
            idle_ms: self.idle_ms,
        }
    }

    /// When the idle timeout of a body that pauses at `now` expires.
    pub fn idle_by(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.idle_ms.map(|ms| after(now, ms))
    }
}

/// The attempts that one request has made.
#[derive(Debug)]
pub struct Failover {
    policy: Policy,
    demand: Demand,
    /// The client's timeout, if it states one, in milliseconds, minus the time that the pool needs
    /// to answer before the client gives up.
    patience_ms: Option<u64>,
    /// Timeout of one attempt, in milliseconds, if the client's is so short that a second attempt
    /// would not fit otherwise.
    attempt_ms: Option<u64>,
    deadline: UnixMillis,
    attempts: u32,
    tried: Vec<(KeyId, Scope)>,
    /// Keys whose trial or budget another request claimed first, since the last wait.
    lost: Vec<KeyId>,
    lost_claims: u32,
    waited_ms: u64,
    back_offs: u32,
    last: Option<Outcome>,
    empty_seen: bool,
    /// How many projects refused the request in a way that puts the request at fault if enough of
    /// them agree.
    refusing_projects: usize,
    /// Whether only a project that was not tried yet can tell more.
    needs_new_project: bool,
    retried_at_once: bool,
}

/// The next step of a request.
#[derive(Debug)]
pub enum Step {
    /// Make the claims of the pick, then send. If a claim fails, call [`Failover::lost`] and ask
    /// for the next step again.
    Send(Box<Pick>),
    /// A key will be available soon: wait, then ask for the next step again.
    Wait {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// Nothing is left to try.
    GiveUp(GiveUp),
}

/// Why a request ended, which determines the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GiveUp {
    /// The last attempt failed: pass on its outcome.
    LastFailure,
    /// The pool has no keys.
    NoKeys,
    /// What the request uses belongs to keys that were deleted or disabled.
    OwnerGone,
    /// Quotas and budgets are used up, or other requests claimed every key first; keys will be
    /// available again.
    Exhausted(Survey),
    /// All remaining keys were rejected or are paused.
    CredentialsExhausted(Survey),
    /// Keys fail in the same way, so the upstream or this machine's address is suspected.
    Suspected(Survey),
    /// No project of the pool may use the model.
    ModelRefused(Survey),
    /// The request alone exceeds this limit, which holds for all projects whose limits are known.
    TooLarge(Limit),
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Return the outcome of this attempt to the caller.
    Stop,
    /// Try again.
    Retry {
        /// Whether the retry is charged to the pool's retry budget. If the budget is used up, the
        /// caller receives the outcome of this attempt.
        charged: bool,
        /// How long to wait before the retry, in milliseconds.
        back_off_ms: u64,
    },
}

impl Failover {
    /// Starts a request that arrived at `now`.
    pub fn new(policy: Policy, demand: Demand, now: UnixMillis) -> Self {
        let client_timeout_ms = demand.client_timeout_ms;
        let patience_ms =
            client_timeout_ms.map(|ms| ms.saturating_sub(CLIENT_MARGIN_MS.min(ms / 2)));
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
            refusing_projects: 0,
            needs_new_project: false,
            retried_at_once: false,
        }
    }

    /// How many attempts were made.
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

    /// How long other requests wait for a trial that begins at `now` before another may start, in
    /// milliseconds: slightly longer than this request can take.
    pub fn trial_lease_ms(&self, now: UnixMillis) -> i64 {
        i64::try_from(self.left_ms(now))
            .unwrap_or(LONGEST_TRIAL_LEASE_MS)
            .saturating_add(TRIAL_LEASE_MARGIN_MS)
            .min(LONGEST_TRIAL_LEASE_MS)
    }

    /// Milliseconds until the request's deadline.
    fn left_ms(&self, now: UnixMillis) -> u64 {
        u64::try_from(self.deadline.since(now)).unwrap_or_default()
    }

    /// Decides the next step.
    pub fn next(
        &mut self,
        snapshot: &mut Snapshot,
        model: &str,
        now: &Moment,
        rng: &mut impl Rng,
    ) -> Step {
        if let Some(limit) = self.exceeded_limit(snapshot, model, now) {
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

    /// Whether the request needs all keys, not just a sample of the pool: it needs the keys of one
    /// owner, of the project that a conversation prefers, or of all projects.
    pub fn needs_all_keys(&self) -> bool {
        let demand = &self.demand;
        demand.owner.is_some() || demand.conversation.is_some() || demand.asks_all_projects
    }

    /// Whether the next step would be to send to a project that was not tried yet. If not, and the
    /// pool is only a sample, the rest of the pool may still have one.
    pub fn has_choice(&self, snapshot: &Snapshot, model: &str, now: &Moment) -> bool {
        if self.exceeded_limit(snapshot, model, now).is_some() {
            return false;
        }
        let too_small = self.keys_too_small(snapshot, model, now);
        let may_take = |key: &PoolKey| {
            let is_excluded = self.is_excluded(key)
                || self.is_of_tried_project(key)
                || too_small.contains(&key.id);
            !is_excluded && snapshot.standing(key, model, now).is_eligible()
        };
        self.lost_claims < MAX_LOST_CLAIMS && snapshot.keys().iter().any(may_take)
    }

    fn choose(
        &self,
        snapshot: &mut Snapshot,
        model: &str,
        now: &Moment,
        rng: &mut impl Rng,
    ) -> Option<Pick> {
        let too_small = self.keys_too_small(snapshot, model, now);
        let is_excluded = |key: &PoolKey| self.is_excluded(key) || too_small.contains(&key.id);
        // Prefer projects whose known limits the request fits.
        let with_room = self.keys_with_room(snapshot, model, now);
        if !with_room.is_empty() {
            let is_excluded = |key: &PoolKey| is_excluded(key) || !with_room.contains(&key.id);
            if let Some(pick) = snapshot.choose(model, now, is_excluded, rng) {
                return Some(pick);
            }
        }
        if self.tried.is_empty() {
            return match self.demand.conversation {
                Some(conversation) => {
                    snapshot.choose_for(conversation, model, now, is_excluded, rng)
                }
                None => snapshot.choose(model, now, is_excluded, rng),
            };
        }
        let is_excluded_or_tried =
            |key: &PoolKey| is_excluded(key) || self.is_of_tried_project(key);
        let untried = snapshot.choose(model, now, is_excluded_or_tried, rng);
        if self.needs_new_project {
            return untried;
        }
        untried.or_else(|| snapshot.choose(model, now, is_excluded, rng))
    }

    /// The limit that the request alone exceeds in every project whose limits are known, if enough
    /// of them are known to assume the same of the others.
    fn exceeded_limit(&self, snapshot: &Snapshot, model: &str, now: &Moment) -> Option<Limit> {
        if self.attempts > 0 || self.demand.size == RequestSize::default() {
            return None;
        }
        let mut largest: Option<Limit> = None;
        let (mut too_small, mut unknown) = (HashSet::new(), false);
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
        let decides = !unknown || too_small.len() >= AGREEING_PROJECTS;
        (decides && !fits_somewhere).then_some(limit)
    }

    /// The keys whose known limits a large request fits.
    fn keys_with_room(&self, snapshot: &Snapshot, model: &str, now: &Moment) -> HashSet<KeyId> {
        if self.demand.size == RequestSize::default() {
            return HashSet::new();
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
    fn keys_too_small(&self, snapshot: &Snapshot, model: &str, now: &Moment) -> HashSet<KeyId> {
        if self.demand.size == RequestSize::default() {
            return HashSet::new();
        }
        let is_too_small = |key: &&PoolKey| {
            snapshot
                .limits(key, model, now)
                .any(|limit| self.demand.size.surely_exceeds(&limit))
        };
        let keys = snapshot.keys().iter().filter(is_too_small);
        keys.map(|key| key.id).collect()
    }

    /// Whether a key of an untried project can take a call.
    pub fn has_new_project(&self, snapshot: &Snapshot, model: &str, now: &Moment) -> bool {
        snapshot.keys().iter().any(|key| {
            !self.is_of_tried_project(key) && snapshot.standing(key, model, now).is_eligible()
        })
    }

    fn is_excluded(&self, key: &PoolKey) -> bool {
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

    /// Records a claim lost to another request. The key is not drawn again before the next wait.
    pub fn lost(&mut self, key: KeyId) {
        self.lost_claims += 1;
        self.lost.push(key);
    }

    /// Records that a call is sent with a key. Returns the attempt's number, from 1.
    pub fn sent(&mut self, key: &PoolKey) -> u32 {
        self.attempts += 1;
        self.tried.push((key.id, key.scope()));
        self.attempts
    }

    /// Whether the request may make another attempt.
    pub fn has_attempt_left(&self, now: UnixMillis) -> bool {
        self.attempts < self.policy.max_attempts && now < self.deadline
    }

    /// Allows the latest key again after the request was changed, since its failure was not the
    /// key's fault.
    pub fn change_request(&mut self) {
        self.tried.pop();
    }

    /// Decides what follows an attempt that ended with `outcome` before the caller received
    /// anything of it.
    pub fn after(&mut self, outcome: Outcome, now: UnixMillis, rng: &mut impl Rng) -> After {
        self.last = Some(outcome);
        if outcome == Outcome::EmptyAnswer {
            let may_retry = self.policy.retry_empty && !self.empty_seen;
            self.empty_seen = true;
            if !may_retry {
                return After::Stop;
            }
        }
        if !self.has_attempt_left(now) {
            return After::Stop;
        }
        if !self.demand.is_repeatable && outcome.rule().may_have_run {
            return After::Stop;
        }
        self.needs_new_project = false;
        let at_once = |charged| After::Retry {
            charged,
            back_off_ms: 0,
        };
        match outcome.rule().cure {
            Cure::None => After::Stop,
            Cure::AnotherKey => at_once(false),
            Cure::PerhapsAnotherKey => at_once(true),
            Cure::OneOtherProject => {
                self.refusing_projects += 1;
                self.needs_new_project = true;
                if self.refusing_projects < AGREEING_PROJECTS {
                    at_once(false)
                } else {
                    After::Stop
                }
            }
            Cure::OtherHeader => {
                self.tried.pop();
                at_once(false)
            }
            Cure::AtOnce if !self.retried_at_once => {
                self.retried_at_once = true;
                self.tried.pop();
                at_once(false)
            }
            Cure::AtOnce | Cure::AfterBackOff => self.back_off(now, rng),
        }
    }

    fn back_off(&mut self, now: UnixMillis, rng: &mut impl Rng) -> After {
        let full = (FIRST_BACK_OFF_MS << self.back_offs.min(10)).min(MAX_BACK_OFF_MS);
        self.back_offs += 1;
        let back_off_ms = rng.random_range(full / 2..=full);
        if self.deadlines(now).head_by.since(now) <= signed(back_off_ms) {
            return After::Stop;
        }
        After::Retry {
            charged: true,
            back_off_ms,
        }
    }

    /// How long to wait for an untried key, if one will be available in time.
    fn wait_for_key(&self, snapshot: &Snapshot, model: &str, now: &Moment) -> Option<u64> {
        if self.needs_new_project {
            return None;
        }
        let recheck_at = now.at().plus(RECHECK_MS);
        let soonest = snapshot
            .keys()
            .iter()
            .filter(|key| !self.is_tried(key) && self.may_serve(key))
            .filter_map(|key| match snapshot.standing(key, model, now) {
                Standing::Ineligible {
                    reason: Reason::OnTrial,
                    until,
                } => until.map(|until| until.min(recheck_at)),
                Standing::Ineligible { until, .. } => until,
                Standing::Eligible { .. } => Some(recheck_at),
            })
            .min()?;
        let wait = soonest.since(now.at()).max(MIN_WAIT_MS);
        let ms = u64::try_from(wait).ok()?;
        let left = self.policy.max_wait_ms.saturating_sub(self.waited_ms);
        (ms <= left && now.at().plus(wait) < self.deadline).then_some(ms)
    }

    fn give_up(&self, survey: Survey, now: UnixMillis) -> GiveUp {
        if self.demand.owner.is_some() && survey.keys == survey.count(Reason::Disabled) {
            return GiveUp::OwnerGone;
        }
        if survey.keys == 0 {
            return GiveUp::NoKeys;
        }
        if survey.eligible > 0 || self.needs_new_project {
            // The remaining keys work, but did not help this request.
            return match self.last {
                Some(_) => GiveUp::LastFailure,
                None => GiveUp::Exhausted(Survey {
                    soonest: Some(now.plus(CONTENTION_RETRY_MS)),
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
            // One of them may be available in a moment.
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
        // A paused key may serve again.
        match survey.has(Reason::ModelNotAllowed) && !survey.has(Reason::Paused) {
            true => GiveUp::ModelRefused(survey),
            false => GiveUp::CredentialsExhausted(survey),
        }
    }
}

fn after(now: UnixMillis, ms: u64) -> UnixMillis {
    now.plus(signed(ms))
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
