//! Reading the pool: every key, what cools, what is known of budgets.

use super::cool_downs::{SAYS_SOMETHING, says_something_at};
use super::{Database, DatabaseError, Row, Value};
use crate::pool::{
    ApiKey, CoolDown, KeyId, KeyState, KeyStatus, Limit, Moment, Outcome, Place, PoolKey, Scope,
    Snapshot, Unit, UnixMillis, Used, Window, before_minute,
};

const COLUMNS: &str = "id, api_key, priority, status, consecutive_failures, disabled_until, last_used_at,
    name, project, last_success_began_at, last_outcome, last_outcome_at, trial_until, disabled_reason";

/// Keys that are not disabled of which a sample has about as many, where the pool has at least twice as many.
const SAMPLE: usize = 100;

/// The keys whose ids fall together, by a hash, so that samples do not follow the order in which keys were added: those of
/// a key that is drawn by `?1`, a number from 0 to 1, by its priority. So a sample is as likely as the priorities of its
/// keys say, and a key is drawn about as often as if the draw were among all, while none cools. Priorities come from their
/// index, which is far smaller than the table.
fn sample() -> String {
    // Knuth's multiplicative hash; the mask keeps the product within 64 bits, and positive.
    let hash = "((id & 2147483647) * 2654435761 >> 16)";
    format!(
        "WITH size (samples) AS (SELECT max(1, count(*) / {SAMPLE}) FROM api_keys WHERE status <> 0),
classes (priority, weight) AS (SELECT priority, max(0, priority) * count(*) FROM api_keys GROUP BY priority),
sums (priority, weight, upto) AS (SELECT priority, weight, sum(weight) OVER (ORDER BY priority) FROM classes),
drawn (priority, place) AS (
    SELECT priority, (?1 * (SELECT sum(weight) FROM classes) - upto + weight) / priority FROM sums
    WHERE upto > ?1 * (SELECT sum(weight) FROM classes) ORDER BY upto LIMIT 1
),
key (id) AS (
    SELECT id FROM api_keys WHERE priority = (SELECT priority FROM drawn)
    LIMIT 1 OFFSET coalesce((SELECT CAST(place AS INTEGER) FROM drawn), 0)
)
SELECT {COLUMNS}, (SELECT samples FROM size) FROM api_keys
WHERE {hash} % (SELECT samples FROM size) = coalesce(
    (SELECT {hash} % (SELECT samples FROM size) FROM key),
    (SELECT CAST(?1 * samples AS INTEGER) % samples FROM size))"
    )
}

/// Cool-downs, limits and usage in one statement; the first column says which.
fn circumstances() -> String {
    format!(
        "SELECT 'cool_down', scope, model, reason, began_at, until, strikes, trial_until FROM cool_downs
    WHERE {SAYS_SOMETHING}
UNION ALL SELECT 'limit', scope, model, unit, per, learned, preset, learned_at FROM limits
UNION ALL SELECT 'unsupported', '', model, field, learned_at, NULL, NULL, NULL FROM unsupported_fields WHERE learned_at >= ?5
UNION ALL SELECT 'usage', scope, model, per, began_at, requests, input_tokens, NULL FROM budget_usage
    WHERE (per = 'day' AND began_at >= ?3) OR (per = 'minute' AND began_at >= ?4)"
    )
}

/// How long a learned limit, or a field that is not known, is believed, in milliseconds: 7 days. A limit that was raised
/// teaches nobody, since the pool stays below it; so it is learned anew from time to time, at the price of one refused call.
const LIMIT_BELIEVED_MS: i64 = 7 * 24 * 3_600_000;

/// What was read of the pool.
#[derive(Debug)]
pub struct PoolRead {
    /// The pool as it is now.
    pub snapshot: Snapshot,
    /// Whether all keys are in it.
    pub is_whole: bool,
    /// Rows that are broken: an unknown status, a key that no header can carry, or a pause whose end cannot be read.
    pub broken: Vec<KeyId>,
}

