//! How tasks of one instance wait for each other, and share work and memory.
//!
//! Only the host runs tasks, so every wait goes through it: see [`Notify`].

mod notify;
mod semaphore;
mod single_flight;

pub use notify::{NewNotify, Notified, Notify};
#[cfg(test)]
pub(crate) use notify::{native, yield_now};
pub use semaphore::{BytePermit, ByteSemaphore};
pub use single_flight::{Exclusive, Flight, Flights, Permit, SingleFlight};
