//! How long the budgets of a day will last at the pace of the last hours.
//!
//! The pace is that of the calls in the log, whose hourly sums are there even for a limit that has
//! only just been set. A call counts towards the budgets of its key and its project, however it
//! ended: Google counts refused calls, too.

use super::{Balance, HOUR_MS, QuotaScope, Scope, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};

/// How many hours the pace is measured over, including the one under way.
const PACE_HOURS: i64 = 3;

/// When the hours began over which the pace is measured: two full hours, and the one under way.
pub fn pace_start(now: UnixMillis) -> UnixMillis {
    let hour = now.0 - now.0.rem_euclid(HOUR_MS);
    UnixMillis(hour).plus((1 - PACE_HOURS) * HOUR_MS)
}

/// The forecast for a limit of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// What the limit applies to.
    pub quota_scope: QuotaScope,
    /// The project of a key whose own limit this is.
    pub project_of_key: Option<String>,
    /// The limit, and what is used of it.
    pub balance: Balance,
    /// What was used since [`pace_start`].
    pub recent: u64,
    /// The time of the forecast.
    pub at: UnixMillis,
}

impl Forecast {
    /// Units per hour, to two decimals.
    pub fn pace_per_hour(&self) -> f64 {
        let hours = self.recent_ms() / HOUR_MS as f64;
        (self.recent as f64 / hours * 100.0).round() / 100.0
    }

    /// When the budget is used up at its pace: now, if nothing is left. `None` if it lasts until it
    /// resets, nothing uses it, or the limit is 0.
    pub fn ends_at(&self) -> Option<UnixMillis> {
        let Balance {
            limit,
            used,
            resets_at,
        } = self.balance;
        let resets_at = resets_at?;
        let left = limit.value.saturating_sub(used);
        if left == 0 {
            return Some(self.at);
        }
        // Without use it is infinite, which saturates.
        let ms = left as f64 / self.recent as f64 * self.recent_ms();
        let ends_at = self.at.plus(ms as i64);
        (ends_at < resets_at).then_some(ends_at)
    }

    /// The time over which the pace is measured, in milliseconds: 2 h or more.
    fn recent_ms(&self) -> f64 {
        self.at.since(pace_start(self.at)) as f64
    }
}

/// The forecast for all limits of a day that are for one model and unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelForecast {
    /// How many keys and projects have such a limit.
    pub scopes: usize,
    /// How many of them have nothing left.
    pub used_up: usize,
    /// Their sums. The scope is that of one of them.
    pub sum: Forecast,
}

/// Sums forecasts by model and unit. A key's own limit does not count where its project has one.
pub fn forecasts_by_model(forecasts: Vec<Forecast>) -> Vec<ModelForecast> {
    let kind = |forecast: &Forecast| {
        let model = forecast.quota_scope.model.clone();
        (model, forecast.balance.limit.unit.name())
    };
    let of_projects: BTreeSet<(Scope, _)> = forecasts
        .iter()
        .map(|forecast| (forecast.quota_scope.scope.clone(), kind(forecast)))
        .collect();
    let mut models: BTreeMap<_, ModelForecast> = BTreeMap::new();
    for forecast in forecasts {
        let kind = kind(&forecast);
        let project = forecast.project_of_key.clone().map(Scope::Project);
        if project.is_some_and(|project| of_projects.contains(&(project, kind.clone()))) {
            continue;
        }
        match models.get_mut(&kind) {
            Some(model) => model.add(&forecast),
            None => {
                models.insert(kind, ModelForecast::of(forecast));
            }
        }
    }
    models.into_values().collect()
}

impl ModelForecast {
    fn of(mut forecast: Forecast) -> Self {
        let balance = &mut forecast.balance;
        let is_used_up = balance.used >= balance.limit.value;
        balance.used = balance.used.min(balance.limit.value);
        Self {
            scopes: 1,
            used_up: usize::from(is_used_up),
            sum: forecast,
        }
    }

    fn add(&mut self, forecast: &Forecast) {
        let other = Self::of(forecast.clone());
        self.scopes += 1;
        self.used_up += other.used_up;
        let (sum, other) = (&mut self.sum, other.sum);
        let value = &mut sum.balance.limit.value;
        *value = value.saturating_add(other.balance.limit.value);
        sum.balance.used = sum.balance.used.saturating_add(other.balance.used);
        // A limit of 0 never resets.
        sum.balance.resets_at = sum.balance.resets_at.or(other.balance.resets_at);
        sum.recent = sum.recent.saturating_add(other.recent);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KeyId, Limit, Unit, Window};
    use super::*;
    use crate::pool::MINUTE_MS;
    use proptest::prelude::*;

