//! `GET keys/activity`: how the calls of each key ended, hour by hour.

use super::calls::time;
use super::request::{Refusal, Request, Response};
use super::statistics::default_from;
use crate::pool::KeyId;
use crate::store::{self, Database, KeyHour};
use crate::wire::parameters::Invalid;
use serde::Serialize;
use serde_json::Map;

/// The most keys of a request.
const MAX_KEYS: usize = 1000;

#[derive(Serialize)]
struct Activity {
    items: Vec<KeyReport>,
}

/// A key that had calls.
#[derive(Serialize)]
struct KeyReport {
    key_id: i64,
    hours: Vec<HourReport>,
}

/// An hour with calls.
#[derive(Serialize)]
struct HourReport {
    hour: String,
    /// How many calls ended in which way.
    outcomes: Map<String, serde_json::Value>,
}

/// `GET keys/activity`
pub(super) async fn list(
    database: &impl Database,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let query = request.query()?;
    let keys = query.take("ids").as_deref().and_then(ids);
    let keys = keys.ok_or_else(|| {
        Invalid::about(
            "ids",
            format!("must be 1 to {MAX_KEYS} ids of keys between commas"),
        )
    })?;
    let from = time(&query, "from")?.unwrap_or_else(|| default_from(request.now));
    let until = time(&query, "until")?;
    query.finish()?;
    let hours = store::key_activity(database, &keys, from, until).await?;
    Response::ok(&Activity::of(hours))
}

fn ids(text: &str) -> Option<Vec<KeyId>> {
    let ids = text.split(',').map(|id| id.trim().parse().ok().map(KeyId));
    let ids: Vec<KeyId> = ids.collect::<Option<_>>()?;
    (ids.len() <= MAX_KEYS).then_some(ids)
}

impl Activity {
    /// Groups rows, which are in the order of keys and hours.
    fn of(rows: Vec<KeyHour>) -> Self {
        let mut items: Vec<KeyReport> = Vec::new();
        for row in rows {
            if items.last().is_none_or(|key| key.key_id != row.key.0) {
                items.push(KeyReport {
                    key_id: row.key.0,
                    hours: Vec::new(),
                });
            }
            let Some(key) = items.last_mut() else {
                continue;
            };
            if key.hours.last().is_none_or(|hour| hour.hour != row.hour) {
                key.hours.push(HourReport {
                    hour: row.hour,
                    outcomes: Map::new(),
                });
            }
            if let Some(hour) = key.hours.last_mut() {
                hour.outcomes.insert(row.outcome, row.calls.into());
            }
        }
        Self { items }
    }
}
