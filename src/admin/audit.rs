//! The audit log.

use super::request::{List, Refusal, Request, Response};
use crate::store::{self, AuditEntry, AuditFilter, ByTime, Database, Order};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
struct EntryReport {
    id: i64,
    at: Option<String>,
    /// The operator's token, such as `admin_token`.
    actor: Option<String>,
    action: Option<String>,
    /// Such as `key:7`.
    subject: Option<String>,
    before: Option<Box<RawValue>>,
    after: Option<Box<RawValue>>,
    request_id: Option<String>,
}

impl EntryReport {
    fn of(entry: AuditEntry) -> Self {
        let json = |text: Option<String>| RawValue::from_string(text?).ok();
        Self {
            id: entry.id,
            at: entry.at,
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            before: json(entry.before),
            after: json(entry.after),
            request_id: entry.request_id,
        }
    }
}

/// `GET audit`: the latest changes first.
pub(super) async fn list(
    database: &impl Database,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let query = request.query()?;
    let filter = AuditFilter {
        subject: query.take("subject"),
        action: query.take("action"),
    };
    let page = query.page(&[("id", ByTime)], (ByTime, Order::Descending))?;
    query.finish()?;
    let page = store::list_audit(database, &filter, &page).await?;
    Response::ok(&List::of(page, EntryReport::of))
}
