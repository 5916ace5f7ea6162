//! How much load the pool's retries may add to an outage.

use super::{MINUTE_MS, UnixMillis};

/// The share of calls that may be retries after failures that another key does not fix. It applies
/// to the whole pool and a minute, so that the pool does not multiply its traffic during an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// Retries per 100 calls.
    pub percent: u64,
    /// Retries per minute that are always allowed.
    pub floor: u64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            percent: 20,
            floor: 10,
        }
    }
}

impl RetryBudget {
    /// Whether the budget allows one more retry after this many other calls and retries.
    pub fn allows(&self, calls: u64, retries: u64) -> bool {
        self.left(calls, retries) > 0
    }

    /// How many retries are left after this many other calls and retries.
    pub fn left(&self, calls: u64, retries: u64) -> u64 {
        let share = calls.saturating_mul(self.percent) / 100;
        self.floor.saturating_add(share).saturating_sub(retries)
    }
}

/// The retries of one minute, counted in an instance's memory while the database is unavailable: at
/// most the floor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetryMinute {
    minute: i64,
    retries: u64,
}

impl RetryMinute {
    /// The count after one more retry at `now`; `None` if the budget's floor does not allow it.
    #[must_use]
    pub fn with_retry(self, budget: &RetryBudget, now: UnixMillis) -> Option<Self> {
        let minute = now.0.div_euclid(MINUTE_MS);
        let retries = if minute == self.minute {
            self.retries
        } else {
            0
        };
        budget.allows(0, retries).then_some(Self {
            minute,
            retries: retries + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_applies_without_the_database() {
        let budget = RetryBudget::default();
        let mut minute = RetryMinute::default();
        for (ms, allowed) in [(0, 10), (59_999, 0), (60_000, 10)] {
            let mut taken = 0;
            for _ in 0..20 {
                let now = UnixMillis(1_800_000_000_000 + ms);
                if let Some(next) = minute.with_retry(&budget, now) {
                    taken += 1;
                    minute = next;
                }
            }
            assert_eq!(taken, allowed, "at {ms} ms");
        }
    }

    #[test]
    fn allows_a_share_of_the_calls_and_a_floor() {
        let budget = RetryBudget::default();
        for (calls, retries, allowed) in [
            (0, 0, true),
            (0, 9, true),
            (0, 10, false),
            (100, 29, true),
            (100, 30, false),
            (u64::MAX, 1_000_000, true),
        ] {
            assert_eq!(
                budget.allows(calls, retries),
                allowed,
                "{retries} of {calls}"
            );
        }
        assert_eq!(budget.left(100, 12), 18);
        assert_eq!(budget.left(0, 11), 0);
    }
}
