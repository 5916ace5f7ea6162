//! Calls per client address and minute, counted in the database so that the limit holds across
//! instances.

use super::{Database, DatabaseError, values, write, write_once};
use crate::pool::UnixMillis;

const COUNT: &str = "INSERT INTO rate_limits (client_address, minute, calls) VALUES (?1, ?2, 1)
ON CONFLICT (client_address, minute) DO UPDATE SET calls = calls + 1
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
) -> Result<CallCount, DatabaseError> {
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
    use super::super::testing::NativeDatabase;
    use super::*;
    use futures::executor::block_on;

    const NOON: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn calls_are_counted_per_client_and_minute() {
        let database = NativeDatabase::migrated();
        let count = |client: &str, ms: i64| {
            block_on(count_call(&database, client, NOON.plus(ms)))
                .unwrap()
                .calls
        };
        assert_eq!(
            (
                count("a", 0),
                count("a", 59_999),
                count("b", 1),
                count("a", 60_000)
            ),
            (1, 2, 1, 1)
        );
    }

    #[test]
    fn retry_after_ends_with_the_minute() {
        let database = NativeDatabase::migrated();
        for (ms, seconds) in [(0, 60), (1, 60), (59_000, 1), (59_001, 1), (30_000, 30)] {
            assert_eq!(
                block_on(count_call(&database, "a", NOON.plus(ms)))
                    .unwrap()
                    .retry_after,
                seconds,
                "{ms} ms"
            );
        }
    }

    #[test]
    fn deletes_past_and_future_minutes() {
        let database = NativeDatabase::migrated();
        for minute in 0..5 {
            block_on(count_call(&database, "a", NOON.plus(minute * 60_000))).unwrap();
        }
        assert_eq!(database.query("SELECT count(*) FROM rate_limits"), ["2"]);
        block_on(count_call(&database, "a", NOON)).unwrap();
        block_on(count_call(&database, "b", NOON)).unwrap();
        assert_eq!(
            database.query("SELECT max(minute) FROM rate_limits"),
            [(NOON.0 / 60_000).to_string()],
            "minutes in the future must be deleted"
        );
    }

    #[test]
    fn parallel_instances_lose_no_call() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.db");
        block_on(super::super::migrate(&NativeDatabase::open(&path))).unwrap();
        let counts = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let database = NativeDatabase::open(&path);
                    for _ in 0..25 {
                        let count = block_on(count_call(&database, "a", NOON)).unwrap().calls;
                        counts.lock().unwrap().push(count);
                    }
                });
            }
        });
        let mut counts = counts.into_inner().unwrap();
        counts.sort_unstable();
        assert_eq!(counts, (1..=100).collect::<Vec<_>>());
    }
}
