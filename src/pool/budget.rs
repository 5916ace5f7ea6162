//! Budgets: what is left of the known limits, so that the pool skips a key before the upstream
//! refuses it.
//!
//! Google states its limits only in the errors for used-up quotas, so the pool learns them from
//! those; an operator can set additional ones. If both are known, the lower one applies.
//!
//! Where limits are known, a call is counted when it is sent: as one request, and as an estimate of
//! its input tokens ([`estimate_tokens`]), which the count from its answer replaces later.
//!
//! A minute is a sliding window of 60 seconds. Calls are counted in slots of 10 seconds, and a slot
//! counts as long as any part of it lies within the window: up to 10 seconds too long, never too
//! short.

use super::{Limit, MINUTE_MS, Moment, Unit, UnixMillis, Window};

/// Length of a slot in milliseconds: 10 s.
const SLOT_MS: i64 = 10_000;

/// Approximate bytes of a request per token.
const BYTES_PER_TOKEN: u64 = 4;
/// The largest estimate: large bodies are images and audio, which cost far fewer tokens than their
/// size suggests.
const MAX_ESTIMATED_TOKENS: u64 = 64 * 1024;

/// Estimates the input tokens of a request body.
pub fn estimate_tokens(body_bytes: usize) -> u64 {
    (body_bytes as u64 / BYTES_PER_TOKEN).clamp(1, MAX_ESTIMATED_TOKENS)
}

/// Usage within a period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Calls.
    pub requests: u64,
    /// Input tokens of these calls.
    pub input_tokens: u64,
}

impl Used {
    fn of_unit(self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::InputTokens => self.input_tokens,
            // Only single calls are checked against this limit.
            Unit::Texts => 0,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
        }
    }
}

/// The start of the slot that contains `now`.
pub fn slot_start(now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0 - now.0.rem_euclid(SLOT_MS))
}

/// The limits of a quota scope and its usage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    limits: Vec<Limit>,
    /// Oldest first.
    slots: Vec<(UnixMillis, Used)>,
    day: Option<(UnixMillis, Used)>,
}

/// The current state of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// The limit.
    pub limit: Limit,
    /// How much of it was used in its window.
    pub used: u64,
    /// When capacity is available again: for a minute, the first of it if none is left; for a day,
    /// all of it. `None` if the limit is 0.
    pub resets_at: Option<UnixMillis>,
}

impl Balance {
    /// Whether nothing is left.
    pub fn is_spent(&self) -> bool {
        self.used >= self.limit.value
    }

    /// What is left.
    pub fn left(&self) -> u64 {
        self.limit.value.saturating_sub(self.used)
    }

    /// The unused share, from 0 to 1.
    pub fn headroom(&self) -> f64 {
        self.left() as f64 / self.limit.value.max(1) as f64
    }
}

impl Budget {
    /// Adds a limit; of two for the same unit and window, the lower one applies.
    pub fn add_limit(&mut self, limit: Limit) {
        let existing = self
            .limits
            .iter_mut()
            .find(|known| (known.unit, known.window) == (limit.unit, limit.window));
        match existing {
            Some(known) => known.value = known.value.min(limit.value),
            None => self.limits.push(limit),
        }
    }

    /// Replaces the limit for the same unit and window.
    pub fn replace_limit(&mut self, limit: Limit) {
        self.limits
            .retain(|known| (known.unit, known.window) != (limit.unit, limit.window));
        self.limits.push(limit);
    }

    /// Adds usage in the slot, or on the day, that began at `began_at`.
    pub fn add_used(&mut self, window: Window, began_at: UnixMillis, used: Used) {
        match window {
            Window::Minute => match self.slots.binary_search_by_key(&began_at, |(at, _)| *at) {
                Ok(position) => {
                    if let Some((_, slot)) = self.slots.get_mut(position) {
                        *slot = slot.plus(used);
                    }
                }
                Err(position) => self.slots.insert(position, (began_at, used)),
            },
            Window::Day => match &mut self.day {
                Some((at, day)) if *at == began_at => *day = day.plus(used),
                Some((at, _)) if *at > began_at => {}
                _ => self.day = Some((began_at, used)),
            },
        }
    }

    /// Counts a call that is sent now.
    pub fn count(&mut self, input_tokens: u64, now: &Moment) {
        let used = Used {
            requests: 1,
            input_tokens,
        };
        self.slots.retain(|(at, _)| counts_in_minute(*at, now.at()));
        self.add_used(Window::Minute, slot_start(now.at()), used);
        self.add_used(Window::Day, now.day_start(), used);
    }

    /// Whether no limit is known.
    pub fn is_unlimited(&self) -> bool {
        self.limits.is_empty()
    }

    /// The current balance of each limit.
    pub fn balances(&self, now: &Moment) -> impl Iterator<Item = Balance> {
        self.limits.iter().map(|limit| match limit.window {
            Window::Minute => self.minute(*limit, now.at()),
            Window::Day => self.day(*limit, now),
        })
    }

    fn day(&self, limit: Limit, now: &Moment) -> Balance {
        let used = match self.day {
            Some((began_at, used)) if began_at == now.day_start() => used.of_unit(limit.unit),
            _ => 0,
        };
        Balance {
            limit,
            used,
            resets_at: (limit.value > 0).then(|| now.next_day()),
        }
    }

