//! Recording attempts: the log row, the key's counters, the key's state.
//!
//! - **A failure of the key** changes what the next draw may choose, so it is written at once, by
//!   compare-and-set ([`key_state`]).
//! - **The log row and the key's counters** are one statement, which is atomic and may run twice.
//!   [`Recorder::commit`] returns once it is in the database, so that no client is answered before
//!   its call is in the log.
//! - If the settings allow the row to follow later, [`Recorder::defer`] queues it, and one task
//!   flushes the queue a moment later, in one statement for many rows.

mod key_state;
mod row;

#[cfg(test)]
mod tests;

pub use key_state::Moved;
pub use row::AttemptRow;

use super::{Access, Database, DatabaseError, ROW_WAIT_MS, Result, Value, Within, write};
use crate::pool::KeyId;
use key_state::move_state;
use row::values_of;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The most rows in one statement, so that none holds the database's lock for more than a few
/// milliseconds.
const MAX_BATCH: usize = 500;

/// Fires the trigger `record_call` of migration 0002 for one row, or for many. Two fixed texts, so
/// that each connection compiles each only once.
const WRITE_CALL: &str = "INSERT INTO recorded_calls
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";
const WRITE_CALLS: &str = "INSERT INTO recorded_calls
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
    value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13,
    value ->> 14, value ->> 15, value ->> 16, value ->> 17, value ->> 18
FROM json_each(?1)";

/// What happens to a deferred row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deferred {
    /// It is written with the next [`flush`](Recorder::flush), which is scheduled.
    Queued,
    /// It is queued, too, and the caller schedules the flush.
    Flush,
    /// The queue is full: the caller commits the row now.
    Commit(AttemptRow),
}

/// A deferred row that the database did not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The id of its request.
    pub request_id: String,
    /// The key that was used.
    pub key: KeyId,
    /// Why.
    pub error: DatabaseError,
}

/// Records attempts in the database.
pub struct Recorder<D> {
    database: Rc<D>,
    deferred: RefCell<Vec<Rc<AttemptRow>>>,
    /// Whether a flush is scheduled.
    is_flush_scheduled: Cell<bool>,
    lost: RefCell<Vec<Lost>>,
}

impl<D: Database> Recorder<D> {
    /// A recorder that writes through `database`.
    pub fn new(database: Rc<D>) -> Self {
        Self {
            database,
            deferred: RefCell::default(),
            is_flush_scheduled: Cell::new(false),
            lost: RefCell::default(),
        }
    }

    /// Writes a row and returns once it is in the database. Gives up after `wait_ms` milliseconds
    /// while the database is locked.
    ///
    /// # Errors
    /// The database refused. The row may be missing from the log or from the counters.
    pub async fn commit(&self, row: AttemptRow, wait_ms: u64) -> Result<Moved> {
        let database = Within::new(Rc::clone(&self.database), wait_ms);
        let moved = match row.outcome.verdict().is_against_key() {
            true => move_state(&database, &row).await,
            false => Ok(Moved::default()),
        };
        if moved.as_ref().is_err_and(DatabaseError::is_busy) {
            // The row would only wait for as long again.
            return moved;
        }
        // If the queue is full, the task that should have flushed it was cancelled.
        if self.deferred.borrow().len() >= MAX_BATCH {
            self.write_deferred().await;
        }
        self.write_row(&database, &row).await.and(moved)
    }

    /// Queues a row to be written later. A row whose outcome counts against the key must not be
    /// deferred.
    pub fn defer(&self, row: AttemptRow) -> Deferred {
        let mut deferred = self.deferred.borrow_mut();
        if deferred.len() >= MAX_BATCH {
            return Deferred::Commit(row);
        }
        deferred.push(Rc::new(row));
        match self.is_flush_scheduled.replace(true) {
            true => Deferred::Queued,
            false => Deferred::Flush,
        }
    }

    /// Writes all rows that were deferred. Those that the database refuses are
    /// [lost](Self::take_lost).
    pub async fn flush(&self) {
        self.is_flush_scheduled.set(false);
        self.write_deferred().await;
    }

    /// Returns the rows that were lost since the last call.
    pub fn take_lost(&self) -> Vec<Lost> {
        self.lost.take()
    }

    /// Writes the queue. A row leaves it only after its attempt, so that a cancelled flush leaves
    /// its rows to the next one.
    async fn write_deferred(&self) {
        let rows = self.deferred.borrow().clone();
        for batch in rows.chunks(MAX_BATCH) {
            let results = self.write_batch(batch).await;
            self.deferred
                .borrow_mut()
                .retain(|row| !batch.iter().any(|written| Rc::ptr_eq(row, written)));
            for (row, result) in batch.iter().zip(results) {
                self.lost
                    .borrow_mut()
                    .extend(result.err().map(|error| Lost {
                        request_id: row.request_id.clone(),
                        key: row.key,
                        error,
                    }));
            }
        }
    }

    /// Writes a batch and returns one result per row.
    async fn write_batch(&self, batch: &[Rc<AttemptRow>]) -> Vec<Result<()>> {
        let database = Within::new(Rc::clone(&self.database), ROW_WAIT_MS);
        let rows: Vec<_> = batch.iter().map(|row| values_of(row)).collect();
        // No value of a row is a number that JSON cannot represent.
        let written = match serde_json::to_string(&rows) {
            Ok(rows) => write(&database, WRITE_CALLS, vec![Value::from(rows)]).await,
            Err(error) => Err(DatabaseError::new(&error.to_string())),
        };
        match written {
            Ok(_) => vec![Ok(()); batch.len()],
            // A row that the table refuses, such as that of a deleted key, must not affect the
            // others.
            Err(error) if error.kind().is_refusal() => {
                let mut results = Vec::with_capacity(batch.len());
                for row in batch {
                    results.push(self.write_row(&database, row).await);
                }
                results
            }
            Err(error) => vec![Err(error); batch.len()],
        }
    }

    /// Writes a row, and waits for a locked database as long as the allowance permits. Makes one
    /// attempt even if no time is left.
    async fn write_row(&self, database: &Within<D>, row: &AttemptRow) -> Result<()> {
        let values = Vec::from(values_of(row));
        if database.left_ms() > 0 {
            return write(database, WRITE_CALL, values).await.map(drop);
        }
        let database = database.inner();
        let written = database.try_execute(Access::Write, WRITE_CALL, values, 0);
        written.await.map(drop)
    }
}
