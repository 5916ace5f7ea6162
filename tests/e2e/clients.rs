//! Unmodified third-party clients.
//!
//! Each suite in `tests/clients` runs twice: against the fake Gemini, and against a pool in front
//! of it. Nothing that works directly may fail through the pool, and through the pool everything
//! works. Each test lists the checks that the pool repairs. `translated` has the clients of APIs that
//! Google does not serve.

mod translated;

use crate::support::{Setup, TOKEN, key, soon};
use fake_gemini::{
    Answer, Break, Call, FakeGemini, Finish, MidStream, Reply, Surface, ToolCall, errors,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::process::Command;

/// A stream that ends in the middle of an event.
const CUT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\",\"role\":\"assistant\"},\"index\":0}],\"object\":\"chat.completion.chunk\"}\n\ndata: {\"choices\":[{\"del";

/// The versions of the clients.
#[derive(Debug, Clone, Copy)]
enum Release {
    Newest,
    /// The previous major versions, which many still use, and which Node 20 requires.
    Previous,
}

/// The interpreter of the environment that `cargo xtask test` prepares.
pub(crate) fn python() -> PathBuf {
    interpreter("KEYPOOL_TEST_PYTHON", "python")
}

fn interpreter(variable: &str, folder: &str) -> PathBuf {
    let prepared = target(&format!("clients/{folder}/bin/python"));
    let python = std::env::var_os(variable).map_or(prepared, PathBuf::from);
    assert!(
        python.is_file(),
        "{} is missing; `cargo xtask test --only clients` makes it",
        python.display()
    );
    python
}

fn target(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target")
        .join(path)
}

#[tokio::test]
async fn the_official_python_client_gets_typed_errors() {
    let app = Setup::keys(1).start().await;
    let hello = || Reply::answer(Answer::words("Hello from the other side"));
    for reply in [hello(), hello(), Reply::raw(200, "text/event-stream", CUT)] {
        app.script(reply);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/openai_chat.py");
    let run = Command::new(python())
        .arg(script)
        .env_clear()
        .env("OPENAI_BASE_URL", format!("{}/v1", app.origin()))
        .env("OPENAI_API_KEY", TOKEN)
        .output();
    let output = soon("the client's end", run).await.unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{out}\n{err}");
    let expected = [
        "chat: Hello from the other side",
        "stream: Hello from the other side",
        "broken stream: APIError upstream_answer_broken",
        "wrong token: AuthenticationError 401 invalid_client_token",
        "bad request: BadRequestError 400 messages",
    ];
    assert!(out.lines().eq(expected), "{out}\n{err}");

    let calls = app.gemini.calls();
    assert_eq!(calls.len(), 3, "refused requests do not reach the upstream");
    let are_streams = calls.iter().map(|call| call.stream);
    assert!(are_streams.eq([false, true, true]));
    assert_eq!(app.log_rows("count(*), sum(success)"), ["3|2"]);
}

/// The number of keys of the pool under test, each in its own project.
const KEYS: usize = 3;

/// What the Node suites import from this folder.
const SHARED: [&str; 2] = ["suite.mjs", "agent_loops.mjs"];

/// The number of Node suites started so far.
static RUNS: AtomicUsize = AtomicUsize::new(0);

/// The result of each check of a suite, by name.
type Results = BTreeMap<String, String>;

/// Parallel tool calls, if the prompt asks for them and contains no result yet. Gemini 3 signs only
/// the first call.
fn both_tools(call: &Call) -> Option<Answer> {
    let body = String::from_utf8_lossy(&call.body);
    let results = ["tool_call_id", "functionResponse", "function_response"];
    let has_result = results
        .iter()
        .any(|name| body.contains(&format!("\"{name}\"")));
    if !body.contains("both tools at once") || !body.contains("\"weather\"") || has_result {
        return None;
    }
    let of = |name: &str| {
        let id = format!("call_{name}_{}", call.number);
        ToolCall::new(name, r#"{"city":"Oslo"}"#).id(id)
    };
    let signed = of("weather").signature(format!("c2lnbmF0dXJl{:04}", call.number));
    let answer = Answer::tool_calls([signed, of("time")]).finish_apart();
    Some(answer.finish_in_streams(Finish::Stop))
}

/// The failure that a prompt asks for: an exhausted quota, once per key, or a broken stream.
fn fail_as_asked(asks: impl Fn(&str) -> bool, over_quota: &AtomicUsize) -> Option<Reply> {
    if asks("be over quota once") {
        let order = Ordering::Relaxed;
        return Some(
            match over_quota.try_update(order, order, |left| left.checked_sub(1)) {
                Ok(_) => {
                    let wait = Duration::from_secs(3);
                    Reply::error(errors::quota_per_minute("gemini-2.5-pro", 100, wait))
                }
                Err(_) => Reply::answer(Answer::words("Hello again")),
            },
        );
    }
    asks("break off").then(|| {
        let error = Break::Error(errors::overloaded(), MidStream::Unframed);
        Reply::events(5).break_after(2, error)
    })
}

/// Replies to the suites' prompts. A prompt that asks for an exhausted quota gets one error per
/// key.
fn play(call: &Call, over_quota: &AtomicUsize) -> Reply {
    let model = call.model.as_deref().unwrap_or_default();
    if model.contains("gemini-3") {
        if let Some(answer) = both_tools(call) {
            return Reply::answer(answer);
        }
        // Two consecutive tool calls, or JSON, if the prompt asks for them.
        let answer = Answer::words("Hello from the other side");
        return Reply::answer(answer.as_asked(call));
    }
    let body = String::from_utf8_lossy(&call.body);
    let asks = |words: &str| body.contains(words);
    if let Some(reply) = fail_as_asked(asks, over_quota) {
        return reply;
    }
    if asks("a long answer") {
        return Reply::events(100).gap(Duration::from_millis(10));
    }
    if asks("\"tools\"") {
        // As in 2025: no ids, no indices, and "stop" at the end of a stream.
        let call = |name| ToolCall::new(name, r#"{"city":"Oslo"}"#).id("");
        let answer =
            Answer::tool_calls([call("weather"), call("time")]).finish_in_streams(Finish::Stop);
        return Reply::answer(answer);
    }
    if asks("json_schema") || asks("application/json") {
        return Reply::answer(Answer::text(r#"{"name":"Ada","year":1815}"#));
    }
    let answer = Answer::words("Hello from the other side");
    if asks("no ids, please") {
        return Reply::answer(answer.without_id());
    }
    Reply::answer(answer)
}

/// Runs a suite. Suites for Google's clients take an origin, the others a base URL.
async fn run(suite: &str, release: Release, origin: &str, openai_path: &str, key: &str) -> Results {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let mut copies = Vec::new();
    let (program, script) = if suite.ends_with(".py") {
        let python = match release {
            Release::Newest => python(),
            Release::Previous => interpreter("KEYPOOL_TEST_PYTHON_PREVIOUS", "python-previous"),
        };
        (python, scripts.join(suite))
    } else {
        // Node resolves packages from the script's folder. Suites may run concurrently, each twice.
        let folder = node_modules();
        let own = RUNS.fetch_add(1, Ordering::Relaxed);
        let name_of = |name: &str| format!("{}-{own}-{name}", std::process::id());
        for name in [suite].into_iter().chain(SHARED) {
            let mut text = std::fs::read_to_string(scripts.join(name)).unwrap();
            if let Release::Previous = release {
                text = text
                    .replace("from \"openai", "from \"openai6")
                    .replace("from \"@google/genai", "from \"genai2");
            }
            for shared in SHARED {
                text = text.replace(&format!("./{shared}"), &format!("./{}", name_of(shared)));
            }
            let copy = folder.join(name_of(name));
            std::fs::write(&copy, text).unwrap();
            copies.push(copy);
        }
        (PathBuf::from("node"), folder.join(name_of(suite)))
    };
    let ended = Command::new(program)
        .arg(script)
        .env("OPENAI_BASE_URL", format!("{origin}{openai_path}"))
        .env("OPENAI_API_KEY", key)
        .env("ANTHROPIC_BASE_URL", origin)
        .env("ANTHROPIC_API_KEY", key)
        .env_remove("ANTHROPIC_AUTH_TOKEN")
        .env("GOOGLE_GEMINI_BASE_URL", origin)
        .env("GEMINI_API_KEY", key)
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .env("PYTHONPYCACHEPREFIX", target("clients/bytecode"))
        .output();
    let output = tokio::time::timeout(Duration::from_secs(180), ended)
        .await
        .unwrap_or_else(|_| panic!("{suite} did not end"))
        .unwrap();
    for copy in copies {
        let _ = std::fs::remove_file(copy);
    }
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{suite}: {out}\n{err}");
    let lines = out.lines().filter_map(|line| line.split_once('\t'));
    let results: Results = lines
        .map(|(name, result)| (name.to_owned(), result.to_owned()))
        .collect();
    assert!(!results.is_empty(), "{suite}: {out}\n{err}");
    if results.values().any(|result| result != "ok") {
        println!("{err}");
    }
    results
}

/// The folder with the packages that `cargo xtask test` installs.
pub(crate) fn node_modules() -> PathBuf {
    let prepared = target("clients/node");
    let folder = std::env::var_os("KEYPOOL_TEST_NODE").map_or(prepared, PathBuf::from);
    assert!(
        folder.join("node_modules/openai6").is_dir(),
        "{} has no packages; `cargo xtask test --only clients` installs them",
        folder.display()
    );
    folder
}

/// Runs a suite both ways. The checks in `repaired` fail directly, which proves that the fake has
/// the quirks. Those in `flaky` may fail directly, depending on the timing of packets.
async fn compare(suite: &str, release: Release, repaired: &[&str], flaky: &[&str]) {
    let over_quota = AtomicUsize::new(1);
    let gemini = FakeGemini::builder()
        .key(key(1))
        .default_reply(move |call| play(call, &over_quota))
        .start()
        .await
        .unwrap();
    let directly = run(suite, release, &gemini.origin(), "/v1beta/openai", &key(1)).await;
    let over_quota = AtomicUsize::new(KEYS);
    let app = Setup::projects(KEYS, |number| number)
        .gemini(|gemini| gemini.default_reply(move |call| play(call, &over_quota)))
        .start()
        .await;
    let through = run(suite, release, &app.origin(), "/v1", TOKEN).await;

    println!("{suite} {release:?}: check, directly, through the pool");
    for (name, result) in &through {
        let short = |text: &str| text.chars().take(38).collect::<String>();
        println!("{name:42} {:40} {}", short(&directly[name]), short(result));
    }
    assert!(directly.keys().eq(through.keys()), "{directly:?}");
    for (name, result) in &through {
        assert_eq!(result, "ok", "{suite}: {name} through the pool");
    }
    let failed = directly.iter().filter(|(_, result)| *result != "ok");
    let failed = failed.map(|(name, _)| name.as_str());
    let failed: Vec<&str> = failed.filter(|name| !flaky.contains(name)).collect();
    assert_eq!(failed, repaired, "{suite}: what fails directly");
    let calls = app.gemini.calls();
    for call in calls {
        assert!(call.surface != Some(Surface::Compat) || call.credentials.len() == 1);
    }
}

/// The checks that fail directly in all of OpenAI's clients for Python.
const OPENAI_PYTHON: [&str; 11] = [
    "bad_request",
    "chunks_have_one_id",
    "model",
    "models",
    "no_such_model",
    "streamed_usage",
    "tool_loop_streamed",
    "tools",
    "tools_streamed",
    "unsupported_fields",
    "wrong_key",
];

#[tokio::test]
async fn the_official_openai_client_for_python_works() {
    compare("openai_suite.py", Release::Newest, &OPENAI_PYTHON, &[]).await;
}

#[tokio::test]
async fn the_previous_openai_client_for_python_works() {
    compare("openai_suite.py", Release::Previous, &OPENAI_PYTHON, &[]).await;
}

#[tokio::test]
async fn the_official_openai_client_for_node_works() {
    let repaired = [
        "bad_request",
        "models",
        "run_tools",
        "run_tools_streamed",
        "streamed_usage",
        "tools",
        "tools_streamed",
        "unsupported_fields",
        "wrong_key",
    ];
    compare("openai_suite.mjs", Release::Newest, &repaired, &[]).await;
}

#[tokio::test]
async fn the_previous_openai_client_for_node_works() {
    let repaired = [
        "bad_request",
        "embeddings_are_the_same_in_either_encoding",
        "models",
        "no_such_model",
        "run_tools",
        "run_tools_streamed",
        "streamed_usage",
        "tools",
        "tools_streamed",
        "unsupported_fields",
        "wrong_key",
    ];
    compare("openai_suite.mjs", Release::Previous, &repaired, &[]).await;
}

#[tokio::test]
async fn googles_client_for_python_works() {
    compare("genai_suite.py", Release::Newest, &[], &[]).await;
}

#[tokio::test]
async fn googles_previous_client_for_python_works() {
    compare("genai_suite.py", Release::Previous, &[], &[]).await;
}

#[tokio::test]
async fn googles_client_for_node_works() {
    let flaky = ["error_within_a_stream"];
    compare("genai_suite.mjs", Release::Newest, &[], &flaky).await;
}

#[tokio::test]
async fn googles_previous_client_for_node_works() {
    let flaky = ["error_within_a_stream"];
    compare("genai_suite.mjs", Release::Previous, &[], &flaky).await;
}

#[tokio::test]
async fn langchain_works() {
    let repaired = ["streamed", "tools", "tools_streamed"];
    compare("langchain_suite.py", Release::Newest, &repaired, &[]).await;
}

#[tokio::test]
async fn agents_in_python_go_through_three_steps() {
    let repaired = [
        "langchain_openai",
        "langchain_openai_parallel",
        "langchain_openai_parallel_streamed",
        "langchain_openai_streamed",
        "litellm_openai_parallel_streamed",
        "litellm_openai_streamed",
    ];
    compare("agents_suite.py", Release::Newest, &repaired, &[]).await;
}

#[tokio::test]
async fn agents_in_node_go_through_three_steps() {
    let repaired = [
        "ai_sdk_openai",
        "ai_sdk_openai_parallel",
        "ai_sdk_openai_parallel_streamed",
        "ai_sdk_openai_streamed",
    ];
    compare("agents_suite.mjs", Release::Newest, &repaired, &[]).await;
}
