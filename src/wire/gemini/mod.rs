//! Google's own format: answers, error bodies and what they mean. Pure.

mod body;
mod classify;
mod duration;
mod error;
mod error_format;
mod fault;
mod overflow;
mod quota;
mod sentence;
pub mod signatures;
mod summary;
mod unknown_fields;
mod violation;
mod words;

pub use body::{
    MAX_ERROR_BYTES, closing_bracket, is_events, is_page, is_readable, unpacked_answer,
};
pub use classify::{CallResult, Diagnosis, diagnose};
pub use error::ApiError;
pub use error_format::{error_event, error_json};
pub use fault::Fault;
pub use overflow::Overflow;
pub use sentence::loggable;
pub(crate) use summary::read_usage;
pub use summary::summarize;
pub use unknown_fields::{UnknownField, unknown_fields};
pub use violation::QuotaViolation;
