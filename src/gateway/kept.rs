//! What an instance keeps between requests: the open database, the recorder, and a view of the pool.
//!
//! The view may be half a second old, and less when a request has just learned from a failure that things change. The
//! instance's own changes are entered as they are made. Where the database refuses, the view is what the pool goes on
//! with: an older one rather than none, and what could not be written is remembered here.

use super::models::Listed;
use super::ports::System;
use crate::pool::{
    Change, Claim, CoolDown, Incident, KeyId, Place, RetryBudget, RetryMinute, Scope, Snapshot,
    UnixMillis, Verdict,
};
use crate::store::{
    self, Attempt, Database, DatabaseError, Moved, OPTIONAL_WAIT_MS, PoolRead, ROW_WAIT_MS,
    Readiness, Recorder, Within,
};
use crate::sync::NewNotify;
use crate::sync::{Exclusive, Permit, SingleFlight};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::cell::{Cell, RefCell, RefMut};
use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::rc::Rc;

/// How old the view may be for a request's first draw, in milliseconds.
pub(super) const MAX_AGE_MS: i64 = 500;
/// And after a failure, when others will have found out the same things: in milliseconds.
pub(super) const MAX_AGE_AFTER_FAILURE_MS: i64 = 50;

/// How long a cool-down is remembered that could not be written, in milliseconds: 60 s. Then the next call finds out again,
/// and what a person has changed meanwhile counts.
const UNWRITTEN_MS: i64 = 60_000;

/// How long the pool counts as ready, or not, in milliseconds: 1 s.
const READINESS_MS: i64 = 1_000;

/// What an instance keeps, for one request, whose statements share their waits for the database.
pub(super) struct Kept<D> {
    shared: Rc<Shared<D>>,
    /// The database. Everything that changes something through it can be left undone.
    pub(super) database: Rc<Within<D>>,
    /// How long the response may still wait for rows, in milliseconds.
    rows_ms: Cell<u64>,
}

/// What an instance keeps.
pub(super) struct Shared<D> {
    pub(super) recorder: Recorder<D>,
    new_notify: NewNotify,
    snapshot: RefCell<Snapshot>,
    /// The latest reading; `None` once it is known to be out of date.
    latest: RefCell<Option<Reading>>,
    /// Readings that have begun so far.
    readings: Cell<u64>,
    /// Whether the view is of any reading.
    is_read: Cell<bool>,
    /// Whether all keys are in the view.
    is_whole: Cell<bool>,
    loading: Exclusive,
    /// The reading that is under way is out of date already.
    outdated: Cell<bool>,
    /// Own changes since the reading that is under way began: they may be missing in it.
    meanwhile: RefCell<Vec<Change>>,
    /// Cool-downs that the database did not take, and when that was.
    unwritten: RefCell<HashMap<Place, (CoolDown, UnixMillis)>>,
    /// Retries that the database could not count.
    retries: Cell<RetryMinute>,
    /// Broken rows, and columns of others, that the operator has been told of.
    told: RefCell<HashSet<(KeyId, &'static str)>>,
    /// Rows of `limits` that the operator has been told of.
    told_limits: RefCell<HashSet<String>>,
    /// Whether the pool is ready, and when that was found out.
    readiness: RefCell<Option<(UnixMillis, Result<Readiness, DatabaseError>)>>,
    checking: Exclusive,
    /// Lists of models that are being fetched, by where they are at the upstream.
    model_lists: RefCell<HashMap<String, Rc<SingleFlight<Listed>>>>,
}

/// How much of the pool a view has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Enough keys to draw one: of a pool of many, a sample.
    Sample,
    /// All keys.
    Whole,
}

struct Reading {
    number: u64,
    began_at: UnixMillis,
    extent: Extent,
    result: Result<(), DatabaseError>,
}

impl<D> Deref for Kept<D> {
    type Target = Shared<D>;

    fn deref(&self) -> &Shared<D> {
        &self.shared
    }
}

