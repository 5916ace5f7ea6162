//! Writing down what became of an attempt: its log row, the key's counters, the key's state.
//!
//! Two paths, because they have different hurries:
//!
//! - **A failure of the key** changes what the next draw may choose, so it is written at once: the state is read, the
//!   pure [`judge`] decides, and a compare-and-set on what was read makes it so. Whoever loses the
//!   race reads again.
//! - **Log rows, and the keys' counters,** may share their cost. Per instance, the first call to end writes for all that are
//!   queued at that moment, and calls that end meanwhile wait for the next batch; so a batch forms while the one before is being
//!   written, and there is no timer. Each batch is one statement, which holds for all tables or for none, and may run twice.
//!
//! [`Recorder::commit`] returns when the attempt is in the database, so that nobody is answered before their call is in
//! the log. Where the settings say that it may follow, [`Recorder::defer`] leaves it to one who flushes it a moment later.

use super::database::pause_after;
use super::{
    Access, Database, DatabaseError, ErrorKind, ROW_WAIT_MS, Row, Value, Within, number, read,
    text, write, write_once,
};
use crate::pool::Usage;
use crate::pool::suspicion::{self, Evidence, Judgement, judge};
use crate::pool::{KeyId, KeyState, KeyStatus, Outcome, Record, UnixMillis, Verdict};
use crate::sync::{NewNotify, Notify};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// Calls in one statement, so that none holds the database's lock for long: some milliseconds.
const MAX_BATCH: usize = 500;

/// How much later than a call's end a time may be that counts, in milliseconds: 60 s. A row is written some seconds after its
/// call has ended, and what other calls have left by then counts; what is later still was written by a clock that ran ahead.
const HORIZON_MS: i64 = 60_000;

/// Writes what migration 0015 says, for one call and for many. Each text is compiled once in a connection's life.
const WRITE_CALL: &str = "INSERT INTO recorded_calls
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
const WRITE_CALLS: &str = "INSERT INTO recorded_calls
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8,
    value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15, value ->> 16
FROM json_each(?1)";

/// Rounds of compare-and-set before a failure is only counted. Each lost round is another's won one, and after two
/// failures the key pauses, so the rounds needed are about the calls that were under way at once.
const MAX_ROUNDS: usize = 64;

/// A key's state, who has changed it, and the [`Evidence`]: how many others failed alike, how many keys the pool has disabled
/// since a minute ago, and how many are in use.
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

/// Of several keys that fail at once, each but the first finds that one more has.
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

/// [`suspicion::alike`] for the key `?1`, as an expression over the parameters of an outcome, of a minute ago, and of the
/// horizon.
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
/// Takes back what the pool did within the last minute to keys that failed as these do now.
const REINSTATE: &str = "UPDATE api_keys SET status = 1, consecutive_failures = max(0, consecutive_failures - 1),
    disabled_until = NULL, paused_until = NULL, disabled_reason = NULL, disabled_at = NULL, pool_moves = pool_moves + 1,
    updated_at = ?3
WHERE last_outcome = ?1 AND ((status = 0 AND disabled_at >= ?2 AND disabled_at <= ?4)
    OR (status = 2 AND disabled_until = paused_until AND last_failure_at >= ?2 AND last_failure_at <= ?4))
RETURNING id";

/// What a failure has made of the key that was used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// Its state, where the failure has moved it.
    pub state: Option<KeyState>,
    /// Keys that are to cool instead of being disabled or paused, since the upstream is suspected, or since enough were
    /// disabled: this one, and those that were taken back.
    pub suspected: Vec<KeyId>,
}

/// A call to the upstream that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// The id of the request that it was made for.
    pub request_id: String,
    /// Its number within the request, from 1.
    pub number: u32,
    /// The key that was used.
    pub key: KeyId,
    /// [`PoolKey::edits`](crate::pool::PoolKey::edits) when it was chosen.
    pub key_edits: i64,
    /// The model that was asked for.
    pub model: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The upstream's status; `None` without a response.
    pub response_status: Option<u16>,
    /// What went wrong, redacted; `None` on success.
    pub error_message: Option<String>,
    /// When it was sent.
    pub started_at: UnixMillis,
    /// When the first byte of the answer was there; `None` without one.
    pub first_byte_at: Option<UnixMillis>,
    /// When the answer, or the hope for one, ended.
    pub ended_at: UnixMillis,
    /// The answer's tokens, where it tells them.
    pub usage: Option<Usage>,
}

/// What becomes of an attempt that may be written later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deferred {
    /// It is written with others for which somebody has been told to [`flush`](Recorder::flush).
    Queued,
    /// It is the first of those: to be flushed in a while.
    Flush(AttemptRow),
    /// Too many wait already: to be committed at once.
    Commit(AttemptRow),
}

/// An attempt that nobody waited for, and that the database did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The request that it was made for.
    pub request_id: String,
    /// The key that was used.
    pub key: KeyId,
    /// Why.
    pub error: DatabaseError,
}

/// An attempt that is to be written with a batch.
struct Entry {
    attempt: AttemptRow,
    /// When it is given up, by the database's clock.
    deadline_ms: u64,
    progress: RefCell<Progress>,
}

enum Progress {
    /// In the queue, and whoever brought it is on the way to wait or to write.
    Queued,
    /// In the queue; the signal wakes whoever brought it.
    Waiting(#[expect(dead_code, reason = "held for its drop")] Notify),
    /// In the queue; whoever brought it was woken to write the next batch.
    Leading,
    /// Out of the queue.
    Written(Result<(), DatabaseError>),
    /// In the queue, and nobody waits for it any more.
    Abandoned,
}

/// Records attempts in group commits; see the module's documentation.
pub struct Recorder<D> {
    database: Rc<D>,
    new_notify: NewNotify,
    queue: RefCell<VecDeque<Rc<Entry>>>,
    /// Whether somebody writes, or was woken to.
    writing: Cell<bool>,
    /// Whether somebody is going to flush what waits.
    flushing: Cell<bool>,
    lost: RefCell<Vec<Lost>>,
}

impl<D: Database> Recorder<D> {
    /// A recorder that writes through `database`; who waits for the writer does so by `new_notify`.
    pub fn new(database: Rc<D>, new_notify: NewNotify) -> Self {
        Self {
            database,
            new_notify,
            queue: RefCell::default(),
            writing: Cell::new(false),
            flushing: Cell::new(false),
            lost: RefCell::default(),
        }
    }

    /// Takes an attempt that may be written later. One that moves its key's state may not.
    pub fn defer(&self, attempt: AttemptRow) -> Deferred {
        // Also where whoever was to flush has gone.
        if self.queue.borrow().len() >= MAX_BATCH {
            return Deferred::Commit(attempt);
        }
        if !self.flushing.replace(true) {
            return Deferred::Flush(attempt);
        }
        self.queue.borrow_mut().push_back(Rc::new(Entry {
            attempt,
            deadline_ms: self.database.clock_ms().saturating_add(ROW_WAIT_MS),
            progress: RefCell::new(Progress::Abandoned),
        }));
        Deferred::Queued
    }

    /// Writes everything that was deferred since `first`.
    ///
    /// # Errors
    /// The database refused; some of it may be missing from the log or from the counters.
    pub async fn flush(&self, first: AttemptRow) -> Result<(), DatabaseError> {
        self.flushing.set(false);
        self.commit(first).await.map(drop)
    }

    /// What was lost since this was asked for the last time.
    pub fn take_lost(&self) -> Vec<Lost> {
        self.lost.take()
    }

