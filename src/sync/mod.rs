//! How tasks of one instance wait for each other, and share work and memory.
//!
//! The host alone runs tasks, so a wait must go through it: see [`Notify`].

mod notify;
mod semaphore;
mod single_flight;

pub use notify::{NewSignal, Signal, Wait};
#[cfg(test)]
pub(crate) use notify::{give_way, native};
pub use semaphore::{Room, Share};
pub use single_flight::{Once, Taken, Turn};
