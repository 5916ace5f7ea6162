//! Alerts to the operator's webhook.

use crate::support::{Setup, TOKEN, key, soon};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use fake_gemini::Condition;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::Sha256;
use std::convert::Infallible;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A call of the webhook.
struct Received {
    path: String,
    headers: HeaderMap,
    body: String,
}

/// Starts a webhook that accepts everything, and returns its origin and what it receives.
async fn receiver() -> (String, UnboundedReceiver<Received>) {
    let (sender, received) = unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let sender = sender.clone();
            let serve = service_fn(move |request: http::Request<Incoming>| {
                let sender = sender.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let _ = sender.send(Received {
                        path: head.uri.to_string(),
                        headers: head.headers,
                        body: String::from_utf8(body.to_vec()).unwrap(),
                    });
                    Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), serve));
        }
    });
    (origin, received)
}

#[tokio::test]
async fn a_disabled_key_is_told_to_the_webhook_once_and_signed() {
    let (origin, mut received) = receiver().await;
    let secret = BASE64_STANDARD.encode("secret-of-the-webhook");
    let app = Setup::keys(2)
        .variable("alert_origin", &origin)
        .variable("alert_webhook", &format!("{origin}/hook?a=b"))
        .variable("alert_webhook_secret", &format!("whsec_{secret}"))
        .without_memory()
        .start()
        .await;
    app.gemini.set_condition(&key(1), Condition::Leaked);
    app.assert_ready().await;
    app.execute("UPDATE api_keys SET priority = -1000 WHERE id = 2");
    app.serve_chats(3).await;

    let call = soon("the event", received.recv()).await.unwrap();
    assert_eq!(call.path, "/hook?a=b");
    let header = |name: &str| call.headers[name].to_str().unwrap();
    let signed = [
        header("webhook-id"),
        header("webhook-timestamp"),
        &call.body,
    ]
    .join(".");
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret-of-the-webhook").unwrap();
    mac.update(signed.as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(header("webhook-signature"), format!("v1,{signature}"));
    let event: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(event["event"], "key_disabled");
    assert_eq!(event["key"]["id"], 1);
    assert!(
        event["key"]["reason"]
            .as_str()
            .unwrap()
            .starts_with("key_rejected")
    );
    for secret in [&key(1), TOKEN] {
        assert!(!call.body.contains(secret), "{}", call.body);
    }

    // Each request is a new instance, and checks.
    app.rows_become("SELECT sent_at IS NOT NULL FROM alerts", &["1"])
        .await;
    app.serve_chats(3).await;
    app.execute("UPDATE api_keys SET status = 0 WHERE id = 2");
    app.client.get("/readyz").send().await;
    let call = soon("the next event", received.recv()).await.unwrap();
    let event: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(event["event"], "keys_low");
    assert_eq!(event["usable_keys"], 0);
}
