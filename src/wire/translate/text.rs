//! Answers of which only the text counts.

use super::answer::{Answer, End, PartContent};
use super::events::StreamError;
use crate::pool::Usage;

/// The text of an answer so far.
#[derive(Debug, Default)]
pub(crate) struct TextAnswer {
    pub(crate) text: String,
    pub(crate) end: Option<End<'static>>,
    pub(crate) usage: Usage,
}

impl TextAnswer {
    /// Takes the next event. Each piece of its text is also given to `on_text`.
    pub(crate) fn take(&mut self, answer: Answer<'_>, mut on_text: impl FnMut(&str)) {
        for part in answer.parts {
            if let PartContent::Text(text) = part.content {
                on_text(&text);
                self.text.push_str(&text);
            }
        }
        self.usage = answer.usage.unwrap_or(self.usage);
        if let Some(end) = answer.end {
            self.end = Some(end.into_owned());
        }
    }

    /// What to say of the answer if the model has failed to complete it.
    pub(crate) fn failure(&self) -> Option<String> {
        match &self.end {
            Some(End::Failed(reason)) => Some(StreamError::message_of_model(reason)),
            Some(End::Stop | End::MaxTokens | End::Blocked(_)) | None => None,
        }
    }
}
