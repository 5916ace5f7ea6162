//! Cool-downs: how long a project or a key is skipped after a failure, and for which models.
//!
//! What cools down, for which calls and for how long is a column of [`Outcome::rule`]; this module
//! defines how successive cool-downs combine.
//!
//! A key whose project is unknown cools down alone. The model is the one that the client requested,
//! since errors name the backend's aliases.
//!
//! Two failures belong to one incident if the second call began before the cool-down of the first
//! was over: the calls ran concurrently, or the second was chosen from an older snapshot. Only a
//! new incident doubles the cool-down, and only while the previous one is remembered: for as long
//! as the longest cool-down of its kind.

use super::outcome::{CoolingScope, Extent, Length};
use super::scope::with_tool;
use super::{HOUR_MS, MINUTE_MS, Outcome, PoolKey, QuotaScope, Scope, UnixMillis, moment};

const SECOND_MS: i64 = 1000;

/// The longest cool-down for a quota per minute, and the default if the upstream states none: 60 s,
/// after which the minute is over.
const MAX_MINUTE_MS: i64 = MINUTE_MS;
/// The shortest cool-down, so that a stated delay of 0 does not cause a busy loop: 100 ms.
const MIN_MS: i64 = 100;

/// The longest lease of a trial, in milliseconds: the longest deadline that can be configured, 1 h,
/// plus 30 s.
pub const LONGEST_TRIAL_LEASE_MS: i64 = HOUR_MS + 30 * SECOND_MS;

/// The longest day in Los Angeles, when clocks are set back.
const MAX_DAY_MS: i64 = 25 * HOUR_MS;

/// A period in which a quota scope is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoolDown {
    /// Why.
    pub reason: Outcome,
    /// When it began.
    pub began_at: UnixMillis,
    /// When it is over.
    pub until: UnixMillis,
    /// Consecutive incidents of this kind, including this one; at least 1.
    pub strikes: u32,
    /// The end of the lease of a trial in flight, until which no other trial may start.
    pub trial_until: Option<UnixMillis>,
}

/// A failed attempt, as cool-downs see it.
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
                    .unwrap_or(MAX_MINUTE_MS);
                now.plus(asked.clamp(MIN_MS, MAX_MINUTE_MS))
            }
            Self::UntilNextDay { .. } => moment::next_day(now),
            Self::Doubling {
                first_ms,
                longest_ms,
            } => {
                let doublings = strikes.saturating_sub(1).min(30);
                now.plus(first_ms.saturating_mul(1 << doublings).min(*longest_ms))
            }
        }
    }

    /// The longest cool-down of this kind.
    fn max_ms(&self) -> i64 {
        match self {
            Self::AsAsked => MAX_MINUTE_MS,
            Self::UntilNextDay { .. } => MAX_DAY_MS,
            Self::Doubling { longest_ms, .. } => *longest_ms,
        }
    }

    /// How long after its end a cool-down is remembered by the next incident.
    fn remembered_ms(&self) -> i64 {
        match self {
            Self::AsAsked | Self::UntilNextDay { .. } => 0,
            Self::Doubling { longest_ms, .. } => *longest_ms,
        }
    }
}

/// The quota scope that cools down when `key` fails a call for `model`, with a server-side `tool`;
/// `None` if nothing does.
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
    /// How long a cool-down can matter after its end, in milliseconds: 24 h.
    pub const REMEMBERED_MS: i64 = 24 * HOUR_MS;

    /// The cool-down that follows an incident; `None` if `before` stays as it is.
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
            // The same incident: the later failure matters only if it asks for more.
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

    /// Whether the cool-down is plausible at `now`. One that begins in the future, or that lasts
    /// longer than its kind can, was written by a fast clock, and is ignored.
    pub fn is_credible(&self, now: UnixMillis) -> bool {
        // Operators may set cool-downs for other outcomes, of any length.
        let is_too_long = self.reason.rule().cooling.is_some_and(|cooling| {
            let latest = self.began_at.plus(cooling.length.max_ms());
            self.until.is_ahead_of(latest)
        });
        !self.began_at.is_ahead_of(now) && !is_too_long
    }

    /// Whether the cool-down is in force at `now`.
    pub fn holds(&self, now: UnixMillis) -> bool {
        self.until > now && self.is_credible(now)
    }

    /// Whether a trial must succeed before the quota scope is used freely again. Cool-downs that
    /// end at a known time, such as a quota's reset, need none.
    pub fn needs_trial(&self) -> bool {
        self.reason.rule().cooling.is_none_or(|cooling| {
            !matches!(
                cooling.length,
                Length::AsAsked | Length::UntilNextDay { trial: false }
            )
        })
    }

    /// Whether the cool-down no longer matters at `now`: it is over and needs no trial, is
    /// forgotten, or is implausible.
    pub fn is_spent(&self, now: UnixMillis) -> bool {
        let remembered_ms = if self.needs_trial() {
            Self::REMEMBERED_MS
        } else {
            0
        };
        self.until.plus(remembered_ms) <= now || !self.is_credible(now)
    }
}

#[cfg(test)]
mod tests;
