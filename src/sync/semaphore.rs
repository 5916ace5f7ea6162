//! A limit on the memory that the requests of an instance hold at a time.

use super::{NewNotify, Notify};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

/// A number of bytes that all requests share.
pub struct ByteSemaphore {
    capacity: usize,
    acquired: Cell<usize>,
    waiters: RefCell<Vec<Notify>>,
    new_notify: NewNotify,
}

/// Bytes taken from a [`ByteSemaphore`], released on drop.
#[derive(Debug)]
pub struct BytePermit {
    semaphore: Rc<ByteSemaphore>,
    bytes: usize,
}

impl ByteSemaphore {
    /// A semaphore of `capacity` bytes.
    pub fn new(capacity: usize, new_notify: NewNotify) -> Rc<Self> {
        Rc::new(Self {
            capacity,
            acquired: Cell::new(0),
            waiters: RefCell::default(),
            new_notify,
        })
    }

    /// Waits until `bytes` are free and takes them. More than the capacity means all of it.
    pub async fn acquire(self: &Rc<Self>, bytes: usize) -> BytePermit {
        let bytes = bytes.min(self.capacity);
        while bytes > self.capacity.saturating_sub(self.acquired.get()) {
            let (notify, notified) = (self.new_notify)();
            self.waiters.borrow_mut().push(notify);
            notified.await;
        }
        self.acquired.set(self.acquired.get() + bytes);
        BytePermit {
            semaphore: Rc::clone(self),
            bytes,
        }
    }
}

impl BytePermit {
    /// Changes the size of the permit without waiting. It may exceed what is free; later callers
    /// then wait longer.
    pub fn resize(&mut self, bytes: usize) {
        let others = self.semaphore.acquired.get() - self.bytes;
        self.semaphore.acquired.set(others.saturating_add(bytes));
        if bytes < self.bytes {
            self.semaphore.waiters.borrow_mut().clear();
        }
        self.bytes = bytes;
    }
}

impl Drop for BytePermit {
    fn drop(&mut self) {
        self.resize(0);
    }
}

impl fmt::Debug for ByteSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (acquired, capacity) = (self.acquired.get(), self.capacity);
        write!(f, "ByteSemaphore({acquired} of {capacity} bytes)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{native, yield_now};
    use futures::executor::block_on;
    use futures::future::join;

    #[test]
    fn waits_until_enough_is_free() {
        let semaphore = ByteSemaphore::new(100, native);
        let order = RefCell::new(Vec::new());
        let first = async {
            let permit = semaphore.acquire(70).await;
            yield_now().await;
            order.borrow_mut().push("first ends");
            drop(permit);
        };
        let second = async {
            let small = semaphore.acquire(30).await;
            order.borrow_mut().push("small fits");
            let large = semaphore.acquire(60).await;
            order.borrow_mut().push("large fits");
            drop((small, large));
        };
        block_on(join(first, second));
        assert_eq!(
            order.into_inner(),
            ["small fits", "first ends", "large fits"]
        );
        assert_eq!(semaphore.acquired.get(), 0);
    }

    #[test]
    fn a_permit_may_grow_beyond_the_capacity_and_shrinking_it_wakes_waiters() {
        let semaphore = ByteSemaphore::new(100, native);
        let mut all = block_on(semaphore.acquire(1_000));
        assert_eq!(semaphore.acquired.get(), 100, "capped at the capacity");
        all.resize(250);
        assert_eq!(semaphore.acquired.get(), 250);
        let waits = async { drop(semaphore.acquire(90).await) };
        let shrinks = async {
            yield_now().await;
            all.resize(10);
        };
        block_on(join(waits, shrinks));
        drop(all);
        assert_eq!(semaphore.acquired.get(), 0);
    }

    #[test]
    fn a_cancelled_wait_acquires_nothing() {
        let semaphore = ByteSemaphore::new(1, native);
        let all = block_on(semaphore.acquire(1));
        {
            let mut waiting = Box::pin(semaphore.acquire(1));
            assert!(block_on(async { futures::poll!(&mut waiting) }).is_pending());
        }
        drop(all);
        assert_eq!(semaphore.acquired.get(), 0);
    }
}
