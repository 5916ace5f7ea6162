//! How one task of an instance wakes another.
//!
//! Many requests share an instance, each as a task of its own. An ordinary Rust waker cannot wake a
//! task that sleeps in the host, which alone runs tasks. So a notification is made of something of
//! the host's: a stream in the component, a channel in native tests.

use std::any::Any;
use std::fmt;
use std::pin::Pin;

/// Completes its [`Notified`] when dropped.
pub struct Notify(#[expect(dead_code, reason = "held for its drop")] Box<dyn Any>);

/// Completes when its [`Notify`] is dropped.
pub type Notified = Pin<Box<dyn Future<Output = ()>>>;

/// Makes a connected pair.
pub type NewNotify = fn() -> (Notify, Notified);

impl Notify {
    /// Notifies by dropping `held`.
    pub fn on_drop(held: impl Any) -> Self {
        Self(Box::new(held))
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notify")
    }
}

/// A native pair, for tests.
#[cfg(test)]
pub(crate) fn native() -> (Notify, Notified) {
    let (sender, receiver) = futures::channel::oneshot::channel::<()>();
    let notified = Box::pin(async move {
        // Nothing is ever sent: the sender is only dropped.
        let _ = receiver.await;
    });
    (Notify::on_drop(sender), notified)
}

/// Lets other tasks run once, for tests.
#[cfg(test)]
pub(crate) async fn yield_now() {
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
