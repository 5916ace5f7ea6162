//! Resolves mistyped base URLs, and paths of other APIs that Google lacks.
//!
//! Clients append their own path to the configured base URL, which leads to missing or repeated
//! versions and slashes. A path that can only mean one thing is served.

use super::{COMPATIBLE, GEMINI_ONLY, SHARED, VERSIONS, collection};
use crate::wire::Surface;
use std::borrow::Cow;

/// Prefixes of paths below OpenAI's `/v1/` that Gemini's API cannot have.
const OPENAI_ONLY: [&str; 12] = [
    "audio/",
    "chat/",
    "completions",
    "embeddings",
    "images/",
    "messages",
    "moderations",
    "rerank",
    "responses",
    "threads",
    "vector_stores",
    "videos",
];

/// Prefixes of paths that Google does not offer, without the version, and the advice for each.
const UNAVAILABLE: [(&str, &str); 20] = [
    (
        "responses/",
        "The pool stores no responses and offers only POST /v1/responses. Send the whole conversation in `input`.",
    ),
    (
        "messages/batches",
        "The pool does not offer Anthropic's batches. Send the requests one by one, or use the batches of Gemini's API.",
    ),
    ("audio/", NO_AUDIO),
    (
        "moderations",
        "Google's OpenAI API does not offer moderation. Disable it in the client, or use another provider for it.",
    ),
    ("images/edits", NO_EDITS),
    ("images/variations", NO_EDITS),
    ("assistants", NOT_AT_GOOGLE),
    ("containers", NOT_AT_GOOGLE),
    ("conversations", NOT_AT_GOOGLE),
    ("evals", NOT_AT_GOOGLE),
    ("fine_tuning", NOT_AT_GOOGLE),
    ("realtime", NO_LIVE),
    ("rerank", NOT_AT_GOOGLE),
    ("threads", NOT_AT_GOOGLE),
    ("uploads", NOT_AT_GOOGLE),
    ("vector_stores", NOT_AT_GOOGLE),
    ("api/chat", NO_OLLAMA),
    ("api/generate", NO_OLLAMA),
    ("api/tags", NO_OLLAMA),
    ("ws/", NO_LIVE),
];
const NO_AUDIO: &str = "The pool offers `audio/speech` and `audio/transcriptions`. To translate audio, send it to a chat as `input_audio`.";
const NO_EDITS: &str = "Google's OpenAI API can generate images (`images/generations`) but cannot edit them. Use a Gemini image model through chat or through Gemini's own API.";
const NO_LIVE: &str =
    "The pool does not support WebSockets, which the Live API and OpenAI's Realtime API need.";
const NO_OLLAMA: &str = "This path belongs to Ollama's API. Configure the client for an OpenAI-compatible provider with the base URL `…/v1`.";
const NOT_AT_GOOGLE: &str = "Google's OpenAI API does not offer this. It offers chat/completions, embeddings, models, images/generations, files and batches.";

/// The advice for any other unknown path.
const UNKNOWN: &str = "There is no such path. Set the client's base URL to the pool's address with /v1 for OpenAI's API, to the address alone for Anthropic's, and to either that or the address with /v1beta for Gemini's.";

/// Resolves a path. `credential` is the API whose clients send credentials the way this request
/// does.
pub(super) fn resolve(path: &str, credential: Surface) -> Cow<'_, str> {
    let plain = with_single_slashes(path);
    let Some((version, rest)) = split(&plain) else {
        // Google's clients append the path of an upload, version included, to the base URL.
        let (version, media) = split_versions(plain.strip_prefix('/').unwrap_or_default());
        return match version.filter(|_| !media.is_empty()) {
            Some(_) => format!("/{media}").into(),
            None => plain,
        };
    };
    let resolved = if let Some(rest) = rest.strip_prefix("openai/") {
        format!("{COMPATIBLE}{}", split_versions(rest).1)
    } else if is_openai_only(rest) {
        format!("/v1/{rest}")
    } else {
        match version {
            Some(version) => format!("/{version}/{rest}"),
            None if is_gemini_only(rest) => format!("/v1beta/{rest}"),
            None if !SHARED.contains(&collection(rest)) => return plain,
            None if credential == Surface::Gemini => format!("/v1beta/{rest}"),
            None => format!("/v1/{rest}"),
        }
    };
    if resolved == plain {
        plain
    } else {
        resolved.into()
    }
}

/// Returns the advice for a path that is not served.
pub fn advice(path: &str) -> &'static str {
    let plain = with_single_slashes(path);
    advice_if_unavailable(&plain).unwrap_or(UNKNOWN)
}

