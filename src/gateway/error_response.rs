//! What the client and the operator are told of each [`Failure`]: the only place that maps failures
//! to a status, a code and a message.
//!
//! Statuses are chosen for the official clients, which retry 408, 409, 429 and 5xx on their own. A
//! failure that a retry cannot cure is therefore marked `x-should-retry: false`, and a bad key of
//! the pool is never reported as a 401, since the caller's token is valid.

use super::error_code::ErrorCode;
use super::failure::{Failure, Unavailable};
use crate::pool::{CallerError, Outcome, Survey, TokenLimit};
use crate::wire::ClientApi;
use crate::wire::gemini::{self, Overflow};
use crate::wire::openai::ErrorBody;
use crate::wire::translate::messages;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// The longest wait that is sent as `Retry-After`, in milliseconds: 60 s. Only the message reports
/// longer waits.
const MAX_RETRY_AFTER_MS: i64 = 60_000;

/// Appended to Google's error about a model that it does not know. Clients made for other providers
/// ask for models of those.
const MODEL_ADVICE: &str = " If the client cannot be set to a model of Gemini, the pool's operator \
                            can lead the name to one with `model_aliases`.";

/// How clients of OpenAI's surface receive Google's errors about the request itself. On Google's
/// surface these errors always pass unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorForm {
    /// In the error format of the client's API.
    Pool,
    /// Unchanged.
    Verbatim,
}