    /// Half past an hour.
    const NOW: UnixMillis = UnixMillis(1_800_001_800_000);

    fn forecast(used: u64, value: u64, recent: u64) -> Forecast {
        Forecast {
            quota_scope: QuotaScope {
                scope: Scope::Key(KeyId(7)),
                model: None,
            },
            project_of_key: None,
            balance: Balance {
                limit: Limit {
                    unit: Unit::Requests,
                    window: Window::Day,
                    value,
                },
                used,
                resets_at: (value > 0).then(|| NOW.plus(13 * HOUR_MS)),
            },
            recent,
            at: NOW,
        }
    }

    #[test]
    fn a_budget_ends_when_its_pace_has_used_what_is_left() {
        let most = u64::MAX;
        for (used, value, recent, expected) in [
            // Ten an hour, and 50 left.
            (50, 100, 25, Some(300)),
            (99, 100, 25, Some(6)),
            (100, 100, 25, Some(0)),
            (101, 100, 0, Some(0)),
            (most, 100, most, Some(0)),
            // It resets after 780 minutes.
            (0, 100, 20, Some(750)),
            (0, 100, 19, None),
            (0, 100, 0, None),
            (0, 0, 25, None),
            (5, 0, 25, None),
            (0, most, 1, None),
            (0, most, most, Some(150)),
            (most - 1, most, most, Some(0)),
        ] {
            let ends_at = forecast(used, value, recent).ends_at();
            let minutes = ends_at.map(|at| at.since(NOW) / MINUTE_MS);
            assert_eq!(minutes, expected, "{used} of {value}, {recent}");
        }
    }

    #[test]
    fn the_pace_is_that_of_two_hours_and_the_one_under_way() {
        assert_eq!(NOW.since(pace_start(NOW)), 150 * MINUTE_MS);
        let full = NOW.plus(-30 * MINUTE_MS);
        assert_eq!(full.since(pace_start(full)), 2 * HOUR_MS);
        let paces = [0, 1, 25].map(|recent| forecast(0, 1, recent).pace_per_hour());
        assert_eq!(paces, [0.0, 0.4, 10.0]);
    }

    fn scoped(scope: Scope, model: &str, used: u64, value: u64, recent: u64) -> Forecast {
        let mut forecast = forecast(used, value, recent);
        forecast.quota_scope = QuotaScope {
            scope,
            model: Some(model.to_owned()),
        };
        forecast
    }

    #[test]
    fn forecasts_of_a_model_are_summed() {
        let project = |name: &str| Scope::Project(name.to_owned());
        let mut of_project = scoped(Scope::Key(KeyId(3)), "m", 0, 1000, 0);
        of_project.project_of_key = Some("p".to_owned());
        let mut own = scoped(Scope::Key(KeyId(4)), "n", 1, 50, 0);
        own.project_of_key = Some("p".to_owned());
        let sums = forecasts_by_model(vec![
            scoped(Scope::Key(KeyId(1)), "m", 30, 100, 50),
            scoped(project("p"), "m", 300, 200, 75),
            of_project,
            scoped(project("q"), "m", 0, 0, 0),
            own,
            scoped(project("q"), "n", 0, u64::MAX, u64::MAX),
        ]);
        let found: Vec<String> = sums
            .iter()
            .map(
                |ModelForecast {
                     scopes,
                     used_up,
                     sum,
                 }| {
                    let Balance {
                        limit,
                        used,
                        resets_at,
                    } = sum.balance;
                    let model = sum.quota_scope.model.as_deref().unwrap_or_default();
                    let ends = sum.ends_at().map(|at| at.since(NOW) / MINUTE_MS);
                    let value = limit.value;
                    format!(
                        "{model} {scopes} {used_up} {used}/{value} {ends:?} {}",
                        resets_at.is_some()
                    )
                },
            )
            .collect();
        let most = u64::MAX;
        let expected = [
            // 70 are left of 300, and 50 are used an hour.
            "m 3 2 230/300 Some(84) true".to_owned(),
            format!("n 2 0 1/{most} Some(150) true"),
        ];
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn a_budget_that_ends_does_so_before_it_resets(used: u64, value: u64, recent: u64) {
            let forecast = forecast(used, value, recent);
            prop_assert!(forecast.pace_per_hour() >= 0.0);
            if let Some(ends_at) = forecast.ends_at() {
                prop_assert!(NOW <= ends_at && Some(ends_at) < forecast.balance.resets_at);
            }
        }
    }
}
