//! Values that fit a JSON schema, of the standard's kind or of Google's.
//!
//! Constants, enumerations, types, required properties, references within the schema, choices, lengths and ranges are
//! kept to; patterns and `uniqueItems` are not. A schema that nothing could fit gets something all the same.

use serde_json::{Map, Value, json};
use std::cell::Cell;

/// From here on, what may be missing is: schemas may refer to themselves.
const DEEP: usize = 4;
/// And here is the end.
const DEEPEST: usize = 32;
/// No value has more parts, however they are nested.
const MAX_PARTS: usize = 2000;
/// No text or list is longer.
const MAX_LENGTH: usize = 1000;

/// A value that fits. Equal schemas get equal values.
pub(crate) fn example(schema: &Value) -> Value {
    let maker = Maker {
        root: schema,
        parts_left: Cell::new(MAX_PARTS),
    };
    maker.value(schema, 0)
}

struct Maker<'a> {
    root: &'a Value,
    parts_left: Cell<usize>,
}

impl Maker<'_> {
    fn value(&self, schema: &Value, depth: usize) -> Value {
        let left = self.parts_left.get();
        if left == 0 || depth > DEEPEST {
            return Value::Null;
        }
        self.parts_left.set(left - 1);
        let schema = self.settled(schema, depth);
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            let value = values.iter().find(|value| !value.is_null());
            return value.cloned().unwrap_or_default();
        }
        match kind(&schema).as_str() {
            "object" => self.object(&schema, depth),
            "array" => self.array(&schema, depth),
            "integer" => number(&schema, true),
            "number" => number(&schema, false),
            "boolean" => Value::Bool(true),
            "null" => Value::Null,
            _ => Value::String(text(&schema)),
        }
    }

    /// The schema with its reference followed and its choices made.
    fn settled(&self, schema: &Value, depth: usize) -> Map<String, Value> {
        let mut settled = schema.as_object().cloned().unwrap_or_default();
        // Each round takes one of them out; references may go in circles.
        for _ in 0..DEEPEST {
            if let Some(reference) = settled.remove("$ref") {
                let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
                merge(&mut settled, pointer.and_then(|it| self.root.pointer(it)));
            } else if let Some(all) = settled.remove("allOf") {
                for part in all.as_array().into_iter().flatten() {
                    merge(&mut settled, Some(part));
                }
            } else if let Some(choices) = settled
                .remove("anyOf")
                .or_else(|| settled.remove("oneOf"))
                .or_else(|| settled.remove("any_of"))
            {
                let choices = choices.as_array().map_or(&[][..], Vec::as_slice);
                let is_null = |choice: &&Value| {
                    choice.as_object().map(kind).as_deref() == Some("null")
                        || choice.get("const").is_some_and(Value::is_null)
                };
                let null = choices.iter().find(is_null).filter(|_| depth > DEEP);
                let choice = null.or_else(|| choices.iter().find(|it| !is_null(it)));
                merge(&mut settled, choice.or(choices.first()));
            } else {
                break;
            }
        }
        settled
    }

    fn object(&self, schema: &Map<String, Value>, depth: usize) -> Value {
        let required: Vec<&str> = strings(schema.get("required"));
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut object = Map::new();
        for (name, property) in properties.into_iter().flatten() {
            // Where nothing is required, a model gives what there is.
            if required.contains(&name.as_str()) || (required.is_empty() && depth < DEEP) {
                object.insert(name.clone(), self.value(property, depth + 1));
            }
        }
        let other = schema.get("additionalProperties").unwrap_or(&Value::Null);
        for name in required {
            if !object.contains_key(name) {
                object.insert(name.to_owned(), self.value(other, depth + 1));
            }
        }
        Value::Object(object)
    }

    fn array(&self, schema: &Map<String, Value>, depth: usize) -> Value {
        let first = either(schema, "prefixItems", "prefix_items").and_then(Value::as_array);
        let first = first.map_or(&[][..], Vec::as_slice);
        let usual = match schema.get("items") {
            Some(Value::Bool(false)) => 0,
            _ if !first.is_empty() || depth > DEEP => 0,
            _ => 1,
        };
        let least = length(either(schema, "minItems", "min_items"));
        let most = length(either(schema, "maxItems", "max_items")).unwrap_or(MAX_LENGTH);
        let count = usual.min(most).max(least.unwrap_or(0));
        let items = schema.get("items").unwrap_or(&Value::Null);
        let mut array: Vec<Value> = first
            .iter()
            .map(|item| self.value(item, depth + 1))
            .collect();
        while array.len() < count {
            array.push(self.value(items, depth + 1));
        }
        Value::Array(array)
    }
}

