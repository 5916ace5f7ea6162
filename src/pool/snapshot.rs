//! The pool at one moment: its keys, their cool-downs, and what is left of their budgets.
//!
//! An instance reads the snapshot from the database, uses it for half a second, and applies its own
//! changes, so that the next draw sees them. The database detects conflicts with other instances
//! when they matter: trials and reservations are claimed there.

use super::draw::{Table, weight};
use super::scope::covers;
use super::{
    Balance, Budget, CoolDown, CredentialHeader, KeyId, KeyState, KeyStatus,
    LONGEST_TRIAL_LEASE_MS, Limit, Moment, Outcome, PoolKey, QuotaScope, Scope, UnixMillis, Used,
    Window,
};
use rand::Rng;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

#[cfg(test)]
mod tests;

/// How soon a trial in flight is expected to have a result, in milliseconds: 1 s. Its lease is far
/// longer.
const TRIAL_ANSWER_MS: i64 = 1000;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Snapshot {
    keys: Vec<PoolKey>,
    positions: HashMap<KeyId, usize>,
    scopes: HashMap<Scope, Circumstances>,
    /// Request fields that the upstream does not support, by model.
    unsupported: HashMap<String, BTreeSet<String>>,
    /// Models that refuse tool calls without their thought signature.
    signed_models: BTreeSet<String>,
    /// Keys whose next calls are to end with a fault.
    drills: Vec<KeyId>,
    /// Draw tables by model, built on the first draw for it.
    tables: HashMap<String, Table>,
}

/// The cool-downs and budgets of a scope, by model.
#[derive(Debug, Default)]
struct Circumstances {
    cool_downs: Vec<(Option<String>, CoolDown)>,
    budgets: Vec<(Option<String>, Budget)>,
}

/// Whether a key can take a call for a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing {
    /// It can.
    Eligible {
        /// The key's weight in the draw; at least 0.
        weight: f64,
    },
    /// It cannot.
    Ineligible {
        /// Why.
        reason: Reason,
        /// Until when; `None` if it stays ineligible until an operator acts.
        until: Option<UnixMillis>,
    },
}

impl Standing {
    /// Whether the key can take a call.
    pub fn is_eligible(self) -> bool {
        matches!(self, Self::Eligible { .. })
    }
}

/// Why a key cannot take a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The pool or an operator has disabled it.
    Disabled,
    /// It failed too often in a row and is paused.
    Paused,
    /// The key or its project is cooling down.
    Cooling(Outcome),
    /// A budget is used up.
    BudgetSpent,
    /// Another call is testing whether it works again.
    OnTrial,
    /// Its operator does not allow the model.
    ModelNotAllowed,
}

impl Reason {
    /// The name in reports and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Paused => "paused",
            Self::Cooling(outcome) => outcome.name(),
            Self::BudgetSpent => "budget_spent",
            Self::OnTrial => "on_trial",
            Self::ModelNotAllowed => "model_not_allowed",
        }
    }
}

/// Orders by name, as messages list them.
impl Ord for Reason {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

impl PartialOrd for Reason {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What a call must claim in the database before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The exclusive right to test whether the key works again.
    KeyTrial(KeyId),
    /// The exclusive right to test whether the quota scope works again.
    ScopeTrial(QuotaScope),
}

/// A key that was drawn, and what to do before the call.
#[derive(Debug, Clone)]
pub struct Pick {
    /// The key.
    pub key: PoolKey,
    /// Trials to claim.
    pub claims: Vec<Claim>,
    /// Quota scopes whose budgets the call counts towards.
    pub counted: Vec<QuotaScope>,
    /// Quota scopes whose cool-down is over, but which await a successful call.
    pub on_probation: Vec<QuotaScope>,
}

/// A change that an instance makes or learns of between two reads of the pool.
#[derive(Debug, Clone)]
pub enum Change {
    /// A quota scope cools down.
    CoolDown(QuotaScope, CoolDown),
    /// A call that began at this time succeeded, which clears a cool-down that was over by then.
    Worked(QuotaScope, UnixMillis),
    /// A trial is in flight, until this time at most.
    TrialBegan(Claim, UnixMillis),
    /// The trial whose lease ends at this time has ended.
    TrialEnded(Claim, UnixMillis),
    /// An error named a key's project.
    Project(KeyId, String),
    /// An error stated a limit.
    Limit(QuotaScope, Limit),
    /// An outcome changed a key's state.
    State(KeyId, KeyState),
    /// The upstream accepted a key in this header after refusing the other one.
    CredentialHeader(KeyId, CredentialHeader),
    /// An error stated that a model does not support a field.
    Unsupported(String, String),
    /// An error stated that a model refuses tool calls without their thought signature.
    SignedModel(String),
    /// A call is sent.
    Sent {
        /// The key.
        key: KeyId,
        /// The budgets that the call counts towards.
        counted: Vec<QuotaScope>,
        /// The estimated input tokens.
        input_tokens: u64,
        /// When the call is sent.
        now: Moment,
    },
}

/// The pool's keys, counted by what keeps them from serving a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// All keys.
    pub keys: usize,
    /// Keys that can take a call.
    pub eligible: usize,
    /// Keys that cannot, by reason, in the order of the reasons.
    pub ineligible: Vec<(Reason, usize)>,
    /// When the first of them becomes eligible by itself.
    pub soonest: Option<UnixMillis>,
}

