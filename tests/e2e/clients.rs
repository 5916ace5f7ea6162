//! Unmodified clients of others.

use crate::support::{Setup, TOKEN, key, soon};
use fake_gemini::{Answer, Reply};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// A stream that ends in the middle of an event.
const CUT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\",\"role\":\"assistant\"},\"index\":0}],\"object\":\"chat.completion.chunk\"}\n\ndata: {\"choices\":[{\"del";

/// The interpreter of the environment that `cargo xtask test` prepares.
fn python() -> PathBuf {
    let prepared = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/python/bin/python");
    let python = std::env::var_os("KEYPOOL_TEST_PYTHON").map_or(prepared, PathBuf::from);
    assert!(
        python.is_file(),
        "{} is missing; `cargo xtask test --only clients` makes it",
        python.display()
    );
    python
}

#[tokio::test]
async fn the_official_python_client_chats_streams_and_gets_typed_errors() {
    let app = Setup::keys(1).start().await;
    let hello = || Reply::answer(Answer::words("Hello from the other side"));
    for reply in [hello(), hello(), Reply::raw(200, "text/event-stream", CUT)] {
        app.gemini.script(&key(1), reply);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/openai_chat.py");
    let run = Command::new(python())
        .arg(script)
        .env_clear()
        .env("OPENAI_BASE_URL", format!("{}/v1", app.origin()))
        .env("OPENAI_API_KEY", TOKEN)
        .output();
    let output = soon("the client's end", run).await.unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(
        out.lines().collect::<Vec<_>>(),
        [
            "chat: Hello from the other side",
            "stream: Hello from the other side",
            "broken stream: APIError upstream_answer_broken",
            "wrong token: AuthenticationError 401 invalid_client_token",
            "bad request: BadRequestError 400 messages",
        ],
        "{err}"
    );

    let calls = app.gemini.calls();
    assert_eq!(
        calls.len(),
        3,
        "what was refused did not reach the upstream"
    );
    assert_eq!(
        calls.iter().map(|call| call.stream).collect::<Vec<_>>(),
        [false, true, true]
    );
    assert_eq!(
        app.rows("SELECT count(*), sum(success) FROM api_call_logs"),
        ["3|2"]
    );
}
