//! Merges the model lists of several projects.
//!
//! Google lists the models available to each project, so the pool's list is their union: which key
//! answers must not decide what a client sees. Entries stay as Google wrote them.
//!
//! Sources: <https://ai.google.dev/api/models#method:-models.list>,
//! <https://ai.google.dev/gemini-api/docs/openai>.

use crate::wire::Surface;
use crate::wire::json::{Members, find, parse, read};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;

/// Entries on a page of Gemini's list, by default and at most.
const DEFAULT_PAGE_SIZE: usize = 50;
const MAX_PAGE_SIZE: usize = 1000;
/// Prefix of the pool's page tokens.
const PAGE_TOKEN_PREFIX: &str = "keypool-";

/// A list of models without duplicates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelList {
    surface: Surface,
    /// Each name, without `models/`, and its entry.
    entries: Vec<(String, String)>,
}

/// A page of Gemini's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    start: usize,
    size: usize,
}

impl Page {
    /// Returns the page that a query asks for; `None` if the token is not the pool's.
    pub fn of_query(query: Option<&str>) -> Option<Self> {
        let mut page = Self {
            start: 0,
            size: DEFAULT_PAGE_SIZE,
        };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "pageSize" | "page_size" => {
                    page.size = match value.parse() {
                        Ok(0) | Err(_) => DEFAULT_PAGE_SIZE,
                        Ok(size) => size.min(MAX_PAGE_SIZE),
                    };
                }
                "pageToken" | "page_token" if !value.is_empty() => {
                    page.start = value.strip_prefix(PAGE_TOKEN_PREFIX)?.parse().ok()?;
                }
                _ => {}
            }
        }
        Some(page)
    }
}

impl ModelList {
    /// Creates an empty list.
    pub fn new(surface: Surface) -> Self {
        Self {
            surface,
            entries: Vec::new(),
        }
    }

    /// Adds the new entries of one of Google's lists. Returns `false` if the body is not a list.
    pub fn add(&mut self, body: &[u8]) -> bool {
        let name = match self.surface {
            Surface::OpenAi => "data",
            Surface::Gemini => "models",
        };
        let list = parse::<Members<'_>>(body)
            .and_then(|Members(members)| find(&members, name).and_then(read::<Vec<&RawValue>>));
        let Some(list) = list else {
            return false;
        };
        self.add_all(list);
        true
    }

    fn add_all(&mut self, list: Vec<&RawValue>) {
        for entry in list {
            if let Some(name) = self.name_of(entry)
                && !self.contains(&name)
            {
                self.entries.push((name, entry.get().to_owned()));
            }
        }
    }