impl Survey {
    /// How many keys are ineligible for this reason.
    pub fn count(&self, reason: Reason) -> usize {
        self.place_of(reason).map_or(0, |at| self.ineligible[at].1)
    }

    /// Whether any key is ineligible for this reason.
    pub fn has(&self, reason: Reason) -> bool {
        self.place_of(reason).is_ok()
    }

    /// Whether any key cools down for a matching outcome.
    pub fn has_cooling(&self, matches: impl Fn(Outcome) -> bool) -> bool {
        self.ineligible
            .iter()
            .any(|(reason, _)| matches!(reason, Reason::Cooling(outcome) if matches(*outcome)))
    }

    /// Whether all keys are ineligible and, apart from disabled and paused ones and those of other
    /// models, are cooling down for this outcome.
    pub fn all_cooling_for(&self, outcome: Outcome) -> bool {
        let counts = [
            Reason::Disabled,
            Reason::Paused,
            Reason::ModelNotAllowed,
            Reason::Cooling(outcome),
        ];
        self.eligible == 0
            && self.has(Reason::Cooling(outcome))
            && self
                .ineligible
                .iter()
                .all(|(reason, _)| counts.contains(reason))
    }

    fn add_ineligible(&mut self, reason: Reason) {
        match self.place_of(reason) {
            Ok(at) => self.ineligible[at].1 += 1,
            Err(at) => self.ineligible.insert(at, (reason, 1)),
        }
    }

    /// Where a reason is in `ineligible`, or where it belongs.
    fn place_of(&self, reason: Reason) -> Result<usize, usize> {
        self.ineligible
            .binary_search_by_key(&reason, |(counted, _)| *counted)
    }
}

/// Why a key is ineligible and until when: of several reasons, the one that lasts longest.
#[derive(Default)]
struct Exclusion(Option<(Reason, Option<UnixMillis>)>);

impl Exclusion {
    fn add(&mut self, reason: Reason, until: Option<UnixMillis>) {
        let lasts_longer = self.0.is_none_or(|(_, before)| match (before, until) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(before), Some(until)) => before < until,
        });
        if lasts_longer {
            self.0 = Some((reason, until));
        }
    }

    /// Adds a trial that another call holds, unless its lease has expired or cannot be right.
    fn add_trial(&mut self, trial_until: Option<UnixMillis>, now: UnixMillis) {
        let longest = now.plus(LONGEST_TRIAL_LEASE_MS);
        let lease = trial_until.filter(|until| *until > now && !until.is_ahead_of(longest));
        if lease.is_some() {
            self.add(Reason::OnTrial, lease);
        }
    }
}

impl Snapshot {
    /// A pool of these keys, without cool-downs or budgets.
    pub fn new(keys: Vec<PoolKey>) -> Self {
        Self {
            positions: keys
                .iter()
                .enumerate()
                .map(|(position, key)| (key.id, position))
                .collect(),
            keys,
            ..Self::default()
        }
    }

    /// All keys.
    pub fn keys(&self) -> &[PoolKey] {
        &self.keys
    }

