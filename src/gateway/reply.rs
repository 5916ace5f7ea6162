//! Responses to clients.

use super::answer_stream::AnswerStream;
use super::error_response::{ErrorForm, PROBLEM};
use super::failure::Failure;
use super::headers::UPLOAD_STATUS;
use crate::admin::Pages;
use crate::store::DatabaseError;
use crate::wire::ClientApi;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A response, ready to be sent.
pub struct Reply<D, B, S> {
    /// HTTP status.
    pub status: StatusCode,
    /// Response headers. They include `content-length` once the reply is framed, if known.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body<D, B, S>,
}

/// A reply's body.
pub enum Body<D, B, S> {
    /// A complete body. Its attempt is already logged.
    Whole(Vec<u8>),
    /// A body that is still arriving from the upstream. The sender must read it to its end, or
    /// report that the client has disconnected.
    Stream(Box<AnswerStream<D, B, S>>),
    /// A body that the pool reads from its database, page by page.
    Pages(Box<dyn Pages>),
}

impl<D, B, S> Reply<D, B, S> {
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Body::Whole(Vec::new()),
        }
    }

    /// Adds an `ETag` to a complete body, or turns the reply into a 304 if the client has that body
    /// (RFC 9110 §13.1.2). Browsers revalidate each time.
    pub(super) fn tag(&mut self, request: &HeaderMap) {
        let Body::Whole(bytes) = &mut self.body else {
            return;
        };
        if self.status != StatusCode::OK {
            return;
        }
        let hash = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&*bytes));
        let tag = format!("\"{hash}\"");
        if has_tag(request, &tag) {
            self.status = StatusCode::NOT_MODIFIED;
            self.headers.remove(header::CONTENT_TYPE);
            self.headers.remove(header::CONTENT_ENCODING);
            bytes.clear();
        }
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            self.headers.insert(header::ETAG, tag);
        }
        let no_cache = HeaderValue::from_static("private, no-cache");
        self.headers.insert(header::CACHE_CONTROL, no_cache);
    }

    /// Sets `content-length` and removes a body that must not be sent. A response to `HEAD` has the
    /// length of the response to `GET` (RFC 9110 §8.6, §9.3.2): the upstream's, if there is no
    /// body.
    pub(super) fn frame(&mut self, method: &Method) {
        let Body::Whole(bytes) = &mut self.body else {
            return;
        };
        let length = HeaderValue::from(bytes.len());
        let is_bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&self.status);
        if self.status == StatusCode::NO_CONTENT {
            self.headers.remove(header::CONTENT_LENGTH);
        } else if !is_bodiless && (*method != Method::HEAD || !bytes.is_empty()) {
            self.headers.insert(header::CONTENT_LENGTH, length);
        }
        if is_bodiless || *method == Method::HEAD {
            bytes.clear();
        }
    }

    /// Marks an upload as final if a part was refused permanently. Otherwise google-genai for
    /// Python would send the part three more times.
    pub(super) fn end_upload(&mut self) {
        let may_be_retried = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        if self.status.is_client_error() && !may_be_retried.contains(&self.status) {
            self.headers
                .entry(UPLOAD_STATUS)
                .or_insert(HeaderValue::from_static("final"));
        }
    }

    /// The response to a request that failed.
    pub(super) fn of_failure(failure: &Failure, api: ClientApi, form: ErrorForm) -> Self {
        let mut reply = Self::json(failure.status(api), failure.to_json(api, form));
        reply.headers.extend(failure.headers());
        if api == ClientApi::Admin {
            reply.headers.insert(header::CONTENT_TYPE, PROBLEM);
        }
        reply
    }

    /// A response with a value as JSON.
    ///
    /// # Errors
    /// The value cannot be serialized.
    pub(super) fn of(value: &impl Serialize) -> Result<Self, Failure> {
        let json = serde_json::to_string(value)
            .map_err(|error| Failure::Database(DatabaseError::new(&error.to_string())))?;
        Ok(Self::json(StatusCode::OK, json))
    }

    pub(crate) fn json(status: StatusCode, json: String) -> Self {
        Self::text(status, HeaderValue::from_static("application/json"), json)
    }

    pub(super) fn text(status: StatusCode, content_type: HeaderValue, text: String) -> Self {
        Self::bytes(status, content_type, text.into_bytes())
    }

    pub(super) fn bytes(status: StatusCode, content_type: HeaderValue, bytes: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type);
        Self {
            status,
            headers,
            body: Body::Whole(bytes),
        }
    }
}

/// Whether `If-None-Match` lists this tag.
fn has_tag(request: &HeaderMap, tag: &str) -> bool {
    let lists = request.get_all(header::IF_NONE_MATCH).into_iter();
    let mut tags = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim);
    // Proxies that compress responses make tags weak.
    tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}
