//! One request from its arrival to its response: route, authenticate, choose a key, send, pass the
//! answer on, record.
//!
//! | stage | type |
//! |---|---|
//! | the path | `Route`, with the `Caller` |
//! | the client's request | `Incoming` |
//! | the request that is sent | `UpstreamRequest` |
//! | the attempts | `AttemptLoop`, run by `Relay` |
//! | one attempt | `Attempt`, sent by `Exchange` |
//! | the response | [`Reply`], with an [`AnswerStream`] while it arrives |
//!
//! Written against the traits of [`ports`], so that all of it runs natively against a scripted
//! upstream and clock.

mod affinity;
mod answer_form;
mod answer_stream;
mod attempt;
mod attempt_loop;
mod authentication;
mod claim;
mod client_address;
mod context;
mod cors;
mod exchange;
mod failure;
mod headers;
mod incoming;
mod lessons;
mod models;
pub mod ports;
mod relay;
mod reply;
mod request_body;
mod route;
mod upstream_request;
mod view;

#[cfg(test)]
mod tests;

pub use answer_stream::{AnswerStream, Chunk};
pub use failure::Failure;
pub use reply::{Body, Reply};
pub use request_body::declared_length;

use crate::admin;
use crate::config::{self, Config, InvalidConfig};
use crate::pool::{KeyId, PoolKey, Scope};
use crate::store::{self, CallCount, Database, DatabaseError, Readiness};
use crate::sync::{ByteSemaphore, NewNotify};
use crate::wire::Surface;
use crate::wire::naming::is_model;
use crate::wire::target::advice;
use affinity::Affinity;
use authentication::{Accepts, Caller};
use context::Context;
use failure::ErrorForm;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use incoming::Incoming;
use models::{ModelLists, ModelsRequest};
use ports::{ByteStream, System, Upstream};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use relay::Relay;
use route::{ANY_METHOD, Action, Route};
use serde::Serialize;
use std::rc::Rc;
use view::{Coverage, MAX_AGE_MS, PoolView};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wrong tokens per client address and minute, if calls are not limited.
const WRONG_TOKENS_PER_MINUTE: u32 = 20;

/// One request in so many also deletes expired rows, after its response.
const HOUSEKEEPING_EVERY: u32 = 256;

/// The pool over one connection to its database.
pub struct Gateway<D, U, S> {
    /// The settings, or what is wrong with them: a pool that cannot work must still say why.
    config: Result<Config, InvalidConfig>,
    /// The view of the pool, or why there is none.
    view: Result<Rc<PoolView<D>>, DatabaseError>,
    /// Memory for the bodies of requests.
    memory: Rc<ByteSemaphore>,
    model_lists: ModelLists,
    upstream: U,
    system: S,
}

impl<D: Database, U: Upstream, S: System> Gateway<D, U, S> {
    /// A gateway over an open database whose schema is up to date, or without one.
    pub fn new(
        config: Result<Config, InvalidConfig>,
        database: Result<Rc<D>, DatabaseError>,
        upstream: U,
        system: S,
        new_notify: NewNotify,
    ) -> Self {
        let capacity = config.as_ref().map_or(0, |config| config.max_held_bytes);
        Self {
            config,
            memory: ByteSemaphore::new(capacity, new_notify),
            model_lists: ModelLists::new(new_notify),
            view: database.map(|database| Rc::new(PoolView::new(database, new_notify))),
            upstream,
            system,
        }
    }

    /// Responds to one request. Never fails: an error becomes a response in the form of the API
    /// that was called.
    pub async fn handle<B: ByteStream>(&self, request: Parts, mut body: B) -> Reply<D, U::Body, S> {
        let id = self.new_request_id();
        let credential = authentication::surface_of_credential(&request);
        let route = Route::find(&request.method, request.uri.path(), credential);
        let surface = route.as_ref().map_or(credential, Route::surface);
        let result = self.respond(route, &request, &id, &mut body).await;
        let mut reply = match result {
            Ok(reply) => reply,
            Err(failure) => self.fail(failure, surface, &request, &id, &mut body).await,
        };
        if headers::continues_upload(&request) {
            reply.end_upload();
        }
        if let Ok(config) = &self.config {
            cors::allow_origin(config, &request.headers, &mut reply.headers);
        }
        if let Ok(id) = HeaderValue::from_str(&id) {
            reply.headers.insert(REQUEST_ID, id);
        }
        reply.frame(&request.method);
        reply
    }

    fn new_request_id(&self) -> String {
        let random = || self.system.random();
        format!("req_{:016x}{:016x}", random(), random())
    }

    async fn fail<B: ByteStream>(
        &self,
        failure: Failure,
        surface: Surface,
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
        Reply::of_failure(&failure, surface, ErrorForm::Pool)
    }

