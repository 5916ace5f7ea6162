//! The keys that seal the pool's API keys in the database.

use super::variables::Variables;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::fmt;

/// The length of an encryption key, in bytes.
const KEY_BYTES: usize = 32;

/// A key that encrypts. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptionKey([u8; KEY_BYTES]);

impl EncryptionKey {
    /// The key itself, to derive others from.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(…)")
    }
}

/// The encryption keys in use. Without any, API keys are stored in clear text.
#[derive(Debug, Clone, Default)]
pub struct EncryptionKeys {
    /// Seals, and opens.
    pub current: Option<EncryptionKey>,
    /// Only opens what was sealed before `current` was set.
    pub previous: Option<EncryptionKey>,
}

impl EncryptionKeys {
    pub(super) fn read(variables: &mut Variables<'_>) -> Self {
        let [current, previous] = ["encryption_key", "encryption_key_previous"]
            .map(|name| variables.text(name).map(|text| (name, text)));
        if current.is_none() && previous.is_some() {
            variables.problem(
                "encryption_key_previous is set, but encryption_key is not: it only helps to change from one to the other",
            );
        }
        let [current, previous] = [current, previous].map(|variable| {
            let (name, text) = variable?;
            let key = parse(&text);
            if key.is_none() {
                variables.problem(format!(
                    "{name} must be 32 bytes in base64: try `openssl rand -base64 32`"
                ));
            }
            key
        });
        if current.is_some() && current == previous {
            variables.problem("encryption_key_previous must differ from encryption_key");
        }
        Self { current, previous }
    }
}

fn parse(text: &str) -> Option<EncryptionKey> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    bytes.try_into().ok().map(EncryptionKey)
}
