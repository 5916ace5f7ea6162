//! Google's day: it begins at midnight in Los Angeles, summer time or not.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::America::Los_Angeles;

/// The Pacific date at a time in milliseconds since the Unix epoch. A time that no calendar reaches is the epoch's.
pub(crate) fn pacific_date(unix_ms: i64) -> NaiveDate {
    DateTime::<Utc>::from_timestamp_millis(unix_ms)
        .unwrap_or_default()
        .with_timezone(&Los_Angeles)
        .date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_turns_at_local_midnight_on_both_sides_of_a_change_of_summer_time() {
        for (last_moment, rule) in [
            ("2026-01-16T07:59:59.999Z", "winter: UTC-8"),
            (
                "2026-03-08T07:59:59.999Z",
                "the night before summer time begins",
            ),
            (
                "2026-03-09T06:59:59.999Z",
                "the day of 23 hours ends at UTC-7",
            ),
            ("2026-07-05T06:59:59.999Z", "summer: UTC-7"),
            (
                "2026-11-01T06:59:59.999Z",
                "the night before summer time ends",
            ),
            (
                "2026-11-02T07:59:59.999Z",
                "the day of 25 hours ends at UTC-8",
            ),
        ] {
            let last = last_moment
                .parse::<DateTime<Utc>>()
                .unwrap()
                .timestamp_millis();
            let before = pacific_date(last);
            assert_eq!(
                before.succ_opt(),
                Some(pacific_date(last + 1)),
                "{rule}: the day must turn"
            );
            let hour = 3_600_000;
            assert_eq!(
                pacific_date(last - 22 * hour),
                before,
                "{rule}: and not earlier"
            );
            assert_eq!(
                pacific_date(last + 22 * hour),
                pacific_date(last + 1),
                "{rule}: nor soon again"
            );
        }
    }

    #[test]
    fn times_beyond_the_calendar_are_no_panic() {
        for time in [i64::MIN, i64::MAX, -1, 0] {
            pacific_date(time);
        }
    }
}
