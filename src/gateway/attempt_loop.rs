//! The attempts of one request over the keys of the pool, until one gives an answer.
//!
//! [`Failover`] decides which key is next and when to give up; this loop does what it says.

use super::Failure;
use super::affinity::Uses;
use super::attempt::{Attempt, Failed};
use super::claim::{Claim, Claimed};
use super::context::Context;
use super::error_response::ErrorForm;
use super::exchange::{Attempted, Exchange};
use super::failure::Unavailable;
use super::headers::{self, ContentType, Credential};
use super::incoming::Incoming;
use super::lessons::Lessons;
use super::ports::{System, Upstream};
use super::reply::Reply;
use super::upstream_request::{self, UpstreamRequest};
use super::view::{Coverage, MAX_AGE_AFTER_FAILURE_MS, MAX_AGE_MS};
use crate::pool::{
    After, Blame, CredentialHeader, Failover, GiveUp, Incident, KeyId, Moment, Outcome, Owner,
    Pick, Policy, Step, estimate_tokens, quota_scope_of, with_tool,
};
use crate::store::{self, Database};
use crate::wire::Kind;
use crate::wire::gemini::Fault;
use crate::wire::request_traits::RequestTraits;
use http::header::{HeaderName, HeaderValue};
use rand::SeedableRng;
use rand::rngs::SmallRng;

const ATTEMPTS: HeaderName = HeaderName::from_static("x-keypool-attempts");
const KEY: HeaderName = HeaderName::from_static("x-keypool-key");
const DROPPED: HeaderName = HeaderName::from_static("x-keypool-dropped");

/// How many calls official clients make by themselves, the first included. After that many
/// attempts, the pool tells the client not to retry.
const CLIENT_ATTEMPTS: u32 = 3;

/// The attempts of one request, so far.
pub(super) struct AttemptLoop<'a, D, U: Upstream, S> {
    context: &'a Context<'a, D, U, S>,
    request_id: &'a str,
    model: String,
    /// The model with the request's server-side tool, under which cool-downs are looked up.
    model_and_tool: String,
    failover: Failover,
    /// The latest key, and its project.
    pub(super) latest: Option<Owner>,
    /// How old the view may be for the next draw, in milliseconds.
    max_age_ms: i64,
    rng: SmallRng,
    /// What the request teaches once it has worked.
    lessons: Lessons,
    last_failure: Option<Failure>,
    /// A key to send again at once in its other header, since the upstream refused it in the first.
    other_header: Option<OtherHeader>,
    /// An answer without content, which is better than none.
    empty: Option<EmptyAnswer<Reply<D, U::Body, S>>>,
}

struct EmptyAnswer<R> {
    reply: R,
    owner: Owner,
}

struct OtherHeader {
    key: KeyId,
    header: CredentialHeader,
    /// The pick to be sent again.
    pick: Option<Box<Pick>>,
}

/// Whether to make another attempt.
enum Next {
    Continue,
    Stop,
}

impl<'a, D: Database, U: Upstream, S: System> AttemptLoop<'a, D, U, S> {
    pub(super) fn new(
        context: &'a Context<'a, D, U, S>,
        incoming: &Incoming<'a>,
        request: &UpstreamRequest<'_>,
        uses: &Uses,
    ) -> Self {
        let demand = request.demand(context.config, uses);
        let failover = Failover::new(context.config.failover, demand, context.system.now());
        let mut attempts = Self::over(context, incoming, request, failover);
        // If the owner of a resource in the request is not known, a refusal is probably the
        // request's fault.
        attempts.lessons.spares_refusers = uses.has_unknown;
        attempts
    }

    /// Attempts over as many projects as the policy allows, for a request without a body.
    pub(super) fn over_projects(
        context: &'a Context<'a, D, U, S>,
        incoming: &Incoming<'a>,
        request: &UpstreamRequest<'_>,
        policy: Policy,
    ) -> Self {
        let mut demand = request.demand(context.config, &Uses::default());
        demand.is_repeatable = true;
        demand.conversation = None;
        demand.asks_all_projects = true;
        let failover = Failover::new(policy, demand, context.system.now());
        Self::over(context, incoming, request, failover)
    }

    fn over(
        context: &'a Context<'a, D, U, S>,
        incoming: &Incoming<'a>,
        request: &UpstreamRequest<'_>,
        failover: Failover,
    ) -> Self {
        Self {
            context,
            request_id: incoming.id,
            model: request.subject.clone(),
            model_and_tool: with_tool(&request.subject, request.traits.tool.as_deref()),
            failover,
            latest: None,
            max_age_ms: MAX_AGE_MS,
            rng: SmallRng::seed_from_u64(context.system.random()),
            lessons: Lessons::default(),
            last_failure: None,
            other_header: None,
            empty: None,
        }
    }

