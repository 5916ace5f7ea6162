//! Suspicion: when many keys fail at once, they are hardly at fault.
//!
//! A faulty front end at Google, a blocked address of this machine, or a broken proxy can make
//! every key seem dead within a second, and a pool that trusts those errors disables all of its
//! keys. So, when a key would be disabled or paused:
//!
//! - If this is at least the third key whose latest call ended in the same way within a minute, and
//!   all of them failed after the latest successful call began, the upstream is suspected. No key
//!   is disabled or paused; the keys cool down for a minute, after which each is tried by one call
//!   at a time; and what the pool did to such keys within the last minute is reverted.
//! - In any case, at most half of the keys that were in use are disabled within a minute.
//!
//! A key that really is dead fails again later, while others succeed, and is disabled then.

use super::{
    KeyId, KeyState, KeyStatus, Outcome, PoolKey, Record, UnixMillis, Verdict, transition,
};

/// How many keys must fail in the same way, without any success, before the upstream is suspected.
pub const SEVERAL: usize = 3;
/// The period, in milliseconds, in which disabling is limited, in which it is reverted once the
/// upstream is suspected, and for which the status reports keys that fail in the same way: 60 s.
pub const WAVE_MS: i64 = 60_000;

/// Keys that fail in the same way while none succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspicion {
    /// How they fail.
    pub outcome: Outcome,
    /// How many.
    pub keys: usize,
    /// When the latest of them failed.
    pub latest: UnixMillis,
}

/// Whether the upstream is suspected when this many keys, including the one in question, failed in
/// the same way since the latest success.
fn is_suspected(alike: usize) -> bool {
    alike >= SEVERAL
}

/// Whether one more key may be disabled when `disabled_lately` keys were within a minute, and
/// `in_use` are still in use.
fn may_disable(disabled_lately: usize, in_use: usize) -> bool {
    let half = disabled_lately.saturating_add(in_use) / 2;
    disabled_lately < half.max(1)
}

/// What the other keys say about a failure of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Other keys whose latest call ended in the same way within the last minute, and after the
    /// latest successful call began.
    pub alike: usize,
    /// Keys that the pool has disabled within the last minute.
    pub disabled_lately: usize,
    /// Keys that are not disabled.
    pub in_use: usize,
}

/// What a failure does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The key is at fault, and this is its new state.
    Move(KeyState),
    /// The key's state stays as it is, and it cools down.
    Suspect {
        /// Whether to revert what the pool did to other keys for the same outcome within the last
        /// minute.
        reinstates: bool,
    },
}

/// Decides who is at fault for a failure of a key that was in the state `before`.
pub fn judge(
    before: KeyState,
    verdict: Verdict,
    record: Record,
    ended_at: UnixMillis,
    evidence: Evidence,
) -> Judgement {
    let was_in_use = before.status != KeyStatus::Disabled;
    if was_in_use && is_suspected(evidence.alike + 1) {
        return Judgement::Suspect { reinstates: true };
    }
    let after = transition(before, verdict, record, ended_at);
    let disables = was_in_use && after.status == KeyStatus::Disabled;
    if disables && !may_disable(evidence.disabled_lately, evidence.in_use) {
        return Judgement::Suspect { reinstates: false };
    }
    Judgement::Move(after)
}

/// Counts the keys other than `id` whose latest call ended with `outcome`, as [`Evidence::alike`]
/// defines it.
pub fn alike(keys: &[PoolKey], id: KeyId, outcome: Outcome, now: UnixMillis) -> usize {
    let success = latest_success(keys);
    let is_alike = |(other, at): (Outcome, UnixMillis)| {
        other == outcome && Some(at) > success && now.since(at) <= WAVE_MS
    };
    keys.iter()
        .filter(|key| key.id != id && key.last_outcome.is_some_and(is_alike))
        .count()
}

/// When the latest successful call began. Its end would be misleading: a stream that began before
/// an outage may end well during it.
fn latest_success(keys: &[PoolKey]) -> Option<UnixMillis> {
    keys.iter()
        .filter_map(|key| key.last_success_began_at)
        .max()
}

/// The failure that at least [`SEVERAL`] keys share since the latest success, all within the last
/// minute. Used-up quotas and client errors are expected, and ignored.
pub fn suspicion(keys: &[PoolKey], now: UnixMillis) -> Option<Suspicion> {
    let success = latest_success(keys);
    let mut failures: Vec<Suspicion> = Vec::new();
    for (outcome, at) in keys.iter().filter_map(|key| key.last_outcome) {
        let is_recent = now.since(at) < WAVE_MS;
        if is_recent && outcome.rule().is_systemic && Some(at) > success {
            match failures.iter_mut().find(|alike| alike.outcome == outcome) {
                Some(alike) => {
                    alike.keys += 1;
                    alike.latest = alike.latest.max(at);
                }
                None => failures.push(Suspicion {
                    outcome,
                    keys: 1,
                    latest: at,
                }),
            }
        }
    }
    failures
        .into_iter()
        .filter(|alike| is_suspected(alike.keys))
        .max_by_key(|alike| (alike.keys, alike.outcome.name()))
}

/// Counts the keys that are not disabled.
pub fn in_use(keys: &[PoolKey]) -> usize {
    keys.iter()
        .filter(|key| key.state.status != KeyStatus::Disabled)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::testing::key;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn failed(id: i64, outcome: Outcome, ago_ms: i64) -> PoolKey {
        PoolKey {
            last_outcome: Some((outcome, NOW.plus(-ago_ms))),
            ..key(id)
        }
    }

    #[test]
    fn several_keys_failing_alike_make_the_upstream_suspect() {
        use Outcome::*;
        let three = |outcome| (1..=3).map(|id| failed(id, outcome, 1000 * id)).collect();
        let found = |keys: Vec<PoolKey>| suspicion(&keys, NOW).map(|s| (s.outcome, s.keys));
        for outcome in [KeyRejected, ProjectRefused, EgressRefused, UpstreamTrouble] {
            assert_eq!(found(three(outcome)), Some((outcome, 3)));
        }
        for outcome in [Success, QuotaPerDay, ClientFault, ResourceRefused] {
            assert_eq!(found(three(outcome)), None, "{}", outcome.name());
        }
        let mut mixed: Vec<PoolKey> = three(KeyRejected);
        mixed[0].last_outcome = Some((UpstreamTrouble, NOW));
        assert_eq!(found(mixed), None);
        let mut with_success: Vec<PoolKey> = three(KeyRejected);
        with_success.push(PoolKey {
            last_success_began_at: Some(NOW.plus(-500)),
            ..key(4)
        });
        assert_eq!(found(with_success), None);
        let mut before_success: Vec<PoolKey> = three(KeyRejected);
        before_success.push(PoolKey {
            last_success_began_at: Some(NOW.plus(-5000)),
            ..key(4)
        });
        assert_eq!(found(before_success), Some((KeyRejected, 3)));
    }

    #[test]
    fn suspicion_ends_after_a_minute() {
        let keys: Vec<PoolKey> = (1..=3)
            .map(|id| failed(id, Outcome::KeyRejected, WAVE_MS))
            .collect();
        assert_eq!(suspicion(&keys, NOW), None);
    }

    #[test]
    fn at_most_half_of_the_keys_are_disabled_within_a_minute() {
        for (disabled, in_use, expected) in [
            (0, 1, true),
            (0, 2, true),
            (1, 1, false),
            (4, 6, true),
            (5, 5, false),
            (5, 6, false),
            (0, 0, true),
        ] {
            assert_eq!(
                may_disable(disabled, in_use),
                expected,
                "{disabled} of {in_use}"
            );
        }
    }
}