    /// Writes the attempt down, and returns when it is in the database.
    ///
    /// # Errors
    /// The database refused; the attempt may be missing from the log or from the counters.
    pub async fn commit(&self, attempt: AttemptRow) -> Result<Moved, DatabaseError> {
        self.commit_within(attempt, ROW_WAIT_MS).await
    }

    /// The same, and gives up after `wait_ms` milliseconds while the database is locked.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit).
    pub async fn commit_within(
        &self,
        attempt: AttemptRow,
        wait_ms: u64,
    ) -> Result<Moved, DatabaseError> {
        let deadline_ms = self.database.clock_ms().saturating_add(wait_ms);
        let moved = if attempt.outcome.verdict().is_against_key() {
            let database = Within::new(Rc::clone(&self.database), wait_ms);
            move_state(&database, &attempt).await
        } else {
            Ok(Moved::default())
        };
        if moved.as_ref().is_err_and(DatabaseError::is_busy) {
            // The row would only wait as long again.
            return moved;
        }
        let entry = Rc::new(Entry {
            attempt,
            deadline_ms,
            progress: RefCell::new(Progress::Queued),
        });
        self.queue.borrow_mut().push_back(Rc::clone(&entry));
        let place = QueueSlot {
            recorder: self,
            entry: &entry,
        };
        if self.writing.replace(true) {
            let (signal, wait) = (self.new_notify)();
            entry.progress.replace(Progress::Waiting(signal));
            wait.await;
        } else {
            entry.progress.replace(Progress::Leading);
        }
        loop {
            if let Progress::Written(result) = &*entry.progress.borrow() {
                return result.clone().and(moved);
            }
            place.write_next_batch().await;
        }
    }

    /// Wakes the next who waits, to write. What nobody waits for is written with the next batch that there is.
    fn hand_on(&self) {
        let queue = self.queue.borrow();
        let next = queue
            .iter()
            .find(|entry| matches!(&*entry.progress.borrow(), Progress::Waiting(_)));
        match next {
            Some(next) => drop(next.progress.replace(Progress::Leading)),
            None => self.writing.set(false),
        }
    }

    /// One result per entry.
    async fn write_batch(
        &self,
        batch: &[Rc<Entry>],
        limit_ms: u64,
    ) -> Vec<Result<(), DatabaseError>> {
        let attempts: Vec<&AttemptRow> = batch.iter().map(|entry| &entry.attempt).collect();
        let rows: Vec<_> = attempts.iter().map(|attempt| row_of(attempt)).collect();
        let together = match <[_; 1]>::try_from(rows) {
            Ok([row]) => self.try_write(WRITE_CALL, row.into(), limit_ms).await,
            // No value of a row is a number that JSON does not have.
            Err(rows) => match serde_json::to_string(&rows) {
                Ok(rows) => {
                    let rows = vec![Value::from(rows)];
                    self.try_write(WRITE_CALLS, rows, limit_ms).await
                }
                Err(error) => Err(DatabaseError(error.to_string())),
            },
        };
        match together {
            Ok(_) => vec![Ok(()); batch.len()],
            Err(error) if error.kind() != ErrorKind::Refused || batch.len() == 1 => {
                vec![Err(error); batch.len()]
            }
            // One row that the table refuses, such as one of a key deleted meanwhile, must not cost the others theirs.
            Err(_) => self.write_each(&attempts, limit_ms).await,
        }
    }

    async fn try_write(
        &self,
        statement: &str,
        parameters: Vec<Value>,
        limit_ms: u64,
    ) -> Result<Vec<Row>, DatabaseError> {
        self.database
            .try_execute(Access::Write, statement, parameters, limit_ms)
            .await
    }

    /// Each row on its own. Whoever holds the lock is waited for once, and not for each row again.
    async fn write_each(
        &self,
        attempts: &[&AttemptRow],
        wait_ms: u64,
    ) -> Vec<Result<(), DatabaseError>> {
        let database = Within::new(Rc::clone(&self.database), wait_ms);
        let mut results: Vec<Result<(), DatabaseError>> = Vec::with_capacity(attempts.len());
        for attempt in attempts {
            let row = row_of(attempt).into();
            results.push(write(&database, WRITE_CALL, row).await.map(drop));
        }
        results
    }
}

/// Moves the key's state as the failure of a call on it says.
async fn move_state(
    database: &impl Database,
    attempt: &AttemptRow,
) -> Result<Moved, DatabaseError> {
    let id = attempt.key;
    let outcome = attempt.outcome.name();
    let ended = attempt.ended_at.to_iso();
    let minute_ago = attempt.ended_at.plus(-suspicion::WAVE_MS).to_iso();
    let horizon = attempt.ended_at.plus(HORIZON_MS).to_iso();
    for _ in 0..MAX_ROUNDS {
        let look = vec![
            Value::from(id.0),
            Value::from(outcome),
            Value::from(minute_ago.as_str()),
            Value::from(horizon.as_str()),
        ];
        let rows = read(database, &state(), look).await?;
        let Some(row) = rows.into_iter().next() else {
            // Somebody deleted the key while it was in use: nothing is left to change.
            return Ok(Moved::default());
        };
        if row.integer(3) != Some(attempt.key_edits) {
            // A person has changed the key while the call was under way, and knows better.
            note_failure(database, attempt).await?;
            return Ok(Moved::default());
        }
        let count = |column| {
            row.integer(column)
                .and_then(|count| usize::try_from(count).ok())
                .unwrap_or_default()
        };
        let evidence = Evidence {
            alike: count(4),
            disabled_lately: count(5),
            in_use: count(6),
        };
        let before = state_of(&row);
        let verdict = attempt.outcome.verdict();
        let time = |column| row.text(column).and_then(UnixMillis::parse);
        let record = Record {
            last_success_at: time(7),
            last_success_began_at: time(8),
            rejected_at: time(9),
        };
        let after = match judge(before, verdict, record, attempt.ended_at, evidence) {
            Judgement::Move(after) => after,
            Judgement::Suspect { take_back } => {
                return suspect(database, attempt, take_back).await;
            }
        };
        let moved = Moved {
            state: Some(after),
            suspected: Vec::new(),
        };
        if after == before {
            // Also the text of its end stays: it may be a person's.
            note_failure(database, attempt).await?;
            return Ok(moved);
        }
        let number = |count| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
        let mut parameters = vec![Value::from(id.0)];
        parameters.extend(row.0.into_iter().take(3));
        parameters.extend([
            Value::from(after.status.code()),
            Value::from(after.consecutive_failures),
            Value::from(after.disabled_until.map(UnixMillis::to_iso)),
            Value::from(ended.as_str()),
            Value::from(outcome),
            Value::from(disabled_reason(attempt)),
            Value::from(minute_ago.as_str()),
            number(evidence.disabled_lately),
            number(evidence.alike),
            Value::from(attempt.key_edits),
            Value::from(horizon.as_str()),
            Value::from(i64::from(verdict == Verdict::Rejected)),
        ]);
        // Were it run twice, the second time would look like another's change, and the failure would count twice.
        if !write_once(database, &set_state(), parameters)
            .await?
            .is_empty()
        {
            return Ok(moved);
        }
    }
    let parameters = [id.0.into(), ended.into(), outcome.into()];
    write_once(database, COUNT_FAILURE, parameters.into()).await?;
    Ok(Moved::default())
}

async fn note_failure(database: &impl Database, attempt: &AttemptRow) -> Result<(), DatabaseError> {
    let parameters = vec![
        Value::from(attempt.key.0),
        Value::from(attempt.ended_at.to_iso()),
        Value::from(attempt.outcome.name()),
    ];
    write(database, NOTE_FAILURE, parameters).await.map(drop)
}

/// Notes a failure that is hardly the key's, and takes back what earlier ones of its kind have done.
async fn suspect(
    database: &impl Database,
    attempt: &AttemptRow,
    take_back: bool,
) -> Result<Moved, DatabaseError> {
    note_failure(database, attempt).await?;
    let mut suspected = vec![attempt.key];
    if take_back {
        let parameters = vec![
            Value::from(attempt.outcome.name()),
            Value::from(attempt.ended_at.plus(-suspicion::WAVE_MS).to_iso()),
            Value::from(attempt.ended_at.to_iso()),
            Value::from(attempt.ended_at.plus(HORIZON_MS).to_iso()),
        ];
        let rows = write(database, REINSTATE, parameters).await?;
        suspected.extend(rows.iter().filter_map(|row| row.integer(0)).map(KeyId));
    }
    Ok(Moved {
        state: None,
        suspected,
    })
}

/// The values of a row of `recorded_calls`.
fn row_of(attempt: &AttemptRow) -> [Value; 17] {
    let verdict = attempt.outcome.verdict();
    let tokens = |of: fn(&Usage) -> u64| Value::from(attempt.usage.as_ref().map(of));
    let after = |at: UnixMillis| at.since(attempt.started_at);
    [
        Value::from(attempt.key.0),
        Value::from(i64::from(verdict == Verdict::Works)),
        Value::from(attempt.response_status.map(i64::from)),
        Value::from(attempt.error_message.as_deref()),
        Value::from(after(attempt.ended_at)),
        Value::from(attempt.started_at.to_iso()),
        Value::from(attempt.request_id.as_str()),
        Value::from(attempt.model.as_str()),
        Value::from(i64::from(attempt.number)),
        Value::from(attempt.outcome.name()),
        Value::from(attempt.first_byte_at.map(after)),
        tokens(|usage| usage.input),
        tokens(|usage| usage.output),
        tokens(|usage| usage.thinking),
        tokens(|usage| usage.cached),
        Value::from(attempt.ended_at.to_iso()),
        Value::from(attempt.ended_at.plus(HORIZON_MS).to_iso()),
    ]
}

/// Somebody's place in the queue. Leaving it hands the writing on to the next who waits.
struct QueueSlot<'a, D: Database> {
    recorder: &'a Recorder<D>,
    entry: &'a Entry,
}

