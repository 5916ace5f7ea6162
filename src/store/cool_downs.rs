//! Cool-downs and trials, written so that many instances can do it at once.

use super::snapshot::cool_down;
use super::{
    Database, DatabaseError, Value, number, quota_scope_values, read, text, write, write_once,
};
use crate::pool::{
    CLOCK_TOLERANCE_MS, Claim, CoolDown, Incident, KeyStatus, LONGEST_TRIAL_LEASE_MS, PAUSE_MS,
    QuotaScope, UnixMillis,
};

/// The columns of [`cool_down`], as they are read.
pub(super) fn columns() -> String {
    format!(
        "{}, {}, {}, {}, {}",
        text("reason"),
        text("began_at"),
        text("until"),
        number("strikes"),
        text("trial_until")
    )
}

fn seen() -> String {
    format!(
        "SELECT {} FROM cool_downs WHERE scope = ?1 AND model = ?2",
        columns()
    )
}

const IS_RESET: &str = "SELECT 1 FROM resets WHERE scope = ?1 AND reset_at > ?2 AND reset_at <= ?3";
/// Takes the place of what was seen, of what a clock that ran ahead has written, or of nothing. A row that somebody else has
/// changed since stays as it is, and none is returned.
const SET: &str =
    "INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes, trial_until)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL)
ON CONFLICT (scope, model) DO UPDATE SET reason = excluded.reason, began_at = excluded.began_at,
    until = excluded.until, strikes = excluded.strikes, trial_until = NULL
WHERE (until = ?7 AND reason = ?8) OR began_at > ?9
RETURNING 1";
const CLEAR: &str = "DELETE FROM cool_downs WHERE scope = ?1 AND model = ?2 AND until <= ?3";
const CLAIM_PLACE: &str = "UPDATE cool_downs SET trial_until = ?4
WHERE scope = ?1 AND model = ?2 AND until <= ?3 AND (coalesce(trial_until, '') <= ?3 OR trial_until > ?5)
RETURNING 1";
const RELEASE_KEY: &str =
    "UPDATE api_keys SET trial_until = NULL WHERE id = ?1 AND trial_until = ?2";
const RELEASE_PLACE: &str = "UPDATE cool_downs SET trial_until = NULL
WHERE scope = ?1 AND model = ?2 AND trial_until = ?3";
const PLACE_IS_FREE: &str = "SELECT 1 FROM cool_downs WHERE scope = ?1 AND model = ?2";

/// A pause's end as the pool writes times, where a person has written it in another zone; as it stands where it is no time.
pub(super) const PAUSED_UNTIL: &str =
    "coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', trim(disabled_until)), disabled_until)";

/// What is not spent ([`CoolDown::is_spent`]) as far as its texts tell; with [`says_something_at`].
pub(super) const SAYS_SOMETHING: &str = "began_at <= ?3
    AND (until > ?1 OR (until > ?2 AND reason NOT IN ('quota_per_minute', 'quota_per_day')))";

/// The parameters of [`SAYS_SOMETHING`].
pub(super) fn says_something_at(now: UnixMillis) -> [Value; 3] {
    [
        now,
        now.plus(-CoolDown::LONGEST_KEPT_MS),
        now.plus(CLOCK_TOLERANCE_MS),
    ]
    .map(|time| Value::from(time.to_iso()))
}

/// Rounds of compare-and-set. Each lost round is another's won one, and what others have won is one incident with this.
const MAX_ROUNDS: usize = 16;

/// Enters what an incident means for a place. `known` is its cool-down as far as the caller knows. Gives the one that
/// holds afterwards.
///
/// # Errors
/// The database refused.
pub async fn cool(
    database: &impl Database,
    place: &QuotaScope,
    incident: &Incident,
    known: Option<CoolDown>,
) -> Result<Option<CoolDown>, DatabaseError> {
    let horizon = incident.ended_at.plus(CLOCK_TOLERANCE_MS).to_iso();
    let reset = vec![
        Value::from(place.scope.to_string()),
        Value::from(incident.began_at.to_iso()),
        Value::from(horizon.as_str()),
    ];
    if !read(database, IS_RESET, reset).await?.is_empty() {
        // An operator has reset the key while the call was under way.
        return Ok(None);
    }
    let mut before = known;
    for _ in 0..MAX_ROUNDS {
        let Some(after) = CoolDown::after(before.as_ref(), incident) else {
            return Ok(before);
        };
        let mut parameters = Vec::from(quota_scope_values(place));
        parameters.extend([
            Value::from(after.reason.name()),
            Value::from(after.began_at.to_iso()),
            Value::from(after.until.to_iso()),
            Value::from(i64::from(after.strikes)),
            Value::from(before.map(|before| before.until.to_iso())),
            Value::from(before.map(|before| before.reason.name())),
            Value::from(horizon.as_str()),
        ]);
        if !write(database, SET, parameters).await?.is_empty() {
            return Ok(Some(after));
        }
        let seen = read(database, &seen(), quota_scope_values(place).into()).await?;
        before = seen.first().and_then(|row| cool_down(row, 0));
    }
    Ok(before)
}