impl Failure {
    /// The response to the client.
    pub fn describe(&self) -> ErrorResponse {
        match self {
            Self::UnknownPath(advice) => ErrorResponse::new(ErrorCode::UnknownPath, *advice),
            Self::WrongMethod { allow } => ErrorResponse::new(
                ErrorCode::MethodNotAllowed,
                format!("This path does not support the method. It supports {allow}."),
            ),
            Self::UnknownKey(id) => ErrorResponse::new(
                ErrorCode::UnknownKey,
                format!("No key has the id {id}. GET /api/keys/status lists all keys."),
            ),
            Self::UnknownRequest => ErrorResponse::new(
                ErrorCode::UnknownRequest,
                "No request with this id is in the log. An id begins with `req_`, and rows are \
                 deleted after `log_retention_days`.",
            ),
            Self::UnknownToken(id) => ErrorResponse::new(
                ErrorCode::UnknownToken,
                format!("No client token has the id {id}."),
            ),
            Self::UnknownParameter(supported) => ErrorResponse::new(
                ErrorCode::UnknownParameter,
                format!("The only query parameter of this path is `{supported}`."),
            ),
            Self::OriginRefused => ErrorResponse::new(
                ErrorCode::OriginNotAllowed,
                "Web pages of this origin may not call the pool. The operator sets the allowed \
                 origins in `allowed_origins`.",
            ),
            Self::TokenNotConfigured => ErrorResponse::new(
                ErrorCode::ClientTokenNotConfigured,
                "The pool refuses every call because it has no client token. Set the variable \
                 `my_api_token` (SPIN_VARIABLE_MY_API_TOKEN) and restart, or create a token with \
                 POST /admin/api/v1/tokens.",
            ),
            Self::TokenMissing => ErrorResponse::new(
                ErrorCode::MissingClientToken,
                "The client token is missing. Send the pool's token as `Authorization: Bearer \
                 TOKEN`, `x-goog-api-key: TOKEN` or `x-api-key: TOKEN`; most clients have an \
                 `api_key` setting for it.",
            ),
            Self::TokenWrong => ErrorResponse::new(
                ErrorCode::InvalidClientToken,
                "The client token is wrong. Ask the pool's operator for the token; a Gemini API \
                 key does not work here.",
            ),
            Self::TokenDisabled => ErrorResponse::new(
                ErrorCode::ClientTokenDisabled,
                "The pool's operator has disabled this client token.",
            ),
            Self::TokenExpired => ErrorResponse::new(
                ErrorCode::ClientTokenExpired,
                "This client token has expired. Ask the pool's operator for a new one.",
            ),
            Self::NetworkNotAllowed => ErrorResponse::new(
                ErrorCode::NetworkNotAllowed,
                "This client token may not be used from this address.",
            ),
            Self::ModelNotAllowed(subject) => ErrorResponse::new(
                ErrorCode::ModelNotAllowed,
                format!(
                    "This client token may not use {subject}. GET /v1/models lists its models."
                ),
            ),
            Self::TokenLimited { limit, wait_ms } => token_limited(*limit, *wait_ms),
            Self::OperatorTokenNotConfigured => ErrorResponse::new(
                ErrorCode::OperatorTokenNotConfigured,
                "This is only for operators, and no operator's token is configured. Set the \
                 variable `admin_token` (SPIN_VARIABLE_ADMIN_TOKEN), or `admin_read_token` for \
                 reading, and restart.",
            ),
            Self::OperatorTokenMissing => ErrorResponse::new(
                ErrorCode::MissingOperatorToken,
                "The operator's token is missing. Send `admin_token`, or `admin_read_token` for \
                 reading, as `Authorization: Bearer TOKEN`.",
            ),
            Self::OperatorTokenWrong => ErrorResponse::new(
                ErrorCode::InvalidOperatorToken,
                "The operator's token is wrong. A client token does not work here.",
            ),
            Self::PageRefused => ErrorResponse::new(
                ErrorCode::OriginNotAllowed,
                "With a session, only pages of the pool itself may make changes. Send the \
                 operator's token instead, as `Authorization: Bearer TOKEN`.",
            ),
            Self::SessionEnded => ErrorResponse::new(
                ErrorCode::SessionEnded,
                "The session has ended. Sign in again.",
            ),
            Self::ReadOnlyToken => ErrorResponse::new(
                ErrorCode::ReadOnlyToken,
                "This token may only read. Send `admin_token` to make changes.",
            ),
            Self::MetricsTokenWrong => ErrorResponse::new(
                ErrorCode::InvalidMetricsToken,
                "The token for metrics is missing or wrong. Send `metrics_token` or an operator's \
                 token as `Authorization: Bearer TOKEN`. The pool's operator sets it, or lets this \
                 address read them without one, in `metrics_networks`.",
            ),
            Self::RateLimited { limit, retry_after } => ErrorResponse::new(
                ErrorCode::RateLimitExceeded,
                format!(
                    "This address has made more than {limit} calls in the current minute. Try \
                     again in {retry_after} s."
                ),
            ),
            Self::WrongTokens { limit, retry_after } => ErrorResponse::new(
                ErrorCode::RateLimitExceeded,
                format!(
                    "This address has made more than {limit} calls in the current minute, the \
                     latest without a valid token. Try again in {retry_after} s with one."
                ),
            ),
            Self::BodyTooLarge { max } => ErrorResponse::new(
                ErrorCode::RequestTooLarge,
                format!(
                    "The request body exceeds the pool's limit of {max} bytes (`max_body_bytes`)."
                ),
            ),
            Self::BodyIncomplete => {
                ErrorResponse::new(ErrorCode::IncompleteBody, "The request body is incomplete.")
            }
            Self::BodyStalled => ErrorResponse {
                status: StatusCode::REQUEST_TIMEOUT,
                ..ErrorResponse::new(
                    ErrorCode::IncompleteBody,
                    "The request body stalled: almost nothing arrived for a minute.",
                )
            },
            Self::NoRoom => ErrorResponse::new(
                ErrorCode::PoolBusy,
                "The pool has no memory left for request bodies (`max_held_bytes`). Try again in \
                 a moment.",
            ),
            Self::EncodingUnsupported => ErrorResponse::new(
                ErrorCode::UnsupportedEncoding,
                "The request body's `Content-Encoding` is not supported. Send the body \
                 uncompressed or compressed with gzip.",
            ),
            Self::InvalidRequest(message, param) => {
                ErrorResponse::new(ErrorCode::InvalidRequest, message).about(param.as_deref())
            }
            Self::NoUsableKey => ErrorResponse::new(
                ErrorCode::NoUsableKey,
                "The pool has no usable API key. The operator can list the keys with GET \
                 /api/keys/status.",
            ),
            Self::OwnerGone => ErrorResponse::new(
                ErrorCode::ResourceOwnerGone,
                "This request uses a resource (a file, cached content, batch, video or operation) \
                 of an API key that was removed from the pool or disabled. Create the resource \
                 again, or ask the pool's operator to restore the key.",
            ),
            Self::OwnersDiffer => ErrorResponse::new(
                ErrorCode::ResourcesOfDifferentProjects,
                "This request uses resources (files, cached contents) of different projects, \
                 which no single API key can access. Create them again one after another, or use \
                 a pool with one project.",
            ),
            Self::KeysOut {
                why,
                model,
                survey,
                wait_ms,
            } => keys_out(*why, model, survey, *wait_ms),
            Self::TooLarge { model, limit } => ErrorResponse::new(
                ErrorCode::RequestExceedsQuota,
                format!(
                    "This request alone exceeds the quota of the pool's projects ({} {} per {} for \
                     the model {model}), so a retry cannot succeed. Send a smaller request, or ask \
                     the pool's operator for a project with a larger quota.",
                    limit.value,
                    limit.unit.name().replace('_', " "),
                    limit.window.name()
                ),
            ),
            Self::Spent(last) => last.describe(),
            Self::Upstream {
                outcome,
                status,
                code,
                message,
                ..
            } => upstream(*outcome, *status, code.as_deref(), message),
            Self::AnswerBroken { reason } => ErrorResponse::new(
                ErrorCode::UpstreamAnswerBroken,
                format!("The answer is incomplete: {reason}."),
            ),
            Self::Stopping => ErrorResponse::new(
                ErrorCode::PoolStopping,
                "The pool is shutting down. Try again in a moment.",
            ),
            Self::Database(_) => ErrorResponse::new(
                ErrorCode::DatabaseUnavailable,
                "The pool's database is unavailable.",
            ),
            Self::DatabaseNotWritable(_) => ErrorResponse::new(
                ErrorCode::DatabaseNotWritable,
                "The pool's database is not writable.",
            ),
            Self::EncryptionKeyWrong(_) => ErrorResponse::new(
                ErrorCode::EncryptionKeyWrong,
                "The pool cannot open its API keys: they are sealed with another encryption key. \
                 The operator must set `encryption_key` to it; no key was changed.",
            ),
            Self::Configuration(problems) => {
                ErrorResponse::new(ErrorCode::InvalidConfiguration, problems)
            }
        }
    }

