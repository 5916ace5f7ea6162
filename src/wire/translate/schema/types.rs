//! Types, enumerations and bounds, brought to the forms that Gemini accepts.

use super::merge::distribute;
use super::tree::{Fields, Tree, get, set, take};
use super::words;
use std::borrow::Cow;

const TYPES: [&str; 7] = [
    "string", "number", "integer", "boolean", "array", "object", "null",
];
/// The largest integer up to which a float has all integers.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// The types that a schema names, in the standard's spelling. Others are ignored.
pub(super) fn types_of(fields: &Fields<'_>) -> Vec<&'static str> {
    let named = match get(fields, "type") {
        Some(value) => match value.as_text() {
            Some(name) => vec![name],
            None => value.as_texts().unwrap_or_default(),
        },
        None => Vec::new(),
    };
    let mut types = Vec::new();
    for name in named {
        let name = name.to_ascii_lowercase();
        let known = TYPES.into_iter().find(|known| *known == name);
        types.extend(known.filter(|known| !types.contains(known)));
    }
    types
}

/// Writes `const`, `nullable` and types in the spelling of OpenAPI in the standard's words, and
/// names the type where it follows from other keywords.
pub(super) fn normalize(fields: &mut Fields<'_>) -> bool {
    let before = fields.len();
    let mut is_changed = false;
    if let Some(value) = take(fields, "const") {
        set(fields, "enum", Tree::Array(vec![value]));
        is_changed = true;
    }
    let is_nullable = take(fields, "nullable").is_some_and(|value| value.is("true"));
    let mut types = types_of(fields);
    if get(fields, "type").is_some() && types.is_empty() {
        if let Some(sentence) =
            take(fields, "type").and_then(|value| words::sentence("type", &value))
        {
            words::note(fields, &sentence);
        }
        is_changed = true;
    }
    if types.is_empty() && get(fields, "anyOf").is_none() {
        types = implied_types(fields);
    }
    if is_nullable {
        allow_null(fields, &mut types);
    }
    let written = match types.as_slice() {
        [] => None,
        [name] => Some(Tree::text(name)),
        names => Some(Tree::Array(
            names.iter().map(|name| Tree::text(name)).collect(),
        )),
    };
    if let Some(written) = written
        && get(fields, "type") != Some(&written)
    {
        match get(fields, "type") {
            Some(_) => set(fields, "type", written),
            None => fields.insert(0, (Cow::Borrowed("type"), written)),
        }
        is_changed = true;
    }
    is_changed || fields.len() != before
}

/// Adds null to what a schema accepts.
fn allow_null(fields: &mut Fields<'_>, types: &mut Vec<&'static str>) {
    if !types.is_empty() && !types.contains(&"null") {
        types.push("null");
    }
    for (keyword, value) in fields {
        let null = match &**keyword {
            "enum" => Tree::literal("null"),
            "anyOf" => null(),
            _ => continue,
        };
        if let Tree::Array(values) = value
            && !values.contains(&null)
        {
            values.push(null);
        }
    }
}

/// The schema of null.
pub(super) fn null<'a>() -> Tree<'a> {
    Tree::Object(vec![(Cow::Borrowed("type"), Tree::literal("\"null\""))])
}

/// The types that a schema without any can only mean.
fn implied_types(fields: &Fields<'_>) -> Vec<&'static str> {
    let mut types: Vec<&str> = Vec::new();
    if let Some(Tree::Array(values)) = get(fields, "enum") {
        for value in values {
            let name = type_of(value);
            if !types.contains(&name) {
                types.push(name);
            }
        }
        if types.contains(&"number") {
            types.retain(|name| *name != "integer");
        }
    } else if [
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
    ]
    .iter()
    .any(|keyword| get(fields, keyword).is_some())
    {
        types.push("object");
    } else if ["items", "prefixItems"]
        .iter()
        .any(|keyword| get(fields, keyword).is_some())
    {
        types.push("array");
    }
    types
}

fn type_of(value: &Tree<'_>) -> &'static str {
    match value {
        Tree::Array(_) => "array",
        Tree::Object(_) => "object",
        Tree::Scalar(json) => match json.as_bytes().first() {
            Some(b'"') => "string",
            Some(b't' | b'f') => "boolean",
            Some(b'n') => "null",
            _ if json.contains(['.', 'e', 'E']) => "number",
            _ => "integer",
        },
    }
}

fn is_of_type(value: &Tree<'_>, name: &str) -> bool {
    match name {
        "number" => value.as_number().is_some(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        name => type_of(value) == name,
    }
}

/// Makes a schema of several types one branch for each, unless it is a scalar or null.
pub(super) fn split(fields: &mut Fields<'_>) -> bool {
    let types = types_of(fields);
    let has_enum = get(fields, "enum").is_some();
    let is_scalar = |name: &str| !matches!(name, "array" | "object");
    if types.len() < 2 || get(fields, "anyOf").is_some() {
        return false;
    }
    if !has_enum
        && types.len() == 2
        && types.contains(&"null")
        && types.iter().all(|name| is_scalar(name))
    {
        return false;
    }
    let (specific, mut common): (Fields<'_>, Fields<'_>) = std::mem::take(fields)
        .into_iter()
        .partition(|(keyword, _)| keyword == "enum" || type_with(keyword).is_some());
    take(&mut common, "type");
    let mut branches = Vec::new();
    for name in types {
        let mut branch: Fields<'_> = vec![(Cow::Borrowed("type"), Tree::text(name))];
        for (keyword, value) in &specific {
            match (type_with(keyword), value) {
                (None, Tree::Array(values)) => {
                    let mut values = values.clone();
                    values.retain(|value| is_of_type(value, name));
                    branch.push((Cow::Borrowed("enum"), Tree::Array(values)));
                }
                (Some(types), _) if types.contains(&name) => {
                    branch.push((keyword.clone(), value.clone()));
                }
                (Some(_) | None, _) => {}
            }
        }
        let is_possible =
            !matches!(get(&branch, "enum"), Some(Tree::Array(values)) if values.is_empty());
        if is_possible {
            branches.push(branch);
        }
    }
    *fields = common;
    if branches.len() > 1 {
        let branches = branches.into_iter().map(Tree::Object).collect();
        distribute(fields, &Vec::new(), branches);
    } else {
        fields.extend(branches.into_iter().flatten());
    }
    true
}

/// The types that a keyword constrains; `None` if it concerns all.
fn type_with(keyword: &str) -> Option<&'static [&'static str]> {
    Some(match keyword {
        "properties"
        | "required"
        | "additionalProperties"
        | "patternProperties"
        | "propertyNames"
        | "propertyOrdering"
        | "minProperties"
        | "maxProperties"
        | "dependentRequired"
        | "dependentSchemas"
        | "dependencies"
        | "unevaluatedProperties" => &["object"],
        "items" | "prefixItems" | "additionalItems" | "minItems" | "maxItems" | "uniqueItems"
        | "contains" | "minContains" | "maxContains" | "unevaluatedItems" => &["array"],
        "minLength" | "maxLength" | "pattern" | "contentEncoding" | "contentMediaType"
        | "contentSchema" => &["string"],
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
            &["number", "integer"]
        }
        "format" => &["string", "number", "integer"],
        _ => return None,
    })
}

/// Whether a keyword constrains values, rather than describe them.
pub(super) fn is_constraint(keyword: &str) -> bool {
    matches!(keyword, "type" | "enum" | "nullable") || type_with(keyword).is_some()
}

/// Keeps an enumeration of strings or numbers, and says any other in words.
pub(super) fn limit_enum(fields: &mut Fields<'_>) -> bool {
    let Some(Tree::Array(values)) = get(fields, "enum") else {
        return take(fields, "enum").is_some();
    };
    let Some(name) = types_of(fields).first().copied() else {
        return false;
    };
    let valid: Vec<Tree<'_>> = values
        .iter()
        .filter(|value| is_of_type(value, name))
        .cloned()
        .collect();
    let is_complete = valid.len() == values.len();
    let is_enumerable = match name {
        "string" => !valid.iter().any(|value| value.is("\"\"")),
        "number" | "integer" => true,
        _ => false,
    };
    if is_enumerable && !valid.is_empty() {
        if !is_complete {
            set(fields, "enum", Tree::Array(valid));
        }
        return !is_complete;
    }
    let is_obvious = match name {
        "null" => true,
        "boolean" => {
            valid.iter().any(|value| value.is("true"))
                && valid.iter().any(|value| value.is("false"))
        }
        _ => false,
    };
    let sentence = take(fields, "enum").and_then(|values| words::sentence("enum", &values));
    if let Some(sentence) = sentence.filter(|_| !is_obvious) {
        words::note(fields, &sentence);
    }
    true
}

/// Expresses exclusive bounds by inclusive ones, exactly for integers.
pub(super) fn close_bounds(fields: &mut Fields<'_>) -> bool {
    let is_integer = types_of(fields) == ["integer"];
    let mut is_changed = false;
    for bound in [Bound::Lower, Bound::Upper] {
        let Some(exclusive) = take(fields, bound.exclusive()) else {
            continue;
        };
        is_changed = true;
        let inclusive = get(fields, bound.inclusive()).filter(|value| value.as_f64().is_some());
        // In the standard's fourth draft, `exclusiveMinimum` is a flag beside `minimum`.
        let limit = match inclusive {
            Some(limit) if exclusive.is("true") => limit.clone(),
            Some(_) | None => exclusive,
        };
        let Some(value) = limit.as_f64() else {
            continue;
        };
        let is_covered = inclusive.is_some_and(|inclusive| {
            *inclusive != limit
                && inclusive
                    .as_f64()
                    .is_some_and(|known| bound.is_within(known, value))
        });
        if is_covered {
            continue;
        }
        if is_integer && value.abs() < MAX_SAFE_INTEGER {
            let next = Tree::Scalar(Cow::Owned(bound.next(value).to_string()));
            set(fields, bound.inclusive(), next);
        } else {
            let sentence = format!("{} than {}.", bound.comparative(), limit.to_json());
            set(fields, bound.inclusive(), limit);
            words::note(fields, &sentence);
        }
    }
    is_changed
}

#[derive(Clone, Copy)]
enum Bound {
    Lower,
    Upper,
}

impl Bound {
    fn exclusive(self) -> &'static str {
        match self {
            Self::Lower => "exclusiveMinimum",
            Self::Upper => "exclusiveMaximum",
        }
    }

    fn inclusive(self) -> &'static str {
        match self {
            Self::Lower => "minimum",
            Self::Upper => "maximum",
        }
    }

    fn comparative(self) -> &'static str {
        match self {
            Self::Lower => "Greater",
            Self::Upper => "Less",
        }
    }

    /// Whether a bound excludes the limit and all that is beyond it.
    fn is_within(self, bound: f64, limit: f64) -> bool {
        match self {
            Self::Lower => bound > limit,
            Self::Upper => bound < limit,
        }
    }

    /// The first integer that is within the limit.
    fn next(self, limit: f64) -> i64 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the caller checks the range"
        )]
        match self {
            Self::Lower => limit.floor() as i64 + 1,
            Self::Upper => limit.ceil() as i64 - 1,
        }
    }
}

