//! Changes that operators make to keys. Each is one statement, which also writes the audit log
//! (migration 0003).

use super::author::{Author, Extra};
use super::key_additions::digest_of_dead;
use super::key_vault::KeyVault;
use super::{Database, Result, Value, json_of, values, write};
use crate::pool::{KeyId, KeyStatus, UnixMillis};

/// What an operator changes of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyChange {
    /// Sets these columns.
    Edit(Vec<KeyField>),
    /// Takes the key out of use. Calls under way go on.
    Disable {
        /// Why.
        reason: String,
    },
    /// Puts the key back into use. Cool-downs stay.
    Enable,
    /// Takes the key out of use until then.
    Pause(UnixMillis),
    /// Deletes the key. Its log rows and hourly sums stay.
    Delete,
}

/// A column of a key that operators set. `None` clears it.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyField {
    /// The name.
    Name(Option<String>),
    /// The weight in a draw.
    Priority(i64),
    /// The Google project.
    Project(Option<String>),
    /// Labels.
    Tags(Vec<String>),
    /// A note.
    Note(Option<String>),
    /// Patterns of the only models for which it may be used; none for all.
    AllowedModels(Vec<String>),
    /// Patterns of models for which it must not be used.
    ForbiddenModels(Vec<String>),
}

impl KeyField {
    fn column(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Priority(_) => "priority",
            Self::Project(_) => "project",
            Self::Tags(_) => "tags",
            Self::Note(_) => "note",
            Self::AllowedModels(_) => "allowed_models",
            Self::ForbiddenModels(_) => "forbidden_models",
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Priority(priority) => (*priority).into(),
            Self::Name(text) | Self::Project(text) | Self::Note(text) => text.clone().into(),
            Self::Tags(texts) | Self::AllowedModels(texts) | Self::ForbiddenModels(texts) => {
                json_of(texts)
            }
        }
    }
}

impl KeyChange {
    fn action(&self) -> &'static str {
        match self {
            Self::Edit(_) => "edit_key",
            Self::Disable { .. } => "disable_key",
            Self::Enable => "enable_key",
            Self::Pause(_) => "pause_key",
            Self::Delete => "delete_key",
        }
    }

    /// The columns to set, and their values.
    fn assignments(&self) -> Vec<(&'static str, Value)> {
        let state = |status: KeyStatus, until: Option<UnixMillis>, reason: Option<&str>| {
            vec![
                ("status", status.code().into()),
                ("disabled_until", until.into()),
                ("disabled_reason", reason.map(str::to_owned).into()),
            ]
        };
        match self {
            Self::Edit(fields) => {
                let fields = fields.iter();
                fields
                    .map(|field| (field.column(), field.value()))
                    .collect()
            }
            Self::Disable { reason } => state(KeyStatus::Disabled, None, Some(reason)),
            Self::Pause(until) => state(KeyStatus::Cooling, Some(*until), None),
            Self::Enable => {
                let mut columns = state(KeyStatus::Active, None, None);
                columns.push(("consecutive_failures", Value::Integer(0)));
                columns.push(("rejected_at", Value::Null));
                columns
            }
            Self::Delete => Vec::new(),
        }
    }
}

/// Changes a key. `false` if there is none with this id.
///
/// # Errors
/// The table cannot be changed.
pub async fn change_key(
    database: &impl Database,
    vault: &KeyVault,
    id: KeyId,
    change: &KeyChange,
    author: Author<'_>,
    now: UnixMillis,
) -> Result<bool> {
    let dead = match change {
        KeyChange::Delete => digest_of_dead(database, vault, id).await?,
        KeyChange::Edit(_)
        | KeyChange::Disable { .. }
        | KeyChange::Enable
        | KeyChange::Pause(_) => None,
    };
    let extra = dead.map_or(Extra::None, Extra::DeadKey);
    let mut parameters = values![id, now, author.changes(change.action(), extra)];
    let mut sets = vec!["updated_at = ?2".to_owned(), "changed_by = ?3".to_owned()];
    for (column, value) in change.assignments() {
        parameters.push(value);
        sets.push(format!("{column} = ?{}", parameters.len()));
    }
    let update = format!(
        "UPDATE api_keys SET {} WHERE id = ?1 RETURNING id",
        sets.join(", ")
    );
    let rows = write(database, &update, parameters).await?;
    Ok(!rows.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, NativeDatabase, vault};
    use super::*;
    use futures::executor::block_on;

    const KEY: &str = "SELECT name, priority, status, disabled_until, disabled_reason, project, tags, note FROM api_keys";
    const AUDIT: &str =
        "SELECT actor, action, subject, before IS NULL, after IS NULL, request_id FROM audit_log";

    fn author(request_id: &str) -> Author<'_> {
        Author {
            actor: "admin_token",
            request_id,
        }
    }

    fn pool() -> NativeDatabase {
        let database = NativeDatabase::migrated();
        database.run("INSERT INTO api_keys (id, api_key, name, consecutive_failures) VALUES (1, 'fake-secret', 'old', 4)");
        database
    }

    fn change(database: &NativeDatabase, change: &KeyChange, request: &str) -> bool {
        block_on(change_key(
            database,
            &vault(0, 0),
            KeyId(1),
            change,
            author(request),
            NOW,
        ))
        .unwrap()
    }

    #[test]
    fn each_change_is_made_and_audited() {
        let database = pool();
        let edit = KeyChange::Edit(vec![
            KeyField::Name(Some("new".to_owned())),
            KeyField::Priority(7),
            KeyField::Project(Some("projects/1".to_owned())),
            KeyField::Tags(vec!["a".to_owned(), "b".to_owned()]),
            KeyField::Note(None),
        ]);
        let disable = KeyChange::Disable {
            reason: "too expensive".to_owned(),
        };
        for (step, expected) in [
            (edit, r#"new|7|1|NULL|NULL|projects/1|["a","b"]|NULL"#),
            (
                disable,
                r#"new|7|0|NULL|too expensive|projects/1|["a","b"]|NULL"#,
            ),
            (
                KeyChange::Pause(NOW),
                r#"new|7|2|2027-01-15T08:00:00.000Z|NULL|projects/1|["a","b"]|NULL"#,
            ),
            (
                KeyChange::Enable,
                r#"new|7|1|NULL|NULL|projects/1|["a","b"]|NULL"#,
            ),
        ] {
            // A statement may run twice.
            for _ in 0..2 {
                assert!(change(&database, &step, step.action()));
            }
            assert_eq!(database.query(KEY), [expected]);
        }
        assert!(change(&database, &KeyChange::Delete, "delete_key"));
        assert!(!change(&database, &KeyChange::Delete, "again"));
        assert_eq!(database.query(KEY), [""; 0]);
        let actions = [
            "edit_key",
            "disable_key",
            "pause_key",
            "enable_key",
            "delete_key",
        ];
        let expected = actions.map(|action| {
            let is_deleted = u8::from(action == "delete_key");
            format!("admin_token|{action}|key:1|0|{is_deleted}|{action}")
        });
        assert_eq!(database.query(AUDIT), expected);
        let audit = database
            .query("SELECT before, after FROM audit_log")
            .concat();
        assert!(audit.contains(r#""tags":["a","b"]"#), "{audit}");
        assert!(!audit.contains("fake-secret"), "{audit}");
    }

    #[test]
    fn a_change_by_an_operator_counts_as_an_edit() {
        let database = pool();
        change(&database, &KeyChange::Pause(NOW), "a");
        assert_eq!(
            database.query("SELECT edits, pool_moves, paused_until FROM api_keys"),
            ["1|0|NULL"]
        );
    }
}
