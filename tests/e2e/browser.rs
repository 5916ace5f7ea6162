//! A page of another origin in a real browser uses OpenAI's and Google's clients.

use crate::clients::node_modules;
use crate::support::{Setup, TOKEN, key, soon};
use fake_gemini::{Answer, Call, Reply, Steps, errors};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

const EVENTS: usize = 5;

/// A stream whose events the test releases one by one.
type Stepped = Arc<Mutex<Option<Steps>>>;

/// Replies to the page's prompts.
fn play(call: &Call, stepped: &Stepped) -> Reply {
    let body = String::from_utf8_lossy(&call.body);
    if body.contains("step by step") {
        let (reply, steps) = Reply::stepped(EVENTS);
        steps.release(1);
        *stepped.lock().unwrap() = Some(steps);
        return reply;
    }
    if body.contains("never ends") {
        let (reply, steps) = Reply::stepped(2);
        steps.release(1);
        return reply;
    }
    if call.model.as_deref() == Some("gemini-2.5-pro") {
        let wait = Duration::from_secs(30);
        return Reply::error(errors::quota_per_minute("gemini-2.5-pro", 100, wait));
    }
    Reply::answer(Answer::words("Hello from the other side"))
}

#[tokio::test]
async fn a_page_of_another_origin_can_use_the_pool() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/browser_suite.mjs");
    let mut suite = Command::new("node")
        .arg(script)
        .current_dir(node_modules())
        .env("OPENAI_API_KEY", TOKEN)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node");
    let mut lines = BufReader::new(suite.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line = tokio::time::timeout(Duration::from_secs(120), lines.next_line()).await;
        line.expect("the page makes progress").unwrap()
    };
    let line = next().await.expect("the page's origin");
    let origin = line.strip_prefix("origin\t").expect(&line);

    let stepped = Stepped::default();
    let steps = Arc::clone(&stepped);
    let app = Setup::keys(1)
        .variable("allowed_origins", origin)
        .gemini(|gemini| gemini.default_reply(move |call| play(call, &steps)))
        .start()
        .await;
    let pool = format!("{}\n", app.origin());
    let mut stdin = suite.stdin.take().unwrap();
    stdin.write_all(pool.as_bytes()).await.unwrap();

    let mut read = 0;
    let mut results = BTreeMap::new();
    while let Some(line) = next().await {
        match line.split_once('\t') {
            Some((name, result)) => {
                results.insert(name.to_owned(), result.to_owned());
            }
            None => {
                read += 1;
                stepped.lock().unwrap().as_ref().unwrap().release(1);
            }
        }
    }
    let status = soon("the suite's end", suite.wait()).await.unwrap();
    assert!(status.success(), "{status}");
    let all_passed = results.values().all(|result| result == "ok");
    assert!(all_passed, "{results:?}");
    assert_eq!(results.len(), 10, "{results:?}");
    assert!(read >= EVENTS, "{read} reads: events were held back");
    let outcomes = "SELECT DISTINCT outcome FROM api_call_logs ORDER BY 1";
    let expected = ["client_gone", "quota_per_minute", "success"];
    app.rows_become(outcomes, &expected).await;
    for call in app.gemini.calls() {
        assert_eq!(call.key, Some(key(1)));
    }
}
