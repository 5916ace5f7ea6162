//! Tests of filling the pool's database.

use super::*;
use crate::testing::assert_error;
use std::fmt::Write;
use std::path::PathBuf;
use tempfile::TempDir;

const SCHEMA: &str = "CREATE TABLE api_keys (id INTEGER PRIMARY KEY AUTOINCREMENT,
    api_key TEXT NOT NULL UNIQUE, name TEXT, priority INTEGER DEFAULT 100,
    status INTEGER DEFAULT 1, consecutive_failures INTEGER DEFAULT 0,
    total_calls INTEGER DEFAULT 0, success_calls INTEGER DEFAULT 0, last_used_at TEXT,
    last_success_at TEXT, last_failure_at TEXT, disabled_until TEXT,
    created_at TEXT DEFAULT CURRENT_TIMESTAMP, updated_at TEXT DEFAULT CURRENT_TIMESTAMP);
    CREATE TABLE api_call_logs (id INTEGER PRIMARY KEY AUTOINCREMENT, api_key_id INTEGER,
    success INTEGER, response_status INTEGER, error_message TEXT, response_time_ms INTEGER,
    called_at TEXT DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (api_key_id) REFERENCES api_keys(id));
    CREATE INDEX idx_logs_api_key_id ON api_call_logs(api_key_id);
    CREATE INDEX idx_logs_called_at ON api_call_logs(called_at);
    CREATE INDEX idx_logs_success ON api_call_logs(success);";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("pool.db")
    }

    /// Imports a dump and returns the notes.
    fn import(&self, dump: impl AsRef<[u8]>) -> Result<String> {
        let file = self.0.path().join("dump.sql");
        std::fs::write(&file, dump).unwrap();
        let mut pool = Pool::open(&self.database())?;
        let mut progress = Progress::new();
        let dump = Dump::read(&file, &mut progress)?;
        let filled = pool.fill(&dump, &mut progress)?;
        pool.commit()?;
        Ok(filled.notes.to_string())
    }

    fn connection(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    fn query(&self, query: &str) -> Vec<String> {
        rows(&self.connection(), query)
    }
}

fn rows(connection: &Connection, query: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for row in run(connection, query, Vec::new()).unwrap() {
        let mut line = String::new();
        for value in row.0 {
            match value {
                Value::Null => line.push_str("NULL|"),
                Value::Integer(value) => write!(line, "{value}|").unwrap(),
                Value::Real(value) => write!(line, "{value:?}|").unwrap(),
                Value::Text(text) => write!(line, "{text}|").unwrap(),
                Value::Blob(bytes) => write!(line, "{bytes:?}|").unwrap(),
            }
        }
        lines.push(line);
    }
    lines
}

#[test]
fn priority_of_null_or_zero_becomes_100() {
    let folder = Folder::new();
    let notes = folder
        .import(format!(
            "{SCHEMA} INSERT INTO api_keys (id, api_key, priority) VALUES
             (1, 'AIzaFAKE-1', NULL), (2, 'AIzaFAKE-2', 0), (3, 'AIzaFAKE-3', 0.0),
             (4, 'AIzaFAKE-4', 'high'), (5, 'AIzaFAKE-5', -3), (6, 'AIzaFAKE-6', '70');
             INSERT INTO api_keys (id, api_key) VALUES (7, 'AIzaFAKE-7');"
        ))
        .unwrap();
    assert_eq!(
        folder.query("SELECT id, priority FROM api_keys ORDER BY id"),
        [
            "1|100|", "2|100|", "3|100|", "4|100|", "5|-3|", "6|70|", "7|100|"
        ]
    );
    assert_eq!(
        notes,
        "api_keys.priority was 0 and is now 100: id 2, 3\n\
         api_keys.priority was NULL and is now 100: id 1\n\
         api_keys.priority was not a number and is now 100: id 4\n"
    );
}

