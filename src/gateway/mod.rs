//! One request from its arrival to its answer: route, authenticate, choose a key, send, hand the answer on, record.
//!
//! Written against the traits of [`ports`], so that all of it runs natively against a scripted upstream and clock.

mod affinity;
mod ask;
mod attempt;
mod call;
mod client;
mod credentials;
mod failure;
mod forward;
mod headers;
mod kept;
mod models;
pub mod ports;
mod reply;
mod request_body;
mod route;

#[cfg(test)]
mod tests;

pub use failure::Failure;
pub use reply::{AnswerStream, Body, Next, Reply};
pub use request_body::declared_length;

use crate::admin;
use crate::config::origin;
use crate::config::{self, Config, InvalidConfig};
use crate::pool::{PoolKey, Scope};
use crate::store::{self, Database, DatabaseError};
use crate::sync::ByteSemaphore;
use crate::sync::NewNotify;
use crate::wire::Surface;
use crate::wire::naming::is_model;
use crate::wire::redact::reveals;
use crate::wire::target::advice;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use kept::{Extent, Kept};
use ports::{ByteStream, System, Upstream};
use route::{ANY_METHOD, Route};
use std::rc::Rc;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A browser asks this before a public page calls a server in a private network:
/// <https://wicg.github.io/private-network-access/>.
const ASKS_FOR_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// Wrong tokens per client address and minute where no limit of calls is set.
const WRONG_TOKENS_PER_MINUTE: u32 = 20;

/// The pool behind one connection to its database.
pub struct Gateway<D, U, S> {
    /// The settings, or what is wrong with them: a pool that cannot work still has to say why.
    config: Result<Config, InvalidConfig>,
    /// What is kept, or why nothing can be.
    kept: Result<Rc<Kept<D>>, DatabaseError>,
    /// For the bodies of requests.
    room: Rc<ByteSemaphore>,
    upstream: U,
    system: S,
}

impl<D: Database, U: Upstream, S: System> Gateway<D, U, S> {
    /// A gateway over an open database, its schema up to date, or without one.
    pub fn new(
        config: Result<Config, InvalidConfig>,
        database: Result<Rc<D>, DatabaseError>,
        upstream: U,
        system: S,
        new_notify: NewNotify,
    ) -> Self {
        let size = config.as_ref().map_or(0, |config| config.max_held_bytes);
        Self {
            config,
            room: ByteSemaphore::new(size, new_notify),
            kept: database.map(|database| Rc::new(Kept::new(database, new_notify))),
            upstream,
            system,
        }
    }

    /// Answers one request. Never fails: whatever goes wrong becomes an answer in the error shape of the API asked for.
    pub async fn handle<B: ByteStream>(&self, request: Parts, mut body: B) -> Reply<D, U::Body, S> {
        let id = format!(
            "req_{:016x}{:016x}",
            self.system.random(),
            self.system.random()
        );
        let by_google = credentials::is_googles(&request);
        let route = Route::find(&request.method, request.uri.path(), by_google);
        let surface = match &route {
            Some(route) => route.surface(),
            None if by_google => Surface::Gemini,
            None => Surface::OpenAi,
        };
        let mut reply = match self.answer(route, &request, &id, &mut body).await {
            Ok(reply) => reply,
            Err(failure) => {
                if let Some(reason) = failure.for_operator() {
                    self.system.log(&format!("request={id} {reason}"));
                }
                let max = match &self.config {
                    Ok(config) => config.max_body_bytes,
                    Err(_) => config::DEFAULT_MAX_BODY_BYTES,
                };
                if failure != Failure::BodyStalled {
                    request_body::drain(&request.headers, &mut body, max, &self.system).await;
                }
                failure.into_reply(surface, false)
            }
        };
        if headers::goes_on_with_upload(&request) {
            reply.end_upload();
        }
        self.allow_origin(&request, &mut reply.headers);
        if let Ok(id) = HeaderValue::from_str(&id) {
            reply.headers.insert(REQUEST_ID, id);
        }
        reply.frame(&request.method);
        reply
    }

