//! The table of keys: status reports, imports, and changes by operators.

use super::author::{Author, Extra};
use super::key_vault::KeyVault;
use super::read_pool::check_envelope;
use super::{
    Database, DatabaseError, Nonce, Result, Row, Value, number, read, text, values, write,
};
use crate::pool::{ApiKey, CredentialHeader, KeyId, KeyStatus, Scope, UnixMillis};
use serde::Serialize;

fn report_of_all() -> String {
    format!(
        "SELECT id, {name}, {status}, {failures}, {total}, {successes}, {used}, {project},
    CASE status WHEN 2 THEN {until} END, CASE WHEN status <> 1 THEN {reason} END, {outcome}
FROM api_keys ORDER BY priority DESC, id",
        name = text("name"),
        status = number("status"),
        failures = number("consecutive_failures"),
        total = number("total_calls"),
        successes = number("success_calls"),
        used = text("last_used_at"),
        project = text("project"),
        until = text("disabled_until"),
        reason = text("disabled_reason"),
        outcome = text("last_outcome")
    )
}

const LEARN_PROJECT: &str = "UPDATE api_keys SET project = ?2 WHERE id = ?1 AND project IS NULL";
/// The priority of the tenth imported key and all later ones.
const MIN_PRIORITY: i64 = 10;
const CLEAR_COOL_DOWNS: &str = "DELETE FROM cool_downs WHERE scope IN (?1, ?2)";
const NOTE_RESET: &str = "INSERT INTO resets (scope, reset_at) SELECT value, ?1 FROM json_each(?2)
WHERE true ON CONFLICT (scope) DO UPDATE SET reset_at = excluded.reset_at";
const DELETE_RESETS: &str = "DELETE FROM resets WHERE reset_at < ?1";

/// How long resets are stored, in milliseconds: 1 day. No call takes longer.
const RESET_RETENTION_MS: i64 = 24 * 3_600_000;

/// A key as the status report shows it: never the key itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyReport {
    /// Row id.
    pub id: i64,
    /// The name that an operator gave it.
    pub name: Option<String>,
    /// 1 active, 2 temporarily disabled, 0 disabled.
    pub status: i64,
    /// Failures of the key since its last success.
    pub consecutive_failures: i64,
    /// All calls made with it.
    pub total_calls: i64,
    /// Calls that succeeded.
    pub success_calls: i64,
    /// Start of the latest call.
    pub last_used_at: Option<String>,
    /// Successes in percent of calls, with two decimals; `None` without calls.
    pub success_rate: Option<f64>,
    /// The Google project, if known.
    pub project: Option<String>,
    /// When the pause of a temporarily disabled key ends.
    pub disabled_until: Option<String>,
    /// Why the pool disabled or paused the key.
    pub disabled_reason: Option<String>,
    /// How the latest call ended.
    pub last_outcome: Option<String>,
}

/// Reports all keys by descending priority, then by id.
///
/// # Errors
/// The table cannot be read.
pub async fn key_report(database: &impl Database) -> Result<Vec<KeyReport>> {
    let rows = read(database, &report_of_all(), Vec::new()).await?;
    Ok(rows.iter().map(report).collect())
}

fn report(row: &Row) -> KeyReport {
    let number = |column| row.integer(column).unwrap_or(0);
    let text = |column| row.lossy_text(column);
    let (total_calls, success_calls) = (number(4), number(5));
    KeyReport {
        id: number(0),
        name: text(1),
        status: number(2),
        consecutive_failures: number(3),
        total_calls,
        success_calls,
        last_used_at: text(6),
        success_rate: (total_calls > 0)
            .then(|| (success_calls as f64 * 10_000.0 / total_calls as f64).round() / 100.0),
        project: text(7),
        disabled_until: text(8),
        disabled_reason: text(9),
        last_outcome: text(10),
    }
}

/// Stores the project that an error names for a key, unless one is known.
///
/// # Errors
/// The table cannot be changed.
pub async fn learn_project(database: &impl Database, id: KeyId, project: &str) -> Result<()> {
    let parameters = values![id, project];
    write(database, LEARN_PROJECT, parameters).await.map(drop)
}

/// Stores the header in which the upstream accepts a key.
///
/// # Errors
/// The table cannot be changed.
pub async fn learn_credential_header(
    database: &impl Database,
    id: KeyId,
    header: CredentialHeader,
) -> Result<()> {
    let learn = "UPDATE api_keys SET credential_header = ?2 WHERE id = ?1";
    write(database, learn, values![id, header.name()])
        .await
        .map(drop)
}

