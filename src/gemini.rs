//! What Google's wire says: error bodies and what they mean. Pure.

mod classify;
mod error;
mod sentence;

pub use classify::classify;
pub use error::{ApiError, MAX_ERROR_BYTES};
pub use sentence::kept;
