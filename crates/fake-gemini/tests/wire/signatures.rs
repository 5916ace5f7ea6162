//! Thought signatures that have to come back.

use crate::support::{KEY, OTHER_KEY, chat_with, gemini, native, native_as, start, two_projects};
use fake_gemini::{Answer, FakeGemini, Reply, ToolCall};

const MODEL: &str = "gemini-3.8-flash";
const GENERATE: &str = "models/gemini-3.8-flash:generateContent";

/// The compatible error as it was published, pretty-printed in an array of one.
const MISSING: &str = r#"[{
  "error": {
    "code": 400,
    "message": "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call `default_api:shell` , position 2. Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
    "status": "INVALID_ARGUMENT"
  }
}
]
"#;

/// A tool call that comes back, with `extra` in it.
fn called(name: &str, extra: &str) -> String {
    format!(
        r#"{{"id":"call_297140","type":"function","function":{{"name":"{name}","arguments":"{{}}"}}{extra}}}"#
    )
}

fn signed(signature: &str) -> String {
    format!(r#","extra_content":{{"google":{{"thought_signature":"{signature}"}}}}"#)
}

/// A conversation with a system's instructions, a user's words, and what follows.
fn messages(model: &str, more: &[String]) -> String {
    format!(
        r#"{{"model":"{model}","messages":[{{"role":"system","content":"Be brief."}},{{"role":"user","content":"ls"}},{}]}}"#,
        more.join(",")
    )
}

fn calls(calls: &[String]) -> String {
    format!(
        r#"{{"role":"assistant","content":null,"tool_calls":[{}]}}"#,
        calls.join(",")
    )
}

fn result() -> String {
    r#"{"role":"tool","tool_call_id":"call_297140","content":"a.txt"}"#.to_owned()
}

/// Lets the fake give `signature` to `key`.
async fn give(gemini: &FakeGemini, key: &str, signature: &str) {
    let call = ToolCall::new("shell", "{}").signature(signature);
    gemini.script(key, Reply::answer(Answer::tool_calls([call])));
    let question =
        format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":"ls"}}]}}"#);
    assert_eq!(chat_with(gemini, key, &question).await.status(), 200);
}

#[tokio::test]
async fn a_call_that_lost_its_signature_is_refused_on_the_compatible_surface() {
    let gemini = gemini().await;
    let body = messages(MODEL, &[calls(&[called("shell", "")]), result()]);
    // Scripts are for requests that are in order.
    gemini.script(KEY, Reply::ok());
    let response = chat_with(&gemini, KEY, &body).await;
    assert_eq!((response.status(), response.text()), (400, MISSING));
    assert_eq!(gemini.unused_replies(), 1);

    let streamed = body.replacen('{', r#"{"stream":true,"#, 1);
    let response = chat_with(&gemini, KEY, &streamed).await;
    assert_eq!((response.status(), response.text()), (400, MISSING));

    let older = body.replace(MODEL, "gemini-2.5-flash");
    assert_eq!(chat_with(&gemini, KEY, &older).await.status(), 200);
}

#[tokio::test]
async fn a_call_that_lost_its_signature_is_refused_on_the_native_surface() {
    let gemini = gemini().await;
    let body = r#"{"contents":[{"role":"user","parts":[{"text":"ls"}]},{"role":"model","parts":[{"functionCall":{"name":"shell","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"name":"shell","response":{}}}]}]}"#;
    let response = native(&gemini, GENERATE, body).await;
    let error = MISSING.strip_prefix('[').unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.text(), error.strip_suffix("]\n").unwrap());
    // Whether Google looks at them to count tokens is not known.
    let count = GENERATE.replace("generateContent", "countTokens");
    assert_eq!(native(&gemini, &count, body).await.status(), 200);
}

#[tokio::test]
async fn what_was_given_comes_back() {
    let gemini = gemini().await;
    give(&gemini, KEY, "Ab+/cQ==").await;
    for (signature, status) in [
        ("Ab+/cQ==", 200),
        ("Ab-_cQ==", 200),
        ("skip_thought_signature_validator", 200),
        ("context_engineering_is_the_way_to_go", 200),
        ("Ab+/cQ==Ab+/cQ==", 400),
        ("AVSo", 400),
        ("", 400),
    ] {
        let body = messages(
            MODEL,
            &[calls(&[called("shell", &signed(signature))]), result()],
        );
        let response = chat_with(&gemini, KEY, &body).await;
        assert_eq!(response.status(), status, "{signature}");
        let body = format!(
            r#"{{"contents":[{{"parts":[{{"text":"ls"}}]}},{{"role":"model","parts":[{{"functionCall":{{"name":"shell"}},"thoughtSignature":"{signature}"}}]}}]}}"#
        );
        let response = native(&gemini, GENERATE, &body).await;
        assert_eq!(response.status(), status, "{signature}");
    }
    let body = messages(MODEL, &[calls(&[called("shell", &signed("AVSo"))])]);
    assert_eq!(
        chat_with(&gemini, KEY, &body).await.json()[0]["error"],
        serde_json::json!({
            "code": 400, "message": "Corrupted thought signature.", "status": "INVALID_ARGUMENT",
        })
    );
}

#[tokio::test]
async fn of_each_step_of_the_turn_the_first_call_needs_it() {
    let gemini = gemini().await;
    give(&gemini, KEY, "AVSo").await;
    let bare = called("shell", "");
    let with = called("shell", &signed("AVSo"));
    let user = r#"{"role":"user","content":"again"}"#.to_owned();
    for (more, status) in [
        (vec![calls(&[with.clone(), bare.clone()]), result()], 200),
        (vec![calls(&[bare.clone(), with.clone()]), result()], 400),
        (
            vec![
                calls(std::slice::from_ref(&with)),
                result(),
                calls(std::slice::from_ref(&bare)),
                result(),
            ],
            400,
        ),
        // Turns before it are not looked at.
        (
            vec![calls(std::slice::from_ref(&bare)), result(), user.clone()],
            200,
        ),
        (vec![user, calls(&[bare]), result()], 400),
    ] {
        let body = messages(MODEL, &more);
        assert_eq!(
            chat_with(&gemini, KEY, &body).await.status(),
            status,
            "{body}"
        );
    }
}

#[tokio::test]
async fn signatures_may_be_good_for_their_project_alone() {
    let everywhere = two_projects().await;
    let apart = start(
        FakeGemini::builder()
            .key_of_project(KEY, "projects/1")
            .key_of_project(OTHER_KEY, "projects/2")
            .key_of_project("AIzaFAKE-third", "projects/1")
            .signatures_by_project(),
    )
    .await;
    let body = messages(
        MODEL,
        &[calls(&[called("shell", &signed("AVSo"))]), result()],
    );
    for (gemini, key, status) in [
        (&everywhere, KEY, 200),
        (&everywhere, OTHER_KEY, 200),
        (&apart, KEY, 200),
        (&apart, OTHER_KEY, 400),
        (&apart, "AIzaFAKE-third", 200),
    ] {
        give(gemini, KEY, "AVSo").await;
        assert_eq!(
            chat_with(gemini, key, &body).await.status(),
            status,
            "{key}"
        );
    }
}

#[tokio::test]
async fn a_refused_turn_uses_up_quota_and_a_bad_key_is_told_first() {
    let limit = fake_gemini::Quota::unlimited().requests_per_minute(1);
    let gemini = start(FakeGemini::builder().key(KEY).quota(limit)).await;
    let body = messages(MODEL, &[calls(&[called("shell", "")])]);
    assert_eq!(
        chat_with(&gemini, "AIzaFAKE-nobody", &body).await.json()[0]["error"]["message"],
        "API key not valid. Please pass a valid API key."
    );
    assert_eq!(chat_with(&gemini, KEY, &body).await.status(), 400);
    let path = format!("/v1beta/{GENERATE}");
    let contents = crate::support::contents();
    let next = native_as(&gemini, KEY, "POST", &path, &contents).await;
    assert_eq!(next.status(), 429);
}
