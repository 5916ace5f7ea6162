//! Refused because of the key, its project, what belongs to another project, or the caller's place: 400, 401 and 403.

use super::requests::file_id;
use super::{ApiError, Detail, Link, SERVICE};
use crate::json::Fields;

fn invalid_key(message: &str) -> ApiError {
    ApiError::new(400, "INVALID_ARGUMENT", message)
        .with_reason("API_KEY_INVALID", vec![("service", SERVICE.to_owned())])
}

fn denied(message: impl Into<String>) -> ApiError {
    ApiError::new(403, "PERMISSION_DENIED", message)
}

/// A key that Google does not know. It is 400, not 401.
pub fn key_invalid() -> ApiError {
    invalid_key("API key not valid. Please pass a valid API key.")
}

/// A key past its end date.
pub fn key_expired() -> ApiError {
    invalid_key("API key expired. Please renew the API key.")
}

/// A key that has been deleted.
pub fn key_not_found() -> ApiError {
    invalid_key("API Key not found. Please pass a valid API key.")
}

/// An authorization key that is not accepted, or an API key as a bearer token on the native surface. `method` is the
/// full name of the gRPC method.
pub fn unauthenticated(method: &str) -> ApiError {
    unauthenticated_without_details().with(Detail::ErrorInfo {
        reason: "ACCESS_TOKEN_TYPE_UNSUPPORTED".to_owned(),
        domain: None,
        metadata: Fields(vec![
            ("method", method.to_owned()),
            ("service", SERVICE.to_owned()),
        ]),
    })
}

/// The same as [`unauthenticated`], as it was sent in 2025.
pub fn unauthenticated_without_details() -> ApiError {
    ApiError::new(
        401,
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid \
         authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
    )
}

/// More than one credential in a call.
pub fn two_credentials() -> ApiError {
    ApiError::new(
        400,
        "INVALID_ARGUMENT",
        "Multiple authentication credentials received. Please pass only one.",
    )
}

/// No credential on the native surface.
pub fn no_credential() -> ApiError {
    denied(
        "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or \
         other form of API consumer identity to call this API.",
    )
}

/// No credential on the compatible surface, or one in the query alone, of which it is recorded
/// (NVIDIA/NemoClaw#2093, April 2026).
pub fn no_authorization_header() -> ApiError {
    ApiError::new(
        400,
        "INVALID_ARGUMENT",
        "Missing or invalid Authorization header.",
    )
}

/// A key that Google found in public.
pub fn leaked() -> ApiError {
    denied("Your API key was reported as leaked. Please use another API key.")
}

/// The project as metadata name it, whether or not it comes with `projects/`.
fn consumer(project: &str) -> String {
    format!("projects/{}", number(project))
}

fn number(project: &str) -> &str {
    project.strip_prefix("projects/").unwrap_or(project)
}

/// A suspended key. Google repeats the key in the message and in the metadata. Here and below, `project` may come with
/// `projects/` or without.
pub fn suspended(key: &str, project: &str) -> ApiError {
    denied(format!(
        "Permission denied: Consumer 'api_key:{key}' has been suspended."
    ))
    .with_reason(
        "CONSUMER_SUSPENDED",
        vec![
            ("consumer", consumer(project)),
            ("service", SERVICE.to_owned()),
            ("containerInfo", format!("api_key:{key}")),
        ],
    )
}

/// A project that Google has shut out.
pub fn project_denied() -> ApiError {
    denied("Your project has been denied access. Please contact support.")
}

/// A key that is restricted to other APIs. `method` is the full name of the gRPC method.
pub fn service_blocked(project: &str, method: &str) -> ApiError {
    denied(format!(
        "Requests to this API {SERVICE} method {method} are blocked."
    ))
    .with_reason(
        "API_KEY_SERVICE_BLOCKED",
        vec![
            ("consumer", consumer(project)),
            ("service", SERVICE.to_owned()),
            ("apiName", SERVICE.to_owned()),
            ("methodName", method.to_owned()),
        ],
    )
}

/// A key that is restricted to certain web pages.
pub fn referrer_blocked(project: &str) -> ApiError {
    denied("Requests from referer <empty> are blocked.").with_reason(
        "API_KEY_HTTP_REFERRER_BLOCKED",
        vec![
            ("consumer", consumer(project)),
            ("service", SERVICE.to_owned()),
            ("httpReferrer", "<empty>".to_owned()),
        ],
    )
}

/// A key that is restricted to certain addresses; `ip` is the caller's.
pub fn ip_blocked(project: &str, ip: &str) -> ApiError {
    denied(format!(
        "The provided API key has an IP address restriction. The originating IP address of the call ({ip}) violates \
         this restriction."
    ))
    .with_reason(
        "API_KEY_IP_ADDRESS_BLOCKED",
        vec![
            ("consumer", consumer(project)),
            ("service", SERVICE.to_owned()),
        ],
    )
}

/// A project that has not switched the API on.
pub fn service_disabled(project: &str) -> ApiError {
    let number = number(project);
    let url = format!(
        "https://console.developers.google.com/apis/api/{SERVICE}/overview?project={number}"
    );
    denied(format!(
        "Generative Language API has not been used in project {number} before or it is disabled. Enable it by visiting \
         {url} then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our \
         systems and retry."
    ))
    .with_reason(
        "SERVICE_DISABLED",
        vec![
            ("serviceTitle", "Generative Language API".to_owned()),
            ("consumer", consumer(project)),
            ("containerInfo", number.to_owned()),
            ("service", SERVICE.to_owned()),
            ("activationUrl", url.clone()),
        ],
    )
    .with(Detail::Help {
        links: vec![Link {
            description: "Google developers console API activation",
            url,
        }],
    })
}

/// The 403 that names no reason.
pub fn permission_denied() -> ApiError {
    denied("The caller does not have permission")
}

/// A file that belongs to another project, or does not exist; `name` may have `files/` in front.
pub fn file_denied(name: &str) -> ApiError {
    denied(format!(
        "You do not have permission to access the File {} or it may not exist.",
        file_id(name)
    ))
}

/// A cache that belongs to another project, or does not exist.
pub fn cached_content_denied() -> ApiError {
    denied("CachedContent not found (or permission denied)")
}

/// A tuned model that belongs to another project, or does not exist; `name` may have `tunedModels/` in front.
pub fn tuned_model_denied(name: &str) -> ApiError {
    denied(format!(
        "You do not have permission to access tuned model {}.",
        name.strip_prefix("tunedModels/").unwrap_or(name)
    ))
}

/// A call from a country that Google does not serve.
pub fn location_unsupported() -> ApiError {
    ApiError::new(
        400,
        "FAILED_PRECONDITION",
        "User location is not supported for the API use.",
    )
}
