//! An instance's view of the pool while the database is slow or fails.

use super::*;
use crate::gateway::view::{Coverage, MAX_AGE_AFTER_FAILURE_MS, PoolView};
use crate::pool::{Change, CoolDown, KeyId, Outcome, QuotaScope, Scope};
use futures::future::{join, join_all};

fn view(pool: &Pool) -> &PoolView<NativeDatabase> {
    pool.gateway.view.as_ref().unwrap()
}

/// Reads the whole pool if the view is older than `max_age_ms`.
async fn refresh(pool: &Pool, max_age_ms: i64) -> Result<(), DatabaseError> {
    view(pool)
        .refresh(&pool.host, Coverage::Whole, max_age_ms)
        .await
}

/// The quotas of key 1, of one model or in all.
fn quota_of_key_1(model: Option<&str>) -> QuotaScope {
    QuotaScope {
        scope: Scope::Key(KeyId(1)),
        model: model.map(str::to_owned),
    }
}

#[test]
fn concurrent_callers_share_a_slow_read() {
    let pool = Pool::new();
    pool.database.answer_at_the_second_poll();
    let world = Rc::clone(&pool.host.0);
    pool.database.before_each(move || world.advance(400));
    let before = pool.database.statements();
    let all = (0..50).map(|_| refresh(&pool, MAX_AGE_AFTER_FAILURE_MS));
    assert!(block_on(join_all(all)).iter().all(Result::is_ok));
    assert_eq!(pool.database.statements() - before, 2);
    // The view is out of date by now.
    block_on(refresh(&pool, MAX_AGE_AFTER_FAILURE_MS)).unwrap();
    assert_eq!(pool.database.statements() - before, 4);
}

#[test]
fn keeps_changes_made_during_a_read() {
    let pool = Pool::new();
    pool.database.answer_at_the_second_poll();
    let scope = quota_of_key_1(None);
    let cool_down = CoolDown {
        reason: Outcome::BillingExhausted,
        began_at: NOON,
        until: NOON.plus(1000),
        strikes: 1,
        trial_until: None,
    };
    let view = view(&pool);
    let reading = refresh(&pool, 0);
    let change = async { view.change(Change::CoolDown(scope.clone(), cool_down)) };
    block_on(join(reading, change)).0.unwrap();
    assert_eq!(view.snapshot().keys().len(), 1);
    assert_eq!(view.snapshot().cool_down(&scope), Some(&cool_down));
    let before = pool.database.statements();
    block_on(refresh(&pool, MAX_AGE_AFTER_FAILURE_MS)).unwrap();
    assert_eq!(pool.database.statements(), before, "the view is up to date");
}

#[test]
fn reads_again_if_outdated_during_a_read() {
    let pool = Pool::new();
    pool.database.answer_at_the_second_poll();
    let view = view(&pool);
    let reading = refresh(&pool, 0);
    block_on(join(reading, async { view.outdate() })).0.unwrap();
    let before = pool.database.statements();
    block_on(refresh(&pool, 500)).unwrap();
    assert_eq!(pool.database.statements() - before, 2);
}

#[test]
fn serves_the_last_view_if_a_read_fails() {
    let pool = Pool::new();
    pool.serve_chats(1);
    pool.advance(500);
    pool.database
        .fail("SELECT id, substr", "disk I/O error", 10);
    pool.serve_chats(3);
    // A failed read is not retried immediately.
    assert_eq!(pool.count_lines("disk I/O error"), 1);
}

/// Sets what key 1 has used of its budgets of a day.
fn insert_usage(pool: &Pool, began_at: &str, requests: i64, tokens: i64) {
    pool.run(&format!(
        "INSERT INTO budget_usage (scope, model, per, began_at, requests, input_tokens)
         VALUES ('key:1', 'm', 'day', '{began_at}', {requests}, {tokens})"
    ));
}

fn fail_cool_down_writes(pool: &Pool, times: usize) {
    let error = "attempt to write a readonly database";
    pool.database.fail("INSERT INTO cool_downs", error, times);
}

#[test]
fn counts_a_call_once_if_a_concurrent_read_saw_it() {
    let pool = Pool::new();
    pool.insert_limit("key:1", "m", "requests", "day", 2);
    let view = view(&pool);
    pool.database.answer_at_the_second_poll();
    let now = crate::pool::Moment::new(NOON);
    let sent = async {
        // Reserved and recorded while the view is read.
        insert_usage(&pool, "2027-01-15T08:00:00.000Z", 1, 1);
        view.change(Change::Sent {
            key: KeyId(1),
            counted: vec![quota_of_key_1(Some("m"))],
            input_tokens: 1,
            now: now.clone(),
        });
    };
    block_on(join(refresh(&pool, 0), sent)).0.unwrap();
    let view = view.snapshot();
    let balances = view.balances(view.key(KeyId(1)).unwrap(), "m", &now);
    assert_eq!(balances[0].1.used, 1);
}

