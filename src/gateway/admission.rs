//! Who may call, and how often.

use super::affinity::Affinity;
use super::authentication::{self, Accepts, Caller, Permission};
use super::incoming::Incoming;
use super::ports::System;
use super::view::PoolView;
use super::{Failure, client_address, cors};
use crate::config::Config;
use crate::store::{self, CallCount, Database};
use http::HeaderMap;
use http::request::Parts;

/// Wrong tokens per client address and minute, if calls are not limited.
const WRONG_TOKENS_PER_MINUTE: u32 = 20;

/// Admits callers, and counts their requests.
pub(super) struct Admission<'a, D, S> {
    pub(super) config: &'a Config,
    /// The view of the pool, if the database is open.
    pub(super) view: Option<&'a PoolView<D>>,
    pub(super) system: &'a S,
}

impl<D: Database, S: System> Admission<'_, D, S> {
    /// Admits callers that may call: those with the client's token, unless they are pages of an
    /// origin that is not allowed.
    pub(super) async fn admit(&self, request: &Parts, accepts: Accepts) -> Result<Caller, Failure> {
        cors::check_origin(self.config, &request.headers)?;
        match authentication::authenticate(self.config, request, accepts) {
            Err(wrong @ (Failure::TokenMissing | Failure::TokenWrong)) => {
                self.count_wrong_token(&request.headers).await?;
                Err(wrong)
            }
            result => result,
        }
    }

    /// Admits operators who have the permission.
    pub(super) async fn admit_operator(
        &self,
        request: &Parts,
        needed: Permission,
    ) -> Result<Caller, Failure> {
        cors::check_origin(self.config, &request.headers)?;
        match authentication::authenticate_operator(self.config, request, needed) {
            Err(wrong @ (Failure::OperatorTokenMissing | Failure::OperatorTokenWrong)) => {
                self.count_wrong_token(&request.headers).await?;
                Err(wrong)
            }
            result => result,
        }
    }

    /// Admits clients and operators.
    pub(super) async fn admit_anyone(&self, request: &Parts) -> Result<Caller, Failure> {
        match authentication::authenticate_operator(self.config, request, Permission::Read) {
            Ok(operator) => {
                cors::check_origin(self.config, &request.headers)?;
                Ok(operator)
            }
            Err(_) => self.admit(request, Accepts::Bearer).await,
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
        let view = self.view?;
        let affinity = Affinity {
            config: self.config,
            view,
        };
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

    /// Counts a call with a wrong token, or with none. With a rate limit it counts towards the
    /// client's limit. Without one it has a counter of its own, so that wrong tokens never lock out
    /// a correct one from the same address.
    async fn count_wrong_token(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let client = client_address::of(headers, self.config.proxies);
        let (counted, limit) = match self.config.rate_limit_per_minute {
            Some(limit) => (client, limit),
            None => (format!("wrong token {client}"), WRONG_TOKENS_PER_MINUTE),
        };
        let Some(view) = self.view else {
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
