//! Gemini's answer, as the events and items of a response.
//!
//! Items follow one another: a text, a thought or a call ends the item before it. An item is
//! announced, filled and ended as in OpenAI's streams.
//!
//! - A reasoning item stays open until the next part arrives, whose thought signature it carries.
//!   A signature without thoughts gets a reasoning item of its own. A signature that comes after a
//!   text has begun is dropped: Gemini does not demand those of texts
//!   (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
//! - Searches are reported by Gemini at the end, so their item follows the text.
//! - The last event is `response.completed`, `response.incomplete` or `response.failed`. Before a
//!   failure comes an `error`: Codex reads only the former, OpenAI's clients raise only the latter.
//! - A failure leaves the open item unfinished: Codex adds finished items to the conversation and
//!   asks again.

use super::citations::Found;
use super::form::{Form, Reasoning, Sources};
use super::response::{
    Annotation, Call, Content, ErrorCode, IncompleteReason, Item, ItemStatus, Outcome, Response,
    ResponseError, custom_input,
};
use super::stream::{Detail, Failure, Itemized, Stream, Whole};
use super::tools::{ClientTool, ToolKind};
use crate::pool::Usage;
use crate::wire::openai::signatures::{SignedCall, ToolCall};
use crate::wire::translate::answer::{Answer, End, Part, PartContent};
use crate::wire::translate::events::{Events, Ids, StreamError};
use crate::wire::translate::signature;
use std::borrow::Cow;
use std::collections::HashSet;
use std::rc::Rc;

/// The maximum length of a call's id (`call_id` in OpenAI's description).
const MAX_CALL_ID: usize = 64;

/// A response under way.
pub(crate) struct Turn {
    form: Rc<Form>,
    ids: Ids,
    id: String,
    stream: Stream,
    outcome: Outcome,
    /// The finished items.
    output: Vec<Item>,
    open: Option<Open>,
    call_ids: HashSet<String>,
    /// The length of the answer's text before the open message, in bytes.
    text_before: usize,
    found: Found,
    end: Option<End<'static>>,
    usage: Option<Usage>,
    signed_calls: Vec<SignedCall>,
}

/// The item that is being filled. Its index is the number of finished items.
enum Open {
    Reasoning {
        id: String,
        summary: String,
        signature: Option<String>,
    },
    Message {
        id: String,
        text: String,
    },
}

impl Turn {
    pub(crate) fn new(form: Rc<Form>) -> Self {
        let mut ids = Ids::new(form.seed);
        Self {
            id: ids.next("resp"),
            form,
            ids,
            stream: Stream::default(),
            outcome: Outcome::InProgress,
            output: Vec::new(),
            open: None,
            call_ids: HashSet::new(),
            text_before: 0,
            found: Found::default(),
            end: None,
            usage: None,
            signed_calls: Vec::new(),
        }
    }

    fn is_finished(&self) -> bool {
        !matches!(self.outcome, Outcome::InProgress)
    }

