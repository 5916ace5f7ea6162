//! Everything that can go wrong, and the one place that turns it into a status and OpenAI's error body.
//!
//! The status is chosen for what official clients do with it: they retry 408, 409, 429 and 5xx by themselves. So what a
//! retry cannot cure says `x-should-retry: false`, and a bad key of the pool is never a 401: the caller's token is fine.

use super::reply::Reply;
use crate::config::InvalidConfig;
use crate::pool::{Answer, KeyId, Limit, Outcome, Survey, UnixMillis};
use crate::store::DatabaseError;
use crate::wire::Surface;
use crate::wire::gemini::{self, UnknownField};
use crate::wire::naming::MODEL_RULE;
use crate::wire::openai::{ErrorBody, InvalidRequest};
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// The longest wait that a client is asked to sit out, in milliseconds: 60 s. A longer one is told in words alone.
const LONGEST_WAIT_MS: i64 = 60_000;

/// Why no key of the pool could take a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// Quotas and budgets are used up, or other calls have taken what was left.
    Exhausted,
    /// The keys were rejected, or are paused.
    Credentials,
    /// Keys fail alike.
    Suspected,
    /// No project may use the model.
    Model,
    /// No project has a plan that includes it.
    Plan,
}

/// How an error of Google's about the request itself reaches clients of OpenAI's surface. On Google's
/// own surface it is always passed on as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorForm {
    /// In the pool's form.
    Pool,
    /// As it came.
    Verbatim,
}

