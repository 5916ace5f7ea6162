//! What the OpenAI wire says, as far as the pool reads or writes it. Pure.
//!
//! Everything that the pool need not change passes through byte for byte, so nothing here builds a tree of a request or
//! re-serialises an answer.

mod edit;
mod error;
mod glance;
mod patch;
pub mod repair;
mod request;
pub mod signatures;

pub use edit::{Field, Step, steps, with_models, without, without_any, without_nulls_in_messages};
pub use error::ErrorBody;
pub(crate) use glance::is_malformed_call;
pub use glance::{Glance, Usage};
pub use request::{ChatRequest, InvalidRequest, asks_for_base64, model_of};
