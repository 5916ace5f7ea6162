//! Counts what each project has used, and says no in Google's words.

use super::Rules;
use super::day::pacific_date;
use super::minute::{MINUTE_MS, Minute, milliseconds};
use crate::errors::{self, ApiError, Layout, Violation};
use chrono::NaiveDate;
use std::collections::HashMap;

/// What quotas are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Use {
    Generate,
    Embed,
}

/// How Google calls each limit of a use.
struct Names {
    requests_per_minute: fn(&str, u64) -> Violation,
    requests_per_day: fn(&str, u64) -> Violation,
    input_tokens_per_minute: fn(&str, u64) -> Violation,
    input_tokens_per_day: fn(&str, u64) -> Violation,
}

impl Use {
    fn names(self) -> Names {
        match self {
            Self::Generate => Names {
                requests_per_minute: Violation::requests_per_minute,
                requests_per_day: Violation::requests_per_day,
                input_tokens_per_minute: Violation::input_tokens_per_minute,
                input_tokens_per_day: Violation::input_tokens_per_day,
            },
            Self::Embed => Names {
                requests_per_minute: Violation::embeddings_per_minute,
                requests_per_day: Violation::embeddings_per_day,
                input_tokens_per_minute: Violation::embedding_tokens_per_minute,
                input_tokens_per_day: Violation::embedding_tokens_per_day,
            },
        }
    }
}

/// What a call uses up, or several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) requests: u64,
    pub(crate) input_tokens: u64,
}

impl Cost {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            input_tokens: self.input_tokens.saturating_sub(other.input_tokens),
        }
    }
}

#[derive(Debug, Default)]
struct Used {
    minute: Minute,
    day: Option<NaiveDate>,
    of_day: Cost,
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
            return Err(match purpose {
                Use::Generate => errors::quota_zero(model, until_next_minute),
                Use::Embed => errors::embedding_quota_zero(model, until_next_minute),
            });
        }
        let used = self.used(project, model, purpose, now_ms);
        let names = purpose.names();
        let today = used.of_day.plus(cost);

        let mut violations = Vec::new();
        let mut retry = None;
        for (limit, part, name) in [
            (
                quota.input_tokens_per_minute,
                (|cost| cost.input_tokens) as fn(&Cost) -> u64,
                names.input_tokens_per_minute,
            ),
            (
                quota.requests_per_minute,
                |cost| cost.requests,
                names.requests_per_minute,
            ),
        ] {
            if let Some(limit) = limit
                && let Some(delay) = used.minute.delay(limit, part, &cost, now_ms)
            {
                violations.push(name(model, limit));
                retry = retry.max(Some(delay));
            }
        }
        for (limit, used, name) in [
            (
                quota.input_tokens_per_day,
                today.input_tokens,
                names.input_tokens_per_day,
            ),
            (
                quota.requests_per_day,
                today.requests,
                names.requests_per_day,
            ),
        ] {
            if let Some(limit) = limit
                && used > limit
            {
                violations.push(name(model, limit));
                // Short though the day is long: so does Google.
                retry = retry.or(Some(until_next_minute));
            }
        }
        if let Some(retry) = retry {
            return Err(errors::quota_exceeded(&violations, retry, Layout::Y2026));
        }
        if quota.limits_the_minute() {
            used.minute.add(cost, now_ms);
        }
        used.of_day = today;
        Ok(())
    }

    /// Counts a call that was refused with 400: in the minute, not in the day.
    pub(crate) fn count_refused(
        &mut self,
        rules: &Rules,
        (project, model, purpose): (&str, &str, Use),
        cost: Cost,
        now_ms: i64,
    ) {
        if rules.of(project, model).limits_the_minute() {
            let used = self.used(project, model, purpose, now_ms);
            used.minute.add(cost, now_ms);
        }
    }

    /// The counters, with everything that is over forgotten.
    fn used(&mut self, project: &str, model: &str, purpose: Use, now_ms: i64) -> &mut Used {
        let used = self
            .0
            .entry((project.to_owned(), model.to_owned(), purpose))
            .or_default();
        used.minute.forget(now_ms);
        // Another day, be it because the clock was set back, begins at nothing.
        let today = Some(pacific_date(now_ms));
        if used.day != today {
            (used.day, used.of_day) = (today, Cost::default());
        }
        used
    }
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
        let place = ("p", "m", Use::Generate);
        project
            .meter
            .count_refused(&project.rules, place, ONE, NOON);
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
            .input_tokens_per_minute(0)
            .input_tokens_per_day(0);
        let refused = Project::with(quota).call(0, ONE).unwrap_err();
        assert_eq!(refused.matches("* Quota exceeded").count(), 4, "{refused}");
        let none = Project::with(Quota::none()).call(0, ONE).unwrap_err();
        assert_eq!(none.matches("limit: 0, model: m").count(), 4, "{none}");
        assert!(!none.contains("quotaValue"), "{none}");
    }

    #[test]
    fn input_of_a_day_is_counted_in_tokens() {
        let mut project = Project::with(Quota::unlimited().input_tokens_per_day(25));
        assert_eq!(project.call(-2, ONE), Ok(()));
        assert_eq!(project.call(-1, ONE), Ok(()));
        let refused = project.call(-1, ONE).unwrap_err();
        assert!(
            refused.contains("GenerateContentInputTokensPerModelPerDay-FreeTier"),
            "{refused}"
        );
        assert_eq!(project.call(0, ONE), Ok(()));
    }

    #[test]
    fn a_minute_without_limits_is_not_kept() {
        let mut project = Project::with(Quota::unlimited().requests_per_day(10));
        for _ in 0..5 {
            assert_eq!(project.call(0, ONE), Ok(()));
        }
        let place = ("p", "m", Use::Generate);
        project
            .meter
            .count_refused(&project.rules, place, ONE, NOON);
        let per_minute = Quota::unlimited().requests_per_minute(1);
        project.rules.set(None, None, per_minute);
        assert_eq!(project.call(0, ONE), Ok(()));
        assert!(project.call(0, ONE).is_err());
    }

    #[test]
    fn each_use_has_its_own_names_for_its_limits() {
        let quota = Quota::unlimited()
            .requests_per_minute(0)
            .requests_per_day(0)
            .input_tokens_per_minute(0)
            .input_tokens_per_day(0);
        for (purpose, ids) in [
            (
                Use::Generate,
                [
                    "GenerateContentInputTokensPerModelPerMinute-FreeTier",
                    "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
                    "GenerateContentInputTokensPerModelPerDay-FreeTier",
                    "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
                ],
            ),
            (
                Use::Embed,
                [
                    "EmbedContentInputTokensPerModelPerMinute-FreeTier",
                    "EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier",
                    "EmbedContentInputTokensPerModelPerDay-FreeTier",
                    "EmbedContentRequestsPerDayPerUserPerProjectPerModel-FreeTier",
                ],
            ),
        ] {
            for quota in [quota, Quota::none()] {
                let mut project = Project::with(quota);
                let place = ("p", "m", purpose);
                let refused = project.meter.admit(&project.rules, place, ONE, NOON);
                let refused = refused.unwrap_err().compact();
                for id in ids {
                    assert!(refused.contains(id), "{purpose:?} {id}: {refused}");
                }
                let metric = match purpose {
                    Use::Generate => "googleapis.com/generate_content_free_tier_",
                    Use::Embed => "googleapis.com/embed_content_free_tier_",
                };
                assert_eq!(refused.matches(metric).count(), 8, "{refused}");
            }
        }
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
