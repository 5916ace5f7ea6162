//! One attempt: a call to the upstream that is under way, and everything that its end leaves
//! behind: one log row, counters, and what the outcome does to the key, its project and their
//! budgets.

use super::Failure;
use super::claim::Claimed;
use super::ports::{System, TransportError};
use super::request_line::RequestLine;
use super::view::PoolView;
use crate::config::LogCommit;
use crate::pool::{
    Blame, Change, Incident, KeyId, KeyStatus, Limit, Outcome, Pick, QuotaScope, Record, Scope,
    TokenId, UnixMillis, Usage, Verdict, quota_scope_of, transition,
};
use crate::store::{self, AttemptRow, Database, Deferred, Lost};
use crate::wire::gemini::{CallResult, Diagnosis, Fault, diagnose, loggable, unknown_fields};
use crate::wire::openai::signatures::SignedCall;
use crate::wire::redact::{redact, redact_json, truncate};
use crate::wire::request_traits::RequestTraits;
use std::rc::Rc;

/// The longest error message that a log row keeps, in characters.
const MAX_LOGGED_MESSAGE: usize = 500;

/// How long a row that may be written later waits for others, in milliseconds.
const DEFERRED_MS: u64 = 50;

/// The status of an error that came without one.
const NO_STATUS: u16 = 500;

/// The message of a 200 that is no answer.
pub(super) const NO_ANSWER: &str = "the upstream's answer is none, or is cut short";
/// The message of an answer that the model failed to complete.
const INCOMPLETE: &str = "the model failed to complete it";
/// The message of an answer without content.
const EMPTY: &str = "the upstream's answer has no content";

/// An attempt under way. Each way to end it consumes it and writes its one log row.
pub(super) struct Attempt<D, S> {
    /// The `x-request-id` of the response.
    pub(super) request_id: String,
    /// The attempt's number within the request, from 1.
    pub(super) number: u32,
    /// The request's line on the terminal.
    pub(super) request_line: RequestLine,
    /// The client token of the request; `None` for the built-in one.
    pub(super) token: Option<TokenId>,
    pub(super) pick: Pick,
    pub(super) model: String,
    /// What its request is like.
    pub(super) traits: RequestTraits,
    pub(super) claimed: Claimed,
    /// The fault with which it ends instead of a call to the upstream.
    pub(super) drill: Option<Fault>,
    /// When its row is written.
    pub(super) log_commit: LogCommit,
    /// The key and the client's token, to be redacted from messages.
    pub(super) secrets: Vec<String>,
    pub(super) started_at: UnixMillis,
    pub(super) first_byte_at: Option<UnixMillis>,
    pub(super) view: Rc<PoolView<D>>,
    pub(super) system: S,
}

/// An attempt that failed. Its row is written.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) outcome: Outcome,
    /// What the caller gets if no other attempt follows.
    pub(super) failure: Failure,
}

/// Where an error of the upstream was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorSource {
    /// A response with an error status.
    Response,
    /// A response with status 200.
    Answer,
}

/// How an attempt ended.
struct End<'a> {
    outcome: Outcome,
    status: Option<u16>,
    message: Option<&'a str>,
    usage: Option<Usage>,
    diagnosis: Option<&'a Diagnosis>,
}

impl End<'_> {
    fn new(outcome: Outcome, status: Option<u16>) -> Self {
        Self {
            outcome,
            status,
            message: None,
            usage: None,
            diagnosis: None,
        }
    }
}

impl<D: Database, S: System> Attempt<D, S> {
    /// Notes that the first byte of the answer has arrived.
    pub(super) fn on_first_byte(&mut self) {
        if self.first_byte_at.is_none() {
            self.first_byte_at = Some(self.system.now());
        }
    }

    /// The upstream has started to answer: the key works, however the answer ends.
    pub(super) async fn on_first_content(&self) {
        let ended = self.end_cool_downs().await;
        let released = self.release_trials().await;
        if let Err(error) = ended.and(released) {
            self.system.log(&format!(
                "call request={} key={}: a trial that has worked cannot be ended: {error}",
                self.request_id,
                self.key()
            ));
        }
    }

    /// Stores the thought signatures of an answer's tool calls, for when the client sends the calls
    /// back without them.
    pub(super) async fn save_signatures(&self, calls: &[SignedCall]) {
        let new_nonce = || self.system.new_nonce();
        let now = self.system.now();
        let database = &*self.view.database;
        if let Err(error) = store::save_signatures(database, calls, new_nonce, now).await {
            self.system.log(&format!(
                "request={} the thought signatures of its tool calls are not stored: {error}",
                self.request_id
            ));
        }
    }

    /// Ends with an answer.
    pub(super) async fn end_with_answer(self, status: u16, usage: Option<Usage>) {
        let end = End {
            usage,
            ..End::new(Outcome::Success, Some(status))
        };
        self.end(end).await;
    }

