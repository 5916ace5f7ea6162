//! The table of keys: reading the pool, reporting on it, importing into it.

use super::{Database, DatabaseError, Row, Value, write};
use crate::pool::{ApiKey, KeyId, KeyState, KeyStatus, PoolKey, UnixMillis};
use serde::Serialize;

const POOL: &str =
    "SELECT id, api_key, priority, status, consecutive_failures, disabled_until, last_used_at
FROM api_keys WHERE status <> 0";

const REPORT: &str =
    "SELECT id, name, status, consecutive_failures, total_calls, success_calls, last_used_at
FROM api_keys ORDER BY priority DESC, id";

/// Every key that is not disabled, as choosing sees it, and the ids of rows that are broken: an unknown status, a key that
/// no header can carry, or a pause whose end cannot be read.
///
/// # Errors
/// The table cannot be read.
pub async fn pool_keys(
    database: &impl Database,
) -> Result<(Vec<PoolKey>, Vec<KeyId>), DatabaseError> {
    let rows = database.execute(POOL, Vec::new()).await?;
    let mut keys = Vec::with_capacity(rows.len());
    let mut unusable = Vec::new();
    for row in &rows {
        match pool_key(row) {
            Some(key) => keys.push(key),
            None => unusable.extend(row.integer(0).map(KeyId)),
        }
    }
    Ok((keys, unusable))
}

fn pool_key(row: &Row) -> Option<PoolKey> {
    let status = KeyStatus::from_code(row.integer(3)?)?;
    let disabled_until = row.text(5).and_then(UnixMillis::parse);
    if status == KeyStatus::Cooling && disabled_until.is_none() {
        return None;
    }
    Some(PoolKey {
        id: KeyId(row.integer(0)?),
        key: ApiKey::try_new(row.text(1)?).ok()?,
        priority: row.integer(2).unwrap_or(0),
        state: KeyState {
            status,
            consecutive_failures: row.integer(4).unwrap_or(0),
            disabled_until,
        },
        last_used_at: row.text(6).and_then(UnixMillis::parse),
    })
}

/// A key as the status report shows it: never the key itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyReport {
    /// Row id.
    pub id: i64,
    /// The name that a person gave it.
    pub name: Option<String>,
    /// 1 active, 2 temporarily disabled, 0 disabled.
    pub status: i64,
    /// Failures of the key since its last success.
    pub consecutive_failures: i64,
    /// Calls made with it.
    pub total_calls: i64,
    /// Calls that succeeded.
    pub success_calls: i64,
    /// Start of the latest call.
    pub last_used_at: Option<String>,
    /// Successes in percent of calls, with two digits; `None` without calls.
    pub success_rate: Option<f64>,
}

/// All keys, highest priority first, then by id.
///
/// # Errors
/// The table cannot be read.
pub async fn key_report(database: &impl Database) -> Result<Vec<KeyReport>, DatabaseError> {
    let rows = database.execute(REPORT, Vec::new()).await?;
    Ok(rows.iter().map(report).collect())
}

fn report(row: &Row) -> KeyReport {
    let number = |column| row.integer(column).unwrap_or(0);
    let text = |column| row.text(column).map(str::to_owned);
    let (total_calls, success_calls) = (number(4), number(5));
    KeyReport {
        id: number(0),
        name: text(1),
        status: number(2),
        consecutive_failures: number(3),
        total_calls,
        success_calls,
        last_used_at: text(6),
        success_rate: (total_calls > 0)
            .then(|| (success_calls as f64 * 10_000.0 / total_calls as f64).round() / 100.0),
    }
}

