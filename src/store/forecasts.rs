//! Reads the forecasts for the limits of a day, in one statement.

use super::read_pool::LEARNED_TTL_MS;
use super::{Database, Result, Row, number, read, text, values};
use crate::pool::{
    Balance, CLOCK_TOLERANCE_MS, Forecast, Limit, Moment, QuotaScope, Scope, Unit, Window,
    pace_start,
};

/// The forecasts for all limits of a day that keys or their projects have, the first to end first.
///
/// # Errors
/// A table cannot be read.
pub async fn forecasts(database: &impl Database, now: &Moment) -> Result<Vec<Forecast>> {
    // total() rather than sum(), which fails where integers overflow. Limits outlive deleted keys.
    // Budgets reset at the same time, so the order is that in which they end.
    let select = format!(
        "WITH recent (key, project, model, calls, input_tokens) AS (
    SELECT 'key:' || k.id, 'project:' || k.project, h.model, total(h.calls), total(h.input_tokens)
    FROM api_call_hours AS h JOIN api_keys AS k ON k.id = h.api_key_id
    WHERE h.hour >= ?1 AND h.hour <= ?2 GROUP BY k.id, h.model),
scoped (scope, model, calls, input_tokens) AS (
    SELECT key, model, calls, input_tokens FROM recent
    UNION ALL SELECT project, model, calls, input_tokens FROM recent),
used (scope, model, calls, input_tokens) AS (
    SELECT scope, model, total(calls), total(input_tokens) FROM scoped WHERE model <> '' GROUP BY scope, model
    UNION ALL SELECT scope, '', total(calls), total(input_tokens) FROM scoped GROUP BY scope),
known (scope, model, unit, preset, learned) AS (
    SELECT scope, model, unit, {preset}, iif(learned_at > ?3 AND learned_at <= ?4, {learned}, NULL)
    FROM limits WHERE per = 'day' AND unit IN ('requests', 'input_tokens')
        AND scope IN (SELECT 'key:' || id FROM api_keys UNION ALL SELECT 'project:' || project FROM api_keys)),
budgets (scope, model, unit, value, used, recent) AS (
    SELECT l.scope, l.model, l.unit, min(coalesce(preset, learned), coalesce(learned, preset)),
        coalesce(iif(l.unit = 'requests', b.requests, b.input_tokens), 0),
        coalesce(iif(l.unit = 'requests', u.calls, u.input_tokens), 0)
    FROM known AS l
    LEFT JOIN budget_usage AS b ON b.scope = l.scope AND b.model = l.model AND b.per = 'day' AND b.began_at = ?5
    LEFT JOIN used AS u ON u.scope = l.scope AND u.model = l.model)
SELECT {scope}, {model}, {unit}, value, used, recent,
    (SELECT {project} FROM api_keys WHERE id = CAST(substr(scope, 5) AS INTEGER) AND scope = 'key:' || id)
FROM budgets WHERE value IS NOT NULL
ORDER BY value <= 0, iif(used >= value, 0, (value - used) / recent) NULLS LAST, scope, model, unit",
        scope = text("scope"),
        model = text("model"),
        unit = text("unit"),
        project = text("project"),
        preset = number("preset"),
        learned = number("learned"),
    );
    let at = now.at();
    let mut parameters = values![pace_start(at), at, at.plus(-LEARNED_TTL_MS)];
    parameters.extend(values![at.plus(CLOCK_TOLERANCE_MS), now.day_start()]);
    let rows = read(database, &select, parameters).await?;
    Ok(rows.iter().filter_map(|row| of_row(row, now)).collect())
}

