//! What whole completions and chunks of streams have in common.

use super::Context;
use super::ids::{CallIds, answer_id};
use super::skim::{Answer, Choice, ToolCall, is_blank, is_text, text_or_blank};
use crate::openai::patch::Patch;
use serde_json::value::RawValue;

/// Gives a call an id and a type.
pub(super) fn mend_call(
    patch: &mut Patch<'_>,
    entry: &RawValue,
    call: &ToolCall<'_>,
    ids: &mut CallIds,
) {
    // An id that is no text stays.
    if let Some(id) = text_or_blank(call.id).and_then(|own| ids.replacement(&own)) {
        patch.set(entry.get(), "id", call.id, &json_text(&id));
    }
    // There are calls of other types.
    if is_blank(call.kind) && call.function.is_some() {
        patch.set(entry.get(), "type", call.kind, "\"function\"");
    }
}

/// A choice with tool calls has not said all: its client is to come back with what they gave.
pub(super) fn end_with_calls(patch: &mut Patch<'_>, choice: &Choice<'_>) {
    if let Some(reason) = choice.finish_reason
        && (is_text(Some(reason), "stop") || is_text(Some(reason), "STOP"))
    {
        patch.replace(reason, "\"tool_calls\"");
    }
}

/// What every answer has beside its choices, as JSON, for those that lack it.
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
        for (name, own, value) in [
            ("id", answer.id, &self.id),
            ("object", answer.object, &json_text(kind)),
            ("created", answer.created, &self.created),
            ("model", answer.model, &self.model),
        ] {
            if is_blank(own) {
                patch.set(json, name, own, value);
            }
        }
    }
}

pub(super) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
