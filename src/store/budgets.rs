//! What is known of limits, what was used of them, and the pool's budget of retries.

use super::{Database, DatabaseError, Value, placeholders, quota_scope_values, write, write_once};
use crate::pool::{
    CLOCK_TOLERANCE_MS, Limit, MINUTE_MS, Moment, QuotaScope, RetryBudget, Unit, UnixMillis,
    Window, before_minute, slot_start,
};

const LEARN: &str = "INSERT INTO limits (scope, model, unit, per, learned, learned_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (scope, model, unit, per) DO UPDATE SET learned = excluded.learned, learned_at = excluded.learned_at
WHERE learned_at IS NULL OR learned_at <= excluded.learned_at OR learned_at > ?7";
const SETTLE: &str = "UPDATE budget_usage SET input_tokens = max(0, input_tokens + ?5)
WHERE scope = ?1 AND model = ?2 AND ((per = 'minute' AND began_at = ?3) OR (per = 'day' AND began_at = ?4))";
/// What is over, and what a clock that ran ahead has counted.
const FORGET_USAGE: &str = "DELETE FROM budget_usage
WHERE (per = 'day' AND (began_at < ?1 OR began_at > ?3)) OR (per = 'minute' AND (began_at < ?2 OR began_at > ?3))";
/// Calls that were no retries are all calls since the minute's first retry, without the retries among them. The log numbers
/// calls as they end, and its highest number is found without reading it.
const TAKE_RETRY: &str = "INSERT INTO retry_budget (minute, calls_before, retries)
VALUES (?1, (SELECT coalesce(max(id), 0) FROM api_call_logs), 1)
ON CONFLICT (minute) DO UPDATE SET retries = retries + 1
WHERE retries < ?2 + max(0, (SELECT coalesce(max(id), 0) FROM api_call_logs) - calls_before - retries) * ?3 / 100
RETURNING 1";
const FORGET_RETRIES: &str = "DELETE FROM retry_budget WHERE minute < ?1 OR minute > ?2";

const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A place whose budgets a call counts towards, and the limits that must not be passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Whose quota, for which model.
    pub place: QuotaScope,
    /// What is known to be allowed.
    pub limits: Vec<Limit>,
}

impl Reservation {
    fn allowed(&self, unit: Unit, window: Window) -> u64 {
        self.limits
            .iter()
            .filter(|limit| (limit.unit, limit.window) == (unit, window))
            .map(|limit| limit.value)
            .min()
            .unwrap_or(u64::MAX)
    }
}

/// Keeps a limit that an error has told. The latest that was learned holds.
///
/// # Errors
/// The database refused.
pub async fn learn_limit(
    database: &impl Database,
    place: &QuotaScope,
    limit: Limit,
    now: UnixMillis,
) -> Result<(), DatabaseError> {
    let mut parameters = Vec::from(quota_scope_values(place));
    parameters.extend([
        Value::from(limit.unit.name()),
        Value::from(limit.window.name()),
        Value::from(limit.value),
        Value::from(now.to_iso()),
        Value::from(now.plus(CLOCK_TOLERANCE_MS).to_iso()),
    ]);
    write(database, LEARN, parameters).await.map(drop)
}

/// Keeps fields that a model is known not to support.
///
/// # Errors
/// The database refused.
pub async fn learn_unsupported(
    database: &impl Database,
    model: &str,
    fields: &[String],
    now: UnixMillis,
) -> Result<(), DatabaseError> {
    let mut parameters = vec![Value::from(model), Value::from(now.to_iso())];
    parameters.extend(fields.iter().map(|field| Value::from(field.as_str())));
    let rows: Vec<String> = (3..=parameters.len())
        .map(|index| format!("(?1, ?{index}, ?2)"))
        .collect();
    let insert = format!(
        "INSERT INTO unsupported_fields (model, field, learned_at) VALUES {}
ON CONFLICT (model, field) DO UPDATE SET learned_at = excluded.learned_at",
        rows.join(", ")
    );
    write(database, &insert, parameters).await.map(drop)
}

