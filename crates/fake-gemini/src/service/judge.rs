//! What a call is answered. The order of decisions is the table in the crate's documentation.

use super::{State, World};
use crate::credential::{self, Credential};
use crate::errors::{self, ApiError};
use crate::keys::Key;
use crate::log::Call;
use crate::models::bare;
use crate::quota::{Cost, Use};
use crate::reply::Reply;
use crate::resources::{Circumstances, TUNED_MODELS};
use crate::surface::{Delivery, Operation, Refused, Request, Target};
use bytes::Bytes;
use http::HeaderMap;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a call says by itself, before anything is decided.
pub(super) struct Asked {
    pub(super) target: Target,
    /// The key, or why there is none. For an upload that goes on, it is the one that began it.
    pub(super) key: Result<String, ApiError>,
    /// The key, if it is registered.
    pub(super) known: Option<Key>,
    pub(super) request: Result<Request, Refused>,
}

impl Asked {
    /// `body` is `None` when it was too large.
    pub(super) fn new(
        state: &State,
        target: Target,
        headers: &HeaderMap,
        credentials: &[Credential],
        body: Option<&Bytes>,
    ) -> Self {
        let key = match target.upload() {
            None => credential::key(&target, credentials).map(str::to_owned),
            Some(id) => {
                let uploader = state.world().resources.uploader(id).map(str::to_owned);
                uploader.ok_or_else(errors::no_such_upload)
            }
        };
        let known = state.registered(key.as_deref().ok());
        let request = match body {
            Some(body) => target.read(headers, body, state.strictness),
            None => Err(target.refused(errors::payload_too_large(), &[])),
        };
        let mut asked = Self {
            target,
            key,
            known,
            request,
        };
        if let Ok(request) = &asked.request {
            let checked = state.world().signatures.check(request, asked.project());
            if let Err(error) = checked {
                let body = body.map_or(&[][..], Bytes::as_ref);
                asked.request = Err(asked.target.refused(error, body));
            }
        }
        asked
    }

    /// That of the key. A key that is not registered has a project of its own, which is called as the key is.
    pub(super) fn project(&self) -> &str {
        let key = self.key.as_deref().unwrap_or_default();
        self.known.as_ref().map_or(key, |known| &known.project)
    }

    /// The model, as it was asked for.
    pub(super) fn model(&self) -> Option<&str> {
        match &self.request {
            Ok(request) => request.model.as_deref(),
            Err(refused) => refused.model.as_deref(),
        }
    }

    pub(super) fn delivery(&self) -> Delivery {
        match &self.request {
            Ok(request) => request.delivery,
            Err(refused) => refused.delivery,
        }
    }

    /// Who does it.
    pub(super) fn circumstances(&self, now_ms: i64, number: u64) -> Circumstances<'_> {
        Circumstances {
            project: self.project(),
            key: self.key.as_deref().unwrap_or_default(),
            now_ms,
            number,
        }
    }

    /// What its quota is counted as; `None` for what is free.
    fn purpose(&self) -> Option<Use> {
        match self.target.operation {
            Operation::Generate | Operation::Predict | Operation::PredictLongRunning => {
                Some(Use::Generate)
            }
            Operation::Embed | Operation::BatchEmbed => Some(Use::Embed),
            Operation::CountTokens
            | Operation::ListModels
            | Operation::GetModel
            | Operation::Resource(_) => None,
        }
    }
}

