//! The error envelope that clients receive: `{"error":{"message","type","param","code"}}`.
//!
//! Both official clients require exactly this shape: `code` and `type` become fields of their
//! exception, and a body that is an array, as Google's compatible surface sends it, becomes "429
//! status code (no body)".

use serde::Serialize;

/// An error as a client sees it, without its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// What is wrong and how to fix it, in one or two sentences.
    pub message: String,
    /// OpenAI's error class, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The request field at fault.
    pub param: Option<String>,
    /// The machine-readable reason.
    pub code: String,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a ErrorBody,
}

impl ErrorBody {
    /// Returns the body as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&Envelope { error: self })
            .unwrap_or_else(|_| r#"{"error":{"message":"internal error","type":"server_error","param":null,"code":"internal_error"}}"#.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_always_has_all_four_fields() {
        let body = ErrorBody {
            message: "no \"such\" model\n".into(),
            kind: "invalid_request_error",
            param: None,
            code: "not_found".into(),
        };
        assert_eq!(
            body.to_json(),
            r#"{"error":{"message":"no \"such\" model\n","type":"invalid_request_error","param":null,"code":"not_found"}}"#
        );
    }
}
