//! How long calls took, per hour: counts by duration, from which percentiles follow.
//!
//! The log has every duration, but its rows expire, and there are many. So some time after the end
//! of an hour, its durations are counted once (migration 0007). Those of the hours since are counted
//! when they are read.

use super::{Database, Progress, Result, Row, Value, read, text, values, write};
use crate::pool::{HOUR_MS, MINUTE_MS, UnixMillis};
use std::fmt::Write;

/// How long after the end of an hour its durations are counted, in milliseconds: 15 minutes. A call
/// is logged when it ends; one that ends later is missing from the durations, though not from the
/// sums.
const SETTLED_AFTER_MS: i64 = 15 * MINUTE_MS;
/// The most significant bit of the longest duration that is told apart: 2^25 ms, more than 9 hours.
const LONGEST_BITS: u32 = 25;

/// Which columns the rows of `call_durations` have details of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// None: all calls of an hour.
    Pool,
    Key,
    Model,
    Token,
    /// All of them, and the outcome.
    Call,
    /// The model, with the calls up to this hour.
    Total,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Key => "key",
            Self::Model => "model",
            Self::Token => "token",
            Self::Call => "call",
            Self::Total => "total",
        }
    }
}

/// The middle of a bucket, which ends where the fourth significant bit is one more.
pub(super) fn middle(bucket_ms: i64) -> i64 {
    let bits = i64::BITS - bucket_ms.leading_zeros();
    bucket_ms + (1 << bits.saturating_sub(4)) / 2
}

/// An expression for the bucket of a duration: its milliseconds, rounded down to four significant
/// bits.
fn bucket(column: &str) -> String {
    let mut expression = format!("CASE WHEN {column} IS NULL THEN NULL WHEN {column} < 0 THEN 0");
    for bits in 4..=LONGEST_BITS {
        // Writing to a string never fails.
        let _ = write!(
            expression,
            " WHEN {column} < {} THEN {column} & -{}",
            1 << bits,
            1 << (bits - 4)
        );
    }
    let _ = write!(expression, " ELSE {} END", 1 << LONGEST_BITS);
    expression
}

/// Selects calls from the log, with the buckets of their durations.
fn calls(condition: &str) -> String {
    format!(
        "SELECT coalesce(strftime('%Y-%m-%dT%H:00:00.000Z', called_at), '') AS hour,
        CAST(coalesce(api_key_id, 0) AS INTEGER) AS api_key_id, coalesce(model, '') AS model,
        coalesce(outcome, '') AS outcome, CAST(coalesce(token_id, 0) AS INTEGER) AS token_id,
        {duration} AS duration, {first_byte} AS first_byte
    FROM (SELECT *, CAST(coalesce(response_time_ms, 0) AS INTEGER) AS ms,
        CAST(first_byte_ms AS INTEGER) AS first_ms FROM api_call_logs WHERE {condition})",
        duration = bucket("ms"),
        first_byte = bucket("first_ms"),
    )
}

/// Calls that were not counted yet: those of the hours after the last one that was.
const SINCE: &str =
    "called_at >= (SELECT coalesce(strftime('%Y-%m-%dT%H:00:00.000Z', max(hour), '+1 hour'), '')
    FROM call_durations WHERE level = 'pool')";

/// Selects the durations of calls with their columns at a level of detail, as `bucket_ms`, `calls`
/// and `first_bytes`. The conditions are about these columns.
///
/// `times` is a condition for calls in the log.
pub(super) fn durations(level: Level, conditions: &str, times: &str) -> String {
    format!(
        "{}
    UNION ALL SELECT hour, api_key_id, model, outcome, token_id, bucket_ms, calls, first_bytes
    FROM ({}) WHERE {conditions}",
        counted(level, conditions),
        buckets(&calls(&format!("{SINCE} AND {times}")))
    )
}

