//! Google's native API through the pool.

use crate::support::{Client, PATIENCE, Request, Setup, TOKEN, TestApp, key};
use fake_gemini::{Answer, Break, Condition, MidStream, Reply, Surface, errors};
use http::Method;

const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const STREAM: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
const ARRAY: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
const CONTENTS: &str = r#"{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}"#;
const ROWS: &str = "SELECT model, attempt, outcome, output_tokens > 0 FROM api_call_logs";

fn call(client: &Client, path: &str) -> Request {
    client.post(path, CONTENTS).google()
}

/// The bytes that a client gets directly from the upstream.
async fn direct(app: &TestApp, path: &str) -> String {
    let direct = Client::of_upstream(app.gemini.address());
    let request = direct.post(path, CONTENTS);
    let answer = request.header("x-goog-api-key", &key(1)).send().await;
    answer.assert_status(200);
    answer.body
}

#[tokio::test]
async fn passes_every_kind_of_answer_unchanged() {
    let app = Setup::keys(1).start().await;
    for path in [
        GENERATE,
        STREAM,
        ARRAY,
        "/v1/models/gemini-2.5-flash:generateContent",
        "/v1beta/models/gemini-2.5-flash:countTokens",
    ] {
        let answer = || Reply::answer(Answer::words("Hello from the other side"));
        app.script(answer());
        let expected = direct(&app, path).await;
        app.script(answer());
        let through = call(&app.client, path).send().await;
        assert_eq!(through.status, 200, "{path}");
        let (through, expected) = (without_ids(&through.body), without_ids(&expected));
        assert_eq!(through, expected, "{path}");
    }
    assert_eq!(
        app.rows(ROWS),
        [
            "gemini-2.5-flash|1|success|1",
            "gemini-2.5-flash|1|success|1",
            "gemini-2.5-flash|1|success|1",
            "gemini-2.5-flash|1|success|1",
            "gemini-2.5-flash:countTokens|1|success|NULL",
        ]
    );
    for call in app.gemini.calls() {
        assert_eq!(call.surface, Some(Surface::Native));
    }
}

/// Removes ids, which differ between answers.
fn without_ids(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some(at) = rest.find("\"responseId\"") {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let mut quotes = after.match_indices('"').skip(3);
        rest = quotes.next().map_or("", |(end, _)| &after[end + 1..]);
    }
    out + rest
}

#[tokio::test]
async fn a_bad_key_is_never_reported_as_401() {
    for path in [GENERATE, STREAM, ARRAY] {
        let app = Setup::keys(3).start().await;
        app.gemini.set_condition(&key(1), Condition::Invalid);
        let quota = errors::quota_per_day("gemini-2.5-flash", 20, PATIENCE);
        app.gemini.script(&key(2), Reply::error(quota));
        for _ in 0..6 {
            let answer = call(&app.client, path).send().await;
            answer.assert_status(200);
            answer.assert_contains("\"finishReason\"");
        }
        let outcomes = app.rows("SELECT DISTINCT outcome FROM api_call_logs ORDER BY outcome");
        assert!(outcomes.contains(&"success".to_owned()), "{outcomes:?}");
    }
}

#[tokio::test]
async fn reports_a_failure_within_a_stream_in_an_event() {
    let app = Setup::keys(1).start().await;
    let overloaded = |framing| Break::Error(errors::overloaded(), framing);
    for (how, outcome) in [
        (overloaded(MidStream::Unframed), "model_overloaded"),
        (overloaded(MidStream::Object), "model_overloaded"),
        (Break::Reset, "upstream_trouble"),
        (Break::End, "upstream_trouble"),
    ] {
        app.script(Reply::events(5).break_after(2, how));
        let answer = call(&app.client, STREAM).send().await;
        let error = answer.body.rsplit("data: ").next().unwrap();
        let error: serde_json::Value = serde_json::from_str(error).expect(&answer.body);
        assert!(error["error"]["code"].as_u64() >= Some(500), "{error}");
        assert_eq!(app.log_rows("outcome").pop().unwrap(), outcome);
    }
}

#[tokio::test]
async fn passes_lists_vectors_and_unknown_methods() {
    let app = Setup::keys(1).start().await;
    let get = async |path: &str| app.client.get(path).google().send().await;
    let models = get("/v1beta/models?pageSize=2").await;
    models.assert_status(200);
    assert_eq!(models.json()["models"].as_array().unwrap().len(), 2);
    let model = get("/v1beta/models/gemini-2.5-flash").await;
    assert_eq!(model.json()["name"], "models/gemini-2.5-flash");
    let path = "/v1beta/models/gemini-embedding-001:embedContent";
    let content = r#"{"content":{"parts":[{"text":"Hello"}]}}"#;
    let vector = app.google(Method::POST, path, content).await;
    assert!(vector.json()["embedding"]["values"].is_array());
    let input = r#"{"model":"gemini-embedding-001","input":["a","b"]}"#;
    let openai = app.post("/v1/embeddings", input).await;
    assert_eq!(openai.json()["data"].as_array().unwrap().len(), 2);
    let listed = app.get("/v1/models").await;
    assert_eq!(listed.json()["object"], "list");

    let new = get("/v1beta/what/comes/next").await;
    new.assert_status(404);
    assert_eq!(new.json()["error"]["code"], 404);
    let new = app.client.request(Method::PUT, "/v1/what/comes/next");
    let new = new.authorized().send().await;
    new.assert_error(404, "invalid_request");
}

#[tokio::test]
async fn a_token_in_the_query_is_not_forwarded() {
    let app = Setup::keys(1).start().await;
    let path = format!("{GENERATE}?key={TOKEN}");
    let answer = app.client.post(&path, CONTENTS).send().await;
    answer.assert_status(200);
    let calls = app.gemini.calls();
    assert!(!format!("{:?}", calls[0]).contains(TOKEN));
    assert!(!app.output().contains(TOKEN));
}