fn of_row(row: &Row, now: &Moment) -> Option<Forecast> {
    if row.is_malformed(1) {
        // An unreadable model must not turn into all models.
        return None;
    }
    let count = |column| Some(u64::try_from(row.integer(column)?).unwrap_or(0));
    let value = count(3)?;
    let model = row.text(1).filter(|model| !model.is_empty());
    Some(Forecast {
        quota_scope: QuotaScope {
            scope: Scope::parse(row.text(0)?)?,
            model: model.map(str::to_owned),
        },
        project_of_key: row.text(6).map(str::to_owned),
        balance: Balance {
            limit: Limit {
                unit: Unit::from_name(row.text(2)?)?,
                window: Window::Day,
                value,
            },
            used: count(4)?,
            resets_at: (value > 0).then(|| now.next_day()),
        },
        recent: count(5)?,
        at: now.at(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, NativeDatabase, vault};
    use super::*;
    use crate::store::read_pool;
    use futures::executor::block_on;

    fn database() -> NativeDatabase {
        let database = NativeDatabase::with_keys(3);
        database.run(
            "UPDATE api_keys SET project = 'p' WHERE id > 1;
             INSERT INTO api_call_logs (api_key_id, success, model, outcome, input_tokens, called_at) VALUES
             (1, 1, 'm', 'success', 5, '2027-01-15T08:00:00.000Z'),
             (1, 0, 'm', 'quota_per_day', NULL, '2027-01-15T06:59:59.999Z'),
             (1, 1, NULL, 'success', 70, '2027-01-15T06:00:00.000Z'),
             (2, 1, 'm', 'success', 900, '2027-01-15T06:00:00.000Z'),
             (2, 1, 'm', 'success', 1000, '2027-01-15T05:59:59.999Z'),
             (2, 1, 'm', 'success', 1000, '2027-01-15T09:00:00.000Z'),
             (3, 1, 'n', 'success', 8, '2027-01-15T08:00:00.000Z'),
             (9, 1, 'm', 'success', 1000, '2027-01-15T08:00:00.000Z');
             INSERT INTO limits (scope, model, unit, per, preset, learned, learned_at) VALUES
             ('key:1', 'm', 'requests', 'day', 10, NULL, NULL),
             ('key:1', '', 'requests', 'day', NULL, 20, '2027-01-14T08:00:00.000Z'),
             ('key:1', '', 'input_tokens', 'day', 90, 80, '2027-01-14T08:00:00.000Z'),
             ('key:2', 'm', 'input_tokens', 'day', 70, 90, '2027-01-14T08:00:00.000Z'),
             ('key:2', '', 'requests', 'day', 30, 9, '2027-01-01T08:00:00.000Z'),
             ('project:p', '', 'requests', 'day', 0, NULL, NULL),
             ('project:p', 'n', 'input_tokens', 'day', 40, NULL, NULL),
             ('key:3', '', 'requests', 'day', NULL, 9, '2027-01-01T08:00:00.000Z'),
             ('key:3', 'm', 'requests', 'minute', 9, NULL, NULL),
             ('key:3', 'm', 'texts', 'day', 9, NULL, NULL),
             ('key:9', 'm', 'requests', 'day', 9, NULL, NULL);
             INSERT INTO budget_usage (scope, model, per, began_at, requests, input_tokens) VALUES
             ('key:1', 'm', 'day', '2027-01-15T08:00:00.000Z', 7, 0),
             ('key:1', '', 'day', '2027-01-15T08:00:00.000Z', 8, 75),
             ('key:1', '', 'day', '2027-01-14T08:00:00.000Z', 9, 99),
             ('key:2', '', 'minute', '2027-01-15T08:00:00.000Z', 9, 99)",
        );
        database
    }

    #[test]
    fn each_limit_of_a_day_is_read_with_its_use() {
        let forecasts = block_on(forecasts(&database(), &Moment::new(NOW))).unwrap();
        let projects: Vec<_> = forecasts
            .iter()
            .filter_map(|it| it.project_of_key.as_deref())
            .collect();
        assert_eq!(projects, ["p", "p"]);
        let found: Vec<String> = forecasts
            .into_iter()
            .map(|forecast| {
                let QuotaScope { scope, model } = forecast.quota_scope;
                let Balance { limit, used, .. } = forecast.balance;
                let (unit, value) = (limit.unit.name(), limit.value);
                let model = model.unwrap_or_default();
                format!(
                    "{scope} {model} {unit}: {used} of {value}, {}",
                    forecast.recent
                )
            })
            .collect();
        let expected = [
            "key:1  input_tokens: 75 of 80, 75",
            "key:2 m input_tokens: 0 of 70, 900",
            "key:1 m requests: 7 of 10, 2",
            "key:1  requests: 8 of 20, 3",
            "project:p n input_tokens: 0 of 40, 8",
            "key:2  requests: 0 of 30, 1",
            "project:p  requests: 0 of 0, 2",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn balances_are_those_of_the_snapshot() {
        let (database, now) = (database(), Moment::new(NOW));
        let pool = block_on(read_pool(&database, &vault(0, 0), None, NOW)).unwrap();
        let mut found = 0;
        let forecasts = block_on(forecasts(&database, &now)).unwrap();
        let ends = forecasts
            .iter()
            .map(|forecast| forecast.ends_at().map_or(i64::MAX, |at| at.0));
        assert!(ends.is_sorted(), "{forecasts:?}");
        for forecast in forecasts {
            let keys = pool.snapshot.keys().iter();
            let model = forecast.quota_scope.model.as_deref().unwrap_or("any");
            let mut balances = keys.flat_map(|key| pool.snapshot.balances(key, model, &now));
            let expected = (forecast.quota_scope.clone(), forecast.balance);
            assert!(balances.any(|balance| balance == expected), "{expected:?}");
            found += 1;
        }
        assert_eq!(found, 7);
    }
}
