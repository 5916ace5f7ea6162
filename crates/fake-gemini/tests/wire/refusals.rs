//! What the fake refuses: credentials, keys, fields and thought signatures.

use crate::support::{
    CHAT, CONTENTS, GENERATE, KEY, OTHER_KEY, call, chat, gemini, native, openai, question, start,
    two_projects,
};
use fake_gemini::{Answer, Condition, FakeGemini, Reply, ToolCall, errors};
use serde_json::json;

#[tokio::test]
async fn each_surface_takes_keys_in_its_own_places() {
    let gemini = gemini().await;
    let bearer = format!("Bearer {KEY}");
    let bearer = ("authorization", bearer.as_str());
    let header = ("x-goog-api-key", KEY);
    let basic = ("authorization", "Basic dXNlcg==");
    let with_key = |path: &str| format!("{path}?alt=json&key={KEY}");
    let (chat_key, generate_key) = (with_key(CHAT), with_key(GENERATE));
    for (path, headers, status) in [
        (CHAT, &[bearer][..], 200),
        (CHAT, &[header], 200),
        (CHAT, &[], 400),
        (CHAT, &[basic], 400),
        (&chat_key, &[], 400),
        (CHAT, &[bearer, header], 400),
        (GENERATE, &[header], 200),
        (&generate_key, &[], 200),
        (GENERATE, &[], 403),
        (GENERATE, &[bearer], 401),
        (&generate_key, &[header], 400),
        ("/v1beta/what/comes/next", &[header], 404),
    ] {
        let body = match path.contains("openai") {
            true => question(""),
            false => CONTENTS.to_owned(),
        };
        let response = call(&gemini, "POST", path, headers, &body).await;
        assert_eq!(response.status(), status, "{path} {headers:?}");
    }
}

#[tokio::test]
async fn condition_of_a_key_decides_its_error() {
    let gemini = gemini().await;
    for condition in Condition::ALL {
        gemini.set_condition(KEY, condition);
        let rpc = "google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent";
        let response = chat(&gemini, "").await;
        match condition.error(KEY, "projects/000000000001", rpc) {
            None => assert_eq!(response.status(), 200),
            Some(error) => response.expect(error.code(), &error.pretty_array()),
        }
    }
    let unknown = openai(&gemini, OTHER_KEY, "chat/completions", &question("")).await;
    assert_eq!(unknown.text(), errors::key_invalid().pretty_array());
}

