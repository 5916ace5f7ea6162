//! How the states of keys have changed. A trigger writes the rows (migration 0006).

use super::audit::ByTime;
use super::page::{Page, PageOf};
use super::{Database, Result, Row, number, read, text, values, write};
use crate::pool::{KeyId, KeyStatus, UnixMillis};

/// How long changes are stored, in milliseconds: 90 days.
const RETENTION_MS: i64 = 90 * 24 * 3_600_000;

/// A change of a key's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// When it was made.
    pub at: Option<String>,
    /// The state before; `None` if it had an unknown number.
    pub from: Option<KeyStatus>,
    /// The state afterwards.
    pub to: Option<KeyStatus>,
    /// When a pause ends.
    pub until: Option<String>,
    /// Why the key is disabled or cooling.
    pub reason: Option<String>,
}

/// A page of the changes of a key's state.
///
/// # Errors
/// The table cannot be read.
pub async fn key_history(
    database: &impl Database,
    id: KeyId,
    page: &PageOf<ByTime>,
) -> Result<Page<StateChange>> {
    let clause = page.clause("id", 1);
    let select = format!(
        "SELECT id, id, {at}, {from}, {to}, {until}, {reason} FROM key_history WHERE api_key_id = ?1 AND {condition} {order} {limit}",
        at = text("at"),
        from = number("from_status"),
        to = number("to_status"),
        until = text("until"),
        reason = text("reason"),
        condition = clause.condition,
        order = clause.order,
        limit = clause.limit
    );
    let mut parameters = values![id];
    parameters.extend(clause.parameters);
    let rows = read(database, &select, parameters).await?;
    Ok(page.of_rows(&rows, state_change))
}

fn state_change(row: &Row) -> StateChange {
    let status = |column| row.integer(column).and_then(KeyStatus::from_code);
    StateChange {
        at: row.lossy_text(2),
        from: status(3),
        to: status(4),
        until: row.lossy_text(5),
        reason: row.lossy_text(6),
    }
}

/// Deletes changes that are too old.
pub(super) async fn delete_old_history(database: &impl Database, now: UnixMillis) -> Result<()> {
    let delete = "DELETE FROM key_history WHERE at < ?1";
    let parameters = values![now.plus(-RETENTION_MS)];
    write(database, delete, parameters).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{AUTHOR, NOW, NativeDatabase, vault};
    use super::super::{KeyChange, change_key, reset_key};
    use super::*;
    use futures::executor::block_on;

    const HISTORY: &str =
        "SELECT api_key_id, at, from_status, to_status, until, reason FROM key_history";

    #[test]
    fn each_change_of_state_is_noted_and_nothing_else() {
        let database = NativeDatabase::with_keys(2);
        let at = |number: i64| NOW.plus(number).to_iso();
        let disable = KeyChange::Disable {
            reason: "leaked".to_owned(),
        };
        let changes = [
            disable.clone(),
            disable,
            KeyChange::Pause(NOW.plus(1_000)),
            KeyChange::Pause(NOW.plus(2_000)),
            KeyChange::Edit(Vec::new()),
            KeyChange::Enable,
        ];
        for (number, change) in (1..).zip(changes) {
            let now = NOW.plus(number);
            block_on(change_key(
                &database,
                &vault(0, 0),
                KeyId(1),
                &change,
                AUTHOR,
                now,
            ))
            .unwrap();
        }
        // By the pool, as in `recorder::key_state`.
        database.run(
            "UPDATE api_keys SET status = 0, disabled_until = NULL, pool_moves = pool_moves + 1,
                disabled_reason = 'key_rejected: gone', updated_at = '2027-01-16T08:00:00.000Z' WHERE id = 2;
             UPDATE api_keys SET total_calls = 7, trial_until = NULL",
        );
        block_on(reset_key(&database, KeyId(2), AUTHOR, NOW)).unwrap();
        let expected = [
            format!("1|{}|1|0|NULL|leaked", at(1)),
            format!("1|{}|0|2|{}|NULL", at(3), at(1_000)),
            format!("1|{}|2|2|{}|NULL", at(4), at(2_000)),
            format!("1|{}|2|1|NULL|NULL", at(6)),
            "2|2027-01-16T08:00:00.000Z|1|0|NULL|key_rejected: gone".to_owned(),
            format!("2|{}|0|1|NULL|NULL", at(0)),
        ];
        assert_eq!(database.query(HISTORY), expected);
    }

    #[test]
    fn a_change_by_sql_does_not_inherit_a_reason() {
        let database = NativeDatabase::with_keys(1);
        database.run(
            "UPDATE api_keys SET disabled_reason = 'key_rejected: gone', pool_moves = 1, status = 0;
             UPDATE api_keys SET status = 2, disabled_until = '2030-01-01'",
        );
        let reasons = "SELECT to_status, until, reason FROM key_history";
        let expected = ["0|NULL|key_rejected: gone", "2|2030-01-01|NULL"];
        assert_eq!(database.query(reasons), expected);
    }

    #[test]
    fn old_changes_are_deleted() {
        let database = NativeDatabase::with_keys(1);
        database.run(&format!(
            "INSERT INTO key_history (api_key_id, at) VALUES (1, '{}'), (1, '{}')",
            NOW.plus(-RETENTION_MS - 1).to_iso(),
            NOW.plus(-RETENTION_MS).to_iso()
        ));
        block_on(delete_old_history(&database, NOW)).unwrap();
        assert_eq!(database.count("key_history"), 1);
    }
}
