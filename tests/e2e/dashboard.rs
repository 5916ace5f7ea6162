//! Operators use the dashboard with a browser.

use crate::clients::node_modules;
use crate::support::{ADMIN_TOKEN, CHAT, Request, Setup, TOKEN, TestApp, key};
use fake_gemini::Condition;
use http::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;

const READ_TOKEN: &str = "fake-admin-read-token-for-tests";
/// The format of the fake's keys, as SQLite's `printf` has it.
const KEYS: &str = "AIzaFAKE-key-of-the-test-pool-%09d";

/// 1,000 keys, and a million calls within three days.
const MANY: &str = "
CREATE TABLE api_call_logs (id INTEGER PRIMARY KEY, api_key_id INTEGER, success INTEGER,
    response_status INTEGER, error_message TEXT, response_time_ms INTEGER, called_at TEXT,
    request_id TEXT, model TEXT, attempt INTEGER, outcome TEXT, first_byte_ms INTEGER,
    input_tokens INTEGER, output_tokens INTEGER);
INSERT INTO api_call_logs
WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 999999)
SELECT NULL, 1 + n * 7919 % 1000, n % 20 <> 0, iif(n % 20, 200, 429),
    iif(n % 20, NULL, 'You exceeded your current quota (made up)'), 300 + n * 31 % 5000,
    strftime('%Y-%m-%dT%H:%M:%fZ', unixepoch('now', '-3 days') + n * 0.2592, 'unixepoch'),
    printf('req_%012x%020x', (unixepoch('now', '-3 days') + n * 0.2592) * 1000, n),
    iif(n % 3, 'gemini-2.5-flash', 'gemini-2.5-pro'), 1,
    iif(n % 20, 'success', 'quota_per_minute'), 200, 100, 50 FROM n;
CREATE TABLE api_keys (id INTEGER PRIMARY KEY, api_key TEXT, name TEXT, status INTEGER,
    project TEXT, tags TEXT);
INSERT INTO api_keys
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
SELECT n, printf('AIzaFAKE-key-of-the-test-pool-%09d', n), 'key ' || n, iif(n % 50, 1, 0),
    'projects/' || (n / 4), json_array('tag-' || (n % 10)) FROM n;";

/// A pool that begins with the data of a dump.
fn with_data(folder: &TempDir, keys: usize, dump: &str) -> Setup {
    let file = folder.path().join("dump.sql");
    std::fs::write(&file, dump).unwrap();
    operated(keys).import(&file)
}

fn operated(keys: usize) -> Setup {
    Setup::with(
        keys,
        &[("gemini_api_key", ""), ("admin_token", ADMIN_TOKEN)],
    )
    .variable("admin_read_token", READ_TOKEN)
}

/// Runs the checks of the suite, of which so many must pass.
async fn run_suite(origins: Value, checks: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut argument = json!({
        "token": ADMIN_TOKEN,
        "readToken": READ_TOKEN,
        "clientToken": TOKEN,
        "screenshots": root.join("target/screenshots"),
    });
    argument
        .as_object_mut()
        .unwrap()
        .extend(origins.as_object().unwrap().clone());
    let suite = Command::new("node")
        .arg(root.join("tests/clients/dashboard_suite.mjs"))
        .arg(argument.to_string())
        .current_dir(node_modules())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(600), suite).await;
    let output = output.expect("the suite ends").expect("node");
    let lines = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{lines}{errors}");
    let passed = lines.lines().filter(|line| line.ends_with("\tok"));
    assert_eq!(passed.count(), checks, "{lines}\n{errors}");
}

/// Google refuses keys 5 and 9, as in the demo, which the pool finds out.
async fn refuse_two_keys(app: &TestApp) {
    app.gemini.set_condition(&key(5), Condition::Invalid);
    app.gemini.set_condition(&key(9), Condition::ServiceBlocked);
    let operator = format!("Bearer {ADMIN_TOKEN}");
    let operate = async |request: Request| {
        let answer = request.header("authorization", &operator).send().await;
        answer.assert_status(200);
    };
    operate(app.client.post("/admin/api/v1/keys/5/test", "")).await;
    // The next call chooses key 9.
    let edit = |body: &str| {
        let path = "/admin/api/v1/keys/9";
        app.client.request(Method::PATCH, path).body(body)
    };
    operate(edit(r#"{"priority":1000000}"#)).await;
    app.client.chat(CHAT).send().await.assert_status(200);
    operate(edit(r#"{"priority":100}"#)).await;
}

#[tokio::test]
async fn every_view_and_action_works_in_a_browser() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The history of the demo, with the keys of the fake.
    let history = std::fs::read_to_string(root.join("xtask/src/up/demo.sql")).unwrap();
    let history = history.replace("not-a-real-key-for-the-demo-%04d", KEYS);
    let folder = TempDir::new().unwrap();
    let app = with_data(&folder, 12, &history).start().await;
    refuse_two_keys(&app).await;
    let unconfigured = Setup::keys(1).start().await;
    let empty = operated(0).start().await;
    let origins = json!({
        "pool": app.origin(),
        "unconfigured": unconfigured.origin(),
        "empty": empty.origin(),
    });
    run_suite(origins, 31).await;
}

#[tokio::test]
async fn many_keys_and_calls_fit_in_the_dashboard() {
    let folder = TempDir::new().unwrap();
    let app = with_data(&folder, 1000, MANY).start().await;
    run_suite(json!({ "large": app.origin() }), 6).await;
}
