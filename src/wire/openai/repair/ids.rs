//! Generates ids that the upstream omitted or repeated.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// How many ids of an answer are remembered: more than any model makes calls at once. Repetitions
/// of later ids are not detected.
const MAX_REMEMBERED: usize = 4096;

/// Returns an id for an answer without one.
pub(super) fn answer_id(seed: u64) -> String {
    format!("chatcmpl-{}", token(seed, 0))
}

/// Ensures that the tool calls of an answer have unique ids.
#[derive(Debug)]
pub(super) struct CallIds {
    seed: u64,
    generated: u64,
    /// Hashes, since an id may be as long as a line.
    seen: HashSet<u64>,
}

impl CallIds {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            generated: 0,
            seen: HashSet::new(),
        }
    }

    /// Returns an id for the next call, or `None` if its own is neither empty nor a repetition.
    pub(super) fn replacement(&mut self, id: &str) -> Option<String> {
        if !id.is_empty() && self.is_new(id) {
            return None;
        }
        loop {
            // Number 0 is the answer's own id.
            self.generated = self.generated.wrapping_add(1);
            let id = format!("call_{}", token(self.seed, self.generated));
            if self.is_new(&id) {
                return Some(id);
            }
        }
    }

    fn is_new(&mut self, id: &str) -> bool {
        let hash = hash(id);
        if self.seen.len() < MAX_REMEMBERED {
            self.seen.insert(hash)
        } else {
            !self.seen.contains(&hash)
        }
    }
}

/// Hashes a text. The hash is stable, so that repairing an answer again yields the same ids.
pub(super) fn hash(text: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(text)
}

/// Returns 24 characters of 0–9 and a–z, as many as OpenAI's ids have.
fn token(seed: u64, number: u64) -> String {
    let first = mix(seed).wrapping_add(number.wrapping_mul(2).wrapping_mul(GOLDEN));
    [first, first.wrapping_add(GOLDEN)]
        .into_iter()
        .flat_map(|state| {
            let mut bits = mix(state);
            // Twelve base-36 digits hold slightly less than 64 bits.
            std::iter::repeat_with(move || {
                let digit = (bits % 36) as u32;
                bits /= 36;
                char::from_digit(digit, 36).unwrap_or('0')
            })
            .take(12)
        })
        .collect()
}

/// The increment of SplitMix64 (Steele, Lea and Flood, 2014).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of SplitMix64; it decorrelates successive states.
fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn replaces_only_empty_and_repeated_ids() {
        let mut ids = CallIds::new(7);
        assert_eq!(ids.replacement("call_297140"), None);
        assert_eq!(ids.replacement("function-call-1"), None);
        let first = ids.replacement("").unwrap();
        let second = ids.replacement("call_297140").unwrap();
        assert_ne!(first, second);
        assert!(ids.replacement(&first).is_some_and(|third| third != first));
    }

    #[test]
    fn generated_ids_avoid_upstream_ids() {
        let expected = CallIds::new(7).replacement("").unwrap();
        let mut ids = CallIds::new(7);
        assert_eq!(ids.replacement(&expected), None);
        assert_ne!(ids.replacement("").unwrap(), expected);
    }

    #[test]
    fn remembered_ids_are_bounded() {
        let mut ids = CallIds::new(7);
        for number in 0..MAX_REMEMBERED + 2 {
            assert_eq!(ids.replacement(&number.to_string()), None);
        }
        assert_eq!(ids.seen.len(), MAX_REMEMBERED);
        assert!(ids.replacement("0").is_some());
        assert!(ids.replacement("").is_some());
    }

    proptest! {
        #[test]
        fn ids_are_well_formed_and_deterministic(seed: u64, other: u64) {
            let make = |seed| {
                let mut ids = CallIds::new(seed);
                [answer_id(seed), ids.replacement("").unwrap(), ids.replacement("").unwrap()]
            };
            let generated = make(seed);
            prop_assert_eq!(&generated, &make(seed));
            for (id, prefix) in generated.iter().zip(["chatcmpl-", "call_", "call_"]) {
                let token = id.strip_prefix(prefix).unwrap();
                prop_assert_eq!(token.len(), 24);
                prop_assert!(token.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
            }
            prop_assert_ne!(&generated[1], &generated[2]);
            if seed != other {
                prop_assert_ne!(&generated, &make(other));
            }
        }
    }
}
