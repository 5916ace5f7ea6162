//! What the OpenAI wire says, as far as the pool reads or writes it. Pure.
//!
//! Everything that the pool need not change passes through byte for byte, so nothing here builds a tree of a request or
//! re-serialises an answer.

mod error;
pub mod repair;
mod request;
pub mod signatures;
mod summary;

pub use error::ErrorBody;
pub use request::{ChatRequest, InvalidRequest, asks_for_base64, model_of};
pub use summary::summarize;
