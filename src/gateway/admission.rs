//! Who may call, and how often.

use super::affinity::Affinity;
use super::authentication::{self, Accepts, Caller, Permission};
use super::incoming::Incoming;
use super::ports::System;
use super::view::PoolView;
use super::{Failure, client_address, cors, session};
use crate::config::Config;
use crate::pool::{ClientToken, Moment, TokenLimit, TokenState};
use crate::store::{self, CallCount, Database};
use http::HeaderMap;
use http::request::Parts;
use std::rc::Rc;

/// Wrong tokens per client address and minute, if calls are not limited.
const WRONG_TOKENS_PER_MINUTE: u32 = 20;

/// Admits callers, and counts their requests.
pub(super) struct Admission<'a, D, S> {
    pub(super) config: &'a Config,
    /// The view of the pool, or why there is none.
    pub(super) view: Result<&'a PoolView<D>, Failure>,
    pub(super) system: &'a S,
}

impl<D: Database, S: System> Admission<'_, D, S> {
    /// Admits callers that may call: those with a client token, unless they are pages of an origin
    /// that is not allowed.
    pub(super) async fn admit(&self, request: &Parts, accepts: Accepts) -> Result<Caller, Failure> {
        cors::check_origin(self.config, &request.headers)?;
        let wrong = match authentication::authenticate(self.config, request, accepts) {
            Ok(caller) => return Ok(caller),
            Err(wrong) => wrong,
        };
        if let Some(token) = self.created_token(request, accepts).await? {
            self.check_token(&token, &request.headers)?;
            return Ok(Caller::ClientToken(token));
        }
        if !self.has_any_token().await? {
            return Err(Failure::TokenNotConfigured);
        }
        self.count_wrong_token(&request.headers).await?;
        Err(wrong)
    }

    /// The client token in a request that an operator has created, if there is one.
    async fn created_token(
        &self,
        request: &Parts,
        accepts: Accepts,
    ) -> Result<Option<Rc<ClientToken>>, Failure> {
        for presented in authentication::created_tokens(request, accepts) {
            let view = self.view()?;
            let database = view.unlimited_database();
            let found = view.client_tokens.find(database, self.system, &presented);
            if let Some(token) = found.await? {
                return Ok(Some(token));
            }
        }
        Ok(None)
    }

    fn check_token(&self, token: &ClientToken, headers: &HeaderMap) -> Result<(), Failure> {
        match token.state(self.system.now()) {
            TokenState::Active => {}
            TokenState::Disabled => return Err(Failure::TokenDisabled),
            TokenState::Expired => return Err(Failure::TokenExpired),
        }
        match token.allows_address(client_address::address(headers, self.config.proxies)) {
            true => Ok(()),
            false => Err(Failure::NetworkNotAllowed),
        }
    }

    /// Whether the pool has a client token, so that somebody may call.
    pub(super) async fn has_any_token(&self) -> Result<bool, Failure> {
        if self.config.client_token.is_some() {
            return Ok(true);
        }
        let database = self.view()?.unlimited_database();
        Ok(store::has_client_tokens(database).await?)
    }

    fn view(&self) -> Result<&PoolView<D>, Failure> {
        self.view.clone()
    }

    /// Admits operators who have the permission, by their token or else their session.
    pub(super) async fn admit_operator(
        &self,
        request: &Parts,
        needed: Permission,
    ) -> Result<Permission, Failure> {
        if let Some(result) = self.admit_session(request, needed) {
            return result;
        }
        cors::check_origin(self.config, &request.headers)?;
        self.admit_token(request, needed).await
    }

    /// Admits operators by their token, so that a session does not outlast its time.
    pub(super) async fn sign_in(&self, request: &Parts) -> Result<Permission, Failure> {
        if !session::is_own_page(self.config, request) {
            cors::check_origin(self.config, &request.headers)?;
        }
        self.admit_token(request, Permission::Read).await
    }

    fn admit_session(
        &self,
        request: &Parts,
        needed: Permission,
    ) -> Option<Result<Permission, Failure>> {
        session::admit(self.config, request, needed, self.system.now())
    }

    async fn admit_token(
        &self,
        request: &Parts,
        needed: Permission,
    ) -> Result<Permission, Failure> {
        match authentication::authenticate_operator(self.config, request, needed) {
            Err(wrong @ (Failure::OperatorTokenMissing | Failure::OperatorTokenWrong)) => {
                self.count_wrong_token(&request.headers).await?;
                Err(wrong)
            }
            result => result,
        }
    }

    /// Admits those who may read the metrics: by their token, or by their address.
    pub(super) async fn admit_scraper(&self, request: &Parts) -> Result<(), Failure> {
        let headers = &request.headers;
        cors::check_origin(self.config, headers)?;
        let address = client_address::address(headers, self.config.proxies);
        let networks = &self.config.metrics_networks;
        let is_in_network =
            address.is_some_and(|address| networks.iter().any(|network| network.has(address)));
        if authentication::may_read_metrics(self.config, request) || is_in_network {
            return Ok(());
        }
        self.count_wrong_token(headers).await?;
        Err(Failure::MetricsTokenWrong)
    }

    /// Admits clients and operators.
    pub(super) async fn admit_anyone(&self, request: &Parts) -> Result<(), Failure> {
        if let Some(result) = self.admit_session(request, Permission::Read) {
            return result.map(drop);
        }
        match authentication::authenticate_operator(self.config, request, Permission::Read) {
            Ok(_) => cors::check_origin(self.config, &request.headers),
            Err(_) => self.admit(request, Accepts::Bearer).await.map(drop),
        }
    }

    /// The caller of a request without a token, if it continues an upload that the pool started.
    pub(super) async fn upload_caller(&self, incoming: &Incoming<'_>) -> Option<Caller> {
        let Incoming { head, target, .. } = incoming;
        let may_continue = target.is_upload()
            && cors::check_origin(self.config, &head.headers).is_ok()
            && authentication::authenticate(self.config, head, Accepts::Anywhere)
                == Err(Failure::TokenMissing);
        if !may_continue {
            return None;
        }
        let affinity = Affinity {
            config: self.config,
            view: self.view.as_ref().ok()?,
        };
        let now = self.system.now();
        match affinity.continues_upload(target, head, now).await {
            Ok(true) if self.has_any_token().await == Ok(true) => Some(Caller::UploadUrl),
            Ok(_) => None,
            Err(error) => {
                self.system
                    .log(&format!("an upload cannot be looked up: {error}"));
                None
            }
        }
    }

    /// Counts a call against its client's limit. If the database cannot count, the call passes: the
    /// limit protects the pool, and the pool is there to answer.
    pub(super) async fn limit_rate(
        &self,
        incoming: &Incoming<'_>,
        view: &PoolView<D>,
    ) -> Result<(), Failure> {
        let Some(limit) = self.config.rate_limit_per_minute else {
            return Ok(());
        };
        let client = client_address::of(&incoming.head.headers, self.config.proxies);
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

    /// Counts a call against the limits of its client token. If the database cannot count, the call
    /// passes.
    pub(super) async fn limit_token(
        &self,
        caller: &Caller,
        incoming: &Incoming<'_>,
        view: &PoolView<D>,
    ) -> Result<(), Failure> {
        let Some(token) = caller.client_token() else {
            return Ok(());
        };
        let now = Moment::new(self.system.now());
        let counted = match self.exceeded_limit(token, view, &now).await {
            Ok(None) => return Ok(()),
            Ok(Some(exceeded)) => return Err(exceeded),
            Err(error) => error,
        };
        self.system.log(&format!(
            "request={} is not counted against the limits of token {}: {counted}",
            incoming.id, token.id
        ));
        Ok(())
    }

    /// The limit of a token that one more call exceeds.
    async fn exceeded_limit(
        &self,
        token: &ClientToken,
        view: &PoolView<D>,
        now: &Moment,
    ) -> store::Result<Option<Failure>> {
        let database = &*view.database;
        if let Some(limit) = token.tokens_per_day
            && store::tokens_used_today(database, token.id, now).await? >= limit
        {
            return Ok(Some(Failure::TokenLimited {
                limit: TokenLimit::TokensPerDay(limit),
                wait_ms: now.next_day().since(now.at()),
            }));
        }
        if let Some(limit) = token.requests_per_minute {
            let counter = format!("token {}", token.id);
            let CallCount { calls, retry_after } =
                store::count_call(database, &counter, now.at()).await?;
            if u64::try_from(calls).is_ok_and(|calls| calls > limit) {
                return Ok(Some(Failure::TokenLimited {
                    limit: TokenLimit::RequestsPerMinute(limit),
                    wait_ms: retry_after * 1000,
                }));
            }
        }
        Ok(None)
    }

    /// Counts a call with a wrong token, or with none. With a rate limit it counts towards the
    /// client's limit. Without one it has a counter of its own, so that wrong tokens never lock out
    /// a correct one from the same address.
    async fn count_wrong_token(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let client = client_address::of(headers, self.config.proxies);
        let (counted, limit) = match self.config.rate_limit_per_minute {
            Some(limit) => (client, limit),
            None => (format!("wrong token {client}"), WRONG_TOKENS_PER_MINUTE),
        };
        let Ok(view) = &self.view else {
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
}
