//! Reads the pool: keys, cool-downs, limits and usage.

use super::cool_downs::{self, IS_RELEVANT, relevance_parameters};
use super::key_sample::{KeysRead, pool_keys};
use super::key_vault::KeyVault;
use super::{Database, DatabaseError, Result, Row, Value, number, read, text};
use crate::pool::{
    KeyId, Limit, Moment, QuotaScope, Scope, Snapshot, Unit, UnixMillis, Used, Window,
    before_minute,
};

/// Selects cool-downs, limits, usage, learned facts about models, fault drills, and an envelope that
/// `vault` cannot open, in one statement; the first column is the kind of row. `?3` is the latest credible
/// time.
fn circumstances(vault: &KeyVault) -> String {
    format!(
        "SELECT 'cool_down', {scope}, {model}, {cool_down} FROM cool_downs
    WHERE {IS_RELEVANT}
UNION ALL SELECT 'limit', {scope}, {model}, {unit}, {per}, {learned}, {preset}, {learned_at} FROM limits
UNION ALL SELECT 'unsupported', '', {model}, {field}, NULL, NULL, NULL, NULL FROM unsupported_fields
    WHERE learned_at >= ?6 AND learned_at <= ?3
UNION ALL SELECT 'signed', '', {model}, NULL, NULL, NULL, NULL, NULL FROM signed_models
    WHERE learned_at >= ?6 AND learned_at <= ?3
UNION ALL SELECT 'usage', {scope}, {model}, {per}, {began_at}, {requests}, {input_tokens}, NULL FROM budget_usage
    WHERE ((per = 'day' AND began_at >= ?4) OR (per = 'minute' AND began_at >= ?5)) AND began_at <= ?3
UNION ALL SELECT 'drill', NULL, NULL, api_key_id, NULL, NULL, NULL, NULL FROM fault_drills WHERE calls_left > 0
UNION ALL SELECT 'foreign', {foreign}, NULL, NULL, NULL, NULL, NULL, NULL",
        scope = text("scope"),
        model = text("model"),
        cool_down = cool_downs::columns(),
        unit = text("unit"),
        per = text("per"),
        learned = number("learned"),
        preset = "iif(typeof(preset) = 'text', CAST(preset AS BLOB), preset)",
        learned_at = text("learned_at"),
        field = text("field"),
        began_at = text("began_at"),
        requests = number("requests"),
        input_tokens = number("input_tokens"),
        foreign = text(&vault.foreign_envelope())
    )
}

/// How long a learned limit or an unsupported field is trusted, in milliseconds: 7 days. The pool
/// stays below a limit and so does not notice when it is raised. Relearning it from time to time
/// costs one refused call.
pub(super) const LEARNED_TTL_MS: i64 = 7 * 24 * 3_600_000;

/// The most characters of a text in the description of an invalid row.
const MAX_DESCRIBED_CHARS: usize = 64;

