//! Streamed answers: their end, errors in them, and their content.

mod array;
mod sse;
mod summary;

pub use array::{ArrayScan, ArrayScanner};
pub(crate) use sse::is_blank_line;
pub use sse::{ErrorText, EventScanner, Scan, error_text};
pub(crate) use summary::{StreamSummary, summarize};

use crate::wire::json::{Members, find};
use memchr::memmem;

/// What a scanner found in the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing special.
    Nothing,
    /// The closing line, in this chunk or earlier.
    Done,
    /// An error, from the start of its line. The rest of the stream belongs to it.
    Error(Vec<u8>),
}

/// Whether a JSON object, or the first one in a list, has an `error` other than null, false or an
/// empty string.
pub(crate) fn is_error(json: &[u8]) -> bool {
    if memmem::find(json, b"\"error\"").is_none() {
        return false;
    }
    let Ok(text) = std::str::from_utf8(json) else {
        return false;
    };
    let first = || {
        let list: Vec<Members<'_>> = serde_json::from_str(text).ok()?;
        list.into_iter().next()
    };
    let object = serde_json::from_str(text).ok().or_else(first);
    object.is_some_and(|Members(members)| {
        find(&members, "error").is_some_and(|error| !["false", "\"\""].contains(&error.get()))
    })
}

#[cfg(test)]
pub(crate) mod testing {
    use proptest::sample::Index;

    /// The bytes in pieces, cut at these positions.
    pub(crate) fn pieces(bytes: &[u8], cuts: &[Index]) -> Vec<Vec<u8>> {
        let cuts = cuts.iter().map(|cut| cut.index(bytes.len() + 1));
        let mut ends: Vec<usize> = cuts.chain([0, bytes.len()]).collect();
        ends.sort_unstable();
        let pieces = ends.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        pieces.map(<[u8]>::to_vec).collect()
    }
}
