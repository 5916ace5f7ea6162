//! Affinity: a resource is used with the key that created it, or another key of its project.

use crate::support::{Answer, Setup, TestApp, key};
use fake_gemini::Condition;
use http::Method;
use serde_json::json;

const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";

/// A pool of six keys in three projects: 1 and 4, 2 and 5, 3 and 6.
async fn app() -> TestApp {
    let setup = Setup::projects(6, |number| number % 3);
    let app = setup.without_memory().start().await;
    app.assert_ready().await;
    app.execute("UPDATE api_keys SET priority = 100, project = 'projects/00000000000' || (id % 3)");
    app
}

/// The name of a resource in an answer, which must be a success.
#[track_caller]
fn name_in(answer: &Answer) -> String {
    answer.assert_status(200);
    answer.json()["name"].as_str().unwrap().to_owned()
}

/// Uploads a text in the same way as Google's clients, and returns the file.
async fn upload(app: &TestApp, text: &str) -> serde_json::Value {
    let metadata = r#"{"file":{"displayName":"a text"}}"#;
    let length = text.len().to_string();
    let begun = app.client.post("/upload/v1beta/files", metadata).google();
    let begun = begun
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header("x-goog-upload-header-content-length", &length)
        .header("x-goog-upload-header-content-type", "text/plain")
        .send()
        .await;
    begun.assert_status(200);
    let url = begun.header("x-goog-upload-url").unwrap();
    let Some(path) = url.strip_prefix(&app.origin()) else {
        panic!("the upload should continue at the pool, not at {url}");
    };
    // No credential is needed: the URL is one.
    let (first, second) = text.split_at(text.len() / 2);
    let send = async |offset: usize, command: &str, chunk: &str| {
        let request = app.client.post(path, chunk);
        let request = request.header("x-goog-upload-command", command);
        let request = request.header("x-goog-upload-offset", &offset.to_string());
        let sent = request.send().await;
        sent.assert_status(200);
        sent
    };
    send(0, "upload", first).await;
    let ended = send(first.len(), "upload, finalize", second).await;
    assert_eq!(ended.header("x-goog-upload-status"), Some("final"));
    ended.json()["file"].clone()
}

#[tokio::test]
async fn uploads_uses_and_deletes_a_file() {
    let app = app().await;
    // With 12 rounds, only about one run in 10,000 uses just two of the six keys.
    for _ in 0..12 {
        let file = upload(&app, "Hello from a file").await;
        let (name, uri) = (&file["name"], &file["uri"]);
        let path = format!("/v1beta/{}", name.as_str().unwrap());
        let data = json!({"fileData": {"mimeType": "text/plain", "fileUri": uri}});
        let uses = json!({"contents": [{"parts": [data]}]}).to_string();
        for _ in 0..5 {
            let answer = app.google(Method::POST, GENERATE, &uses).await;
            answer.assert_status(200);
            let found = app.google(Method::GET, &path, "").await;
            assert_eq!(found.json()["name"], *name);
        }
        let gone = app.google(Method::DELETE, &path, "").await;
        gone.assert_status(200);
    }
    let used = app.log_rows("count(DISTINCT api_key_id) > 2");
    assert_eq!(used, ["1"], "the rounds use different keys");
    let outcomes = app.rows("SELECT DISTINCT outcome FROM api_call_logs");
    assert_eq!(outcomes, ["success"]);
    let left = app.rows("SELECT count(*) FROM resources WHERE name LIKE 'files/%'");
    assert_eq!(left, ["0"]);
}

#[tokio::test]
async fn routes_caches_batches_and_videos_to_their_owner() {
    let app = app().await;
    for _ in 0..3 {
        let cache = r#"{"model":"models/gemini-2.5-flash","contents":[{"role":"user","parts":[{"text":"long"}]}]}"#;
        let cache = app.google(Method::POST, "/v1beta/cachedContents", cache);
        let name = name_in(&cache.await);
        let uses = json!({"cachedContent": name, "contents": [{"parts": [{"text": "Hello"}]}]});
        let chat = json!({
            "model": "gemini-2.5-flash",
            "messages": [{"role": "user", "content": "Hello"}],
            "extra_body": {"google": {"cached_content": name}},
        });
        let path = format!("/v1beta/{name}");
        for _ in 0..3 {
            let answer = app.google(Method::POST, GENERATE, &uses.to_string()).await;
            answer.assert_status(200);
            app.chat(chat.to_string()).await.assert_status(200);
            let ttl = r#"{"ttl":"600s"}"#;
            let patched = app.google(Method::PATCH, &path, ttl).await;
            patched.assert_status(200);
        }
        let video = "/v1beta/models/veo-3.1-generate-preview:predictLongRunning";
        let prompt = r#"{"instances":[{"prompt":"a cat"}]}"#;
        let operation = name_in(&app.google(Method::POST, video, prompt).await);
        let operation = format!("/v1beta/{operation}");
        let file = upload(&app, "{\"custom_id\":\"1\"}\n").await;
        let batch = json!({
            "input_file_id": file["name"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        });
        let batch = app.post("/v1/batches", batch.to_string()).await;
        batch.assert_status(200);
        let batch = format!("/v1/batches/{}", batch.json()["id"].as_str().unwrap());
        for _ in 0..3 {
            let found = app.google(Method::GET, &operation, "").await;
            found.assert_status(200);
            app.get(&batch).await.assert_status(200);
        }
    }
    let outcomes = app.rows("SELECT DISTINCT outcome FROM api_call_logs");
    assert_eq!(outcomes, ["success"]);
}

#[tokio::test]
async fn falls_back_to_another_key_of_the_owners_project() {
    let app = app().await;
    let file = upload(&app, "Hello").await;
    let path = format!("/v1beta/{}", file["name"].as_str().unwrap());
    let owner = app.rows("SELECT api_key_id FROM resources WHERE name LIKE 'files/%'");
    let owner: usize = owner[0].parse().unwrap();
    app.gemini.set_condition(&key(owner), Condition::Invalid);
    for _ in 0..6 {
        let found = app.google(Method::GET, &path, "").await;
        found.assert_status(200);
    }
    let project = owner % 3;
    app.execute(&format!(
        "UPDATE api_keys SET status = 0 WHERE id % 3 = {project}"
    ));
    let gone = app.google(Method::GET, &path, "").await;
    gone.assert_status(404);
    gone.assert_contains("RESOURCE_OWNER_GONE");
    app.execute("DELETE FROM api_keys WHERE status = 0");
    let gone = app.google(Method::GET, &path, "").await;
    gone.assert_status(404);
}
