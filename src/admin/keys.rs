//! The keys: lists and changes. A key's value is never part of a response.

use super::endpoint::KeyAction;
use super::key_fields::{NAME, NOTE, later, patterns, priority, short, tags};
use super::key_limits::{self, LimitReport, scopes};
use super::query::chosen;
use super::request::{List, Refusal, Request, Response};
use crate::pool::{KeyId, KeyStatus, Moment, Scope, UnixMillis};
use crate::store::{
    self, ByTime, CurrentCoolDown, Database, Drill, KeyChange, KeyField, KeyFilter, KeySort,
    ListedKey, Order, StateChange,
};
use crate::wire::gemini::Fault;
use crate::wire::json::read;
use crate::wire::parameters::{Invalid, Parameters, text};
use serde::Serialize;

/// The most calls of a drill.
const MAX_DRILL: i64 = 1000;

#[derive(Serialize)]
struct KeyReport<'a> {
    id: i64,
    name: Option<String>,
    /// `active`, `cooling` or `disabled`; `null` if the row is broken.
    status: Option<&'static str>,
    priority: i64,
    project: Option<String>,
    tags: Vec<String>,
    note: Option<String>,
    /// Patterns of the only models for which it may be used; empty for all.
    allowed_models: Vec<String>,
    /// Patterns of models for which it must not be used.
    forbidden_models: Vec<String>,
    disabled_until: Option<String>,
    disabled_reason: Option<String>,
    /// The current cool-downs of the key and its project.
    cooling: Vec<CoolingReport<'a>>,
    /// The limits of the key and its project; only for a single key.
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Vec<LimitReport>>,
    consecutive_failures: i64,
    total_calls: i64,
    success_calls: i64,
    last_used_at: Option<String>,
    last_outcome: Option<String>,
    drill: Option<DrillReport>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// A fault drill under way.
#[derive(Serialize)]
struct DrillReport {
    /// `429`, `503` or `reset`.
    fault: &'static str,
    calls_left: i64,
}

#[derive(Serialize)]
struct CoolingReport<'a> {
    /// `key:7` or `project:projects/123`.
    scope: &'a str,
    /// With a server-side tool: `gemini-flash-latest#google_search`; `null` for all models.
    model: Option<&'a str>,
    /// The outcome that caused it, such as `billing_exhausted`.
    reason: Option<&'a str>,
    until: Option<&'a str>,
}

impl<'a> KeyReport<'a> {
    fn of(key: ListedKey, cool_downs: &'a [CurrentCoolDown]) -> Self {
        let scopes: Vec<String> = scopes(&key).iter().map(Scope::to_string).collect();
        let cooling = cool_downs
            .iter()
            .filter(|cool_down| scopes.contains(&cool_down.scope));
        Self {
            id: key.id.0,
            name: key.name,
            status: key.status.map(KeyStatus::name),
            priority: key.priority,
            project: key.project,
            tags: key.tags,
            note: key.note,
            allowed_models: key.allowed_models,
            forbidden_models: key.forbidden_models,
            disabled_until: key.disabled_until,
            disabled_reason: key.disabled_reason,
            cooling: cooling.map(CoolingReport::of).collect(),
            limits: None,
            consecutive_failures: key.consecutive_failures,
            total_calls: key.total_calls,
            success_calls: key.success_calls,
            last_used_at: key.last_used_at,
            last_outcome: key.last_outcome,
            drill: key.drill.map(|drill| DrillReport {
                fault: drill.fault.name(),
                calls_left: drill.calls_left,
            }),
            created_at: key.created_at,
            updated_at: key.updated_at,
        }
    }
}

impl<'a> CoolingReport<'a> {
    fn of(cool_down: &'a CurrentCoolDown) -> Self {
        Self {
            scope: &cool_down.scope,
            model: cool_down.model.as_deref(),
            reason: cool_down.reason.as_deref(),
            until: cool_down.until.as_deref(),
        }
    }
}

/// `GET keys`
pub(super) async fn list(
    database: &impl Database,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let query = request.query()?;
    let filter = KeyFilter {
        status: query.choose("status", &KeyStatus::NAMES)?,
        project: query.take("project"),
        tag: query.take("tag"),
        text: query.take("q"),
        ids: None,
    };
    let page = query.page(&KeySort::ALL, (KeySort::Id, Order::Ascending))?;
    query.finish()?;
    let page = store::list_keys(database, &filter, &page).await?;
    let cool_downs = store::current_cool_downs(database, request.now).await?;
    Response::ok(&List::of(page, |key| KeyReport::of(key, &cool_downs)))
}

/// `GET keys/{id}`
pub(super) async fn show(
    database: &impl Database,
    id: KeyId,
    now: UnixMillis,
) -> Result<Response, Refusal> {
    let key = store::listed_key(database, id).await?;
    let key = key.ok_or(Refusal::UnknownKey(id))?;
    let limits = key_limits::limits(database, &key, &Moment::new(now)).await?;
    let cool_downs = store::current_cool_downs(database, now).await?;
    Response::ok(&KeyReport {
        limits: Some(limits),
        ..KeyReport::of(key, &cool_downs)
    })
}

/// A change of a key's state.
#[derive(Serialize)]
struct ChangeReport {
    at: Option<String>,
    from: Option<&'static str>,
    to: Option<&'static str>,
    until: Option<String>,
    reason: Option<String>,
}

impl ChangeReport {
    fn of(change: StateChange) -> Self {
        Self {
            at: change.at,
            from: change.from.map(KeyStatus::name),
            to: change.to.map(KeyStatus::name),
            until: change.until,
            reason: change.reason,
        }
    }
}

