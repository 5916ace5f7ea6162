//! The pool's error codes. `docs/errors.md` explains each to clients.

use http::StatusCode;

macro_rules! error_codes {
    ($($variant:ident $name:literal $kind:ident $status:ident;)*) => {
        /// The machine-readable reason of an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorCode {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant,)*];

            /// The name that clients see.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// OpenAI's class of errors.
            pub const fn kind(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($kind),)*
                }
            }

            /// The status of a response with this code, unless the upstream's is passed on.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$variant => StatusCode::$status,)*
                }
            }
        }
    };
}

error_codes! {
    InvalidRequest "invalid_request" invalid_request_error BAD_REQUEST;
    ContextLengthExceeded "context_length_exceeded" invalid_request_error BAD_REQUEST;
    IncompleteBody "incomplete_body" invalid_request_error BAD_REQUEST;
    UnknownParameter "unknown_parameter" invalid_request_error BAD_REQUEST;
    ResourcesOfDifferentProjects "resources_of_different_projects" invalid_request_error BAD_REQUEST;
    MissingClientToken "missing_client_token" authentication_error UNAUTHORIZED;
    InvalidClientToken "invalid_client_token" authentication_error UNAUTHORIZED;
    ClientTokenDisabled "client_token_disabled" authentication_error UNAUTHORIZED;
    ClientTokenExpired "client_token_expired" authentication_error UNAUTHORIZED;
    MissingOperatorToken "missing_operator_token" authentication_error UNAUTHORIZED;
    InvalidOperatorToken "invalid_operator_token" authentication_error UNAUTHORIZED;
    SessionEnded "session_ended" authentication_error UNAUTHORIZED;
    InvalidMetricsToken "invalid_metrics_token" authentication_error UNAUTHORIZED;
    OperatorTokenNotConfigured "operator_token_not_configured" permission_error FORBIDDEN;
    ReadOnlyToken "read_only_token" permission_error FORBIDDEN;
    NetworkNotAllowed "network_not_allowed" permission_error FORBIDDEN;
    ModelNotAllowed "model_not_allowed" permission_error FORBIDDEN;
    OriginNotAllowed "origin_not_allowed" permission_error FORBIDDEN;
    PermissionDenied "permission_denied" permission_error FORBIDDEN;
    PlanRefused "plan_refused" permission_error FORBIDDEN;
    UnknownPath "unknown_path" invalid_request_error NOT_FOUND;
    UnknownKey "unknown_key" invalid_request_error NOT_FOUND;
    UnknownRequest "unknown_request" invalid_request_error NOT_FOUND;
    UnknownToken "unknown_token" invalid_request_error NOT_FOUND;
    ModelNotAvailable "model_not_available" invalid_request_error NOT_FOUND;
    ResourceOwnerGone "resource_owner_gone" invalid_request_error NOT_FOUND;
    MethodNotAllowed "method_not_allowed" invalid_request_error METHOD_NOT_ALLOWED;
    RequestTooLarge "request_too_large" invalid_request_error PAYLOAD_TOO_LARGE;
    RequestExceedsQuota "request_exceeds_quota" invalid_request_error PAYLOAD_TOO_LARGE;
    UnsupportedEncoding "unsupported_encoding" invalid_request_error UNSUPPORTED_MEDIA_TYPE;
    RateLimitExceeded "rate_limit_exceeded" rate_limit_error TOO_MANY_REQUESTS;
    RequestsPerMinuteExceeded "requests_per_minute_exceeded" rate_limit_error TOO_MANY_REQUESTS;
    TokensPerDayExceeded "tokens_per_day_exceeded" rate_limit_error TOO_MANY_REQUESTS;
    BillingExhausted "billing_exhausted" insufficient_quota TOO_MANY_REQUESTS;
    UpstreamError "upstream_error" server_error BAD_GATEWAY;
    UpstreamAnswerBroken "upstream_answer_broken" server_error BAD_GATEWAY;
    PoolFault "pool_fault" server_error BAD_GATEWAY;
    UpstreamKeyRejected "upstream_key_rejected" server_error SERVICE_UNAVAILABLE;
    UpstreamCredentialsExhausted "upstream_credentials_exhausted" server_error SERVICE_UNAVAILABLE;
    UpstreamSuspected "upstream_suspected" server_error SERVICE_UNAVAILABLE;
    UpstreamRefusesLocation "upstream_refuses_location" server_error SERVICE_UNAVAILABLE;
    NoUsableKey "no_usable_key" server_error SERVICE_UNAVAILABLE;
    ClientTokenNotConfigured "client_token_not_configured" server_error SERVICE_UNAVAILABLE;
    InvalidConfiguration "invalid_configuration" server_error SERVICE_UNAVAILABLE;
    PoolBusy "pool_busy" server_error SERVICE_UNAVAILABLE;
    PoolStopping "pool_stopping" server_error SERVICE_UNAVAILABLE;
    DatabaseUnavailable "database_unavailable" server_error SERVICE_UNAVAILABLE;
    DatabaseNotWritable "database_not_writable" server_error SERVICE_UNAVAILABLE;
    EncryptionKeyWrong "encryption_key_wrong" server_error SERVICE_UNAVAILABLE;
}