/// Forgets which fields a model does not support, and that it wants thought signatures: both are then learned anew.
///
/// # Errors
/// The database refused.
pub async fn forget_learned(database: &impl Database, model: &str) -> Result<(), DatabaseError> {
    for table in ["unsupported_fields", "signed_models"] {
        let delete = format!("DELETE FROM {table} WHERE model = ?1");
        write(database, &delete, vec![Value::from(model)]).await?;
    }
    Ok(())
}

/// Counts a call that is about to be sent towards all of these budgets, or, where one of them is used up by now, towards
/// none: then it gives `false`, and the call must not be sent. One statement, so that no two instances take the last call
/// of a budget both.
///
/// # Errors
/// The database refused.
pub async fn reserve(
    database: &impl Database,
    reservations: &[Reservation],
    input_tokens: u64,
    now: &Moment,
) -> Result<bool, DatabaseError> {
    let windows = [
        (
            Window::Minute,
            slot_start(now.at()),
            before_minute(now.at()),
        ),
        (Window::Day, now.day_start(), now.day_start().plus(-1)),
    ];
    let mut parameters = vec![
        Value::from(input_tokens),
        Value::from(now.at().plus(CLOCK_TOLERANCE_MS).to_iso()),
    ];
    let mut rows = Vec::with_capacity(reservations.len() * windows.len());
    for reservation in reservations {
        for (window, began_at, after) in windows {
            rows.push(placeholders(parameters.len(), 7));
            parameters.extend(quota_scope_values(&reservation.place));
            parameters.extend([
                Value::from(window.name()),
                Value::from(began_at.to_iso()),
                Value::from(after.to_iso()),
                Value::from(reservation.allowed(Unit::Requests, window)),
                Value::from(reservation.allowed(Unit::InputTokens, window)),
            ]);
        }
    }
    let reserve = format!(
        "WITH wanted (scope, model, per, began_at, after, requests, input_tokens) AS (VALUES {})
INSERT INTO budget_usage (scope, model, per, began_at, requests, input_tokens)
SELECT scope, model, per, began_at, 1, ?1 FROM wanted
WHERE NOT EXISTS (
    SELECT 1 FROM wanted AS w WHERE
        w.requests <= (SELECT coalesce(sum(u.requests), 0) FROM budget_usage AS u
            WHERE u.scope = w.scope AND u.model = w.model AND u.per = w.per AND u.began_at > w.after AND u.began_at <= ?2)
        OR w.input_tokens <= (SELECT coalesce(sum(u.input_tokens), 0) FROM budget_usage AS u
            WHERE u.scope = w.scope AND u.model = w.model AND u.per = w.per AND u.began_at > w.after AND u.began_at <= ?2)
)
ON CONFLICT (scope, model, per, began_at) DO UPDATE SET
    requests = requests + 1, input_tokens = input_tokens + excluded.input_tokens
RETURNING 1",
        rows.join(", ")
    );
    let counted = write_once(database, &reserve, parameters).await?;
    Ok(!counted.is_empty())
}

/// Sets right what [`reserve`] has counted as the input tokens of a call that began at `began_at`, by the difference.
///
/// # Errors
/// The database refused.
pub async fn settle(
    database: &impl Database,
    place: &QuotaScope,
    began_at: &Moment,
    difference: i64,
) -> Result<(), DatabaseError> {
    let mut parameters = Vec::from(quota_scope_values(place));
    parameters.extend([
        Value::from(slot_start(began_at.at()).to_iso()),
        Value::from(began_at.day_start().to_iso()),
        Value::from(difference),
    ]);
    write_once(database, SETTLE, parameters).await.map(drop)
}

/// Takes one retry from the pool's budget of this minute; `false` when there is none left.
///
/// # Errors
/// The database refused.
pub async fn take_retry(
    database: &impl Database,
    budget: RetryBudget,
    now: UnixMillis,
) -> Result<bool, DatabaseError> {
    let minute = now.0.div_euclid(MINUTE_MS);
    let parameters = vec![
        Value::from(minute),
        Value::from(budget.floor),
        Value::from(budget.percent),
    ];
    let taken = write_once(database, TAKE_RETRY, parameters).await?;
    Ok(!taken.is_empty())
}

