//! A cache of the lists of models that the pool's keys may use.

use super::{Database, DatabaseError, Value, read, values, write};
use crate::pool::UnixMillis;

/// How long a list is fresh, in milliseconds: 5 minutes.
const FRESH_MS: i64 = 5 * 60 * 1000;

/// Returns the cached entries of the list at an upstream path, if they are fresh.
///
/// # Errors
/// The table cannot be read.
pub async fn cached_models(
    database: &impl Database,
    list: &str,
    now: UnixMillis,
) -> Result<Option<String>, DatabaseError> {
    let select = "SELECT CAST(entries AS BLOB) FROM model_lists WHERE path = ?1 AND read_at > ?2 AND read_at <= ?3";
    let parameters = values![list, now.plus(-FRESH_MS), now];
    let rows = read(database, select, parameters).await?;
    // Entries may exceed `LONGEST_TEXT`.
    Ok(match rows.into_iter().next().map(|row| row.0) {
        Some(columns) => match columns.into_iter().next() {
            Some(Value::Blob(bytes)) => String::from_utf8(bytes).ok(),
            _ => None,
        },
        None => None,
    })
}

/// Caches the entries of the list at an upstream path.
///
/// # Errors
/// The database refused.
pub async fn cache_models(
    database: &impl Database,
    list: &str,
    entries: &str,
    now: UnixMillis,
) -> Result<(), DatabaseError> {
    let insert = "INSERT INTO model_lists (path, entries, read_at) VALUES (?1, ?2, ?3)
ON CONFLICT (path) DO UPDATE SET entries = excluded.entries, read_at = excluded.read_at";
    write(database, insert, values![list, entries, now])
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::testing::NativeDatabase;
    use super::*;
    use futures::executor::block_on;

    #[test]
    fn a_list_is_cached_by_path_for_five_minutes() {
        let database = NativeDatabase::migrated();
        let now = UnixMillis(1_800_000_000_000);
        let cached = |list, ms| block_on(cached_models(&database, list, now.plus(ms))).unwrap();
        block_on(cache_models(&database, "/v1beta/openai/models", "[1]", now)).unwrap();
        block_on(cache_models(&database, "/v1beta/openai/models", "[2]", now)).unwrap();
        assert_eq!(cached("/v1beta/openai/models", 0).as_deref(), Some("[2]"));
        assert_eq!(
            cached("/v1beta/openai/models", FRESH_MS - 1).as_deref(),
            Some("[2]")
        );
        assert_eq!(cached("/v1beta/openai/models", FRESH_MS), None);
        assert_eq!(
            cached("/v1beta/openai/models", -1),
            None,
            "a list from the future must be ignored"
        );
        assert_eq!(cached("/v1/models", 0), None);
    }
}
