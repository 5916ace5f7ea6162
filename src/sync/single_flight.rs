//! What many requests need, and one does for all.

use crate::sync::{NewSignal, Signal};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

/// The turn to do something, which one has at a time.
#[derive(Default)]
pub struct Turn {
    is_taken: Cell<bool>,
    waiting: RefCell<Vec<Signal>>,
}

/// Held while the turn is taken. Whoever waits is woken when it is dropped, also when what was done is cancelled.
pub struct Taken<'a>(&'a Turn);

impl Turn {
    /// Takes the turn, unless somebody has it.
    pub fn take(&self) -> Option<Taken<'_>> {
        (!self.is_taken.replace(true)).then(|| Taken(self))
    }

    /// Whether somebody has it.
    pub fn is_taken(&self) -> bool {
        self.is_taken.get()
    }

    /// Waits until whoever has it is done.
    pub async fn wait(&self, new_signal: NewSignal) {
        let (signal, wait) = new_signal();
        self.waiting.borrow_mut().push(signal);
        wait.await;
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

impl fmt::Debug for Taken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taken")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.is_taken.set(false);
        self.0.waiting.borrow_mut().clear();
    }
}

/// Something that is made by whoever needs it first. Who comes meanwhile waits, and has what comes of it.
pub struct Once<T> {
    made: RefCell<Option<Rc<T>>>,
    turn: Turn,
    slots: RefCell<Vec<Slot<T>>>,
}

type Slot<T> = Rc<RefCell<Option<Rc<T>>>>;

impl<T> Once<T> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            made: RefCell::default(),
            turn: Turn::default(),
            slots: RefCell::default(),
        }
    }

    /// What was made, or is made now by `make`, which also says whether it is good for later.
    pub async fn get(&self, new_signal: NewSignal, make: impl AsyncFn() -> (Rc<T>, bool)) -> Rc<T> {
        loop {
            if let Some(made) = &*self.made.borrow() {
                return Rc::clone(made);
            }
            if let Some(_taken) = self.turn.take() {
                let (made, is_good) = make().await;
                if is_good {
                    self.made.replace(Some(Rc::clone(&made)));
                }
                for slot in self.slots.take() {
                    slot.replace(Some(Rc::clone(&made)));
                }
                return made;
            }
            let slot = Slot::default();
            self.slots.borrow_mut().push(Rc::clone(&slot));
            self.turn.wait(new_signal).await;
            // Nothing, where whoever made it was cancelled.
            if let Some(made) = slot.take() {
                return made;
            }
        }
    }
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Once<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{give_way, native};
    use futures::FutureExt;
    use futures::executor::block_on;
    use futures::future::{join_all, pending};

    #[test]
    fn of_many_who_come_at_once_one_makes_it() {
        let (once, times) = (Once::new(), Cell::new(0));
        let make = async || {
            times.set(times.get() + 1);
            give_way().await;
            (Rc::new(times.get()), true)
        };
        let all = block_on(join_all((0..16).map(|_| once.get(native, make))));
        assert!(all.iter().all(|made| **made == 1));
        assert_eq!(*block_on(once.get(native, make)), 1);
        assert_eq!(times.get(), 1);
    }

    #[test]
    fn what_is_not_good_is_for_those_who_waited_and_nobody_else() {
        let (once, times) = (Once::new(), Cell::new(0));
        let make = async || {
            times.set(times.get() + 1);
            give_way().await;
            (Rc::new(times.get()), times.get() > 1)
        };
        let all = block_on(join_all((0..3).map(|_| once.get(native, make))));
        assert!(all.iter().all(|made| **made == 1));
        assert_eq!(*block_on(once.get(native, make)), 2);
        assert_eq!(*block_on(once.get(native, make)), 2);
    }

    #[test]
    fn when_making_is_cancelled_the_next_who_waits_makes_it() {
        let once = Once::new();
        let never = async || {
            pending::<()>().await;
            (Rc::new(0), true)
        };
        let mut first = Box::pin(once.get(native, never));
        assert!(first.as_mut().now_or_never().is_none());
        let second = once.get(native, async || (Rc::new(2), true));
        let mut second = Box::pin(second);
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert_eq!(*block_on(second), 2);
    }
}
