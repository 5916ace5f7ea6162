//! Summarizes an answer in Google's format: its token usage, and whether it has content.
//!
//! Source: <https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse>.

use crate::pool::Usage;
use crate::wire::json::{Members, find, is_empty, parse, read};
use crate::wire::{Summary, is_malformed_call};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Summarizes an answer or the data of one stream event; `None` if the text is neither.
pub fn summarize(json: &[u8]) -> Option<Summary> {
    let Members(members) = parse(json)?;
    let member = |name: &str| find(&members, name);
    let candidates = member("candidates");
    let usage = member("usageMetadata");
    let feedback = member("promptFeedback").filter(|feedback| !is_empty(feedback));
    if candidates.is_none() && usage.is_none() && feedback.is_none() {
        return None;
    }
    let mut summary = Summary {
        usage: usage.and_then(read_usage),
        is_blocked: feedback.is_some(),
        ..Summary::default()
    };
    let candidates = candidates
        .and_then(read::<Vec<&RawValue>>)
        .unwrap_or_default();
    for Members(candidate) in candidates.into_iter().filter_map(read) {
        let parts = find(&candidate, "content").map(parts).unwrap_or_default();
        for Members(part) in parts.into_iter().filter_map(read) {
            if has_value(&part) {
                let is_thought = find(&part, "thought").and_then(read::<bool>) == Some(true);
                summary.has_content = true;
                summary.has_answer |= !is_thought;
            }
        }
        let reason = find(&candidate, "finishReason").and_then(read::<Cow<'_, str>>);
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            summary.is_finished = true;
            summary.is_blocked |= reason != "STOP" && !is_malformed_call(&reason);
        }
    }
    Some(summary)
}

fn parts(content: &RawValue) -> Vec<&RawValue> {
    let content = read::<Members<'_>>(content);
    content
        .and_then(|Members(content)| find(&content, "parts").and_then(read))
        .unwrap_or_default()
}

/// Whether a part has a non-empty field with content. A signature alone is meant for the next call,
/// not for a reader.
fn has_value(part: &[(Cow<'_, str>, &RawValue)]) -> bool {
    let metadata = ["thought", "thoughtSignature", "partMetadata"];
    part.iter()
        .any(|(name, value)| !metadata.contains(&&**name) && !is_empty(value))
}

/// Reads the token counts; `None` if there are none.
pub(crate) fn read_usage(usage: &RawValue) -> Option<Usage> {
    let Members(counts) = read(usage)?;
    let count = |name: &str| find(&counts, name).and_then(read::<u64>);
    let input = count("promptTokenCount");
    let tools = count("toolUsePromptTokenCount");
    let output = count("candidatesTokenCount");
    let thinking = count("thoughtsTokenCount");
    let cached = count("cachedContentTokenCount");
    let known = [input, tools, output, thinking, count("totalTokenCount")];
    known.iter().any(Option::is_some).then(|| Usage {
        input: input
            .unwrap_or_default()
            .saturating_add(tools.unwrap_or_default()),
        output: output.unwrap_or_default(),
        thinking: thinking.unwrap_or_default(),
        cached: cached.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":18,"candidatesTokenCount":80,"totalTokenCount":133,"promptTokensDetails":[{"modality":"TEXT","tokenCount":18}],"thoughtsTokenCount":35,"cachedContentTokenCount":4,"serviceTier":"standard"},"modelVersion":"gemini-2.5-flash","responseId":"ru1garvBEoOiqtsP2fznmQw"}"#;

    #[test]
    fn summarizes_recorded_answers() {
        for (json, expected) in [
            (TEXT, "content, finished"),
            (
                r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}]}"#,
                "finished",
            ),
            (
                r#"{"candidates":[{"content":{},"finishReason":"SAFETY","safetyRatings":[]}]}"#,
                "finished, blocked",
            ),
            (
                r#"{"candidates":[{"content":{"role":"model"},"finishReason":"MAX_TOKENS","index":0}]}"#,
                "finished, blocked",
            ),
            (
                r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{}}"#,
                "blocked",
            ),
            (
                r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"s"}]},"index":0}]}"#,
                "content",
            ),
            (
                r#"{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"s"}]},"index":0}]}"#,
                "",
            ),
            (
                r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"AA=="}}]}}]}"#,
                "content",
            ),
        ] {
            let summary = summarize(json.as_bytes()).unwrap_or_else(|| panic!("{json}"));
            assert_eq!(summary.has_content, expected.contains("content"), "{json}");
            assert_eq!(summary.is_finished, expected.contains("finished"), "{json}");
            assert_eq!(summary.is_blocked, expected.contains("blocked"), "{json}");
        }
    }

    #[test]
    fn thoughts_and_malformed_calls_are_not_answers() {
        let thought = r#"{"text":"hm","thought":true}"#;
        for (parts, reason, empty) in [
            (thought, "STOP", true),
            (&format!(r#"{thought},{{"text":"Hi"}}"#), "STOP", false),
            ("", "MALFORMED_FUNCTION_CALL", true),
            ("", "UNEXPECTED_TOOL_CALL", true),
            ("", "SAFETY", false),
            ("", "MAX_TOKENS", false),
        ] {
            let json = format!(
                r#"{{"candidates":[{{"content":{{"parts":[{parts}]}},"finishReason":"{reason}","index":0}}],"usageMetadata":{{"promptTokenCount":1,"thoughtsTokenCount":800}}}}"#
            );
            let summary = summarize(json.as_bytes()).unwrap();
            assert_eq!(summary.is_empty_answer(), empty, "{json}");
        }
    }

    #[test]
    fn token_counts_are_separated() {
        let usage = Usage {
            input: 18,
            output: 80,
            thinking: 35,
            cached: 4,
        };
        let summary = summarize(TEXT.as_bytes()).unwrap();
        assert_eq!(summary.usage, Some(usage));
        let odd = r#"{"usageMetadata":{"promptTokenCount":"7","toolUsePromptTokenCount":5}}"#;
        assert_eq!(summarize(odd.as_bytes()).unwrap().usage.unwrap().input, 5);
        let none = r#"{"usageMetadata":{}}"#;
        assert_eq!(summarize(none.as_bytes()).unwrap().usage, None);
        for other in ["", "[]", "{}", r#"{"models":[]}"#, r#"{"totalTokens":5}"#] {
            assert_eq!(summarize(other.as_bytes()), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn accepts_any_bytes(json in "[{}\\[\\]\":,a-z0-9]{0,80}") {
            let _ = summarize(json.as_bytes());
        }
    }
}
