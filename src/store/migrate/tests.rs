use super::super::testing::{DatabaseFile, EARLIER_DEPLOYMENT, NOW, NativeDatabase, vault};
use super::*;
use fallible_iterator::FallibleIterator;
use futures::executor::block_on;

const INDEXES: &str = "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name IN ('api_keys', 'api_call_logs')
    AND sql IS NOT NULL ORDER BY name";

#[test]
fn every_migration_file_is_applied_in_order() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".sql").map(str::to_owned))
        .collect();
    files.sort();
    assert_eq!(MIGRATIONS.map(|(name, _)| name).to_vec(), files);
    for (number, name) in (1..).zip(&files) {
        assert_eq!(name[..5], format!("{number:04}_"), "{name}");
    }
}

#[test]
fn a_fresh_database_gets_tables_and_indexes() {
    let database = NativeDatabase::migrated();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let expected = "alerts api_call_hours api_call_logs api_call_totals api_keys audit_log budget_usage call_durations client_token_hours client_tokens \
        cool_downs database_errors dead_keys fault_drills key_history limits model_lists rate_limits readiness resets resources retry_budget schema_migrations signed_models \
        thought_signatures unsupported_fields";
    assert_eq!(database.query(tables).join(" "), expected);
    let expected = "idx_api_keys_key_digest idx_api_keys_priority idx_api_keys_sample idx_api_keys_status \
        idx_logs_called_at";
    assert_eq!(database.query(INDEXES).join(" "), expected);
}

#[test]
fn an_earlier_deployment_keeps_its_indexes() {
    let database = NativeDatabase::in_memory();
    database.run(EARLIER_DEPLOYMENT);
    block_on(migrate(&database)).unwrap();
    let expected = "idx_api_keys_disabled_until idx_api_keys_key_digest idx_api_keys_priority \
        idx_api_keys_sample idx_api_keys_status idx_logs_api_key_id idx_logs_called_at idx_logs_success";
    assert_eq!(database.query(INDEXES).join(" "), expected);
}

#[test]
fn a_new_key_has_the_documented_defaults() {
    let database = NativeDatabase::migrated();
    database.run("INSERT INTO api_keys (api_key) VALUES ('fake-key')");
    assert_eq!(
        database.query("SELECT id, name, priority, status, consecutive_failures, total_calls, success_calls, last_used_at, last_success_at, last_failure_at, disabled_until FROM api_keys"),
        ["1|NULL|100|1|0|0|0|NULL|NULL|NULL|NULL"]
    );
    let times =
        database.query("SELECT created_at FROM api_keys UNION ALL SELECT updated_at FROM api_keys");
    for time in times {
        // Times are ISO 8601 with milliseconds in UTC.
        assert_eq!(UnixMillis::parse(&time).unwrap().to_iso(), time);
    }
    let again = "INSERT INTO api_keys (api_key) VALUES ('fake-key')";
    let again = database.connection.execute(again, []);
    assert!(again.is_err(), "keys must be unique");
}

#[test]
fn migrating_again_changes_nothing() {
    let database = NativeDatabase::migrated();
    let applied = || database.query("SELECT id, name, applied_at FROM schema_migrations");
    let before = applied();
    block_on(migrate(&database)).unwrap();
    assert_eq!(applied(), before);
    assert_eq!(before.len(), MIGRATIONS.len());
}

#[test]
fn resumes_an_unfinished_migration() {
    let database = NativeDatabase::in_memory();
    database.fail("idx_api_keys_status", "disk I/O error", 1);
    let error = block_on(migrate(&database)).unwrap_err();
    let expected = "migration 0001_earlier_deployment: disk I/O error";
    assert_eq!(error.text(), expected);
    block_on(migrate(&database)).unwrap();
    assert_eq!(database.count("schema_migrations"), MIGRATIONS.len());
}

#[test]
fn retries_while_the_database_is_locked() {
    let database = NativeDatabase::in_memory();
    let create = "CREATE TABLE IF NOT EXISTS api_keys";
    database.fail(create, "database is locked", 2);
    block_on(migrate(&database)).unwrap();
}

#[test]
fn many_instances_can_migrate_at_once() {
    let file = DatabaseFile::empty();
    file.in_parallel(8, |_, database| block_on(migrate(&database)).unwrap());
    let applied = file.open().query("SELECT id FROM schema_migrations");
    let ids = (1..=MIGRATIONS.len()).map(|id| id.to_string());
    assert!(ids.eq(applied));
}

fn ready(database: &Rc<NativeDatabase>, ms: i64) -> Readiness {
    block_on(readiness(database, &vault(0, 0), NOW.plus(ms))).unwrap()
}