/// Reactivates a key and ends the cool-downs of the key and its project. Calls that began earlier
/// do not undo this. `false` if there is no such key.
///
/// # Errors
/// The tables cannot be changed.
pub async fn reset_key(
    database: &impl Database,
    id: KeyId,
    author: Author<'_>,
    now: UnixMillis,
) -> Result<bool> {
    let reset = format!(
        "UPDATE api_keys SET status = {active}, consecutive_failures = 0, disabled_until = NULL, disabled_reason = NULL,
    disabled_at = NULL, rejected_at = NULL, trial_until = NULL, last_outcome = NULL, last_outcome_at = NULL, updated_at = ?2,
    paused_until = NULL, pool_moves = pool_moves + 1, edits = edits + 1, changed_by = ?3
WHERE id = ?1 RETURNING {project}",
        active = KeyStatus::Active.code(),
        project = text("project")
    );
    let rows = write(
        database,
        &reset,
        values![id, now, author.changes("reset_key", Extra::None)],
    )
    .await?;
    let Some(row) = rows.first() else {
        return Ok(false);
    };
    let project = row
        .text(0)
        .map(|project| Scope::Project(project.to_owned()).to_string());
    let key = Scope::Key(id).to_string();
    let scopes: Vec<&str> = [Some(key.as_str()), project.as_deref()]
        .into_iter()
        .flatten()
        .collect();
    let list =
        serde_json::to_string(&scopes).map_err(|error| DatabaseError::new(&error.to_string()))?;
    write(database, NOTE_RESET, values![now, list]).await?;
    write(database, CLEAR_COOL_DOWNS, values![key, project]).await?;
    Ok(true)
}

/// Deletes resets that are older than any call in flight.
pub(super) async fn delete_old_resets(database: &impl Database, now: UnixMillis) -> Result<()> {
    let parameters = values![now.plus(-RESET_RETENTION_MS)];
    write(database, DELETE_RESETS, parameters).await.map(drop)
}

/// Whether a key of the list exists already: in clear text, or sealed with the current or the
/// previous encryption key.
pub(super) const EXISTS: &str = "(EXISTS (SELECT 1 FROM api_keys WHERE api_key = json_extract(value, '$[0]'))
    OR EXISTS (SELECT 1 FROM api_keys WHERE key_digest IN (json_extract(value, '$[1]'), json_extract(value, '$[2]'))))";

/// Imports the keys of the `gemini_api_key` variable once each, as `Auto-imported Key i` with
/// priority 100 − 10·(i − 1), but at least 10, since a key with priority 0 would never be used.
/// Existing keys are left as they are, whatever their name. New ones are sealed, if `vault` has an
/// encryption key.
///
/// # Errors
/// The table cannot be read or changed, or has keys that are sealed with an unknown encryption key.
pub async fn import_keys(
    database: &impl Database,
    vault: &KeyVault,
    keys: &[ApiKey],
    mut new_nonce: impl FnMut() -> Nonce,
    now: UnixMillis,
) -> Result<()> {
    // Usually all keys exist already, and a read does not wait for the write lock.
    let foreign = vault.foreign_envelope();
    let existing = format!(
        "SELECT (SELECT count(*) FROM json_each(?1) WHERE {EXISTS}), {}",
        text(&foreign)
    );
    let mut list: Vec<_> = keys.iter().map(|key| identity(vault, key)).collect();
    let rows = read(database, &existing, values![list_of(&list)?]).await?;
    if let Some(row) = rows.first() {
        check_envelope(row, 1)?;
        if row.integer(0) == i64::try_from(keys.len()).ok() {
            return Ok(());
        }
    }
    for ((index, key), row) in (0i64..).zip(keys).zip(&mut list) {
        let sealed = vault.seal(key, new_nonce());
        let stored = sealed.map_or_else(|| key.expose().to_owned(), |sealed| sealed.envelope);
        let name = format!("Auto-imported Key {}", index + 1);
        let priority = (100 - 10 * index).max(MIN_PRIORITY);
        row.extend(values![stored, name, priority]);
    }
    let insert = format!(
        "INSERT INTO api_keys (api_key, key_digest, name, priority, status, consecutive_failures, total_calls, success_calls, created_at, updated_at)
SELECT json_extract(value, '$[3]'), json_extract(value, '$[1]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'), 1, 0, 0, 0, ?2, ?2
FROM json_each(?1) WHERE NOT {EXISTS} AND {foreign} IS NULL
ON CONFLICT DO NOTHING"
    );
    let parameters = values![list_of(&list)?, now];
    write(database, &insert, parameters).await.map(drop)
}

