//! Lists of models in Anthropic's format.
//!
//! Source: <https://platform.claude.com/docs/en/api/models-list>.

use crate::wire::json::{Members, find, read};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Entries on a page, by default and at most.
const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 1000;
/// What Anthropic says of models whose release is unknown.
const UNKNOWN_DATE: &str = "1970-01-01T00:00:00Z";

#[derive(Serialize)]
struct Page<'a> {
    data: &'a [Model<'a>],
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
    has_more: bool,
}

#[derive(Serialize)]
struct Model<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: Cow<'a, str>,
    display_name: Cow<'a, str>,
    created_at: &'static str,
    max_input_tokens: Option<u64>,
    /// Of an answer.
    max_tokens: Option<u64>,
    lifecycle: &'static str,
    /// These say nothing about Gemini's models, and are always null.
    capabilities: (),
    deprecated_at: (),
    retires_at: (),
    line: (),
}

impl<'a> Model<'a> {
    /// Reads an entry of Gemini's list; `None` if it has no name, or does not write messages.
    fn of(entry: &'a RawValue) -> Option<Self> {
        let Members(members) = read(entry)?;
        let text = |name| find(&members, name).and_then(read::<Text<'a>>);
        let count = |name| find(&members, name).and_then(read::<u64>);
        let methods = find(&members, "supportedGenerationMethods");
        let methods = methods.and_then(read::<Vec<Text<'_>>>);
        if methods.is_some_and(|methods| methods.iter().all(|method| method.0 != "generateContent"))
        {
            return None;
        }
        let Text(name) = text("name")?;
        let id = match name.strip_prefix("models/") {
            Some(id) => Cow::Owned(id.to_owned()),
            None => name,
        };
        Some(Self {
            kind: "model",
            display_name: text("displayName").map_or_else(|| id.clone(), |Text(name)| name),
            id,
            created_at: UNKNOWN_DATE,
            max_input_tokens: count("inputTokenLimit"),
            max_tokens: count("outputTokenLimit"),
            lifecycle: "active",
            capabilities: (),
            deprecated_at: (),
            retires_at: (),
            line: (),
        })
    }
}

/// Borrows a string unless it has escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A page of the list, from Gemini's entries, which are a JSON array such as
/// [`ModelList::to_cache`](crate::wire::model_list::ModelList::to_cache) returns. `None` if they are
/// none.
///
/// Of `query`, `limit`, `after_id` and `before_id` count. An id that is not in the list counts as
/// absent.
pub fn page(entries: &str, query: Option<&str>) -> Option<String> {
    let entries: Vec<&RawValue> = serde_json::from_str(entries).ok()?;
    let models: Vec<Model<'_>> = entries.into_iter().filter_map(Model::of).collect();
    let mut limit = DEFAULT_LIMIT;
    let (mut after, mut before) = (None, None);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let position = || models.iter().position(|model| model.id == value);
        match &*name {
            "limit" => {
                let given = value.parse().ok();
                limit = given.map_or(DEFAULT_LIMIT, |given: usize| given.clamp(1, MAX_LIMIT));
            }
            "after_id" => after = position(),
            "before_id" => before = position(),
            _ => {}
        }
    }
    let (start, end) = match (after, before) {
        // The page that ends before the id.
        (None, Some(before)) => (before.saturating_sub(limit), before),
        (after, _) => {
            let start = after.map_or(0, |after| after.saturating_add(1));
            (start, start.saturating_add(limit).min(models.len()))
        }
    };
    let data = models.get(start..end).unwrap_or_default();
    let id = |model: Option<&'_ Model<'_>>| model.map(|model| model.id.to_string());
    let (first, last) = (id(data.first()), id(data.last()));
    serde_json::to_string(&Page {
        data,
        first_id: first.as_deref(),
        last_id: last.as_deref(),
        has_more: match before {
            Some(_) if after.is_none() => start > 0,
            Some(_) | None => end < models.len(),
        },
    })
    .ok()
}

/// One model, from Gemini's entry for it; `None` if that is none.
pub fn single(entry: &str) -> Option<String> {
    let entry: &RawValue = serde_json::from_str(entry).ok()?;
    serde_json::to_string(&Model::of(entry)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Gemini's entries for models `m0`, `m1` and so on.
    fn entries(count: usize) -> String {
        let entries = (0..count).map(|number| json!({"name": format!("models/m{number}")}));
        Value::from_iter(entries).to_string()
    }

    fn ids(query: &str) -> (String, Value) {
        let page: Value = serde_json::from_str(&page(&entries(5), Some(query)).unwrap()).unwrap();
        let data = page["data"].as_array().unwrap();
        let ids: Vec<&str> = data
            .iter()
            .filter_map(|model| model["id"].as_str())
            .collect();
        assert_eq!(page["first_id"].as_str(), ids.first().copied());
        assert_eq!(page["last_id"].as_str(), ids.last().copied());
        (ids.join(" "), page["has_more"].clone())
    }

    #[test]
    fn entries_become_models() {
        let entry = json!({"name": "models/gemini-3.8-flash", "displayName": "Gemini 3.8 Flash",
            "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens"]});
        let model: Value = serde_json::from_str(&single(&entry.to_string()).unwrap()).unwrap();
        assert_eq!(
            model,
            json!({"type": "model", "id": "gemini-3.8-flash", "display_name": "Gemini 3.8 Flash",
                "created_at": "1970-01-01T00:00:00Z", "max_input_tokens": 1_048_576, "max_tokens": 65_536,
                "lifecycle": "active", "capabilities": null, "deprecated_at": null, "retires_at": null, "line": null})
        );
        let plain: Value = serde_json::from_str(&single(r#"{"name":"a"}"#).unwrap()).unwrap();
        assert_eq!(plain["display_name"], "a");
        assert_eq!(plain["max_tokens"], Value::Null);
        for other in [
            r#"{"name":"a","supportedGenerationMethods":["embedContent"]}"#,
            "{}",
            "7",
            "",
        ] {
            assert_eq!(single(other), None, "{other}");
        }
    }

    #[test]
    fn lists_are_paged_in_both_directions() {
        for (query, expected, has_more) in [
            ("", "m0 m1 m2 m3 m4", false),
            ("limit=2", "m0 m1", true),
            ("limit=2&after_id=m1", "m2 m3", true),
            ("limit=2&after_id=m3", "m4", false),
            ("limit=2&after_id=m4", "", false),
            ("limit=2&before_id=m3", "m1 m2", true),
            ("limit=2&before_id=m1", "m0", false),
            ("limit=0&after_id=unknown", "m0", true),
            ("limit=x&beta=true", "m0 m1 m2 m3 m4", false),
        ] {
            assert_eq!(
                ids(query),
                (expected.to_owned(), json!(has_more)),
                "{query}"
            );
        }
        let many: Value = serde_json::from_str(&page(&entries(30), None).unwrap()).unwrap();
        assert_eq!(many["data"].as_array().map(Vec::len), Some(DEFAULT_LIMIT));
        assert_eq!(page("{}", None), None);
    }
}
