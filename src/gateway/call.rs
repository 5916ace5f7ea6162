//! A call to the upstream that is under way, and everything that its end leaves behind: one log row, counters, and what
//! the outcome does to the key, its project and their budgets.

use super::Failure;
use super::kept::Kept;
use super::ports::{System, TransportError};
use crate::config::LogCommit;
use crate::pool::Usage;
use crate::pool::{
    Blame, Change, Incident, KeyId, KeyStatus, Limit, Moment, Outcome, Pick, Place, Record, Scope,
    UnixMillis, Verdict, place_of, transition,
};
use crate::store::{self, Attempt, Database, DatabaseError, Deferred, Nonce};
use crate::wire::gemini::{
    Diagnosis, RequestTraits, Seen, diagnose, kept as kept_of, unknown_fields,
};
use crate::wire::openai::signatures::ToolCall;
use crate::wire::redact::{redact, redact_json, truncate};
use std::rc::Rc;

/// The longest error message that a log row keeps, in characters.
const MAX_LOGGED_MESSAGE: usize = 500;

/// How long a call that may be written later waits for others, in milliseconds.
const DEFERRED_MS: u64 = 50;

/// Stands for the status of an error that came without one.
const NO_STATUS: u16 = 500;

/// A call that is under way; ends in exactly one log row.
pub(super) struct Call<D, S> {
    /// The `x-request-id` of the response.
    pub(super) request_id: String,
    /// The attempt's number within the request.
    pub(super) number: u32,
    pub(super) pick: Pick,
    pub(super) model: String,
    /// What its request is like.
    pub(super) traits: RequestTraits,
    /// What was claimed for it.
    pub(super) claimed: Claimed,
    /// When its row is written.
    pub(super) log_commit: LogCommit,
    /// The key and the client's token, to be kept out of messages.
    pub(super) secrets: Vec<String>,
    pub(super) started_at: UnixMillis,
    pub(super) first_byte_at: Option<UnixMillis>,
    pub(super) kept: Rc<Kept<D>>,
    pub(super) system: S,
}

/// What is logged of an answer without content.
pub(super) const EMPTY: &str = "the upstream's answer has no content";

/// How a call ended.
#[derive(Debug)]
pub(super) struct End<'a> {
    pub(super) outcome: Outcome,
    pub(super) status: Option<u16>,
    pub(super) message: Option<&'a str>,
    pub(super) usage: Option<Usage>,
    pub(super) diagnosis: Option<&'a Diagnosis>,
}

impl End<'_> {
    pub(super) fn new(outcome: Outcome, status: Option<u16>) -> Self {
        Self {
            outcome,
            status,
            message: None,
            usage: None,
            diagnosis: None,
        }
    }
}

impl<D: Database, S: System> Call<D, S> {
    pub(super) fn key(&self) -> KeyId {
        self.pick.key.id
    }

    /// `text` without the secrets of this call.
    pub(super) fn redact(&self, text: &str) -> String {
        let secrets: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        redact(text, &secrets)
    }

    /// A JSON text without the secrets of this call.
    fn redact_json(&self, json: &str) -> String {
        let secrets: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        redact_json(json, &secrets)
    }

    /// Notes that the first byte of the answer is there.
    pub(super) fn first_byte(&mut self) {
        if self.first_byte_at.is_none() {
            self.first_byte_at = Some(self.system.now());
        }
    }

    /// Keeps the thought signatures of an answer's tool calls, for when the client sends the calls back without.
    pub(super) async fn keep_signatures(&self, signatures: &[(ToolCall, String)]) {
        let new_nonce = || {
            let mut nonce = Nonce::default();
            for bytes in nonce.chunks_mut(size_of::<u64>()) {
                bytes.copy_from_slice(&self.system.random().to_le_bytes());
            }
            nonce
        };
        let now = self.system.now();
        let database = &*self.kept.database;
        if let Err(error) = store::keep_signatures(database, signatures, new_nonce, now).await {
            self.system.log(&format!(
                "request={} the thought signatures of its tool calls are not kept: {error}",
                self.request_id
            ));
        }
    }

