//! Requests that are not in order, and paths that lead nowhere.

use crate::support::{
    CHAT, KEY, OTHER_KEY, call, chat, chat_with, contents, gemini, native, question, start,
};
use fake_gemini::{FakeGemini, Kind, Model, errors};

#[tokio::test]
async fn malformed_requests_are_400_with_googles_words() {
    let gemini = gemini().await;
    let messages = r#""messages":[{"role":"user","content":"x"}]"#;
    for (body, message) in [
        ("", "Unexpected token."),
        ("{", "Unexpected token."),
        ("{\"model\":\"\\ud800\"}", "Unexpected token."),
        ("[]", "Root element must be a message."),
        ("7", "Root element must be a message."),
        (&format!("{{{messages}}}"), "model is not specified"),
        (
            &format!(r#"{{"model":"",{messages}}}"#),
            "model is not specified",
        ),
        (
            &format!(r#"{{"model":7,{messages}}}"#),
            "Invalid value at 'model' (TYPE_STRING), 7",
        ),
        (
            r#"{"model":"gemini-2.5-flash"}"#,
            "contents is not specified",
        ),
        (
            r#"{"model":"gemini-2.5-flash","messages":[]}"#,
            "contents is not specified",
        ),
        (
            r#"{"model":"gemini-2.5-flash","messages":"hi"}"#,
            "Invalid value at 'messages' (TYPE_MESSAGE), \\\"hi\\\"",
        ),
        (
            &format!(r#"{{"model":"gemini-2.5-flash",{messages},"stream":"yes"}}"#),
            "Invalid value at 'stream' (TYPE_BOOL), \\\"yes\\\"",
        ),
        (
            &format!(r#"{{"model":{}"#, "[".repeat(10_000)),
            "Unexpected token.",
        ),
    ] {
        let response = chat_with(&gemini, KEY, body).await;
        assert_eq!(response.status(), 400, "{body}");
        assert!(
            response.text().contains(message),
            "{body}: {}",
            response.text()
        );
        assert_eq!(response.json()[0]["error"]["status"], "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn malformed_native_requests_are_400() {
    let gemini = gemini().await;
    let too_many = format!(r#"{{"requests":[{}]}}"#, vec!["{}"; 101].join(","));
    for (path, body, message) in [
        (
            "models/gemini-2.5-flash:generateContent",
            "{}",
            "contents is not specified",
        ),
        (
            "models/gemini-2.5-flash:generateContent",
            "nonsense",
            "Unexpected token.",
        ),
        (
            "models/gemini-2.5-flash:generateContent",
            r#"{"contents":7}"#,
            "Invalid value at 'contents'",
        ),
        (
            "models/gemini-2.5-flash:countTokens",
            "{}",
            "contents is not specified",
        ),
        (
            "models/gemini-embedding-001:embedContent",
            "{}",
            "invalid argument",
        ),
        (
            "models/gemini-embedding-001:embedContent",
            r#"{"content":"x","outputDimensionality":4000}"#,
            "invalid argument",
        ),
        (
            "models/gemini-embedding-001:batchEmbedContents",
            &too_many,
            "at most 100 requests",
        ),
        (
            "models/gemini-embedding-001:batchEmbedContents",
            r#"{"requests":[{"outputDimensionality":0}]}"#,
            "invalid argument",
        ),
    ] {
        let response = native(&gemini, path, body).await;
        assert_eq!(response.status(), 400, "{path} {body}");
        assert!(
            response.text().contains(message),
            "{path}: {}",
            response.text()
        );
    }
}

#[tokio::test]
async fn tokens_are_counted_inside_of_a_whole_request_too() {
    let gemini = gemini().await;
    let body = format!(r#"{{"generateContentRequest":{}}}"#, contents());
    let response = native(&gemini, "models/gemini-2.5-flash:countTokens", &body).await;
    assert_eq!(response.json()["totalTokens"], 3);
}

#[tokio::test]
async fn a_body_above_googles_limit_is_refused() {
    let gemini = gemini().await;
    let response = chat_with(&gemini, KEY, &" ".repeat(100 * 1024 * 1024 + 1)).await;
    assert_eq!(response.text(), errors::payload_too_large().pretty_array());
}

#[tokio::test]
async fn an_unknown_model_is_told_in_the_words_of_its_surface() {
    let gemini = gemini().await;
    for (model, method) in [
        ("gpt-4o", "generateContent"),
        ("gemini-embedding-001", "generateContent"),
        ("models/aqa", "generateContent"),
    ] {
        let body = question("").replace("gemini-2.5-flash", model);
        let compat = chat_with(&gemini, KEY, &body).await;
        assert_eq!(
            (compat.status(), compat.text()),
            (
                404,
                errors::model_not_found(model, "v1main", method)
                    .pretty_array()
                    .as_str()
            )
        );
    }
    for (path, model, method) in [
        ("models/x:generateContent", "x", "generateContent"),
        ("models/x:countTokens", "x", "countTokens"),
        (
            "models/gemini-2.5-flash:embedContent",
            "gemini-2.5-flash",
            "embedContent",
        ),
    ] {
        let body = r#"{"contents":[{"parts":[{"text":"x"}]}],"content":"x"}"#;
        let response = native(&gemini, path, body).await;
        assert_eq!(
            (response.status(), response.text()),
            (
                404,
                errors::model_not_found(model, "v1beta", method)
                    .pretty()
                    .as_str()
            )
        );
    }
}

#[tokio::test]
async fn a_model_may_be_named_with_its_prefix_and_is_echoed_as_sent() {
    let gemini = gemini().await;
    let body = question("").replace("gemini-2.5-flash", "models/gemini-2.5-flash");
    let response = chat_with(&gemini, KEY, &body).await;
    assert_eq!(response.json()["model"], "models/gemini-2.5-flash");
}

#[tokio::test]
async fn models_can_be_added_and_be_retired_for_a_project() {
    let gemini = start(
        FakeGemini::builder()
            .key_of_project(KEY, "projects/1")
            .key(OTHER_KEY)
            .model(Model::new("models/house-model", Kind::Chat))
            .retired_model("projects/1", "models/gemini-2.5-flash"),
    )
    .await;
    let house = question("").replace("gemini-2.5-flash", "house-model");
    assert_eq!(chat_with(&gemini, KEY, &house).await.status(), 200);
    let retired = chat(&gemini, "").await;
    assert_eq!(
        (retired.status(), retired.text()),
        (
            404,
            errors::model_retired_for_new_users("gemini-2.5-flash")
                .pretty_array()
                .as_str()
        )
    );
    let other = chat_with(&gemini, OTHER_KEY, &question("")).await;
    assert_eq!(other.status(), 200, "it depends on the project");
    gemini.retire_model("projects/1", "house-model");
    assert_eq!(chat_with(&gemini, KEY, &house).await.status(), 404);
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_404_without_a_body() {
    let gemini = gemini().await;
    for (method, path) in [
        ("GET", "/"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1beta/openai/responses"),
        ("POST", "/v1beta/openai/completions"),
        ("GET", CHAT),
        ("DELETE", CHAT),
        ("POST", "/v1beta/openai/models"),
        ("GET", "/v1beta/openai/models/"),
        ("GET", "/v1beta/openai"),
        ("POST", "/v1beta/models/gemini-2.5-flash:unknownVerb"),
        ("POST", "/v1beta/models/:generateContent"),
        ("POST", "/v1beta/models/a/b:generateContent"),
        ("POST", "/v1beta/models/a%2Fb:generateContent"),
        ("PUT", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("POST", "/v1beta/models/gemini-2.5-flash"),
        ("GET", "/v1beta/models/%FF"),
        ("GET", "/v1beta"),
    ] {
        let response = call(&gemini, method, path, &[("x-goog-api-key", KEY)], "").await;
        assert_eq!(
            (response.status(), response.text()),
            (404, ""),
            "{method} {path}"
        );
        assert_eq!(response.head.get("content-type"), None);
        assert_eq!(response.head.get("content-length"), Some("0"));
    }
}

#[tokio::test]
async fn a_colon_may_come_encoded() {
    let gemini = gemini().await;
    let path = "models/gemini-2.5-flash%3AgenerateContent";
    assert_eq!(native(&gemini, path, &contents()).await.status(), 200);
}
