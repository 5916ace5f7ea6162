//! Updates the state of a key after a failure, by compare-and-set.
//!
//! The state is read, the pure [`judge`] decides, and one statement writes the new state if nothing
//! has changed since. If another instance was faster, the state is read again.

use super::row::{AttemptRow, HORIZON_MS};
use crate::pool::suspicion::{self, Evidence, Judgement, judge};
use crate::pool::{KeyId, KeyState, KeyStatus, Record, UnixMillis, Verdict};
use crate::store::{Database, Result, Row, Value, number, read, text, values, write, write_once};

/// What a failure did to its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// The key's new state, if it changed.
    pub state: Option<KeyState>,
    /// Keys that must cool down instead of being disabled or paused, because the upstream is
    /// suspected or enough keys were disabled: this one, and those that were reinstated.
    pub suspected: Vec<KeyId>,
}

/// Rounds of compare-and-set before a failure is only counted. Each lost round is one that another
/// call has won, and after two failures the key pauses, so about as many rounds are needed as calls
/// were in flight.
const MAX_ROUNDS: usize = 64;

/// Selects a key's state, its number of edits, and the [`Evidence`]: how many other keys failed in
/// the same way, how many the pool has disabled within a minute, and how many are in use.
fn state() -> String {
    format!(
        "SELECT {status}, {failures}, {until}, {edits}, {alike},
    (SELECT count(*) FROM api_keys WHERE status = 0 AND disabled_at >= ?3 AND disabled_at <= ?4),
    (SELECT count(*) FROM api_keys WHERE status <> 0), {success}, {success_began}, {rejected}
FROM api_keys WHERE id = ?1",
        status = number("status"),
        failures = number("consecutive_failures"),
        until = text("disabled_until"),
        edits = number("edits"),
        success = text("last_success_at"),
        success_began = text("last_success_began_at"),
        rejected = text("rejected_at"),
        alike = alike("?2", "?3", "?4")
    )
}

/// Writes a state if nothing has changed since it was read, including the number of keys that
/// failed in the same way.
fn set_state() -> String {
    format!(
        "UPDATE api_keys SET status = ?5, consecutive_failures = ?6, disabled_until = ?7,
    paused_until = CASE WHEN ?5 = 2 THEN ?7 ELSE NULL END, pool_moves = pool_moves + 1,
    last_failure_at = ?8, updated_at = ?8, last_outcome = ?9, last_outcome_at = ?8, trial_until = NULL,
    disabled_reason = CASE WHEN ?5 = 1 THEN NULL WHEN ?5 = 0 AND status = 0 THEN coalesce(disabled_reason, ?10) ELSE ?10 END,
    rejected_at = CASE WHEN ?16 THEN ?8 ELSE rejected_at END,
    disabled_at = CASE WHEN ?5 = 0 AND status <> 0 THEN ?8 ELSE disabled_at END
WHERE id = ?1 AND {status} IS ?2 AND {failures} IS ?3 AND {until} IS ?4 AND edits = ?14 AND {alike} = ?13
    AND (?5 <> 0 OR status = 0
        OR (SELECT count(*) FROM api_keys WHERE status = 0 AND disabled_at >= ?11 AND disabled_at <= ?15) = ?12)
RETURNING id",
        status = number("status"),
        failures = number("consecutive_failures"),
        until = text("disabled_until"),
        alike = alike("?9", "?11", "?15")
    )
}

/// [`suspicion::alike`] for the key `?1`, as an SQL expression over the parameters of an outcome, a
/// minute ago, and the horizon.
fn alike(outcome: &str, minute_ago: &str, horizon: &str) -> String {
    format!(
        "(SELECT count(*) FROM api_keys WHERE id <> ?1 AND last_outcome = {outcome}
        AND last_outcome_at >= {minute_ago} AND last_outcome_at <= {horizon} AND last_outcome_at > coalesce(
            (SELECT max(last_success_began_at) FROM api_keys WHERE last_success_began_at <= {horizon}), ''))"
    )
}

const COUNT_FAILURE: &str = "UPDATE api_keys SET consecutive_failures = coalesce(consecutive_failures, 0) + 1,
    last_failure_at = ?2, updated_at = ?2, last_outcome = ?3, last_outcome_at = ?2, trial_until = NULL
WHERE id = ?1";
/// Leaves the state as it is.
const NOTE_FAILURE: &str = "UPDATE api_keys SET
    last_failure_at = ?2, updated_at = ?2, last_outcome = ?3, last_outcome_at = ?2, trial_until = NULL
WHERE id = ?1";
/// Reverts what the pool did within the last minute to keys that failed in the same way.
const REINSTATE: &str = "UPDATE api_keys SET status = 1, consecutive_failures = max(0, consecutive_failures - 1),
    disabled_until = NULL, paused_until = NULL, disabled_reason = NULL, disabled_at = NULL, pool_moves = pool_moves + 1,
    updated_at = ?3
WHERE last_outcome = ?1 AND ((status = 0 AND disabled_at >= ?2 AND disabled_at <= ?4)
    OR (status = 2 AND disabled_until = paused_until AND last_failure_at >= ?2 AND last_failure_at <= ?4))
RETURNING id";

/// A key's row, as [`state`] selects it.
struct Reading {
    /// The state, exactly as it is stored: status, failures and the end of a pause.
    stored: Vec<Value>,
    state: KeyState,
    edits: Option<i64>,
    record: Record,
    evidence: Evidence,
}

