use super::super::testing::{DatabaseFile, NOW, NativeDatabase};
use super::*;
use crate::pool::{KeyId, Outcome, Scope};
use futures::executor::block_on;
use std::sync::atomic::{AtomicUsize, Ordering};

const LEASE_MS: i64 = 90_000;
const ROWS: &str = "SELECT scope, model, reason, until, strikes FROM cool_downs";

fn scope(model: Option<&str>) -> QuotaScope {
    QuotaScope {
        scope: Scope::Project("projects/1".to_owned()),
        model: model.map(str::to_owned),
    }
}

/// A call that failed immediately.
fn incident(outcome: Outcome, at: i64) -> Incident {
    Incident {
        outcome,
        retry_after_ms: None,
        began_at: NOW.plus(at),
        ended_at: NOW.plus(at),
    }
}

fn claimed(database: &NativeDatabase, trial: &Claim, at: UnixMillis, lease_ms: i64) -> bool {
    block_on(claim(database, trial, at, at.plus(lease_ms))).unwrap()
}

#[test]
fn a_cool_down_builds_on_those_of_other_instances() {
    let database = NativeDatabase::migrated();
    let scope = scope(Some("m"));
    let cooled = |incident: &Incident, known| {
        let cooled = block_on(cool(&database, &scope, incident, known));
        cooled.unwrap()
    };
    let first_incident = incident(Outcome::QuotaUnspecified, 0);
    let first = cooled(&first_incident, None);
    let row = "project:projects/1|m|quota_unspecified|2027-01-15T08:00:05.000Z|1";
    assert_eq!(database.query(ROWS), [row]);
    let repeated = cooled(&first_incident, None);
    assert_eq!(repeated, first, "a repeated incident must not count twice");
    let second_incident = incident(Outcome::QuotaUnspecified, 6_000);
    let second = cooled(&second_incident, None);
    assert_eq!(second.map(|second| second.strikes), Some(2));
    let stale = cooled(&second_incident, first);
    assert_eq!(stale, second, "an outdated view must be corrected");
    let no_cool_down = incident(Outcome::UpstreamTrouble, 0);
    assert_eq!(cooled(&no_cool_down, second), second);
}

#[test]
fn a_success_clears_only_cool_downs_that_were_over() {
    let database = NativeDatabase::migrated();
    let scope = scope(None);
    let first_incident = incident(Outcome::QuotaUnspecified, 0);
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
    let first_incident = incident(Outcome::QuotaUnspecified, -5_000);
    block_on(cool(&database, &scope(None), &first_incident, None)).unwrap();
    for trial in [Claim::KeyTrial(KeyId(1)), Claim::ScopeTrial(scope(None))] {
        let claimed = |ms| claimed(&database, &trial, NOW.plus(ms), LEASE_MS);
        assert!(!claimed(-1), "the cool-down is not over yet");
        assert!(claimed(0) && !claimed(1) && !claimed(LEASE_MS - 1));
        assert!(claimed(LEASE_MS), "the lease is over");
        let lease = |ms| NOW.plus(ms + LEASE_MS);
        block_on(release(&database, &trial, lease(0))).unwrap();
        // An old lease does not release a newer one.
        assert!(!claimed(LEASE_MS + 1));
        block_on(release(&database, &trial, lease(LEASE_MS))).unwrap();
        assert!(claimed(LEASE_MS + 1));
    }
    database.run("UPDATE api_keys SET status = 1, trial_until = NULL");
    database.run("DELETE FROM cool_downs");
    // No trial is needed after a success.
    for trial in [Claim::KeyTrial(KeyId(1)), Claim::ScopeTrial(scope(None))] {
        assert!(claimed(&database, &trial, NOW, 1), "{trial:?}");
    }
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
    let left = database.query("SELECT scope FROM cool_downs ORDER BY scope");
    assert_eq!(left, expected);
}

#[test]
fn times_from_the_future_are_replaced() {
    let database = NativeDatabase::migrated();
    let year = 365 * 24 * 3_600_000;
    let scope = scope(None);
    let later = incident(Outcome::BillingExhausted, year);
    block_on(cool(&database, &scope, &later, None)).unwrap();
    let now = incident(Outcome::QuotaUnspecified, 0);
    let cooled = block_on(cool(&database, &scope, &now, None)).unwrap();
    let cooled = cooled.map(|cool_down| (cool_down.began_at, cool_down.strikes));
    assert_eq!(cooled, Some((NOW, 1)));
    let row = "project:projects/1||quota_unspecified|2027-01-15T08:00:05.000Z|1";
    assert_eq!(database.query(ROWS), [row]);
    // A lease and a pause from the future.
    database.run(
        "UPDATE cool_downs SET trial_until = '2028-01-15T08:00:00.000Z';
         INSERT INTO api_keys (id, api_key, status, disabled_until, trial_until) VALUES (1, 'fake-1', 2, NULL, '2028-01-15T08:00:00.000Z');
         UPDATE api_keys SET disabled_until = '2028-01-15T08:30:00.000Z', paused_until = '2028-01-15T08:30:00.000Z',
             pool_moves = pool_moves + 1",
    );
    let at = NOW.plus(6_000);
    for trial in [Claim::KeyTrial(KeyId(1)), Claim::ScopeTrial(scope.clone())] {
        let claimed = || claimed(&database, &trial, at, LEASE_MS);
        assert!(claimed() && !claimed(), "{trial:?}");
    }
    // An operator's pause may be of any length.
    database
        .run("UPDATE api_keys SET disabled_until = '2028-01-15T08:30:00.001Z', trial_until = NULL");
    assert!(!claimed(&database, &Claim::KeyTrial(KeyId(1)), at, 1));
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
        let claimed = claimed(&database, &Claim::KeyTrial(KeyId(1)), NOW, 1);
        assert_eq!(claimed, is_over, "{until}");
    }
}

#[test]
fn parallel_instances_count_each_incident_and_trial_once() {
    let file = DatabaseFile::migrated();
    let database = file.open();
    let mut until = NOW;
    for strikes in 1..=4 {
        let began = until.since(NOW) + 1;
        let same_incident = incident(Outcome::QuotaUnspecified, began);
        file.in_parallel(8, |_, database| {
            block_on(cool(&database, &scope(None), &same_incident, None)).unwrap();
        });
        let counted = database.query("SELECT strikes FROM cool_downs");
        assert_eq!(counted, [strikes.to_string()]);
        until = UnixMillis::parse(&database.query("SELECT until FROM cool_downs")[0]).unwrap();
    }
    let holders = AtomicUsize::new(0);
    file.in_parallel(8, |_, database| {
        if claimed(&database, &Claim::ScopeTrial(scope(None)), until, 1) {
            holders.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_eq!(holders.into_inner(), 1);
}