    /// The key with this id.
    pub fn key(&self, id: KeyId) -> Option<&PoolKey> {
        self.keys.get(*self.positions.get(&id)?)
    }

    /// Adds a key whose next calls are to end with a fault.
    pub fn add_drill(&mut self, id: KeyId) {
        self.drills.push(id);
    }

    /// Whether the next calls of a key are to end with a fault.
    pub fn has_drill(&self, id: KeyId) -> bool {
        self.drills.contains(&id)
    }

    /// The cool-down of exactly this quota scope, even if it is over.
    pub fn cool_down(&self, quota_scope: &QuotaScope) -> Option<&CoolDown> {
        let (_, cool_down) = self
            .scopes
            .get(&quota_scope.scope)?
            .cool_downs
            .iter()
            .find(|(model, _)| *model == quota_scope.model)?;
        Some(cool_down)
    }

    /// The cool-downs of a key and its project, including those that are over.
    pub fn cool_downs_of(&self, key: &PoolKey) -> impl Iterator<Item = (QuotaScope, CoolDown)> {
        self.scopes_of(key).flat_map(|(scope, circumstances)| {
            let with_scope = move |(model, cool_down): &(Option<String>, CoolDown)| {
                let quota_scope = QuotaScope {
                    scope: scope.clone(),
                    model: model.clone(),
                };
                (quota_scope, *cool_down)
            };
            circumstances.cool_downs.iter().map(with_scope)
        })
    }

