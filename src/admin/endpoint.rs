//! The paths of the admin API, below `/admin/api/v1`.

use crate::pool::{KeyId, TokenId};
use crate::wire::request_id::RequestId;

/// Precedes the paths.
const PREFIX: &str = "/admin/api/v1/";

/// What a path of the admin API is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `keys`
    Keys,
    /// `keys/{id}`
    Key(KeyId),
    /// `keys/{id}/{action}`
    KeyAction(KeyId, KeyAction),
    /// `calls`
    Calls,
    /// `calls/export`
    CallsExport,
    /// `statistics`
    Statistics,
    /// `requests/{id}`; `None` for an id that no request has
    Request(Option<RequestId>),
    /// `tokens`
    Tokens,
    /// `tokens/{id}`
    Token(TokenId),
    /// `tokens/{id}/{action}`
    TokenAction(TokenId, TokenAction),
    /// `keys/{id}/limits`
    KeyLimits(KeyId),
    /// `keys/{id}/history`
    KeyHistory(KeyId),
    /// `keys/{id}/test`
    TestKey(KeyId),
    /// `keys/test`
    TestKeys,
    /// `keys/activity`
    KeyActivity,
    /// `pool`
    Pool,
    /// `audit`
    Audit,
    /// `encryption`
    Encryption,
    /// `openapi.json`
    OpenApi,
    /// `forecast`
    Forecast,
    /// `settings`
    Settings,
}

/// What can be done to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAction {
    /// `disable`: takes it out of use.
    Disable,
    /// `enable`: puts it back into use.
    Enable,
    /// `pause`: takes it out of use until a given time.
    Pause,
    /// `reset`: puts it back into use, and ends its cool-downs.
    Reset,
    /// `drill`: lets its next calls end with a fault.
    Drill,
}

/// What can be done to a client token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAction {
    /// `disable`: takes it out of use.
    Disable,
    /// `enable`: puts it back into use.
    Enable,
    /// `rotate`: replaces the token itself.
    Rotate,
}

impl Endpoint {
    /// Whether a path is one of the admin API, even if it does not exist.
    pub fn is_admin(path: &str) -> bool {
        path.starts_with("/admin/api/")
    }

    /// The endpoint of a path.
    pub fn of(path: &str) -> Option<Self> {
        let mut steps = path.strip_prefix(PREFIX)?.split('/');
        let endpoint = match (steps.next()?, steps.next(), steps.next()) {
            ("keys", None, _) => Self::Keys,
            ("keys", Some("test"), None) => Self::TestKeys,
            ("keys", Some("activity"), None) => Self::KeyActivity,
            ("keys", Some(id), None) => Self::Key(key_id(id)?),
            ("keys", Some(id), Some("limits")) => Self::KeyLimits(key_id(id)?),
            ("keys", Some(id), Some("history")) => Self::KeyHistory(key_id(id)?),
            ("keys", Some(id), Some("test")) => Self::TestKey(key_id(id)?),
            ("keys", Some(id), Some(action)) => {
                Self::KeyAction(key_id(id)?, KeyAction::of(action)?)
            }
            ("calls", None, _) => Self::Calls,
            ("calls", Some("export"), None) => Self::CallsExport,
            ("statistics", None, _) => Self::Statistics,
            ("requests", Some(id), None) => Self::Request(RequestId::parse(id)),
            ("tokens", None, _) => Self::Tokens,
            ("tokens", Some(id), None) => Self::Token(token_id(id)?),
            ("tokens", Some(id), Some(action)) => {
                Self::TokenAction(token_id(id)?, TokenAction::of(action)?)
            }
            ("pool", None, _) => Self::Pool,
            ("audit", None, _) => Self::Audit,
            ("encryption", None, _) => Self::Encryption,
            ("openapi.json", None, _) => Self::OpenApi,
            ("forecast", None, _) => Self::Forecast,
            ("settings", None, _) => Self::Settings,
            _ => return None,
        };
        steps.next().is_none().then_some(endpoint)
    }

    /// The supported methods, as an `Allow` header.
    pub fn allow_header(self) -> &'static str {
        match self {
            Self::Keys | Self::Tokens => "GET, POST, OPTIONS",
            Self::Key(_) | Self::Token(_) => "GET, PATCH, DELETE, OPTIONS",
            Self::KeyAction(..) | Self::TestKey(_) | Self::TestKeys | Self::TokenAction(..) => {
                "POST, OPTIONS"
            }
            Self::KeyLimits(_) => "PUT, OPTIONS",
            Self::KeyHistory(_)
            | Self::KeyActivity
            | Self::Pool
            | Self::Calls
            | Self::CallsExport
            | Self::Statistics
            | Self::Request(_)
            | Self::Audit
            | Self::Encryption
            | Self::OpenApi
            | Self::Forecast
            | Self::Settings => "GET, OPTIONS",
        }
    }
}

impl KeyAction {
    fn of(name: &str) -> Option<Self> {
        match name {
            "disable" => Some(Self::Disable),
            "enable" => Some(Self::Enable),
            "pause" => Some(Self::Pause),
            "reset" => Some(Self::Reset),
            "drill" => Some(Self::Drill),
            _ => None,
        }
    }
}

impl TokenAction {
    fn of(name: &str) -> Option<Self> {
        match name {
            "disable" => Some(Self::Disable),
            "enable" => Some(Self::Enable),
            "rotate" => Some(Self::Rotate),
            _ => None,
        }
    }
}

fn token_id(text: &str) -> Option<TokenId> {
    key_id(text).map(|KeyId(id)| TokenId(id))
}

/// Reads an id, which has one spelling: without signs and leading zeros.
pub fn key_id(text: &str) -> Option<KeyId> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(KeyId(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_endpoints() {
        for (path, expected) in [
            ("keys", Some(Endpoint::Keys)),
            ("keys/7", Some(Endpoint::Key(KeyId(7)))),
            (
                "keys/7/pause",
                Some(Endpoint::KeyAction(KeyId(7), KeyAction::Pause)),
            ),
            ("tokens", Some(Endpoint::Tokens)),
            ("tokens/7", Some(Endpoint::Token(TokenId(7)))),
            (
                "tokens/7/rotate",
                Some(Endpoint::TokenAction(TokenId(7), TokenAction::Rotate)),
            ),
            ("tokens/7/pause", None),
            ("keys/7/limits", Some(Endpoint::KeyLimits(KeyId(7)))),
            ("keys/7/history", Some(Endpoint::KeyHistory(KeyId(7)))),
            ("keys/7/test", Some(Endpoint::TestKey(KeyId(7)))),
            ("keys/test", Some(Endpoint::TestKeys)),
            ("keys/activity", Some(Endpoint::KeyActivity)),
            ("pool", Some(Endpoint::Pool)),
            ("pool/1", None),
            ("keys/test/test", None),
            ("audit", Some(Endpoint::Audit)),
            ("openapi.json", Some(Endpoint::OpenApi)),
            ("forecast", Some(Endpoint::Forecast)),
            ("settings", Some(Endpoint::Settings)),
            ("keys/", None),
            ("keys/07", None),
            ("keys/+7", None),
            (
                "keys/7/drill",
                Some(Endpoint::KeyAction(KeyId(7), KeyAction::Drill)),
            ),
            ("keys/7/explode", None),
            ("keys/7/pause/x", None),
            ("audit/7", None),
            ("", None),
        ] {
            assert_eq!(Endpoint::of(&format!("{PREFIX}{path}")), expected, "{path}");
        }
        assert_eq!(Endpoint::of("/admin/api/v2/keys"), None);
    }
}
