//! What Google's wire says: error bodies and what they mean. Pure.

mod body;
mod classify;
mod duration;
mod error;
mod quota;
mod sentence;
mod transport;

pub use classify::{Diagnosis, Seen, diagnose};
pub use error::{ApiError, MAX_ERROR_BYTES};
pub use quota::QuotaViolation;
pub use sentence::kept;
pub use transport::TransportError;