    /// Ends with an answer.
    pub(super) async fn succeeded(&self, status: u16, usage: Option<Usage>) {
        let end = End {
            usage,
            ..End::new(Outcome::Success, Some(status))
        };
        self.end(end).await;
    }

    /// Ends with an answer without content.
    pub(super) async fn empty(&self, status: u16, usage: Option<Usage>) {
        let end = End {
            message: Some(EMPTY),
            usage,
            ..End::new(Outcome::EmptyAnswer, Some(status))
        };
        self.end(end).await;
    }

    /// Ends with an error of the upstream. Gives what the caller is told, should this attempt be the last. An error that
    /// came under a 200 is `in_answer`.
    /// `body` is the error as it came, for callers who may have it so.
    pub(super) async fn failed(
        &self,
        diagnosis: &Diagnosis,
        in_answer: bool,
        body: Option<&[u8]>,
    ) -> Failure {
        let said = match diagnosis.status {
            Some(404) if !in_answer => {
                "the upstream answered 404 without saying why; the path, or the client's base URL, may be wrong".to_owned()
            }
            Some(status) if !in_answer => {
                format!("the upstream answered {status} without saying why")
            }
            _ => "the upstream sent an error without saying why".to_owned(),
        };
        let status = match diagnosis.status {
            Some(200) | None => diagnosis.error.code.unwrap_or(NO_STATUS),
            Some(status) => status,
        };
        let response_status = if in_answer {
            Some(200)
        } else {
            diagnosis.status
        };
        self.refused(diagnosis, said, status, response_status, body)
            .await
    }

    /// Ends without a response, or with nothing in time after the head of one with the status `answered`.
    pub(super) async fn silent(
        &self,
        error: &TransportError,
        answered: Option<u16>,
    ) -> (Outcome, Failure) {
        let diagnosis = diagnose(Seen::NoResponse(error), &self.traits);
        let status = match error {
            TransportError::TimedOut => 504,
            TransportError::Denied
            | TransportError::NotSent(_)
            | TransportError::Unanswered(_)
            | TransportError::Stopping
            | TransportError::Failed(_) => 502,
        };
        let failure = self
            .refused(&diagnosis, error.to_string(), status, answered, None)
            .await;
        let failure = match error {
            TransportError::Stopping => Failure::Stopping,
            _ => failure,
        };
        (diagnosis.outcome, failure)
    }

    /// `said` stands for the words of an error that has none, `status` is for the caller.
    async fn refused(
        &self,
        diagnosis: &Diagnosis,
        said: String,
        status: u16,
        response_status: Option<u16>,
        body: Option<&[u8]>,
    ) -> Failure {
        let error = &diagnosis.error;
        let message = match (&error.message, error.canonical_code()) {
            (None, _) => said.clone(),
            (Some(message), None) => kept_of(message, diagnosis.says).to_owned(),
            (Some(message), Some(code)) => {
                format!("{code}: {}", kept_of(message, diagnosis.says))
            }
        };
        let end = End {
            message: Some(&message),
            diagnosis: Some(diagnosis),
            ..End::new(diagnosis.outcome, response_status)
        };
        self.end(end).await;
        let exceeded = |limit: &&Limit| self.traits.size.exceeds(limit);
        if diagnosis.outcome == Outcome::RequestTooLarge
            && let Some(limit) = diagnosis.limits.iter().find(exceeded)
        {
            return Failure::TooLarge {
                model: self.model.clone(),
                limit: *limit,
            };
        }
        Failure::Upstream {
            outcome: diagnosis.outcome,
            status,
            code: error.canonical_code().map(str::to_ascii_lowercase),
            message: self.redact(error.message.as_deref().unwrap_or(&said)),
            body: body
                .filter(|_| error.canonical_code().is_some())
                .and_then(|body| std::str::from_utf8(body).ok())
                .map(|body| self.redact_json(body)),
            unknown_fields: match diagnosis.outcome {
                Outcome::ClientFault => unknown_fields(error),
                _ => Vec::new(),
            },
        }
    }