/// Selects the durations that are counted already.
fn counted(level: Level, conditions: &str) -> String {
    let name = level.name();
    let latest = match level {
        Level::Total => "hour = (SELECT max(hour) FROM call_durations WHERE level = 'total')",
        Level::Pool | Level::Key | Level::Model | Level::Token | Level::Call => "true",
    };
    let counts = |column: &str, counts: &str| {
        format!(
            "SELECT hour, api_key_id, model, outcome, token_id, CAST(key AS INTEGER) AS bucket_ms, {counts}
    FROM call_durations, json_each(iif(json_valid({column}), {column}, '{{}}'))
    WHERE level = '{name}' AND {latest} AND {conditions}"
        )
    };
    format!(
        "{} UNION ALL {}",
        counts("durations", "value AS calls, 0 AS first_bytes"),
        counts("first_bytes", "0 AS calls, value AS first_bytes")
    )
}

/// Selects the buckets of calls: one row for the duration, and one for the first byte if there was
/// one.
fn buckets(calls: &str) -> String {
    let columns = "hour, api_key_id, model, outcome, token_id";
    format!(
        "WITH calls AS MATERIALIZED ({calls})
    SELECT {columns}, duration AS bucket_ms, 1 AS calls, 0 AS first_bytes FROM calls
    UNION ALL SELECT {columns}, first_byte, 0, 1 FROM calls WHERE first_byte IS NOT NULL"
    )
}

/// The next hour to count, unless it ended after `?1`.
const NEXT: &str = "SELECT min(hour) FROM api_call_hours
WHERE hour > coalesce((SELECT max(hour) FROM call_durations WHERE level = 'pool'), '') AND hour <= ?1";

/// Counts the durations of the hour `?1` at all levels. The earlier totals are those of the last
/// hour that was counted. An hour without rows in the log gets a row, too.
fn count() -> String {
    // Earlier deployments had a space instead of the `T`. A semicolon follows a colon.
    let condition = "called_at >= substr(?1, 1, 14) AND called_at < substr(?1, 1, 13) || ';'
        OR called_at >= replace(substr(?1, 1, 14), 'T', ' ')
            AND called_at < replace(substr(?1, 1, 13), 'T', ' ') || ';'";
    let objects = "json_group_object(bucket_ms, calls) FILTER (WHERE calls > 0),
        json_group_object(bucket_ms, first_bytes) FILTER (WHERE first_bytes > 0)";
    format!(
        "WITH buckets AS ({buckets}),
detailed AS MATERIALIZED (
    SELECT api_key_id, model, outcome, token_id, {sums} FROM buckets
    GROUP BY api_key_id, model, outcome, token_id, bucket_ms),
counted AS MATERIALIZED (
    SELECT 'call' AS level, * FROM detailed
    UNION ALL SELECT 'key', api_key_id, '', '', 0, {sums} FROM detailed GROUP BY api_key_id, bucket_ms
    UNION ALL SELECT 'model', 0, model, '', 0, {sums} FROM detailed GROUP BY model, bucket_ms
    UNION ALL SELECT 'token', 0, '', '', token_id, {sums} FROM detailed GROUP BY token_id, bucket_ms
    UNION ALL SELECT 'pool', 0, '', '', 0, {sums} FROM detailed GROUP BY bucket_ms),
totals AS (
    SELECT model, {sums} FROM (
        SELECT model, bucket_ms, calls, first_bytes FROM counted WHERE level = 'model'
        UNION ALL SELECT model, bucket_ms, calls, first_bytes FROM ({earlier}))
    GROUP BY model, bucket_ms)
SELECT level, api_key_id, {model}, {outcome}, token_id, {objects}
FROM counted GROUP BY level, api_key_id, model, outcome, token_id
UNION ALL SELECT 'total', 0, {model}, '', 0, {objects} FROM totals GROUP BY model
UNION ALL SELECT 'pool', 0, '', '', 0, '{{}}', '{{}}'",
        buckets = buckets(&calls(condition)),
        sums = "bucket_ms, sum(calls) AS calls, sum(first_bytes) AS first_bytes",
        earlier = counted(Level::Total, "true"),
        model = text("model"),
        outcome = text("outcome"),
    )
}

