//! The client tokens: lists and changes. A token itself is part of one response only, that to the
//! request which created it.

use super::endpoint::TokenAction;
use super::key_fields::{NAME, later, short};
use super::request::{List, Refusal, Request, Response};
use crate::pool::{Network, TokenId, TokenState, UnixMillis};
use crate::store::{
    self, Database, ListedToken, Order, TokenChange, TokenColumn, TokenField, TokenFilter,
    TokenSecret, TokenSort, Value,
};
use crate::wire::json::read;
use crate::wire::naming::is_model_pattern;
use crate::wire::parameters::{Invalid, Parameters, each, list as items_of, text};
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

/// The most models or networks of a token.
const MAX_ITEMS: usize = 100;
/// The highest limit, since JSON in JavaScript has no larger whole numbers.
const MAX_LIMIT: u64 = 1 << 53;
/// The longest grace of a rotation, in seconds: 30 days.
const MAX_GRACE_S: u32 = 30 * 24 * 3600;

/// Reads the value of a column.
type Read = fn(&RawValue, UnixMillis) -> Result<Value, Invalid>;

const FIELDS: [(TokenColumn, Read); 6] = [
    (TokenColumn::Name, |name, _| {
        let name = short(name, NAME)?.ok_or_else(no_name)?;
        Ok(name.into())
    }),
    (TokenColumn::ExpiresAt, |at, now| Ok(later(at, now)?.into())),
    (TokenColumn::Models, |models, _| items(models, model)),
    (TokenColumn::Networks, |networks, _| {
        items(networks, network)
    }),
    (TokenColumn::RequestsPerMinute, |limit, _| {
        self::limit(limit)
    }),
    (TokenColumn::TokensPerDay, |limit, _| self::limit(limit)),
];

#[derive(Serialize)]
struct TokenReport<'a> {
    id: i64,
    /// The token itself, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    name: Option<String>,
    prefix: Option<String>,
    /// `active`, `disabled` or `expired`.
    state: &'static str,
    expires_at: Option<String>,
    disabled_at: Option<String>,
    /// `null` for all.
    models: Option<Vec<String>>,
    networks: Option<Vec<String>>,
    requests_per_minute: Option<u64>,
    tokens_per_day: Option<u64>,
    /// Until when the token before the latest rotation is accepted, too.
    previous_until: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

impl<'a> TokenReport<'a> {
    fn of(listed: ListedToken, secret: Option<&'a TokenSecret>, now: UnixMillis) -> Self {
        let state = listed.token.state(now).name();
        let networks = listed.token.networks;
        Self {
            id: listed.token.id.0,
            token: secret.map(TokenSecret::expose),
            name: listed.name,
            prefix: listed.prefix,
            state,
            expires_at: listed.token.expires_at.map(UnixMillis::to_iso),
            disabled_at: listed.token.disabled_at.map(UnixMillis::to_iso),
            models: listed.token.models,
            networks: networks.map(|list| list.iter().map(Network::to_string).collect()),
            requests_per_minute: listed.token.requests_per_minute,
            tokens_per_day: listed.token.tokens_per_day,
            previous_until: listed.previous_until,
            created_at: listed.created_at,
            updated_at: listed.updated_at,
        }
    }
}

/// `GET tokens`
pub(super) async fn list(
    database: &impl Database,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let query = request.query()?;
    let filter = TokenFilter {
        state: query.choose("state", &TokenState::NAMES)?,
        text: query.take("q"),
    };
    let page = query.page(&TokenSort::ALL, (TokenSort::Id, Order::Ascending))?;
    query.finish()?;
    let now = request.now;
    let page = store::list_client_tokens(database, &filter, &page, now).await?;
    Response::ok(&List::of(page, |token| TokenReport::of(token, None, now)))
}

/// `GET tokens/{id}`, and the response to a change, with the token if it is new.
pub(super) async fn show(
    database: &impl Database,
    id: TokenId,
    secret: Option<&TokenSecret>,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let listed = store::listed_client_token(database, id).await?;
    let listed = listed.ok_or(Refusal::UnknownToken(id))?;
    Response::ok(&TokenReport::of(listed, secret, request.now))
}

/// `POST tokens`
pub(super) async fn create(
    database: &impl Database,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let parameters = parameters(request)?;
    parameters.require("name", Ok)?;
    let fields = fields(&parameters, request.now)?;
    let secret = TokenSecret::new(request.entropy);
    let Request { author, now, .. } = *request;
    let id = store::create_client_token(database, &secret, &fields, author, now).await?;
    Ok(Response {
        status: StatusCode::CREATED,
        ..show(database, id, Some(&secret), request).await?
    })
}

