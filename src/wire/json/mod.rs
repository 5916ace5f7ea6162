//! Reading and editing JSON text in place, without building a tree.

mod edit;
mod patch;
mod raw;

pub use edit::{
    Field, Removed, Step, parse_path, with_models, without_any, without_fields,
    without_nulls_in_messages,
};
pub(crate) use patch::{Edits, Patch};
pub(crate) use raw::*;