    /// The log text for a failure of the pool itself. `None` for failures of clients, and for those
    /// of the upstream, which are logged with the call.
    pub(super) fn for_operator(&self) -> Option<String> {
        let detail = match self {
            Self::Database(error)
            | Self::DatabaseNotWritable(error)
            | Self::EncryptionKeyWrong(error) => error.to_string(),
            Self::Configuration(problems) => problems.clone(),
            Self::NoUsableKey | Self::TokenNotConfigured | Self::KeysOut { .. } => {
                self.describe().body.message
            }
            Self::UnknownPath(_)
            | Self::WrongMethod { .. }
            | Self::UnknownKey(_)
            | Self::UnknownRequest
            | Self::UnknownToken(_)
            | Self::UnknownParameter(_)
            | Self::OriginRefused
            | Self::PageRefused
            | Self::OwnerGone
            | Self::OwnersDiffer
            | Self::TokenMissing
            | Self::TokenWrong
            | Self::TokenDisabled
            | Self::TokenExpired
            | Self::NetworkNotAllowed
            | Self::ModelNotAllowed(_)
            | Self::TokenLimited { .. }
            | Self::OperatorTokenNotConfigured
            | Self::OperatorTokenMissing
            | Self::OperatorTokenWrong
            | Self::SessionEnded
            | Self::ReadOnlyToken
            | Self::MetricsTokenWrong
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
        Some(format!("code={}: {detail}", self.describe().body.code))
    }

    /// The `x-should-retry` header, if the status alone would mislead official clients.
    fn should_retry(&self) -> Option<&'static str> {
        match self {
            Self::UnknownPath(_)
            | Self::WrongMethod { .. }
            | Self::UnknownKey(_)
            | Self::UnknownRequest
            | Self::UnknownToken(_)
            | Self::UnknownParameter(_)
            | Self::OriginRefused
            | Self::PageRefused
            | Self::TokenMissing
            | Self::TokenWrong
            | Self::TokenDisabled
            | Self::TokenExpired
            | Self::NetworkNotAllowed
            | Self::ModelNotAllowed(_)
            | Self::OperatorTokenNotConfigured
            | Self::OperatorTokenMissing
            | Self::OperatorTokenWrong
            | Self::SessionEnded
            | Self::ReadOnlyToken
            | Self::MetricsTokenWrong
            | Self::BodyTooLarge { .. }
            | Self::EncodingUnsupported
            | Self::InvalidRequest(..)
            | Self::TokenNotConfigured
            | Self::WrongTokens { .. }
            | Self::Configuration(_)
            | Self::EncryptionKeyWrong(_)
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
            Self::TokenLimited { wait_ms, .. } => {
                (*wait_ms > MAX_RETRY_AFTER_MS).then_some("false")
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

    /// The status for clients of an API.
    pub(super) fn status(&self, api: ClientApi) -> StatusCode {
        let ErrorResponse { status, .. } = self.describe();
        match api {
            ClientApi::OpenAi | ClientApi::Gemini | ClientApi::Admin => status,
            ClientApi::Anthropic => {
                StatusCode::from_u16(messages::error_status(status.as_u16())).unwrap_or(status)
            }
        }
    }

    /// The error as JSON in an API's format.
    pub(super) fn to_json(&self, api: ClientApi, form: ErrorForm) -> String {
        let ErrorResponse {
            status,
            body: error,
        } = self.describe();
        match (api, self) {
            (_, Self::Spent(last)) => last.to_json(api, form),
            (
                _,
                Self::Upstream {
                    status: upstream_status,
                    body: Some(body),
                    ..
                },
            ) if *upstream_status == status.as_u16()
                && match api {
                    ClientApi::OpenAi => form == ErrorForm::Verbatim,
                    ClientApi::Gemini => body.trim_start().starts_with('{'),
                    ClientApi::Anthropic | ClientApi::Admin => false,
                } =>
            {
                body.clone()
            }
            (ClientApi::OpenAi, _) => error.to_json(),
            (ClientApi::Admin, _) => problem(status, &error),
            (ClientApi::Anthropic, _) => {
                let code = messages::error_code(error.param.as_deref(), &error.code);
                messages::error_json(status.as_u16(), code, &error.message)
            }
            (ClientApi::Gemini, _) => {
                let wait_ms = match self {
                    Self::KeysOut { wait_ms, .. } => *wait_ms,
                    Self::TokenLimited { wait_ms, .. } => Some(*wait_ms),
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
            }
            | Self::TokenLimited { wait_ms, .. }
                if *wait_ms <= MAX_RETRY_AFTER_MS =>
            {
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
            Self::TokenMissing
            | Self::TokenWrong
            | Self::TokenDisabled
            | Self::TokenExpired
            | Self::OperatorTokenMissing
            | Self::OperatorTokenWrong
            | Self::SessionEnded
            | Self::MetricsTokenWrong => {
                set(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        headers
    }
}

/// An error as the client receives it.
pub struct ErrorResponse {
    /// HTTP status.
    pub status: StatusCode,
    /// The error.
    pub body: ErrorBody,
}

impl ErrorResponse {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            body: ErrorBody {
                message: message.into(),
                kind: code.kind(),
                param: None,
                code: code.name().to_owned(),
            },
        }
    }

    /// With the request's parameter that is at fault.
    fn about(mut self, param: Option<&str>) -> Self {
        self.body.param = param.map(str::to_owned);
        self
    }
}

/// The media type of [`problem`].
pub(super) const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A problem as in RFC 9457. Its type is `about:blank`, since `code` says what is wrong.
fn problem(status: StatusCode, error: &ErrorBody) -> String {
    #[derive(Serialize)]
    struct Problem<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        title: &'a str,
        status: u16,
        detail: &'a str,
        code: &'a str,
        /// The parameter at fault.
        #[serde(skip_serializing_if = "Option::is_none")]
        param: Option<&'a str>,
    }
    // Strings always serialize.
    serde_json::to_string(&Problem {
        kind: "about:blank",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail: &error.message,
        code: &error.code,
        param: error.param.as_deref(),
    })
    .unwrap_or_default()
}

/// Converts milliseconds to seconds, rounded up.
fn whole_seconds(ms: i64) -> i64 {
    ms.saturating_add(999) / 1000
}

/// The response to a request that no key can take.
fn keys_out(why: Unavailable, model: &str, survey: &Survey, wait_ms: Option<i64>) -> ErrorResponse {
    let (code, reason) = reason(why, model, survey);
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
    let is_about_model = matches!(why, Unavailable::Model | Unavailable::Plan);
    ErrorResponse::new(code, message).about(is_about_model.then_some("model"))
}

/// The response to a request beyond a limit of its client token.
fn token_limited(limit: TokenLimit, wait_ms: i64) -> ErrorResponse {
    let (code, name, most) = match limit {
        TokenLimit::RequestsPerMinute(most) => {
            let code = ErrorCode::RequestsPerMinuteExceeded;
            (code, "requests_per_minute", most)
        }
        TokenLimit::TokensPerDay(most) => (ErrorCode::TokensPerDayExceeded, "tokens_per_day", most),
    };
    let seconds = whole_seconds(wait_ms);
    let message = format!(
        "This client token has reached its limit `{name}` of {most}. Try again in {seconds} s."
    );
    ErrorResponse::new(code, message)
}

/// Why no key can take a call, as the client reads it.
fn reason(why: Unavailable, model: &str, survey: &Survey) -> (ErrorCode, String) {
    match why {
        Unavailable::Exhausted if survey.all_cooling_for(Outcome::BillingExhausted) => (
            ErrorCode::BillingExhausted,
            "The projects of the pool's API keys have a billing problem: a spending cap is \
             reached, credits are used up, or a billing account is closed. The pool's operator \
             must fix this"
                .to_owned(),
        ),
        Unavailable::Exhausted => (
            ErrorCode::RateLimitExceeded,
            format!("No API key of the pool can take a call for the model {model} now"),
        ),
        Unavailable::Credentials => (
            ErrorCode::UpstreamCredentialsExhausted,
            "The pool has no API key that the upstream accepts; the pool's operator must fix this"
                .to_owned(),
        ),
        Unavailable::Suspected if survey.all_cooling_for(Outcome::EgressRefused) => (
            ErrorCode::UpstreamRefusesLocation,
            "The upstream refuses calls from the pool's location or address".to_owned(),
        ),
        Unavailable::Suspected => (
            ErrorCode::UpstreamSuspected,
            "The pool's API keys all fail in the same way, so the cause is probably the upstream \
             or the pool's address; no key was disabled"
                .to_owned(),
        ),
        Unavailable::Plan => (
            ErrorCode::PlanRefused,
            format!("No project of the pool's API keys has a plan that includes the model {model}"),
        ),
        Unavailable::Model => (
            ErrorCode::ModelNotAvailable,
            format!("No API key of the pool may use the model {model}"),
        ),
    }
}

/// The response to a request whose last attempt failed. It depends on whose fault the failure was,
/// not on the upstream's status: a dead key is the pool's problem, so it becomes a 503, while a 400
/// that the caller caused passes unchanged.
fn upstream(outcome: Outcome, status: u16, code: Option<&str>, message: &str) -> ErrorResponse {
    let passed = StatusCode::from_u16(status).ok();
    // The upstream's status and code take precedence over the pool's.
    let passing = |own: ErrorCode, is_passed: fn(&StatusCode) -> bool| {
        let mut response = ErrorResponse::new(own, message);
        if let Some(status) = passed.filter(is_passed) {
            response.status = status;
        }
        if let Some(code) = code {
            response.body.code = code.to_owned();
        }
        response
    };
    match outcome.rule().caller_error {
        CallerError::Location if status == 429 => ErrorResponse::new(
            ErrorCode::UpstreamRefusesLocation,
            format!("The upstream refuses calls from the pool's address: {message}"),
        ),
        CallerError::RequestFault if Overflow::in_message(message).is_some() => {
            ErrorResponse::new(ErrorCode::ContextLengthExceeded, message)
        }
        CallerError::RequestFault if status == 404 && message.starts_with("models/") => {
            let mut response = passing(ErrorCode::InvalidRequest, StatusCode::is_client_error);
            response.body.message.push_str(MODEL_ADVICE);
            response
        }
        CallerError::RequestFault | CallerError::Location => {
            passing(ErrorCode::InvalidRequest, StatusCode::is_client_error)
        }
        CallerError::TooLarge => ErrorResponse::new(ErrorCode::RequestExceedsQuota, message),
        CallerError::Permission | CallerError::Plan => {
            passing(ErrorCode::PermissionDenied, StatusCode::is_client_error)
        }
        CallerError::Quota | CallerError::NoQuota => {
            ErrorResponse::new(ErrorCode::RateLimitExceeded, message)
        }
        CallerError::Billing => ErrorResponse::new(ErrorCode::BillingExhausted, message),
        CallerError::KeyRejected => ErrorResponse::new(
            ErrorCode::UpstreamKeyRejected,
            "The upstream rejected the API key that was chosen for this call. Another call will \
             use another key.",
        ),
        CallerError::PoolFault => ErrorResponse::new(
            ErrorCode::PoolFault,
            format!("The upstream refused the pool's request: {message}"),
        ),
        CallerError::Trouble if status == 408 => ErrorResponse {
            status: StatusCode::GATEWAY_TIMEOUT,
            ..passing(ErrorCode::UpstreamError, StatusCode::is_server_error)
        },
        CallerError::Trouble => passing(ErrorCode::UpstreamError, StatusCode::is_server_error),
    }
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
        let ErrorResponse { status, body } = failure.describe();
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