#[test]
fn readiness_writes_once_per_second_across_instances() {
    let database = Rc::new(NativeDatabase::with_keys(1));
    for (ms, checks) in [
        (0, "1"),
        (999, "1"),
        (1_000, "2"),
        (1_500, "2"),
        // The clock was set back by a day.
        (-86_400_000, "3"),
        (-86_399_500, "3"),
    ] {
        assert_eq!(ready(&database, ms), Readiness::Ready);
        let counted = database.query("SELECT checks FROM readiness");
        assert_eq!(counted, [checks], "{ms}");
    }
}

#[test]
fn one_usable_key_makes_the_pool_ready() {
    for (key, expected) in [
        ("'fake-1', 1, NULL", Readiness::Ready),
        ("'fake-1', 0, NULL", Readiness::NoKey),
        ("'fake-1', 2, '2027-01-15T08:00:00.000Z'", Readiness::Ready),
        ("'fake-1', 2, '2027-01-15T10:00:00+02:00'", Readiness::Ready),
        ("'fake-1', 2, '2027-01-15T08:00:00.001Z'", Readiness::NoKey),
        ("'fake-1', 2, NULL", Readiness::NoKey),
        ("'fake 1', 1, NULL", Readiness::NoKey),
        ("'', 1, NULL", Readiness::NoKey),
        ("CAST(x'66e9' AS TEXT), 1, NULL", Readiness::NoKey),
        ("hex(zeroblob(3000)), 1, NULL", Readiness::NoKey),
    ] {
        let database = Rc::new(NativeDatabase::migrated());
        database.run(&format!(
            "INSERT INTO api_keys (api_key, status, disabled_until) VALUES ({key})"
        ));
        assert_eq!(ready(&database, 0), expected, "{key}");
    }
}

#[test]
fn a_read_only_database_makes_the_pool_unready() {
    let database = Rc::new(NativeDatabase::with_keys(1));
    assert_eq!(ready(&database, 0), Readiness::Ready);
    database.run("PRAGMA query_only = ON");
    // A recent write is proof enough.
    assert_eq!(ready(&database, 500), Readiness::Ready);
    let Readiness::NotWritable(error) = ready(&database, 1_000) else {
        panic!("the database is read-only");
    };
    assert!(error.text().contains("readonly"), "{error}");
    database.run("PRAGMA query_only = OFF");
    database.fail("INTO readiness", "database is locked", usize::MAX);
    assert!(matches!(ready(&database, 1_000), Readiness::NotWritable(_)));
    assert!(database.clock_ms() <= CHECK_WAIT_MS);
}

#[test]
fn readiness_finds_keys_by_the_status_index() {
    let database = NativeDatabase::migrated();
    let plan = database.plan(&readiness_query(&vault(1, 2)));
    let mut keys = plan
        .lines()
        .filter(|step| step.contains("api_keys") && !step.contains("sqlite_autoindex"));
    assert_eq!(keys.clone().count(), 2, "{plan}");
    assert!(keys.all(|step| step.contains("(status=?)")), "{plan}");
}

#[test]
fn rejects_the_database_of_a_newer_version() {
    let database = NativeDatabase::migrated();
    database.run("INSERT INTO schema_migrations (id, name) VALUES (900, '0900_later')");
    let error = block_on(migrate(&database)).unwrap_err();
    assert!(error.text().contains("newer version"), "{error}");
    assert!(error.text().contains("900"), "{error}");
}

#[test]
fn counters_that_are_null_count_from_0() {
    let database = NativeDatabase::in_memory();
    database.run(
        "CREATE TABLE api_keys (id INTEGER PRIMARY KEY AUTOINCREMENT, api_key TEXT NOT NULL UNIQUE, name TEXT, priority INTEGER,
             status INTEGER, consecutive_failures INTEGER, total_calls INTEGER, success_calls INTEGER, last_used_at TEXT,
             last_success_at TEXT, last_failure_at TEXT, disabled_until TEXT, created_at TEXT, updated_at TEXT);
         INSERT INTO api_keys (id, api_key, total_calls) VALUES (1, 'fake-1', 7)",
    );
    block_on(migrate(&database)).unwrap();
    let counters = "SELECT consecutive_failures, total_calls, success_calls FROM api_keys";
    assert_eq!(database.query(counters), ["0|7|0"]);
}

#[test]
fn every_part_of_a_file_is_one_statement() {
    let database = NativeDatabase::migrated();
    for (name, file) in MIGRATIONS {
        for statement in statements(&embedded::text(file).unwrap()) {
            let mut batch = rusqlite::Batch::new(&database.connection, statement);
            match batch.next() {
                Ok(first) => {
                    assert!(first.is_some(), "{name}: {statement}");
                    let second = batch.next().unwrap();
                    assert!(second.is_none(), "{name}: {statement}");
                }
                // The migration is applied already, and SQLite stops here.
                Err(error) => assert!(error.to_string().contains("duplicate column name")),
            }
        }
    }
}
