use super::*;
use fake_gemini::errors;
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

const INVALID_KEY: &str = r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"},{"@type":"type.googleapis.com/google.rpc.LocalizedMessage","locale":"en-US","message":"x"}]}}"#;

fn invalid_key() -> ApiError {
    ApiError {
        code: Some(400),
        status: Some("INVALID_ARGUMENT".into()),
        message: Some("API key not valid. Please pass a valid API key.".into()),
        reason: Some("API_KEY_INVALID".into()),
        ..ApiError::default()
    }
}

/// An error with this message and these details.
fn with_details(message: &str, details: serde_json::Value) -> ApiError {
    let body = json!({"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}});
    ApiError::parse(body.to_string().as_bytes())
}

fn quota(metric: &str, id: &str, value: Option<u64>) -> QuotaViolation {
    QuotaViolation {
        metric: Some(metric.to_owned()),
        id: Some(id.to_owned()),
        value,
    }
}

#[test]
fn every_framing_parses_to_the_same_error() {
    for body in [
        INVALID_KEY.to_owned(),
        format!("[{INVALID_KEY}\n]\n"),
        format!("\u{feff} \n{INVALID_KEY}"),
        format!("data: {INVALID_KEY}\n\n"),
        format!("data:[{INVALID_KEY}]\r\n\r\ndata: [DONE]\r\n\r\n"),
        format!("event: error\ndata: {INVALID_KEY}"),
        // More of the stream may follow the error.
        format!("[{INVALID_KEY}\n]\ndata: [DONE]\n\n"),
        format!("{INVALID_KEY}]"),
    ] {
        assert_eq!(ApiError::parse(body.as_bytes()), invalid_key(), "{body}");
    }
}

#[test]
fn other_bodies_parse_to_no_fields() {
    for body in [
        "",
        "[]",
        "{}",
        "[1]",
        "null",
        "{\"error\":7}",
        "{\"error\":null}",
        "{\"error\":[]}",
        "[[{\"code\":401,\"status\":\"UNAUTHENTICATED\"}]]",
        "data: [DONE]\n\n",
        "upstream connect error",
        &INVALID_KEY[..100],
        &format!("[{INVALID_KEY}"),
        &format!("not JSON {INVALID_KEY}"),
    ] {
        assert_eq!(
            ApiError::parse(body.as_bytes()),
            ApiError::default(),
            "{body}"
        );
    }
}

#[test]
fn detects_html_pages() {
    for page in [
        "<html><body>502</body></html>",
        "\n <!DOCTYPE html>",
        "\u{feff}<html>",
        "<",
    ] {
        let expected = ApiError {
            is_html: true,
            ..ApiError::default()
        };
        assert_eq!(ApiError::parse(page.as_bytes()), expected, "{page}");
    }
}

#[test]
fn a_string_error_is_its_message() {
    let expected = ApiError {
        message: Some("slow down".into()),
        ..ApiError::default()
    };
    assert_eq!(ApiError::parse(br#"{"error":"slow down"}"#), expected);
}

#[test]
fn malformed_canonical_codes_are_dropped() {
    for (status, code) in [
        ("RESOURCE_EXHAUSTED", Some("RESOURCE_EXHAUSTED")),
        ("", None),
        ("my prompt", None),
        ("AIzaFAKE", None),
        (&"X".repeat(41), None),
    ] {
        let error = ApiError {
            status: Some(status.to_owned()),
            ..ApiError::default()
        };
        assert_eq!(error.canonical_code(), code, "{status}");
    }
}

#[test]
fn fields_of_unexpected_types_do_not_hide_others() {
    let body = br#"{"error":{"code":"x","message":7,"status":"UNAVAILABLE","details":{"reason":"no list"}},"more":[]}"#;
    let expected = ApiError {
        status: Some("UNAVAILABLE".into()),
        ..ApiError::default()
    };
    assert_eq!(ApiError::parse(body), expected);

    let error = with_details(
        "m",
        json!([
            7,
            null,
            ["reason"],
            {"reason": 1, "violations": {"quotaId": "x"}, "retryDelay": 3, "metadata": []},
            {"violations": [1, {}, {"quotaValue": "3"}, {"quotaId": 7}, {"quotaId": "A", "quotaValue": {"no": "number"}}]},
            {"metadata": {"consumer": 5, "quota_limit": ["B"]}},
            {"retryDelay": "soon"},
            {"retryDelay": "3s", "metadata": {"consumer": "projects/12"}},
            {"reason": "LATE"},
        ]),
    );
    assert_eq!(error.reason.as_deref(), Some("LATE"));
    assert_eq!(error.retry_after_ms, Some(3000));
    assert_eq!(error.project.as_deref(), Some("projects/12"));
    let unknown = QuotaViolation {
        id: Some("A".into()),
        ..QuotaViolation::default()
    };
    assert_eq!(error.violations, [unknown]);
}

#[test]
fn limits_come_from_details_before_the_message() {
    let message = "You exceeded your current quota, please check your plan.\n\
        * Quota exceeded for metric: s/a, limit: 0, model: m\n\
        * Quota exceeded for metric: s/a, limit: 0, model: m\n\
        * Quota exceeded for metric: s/b, limit: 250000\n\
        * Quota exceeded for metric: s/c, limit: 1, model: m\n\
        * Quota exceeded for metric: s/c, limit: 2, model: m\n\
        Please retry in 7.5s.";
    let violations = json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [
        {"quotaMetric": "s/a", "quotaId": "A", "quotaValue": "15", "quotaDimensions": {"model": "m"}, "futureField": 1},
        {"quotaMetric": "s/a", "quotaId": "A", "quotaValue": 16},
        {"quotaMetric": "s/a", "quotaId": "A"},
        {"quotaMetric": "s/b", "quotaId": "B", "quotaValue": -1},
        {"quotaMetric": "s/c", "quotaId": "C"},
        {"quotaMetric": "s/d", "quotaId": "D"},
    ]}]);
    let error = with_details(message, violations.clone());
    assert_eq!(
        error.violations,
        [
            quota("s/a", "A", Some(15)),
            quota("s/a", "A", Some(16)),
            quota("s/a", "A", Some(0)),
            quota("s/b", "B", Some(250_000)),
            // Two lines that disagree, and no line at all.
            quota("s/c", "C", None),
            quota("s/d", "D", None),
        ]
    );
    // Only messages with Google's prefix are parsed line by line.
    let error = with_details(&format!("m {message}"), violations);
    assert_eq!(error.violations[2], quota("s/a", "A", None));
}

#[test]
fn reads_quota_and_project_from_service_control() {
    let error = errors::service_control("123456", 150);
    let parsed = ApiError::parse(error.pretty_array().as_bytes());
    assert_eq!(
        parsed.violations,
        [quota(
            "generativelanguage.googleapis.com/batch_embed_contents_requests",
            "BatchEmbedContentsRequestsPerMinutePerProjectPerRegion",
            Some(150)
        )]
    );
    assert_eq!(parsed.project.as_deref(), Some("projects/123456"));
    let message_alone = with_details(error.message(), json!([]));
    assert_eq!(message_alone.project.as_deref(), Some("projects/123456"));
    assert_eq!(message_alone.violations, []);
}

#[test]
fn only_projects_are_accepted_as_consumers() {
    for (consumer, expected) in [
        ("projects/000000000001", Some("projects/000000000001")),
        ("project_number:12", Some("projects/12")),
        ("projects/", None),
        ("projects/AIzaFAKE", None),
        ("projects/1234567890123456789012", None),
        ("api_key:AIzaFAKE-00000000000000000000000000000000", None),
        ("12", None),
    ] {
        assert_eq!(project(consumer).as_deref(), expected, "{consumer}");
    }
    let suspended = errors::suspended("AIzaFAKE-key", "projects/7").compact();
    let parsed = ApiError::parse(suspended.as_bytes());
    assert_eq!(parsed.project.as_deref(), Some("projects/7"));
}

#[test]
fn the_longer_wait_of_details_and_message_wins() {
    let asks = "You exceeded your current quota. \nPlease retry in 47.618338084s.";
    for (message, details, expected) in [
        (asks, json!([{"retryDelay": "47s"}]), Some(47_619)),
        (asks, json!([]), Some(47_619)),
        ("", json!([{"retryDelay": "35.174346048s"}]), Some(35_175)),
        ("", json!([{"retryDelay": "373.8ms"}]), Some(374)),
        (
            "You exceeded your current quota. Please retry in 1m3s. Thanks.",
            json!([{"retryDelay": "?"}]),
            Some(63_000),
        ),
        ("Please retry in 5s.", json!([]), None),
        (
            "You exceeded your current quota. Please retry in ",
            json!([]),
            None,
        ),
        ("", json!([]), None),
    ] {
        let error = with_details(message, details.clone());
        assert_eq!(error.retry_after_ms, expected, "{message} {details}");
    }
    let whole = errors::quota_per_minute("m", 15, Duration::from_millis(41_711));
    let parsed = ApiError::parse(whole.pretty().as_bytes());
    assert_eq!(parsed.retry_after_ms, Some(41_711));
}

#[test]
fn deeply_nested_bodies_parse_to_no_fields() {
    for body in [
        "[".repeat(100_000),
        format!(
            "{{\"error\":{}{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        ),
    ] {
        assert_eq!(ApiError::parse(body.as_bytes()), ApiError::default());
    }
}

proptest! {
    #[test]
    fn parses_any_bytes(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = ApiError::parse(&body);
    }

    #[test]
    fn parses_any_message_and_details(message in ".*", delay in "[0-9.a-z]{0,12}", value in any::<i64>()) {
        let message = format!("You exceeded your current quota{message}");
        let error = with_details(&message, json!([{"retryDelay": delay, "violations": [{"quotaId": message, "quotaValue": value}]}]));
        prop_assert_eq!(error.violations[0].value, u64::try_from(value).ok());
    }
}
