//! The credentials of a call, and where each surface accepts them.
//!
//! | place | compatible surface | native surface |
//! |---|---|---|
//! | `Authorization: Bearer …` | the key | 401: taken for an OAuth token |
//! | `x-goog-api-key: …` | the key | the key |
//! | `?key=…` | 400 | the key |
//! | several | 400 | 400 |
//! | none | 400 | 403 |
//!
//! Sources: <https://ai.google.dev/gemini-api/docs/openai>,
//! <https://ai.google.dev/gemini-api/docs/api-key>, and recorded errors.

use crate::api::Surface;
use crate::errors::{self, ApiError};
use crate::route::Target;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Where a credential was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// `Authorization: Bearer …`.
    Bearer,
    /// `Authorization` with another scheme.
    OtherAuthorization,
    /// The header `x-goog-api-key`.
    ApiKeyHeader,
    /// The query parameter `key`.
    Query,
}

/// A credential of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Where it was.
    pub place: Place,
    /// The key or token, decoded.
    pub value: String,
}

/// All credentials of a call that are not empty.
pub(crate) fn all(headers: &HeaderMap, query: Option<&str>) -> Vec<Credential> {
    let values = |name: &str| {
        let values = headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
    };
    let authorization = values(AUTHORIZATION.as_str()).map(|text| {
        match text.split_once(' ').unwrap_or((&text, "")) {
            (scheme, token) if scheme.eq_ignore_ascii_case("bearer") => {
                (Place::Bearer, token.trim().to_owned())
            }
            _ => (Place::OtherAuthorization, text),
        }
    });
    let header = values("x-goog-api-key").map(|value| (Place::ApiKeyHeader, value));
    let query = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(|(name, _)| name == "key")
        .map(|(_, value)| (Place::Query, value.into_owned()));
    authorization
        .chain(header)
        .chain(query)
        .filter(|(_, value)| !value.is_empty())
        .map(|(place, value)| Credential { place, value })
        .collect()
}

/// The key of a call, by the rules of its surface.
pub(crate) fn key<'a>(target: &Target, credentials: &'a [Credential]) -> Result<&'a str, ApiError> {
    let missing = || match target.surface {
        Surface::Compat => errors::no_authorization_header(),
        Surface::Native => errors::no_credential(),
    };
    let credential = match credentials {
        [] => return Err(missing()),
        [credential] => credential,
        _ => return Err(errors::two_credentials()),
    };
    match (target.surface, credential.place) {
        (Surface::Compat, Place::Bearer | Place::ApiKeyHeader)
        | (Surface::Native, Place::ApiKeyHeader | Place::Query) => Ok(&credential.value),
        (Surface::Compat, Place::OtherAuthorization | Place::Query) => Err(missing()),
        (Surface::Native, Place::Bearer | Place::OtherAuthorization) => {
            let operation = target.operation;
            let method = operation.grpc_method(target.version, target.delivery);
            Err(errors::unauthenticated(&method))
        }
    }
}
