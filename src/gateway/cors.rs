//! Cross-origin resource sharing (CORS): which web pages may call the pool
//! (<https://fetch.spec.whatwg.org/>).

use super::Failure;
use crate::config::{Config, origin};
use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

/// Browsers send this in the preflight when a public page calls a server in a private network:
/// <https://wicg.github.io/private-network-access/>.
const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// The response headers that pages may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, retry-after, retry-after-ms, x-should-retry, x-keypool-attempts, x-keypool-key, \
     x-keypool-dropped, x-gemini-service-tier, etag, content-disposition, content-range, \
     accept-ranges, range, x-goog-upload-url, x-goog-upload-status, x-goog-upload-size-received, \
     x-goog-upload-chunk-granularity",
);

/// Refuses pages of other origins if the operator enforces origins. Calls without an origin do not
/// come from a page.
pub(super) fn check_origin(config: &Config, headers: &HeaderMap) -> Result<(), Failure> {
    match origin::of_request(headers) {
        Some(origin) if config.enforce_origin && !config.allowed_origins.allows(&origin) => {
            Err(Failure::OriginRefused)
        }
        _ => Ok(()),
    }
}

/// The headers of the response to a preflight, which has no content.
pub(super) fn preflight(
    config: Option<&Config>,
    request: &HeaderMap,
    allowed_methods: &'static str,
) -> Result<HeaderMap, Failure> {
    if let Some(config) = config {
        check_origin(config, request)?;
    }
    let mut headers = HeaderMap::new();
    let allowed_methods = HeaderValue::from_static(allowed_methods);
    headers.insert(header::ALLOW, allowed_methods.clone());
    if config.is_some_and(|config| allowed_origin(config, request).is_some()) {
        let requested = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let default = HeaderValue::from_static("authorization, content-type");
        let allowed = requested.unwrap_or(default);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allowed_methods);
        let is_private_network = request
            .get(REQUEST_PRIVATE_NETWORK)
            .is_some_and(|value| value == "true");
        if is_private_network {
            headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        let one_day = HeaderValue::from_static("86400");
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, one_day);
    }
    Ok(headers)
}

/// Lets pages of an allowed origin read a response.
pub(super) fn allow_origin(config: &Config, request: &HeaderMap, response: &mut HeaderMap) {
    if !config.allowed_origins.is_empty() {
        response.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = allowed_origin(config, request) {
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

fn allowed_origin(config: &Config, request: &HeaderMap) -> Option<HeaderValue> {
    let origin = origin::of_request(request)?;
    config
        .allowed_origins
        .allows(&origin)
        .then(|| HeaderValue::from_str(&origin).ok())?
}
