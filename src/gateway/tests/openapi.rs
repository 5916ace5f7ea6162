//! The description of the admin API in OpenAPI, against which the tests of the API check each
//! response.

use super::super::route::Route;
use super::*;
use crate::admin::endpoint::{Endpoint, KeyAction, TokenAction};
use crate::pool::KeyId;
use crate::wire::Surface;
use serde_json::Value;
use std::collections::BTreeSet;

const PREFIX: &str = "/admin/api/v1";
/// A request, which is in no log.
const REQUEST: &str = "requests/req_00000000000000000000000000000007";

fn description() -> Value {
    json(include_str!("../../admin/openapi.json"))
}

fn route(path: &str) -> Option<Route> {
    Route::find(&Method::GET, path, Surface::OpenAi)
}

/// The path in the description; `None` if it is not one of the admin API.
fn described_path(route: &Route) -> Option<String> {
    match route {
        Route::Session => Some("/session".to_owned()),
        Route::Admin(endpoint) => Some(template(*endpoint)),
        Route::Upstream(_)
        | Route::Operator(_)
        | Route::Dashboard(_)
        | Route::Alive
        | Route::Ready
        | Route::Metrics => None,
    }
}

/// The path with parameters instead of ids. Every endpoint has an arm.
fn template(endpoint: Endpoint) -> String {
    let path = match endpoint {
        Endpoint::Keys => "/keys",
        Endpoint::Key(_) => "/keys/{id}",
        Endpoint::KeyAction(_, KeyAction::Disable) => "/keys/{id}/disable",
        Endpoint::KeyAction(_, KeyAction::Enable) => "/keys/{id}/enable",
        Endpoint::KeyAction(_, KeyAction::Pause) => "/keys/{id}/pause",
        Endpoint::KeyAction(_, KeyAction::Reset) => "/keys/{id}/reset",
        Endpoint::KeyAction(_, KeyAction::Drill) => "/keys/{id}/drill",
        Endpoint::KeyLimits(_) => "/keys/{id}/limits",
        Endpoint::KeyHistory(_) => "/keys/{id}/history",
        Endpoint::TestKey(_) => "/keys/{id}/test",
        Endpoint::TestKeys => "/keys/test",
        Endpoint::KeyActivity => "/keys/activity",
        Endpoint::Pool => "/pool",
        Endpoint::Tokens => "/tokens",
        Endpoint::Token(_) => "/tokens/{id}",
        Endpoint::TokenAction(_, TokenAction::Disable) => "/tokens/{id}/disable",
        Endpoint::TokenAction(_, TokenAction::Enable) => "/tokens/{id}/enable",
        Endpoint::TokenAction(_, TokenAction::Rotate) => "/tokens/{id}/rotate",
        Endpoint::Calls => "/calls",
        Endpoint::CallsExport => "/calls/export",
        Endpoint::Statistics => "/statistics",
        Endpoint::Request(_) => "/requests/{id}",
        Endpoint::Audit => "/audit",
        Endpoint::Encryption => "/encryption",
        Endpoint::OpenApi => "/openapi.json",
        Endpoint::Forecast => "/forecast",
        Endpoint::Settings => "/settings",
    };
    path.to_owned()
}

/// The value that a reference leads to.
fn resolved<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(to) => description.pointer(&to[1..]).unwrap(),
        None => value,
    }
}

/// Checks a value against a schema, as far as the description uses JSON Schema.
#[track_caller]
fn check(description: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolved(description, schema);
    let names: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        names => names
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect(),
    };
    let has_type = |name: &&str| match *name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is not checked"),
    };
    assert!(
        names.is_empty() || names.iter().any(has_type),
        "{at}: {value} is not {names:?}"
    );
    if let Some(values) = schema["enum"].as_array() {
        assert!(values.contains(value), "{at}: {value} is not in {values:?}");
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(
            description,
            &schema["items"],
            item,
            &format!("{at}[{index}]"),
        );
    }
    let properties = schema["properties"].as_object();
    if let (Some(properties), Some(members)) = (properties, value.as_object()) {
        for (name, member) in members {
            let property = properties.get(name);
            let property = property.unwrap_or_else(|| panic!("{at} has an unknown {name}"));
            check(description, property, member, &format!("{at}.{name}"));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            assert!(members.contains_key(name), "{at} has no {name}");
        }
    }
}

/// Checks a response against the description.
#[track_caller]
pub(super) fn assert_described(method: &str, path: &str, answer: &Answer) {
    let description = description();
    let path = path.split('?').next().unwrap();
    let Some(described) = route(path).as_ref().and_then(described_path) else {
        return;
    };
    let operation = &description["paths"][described][method.to_ascii_lowercase()];
    let status = answer.status.to_string();
    let range = format!("{}XX", answer.status / 100);
    let responses = operation["responses"].as_object();
    let response = responses.and_then(|all| all.get(&status).or(all.get(&range)));
    let response = response.unwrap_or_else(|| panic!("{method} {path}: {status} is not described"));
    let content = resolved(&description, response)["content"].as_object();
    let Some(content) = content else {
        assert_eq!(answer.body, "", "{method} {path}");
        return;
    };
    let kind = answer.header("content-type").unwrap();
    let body = content.get(kind);
    let body = body.unwrap_or_else(|| panic!("{method} {path}: {kind} is not described"));
    let value = match kind.ends_with("json") {
        true => answer.json(),
        false => answer.body.as_str().into(),
    };
    check(&description, &body["schema"], &value, path);
}

#[test]
fn each_call_is_described_and_each_described_call_exists() {
    let description = description();
    let mut described = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let route = route(&format!(
            "{PREFIX}{}",
            path.replace("requests/{id}", REQUEST).replace("{id}", "1")
        ));
        let route = route.unwrap_or_else(|| panic!("{path} does not exist"));
        assert_eq!(described_path(&route).as_ref(), Some(path));
        let methods = item
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "parameters");
        let methods: BTreeSet<String> = methods.map(|name| name.to_ascii_uppercase()).collect();
        let allowed = route.allow_header().split(", ");
        let allowed: BTreeSet<String> = allowed
            .filter(|method| *method != "OPTIONS")
            .map(str::to_owned)
            .collect();
        assert_eq!(methods, allowed, "{path}");
        described.extend(methods.iter().map(|method| format!("{method} {path}")));
    }
    let calls: BTreeSet<String> = table::<4>(super::admin::CALLS)
        .iter()
        .filter_map(|[method, path, ..]| {
            let path = path.split('?').next()?;
            Some(format!("{method} {}", described_path(&route(path)?)?))
        })
        .collect();
    assert_eq!(calls, described, "calls with a test of their permission");
    assert_eq!(
        Endpoint::of(&format!("{PREFIX}/keys/1")),
        Some(Endpoint::Key(KeyId(1)))
    );
}

#[test]
fn the_description_refers_to_nothing_that_is_missing() {
    let description = description();
    let mut references = BTreeSet::new();
    let mut values = vec![&description];
    while let Some(value) = values.pop() {
        values.extend(value.as_array().into_iter().flatten());
        values.extend(
            value
                .as_object()
                .into_iter()
                .flat_map(|members| members.values()),
        );
        references.extend(value["$ref"].as_str());
    }
    for reference in &references {
        assert!(
            description.pointer(&reference[1..]).is_some(),
            "{reference}"
        );
    }
    for (kind, parts) in description["components"].as_object().unwrap() {
        for name in parts.as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            let is_used = kind == "securitySchemes" || references.contains(&*reference);
            assert!(is_used, "{reference} is not used");
        }
    }
}
