//! A connection that reopens itself when it has died.
//!
//! Behind Spin's interface is either a local file or libSQL. A libSQL connection expires for good
//! after 10 s of idle time and refuses every later statement. So the connection is replaced and the
//! statement repeated, in a way that cannot apply it twice: a refused statement did not run, and
//! after a broken exchange only a statement that is safe to run twice is repeated ([`Access`]).

use super::database::{Access, Database, DatabaseError, ErrorKind, Result, pause_after};
use super::{Row, Value};
use crate::sync::{Exclusive, NewNotify};
use futures::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;

/// How long SQLite itself waits for the lock within one attempt: 10 ms, in sleeps of a few
/// milliseconds. With a longer timeout, its sleeps would grow to 100 ms, some writers would starve
/// while others write continuously, and all statements of an instance would wait for the one that
/// sleeps. Without any, each check of the lock would cost a call to the host. libSQL rejects this
/// pragma locally, as it does all pragmas with a value, which is how the two are told apart.
const BUSY_TIMEOUT: &str = "PRAGMA busy_timeout = 10";
/// With WAL, readers and writers do not block each other, and a commit survives a crash of the
/// process. Checkpoints run at 16 MiB instead of 4 MiB, since the busiest pages change with every
/// commit.
const PRAGMAS: [&str; 3] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA wal_autocheckpoint = 4000",
];
/// How long the pragmas wait for the lock, in milliseconds. Even a pragma finds the database locked
/// while the last connection of another instance closes it.
const SET_UP_MS: u64 = 1_000;

/// The lock counts as stuck once every write has failed for `STUCK_MS`, until `STUCK_FOR_MS` after
/// the latest failure, both in milliseconds. While it is stuck, another short wait would be futile.
const STUCK_MS: u64 = 200;
const STUCK_FOR_MS: u64 = 1_000;
/// A statement on a local file is slow if it takes at least this long, in milliseconds. Statements
/// then run with a timeout for `TIMED_FOR_MS`.
const SLOW_MS: u64 = 500;
const TIMED_FOR_MS: u64 = 5_000;

/// The host's connections and clock.
pub trait Connector: 'static {
    /// An open connection.
    type Connection: 'static;

    /// Opens a connection.
    ///
    /// # Errors
    /// The database does not exist or cannot be opened.
    async fn connect(&self) -> Result<Self::Connection>;

    /// Runs one statement.
    ///
    /// # Errors
    /// As [`ErrorKind`] says.
    async fn execute(
        &self,
        connection: &Self::Connection,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Row>>;

    /// Milliseconds of a monotonic clock.
    fn clock_ms(&self) -> u64;

    /// Waits for `ms` milliseconds.
    async fn wait(&self, ms: u64);
}

/// A [`Database`] that reconnects as needed.
pub struct Reconnecting<C: Connector> {
    connector: C,
    new_notify: NewNotify,
    connection: RefCell<Option<Rc<C::Connection>>>,
    connecting: Exclusive,
    /// Whether this is libSQL: every statement is a network request, and there are no pragmas.
    is_remote: Cell<bool>,
    /// Since when, and when last, every write has found the lock held.
    locked: Cell<Option<(u64, u64)>>,
    /// Until when statements run with a timeout.
    timed_until: Cell<u64>,
    errors: Cell<u64>,
}

impl<C: Connector> Reconnecting<C> {
    /// Opens a connection.
    ///
    /// # Errors
    /// The database does not exist or cannot be opened.
    pub async fn open(connector: C, new_notify: NewNotify) -> Result<Self> {
        let database = Self {
            connector,
            new_notify,
            connection: RefCell::default(),
            connecting: Exclusive::default(),
            is_remote: Cell::new(false),
            locked: Cell::default(),
            timed_until: Cell::default(),
            errors: Cell::default(),
        };
        database.connected().await?;
        Ok(database)
    }

    /// The connection, opened if necessary. Concurrent callers wait for the first.
    async fn connected(&self) -> Result<Rc<C::Connection>> {
        loop {
            if let Some(connection) = &*self.connection.borrow() {
                return Ok(Rc::clone(connection));
            }
            if let Some(_permit) = self.connecting.try_acquire() {
                let connection = Rc::new(self.connector.connect().await?);
                self.set_up(&connection).await;
                self.connection.replace(Some(Rc::clone(&connection)));
                return Ok(connection);
            }
            self.connecting.released(self.new_notify).await;
        }
    }

