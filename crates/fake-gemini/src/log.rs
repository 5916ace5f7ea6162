//! What the fake has seen: each call from its arrival to its end, and the connections they came on.
//!
//! A test reads it at any time and waits for what it expects: every change wakes those who wait, so nothing polls and
//! nothing sleeps. A call is in the log as soon as its request has arrived whole; how it ended is written before the
//! last byte leaves, so a client that has read an answer finds it ended.

use crate::credential::Credential;
use crate::hash;
use crate::surface::{Operation, Surface};
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// Not yet.
    NotYet,
    /// Answered to the end.
    Whole,
    /// The client went away before the end.
    ClientGone,
    /// Broken off by us, as scripted: reset, closed or cut short.
    BrokenOff,
    /// The fake was stopped before the end.
    Stopped,
}

/// A call as the fake saw it.
#[derive(Debug, Clone)]
pub struct Call {
    /// 0 for the first call.
    pub number: u64,
    /// Which connection it came on; 0 for the first one accepted.
    pub connection: u64,
    /// The request's method.
    pub method: Method,
    /// The path as it was sent, still encoded.
    pub path: String,
    /// What came after the question mark, still encoded.
    pub query: Option<String>,
    /// The API that it went to; `None` for a path that nothing serves.
    pub surface: Option<Surface>,
    /// What it asked for; `None` for a path that nothing serves.
    pub operation: Option<Operation>,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The request's body.
    pub body: Bytes,
    /// All credentials of the call.
    pub credentials: Vec<Credential>,
    /// The key that it was made with, known or not; `None` without a usable credential.
    pub key: Option<String>,
    /// The key's place among the registered ones, from 1; `None` for a key that is not registered. For a call that
    /// goes on with an upload, which needs no key, that of the key that began it.
    pub key_ordinal: Option<usize>,
    /// The project of that key.
    pub project: Option<String>,
    /// The model, as it was asked for.
    pub model: Option<String>,
    /// The model's id without `models/`, if it is one that the fake has.
    pub known_model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The status answered; `None` while the head is held back, and for ever if there never was one.
    pub status: Option<u16>,
    /// How it ended.
    pub ended: Ended,
    /// Events handed out so far: content of a stream, without its closing `[DONE]`. A body that is no stream is one
    /// event.
    pub events_sent: usize,
}

impl Call {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body's SHA-256 in lower-case hexadecimal digits, to compare bodies that are too long to show.
    pub fn body_sha256(&self) -> String {
        hash::sha256(&self.body)
    }

    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self {
            number: 0,
            connection: 0,
            method: Method::GET,
            path: String::new(),
            query: None,
            surface: None,
            operation: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            credentials: Vec::new(),
            key: None,
            key_ordinal: None,
            project: None,
            model: None,
            known_model: None,
            stream: false,
            status: None,
            ended: Ended::NotYet,
            events_sent: 0,
        }
    }
}

/// Counts of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// Accepted since the start.
    pub accepted: u64,
    /// Open now.
    pub open: u64,
}

/// Is told of each call when it has ended.
pub(crate) type Observer = Arc<dyn Fn(&Call) + Send + Sync>;

pub(crate) struct Log {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    stopping: AtomicBool,
    observer: Option<Observer>,
    /// How many calls are remembered.
    limit: usize,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    next: u64,
    connections: Connections,
    /// What panicked while a call was served, and its message.
    panic: Option<String>,
}

impl State {
    /// Forgets the oldest calls that have ended, as long as there are more than `limit`. Those under way are still
    /// written to.
    fn evict(&mut self, limit: usize) {
        let mut excess = self.calls.len().saturating_sub(limit);
        if excess == 0 {
            return;
        }
        self.calls.retain(|call| {
            let forget = excess > 0 && call.ended != Ended::NotYet;
            excess -= usize::from(forget);
            !forget
        });
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No calls: they hold keys and prompts.
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Log {
    pub(crate) fn new(limit: usize, observer: Option<Observer>) -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
            stopping: AtomicBool::new(false),
            observer,
            limit,
        }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.check();
        self.state().calls.clone()
    }

    pub(crate) fn connections(&self) -> Connections {
        self.state().connections
    }

