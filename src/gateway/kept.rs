//! What an instance keeps between requests: the open database, the recorder, and a view of the pool.
//!
//! The view may be half a second old, and less when a request has just learned from a failure that things change. The
//! instance's own changes are entered as they are made.

use super::ports::System;
use crate::pool::{Incident, KeyId, Place, Snapshot, UnixMillis};
use crate::signal::{NewSignal, Signal};
use crate::store::{self, Database, DatabaseError, Recorder};
use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashSet;
use std::rc::Rc;

/// How old the view may be for a request's first draw, in milliseconds.
pub(super) const MAX_AGE_MS: i64 = 500;
/// And after a failure, when others will have found out the same things: in milliseconds.
pub(super) const MAX_AGE_AFTER_FAILURE_MS: i64 = 50;

/// What an instance keeps.
pub(super) struct Kept<D> {
    pub(super) database: Rc<D>,
    pub(super) recorder: Recorder<D>,
    new_signal: NewSignal,
    snapshot: RefCell<Snapshot>,
    /// When the snapshot was read; `None` before the first time, and when it is known to be out of date.
    taken_at: Cell<Option<UnixMillis>>,
    /// Own changes entered so far.
    changes: Cell<u64>,
    loading: Cell<bool>,
    /// Dropped when loading has ended.
    waiting: RefCell<Vec<Signal>>,
    /// Broken rows that the operator has been told of.
    told: RefCell<HashSet<KeyId>>,
}

impl<D: Database> Kept<D> {
    pub(super) fn new(database: Rc<D>, new_signal: NewSignal) -> Self {
        Self {
            recorder: Recorder::new(Rc::clone(&database), new_signal),
            database,
            new_signal,
            snapshot: RefCell::default(),
            taken_at: Cell::default(),
            changes: Cell::default(),
            loading: Cell::default(),
            waiting: RefCell::default(),
            told: RefCell::default(),
        }
    }

    /// The pool as the instance knows it. Not to be held over an `await`.
    pub(super) fn view(&self) -> RefMut<'_, Snapshot> {
        self.snapshot.borrow_mut()
    }

    /// Enters a change that the instance has made.
    pub(super) fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        self.changes.set(self.changes.get().wrapping_add(1));
        change(&mut self.snapshot.borrow_mut());
    }

    /// Has a place cool for what has happened.
    pub(super) async fn cool(
        &self,
        place: &Place,
        incident: &Incident,
    ) -> Result<(), DatabaseError> {
        let known = self.view().cool_down(place).copied();
        if let Some(cool_down) = store::cool(&*self.database, place, incident, known).await? {
            self.change(|snapshot| snapshot.set_cool_down(place, cool_down));
        }
        Ok(())
    }

    /// Has the view read again before it is used next.
    pub(super) fn outdate(&self) {
        self.taken_at.set(None);
    }

    /// Reads the view again where it is older than `max_age_ms`. Of many requests that find it so, one reads.
    pub(super) async fn refresh<S: System>(
        &self,
        system: &S,
        max_age_ms: i64,
    ) -> Result<(), DatabaseError> {
        loop {
            let is_fresh = |at: UnixMillis| {
                let now = system.now();
                now.since(at) < max_age_ms && at <= now
            };
            if self.taken_at.get().is_some_and(is_fresh) {
                return Ok(());
            }
            if !self.loading.replace(true) {
                let _ending = Loading(self);
                return self.load(system).await;
            }
            let (signal, wait) = (self.new_signal)();
            self.waiting.borrow_mut().push(signal);
            wait.await;
        }
    }

    async fn load<S: System>(&self, system: &S) -> Result<(), DatabaseError> {
        let now = system.now();
        let changes = self.changes.get();
        let (snapshot, broken) = store::read_snapshot(&*self.database, now).await?;
        for id in broken
            .into_iter()
            .filter(|id| self.told.borrow_mut().insert(*id))
        {
            // Each once: there may be a thousand calls a second.
            system.log(&format!("key {id} is left out: its status, its pause or its text cannot be used; mend or delete its row"));
        }
        self.snapshot.replace(snapshot);
        // What was changed meanwhile may be missing in it.
        let is_whole = changes == self.changes.get();
        let age = if is_whole {
            0
        } else {
            MAX_AGE_MS - MAX_AGE_AFTER_FAILURE_MS
        };
        self.taken_at.set(Some(now.plus(-age)));
        Ok(())
    }
}

/// Wakes who waits, also when loading is cancelled.
struct Loading<'a, D>(&'a Kept<D>);

impl<D> Drop for Loading<'_, D> {
    fn drop(&mut self) {
        self.0.loading.set(false);
        self.0.waiting.borrow_mut().clear();
    }
}
