//! Google's errors, one constructor each.
//!
//! All are a `google.rpc.Status` (<https://cloud.google.com/apis/design/errors>). The surface
//! frames it when it is sent. None comes with a `Retry-After` header: the only hint is
//! `RetryInfo` in the body.
//!
//! The texts were published by users of the API, except for these, which are not recorded:
//! [`no_credential`], [`no_such_model`], [`unavailable`], [`ip_blocked`] (taken from other Google
//! APIs), the metadata of [`referrer_blocked`] and [`service_control`], the words of
//! [`invalid_value`] on the compatible surface, and the ids of the quotas for embeddings other
//! than requests per minute.

mod catalogue;
mod fields;
mod quotas;

pub use catalogue::*;
pub(crate) use fields::{FieldViolation, invalid_fields};
pub use fields::{invalid_value, not_an_object, unknown_field_in, unknown_fields};
pub use quotas::*;

use crate::json;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

/// The service that all errors are about.
const SERVICE: &str = "generativelanguage.googleapis.com";

/// An error without its frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApiError {
    code: u16,
    message: String,
    status: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Value>,
}

impl ApiError {
    /// An error that is not in the catalogue. `code` is the HTTP status, `status` its canonical
    /// name, such as `INVALID_ARGUMENT`.
    pub fn new(code: u16, status: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            status: status.into(),
            details: Vec::new(),
        }
    }

    /// The HTTP status, also `code` in the body.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The canonical name of the status, such as `RESOURCE_EXHAUSTED`.
    pub fn status(&self) -> &str {
        &self.status
    }

    /// `{"error":{…}}` on one line, as in an event of a stream.
    pub fn compact(&self) -> String {
        escape_brackets(&json::compact(&Envelope { error: self }))
    }

    /// `{"error":{…}}` pretty-printed with a line feed at the end: the native frame.
    pub fn pretty(&self) -> String {
        escape_brackets(&json::pretty(&Envelope { error: self })) + "\n"
    }

    /// `[{"error":{…}}]` as the compatible surface prints it: only the object is indented.
    pub fn pretty_array(&self) -> String {
        format!("[{}]\n", self.pretty())
    }

    fn with(mut self, detail: Value) -> Self {
        self.details.push(detail);
        self
    }

    /// Adds `ErrorInfo` and repeats the message in `LocalizedMessage`, as errors about keys do.
    fn with_reason(self, reason: &str, metadata: Value) -> Self {
        let info = json!({"reason": reason, "domain": "googleapis.com", "metadata": metadata});
        let localized = json!({"locale": "en-US", "message": self.message});
        self.with(detail("ErrorInfo", info))
            .with(detail("LocalizedMessage", localized))
    }

    pub(crate) fn http_status(&self) -> StatusCode {
        final_status(self.code)
    }
}

/// `code` as the status of a final response; anything else becomes 500.
pub(crate) fn final_status(code: u16) -> StatusCode {
    StatusCode::from_u16(code)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Escapes `<` and `>` as Google does. Both occur within strings only.
fn escape_brackets(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e")
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a ApiError,
}

/// A message of `google/rpc/error_details.proto`.
fn detail(kind: &str, mut fields: Value) -> Value {
    fields["@type"] = format!("type.googleapis.com/google.rpc.{kind}").into();
    fields
}

fn help(description: &str, url: &str) -> Value {
    let link = json!({"description": description, "url": url});
    detail("Help", json!({"links": [link]}))
}
