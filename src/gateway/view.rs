//! What an instance knows between requests: the open database, the recorder, and a view of the
//! pool.
//!
//! The view may be half a second old, and less after a request has learned from a failure that
//! things change. The instance enters its own changes as it makes them. While the database refuses,
//! the pool continues with the view that it has, and remembers here what could not be written.

use super::client_tokens::ClientTokens;
use super::ports::System;
use crate::config::Config;
use crate::pool::{
    Change, Claim, CoolDown, Failover, Incident, KeyId, KeyStatus, Moment, QuotaScope, RetryBudget,
    RetryMinute, Scope, Snapshot, Step, UnixMillis, Verdict,
};
use crate::store::{
    self, AttemptRow, Database, DatabaseError, ErrorKind, KeyVault, Moved, OPTIONAL_WAIT_MS,
    PoolRead, ROW_WAIT_MS, Readiness, Recorder, Within,
};
use crate::sync::{Exclusive, NewNotify, Permit};
use crate::wire::redact::reveals;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use std::cell::{Cell, RefCell, RefMut};
use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::rc::Rc;

/// How old the view may be for a request's first draw, in milliseconds.
pub(super) const MAX_AGE_MS: i64 = 500;
/// How old it may be after a failure, which other instances will have seen, too: in milliseconds.
pub(super) const MAX_AGE_AFTER_FAILURE_MS: i64 = 50;

/// How many times a sample of the keys is used: few enough that its keys get little more than their
/// share of a busy minute.
const SAMPLE_USES: u32 = 128;

/// How long a cool-down that could not be written is remembered, in milliseconds: 60 s. Then the
/// next call finds out again, and what a person has changed in between counts.
const UNWRITTEN_MS: i64 = 60_000;

/// How long a check of the pool's readiness is valid, in milliseconds: 1 s.
const READINESS_MS: i64 = 1_000;

/// The view of the pool for one request, whose statements share one allowance of time.
pub(super) struct PoolView<D> {
    shared: Rc<Shared<D>>,
    /// The database, for statements that the request can do without.
    pub(super) database: Rc<Within<D>>,
    /// How long the response may still wait for log rows, in milliseconds.
    rows_ms: Cell<u64>,
}

/// What all requests of an instance share.
pub(super) struct Shared<D> {
    pub(super) recorder: Recorder<D>,
    pub(super) client_tokens: ClientTokens,
    /// What opens the keys.
    pub(super) vault: KeyVault,
    new_notify: NewNotify,
    snapshot: RefCell<Snapshot>,
    /// The latest reading; `None` once it is known to be out of date.
    latest: RefCell<Option<Reading>>,
    /// Readings that have started so far.
    readings: Cell<u64>,
    /// Whether the pool was ever read.
    is_read: Cell<bool>,
    /// Whether the snapshot has all keys.
    is_whole: Cell<bool>,
    reading: Exclusive,
    /// The reading under way is out of date already.
    outdated: Cell<bool>,
    /// Own changes since the reading under way started, which it may lack.
    pending: RefCell<Vec<Change>>,
    /// Cool-downs that the database did not take, and since when.
    unwritten: RefCell<HashMap<QuotaScope, (CoolDown, UnixMillis)>>,
    /// Retries that the database could not count.
    retries: Cell<RetryMinute>,
    reported: RefCell<Reported>,
    /// Whether the pool was ready, and when that was checked.
    readiness: RefCell<Option<(UnixMillis, store::Result<Readiness>)>>,
    checking: Exclusive,
    /// When alerts were last checked; `None` once a key was disabled since.
    pub(super) alerts_checked_at: Cell<Option<UnixMillis>>,
}

/// Broken rows that the operator was told of, each once: there may be a thousand calls a second.
#[derive(Default)]
struct Reported {
    keys: HashSet<(KeyId, &'static str)>,
    limits: HashSet<String>,
}

/// How much of the pool a snapshot must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coverage {
    /// Enough keys to draw one: of a large pool, a sample.
    Sample,
    /// All keys.
    Whole,
}

impl Coverage {
    /// What a draw needs, unless the sample offers no choice.
    pub(super) fn needed_by(failover: &Failover) -> Self {
        match failover.needs_all_keys() {
            true => Self::Whole,
            false => Self::Sample,
        }
    }
}

struct Reading {
    number: u64,
    started_at: UnixMillis,
    coverage: Coverage,
    result: store::Result<()>,
    uses: Cell<u32>,
}

impl<D> Deref for PoolView<D> {
    type Target = Shared<D>;

    fn deref(&self) -> &Shared<D> {
        &self.shared
    }
}

