//! Learned limits, usage, and the pool's retry budget.

use super::{Database, Result, placeholders, quota_scope_values, values, write, write_once};
use crate::pool::{
    CLOCK_TOLERANCE_MS, HOUR_MS, Limit, MINUTE_MS, Moment, QuotaScope, RetryBudget, Unit,
    UnixMillis, Window, before_minute, slot_start,
};

const LEARN: &str = "INSERT INTO limits (scope, model, unit, per, learned, learned_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (scope, model, unit, per) DO UPDATE SET learned = excluded.learned, learned_at = excluded.learned_at
WHERE learned_at IS NULL OR learned_at <= excluded.learned_at OR learned_at > ?7";
const SETTLE: &str = "UPDATE budget_usage SET input_tokens = max(0, input_tokens + ?5)
WHERE scope = ?1 AND model = ?2 AND ((per = 'minute' AND began_at = ?3) OR (per = 'day' AND began_at = ?4))";
/// Deletes usage that is out of date, or that a fast clock wrote.
const DELETE_USAGE: &str = "DELETE FROM budget_usage
WHERE (per = 'day' AND (began_at < ?1 OR began_at > ?3)) OR (per = 'minute' AND (began_at < ?2 OR began_at > ?3))";
/// Calls other than retries are all calls since the minute's first retry, minus the retries. The
/// log numbers calls as they end, and its highest id is found without a scan.
const TAKE_RETRY: &str = "INSERT INTO retry_budget (minute, calls_before, retries)
VALUES (?1, (SELECT coalesce(max(id), 0) FROM api_call_logs), 1)
ON CONFLICT (minute) DO UPDATE SET retries = retries + 1
WHERE retries < ?2 + max(0, (SELECT coalesce(max(id), 0) FROM api_call_logs) - calls_before - retries) * ?3 / 100
RETURNING 1";
const DELETE_RETRIES: &str = "DELETE FROM retry_budget WHERE minute < ?1 OR minute > ?2";

const DAY_MS: i64 = 24 * HOUR_MS;

/// A quota scope whose budgets a call counts towards, with its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The quota scope.
    pub scope: QuotaScope,
    /// The known limits.
    pub limits: Vec<Limit>,
}

impl Reservation {
    fn allowed(&self, unit: Unit, window: Window) -> u64 {
        self.limits
            .iter()
            .filter(|limit| (limit.unit, limit.window) == (unit, window))
            .map(|limit| limit.value)
            .min()
            .unwrap_or(u64::MAX)
    }
}

/// Stores a limit that an error stated. The latest one applies.
///
/// # Errors
/// The database refused.
pub async fn learn_limit(
    database: &impl Database,
    scope: &QuotaScope,
    limit: Limit,
    now: UnixMillis,
) -> Result<()> {
    let (unit, window) = (limit.unit.name(), limit.window.name());
    let mut parameters = quota_scope_values(scope);
    parameters.extend(values![unit, window, limit.value, now]);
    parameters.push(now.plus(CLOCK_TOLERANCE_MS).into());
    write(database, LEARN, parameters).await.map(drop)
}

/// Stores the fields that a model is known not to support.
///
/// # Errors
/// The database refused.
pub async fn learn_unsupported(
    database: &impl Database,
    model: &str,
    fields: &[String],
    now: UnixMillis,
) -> Result<()> {
    let mut parameters = values![model, now];
    parameters.extend(fields.iter().map(|field| field.as_str().into()));
    let rows: Vec<String> = (3..=parameters.len())
        .map(|index| format!("(?1, ?{index}, ?2)"))
        .collect();
    let insert = format!(
        "INSERT INTO unsupported_fields (model, field, learned_at) VALUES {}
ON CONFLICT (model, field) DO UPDATE SET learned_at = excluded.learned_at",
        rows.join(", ")
    );
    write(database, &insert, parameters).await.map(drop)
}

/// Deletes what was learned about a model: its unsupported fields, and whether it requires thought
/// signatures. The pool learns both again when needed.
///
/// # Errors
/// The database refused.
pub async fn forget_learned(database: &impl Database, model: &str) -> Result<()> {
    for table in ["unsupported_fields", "signed_models"] {
        let delete = format!("DELETE FROM {table} WHERE model = ?1");
        write(database, &delete, values![model]).await?;
    }
    Ok(())
}

