//! Cool-downs: how long a project or a key is left alone after a failure, and for which models.
//!
//! Who cools, for which calls and for how long is a column of [`Outcome::rule`]; this module is about how cool-downs
//! follow each other.
//!
//! A key without a known project cools alone. The model is the one that was asked for: errors name aliases of the backend.
//!
//! Two failures are one incident when the second call began before the cool-down of the first was over: the calls were
//! under way together, or chosen from a snapshot that did not know yet. Only a new incident doubles, and only while the
//! one before is remembered: for as long as the longest cool-down of its kind.

use super::outcome::{CoolingScope, Extent, Length};
use super::scope::with_tool;
use super::{MINUTE_MS, Outcome, PoolKey, QuotaScope, Scope, UnixMillis, pacific};

const SECOND_MS: i64 = 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// The longest cool-down of a quota per minute, and the one where the upstream names none: after so long the minute is
/// over. 60 s.
const LONGEST_MINUTE_MS: i64 = MINUTE_MS;
/// The shortest, so that a delay of nothing does not mean to hammer: 100 ms.
const SHORTEST_MS: i64 = 100;

/// The longest lease of a trial, in milliseconds: as long as the longest deadline that can be set, 1 h, and half a minute.
pub const LONGEST_TRIAL_LEASE_MS: i64 = HOUR_MS + 30 * SECOND_MS;

/// The longest day of Los Angeles, when its clocks are set back.
const LONGEST_DAY_MS: i64 = 25 * HOUR_MS;

/// A place that is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoolDown {
    /// Why.
    pub reason: Outcome,
    /// When it began.
    pub began_at: UnixMillis,
    /// When it is over.
    pub until: UnixMillis,
    /// Incidents of this kind in a row, this one included; at least 1.
    pub strikes: u32,
    /// A trial call is on its way, and until then no other may follow.
    pub trial_until: Option<UnixMillis>,
}

/// A failure, as far as cool-downs are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident {
    /// How the attempt ended.
    pub outcome: Outcome,
    /// How long the upstream asks to wait, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// When the attempt began.
    pub began_at: UnixMillis,
    /// When it ended.
    pub ended_at: UnixMillis,
}

impl Length {
    fn until(&self, incident: &Incident, strikes: u32) -> UnixMillis {
        let now = incident.ended_at;
        match self {
            Self::AsAsked => {
                let asked = incident
                    .retry_after_ms
                    .and_then(|ms| i64::try_from(ms).ok())
                    .unwrap_or(LONGEST_MINUTE_MS);
                now.plus(asked.clamp(SHORTEST_MS, LONGEST_MINUTE_MS))
            }
            Self::UntilNextDay { .. } => pacific::next_day(now),
            Self::Doubling {
                first_ms,
                longest_ms,
            } => {
                let doublings = strikes.saturating_sub(1).min(30);
                now.plus(first_ms.saturating_mul(1 << doublings).min(*longest_ms))
            }
        }
    }

    /// The longest of its kind.
    fn longest_ms(&self) -> i64 {
        match self {
            Self::AsAsked => LONGEST_MINUTE_MS,
            Self::UntilNextDay { .. } => LONGEST_DAY_MS,
            Self::Doubling { longest_ms, .. } => *longest_ms,
        }
    }

    /// How long after its end an incident counts as the one before the next.
    fn remembered_ms(&self) -> i64 {
        match self {
            Self::AsAsked | Self::UntilNextDay { .. } => 0,
            Self::Doubling { longest_ms, .. } => *longest_ms,
        }
    }
}

/// Where a failure of `key` on a call for `model`, with a server-side `tool`, cools; `None` where nothing does.
pub fn quota_scope_of(
    outcome: Outcome,
    key: &PoolKey,
    model: &str,
    tool: Option<&str>,
) -> Option<QuotaScope> {
    let cooling = outcome.rule().cooling?;
    Some(QuotaScope {
        scope: match cooling.scope {
            CoolingScope::Project => key.scope(),
            CoolingScope::Key => Scope::Key(key.id),
        },
        model: match cooling.extent {
            Extent::AllModels => None,
            Extent::Model => Some(model.to_owned()),
            Extent::ModelAndTool => Some(with_tool(model, tool)),
        },
    })
}

impl CoolDown {
    /// How long after its end a cool-down can say something, at most: 24 h.
    pub const LONGEST_KEPT_MS: i64 = 24 * HOUR_MS;

    /// The cool-down of a place after an incident; `None` where nothing changes.
    pub fn after(before: Option<&Self>, incident: &Incident) -> Option<Self> {
        let length = incident.outcome.rule().cooling?.length;
        let fresh = |strikes| Self {
            reason: incident.outcome,
            began_at: incident.ended_at,
            until: length.until(incident, strikes),
            strikes,
            trial_until: None,
        };
        let Some(before) = before.filter(|before| before.is_credible(incident.ended_at)) else {
            return Some(fresh(1));
        };
        let same_kind = before.reason == incident.outcome;
        if incident.began_at < before.until {
            // One incident: what is told later counts only where it asks for more.
            let doubling = matches!(length, Length::Doubling { .. });
            let later = fresh(if same_kind { before.strikes } else { 1 });
            return (later.until > before.until && !(same_kind && doubling)).then_some(later);
        }
        let remembered =
            same_kind && incident.ended_at <= before.until.plus(length.remembered_ms());
        Some(fresh(if remembered {
            before.strikes.saturating_add(1)
        } else {
            1
        }))
    }

    /// Whether it can be true at `now`: one that begins in the future, or that lasts longer than its kind can, was written by
    /// a clock that ran ahead, and counts for nothing.
    pub fn is_credible(&self, now: UnixMillis) -> bool {
        // One that is not of the pool's making may be of any length.
        let is_too_long = self.reason.rule().cooling.is_some_and(|cooling| {
            let latest = self.began_at.plus(cooling.length.longest_ms());
            self.until.is_ahead_of(latest)
        });
        !self.began_at.is_ahead_of(now) && !is_too_long
    }

    /// Whether the place is left alone at `now`.
    pub fn holds(&self, now: UnixMillis) -> bool {
        self.until > now && self.is_credible(now)
    }

    /// Whether the place may be used again only by one call at a time, until one has worked. The others end because a
    /// known time has passed: there is nothing to try.
    pub fn needs_trial(&self) -> bool {
        self.reason.rule().cooling.is_none_or(|cooling| {
            !matches!(
                cooling.length,
                Length::AsAsked | Length::UntilNextDay { trial: false }
            )
        })
    }

    /// Whether it says nothing any more at `now`: over, without a trial to come, or forgotten; or not to be believed.
    pub fn is_spent(&self, now: UnixMillis) -> bool {
        let kept_ms = if self.needs_trial() {
            Self::LONGEST_KEPT_MS
        } else {
            0
        };
        self.until.plus(kept_ms) <= now || !self.is_credible(now)
    }
}

#[cfg(test)]
mod tests;
