//! What projects own.

use crate::support::{GENERATE, KEY, OTHER_KEY, Response, call, native, openai, two_projects};
use fake_gemini::{FakeGemini, errors};
use serde_json::{Value, json};

/// Uploads a text in two parts as Google's clients do.
async fn upload(gemini: &FakeGemini, key: &str, text: &str) -> Value {
    let headers = [
        ("x-goog-api-key", key),
        ("x-goog-upload-protocol", "resumable"),
        ("x-goog-upload-command", "start"),
        ("x-goog-upload-header-content-type", "text/plain"),
    ];
    let begun = call(gemini, "POST", "/upload/v1beta/files", &headers, "{}").await;
    assert_eq!((begun.status(), begun.text()), (200, ""));
    let url = begun.head.get("x-goog-upload-url").unwrap();
    let path = url.strip_prefix(&gemini.origin()).unwrap();
    let (first, second) = text.split_at(2);
    for (command, offset, part, status) in [
        ("upload", "0", first, "active"),
        ("upload, finalize", "2", second, "final"),
    ] {
        let sent = go_on(gemini, path, command, offset, part).await;
        assert_eq!(sent.head.get("x-goog-upload-status"), Some(status));
        if status == "final" {
            return sent.json()["file"].clone();
        }
        let wrong = go_on(gemini, path, command, "7", part).await;
        assert_eq!(wrong.status(), 400, "the offset must fit");
    }
    panic!("the upload does not end");
}

/// Continues an upload; its URL is the only credential.
async fn go_on(
    gemini: &FakeGemini,
    path: &str,
    command: &str,
    offset: &str,
    body: &str,
) -> Response {
    let headers = [
        ("x-goog-upload-command", command),
        ("x-goog-upload-offset", offset),
    ];
    call(gemini, "PUT", path, &headers, body).await
}

#[tokio::test]
async fn files_belong_to_the_project_that_uploaded_them() {
    let gemini = two_projects().await;
    let file = upload(&gemini, KEY, "hello").await;
    let (name, uri) = (
        file["name"].as_str().unwrap(),
        file["uri"].as_str().unwrap(),
    );
    assert_eq!(
        (&file["sizeBytes"], &file["state"]),
        (&"5".into(), &"ACTIVE".into())
    );
    assert_eq!(file["expirationTime"], "2027-01-17T08:00:00Z");
    assert_eq!(uri, format!("{}/v1beta/{name}", gemini.origin()));
    let path = format!("/v1beta/{name}");
    let part = json!({"fileData": {"fileUri": uri}});
    let uses = json!({"contents": [{"parts": [part]}]}).to_string();
    let denied = errors::file_denied(name).pretty();
    let found = native(&gemini, KEY, "GET", &path, "").await;
    assert_eq!(found.json(), file);
    assert_eq!(
        native(&gemini, KEY, "POST", GENERATE, &uses).await.status(),
        200
    );
    for (method, path, body) in [
        ("GET", path.as_str(), ""),
        ("POST", GENERATE, &uses),
        ("DELETE", &path, ""),
    ] {
        let refused = native(&gemini, OTHER_KEY, method, path, body).await;
        assert_eq!((refused.status(), refused.text()), (403, denied.as_str()));
    }
    assert_eq!(
        native(&gemini, KEY, "DELETE", &path, "").await.status(),
        200
    );
    assert_eq!(native(&gemini, KEY, "GET", &path, "").await.status(), 403);
}

#[tokio::test]
async fn caches_belong_to_their_project() {
    let gemini = two_projects().await;
    let contents = json!([{"parts": [{"text": "long"}]}]);
    let body = json!({"model": "models/gemini-2.5-flash", "contents": contents, "ttl": "600s"});
    let body = &body.to_string();
    let cache = native(&gemini, KEY, "POST", "/v1beta/cachedContents", body).await;
    let cache = cache.json();
    assert_eq!(cache["expireTime"], "2027-01-15T08:10:00Z");
    let name = cache["name"].as_str().unwrap();
    let path = format!("/v1beta/{name}");
    let patched = native(&gemini, KEY, "PATCH", &path, r#"{"ttl":"60s"}"#).await;
    assert_eq!(patched.json()["expireTime"], "2027-01-15T08:01:00Z");
    let native_use = json!({"cachedContent": name, "contents": contents}).to_string();
    let openai_use = json!({
        "model": "gemini-2.5-flash",
        "messages": [{"role": "user", "content": "a"}],
        "extra_body": {"google": {"cached_content": name}},
    })
    .to_string();
    for (key, status) in [(KEY, 200), (OTHER_KEY, 403)] {
        let used = native(&gemini, key, "POST", GENERATE, &native_use).await;
        assert_eq!(used.status(), status, "{}", used.text());
        let used = openai(&gemini, key, "chat/completions", &openai_use).await;
        assert_eq!(used.status(), status, "{}", used.text());
    }
    assert_eq!(
        native(&gemini, KEY, "DELETE", &path, "").await.status(),
        200
    );
    let used = native(&gemini, KEY, "POST", GENERATE, &native_use).await;
    assert_eq!(used.status(), 403);
}

#[tokio::test]
async fn batches_and_videos_stay_pending_and_belong_to_their_project() {
    let gemini = two_projects().await;
    let file = upload(&gemini, KEY, "{}\n{}\n").await;
    let body = format!(
        r#"{{"input_file_id":{},"endpoint":"/v1/chat/completions"}}"#,
        file["name"]
    );
    let refused = openai(&gemini, OTHER_KEY, "batches", &body).await;
    assert_eq!(refused.status(), 403);
    let batch = openai(&gemini, KEY, "batches", &body).await.json();
    assert_eq!(batch["status"], "validating");
    let path = format!("batches/{}", batch["id"].as_str().unwrap());
    assert_eq!(openai(&gemini, KEY, &path, "").await.json(), batch);
    assert_eq!(openai(&gemini, OTHER_KEY, &path, "").await.status(), 404);

    let path = "/v1beta/models/veo-3.1-generate-preview:predictLongRunning";
    let body = r#"{"instances":[{"prompt":"a cat"}]}"#;
    let video = native(&gemini, KEY, "POST", path, body).await.json();
    let path = format!("/v1beta/{}", video["name"].as_str().unwrap());
    assert_eq!(native(&gemini, KEY, "GET", &path, "").await.json(), video);
    let refused = native(&gemini, OTHER_KEY, "GET", &path, "").await;
    assert_eq!(refused.status(), 404);
}