/// Turns the tuples of older drafts into `prefixItems`, and gives every array `items`.
pub(super) fn name_items(fields: &mut Fields<'_>) -> bool {
    if types_of(fields) != ["array"] {
        return false;
    }
    let mut is_changed = false;
    let additional = take(fields, "additionalItems");
    is_changed |= additional.is_some();
    if let Some(Tree::Array(_)) = get(fields, "items") {
        if let Some(tuple) = take(fields, "items") {
            set(fields, "prefixItems", tuple);
        }
        if let Some(additional) = additional {
            set(fields, "items", additional);
        }
        is_changed = true;
    }
    let length = match get(fields, "prefixItems") {
        Some(Tree::Array(tuple)) => tuple.len(),
        Some(Tree::Object(_) | Tree::Scalar(_)) | None => 0,
    };
    if get(fields, "items").is_some_and(|items| items.is("false")) {
        take(fields, "items");
        let is_bounded = get(fields, "maxItems")
            .and_then(Tree::as_number)
            .and_then(|max| max.parse::<usize>().ok())
            .is_some_and(|max| max <= length);
        if !is_bounded {
            set(
                fields,
                "maxItems",
                Tree::Scalar(Cow::Owned(length.to_string())),
            );
        }
        is_changed = true;
    }
    if length == 0 && get(fields, "items").is_none() {
        set(fields, "items", Tree::Object(Vec::new()));
        is_changed = true;
    }
    is_changed
}

/// Whether Gemini knows a format of a type. Older models know `date-time` alone of a string's, the
/// guide names these: <https://ai.google.dev/gemini-api/docs/structured-output>.
pub(super) fn is_known_format(format: &str, types: &[&str]) -> bool {
    let known: &[&str] = match types.iter().find(|name| **name != "null") {
        Some(&"string") => &["date-time", "date", "time"],
        Some(&"number") => &["float", "double"],
        Some(&"integer") => &["int32", "int64"],
        Some(_) | None => &[],
    };
    known.contains(&format)
}