/// Writes the counts of the hour `?1`, unless another instance has. It is faster than counting, and
/// does not block other writers for long.
const SAVE: &str = "INSERT OR IGNORE INTO call_durations
    (level, hour, api_key_id, model, outcome, token_id, durations, first_bytes)
SELECT json_extract(value, '$[0]'), ?1, json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
    json_extract(value, '$[6]')
FROM json_each(?2)
WHERE NOT EXISTS (SELECT 1 FROM call_durations WHERE level = 'pool' AND hour >= ?1)";

/// Counts the durations of hours that are over, until so many milliseconds have passed. Instances may
/// do this concurrently.
///
/// # Errors
/// The database refused.
pub(super) async fn count_durations(
    database: &impl Database,
    now: UnixMillis,
    limit_ms: u64,
) -> Result<Progress> {
    let latest = now.plus(-HOUR_MS - SETTLED_AFTER_MS);
    let count = count();
    let began = database.clock_ms();
    while database.clock_ms().saturating_sub(began) <= limit_ms {
        let rows = read(database, NEXT, values![latest]).await?;
        let Some(hour) = rows.first().and_then(|row| row.text(0)) else {
            return Ok(Progress::Done);
        };
        let counted = read(database, &count, values![hour]).await?;
        let rows: Vec<Vec<Value>> = counted.iter().map(as_text).collect();
        // Texts and numbers always serialize.
        let rows = serde_json::to_string(&rows).unwrap_or_default();
        write(database, SAVE, values![hour, rows]).await?;
        let outdated = "DELETE FROM call_durations WHERE level = 'total'
            AND hour < (SELECT max(hour) FROM call_durations WHERE level = 'total')";
        write(database, outdated, Vec::new()).await?;
    }
    Ok(Progress::MoreToCount)
}

