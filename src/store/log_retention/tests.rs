use super::super::call_totals::{add_to_totals, totals};
use super::super::testing::{DatabaseFile, EARLIER_DEPLOYMENT, NOW, NativeDatabase};
use super::super::{AttemptRow, ROW_WAIT_MS, Recorder, migrate};
use super::*;
use crate::pool::{KeyId, Outcome, TokenId, Usage};
use futures::executor::block_on;
use futures::future::join_all;
use proptest::prelude::*;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

const HOURS: &str = "SELECT * FROM api_call_hours";
/// The same sums over the log, while it is complete.
const HOURS_OF_LOG: &str = "SELECT substr(called_at, 1, 13) || ':00:00.000Z', api_key_id, model, outcome, coalesce(token_id, 0), count(*),
sum(attempt = 1), sum(outcome IN ('success', 'client_gone')), sum(coalesce(input_tokens, 0)), sum(coalesce(output_tokens, 0)),
sum(coalesce(thinking_tokens, 0)), sum(coalesce(cached_tokens, 0)), sum(response_time_ms), max(response_time_ms),
sum(coalesce(first_byte_ms, 0)), count(first_byte_ms)
FROM api_call_logs GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5";

/// The sums of all time, over the hours.
const TOTALS_OF_HOURS: &str = "SELECT api_key_id, model, outcome, token_id, sum(calls), sum(requests), sum(successes),
sum(input_tokens), sum(output_tokens), sum(thinking_tokens), sum(cached_tokens), sum(total_response_time_ms),
sum(total_first_byte_ms) FROM api_call_hours GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4";

fn attempts() -> impl Strategy<Value = AttemptRow> {
    let usage = (0u64..5000, 0u64..5000, 0u64..5000, 0u64..5000);
    let usage = usage.prop_map(|(input, output, thinking, cached)| Usage {
        input,
        output,
        thinking,
        cached,
    });
    (
        1i64..4,
        prop::sample::select(vec!["gemini-flash-latest", "m", "files", ""]),
        prop::sample::select(Outcome::ALL.to_vec()),
        prop::option::of(200u16..504),
        -3 * HOUR_MS..0,
        prop::option::of(0i64..4000),
        0i64..90_000,
        prop::option::of(usage),
        (prop::option::of(1i64..3), 1u32..3),
    )
        .prop_map(
            |(
                key,
                model,
                outcome,
                response_status,
                began,
                first_byte,
                lasted,
                usage,
                (token, number),
            )| {
                let started_at = NOW.plus(began);
                AttemptRow {
                    number,
                    model: model.to_owned(),
                    outcome,
                    response_status,
                    error_message: None,
                    started_at,
                    first_byte_at: first_byte.map(|ms| started_at.plus(ms)),
                    ended_at: started_at.plus(lasted),
                    usage,
                    token: token.map(TokenId),
                    ..silent(key)
                }
            },
        )
}

/// The row of an attempt that ended without a response.
fn silent(key: i64) -> AttemptRow {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    AttemptRow {
        request_id: format!("req_{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        number: 1,
        key: KeyId(key),
        key_edits: 0,
        token: None,
        model: "m".to_owned(),
        outcome: Outcome::UpstreamTrouble,
        response_status: None,
        error_message: Some("timed out".to_owned()),
        started_at: NOW,
        first_byte_at: None,
        ended_at: NOW.plus(250),
        usage: None,
        drill: None,
    }
}

/// Reverts the migration that added the sums.
fn without_hours(database: &NativeDatabase) {
    database.run(
        "DROP TRIGGER count_api_call; DROP TABLE api_call_hours; DROP TABLE api_call_totals; DELETE FROM schema_migrations WHERE id >= 2",
    );
}

/// The sums of all time: in the table, and with the calls that are not added yet.
fn totals_of(database: &NativeDatabase) -> [Vec<String>; 2] {
    let all = totals();
    ["SELECT * FROM api_call_totals", &all].map(|totals| {
        database.query(&format!(
            "SELECT api_key_id, model, outcome, token_id, sum(calls), sum(requests), sum(successes),
             sum(input_tokens), sum(output_tokens), sum(thinking_tokens), sum(cached_tokens), sum(total_response_time_ms),
             sum(total_first_byte_ms) FROM ({totals}) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
        ))
    })
}

fn log_at(database: &NativeDatabase, time: &str) {
    let insert = "INSERT INTO api_call_logs (api_key_id, success, called_at) VALUES (1, 1, ?1)";
    block_on(write(database, insert, vec![Value::from(time)])).unwrap();
}

fn log_old(database: &NativeDatabase, rows: usize) {
    database.run(&format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {rows})
         INSERT INTO api_call_logs (api_key_id, success, called_at)
         SELECT 1, 1, strftime('%Y-%m-%dT%H:%M:%fZ', '2026-01-01', n || ' seconds') FROM n"
    ));
}

