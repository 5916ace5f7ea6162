//! Determines the traits of a request that decide who is at fault when it is refused: see
//! [`RequestTraits`].
//!
//! Bodies are skimmed without building a tree, and only as far as needed: most are small and have
//! no tools.

use crate::pool::{BETWEEN_TOOLS, RequestSize};
use crate::wire::json::{Members, find, parse, read};
use crate::wire::target::{Subject, Target};
use crate::wire::{Kind, Surface};
use memchr::{memchr_iter, memmem};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The traits of a request that decide who is at fault when it is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestTraits {
    /// The model or other subject of the request.
    pub model: String,
    /// Whether the request calls a model: chat, generation, embeddings or prediction.
    pub is_model_call: bool,
    /// Whether the method is documented to accept API keys.
    pub takes_keys: bool,
    /// Whether the request names a file, cached content, batch or other project resource.
    pub names_resource: bool,
    /// The server-side tools in use, such as `google_search`, joined by `+`.
    pub tool: Option<String>,
    /// Whether the key can also be sent in the other header, which has not been tried yet.
    pub has_other_header: bool,
    /// What the request alone consumes.
    pub size: RequestSize,
}

impl RequestTraits {
    /// Whether a message names this model, or any model.
    pub(crate) fn is_named_in(&self, message: &str) -> bool {
        message.contains("models/")
            || (!self.model.is_empty()
                && message
                    .to_ascii_lowercase()
                    .contains(&self.model.to_ascii_lowercase()))
    }
}

/// Smaller bodies, in bytes, are below any token limit.
const LARGE_BODY: usize = 16 * 1024;
/// Approximate bytes of text per token.
const BYTES_PER_TOKEN: u64 = 4;
/// Shorter strings, in bytes, are never treated as encoded data.
const MIN_DATA_LENGTH: usize = 256;
/// How many bytes longer `\uXXXX` is than the character that it encodes.
const ESCAPE_EXCESS: u64 = 3;
/// Fields with encoded data.
const DATA: [&str; 8] = [
    "data",
    "bytesBase64Encoded",
    "bytes_base64_encoded",
    "imageBytes",
    "videoBytes",
    "file_data",
    "b64_json",
    "thoughtSignature",
];
/// The maximum length of a tool name, in characters.
const MAX_TOOL_LENGTH: usize = 64;

/// Server-side tools: their names in both APIs, normalized without case and underscores, and the
/// names of their cool-downs.
const TOOLS: [(&str, &str); 12] = [
    ("googlesearch", "google_search"),
    ("googlesearchretrieval", "google_search"),
    ("websearch", "google_search"),
    ("websearchpreview", "google_search"),
    ("enterprisewebsearch", "google_search"),
    ("googlemaps", "google_maps"),
    ("codeexecution", "code_execution"),
    ("codeinterpreter", "code_execution"),
    ("urlcontext", "url_context"),
    ("filesearch", "file_search"),
    ("computeruse", "computer_use"),
    ("imagegeneration", "image_generation"),
];

/// Collections whose methods are documented to accept API keys.
const COLLECTIONS_WITH_KEYS: [&str; 5] = [
    "models",
    "files",
    "batches",
    "cachedContents",
    "interactions",
];

/// Returns the traits of a request for `model`. Those that depend on the key or on the pool's
/// resources are unset.
pub(crate) fn traits_of(target: &Target, model: &str, body: &[u8]) -> RequestTraits {
    let is_model_call = match (target.surface, &target.subject) {
        (_, Subject::Path(_)) => true,
        (Surface::OpenAi, Subject::BodyOr(collection)) => {
            target.kind == Kind::Chat || (!body.is_empty() && model != collection)
        }
        (Surface::Gemini, Subject::BodyOr(collection)) => {
            target.collection() == "interactions" && !body.is_empty() && model != collection
        }
    };
    RequestTraits {
        model: model.to_owned(),
        is_model_call,
        takes_keys: is_model_call && !target.rest.starts_with("tunedModels/")
            || COLLECTIONS_WITH_KEYS.contains(&target.collection()),
        names_resource: false,
        tool: server_tools(target.surface, body),
        has_other_header: false,
        size: RequestSize {
            input_tokens: text_tokens(body),
            texts: texts(target, body).unwrap_or_default(),
        },
    }
}

