//! Sample values for JSON schemas, of the standard's kind or of Google's.
//!
//! Constants, enumerations, types, required properties, references and choices are respected;
//! ranges, lengths and patterns are not.

use serde_json::{Map, Value, json};

/// The deepest level: schemas may refer to themselves.
const MAX_DEPTH: usize = 8;

/// A value for `schema`. Equal schemas get equal values.
pub(crate) fn sample(schema: &Value) -> Value {
    value(schema, schema, 0)
}

fn value(root: &Value, schema: &Value, depth: usize) -> Value {
    let schema = resolve(root, schema);
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(values) = schema["enum"].as_array() {
        let value = values.iter().find(|value| !value.is_null());
        return value.cloned().unwrap_or_default();
    }
    match kind(schema).as_str() {
        _ if depth > MAX_DEPTH => Value::Null,
        "object" => object(root, schema, depth),
        "array" => json!([value(root, &schema["items"], depth + 1)]),
        "integer" => json!(1),
        "number" => json!(1.5),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!("made up"),
    }
}

/// The schema with its references followed and its choices made.
fn resolve<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    // References may be circular.
    for _ in 0..MAX_DEPTH {
        let reference = schema["$ref"].as_str();
        let reference = reference.and_then(|text| text.strip_prefix('#'));
        let choices = ["allOf", "anyOf", "any_of", "oneOf"]
            .iter()
            .find_map(|name| schema[*name].as_array());
        let next = match (reference, choices) {
            (Some(pointer), _) => root.pointer(pointer),
            (None, Some(choices)) => choices.iter().find(|choice| kind(choice) != "null"),
            (None, None) => None,
        };
        match next {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

/// The required properties, or all if none is required.
fn object(root: &Value, schema: &Value, depth: usize) -> Value {
    let required: Vec<&str> = strings(&schema["required"]);
    let properties = schema["properties"].as_object();
    let properties = properties.into_iter().flatten();
    let object: Map<String, Value> = properties
        .filter(|(name, _)| required.is_empty() || required.contains(&name.as_str()))
        .map(|(name, property)| (name.clone(), value(root, property, depth + 1)))
        .collect();
    Value::Object(object)
}

fn strings(value: &Value) -> Vec<&str> {
    let values = value.as_array().into_iter().flatten();
    values.filter_map(Value::as_str).collect()
}

/// The type in lower case; Google's are in capitals. Of several it is the first but `null`.
fn kind(schema: &Value) -> String {
    let names = match &schema["type"] {
        Value::String(name) => vec![name.as_str()],
        several => strings(several),
    };
    let name = names.iter().find(|name| !name.eq_ignore_ascii_case("null"));
    match name.or(names.first()) {
        Some(name) => name.to_ascii_lowercase(),
        None if schema["properties"].is_object() => "object".to_owned(),
        None => "string".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_fits_its_schema() {
        let city = json!({"$defs": {"City": {"enum": ["Oslo"]}}, "properties": {
            "city": {"$ref": "#/$defs/City"},
        }});
        for (schema, expected) in [
            (json!({"type": "STRING"}), json!("made up")),
            (json!({"const": 7}), json!(7)),
            (json!({"type": ["null", "integer"]}), json!(1)),
            (
                json!({"anyOf": [{"type": "null"}, {"type": "boolean"}]}),
                json!(true),
            ),
            (
                json!({"type": "ARRAY", "items": {"type": "NUMBER"}}),
                json!([1.5]),
            ),
            (city, json!({"city": "Oslo"})),
            (json!({"$ref": "#"}), json!("made up")),
        ] {
            assert_eq!(sample(&schema), expected, "{schema}");
        }
        let endless = json!({"properties": {"next": {"$ref": "#"}}});
        assert!(sample(&endless).to_string().len() < 1000);
    }
}