fn delete_old(database: &NativeDatabase, days: u32) {
    block_on(delete_old_calls(database, NOW, days)).unwrap();
}

fn rows(database: &NativeDatabase) -> usize {
    database.count("api_call_logs")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_hourly_sums_match_the_log(
        before in prop::collection::vec(attempts(), 0..20),
        after in prop::collection::vec(attempts(), 0..20),
        (predates_sums, adds_between) in any::<(bool, bool)>(),
    ) {
        let database = Rc::new(NativeDatabase::with_keys(3));
        let recorder = Recorder::new(Rc::clone(&database));
        if predates_sums {
            without_hours(&database);
        }
        let written = join_all(before.into_iter().map(|attempt| recorder.commit(attempt, ROW_WAIT_MS)));
        prop_assert!(block_on(written).iter().all(Result::is_ok));
        block_on(migrate(&database as &NativeDatabase)).unwrap();
        let add = || block_on(add_to_totals(&*database, 1_000)).unwrap();
        if adds_between {
            add();
        }
        for attempt in after {
            block_on(recorder.commit(attempt, ROW_WAIT_MS)).unwrap();
        }
        let hours = database.query(HOURS);
        prop_assert_eq!(&hours, &database.query(HOURS_OF_LOG));
        let totals = database.query(TOTALS_OF_HOURS);
        prop_assert_eq!(&totals_of(&database)[1], &totals);
        add();
        prop_assert_eq!(totals_of(&database), [totals.clone(), totals]);
        block_on(delete_old_calls(&*database, NOW.plus(3 * DAY_MS), 1)).unwrap();
        prop_assert_eq!(rows(&database), 0);
        prop_assert_eq!(hours, database.query(HOURS), "the sums must stay");
    }
}

#[test]
fn a_call_without_a_response_is_counted() {
    let database = Rc::new(NativeDatabase::with_keys(3));
    let recorder = Recorder::new(Rc::clone(&database));
    for _ in 0..2 {
        block_on(recorder.commit(silent(1), ROW_WAIT_MS)).unwrap();
    }
    let hour = "2027-01-15T08:00:00.000Z|1|m|upstream_trouble|0|2|2|0|0|0|0|0|500|250|0|0";
    assert_eq!(database.query(HOURS), [hour]);
}

#[test]
fn unusual_rows_of_a_dump_are_counted_and_kept() {
    let unusual_rows = "INSERT INTO api_call_logs (api_key_id, success, response_time_ms, called_at, model, outcome, first_byte_ms, input_tokens, output_tokens) VALUES
        (1, 1, 812, '2025-01-02 03:04:05', NULL, NULL, NULL, NULL, NULL),
        (1, 0, 90, '2025-01-02T03:59:59Z', NULL, NULL, NULL, NULL, NULL),
        (1, 7, NULL, '2025-01-02T04:30:00+01:00', NULL, NULL, NULL, NULL, NULL),
        (1, 'yes', 'n/a', '2025-01-02', 'm', 'success', 'soon', 'many', x'00'),
        (2, 1, 5, 'yesterday', 'm', 'success', 40, 9223372036854775807, 3),
        (2, 1, 6, '', 'm', 'success', 0, 9223372036854775807, -3),
        (2, 1, 7, '1735787045', 'm', 'success', 2, 9e999, 1.0)";
    let expected = [
        "|2|m|success|3|3|9223372036854775807|1|0|0|18|7|42|3",
        "2025-01-02T00:00:00.000Z|1|m|success|1|1|0|0|0|0|0|0|0|1",
        "2025-01-02T03:00:00.000Z|1|||3|2|0|0|0|0|902|812|0|0",
    ];
    let hours =
        "SELECT hour, api_key_id, model, outcome, calls, successes, CAST(input_tokens AS INTEGER),
        output_tokens, thinking_tokens, cached_tokens, total_response_time_ms, max_response_time_ms,
        total_first_byte_ms, first_bytes FROM api_call_hours";
    for existed_before in [false, true] {
        let database = NativeDatabase::migrated();
        if existed_before {
            without_hours(&database);
        }
        database.run(unusual_rows);
        block_on(migrate(&database)).unwrap();
        assert_eq!(rows(&database), 7);
        assert_eq!(database.query(hours), expected, "{existed_before}");
    }
}

