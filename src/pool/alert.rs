//! What operators are alerted to, and when an alert is sent again.
//!
//! Each alert has a subject, which is stored once, so that instances that find the same send one
//! event. The subject of a disabled key says when it was disabled, and that of a budget which day
//! it is for, so that neither needs an end. Too few usable keys are one event until there have been
//! enough of them for a while ([`QUIET_MS`]): keys that come and go do not make an event each time.

use super::{Forecast, HOUR_MS, KeyId, MINUTE_MS, UnixMillis};

/// How long there must have been enough usable keys before too few are a new event, in
/// milliseconds: 15 min.
const QUIET_MS: i64 = 15 * MINUTE_MS;
/// How often it is noted that there are still too few, in milliseconds: 5 min.
const NOTED_EVERY_MS: i64 = QUIET_MS / 3;
/// How long after a key was disabled an alert is raised, in milliseconds: a day.
pub const DISABLED_LATELY_MS: i64 = 24 * HOUR_MS;
/// The pauses after failed deliveries, in minutes. There is one try more than pauses.
const PAUSES: [i64; 4] = [1, 4, 15, 40];
/// How often a delivery is tried.
pub const MAX_TRIES: u32 = PAUSES.len() as u32 + 1;
/// The subject of the alert that there are too few usable keys.
pub const KEYS_LOW: &str = "keys_low";

/// When operators are alerted, besides when the pool disables a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertRules {
    /// When fewer keys than this are usable; `None` for never.
    pub min_usable_keys: Option<u32>,
    /// When a budget ends within this many hours; `None` for never.
    pub budget_hours: Option<u32>,
}

/// A key that the pool has disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisabledKey {
    /// The key.
    pub id: KeyId,
    /// The name that an operator gave it.
    pub name: Option<String>,
    /// Why it was disabled.
    pub reason: Option<String>,
    /// When.
    pub disabled_at: UnixMillis,
}

/// What an operator is alerted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alert {
    /// Too few keys are usable: neither disabled nor paused.
    KeysLow {
        /// How many are.
        usable: u64,
        /// How many should be.
        wanted: u32,
    },
    /// The pool has disabled a key.
    KeyDisabled(DisabledKey),
    /// A budget will soon be used up, or is.
    BudgetEnds(Forecast),
}

impl Alert {
    /// The name of the event.
    pub fn event(&self) -> &'static str {
        match self {
            Self::KeysLow { .. } => KEYS_LOW,
            Self::KeyDisabled(_) => "key_disabled",
            Self::BudgetEnds(_) => "budget_ends",
        }
    }

    /// What the event is about: the same for all instances that find it.
    pub fn subject(&self) -> String {
        match self {
            Self::KeysLow { .. } => KEYS_LOW.to_owned(),
            Self::KeyDisabled(key) => {
                format!("{}:{}:{}", self.event(), key.id, key.disabled_at.to_iso())
            }
            Self::BudgetEnds(forecast) => format!(
                "{}:{}:{}:{}:{}",
                self.event(),
                forecast.quota_scope.scope,
                forecast.quota_scope.model.as_deref().unwrap_or_default(),
                forecast.balance.limit.unit.name(),
                forecast
                    .balance
                    .resets_at
                    .map_or_else(String::new, UnixMillis::to_iso)
            ),
        }
    }

    /// The event in words.
    pub fn text(&self) -> String {
        match self {
            Self::KeysLow { usable, wanted } => {
                format!("Usable keys: {usable}, fewer than {wanted}.")
            }
            Self::KeyDisabled(key) => format!(
                "Key {} ({}) is disabled: {}.",
                key.id,
                key.name.as_deref().unwrap_or("no name"),
                key.reason.as_deref().unwrap_or("no reason")
            ),
            Self::BudgetEnds(forecast) => format!(
                "Budget of {} for {}: {} of {} {} are used; at {} per hour it ends at {}.",
                forecast.quota_scope.scope,
                forecast
                    .quota_scope
                    .model
                    .as_deref()
                    .unwrap_or("all models"),
                forecast.balance.used,
                forecast.balance.limit.value,
                forecast.balance.limit.unit.name(),
                forecast.pace_per_hour(),
                forecast
                    .ends_at()
                    .map_or_else(String::new, UnixMillis::to_iso)
            ),
        }
    }
}

