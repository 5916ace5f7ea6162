//! A request for the upstream: attempts over the keys of the pool, until one gives an answer.

use super::ask::Ask;
use super::attempt::{Attempted, Form, Outgoing, Patience, attempt};
use super::call::{Call, Claimed, claim};
use super::failure::Out;
use super::kept::{Extent, Kept, MAX_AGE_AFTER_FAILURE_MS, MAX_AGE_MS};
use super::ports::{ByteStream, System, Upstream};
use super::reply::{Body, Reply};
use super::request_body::Held;
use super::{Failure, Gateway, headers, request_body};
use crate::config::Config;
use crate::pool::{
    After, Blame, Change, CredentialHeader, Failover, GiveUp, Incident, KeyId, Moment, Outcome,
    Owner, Pick, Place, Policy, Step, UnixMillis, estimate_tokens, place_of, with_tool,
};
use crate::store::{self, Database};
use crate::wire::Kind;
use crate::wire::conversation::conversation;
use crate::wire::gemini::RequestTraits;
use crate::wire::openai::repair;
use crate::wire::request_traits::traits_of;
use crate::wire::target::Target;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeSet;
use std::rc::Rc;

const ATTEMPTS: HeaderName = HeaderName::from_static("x-keypool-attempts");
const KEY: HeaderName = HeaderName::from_static("x-keypool-key");
const DROPPED: HeaderName = HeaderName::from_static("x-keypool-dropped");
/// How long clients wait, in seconds: `600`, `600.0`. OpenAI's say it for the next byte, and Google's for all of it.
const CLIENT_TIMEOUTS: [HeaderName; 3] = [
    headers::SERVER_TIMEOUT,
    HeaderName::from_static("x-stainless-read-timeout"),
    HeaderName::from_static("x-stainless-timeout"),
];

/// Unsupported fields that are remembered of a model.
const MOST_UNSUPPORTED: usize = 32;

/// Calls that official clients make by themselves, the first included: after as many, a retry of theirs would be one too many.
const TRIES_OF_CLIENTS: u32 = 3;

/// One request in so many has what is over forgotten.
const TIDY_EVERY: u32 = 256;

/// The way of a request through the pool's keys.
pub(super) struct Way<'a, D, S> {
    request_id: &'a str,
    model: String,
    kept: &'a Rc<Kept<D>>,
    system: &'a S,
    /// The model with the request's server-side tool, under which cool-downs are looked up.
    asked: String,
    pub(super) failover: Failover,
    /// The latest key, and its project.
    latest: Option<Owner>,
    /// Where keys have refused the request; whether it was the key or the request shows when another one answers.
    refused: Vec<(Place, Incident)>,
    blames_refusers: bool,
    /// Fields that were left out: known to be unsupported once the request has worked without them.
    left_out: Vec<String>,
    /// The model has refused a tool call without its thought signature.
    lacked_signatures: bool,
}

impl<D: Database, U: Upstream, S: System> Gateway<D, U, S> {
    pub(super) async fn forward<B: ByteStream>(
        &self,
        config: &Config,
        target: &Target,
        request: &Parts,
        request_id: &str,
        kept: &Rc<Kept<D>>,
        body: &mut B,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        let (max, room, system) = (config.max_body_bytes, &self.room, &self.system);
        let mut body = request_body::read(&request.headers, body, max, room, system).await?;
        let plain;
        let (request, body) = if target.is_upload() {
            (request, body)
        } else {
            match request_body::decompressed(&request.headers, &mut body, max, room, system).await?
            {
                None => (request, body),
                Some(decompressed) => {
                    plain = request_body::without_encoding(request);
                    (&plain, decompressed)
                }
            }
        };
        // The room is free again once the answer begins.
        let Held {
            bytes: body,
            permit: _permit,
        } = body;
        let target = &target.renamed(|name| config.model_of(name).to_owned());
        let now = self.system.now();
        let mut ask = Ask::new(config, target, request, request_id, body, now)?;
        let uses = self.used_by(target, request.uri.query(), &ask.body).await?;
        let owner = uses.owner.clone();
        let names_resource = owner.is_some() || !uses.unknown.is_empty();
        ask.traits = traits_of(target, &ask.subject, names_resource, &ask.body);
        let repeats = target.is_repeatable;
        let policy = config.failover;
        let mut way = Way::new(
            self, policy, request, request_id, &ask, repeats, kept, owner,
        );
        // A refusal is then more likely the request's fault than the key's.
        way.blames_refusers = uses.unknown.is_empty();
        if config.sticky {
            let Form { surface, kind, .. } = ask.form;
            let conversation = conversation(surface, kind, &ask.subject, &ask.body);
            way.failover.prefer(conversation);
        }
        way.restore_signatures(&mut ask).await;
        let answered = self.go(&mut way, config, &mut ask).await;
        let mut reply = way.ended(answered, &ask)?;
        if ask.form.repair.is_some()
            && target.rest.starts_with("models/")
            && let Body::Whole(bytes) = &mut reply.body
        {
            *bytes = repair::model(std::mem::take(bytes));
        }
        if let Some(owner) = way.latest {
            let key = owner.key;
            let noted = self
                .note_made(config, target, request, kept, owner, &uses, &mut reply)
                .await;
            if let Err(error) = noted {
                self.system.log(&format!(
                    "request={request_id} what was made with key {key} is not remembered: {error}"
                ));
            }
        }
        Ok(reply)
    }

