//! The web pages that may call the pool.

use http::{HeaderMap, Uri, header};

/// The `allowed_origins` variable, with entries such as `https://app.example.com`,
/// `app.example.com`, `localhost:5173`, `*.example.com` (the domain and its subdomains) and `*`
/// (every page).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// `None` matches any scheme.
    scheme: Option<String>,
    host: Host,
    /// `None` matches any port. With a scheme, this defaults to the scheme's port.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    Exactly(String),
    DomainAndSubdomains(String),
}

impl AllowedOrigins {
    /// Reads a comma-separated list.
    ///
    /// # Errors
    /// One message per invalid entry, with its position but not its value.
    pub fn parse(list: &str) -> Result<Self, Vec<String>> {
        let entries = list.split(',').map(str::trim);
        let (mut patterns, mut problems) = (Vec::new(), Vec::new());
        for (position, entry) in (1..).zip(entries.filter(|entry| !entry.is_empty())) {
            match Pattern::parse(entry) {
                Some(pattern) => patterns.push(pattern),
                None => problems.push(format!(
                    "entry {position} must be an origin such as https://app.example.com or *.example.com"
                )),
            }
        }
        match problems.is_empty() {
            true => Ok(Self(patterns)),
            false => Err(problems),
        }
    }

    /// Whether no page may call.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a page of `origin` (`https://app.example.com:8443`) may call.
    pub fn allows(&self, origin: &str) -> bool {
        let Some(origin) = Origin::parse(origin) else {
            // `null`, which sandboxed frames send, may be a page of any origin.
            return self.0.iter().any(|pattern| pattern.host == Host::Any);
        };
        self.0.iter().any(|pattern| pattern.matches(&origin))
    }
}

/// The origin of the page that sent a request, from `Origin` or else `Referer`. `None` without
/// either, as with every client that is not a browser.
pub(crate) fn of_request(headers: &HeaderMap) -> Option<String> {
    if let Some(origin) = headers.get(header::ORIGIN) {
        return Some(String::from_utf8_lossy(origin.as_bytes()).trim().to_owned());
    }
    let referer = headers.get(header::REFERER)?;
    let referer = String::from_utf8_lossy(referer.as_bytes())
        .trim()
        .to_owned();
    match Origin::parse(&referer) {
        Some(origin) => Some(origin.to_text()),
        None => Some(referer),
    }
}

/// Whether a page with this origin is one of the server with this base URL, whose scheme is not
/// known behind a proxy.
pub(crate) fn is_of_server(page: &str, server: &str) -> bool {
    let (Some(page), Some(server)) = (Origin::parse(page), Origin::parse(server)) else {
        return false;
    };
    let default = default_port(&page.scheme);
    page.host == server.host && page.port.or(default) == server.port.or(default)
}

struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        Some(Self {
            scheme: uri.scheme_str()?.to_ascii_lowercase(),
            host: uri
                .host()
                .filter(|host| !host.is_empty())?
                .to_ascii_lowercase(),
            port: uri.port_u16(),
        })
    }

    fn to_text(&self) -> String {
        match self.port {
            Some(port) => format!("{}://{}:{port}", self.scheme, self.host),
            None => format!("{}://{}", self.scheme, self.host),
        }
    }

    fn effective_port(&self) -> Option<u16> {
        self.port.or_else(|| default_port(&self.scheme))
    }
}

/// Whether an invalid port follows the host's colon, which the URL parser accepts.
pub(crate) fn has_broken_port(url: &Uri) -> bool {
    let after_host = url
        .authority()
        .and_then(|authority| authority.as_str().rsplit([']', '@']).next());
    after_host.is_some_and(|text| text.contains(':')) && url.port_u16().is_none()
}

