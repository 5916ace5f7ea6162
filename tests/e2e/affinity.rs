//! Affinity: a resource is used with the key that created it, or another key of its project.

use crate::support::{Answer, Client, Setup, TOKEN, TestApp, key};
use fake_gemini::Condition;
use http::Method;

const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";

/// A pool of six keys in three projects: 1 and 4, 2 and 5, 3 and 6.
async fn app() -> TestApp {
    let setup = (1..=6).fold(Setup::keys(6), |setup, number| {
        setup.gemini(|gemini| {
            gemini.key_of_project(key(number), format!("projects/00000000000{}", number % 3))
        })
    });
    let app = setup.without_memory().start().await;
    app.client.get("/readyz").send().await;
    app.execute("UPDATE api_keys SET priority = 100, project = 'projects/00000000000' || (id % 3)");
    app
}

async fn google(client: &Client, method: Method, path: &str, body: &str) -> Answer {
    client
        .request(method, path)
        .header("x-goog-api-key", TOKEN)
        .body(body)
        .send()
        .await
}

/// Uploads a text in the same way as Google's clients, and returns the file.
async fn upload(app: &TestApp, text: &str) -> serde_json::Value {
    let begun = app
        .client
        .post(
            "/upload/v1beta/files",
            r#"{"file":{"displayName":"a text"}}"#,
        )
        .header("x-goog-api-key", TOKEN)
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header(
            "x-goog-upload-header-content-length",
            &text.len().to_string(),
        )
        .header("x-goog-upload-header-content-type", "text/plain")
        .send()
        .await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let url = begun.header("x-goog-upload-url").unwrap();
    let path = url
        .strip_prefix(&app.origin())
        .unwrap_or_else(|| panic!("the upload should continue at the pool, not at {url}"));
    // No credential is needed: the URL is one.
    let (first, second) = text.split_at(text.len() / 2);
    let mut ended = None;
    for (offset, command, chunk) in [
        (0, "upload", first),
        (first.len(), "upload, finalize", second),
    ] {
        let sent = app
            .client
            .post(path, chunk)
            .header("x-goog-upload-command", command)
            .header("x-goog-upload-offset", &offset.to_string())
            .send()
            .await;
        assert_eq!(sent.status, 200, "{}", sent.body);
        ended = Some(sent);
    }
    let ended = ended.unwrap();
    assert_eq!(ended.header("x-goog-upload-status"), Some("final"));
    ended.json()["file"].clone()
}

#[tokio::test]
async fn uploads_uses_and_deletes_a_file() {
    let app = app().await;
    // With 12 rounds, only about one run in 10,000 uses just two of the six keys.
    for round in 0..12 {
        let file = upload(&app, "Hello from a file").await;
        let (name, uri) = (
            file["name"].as_str().unwrap(),
            file["uri"].as_str().unwrap(),
        );
        let uses = format!(
            r#"{{"contents":[{{"parts":[{{"fileData":{{"mimeType":"text/plain","fileUri":"{uri}"}}}}]}}]}}"#
        );
        for _ in 0..5 {
            let answer = google(&app.client, Method::POST, GENERATE, &uses).await;
            assert_eq!(answer.status, 200, "{round}: {}", answer.body);
            let found = google(&app.client, Method::GET, &format!("/v1beta/{name}"), "").await;
            assert_eq!(found.json()["name"], name);
        }
        let gone = google(&app.client, Method::DELETE, &format!("/v1beta/{name}"), "").await;
        assert_eq!(gone.status, 200, "{}", gone.body);
    }
    let used = app.rows("SELECT count(DISTINCT api_key_id) > 2 FROM api_call_logs");
    assert_eq!(used, ["1"], "the rounds use different keys");
    let outcomes = app.rows("SELECT DISTINCT outcome FROM api_call_logs");
    assert_eq!(outcomes, ["success"]);
    assert_eq!(
        app.rows("SELECT count(*) FROM resources WHERE name LIKE 'files/%'"),
        ["0"]
    );
}

