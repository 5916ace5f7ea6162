//! What operators see: the keys' report, liveness, readiness, and settings that are wrong.

use crate::support::{CHAT, Setup, key};
use fake_gemini::{Condition, Reply, errors};

#[tokio::test]
async fn the_report_has_the_keys_by_priority_and_their_counts() {
    let app = Setup::keys(2).start().await;
    assert_eq!(app.client.get("/readyz").send().await.status, 200);
    app.execute("UPDATE api_keys SET priority = -1000 WHERE id = 1");
    app.gemini
        .script(&key(2), Reply::error(errors::overloaded()));
    for _ in 0..3 {
        app.chat(CHAT).await;
    }
    for method in [http::Method::GET, http::Method::POST] {
        let answer = app
            .client
            .request(method, "/api/keys/status")
            .authorized()
            .send()
            .await;
        assert_eq!(answer.status, 200);
        let report = answer.json();
        let second = &report["data"][0];
        assert_eq!(report["success"], true);
        assert_eq!(second["id"], 2);
        assert_eq!(second["name"], "Auto-imported Key 2");
        assert_eq!(second["status"], 1);
        assert_eq!(second["consecutive_failures"], 0);
        assert_eq!(
            (&second["total_calls"], &second["success_calls"]),
            (&3.into(), &2.into())
        );
        assert_eq!(second["success_rate"], 66.67);
        assert!(second["last_used_at"].as_str().unwrap().ends_with('Z'));
        let unused = &report["data"][1];
        assert_eq!(unused["id"], 1);
        assert!(unused["last_used_at"].is_null() && unused["success_rate"].is_null());
        assert_eq!(second.as_object().unwrap().len(), 8);
    }
}

#[tokio::test]
async fn alive_and_ready_are_told_apart() {
    let app = Setup::keys(1).start().await;
    let probe = |path: &'static str| app.client.get(path).send();
    assert_eq!(probe("/healthz").await.body, r#"{"status":"ok"}"#);
    let ready = probe("/readyz").await;
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (200, r#"{"status":"ready","usable_keys":1}"#)
    );

    app.gemini.set_condition(&key(1), Condition::Leaked);
    assert_eq!(app.chat(CHAT).await.status, 503);
    assert_eq!(probe("/healthz").await.status, 200);
    let unready = probe("/readyz").await;
    assert_eq!(
        (unready.status, unready.error_code().as_str()),
        (503, "no_usable_key")
    );
}

#[tokio::test]
async fn a_head_request_asks_as_well() {
    let app = Setup::keys(1).start().await;
    for path in ["/healthz", "/readyz"] {
        let answer = app.client.request(http::Method::HEAD, path).send().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{path}");
    }
}

#[tokio::test]
async fn settings_that_are_wrong_are_all_named() {
    let app = Setup::keys(1)
        .variable("rate_limit_per_minute", "many")
        .variable("enforce_origin", "perhaps")
        .variable("max_body_bytes", "20MB")
        .start()
        .await;
    for path in ["/readyz", "/api/keys/status"] {
        let answer = app.client.get(path).authorized().send().await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (503, "invalid_configuration")
        );
        for variable in ["rate_limit_per_minute", "enforce_origin", "max_body_bytes"] {
            assert!(
                answer.body.contains(variable),
                "{variable} is not in {}",
                answer.body
            );
        }
    }
    assert_eq!(app.client.get("/healthz").send().await.status, 200);
}
