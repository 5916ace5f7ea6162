//! The commands of `keypool` against a running pool.

use crate::support::{ADMIN_TOKEN, CHAT, Setup, TestApp, key, keypool, soon};
use serde_json::Value;
use std::process::Output;

pub(crate) async fn app(keys: usize) -> TestApp {
    let app = Setup::with(keys, &[("admin_token", ADMIN_TOKEN)])
        .without_memory()
        .start()
        .await;
    app.assert_ready().await;
    app
}

/// Runs a command as an operator.
async fn run(app: &TestApp, arguments: &[&str]) -> Output {
    let run = keypool()
        .args(arguments)
        .env("KEYPOOL_URL", app.origin())
        .env("KEYPOOL_ADMIN_TOKEN", ADMIN_TOKEN)
        .output();
    soon("the command's end", run).await.unwrap()
}

/// The output of a command that must succeed.
pub(crate) async fn output(app: &TestApp, arguments: &[&str]) -> String {
    let output = run(app, arguments).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) async fn json(app: &TestApp, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&output(app, &arguments).await).unwrap()
}

#[tokio::test]
async fn keys_are_listed_edited_and_taken_out_of_use() {
    let app = app(3).await;
    let edit = [
        "keys",
        "edit",
        "2",
        "--name",
        "Anna",
        "--priority",
        "7",
        "--tag",
        "a",
        "--tag",
        "b",
    ];
    let table = output(&app, &edit).await;
    for expected in ["Anna", "a, b", "active"] {
        assert!(table.contains(expected), "{expected} is not in\n{table}");
    }
    output(&app, &["keys", "disable", "1", "3", "--reason", "leaked"]).await;
    let disabled = json(&app, &["keys", "list", "--status", "disabled"]).await;
    let ids: Vec<&Value> = disabled
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["id"])
        .collect();
    assert_eq!(ids, [1, 3]);
    app.chat(CHAT).await.assert_status(200);
    assert_eq!(app.gemini.calls()[0].key, Some(key(2)));
    output(&app, &["keys", "reset", "1"]).await;
    output(
        &app,
        &["keys", "pause", "2", "--until", "2090-01-01T00:00:00Z"],
    )
    .await;
    output(&app, &["keys", "delete", "3"]).await;
    assert_eq!(
        run(&app, &["keys", "show", "3"]).await.status.code(),
        Some(1)
    );
    for (id, state) in [("1", "active"), ("2", "cooling")] {
        assert_eq!(json(&app, &["keys", "show", id]).await[0]["status"], state);
    }
}

#[tokio::test]
async fn keys_are_imported_and_tested() {
    let app = app(1).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.csv");
    let rows: Vec<String> = (1..=10)
        .map(|number| format!("{},name {number}", key(number)))
        .collect();
    std::fs::write(&file, format!("key,name\n{}\nbad key,x\n", rows.join("\n"))).unwrap();
    let file = file.to_str().unwrap();
    let dry = output(&app, &["keys", "import", file, "--dry-run"]).await;
    assert!(
        dry.contains("9 would be added, 1 duplicate, 0 known to be dead, 1 malformed."),
        "{dry}"
    );
    let added = json(&app, &["keys", "import", file]).await;
    assert_eq!(added["counts"]["new"], 9);
    let tested = output(&app, &["keys", "test"]).await;
    for expected in ["success", "key_rejected", "name 10"] {
        assert!(tested.contains(expected), "{expected} is not in\n{tested}");
    }
    let exported = output(&app, &["keys", "export"]).await;
    assert_eq!(exported.lines().count(), 10);
    for number in 1..=10 {
        assert!(
            ![&dry, &tested, &exported]
                .iter()
                .any(|text| text.contains(&key(number)))
        );
    }
}

#[tokio::test]
async fn the_state_and_a_draw_are_explained() {
    let app = app(2).await;
    output(&app, &["keys", "disable", "2", "--reason", "too expensive"]).await;
    let status = output(&app, &["status"]).await;
    let explained = output(&app, &["explain", "gemini-2.5-flash"]).await;
    for (text, expected) in [
        (&status, "2 keys: 1 active, 0 cooling, 1 disabled."),
        (&status, "too expensive"),
        (
            &explained,
            "1 of 2 keys can take a call for gemini-2.5-flash now.",
        ),
        (&explained, "too expensive"),
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
        assert!(!text.contains(&key(2)), "{text}");
        assert!(
            !text.contains('\u{1b}'),
            "colours are for terminals: {text}"
        );
    }
}

