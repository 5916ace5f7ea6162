use super::super::testing::NativeDatabase;
use super::*;
use fallible_iterator::FallibleIterator;
use futures::executor::block_on;

const INDEXES: &str = "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name IN ('api_keys', 'api_call_logs')
    AND sql IS NOT NULL ORDER BY name";

#[test]
fn every_migration_file_is_applied_in_order() {
    let mut files: Vec<String> =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".sql").map(str::to_owned))
            .collect();
    files.sort();
    assert_eq!(MIGRATIONS.map(|(name, _)| name).to_vec(), files);
    for (number, name) in (1..).zip(&files) {
        assert!(
            name.starts_with(&format!("{number:04}_")),
            "{name} must have number {number}"
        );
    }
}

#[test]
fn a_fresh_database_gets_tables_and_indexes() {
    let database = NativeDatabase::migrated();
    assert_eq!(
        database.query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"),
        [
            "api_call_hours",
            "api_call_logs",
            "api_keys",
            "budget_usage",
            "cool_downs",
            "limits",
            "model_lists",
            "rate_limits",
            "readiness",
            "resets",
            "resources",
            "retry_budget",
            "schema_migrations",
            "signed_models",
            "thought_signatures",
            "unsupported_fields",
        ]
    );
    assert_eq!(
        database.query(INDEXES),
        [
            "idx_api_keys_sample",
            "idx_api_keys_status",
            "idx_logs_called_at",
        ]
    );
}

#[test]
fn an_earlier_deployment_keeps_its_indexes() {
    let database = NativeDatabase::in_memory();
    database.run(include_str!(
        "../../../tests/fixtures/earlier_deployment.sql"
    ));
    block_on(migrate(&database)).unwrap();
    assert_eq!(
        database.query(INDEXES),
        [
            "idx_api_keys_disabled_until",
            "idx_api_keys_priority",
            "idx_api_keys_sample",
            "idx_api_keys_status",
            "idx_logs_api_key_id",
            "idx_logs_called_at",
            "idx_logs_success",
        ]
    );
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
        let parsed = crate::pool::UnixMillis::parse(&time).unwrap();
        assert_eq!(
            parsed.to_iso(),
            time,
            "times must be ISO 8601 with milliseconds in UTC"
        );
    }
    assert!(
        database
            .connection
            .execute("INSERT INTO api_keys (api_key) VALUES ('fake-key')", [])
            .is_err(),
        "keys must be unique"
    );
}

#[test]
fn migrating_again_changes_nothing() {
    let database = NativeDatabase::migrated();
    let before = database.query("SELECT id, name, applied_at FROM schema_migrations");
    block_on(migrate(&database)).unwrap();
    assert_eq!(
        database.query("SELECT id, name, applied_at FROM schema_migrations"),
        before
    );
    assert_eq!(before.len(), MIGRATIONS.len());
}

#[test]
fn resumes_an_unfinished_migration() {
    let database = NativeDatabase::in_memory();
    database.fail("idx_api_keys_status", "disk I/O error", 1);
    let error = block_on(migrate(&database)).unwrap_err();
    assert_eq!(
        error.text(),
        "migration 0001_earlier_deployment: disk I/O error"
    );
    block_on(migrate(&database)).unwrap();
    assert_eq!(
        database.query("SELECT count(*) FROM schema_migrations"),
        [MIGRATIONS.len().to_string()]
    );
}

#[test]
fn retries_while_the_database_is_locked() {
    let database = NativeDatabase::in_memory();
    database.fail(
        "CREATE TABLE IF NOT EXISTS api_keys",
        "database is locked",
        2,
    );
    block_on(migrate(&database)).unwrap();
}

#[test]
fn many_instances_can_migrate_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.db");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| block_on(migrate(&NativeDatabase::open(&path))).unwrap());
        }
    });
    let database = NativeDatabase::open(&path);
    assert_eq!(
        database.query("SELECT id FROM schema_migrations"),
        (1..=MIGRATIONS.len())
            .map(|id| id.to_string())
            .collect::<Vec<_>>()
    );
}

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn ready(database: &Rc<NativeDatabase>, ms: i64) -> Readiness {
    block_on(readiness(database, NOW.plus(ms))).unwrap()
}

#[test]
fn readiness_writes_once_per_second_across_instances() {
    let database = Rc::new(NativeDatabase::migrated());
    database.run("INSERT INTO api_keys (id, api_key) VALUES (1, 'fake-1')");
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
        assert_eq!(
            database.query("SELECT checks FROM readiness"),
            [checks],
            "{ms}"
        );
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
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.db");
    let database = Rc::new(NativeDatabase::migrated_at(&path));
    database.run("INSERT INTO api_keys (id, api_key) VALUES (1, 'fake-1')");
    assert_eq!(ready(&database, 0), Readiness::Ready);
    database.run("PRAGMA query_only = ON");
    assert_eq!(
        ready(&database, 500),
        Readiness::Ready,
        "a recent write is proof enough"
    );
    let unready = ready(&database, 1_000);
    assert!(
        matches!(&unready, Readiness::NotWritable(error) if error.text().contains("readonly")),
        "{unready:?}"
    );
    database.run("PRAGMA query_only = OFF");
    database.fail("INTO readiness", "database is locked", usize::MAX);
    assert!(matches!(ready(&database, 1_000), Readiness::NotWritable(_)));
    assert!(
        database.clock_ms() <= CHECK_WAIT_MS,
        "the check must not wait longer"
    );
}

#[test]
fn readiness_finds_keys_by_the_status_index() {
    let database = NativeDatabase::migrated();
    let query = readiness_query()
        .replace("?1", "'1'")
        .replace("?2", "'2'")
        .replace("?3", "'3'");
    let plan = database.query(&format!("EXPLAIN QUERY PLAN {query}"));
    let keys = plan.iter().filter(|step| step.contains("api_keys"));
    assert!(
        keys.clone().count() == 2 && keys.clone().all(|step| step.contains("(status=?)")),
        "{plan:?}"
    );
}

#[test]
fn rejects_the_database_of_a_newer_version() {
    let database = NativeDatabase::migrated();
    database.run("INSERT INTO schema_migrations (id, name) VALUES (900, '0900_later')");
    let error = block_on(migrate(&database)).unwrap_err();
    assert!(
        error.text().contains("newer version") && error.text().contains("900"),
        "{error}"
    );
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
    assert_eq!(
        database.query("SELECT consecutive_failures, total_calls, success_calls FROM api_keys"),
        ["0|7|0"]
    );
}

#[test]
fn every_part_of_a_file_is_one_statement() {
    let database = NativeDatabase::migrated();
    for (name, sql) in MIGRATIONS {
        for statement in statements(sql) {
            let mut batch = rusqlite::Batch::new(&database.connection, statement);
            let mut parts = 0;
            loop {
                match batch.next() {
                    Ok(Some(_)) => parts += 1,
                    Ok(None) => break,
                    // The migration is applied already, and SQLite stops here.
                    Err(error) => {
                        assert!(error.to_string().contains("duplicate column name"));
                        parts += 1;
                        break;
                    }
                }
            }
            assert_eq!(parts, 1, "{name}: {statement}");
        }
    }
}
