//! What becomes of the log of calls: rows are deleted some days after their call, in small slices, and what they come to
//! per hour, key, model and outcome stays.
//!
//! The sums, `api_call_hours`, are the database's own doing: a trigger (migration 0009) adds to them within the very
//! statement that writes a row, and the migration has added what was there before. So a row that can be deleted has been
//! counted.

use super::{Database, DatabaseError, Value, read, write};
use crate::pool::UnixMillis;

/// The rows from before `?1`. `?2` is two days earlier.
///
/// Texts are compared, as the index has them. The pool's own form of a time sorts as time does, and so does every other
/// that has a `T` and a `Z`, by a second or so too late at worst. What a dump brings besides, such as `2025-01-02 03:04:05` or
/// a time in another zone, may sort up to a day too early, so it has to be two days older. What is no date at all has no age:
/// it goes by its first digits, and what sorts before 1970, such as seconds since then, stays.
macro_rules! is_old {
    () => {
        "called_at >= '1970' AND called_at < ?1 AND (called_at < ?2 OR called_at GLOB '*T*Z')"
    };
}

/// Deletes the oldest of them, `?3` at most.
const FORGET: &str = concat!(
    "DELETE FROM api_call_logs WHERE id IN (
    SELECT id FROM api_call_logs WHERE ",
    is_old!(),
    " ORDER BY called_at LIMIT ?3)
RETURNING id"
);
const COUNT_OLD: &str = concat!("SELECT count(*) FROM api_call_logs WHERE ", is_old!());

/// Rows that one statement deletes: about half a millisecond, in which nobody else can write.
const SLICE: usize = 256;
/// Slices at a time. One request in 256 tidies, so up to ten rows go for each: twice as many as it makes at most, unless an
/// operator has it try more than five keys.
const MOST_SLICES: usize = 10;

const DAY_MS: i64 = 24 * 3_600_000;

/// Deletes rows of calls that began more than so many days ago, if there are, not all at once.
pub(super) async fn forget_old_calls(
    database: &impl Database,
    now: UnixMillis,
    days: u32,
) -> Result<(), DatabaseError> {
    let mut parameters = limits(now, days);
    parameters.push(Value::from(SLICE as u64));
    for _ in 0..MOST_SLICES {
        // Each on its own, so that others write in between.
        let deleted = write(database, FORGET, parameters.clone()).await?;
        if deleted.len() < SLICE {
            break;
        }
    }
    Ok(())
}

/// How many calls of the log began more than so many days ago, and would be deleted for their age.
///
/// # Errors
/// The database cannot be read.
pub async fn count_old_calls(
    database: &impl Database,
    now: UnixMillis,
    days: u32,
) -> Result<u64, DatabaseError> {
    let rows = read(database, COUNT_OLD, limits(now, days)).await?;
    let count = rows.first().and_then(|row| row.integer(0)).unwrap_or(0);
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The parameters `?1` and `?2` of `is_old!`.
fn limits(now: UnixMillis, days: u32) -> Vec<Value> {
    let limit = now.plus(-i64::from(days) * DAY_MS);
    vec![
        Value::from(limit.to_iso()),
        Value::from(limit.plus(-2 * DAY_MS).to_iso()),
    ]
}

#[cfg(test)]
mod tests;