/// What there is to alert operators to.
pub fn alerts(
    rules: &AlertRules,
    usable: u64,
    disabled: Vec<DisabledKey>,
    forecasts: Vec<Forecast>,
) -> Vec<Alert> {
    let mut alerts = Vec::new();
    if let Some(wanted) = rules.min_usable_keys
        && usable < u64::from(wanted)
    {
        alerts.push(Alert::KeysLow { usable, wanted });
    }
    for key in disabled {
        alerts.push(Alert::KeyDisabled(key));
    }
    for forecast in forecasts {
        // A budget that nothing uses needs no warning.
        if let Some((ends_at, hours)) = forecast.ends_at().zip(rules.budget_hours)
            && ends_at.since(forecast.at) <= i64::from(hours) * HOUR_MS
            && forecast.recent > 0
        {
            alerts.push(Alert::BudgetEnds(forecast));
        }
    }
    alerts
}

/// What is to be done about alerts.
#[derive(Debug, PartialEq, Eq)]
pub enum AlertStep {
    /// Store a new one, and send it.
    Raise(Alert),
    /// Send this subject again, which was tried so often.
    Retry(String, u32),
    /// Note that there are still too few keys.
    Note,
    /// Forget that there were too few keys, which was last noted then.
    Forget(UnixMillis),
}

/// What is to be done about the alerts that hold, and those that were raised.
pub fn alert_steps(alerts: Vec<Alert>, raised: &[RaisedAlert], now: UnixMillis) -> Vec<AlertStep> {
    let is_low = alerts
        .iter()
        .any(|alert| matches!(alert, Alert::KeysLow { .. }));
    let mut steps = Vec::new();
    for alert in raised {
        if alert.subject == KEYS_LOW {
            let ago = match alert.seen_at.is_ahead_of(now) {
                // A fast clock wrote it.
                true => i64::MAX,
                false => now.since(alert.seen_at),
            };
            match is_low {
                true if ago >= NOTED_EVERY_MS => steps.push(AlertStep::Note),
                false if ago >= QUIET_MS => steps.push(AlertStep::Forget(alert.seen_at)),
                true | false => {}
            }
        }
        if let Some(tries) = alert.tries_if_due(now) {
            steps.push(AlertStep::Retry(alert.subject.clone(), tries));
        }
    }
    for alert in alerts {
        let subject = alert.subject();
        if !raised.iter().any(|raised| raised.subject == subject) {
            steps.push(AlertStep::Raise(alert));
        }
    }
    steps
}

/// An alert that was raised, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaisedAlert {
    /// The subject.
    pub subject: String,
    /// When it was last noted that it holds.
    pub seen_at: UnixMillis,
    /// What is left to do; `None` once it is delivered, or was tried for the last time.
    pub pending: Option<Pending>,
}

/// A delivery that is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// How often it was tried.
    pub tries: u32,
    /// When it may be tried again.
    pub next_try_at: UnixMillis,
}

impl RaisedAlert {
    /// How often delivery was tried, if it is due again.
    fn tries_if_due(&self, now: UnixMillis) -> Option<u32> {
        let Pending { tries, next_try_at } = self.pending?;
        // A longer pause was written by a fast clock.
        let is_due = next_try_at <= now || next_try_at > next_try(u32::MAX, now);
        is_due.then_some(tries)
    }
}

/// When the delivery that is the `tries`th, from 1, may be tried again unless it succeeds. Longer
/// than a try takes, so that no two run at a time.
pub fn next_try(tries: u32, now: UnixMillis) -> UnixMillis {
    let position = usize::try_from(tries)
        .unwrap_or(usize::MAX)
        .clamp(1, PAUSES.len())
        - 1;
    let minutes = PAUSES.get(position).copied().unwrap_or_default();
    now.plus(minutes * MINUTE_MS)
}

#[cfg(test)]
mod tests {
    use super::super::{Balance, Limit, QuotaScope, Scope, Unit, Window};
    use super::*;

    /// Midnight in Los Angeles, and a full hour.
    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const RULES: AlertRules = AlertRules {
        min_usable_keys: Some(2),
        budget_hours: Some(3),
    };

    /// A budget with 100 a day, of which so many were used in the last two hours.
    fn forecast(used: u64, recent: u64) -> Forecast {
        Forecast {
            project_of_key: None,
            quota_scope: QuotaScope {
                scope: Scope::Key(KeyId(7)),
                model: Some("m".to_owned()),
            },
            balance: Balance {
                limit: Limit {
                    unit: Unit::Requests,
                    window: Window::Day,
                    value: 100,
                },
                used,
                resets_at: Some(NOW.plus(24 * 60 * MINUTE_MS)),
            },
            recent,
            at: NOW,
        }
    }

    fn subjects(rules: &AlertRules, usable: u64, forecasts: Vec<Forecast>) -> Vec<String> {
        let alerts = alerts(rules, usable, Vec::new(), forecasts);
        alerts.iter().map(Alert::subject).collect()
    }

