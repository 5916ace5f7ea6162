//! Repairs that completions and stream chunks have in common.

use super::context::Context;
use super::ids::{CallIds, answer_id};
use super::parts::{Answer, Choice, ToolCall};
use crate::wire::is_malformed_call;
use crate::wire::json::{Patch, is_blank, member, text_or_blank};
use serde_json::value::RawValue;

/// The finish reason of a complete choice.
pub(super) const STOP: &str = "stop";
/// The finish reason of a choice that waits for the results of its tool calls.
pub(super) const TOOL_CALLS: &str = "tool_calls";
/// The finish reason of a choice cut short because of its content.
pub(super) const CONTENT_FILTER: &str = "content_filter";
/// A message without content.
pub(super) const EMPTY_MESSAGE: &str = r#"{"role":"assistant","content":null}"#;

/// Adds a missing id or type to a tool call.
pub(super) fn repair_call(
    patch: &mut Patch<'_>,
    entry: &RawValue,
    call: &ToolCall<'_>,
    ids: &mut CallIds,
) {
    // An id that is not a string is left unchanged.
    if let Some(id) = text_or_blank(call.id).and_then(|old| ids.replacement(&old)) {
        patch.set(entry.get(), "id", call.id, &json_text(&id));
    }
    if is_blank(call.kind) && call.custom.is_none() {
        patch.set(entry.get(), "type", call.kind, "\"function\"");
    }
}

/// Returns the finish reason of a choice as one known to OpenAI's API, or `None` if it has none.
///
/// `end` is the reason of a choice that did not break off: [`STOP`] or [`TOOL_CALLS`].
pub(super) fn finish_reason(choice: &Choice<'_>, end: &'static str) -> Option<&'static str> {
    let reason = text_or_blank(choice.finish_reason).filter(|reason| !reason.is_empty())?;
    Some(match map_reason(&reason) {
        STOP => end,
        reason => reason,
    })
}

/// Maps Google's reasons to those of OpenAI's API. They are upper case, or follow one of OpenAI's
/// (`content_filter: SAFETY`). An unknown reason means that the answer was cut short.
fn map_reason(reason: &str) -> &'static str {
    let class = reason.split(':').next().unwrap_or_default().trim();
    match class.to_ascii_uppercase().as_str() {
        "STOP" | "FINISH_REASON_UNSPECIFIED" | "NO_IMAGE" | "TOO_MANY_TOOL_CALLS" => STOP,
        "LENGTH" | "MAX_TOKENS" => "length",
        "TOOL_CALLS" => TOOL_CALLS,
        "FUNCTION_CALL" => "function_call",
        // The answer is complete apart from the malformed call.
        _ if is_malformed_call(reason) => STOP,
        _ => CONTENT_FILTER,
    }
}

/// Adds a missing list of choices: an empty one, or one filtered choice if the prompt was refused.
/// `field` is the one that holds a choice's content.
pub(super) fn repair_choices(patch: &mut Patch<'_>, json: &str, answer: &Answer<'_>, field: &str) {
    let choices = if answer.is_refusal() {
        format!(r#"[{{"index":0,"{field}":{EMPTY_MESSAGE},"finish_reason":"{CONTENT_FILTER}"}}]"#)
    } else if answer.choices.is_none() {
        "[]".to_owned()
    } else {
        return;
    };
    patch.set(json, "choices", member(json, "choices"), &choices);
}

/// The fields that every answer has next to its choices, as JSON, for those that lack them.
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: String,
    pub(super) model: String,
}

impl Head {
    pub(super) fn of(context: &Context) -> Self {
        Self {
            id: json_text(&answer_id(context.seed)),
            created: context.created.to_string(),
            model: json_text(&context.model),
        }
    }

    pub(super) fn is_missing_in(answer: &Answer<'_>) -> bool {
        [answer.id, answer.object, answer.created, answer.model]
            .into_iter()
            .any(is_blank)
    }

    pub(super) fn fill_in(
        &self,
        patch: &mut Patch<'_>,
        json: &str,
        answer: &Answer<'_>,
        kind: &str,
    ) {
        for (name, old, value) in [
            ("id", answer.id, &self.id),
            ("object", answer.object, &json_text(kind)),
            ("created", answer.created, &self.created),
            ("model", answer.model, &self.model),
        ] {
            if is_blank(old) {
                patch.set(json, name, old, value);
            }
        }
    }
}

pub(super) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_every_reason_to_one_of_openais() {
        for (reason, expected) in [
            ("stop", "stop"),
            ("length", "length"),
            ("tool_calls", "tool_calls"),
            ("content_filter", "content_filter"),
            ("function_call", "function_call"),
            ("STOP", "stop"),
            ("Stop", "stop"),
            ("MAX_TOKENS", "length"),
            ("max_tokens", "length"),
            ("FINISH_REASON_UNSPECIFIED", "stop"),
            ("SAFETY", "content_filter"),
            ("safety", "content_filter"),
            ("RECITATION", "content_filter"),
            ("BLOCKLIST", "content_filter"),
            ("PROHIBITED_CONTENT", "content_filter"),
            ("SPII", "content_filter"),
            ("LANGUAGE", "content_filter"),
            ("IMAGE_SAFETY", "content_filter"),
            ("OTHER", "content_filter"),
            ("content_filter: PROHIBITED_CONTENT", "content_filter"),
            ("content_filter:OTHER", "content_filter"),
            ("MALFORMED_FUNCTION_CALL", "stop"),
            ("malformed_function_call", "stop"),
            ("UNEXPECTED_TOOL_CALL", "stop"),
            ("function_call_filter: MALFORMED_FUNCTION_CALL", "stop"),
            ("function_call_filter: UNEXPECTED_TOOL_CALL", "stop"),
            ("A_FUTURE_REASON", "content_filter"),
        ] {
            assert_eq!(map_reason(reason), expected, "{reason}");
        }
    }
}
