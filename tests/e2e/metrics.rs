//! `GET /metrics`, read by Prometheus's own `promtool` and compared with the log.

use crate::support::{CHAT, STREAM, Setup, TestApp};
use crate::tokens::{OPERATOR, create};
use fake_gemini::{Reply, errors};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SCRAPER: &str = "fake-metrics-token-for-tests-1";

async fn scrape(app: &TestApp) -> String {
    let request = app.client.get("/metrics");
    let token = format!("Bearer {SCRAPER}");
    let answer = request.header("authorization", &token).send().await;
    answer.assert_status(200);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(content_type));
    answer.body
}

/// The samples of a metric, by their labels.
fn samples(metrics: &str, name: &str) -> BTreeMap<String, String> {
    let samples = metrics.lines().filter_map(|line| line.strip_prefix(name));
    let samples = samples.filter(|rest| rest.starts_with(['{', ' ']));
    let samples = samples.map(|rest| rest.rsplit_once(' ').unwrap());
    samples
        .map(|(labels, value)| (labels.to_owned(), value.to_owned()))
        .collect()
}

/// Rows of labels and their value, as a metric should have them.
fn expected(app: &TestApp, query: &str) -> BTreeMap<String, String> {
    let rows = app.rows(query).into_iter();
    rows.map(|row| {
        let (labels, value) = row.rsplit_once('|').unwrap();
        (format!("{{{labels}}}"), value.to_owned())
    })
    .collect()
}

/// Checks metrics with the `promtool` that `cargo xtask test` prepares. It reads Prometheus's older
/// format, in which a counter is described by the name of its samples.
fn check_with_promtool(metrics: &str) {
    let prepared = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/promtool/usr/bin/promtool");
    let promtool = std::env::var_os("KEYPOOL_TEST_PROMTOOL").map_or(prepared, PathBuf::from);
    let checking = Command::new(&promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut checking = checking.unwrap_or_else(|error| {
        panic!(
            "{}: {error}; `cargo xtask test --only clients` installs it",
            promtool.display()
        )
    });
    let mut text = metrics.to_owned();
    let types = metrics.lines().filter_map(|it| it.strip_prefix("# TYPE "));
    for counter in types.filter_map(|described| described.strip_suffix(" counter")) {
        for word in ["TYPE", "HELP"] {
            let described = format!("# {word} {counter} ");
            text = text.replace(&described, &format!("# {word} {counter}_total "));
        }
    }
    let mut input = checking.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = checking.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success() && told.is_empty(), "{told}\n{text}");
}

/// A pool whose every request has an instance of its own.
async fn start() -> TestApp {
    Setup::with(2, &[("metrics_token", SCRAPER), ("admin_token", OPERATOR)])
        .without_memory()
        .start()
        .await
}

async fn make_calls(app: &TestApp) {
    app.execute("UPDATE api_keys SET priority = -1000 WHERE id = 2");
    app.script(Reply::error(errors::overloaded()));
    app.serve_chats(5).await;
    app.chat(STREAM).await.assert_status(200);
    app.chat(CHAT.replace("2.5-flash", "2.5-pro"))
        .await
        .assert_status(200);
    let token = create(app, serde_json::json!({"name": "n"})).await;
    let request = app.client.post("/v1/chat/completions", CHAT);
    let token = format!("Bearer {token}");
    let answer = request.header("authorization", &token).send().await;
    answer.assert_status(200);
}

#[track_caller]
fn assert_agrees_with_the_log(app: &TestApp, metrics: &str) {
    let by_token = "'model=\"' || model || '\",token=\"' || coalesce(token_id, 0) || '\"'";
    let [requests, answers] = ["attempt = 1", "success"]
        .map(|counted| format!("SELECT {by_token}, sum({counted}) FROM api_call_logs GROUP BY 1"));
    let tokens = ["input", "output", "thinking", "cached"].map(|kind| {
        format!(
            "SELECT {by_token} || ',kind=\"{kind}\"', coalesce(sum({kind}_tokens), 0) FROM api_call_logs GROUP BY 1"
        )
    });
    let durations = (0..13).map(|doubled| {
        let bound_ms = 64 << doubled;
        format!(
            "SELECT 'model=\"' || model || '\",le=\"{}.{:03}\"', sum(response_time_ms < {bound_ms}) FROM api_call_logs GROUP BY 1",
            bound_ms / 1000,
            bound_ms % 1000
        )
    });
    let durations: Vec<String> = durations
        .chain(["SELECT 'model=\"' || model || '\",le=\"+Inf\"', count(*) FROM api_call_logs GROUP BY 1".to_owned()])
        .collect();
    for (name, query) in [
        (
            "keypool_attempts_total",
            "SELECT 'key=\"' || api_key_id || '\",model=\"' || model || '\",outcome=\"' || outcome || '\"', count(*)
             FROM api_call_logs GROUP BY 1",
        ),
        ("keypool_requests_total", &requests),
        ("keypool_answers_total", &answers),
        ("keypool_tokens_total", &tokens.join(" UNION ALL ")),
        ("keypool_attempt_duration_seconds_bucket", &durations.join(" UNION ALL ")),
        (
            "keypool_attempt_duration_seconds_sum",
            "SELECT 'model=\"' || model || '\"', printf('%d.%03d', sum(response_time_ms) / 1000, sum(response_time_ms) % 1000)
             FROM api_call_logs GROUP BY 1",
        ),
        (
            "keypool_first_byte_seconds_count",
            "SELECT 'model=\"' || model || '\"', count(first_byte_ms) FROM api_call_logs GROUP BY 1",
        ),
    ] {
        let expected = expected(app, query);
        assert!(!expected.is_empty(), "{name}");
        assert_eq!(samples(metrics, name), expected, "{name}");
    }
}

#[tokio::test]
async fn metrics_agree_with_the_log_and_survive_a_restart() {
    let mut app = start().await;
    app.assert_ready().await;
    check_with_promtool(&scrape(&app).await);
    make_calls(&app).await;
    let before = scrape(&app).await;
    check_with_promtool(&before);
    assert_agrees_with_the_log(&app, &before);
    let attempts = app.log_rows("count(*), sum(attempt = 1)");
    assert_eq!(attempts, ["9|8"], "the other key served the first request");
    let usable = samples(&before, "keypool_key_usable");
    assert_eq!(usable.len(), 2, "{usable:?}");

    app.restart().await;
    let counted = |metrics: &str| {
        let counters = ["attempts", "requests", "answers", "tokens"];
        counters.map(|counter| samples(metrics, &format!("keypool_{counter}_total")))
    };
    assert_eq!(counted(&scrape(&app).await), counted(&before));
    app.serve_chats(1).await;
    assert_agrees_with_the_log(&app, &scrape(&app).await);
}

#[tokio::test]
async fn statements_that_failed_are_counted_when_the_database_works_again() {
    let app = Setup::with(1, &[("metrics_token", SCRAPER)]).start().await;
    app.serve_chats(1).await;
    let errors = |metrics: &str| samples(metrics, "keypool_database_errors_total")[""].clone();
    assert_eq!(errors(&scrape(&app).await), "0");
    let lock = app.lock();
    app.serve_chats(1).await;
    drop(lock);
    // The instance that has seen the lock adds them.
    app.serve_chats(1).await;
    app.rows_become("SELECT errors > 0 FROM database_errors", &["1"])
        .await;
    assert_ne!(errors(&scrape(&app).await), "0");
}
