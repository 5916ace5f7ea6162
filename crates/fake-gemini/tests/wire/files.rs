//! Files: how they come, who may see them, and where they may be named.

use crate::support::{
    Client, KEY, MIDNIGHT, OTHER_KEY, Response, call, chat_with, ended, file, gemini, native,
    question, two_projects,
};
use fake_gemini::{Act, FakeGemini, ManualClock, Operation, Reply, Surface, errors};
use std::time::Duration;

const UPLOAD: &str = "/upload/v1beta/files";
const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";

/// Begins an upload with [`KEY`], and gives the path to go on with.
async fn begin(gemini: &FakeGemini, more: &[(&str, &str)], body: &str) -> String {
    let mut headers = vec![
        ("x-goog-api-key", KEY),
        ("x-goog-upload-protocol", "resumable"),
        ("x-goog-upload-command", "start"),
    ];
    headers.extend(more);
    let response = call(gemini, "POST", UPLOAD, &headers, body).await;
    assert_eq!((response.status(), response.text()), (200, ""));
    let url = response.head.get("x-goog-upload-url").unwrap();
    url.strip_prefix(&gemini.origin()).unwrap().to_owned()
}

/// Goes on with an upload, without a key.
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
async fn an_upload_begins_with_headers_and_ends_with_the_file() {
    let gemini = gemini().await;
    let headers = [
        ("x-goog-upload-header-content-length", "5"),
        ("x-goog-upload-header-content-type", "text/plain"),
    ];
    let body = r#"{"file":{"display_name":"greeting"}}"#;
    let path = begin(&gemini, &headers, body).await;
    assert!(
        path.starts_with("/upload/v1beta/files?upload_id="),
        "{path}"
    );
    assert!(path.ends_with("&upload_protocol=resumable"), "{path}");

    let part = go_on(&gemini, &path, "upload", "0", "hel").await;
    assert_eq!((part.status(), part.text()), (200, ""));
    assert_eq!(part.head.get("x-goog-upload-status"), Some("active"));
    let query = go_on(&gemini, &path, "query", "", "").await;
    assert_eq!(query.head.get("x-goog-upload-status"), Some("active"));
    assert_eq!(query.head.get("x-goog-upload-size-received"), Some("3"));

    let last = go_on(&gemini, &path, "upload, finalize", "3", "lo").await;
    assert_eq!(last.head.get("x-goog-upload-status"), Some("final"));
    let name = last.json()["file"]["name"].as_str().unwrap().to_owned();
    let origin = gemini.origin();
    assert_eq!(
        last.text(),
        format!(
            r#"{{
  "file": {{
    "name": "{name}",
    "displayName": "greeting",
    "mimeType": "text/plain",
    "sizeBytes": "5",
    "createTime": "2027-01-15T08:00:00Z",
    "updateTime": "2027-01-15T08:00:00Z",
    "expirationTime": "2027-01-17T08:00:00Z",
    "sha256Hash": "MmNmMjRkYmE1ZmIwYTMwZTI2ZTgzYjJhYzViOWUyOWUxYjE2MWU1YzFmYTc0MjVlNzMwNDMzNjI5MzhiOTgyNA==",
    "uri": "{origin}/v1beta/{name}",
    "state": "ACTIVE",
    "source": "UPLOADED"
  }}
}}
"#
        )
    );
    let alone = native(&gemini, &name, "").await;
    assert_eq!(alone.json(), last.json()["file"]);
}

#[tokio::test]
async fn an_upload_begins_with_its_granularity_and_its_server() {
    let gemini = gemini().await;
    let headers = [
        ("x-goog-api-key", KEY),
        ("x-goog-upload-protocol", "resumable"),
        ("x-goog-upload-command", "start"),
    ];
    let response = call(&gemini, "POST", "/upload/v1alpha/files", &headers, "").await;
    for (name, value) in [
        ("x-goog-upload-status", "active"),
        ("x-goog-upload-chunk-granularity", "8388608"),
        ("server", "UploadServer"),
        ("content-length", "0"),
    ] {
        assert_eq!(response.head.get(name), Some(value));
    }
    let url = response.head.get("x-goog-upload-url").unwrap();
    assert!(url.starts_with(&format!("{}/upload/v1alpha/files?", gemini.origin())));
    assert_eq!(response.head.get("x-goog-upload-control-url"), Some(url));
}

