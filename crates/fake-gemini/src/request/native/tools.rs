//! What Google demands of tools.

use super::schema::{check_json_schema, check_openapi};
use crate::errors::{self, ApiError};
use crate::json::either;
use crate::models::is_gemini_3;
use crate::request::body::Body;
use serde_json::Value;
use std::collections::HashSet;

/// The tools that Google runs itself.
const BUILT_IN: [&str; 6] = [
    "googleSearch",
    "googleSearchRetrieval",
    "googleMaps",
    "urlContext",
    "codeExecution",
    "fileSearch",
];

const INVALID_NAME: &str = "Invalid function name. Must start with a letter or an underscore. \
     Must be alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), \
     with a maximum length of 64.";

/// Its words are not published, only the rule.
const TWO_SCHEMAS: &str = "must not be set together with parameters.";

/// A function that a request declares.
struct Declared<'a> {
    path: String,
    json: &'a Value,
}

/// Whether a request declares functions.
pub(super) fn has_functions(body: &Body) -> bool {
    !declared(body).is_empty()
}

/// Refuses tools that `model` would not use.
pub(super) fn check(body: &Body, model: &str) -> Result<(), ApiError> {
    let declared = declared(body);
    let mut violations = Vec::new();
    for function in &declared {
        check_declaration(function, &mut violations);
    }
    if !violations.is_empty() {
        return Err(errors::invalid_request(&violations));
    }
    let mut names = HashSet::new();
    for function in &declared {
        let name = function.json["name"].as_str().unwrap_or_default();
        if !names.insert(name) {
            return Err(errors::duplicate_function(name));
        }
        let schema = either(function.json, "parametersJsonSchema");
        check_json_schema(schema, &errors::function_too_deep())?;
    }
    check_combination(body, model, !declared.is_empty())
}

fn tools(body: &Body) -> &[Value] {
    body.either("tools").as_array().map_or(&[], Vec::as_slice)
}

fn declared(body: &Body) -> Vec<Declared<'_>> {
    let tools = tools(body).iter().enumerate();
    let declared = tools.flat_map(|(tool, json)| {
        let functions = either(json, "functionDeclarations").as_array();
        let functions = functions.into_iter().flatten().enumerate();
        functions.map(move |(index, json)| Declared {
            path: format!("tools[{tool}].function_declarations[{index}]"),
            json,
        })
    });
    declared.collect()
}

fn check_declaration(function: &Declared<'_>, violations: &mut Vec<(String, &'static str)>) {
    let Declared { path, json } = function;
    if !is_name(json["name"].as_str().unwrap_or_default()) {
        violations.push((format!("{path}.name"), INVALID_NAME));
    }
    check_openapi(
        &json["parameters"],
        &format!("{path}.parameters"),
        violations,
    );
    if !json["parameters"].is_null() && !either(json, "parametersJsonSchema").is_null() {
        violations.push((format!("{path}.parameters_json_schema"), TWO_SCHEMAS));
    }
}

fn is_name(name: &str) -> bool {
    let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    name.len() <= 64 && name.bytes().next().is_some_and(is_start) && name.bytes().all(is_inner)
}

/// Functions and Google's own tools go together since Gemini 3 only
/// (<https://ai.google.dev/gemini-api/docs/tool-combination>).
fn check_combination(body: &Body, model: &str, has_functions: bool) -> Result<(), ApiError> {
    let config = body.either("toolConfig");
    if !has_functions {
        return match either(config, "functionCallingConfig") {
            Value::Null => Ok(()),
            _ => Err(errors::calling_without_functions()),
        };
    }
    let is_built_in = |tool: &Value| BUILT_IN.iter().any(|name| !either(tool, name).is_null());
    if !tools(body).iter().any(is_built_in) {
        return Ok(());
    }
    match either(config, "includeServerSideToolInvocations").as_bool() {
        _ if !is_gemini_3(model) => Err(errors::functions_with_tools()),
        Some(true) => Ok(()),
        Some(false) | None => Err(errors::server_side_tools_not_included()),
    }
}
