//! What the fake has seen: each call from its arrival to its end.
//!
//! Every change wakes those who wait, so tests neither poll nor sleep. A call is in the log as soon
//! as its request has arrived; its end is noted before the last byte leaves, so that a client that
//! has read an answer finds the call ended.

use crate::api::{Operation, Surface};
use crate::credential::Credential;
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// Not yet.
    NotYet,
    /// Answered completely.
    Whole,
    /// The client left before the end.
    ClientGone,
    /// Broken off by the fake, as scripted.
    BrokenOff,
}

/// A call as the fake saw it.
#[derive(Debug, Clone)]
pub struct Call {
    /// 0 for the first call.
    pub number: u64,
    /// The request's method.
    pub method: Method,
    /// The path, still encoded.
    pub path: String,
    /// The query, still encoded.
    pub query: Option<String>,
    /// The API; `None` for a path that nothing serves.
    pub surface: Option<Surface>,
    /// The operation; `None` for a path that nothing serves.
    pub operation: Option<Operation>,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The request's body.
    pub body: Bytes,
    /// All credentials of the call.
    pub credentials: Vec<Credential>,
    /// The key, registered or not; `None` without a usable credential.
    pub key: Option<String>,
    /// The key's place among the registered ones, from 1. An upload that continues, which needs no
    /// key, has that of the key that started it.
    pub key_ordinal: Option<usize>,
    /// The project of that key.
    pub project: Option<String>,
    /// The model as it was asked for.
    pub model: Option<String>,
    /// The model's id without `models/`, if the fake offers it.
    pub known_model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The status of the response; `None` as long as it has no head.
    pub status: Option<u16>,
    /// How it ended.
    pub ended: Ended,
    /// Events sent so far, without the closing `[DONE]`. A body that is not a stream is one event.
    pub events_sent: usize,
}

impl Call {
    /// The body as JSON; `null` if it is not.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Receives each call when it has ended.
pub(crate) type Observer = Arc<dyn Fn(&Call) + Send + Sync>;

pub(crate) struct Log {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    observer: Option<Observer>,
    /// How many calls are remembered.
    limit: usize,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    next: u64,
    accepted_connections: u64,
    /// The message of the first panic while a call was served.
    panic: Option<String>,
}

impl State {
    /// Forgets the oldest calls that have ended, down to `limit`.
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

impl Log {
    pub(crate) fn new(limit: usize, observer: Option<Observer>) -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
            observer,
            limit,
        }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.check();
        self.state().calls.clone()
    }

    pub(crate) fn accepted_connections(&self) -> u64 {
        self.state().accepted_connections
    }

    /// Checks `rule` after each change, outside of the lock.
    pub(crate) async fn wait_until(&self, rule: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        // Subscribed before the first check, so that no change is missed.
        let mut changes = self.changed.subscribe();
        loop {
            let calls = self.calls();
            if rule(&calls) {
                return calls;
            }
            // Fails only without a sender, and that is `self`.
            let _ = changes.changed().await;
        }
    }

    /// Notes a panic while a call was served, for [`Log::check`].
    pub(crate) fn panicked(&self, payload: &(dyn Any + Send)) {
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = format!("a call panicked: {}", message.unwrap_or("(no message)"));
        self.update(|state| {
            state.panic.get_or_insert(message);
        });
    }

    /// Panics if a call has panicked: there it was caught, here it reaches the test.
    pub(crate) fn check(&self) {
        let panic = self.state().panic.clone();
        if let Some(message) = panic {
            panic!("{message}");
        }
    }

    /// Adds a call that has arrived and gives it its number.
    pub(crate) fn begin(self: &Arc<Self>, call: &mut Call) -> CallGuard {
        self.update(|state| {
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

    pub(crate) fn connection_accepted(&self) {
        self.update(|state| state.accepted_connections += 1);
    }

    fn update_call<T>(&self, number: u64, change: impl FnOnce(&mut Call) -> T) -> Option<T> {
        self.update(|state| {
            let mut latest_first = state.calls.iter_mut().rev();
            let result = latest_first.find(|call| call.number == number).map(change);
            state.evict(self.limit);
            result
        })
    }

    /// Changes the state, then wakes those who wait.
    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.send_replace(());
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No panic leaves it half updated.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Belongs to a call until it ends. If it is dropped before, the client has left: hyper drops the
/// response then.
pub(crate) struct CallGuard {
    log: Arc<Log>,
    number: u64,
    ended: bool,
}

impl CallGuard {
    pub(crate) fn set_status(&self, status: u16) {
        self.log
            .update_call(self.number, |call| call.status = Some(status));
    }

    pub(crate) fn count_event(&self) {
        self.log
            .update_call(self.number, |call| call.events_sent += 1);
    }

    /// Notes the end; only the first one counts.
    pub(crate) fn end(&mut self, how: Ended) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let ended = self.log.update_call(self.number, |call| {
            call.ended = how;
            call.clone()
        });
        if let (Some(observer), Some(call)) = (&self.log.observer, ended) {
            observer(&call);
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.end(Ended::ClientGone);
    }
}
