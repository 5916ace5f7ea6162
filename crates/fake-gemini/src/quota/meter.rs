//! Counts what each project has used, and says no in Google's words.

use super::Rules;
use super::day::pacific_date;
use crate::errors::{self, ApiError, Layout, Violation};
use chrono::NaiveDate;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

const MINUTE_MS: i64 = 60_000;

/// What quotas are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Use {
    Generate,
    Embed,
}

/// What a call uses up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) requests: u64,
    pub(crate) input_tokens: u64,
}

#[derive(Debug, Default)]
struct Used {
    /// Of the last minute, oldest first.
    recent: VecDeque<(i64, Cost)>,
    day: Option<NaiveDate>,
    requests_of_day: u64,
}

/// The counters of all projects and models.
#[derive(Debug, Default)]
pub(crate) struct Meter(HashMap<(String, String, Use), Used>);

impl Meter {
    /// Counts a call that is to be answered, or refuses it with 429 and counts nothing. `model` is bare.
    pub(crate) fn admit(
        &mut self,
        rules: &Rules,
        (project, model, purpose): (&str, &str, Use),
        cost: Cost,
        now_ms: i64,
    ) -> Result<(), ApiError> {
        let quota = rules.of(project, model);
        let until_next_minute = milliseconds(MINUTE_MS - now_ms.rem_euclid(MINUTE_MS));
        if quota.none {
            return Err(errors::quota_zero(model, until_next_minute));
        }
        let used = self.used(project, model, purpose, now_ms);

        let mut violations = Vec::new();
        let mut retry = None;
        if let Some(limit) = quota.input_tokens_per_minute
            && let Some(delay) = used.delay(limit, |cost| cost.input_tokens, &cost, now_ms)
        {
            violations.push(Violation::input_tokens_per_minute(model, limit));
            retry = retry.max(Some(delay));
        }
        if let Some(limit) = quota.requests_per_minute
            && let Some(delay) = used.delay(limit, |cost| cost.requests, &cost, now_ms)
        {
            violations.push(match purpose {
                Use::Generate => Violation::requests_per_minute(model, limit),
                Use::Embed => Violation::embeddings_per_minute(model, limit),
            });
            retry = retry.max(Some(delay));
        }
        if let Some(limit) = quota.requests_per_day
            && used.requests_of_day.saturating_add(cost.requests) > limit
        {
            violations.push(match purpose {
                Use::Generate => Violation::requests_per_day(model, limit),
                Use::Embed => Violation::embeddings_per_day(model, limit),
            });
            // Short though the day is long: so does Google.
            retry = retry.or(Some(until_next_minute));
        }
        if let Some(retry) = retry {
            return Err(errors::quota_exceeded(&violations, retry, Layout::Y2026));
        }
        used.recent.push_back((now_ms, cost));
        used.requests_of_day = used.requests_of_day.saturating_add(cost.requests);
        Ok(())
    }

    /// Counts a call that was refused with 400: in the minute, not in the day.
    pub(crate) fn count_refused(
        &mut self,
        (project, model, purpose): (&str, &str, Use),
        cost: Cost,
        now_ms: i64,
    ) {
        self.used(project, model, purpose, now_ms)
            .recent
            .push_back((now_ms, cost));
    }

    /// The counters, with everything that is over forgotten.
    fn used(&mut self, project: &str, model: &str, purpose: Use, now_ms: i64) -> &mut Used {
        let used = self
            .0
            .entry((project.to_owned(), model.to_owned(), purpose))
            .or_default();
        used.recent
            .retain(|(at, _)| at.saturating_add(MINUTE_MS) > now_ms);
        let today = Some(pacific_date(now_ms));
        if used.day != today {
            (used.day, used.requests_of_day) = (today, 0);
        }
        used
    }
}

impl Used {
    /// How long `cost` has to wait until it fits into `limit`; `None` when it fits now. A cost that never fits waits
    /// for a minute.
    fn delay(
        &self,
        limit: u64,
        part: fn(&Cost) -> u64,
        cost: &Cost,
        now_ms: i64,
    ) -> Option<Duration> {
        let mut sum = self
            .recent
            .iter()
            .fold(part(cost), |sum, (_, cost)| sum.saturating_add(part(cost)));
        if sum <= limit {
            return None;
        }
        for (at, cost) in &self.recent {
            sum = sum.saturating_sub(part(cost));
            if sum <= limit {
                let left = at.saturating_add(MINUTE_MS).saturating_sub(now_ms);
                return Some(milliseconds(left));
            }
        }
        Some(milliseconds(MINUTE_MS))
    }
}