#[test]
fn rows_of_a_table_without_constraints_are_counted() {
    let database = NativeDatabase::in_memory();
    database.run("CREATE TABLE api_call_logs (id INTEGER PRIMARY KEY, api_key_id, success, response_status, error_message, response_time_ms, called_at)");
    let row = "INSERT INTO api_call_logs (api_key_id) VALUES (NULL), ('7'), (7)";
    database.run(row);
    block_on(migrate(&database)).unwrap();
    database.run(row);
    let hours = "SELECT hour, api_key_id, calls, successes FROM api_call_hours";
    assert_eq!(database.query(hours), ["|0|2|0", "|7|4|0"]);
}

#[test]
fn every_kind_of_insert_is_counted() {
    for insert in ["INSERT", "INSERT OR IGNORE", "INSERT OR REPLACE"] {
        let database = NativeDatabase::migrated();
        for id in 1..=2 {
            database.run(&format!(
                "{insert} INTO api_call_logs (id, api_key_id, success, called_at) VALUES ({id}, 1, 1, '2025-01-02 03:04:05')"
            ));
        }
        let counted = database.query("SELECT calls, successes FROM api_call_hours");
        assert_eq!(counted, ["2|2"], "{insert}");
    }
}

#[test]
fn repeating_the_migration_does_not_change_the_sums() {
    let database = NativeDatabase::migrated();
    log_old(&database, 300);
    let hours = database.query(HOURS);
    delete_old(&database, 30);
    log_at(&database, "2026-01-01T00:00:01.000Z");
    let with_one_more = database.query(HOURS);
    assert_eq!(hours.len(), 1);
    assert_ne!(with_one_more, hours);
    // The migration is applied, but not recorded yet.
    database.run("DELETE FROM schema_migrations WHERE id >= 2");
    block_on(migrate(&database)).unwrap();
    assert_eq!(database.query(HOURS), with_one_more);
}

#[test]
fn calls_during_the_migration_are_counted_once() {
    let file = DatabaseFile::migrated();
    let database = file.open();
    without_hours(&database);
    log_old(&database, 10);
    let (other, before) = (file.open(), database.statements());
    database.before_each(move || log_old(&other, 1));
    block_on(migrate(&database)).unwrap();
    // At least: the applied migrations, the table, the trigger, the sums, and the record.
    assert!(database.statements() - before >= 5);
    assert_eq!(
        database.query("SELECT (SELECT sum(calls) FROM api_call_hours) = count(*), count(*) >= 15 FROM api_call_logs"),
        ["1|1"]
    );
}

#[test]
fn the_sums_of_a_deleted_key_stay() {
    let database = NativeDatabase::in_memory();
    database.run(EARLIER_DEPLOYMENT);
    block_on(migrate(&database)).unwrap();
    let hours = database.query(HOURS);
    assert_eq!(
        hours,
        [
            "2025-05-01T00:00:00.000Z|3|||0|1|1|0|0|0|0|0|60|60|0|0",
            "2025-05-30T08:00:00.000Z|1|||0|1|1|0|0|0|0|0|95|95|0|0",
            "2025-06-01T12:00:00.000Z|1|||0|1|1|1|0|0|0|0|812|812|0|0",
            "2025-06-01T12:00:00.000Z|2|||0|1|1|0|0|0|0|0|90|90|0|0",
        ]
    );
    database.run("PRAGMA foreign_keys = ON; DELETE FROM api_keys WHERE id = 1");
    assert_eq!((rows(&database), database.query(HOURS)), (2, hours));
}

