//! Retention of the call log: rows are deleted some days after their call, in small batches, and
//! their sums per hour, key, model and outcome stay.
//!
//! The database maintains the sums in `api_call_hours`: a trigger (migration 0002) adds each row in
//! the statement that inserts it, and the migration added the rows that existed before. So every
//! row that can be deleted has been counted.

use super::{Database, Result, Value, read, values, write};
use crate::pool::{HOUR_MS, UnixMillis};

/// Rows of calls before `?1`; `?2` is two days earlier.
///
/// The index compares texts. The pool's own format sorts as time does, and so does every other with
/// a `T` and a `Z`, to within a second. Other formats in a dump, such as `2025-01-02 03:04:05` or a
/// time in another zone, may sort up to a day early, so such rows must be two days older. A text
/// that is not a date has no age: it is compared by its first characters, and stays if it sorts
/// before 1970, such as seconds since then.
macro_rules! is_old {
    () => {
        "called_at >= '1970' AND called_at < ?1 AND (called_at < ?2 OR called_at GLOB '*T*Z')"
    };
}

/// Deletes the oldest of these rows, at most `?3`.
const DELETE_OLD: &str = concat!(
    "DELETE FROM api_call_logs WHERE id IN (
    SELECT id FROM api_call_logs WHERE ",
    is_old!(),
    " ORDER BY called_at LIMIT ?3)
RETURNING id"
);
const COUNT_OLD: &str = concat!("SELECT count(*) FROM api_call_logs WHERE ", is_old!());

/// Rows per statement, which blocks other writers for about half a millisecond.
const BATCH: usize = 256;
/// Batches per run. One request in 256 runs this, so up to ten rows are deleted per request: at
/// least twice as many as it adds, unless an operator allows more than five attempts.
const MAX_BATCHES: usize = 10;

const DAY_MS: i64 = 24 * HOUR_MS;

/// Deletes rows of calls that began more than `days` days ago, in batches, up to a maximum per run.
pub(super) async fn delete_old_calls(
    database: &impl Database,
    now: UnixMillis,
    days: u32,
) -> Result<()> {
    let mut parameters = parameters_before(now, days);
    parameters.push(Value::from(BATCH as u64));
    for _ in 0..MAX_BATCHES {
        // Separate statements let other writers in between.
        let deleted = write(database, DELETE_OLD, parameters.clone()).await?;
        if deleted.len() < BATCH {
            break;
        }
    }
    Ok(())
}

/// Counts the calls in the log that began more than `days` days ago and would be deleted.
///
/// # Errors
/// The database cannot be read.
pub async fn count_old_calls(database: &impl Database, now: UnixMillis, days: u32) -> Result<u64> {
    let rows = read(database, COUNT_OLD, parameters_before(now, days)).await?;
    let count = rows.first().and_then(|row| row.integer(0)).unwrap_or(0);
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The parameters `?1` and `?2` of `is_old!`.
fn parameters_before(now: UnixMillis, days: u32) -> Vec<Value> {
    let cutoff = now.plus(-i64::from(days) * DAY_MS);
    values![cutoff, cutoff.plus(-2 * DAY_MS)]
}

#[cfg(test)]
mod tests;
