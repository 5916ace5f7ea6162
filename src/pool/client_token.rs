//! Client tokens that operators create: what their holders may do.

use super::pattern::matches;
use super::{Network, UnixMillis};
use std::fmt;
use std::net::IpAddr;

/// The token's row id: the only identification of a token that may appear in logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub i64);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A client token, as far as it determines what its holder may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientToken {
    /// The id.
    pub id: TokenId,
    /// When it stops working; `None` if it does not.
    pub expires_at: Option<UnixMillis>,
    /// When an operator took it out of use, if one did.
    pub disabled_at: Option<UnixMillis>,
    /// Patterns of the models that it may use; `None` for all.
    pub models: Option<Vec<String>>,
    /// The networks from which it may be used; `None` for all.
    pub networks: Option<Vec<Network>>,
    /// The most requests per minute; `None` for no limit.
    pub requests_per_minute: Option<u64>,
    /// The most tokens per day of Los Angeles; `None` for no limit.
    pub tokens_per_day: Option<u64>,
}

/// Whether a client token works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// It does.
    Active,
    /// An operator took it out of use.
    Disabled,
    /// Its time is over.
    Expired,
}

/// A limit of a client token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenLimit {
    /// So many requests per minute.
    RequestsPerMinute(u64),
    /// So many tokens per day.
    TokensPerDay(u64),
}

impl ClientToken {
    /// Whether it works.
    pub fn state(&self, now: UnixMillis) -> TokenState {
        if self.disabled_at.is_some() {
            TokenState::Disabled
        } else if self.expires_at.is_some_and(|at| at <= now) {
            TokenState::Expired
        } else {
            TokenState::Active
        }
    }

    /// Whether it may be used from an address; `None` if the address is not known.
    pub fn allows_address(&self, address: Option<IpAddr>) -> bool {
        self.networks.as_ref().is_none_or(|networks| {
            address.is_some_and(|address| networks.iter().any(|network| network.has(address)))
        })
    }

    /// Whether it may use a model.
    pub fn allows_model(&self, model: &str) -> bool {
        self.models
            .as_ref()
            .is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, model)))
    }
}

impl TokenState {
    /// Every state with its name.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("active", Self::Active),
        ("disabled", Self::Disabled),
        ("expired", Self::Expired),
    ];

    /// The name in the admin API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn token() -> ClientToken {
        ClientToken {
            id: TokenId(1),
            expires_at: None,
            disabled_at: None,
            models: None,
            networks: None,
            requests_per_minute: None,
            tokens_per_day: None,
        }
    }

    #[test]
    fn a_token_works_until_it_expires_or_is_disabled() {
        for (expires, disabled, expected) in [
            (None, None, TokenState::Active),
            (Some(1), None, TokenState::Active),
            (Some(0), None, TokenState::Expired),
            (Some(1), Some(-1), TokenState::Disabled),
            (Some(-1), Some(-1), TokenState::Disabled),
        ] {
            let token = ClientToken {
                expires_at: expires.map(|ms| NOW.plus(ms)),
                disabled_at: disabled.map(|ms| NOW.plus(ms)),
                ..token()
            };
            assert_eq!(token.state(NOW), expected, "{expires:?} {disabled:?}");
        }
    }

    #[test]
    fn an_empty_list_allows_nothing_and_none_allows_all() {
        let address = "10.0.0.1".parse().ok();
        let all = token();
        assert!(all.allows_model("m") && all.allows_address(address) && all.allows_address(None));
        let none = ClientToken {
            models: Some(Vec::new()),
            networks: Some(Vec::new()),
            ..token()
        };
        assert!(!none.allows_model("m") && !none.allows_address(address));
        let some = ClientToken {
            models: Some(vec!["gemini-*-flash".to_owned(), "m".to_owned()]),
            networks: Network::parse("10.0.0.0/8").map(|network| vec![network]),
            ..token()
        };
        for (model, expected) in [("gemini-2.5-flash", true), ("m", true), ("mm", false)] {
            assert_eq!(some.allows_model(model), expected, "{model}");
        }
        assert!(some.allows_address(address) && !some.allows_address(None));
    }
}