#[test]
fn odd_values_are_noted_by_row() {
    let folder = Folder::new();
    let mut dump = SCHEMA.as_bytes().to_vec();
    dump.extend_from_slice(
        b"INSERT INTO api_keys VALUES (1,'AIzaFAKE-1','caf\xe9',100,NULL,NULL,NULL,NULL,
          'yesterday',NULL,NULL,NULL,NULL,NULL);
          INSERT INTO api_keys VALUES (2,'AIzaFAKE-2','\xb2\xe2\xca\xd4',100,'on','x',5,5,
          '2025-01-02 03:04:05',NULL,NULL,NULL,'2025-01-01 00:00:00','');
          INSERT INTO api_keys VALUES (3,'no key',NULL,100,1,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL);
          INSERT INTO api_call_logs VALUES (7,NULL,NULL,NULL,'\xff',NULL,NULL);
          INSERT INTO api_call_logs VALUES (8,99,'yes','n/a',x'00','soon','1735787045');",
    );
    let notes = folder.import(dump).unwrap();
    assert_eq!(
        folder.query(
            "SELECT id, hex(name), status, consecutive_failures, total_calls, success_calls,
             last_used_at FROM api_keys"
        ),
        [
            "1|636166E9|0|0|0|0|yesterday|",
            "2|B2E2CAD4|on|0|5|5|2025-01-02 03:04:05|",
            "3||1|0|0|0|NULL|",
        ]
    );
    assert_eq!(
        folder.query(
            "SELECT count(*) FROM api_keys
             WHERE created_at GLOB '20*Z' AND updated_at GLOB '20*Z' AND id <> 2"
        ),
        ["2|"]
    );
    assert_eq!(
        folder.query(
            "SELECT id, api_key_id, success, response_status, hex(error_message),
             response_time_ms, called_at FROM api_call_logs"
        ),
        ["7|0|0|NULL|FF|NULL||", "8|99|yes|n/a|00|soon|1735787045|"]
    );
    assert_eq!(
        notes,
        "api_keys.api_key is not a valid key; the pool does not use it: id 3\n\
         api_keys.consecutive_failures was NULL and is now 0: id 1\n\
         api_keys.consecutive_failures was not a number and is now 0: id 2\n\
         api_keys.last_used_at is not a valid time: id 1\n\
         api_keys.name is not UTF-8; its bytes are unchanged: id 1, 2\n\
         api_keys.status is not 0, 1 or 2; the pool does not use the key: id 2\n\
         api_keys.status was NULL, for which no key was used, and is now 0, disabled: id 1\n\
         api_keys.success_calls was NULL and is now 0: id 1\n\
         api_keys.total_calls was NULL and is now 0: id 1\n\
         api_keys.updated_at is not a valid time: id 2\n\
         api_call_logs.api_key_id was NULL and is now 0: id 7\n\
         api_call_logs.called_at is not a valid time: id 8\n\
         api_call_logs.called_at was NULL and is now '': the call has no age: id 7\n\
         api_call_logs.error_message is not UTF-8; its bytes are unchanged: id 7\n\
         api_call_logs.success was NULL and is now 0: id 7\n"
    );
}

#[test]
fn invalid_row_is_skipped_alone() {
    let folder = Folder::new();
    let notes = folder
        .import(
            "CREATE TABLE api_keys (id, api_key, weight);
             INSERT INTO api_keys VALUES (1, 'AIzaFAKE-1', 1), (2, 'AIzaFAKE-1', 1),
             (1, 'AIzaFAKE-3', 1), (4, NULL, 1), ('x', 'AIzaFAKE-5', 1), (6, 'AIzaFAKE-6', 1);",
        )
        .unwrap();
    assert_eq!(
        folder.query("SELECT id, api_key FROM api_keys"),
        ["1|AIzaFAKE-1|", "2|AIzaFAKE-5|", "6|AIzaFAKE-6|"]
    );
    assert_eq!(
        notes,
        "api_keys.api_key is not a valid key; the pool does not use it: id 4\n\
         api_keys.id is not a whole number; the row has a new id: id none\n\
         api_keys.id is skipped: it has no key, or another row has its key or id: id 2, 1, 4\n\
         ignored columns that the pool does not have: api_keys.weight\n"
    );
}