    /// Ends a call whose answer does not come to its end.
    pub(super) async fn broken_off(&self, status: u16, reason: &str) -> Failure {
        let end = End {
            message: Some(reason),
            ..End::new(Outcome::UpstreamTrouble, Some(status))
        };
        self.end(end).await;
        Failure::AnswerBroken {
            reason: self.redact(reason),
        }
    }

    /// Writes the call down. The client is answered even where that fails: the answer is paid for, and a retry would
    /// not mend the database; so the failure goes to the operator.
    pub(super) async fn end(&self, end: End<'_>) {
        let outcome = end.outcome;
        let ended_at = self.system.now();
        let incident = Incident {
            outcome,
            retry_after_ms: end.diagnosis.and_then(|diagnosis| diagnosis.retry_after_ms),
            began_at: self.started_at,
            ended_at,
        };
        let attempt = Attempt {
            request_id: self.request_id.clone(),
            number: self.number,
            key: self.key(),
            key_edits: self.pick.key.edits,
            model: self.model.clone(),
            outcome,
            response_status: end.status,
            error_message: end
                .message
                .map(|message| truncate(&self.redact(message), MAX_LOGGED_MESSAGE)),
            started_at: self.started_at,
            first_byte_at: self.first_byte_at,
            ended_at,
            usage: end.usage,
        };
        let line = (outcome != Outcome::Success).then(|| self.line(&attempt));
        // What cannot be written must not keep the rest from being written.
        let learned = self.learn(&incident, end.diagnosis).await;
        let settled = self.settle(end.status, end.usage).await;
        let committed = self.commit(attempt).await;
        if let Some(line) = line {
            self.system.log(&line);
        }
        let moved = match committed {
            Ok(moved) => self.enter(moved, &incident).await,
            Err(error) => {
                let place = place_of(
                    outcome,
                    &self.pick.key,
                    &self.model,
                    self.traits.tool.as_deref(),
                );
                if let Some(place) = place.filter(|_| outcome.verdict().is_against_key()) {
                    self.kept.cool_here(&place, &incident);
                }
                Err(error)
            }
        };
        let released = self.release_trials().await;
        if let Err(error) = learned.and(settled).and(moved).and(released) {
            self.system.log(&format!(
                "call request={} key={} is missing from the log, the counters or the cool-downs: {error}",
                self.request_id,
                self.key()
            ));
        }
    }

    /// Writes the row and the counters, or leaves them for a moment, where the settings say so and no key's state depends on
    /// them.
    async fn commit(&self, attempt: Attempt) -> Result<store::Moved, DatabaseError> {
        let recorder = &self.kept.recorder;
        let may_wait =
            self.log_commit == LogCommit::After && !attempt.outcome.verdict().is_against_key();
        let attempt = if may_wait {
            match recorder.defer(attempt) {
                Deferred::Queued => return Ok(store::Moved::default()),
                Deferred::Flush(first) => {
                    let (kept, system) = (Rc::clone(&self.kept), self.system.clone());
                    let (request_id, key) = (first.request_id.clone(), first.key);
                    self.system.spawn(async move {
                        system.wait(DEFERRED_MS).await;
                        if let Err(error) = kept.recorder.flush(first).await {
                            tell_missing(&system, &request_id, key, &error);
                        }
                        tell_lost(&kept, &system);
                    });
                    return Ok(store::Moved::default());
                }
                Deferred::Commit(attempt) => attempt,
            }
        } else {
            attempt
        };
        let committed = self.kept.commit(attempt).await;
        tell_lost(&self.kept, &self.system);
        committed
    }

