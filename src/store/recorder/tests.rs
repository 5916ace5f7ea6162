//! Recording attempts on the real schema, in SQLite.

use super::*;
use crate::pool::{KeyStatus, Outcome, Usage, Verdict};
use crate::store::testing::{AUTHOR, DatabaseFile, NOW, NativeDatabase};
use futures::executor::block_on;
use futures::future::join_all;
use std::sync::atomic::{AtomicU32, Ordering};

const SECOND: i64 = 1000;
const YEAR: i64 = 365 * 24 * 3600 * SECOND;

/// An attempt with a new request id.
fn attempt(key: i64, outcome: Outcome, started: i64) -> AttemptRow {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let works = outcome.verdict() == Verdict::Works;
    AttemptRow {
        request_id: format!("req_{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        number: 1,
        key: KeyId(key),
        key_edits: 0,
        token: None,
        model: "m".to_owned(),
        outcome,
        response_status: Some(if works { 200 } else { 403 }),
        error_message: (!works).then(|| "it's over; really".to_owned()),
        started_at: NOW.plus(started),
        first_byte_at: Some(NOW.plus(started + 100)),
        ended_at: NOW.plus(started + 250),
        usage: works.then_some(Usage {
            input: 3,
            output: 7,
            thinking: 11,
            cached: 2,
        }),
        drill: None,
    }
}

/// A recorder with its database of this many keys.
fn recorder(keys: usize) -> (Recorder<NativeDatabase>, Rc<NativeDatabase>) {
    let database = Rc::new(NativeDatabase::with_keys(keys));
    (Recorder::new(Rc::clone(&database)), database)
}

fn states(database: &NativeDatabase) -> Vec<String> {
    database.query("SELECT id, status, consecutive_failures, total_calls, success_calls, disabled_until FROM api_keys ORDER BY id")
}

/// The value of this expression for key 1.
fn first_key(database: &NativeDatabase, columns: &str) -> String {
    let rows = database.query(&format!("SELECT {columns} FROM api_keys WHERE id = 1"));
    rows.concat()
}

/// The ids of the keys with this status.
fn with_status(database: &NativeDatabase, status: KeyStatus) -> String {
    let code = status.code();
    let ids = format!("SELECT group_concat(id) FROM api_keys WHERE status = {code}");
    database.query(&ids).concat()
}

/// Writes the deferred rows, of which none may be lost.
fn flush(recorder: &Recorder<NativeDatabase>) {
    block_on(recorder.flush());
    assert_eq!(recorder.take_lost(), []);
}

fn commit(recorder: &Recorder<NativeDatabase>, attempt: AttemptRow) -> Moved {
    block_on(recorder.commit(attempt, ROW_WAIT_MS)).unwrap()
}

#[test]
fn success_is_counted_and_logged() {
    let (recorder, database) = recorder(2);
    let call = AttemptRow {
        request_id: "req_1".to_owned(),
        ..attempt(1, Outcome::Success, 0)
    };
    commit(&recorder, call);
    assert_eq!(states(&database), ["1|1|0|1|1|NULL", "2|1|0|0|0|NULL"]);
    for (rows, expected) in [
        (
            "last_used_at, last_success_at, last_failure_at, updated_at FROM api_keys WHERE id = 1",
            "2027-01-15T08:00:00.000Z|2027-01-15T08:00:00.250Z|NULL|2027-01-15T08:00:00.250Z",
        ),
        (
            "api_key_id, success, response_status, error_message, response_time_ms, called_at FROM api_call_logs",
            "1|1|200|NULL|250|2027-01-15T08:00:00.000Z",
        ),
        (
            "request_id, model, attempt, outcome, first_byte_ms, input_tokens, output_tokens, thinking_tokens, cached_tokens FROM api_call_logs",
            "req_1|m|1|success|100|3|7|11|2",
        ),
    ] {
        assert_eq!(database.query(&format!("SELECT {rows}")), [expected]);
    }
}

#[test]
fn texts_and_numbers_round_trip() {
    let (recorder, database) = recorder(1);
    for text in [
        "\"[1,{}]\\u0041'\n\u{7f}é💥",
        "null",
        "12",
        "",
        "\u{1}\u{2028}",
    ] {
        let call = AttemptRow {
            request_id: text.to_owned(),
            model: text.to_owned(),
            error_message: Some(text.to_owned()),
            usage: Some(Usage {
                input: u64::MAX,
                output: 0,
                thinking: i64::MAX as u64,
                cached: 1 << 53,
            }),
            ..attempt(1, Outcome::UpstreamTrouble, 0)
        };
        // Alone, and in a batch.
        database.run("DELETE FROM api_call_logs");
        let numbered = |number| AttemptRow {
            number,
            ..call.clone()
        };
        commit(&recorder, numbered(1));
        assert_eq!(recorder.defer(numbered(2)), Deferred::Flush);
        assert_eq!(recorder.defer(numbered(3)), Deferred::Queued);
        flush(&recorder);
        let (max, cached) = (i64::MAX, 1i64 << 53);
        let row = format!("{text}|{text}|{text}|text|{max}|0|{max}|{cached}");
        let rows = "SELECT request_id, model, error_message, typeof(model), input_tokens, output_tokens, thinking_tokens, cached_tokens FROM api_call_logs";
        assert_eq!(database.query(rows), [row.as_str(); 3]);
    }
}

#[test]
fn a_batch_counts_regardless_of_the_order_of_its_calls() {
    let (recorder, database) = recorder(2);
    commit(&recorder, attempt(1, Outcome::ProjectRefused, SECOND));
    let ended = |outcome, started, lasted| AttemptRow {
        ended_at: NOW.plus(started + lasted),
        ..attempt(1, outcome, started)
    };
    // Only the third began after the failure; the second ended last, and the first is written last.
    database.run("DELETE FROM api_call_logs");
    let first = ended(Outcome::Success, 0, 9 * SECOND);
    let second = ended(Outcome::UpstreamTrouble, 3 * SECOND, 7 * SECOND);
    assert_eq!(recorder.defer(second), Deferred::Flush);
    recorder.defer(ended(Outcome::Success, 2 * SECOND, SECOND));
    // The key is deleted while its call is in flight.
    database.run("DELETE FROM api_keys WHERE id = 2");
    recorder.defer(attempt(2, Outcome::Success, 0));
    recorder.defer(first);
    let statements = database.statements();
    flush(&recorder);
    assert_eq!(database.statements() - statements, 1);
    let columns =
        "status, consecutive_failures, total_calls, success_calls, last_used_at, last_success_at,
        last_success_began_at, last_outcome, last_outcome_at, updated_at";
    assert_eq!(
        first_key(&database, columns),
        "1|0|4|2|2027-01-15T08:00:03.000Z|2027-01-15T08:00:09.000Z|2027-01-15T08:00:02.000Z|upstream_trouble|2027-01-15T08:00:10.000Z|2027-01-15T08:00:10.000Z"
    );
    let rows = database.query("SELECT api_key_id, outcome FROM api_call_logs");
    assert_eq!(
        rows.join(" "),
        "1|upstream_trouble 1|success 2|success 1|success"
    );
}

#[test]
fn a_row_that_is_written_twice_is_counted_once() {
    let database = NativeDatabase::with_keys(1);
    for outcome in Outcome::ALL {
        let call = attempt(1, outcome, 0);
        let other = attempt(1, outcome, 0);
        let second_attempt = AttemptRow {
            number: 2,
            ..call.clone()
        };
        let rows = [&call, &other, &second_attempt, &call].map(values_of);
        let batch = serde_json::to_string(&rows).unwrap();
        for _ in 0..2 {
            for (statement, values) in [
                (WRITE_CALL, values_of(&call).to_vec()),
                (WRITE_CALLS, vec![Value::from(batch.as_str())]),
            ] {
                block_on(write(&database, statement, values)).unwrap();
            }
        }
    }
    let counts = "(SELECT count(*) FROM api_call_logs), (SELECT sum(calls) FROM api_call_hours), total_calls, \
        (SELECT sum(success) FROM api_call_logs) = success_calls";
    let calls = 3 * Outcome::ALL.len();
    assert_eq!(
        first_key(&database, counts),
        format!("{calls}|{calls}|{calls}|1")
    );
}

#[test]
fn existing_rows_are_found_by_an_index() {
    let find =
        "SELECT 1 FROM api_call_logs WHERE called_at = ?1 AND request_id = ?2 AND attempt = ?3";
    let plan = NativeDatabase::migrated().plan(find);
    assert!(plan.contains("called_at=?"), "{plan}");
}

#[test]
fn counters_that_are_null_count_from_0() {
    let (recorder, database) = recorder(1);
    let set_null =
        "UPDATE api_keys SET total_calls = NULL, success_calls = NULL, consecutive_failures = NULL";
    database.run(
        "DROP TRIGGER record_call; CREATE TABLE unconstrained AS SELECT * FROM api_keys; DROP TABLE api_keys; ALTER TABLE unconstrained RENAME TO api_keys;
         DELETE FROM schema_migrations WHERE id >= 2",
    );
    database.run(set_null);
    block_on(super::super::migrate(&*database)).unwrap();
    for is_set_again in [false, true] {
        if is_set_again {
            database.run(set_null);
        }
        commit(&recorder, attempt(1, Outcome::Success, 5 * SECOND));
        assert_eq!(states(&database), ["1|1|0|1|1|NULL"]);
        commit(&recorder, attempt(1, Outcome::ProjectRefused, SECOND));
        assert_eq!(states(&database), ["1|1|1|2|1|NULL"]);
    }
}

/// The status and the end of a pause that an operator sets, as SQL.
const EDITS: [(&str, &str); 10] = [
    ("2", "'2099-01-01T00:00:00.000Z'"),
    ("2", "'2099-01-01'"),
    ("2", "'2099-01-01 00:00:00'"),
    ("2", "'2099-01-01T00:00:00+08:00'"),
    ("2", "'2099'"),
    ("2", "'next week'"),
    ("2", "NULL"),
    ("1", "'2001-01-01'"),
    // The end stays as it is.
    ("0", "disabled_until"),
    ("1", "disabled_until"),
];

#[test]
fn calls_in_flight_do_not_undo_an_operators_change() {
    let states = [
        "status = 1, disabled_until = NULL, consecutive_failures = 0",
        "status = 1, disabled_until = NULL, consecutive_failures = 4",
        // States that the pool has set.
        "status = 2, disabled_until = '2027-01-15T08:30:00.000Z', paused_until = '2027-01-15T08:30:00.000Z', last_failure_at = '2027-01-15T07:59:00.000Z'",
        "status = 0, disabled_until = NULL, disabled_at = '2027-01-15T08:00:00.000Z', disabled_reason = 'key_rejected'",
    ];
    for (state, (status, until)) in states
        .into_iter()
        .flat_map(|state| EDITS.map(|edit| (state, edit)))
    {
        for outcome in [
            Outcome::Success,
            Outcome::ProjectRefused,
            Outcome::KeyRejected,
            Outcome::EmptyAnswer,
        ] {
            for in_batch in [false, true] {
                let (recorder, database) = recorder(4);
                let key = || first_key(&database, "status, disabled_until");
                let set = |columns: &str| {
                    database.run(&format!("UPDATE api_keys SET {columns} WHERE id = 1"));
                };
                set(&format!("{state}, pool_moves = pool_moves + 1"));
                let unedited = key();
                set(&format!(
                    "status = {status}, disabled_until = {until}, priority = 7, project = 'team'"
                ));
                if key() == unedited {
                    continue;
                }
                let expected = match until {
                    "disabled_until" => key(),
                    until => format!("{status}|{}", until.trim_matches('\'')),
                };
                // All calls began before the change.
                for started in 0..3 {
                    let first = attempt(1, outcome, started);
                    if in_batch {
                        assert_eq!(recorder.defer(first), Deferred::Flush);
                        for at in 0..3 {
                            let other = recorder.defer(attempt(1, outcome, at));
                            assert_eq!(other, Deferred::Queued);
                        }
                        flush(&recorder);
                    } else {
                        commit(&recorder, first);
                    }
                }
                assert_eq!(key(), expected, "{state}; {status} {until}; {outcome:?}");
                assert_eq!(first_key(&database, "priority, project"), "7|team");
            }
        }
    }
}

#[test]
fn calls_after_an_operators_change_affect_the_key() {
    let (recorder, database) = recorder(1);
    commit(&recorder, attempt(1, Outcome::KeyRejected, 0));
    database.run("UPDATE api_keys SET status = 1");
    let edited = first_key(&database, "edits, disabled_reason, disabled_at");
    assert_eq!(edited, "1|NULL|NULL");
    let aware = |outcome, started| AttemptRow {
        key_edits: 1,
        ..attempt(1, outcome, started)
    };
    commit(&recorder, aware(Outcome::KeyRejected, SECOND));
    assert_eq!(states(&database), ["1|0|2|2|0|NULL"]);
    // An operator's pause ends at its time, and a success then reactivates the key.
    database.run("UPDATE api_keys SET status = 2, disabled_until = '2027-01-15 09:00:00'");
    commit(&recorder, aware(Outcome::Success, 3_599 * SECOND));
    assert_eq!(states(&database), ["1|2|0|3|1|2027-01-15 09:00:00"]);
    commit(&recorder, aware(Outcome::Success, 3_600 * SECOND));
    assert_eq!(states(&database), ["1|1|0|4|2|NULL"]);
}

#[test]
fn only_the_pools_own_changes_are_reverted() {
    let (recorder, database) = recorder(6);
    for id in 1..=2 {
        commit(&recorder, attempt(id, Outcome::KeyRejected, id));
    }
    // An operator confirms that the first key is dead, and pauses another.
    database.run(
        "UPDATE api_keys SET status = 1 WHERE id = 1; UPDATE api_keys SET status = 0 WHERE id = 1;
         UPDATE api_keys SET status = 2, disabled_until = '2099-01-01', last_outcome = 'key_rejected',
             last_outcome_at = '2027-01-15T08:00:00.000Z', last_failure_at = '2027-01-15T08:00:00.000Z' WHERE id = 4",
    );
    let moved = commit(&recorder, attempt(3, Outcome::KeyRejected, 30));
    assert_eq!(moved.suspected, [3, 2].map(KeyId));
    assert_eq!(with_status(&database, KeyStatus::Disabled), "1");
    assert_eq!(with_status(&database, KeyStatus::Cooling), "4");
    assert_eq!(with_status(&database, KeyStatus::Active), "2,3,5,6");
}

#[test]
fn calls_in_flight_do_not_undo_a_reset() {
    use crate::pool::{Incident, quota_scope_of, testing::key};
    let (recorder, database) = recorder(1);
    database.run("UPDATE api_keys SET project = 'p', consecutive_failures = 4");
    let reset = super::super::reset_key(&*database, KeyId(1), AUTHOR, NOW.plus(SECOND));
    assert_eq!(block_on(reset), Ok(true));
    let key = crate::pool::PoolKey {
        project: Some("p".to_owned()),
        ..key(1)
    };
    for outcome in [Outcome::ProjectRefused, Outcome::KeyRejected] {
        commit(&recorder, attempt(1, outcome, 0));
        let state = first_key(&database, "status, consecutive_failures");
        assert_eq!(state, "1|0", "{outcome:?}");
    }
    for outcome in [Outcome::BillingExhausted, Outcome::EgressRefused] {
        let scope = quota_scope_of(outcome, &key, "m", None).unwrap();
        for (began, cools) in [(0, false), (SECOND, true)] {
            let incident = Incident {
                outcome,
                retry_after_ms: None,
                began_at: NOW.plus(began),
                ended_at: NOW.plus(2 * SECOND),
            };
            let cooled = block_on(super::super::cool(&*database, &scope, &incident, None));
            assert_eq!(cooled.unwrap().is_some(), cools, "{outcome:?} {began}");
        }
    }
}

#[test]
fn times_from_the_future_are_replaced() {
    let (recorder, database) = recorder(5);
    for outcome in [
        Outcome::ProjectRefused,
        Outcome::ProjectRefused,
        Outcome::UpstreamTrouble,
    ] {
        commit(&recorder, attempt(1, outcome, YEAR));
    }
    database.run("UPDATE api_keys SET last_success_began_at = '2028-01-15T08:00:00.000Z', last_success_at = '2028-01-15T08:00:00.000Z' WHERE id = 1");
    assert_eq!(first_key(&database, "status"), "2");
    // The pool treats the pause as over, and a trial succeeds.
    commit(&recorder, attempt(1, Outcome::Success, 0));
    let columns = "status, disabled_until, consecutive_failures, last_used_at, last_success_at, last_success_began_at,
        last_outcome, last_outcome_at, updated_at";
    assert_eq!(
        first_key(&database, columns),
        "1|NULL|0|2027-01-15T08:00:00.000Z|2027-01-15T08:00:00.250Z|2027-01-15T08:00:00.000Z|success|2027-01-15T08:00:00.250Z|2027-01-15T08:00:00.250Z"
    );
}

#[test]
fn failures_from_the_future_are_no_evidence() {
    let (recorder, _) = recorder(6);
    for id in 1..=2 {
        commit(&recorder, attempt(id, Outcome::KeyRejected, YEAR));
    }
    let moved = commit(&recorder, attempt(3, Outcome::KeyRejected, 0));
    assert_eq!(moved.suspected, []);
    let status = moved.state.map(|state| state.status);
    assert_eq!(status, Some(KeyStatus::Disabled));
}

#[test]
fn consecutive_failures_pause_and_then_disable() {
    let (recorder, database) = recorder(1);
    let hour = 3600 * SECOND;
    for (round, expected) in [
        (0, "1|1|1|1|0|NULL"),
        (1, "1|2|2|2|0|2027-01-15T09:30:00.250Z"),
        (2, "1|2|3|3|0|2027-01-15T10:30:00.250Z"),
        (3, "1|2|4|4|0|2027-01-15T11:30:00.250Z"),
        (4, "1|0|5|5|0|NULL"),
    ] {
        commit(&recorder, attempt(1, Outcome::ProjectRefused, round * hour));
        assert_eq!(states(&database), [expected], "failure {}", round + 1);
    }
    let last = "SELECT success, response_status, error_message FROM api_call_logs WHERE id = 5";
    assert_eq!(database.query(last), ["0|403|it's over; really"]);
}

#[test]
fn only_a_success_after_a_pause_resets_the_failures() {
    for (began, expected) in [
        (3600 * SECOND, "1|1|0|3|1|NULL"),
        (0, "1|2|2|3|1|2027-01-15T08:30:01.250Z"),
    ] {
        let (recorder, database) = recorder(1);
        for round in [0, SECOND] {
            commit(&recorder, attempt(1, Outcome::ProjectRefused, round));
        }
        commit(&recorder, attempt(1, Outcome::Success, began));
        assert_eq!(states(&database), [expected]);
    }
}

#[test]
fn success_does_not_reactivate_a_rejected_key() {
    let (recorder, database) = recorder(1);
    commit(&recorder, attempt(1, Outcome::KeyRejected, 0));
    assert_eq!(states(&database), ["1|0|1|1|0|NULL"]);
    commit(&recorder, attempt(1, Outcome::Success, 3600 * SECOND));
    assert_eq!(states(&database), ["1|0|0|2|1|NULL"]);
}

#[test]
fn failures_of_others_are_only_counted() {
    let (recorder, database) = recorder(1);
    database.run("UPDATE api_keys SET consecutive_failures = 1");
    let others = Outcome::ALL
        .into_iter()
        .filter(|outcome| outcome.verdict() == Verdict::Unknown);
    for (calls, outcome) in (1..).zip(others) {
        commit(&recorder, attempt(1, outcome, 0));
        let expected = format!("1|1|1|{calls}|0|NULL");
        assert_eq!(states(&database), [expected], "{outcome:?}");
    }
    assert_eq!(database.count("api_call_logs WHERE success <> 0"), 0);
}

#[test]
fn a_disabled_key_records_why_and_when() {
    let (recorder, database) = recorder(4);
    commit(&recorder, attempt(1, Outcome::KeyRejected, 0));
    let recorded = first_key(
        &database,
        "disabled_reason, disabled_at, last_outcome, last_outcome_at",
    );
    let at = "2027-01-15T08:00:00.250Z";
    assert_eq!(
        recorded,
        format!("key_rejected: it's over; really|{at}|key_rejected|{at}")
    );
}

#[test]
fn the_last_outcome_is_that_of_the_last_call_to_end() {
    let (recorder, database) = recorder(1);
    commit(&recorder, attempt(1, Outcome::UpstreamTrouble, 500));
    commit(&recorder, attempt(1, Outcome::Success, 0));
    assert_eq!(first_key(&database, "last_outcome"), "upstream_trouble");
}

#[test]
fn keys_failing_alike_without_a_success_stay_active() {
    for outcome in [Outcome::KeyRejected, Outcome::ProjectRefused] {
        let (recorder, database) = recorder(5);
        for id in 1..=2 {
            let moved = commit(&recorder, attempt(id, outcome, 10 * id - 10));
            assert_eq!(moved.suspected, []);
        }
        let moved = commit(&recorder, attempt(3, outcome, 20));
        assert_eq!(moved.state, None);
        let mut suspected = vec![KeyId(3)];
        if outcome == Outcome::KeyRejected {
            suspected.extend([KeyId(1), KeyId(2)]);
        }
        assert_eq!(moved.suspected, suspected, "{}", outcome.name());
        let moved = commit(&recorder, attempt(4, outcome, 30));
        assert_eq!(moved.suspected, [KeyId(4)]);
        assert_eq!(with_status(&database, KeyStatus::Active), "1,2,3,4,5");
        assert_eq!(database.count("api_call_logs"), 4);
    }
}

#[test]
fn a_success_that_began_before_the_failures_is_ignored() {
    let (recorder, _) = recorder(4);
    commit(&recorder, attempt(1, Outcome::KeyRejected, 1000));
    commit(&recorder, attempt(2, Outcome::KeyRejected, 1000));
    let stream = AttemptRow {
        ended_at: NOW.plus(2500),
        ..attempt(4, Outcome::Success, 0)
    };
    commit(&recorder, stream);
    let moved = commit(&recorder, attempt(3, Outcome::KeyRejected, 3000));
    assert_eq!(moved.suspected.len(), 3);
}

#[test]
fn failures_more_than_a_minute_apart_are_unrelated() {
    let (recorder, database) = recorder(8);
    for id in 1..=4 {
        let moved = commit(&recorder, attempt(id, Outcome::KeyRejected, id * 61_000));
        assert!(moved.suspected.is_empty(), "key {id}");
    }
    assert_eq!(with_status(&database, KeyStatus::Disabled), "1,2,3,4");
}

#[test]
fn at_most_half_of_the_dead_keys_are_disabled_per_minute() {
    let (recorder, database) = recorder(6);
    for id in 1..=5 {
        commit(&recorder, attempt(id, Outcome::KeyRejected, id * 1000));
        commit(&recorder, attempt(6, Outcome::Success, id * 1000 + 500));
    }
    assert_eq!(with_status(&database, KeyStatus::Disabled), "1,2,3");
    let moved = commit(&recorder, attempt(4, Outcome::KeyRejected, 20_000));
    assert_eq!(moved.suspected, [KeyId(4)], "no key must be reinstated");
    commit(&recorder, attempt(6, Outcome::Success, 21_000));
    commit(&recorder, attempt(4, Outcome::KeyRejected, 70_000));
    assert_eq!(with_status(&database, KeyStatus::Disabled), "1,2,3,4");
}

#[test]
fn times_never_run_backwards() {
    let (recorder, database) = recorder(1);
    commit(&recorder, attempt(1, Outcome::Success, 10 * SECOND));
    commit(&recorder, attempt(1, Outcome::Success, 0));
    let times = first_key(&database, "last_used_at, last_success_at");
    assert_eq!(times, "2027-01-15T08:00:10.000Z|2027-01-15T08:00:10.250Z");
}

#[test]
fn a_deleted_key_does_not_affect_the_rows_of_others() {
    let (recorder, database) = recorder(2);
    database.run(
        "DROP TABLE api_call_logs;
         CREATE TABLE api_call_logs (id INTEGER PRIMARY KEY, api_key_id INTEGER NOT NULL REFERENCES api_keys (id),
             success INTEGER, response_status INTEGER, error_message TEXT, response_time_ms INTEGER, called_at TEXT,
             request_id TEXT, model TEXT, attempt INTEGER, outcome TEXT, first_byte_ms INTEGER,
             input_tokens INTEGER, output_tokens INTEGER, thinking_tokens INTEGER, cached_tokens INTEGER, token_id INTEGER, drill INTEGER);
         PRAGMA foreign_keys = ON;
         DELETE FROM api_keys WHERE id = 1;",
    );
    let results = block_on(join_all([
        recorder.commit(attempt(2, Outcome::Success, 0), ROW_WAIT_MS),
        recorder.commit(attempt(1, Outcome::Success, 0), ROW_WAIT_MS),
        recorder.commit(attempt(2, Outcome::Success, 0), ROW_WAIT_MS),
        recorder.commit(attempt(1, Outcome::ProjectRefused, 0), ROW_WAIT_MS),
    ]));
    let are_written = results.iter().map(Result::is_ok);
    assert!(are_written.eq([true, false, true, false]));
    let logged = database.query("SELECT api_key_id FROM api_call_logs");
    assert_eq!(logged, ["2", "2"]);
    assert_eq!(states(&database), ["2|1|0|2|2|NULL"]);
}

#[test]
fn concurrent_commits_are_all_written() {
    let (recorder, database) = recorder(3);
    let attempts = (0..1200).map(|index| attempt(1 + index % 3, Outcome::Success, index));
    let results = block_on(join_all(
        attempts.map(|attempt| recorder.commit(attempt, ROW_WAIT_MS)),
    ));
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(database.count("api_call_logs"), 1200);
    let expected = [1, 2, 3].map(|id| format!("{id}|1|0|400|400|NULL"));
    assert_eq!(states(&database), expected);
}

#[test]
fn retries_a_busy_database_and_reports_a_broken_one() {
    let (recorder, database) = recorder(1);
    database.fail("recorded_calls", "database is locked", 2);
    commit(&recorder, attempt(1, Outcome::Success, 0));
    database.fail("recorded_calls", "disk I/O error", 1);
    assert!(block_on(recorder.commit(attempt(1, Outcome::Success, 0), ROW_WAIT_MS)).is_err());
    commit(&recorder, attempt(1, Outcome::Success, 0));
    assert_eq!(database.count("api_call_logs"), 2);
}

#[test]
fn a_full_queue_is_written_by_the_next_commit() {
    let (recorder, database) = recorder(1);
    let defer = |index| recorder.defer(attempt(1, Outcome::Success, index));
    assert_eq!(defer(0), Deferred::Flush);
    for index in 1..500 {
        assert_eq!(defer(index), Deferred::Queued, "{index}");
    }
    let Deferred::Commit(one_more) = defer(500) else {
        panic!("a full queue must be committed");
    };
    commit(&recorder, one_more);
    assert_eq!(states(&database), ["1|1|0|501|501|NULL"]);
    // The flush of the first row is still scheduled.
    assert_eq!(defer(501), Deferred::Queued);
    flush(&recorder);
    assert_eq!(states(&database), ["1|1|0|502|502|NULL"]);
    assert_eq!(defer(502), Deferred::Flush);
}

#[test]
fn a_row_waits_no_longer_than_allowed() {
    for try_ms in [0, 10, 100] {
        let (recorder, database) = recorder(1);
        database.each_try_takes(try_ms);
        database.answer_at_the_second_poll();
        database.fail("recorded_calls", "database is locked", usize::MAX);
        let began = database.clock_ms();
        let result = block_on(recorder.commit(attempt(1, Outcome::Success, 0), ROW_WAIT_MS));
        assert!(result.is_err_and(|error| error.is_busy()));
        let ms = database.clock_ms() - began;
        let range = ROW_WAIT_MS - 200..=ROW_WAIT_MS + try_ms;
        assert!(range.contains(&ms), "{ms} ms in tries of {try_ms} ms");
    }
}

#[test]
fn a_row_without_time_left_is_tried_once() {
    let (recorder, database) = recorder(1);
    let call = attempt(1, Outcome::Success, 0);
    block_on(recorder.commit(call, 0)).unwrap();
    database.fail("recorded_calls", "database is locked", usize::MAX);
    let late = recorder.commit(attempt(1, Outcome::Success, 0), 0);
    assert!(block_on(late).is_err_and(|error| error.is_busy()));
    assert!(database.clock_ms() <= 20);
}

#[test]
fn a_row_does_not_wait_again_after_its_state() {
    let (recorder, database) = recorder(1);
    database.fail("UPDATE api_keys", "database is locked", usize::MAX);
    let result = block_on(recorder.commit(attempt(1, Outcome::ProjectRefused, 0), ROW_WAIT_MS));
    assert!(result.is_err_and(|error| error.is_busy()));
    let waited = database.clock_ms();
    assert!(waited <= ROW_WAIT_MS, "{waited}");
}

#[test]
fn a_failure_is_logged_even_if_its_state_is_not_written() {
    let (recorder, database) = recorder(1);
    database.fail("UPDATE api_keys SET status", "disk I/O error", 1);
    assert!(
        block_on(recorder.commit(attempt(1, Outcome::ProjectRefused, 0), ROW_WAIT_MS)).is_err()
    );
    let logged = database.query("SELECT success, response_status FROM api_call_logs");
    assert_eq!(logged, ["0|403"]);
}

#[test]
fn parallel_writers_disable_at_most_half_of_the_keys() {
    let file = DatabaseFile::migrated();
    let database = file.open();
    database.add_keys(12);
    // A later success, so that the upstream is not suspected.
    database.run(
        "UPDATE api_keys SET last_success_began_at = '2027-01-15T08:00:01.000Z' WHERE id = 12",
    );
    file.in_parallel(11, |id, database| {
        let recorder = Recorder::new(Rc::new(database));
        commit(&recorder, attempt(id, Outcome::KeyRejected, 0));
    });
    assert_eq!(database.count("api_keys WHERE status = 0"), 6);
    let calls = database.query("SELECT sum(total_calls) FROM api_keys");
    assert_eq!(calls, ["11"]);
}

#[test]
fn parallel_writers_failing_alike_disable_no_key() {
    for _ in 0..20 {
        let file = DatabaseFile::migrated();
        let database = file.open();
        database.add_keys(3);
        // One more failure pauses a key.
        database.run("UPDATE api_keys SET consecutive_failures = 1");
        let start = std::sync::Barrier::new(3);
        file.in_parallel(3, |id, database| {
            let recorder = Recorder::new(Rc::new(database));
            start.wait();
            commit(&recorder, attempt(id, Outcome::ProjectRefused, 0));
        });
        // The third key is suspected, and the others are reinstated.
        assert_eq!(with_status(&database, KeyStatus::Active), "1,2,3");
    }
}

#[test]
fn parallel_writers_lose_no_update() {
    let file = DatabaseFile::migrated();
    let database = file.open();
    database.add_keys(2);
    file.in_parallel(6, |_, database| {
        let recorder = Recorder::new(Rc::new(database));
        for round in 0..30 {
            commit(&recorder, attempt(1, Outcome::ProjectRefused, round));
            commit(&recorder, attempt(2, Outcome::Success, round));
        }
    });
    let counts = "SELECT id, consecutive_failures, total_calls, success_calls FROM api_keys";
    assert_eq!(database.query(counts), ["1|2|180|0", "2|0|180|180"]);
    let refused = database.count("api_call_logs WHERE outcome = 'project_refused'");
    assert_eq!((refused, database.count("api_call_logs")), (180, 360));
}
