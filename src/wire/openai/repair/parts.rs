//! The parts of an answer that may need repair, found in its text.
//!
//! Values stay unread, so that their place in the text is known, and a chunk of plain text costs no more than a look at it,
//! its choices and their deltas. A part of an unexpected type, or a name of these that is given twice, makes the whole
//! unreadable, and it passes as it is: nobody knows what a client takes it for.

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
    /// Google's own name for why a prompt was refused.
    #[serde(borrow, default, deserialize_with = "raw", rename = "promptFeedback")]
    pub(super) feedback: Raw<'a>,
}

/// One of an answer's choices.
#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    /// Which one it is; `None` counts as the first.
    pub(super) index: Option<u32>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) finish_reason: Raw<'a>,
    /// Of a batch output, which has its names in camel case.
    #[serde(rename = "finishReason")]
    pub(super) camel_case: Option<IgnoredAny>,
    /// Of a chunk.
    #[serde(borrow)]
    pub(super) delta: Option<Object<'a, Said<'a>>>,
    /// Of a whole completion: to be read as [`Said`].
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) message: Raw<'a>,
}

/// A message or a delta.
#[derive(Deserialize)]
pub(super) struct Said<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) role: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) content: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) extra_content: Raw<'a>,
    /// Where it was before it came in `extra_content`.
    #[serde(borrow, default, deserialize_with = "raw")]
    pub(super) thought_signature: Raw<'a>,
    /// To be read as a list of [`ToolCall`]s.
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
    /// Of a call of another type.
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
    /// Whether it says to be of this kind, or has what one has and does not say.
    pub(super) fn is(&self, kind: &str) -> bool {
        if is_blank(self.object) {
            self.choices.is_some() || self.usage().is_some() || self.is_refusal()
        } else {
            is_text(self.object, kind)
        }
    }

    /// Its prompt was not answered.
    pub(super) fn is_refusal(&self) -> bool {
        self.feedback.is_some_and(|feedback| !is_empty(feedback)) && !self.has_choices()
    }

    /// What it cost, if it says that.
    pub(super) fn usage(&self) -> Raw<'a> {
        self.usage.filter(|usage| usage.get().starts_with('{'))
    }

    pub(super) fn has_choices(&self) -> bool {
        self.choices.as_ref().is_some_and(|list| !list.is_empty())
    }
}

impl<'a> Said<'a> {
    /// Its tool calls, unread.
    pub(super) fn tool_calls(&self) -> Vec<&'a RawValue> {
        self.tool_calls.and_then(read).unwrap_or_default()
    }
}
