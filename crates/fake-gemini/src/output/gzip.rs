//! Compression as Google does it: streams too, flushed after each event.

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;
use std::io::{self, Write};

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
}

impl Encoding {
    /// gzip if `Accept-Encoding` names it or everything, and not with `q=0`.
    pub(crate) fn accepted_by(headers: &HeaderMap) -> Self {
        let accepts_gzip = |coding: &str| {
            let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
            let is_named = name.trim().eq_ignore_ascii_case("gzip") || name.trim() == "*";
            is_named && parameters.trim() != "q=0"
        };
        let mut values = headers.get_all(ACCEPT_ENCODING).iter();
        match values.any(|it| it.to_str().unwrap_or_default().split(',').any(accepts_gzip)) {
            true => Self::Gzip,
            false => Self::Identity,
        }
    }
}

/// Compresses a body piece by piece.
pub(super) struct Gzip(GzEncoder<Vec<u8>>);

impl Gzip {
    pub(super) fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::default()))
    }

    /// All that the client needs to read `piece`.
    pub(super) fn push(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(piece)?;
        self.0.flush()?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    /// The last piece and the end of the file.
    pub(super) fn finish(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(piece)?;
        self.0.try_finish()?;
        Ok(std::mem::take(self.0.get_mut()))
    }
}