/// Adds what another schema says; properties and requirements are those of both.
fn merge(schema: &mut Map<String, Value>, other: Option<&Value>) {
    for (name, value) in other.and_then(Value::as_object).into_iter().flatten() {
        match (schema.get_mut(name), value) {
            (Some(Value::Object(so_far)), Value::Object(more)) => {
                let more = more.iter();
                so_far.extend(more.map(|(name, value)| (name.clone(), value.clone())));
            }
            (Some(Value::Array(so_far)), Value::Array(more)) if name == "required" => {
                so_far.extend(more.iter().cloned());
            }
            (Some(_), _) => {}
            (None, _) => {
                schema.insert(name.clone(), value.clone());
            }
        }
    }
}

/// In Google's schemas, names are of either spelling.
fn either<'a>(schema: &'a Map<String, Value>, name: &str, other: &str) -> Option<&'a Value> {
    schema.get(name).or_else(|| schema.get(other))
}

fn strings(value: Option<&Value>) -> Vec<&str> {
    let values = value.and_then(Value::as_array);
    let values = values.into_iter().flatten();
    values.filter_map(Value::as_str).collect()
}

/// The type in lower case; Google's are in capitals. Of several it is the first that is not `null`.
fn kind(schema: &Map<String, Value>) -> String {
    let named = match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        several => strings(several),
    };
    let name = named.iter().find(|name| !name.eq_ignore_ascii_case("null"));
    match name.or(named.first()) {
        Some(name) => name.to_ascii_lowercase(),
        None if schema.contains_key("properties") => "object".to_owned(),
        None if schema.contains_key("items") || schema.contains_key("prefixItems") => {
            "array".to_owned()
        }
        None if schema.contains_key("minimum") || schema.contains_key("maximum") => {
            "number".to_owned()
        }
        None => "string".to_owned(),
    }
}

/// A number; protobuf's JSON has long ones as text.
fn numeric(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    }
    .filter(|number: &f64| number.is_finite())
}

fn length(value: Option<&Value>) -> Option<usize> {
    // A length that is negative is 0.
    numeric(value).map(|number| (number as usize).min(MAX_LENGTH))
}

fn number(schema: &Map<String, Value>, whole: bool) -> Value {
    let of = |name: &str| numeric(schema.get(name));
    let (above, below) = (of("exclusiveMinimum"), of("exclusiveMaximum"));
    let (mut least, mut most) = (of("minimum"), of("maximum"));
    if whole {
        let least_whole = least.map(f64::ceil);
        least = above.map_or(least_whole, |it| Some(it.floor() + 1.0));
        let most_whole = most.map(f64::floor);
        most = below.map_or(most_whole, |it| Some(it.ceil() - 1.0));
    }
    let mut number = if whole { 1.0 } else { 1.5 };
    number = f64::min(number, most.unwrap_or(number));
    number = f64::max(number, least.unwrap_or(number));
    if !whole {
        number = match (above, below) {
            (Some(above), Some(below)) if number <= above || number >= below => {
                f64::midpoint(above, below)
            }
            (Some(above), None) if number <= above => above + 1.0,
            (None, Some(below)) if number >= below => below - 1.0,
            _ => number,
        };
    }
    if let Some(step) = of("multipleOf").filter(|step| *step > 0.0) {
        number = (number / step).ceil() * step;
    }
    if whole {
        // What is too large for it becomes the largest there is.
        json!(number as i64)
    } else {
        json!(number)
    }
}