/// Reads the pool, or, of a pool of many keys, a sample that is drawn by `sample_by`, a number from 0 to 1.
///
/// # Errors
/// A table cannot be read.
pub async fn read_pool(
    database: &impl Database,
    sample_by: Option<f64>,
    now: UnixMillis,
) -> Result<PoolRead, DatabaseError> {
    let (keys, is_whole, broken) = pool_keys(database, sample_by).await?;
    let mut snapshot = Snapshot::new(keys);
    let moment = Moment::new(now);
    let mut parameters = Vec::from(says_something_at(now));
    let since = [
        moment.day_start(),
        before_minute(now),
        now.plus(-LIMIT_BELIEVED_MS),
    ];
    parameters.extend(since.map(|time| Value::from(time.to_iso())));
    let rows = database.execute(&circumstances(), parameters).await?;
    for row in &rows {
        // A row that cannot be read says nothing; every row of the pool's own making can.
        let _ = enter(&mut snapshot, row, now);
    }
    Ok(PoolRead {
        snapshot,
        is_whole,
        broken,
    })
}

fn enter(snapshot: &mut Snapshot, row: &Row, now: UnixMillis) -> Option<()> {
    if row.text(0)? == "unsupported" {
        snapshot.add_unsupported(row.text(2)?, row.text(3)?);
        return Some(());
    }
    let place = Place {
        scope: Scope::parse(row.text(1)?)?,
        model: row
            .text(2)
            .filter(|model| !model.is_empty())
            .map(str::to_owned),
    };
    match row.text(0)? {
        "cool_down" => {
            let cool_down = cool_down(row, 3)?;
            if !cool_down.is_spent(now) {
                snapshot.set_cool_down(&place, cool_down);
            }
        }
        "limit" => {
            let (unit, window) = (
                Unit::from_name(row.text(3)?)?,
                Window::from_name(row.text(4)?)?,
            );
            let learned_at = row.text(7).and_then(UnixMillis::parse);
            let learned = row
                .integer(5)
                .filter(|_| learned_at.is_some_and(|at| now.since(at) < LIMIT_BELIEVED_MS));
            for value in [learned, row.integer(6)].into_iter().flatten() {
                let value = u64::try_from(value).unwrap_or_default();
                snapshot.add_limit(
                    &place,
                    Limit {
                        unit,
                        window,
                        value,
                    },
                );
            }
        }
        _ => {
            let count = |column| u64::try_from(row.integer(column)?).ok();
            snapshot.add_used(
                &place,
                Window::from_name(row.text(3)?)?,
                UnixMillis::parse(row.text(4)?)?,
                Used {
                    requests: count(5)?,
                    input_tokens: count(6)?,
                },
            );
        }
    }
    Some(())
}

/// A cool-down from the columns `reason, began_at, until, strikes, trial_until`, the first of which is `from`.
pub(super) fn cool_down(row: &Row, from: usize) -> Option<CoolDown> {
    Some(CoolDown {
        reason: Outcome::from_name(row.text(from)?)?,
        began_at: UnixMillis::parse(row.text(from + 1)?)?,
        until: UnixMillis::parse(row.text(from + 2)?)?,
        strikes: u32::try_from(row.integer(from + 3)?).ok()?.max(1),
        trial_until: row.text(from + 4).and_then(UnixMillis::parse),
    })
}

async fn pool_keys(
    database: &impl Database,
    sample_by: Option<f64>,
) -> Result<(Vec<PoolKey>, bool, Vec<KeyId>), DatabaseError> {
    let rows = match sample_by {
        Some(by) => database.execute(&sample(), vec![Value::Real(by)]).await?,
        None => {
            let all = format!("SELECT {COLUMNS}, 1 FROM api_keys");
            database.execute(&all, Vec::new()).await?
        }
    };
    // Without a row, what was looked for may be among the others.
    let is_whole = match rows.first() {
        Some(row) => row.integer(14) == Some(1),
        None => sample_by.is_none(),
    };
    let mut keys = Vec::with_capacity(rows.len());
    let mut broken = Vec::new();
    for row in &rows {
        match pool_key(row) {
            Some(key) => keys.push(key),
            None => broken.extend(row.integer(0).map(KeyId)),
        }
    }
    Ok((keys, is_whole, broken))
}

