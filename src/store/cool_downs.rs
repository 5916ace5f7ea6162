//! Cool-downs and trials, written so that many instances can do it at once.

use super::snapshot::cool_down;
use super::{
    Database, DatabaseError, Value, number, quota_scope_values, read, text, write, write_once,
};
use crate::pool::{
    CLOCK_TOLERANCE_MS, Claim, CoolDown, Incident, KeyStatus, LONGEST_TRIAL_LEASE_MS, PAUSE_MS,
    QuotaScope, UnixMillis,
};

/// The columns of [`cool_down`], as they are read.
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

fn seen() -> String {
    format!(
        "SELECT {} FROM cool_downs WHERE scope = ?1 AND model = ?2",
        columns()
    )
}

const IS_RESET: &str = "SELECT 1 FROM resets WHERE scope = ?1 AND reset_at > ?2 AND reset_at <= ?3";
/// Takes the place of what was seen, of what a clock that ran ahead has written, or of nothing. A row that somebody else has
/// changed since stays as it is, and none is returned.
const SET: &str =
    "INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes, trial_until)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL)
ON CONFLICT (scope, model) DO UPDATE SET reason = excluded.reason, began_at = excluded.began_at,
    until = excluded.until, strikes = excluded.strikes, trial_until = NULL
WHERE (until = ?7 AND reason = ?8) OR began_at > ?9
RETURNING 1";
const CLEAR: &str = "DELETE FROM cool_downs WHERE scope = ?1 AND model = ?2 AND until <= ?3";
const CLAIM_PLACE: &str = "UPDATE cool_downs SET trial_until = ?4
WHERE scope = ?1 AND model = ?2 AND until <= ?3 AND (coalesce(trial_until, '') <= ?3 OR trial_until > ?5)
RETURNING 1";
const RELEASE_KEY: &str =
    "UPDATE api_keys SET trial_until = NULL WHERE id = ?1 AND trial_until = ?2";
const RELEASE_PLACE: &str = "UPDATE cool_downs SET trial_until = NULL
WHERE scope = ?1 AND model = ?2 AND trial_until = ?3";
const PLACE_IS_FREE: &str = "SELECT 1 FROM cool_downs WHERE scope = ?1 AND model = ?2";

/// A pause's end as the pool writes times, where a person has written it in another zone; as it stands where it is no time.
pub(super) const PAUSED_UNTIL: &str =
    "coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', trim(disabled_until)), disabled_until)";

/// What is not spent ([`CoolDown::is_spent`]) as far as its texts tell; with [`says_something_at`].
pub(super) const SAYS_SOMETHING: &str = "began_at <= ?3
    AND (until > ?1 OR (until > ?2 AND reason NOT IN ('quota_per_minute', 'quota_per_day')))";

/// The parameters of [`SAYS_SOMETHING`].
pub(super) fn says_something_at(now: UnixMillis) -> [Value; 3] {
    [
        now,
        now.plus(-CoolDown::REMEMBERED_MS),
        now.plus(CLOCK_TOLERANCE_MS),
    ]
    .map(|time| Value::from(time.to_iso()))
}

/// Rounds of compare-and-set. Each lost round is another's won one, and what others have won is one incident with this.
const MAX_ROUNDS: usize = 16;

/// Enters what an incident means for a place. `known` is its cool-down as far as the caller knows. Gives the one that
/// holds afterwards.
///
/// # Errors
/// The database refused.
pub async fn cool(
    database: &impl Database,
    place: &QuotaScope,
    incident: &Incident,
    known: Option<CoolDown>,
) -> Result<Option<CoolDown>, DatabaseError> {
    let horizon = incident.ended_at.plus(CLOCK_TOLERANCE_MS).to_iso();
    let reset = vec![
        Value::from(place.scope.to_string()),
        Value::from(incident.began_at.to_iso()),
        Value::from(horizon.as_str()),
    ];
    if !read(database, IS_RESET, reset).await?.is_empty() {
        // An operator has reset the key while the call was under way.
        return Ok(None);
    }
    let mut before = known;
    for _ in 0..MAX_ROUNDS {
        let Some(after) = CoolDown::after(before.as_ref(), incident) else {
            return Ok(before);
        };
        let mut parameters = Vec::from(quota_scope_values(place));
        parameters.extend([
            Value::from(after.reason.name()),
            Value::from(after.began_at.to_iso()),
            Value::from(after.until.to_iso()),
            Value::from(i64::from(after.strikes)),
            Value::from(before.map(|before| before.until.to_iso())),
            Value::from(before.map(|before| before.reason.name())),
            Value::from(horizon.as_str()),
        ]);
        if !write(database, SET, parameters).await?.is_empty() {
            return Ok(Some(after));
        }
        let seen = read(database, &seen(), quota_scope_values(place).into()).await?;
        before = seen.first().and_then(|row| cool_down(row, 0));
    }
    Ok(before)
}

