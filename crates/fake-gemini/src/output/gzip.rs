//! Compression as Google does it: streams too, flushed after each event.

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;
use std::io::{self, Write};

/// Whether `Accept-Encoding` names gzip or everything, and not with `q=0`.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT_ENCODING).iter().any(|value| {
        let codings = value.to_str().unwrap_or_default().split(',');
        codings.map(str::trim).any(|coding| {
            let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
            (name.eq_ignore_ascii_case("gzip") || name == "*") && parameters.trim() != "q=0"
        })
    })
}

/// Compresses a body piece by piece.
pub(super) struct Gzip(GzEncoder<Vec<u8>>);

impl Gzip {
    pub(super) fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::default()))
    }

    /// All that the client needs to read `piece`; with the last one, the end of the gzip file.
    pub(super) fn push(&mut self, piece: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
        self.0.write_all(piece)?;
        if is_last {
            self.0.try_finish()?;
        } else {
            self.0.flush()?;
        }
        Ok(std::mem::take(self.0.get_mut()))
    }
}
