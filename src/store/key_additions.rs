//! Adds keys, and tells which ones the pool knows already.

use super::author::{Author, Extra};
use super::key_admin::{EXISTS, identity, list_of};
use super::key_vault::{KeyVault, STORED};
use super::{Database, Nonce, Result, Value, json_of, read, text, values, write};
use crate::pool::{ApiKey, KeyId, KeyStatus, UnixMillis};
use sha2::{Digest, Sha256};

/// The most keys of one statement, so that its parameter stays below a megabyte.
const BATCH: usize = 1_000;

/// A key to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The key.
    pub key: ApiKey,
    /// Its name.
    pub name: Option<String>,
    /// The Google project.
    pub project: Option<String>,
    /// The weight in a draw.
    pub priority: i64,
    /// Labels.
    pub tags: Vec<String>,
    /// A note.
    pub note: Option<String>,
}

/// What the pool knows of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// Its id, if the pool has it.
    pub id: Option<KeyId>,
    /// Whether the upstream has rejected it, so that the pool disabled it; even if it was deleted
    /// afterwards.
    pub is_dead: bool,
}

/// Whether the pool has disabled a key since the upstream rejected it. No success came after.
fn is_dead() -> String {
    format!(
        "(status = {} AND disabled_at IS NOT NULL AND rejected_at > coalesce(last_success_at, ''))",
        KeyStatus::Disabled.code()
    )
}

/// What the database compares of a key: what tells whether the pool has it, and the digest by which
/// dead ones are remembered.
fn identity_with_digest(vault: &KeyVault, key: &ApiKey) -> Vec<Value> {
    let mut identity = identity(vault, key);
    identity.push(digest(key.expose()).into());
    identity
}

fn digest(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    digest.iter().fold(String::new(), |mut text, byte| {
        for half in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(half.into(), 16));
        }
        text
    })
}

/// What the pool knows of each of these keys.
///
/// # Errors
/// The tables cannot be read.
pub async fn known_keys(
    database: &impl Database,
    vault: &KeyVault,
    keys: &[&ApiKey],
) -> Result<Vec<Known>> {
    let select = format!(
        "SELECT list.key, api_keys.id, {is_dead} IS TRUE
        OR EXISTS (SELECT 1 FROM dead_keys WHERE digest = list.value ->> 3)
FROM json_each(?1) AS list LEFT JOIN api_keys ON api_key = list.value ->> 0
    OR key_digest IN (list.value ->> 1, list.value ->> 2)",
        is_dead = is_dead()
    );
    let mut known = vec![Known::default(); keys.len()];
    for (keys, known) in keys.chunks(BATCH).zip(known.chunks_mut(BATCH)) {
        let list: Vec<_> = keys
            .iter()
            .map(|key| identity_with_digest(vault, key))
            .collect();
        for row in read(database, &select, values![list_of(&list)?]).await? {
            let position = row.integer(0).and_then(|at| usize::try_from(at).ok());
            if let Some(known) = position.and_then(|position| known.get_mut(position)) {
                *known = Known {
                    id: row.integer(1).map(KeyId),
                    is_dead: row.integer(2) == Some(1),
                };
            }
        }
    }
    Ok(known)
}

/// Adds those of these keys, which must differ, that the pool does not have, and seals them if
/// `vault` has an encryption key. They have one entry in the audit log together.
///
/// # Errors
/// The table cannot be changed. The first keys may have been added.
pub async fn add_keys(
    database: &impl Database,
    vault: &KeyVault,
    keys: &[&NewKey],
    new_nonce: &dyn Fn() -> Nonce,
    author: Author<'_>,
    now: UnixMillis,
) -> Result<()> {
    // The first new row has the author, and the trigger writes the entry for all.
    let insert = format!(
        "INSERT INTO api_keys (api_key, key_digest, name, project, priority, tags, note, status, consecutive_failures,
    total_calls, success_calls, created_at, updated_at, changed_by)
SELECT value ->> 3, value ->> 1, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, 1, 0, 0, 0, ?2, ?2,
    iif(row_number() OVER (ORDER BY key) = 1, json_set(?3, '$.added', count(*) OVER ()), NULL)
FROM json_each(?1) WHERE NOT {EXISTS} AND {foreign} IS NULL ORDER BY key",
        foreign = vault.foreign_envelope()
    );
    for keys in keys.chunks(BATCH) {
        let rows = keys.iter().map(|key| {
            let sealed = vault.seal(&key.key, new_nonce());
            let stored = sealed.map(|sealed| sealed.envelope);
            let mut row = identity(vault, &key.key);
            row.extend(values![
                stored.unwrap_or_else(|| key.key.expose().to_owned()),
                key.name.clone(),
                key.project.clone(),
                key.priority,
                json_of(&key.tags),
                key.note.clone(),
            ]);
            row
        });
        let rows: Vec<_> = rows.collect();
        let changed_by = author.changes("add_keys", Extra::None);
        write(database, &insert, values![list_of(&rows)?, now, changed_by]).await?;
    }
    Ok(())
}