#[tokio::test]
async fn calls_are_listed_shown_and_exported() {
    let app = app(1).await;
    let answer = app.chat(CHAT).await;
    let id = answer.header("x-request-id").unwrap();
    app.chat(CHAT).await;
    let listed = json(&app, &["calls", "list", "--limit", "1"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let failed = json(&app, &["calls", "list", "--failed"]).await;
    assert_eq!(failed, Value::Array(Vec::new()));
    let shown = output(&app, &["calls", "show", id]).await;
    assert!(shown.contains(id) && shown.contains("success"), "{shown}");
    let lines = output(&app, &["calls", "export"]).await;
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(
        (lines.lines().count(), &first["request_id"]),
        (2, &id.into())
    );
    let csv = output(
        &app,
        &["calls", "export", "--format", "csv", "--status", "200"],
    )
    .await;
    let names = csv.lines().next().unwrap();
    assert!(names.starts_with("id,called_at,request_id,"), "{names}");
    assert!(csv.lines().nth(1).unwrap().contains(id), "{csv}");
    assert_eq!(csv.lines().count(), 3);
    // No progress bar without a terminal.
    let export = run(&app, &["calls", "export", "--failed"]).await;
    assert_eq!((export.stdout, export.stderr), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn a_colleagues_token_and_its_calls() {
    let app = app(1).await;
    let created = output(
        &app,
        &["tokens", "create", "Anna", "--requests-per-minute", "60"],
    )
    .await;
    let token = created.lines().next().unwrap();
    assert!(token.starts_with("kp_"), "{created}");
    let bearer = format!("Bearer {token}");
    let call = app.client.post("/v1/chat/completions", CHAT);
    call.header("authorization", &bearer)
        .send()
        .await
        .assert_status(200);
    app.chat(CHAT).await.assert_status(200);
    for (id, name) in [("1", Some(1)), ("0", None)] {
        let calls = json(&app, &["calls", "list", "--token", id]).await;
        assert_eq!(calls.as_array().unwrap().len(), 1);
        assert_eq!(calls[0]["token_id"], Value::from(name));
    }
    let rotated = json(&app, &["tokens", "rotate", "1"]).await;
    assert_ne!(rotated["token"], token);
    output(&app, &["tokens", "disable", "1"]).await;
    let listed = output(&app, &["tokens", "list"]).await;
    for expected in ["Anna", "disabled", "kp_", "60"] {
        assert!(listed.contains(expected), "{expected} is not in\n{listed}");
    }
    assert!(!listed.contains(token), "{listed}");
    output(&app, &["tokens", "delete", "1"]).await;
    assert_eq!(
        json(&app, &["tokens", "list"]).await,
        Value::Array(Vec::new())
    );
}

#[tokio::test]
async fn failures_say_what_to_do() {
    let app = app(1).await;
    let unknown = run(&app, &["keys", "show", "9"]).await;
    let wrong = keypool()
        .args(["status", "--url", &app.origin()])
        .env("KEYPOOL_ADMIN_TOKEN", "wrong-token-0001")
        .output();
    let wrong = soon("the command's end", wrong).await.unwrap();
    let none = keypool().args(["status", "--url", &app.origin()]).output();
    let none = soon("the command's end", none).await.unwrap();
    for (output, expected) in [
        (unknown, "No key has the id 9."),
        (wrong, "The client token is wrong."),
        (none, "set KEYPOOL_ADMIN_TOKEN"),
    ] {
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(expected), "{expected} is not in\n{error}");
        assert!(!error.contains("wrong-token"), "{error}");
    }
    let mistake = run(&app, &["keys", "show", "nine"]).await;
    assert_eq!(mistake.status.code(), Some(2));
}

#[tokio::test]
async fn forecasts_and_settings_are_shown() {
    let app = app(1).await;
    app.execute(
        "INSERT INTO limits (scope, model, unit, per, preset) VALUES ('key:1', '', 'requests', 'day', 7)",
    );
    let budget = &json(&app, &["forecast"]).await["items"][0];
    assert_eq!(
        (&budget["scope"], &budget["limit"]),
        (&"key:1".into(), &7.into())
    );
    let table = output(&app, &["forecast"]).await;
    assert!(table.contains("key:1"), "{table}");
    let table = output(&app, &["settings"]).await;
    assert!(
        table.contains("max_attempts") && table.contains("(a secret)"),
        "{table}"
    );
    assert!(!table.contains(ADMIN_TOKEN), "{table}");
}
