//! Compression as Google does it: streams too, flushed after each event.

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;
use std::fmt;
use std::io::{self, Write};

/// Whether the client takes gzip: it is named in `Accept-Encoding`, or everything is, and not with `q=0`.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in String::from_utf8_lossy(value.as_bytes()).split(',') {
            let mut parts = item.split(';').map(str::trim);
            let coding = parts.next().unwrap_or_default();
            let refused = parts.any(|parameter| {
                parameter
                    .strip_prefix("q=")
                    .and_then(|q| q.parse::<f32>().ok())
                    .is_some_and(|q| q <= 0.0)
            });
            if coding.eq_ignore_ascii_case("gzip") {
                return !refused;
            }
            any |= coding == "*" && !refused;
        }
    }
    any
}

/// Compresses a body piece by piece.
pub(crate) struct Gzip(GzEncoder<Vec<u8>>);

impl Gzip {
    pub(crate) fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::default()))
    }

    /// All that the client needs to read `piece`, and the pieces before it; with the last one, the end of the
    /// compressed body.
    pub(crate) fn push(&mut self, piece: &[u8], last: bool) -> io::Result<Vec<u8>> {
        self.0.write_all(piece)?;
        if last {
            self.0.try_finish()?;
        } else {
            self.0.flush()?;
        }
        Ok(std::mem::take(self.0.get_mut()))
    }
}

impl fmt::Debug for Gzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gzip")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn gzip_is_used_where_the_client_takes_it() {
        for (accepts, expected) in [
            (&["gzip"][..], true),
            (&["gzip, deflate"], true),
            (&["br", "deflate, GZIP;q=0.5"], true),
            (&["*"], true),
            (&["gzip;q=0, *"], false),
            (&["gzip; q=0.0"], false),
            (&["identity"], false),
            (&["deflate, br"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in accepts {
                headers.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(accepts_gzip(&headers), expected, "{accepts:?}");
        }
    }
}
