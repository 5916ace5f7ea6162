//! Every way in which a request can fail, and the only place that maps failures to a status and an
//! error body.
//!
//! Statuses are chosen for the official clients, which retry 408, 409, 429 and 5xx on their own. A
//! failure that a retry cannot cure is therefore marked `x-should-retry: false`, and a bad key of
//! the pool is never reported as a 401, since the caller's token is valid.

use crate::config::InvalidConfig;
use crate::pool::{CallerError, KeyId, Limit, Outcome, Survey, UnixMillis};
use crate::store::DatabaseError;
use crate::wire::Surface;
use crate::wire::gemini::{self, UnknownField};
use crate::wire::naming::MODEL_RULE;
use crate::wire::openai::{ErrorBody, InvalidRequest};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// The longest wait that is sent as `Retry-After`, in milliseconds: 60 s. Only the message reports
/// longer waits.
const MAX_RETRY_AFTER_MS: i64 = 60_000;

/// Why no key of the pool can take a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// Quotas and budgets are used up, or concurrent calls took the rest.
    Exhausted,
    /// The keys were rejected or are paused.
    Credentials,
    /// The keys all fail in the same way, so the upstream is suspected.
    Suspected,
    /// No project may use the model.
    Model,
    /// No project's plan includes the model.
    Plan,
}

/// How clients of OpenAI's surface receive Google's errors about the request itself. On Google's
/// surface these errors always pass unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorForm {
    /// In OpenAI's error format.
    Pool,
    /// Unchanged.
    Verbatim,
}

