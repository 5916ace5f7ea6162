//! Summarizes an answer: its token usage, and whether it has content.
//!
//! Google counts separately what OpenAI counts together: `completion_tokens` excludes thinking
//! tokens, `total_tokens` includes them (<https://ai.google.dev/gemini-api/docs/openai>). Google
//! also sends answers with nothing in them: 200, `stop`, no content, no tokens.
//!
//! Only field names are copied, and a field of an unexpected type does not affect the others.

use crate::pool::Usage;
use crate::wire::json::{Members, find, is_empty, parse, read};
use crate::wire::{Summary, is_malformed_call};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Summarizes a completion or the data of one stream event; `None` if the text is neither.
pub fn summarize(json: &[u8]) -> Option<Summary> {
    let Members(members) = parse(json)?;
    let member = |name: &str| find(&members, name);
    let choices = member("choices");
    let usage = member("usage");
    // Google's own field for a prompt that it refused.
    let feedback = member("promptFeedback").filter(|feedback| !is_empty(feedback));
    let object = member("object").and_then(read::<Cow<'_, str>>);
    let is_completion = object.is_some_and(|kind| kind.starts_with("chat.completion"));
    if choices.is_none() && usage.is_none() && feedback.is_none() && !is_completion {
        return None;
    }

    let mut summary = Summary {
        usage: usage.and_then(read_usage),
        is_blocked: feedback.is_some(),
        ..Summary::default()
    };
    let choices = choices.and_then(read::<Vec<&RawValue>>).unwrap_or_default();
    for Members(choice) in choices.into_iter().filter_map(read) {
        for message in ["message", "delta"].map(|name| find(&choice, name)) {
            match message.map_or(Content::None, content) {
                Content::None => {}
                Content::Thought => summary.has_content = true,
                Content::Answer => (summary.has_content, summary.has_answer) = (true, true),
            }
        }
        let reason = find(&choice, "finish_reason").and_then(read::<Cow<'_, str>>);
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            summary.is_finished = true;
            summary.is_blocked |= !(is_complete(&reason) || is_malformed_call(&reason));
        }
    }
    Some(summary)
}

/// Reads the token counts; `None` if there are none.
fn read_usage(usage: &RawValue) -> Option<Usage> {
    let Members(counts) = read(usage)?;
    let count = |name: &str| find(&counts, name).and_then(read::<u64>);
    let input = count("prompt_tokens");
    let output = count("completion_tokens");
    let total = count("total_tokens");
    let known = [input, output, total].iter().any(Option::is_some);
    let cached = find(&counts, "prompt_tokens_details")
        .and_then(read::<Members<'_>>)
        .and_then(|Members(details)| find(&details, "cached_tokens").and_then(read::<u64>));
    let (input, output) = (input.unwrap_or_default(), output.unwrap_or_default());
    known.then(|| Usage {
        input,
        output,
        thinking: total
            .unwrap_or_default()
            .saturating_sub(input)
            .saturating_sub(output),
        cached: cached.unwrap_or_default(),
    })
}

/// Whether a choice with this finish reason is complete. Google's own names are upper case.
fn is_complete(finish_reason: &str) -> bool {
    ["stop", "tool_calls", "function_call"]
        .iter()
        .any(|name| finish_reason.eq_ignore_ascii_case(name))
}

/// The content of a message or a delta.
enum Content {
    None,
    Thought,
    Answer,
}

/// Fields of a message that are not an answer by themselves.
const NON_ANSWER_FIELDS: [&str; 6] = [
    "role",
    "content",
    "extra_content",
    "thought_signature",
    "reasoning_content",
    "reasoning",
];

fn content(message: &RawValue) -> Content {
    let Some(Members(members)) = read(message) else {
        return Content::None;
    };
    let has = |name: &str| find(&members, name).is_some_and(|value| !is_empty(value));
    let has_other = members
        .iter()
        .any(|(name, value)| !NON_ANSWER_FIELDS.contains(&&**name) && !is_empty(value));
    let is_thought = find(&members, "extra_content").is_some_and(is_thought);
    if has_other || (has("content") && !is_thought) {
        Content::Answer
    } else if has("content") || has("reasoning_content") || has("reasoning") {
        Content::Thought
    } else {
        Content::None
    }
}

/// `{"google":{"thought":true}}` marks the content as a thought.
fn is_thought(extra: &RawValue) -> bool {
    let google = read::<Members<'_>>(extra)
        .and_then(|Members(extra)| find(&extra, "google").and_then(read::<Members<'_>>));
    google.is_some_and(|Members(google)| {
        find(&google, "thought").and_then(read::<bool>) == Some(true)
    })
}

#[cfg(test)]
mod tests;
