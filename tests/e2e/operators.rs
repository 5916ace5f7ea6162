//! What operators see: the keys' report, liveness, readiness, and invalid settings.

use crate::support::{CHAT, HostKind, Setup, key};
use fake_gemini::{Condition, Reply, errors};
use futures::future::join_all;

#[tokio::test]
async fn reports_keys_by_priority_with_their_counts() {
    let app = Setup::with(2, &[("max_attempts", "1")])
        .without_memory()
        .start()
        .await;
    app.assert_ready().await;
    app.execute("UPDATE api_keys SET priority = -1000 WHERE id = 1");
    app.gemini
        .script(&key(2), Reply::error(errors::overloaded()));
    for _ in 0..3 {
        app.chat(CHAT).await;
    }
    for method in [http::Method::GET, http::Method::POST] {
        let request = app.client.request(method, "/api/keys/status");
        let answer = request.authorized().send().await;
        answer.assert_status(200);
        let report = answer.json();
        let second = &report["data"][0];
        assert_eq!(report["success"], true);
        assert_eq!(second["id"], 2);
        assert_eq!(second["name"], "Auto-imported Key 2");
        assert_eq!(second["status"], 1);
        assert_eq!(second["consecutive_failures"], 0);
        assert_eq!(second["total_calls"], 3);
        assert_eq!(second["success_calls"], 2);
        assert_eq!(second["success_rate"], 66.67);
        assert!(second["last_used_at"].as_str().unwrap().ends_with('Z'));
        let unused = &report["data"][1];
        assert_eq!(unused["id"], 1);
        assert!(unused["last_used_at"].is_null() && unused["success_rate"].is_null());
        assert_eq!(second["last_outcome"], "success");
        assert_eq!(second.as_object().unwrap().len(), 13);
    }
}

#[tokio::test]
async fn distinguishes_liveness_from_readiness() {
    let app = Setup::keys(1).start().await;
    let probe = |path: &'static str| app.client.get(path).send();
    assert_eq!(probe("/healthz").await.body, r#"{"status":"ok"}"#);
    let ready = probe("/readyz").await;
    ready.assert_status(200);
    assert_eq!(ready.body, r#"{"status":"ready"}"#);

    app.gemini.set_condition(&key(1), Condition::Leaked);
    assert_eq!(app.chat(CHAT).await.status, 503);
    assert_eq!(probe("/healthz").await.status, 200);
    let unready = probe("/readyz").await;
    unready.assert_error(503, "no_usable_key");
}

#[tokio::test]
async fn health_checks_support_head() {
    let app = Setup::keys(1).start().await;
    for path in ["/healthz", "/readyz"] {
        let answer = app.client.request(http::Method::HEAD, path).send().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{path}");
    }
}

#[tokio::test]
async fn names_every_invalid_setting() {
    let setup = Setup::keys(1)
        .variable("rate_limit_per_minute", "many")
        .variable("enforce_origin", "perhaps")
        .variable("max_body_bytes", "20MB");
    if HostKind::chosen() == HostKind::Embedded {
        // The embedded host reports them at startup, one per line; Spin leaves this to the
        // component.
        let output = setup.refused().await;
        for variable in ["rate_limit_per_minute", "enforce_origin", "max_body_bytes"] {
            let line = format!("error: {variable} must be ");
            let is_told = output.lines().any(|found| found.starts_with(&line));
            assert!(is_told, "{line} is not in {output}");
        }
        return;
    }
    let app = setup.start().await;
    for path in ["/readyz", "/api/keys/status"] {
        let answer = app.get(path).await;
        answer.assert_error(503, "invalid_configuration");
        for variable in ["rate_limit_per_minute", "enforce_origin", "max_body_bytes"] {
            answer.assert_contains(variable);
        }
    }
    assert_eq!(app.client.get("/healthz").send().await.status, 200);
}

#[tokio::test]
async fn logs_failures_with_the_callers_request_id() {
    let mut app = Setup::keys(1).start().await;
    app.gemini.set_condition(&key(1), Condition::Leaked);
    let rejected = app.chat(CHAT).await;
    let none = app.chat(CHAT).await;
    app.stop().await;
    for (answer, says) in [
        (rejected, "outcome=key_rejected"),
        (none, "code=upstream_credentials_exhausted"),
    ] {
        let id = answer.header("x-request-id").unwrap();
        app.assert_logged(&[id, says]);
    }
}

#[tokio::test]
async fn serves_calls_while_the_log_is_not_read() {
    let mut app = Setup::keys(2).without_memory().start().await;
    app.assert_ready().await;
    app.deafen().await;
    app.gemini.set_condition(&key(1), Condition::Leaked);
    app.execute("UPDATE api_keys SET priority = -1000 WHERE id = 2");
    assert_eq!(app.chat(CHAT).await.status, 200, "the host logs a failure");
    assert_eq!(app.log_rows("success"), ["0", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_not_interleaved() {
    let mut app = Setup::keys(1).without_memory().start().await;
    app.assert_ready().await;
    app.execute("UPDATE api_keys SET status = 0");
    let answers = join_all((0..200).map(|_| app.chat(CHAT))).await;
    app.stop().await;
    let output = app.output();
    for answer in answers {
        let expected = format!(
            "keypool: request={} code=upstream_credentials_exhausted: {}",
            answer.header("x-request-id").unwrap(),
            answer.json()["error"]["message"].as_str().unwrap()
        );
        let is_line = output.lines().any(|line| line == expected);
        assert!(is_line, "{expected:?} is not a line of\n{output}");
    }
}