    /// Attempts until one gives an answer.
    pub(super) async fn run(
        &mut self,
        request: &mut UpstreamRequest<'_>,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        self.max_age_ms = MAX_AGE_MS;
        self.last_failure = None;
        let failure = loop {
            if self.failover.attempts() == 0
                && let Err(failure) = self.prepare(request).await
            {
                break failure;
            }
            let pick = match self.next_step().await {
                Ok(Step::Send(pick)) => pick,
                Ok(Step::Wait { ms }) => {
                    self.context.system.wait(ms).await;
                    continue;
                }
                Ok(Step::GiveUp(reason)) => break self.give_up(reason),
                Err(failure) => break failure,
            };
            let Some(claimed) = self.claim(&pick, request).await else {
                self.failover.lost(pick.key.id);
                continue;
            };
            let sending = Sending::new(&pick, self, request);
            let outcome = match self.send(&pick, claimed, &sending, request).await {
                Attempted::Answered(reply) => {
                    self.learn(&sending).await;
                    return Ok(reply);
                }
                Attempted::Empty(reply) => {
                    let owner = sending.owner.clone();
                    self.empty = Some(EmptyAnswer { reply, owner });
                    Outcome::EmptyAnswer
                }
                Attempted::Failed(Failed {
                    failure: failure @ Failure::Stopping,
                    ..
                }) => break failure,
                Attempted::Failed(failed) => {
                    let edit = self.repair(request, &failed);
                    self.last_failure = Some(failed.failure);
                    if edit == upstream_request::Edit::Made {
                        continue;
                    }
                    failed.outcome
                }
            };
            if let Next::Stop = self.follow_up(outcome, pick, &sending, request).await {
                break self.last_failure();
            }
        };
        // An answer without content is better than none.
        let EmptyAnswer { reply, owner } = self.empty.take().ok_or(failure)?;
        self.latest = Some(owner);
        Ok(reply)
    }

    /// Applies what is known of the model to a request that was not sent yet.
    async fn prepare(&mut self, request: &mut UpstreamRequest<'_>) -> Result<(), Failure> {
        let Context {
            view,
            config,
            system,
            ..
        } = self.context;
        let coverage = Coverage::needed_by(&self.failover);
        view.refresh_if_possible(*system, coverage, self.max_age_ms)
            .await?;
        // The instance may not have known the keys before.
        if view.reveals_secret(config, &self.model) || view.reveals_secret(config, &request.path) {
            return Err(Failure::secret_in_name());
        }
        self.context.line.names(&self.model);
        let snapshot = view.snapshot();
        request.leave_out_known(snapshot.unsupported(&self.model));
        if snapshot.wants_signatures(&self.model) {
            request.put_placeholders();
        }
        Ok(())
    }

    async fn next_step(&mut self) -> Result<Step, Failure> {
        if let Some(pick) = self
            .other_header
            .as_mut()
            .and_then(|other| other.pick.take())
        {
            return Ok(Step::Send(pick));
        }
        let Context { view, system, .. } = self.context;
        let step = view.next_step(
            *system,
            &mut self.failover,
            &self.model_and_tool,
            self.max_age_ms,
            &mut self.rng,
        );
        Ok(step.await?)
    }

    async fn claim(&self, pick: &Pick, request: &UpstreamRequest<'_>) -> Option<Claimed> {
        let Context { view, system, .. } = self.context;
        let now = Moment::new(system.now());
        let claim = Claim {
            pick,
            model: &self.model_and_tool,
            input_tokens: estimate_tokens(request.body.len()),
            trial_lease_ms: self.failover.trial_lease_ms(now.at()),
        };
        claim.take(view, *system, &now).await
    }

    async fn send(
        &mut self,
        pick: &Pick,
        claimed: Claimed,
        sending: &Sending,
        request: &UpstreamRequest<'_>,
    ) -> Attempted<D, U::Body, S> {
        self.latest = Some(sending.owner.clone());
        let attempt = Attempt {
            drill: self.take_drill(pick.key.id).await,
            ..self.attempt(pick, claimed, sending, request)
        };
        let deadlines = self.failover.deadlines(attempt.started_at);
        let content_type = match (request.form.kind, request.body.is_empty()) {
            (Kind::Chat | Kind::Generate, _) => ContentType::Json,
            (Kind::Other, false) => ContentType::JsonByDefault,
            (Kind::Other, true) => ContentType::AsSent,
        };
        let credential = Credential {
            key: &pick.key.key,
            header: sending.header,
        };
        let client_ms = deadlines
            .client_by
            .map(|by| u64::try_from(by.since(attempt.started_at)).unwrap_or_default());
        let headers = headers::to_upstream(request.headers, content_type, credential, client_ms);
        let exchange = Exchange {
            attempt,
            request,
            deadlines,
        };
        exchange.run(self.context.upstream, headers).await
    }

