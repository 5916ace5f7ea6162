//! Cool-downs and trials, safe under concurrent writes from many instances.

use super::{
    Database, Result, Row, Value, number, quota_scope_values, read, text, values, write, write_once,
};
use crate::pool::{
    CLOCK_TOLERANCE_MS, Claim, CoolDown, Incident, KeyStatus, LONGEST_TRIAL_LEASE_MS, Outcome,
    PAUSE_MS, QuotaScope, UnixMillis,
};

/// The columns that [`cool_down`] reads.
pub(super) fn columns() -> String {
    format!(
        "{}, {}, {}, {}, {}",
        text("reason"),
        text("began_at"),
        text("until"),
        number("strikes"),
        text("trial_until")
    )
}

fn select_cool_down() -> String {
    format!(
        "SELECT {} FROM cool_downs WHERE scope = ?1 AND model = ?2",
        columns()
    )
}

const IS_RESET: &str = "SELECT 1 FROM resets WHERE scope = ?1 AND reset_at > ?2 AND reset_at <= ?3";
/// Replaces the row that was read, one that a fast clock wrote, or none. Returns no row, and
/// changes nothing, if another instance was faster.
const SET: &str =
    "INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes, trial_until)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL)
ON CONFLICT (scope, model) DO UPDATE SET reason = excluded.reason, began_at = excluded.began_at,
    until = excluded.until, strikes = excluded.strikes, trial_until = NULL
WHERE (until = ?7 AND reason = ?8) OR began_at > ?9
RETURNING 1";
const CLEAR: &str = "DELETE FROM cool_downs WHERE scope = ?1 AND model = ?2 AND until <= ?3";
const CLAIM_SCOPE: &str = "UPDATE cool_downs SET trial_until = ?4
WHERE scope = ?1 AND model = ?2 AND until <= ?3 AND (coalesce(trial_until, '') <= ?3 OR trial_until > ?5)
RETURNING 1";
const RELEASE_KEY: &str =
    "UPDATE api_keys SET trial_until = NULL WHERE id = ?1 AND trial_until = ?2";
const RELEASE_SCOPE: &str = "UPDATE cool_downs SET trial_until = NULL
WHERE scope = ?1 AND model = ?2 AND trial_until = ?3";
const HAS_COOL_DOWN: &str = "SELECT 1 FROM cool_downs WHERE scope = ?1 AND model = ?2";

/// The end of a pause in the pool's own format, even if an operator wrote it in another time zone;
/// unchanged if it is not a time.
pub(super) const PAUSED_UNTIL: &str =
    "coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', trim(disabled_until)), disabled_until)";

/// A condition that holds for cool-downs that still matter, the SQL counterpart of
/// [`CoolDown::is_spent`]; takes [`relevance_parameters`].
pub(super) const IS_RELEVANT: &str = "began_at <= ?3
    AND (until > ?1 OR (until > ?2 AND reason NOT IN ('quota_per_minute', 'quota_per_day')))";

/// The parameters of [`IS_RELEVANT`].
pub(super) fn relevance_parameters(now: UnixMillis) -> [Value; 3] {
    [
        now,
        now.plus(-CoolDown::REMEMBERED_MS),
        now.plus(CLOCK_TOLERANCE_MS),
    ]
    .map(Value::from)
}

/// Rounds of compare-and-set. Another instance won each lost round, with an incident that is the
/// same as this one.
const MAX_ROUNDS: usize = 16;

/// Applies an incident to a quota scope, and returns the resulting cool-down. `known` is the
/// current one, as far as the caller knows.
///
/// # Errors
/// The database refused.
pub async fn cool(
    database: &impl Database,
    quota_scope: &QuotaScope,
    incident: &Incident,
    known: Option<CoolDown>,
) -> Result<Option<CoolDown>> {
    let horizon = incident.ended_at.plus(CLOCK_TOLERANCE_MS);
    let reset = values![quota_scope.scope.to_string(), incident.began_at, horizon];
    if !read(database, IS_RESET, reset).await?.is_empty() {
        // An operator has reset the key while the call was in flight.
        return Ok(None);
    }
    let mut before = known;
    for _ in 0..MAX_ROUNDS {
        let Some(after) = CoolDown::after(before.as_ref(), incident) else {
            return Ok(before);
        };
        let mut parameters = quota_scope_values(quota_scope);
        parameters.extend(values![
            after.reason.name(),
            after.began_at,
            after.until,
            i64::from(after.strikes),
            before.map(|before| before.until),
            before.map(|before| before.reason.name()),
            horizon,
        ]);
        if !write(database, SET, parameters).await?.is_empty() {
            return Ok(Some(after));
        }
        let parameters = quota_scope_values(quota_scope);
        let rows = read(database, &select_cool_down(), parameters).await?;
        before = rows.first().and_then(|row| cool_down(row, 0));
    }
    Ok(before)
}

/// A cool-down that is under way, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentCoolDown {
    /// `key:7` or `project:projects/123`.
    pub scope: String,
    /// `None` for all models.
    pub model: Option<String>,
    /// The outcome that caused it.
    pub reason: Option<String>,
    /// When it ends.
    pub until: Option<String>,
}

