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

use crate::json::{self, Fields};
use http::StatusCode;
use serde::Serialize;

/// The service that all errors are about.
const SERVICE: &str = "generativelanguage.googleapis.com";

/// An error without its frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApiError {
    code: u16,
    message: String,
    status: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail>,
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

    fn with(mut self, detail: Detail) -> Self {
        self.details.push(detail);
        self
    }

    /// Adds `ErrorInfo` and repeats the message in `LocalizedMessage`, as errors about keys do.
    fn with_reason(self, reason: &'static str, metadata: Vec<(&'static str, String)>) -> Self {
        let message = self.message.clone();
        self.with(Detail::ErrorInfo {
            reason,
            domain: Some("googleapis.com"),
            metadata: Fields(metadata),
        })
        .with(Detail::LocalizedMessage {
            locale: "en-US",
            message,
        })
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

/// The messages of `google/rpc/error_details.proto`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "@type")]
enum Detail {
    #[serde(rename = "type.googleapis.com/google.rpc.ErrorInfo")]
    ErrorInfo {
        reason: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        domain: Option<&'static str>,
        metadata: Fields,
    },
    #[serde(rename = "type.googleapis.com/google.rpc.LocalizedMessage")]
    LocalizedMessage {
        locale: &'static str,
        message: String,
    },
    #[serde(rename = "type.googleapis.com/google.rpc.Help")]
    Help { links: [Fields; 1] },
    #[serde(rename = "type.googleapis.com/google.rpc.QuotaFailure")]
    QuotaFailure {
        violations: Vec<quotas::QuotaViolation>,
    },
    #[serde(
        rename = "type.googleapis.com/google.rpc.RetryInfo",
        rename_all = "camelCase"
    )]
    RetryInfo { retry_delay: String },
    #[serde(
        rename = "type.googleapis.com/google.rpc.BadRequest",
        rename_all = "camelCase"
    )]
    BadRequest {
        field_violations: Vec<fields::FieldViolation>,
    },
}

impl Detail {
    fn help(description: &str, url: &str) -> Self {
        let link = vec![("description", description.into()), ("url", url.into())];
        Self::Help {
            links: [Fields(link)],
        }
    }
}