/// A call that began at `began_at` has worked: what was over by then is forgotten, strikes included.
///
/// # Errors
/// The database refused.
pub async fn end_cool_down(
    database: &impl Database,
    place: &QuotaScope,
    began_at: UnixMillis,
) -> Result<(), DatabaseError> {
    let mut parameters = Vec::from(quota_scope_values(place));
    parameters.push(Value::from(began_at.to_iso()));
    write(database, CLEAR, parameters).await.map(drop)
}

/// Claims a trial for one call, until `until` at most. `false` when another has it, or the key or the place is out again.
///
/// # Errors
/// The database refused.
pub async fn claim(
    database: &impl Database,
    claim: &Claim,
    now: UnixMillis,
    until: UnixMillis,
) -> Result<bool, DatabaseError> {
    let (at, lease) = (now.to_iso(), until.to_iso());
    // A lease or a pause of a clock that ran ahead.
    let no_lease = now
        .plus(LONGEST_TRIAL_LEASE_MS + CLOCK_TOLERANCE_MS)
        .to_iso();
    let no_pause = now.plus(PAUSE_MS + CLOCK_TOLERANCE_MS).to_iso();
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
            let mut parameters = vec![Value::from(id.0)];
            parameters.extend([at, lease, no_lease, no_pause].map(Value::from));
            if !write_once(database, &statement, parameters)
                .await?
                .is_empty()
            {
                return Ok(true);
            }
            // Another call has worked meanwhile: there is nothing to try any more.
            let is_active = format!(
                "SELECT 1 FROM api_keys WHERE id = ?1 AND status = {active}",
                active = KeyStatus::Active.code()
            );
            let rows = read(database, &is_active, vec![Value::from(id.0)]).await?;
            Ok(!rows.is_empty())
        }
        Claim::ScopeTrial(place) => {
            let mut parameters = Vec::from(quota_scope_values(place));
            parameters.extend([at, lease, no_lease].map(Value::from));
            // Run twice, it would find its own lease.
            if !write_once(database, CLAIM_PLACE, parameters)
                .await?
                .is_empty()
            {
                return Ok(true);
            }
            // Another call has worked meanwhile: there is nothing to try any more.
            let rows = read(database, PLACE_IS_FREE, quota_scope_values(place).into()).await?;
            Ok(rows.is_empty())
        }
    }
}

/// Gives back a trial that was to end by `until`, so that the next call may try. One that has ended since, and another one
/// after it, stay as they are.
///
/// # Errors
/// The database refused.
pub async fn release(
    database: &impl Database,
    claim: &Claim,
    until: UnixMillis,
) -> Result<(), DatabaseError> {
    let lease = Value::from(until.to_iso());
    let (statement, parameters) = match claim {
        Claim::KeyTrial(id) => (RELEASE_KEY, vec![Value::from(id.0), lease]),
        Claim::ScopeTrial(place) => {
            let [scope, model] = quota_scope_values(place);
            (RELEASE_PLACE, vec![scope, model, lease])
        }
    };
    write(database, statement, parameters).await.map(drop)
}

/// Forgets cool-downs that say nothing any more.
///
/// # Errors
/// The database refused.
pub(super) async fn forget_cool_downs(
    database: &impl Database,
    now: UnixMillis,
) -> Result<(), DatabaseError> {
    let statement = format!("DELETE FROM cool_downs WHERE NOT ({SAYS_SOMETHING})");
    write(database, &statement, says_something_at(now).into())
        .await
        .map(drop)
}

#[cfg(test)]
mod tests;
