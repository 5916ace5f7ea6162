//! Alerts that were raised, and what they are raised from.
//!
//! An alert is claimed before each try to deliver it, so that one instance makes it. A claim leaves
//! the time of the next try behind, so nothing is written when a delivery fails or its instance is
//! lost.

use super::migrate::usable_keys;
use super::{Database, Result, Row, number, read, text, values, write};
use crate::pool::{
    CLOCK_TOLERANCE_MS, DISABLED_LATELY_MS, DisabledKey, KEYS_LOW, KeyId, KeyStatus, MAX_TRIES,
    Pending, RaisedAlert, UnixMillis, next_try,
};
use crate::wire::redact::truncate;

/// How far back raised alerts are read, in milliseconds: longer than a day of Google's, and than a
/// key counts as disabled lately.
const READ_MS: i64 = 2 * DISABLED_LATELY_MS;

/// The longest text of an operator or the upstream in an alert, in characters.
const MAX_TEXT: usize = 300;

/// What alerts are raised from, and those that were raised.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AlertFacts {
    /// How many keys are usable: neither disabled nor paused.
    pub usable: u64,
    /// Keys that the pool has disabled lately.
    pub disabled: Vec<DisabledKey>,
    /// What was raised lately.
    pub raised: Vec<RaisedAlert>,
}

/// An event that this instance must try to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is about.
    pub subject: String,
    /// The id, which is the same for each try.
    pub id: String,
    /// The body, which is JSON.
    pub body: String,
    /// The number of the try, from 1.
    pub tries: u32,
}

/// Reads what alerts are raised from, in one statement.
///
/// # Errors
/// A table cannot be read.
pub async fn alert_facts(database: &impl Database, now: UnixMillis) -> Result<AlertFacts> {
    let [active, cooling] = usable_keys();
    let select = format!(
        "SELECT 'usable', NULL, (SELECT count(*) FROM api_keys WHERE {active}) + (SELECT count(*) FROM api_keys WHERE {cooling}), NULL, NULL
UNION ALL SELECT 'disabled', {name}, id, {disabled_at}, {reason} FROM api_keys
    WHERE status = {disabled} AND disabled_at >= ?2 AND disabled_at <= ?3
UNION ALL SELECT 'raised', {subject}, {tries}, {seen_at}, iif(sent_at IS NULL AND tries < {MAX_TRIES}, {next_try_at}, NULL) FROM alerts
    WHERE seen_at >= ?4",
        disabled = KeyStatus::Disabled.code(),
        name = text("name"),
        disabled_at = text("disabled_at"),
        reason = text("disabled_reason"),
        subject = text("subject"),
        tries = number("tries"),
        seen_at = text("seen_at"),
        next_try_at = text("next_try_at")
    );
    let mut parameters = values![now, now.plus(-DISABLED_LATELY_MS)];
    parameters.extend(values![now.plus(CLOCK_TOLERANCE_MS), now.plus(-READ_MS)]);
    let mut facts = AlertFacts::default();
    for row in &read(database, &select, parameters).await? {
        // Unreadable rows are ignored; the pool itself writes none.
        let _ = add_fact(&mut facts, row);
    }
    Ok(facts)
}

fn add_fact(facts: &mut AlertFacts, row: &Row) -> Option<()> {
    let count = row.integer(2)?;
    let time = |column| UnixMillis::parse(row.text(column)?);
    let short = |column| Some(truncate(&row.lossy_text(column)?, MAX_TEXT));
    match row.text(0)? {
        "usable" => facts.usable = u64::try_from(count).ok()?,
        "disabled" => facts.disabled.push(DisabledKey {
            id: KeyId(count),
            name: short(1),
            reason: short(4),
            disabled_at: time(3)?,
        }),
        _ => facts.raised.push(RaisedAlert {
            subject: row.text(1)?.to_owned(),
            seen_at: time(3)?,
            pending: time(4).map(|next_try_at| Pending {
                tries: u32::try_from(count).unwrap_or(MAX_TRIES),
                next_try_at,
            }),
        }),
    }
    Some(())
}

