//! Whose fault it is when many keys fail at once: hardly the keys'.
//!
//! A front end of Google's that errs, a blocked address of this machine, or a proxy on the way can make every key look
//! dead within a second, and a pool that believes it has killed itself. So, when a key is to be disabled or paused:
//!
//! - If it is at least the third key whose latest call ended like this within a minute, and none of them before the latest
//!   call that worked began, the upstream is suspected. Nobody is disabled or paused; the keys cool for a minute, each then tried again by one call at a time; and
//!   what the pool did to the first of them within the last minute is taken back.
//! - Whatever succeeds, no more than half of the keys that were in use are disabled within a minute.
//!
//! A key that is dead all the same fails again later, when others succeed, and is disabled then.

use super::{
    KeyId, KeyState, KeyStatus, Outcome, PoolKey, Record, UnixMillis, Verdict, transition,
};
use std::collections::BTreeMap;

/// Keys that fail alike, without any success, before the upstream is suspected.
pub const SEVERAL: usize = 3;
/// How long back disabling is limited, and taken back once the upstream is suspected; and for how long the status tells of
/// keys that fail alike. In milliseconds: 60 s.
pub const WAVE_MS: i64 = 60_000;

/// Keys that fail alike while none succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspicion {
    /// How they fail.
    pub outcome: Outcome,
    /// How many.
    pub keys: usize,
    /// The latest of these failures.
    pub latest: UnixMillis,
}

/// Whether the upstream is to blame when so many keys, the one in question included, failed alike since the latest
/// success.
fn is_suspected(alike: usize) -> bool {
    alike >= SEVERAL
}

/// Whether one more key may be disabled, when so many were within a minute, and so many are still in use.
fn may_disable(disabled_lately: usize, in_use: usize) -> bool {
    let half = disabled_lately.saturating_add(in_use) / 2;
    disabled_lately < half.max(1)
}

/// What the other keys say about a failure of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Other keys whose latest call ended alike within the last minute, and since the latest call that worked began.
    pub alike: usize,
    /// Keys that the pool has disabled within the last minute.
    pub disabled_lately: usize,
    /// Keys that are not disabled.
    pub in_use: usize,
}

/// What a failure does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The key is to blame, and this is its state now.
    Move(KeyState),
    /// The key is left as it is, and cools.
    Suspect {
        /// What the pool did to others for the same within the last minute is taken back.
        take_back: bool,
    },
}

/// Who is to blame for a failure of a key that was in the state `before`.
pub fn judge(
    before: KeyState,
    verdict: Verdict,
    record: Record,
    ended_at: UnixMillis,
    evidence: Evidence,
) -> Judgement {
    let was_in_use = before.status != KeyStatus::Disabled;
    if was_in_use && is_suspected(evidence.alike + 1) {
        return Judgement::Suspect { take_back: true };
    }
    let after = transition(before, verdict, record, ended_at);
    let disables = was_in_use && after.status == KeyStatus::Disabled;
    if disables && !may_disable(evidence.disabled_lately, evidence.in_use) {
        return Judgement::Suspect { take_back: false };
    }
    Judgement::Move(after)
}

/// Other keys than `id` whose latest call ended with `outcome`, as [`Evidence::alike`] counts them.
pub fn alike(keys: &[PoolKey], id: KeyId, outcome: Outcome, now: UnixMillis) -> usize {
    let success = latest_success(keys);
    let is_alike = |(its, at): (Outcome, UnixMillis)| {
        its == outcome && Some(at) > success && now.since(at) <= WAVE_MS
    };
    keys.iter()
        .filter(|key| key.id != id && key.last_outcome.is_some_and(is_alike))
        .count()
}

/// When the latest call that worked began. Its end would say less: a stream that began before an outage may end well in
/// the middle of it.
fn latest_success(keys: &[PoolKey]) -> Option<UnixMillis> {
    keys.iter()
        .filter_map(|key| key.last_success_began_at)
        .max()
}

/// The failure that at least [`SEVERAL`] keys share since the latest success, all of them within the last minute. Quotas that are used up, and callers' own mistakes, are nobody's fault and not looked at.
pub fn suspicion(keys: &[PoolKey], now: UnixMillis) -> Option<Suspicion> {
    let success = latest_success(keys);
    let mut failures: BTreeMap<&'static str, Suspicion> = BTreeMap::new();
    for (outcome, at) in keys.iter().filter_map(|key| key.last_outcome) {
        let is_recent = now.since(at) < WAVE_MS;
        if is_recent && outcome.rule().is_systemic && Some(at) > success {
            let alike = failures.entry(outcome.name()).or_insert(Suspicion {
                outcome,
                keys: 0,
                latest: at,
            });
            alike.keys += 1;
            alike.latest = alike.latest.max(at);
        }
    }
    failures
        .into_values()
        .filter(|alike| is_suspected(alike.keys))
        .max_by_key(|alike| alike.keys)
}

/// Keys in use: those that are not disabled.
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
    fn several_keys_alike_without_success_put_the_blame_on_the_upstream() {
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
    fn a_minute_later_nobody_is_told_any_more() {
        let keys: Vec<PoolKey> = (1..=3)
            .map(|id| failed(id, Outcome::KeyRejected, WAVE_MS))
            .collect();
        assert_eq!(suspicion(&keys, NOW), None);
    }

    #[test]
    fn no_more_than_half_are_disabled_at_once() {
        for (disabled, in_use, may) in [
            (0, 1, true),
            (0, 2, true),
            (1, 1, false),
            (4, 6, true),
            (5, 5, false),
            (5, 6, false),
            (0, 0, true),
        ] {
            assert_eq!(may_disable(disabled, in_use), may, "{disabled} of {in_use}");
        }
    }
}