/// Forgets what was used, and retried, so long ago that it counts for nothing any more.
///
/// # Errors
/// The database refused.
pub(super) async fn forget_usage(
    database: &impl Database,
    now: UnixMillis,
) -> Result<(), DatabaseError> {
    let parameters = vec![
        Value::from(now.plus(-2 * DAY_MS).to_iso()),
        Value::from(now.plus(-2 * MINUTE_MS).to_iso()),
        Value::from(now.plus(CLOCK_TOLERANCE_MS).to_iso()),
    ];
    write(database, FORGET_USAGE, parameters).await?;
    let minute = now.0.div_euclid(MINUTE_MS);
    let parameters = vec![Value::from(minute - 10), Value::from(minute + 1)];
    write(database, FORGET_RETRIES, parameters).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::testing::NativeDatabase;
    use super::*;
    use crate::pool::{KeyId, Scope};
    use futures::executor::block_on;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn place() -> QuotaScope {
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

    fn reservation(limits: &[Limit]) -> Vec<Reservation> {
        vec![Reservation {
            place: place(),
            limits: limits.to_vec(),
        }]
    }

    fn reserved(database: &NativeDatabase, limits: &[Limit], tokens: u64, ms: i64) -> bool {
        let now = Moment::new(NOW.plus(ms));
        block_on(reserve(database, &reservation(limits), tokens, &now)).unwrap()
    }

    #[test]
    fn the_latest_limit_that_was_learned_holds_and_a_preset_stays() {
        let database = NativeDatabase::migrated();
        database.run("INSERT INTO limits (scope, model, unit, per, preset) VALUES ('key:1', 'm', 'requests', 'day', 5)");
        let learn = |value, ms| {
            let day = limit(Unit::Requests, Window::Day, value);
            block_on(learn_limit(&database, &place(), day, NOW.plus(ms))).unwrap();
        };
        learn(20, 0);
        learn(50, 10);
        learn(20, 5);
        assert_eq!(
            database.query("SELECT learned, learned_at, preset FROM limits"),
            ["50|2027-01-15T08:00:00.010Z|5"]
        );
    }

    #[test]
    fn a_call_is_counted_where_all_limits_allow_it_and_nowhere_otherwise() {
        let database = NativeDatabase::migrated();
        let limits = [
            limit(Unit::Requests, Window::Minute, 2),
            limit(Unit::Requests, Window::Day, 3),
            limit(Unit::InputTokens, Window::Day, 1000),
        ];
        assert!(reserved(&database, &limits, 10, 0) && reserved(&database, &limits, 10, 1));
        assert!(!reserved(&database, &limits, 10, 2), "two in this minute");
        assert!(!reserved(&database, &limits, 10, 69_999));
        assert!(reserved(&database, &limits, 10, 70_000));
        assert!(
            !reserved(&database, &limits, 10, 200_000),
            "three on this day"
        );
        assert_eq!(
            database.query("SELECT requests, input_tokens FROM budget_usage WHERE per = 'day'"),
            ["3|30"]
        );
        assert!(reserved(&database, &limits, 10, 24 * 3_600_000));
    }

    #[test]
    fn the_true_number_of_tokens_takes_the_place_of_the_expected() {
        let database = NativeDatabase::migrated();
        let limits = [limit(Unit::InputTokens, Window::Minute, 100)];
        assert!(reserved(&database, &limits, 60, 0));
        block_on(settle(&database, &place(), &Moment::new(NOW), 50)).unwrap();
        assert_eq!(
            database.query("SELECT DISTINCT input_tokens FROM budget_usage"),
            ["110"]
        );
        assert!(!reserved(&database, &limits, 1, 1));
        block_on(settle(&database, &place(), &Moment::new(NOW), -500)).unwrap();
        assert!(reserved(&database, &limits, 1, 1));
    }

    #[test]
    fn slots_that_no_longer_matter_are_forgotten() {
        let database = NativeDatabase::migrated();
        let limits = [limit(Unit::Requests, Window::Minute, 100)];
        for minute in 0..20 {
            assert!(reserved(&database, &limits, 1, minute * 60_000));
        }
        let retry_at = |ms| {
            let taken = take_retry(&database, RetryBudget::default(), NOW.plus(ms));
            assert!(block_on(taken).unwrap());
        };
        retry_at(0);
        retry_at(19 * 60_000);
        block_on(forget_usage(&database, NOW.plus(19 * 60_000))).unwrap();
        let count = |table: &str| database.query(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(count("budget_usage WHERE per = 'minute'"), ["3"]);
        assert_eq!(count("budget_usage WHERE per = 'day'"), ["1"]);
        assert_eq!(count("retry_budget"), ["1"]);
        block_on(forget_usage(&database, NOW.plus(4 * DAY_MS))).unwrap();
        assert_eq!(count("budget_usage"), ["0"]);
        let plan = database.query(&format!(
            "EXPLAIN QUERY PLAN {}",
            FORGET_USAGE
                .replace("?1", "'1'")
                .replace("?2", "'2'")
                .replace("?3", "'3'")
        ));
        assert!(
            plan.iter().all(|step| !step.contains("SCAN")),
            "no row is looked at in vain: {plan:?}"
        );
    }

    #[test]
    fn parallel_instances_never_pass_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.db");
        let database = NativeDatabase::migrated_at(&path);
        database.run("INSERT INTO api_keys (id, api_key, total_calls) VALUES (1, 'fake-1', 0)");
        let (calls, retries) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let database = NativeDatabase::open(&path);
                    for _ in 0..10 {
                        let limits = [limit(Unit::Requests, Window::Day, 25)];
                        if reserved(&database, &limits, 1, 0) {
                            calls.fetch_add(1, Ordering::Relaxed);
                        }
                        let budget = RetryBudget::default();
                        if block_on(take_retry(&database, budget, NOW)).unwrap() {
                            retries.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!((calls.into_inner(), retries.into_inner()), (25, 10));
        assert_eq!(
            database.query("SELECT requests FROM budget_usage WHERE per = 'day'"),
            ["25"]
        );
    }

    #[test]
    fn retries_are_a_share_of_the_calls_of_the_minute() {
        let database = NativeDatabase::migrated();
        let log = |calls: usize| {
            database.run(&format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {calls})
                 INSERT INTO api_call_logs (api_key_id, success) SELECT 1, 1 FROM n"
            ));
        };
        log(1000);
        let taken =
            |ms| block_on(take_retry(&database, RetryBudget::default(), NOW.plus(ms))).unwrap();
        let count = |ms| (0..100).take_while(|_| taken(ms)).count();
        assert_eq!(count(0), 10);
        log(110);
        // 26 in all: 10, and a fifth of the other 84.
        assert_eq!(count(1), 16);
        assert_eq!(count(60_000), 10, "another minute");
        database.run("DELETE FROM api_call_logs");
        assert_eq!(count(60_001), 0, "an empty log adds nothing");
        assert_eq!(count(120_000), 10);
    }

    #[test]
    fn a_retry_costs_no_look_at_all_keys_or_calls() {
        let database = NativeDatabase::migrated();
        let statement = TAKE_RETRY
            .replace("?1", "1")
            .replace("?2", "2")
            .replace("?3", "3");
        let plan = database.query(&format!("EXPLAIN QUERY PLAN {statement}"));
        assert!(plan.iter().all(|step| !step.contains("SCAN")), "{plan:?}");
    }

    #[test]
    fn what_a_clock_that_ran_ahead_has_counted_does_not_count() {
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
        let count = |what: &str| database.query(&format!("SELECT count(*) FROM {what}"));
        let taken = take_retry(&database, RetryBudget::default(), NOW.plus(year));
        assert!(block_on(taken).unwrap());
        block_on(forget_usage(&database, NOW)).unwrap();
        assert_eq!(count("budget_usage WHERE began_at > '2027-02'"), ["0"]);
        assert_eq!(count("retry_budget"), ["0"]);
        let day = |value| limit(Unit::Requests, Window::Day, value);
        for (value, at) in [(1, NOW.plus(year)), (20, NOW)] {
            block_on(learn_limit(&database, &place(), day(value), at)).unwrap();
        }
        assert_eq!(database.query("SELECT learned FROM limits"), ["20"]);
    }
}
