//! Seals the keys that are not sealed with the current encryption key, while the pool serves.
//!
//! Several instances may do it at once, and each may vanish at any time: a row changes only as long
//! as it holds what was read, and the next instance continues. Nothing changes while the table has
//! an envelope that the pool cannot open, since its encryption key may be the right one.

use super::key_admin::list_of;
use super::key_vault::{KeyVault, STORED, SealedKey, column_of};
use super::{Database, Nonce, Result, Row, Value, read, text, values, write};
use crate::pool::KeyId;
use std::iter;

/// The most rows that one statement seals, so that others do not wait for it.
const BATCH: usize = 100;

/// Overwrites what is deleted on this connection, so that no clear text stays in the file. libSQL
/// refuses it.
const OVERWRITE: &str = "PRAGMA secure_delete = ON";
/// Empties the write-ahead log, which has the pages as they were. Does nothing while others read.
const EMPTY_LOG: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// The keys of the pool, by how they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysAtRest {
    /// In clear text.
    pub plain: u64,
    /// Sealed with the current encryption key.
    pub current: u64,
    /// Sealed with the previous encryption key.
    pub previous: u64,
    /// Sealed with another encryption key.
    pub unreadable: u64,
}

/// Counts the keys by how they are stored.
///
/// # Errors
/// The table cannot be read.
pub async fn keys_at_rest(database: &impl Database, vault: &KeyVault) -> Result<KeysAtRest> {
    let counts = iter::once("TRUE".to_owned())
        .chain(vault.conditions())
        .map(|condition| format!("(SELECT count(*) FROM api_keys WHERE {condition})"));
    let select = format!("SELECT {}", counts.collect::<Vec<_>>().join(", "));
    let rows = read(database, &select, Vec::new()).await?;
    let count = |column| {
        let count = rows.first().and_then(|row| row.integer(column));
        count.map_or(0, i64::unsigned_abs)
    };
    let [all, current, previous, sealed] = [0, 1, 2, 3].map(count);
    Ok(KeysAtRest {
        plain: all.saturating_sub(sealed),
        current,
        previous,
        unreadable: sealed.saturating_sub(current + previous),
    })
}

/// Seals with the current encryption key what is not sealed with it, and returns the number of
/// rows. Costs one cheap query if there are none. What is no key stays as it is, and so does a key
/// that another row has sealed.
///
/// # Errors
/// The table cannot be read or changed. What was sealed by then stays sealed.
pub async fn seal_keys(
    database: &impl Database,
    vault: &KeyVault,
    mut new_nonce: impl FnMut() -> Nonce,
) -> Result<usize> {
    let Some(is_due) = vault.is_due() else {
        return Ok(0);
    };
    let select = due_rows(&is_due);
    let (mut last, mut sealed) = (i64::MIN, 0);
    loop {
        let rows = read(database, &select, values![last]).await?;
        let Some(id) = rows.last().and_then(|row| row.integer(0)) else {
            break;
        };
        if last == i64::MIN {
            let _ = write(database, OVERWRITE, Vec::new()).await;
        }
        last = id;
        let rows: Vec<_> = rows
            .iter()
            .filter_map(|row| resealed(vault, row, new_nonce()))
            .collect();
        sealed += update(database, vault, &rows).await?;
    }
    if sealed > 0 {
        let _ = write(database, EMPTY_LOG, Vec::new()).await;
    }
    Ok(sealed)
}

/// Selects a batch of rows. With `+`, the index of `api_key` is used, which reads no other rows.
fn due_rows(is_due: &str) -> String {
    let stored = text(STORED);
    format!(
        "SELECT id, {stored} FROM api_keys WHERE {is_due} AND +id > ?1 ORDER BY +id LIMIT {BATCH}"
    )
}

/// The id, the column `api_key`, and what replaces it and the digest. `None` for a row that is no
/// key.
fn resealed(vault: &KeyVault, row: &Row, nonce: Nonce) -> Option<Vec<Value>> {
    let (id, stored) = (KeyId(row.integer(0)?), row.text(1)?);
    let SealedKey { envelope, digest } = vault.seal(&vault.open(id, stored)?, nonce)?;
    Some(values![id, column_of(stored), envelope, digest])
}

/// Returns how many rows it has changed.
async fn update(database: &impl Database, vault: &KeyVault, rows: &[Vec<Value>]) -> Result<usize> {
    if rows.is_empty() {
        return Ok(0);
    }
    let list = list_of(rows)?;
    let update = format!(
        "UPDATE OR IGNORE api_keys SET api_key = json_extract(value, '$[2]'), key_digest = json_extract(value, '$[3]')
FROM json_each(?1)
WHERE api_keys.id = json_extract(value, '$[0]')
    AND CAST(api_key AS BLOB) = CAST(json_extract(value, '$[1]') AS BLOB) AND {} IS NULL
RETURNING api_keys.id",
        vault.foreign_envelope()
    );
    let changed = write(database, &update, values![list]).await?;
    Ok(changed.len())
}

#[cfg(test)]
mod tests;
