//! Authentication: the client token, wherever clients of the APIs put it, and the tokens of
//! operators.

use super::Failure;
use super::headers::GOOGLE_KEY;
use crate::admin::endpoint::Endpoint;
use crate::config::Config;
use crate::pool::ClientToken;
use crate::store::TokenSecret;
use crate::wire::target::key_of_query;
use crate::wire::{ClientApi, Surface};
use http::Method;
use http::header::{self, HeaderName};
use http::request::Parts;
use std::rc::Rc;

/// Where Anthropic's clients put their credential.
const ANTHROPIC_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// All of Anthropic's clients send this.
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The places in which a client may send its token: see [`Accepts::Anywhere`].
const PLACES: usize = 4;

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// A holder of the built-in client token, `my_api_token`.
    BuiltInToken,
    /// A holder of a client token that an operator has created.
    ClientToken(Rc<ClientToken>),
    /// A client that continues an upload, whose URL is its credential.
    UploadUrl,
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Permission {
    /// Read: with `admin_read_token` or `admin_token`.
    Read,
    /// Make changes, too: with `admin_token`.
    Change,
}

/// Where a token is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepts {
    /// In `Authorization: Bearer`.
    Bearer,
    /// In `Authorization: Bearer`, `x-goog-api-key`, `x-api-key` or `?key=`.
    Anywhere,
}

/// The API whose clients send credentials in the same way as this request.
pub(super) fn surface_of_credential(request: &Parts) -> Surface {
    let is_gemini = !request.headers.contains_key(header::AUTHORIZATION)
        && (request.headers.contains_key(GOOGLE_KEY)
            || request
                .uri
                .query()
                .is_some_and(|query| key_of_query(query).is_some()));
    match is_gemini {
        true => Surface::Gemini,
        false => Surface::OpenAi,
    }
}

/// The API that a caller speaks, as far as its path and headers tell.
pub(super) fn api_of_client(request: &Parts) -> ClientApi {
    if Endpoint::is_admin(request.uri.path()) {
        return ClientApi::Admin;
    }
    match request.headers.contains_key(ANTHROPIC_VERSION) {
        true => ClientApi::Anthropic,
        false => surface_of_credential(request).into(),
    }
}

impl Caller {
    /// The client token that an operator has created, if it was one.
    pub(super) fn client_token(&self) -> Option<&ClientToken> {
        match self {
            Self::ClientToken(token) => Some(token),
            Self::BuiltInToken | Self::UploadUrl => None,
        }
    }
}

/// Checks for the built-in client token. If the client sends several tokens, one correct one is
/// enough.
///
/// # Errors
/// The request has no token, or only others.
pub(super) fn authenticate(
    config: &Config,
    request: &Parts,
    accepts: Accepts,
) -> Result<Caller, Failure> {
    let presented = presented(request, accepts);
    if presented.is_empty() {
        return Err(Failure::TokenMissing);
    }
    // Compare every token, so that the time taken reveals nothing.
    let is_valid = presented.iter().fold(false, |valid, token| {
        let expected = config.client_token.as_ref();
        valid | expected.is_some_and(|expected| expected.matches(token))
    });
    match is_valid {
        true => Ok(Caller::BuiltInToken),
        false => Err(Failure::TokenWrong),
    }
}

/// The tokens of a request that an operator may have created, at most as many as there are places
/// for them.
pub(super) fn created_tokens(
    request: &Parts,
    accepts: Accepts,
) -> impl Iterator<Item = TokenSecret> {
    let presented = presented(request, accepts).into_iter();
    let created = presented.filter_map(|token| TokenSecret::presented(&token));
    created.take(PLACES)
}

impl Permission {
    /// The permission that a request of the admin API needs.
    pub(super) fn for_method(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Read,
            _ => Self::Change,
        }
    }
}

/// Checks the operator's token, which must have the permission. Returns all that it permits.
///
/// # Errors
/// No operator's token is configured, the request has none or a wrong one, or its token may not do
/// this.
pub(super) fn authenticate_operator(
    config: &Config,
    request: &Parts,
    needed: Permission,
) -> Result<Permission, Failure> {
    let tokens = [
        (&config.admin_token, Permission::Change),
        (&config.admin_read_token, Permission::Read),
    ];
    if tokens.iter().all(|(token, _)| token.is_none()) {
        return Err(Failure::OperatorTokenNotConfigured);
    }
    let presented = presented(request, Accepts::Bearer);
    if presented.is_empty() {
        return Err(Failure::OperatorTokenMissing);
    }
    // Compare every token, so that the time taken reveals nothing.
    let granted = tokens.iter().fold(None, |granted, (token, permission)| {
        let is_token = presented.iter().fold(false, |valid, presented| {
            valid | token.as_ref().is_some_and(|token| token.matches(presented))
        });
        granted.max(is_token.then_some(*permission))
    });
    match granted {
        None => Err(Failure::OperatorTokenWrong),
        Some(permission) if permission < needed => Err(Failure::ReadOnlyToken),
        Some(permission) => Ok(permission),
    }
}

/// Whether a request has a token of whatever kind as `Authorization: Bearer`.
pub(super) fn has_bearer(request: &Parts) -> bool {
    !presented(request, Accepts::Bearer).is_empty()
}

/// Checks for a token that may read the metrics: that of scrapers, or an operator's.
pub(super) fn may_read_metrics(config: &Config, request: &Parts) -> bool {
    let tokens = [
        &config.metrics_token,
        &config.admin_token,
        &config.admin_read_token,
    ];
    // Compare every token, so that the time taken reveals nothing.
    let presented = presented(request, Accepts::Bearer);
    presented.iter().fold(false, |valid, presented| {
        let tokens = tokens.into_iter().flatten();
        tokens.fold(valid, |valid, token| valid | token.matches(presented))
    })
}

fn presented(request: &Parts, accepts: Accepts) -> Vec<String> {
    let text = |name| {
        request
            .headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap_or_default().trim())
    };
    let bearer = text(header::AUTHORIZATION).filter_map(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim().to_owned())
    });
    match accepts {
        Accepts::Bearer => bearer.collect(),
        Accepts::Anywhere => {
            let keys = text(GOOGLE_KEY).chain(text(ANTHROPIC_KEY));
            let query = request.uri.query().and_then(key_of_query);
            bearer.chain(keys.map(str::to_owned)).chain(query).collect()
        }
    }
}