    #[test]
    fn too_few_usable_keys_are_an_alert() {
        for (wanted, usable, expected) in [
            (Some(2), 2, false),
            (Some(2), 1, true),
            (Some(2), 0, true),
            (Some(1), 0, true),
            (Some(u32::MAX), 1, true),
            (None, 0, false),
        ] {
            let rules = AlertRules {
                min_usable_keys: wanted,
                ..RULES
            };
            let found = subjects(&rules, usable, Vec::new());
            assert_eq!(
                found == [KEYS_LOW],
                expected,
                "{wanted:?} {usable}: {found:?}"
            );
        }
    }

    #[test]
    fn a_budget_that_ends_soon_is_an_alert_for_its_day() {
        let subject = "budget_ends:key:7:m:requests:2027-01-16T08:00:00.000Z";
        for (hours, used, recent, expected) in [
            // Ten an hour.
            (Some(3), 70, 20, true),
            (Some(3), 69, 20, false),
            (Some(4), 69, 20, true),
            (Some(3), 100, 20, true),
            (Some(3), 100, 0, false),
            (None, 100, 20, false),
        ] {
            let rules = AlertRules {
                budget_hours: hours,
                ..RULES
            };
            let found = subjects(&rules, 2, vec![forecast(used, recent)]);
            assert_eq!(found == [subject], expected, "{hours:?} {used}: {found:?}");
        }
    }

    #[test]
    fn alerts_are_told_in_words() {
        let key = DisabledKey {
            id: KeyId(7),
            name: Some("Anna".to_owned()),
            reason: None,
            disabled_at: NOW,
        };
        let alerts = alerts(&RULES, 1, vec![key], vec![forecast(90, 20)]);
        let found: Vec<String> = alerts.iter().map(Alert::text).collect();
        let expected = [
            "Usable keys: 1, fewer than 2.",
            "Key 7 (Anna) is disabled: no reason.",
            "Budget of key:7 for m: 90 of 100 requests are used; at 10 per hour it ends at 2027-01-15T09:00:00.000Z.",
        ];
        assert_eq!(found, expected);
        assert_eq!(
            alerts[1].subject(),
            "key_disabled:7:2027-01-15T08:00:00.000Z"
        );
    }

    #[test]
    fn low_keys_are_noted_and_forgotten_after_a_while() {
        let low = || Alert::KeysLow {
            usable: 0,
            wanted: 1,
        };
        let raised = |minutes: i64| RaisedAlert {
            subject: KEYS_LOW.to_owned(),
            seen_at: NOW.plus(-minutes * MINUTE_MS),
            pending: None,
        };
        assert_eq!(
            alert_steps(vec![low()], &[], NOW),
            [AlertStep::Raise(low())]
        );
        for (minutes, still_low, enough) in [
            (4, None, None),
            (5, Some(AlertStep::Note), None),
            (14, Some(AlertStep::Note), None),
            (
                15,
                Some(AlertStep::Note),
                Some(AlertStep::Forget(raised(15).seen_at)),
            ),
            (
                -60,
                Some(AlertStep::Note),
                Some(AlertStep::Forget(raised(-60).seen_at)),
            ),
        ] {
            let raised = [raised(minutes)];
            let found = [vec![low()], vec![]].map(|alerts| alert_steps(alerts, &raised, NOW));
            let expected = [still_low, enough].map(|step| step.into_iter().collect::<Vec<_>>());
            assert_eq!(found, expected, "{minutes}");
        }
    }

    #[test]
    fn deliveries_are_tried_within_an_hour_with_growing_pauses() {
        let mut at = NOW;
        let mut minutes = Vec::new();
        for tries in 1..MAX_TRIES {
            at = next_try(tries, at);
            minutes.push(at.since(NOW) / MINUTE_MS);
        }
        assert_eq!(minutes, [1, 5, 20, 60]);
        let raised = |next_try_at| RaisedAlert {
            subject: KEYS_LOW.to_owned(),
            seen_at: NOW,
            pending: Some(Pending {
                tries: 2,
                next_try_at,
            }),
        };
        for (ms, expected) in [
            (0, true),
            (1, false),
            (40 * MINUTE_MS, false),
            (41 * MINUTE_MS, true),
        ] {
            let due = raised(NOW.plus(ms)).tries_if_due(NOW);
            assert_eq!(due, expected.then_some(2), "{ms}");
        }
        let done = RaisedAlert {
            pending: None,
            ..raised(NOW)
        };
        assert_eq!(done.tries_if_due(NOW), None);
    }
}