/// What tells whether a key [exists](EXISTS): its text and its digests.
pub(super) fn identity(vault: &KeyVault, key: &ApiKey) -> Vec<Value> {
    let mut digests = vault.digests(key).into_iter();
    values![key.expose(), digests.next(), digests.next()]
}

/// A list of rows for `json_each`, which may have no blobs.
pub(super) fn list_of(rows: &[Vec<Value>]) -> Result<String> {
    serde_json::to_string(rows).map_err(|error| DatabaseError::new(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{AUTHOR, EARLIER_DEPLOYMENT, NOW, NativeDatabase, vault};
    use super::super::{ErrorKind, read_pool};
    use super::*;
    use futures::executor::block_on;

    fn try_import(
        database: &NativeDatabase,
        vault: &KeyVault,
        keys: &[impl ToString],
    ) -> Result<()> {
        let keys: Vec<ApiKey> = keys
            .iter()
            .map(|key| ApiKey::try_new(key.to_string()).unwrap())
            .collect();
        block_on(import_keys(database, vault, &keys, || [7; 24], NOW))
    }

    fn import(database: &NativeDatabase, keys: &[impl ToString]) {
        try_import(database, &vault(0, 0), keys).unwrap();
    }

    #[test]
    fn imported_keys_have_names_and_descending_priorities() {
        let database = NativeDatabase::migrated();
        let many: Vec<String> = (1..=40).map(|number| format!("fake-{number}")).collect();
        import(&database, &many);
        let imported = database.query("SELECT id, api_key, name, priority, status, total_calls, created_at = updated_at FROM api_keys");
        for (id, priority) in [
            (1, 100),
            (2, 90),
            (3, 80),
            (9, 20),
            (10, 10),
            (11, 10),
            (40, 10),
        ] {
            let expected = format!("{id}|fake-{id}|Auto-imported Key {id}|{priority}|1|0|1");
            assert_eq!(imported[id - 1], expected);
        }
    }

    #[test]
    fn importing_again_adds_only_new_keys() {
        let database = NativeDatabase::migrated();
        import(&database, &["fake-a"]);
        database.run("UPDATE api_keys SET name = 'renamed', status = 0, priority = 5");
        for _ in 0..2 {
            import(&database, &["fake-b", "fake-a"]);
        }
        assert_eq!(
            database.query("SELECT api_key, name, priority, status FROM api_keys ORDER BY id"),
            ["fake-a|renamed|5|0", "fake-b|Auto-imported Key 1|100|1"]
        );
    }

    #[test]
    fn imported_keys_are_sealed_and_never_twice_in_the_table() {
        let plain = || {
            let database = NativeDatabase::migrated();
            import(&database, &["fake-a"]);
            database
        };
        let sealed = || {
            let database = NativeDatabase::migrated();
            try_import(&database, &vault(1, 0), &["fake-a"]).unwrap();
            assert_eq!(
                database.count("api_keys WHERE api_key LIKE 'sealed:1:%'"),
                1
            );
            assert_eq!(database.count("api_keys WHERE key_digest IS NULL"), 0);
            database
        };
        for (database, vault) in [
            (plain(), vault(1, 0)),
            (sealed(), vault(1, 0)),
            (sealed(), vault(1, 2)),
            (sealed(), vault(2, 1)),
        ] {
            for _ in 0..2 {
                try_import(&database, &vault, &["fake-b", "fake-a"]).unwrap();
            }
            assert_eq!(database.count("api_keys"), 2);
            assert_eq!(
                database.query("SELECT name FROM api_keys WHERE api_key LIKE '%fake-b%'"),
                [""; 0]
            );
            let read = block_on(read_pool(&database, &vault, None, NOW)).unwrap();
            let mut keys: Vec<_> = read
                .snapshot
                .keys()
                .iter()
                .map(|key| key.key.expose())
                .collect();
            keys.sort_unstable();
            assert_eq!(keys, ["fake-a", "fake-b"]);
        }
    }

    #[test]
    fn nothing_is_imported_beside_keys_of_another_encryption_key() {
        let database = NativeDatabase::migrated();
        try_import(&database, &vault(1, 0), &["fake-a"]).unwrap();
        for wrong in [vault(0, 0), vault(2, 0), vault(2, 3)] {
            for keys in [&["fake-b"] as &[&str], &[]] {
                let error = try_import(&database, &wrong, keys).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::WrongEncryptionKey);
            }
        }
        assert_eq!(database.count("api_keys"), 1);
    }

    #[test]
    fn a_project_is_learned_once_unless_an_operator_set_it() {
        let database = NativeDatabase::migrated();
        database.run("INSERT INTO api_keys (id, api_key, project) VALUES (1, 'fake-a', NULL), (2, 'fake-b', 'team-b')");
        for id in [1, 2, 3] {
            block_on(learn_project(&database, KeyId(id), "projects/7")).unwrap();
        }
        block_on(learn_project(&database, KeyId(1), "projects/8")).unwrap();
        let projects = database.query("SELECT project FROM api_keys ORDER BY id");
        assert_eq!(projects, ["projects/7", "team-b"]);
    }

    #[test]
    fn a_reset_reactivates_a_key_and_clears_its_cool_downs() {
        let database = NativeDatabase::migrated();
        database.run(
            "INSERT INTO api_keys (id, api_key, project, status, consecutive_failures, disabled_reason, disabled_at) VALUES
             (1, 'fake-a', 'p', 0, 3, 'key_rejected', '2027-01-15T08:00:00.000Z'), (2, 'fake-b', NULL, 0, 1, NULL, NULL);
             INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
             ('key:1', '', 'egress_refused', '', '', 1), ('project:p', 'm', 'quota_per_day', '', '', 1),
             ('key:2', '', 'egress_refused', '', '', 1)",
        );
        assert_eq!(
            block_on(reset_key(&database, KeyId(1), AUTHOR, NOW)),
            Ok(true)
        );
        assert_eq!(
            block_on(reset_key(&database, KeyId(9), AUTHOR, NOW)),
            Ok(false)
        );
        let keys = "SELECT status, consecutive_failures, disabled_reason, disabled_at FROM api_keys ORDER BY id";
        assert_eq!(database.query(keys), ["1|0|NULL|NULL", "0|1|NULL|NULL"]);
        assert_eq!(database.query("SELECT scope FROM cool_downs"), ["key:2"]);
    }

    #[test]
    fn the_report_is_ordered_and_never_contains_a_key() {
        let database = NativeDatabase::migrated();
        database.run(
            "INSERT INTO api_keys (id, api_key, name, priority, status, consecutive_failures, total_calls, success_calls, last_used_at) VALUES
             (1, 'fake-a', 'first', 90, 1, 0, 3, 2, '2026-01-31T09:05:07.042Z'),
             (2, 'fake-b', NULL, 100, 0, 5, 0, 0, NULL),
             (3, 'fake-c', 'third', 100, 2, 2, 8, 8, NULL)",
        );
        let report = block_on(key_report(&database)).unwrap();
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            json,
            r#"[{"id":2,"name":null,"status":0,"consecutive_failures":5,"total_calls":0,"success_calls":0,"last_used_at":null,"success_rate":null,"project":null,"disabled_until":null,"disabled_reason":null,"last_outcome":null},{"id":3,"name":"third","status":2,"consecutive_failures":2,"total_calls":8,"success_calls":8,"last_used_at":null,"success_rate":100.0,"project":null,"disabled_until":null,"disabled_reason":null,"last_outcome":null},{"id":1,"name":"first","status":1,"consecutive_failures":0,"total_calls":3,"success_calls":2,"last_used_at":"2026-01-31T09:05:07.042Z","success_rate":66.67,"project":null,"disabled_until":null,"disabled_reason":null,"last_outcome":null}]"#
        );
        assert!(!json.contains("fake-"));
    }

    #[test]
    fn reads_a_dump_of_an_earlier_deployment() {
        let database = NativeDatabase::in_memory();
        database.run(EARLIER_DEPLOYMENT);
        block_on(super::super::migrate(&database)).unwrap();
        let read = block_on(read_pool(&database, &vault(0, 0), None, NOW)).unwrap();
        let keys = read.snapshot.keys();
        assert!(keys.iter().map(|key| key.id.0).eq([1, 2, 3]));
        assert_eq!(read.broken, []);
        let used = UnixMillis::parse("2025-06-01T12:34:56.789Z");
        assert_eq!(keys[0].last_used_at, used);
        assert_eq!(database.count("api_call_logs"), 4);
        let report = block_on(key_report(&database)).unwrap();
        assert!(report.iter().map(|key| key.id).eq([1, 2, 3]));
    }
}
