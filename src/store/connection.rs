//! A connection that is opened anew when it has died.
//!
//! Behind Spin's interface may be a local file or libSQL. A connection to libSQL is dead for good once it was idle for 10 s,
//! and every later statement is refused. So the connection is replaced and the statement run again, in a way that cannot
//! apply it twice: one that was refused did not run, and after an exchange that broke only a statement is repeated that is
//! safe to run twice ([`Access`]).

use super::database::{Access, Database, DatabaseError, ErrorKind, pause_after};
use super::{Row, Value};
use crate::sync::{Exclusive, NewNotify};
use futures::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::pin;
use std::rc::Rc;

/// How long SQLite itself waits for the lock within one try: 10 ms, in sleeps of a few. Its sleeps would grow to a tenth of
/// a second, and some writers would starve beside others that write all the time; and all statements of an instance wait for
/// the one that waits. Not to have it wait at all would cost a way to the host and back for each look at the lock. libSQL
/// refuses it, as all pragmas with a value, before anything is sent: that is how it is told apart.
const BUSY_TIMEOUT: &str = "PRAGMA busy_timeout = 10";
/// Readers and writers do not block each other, and a commit survives the end of the process; and the log before the
/// database's pages, of which the busiest are written with every commit, is worked off at 16 MiB instead of 4.
const PRAGMAS: [&str; 3] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA wal_autocheckpoint = 4000",
];
/// How long these wait for the lock, in milliseconds. Even a pragma finds the database locked while the last connection of
/// another instance closes it.
const SET_UP_MS: u64 = 1_000;

/// How long the lock must have been held, and how recently it was found so, for another short wait to be in vain, in
/// milliseconds.
const STUCK_MS: u64 = 200;
const STUCK_FOR_MS: u64 = 1_000;
/// A statement on a local file that takes so long, in milliseconds, is slow: then others are timed for a while.
const SLOW_MS: u64 = 500;
const TIMED_FOR_MS: u64 = 5_000;

/// What a host offers.
#[expect(
    async_fn_in_trait,
    reason = "components are single-threaded: no future here is ever sent to another thread"
)]
pub trait Connector: 'static {
    /// An open connection.
    type Connection: 'static;

    /// Opens a connection.
    ///
    /// # Errors
    /// There is no database, or it cannot be opened.
    async fn connect(&self) -> Result<Self::Connection, DatabaseError>;

    /// Runs one statement.
    ///
    /// # Errors
    /// As [`ErrorKind`] says.
    async fn execute(
        &self,
        connection: &Self::Connection,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Row>, DatabaseError>;

    /// Milliseconds of a clock that never runs backwards.
    fn clock_ms(&self) -> u64;

    /// Lets so many milliseconds pass.
    async fn wait(&self, ms: u64);
}

/// The database behind a host's connections.
pub struct Reconnecting<C: Connector> {
    connector: C,
    new_notify: NewNotify,
    connection: RefCell<Option<Rc<C::Connection>>>,
    connecting: Exclusive,
    /// Every statement is a request over a network, and there are no pragmas.
    is_remote: Cell<bool>,
    /// Since when, and until when at least, every try to write has found the lock held.
    locked: Cell<Option<(u64, u64)>>,
    /// Until when statements are timed.
    timed_until: Cell<u64>,
}

impl<C: Connector> Reconnecting<C> {
    /// Opens a connection.
    ///
    /// # Errors
    /// There is no database, or it cannot be opened.
    pub async fn open(connector: C, new_notify: NewNotify) -> Result<Self, DatabaseError> {
        let database = Self {
            connector,
            new_notify,
            connection: RefCell::default(),
            connecting: Exclusive::default(),
            is_remote: Cell::new(false),
            locked: Cell::default(),
            timed_until: Cell::default(),
        };
        database.connected().await?;
        Ok(database)
    }

    /// The connection, opened if there is none. Concurrent callers wait for the first.
    async fn connected(&self) -> Result<Rc<C::Connection>, DatabaseError> {
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

    /// Runs the pragmas, where there are any.
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

    /// Runs a statement on the connection that there is, or on a new one, and forgets a connection that has died.
    async fn run(
        &self,
        statement: &str,
        parameters: Vec<Value>,
        limit_ms: u64,
    ) -> Result<Vec<Row>, DatabaseError> {
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
                self.forget(&connection);
            }
            result
        };
        // A timer is a task of the host, and a local file needs none as long as it is well.
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
                    self.forget(&before);
                }
                Err(DatabaseError::timed_out())
            }
        }
    }

    fn time_statements(&self) {
        let now = self.connector.clock_ms();
        self.timed_until.set(now.saturating_add(TIMED_FOR_MS));
    }

    /// Has the next statement open a connection, unless somebody has opened one since.
    fn forget(&self, connection: &Rc<C::Connection>) {
        let mut current = self.connection.borrow_mut();
        if current
            .as_ref()
            .is_some_and(|current| Rc::ptr_eq(current, connection))
        {
            *current = None;
        }
    }

    fn note(&self, access: Access, began: u64, result: &Result<Vec<Row>, DatabaseError>) {
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
    ) -> Result<Vec<Row>, DatabaseError> {
        let began = self.connector.clock_ms();
        let again = self.is_remote.get().then(|| parameters.clone());
        let mut result = self.run(statement, parameters, limit_ms).await;
        if let (Err(error), Some(parameters)) = (&result, again) {
            let may_repeat = match error.kind() {
                ErrorKind::Expired => true,
                ErrorKind::Lost => access != Access::WriteOnce,
                ErrorKind::Busy
                | ErrorKind::NoSuchTable
                | ErrorKind::DuplicateColumn
                | ErrorKind::Refused => false,
            };
            let took = self.connector.clock_ms().saturating_sub(began);
            let left = limit_ms.saturating_sub(took);
            if may_repeat && left > 0 {
                result = self.run(statement, parameters, left).await;
            }
        }
        self.note(access, began, &result);
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
}

impl<C: Connector> fmt::Debug for Reconnecting<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reconnecting")
    }
}

#[cfg(test)]
mod tests;
