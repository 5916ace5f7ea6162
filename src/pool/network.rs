//! Networks, from which client tokens may be used.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The bits of an IPv6 address before an IPv4 address that is mapped to one.
const MAPPED_BITS: u32 = 96;

/// A network in CIDR notation: `10.0.0.0/8`, `2001:db8::/32`. An IPv4 network is the same as its
/// counterpart among the mapped addresses of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Without bits beyond the prefix.
    address: IpAddr,
    prefix_bits: u32,
}

impl Network {
    /// Parses a network, or a single address. Bits beyond the prefix are cleared. `None` if the text
    /// is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = longest(address);
        let mut prefix_bits = match bits {
            // As a number, `+8` would be one, too.
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => longest,
        };
        if prefix_bits > longest {
            return None;
        }
        let mut address = address;
        if address.to_canonical() != address && prefix_bits >= MAPPED_BITS {
            address = address.to_canonical();
            prefix_bits -= MAPPED_BITS;
        }
        Some(Self {
            address: truncated(address, prefix_bits),
            prefix_bits,
        })
    }

    /// Whether an address is in the network.
    pub fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let address = match (self.address, address) {
            // A network such as `::/0` has the mapped addresses, too.
            (IpAddr::V6(_), IpAddr::V4(address)) => IpAddr::V6(address.to_ipv6_mapped()),
            (_, address) => address,
        };
        longest(address) == longest(self.address)
            && truncated(address, self.prefix_bits) == self.address
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

/// The bits of an address.
fn longest(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => Ipv4Addr::BITS,
        IpAddr::V6(_) => Ipv6Addr::BITS,
    }
}

/// The address with all bits beyond the prefix cleared.
fn truncated(address: IpAddr, prefix_bits: u32) -> IpAddr {
    let rest = longest(address) - prefix_bits;
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(rest).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
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