impl<D: Database> QueueSlot<'_, D> {
    /// Writes everything that is queued, and waits for the lock until some of it has waited for long enough. While another
    /// instance writes, this one's batch grows.
    async fn write_next_batch(&self) {
        let recorder = self.recorder;
        let began = recorder.database.clock_ms();
        let (batch, results) = loop {
            let batch: Vec<Rc<Entry>> = recorder
                .queue
                .borrow()
                .iter()
                .take(MAX_BATCH)
                .cloned()
                .collect();
            let deadline = batch.iter().map(|entry| entry.deadline_ms).min();
            let left = |now| deadline.unwrap_or_default().saturating_sub(now);
            let limit = left(recorder.database.clock_ms());
            let results = recorder.write_batch(&batch, limit).await;
            let is_locked = |result: &Result<(), DatabaseError>| {
                result.as_ref().is_err_and(DatabaseError::is_busy)
            };
            if !results.iter().all(is_locked) {
                break (batch, results);
            }
            let now = recorder.database.clock_ms();
            let pause = pause_after(now.saturating_sub(began));
            if left(now) <= pause {
                // Others have come since, and wait on.
                break batch
                    .into_iter()
                    .zip(results)
                    .filter(|(entry, _)| entry.deadline_ms <= now.saturating_add(pause))
                    .unzip();
            }
            recorder.database.pause(pause).await;
        };
        // Only now, so that a writer that was cancelled half-way leaves its batch to the next one. What it had written is
        // then left as it is.
        recorder
            .queue
            .borrow_mut()
            .retain(|queued| !batch.iter().any(|entry| Rc::ptr_eq(entry, queued)));
        let mut own = None;
        for (entry, result) in batch.iter().zip(results) {
            if std::ptr::eq(&**entry, self.entry) {
                own = Some(result);
                continue;
            }
            // Drops the signal of whoever waits.
            let before = entry.progress.replace(Progress::Written(result.clone()));
            if let (Progress::Abandoned, Err(error)) = (before, result) {
                recorder.lost.borrow_mut().push(Lost {
                    request_id: entry.attempt.request_id.clone(),
                    key: entry.attempt.key,
                    error,
                });
            }
        }
        if let Some(result) = own {
            recorder.hand_on();
            self.entry.progress.replace(Progress::Written(result));
        }
    }
}

impl<D: Database> Drop for QueueSlot<'_, D> {
    fn drop(&mut self) {
        let left = match &*self.entry.progress.borrow() {
            Progress::Written(_) => return,
            Progress::Leading => true,
            Progress::Queued | Progress::Waiting(_) | Progress::Abandoned => false,
        };
        self.entry.progress.replace(Progress::Abandoned);
        if left {
            self.recorder.hand_on();
        }
    }
}

/// Why the pool disables a key: the outcome, and what the upstream said.
fn disabled_reason(attempt: &AttemptRow) -> String {
    match &attempt.error_message {
        Some(message) => format!("{}: {message}", attempt.outcome.name()),
        None => attempt.outcome.name().to_owned(),
    }
}

/// A key's state from the columns of [`state`]. A status that means nothing is taken as disabled: such a key is never
/// chosen, so this only matters for a row that was broken while the key was in use.
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

