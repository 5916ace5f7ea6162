//! Streamed answers: where they end, errors in them, and what they carry.

mod array;
mod sse;
mod summary;

pub use array::{ArrayScan, ArrayScanner};
pub use sse::{ErrorText, EventScanner, Scan, error_text};
pub(crate) use summary::{StreamSummary, summarize};

use crate::wire::json::{Members, find};
use memchr::memmem;

/// What the stream has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing yet.
    Nothing,
    /// The closing line, in this chunk or before.
    Done,
    /// An error's beginning, from the start of its line on. What follows in the stream belongs to it.
    Error(Vec<u8>),
}

/// Whether a JSON object, or the first one of a list, has an `error` that says something: not null, false or an empty text.
pub(crate) fn is_error(json: &[u8]) -> bool {
    if memmem::find(json, b"\"error\"").is_none() {
        return false;
    }
    let Ok(text) = std::str::from_utf8(json) else {
        return false;
    };
    let members = match serde_json::from_str(text) {
        Ok(Members(members)) => members,
        Err(_) => match serde_json::from_str::<Vec<Members<'_>>>(text) {
            Ok(list) => list
                .into_iter()
                .next()
                .map_or(Vec::new(), |Members(first)| first),
            Err(_) => Vec::new(),
        },
    };
    find(&members, "error").is_some_and(|error| !["false", "\"\""].contains(&error.get()))
}
