//! A key of the pool: its identity, its secret, and the state that outcomes change.

use super::{KeyId, ModelRules, Outcome, Scope, UnixMillis};
use std::fmt;
use std::rc::Rc;

/// An API key's value. It has no `Display` and no `Serialize`, and its `Debug` shows at most the
/// last four characters; only [`expose`](Self::expose) returns the text.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// The longest key, in characters: the host would refuse a longer one each time it is drawn.
const MAX_KEY_LENGTH: usize = 1024;

/// Why a text is not a valid API key. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidApiKey {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The text is longer than any key.
    #[error("has more than {MAX_KEY_LENGTH} characters, which no key has")]
    TooLong,
    /// The text has a character that no HTTP header can carry.
    #[error("has a character other than visible ASCII, which no HTTP header can carry")]
    Unsendable,
}

impl ApiKey {
    /// Accepts any visible ASCII text: key formats change (`AIza…`, `AQ.…`), and only the upstream
    /// knows which are valid.
    ///
    /// # Errors
    /// The text is empty, has more than 1024 characters, or contains a space, a control character
    /// or a non-ASCII character.
    pub fn try_new(text: impl Into<String>) -> Result<Self, InvalidApiKey> {
        let text = text.into();
        if text.is_empty() {
            return Err(InvalidApiKey::Empty);
        }
        if text.len() > MAX_KEY_LENGTH {
            return Err(InvalidApiKey::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidApiKey::Unsendable);
        }
        Ok(Self(text))
    }

    /// Whether this is a standard key, which the upstream accepts in either header.
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

/// The replacement for hidden text.
pub(crate) const MASK: &str = "…";
/// A secret of at most this many characters is hidden completely, since four of them would reveal
/// too much.
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

    /// The header with this [`name`](Self::name), if any.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Authorization, Self::GoogleApiKey]
            .into_iter()
            .find(|header| header.name() == name)
    }

    /// The other header.
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
    /// Paused until `disabled_until`, then used again after a trial.
    Cooling = 2,
    /// Not used until an operator reactivates it.
    Disabled = 0,
}

impl KeyStatus {
    /// Every status with its name for operators.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("active", Self::Active),
        ("cooling", Self::Cooling),
        ("disabled", Self::Disabled),
    ];

    /// The name for operators.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Cooling => "cooling",
            Self::Disabled => "disabled",
        }
    }

    /// Reads the `status` column; `None` for an unknown number.
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

/// The part of a key that successes and failures change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyState {
    /// What the pool may do with the key.
    pub status: KeyStatus,
    /// Failures of the key since its last success; never negative.
    pub consecutive_failures: i64,
    /// When a cooling key may be used again. A cooling key with `None` is a broken row and never
    /// used.
    pub disabled_until: Option<UnixMillis>,
}

impl KeyState {
    /// What the pool may do with the key at this time, if a pause that is over counts as none.
    pub fn status_at(&self, now: UnixMillis) -> KeyStatus {
        match (self.status, self.disabled_until) {
            (KeyStatus::Active, _) => KeyStatus::Active,
            (KeyStatus::Cooling, Some(until)) if until > now => KeyStatus::Cooling,
            (KeyStatus::Cooling, Some(_)) => KeyStatus::Active,
            (KeyStatus::Cooling, None) | (KeyStatus::Disabled, _) => KeyStatus::Disabled,
        }
    }
}

/// A key as the draw sees it.
#[derive(Debug, Clone)]
pub struct PoolKey {
    /// Row id.
    pub id: KeyId,
    /// The secret.
    pub key: ApiKey,
    /// The name that an operator gave it.
    pub name: Option<String>,
    /// The key's Google project, such as `projects/123`; `None` if unknown.
    pub project: Option<String>,
    /// Base weight, 100 by default; may be negative.
    pub priority: i64,
    /// The state that outcomes have left it in.
    pub state: KeyState,
    /// Start of the latest call; `None` for a key never used.
    pub last_used_at: Option<UnixMillis>,
    /// Start of the latest call that the upstream answered.
    pub last_success_began_at: Option<UnixMillis>,
    /// How the latest call ended, and when.
    pub last_outcome: Option<(Outcome, UnixMillis)>,
    /// The end of the lease of a trial in flight, until which no other trial may start. Set on a
    /// key whose pause is over.
    pub trial_until: Option<UnixMillis>,
    /// Why the pool disabled or paused it; `None` if an operator did.
    pub disabled_reason: Option<String>,
    /// The header in which the upstream accepts it, if it refused the usual one.
    pub credential_header: Option<CredentialHeader>,
    /// How often anyone other than the pool has changed its state.
    pub edits: i64,
    /// The models for which it may be used; `None` for all.
    pub models: Option<Rc<ModelRules>>,
}

impl PoolKey {
    /// The scope whose quota its calls use.
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
    fn accepts_any_key_that_a_header_can_carry() {
        for text in ["AIzaFake-Key_0123456789", "AQ.Ab8Fake-fake_fake.fake", "x"] {
            assert!(ApiKey::try_new(text).is_ok(), "{text}");
        }
        assert_eq!(ApiKey::try_new(""), Err(InvalidApiKey::Empty));
        assert!(ApiKey::try_new("x".repeat(MAX_KEY_LENGTH)).is_ok());
        let too_long = ApiKey::try_new("x".repeat(MAX_KEY_LENGTH + 1));
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
    fn debug_shows_at_most_the_last_four_characters() {
        let key = ApiKey::try_new("AIzaFakeFakeFakeFakeFakeFakeFakeFakeWXYZ").unwrap();
        assert_eq!(format!("{key:?}"), "ApiKey(…WXYZ)");
        assert_eq!(
            format!("{:?}", ApiKey::try_new("short").unwrap()),
            "ApiKey(…)"
        );
    }

    #[test]
    fn status_codes_match_the_database() {
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
