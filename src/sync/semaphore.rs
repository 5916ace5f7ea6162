//! A limit on the memory that the requests of an instance hold at a time.

use crate::sync::{NewSignal, Signal};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

/// A number of bytes that all requests share.
pub struct Room {
    size: usize,
    taken: Cell<usize>,
    waiting: RefCell<Vec<Signal>>,
    new_signal: NewSignal,
}

/// A part of the room, freed on drop.
#[derive(Debug)]
pub struct Share {
    room: Rc<Room>,
    bytes: usize,
}

impl Room {
    /// Room for `size` bytes.
    pub fn new(size: usize, new_signal: NewSignal) -> Rc<Self> {
        Rc::new(Self {
            size,
            taken: Cell::new(0),
            waiting: RefCell::default(),
            new_signal,
        })
    }

    /// Takes `bytes`, at most the whole room, and waits until they are free.
    pub async fn take(self: &Rc<Self>, bytes: usize) -> Share {
        let bytes = bytes.min(self.size);
        while bytes > self.size.saturating_sub(self.taken.get()) {
            let (signal, wait) = (self.new_signal)();
            self.waiting.borrow_mut().push(signal);
            wait.await;
        }
        self.taken.set(self.taken.get() + bytes);
        Share {
            room: Rc::clone(self),
            bytes,
        }
    }
}

impl Share {
    /// Changes the size of the share, at once. It may exceed what is free; others then wait longer.
    pub fn resize(&mut self, bytes: usize) {
        let others = self.room.taken.get() - self.bytes;
        self.room.taken.set(others.saturating_add(bytes));
        if bytes < self.bytes {
            self.room.waiting.borrow_mut().clear();
        }
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.resize(0);
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({} of {} bytes)", self.taken.get(), self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{give_way, native};
    use futures::executor::block_on;
    use futures::future::join;

    #[test]
    fn whoever_finds_no_room_waits_until_enough_is_free() {
        let room = Room::new(100, native);
        let order = RefCell::new(Vec::new());
        let first = async {
            let share = room.take(70).await;
            give_way().await;
            order.borrow_mut().push("first ends");
            drop(share);
        };
        let second = async {
            let small = room.take(30).await;
            order.borrow_mut().push("small fits");
            let large = room.take(60).await;
            order.borrow_mut().push("large fits");
            drop((small, large));
        };
        block_on(join(first, second));
        assert_eq!(
            order.into_inner(),
            ["small fits", "first ends", "large fits"]
        );
        assert_eq!(room.taken.get(), 0);
    }

    #[test]
    fn a_share_may_grow_beyond_the_room_and_what_shrinks_lets_others_in() {
        let room = Room::new(100, native);
        let mut all = block_on(room.take(1_000));
        assert_eq!(room.taken.get(), 100, "more than there is means all");
        all.resize(250);
        assert_eq!(room.taken.get(), 250);
        let waits = async { drop(room.take(90).await) };
        let shrinks = async {
            give_way().await;
            all.resize(10);
        };
        block_on(join(waits, shrinks));
        drop(all);
        assert_eq!(room.taken.get(), 0);
    }

    #[test]
    fn a_wait_that_is_given_up_takes_nothing() {
        let room = Room::new(1, native);
        let all = block_on(room.take(1));
        {
            let mut waiting = Box::pin(room.take(1));
            assert!(block_on(async { futures::poll!(&mut waiting) }).is_pending());
        }
        drop(all);
        assert_eq!(room.taken.get(), 0);
    }
}
