//! What a project may use of a model per day, and what it has used.
//!
//! Limits hold for a project and a model, not for a key, and days end at midnight Pacific time
//! (<https://ai.google.dev/gemini-api/docs/rate-limits>). A refused call counts nowhere.

use crate::errors::{self, ApiError};
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::America::Los_Angeles;
use std::collections::HashMap;
use std::time::Duration;

const MINUTE_MS: i64 = 60_000;

/// The limit of a project for a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    requests_per_day: Option<u64>,
}

impl Quota {
    /// No limit.
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// At most `limit` requests per Pacific day.
    pub fn requests_per_day(self, limit: u64) -> Self {
        Self {
            requests_per_day: Some(limit),
        }
    }
}

/// A project and a model without `models/`.
type Scope = (String, String);

/// The quotas and what has been used of them.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    /// Where no other quota is set.
    pub(crate) default: Quota,
    limits: HashMap<Scope, Quota>,
    used: HashMap<Scope, (NaiveDate, u64)>,
}

impl Quotas {
    pub(crate) fn set(&mut self, project: &str, model: &str, quota: Quota) {
        let scope = (project.to_owned(), model.to_owned());
        self.limits.insert(scope, quota);
    }

    /// Counts a call, or refuses it with 429 and does not count it.
    pub(crate) fn admit(
        &mut self,
        project: &str,
        model: &str,
        now_ms: i64,
    ) -> Result<(), ApiError> {
        let scope = (project.to_owned(), model.to_owned());
        let quota = self.limits.get(&scope).unwrap_or(&self.default);
        let Some(limit) = quota.requests_per_day else {
            return Ok(());
        };
        let today = pacific_date(now_ms);
        let (day, count) = self.used.entry(scope).or_insert((today, 0));
        if *day != today {
            (*day, *count) = (today, 0);
        }
        if *count >= limit {
            // Google's hint is short although the day is long.
            let rest_of_minute = MINUTE_MS - now_ms.rem_euclid(MINUTE_MS);
            let retry = Duration::from_millis(rest_of_minute.unsigned_abs());
            return Err(errors::quota_per_day(model, limit, retry));
        }
        *count += 1;
        Ok(())
    }
}

fn pacific_date(unix_ms: i64) -> NaiveDate {
    DateTime::<Utc>::from_timestamp_millis(unix_ms)
        .unwrap_or_default()
        .with_timezone(&Los_Angeles)
        .date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-01-15T08:00:00Z, midnight in Los Angeles.
    const MIDNIGHT: i64 = 1_800_000_000_000;
    const DAY_MS: i64 = 86_400_000;

    #[test]
    fn day_ends_at_pacific_midnight() {
        let mut quotas = Quotas::default();
        quotas.set("p", "m", Quota::unlimited().requests_per_day(1));
        let mut admit = |project, ms| quotas.admit(project, "m", MIDNIGHT + ms);
        assert_eq!(admit("p", -1), Ok(()));
        let refused = admit("p", -1).unwrap_err();
        let expected = errors::quota_per_day("m", 1, Duration::from_millis(1));
        assert_eq!(refused, expected);
        assert_eq!(admit("q", -1), Ok(()), "another project has no limit");
        assert_eq!(admit("p", 0), Ok(()));
        assert!(admit("p", DAY_MS - 1).is_err());
        assert_eq!(admit("p", DAY_MS), Ok(()));
    }
}