impl<D: Database> Kept<D> {
    pub(super) fn new(database: Rc<D>, new_notify: NewNotify) -> Self {
        let shared = Rc::new(Shared::new(Rc::clone(&database), new_notify));
        Self::of(shared, database)
    }

    fn of(shared: Rc<Shared<D>>, database: Rc<D>) -> Self {
        Self {
            shared,
            database: Rc::new(Within::optional(database, OPTIONAL_WAIT_MS)),
            rows_ms: Cell::new(ROW_WAIT_MS),
        }
    }

    /// The same for another request.
    pub(super) fn for_request(&self) -> Rc<Self> {
        let database = Rc::clone(self.database.inner());
        Rc::new(Self::of(Rc::clone(&self.shared), database))
    }

    /// Writes an attempt down, and waits for it no longer than the response may.
    pub(super) async fn commit(&self, attempt: Attempt) -> Result<Moved, DatabaseError> {
        let began = self.database.inner().clock_ms();
        let left = self.rows_ms.get();
        // Something is left for the row of the attempt that the client sees answered.
        let limit = match attempt.outcome.verdict() {
            Verdict::Works => left,
            _ => left / 2,
        };
        let committed = self.recorder.commit_within(attempt, limit).await;
        let took = self.database.inner().clock_ms().saturating_sub(began);
        self.rows_ms.set(left.saturating_sub(took));
        committed
    }

    /// Has a place cool for what has happened; also where the database does not take it.
    pub(super) async fn cool(
        &self,
        place: &Place,
        incident: &Incident,
    ) -> Result<(), DatabaseError> {
        // What nobody else knows of is to be written, too.
        let is_written = !self.unwritten.borrow().contains_key(place);
        let known = self.view().cool_down(place).copied().filter(|_| is_written);
        match store::cool(&*self.database, place, incident, known).await {
            Ok(cool_down) => {
                self.unwritten.borrow_mut().remove(place);
                if let Some(cool_down) = cool_down {
                    self.change(Change::CoolDown(place.clone(), cool_down));
                }
                Ok(())
            }
            Err(error) => {
                self.cool_here(place, incident);
                Err(error)
            }
        }
    }

    /// A call that began at `began_at` has worked.
    pub(super) async fn end_cool_down(
        &self,
        place: &Place,
        began_at: UnixMillis,
    ) -> Result<(), DatabaseError> {
        let written = store::end_cool_down(&*self.database, place, began_at).await;
        // Afterwards, so that no reading in between takes it back.
        self.change(Change::Worked(place.clone(), began_at));
        written
    }

    /// Ends the trials that were to end by `until`, where they have not ended otherwise.
    pub(super) async fn release(
        &self,
        claims: &[Claim],
        until: UnixMillis,
    ) -> Result<(), DatabaseError> {
        let mut result = Ok(());
        for claim in claims {
            result = result.and(store::release(&*self.database, claim, until).await);
            self.change(Change::TrialEnded(claim.clone(), until));
        }
        result
    }

    /// Takes a retry from the pool's budget, or, where the database cannot count it, from this instance's.
    pub(super) async fn take_retry(&self, now: UnixMillis) -> (bool, Result<(), DatabaseError>) {
        let budget = RetryBudget::default();
        match store::take_retry(&*self.database, budget, now).await {
            Ok(taken) => (taken, Ok(())),
            Err(error) => {
                let (taken, retries) = self.retries.get().take(&budget, now);
                self.retries.set(retries);
                (taken, Err(error))
            }
        }
    }

