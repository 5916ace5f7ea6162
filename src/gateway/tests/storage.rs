//! A database that is slow, locked or missing; readiness; and when rows are written.

use super::*;
use crate::store::Readiness;

#[test]
fn readiness_needs_a_writable_database_and_a_usable_key() {
    let pool = Pool::new();
    assert_eq!(pool.probe("/readyz").body, r#"{"status":"ready"}"#);
    for (change, code) in [
        ("UPDATE api_keys SET status = 0", "no_usable_key"),
        ("PRAGMA query_only = ON", "database_not_writable"),
    ] {
        pool.run(change);
        pool.advance(1_000);
        pool.probe("/readyz").assert_error(503, code);
    }
    assert_eq!(pool.probe("/healthz").body, r#"{"status":"ok"}"#);
}

#[test]
fn readiness_is_checked_at_most_once_a_second() {
    let pool = Pool::new();
    pool.database.answer_at_the_second_poll();
    let view = pool.gateway.view.as_ref().unwrap();
    let ask = || {
        let before = pool.database.statements();
        let all = (0..50).map(|_| view.readiness(&pool.host));
        let all = block_on(futures::future::join_all(all));
        assert!(all.iter().all(|ready| *ready == Ok(Readiness::Ready)));
        pool.database.statements() - before
    };
    assert_eq!(ask(), 2, "one read and one write");
    pool.advance(999);
    assert_eq!(ask(), 0);
    pool.advance(1);
    assert_eq!(ask(), 2);
    // Another instance has written in the last second.
    pool.advance(1_000);
    pool.run("UPDATE readiness SET checked_at = '2027-01-15T08:00:01.900Z'");
    assert_eq!(ask(), 1);
    // Changes by this instance take effect immediately.
    pool.script_error(&errors::leaked());
    pool.chat(CHAT);
    pool.probe("/readyz").assert_status(503);
}

#[test]
fn readiness_of_a_large_pool_needs_two_statements() {
    let pool = Pool::new();
    pool.run(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
         INSERT INTO api_keys (id, api_key) SELECT i, 'fake-key-' || i FROM n",
    );
    let before = pool.database.statements();
    pool.probe("/readyz").assert_status(200);
    assert_eq!(pool.database.statements() - before, 2);
    let view = pool.gateway.view.as_ref().unwrap();
    assert!(view.snapshot().keys().is_empty());
}

#[test]
fn only_liveness_needs_no_database() {
    for (method, path, needs) in [
        ("GET", "/healthz", false),
        ("HEAD", "/healthz", false),
        ("GET", "/readyz", true),
        ("POST", COMPLETIONS, true),
        ("GET", "/nowhere", true),
    ] {
        let request = Request::builder().method(method).uri(path).body(());
        let (parts, ()) = request.unwrap().into_parts();
        let needed = crate::gateway::needs_database(&parts);
        assert_eq!(needed, needs, "{method} {path}");
    }
}

#[test]
fn answers_in_time_while_the_database_is_locked() {
    let variables = [("rate_limit_per_minute", "100"), ("max_attempts", "5")];
    let pool = Pool::with_keys(3, &variables);
    for key in ["key:1", "key:2", "key:3"] {
        pool.insert_limit(key, "m", "requests", "day", 9);
    }
    pool.run(
        "INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes)
         SELECT 'key:' || id, '', 'billing_exhausted', '2027-01-15T06:00:00.000Z', '2027-01-15T07:00:00.000Z', 1 FROM api_keys",
    );
    // Another process locks the database, and each attempt takes 10 ms.
    pool.database.each_try_takes(10);
    for part in ["INSERT INTO", "UPDATE", "DELETE FROM"] {
        pool.database.fail(part, "database is locked", usize::MAX);
    }
    // Two attempts that write a count, claims, reservations, a retry, cool-downs and two rows.
    pool.script_error(&quota_per_day());
    pool.script_answer();
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, answer.body.as_str()), (200, ANSWER));
    let waited = pool.database.clock_ms();
    assert!((4_500..=5_100).contains(&waited), "{waited}");
    assert_ne!(pool.count_lines("missing from the log"), 0);
}

#[test]
fn logs_failures_of_the_pool_with_the_request_id() {
    let pool = Pool::new();
    let assert_logged = |answer: Answer, text: &str| {
        let line = pool.log_lines().pop().unwrap_or_default();
        let id = answer.header("x-request-id").unwrap();
        assert_starts_with(&line, &format!("request={id} code="));
        assert_contains(&line, text);
    };
    pool.database
        .fail("FROM api_keys", "no such column: secret_column", 1);
    assert_logged(pool.chat(CHAT), "secret_column");
    pool.run("UPDATE api_keys SET status = 0");
    assert_logged(pool.chat(CHAT), "code=upstream_credentials_exhausted");
    pool.run("PRAGMA query_only = ON");
    pool.advance(1_000);
    assert_logged(
        pool.probe("/readyz"),
        "code=database_not_writable: database: attempt to write",
    );
    // Errors of clients are not logged.
    let lines = pool.log_lines();
    pool.probe("/nowhere");
    pool.probe("/api/keys/status");
    assert_eq!(pool.log_lines(), lines);
}