    pub(crate) async fn wait_for_calls(&self, rule: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        self.wait(Self::calls, |calls| rule(calls)).await
    }

    pub(crate) async fn wait_for_connections(
        &self,
        rule: impl Fn(Connections) -> bool,
    ) -> Connections {
        self.wait(Self::connections, |connections| rule(*connections))
            .await
    }

    /// Looks again after each change. The rule is the user's code and may look at the log itself, so it sees a copy,
    /// outside of the lock.
    async fn wait<T>(&self, look: impl Fn(&Self) -> T, rule: impl Fn(&T) -> bool) -> T {
        // Subscribed before the first look, so that no change falls in between.
        let mut changes = self.changed.subscribe();
        loop {
            self.check();
            let seen = look(self);
            if rule(&seen) {
                return seen;
            }
            // Fails only without a sender, and that is `self`.
            let _ = changes.changed().await;
        }
    }

    /// Remembers a panic of `what` while a call was served, so that [`Log::check`] can tell of it. Of several, the
    /// first.
    pub(crate) fn panicked(&self, what: &str, payload: &(dyn Any + Send)) {
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = format!("{what} panicked: {}", message.unwrap_or("(no message)"));
        self.note(|state| {
            state.panic.get_or_insert(message);
        });
    }

    /// Panics if something has panicked while a call was served. There it was caught, or nobody would learn of it:
    /// here it reaches the test.
    pub(crate) fn check(&self) {
        let panic = self.state().panic.clone();
        if let Some(message) = panic {
            panic!("{message}");
        }
    }

    /// Notes a call that has arrived, and gives it its number.
    pub(crate) fn begin(self: &Arc<Self>, call: &mut Call) -> CallGuard {
        self.note(|state| {
            call.number = state.next;
            state.next += 1;
            state.calls.push(call.clone());
            state.evict(self.limit);
        });
        CallGuard {
            log: Arc::clone(self),
            number: call.number,
            ended: false,
        }
    }

    pub(crate) fn connection_opened(&self) -> u64 {
        self.note(|state| {
            state.connections.open += 1;
            state.connections.accepted += 1;
            state.connections.accepted - 1
        })
    }

    pub(crate) fn connection_closed(&self) {
        self.note(|state| {
            state.connections.open = state.connections.open.saturating_sub(1);
        });
    }

    /// From now on, calls that do not come to their end were stopped by us.
    pub(crate) fn stopping(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    fn update<T>(&self, number: u64, change: impl FnOnce(&mut Call) -> T) -> Option<T> {
        self.note(|state| {
            let mut latest_first = state.calls.iter_mut().rev();
            let result = latest_first.find(|call| call.number == number).map(change);
            state.evict(self.limit);
            result
        })
    }

    /// Changes what is noted, then wakes those who wait.
    fn note<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // The lock is let go at the end of this line: those who wake take it.
        let result = change(&mut self.state());
        self.changed.send_replace(());
        result
    }

    /// Nothing in here is left half done by a panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Belongs to a call until it ends. Dropped before that, it means that the client went away: hyper then drops
/// whatever was answering.
#[derive(Debug)]
pub(crate) struct CallGuard {
    log: Arc<Log>,
    number: u64,
    ended: bool,
}

impl CallGuard {
    pub(crate) fn status(&self, status: u16) {
        self.log
            .update(self.number, |call| call.status = Some(status));
    }

    pub(crate) fn event_sent(&self) {
        self.log.update(self.number, |call| call.events_sent += 1);
    }

    /// Notes the end; the first one counts.
    pub(crate) fn end(&mut self, how: Ended) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let observer = self.log.observer.as_ref();
        let ended = self.log.update(self.number, |call| {
            call.ended = how;
            observer.map(|observer| (observer, call.clone()))
        });
        // Outside of the lock, and caught: it is the user's code, and this may run while something else panics.
        if let Some(Some((observer, call))) = ended
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| observer(&call)))
        {
            self.log.panicked("on_call", &*payload);
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.end(if self.log.stopping.load(Ordering::SeqCst) {
            Ended::Stopped
        } else {
            Ended::ClientGone
        });
    }
}