    fn name_of(&self, entry: &RawValue) -> Option<String> {
        let Members(members) = read(entry)?;
        let field = match self.surface {
            Surface::OpenAi => "id",
            Surface::Gemini => "name",
        };
        let name = find(&members, field).and_then(read::<Cow<'_, str>>)?;
        Some(name.strip_prefix("models/").unwrap_or(&name).to_owned())
    }

    fn contains(&self, name: &str) -> bool {
        self.entries.iter().any(|(known, _)| known == name)
    }

    /// Adds aliases, each with a copy of its model's entry.
    pub fn add_aliases<'m>(&mut self, aliases: impl Iterator<Item = (String, &'m str)>) {
        for (alias, model) in aliases {
            if self.contains(&alias) {
                continue;
            }
            let known = self.entries.iter().find(|(name, _)| name == model);
            let mut entry: Value = known
                .and_then(|(_, entry)| serde_json::from_str(entry).ok())
                .unwrap_or_else(|| json!({}));
            match self.surface {
                Surface::OpenAi => {
                    entry["id"] = json!(alias);
                    entry["object"] = json!("model");
                    entry["owned_by"] = json!("gemini-keypool");
                }
                Surface::Gemini => {
                    entry["name"] = json!(format!("models/{alias}"));
                }
            }
            self.entries.push((alias, entry.to_string()));
        }
    }

    /// Keeps the models whose name passes.
    pub fn retain(&mut self, passes: impl Fn(&str) -> bool) {
        self.entries.retain(|(name, _)| passes(name));
    }

    /// Returns the entries as a JSON array for the cache.
    pub fn to_cache(&self) -> String {
        let entries: Vec<&str> = self.entries.iter().map(|(_, entry)| &**entry).collect();
        format!("[{}]", entries.join(","))
    }

    /// Reads cached entries; `None` if they are not an array.
    pub fn from_cache(surface: Surface, entries: &str) -> Option<Self> {
        let mut list = Self::new(surface);
        list.add_all(serde_json::from_str(entries).ok()?);
        Some(list)
    }

    /// Returns the list in its API's format; for Gemini, one page of it.
    pub fn to_json(&self, page: Page) -> String {
        let entries = |start: usize, size: usize| {
            let entries: Vec<&str> = self
                .entries
                .iter()
                .skip(start)
                .take(size)
                .map(|(_, entry)| &**entry)
                .collect();
            entries.join(",")
        };
        match self.surface {
            Surface::OpenAi => {
                format!(r#"{{"object":"list","data":[{}]}}"#, entries(0, usize::MAX))
            }
            Surface::Gemini => {
                let end = page.start.saturating_add(page.size);
                let next = if end < self.entries.len() {
                    format!(r#","nextPageToken":"{PAGE_TOKEN_PREFIX}{end}""#)
                } else {
                    String::new()
                };
                format!(r#"{{"models":[{}]{next}}}"#, entries(page.start, page.size))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn page(query: &str) -> Page {
        Page::of_query(Some(query)).unwrap()
    }

    #[test]
    fn merges_models_without_duplicates_or_changes() {
        let mut list = ModelList::new(Surface::OpenAi);
        for body in [
            r#"{"object":"list","data":[{"id":"models/a","x":1.0e0},{"id":"models/b"}]}"#,
            r#"{"object":"list","data":[{"id":"models/b","y":2},{"id":"c"},{"no":"id"},7]}"#,
        ] {
            assert!(list.add(body.as_bytes()));
        }
        let expected = r#"{"object":"list","data":[{"id":"models/a","x":1.0e0},{"id":"models/b"},{"id":"c"}]}"#;
        assert_eq!(list.to_json(page("")), expected);
        for other in ["", "[]", "{}", r#"{"data":1}"#, r#"{"error":{}}"#] {
            assert!(!list.add(other.as_bytes()), "{other}");
        }
        let cached = ModelList::from_cache(Surface::OpenAi, &list.to_cache());
        assert_eq!(cached, Some(list));
        assert_eq!(ModelList::from_cache(Surface::OpenAi, "nonsense"), None);
    }

    #[test]
    fn geminis_list_is_paged() {
        let mut list = ModelList::new(Surface::Gemini);
        let entries =
            [0, 1, 2, 3, 4, 5, 6].map(|number| format!(r#"{{"name":"models/m{number}"}}"#));
        let models = format!(r#""models":[{}]"#, entries.join(","));
        list.add(format!(r#"{{{models},"nextPageToken":"theirs"}}"#).as_bytes());
        assert_eq!(list.to_json(page("")), format!("{{{models}}}"));
        let mut query = "pageSize=3".to_owned();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let json: Value = serde_json::from_str(&list.to_json(page(&query))).unwrap();
            seen.extend(json["models"].as_array().unwrap().clone());
            match json["nextPageToken"].as_str() {
                Some(token) => query = format!("pageSize=3&pageToken={token}"),
                None => query.clear(),
            }
        }
        assert_eq!(
            Value::from(seen).to_string(),
            format!("[{}]", entries.join(","))
        );
        assert_eq!(query, "");
        assert_eq!(Page::of_query(Some("pageToken=theirs")), None);
        assert_eq!(page("pageSize=0"), page("pageSize=x"));
        assert_eq!(page("pageSize=5000").size, MAX_PAGE_SIZE);
        let beyond = list.to_json(page("pageToken=keypool-99"));
        assert_eq!(beyond, r#"{"models":[]}"#);
    }

    #[test]
    fn aliases_copy_the_entries_of_their_models() {
        let aliases = [("x", "a"), ("y", "unlisted"), ("a", "b")];
        let aliases = aliases.map(|(alias, model)| (alias.to_owned(), model));
        let mut openai = ModelList::new(Surface::OpenAi);
        openai.add(br#"{"data":[{"id":"models/a","created":5,"owned_by":"google"}]}"#);
        openai.add_aliases(aliases.clone().into_iter());
        let json: Value = serde_json::from_str(&openai.to_json(page(""))).unwrap();
        let copy = json!({"id":"x","created":5,"object":"model","owned_by":"gemini-keypool"});
        assert_eq!(json["data"][1], copy);
        assert_eq!(json["data"][2]["id"], "y");
        // A model's own name stays its own.
        assert_eq!(json["data"].as_array().unwrap().len(), 3);
        let mut gemini = ModelList::new(Surface::Gemini);
        gemini.add(br#"{"models":[{"name":"models/a","inputTokenLimit":5}]}"#);
        gemini.add_aliases(aliases.into_iter().take(1));
        let json: Value = serde_json::from_str(&gemini.to_json(page(""))).unwrap();
        let copy = json!({"name":"models/x","inputTokenLimit":5});
        assert_eq!(json["models"][1], copy);
    }

    proptest! {
        #[test]
        fn accepts_any_bytes(body in "[{}\\[\\]\":,a-z0-9]{0,80}", query in "[a-zA-Z=&0-9-]{0,40}") {
            let mut list = ModelList::new(Surface::Gemini);
            list.add(body.as_bytes());
            if let Some(page) = Page::of_query(Some(&query)) {
                let _: Value = serde_json::from_str(&list.to_json(page)).unwrap();
            }
        }
    }
}