#[test]
fn logs_a_malformed_row_once() {
    let pool = Pool::new();
    pool.run("INSERT INTO api_keys (id, api_key, status) VALUES (2, 'fake-2', 2)");
    pool.serve_chats(3);
    assert_eq!(pool.count_lines("key 2 is left out"), 1);
}

#[test]
fn a_failing_rate_limit_counter_refuses_no_call() {
    let pool = Pool::with(&[("rate_limit_per_minute", "1")]);
    for _ in 0..3 {
        pool.database.fail("rate_limits", "disk I/O error", 1);
        pool.serve_chats(1);
    }
    assert_ne!(pool.count_lines("is not counted against a limit"), 0);
}

#[test]
fn works_without_a_database_as_far_as_possible() {
    let pool = Pool::with_database(&[("allowed_origins", "https://app.example")], |_| {
        Err(DatabaseError::new("unable to open database file"))
    });
    for (method, path, token, status) in [
        ("GET", "/healthz", None, 200),
        ("GET", "/readyz", None, 503),
        ("OPTIONS", COMPLETIONS, None, 204),
        ("POST", COMPLETIONS, None, 401),
        ("POST", COMPLETIONS, Some(BEARER), 503),
        ("GET", "/api/keys/status", Some(BEARER), 503),
        ("GET", "/nowhere", None, 404),
    ] {
        let mut headers = vec![("origin", "https://app.example")];
        headers.extend(token);
        let answer = pool.call(method, path, &headers, CHAT);
        assert_eq!(answer.status, status, "{method} {path}");
        let allowed = &answer.headers["access-control-allow-origin"];
        assert_eq!(allowed, "https://app.example", "{method} {path}");
    }
    assert_eq!(pool.log_lines().len(), 3);
    assert_eq!(pool.count_lines("unable to open"), 3);
}

#[test]
fn a_database_error_is_a_503_without_sql() {
    let pool = Pool::new();
    pool.database
        .fail("FROM api_keys", "no such column: secret_column", 1);
    let answer = pool.chat(CHAT);
    answer.assert_error(503, "database_unavailable");
    assert!(!answer.body.contains("secret_column"));
}

#[test]
fn log_commit_after_batches_rows_after_the_answers() {
    let pool = Pool::with(&[("log_commit", "after")]);
    pool.serve_chats(3);
    pool.script_events(&[FIRST, DONE]);
    pool.chat(CHAT).assert_status(200);
    let rows = "SELECT count(*), sum(success), sum(input_tokens) FROM api_call_logs";
    assert_eq!(pool.query(rows), ["0|NULL|NULL"]);
    let statements = pool.database.statements();
    pool.finish_spawned(1);
    assert_eq!(pool.database.statements() - statements, 1);
    assert_eq!(pool.query(rows), ["4|4|51"]);
    assert_eq!(pool.key_state(), "1|0|4|4");
    pool.serve_chats(1);
    pool.finish_spawned(1);
    assert_eq!(pool.query(rows), ["5|5|68"]);
}

#[test]
fn log_commit_after_updates_key_state_at_once() {
    let pool = Pool::with(&[("log_commit", "after")]);
    pool.script_error(&errors::suspended(KEY, "projects/7"));
    pool.chat(CHAT);
    assert_eq!(pool.log_rows("success, response_status"), ["0|403"]);
    pool.finish_spawned(0);
}

#[test]
fn log_commit_after_reports_lost_calls() {
    let pool = Pool::with(&[("log_commit", "after")]);
    pool.serve_chats(3);
    pool.database.fail("recorded_calls", "disk I/O error", 9);
    pool.finish_spawned(1);
    assert_eq!(pool.count_lines("missing from the log"), 3);
}

#[test]
fn answers_when_the_log_cannot_be_written() {
    let pool = Pool::new();
    pool.script_answer();
    pool.database.fail("recorded_calls", "disk I/O error", 9);
    assert_eq!(pool.chat(CHAT).body, ANSWER);
    assert_ne!(pool.count_lines("missing from the log"), 0);
}

#[test]
fn deletes_log_rows_after_the_retention_period() {
    for (days, left) in [("2", 1), ("0", 2)] {
        let pool = Pool::with(&[("log_retention_days", days)]);
        for days_ago in [1, 3] {
            let called_at = NOON.plus(-days_ago * 24 * 3_600_000).to_iso();
            pool.run(&format!(
                "INSERT INTO api_call_logs (api_key_id, success, called_at) VALUES (9, 1, '{called_at}')"
            ));
        }
        let old = "api_call_logs WHERE api_key_id = 9";
        let is_gone = (0..2000).any(|_| {
            pool.serve_chats(1);
            pool.run_spawned();
            pool.count(old) == 1
        });
        assert_eq!(is_gone, left == 1, "{days}");
        assert_eq!(pool.count(old), left);
    }
}