    /// Reads the view again where it is older than `max_age_ms`. Of many requests that find it so, one reads, and all have
    /// what comes of it, a failure too; the view is then as it was before.
    pub(super) async fn refresh<S: System>(
        &self,
        system: &S,
        extent: Extent,
        max_age_ms: i64,
    ) -> Result<(), DatabaseError> {
        let mut now = system.now();
        let oldest = now.plus(-max_age_ms);
        let readings = self.readings.get();
        loop {
            if let Some(latest) = &*self.latest.borrow() {
                // However long a reading takes: one that has begun since is new enough.
                // Without any view, nobody lives with a failure that is not their own.
                let counts = latest.result.is_ok() || self.is_read.get();
                let is_fresh = latest.began_at > oldest && latest.began_at <= now;
                let has_all = extent == Extent::Sample
                    || latest.extent == Extent::Whole
                    || (latest.result.is_ok() && self.is_whole());
                if has_all && ((is_fresh && counts) || latest.number > readings) {
                    return latest.result.clone();
                }
            }
            if let Some(permit) = self.loading.try_acquire() {
                self.outdated.set(false);
                let _ending = Loading {
                    kept: self,
                    _permit: permit,
                };
                let began_at = now;
                let number = self.readings.get() + 1;
                self.readings.set(number);
                let result = self.load(system, extent, began_at).await;
                if let (Err(error), true) = (&result, self.is_read.get()) {
                    system.log(&format!(
                        "the pool goes on with what it knows of its keys: {error}"
                    ));
                }
                if !self.outdated.get() {
                    self.latest.replace(Some(Reading {
                        number,
                        began_at,
                        extent,
                        result: result.clone(),
                    }));
                }
                return result;
            }
            self.loading.released(self.new_notify).await;
            now = system.now();
        }
    }

    async fn load<S: System>(
        &self,
        system: &S,
        extent: Extent,
        began_at: UnixMillis,
    ) -> Result<(), DatabaseError> {
        let sample_by = match extent {
            Extent::Sample => Some(SmallRng::seed_from_u64(system.random()).random()),
            Extent::Whole => None,
        };
        let PoolRead {
            mut snapshot,
            is_whole,
            broken,
            malformed,
            unread_limits,
        } = store::read_pool(&*self.database, sample_by, began_at).await?;
        // Each once: there may be a thousand calls a second.
        let is_new = |told| self.told.borrow_mut().insert(told);
        for id in broken {
            if is_new((id, "")) {
                system.log(&format!("key {id} is left out: its status, its pause or its text cannot be used; repair or delete its row"));
            }
        }
        for (id, column) in malformed {
            if is_new((id, column)) {
                system.log(&format!("key {id}: the text in its column `{column}` is not UTF-8, or too long, and counts as empty; repair it"));
            }
        }
        for limit in unread_limits {
            if self.told_limits.borrow_mut().insert(limit.clone()) {
                system.log(&format!("a row of `limits` is left out, since its values are not all known: {limit}; repair or delete it"));
            }
        }
        self.unwritten
            .borrow_mut()
            .retain(|place, (cool_down, at)| {
                let known = snapshot.cool_down(place);
                let counts = cool_down.holds(began_at)
                    && began_at.since(*at) < UNWRITTEN_MS
                    && known.is_none_or(|known| known.until < cool_down.until);
                if counts {
                    snapshot.set_cool_down(place, *cool_down);
                }
                counts
            });
        for change in self.meanwhile.borrow().iter() {
            snapshot.apply(change);
        }
        self.snapshot.replace(snapshot);
        self.is_whole.set(is_whole);
        self.is_read.set(true);
        Ok(())
    }

    /// Whether the pool can serve, as it was found out at most a second ago. Concurrent callers wait for the first and share
    /// its result.
    pub(super) async fn readiness<S: System>(
        &self,
        system: &S,
    ) -> Result<Readiness, DatabaseError> {
        loop {
            let now = system.now();
            if let Some((at, readiness)) = &*self.readiness.borrow()
                && *at <= now
                && now.since(*at) < READINESS_MS
            {
                return readiness.clone();
            }
            if let Some(_permit) = self.checking.try_acquire() {
                let readiness = store::readiness(self.database.inner(), now).await;
                // The time after it: those who have waited for it are to have it.
                self.shared
                    .readiness
                    .replace(Some((system.now(), readiness.clone())));
                return readiness;
            }
            self.checking.released(self.new_notify).await;
        }
    }
}