#[tokio::test]
async fn beginning_needs_a_key_and_going_on_does_not() {
    let gemini = gemini().await;
    let headers = [
        ("x-goog-upload-protocol", "resumable"),
        ("x-goog-upload-command", "start"),
    ];
    let refused = call(&gemini, "POST", UPLOAD, &headers, "").await;
    assert_eq!(refused.text(), errors::no_credential().pretty());
    let path = begin(&gemini, &[], "").await;
    go_on(&gemini, &path, "upload, finalize", "0", "x").await;
    let calls = gemini.calls();
    let [_, begun, went_on] = calls.as_slice() else {
        panic!("{calls:?}");
    };
    assert_eq!(begun.operation, Some(Operation::Resource(Act::CreateFile)));
    assert_eq!(begun.key.as_deref(), Some(KEY));
    assert_eq!(
        went_on.operation,
        Some(Operation::Resource(Act::UploadFile))
    );
    assert_eq!(went_on.surface, Some(Surface::Native));
    assert_eq!((&went_on.key, went_on.credentials.len()), (&None, 0));
    assert_eq!(
        (&went_on.project, went_on.key_ordinal),
        (&begun.project, Some(1))
    );
}

#[tokio::test]
async fn an_unknown_upload_is_404_and_one_out_of_order_400() {
    let gemini = gemini().await;
    let unknown = format!("{UPLOAD}?upload_id=x&upload_protocol=resumable");
    let response = go_on(&gemini, &unknown, "query", "", "").await;
    assert_eq!(
        (response.status(), response.text()),
        (404, errors::no_such_upload().pretty().as_str())
    );
    let path = begin(&gemini, &[], "").await;
    for (command, offset) in [
        ("upload", "1"),
        ("upload", "x"),
        ("restart", "0"),
        ("", "0"),
    ] {
        let response = go_on(&gemini, &path, command, offset, "a").await;
        assert_eq!(response.text(), errors::invalid_argument().pretty());
    }
    go_on(&gemini, &path, "upload, finalize", "0", "a").await;
    let late = go_on(&gemini, &path, "upload", "1", "b").await;
    assert_eq!(late.text(), errors::upload_terminated().pretty());
    let query = go_on(&gemini, &path, "query", "", "").await;
    assert_eq!(query.head.get("x-goog-upload-status"), Some("final"));
}

#[tokio::test]
async fn a_file_may_come_at_once() {
    let gemini = gemini().await;
    let related = "--b\r\nContent-Type: application/json; charset=utf-8\r\n\r\n\
                   {\"file\":{\"displayName\":\"d\",\"name\":\"files/own-name\"}}\r\n\
                   --b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--";
    for (path, protocol, content_type, body, name) in [
        (
            "/upload/v1beta/files?uploadType=multipart",
            "",
            "multipart/related; boundary=b",
            related,
            Some("files/own-name"),
        ),
        (UPLOAD, "raw", "text/plain", "hello", None),
        (
            "/upload/v1beta/files?uploadType=media",
            "",
            "text/plain",
            "hello",
            None,
        ),
    ] {
        let mut headers = vec![("x-goog-api-key", KEY), ("content-type", content_type)];
        if !protocol.is_empty() {
            headers.push(("x-goog-upload-protocol", protocol));
        }
        let response = call(&gemini, "POST", path, &headers, body).await;
        let file = response.json()["file"].clone();
        assert_eq!(
            (&file["mimeType"], &file["sizeBytes"]),
            (&"text/plain".into(), &"5".into())
        );
        if let Some(name) = name {
            assert_eq!(
                (&file["name"], &file["displayName"]),
                (&name.into(), &"d".into())
            );
            let again = call(&gemini, "POST", path, &headers, body).await;
            assert_eq!(again.text(), errors::file_exists(name).pretty());
        }
    }
    let headers = [
        ("x-goog-api-key", KEY),
        ("content-type", "multipart/related; boundary=c"),
    ];
    let path = "/upload/v1beta/files?uploadType=multipart";
    for (path, body) in [(path, related), (UPLOAD, "hello")] {
        let response = call(&gemini, "POST", path, &headers, body).await;
        assert_eq!(response.text(), errors::invalid_argument().pretty());
    }
}

