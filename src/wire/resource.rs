//! Names of resources that belong to the project of the key that created them: files, cached
//! contents, batches and operations.
//!
//! A key of another project has no access to them. So the pool remembers which key's answer
//! contained a name, and looks for known names in requests: in the path, and in strings of the body
//! that are a name or a URL ending in one. A text that merely mentions a name does not count, and a
//! string that happens to look like a name is unknown.
//!
//! Source: <https://ai.google.dev/api/files>, <https://ai.google.dev/api/caching>,
//! <https://ai.google.dev/api/batch-api>.

use crate::wire::json::{parse, parse_first};
use crate::wire::target::Target;
use crate::wire::{Kind, Surface};
use http::Method;
use memchr::{memchr_iter, memmem};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

/// Collections whose members belong to a project.
const COLLECTIONS: [&str; 9] = [
    "files/",
    "cachedContents/",
    "batches/",
    "operations/",
    "tunedModels/",
    "fileSearchStores/",
    "corpora/",
    "videos/",
    "interactions/",
];
/// Fields with text for people or tools, which never refers to a resource.
const TEXT_FIELDS: [&str; 4] = ["text", "content", "arguments", "output"];
/// Fields whose values never refer to a resource.
const IGNORED_FIELDS: [&str; 10] = [
    "functionCall",
    "functionResponse",
    "function_call",
    "function_response",
    "functionDeclarations",
    "function_declarations",
    "function",
    "functions",
    "parameters",
    "enum",
];
/// Fields with the bare id of an interaction.
const INTERACTION_FIELDS: [&str; 2] = ["previous_interaction_id", "previousInteractionId"];
/// The maximum number of names taken from one body.
const MAX_NAMES: usize = 500;
/// The maximum length of a name.
const MAX_NAME_LENGTH: usize = 256;

/// Returns the name of a pending upload.
pub fn of_upload(path: &str, upload_id: &str) -> String {
    format!("uploads{path}?{upload_id}")
}

/// Returns the resources that a path may name. `rest` follows the version, or OpenAI's `/v1/`.
///
/// A path can be read in several ways, of which at most one is a known name.
pub fn named_in_path(rest: &str) -> BTreeSet<String> {
    let rest = percent_encoding::percent_decode_str(rest).decode_utf8_lossy();
    let mut names = BTreeSet::new();
    // OpenAI's clients append an id that is itself a name: `batches/batches/abc`.
    let after_slash = rest.split_once('/').map(|(_, after_slash)| after_slash);
    for path in [Some(&*rest), after_slash].into_iter().flatten() {
        let ends = path
            .match_indices(['/', ':'])
            .map(|(at, _)| at)
            .chain([path.len()]);
        names.extend(
            ends.filter_map(|end| path.get(..end))
                .filter(|name| is_name(name))
                .map(str::to_owned),
        );
    }
    names
}

/// Returns the names in the strings of a JSON body; none for anything else.
///
/// The interaction that a body continues is only looked up if it does not call a model.
pub fn named_in_body(body: &[u8], kind: Kind) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // Most bodies contain no name and need not be parsed: checking the text around slashes and
    // escaped characters is enough.
    let mentions = |slash: usize| {
        let before = body.get(..slash).unwrap_or_default();
        // Some encoders escape every slash.
        let before = before.strip_suffix(b"\\").unwrap_or(before);
        COLLECTIONS.iter().any(|collection| {
            let name = collection.trim_end_matches('/').as_bytes();
            let before = before.strip_suffix(name);
            matches!(before.and_then(<[u8]>::last), Some(b'"' | b'/'))
        })
    };
    let continues = |field: &&str| memmem::find(body, field.as_bytes()).is_some();
    if memchr_iter(b'/', body).any(mentions)
        || (kind == Kind::Other && INTERACTION_FIELDS.iter().any(continues))
        || memmem::find_iter(body, br"\u00").any(|at| escapes_name_char(body, at))
    {
        // Names found before a syntax error count.
        let texts = Texts {
            names: &mut names,
            kind: FieldKind::Any,
        };
        let _ = parse_first(texts, body);
    }
    names
}

