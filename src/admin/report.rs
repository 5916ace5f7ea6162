//! Two reports for operators: the state of the keys, and which key would be drawn and why.

use crate::pool::suspicion::suspicion;
use crate::pool::{
    Balance, KeyId, Limit, Moment, QuotaScope, Reason, Snapshot, Standing, UnixMillis,
};
use crate::store::KeyReport;
use serde::Serialize;

/// `GET /api/keys/status`: the counters, state and cool-downs of every key; never a key's value.
#[derive(Serialize)]
pub struct KeysStatus<'a> {
    success: bool,
    data: Vec<KeyStatusReport>,
    suspicion: Option<SuspicionReport>,
    /// Settings that the operator may want to change.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

#[derive(Serialize)]
struct KeyStatusReport {
    #[serde(flatten)]
    key: KeyReport,
    /// The current cool-downs of the key and its project.
    cooling: Vec<CoolingReport>,
}

#[derive(Serialize)]
struct CoolingReport {
    /// `key:7` or `project:projects/123`.
    scope: String,
    /// With a server-side tool: `gemini-flash-latest#google_search`; `null` for all models.
    model: Option<String>,
    /// The outcome that caused it, such as `billing_exhausted`.
    reason: &'static str,
    until: String,
}

/// Several keys fail in the same way while none succeeds.
#[derive(Serialize)]
pub struct SuspicionReport {
    outcome: &'static str,
    keys: usize,
    latest_at: String,
    message: &'static str,
}

/// Reports the state of every key.
pub fn keys_status<'a>(
    keys: Vec<KeyReport>,
    snapshot: &Snapshot,
    now: UnixMillis,
    warnings: &'a [String],
) -> KeysStatus<'a> {
    let cooling = |key: &KeyReport| {
        let key = snapshot.key(KeyId(key.id));
        let cool_downs = key.into_iter().flat_map(|key| snapshot.cool_downs_of(key));
        cool_downs
            .filter(|(_, cool_down)| cool_down.until > now)
            .map(|(quota_scope, cool_down)| CoolingReport {
                scope: quota_scope.scope.to_string(),
                model: quota_scope.model,
                reason: cool_down.reason.name(),
                until: cool_down.until.to_iso(),
            })
            .collect()
    };
    let data = keys
        .into_iter()
        .map(|key| KeyStatusReport {
            cooling: cooling(&key),
            key,
        })
        .collect();
    KeysStatus {
        success: true,
        data,
        suspicion: SuspicionReport::of(snapshot, now),
        warnings,
    }
}

impl SuspicionReport {
    /// `None` unless several keys fail in the same way.
    pub fn of(snapshot: &Snapshot, now: UnixMillis) -> Option<Self> {
        let suspicion = suspicion(snapshot.keys(), now)?;
        Some(Self {
            outcome: suspicion.outcome.name(),
            keys: suspicion.keys,
            latest_at: suspicion.latest.to_iso(),
            message: "These keys fail alike and none has succeeded since: the upstream, or this machine's address, is suspected, and no key is disabled for it.",
        })
    }
}

/// `GET /api/pool/explain?model=M`: the odds of each key in a draw for the model now.
#[derive(Serialize)]
pub struct Explanation<'a> {
    model: &'a str,
    /// `null` if the request named the model itself.
    alias: Option<Alias<'a>>,
    at: String,
    eligible: usize,
    keys: Vec<KeyExplanation<'a>>,
}

/// The alias that led to a model.
#[derive(Serialize)]
pub struct Alias<'a> {
    /// The name in the request.
    pub name: &'a str,
    /// The entry of `model_aliases` that it matches.
    pub pattern: &'a str,
}

#[derive(Serialize)]
struct KeyExplanation<'a> {
    id: i64,
    name: Option<&'a str>,
    project: Option<&'a str>,
    eligible: bool,
    /// Why the key is ineligible: `disabled`, `paused`, `on_trial`, `budget_spent`, or the outcome
    /// that it cools down for.
    reason: Option<&'static str>,
    /// Why a disabled key was disabled, such as the upstream's message.
    detail: Option<&'a str>,
    until: Option<String>,
    weight: f64,
    probability: f64,
    budgets: Vec<BudgetReport>,
}

#[derive(Serialize)]
struct BudgetReport {
    /// `key:7` or `project:projects/123`.
    scope: String,
    /// `null` for all models together.
    model: Option<String>,
    unit: &'static str,
    per: &'static str,
    used: u64,
    limit: u64,
    /// `null` if the limit is 0.
    resets_at: Option<String>,
}

/// Explains a draw for `model`.
pub fn explain<'a>(
    snapshot: &'a Snapshot,
    model: &'a str,
    alias: Option<Alias<'a>>,
    now: UnixMillis,
) -> Explanation<'a> {
    let now = Moment::new(now);
    let standings: Vec<Standing> = snapshot
        .keys()
        .iter()
        .map(|key| snapshot.standing(key, model, &now))
        .collect();
    let (eligible, total) = sum_weights(&standings);
    let keys = snapshot
        .keys()
        .iter()
        .zip(&standings)
        .map(|(key, standing)| {
            let (weight, reason, until) = match standing {
                Standing::Eligible { weight } => (Some(*weight), None, None),
                Standing::Ineligible { reason, until } => (None, Some(*reason), *until),
            };
            let probability = match weight {
                Some(weight) if total > 0.0 => weight / total,
                Some(_) => 1.0 / eligible as f64,
                None => 0.0,
            };
            KeyExplanation {
                id: key.id.0,
                name: key.name.as_deref(),
                project: key.project.as_deref(),
                eligible: weight.is_some(),
                reason: reason.map(Reason::name),
                detail: key
                    .disabled_reason
                    .as_deref()
                    .filter(|_| reason == Some(Reason::Disabled)),
                until: until.map(UnixMillis::to_iso),
                weight: weight.unwrap_or_default(),
                probability,
                budgets: snapshot
                    .balances(key, model, &now)
                    .into_iter()
                    .map(budget_report)
                    .collect(),
            }
        })
        .collect();
    Explanation {
        model,
        alias,
        at: now.at().to_iso(),
        eligible,
        keys,
    }
}

/// The number of eligible keys, and the sum of their weights.
fn sum_weights(standings: &[Standing]) -> (usize, f64) {
    let weights = standings.iter().filter_map(|standing| match standing {
        Standing::Eligible { weight } => Some(*weight),
        Standing::Ineligible { .. } => None,
    });
    weights.fold((0, 0.0), |(count, sum), weight| (count + 1, sum + weight))
}

fn budget_report((quota_scope, balance): (QuotaScope, Balance)) -> BudgetReport {
    let Limit {
        unit,
        window,
        value,
    } = balance.limit;
    BudgetReport {
        scope: quota_scope.scope.to_string(),
        model: quota_scope.model,
        unit: unit.name(),
        per: window.name(),
        used: balance.used,
        limit: value,
        resets_at: balance.resets_at.map(UnixMillis::to_iso),
    }
}
