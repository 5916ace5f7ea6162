//! Cool-downs and trials, written so that many instances can do it at once.

use super::snapshot::cool_down;
use super::{Database, DatabaseError, Value, place_values, write};
use crate::pool::{Claim, CoolDown, Incident, KeyStatus, Place, TRIAL_LEASE_MS, UnixMillis};

const SEEN: &str = "SELECT reason, began_at, until, strikes, trial_until FROM cool_downs
WHERE scope = ?1 AND model = ?2";
/// Takes the place of what was seen, or of nothing. A row that somebody else has changed since stays as it is, and none is
/// returned.
const SET: &str =
    "INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes, trial_until)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL)
ON CONFLICT (scope, model) DO UPDATE SET reason = excluded.reason, began_at = excluded.began_at,
    until = excluded.until, strikes = excluded.strikes, trial_until = NULL
WHERE until = ?7 AND reason = ?8
RETURNING scope";
const CLEAR: &str =
    "DELETE FROM cool_downs WHERE scope = ?1 AND model = ?2 AND until <= ?3 RETURNING scope";
const CLAIM_PLACE: &str = "UPDATE cool_downs SET trial_until = ?4
WHERE scope = ?1 AND model = ?2 AND until <= ?3 AND coalesce(trial_until, '') <= ?3
RETURNING scope";
const RELEASE_KEY: &str = "UPDATE api_keys SET trial_until = NULL WHERE id = ?1";
const RELEASE_PLACE: &str =
    "UPDATE cool_downs SET trial_until = NULL WHERE scope = ?1 AND model = ?2";
const PLACE_IS_FREE: &str = "SELECT 1 FROM cool_downs WHERE scope = ?1 AND model = ?2";

/// Rounds of compare-and-set. Each lost round is another's won one, and what others have won is one incident with this.
const MAX_ROUNDS: usize = 16;

/// Enters what an incident means for a place. `known` is its cool-down as far as the caller knows. Gives the one that
/// holds afterwards.
///
/// # Errors
/// The database refused.
pub async fn cool(
    database: &impl Database,
    place: &Place,
    incident: &Incident,
    known: Option<CoolDown>,
) -> Result<Option<CoolDown>, DatabaseError> {
    let mut before = known;
    for _ in 0..MAX_ROUNDS {
        let Some(after) = CoolDown::after(before.as_ref(), incident) else {
            return Ok(before);
        };
        let mut parameters = Vec::from(place_values(place));
        parameters.extend([
            Value::from(after.reason.name()),
            Value::from(after.began_at.to_iso()),
            Value::from(after.until.to_iso()),
            Value::from(i64::from(after.strikes)),
            Value::from(before.map(|before| before.until.to_iso())),
            Value::from(before.map(|before| before.reason.name())),
        ]);
        if !write(database, SET, parameters).await?.is_empty() {
            return Ok(Some(after));
        }
        let seen = database.execute(SEEN, place_values(place).into()).await?;
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
    place: &Place,
    began_at: UnixMillis,
) -> Result<(), DatabaseError> {
    let mut parameters = Vec::from(place_values(place));
    parameters.push(Value::from(began_at.to_iso()));
    write(database, CLEAR, parameters).await.map(drop)
}

/// Claims a trial for one call. `false` when another has it, or the key or the place is out again.
///
/// # Errors
/// The database refused.
pub async fn claim(
    database: &impl Database,
    claim: &Claim,
    now: UnixMillis,
) -> Result<bool, DatabaseError> {
    let (at, lease) = (now.to_iso(), now.plus(TRIAL_LEASE_MS).to_iso());
    match claim {
        Claim::KeyTrial(id) => {
            let statement = format!(
                "UPDATE api_keys SET trial_until = ?3
WHERE id = ?1 AND status = {cooling} AND disabled_until <= ?2 AND coalesce(trial_until, '') <= ?2
RETURNING id",
                cooling = KeyStatus::Cooling.code()
            );
            let parameters = vec![Value::from(id.0), Value::from(at), Value::from(lease)];
            Ok(!write(database, &statement, parameters).await?.is_empty())
        }
        Claim::PlaceTrial(place) => {
            let mut parameters = Vec::from(place_values(place));
            parameters.extend([Value::from(at), Value::from(lease)]);
            if !write(database, CLAIM_PLACE, parameters).await?.is_empty() {
                return Ok(true);
            }
            // Another call has worked meanwhile: there is nothing to try any more.
            let rows = database
                .execute(PLACE_IS_FREE, place_values(place).into())
                .await?;
            Ok(rows.is_empty())
        }
    }
}

/// Gives a trial back that found out nothing, so that the next call may try.
///
/// # Errors
/// The database refused.
pub async fn release(database: &impl Database, claim: &Claim) -> Result<(), DatabaseError> {
    let (statement, parameters) = match claim {
        Claim::KeyTrial(id) => (RELEASE_KEY, vec![Value::from(id.0)]),
        Claim::PlaceTrial(place) => (RELEASE_PLACE, place_values(place).into()),
    };
    write(database, statement, parameters).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::testing::NativeDatabase;
    use super::*;
    use crate::pool::{KeyId, Outcome, Scope};
    use futures::executor::block_on;
    use std::path::Path;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const ROWS: &str = "SELECT scope, model, reason, until, strikes FROM cool_downs";

    fn place(model: Option<&str>) -> Place {
        Place {
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
        for trial in [Claim::KeyTrial(KeyId(1)), Claim::PlaceTrial(place(None))] {
            let claimed = |ms| block_on(claim(&database, &trial, NOW.plus(ms))).unwrap();
            assert!(!claimed(-1), "not over yet");
            assert!(claimed(0) && !claimed(1) && !claimed(TRIAL_LEASE_MS - 1));
            assert!(claimed(TRIAL_LEASE_MS), "the lease is over");
            block_on(release(&database, &trial)).unwrap();
            assert!(claimed(TRIAL_LEASE_MS + 1));
        }
        database.run("DELETE FROM cool_downs");
        let gone = Claim::PlaceTrial(place(None));
        assert_eq!(block_on(claim(&database, &gone, NOW)), Ok(true));
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
            let trial = Claim::PlaceTrial(place(None));
            if block_on(claim(database, &trial, until)).unwrap() {
                holders.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        assert_eq!(holders.into_inner(), 1);
    }
}
