//! Which key serves the next call: a weighted draw.
//!
//! The draw is random rather than round robin, because many instances draw concurrently without
//! coordination, and a random draw needs no shared position. It prefers keys with a high priority,
//! few failures, a long rest, and much of their budgets left.
//!
//! | part of the weight | value |
//! |---|---|
//! | priority | as set, 100 unless changed |
//! | failures | − 10 for each consecutive failure |
//! | rest | + hours since the last call, at most 24 |
//! | never used | + 50 instead of the rest |
//! | sum of the above | at least 0 |
//! | headroom | × what is left of the scarcest known budget, from 0 to 1 |
//! | all eligible keys at 0 | all are equally likely |
//!
//! The weights are summed once per snapshot and model; a draw is then a binary search in the sums,
//! so that it costs about the same for 10 and for 10,000 keys. Rejection sampling corrects for
//! later changes: a drawn key is accepted with the probability of its current weight over its
//! weight in the table.

use super::{PoolKey, UnixMillis};
use rand::{Rng, RngExt};

const FAILURE_PENALTY: f64 = 10.0;
const NEVER_USED_BONUS: f64 = 50.0;
const MAX_REST_HOURS: f64 = 24.0;
const MS_PER_HOUR: f64 = 3_600_000.0;

/// Draws before the table counts as out of date.
const MAX_REDRAWS: usize = 16;

/// A key's weight without its budgets; see the module's table. Never negative or NaN.
pub fn weight(key: &PoolKey, now: UnixMillis) -> f64 {
    let rest = match key.last_used_at {
        Some(last) => (now.since(last) as f64 / MS_PER_HOUR).min(MAX_REST_HOURS),
        None => NEVER_USED_BONUS,
    };
    let failures = FAILURE_PENALTY * key.state.consecutive_failures.max(0) as f64;
    (key.priority as f64 - failures + rest).max(0.0)
}

/// The cumulative weights of the keys that were eligible when the table was built.
#[derive(Debug)]
pub(super) struct Table {
    /// Position of a key, its weight, and the sum of all weights up to and including it.
    entries: Vec<(usize, f64, f64)>,
    /// When the next key becomes eligible by itself.
    holds_until: Option<UnixMillis>,
}

impl Table {
    /// Builds a table from keys by position and weight. It is valid until the first ineligible key
    /// becomes eligible.
    pub(super) fn new(weights: Vec<(usize, f64)>, holds_until: Option<UnixMillis>) -> Self {
        let mut sum = 0.0;
        let entries = weights
            .into_iter()
            .map(|(position, weight)| {
                sum += weight;
                (position, weight, sum)
            })
            .collect();
        Self {
            entries,
            holds_until,
        }
    }

    /// Whether no key has become eligible since the table was built.
    pub(super) fn holds(&self, now: UnixMillis) -> bool {
        self.holds_until.is_none_or(|until| now < until)
    }

    /// Draws by rejection sampling; `None` if it finds no key within [`MAX_REDRAWS`]. `weight_now`
    /// returns the weight of a key that may be drawn now.
    pub(super) fn draw(
        &self,
        weight_now: impl Fn(usize) -> Option<f64>,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        let total = self.entries.last().map(|(_, _, sum)| *sum)?;
        if total <= 0.0 {
            return None;
        }
        for _ in 0..MAX_REDRAWS {
            let point = rng.random_range(0.0..total);
            let at = self.entries.partition_point(|(_, _, sum)| *sum <= point);
            let (position, weight_then, _) = *self.entries.get(at)?;
            if let Some(weight_now) = weight_now(position)
                && rng.random_range(0.0..weight_then) < weight_now
            {
                return Some(position);
            }
        }
        None
    }

    /// Draws by the current weights of all keys.
    pub(super) fn draw_exactly(
        &self,
        weight_now: impl Fn(usize) -> Option<f64>,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        let weights: Vec<(usize, f64)> = self
            .entries
            .iter()
            .filter_map(|(position, _, _)| Some((*position, weight_now(*position)?)))
            .collect();
        if weights.is_empty() {
            return None;
        }
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        if total <= 0.0 {
            let index = rng.random_range(0..weights.len());
            return weights.get(index).map(|(position, _)| *position);
        }
        let mut left = rng.random_range(0.0..total);
        for (position, weight) in &weights {
            if left < *weight {
                return Some(*position);
            }
            left -= weight;
        }
        // Rounding can leave a remainder after the last key: it goes to the last key with a weight.
        weights
            .iter()
            .rev()
            .find(|(_, weight)| *weight > 0.0)
            .map(|(position, _)| *position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::testing::{USED as NOW, key_with};

    const HOUR: i64 = 3_600_000;

    /// The weight of a key that was last used at this time.
    fn used(ms: i64) -> f64 {
        weight(&key_with(|key| key.last_used_at = Some(NOW.plus(ms))), NOW)
    }

    fn failed(times: i64) -> f64 {
        weight(&key_with(|key| key.state.consecutive_failures = times), NOW)
    }

    fn never_used(priority: i64) -> f64 {
        let key = key_with(|key| (key.priority, key.last_used_at) = (priority, None));
        weight(&key, NOW)
    }

    fn of_priority(priority: i64) -> f64 {
        weight(&key_with(|key| key.priority = priority), NOW)
    }

    #[test]
    fn weight_follows_the_table() {
        for (rule, weight, expected) in [
            ("just used", used(0), 100.0),
            ("never used", never_used(100), 150.0),
            ("one hour of rest", used(-HOUR), 101.0),
            ("half an hour of rest", used(-HOUR / 2), 100.5),
            ("at most 24 hours count", used(-100 * HOUR), 124.0),
            ("used in the future, by another clock", used(HOUR), 100.0),
            ("each failure costs 10", failed(3), 70.0),
            ("never below 0", failed(30), 0.0),
            ("priority is the base", of_priority(7), 7.0),
            ("a negative priority is 0", of_priority(-20), 0.0),
            ("a bonus may lift it above 0", never_used(-20), 30.0),
            ("no priority overflows", of_priority(i64::MIN), 0.0),
        ] {
            assert_eq!(weight, expected, "{rule}");
        }
    }
}
