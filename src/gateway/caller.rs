//! Who calls: the client token, in any of the places where clients of the two APIs put it.

use super::Failure;
use super::headers::GOOGLE_KEY;
use crate::config::Config;
use crate::wire::Surface;
use crate::wire::target::key_of_query;
use http::header;
use http::request::Parts;

/// Who makes a request. More kinds of tokens make more kinds of callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A holder of the built-in client token, `my_api_token`.
    BuiltInToken,
    /// A client that continues an upload at a URL that is its credential.
    UploadUrl,
}

/// Where a token may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepts {
    /// In `Authorization: Bearer`.
    Bearer,
    /// There, in `x-goog-api-key` or in `?key=`.
    Anywhere,
}

/// The API whose clients send credentials as this request does.
pub(super) fn surface_of_credential(request: &Parts) -> Surface {
    let is_googles = !request.headers.contains_key(header::AUTHORIZATION)
        && (request.headers.contains_key(GOOGLE_KEY)
            || request
                .uri
                .query()
                .is_some_and(|query| key_of_query(query).is_some()));
    match is_googles {
        true => Surface::Gemini,
        false => Surface::OpenAi,
    }
}

/// Checks the client's token. If it sends several, one that is right is enough.
///
/// # Errors
/// No token is configured, or the request has none, or only wrong ones.
pub(super) fn authenticate(
    config: &Config,
    request: &Parts,
    accepts: Accepts,
) -> Result<Caller, Failure> {
    let expected = config
        .client_token
        .as_ref()
        .ok_or(Failure::TokenNotConfigured)?;
    let presented = presented(request, accepts);
    if presented.is_empty() {
        return Err(Failure::TokenMissing);
    }
    // Every token is compared, so that the time taken tells nothing.
    let is_right = presented
        .iter()
        .fold(false, |right, token| right | expected.matches(token));
    match is_right {
        true => Ok(Caller::BuiltInToken),
        false => Err(Failure::TokenWrong),
    }
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
            let googles = text(GOOGLE_KEY).map(str::to_owned);
            let query = request.uri.query().and_then(key_of_query);
            bearer.chain(googles).chain(query).collect()
        }
    }
}
