//! A key of the pool: its identity, its secret, and the state that outcomes move.

use super::{Outcome, Scope, UnixMillis};
use std::fmt;

/// The key's row id, the one name of a key that may appear in logs, headers and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub i64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An API key's value. It has no `Display` and no `Serialize`, and its `Debug` shows the last four characters at most;
/// [`expose`](Self::expose) is the only way to the text.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// The longest key, in characters: a longer one would be drawn, and refused by the host, again and again.
const LONGEST_KEY: usize = 1024;

/// Why a text cannot be an API key. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidApiKey {
    /// Nothing but white space.
    #[error("is empty")]
    Empty,
    /// It is longer than any key.
    #[error("has more than {LONGEST_KEY} characters, which no key has")]
    TooLong,
    /// It holds something that no HTTP header can carry.
    #[error("has a character other than visible ASCII, which no HTTP header can carry")]
    Unsendable,
}

impl ApiKey {
    /// Takes any visible ASCII text: key formats change (`AIza…`, `AQ.…`), and only the upstream knows which are valid.
    ///
    /// # Errors
    /// The text is empty, has more than 1024 characters, or has a space, a control character or anything that is not ASCII.
    pub fn try_new(text: impl Into<String>) -> Result<Self, InvalidApiKey> {
        let text = text.into();
        if text.is_empty() {
            return Err(InvalidApiKey::Empty);
        }
        if text.len() > LONGEST_KEY {
            return Err(InvalidApiKey::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidApiKey::Unsendable);
        }
        Ok(Self(text))
    }

    /// Whether it is a standard key, which is taken in either header.
    pub fn is_standard(&self) -> bool {
        self.0.starts_with("AIza")
    }

    /// The key itself, for the header of an upstream call and for redaction.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", mask(&self.0))
    }
}

/// Stands for what is not shown.
pub(crate) const MASK: &str = "…";
/// A secret no longer than this shows nothing at all: four characters of it would be too much of it.
pub(crate) const SHORT_SECRET: usize = 12;

/// `…` and the secret's last four characters; only `…` for a short secret.
pub fn mask(secret: &str) -> String {
    let length = secret.chars().count();
    if length <= SHORT_SECRET {
        return MASK.to_owned();
    }
    format!("…{}", secret.chars().skip(length - 4).collect::<String>())
}

/// The header that carries a key to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialHeader {
    /// `authorization: Bearer KEY`, the usual one on OpenAI's surface.
    Authorization,
    /// `x-goog-api-key: KEY`, the usual one on Gemini's surface.
    GoogleApiKey,
}

impl CredentialHeader {
    /// The header's name in HTTP and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::GoogleApiKey => "x-goog-api-key",
        }
    }

    /// The header of this [`name`](Self::name); `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Authorization, Self::GoogleApiKey]
            .into_iter()
            .find(|header| header.name() == name)
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Authorization => Self::GoogleApiKey,
            Self::GoogleApiKey => Self::Authorization,
        }
    }
}

/// What the pool may do with a key. The numbers are those of the `status` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// In use.
    Active = 1,
    /// Paused until `disabled_until`, then in use again.
    Cooling = 2,
    /// Out of use until a person changes it.
    Disabled = 0,
}

impl KeyStatus {
    /// Reads the `status` column; `None` for a number that means nothing.
    pub fn from_code(code: i64) -> Option<Self> {
        [Self::Active, Self::Cooling, Self::Disabled]
            .into_iter()
            .find(|status| status.code() == code)
    }

    /// The number in the `status` column.
    pub fn code(self) -> i64 {
        self as i64
    }
}

/// The part of a key that failures and successes move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyState {
    /// What the pool may do with the key.
    pub status: KeyStatus,
    /// Failures of the key since its last success; never negative.
    pub consecutive_failures: i64,
    /// When a cooling key may be used again. `None` on a cooling key means never: such a row is broken.
    pub disabled_until: Option<UnixMillis>,
}

/// A key as choosing sees it.
#[derive(Debug, Clone)]
pub struct PoolKey {
    /// Row id.
    pub id: KeyId,
    /// The secret.
    pub key: ApiKey,
    /// The name that a person gave it.
    pub name: Option<String>,
    /// The Google project that it belongs to, such as `projects/123`; `None` where nobody has told.
    pub project: Option<String>,
    /// Base weight, 100 unless somebody changed it; may be negative.
    pub priority: i64,
    /// What outcomes have made of it.
    pub state: KeyState,
    /// Start of the latest call; `None` for a key never used.
    pub last_used_at: Option<UnixMillis>,
    /// Start of the latest call that the upstream answered.
    pub last_success_began_at: Option<UnixMillis>,
    /// How the latest call ended, and when.
    pub last_outcome: Option<(Outcome, UnixMillis)>,
    /// Of a key whose pause is over: a trial call is on its way, and until then no other may follow.
    pub trial_until: Option<UnixMillis>,
    /// Why the pool disabled or paused it; `None` where a person did.
    pub disabled_reason: Option<String>,
    /// The header in which the upstream takes it, where it has refused the usual one.
    pub credential_header: Option<CredentialHeader>,
    /// How often somebody other than the pool has changed its state.
    pub edits: i64,
}

impl PoolKey {
    /// Whose quota its calls use.
    pub fn scope(&self) -> Scope {
        match &self.project {
            Some(project) => Scope::Project(project.clone()),
            None => Scope::Key(self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_sendable_format_are_accepted() {
        for text in ["AIzaFake-Key_0123456789", "AQ.Ab8Fake-fake_fake.fake", "x"] {
            assert!(ApiKey::try_new(text).is_ok(), "{text}");
        }
        assert_eq!(ApiKey::try_new(""), Err(InvalidApiKey::Empty));
        assert!(ApiKey::try_new("x".repeat(LONGEST_KEY)).is_ok());
        let too_long = ApiKey::try_new("x".repeat(LONGEST_KEY + 1));
        assert_eq!(too_long, Err(InvalidApiKey::TooLong));
        for text in ["two words", "line\nbreak", "ключ", "tab\t"] {
            assert_eq!(
                ApiKey::try_new(text),
                Err(InvalidApiKey::Unsendable),
                "{text:?}"
            );
        }
    }

    #[test]
    fn debug_shows_the_last_four_characters_at_most() {
        let key = ApiKey::try_new("AIzaFakeFakeFakeFakeFakeFakeFakeFakeWXYZ").unwrap();
        assert_eq!(format!("{key:?}"), "ApiKey(…WXYZ)");
        assert_eq!(
            format!("{:?}", ApiKey::try_new("short").unwrap()),
            "ApiKey(…)"
        );
    }

    #[test]
    fn status_codes_are_those_of_the_table() {
        for (status, code) in [
            (KeyStatus::Disabled, 0),
            (KeyStatus::Active, 1),
            (KeyStatus::Cooling, 2),
        ] {
            assert_eq!(status.code(), code);
            assert_eq!(KeyStatus::from_code(code), Some(status));
        }
        assert_eq!(KeyStatus::from_code(3), None);
    }
}
