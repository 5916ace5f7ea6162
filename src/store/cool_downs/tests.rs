use super::super::testing::NativeDatabase;
use super::*;
use crate::pool::{KeyId, Outcome, Scope};
use futures::executor::block_on;
use std::path::Path;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const LEASE_MS: i64 = 90_000;
const ROWS: &str = "SELECT scope, model, reason, until, strikes FROM cool_downs";

fn scope(model: Option<&str>) -> QuotaScope {
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
fn a_cool_down_builds_on_those_of_other_instances() {
    let database = NativeDatabase::migrated();
    let scope = scope(Some("m"));
    let first_incident = incident(Outcome::QuotaUnspecified, 0, 0);
    let first = block_on(cool(&database, &scope, &first_incident, None)).unwrap();
    assert_eq!(
        database.query(ROWS),
        ["project:projects/1|m|quota_unspecified|2027-01-15T08:00:05.000Z|1"]
    );
    let repeated = block_on(cool(&database, &scope, &first_incident, None)).unwrap();
    assert_eq!(repeated, first, "a repeated incident must not count twice");
    let second_incident = incident(Outcome::QuotaUnspecified, 6_000, 6_000);
    let second = block_on(cool(&database, &scope, &second_incident, None)).unwrap();
    assert_eq!(second.map(|second| second.strikes), Some(2));
    let stale = block_on(cool(&database, &scope, &second_incident, first)).unwrap();
    assert_eq!(stale, second, "an outdated view must be corrected");
    let no_cool_down = incident(Outcome::UpstreamTrouble, 0, 0);
    assert_eq!(
        block_on(cool(&database, &scope, &no_cool_down, second)),
        Ok(second)
    );
}

#[test]
fn a_success_clears_only_cool_downs_that_were_over() {
    let database = NativeDatabase::migrated();
    let scope = scope(None);
    let first_incident = incident(Outcome::QuotaUnspecified, 0, 0);
    block_on(cool(&database, &scope, &first_incident, None)).unwrap();
    block_on(end_cool_down(&database, &scope, NOW.plus(4_999))).unwrap();
    assert_eq!(database.query(ROWS).len(), 1);
    block_on(end_cool_down(&database, &scope, NOW.plus(5_000))).unwrap();
    assert!(database.query(ROWS).is_empty());
}

#[test]
fn a_trial_has_one_holder_until_expiry_or_release() {
    let database = NativeDatabase::migrated();
    database.run("INSERT INTO api_keys (id, api_key, status, disabled_until) VALUES (1, 'fake-1', 2, '2027-01-15T08:00:00.000Z')");
    let first_incident = incident(Outcome::QuotaUnspecified, -5_000, -5_000);
    block_on(cool(&database, &scope(None), &first_incident, None)).unwrap();
    for trial in [Claim::KeyTrial(KeyId(1)), Claim::ScopeTrial(scope(None))] {
        let claimed = |ms| {
            let until = NOW.plus(ms + LEASE_MS);
            block_on(claim(&database, &trial, NOW.plus(ms), until)).unwrap()
        };
        assert!(!claimed(-1), "the cool-down is not over yet");
        assert!(claimed(0) && !claimed(1) && !claimed(LEASE_MS - 1));
        assert!(claimed(LEASE_MS), "the lease is over");
        let lease = |ms| NOW.plus(ms + LEASE_MS);
        block_on(release(&database, &trial, lease(0))).unwrap();
        assert!(
            !claimed(LEASE_MS + 1),
            "an old lease must not release a newer one"
        );
        block_on(release(&database, &trial, lease(LEASE_MS))).unwrap();
        assert!(claimed(LEASE_MS + 1));
    }
    database.run("UPDATE api_keys SET status = 1, trial_until = NULL");
    let works = Claim::KeyTrial(KeyId(1));
    let claimed = claim(&database, &works, NOW, NOW.plus(1));
    assert_eq!(
        block_on(claimed),
        Ok(true),
        "no trial is needed after a success"
    );
    database.run("DELETE FROM cool_downs");
    let cleared = Claim::ScopeTrial(scope(None));
    assert_eq!(
        block_on(claim(&database, &cleared, NOW, NOW.plus(1))),
        Ok(true)
    );
}

#[test]
fn deletes_exactly_the_spent_cool_downs() {
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
    block_on(delete_spent_cool_downs(&database, NOW)).unwrap();
    assert_eq!(
        database.query("SELECT scope FROM cool_downs ORDER BY scope"),
        expected
    );
}

#[test]
fn times_from_the_future_are_replaced() {
    let database = NativeDatabase::migrated();
    let year = 365 * 24 * 3_600_000;
    let scope = scope(None);
    let later = incident(Outcome::BillingExhausted, year, year);
    block_on(cool(&database, &scope, &later, None)).unwrap();
    let now = incident(Outcome::QuotaUnspecified, 0, 0);
    let cooled = block_on(cool(&database, &scope, &now, None))
        .unwrap()
        .unwrap();
    assert_eq!((cooled.began_at, cooled.strikes), (NOW, 1));
    assert_eq!(
        database.query(ROWS),
        ["project:projects/1||quota_unspecified|2027-01-15T08:00:05.000Z|1"]
    );
    // A lease and a pause from the future.
    database.run(
        "UPDATE cool_downs SET trial_until = '2028-01-15T08:00:00.000Z';
         INSERT INTO api_keys (id, api_key, status, disabled_until, trial_until) VALUES (1, 'fake-1', 2, NULL, '2028-01-15T08:00:00.000Z');
         UPDATE api_keys SET disabled_until = '2028-01-15T08:30:00.000Z', paused_until = '2028-01-15T08:30:00.000Z',
             pool_moves = pool_moves + 1",
    );
    let at = NOW.plus(6_000);
    for trial in [Claim::KeyTrial(KeyId(1)), Claim::ScopeTrial(scope.clone())] {
        let claimed = || block_on(claim(&database, &trial, at, at.plus(LEASE_MS))).unwrap();
        assert!(claimed() && !claimed(), "{trial:?}");
    }
    // An operator's pause may be of any length.
    database
        .run("UPDATE api_keys SET disabled_until = '2028-01-15T08:30:00.001Z', trial_until = NULL");
    let trial = Claim::KeyTrial(KeyId(1));
    assert_eq!(
        block_on(claim(&database, &trial, at, at.plus(1))),
        Ok(false)
    );
    block_on(cool(&database, &scope, &later, None)).unwrap();
    block_on(delete_spent_cool_downs(&database, NOW)).unwrap();
    assert!(database.query(ROWS).is_empty());
}

#[test]
fn an_operators_pause_may_be_in_any_time_zone() {
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
fn parallel_instances_count_each_incident_and_trial_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.db");
    let database = NativeDatabase::migrated_at(&path);
    let mut until = NOW;
    for strikes in 1..=4 {
        let began = until.since(NOW) + 1;
        let first_incident = incident(Outcome::QuotaUnspecified, began, began);
        in_parallel(&path, |database, _| {
            block_on(cool(database, &scope(None), &first_incident, None)).unwrap();
        });
        assert_eq!(
            database.query("SELECT strikes FROM cool_downs"),
            [strikes.to_string()]
        );
        until = UnixMillis::parse(&database.query("SELECT until FROM cool_downs")[0]).unwrap();
    }
    let holders = std::sync::atomic::AtomicUsize::new(0);
    in_parallel(&path, |database, _| {
        let trial = Claim::ScopeTrial(scope(None));
        if block_on(claim(database, &trial, until, until.plus(1))).unwrap() {
            holders.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    assert_eq!(holders.into_inner(), 1);
}