#[test]
fn retries_a_failed_cool_down_write_on_the_next_incident() {
    let pool = Pool::with(&[("max_attempts", "1")]);
    fail_cool_down_writes(&pool, 1);
    let scope = quota_of_key_1(Some("m"));
    let incident = crate::pool::Incident {
        outcome: Outcome::QuotaPerDay,
        retry_after_ms: None,
        began_at: NOON,
        ended_at: NOON,
    };
    block_on(refresh(&pool, 0)).unwrap();
    assert!(block_on(view(&pool).cool(&scope, &incident)).is_err());
    // Another call reports the same incident.
    assert!(block_on(view(&pool).cool(&scope, &incident)).is_ok());
    let rows = "SELECT reason FROM cool_downs";
    assert_eq!(pool.query(rows), ["quota_per_day"]);
}

#[test]
fn a_reset_ends_an_unwritten_cool_down() {
    let pool = Pool::with(&[("max_attempts", "1")]);
    fail_cool_down_writes(&pool, 1);
    pool.script_error(&quota_per_day());
    assert_eq!(pool.chat(CHAT).status, 429);
    pool.advance(600);
    assert_eq!((pool.chat(CHAT).status, pool.sent()), (429, 1));
    pool.post("/api/keys/1/reset", "").assert_status(200);
    pool.serve_chats(1);
    // Without a reset, the key is tried again after a minute.
    fail_cool_down_writes(&pool, 1);
    pool.script_error(&quota_per_day());
    assert_eq!(pool.chat(CHAT).status, 429);
    pool.advance(60_500);
    pool.script_error(&quota_per_day());
    assert_eq!((pool.chat(CHAT).status, pool.sent()), (429, 4));
}

#[test]
fn does_not_refund_tokens_that_were_not_reserved() {
    let pool = Pool::with(&[("max_attempts", "1")]);
    pool.insert_limit("key:1", "m", "input_tokens", "day", 900);
    insert_usage(&pool, "2027-01-15T08:00:00.000Z", 4, 400);
    pool.database
        .fail("INSERT INTO budget_usage", "disk I/O error", 1);
    pool.script_error(&errors::overloaded());
    pool.chat(CHAT);
    assert_eq!(pool.sent(), 1);
    let used = "SELECT input_tokens FROM budget_usage WHERE per = 'day'";
    assert_eq!(pool.query(used), ["400"]);
}

#[test]
fn a_released_trial_stays_released_during_a_read() {
    let pool = Pool::new();
    pool.insert_ended_cool_down();
    pool.run("UPDATE cool_downs SET trial_until = '2027-01-15T08:01:00.000Z'");
    let view = view(&pool);
    let scope = quota_of_key_1(None);
    let claims = [crate::pool::Claim::ScopeTrial(scope.clone())];
    pool.database.answer_at_the_second_poll();
    pool.database
        .fail("UPDATE cool_downs", "database is locked", 2);
    let release = view.release(&claims, NOON.plus(60_000));
    let (released, read) = block_on(join(release, refresh(&pool, 0)));
    released.and(read).unwrap();
    assert_eq!(view.snapshot().cool_down(&scope).unwrap().trial_until, None);
}

#[test]
fn suspected_keys_cool_even_if_a_write_fails() {
    let pool = Pool::with_keys(3, &[("max_attempts", "3")]);
    fail_cool_down_writes(&pool, 1);
    pool.script_errors(3, &errors::unauthenticated("Chat"));
    pool.chat(CHAT).assert_status(503);
    pool.advance(600);
    pool.chat(CHAT).assert_status(503);
    assert_eq!(pool.sent(), 3, "no key is tried again at once");
}

#[test]
fn a_slow_claim_shortens_the_answer_timeout() {
    let pool = Pool::new();
    pool.insert_limit("key:1", "m", "requests", "day", 9);
    let world = Rc::clone(&pool.host.0);
    pool.script_silence();
    let statements = Cell::new(0);
    pool.database.before_each(move || {
        // The third statement is the reservation; two read the view.
        statements.set(statements.get() + 1);
        if statements.get() == 3 {
            world.advance(20_000);
        }
    });
    let answer = pool.chat_with(&[("x-stainless-timeout", "30")]);
    answer.assert_status(504);
    let took = pool.now();
    assert!((29_000..30_000).contains(&took), "{took}");
}