impl<D: Database> PoolView<D> {
    pub(super) fn new(database: Rc<D>, vault: KeyVault, new_notify: NewNotify) -> Self {
        let shared = Rc::new(Shared::new(Rc::clone(&database), vault, new_notify));
        Self::of(shared, database)
    }

    fn of(shared: Rc<Shared<D>>, database: Rc<D>) -> Self {
        Self {
            shared,
            database: Rc::new(Within::optional(database, OPTIONAL_WAIT_MS)),
            rows_ms: Cell::new(ROW_WAIT_MS),
        }
    }

    /// The same view with the allowance of another request.
    pub(super) fn for_request(&self) -> Rc<Self> {
        let database = Rc::clone(self.database.inner());
        Rc::new(Self::of(Rc::clone(&self.shared), database))
    }

    /// The database, without the allowance.
    pub(super) fn unlimited_database(&self) -> &D {
        self.database.inner()
    }

    /// The same for a body that outlives the request.
    pub(super) fn shared_database(&self) -> &Rc<D> {
        self.database.inner()
    }

    /// Draws the next key of a request, from a view no older than `max_age_ms`. Of a large pool
    /// only a sample is read, and all of it where the sample offers no choice.
    ///
    /// # Errors
    /// The pool was never read. Otherwise the draw is from an older view.
    pub(super) async fn next_step<S: System>(
        &self,
        system: &S,
        failover: &mut Failover,
        model: &str,
        max_age_ms: i64,
        rng: &mut impl Rng,
    ) -> store::Result<Step> {
        let mut coverage = Coverage::needed_by(failover);
        loop {
            self.refresh_if_possible(system, coverage, max_age_ms)
                .await?;
            let now = Moment::new(system.now());
            let snapshot = &mut self.snapshot();
            if coverage == Coverage::Sample
                && !self.is_whole.get()
                && !failover.has_choice(snapshot, model, &now)
            {
                // The sample has no untried key. The whole pool is read before giving up, since a
                // key may be left there.
                coverage = Coverage::Whole;
                continue;
            }
            return Ok(failover.next(snapshot, model, &now, rng));
        }
    }