#[tokio::test]
async fn files_are_listed_in_pages_the_newest_first() {
    let gemini = two_projects().await;
    assert_eq!(native(&gemini, "files", "").await.text(), "{}\n");
    let mut names = Vec::new();
    for text in ["a", "b", "c"] {
        names.insert(0, file(&gemini, KEY, text).await);
    }
    let first = native(&gemini, "files?pageSize=2", "").await.json();
    assert_eq!(first["files"][0]["name"], *names[0]);
    assert_eq!(first["files"][1]["name"], *names[1]);
    let token = first["nextPageToken"].as_str().unwrap();
    let path = format!("files?pageSize=2&pageToken={token}");
    let second = native(&gemini, &path, "").await.json();
    assert_eq!(second["files"].as_array().unwrap().len(), 1);
    assert_eq!(second["files"][0]["name"], *names[2]);
    assert_eq!(second.get("nextPageToken"), None);
    let other = [("x-goog-api-key", OTHER_KEY)];
    let list = call(&gemini, "GET", "/v1beta/files", &other, "").await;
    assert_eq!(list.text(), "{}\n");
}

#[tokio::test]
async fn a_file_is_downloaded_as_it_came() {
    let gemini = gemini().await;
    let name = file(&gemini, KEY, "hello").await;
    for path in [
        format!("/v1beta/{name}:download?alt=media"),
        format!("/download/v1beta/{name}:download?alt=media"),
    ] {
        let headers = [("x-goog-api-key", KEY), ("accept-encoding", "gzip")];
        let response = call(&gemini, "GET", &path, &headers, "").await;
        assert_eq!(response.text(), "hello");
        assert_eq!(response.head.get("content-type"), Some("text/plain"));
        assert_eq!(response.head.get("content-length"), Some("5"));
    }
    let about = native(&gemini, &format!("{name}:download"), "").await;
    assert_eq!(about.text(), "{}\n");
}

#[tokio::test]
async fn what_another_project_has_is_403_for_every_use() {
    let gemini = two_projects().await;
    let name = file(&gemini, KEY, "hello").await;
    let uri = format!("{}/v1beta/{name}", gemini.origin());
    let contents = format!(
        r#"{{"contents":[{{"parts":[{{"text":"x"}},{{"fileData":{{"mimeType":"text/plain","fileUri":"{uri}"}}}}]}}]}}"#
    );
    let snake = contents
        .replace("fileData", "file_data")
        .replace("fileUri", "file_uri");
    let other = [("x-goog-api-key", OTHER_KEY)];
    let denied = errors::file_denied(&name).pretty();
    assert!(denied.contains(&format!(
        "You do not have permission to access the File {} or it may not exist.",
        &name["files/".len()..]
    )));
    for (method, path, body) in [
        ("GET", format!("/v1beta/{name}"), ""),
        ("DELETE", format!("/v1beta/{name}"), ""),
        ("GET", format!("/v1beta/{name}:download?alt=media"), ""),
        ("POST", GENERATE.to_owned(), &contents),
        (
            "POST",
            GENERATE.replace("generate", "streamGenerate"),
            &snake,
        ),
    ] {
        let response = call(&gemini, method, &path, &other, body).await;
        assert_eq!(
            (response.status(), response.text()),
            (403, denied.as_str()),
            "{path}"
        );
    }
    for body in [&contents, &snake] {
        let own = call(&gemini, "POST", GENERATE, &[("x-goog-api-key", KEY)], body).await;
        assert_eq!(own.status(), 200);
    }
}