/// Why a request fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The path does not exist. Contains advice for the caller.
    UnknownPath(&'static str),
    /// The path does not support the method.
    WrongMethod {
        /// The supported methods, as an `Allow` header.
        allow: &'static str,
    },
    /// No key has this id.
    UnknownKey(KeyId),
    /// The query has an unsupported parameter. Contains the supported one.
    UnknownParameter(&'static str),
    /// The web page's origin is not allowed.
    OriginRefused,
    /// The operator has not configured a client token.
    TokenNotConfigured,
    /// The request has no token.
    TokenMissing,
    /// The request's token is not the pool's.
    TokenWrong,
    /// The client exceeded its rate limit.
    RateLimited {
        /// Calls allowed per minute.
        limit: u32,
        /// Whole seconds until the next minute.
        retry_after: i64,
    },
    /// The client made too many calls without the pool's token.
    WrongTokens {
        /// Such calls allowed per minute.
        limit: u32,
        /// Whole seconds until the next minute.
        retry_after: i64,
    },
    /// The request's body is too large.
    BodyTooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// The connection failed before the end of the request's body.
    BodyIncomplete,
    /// The request's body stalled.
    BodyStalled,
    /// The bodies of other requests leave no memory for this one.
    NoRoom,
    /// The request's body has a content encoding other than gzip.
    EncodingUnsupported,
    /// The request is invalid. Contains the message and the parameter at fault.
    InvalidRequest(String, Option<&'static str>),
    /// The pool has no usable key.
    NoUsableKey,
    /// The request uses a resource whose key was removed or disabled.
    OwnerGone,
    /// The request uses resources of several projects, which no single key can access.
    OwnersDiffer,
    /// No key can take a call for the model now.
    KeysOut {
        /// Why.
        why: Unavailable,
        /// The model.
        model: String,
        /// Why each key is ineligible.
        survey: Survey,
        /// Milliseconds until the first key is available again; `None` if waiting does not help.
        wait_ms: Option<i64>,
    },
    /// The request alone exceeds the known quotas of the projects.
    TooLarge {
        /// The model.
        model: String,
        /// The limit that the request exceeds.
        limit: Limit,
    },
    /// The failure of the last attempt, after which retries by the client would not help.
    Spent(Box<Failure>),
    /// The upstream answered with an error or did not answer.
    Upstream {
        /// How the attempt ended.
        outcome: Outcome,
        /// The upstream's status, or the one that stands for no answer.
        status: u16,
        /// Google's canonical code, in lower case.
        code: Option<String>,
        /// Google's message, redacted.
        message: String,
        /// Google's error body, redacted, if it could be read.
        body: Option<String>,
        /// The fields that Google does not know, if the error is about nothing else.
        unknown_fields: Vec<UnknownField>,
    },
    /// The upstream's answer is incomplete.
    AnswerBroken {
        /// Why, redacted.
        reason: String,
    },
    /// The host is shutting down.
    Stopping,
    /// The database failed. The details are for the operator only.
    Database(DatabaseError),
    /// The database can be read but not written. The details are for the operator only.
    DatabaseNotWritable(DatabaseError),
    /// The operator's settings are invalid.
    Configuration(String),
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl From<&InvalidConfig> for Failure {
    fn from(error: &InvalidConfig) -> Self {
        Self::Configuration(error.to_string())
    }
}

impl From<InvalidRequest> for Failure {
    fn from(error: InvalidRequest) -> Self {
        let param = error.param();
        Self::InvalidRequest(error.to_string(), param)
    }
}

impl Failure {
    /// A [`KeysOut`](Self::KeysOut) whose wait starts at `now`.
    pub(super) fn keys_out(why: Unavailable, model: &str, survey: Survey, now: UnixMillis) -> Self {
        Self::KeysOut {
            why,
            model: model.to_owned(),
            wait_ms: survey.soonest.map(|soonest| soonest.since(now)),
            survey,
        }
    }

    /// The request's model name is malformed.
    pub(super) fn no_model_name() -> Self {
        Self::InvalidRequest(MODEL_RULE.to_owned(), Some("model"))
    }

    /// The request contains a secret in place of a name.
    pub(super) fn secret_in_name() -> Self {
        let message = "The request contains the pool's token or an API key in its path or in \
            `model`. Send the token only as `Authorization: Bearer TOKEN` or \
            `x-goog-api-key: TOKEN`.";
        Self::InvalidRequest(message.to_owned(), None)
    }

    /// The failure of a request's last attempt.
    pub(super) fn of_last_attempt(last: Option<Self>) -> Self {
        last.unwrap_or(Self::NoUsableKey)
    }

    /// Marks trouble of the upstream as not worth a retry by the client, because the pool has
    /// already retried or has used up its retry budget.
    pub(super) fn spent(self) -> Self {
        let is_trouble = match &self {
            Self::Upstream { outcome, .. } => outcome.rule().caller_error == CallerError::Trouble,
            Self::AnswerBroken { .. } => true,
            _ => false,
        };
        match is_trouble {
            true => Self::Spent(Box::new(self)),
            false => self,
        }
    }

    /// The status and error body.
    pub fn describe(&self) -> (StatusCode, ErrorBody) {
        let body = |message: &str, kind: &'static str, code: &str| ErrorBody {
            message: message.to_owned(),
            kind,
            param: None,
            code: code.to_owned(),
        };
        match self {
            Self::UnknownPath(advice) => (
                StatusCode::NOT_FOUND,
                body(advice, "invalid_request_error", "unknown_path"),
            ),
            Self::WrongMethod { allow } => (
                StatusCode::METHOD_NOT_ALLOWED,
                body(
                    &format!("This path does not support the method. It supports {allow}."),
                    "invalid_request_error",
                    "method_not_allowed",
                ),
            ),
            Self::UnknownKey(id) => (
                StatusCode::NOT_FOUND,
                body(
                    &format!("No key has the id {id}. GET /api/keys/status lists all keys."),
                    "invalid_request_error",
                    "unknown_key",
                ),
            ),
            Self::UnknownParameter(supported) => (
                StatusCode::BAD_REQUEST,
                body(
                    &format!("The only query parameter of this path is `{supported}`."),
                    "invalid_request_error",
                    "unknown_parameter",
                ),
            ),
            Self::OriginRefused => (
                StatusCode::FORBIDDEN,
                body(
                    "Web pages of this origin may not call the pool. The operator sets the allowed \
                     origins in `allowed_origins`.",
                    "permission_error",
                    "origin_not_allowed",
                ),
            ),
            Self::TokenNotConfigured => (
                StatusCode::SERVICE_UNAVAILABLE,
                body(
                    "The pool refuses every call because no client token is configured. Set the \
                     variable `my_api_token` (SPIN_VARIABLE_MY_API_TOKEN) and restart.",
                    "server_error",
                    "client_token_not_configured",
                ),
            ),
            Self::TokenMissing => (
                StatusCode::UNAUTHORIZED,
                body(
                    "The client token is missing. Send the pool's token as `Authorization: Bearer \
                     TOKEN` or `x-goog-api-key: TOKEN`; most clients have an `api_key` setting for \
                     it.",
                    "authentication_error",
                    "missing_client_token",
                ),
            ),
            Self::TokenWrong => (
                StatusCode::UNAUTHORIZED,
                body(
                    "The client token is wrong. Ask the pool's operator for the token; a Gemini \
                     API key does not work here.",
                    "authentication_error",
                    "invalid_client_token",
                ),
            ),
            Self::RateLimited { limit, retry_after } => (
                StatusCode::TOO_MANY_REQUESTS,
                body(
                    &format!(
                        "This address has made more than {limit} calls in the current minute. Try \
                         again in {retry_after} s."
                    ),
                    "rate_limit_error",
                    "rate_limit_exceeded",
                ),
            ),
            Self::WrongTokens { limit, retry_after } => (
                StatusCode::TOO_MANY_REQUESTS,
                body(
                    &format!(
                        "This address has made more than {limit} calls in the current minute, the \
                         latest without the pool's client token. Try again in {retry_after} s with \
                         the token."
                    ),
                    "rate_limit_error",
                    "rate_limit_exceeded",
                ),
            ),
            Self::BodyTooLarge { max } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                body(
                    &format!(
                        "The request body exceeds the pool's limit of {max} bytes \
                         (`max_body_bytes`)."
                    ),
                    "invalid_request_error",
                    "request_too_large",
                ),
            ),
            Self::BodyIncomplete => (
                StatusCode::BAD_REQUEST,
                body(
                    "The request body is incomplete.",
                    "invalid_request_error",
                    "incomplete_body",
                ),
            ),
            Self::BodyStalled => (
                StatusCode::REQUEST_TIMEOUT,
                body(
                    "The request body stalled: almost nothing arrived for a minute.",
                    "invalid_request_error",
                    "incomplete_body",
                ),
            ),
            Self::NoRoom => (
                StatusCode::SERVICE_UNAVAILABLE,
                body(
                    "The pool has no memory left for request bodies (`max_held_bytes`). Try again \
                     in a moment.",
                    "server_error",
                    "pool_busy",
                ),
            ),
            Self::EncodingUnsupported => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                body(
                    "The request body's `Content-Encoding` is not supported. Send the body \
                     uncompressed or compressed with gzip.",
                    "invalid_request_error",
                    "unsupported_encoding",
                ),
            ),
            Self::InvalidRequest(message, param) => (
                StatusCode::BAD_REQUEST,
                ErrorBody {
                    param: *param,
                    ..body(message, "invalid_request_error", "invalid_request")
                },
            ),
            Self::NoUsableKey => (
                StatusCode::SERVICE_UNAVAILABLE,
                body(
                    "The pool has no usable API key. The operator can list the keys with GET \
                     /api/keys/status.",
                    "server_error",
                    "no_usable_key",
                ),
            ),
            Self::OwnerGone => (
                StatusCode::NOT_FOUND,
                body(
                    "This request uses a resource (a file, cached content, batch, video or \
                     operation) of an API key that was removed from the pool or disabled. Create \
                     the resource again, or ask the pool's operator to restore the key.",
                    "invalid_request_error",
                    "resource_owner_gone",
                ),
            ),
            Self::OwnersDiffer => (
                StatusCode::BAD_REQUEST,
                body(
                    "This request uses resources (files, cached contents) of different projects, \
                     which no single API key can access. Create them again one after another, or \
                     use a pool with one project.",
                    "invalid_request_error",
                    "resources_of_different_projects",
                ),
            ),
            Self::KeysOut {
                why,
                model,
                survey,
                wait_ms,
            } => keys_out(*why, model, survey, *wait_ms),
            Self::TooLarge { model, limit } => too_large(&format!(
                "{} {} per {} for the model {model}",
                limit.value,
                limit.unit.name().replace('_', " "),
                limit.window.name()
            )),
            Self::Spent(last) => last.describe(),
            Self::Upstream {
                outcome,
                status,
                code,
                message,
                ..
            } => upstream(*outcome, *status, code.as_deref(), message),
            Self::AnswerBroken { reason } => (
                StatusCode::BAD_GATEWAY,
                body(
                    &format!("The answer is incomplete: {reason}."),
                    "server_error",
                    "upstream_answer_broken",
                ),
            ),
            Self::Stopping => (
                StatusCode::SERVICE_UNAVAILABLE,
                body(
                    "The pool is shutting down. Try again in a moment.",
                    "server_error",
                    "pool_stopping",
                ),
            ),
            Self::Database(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                body(
                    "The pool's database is unavailable.",
                    "server_error",
                    "database_unavailable",
                ),
            ),
            Self::DatabaseNotWritable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                body(
                    "The pool's database is not writable.",
                    "server_error",
                    "database_not_writable",
                ),
            ),
            Self::Configuration(problems) => (
                StatusCode::SERVICE_UNAVAILABLE,
                body(problems, "server_error", "invalid_configuration"),
            ),
        }
    }

    /// The log text for a failure of the pool itself. `None` for failures of clients, and for those
    /// of the upstream, which are logged with the call.
    pub(super) fn for_operator(&self) -> Option<String> {
        let detail = match self {
            Self::Database(error) | Self::DatabaseNotWritable(error) => error.to_string(),
            Self::Configuration(problems) => problems.clone(),
            Self::NoUsableKey | Self::TokenNotConfigured | Self::KeysOut { .. } => {
                self.describe().1.message
            }
            Self::UnknownPath(_)
            | Self::WrongMethod { .. }
            | Self::UnknownKey(_)
            | Self::UnknownParameter(_)
            | Self::OriginRefused
            | Self::OwnerGone
            | Self::OwnersDiffer
            | Self::TokenMissing
            | Self::TokenWrong
            | Self::RateLimited { .. }
            | Self::WrongTokens { .. }
            | Self::BodyTooLarge { .. }
            | Self::BodyIncomplete
            | Self::BodyStalled
            | Self::NoRoom
            | Self::EncodingUnsupported
            | Self::InvalidRequest(..)
            | Self::TooLarge { .. }
            | Self::Upstream { .. }
            | Self::Spent(_)
            | Self::AnswerBroken { .. }
            | Self::Stopping => return None,
        };
        Some(format!("code={}: {detail}", self.describe().1.code))
    }

    /// The `x-should-retry` header, if the status alone would mislead official clients.
    fn should_retry(&self) -> Option<&'static str> {
        match self {
            Self::UnknownPath(_)
            | Self::WrongMethod { .. }
            | Self::UnknownKey(_)
            | Self::UnknownParameter(_)
            | Self::OriginRefused
            | Self::TokenMissing
            | Self::TokenWrong
            | Self::BodyTooLarge { .. }
            | Self::EncodingUnsupported
            | Self::InvalidRequest(..)
            | Self::TokenNotConfigured
            | Self::WrongTokens { .. }
            | Self::Configuration(_)
            | Self::Spent(_)
            | Self::OwnerGone
            | Self::OwnersDiffer
            | Self::TooLarge { .. } => Some("false"),
            Self::KeysOut {
                why,
                wait_ms,
                survey,
                ..
            } => {
                let is_soon = wait_ms.is_some_and(|ms| ms <= MAX_RETRY_AFTER_MS);
                let is_lasting = matches!(why, Unavailable::Model | Unavailable::Plan)
                    || survey.all_cooling_for(Outcome::BillingExhausted);
                (!is_soon || is_lasting).then_some("false")
            }
            Self::Upstream { outcome, .. } => match outcome.rule().caller_error {
                CallerError::RequestFault
                | CallerError::TooLarge
                | CallerError::Location
                | CallerError::Permission
                | CallerError::Plan
                | CallerError::NoQuota
                | CallerError::Billing
                | CallerError::PoolFault => Some("false"),
                CallerError::Quota | CallerError::KeyRejected | CallerError::Trouble => None,
            },
            _ => None,
        }
    }

    /// The error as JSON in a surface's format.
    pub(super) fn to_json(&self, surface: Surface, form: ErrorForm) -> String {
        let (status, error) = self.describe();
        match (surface, self) {
            (_, Self::Spent(last)) => last.to_json(surface, form),
            (
                _,
                Self::Upstream {
                    status: upstream_status,
                    body: Some(body),
                    ..
                },
            ) if *upstream_status == status.as_u16()
                && match surface {
                    Surface::OpenAi => form == ErrorForm::Verbatim,
                    Surface::Gemini => body.trim_start().starts_with('{'),
                } =>
            {
                body.clone()
            }
            (Surface::OpenAi, _) => error.to_json(),
            (Surface::Gemini, _) => {
                let wait_ms = match self {
                    Self::KeysOut { wait_ms, .. } => *wait_ms,
                    Self::RateLimited { retry_after, .. }
                    | Self::WrongTokens { retry_after, .. } => Some(retry_after * 1000),
                    Self::Stopping | Self::NoRoom => Some(1000),
                    _ => None,
                };
                gemini::error_json(status.as_u16(), &error.message, &error.code, wait_ms)
            }
        }
    }

    /// The headers of the response, for clients that retry or negotiate.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: HeaderValue| headers.insert(name, value);
        if let Some(should_retry) = self.should_retry() {
            set(SHOULD_RETRY, HeaderValue::from_static(should_retry));
        }
        match self {
            Self::WrongMethod { allow } => {
                set(header::ALLOW, HeaderValue::from_static(allow));
            }
            Self::RateLimited { retry_after, .. } | Self::WrongTokens { retry_after, .. } => {
                set(header::RETRY_AFTER, HeaderValue::from(*retry_after));
            }
            // google-genai's interactions obey any wait, and openai for Python shortens long ones.
            Self::KeysOut {
                wait_ms: Some(wait_ms),
                ..
            } if *wait_ms <= MAX_RETRY_AFTER_MS => {
                let seconds = whole_seconds(*wait_ms);
                set(header::RETRY_AFTER, HeaderValue::from(seconds));
                set(RETRY_AFTER_MS, HeaderValue::from(*wait_ms));
            }
            Self::EncodingUnsupported => {
                let accepted = HeaderValue::from_static("gzip, identity");
                set(header::ACCEPT_ENCODING, accepted);
            }
            Self::Stopping | Self::NoRoom => {
                set(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::TokenMissing | Self::TokenWrong => {
                set(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        headers
    }
}

/// Converts milliseconds to seconds, rounded up.
fn whole_seconds(ms: i64) -> i64 {
    ms.saturating_add(999) / 1000
}

/// The error for a request that exceeds every project's quota.
fn too_large(quota: &str) -> (StatusCode, ErrorBody) {
    let body = ErrorBody {
        message: format!(
            "This request alone exceeds the quota of the pool's projects ({quota}), so a retry \
             cannot succeed. Send a smaller request, or ask the pool's operator for a project with \
             a larger quota."
        ),
        kind: "invalid_request_error",
        param: None,
        code: "request_exceeds_quota".to_owned(),
    };
    (StatusCode::PAYLOAD_TOO_LARGE, body)
}

/// The error for a call that no key can take.
fn keys_out(
    why: Unavailable,
    model: &str,
    survey: &Survey,
    wait_ms: Option<i64>,
) -> (StatusCode, ErrorBody) {
    let (status, kind, code, reason) = match why {
        Unavailable::Exhausted if survey.all_cooling_for(Outcome::BillingExhausted) => (
            StatusCode::TOO_MANY_REQUESTS,
            "insufficient_quota",
            "billing_exhausted",
            "The projects of the pool's API keys have a billing problem: a spending cap is \
             reached, credits are used up, or a billing account is closed. The pool's operator \
             must fix this"
                .to_owned(),
        ),
        Unavailable::Exhausted => (
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_error",
            "rate_limit_exceeded",
            format!("No API key of the pool can take a call for the model {model} now"),
        ),
        Unavailable::Credentials => (
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "upstream_credentials_exhausted",
            "The pool has no API key that the upstream accepts; the pool's operator must fix this"
                .to_owned(),
        ),
        Unavailable::Suspected if survey.all_cooling_for(Outcome::EgressRefused) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "upstream_refuses_location",
            "The upstream refuses calls from the pool's location or address".to_owned(),
        ),
        Unavailable::Suspected => (
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "upstream_suspected",
            "The pool's API keys all fail in the same way, so the cause is probably the upstream \
             or the pool's address; no key was disabled"
                .to_owned(),
        ),
        Unavailable::Plan => (
            StatusCode::FORBIDDEN,
            "permission_error",
            "plan_refused",
            format!("No project of the pool's API keys has a plan that includes the model {model}"),
        ),
        Unavailable::Model => (
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            "model_not_available",
            format!("No API key of the pool may use the model {model}"),
        ),
    };
    let mut counts: Vec<String> = survey
        .ineligible
        .iter()
        .map(|(reason, keys)| format!("{keys} {}", reason.name()))
        .collect();
    if survey.eligible > 0 {
        counts.push(format!("{} taken by other calls", survey.eligible));
    }
    let wait = wait_ms.map_or_else(String::new, |ms| {
        let seconds = whole_seconds(ms);
        format!(" The first key is available again in {seconds} s.")
    });
    let message = format!(
        "{reason}. Of {} keys: {}.{wait}",
        survey.keys,
        counts.join(", ")
    );
    let param = matches!(why, Unavailable::Model | Unavailable::Plan).then_some("model");
    let code = code.to_owned();
    (
        status,
        ErrorBody {
            message,
            kind,
            param,
            code,
        },
    )
}

/// The error for a failed attempt. It depends on whose fault the failure was, not on the upstream's
/// status: a dead key is the pool's problem, so it becomes a 503, while a 400 that the caller
/// caused passes unchanged.
fn upstream(
    outcome: Outcome,
    status: u16,
    code: Option<&str>,
    message: &str,
) -> (StatusCode, ErrorBody) {
    let passed = StatusCode::from_u16(status).ok();
    let client_error = |default| {
        passed
            .filter(StatusCode::is_client_error)
            .unwrap_or(default)
    };
    let (status, kind, code, message) = match outcome.rule().caller_error {
        CallerError::Location if status == 429 => (
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "upstream_refuses_location",
            format!("The upstream refuses calls from the pool's address: {message}"),
        ),
        CallerError::RequestFault | CallerError::Location => (
            client_error(StatusCode::BAD_REQUEST),
            "invalid_request_error",
            code.unwrap_or("invalid_request"),
            message.to_owned(),
        ),
        CallerError::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalid_request_error",
            "request_exceeds_quota",
            message.to_owned(),
        ),
        CallerError::Permission | CallerError::Plan => (
            client_error(StatusCode::FORBIDDEN),
            "permission_error",
            code.unwrap_or("permission_denied"),
            message.to_owned(),
        ),
        CallerError::Quota | CallerError::NoQuota => (
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_error",
            "rate_limit_exceeded",
            message.to_owned(),
        ),
        CallerError::Billing => (
            StatusCode::TOO_MANY_REQUESTS,
            "insufficient_quota",
            "billing_exhausted",
            message.to_owned(),
        ),
        CallerError::KeyRejected => (
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "upstream_key_rejected",
            "The upstream rejected the API key that was chosen for this call. Another call will \
             use another key."
                .to_owned(),
        ),
        CallerError::PoolFault => (
            StatusCode::BAD_GATEWAY,
            "server_error",
            "pool_fault",
            format!("The upstream refused the pool's request: {message}"),
        ),
        CallerError::Trouble => {
            let status = match status {
                408 => StatusCode::GATEWAY_TIMEOUT,
                _ => passed
                    .filter(StatusCode::is_server_error)
                    .unwrap_or(StatusCode::BAD_GATEWAY),
            };
            let code = code.unwrap_or("upstream_error");
            (status, "server_error", code, message.to_owned())
        }
    };
    let body = ErrorBody {
        message,
        kind,
        param: None,
        code: code.to_owned(),
    };
    (status, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream_status(outcome: Outcome, status: u16) -> (u16, String) {
        let failure = Failure::Upstream {
            outcome,
            status,
            code: None,
            message: "m".into(),
            body: None,
            unknown_fields: Vec::new(),
        };
        let (status, body) = failure.describe();
        (status.as_u16(), body.code)
    }

    #[test]
    fn the_party_at_fault_determines_the_status() {
        for (outcome, status, expected) in [
            (Outcome::ClientFault, 400, (400, "invalid_request")),
            (Outcome::ClientFault, 404, (404, "invalid_request")),
            (Outcome::ClientFault, 413, (413, "invalid_request")),
            (Outcome::ResourceRefused, 403, (403, "permission_denied")),
            (Outcome::ResourceRefused, 404, (404, "permission_denied")),
            (Outcome::KeyRejected, 400, (503, "upstream_key_rejected")),
            (Outcome::KeyRejected, 401, (503, "upstream_key_rejected")),
            (Outcome::QuotaPerMinute, 429, (429, "rate_limit_exceeded")),
            (Outcome::EgressRefused, 400, (400, "invalid_request")),
            (
                Outcome::EgressRefused,
                429,
                (503, "upstream_refuses_location"),
            ),
            (Outcome::RequestRefused, 401, (401, "permission_denied")),
            (Outcome::EntityNotFound, 404, (404, "invalid_request")),
            (Outcome::SignatureMissing, 400, (400, "invalid_request")),
            (Outcome::SignatureRefused, 400, (400, "invalid_request")),
            (Outcome::PlanRefused, 400, (400, "permission_denied")),
            (Outcome::FreeTierRefused, 400, (400, "permission_denied")),
            (Outcome::KeyRestricted, 403, (503, "upstream_key_rejected")),
            (Outcome::BillingExhausted, 429, (429, "billing_exhausted")),
            (Outcome::ToolQuota, 429, (429, "rate_limit_exceeded")),
            (Outcome::CredentialMisplaced, 400, (502, "pool_fault")),
            (Outcome::NotSent, 502, (502, "upstream_error")),
            (Outcome::Unanswered, 502, (502, "upstream_error")),
            (Outcome::PoolFault, 400, (502, "pool_fault")),
            (Outcome::UpstreamTrouble, 500, (500, "upstream_error")),
            (Outcome::UpstreamTrouble, 503, (503, "upstream_error")),
            (Outcome::UpstreamTrouble, 504, (504, "upstream_error")),
            (Outcome::UpstreamTrouble, 408, (504, "upstream_error")),
            (Outcome::UpstreamTrouble, 499, (502, "upstream_error")),
            (Outcome::UpstreamTrouble, 302, (502, "upstream_error")),
        ] {
            let (code, name) = upstream_status(outcome, status);
            assert_eq!((code, name.as_str()), expected, "{outcome:?} {status}");
        }
    }

    #[test]
    fn a_rejected_key_is_never_reported_as_401() {
        for outcome in Outcome::ALL {
            let (status, _) = upstream_status(outcome, 401);
            assert!(
                status != 401
                    || outcome == Outcome::ClientFault
                    // For a method that takes no API keys, the upstream's answer passes.
                    || outcome == Outcome::RequestRefused
                    || outcome == Outcome::EntityNotFound
                    || outcome == Outcome::SignatureMissing
                    || outcome == Outcome::SignatureRefused
                    || outcome == Outcome::EgressRefused
                    || outcome == Outcome::ResourceRefused
                    || outcome.is_of_plan(),
                "{outcome:?}"
            );
        }
    }
}