    async fn answer<B: ByteStream>(
        &self,
        route: Option<Route>,
        request: &Parts,
        request_id: &str,
        body: &mut B,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        if request.method == Method::OPTIONS {
            // Of an unknown path, too: a page has to be able to read its error.
            let allowed = route.as_ref().map_or(ANY_METHOD, Route::allow_header);
            return self.preflight(allowed, request);
        }
        let route = route.ok_or_else(|| Failure::UnknownPath(advice(request.uri.path())))?;
        if !route.allows(&request.method) {
            return Err(Failure::WrongMethod {
                allow: route.allow_header(),
            });
        }
        match route {
            Route::Alive => Ok(alive()),
            Route::Ready => {
                if self.config()?.client_token.is_none() {
                    return Err(Failure::TokenNotConfigured);
                }
                admin::readiness(self.kept()?.readiness(&self.system).await?)
            }
            Route::KeysStatus => {
                let config = self.admit(request, false).await?;
                let kept = self.kept()?;
                kept.refresh(&self.system, Extent::Whole, 0).await?;
                let reports = store::key_report(&**kept.database.inner()).await?;
                let now = self.system.now();
                admin::keys_status(reports, &kept.view(), now, config.warnings())
            }
            Route::KeyReset(id) => {
                self.admit(request, false).await?;
                let kept = self.kept()?;
                kept.refresh(&self.system, Extent::Whole, kept::MAX_AGE_MS)
                    .await?;
                let database = &**kept.database.inner();
                let reset = store::reset_key(database, id, self.system.now()).await?;
                let scope = kept.view().key(id).map(PoolKey::scope);
                kept.forget(&[Scope::Key(id), scope.unwrap_or(Scope::Key(id))]);
                kept.outdate();
                if !reset {
                    return Err(Failure::UnknownKey(id));
                }
                self.system
                    .log(&format!("request={request_id} key {id} is reset"));
                Ok(Reply::json(
                    StatusCode::OK,
                    format!(r#"{{"success":true,"id":{id}}}"#),
                ))
            }
            Route::PoolExplain => {
                let config = self.admit(request, false).await?;
                let model = model_of_query(request.uri.query(), &config.default_model)?;
                let kept = self.kept()?;
                kept.refresh(&self.system, Extent::Whole, 0).await?;
                if self.reveals_secret(config, &model) {
                    return Err(Failure::secret_in_name());
                }
                admin::explain(&kept.view(), &model, self.system.now())
            }
            Route::PoolForget => {
                let config = self.admit(request, false).await?;
                let model = model_of_query(request.uri.query(), &config.default_model)?;
                if self.reveals_secret(config, &model) {
                    return Err(Failure::secret_in_name());
                }
                let kept = self.kept()?;
                store::forget_learned(&**kept.database.inner(), &model).await?;
                kept.outdate();
                self.system.log(&format!(
                    "request={request_id} what was learned of requests for {model} is forgotten"
                ));
                Ok(Reply::json(
                    StatusCode::OK,
                    serde_json::json!({ "success": true, "model": model }).to_string(),
                ))
            }
            Route::Upstream(target) => {
                let config = if target.is_upload()
                    && self.presents_no_token(request)
                    && self.continues_upload(&target, request).await
                {
                    self.config()?
                } else {
                    self.admit(request, true).await?
                };
                let kept = self.kept()?.for_request();
                self.limit_rate(config, &request.headers, request_id, &kept)
                    .await?;
                if target.names_no_model() {
                    return Err(Failure::no_model_name());
                }
                if models::is_list(&target, &request.method) {
                    return self
                        .list_models(config, &target, request, request_id, &kept)
                        .await;
                }
                self.forward(config, &target, request, request_id, &kept, body)
                    .await
            }
        }
    }

    fn kept(&self) -> Result<&Rc<Kept<D>>, Failure> {
        self.kept
            .as_ref()
            .map_err(|error| Failure::Database(error.clone()))
    }

    fn config(&self) -> Result<&Config, Failure> {
        self.config.as_ref().map_err(Failure::from)
    }

    /// Lets only those in who may call: a page of an allowed origin, with the client's token.
    async fn admit(&self, request: &Parts, anywhere: bool) -> Result<&Config, Failure> {
        let config = self.config()?;
        check_origin(config, &request.headers)?;
        match credentials::authenticate(config, request, anywhere) {
            Ok(()) => Ok(config),
            Err(wrong @ (Failure::TokenMissing | Failure::TokenWrong)) => {
                self.count_wrong_token(config, &request.headers).await?;
                Err(wrong)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether a request has no token at all, though a page may send it from where it comes.
    fn presents_no_token(&self, request: &Parts) -> bool {
        self.config().is_ok_and(|config| {
            check_origin(config, &request.headers).is_ok()
                && credentials::authenticate(config, request, true) == Err(Failure::TokenMissing)
        })
    }

    /// Whether a name has the client token in it, or a key as far as the instance knows them. Such a name is not stored.
    fn reveals_secret(&self, config: &Config, name: &str) -> bool {
        if reveals(name, config.secrets()) {
            return true;
        }
        let Ok(kept) = self.kept() else {
            return false;
        };
        let view = kept.view();
        reveals(name, view.keys().iter().map(|key| key.key.expose()))
    }

    fn preflight(
        &self,
        allowed_methods: &'static str,
        request: &Parts,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        if let Ok(config) = &self.config {
            check_origin(config, &request.headers)?;
        }
        let mut reply = Reply::empty(StatusCode::NO_CONTENT);
        let allowed_methods = HeaderValue::from_static(allowed_methods);
        reply.headers.insert(header::ALLOW, allowed_methods.clone());
        if self.allowed_origin(&request.headers).is_some() {
            let asked = request
                .headers
                .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
                .cloned();
            let allowed = asked.unwrap_or(HeaderValue::from_static("authorization, content-type"));
            reply
                .headers
                .insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
            reply
                .headers
                .insert(header::ACCESS_CONTROL_ALLOW_METHODS, allowed_methods);
            if request
                .headers
                .get(ASKS_FOR_PRIVATE_NETWORK)
                .is_some_and(|value| value == "true")
            {
                reply
                    .headers
                    .insert(ALLOWS_PRIVATE_NETWORK, HeaderValue::from_static("true"));
            }
            reply.headers.insert(
                header::ACCESS_CONTROL_MAX_AGE,
                HeaderValue::from_static("86400"),
            );
        }
        Ok(reply)
    }

    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let config = self.config.as_ref().ok()?;
        let origin = origin::of_request(headers)?;
        config
            .allowed_origins
            .allows(&origin)
            .then(|| HeaderValue::from_str(&origin).ok())?
    }

    fn allow_origin(&self, request: &Parts, headers: &mut HeaderMap) {
        if self
            .config
            .as_ref()
            .is_ok_and(|config| !config.allowed_origins.is_empty())
        {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = self.allowed_origin(&request.headers) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let exposed = HeaderValue::from_static(
                "x-request-id, retry-after, retry-after-ms, x-should-retry, x-keypool-attempts, x-keypool-key, x-keypool-dropped, x-gemini-service-tier, etag, content-disposition, content-range, accept-ranges, range, x-goog-upload-url, x-goog-upload-status, x-goog-upload-size-received, x-goog-upload-chunk-granularity",
            );
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    /// Counts a call against its client's limit. A database that cannot count refuses nobody: the limit guards the pool,
    /// and a pool that answers is what it is there for.
    async fn limit_rate(
        &self,
        config: &Config,
        headers: &HeaderMap,
        request_id: &str,
        kept: &Kept<D>,
    ) -> Result<(), Failure> {
        let Some(limit) = config.rate_limit_per_minute else {
            return Ok(());
        };
        let client = client::address(headers, config.trust_forwarded_for);
        match store::count_call(&*kept.database, &client, self.system.now()).await {
            Ok((calls, retry_after)) if calls > i64::from(limit) => {
                Err(Failure::RateLimited { limit, retry_after })
            }
            Ok(_) => Ok(()),
            Err(error) => {
                self.system.log(&format!(
                    "request={request_id} is not counted against a limit: {error}"
                ));
                Ok(())
            }
        }
    }

    /// Counts a call with a wrong token, or with none: as a call of its client where calls are limited, and otherwise apart,
    /// so that a right token from the same address is never refused for others' wrong ones.
    async fn count_wrong_token(&self, config: &Config, headers: &HeaderMap) -> Result<(), Failure> {
        let client = client::address(headers, config.trust_forwarded_for);
        let (counted, limit) = match config.rate_limit_per_minute {
            Some(limit) => (client, limit),
            None => (format!("wrong token {client}"), WRONG_TOKENS_PER_MINUTE),
        };
        let Ok(kept) = self.kept() else {
            return Ok(());
        };
        match store::count_call(&*kept.database, &counted, self.system.now()).await {
            Ok((calls, retry_after)) if calls > i64::from(limit) => {
                Err(Failure::WrongTokens { limit, retry_after })
            }
            // Where it cannot be counted, the token is as wrong.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// `model=M` of a query, or the model for requests that name none.
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

/// Whether the answer to a request depends on the database. Liveness does not.
pub fn needs_database(request: &Parts) -> bool {
    let path = request.uri.path();
    !matches!(
        Route::find(&request.method, path, credentials::is_googles(request)),
        Some(Route::Alive)
    )
}

fn alive<D, B, S>() -> Reply<D, B, S> {
    Reply::json(StatusCode::OK, r#"{"status":"ok"}"#.to_owned())
}

/// Refuses pages of other origins where the operator wants that. A call without an origin comes from no page.
fn check_origin(config: &Config, headers: &HeaderMap) -> Result<(), Failure> {
    match origin::of_request(headers) {
        Some(origin) if config.enforce_origin && !config.allowed_origins.allows(&origin) => {
            Err(Failure::OriginRefused)
        }
        _ => Ok(()),
    }
}
