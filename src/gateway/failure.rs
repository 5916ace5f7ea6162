//! Every way in which a request can fail.

use crate::config::InvalidConfig;
use crate::pool::{CallerError, KeyId, Limit, Outcome, Survey, TokenId, TokenLimit, UnixMillis};
use crate::store::{DatabaseError, ErrorKind};
use crate::wire::gemini::UnknownField;
use crate::wire::naming::MODEL_RULE;
use crate::wire::openai::InvalidRequest;
use crate::wire::translate::Invalid;
use std::borrow::Cow;

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
    /// No request with this id is in the log.
    UnknownRequest,
    /// No client token has this id.
    UnknownToken(TokenId),
    /// The query has an unsupported parameter. Contains the supported one.
    UnknownParameter(&'static str),
    /// The web page's origin is not allowed.
    OriginRefused,
    /// The pool has no client token.
    TokenNotConfigured,
    /// The request has no token.
    TokenMissing,
    /// The request's token is not the pool's.
    TokenWrong,
    /// The client token was taken out of use.
    TokenDisabled,
    /// The client token has expired.
    TokenExpired,
    /// The client token may not be used from the client's address.
    NetworkNotAllowed,
    /// The client token may not use the model. Contains what the request is about.
    ModelNotAllowed(String),
    /// The client token has reached a limit.
    TokenLimited {
        /// The limit.
        limit: TokenLimit,
        /// Milliseconds until the next request may succeed.
        wait_ms: i64,
    },
    /// No operator's token is configured.
    OperatorTokenNotConfigured,
    /// The request has no operator's token.
    OperatorTokenMissing,
    /// The request's token is not an operator's.
    OperatorTokenWrong,
    /// With a session, the web page may make no changes, since it is not one of the pool.
    PageRefused,
    /// The operator's session has ended, or its cookie is not the pool's.
    SessionEnded,
    /// The operator's token may not make changes.
    ReadOnlyToken,
    /// Neither the request's token nor its address may read the metrics.
    MetricsTokenWrong,
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
    InvalidRequest(String, Option<Cow<'static, str>>),
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
    /// Keys are sealed with an encryption key that the pool does not have. The details are for the
    /// operator only.
    EncryptionKeyWrong(DatabaseError),
    /// The operator's settings are invalid.
    Configuration(String),
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        match error.kind() {
            ErrorKind::WrongEncryptionKey => Self::EncryptionKeyWrong(error),
            ErrorKind::Busy
            | ErrorKind::Expired
            | ErrorKind::Lost
            | ErrorKind::NoSuchTable
            | ErrorKind::DuplicateColumn
            | ErrorKind::Refused => Self::Database(error),
        }
    }
}

impl From<&InvalidConfig> for Failure {
    fn from(error: &InvalidConfig) -> Self {
        Self::Configuration(error.to_string())
    }
}

impl From<InvalidRequest> for Failure {
    fn from(error: InvalidRequest) -> Self {
        let param = error.param().map(Cow::Borrowed);
        Self::InvalidRequest(error.to_string(), param)
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        let message = invalid.message();
        let param = Some(invalid.path).filter(|path| !path.is_empty());
        Self::InvalidRequest(message, param.map(Cow::Owned))
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
        Self::InvalidRequest(MODEL_RULE.to_owned(), Some("model".into()))
    }

    /// The request contains a secret in place of a name.
    pub(super) fn secret_in_name() -> Self {
        let message = "The request contains the pool's token or an API key in its path or in \
            `model`. Send the token only as `Authorization: Bearer TOKEN` or \
            `x-goog-api-key: TOKEN`.";
        Self::InvalidRequest(message.to_owned(), None)
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
}