    /// [Refreshes](Self::refresh) the view.
    ///
    /// # Errors
    /// The pool was never read, or has keys that are sealed with an unknown encryption key.
    /// Otherwise an older view is better than none.
    pub(super) async fn refresh_if_possible<S: System>(
        &self,
        system: &S,
        coverage: Coverage,
        max_age_ms: i64,
    ) -> store::Result<()> {
        match self.refresh(system, coverage, max_age_ms).await {
            Err(error) if !self.is_read.get() || is_wrong_key(&error) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Writes an attempt's row, and waits for it no longer than the response may.
    pub(super) async fn commit(&self, row: AttemptRow) -> store::Result<Moved> {
        let started = self.unlimited_database().clock_ms();
        let left = self.rows_ms.get();
        // Half is left for the row of the attempt that the client sees answered.
        let limit = match row.outcome.verdict() {
            Verdict::Works => left,
            _ => left / 2,
        };
        let committed = self.recorder.commit(row, limit).await;
        let took = self.unlimited_database().clock_ms().saturating_sub(started);
        self.rows_ms.set(left.saturating_sub(took));
        committed
    }

    /// Cools a quota scope after an incident, even if the database does not accept it.
    pub(super) async fn cool(&self, scope: &QuotaScope, incident: &Incident) -> store::Result<()> {
        // If the current cool-down was never written, this one must be, whatever it changes.
        let is_written = !self.unwritten.borrow().contains_key(scope);
        let known = self.snapshot().cool_down(scope).copied();
        let known = known.filter(|_| is_written);
        match store::cool(&*self.database, scope, incident, known).await {
            Ok(cool_down) => {
                self.unwritten.borrow_mut().remove(scope);
                if let Some(cool_down) = cool_down {
                    self.change(Change::CoolDown(scope.clone(), cool_down));
                }
                Ok(())
            }
            Err(error) => {
                self.cool_here(scope, incident);
                Err(error)
            }
        }
    }

    /// Ends a cool-down that was over when a call that worked started, at `started_at`.
    pub(super) async fn end_cool_down(
        &self,
        scope: &QuotaScope,
        started_at: UnixMillis,
    ) -> store::Result<()> {
        let written = store::end_cool_down(&*self.database, scope, started_at).await;
        // Afterwards, so that no reading in between reverts it.
        self.change(Change::Worked(scope.clone(), started_at));
        written
    }

    /// Releases trials that were claimed until `until`, unless they have ended otherwise.
    pub(super) async fn release(&self, claims: &[Claim], until: UnixMillis) -> store::Result<()> {
        let mut result = Ok(());
        for claim in claims {
            result = result.and(store::release(&*self.database, claim, until).await);
            self.change(Change::TrialEnded(claim.clone(), until));
        }
        result
    }

    /// Withdraws a retry from the pool's budget, or from this instance's while the database cannot
    /// count it.
    pub(super) async fn take_retry(&self, now: UnixMillis) -> Retry {
        let budget = RetryBudget::default();
        match store::take_retry(&*self.database, budget, now).await {
            Ok(is_granted) => Retry {
                is_granted,
                uncounted: None,
            },
            Err(error) => {
                let counted = self.retries.get().with_retry(&budget, now);
                if let Some(retries) = counted {
                    self.retries.set(retries);
                }
                Retry {
                    is_granted: counted.is_some(),
                    uncounted: Some(error),
                }
            }
        }
    }

    /// Reads the view again if it is older than `max_age_ms`. Concurrent refreshes are coalesced:
    /// one reads, and all receive its result.
    ///
    /// # Errors
    /// The database refused. The old view stays.
    pub(super) async fn refresh<S: System>(
        &self,
        system: &S,
        coverage: Coverage,
        max_age_ms: i64,
    ) -> store::Result<()> {
        let mut now = system.now();
        let oldest = now.plus(-max_age_ms);
        let readings = self.readings.get();
        loop {
            if let Some(latest) = &*self.latest.borrow() {
                // Before the first successful read, a caller never inherits another caller's error.
                let counts = latest.result.is_ok() || self.is_read.get();
                let is_fresh = latest.started_at > oldest && latest.started_at <= now;
                let is_used_up = !self.is_whole.get() && latest.uses.get() >= SAMPLE_USES;
                // A reading that started after this call is new enough, however long it took.
                let is_newer = latest.number > readings;
                let has_all = coverage == Coverage::Sample
                    || latest.coverage == Coverage::Whole
                    || (latest.result.is_ok() && self.is_whole.get());
                if has_all && ((is_fresh && counts && !is_used_up) || is_newer) {
                    latest.uses.update(|uses| uses.saturating_add(1));
                    return latest.result.clone();
                }
            }
            if let Some(permit) = self.reading.try_acquire() {
                return self.read(permit, system, coverage, now).await;
            }
            self.reading.released(self.new_notify).await;
            now = system.now();
        }
    }

    async fn read<S: System>(
        &self,
        permit: Permit<'_>,
        system: &S,
        coverage: Coverage,
        started_at: UnixMillis,
    ) -> store::Result<()> {
        self.outdated.set(false);
        let _reading = ReadingGuard {
            shared: self,
            _permit: permit,
        };
        let number = self.readings.get() + 1;
        self.readings.set(number);
        let result = self.load(system, coverage, started_at).await;
        if let (Err(error), true) = (&result, self.is_read.get())
            && !is_wrong_key(error)
        {
            system.log(&format!(
                "the pool cannot be read and continues with the keys that it knows: {error}"
            ));
        }
        if !self.outdated.get() {
            self.latest.replace(Some(Reading {
                number,
                started_at,
                coverage,
                result: result.clone(),
                uses: Cell::new(1),
            }));
        }
        result
    }

    async fn load<S: System>(
        &self,
        system: &S,
        coverage: Coverage,
        started_at: UnixMillis,
    ) -> store::Result<()> {
        let sample_by = match coverage {
            Coverage::Sample => Some(SmallRng::seed_from_u64(system.random()).random()),
            Coverage::Whole => None,
        };
        let read = store::read_pool(&*self.database, &self.vault, sample_by, started_at).await?;
        self.report_broken_rows(system, &read);
        let PoolRead {
            mut snapshot,
            is_whole,
            ..
        } = read;
        self.unwritten
            .borrow_mut()
            .retain(|scope, (cool_down, at)| {
                let known = snapshot.cool_down(scope);
                let counts = cool_down.holds(started_at)
                    && started_at.since(*at) < UNWRITTEN_MS
                    && known.is_none_or(|known| known.until < cool_down.until);
                if counts {
                    snapshot.set_cool_down(scope, *cool_down);
                }
                counts
            });
        for change in self.pending.borrow().iter() {
            snapshot.apply(change);
        }
        self.snapshot.replace(snapshot);
        self.is_whole.set(is_whole);
        self.is_read.set(true);
        Ok(())
    }

    fn report_broken_rows<S: System>(&self, system: &S, read: &PoolRead) {
        let mut reported = self.reported.borrow_mut();
        for id in &read.broken {
            if reported.keys.insert((*id, "")) {
                system.log(&format!("key {id} is left out: its status, its pause or its text cannot be used; repair or delete its row"));
            }
        }
        for (id, column) in &read.malformed {
            if reported.keys.insert((*id, column)) {
                system.log(&format!("key {id}: the text in its column `{column}` is not UTF-8, or too long, and counts as empty; repair it"));
            }
        }
        for limit in &read.invalid_limits {
            if reported.limits.insert(limit.clone()) {
                system.log(&format!("a row of `limits` is left out, since its values are not all known: {limit}; repair or delete it"));
            }
        }
    }

    /// Whether the pool can serve, as of at most a second ago. Concurrent callers share one check.
    pub(super) async fn readiness<S: System>(&self, system: &S) -> store::Result<Readiness> {
        loop {
            let now = system.now();
            if let Some((at, readiness)) = &*self.readiness.borrow()
                && *at <= now
                && now.since(*at) < READINESS_MS
            {
                return readiness.clone();
            }
            if let Some(_permit) = self.checking.try_acquire() {
                let readiness = store::readiness(self.database.inner(), &self.vault, now).await;
                // Dated after the check, so that it is valid for the callers that waited for it.
                self.shared
                    .readiness
                    .replace(Some((system.now(), readiness.clone())));
                return readiness;
            }
            self.checking.released(self.new_notify).await;
        }
    }
}

fn is_wrong_key(error: &DatabaseError) -> bool {
    error.kind() == ErrorKind::WrongEncryptionKey
}

/// Whether a retry may be made.
pub(super) struct Retry {
    pub(super) is_granted: bool,
    /// Why it is counted in this instance alone, if it is.
    pub(super) uncounted: Option<DatabaseError>,
}

impl<D: Database> Shared<D> {
    fn new(database: Rc<D>, vault: KeyVault, new_notify: NewNotify) -> Self {
        Self {
            recorder: Recorder::new(database),
            client_tokens: ClientTokens::default(),
            vault,
            new_notify,
            snapshot: RefCell::default(),
            latest: RefCell::default(),
            readings: Cell::default(),
            is_read: Cell::default(),
            is_whole: Cell::default(),
            reading: Exclusive::default(),
            outdated: Cell::default(),
            pending: RefCell::default(),
            unwritten: RefCell::default(),
            retries: Cell::default(),
            reported: RefCell::default(),
            readiness: RefCell::default(),
            checking: Exclusive::default(),
            alerts_checked_at: Cell::default(),
        }
    }

    /// The pool as the instance knows it. Must not be held over an `await`.
    pub(super) fn snapshot(&self) -> RefMut<'_, Snapshot> {
        self.snapshot.borrow_mut()
    }

    /// Whether a name contains the client token, or a key as far as the instance knows them. Such a
    /// name is not stored.
    pub(super) fn reveals_secret(&self, config: &Config, name: &str) -> bool {
        reveals(name, config.secrets())
            || reveals(
                name,
                self.snapshot().keys().iter().map(|key| key.key.expose()),
            )
    }

    /// Enters a change that the instance has made.
    pub(super) fn change(&self, change: Change) {
        self.snapshot.borrow_mut().apply(&change);
        if let Change::State(_, state) = &change {
            self.readiness.replace(None);
            if state.status == KeyStatus::Disabled {
                self.alerts_checked_at.set(None);
            }
        }
        if self.reading.is_held() {
            self.pending.borrow_mut().push(match change {
                // The reading may have counted the call. Counting it twice would keep calls out
                // that the database allows.
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

    /// Cools a quota scope in this instance alone.
    pub(super) fn cool_here(&self, scope: &QuotaScope, incident: &Incident) {
        let known = self.snapshot().cool_down(scope).copied();
        if let Some(cool_down) = CoolDown::after(known.as_ref(), incident) {
            self.change(Change::CoolDown(scope.clone(), cool_down));
            let entry = (cool_down, incident.ended_at);
            self.unwritten.borrow_mut().insert(scope.clone(), entry);
        }
    }

    /// Forgets the cool-downs of these scopes that the database did not take.
    pub(super) fn forget(&self, scopes: &[Scope]) {
        self.unwritten
            .borrow_mut()
            .retain(|quota_scope, _| !scopes.contains(&quota_scope.scope));
    }

    /// Marks the view as out of date, so that it is read again before its next use.
    pub(super) fn outdate(&self) {
        self.latest.replace(None);
        self.readiness.replace(None);
        self.client_tokens.forget();
        self.outdated.set(true);
    }
}

/// Held while a reading is under way. On drop, also when the reading is cancelled, it discards the
/// pending changes and then wakes the callers that wait.
struct ReadingGuard<'a, D> {
    shared: &'a Shared<D>,
    _permit: Permit<'a>,
}

impl<D> Drop for ReadingGuard<'_, D> {
    fn drop(&mut self) {
        self.shared.pending.borrow_mut().clear();
    }
}
