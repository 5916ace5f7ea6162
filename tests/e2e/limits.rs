//! Rate limits per client address and minute.

use crate::support::{Answer, CHAT, Setup, TestApp};
use futures::future::join_all;

async fn chat_from(app: &TestApp, forwarded: &str) -> Answer {
    let request = app.client.chat(CHAT);
    request.header("x-forwarded-for", forwarded).send().await
}

/// The number of minutes in which calls were counted: more than one if the test crossed a minute.
fn minutes(app: &TestApp) -> usize {
    app.rows("SELECT DISTINCT minute FROM rate_limits").len()
}

#[tokio::test]
async fn calls_above_the_limit_get_retry_after() {
    let app = Setup::with(1, &[("rate_limit_per_minute", "5")])
        .start()
        .await;
    // The calls run concurrently, so in several instances of the component.
    let answers = join_all((0..40).map(|number| {
        let app = &app;
        // Forwarded headers are not trusted by default, so all calls are from one client.
        async move { chat_from(app, &format!("203.0.113.{number}")).await }
    }))
    .await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(served, app.gemini.calls().len());
    let allowed = 5..=5 * minutes(&app);
    assert!(allowed.contains(&served), "{served} of 40 were served");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.assert_error(429, "rate_limit_exceeded");
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
}

#[tokio::test]
async fn takes_the_client_address_from_a_trusted_proxy() {
    let limit = ("rate_limit_per_minute", "1");
    let setup = Setup::with(1, &[limit, ("trust_forwarded_for", "true")]);
    let app = setup.start().await;
    assert_eq!(chat_from(&app, "203.0.113.1").await.status, 200);
    let again = chat_from(&app, "198.51.100.7, 203.0.113.1").await.status;
    assert_eq!(again, if minutes(&app) == 1 { 429 } else { 200 });
    assert_eq!(chat_from(&app, "203.0.113.2").await.status, 200);
}

#[tokio::test]
async fn ignores_a_forged_client_address() {
    let app = Setup::with(1, &[("rate_limit_per_minute", "3")])
        .start()
        .await;
    let mut served = 0;
    for number in 0..8 {
        let request = app.client.chat(CHAT);
        let request = request.header("spin-client-addr", &format!("9.9.9.{number}:1"));
        served += usize::from(request.send().await.status == 200);
    }
    let allowed = 3..=3 * minutes(&app);
    assert!(allowed.contains(&served), "{served} of 8 were served");
    let rows = app.rows("SELECT DISTINCT counter FROM rate_limits");
    assert_eq!(rows, ["127.0.0.1"]);
}

#[tokio::test]
async fn limits_wrong_tokens_without_blocking_the_right_one() {
    let app = Setup::keys(1).start().await;
    let mut refused = 0;
    for _ in 0..45 {
        let request = app.client.post("/v1/chat/completions", CHAT);
        let request = request.header("authorization", "Bearer a-wrong-token");
        let answer = request.send().await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some());
            refused += 1;
        }
    }
    let minutes = minutes(&app);
    let allowed = 45 - 20 * minutes..=25;
    assert!(
        allowed.contains(&refused),
        "{refused} of 45 in {minutes} minutes"
    );
    app.serve_chats(1).await;
    let counted = app.rows("SELECT DISTINCT counter FROM rate_limits");
    assert_eq!(counted, ["wrong token 127.0.0.1"]);
}

#[tokio::test]
async fn counts_no_calls_without_the_setting() {
    let app = Setup::keys(1).start().await;
    for _ in 0..30 {
        assert_eq!(chat_from(&app, "203.0.113.1").await.status, 200);
    }
    assert_eq!(app.rows("SELECT count(*) FROM rate_limits"), ["0"]);
}