/// Rows of an earlier deployment, not in order of time, some of them odd.
fn calls() -> String {
    let mut dump = SCHEMA.to_owned();
    for id in 1..=500 {
        let time = match id % 7 {
            0 => "NULL".to_owned(),
            1 => format!("'2025-03-{:02} {:02}:05:06'", id % 28 + 1, id % 24),
            2 => "'yesterday'".to_owned(),
            _ => format!("'2025-02-{:02}T{:02}:05:06.789Z'", id % 28 + 1, id % 24),
        };
        write!(
            dump,
            "INSERT INTO api_call_logs VALUES ({id},{},{},200,NULL,{},{time});",
            id % 3 + 1,
            id % 2,
            id * 10
        )
        .unwrap();
    }
    dump
}

/// Migrates the database like a pool that has not served a request.
fn migrate(folder: &Folder) -> Connection {
    let pool = Pool(folder.connection());
    pool.0.pragma_update(None, "journal_mode", "WAL").unwrap();
    wait(store::migrate(&pool)).unwrap();
    pool.0
}

#[test]
fn hourly_sums_equal_those_of_the_migration() {
    const HOURS: &str = "SELECT * FROM api_call_hours";
    let loaded = Pool(Connection::open_in_memory().unwrap());
    let dump = format!("PRAGMA foreign_keys = OFF; {}", calls());
    loaded.0.execute_batch(&dump).unwrap();
    wait(store::migrate(&loaded)).unwrap();
    let expected = rows(&loaded.0, HOURS);
    assert!(expected.len() > 50, "{}", expected.len());
    // Into a new database, and into that of a pool that has not served a request.
    for is_new in [true, false] {
        let folder = Folder::new();
        if !is_new {
            drop(migrate(&folder));
        }
        folder.import(calls()).unwrap();
        assert_eq!(folder.query(HOURS), expected);
        let all = "SELECT count(*), (SELECT sum(calls) FROM api_call_hours) FROM api_call_logs";
        assert_eq!(folder.query(all), ["500|500|"]);
    }
}

#[test]
fn owners_indexes_are_created_once() {
    let folder = Folder::new();
    folder.import(SCHEMA).unwrap();
    assert_eq!(
        folder.query(
            "SELECT group_concat(i.name),
                (SELECT group_concat(c.name) FROM pragma_index_info(i.name) AS c) AS columns
             FROM sqlite_schema AS t JOIN pragma_index_list(t.name) AS i
             WHERE t.name IN ('api_keys', 'api_call_logs') AND i.origin = 'c' AND NOT i.partial
             GROUP BY t.name, columns ORDER BY 1"
        ),
        [
            "idx_api_keys_key_digest|key_digest|",
            "idx_api_keys_priority|priority|",
            "idx_api_keys_status|status|",
            "idx_logs_api_key_id|api_key_id|",
            "idx_logs_called_at|called_at|",
            "idx_logs_success|success|",
        ]
    );
}

#[test]
fn ids_are_not_reused() {
    let folder = Folder::new();
    folder
        .import(format!(
            "{SCHEMA} INSERT INTO api_keys (id, api_key) VALUES (3, 'AIzaFAKE-3');
             DELETE FROM sqlite_sequence; INSERT INTO \"sqlite_sequence\" VALUES('api_keys',8);
             INSERT INTO \"sqlite_sequence\" (\"name\",\"seq\") VALUES('api_call_logs',90);"
        ))
        .unwrap();
    let insert = "INSERT INTO api_keys (api_key) VALUES ('AIzaFAKE-4');
        INSERT INTO api_call_logs (api_key_id, success) VALUES (1, 1)";
    folder.connection().execute_batch(insert).unwrap();
    let ids = "SELECT max(id) FROM api_keys UNION ALL SELECT max(id) FROM api_call_logs";
    assert_eq!(folder.query(ids), ["9|", "91|"]);
}

