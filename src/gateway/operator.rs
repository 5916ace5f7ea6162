//! What operators may do, once they are admitted.

use super::authentication::Permission;
use super::key_test::Tester;
use super::ports::{System, Upstream};
use super::route::Action;
use super::view::{Coverage, MAX_AGE_MS, PoolView};
use super::{Body, Failure, Reply};
use crate::admin::endpoint::{Endpoint, KeyAction};
use crate::admin::pool::Health;
use crate::admin::report::{self, Alias};
use crate::admin::{self, Refusal, Request, ResponseBody};
use crate::config::Config;
use crate::pool::{KeyId, PoolKey, Scope};
use crate::store::{self, Author, Database};
use crate::wire::naming::is_model;
use http::request::Parts;
use http::{StatusCode, header};
use serde::Serialize;

/// How the audit log names operators who make changes.
const ADMIN_TOKEN: &str = "admin_token";

/// An operator who has been admitted.
pub(super) struct Operator<'a, D, S> {
    pub(super) config: &'a Config,
    pub(super) view: &'a PoolView<D>,
    pub(super) system: &'a S,
}

impl<D: Database, S: System> Operator<'_, D, S> {
    /// Does what an admitted operator asks for.
    pub(super) async fn act<B>(
        &self,
        action: Action,
        request: &Parts,
        request_id: &str,
    ) -> Result<Reply<D, B, S>, Failure> {
        let Self {
            config,
            view,
            system,
        } = *self;
        match action {
            Action::KeysStatus => {
                view.refresh(system, Coverage::Whole, 0).await?;
                let keys = store::key_report(view.unlimited_database()).await?;
                let now = system.now();
                let warnings = config.warnings();
                Reply::of(&report::keys_status(keys, &view.snapshot(), now, warnings))
            }
            Action::ResetKey(id) => self.reset_key(id, request_id).await,
            Action::Explain => {
                let name = self.name_of(request).await?;
                let alias = config.model_aliases.find(&name).map(|alias| Alias {
                    name: &name,
                    pattern: &alias.pattern,
                });
                let snapshot = view.snapshot();
                let model = config.model_of(&name);
                let explanation = report::explain(&snapshot, model, alias, system.now());
                Reply::of(&explanation)
            }
            Action::Forget => {
                let name = self.name_of(request).await?;
                let model = config.model_of(&name);
                store::forget_learned(view.unlimited_database(), model).await?;
                view.outdate();
                system.log(&format!(
                    "request={request_id} what was learned of requests for {model} is forgotten"
                ));
                Reply::of(&Done {
                    success: true,
                    id: None,
                    model: Some(model),
                })
            }
        }
    }

    /// Forgets the cool-downs of a key and its project that the database did not take.
    fn forget_cool_downs(&self, id: KeyId) {
        let scope = self.view.snapshot().key(id).map(PoolKey::scope);
        let key = Scope::Key(id);
        self.view.forget(&[key.clone(), scope.unwrap_or(key)]);
    }

    /// Does what an admitted operator asks the admin API for.
    pub(super) async fn administer<B, U: Upstream>(
        &self,
        endpoint: Endpoint,
        request: &Parts,
        body: &[u8],
        tester: &Tester<'_, D, U, S>,
    ) -> Result<Reply<D, B, S>, Failure> {
        let Self {
            config,
            view,
            system,
        } = *self;
        if let Endpoint::KeyAction(id, KeyAction::Reset) = endpoint {
            view.refresh(system, Coverage::Whole, MAX_AGE_MS).await?;
            self.forget_cool_downs(id);
        }
        let health = match endpoint == Endpoint::Pool {
            true => {
                view.refresh(system, Coverage::Whole, MAX_AGE_MS).await?;
                Some(Health::of(&view.snapshot(), system.now()))
            }
            false => None,
        };
        let request = Request {
            endpoint,
            method: &request.method,
            query: request.uri.query(),
            body,
            author: Author {
                actor: ADMIN_TOKEN,
                request_id: tester.request_id,
            },
            now: system.now(),
            config,
            vault: &view.vault,
            new_nonce: &|| system.new_nonce(),
            entropy: system.entropy(),
            health,
        };
        let result = admin::respond(view.shared_database(), &request, tester).await;
        if Permission::for_method(request.method) == Permission::Change {
            view.outdate();
        }
        let response = result?;
        Ok(match response.body {
            ResponseBody::Json(_) if response.status == StatusCode::NO_CONTENT => {
                Reply::empty(response.status)
            }
            ResponseBody::Json(json) => Reply::json(response.status, json),
            ResponseBody::Pages(pages) => {
                let mut reply = Reply::empty(response.status);
                let content_type = pages.content_type();
                reply.headers.insert(header::CONTENT_TYPE, content_type);
                reply.body = Body::Pages(pages);
                reply
            }
        })
    }

    /// The name of the model that a request asks about, after a fresh read of the pool.
    async fn name_of(&self, request: &Parts) -> Result<String, Failure> {
        let name = model_of_query(request.uri.query(), &self.config.default_model)?;
        self.view.refresh(self.system, Coverage::Whole, 0).await?;
        if self.view.reveals_secret(self.config, &name) {
            return Err(Failure::secret_in_name());
        }
        Ok(name)
    }

    async fn reset_key<B>(&self, id: KeyId, request_id: &str) -> Result<Reply<D, B, S>, Failure> {
        let Self { view, system, .. } = *self;
        view.refresh(system, Coverage::Whole, MAX_AGE_MS).await?;
        let author = Author {
            actor: ADMIN_TOKEN,
            request_id,
        };
        let reset = store::reset_key(view.unlimited_database(), id, author, system.now()).await?;
        self.forget_cool_downs(id);
        view.outdate();
        if !reset {
            return Err(Failure::UnknownKey(id));
        }
        system.log(&format!("request={request_id} key {id} is reset"));
        Reply::of(&Done {
            success: true,
            id: Some(id.0),
            model: None,
        })
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(invalid) => invalid.into(),
            Refusal::UnknownKey(id) => Self::UnknownKey(id),
            Refusal::UnknownRequest => Self::UnknownRequest,
            Refusal::UnknownToken(id) => Self::UnknownToken(id),
            Refusal::Database(error) => error.into(),
        }
    }
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
