//! What operators read and change: the admin API below `/admin/api/v1`, and two older reports.
//!
//! | module | contents |
//! |---|---|
//! | [`endpoint`] | the paths, their methods, and what each needs |
//! | `request` | requests, responses, and why a request fails |
//! | `query` | the parameters of lists: filters, order, pages |
//! | `keys` | the keys: lists and changes |
//! | `calls` | the log of calls |
//! | `export` | the log as a file |
//! | `tokens` | the client tokens: lists and changes |
//! | `audit` | the audit log |
//! | [`report`] | `GET /api/keys/status` and explain |
//!
//! The command line and the dashboard use this API and nothing else.

mod audit;
mod calls;
pub mod endpoint;
mod export;
mod keys;
mod query;
pub mod report;
mod request;
mod tokens;

pub use request::{Pages, Refusal, Request, Response, ResponseBody};

use crate::store::Database;
use endpoint::Endpoint;
use http::Method;
use std::rc::Rc;

/// Does what an operator asks for.
///
/// # Errors
/// See [`Refusal`].
pub async fn respond<D: Database>(
    database: &Rc<D>,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let shared = database;
    let database = &**database;
    match request.endpoint {
        Endpoint::Keys => keys::list(database, request).await,
        Endpoint::Key(id) => match *request.method {
            Method::PATCH => keys::edit(database, id, request).await,
            Method::DELETE => keys::delete(database, id, request).await,
            _ => keys::show(database, id, request.now).await,
        },
        Endpoint::KeyAction(id, action) => keys::act(database, id, action, request).await,
        Endpoint::Calls => calls::list(database, request).await,
        Endpoint::CallsExport => export::export(shared, request),
        Endpoint::Request(id) => calls::show(database, id).await,
        Endpoint::Tokens => match *request.method {
            Method::POST => tokens::create(database, request).await,
            _ => tokens::list(database, request).await,
        },
        Endpoint::Token(id) => match *request.method {
            Method::GET => tokens::show(database, id, None, request).await,
            _ => tokens::change(database, id, None, request).await,
        },
        Endpoint::TokenAction(id, action) => {
            tokens::change(database, id, Some(action), request).await
        }
        Endpoint::Audit => audit::list(database, request).await,
    }
}
