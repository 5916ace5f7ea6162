//! One request from its arrival to its response: route, authenticate, choose a key, send, pass the
//! answer on, record.
//!
//! | stage | type |
//! |---|---|
//! | the path | `Route` |
//! | the client | `Caller`, from `Admission` |
//! | the client's request | `Incoming` |
//! | the request that is sent | `UpstreamRequest` |
//! | the attempts | `AttemptLoop`, run by `Relay` |
//! | one attempt | `Attempt`, sent by `Exchange` |
//! | the response | [`Reply`], with an [`AnswerStream`] while it arrives |
//!
//! Written against the traits of [`ports`], so that all of it runs natively against a scripted
//! upstream and clock.

mod admission;
mod affinity;
mod alerts;
mod answer_form;
mod answer_stream;
mod attempt;
mod attempt_loop;
mod authentication;
mod claim;
mod client_address;
mod client_tokens;
mod context;
mod cors;
mod dashboard;
mod error_code;
mod error_response;
mod exchange;
mod failure;
mod headers;
mod incoming;
mod key_test;
mod lessons;
mod metrics;
mod models;
mod operator;
pub mod ports;
mod relay;
mod reply;
mod request_body;
mod request_line;
mod route;
mod sealing;
mod session;
mod upstream_request;
mod view;

#[cfg(test)]
mod tests;

pub use answer_stream::{AnswerStream, Chunk};
pub use error_code::ErrorCode;
pub use failure::Failure;
pub use reply::{Body, Reply};
pub use request_body::declared_length;

use crate::admin::endpoint::Endpoint;
use crate::config::{self, Config, InvalidConfig};
use crate::store::{self, Database, KeyVault, Readiness};
use crate::sync::{ByteSemaphore, NewNotify};
use crate::wire::ClientApi;
use crate::wire::request_id::RequestId;
use crate::wire::target::advice;
use admission::Admission;
use authentication::{Accepts, Permission};
use context::Context;
use error_response::ErrorForm;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use incoming::Incoming;
use key_test::{KeyTests, Tester};
use models::{ModelLists, ModelsRequest};
use operator::Operator;
use ports::{ByteStream, System, Upstream};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use relay::Relay;
use request_body::HeldBody;
use request_line::RequestLine;
use route::{ANY_METHOD, Route};
use serde::Serialize;
use std::cell::Cell;
use std::rc::Rc;
use view::PoolView;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Where Anthropic's clients read the id.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// One request in so many also deletes expired rows, after its response.
const HOUSEKEEPING_EVERY: u32 = 256;

/// The pool over one connection to its database.
pub struct Gateway<D, U, S> {
    /// The settings, or what is wrong with them: a pool that cannot work must still say why.
    config: Result<Config, InvalidConfig>,
    /// The view of the pool, or why there is none.
    view: store::Result<Rc<PoolView<D>>>,
    /// Memory for the bodies of requests.
    memory: Rc<ByteSemaphore>,
    model_lists: ModelLists,
    key_tests: KeyTests,
    upstream: U,
    system: S,
}

impl<D: Database, U: Upstream, S: System> Gateway<D, U, S> {
    /// A gateway over an open database whose schema is up to date, or without one.
    pub fn new(
        config: Result<Config, InvalidConfig>,
        database: store::Result<Rc<D>>,
        upstream: U,
        system: S,
        new_notify: NewNotify,
    ) -> Self {
        let capacity = config.as_ref().map_or(0, |config| config.max_held_bytes);
        // Without settings, no call gets as far as the keys.
        let encryption = config.as_ref().map(|config| config.encryption.clone());
        let vault = KeyVault::new(&encryption.unwrap_or_default());
        let view = database.map(|database| Rc::new(PoolView::new(database, vault, new_notify)));
        if let Ok(view) = &view {
            sealing::seal_keys(view, &system);
        }
        Self {
            config,
            memory: ByteSemaphore::new(capacity, new_notify),
            model_lists: ModelLists::new(new_notify),
            view,
            key_tests: KeyTests::new(new_notify),
            upstream,
            system,
        }
    }

    /// Responds to one request. Never fails: an error becomes a response in the form of the API
    /// that was called.
    pub async fn handle<B: ByteStream>(&self, request: Parts, mut body: B) -> Reply<D, U::Body, S> {
        let id = self.new_request_id();
        let route = Route::of(&request);
        let client = authentication::api_of_client(&request);
        let api = route.as_ref().map_or(client, |route| route.api(client));
        let line = self.line(route.as_ref(), api, &request.method, &id);
        let result = self.respond(route, api, &request, &line, &id, &mut body);
        let mut reply = match result.await {
            Ok(reply) => reply,
            Err(failure) => {
                line.failed(&failure);
                self.fail(failure, api, &request, &id, &mut body).await
            }
        };
        self.count_database_errors();
        if headers::continues_upload(&request) {
            reply.end_upload();
        }
        if let Ok(config) = &self.config {
            cors::allow_origin(config, &request.headers, &mut reply.headers);
        }
        if let Ok(id) = HeaderValue::from_str(&id) {
            if api == ClientApi::Anthropic {
                reply.headers.insert(ANTHROPIC_REQUEST_ID, id.clone());
            }
            reply.headers.insert(REQUEST_ID, id);
        }
        reply.frame(&request.method);
        line.answered(reply.status, self.system.now());
        reply
    }