/// Puts the keys of the `gemini_api_key` variable into the table, each once, as `Auto-imported Key i` with priority
/// 100 − 10·(i − 1). Keys that are there already, under whatever name, are left as they are.
///
/// # Errors
/// The table cannot be read or changed.
pub async fn import_keys(
    database: &impl Database,
    keys: &[ApiKey],
    now: UnixMillis,
) -> Result<(), DatabaseError> {
    if keys.is_empty() {
        return Ok(());
    }
    // Most starts find all keys there, and a read does not wait for the write lock.
    let marks: Vec<String> = (1..=keys.len()).map(|index| format!("?{index}")).collect();
    let known = format!(
        "SELECT count(*) FROM api_keys WHERE api_key IN ({})",
        marks.join(", ")
    );
    let values = keys.iter().map(|key| Value::from(key.expose())).collect();
    let rows = database.execute(&known, values).await?;
    if rows.first().and_then(|row| row.integer(0)) == i64::try_from(keys.len()).ok() {
        return Ok(());
    }

    let now = now.to_iso();
    let mut parameters = vec![Value::from(now)];
    let mut rows = Vec::with_capacity(keys.len());
    for (index, key) in (0i64..).zip(keys) {
        parameters.push(Value::from(key.expose()));
        let key_parameter = parameters.len();
        parameters.push(Value::from(format!("Auto-imported Key {}", index + 1)));
        rows.push(format!(
            "(?{key_parameter}, ?{}, {}, 1, 0, 0, 0, ?1, ?1)",
            key_parameter + 1,
            100 - 10 * index
        ));
    }
    let insert = format!(
        "INSERT INTO api_keys (api_key, name, priority, status, consecutive_failures, total_calls, success_calls, created_at, updated_at)
VALUES {} ON CONFLICT (api_key) DO NOTHING",
        rows.join(", ")
    );
    write(database, &insert, parameters).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::testing::NativeDatabase;
    use super::*;
    use futures::executor::block_on;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn keys(texts: &[&str]) -> Vec<ApiKey> {
        texts
            .iter()
            .map(|text| ApiKey::try_new(*text).unwrap())
            .collect()
    }

    #[test]
    fn imported_keys_have_names_and_falling_priorities() {
        let database = NativeDatabase::migrated();
        block_on(import_keys(
            &database,
            &keys(&["fake-a", "fake-b", "fake-c"]),
            NOW,
        ))
        .unwrap();
        assert_eq!(
            database.query("SELECT id, api_key, name, priority, status, total_calls, created_at = updated_at FROM api_keys"),
            [
                "1|fake-a|Auto-imported Key 1|100|1|0|1",
                "2|fake-b|Auto-imported Key 2|90|1|0|1",
                "3|fake-c|Auto-imported Key 3|80|1|0|1",
            ]
        );
    }

    #[test]
    fn importing_again_adds_new_keys_and_leaves_the_others_alone() {
        let database = NativeDatabase::migrated();
        block_on(import_keys(&database, &keys(&["fake-a"]), NOW)).unwrap();
        database.run("UPDATE api_keys SET name = 'renamed', status = 0, priority = 5");
        for _ in 0..2 {
            block_on(import_keys(&database, &keys(&["fake-b", "fake-a"]), NOW)).unwrap();
        }
        assert_eq!(
            database.query("SELECT api_key, name, priority, status FROM api_keys ORDER BY id"),
            ["fake-a|renamed|5|0", "fake-b|Auto-imported Key 1|100|1"]
        );
    }

    #[test]
    fn the_pool_leaves_out_disabled_keys_and_names_broken_rows() {
        let database = NativeDatabase::migrated();
        database.run(
            "INSERT INTO api_keys (id, api_key, status, disabled_until, last_used_at, priority, consecutive_failures) VALUES
             (1, 'fake-a', 1, NULL, NULL, 100, 0),
             (2, 'fake-b', 2, '2027-01-15T08:00:00.000Z', '2027-01-15 07:30:00', 50, 2),
             (3, 'fake-c', 0, NULL, NULL, 100, 5),
             (4, 'fake d', 1, NULL, NULL, 100, 0),
             (5, 'fake-e', 7, NULL, NULL, 100, 0),
             (6, 'fake-f', 2, NULL, NULL, 100, 2),
             (7, 'fake-g', 2, 'soon', NULL, 100, 2)",
        );
        let (keys, unusable) = block_on(pool_keys(&database)).unwrap();
        assert_eq!(keys.iter().map(|key| key.id.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(unusable, [4, 5, 6, 7].map(KeyId));
        let cooling = &keys[1];
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
        assert_eq!(
            cooling.last_used_at,
            UnixMillis::parse("2027-01-15T07:30:00.000Z")
        );
    }

    #[test]
    fn the_report_is_ordered_and_never_holds_a_key() {
        let database = NativeDatabase::migrated();
        database.run(
            "INSERT INTO api_keys (id, api_key, name, priority, status, consecutive_failures, total_calls, success_calls, last_used_at) VALUES
             (1, 'fake-a', 'first', 90, 1, 0, 3, 2, '2026-01-31T09:05:07.042Z'),
             (2, 'fake-b', NULL, 100, 0, 5, 0, 0, NULL),
             (3, 'fake-c', 'third', 100, 2, 2, 8, 8, NULL)",
        );
        let report = block_on(key_report(&database)).unwrap();
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            json,
            r#"[{"id":2,"name":null,"status":0,"consecutive_failures":5,"total_calls":0,"success_calls":0,"last_used_at":null,"success_rate":null},{"id":3,"name":"third","status":2,"consecutive_failures":2,"total_calls":8,"success_calls":8,"last_used_at":null,"success_rate":100.0},{"id":1,"name":"first","status":1,"consecutive_failures":0,"total_calls":3,"success_calls":2,"last_used_at":"2026-01-31T09:05:07.042Z","success_rate":66.67}]"#
        );
        assert!(!json.contains("fake-"));
    }

    #[test]
    fn a_dump_of_an_earlier_deployment_works() {
        let database = NativeDatabase::in_memory();
        database.run(include_str!("../../tests/fixtures/earlier_deployment.sql"));
        block_on(super::super::migrate(&database)).unwrap();
        let (keys, unusable) = block_on(pool_keys(&database)).unwrap();
        assert_eq!(keys.iter().map(|key| key.id.0).collect::<Vec<_>>(), [1, 2]);
        assert!(unusable.is_empty());
        assert_eq!(
            keys[0].last_used_at,
            UnixMillis::parse("2025-06-01T12:34:56.789Z")
        );
        assert_eq!(database.query("SELECT count(*) FROM api_call_logs"), ["4"]);
        let report = block_on(key_report(&database)).unwrap();
        assert_eq!(
            report.iter().map(|key| key.id).collect::<Vec<_>>(),
            [1, 2, 3]
        );
    }
}