#[tokio::test]
async fn routes_caches_batches_and_videos_to_their_owner() {
    let app = app().await;
    let openai = |method: Method, path: &str, body: &str| {
        app.client
            .request(method, path)
            .authorized()
            .body(body)
            .send()
    };
    for _ in 0..3 {
        let cache = google(
            &app.client,
            Method::POST,
            "/v1beta/cachedContents",
            r#"{"model":"models/gemini-2.5-flash","contents":[{"role":"user","parts":[{"text":"long"}]}]}"#,
        )
        .await;
        assert_eq!(cache.status, 200, "{}", cache.body);
        let name = cache.json()["name"].as_str().unwrap().to_owned();
        let uses = format!(
            r#"{{"cachedContent":"{name}","contents":[{{"parts":[{{"text":"Hello"}}]}}]}}"#
        );
        let chat = format!(
            r#"{{"model":"gemini-2.5-flash","messages":[{{"role":"user","content":"Hello"}}],"extra_body":{{"google":{{"cached_content":"{name}"}}}}}}"#
        );
        for _ in 0..3 {
            let answer = google(&app.client, Method::POST, GENERATE, &uses).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let answer = app.chat(chat.as_str()).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let patched = google(
                &app.client,
                Method::PATCH,
                &format!("/v1beta/{name}"),
                r#"{"ttl":"600s"}"#,
            )
            .await;
            assert_eq!(patched.status, 200, "{}", patched.body);
        }
        let operation = google(
            &app.client,
            Method::POST,
            "/v1beta/models/veo-3.1-generate-preview:predictLongRunning",
            r#"{"instances":[{"prompt":"a cat"}]}"#,
        )
        .await;
        assert_eq!(operation.status, 200, "{}", operation.body);
        let name = operation.json()["name"].as_str().unwrap().to_owned();
        for _ in 0..3 {
            let asked = google(&app.client, Method::GET, &format!("/v1beta/{name}"), "").await;
            assert_eq!(asked.status, 200, "{}", asked.body);
        }
        let file = upload(&app, "{\"custom_id\":\"1\"}\n").await;
        let input = file["name"].as_str().unwrap();
        let batch = openai(
            Method::POST,
            "/v1/batches",
            &format!(r#"{{"input_file_id":"{input}","endpoint":"/v1/chat/completions","completion_window":"24h"}}"#),
        )
        .await;
        assert_eq!(batch.status, 200, "{}", batch.body);
        let id = batch.json()["id"].as_str().unwrap().to_owned();
        for _ in 0..3 {
            let found = openai(Method::GET, &format!("/v1/batches/{id}"), "").await;
            assert_eq!(found.status, 200, "{}", found.body);
        }
    }
    let outcomes = app.rows("SELECT DISTINCT outcome FROM api_call_logs");
    assert_eq!(outcomes, ["success"]);
}

#[tokio::test]
async fn falls_back_to_another_key_of_the_owners_project() {
    let app = app().await;
    let file = upload(&app, "Hello").await;
    let name = file["name"].as_str().unwrap();
    let path = format!("/v1beta/{name}");
    let creator: usize = app.rows("SELECT api_key_id FROM resources WHERE name LIKE 'files/%'")[0]
        .parse()
        .unwrap();
    app.gemini.set_condition(&key(creator), Condition::Invalid);
    for _ in 0..6 {
        let found = google(&app.client, Method::GET, &path, "").await;
        assert_eq!(found.status, 200, "{}", found.body);
    }
    app.execute(&format!(
        "UPDATE api_keys SET status = 0 WHERE id % 3 = {}",
        creator % 3
    ));
    let gone = google(&app.client, Method::GET, &path, "").await;
    assert_eq!(gone.status, 404, "{}", gone.body);
    assert!(gone.body.contains("RESOURCE_OWNER_GONE"));
    app.execute("DELETE FROM api_keys WHERE status = 0");
    let gone = google(&app.client, Method::GET, &path, "").await;
    assert_eq!(gone.status, 404, "{}", gone.body);
}