/// Decides, and takes from scripts and quotas what the decision uses up.
pub(super) fn decide<'a>(
    state: &State,
    asked: &'a Asked,
    call: &Call,
) -> Result<(&'a Request, Box<Reply>), ApiError> {
    let key = asked.key.as_ref().map_err(Clone::clone)?;
    if let Ok(request) = &asked.request {
        let scripted = state.world().scripted(key, asked.known.is_some());
        if let Some(reply) = scripted {
            return Ok((request, Box::new(reply)));
        }
    }
    let known = asked.known.as_ref().ok_or_else(errors::key_invalid)?;
    let rpc = asked.target.rpc(asked.delivery());
    let refusal = known.condition.error(key, &known.project, &rpc);
    // Whoever has an upload's id may go on with it, whatever has become of the key.
    if let Some(error) = refusal.filter(|_| asked.target.upload().is_none()) {
        return Err(error);
    }
    let request = match &asked.request {
        Ok(request) => request,
        Err(refused) => {
            count_refused(state, asked, call, refused.input_tokens);
            return Err(refused.error.clone());
        }
    };
    let at = asked.circumstances(state.clock.now_ms(), call.number);
    let limit = match &request.model {
        Some(model) if model.starts_with(TUNED_MODELS) => {
            state.world().resources.tuned_model(model, &at)?;
            None
        }
        Some(model) => check_model(state, &asked.target, &known.project, model)?,
        None => None,
    };
    let model = request.bare_model();
    state
        .world()
        .resources
        .check(&request.references, model, &at)?;
    if let Some(limit) = limit.filter(|limit| request.prompt_tokens > *limit) {
        count_refused(state, asked, call, request.prompt_tokens);
        return Err(errors::input_too_long(limit));
    }
    if let Some(purpose) = asked.purpose() {
        let cost = Cost {
            requests: u64::try_from(request.texts.len().max(1)).unwrap_or(u64::MAX),
            input_tokens: request.prompt_tokens,
        };
        let place = (known.project.as_str(), request.bare_model(), purpose);
        let world = &mut *state.world();
        world
            .meter
            .admit(&world.quotas, place, cost, state.clock.now_ms())?;
    }
    // It is the user's code.
    match catch_unwind(AssertUnwindSafe(|| (state.default_reply)(call))) {
        Ok(reply) => Ok((request, Box::new(reply))),
        Err(payload) => {
            state.log.panicked("default_reply", &*payload);
            Err(errors::internal())
        }
    }
}

/// Counts a call that is refused with 400.
fn count_refused(state: &State, asked: &Asked, call: &Call, input_tokens: u64) {
    // Only known models, or the meter would grow with each made-up name.
    if let (Some(purpose), Some(project), Some(model)) =
        (asked.purpose(), &call.project, &call.known_model)
    {
        let cost = Cost {
            requests: 1,
            input_tokens,
        };
        let place = (project.as_str(), model.as_str(), purpose);
        let world = &mut *state.world();
        world
            .meter
            .count_refused(&world.quotas, place, cost, state.clock.now_ms());
    }
}

/// Whether the project may ask the model for that, and how many tokens of input are too many, if any are.
fn check_model(
    state: &State,
    target: &Target,
    project: &str,
    model: &str,
) -> Result<Option<u64>, ApiError> {
    let known = state.models.iter().find(|known| known.id == bare(model));
    match known {
        None if target.operation == Operation::GetModel => {
            Err(errors::no_such_model(model, target.version))
        }
        Some(known) if target.suits(known) => {
            let place = (project.to_owned(), known.id.clone());
            // It can still be looked up.
            if target.operation != Operation::GetModel && state.world().retired.contains(&place) {
                return Err(errors::model_retired_for_new_users(model));
            }
            // What happens to a text that is too long to embed is not known.
            let generates = target.operation == Operation::Generate;
            Ok(known.input_token_limit().filter(|_| generates))
        }
        None | Some(_) => Err(errors::model_not_found(
            model,
            target.api_version(),
            target.operation.name(),
        )),
    }
}

impl World {
    /// The next scripted reply for the key: its own first.
    fn scripted(&mut self, key: &str, known: bool) -> Option<Reply> {
        let own = self.scripts.get_mut(key).and_then(VecDeque::pop_front);
        own.or_else(|| known.then(|| self.scripts_for_any.pop_front()).flatten())
    }
}
