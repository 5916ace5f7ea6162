//! The dashboard: a page for operators, which uses the admin API. Its files are those of `dashboard/`,
//! as they are but for comments: see `build.rs`.
//!
//! The path of a file contains the version of all of them, so that browsers keep it forever. While a
//! deployment is under way, an instance may be asked for a file of another version: it has only its
//! own.

use super::{Failure, Reply};
use crate::embedded::{self, embedded};
use crate::store::DatabaseError;
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

const PAGE: &str = "index.html";

/// The page loads nothing but its own files, and no other page may contain it:
/// <https://www.w3.org/TR/CSP3/>.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// A file in compressed form.
#[derive(Debug, PartialEq, Eq)]
struct File {
    path: &'static str,
    gzip: &'static [u8],
}

/// A file of the dashboard that a browser asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asset {
    file: &'static File,
    caching: Caching,
}

/// How long a browser may use a file without asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caching {
    Forever,
    Never,
}

/// The paths of all files.
#[cfg(test)]
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.path)
}

impl Asset {
    /// The page itself, if a browser opens `/`. Clients of an API that ask for the root get an error in
    /// their format.
    pub(super) fn page(request: &Parts) -> Option<Self> {
        let is_opened = request.uri.path() == "/" && accepts_html(&request.headers);
        is_opened.then(|| Self::named(PAGE, Caching::Never))?
    }

    /// The file at a path such as `/dashboard/0123456789abcdef/main.js`.
    pub(super) fn at(path: &str) -> Option<Self> {
        let (version, path) = path.strip_prefix("/dashboard/")?.split_once('/')?;
        Self::named(
            path,
            match version == VERSION {
                true => Caching::Forever,
                false => Caching::Never,
            },
        )
    }

    fn named(path: &str, caching: Caching) -> Option<Self> {
        let file = FILES.iter().find(|file| file.path == path)?;
        Some(Self { file, caching })
    }

    /// The file, or 304 if the browser has it.
    pub(super) fn reply<D, B, S>(self, request: &HeaderMap) -> Result<Reply<D, B, S>, Failure> {
        let is_compressed = accepts_gzip(request);
        let bytes = match is_compressed {
            true => self.file.gzip.to_vec(),
            false => embedded::text(self.file.gzip)
                .map_err(|error| Failure::Database(DatabaseError::new(&error.to_string())))?
                .into_bytes(),
        };
        let content_type = HeaderValue::from_static(self.content_type());
        let mut reply = Reply::bytes(StatusCode::OK, content_type, bytes);
        if is_compressed {
            let gzip = HeaderValue::from_static("gzip");
            reply.headers.insert(header::CONTENT_ENCODING, gzip);
        }
        reply.tag(request);
        let caching = HeaderValue::from_static(match self.caching {
            Caching::Forever => "public, max-age=31536000, immutable",
            Caching::Never => "no-cache",
        });
        reply.headers.insert(header::CACHE_CONTROL, caching);
        // Caches in between must not show the page to a client that gets an error at its path.
        let vary = HeaderValue::from_static(match self.file.path {
            PAGE => "accept, accept-encoding",
            _ => "accept-encoding",
        });
        reply.headers.insert(header::VARY, vary);
        reply.headers.extend(HEADERS);
        Ok(reply)
    }

    fn content_type(self) -> &'static str {
        match self.file.path.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            // The build knows no more types than these.
            Some(_) | None => "text/javascript; charset=utf-8",
        }
    }
}

/// The quality with which a header that is a list accepts something, such as 0 in `gzip;q=0`; `None`
/// if it is not listed (RFC 9110 §12.4.2).
fn quality(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> Option<f32> {
    let values = headers.get_all(name).into_iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut members = values
        .flat_map(|value| value.split(','))
        .map(|member| member.split(';').map(str::trim));
    members.find_map(|mut parts| {
        let is_wanted = parts.next()?.eq_ignore_ascii_case(wanted);
        let quality = parts.find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix('='));
        is_wanted.then(|| quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0)))
    })
}

fn accepts_html(headers: &HeaderMap) -> bool {
    quality(headers, &header::ACCEPT, "text/html").unwrap_or(0.0) > 0.0
}

/// Whether the response may be compressed (RFC 9110 §12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let of = |coding| quality(headers, &header::ACCEPT_ENCODING, coding);
    of("gzip").or_else(|| of("*")).unwrap_or(0.0) > 0.0
}