    fn attempt(
        &mut self,
        pick: &Pick,
        claimed: Claimed,
        sending: &Sending,
        request: &UpstreamRequest<'_>,
    ) -> Attempt<D, S> {
        let Context {
            config,
            caller,
            view,
            system,
            ..
        } = self.context;
        let key = pick.key.key.expose();
        Attempt {
            request_id: self.request_id.to_owned(),
            number: self.failover.sent(&pick.key),
            request_line: self.context.line.clone(),
            token: caller.client_token().map(|token| token.id),
            model: self.model.clone(),
            traits: RequestTraits {
                has_other_header: !pick.key.key.is_standard() && !sending.is_other_header,
                ..request.traits.clone()
            },
            claimed,
            drill: None,
            log_commit: config.log_commit,
            secrets: std::iter::once(key)
                .chain(config.client_secrets())
                .map(str::to_owned)
                .collect(),
            pick: pick.clone(),
            started_at: sending.started_at,
            first_byte_at: None,
            view: view.clone(),
            system: (*system).clone(),
        }
    }

    /// The fault with which a drill lets the call end. A failing database does not block the
    /// request.
    async fn take_drill(&self, key: KeyId) -> Option<Fault> {
        let Context { view, system, .. } = self.context;
        if !view.snapshot().has_drill(key) {
            return None;
        }
        let taken = store::take_drill(&*view.database, key).await;
        taken.unwrap_or_else(|error| {
            system.log(&format!(
                "request={} takes no part in the drill of key {key}: {error}",
                self.request_id
            ));
            None
        })
    }

    /// Removes or replaces what the upstream objected to, if that does not change the meaning of
    /// the request.
    fn repair(
        &mut self,
        request: &mut UpstreamRequest<'_>,
        failed: &Failed,
    ) -> upstream_request::Edit {
        use upstream_request::Edit;
        let now = self.context.system.now();
        if !self.failover.has_attempt_left(now) {
            return Edit::None;
        }
        let left_out = match &failed.failure {
            Failure::Upstream { unknown_fields, .. } => {
                let Context { config, view, .. } = self.context;
                let reveals = |name: &str| view.reveals_secret(config, name);
                let may_be_named = !unknown_fields
                    .iter()
                    .any(|field| reveals(&field.name) || reveals(&field.path));
                match may_be_named {
                    true => request.leave_out(unknown_fields),
                    false => None,
                }
            }
            _ => None,
        };
        let signed = match failed.outcome {
            Outcome::SignatureMissing => request.put_placeholders(),
            Outcome::SignatureRefused => request.replace_signatures(),
            _ => Edit::None,
        };
        if signed == Edit::Made {
            self.lessons.lacked_signatures |= failed.outcome == Outcome::SignatureMissing;
        } else if let Some(fields) = left_out {
            self.lessons.left_out.extend(fields);
        } else {
            return Edit::None;
        }
        self.failover.change_request();
        Edit::Made
    }

    /// Decides what follows an attempt that gave no answer with content.
    async fn follow_up(
        &mut self,
        outcome: Outcome,
        pick: Box<Pick>,
        sending: &Sending,
        request: &UpstreamRequest<'_>,
    ) -> Next {
        let ended_at = self.context.system.now();
        if outcome.blame() == Some(Blame::WhenAnotherServes) {
            let tool = request.traits.tool.as_deref();
            if let Some(scope) = quota_scope_of(outcome, &pick.key, &self.model, tool) {
                let incident = Incident {
                    outcome,
                    retry_after_ms: None,
                    began_at: sending.started_at,
                    ended_at,
                };
                self.lessons.refused.push((scope, incident));
            }
        }
        if outcome == Outcome::CredentialMisplaced {
            self.other_header = Some(OtherHeader {
                key: pick.key.id,
                header: sending.header.other(),
                pick: Some(pick),
            });
        }
        self.max_age_ms = MAX_AGE_AFTER_FAILURE_MS;
        match self.failover.after(outcome, ended_at, &mut self.rng) {
            After::Stop => Next::Stop,
            After::Retry {
                charged,
                back_off_ms,
            } => {
                if charged && !self.take_retry().await {
                    return Next::Stop;
                }
                if back_off_ms > 0 {
                    self.context.system.wait(back_off_ms).await;
                }
                Next::Continue
            }
        }
    }

    async fn take_retry(&self) -> bool {
        let Context { view, system, .. } = self.context;
        let retry = view.take_retry(system.now()).await;
        if let Some(error) = retry.uncounted {
            system.log(&format!(
                "request={} a retry is counted in this instance alone: {error}",
                self.request_id
            ));
        }
        retry.is_granted
    }

