//! Calls per client address and minute, counted in the database so that the limit holds across
//! instances.

use super::{Database, Result, values, write, write_once};
use crate::pool::UnixMillis;

const COUNT: &str = "INSERT INTO rate_limits (counter, minute, calls) VALUES (?1, ?2, 1)
ON CONFLICT (counter, minute) DO UPDATE SET calls = calls + 1
RETURNING calls";
/// Deletes past minutes, and those that a fast clock wrote.
const DELETE_OLD: &str = "DELETE FROM rate_limits WHERE minute < ?1 OR minute > ?2";

const MS_PER_MINUTE: i64 = 60_000;

/// The calls of a client in this minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallCount {
    /// The number of calls, including the latest.
    pub calls: i64,
    /// Whole seconds until the next minute, 1 to 60.
    pub retry_after: i64,
}

/// Counts a call of `client` at `now`.
///
/// # Errors
/// The database could not count.
pub async fn count_call(
    database: &impl Database,
    client: &str,
    now: UnixMillis,
) -> Result<CallCount> {
    let minute = now.0.div_euclid(MS_PER_MINUTE);
    let rows = write_once(database, COUNT, values![client, minute]).await?;
    let calls = rows.first().and_then(|row| row.integer(0)).unwrap_or(1);
    if calls == 1 {
        // Clean up on a client's first call of a minute.
        write(database, DELETE_OLD, values![minute - 1, minute + 1]).await?;
    }
    let ms_left = MS_PER_MINUTE - now.0.rem_euclid(MS_PER_MINUTE);
    Ok(CallCount {
        calls,
        retry_after: (ms_left + 999) / 1000,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DatabaseFile, NOW, NativeDatabase};
    use super::*;
    use futures::executor::block_on;

    fn count(database: &NativeDatabase, client: &str, ms: i64) -> CallCount {
        block_on(count_call(database, client, NOW.plus(ms))).unwrap()
    }

    #[test]
    fn calls_are_counted_per_client_and_minute() {
        let database = NativeDatabase::migrated();
        for (client, ms, calls) in [("a", 0, 1), ("a", 59_999, 2), ("b", 1, 1), ("a", 60_000, 1)] {
            assert_eq!(count(&database, client, ms).calls, calls, "{client} {ms}");
        }
    }

    #[test]
    fn retry_after_ends_with_the_minute() {
        let database = NativeDatabase::migrated();
        for (ms, seconds) in [(0, 60), (1, 60), (59_000, 1), (59_001, 1), (30_000, 30)] {
            let retry_after = count(&database, "a", ms).retry_after;
            assert_eq!(retry_after, seconds, "{ms} ms");
        }
    }

    #[test]
    fn deletes_past_and_future_minutes() {
        let database = NativeDatabase::migrated();
        for minute in 0..5 {
            count(&database, "a", minute * 60_000);
        }
        assert_eq!(database.count("rate_limits"), 2);
        count(&database, "a", 0);
        count(&database, "b", 0);
        let latest = database.query("SELECT max(minute) FROM rate_limits");
        assert_eq!(latest, [(NOW.0 / 60_000).to_string()]);
    }

    #[test]
    fn parallel_instances_lose_no_call() {
        let counts = std::sync::Mutex::new(Vec::new());
        DatabaseFile::migrated().in_parallel(4, |_, database| {
            for _ in 0..25 {
                let calls = count(&database, "a", 0).calls;
                counts.lock().unwrap().push(calls);
            }
        });
        let mut counts = counts.into_inner().unwrap();
        counts.sort_unstable();
        assert_eq!(counts, (1..=100).collect::<Vec<_>>());
    }
}
