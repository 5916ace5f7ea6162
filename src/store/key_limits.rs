//! The limits of a key and its project: as operators have preset them, and as errors stated them.

use super::author::{Author, Extra};
use super::key_admin::list_of;
use super::{Database, Result, Row, Value, json_of, number, read, text, values, write};
use crate::pool::{KeyId, Limit, Moment, QuotaScope, Scope, before_minute};

/// A limit, and how much of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLimit {
    /// Such as `key:7` or `project:projects/123`.
    pub scope: Option<String>,
    /// The model; `None` for all together.
    pub model: Option<String>,
    /// What it counts, such as `requests`.
    pub unit: Option<String>,
    /// The period: `minute` or `day`.
    pub per: Option<String>,
    /// What an operator has set.
    pub preset: Option<i64>,
    /// What an error of the upstream stated.
    pub learned: Option<i64>,
    /// When it did.
    pub learned_at: Option<String>,
    /// How much is used in the current period; `None` if that is not counted.
    pub used: Option<i64>,
}

/// The limits of these scopes.
///
/// # Errors
/// The tables cannot be read.
pub async fn key_limits(
    database: &impl Database,
    scopes: &[Scope],
    now: &Moment,
) -> Result<Vec<KeyLimit>> {
    let select = format!(
        "SELECT {scope}, {model}, {unit}, {per}, {preset}, {learned}, {learned_at},
    CASE WHEN unit IN ('requests', 'input_tokens') THEN
        (SELECT total(iif(unit = 'requests', requests, input_tokens)) FROM budget_usage AS usage
        WHERE usage.scope = limits.scope AND usage.model = limits.model AND usage.per = limits.per
            AND began_at > iif(limits.per = 'day', ?2, ?3) AND began_at <= ?4) END
FROM limits WHERE scope IN (SELECT value FROM json_each(?1)) ORDER BY scope, model, unit, per",
        scope = text("scope"),
        model = text("model"),
        unit = text("unit"),
        per = text("per"),
        preset = number("preset"),
        learned = number("learned"),
        learned_at = text("learned_at")
    );
    let (at, day) = (now.at(), now.day_start().plus(-1));
    let parameters = values![json_of_scopes(scopes), day, before_minute(at), at];
    let rows = read(database, &select, parameters).await?;
    Ok(rows.iter().map(key_limit).collect())
}

fn key_limit(row: &Row) -> KeyLimit {
    let text = |column| row.lossy_text(column);
    KeyLimit {
        scope: text(0),
        model: text(1).filter(|model| !model.is_empty()),
        unit: text(2),
        per: text(3),
        preset: row.integer(4),
        learned: row.integer(5),
        learned_at: text(6),
        used: row.integer(7),
    }
}

/// Replaces the presets of a key, whose scopes these are.
///
/// # Errors
/// The tables cannot be changed.
pub async fn set_presets(
    database: &impl Database,
    id: KeyId,
    scopes: &[Scope],
    presets: &[(QuotaScope, Limit)],
    author: Author<'_>,
    now: &Moment,
) -> Result<()> {
    let rows: Vec<Vec<Value>> = presets
        .iter()
        .map(|(QuotaScope { scope, model }, limit)| {
            values![
                scope.to_string(),
                model.as_deref().unwrap_or_default(),
                limit.unit.name(),
                limit.window.name(),
                limit.value,
            ]
        })
        .collect();
    let insert = "INSERT INTO preset_limits (api_key_id, scopes, presets, at, changed_by) VALUES (?1, ?2, ?3, ?4, ?5)";
    let parameters = values![
        id,
        json_of_scopes(scopes),
        list_of(&rows)?,
        now.at(),
        author.changes("set_limits", Extra::None),
    ];
    write(database, insert, parameters).await.map(drop)
}

fn json_of_scopes(scopes: &[Scope]) -> Value {
    let scopes: Vec<String> = scopes.iter().map(Scope::to_string).collect();
    json_of(&scopes)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{AUTHOR, NOW, NativeDatabase};
    use super::*;
    use crate::pool::{Unit, Window};
    use futures::executor::block_on;

    fn preset(scope: &Scope, model: Option<&str>, value: u64) -> (QuotaScope, Limit) {
        let scope = QuotaScope {
            scope: scope.clone(),
            model: model.map(str::to_owned),
        };
        let limit = Limit {
            unit: Unit::Requests,
            window: Window::Day,
            value,
        };
        (scope, limit)
    }

    #[test]
    fn presets_are_replaced_and_what_was_learned_stays() {
        let database = NativeDatabase::with_keys(1);
        let scopes = [Scope::Key(KeyId(1)), Scope::Project("p".to_owned())];
        let now = Moment::new(NOW);
        database.run(
            "INSERT INTO limits (scope, model, unit, per, learned, learned_at) VALUES
             ('key:1', 'm', 'requests', 'day', 20, '2027-01-14T08:00:00.000Z'), ('key:2', '', 'requests', 'day', 1, '');
             INSERT INTO budget_usage (scope, model, per, began_at, requests, input_tokens) VALUES
             ('key:1', 'm', 'day', '2027-01-15T08:00:00.000Z', 5, 50)",
        );
        let [key, project] = &scopes;
        let both = [preset(key, Some("m"), 10), preset(project, None, 7)];
        for presets in [&both[..], &both, &both[..1], &[]] {
            let set = set_presets(&database, KeyId(1), &scopes, presets, AUTHOR, &now);
            block_on(set).unwrap();
            let limits = block_on(key_limits(&database, &scopes, &now)).unwrap();
            let of_key = &limits[0];
            let expected = (presets.first().map(|_| 10), Some(20), Some(5));
            assert_eq!((of_key.preset, of_key.learned, of_key.used), expected);
            let of_project = limits.get(1).map(|limit| (limit.preset, limit.used));
            assert_eq!(of_project, presets.get(1).map(|_| (Some(7), Some(0))));
        }
        let audit = "SELECT action, subject, before, after FROM audit_log";
        let entry = r#"set_limits|key:1|{"limits":[]}|{"limits":[["key:1","m","requests","day",10],["project:p","","requests","day",7]]}"#;
        assert_eq!(database.query(audit), [entry], "one entry per request");
    }
}
