//! How much the pool may add to an outage.

/// The share of all calls that may be retries after trouble that another key does not cure. Over the whole pool and a
/// minute, so that an outage is not answered with five times the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// Retries per 100 calls.
    pub percent: u64,
    /// Retries a minute that are always allowed.
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
    /// Whether one more retry is within the budget, after so many calls that were no such retries, and so many that were.
    pub fn allows(&self, calls: u64, retries: u64) -> bool {
        retries
            < self
                .floor
                .saturating_add(calls.saturating_mul(self.percent) / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_calls_and_a_floor() {
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
    }
}
