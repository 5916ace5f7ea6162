//! What operators read and change: the admin API below `/admin/api/v1`, metrics, and two older
//! reports.
//!
//! | module | contents |
//! |---|---|
//! | [`endpoint`] | the paths, their methods, and what each needs |
//! | `request` | requests, responses, and why a request fails |
//! | `query` | the parameters of lists: filters, order, pages |
//! | `keys` | the keys: lists and changes |
//! | `calls` | the log of calls |
//! | `export` | the log as a file |
//! | `statistics` | sums and percentiles of calls |
//! | `activity` | how the calls of each key ended, hour by hour |
//! | [`pool`] | the pool at a glance |
//! | `tokens` | the client tokens: lists and changes |
//! | `key_fields` | the rules for what operators say of keys |
//! | `key_limits` | the limits of a key and its project |
//! | `new_keys`, `key_input` | adding keys, in any form in which people paste them |
//! | [`key_tests`] | testing keys; the gateway makes the calls |
//! | `audit` | the audit log |
//! | [`forecast`] | when the budgets of a day will be used up |
//! | `encryption` | how the keys are stored |
//! | `settings` | the settings in force |
//! | [`metrics`] | `GET /metrics` |
//! | [`report`] | `GET /api/keys/status` and explain |
//!
//! The command line and the dashboard use this API and nothing else.

mod activity;
mod audit;
mod calls;
mod encryption;
pub mod endpoint;
mod export;
pub mod forecast;
mod key_fields;
mod key_input;
mod key_limits;
pub mod key_tests;
mod keys;
pub mod metrics;
mod new_keys;
pub mod pool;
mod query;
pub mod report;
mod request;
mod settings;
mod statistics;
mod tokens;

pub use request::{Pages, Refusal, Request, Response, ResponseBody};

use crate::embedded::{self, embedded};
use crate::store::{Database, DatabaseError};
use endpoint::Endpoint;
use http::Method;
use key_tests::KeyTester;
use std::rc::Rc;

/// The description of the API in OpenAPI 3.1.
const OPEN_API: &[u8] = embedded!("openapi.json");

/// Does what an operator asks for.
///
/// # Errors
/// See [`Refusal`].
pub async fn respond<D: Database>(
    database: &Rc<D>,
    request: &Request<'_>,
    tester: &impl KeyTester,
) -> Result<Response, Refusal> {
    let shared = database;
    let database = &**database;
    match request.endpoint {
        Endpoint::Keys => match *request.method {
            Method::POST => new_keys::add(database, request).await,
            _ => keys::list(database, request).await,
        },
        Endpoint::Key(id) => match *request.method {
            Method::PATCH => keys::edit(database, id, request).await,
            Method::DELETE => keys::delete(database, id, request).await,
            _ => keys::show(database, id, request.now).await,
        },
        Endpoint::KeyAction(id, action) => keys::act(database, id, action, request).await,
        Endpoint::Calls => calls::list(database, request).await,
        Endpoint::CallsExport => export::export(shared, request),
        Endpoint::Statistics => statistics::list(database, request).await,
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
        Endpoint::KeyLimits(id) => keys::set_limits(database, id, request).await,
        Endpoint::KeyHistory(id) => keys::history(database, id, request).await,
        Endpoint::TestKey(id) => key_tests::test_one(database, id, request, tester).await,
        Endpoint::TestKeys => key_tests::test_many(database, request, tester).await,
        Endpoint::KeyActivity => activity::list(database, request).await,
        Endpoint::Pool => pool::show(database, request).await,
        Endpoint::Audit => audit::list(database, request).await,
        Endpoint::Encryption => encryption::show(database, request).await,
        Endpoint::OpenApi => open_api(),
        Endpoint::Forecast => forecast::list(database, request).await,
        Endpoint::Settings => settings::list(request),
    }
}

fn open_api() -> Result<Response, Refusal> {
    let json = embedded::text(OPEN_API);
    let json = json.map_err(|error| DatabaseError::new(&error.to_string()))?;
    Ok(Response::of_json(json))
}
