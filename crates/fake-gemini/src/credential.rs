//! Which credentials a call carries, and where.
//!
//! | place | compatible surface | native surface |
//! |---|---|---|
//! | `Authorization: Bearer …` | the key | 401: taken for an OAuth token |
//! | `x-goog-api-key: …` | the key | the key |
//! | `?key=…` | not looked at alone | the key |
//! | several at once | 400 | 400 |
//! | none | 400 | 403 |
//!
//! Sources: <https://ai.google.dev/gemini-api/docs/openai>, <https://ai.google.dev/gemini-api/docs/api-key>, and
//! errors recorded from the API.

use crate::errors::{self, ApiError};
use crate::surface::{Surface, Target};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Where a credential was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// `Authorization: Bearer …`.
    Bearer,
    /// `Authorization` with another scheme; the value has it in front.
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

/// All credentials of a call: headers first, then the query. Empty ones are none.
pub(crate) fn all(headers: &HeaderMap, query: Option<&str>) -> Vec<Credential> {
    let authorization = headers.get_all(AUTHORIZATION).iter().map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                (Place::Bearer, token.trim().to_owned())
            }
            None if text.eq_ignore_ascii_case("bearer") => (Place::Bearer, String::new()),
            _ => (Place::OtherAuthorization, text.trim().to_owned()),
        }
    });
    let header = headers.get_all("x-goog-api-key").iter().map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        (Place::ApiKeyHeader, text.trim().to_owned())
    });
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

/// The key that a call is made with, by the rules of its surface.
pub(crate) fn key<'a>(target: &Target, credentials: &'a [Credential]) -> Result<&'a str, ApiError> {
    let [credential] = credentials else {
        return Err(if credentials.is_empty() {
            missing(target.surface)
        } else {
            errors::two_credentials()
        });
    };
    match (target.surface, credential.place) {
        (Surface::Compat, Place::Bearer | Place::ApiKeyHeader)
        | (Surface::Native, Place::ApiKeyHeader | Place::Query) => Ok(&credential.value),
        (Surface::Compat, Place::OtherAuthorization | Place::Query) => Err(missing(target.surface)),
        (Surface::Native, Place::Bearer | Place::OtherAuthorization) => {
            Err(errors::unauthenticated(&target.rpc(target.delivery)))
        }
    }
}

/// The key of a call that goes nowhere, where no surface rules: the only credential that may be one.
pub(crate) fn only(credentials: &[Credential]) -> Option<&str> {
    match credentials {
        [credential] if credential.place != Place::OtherAuthorization => Some(&credential.value),
        _ => None,
    }
}

fn missing(surface: Surface) -> ApiError {
    match surface {
        Surface::Compat => errors::no_authorization_header(),
        Surface::Native => errors::no_credential(),
    }
}
