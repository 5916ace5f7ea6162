//! Operators sign in with a browser.

use crate::clients::node_modules;
use crate::support::{ADMIN_TOKEN, Setup, TestApp};
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

const SESSION: &str = "/admin/api/v1/session";
const KEYS: &str = "/admin/api/v1/keys";

async fn start() -> TestApp {
    let setup = Setup::keys(1).variable("admin_token", ADMIN_TOKEN);
    setup.start().await
}

#[tokio::test]
async fn a_browser_keeps_a_session_from_pages_of_other_origins() {
    let app = start().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/session_suite.mjs");
    let suite = Command::new("node")
        .arg(script)
        .args([&app.origin(), ADMIN_TOKEN, &format!("{KEYS}/1/disable")])
        .current_dir(node_modules())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(120), suite).await;
    let output = output.expect("the suite ends").expect("node");
    let lines = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let passed = lines.lines().filter(|line| line.ends_with("\tok"));
    assert_eq!(passed.count(), 7, "{lines}\n{errors}");
    let changes = "SELECT action, actor FROM audit_log";
    assert_eq!(app.rows(changes), ["disable_key|admin_token"]);
}

#[tokio::test]
async fn a_session_works_in_all_instances_until_its_token_changes() {
    let mut app = start().await;
    let signed_in = app.client.request(http::Method::POST, SESSION);
    let signed_in = signed_in
        .header("authorization", &format!("Bearer {ADMIN_TOKEN}"))
        .send()
        .await;
    signed_in.assert_status(200);
    let cookie = signed_in.header("set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let list = async |app: &TestApp| {
        let request = app.client.get(KEYS).header("cookie", &cookie);
        request.send().await
    };
    list(&app).await.assert_status(200);
    app.restart().await;
    list(&app).await.assert_status(200);
    app.restart_with(&[("admin_token", "fake-admin-token-for-tests-0002")])
        .await;
    let ended = list(&app).await;
    ended.assert_status(401);
    assert_eq!(ended.json()["code"], "session_ended");
    // The upstream never sees it.
    app.client
        .post("/v1/chat/completions", crate::support::CHAT)
        .authorized()
        .header("cookie", &cookie)
        .send()
        .await
        .assert_status(200);
    let [call] = &app.gemini.calls()[..] else {
        panic!("one call");
    };
    assert!(!call.headers.contains_key("cookie"));
}
