//! Seals and opens API keys.
//!
//! Without an encryption key, a key is stored as it is. With one, `api_keys.api_key` has an
//! envelope, and `api_keys.key_digest` the key's digest:
//!
//! ```text
//! sealed:1:ID:BASE64(nonce, ciphertext)    XChaCha20-Poly1305, with the digest as associated data
//!  BASE64(digest)                          a space, and HMAC-SHA256 of the key
//! ```
//!
//! Both use keys that HKDF-SHA256 derives from the encryption key, and so is `ID`, which tells
//! encryption keys apart. The associated data binds an envelope to its row: next to another digest
//! it does not open. The digest is unique, and finds a key without opening any. With the space, the
//! two columns can be read as one text: each column costs time, and a pool is read twice a second.
//!
//! Envelopes of one encryption key are adjacent in the index of `api_key`, so a few seeks tell
//! whether there are others.

use super::Nonce;
use crate::config::{EncryptionKey, EncryptionKeys};
use crate::pool::{ApiKey, KeyId};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::cell::RefCell;
use std::fmt::Write;

/// The start of every envelope.
const SEALED: &str = "sealed:";
/// The first text after all envelopes: `;` follows `:`.
const AFTER_SEALED: &str = "sealed;";
/// The start of every digest.
const SEPARATOR: char = ' ';

/// An expression for a key as it is stored: the key in clear text, or the envelope and the digest.
/// A trigger removes the digest of a key in clear text.
pub(super) const STORED: &str = "iif(key_digest IS NULL, api_key, api_key || key_digest)";

/// The bytes of an encryption key's id.
const ID_BYTES: usize = 6;

/// The encryption keys of the pool, if it has any.
pub struct KeyVault {
    current: Option<Seal>,
    previous: Option<Seal>,
    /// Keys that were opened, by id, since a pool is read twice a second.
    opened: RefCell<Vec<Opened>>,
}

/// A key that was opened, and its [stored](STORED) form.
struct Opened {
    id: KeyId,
    stored: String,
    key: ApiKey,
}

/// A key as `api_keys` stores it.
pub(super) struct SealedKey {
    pub(super) envelope: String,
    pub(super) digest: String,
}

impl KeyVault {
    /// A vault with these encryption keys; without any, it stores keys in clear text.
    pub fn new(keys: &EncryptionKeys) -> Self {
        Self {
            current: keys.current.as_ref().map(Seal::new),
            previous: keys.previous.as_ref().map(Seal::new),
            opened: RefCell::default(),
        }
    }

    /// Whether keys are sealed.
    pub fn can_seal(&self) -> bool {
        self.current.is_some()
    }

    /// Seals a key; `None` without an encryption key. The nonce must be unique.
    pub(super) fn seal(&self, key: &ApiKey, nonce: Nonce) -> Option<SealedKey> {
        self.current.as_ref()?.seal(key, nonce)
    }

    /// Opens the [stored](STORED) key of a row. `None` if it is no key, if it was sealed with an
    /// encryption key that the vault does not have, or if its row has been tampered with.
    pub(super) fn open(&self, id: KeyId, stored: &str) -> Option<ApiKey> {
        let Some(sealed) = stored.strip_prefix(SEALED) else {
            return ApiKey::try_new(stored).ok();
        };
        let mut opened = self.opened.borrow_mut();
        let place = opened.binary_search_by_key(&id, |opened| opened.id);
        if let Some(opened) = place.ok().and_then(|at| opened.get(at))
            && opened.stored == stored
        {
            return Some(opened.key.clone());
        }
        let (envelope, digest) = sealed.split_at(sealed.find(SEPARATOR)?);
        let key = self
            .seals()
            .find_map(|seal| seal.open(envelope.strip_prefix(&seal.version_and_id)?, digest))?;
        let entry = Opened {
            id,
            stored: stored.to_owned(),
            key: key.clone(),
        };
        match place {
            Ok(at) => opened[at] = entry,
            Err(at) => opened.insert(at, entry),
        }
        Some(key)
    }

    /// The digests under which a key may be stored: at most two.
    pub(super) fn digests(&self, key: &ApiKey) -> Vec<String> {
        self.seals().map(|seal| seal.digest(key)).collect()
    }