    fn response(&self) -> Response<'_> {
        Response::new(
            &self.form,
            &self.id,
            &self.output,
            &self.outcome,
            self.usage,
        )
    }

    /// The events before all others.
    fn start(&mut self, events: &mut Events) {
        if !self.stream.is_new() {
            return;
        }
        for event in ["response.created", "response.in_progress"] {
            let response = Response::new(&self.form, &self.id, &[], &self.outcome, None);
            self.stream.send(events, event, &Whole { response });
        }
    }

    /// The event after all others.
    fn finish(&mut self, outcome: Outcome, events: &mut Events) {
        self.outcome = outcome;
        let response = Response::new(
            &self.form,
            &self.id,
            &self.output,
            &self.outcome,
            self.usage,
        );
        self.stream
            .send(events, self.outcome.event(), &Whole { response });
    }

    /// Ends the response as failed.
    fn fail_with(&mut self, code: ErrorCode, message: String, events: &mut Events) {
        let error = ResponseError::new(code, message);
        let failure = Failure::new(error.kind(), code.name(), &error.message);
        self.stream.send(events, "error", &failure);
        self.finish_as_failed(error, events);
    }

    fn finish_as_failed(&mut self, error: ResponseError, events: &mut Events) {
        self.open = None;
        self.finish(Outcome::Failed(error), events);
    }

    fn part(&mut self, part: Part<'_>, events: &mut Events) {
        let signature = part.signature.as_deref();
        match part.content {
            PartContent::Thought(text) => self.thought(&text, signature, events),
            PartContent::Text(text) => self.text(&text, signature, events),
            PartContent::Call { id, name, args } => {
                let signature = signature.or(self.signature()).map(str::to_owned);
                self.before_item(signature.as_deref(), events);
                let id = self.call(&id, &name, args, events);
                self.remember(&id, &name, args, signature);
            }
            PartContent::Media { mime_type, data } if mime_type.starts_with("image/") => {
                self.before_item(signature, events);
                self.image(&data, events);
            }
            // A response has no item for them.
            PartContent::Media { .. } | PartContent::Other => {}
        }
    }

    /// The signature of the open reasoning item.
    fn signature(&self) -> Option<&str> {
        match &self.open {
            Some(Open::Reasoning { signature, .. }) => signature.as_deref(),
            Some(Open::Message { .. }) | None => None,
        }
    }

    /// Keeps a call's signature, unless the client sends it back.
    fn remember(&mut self, id: &str, name: &str, args: &str, signature: Option<String>) {
        match (self.form.reasoning, signature) {
            (Reasoning::Returned, _) | (Reasoning::Dropped, None) => {}
            (Reasoning::Dropped, Some(signature)) => self.signed_calls.push(SignedCall {
                call: ToolCall::new(id, name, args),
                signature,
            }),
        }
    }

    fn thought(&mut self, text: &str, signature: Option<&str>, events: &mut Events) {
        if !matches!(self.open, Some(Open::Reasoning { .. })) {
            self.close(ItemStatus::Completed, events);
            self.open_reasoning(events);
        }
        let index = self.output.len();
        let Some(Open::Reasoning {
            id,
            summary,
            signature: own,
        }) = &mut self.open
        else {
            return;
        };
        if let Some(signature) = signature {
            *own = Some(signature.to_owned());
        }
        if text.is_empty() {
            return;
        }
        let at = Detail::of(id, index).summary();
        if summary.is_empty() {
            let part = Content::SummaryText {
                text: String::new(),
            };
            self.stream.send(
                events,
                "response.reasoning_summary_part.added",
                &at.part(&part),
            );
        }
        summary.push_str(text);
        self.stream.send(
            events,
            "response.reasoning_summary_text.delta",
            &at.delta(text),
        );
    }

    fn text(&mut self, text: &str, signature: Option<&str>, events: &mut Events) {
        match (&mut self.open, text.is_empty()) {
            (Some(Open::Reasoning { signature: own, .. }), true) => {
                if let Some(signature) = signature {
                    *own = Some(signature.to_owned());
                }
                return;
            }
            (_, true) => return,
            (Some(Open::Message { .. }), false) => {}
            (Some(Open::Reasoning { .. }) | None, false) => {
                self.before_item(signature, events);
                self.open_message(events);
            }
        }
        let index = self.output.len();
        if let Some(Open::Message { id, text: whole }) = &mut self.open {
            whole.push_str(text);
            let detail = Detail::of(id, index).content().delta(text);
            let detail = detail.with_logprobs();
            self.stream
                .send(events, "response.output_text.delta", &detail);
        }
    }

    /// Ends the item before the next one, with the next one's signature.
    fn before_item(&mut self, signature: Option<&str>, events: &mut Events) {
        if let Some(signature) = signature {
            if !matches!(self.open, Some(Open::Reasoning { .. })) {
                self.close(ItemStatus::Completed, events);
                self.open_reasoning(events);
            }
            if let Some(Open::Reasoning { signature: own, .. }) = &mut self.open {
                *own = Some(signature.to_owned());
            }
        }
        self.close(ItemStatus::Completed, events);
    }

    fn open_reasoning(&mut self, events: &mut Events) {
        let id = self.ids.next("rs");
        let item = Item::Reasoning {
            id: id.clone(),
            summary: Vec::new(),
            encrypted_content: None,
        };
        self.announce(&item, events);
        self.open = Some(Open::Reasoning {
            id,
            summary: String::new(),
            signature: None,
        });
    }

    fn open_message(&mut self, events: &mut Events) {
        let id = self.ids.next("msg");
        let item = Item::Message {
            id: id.clone(),
            status: ItemStatus::InProgress,
            role: "assistant",
            content: Vec::new(),
        };
        self.announce(&item, events);
        let part = output_text(String::new(), Vec::new());
        let detail = Detail::of(&id, self.output.len()).content().part(&part);
        self.stream
            .send(events, "response.content_part.added", &detail);
        self.open = Some(Open::Message {
            id,
            text: String::new(),
        });
    }

    /// Ends the open item.
    fn close(&mut self, status: ItemStatus, events: &mut Events) {
        match self.open.take() {
            None => {}
            Some(Open::Reasoning {
                id,
                summary,
                signature,
            }) => self.close_reasoning(id, summary, signature, events),
            Some(Open::Message { id, text }) => self.close_message(id, text, status, events),
        }
    }

    fn close_reasoning(
        &mut self,
        id: String,
        summary: String,
        signature: Option<String>,
        events: &mut Events,
    ) {
        let at = Detail::of(&id, self.output.len()).summary();
        let mut parts = Vec::new();
        if !summary.is_empty() {
            let done = at.text(&summary);
            self.stream
                .send(events, "response.reasoning_summary_text.done", &done);
            let part = Content::SummaryText {
                text: summary.clone(),
            };
            let done = at.part(&part);
            self.stream
                .send(events, "response.reasoning_summary_part.done", &done);
            parts.push(part);
        }
        self.push(
            Item::Reasoning {
                id,
                summary: parts,
                encrypted_content: signature.as_deref().map(signature::to_client),
            },
            events,
        );
    }

    fn close_message(&mut self, id: String, text: String, status: ItemStatus, events: &mut Events) {
        let at = Detail::of(&id, self.output.len()).content();
        let annotations = self.found.annotations(self.text_before, &text);
        self.text_before = self.text_before.saturating_add(text.len());
        for (index, annotation) in annotations.iter().enumerate() {
            let detail = at.annotation(index, annotation);
            self.stream
                .send(events, "response.output_text.annotation.added", &detail);
        }
        let done = at.text(&text).with_logprobs();
        self.stream.send(events, "response.output_text.done", &done);
        let part = output_text(text.clone(), annotations);
        self.stream
            .send(events, "response.content_part.done", &at.part(&part));
        self.push(
            Item::Message {
                id,
                status,
                role: "assistant",
                content: vec![part],
            },
            events,
        );
    }

    /// A call of a tool by Gemini's name. Returns its id.
    fn call(&mut self, id: &str, name: &str, args: &str, events: &mut Events) -> String {
        let call_id = self.call_id(id);
        let form = Rc::clone(&self.form);
        let tool = match form.tools.get(name) {
            Some(tool) => Cow::Borrowed(tool),
            None => Cow::Owned(ClientTool::unknown(name)),
        };
        let id = match tool.kind {
            // The results of a local shell may name it by either id.
            ToolKind::LocalShell => call_id.clone(),
            ToolKind::Function
            | ToolKind::Custom
            | ToolKind::Shell
            | ToolKind::ApplyPatch
            | ToolKind::ToolSearch => self.ids.next(prefix(tool.kind)),
        };
        let call = Call {
            tool: &tool,
            id: &id,
            call_id: &call_id,
        };
        self.announce(&call.item(ItemStatus::InProgress, ""), events);
        let at = Detail::of(&id, self.output.len());
        let stream = &mut self.stream;
        let item = match tool.kind {
            ToolKind::Function => {
                let (delta, done) = (at.delta(args), at.arguments(&tool.name, args));
                stream.send(events, "response.function_call_arguments.delta", &delta);
                stream.send(events, "response.function_call_arguments.done", &done);
                call.item(ItemStatus::Completed, args)
            }
            ToolKind::Custom => {
                let input = custom_input(args);
                let (delta, done) = (at.delta(&input), at.input(&input));
                stream.send(events, "response.custom_tool_call_input.delta", &delta);
                stream.send(events, "response.custom_tool_call_input.done", &done);
                call.item(ItemStatus::Completed, &input)
            }
            ToolKind::LocalShell
            | ToolKind::Shell
            | ToolKind::ApplyPatch
            | ToolKind::ToolSearch => call.item(ItemStatus::Completed, args),
        };
        self.push(item, events);
        call_id
    }

    /// Gemini's id of a call if clients accept it and no other call has it, or a new one.
    fn call_id(&mut self, id: &str) -> String {
        let id = match is_call_id(id) && !self.call_ids.contains(id) {
            true => id.to_owned(),
            false => self.ids.next("call"),
        };
        self.call_ids.insert(id.clone());
        id
    }

    fn image(&mut self, data: &str, events: &mut Events) {
        let id = self.ids.next("ig");
        let item = |status, result| Item::ImageGenerationCall {
            id: id.clone(),
            status,
            result,
        };
        self.announce(&item(ItemStatus::InProgress, None), events);
        for event in [
            "response.image_generation_call.in_progress",
            "response.image_generation_call.generating",
            "response.image_generation_call.completed",
        ] {
            let at = Detail::of(&id, self.output.len());
            self.stream.send(events, event, &at);
        }
        self.push(item(ItemStatus::Completed, Some(data.to_owned())), events);
    }

    /// The item about what was searched for.
    fn search(&mut self, events: &mut Events) {
        if !self.found.has_queries() {
            return;
        }
        let id = self.ids.next("ws");
        let announced = Item::WebSearchCall {
            id: id.clone(),
            status: ItemStatus::InProgress,
            action: self.found.action(None),
        };
        self.announce(&announced, events);
        for event in [
            "response.web_search_call.in_progress",
            "response.web_search_call.searching",
            "response.web_search_call.completed",
        ] {
            let at = Detail::of(&id, self.output.len());
            self.stream.send(events, event, &at);
        }
        let sources = match self.form.sources {
            Sources::Included => Some(self.found.sources()),
            Sources::Omitted => None,
        };
        let item = Item::WebSearchCall {
            id,
            status: ItemStatus::Completed,
            action: self.found.action(sources),
        };
        self.push(item, events);
    }

    fn announce(&mut self, item: &Item, events: &mut Events) {
        let output_index = self.output.len();
        let announced = Itemized { output_index, item };
        self.stream
            .send(events, "response.output_item.added", &announced);
    }

    fn push(&mut self, item: Item, events: &mut Events) {
        let done = Itemized {
            output_index: self.output.len(),
            item: &item,
        };
        self.stream.send(events, "response.output_item.done", &done);
        self.output.push(item);
    }

    /// Ends the items, and the response as incomplete or complete.
    fn close_all(&mut self, outcome: Outcome, events: &mut Events) {
        let status = match outcome {
            Outcome::Incomplete(_) => ItemStatus::Incomplete,
            Outcome::InProgress | Outcome::Completed | Outcome::Failed(_) => ItemStatus::Completed,
        };
        self.close(status, events);
        self.search(events);
        self.finish(outcome, events);
    }
}

