//! Adding keys.

use super::key_input::{Entry, entries};
use super::query::SWITCH;
use super::request::{Refusal, Request, Response};
use crate::pool::{ApiKey, mask};
use crate::store::{self, Database, Known, NewKey};
use crate::wire::parameters::Invalid;
use serde::Serialize;
use std::collections::HashSet;

/// The most entries of a request.
const MAX_ENTRIES: usize = 50_000;

#[derive(Serialize)]
struct Report<'a> {
    dry_run: bool,
    /// The numbers of entries by status.
    counts: Counts,
    items: Vec<EntryReport<'a>>,
}

#[derive(Default, Serialize)]
struct Counts {
    new: usize,
    duplicate: usize,
    known_dead: usize,
    malformed: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    New,
    Duplicate,
    KnownDead,
    Malformed,
}

#[derive(Serialize)]
struct EntryReport<'a> {
    /// Of the entry in the input, from 1.
    position: usize,
    status: Status,
    /// The end of the key, by which its owner recognizes it.
    hint: Option<String>,
    /// Of the key in the pool.
    id: Option<i64>,
    /// Why it is malformed.
    reason: Option<&'a str>,
}

/// `POST keys`
pub(super) async fn add(
    database: &impl Database,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let query = request.query()?;
    let dry_run = query.choose("dry_run", &SWITCH)?.unwrap_or(false);
    let adds_dead = query.choose("add_dead", &SWITCH)?.unwrap_or(false);
    query.finish()?;
    let entries = entries(request.body)?;
    if entries.len() > MAX_ENTRIES {
        return Err(Invalid::new(format!("must have at most {MAX_ENTRIES} keys")).into());
    }
    let keys: Vec<&ApiKey> = entries.iter().flatten().map(|new| &new.key).collect();
    let vault = request.vault;
    let mut known = store::known_keys(database, vault, &keys).await?;
    let statuses = statuses(&entries, &known, adds_dead);
    let with_status = |status| {
        let entries = entries.iter().zip(&statuses);
        entries.filter(move |(_, known)| **known == status)
    };
    let new: Vec<&NewKey> = with_status(Status::New)
        .filter_map(|(entry, _)| entry.as_ref().ok())
        .collect();
    if !dry_run && !new.is_empty() {
        let Request {
            author,
            now,
            new_nonce,
            ..
        } = *request;
        store::add_keys(database, vault, &new, new_nonce, author, now).await?;
        known = store::known_keys(database, vault, &keys).await?;
    }
    let mut ids = known.into_iter().map(|known| known.id);
    let items = entries.iter().zip(&statuses).zip(1..);
    let items = items.map(|((entry, status), position)| EntryReport {
        position,
        status: *status,
        hint: entry.as_ref().ok().map(|new| mask(new.key.expose())),
        id: entry
            .as_ref()
            .ok()
            .and_then(|_| ids.next().flatten())
            .map(|id| id.0),
        reason: entry.as_ref().err().map(String::as_str),
    });
    Response::ok(&Report {
        dry_run,
        counts: Counts {
            new: new.len(),
            duplicate: with_status(Status::Duplicate).count(),
            known_dead: with_status(Status::KnownDead).count(),
            malformed: with_status(Status::Malformed).count(),
        },
        items: items.collect(),
    })
}

/// The status of each entry. `known` is about those with a key.
fn statuses(entries: &[Entry], known: &[Known], adds_dead: bool) -> Vec<Status> {
    let mut seen = HashSet::new();
    let mut known = known.iter();
    let mut statuses = Vec::with_capacity(entries.len());
    for entry in entries {
        let known = entry
            .as_ref()
            .ok()
            .and_then(|new| known.next().map(|known| (new, known)));
        statuses.push(match known {
            None => Status::Malformed,
            Some((new, _)) if !seen.insert(new.key.expose()) => Status::Duplicate,
            Some((_, known)) => match (known.id, known.is_dead) {
                (Some(_), false) => Status::Duplicate,
                (Some(_), true) => Status::KnownDead,
                (None, true) if !adds_dead => Status::KnownDead,
                (None, _) => Status::New,
            },
        });
    }
    statuses
}