    async fn respond<B: ByteStream>(
        &self,
        route: Option<Route>,
        request: &Parts,
        id: &str,
        body: &mut B,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        if request.method == Method::OPTIONS {
            // For unknown paths, too: a page must be able to read the error.
            let allowed = route.as_ref().map_or(ANY_METHOD, Route::allow_header);
            let config = self.config.as_ref().ok();
            let (status, headers) = cors::preflight(config, &request.headers, allowed)?;
            let mut reply = Reply::empty(status);
            reply.headers = headers;
            return Ok(reply);
        }
        let route = route.ok_or_else(|| Failure::UnknownPath(advice(request.uri.path())))?;
        if !route.allows(&request.method) {
            return Err(Failure::WrongMethod {
                allow: route.allow_header(),
            });
        }
        match route {
            Route::Alive => json(&Status { status: "ok" }),
            Route::Ready => self.ready().await,
            Route::Operator(action) => self.act(action, request, id).await,
            Route::Upstream(target) => {
                let head = request;
                self.relay(Incoming { id, head, target }, body).await
            }
        }
    }

    /// `GET /readyz`: the database takes writes, and at least one key is neither disabled nor
    /// paused. A quota that is used up does not make the pool unready: callers are better told when
    /// to retry.
    async fn ready(&self) -> Result<Reply<D, U::Body, S>, Failure> {
        if self.config()?.client_token.is_none() {
            return Err(Failure::TokenNotConfigured);
        }
        match self.view()?.readiness(&self.system).await? {
            Readiness::Ready => json(&Status { status: "ready" }),
            Readiness::NoKey => Err(Failure::NoUsableKey),
            Readiness::NotWritable(error) => Err(Failure::DatabaseNotWritable(error)),
        }
    }

    async fn act(
        &self,
        action: Action,
        request: &Parts,
        request_id: &str,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        let config = self.config()?;
        self.admit(config, request, Accepts::Bearer).await?;
        let view = self.view()?;
        match action {
            Action::KeysStatus => {
                view.refresh(&self.system, Coverage::Whole, 0).await?;
                let keys = store::key_report(view.unlimited_database()).await?;
                let now = self.system.now();
                let warnings = config.warnings();
                json(&admin::keys_status(keys, &view.snapshot(), now, warnings))
            }
            Action::ResetKey(id) => self.reset_key(view, id, request_id).await,
            Action::Explain => {
                let model = model_of_query(request.uri.query(), &config.default_model)?;
                view.refresh(&self.system, Coverage::Whole, 0).await?;
                if view.reveals_secret(config, &model) {
                    return Err(Failure::secret_in_name());
                }
                json(&admin::explain(&view.snapshot(), &model, self.system.now()))
            }
            Action::Forget => {
                let model = model_of_query(request.uri.query(), &config.default_model)?;
                if view.reveals_secret(config, &model) {
                    return Err(Failure::secret_in_name());
                }
                store::forget_learned(view.unlimited_database(), &model).await?;
                view.outdate();
                self.system.log(&format!(
                    "request={request_id} what was learned of requests for {model} is forgotten"
                ));
                json(&Done {
                    model: Some(&model),
                    ..Done::default()
                })
            }
        }
    }

    async fn reset_key(
        &self,
        view: &PoolView<D>,
        id: KeyId,
        request_id: &str,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        view.refresh(&self.system, Coverage::Whole, MAX_AGE_MS)
            .await?;
        let reset = store::reset_key(view.unlimited_database(), id, self.system.now()).await?;
        let scope = view.snapshot().key(id).map(PoolKey::scope);
        view.forget(&[Scope::Key(id), scope.unwrap_or(Scope::Key(id))]);
        view.outdate();
        if !reset {
            return Err(Failure::UnknownKey(id));
        }
        self.system
            .log(&format!("request={request_id} key {id} is reset"));
        json(&Done {
            id: Some(id.0),
            ..Done::default()
        })
    }

