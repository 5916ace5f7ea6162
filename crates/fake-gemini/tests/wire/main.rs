//! What goes over the wire, byte by byte, against a socket without any HTTP client in between.
//!
//! | file | what it fixes |
//! |---|---|
//! | `compat`, `native` | the bytes of answers of each surface |
//! | `shapes` | what changed in them with models and years |
//! | `improvised` | tool calls and JSON without a script |
//! | `errors`, `frames` | every error of the catalogue; what each surface puts around it |
//! | `auth` | credentials, conditions of keys, scripts |
//! | `strict` | fields and types that are taken and refused |
//! | `signatures` | thought signatures that have to come back |
//! | `requests` | malformed bodies, unknown models and paths |
//! | `files` | uploads, and who may see files |
//! | `caches`, `jobs`, `tuned` | what else projects own: caches; batches, pictures and videos; tuned models |
//! | `quotas` | limits by minute and by Pacific day |
//! | `breaks` | resets, cuts, errors in the middle of a stream |
//! | `pace` | gates, steps, connections, the log |
//! | `leave`, `panics` | clients that leave, tests whose own code panics |
//! | `gzip` | compression, flushed with each event |
//! | `program` | the program: its output, its signals |

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests: by a panic"
)]

mod auth;
mod breaks;
mod caches;
mod compat;
mod errors;
mod files;
mod frames;
mod gzip;
mod improvised;
mod jobs;
mod leave;
mod native;
mod pace;
mod panics;
mod program;
mod quotas;
mod requests;
mod shapes;
mod signatures;
mod strict;
mod support;
mod tuned;
