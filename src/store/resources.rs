//! The owners of upstream resources such as files, caches and batches, which only certain keys can
//! use.

use super::{Database, Result, Value, number, placeholders, read, text, values, write};
use crate::pool::{CLOCK_TOLERANCE_MS, KeyId, Owner, UnixMillis};
use std::collections::BTreeSet;

const DELETE_OLD: &str = "DELETE FROM resources WHERE made_at < ?1
AND name NOT LIKE 'tunedModels/%' AND name NOT LIKE 'cachedContents/%' AND name NOT LIKE 'fileSearchStores/%' AND name NOT LIKE 'corpora/%'";

/// How long the names of resources that Google deletes after days are stored, in milliseconds: 60
/// days.
const RETENTION_MS: i64 = 60 * 24 * 3_600_000;

/// Records the owner of resources that it has just created, replacing any earlier owner of the same
/// names.
///
/// # Errors
/// The database refused.
pub async fn remember_created(
    database: &impl Database,
    names: &BTreeSet<String>,
    owner: &Owner,
    now: UnixMillis,
) -> Result<()> {
    let replace = "UPDATE SET api_key_id = excluded.api_key_id, project = excluded.project, made_at = excluded.made_at";
    remember(database, names, replace, owner, now).await
}

/// Records the owner of resources that a response mentioned. Known names keep their owner.
///
/// # Errors
/// The database refused.
pub async fn remember_reported(
    database: &impl Database,
    names: &BTreeSet<String>,
    owner: &Owner,
    now: UnixMillis,
) -> Result<()> {
    remember(database, names, "NOTHING", owner, now).await
}

async fn remember(
    database: &impl Database,
    names: &BTreeSet<String>,
    on_conflict: &str,
    owner: &Owner,
    now: UnixMillis,
) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let mut parameters = values![owner.key, owner.project.clone(), now];
    let rows: Vec<String> = names
        .iter()
        .map(|name| {
            parameters.push(Value::from(name.as_str()));
            format!("(?{}, ?1, ?2, ?3)", parameters.len())
        })
        .collect();
    let insert = format!(
        "INSERT INTO resources (name, api_key_id, project, made_at) VALUES {} ON CONFLICT (name) DO {on_conflict}",
        rows.join(", ")
    );
    write(database, &insert, parameters).await.map(drop)
}

/// Returns the owners of those of these names that are known, in the order of the names. A key's
/// current project takes precedence over the one at creation.
///
/// # Errors
/// The table cannot be read.
pub async fn owners(database: &impl Database, names: &BTreeSet<String>) -> Result<Vec<Owner>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let select = format!(
        "SELECT {id}, {project} FROM resources AS r
LEFT JOIN api_keys AS k ON k.id = r.api_key_id WHERE r.name IN {marks} ORDER BY r.name",
        id = number("r.api_key_id"),
        project = text("coalesce(k.project, r.project)"),
        marks = placeholders(0, names.len())
    );
    let parameters = names
        .iter()
        .map(|name| Value::from(name.as_str()))
        .collect();
    let rows = read(database, &select, parameters).await?;
    let owner = |row: &super::Row| {
        Some(Owner {
            key: KeyId(row.integer(0)?),
            project: row
                .text(1)
                .filter(|project| !project.is_empty())
                .map(str::to_owned),
        })
    };
    Ok(rows.iter().filter_map(owner).collect())
}

/// Whether a resource was recorded between `since` and `now`.
///
/// # Errors
/// The table cannot be read.
pub async fn was_created_since(
    database: &impl Database,
    name: &str,
    since: UnixMillis,
    now: UnixMillis,
) -> Result<bool> {
    let select = "SELECT 1 FROM resources WHERE name = ?1 AND made_at >= ?2 AND made_at <= ?3";
    let parameters = values![name, since, now.plus(CLOCK_TOLERANCE_MS)];
    Ok(!read(database, select, parameters).await?.is_empty())
}

/// Deletes a resource that was deleted at the upstream.
///
/// # Errors
/// The database refused.
pub async fn forget_resource(database: &impl Database, name: &str) -> Result<()> {
    let delete = "DELETE FROM resources WHERE name = ?1";
    write(database, delete, values![name]).await.map(drop)
}

/// Deletes names that are too old to be of use.
pub(super) async fn delete_old_resources(database: &impl Database, now: UnixMillis) -> Result<()> {
    let parameters = values![now.plus(-RETENTION_MS)];
    write(database, DELETE_OLD, parameters).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, NativeDatabase};
    use super::*;
    use futures::executor::block_on;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn owner(key: i64, project: Option<&str>) -> Owner {
        Owner {
            key: KeyId(key),
            project: project.map(str::to_owned),
        }
    }

    #[test]
    fn a_resource_has_an_owner_with_its_current_project() {
        let database = NativeDatabase::with_keys(2);
        let remember = |list: &[&str], owner: Owner| {
            block_on(remember_reported(&database, &names(list), &owner, NOW)).unwrap();
        };
        let found =
            |list: &[&str]| -> Vec<Owner> { block_on(owners(&database, &names(list))).unwrap() };
        remember(&["files/a", "files/b"], owner(1, None));
        remember(&["files/b", "files/c"], owner(2, Some("projects/2")));
        remember(&["files/d"], owner(9, Some("projects/9")));
        remember(&[], owner(1, None));
        let known = found(&["files/a", "files/b", "files/x"]);
        assert_eq!(known, [owner(1, None), owner(1, None)]);
        let since = |ms, now: i64| {
            let (since, now) = (NOW.plus(ms), NOW.plus(now));
            block_on(was_created_since(&database, "files/a", since, now)).unwrap()
        };
        assert!(since(0, 0) && !since(1, 1));
        // A resource from the future is ignored.
        assert!(!since(-9_000, -9_000));
        assert_eq!(found(&["files/c"]), [owner(2, Some("projects/2"))]);
        // The owner outlives its key.
        assert_eq!(found(&["files/d"]), [owner(9, Some("projects/9"))]);
        assert_eq!(found(&["files/a", "files/c"]).len(), 2);
        assert_eq!(found(&[]), []);
        database.run("UPDATE api_keys SET project = 'projects/1' WHERE id = 1");
        assert_eq!(found(&["files/a"]), [owner(1, Some("projects/1"))]);
        let (recreated, other) = (names(&["files/a"]), owner(2, None));
        block_on(remember_created(&database, &recreated, &other, NOW)).unwrap();
        assert_eq!(found(&["files/a"]), [other]);
        block_on(forget_resource(&database, "files/a")).unwrap();
        assert_eq!(found(&["files/a"]), []);
    }

    #[test]
    fn short_lived_resources_are_deleted_after_60_days() {
        let database = NativeDatabase::migrated();
        let all = names(&["files/a", "cachedContents/c", "tunedModels/t", "uploads/u"]);
        block_on(remember_created(&database, &all, &owner(1, None), NOW)).unwrap();
        block_on(delete_old_resources(&database, NOW.plus(RETENTION_MS))).unwrap();
        let left = "SELECT name FROM resources ORDER BY name";
        assert_eq!(database.query(left).len(), 4);
        block_on(delete_old_resources(&database, NOW.plus(RETENTION_MS + 1))).unwrap();
        assert_eq!(database.query(left), ["cachedContents/c", "tunedModels/t"]);
    }
}