/// Makes the daily budget of a key look free in the view, although it is used up in the database:
/// the row does not start with a day.
fn hide_budget_usage(pool: &Pool) {
    pool.insert_limit("key:1", "m", "requests", "day", 1);
    insert_usage(pool, "2027-01-15T08:00:00.001Z", 1, 1);
}

#[test]
fn a_key_that_always_loses_its_claim_ends_the_request() {
    let pool = Pool::new();
    hide_budget_usage(&pool);
    let before = pool.database.statements();
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent()), (429, 0));
    answer.assert_message("1 taken by other calls");
    assert!(pool.now() <= 1000);
    let statements = pool.database.statements() - before;
    assert!(statements < 60, "{statements} statements");
}

#[test]
fn releases_a_trial_without_budget() {
    let pool = Pool::with(&[("max_wait", "0")]);
    hide_budget_usage(&pool);
    pool.insert_ended_cool_down();
    assert_eq!((pool.chat(CHAT).status, pool.sent()), (429, 0));
    let leases = "SELECT trial_until FROM cool_downs";
    assert_eq!(pool.query(leases), ["NULL"]);
}

#[test]
fn a_large_answer_ends_its_trial_at_the_first_chunk() {
    let pool = Pool::new();
    pool.insert_ended_cool_down();
    let large = "x".repeat(1024 * 1024 + 1);
    pool.script(200, JSON, &[&large, "y"]);
    let _stream = pool.chat_stream();
    assert_eq!(pool.count("cool_downs"), 0);
}

#[test]
fn deletes_expired_cool_downs() {
    let pool = Pool::new();
    pool.run(
        "UPDATE api_keys SET status = 0;
        INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
        ('key:9', '', 'quota_per_day', '2027-01-14T06:00:00.000Z', '2027-01-14T07:00:00.000Z', 1)",
    );
    assert!((0..5_000).any(|_| {
        pool.chat(CHAT);
        pool.run_spawned();
        pool.count("cool_downs") == 0
    }));
}

#[test]
fn reads_all_keys_if_a_sample_has_no_eligible_key() {
    let pool = Pool::new();
    pool.run(
        "DELETE FROM api_keys;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
INSERT INTO api_keys (id, api_key) SELECT i, 'fake-key-' || i FROM n;
INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes)
SELECT 'key:' || id, '', 'upstream_trouble', '2026-01-01T00:00:00.000Z', '2099-01-01T00:00:00.000Z', 1
FROM api_keys WHERE id <> 150;",
    );
    for _ in 0..12 {
        view(&pool).outdate();
        pool.script_answer();
        let answer = pool.chat(CHAT);
        answer.assert_status(200);
        assert_eq!(answer.key(), "150");
    }
    pool.run("UPDATE api_keys SET status = 0 WHERE id = 150");
    view(&pool).outdate();
    // The message covers all keys, not only a sample.
    let body = pool.chat(CHAT).body;
    assert!(body.contains("400 keys") || body.contains("399"), "{body}");
}

#[test]
fn a_sample_is_read_again_after_so_many_uses() {
    let pool = Pool::new();
    let refresh_often = || {
        let before = pool.database.statements();
        for _ in 0..256 {
            let coverage = Coverage::Sample;
            block_on(view(&pool).refresh(&pool.host, coverage, MAX_AGE_AFTER_FAILURE_MS)).unwrap();
        }
        pool.database.statements() - before
    };
    assert_eq!(refresh_often(), 2, "a small pool is read whole");
    pool.run(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
INSERT INTO api_keys (id, api_key) SELECT i, 'fake-key-' || i FROM n;",
    );
    view(&pool).outdate();
    assert_eq!(refresh_often(), 6, "two samples, in three statements each");
}