/// All cool-downs that are under way.
///
/// # Errors
/// The table cannot be read.
pub async fn current_cool_downs(
    database: &impl Database,
    now: UnixMillis,
) -> Result<Vec<CurrentCoolDown>> {
    let columns = ["scope", "model", "reason", "until"].map(text).join(", ");
    let select = format!(
        "SELECT {columns} FROM cool_downs WHERE until > ?1 AND began_at <= ?2 ORDER BY until"
    );
    let parameters = values![now, now.plus(CLOCK_TOLERANCE_MS)];
    let rows = read(database, &select, parameters).await?;
    let cool_down = |row: &Row| CurrentCoolDown {
        scope: row.lossy_text(0).unwrap_or_default(),
        model: row.lossy_text(1).filter(|model| !model.is_empty()),
        reason: row.lossy_text(2),
        until: row.lossy_text(3),
    };
    Ok(rows.iter().map(cool_down).collect())
}

/// Deletes a cool-down, with its strikes, that was over when a successful call began at `began_at`.
///
/// # Errors
/// The database refused.
pub async fn end_cool_down(
    database: &impl Database,
    quota_scope: &QuotaScope,
    began_at: UnixMillis,
) -> Result<()> {
    let mut parameters = quota_scope_values(quota_scope);
    parameters.push(began_at.into());
    write(database, CLEAR, parameters).await.map(drop)
}

/// Claims a trial for one call, until `until` at most. `false` if another call holds it, or if the
/// key or quota scope is cooling down again.
///
/// # Errors
/// The database refused.
pub async fn claim(
    database: &impl Database,
    claim: &Claim,
    now: UnixMillis,
    until: UnixMillis,
) -> Result<bool> {
    // Later times were written by a fast clock.
    let max_lease = now.plus(LONGEST_TRIAL_LEASE_MS + CLOCK_TOLERANCE_MS);
    let max_pause = now.plus(PAUSE_MS + CLOCK_TOLERANCE_MS);
    match claim {
        Claim::KeyTrial(id) => {
            let statement = format!(
                "UPDATE api_keys SET trial_until = ?3
WHERE id = ?1 AND status = {cooling}
    AND ({PAUSED_UNTIL} <= ?2 OR (disabled_until = paused_until AND disabled_until > ?5))
    AND (coalesce(trial_until, '') <= ?2 OR trial_until > ?4)
RETURNING id",
                cooling = KeyStatus::Cooling.code()
            );
            let parameters = values![*id, now, until, max_lease, max_pause];
            let claimed = write_once(database, &statement, parameters).await?;
            if !claimed.is_empty() {
                return Ok(true);
            }
            // Another call may have succeeded, so that no trial is needed.
            let is_active = format!(
                "SELECT 1 FROM api_keys WHERE id = ?1 AND status = {active}",
                active = KeyStatus::Active.code()
            );
            let rows = read(database, &is_active, values![*id]).await?;
            Ok(!rows.is_empty())
        }
        Claim::ScopeTrial(quota_scope) => {
            let mut parameters = quota_scope_values(quota_scope);
            parameters.extend(values![now, until, max_lease]);
            // A second run would fail because of its own lease.
            let claimed = write_once(database, CLAIM_SCOPE, parameters).await?;
            if !claimed.is_empty() {
                return Ok(true);
            }
            // Another call may have succeeded, so that no trial is needed.
            let rows = read(database, HAS_COOL_DOWN, quota_scope_values(quota_scope)).await?;
            Ok(rows.is_empty())
        }
    }
}

/// Releases a trial whose lease ends at `until`, so that the next call may claim it. A newer lease
/// is left alone.
///
/// # Errors
/// The database refused.
pub async fn release(database: &impl Database, claim: &Claim, until: UnixMillis) -> Result<()> {
    let (statement, mut parameters) = match claim {
        Claim::KeyTrial(id) => (RELEASE_KEY, values![*id]),
        Claim::ScopeTrial(quota_scope) => (RELEASE_SCOPE, quota_scope_values(quota_scope)),
    };
    parameters.push(until.into());
    write(database, statement, parameters).await.map(drop)
}

/// Deletes cool-downs that no longer matter.
///
/// # Errors
/// The database refused.
pub(super) async fn delete_spent_cool_downs(
    database: &impl Database,
    now: UnixMillis,
) -> Result<()> {
    let statement = format!("DELETE FROM cool_downs WHERE NOT ({IS_RELEVANT})");
    write(database, &statement, relevance_parameters(now).into())
        .await
        .map(drop)
}

/// Reads a cool-down from the columns `reason, began_at, until, strikes, trial_until`, starting at
/// `from`.
pub(super) fn cool_down(row: &Row, from: usize) -> Option<CoolDown> {
    Some(CoolDown {
        reason: Outcome::from_name(row.text(from)?)?,
        began_at: UnixMillis::parse(row.text(from + 1)?)?,
        until: UnixMillis::parse(row.text(from + 2)?)?,
        strikes: u32::try_from(row.integer(from + 3)?).ok()?.max(1),
        trial_until: row.text(from + 4).and_then(UnixMillis::parse),
    })
}

#[cfg(test)]
mod tests;