    /// Attempts until one gives an answer.
    pub(super) async fn go(
        &self,
        way: &mut Way<'_, D, S>,
        config: &Config,
        ask: &mut Ask<'_>,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        let mut rng = SmallRng::seed_from_u64(self.system.random());
        if rng.random_ratio(1, TIDY_EVERY) {
            // Not at the expense of what the request itself has to write.
            let database = &*way.kept.for_request().database;
            let now = self.system.now();
            match store::tidy(database, now, config.log_retention_days).await {
                // Another request will.
                Err(error) if error.is_busy() => {}
                Err(error) => self
                    .system
                    .log(&format!("what is over cannot be forgotten: {error}")),
                Ok(()) => {}
            }
        }
        let input_tokens = estimate_tokens(ask.body.len());
        let mut last_failure: Option<Failure> = None;
        // A key that the upstream wants in its other header, that header, and the key's next turn.
        let mut moved: Option<(KeyId, CredentialHeader)> = None;
        let mut again: Option<Box<Pick>> = None;
        let mut without_content = None;
        let mut max_age_ms = MAX_AGE_MS;
        let mut extent = if way.failover.needs_all_keys() {
            Extent::Whole
        } else {
            Extent::Sample
        };
        let failure = loop {
            let refreshed = way.kept.refresh(&self.system, extent, max_age_ms).await;
            if let Err(error) = refreshed
                && !way.kept.is_read()
            {
                break Failure::Database(error);
            }
            if way.failover.attempts() == 0 {
                // Only now the instance knows the keys.
                if self.reveals_secret(config, &way.model) || self.reveals_secret(config, &ask.path)
                {
                    break Failure::secret_in_name();
                }
                let view = way.kept.view();
                ask.leave_out_known(view.unsupported(&way.model));
                if view.wants_signatures(&way.model) {
                    ask.put_placeholders();
                }
            }
            let now = Moment::new(self.system.now());
            if extent == Extent::Sample
                && !way.kept.is_whole()
                && !way
                    .failover
                    .has_choice(&mut way.kept.view(), &way.asked, &now, &mut rng)
            {
                // The keys that are left may be among the others, and so is the reason why there is none.
                extent = Extent::Whole;
                continue;
            }
            let step = match again.take() {
                Some(pick) => Step::Send(pick),
                None => {
                    let view = &mut way.kept.view();
                    way.failover.next(view, &way.asked, &now, &mut rng)
                }
            };
            let pick = match step {
                Step::Send(pick) => pick,
                Step::Wait { ms } => {
                    self.system.wait(ms).await;
                    continue;
                }
                Step::GiveUp(reason) => {
                    break way.give_up(reason, last_failure, now.at());
                }
            };
            let claimed = claim(
                way.kept,
                &self.system,
                &pick,
                &way.asked,
                input_tokens,
                &now,
                way.failover.trial_lease_ms(now.at()),
            )
            .await;
            let Some(claimed) = claimed else {
                way.failover.lost(pick.key.id);
                continue;
            };
            let owner = Owner {
                key: pick.key.id,
                project: pick.key.project.clone(),
            };
            way.latest = Some(owner.clone());
            let other_header = moved
                .as_ref()
                .filter(|(moved, _)| *moved == pick.key.id)
                .map(|(_, header)| *header);
            let header = other_header
                .or(pick.key.credential_header)
                .unwrap_or(ask.form.surface.credential_header());
            let traits = RequestTraits {
                has_other_header: !pick.key.key.is_standard() && other_header.is_none(),
                ..ask.traits.clone()
            };
            let call = way.call(config, *pick.clone(), claimed, traits);
            // Claiming may have taken its time.
            let began_at = call.started_at;
            let outgoing = Outgoing {
                method: ask.method,
                uri: &ask.uri,
                headers: headers::to_upstream(
                    ask.headers,
                    ask.form.kind,
                    !ask.body.is_empty(),
                    &pick.key.key,
                    header,
                    way.failover.patience_left_ms(began_at),
                ),
                body: ask.body.clone(),
                form: ask.form.clone(),
            };
            let patience = Patience {
                head_ms: way.failover.head_timeout_ms(began_at),
                content_ms: way.failover.content_timeout_ms(began_at),
                answer_ms: way.failover.left_ms(began_at),
                silence_ms: config.failover.first_byte_timeout_ms,
            };
            let attempted = attempt(call, &self.upstream, outgoing, patience).await;
            let ended_at = self.system.now();
            let outcome = match attempted {
                Attempted::Answered(reply) => {
                    way.blame_refusers().await;
                    if let Some(header) = other_header {
                        way.remember_header(pick.key.id, header).await;
                    }
                    way.remember_unsupported().await;
                    way.remember_signed_model().await;
                    return Ok(reply);
                }
                Attempted::Empty(reply) => {
                    without_content = Some((reply, owner));
                    Outcome::EmptyAnswer
                }
                Attempted::Failed(_, failure @ Failure::Stopping) => break failure,
                Attempted::Failed(outcome, failure) => {
                    let left_out = match &failure {
                        Failure::Upstream { unknown_fields, .. }
                            if way.failover.has_attempt_left(ended_at)
                                && !unknown_fields.iter().any(|field| {
                                    self.reveals_secret(config, &field.name)
                                        || self.reveals_secret(config, &field.place)
                                }) =>
                        {
                            ask.leave_out(unknown_fields)
                        }
                        _ => None,
                    };
                    last_failure = Some(failure);
                    let is_signed = way.failover.has_attempt_left(ended_at)
                        && match outcome {
                            Outcome::SignatureMissing => ask.put_placeholders(),
                            Outcome::SignatureRefused => ask.replace_restored_signatures(),
                            _ => false,
                        };
                    if is_signed {
                        way.failover.change_request();
                        way.lacked_signatures |= outcome == Outcome::SignatureMissing;
                        continue;
                    }
                    if let Some(fields) = left_out {
                        way.failover.change_request();
                        way.left_out.extend(fields);
                        continue;
                    }
                    outcome
                }
            };
            if outcome.blame() == Some(Blame::WhenAnotherServes)
                && let Some(place) =
                    place_of(outcome, &pick.key, &way.model, ask.traits.tool.as_deref())
            {
                let incident = Incident {
                    outcome,
                    retry_after_ms: None,
                    began_at,
                    ended_at,
                };
                way.refused.push((place, incident));
            }
            if outcome == Outcome::CredentialMisplaced {
                moved = Some((pick.key.id, header.other()));
                again = Some(pick);
            }
            max_age_ms = MAX_AGE_AFTER_FAILURE_MS;
            let goes_on = match way.failover.after(outcome, ended_at, &mut rng) {
                After::Answer => false,
                After::Retry {
                    charged,
                    back_off_ms,
                } => {
                    let allowed = !charged || way.take_retry().await;
                    if allowed && back_off_ms > 0 {
                        self.system.wait(back_off_ms).await;
                    }
                    allowed
                }
            };
            if !goes_on {
                break way.last_failure(last_failure);
            }
        };
        // Better an answer without content than none.
        let (reply, owner) = without_content.ok_or(failure)?;
        way.latest = Some(owner);
        Ok(reply)
    }
}