/// A call that began at `began_at` has worked: what was over by then is forgotten, strikes included.
///
/// # Errors
/// The database refused.
pub async fn end_cool_down(
    database: &impl Database,
    place: &QuotaScope,
    began_at: UnixMillis,
) -> Result<(), DatabaseError> {
    let mut parameters = Vec::from(quota_scope_values(place));
    parameters.push(Value::from(began_at.to_iso()));
    write(database, CLEAR, parameters).await.map(drop)
}

/// Claims a trial for one call, until `until` at most. `false` when another has it, or the key or the place is out again.
///
/// # Errors
/// The database refused.
pub async fn claim(
    database: &impl Database,
    claim: &Claim,
    now: UnixMillis,
    until: UnixMillis,
) -> Result<bool, DatabaseError> {
    let (at, lease) = (now.to_iso(), until.to_iso());
    // A lease or a pause of a clock that ran ahead.
    let no_lease = now
        .plus(LONGEST_TRIAL_LEASE_MS + CLOCK_TOLERANCE_MS)
        .to_iso();
    let no_pause = now.plus(PAUSE_MS + CLOCK_TOLERANCE_MS).to_iso();
    match claim {
        Claim::KeyTrial(id) => {
            let statement = format!(
                "UPDATE api_keys SET trial_until = ?3
WHERE id = ?1 AND status = {cooling}
    AND ({PAUSED_UNTIL} <= ?2 OR (disabled_until = paused_until AND disabled_until > ?5))
    AND (coalesce(trial_until, '') <= ?2 OR trial_until > ?4)
RETURNING id",
                cooling = KeyStatus::Cooling.code()
            );
            let mut parameters = vec![Value::from(id.0)];
            parameters.extend([at, lease, no_lease, no_pause].map(Value::from));
            if !write_once(database, &statement, parameters)
                .await?
                .is_empty()
            {
                return Ok(true);
            }
            // Another call has worked meanwhile: there is nothing to try any more.
            let is_active = format!(
                "SELECT 1 FROM api_keys WHERE id = ?1 AND status = {active}",
                active = KeyStatus::Active.code()
            );
            let rows = read(database, &is_active, vec![Value::from(id.0)]).await?;
            Ok(!rows.is_empty())
        }
        Claim::ScopeTrial(place) => {
            let mut parameters = Vec::from(quota_scope_values(place));
            parameters.extend([at, lease, no_lease].map(Value::from));
            // Run twice, it would find its own lease.
            if !write_once(database, CLAIM_PLACE, parameters)
                .await?
                .is_empty()
            {
                return Ok(true);
            }
            // Another call has worked meanwhile: there is nothing to try any more.
            let rows = read(database, PLACE_IS_FREE, quota_scope_values(place).into()).await?;
            Ok(rows.is_empty())
        }
    }
}

/// Gives back a trial that was to end by `until`, so that the next call may try. One that has ended since, and another one
/// after it, stay as they are.
///
/// # Errors
/// The database refused.
pub async fn release(
    database: &impl Database,
    claim: &Claim,
    until: UnixMillis,
) -> Result<(), DatabaseError> {
    let lease = Value::from(until.to_iso());
    let (statement, parameters) = match claim {
        Claim::KeyTrial(id) => (RELEASE_KEY, vec![Value::from(id.0), lease]),
        Claim::ScopeTrial(place) => {
            let [scope, model] = quota_scope_values(place);
            (RELEASE_PLACE, vec![scope, model, lease])
        }
    };
    write(database, statement, parameters).await.map(drop)
}

