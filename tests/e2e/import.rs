//! Databases of earlier deployments, loaded by `keypool import-sql` and served.

use crate::clients::{node_modules, python};
use crate::support::{CHAT, Setup, TestApp, key, soon};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use tokio::process::Command;

const SCHEMA: &str = include_str!("../fixtures/worker_schema.sql");

/// Rows of an earlier deployment, in its schema.
fn rows() -> String {
    let (one, two, three) = (key(1), key(2), key(3));
    format!(
        "INSERT INTO api_keys (id, api_key, name, priority, total_calls, success_calls) VALUES
            (1, '{one}', 'it''s; \"1\"', NULL, NULL, NULL), (2, '{two}', 'line ' || char(10) || '二', 0, 7, 5);
         INSERT INTO api_keys (id, api_key, priority, status) VALUES (3, '{three}', 80, 0), (9, 'AIzaFAKE-gone', 10, 0);
         INSERT INTO api_call_logs (id, api_key_id, success, response_status, error_message, response_time_ms, called_at) VALUES
            (1, 1, 1, 200, NULL, 812, '2025-06-01 12:34:56'), (2, 2, 0, 429, 'a' || char(13, 10) || 'b', 95, '2025-06-01T12:00:00.000Z'),
            (3, 3, 0, NULL, NULL, NULL, NULL);
         INSERT INTO api_call_logs (api_key_id, success) VALUES (1, 1);
         DELETE FROM api_keys WHERE id = 9;"
    )
}

/// Exports a local D1 database with Cloudflare's tool.
async fn export_of_d1(folder: &Path) {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "wrangler.toml",
        "name = \"worker\"\n[[d1_databases]]\nbinding = \"DB\"\ndatabase_name = \"pool\"\n\
         database_id = \"00000000-0000-0000-0000-000000000001\"\n",
    );
    write("rows.sql", &format!("{SCHEMA}{}", rows()));
    let wrangler = node_modules().join("node_modules/wrangler/bin/wrangler.js");
    for arguments in [
        ["execute", "pool", "--local", "--file=rows.sql"],
        ["export", "pool", "--local", "--output=dump.sql"],
    ] {
        let run = Command::new("node")
            .arg(&wrangler)
            .arg("d1")
            .args(arguments)
            .current_dir(folder)
            // Ignore the developer's settings, and send no telemetry.
            .env("HOME", folder)
            .env("XDG_CONFIG_HOME", folder)
            .env("CI", "1")
            .env("NODE_ENV", "test")
            .env("WRANGLER_SEND_METRICS", "false")
            .output();
        let output = soon("wrangler's end", run).await.unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{out}\n{error}");
    }
    let dump = std::fs::read_to_string(folder.join("dump.sql")).unwrap();
    let is_of_d1 = dump.starts_with("PRAGMA defer_foreign_keys=TRUE;");
    assert!(is_of_d1, "{dump}");
}

/// Dumps a file with Python's module, in the format of the `sqlite3` shell.
async fn dump_by_python(database: &Path, dump: &Path) {
    let script = "import sqlite3, sys\nwith open(sys.argv[2], 'w') as dump:\n    \
                  dump.writelines(line + '\\n' for line in sqlite3.connect(sys.argv[1]).iterdump())";
    let run = Command::new(python())
        .args(["-c", script])
        .args([database, dump])
        .status();
    assert!(soon("Python's end", run).await.unwrap().success());
}

async fn start(dump: &Path) -> TestApp {
    let variables = [("gemini_api_key", ""), ("log_retention_days", "0")];
    Setup::with(3, &variables).import(dump).start().await
}

/// Checks that the pool has each of the [`rows`] once, and that it works.
async fn check(app: &TestApp) {
    let keys = app.keys_status().await;
    let calls = |key: &Value| json!([key["id"], key["name"], key["total_calls"]]);
    let calls: Vec<_> = keys.iter().map(calls).collect();
    let expected = json!([[1, "it's; \"1\"", 0], [2, "line \n二", 7], [3, null, 0]]);
    assert_eq!(json!(calls), expected);
    app.serve_chats(4).await;
    assert!(!app.used_keys().contains(&Some(3)));
    assert_eq!(app.key_rows("priority, status"), ["100|1", "100|1", "80|0"]);
    assert_eq!(app.key_rows("sum(total_calls)"), ["11"]);
    assert_eq!(
        app.rows("SELECT id, api_key_id, success, response_status, hex(error_message), called_at FROM api_call_logs WHERE id <= 3"),
        [
            "1|1|1|200||2025-06-01 12:34:56",
            "2|2|0|429|610D0A62|2025-06-01T12:00:00.000Z",
            "3|3|0|NULL||",
        ]
    );
    assert_eq!(
        app.rows(
            "SELECT count(*), max(id), (SELECT sum(calls) FROM api_call_hours) FROM api_call_logs"
        ),
        ["8|8|8"]
    );
    assert_eq!(
        app.rows("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'api_call_logs' ORDER BY name"),
        ["idx_logs_api_key_id", "idx_logs_called_at", "idx_logs_success"]
    );
    app.execute(
        "PRAGMA foreign_keys = ON; DELETE FROM api_keys WHERE id = 3; INSERT INTO api_keys (api_key) VALUES ('AIzaFAKE-new')",
    );
    assert_eq!(app.key_rows("max(id)"), ["10"]);
    let rows = app.rows("SELECT id FROM api_call_logs WHERE api_key_id = 3");
    assert_eq!(rows, ["3"]);
}

#[tokio::test]
async fn serves_an_export_of_cloudflare_d1() {
    let folder = TempDir::new().unwrap();
    export_of_d1(folder.path()).await;
    check(&start(&folder.path().join("dump.sql")).await).await;
}

#[tokio::test]
async fn serves_a_dump_of_a_sqlite_file() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    rusqlite::Connection::open(path("d1.sqlite"))
        .unwrap()
        .execute_batch(&format!("{SCHEMA}{}", rows()))
        .unwrap();
    dump_by_python(&path("d1.sqlite"), &path("dump.sql")).await;
    check(&start(&path("dump.sql")).await).await;
}

#[tokio::test]
async fn loads_the_dump_of_another_pool() {
    let folder = TempDir::new().unwrap();
    let dump = folder.path().join("dump.sql");
    let mut first = Setup::keys(2).start().await;
    for _ in 0..3 {
        assert_eq!(first.chat(CHAT).await.status, 200);
    }
    first.stop().await;
    dump_by_python(&first.database(), &dump).await;

    let second = start(&dump).await;
    for rows in [
        "SELECT id, api_key, name, priority, status, total_calls, last_success_at FROM api_keys",
        "SELECT * FROM api_call_logs",
        "SELECT * FROM api_call_hours",
    ] {
        assert_eq!(second.rows(rows), first.rows(rows));
    }
    assert_eq!(second.chat(CHAT).await.status, 200);
}