    async fn relay<B: ByteStream>(
        &self,
        incoming: Incoming<'_>,
        body: &mut B,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        let config = self.config()?;
        let head = incoming.head;
        match self.upload_caller(config, &incoming).await {
            Some(Caller::UploadUrl) => {}
            Some(Caller::BuiltInToken) | None => {
                self.admit(config, head, Accepts::Anywhere).await?;
            }
        }
        let view = self.view()?.for_request();
        self.limit_rate(config, &incoming, &view).await?;
        if incoming.target.has_invalid_model() {
            return Err(Failure::no_model_name());
        }
        let context = Context {
            config,
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
        result
    }

    /// Admits callers that may call: those with the client's token, unless they are pages of an
    /// origin that is not allowed.
    async fn admit(
        &self,
        config: &Config,
        request: &Parts,
        accepts: Accepts,
    ) -> Result<Caller, Failure> {
        cors::check_origin(config, &request.headers)?;
        match authentication::authenticate(config, request, accepts) {
            Err(wrong @ (Failure::TokenMissing | Failure::TokenWrong)) => {
                self.count_wrong_token(config, &request.headers).await?;
                Err(wrong)
            }
            result => result,
        }
    }

    /// The caller of a request without a token, if it continues an upload that the pool started.
    async fn upload_caller(&self, config: &Config, incoming: &Incoming<'_>) -> Option<Caller> {
        let Incoming { head, target, .. } = incoming;
        let may_continue = target.is_upload()
            && cors::check_origin(config, &head.headers).is_ok()
            && authentication::authenticate(config, head, Accepts::Anywhere)
                == Err(Failure::TokenMissing);
        if !may_continue {
            return None;
        }
        let view = self.view().ok()?;
        let affinity = Affinity { config, view };
        let now = self.system.now();
        match affinity.continues_upload(target, head, now).await {
            Ok(continues) => continues.then_some(Caller::UploadUrl),
            Err(error) => {
                self.system
                    .log(&format!("an upload cannot be looked up: {error}"));
                None
            }
        }
    }

    /// Counts a call against its client's limit. A database that cannot count refuses nobody: the
    /// limit protects the pool, and the pool is there to answer.
    async fn limit_rate(
        &self,
        config: &Config,
        incoming: &Incoming<'_>,
        view: &PoolView<D>,
    ) -> Result<(), Failure> {
        let Some(limit) = config.rate_limit_per_minute else {
            return Ok(());
        };
        let client = client_address::of(&incoming.head.headers, config.proxies());
        match store::count_call(&*view.database, &client, self.system.now()).await {
            Ok(CallCount { calls, retry_after }) if calls > i64::from(limit) => {
                Err(Failure::RateLimited { limit, retry_after })
            }
            Ok(_) => Ok(()),
            Err(error) => {
                self.system.log(&format!(
                    "request={} is not counted against a limit: {error}",
                    incoming.id
                ));
                Ok(())
            }
        }
    }

    /// Counts a call with a wrong token, or with none. With a rate limit it counts towards the
    /// client's limit. Without one it has a counter of its own, so that wrong tokens never lock out
    /// a correct one from the same address.
    async fn count_wrong_token(&self, config: &Config, headers: &HeaderMap) -> Result<(), Failure> {
        let client = client_address::of(headers, config.proxies());
        let (counted, limit) = match config.rate_limit_per_minute {
            Some(limit) => (client, limit),
            None => (format!("wrong token {client}"), WRONG_TOKENS_PER_MINUTE),
        };
        let Ok(view) = self.view() else {
            return Ok(());
        };
        match store::count_call(&*view.database, &counted, self.system.now()).await {
            Ok(CallCount { calls, retry_after }) if calls > i64::from(limit) => {
                Err(Failure::WrongTokens { limit, retry_after })
            }
            // A token that cannot be counted is just as wrong.
            Ok(_) | Err(_) => Ok(()),
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

    fn view(&self) -> Result<&Rc<PoolView<D>>, Failure> {
        self.view
            .as_ref()
            .map_err(|error| Failure::Database(error.clone()))
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

/// The response to an action of an operator.
#[derive(Serialize)]
struct Done<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
}

impl Default for Done<'_> {
    fn default() -> Self {
        Self {
            success: true,
            id: None,
            model: None,
        }
    }
}

fn json<D, B, S>(body: &impl Serialize) -> Result<Reply<D, B, S>, Failure> {
    let json = serde_json::to_string(body)
        .map_err(|error| Failure::Database(DatabaseError::new(&error.to_string())))?;
    Ok(Reply::json(StatusCode::OK, json))
}

/// `model=M` of a query, or the default model.
fn model_of_query(query: Option<&str>, default: &str) -> Result<String, Failure> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    for (name, value) in pairs {
        if name != "model" {
            return Err(Failure::UnknownParameter("model"));
        }
        let model = value.trim();
        if !model.is_empty() {
            return is_model(model)
                .then(|| model.to_owned())
                .ok_or_else(Failure::no_model_name);
        }
    }
    Ok(default.to_owned())
}

/// Whether the response depends on the database. That of the liveness check does not.
pub fn needs_database(request: &Parts) -> bool {
    let credential = authentication::surface_of_credential(request);
    let route = Route::find(&request.method, request.uri.path(), credential);
    !matches!(route, Some(Route::Alive))
}
