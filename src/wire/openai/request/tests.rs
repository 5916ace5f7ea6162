use super::*;
use proptest::prelude::*;

fn parse(body: &str) -> Result<ChatRequest, InvalidRequest> {
    ChatRequest::parse(body.as_bytes().to_vec(), "default-model")
}

fn sent(body: &str) -> String {
    String::from_utf8(parse(body).unwrap().body).unwrap()
}

#[test]
fn a_body_with_a_model_passes_unchanged() {
    let body = " {\"zeta\": 1.0e+2, \"messages\":[{\"role\":\"user\",\"content\":\"hé\\u00e9\"}],\n\"model\" : \"m\\u002d1\",\"x\":{\"model\":3}} ";
    let request = parse(body).unwrap();
    assert_eq!(request.model, "m-1");
    assert_eq!(request.body, body.as_bytes());
}

#[test]
fn inserts_a_missing_model_and_nothing_else() {
    let (value, member) = (r#""default-model""#, r#""model":"default-model","#);
    for (body, sent_by_client, expected) in [
        (r#"{*"messages":[]}"#, "", member),
        (r#"  {* "messages" : [] , "seed":1}"#, "", member),
        (r#"{"messages":[],"model":*}"#, "null", value),
        (r#"{"model": * ,"messages":[]}"#, r#""""#, value),
        (r#"{"model":*,"messages":[]}"#, r#""  ""#, value),
    ] {
        let request = body.replace('*', sent_by_client);
        assert_eq!(sent(&request), body.replace('*', expected));
        assert_eq!(parse(&request).unwrap().model, "default-model");
    }
}

#[test]
fn rejects_invalid_chat_requests_with_a_reason() {
    use InvalidRequest::{Messages, Model, NotAnObject};
    for (body, expected) in [
        ("[]", NotAnObject),
        ("\"text\"", NotAnObject),
        ("12", NotAnObject),
        ("{}", Messages),
        (r#"{"messages":null}"#, Messages),
        (r#"{"messages":"hi"}"#, Messages),
        (r#"{"messages":{"a":[1]}}"#, Messages),
        (r#"{"messages":true}"#, Messages),
        (r#"{"messages":1.5}"#, Messages),
        (r#"{"messages":-1}"#, Messages),
        (r#"{"messages":[],"model":1}"#, Model),
        (r#"{"messages":[],"model":["m"]}"#, Model),
    ] {
        assert_eq!(parse(body), Err(expected), "{body}");
    }
    for body in [
        "",
        "   ",
        "{",
        "{\"messages\":[}",
        "nul",
        "{\"messages\":[]} x",
        "{\"model\":\"a\",\"model\":\"b\",\"messages\":[]}",
        "\u{feff}{}",
    ] {
        let parsed = parse(body);
        assert!(matches!(parsed, Err(InvalidRequest::Json(_))), "{parsed:?}");
    }
}

#[test]
fn only_include_usage_requests_usage() {
    for (field, expected) in [
        (r#""stream_options":{"include_usage":true}"#, true),
        (r#""stream_options":{"include_usage":false}"#, false),
        (r#""stream_options":{"include_usage":"true"}"#, false),
        (r#""stream_options":null"#, false),
        (r#""stream_options":1"#, false),
        (r#""include_usage":true"#, false),
    ] {
        let body = format!(r#"{{"messages":[],{field}}}"#);
        let request = ChatRequest::parse(body.into_bytes(), "m").unwrap();
        assert_eq!(request.include_usage, expected, "{field}");
    }
}

#[test]
fn only_one_encoding_format_requests_base64() {
    for (body, expected) in [
        (r#"{"input":"x","encoding_format":"base64"}"#, true),
        (r#"{"encoding_format":"b\u0061se64"}"#, true),
        (r#"{"encoding_format":"float"}"#, false),
        (r#"{"encoding_format":["base64"]}"#, false),
        (r#"{"input":{"encoding_format":"base64"}}"#, false),
        (r#"["encoding_format","base64"]"#, false),
        ("", false),
    ] {
        assert_eq!(asks_for_base64(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn rejects_invalid_utf8() {
    let body = b"{\"messages\":[\"\xff\"]}".to_vec();
    let parsed = ChatRequest::parse(body, "m");
    assert!(matches!(parsed, Err(InvalidRequest::Json(_))));
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let body = format!(r#"{{"model":"m","messages":{deep}}}"#);
    assert_eq!(sent(&body), body);
}

proptest! {
    #[test]
    fn accepts_any_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ChatRequest::parse(body, "m");
    }

    #[test]
    fn the_spliced_body_only_adds_the_model(extra in "[a-z]{1,8}", number in any::<i32>(), default in ".{1,20}") {
        prop_assume!(extra != "model" && extra != "messages" && !default.trim().is_empty());
        let body = serde_json::json!({ "messages": [number], extra: number }).to_string();
        let request = ChatRequest::parse(body.clone().into_bytes(), &default).unwrap();
        let mut expected: serde_json::Value = serde_json::from_str(&body).unwrap();
        expected["model"] = default.into();
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&request.body).unwrap(), expected);
    }
}