/// The pool as it was read.
#[derive(Debug)]
pub struct PoolRead {
    /// The pool's current state.
    pub snapshot: Snapshot,
    /// Whether it contains all keys.
    pub is_whole: bool,
    /// Broken rows, which are ignored: an unknown status, a key that no header can carry or whose
    /// envelope was tampered with, or a pause whose end cannot be read.
    pub broken: Vec<KeyId>,
    /// Unreadable columns of other rows, which are not UTF-8 or far too long. Each counts as empty.
    pub malformed: Vec<(KeyId, &'static str)>,
    /// Descriptions of invalid rows in `limits`.
    pub invalid_limits: Vec<String>,
}

/// Reads the pool, or a sample of a large one. `sample_by` is a random number from 0 to 1 that
/// selects the sample; `None` reads all keys.
///
/// # Errors
/// A table cannot be read, or has keys that are sealed with an unknown encryption key.
pub async fn read_pool(
    database: &impl Database,
    vault: &KeyVault,
    sample_by: Option<f64>,
    now: UnixMillis,
) -> Result<PoolRead> {
    let KeysRead {
        keys,
        is_whole,
        broken,
        malformed,
    } = pool_keys(database, vault, sample_by, now).await?;
    let mut snapshot = Snapshot::new(keys);
    let moment = Moment::new(now);
    let mut parameters = Vec::from(relevance_parameters(now));
    let since = [
        moment.day_start(),
        before_minute(now),
        now.plus(-LEARNED_TTL_MS),
    ];
    parameters.extend(since.map(Value::from));
    let rows = read(database, &circumstances(vault), parameters).await?;
    let mut invalid_limits = Vec::new();
    for row in &rows {
        if row.text(0) == Some("foreign") {
            check_envelope(row, 1)?;
            continue;
        }
        // Unreadable rows are ignored; the pool itself writes none.
        let applied = apply_row(&mut snapshot, row, now);
        if applied.is_none() && row.text(0) == Some("limit") {
            invalid_limits.push(described_limit(row));
        }
    }
    Ok(PoolRead {
        snapshot,
        is_whole,
        broken,
        malformed,
        invalid_limits,
    })
}

/// # Errors
/// The column has an envelope that the vault cannot open.
pub(super) fn check_envelope(row: &Row, column: usize) -> Result<()> {
    match row.lossy_text(column) {
        Some(envelope) => Err(DatabaseError::wrong_encryption_key(&envelope)),
        None => Ok(()),
    }
}

/// Describes an invalid row of `limits`, as an operator wrote it.
fn described_limit(row: &Row) -> String {
    let columns = [(1, "scope"), (2, "model"), (3, "unit"), (4, "per")];
    let texts = columns.map(|(column, name)| {
        let text = row.lossy_text(column).unwrap_or_default();
        let text: String = text.chars().take(MAX_DESCRIBED_CHARS).collect();
        format!("{name} {text:?}")
    });
    texts.join(", ")
}

fn apply_row(snapshot: &mut Snapshot, row: &Row, now: UnixMillis) -> Option<()> {
    if row.text(0)? == "unsupported" {
        snapshot.add_unsupported(row.text(2)?, row.text(3)?);
        return Some(());
    }
    if row.text(0)? == "signed" {
        snapshot.add_signed_model(row.text(2)?);
        return Some(());
    }
    if row.text(0)? == "drill" {
        snapshot.add_drill(KeyId(row.integer(3)?));
        return Some(());
    }
    if row.is_malformed(2) {
        // An unreadable model must not turn into all models.
        return None;
    }
    let quota_scope = QuotaScope {
        scope: Scope::parse(row.text(1)?)?,
        model: row
            .text(2)
            .filter(|model| !model.is_empty())
            .map(str::to_owned),
    };
    match row.text(0)? {
        "cool_down" => {
            let cool_down = cool_downs::cool_down(row, 3)?;
            if !cool_down.is_spent(now) {
                snapshot.set_cool_down(&quota_scope, cool_down);
            }
        }
        "limit" => return apply_limit(snapshot, row, &quota_scope, now),
        _ => {
            let count = |column| u64::try_from(row.integer(column)?).ok();
            snapshot.add_used(
                &quota_scope,
                Window::from_name(row.text(3)?)?,
                UnixMillis::parse(row.text(4)?)?,
                Used {
                    requests: count(5)?,
                    input_tokens: count(6)?,
                },
            );
        }
    }
    Some(())
}

fn apply_limit(
    snapshot: &mut Snapshot,
    row: &Row,
    quota_scope: &QuotaScope,
    now: UnixMillis,
) -> Option<()> {
    let unit = Unit::from_name(row.text(3)?)?;
    let window = Window::from_name(row.text(4)?)?;
    let learned_at = row.text(7).and_then(UnixMillis::parse);
    let learned = row.integer(5).filter(|_| {
        learned_at.is_some_and(|at| now.since(at) < LEARNED_TTL_MS && !at.is_ahead_of(now))
    });
    let preset = row.integer(6);
    if preset.is_none() && row.0.get(6) != Some(&Value::Null) {
        return None;
    }
    for value in [learned, preset].into_iter().flatten() {
        let limit = Limit {
            unit,
            window,
            value: u64::try_from(value).unwrap_or_default(),
        };
        snapshot.add_limit(quota_scope, limit);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, NativeDatabase, vault};
    use super::*;
    use crate::pool::{Balance, KeyState, KeyStatus, Outcome, Reason, Standing};
    use futures::executor::block_on;

    fn read(database: &NativeDatabase) -> PoolRead {
        block_on(read_pool(database, &vault(0, 0), None, NOW)).unwrap()
    }

    #[test]
    fn reads_keys_with_their_state_and_reports_broken_rows() {
        let database = NativeDatabase::migrated();
        database.run(
            "INSERT INTO api_keys (id, api_key, status, disabled_until, last_used_at, priority, consecutive_failures, project, last_outcome, last_outcome_at) VALUES
             (1, 'fake-a', 1, NULL, NULL, 100, 0, NULL, NULL, NULL),
             (2, 'fake-b', 2, '2027-01-15T08:00:00.000Z', '2027-01-15 07:30:00', 50, 2, 'projects/7', 'project_refused', '2027-01-15T07:31:00.000Z'),
             (3, 'fake-c', 0, NULL, NULL, 100, 5, '', NULL, NULL),
             (4, 'fake d', 1, NULL, NULL, 100, 0, NULL, NULL, NULL),
             (5, 'fake-e', 7, NULL, NULL, 100, 0, NULL, NULL, NULL),
             (6, 'fake-f', 2, NULL, NULL, 100, 2, NULL, NULL, NULL),
             (7, 'fake-g', 2, 'soon', NULL, 100, 2, NULL, NULL, NULL)",
        );
        let PoolRead {
            snapshot, broken, ..
        } = read(&database);
        assert!(snapshot.keys().iter().map(|key| key.id.0).eq([1, 2, 3]));
        assert_eq!(broken, [4, 5, 6, 7].map(KeyId));
        let cooling = snapshot.key(KeyId(2)).unwrap();
        assert_eq!(cooling.key.expose(), "fake-b");
        assert_eq!(cooling.priority, 50);
        let state = KeyState {
            status: KeyStatus::Cooling,
            consecutive_failures: 2,
            disabled_until: Some(NOW),
        };
        assert_eq!(cooling.state, state);
        assert_eq!(cooling.project.as_deref(), Some("projects/7"));
        let at = UnixMillis::parse("2027-01-15T07:31:00.000Z");
        assert_eq!(cooling.last_outcome, Some(Outcome::ProjectRefused).zip(at));
        assert_eq!(snapshot.key(KeyId(3)).unwrap().project, None);
    }

    #[test]
    fn an_invalid_limit_is_reported_and_ignored() {
        let database = NativeDatabase::migrated();
        database.run(
            "INSERT INTO api_keys (id, api_key) VALUES (1, 'fake-1');
             INSERT INTO limits (scope, model, unit, per, preset) VALUES ('key:1', 'm', 'requests', 'day', 5),
                 ('key1', 'm', 'requests', 'day', 1), ('key:1', 'm', 'request', 'day', 1), ('key:1', 'm', 'requests', 'hour', 1),
                 ('key:1', 'a', 'requests', 'day', '1x'), ('key:1', CAST(x'ff' AS TEXT), 'requests', 'day', 1),
                 ('key:1', 'b', 'requests', 'day', NULL)",
        );
        let read = read(&database);
        let key = &read.snapshot.keys()[0];
        let moment = Moment::new(NOW);
        let limits = |model| read.snapshot.limits(key, model, &moment).count();
        assert_eq!(["m", "a", "b", "other"].map(limits), [1, 0, 0, 0]);
        let mut unread = read.invalid_limits;
        unread.sort();
        assert_eq!(unread.len(), 5, "{unread:#?}");
        let first = r#"scope "key1", model "m", unit "requests", per "day""#;
        assert_eq!(unread[0], first);
    }

    #[test]
    fn reads_cool_downs_limits_and_usage() {
        let database = NativeDatabase::migrated();
        database.run(
            "INSERT INTO api_keys (id, api_key) VALUES (1, 'fake-a'), (2, 'fake-b');
             INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
             ('key:1', 'm', 'quota_per_day', '2027-01-15T07:00:00.000Z', '2027-01-15T08:00:00.001Z', 1),
             ('key:2', 'm', 'quota_per_day', '2027-01-15T07:00:00.000Z', '2027-01-15T08:00:00.000Z', 1),
             ('key:2', '', 'nonsense', '2027-01-15T07:00:00.000Z', '2027-01-15T09:00:00.000Z', 1);
             INSERT INTO limits (scope, model, unit, per, learned, learned_at, preset) VALUES
             ('key:2', 'm', 'requests', 'day', 20, '2027-01-14T08:00:00.000Z', NULL),
             ('key:2', '', 'requests', 'day', NULL, NULL, 7),
             ('key:2', 'm', 'input_tokens', 'minute', 100, '2027-01-01T08:00:00.000Z', 500);
             INSERT INTO budget_usage (scope, model, per, began_at, requests, input_tokens) VALUES
             ('key:2', 'm', 'day', '2027-01-15T08:00:00.000Z', 5, 50),
             ('key:2', 'm', 'day', '2027-01-14T08:00:00.000Z', 20, 900),
             ('key:2', 'm', 'minute', '2027-01-15T07:59:50.000Z', 2, 20),
             ('key:2', 'm', 'minute', '2027-01-15T07:58:40.000Z', 3, 30)",
        );
        let snapshot = read(&database).snapshot;
        let now = Moment::new(NOW);
        let [first, second] = [1, 2].map(|id| snapshot.key(KeyId(id)).unwrap());
        let cooling = Standing::Ineligible {
            reason: Reason::Cooling(Outcome::QuotaPerDay),
            until: Some(NOW.plus(1)),
        };
        assert_eq!(snapshot.standing(first, "m", &now), cooling);
        assert!(snapshot.standing(second, "m", &now).is_eligible());
        let balances = snapshot.balances(second, "m", &now).into_iter();
        let mut balances: Vec<String> = balances
            .map(|(scope, Balance { limit, used, .. })| {
                let (model, value) = (scope.model, limit.value);
                format!(
                    "{model:?} {:?} {:?}: {used} of {value}",
                    limit.unit, limit.window
                )
            })
            .collect();
        balances.sort();
        // A limit that was learned two weeks ago is ignored.
        let expected = [
            "None Requests Day: 0 of 7",
            r#"Some("m") InputTokens Minute: 20 of 500"#,
            r#"Some("m") Requests Day: 5 of 20"#,
        ];
        assert_eq!(balances, expected);
    }
}