fn milliseconds(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::Quota;

    const NOON: i64 = 1_800_000_000_000;
    const ONE: Cost = Cost {
        requests: 1,
        input_tokens: 10,
    };

    struct Project {
        rules: Rules,
        meter: Meter,
    }

    impl Project {
        fn with(quota: Quota) -> Self {
            let mut rules = Rules::default();
            rules.set(None, None, quota);
            Self {
                rules,
                meter: Meter::default(),
            }
        }

        fn call(&mut self, after_ms: i64, cost: Cost) -> Result<(), String> {
            self.meter
                .admit(
                    &self.rules,
                    ("p", "m", Use::Generate),
                    cost,
                    NOON + after_ms,
                )
                .map_err(|error| error.compact())
        }
    }

    #[test]
    fn the_minute_slides_and_the_delay_ends_when_a_place_is_free() {
        let mut project = Project::with(Quota::unlimited().requests_per_minute(2));
        assert_eq!(project.call(0, ONE), Ok(()));
        assert_eq!(project.call(20_000, ONE), Ok(()));
        let refused = project.call(47_382, ONE).unwrap_err();
        assert!(refused.contains("Please retry in 12.618s."), "{refused}");
        assert!(refused.contains(r#""retryDelay":"12s""#), "{refused}");
        assert!(
            project.call(59_999, ONE).unwrap_err().contains("in 1ms."),
            "a refused call takes no place"
        );
        assert_eq!(project.call(60_000, ONE), Ok(()));
        assert!(project.call(79_999, ONE).is_err());
        assert_eq!(project.call(80_000, ONE), Ok(()));
    }

    #[test]
    fn tokens_wait_until_enough_of_them_are_out_of_the_minute() {
        let mut project = Project::with(Quota::unlimited().input_tokens_per_minute(25));
        let tokens = |input_tokens| Cost {
            requests: 1,
            input_tokens,
        };
        assert_eq!(project.call(0, tokens(10)), Ok(()));
        assert_eq!(project.call(1_000, tokens(10)), Ok(()));
        let refused = project.call(2_000, tokens(16)).unwrap_err();
        assert!(refused.contains("in 59s."), "{refused}");
        assert!(
            refused.contains("GenerateContentInputTokensPerModelPerMinute-FreeTier"),
            "{refused}"
        );
        let never = project.call(2_000, tokens(26)).unwrap_err();
        assert!(never.contains("in 60s."), "{never}");
        assert_eq!(project.call(2_000, tokens(5)), Ok(()));
    }

    #[test]
    fn the_day_has_a_short_retry_and_ends_at_pacific_midnight() {
        // 2027-01-15T08:00:00Z is midnight in Los Angeles.
        let mut project = Project::with(Quota::unlimited().requests_per_day(1));
        assert_eq!(project.call(-1, ONE), Ok(()));
        let refused = project.call(-1, ONE).unwrap_err();
        assert!(
            refused.contains("GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
            "{refused}"
        );
        assert!(refused.contains("Please retry in 1ms."), "{refused}");
        assert!(refused.contains(r#""retryDelay":"0s""#), "{refused}");
        assert_eq!(project.call(0, ONE), Ok(()));
        assert!(project.call(86_399_999, ONE).is_err());
        assert_eq!(project.call(86_400_000, ONE), Ok(()));
    }

    #[test]
    fn refused_requests_count_in_the_minute_and_not_in_the_day() {
        let quota = Quota::unlimited()
            .requests_per_minute(1)
            .requests_per_day(1);
        let mut project = Project::with(quota);
        project
            .meter
            .count_refused(("p", "m", Use::Generate), ONE, NOON);
        let refused = project.call(0, ONE).unwrap_err();
        assert!(
            refused.contains("PerMinute") && !refused.contains("PerDay"),
            "{refused}"
        );
        assert_eq!(project.call(60_000, ONE), Ok(()));
    }

    #[test]
    fn all_exceeded_quotas_are_named() {
        let quota = Quota::unlimited()
            .requests_per_minute(0)
            .requests_per_day(0)
            .input_tokens_per_minute(0);
        let refused = Project::with(quota).call(0, ONE).unwrap_err();
        assert_eq!(refused.matches("* Quota exceeded").count(), 3, "{refused}");
        let none = Project::with(Quota::none()).call(0, ONE).unwrap_err();
        assert_eq!(none.matches("limit: 0, model: m").count(), 4, "{none}");
        assert!(!none.contains("quotaValue"), "{none}");
    }

    #[test]
    fn models_projects_and_uses_are_counted_apart() {
        let mut project = Project::with(Quota::unlimited().requests_per_minute(1));
        let mut call = |place| project.meter.admit(&project.rules, place, ONE, NOON);
        assert!(call(("p", "m", Use::Generate)).is_ok());
        assert!(call(("p", "m", Use::Generate)).is_err());
        assert!(call(("p", "m", Use::Embed)).is_ok());
        assert!(call(("p", "n", Use::Generate)).is_ok());
        assert!(call(("q", "m", Use::Generate)).is_ok());
        let refused = call(("p", "m", Use::Embed)).unwrap_err().compact();
        assert!(
            refused.contains("embed_content_free_tier_requests"),
            "{refused}"
        );
    }

    #[test]
    fn a_clock_at_its_ends_is_no_panic() {
        let mut project = Project::with(Quota::unlimited().requests_per_minute(1));
        for now in [i64::MAX, i64::MIN, 0] {
            for _ in 0..2 {
                let place = ("p", "m", Use::Generate);
                let _ = project.meter.admit(&project.rules, place, ONE, now);
            }
        }
    }
}
