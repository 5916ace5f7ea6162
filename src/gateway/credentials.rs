//! The client's token, in any of the places where clients of the two APIs put it.

use super::Failure;
use super::headers::GOOGLE_KEY;
use crate::config::Config;
use crate::wire::target::key_of_query;
use http::header;
use http::request::Parts;

/// Whether the credential came as Google's clients send it.
pub(super) fn is_googles(request: &Parts) -> bool {
    !request.headers.contains_key(header::AUTHORIZATION)
        && (request.headers.contains_key(GOOGLE_KEY)
            || request
                .uri
                .query()
                .is_some_and(|query| key_of_query(query).is_some()))
}

/// Checks the client's token: `Authorization: Bearer`, and, `anywhere`, also `x-goog-api-key` and `?key=`. Of several, one
/// that is right is enough.
pub(super) fn authenticate(
    config: &Config,
    request: &Parts,
    anywhere: bool,
) -> Result<(), Failure> {
    let expected = config
        .client_token
        .as_ref()
        .ok_or(Failure::TokenNotConfigured)?;
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
    let googles = text(GOOGLE_KEY).map(str::to_owned);
    let of_query = request.uri.query().and_then(key_of_query);
    let presented: Vec<String> = if anywhere {
        bearer.chain(googles).chain(of_query).collect()
    } else {
        bearer.collect()
    };
    if presented.is_empty() {
        return Err(Failure::TokenMissing);
    }
    let is_right = presented
        .iter()
        .fold(false, |right, token| right | expected.matches(token));
    if is_right {
        Ok(())
    } else {
        Err(Failure::TokenWrong)
    }
}