/// Whether `\u002f` or another escape of a character that names contain is at `at`.
fn escapes_name_char(body: &[u8], at: usize) -> bool {
    let digits = body.get(at + 4..at + 6);
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"/_-.~:".contains(&byte))
}

/// The resources reported by an answer; they belong to the project of the key that was used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// Created by this request.
    pub created: BTreeSet<String>,
    /// Known to exist.
    pub listed: BTreeSet<String>,
}

/// Returns what the answer to a request reports, unless it calls a model. `named` are the names in
/// the request.
///
/// The answer to a POST or an upload reports created resources, except for those named in the
/// request, which existed before and are repeated. The subject of the answer counts as created even
/// if the request chose its name, unless the path names it. Any other answer only lists resources.
pub fn reported(
    method: &Method,
    target: &Target,
    named: &BTreeSet<String>,
    body: &[u8],
) -> Reported {
    let collection = target.rest.split('/').next().unwrap_or_default();
    let has_ids = target.surface == Surface::OpenAi || collection == "interactions";
    let subject = subject_name(collection, has_ids, body);
    let mut names = named_in_body(body, Kind::Other);
    names.extend(subject.clone());
    if target.is_upload() {
        return Reported {
            created: names,
            listed: BTreeSet::new(),
        };
    }
    if *method != Method::POST {
        return Reported {
            created: BTreeSet::new(),
            listed: names,
        };
    }
    let in_path = named_in_path(&target.rest);
    // A custom method such as `files:register`, not the one that creates.
    let is_custom = target.rest.contains(':');
    let is_created = |name: &String| {
        let is_subject = subject.as_ref() == Some(name) && !is_custom && !in_path.contains(name);
        is_subject || !named.contains(name)
    };
    let (created, listed) = names.into_iter().partition(is_created);
    Reported { created, listed }
}

/// Returns the name that a request chooses for the resource to create: `POST /files` with `{"file":
/// {"name": "files/abc"}}`, or just `name` for other collections.
pub fn chosen_name(target: &Target, body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        file: &'a RawValue,
    }
    if target.rest.contains(['/', ':']) {
        return None;
    }
    let wrapped = parse(body).map(|Wrapped { file }| file.get().as_bytes());
    subject_name(&target.rest, false, wrapped.unwrap_or(body))
        .filter(|name| name.starts_with(&format!("{}/", target.rest)))
}

/// Returns the name of the resource that a body describes.
fn subject_name(collection: &str, has_ids: bool, body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Resource<'a> {
        #[serde(borrow)]
        name: Option<Cow<'a, str>>,
        #[serde(borrow)]
        id: Option<Cow<'a, str>>,
    }
    let resource: Resource<'_> = parse(body)?;
    match resource.id.filter(|_| has_ids) {
        Some(id) => name_of_id(collection, &id),
        None => resource
            .name
            .filter(|name| is_name(name))
            .map(Cow::into_owned),
    }
}

/// Converts an id of OpenAI's API to a resource name.
fn name_of_id(collection: &str, id: &str) -> Option<String> {
    let name = if id.contains('/') {
        id.to_owned()
    } else {
        format!("{collection}/{id}")
    };
    is_name(&name).then_some(name)
}

/// Whether a text is a name, such as `files/abc` or `models/M/operations/abc`.
fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_LENGTH && name_at_end(text).is_some_and(|name| name.len() == text.len())
}

/// Returns the name that a text is or, as a URL, ends in:
/// `https://host/v1beta/files/abc:download?alt=media`.
fn name_at_end(text: &str) -> Option<&str> {
    let text = text.split(['?', '#']).next()?;
    let found = COLLECTIONS
        .iter()
        .filter_map(|collection| {
            let at = text.rfind(collection)?;
            let is_standalone = can_precede_name(text.get(..at)?);
            is_standalone.then_some((at, collection))
        })
        .max_by_key(|(at, _)| *at)?;
    let (at, collection) = found;
    let id = text.get(at + collection.len()..)?;
    let end = id.find(':').unwrap_or(id.len());
    let id = id.get(..end)?;
    let is_id = !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
    if !is_id {
        return None;
    }
    // Operations are nested below the resource that they work on.
    let start = match text.get(..at)? {
        before if *collection == "operations/" => owner_start(before),
        _ => at,
    };
    text.get(start..at + collection.len() + end)
}

