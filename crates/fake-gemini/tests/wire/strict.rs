//! How strict the compatible surface is: what it takes, and what it refuses in which words.

use crate::support::{KEY, chat, chat_with, compat, gemini, question, start};
use fake_gemini::{FakeGemini, errors};

#[tokio::test]
async fn all_documented_fields_are_accepted() {
    let gemini = gemini().await;
    for more in [
        r#","stream":false,"stream_options":null,"n":1,"temperature":1,"top_p":0.9,"max_tokens":5,"max_completion_tokens":5,"stop":["x"],"tools":[],"tool_choice":"auto","parallel_tool_calls":true,"response_format":{"type":"json_object"},"reasoning_effort":"low","service_tier":"flex","extra_body":{"google":{"cached_content":null,"safety_settings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}],"thinking_config":{"include_thoughts":true}}}"#,
        r#","extra_body":{"google":{"thinking_config":{"thinking_budget":800,"thinking_level":null}}}"#,
        r#","reasoning_effort":null,"extra_body":{"google":{"thinking_config":{"thinking_level":"low"}}}"#,
        r#","stop":"x","stream_options":{"include_usage":true},"n":"2","temperature":"0.5","max_tokens":5.0"#,
        r#","tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"any":{"x-of":"these"}}},"strict":true}}],"tool_choice":{"type":"function","function":{"name":"f"}}"#,
        r#","response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object"}}}"#,
    ] {
        let response = chat(&gemini, more).await;
        assert_eq!(response.status(), 200, "{more}: {}", response.text());
    }
}

