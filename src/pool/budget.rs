//! Budgets: what is left of the limits that are known, so that a key is passed over before the upstream refuses it.
//!
//! Google tells its limits only in the errors of quotas that are used up, so the pool learns them there; an operator can
//! set others beside them. Where both are known, the lower one holds.
//!
//! A call is counted where limits are known, at the moment it is sent: as one request, and as many input tokens as its
//! size lets expect ([`estimate_tokens`]); when its answer tells the true number, that takes the estimate's place.
//!
//! A minute is any 60 seconds. Calls are counted in slots of 10 seconds, and a slot counts as long as any of it lies
//! within the last 60: at most 10 seconds too long, never too short.

use super::{Limit, MINUTE_MS, Moment, Unit, UnixMillis, Window};

/// Length of a slot in milliseconds: 10 s.
const SLOT_MS: i64 = 10_000;

/// Bytes of a request that make a token, more or less.
const BYTES_PER_TOKEN: u64 = 4;
/// The most that is expected of a request: large bodies are images and sound, which cost far less than their bytes.
const MOST_EXPECTED_TOKENS: u64 = 64 * 1024;

/// What a request of so many bytes is expected to cost in input tokens.
pub fn estimate_tokens(body_bytes: usize) -> u64 {
    (body_bytes as u64 / BYTES_PER_TOKEN).clamp(1, MOST_EXPECTED_TOKENS)
}

/// What was used in some span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Calls.
    pub requests: u64,
    /// Tokens of their prompts.
    pub input_tokens: u64,
}

impl Used {
    fn part(self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::InputTokens => self.input_tokens,
            // Each call is looked at alone.
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

/// The slot of a moment.
pub fn slot_start(now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0 - now.0.rem_euclid(SLOT_MS))
}

/// The limits of a place and what was used of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    limits: Vec<Limit>,
    /// Oldest first.
    slots: Vec<(UnixMillis, Used)>,
    day: Option<(UnixMillis, Used)>,
}

/// One limit of a budget, as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// The limit.
    pub limit: Limit,
    /// What was used of it in its window.
    pub used: u64,
    /// When something, if all is used, or all of it, of a day, is free again; `None` where nothing is ever allowed.
    pub resets_at: Option<UnixMillis>,
}

impl Balance {
    /// Nothing is left.
    pub fn is_spent(&self) -> bool {
        self.used >= self.limit.value
    }

    /// What is left, from 0 to 1.
    pub fn headroom(&self) -> f64 {
        let left = self.limit.value.saturating_sub(self.used);
        left as f64 / self.limit.value.max(1) as f64
    }
}

impl Budget {
    /// Sets a limit beside the others; of two for the same unit and window, the lower one holds.
    pub fn add_limit(&mut self, limit: Limit) {
        let same = self
            .limits
            .iter_mut()
            .find(|own| (own.unit, own.window) == (limit.unit, limit.window));
        match same {
            Some(own) => own.value = own.value.min(limit.value),
            None => self.limits.push(limit),
        }
    }

    /// Puts a limit in the place of one for the same unit and window.
    pub fn replace_limit(&mut self, limit: Limit) {
        self.limits
            .retain(|own| (own.unit, own.window) != (limit.unit, limit.window));
        self.limits.push(limit);
    }

    /// Adds what was used in the slot, or on the day, that began at `began_at`.
    pub fn add_used(&mut self, window: Window, began_at: UnixMillis, used: Used) {
        match window {
            Window::Minute => match self.slots.binary_search_by_key(&began_at, |(at, _)| *at) {
                Ok(found) => {
                    if let Some((_, slot)) = self.slots.get_mut(found) {
                        *slot = slot.plus(used);
                    }
                }
                Err(place) => self.slots.insert(place, (began_at, used)),
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

    /// Each limit, as it stands now.
    pub fn balances(&self, now: &Moment) -> impl Iterator<Item = Balance> {
        self.limits.iter().map(|limit| match limit.window {
            Window::Minute => self.minute(*limit, now.at()),
            Window::Day => self.day(*limit, now),
        })
    }

    fn day(&self, limit: Limit, now: &Moment) -> Balance {
        let used = match self.day {
            Some((began_at, used)) if began_at == now.day_start() => used.part(limit.unit),
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
        let used: u64 = recent().map(|(_, used)| used.part(limit.unit)).sum();
        let mut left_over = used;
        let mut resets_at = now;
        for (at, slot) in recent() {
            if left_over < limit.value {
                break;
            }
            left_over -= slot.part(limit.unit).min(left_over);
            resets_at = at.plus(SLOT_MS + MINUTE_MS);
        }
        Balance {
            limit,
            used,
            resets_at: (limit.value > 0).then_some(resets_at),
        }
    }
}

/// Slots that began later than this count within the minute that ends at `now`.
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
    fn what_was_used_in_the_future_does_not_count() {
        let mut budget = budget(&[limit(Unit::Requests, Window::Minute, 3)]);
        let year = NOW.plus(365 * 24 * 3_600_000);
        budget.count(5, &Moment::new(year));
        assert_eq!(only(&budget, NOW).used, 0);
        assert_eq!(only(&budget, year).used, 1);
        budget.count(5, &Moment::new(NOW.plus(1)));
        assert_eq!(only(&budget, NOW).used, 1);
    }

    #[test]
    fn a_limit_of_nothing_is_never_free_again() {
        for window in Window::ALL {
            let nothing = only(&budget(&[limit(Unit::Requests, window, 0)]), NOW);
            assert!(nothing.is_spent());
            assert_eq!((nothing.headroom(), nothing.resets_at), (0.0, None));
        }
    }

    #[test]
    fn of_two_limits_the_lower_holds_until_one_is_replaced() {
        let requests = |value| limit(Unit::Requests, Window::Day, value);
        let mut budget = budget(&[requests(20), requests(10), requests(15)]);
        assert_eq!(only(&budget, NOW).limit.value, 10);
        budget.replace_limit(requests(50));
        assert_eq!(only(&budget, NOW).limit.value, 50);
    }

    #[test]
    fn large_bodies_are_not_taken_for_text() {
        assert_eq!(estimate_tokens(0), 1);
        assert_eq!(estimate_tokens(4000), 1000);
        assert_eq!(estimate_tokens(20 * 1024 * 1024), 64 * 1024);
    }

    proptest! {
        #[test]
        fn no_60_seconds_hold_more_calls_than_the_limit(
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