/// Moves the state of a key after a failure.
///
/// # Errors
/// The database refused.
pub(super) async fn move_state(database: &impl Database, attempt: &AttemptRow) -> Result<Moved> {
    let verdict = attempt.outcome.verdict();
    for _ in 0..MAX_ROUNDS {
        let Some(reading) = read_key(database, attempt).await? else {
            // The key was deleted while it was in use.
            return Ok(Moved::default());
        };
        if reading.edits != Some(attempt.key_edits) {
            // An operator has changed the key while the call was in flight, which takes precedence.
            note_failure(database, attempt).await?;
            return Ok(Moved::default());
        }
        let Reading {
            state,
            record,
            evidence,
            ..
        } = reading;
        let after = match judge(state, verdict, record, attempt.ended_at, evidence) {
            Judgement::Move(after) => after,
            Judgement::Suspect { reinstates } => {
                return suspect(database, attempt, reinstates).await;
            }
        };
        let moved = Moved {
            state: Some(after),
            suspected: Vec::new(),
        };
        if after == state {
            // The text of a pause's end stays as it is, since an operator may have written it.
            note_failure(database, attempt).await?;
            return Ok(moved);
        }
        if write_state(database, attempt, reading, after).await? {
            return Ok(moved);
        }
    }
    let parameters = values![attempt.key, attempt.ended_at, attempt.outcome.name()];
    write_once(database, COUNT_FAILURE, parameters).await?;
    Ok(Moved::default())
}

/// Reads an attempt's key; `None` if it was deleted.
async fn read_key(database: &impl Database, attempt: &AttemptRow) -> Result<Option<Reading>> {
    let (since, until) = (minute_before(attempt), horizon_of(attempt));
    let parameters = values![attempt.key, attempt.outcome.name(), since, until];
    let rows = read(database, &state(), parameters).await?;
    Ok(rows.into_iter().next().map(|row| {
        let count = |column| {
            let count = row.integer(column);
            count.map_or(0, |count| usize::try_from(count).unwrap_or(0))
        };
        let time = |column| row.text(column).and_then(UnixMillis::parse);
        Reading {
            state: state_of(&row),
            edits: row.integer(3),
            evidence: Evidence {
                alike: count(4),
                disabled_lately: count(5),
                in_use: count(6),
            },
            record: Record {
                last_success_at: time(7),
                last_success_began_at: time(8),
                rejected_at: time(9),
            },
            stored: row.0.into_iter().take(3).collect(),
        }
    }))
}

/// Writes a key's new state, unless the key has changed since it was read. Returns whether it was
/// written.
async fn write_state(
    database: &impl Database,
    attempt: &AttemptRow,
    reading: Reading,
    after: KeyState,
) -> Result<bool> {
    let number = |count| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
    let is_rejected = attempt.outcome.verdict() == Verdict::Rejected;
    let mut parameters = values![attempt.key];
    parameters.extend(reading.stored);
    parameters.extend(values![
        after.status.code(),
        after.consecutive_failures,
        after.disabled_until,
        attempt.ended_at,
        attempt.outcome.name(),
        disabled_reason(attempt),
        minute_before(attempt),
        number(reading.evidence.disabled_lately),
        number(reading.evidence.alike),
        attempt.key_edits,
        horizon_of(attempt),
        i64::from(is_rejected),
    ]);
    // Must not run twice: the second run would fail to match and count the failure again.
    let rows = write_once(database, &set_state(), parameters).await?;
    Ok(!rows.is_empty())
}

/// The start of the time within which keys that fail alike count.
fn minute_before(attempt: &AttemptRow) -> UnixMillis {
    attempt.ended_at.plus(-suspicion::WAVE_MS)
}

/// The latest time that is believed, since another machine's clock may be ahead.
fn horizon_of(attempt: &AttemptRow) -> UnixMillis {
    attempt.ended_at.plus(HORIZON_MS)
}

async fn note_failure(database: &impl Database, attempt: &AttemptRow) -> Result<()> {
    let parameters = values![attempt.key, attempt.ended_at, attempt.outcome.name()];
    write(database, NOTE_FAILURE, parameters).await.map(drop)
}

/// Records a failure for which the key is hardly at fault, and reverts what earlier failures of the
/// same kind caused.
async fn suspect(
    database: &impl Database,
    attempt: &AttemptRow,
    reinstates: bool,
) -> Result<Moved> {
    note_failure(database, attempt).await?;
    let mut suspected = vec![attempt.key];
    if reinstates {
        let (since, until) = (minute_before(attempt), horizon_of(attempt));
        let parameters = values![attempt.outcome.name(), since, attempt.ended_at, until];
        let rows = write(database, REINSTATE, parameters).await?;
        suspected.extend(rows.iter().filter_map(|row| row.integer(0)).map(KeyId));
    }
    Ok(Moved {
        state: None,
        suspected,
    })
}

/// Why the pool disables a key: the outcome and the upstream's message.
fn disabled_reason(attempt: &AttemptRow) -> String {
    match &attempt.error_message {
        Some(message) => format!("{}: {message}", attempt.outcome.name()),
        None => attempt.outcome.name().to_owned(),
    }
}

/// A key's state from the columns of [`state`]. An unknown status counts as disabled: such a key is
/// never chosen, so this only matters for a row that was broken while the key was in use.
fn state_of(row: &Row) -> KeyState {
    KeyState {
        status: row
            .integer(0)
            .and_then(KeyStatus::from_code)
            .unwrap_or(KeyStatus::Disabled),
        consecutive_failures: row.integer(1).unwrap_or(0),
        disabled_until: row.text(2).and_then(UnixMillis::parse),
    }
}
