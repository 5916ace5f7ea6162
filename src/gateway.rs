//! One request from its arrival to its answer: route, authenticate, choose a key, send, hand the answer on, record.
//!
//! Written against the traits of [`ports`], so that all of it runs natively against a scripted upstream and clock.

mod affinity;
mod ask;
mod attempt;
mod call;
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
use crate::config::{self, Config, InvalidConfig};
use crate::origin;
use crate::pool::{PoolKey, Scope, suspicion};
use crate::signal::NewSignal;
use crate::store::{self, Database, DatabaseError};
use crate::target::Surface;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use kept::{Extent, Kept};
use ports::{ByteStream, System, Upstream};
use route::Route;
use std::net::SocketAddr;
use std::rc::Rc;

/// The client's address as Spin reports it: `127.0.0.1:51686`.
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("spin-client-addr");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long what is left of a body is read before an error is sent, in milliseconds: 5 s.
const DRAIN_MS: u64 = 5_000;

/// The pool behind one connection to its database.
pub struct Gateway<D, U, S> {
    /// The settings, or what is wrong with them: a pool that cannot work still has to say why.
    config: Result<Config, InvalidConfig>,
    /// What is kept, or why nothing can be.
    kept: Result<Rc<Kept<D>>, DatabaseError>,
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
        new_signal: NewSignal,
    ) -> Self {
        Self {
            config,
            kept: database.map(|database| Rc::new(Kept::new(database, new_signal))),
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
        let route = Route::find(
            &request.method,
            request.uri.path(),
            credentials::is_googles(&request),
        );
        let surface = route.as_ref().map_or(Surface::OpenAi, Route::surface);
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
                let deadline = self.system.wait(DRAIN_MS);
                request_body::drain(&request.headers, &mut body, max, deadline).await;
                failure.into_reply(surface, false)
            }
        };
        self.allow_origin(&request, &mut reply.headers);
        if let Ok(id) = HeaderValue::from_str(&id) {
            reply.headers.insert(REQUEST_ID, id);
        }
        reply
    }

    async fn answer<B: ByteStream>(
        &self,
        route: Option<Route>,
        request: &Parts,
        request_id: &str,
        body: &mut B,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        let route = route.ok_or(Failure::UnknownPath)?;
        if request.method == Method::OPTIONS {
            return self.preflight(&route, request);
        }
        if !route.allows(&request.method) {
            return Err(Failure::WrongMethod {
                allow: route.allow_header(),
            });
        }
        match route {
            Route::Alive => Ok(alive()),
            Route::Ready => {
                self.config()?;
                admin::readiness(self.kept()?.readiness(&self.system).await?)
            }
            Route::KeysStatus => {
                self.admit(request, false)?;
                let kept = self.kept()?;
                kept.refresh(&self.system, Extent::Whole, 0).await?;
                let suspicion = suspicion::suspicion(kept.view().keys(), self.system.now());
                admin::keys_status(&**kept.database.inner(), suspicion).await
            }
            Route::KeyReset(id) => {
                self.admit(request, false)?;
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
                let config = self.admit(request, false)?;
                let model = model_of_query(request.uri.query(), &config.default_model)?;
                let kept = self.kept()?;
                kept.refresh(&self.system, Extent::Whole, 0).await?;
                admin::explain(&kept.view(), &model, self.system.now())
            }
            Route::Upstream(target) => {
                let config = match self.admit(request, true) {
                    Err(Failure::TokenMissing) if self.continues_upload(&target, request).await => {
                        self.config()?
                    }
                    admitted => admitted?,
                };
                let kept = self.kept()?.for_request();
                self.limit_rate(config, &request.headers, request_id, &kept)
                    .await?;
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
    fn admit(&self, request: &Parts, anywhere: bool) -> Result<&Config, Failure> {
        let config = self.config()?;
        check_origin(config, &request.headers)?;
        credentials::authenticate(config, request, anywhere)?;
        Ok(config)
    }

    fn preflight(&self, route: &Route, request: &Parts) -> Result<Reply<D, U::Body, S>, Failure> {
        if let Ok(config) = &self.config {
            check_origin(config, &request.headers)?;
        }
        let mut reply = Reply::empty(StatusCode::NO_CONTENT);
        reply.headers.insert(
            header::ALLOW,
            HeaderValue::from_static(route.allow_header()),
        );
        if self.allowed_origin(&request.headers).is_some() {
            let asked = request
                .headers
                .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
                .cloned();
            let allowed = asked.unwrap_or(HeaderValue::from_static("authorization, content-type"));
            reply
                .headers
                .insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
            reply.headers.insert(
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static(route.allow_header()),
            );
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
                "x-request-id, retry-after, retry-after-ms, x-should-retry, x-keypool-attempts, x-keypool-key, x-keypool-dropped, x-goog-upload-url, x-goog-upload-status",
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
        let client = client_address(headers, config.trust_forwarded_for);
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
}

/// `model=M` of a query, or the model for requests that name none.
fn model_of_query(query: Option<&str>, default: &str) -> Result<String, Failure> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    for (name, value) in pairs {
        if name != "model" {
            return Err(Failure::UnknownParameter("model"));
        }
        if !value.trim().is_empty() {
            return Ok(value.trim().to_owned());
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

/// The address that calls are counted under. Of a forwarded list the last entry counts: it is the one that the
/// operator's own proxy wrote, while all before it is the client's word.
fn client_address(headers: &HeaderMap, trust_forwarded_for: bool) -> String {
    let forwarded = || {
        let last = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .next_back()?
            .to_str()
            .ok()?;
        let address = last.rsplit(',').next()?.trim();
        (!address.is_empty()).then(|| without_port(address))
    };
    let direct = || {
        Some(without_port(
            headers.get(CLIENT_ADDRESS)?.to_str().ok()?.trim(),
        ))
    };
    let address = if trust_forwarded_for {
        forwarded().or_else(direct)
    } else {
        direct()
    };
    address.unwrap_or_else(|| "unknown".to_owned())
}

fn without_port(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_string(),
        Err(_) => address.to_owned(),
    }
}
