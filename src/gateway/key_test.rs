//! Tests of keys for operators: each key lists one model, which costs nothing and uses no quota of
//! a model.
//!
//! A test is logged, and moves the state of its key, like any other call for `models`. So a key
//! that the upstream rejects is disabled or paused by the usual rules. A success ends a pause that
//! the pool has set, but neither one that an operator has set nor a disabled state.

use super::Failure;
use super::affinity::Uses;
use super::attempt::{Attempt, Failed};
use super::claim::Claimed;
use super::exchange::{Attempted, Exchange};
use super::headers::{self, ContentType, Credential};
use super::incoming::Incoming;
use super::lessons::Lessons;
use super::ports::{System, Upstream};
use super::request_line::RequestLine;
use super::upstream_request::UpstreamRequest;
use super::view::{Coverage, MAX_AGE_MS, PoolView};
use crate::admin::key_tests::{KeyTest, KeyTester};
use crate::config::Config;
use crate::pool::{CredentialHeader, Deadlines, KeyId, Outcome, Pick, PoolKey};
use crate::store::{self, Database};
use crate::sync::Flights;
use crate::wire::request_traits::RequestTraits;
use crate::wire::target::Target;
use crate::wire::{ClientApi, Surface};
use http::request::Parts;
use http::{Method, Request};
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// A list of models with one entry.
const LIST: &str = "/v1beta/models?pageSize=1";
/// How many keys are tested at a time.
const AT_A_TIME: usize = 5;
/// When no more tests begin, in milliseconds after the first: 20 s.
const LAST_BEGINS_MS: i64 = 20_000;
/// How long a test may take, in milliseconds: 10 s.
const LONGEST_TEST_MS: i64 = 10_000;

/// The tests under way, by key.
pub(super) type KeyTests = Flights<KeyId, KeyTest>;

/// Tests keys for one request of an operator.
pub(super) struct Tester<'a, D, U, S> {
    pub(super) config: &'a Config,
    pub(super) view: &'a PoolView<D>,
    pub(super) upstream: &'a U,
    pub(super) system: &'a S,
    pub(super) tests: &'a KeyTests,
    pub(super) request_id: &'a str,
    /// The calls that the request has made.
    pub(super) calls: Cell<u32>,
}

impl<D: Database, U: Upstream, S: System> KeyTester for Tester<'_, D, U, S> {
    async fn test(&self, keys: &[KeyId]) -> store::Result<Vec<KeyTest>> {
        let Self { view, system, .. } = *self;
        view.refresh(system, Coverage::Whole, MAX_AGE_MS).await?;
        let last_begins_at = system.now().plus(LAST_BEGINS_MS);
        let mut tests = Vec::with_capacity(keys.len());
        for ids in keys.chunks(AT_A_TIME) {
            if !tests.is_empty() && system.now() > last_begins_at {
                break;
            }
            let test = async |id: KeyId| {
                let shared = self.tests.get(id, async || self.test_key(id).await);
                KeyTest::clone(&*shared.await)
            };
            tests.extend(all(ids.iter().map(|id| test(*id))).await);
        }
        Ok(tests)
    }
}