    /// Remembers what the request has taught, now that it has worked.
    async fn learn(&mut self, sending: &Sending) {
        let mut lessons = std::mem::take(&mut self.lessons);
        lessons.header = sending
            .is_other_header
            .then_some((sending.owner.key, sending.header));
        let Context { view, system, .. } = self.context;
        lessons
            .remember(view, *system, self.request_id, &self.model)
            .await;
    }

    /// The failure to report when no attempt gave an answer.
    fn give_up(&mut self, reason: GiveUp) -> Failure {
        let (reason, survey) = match reason {
            GiveUp::NoKeys => return Failure::NoUsableKey,
            GiveUp::OwnerGone => return Failure::OwnerGone,
            GiveUp::LastFailure => return self.last_failure(),
            GiveUp::TooLarge(limit) => {
                return Failure::TooLarge {
                    model: self.model.clone(),
                    limit,
                };
            }
            GiveUp::Exhausted(survey) => (Unavailable::Exhausted, survey),
            GiveUp::CredentialsExhausted(survey) => (Unavailable::Credentials, survey),
            GiveUp::Suspected(survey) => (Unavailable::Suspected, survey),
            GiveUp::ModelRefused(survey) if survey.has_cooling(Outcome::is_of_plan) => {
                (Unavailable::Plan, survey)
            }
            GiveUp::ModelRefused(survey) => (Unavailable::Model, survey),
        };
        Failure::keys_out(reason, &self.model, survey, self.context.system.now())
    }

    fn last_failure(&mut self) -> Failure {
        let last = self.last_failure.take().unwrap_or(Failure::NoUsableKey);
        match self.failover.attempts() >= CLIENT_ATTEMPTS {
            true => last.spent(),
            false => last,
        }
    }

    /// Whether a project is left that this request has not used, and that can take a call.
    pub(super) fn has_new_project(&self) -> bool {
        let Context { view, system, .. } = self.context;
        let now = Moment::new(system.now());
        self.failover
            .has_new_project(&view.snapshot(), &self.model_and_tool, &now)
    }

    /// The response to the request. Before the first call a failure is returned as an error, so
    /// that the caller drains the body; afterwards it is an ordinary response.
    pub(super) fn finish(
        &self,
        result: Result<Reply<D, U::Body, S>, Failure>,
        request: &UpstreamRequest<'_>,
    ) -> Result<Reply<D, U::Body, S>, Failure> {
        let reply = match result {
            Err(failure) if self.failover.attempts() == 0 => return Err(failure),
            Err(failure) => {
                if let Some(reason) = failure.for_operator() {
                    let id = self.request_id;
                    self.context.system.log(&format!("request={id} {reason}"));
                }
                let form = match (&request.form.repair, &request.form.translation) {
                    (None, None) => ErrorForm::Verbatim,
                    (Some(_), _) | (_, Some(_)) => ErrorForm::Pool,
                };
                Reply::of_failure(&failure, request.form.api, form)
            }
            Ok(reply) => reply,
        };
        Ok(self.labelled(reply, request))
    }

    /// The response with the number of attempts, the latest key's id, and the fields left out.
    pub(super) fn labelled(
        &self,
        mut reply: Reply<D, U::Body, S>,
        request: &UpstreamRequest<'_>,
    ) -> Reply<D, U::Body, S> {
        let headers = &mut reply.headers;
        if let Some(dropped) = request.dropped_header() {
            headers.insert(DROPPED, dropped);
        }
        if let Some(owner) = &self.latest {
            headers.insert(ATTEMPTS, HeaderValue::from(self.failover.attempts()));
            headers.insert(KEY, HeaderValue::from(owner.key.0));
        }
        reply
    }
}

/// How an attempt is sent.
struct Sending {
    owner: Owner,
    header: CredentialHeader,
    /// Whether that is the header that the upstream asked for in this request.
    is_other_header: bool,
    started_at: crate::pool::UnixMillis,
}

impl Sending {
    fn new<D: Database, U: Upstream, S: System>(
        pick: &Pick,
        attempts: &AttemptLoop<'_, D, U, S>,
        request: &UpstreamRequest<'_>,
    ) -> Self {
        let other = attempts
            .other_header
            .as_ref()
            .filter(|other| other.key == pick.key.id)
            .map(|other| other.header);
        let default = request.form.surface.credential_header();
        Self {
            owner: Owner {
                key: pick.key.id,
                project: pick.key.project.clone(),
            },
            header: other.or(pick.key.credential_header).unwrap_or(default),
            is_other_header: other.is_some(),
            // Claiming may have taken its time.
            started_at: attempts.context.system.now(),
        }
    }
}
