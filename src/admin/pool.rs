//! `GET pool`: the pool at a glance.

use super::report::SuspicionReport;
use super::request::{Refusal, Request, Response};
use crate::pool::{DisabledKey, KeyStatus, Snapshot, UnixMillis};
use crate::store::{self, Database, KeyCounts};
use serde::Serialize;

/// The most keys that are named.
const MAX_NAMED: usize = 20;

/// What the pool knows of its keys in memory.
#[derive(Serialize)]
pub struct Health {
    /// Active keys that cool down for a model or all of them.
    cooling_for_models: usize,
    /// Keys with a fault drill under way.
    drills: usize,
    suspicion: Option<SuspicionReport>,
}

#[derive(Serialize)]
struct PoolReport<'a> {
    at: String,
    keys: KeyCountsReport,
    #[serde(flatten)]
    health: Option<&'a Health>,
    /// The latest first.
    disabled_lately: Vec<DisabledReport>,
    /// Settings that the operator may want to change.
    warnings: &'a [String],
}

#[derive(Serialize)]
struct KeyCountsReport {
    total: u64,
    active: u64,
    cooling: u64,
    disabled: u64,
}

/// A key that the pool has disabled within a day.
#[derive(Serialize)]
struct DisabledReport {
    id: i64,
    name: Option<String>,
    reason: Option<String>,
    disabled_at: String,
}

impl Health {
    /// What the snapshot tells.
    pub fn of(snapshot: &Snapshot, now: UnixMillis) -> Self {
        let keys = snapshot.keys();
        let cools = |key: &&_| {
            let mut cool_downs = snapshot.cool_downs_of(key);
            cool_downs.any(|(_, cool_down)| cool_down.until > now)
        };
        let active = keys
            .iter()
            .filter(|key| key.state.status_at(now) == KeyStatus::Active);
        Self {
            cooling_for_models: active.filter(cools).count(),
            drills: keys.iter().filter(|key| snapshot.has_drill(key.id)).count(),
            suspicion: SuspicionReport::of(snapshot, now),
        }
    }
}

/// `GET pool`
pub(super) async fn show(
    database: &impl Database,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    request.query()?.finish()?;
    let KeyCounts {
        active,
        cooling,
        disabled,
        other,
    } = store::count_keys(database, request.now).await?;
    let mut lately = store::alert_facts(database, request.now).await?.disabled;
    lately.sort_by_key(|key| std::cmp::Reverse(key.disabled_at));
    lately.truncate(MAX_NAMED);
    Response::ok(&PoolReport {
        at: request.now.to_iso(),
        keys: KeyCountsReport {
            total: [active, cooling, disabled, other]
                .into_iter()
                .fold(0, u64::saturating_add),
            active,
            cooling,
            disabled,
        },
        health: request.health.as_ref(),
        disabled_lately: lately.into_iter().map(DisabledReport::from).collect(),
        warnings: request.config.warnings(),
    })
}

impl From<DisabledKey> for DisabledReport {
    fn from(key: DisabledKey) -> Self {
        Self {
            id: key.id.0,
            name: key.name,
            reason: key.reason,
            disabled_at: key.disabled_at.to_iso(),
        }
    }
}
