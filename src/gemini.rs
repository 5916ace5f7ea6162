//! What Google's wire says: error bodies and what they mean. Pure.

mod classify;
mod error;

pub use classify::classify;
pub use error::{ApiError, MAX_ERROR_BYTES};
