//! A cache of the lists of models that the pool's keys may use.

use super::{Database, Result, Value, read, values, write};
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
) -> Result<Option<String>> {
    let select = "SELECT CAST(entries AS BLOB) FROM model_lists WHERE path = ?1 AND read_at > ?2 AND read_at <= ?3";
    let parameters = values![list, now.plus(-FRESH_MS), now];
    let rows = read(database, select, parameters).await?;
    // Entries may exceed `LONGEST_TEXT`.
    Ok(match rows.into_iter().flat_map(|row| row.0).next() {
        Some(Value::Blob(bytes)) => String::from_utf8(bytes).ok(),
        _ => None,
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
) -> Result<()> {
    let insert = "INSERT INTO model_lists (path, entries, read_at) VALUES (?1, ?2, ?3)
ON CONFLICT (path) DO UPDATE SET entries = excluded.entries, read_at = excluded.read_at";
    write(database, insert, values![list, entries, now])
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, NativeDatabase};
    use super::*;
    use futures::executor::block_on;

    #[test]
    fn a_list_is_cached_by_path_for_five_minutes() {
        let database = NativeDatabase::migrated();
        let list = "/v1beta/openai/models";
        for entries in ["[1]", "[2]"] {
            block_on(cache_models(&database, list, entries, NOW)).unwrap();
        }
        for (rule, list, ms, expected) in [
            ("the latest list is cached", list, 0, Some("[2]")),
            ("for five minutes", list, FRESH_MS - 1, Some("[2]")),
            ("no longer", list, FRESH_MS, None),
            ("a list from the future is ignored", list, -1, None),
            ("other paths have other lists", "/v1/models", 0, None),
        ] {
            let cached = block_on(cached_models(&database, list, NOW.plus(ms))).unwrap();
            assert_eq!(cached.as_deref(), expected, "{rule}");
        }
    }
}
