//! Networks, from which client tokens may be used and metrics be read.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The bits of an IPv6 address before an IPv4 address that is mapped to one.
const MAPPED_BITS: u32 = 96;

/// A network in CIDR notation: `10.0.0.0/8`, `2001:db8::/32`. An IPv4 network is the same as its
/// counterpart among the mapped addresses of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The address in IPv6, without bits beyond the prefix.
    bits: u128,
    /// The length of the prefix, from 0 to 128.
    prefix: u32,
}

impl Network {
    /// Parses a network, or a single address. Bits beyond the prefix are cleared. `None` if the text
    /// is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let before = match address {
            IpAddr::V4(_) => MAPPED_BITS,
            IpAddr::V6(_) => 0,
        };
        let prefix = match prefix {
            // `+8` would be a number, too.
            Some(prefix) if prefix.starts_with('+') => return None,
            Some(prefix) => u32::from(prefix.parse::<u8>().ok()?) + before,
            None => Ipv6Addr::BITS,
        };
        (prefix <= Ipv6Addr::BITS).then(|| Self {
            bits: bits(address) & mask(prefix),
            prefix,
        })
    }

    /// Whether an address is in the network.
    pub fn has(&self, address: IpAddr) -> bool {
        bits(address) & mask(self.prefix) == self.bits
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.bits);
        match address.to_ipv4_mapped() {
            Some(address) if self.prefix >= MAPPED_BITS => {
                write!(f, "{address}/{}", self.prefix - MAPPED_BITS)
            }
            _ => write!(f, "{address}/{}", self.prefix),
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The bits of a prefix.
fn mask(prefix: u32) -> u128 {
    u128::MAX
        .checked_shl(Ipv6Addr::BITS - prefix)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parses_networks_and_addresses() {
        for (text, expected) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("10.1.2.3", Some("10.1.2.3/32")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("2001:DB8::1/32", Some("2001:db8::/32")),
            ("::1", Some("::1/128")),
            ("::/0", Some("::/0")),
            ("::ffff:10.1.2.3/104", Some("10.0.0.0/8")),
            ("::ffff:10.1.2.3", Some("10.1.2.3/32")),
            ("::ffff:0:0/95", Some("::fffe:0:0/95")),
            ("10.0.0.0/33", None),
            ("10.0.0.0/+8", None),
            ("10.0.0.0/", None),
            ("10.0.0/8", None),
            ("::/129", None),
            ("fe80::1%eth0/64", None),
            ("localhost", None),
            ("", None),
        ] {
            let network = Network::parse(text).map(|network| network.to_string());
            assert_eq!(network.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn has_the_addresses_of_its_prefix() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.0.0.0/8", "2001:db8::1", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "10.0.0.6", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("2001:db8::/33", "10.0.0.1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", true),
            ("::ffff:0:0/96", "10.0.0.1", true),
        ] {
            let parsed = Network::parse(network).unwrap();
            let is_in = parsed.has(address.parse().unwrap());
            assert_eq!(is_in, expected, "{address} in {network}");
        }
    }

    proptest! {
        #[test]
        fn a_network_survives_its_text(address: IpAddr, bits in 0u32..=128) {
            if let Some(network) = Network::parse(&format!("{address}/{bits}")) {
                prop_assert!(network.has(address));
                prop_assert_eq!(Network::parse(&network.to_string()), Some(network));
            }
        }
    }
}
