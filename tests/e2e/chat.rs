//! Chat completions through the pool.

use crate::support::{CHAT, Setup, TOKEN, key};
use fake_gemini::{Answer, Place, Reply, ToolCall};

#[tokio::test]
async fn passes_an_answer_unchanged() {
    let app = Setup::keys(1).start().await;
    let body = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"Héllo","role":"assistant"}}],"created":1763164273,"id":"ccAXad3iNNbiz7IPocTe0Ac","model":"gemini-2.5-flash","object":"chat.completion","usage":{"completion_tokens":2,"prompt_tokens":17,"total_tokens":49}}"#;
    app.gemini
        .script(&key(1), Reply::raw(200, "application/json", body));

    let answer = app.chat(CHAT).await;

    assert_eq!((answer.status, answer.body.as_str()), (200, body));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.header("content-length"),
        Some(body.len().to_string().as_str())
    );
    for of_googles in ["server", "server-timing", "alt-svc"] {
        assert_eq!(answer.header(of_googles), None, "{of_googles}");
    }
    assert_eq!(app.gemini.calls().len(), 1);
    assert_eq!(
        app.rows("SELECT api_key_id, success, response_status, error_message, response_time_ms >= 0 FROM api_call_logs"),
        ["1|1|200|NULL|1"]
    );
    assert_eq!(
        app.rows("SELECT total_calls, success_calls, consecutive_failures, status, last_used_at IS NOT NULL, last_success_at IS NOT NULL FROM api_keys"),
        ["1|1|0|1|1|1"]
    );
}

#[tokio::test]
async fn sends_the_body_unchanged_with_one_credential() {
    let app = Setup::keys(1).start().await;
    let body = " {\"messages\" : [{\"role\":\"user\",\"content\":\"H\\u00e9 \"}],\n\"model\":\"gemini-2.5-flash\", \"temperature\":1.0e0 }";
    let answer = app
        .client
        .post("/v1/chat/completions?key=of-the-client", body)
        .authorized()
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, deflate")
        .header("user-agent", "test/1")
        .header("cookie", "session=1")
        .header("x-goog-api-key", "of-the-client")
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-stainless-lang", "python")
        .send()
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);

    let calls = app.gemini.calls();
    let [call] = calls.as_slice() else {
        panic!("one call, not {}", calls.len());
    };
    assert_eq!(call.path, "/v1beta/openai/chat/completions");
    assert_eq!(call.query, None);
    assert_eq!(call.body, body.as_bytes());
    let [credential] = call.credentials.as_slice() else {
        panic!("one credential, not {}", call.credentials.len());
    };
    assert_eq!(
        (credential.place, credential.value.as_str()),
        (Place::Bearer, key(1).as_str())
    );
    let mut names: Vec<&str> = call.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "accept-encoding",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "user-agent"
        ]
    );
    assert_eq!(
        call.headers["host"],
        app.gemini.origin().trim_start_matches("http://")
    );
}

#[tokio::test]
async fn fills_in_the_default_model_and_passes_unknown_fields() {
    let app = Setup::keys(1)
        .variable("llm_model", "gemini-2.5-pro")
        .gemini(|gemini| gemini.lenient())
        .start()
        .await;
    let body = r#"{"messages":[{"role":"user","content":"Hello"}],"of_tomorrow":{"deep":[1,2.50]},"seed":7}"#;
    let answer = app.chat(body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["model"], "gemini-2.5-pro");
    assert_eq!(
        app.gemini.calls()[0].body,
        r#"{"model":"gemini-2.5-pro","messages":[{"role":"user","content":"Hello"}],"of_tomorrow":{"deep":[1,2.50]},"seed":7}"#
    );
}

#[tokio::test]
async fn the_default_model_is_googles_latest_flash() {
    let app = Setup::keys(1).start().await;
    let answer = app
        .chat(r#"{"messages":[{"role":"user","content":"Hello"}]}"#)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        app.gemini.calls()[0].model.as_deref(),
        Some("gemini-flash-latest")
    );
}