/// The default port of a scheme.
pub fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl Pattern {
    fn parse(entry: &str) -> Option<Self> {
        // The origin of every sandboxed frame and local file, and so of no page in particular. Only
        // `*` allows it.
        if entry.eq_ignore_ascii_case("null") {
            return None;
        }
        let (scheme, rest) = match entry.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, entry),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest == "*" {
            return Some(Self {
                scheme,
                host: Host::Any,
                port: None,
            });
        }
        let (to_host, name): (fn(String) -> Host, _) = match rest.strip_prefix("*.") {
            Some(domain) => (Host::DomainAndSubdomains, domain),
            None => (Host::Exactly, rest),
        };
        // With a scheme it is a URL, whose host and port the parser validates.
        let url: Uri = format!("{}://{name}", scheme.as_deref().unwrap_or("http"))
            .parse()
            .ok()?;
        let bare = url.path() == "/"
            && url.query().is_none()
            && !name.contains(['@', '*', '/', '?', '#'])
            && !has_broken_port(&url);
        let host = url
            .host()
            .filter(|host| bare && !host.is_empty())?
            .to_ascii_lowercase();
        let port = url.port_u16().or_else(|| default_port(scheme.as_deref()?));
        Some(Self {
            scheme,
            host: to_host(host),
            port,
        })
    }

    fn matches(&self, origin: &Origin) -> bool {
        let host = match &self.host {
            Host::Any => true,
            Host::Exactly(host) => origin.host == *host,
            Host::DomainAndSubdomains(domain) => {
                let subdomain = origin.host.strip_suffix(domain.as_str());
                subdomain.is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
        };
        host && self
            .scheme
            .as_ref()
            .is_none_or(|scheme| *scheme == origin.scheme)
            && self
                .port
                .is_none_or(|port| origin.effective_port() == Some(port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn allows(list: &str, origin: &str) -> bool {
        AllowedOrigins::parse(list).unwrap().allows(origin)
    }

    #[test]
    fn patterns_match_their_origins() {
        for (list, origin, expected) in [
            ("https://app.example", "https://app.example", true),
            ("https://app.example", "https://app.example:443", true),
            ("https://app.example/", "https://APP.example", true),
            ("https://app.example", "http://app.example", false),
            ("https://app.example", "https://app.example:8443", false),
            ("https://app.example:84", "https://app.example:84", true),
            ("app.example", "http://app.example:3000", true),
            ("app.example", "https://other.example", false),
            ("localhost:5173", "http://localhost:5173", true),
            ("localhost:5173", "http://localhost:3000", false),
            ("*.example.com", "https://example.com", true),
            ("*.example.com", "https://a.example.com", true),
            ("*.example.com", "http://a.b.example.com:8080", true),
            ("*.example.com", "https://evilexample.com", false),
            ("*.example.com", "https://example.com.evil.org", false),
            ("*.example.com", "https://example.org", false),
            ("https://*.example.com", "https://a.example.com", true),
            ("https://*.example.com", "http://a.example.com", false),
            ("*", "https://anything.example", true),
            ("*", "null", true),
            ("*.example.com", "null", false),
            ("", "https://example.com", false),
            ("a.example, b.example", "https://b.example", true),
        ] {
            assert_eq!(allows(list, origin), expected, "{list:?} and {origin}");
        }
    }

    #[test]
    fn rejects_invalid_entries_with_their_position() {
        for entry in [
            "a b",
            "https://",
            "https://x.example/path",
            "*.",
            "ex*mple.com",
            "user@example.com",
            "example.com:port",
            "example.com:70000",
            "[::1]:x",
            "null",
            "NULL",
        ] {
            let problems = AllowedOrigins::parse(&format!("ok.example,{entry}")).unwrap_err();
            let problem =
                "entry 2 must be an origin such as https://app.example.com or *.example.com";
            assert_eq!(problems, [problem], "{entry}");
        }
    }

    #[test]
    fn the_origin_header_takes_precedence_over_the_referer() {
        let read = |origin: Option<&'static str>, referer: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            origin.map(|value| headers.insert(header::ORIGIN, HeaderValue::from_static(value)));
            referer.map(|value| headers.insert(header::REFERER, HeaderValue::from_static(value)));
            of_request(&headers)
        };
        let (a, b) = ("https://a.example", "https://b.example:8443");
        let page = "https://b.example:8443/path?q#f";
        for (origin, referer, expected) in [
            (Some(a), Some(page), Some(a)),
            (None, Some(page), Some(b)),
            (Some("null"), None, Some("null")),
            (None, Some("nonsense"), Some("nonsense")),
            (None, None, None),
        ] {
            let found = read(origin, referer);
            assert_eq!(found.as_deref(), expected, "{origin:?} {referer:?}");
        }
    }

    proptest! {
        #[test]
        fn any_list_and_origin_parse_without_panicking(list in ".{0,40}", origin in ".{0,40}") {
            if let Ok(allowed) = AllowedOrigins::parse(&list) {
                let _ = allowed.allows(&origin);
            }
        }

        #[test]
        fn a_wildcard_never_matches_another_domain(before in "[a-z0-9-]{1,10}") {
            let (glued, below) = (format!("https://{before}example.com"), format!("https://{before}.example.com"));
            prop_assert!(!allows("*.example.com", &glued));
            prop_assert!(before.starts_with('-') || before.ends_with('-') || allows("*.example.com", &below));
        }
    }
}