/// The tables of a pool with two client tokens, the second of which has a call.
fn pool_with_tokens() -> String {
    let digest = |byte: &str| format!("X'{}'", byte.repeat(32));
    let (one, two, three) = (digest("01"), digest("02"), digest("03"));
    let changed = |action| format!("'{{\"by\":\"x\",\"action\":\"{action}\",\"request\":\"r\"}}'");
    let (created, deleted) = (changed("create_token"), changed("delete_token"));
    format!(
        "CREATE TABLE api_keys (id, api_key, changed_by);
         INSERT INTO api_keys VALUES(1,'AIzaFAKE-1',{created});
         INSERT INTO client_tokens VALUES(3,'kp_fake-1',{one},NULL,NULL,'Anna','2025-01-01',
         '2025-01-02',NULL,NULL,NULL,NULL,NULL,NULL,{created});
         INSERT INTO client_tokens VALUES(7,'kp_fake-2',{two},{three},'2025-01-03','Ben',
         '2025-01-01','2025-01-02','2027-01-01','2025-02-01','[\"m\"]','[\"::/0\"]',60,2000,{deleted});
         CREATE TABLE api_call_logs (id, api_key_id, success, called_at, token_id, input_tokens);
         INSERT INTO api_call_logs VALUES(1,1,1,'2025-01-02T03:04:05.000Z',7,20);
         INSERT INTO sqlite_sequence VALUES('client_tokens',9);"
    )
}

#[test]
fn client_tokens_keep_ids_digests_and_limits() {
    let folder = Folder::new();
    assert_eq!(folder.import(pool_with_tokens()).unwrap(), "");
    let tokens = "SELECT id, prefix, hex(digest), hex(previous_digest), previous_until, name,
        created_at, updated_at, expires_at, disabled_at, models, networks, requests_per_minute,
        tokens_per_day FROM client_tokens";
    let [one, two, three] = ["01", "02", "03"].map(|byte| byte.repeat(32));
    let expected = [
        format!(
            "3|kp_fake-1|{one}||NULL|Anna|2025-01-01|2025-01-02|NULL|NULL|NULL|NULL|NULL|NULL|"
        ),
        format!(
            "7|kp_fake-2|{two}|{three}|2025-01-03|Ben|2025-01-01|2025-01-02|2027-01-01|2025-02-01|\
             [\"m\"]|[\"::/0\"]|60|2000|"
        ),
    ];
    assert_eq!(folder.query(tokens), expected);
    let used =
        "SELECT c.token_id, h.token_id, h.tokens FROM api_call_logs AS c, client_token_hours AS h";
    assert_eq!(folder.query(used), ["7|7|20|"]);
    // An import is no change by an operator.
    assert!(folder.query("SELECT * FROM audit_log").is_empty());
    // Nothing comes twice, and no id is used again.
    assert_error(folder.import(pool_with_tokens()), &["2 client tokens"]);
    assert_eq!(folder.query(tokens), expected);
    let insert = "INSERT INTO client_tokens (prefix, digest, name, created_at, updated_at)
        VALUES ('kp_fake-3', x'04', 'Cem', '', '')";
    folder.connection().execute_batch(insert).unwrap();
    assert_eq!(folder.query("SELECT max(id) FROM client_tokens"), ["10|"]);
}