/// Why a request gets an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No such path, and what to do about it.
    UnknownPath(&'static str),
    /// The path takes other methods.
    WrongMethod {
        /// Those that it takes.
        allow: &'static str,
    },
    /// No key has this id.
    UnknownKey(KeyId),
    /// The query has a parameter that the path does not take.
    UnknownParameter(&'static str),
    /// A page that may not call.
    OriginRefused,
    /// The operator has set no token.
    TokenNotConfigured,
    /// No bearer token came with the request.
    TokenMissing,
    /// Not the operator's token.
    TokenWrong,
    /// Too many calls of this client in this minute.
    RateLimited {
        /// Calls per minute that are allowed.
        limit: u32,
        /// Whole seconds until the next minute.
        retry_after: i64,
    },
    /// Too many calls with a wrong token, or with none, of this client in this minute.
    WrongTokens {
        /// Such calls per minute that are answered.
        limit: u32,
        /// Whole seconds until the next minute.
        retry_after: i64,
    },
    /// The request's body is too large.
    BodyTooLarge {
        /// Bytes that are allowed.
        max: usize,
    },
    /// The request's body broke off.
    BodyIncomplete,
    /// The request's body did not come to its end in time.
    BodyStalled,
    /// The request's body does not fit beside those of other requests.
    NoRoom,
    /// The request's body is compressed otherwise than by gzip.
    EncodingUnsupported,
    /// The request's body is no chat completion request.
    InvalidRequest(String, Option<&'static str>),
    /// There is no key.
    NoUsableKey,
    /// What the request uses was made with keys that are gone or disabled.
    OwnerGone,
    /// The request uses things of several projects, which no key can.
    OwnersDiffer,
    /// No key can take a call for the model now.
    KeysOut {
        /// Why.
        why: Unavailable,
        /// The model.
        model: String,
        /// What keeps the keys from it.
        survey: Survey,
        /// Milliseconds until the first of them comes back; `None` where no time brings one back.
        wait_ms: Option<i64>,
    },
    /// The request alone is larger than the quota of the projects that are known.
    TooLarge {
        /// The model.
        model: String,
        /// The limit that it exceeds.
        limit: Limit,
    },
    /// What the last attempt came to, after the pool has done what it may: a client's own retries would not help.
    Spent(Box<Failure>),
    /// The upstream answered with an error, or not at all.
    Upstream {
        /// How the attempt ended.
        outcome: Outcome,
        /// The upstream's status, or the one that stands for its silence.
        status: u16,
        /// Google's canonical code, lower case.
        code: Option<String>,
        /// Google's words, redacted.
        message: String,
        /// Google's error as it came, redacted, where it can be read.
        body: Option<String>,
        /// The fields that it does not know, where it is about nothing else.
        unknown_fields: Vec<UnknownField>,
    },
    /// The upstream's answer broke off.
    AnswerBroken {
        /// How, redacted.
        reason: String,
    },
    /// The host ends, and no attempt can.
    Stopping,
    /// The database refused. What it said is for the operator.
    Database(DatabaseError),
    /// The database can be read but not written. What it said is for the operator.
    DatabaseNotWritable(DatabaseError),
    /// The operator's settings are wrong.
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
    /// No key can take a call for `model` now.
    pub(super) fn keys_out(why: Unavailable, model: &str, survey: Survey, now: UnixMillis) -> Self {
        Self::KeysOut {
            why,
            model: model.to_owned(),
            wait_ms: survey.soonest.map(|soonest| soonest.since(now)),
            survey,
        }
    }

    /// The request names a model that can be none.
    pub(super) fn no_model_name() -> Self {
        Self::InvalidRequest(MODEL_RULE.to_owned(), Some("model"))
    }

    /// The request has a secret where a name should be.
    pub(super) fn secret_in_name() -> Self {
        let message = "The request has the pool's token or an API key in its path or in `model`. Send the token as `Authorization: Bearer TOKEN` or `x-goog-api-key: TOKEN` alone.";
        Self::InvalidRequest(message.to_owned(), None)
    }

    /// The failure of a request's last attempt.
    pub(super) fn of_last_attempt(last: Option<Self>) -> Self {
        last.unwrap_or(Self::NoUsableKey)
    }

    /// The same after the pool has retried, or would have if its budget allowed: trouble of the
    /// upstream is then not worth a retry of the client.
    pub(super) fn spent(self) -> Self {
        let is_trouble = match &self {
            Self::Upstream { outcome, .. } => outcome.rule().answer == Answer::Trouble,
            Self::AnswerBroken { .. } => true,
            _ => false,
        };
        match is_trouble {
            true => Self::Spent(Box::new(self)),
            false => self,
        }
    }

    /// Status and body. The only place that knows them.
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
                    &format!("This path does not take that method. It takes {allow}."),
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
            Self::UnknownParameter(takes) => (
                StatusCode::BAD_REQUEST,
                body(
                    &format!("This path takes no other query parameter than `{takes}`."),
                    "invalid_request_error",
                    "unknown_parameter",
                ),
            ),
            Self::OriginRefused => (
                StatusCode::FORBIDDEN,
                body(
                    "Pages of this origin may not call. The operator lists those that may in `allowed_origins`.",
                    "permission_error",
                    "origin_not_allowed",
                ),
            ),
            Self::TokenNotConfigured => (
                StatusCode::SERVICE_UNAVAILABLE,
                body(
                    "The pool refuses every call because no client token is configured. Set the variable `my_api_token` (SPIN_VARIABLE_MY_API_TOKEN) and restart.",
                    "server_error",
                    "client_token_not_configured",
                ),
            ),
            Self::TokenMissing => (
                StatusCode::UNAUTHORIZED,
                body(
                    "No client token. Send the pool's token as `Authorization: Bearer TOKEN` or `x-goog-api-key: TOKEN`, in most clients the `api_key` setting.",
                    "authentication_error",
                    "missing_client_token",
                ),
            ),
            Self::TokenWrong => (
                StatusCode::UNAUTHORIZED,
                body(
                    "This is not the pool's client token. Ask the pool's operator for it; a Gemini API key does not work here.",
                    "authentication_error",
                    "invalid_client_token",
                ),
            ),
            Self::RateLimited { limit, retry_after } => (
                StatusCode::TOO_MANY_REQUESTS,
                body(
                    &format!(
                        "More than {limit} calls in this minute from this address. Try again in {retry_after} s."
                    ),
                    "rate_limit_error",
                    "rate_limit_exceeded",
                ),
            ),
            Self::WrongTokens { limit, retry_after } => (
                StatusCode::TOO_MANY_REQUESTS,
                body(
                    &format!(
                        "More than {limit} calls in this minute from this address, the latest without the pool's client token. Try again in {retry_after} s, with the token."
                    ),
                    "rate_limit_error",
                    "rate_limit_exceeded",
                ),
            ),
            Self::BodyTooLarge { max } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                body(
                    &format!(
                        "The request body is larger than the pool's limit of {max} bytes (`max_body_bytes`)."
                    ),
                    "invalid_request_error",
                    "request_too_large",
                ),
            ),
            Self::BodyIncomplete => (
                StatusCode::BAD_REQUEST,
                body(
                    "The request body broke off before its end.",
                    "invalid_request_error",
                    "incomplete_body",
                ),
            ),
            Self::BodyStalled => (
                StatusCode::REQUEST_TIMEOUT,
                body(
                    "The request body did not come to its end: for a minute next to nothing of it has arrived.",
                    "invalid_request_error",
                    "incomplete_body",
                ),
            ),
            Self::NoRoom => (
                StatusCode::SERVICE_UNAVAILABLE,
                body(
                    "The pool holds as many request bodies as it may (`max_held_bytes`). Try again in a moment.",
                    "server_error",
                    "pool_busy",
                ),
            ),
            Self::EncodingUnsupported => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                body(
                    "The request body's `Content-Encoding` is not supported: send it as it is, or compressed by gzip.",
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
                    "The pool has no API key that can be used. The operator sees its keys at GET /api/keys/status.",
                    "server_error",
                    "no_usable_key",
                ),
            ),
            Self::OwnerGone => (
                StatusCode::NOT_FOUND,
                body(
                    "What this request uses (a file, cached content, batch, video or operation) belongs to the project of an API key that is no longer in the pool, or is disabled. Make it again, or ask the pool's operator for the key.",
                    "invalid_request_error",
                    "resource_owner_gone",
                ),
            ),
            Self::OwnersDiffer => (
                StatusCode::BAD_REQUEST,
                body(
                    "This request uses things (files, cached contents) that were made with API keys of different projects; no key can use them together. Make them again one after another, or use a pool of one project.",
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
                    "The pool is being stopped. Try again in a moment.",
                    "server_error",
                    "pool_stopping",
                ),
            ),
            Self::Database(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                body(
                    "The pool's database cannot be used now.",
                    "server_error",
                    "database_unavailable",
                ),
            ),
            Self::DatabaseNotWritable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                body(
                    "The pool's database does not take writes.",
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

    /// What to tell the operator of a failure of the pool itself; `None` for those of clients, and for those of the
    /// upstream, which the call's own line tells.
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

    /// Whether official clients should try again, where they would not know by the status.
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
                let is_soon = wait_ms.is_some_and(|ms| ms <= LONGEST_WAIT_MS);
                let is_lasting = matches!(why, Unavailable::Model | Unavailable::Plan)
                    || survey.all_cooling_for(Outcome::BillingExhausted);
                (!is_soon || is_lasting).then_some("false")
            }
            Self::Upstream { outcome, .. } => match outcome.rule().answer {
                Answer::RequestFault
                | Answer::TooLarge
                | Answer::Location
                | Answer::Permission
                | Answer::Plan
                | Answer::NoQuota
                | Answer::Billing
                | Answer::PoolFault => Some("false"),
                Answer::Quota | Answer::KeyRejected | Answer::Trouble => None,
            },
            _ => None,
        }
    }

    /// The error's JSON text as clients of a surface read it.
    pub(super) fn to_json(&self, surface: Surface, form: ErrorForm) -> String {
        let (status, error) = self.describe();
        match (surface, self) {
            (_, Self::Spent(last)) => last.to_json(surface, form),
            (
                _,
                Self::Upstream {
                    status: own,
                    body: Some(body),
                    ..
                },
            ) if *own == status.as_u16()
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

    /// The failure as an answer.
    pub(super) fn into_reply<D, B, S>(self, surface: Surface, form: ErrorForm) -> Reply<D, B, S> {
        let (status, _) = self.describe();
        let mut reply = Reply::json(status, self.to_json(surface, form));
        if let Some(should_retry) = self.should_retry() {
            reply
                .headers
                .insert(SHOULD_RETRY, HeaderValue::from_static(should_retry));
        }
        match self {
            Self::WrongMethod { allow } => {
                reply
                    .headers
                    .insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            Self::RateLimited { retry_after, .. } | Self::WrongTokens { retry_after, .. } => {
                reply
                    .headers
                    .insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
            }
            // google-genai's interactions sit out any wait, and openai for Python makes a short one of a long one.
            Self::KeysOut {
                wait_ms: Some(wait_ms),
                ..
            } if wait_ms <= LONGEST_WAIT_MS => {
                reply.headers.insert(
                    header::RETRY_AFTER,
                    HeaderValue::from(whole_seconds(wait_ms)),
                );
                reply
                    .headers
                    .insert(RETRY_AFTER_MS, HeaderValue::from(wait_ms));
            }
            Self::EncodingUnsupported => {
                reply.headers.insert(
                    header::ACCEPT_ENCODING,
                    HeaderValue::from_static("gzip, identity"),
                );
            }
            Self::Stopping | Self::NoRoom => {
                reply
                    .headers
                    .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::TokenMissing | Self::TokenWrong => {
                reply
                    .headers
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        reply
    }
}

/// Seconds that are at least as long.
fn whole_seconds(ms: i64) -> i64 {
    ms.saturating_add(999) / 1000
}

/// What a caller gets whose request can never succeed under the quotas that there are.
fn too_large(quota: &str) -> (StatusCode, ErrorBody) {
    let body = ErrorBody {
        message: format!(
            "This request alone is larger than the quota of the pool's projects ({quota}), so trying again does not help. Send a smaller request, or ask the pool's operator for a project with a larger quota."
        ),
        kind: "invalid_request_error",
        param: None,
        code: "request_exceeds_quota".to_owned(),
    };
    (StatusCode::PAYLOAD_TOO_LARGE, body)
}

/// What a caller gets when no key can take the call.
fn keys_out(
    why: Unavailable,
    model: &str,
    survey: &Survey,
    wait_ms: Option<i64>,
) -> (StatusCode, ErrorBody) {
    let (status, kind, code, what) = match why {
        Unavailable::Exhausted if survey.all_cooling_for(Outcome::BillingExhausted) => (
            StatusCode::TOO_MANY_REQUESTS,
            "insufficient_quota",
            "billing_exhausted",
            "The projects of the pool's API keys are out of billing: a spending cap is reached, credits are used up, or a billing account is closed. The pool's operator has to change that".to_owned(),
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
            "The pool has no API key that the upstream accepts; its operator has to mend that"
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
            "The pool's API keys fail alike, so the upstream, or the pool's address, is suspected; the keys are kept"
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
    let mut out: Vec<String> = survey
        .ineligible
        .iter()
        .map(|(reason, keys)| format!("{keys} {}", reason.name()))
        .collect();
    if survey.eligible > 0 {
        out.push(format!("{} taken by other calls", survey.eligible));
    }
    let returns = wait_ms.map_or_else(String::new, |ms| {
        format!(" The first one is back in {} s.", whole_seconds(ms))
    });
    let message = format!(
        "{what}. Of {} keys: {}.{returns}",
        survey.keys,
        out.join(", ")
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

/// What a caller gets for an attempt that failed. Whose fault it was decides, not the upstream's status: a dead key is
/// the pool's trouble, so it becomes a 503, while the caller's own 400 comes back as it is.
fn upstream(
    outcome: Outcome,
    status: u16,
    code: Option<&str>,
    message: &str,
) -> (StatusCode, ErrorBody) {
    let own = StatusCode::from_u16(status).ok();
    let client_error = |default| own.filter(StatusCode::is_client_error).unwrap_or(default);
    let (status, kind, code, message) = match outcome.rule().answer {
        Answer::Location if status == 429 => (
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "upstream_refuses_location",
            format!("The upstream refuses calls from the pool's address: {message}"),
        ),
        Answer::RequestFault | Answer::Location => (
            client_error(StatusCode::BAD_REQUEST),
            "invalid_request_error",
            code.unwrap_or("invalid_request"),
            message.to_owned(),
        ),
        Answer::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalid_request_error",
            "request_exceeds_quota",
            message.to_owned(),
        ),
        Answer::Permission | Answer::Plan => (
            client_error(StatusCode::FORBIDDEN),
            "permission_error",
            code.unwrap_or("permission_denied"),
            message.to_owned(),
        ),
        Answer::Quota | Answer::NoQuota => (
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_error",
            "rate_limit_exceeded",
            message.to_owned(),
        ),
        Answer::Billing => (
            StatusCode::TOO_MANY_REQUESTS,
            "insufficient_quota",
            "billing_exhausted",
            message.to_owned(),
        ),
        Answer::KeyRejected => (
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "upstream_key_rejected",
            "The upstream rejected the API key that was chosen for this call. Another call uses another key.".to_owned(),
        ),
        Answer::PoolFault => (
            StatusCode::BAD_GATEWAY,
            "server_error",
            "pool_fault",
            format!("The pool's own call to the upstream was refused: {message}"),
        ),
        Answer::Trouble => {
            let status = match status {
                408 => StatusCode::GATEWAY_TIMEOUT,
                _ => own.filter(StatusCode::is_server_error).unwrap_or(StatusCode::BAD_GATEWAY),
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
    fn whose_fault_it_was_decides_the_status() {
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
    fn a_bad_key_of_the_pool_is_never_the_callers_401() {
        for outcome in Outcome::ALL {
            let (status, _) = upstream_status(outcome, 401);
            assert!(
                status != 401
                    || outcome == Outcome::ClientFault
                    // Of a method that takes no keys: the upstream's answer passes.
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
