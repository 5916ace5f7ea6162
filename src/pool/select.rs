//! Which key serves the next call: a weighted draw.
//!
//! Weighted random rather than round robin, because many instances draw at the same time without talking to each
//! other, and a draw needs no shared position. The weight prefers keys with a high priority, few failures and a long
//! rest.
//!
//! | part of the weight | value |
//! |---|---|
//! | priority | as set, 100 unless changed |
//! | failures | − 10 for each consecutive failure |
//! | rest | + hours since the last call, at most 24 |
//! | never used | + 50 (instead of the rest) |
//! | in all | at least 0; when every usable key has 0, all are equally likely |

use super::{KeyStatus, PoolKey, UnixMillis};
use rand::{Rng, RngExt};

const FAILURE_PENALTY: f64 = 10.0;
const NEVER_USED_BONUS: f64 = 50.0;
const MAX_REST_HOURS: f64 = 24.0;
const MS_PER_HOUR: f64 = 3_600_000.0;

/// Whether a call may use the key now: it is active, or its pause is over.
pub fn is_usable(key: &PoolKey, now: UnixMillis) -> bool {
    match key.state.status {
        KeyStatus::Active => true,
        KeyStatus::Cooling => key.state.disabled_until.is_some_and(|until| until <= now),
        KeyStatus::Disabled => false,
    }
}

/// The key's weight in the draw; see the module's table. Never negative, never NaN.
pub fn weight(key: &PoolKey, now: UnixMillis) -> f64 {
    let rest = match key.last_used_at {
        Some(last) => (now.since(last) as f64 / MS_PER_HOUR).min(MAX_REST_HOURS),
        None => NEVER_USED_BONUS,
    };
    let failures = FAILURE_PENALTY * key.state.consecutive_failures.max(0) as f64;
    (key.priority as f64 - failures + rest).max(0.0)
}

