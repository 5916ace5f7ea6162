//! The headers that pass in each direction. Only listed headers pass.

use crate::pool::{ApiKey, CredentialHeader};
use crate::wire::redact::reveals;
use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;

/// The client's headers that pass to the upstream, in addition to those with the prefix [`UPLOAD`].
/// Credentials, cookies, `Host`, forwarding and hop-by-hop headers, and headers that the host adds
/// do not pass.
const TO_UPSTREAM: [HeaderName; 12] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::USER_AGENT,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("x-goog-api-client"),
    HeaderName::from_static("x-goog-request-params"),
];

/// The upstream's headers that pass to the client, in addition to those with the prefix [`UPLOAD`].
const TO_CLIENT: [HeaderName; 10] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_DISPOSITION,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
    header::EXPIRES,
    header::RANGE,
    HeaderName::from_static("x-gemini-service-tier"),
];

/// The prefix of the headers of Google's upload protocol.
const UPLOAD: &str = "x-goog-upload-";
/// The URL at which the upload continues.
pub(super) const UPLOAD_URL: HeaderName = HeaderName::from_static("x-goog-upload-url");
/// How long the client waits, in whole seconds. Google observes it, too.
const SERVER_TIMEOUT: HeaderName = HeaderName::from_static("x-server-timeout");
/// How long clients wait, in seconds, such as `600` or `600.0`: OpenAI's clients for the next byte,
/// Google's for the whole answer.
const CLIENT_TIMEOUTS: [HeaderName; 3] = [
    SERVER_TIMEOUT,
    HeaderName::from_static("x-stainless-read-timeout"),
    HeaderName::from_static("x-stainless-timeout"),
];
/// The state of an upload: `active`, or `final` once it has ended.
pub(super) const UPLOAD_STATUS: HeaderName = HeaderName::from_static("x-goog-upload-status");
/// The commands of an upload request, such as `start` or `upload, finalize`.
pub(super) const UPLOAD_COMMAND: HeaderName = HeaderName::from_static("x-goog-upload-command");
pub(super) const GOOGLE_KEY: HeaderName =
    HeaderName::from_static(CredentialHeader::GoogleApiKey.name());

/// A key and the header that carries it to the upstream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Credential<'a> {
    pub(super) key: &'a ApiKey,
    pub(super) header: CredentialHeader,
}

/// The `Content-Type` that is sent to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentType {
    /// Always JSON.
    Json,
    /// The client's, or JSON if the client sent none.
    JsonByDefault,
    /// The client's.
    AsSent,
}

/// The headers for the upstream: those of the client that pass, the key, and the time that the
/// client still waits, in milliseconds, if known.
pub(super) fn to_upstream(
    client: &HeaderMap,
    content_type: ContentType,
    credential: Credential<'_>,
    client_timeout_ms: Option<u64>,
) -> HeaderMap {
    let mut headers = filtered(client, &TO_UPSTREAM);
    let is_json = match content_type {
        ContentType::Json => true,
        ContentType::JsonByDefault => !headers.contains_key(header::CONTENT_TYPE),
        ContentType::AsSent => false,
    };
    if is_json {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
    }
    if let Some(ms) = client_timeout_ms {
        headers.insert(SERVER_TIMEOUT, HeaderValue::from(ms.div_ceil(1000).max(1)));
    }
    // Google would compress event streams, in which the pool could not see the last event.
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    let key = credential.key.expose();
    let (name, value) = match credential.header {
        CredentialHeader::Authorization => (header::AUTHORIZATION, format!("Bearer {key}")),
        CredentialHeader::GoogleApiKey => (GOOGLE_KEY, key.to_owned()),
    };
    if let Ok(mut credential) = HeaderValue::from_str(&value) {
        credential.set_sensitive(true);
        headers.insert(name, credential);
    }
    headers
}

/// The shortest of the timeouts that the client states, in milliseconds.
pub(super) fn client_timeout_ms(headers: &HeaderMap) -> Option<u64> {
    CLIENT_TIMEOUTS
        .iter()
        .filter_map(|name| {
            let seconds: f64 = serde_json::from_slice(headers.get(name)?.as_bytes()).ok()?;
            (seconds > 0.0).then_some((seconds * 1000.0) as u64)
        })
        .min()
}