    /// The line of a request on the terminal. Health checks, scrapes, preflights, the dashboard and what
    /// operators do have none.
    fn line(
        &self,
        route: Option<&Route>,
        api: ClientApi,
        method: &Method,
        id: &str,
    ) -> RequestLine {
        let is_call = match route {
            Some(Route::Upstream(_)) => method != Method::OPTIONS,
            None => method != Method::OPTIONS && api != ClientApi::Admin,
            Some(
                Route::Operator(_)
                | Route::Admin(_)
                | Route::Session
                | Route::Dashboard(_)
                | Route::Alive
                | Route::Ready
                | Route::Metrics,
            ) => false,
        };
        let format = self.config.as_ref().map(|config| config.log_format);
        match is_call {
            true => RequestLine::new(id, format.unwrap_or_default(), &self.system),
            false => RequestLine::default(),
        }
    }

    fn new_request_id(&self) -> String {
        RequestId::new(self.system.now(), || self.system.random()).to_string()
    }

    async fn fail<B: ByteStream>(
        &self,
        failure: Failure,
        api: ClientApi,
        request: &Parts,
        id: &str,
        body: &mut B,
    ) -> Reply<D, U::Body, S> {
        if let Some(reason) = failure.for_operator() {
            self.system.log(&format!("request={id} {reason}"));
        }
        let max = match &self.config {
            Ok(config) => config.max_body_bytes,
            Err(_) => config::DEFAULT_MAX_BODY_BYTES,
        };
        if failure != Failure::BodyStalled {
            request_body::drain(&request.headers, body, max, &self.system).await;
        }
        Reply::of_failure(&failure, api, ErrorForm::Pool)
    }

    async fn respond<B: ByteStream>(
        &self,
        route: Option<Route>,
        api: ClientApi,
        request: &Parts,
        line: &RequestLine,
        id: &str,
        body: &mut B,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        if request.method == Method::OPTIONS {
            // For unknown paths, too: a page must be able to read the error.
            let allowed = route.as_ref().map_or(ANY_METHOD, Route::allow_header);
            let config = self.config.as_ref().ok();
            return Ok(Reply {
                headers: cors::preflight(config, &request.headers, allowed)?,
                ..Reply::empty(StatusCode::NO_CONTENT)
            });
        }
        let route = route.ok_or_else(|| Failure::UnknownPath(advice(request.uri.path())))?;
        if !route.allows(&request.method) {
            return Err(Failure::WrongMethod {
                allow: route.allow_header(),
            });
        }
        match route {
            Route::Alive => Reply::of(&Status { status: "ok" }),
            Route::Ready => self.ready().await,
            Route::Metrics => self.metrics(request).await,
            Route::Operator(action) => {
                let admission = self.admission(self.config()?);
                match action.permission() {
                    Some(needed) => admission.admit_operator(request, needed).await.map(drop)?,
                    None => admission.admit_anyone(request).await?,
                };
                self.operator()?.act(action, request, id).await
            }
            Route::Session => self.session(request, body).await,
            Route::Dashboard(asset) => asset.reply(&request.headers),
            Route::Admin(endpoint) => self.administer(endpoint, request, id, body).await,
            Route::Upstream(target) => {
                let mut incoming = Incoming {
                    id,
                    head: request,
                    api,
                    target,
                    translation: None,
                    left_out: Vec::new(),
                };
                if api == ClientApi::Anthropic && request.method == Method::GET {
                    incoming.list_models_natively();
                }
                self.relay(incoming, line, body).await
            }
        }
    }

    /// Begins, shows or ends the session of an operator.
    async fn session<B: ByteStream>(
        &self,
        request: &Parts,
        body: &mut B,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        let config = self.config()?;
        let admission = self.admission(config);
        let permission = match request.method {
            Method::POST => admission.sign_in(request).await,
            _ => admission.admit_operator(request, Permission::Read).await,
        };
        let permission = match permission {
            Ok(permission) => permission,
            // Bodies of strangers are not held.
            Err(why) if request.method == Method::GET => return session::show_none(request, why),
            Err(failure) => return Err(failure),
        };
        session::check_parameters(request, &self.read_body(request, body).await?.bytes)?;
        let now = self.system.now();
        match request.method {
            Method::POST => session::begin(config, request, permission, now),
            Method::DELETE => Ok(session::end(config, request)),
            _ => session::show(config, request, permission, now),
        }
    }

