//! Thought signatures of tool calls, encrypted so that a row is useless without its call.
//!
//! A row's lookup digest and its encryption key are both hashes of the call's content, so the
//! database contains neither the call nor the means to decrypt the signature. The cipher is
//! XChaCha20-Poly1305 with a random nonce, which precedes the ciphertext.

use super::{Database, Result, Value, placeholders, read, values, write};
use crate::pool::{CLOCK_TOLERANCE_MS, UnixMillis};
use crate::wire::openai::signatures::{SignedCall, ToolCall};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};

/// How long signatures are stored, in milliseconds: 6 h.
const RETENTION_MS: i64 = 6 * 3_600_000;

const NONCE_BYTES: usize = 24;

/// A nonce, which must be unique.
pub type Nonce = [u8; NONCE_BYTES];

/// Hash prefixes that separate the digest from the key, so that one does not reveal the other.
const DIGEST_PREFIX: &[u8] = b"keypool thought signature digest\0";
const KEY_PREFIX: &[u8] = b"keypool thought signature key\0";

fn digest(call: &ToolCall) -> Vec<u8> {
    let digest = Sha256::new().chain_update(DIGEST_PREFIX);
    digest.chain_update(call.as_bytes()).finalize().to_vec()
}

fn cipher(call: &ToolCall) -> XChaCha20Poly1305 {
    let key = Sha256::new().chain_update(KEY_PREFIX);
    XChaCha20Poly1305::new(&key.chain_update(call.as_bytes()).finalize())
}

/// `None` if the text is too long to encrypt.
fn seal(call: &ToolCall, signature: &str, nonce: Nonce) -> Option<Vec<u8>> {
    let signature = Payload::from(signature.as_bytes());
    let sealed = cipher(call).encrypt(&XNonce::from(nonce), signature);
    Some([nonce.as_slice(), &sealed.ok()?].concat())
}

/// `None` if the row was sealed for another call or tampered with.
fn open(call: &ToolCall, sealed: &[u8]) -> Option<String> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let plain = cipher(call).decrypt(&XNonce::from(*nonce), Payload::from(sealed));
    String::from_utf8(plain.ok()?).ok()
}

