//! What metrics count. The sums are of all calls so far, so they never decrease, whichever instance
//! reads them.

use super::call_durations::{Level, durations};
use super::call_totals::totals;
use super::{Access, Database, ErrorKind, Result, Row, number, read, text, values};
use crate::pool::{MINUTE_MS, UnixMillis};

/// The sums.
#[derive(Debug, Default, PartialEq)]
pub struct Totals {
    /// Attempts with keys that exist.
    pub attempts: Vec<AttemptTotal>,
    /// Calls by model and client token.
    pub usage: Vec<UsageTotal>,
    /// Calls by model and duration.
    pub durations: Vec<DurationTotal>,
    /// Calls other than retries in this minute, since its first retry.
    pub calls_this_minute: u64,
    /// Retries of this minute that were charged to the retry budget.
    pub retries_this_minute: u64,
    /// Statements that have failed in any instance, as far as it could tell the database.
    pub database_errors: u64,
}

/// How many attempts with a key, for a model, ended in a way.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptTotal {
    /// The key's id.
    pub key: i64,
    /// The model; empty in rows of an earlier deployment.
    pub model: String,
    /// The name of the outcome; empty in rows of an earlier deployment.
    pub outcome: String,
    /// How many.
    pub attempts: u64,
}

/// The sums of calls for a model with a client token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UsageTotal {
    /// The model.
    pub model: String,
    /// The id of the token; 0 for the built-in one.
    pub token: i64,
    /// The id of the first such call; 0 if it came before the totals were kept.
    pub first_call: i64,
    /// First attempts.
    pub requests: u64,
    /// Attempts that succeeded.
    pub successes: u64,
    /// Tokens of the requests.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// Tokens of thoughts.
    pub thinking_tokens: u64,
    /// Tokens from Google's cache.
    pub cached_tokens: u64,
    /// How long the attempts took together, in milliseconds.
    pub total_ms: u64,
    /// How long they waited for first bytes together, in milliseconds.
    pub total_first_byte_ms: u64,
}

/// How many attempts for a model took how long.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationTotal {
    /// The model.
    pub model: String,
    /// The duration in milliseconds, rounded down to four significant bits.
    pub bucket_ms: u64,
    /// Attempts that took so long.
    pub attempts: u64,
    /// First bytes that came after so long.
    pub first_bytes: u64,
}

/// Adds errors to those of all instances.
const ADD_ERRORS: &str = "INSERT INTO database_errors (id, errors) VALUES (1, ?1)
ON CONFLICT (id) DO UPDATE SET errors = errors + excluded.errors";
/// How long adding errors may take, in milliseconds.
const ADD_WAIT_MS: u64 = 250;

/// Reads the sums in one statement, so that they are of one moment. The first column is the kind of
/// row. total() rather than sum(), which fails where integers overflow.
///
/// # Errors
/// A table cannot be read.
pub async fn read_totals(database: &impl Database, now: UnixMillis) -> Result<Totals> {
    let select = format!(
        "WITH totals AS ({totals})
SELECT 'attempts', {model}, {outcome}, api_key_id, total(calls),
    NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM totals WHERE api_key_id IN (SELECT id FROM api_keys) GROUP BY api_key_id, model, outcome
UNION ALL SELECT 'usage', {model}, {first}, token_id, total(requests), total(successes),
    total(input_tokens), total(output_tokens), total(thinking_tokens), total(cached_tokens),
    total(total_response_time_ms), total(total_first_byte_ms)
FROM totals GROUP BY model, token_id
UNION ALL SELECT 'durations', {model}, NULL, bucket_ms, total(calls), total(first_bytes),
    NULL, NULL, NULL, NULL, NULL, NULL
FROM ({durations}) GROUP BY model, bucket_ms
UNION ALL SELECT 'retries', NULL, NULL, NULL, {retries},
    (SELECT coalesce(max(id), 0) FROM api_call_logs) - calls_before - retries,
    NULL, NULL, NULL, NULL, NULL, NULL
FROM retry_budget WHERE minute = ?1
UNION ALL SELECT 'errors', NULL, NULL, NULL, {errors}, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM database_errors",
        totals = totals(),
        model = text("model"),
        outcome = text("outcome"),
        first = number("min(first_call_id)"),
        durations = durations(Level::Total, "true", "true"),
        retries = number("retries"),
        errors = number("errors"),
    );
    let minute = now.0.div_euclid(MINUTE_MS);
    let mut totals = Totals::default();
    for row in &read(database, &select, values![minute]).await? {
        add_row(&mut totals, row);
    }
    Ok(totals)
}

