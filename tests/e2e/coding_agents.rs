//! Unmodified coding agents: each edits a file over several turns, on a pool whose keys fail. Claude
//! Code also goes on after its conversation has become too long.
//!
//! The upstream plays the model by Google's rules: it signs the first call of each step, and refuses
//! the next turn unless all signatures come back.

use crate::clients::node_modules;
use crate::support::{Setup, TOKEN, TestApp};
use fake_gemini::{Answer, Call, Plan, Reply, ToolCall, errors};
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;

const MODEL: &str = "gemini-3.8-flash";
const BEFORE: &str = "one\ntwo\nthree\n";
const AFTER: &str = "one\nTWO\nthree\n";

/// A folder with a file to edit, and one for the agent's settings.
struct Desk {
    work: TempDir,
    home: TempDir,
}

impl Desk {
    fn new() -> Self {
        let work = tempfile::tempdir().unwrap();
        std::fs::write(work.path().join("notes.txt"), BEFORE).unwrap();
        let home = tempfile::tempdir().unwrap();
        Self { work, home }
    }

    fn notes(&self) -> String {
        std::fs::read_to_string(self.work.path().join("notes.txt")).unwrap()
    }

    fn path(&self) -> String {
        self.work
            .path()
            .join("notes.txt")
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// Runs a program of a Node package, with nothing of this process's environment that could
    /// change how the agent works.
    async fn run(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let run = Command::new("node")
            .arg(node_modules().join("node_modules").join(program))
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .envs(variables.iter().copied())
            .current_dir(self.work.path())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(Duration::from_secs(120), run);
        let output = output.await.expect("the agent does not end").unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{out}\n{err}");
        out
    }
}

/// A pool of three keys for a planned conversation.
async fn pool() -> TestApp {
    Setup::projects(3, |number| number).start().await
}

/// The error of a project whose quota is used up for a moment.
fn over_quota() -> Reply {
    Reply::error(errors::quota_per_minute(MODEL, 10, Duration::from_secs(30)))
}

fn tool(name: &str, arguments: serde_json::Value) -> ToolCall {
    ToolCall::new(name, arguments.to_string())
}

/// Asserts that a key died in the third turn and that another was out of quota in the fourth, and
/// that every turn was answered all the same.
fn assert_survived(app: &TestApp, turns: usize) {
    let outcomes = app.log_rows("outcome");
    let count = |name: &str| outcomes.iter().filter(|row| *row == name).count();
    assert_eq!(count("success"), turns, "{outcomes:?}");
    assert_eq!(count("key_rejected"), 1, "{outcomes:?}");
    assert_eq!(count("quota_per_minute"), 1, "{outcomes:?}");
    assert_eq!(outcomes.len(), turns + 2, "{outcomes:?}");
}

#[tokio::test]
async fn codex_edits_a_file() {
    let desk = Desk::new();
    let app = pool().await;
    let shell = |command: &str| tool("exec_command", serde_json::json!({ "cmd": command }));
    let patch = "apply_patch <<'P'\n*** Begin Patch\n*** Update File: notes.txt\n@@\n one\n-two\n+TWO\n three\n*** End Patch\nP";
    app.gemini.play(
        Plan::new()
            .answers(
                Answer::words("I will look at the file.")
                    .thoughts("**Looking around**")
                    .and_tool_calls([shell("cat notes.txt")]),
            )
            .calls([shell("ls"), shell("wc -l notes.txt")])
            .calls([shell(patch)])
            .failing(Reply::error(errors::key_expired()))
            .calls([shell("cat notes.txt")])
            .failing(over_quota())
            .says("The second line is in capitals."),
    );
    let config = format!(
        "model_provider = \"pool\"\nmodel = \"{MODEL}\"\ncheck_for_update_on_startup = false\n\
         [model_providers.pool]\nname = \"pool\"\nbase_url = \"{}/v1\"\nwire_api = \"responses\"\n\
         env_key = \"KEYPOOL_TOKEN\"\n[analytics]\nenabled = false\n",
        app.origin()
    );
    let settings = desk.home.path().join(".codex");
    std::fs::create_dir(&settings).unwrap();
    std::fs::write(settings.join("config.toml"), config).unwrap();
    let arguments = [
        "exec",
        "--skip-git-repo-check",
        "--dangerously-bypass-approvals-and-sandbox",
        "--json",
        "Write the second line of notes.txt in capitals.",
    ];
    let out = desk
        .run(
            "@openai/codex/bin/codex.js",
            &arguments,
            &[("KEYPOOL_TOKEN", TOKEN)],
        )
        .await;
    assert!(out.contains("The second line is in capitals."), "{out}");
    assert_eq!(desk.notes(), AFTER, "{out}");
    assert_survived(&app, 5);
}

#[tokio::test]
async fn claude_code_edits_a_file() {
    let desk = Desk::new();
    let app = pool().await;
    let path = desk.path();
    let bash = |command: &str| tool("Bash", serde_json::json!({ "command": command }));
    let read = || tool("Read", serde_json::json!({ "file_path": path }));
    let edit = tool(
        "Edit",
        serde_json::json!({ "file_path": path, "old_string": "two", "new_string": "TWO" }),
    );
    app.gemini.play(
        Plan::new()
            .answers(
                Answer::words("I will look at the file.")
                    .thoughts("**Looking around**")
                    .and_tool_calls([read()]),
            )
            .calls([bash("ls"), bash("wc -l notes.txt; exit 3")])
            .calls([edit])
            .failing(Reply::error(errors::key_expired()))
            .calls([read()])
            .failing(over_quota())
            .says("The second line is in capitals."),
    );
    let out = claude_code(
        &desk,
        &app,
        "Write the second line of notes.txt in capitals.",
    )
    .await;
    assert!(out.contains("The second line is in capitals."), "{out}");
    assert_eq!(desk.notes(), AFTER, "{out}");
    assert_survived(&app, 5);
}

async fn claude_code(desk: &Desk, app: &TestApp, prompt: &str) -> String {
    let arguments = [
        "-p",
        prompt,
        "--model",
        MODEL,
        "--output-format",
        "stream-json",
        "--verbose",
        "--permission-mode",
        "bypassPermissions",
    ];
    let origin = app.origin();
    let variables = [
        ("ANTHROPIC_BASE_URL", origin.as_str()),
        ("ANTHROPIC_AUTH_TOKEN", TOKEN),
        // Root may bypass permissions only in a sandbox.
        ("IS_SANDBOX", "1"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
    ];
    let program = "@anthropic-ai/claude-code/cli-wrapper.cjs";
    desk.run(program, &arguments, &variables).await
}

const SUMMARY: &str = "The second line of notes.txt is `two`.";

/// Refuses a conversation with two results as too long, until a summary replaces them.
fn shorten(plan: &Plan, call: &Call) -> Reply {
    let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
    let contents = body["contents"].as_array().map_or(&[][..], Vec::as_slice);
    let has = |content: &serde_json::Value, text: &str| content.to_string().contains(text);
    let results = contents.iter().filter(|it| has(it, "functionResponse"));
    let results = results.count();
    match contents.last() {
        Some(last) if has(last, "detailed summary") => {
            Reply::answer(Answer::text(format!("<summary>{SUMMARY}</summary>")))
        }
        Some(_) if contents.iter().any(|it| has(it, SUMMARY)) => {
            Reply::answer(Answer::text("It has three lines."))
        }
        Some(_) if results >= 2 => Reply::error(errors::input_too_long(1_048_576)),
        Some(_) | None => plan.reply(call),
    }
}

#[tokio::test]
async fn claude_code_shortens_a_conversation_that_is_too_long() {
    let desk = Desk::new();
    let bash = |command: &str| tool("Bash", serde_json::json!({ "command": command }));
    let plan = Plan::new()
        .calls([bash("cat notes.txt")])
        .calls([bash("wc -l notes.txt")]);
    let app = Setup::projects(3, |number| number)
        .gemini(|gemini| gemini.default_reply(move |call| shorten(&plan, call)))
        .start()
        .await;
    let out = claude_code(&desk, &app, "How many lines has notes.txt?").await;
    assert!(out.contains("It has three lines."), "{out}");
    assert!(out.contains("compact_boundary"), "{out}");
    let outcomes = app.log_rows("outcome");
    assert_eq!(
        outcomes,
        ["success", "success", "client_fault", "success", "success"]
    );
}
