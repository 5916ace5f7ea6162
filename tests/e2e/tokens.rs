//! Client tokens that operators create, across instances of the component.

use crate::support::{Answer, CHAT, Setup, TestApp, soon};
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use std::collections::HashSet;

/// The operator's token.
pub(crate) const OPERATOR: &str = "fake-0f-an-0perat0r-0000001";

async fn start(setup: Setup) -> TestApp {
    setup.variable("admin_token", OPERATOR).start().await
}

async fn admin(app: &TestApp, method: Method, path: &str, body: Value) -> Answer {
    let path = format!("/admin/api/v1/{path}");
    let request = app.client.request(method, &path);
    let operator = format!("Bearer {OPERATOR}");
    let request = request.header("authorization", &operator);
    request.body(body.to_string()).send().await
}

/// Creates a token, and returns it.
pub(crate) async fn create(app: &TestApp, body: Value) -> String {
    let created = admin(app, Method::POST, "tokens", body).await;
    created.assert_status(201);
    created.json()["token"].as_str().unwrap().to_owned()
}

async fn chat_as(app: &TestApp, token: &str) -> Answer {
    let request = app.client.post("/v1/chat/completions", CHAT);
    let bearer = format!("Bearer {token}");
    request.header("authorization", &bearer).send().await
}

#[tokio::test]
async fn a_created_token_works_without_a_built_in_one_and_its_calls_bear_its_id() {
    let app = start(Setup::keys(1).without_token()).await;
    let refused = app.chat(CHAT).await;
    refused.assert_error(503, "client_token_not_configured");
    let tokens = [
        create(&app, json!({"name": "first"})).await,
        create(&app, json!({"name": "second", "models": ["gemini-*-pro"]})).await,
    ];
    let all: HashSet<&String> = tokens.iter().collect();
    assert_eq!(all.len(), 2);
    for token in &tokens {
        assert_eq!((&token[..3], token.len()), ("kp_", 46));
    }
    chat_as(&app, &tokens[0]).await.assert_status(200);
    let refused = chat_as(&app, &tokens[1]).await;
    refused.assert_error(403, "model_not_allowed");
    app.assert_ready().await;
    assert_eq!(app.log_rows("token_id, success"), ["1|1"]);
    let sums = app.rows("SELECT token_id, sum(calls) FROM api_call_hours GROUP BY 1");
    assert_eq!(sums, ["1|1"]);
}

#[tokio::test]
async fn limits_of_a_token_hold_across_instances() {
    let app = start(Setup::keys(1)).await;
    let token = create(&app, json!({"name": "n", "requests_per_minute": 5})).await;
    // The calls run concurrently, so in several instances of the component.
    let answers = join_all((0..40).map(|_| chat_as(&app, &token))).await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    let minutes = app
        .rows("SELECT minute FROM rate_limits WHERE counter = 'token 1'")
        .len();
    let allowed = 5..=5 * minutes;
    assert!(allowed.contains(&served), "{served} of 40 were served");
    assert_eq!(served, app.gemini.calls().len());
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.assert_error(429, "requests_per_minute_exceeded");
        assert!(refused.header("retry-after").is_some());
    }
    app.serve_chats(1).await;

    let token = create(&app, json!({"name": "n", "tokens_per_day": 1})).await;
    chat_as(&app, &token).await.assert_status(200);
    for limited in join_all((0..20).map(|_| chat_as(&app, &token))).await {
        limited.assert_error(429, "tokens_per_day_exceeded");
    }
}

#[tokio::test]
async fn a_disabled_or_rotated_token_stops_working_in_every_instance() {
    let app = start(Setup::keys(1)).await;
    let first = create(&app, json!({"name": "n"})).await;
    // Warms up several instances.
    for answer in join_all((0..40).map(|_| chat_as(&app, &first))).await {
        answer.assert_status(200);
    }
    let grace = json!({"grace_seconds": 3600});
    let rotated = admin(&app, Method::POST, "tokens/1/rotate", grace).await;
    rotated.assert_status(200);
    let second = rotated.json()["token"].as_str().unwrap().to_owned();
    for token in [&first, &second] {
        chat_as(&app, token).await.assert_status(200);
    }
    let disabled = admin(&app, Method::POST, "tokens/1/disable", json!({})).await;
    disabled.assert_status(200);
    for token in [&first, &second] {
        let refused = async {
            loop {
                let answers = join_all((0..40).map(|_| chat_as(&app, token))).await;
                let is_refused = |answer: &Answer| answer.status == 401;
                if answers.iter().all(is_refused) {
                    return answers;
                }
            }
        };
        for answer in soon("the refusal by all instances", refused).await {
            answer.assert_error(401, "client_token_disabled");
        }
    }
    assert_eq!(
        app.rows("SELECT DISTINCT token_id FROM api_call_logs"),
        ["1"]
    );
}