#[test]
fn unusable_client_tokens_are_noted() {
    let folder = Folder::new();
    let digest = "01".repeat(32);
    let notes = folder
        .import(format!(
            "CREATE TABLE client_tokens (id, prefix, digest, name, expires_at, secret,
             created_at, updated_at);
             INSERT INTO client_tokens (id, prefix, digest, name, expires_at) VALUES
             (1, 'kp_fake-1', x'{digest}', 'Anna', NULL),
             (2, 'kp_fake-2', x'{digest}', 'Ben', NULL),
             (3, 'kp_fake-3', NULL, 'Cem', NULL), (4, 'kp_fake-4', 'kp_fake-4', 'Dan', 'soon');"
        ))
        .unwrap();
    assert_eq!(
        folder.query("SELECT id, name FROM client_tokens"),
        ["1|Anna|", "4|Dan|"]
    );
    assert_eq!(
        notes,
        "client_tokens.digest is not a digest; the token does not work: id 3, 4\n\
         client_tokens.expires_at is not a valid time: id 4\n\
         client_tokens.id is skipped: it has no digest, prefix or name, or another row has its \
         digest or id: id 2, 3\n\
         ignored columns that the pool does not have: client_tokens.secret\n"
    );
}

#[test]
fn rejects_database_with_data() {
    for data in [
        "INSERT INTO api_keys (api_key) VALUES ('AIzaFAKE-9')",
        "INSERT INTO client_tokens (prefix, digest, name, created_at, updated_at)
         VALUES ('kp_fake', x'00', 'Anna', '', '')",
        "INSERT INTO api_call_logs (api_key_id, success) VALUES (1, 1)",
        "INSERT INTO api_call_logs (api_key_id, success) VALUES (1, 1); DELETE FROM api_call_logs",
    ] {
        let folder = Folder::new();
        migrate(&folder).execute_batch(data).unwrap();
        let all = "SELECT count(*) FROM api_keys UNION ALL SELECT count(*) FROM client_tokens
            UNION ALL SELECT count(*) FROM api_call_logs UNION ALL SELECT sum(calls) FROM api_call_hours";
        let before = folder.query(all);
        assert_error(folder.import(calls()), &["already has data", "--state-dir"]);
        assert_eq!(folder.query(all), before);
    }
}

#[test]
fn rejects_empty_tables_with_foreign_key() {
    let folder = Folder::new();
    folder.connection().execute_batch(SCHEMA).unwrap();
    assert_error(folder.import(calls()), &["those of an earlier deployment"]);
}

#[test]
fn rejects_database_in_use() {
    let folder = Folder::new();
    let idle = migrate(&folder);
    let in_use = ["it is in use; stop the pool"];
    assert_error(folder.import(calls()), &in_use);
    drop(idle);
    let writing = folder.connection();
    writing
        .execute_batch("PRAGMA journal_mode = DELETE; BEGIN IMMEDIATE")
        .unwrap();
    assert_error(folder.import(calls()), &in_use);
    drop(writing);
    folder.import(calls()).unwrap();
}

#[test]
fn dump_of_a_pool_keeps_all_columns() {
    let folder = Folder::new();
    let notes = folder
        .import(
            "CREATE TABLE schema_migrations (id);
             CREATE TABLE IF NOT EXISTS \"api_keys\" (id INTEGER PRIMARY KEY, api_key TEXT,
             project TEXT);
             INSERT INTO api_keys VALUES(1,'AIzaFAKE-1','projects/1');
             CREATE TABLE api_call_logs (id INTEGER PRIMARY KEY, api_key_id, success, called_at,
             model, outcome, input_tokens);
             INSERT INTO api_call_logs VALUES(1,1,1,'2025-01-02T03:04:05.000Z','m','success',7);
             CREATE TABLE api_call_hours (hour); INSERT INTO api_call_hours VALUES ('x');
             CREATE TRIGGER count_api_call AFTER INSERT ON api_call_logs
             BEGIN SELECT 1; SELECT 2; END;
             CREATE INDEX idx_api_call_logs_called_at ON api_call_logs (called_at);",
        )
        .unwrap();
    assert_eq!(notes, "");
    assert_eq!(
        folder.query("SELECT project, priority, status FROM api_keys"),
        ["projects/1|100|1|"]
    );
    assert_eq!(
        folder.query(
            "SELECT hour, api_key_id, model, outcome, calls, input_tokens FROM api_call_hours"
        ),
        ["2025-01-02T03:00:00.000Z|1|m|success|1|7|"]
    );
}
