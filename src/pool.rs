//! The pool's decisions: which key serves a call, and what an outcome does to the key.
//!
//! Pure by construction: no async, no clock, no entropy, no SQL, no HTTP. Time and randomness are arguments, decisions
//! come back as values, so that every rule is a unit test.
//!
//! # How a key's state moves
//!
//! ```text
//!            1st failure in a row            2nd to 4th failure in a row
//!          ┌────────────────────┐       ┌──────────────────────────────────┐
//!          ▼                    │       │                                  ▼
//!      ┌────────┐───────────────┴───────┘                            ┌──────────┐
//!      │ active │                                                    │ cooling  │  30 minutes, then usable again
//!      └────────┘◀───────────────────────────────────────────────────└──────────┘
//!          │                          success                              │
//!          │ key rejected by the upstream, or 5th failure in a row         │
//!          ▼                                                               ▼
//!      ┌──────────────────────────────────────────────────────────────────────┐
//!      │ disabled                     (only a person brings the key back)     │
//!      └──────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! What counts as a failure of the *key* is [`Outcome`]'s business, what it does to the key is [`transition()`]'s, and
//! who is drawn next is [`choose()`]'s.

mod key;
mod limit;
mod outcome;
mod select;
mod time;
mod transition;

pub use key::{ApiKey, InvalidApiKey, KeyId, KeyState, KeyStatus, PoolKey};
pub use limit::{Limit, Unit, Window};
pub use outcome::{Outcome, Verdict};
pub use select::{choose, is_usable, weight};
pub use time::UnixMillis;
pub use transition::{FAILURES_UNTIL_DISABLED, FAILURES_UNTIL_PAUSE, PAUSE_MS, transition};