/// Forgets cool-downs that say nothing any more.
///
/// # Errors
/// The database refused.
pub(super) async fn forget_cool_downs(
    database: &impl Database,
    now: UnixMillis,
) -> Result<(), DatabaseError> {
    let statement = format!("DELETE FROM cool_downs WHERE NOT ({SAYS_SOMETHING})");
    write(database, &statement, says_something_at(now).into())
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::testing::NativeDatabase;
    use super::*;
    use crate::pool::{KeyId, Outcome, Scope};
    use futures::executor::block_on;
    use std::path::Path;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const LEASE_MS: i64 = 90_000;
    const ROWS: &str = "SELECT scope, model, reason, until, strikes FROM cool_downs";

    fn place(model: Option<&str>) -> QuotaScope {
        QuotaScope {
            scope: Scope::Project("projects/1".to_owned()),
            model: model.map(str::to_owned),
        }
    }

    fn incident(outcome: Outcome, began: i64, ended: i64) -> Incident {
        Incident {
            outcome,
            retry_after_ms: None,
            began_at: NOW.plus(began),
            ended_at: NOW.plus(ended),
        }
    }

    #[test]
    fn a_cool_down_is_entered_and_what_others_have_entered_is_seen() {
        let database = NativeDatabase::migrated();
        let place = place(Some("m"));
        let bare = incident(Outcome::QuotaUnspecified, 0, 0);
        let first = block_on(cool(&database, &place, &bare, None)).unwrap();
        assert_eq!(
            database.query(ROWS),
            ["project:projects/1|m|quota_unspecified|2027-01-15T08:00:05.000Z|1"]
        );
        let same = block_on(cool(&database, &place, &bare, None)).unwrap();
        assert_eq!(same, first, "one incident, though this caller knew of none");
        let again = incident(Outcome::QuotaUnspecified, 6_000, 6_000);
        let second = block_on(cool(&database, &place, &again, None)).unwrap();
        assert_eq!(second.map(|second| second.strikes), Some(2));
        let stale = block_on(cool(&database, &place, &again, first)).unwrap();
        assert_eq!(stale, second, "what was known is out of date");
        let nobody = incident(Outcome::UpstreamTrouble, 0, 0);
        assert_eq!(
            block_on(cool(&database, &place, &nobody, second)),
            Ok(second)
        );
    }

    #[test]
    fn a_success_ends_only_what_was_over_when_it_began() {
        let database = NativeDatabase::migrated();
        let place = place(None);
        let bare = incident(Outcome::QuotaUnspecified, 0, 0);
        block_on(cool(&database, &place, &bare, None)).unwrap();
        block_on(end_cool_down(&database, &place, NOW.plus(4_999))).unwrap();
        assert_eq!(database.query(ROWS).len(), 1);
        block_on(end_cool_down(&database, &place, NOW.plus(5_000))).unwrap();
        assert!(database.query(ROWS).is_empty());
    }

    #[test]
    fn a_trial_has_one_holder_until_its_lease_is_over_or_it_is_given_back() {
        let database = NativeDatabase::migrated();
        database.run("INSERT INTO api_keys (id, api_key, status, disabled_until) VALUES (1, 'fake-1', 2, '2027-01-15T08:00:00.000Z')");
        let bare = incident(Outcome::QuotaUnspecified, -5_000, -5_000);
        block_on(cool(&database, &place(None), &bare, None)).unwrap();
        for trial in [Claim::KeyTrial(KeyId(1)), Claim::ScopeTrial(place(None))] {
            let claimed = |ms| {
                let until = NOW.plus(ms + LEASE_MS);
                block_on(claim(&database, &trial, NOW.plus(ms), until)).unwrap()
            };
            assert!(!claimed(-1), "not over yet");
            assert!(claimed(0) && !claimed(1) && !claimed(LEASE_MS - 1));
            assert!(claimed(LEASE_MS), "the lease is over");
            let lease = |ms| NOW.plus(ms + LEASE_MS);
            block_on(release(&database, &trial, lease(0))).unwrap();
            assert!(!claimed(LEASE_MS + 1), "that was another's");
            block_on(release(&database, &trial, lease(LEASE_MS))).unwrap();
            assert!(claimed(LEASE_MS + 1));
        }
        database.run("UPDATE api_keys SET status = 1, trial_until = NULL");
        let works = Claim::KeyTrial(KeyId(1));
        let claimed = claim(&database, &works, NOW, NOW.plus(1));
        assert_eq!(block_on(claimed), Ok(true), "another call has worked");
        database.run("DELETE FROM cool_downs");
        let gone = Claim::ScopeTrial(place(None));
        assert_eq!(
            block_on(claim(&database, &gone, NOW, NOW.plus(1))),
            Ok(true)
        );
    }

    #[test]
    fn what_says_nothing_any_more_is_neither_read_nor_kept() {
        let hour = 3_600_000;
        let spans = [-25 * hour, -24 * hour, -23 * hour, -1, 0, 1, 50_000];
        let database = NativeDatabase::migrated();
        let mut expected = Vec::new();
        for (index, (outcome, span)) in Outcome::ALL
            .into_iter()
            .flat_map(|outcome| spans.map(|span| (outcome, span)))
            .enumerate()
        {
            let until = NOW.plus(span);
            let began = NOW.plus(span.min(0)).plus(-1);
            database.run(&format!(
                "INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes)
                 VALUES ('key:{index}', '', '{}', '{}', '{}', 1)",
                outcome.name(),
                began.to_iso(),
                until.to_iso()
            ));
            let cool_down = CoolDown {
                reason: outcome,
                began_at: began,
                until,
                strikes: 1,
                trial_until: None,
            };
            if !cool_down.is_spent(NOW) {
                expected.push(format!("key:{index}"));
            }
        }
        expected.sort();
        block_on(forget_cool_downs(&database, NOW)).unwrap();
        assert_eq!(
            database.query("SELECT scope FROM cool_downs ORDER BY scope"),
            expected
        );
    }

    #[test]
    fn what_a_clock_that_ran_ahead_has_written_gives_way() {
        let database = NativeDatabase::migrated();
        let year = 365 * 24 * 3_600_000;
        let place = place(None);
        let later = incident(Outcome::BillingExhausted, year, year);
        block_on(cool(&database, &place, &later, None)).unwrap();
        let now = incident(Outcome::QuotaUnspecified, 0, 0);
        let cooled = block_on(cool(&database, &place, &now, None))
            .unwrap()
            .unwrap();
        assert_eq!((cooled.began_at, cooled.strikes), (NOW, 1));
        assert_eq!(
            database.query(ROWS),
            ["project:projects/1||quota_unspecified|2027-01-15T08:00:05.000Z|1"]
        );
        // A lease and a pause.
        database.run(
            "UPDATE cool_downs SET trial_until = '2028-01-15T08:00:00.000Z';
             INSERT INTO api_keys (id, api_key, status, disabled_until, trial_until) VALUES (1, 'fake-1', 2, NULL, '2028-01-15T08:00:00.000Z');
             UPDATE api_keys SET disabled_until = '2028-01-15T08:30:00.000Z', paused_until = '2028-01-15T08:30:00.000Z',
                 pool_moves = pool_moves + 1",
        );
        let at = NOW.plus(6_000);
        for trial in [Claim::KeyTrial(KeyId(1)), Claim::ScopeTrial(place.clone())] {
            let claimed = || block_on(claim(&database, &trial, at, at.plus(LEASE_MS))).unwrap();
            assert!(claimed() && !claimed(), "{trial:?}");
        }
        // A pause by a person may be of any length.
        database.run(
            "UPDATE api_keys SET disabled_until = '2028-01-15T08:30:00.001Z', trial_until = NULL",
        );
        let trial = Claim::KeyTrial(KeyId(1));
        assert_eq!(
            block_on(claim(&database, &trial, at, at.plus(1))),
            Ok(false)
        );
        block_on(cool(&database, &place, &later, None)).unwrap();
        block_on(forget_cool_downs(&database, NOW)).unwrap();
        assert!(database.query(ROWS).is_empty());
    }

    #[test]
    fn a_pause_that_a_person_wrote_in_another_zone_ends_when_it_says() {
        for (until, is_over) in [
            ("2027-01-15T10:00:00+02:00", true),
            ("2027-01-15T10:00:00.001+02:00", false),
            ("2027-01-15 07:59:59", true),
            ("2027-01-15 08:00:01", false),
        ] {
            let database = NativeDatabase::migrated();
            database.run(&format!("INSERT INTO api_keys (id, api_key, status, disabled_until) VALUES (1, 'fake-1', 2, '{until}')"));
            let trial = Claim::KeyTrial(KeyId(1));
            let claimed = claim(&database, &trial, NOW, NOW.plus(1));
            assert_eq!(block_on(claimed), Ok(is_over), "{until}");
        }
    }

    fn in_parallel(path: &Path, work: impl Fn(&NativeDatabase, i64) + Sync) {
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let work = &work;
                scope.spawn(move || work(&NativeDatabase::open(path), writer));
            }
        });
    }

    #[test]
    fn parallel_instances_count_each_incident_once_and_try_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.db");
        let database = NativeDatabase::migrated_at(&path);
        let mut until = NOW;
        for strikes in 1..=4 {
            let began = until.since(NOW) + 1;
            let bare = incident(Outcome::QuotaUnspecified, began, began);
            in_parallel(&path, |database, _| {
                block_on(cool(database, &place(None), &bare, None)).unwrap();
            });
            assert_eq!(
                database.query("SELECT strikes FROM cool_downs"),
                [strikes.to_string()]
            );
            until = UnixMillis::parse(&database.query("SELECT until FROM cool_downs")[0]).unwrap();
        }
        let holders = std::sync::atomic::AtomicUsize::new(0);
        in_parallel(&path, |database, _| {
            let trial = Claim::ScopeTrial(place(None));
            if block_on(claim(database, &trial, until, until.plus(1))).unwrap() {
                holders.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        assert_eq!(holders.into_inner(), 1);
    }
}
