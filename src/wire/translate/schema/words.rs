//! What Gemini does not enforce, in words for the model.

use super::tree::{Fields, Tree, get, quoted, set};

/// The maximum length of a quoted value or schema in a sentence, in characters.
const MAX_QUOTED: usize = 400;

/// Nothing is appended to a longer description, in bytes: a model would not heed it, and copying it
/// for each sentence would take long.
const MAX_DESCRIPTION: usize = 10_000;

/// Appends a sentence to a schema's description, unless it is there already.
pub(super) fn note(fields: &mut Fields<'_>, sentence: &str) {
    let known = get(fields, "description").and_then(Tree::as_text);
    let description = match known.as_deref().map(str::trim_end) {
        None | Some("") => sentence.to_owned(),
        Some(known) if known.len() > MAX_DESCRIPTION || known.contains(sentence) => return,
        Some(known) if known.ends_with(['.', '!', '?', ':', ';', '\n']) => {
            format!("{known} {sentence}")
        }
        Some(known) => format!("{known}. {sentence}"),
    };
    set(fields, "description", Tree::text(&description));
}

/// Says in a sentence what a keyword demands. `None` if the model need not know, or the keyword is
/// none of JSON Schema's.
pub(super) fn sentence(keyword: &str, value: &Tree<'_>) -> Option<String> {
    let json = shortened(value);
    Some(match keyword {
        "minLength" => format!("Minimum length: {json}."),
        "maxLength" => format!("Maximum length: {json}."),
        "pattern" => format!(
            "Matches the regular expression {}.",
            code(&value.as_text()?)
        ),
        "multipleOf" => format!("A multiple of {json}."),
        "uniqueItems" if value.is("true") => "No two items are equal.".to_owned(),
        "contains" => format!("At least one item matches this schema: {json}"),
        "minContains" => format!("Minimum number of such items: {json}."),
        "maxContains" => format!("Maximum number of such items: {json}."),
        "minProperties" => format!("Minimum number of properties: {json}."),
        "maxProperties" => format!("Maximum number of properties: {json}."),
        "propertyNames" => format!("Names of properties match this schema: {json}"),
        "patternProperties" => {
            format!("Properties match these schemas, by the pattern of their names: {json}")
        }
        "dependentRequired" | "dependentSchemas" | "dependencies" => {
            format!("If a property is given, this also applies ({keyword}): {json}")
        }
        "not" => format!("Must not match this schema: {json}"),
        "if" => format!("If it matches this schema: {json}"),
        "then" => format!("In that case, it also matches: {json}"),
        "else" => format!("Otherwise, it also matches: {json}"),
        "anyOf" => match required_sets(value) {
            Some(sets) => format!("At least one of these is required: {sets}."),
            None => format!("Matches at least one of these schemas: {json}"),
        },
        "oneOf" => format!("Matches exactly one of these schemas: {json}"),
        "allOf" => format!("Matches all of these schemas: {json}"),
        "format" => format!("Format: {}.", value.as_text()?),
        "contentEncoding" => format!("Encoded in {}.", value.as_text()?),
        "contentMediaType" => format!("Of the media type {}.", value.as_text()?),
        "default" => format!("Default: {json}."),
        "example" => format!("Example: {json}."),
        "examples" => match value {
            Tree::Array(examples) => format!("Examples: {}.", list(examples)),
            Tree::Object(_) | Tree::Scalar(_) => format!("Examples: {json}."),
        },
        "enum" => match value {
            Tree::Array(values) => format!("One of: {}.", list(values)),
            Tree::Object(_) | Tree::Scalar(_) => return None,
        },
        "deprecated" if value.is("true") => "Deprecated.".to_owned(),
        "unevaluatedProperties" | "additionalProperties" if value.is("false") => {
            "No other properties.".to_owned()
        }
        "unevaluatedItems" if value.is("false") => "No other items.".to_owned(),
        "type"
        | "items"
        | "properties"
        | "minimum"
        | "maximum"
        | "minItems"
        | "maxItems"
        | "exclusiveMinimum"
        | "exclusiveMaximum"
        | "prefixItems"
        | "required"
        | "additionalProperties" => format!("{keyword}: {json}"),
        _ => return None,
    })
}

/// The alternatives in words, if they do nothing but require properties.
fn required_sets(alternatives: &Tree<'_>) -> Option<String> {
    let Tree::Array(alternatives) = alternatives else {
        return None;
    };
    let sets = alternatives.iter().map(|alternative| match alternative {
        Tree::Object(fields) if fields.len() == 1 => {
            let required = get(fields, "required")?.as_texts()?;
            let required: Vec<String> = required.iter().map(|name| code(name)).collect();
            Some(required.join(" and "))
        }
        Tree::Object(_) | Tree::Array(_) | Tree::Scalar(_) => None,
    });
    Some(cut(sets.collect::<Option<Vec<String>>>()?.join(", ")))
}

/// A list of names for a sentence.
pub(super) fn names(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| code(name)).collect();
    cut(names.join(", "))
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn list(values: &[Tree<'_>]) -> String {
    let values: Vec<String> = values.iter().map(Tree::to_json).collect();
    cut(values.join(", "))
}

fn shortened(value: &Tree<'_>) -> String {
    match value.as_text() {
        Some(text) => quoted(&cut(text)),
        None => cut(value.to_json()),
    }
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_QUOTED) {
        text.truncate(end);
        text.push('…');
    }
    text
}