#[tokio::test]
async fn messages_of_all_kinds_are_accepted() {
    let gemini = gemini().await;
    for message in [
        r#"{"role":"user","name":"me","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA==","detail":"low"}},{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}]}"#,
        r#"{"role":"assistant","content":null,"extra_content":{"google":{"thought":true,"thought_signature":"s"}},"thought_signature":"s","tool_calls":[{"id":"","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s"}}}]}"#,
        r#"{"role":"tool","name":"f","tool_call_id":"","content":"x","extra_content":{"google":{}},"thought_signature":"s"}"#,
    ] {
        let body = format!(r#"{{"model":"gemini-2.5-flash","messages":[{message}]}}"#);
        let response = chat_with(&gemini, KEY, &body).await;
        assert_eq!(response.status(), 200, "{message}: {}", response.text());
    }
}

#[tokio::test]
async fn unknown_fields_are_refused_all_at_once_in_their_order() {
    let gemini = gemini().await;
    let response = chat(
        &gemini,
        r#","top_k":1,"frequency_penalty":0,"seed":null,"reasoning":{}"#,
    )
    .await;
    assert_eq!(response.status(), 400);
    let names = ["top_k", "frequency_penalty", "seed", "reasoning"];
    assert_eq!(
        response.text(),
        errors::unknown_fields(&names).pretty_array()
    );
}

#[tokio::test]
async fn unknown_fields_within_others_are_named_with_their_place() {
    let gemini = gemini().await;
    let message = |more: &str| {
        format!(r#"{{"model":"gemini-2.5-flash","messages":[{{"role":"user"{more}}}]}}"#)
    };
    for (body, place) in [
        (message(r#","x":1"#), "messages[0]"),
        (
            message(r#","content":[{"type":"text","x":1}]"#),
            "messages[0].content[0]",
        ),
        (
            message(r#","tool_calls":[{"x":1}]"#),
            "messages[0].tool_calls[0]",
        ),
        (
            message(r#","tool_calls":[{"id":""},{"function":{"x":1}}]"#),
            "messages[0].tool_calls[1].function",
        ),
        (
            question(r#","stream_options":{"x":true}"#),
            "stream_options",
        ),
        (question(r#","tools":[{"x":1}]"#), "tools[0]"),
        (
            question(r#","tools":[{"type":"function","function":{"name":"f","x":1}}]"#),
            "tools[0].function",
        ),
        (question(r#","extra_body":{"x":1}"#), "extra_body"),
    ] {
        let response = chat_with(&gemini, KEY, &body).await;
        let expected = errors::unknown_field_in(place, "x").pretty_array();
        assert_eq!(
            (response.status(), response.text()),
            (400, expected.as_str())
        );
    }
}

#[tokio::test]
async fn all_that_is_wrong_comes_in_one_error() {
    let gemini = gemini().await;
    let more = r#","extra_body":{"extra_body":{}},"temperature":"hot","top_k":1"#;
    let error = chat(&gemini, more).await.json()[0]["error"].clone();
    let lines = [
        r#"Invalid JSON payload received. Unknown name "extra_body" at 'extra_body': Cannot find field."#,
        r#"Invalid value at 'temperature' (TYPE_FLOAT), "hot""#,
        r#"Invalid JSON payload received. Unknown name "top_k": Cannot find field."#,
    ];
    assert_eq!(error["message"], lines.join("\n"));
    let violations = &error["details"][0]["fieldViolations"];
    for (index, field) in ["extra_body", "temperature"].into_iter().enumerate() {
        assert_eq!(violations[index]["field"], field);
    }
    assert_eq!(violations[2].get("field"), None);
    assert_eq!(violations[2]["description"], lines[2]);
}

#[tokio::test]
async fn values_of_another_type_are_refused() {
    let gemini = gemini().await;
    let messages =
        |messages: &str| format!(r#"{{"model":"gemini-2.5-flash","messages":{messages}}}"#);
    for (body, message) in [
        (
            question(r#","temperature":"hot""#),
            r#"'temperature' (TYPE_FLOAT), "hot""#,
        ),
        (question(r#","top_p":[]"#), "'top_p' (TYPE_FLOAT), []"),
        (question(r#","n":"many""#), r#"'n' (TYPE_INT32), "many""#),
        (
            question(r#","max_tokens":1.5"#),
            "'max_tokens' (TYPE_INT32), 1.5",
        ),
        (question(r#","tools":5"#), "'tools' (TYPE_MESSAGE), 5"),
        (question(r#","tools":[5]"#), "'tools[0]' (TYPE_MESSAGE), 5"),
        (question(r#","stop":5"#), "'stop' (TYPE_MESSAGE), 5"),
        (question(r#","stop":[5]"#), "'stop[0]' (TYPE_STRING), 5"),
        (
            question(r#","stream_options":true"#),
            "'stream_options' (TYPE_MESSAGE), true",
        ),
        (
            question(r#","stream_options":{"include_usage":1}"#),
            "'stream_options.include_usage' (TYPE_BOOL), 1",
        ),
        (
            question(r#","parallel_tool_calls":"no""#),
            r#"'parallel_tool_calls' (TYPE_BOOL), "no""#,
        ),
        (
            question(r#","response_format":"json""#),
            r#"'response_format' (TYPE_MESSAGE), "json""#,
        ),
        (
            question(r#","reasoning_effort":1"#),
            "'reasoning_effort' (TYPE_STRING), 1",
        ),
        (
            question(r#","extra_body":{"google":1}"#),
            "'extra_body.google' (TYPE_MESSAGE), 1",
        ),
        (messages("[7]"), "'messages[0]' (TYPE_MESSAGE), 7"),
        (messages("[null]"), "'messages[0]' (TYPE_MESSAGE), null"),
        (
            messages(r#"[{"role":1}]"#),
            "'messages[0].role' (TYPE_STRING), 1",
        ),
        (
            messages(r#"[{"content":1}]"#),
            "'messages[0].content' (TYPE_MESSAGE), 1",
        ),
        (
            messages(r#"[{"content":["x"]}]"#),
            r#"'messages[0].content[0]' (TYPE_MESSAGE), "x""#,
        ),
    ] {
        let response = chat_with(&gemini, KEY, &body).await;
        assert_eq!(response.status(), 400, "{body}");
        let error = &response.json()[0]["error"];
        assert_eq!(error["message"], format!("Invalid value at {message}"));
        assert_eq!(error["status"], "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn values_out_of_range_are_refused() {
    let gemini = gemini().await;
    let thinking = |config: &str| {
        format!(
            r#","reasoning_effort":"low","extra_body":{{"google":{{"thinking_config":{config}}}}}"#
        )
    };
    for more in [
        r#","n":-1"#,
        r#","n":0"#,
        r#","n":9"#,
        r#","max_tokens":0"#,
        r#","max_completion_tokens":-5"#,
        &thinking(r#"{"thinking_budget":800}"#),
        &thinking(r#"{"thinking_level":"low"}"#),
    ] {
        let response = chat(&gemini, more).await;
        assert_eq!(
            (response.status(), response.text()),
            (400, errors::invalid_argument().pretty_array().as_str()),
            "{more}"
        );
    }
}

#[tokio::test]
async fn a_lenient_fake_ignores_unknown_fields_but_no_wrong_types() {
    let gemini = start(FakeGemini::builder().key(KEY).lenient()).await;
    let more = r#","seed":1,"user":"me","stream_options":{"x":1}"#;
    assert_eq!(chat(&gemini, more).await.status(), 200);
    assert_eq!(chat(&gemini, r#","tools":5"#).await.status(), 400);
}

#[tokio::test]
async fn embeddings_are_read_as_strictly() {
    let gemini = gemini().await;
    for (more, message) in [
        (
            r#""input":"x","user":"me""#,
            r#"Invalid JSON payload received. Unknown name "user": Cannot find field."#,
        ),
        (r#""input":5"#, "Invalid value at 'input' (TYPE_MESSAGE), 5"),
        (
            r#""input":["x",5]"#,
            "Invalid value at 'input[1]' (TYPE_STRING), 5",
        ),
        (
            r#""input":"x","dimensions":"two""#,
            r#"Invalid value at 'dimensions' (TYPE_INT32), "two""#,
        ),
        (
            r#""input":"x","dimensions":-1"#,
            "Request contains an invalid argument.",
        ),
    ] {
        let body = format!(r#"{{"model":"gemini-embedding-001",{more}}}"#);
        let response = compat(&gemini, "embeddings", &body).await;
        assert_eq!(response.json()[0]["error"]["message"], message);
    }
}
