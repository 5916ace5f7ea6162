//! Claims trials and reserves budgets in the database before a call is sent.

use super::ports::System;
use super::view::PoolView;
use crate::pool::{Change, Moment, Pick, UnixMillis};
use crate::store::{self, Database, DatabaseError};

/// What was claimed for a call.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    /// When the leases of its trials expire.
    pub(super) trials_until: UnixMillis,
    /// The input tokens that were reserved in the budgets.
    pub(super) input_tokens: u64,
    /// When they were reserved; `None` if nothing was.
    pub(super) reserved_at: Option<Moment>,
}

/// A call that is about to be sent.
pub(super) struct Claim<'a> {
    pub(super) pick: &'a Pick,
    /// The model whose budgets apply.
    pub(super) model: &'a str,
    /// The input tokens that the call is expected to use.
    pub(super) input_tokens: u64,
    /// The lease of its trials, in milliseconds.
    pub(super) trial_lease_ms: i64,
}

impl Claim<'_> {
    /// Claims the trials of a pick and reserves its budgets. `None` if another request was faster,
    /// which means that the view is out of date. A failing database does not block the request.
    pub(super) async fn take<D: Database, S: System>(
        self,
        view: &PoolView<D>,
        system: &S,
        now: &Moment,
    ) -> Option<Claimed> {
        let log = |error: &DatabaseError| {
            system.log(&format!(
                "key {}: cannot claim a trial or reserve a budget: {error}",
                self.pick.key.id
            ));
        };
        let trials_until = now.at().plus(self.trial_lease_ms);
        let mut claimed = Vec::with_capacity(self.pick.claims.len());
        let mut is_lost = false;
        for claim in &self.pick.claims {
            let taken = store::claim(&*view.database, claim, now.at(), trials_until).await;
            is_lost = !taken.inspect_err(log).unwrap_or(true);
            if is_lost {
                break;
            }
            view.change(Change::TrialBegan(claim.clone(), trials_until));
            claimed.push(claim.clone());
        }
        let mut is_reserved = false;
        if !is_lost && !self.pick.counted.is_empty() {
            let reserved = self.reserve(view, now).await;
            is_reserved = reserved == Ok(true);
            is_lost = !reserved.inspect_err(log).unwrap_or(true);
        }
        if is_lost {
            view.outdate();
            let released = view.release(&claimed, trials_until).await;
            let _ = released.inspect_err(log);
            return None;
        }
        view.change(Change::Sent {
            key: self.pick.key.id,
            counted: self.pick.counted.clone(),
            input_tokens: self.input_tokens,
            now: now.clone(),
        });
        Some(Claimed {
            trials_until,
            input_tokens: self.input_tokens,
            reserved_at: is_reserved.then(|| now.clone()),
        })
    }

    async fn reserve<D: Database>(&self, view: &PoolView<D>, now: &Moment) -> store::Result<bool> {
        let balances = view.snapshot().balances(&self.pick.key, self.model, now);
        let reservations: Vec<store::Reservation> = self
            .pick
            .counted
            .iter()
            .map(|scope| store::Reservation {
                scope: scope.clone(),
                limits: balances
                    .iter()
                    .filter(|(limited, _)| limited == scope)
                    .map(|(_, balance)| balance.limit)
                    .collect(),
            })
            .collect();
        store::reserve(&*view.database, &reservations, self.input_tokens, now).await
    }
}
