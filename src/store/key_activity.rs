//! How the calls of keys ended, hour by hour, from the hourly sums.

use super::{Database, Result, number, read, text, values};
use crate::pool::{KeyId, UnixMillis};

/// The calls of a key that began in an hour and ended in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHour {
    /// The key.
    pub key: KeyId,
    /// The beginning of the hour, in ISO 8601.
    pub hour: String,
    /// The name of the outcome.
    pub outcome: String,
    /// How many there were.
    pub calls: i64,
}

/// The calls of these keys in hours from `from` on, and before `until`, by key, hour and outcome.
///
/// # Errors
/// The table cannot be read.
pub async fn key_activity(
    database: &impl Database,
    keys: &[KeyId],
    from: UnixMillis,
    until: Option<UnixMillis>,
) -> Result<Vec<KeyHour>> {
    let ids: Vec<String> = keys.iter().map(KeyId::to_string).collect();
    // total() rather than sum(), which fails where integers overflow.
    let select = format!(
        "SELECT {key}, {hour}, {outcome}, calls FROM (
    SELECT api_key_id, hour, outcome, total(calls) AS calls FROM api_call_hours
    WHERE hour >= ?2 AND hour < coalesce(?3, 'a') AND api_key_id IN (SELECT value FROM json_each(?1))
    GROUP BY api_key_id, hour, outcome
) WHERE calls > 0 ORDER BY api_key_id, hour, outcome",
        key = number("api_key_id"),
        hour = text("hour"),
        outcome = text("outcome"),
    );
    let parameters = values![format!("[{}]", ids.join(",")), from, until];
    let rows = read(database, &select, parameters).await?;
    let hours = rows.iter().filter_map(|row| {
        Some(KeyHour {
            key: KeyId(row.integer(0)?),
            hour: row.lossy_text(1)?,
            outcome: row.lossy_text(2)?,
            calls: row.integer(3)?,
        })
    });
    Ok(hours.collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::NativeDatabase;
    use super::*;
    use futures::executor::block_on;

    #[test]
    fn calls_are_summed_by_key_hour_and_outcome() {
        let database = NativeDatabase::with_keys(3);
        database.run(
            "INSERT INTO api_call_logs (api_key_id, success, model, outcome, called_at) VALUES
             (1, 1, 'm', 'success', '2027-01-15T06:10:00.000Z'),
             (1, 1, 'n', 'success', '2027-01-15T06:50:00.000Z'),
             (1, 0, 'm', 'quota_per_day', '2027-01-15T06:50:00.000Z'),
             (1, 1, 'm', 'success', '2027-01-15T07:00:00.000Z'),
             (1, 1, 'm', 'success', '2027-01-15T08:00:00.000Z'),
             (2, 1, 'm', 'success', '2027-01-15T06:10:00.000Z'),
             (3, 1, 'm', 'success', '2027-01-15T05:59:59.999Z'),
             (1, 1, 'm', 'success', 'soon')",
        );
        let read = |keys: &[i64], until: Option<&str>| {
            let keys: Vec<KeyId> = keys.iter().copied().map(KeyId).collect();
            let from = UnixMillis::parse("2027-01-15T06:00:00Z").unwrap();
            let until = until.map(|until| UnixMillis::parse(until).unwrap());
            let hours = block_on(key_activity(&database, &keys, from, until)).unwrap();
            let hours = hours.iter();
            let lines = hours.map(|it| {
                format!(
                    "{} {} {} {}",
                    it.key,
                    &it.hour[11..13],
                    it.outcome,
                    it.calls
                )
            });
            lines.collect::<Vec<_>>()
        };
        let first = ["1 06 quota_per_day 1", "1 06 success 2", "1 07 success 1"];
        assert_eq!(read(&[1, 3], Some("2027-01-15T08:00:00Z")), first);
        let all = [&first[..], &["1 08 success 1", "2 06 success 1"]].concat();
        assert_eq!(read(&[2, 1, 9], None), all);
        assert!(read(&[], None).is_empty());
    }
}
