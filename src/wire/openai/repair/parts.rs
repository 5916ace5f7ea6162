//! Locates the parts of an answer that may need repair.
//!
//! Values stay unparsed, which preserves their position in the text and makes chunks of plain text
//! cheap. An answer with a part of an unexpected type, or with one of these names twice, is treated
//! as unreadable and passes unchanged: clients differ in how they interpret it.

use crate::wire::json::{Object, Raw, is_blank, is_empty, is_text, raw, read};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// A completion, or a chunk of one.
#[derive(Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) id: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) object: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) created: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) model: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) usage: Raw<'a>,
    #[serde(borrow)]
    pub(super) choices: Option<Vec<Object<'a, Choice<'a>>>>,
    /// Google's own field with the reason for refusing a prompt.
    #[serde(borrow, default, deserialize_with = "raw", rename = "promptFeedback")]
    pub(super) feedback: Raw<'a>,
}

/// One of an answer's choices.
#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    /// The index; `None` counts as 0.
    pub(super) index: Option<u32>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) finish_reason: Raw<'a>,
    /// Present in batch outputs, which use camel case.
    #[serde(rename = "finishReason")]
    pub(super) camel_case: Option<IgnoredAny>,
    /// Present in chunks.
    #[serde(borrow)]
    pub(super) delta: Option<Object<'a, Message<'a>>>,
    /// Present in completions, to be parsed as [`Message`].
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) message: Raw<'a>,
}

/// A message or a delta.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) role: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) content: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) extra_content: Raw<'a>,
    /// Where the signature was before the introduction of `extra_content`.
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) thought_signature: Raw<'a>,
    /// To be parsed as a list of [`ToolCall`]s.
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) tool_calls: Raw<'a>,
}

/// A tool call, or a part of one.
#[derive(Deserialize)]
pub(super) struct ToolCall<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) index: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) id: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw", rename = "type")]
    pub(super) kind: Raw<'a>,
    #[serde(borrow)]
    pub(super) function: Option<Object<'a, Function<'a>>>,
    /// Present in calls of another type.
    pub(super) custom: Option<IgnoredAny>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) extra_content: Raw<'a>,
}

/// The function of a tool call.
#[derive(Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) name: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) arguments: Raw<'a>,
}

impl<'a> Answer<'a> {
    /// Whether this is an object of this kind, by its `object` or, if that is absent, by its
    /// fields.
    pub(super) fn is(&self, kind: &str) -> bool {
        if is_blank(self.object) {
            self.choices.is_some() || self.usage().is_some() || self.is_refusal()
        } else {
            is_text(self.object, kind)
        }
    }

    /// Whether the prompt was refused.
    pub(super) fn is_refusal(&self) -> bool {
        self.feedback.is_some_and(|feedback| !is_empty(feedback)) && !self.has_choices()
    }

    /// The usage, if reported.
    pub(super) fn usage(&self) -> Raw<'a> {
        self.usage.filter(|usage| usage.get().starts_with('{'))
    }

    pub(super) fn has_choices(&self) -> bool {
        self.choices.as_ref().is_some_and(|list| !list.is_empty())
    }
}

impl<'a> Message<'a> {
    /// The tool calls, unparsed.
    pub(super) fn tool_calls(&self) -> Vec<&'a RawValue> {
        self.tool_calls.and_then(read).unwrap_or_default()
    }
}
