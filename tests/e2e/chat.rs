//! Chat completions through the pool.

use crate::support::{CHAT, Setup, TOKEN, key};
use fake_gemini::{Answer, Place, Reply, ToolCall};
use serde_json::json;

#[tokio::test]
async fn passes_an_answer_unchanged() {
    let app = Setup::keys(1).start().await;
    let body = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"Héllo","role":"assistant"}}],"created":1763164273,"id":"ccAXad3iNNbiz7IPocTe0Ac","model":"gemini-2.5-flash","object":"chat.completion","usage":{"completion_tokens":2,"prompt_tokens":17,"total_tokens":49}}"#;
    app.script(Reply::raw(200, "application/json", body));

    let answer = app.chat(CHAT).await;

    assert_eq!((answer.status, answer.body.as_str()), (200, body));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let length = body.len().to_string();
    assert_eq!(answer.headers["content-length"], length);
    for of_googles in ["server", "server-timing", "alt-svc"] {
        assert_eq!(answer.header(of_googles), None, "{of_googles}");
    }
    assert_eq!(app.gemini.calls().len(), 1);
    let row = "api_key_id, success, response_status, error_message, response_time_ms >= 0";
    assert_eq!(app.log_rows(row), ["1|1|200|NULL|1"]);
    assert_eq!(
        app.key_rows("total_calls, success_calls, consecutive_failures, status, last_used_at IS NOT NULL, last_success_at IS NOT NULL"),
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
    answer.assert_status(200);

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
    assert_eq!(credential.place, Place::Bearer);
    assert_eq!(credential.value, key(1));
    let mut names: Vec<&str> = call.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names.join(" "),
        "accept accept-encoding authorization content-length content-type host user-agent"
    );
    let origin = app.gemini.origin();
    assert_eq!(call.headers["host"], origin.trim_start_matches("http://"));
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
    answer.assert_status(200);
    assert_eq!(answer.json()["model"], "gemini-2.5-pro");
    assert_eq!(
        app.gemini.calls()[0].body,
        r#"{"model":"gemini-2.5-pro","messages":[{"role":"user","content":"Hello"}],"of_tomorrow":{"deep":[1,2.50]},"seed":7}"#
    );
}

#[tokio::test]
async fn the_default_model_is_googles_latest_flash() {
    let app = Setup::keys(1).start().await;
    let body = r#"{"messages":[{"role":"user","content":"Hello"}]}"#;
    app.chat(body).await.assert_status(200);
    let calls = app.gemini.calls();
    assert_eq!(calls[0].model.as_deref(), Some("gemini-flash-latest"));
}

#[tokio::test]
async fn passes_tool_calls_thoughts_and_blocked_prompts() {
    let app = Setup::keys(1).start().await;
    let call = ToolCall::new("lookup", r#"{"q":"x"}"#).signature("c2lnbmF0dXJl");
    let name = "/choices/0/message/tool_calls/0/function/name";
    let thoughts = Answer::text("done").usage(10, 2).thinking(30);
    for (answer, path, expected) in [
        (Answer::tool_calls([call]), name, json!("lookup")),
        (thoughts, "/usage/total_tokens", json!(42)),
        (Answer::empty(), "/choices/0/finish_reason", json!("stop")),
    ] {
        app.script(Reply::answer(answer));
        let got = app.chat(CHAT).await;
        got.assert_status(200);
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
    let origin = gemini.origin();
    let endpoint = format!("{origin}/elsewhere/chat?x=1");
    let variables = [
        ("llm_api_origin", &*origin),
        ("llm_api_endpoint", &endpoint),
    ];
    let app = Setup::with(1, &variables).start().await;
    let answer = app.chat(CHAT).await;
    answer.assert_error(404, "invalid_request");
    let calls = gemini.calls();
    assert_eq!(calls[0].path, "/elsewhere/chat");
    assert_eq!(calls[0].query.as_deref(), Some("x=1"));
    assert!(app.gemini.calls().is_empty());
}

#[tokio::test]
async fn reuses_connections_to_the_upstream() {
    let app = Setup::keys(1).start().await;
    app.serve_chats(20).await;
    // Usually one, but a call may start before the previous connection is back in the host's pool.
    let accepted = app.gemini.accepted_connections();
    assert!(accepted <= 5, "{accepted} connections for 20 calls");
}

#[tokio::test]
async fn accepts_every_http_spelling_of_the_token_header() {
    let app = Setup::keys(1).start().await;
    let request = app.client.post("/v1/chat/completions", CHAT);
    let request = request.header("authorization", &format!("bearer   {TOKEN} "));
    request.send().await.assert_status(200);
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
    app.script(Reply::answer(call));
    assert_eq!(app.chat(body(PROMPT)).await.status, 200);
    app.restart().await;

    let answer = app.chat(body(&format!("{PROMPT},{TURN}"))).await;
    answer.assert_status(200);
    let calls = app.gemini.calls();
    let sent = String::from_utf8_lossy(&calls.last().unwrap().body).into_owned();
    assert!(sent.contains(SIGNATURE), "{sent}");
    assert_eq!(calls.len(), 2, "no retry");
}
