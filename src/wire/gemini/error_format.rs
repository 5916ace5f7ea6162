//! Builds errors in Google's format, as its clients expect:
//! `{"error":{"code","message","status","details"}}`.
//!
//! Source: <https://cloud.google.com/apis/design/errors#error_model>.

use serde_json::{Value, json};

/// The pool's name in the field where Google's errors name their service.
const DOMAIN: &str = "gemini-keypool";

/// Returns an error with this HTTP status as JSON. `reason` is the pool's error code, and
/// `retry_after_ms` the time to wait.
pub fn error_json(status: u16, message: &str, reason: &str, retry_after_ms: Option<i64>) -> String {
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason.to_ascii_uppercase(),
        "domain": DOMAIN,
    })];
    if let Some(ms) = retry_after_ms {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{}.{:03}s", ms / 1000, ms % 1000),
        }));
    }
    let body: Value = json!({
        "error": {
            "code": status,
            "message": message,
            "status": canonical(status),
            "details": details,
        }
    });
    format!("{body:#}\n")
}

/// Converts an error in Google's format to an event of an interaction stream. An error that already
/// is such an event is returned unchanged.
///
/// Source: <https://ai.google.dev/gemini-api/docs/api-errors>.
pub fn error_event(json: &str) -> String {
    let mut event: Value = serde_json::from_str(json).unwrap_or_default();
    if event.get("event_type").is_none() {
        let error = &event["error"];
        let code = match error["code"].as_u64() {
            Some(401) => "authentication",
            Some(403) => "permission_denied",
            Some(404) => "not_found",
            Some(429) => "rate_limit_exceeded",
            Some(400..=498) => "invalid_request",
            Some(502 | 503) => "service_unavailable",
            Some(504) => "deadline_exceeded",
            _ => "api_error",
        };
        event = json!({
            "error": {"code": code, "message": error["message"]},
            "event_type": "error",
        });
    }
    event.to_string()
}

/// Google's canonical code for an HTTP status.
fn canonical(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        405 | 501 => "UNIMPLEMENTED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        504 => "DEADLINE_EXCEEDED",
        502 | 503 => "UNAVAILABLE",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::gemini::ApiError;

    #[test]
    fn errors_parse_like_googles_own() {
        for (status, name) in [
            (400, "INVALID_ARGUMENT"),
            (413, "INVALID_ARGUMENT"),
            (429, "RESOURCE_EXHAUSTED"),
            (500, "INTERNAL"),
            (503, "UNAVAILABLE"),
        ] {
            let text = error_json(status, "what \"is\" wrong", "some_code", Some(1500));
            let error = ApiError::parse(text.as_bytes());
            assert_eq!(error.code, Some(status));
            assert_eq!(error.status.as_deref(), Some(name));
            assert_eq!(error.message.as_deref(), Some("what \"is\" wrong"));
            assert_eq!(error.reason.as_deref(), Some("SOME_CODE"));
            assert_eq!(error.retry_after_ms, Some(1500));
        }
        let without = ApiError::parse(error_json(400, "m", "c", None).as_bytes());
        assert_eq!(without.retry_after_ms, None);
    }

    #[test]
    fn an_error_converts_to_a_typed_event() {
        let own = r#"{"error":{"code":"not_found","message":"m"},"event_type":"error"}"#;
        for (error, event) in [
            (own.to_owned(), own),
            (
                error_json(429, "m", "c", Some(9)),
                r#"{"error":{"code":"rate_limit_exceeded","message":"m"},"event_type":"error"}"#,
            ),
        ] {
            assert_eq!(error_event(&error), event);
        }
    }
}
