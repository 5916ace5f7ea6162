use super::super::testing::{DatabaseFile, NOW, NativeDatabase};
use super::*;
use crate::pool::{KeyId, Scope};
use futures::executor::block_on;
use std::sync::atomic::{AtomicUsize, Ordering};

fn scope() -> QuotaScope {
    QuotaScope {
        scope: Scope::Key(KeyId(1)),
        model: Some("m".to_owned()),
    }
}

fn limit(unit: Unit, window: Window, value: u64) -> Limit {
    Limit {
        unit,
        window,
        value,
    }
}

fn reserved(database: &NativeDatabase, limits: &[Limit], tokens: u64, ms: i64) -> bool {
    let reservation = Reservation {
        scope: scope(),
        limits: limits.to_vec(),
    };
    let now = Moment::new(NOW.plus(ms));
    block_on(reserve(database, &[reservation], tokens, &now)).unwrap()
}

fn learn(database: &NativeDatabase, requests_per_day: u64, at: UnixMillis) {
    let day = limit(Unit::Requests, Window::Day, requests_per_day);
    block_on(learn_limit(database, &scope(), day, at)).unwrap();
}

/// Takes a retry from the default budget.
fn took_retry(database: &NativeDatabase, ms: i64) -> bool {
    block_on(take_retry(database, RetryBudget::default(), NOW.plus(ms))).unwrap()
}

#[test]
fn the_latest_learned_limit_applies_and_a_preset_stays() {
    let database = NativeDatabase::migrated();
    database.run("INSERT INTO limits (scope, model, unit, per, preset) VALUES ('key:1', 'm', 'requests', 'day', 5)");
    for (requests, ms) in [(20, 0), (50, 10), (20, 5)] {
        learn(&database, requests, NOW.plus(ms));
    }
    let limits = database.query("SELECT learned, learned_at, preset FROM limits");
    assert_eq!(limits, ["50|2027-01-15T08:00:00.010Z|5"]);
}

#[test]
fn a_call_is_counted_only_if_all_limits_allow_it() {
    let database = NativeDatabase::migrated();
    let limits = [
        limit(Unit::Requests, Window::Minute, 2),
        limit(Unit::Requests, Window::Day, 3),
        limit(Unit::InputTokens, Window::Day, 1000),
    ];
    let reserved = |ms| reserved(&database, &limits, 10, ms);
    assert!(reserved(0) && reserved(1));
    assert!(!reserved(2) && !reserved(69_999), "the minute allows two");
    assert!(reserved(70_000));
    assert!(!reserved(200_000), "the day allows three");
    let day = "SELECT requests, input_tokens FROM budget_usage WHERE per = 'day'";
    assert_eq!(database.query(day), ["3|30"]);
    assert!(reserved(24 * 3_600_000));
}

#[test]
fn the_actual_tokens_replace_the_estimate() {
    let database = NativeDatabase::migrated();
    let limits = [limit(Unit::InputTokens, Window::Minute, 100)];
    assert!(reserved(&database, &limits, 60, 0));
    block_on(settle(&database, &scope(), &Moment::new(NOW), 50)).unwrap();
    let tokens = database.query("SELECT DISTINCT input_tokens FROM budget_usage");
    assert_eq!(tokens, ["110"]);
    assert!(!reserved(&database, &limits, 1, 1));
    block_on(settle(&database, &scope(), &Moment::new(NOW), -500)).unwrap();
    assert!(reserved(&database, &limits, 1, 1));
}

#[test]
fn deletes_usage_that_no_longer_counts() {
    let database = NativeDatabase::migrated();
    let limits = [limit(Unit::Requests, Window::Minute, 100)];
    for minute in 0..20 {
        assert!(reserved(&database, &limits, 1, minute * 60_000));
    }
    assert!(took_retry(&database, 0) && took_retry(&database, 19 * 60_000));
    block_on(delete_old_usage(&database, NOW.plus(19 * 60_000))).unwrap();
    assert_eq!(database.count("budget_usage WHERE per = 'minute'"), 3);
    assert_eq!(database.count("budget_usage WHERE per = 'day'"), 1);
    assert_eq!(database.count("retry_budget"), 1);
    block_on(delete_old_usage(&database, NOW.plus(4 * DAY_MS))).unwrap();
    assert_eq!(database.count("budget_usage"), 0);
}

#[test]
fn parallel_instances_never_exceed_a_limit() {
    let file = DatabaseFile::migrated();
    let (calls, retries) = (AtomicUsize::new(0), AtomicUsize::new(0));
    file.in_parallel(6, |_, database| {
        let limits = [limit(Unit::Requests, Window::Day, 25)];
        for _ in 0..10 {
            let reserved = reserved(&database, &limits, 1, 0);
            calls.fetch_add(usize::from(reserved), Ordering::Relaxed);
            let retried = took_retry(&database, 0);
            retries.fetch_add(usize::from(retried), Ordering::Relaxed);
        }
    });
    assert_eq!((calls.into_inner(), retries.into_inner()), (25, 10));
    let counted = "SELECT requests FROM budget_usage WHERE per = 'day'";
    assert_eq!(file.open().query(counted), ["25"]);
}

#[test]
fn retries_are_a_share_of_the_calls_in_the_minute() {
    let database = NativeDatabase::migrated();
    let log = |calls: usize| {
        database.run(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {calls})
             INSERT INTO api_call_logs (api_key_id, success) SELECT 1, 1 FROM n"
        ));
    };
    log(1000);
    let count = |ms| (0..100).take_while(|_| took_retry(&database, ms)).count();
    assert_eq!(count(0), 10);
    log(110);
    // 26 in total: the floor of 10, and a fifth of the other 84.
    assert_eq!(count(1), 16);
    assert_eq!(count(60_000), 10, "each minute has its own budget");
    database.run("DELETE FROM api_call_logs");
    assert_eq!(count(60_001), 0, "an empty log must add no retries");
    assert_eq!(count(120_000), 10);
}

#[test]
fn counting_and_cleaning_up_does_not_scan_a_table() {
    for statement in [TAKE_RETRY, DELETE_USAGE] {
        let plan = NativeDatabase::migrated().plan(statement);
        assert!(!plan.contains("SCAN"), "{plan}");
    }
}

#[test]
fn usage_from_the_future_does_not_count() {
    let year = 365 * DAY_MS;
    let mut database = NativeDatabase::migrated();
    for window in Window::ALL {
        database = NativeDatabase::migrated();
        let limits = [limit(Unit::Requests, window, 3)];
        for _ in 0..3 {
            assert!(reserved(&database, &limits, 1, year));
        }
        assert!(!reserved(&database, &limits, 1, year));
        assert!(reserved(&database, &limits, 1, 0), "{}", window.name());
    }
    assert!(took_retry(&database, year));
    block_on(delete_old_usage(&database, NOW)).unwrap();
    let future = database.count("budget_usage WHERE began_at > '2027-02'");
    assert_eq!((future, database.count("retry_budget")), (0, 0));
    learn(&database, 1, NOW.plus(year));
    learn(&database, 20, NOW);
    assert_eq!(database.query("SELECT learned FROM limits"), ["20"]);
}