    /// Ends with an answer without content.
    pub(super) async fn end_without_content(self, status: u16, usage: Option<Usage>) {
        let end = End {
            message: Some(EMPTY),
            usage,
            ..End::new(Outcome::EmptyAnswer, Some(status))
        };
        self.end(end).await;
    }

    /// Ends because the client left before the answer was complete.
    pub(super) async fn end_without_client(self, status: u16, usage: Option<Usage>) {
        let message = "the client closed the connection before the end of the answer";
        let end = End {
            message: Some(message),
            usage,
            ..End::new(Outcome::ClientGone, Some(status))
        };
        self.end(end).await;
    }

    /// Ends with an error of the upstream. `body` is the error as it came, if callers may have it.
    pub(super) async fn end_with_error(
        self,
        diagnosis: &Diagnosis,
        source: ErrorSource,
        body: Option<&[u8]>,
    ) -> Failed {
        let silent = match (diagnosis.status, source) {
            (Some(404), ErrorSource::Response) => {
                "the upstream answered 404 without saying why; the path, or the client's base URL, may be wrong".to_owned()
            }
            (Some(status), ErrorSource::Response) => {
                format!("the upstream answered {status} without saying why")
            }
            _ => "the upstream sent an error without saying why".to_owned(),
        };
        let error = UpstreamError {
            diagnosis,
            default_message: silent,
            status: match diagnosis.status {
                Some(200) | None => diagnosis.error.code.unwrap_or(NO_STATUS),
                Some(status) => status,
            },
            response_status: match source {
                ErrorSource::Response => diagnosis.status,
                ErrorSource::Answer => Some(200),
            },
            body,
        };
        self.end_with(error).await
    }

    /// Ends without a complete response. `answered` is the status if a head had arrived.
    pub(super) async fn end_without_response(
        self,
        error: &TransportError,
        answered: Option<u16>,
    ) -> Failed {
        let diagnosis = diagnose(CallResult::NoResponse(error), &self.traits);
        let upstream_error = UpstreamError {
            diagnosis: &diagnosis,
            default_message: error.to_string(),
            status: match error {
                TransportError::TimedOut => 504,
                TransportError::Denied
                | TransportError::NotSent(_)
                | TransportError::Unanswered(_)
                | TransportError::Stopping
                | TransportError::Failed(_) => 502,
            },
            response_status: answered,
            body: None,
        };
        let failed = self.end_with(upstream_error).await;
        match error {
            TransportError::Stopping => Failed {
                failure: Failure::Stopping,
                ..failed
            },
            _ => failed,
        }
    }

    async fn end_with(self, error: UpstreamError<'_>) -> Failed {
        let diagnosis = error.diagnosis;
        let end = End {
            message: Some(&error.log_message()),
            diagnosis: Some(diagnosis),
            ..End::new(diagnosis.outcome, error.response_status)
        };
        let failure = self.failure_of(&error);
        self.end(end).await;
        Failed {
            outcome: diagnosis.outcome,
            failure,
        }
    }

    fn failure_of(&self, error: &UpstreamError<'_>) -> Failure {
        let UpstreamError {
            diagnosis,
            default_message,
            body,
            ..
        } = error;
        let exceeded = |limit: &&Limit| self.traits.size.exceeds(limit);
        if diagnosis.outcome == Outcome::RequestTooLarge
            && let Some(limit) = diagnosis.limits.iter().find(exceeded)
        {
            return Failure::TooLarge {
                model: self.model.clone(),
                limit: *limit,
            };
        }
        let code = diagnosis.error.canonical_code();
        let message = diagnosis.error.message.as_deref();
        Failure::Upstream {
            outcome: diagnosis.outcome,
            status: error.status,
            code: code.map(str::to_ascii_lowercase),
            message: self.redact(message.unwrap_or(default_message)),
            body: body
                .filter(|_| code.is_some())
                .and_then(|body| std::str::from_utf8(body).ok())
                .map(|body| self.redact_json(body)),
            unknown_fields: match diagnosis.outcome {
                Outcome::ClientFault => unknown_fields(&diagnosis.error),
                _ => Vec::new(),
            },
        }
    }

    /// Ends with an answer that the model failed to complete, such as a malformed tool call. It is
    /// asked once more, like for an answer without content; then the client need not retry.
    pub(super) async fn end_incomplete(self, status: u16, usage: Option<Usage>) -> Failed {
        let failure = Failure::AnswerBroken {
            reason: INCOMPLETE.to_owned(),
        };
        let outcome = Outcome::EmptyAnswer;
        let end = End {
            message: Some(INCOMPLETE),
            usage,
            ..End::new(outcome, Some(status))
        };
        self.end(end).await;
        Failed {
            outcome,
            failure: failure.spent(),
        }
    }