#[tokio::test]
async fn scripts_of_the_key_come_before_those_of_any_key() {
    let gemini = two_projects().await;
    let say = |text: &str| Reply::answer(Answer::text(text));
    gemini.script_any(say("any 1"));
    gemini.script_any(say("any 2"));
    gemini.script(KEY, say("own"));
    gemini.set_condition(KEY, Condition::Expired);
    for (key, expected) in [(KEY, "own"), (OTHER_KEY, "any 1"), (KEY, "any 2")] {
        // A request that is refused takes no reply.
        let refused = openai(&gemini, key, "chat/completions", &question(r#","seed":1"#)).await;
        assert_eq!(refused.status(), 400);
        let answer = openai(&gemini, key, "chat/completions", &question("")).await;
        assert_eq!(answer.json()["choices"][0]["message"]["content"], expected);
    }
    assert_eq!(chat(&gemini, "").await.status(), 400);
}

#[tokio::test]
async fn unknown_fields_are_refused_together() {
    let gemini = gemini().await;
    let more = r#","top_k":1,"seed":null,"frequency_penalty":0"#;
    let expected = errors::unknown_fields(&["frequency_penalty", "seed", "top_k"]);
    let response = chat(&gemini, more).await;
    response.expect(400, &expected.pretty_array());
    let message = |more: &str| {
        format!(r#"{{"model":"gemini-2.5-flash","messages":[{{"role":"user"{more}}}]}}"#)
    };
    for (body, name, place) in [
        (message(r#","x":1"#), "x", "messages[0]"),
        (
            message(r#","tool_calls":[{"index":0}]"#),
            "index",
            "messages[0].tool_calls[0]",
        ),
        (question(r#","tools":[{"x":1}]"#), "x", "tools[0]"),
        (question(r#","extra_body":{"x":1}"#), "x", "extra_body"),
    ] {
        let response = openai(&gemini, KEY, "chat/completions", &body).await;
        let expected = errors::unknown_field_in(place, name).pretty_array();
        assert_eq!(response.text(), expected);
    }
    let lenient = start(FakeGemini::builder().key(KEY).lenient()).await;
    assert_eq!(chat(&lenient, r#","seed":1"#).await.status(), 200);
}

#[tokio::test]
async fn values_of_another_type_are_refused() {
    let gemini = gemini().await;
    for (more, field, kind, value) in [
        (
            r#","temperature":"hot""#,
            "temperature",
            "TYPE_FLOAT",
            r#""hot""#,
        ),
        (r#","max_tokens":1.5"#, "max_tokens", "TYPE_INT32", "1.5"),
        (r#","tools":5"#, "tools", "TYPE_MESSAGE", "5"),
        (r#","stop":[5]"#, "stop[0]", "TYPE_STRING", "5"),
    ] {
        let response = chat(&gemini, more).await;
        let expected = errors::invalid_value(field, kind, value).pretty_array();
        response.expect(400, &expected);
    }
    let too_many = format!(r#"{{"requests":[{}]}}"#, ["{}"; 101].join(","));
    let path = "/v1beta/models/gemini-embedding-001:batchEmbedContents";
    for (path, body) in [
        (path, too_many.as_str()),
        (GENERATE, r#"{"contents":"nonsense"}"#),
        (GENERATE, r#"{"contents":[]}"#),
        (GENERATE, "{oops"),
    ] {
        let response = native(&gemini, KEY, "POST", path, body).await;
        assert_eq!(response.status(), 400, "{}", response.text());
    }
}

/// The current turn: the user asks, the model calls `shell`, the result comes back.
fn turn(signature: Option<&str>) -> String {
    let function = json!({"name": "shell", "arguments": "{}"});
    let mut call = json!({"id": "1", "type": "function", "function": function});
    if let Some(signature) = signature {
        call["extra_content"] = json!({"google": {"thought_signature": signature}});
    }
    let messages = json!([
        {"role": "user", "content": "ls"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "a.txt"},
    ]);
    json!({"model": "gemini-3.8-flash", "messages": messages}).to_string()
}

#[tokio::test]
async fn missing_thought_signature_is_refused() {
    let gemini = gemini().await;
    let expected = errors::missing_thought_signature("default_api:shell", 2);
    let response = openai(&gemini, KEY, "chat/completions", &turn(None)).await;
    response.expect(400, &expected.pretty_array());
    let contents = json!({"contents": [
        {"role": "user", "parts": [{"text": "ls"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "shell", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "shell", "response": {}}}]},
    ]});
    let path = "/v1beta/models/gemini-3.8-flash:generateContent";
    let response = native(&gemini, KEY, "POST", path, &contents.to_string()).await;
    assert_eq!(response.text(), expected.pretty());
    let older = turn(None).replace("gemini-3.8-flash", "gemini-2.5-flash");
    let response = openai(&gemini, KEY, "chat/completions", &older).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn only_issued_thought_signatures_are_accepted() {
    let gemini = gemini().await;
    let call = ToolCall::new("shell", "{}").signature("Ab+/cQ==");
    gemini.script(KEY, Reply::answer(Answer::tool_calls([call])));
    assert_eq!(chat(&gemini, "").await.status(), 200);
    for (signature, status) in [
        ("Ab+/cQ==", 200),
        ("Ab-_cQ", 200),
        ("skip_thought_signature_validator", 200),
        ("AVSo", 400),
        ("", 400),
    ] {
        let response = openai(&gemini, KEY, "chat/completions", &turn(Some(signature))).await;
        assert_eq!(response.status(), status, "{signature}");
    }
}