/// `GET keys/{id}/history`: the latest changes of its state first.
pub(super) async fn history(
    database: &impl Database,
    id: KeyId,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let query = request.query()?;
    let page = query.page(&[("id", ByTime)], (ByTime, Order::Descending))?;
    query.finish()?;
    let changes = store::key_history(database, id, &page).await?;
    // The history of a deleted key stays for a while.
    if changes.items.is_empty() && store::listed_key(database, id).await?.is_none() {
        return Err(Refusal::UnknownKey(id));
    }
    Response::ok(&List::of(changes, ChangeReport::of))
}

/// `PUT keys/{id}/limits`
pub(super) async fn set_limits(
    database: &impl Database,
    id: KeyId,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    key_limits::set(database, id, request).await?;
    show(database, id, request.now).await
}

/// `PATCH keys/{id}`
pub(super) async fn edit(
    database: &impl Database,
    id: KeyId,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let known = [
        "name",
        "priority",
        "project",
        "tags",
        "note",
        "allowed_models",
        "forbidden_models",
    ];
    let parameters = request.parameters(&known)?;
    let fields = fields(&parameters)?;
    if fields.is_empty() {
        return Err(Invalid::new("must have at least one member to change").into());
    }
    change(database, id, KeyChange::Edit(fields), request).await
}

/// `DELETE keys/{id}`
pub(super) async fn delete(
    database: &impl Database,
    id: KeyId,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    apply(database, id, &KeyChange::Delete, request).await?;
    Ok(Response::nothing())
}

/// `POST keys/{id}/{action}`
pub(super) async fn act(
    database: &impl Database,
    id: KeyId,
    action: KeyAction,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let key_change = match action {
        KeyAction::Disable => {
            let parameters = request.parameters(&["reason"])?;
            let reason = parameters.read("reason", |reason| short(reason, NOTE))?;
            KeyChange::Disable {
                reason: reason.flatten().unwrap_or_else(|| "by an operator".into()),
            }
        }
        KeyAction::Pause => {
            let parameters = request.parameters(&["until"])?;
            KeyChange::Pause(parameters.require("until", |until| later(until, request.now))?)
        }
        KeyAction::Enable => {
            request.parameters(&[])?;
            KeyChange::Enable
        }
        KeyAction::Reset => {
            request.parameters(&[])?;
            let (author, now) = (request.author, request.now);
            return match store::reset_key(database, id, author, now).await? {
                true => show(database, id, now).await,
                false => Err(Refusal::UnknownKey(id)),
            };
        }
        KeyAction::Drill => return drill(database, id, request).await,
    };
    change(database, id, key_change, request).await
}

/// Begins or ends a fault drill.
async fn drill(
    database: &impl Database,
    id: KeyId,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let parameters = request.parameters(&["fault", "calls"])?;
    let calls = parameters.read("calls", |calls| {
        let calls = read(calls).filter(|calls| (0..=MAX_DRILL).contains(calls));
        calls.ok_or_else(|| Invalid::new(format!("must be a whole number from 0 to {MAX_DRILL}")))
    })?;
    let calls_left = calls.unwrap_or(1);
    let fault = parameters.read("fault", |fault| chosen(&text(fault)?, &Fault::ALL))?;
    let fault = match (fault, calls_left) {
        (Some(fault), _) => fault,
        (None, 0) => Fault::Reset,
        (None, _) => return Err(Invalid::about("fault", "is missing").into()),
    };
    if store::listed_key(database, id).await?.is_none() {
        return Err(Refusal::UnknownKey(id));
    }
    let drill = Drill { fault, calls_left };
    store::set_drill(database, id, drill, request.author, request.now).await?;
    show(database, id, request.now).await
}

/// Makes a change, and shows the key afterwards.
async fn change(
    database: &impl Database,
    id: KeyId,
    change: KeyChange,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    apply(database, id, &change, request).await?;
    show(database, id, request.now).await
}

async fn apply(
    database: &impl Database,
    id: KeyId,
    change: &KeyChange,
    request: &Request<'_>,
) -> Result<(), Refusal> {
    let Request { author, now, .. } = *request;
    match store::change_key(database, request.vault, id, change, author, now).await? {
        true => Ok(()),
        false => Err(Refusal::UnknownKey(id)),
    }
}

/// The columns that a body sets. A member that is null clears its column.
fn fields(parameters: &Parameters<'_>) -> Result<Vec<KeyField>, Invalid> {
    let text = |name: &str, rule| {
        let text = parameters.nullable(name, |text| short(text, rule))?;
        Ok::<_, Invalid>(text.map(Option::flatten))
    };
    let mut fields = Vec::new();
    fields.extend(text("name", NAME)?.map(KeyField::Name));
    fields.extend(text("project", NAME)?.map(KeyField::Project));
    fields.extend(text("note", NOTE)?.map(KeyField::Note));
    fields.extend(
        parameters
            .read("priority", priority)?
            .map(KeyField::Priority),
    );
    let tags = parameters.nullable("tags", tags)?;
    fields.extend(tags.map(|tags| KeyField::Tags(tags.unwrap_or_default())));
    let allowed = parameters.nullable("allowed_models", patterns)?;
    fields.extend(allowed.map(|models| KeyField::AllowedModels(models.unwrap_or_default())));
    let forbidden = parameters.nullable("forbidden_models", patterns)?;
    fields.extend(forbidden.map(|models| KeyField::ForbiddenModels(models.unwrap_or_default())));
    Ok(fields)
}
