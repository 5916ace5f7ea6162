//! Requests of operators, and what they receive.

use super::endpoint::Endpoint;
use super::pool::Health;
use super::query::{Query, quoted};
use crate::config::Config;
use crate::pool::{KeyId, TokenId, UnixMillis};
use crate::store::{Author, Cursor, DatabaseError, KeyVault, Nonce, Page};
use crate::wire::parameters::{Invalid, Parameters};
use futures::future::LocalBoxFuture;
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;

/// A request of an operator.
pub struct Request<'a> {
    /// What it is about.
    pub endpoint: Endpoint,
    /// The method, which the endpoint supports.
    pub method: &'a Method,
    /// The query, as it was sent.
    pub query: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// Who makes it.
    pub author: Author<'a>,
    /// When it arrived.
    pub now: UnixMillis,
    /// The settings.
    pub config: &'a Config,
    /// What seals new keys.
    pub vault: &'a KeyVault,
    /// Makes a random nonce.
    pub new_nonce: &'a dyn Fn() -> Nonce,
    /// Random bits for a new client token.
    pub entropy: [u8; 32],
    /// What the pool knows of its keys, for `GET pool`.
    pub health: Option<Health>,
}

/// The response to an operator.
pub struct Response {
    /// 200, 201 or 204.
    pub status: StatusCode,
    /// The body.
    pub body: ResponseBody,
}

/// The body of a response.
pub enum ResponseBody {
    /// A JSON text; empty with 204.
    Json(String),
    /// A file that arrives page by page.
    Pages(Box<dyn Pages>),
}

/// A file that arrives page by page, so that memory stays bounded.
pub trait Pages {
    /// The next page; `None` at the end.
    ///
    /// # Errors
    /// The database failed. No page follows.
    fn next(&mut self) -> LocalBoxFuture<'_, Option<Result<Vec<u8>, DatabaseError>>>;

    /// The `Content-Type`.
    fn content_type(&self) -> HeaderValue;
}

/// Why a request of an operator fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A parameter is invalid.
    Invalid(Invalid),
    /// No key has this id.
    UnknownKey(KeyId),
    /// No request with this id is in the log.
    UnknownRequest,
    /// No client token has this id.
    UnknownToken(TokenId),
    /// The database failed.
    Database(DatabaseError),
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<DatabaseError> for Refusal {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl<'a> Request<'a> {
    pub(super) fn query(&self) -> Result<Query, Invalid> {
        Query::parse(self.query.unwrap_or_default())
    }

    /// The body's parameters, of which only these are known.
    pub(super) fn parameters(&self, known: &[&str]) -> Result<Parameters<'a>, Invalid> {
        let body: &[u8] = match self.body.trim_ascii() {
            [] => b"{}",
            _ => self.body,
        };
        let parameters = Parameters::of_body(body)?;
        let is_known = parameters.names().all(|name| known.contains(&name));
        match (is_known, known) {
            (true, _) => Ok(parameters),
            (false, []) => Err(Invalid::new("must be empty")),
            (false, known) => {
                let reason = format!("has an unknown member; it may have {}", quoted(known));
                Err(Invalid::new(reason))
            }
        }
    }
}

impl Response {
    pub(super) fn ok(value: &impl Serialize) -> Result<Self, Refusal> {
        let json = serde_json::to_string(value);
        let json = json.map_err(|error| DatabaseError::new(&error.to_string()))?;
        Ok(Self::of_json(json))
    }

    pub(super) fn of_json(json: String) -> Self {
        Self {
            status: StatusCode::OK,
            body: ResponseBody::Json(json),
        }
    }

    pub(super) fn pages(pages: impl Pages + 'static) -> Self {
        Self {
            status: StatusCode::OK,
            body: ResponseBody::Pages(Box::new(pages)),
        }
    }

    pub(super) fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: ResponseBody::Json(String::new()),
        }
    }
}

/// A page of a list.
#[derive(Serialize)]
pub(super) struct List<T> {
    items: Vec<T>,
    /// The value of `cursor` for the next page; `null` on the last one.
    next_cursor: Option<String>,
}

impl<T> List<T> {
    /// The page as it is reported.
    pub(super) fn of<U>(page: Page<U>, report: impl FnMut(U) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(report).collect(),
            next_cursor: page.next.as_ref().map(Cursor::to_text),
        }
    }
}
