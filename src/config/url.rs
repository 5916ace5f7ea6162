//! The URLs among the variables. Each function returns a URL, or what to set instead.

use super::origin::{default_port, has_broken_port};
use http::Uri;

/// The default of `llm_api_origin`.
pub(super) const DEFAULT_ORIGIN: &str = "https://generativelanguage.googleapis.com";

/// Parses the variable `name`: scheme, host and port.
pub(super) fn parse_origin(name: &str, text: &str) -> Result<Uri, String> {
    let problem = || {
        format!(
            "{name} must be only scheme, host and port, such as {DEFAULT_ORIGIN} or http://127.0.0.1:8080"
        )
    };
    let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| problem())?;
    // The host's allow-list compares the scheme case-sensitively.
    let web = text.starts_with("http://") || text.starts_with("https://");
    let bare = uri.path() == "/" && uri.query().is_none();
    if text.contains('*') {
        return Err(format!(
            "{name} must name one host and one port, without `*`: the pool may call no other"
        ));
    }
    if web && bare && has_only_host_and_port(&uri) {
        Ok(uri)
    } else {
        Err(problem())
    }
}

/// Parses `public_url`: scheme, host, port and path, whose trailing slashes are stripped.
pub(super) fn parse_public(text: &str) -> Result<String, String> {
    let fits = text.parse().is_ok_and(|uri: Uri| {
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        is_web && uri.query().is_none() && has_only_host_and_port(&uri)
    });
    if fits && !text.contains(['*', '#']) {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("public_url must be the URL at which clients reach the pool, such as https://pool.example.com or https://example.com/gemini".to_owned())
    }
}

/// Parses the variable `name`: a URL on the origin that is the value of `origin_name`.
pub(super) fn parse_on(
    name: &str,
    text: &str,
    origin_name: &str,
    origin: &Uri,
) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|_| format!("{name} must be a URL"))?;
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('*'))
    {
        return Err(format!("{name} must name one host, without `*`"));
    }
    if !has_only_host_and_port(&uri) {
        return Err(format!(
            "{name} must have a numeric port or none, and no user"
        ));
    }
    // The host blocks everything but the origins, so another host would only fail later, with a
    // less clear error.
    if uri.scheme() != origin.scheme() || host_and_port(&uri) != host_and_port(origin) {
        return Err(format!(
            "{name} must be on {origin_name}, since the pool may call no other host for it: set both"
        ));
    }
    Ok(uri)
}

/// Whether the authority is a host with an optional numeric port; the URL parser accepts more.
fn has_only_host_and_port(uri: &Uri) -> bool {
    let has_user = uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'));
    !has_user && !has_broken_port(uri)
}

fn host_and_port(uri: &Uri) -> (Option<String>, Option<u16>) {
    (
        uri.host().map(str::to_ascii_lowercase),
        uri.port_u16().or_else(|| default_port(uri.scheme_str()?)),
    )
}

/// The URL of a path and query at an origin.
pub(super) fn join(origin: &Uri, path: &str) -> Result<Uri, String> {
    let mut parts = origin.clone().into_parts();
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts)
        .map_err(|_| "llm_api_origin cannot be joined with the chat path".to_owned())
}