    /// An expression for one of the envelopes that no encryption key of the vault opens; `NULL` if
    /// there is none.
    pub(super) fn foreign_envelope(&self) -> String {
        let mut known: Vec<_> = self.seals().map(Seal::range).collect();
        if let [first, second] = known.as_mut_slice()
            && first > second
        {
            std::mem::swap(first, second);
        }
        let mut expression = "coalesce(".to_owned();
        let mut from = SEALED.to_owned();
        let end = (AFTER_SEALED.to_owned(), String::new());
        for (start, after) in known.into_iter().chain([end]) {
            let _ = write!(
                expression,
                "(SELECT min(api_key) FROM api_keys WHERE api_key >= '{from}' AND api_key < '{start}'), "
            );
            from = after;
        }
        expression + "NULL)"
    }

    /// A condition for rows that are not sealed with the current encryption key; `None` without
    /// one.
    pub(super) fn is_due(&self) -> Option<String> {
        let (start, after) = self.current.as_ref()?.range();
        Some(format!("(api_key < '{start}' OR api_key >= '{after}')"))
    }

    /// Conditions for rows that are sealed with the current and with the previous encryption key,
    /// and for all that are sealed.
    pub(super) fn conditions(&self) -> [String; 3] {
        let within = |(start, after)| format!("api_key >= '{start}' AND api_key < '{after}'");
        let by = |seal: &Option<Seal>| seal.as_ref().map(Seal::range).map(within);
        let none = || "FALSE".to_owned();
        [
            by(&self.current).unwrap_or_else(none),
            by(&self.previous).unwrap_or_else(none),
            within((SEALED.to_owned(), AFTER_SEALED.to_owned())),
        ]
    }

    fn seals(&self) -> impl Iterator<Item = &Seal> {
        self.current.iter().chain(&self.previous)
    }
}

/// The text in the column `api_key` of a [stored](STORED) key.
pub(super) fn column_of(stored: &str) -> &str {
    match stored.split_once(SEPARATOR) {
        Some((envelope, _)) if stored.starts_with(SEALED) => envelope,
        Some(_) | None => stored,
    }
}

/// What is derived from one encryption key.
struct Seal {
    /// `1:ID:`.
    version_and_id: String,
    cipher: XChaCha20Poly1305,
    digest: Hmac<Sha256>,
}

impl Seal {
    fn new(key: &EncryptionKey) -> Self {
        let keys = Hkdf::new(None, key.bytes());
        let mut version_and_id = "1:".to_owned();
        for byte in derive::<ID_BYTES>(&keys, "id") {
            let _ = write!(version_and_id, "{byte:02x}");
        }
        version_and_id.push(':');
        Self {
            version_and_id,
            cipher: XChaCha20Poly1305::new(&derive::<32>(&keys, "seal").into()),
            // As long as a block, so that it is used as it is.
            digest: Hmac::new(&derive::<64>(&keys, "digest").into()),
        }
    }

    /// The envelopes of this encryption key: the first possible text, and the first after them.
    fn range(&self) -> (String, String) {
        let start = format!("{SEALED}{}", self.version_and_id);
        let after = format!("{};", start.trim_end_matches(':'));
        (start, after)
    }

    fn digest(&self, key: &ApiKey) -> String {
        let mut digest = self.digest.clone();
        digest.update(key.expose().as_bytes());
        let mut text = SEPARATOR.to_string();
        BASE64_STANDARD_NO_PAD.encode_string(digest.finalize().into_bytes(), &mut text);
        text
    }

    fn seal(&self, key: &ApiKey, nonce: Nonce) -> Option<SealedKey> {
        let digest = self.digest(key);
        let payload = Payload {
            msg: key.expose().as_bytes(),
            aad: digest.as_bytes(),
        };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
        let sealed = BASE64_STANDARD_NO_PAD.encode([nonce.as_slice(), &sealed].concat());
        Some(SealedKey {
            envelope: format!("{SEALED}{}{sealed}", self.version_and_id),
            digest,
        })
    }

    /// Opens what follows the id in an envelope.
    fn open(&self, sealed: &str, digest: &str) -> Option<ApiKey> {
        let sealed = BASE64_STANDARD_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = sealed.split_first_chunk()?;
        let payload = Payload {
            msg: sealed,
            aad: digest.as_bytes(),
        };
        let nonce: &Nonce = nonce;
        let key = self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
        ApiKey::try_new(String::from_utf8(key).ok()?).ok()
    }
}