impl<'a, D: Database, S: System> Way<'a, D, S> {
    #[expect(
        clippy::too_many_arguments,
        reason = "each is another fact of the request"
    )]
    pub(super) fn new<U: Upstream>(
        gateway: &'a Gateway<D, U, S>,
        policy: Policy,
        request: &Parts,
        request_id: &'a str,
        ask: &Ask<'_>,
        is_repeatable: bool,
        kept: &'a Rc<Kept<D>>,
        owner: Option<Owner>,
    ) -> Self {
        let system = &gateway.system;
        let patience_ms = client_timeout_ms(&request.headers);
        let mut failover = Failover::new(policy, system.now(), patience_ms, is_repeatable);
        if ask.form.kind == Kind::Other || !ask.form.is_slow {
            failover = failover.for_whole_answer();
        }
        Self {
            request_id,
            model: ask.subject.clone(),
            asked: with_tool(&ask.subject, ask.traits.tool.as_deref()),
            kept,
            system,
            failover: failover.with_owner(owner).with_size(ask.traits.size),
            latest: None,
            refused: Vec::new(),
            blames_refusers: true,
            left_out: Vec::new(),
            lacked_signatures: false,
        }
    }

    /// Whether a project is left that this request has not used, and that can take a call.
    pub(super) fn has_new_project(&self, now: &Moment) -> bool {
        self.failover
            .has_new_project(&self.kept.view(), &self.asked, now)
    }

    /// How a request ends. Once a call was made the body has been read, and what is left for the caller to hear is an answer
    /// like any other.
    pub(super) fn ended<B>(
        &self,
        answered: Result<Reply<D, B, S>, Failure>,
        ask: &Ask<'_>,
    ) -> Result<Reply<D, B, S>, Failure> {
        let reply = match answered {
            Err(failure) if self.failover.attempts() == 0 => return Err(failure),
            Err(failure) => {
                if let Some(reason) = failure.for_operator() {
                    self.system
                        .log(&format!("request={} {reason}", self.request_id));
                }
                failure.into_reply(ask.form.surface, ask.form.repair.is_none())
            }
            Ok(reply) => reply,
        };
        Ok(self.labelled(reply, ask))
    }

    /// The reply with how many attempts it took, the latest key by its id, and which fields were left out.
    pub(super) fn labelled<B>(&self, mut reply: Reply<D, B, S>, ask: &Ask<'_>) -> Reply<D, B, S> {
        let headers = &mut reply.headers;
        if let Some(dropped) = ask.dropped_header() {
            headers.insert(DROPPED, dropped);
        }
        if let Some(owner) = &self.latest {
            headers.insert(ATTEMPTS, HeaderValue::from(self.failover.attempts()));
            headers.insert(KEY, HeaderValue::from(owner.key.0));
        }
        reply
    }

    fn call(
        &mut self,
        config: &Config,
        pick: Pick,
        claimed: Claimed,
        traits: RequestTraits,
    ) -> Call<D, S> {
        let token = config
            .client_token
            .as_ref()
            .map(|token| token.expose().to_owned());
        Call {
            request_id: self.request_id.to_owned(),
            number: self.failover.sent(&pick.key),
            model: self.model.clone(),
            traits,
            claimed,
            log_commit: config.log_commit,
            secrets: [Some(pick.key.key.expose().to_owned()), token]
                .into_iter()
                .flatten()
                .collect(),
            pick,
            started_at: self.system.now(),
            first_byte_at: None,
            kept: Rc::clone(self.kept),
            system: self.system.clone(),
        }
    }

    /// Another key has answered: the request was in order, and the keys that refused it are left alone for a while.
    async fn blame_refusers(&mut self) {
        let refused = std::mem::take(&mut self.refused);
        for (place, incident) in refused.into_iter().filter(|_| self.blames_refusers) {
            if let Err(error) = self.kept.cool(&place, &incident).await {
                self.system.log(&format!(
                    "request={} {} cannot be left alone: {error}",
                    self.request_id, place.scope
                ));
            }
        }
    }

    async fn take_retry(&self) -> bool {
        let (taken, counted) = self.kept.take_retry(self.system.now()).await;
        if let Err(error) = counted {
            self.system.log(&format!(
                "request={} a retry is counted in this instance alone: {error}",
                self.request_id
            ));
        }
        taken
    }

    /// The true answer when no attempt gave one.
    fn give_up(&self, reason: GiveUp, last_failure: Option<Failure>, now: UnixMillis) -> Failure {
        let (why, survey) = match reason {
            GiveUp::NoKeys => return Failure::NoUsableKey,
            GiveUp::OwnerGone => return Failure::OwnerGone,
            GiveUp::LastFailure => return self.last_failure(last_failure),
            GiveUp::TooLarge(limit) => {
                return Failure::TooLarge {
                    model: self.model.clone(),
                    limit,
                };
            }
            GiveUp::Exhausted(survey) => (Out::Exhausted, survey),
            GiveUp::CredentialsExhausted(survey) => (Out::Credentials, survey),
            GiveUp::Suspected(survey) => (Out::Suspected, survey),
            GiveUp::ModelRefused(survey) if survey.has_cooling(Outcome::is_of_plan) => {
                (Out::Plan, survey)
            }
            GiveUp::ModelRefused(survey) => (Out::Model, survey),
        };
        Failure::keys_out(why, &self.model, survey, now)
    }

    fn last_failure(&self, last: Option<Failure>) -> Failure {
        Failure::of_last_attempt(last, self.failover.attempts() >= TRIES_OF_CLIENTS)
    }

    /// The upstream has taken a key in this header, after it refused the other one.
    async fn remember_header(&self, key: KeyId, header: CredentialHeader) {
        self.kept.change(Change::CredentialHeader(key, header));
        let database = &*self.kept.database;
        if let Err(error) = store::learn_credential_header(database, key, header).await {
            self.system.log(&format!(
                "request={} the header of key {key} is not remembered: {error}",
                self.request_id
            ));
        }
    }

    /// Puts back the thought signatures of tool calls that the client has dropped, as far as they are known.
    async fn restore_signatures(&self, ask: &mut Ask<'_>) {
        let calls = ask.unsigned_calls();
        let now = self.system.now();
        match store::signatures_of(&*self.kept.database, &calls, now).await {
            Ok(known) => ask.restore_signatures(known),
            Err(error) => self.system.log(&format!(
                "request={} thought signatures cannot be looked up: {error}",
                self.request_id
            )),
        }
    }

    /// The request has worked with placeholders, after the model refused it without signatures.
    async fn remember_signed_model(&self) {
        if !self.lacked_signatures {
            return;
        }
        self.kept.change(Change::SignedModel(self.model.clone()));
        let now = self.system.now();
        let learned = store::learn_signed_model(&*self.kept.database, &self.model, now).await;
        if let Err(error) = learned {
            self.system.log(&format!(
                "request={} that the model wants thought signatures is not remembered: {error}",
                self.request_id
            ));
        }
    }

    /// The request has worked without the fields that were left out: no other one for the model is to have them.
    async fn remember_unsupported(&mut self) {
        let mut fields = std::mem::take(&mut self.left_out);
        let known = self
            .kept
            .view()
            .unsupported(&self.model)
            .map_or(0, BTreeSet::len);
        fields.truncate(MOST_UNSUPPORTED.saturating_sub(known));
        if fields.is_empty() {
            return;
        }
        for field in &fields {
            self.kept
                .change(Change::Unsupported(self.model.clone(), field.clone()));
        }
        let now = self.system.now();
        let learned =
            store::learn_unsupported(&*self.kept.database, &self.model, &fields, now).await;
        if let Err(error) = learned {
            self.system.log(&format!(
                "request={} fields that were left out are not remembered: {error}",
                self.request_id
            ));
        }
    }
}

/// The shorter of the times that the client says it waits.
fn client_timeout_ms(headers: &HeaderMap) -> Option<u64> {
    CLIENT_TIMEOUTS
        .iter()
        .filter_map(|name| {
            let seconds: f64 = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
            (seconds.is_finite() && seconds > 0.0).then_some((seconds * 1000.0) as u64)
        })
        .min()
}