/// Stores the signatures of these calls for 6 hours, and replaces existing ones.
///
/// # Errors
/// The database refused.
pub async fn save_signatures(
    database: &impl Database,
    calls: &[SignedCall],
    mut new_nonce: impl FnMut() -> Nonce,
    now: UnixMillis,
) -> Result<()> {
    let mut parameters = values![now];
    let mut rows = Vec::new();
    for SignedCall { call, signature } in calls {
        if let Some(sealed) = seal(call, signature, new_nonce()) {
            parameters.extend([Value::Blob(digest(call)), Value::Blob(sealed)]);
            let last = parameters.len();
            rows.push(format!("(?{}, ?{last}, ?1)", last - 1));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let insert = format!(
        "INSERT INTO thought_signatures (call_digest, sealed, kept_at) VALUES {} ON CONFLICT (call_digest)
DO UPDATE SET sealed = excluded.sealed, kept_at = excluded.kept_at",
        rows.join(", ")
    );
    write(database, &insert, parameters).await.map(drop)
}

/// The known signatures of these calls.
///
/// # Errors
/// The table cannot be read.
pub async fn signatures_of(
    database: &impl Database,
    calls: &HashSet<ToolCall>,
    now: UnixMillis,
) -> Result<HashMap<ToolCall, String>> {
    if calls.is_empty() {
        return Ok(HashMap::new());
    }
    let by_digest: HashMap<Vec<u8>, &ToolCall> =
        calls.iter().map(|call| (digest(call), call)).collect();
    let select = format!(
        "SELECT call_digest, CAST(sealed AS BLOB) FROM thought_signatures WHERE kept_at > ?1 AND kept_at <= ?2 AND call_digest IN {}",
        placeholders(2, by_digest.len())
    );
    let mut parameters = values![now.plus(-RETENTION_MS), now.plus(CLOCK_TOLERANCE_MS)];
    parameters.extend(by_digest.keys().cloned().map(Value::Blob));
    let rows = read(database, &select, parameters).await?;
    let signature = |row: &super::Row| match row.0.as_slice() {
        [Value::Blob(digest), Value::Blob(sealed)] => {
            let call = *by_digest.get(digest)?;
            Some((call.clone(), open(call, sealed)?))
        }
        _ => None,
    };
    Ok(rows.iter().filter_map(signature).collect())
}

/// Records that a model refuses tool calls without their signature.
///
/// # Errors
/// The database refused.
pub async fn learn_signed_model(
    database: &impl Database,
    model: &str,
    now: UnixMillis,
) -> Result<()> {
    let insert = "INSERT INTO signed_models (model, learned_at) VALUES (?1, ?2)
ON CONFLICT (model) DO UPDATE SET learned_at = excluded.learned_at";
    write(database, insert, values![model, now]).await.map(drop)
}

/// Deletes signatures that have expired.
pub(super) async fn delete_old_signatures(database: &impl Database, now: UnixMillis) -> Result<()> {
    let delete = "DELETE FROM thought_signatures WHERE kept_at <= ?1";
    let parameters = values![now.plus(-RETENTION_MS)];
    write(database, delete, parameters).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::testing::NativeDatabase;
    use super::*;
    use crate::wire::openai::signatures::{Signatures, unsigned};
    use futures::executor::block_on;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn answer(id: &str, signature: &str) -> String {
        format!(
            r#"{{"choices":[{{"message":{{"tool_calls":[{{"id":"{id}","function":{{"name":"f","arguments":"{{}}"}},"extra_content":{{"google":{{"thought_signature":"{signature}"}}}}}}]}}}}]}}"#
        )
    }

    fn calls(id: &str) -> HashSet<ToolCall> {
        unsigned(
            format!(r#"{{"messages":[{{"tool_calls":[{{"id":"{id}","function":{{"name":"f","arguments":"{{}}"}}}}]}}]}}"#)
                .as_bytes(),
        )
    }

    fn save(database: &NativeDatabase, id: &str, signature: &str, nonce: u8, now: UnixMillis) {
        let signed = Signatures::of_answer(answer(id, signature).as_bytes());
        assert_eq!(signed.len(), 1);
        block_on(save_signatures(
            database,
            &signed,
            || [nonce; NONCE_BYTES],
            now,
        ))
        .unwrap();
    }

    fn found(database: &NativeDatabase, id: &str, now: UnixMillis) -> Vec<String> {
        let found = block_on(signatures_of(database, &calls(id), now)).unwrap();
        found.into_values().collect()
    }

    #[test]
    fn a_signature_is_found_only_by_its_call_for_6_hours() {
        let database = NativeDatabase::migrated();
        save(&database, "call_1", "first", 1, NOW);
        save(&database, "call_1", "second", 2, NOW.plus(1));
        assert_eq!(found(&database, "call_1", NOW.plus(2)), ["second"]);
        assert_eq!(found(&database, "call_2", NOW.plus(2)), [""; 0]);
        let future = NOW.plus(-CLOCK_TOLERANCE_MS);
        assert_eq!(
            found(&database, "call_1", future),
            [""; 0],
            "a signature from the future must be ignored"
        );
        let late = NOW.plus(1 + RETENTION_MS);
        assert_eq!(found(&database, "call_1", late.plus(-1)), ["second"]);
        assert_eq!(found(&database, "call_1", late), [""; 0]);
        let rows = "SELECT count(*) FROM thought_signatures";
        block_on(delete_old_signatures(&database, late.plus(-1))).unwrap();
        assert_eq!(database.query(rows), ["1"]);
        block_on(delete_old_signatures(&database, late)).unwrap();
        assert_eq!(database.query(rows), ["0"]);
    }

    #[test]
    fn a_row_reveals_neither_call_nor_signature() {
        let database = NativeDatabase::migrated();
        save(&database, "call_1", "the-signature", 1, NOW);
        let row = "SELECT call_digest, sealed, length(call_digest) FROM thought_signatures";
        let row = database.query(row).join("|");
        assert!(
            !row.contains("the-signature") && !row.contains("call_1"),
            "{row}"
        );
        assert!(row.ends_with("|32"), "{row}");
    }

    #[test]
    fn a_tampered_row_is_ignored() {
        let database = NativeDatabase::migrated();
        save(&database, "call_1", "s", 1, NOW);
        database.run("UPDATE thought_signatures SET sealed = sealed || x'00'");
        assert_eq!(found(&database, "call_1", NOW), [""; 0]);
        database.run("UPDATE thought_signatures SET sealed = 'no bytes'");
        assert_eq!(found(&database, "call_1", NOW), [""; 0]);
    }
}