    /// Applies a change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::CoolDown(quota_scope, cool_down) => self.set_cool_down(quota_scope, *cool_down),
            Change::Worked(quota_scope, began_at) => {
                if self
                    .cool_down(quota_scope)
                    .is_some_and(|cool_down| cool_down.until <= *began_at)
                {
                    self.clear_cool_down(quota_scope);
                }
            }
            Change::TrialBegan(claim, until) => self.set_trial(claim, Some(*until)),
            Change::TrialEnded(claim, until) => {
                if self.trial(claim) == Some(*until) {
                    self.set_trial(claim, None);
                }
            }
            Change::Project(id, project) => {
                self.update_key(*id, |key| key.project = Some(project.clone()));
            }
            Change::CredentialHeader(id, header) => {
                self.update_key(*id, |key| key.credential_header = Some(*header));
            }
            Change::Limit(quota_scope, limit) => self.budget_mut(quota_scope).replace_limit(*limit),
            Change::Unsupported(model, field) => self.add_unsupported(model, field),
            Change::SignedModel(model) => self.add_signed_model(model),
            Change::State(id, state) => self.update_key(*id, |key| {
                key.state = *state;
                key.trial_until = None;
            }),
            Change::Sent {
                key,
                counted,
                input_tokens,
                now,
            } => {
                self.update_key(*key, |key| {
                    key.last_used_at = key.last_used_at.max(Some(now.at()));
                });
                for quota_scope in counted {
                    self.budget_mut(quota_scope).count(*input_tokens, now);
                }
            }
        }
    }

    fn trial(&self, claim: &Claim) -> Option<UnixMillis> {
        match claim {
            Claim::KeyTrial(id) => self.key(*id)?.trial_until,
            Claim::ScopeTrial(quota_scope) => self.cool_down(quota_scope)?.trial_until,
        }
    }

    /// Sets a cool-down and replaces any earlier one.
    pub fn set_cool_down(&mut self, quota_scope: &QuotaScope, cool_down: CoolDown) {
        self.clear_cool_down(quota_scope);
        self.scopes
            .entry(quota_scope.scope.clone())
            .or_default()
            .cool_downs
            .push((quota_scope.model.clone(), cool_down));
    }

    fn clear_cool_down(&mut self, quota_scope: &QuotaScope) {
        if let Some(circumstances) = self.scopes.get_mut(&quota_scope.scope) {
            circumstances
                .cool_downs
                .retain(|(model, _)| *model != quota_scope.model);
        }
    }

    fn set_trial(&mut self, claim: &Claim, until: Option<UnixMillis>) {
        match claim {
            Claim::KeyTrial(id) => self.update_key(*id, |key| key.trial_until = until),
            Claim::ScopeTrial(quota_scope) => {
                if let Some(cool_down) = self.cool_down(quota_scope).copied() {
                    self.set_cool_down(
                        quota_scope,
                        CoolDown {
                            trial_until: until,
                            ..cool_down
                        },
                    );
                }
            }
        }
    }

    /// Applies `change` to a key.
    pub fn update_key(&mut self, id: KeyId, change: impl FnOnce(&mut PoolKey)) {
        if let Some(key) = self
            .positions
            .get(&id)
            .and_then(|position| self.keys.get_mut(*position))
        {
            change(key);
        }
    }

    /// Records that a model refuses tool calls without their thought signature.
    pub fn add_signed_model(&mut self, model: &str) {
        self.signed_models.insert(model.to_owned());
    }

    /// Whether a model is known to refuse tool calls without their thought signature.
    pub fn wants_signatures(&self, model: &str) -> bool {
        self.signed_models.contains(model)
    }

    /// Records that a model does not support a field.
    pub fn add_unsupported(&mut self, model: &str, field: &str) {
        self.unsupported
            .entry(model.to_owned())
            .or_default()
            .insert(field.to_owned());
    }

    /// The fields that a model does not support.
    pub fn unsupported(&self, model: &str) -> Option<&BTreeSet<String>> {
        self.unsupported.get(model)
    }

    /// Adds a limit to those that are known for a quota scope.
    pub fn add_limit(&mut self, quota_scope: &QuotaScope, limit: Limit) {
        self.budget_mut(quota_scope).add_limit(limit);
    }

    /// Adds usage of a quota scope.
    pub fn add_used(
        &mut self,
        quota_scope: &QuotaScope,
        window: Window,
        began_at: UnixMillis,
        used: Used,
    ) {
        self.budget_mut(quota_scope)
            .add_used(window, began_at, used);
    }

    fn budget_mut(&mut self, quota_scope: &QuotaScope) -> &mut Budget {
        let budgets = &mut self
            .scopes
            .entry(quota_scope.scope.clone())
            .or_default()
            .budgets;
        let position = budgets
            .iter()
            .position(|(model, _)| *model == quota_scope.model);
        let position = position.unwrap_or_else(|| {
            budgets.push((quota_scope.model.clone(), Budget::default()));
            budgets.len() - 1
        });
        // The position was found or made above.
        &mut budgets[position].1
    }

    /// The scopes that apply to a key: its own and its project's.
    fn scopes_of(&self, key: &PoolKey) -> impl Iterator<Item = (Scope, &Circumstances)> {
        let project = key.project.clone().map(Scope::Project);
        [Some(Scope::Key(key.id)), project]
            .into_iter()
            .flatten()
            .filter_map(|scope| {
                let circumstances = self.scopes.get(&scope)?;
                Some((scope, circumstances))
            })
    }

    /// The current balances of the budgets that a call with a key counts towards.
    pub fn balances(&self, key: &PoolKey, model: &str, now: &Moment) -> Vec<(QuotaScope, Balance)> {
        let mut balances = Vec::new();
        for (scope, circumstances) in self.scopes_of(key) {
            for (covered, budget) in circumstances.budgets(model) {
                add_balances(&mut balances, &scope, covered, budget, now);
            }
        }
        balances
    }

    /// The current balances of all budgets of keys and their projects, in any order. Limits outlive
    /// the keys that they are of.
    pub fn all_balances(&self, now: &Moment) -> Vec<(QuotaScope, Balance)> {
        let mut projects = BTreeSet::new();
        projects.extend(self.keys.iter().filter_map(|key| key.project.clone()));
        let mut balances = Vec::new();
        for (scope, circumstances) in &self.scopes {
            let has_keys = match scope {
                Scope::Key(id) => self.positions.contains_key(id),
                Scope::Project(project) => projects.contains(project),
            };
            for (covered, budget) in circumstances.budgets.iter().filter(|_| has_keys) {
                add_balances(&mut balances, scope, covered, budget, now);
            }
        }
        balances
    }

    /// The limits that apply to a call with a key for `model`.
    pub fn limits(&self, key: &PoolKey, model: &str, now: &Moment) -> impl Iterator<Item = Limit> {
        let balances = self.balances(key, model, now);
        balances.into_iter().map(|(_, balance)| balance.limit)
    }

    /// Whether a key can take a call for `model` now, and if not, why not.
    pub fn standing(&self, key: &PoolKey, model: &str, now: &Moment) -> Standing {
        let mut exclusion = Exclusion::default();
        match (key.state.status, key.state.disabled_until) {
            (KeyStatus::Active, _) => {}
            (KeyStatus::Cooling, Some(until)) if until > now.at() => {
                exclusion.add(Reason::Paused, Some(until));
            }
            (KeyStatus::Cooling, Some(_)) => exclusion.add_trial(key.trial_until, now.at()),
            (KeyStatus::Cooling, None) | (KeyStatus::Disabled, _) => {
                return Standing::Ineligible {
                    reason: Reason::Disabled,
                    until: None,
                };
            }
        }
        if key.models.as_ref().is_some_and(|rules| !rules.admit(model)) {
            return Standing::Ineligible {
                reason: Reason::ModelNotAllowed,
                until: None,
            };
        }
        let mut headroom = 1.0f64;
        for (_, circumstances) in self.scopes_of(key) {
            for (_, cool_down) in circumstances.cool_downs(model) {
                if cool_down.holds(now.at()) {
                    exclusion.add(Reason::Cooling(cool_down.reason), Some(cool_down.until));
                } else {
                    exclusion.add_trial(cool_down.trial_until, now.at());
                }
            }
            for (_, budget) in circumstances.budgets(model) {
                for balance in budget.balances(now) {
                    headroom = headroom.min(balance.headroom());
                    if balance.is_spent() {
                        exclusion.add(Reason::BudgetSpent, balance.resets_at);
                    }
                }
            }
        }
        match exclusion.0 {
            Some((reason, until)) => Standing::Ineligible { reason, until },
            None => Standing::Eligible {
                weight: weight(key, now.at()) * headroom,
            },
        }
    }

    /// The weight of an eligible key; `None` for an ineligible one.
    fn eligible_weight(&self, position: usize, model: &str, now: &Moment) -> Option<f64> {
        match self.standing(self.keys.get(position)?, model, now) {
            Standing::Eligible { weight } => Some(weight),
            Standing::Ineligible { .. } => None,
        }
    }

    /// Draws a key that can take a call for `model` now and is not `excluded`; `None` if there is
    /// none.
    pub fn choose(
        &mut self,
        model: &str,
        now: &Moment,
        excluded: impl Fn(&PoolKey) -> bool,
        rng: &mut impl Rng,
    ) -> Option<Pick> {
        let mut table = match self.tables.remove(model) {
            Some(table) if table.holds(now.at()) => table,
            _ => self.table(model, now),
        };
        let weight_now = |position: usize| {
            let key = self.keys.get(position).filter(|key| !excluded(key));
            key.and_then(|_| self.eligible_weight(position, model, now))
        };
        let drawn = table.draw(weight_now, rng).or_else(|| {
            // The table is too far out of date.
            table = self.table(model, now);
            table.draw_exactly(weight_now, rng)
        });
        self.tables.insert(model.to_owned(), table);
        let key = self.keys.get(drawn?)?.clone();
        Some(self.pick(key, model, now))
    }

    /// Draws from the project that a conversation prefers among those that can take a call. The
    /// choice is stable while that project stays eligible, and differs between conversations.
    /// Visits every key.
    pub fn choose_for(
        &self,
        conversation: u64,
        model: &str,
        now: &Moment,
        excluded: impl Fn(&PoolKey) -> bool,
        rng: &mut impl Rng,
    ) -> Option<Pick> {
        let preference = |key: &PoolKey| {
            let mut hasher = DefaultHasher::new();
            (conversation, key.scope()).hash(&mut hasher);
            hasher.finish()
        };
        let mut preferred: Option<(u64, Vec<(usize, f64)>)> = None;
        for (position, key) in self.keys.iter().enumerate() {
            let weight = match self.eligible_weight(position, model, now) {
                Some(weight) if !excluded(key) => weight,
                _ => continue,
            };
            let preference = preference(key);
            match &mut preferred {
                Some((best, _)) if *best > preference => {}
                Some((best, keys)) if *best == preference => keys.push((position, weight)),
                _ => preferred = Some((preference, vec![(position, weight)])),
            }
        }
        let (_, keys) = preferred?;
        let weight = |position: usize| {
            let at = keys.binary_search_by_key(&position, |(known, _)| *known);
            Some(keys.get(at.ok()?)?.1)
        };
        let drawn = Table::new(keys.clone(), None).draw_exactly(weight, rng)?;
        Some(self.pick(self.keys.get(drawn)?.clone(), model, now))
    }

    fn table(&self, model: &str, now: &Moment) -> Table {
        let mut returns: Option<UnixMillis> = None;
        let weights = self
            .keys
            .iter()
            .enumerate()
            .filter_map(|(position, key)| match self.standing(key, model, now) {
                Standing::Eligible { weight } => Some((position, weight)),
                Standing::Ineligible { until, .. } => {
                    returns = [returns, until].into_iter().flatten().min();
                    None
                }
            })
            .collect();
        Table::new(weights, returns)
    }

    fn pick(&self, key: PoolKey, model: &str, now: &Moment) -> Pick {
        let mut claims = Vec::new();
        if key.state.status == KeyStatus::Cooling {
            claims.push(Claim::KeyTrial(key.id));
        }
        let (mut counted, mut on_probation) = (Vec::new(), Vec::new());
        for (scope, circumstances) in self.scopes_of(&key) {
            let quota_scope = |model: &Option<String>| QuotaScope {
                scope: scope.clone(),
                model: model.clone(),
            };
            for (covered, cool_down) in circumstances.cool_downs(model) {
                if cool_down.needs_trial() && !cool_down.is_spent(now.at()) {
                    claims.push(Claim::ScopeTrial(quota_scope(covered)));
                    on_probation.push(quota_scope(covered));
                }
            }
            let limited = circumstances
                .budgets(model)
                .filter(|(_, budget)| !budget.is_unlimited());
            counted.extend(limited.map(|(covered, _)| quota_scope(covered)));
        }
        Pick {
            key,
            claims,
            counted,
            on_probation,
        }
    }

    /// Counts the keys by what keeps them from serving a call for `model` now.
    pub fn survey(&self, model: &str, now: &Moment) -> Survey {
        self.survey_among(model, now, |_| true)
    }

    /// Like [`survey`](Self::survey), for a subset of the keys.
    pub fn survey_among(
        &self,
        model: &str,
        now: &Moment,
        is_among: impl Fn(&PoolKey) -> bool,
    ) -> Survey {
        let mut survey = Survey::default();
        for key in self.keys.iter().filter(|key| is_among(key)) {
            survey.keys += 1;
            match self.standing(key, model, now) {
                Standing::Eligible { .. } => survey.eligible += 1,
                Standing::Ineligible { reason, until } => {
                    survey.add_ineligible(reason);
                    let until = match reason {
                        Reason::OnTrial => until.min(Some(now.at().plus(TRIAL_ANSWER_MS))),
                        _ => until,
                    };
                    if let Some(until) = until {
                        survey.soonest =
                            Some(survey.soonest.map_or(until, |before| before.min(until)));
                    }
                }
            }
        }
        survey
    }
}

fn add_balances(
    balances: &mut Vec<(QuotaScope, Balance)>,
    scope: &Scope,
    model: &Option<String>,
    budget: &Budget,
    now: &Moment,
) {
    let quota_scope = QuotaScope {
        scope: scope.clone(),
        model: model.clone(),
    };
    let of_budget = budget.balances(now);
    balances.extend(of_budget.map(|balance| (quota_scope.clone(), balance)));
}

impl Circumstances {
    /// The cool-downs that apply to a model, each with the model that it was set for.
    fn cool_downs(&self, model: &str) -> impl Iterator<Item = &(Option<String>, CoolDown)> {
        self.cool_downs
            .iter()
            .filter(move |(covered, _)| covers(covered.as_deref(), model))
    }

    /// The budgets that a call for a model counts towards, each with the model that it was set for.
    fn budgets(&self, model: &str) -> impl Iterator<Item = &(Option<String>, Budget)> {
        self.budgets
            .iter()
            .filter(move |(covered, _)| covers(covered.as_deref(), model))
    }
}