/// Whether a name can follow this text: nothing, or the start of a URL of Google's API on any host.
/// Other hosts have files, too.
fn can_precede_name(before: &str) -> bool {
    // The owner of an operation, or the start of the path.
    let before = match owners_in(before).max() {
        Some(at) => before.get(..at).unwrap_or_default(),
        None => before,
    };
    before.is_empty()
        || (before.starts_with("http") || before.starts_with('/'))
            && ["/v1beta/", "/v1alpha/", "/v1/", "/v1beta/openai/"]
                .iter()
                .any(|version| before.ends_with(version))
}

/// Yields the start of the last name in each collection that can own operations.
fn owners_in(before: &str) -> impl Iterator<Item = usize> {
    ["models/", "tunedModels/", "batches/"]
        .iter()
        .filter_map(|collection| before.rfind(collection))
}

/// Returns the start of `models/M/` at the end of the text before `operations/`.
fn owner_start(before: &str) -> usize {
    let owner = owners_in(before)
        .filter(|at| {
            *at == 0
                || before
                    .get(..*at)
                    .is_some_and(|before| before.ends_with('/'))
        })
        .max();
    owner.unwrap_or(before.len())
}

/// Walks through JSON and collects the strings that are names.
struct Texts<'a> {
    names: &'a mut BTreeSet<String>,
    kind: FieldKind,
}

/// The kind of field that a string is the value of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FieldKind {
    Any,
    /// Text for people or tools.
    Text,
    /// The bare id of an interaction.
    Interaction,
}