/// The headers of an answer for the client, without those that contain one of `secrets`, and
/// without `content-encoding: identity`. [`UPLOAD_URL`] still points to the upstream.
pub(super) fn to_client(upstream: &HeaderMap, secrets: &[String]) -> HeaderMap {
    let mut headers = filtered(upstream, &TO_CLIENT);
    let echoes = |value: &HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes());
        reveals(&text, secrets.iter().map(String::as_str))
    };
    let echoing: Vec<HeaderName> = headers
        .iter()
        .filter(|(name, value)| **name != UPLOAD_URL && echoes(value))
        .map(|(name, _)| name.clone())
        .collect();
    for name in echoing {
        headers.remove(name);
    }
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| encoding == "identity")
    {
        headers.remove(header::CONTENT_ENCODING);
    }
    headers
}

/// Whether a request continues an upload.
pub(super) fn continues_upload(request: &Parts) -> bool {
    let command = request.headers.get(UPLOAD_COMMAND);
    request.uri.path().contains("/upload/")
        && command.is_some_and(|command| {
            let text = command.to_str().unwrap_or_default();
            !text.trim().eq_ignore_ascii_case("start")
        })
}

fn filtered(all: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let passes = |name: &HeaderName| names.contains(name) || name.as_str().starts_with(UPLOAD);
    all.iter()
        .filter(|(name, _)| passes(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn sends_one_key_and_no_credential_of_the_client() {
        let client = map(&[
            ("authorization", "Bearer client"),
            ("x-goog-api-key", "client"),
            ("cookie", "c"),
            ("host", "pool"),
            ("forwarded", "for=1"),
            ("x-forwarded-for", "1"),
            ("x-real-ip", "1"),
            ("via", "1"),
            ("connection", "keep-alive"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("accept-encoding", "gzip"),
            ("origin", "https://page"),
            ("referer", "https://page/"),
            ("x-goog-user-project", "p"),
            ("spin-client-addr", "1"),
            ("x-stainless-lang", "js"),
            ("user-agent", "u"),
            ("content-type", "application/json"),
            ("x-goog-upload-command", "start"),
        ]);
        let key = ApiKey::try_new("fake-key").unwrap();
        for (header, name, value) in [
            (
                CredentialHeader::Authorization,
                "authorization",
                "Bearer fake-key",
            ),
            (CredentialHeader::GoogleApiKey, "x-goog-api-key", "fake-key"),
        ] {
            let credential = Credential { key: &key, header };
            let sent = to_upstream(&client, ContentType::Json, credential, Some(7_001));
            assert_eq!(sent[SERVER_TIMEOUT], "8");
            let mut expected = vec![
                "x-server-timeout",
                "accept-encoding",
                "content-type",
                "user-agent",
                "x-goog-upload-command",
                name,
            ];
            expected.sort_unstable();
            assert_eq!(names(&sent), expected);
            assert_eq!(sent[name], value);
            assert!(sent[name].is_sensitive());
            assert_eq!(sent[header::ACCEPT_ENCODING], "identity");
        }
    }

    #[test]
    fn only_listed_response_headers_reach_the_client() {
        let upstream = map(&[
            ("content-type", "video/mp4"),
            ("content-encoding", "identity"),
            ("content-disposition", "attachment"),
            ("content-length", "9"),
            ("set-cookie", "c"),
            ("server", "s"),
            ("alt-svc", "h3"),
            ("transfer-encoding", "chunked"),
            ("x-goog-upload-url", "https://upstream/upload"),
            ("x-goog-upload-status", "active"),
            ("x-gemini-service-tier", "standard"),
            ("etag", "of fake-key-in-use"),
            (
                "x-goog-upload-header-x",
                "AIzaSyFAKE0123456789abcdefghijklmnoWXYZ",
            ),
        ]);
        assert_eq!(
            names(&to_client(&upstream, &["fake-key-in-use".to_owned()])),
            [
                "content-disposition",
                "content-type",
                "x-gemini-service-tier",
                "x-goog-upload-status",
                "x-goog-upload-url"
            ]
        );
    }
}
