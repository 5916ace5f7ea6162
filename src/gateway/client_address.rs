//! The address of a client, under which calls and wrong tokens are counted.

use crate::config::Proxies;
use http::HeaderMap;
use http::header::HeaderName;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The client's address as Spin reports it: `127.0.0.1:51686`.
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("spin-client-addr");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Every address that cannot be read.
const UNKNOWN: &str = "unknown";

/// The last value of a header, as text: the host and proxies append theirs to what the client has sent
/// under that name.
pub(super) fn latest<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()
}

/// The client of a request in one spelling: an IPv4 address, or the /64 of an IPv6 address, in which a
/// client can choose freely. Of a forwarded list the last entry counts: the operator's own proxy wrote
/// it, and the client may have written the others.
pub(super) fn of(headers: &HeaderMap, proxies: Proxies) -> String {
    let forwarded = latest(headers, &FORWARDED_FOR)
        .and_then(|list| list.rsplit(',').next())
        .map(str::trim)
        .filter(|address| proxies == Proxies::Trusted && !address.is_empty());
    forwarded
        .or_else(|| latest(headers, &CLIENT_ADDRESS))
        .and_then(parse)
        .map_or_else(|| UNKNOWN.to_owned(), network)
}

/// An address with or without a port, brackets, quotes or a zone.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"').trim();
    let (before_zone, zone) = text.split_once('%').unwrap_or((text, ""));
    // `[fe80::1%eth0]:80`
    let behind_zone = zone.find(']').and_then(|end| zone.get(end..));
    let text = format!("{before_zone}{}", behind_zone.unwrap_or_default());
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(&text);
    bare.parse().ok()
}

fn network(address: IpAddr) -> String {
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

    fn address(values: &[(&HeaderName, &str)], proxies: Proxies) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        of(&headers, proxies)
    }

    #[test]
    fn one_client_has_one_name_however_its_address_is_written() {
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
                address(&[(&CLIENT_ADDRESS, text)], Proxies::Untrusted),
                expected,
                "{text}"
            );
            if !text.is_empty() {
                assert_eq!(
                    address(&[(&FORWARDED_FOR, text)], Proxies::Trusted),
                    expected,
                    "{text}"
                );
            }
        }
        assert_eq!(address(&[], Proxies::Trusted), UNKNOWN);
    }

    #[test]
    fn the_hosts_word_comes_last_and_counts() {
        let (forged, host) = (
            (&CLIENT_ADDRESS, "9.9.9.9:1"),
            (&CLIENT_ADDRESS, "10.0.0.1:1"),
        );
        assert_eq!(address(&[forged, host], Proxies::Untrusted), "10.0.0.1");
        let (first, second) = (
            (&FORWARDED_FOR, "1.1.1.1"),
            (&FORWARDED_FOR, "6.6.6.6, 2.2.2.2"),
        );
        for (proxies, expected) in [
            (Proxies::Trusted, "2.2.2.2"),
            (Proxies::Untrusted, "10.0.0.1"),
        ] {
            assert_eq!(address(&[first, host, second], proxies), expected);
        }
        let nothing = (&FORWARDED_FOR, " ");
        assert_eq!(
            address(&[nothing, host], Proxies::Trusted),
            "10.0.0.1",
            "the direct address"
        );
    }
}