/// Some instances only write, as an older version does; the others migrate, write and delete.
#[test]
fn parallel_instances_count_each_call_once() {
    let file = DatabaseFile::migrated();
    let database = file.open();
    database.add_keys(3);
    without_hours(&database);
    log_old(&database, 1000);
    file.in_parallel(6, |number, database| {
        let database = Rc::new(database);
        let recorder = Recorder::new(Rc::clone(&database));
        if number > 3 {
            for _ in 0..60 {
                block_on(recorder.commit(silent(number - 3), ROW_WAIT_MS)).unwrap();
            }
            return;
        }
        block_on(migrate(&*database)).unwrap();
        for _ in 0..10 {
            let batch = (0..4).map(|_| recorder.commit(silent(number), ROW_WAIT_MS));
            assert!(block_on(join_all(batch)).iter().all(Result::is_ok));
            delete_old(&database, 30);
        }
    });
    assert_eq!(rows(&database), 300, "the old rows must be deleted");
    assert_eq!(
        database.query("SELECT api_key_id, sum(calls), sum(total_response_time_ms), max(max_response_time_ms) FROM api_call_hours WHERE model = 'm' GROUP BY 1"),
        ["1|100|25000|250", "2|100|25000|250", "3|100|25000|250"]
    );
    let old = "SELECT sum(calls), sum(successes) FROM api_call_hours WHERE model = ''";
    assert_eq!(database.query(old), ["1000|1000"]);
}

#[test]
fn deletes_only_rows_older_than_the_cutoff() {
    // NOW is 2027-01-15T08:00:00.000Z.
    for (time, is_kept) in [
        ("2026-12-16T08:00:00.000Z", true),
        ("2026-12-16T07:59:59.999Z", false),
        ("2026-12-16T08:00:00.001Z", true),
        ("2028-01-01T00:00:00.000Z", true),
        ("1970-01-01T00:00:00.000Z", false),
        ("2026-12-16T07:59:58Z", false),
        ("2026-12-16T08:00:00Z", true),
        // Rows whose texts do not sort as times are kept for two more days.
        ("2026-12-16 23:59:59", true),
        ("2026-12-16 00:00:00", true),
        ("2026-12-16", true),
        ("2026-12-14 07:59:59", false),
        ("2026-12-16T00:00:00-12:00", true),
        ("2026-12-16T08:00:00", true),
        ("2026-12-16T07:59:59.999", true),
        ("2026-12-01T00:00:00-12:00", false),
        ("2026-12-16 08:00 PST", true),
        ("2026/12/01 08:00", true),
        ("2026-9-30", true),
        ("2025/12/01 08:00", false),
        // A text that is not a date has no age.
        ("", true),
        ("yesterday", true),
        ("1735787045", true),
        ("01/02/2025", true),
    ] {
        let database = NativeDatabase::migrated();
        log_at(&database, time);
        let old = block_on(count_old_calls(&database, NOW, 30)).unwrap();
        assert_eq!(old == 0, is_kept, "{time:?}");
        delete_old(&database, 30);
        assert_eq!(rows(&database) == 1, is_kept, "{time:?}");
        assert_eq!(database.query("SELECT calls FROM api_call_hours"), ["1"]);
    }
}

#[test]
fn deletes_the_oldest_rows_first_in_batches() {
    let database = NativeDatabase::migrated();
    let max_deleted = BATCH * MAX_BATCHES;
    log_old(&database, max_deleted + 300);
    log_at(&database, &NOW.to_iso());
    for (left, statements) in [(301, MAX_BATCHES), (1, 2), (1, 1)] {
        let before = database.statements();
        delete_old(&database, 30);
        assert_eq!(database.statements() - before, statements);
        assert_eq!(rows(&database), left);
        assert_eq!(database.count("api_call_logs WHERE id <= 2560"), 0);
    }
}

#[test]
fn ids_are_not_reused_and_counters_stay() {
    let database = Rc::new(NativeDatabase::with_keys(3));
    let recorder = Recorder::new(Rc::clone(&database));
    block_on(recorder.commit(silent(1), ROW_WAIT_MS)).unwrap();
    let keys = database.query("SELECT * FROM api_keys");
    block_on(delete_old_calls(&*database, NOW.plus(2 * DAY_MS), 1)).unwrap();
    assert_eq!(rows(&database), 0);
    assert_eq!(database.query("SELECT * FROM api_keys"), keys);
    block_on(recorder.commit(silent(1), ROW_WAIT_MS)).unwrap();
    assert_eq!(database.query("SELECT id FROM api_call_logs"), ["2"]);
}

#[test]
fn deleting_uses_a_covering_index() {
    let plan = NativeDatabase::migrated().plan(DELETE_OLD);
    let index = "COVERING INDEX idx_logs_called_at (called_at>? AND called_at<?)";
    assert!(plan.contains(index), "{plan}");
    assert!(!plan.contains("SCAN") && !plan.contains("TEMP"), "{plan}");
}
