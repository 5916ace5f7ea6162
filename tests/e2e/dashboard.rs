//! Operators use the dashboard with a browser.

use crate::clients::node_modules;
use crate::support::{ADMIN_TOKEN, Setup, TOKEN};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;

const READ_TOKEN: &str = "fake-admin-read-token-for-tests";
/// The format of the fake's keys, as SQLite's `printf` has it.
const KEYS: &str = "AIzaFAKE-key-of-the-test-pool-%09d";
/// The checks of the suite.
const CHECKS: usize = 24;

#[tokio::test]
async fn every_view_and_action_works_in_a_browser() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The history of the demo, with the keys of the fake.
    let history = std::fs::read_to_string(root.join("xtask/src/up/demo.sql")).unwrap();
    let history = history.replace("not-a-real-key-for-the-demo-%04d", KEYS);
    let folder = TempDir::new().unwrap();
    let dump = folder.path().join("history.sql");
    std::fs::write(&dump, history).unwrap();
    let app = Setup::with(12, &[("gemini_api_key", ""), ("admin_token", ADMIN_TOKEN)])
        .variable("admin_read_token", READ_TOKEN)
        .import(&dump)
        .start()
        .await;
    let unconfigured = Setup::keys(1).start().await;
    let suite = Command::new("node")
        .arg(root.join("tests/clients/dashboard_suite.mjs"))
        .args([
            &app.origin(),
            &unconfigured.origin(),
            ADMIN_TOKEN,
            READ_TOKEN,
            TOKEN,
        ])
        .arg(root.join("target/screenshots"))
        .current_dir(node_modules())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(600), suite).await;
    let output = output.expect("the suite ends").expect("node");
    let lines = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let passed = lines.lines().filter(|line| line.ends_with("\tok"));
    assert_eq!(passed.count(), CHECKS, "{lines}\n{errors}");
}
