//! Errors in Anthropic's format.
//!
//! Source: <https://platform.claude.com/docs/en/api/errors>.

use super::request::THREAD;
use crate::wire::gemini::Overflow;
use serde::Serialize;
use std::borrow::Cow;

#[derive(Serialize)]
pub(super) struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: ErrorObject<'a>,
    /// Anthropic's id of the request. The pool's is in a header.
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
struct Details<'a> {
    /// Official clients show it as `errorCode`.
    error_code: &'a str,
}

/// The status of a response to Anthropic's clients that has this status for others.
pub fn error_status(status: u16) -> u16 {
    match status {
        // Clients call this "overloaded", and know no other 503.
        503 => 529,
        other => other,
    }
}

/// An error in Anthropic's format.
///
/// `status` is the pool's, `code` its machine-readable reason (left out if it is empty), and
/// `message` says what is wrong and what to do.
pub fn error_json(status: u16, code: &str, message: &str) -> String {
    let message = message_of(message);
    // Strings always serialize.
    serde_json::to_string(&envelope(status, code, &message)).unwrap_or_default()
}

/// The message of an error. Claude Code compacts a conversation that is too long if it reads
/// Anthropic's own words.
fn message_of(message: &str) -> Cow<'_, str> {
    match Overflow::in_message(message) {
        Some(Overflow {
            tokens: Some(tokens),
            limit: Some(limit),
        }) => format!("prompt is too long: {tokens} tokens > {limit} maximum").into(),
        Some(_) => format!("prompt is too long: {message}").into(),
        None => message.into(),
    }
}

/// The code of an error about a parameter.
pub fn error_code<'a>(parameter: Option<&str>, code: &'a str) -> &'a str {
    // Official clients repeat the request without `thread` if they read this code, and only then.
    match parameter == Some(THREAD) {
        true => "thread_unsupported_request",
        false => code,
    }
}

/// The body of an error, which is also the data of the event that ends a stream.
pub(super) fn envelope<'a>(status: u16, code: &'a str, message: &'a str) -> Envelope<'a> {
    Envelope {
        kind: "error",
        error: ErrorObject {
            kind: kind(status),
            message,
            details: (!code.is_empty()).then_some(Details { error_code: code }),
        },
        request_id: None,
    }
}

/// The class of errors with a status.
fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        500..=599 => "api_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_class() {
        for (status, sent, class) in [
            (400, 400, "invalid_request_error"),
            (401, 401, "authentication_error"),
            (402, 402, "billing_error"),
            (403, 403, "permission_error"),
            (404, 404, "not_found_error"),
            (405, 405, "invalid_request_error"),
            (409, 409, "conflict_error"),
            (413, 413, "request_too_large"),
            (422, 422, "invalid_request_error"),
            (429, 429, "rate_limit_error"),
            (499, 499, "invalid_request_error"),
            (500, 500, "api_error"),
            (502, 502, "api_error"),
            (503, 529, "overloaded_error"),
            (504, 504, "timeout_error"),
            (529, 529, "overloaded_error"),
        ] {
            let (status_sent, body) = (error_status(status), error_json(status, "", "x"));
            let expected = format!(
                r#"{{"type":"error","error":{{"type":"{class}","message":"x"}},"request_id":null}}"#
            );
            assert_eq!((status_sent, body), (sent, expected));
        }
    }

    #[test]
    fn clients_are_told_to_do_without_threads() {
        for (path, code) in [
            ("thread", "thread_unsupported_request"),
            ("model", "invalid_request"),
        ] {
            assert_eq!(error_code(Some(path), "invalid_request"), code);
        }
    }

    #[test]
    fn a_conversation_that_is_too_long_is_reported_in_anthropics_words() {
        for (message, expected) in [
            (
                "The input token count (1050000) exceeds the maximum number of tokens allowed (1048576).",
                "prompt is too long: 1050000 tokens > 1048576 maximum",
            ),
            (
                "The input token count exceeds the maximum number of tokens allowed 1048576.",
                "prompt is too long: The input token count exceeds the maximum number of tokens allowed 1048576.",
            ),
        ] {
            assert_eq!(message_of(message), expected);
        }
    }

    #[test]
    fn the_code_is_a_detail() {
        let body = error_json(429, "rate_limit_exceeded", "Wait \"5 s\".");
        assert_eq!(
            body,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"Wait \"5 s\".","details":{"error_code":"rate_limit_exceeded"}},"request_id":null}"#
        );
    }
}
