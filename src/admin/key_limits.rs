//! The limits of a key and its project.

use super::query::chosen;
use super::request::{Refusal, Request};
use crate::pool::{KeyId, Limit, Moment, QuotaScope, Scope, Unit, Window};
use crate::store::{self, Database, KeyLimit, ListedKey};
use crate::wire::json::read;
use crate::wire::naming::is_model;
use crate::wire::parameters::{Invalid, Parameters, each, list, text};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::HashSet;

/// The most presets of a key and its project.
const MAX_PRESETS: usize = 100;
/// The highest preset: 10^15, which a number in JSON can hold exactly.
const MAX_PRESET: u64 = 1_000_000_000_000_000;

#[derive(Serialize)]
pub(super) struct LimitReport {
    /// `key:7` or `project:projects/123`.
    scope: Option<String>,
    /// `null` for all models together.
    model: Option<String>,
    unit: Option<String>,
    per: Option<String>,
    /// As an operator has set it.
    preset: Option<i64>,
    /// As an error of the upstream stated it.
    learned: Option<i64>,
    learned_at: Option<String>,
    /// In the current period; `null` if that is not counted.
    used: Option<i64>,
}

impl LimitReport {
    fn of(limit: KeyLimit) -> Self {
        Self {
            scope: limit.scope,
            model: limit.model,
            unit: limit.unit,
            per: limit.per,
            preset: limit.preset,
            learned: limit.learned,
            learned_at: limit.learned_at,
            used: limit.used,
        }
    }
}

/// The scopes of a key: its own, and that of its project.
pub(super) fn scopes(key: &ListedKey) -> Vec<Scope> {
    let project = key.project.clone().filter(|project| !project.is_empty());
    let project = project.map(Scope::Project);
    [Some(Scope::Key(key.id)), project]
        .into_iter()
        .flatten()
        .collect()
}

/// The limits of a key and its project.
pub(super) async fn limits(
    database: &impl Database,
    key: &ListedKey,
    now: &Moment,
) -> Result<Vec<LimitReport>, Refusal> {
    let limits = store::key_limits(database, &scopes(key), now).await?;
    Ok(limits.into_iter().map(LimitReport::of).collect())
}

/// Sets the presets in a body.
pub(super) async fn set(
    database: &impl Database,
    id: KeyId,
    request: &Request<'_>,
) -> Result<(), Refusal> {
    let parameters = request.parameters(&["limits"])?;
    let items = parameters.require("limits", list)?;
    let key = store::listed_key(database, id).await?;
    let key = key.ok_or(Refusal::UnknownKey(id))?;
    let scopes = scopes(&key);
    let presets = presets(items, &scopes).map_err(|invalid| invalid.within("limits"))?;
    let now = Moment::new(request.now);
    store::set_presets(database, id, &scopes, &presets, request.author, &now).await?;
    Ok(())
}

fn presets(items: Vec<&RawValue>, scopes: &[Scope]) -> Result<Vec<(QuotaScope, Limit)>, Invalid> {
    if items.len() > MAX_PRESETS {
        return Err(Invalid::new(format!("must be at most {MAX_PRESETS}")));
    }
    let mut seen = HashSet::new();
    each(items, |item| {
        let preset = preset(item, scopes)?;
        let (scope, limit) = &preset;
        match seen.insert((scope.clone(), limit.unit, limit.window)) {
            true => Ok(preset),
            false => Err(Invalid::new("repeats a limit")),
        }
    })
}

fn preset(item: &RawValue, scopes: &[Scope]) -> Result<(QuotaScope, Limit), Invalid> {
    let members = Parameters::of(item)?;
    let known = ["scope", "model", "unit", "per", "preset"];
    if members.names().any(|name| !known.contains(&name)) {
        return Err(Invalid::new("has an unknown member"));
    }
    let units = Unit::ALL.map(|unit| (unit.name(), unit));
    let windows = Window::ALL.map(|window| (window.name(), window));
    let scope = members.read("scope", |value| {
        let choices = [("key", scopes.first()), ("project", scopes.get(1))];
        chosen(&text(value)?, &choices)?
            .ok_or_else(|| Invalid::new("must be `key`, since the key has no project"))
    })?;
    let scope = scope.or(scopes.first()).cloned();
    let quota_scope = QuotaScope {
        scope: scope.ok_or_else(|| Invalid::about("scope", "is missing"))?,
        model: members.read("model", |value| {
            let model = text(value)?;
            match is_model(&model) {
                true => Ok(model.into_owned()),
                false => Err(Invalid::new("must be a model, or null for all together")),
            }
        })?,
    };
    let limit = Limit {
        unit: members.require("unit", |value| chosen(&text(value)?, &units))?,
        window: members.require("per", |value| chosen(&text(value)?, &windows))?,
        value: members.require("preset", |value| {
            let preset = read(value).filter(|preset| *preset <= MAX_PRESET);
            preset.ok_or_else(|| {
                Invalid::new(format!("must be a whole number from 0 to {MAX_PRESET}"))
            })
        })?,
    };
    Ok((quota_scope, limit))
}