    async fn administer<B: ByteStream>(
        &self,
        endpoint: Endpoint,
        request: &Parts,
        id: &str,
        body: &mut B,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        let needed = Permission::for_method(&request.method);
        let config = self.config()?;
        let admission = self.admission(config);
        admission.admit_operator(request, needed).await?;
        let body = self.read_body(request, body).await?;
        let tester = Tester {
            config,
            view: self.view()?,
            upstream: &self.upstream,
            system: &self.system,
            tests: &self.key_tests,
            request_id: id,
            calls: Cell::default(),
        };
        let operator = self.operator()?;
        let mut reply = operator
            .administer(endpoint, request, &body.bytes, &tester)
            .await;
        self.watch();
        if let Ok(reply) = &mut reply
            && request.method == Method::GET
        {
            reply.tag(&request.headers);
        }
        reply
    }

    /// `GET /readyz`: the database takes writes, and at least one key is neither disabled nor
    /// paused. A quota that is used up does not make the pool unready: a 429 tells callers when
    /// to retry.
    async fn ready(&self) -> Result<Reply<D, U::Body, S>, Failure> {
        if !self.admission(self.config()?).has_any_token().await? {
            return Err(Failure::TokenNotConfigured);
        }
        let readiness = self.view()?.readiness(&self.system).await?;
        self.watch();
        match readiness {
            Readiness::Ready => Reply::of(&Status { status: "ready" }),
            Readiness::NoKey => Err(Failure::NoUsableKey),
            Readiness::NotWritable(error) => Err(Failure::DatabaseNotWritable(error)),
        }
    }

    async fn relay<B: ByteStream>(
        &self,
        incoming: Incoming<'_>,
        line: &RequestLine,
        body: &mut B,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        let config = self.config()?;
        let head = incoming.head;
        let admission = self.admission(config);
        let caller = match admission.upload_caller(&incoming).await {
            Some(caller) => caller,
            None => admission.admit(head, Accepts::Anywhere).await?,
        };
        line.admitted(&caller);
        let view = self.view()?.for_request();
        admission.limit_rate(&incoming, &view).await?;
        admission.limit_token(&caller, &incoming, &view).await?;
        if incoming.target.has_invalid_model() {
            return Err(Failure::no_model_name());
        }
        let context = Context {
            config,
            caller,
            line: line.clone(),
            view,
            memory: &self.memory,
            upstream: &self.upstream,
            system: &self.system,
        };
        let result = if models::is_list(&incoming.target, &head.method) {
            ModelsRequest::new(&context, &self.model_lists, &incoming)?
                .run()
                .await
        } else {
            Relay(&context).run(incoming, body).await
        };
        let mut rng = SmallRng::seed_from_u64(self.system.random());
        if rng.random_ratio(1, HOUSEKEEPING_EVERY) {
            self.keep_house(config);
        }
        self.watch();
        result
    }

    /// Checks whether there is something to alert the operator to, if a check is due.
    fn watch(&self) {
        if let (Ok(config), Ok(view)) = (&self.config, &self.view) {
            alerts::watch(config, view, &self.upstream, &self.system);
        }
    }

    /// Deletes expired rows in a task of its own.
    fn keep_house(&self, config: &Config) {
        let Ok(view) = self.view() else {
            return;
        };
        let (view, system) = (view.for_request(), self.system.clone());
        let retention_days = config.log_retention_days;
        self.system.spawn(async move {
            match store::delete_expired(&*view.database, system.now(), retention_days).await {
                // Another request will do it.
                Err(error) if error.is_busy() => {}
                Err(error) => system.log(&format!("expired rows cannot be deleted: {error}")),
                Ok(()) => {}
            }
        });
    }

    /// Adds statements that have failed to those of all instances, in a task of its own.
    fn count_database_errors(&self) {
        let Ok(view) = &self.view else {
            return;
        };
        let database = Rc::clone(view.shared_database());
        if database.errors().is_some_and(|errors| errors.get() > 0) {
            let adding = async move { store::add_database_errors(&*database).await };
            self.system.spawn(adding);
        }
    }

    async fn read_body<B: ByteStream>(
        &self,
        request: &Parts,
        body: &mut B,
    ) -> Result<HeldBody, Failure> {
        let max = self.config()?.max_body_bytes;
        request_body::read(&request.headers, body, max, &self.memory, &self.system).await
    }

    fn operator(&self) -> Result<Operator<'_, D, S>, Failure> {
        Ok(Operator {
            config: self.config()?,
            view: self.view()?,
            system: &self.system,
        })
    }

    fn admission<'a>(&'a self, config: &'a Config) -> Admission<'a, D, S> {
        Admission {
            config,
            view: self.view().map(|view| &**view),
            system: &self.system,
        }
    }

    fn view(&self) -> Result<&Rc<PoolView<D>>, Failure> {
        self.view
            .as_ref()
            .map_err(|error| Failure::from(error.clone()))
    }

    fn config(&self) -> Result<&Config, Failure> {
        self.config.as_ref().map_err(Failure::from)
    }
}

/// The response to a health check.
#[derive(Serialize)]
struct Status {
    status: &'static str,
}

/// Whether the response depends on the database. That of the liveness check does not, and neither do
/// the files of the dashboard.
pub fn needs_database(request: &Parts) -> bool {
    !matches!(Route::of(request), Some(Route::Alive | Route::Dashboard(_)))
}