/// `PATCH` and `DELETE tokens/{id}`, and `POST tokens/{id}/{action}`
pub(super) async fn change(
    database: &impl Database,
    id: TokenId,
    action: Option<TokenAction>,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let change = change_of(action, request)?;
    let Request { author, now, .. } = *request;
    if !store::change_client_token(database, id, &change, author, now).await? {
        return Err(Refusal::UnknownToken(id));
    }
    let secret = match &change {
        TokenChange::Delete => return Ok(Response::nothing()),
        TokenChange::Rotate { secret, .. } => Some(secret),
        TokenChange::Edit(_) | TokenChange::Disable | TokenChange::Enable => None,
    };
    show(database, id, secret, request).await
}

/// The change that a request asks for.
fn change_of(action: Option<TokenAction>, request: &Request<'_>) -> Result<TokenChange, Invalid> {
    match action {
        None if *request.method == Method::DELETE => Ok(TokenChange::Delete),
        None => {
            let fields = fields(&parameters(request)?, request.now)?;
            match fields.is_empty() {
                true => Err(Invalid::new("must have at least one member to change")),
                false => Ok(TokenChange::Edit(fields)),
            }
        }
        Some(TokenAction::Rotate) => {
            let parameters = request.parameters(&["grace_seconds"])?;
            let grace_s = parameters.read("grace_seconds", grace)?.unwrap_or(0);
            let until = request.now.plus(i64::from(grace_s) * 1000);
            Ok(TokenChange::Rotate {
                secret: TokenSecret::new(request.entropy),
                previous_until: (grace_s > 0).then_some(until),
            })
        }
        Some(TokenAction::Disable) => {
            request.parameters(&[])?;
            Ok(TokenChange::Disable)
        }
        Some(TokenAction::Enable) => {
            request.parameters(&[])?;
            Ok(TokenChange::Enable)
        }
    }
}

fn no_name() -> Invalid {
    Invalid::new("must not be empty")
}

/// The parameters of a body that sets columns.
fn parameters<'a>(request: &Request<'a>) -> Result<Parameters<'a>, Invalid> {
    request.parameters(&FIELDS.map(|(column, _)| column.name()))
}

/// The columns that a body sets. A member that is null clears its column.
fn fields(parameters: &Parameters<'_>, now: UnixMillis) -> Result<Vec<TokenField>, Invalid> {
    let mut fields = Vec::new();
    for (column, read) in FIELDS {
        let value = parameters.nullable(column.name(), |value| read(value, now))?;
        if column == TokenColumn::Name && value == Some(None) {
            return Err(no_name().within(column.name()));
        }
        fields.extend(value.map(|value| TokenField {
            column,
            value: value.into(),
        }));
    }
    Ok(fields)
}

/// A list that is not empty: nothing would pass it.
fn items(
    value: &RawValue,
    item: fn(&RawValue) -> Result<String, Invalid>,
) -> Result<Value, Invalid> {
    let items = each(items_of(value)?, item)?;
    match (1..=MAX_ITEMS).contains(&items.len()) {
        // Texts always serialize.
        true => Ok(serde_json::to_string(&items).unwrap_or_default().into()),
        false => {
            let rule = format!("must have 1 to {MAX_ITEMS} items; null allows all");
            Err(Invalid::new(rule))
        }
    }
}

fn model(value: &RawValue) -> Result<String, Invalid> {
    let pattern = text(value)?;
    match is_model_pattern(&pattern) {
        true => Ok(pattern.into_owned()),
        false => Err(Invalid::new(
            "must be a model or a pattern such as gemini-*",
        )),
    }
}

fn network(value: &RawValue) -> Result<String, Invalid> {
    let rule = "must be a network such as 10.0.0.0/8 or 2001:db8::/32, or an address";
    let network = Network::parse(text(value)?.trim()).ok_or_else(|| Invalid::new(rule))?;
    Ok(network.to_string())
}

fn limit(value: &RawValue) -> Result<Value, Invalid> {
    let rule = "must be a whole number of at least 1; null sets no limit";
    read::<u64>(value)
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .map(Value::from)
        .ok_or_else(|| Invalid::new(rule))
}

fn grace(value: &RawValue) -> Result<u32, Invalid> {
    read::<u32>(value)
        .filter(|seconds| *seconds <= MAX_GRACE_S)
        .ok_or_else(|| Invalid::new(format!("must be a whole number from 0 to {MAX_GRACE_S}")))
}