#[tokio::test]
async fn a_chat_may_name_files_of_its_own_project_alone() {
    let gemini = two_projects().await;
    let name = file(&gemini, KEY, "hello").await;
    let uri = format!("{}/v1beta/{name}", gemini.origin());
    for part in [
        format!(r#"{{"type":"file","file":{{"file_id":"{name}"}}}}"#),
        format!(r#"{{"type":"image_url","image_url":{{"url":"{uri}"}}}}"#),
        format!(r#"{{"type":"file","file_data":{{"file_uri":"{uri}"}}}}"#),
    ] {
        let body = question("").replace(r#""Say hello.""#, &format!("[{part}]"));
        assert_eq!(chat_with(&gemini, KEY, &body).await.status(), 200, "{part}");
        let refused = chat_with(&gemini, OTHER_KEY, &body).await;
        assert_eq!(refused.text(), errors::file_denied(&name).pretty_array());
    }
}

#[tokio::test]
async fn a_file_is_gone_once_deleted_and_after_48_hours() {
    let clock = ManualClock::at(MIDNIGHT);
    let builder = FakeGemini::builder().key(KEY).clock(clock.clock());
    let gemini = builder.start().await.unwrap();
    let (deleted, kept) = (file(&gemini, KEY, "a").await, file(&gemini, KEY, "b").await);
    let path = format!("/v1beta/{deleted}");
    let gone = call(&gemini, "DELETE", &path, &[("x-goog-api-key", KEY)], "").await;
    assert_eq!((gone.status(), gone.text()), (200, "{}\n"));
    assert_eq!(native(&gemini, &deleted, "").await.status(), 403);
    clock.advance(Duration::from_secs(48 * 3600 - 1));
    assert_eq!(native(&gemini, &kept, "").await.status(), 200);
    clock.advance(Duration::from_secs(1));
    let late = native(&gemini, &kept, "").await;
    assert_eq!(late.text(), errors::file_denied(&kept).pretty());
}

#[tokio::test]
async fn an_upload_outlives_its_key_and_takes_its_scripts() {
    let gemini = gemini().await;
    let path = begin(&gemini, &[], "").await;
    gemini.set_condition(KEY, fake_gemini::Condition::Leaked);
    gemini.script(KEY, Reply::error(errors::unavailable()));
    let scripted = go_on(&gemini, &path, "upload", "0", "a").await;
    assert_eq!(scripted.status(), 503);
    let done = go_on(&gemini, &path, "upload, finalize", "0", "a").await;
    assert_eq!(
        done.status(),
        200,
        "what was answered by a script was not taken"
    );
    assert_eq!(done.json()["file"]["sizeBytes"], "1");
}

#[tokio::test]
async fn bytes_that_are_no_text_arrive_as_they_are() {
    let gemini = gemini().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut client = Client::connect(&gemini).await;
    let head = format!(
        "POST {UPLOAD} HTTP/1.1\r\nhost: fake\r\nx-goog-api-key: {KEY}\r\nx-goog-upload-protocol: raw\r\ncontent-length: {}\r\n\r\n",
        bytes.len()
    );
    client.write(&head).await;
    client.write_bytes(&bytes).await;
    let name = client.response().await.json()["file"]["name"].clone();
    let path = format!("{}:download?alt=media", name.as_str().unwrap());
    assert_eq!(native(&gemini, &path, "").await.bytes, bytes);
    assert_eq!(ended(&gemini).await.status, Some(200));
    let upload = gemini.calls().swap_remove(0);
    assert_eq!(
        (upload.method.as_str(), upload.path.as_str()),
        ("POST", UPLOAD)
    );
    assert_eq!(upload.headers["x-goog-upload-protocol"], "raw");
    assert_eq!(upload.body.len(), bytes.len());
    assert_eq!(
        upload.body_sha256(),
        "db8f1d69251d95e2c88268d3c540533cc5182e0e33065a6f3f322f606a574489"
    );
}

#[tokio::test]
async fn paths_of_files_are_those_of_google_and_no_others() {
    let gemini = gemini().await;
    for (method, path) in [
        ("GET", UPLOAD),
        ("PUT", UPLOAD),
        ("POST", "/upload/v2/files"),
        ("POST", "/upload/v1beta/models"),
        ("POST", "/v1beta/files"),
        ("POST", "/v1beta/files/a"),
        ("GET", "/v1beta/files/"),
        ("GET", "/v1beta/files/a/b"),
        ("GET", "/v1beta/files/a:upload"),
        ("DELETE", "/v1beta/files/a:download"),
        ("GET", "/download/v1beta/files/a"),
        ("GET", "/v1beta/openai/files"),
        ("POST", "/v1beta/openai/files"),
    ] {
        let response = call(&gemini, method, path, &[("x-goog-api-key", KEY)], "").await;
        assert_eq!(
            (response.status(), response.text()),
            (404, ""),
            "{method} {path}"
        );
    }
}
