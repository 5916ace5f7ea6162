//! How one task of an instance waits for another.
//!
//! Many requests share an instance, each as a task of its own, and a waker of ordinary Rust cannot wake a task that
//! sleeps: the host must, since only the host runs tasks. So a wait goes through the host, and what it is made of comes
//! in from outside: a stream of the host in the component, a channel in native tests.

use std::any::Any;
use std::fmt;
use std::pin::Pin;

/// Ends the wait of its counterpart when it is dropped.
pub struct Signal(#[expect(dead_code, reason = "held for its drop")] Box<dyn Any>);

/// Ends when its [`Signal`] is dropped.
pub type Wait = Pin<Box<dyn Future<Output = ()>>>;

/// Makes a signal and the wait that it ends.
pub type NewSignal = fn() -> (Signal, Wait);

impl Signal {
    /// A signal that is given by dropping `held`.
    pub fn on_drop_of(held: impl Any) -> Self {
        Self(Box::new(held))
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signal")
    }
}

/// A signal of native Rust, for tests.
#[cfg(test)]
pub(crate) fn native() -> (Signal, Wait) {
    let (sender, receiver) = futures::channel::oneshot::channel::<()>();
    let wait = Box::pin(async move {
        // Never sent, only dropped.
        let _ = receiver.await;
    });
    (Signal::on_drop_of(sender), wait)
}

/// Lets other tasks run once, for tests.
#[cfg(test)]
pub(crate) async fn give_way() {
    let mut pending = true;
    std::future::poll_fn(|context| {
        if std::mem::take(&mut pending) {
            context.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(())
    })
    .await;
}
