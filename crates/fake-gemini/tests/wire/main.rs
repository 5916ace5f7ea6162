//! The bytes on the wire, read from a socket without an HTTP client in between.
//!
//! | file | what it covers |
//! |---|---|
//! | `framing` | successes and errors of each surface, to the byte; gzip |
//! | `breaks` | resets, cuts and errors in the middle of a body; clients that leave |
//! | `refusals` | credentials, conditions of keys, unknown fields, thought signatures |
//! | `answers` | what models say on the native surface, and why they stop |
//! | `agents` | conversations with agents, planned and made up |
//! | `rules` | what native requests to generate must be like |
//! | `errors` | the layouts of Google's errors |
//! | `files` | uploads, and the projects that files belong to |

#![expect(clippy::unwrap_used, reason = "test helpers fail by panicking")]

mod agents;
mod answers;
mod breaks;
mod errors;
mod files;
mod framing;
mod refusals;
mod rules;
mod support;
