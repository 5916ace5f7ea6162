//! Testing keys by calls that cost nothing.

use super::query::chosen;
use super::request::{List, Refusal, Request, Response};
use crate::pool::{KeyId, KeyStatus, Outcome};
use crate::store::{
    self, Cursor, Database, KeyFilter, KeySort, LARGEST_PAGE, ListedKey, Order, Page, PageOf,
};
use crate::wire::json::read;
use crate::wire::parameters::{Invalid, Parameters, text};
use serde::Serialize;

/// How many keys one request tests, unless it says otherwise.
const DEFAULT_LIMIT: u64 = 100;
/// The most ids in a request.
const MAX_IDS: usize = 1_000;
/// The largest integer that a number in JSON can hold exactly.
const LARGEST_ID: i64 = (1 << 53) - 1;

/// Tests keys.
pub trait KeyTester {
    /// Tests the first of these keys, as many as there is time for, and at least one.
    ///
    /// # Errors
    /// The pool cannot be read.
    async fn test(&self, keys: &[KeyId]) -> store::Result<Vec<KeyTest>>;
}

/// The result of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTest {
    /// How the call ended; `None` if there was none, since the row of the key is broken.
    pub outcome: Option<Outcome>,
    /// The status of the upstream's answer, or the one that stands for none; `None` if it worked.
    pub upstream_status: Option<u16>,
    /// What the upstream said, redacted.
    pub message: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
}

#[derive(Serialize)]
struct TestReport {
    id: i64,
    name: Option<String>,
    outcome: Option<&'static str>,
    upstream_status: Option<u16>,
    message: Option<String>,
    duration_ms: i64,
    /// The state of the key afterwards.
    key_status: Option<&'static str>,
}

impl TestReport {
    fn of(key: ListedKey, test: KeyTest) -> Self {
        Self {
            id: key.id.0,
            name: key.name,
            outcome: test.outcome.map(Outcome::name),
            upstream_status: test.upstream_status,
            message: test.message,
            duration_ms: test.duration_ms,
            key_status: key.status.map(KeyStatus::name),
        }
    }
}

/// `POST keys/{id}/test`
pub(super) async fn test_one(
    database: &impl Database,
    id: KeyId,
    request: &Request<'_>,
    tester: &impl KeyTester,
) -> Result<Response, Refusal> {
    request.parameters(&[])?;
    let read = async || {
        let key = store::listed_key(database, id).await?;
        key.ok_or(Refusal::UnknownKey(id))
    };
    read().await?;
    let test = tester.test(&[id]).await?.into_iter().next();
    let test = test.ok_or(Refusal::UnknownKey(id))?;
    let key = read().await?;
    Response::ok(&TestReport::of(key, test))
}

/// `POST keys/test`
pub(super) async fn test_many(
    database: &impl Database,
    request: &Request<'_>,
    tester: &impl KeyTester,
) -> Result<Response, Refusal> {
    let known = ["ids", "status", "project", "tag", "q", "limit", "cursor"];
    let (filter, page) = selection(&request.parameters(&known)?)?;
    let Page { items, mut next } = store::list_keys(database, &filter, &page).await?;
    let mut ids: Vec<KeyId> = items.iter().map(|key| key.id).collect();
    let tests = match ids.as_slice() {
        [] => Vec::new(),
        ids => tester.test(ids).await?,
    };
    if tests.len() < ids.len() {
        ids.truncate(tests.len());
        next = ids.last().map(|id| Cursor::at_id(id.0));
    }
    let mut tests: Vec<(KeyId, KeyTest)> = ids.iter().copied().zip(tests).collect();
    // Their state may have changed, and one may have been deleted.
    let filter = KeyFilter {
        ids: Some(ids),
        ..KeyFilter::default()
    };
    let page = PageOf {
        after: None,
        ..page
    };
    let Page { items, .. } = store::list_keys(database, &filter, &page).await?;
    let tested = |key: ListedKey| {
        let position = tests.iter().position(|(id, _)| *id == key.id)?;
        Some((key, tests.swap_remove(position).1))
    };
    let page = Page {
        items: items.into_iter().filter_map(tested).collect(),
        next,
    };
    Response::ok(&List::of(page, |(key, test)| TestReport::of(key, test)))
}

fn selection(parameters: &Parameters<'_>) -> Result<(KeyFilter, PageOf<KeySort>), Invalid> {
    let owned = |name| Ok::<_, Invalid>(parameters.text(name)?.map(|text| text.into_owned()));
    let filter = KeyFilter {
        ids: match parameters.has("ids") {
            true => Some(ids(parameters)?),
            false => None,
        },
        status: parameters.read("status", |value| chosen(&text(value)?, &KeyStatus::NAMES))?,
        project: owned("project")?,
        tag: owned("tag")?,
        text: owned("q")?,
    };
    let limit = parameters.read("limit", |value| {
        let limit = read(value).filter(|limit| (1..=LARGEST_PAGE).contains(limit));
        limit
            .ok_or_else(|| Invalid::new(format!("must be a whole number from 1 to {LARGEST_PAGE}")))
    })?;
    let after = parameters.read("cursor", |value| {
        Cursor::parse(&text(value)?, 2)
            .ok_or_else(|| Invalid::new("is not the `next_cursor` of a response"))
    })?;
    let page = PageOf {
        sort: KeySort::Id,
        order: Order::Ascending,
        after,
        limit: limit.unwrap_or(DEFAULT_LIMIT),
    };
    Ok((filter, page))
}

fn ids(parameters: &Parameters<'_>) -> Result<Vec<KeyId>, Invalid> {
    let ids = parameters.each("ids", |value| {
        let id = read(value).filter(|id| (1..=LARGEST_ID).contains(id));
        id.map(KeyId)
            .ok_or_else(|| Invalid::new("must be the id of a key"))
    })?;
    match ids.len() <= MAX_IDS {
        true => Ok(ids),
        false => Err(Invalid::about("ids", format!("must be at most {MAX_IDS}"))),
    }
}