/// Returns the server-side tools of a request, sorted and joined by `+`; `None` without any.
fn server_tools(surface: Surface, body: &[u8]) -> Option<String> {
    let mentions = |name: &str| memmem::find(body, name.as_bytes()).is_some();
    let has_web_search = || surface == Surface::OpenAi && mentions("\"web_search_options\"");
    if !mentions("\"tools\"") && !has_web_search() {
        return None;
    }
    let Members(members) = parse(body)?;
    let mut tools = Vec::new();
    if find(&members, "web_search_options").is_some() {
        tools.push("google_search");
    }
    tools.extend(tools_of(&members));
    // On OpenAI's surface, Google's own fields are nested.
    let nested_tools = |members: &[(Cow<'_, str>, &RawValue)], name: &str| {
        find(members, name).and_then(|value| {
            let tools: Option<Vec<_>> =
                read(value).map(|Members(members)| tools_of(&members).collect());
            tools
        })
    };
    tools.extend(nested_tools(&members, "google").into_iter().flatten());
    let extra = find(&members, "extra_body").and_then(read::<Members<'_>>);
    if let Some(Members(extra)) = extra {
        tools.extend(tools_of(&extra));
        tools.extend(nested_tools(&extra, "google").into_iter().flatten());
    }
    let sorted: BTreeSet<String> = tools.into_iter().map(str::to_owned).collect();
    let tools: Vec<String> = sorted.into_iter().collect();
    (!tools.is_empty()).then(|| tools.join(&BETWEEN_TOOLS.to_string()))
}

/// Yields the server-side tools in an object's `tools`.
fn tools_of(members: &[(Cow<'_, str>, &RawValue)]) -> impl Iterator<Item = &'static str> + use<> {
    let tools: Vec<&RawValue> = find(members, "tools").and_then(read).unwrap_or_default();
    let named: Vec<&'static str> = tools
        .into_iter()
        .filter_map(read::<Members<'_>>)
        .flat_map(|Members(tool)| {
            let kind = find(&tool, "type").and_then(read::<Cow<'_, str>>);
            let names = tool.iter().map(|(name, _)| &**name);
            let named: Vec<&'static str> = names
                .chain(kind.as_deref())
                .filter_map(tool_named)
                .collect();
            named
        })
        .collect();
    named.into_iter()
}

fn tool_named(name: &str) -> Option<&'static str> {
    let normalized: String = name
        .chars()
        .filter(|c| *c != '_')
        .take(MAX_TOOL_LENGTH)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let known = TOOLS.iter().find(|(spelling, _)| *spelling == normalized);
    known.map(|(_, canonical)| *canonical)
}

/// Estimates the tokens of a body's text; 0 for a small body.
fn text_tokens(body: &[u8]) -> u64 {
    if body.len() < LARGE_BODY {
        return 0;
    }
    let (mut bytes, mut start) = (0u64, 0);
    // What precedes a string that is a value: its name and a colon.
    let (mut name, mut between): (&[u8], &[u8]) = (&[], &[]);
    for end in memchr_iter(b'"', body).chain([body.len()]) {
        let piece = body.get(start..end).unwrap_or_default();
        let is_value = between.trim_ascii() == b":";
        if !is_data(piece, name, is_value) {
            let escaped = memmem::find_iter(piece, b"\\u").count() as u64;
            bytes += (piece.len() as u64).saturating_sub(escaped * ESCAPE_EXCESS);
        }
        (name, between) = (between, piece);
        start = end + 1;
    }
    bytes / BYTES_PER_TOKEN
}

/// Whether a string is encoded data rather than text.
fn is_data(piece: &[u8], name: &[u8], is_value: bool) -> bool {
    piece.len() >= MIN_DATA_LENGTH
        && (piece.starts_with(b"data:")
            || (is_value && DATA.iter().any(|field| field.as_bytes() == name)))
}

/// Returns the number of texts in an embeddings request with several.
fn texts(target: &Target, body: &[u8]) -> Option<u64> {
    let field = match target.surface {
        Surface::OpenAi if target.rest == "embeddings" => "input",
        Surface::Gemini if target.rest.ends_with(":batchEmbedContents") => "requests",
        Surface::OpenAi | Surface::Gemini => return None,
    };
    let Members(members) = parse(body)?;
    let texts: Vec<&RawValue> = find(&members, field).and_then(read)?;
    // A list of numbers is a single text, given as tokens.
    let are_numbers = texts
        .first()
        .is_some_and(|first| !first.get().starts_with(['"', '[', '{']));
    (texts.len() > 1 && !are_numbers).then_some(texts.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn of(path: &str, model: &str, body: &str) -> RequestTraits {
        let target = Target::of(&Method::POST, path, Surface::OpenAi).unwrap();
        traits_of(&target, model, body.as_bytes())
    }

    const CHAT: &str = "/v1/chat/completions";
    const GENERATE: &str = "/v1beta/models/m:generateContent";

    #[test]
    fn distinguishes_model_calls_from_collection_requests() {
        for (path, model, body, expected) in [
            (CHAT, "m", "{}", true),
            (GENERATE, "m", "{}", true),
            ("/v1/embeddings", "m", r#"{"model":"m"}"#, true),
            ("/v1/images/generations", "m", r#"{"model":"m"}"#, true),
            ("/v1/files", "files", "", false),
            ("/v1beta/cachedContents", "m", r#"{"model":"m"}"#, false),
            ("/v1beta/tunedModels", "tunedModels", "", false),
            ("/v1beta/tunedModels/t:generateContent", "t", "{}", true),
        ] {
            assert_eq!(of(path, model, body).is_model_call, expected, "{path}");
        }
        for (path, expected) in [
            (CHAT, true),
            ("/v1beta/models", true),
            ("/upload/v1beta/files", true),
            ("/v1beta/corpora", false),
            ("/v1beta/tunedModels/t:generateContent", false),
        ] {
            assert_eq!(of(path, "m", "{}").takes_keys, expected, "{path}");
        }
    }

    #[test]
    fn recognizes_server_side_tools_in_every_spelling() {
        for (tools, expected) in [
            (r#"[{"google_search":{}}]"#, Some("google_search")),
            (r#"[{"googleSearch":{}}]"#, Some("google_search")),
            (r#"[{"googleSearchRetrieval":{}}]"#, Some("google_search")),
            (
                r#"[{"functionDeclarations":[]},{"codeExecution":{}}]"#,
                Some("code_execution"),
            ),
            (r#"[{"google_maps":{}}]"#, Some("google_maps")),
            (
                r#"[{"googleSearch":{}},{"codeExecution":{}}]"#,
                Some("code_execution+google_search"),
            ),
            (r#"[{"type":"web_search"}]"#, Some("google_search")),
            (
                r#"[{"type":"function","function":{"name":"google_search"}}]"#,
                None,
            ),
            (
                r#"[{"functionDeclarations":[{"name":"googleSearch"}]}]"#,
                None,
            ),
            (r#"[]"#, None),
            (r#"7"#, None),
        ] {
            let body = format!(r#"{{"tools":{tools}}}"#);
            assert_eq!(
                of(GENERATE, "m", &body).tool.as_deref(),
                expected,
                "{tools}"
            );
        }
        let options = r#"{"web_search_options":{}}"#;
        assert_eq!(
            of(CHAT, "m", options).tool.as_deref(),
            Some("google_search")
        );
        for body in [
            r#"{"extra_body":{"google":{"tools":[{"google_search":{}}]}}}"#,
            r#"{"google":{"tools":[{"google_search":{}}]}}"#,
        ] {
            assert_eq!(
                of(CHAT, "m", body).tool.as_deref(),
                Some("google_search"),
                "{body}"
            );
        }
        let text = r#"{"contents":[{"parts":[{"text":"tools: google_search"}]}]}"#;
        assert_eq!(of(GENERATE, "m", text).tool, None);
    }

    #[test]
    fn counts_text_but_not_encoded_data() {
        let body = |text: &str| format!(r#"{{"contents":[{{"parts":[{{"text":"{text}"}}]}}]}}"#);
        let tokens = |body: &str| of(GENERATE, "m", body).size.input_tokens;
        assert_eq!(tokens(&body("short")), 0);
        let long = tokens(&body(&"word ".repeat(20_000)));
        assert!((25_000..25_100).contains(&long), "{long}");
        let quoted = tokens(&body(&r#"say \"it\" "#.repeat(10_000)));
        assert!(quoted > 20_000, "{quoted}");
        for text in ["a".repeat(100_000), "1,2,3,4,5\\n".repeat(10_000)] {
            assert!(tokens(&body(&text)) >= 25_000, "{}", &text[..20]);
        }
        let escaped = tokens(&body(&"\\u4eca".repeat(20_000)));
        assert!((15_000..16_000).contains(&escaped), "{escaped}");
        let image = "iVBORw0KGgo".repeat(40_000);
        for body in [
            format!(r#"{{"inline_data":{{"mime_type":"image/png","data": "{image}"}}}}"#),
            format!(r#"{{"image_url":{{"url":"data:image/png;base64,{image}"}}}}"#),
            format!(r#"{{"instances":[{{"image":{{"bytesBase64Encoded":"{image}"}}}}]}}"#),
        ] {
            assert!(tokens(&body) < 100, "{}", &body[..40]);
        }
    }

    #[test]
    fn counts_the_texts_of_a_batch() {
        let batch = |count: usize| vec![r#"{"content":{"parts":[{"text":"a"}]}}"#; count].join(",");
        for (path, body, expected) in [
            ("/v1/embeddings", r#"{"input":["a","b","c"]}"#.to_owned(), 3),
            ("/v1/embeddings", r#"{"input":[[1,2],[3]]}"#.to_owned(), 2),
            ("/v1/embeddings", r#"{"input":[1,2,3]}"#.to_owned(), 0),
            ("/v1/embeddings", r#"{"input":"a"}"#.to_owned(), 0),
            (
                "/v1beta/models/m:batchEmbedContents",
                format!(r#"{{"requests":[{}]}}"#, batch(143)),
                143,
            ),
            (CHAT, r#"{"input":["a","b"]}"#.to_owned(), 0),
        ] {
            assert_eq!(of(path, "m", &body).size.texts, expected, "{body}");
        }
    }
}
