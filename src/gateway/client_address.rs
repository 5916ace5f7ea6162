//! The address of a client, by which calls and wrong tokens are counted.

use crate::config::Proxies;
use http::HeaderMap;
use http::header::HeaderName;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The client's address as Spin reports it: `127.0.0.1:51686`.
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("spin-client-addr");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Stands for every address that cannot be parsed.
const UNKNOWN: &str = "unknown";

/// The last value of a header as text. The host and proxies append their values to those that the
/// client sent under the same name.
pub(super) fn last_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()
}

/// The canonical address of a request's client for counting: an IPv4 address, or the /64 network of
/// an IPv6 address, since a client can choose any address in it.
pub(super) fn of(headers: &HeaderMap, proxies: Proxies) -> String {
    address(headers, proxies).map_or_else(|| UNKNOWN.to_owned(), canonical)
}

/// The address of a request's client; `None` if it cannot be parsed. If proxies are trusted, the
/// last entry of `X-Forwarded-For` is used: the operator's proxy wrote it, while the client may have
/// written the others.
pub(super) fn address(headers: &HeaderMap, proxies: Proxies) -> Option<IpAddr> {
    let forwarded = last_value(headers, &FORWARDED_FOR)
        .and_then(|list| list.rsplit(',').next())
        .map(str::trim)
        .filter(|address| proxies == Proxies::Trusted && !address.is_empty());
    forwarded
        .or_else(|| last_value(headers, &CLIENT_ADDRESS))
        .and_then(parse)
}

/// Parses an address with or without a port, brackets, quotes or a zone.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"').trim();
    let (before_zone, zone) = text.split_once('%').unwrap_or((text, ""));
    // A bracket and port may follow the zone, as in `[fe80::1%eth0]:80`.
    let after_zone = zone.find(']').and_then(|end| zone.get(end..));
    let text = format!("{before_zone}{}", after_zone.unwrap_or_default());
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(&text);
    bare.parse().ok()
}

fn canonical(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn counted(values: &[(&HeaderName, &str)], proxies: Proxies) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        of(&headers, proxies)
    }

    #[test]
    fn normalizes_every_spelling_of_an_address() {
        for (text, expected) in [
            ("10.0.0.1:51686", "10.0.0.1"),
            (" 10.0.0.1 ", "10.0.0.1"),
            ("\"10.0.0.1:80\"", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::FFFF:0a00:0001", "10.0.0.1"),
            ("[::ffff:10.0.0.1]:443", "10.0.0.1"),
            ("2001:db8:0:1::7", "2001:db8:0:1::/64"),
            (
                "2001:0DB8:0000:0001:ffff:ffff:ffff:ffff",
                "2001:db8:0:1::/64",
            ),
            ("[2001:db8:0:1::8]", "2001:db8:0:1::/64"),
            ("[2001:db8:0:1::8]:51686", "2001:db8:0:1::/64"),
            ("\"[2001:db8:0:1::8]:51686\"", "2001:db8:0:1::/64"),
            ("2001:db8:0:2::7", "2001:db8:0:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("[fe80::2%25eth0]:80", "fe80::/64"),
            ("[::1]:1", "::/64"),
            ("", UNKNOWN),
            ("unknown", UNKNOWN),
            ("_hidden", UNKNOWN),
            ("10.0.0", UNKNOWN),
            ("10.0.0.1.2", UNKNOWN),
            ("fake-client-token-0001", UNKNOWN),
            ("[::1", UNKNOWN),
        ] {
            assert_eq!(
                counted(&[(&CLIENT_ADDRESS, text)], Proxies::Untrusted),
                expected,
                "{text}"
            );
            if !text.is_empty() {
                assert_eq!(
                    counted(&[(&FORWARDED_FOR, text)], Proxies::Trusted),
                    expected,
                    "{text}"
                );
            }
        }
        assert_eq!(counted(&[], Proxies::Trusted), UNKNOWN);
    }

    #[test]
    fn the_last_value_of_a_header_wins() {
        let (forged, host) = (
            (&CLIENT_ADDRESS, "9.9.9.9:1"),
            (&CLIENT_ADDRESS, "10.0.0.1:1"),
        );
        assert_eq!(counted(&[forged, host], Proxies::Untrusted), "10.0.0.1");
        let (first, second) = (
            (&FORWARDED_FOR, "1.1.1.1"),
            (&FORWARDED_FOR, "6.6.6.6, 2.2.2.2"),
        );
        for (proxies, expected) in [
            (Proxies::Trusted, "2.2.2.2"),
            (Proxies::Untrusted, "10.0.0.1"),
        ] {
            assert_eq!(counted(&[first, host, second], proxies), expected);
        }
        let blank = (&FORWARDED_FOR, " ");
        assert_eq!(
            counted(&[blank, host], Proxies::Trusted),
            "10.0.0.1",
            "a blank header falls back to the direct address"
        );
    }
}
