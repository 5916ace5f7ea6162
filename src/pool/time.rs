//! Wall-clock time: milliseconds since the Unix epoch in memory, ISO 8601 text in the database.

use chrono::{DateTime, SecondsFormat, Utc};

/// Milliseconds in a minute.
pub const MINUTE_MS: i64 = 60_000;
/// Milliseconds in an hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How far the clocks of instances may differ, in milliseconds: 5 s. A later time was written by a
/// fast clock, and is ignored.
pub const CLOCK_TOLERANCE_MS: i64 = 5_000;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// The text in the database: `2026-01-31T09:05:07.042Z`. Its width is fixed, so texts sort as
    /// times.
    ///
    /// A time outside chrono's range (some 262,000 years) becomes the epoch.
    pub fn to_iso(self) -> String {
        DateTime::<Utc>::from_timestamp_millis(self.0)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// Parses the output of [`to_iso`](Self::to_iso), any RFC 3339 time, SQLite's own `2026-01-31
    /// 09:05:07[.042]` (UTC), which earlier deployments used as a column default, and a date, as
    /// its midnight in UTC. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let as_rfc3339 = [
            text.to_owned(),
            format!("{text}Z"),
            format!("{text}T00:00:00Z"),
        ];
        let time = as_rfc3339
            .iter()
            .find_map(|text| DateTime::parse_from_rfc3339(text).ok())?;
        Some(Self(time.timestamp_millis()))
    }

    /// This time plus `ms` milliseconds, saturating at the bounds.
    pub fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Whether this time is later than `now` by more than [`CLOCK_TOLERANCE_MS`].
    pub fn is_ahead_of(self, now: Self) -> bool {
        self > now.plus(CLOCK_TOLERANCE_MS)
    }

    /// Milliseconds since `earlier`; 0 if the clock ran backwards.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_has_milliseconds_and_is_in_utc() {
        assert_eq!(UnixMillis(0).to_iso(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            UnixMillis(1_769_850_307_042).to_iso(),
            "2026-01-31T09:05:07.042Z"
        );
    }

    #[test]
    fn parses_times_of_earlier_deployments() {
        let expected = Some(UnixMillis(1_769_850_307_000));
        for text in [
            "2026-01-31T09:05:07.000Z",
            "2026-01-31T09:05:07Z",
            "2026-01-31T10:05:07+01:00",
            "2026-01-31 09:05:07",
            "2026-01-31 09:05:07.000",
            " 2026-01-31T09:05:07 ",
        ] {
            assert_eq!(UnixMillis::parse(text), expected, "{text:?}");
        }
        let day = UnixMillis(1_769_817_600_000);
        assert_eq!(UnixMillis::parse("2026-01-31"), Some(day));
        for text in ["", "now", "2026-01", "2026-13-01", "1769850307"] {
            assert_eq!(UnixMillis::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn durations_are_never_negative_and_times_saturate() {
        assert_eq!(UnixMillis(5).since(UnixMillis(9)), 0);
        assert_eq!(UnixMillis(i64::MAX).plus(1), UnixMillis(i64::MAX));
        assert_eq!(UnixMillis(i64::MIN).to_iso(), "1970-01-01T00:00:00.000Z");
    }

    proptest! {
        #[test]
        fn text_round_trips_and_sorts_as_time(a in 0i64..253_402_300_800_000, b in 0i64..253_402_300_800_000) {
            let (a, b) = (UnixMillis(a), UnixMillis(b));
            prop_assert_eq!(UnixMillis::parse(&a.to_iso()), Some(a));
            prop_assert_eq!(a.cmp(&b), a.to_iso().cmp(&b.to_iso()));
        }
    }
}