fn text(schema: &Map<String, Value>) -> String {
    let text = match schema.get("format").and_then(Value::as_str) {
        Some("date") => "2026-10-04",
        Some("date-time") => "2026-10-04T12:00:00Z",
        Some("time") => "12:00:00Z",
        Some("duration") => "PT1H",
        Some("email") => "ada@example.com",
        Some("hostname") => "example.com",
        Some("uri" | "url" | "uri-reference") => "https://example.com/",
        Some("uuid") => "5f2b1d3c-8a4e-4c6f-9b0a-1e2d3c4b5a69",
        Some("ipv4") => "192.0.2.1",
        Some("ipv6") => "2001:db8::1",
        Some(_) | None => "made up",
    };
    let mut text = text.to_owned();
    let least = length(either(schema, "minLength", "min_length")).unwrap_or(0);
    while text.len() < least {
        text.push('.');
    }
    let most = length(either(schema, "maxLength", "max_length")).unwrap_or(MAX_LENGTH);
    text.truncate(most);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_fits_its_schema() {
        for (schema, value) in [
            (json!({"type": "string"}), json!("made up")),
            (json!({"type": "STRING", "enum": ["a", "b"]}), json!("a")),
            (json!({"const": 7}), json!(7)),
            (json!({"enum": [null, 3]}), json!(3)),
            (json!({"type": ["null", "integer"]}), json!(1)),
            (
                json!({"type": "integer", "minimum": 3.5, "multipleOf": 5}),
                json!(5),
            ),
            (json!({"type": "integer", "exclusiveMaximum": 0}), json!(-1)),
            (
                json!({"type": "number", "exclusiveMinimum": 2, "exclusiveMaximum": 3}),
                json!(2.5),
            ),
            (json!({"type": "number", "maximum": 1}), json!(1.0)),
            (json!({"type": "boolean"}), json!(true)),
            (
                json!({"type": "string", "minLength": 9, "maxLength": 9}),
                json!("made up.."),
            ),
            (json!({"type": "string", "maxLength": "4"}), json!("made")),
            (
                json!({"type": "string", "format": "date"}),
                json!("2026-10-04"),
            ),
            (
                json!({"type": "array", "items": {"type": "integer"}}),
                json!([1]),
            ),
            (
                json!({"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "2"}),
                json!([1, 1]),
            ),
            (
                json!({"prefixItems": [{"type": "integer"}, {"type": "string"}]}),
                json!([1, "made up"]),
            ),
            (json!({"type": "array", "maxItems": 0}), json!([])),
            (
                json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a", "c"]}),
                json!({"a": 1, "c": "made up"}),
            ),
            (
                json!({"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}}),
                json!({"a": 1}),
            ),
            (json!({"type": "object"}), json!({})),
            (
                json!({"anyOf": [{"type": "null"}, {"type": "integer"}]}),
                json!(1),
            ),
            (
                json!({"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {"const": 2}}, "required": ["b"]}]}),
                json!({"a": 1, "b": 2}),
            ),
            (
                json!({"$defs": {"City": {"enum": ["Oslo"]}}, "properties": {"city": {"$ref": "#/$defs/City"}}}),
                json!({"city": "Oslo"}),
            ),
            (json!({}), json!("made up")),
            (json!(true), json!("made up")),
        ] {
            assert_eq!(example(&schema), value, "{schema}");
        }
    }

    #[test]
    fn schemas_that_refer_to_themselves_end() {
        let list = json!({
            "$defs": {"Node": {"type": "object", "required": ["next"], "properties": {
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            }}},
            "$ref": "#/$defs/Node",
        });
        let mut value = example(&list);
        for _ in 0..DEEP {
            value = value["next"].take();
        }
        assert_eq!(value, json!({"next": null}));
        let endless = json!({"type": "object", "required": ["a", "b"], "properties": {
            "a": {"$ref": "#"}, "b": {"$ref": "#"},
        }});
        assert!(example(&endless).to_string().len() < 100_000);
        assert_eq!(example(&json!({"$ref": "#"})), json!("made up"));
        let long = json!({"type": "array", "minItems": 1e300, "items": {"minLength": 1e300}});
        assert_eq!(example(&long).as_array().unwrap().len(), MAX_LENGTH);
    }

    proptest! {
        #[test]
        fn any_schema_gets_a_value(
            name in "type|enum|const|items|minItems|maxItems|multipleOf|minimum|required|properties|anyOf|allOf|\\$ref|format|maxLength",
            other in "type|items|minItems|exclusiveMinimum|exclusiveMaximum|maximum|properties|oneOf",
            a in values(),
            b in values(),
        ) {
            let mut schema = Map::new();
            schema.insert(name, a);
            schema.insert(other, b);
            example(&Value::Object(schema));
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<f64>().prop_map(|number| json!(number)),
            "object|array|integer|number|string|#|#/items|x".prop_map(Value::String),
            "object|array|integer".prop_map(|kind| json!({"type": kind, "items": {"$ref": "#"}})),
            "object|array|null".prop_map(|kind| json!([{"type": kind}, {"$ref": "#"}])),
        ]
    }
}