/// Returns the advice for a path that Google is known to lack; `None` if it may exist.
pub(super) fn advice_if_unavailable(path: &str) -> Option<&'static str> {
    let (version, rest) = split_versions(path.strip_prefix('/')?);
    let rest = match rest.strip_prefix("openai/") {
        Some(rest) => rest,
        // Gemini's API may gain paths.
        None if matches!(version, Some("v1beta" | "v1alpha")) => return None,
        None => rest,
    };
    UNAVAILABLE
        .iter()
        .find(|(prefix, _)| is_below(rest, prefix))
        .map(|(_, advice)| *advice)
}

/// Whether the path below `/v1/` cannot be Gemini's.
pub(super) fn is_openai_only(rest: &str) -> bool {
    !rest.contains(':') && OPENAI_ONLY.iter().any(|prefix| is_below(rest, prefix))
}

/// Whether the path below the version cannot be OpenAI's.
pub(super) fn is_gemini_only(rest: &str) -> bool {
    rest.contains(':') || GEMINI_ONLY.contains(&collection(rest))
}

/// Whether a path equals `prefix` or is below it.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
}

/// Splits off the effective version, which is the last one if there are several. Returns `None` for
/// paths below `/upload/` and the like, which no client setting affects.
fn split(path: &str) -> Option<(Option<&str>, &str)> {
    let path = path.strip_prefix('/')?;
    let (version, rest) = split_versions(path);
    let is_media = ["upload", "download"].contains(&collection(rest));
    (!is_media && !rest.is_empty()).then_some((version, rest))
}

fn split_versions(path: &str) -> (Option<&str>, &str) {
    let mut found = (None, path);
    while let Some((first, rest)) = found.1.split_once('/')
        && VERSIONS.contains(&first)
    {
        found = (Some(first), rest);
    }
    found
}

/// Removes empty segments and a trailing slash.
fn with_single_slashes(path: &str) -> Cow<'_, str> {
    let is_plain = !path.contains("//") && !path.ends_with('/');
    if is_plain || !path.starts_with('/') {
        return path.into();
    }
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments
        .flat_map(|segment| ["/", segment])
        .collect::<String>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_mistyped_base_urls() {
        for case in [
            "/v1/chat/completions/ -> /v1/chat/completions",
            "/v1//chat/completions -> /v1/chat/completions",
            "//v1/models -> /v1/models",
            "/chat/completions -> /v1/chat/completions",
            "/embeddings -> /v1/embeddings",
            "/models -> /v1/models",
            "/models/gemini-x -> /v1/models/gemini-x",
            "/v1/v1/chat/completions -> /v1/chat/completions",
            "/v1beta/chat/completions -> /v1/chat/completions",
            "/openai/chat/completions -> /v1beta/openai/chat/completions",
            "/v1/openai/models -> /v1beta/openai/models",
            "/v1beta/openai/v1/models -> /v1beta/openai/models",
            "/models/m:generateContent -> /v1beta/models/m:generateContent",
            "/v1beta/v1/models/m:generateContent -> /v1/models/m:generateContent",
            "/v1/v1beta/models/m:generateContent -> /v1beta/models/m:generateContent",
            "/v1beta/v1beta/models -> /v1beta/models",
            "/cachedContents/c -> /v1beta/cachedContents/c",
            "/v1beta/models -> /v1beta/models",
            "/v1/what/comes/next -> /v1/what/comes/next",
            "/upload/v1beta/files -> /upload/v1beta/files",
            "/v1beta/upload/v1/files -> /upload/v1/files",
            "/v1/upload/v1beta/files -> /upload/v1beta/files",
            "/v1beta/download/v1beta/files/f:download -> /download/v1beta/files/f:download",
            "/what -> /what",
            "/v1/ -> /v1",
            "/ -> ",
        ] {
            let (path, expected) = case.split_once(" -> ").unwrap();
            assert_eq!(resolve(path, Surface::OpenAi), expected, "{path}");
        }
        assert_eq!(resolve("/models", Surface::Gemini), "/v1beta/models");
        assert_eq!(resolve("/files/f", Surface::Gemini), "/v1beta/files/f");
    }

    #[test]
    fn gives_advice_for_paths_of_other_apis() {
        for path in [
            "/v1/responses/r",
            "/v1/audio/translations",
            "/v1/messages/batches",
            "/api/tags",
            "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
        ] {
            assert!(advice_if_unavailable(path).is_some(), "{path}");
            assert_ne!(advice(path), UNKNOWN, "{path}");
        }
        for path in [
            "/v1/chat/completions",
            "/v1/embeddings",
            "/v1/images/generations",
            "/v1/responses",
            "/v1/messages/count_tokens",
            "/v1/completions",
            "/v1/models/responses",
            "/v1/responses-next",
            "/v1beta/evals",
            "/",
        ] {
            assert_eq!(advice_if_unavailable(path), None, "{path}");
        }
        assert!(advice("/v1//realtime/").contains("WebSockets"));
        assert_eq!(advice("/v2/x"), UNKNOWN);
    }
}
