//! Keys at rest: sealed, rotated, and safe from a wrong encryption key.

use crate::support::{CHAT, HostKind, STREAM, Setup, TOKEN, TestApp, key, soon};
use fake_gemini::{Reply, errors};

// 32 bytes each, in base64.
const FIRST: &str = "Zmlyc3QgZmFrZSBrZXkgb2YgZXhhY3RseSAzMiBieXQ=";
const SECOND: &str = "c2Vjb25kIGZha2Uga2V5IG9mIGV4YWN0bHkgMzIgYnk=";

/// `sealed:1:ID:`.
const ID: &str = "substr(api_key, 1, 22)";

/// Waits until all keys are sealed, with one encryption key, and returns its id.
async fn sealed_id(app: &TestApp, not: &str) -> String {
    let count = format!(
        "SELECT count(*) FROM api_keys
         WHERE api_key LIKE 'sealed:1:%' AND {ID} <> '{not}' AND key_digest IS NOT NULL"
    );
    app.rows_become(&count, &["3"]).await;
    let mut ids = app.rows(&format!("SELECT DISTINCT {ID} FROM api_keys"));
    assert_eq!(ids.len(), 1);
    ids.remove(0)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    bytes.windows(text.len()).any(|window| window == text)
}

async fn assert_refuses(app: &TestApp) {
    for _ in 0..2 {
        app.chat(CHAT)
            .await
            .assert_error(503, "encryption_key_wrong");
        let status = app.get("/api/keys/status").await;
        status.assert_error(503, "encryption_key_wrong");
        let ready = app.client.get("/readyz").send().await;
        ready.assert_error(503, "encryption_key_wrong");
    }
    app.client.get("/healthz").send().await.assert_status(200);
    app.assert_logged(&["code=encryption_key_wrong", "its id is"]);
}

#[tokio::test]
async fn keys_are_sealed_rotated_and_safe_from_a_wrong_encryption_key() {
    let mut app = Setup::keys(3).start().await;
    app.serve_chats(1).await;
    assert_eq!(app.key_rows("api_key"), [1, 2, 3].map(key));

    app.restart_with(&[("encryption_key", FIRST)]).await;
    app.serve_chats(1).await;
    let first = sealed_id(&app, "").await;
    let logging = async {
        while !app.output().contains("3 keys were sealed") {
            app.client.get("/healthz").send().await;
        }
    };
    soon("the log line", logging).await;
    // Spin leaves what was deleted before in the file.
    if HostKind::chosen() == HostKind::Embedded {
        assert!(!contains(&app.stored_bytes(), "AIza"));
    }
    app.serve_chats(3).await;

    let second = [
        ("encryption_key", SECOND),
        ("encryption_key_previous", FIRST),
    ];
    app.restart_with(&second).await;
    app.serve_chats(1).await;
    sealed_id(&app, &first).await;
    app.serve_chats(3).await;

    let sealed = app.key_rows("api_key, key_digest");
    for wrong in [FIRST, ""] {
        let wrong = [("encryption_key", wrong), ("encryption_key_previous", "")];
        app.restart_with(&wrong).await;
        assert_refuses(&app).await;
        assert_eq!(app.key_rows("api_key, key_digest"), sealed);
    }
    app.restart_with(&[("encryption_key", SECOND)]).await;
    app.serve_chats(3).await;
    assert_eq!(app.key_rows("api_key, key_digest"), sealed);
    assert!(app.used_keys().iter().all(Option::is_some));
}

#[tokio::test]
async fn neither_output_nor_files_contain_a_secret() {
    let mut app = Setup::with(3, &[("encryption_key", FIRST)]).start().await;
    let mut texts = Vec::new();
    app.script(Reply::error(errors::suspended(&key(1), "projects/81")));
    for request in [CHAT, STREAM, CHAT, STREAM, "{"] {
        let answer = app.chat(request).await;
        texts.extend([format!("{:?}", answer.headers), answer.body]);
    }
    for path in [
        "/v1/models",
        "/api/keys/status",
        "/api/pool/explain",
        "/readyz",
    ] {
        texts.push(app.get(path).await.body);
    }
    let stored = app.stored_bytes();
    assert!(contains(&stored, "sealed:1:"));
    app.stop().await;
    texts.push(app.output());
    let texts = texts.into_iter().map(String::into_bytes);
    for text in texts.chain([stored, app.stored_bytes()]) {
        let text = String::from_utf8_lossy(&text);
        for secret in [key(1), key(2), key(3), TOKEN.to_owned(), FIRST.to_owned()] {
            for start in 0..=secret.len() - 16 {
                let piece = &secret[start..start + 16];
                assert!(!text.contains(piece), "{piece} of {secret} is in {text}");
            }
        }
    }
}
