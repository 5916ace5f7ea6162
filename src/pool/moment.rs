//! Google's days: daily quotas reset at midnight in Los Angeles.
//!
//! Source: <https://ai.google.dev/gemini-api/docs/rate-limits>.

use super::UnixMillis;
use chrono::{DateTime, Days, LocalResult, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::America::Los_Angeles;
use std::cell::OnceCell;

/// A time and its day in Los Angeles, which is computed once on demand.
#[derive(Debug, Clone)]
pub struct Moment {
    at: UnixMillis,
    day: OnceCell<(UnixMillis, UnixMillis)>,
}

impl Moment {
    /// Wraps the time `at`.
    pub fn new(at: UnixMillis) -> Self {
        Self {
            at,
            day: OnceCell::new(),
        }
    }

    /// The time itself.
    pub fn at(&self) -> UnixMillis {
        self.at
    }

    /// When its day began.
    pub fn day_start(&self) -> UnixMillis {
        self.day().0
    }

    /// When the next day begins.
    pub fn next_day(&self) -> UnixMillis {
        self.day().1
    }

    fn day(&self) -> (UnixMillis, UnixMillis) {
        *self
            .day
            .get_or_init(|| (day_start(self.at), next_day(self.at)))
    }
}

/// The last midnight in Los Angeles at or before `now`, when the daily quotas reset.
pub(super) fn day_start(now: UnixMillis) -> UnixMillis {
    midnight(date_at(now))
}

/// The first midnight in Los Angeles after `now`, when the daily quotas reset: 23 to 25 hours after
/// the previous one, because of daylight saving time.
pub(super) fn next_day(now: UnixMillis) -> UnixMillis {
    let tomorrow = date_at(now).checked_add_days(Days::new(1));
    midnight(tomorrow.unwrap_or(NaiveDate::MAX))
}

fn date_at(now: UnixMillis) -> NaiveDate {
    DateTime::<Utc>::from_timestamp_millis(now.0)
        .unwrap_or_default()
        .with_timezone(&Los_Angeles)
        .date_naive()
}

fn midnight(date: NaiveDate) -> UnixMillis {
    let midnight = date.and_time(NaiveTime::MIN);
    // Clocks there change at 2 a.m., so each day has exactly one midnight.
    let local = match Los_Angeles.from_local_datetime(&midnight) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time.timestamp_millis(),
        LocalResult::None => midnight.and_utc().timestamp_millis(),
    };
    UnixMillis(local)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> UnixMillis {
        UnixMillis::parse(text).unwrap()
    }

    #[test]
    fn a_day_ends_at_midnight_in_los_angeles_all_year() {
        for (now, start, next) in [
            ("2026-11-25 05:00:00", "2026-11-24 08", "2026-11-25 08"),
            ("2026-11-25 08:00:00", "2026-11-25 08", "2026-11-26 08"),
            ("2026-07-01 06:59:59.999", "2026-06-30 07", "2026-07-01 07"),
            // Clocks go forward on 8 March 2026 and back on 1 November.
            ("2026-03-08 12:00:00", "2026-03-08 08", "2026-03-09 07"),
            ("2026-11-01 12:00:00", "2026-11-01 07", "2026-11-02 08"),
        ] {
            let [start, next] = [start, next].map(|hour| format!("{hour}:00:00"));
            assert_eq!(day_start(at(now)), at(&start), "{now}");
            assert_eq!(next_day(at(now)), at(&next), "{now}");
        }
    }

    #[test]
    fn times_out_of_range_do_not_panic() {
        for now in [i64::MIN, -1, 0, i64::MAX] {
            let _ = (day_start(UnixMillis(now)), next_day(UnixMillis(now)));
        }
    }

    proptest! {
        #[test]
        fn a_day_has_23_to_25_hours_and_contains_now(now in 0i64..4_000_000_000_000) {
            let now = UnixMillis(now);
            let (start, next) = (day_start(now), next_day(now));
            prop_assert!(start <= now && now < next);
            prop_assert!((23..=25).contains(&(next.since(start) / 3_600_000)));
            prop_assert_eq!(day_start(next), next);
        }
    }
}
