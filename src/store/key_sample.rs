//! Reads the pool's keys: all of a small pool, or a sample of a large one.
//!
//! Each of many instances reads the pool when it starts and every half second, so a pool of
//! thousands must not be read completely for a draw. The probability of a sample follows the
//! priorities of its keys, so while none cools down, a key is drawn about as often as in a draw
//! from all keys.

use super::key_vault::{KeyVault, STORED};
use super::{Database, Result, Row, number, read, text, texts_of, values};
use crate::pool::{
    CredentialHeader, KeyId, KeyState, KeyStatus, LONGEST_TRIAL_LEASE_MS, ModelRules, Outcome,
    PAUSE_MS, PoolKey, UnixMillis,
};
use std::rc::Rc;

/// How a column is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    AsIs,
    Number,
    Text,
    /// A text without which the row is broken.
    Key,
}

/// The columns that [`pool_key`] reads, in this order.
const COLUMNS: [(Kind, &str); 19] = [
    (Kind::AsIs, "id"),
    (Kind::Key, STORED),
    (Kind::Number, "priority"),
    (Kind::Number, "status"),
    (Kind::Number, "consecutive_failures"),
    (Kind::Text, "disabled_until"),
    (Kind::Text, "last_used_at"),
    (Kind::Text, "name"),
    (Kind::Text, "project"),
    (Kind::Text, "last_success_began_at"),
    (Kind::Text, "last_outcome"),
    (Kind::Text, "last_outcome_at"),
    (Kind::Text, "trial_until"),
    (Kind::Text, "disabled_reason"),
    (Kind::Number, "edits"),
    (Kind::AsIs, "disabled_until = paused_until"),
    (Kind::Text, "credential_header"),
    (Kind::Text, "allowed_models"),
    (Kind::Text, "forbidden_models"),
];
/// The column with the number of usable keys, in a row that is not a key.
const USABLE: usize = COLUMNS.len();
/// The priority of a key without one: the column's default.
const DEFAULT_PRIORITY: i64 = 100;

fn columns() -> String {
    let columns = COLUMNS.map(|(kind, column)| match kind {
        Kind::AsIs => column.to_owned(),
        Kind::Number => number(column),
        Kind::Text | Kind::Key => text(column),
    });
    columns.join(", ")
}

/// A pool with fewer usable keys, that is, keys that are not disabled, is read completely.
const SAMPLING_THRESHOLD: i64 = 200;
/// The approximate number of usable keys in a sample.
const SAMPLE_SIZE: i64 = 50;

/// The hash of an id, as in the index of migration 0002, so that samples do not follow the order in
/// which keys were added.
const HASH: &str = "((id & 2147483647) * 2654435761 & 4294967295)";
/// The number of possible hashes.
const HASHES: u64 = 1 << 32;

/// Selects all keys of a small pool. For a large one, selects one row: the lowest and highest
/// priority, and the number of usable keys. They are read from indexes, which are far smaller than
/// the table.
fn all_or_size() -> String {
    let no_key = "NULL, ".repeat(USABLE - 2);
    format!(
        "WITH size (usable) AS (SELECT (SELECT count(*) FROM api_keys) - (SELECT count(*) FROM api_keys WHERE status = 0))
SELECT {columns}, NULL FROM size CROSS JOIN api_keys WHERE usable < {SAMPLING_THRESHOLD}
UNION ALL SELECT {lowest}, {highest}, {no_key}usable FROM size WHERE usable >= {SAMPLING_THRESHOLD}",
        columns = columns(),
        lowest = number("(SELECT min(priority) FROM api_keys)"),
        highest = number("(SELECT max(priority) FROM api_keys)")
    )
}

fn priorities() -> String {
    let priority = number("priority");
    format!("SELECT {priority}, count(*) FROM api_keys GROUP BY priority")
}

/// Selects the hash of the key with a priority and a position among such keys.
fn hash_of_one() -> String {
    format!("SELECT {HASH} FROM api_keys WHERE priority = ?1 LIMIT 1 OFFSET ?2")
}

fn sample() -> String {
    let columns = columns();
    format!("SELECT {columns} FROM api_keys WHERE status <> 0 AND {HASH} >= ?1 AND {HASH} < ?2")
}