impl crate::wire::translate::turn::Turn for Turn {
    fn take(&mut self, answer: Answer<'_>, events: &mut Events) {
        if self.is_finished() {
            return;
        }
        self.start(events);
        for part in answer.parts {
            self.part(part, events);
        }
        if let Some(grounding) = answer.grounding {
            self.found.add(&grounding);
        }
        if let Some(end) = answer.end {
            self.end = Some(end.into_owned());
        }
        self.usage = answer.usage.or(self.usage);
    }

    fn end(&mut self, events: &mut Events) {
        if self.is_finished() {
            return;
        }
        self.start(events);
        let is_empty = self.output.is_empty() && self.open.is_none();
        match self.end.take() {
            Some(End::Stop) => self.close_all(Outcome::Completed, events),
            Some(End::MaxTokens) => {
                let reason = IncompleteReason::MaxOutputTokens;
                self.close_all(Outcome::Incomplete(reason), events);
            }
            // The message says more than an empty response, and Codex does not ask again.
            Some(End::Blocked(reason)) if is_empty => {
                let message = format!(
                    "Gemini's filters refused the request ({reason}). Change the input: the same \
                     request is likely to be refused again."
                );
                self.fail_with(ErrorCode::InvalidPrompt, message, events);
            }
            Some(End::Blocked(_)) => {
                let reason = IncompleteReason::ContentFilter;
                self.close_all(Outcome::Incomplete(reason), events);
            }
            Some(End::Failed(reason)) => {
                let message = format!("Gemini ended its answer early ({reason}). Try again.");
                self.fail_with(ErrorCode::ServerError, message, events);
            }
            None => {
                let message = "Gemini's answer ended without a reason. Try again.".to_owned();
                self.fail_with(ErrorCode::ServerError, message, events);
            }
        }
    }

