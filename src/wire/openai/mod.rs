//! The OpenAI format, as far as the pool reads or writes it. Pure.
//!
//! Whatever needs no change passes through byte for byte, so nothing here builds a tree of a
//! request or reserializes an answer.

mod error;
pub mod repair;
mod request;
pub mod signatures;
mod summary;

pub use error::ErrorBody;
pub use request::{ChatRequest, InvalidRequest, asks_for_base64, model_of};
pub use summary::summarize;
