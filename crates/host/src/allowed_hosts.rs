//! `allowed_outbound_hosts`: the sandbox's only way out.
//!
//! An entry is `scheme://host[:port]`, as with Spin; `*` stands for any scheme, host or port, and
//! `*.example.com` for the subdomains of a domain. The default port is the scheme's.

use crate::variables::Expanded;
use anyhow::{Context, Result, bail, ensure};
use gemini_keypool::config::origin::default_port;
use http::Uri;
use url::Host;

/// The hosts that a component may call.
#[derive(Debug, Clone)]
pub(crate) struct AllowedHosts(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq)]
struct Pattern {
    /// `None` stands for any.
    scheme: Option<String>,
    host: HostPattern,
    /// `None` stands for any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq)]
enum HostPattern {
    Any,
    Exactly(Host),
    /// Starts with the dot before the domain.
    SubdomainsOf(String),
}

impl AllowedHosts {
    /// Parses a list.
    ///
    /// # Errors
    /// Names the first entry that is malformed.
    pub(crate) fn parse(entries: &[Expanded]) -> Result<Self> {
        entries
            .iter()
            // As with Spin, an entry may be empty: a variable may be unset.
            .filter(|entry| !entry.value.trim().is_empty())
            .map(|entry| {
                Pattern::parse(entry.value.trim()).with_context(|| {
                    format!(
                        "{:?} must be scheme://host[:port]{}",
                        entry.value,
                        entry.remedy()
                    )
                })
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Whether the component may send a request to `uri`.
    pub(crate) fn allows(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return false;
        };
        let (Ok(host), Some(port)) = (Host::parse(host), uri.port_u16().or(default_port(scheme)))
        else {
            return false;
        };
        self.0.iter().any(|pattern| {
            pattern.scheme.as_ref().is_none_or(|own| own == scheme)
                && pattern.host.matches(&host)
                && pattern.port.is_none_or(|own| own == port)
        })
    }
}

impl Pattern {
    fn parse(entry: &str) -> Result<Self> {
        let (scheme, rest) = entry.split_once("://").context("the scheme is missing")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        ensure!(
            !rest.contains(['/', '?', '#', '@']),
            "only a host and a port may follow the scheme"
        );
        // An IPv6 address has colons of its own, inside brackets.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let port = match port {
            Some("*") => None,
            Some(port) => Some(
                port.parse()
                    .with_context(|| format!("{port:?} is not a port"))?,
            ),
            None => Some(default_port(scheme).with_context(|| {
                format!("the scheme {scheme:?} has no default port, so one is required")
            })?),
        };
        ensure!(
            scheme == "*"
                || (!scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic())),
            "{scheme:?} is not a scheme"
        );
        Ok(Self {
            scheme: (scheme != "*").then(|| scheme.to_owned()),
            host: HostPattern::parse(host)?,
            port,
        })
    }
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text == "self" || text.ends_with(".spin.internal") {
            bail!("this host does not support {text:?}; use `spin up`");
        }
        if let Some(domain) = text.strip_prefix("*.") {
            return match Host::parse(domain) {
                Ok(Host::Domain(domain)) => Ok(Self::SubdomainsOf(format!(".{domain}"))),
                Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => bail!("{domain:?} is not a domain"),
            };
        }
        match Host::parse(text) {
            Ok(host) if !text.contains('*') => Ok(Self::Exactly(host)),
            Ok(_) | Err(_) => bail!("{text:?} is not a host"),
        }
    }

    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Exactly(own), host) => own == host,
            (Self::SubdomainsOf(suffix), Host::Domain(domain)) => domain.ends_with(suffix.as_str()),
            (Self::SubdomainsOf(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_error;

    fn parse(entry: &str) -> Result<AllowedHosts> {
        AllowedHosts::parse(&[Expanded::plain(entry)])
    }

    #[test]
    fn entries_allow_matching_urls_only() {
        for (entry, uri, expected) in [
            ("https://api.example", "https://api.example/v1?x", true),
            ("https://api.example/", "https://API.example:443/", true),
            ("https://api.example", "http://api.example/", false),
            ("https://api.example", "https://api.example:8443/", false),
            ("https://api.example", "https://evil.api.example/", false),
            ("https://api.example", "https://api.example.evil/", false),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/x", true),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8081/x", false),
            ("http://127.0.0.1:8080", "http://localhost:8080/x", false),
            ("http://[::1]:80", "http://[::1]/", true),
            ("http://[::1]", "http://[::1]/", true),
            ("https://*.example.com", "https://a.b.example.com/", true),
            ("https://*.example.com", "https://example.com/", false),
            ("https://*.example.com", "https://evilexample.com/", false),
            ("*://*:*", "http://anything:1/", true),
            ("http://*:80", "http://anything/", true),
            ("http://*:80", "http://anything:81/", false),
            ("https://api.example", "/relative", false),
        ] {
            let allowed = parse(entry).unwrap().allows(&uri.parse().unwrap());
            assert_eq!(allowed, expected, "{entry} {uri}");
        }
    }

    #[test]
    fn empty_list_allows_nothing() {
        let uri = Uri::from_static("https://api.example/");
        for none in [AllowedHosts::parse(&[]), parse(""), parse(" ")] {
            assert!(!none.unwrap().allows(&uri));
        }
    }

    #[test]
    fn malformed_entry_is_named() {
        for (entry, expected) in [
            ("api.example", "scheme is missing"),
            ("https://api.example/v1", "only a host and a port"),
            ("https://user@api.example", "only a host and a port"),
            ("https://api.example:port", "is not a port"),
            ("*://api.example", "no default port"),
            ("h_t://api.example:1", "is not a scheme"),
            ("https://*.127.0.0.1", "is not a domain"),
            ("https://a*b", "is not a host"),
            ("http://self", "use `spin up`"),
            ("http://x.spin.internal", "use `spin up`"),
        ] {
            let named = format!("{entry:?} must be scheme://host[:port]");
            assert_error(parse(entry), &[&named, expected]);
        }
    }
}