    /// Ends with an answer that breaks off.
    pub(super) async fn end_broken_off(self, status: u16, reason: &str) -> Failed {
        let outcome = Outcome::UpstreamTrouble;
        let failure = Failure::AnswerBroken {
            reason: self.redact(reason),
        };
        let end = End {
            message: Some(reason),
            ..End::new(outcome, Some(status))
        };
        self.end(end).await;
        Failed { outcome, failure }
    }

    /// Ends with a response that has not a single byte.
    pub(super) async fn end_without_byte(self, status: u16) -> Failed {
        self.end_broken_off(status, EMPTY).await
    }

    /// Writes the row and applies what follows from the outcome. The client is answered even if
    /// that fails: the answer is paid for, and a retry would not repair the database.
    async fn end(self, end: End<'_>) {
        let incident = Incident {
            outcome: end.outcome,
            retry_after_ms: end.diagnosis.and_then(|diagnosis| diagnosis.retry_after_ms),
            began_at: self.started_at,
            ended_at: self.system.now(),
        };
        self.request_line
            .attempted(self.number, self.key(), end.outcome);
        let row = self.row(&end, &incident);
        let line = (end.outcome != Outcome::Success).then(|| self.line(&row));
        // Each of these is tried even if another one fails.
        let learned = self.learn(&incident, end.diagnosis).await;
        let settled = self.settle(end.status, end.usage).await;
        let committed = self.commit(row).await;
        if let Some(line) = line {
            self.system.log(&line);
        }
        let moved = match committed {
            Ok(moved) => self.enter(moved, &incident).await,
            Err(error) => {
                if end.outcome.verdict().is_against_key()
                    && let Some(scope) = self.quota_scope(end.outcome, &self.pick.key)
                {
                    self.view.cool_here(&scope, &incident);
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

    fn row(&self, end: &End<'_>, incident: &Incident) -> AttemptRow {
        AttemptRow {
            request_id: self.request_id.clone(),
            number: self.number,
            key: self.key(),
            key_edits: self.pick.key.edits,
            token: self.token,
            model: self.model.clone(),
            outcome: end.outcome,
            response_status: end.status,
            error_message: end
                .message
                .map(|message| truncate(&self.redact(message), MAX_LOGGED_MESSAGE)),
            started_at: self.started_at,
            first_byte_at: self.first_byte_at,
            ended_at: incident.ended_at,
            usage: end.usage,
            drill: self.drill,
        }
    }

    /// Writes the row and the counters; or defers them for a moment if the settings allow it and no
    /// key's state depends on them.
    async fn commit(&self, row: AttemptRow) -> store::Result<store::Moved> {
        let recorder = &self.view.recorder;
        let may_wait =
            self.log_commit == LogCommit::After && !row.outcome.verdict().is_against_key();
        let row = match may_wait {
            true => match recorder.defer(row) {
                Deferred::Queued => return Ok(store::Moved::default()),
                Deferred::Flush => {
                    self.flush_later();
                    return Ok(store::Moved::default());
                }
                Deferred::Commit(row) => row,
            },
            false => row,
        };
        let committed = self.view.commit(row).await;
        report_lost(&self.view, &self.system);
        committed
    }

    fn flush_later(&self) {
        let (view, system) = (Rc::clone(&self.view), self.system.clone());
        self.system.spawn(async move {
            system.wait(DEFERRED_MS).await;
            view.recorder.flush().await;
            report_lost(&view, &system);
        });
    }

    /// The line for the operator's log.
    fn line(&self, row: &AttemptRow) -> String {
        format!(
            "call request={} attempt={} key={} model={:?} outcome={}{} status={} duration_ms={} message={:?}",
            self.request_id,
            self.number,
            self.key(),
            self.redact(&self.model),
            row.outcome.name(),
            row.drill.map_or("", |_| " (drill)"),
            row.response_status
                .map_or_else(|| "none".to_owned(), |status| status.to_string()),
            row.ended_at.since(row.started_at),
            row.error_message.as_deref().unwrap_or_default(),
        )
    }

    /// Applies the outcome to the key's project and its budgets. The view is updated even if a
    /// write to the database fails; the first error is returned.
    async fn learn(&self, incident: &Incident, diagnosis: Option<&Diagnosis>) -> store::Result<()> {
        let database = &*self.view.database;
        let mut key = self.pick.key.clone();
        let mut result = Ok(());
        if let Some(project) = diagnosis.and_then(|diagnosis| diagnosis.project.as_deref())
            && key.project.is_none()
        {
            key.project = Some(project.to_owned());
            result = store::learn_project(database, key.id, project).await;
            self.view
                .change(Change::Project(key.id, project.to_owned()));
        }
        let quota_scope = QuotaScope {
            scope: key.scope(),
            model: Some(self.model.clone()),
        };
        let limits = diagnosis
            .into_iter()
            .flat_map(|diagnosis| &diagnosis.limits);
        for limit in limits {
            let learned =
                store::learn_limit(database, &quota_scope, *limit, incident.ended_at).await;
            self.view.change(Change::Limit(quota_scope.clone(), *limit));
            result = result.and(learned);
        }
        let applied = match incident.outcome.verdict() {
            // The key's own state covers it.
            Verdict::Failed | Verdict::Rejected | Verdict::Restricted => Ok(()),
            Verdict::Works => self.end_cool_downs().await,
            Verdict::Unknown => {
                let cools = incident.outcome.blame() == Some(Blame::AtOnce);
                match self.quota_scope(incident.outcome, &key) {
                    Some(scope) if cools => self.view.cool(&scope, incident).await,
                    // Another key's answer will tell whether the key or the request was at fault.
                    _ => Ok(()),
                }
            }
        };
        result.and(applied)
    }

    fn quota_scope(&self, outcome: Outcome, key: &crate::pool::PoolKey) -> Option<QuotaScope> {
        quota_scope_of(outcome, key, &self.model, self.traits.tool.as_deref())
    }

    async fn end_cool_downs(&self) -> store::Result<()> {
        let mut result = Ok(());
        for scope in &self.pick.on_probation {
            let ended = self.view.end_cool_down(scope, self.started_at).await;
            result = result.and(ended);
        }
        result
    }

    /// Releases the trial leases that this attempt still holds, so that the next call may run the
    /// trial. A trial that reached a result has ended already.
    async fn release_trials(&self) -> store::Result<()> {
        self.view
            .release(&self.pick.claims, self.claimed.trials_until)
            .await
    }

    /// Replaces the reserved number of tokens by the true one: none, if the upstream did not
    /// answer.
    async fn settle(&self, status: Option<u16>, usage: Option<Usage>) -> store::Result<()> {
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
        for scope in &self.pick.counted {
            let settled = store::settle(&*self.view.database, scope, reserved_at, difference).await;
            result = result.and(settled);
        }
        result
    }

    /// Applies the key state that the database now has to the view.
    async fn enter(&self, moved: store::Moved, incident: &Incident) -> store::Result<()> {
        if let Some(state) = moved.state {
            self.view.change(Change::State(self.key(), state));
        }
        // Unless a person has changed the key since, as far as the view knows.
        let edits = self.view.snapshot().key(self.key()).map(|key| key.edits);
        // The test of a key may succeed during its pause.
        let pause = self.pick.key.state.disabled_until;
        if incident.outcome == Outcome::Success
            && self.pick.key.state.status == KeyStatus::Cooling
            && pause.is_some_and(|until| until <= self.started_at)
            && edits == Some(self.pick.key.edits)
        {
            let state = transition(
                self.pick.key.state,
                Verdict::Works,
                Record::default(),
                incident.ended_at,
            );
            self.view.change(Change::State(self.key(), state));
        }
        let mut result = Ok(());
        for id in moved.suspected {
            let scope = QuotaScope {
                scope: Scope::Key(id),
                model: None,
            };
            result = result.and(self.view.cool(&scope, incident).await);
            self.system.log(&format!(
                "key {id} is not disabled: several keys fail alike ({}), so the upstream or this machine's address is suspected",
                incident.outcome.name()
            ));
        }
        result
    }

    pub(super) fn key(&self) -> KeyId {
        self.pick.key.id
    }

    fn redact(&self, text: &str) -> String {
        let secrets: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        redact(text, &secrets)
    }

    fn redact_json(&self, json: &str) -> String {
        let secrets: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        redact_json(json, &secrets)
    }
}

/// An error of the upstream, or none that could be read.
struct UpstreamError<'a> {
    diagnosis: &'a Diagnosis,
    /// For an error without words of its own.
    default_message: String,
    /// The status for the caller.
    status: u16,
    /// The status for the log.
    response_status: Option<u16>,
    body: Option<&'a [u8]>,
}

impl UpstreamError<'_> {
    /// What the log may say of it.
    fn log_message(&self) -> String {
        let error = &self.diagnosis.error;
        let Some(message) = &error.message else {
            return self.default_message.clone();
        };
        let message = loggable(message, self.diagnosis.description);
        match error.canonical_code() {
            Some(code) => format!("{code}: {message}"),
            None => message.to_owned(),
        }
    }
}

/// Reports deferred rows that could not be written.
fn report_lost<D: Database, S: System>(view: &PoolView<D>, system: &S) {
    for Lost {
        request_id,
        key,
        error,
    } in view.recorder.take_lost()
    {
        system.log(&format!(
            "call request={request_id} key={key} is missing from the log or the counters: {error}"
        ));
    }
}