    fn line(&self, attempt: &Attempt) -> String {
        format!(
            "call request={} attempt={} key={} model={:?} outcome={} status={} duration_ms={} message={:?}",
            self.request_id,
            self.number,
            self.key(),
            self.redact(&self.model),
            attempt.outcome.name(),
            attempt
                .response_status
                .map_or_else(|| "none".to_owned(), |status| status.to_string()),
            attempt.ended_at.since(attempt.started_at),
            attempt.error_message.as_deref().unwrap_or_default(),
        )
    }

    /// The upstream has begun to answer: the key works, whatever becomes of the answer.
    pub(super) async fn works(&self) {
        let forgotten = self.forget_cool_downs().await;
        let released = self.release_trials().await;
        if let Err(error) = forgotten.and(released) {
            self.system.log(&format!(
                "call request={} key={}: a trial that has worked cannot be ended: {error}",
                self.request_id,
                self.key()
            ));
        }
    }

    /// What the outcome says about the key's project and its budgets. All of it is entered in the view, also where the
    /// database does not take it; then the first error is given.
    async fn learn(
        &self,
        incident: &Incident,
        diagnosis: Option<&Diagnosis>,
    ) -> Result<(), DatabaseError> {
        let database = &*self.kept.database;
        let mut key = self.pick.key.clone();
        let mut result = Ok(());
        if let Some(project) = diagnosis.and_then(|diagnosis| diagnosis.project.as_deref())
            && key.project.is_none()
        {
            key.project = Some(project.to_owned());
            result = store::learn_project(database, key.id, project).await;
            self.kept
                .change(Change::Project(key.id, project.to_owned()));
        }
        let place = Place {
            scope: key.scope(),
            model: Some(self.model.clone()),
        };
        for limit in diagnosis
            .into_iter()
            .flat_map(|diagnosis| &diagnosis.limits)
        {
            let learned = store::learn_limit(database, &place, *limit, incident.ended_at).await;
            self.kept.change(Change::Limit(place.clone(), *limit));
            result = result.and(learned);
        }
        let done = match incident.outcome.verdict() {
            // The key's own state says it.
            Verdict::Failed | Verdict::Rejected | Verdict::Restricted => Ok(()),
            Verdict::Works => self.forget_cool_downs().await,
            Verdict::Unknown => {
                let cools = incident.outcome.blame() == Some(Blame::AtOnce);
                match place_of(
                    incident.outcome,
                    &key,
                    &self.model,
                    self.traits.tool.as_deref(),
                ) {
                    Some(place) if cools => self.kept.cool(&place, incident).await,
                    // Whether it was the key or the request shows when another key gets an answer.
                    _ => Ok(()),
                }
            }
        };
        result.and(done)
    }

    async fn forget_cool_downs(&self) -> Result<(), DatabaseError> {
        let mut result = Ok(());
        for place in &self.pick.on_probation {
            let ended = self.kept.end_cool_down(place, self.started_at).await;
            result = result.and(ended);
        }
        result
    }

    /// Lets the next call try what this one could not find out. What it has found out has ended its trial already.
    async fn release_trials(&self) -> Result<(), DatabaseError> {
        self.kept
            .release(&self.pick.claims, self.claimed.trials_until)
            .await
    }

    /// Puts the true number of tokens in the place of what was expected: none, where the upstream has not answered.
    async fn settle(&self, status: Option<u16>, usage: Option<Usage>) -> Result<(), DatabaseError> {
        let true_tokens = match (status, usage) {
            (_, Some(usage)) => usage.input,
            (Some(200), None) => return Ok(()),
            (_, None) => 0,
        };
        let signed = |tokens| i64::try_from(tokens).unwrap_or(i64::MAX);
        let difference = signed(true_tokens).saturating_sub(signed(self.claimed.input_tokens));
        let mut result = Ok(());
        let Some(reserved_at) = &self.claimed.reserved_at else {
            return result;
        };
        for place in &self.pick.counted {
            let settled = store::settle(&*self.kept.database, place, reserved_at, difference).await;
            result = result.and(settled);
        }
        result
    }