#[test]
fn an_invalid_text_loses_its_value_and_is_logged_once() {
    const TEXTS: [&str; 10] = [
        "name",
        "project",
        "disabled_reason",
        "last_used_at",
        "last_success_began_at",
        "last_outcome",
        "last_outcome_at",
        "trial_until",
        "disabled_until",
        "updated_at",
    ];
    const NUMBERS: [&str; 5] = [
        "priority",
        "status",
        "consecutive_failures",
        "total_calls",
        "success_calls",
    ];
    let pool = Pool::new();
    // Latin-1, GBK, half a character, NUL, and a text that is far too long; and malformed keys.
    let values = [
        "X'4dfc6c'",
        "X'c4e3bac3'",
        "X'e4bd'",
        "X'ff00ff'",
        "zeroblob(5000)",
    ];
    for (index, bytes) in values.into_iter().enumerate() {
        let text = format!("CAST({bytes} AS TEXT)");
        let insert_key = |id: usize, column: &str| {
            pool.run(&format!(
                "INSERT INTO api_keys (id, api_key, {column}) VALUES ({id}, 'AIzaFAKE-{id}', {text})"
            ));
        };
        for (at, column) in TEXTS.into_iter().enumerate() {
            insert_key(100 + index * 10 + at, column);
        }
        for (at, column) in NUMBERS.into_iter().enumerate() {
            insert_key(1_000 + index * 10 + at, column);
        }
        let id = 90 + index;
        pool.run(&format!(
            "INSERT INTO api_keys (id, api_key) VALUES ({id}, CAST({bytes} || hex({id}) AS TEXT));
             INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
                 ({text}, 'm', 'billing_exhausted', '2027-01-15T08:00:00.000Z', '2027-01-15T09:00:00.000Z', 1),
                 ('key:1', {text}, 'billing_exhausted', '2027-01-15T08:00:00.000Z', '2027-01-15T09:00:00.000Z', {text});
             INSERT OR IGNORE INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
                 ('key:2', 'm{index}', {text}, '2027-01-15T08:00:00.000Z', '2027-01-15T09:00:00.000Z', 1),
                 ('key:3', 'm{index}', 'billing_exhausted', '2027-01-15T08:00:00.000Z', '2099' || {text}, 1);
             INSERT INTO limits (scope, model, unit, per, preset) VALUES ({text}, 'm', {text}, 'day', {text});
             INSERT INTO unsupported_fields (model, field, learned_at) VALUES ({text}, {text}, '2027-01-15T07:00:00.000Z');
             INSERT INTO budget_usage (scope, model, per, began_at, requests, input_tokens) VALUES
                 ({text}, {text}, 'day', '2027-01-15T08:00:00.000Z', {text}, 1);
             INSERT INTO resources (name, api_key_id, project, made_at) VALUES ('files/{index}', 1, {text}, '');
             INSERT OR REPLACE INTO model_lists (path, entries, read_at) VALUES ('/v1beta/openai/models', {text}, '2027-01-15T07:59:00.000Z')"
        ));
    }
    for _ in 0..3 {
        pool.serve_chats(1);
        pool.advance(1_000);
        pool.probe("/readyz").assert_status(200);
    }
    for path in ["/api/keys/status", "/api/pool/explain?model=m"] {
        let answer = pool.get(path);
        answer.assert_status(200);
        // The name is lossy.
        assert_contains(&answer.body, "M\u{fffd}l");
    }
    pool.post("/api/keys/101/reset", "").assert_status(200);
    assert_eq!(pool.count("api_keys WHERE project IS NOT NULL"), 5);
    for id in 90..95 {
        assert_eq!(pool.count_lines(&format!("key {id} is left out")), 1);
    }
    let name = "key 100: the text in its column `name` is not UTF-8";
    let project = "key 141: the text in its column `project`";
    assert_eq!(pool.count_lines(name), 1);
    assert_eq!(pool.count_lines(project), 1);
    assert_eq!(pool.count_lines("AIzaFAKE"), 0);
}

#[test]
fn a_clock_that_ran_ahead_leaves_nothing_blocked() {
    let year = 365 * 24 * 3_600_000;
    let per_minute = errors::quota_per_minute("m", 3, Duration::from_secs(30));
    let per_day = errors::quota_per_day("m", 3, Duration::from_secs(5));
    for error in [per_minute, per_day, errors::location_unsupported()] {
        let pool = Pool::with(&[("max_attempts", "1"), ("rate_limit_per_minute", "100")]);
        pool.insert_limit("key:1", "m", "requests", "minute", 3);
        pool.advance(year);
        pool.script_error(&error);
        assert_ne!(pool.chat(CHAT).status, 200);
        for _ in 0..5 {
            pool.script_answer();
            pool.advance(61_000);
            pool.chat(CHAT);
        }
        let sent = pool.sent();
        pool.host.0.replies.borrow_mut().clear();
        // The clock is corrected.
        pool.advance(-year - 5 * 61_000 - 10_000);
        pool.serve_chats(1);
        assert_eq!(pool.sent(), sent + 1);
        pool.probe("/readyz").assert_status(200);
    }
}
