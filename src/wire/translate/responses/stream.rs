//! The events of a response's stream.
//!
//! Source: `ResponseStreamEvent` of <https://github.com/openai/openai-openapi>.

use super::response::{Annotation, Content, Item, Response};
use crate::wire::translate::events::Events;
use serde::Serialize;

/// Numbers the events.
#[derive(Default)]
pub(super) struct Stream {
    next: u64,
}

impl Stream {
    /// Whether no event has been written.
    pub(super) fn is_new(&self) -> bool {
        self.next == 0
    }

    /// Writes an event.
    pub(super) fn send(&mut self, events: &mut Events, kind: &'static str, data: &impl Serialize) {
        let event = Event {
            kind,
            sequence_number: self.next,
            data,
        };
        events.push(kind, &event);
        self.next = self.next.saturating_add(1);
    }
}

#[derive(Serialize)]
struct Event<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    #[serde(flatten)]
    data: &'a T,
}

/// An event about the response.
#[derive(Serialize)]
pub(super) struct Whole<'a> {
    pub(super) response: Response<'a>,
}

/// The event `error`.
///
/// Clients of OpenAI raise an error only if there is a member `error`, which is not in the
/// description. The others are, and the AI SDK checks them.
#[derive(Serialize)]
pub(super) struct Failure<'a> {
    pub(super) code: &'a str,
    pub(super) message: &'a str,
    pub(super) param: (),
    pub(super) error: ErrorDetails<'a>,
}

/// An error as in other responses of OpenAI.
#[derive(Serialize)]
pub(super) struct ErrorDetails<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    pub(super) code: &'a str,
    pub(super) message: &'a str,
    pub(super) param: (),
}

impl<'a> Failure<'a> {
    pub(super) fn new(kind: &'a str, code: &'a str, message: &'a str) -> Self {
        let error = ErrorDetails {
            kind,
            code,
            message,
            param: (),
        };
        Self {
            code,
            message,
            param: (),
            error,
        }
    }
}

/// An event about an item.
#[derive(Serialize)]
pub(super) struct Itemized<'a> {
    pub(super) output_index: usize,
    pub(super) item: &'a Item,
}

/// An event within an item.
#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Detail<'a> {
    item_id: &'a str,
    output_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotation_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotation: Option<&'a Annotation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<&'a Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
}

impl<'a> Detail<'a> {
    pub(super) fn of(item_id: &'a str, output_index: usize) -> Self {
        Self {
            item_id,
            output_index,
            ..Self::default()
        }
    }

    /// In the content of a message, which has one part.
    pub(super) fn content(self) -> Self {
        Self {
            content_index: Some(0),
            ..self
        }
    }

    /// In the summary of a reasoning item, which has one part.
    pub(super) fn summary(self) -> Self {
        Self {
            summary_index: Some(0),
            ..self
        }
    }

    pub(super) fn part(self, part: &'a Content) -> Self {
        Self {
            part: Some(part),
            ..self
        }
    }

    pub(super) fn delta(self, delta: &'a str) -> Self {
        Self {
            delta: Some(delta),
            ..self
        }
    }

    pub(super) fn text(self, text: &'a str) -> Self {
        Self {
            text: Some(text),
            ..self
        }
    }

    pub(super) fn arguments(self, name: &'a str, arguments: &'a str) -> Self {
        Self {
            name: Some(name),
            arguments: Some(arguments),
            ..self
        }
    }

    pub(super) fn input(self, input: &'a str) -> Self {
        Self {
            input: Some(input),
            ..self
        }
    }

    pub(super) fn annotation(self, index: usize, annotation: &'a Annotation) -> Self {
        Self {
            annotation_index: Some(index),
            annotation: Some(annotation),
            ..self
        }
    }

    pub(super) fn with_logprobs(self) -> Self {
        Self {
            logprobs: Some([]),
            ..self
        }
    }
}