    fn fail(&mut self, error: &StreamError<'_>, events: &mut Events) {
        if self.is_finished() {
            return;
        }
        self.start(events);
        let code = match error.status {
            429 => ErrorCode::RateLimitExceeded,
            _ => ErrorCode::ServerError,
        };
        let failure = Failure::new(error.kind, error.code, error.message);
        self.stream.send(events, "error", &failure);
        self.finish_as_failed(ResponseError::new(code, error.message), events);
    }

    fn signed_calls(&mut self) -> Vec<SignedCall> {
        std::mem::take(&mut self.signed_calls)
    }

    fn has_failed(&self) -> bool {
        // A prompt that filters refuse will be refused again.
        matches!(&self.outcome, Outcome::Failed(error) if error.code == ErrorCode::ServerError)
    }

    fn to_json(&self) -> Vec<u8> {
        // Values with string keys always serialize.
        serde_json::to_vec(&self.response()).unwrap_or_default()
    }
}

fn output_text(text: String, annotations: Vec<Annotation>) -> Content {
    Content::OutputText {
        text,
        annotations,
        logprobs: [],
    }
}

/// Whether clients accept an id of a call.
fn is_call_id(id: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    !id.is_empty() && id.len() <= MAX_CALL_ID && id.bytes().all(is_safe)
}

/// How the ids of an item that calls a tool begin.
fn prefix(kind: ToolKind) -> &'static str {
    match kind {
        ToolKind::Function => "fc",
        ToolKind::Custom => "ctc",
        ToolKind::LocalShell => "lsh",
        ToolKind::Shell => "sh",
        ToolKind::ApplyPatch => "apc",
        ToolKind::ToolSearch => "tsc",
    }
}

#[cfg(test)]
mod tests;
