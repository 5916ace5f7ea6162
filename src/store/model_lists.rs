//! The models that the pool's keys may use, kept for a while.

use super::{Database, DatabaseError, Value, write};
use crate::pool::UnixMillis;
use crate::target::Surface;

/// How long a list is used, in milliseconds: 5 minutes.
const KEPT_MS: i64 = 5 * 60 * 1000;

/// The entries of a list that is not too old.
///
/// # Errors
/// The table cannot be read.
pub async fn kept_models(
    database: &impl Database,
    surface: Surface,
    now: UnixMillis,
) -> Result<Option<String>, DatabaseError> {
    let select =
        "SELECT entries FROM model_lists WHERE surface = ?1 AND read_at > ?2 AND read_at <= ?3";
    let parameters = vec![
        Value::from(name(surface)),
        Value::from(now.plus(-KEPT_MS).to_iso()),
        Value::from(now.to_iso()),
    ];
    let rows = database.execute(select, parameters).await?;
    Ok(rows.first().and_then(|row| row.text(0)).map(str::to_owned))
}

/// Keeps the entries of a list.
///
/// # Errors
/// The database refused.
pub async fn keep_models(
    database: &impl Database,
    surface: Surface,
    entries: &str,
    now: UnixMillis,
) -> Result<(), DatabaseError> {
    let insert = "INSERT INTO model_lists (surface, entries, read_at) VALUES (?1, ?2, ?3)
ON CONFLICT (surface) DO UPDATE SET entries = excluded.entries, read_at = excluded.read_at";
    let parameters = vec![
        Value::from(name(surface)),
        Value::from(entries),
        Value::from(now.to_iso()),
    ];
    write(database, insert, parameters).await.map(drop)
}

fn name(surface: Surface) -> &'static str {
    match surface {
        Surface::OpenAi => "openai",
        Surface::Gemini => "gemini",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::NativeDatabase;
    use super::*;
    use futures::executor::block_on;

    #[test]
    fn a_list_is_kept_for_five_minutes_and_apart_from_the_other() {
        let database = NativeDatabase::migrated();
        let now = UnixMillis(1_800_000_000_000);
        let kept = |surface, ms| block_on(kept_models(&database, surface, now.plus(ms))).unwrap();
        block_on(keep_models(&database, Surface::OpenAi, "[1]", now)).unwrap();
        block_on(keep_models(&database, Surface::OpenAi, "[2]", now)).unwrap();
        assert_eq!(kept(Surface::OpenAi, 0).as_deref(), Some("[2]"));
        assert_eq!(kept(Surface::OpenAi, KEPT_MS - 1).as_deref(), Some("[2]"));
        assert_eq!(kept(Surface::OpenAi, KEPT_MS), None);
        assert_eq!(kept(Surface::OpenAi, -1), None, "the clock was set back");
        assert_eq!(kept(Surface::Gemini, 0), None);
    }
}