/// Counts a call towards all of these budgets before it is sent. If one of them is used up, counts
/// nothing and returns `false`: the call must not be sent. This is one statement, so that no two
/// instances take the last call of a budget.
///
/// # Errors
/// The database refused.
pub async fn reserve(
    database: &impl Database,
    reservations: &[Reservation],
    input_tokens: u64,
    now: &Moment,
) -> Result<bool> {
    let (at, day) = (now.at(), now.day_start());
    let windows = [
        (Window::Minute, slot_start(at), before_minute(at)),
        (Window::Day, day, day.plus(-1)),
    ];
    let mut parameters = values![input_tokens, at.plus(CLOCK_TOLERANCE_MS)];
    let mut rows = Vec::with_capacity(reservations.len() * windows.len());
    for reservation in reservations {
        for (window, began_at, after) in windows {
            rows.push(placeholders(parameters.len(), 7));
            parameters.extend(quota_scope_values(&reservation.scope));
            let requests = reservation.allowed(Unit::Requests, window);
            let tokens = reservation.allowed(Unit::InputTokens, window);
            parameters.extend(values![window.name(), began_at, after, requests, tokens]);
        }
    }
    let reserve = format!(
        "WITH wanted (scope, model, per, began_at, after, requests, input_tokens) AS (VALUES {})
INSERT INTO budget_usage (scope, model, per, began_at, requests, input_tokens)
SELECT scope, model, per, began_at, 1, ?1 FROM wanted
WHERE NOT EXISTS (
    SELECT 1 FROM wanted AS w WHERE
        w.requests <= (SELECT coalesce(sum(u.requests), 0) FROM budget_usage AS u
            WHERE u.scope = w.scope AND u.model = w.model AND u.per = w.per AND u.began_at > w.after AND u.began_at <= ?2)
        OR w.input_tokens <= (SELECT coalesce(sum(u.input_tokens), 0) FROM budget_usage AS u
            WHERE u.scope = w.scope AND u.model = w.model AND u.per = w.per AND u.began_at > w.after AND u.began_at <= ?2)
)
ON CONFLICT (scope, model, per, began_at) DO UPDATE SET
    requests = requests + 1, input_tokens = input_tokens + excluded.input_tokens
RETURNING 1",
        rows.join(", ")
    );
    let counted = write_once(database, &reserve, parameters).await?;
    Ok(!counted.is_empty())
}

/// Corrects the input tokens that [`reserve`] counted for a call that began at `began_at`, by the
/// difference.
///
/// # Errors
/// The database refused.
pub async fn settle(
    database: &impl Database,
    scope: &QuotaScope,
    began_at: &Moment,
    difference: i64,
) -> Result<()> {
    let mut parameters = quota_scope_values(scope);
    let slot = slot_start(began_at.at());
    parameters.extend(values![slot, began_at.day_start(), difference]);
    write_once(database, SETTLE, parameters).await.map(drop)
}

/// Takes one retry from the pool's budget for this minute; `false` if none is left.
///
/// # Errors
/// The database refused.
pub async fn take_retry(
    database: &impl Database,
    budget: RetryBudget,
    now: UnixMillis,
) -> Result<bool> {
    let minute = now.0.div_euclid(MINUTE_MS);
    let parameters = values![minute, budget.floor, budget.percent];
    let taken = write_once(database, TAKE_RETRY, parameters).await?;
    Ok(!taken.is_empty())
}

/// Deletes usage and retries that are too old to count.
///
/// # Errors
/// The database refused.
pub(super) async fn delete_old_usage(database: &impl Database, now: UnixMillis) -> Result<()> {
    let (day, minute) = (now.plus(-2 * DAY_MS), now.plus(-2 * MINUTE_MS));
    let parameters = values![day, minute, now.plus(CLOCK_TOLERANCE_MS)];
    write(database, DELETE_USAGE, parameters).await?;
    let minute = now.0.div_euclid(MINUTE_MS);
    let parameters = values![minute - 10, minute + 1];
    write(database, DELETE_RETRIES, parameters).await.map(drop)
}

#[cfg(test)]
mod tests;