/// The values of a row, whose texts were read as bytes.
fn as_text(row: &Row) -> Vec<Value> {
    let values = (0..).zip(&row.0);
    let values = values.map(|(column, value)| match value {
        // So is an empty one: SQLite makes it NULL.
        Value::Null | Value::Blob(_) => row.lossy_text(column).unwrap_or_default().into(),
        Value::Integer(_) | Value::Real(_) | Value::Text(_) => value.clone(),
    });
    values.collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DatabaseFile, NOW, NativeDatabase};
    use super::*;
    use futures::executor::block_on;

    fn log(database: &NativeDatabase, minutes: i64, model: &str, duration_ms: i64) {
        let insert = "INSERT INTO api_call_logs (api_key_id, success, called_at, model, outcome, response_time_ms, first_byte_ms)
            VALUES (1, 1, ?, ?, 'success', ?, ?)";
        let at = NOW.plus(minutes * 60_000).to_iso();
        let row = (at, model, duration_ms, duration_ms / 2);
        database.connection.execute(insert, row).unwrap();
    }

    fn count_at(database: &NativeDatabase, minutes: i64) -> Progress {
        block_on(count_durations(database, NOW.plus(minutes * 60_000), 1_000)).unwrap()
    }

    /// The rows of a level: hour, model, durations.
    fn counted(database: &NativeDatabase, level: &str) -> Vec<String> {
        database.query(&format!(
            "SELECT substr(hour, 12, 2), model, durations FROM call_durations WHERE level = '{level}' ORDER BY hour, model"
        ))
    }

    /// The calls so far: model, bucket and calls.
    fn by_model(database: &NativeDatabase) -> Vec<String> {
        database.query(&format!(
            "SELECT model, bucket_ms, sum(calls) FROM ({}) GROUP BY 1, 2 HAVING sum(calls) > 0",
            durations(Level::Total, "true", "true")
        ))
    }

    #[test]
    fn an_hour_is_counted_once_when_it_is_long_over() {
        // NOW is 08:00.
        let database = NativeDatabase::migrated();
        for (minutes, model, duration_ms) in
            [(0, "a", 100), (59, "a", 103), (59, "b", 33), (60, "b", 7)]
        {
            log(&database, minutes, model, duration_ms);
        }
        let all = ["a|96|2", "b|7|1", "b|32|1"];
        count_at(&database, 74);
        assert_eq!(counted(&database, "pool"), [""; 0]);
        assert_eq!(by_model(&database), all);
        for _ in 0..2 {
            assert_eq!(count_at(&database, 75), Progress::Done);
            assert_eq!(counted(&database, "pool"), [r#"08||{"32":1,"96":2}"#]);
            assert_eq!(by_model(&database), all);
        }
        // Too late for the hour.
        log(&database, 1, "a", 100);
        count_at(&database, 180);
        assert_eq!(
            counted(&database, "model"),
            [r#"08|a|{"96":2}"#, r#"08|b|{"32":1}"#, r#"09|b|{"7":1}"#]
        );
        assert_eq!(
            counted(&database, "total"),
            [r#"09|a|{"96":2}"#, r#"09|b|{"7":1,"32":1}"#]
        );
        assert_eq!(by_model(&database), all);
    }

    #[test]
    fn an_hour_without_rows_does_not_block_the_next() {
        let database = NativeDatabase::migrated();
        log(&database, 0, "a", 100);
        database.run("DELETE FROM api_call_logs");
        log(&database, 60, "a", 100);
        assert_eq!(count_at(&database, 200), Progress::Done);
        assert_eq!(counted(&database, "pool"), ["08||{}", r#"09||{"96":1}"#]);
    }

    #[test]
    fn times_of_earlier_deployments_are_counted() {
        let database = NativeDatabase::migrated();
        database.run(
            "INSERT INTO api_call_logs (api_key_id, success, called_at, response_time_ms) VALUES
             (1, 1, '2025-01-02 03:04:05', 812), (1, 1, '2025-01-02T03:59:59Z', NULL), (1, 1, '2025-01-02 04:00:00', 5)",
        );
        count_at(&database, 0);
        assert_eq!(
            counted(&database, "pool"),
            [r#"03||{"0":1,"768":1}"#, r#"04||{"5":1}"#]
        );
    }

    #[test]
    fn hours_are_counted_for_a_limited_time() {
        let database = NativeDatabase::migrated();
        database.each_try_takes(10);
        for hour in 0..60 {
            log(&database, hour * 60, "a", 100);
        }
        assert_eq!(count_at(&database, 10_000), Progress::MoreToCount);
        // Each takes four statements.
        assert_eq!(counted(&database, "pool").len(), 26);
        count_at(&database, 10_000);
        assert_eq!(count_at(&database, 10_000), Progress::Done);
        assert_eq!(by_model(&database), ["a|96|60"]);
    }

    #[test]
    fn parallel_instances_count_each_hour_once() {
        let file = DatabaseFile::migrated();
        let database = file.open();
        for minute in 0..600 {
            log(&database, minute, "a", minute);
        }
        file.in_parallel(4, |_, database| {
            count_at(&database, 1_000);
        });
        let calls =
            "SELECT level, sum(value) FROM call_durations, json_each(durations) GROUP BY level";
        assert_eq!(
            database.query(calls),
            [
                "call|600",
                "key|600",
                "model|600",
                "pool|600",
                "token|600",
                "total|600"
            ]
        );
    }

    #[test]
    fn the_middle_of_a_bucket_is_near_its_ends() {
        for (bucket_ms, expected) in [
            (0, 0),
            (15, 15),
            (16, 17),
            (30, 31),
            (32, 34),
            (240, 248),
            (1 << 25, 35_651_584),
        ] {
            assert_eq!(middle(bucket_ms), expected, "{bucket_ms}");
        }
    }
}
