//! Uploads, and the projects that files belong to.

use crate::support::{GENERATE, KEY, OTHER_KEY, Response, call, native, two_projects};
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
    begun.expect(200, "");
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
        refused.expect(403, &denied);
    }
    assert_eq!(
        native(&gemini, KEY, "DELETE", &path, "").await.status(),
        200
    );
    assert_eq!(native(&gemini, KEY, "GET", &path, "").await.status(), 403);
}