/// Derives a key for one purpose.
fn derive<const BYTES: usize>(keys: &Hkdf<Sha256>, purpose: &str) -> [u8; BYTES] {
    let mut derived = [0; BYTES];
    let info = ["keypool api key ", purpose].concat();
    // Fails only for outputs of more than 8 KiB.
    let _ = keys.expand(info.as_bytes(), &mut derived);
    derived
}

#[cfg(test)]
mod tests {
    use super::super::testing::vault;
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> ApiKey {
        ApiKey::try_new(text).unwrap()
    }

    fn open(vault: &KeyVault, stored: &str) -> Option<ApiKey> {
        vault.open(KeyId(1), stored)
    }

    fn sealed(vault: &KeyVault, text: &str, nonce: u8) -> String {
        let SealedKey { envelope, digest } = vault.seal(&key(text), [nonce; 24]).unwrap();
        envelope + &digest
    }

    proptest! {
        #[test]
        fn an_opened_key_is_the_sealed_one(text in "[!-~]{1,1024}", nonce: u8) {
            let stored = sealed(&vault(1, 2), &text, nonce);
            prop_assert!(stored.len() <= super::super::LONGEST_TEXT);
            prop_assert!(column_of(&stored).bytes().all(|byte| byte.is_ascii_graphic()));
            for vault in [vault(1, 2), vault(1, 0), vault(3, 1)] {
                // Twice, since the second comes from memory.
                for _ in 0..2 {
                    prop_assert_eq!(open(&vault, &stored).unwrap(), key(&text));
                }
            }
        }
    }

    #[test]
    fn a_vault_without_an_encryption_key_keeps_clear_text() {
        let plain = vault(0, 0);
        assert!(plain.seal(&key("fake-1"), [1; 24]).is_none());
        assert!(plain.digests(&key("fake-1")).is_empty());
        for vault in [plain, vault(1, 2)] {
            assert_eq!(open(&vault, "fake-1").unwrap(), key("fake-1"));
            for broken in ["", "two words", "fake-1 digest"] {
                assert!(open(&vault, broken).is_none(), "{broken}");
            }
        }
    }

    #[test]
    fn the_format_is_stable() {
        // Computed by another implementation of HKDF and HMAC.
        let stored = sealed(&vault(1, 0), "fake-1", 7);
        let expected = "sealed:1:b2a6772931a0: XXVXFRiNG2VI5jR0CWD97FJlGDuEmoiGyoKjFQWu9x8";
        let (start, digest) = (&stored[..22], stored.split_once(' ').unwrap().1);
        assert_eq!(format!("{start} {digest}"), expected);
    }

    #[test]
    fn another_encryption_key_does_not_open_it() {
        let stored = sealed(&vault(1, 0), "fake-1", 7);
        for vault in [vault(0, 0), vault(2, 0), vault(2, 3)] {
            assert!(open(&vault, &stored).is_none());
        }
        // Not even with the right id.
        let (_, after_id) = stored.split_at(22);
        let other = sealed(&vault(2, 0), "fake-1", 7);
        let forged = format!("{}{after_id}", &other[..22]);
        assert!(open(&vault(2, 0), &forged).is_none());
    }

    #[test]
    fn an_envelope_opens_only_next_to_its_digest() {
        let vault = vault(1, 0);
        let [first, second] = ["fake-1", "fake-2"].map(|text| sealed(&vault, text, 7));
        assert!(open(&vault, &first).is_some() && open(&vault, &second).is_some());
        let digest = second.split_once(' ').unwrap().1;
        let moved = format!("{} {digest}", column_of(&first));
        assert!(open(&vault, &moved).is_none());
        assert!(open(&vault, column_of(&first)).is_none());
    }

    #[test]
    fn a_tampered_envelope_does_not_open() {
        let stored = sealed(&vault(1, 0), "fake-1", 7);
        for at in 0..stored.len() {
            let mut bytes = stored.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let tampered = String::from_utf8(bytes).unwrap();
            let opened = open(&vault(1, 0), &tampered);
            // Without the start of an envelope, the text is not one.
            assert!(opened.is_none(), "{at}: {tampered}");
        }
    }

    #[test]
    fn the_same_key_is_sealed_differently_but_has_one_digest() {
        let vault = vault(1, 0);
        let [first, second] = [7, 8].map(|nonce| sealed(&vault, "fake-1", nonce));
        assert_ne!(column_of(&first), column_of(&second));
        assert_eq!(
            first.split_once(' ').unwrap().1,
            second.split_once(' ').unwrap().1
        );
    }
}
