//! What operators may do, once they are admitted.

use super::ports::System;
use super::route::Action;
use super::view::{Coverage, MAX_AGE_MS, PoolView};
use super::{Failure, Reply};
use crate::admin::{self, Alias};
use crate::config::Config;
use crate::pool::{KeyId, PoolKey, Scope};
use crate::store::{self, Database};
use crate::wire::naming::is_model;
use http::request::Parts;
use serde::Serialize;

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
                Reply::of(&admin::keys_status(keys, &view.snapshot(), now, warnings))
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
                let explanation = admin::explain(&snapshot, model, alias, system.now());
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
        let reset = store::reset_key(view.unlimited_database(), id, system.now()).await?;
        let scope = view.snapshot().key(id).map(PoolKey::scope);
        view.forget(&[Scope::Key(id), scope.unwrap_or(Scope::Key(id))]);
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