impl<'de> DeserializeSeed<'de> for Texts<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        // URLs contain no blanks, whereas texts that mention a name do.
        let is_candidate = text.len() <= 4 * MAX_NAME_LENGTH && !text.contains(char::is_whitespace);
        if !is_candidate || self.names.len() >= MAX_NAMES {
            return Ok(());
        }
        let name = match self.kind {
            FieldKind::Text => None,
            FieldKind::Any => name_at_end(text).map(str::to_owned),
            FieldKind::Interaction => name_of_id("interactions", text),
        };
        self.names
            .extend(name.filter(|name| name.len() <= MAX_NAME_LENGTH));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<Cow<'_, str>>()? {
            if IGNORED_FIELDS.contains(&&*key) {
                entries.next_value::<serde::de::IgnoredAny>()?;
                continue;
            }
            let kind = if TEXT_FIELDS.contains(&&*key) {
                FieldKind::Text
            } else if INTERACTION_FIELDS.contains(&&*key) {
                FieldKind::Interaction
            } else {
                FieldKind::Any
            };
            let names = &mut *self.names;
            entries.next_value_seed(Texts { names, kind })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        loop {
            let names = &mut *self.names;
            let kind = self.kind;
            if elements.next_element_seed(Texts { names, kind })?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_resource_in_a_path() {
        for (rest, name) in [
            ("files/abc-1", "files/abc-1"),
            ("files/abc:download", "files/abc"),
            ("cachedContents/c", "cachedContents/c"),
            ("batches/b:cancel", "batches/b"),
            ("batches/batches/b", "batches/b"),
            ("batches/batches/b/cancel", "batches/b"),
            ("batches/batches%2Fb", "batches/b"),
            ("models/m/operations/o", "models/m/operations/o"),
            ("operations/o", "operations/o"),
            ("tunedModels/t:generateContent", "tunedModels/t"),
            ("videos/v/content", "videos/v"),
            ("videos/models/m/operations/o", "models/m/operations/o"),
        ] {
            let names = named_in_path(rest);
            assert!(names.contains(name), "{rest}: {names:?}");
        }
        for rest in [
            "files",
            "models/m:generateContent",
            "models",
            "chat/completions",
            "files/a b",
            "files/",
        ] {
            assert_eq!(named_in_path(rest), BTreeSet::new(), "{rest}");
        }
    }

    #[test]
    fn finds_used_but_not_mentioned_resources_in_a_body() {
        for (names, body) in [
            (
                "files/abc",
                r#"{"contents":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}]}]}"#,
            ),
            (
                "cachedContents/c1",
                r#"{"cachedContent":"cachedContents/c1"}"#,
            ),
            (
                "cachedContents/c1",
                r#"{"extra_body":{"google":{"cached_content":"cachedContents/c1"}}}"#,
            ),
            ("files/in", r#"{"input_file_id":"files/in"}"#),
            (
                "files/v1 models/veo/operations/o1",
                r#"{"name":"models/veo/operations/o1","response":{"video":{"uri":"https://h/v1beta/files/v1:download?alt=media"}}}"#,
            ),
            ("files/f1", r#"{"file":{"name":"files/f\u0031"}}"#),
            (
                "fileSearchStores/s",
                r#"{"tools":[{"functionDeclarations":[{"parameters":{"enum":["files/get"]}}],"fileSearch":{"fileSearchStoreNames":["fileSearchStores/s"]}}]}"#,
            ),
            (
                "files/abc",
                r#"{"content":[{"file":{"file_id":"files/abc"}}]}"#,
            ),
            (
                "interactions/v1_abc",
                r#"{"previous_interaction_id":"v1_abc"}"#,
            ),
            ("files/x", r#"{"a":"files/x","b":"#),
            ("files/abc", r#""files/abc""#),
        ] {
            let found = named_in_body(body.as_bytes(), Kind::Other);
            let found: Vec<String> = found.into_iter().collect();
            assert_eq!(found.join(" "), names, "{body}");
        }
        for body in [
            r#"{"contents":[{"parts":[{"text":"see files/abc and cachedContents/c"}]}]}"#,
            r#"{"text":"src/profiles/abc"}"#,
            r#"{"model":"models/gemini"}"#,
            r#"{"fileUri":"https://cdn.example.com/files/13.pdf"}"#,
            r#"{"image_url":{"url":"https://example.com/videos/cat.png"}}"#,
            r#"{"tools":[{"type":"function","function":{"enum":["videos/list"]}}]}"#,
            r#"{"messages":[{"role":"user","content":"files/abc"}]}"#,
            r#"{"parts":[{"functionResponse":{"response":{"f":"files/abc"}}}]}"#,
            "files/abc",
            r#"{"files/abc":1}"#,
        ] {
            let found = named_in_body(body.as_bytes(), Kind::Other);
            assert_eq!(found, BTreeSet::new(), "{body}");
        }
    }

    #[test]
    fn names_per_body_are_bounded() {
        let many: Vec<String> = (0..2000).map(|number| format!("files/f{number}")).collect();
        let body = serde_json::to_vec(&many).unwrap();
        assert_eq!(named_in_body(&body, Kind::Other).len(), MAX_NAMES);
        let long = format!("[\"files/{}\"]", "x".repeat(MAX_NAME_LENGTH));
        assert!(named_in_body(long.as_bytes(), Kind::Other).is_empty());
    }

    #[test]
    fn openai_ids_are_names() {
        for (collection, id, expected) in [
            ("batches", "batches/b", Some("batches/b")),
            ("videos", "v1", Some("videos/v1")),
            (
                "videos",
                "models/m/operations/o",
                Some("models/m/operations/o"),
            ),
            ("chat", "chatcmpl-1", None),
            ("videos", "a b", None),
        ] {
            assert_eq!(name_of_id(collection, id).as_deref(), expected, "{id}");
        }
    }

    proptest! {
        #[test]
        fn accepts_any_bytes(body in prop::collection::vec(any::<u8>(), 0..100), text in "[a-zé/:?.{}\"\\[\\]]{0,60}") {
            named_in_body(&body, Kind::Other);
            named_in_body(format!("{{\"files/\":\"{text}\"}}").as_bytes(), Kind::Other);
            named_in_path(&text);
        }
    }
}
