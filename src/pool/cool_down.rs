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
mod tests {
    use super::*;
    use crate::pool::testing::key;
    use proptest::prelude::*;

    /// 09:00 in Los Angeles.
    const NOW: UnixMillis = UnixMillis(1_800_032_400_000);

    fn incident(outcome: Outcome, retry_after_ms: Option<u64>, ended: i64) -> Incident {
        Incident {
            outcome,
            retry_after_ms,
            began_at: NOW.plus(ended),
            ended_at: NOW.plus(ended),
        }
    }

    fn length(outcome: Outcome, retry_after_ms: Option<u64>) -> Option<i64> {
        CoolDown::after(None, &incident(outcome, retry_after_ms, 0))
            .map(|cool_down| cool_down.until.since(NOW))
    }

    #[test]
    fn first_cool_downs_are_as_long_as_the_table_says() {
        use Outcome::*;
        let next_day = pacific::next_day(NOW).since(NOW);
        for (outcome, asked, expected) in [
            (QuotaPerMinute, Some(41_700), Some(41_700)),
            (QuotaPerMinute, None, Some(60_000)),
            (QuotaPerMinute, Some(3_600_000), Some(60_000)),
            (QuotaPerMinute, Some(u64::MAX), Some(60_000)),
            (QuotaPerMinute, Some(0), Some(100)),
            (QuotaPerDay, Some(5_000), Some(next_day)),
            (QuotaNone, Some(11_000), Some(next_day)),
            (ModelRefused, None, Some(next_day)),
            (BillingExhausted, None, Some(HOUR_MS)),
            (QuotaUnspecified, Some(30_000), Some(5_000)),
            (ResourceRefused, None, Some(300_000)),
            (EgressRefused, None, Some(60_000)),
            (KeyRejected, None, Some(60_000)),
            (ProjectRefused, None, Some(60_000)),
            (Success, None, None),
            (ClientFault, None, None),
            (UpstreamTrouble, Some(1_000), None),
            (ModelOverloaded, None, None),
        ] {
            assert_eq!(length(outcome, asked), expected, "{}", outcome.name());
        }
    }

    #[test]
    fn each_new_incident_doubles_up_to_the_longest() {
        for (outcome, lengths) in [
            (Outcome::QuotaUnspecified, vec![5, 10, 20, 40, 60, 60]),
            (
                Outcome::BillingExhausted,
                [1, 2, 4, 8, 16, 24, 24].map(|h| h * 3600).to_vec(),
            ),
        ] {
            let mut before: Option<CoolDown> = None;
            let mut at = 0;
            for seconds in lengths {
                let next = CoolDown::after(before.as_ref(), &incident(outcome, None, at)).unwrap();
                assert_eq!(next.until.since(NOW.plus(at)), seconds * SECOND_MS);
                at = next.until.since(NOW) + 1;
                before = Some(next);
            }
        }
    }

    #[test]
    fn what_is_long_past_doubles_nothing() {
        let first = CoolDown::after(None, &incident(Outcome::QuotaUnspecified, None, 0)).unwrap();
        let forgotten = first.until.since(NOW) + 60_001;
        let next = incident(Outcome::QuotaUnspecified, None, forgotten);
        assert_eq!(CoolDown::after(Some(&first), &next).unwrap().strikes, 1);
    }

    #[test]
    fn what_a_clock_that_ran_ahead_has_written_holds_nobody_back() {
        let year = 365 * 24 * HOUR_MS;
        for outcome in Outcome::ALL {
            let Some(ahead) = CoolDown::after(None, &incident(outcome, None, year)) else {
                continue;
            };
            let name = outcome.name();
            assert!(!ahead.holds(NOW) && ahead.is_spent(NOW), "{name}");
            assert!(ahead.holds(NOW.plus(year)), "{name}");
            // The next incident begins afresh.
            let now = CoolDown::after(Some(&ahead), &incident(outcome, None, 0)).unwrap();
            assert_eq!((now.began_at, now.strikes), (NOW, 1), "{name}");
            assert!(now.holds(NOW) && !now.is_spent(NOW), "{name}");
            // Nor what was made to last.
            let long = CoolDown {
                until: NOW.plus(year),
                ..now
            };
            assert!(!long.holds(NOW), "{name}");
            // Clocks differ by a little.
            let little = CoolDown::after(None, &incident(outcome, None, 4_000)).unwrap();
            assert!(little.holds(NOW), "{name}");
        }
    }