#[cfg(test)]
mod tests {
    use super::super::testing::NativeDatabase;
    use super::*;
    use crate::sync::{native, yield_now};
    use futures::executor::block_on;
    use futures::future::join_all;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Waker};

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const SECOND: i64 = 1000;
    const STATES: &str = "SELECT id, status, consecutive_failures, total_calls, success_calls, disabled_until FROM api_keys ORDER BY id";

    /// A call of its own.
    fn attempt(key: i64, outcome: Outcome, started: i64) -> AttemptRow {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let works = outcome.verdict() == Verdict::Works;
        AttemptRow {
            request_id: format!("req_{}", NEXT.fetch_add(1, Ordering::Relaxed)),
            number: 1,
            key: KeyId(key),
            key_edits: 0,
            model: "m".to_owned(),
            outcome,
            response_status: Some(if works { 200 } else { 403 }),
            error_message: (!works).then(|| "it's over; really".to_owned()),
            started_at: NOW.plus(started),
            first_byte_at: Some(NOW.plus(started + 100)),
            ended_at: NOW.plus(started + 250),
            usage: works.then_some(Usage {
                input: 3,
                output: 7,
                thinking: 11,
                cached: 2,
            }),
        }
    }

    fn recorder(keys: i64) -> Recorder<NativeDatabase> {
        let database = NativeDatabase::migrated();
        for id in 1..=keys {
            database.run(&format!(
                "INSERT INTO api_keys (id, api_key) VALUES ({id}, 'fake-{id}')"
            ));
        }
        Recorder::new(Rc::new(database), native)
    }

    fn states(recorder: &Recorder<NativeDatabase>) -> Vec<String> {
        recorder.database.query(STATES)
    }

    fn commit(recorder: &Recorder<NativeDatabase>, attempt: AttemptRow) -> Moved {
        block_on(recorder.commit(attempt)).unwrap()
    }

    #[test]
    fn success_counts_and_logs() {
        let recorder = recorder(2);
        let call = AttemptRow {
            request_id: "req_1".to_owned(),
            ..attempt(1, Outcome::Success, 0)
        };
        commit(&recorder, call);
        assert_eq!(states(&recorder), ["1|1|0|1|1|NULL", "2|1|0|0|0|NULL"]);
        assert_eq!(
            recorder.database.query("SELECT last_used_at, last_success_at, last_failure_at, updated_at FROM api_keys WHERE id = 1"),
            ["2027-01-15T08:00:00.000Z|2027-01-15T08:00:00.250Z|NULL|2027-01-15T08:00:00.250Z"]
        );
        assert_eq!(
            recorder.database.query("SELECT api_key_id, success, response_status, error_message, response_time_ms, called_at FROM api_call_logs"),
            ["1|1|200|NULL|250|2027-01-15T08:00:00.000Z"]
        );
        assert_eq!(
            recorder.database.query("SELECT request_id, model, attempt, outcome, first_byte_ms, input_tokens, output_tokens, thinking_tokens, cached_tokens FROM api_call_logs"),
            ["req_1|m|1|success|100|3|7|11|2"]
        );
    }

    #[test]
    fn any_text_and_any_number_arrive_as_they_are() {
        let recorder = recorder(1);
        for text in [
            "\"[1,{}]\\u0041'\n\u{7f}é💥",
            "null",
            "12",
            "",
            "\u{1}\u{2028}",
        ] {
            let call = AttemptRow {
                request_id: text.to_owned(),
                model: text.to_owned(),
                error_message: Some(text.to_owned()),
                usage: Some(Usage {
                    input: u64::MAX,
                    output: 0,
                    thinking: i64::MAX as u64,
                    cached: 1 << 53,
                }),
                ..attempt(1, Outcome::UpstreamTrouble, 0)
            };
            // Alone, and with another one.
            recorder.database.run("DELETE FROM api_call_logs");
            let numbered = |number| AttemptRow {
                number,
                ..call.clone()
            };
            commit(&recorder, numbered(1));
            assert_eq!(recorder.defer(numbered(2)), Deferred::Flush(numbered(2)));
            assert_eq!(recorder.defer(numbered(3)), Deferred::Queued);
            block_on(recorder.flush(numbered(2))).unwrap();
            let row = format!(
                "{text}|{text}|{text}|text|{max}|0|{max}|{}",
                1i64 << 53,
                max = i64::MAX
            );
            assert_eq!(
                recorder.database.query("SELECT request_id, model, error_message, typeof(model), input_tokens, output_tokens, thinking_tokens, cached_tokens FROM api_call_logs"),
                [row.as_str(); 3]
            );
        }
    }

    #[test]
    fn calls_of_one_key_that_are_written_together_count_in_whatever_order_they_ended() {
        let recorder = recorder(2);
        commit(&recorder, attempt(1, Outcome::ProjectRefused, SECOND));
        let ended = |outcome, started, lasted| AttemptRow {
            ended_at: NOW.plus(started + lasted),
            ..attempt(1, outcome, started)
        };
        // Of these only the third began after the failure; the second ended last, and the first is written last.
        let calls = [
            ended(Outcome::Success, 0, 9 * SECOND),
            ended(Outcome::UpstreamTrouble, 3 * SECOND, 7 * SECOND),
            ended(Outcome::Success, 2 * SECOND, SECOND),
        ];
        let key = "SELECT status, consecutive_failures, total_calls, success_calls, last_used_at, last_success_at,
            last_success_began_at, last_outcome, last_outcome_at, updated_at FROM api_keys WHERE id = 1";
        recorder.database.run("DELETE FROM api_call_logs");
        let [first, second, third] = calls;
        let Deferred::Flush(first) = recorder.defer(first) else {
            panic!("the first is to be flushed");
        };
        recorder.defer(second);
        recorder.defer(third);
        // Deleted while its call was under way.
        recorder.database.run("DELETE FROM api_keys WHERE id = 2");
        recorder.defer(attempt(2, Outcome::Success, 0));
        let statements = recorder.database.statements();
        block_on(recorder.flush(first)).unwrap();
        assert_eq!(recorder.database.statements() - statements, 1);
        assert_eq!(
            recorder.database.query(key),
            [
                "1|0|4|2|2027-01-15T08:00:03.000Z|2027-01-15T08:00:09.000Z|2027-01-15T08:00:02.000Z|upstream_trouble|2027-01-15T08:00:10.000Z|2027-01-15T08:00:10.000Z"
            ]
        );
        assert_eq!(
            recorder
                .database
                .query("SELECT api_key_id, outcome FROM api_call_logs"),
            ["1|upstream_trouble", "1|success", "2|success", "1|success"]
        );
    }

    #[test]
    fn a_call_that_is_written_twice_is_counted_once() {
        let recorder = recorder(1);
        for outcome in Outcome::ALL {
            let call = attempt(1, outcome, 0);
            let other = attempt(1, outcome, 0);
            let again = AttemptRow {
                number: 2,
                ..call.clone()
            };
            let rows = [&call, &other, &again, &call].map(row_of);
            let batch = serde_json::to_string(&rows).unwrap();
            for _ in 0..2 {
                for (statement, values) in [
                    (WRITE_CALL, row_of(&call).to_vec()),
                    (WRITE_CALLS, vec![Value::from(batch.as_str())]),
                ] {
                    block_on(write(&*recorder.database, statement, values)).unwrap();
                }
            }
        }
        let calls = 3 * Outcome::ALL.len();
        for count in [
            "SELECT count(*) FROM api_call_logs",
            "SELECT sum(calls) FROM api_call_hours",
            "SELECT total_calls FROM api_keys",
        ] {
            assert_eq!(
                recorder.database.query(count),
                [calls.to_string()],
                "{count}"
            );
        }
        let is_counted =
            "SELECT (SELECT sum(success) FROM api_call_logs) = success_calls FROM api_keys";
        assert_eq!(recorder.database.query(is_counted), ["1"]);
    }

    #[test]
    fn whether_a_call_is_written_is_found_by_an_index() {
        let recorder = recorder(1);
        let plan = recorder.database.query(
            "EXPLAIN QUERY PLAN SELECT 1 FROM api_call_logs WHERE called_at = 'a' AND request_id = 'b' AND attempt = 1",
        );
        assert!(plan.concat().contains("called_at=?"), "{plan:?}");
    }

    #[test]
    fn counters_that_are_null_count_from_0() {
        let recorder = recorder(1);
        recorder.database.run(
            "DROP TRIGGER record_call; CREATE TABLE odd AS SELECT * FROM api_keys; DROP TABLE api_keys; ALTER TABLE odd RENAME TO api_keys;
             DELETE FROM schema_migrations WHERE id >= 15;
             UPDATE api_keys SET total_calls = NULL, success_calls = NULL, consecutive_failures = NULL",
        );
        block_on(super::super::migrate(&*recorder.database)).unwrap();
        for set_null in [false, true] {
            if set_null {
                recorder.database.run("UPDATE api_keys SET total_calls = NULL, success_calls = NULL, consecutive_failures = NULL");
            }
            commit(&recorder, attempt(1, Outcome::Success, 5 * SECOND));
            assert_eq!(states(&recorder), ["1|1|0|1|1|NULL"]);
            commit(&recorder, attempt(1, Outcome::ProjectRefused, SECOND));
            assert_eq!(states(&recorder), ["1|1|1|2|1|NULL"]);
        }
    }

    /// Changes that a person makes, and what they leave of a key: its status, and its end.
    const EDITS: [(&str, &str); 10] = [
        (
            "status = 2, disabled_until = '2099-01-01T00:00:00.000Z'",
            "2|2099-01-01T00:00:00.000Z",
        ),
        ("status = 2, disabled_until = '2099-01-01'", "2|2099-01-01"),
        (
            "status = 2, disabled_until = '2099-01-01 00:00:00'",
            "2|2099-01-01 00:00:00",
        ),
        (
            "status = 2, disabled_until = '2099-01-01T00:00:00+08:00'",
            "2|2099-01-01T00:00:00+08:00",
        ),
        ("status = 2, disabled_until = '2099'", "2|2099"),
        ("status = 2, disabled_until = 'next week'", "2|next week"),
        ("status = 2, disabled_until = NULL", "2|NULL"),
        ("status = 0", "0|NULL"),
        ("status = 1", "1|NULL"),
        ("status = 1, disabled_until = '2001-01-01'", "1|2001-01-01"),
    ];

    #[test]
    fn what_a_person_has_changed_is_not_undone_by_calls_that_were_under_way() {
        let before = [
            (
                "status = 1, disabled_until = NULL, consecutive_failures = 0",
                0,
            ),
            (
                "status = 1, disabled_until = NULL, consecutive_failures = 4",
                4,
            ),
            // The pool's own doing.
            (
                "status = 2, disabled_until = '2027-01-15T08:30:00.000Z', paused_until = '2027-01-15T08:30:00.000Z', last_failure_at = '2027-01-15T07:59:00.000Z'",
                2,
            ),
            (
                "status = 0, disabled_until = NULL, disabled_at = '2027-01-15T08:00:00.000Z', disabled_reason = 'key_rejected'",
                1,
            ),
        ];
        let outcomes = [
            Outcome::Success,
            Outcome::ProjectRefused,
            Outcome::KeyRejected,
            Outcome::EmptyAnswer,
        ];
        for (state, _) in before {
            for (edit, left) in EDITS {
                for outcome in outcomes {
                    for in_batch in [false, true] {
                        let recorder = recorder(4);
                        let run = |sql: &str| recorder.database.run(sql);
                        run(&format!(
                            "UPDATE api_keys SET {state}, pool_moves = pool_moves + 1 WHERE id = 1"
                        ));
                        let key = "SELECT status, disabled_until FROM api_keys WHERE id = 1";
                        let unedited = recorder.database.query(key);
                        run(&format!(
                            "UPDATE api_keys SET {edit}, priority = 7, project = 'team' WHERE id = 1"
                        ));
                        if recorder.database.query(key) == unedited {
                            continue;
                        }
                        let left = if left == "0|NULL" || left == "1|NULL" {
                            // Where only the status is changed, the end stays.
                            recorder.database.query(key)
                        } else {
                            vec![left.to_owned()]
                        };
                        // All of them began before.
                        for started in 0..3 {
                            let call = attempt(1, outcome, started);
                            match recorder.defer(call) {
                                Deferred::Flush(first) if in_batch => {
                                    let others =
                                        (0..3).map(|at| recorder.defer(attempt(1, outcome, at)));
                                    assert!(others.eq([
                                        Deferred::Queued,
                                        Deferred::Queued,
                                        Deferred::Queued
                                    ]));
                                    block_on(recorder.flush(first)).unwrap();
                                }
                                Deferred::Flush(first) => {
                                    recorder.flushing.set(false);
                                    commit(&recorder, first);
                                }
                                other => panic!("{other:?}"),
                            }
                        }
                        assert_eq!(
                            recorder.database.query(key),
                            left,
                            "{state}; {edit}; {outcome:?}"
                        );
                        let others = "SELECT priority, project FROM api_keys WHERE id = 1";
                        assert_eq!(recorder.database.query(others), ["7|team"]);
                    }
                }
            }
        }
    }

    #[test]
    fn calls_that_begin_after_a_persons_change_move_the_key_again() {
        let recorder = recorder(1);
        commit(&recorder, attempt(1, Outcome::KeyRejected, 0));
        recorder.database.run("UPDATE api_keys SET status = 1");
        assert_eq!(
            recorder
                .database
                .query("SELECT edits, disabled_reason, disabled_at FROM api_keys"),
            ["1|NULL|NULL"]
        );
        let aware = |outcome, started| AttemptRow {
            key_edits: 1,
            ..attempt(1, outcome, started)
        };
        commit(&recorder, aware(Outcome::KeyRejected, SECOND));
        assert_eq!(states(&recorder), ["1|0|2|2|0|NULL"]);
        // A person's pause is over when it says, and a success then ends it.
        recorder
            .database
            .run("UPDATE api_keys SET status = 2, disabled_until = '2027-01-15 09:00:00'");
        commit(&recorder, aware(Outcome::Success, 3_599 * SECOND));
        assert_eq!(states(&recorder), ["1|2|0|3|1|2027-01-15 09:00:00"]);
        commit(&recorder, aware(Outcome::Success, 3_600 * SECOND));
        assert_eq!(states(&recorder), ["1|1|0|4|2|NULL"]);
    }

    #[test]
    fn only_what_the_pool_has_done_is_taken_back() {
        let recorder = recorder(6);
        for id in 1..=2 {
            commit(&recorder, attempt(id, Outcome::KeyRejected, id));
        }
        // A person agrees that the first is dead, and pauses another.
        recorder.database.run(
            "UPDATE api_keys SET status = 1 WHERE id = 1; UPDATE api_keys SET status = 0 WHERE id = 1;
             UPDATE api_keys SET status = 2, disabled_until = '2099-01-01', last_outcome = 'key_rejected',
                 last_outcome_at = '2027-01-15T08:00:00.000Z', last_failure_at = '2027-01-15T08:00:00.000Z' WHERE id = 4",
        );
        let moved = commit(&recorder, attempt(3, Outcome::KeyRejected, 30));
        assert_eq!(moved.suspected, [3, 2].map(KeyId));
        assert_eq!(
            recorder
                .database
                .query("SELECT status FROM api_keys ORDER BY id"),
            ["0", "1", "1", "2", "1", "1"]
        );
    }

    #[test]
    fn a_reset_is_not_undone_by_calls_that_were_under_way() {
        use crate::pool::{Incident, quota_scope_of, testing::key};
        let recorder = recorder(1);
        let database = &*recorder.database;
        database.run("UPDATE api_keys SET project = 'p', consecutive_failures = 4");
        let reset = super::super::reset_key(database, KeyId(1), NOW.plus(SECOND));
        assert_eq!(block_on(reset), Ok(true));
        let key = crate::pool::PoolKey {
            project: Some("p".to_owned()),
            ..key(1)
        };
        for (outcome, rows) in [(Outcome::ProjectRefused, 0), (Outcome::KeyRejected, 0)] {
            commit(&recorder, attempt(1, outcome, 0));
            assert_eq!(states(&recorder).len(), 1 + rows);
            assert!(
                states(&recorder)[0].starts_with("1|1|0|"),
                "{:?}",
                states(&recorder)
            );
        }
        for outcome in [Outcome::BillingExhausted, Outcome::EgressRefused] {
            let place = quota_scope_of(outcome, &key, "m", None).unwrap();
            for (began, cools) in [(0, false), (SECOND, true)] {
                let incident = Incident {
                    outcome,
                    retry_after_ms: None,
                    began_at: NOW.plus(began),
                    ended_at: NOW.plus(2 * SECOND),
                };
                let cooled = block_on(super::super::cool(database, &place, &incident, None));
                assert_eq!(cooled.unwrap().is_some(), cools, "{outcome:?} {began}");
            }
        }
    }

    #[test]
    fn what_a_clock_that_ran_ahead_has_written_of_a_key_is_replaced() {
        let recorder = recorder(5);
        let year = 365 * 24 * 3600 * SECOND;
        for outcome in [
            Outcome::ProjectRefused,
            Outcome::ProjectRefused,
            Outcome::UpstreamTrouble,
        ] {
            commit(&recorder, attempt(1, outcome, year));
        }
        recorder.database.run("UPDATE api_keys SET last_success_began_at = '2028-01-15T08:00:00.000Z', last_success_at = '2028-01-15T08:00:00.000Z' WHERE id = 1");
        assert_eq!(
            recorder
                .database
                .query("SELECT status FROM api_keys WHERE id = 1"),
            ["2"]
        );
        // The view takes its pause for over, and a trial succeeds.
        commit(&recorder, attempt(1, Outcome::Success, 0));
        assert_eq!(
            recorder.database.query(
                "SELECT status, disabled_until, consecutive_failures, last_used_at, last_success_at, last_success_began_at,
                    last_outcome, last_outcome_at, updated_at FROM api_keys WHERE id = 1"
            ),
            ["1|NULL|0|2027-01-15T08:00:00.000Z|2027-01-15T08:00:00.250Z|2027-01-15T08:00:00.000Z|success|2027-01-15T08:00:00.250Z|2027-01-15T08:00:00.250Z"]
        );
    }

    #[test]
    fn failures_of_the_future_are_no_evidence() {
        let recorder = recorder(6);
        let year = 365 * 24 * 3600 * SECOND;
        for id in 1..=2 {
            commit(&recorder, attempt(id, Outcome::KeyRejected, year));
        }
        let moved = commit(&recorder, attempt(3, Outcome::KeyRejected, 0));
        assert_eq!(moved.suspected, [], "the others failed at another time");
        assert_eq!(
            moved.state.map(|state| state.status),
            Some(KeyStatus::Disabled)
        );
    }

    #[test]
    fn failures_in_a_row_pause_and_then_disable() {
        let recorder = recorder(1);
        let hour = 3600 * SECOND;
        for (round, expected) in [
            (0, "1|1|1|1|0|NULL"),
            (1, "1|2|2|2|0|2027-01-15T09:30:00.250Z"),
            (2, "1|2|3|3|0|2027-01-15T10:30:00.250Z"),
            (3, "1|2|4|4|0|2027-01-15T11:30:00.250Z"),
            (4, "1|0|5|5|0|NULL"),
        ] {
            commit(&recorder, attempt(1, Outcome::ProjectRefused, round * hour));
            assert_eq!(states(&recorder), [expected], "failure {}", round + 1);
        }
        assert_eq!(
            recorder.database.query(
                "SELECT success, response_status, error_message FROM api_call_logs WHERE id = 5"
            ),
            ["0|403|it's over; really"]
        );
    }

    #[test]
    fn success_after_the_pause_starts_afresh() {
        let recorder = recorder(1);
        for round in 0..2 {
            commit(
                &recorder,
                attempt(1, Outcome::ProjectRefused, round * SECOND),
            );
        }
        commit(&recorder, attempt(1, Outcome::Success, 3600 * SECOND));
        assert_eq!(states(&recorder), ["1|1|0|3|1|NULL"]);
    }

    #[test]
    fn rejection_disables_and_a_late_success_does_not_bring_it_back() {
        let recorder = recorder(1);
        commit(&recorder, attempt(1, Outcome::KeyRejected, 0));
        assert_eq!(states(&recorder), ["1|0|1|1|0|NULL"]);
        commit(&recorder, attempt(1, Outcome::Success, 3600 * SECOND));
        assert_eq!(states(&recorder), ["1|0|0|2|1|NULL"]);
    }

    #[test]
    fn a_success_that_began_before_the_failure_does_not_forgive_it() {
        let recorder = recorder(1);
        for round in 0..2 {
            commit(
                &recorder,
                attempt(1, Outcome::ProjectRefused, round * SECOND),
            );
        }
        commit(&recorder, attempt(1, Outcome::Success, 0));
        assert_eq!(states(&recorder), ["1|2|2|3|1|2027-01-15T08:30:01.250Z"]);
    }

    #[test]
    fn what_is_not_the_keys_fault_is_only_counted() {
        let recorder = recorder(1);
        recorder
            .database
            .run("UPDATE api_keys SET consecutive_failures = 1");
        let others = Outcome::ALL
            .into_iter()
            .filter(|outcome| outcome.verdict() == Verdict::Unknown);
        for (calls, outcome) in (1..).zip(others) {
            commit(&recorder, attempt(1, outcome, 0));
            assert_eq!(
                states(&recorder),
                [format!("1|1|1|{calls}|0|NULL")],
                "{}",
                outcome.name()
            );
        }
        assert_eq!(
            recorder
                .database
                .query("SELECT DISTINCT success FROM api_call_logs"),
            ["0"]
        );
    }

    #[test]
    fn a_disabled_key_says_why_and_when() {
        let recorder = recorder(4);
        commit(&recorder, attempt(1, Outcome::KeyRejected, 0));
        assert_eq!(
            recorder.database.query("SELECT disabled_reason, disabled_at, last_outcome, last_outcome_at FROM api_keys WHERE id = 1"),
            ["key_rejected: it's over; really|2027-01-15T08:00:00.250Z|key_rejected|2027-01-15T08:00:00.250Z"]
        );
    }

    #[test]
    fn the_latest_outcome_is_that_of_the_call_that_ended_last() {
        let recorder = recorder(1);
        commit(&recorder, attempt(1, Outcome::UpstreamTrouble, 500));
        commit(&recorder, attempt(1, Outcome::Success, 0));
        assert_eq!(
            recorder.database.query("SELECT last_outcome FROM api_keys"),
            ["upstream_trouble"]
        );
    }

    #[test]
    fn keys_that_fail_alike_without_any_success_are_all_kept() {
        for outcome in [Outcome::KeyRejected, Outcome::ProjectRefused] {
            let recorder = recorder(5);
            assert!(
                commit(&recorder, attempt(1, outcome, 0))
                    .suspected
                    .is_empty()
            );
            assert!(
                commit(&recorder, attempt(2, outcome, 10))
                    .suspected
                    .is_empty()
            );
            let moved = commit(&recorder, attempt(3, outcome, 20));
            assert_eq!(moved.state, None);
            let mut kept = vec![KeyId(3)];
            if outcome == Outcome::KeyRejected {
                kept.extend([KeyId(1), KeyId(2)]);
            }
            assert_eq!(moved.suspected, kept, "{}", outcome.name());
            let moved = commit(&recorder, attempt(4, outcome, 30));
            assert_eq!(moved.suspected, [KeyId(4)]);
            assert_eq!(
                recorder
                    .database
                    .query("SELECT DISTINCT status FROM api_keys"),
                ["1"]
            );
            assert_eq!(
                recorder
                    .database
                    .query("SELECT count(*) FROM api_call_logs"),
                ["4"]
            );
        }
    }

    #[test]
    fn an_answer_that_began_before_the_failures_clears_nobody_of_them() {
        let recorder = recorder(4);
        commit(&recorder, attempt(1, Outcome::KeyRejected, 1000));
        commit(&recorder, attempt(2, Outcome::KeyRejected, 1000));
        let stream = AttemptRow {
            ended_at: NOW.plus(2500),
            ..attempt(4, Outcome::Success, 0)
        };
        commit(&recorder, stream);
        let moved = commit(&recorder, attempt(3, Outcome::KeyRejected, 3000));
        assert_eq!(moved.suspected.len(), 3);
    }

    #[test]
    fn failures_that_are_more_than_a_minute_apart_have_nothing_in_common() {
        let recorder = recorder(8);
        for id in 1..=4 {
            let moved = commit(&recorder, attempt(id, Outcome::KeyRejected, id * 61_000));
            assert!(moved.suspected.is_empty(), "key {id}");
        }
        let disabled = "SELECT count(*) FROM api_keys WHERE status = 0";
        assert_eq!(recorder.database.query(disabled), ["4"]);
    }

    #[test]
    fn after_a_success_dead_keys_are_disabled_up_to_half_of_the_pool_in_a_minute() {
        let recorder = recorder(6);
        for id in 1..=5 {
            commit(&recorder, attempt(id, Outcome::KeyRejected, id * 1000));
            commit(&recorder, attempt(6, Outcome::Success, id * 1000 + 500));
        }
        let disabled = "SELECT group_concat(id) FROM api_keys WHERE status = 0";
        assert_eq!(recorder.database.query(disabled), ["1,2,3"]);
        let moved = commit(&recorder, attempt(4, Outcome::KeyRejected, 20_000));
        assert_eq!(moved.suspected, [KeyId(4)], "and nothing is taken back");
        commit(&recorder, attempt(6, Outcome::Success, 21_000));
        commit(&recorder, attempt(4, Outcome::KeyRejected, 70_000));
        assert_eq!(recorder.database.query(disabled), ["1,2,3,4"]);
    }

    #[test]
    fn times_never_run_backwards() {
        let recorder = recorder(1);
        commit(&recorder, attempt(1, Outcome::Success, 10 * SECOND));
        commit(&recorder, attempt(1, Outcome::Success, 0));
        assert_eq!(
            recorder
                .database
                .query("SELECT last_used_at, last_success_at FROM api_keys"),
            ["2027-01-15T08:00:10.000Z|2027-01-15T08:00:10.250Z"]
        );
    }

    #[test]
    fn a_key_deleted_in_flight_costs_nobody_else_their_row() {
        let recorder = recorder(2);
        recorder.database.run(
            "DROP TABLE api_call_logs;
             CREATE TABLE api_call_logs (id INTEGER PRIMARY KEY, api_key_id INTEGER NOT NULL REFERENCES api_keys (id),
                 success INTEGER, response_status INTEGER, error_message TEXT, response_time_ms INTEGER, called_at TEXT,
                 request_id TEXT, model TEXT, attempt INTEGER, outcome TEXT, first_byte_ms INTEGER,
                 input_tokens INTEGER, output_tokens INTEGER, thinking_tokens INTEGER, cached_tokens INTEGER);
             PRAGMA foreign_keys = ON;
             DELETE FROM api_keys WHERE id = 1;",
        );
        let results = block_on(join_all([
            recorder.commit(attempt(2, Outcome::Success, 0)),
            recorder.commit(attempt(1, Outcome::Success, 0)),
            recorder.commit(attempt(2, Outcome::Success, 0)),
            recorder.commit(attempt(1, Outcome::ProjectRefused, 0)),
        ]));
        assert_eq!(
            results.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, false, true, false]
        );
        assert_eq!(
            recorder
                .database
                .query("SELECT api_key_id FROM api_call_logs"),
            ["2", "2"]
        );
        assert_eq!(states(&recorder), ["2|1|0|2|2|NULL"]);
    }

    #[test]
    fn who_waits_is_written_with_the_next_batch() {
        let recorder = recorder(3);
        let attempts: Vec<_> = (0..1200)
            .map(|index| attempt(1 + index % 3, Outcome::Success, index))
            .collect();
        let results = block_on(join_all(
            attempts.into_iter().map(|attempt| recorder.commit(attempt)),
        ));
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(
            recorder
                .database
                .query("SELECT count(*) FROM api_call_logs"),
            ["1200"]
        );
        assert_eq!(
            states(&recorder),
            [
                "1|1|0|400|400|NULL",
                "2|1|0|400|400|NULL",
                "3|1|0|400|400|NULL"
            ]
        );
    }

    #[test]
    fn who_ends_while_another_writes_shares_the_next_batch() {
        let recorder = recorder(1);
        recorder.database.answer_at_the_second_poll();
        let statements = recorder.database.statements();
        let commits = (0..100).map(|index| recorder.commit(attempt(1, Outcome::Success, index)));
        assert!(block_on(join_all(commits)).iter().all(Result::is_ok));
        assert_eq!(
            recorder.database.statements() - statements,
            2,
            "one for the first alone, and one for all others together"
        );
        assert_eq!(states(&recorder), ["1|1|0|100|100|NULL"]);
    }

    type Commit<'a> = Pin<Box<dyn Future<Output = Result<Moved, DatabaseError>> + 'a>>;

    /// As many commits, each polled once, in order: the first writes, the others wait.
    fn under_way(recorder: &Recorder<NativeDatabase>, count: i64) -> Vec<Commit<'_>> {
        let mut commits: Vec<Commit<'_>> = Vec::new();
        for index in 0..count {
            commits.push(Box::pin(recorder.commit(attempt(
                1,
                Outcome::Success,
                index,
            ))));
        }
        let mut context = Context::from_waker(Waker::noop());
        for commit in &mut commits {
            assert!(commit.as_mut().poll(&mut context).is_pending());
        }
        commits
    }

    #[test]
    fn a_writer_that_is_cancelled_leaves_its_batch_to_the_next() {
        let recorder = recorder(1);
        recorder.database.answer_at_the_second_poll();
        // 0 writes, 1 to 3 wait; 2 is cancelled while waiting, 0 while writing, 1 after it was woken to write.
        let mut commits = under_way(&recorder, 4);
        drop(commits.remove(2));
        drop(commits.remove(0));
        drop(commits.remove(0));
        assert_eq!(block_on(commits.remove(0)), Ok(Moved::default()));
        assert_eq!(
            recorder
                .database
                .query("SELECT count(*) FROM api_call_logs"),
            ["4"],
            "nothing that was queued is lost"
        );
        assert_eq!(
            block_on(recorder.commit(attempt(1, Outcome::Success, 0))),
            Ok(Moved::default()),
            "the next one writes"
        );
    }

    #[test]
    fn when_all_are_cancelled_the_next_commit_writes_for_them() {
        let recorder = recorder(1);
        recorder.database.answer_at_the_second_poll();
        drop(under_way(&recorder, 2));
        commit(&recorder, attempt(1, Outcome::Success, 9));
        assert_eq!(states(&recorder), ["1|1|0|3|3|NULL"]);
    }

    #[test]
    fn a_busy_database_is_tried_again_and_a_broken_one_reported() {
        let recorder = recorder(1);
        recorder
            .database
            .fail("recorded_calls", "database is locked", 2);
        commit(&recorder, attempt(1, Outcome::Success, 0));
        recorder
            .database
            .fail("recorded_calls", "disk I/O error", 1);
        assert!(block_on(recorder.commit(attempt(1, Outcome::Success, 0))).is_err());
        commit(&recorder, attempt(1, Outcome::Success, 0));
        assert_eq!(
            recorder
                .database
                .query("SELECT count(*) FROM api_call_logs"),
            ["2"]
        );
    }

    #[test]
    fn when_too_many_are_deferred_the_next_one_writes_them() {
        let recorder = recorder(1);
        let defer = |index| recorder.defer(attempt(1, Outcome::Success, index));
        let Deferred::Flush(first) = defer(0) else {
            panic!("the first is to be flushed");
        };
        for index in 1..=500 {
            assert_eq!(defer(index), Deferred::Queued, "{index}");
        }
        let Deferred::Commit(one_more) = defer(501) else {
            panic!("one too many");
        };
        commit(&recorder, one_more);
        assert_eq!(states(&recorder), ["1|1|0|501|501|NULL"]);
        assert_eq!(defer(502), Deferred::Queued, "the first is not flushed yet");
        block_on(recorder.flush(first)).unwrap();
        assert_eq!(states(&recorder), ["1|1|0|503|503|NULL"]);
        assert!(matches!(defer(503), Deferred::Flush(_)));
        assert_eq!(recorder.take_lost(), []);
    }

    #[test]
    fn while_the_database_is_locked_the_batch_grows() {
        let recorder = recorder(1);
        recorder.database.answer_at_the_second_poll();
        recorder
            .database
            .fail("recorded_calls", "database is locked", 3);
        let statements = recorder.database.statements();
        let commits = (0..100).map(|index| recorder.commit(attempt(1, Outcome::Success, index)));
        assert!(block_on(join_all(commits)).iter().all(Result::is_ok));
        assert_eq!(
            recorder.database.statements() - statements,
            4,
            "three in vain, and one for all"
        );
        assert_eq!(states(&recorder), ["1|1|0|100|100|NULL"]);
    }

    #[test]
    fn while_the_database_stays_locked_nobody_waits_longer_than_a_row_may_take() {
        for try_ms in [0, 10, 100] {
            let recorder = &recorder(1);
            let database = &recorder.database;
            database.each_try_takes(try_ms);
            database.answer_at_the_second_poll();
            database.fail("recorded_calls", "database is locked", usize::MAX);
            // Another one comes with each try; all of them are under way together.
            let commits = (0..20).map(|index| async move {
                while database.clock_ms() < index * 200 {
                    yield_now().await;
                }
                let began = database.clock_ms();
                let result = recorder.commit(attempt(1, Outcome::Success, 0)).await;
                assert!(result.is_err_and(|error| error.is_busy()));
                database.clock_ms() - began
            });
            let waited = block_on(join_all(commits));
            for ms in waited {
                let range = ROW_WAIT_MS - 200..=ROW_WAIT_MS + try_ms;
                assert!(range.contains(&ms), "{ms} ms in tries of {try_ms} ms");
            }
        }
    }

    #[test]
    fn a_row_that_has_no_time_left_is_tried_once() {
        let recorder = recorder(1);
        let call = attempt(1, Outcome::Success, 0);
        block_on(recorder.commit_within(call, 0)).unwrap();
        recorder
            .database
            .fail("recorded_calls", "database is locked", usize::MAX);
        let late = recorder.commit_within(attempt(1, Outcome::Success, 0), 0);
        assert!(block_on(late).is_err_and(|error| error.is_busy()));
        assert!(recorder.database.clock_ms() <= 20);
    }

    #[test]
    fn a_state_that_stays_locked_is_not_waited_for_again_for_its_row() {
        let recorder = recorder(1);
        recorder
            .database
            .fail("UPDATE api_keys", "database is locked", usize::MAX);
        let result = block_on(recorder.commit(attempt(1, Outcome::ProjectRefused, 0)));
        assert!(result.is_err_and(|error| error.is_busy()));
        let waited = recorder.database.clock_ms();
        assert!(waited <= ROW_WAIT_MS, "{waited}");
    }

    #[test]
    fn a_failure_is_in_the_log_even_when_the_keys_state_cannot_be_moved() {
        let recorder = recorder(1);
        recorder
            .database
            .fail("UPDATE api_keys SET status", "disk I/O error", 1);
        assert!(block_on(recorder.commit(attempt(1, Outcome::ProjectRefused, 0))).is_err());
        assert_eq!(
            recorder
                .database
                .query("SELECT success, response_status FROM api_call_logs"),
            ["0|403"]
        );
    }

    #[test]
    fn parallel_writers_disable_no_more_than_half() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.db");
        let database = NativeDatabase::migrated_at(&path);
        for id in 1..=12 {
            database.run(&format!(
                "INSERT INTO api_keys (id, api_key) VALUES ({id}, 'fake-{id}')"
            ));
        }
        // A success after them all, so that nothing is put down to the upstream.
        database.run(
            "UPDATE api_keys SET last_success_began_at = '2027-01-15T08:00:01.000Z' WHERE id = 12",
        );
        std::thread::scope(|scope| {
            for id in 1..=11 {
                let path = &path;
                scope.spawn(move || {
                    let recorder = Recorder::new(Rc::new(NativeDatabase::open(path)), native);
                    commit(&recorder, attempt(id, Outcome::KeyRejected, 0));
                });
            }
        });
        assert_eq!(
            database.query("SELECT count(*) FROM api_keys WHERE status = 0"),
            ["6"]
        );
        assert_eq!(
            database.query("SELECT sum(total_calls) FROM api_keys"),
            ["11"]
        );
    }

    #[test]
    fn parallel_writers_that_fail_alike_leave_every_key_in_use() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("pool.db");
            let database = NativeDatabase::migrated_at(&path);
            for id in 1..=3 {
                // One failure more, and it pauses.
                database.run(&format!(
                    "INSERT INTO api_keys (id, api_key, consecutive_failures) VALUES ({id}, 'fake-{id}', 1)"
                ));
            }
            let start = std::sync::Barrier::new(3);
            std::thread::scope(|scope| {
                for id in 1..=3 {
                    let (path, start) = (&path, &start);
                    scope.spawn(move || {
                        let recorder = Recorder::new(Rc::new(NativeDatabase::open(path)), native);
                        start.wait();
                        commit(&recorder, attempt(id, Outcome::ProjectRefused, 0));
                    });
                }
            });
            assert_eq!(
                database.query("SELECT count(*) FROM api_keys WHERE status = 1"),
                ["3"],
                "the third is suspected, and the others' pauses are taken back"
            );
        }
    }

    #[test]
    fn parallel_writers_lose_no_update() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.db");
        let database = NativeDatabase::migrated_at(&path);
        database.run("INSERT INTO api_keys (id, api_key) VALUES (1, 'fake-1'), (2, 'fake-2')");
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let recorder = Recorder::new(Rc::new(NativeDatabase::open(&path)), native);
                    for round in 0..30 {
                        commit(&recorder, attempt(1, Outcome::ProjectRefused, round));
                        commit(&recorder, attempt(2, Outcome::Success, round));
                    }
                });
            }
        });
        let counts = "SELECT id, consecutive_failures, total_calls, success_calls FROM api_keys";
        assert_eq!(database.query(counts), ["1|2|180|0", "2|0|180|180"]);
        assert_eq!(
            database.query("SELECT count(*), count(DISTINCT id) FROM api_call_logs WHERE outcome = 'project_refused'"),
            ["180|180"]
        );
        assert_eq!(
            database.query("SELECT count(*) FROM api_call_logs"),
            ["360"]
        );
    }
}