/// The digest of a key that is about to be deleted, if it is dead.
pub(super) async fn digest_of_dead(
    database: &impl Database,
    vault: &KeyVault,
    id: KeyId,
) -> Result<Option<String>> {
    let select = format!(
        "SELECT {} FROM api_keys WHERE id = ?1 AND {}",
        text(STORED),
        is_dead()
    );
    let rows = read(database, &select, values![id]).await?;
    let stored = rows.first().and_then(|row| row.text(0));
    let key = stored.and_then(|stored| vault.open(id, stored));
    Ok(key.map(|key| digest(key.expose())))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{AUTHOR, NOW, NativeDatabase, vault};
    use super::super::{KeyChange, change_key};
    use super::*;
    use futures::executor::block_on;

    fn key(text: &str) -> NewKey {
        NewKey {
            key: ApiKey::try_new(text).unwrap(),
            name: None,
            project: None,
            priority: 100,
            tags: Vec::new(),
            note: None,
        }
    }

    fn add(database: &NativeDatabase, keys: &[NewKey]) {
        let keys: Vec<&NewKey> = keys.iter().collect();
        block_on(add_keys(
            database,
            &vault(0, 0),
            &keys,
            &|| [7; 24],
            AUTHOR,
            NOW,
        ))
        .unwrap();
    }

    fn known(database: &NativeDatabase, text: &str) -> Known {
        let key = ApiKey::try_new(text).unwrap();
        block_on(known_keys(database, &vault(0, 0), &[&key])).unwrap()[0]
    }

    const AUDIT: &str = "SELECT action, subject, after FROM audit_log";

    #[test]
    fn keys_are_added_once_with_all_that_is_said_of_them() {
        let database = NativeDatabase::migrated();
        let full = NewKey {
            name: Some("Anna".to_owned()),
            project: Some("projects/1".to_owned()),
            priority: 7,
            tags: vec!["a".to_owned(), "b".to_owned()],
            note: Some("hers".to_owned()),
            ..key("fake-a")
        };
        for _ in 0..2 {
            add(&database, &[full.clone(), key("fake-b")]);
        }
        let columns = "SELECT api_key, name, project, priority, tags, note, status, created_at = updated_at FROM api_keys ORDER BY id";
        assert_eq!(
            database.query(columns),
            [
                r#"fake-a|Anna|projects/1|7|["a","b"]|hers|1|1"#,
                "fake-b|NULL|NULL|100|NULL|NULL|1|1"
            ]
        );
        assert_eq!(database.query(AUDIT), [r#"add_keys|keys|{"added":2}"#]);
        add(&database, &[key("fake-b"), key("fake-c")]);
        assert_eq!(database.query(AUDIT), [r#"add_keys|keys|{"added":3}"#]);
        assert_eq!(known(&database, "fake-c").id, Some(KeyId(3)));
        assert_eq!(known(&database, "fake-d"), Known::default());
    }

    #[test]
    fn many_keys_are_added_in_bounded_statements() {
        let database = NativeDatabase::migrated();
        let keys: Vec<NewKey> = (0..10_000).map(|n| key(&format!("fake-{n:05}"))).collect();
        let before = database.statements();
        add(&database, &keys);
        assert_eq!(database.statements() - before, 10);
        assert_eq!(database.count("api_keys"), 10_000);
        assert_eq!(database.query(AUDIT), [r#"add_keys|keys|{"added":10000}"#]);
        let in_order = "SELECT count(*) FROM api_keys WHERE api_key = printf('fake-%05d', id - 1)";
        assert_eq!(database.query(in_order), ["10000"]);
        let keys: Vec<&ApiKey> = keys.iter().map(|key| &key.key).collect();
        let known = block_on(known_keys(&database, &vault(0, 0), &keys)).unwrap();
        assert!(
            (1..=10_000)
                .map(KeyId)
                .map(Some)
                .eq(known.iter().map(|known| known.id))
        );
    }

    #[test]
    fn a_rejected_key_is_known_to_be_dead_even_after_it_is_deleted() {
        for (state, is_dead) in [
            (
                "status = 0, disabled_at = '2027-01-15', rejected_at = '2027-01-15'",
                true,
            ),
            // Disabled by a person.
            ("status = 0, rejected_at = '2027-01-15'", false),
            // Disabled for failures of another kind.
            ("status = 0, disabled_at = '2027-01-15'", false),
            (
                "status = 0, disabled_at = '2027-01-15', rejected_at = '2027-01-15', last_success_at = '2027-01-16'",
                false,
            ),
            ("status = 2, rejected_at = '2027-01-15'", false),
        ] {
            let database = NativeDatabase::with_keys(1);
            database.run(&format!("UPDATE api_keys SET pool_moves = 1, {state}"));
            let known_now = known(&database, "fake-1");
            assert_eq!(known_now.is_dead, is_dead, "{state}");
            assert_eq!(known_now.id, Some(KeyId(1)));
            let vault = vault(0, 0);
            let delete = change_key(&database, &vault, KeyId(1), &KeyChange::Delete, AUTHOR, NOW);
            assert_eq!(block_on(delete), Ok(true));
            let later = Known { id: None, is_dead };
            assert_eq!(known(&database, "fake-1"), later, "{state}");
            let texts = database.query("SELECT digest FROM dead_keys").concat()
                + &database.query("SELECT after FROM audit_log").concat();
            assert!(!texts.contains("fake-1"));
        }
    }
}
