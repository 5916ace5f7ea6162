//! What Google demands of schemas, which come in two kinds.
//!
//! `parameters` and `responseSchema` are a subset of OpenAPI's, with rules of their own.
//! `parametersJsonSchema` and `responseJsonSchema` are JSON Schema. Of the many constructs tried in
//! October 2026, only unresolved references were refused.

use crate::errors::{self, ApiError};
use crate::json::either;
use serde_json::Value;

/// The longest path of keywords and names in a JSON schema. Google's limit is not published, and
/// users have met it in schemas of 5 levels, but have also passed 7.
const MAX_PATH: usize = 64;

/// The keywords allowed next to a `$ref`, apart from those that start with `$`.
const SIBLINGS: [&str; 3] = ["default", "definitions", "description"];

/// Keywords whose values are no schemas.
const VALUES: [&str; 4] = ["const", "default", "enum", "examples"];

/// Adds the rules that a schema of OpenAPI's kind breaks; `path` is its own.
pub(super) fn check_openapi(
    schema: &Value,
    path: &str,
    violations: &mut Vec<(String, &'static str)>,
) {
    let kind = schema["type"].as_str().unwrap_or_default();
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    let mut refuse = |field: &str, rule| violations.push((format!("{path}.{field}"), rule));
    for field in ["properties", "required"] {
        if !kind.is_empty() && !is("OBJECT") && !schema[field].is_null() {
            refuse(field, "only allowed for OBJECT type");
        }
    }
    if !is("STRING") && !schema["enum"].is_null() {
        refuse("enum", "only allowed for STRING type");
    }
    if is("ARRAY") && schema["items"].is_null() {
        refuse("items", "missing field.");
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for (index, name) in required.enumerate() {
        if schema["properties"][name.as_str().unwrap_or_default()].is_null() {
            refuse(&format!("required[{index}]"), "property is not defined");
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        check_openapi(property, &format!("{path}.properties[{name}]"), violations);
    }
    if schema["items"].is_object() {
        check_openapi(&schema["items"], &format!("{path}.items"), violations);
    }
    let choices = either(schema, "anyOf").as_array().into_iter().flatten();
    for (index, choice) in choices.enumerate() {
        check_openapi(choice, &format!("{path}.any_of[{index}]"), violations);
    }
}

/// Checks a schema of JSON Schema's kind. `too_deep` is the error for too many levels.
pub(super) fn check_json_schema(schema: &Value, too_deep: &ApiError) -> Result<(), ApiError> {
    check_node(schema, schema, &mut Vec::new(), too_deep)
}

fn check_node(
    root: &Value,
    node: &Value,
    path: &mut Vec<String>,
    too_deep: &ApiError,
) -> Result<(), ApiError> {
    if path.len() > MAX_PATH {
        return Err(too_deep.clone());
    }
    if let Some(reference) = node["$ref"].as_str() {
        check_reference(root, node, reference, path)?;
    }
    let children: Vec<(String, &Value)> = match node {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !VALUES.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value))
            .collect(),
        Value::Array(nodes) => (0..)
            .map(|index: usize| index.to_string())
            .zip(nodes)
            .collect(),
        _ => Vec::new(),
    };
    for (name, child) in children {
        path.push(name);
        check_node(root, child, path, too_deep)?;
        path.pop();
    }
    Ok(())
}

fn check_reference(
    root: &Value,
    node: &Value,
    reference: &str,
    path: &[String],
) -> Result<(), ApiError> {
    let fragment = reference.strip_prefix('#').map(|fragment| {
        percent_encoding::percent_decode_str(fragment)
            .decode_utf8_lossy()
            .into_owned()
    });
    let is_defined = fragment.is_some_and(|fragment| {
        // Anything but a pointer is an `$anchor`, which is not looked for.
        !(fragment.is_empty() || fragment.starts_with('/')) || root.pointer(&fragment).is_some()
    });
    if !is_defined {
        let place = match path {
            [] => "top-level".to_owned(),
            path => path.join("."),
        };
        return Err(errors::undefined_schema(&place));
    }
    let mut names = node.as_object().into_iter().flatten().map(|(name, _)| name);
    match names.any(|name| !name.starts_with('$') && !SIBLINGS.contains(&name.as_str())) {
        true => Err(errors::reference_with_siblings(reference)),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_lead_somewhere_and_stand_alone() {
        let too_deep = errors::function_too_deep();
        let city = json!({"City": {"type": "string"}, "a/b": {}});
        for (property, error) in [
            (
                json!({"$ref": "#/$defs/City", "description": "where"}),
                None,
            ),
            (json!({"$ref": "#/$defs/a~1b"}), None),
            (json!({"$ref": "#"}), None),
            (json!({"const": {"$ref": "#/nowhere"}}), None),
            (
                json!({"anyOf": [{}, {"$ref": "#/$defs/Town"}]}),
                Some(errors::undefined_schema("properties.p.anyOf.1")),
            ),
            (
                json!({"$ref": "https://example.com/city"}),
                Some(errors::undefined_schema("properties.p")),
            ),
            (
                json!({"$ref": "#/$defs/City", "type": "string"}),
                Some(errors::reference_with_siblings("#/$defs/City")),
            ),
        ] {
            let schema = json!({"$defs": city, "properties": {"p": property}});
            let result = check_json_schema(&schema, &too_deep);
            assert_eq!(result.err(), error, "{property}");
        }
        let deep = (0..40).fold(json!({}), |inner, _| json!({"properties": {"p": inner}}));
        assert_eq!(check_json_schema(&deep, &too_deep), Err(too_deep.clone()));
    }

    #[test]
    fn openapi_schemas_use_keywords_with_their_types() {
        let schema = json!({"type": "OBJECT", "required": ["a", "z"], "properties": {
            "a": {"type": "array"},
            "b": {"type": "integer", "enum": ["1"], "properties": {}},
            "c": {"any_of": [{"type": "STRING", "enum": ["x"]}, {"type": "ARRAY"}]},
        }});
        let mut violations = Vec::new();
        check_openapi(&schema, "p", &mut violations);
        let expected = [
            ("p.required[1]", "property is not defined"),
            ("p.properties[a].items", "missing field."),
            ("p.properties[b].properties", "only allowed for OBJECT type"),
            ("p.properties[b].enum", "only allowed for STRING type"),
            ("p.properties[c].any_of[1].items", "missing field."),
        ];
        let violations = violations.iter().map(|(path, rule)| (path.as_str(), *rule));
        assert!(
            violations.clone().eq(expected),
            "{:?}",
            violations.collect::<Vec<_>>()
        );
    }
}