    /// Enters what the database has made of the key.
    async fn enter(&self, moved: store::Moved, incident: &Incident) -> Result<(), DatabaseError> {
        if let Some(state) = moved.state {
            self.kept.change(Change::State(self.key(), state));
        }
        // Unless somebody has changed the key meanwhile, as the view may know.
        let edits = self.kept.view().key(self.key()).map(|key| key.edits);
        if incident.outcome == Outcome::Success
            && self.pick.key.state.status == KeyStatus::Cooling
            && edits == Some(self.pick.key.edits)
        {
            let state = transition(
                self.pick.key.state,
                Verdict::Works,
                Record::default(),
                incident.ended_at,
            );
            self.kept.change(Change::State(self.key(), state));
        }
        let mut result = Ok(());
        for id in moved.suspected {
            let place = Place {
                scope: Scope::Key(id),
                model: None,
            };
            result = result.and(self.kept.cool(&place, incident).await);
            self.system.log(&format!(
                "key {id} is not disabled: several keys fail alike ({}), so the upstream or this machine's address is suspected",
                incident.outcome.name()
            ));
        }
        result
    }
}

/// Tells the operator which calls could not be written that nobody waited for.
fn tell_lost<D: Database, S: System>(kept: &Kept<D>, system: &S) {
    for lost in kept.recorder.take_lost() {
        tell_missing(system, &lost.request_id, lost.key, &lost.error);
    }
}

fn tell_missing<S: System>(system: &S, request_id: &str, key: KeyId, error: &DatabaseError) {
    system.log(&format!(
        "call request={request_id} key={key} is missing from the log or the counters: {error}"
    ));
}

/// What was claimed for a call.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    /// When its trials end at the latest.
    trials_until: UnixMillis,
    /// Input tokens that the budgets were charged with.
    input_tokens: u64,
    /// When they were; `None` where they could not be.
    reserved_at: Option<Moment>,
}

/// Claims what a pick asks for and reserves its budgets. `None` when somebody was faster: then the view is out of date. A
/// database that refuses keeps nobody from being answered.
pub(super) async fn claim<D: Database, S: System>(
    kept: &Kept<D>,
    system: &S,
    pick: &Pick,
    model: &str,
    input_tokens: u64,
    now: &Moment,
    trial_lease_ms: i64,
) -> Option<Claimed> {
    let told = |error: DatabaseError| {
        system.log(&format!(
            "key {}: a trial or a budget cannot be claimed: {error}",
            pick.key.id
        ));
        true
    };
    let database = &*kept.database;
    let trials_until = now.at().plus(trial_lease_ms);
    let mut claimed = Vec::with_capacity(pick.claims.len());
    let (mut is_lost, mut is_reserved) = (false, false);
    for claim in &pick.claims {
        is_lost = !store::claim(database, claim, now.at(), trials_until)
            .await
            .unwrap_or_else(told);
        if is_lost {
            break;
        }
        kept.change(Change::TrialBegan(claim.clone(), trials_until));
        claimed.push(claim.clone());
    }
    if !is_lost && !pick.counted.is_empty() {
        let balances = kept.view().balances(&pick.key, model, now);
        let reservations: Vec<store::Reservation> = pick
            .counted
            .iter()
            .map(|place| store::Reservation {
                place: place.clone(),
                limits: balances
                    .iter()
                    .filter(|(own, _)| own == place)
                    .map(|(_, balance)| balance.limit)
                    .collect(),
            })
            .collect();
        let reserved = store::reserve(database, &reservations, input_tokens, now).await;
        is_reserved = reserved == Ok(true);
        is_lost = !reserved.unwrap_or_else(told);
    }
    if is_lost {
        kept.outdate();
        if let Err(error) = kept.release(&claimed, trials_until).await {
            told(error);
        }
        return None;
    }
    kept.change(Change::Sent {
        key: pick.key.id,
        counted: pick.counted.clone(),
        input_tokens,
        now: now.clone(),
    });
    Some(Claimed {
        trials_until,
        input_tokens,
        reserved_at: is_reserved.then(|| now.clone()),
    })
}