    #[test]
    fn calls_that_were_under_way_together_are_one_incident() {
        let first = CoolDown::after(None, &incident(Outcome::QuotaUnspecified, None, 0)).unwrap();
        for (began, ended) in [(-500, 1), (100, 200), (4_000, 9_000)] {
            let same = Incident {
                began_at: NOW.plus(began),
                ended_at: NOW.plus(ended),
                ..incident(Outcome::QuotaUnspecified, None, 0)
            };
            assert_eq!(CoolDown::after(Some(&first), &same), None);
        }
    }

    #[test]
    fn within_an_incident_the_longer_cool_down_holds() {
        let minute =
            CoolDown::after(None, &incident(Outcome::QuotaPerMinute, Some(20_000), 0)).unwrap();
        let day = incident(Outcome::QuotaPerDay, None, 10);
        let both = CoolDown::after(Some(&minute), &day).unwrap();
        assert_eq!(both.until, pacific::next_day(NOW));
        let minute_again = incident(Outcome::QuotaPerMinute, Some(20_000), 20);
        assert_eq!(CoolDown::after(Some(&both), &minute_again), None);
    }

    #[test]
    fn who_cools_is_the_project_or_the_key() {
        let mut key = key(7);
        let text = |outcome, key: &PoolKey| {
            quota_scope_of(outcome, key, "m", None)
                .map(|place| (place.scope.to_string(), place.model))
        };
        let asked = Some("m".to_owned());
        assert_eq!(
            text(Outcome::QuotaPerDay, &key),
            Some(("key:7".into(), asked.clone()))
        );
        key.project = Some("projects/1".into());
        for (outcome, scope, model) in [
            (Outcome::QuotaPerMinute, "project:projects/1", asked.clone()),
            (Outcome::BillingExhausted, "project:projects/1", None),
            (Outcome::ResourceRefused, "key:7", asked.clone()),
            (Outcome::EgressRefused, "key:7", asked.clone()),
            (Outcome::PlanRefused, "project:projects/1", asked.clone()),
            (Outcome::FreeTierRefused, "project:projects/1", None),
            (Outcome::EntityNotFound, "project:projects/1", asked),
        ] {
            assert_eq!(text(outcome, &key), Some((scope.into(), model)));
        }
        let of_tool = quota_scope_of(Outcome::ToolQuota, &key, "m", Some("google_search"));
        assert_eq!(
            of_tool.and_then(|place| place.model).as_deref(),
            Some("m#google_search")
        );
        assert_eq!(text(Outcome::UpstreamTrouble, &key), None);
    }

    proptest! {
        #[test]
        fn a_cool_down_begins_now_ends_later_and_never_shrinks(
            outcome in prop::sample::select(Outcome::ALL.to_vec()),
            earlier in prop::sample::select(Outcome::ALL.to_vec()),
            asked in prop::option::of(any::<u64>()),
            began in 0i64..200_000_000,
            took in 0i64..100_000,
        ) {
            let before = CoolDown::after(None, &incident(earlier, None, 0));
            let incident = Incident {
                outcome,
                retry_after_ms: asked,
                began_at: NOW.plus(began),
                ended_at: NOW.plus(began + took),
            };
            if let Some(after) = CoolDown::after(before.as_ref(), &incident) {
                prop_assert!(after.until > incident.ended_at);
                prop_assert!(after.until.since(incident.ended_at) <= 25 * HOUR_MS);
                prop_assert!(after.strikes >= 1);
                prop_assert!(before.is_none_or(|before| after.until > before.until));
            }
        }
    }
}