/// A change of what is stored of alerts. The first two claim a try.
#[derive(Debug)]
pub enum AlertChange<'a> {
    /// A new alert is stored.
    Raise(&'a Event),
    /// This subject, which was tried so often, is tried again.
    Retry(&'a str, u32),
    /// The event is delivered.
    Deliver(&'a Event),
    /// There are still too few keys.
    Note,
    /// Too few keys, as last noted then, are no alert any more, unless its delivery is still to be
    /// tried.
    Forget(UnixMillis),
}

/// Changes what is stored, and returns the event whose try was claimed; `None` if another instance
/// was faster.
///
/// # Errors
/// The database refused.
pub async fn change_alert(
    database: &impl Database,
    change: AlertChange<'_>,
    now: UnixMillis,
) -> Result<Option<Event>> {
    let (statement, parameters) = match &change {
        AlertChange::Raise(event) => (
            "INSERT INTO alerts (subject, id, body, began_at, seen_at, tries, next_try_at)
VALUES (?1, ?2, ?3, ?4, ?4, 1, ?5) ON CONFLICT (subject) DO NOTHING RETURNING subject, id, body, tries",
            values![&*event.subject, &*event.id, &*event.body, now, next_try(1, now)],
        ),
        AlertChange::Retry(subject, tries) => {
            let next = tries.saturating_add(1);
            (
                "UPDATE alerts SET tries = ?3, next_try_at = ?4 WHERE subject = ?1 AND tries = ?2 AND sent_at IS NULL
RETURNING subject, id, body, tries",
                values![*subject, i64::from(*tries), i64::from(next), next_try(next, now)],
            )
        }
        AlertChange::Deliver(event) => (
            "UPDATE alerts SET sent_at = ?3 WHERE subject = ?1 AND id = ?2",
            values![&*event.subject, &*event.id, now],
        ),
        AlertChange::Note => (
            "UPDATE alerts SET seen_at = ?2 WHERE subject = ?1",
            values![KEYS_LOW, now],
        ),
        AlertChange::Forget(seen_at) => (
            "DELETE FROM alerts WHERE subject = ?1 AND seen_at = ?2 AND (sent_at IS NOT NULL OR tries >= ?3)",
            values![KEYS_LOW, *seen_at, i64::from(MAX_TRIES)],
        ),
    };
    let rows = write(database, statement, parameters).await?;
    Ok(rows.first().and_then(|row| {
        let text = |column| row.text(column).map(str::to_owned);
        Some(Event {
            subject: text(0)?,
            id: text(1)?,
            body: text(2)?,
            tries: u32::try_from(row.integer(3)?).ok()?,
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DatabaseFile, NOW, NativeDatabase};
    use super::*;
    use futures::executor::block_on;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn event(id: &str) -> Event {
        Event {
            subject: KEYS_LOW.to_owned(),
            id: id.to_owned(),
            body: format!("{{\"id\":\"{id}\"}}"),
            tries: 1,
        }
    }

    fn change(database: &NativeDatabase, change: AlertChange<'_>) -> Option<Event> {
        block_on(change_alert(database, change, NOW)).unwrap()
    }

    fn raise(database: &NativeDatabase, id: &str) -> bool {
        change(database, AlertChange::Raise(&event(id))).is_some()
    }

    fn retry(database: &NativeDatabase, tries: u32) -> Option<Event> {
        change(database, AlertChange::Retry(KEYS_LOW, tries))
    }

    fn deliver(database: &NativeDatabase, id: &str) {
        assert_eq!(change(database, AlertChange::Deliver(&event(id))), None);
    }

    fn raised(database: &NativeDatabase, now: UnixMillis) -> Vec<RaisedAlert> {
        block_on(alert_facts(database, now)).unwrap().raised
    }

    #[test]
    fn usable_and_lately_disabled_keys_are_read() {
        let database = NativeDatabase::with_keys(8);
        database.run(
            "UPDATE api_keys SET status = 2, disabled_until = '2027-01-15T08:00:00.000Z' WHERE id = 2;
             UPDATE api_keys SET status = 2, disabled_until = '2027-01-15T08:00:00.001Z' WHERE id = 3;
             UPDATE api_keys SET status = 0, disabled_reason = 'by hand' WHERE id = 4;
             UPDATE api_keys SET status = 0, pool_moves = 1, disabled_at = '2027-01-14T07:59:59.999Z' WHERE id = 5;
             UPDATE api_keys SET status = 0, pool_moves = 1, name = 'Anna', disabled_reason = 'gone',
                 disabled_at = '2027-01-14T08:00:00.000Z' WHERE id = 6;
             UPDATE api_keys SET status = 0, pool_moves = 1, disabled_at = '2027-01-15T08:00:06.000Z' WHERE id = 7;
             UPDATE api_keys SET api_key = 'not a key' WHERE id = 8",
        );
        let facts = block_on(alert_facts(&database, NOW)).unwrap();
        let key = DisabledKey {
            id: KeyId(6),
            name: Some("Anna".to_owned()),
            reason: Some("gone".to_owned()),
            disabled_at: NOW.plus(-DISABLED_LATELY_MS),
        };
        let expected = AlertFacts {
            usable: 2,
            disabled: vec![key],
            raised: Vec::new(),
        };
        assert_eq!(facts, expected);
    }

    #[test]
    fn one_of_many_instances_makes_each_try() {
        let file = DatabaseFile::migrated();
        let (first, second) = (AtomicUsize::new(0), AtomicUsize::new(0));
        file.in_parallel(4, |number, database| {
            let is_first = raise(&database, &number.to_string());
            first.fetch_add(usize::from(is_first), Ordering::Relaxed);
            let is_second = retry(&database, 1).is_some();
            second.fetch_add(usize::from(is_second), Ordering::Relaxed);
        });
        assert_eq!((first.into_inner(), second.into_inner()), (1, 1));
    }

    #[test]
    fn an_alert_is_pending_until_it_is_delivered_or_given_up() {
        let database = NativeDatabase::migrated();
        assert!(raise(&database, "a") && !raise(&database, "b"));
        let pending = |tries, minutes: i64| {
            let next_try_at = NOW.plus(minutes * 60_000);
            Some(Pending { tries, next_try_at })
        };
        let is = |expected| {
            let [alert] = &raised(&database, NOW)[..] else {
                panic!("one alert");
            };
            assert_eq!(alert.pending, expected);
        };
        is(pending(1, 1));
        let second = Event {
            tries: 2,
            ..event("a")
        };
        assert_eq!(retry(&database, 1), Some(second));
        assert_eq!(retry(&database, 1), None, "it was claimed");
        is(pending(2, 4));
        deliver(&database, "b");
        is(pending(2, 4));
        assert!(retry(&database, 2).is_some() && retry(&database, 3).is_some());
        is(pending(4, 40));
        assert!(retry(&database, 4).is_some());
        is(None);
        database.run("UPDATE alerts SET tries = 1");
        deliver(&database, "a");
        is(None);
        assert_eq!(retry(&database, 1), None, "it is delivered");
    }

    #[test]
    fn low_keys_are_forgotten_once_they_are_delivered_and_not_noted_again() {
        let database = NativeDatabase::migrated();
        raise(&database, "a");
        let left_after_forgetting = |seen_at| {
            change(&database, AlertChange::Forget(seen_at));
            database.count("alerts")
        };
        assert_eq!(left_after_forgetting(NOW), 1, "it is not delivered");
        deliver(&database, "a");
        let later = NOW.plus(1);
        block_on(change_alert(&database, AlertChange::Note, later)).unwrap();
        assert_eq!(raised(&database, NOW)[0].seen_at, later);
        assert_eq!(left_after_forgetting(NOW), 1, "it was noted again");
        assert_eq!(left_after_forgetting(later), 0);
        assert!(raise(&database, "b"), "a new event");
    }

    #[test]
    fn old_alerts_are_deleted_with_the_next_one() {
        let database = NativeDatabase::migrated();
        database.run(
            "INSERT INTO alerts (subject, id, body, began_at, seen_at, tries, next_try_at) VALUES
             ('old', '', '', '', '2027-01-08T07:59:59.999Z', 1, ''),
             ('new', '', '', '', '2027-01-08T08:00:00.000Z', 1, '')",
        );
        raise(&database, "a");
        let left = database.query("SELECT subject FROM alerts");
        assert_eq!(left, [KEYS_LOW, "new"]);
        assert_eq!(raised(&database, NOW).len(), 1, "those of two days");
    }
}
