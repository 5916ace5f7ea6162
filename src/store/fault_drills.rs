//! Fault drills: an operator lets the next calls of a key end with a fault, to see failover before
//! it is needed. The calls left are counted in the database, so that all instances together make
//! exactly as many.

use super::author::{Author, Extra};
use super::{Database, Result, Row, text, values, write, write_once};
use crate::pool::{KeyId, UnixMillis};
use crate::wire::gemini::Fault;

/// A drill of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drill {
    /// How calls end.
    pub fault: Fault,
    /// How many calls are still to end like this.
    pub calls_left: i64,
}

impl Drill {
    /// The drill in the columns from this one on: the fault, and the calls left.
    pub(super) fn of_row(row: &Row, column: usize) -> Option<Self> {
        Some(Self {
            fault: Fault::from_name(row.text(column)?)?,
            calls_left: row.integer(column + 1)?,
        })
    }
}

/// Begins or replaces the drill of a key. One without calls ends it.
///
/// # Errors
/// The table cannot be changed.
pub async fn set_drill(
    database: &impl Database,
    id: KeyId,
    drill: Drill,
    author: Author<'_>,
    now: UnixMillis,
) -> Result<()> {
    let insert = "INSERT INTO set_drills (api_key_id, fault, calls, at, changed_by) VALUES (?1, ?2, ?3, ?4, ?5)";
    let parameters = values![
        id,
        drill.fault.name(),
        drill.calls_left,
        now,
        author.changes("drill_key", Extra::None),
    ];
    write(database, insert, parameters).await.map(drop)
}

/// Takes one call from the drill of a key. `None` if no call is left.
///
/// # Errors
/// The database refused. The call may have been taken.
pub async fn take_drill(database: &impl Database, id: KeyId) -> Result<Option<Fault>> {
    let take = format!(
        "UPDATE fault_drills SET calls_left = calls_left - 1 WHERE api_key_id = ?1 AND calls_left > 0 RETURNING {}",
        text("fault")
    );
    let rows = write_once(database, &take, values![id]).await?;
    Ok(rows.first().and_then(|row| Fault::from_name(row.text(0)?)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{AUTHOR, DatabaseFile, NOW, NativeDatabase, vault};
    use super::super::{KeyChange, change_key, listed_key};
    use super::*;
    use futures::executor::block_on;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const KEY: KeyId = KeyId(1);
    const AUDIT: &str = "SELECT action, subject, before, after FROM audit_log ORDER BY id";

    fn set(database: &NativeDatabase, fault: Fault, calls_left: i64, request_id: &str) {
        let author = Author {
            request_id,
            ..AUTHOR
        };
        let drill = Drill { fault, calls_left };
        block_on(set_drill(database, KEY, drill, author, NOW)).unwrap();
    }

    fn take(database: &NativeDatabase) -> Option<Fault> {
        block_on(take_drill(database, KEY)).unwrap()
    }

    fn drill(database: &NativeDatabase) -> Option<(Fault, i64)> {
        let key = block_on(listed_key(database, KEY)).unwrap().unwrap();
        key.drill.map(|drill| (drill.fault, drill.calls_left))
    }

    #[test]
    fn concurrent_calls_take_exactly_those_of_the_drill() {
        let file = DatabaseFile::migrated();
        let database = file.open();
        database.run("INSERT INTO api_keys (api_key) VALUES ('fake-1'), ('fake-2')");
        set(&database, Fault::Reset, 30, "a");
        let taken = AtomicUsize::new(0);
        file.in_parallel(4, |_, database| {
            for _ in 0..20 {
                taken.fetch_add(usize::from(take(&database).is_some()), Ordering::Relaxed);
            }
        });
        assert_eq!(taken.into_inner(), 30);
        assert_eq!(drill(&database), None, "it is over");
        let other = block_on(take_drill(&database, KeyId(2)));
        assert_eq!(other, Ok(None), "the other key has none");
    }

    #[test]
    fn drills_are_replaced_ended_and_audited() {
        let database = NativeDatabase::with_keys(1);
        set(&database, Fault::RateLimited, 5, "a");
        assert_eq!(take(&database), Some(Fault::RateLimited));
        // The statement of the same request may run twice.
        set(&database, Fault::RateLimited, 5, "a");
        assert_eq!(drill(&database), Some((Fault::RateLimited, 4)));
        set(&database, Fault::Unavailable, 1, "b");
        assert_eq!(drill(&database), Some((Fault::Unavailable, 1)));
        set(&database, Fault::Unavailable, 0, "c");
        assert_eq!((drill(&database), take(&database)), (None, None));
        let expected = [
            r#"drill_key|key:1|{"drill":null}|{"drill":{"fault":"429","calls_left":5}}"#,
            r#"drill_key|key:1|{"drill":{"fault":"429","calls_left":4}}|{"drill":{"fault":"503","calls_left":1}}"#,
            r#"drill_key|key:1|{"drill":{"fault":"503","calls_left":1}}|{"drill":null}"#,
        ];
        assert_eq!(database.query(AUDIT), expected);
    }

    #[test]
    fn a_deleted_key_has_no_drill() {
        let database = NativeDatabase::with_keys(1);
        set(&database, Fault::Reset, 5, "a");
        let vault = vault(0, 0);
        let delete = change_key(&database, &vault, KEY, &KeyChange::Delete, AUTHOR, NOW);
        assert_eq!(block_on(delete), Ok(true));
        assert_eq!(database.count("fault_drills"), 0);
    }
}