impl<D: Database, U: Upstream, S: System> Tester<'_, D, U, S> {
    async fn test_key(&self, id: KeyId) -> KeyTest {
        let key = self.view.snapshot().key(id).cloned();
        let Some(key) = key else {
            return KeyTest {
                outcome: None,
                upstream_status: None,
                message: Some("the row of the key cannot be used".to_owned()),
                duration_ms: 0,
            };
        };
        let began_at = self.system.now();
        let result = self.call_in_either_header(key).await;
        let (outcome, failure) = match result {
            Ok(()) => (Outcome::Success, None),
            Err(failed) => (failed.outcome, Some(failed.failure)),
        };
        let (upstream_status, message) = match failure {
            None => (None, None),
            Some(Failure::Upstream {
                status, message, ..
            }) => (Some(status), Some(message)),
            Some(failure) => (None, Some(failure.describe().body.message)),
        };
        KeyTest {
            outcome: Some(outcome),
            upstream_status,
            message,
            duration_ms: self.system.now().since(began_at),
        }
    }

    /// Calls with a key, and once more in the other header if the upstream refuses the first.
    async fn call_in_either_header(&self, key: PoolKey) -> Result<(), Failed> {
        let usual = Surface::Gemini.credential_header();
        let first = key.credential_header.unwrap_or(usual);
        let result = self.call(&key, first, !key.key.is_standard()).await;
        match result {
            Err(failed) if failed.outcome == Outcome::CredentialMisplaced => {}
            result => return result,
        }
        let other = first.other();
        self.call(&key, other, false).await?;
        let lessons = Lessons {
            header: Some((key.id, other)),
            ..Lessons::default()
        };
        let Self { view, system, .. } = *self;
        lessons.remember(view, system, self.request_id, "").await;
        Ok(())
    }

    async fn call(
        &self,
        key: &PoolKey,
        header: CredentialHeader,
        has_other_header: bool,
    ) -> Result<(), Failed> {
        let fail = |failure| Failed {
            outcome: Outcome::ClientFault,
            failure,
        };
        let target = Target::of(&Method::GET, "/v1beta/models", Surface::Gemini);
        let head = Request::get(LIST).body(()).map(Request::into_parts);
        let (Some(target), Ok((head, ()))) = (target, head) else {
            return Err(fail(Failure::UnknownPath("")));
        };
        let incoming = self.incoming(&head, target);
        let now = self.system.now();
        let mut request =
            UpstreamRequest::new(self.config, &incoming, Vec::new(), now).map_err(fail)?;
        request.read_traits(&incoming.target, &Uses::default());
        let attempt = self.attempt(key, &request, has_other_header);
        let credential = Credential {
            key: &key.key,
            header,
        };
        let headers = headers::to_upstream(request.headers, ContentType::AsSent, credential, None);
        let end = attempt.started_at.plus(LONGEST_TEST_MS);
        let exchange = Exchange {
            attempt,
            request: &request,
            deadlines: Deadlines {
                head_by: end,
                content_by: end,
                answer_by: end,
                idle_ms: u64::try_from(LONGEST_TEST_MS).ok(),
                client_by: None,
            },
        };
        match exchange.run(self.upstream, headers).await {
            Attempted::Answered(_) | Attempted::Empty(_) => Ok(()),
            Attempted::Failed(failed) => Err(failed),
        }
    }

    fn incoming<'h>(&'h self, head: &'h Parts, target: Target) -> Incoming<'h> {
        Incoming {
            id: self.request_id,
            head,
            target,
            api: ClientApi::Gemini,
            translation: None,
            left_out: Vec::new(),
        }
    }

    fn attempt(
        &self,
        key: &PoolKey,
        request: &UpstreamRequest<'_>,
        has_other_header: bool,
    ) -> Attempt<D, S> {
        let Self { view, system, .. } = *self;
        let now = system.now();
        self.calls.set(self.calls.get() + 1);
        let secrets = std::iter::once(key.key.expose()).chain(self.config.secrets());
        Attempt {
            request_id: self.request_id.to_owned(),
            number: self.calls.get(),
            request_line: RequestLine::default(),
            token: None,
            // Neither claims a trial nor counts towards a budget.
            pick: Pick {
                key: key.clone(),
                claims: Vec::new(),
                counted: Vec::new(),
                on_probation: Vec::new(),
            },
            model: request.subject.clone(),
            traits: RequestTraits {
                has_other_header,
                ..request.traits.clone()
            },
            claimed: Claimed {
                trials_until: now,
                input_tokens: 0,
                reserved_at: None,
            },
            // A test tells how the key really is.
            drill: None,
            log_commit: self.config.log_commit,
            secrets: secrets.map(str::to_owned).collect(),
            started_at: now,
            first_byte_at: None,
            // Each has the allowance of a request.
            view: view.for_request(),
            system: system.clone(),
        }
    }
}

/// A future, and its result once it has one.
struct Running<F: Future> {
    future: Pin<Box<F>>,
    result: Option<F::Output>,
}

/// Runs a few futures at the same time, and returns their results in order.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Running<F>> = futures
        .map(|future| Running {
            future: Box::pin(future),
            result: None,
        })
        .collect();
    poll_fn(|context| {
        let mut is_done = true;
        for Running { future, result } in &mut running {
            if result.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *result = Some(value),
                    Poll::Pending => is_done = false,
                }
            }
        }
        match is_done {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    let results = running.into_iter().map(|running| running.result);
    results.flatten().collect()
}