fn pool_key(row: &Row) -> Option<PoolKey> {
    let text = |column| row.text(column).map(str::to_owned);
    let time = |column| row.text(column).and_then(UnixMillis::parse);
    let status = KeyStatus::from_code(row.integer(3)?)?;
    let disabled_until = time(5);
    if status == KeyStatus::Cooling && disabled_until.is_none() {
        return None;
    }
    Some(PoolKey {
        id: KeyId(row.integer(0)?),
        key: ApiKey::try_new(row.text(1)?).ok()?,
        name: text(7),
        project: text(8).filter(|project| !project.is_empty()),
        priority: row.integer(2).unwrap_or(0),
        state: KeyState {
            status,
            consecutive_failures: row.integer(4).unwrap_or(0),
            disabled_until,
        },
        last_used_at: time(6),
        last_success_began_at: time(9),
        last_outcome: row.text(10).and_then(Outcome::from_name).zip(time(11)),
        trial_until: time(12),
        disabled_reason: text(13),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::NativeDatabase;
    use super::*;
    use crate::pool::{Standing, Why};
    use futures::executor::block_on;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    /// How many samples a pool falls into.
    fn samples(database: &NativeDatabase) -> usize {
        let by = |step: usize| Some(step as f64 / 1000.0);
        let reads = (0..1000).map(|step| block_on(read_pool(database, by(step), NOW)).unwrap());
        let mut seen: Vec<Vec<KeyId>> = reads
            .map(|read| read.snapshot.keys().iter().map(|key| key.id).collect())
            .collect();
        seen.sort();
        seen.dedup();
        seen.len()
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
    fn a_pool_of_fewer_than_two_samples_is_read_whole() {
        for (keys, expected) in [(1, 1), (199, 1), (200, 2), (1000, 10)] {
            let database = pool_of(keys, "100");
            assert_eq!(samples(&database), expected, "{keys} keys");
            let read = block_on(read_pool(&database, Some(0.5), NOW)).unwrap();
            assert_eq!(read.is_whole, expected == 1, "{keys} keys");
            let (read, even) = (read.snapshot.keys().len(), keys / expected);
            assert!(read.abs_diff(even) <= even / 5, "{read} of {keys} keys");
            let whole = block_on(read_pool(&database, None, NOW)).unwrap();
            assert!(whole.is_whole);
            assert_eq!(whole.snapshot.keys().len(), keys);
        }
        let empty = NativeDatabase::migrated();
        assert!(
            !block_on(read_pool(&empty, Some(0.5), NOW))
                .unwrap()
                .is_whole
        );
        assert!(block_on(read_pool(&empty, None, NOW)).unwrap().is_whole);
    }

    #[test]
    fn over_samples_keys_are_drawn_by_their_weights() {
        // Ten keys are worth as much as all others.
        let database = pool_of(1010, "iif(i <= 10, 100, 1)");
        let mut rng = SmallRng::seed_from_u64(1);
        let now = Moment::new(UnixMillis::parse("2026-01-01T00:00:00Z").unwrap());
        let draws = 4000;
        let heavy = (0..draws).filter(|_| {
            let mut read = block_on(read_pool(&database, Some(rng.random()), NOW)).unwrap();
            let picked = read
                .snapshot
                .choose("m", &now, |_| false, &mut rng)
                .unwrap();
            picked.key.id.0 <= 10
        });
        let share = heavy.count() as f64 / f64::from(draws);
        // Five standard deviations.
        assert!((share - 0.5).abs() < 0.04, "{share}");
    }

    #[test]
    fn keys_without_weight_are_in_samples_all_the_same() {
        let database = pool_of(300, "0");
        assert_eq!(samples(&database), 3);
        database.run("UPDATE api_keys SET priority = -5 WHERE id % 2 = 0");
        assert_eq!(samples(&database), 3);
        database.run("UPDATE api_keys SET priority = 5 WHERE id = 7");
        assert_eq!(samples(&database), 1, "that of the only key with a weight");
    }

    fn read(database: &NativeDatabase) -> (Snapshot, Vec<KeyId>) {
        let read = block_on(read_pool(database, None, NOW)).unwrap();
        (read.snapshot, read.broken)
    }

    #[test]
    fn keys_are_read_with_their_state_and_broken_rows_named() {
        let database = NativeDatabase::migrated();
        database.run(
            "INSERT INTO api_keys (id, api_key, status, disabled_until, last_used_at, priority, consecutive_failures, project, last_outcome, last_outcome_at) VALUES
             (1, 'fake-a', 1, NULL, NULL, 100, 0, NULL, NULL, NULL),
             (2, 'fake-b', 2, '2027-01-15T08:00:00.000Z', '2027-01-15 07:30:00', 50, 2, 'projects/7', 'project_refused', '2027-01-15T07:31:00.000Z'),
             (3, 'fake-c', 0, NULL, NULL, 100, 5, '', NULL, NULL),
             (4, 'fake d', 1, NULL, NULL, 100, 0, NULL, NULL, NULL),
             (5, 'fake-e', 7, NULL, NULL, 100, 0, NULL, NULL, NULL),
             (6, 'fake-f', 2, NULL, NULL, 100, 2, NULL, NULL, NULL),
             (7, 'fake-g', 2, 'soon', NULL, 100, 2, NULL, NULL, NULL)",
        );
        let (snapshot, broken) = read(&database);
        let ids: Vec<_> = snapshot.keys().iter().map(|key| key.id.0).collect();
        assert_eq!(ids, [1, 2, 3]);
        assert_eq!(broken, [4, 5, 6, 7].map(KeyId));
        let cooling = snapshot.key(KeyId(2)).unwrap();
        assert_eq!(cooling.key.expose(), "fake-b");
        assert_eq!(cooling.priority, 50);
        assert_eq!(
            cooling.state,
            KeyState {
                status: KeyStatus::Cooling,
                consecutive_failures: 2,
                disabled_until: UnixMillis::parse("2027-01-15T08:00:00.000Z"),
            }
        );
        assert_eq!(cooling.project.as_deref(), Some("projects/7"));
        let at = UnixMillis::parse("2027-01-15T07:31:00.000Z");
        assert_eq!(cooling.last_outcome, Some(Outcome::ProjectRefused).zip(at));
        assert_eq!(snapshot.key(KeyId(3)).unwrap().project, None);
    }

    #[test]
    fn what_cools_and_what_is_left_is_read() {
        let database = NativeDatabase::migrated();
        database.run(
            "INSERT INTO api_keys (id, api_key) VALUES (1, 'fake-a'), (2, 'fake-b');
             INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
             ('key:1', 'm', 'quota_per_day', '2027-01-15T07:00:00.000Z', '2027-01-15T08:00:00.001Z', 1),
             ('key:2', 'm', 'quota_per_day', '2027-01-15T07:00:00.000Z', '2027-01-15T08:00:00.000Z', 1),
             ('key:2', '', 'nonsense', '2027-01-15T07:00:00.000Z', '2027-01-15T09:00:00.000Z', 1);
             INSERT INTO limits (scope, model, unit, per, learned, learned_at, preset) VALUES
             ('key:2', 'm', 'requests', 'day', 20, '2027-01-14T08:00:00.000Z', NULL),
             ('key:2', '', 'requests', 'day', NULL, NULL, 7),
             ('key:2', 'm', 'input_tokens', 'minute', 100, '2027-01-01T08:00:00.000Z', 500);
             INSERT INTO budget_usage (scope, model, per, began_at, requests, input_tokens) VALUES
             ('key:2', 'm', 'day', '2027-01-15T08:00:00.000Z', 5, 50),
             ('key:2', 'm', 'day', '2027-01-14T08:00:00.000Z', 20, 900),
             ('key:2', 'm', 'minute', '2027-01-15T07:59:50.000Z', 2, 20),
             ('key:2', 'm', 'minute', '2027-01-15T07:58:40.000Z', 3, 30)",
        );
        let (snapshot, _) = read(&database);
        let now = Moment::new(NOW);
        let (first, second) = (
            snapshot.key(KeyId(1)).unwrap(),
            snapshot.key(KeyId(2)).unwrap(),
        );
        assert_eq!(
            snapshot.standing(first, "m", &now),
            Standing::Out {
                why: Why::Cooling(Outcome::QuotaPerDay),
                until: Some(NOW.plus(1))
            }
        );
        assert!(matches!(
            snapshot.standing(second, "m", &now),
            Standing::Eligible { .. }
        ));
        let mut balances: Vec<String> = snapshot
            .balances(second, "m", &now)
            .into_iter()
            .map(|(place, balance)| {
                format!(
                    "{:?} {} {}: {} of {}",
                    place.model,
                    balance.limit.unit.name(),
                    balance.limit.window.name(),
                    balance.used,
                    balance.limit.value
                )
            })
            .collect();
        balances.sort();
        assert_eq!(
            balances,
            [
                "None requests day: 0 of 7",
                "Some(\"m\") input_tokens minute: 20 of 500",
                "Some(\"m\") requests day: 5 of 20",
            ],
            "a limit that was learned two weeks ago is not believed any more"
        );
    }
}
