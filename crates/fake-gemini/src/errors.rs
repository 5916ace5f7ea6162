//! Google's errors, each under a name.
//!
//! All are one `google.rpc.Status` (<https://cloud.google.com/apis/design/errors>). What differs is the frame, which
//! the surface puts around it when it is sent: see [`crate::Surface`]. None of them comes with a `Retry-After` header;
//! Google's only hint is `RetryInfo` in the body.
//!
//! The texts are those that users of the API have published, save for these, of which no recording was found:
//! [`no_credential`], [`no_such_model`], [`file_exists`], [`no_such_upload`], [`unavailable`], [`ip_blocked`] (but of
//! other Google APIs), the metadata of [`referrer_blocked`] and [`service_control`], the words of [`invalid_value`] on
//! the compatible surface, and the ids of embeddings' quotas other than that of requests in a minute.
//!
//! | file | what went wrong |
//! |---|---|
//! | `keys` | the key, its project, or where the call comes from |
//! | `requests` | the request: its model, its fields, its size |
//! | `quotas` | 429 in all its forms |
//! | `servers` | Google itself: 5xx and 499 |

mod keys;
mod quotas;
mod requests;
mod servers;

pub use keys::*;
pub use quotas::*;
pub use requests::*;
pub use servers::*;

use crate::json::{self, Fields};
use http::StatusCode;
use serde::Serialize;

/// The service that all of this is about.
const SERVICE: &str = "generativelanguage.googleapis.com";

/// One of Google's errors, without a frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApiError {
    code: u16,
    message: String,
    status: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail>,
}

impl ApiError {
    /// An error that the catalogue does not have. `code` is the HTTP status, `status` the canonical name, such as
    /// `INVALID_ARGUMENT`.
    pub fn new(code: u16, status: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            status: status.into(),
            details: Vec::new(),
        }
    }

    /// The HTTP status, which is also `code` in the body.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The canonical name, such as `RESOURCE_EXHAUSTED`.
    pub fn status(&self) -> &str {
        &self.status
    }

    /// `{"error":{…}}` in one line, as in an event of a stream.
    pub fn compact(&self) -> String {
        json::without_brackets(&json::compact(&Envelope { error: self }))
    }

    /// `{"error":{…}}` pretty-printed, with a line feed at the end: the native frame.
    pub fn pretty(&self) -> String {
        json::without_brackets(&json::pretty(&Envelope { error: self })) + "\n"
    }

    /// `[{"error":{…}}]` as the compatible surface prints it: only the object inside is indented.
    pub fn pretty_array(&self) -> String {
        format!("[{}]\n", self.pretty())
    }

    fn with(mut self, detail: Detail) -> Self {
        self.details.push(detail);
        self
    }

    /// Adds `ErrorInfo` and the same text once more as `LocalizedMessage`, as errors about keys have it.
    fn with_reason(self, reason: &str, metadata: Vec<(&'static str, String)>) -> Self {
        let message = self.message.clone();
        self.with(Detail::ErrorInfo {
            reason: reason.to_owned(),
            domain: Some("googleapis.com"),
            metadata: Fields(metadata),
        })
        .with(Detail::LocalizedMessage {
            locale: "en-US",
            message,
        })
    }

    /// The status to answer with; one that is no status of a final response becomes 500.
    pub(crate) fn http_status(&self) -> StatusCode {
        final_status(self.code)
    }
}

/// `code` as a status that a response can end with; anything else becomes 500.
pub(crate) fn final_status(code: u16) -> StatusCode {
    StatusCode::from_u16(code)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a ApiError,
}

/// What an error says for machines: the messages of `google/rpc/error_details.proto`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "@type")]
enum Detail {
    #[serde(rename = "type.googleapis.com/google.rpc.ErrorInfo")]
    ErrorInfo {
        reason: String,
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
    Help { links: Vec<Link> },
    #[serde(rename = "type.googleapis.com/google.rpc.QuotaFailure")]
    QuotaFailure { violations: Vec<QuotaViolation> },
    #[serde(rename = "type.googleapis.com/google.rpc.RetryInfo")]
    RetryInfo {
        #[serde(rename = "retryDelay")]
        retry_delay: String,
    },
    #[serde(rename = "type.googleapis.com/google.rpc.BadRequest")]
    BadRequest {
        #[serde(rename = "fieldViolations")]
        field_violations: Vec<FieldViolation>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Link {
    description: &'static str,
    url: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct QuotaViolation {
    quota_metric: String,
    quota_id: String,
    quota_dimensions: Fields,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_value: Option<String>,
}

/// A field of a request that is not in order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FieldViolation {
    /// Where it is, unless that is the outermost object.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    description: String,
}