/// Draws a key from those usable at `now`; `None` when there is none.
pub fn choose<'a>(keys: &'a [PoolKey], now: UnixMillis, rng: &mut impl Rng) -> Option<&'a PoolKey> {
    let usable: Vec<(&PoolKey, f64)> = keys
        .iter()
        .filter(|key| is_usable(key, now))
        .map(|key| (key, weight(key, now)))
        .collect();
    if usable.is_empty() {
        return None;
    }
    let total: f64 = usable.iter().map(|(_, weight)| weight).sum();
    if total <= 0.0 {
        let index = rng.random_range(0..usable.len());
        return usable.get(index).map(|(key, _)| *key);
    }
    let mut left = rng.random_range(0.0..total);
    for (key, weight) in &usable {
        if left < *weight {
            return Some(key);
        }
        left -= weight;
    }
    // Rounding may leave a crumb after the last key: it belongs to the last one that can be drawn at all.
    usable
        .iter()
        .rev()
        .find(|(_, weight)| *weight > 0.0)
        .map(|(key, _)| *key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{ApiKey, KeyId, KeyState};
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const HOUR: i64 = 3_600_000;

    fn key(id: i64) -> PoolKey {
        PoolKey {
            id: KeyId(id),
            key: ApiKey::try_new(format!("fake-key-{id}")).unwrap(),
            priority: 100,
            state: KeyState {
                status: KeyStatus::Active,
                consecutive_failures: 0,
                disabled_until: None,
            },
            last_used_at: Some(NOW),
        }
    }

    fn with(change: impl FnOnce(&mut PoolKey)) -> PoolKey {
        let mut key = key(1);
        change(&mut key);
        key
    }

    fn draws(keys: &[PoolKey], count: usize) -> Vec<i64> {
        let mut rng = SmallRng::seed_from_u64(7);
        (0..count)
            .filter_map(|_| choose(keys, NOW, &mut rng))
            .map(|key| key.id.0)
            .collect()
    }

    #[test]
    fn weight_follows_the_table() {
        for (rule, key, expected) in [
            ("just used", with(|_| ()), 100.0),
            ("never used", with(|k| k.last_used_at = None), 150.0),
            (
                "an hour's rest",
                with(|k| k.last_used_at = Some(NOW.plus(-HOUR))),
                101.0,
            ),
            (
                "half an hour's rest",
                with(|k| k.last_used_at = Some(NOW.plus(-HOUR / 2))),
                100.5,
            ),
            (
                "rest counts for 24 hours at most",
                with(|k| k.last_used_at = Some(NOW.plus(-100 * HOUR))),
                124.0,
            ),
            (
                "used in the future, by another clock",
                with(|k| k.last_used_at = Some(NOW.plus(HOUR))),
                100.0,
            ),
            (
                "each failure costs 10",
                with(|k| k.state.consecutive_failures = 3),
                70.0,
            ),
            (
                "never below 0",
                with(|k| k.state.consecutive_failures = 30),
                0.0,
            ),
            ("priority is the base", with(|k| k.priority = 7), 7.0),
            ("a negative priority is 0", with(|k| k.priority = -20), 0.0),
            (
                "the bonus can lift a negative priority",
                with(|k| (k.priority, k.last_used_at) = (-20, None)),
                30.0,
            ),
            (
                "extreme numbers stay numbers",
                with(|k| k.priority = i64::MIN),
                0.0,
            ),
        ] {
            assert_eq!(weight(&key, NOW), expected, "{rule}");
        }
    }

    #[test]
    fn usable_is_active_or_past_its_pause() {
        let cooling = |until| {
            with(|k| {
                k.state.status = KeyStatus::Cooling;
                k.state.disabled_until = until;
            })
        };
        for (rule, key, expected) in [
            ("active", with(|_| ()), true),
            (
                "active, with a pause left over",
                with(|k| k.state.disabled_until = Some(NOW.plus(HOUR))),
                true,
            ),
            ("pause is over", cooling(Some(NOW.plus(-1))), true),
            ("pause ends now", cooling(Some(NOW)), true),
            ("pause goes on", cooling(Some(NOW.plus(1))), false),
            ("pause without an end", cooling(None), false),
            (
                "disabled",
                with(|k| k.state.status = KeyStatus::Disabled),
                false,
            ),
            (
                "disabled, though a pause is over",
                with(|k| {
                    k.state.status = KeyStatus::Disabled;
                    k.state.disabled_until = Some(NOW.plus(-1));
                }),
                false,
            ),
        ] {
            assert_eq!(is_usable(&key, NOW), expected, "{rule}");
        }
    }

    #[test]
    fn draws_are_in_proportion_to_the_weights() {
        let mut keys = vec![key(1), key(2), key(3)];
        keys[0].priority = 300;
        keys[2].priority = 0;
        let drawn = draws(&keys, 4000);
        let first = drawn.iter().filter(|id| **id == 1).count();
        assert!(
            (2900..=3100).contains(&first),
            "3 of 4 draws expected for key 1, got {first} of 4000"
        );
        assert!(
            !drawn.contains(&3),
            "a key without weight is not drawn while others have some"
        );
    }

    #[test]
    fn without_any_weight_all_are_equally_likely() {
        let mut keys = vec![key(1), key(2), key(3), key(4)];
        keys.iter_mut().for_each(|key| key.priority = 0);
        let drawn = draws(&keys, 4000);
        for id in 1..=4 {
            let count = drawn.iter().filter(|drawn| **drawn == id).count();
            assert!((850..=1150).contains(&count), "key {id}: {count} of 4000");
        }
    }

    #[test]
    fn without_a_usable_key_nothing_is_drawn() {
        let mut rng = SmallRng::seed_from_u64(1);
        assert!(choose(&[], NOW, &mut rng).is_none());
        let disabled = [with(|k| k.state.status = KeyStatus::Disabled)];
        assert!(choose(&disabled, NOW, &mut rng).is_none());
    }

    fn any_key() -> impl Strategy<Value = PoolKey> {
        (
            any::<i64>(),
            0i64..3,
            any::<i64>(),
            prop::option::of(any::<i64>()),
            prop::option::of(any::<i64>()),
        )
            .prop_map(|(priority, status, failures, until, used)| PoolKey {
                priority,
                state: KeyState {
                    status: KeyStatus::from_code(status).unwrap(),
                    consecutive_failures: failures,
                    disabled_until: until.map(UnixMillis),
                },
                last_used_at: used.map(UnixMillis),
                ..key(1)
            })
    }

    proptest! {
        #[test]
        fn an_unusable_key_is_never_drawn_and_a_usable_one_always_found(
            mut keys in prop::collection::vec(any_key(), 0..20),
            now in any::<i64>(),
            seed in any::<u64>(),
        ) {
            let now = UnixMillis(now);
            for (index, key) in keys.iter_mut().enumerate() {
                key.id = KeyId(index as i64);
            }
            let mut rng = SmallRng::seed_from_u64(seed);
            let drawn = choose(&keys, now, &mut rng);
            prop_assert_eq!(drawn.is_some(), keys.iter().any(|key| is_usable(key, now)));
            if let Some(drawn) = drawn {
                prop_assert!(is_usable(drawn, now));
                let any_weight = keys.iter().any(|key| is_usable(key, now) && weight(key, now) > 0.0);
                prop_assert!(!any_weight || weight(drawn, now) > 0.0, "weightless key drawn beside weighted ones");
            }
        }

        #[test]
        fn every_key_with_weight_is_drawn_in_the_end(priorities in prop::collection::vec(1i64..200, 1..8)) {
            let keys: Vec<_> = priorities
                .iter()
                .enumerate()
                .map(|(index, priority)| PoolKey { priority: *priority, id: KeyId(index as i64), ..key(1) })
                .collect();
            let drawn = draws(&keys, 20_000);
            for key in &keys {
                prop_assert!(drawn.contains(&key.id.0), "key {} of {:?} never drawn", key.id, priorities);
            }
        }
    }
}