fn add_row(totals: &mut Totals, row: &Row) {
    let text = |column| row.lossy_text(column).unwrap_or_default();
    let id = row.integer(3).unwrap_or(0);
    // Nothing makes a sum negative but a row that someone has changed.
    let number = |column| u64::try_from(row.integer(column).unwrap_or(0)).unwrap_or(0);
    let model = text(1);
    match row.text(0) {
        Some("attempts") => totals.attempts.push(AttemptTotal {
            key: id,
            model,
            outcome: text(2),
            attempts: number(4),
        }),
        Some("usage") => totals.usage.push(UsageTotal {
            model,
            token: id,
            first_call: row.integer(2).unwrap_or(0),
            requests: number(4),
            successes: number(5),
            input_tokens: number(6),
            output_tokens: number(7),
            thinking_tokens: number(8),
            cached_tokens: number(9),
            total_ms: number(10),
            total_first_byte_ms: number(11),
        }),
        Some("durations") => totals.durations.push(DurationTotal {
            model,
            bucket_ms: number(3),
            attempts: number(4),
            first_bytes: number(5),
        }),
        Some("retries") => {
            totals.retries_this_minute = number(4);
            totals.calls_this_minute = number(5);
        }
        _ => totals.database_errors = number(4),
    }
}

/// Adds the errors of this instance to those of all instances, in one attempt. If the database still
/// fails, they are added later.
pub async fn add_database_errors(database: &impl Database) {
    let Some(counter) = database.errors() else {
        return;
    };
    let errors = counter.take();
    if errors == 0 {
        return;
    }
    let access = Access::WriteOnce;
    let added = database.try_execute(access, ADD_ERRORS, values![errors], ADD_WAIT_MS);
    // A statement that was lost may have run. Fewer errors are better than errors that never were.
    if let Err(error) = added.await
        && error.kind() != ErrorKind::Lost
    {
        counter.set(counter.get().saturating_add(errors));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DatabaseFile, NOW, NativeDatabase};
    use super::super::{take_retry, write};
    use super::*;
    use crate::pool::RetryBudget;
    use futures::executor::block_on;

    fn totals(database: &NativeDatabase) -> Totals {
        block_on(read_totals(database, NOW)).unwrap()
    }

    #[test]
    fn sums_all_calls_by_their_labels() {
        let database = NativeDatabase::with_keys(1);
        database.run(
            "INSERT INTO api_call_logs (api_key_id, success, called_at, response_time_ms, model, attempt, outcome,
                 first_byte_ms, input_tokens, output_tokens, thinking_tokens, cached_tokens, token_id) VALUES
             (1, 1, '2027-01-15T08:10:00.000Z', 1000, 'm', 1, 'success', 100, 1, 2, 3, 4, NULL),
             (1, 1, '2027-01-15T07:59:00.000Z', 1001, 'm', 2, 'success', 100, 10, 20, 30, 40, NULL),
             (1, 0, '2027-01-15T08:00:00.000Z', 50, 'm', 1, 'quota_per_day', NULL, NULL, NULL, NULL, NULL, 7),
             (9, 1, '2027-01-15T08:00:00.000Z', 50, 'm', 1, 'success', NULL, NULL, NULL, NULL, NULL, 7),
             (1, 1, 'soon', 50, CAST(x'ff' AS TEXT), 1, NULL, NULL, -5, NULL, NULL, NULL, NULL)",
        );
        let Totals {
            attempts,
            usage,
            durations,
            ..
        } = totals(&database);
        let attempts = attempts.iter();
        let attempts = attempts.map(|it| (it.key, &*it.model, &*it.outcome, it.attempts));
        let expected = [
            (1, "m", "quota_per_day", 1),
            (1, "m", "success", 2),
            (1, "\u{fffd}", "", 1),
        ];
        assert_eq!(attempts.collect::<Vec<_>>(), expected);
        let all = UsageTotal {
            model: "m".to_owned(),
            token: 0,
            first_call: 1,
            requests: 1,
            successes: 2,
            input_tokens: 11,
            output_tokens: 22,
            thinking_tokens: 33,
            cached_tokens: 44,
            total_ms: 2001,
            total_first_byte_ms: 200,
        };
        assert_eq!(usage[0], all);
        let rest = usage[1..].iter().map(|it| {
            (
                &*it.model,
                it.token,
                it.first_call,
                it.requests,
                it.input_tokens,
            )
        });
        let expected = [("m", 7, 3, 2, 0), ("\u{fffd}", 0, 5, 1, 0)];
        assert_eq!(rest.collect::<Vec<_>>(), expected);
        let durations = durations.iter();
        let durations = durations.map(|it| (&*it.model, it.bucket_ms, it.attempts, it.first_bytes));
        let expected = [
            ("m", 48, 2, 0),
            ("m", 96, 0, 2),
            ("m", 960, 2, 0),
            ("\u{fffd}", 48, 1, 0),
        ];
        assert_eq!(durations.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_new_pool_has_no_calls_and_no_errors() {
        assert_eq!(totals(&NativeDatabase::migrated()), Totals::default());
    }

    #[test]
    fn tells_what_the_retry_budget_of_this_minute_depends_on() {
        let database = NativeDatabase::migrated();
        let log = "INSERT INTO api_call_logs (api_key_id, success) VALUES (1, 1)";
        database.run(log);
        let budget = RetryBudget::default();
        for _ in 0..3 {
            assert!(block_on(take_retry(&database, budget, NOW)).unwrap());
            database.run(log);
        }
        (0..7).for_each(|_| database.run(log));
        let Totals {
            calls_this_minute,
            retries_this_minute,
            ..
        } = totals(&database);
        assert_eq!((calls_this_minute, retries_this_minute), (7, 3));
        let next_minute = block_on(read_totals(&database, NOW.plus(MINUTE_MS))).unwrap();
        assert_eq!(next_minute.retries_this_minute, 0);
    }

    /// Runs a statement that fails.
    fn fail(database: &NativeDatabase) {
        let statement = "UPDATE readiness SET checks = checks";
        database.fail(statement, "disk I/O error", 1);
        assert!(block_on(write(database, statement, Vec::new())).is_err());
    }

    #[test]
    fn errors_of_all_instances_add_up() {
        let file = DatabaseFile::migrated();
        file.in_parallel(4, |_, database| {
            for _ in 0..10 {
                fail(&database);
                block_on(add_database_errors(&database));
            }
        });
        let database = file.open();
        assert_eq!(totals(&database).database_errors, 40);
        let statements = database.statements();
        block_on(add_database_errors(&database));
        assert_eq!(database.statements(), statements, "nothing is left to add");
    }

    #[test]
    fn errors_are_added_when_the_database_works_again_but_never_twice() {
        for (error, expected) in [
            ("database is locked", 2),
            ("disk I/O error", 2),
            // It may have run.
            ("http error: broken pipe", 0),
        ] {
            let database = NativeDatabase::migrated();
            fail(&database);
            fail(&database);
            database.fail("INTO database_errors", error, 1);
            block_on(add_database_errors(&database));
            assert_eq!(totals(&database).database_errors, 0);
            block_on(add_database_errors(&database));
            assert_eq!(totals(&database).database_errors, expected, "{error}");
        }
    }

    #[test]
    fn a_statement_that_waited_for_the_lock_has_not_failed() {
        let database = NativeDatabase::migrated();
        let statement = "UPDATE readiness SET checks = checks";
        database.fail(statement, "database is locked", 3);
        block_on(write(&database, statement, Vec::new())).unwrap();
        assert_eq!(database.errors().unwrap().get(), 0);
        database.fail(statement, "database is locked", usize::MAX);
        assert!(block_on(write(&database, statement, Vec::new())).is_err());
        assert_eq!(database.errors().unwrap().get(), 1);
    }
}