fn all() -> String {
    format!("SELECT {} FROM api_keys", columns())
}

/// The keys that were read.
pub(super) struct KeysRead {
    pub(super) keys: Vec<PoolKey>,
    /// Whether these are all keys.
    pub(super) is_whole: bool,
    /// Broken rows, which are ignored.
    pub(super) broken: Vec<KeyId>,
    /// Unreadable columns of other rows.
    pub(super) malformed: Vec<(KeyId, &'static str)>,
}

/// Reads all keys, or a sample of a large pool. `sample_by` is a random number from 0 to 1 that
/// selects the sample; `None` reads all keys.
pub(super) async fn pool_keys(
    database: &impl Database,
    vault: &KeyVault,
    sample_by: Option<f64>,
    now: UnixMillis,
) -> Result<KeysRead> {
    let Some(point) = sample_by else {
        let rows = read(database, &all(), Vec::new()).await?;
        return Ok(keys_of(&rows, vault, true, now));
    };
    let rows = read(database, &all_or_size(), Vec::new()).await?;
    let size = rows.first().and_then(|row| {
        let same_priority = row.0.first() == row.0.get(1);
        Some((row.integer(USABLE)?, same_priority))
    });
    let Some((usable, same_priority)) = size else {
        return Ok(keys_of(&rows, vault, true, now));
    };
    let drawn = if same_priority {
        None
    } else {
        hash_of_drawn(database, point).await?
    };
    // If all keys are equally likely, so are all hashes.
    let hash = drawn.unwrap_or((point * HASHES as f64) as u32);
    let ranges = u32::try_from(usable / SAMPLE_SIZE).unwrap_or(u32::MAX);
    let (from, to) = range_of(hash, ranges);
    let rows = read(database, &sample(), values![from, to]).await?;
    Ok(keys_of(&rows, vault, false, now))
}

/// The hash of the key that `point` selects by priority; `None` if no key has a positive priority.
async fn hash_of_drawn(database: &impl Database, point: f64) -> Result<Option<u32>> {
    let rows = read(database, &priorities(), Vec::new()).await?;
    let counted: Vec<_> = rows
        .iter()
        .filter_map(|row| row.integer(0).zip(row.integer(1)))
        .collect();
    let Some((priority, position)) = draw(point, &counted) else {
        return Ok(None);
    };
    let rows = read(database, &hash_of_one(), values![priority, position]).await?;
    let hash = rows.first().and_then(|row| row.integer(0));
    Ok(hash.and_then(|hash| u32::try_from(hash).ok()))
}

/// Selects a key by `point`, from 0 to 1, with a probability proportional to its priority. Returns
/// its priority and its position among the keys of that priority; `None` if no key has a positive
/// priority. `counted` is the number of keys per priority.
fn draw(point: f64, counted: &[(i64, i64)]) -> Option<(i64, i64)> {
    let weight = |(priority, keys): (i64, i64)| priority.max(0) as f64 * keys as f64;
    let mut left = point * counted.iter().copied().map(weight).sum::<f64>();
    let mut drawn = None;
    for &(priority, keys) in counted.iter().filter(|&&counted| weight(counted) > 0.0) {
        let position = ((left / priority as f64) as i64).clamp(0, keys - 1);
        drawn = Some((priority, position));
        left -= weight((priority, keys));
        if left < 0.0 {
            break;
        }
    }
    drawn
}

/// The range that contains `hash` if all hashes are divided into `ranges` equal ranges: its first
/// hash, and the first one after it.
fn range_of(hash: u32, ranges: u32) -> (u64, u64) {
    let ranges = u64::from(ranges.max(1));
    let number = u64::from(hash) * ranges / HASHES;
    let start = |number: u64| (number * HASHES).div_ceil(ranges);
    (start(number), start(number + 1))
}

fn keys_of(rows: &[Row], vault: &KeyVault, is_whole: bool, now: UnixMillis) -> KeysRead {
    let mut read = KeysRead {
        keys: Vec::with_capacity(rows.len()),
        is_whole,
        broken: Vec::new(),
        malformed: Vec::new(),
    };
    for row in rows {
        match pool_key(row, vault, now) {
            Some(key) => {
                let malformed = COLUMNS
                    .iter()
                    .enumerate()
                    .filter(|(at, (kind, _))| *kind == Kind::Text && row.is_malformed(*at))
                    .map(|(_, (_, column))| (key.id, *column));
                read.malformed.extend(malformed);
                read.keys.push(key);
            }
            None => read.broken.extend(row.integer(0).map(KeyId)),
        }
    }
    read
}

/// The key in a row, without values that a fast clock wrote. `None` if the row is broken.
fn pool_key(row: &Row, vault: &KeyVault, now: UnixMillis) -> Option<PoolKey> {
    let text = |column| row.text(column).map(str::to_owned);
    let time = |column| row.text(column).and_then(UnixMillis::parse);
    let past = |column| time(column).filter(|at| !at.is_ahead_of(now));
    let status = KeyStatus::from_code(row.integer(3)?)?;
    let mut disabled_until = time(5);
    if status == KeyStatus::Cooling && disabled_until.is_none() {
        return None;
    }
    let is_pools_pause = row.integer(15) == Some(1);
    if is_pools_pause && disabled_until.is_some_and(|until| until.is_ahead_of(now.plus(PAUSE_MS))) {
        // The pool never pauses a key for so long: treat the pause as over, and let a trial decide.
        disabled_until = Some(now);
    }
    let longest_lease = now.plus(LONGEST_TRIAL_LEASE_MS);
    let id = KeyId(row.integer(0)?);
    Some(PoolKey {
        id,
        key: vault.open(id, row.text(1)?)?,
        name: row.lossy_text(7),
        project: text(8).filter(|project| !project.is_empty()),
        priority: row.integer(2).unwrap_or(DEFAULT_PRIORITY),
        state: KeyState {
            status,
            consecutive_failures: row.integer(4).unwrap_or(0),
            disabled_until,
        },
        last_used_at: past(6),
        last_success_began_at: past(9),
        last_outcome: row.text(10).and_then(Outcome::from_name).zip(past(11)),
        trial_until: time(12).filter(|until| !until.is_ahead_of(longest_lease)),
        disabled_reason: row.lossy_text(13),
        edits: row.integer(14).unwrap_or(0),
        credential_header: row.text(16).and_then(CredentialHeader::from_name),
        models: model_rules(row.text(17), row.text(18)),
    })
}

/// The rules in two columns, of which usually both are `NULL`.
fn model_rules(allowed: Option<&str>, forbidden: Option<&str>) -> Option<Rc<ModelRules>> {
    allowed.or(forbidden)?;
    let patterns = |column: Option<&str>| column.map(texts_of).unwrap_or_default();
    Some(Rc::new(ModelRules {
        allowed: patterns(allowed),
        forbidden: patterns(forbidden),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, NativeDatabase, vault};
    use super::super::{PoolRead, read_pool};
    use super::*;
    use crate::pool::Moment;
    use futures::executor::block_on;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;
    use std::collections::BTreeSet;

    fn read(database: &NativeDatabase, sample_by: Option<f64>) -> PoolRead {
        block_on(read_pool(database, &vault(0, 0), sample_by, NOW)).unwrap()
    }

    /// How many different samples a pool has.
    fn samples(database: &NativeDatabase) -> usize {
        let reads = (0..1000).map(|step| read(database, Some(f64::from(step) / 1000.0)));
        let samples: BTreeSet<Vec<KeyId>> = reads
            .map(|read| read.snapshot.keys().iter().map(|key| key.id).collect())
            .collect();
        samples.len()
    }

    fn pool_of(keys: usize, priority: &str) -> NativeDatabase {
        let database = NativeDatabase::migrated();
        database.run(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {keys})
INSERT INTO api_keys (id, api_key, priority, last_used_at) SELECT i, 'fake-key-' || i, {priority}, '2026-01-01' FROM n"
        ));
        database
    }

    #[test]
    fn a_small_pool_is_read_completely() {
        for (keys, expected) in [(1, 1), (199, 1), (200, 4), (1000, 20)] {
            let database = pool_of(keys, "100");
            assert_eq!(samples(&database), expected, "{keys} keys");
            let sample = read(&database, Some(0.5));
            assert_eq!(sample.is_whole, expected == 1, "{keys} keys");
            let (sampled, even) = (sample.snapshot.keys().len(), keys / expected);
            assert!(sampled.abs_diff(even) <= even / 5, "{sampled} of {keys}");
            let whole = read(&database, None);
            assert!(whole.is_whole);
            assert_eq!(whole.snapshot.keys().len(), keys);
        }
        let empty = NativeDatabase::migrated();
        for point in [Some(0.5), None] {
            let read = read(&empty, point);
            assert!(read.is_whole && read.snapshot.keys().is_empty());
        }
    }

    #[test]
    fn samples_contain_no_disabled_keys() {
        let database = pool_of(1000, "100");
        database.run("UPDATE api_keys SET status = 0 WHERE id % 4 <> 0");
        assert_eq!(samples(&database), 5);
        let sample = read(&database, Some(0.5));
        let keys = sample.snapshot.keys();
        assert!(keys.iter().all(|key| key.state.status == KeyStatus::Active));
        assert!(keys.len().abs_diff(50) <= 10, "{}", keys.len());
        database.run("UPDATE api_keys SET status = 0 WHERE id > 700");
        let whole = read(&database, Some(0.5));
        assert!(whole.is_whole, "175 keys are not disabled");
        assert_eq!(whole.snapshot.keys().len(), 1000);
    }

    #[test]
    fn reading_a_sample_scans_no_table() {
        let database = NativeDatabase::migrated();
        for (statement, index, uses) in [
            (all_or_size(), "idx_api_keys_priority", 5),
            (priorities(), "idx_api_keys_priority", 1),
            (hash_of_one(), "idx_api_keys_priority", 1),
            (sample(), "idx_api_keys_sample", 1),
        ] {
            let plan = database.plan(&statement);
            assert_eq!(plan.matches(index).count(), uses, "{plan}");
        }
    }

    proptest! {
        #[test]
        fn a_hash_is_in_its_range_and_ranges_have_no_gaps(hash in any::<u32>(), ranges in 0u32..) {
            let (from, to) = range_of(hash, ranges);
            prop_assert!((from..to).contains(&u64::from(hash)));
            prop_assert!(to <= HASHES);
            if let Ok(next) = u32::try_from(to) {
                prop_assert_eq!(range_of(next, ranges).0, to);
            }
        }

        #[test]
        fn a_drawn_key_has_a_positive_priority(
            point in 0.0..=1.0,
            counted in prop::collection::btree_map(-5i64..200, 1i64..10_000, 0..6),
        ) {
            let counted: Vec<_> = counted.into_iter().collect();
            match draw(point, &counted) {
                Some((priority, position)) => {
                    prop_assert!(priority > 0);
                    let keys = counted.iter().find(|(other, _)| *other == priority).map(|(_, keys)| *keys);
                    prop_assert!((0..keys.unwrap_or_default()).contains(&position));
                }
                None => prop_assert!(counted.iter().all(|(priority, _)| *priority <= 0)),
            }
        }
    }

    #[test]
    fn draws_from_samples_follow_the_weights() {
        // Ten keys weigh as much as all others.
        let database = pool_of(1010, "iif(i <= 10, 100, 1)");
        let mut rng = SmallRng::seed_from_u64(1);
        let now = Moment::new(UnixMillis::parse("2026-01-01T00:00:00Z").unwrap());
        let draws = 4000;
        let heavy = (0..draws).filter(|_| {
            let mut pool = read(&database, Some(rng.random())).snapshot;
            let picked = pool.choose("m", &now, |_| false, &mut rng);
            picked.unwrap().key.id.0 <= 10
        });
        let share = heavy.count() as f64 / f64::from(draws);
        // Five standard deviations.
        assert!((share - 0.5).abs() < 0.04, "{share}");
    }

    #[test]
    fn samples_include_keys_without_weight() {
        let database = pool_of(300, "0");
        assert_eq!(samples(&database), 6);
        database.run("UPDATE api_keys SET priority = -5 WHERE id % 2 = 0");
        assert_eq!(samples(&database), 6);
        database.run("UPDATE api_keys SET priority = 5 WHERE id = 7");
        assert_eq!(samples(&database), 1, "only one key has a weight");
    }
}