    /// Runs the pragmas, if supported.
    async fn set_up(&self, connection: &C::Connection) {
        if self.is_remote.get() {
            return;
        }
        let execute =
            |pragma| async move { self.connector.execute(connection, pragma, Vec::new()).await };
        if execute(BUSY_TIMEOUT)
            .await
            .is_err_and(|error| !error.is_busy())
        {
            self.is_remote.set(true);
            return;
        }
        let began = self.connector.clock_ms();
        for pragma in PRAGMAS {
            while execute(pragma).await.is_err_and(|error| error.is_busy()) {
                let waited = self.connector.clock_ms().saturating_sub(began);
                if waited >= SET_UP_MS {
                    return;
                }
                self.connector.wait(pause_after(waited)).await;
            }
        }
    }

    /// Runs a statement on the current connection, or on a new one, and drops a connection that has
    /// died.
    async fn run(
        &self,
        statement: &str,
        parameters: Vec<Value>,
        limit_ms: u64,
    ) -> Result<Vec<Row>> {
        let began = self.connector.clock_ms();
        let run = async {
            let connection = self.connected().await?;
            let result = self
                .connector
                .execute(&connection, statement, parameters)
                .await;
            let is_dead = |error: &DatabaseError| {
                matches!(error.kind(), ErrorKind::Expired | ErrorKind::Lost)
            };
            if result.as_ref().is_err_and(is_dead) {
                self.drop_connection(&connection);
            }
            result
        };
        // Timers cost a host task, which a healthy local file does not need.
        if !self.is_remote.get() && began >= self.timed_until.get() {
            let result = run.await;
            if self.connector.clock_ms().saturating_sub(began) >= SLOW_MS {
                self.time_statements();
            }
            return result;
        }
        let before = self.connection.borrow().clone();
        match select(pin!(run), pin!(self.connector.wait(limit_ms))).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => {
                self.time_statements();
                if let Some(before) = before.filter(|_| self.is_remote.get()) {
                    self.drop_connection(&before);
                }
                Err(DatabaseError::timed_out())
            }
        }
    }

    fn time_statements(&self) {
        let now = self.connector.clock_ms();
        self.timed_until.set(now.saturating_add(TIMED_FOR_MS));
    }

    /// Makes the next statement open a connection, unless another task has replaced it already.
    fn drop_connection(&self, connection: &Rc<C::Connection>) {
        let mut current = self.connection.borrow_mut();
        current.take_if(|current| Rc::ptr_eq(current, connection));
    }

    fn note_lock(&self, access: Access, began: u64, result: &Result<Vec<Row>>) {
        match result {
            Err(error) if error.is_busy() => {
                let since = self.locked.get().map_or(began, |(since, _)| since);
                self.locked.set(Some((since, self.connector.clock_ms())));
            }
            Ok(_) if access != Access::Read => self.locked.set(None),
            Ok(_) | Err(_) => {}
        }
    }
}

impl<C: Connector> Database for Reconnecting<C> {
    async fn try_execute(
        &self,
        access: Access,
        statement: &str,
        parameters: Vec<Value>,
        limit_ms: u64,
    ) -> Result<Vec<Row>> {
        let began = self.connector.clock_ms();
        let repeatable = self.is_remote.get().then(|| parameters.clone());
        let mut result = self.run(statement, parameters, limit_ms).await;
        if let (Err(error), Some(parameters)) = (&result, repeatable) {
            let may_repeat = match error.kind() {
                ErrorKind::Expired => true,
                ErrorKind::Lost => access != Access::WriteOnce,
                ErrorKind::Busy
                | ErrorKind::NoSuchTable
                | ErrorKind::DuplicateColumn
                | ErrorKind::Refused
                | ErrorKind::WrongEncryptionKey => false,
            };
            let took = self.connector.clock_ms().saturating_sub(began);
            let left = limit_ms.saturating_sub(took);
            if may_repeat && left > 0 {
                result = self.run(statement, parameters, left).await;
            }
        }
        self.note_lock(access, began, &result);
        result
    }

    fn clock_ms(&self) -> u64 {
        self.connector.clock_ms()
    }

    async fn pause(&self, ms: u64) {
        self.connector.wait(ms).await;
    }

    fn is_stuck(&self) -> bool {
        let now = self.connector.clock_ms();
        self.locked.get().is_some_and(|(since, last)| {
            last.saturating_sub(since) >= STUCK_MS && now.saturating_sub(last) <= STUCK_FOR_MS
        })
    }

    fn errors(&self) -> Option<&Cell<u64>> {
        Some(&self.errors)
    }
}

#[cfg(test)]
mod tests;