    fn minute(&self, limit: Limit, now: UnixMillis) -> Balance {
        let recent = || {
            self.slots
                .iter()
                .filter(move |(at, _)| counts_in_minute(*at, now))
        };
        let used: u64 = recent().map(|(_, used)| used.of_unit(limit.unit)).sum();
        let mut excess = used;
        let mut resets_at = now;
        for (at, slot) in recent() {
            if excess < limit.value {
                break;
            }
            excess -= slot.of_unit(limit.unit).min(excess);
            resets_at = at.plus(SLOT_MS + MINUTE_MS);
        }
        Balance {
            limit,
            used,
            resets_at: (limit.value > 0).then_some(resets_at),
        }
    }
}

/// Slots that began later than this count towards the minute that ends at `now`.
pub fn before_minute(now: UnixMillis) -> UnixMillis {
    now.plus(-(SLOT_MS + MINUTE_MS))
}

fn counts_in_minute(slot: UnixMillis, now: UnixMillis) -> bool {
    slot > before_minute(now) && !slot.is_ahead_of(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn limit(unit: Unit, window: Window, value: u64) -> Limit {
        Limit {
            unit,
            window,
            value,
        }
    }

    fn budget(limits: &[Limit]) -> Budget {
        let mut budget = Budget::default();
        for limit in limits {
            budget.add_limit(*limit);
        }
        budget
    }

    fn only(budget: &Budget, now: UnixMillis) -> Balance {
        let all: Vec<_> = budget.balances(&Moment::new(now)).collect();
        assert_eq!(all.len(), 1);
        all[0]
    }

    #[test]
    fn a_minute_slides_and_frees_its_oldest_calls_first() {
        let mut budget = budget(&[limit(Unit::Requests, Window::Minute, 3)]);
        for ms in [0, 1, 25_000] {
            budget.count(5, &Moment::new(NOW.plus(ms)));
        }
        let spent = only(&budget, NOW.plus(26_000));
        assert!(spent.is_spent());
        assert_eq!(spent.resets_at, Some(NOW.plus(70_000)));
        assert_eq!(only(&budget, NOW.plus(69_999)).used, 3);
        assert_eq!(only(&budget, NOW.plus(70_000)).used, 1);
        assert_eq!(only(&budget, NOW.plus(90_000)).used, 0);
    }

    #[test]
    fn a_day_ends_at_midnight_in_los_angeles() {
        let mut budget = budget(&[limit(Unit::InputTokens, Window::Day, 1000)]);
        let now = Moment::new(NOW);
        budget.count(400, &now);
        budget.count(700, &now);
        let spent = only(&budget, NOW);
        assert_eq!((spent.used, spent.headroom()), (1100, 0.0));
        assert_eq!(spent.resets_at, Some(now.next_day()));
        assert_eq!(only(&budget, now.next_day().plus(-1)).used, 1100);
        assert_eq!(only(&budget, now.next_day()).used, 0);
    }

    #[test]
    fn usage_in_the_future_does_not_count() {
        let mut budget = budget(&[limit(Unit::Requests, Window::Minute, 3)]);
        let year = NOW.plus(365 * 24 * 3_600_000);
        budget.count(5, &Moment::new(year));
        assert_eq!(only(&budget, NOW).used, 0);
        assert_eq!(only(&budget, year).used, 1);
        budget.count(5, &Moment::new(NOW.plus(1)));
        assert_eq!(only(&budget, NOW).used, 1);
    }

    #[test]
    fn a_limit_of_zero_never_resets() {
        for window in Window::ALL {
            let balance = only(&budget(&[limit(Unit::Requests, window, 0)]), NOW);
            assert!(balance.is_spent());
            assert_eq!((balance.headroom(), balance.resets_at), (0.0, None));
        }
    }

    #[test]
    fn the_lower_limit_applies_until_it_is_replaced() {
        let requests = |value| limit(Unit::Requests, Window::Day, value);
        let mut budget = budget(&[requests(20), requests(10), requests(15)]);
        assert_eq!(only(&budget, NOW).limit.value, 10);
        budget.replace_limit(requests(50));
        assert_eq!(only(&budget, NOW).limit.value, 50);
    }

    #[test]
    fn token_estimates_are_capped() {
        assert_eq!(estimate_tokens(0), 1);
        assert_eq!(estimate_tokens(4000), 1000);
        assert_eq!(estimate_tokens(20 * 1024 * 1024), 64 * 1024);
    }

    proptest! {
        #[test]
        fn no_60_seconds_contain_more_calls_than_the_limit(
            allowed in 1u64..20,
            gaps in prop::collection::vec(0i64..20_000, 1..80),
        ) {
            let mut budget = budget(&[limit(Unit::Requests, Window::Minute, allowed)]);
            let mut sent = Vec::new();
            let mut now = NOW;
            for gap in gaps {
                now = now.plus(gap);
                let balance = only(&budget, now);
                if balance.is_spent() {
                    let resets_at = balance.resets_at.unwrap();
                    prop_assert!(resets_at > now);
                    prop_assert!(!only(&budget, resets_at).is_spent());
                } else {
                    budget.count(1, &Moment::new(now));
                    sent.push(now);
                }
                let within = sent.iter().filter(|at| now.since(**at) < 60_000).count();
                prop_assert!(within as u64 <= allowed);
            }
        }
    }
}