impl<D: Database> Shared<D> {
    fn new(database: Rc<D>, new_notify: NewNotify) -> Self {
        Self {
            recorder: Recorder::new(database, new_notify),
            new_notify,
            snapshot: RefCell::default(),
            latest: RefCell::default(),
            readings: Cell::default(),
            is_read: Cell::default(),
            is_whole: Cell::default(),
            loading: Exclusive::default(),
            outdated: Cell::default(),
            meanwhile: RefCell::default(),
            unwritten: RefCell::default(),
            retries: Cell::default(),
            told: RefCell::default(),
            told_limits: RefCell::default(),
            readiness: RefCell::default(),
            checking: Exclusive::default(),
            model_lists: RefCell::default(),
        }
    }

    /// The pool as the instance knows it. Not to be held over an `await`.
    pub(super) fn view(&self) -> RefMut<'_, Snapshot> {
        self.snapshot.borrow_mut()
    }

    /// Enters a change that the instance has made.
    pub(super) fn change(&self, change: Change) {
        self.snapshot.borrow_mut().apply(&change);
        if matches!(change, Change::State(..)) {
            self.readiness.replace(None);
        }
        if self.loading.is_held() {
            self.meanwhile.borrow_mut().push(match change {
                // The reading may have counted it already, and to count it twice would keep calls out that the database
                // allows.
                Change::Sent { key, now, .. } => Change::Sent {
                    key,
                    counted: Vec::new(),
                    input_tokens: 0,
                    now,
                },
                change => change,
            });
        }
    }

    /// Has a place cool as far as this instance is concerned.
    pub(super) fn cool_here(&self, place: &Place, incident: &Incident) {
        let known = self.view().cool_down(place).copied();
        if let Some(cool_down) = CoolDown::after(known.as_ref(), incident) {
            self.change(Change::CoolDown(place.clone(), cool_down));
            let entry = (cool_down, incident.ended_at);
            self.unwritten.borrow_mut().insert(place.clone(), entry);
        }
    }

    /// Forgets what the database did not take of these scopes.
    pub(super) fn forget(&self, scopes: &[Scope]) {
        self.unwritten
            .borrow_mut()
            .retain(|place, _| !scopes.contains(&place.scope));
    }

    /// Has the view read again before it is used next.
    pub(super) fn outdate(&self) {
        self.latest.replace(None);
        self.readiness.replace(None);
        self.outdated.set(true);
    }

    /// The list of models at a path of the upstream's, to be fetched by the first who asks for it.
    pub(super) fn model_list(&self, path: &str) -> Rc<SingleFlight<Listed>> {
        let mut lists = self.model_lists.borrow_mut();
        Rc::clone(lists.entry(path.to_owned()).or_default())
    }

    /// Has the next who asks fetch the list anew.
    pub(super) fn end_model_list(&self, path: &str, list: &Rc<SingleFlight<Listed>>) {
        let mut lists = self.model_lists.borrow_mut();
        if lists.get(path).is_some_and(|own| Rc::ptr_eq(own, list)) {
            lists.remove(path);
        }
    }

    /// How a task waits for another one.
    pub(super) fn new_notify(&self) -> NewNotify {
        self.new_notify
    }

    /// Whether all keys of the pool are in the view.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole.get()
    }

    /// Whether there is a view at all.
    pub(super) fn is_read(&self) -> bool {
        self.is_read.get()
    }
}

/// Forgets what was noted for the reading under way, before who waits is woken; also when it is cancelled.
struct Loading<'a, D> {
    kept: &'a Shared<D>,
    _permit: Permit<'a>,
}

impl<D> Drop for Loading<'_, D> {
    fn drop(&mut self) {
        self.kept.meanwhile.borrow_mut().clear();
    }
}
