//! Google's error bodies.
//!
//! The OpenAI-compatible surface wraps the error in an array of one (`[{"error":{…}}]`, pretty-printed), the native one
//! sends the bare object, both with the same inside (`google.rpc.Status`). Front ends answer with HTML, with nothing, or
//! with a body cut short. All of these are read; what cannot be read is an [`ApiError`] without any field.

use serde::Deserialize;

/// Error bodies are read up to this many bytes: 1 MiB. Google's are below 4 KiB, unless they list the fields of a request.
pub const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// The parts of an error body that decide what it means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status that goes with it, which matters where it came without one: in the middle of a stream.
    pub code: Option<u16>,
    /// Google's canonical code, such as `RESOURCE_EXHAUSTED`.
    pub status: Option<String>,
    /// The text for people. It may echo a key, and a request's content where a field was invalid.
    pub message: Option<String>,
    /// `reason` of the first `google.rpc.ErrorInfo`, such as `API_KEY_INVALID`.
    pub reason: Option<String>,
    /// The body is a page for people: not from the API, but from a front end or somebody on the way.
    pub is_html: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Wrapped(Vec<Envelope>),
    Bare(Envelope),
}

#[derive(Deserialize)]
struct Envelope {
    error: ErrorField,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorField {
    Status(Error),
    Text(String),
}

#[derive(Deserialize)]
struct Error {
    #[serde(default)]
    code: serde_json::Value,
    #[serde(default, deserialize_with = "text_or_nothing")]
    status: Option<String>,
    #[serde(default, deserialize_with = "text_or_nothing")]
    message: Option<String>,
    #[serde(default)]
    details: serde_json::Value,
}

/// A field of another type than expected is no reason to lose the others.
fn text_or_nothing<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    })
}

impl ApiError {
    /// [`status`](Self::status), if it looks like a canonical code: nothing else of a body is repeated unread.
    pub fn canonical_code(&self) -> Option<&str> {
        let code = self.status.as_deref()?;
        let fits = (1..=40).contains(&code.len())
            && code
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        fits.then_some(code)
    }

    /// Reads an error body in any of its forms.
    pub fn parse(body: &[u8]) -> Self {
        let error = match serde_json::from_slice(body) {
            Ok(Body::Bare(envelope)) => Some(envelope.error),
            Ok(Body::Wrapped(envelopes)) => {
                envelopes.into_iter().next().map(|envelope| envelope.error)
            }
            Err(_) => None,
        };
        let error = match error {
            Some(ErrorField::Status(error)) => error,
            Some(ErrorField::Text(message)) => {
                return Self {
                    message: Some(message),
                    ..Self::default()
                };
            }
            None => {
                return Self {
                    is_html: body.trim_ascii_start().starts_with(b"<"),
                    ..Self::default()
                };
            }
        };
        let reason = error
            .details
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|detail| detail.get("reason")?.as_str().map(str::to_owned));
        Self {
            code: error
                .code
                .as_u64()
                .and_then(|code| u16::try_from(code).ok()),
            status: error.status,
            message: error.message,
            reason,
            is_html: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INVALID_KEY: &str = r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"},{"@type":"type.googleapis.com/google.rpc.LocalizedMessage","locale":"en-US","message":"x"}]}}"#;

    fn expected() -> ApiError {
        ApiError {
            code: Some(400),
            status: Some("INVALID_ARGUMENT".into()),
            message: Some("API key not valid. Please pass a valid API key.".into()),
            reason: Some("API_KEY_INVALID".into()),
            is_html: false,
        }
    }

    #[test]
    fn object_and_array_say_the_same() {
        assert_eq!(ApiError::parse(INVALID_KEY.as_bytes()), expected());
        assert_eq!(
            ApiError::parse(format!("[{INVALID_KEY}\n]\n").as_bytes()),
            expected()
        );
    }

    #[test]
    fn what_is_no_error_body_has_no_fields() {
        for body in [
            "",
            "[]",
            "{}",
            "[1]",
            "null",
            "{\"error\":7}",
            &INVALID_KEY[..100],
        ] {
            assert_eq!(
                ApiError::parse(body.as_bytes()),
                ApiError::default(),
                "{body}"
            );
        }
    }

    #[test]
    fn a_page_is_told_from_nothing() {
        for page in ["<html><body>502</body></html>", "\n <!DOCTYPE html>", "<"] {
            let expected = ApiError {
                is_html: true,
                ..ApiError::default()
            };
            assert_eq!(ApiError::parse(page.as_bytes()), expected, "{page}");
        }
    }

    #[test]
    fn an_error_that_is_a_text_is_its_message() {
        let expected = ApiError {
            message: Some("slow down".into()),
            ..ApiError::default()
        };
        assert_eq!(ApiError::parse(br#"{"error":"slow down"}"#), expected);
    }

    #[test]
    fn a_code_is_repeated_only_if_it_looks_like_one() {
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
    fn odd_fields_do_not_hide_the_others() {
        let body = br#"{"error":{"code":"x","message":7,"status":"UNAVAILABLE","details":{"reason":"no list"}}}"#;
        let expected = ApiError {
            status: Some("UNAVAILABLE".into()),
            ..ApiError::default()
        };
        assert_eq!(ApiError::parse(body), expected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = ApiError::parse(&body);
        }
    }
}
