//! Work that many callers need and one does for all.

use super::{NewNotify, Notify};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

/// A lock that one task holds at a time.
#[derive(Default)]
pub struct Exclusive {
    is_held: Cell<bool>,
    waiters: RefCell<Vec<Notify>>,
}

/// Holds an [`Exclusive`]. Dropping it wakes all waiters, also when the holder is cancelled.
pub struct Permit<'a>(&'a Exclusive);

impl Exclusive {
    /// Takes the lock, unless it is held.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        (!self.is_held.replace(true)).then(|| Permit(self))
    }

    /// Whether the lock is held.
    pub fn is_held(&self) -> bool {
        self.is_held.get()
    }

    /// Waits until the holder releases the lock, without taking it.
    pub async fn released(&self, new_notify: NewNotify) {
        let (notify, notified) = new_notify();
        self.waiters.borrow_mut().push(notify);
        notified.await;
    }
}

impl fmt::Debug for Exclusive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exclusive")
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.is_held.set(false);
        self.0.waiters.borrow_mut().clear();
    }
}

/// Makes a value at most once at a time. Concurrent callers wait for the first and share its
/// result.
pub struct SingleFlight<T> {
    cached: RefCell<Option<Rc<T>>>,
    flight: Exclusive,
    waiters: RefCell<Vec<Slot<T>>>,
}

type Slot<T> = Rc<RefCell<Option<Rc<T>>>>;

/// The result of a flight.
#[derive(Debug)]
pub enum Flight<T> {
    /// For the callers that waited for it, and all later ones.
    Cache(Rc<T>),
    /// For the callers that waited for it; the next caller makes another.
    Share(Rc<T>),
}

impl<T> SingleFlight<T> {
    /// Returns the cached value, the result of the flight under way, or else that of `make`.
    ///
    /// If the caller that runs `make` is cancelled, one of the waiting callers takes over.
    pub async fn get(&self, new_notify: NewNotify, make: impl AsyncFn() -> Flight<T>) -> Rc<T> {
        loop {
            if let Some(cached) = &*self.cached.borrow() {
                return Rc::clone(cached);
            }
            if let Some(_permit) = self.flight.try_acquire() {
                let value = match make().await {
                    Flight::Cache(value) => {
                        self.cached.replace(Some(Rc::clone(&value)));
                        value
                    }
                    Flight::Share(value) => value,
                };
                for slot in self.waiters.take() {
                    slot.replace(Some(Rc::clone(&value)));
                }
                return value;
            }
            let slot = Slot::default();
            self.waiters.borrow_mut().push(Rc::clone(&slot));
            self.flight.released(new_notify).await;
            // Still empty if the flight was cancelled.
            if let Some(value) = slot.take() {
                return value;
            }
        }
    }
}

/// Single flights by key.
pub struct Flights<K, T> {
    flights: RefCell<Vec<(K, Rc<SingleFlight<T>>)>>,
    new_notify: NewNotify,
}

impl<K: PartialEq, T> Flights<K, T> {
    /// Without any flight.
    pub fn new(new_notify: NewNotify) -> Self {
        Self {
            flights: RefCell::default(),
            new_notify,
        }
    }

    /// The result of the flight under way for `key`, or else that of `make`. The next caller after
    /// it makes another.
    pub async fn get(&self, key: K, make: impl AsyncFn() -> T) -> Rc<T> {
        let flight = self.join(key);
        let make = async || Flight::Share(Rc::new(make().await));
        let result = flight.get(self.new_notify, make).await;
        let mut flights = self.flights.borrow_mut();
        flights.retain(|(_, known)| !Rc::ptr_eq(known, &flight));
        result
    }

    fn join(&self, key: K) -> Rc<SingleFlight<T>> {
        let mut flights = self.flights.borrow_mut();
        if let Some((_, flight)) = flights.iter().find(|(known, _)| *known == key) {
            return Rc::clone(flight);
        }
        let flight = Rc::<SingleFlight<T>>::default();
        flights.push((key, Rc::clone(&flight)));
        flight
    }
}

impl<K, T> fmt::Debug for Flights<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flights")
    }
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self {
            cached: RefCell::default(),
            flight: Exclusive::default(),
            waiters: RefCell::default(),
        }
    }
}

impl<T> fmt::Debug for SingleFlight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SingleFlight")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{native, yield_now};
    use futures::FutureExt;
    use futures::executor::block_on;
    use futures::future::{join_all, pending};

    #[test]
    fn concurrent_callers_share_one_flight() {
        let (flights, times) = (SingleFlight::default(), Cell::new(0));
        let make = async || {
            times.set(times.get() + 1);
            yield_now().await;
            Flight::Cache(Rc::new(times.get()))
        };
        let all = block_on(join_all((0..16).map(|_| flights.get(native, make))));
        assert!(all.iter().all(|value| **value == 1));
        assert_eq!(*block_on(flights.get(native, make)), 1);
        assert_eq!(times.get(), 1);
    }

    #[test]
    fn an_uncached_result_is_shared_by_waiters_only() {
        let (flights, times) = (SingleFlight::default(), Cell::new(0));
        let make = async || {
            times.set(times.get() + 1);
            yield_now().await;
            let value = Rc::new(times.get());
            if *value > 1 {
                Flight::Cache(value)
            } else {
                Flight::Share(value)
            }
        };
        let all = block_on(join_all((0..3).map(|_| flights.get(native, make))));
        assert!(all.iter().all(|value| **value == 1));
        assert_eq!(*block_on(flights.get(native, make)), 2);
        assert_eq!(*block_on(flights.get(native, make)), 2);
    }

    #[test]
    fn a_waiter_takes_over_when_the_flight_is_cancelled() {
        let flights = SingleFlight::default();
        let never = async || {
            pending::<()>().await;
            Flight::Cache(Rc::new(0))
        };
        let mut first = Box::pin(flights.get(native, never));
        assert!(first.as_mut().now_or_never().is_none());
        let second = flights.get(native, async || Flight::Cache(Rc::new(2)));
        let mut second = Box::pin(second);
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert_eq!(*block_on(second), 2);
    }
}