#[tokio::test]
async fn passes_tool_calls_thoughts_and_blocked_prompts() {
    let app = Setup::keys(1).start().await;
    for (answer, path, expected) in [
        (
            Answer::tool_calls([ToolCall::new("lookup", r#"{"q":"x"}"#).signature("c2lnbmF0dXJl")]),
            "/choices/0/message/tool_calls/0/function/name",
            serde_json::json!("lookup"),
        ),
        (
            Answer::text("done").usage(10, 2).thinking(30),
            "/usage/total_tokens",
            serde_json::json!(42),
        ),
        (
            Answer::empty(),
            "/choices/0/finish_reason",
            serde_json::json!("stop"),
        ),
    ] {
        app.gemini.script(&key(1), Reply::answer(answer));
        let got = app.chat(CHAT).await;
        assert_eq!(got.status, 200, "{}", got.body);
        assert_eq!(got.json().pointer(path), Some(&expected), "{}", got.body);
    }
}

#[tokio::test]
async fn the_endpoint_may_have_another_path() {
    let gemini = fake_gemini::FakeGemini::builder()
        .key(key(1))
        .start()
        .await
        .unwrap();
    let app = Setup::keys(1)
        .variable("llm_api_origin", &gemini.origin())
        .variable(
            "llm_api_endpoint",
            &format!("{}/elsewhere/chat?x=1", gemini.origin()),
        )
        .start()
        .await;
    let answer = app.chat(CHAT).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (404, "invalid_request")
    );
    let calls = gemini.calls();
    assert_eq!(calls[0].path, "/elsewhere/chat");
    assert_eq!(calls[0].query.as_deref(), Some("x=1"));
    assert!(app.gemini.calls().is_empty());
}

#[tokio::test]
async fn reuses_connections_to_the_upstream() {
    let app = Setup::keys(1).start().await;
    for _ in 0..20 {
        assert_eq!(app.chat(CHAT).await.status, 200);
    }
    // Usually one, but a call may start before the previous connection is back in the host's pool.
    let accepted = app.gemini.accepted_connections();
    assert!(accepted <= 5, "{accepted} connections for 20 calls");
}

#[tokio::test]
async fn accepts_every_http_spelling_of_the_token_header() {
    let app = Setup::keys(1).start().await;
    let answer = app
        .client
        .post("/v1/chat/completions", CHAT)
        .header("authorization", &format!("bearer   {TOKEN} "))
        .send()
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn a_thought_signature_outlives_its_instance() {
    const SIGNATURE: &str = "c2lnbmF0dXJlLW9mLXRoZS1jYWxs";
    const PROMPT: &str = r#"{"role":"user","content":"Use tools"}"#;
    // The client dropped the fields of the call that it does not know.
    const TURN: &str = r#"{"role":"assistant","tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]},{"role":"tool","tool_call_id":"call_1","content":"rain"}"#;
    let body = |messages: &str| {
        format!(
            r#"{{"model":"gemini-3.8-flash","messages":[{messages}],"tools":[{{"type":"function","function":{{"name":"weather"}}}}]}}"#
        )
    };
    let mut app = Setup::keys(1).start().await;
    let call = ToolCall::new("weather", r#"{"city":"Oslo"}"#).id("call_1");
    let call = Answer::tool_calls([call.signature(SIGNATURE)]);
    app.gemini.script(&key(1), Reply::answer(call));
    assert_eq!(app.chat(body(PROMPT)).await.status, 200);
    app.restart().await;

    let answer = app.chat(body(&format!("{PROMPT},{TURN}"))).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let calls = app.gemini.calls();
    let sent = String::from_utf8_lossy(&calls.last().unwrap().body).into_owned();
    assert!(sent.contains(SIGNATURE), "{sent}");
    assert_eq!(calls.len(), 2, "no retry");
}
