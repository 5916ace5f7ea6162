//! Answers: Gemini's events become those of a message.
//!
//! Each block is finished before the next one begins, and only the last one is open. A thinking
//! block stays open until the next part, whose thought signature becomes its own, since clients
//! return the two together. A part with a signature but without a thought before it gets a thinking
//! block without text. Only the signature of text that has begun already is lost: Gemini does not
//! require it (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
//!
//! What a search has found arrives after the text, so the passages are cited at its end, and the
//! search follows it. A passage that is not at the place that Gemini names is searched for in the
//! text, as far as [`Budget`] allows.
//!
//! If the model fails, as with a malformed call, the stream ends with an error: clients such as
//! Claude Code then ask again, whereas they would take the fragment for an answer.

use super::format::{
    Assistant, Block, Caller, Citation, Delta, Event, Message, MessageDelta, MessageKind,
    MessageUsage, SearchResult, Stop, StopDetails, StopReason, Tokens, arguments, image_text,
    no_arguments,
};
use super::{Form, Thinking, error};
use crate::pool::Usage;
use crate::wire::openai::signatures::{SignedCall, ToolCall};
use crate::wire::translate::answer::{Answer, End, Grounding, Part, PartContent};
use crate::wire::translate::events::{Events, Ids, StreamError};
use crate::wire::translate::generate::{Json, object};
use crate::wire::translate::passages::{Budget, Passages};
use crate::wire::translate::signature;
use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

/// An answer under way.
pub(crate) struct Turn {
    form: Rc<Form>,
    ids: Ids,
    id: String,
    progress: Progress,
    /// The blocks so far.
    content: Vec<Block>,
    last_block: LastBlock,
    /// How many bytes of text there were so far.
    text_length: usize,
    /// A signature that came with the thought itself.
    thought_signature: Option<String>,
    usage: Usage,
    end: Option<End<'static>>,
    search: Search,
    signed_calls: Vec<SignedCall>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    Started,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastBlock {
    Finished,
    /// Text, which may go on.
    Text,
    /// A thought, which may go on.
    Thinking,
}

/// What a search has found.
#[derive(Default)]
struct Search {
    queries: Vec<String>,
    /// Addresses and titles.
    sources: Vec<(String, String)>,
    citations: Vec<Passage>,
}

/// A passage of the answer.
struct Passage {
    /// In bytes of the answer's text.
    place: Range<usize>,
    text: String,
    /// The indices of its sources.
    sources: Vec<usize>,
}

impl Turn {
    pub(crate) fn new(form: Rc<Form>) -> Self {
        let mut ids = Ids::new(form.seed);
        Self {
            form,
            id: ids.next("msg"),
            ids,
            progress: Progress::Waiting,
            content: Vec::new(),
            last_block: LastBlock::Finished,
            text_length: 0,
            thought_signature: None,
            usage: Usage::default(),
            end: None,
            search: Search::default(),
            signed_calls: Vec::new(),
        }
    }

    fn message(&self, stop: Stop) -> Message<'_> {
        Message {
            id: &self.id,
            kind: MessageKind::Message,
            role: Assistant::Assistant,
            model: &self.form.model,
            content: &self.content,
            stop,
            container: (),
            diagnostics: (),
            usage: MessageUsage {
                tokens: self.tokens(),
                cache_creation: (),
                inference_geo: (),
                service_tier: (),
                speed: (),
            },
        }
    }

    fn tokens(&self) -> Tokens {
        Tokens::of(self.usage, self.search.queries.len())
    }

    fn start(&mut self, events: &mut Events) {
        if self.progress == Progress::Waiting {
            self.progress = Progress::Started;
            let mut message = self.message(Stop::default());
            // LangChain adds it to the total at the end.
            let tokens = &mut message.usage.tokens;
            tokens.output_tokens = 0;
            tokens.output_tokens_details.thinking_tokens = 0;
            Event::MessageStart { message }.send(events);
            Event::Ping.send(events);
        }
    }

    fn take_part(&mut self, part: Part<'_>, events: &mut Events) {
        let signature = part.signature.as_deref();
        match part.content {
            PartContent::Thought(thought) => self.take_thought(&thought, signature, events),
            PartContent::Text(text) if text.is_empty() => {
                // Gemini 3 ends with such a part if nothing else carries the signature.
                if self.last_block == LastBlock::Thinking && signature.is_some() {
                    self.finish_block(signature, events);
                }
            }
            PartContent::Text(text) => {
                if self.last_block != LastBlock::Text {
                    self.make_room(signature, events);
                    self.begin_text(events);
                }
                self.text_length = self.text_length.saturating_add(text.len());
                self.add_text(&text, events);
            }
            PartContent::Call { id, name, args } => {
                self.make_room(signature, events);
                self.take_call(&id, &name, args, signature, events);
            }
            PartContent::Media { mime_type, data } => {
                self.make_room(signature, events);
                self.begin_text(events);
                self.add_text(&image_text(&mime_type, &data), events);
                self.finish_block(None, events);
            }
            PartContent::Other => {}
        }
    }

    fn take_thought(&mut self, thought: &str, signature: Option<&str>, events: &mut Events) {
        if self.form.thinking != Thinking::Shown {
            return;
        }
        if self.last_block != LastBlock::Thinking {
            self.finish_block(None, events);
            self.begin_thinking(events);
        }
        if let Some(signature) = signature {
            self.thought_signature = Some(signature.to_owned());
        }
        if let Some(Block::Thinking { thinking, .. }) = self.content.last_mut() {
            thinking.push_str(thought);
        }
        self.delta(Delta::Thinking { thinking: thought }, events);
    }

    fn take_call(
        &mut self,
        id: &str,
        name: &str,
        args: &str,
        signature: Option<&str>,
        events: &mut Events,
    ) {
        let id = match self.is_usable(id) {
            true => id.to_owned(),
            false => self.ids.next("toolu"),
        };
        let input = arguments(args);
        if let (Thinking::Hidden, Some(signature)) = (self.form.thinking, signature) {
            self.signed_calls.push(SignedCall {
                call: ToolCall::new(&id, name, input.get()),
                signature: signature.to_owned(),
            });
        }
        let name = self.form.tool_names.to_client(name).to_owned();
        let block = |input| Block::ToolUse {
            id: id.clone(),
            name: name.clone(),
            input,
            caller: Caller::Direct,
        };
        self.add_call(block, input, events);
    }

    /// Adds a call, whose arguments follow its announcement.
    fn add_call(
        &mut self,
        block: impl Fn(Json<'static>) -> Block,
        input: Json<'static>,
        events: &mut Events,
    ) {
        self.begin(block(no_arguments()), events);
        let partial_json = input.get();
        self.delta(Delta::InputJson { partial_json }, events);
        if let Some(last) = self.content.last_mut() {
            *last = block(input);
        }
        self.stop(events);
    }

    /// Whether an id of Gemini's can be used for a call: Anthropic's clients accept no others, and
    /// match results by it.
    fn is_usable(&self, id: &str) -> bool {
        let is_taken = self
            .content
            .iter()
            .any(|block| matches!(block, Block::ToolUse { id: other, .. } if other == id));
        let is_accepted = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        !id.is_empty() && id.bytes().all(is_accepted) && !is_taken
    }

    /// Finishes the last block and hands over the signature of the next one.
    fn make_room(&mut self, signature: Option<&str>, events: &mut Events) {
        match self.last_block {
            LastBlock::Thinking => self.finish_block(signature, events),
            LastBlock::Text | LastBlock::Finished => {
                self.finish_block(None, events);
                if signature.is_some() && self.form.thinking != Thinking::Hidden {
                    self.begin_thinking(events);
                    self.finish_block(signature, events);
                }
            }
        }
    }

    fn begin_text(&mut self, events: &mut Events) {
        self.last_block = LastBlock::Text;
        let block = Block::Text {
            text: String::new(),
            citations: None,
        };
        self.begin(block, events);
    }

    fn begin_thinking(&mut self, events: &mut Events) {
        self.last_block = LastBlock::Thinking;
        let block = Block::Thinking {
            thinking: String::new(),
            signature: String::new(),
        };
        self.begin(block, events);
    }

    fn add_text(&mut self, added: &str, events: &mut Events) {
        if let Some(Block::Text { text, .. }) = self.content.last_mut() {
            text.push_str(added);
        }
        self.delta(Delta::Text { text: added }, events);
    }

    /// Finishes the last block, which takes the signature if it is a thought.
    fn finish_block(&mut self, next: Option<&str>, events: &mut Events) {
        match std::mem::replace(&mut self.last_block, LastBlock::Finished) {
            LastBlock::Finished => return,
            LastBlock::Text => {}
            LastBlock::Thinking => {
                let own = self.thought_signature.take();
                if let Some(given) = next.or(own.as_deref()).map(signature::to_client) {
                    self.delta(Delta::Signature { signature: &given }, events);
                    if let Some(Block::Thinking { signature, .. }) = self.content.last_mut() {
                        *signature = given;
                    }
                }
            }
        }
        self.stop(events);
    }

    /// Announces a block and adds it to the content.
    fn begin(&mut self, block: Block, events: &mut Events) {
        self.content.push(block);
        if let Some(content_block) = self.content.last() {
            let index = self.last_index();
            Event::ContentBlockStart {
                index,
                content_block,
            }
            .send(events);
        }
    }

    /// Adds to the last block.
    fn delta(&self, delta: Delta<'_>, events: &mut Events) {
        let index = self.last_index();
        Event::ContentBlockDelta { index, delta }.send(events);
    }

    fn stop(&self, events: &mut Events) {
        let index = self.last_index();
        Event::ContentBlockStop { index }.send(events);
    }

    fn last_index(&self) -> usize {
        self.content.len().saturating_sub(1)
    }

    /// Cites the sources of the last text, and reports the search.
    fn finish_search(&mut self, events: &mut Events) {
        let citations = self.citations();
        for citation in &citations {
            self.delta(Delta::Citations { citation }, events);
        }
        if let Some(Block::Text { citations: all, .. }) = self.content.last_mut()
            && !citations.is_empty()
        {
            *all = Some(citations);
        }
        self.finish_block(None, events);
        if self.search.queries.is_empty() && self.search.sources.is_empty() {
            return;
        }
        let id = self.ids.next("srvtoolu");
        let input = object("query", &self.search.queries.join("; "));
        let block = |input| Block::ServerToolUse {
            id: id.clone(),
            name: "web_search",
            input,
            caller: Caller::Direct,
        };
        self.add_call(block, input, events);
        let sources = self.search.sources.iter().cloned();
        let result = Block::WebSearchToolResult {
            tool_use_id: id,
            content: sources
                .map(|(url, title)| SearchResult {
                    url,
                    title,
                    encrypted_content: "",
                    page_age: (),
                })
                .collect(),
            caller: Caller::Direct,
        };
        self.begin(result, events);
        self.stop(events);
    }

    /// The citations of the last text, if it is still open.
    fn citations(&self) -> Vec<Citation> {
        let Some(Block::Text { text, .. }) = self.content.last() else {
            return Vec::new();
        };
        if self.last_block != LastBlock::Text {
            return Vec::new();
        }
        let before = self.text_length.saturating_sub(text.len());
        let mut budget = Budget::default();
        let mut passages = Passages::new(text, before, &mut budget);
        let mut citations = Vec::new();
        for passage in &self.search.citations {
            let is_found =
                !passage.text.is_empty() && passages.find(&passage.text, &passage.place).is_some();
            let mut seen = HashSet::new();
            let indices = passage.sources.iter();
            for index in indices.filter(|index| is_found && seen.insert(**index)) {
                if let Some((url, title)) = self.search.sources.get(*index) {
                    citations.push(Citation {
                        url: url.clone(),
                        title: title.clone(),
                        cited_text: passage.text.clone(),
                        encrypted_index: "",
                    });
                }
            }
        }
        citations
    }

    fn stop_reason(&self) -> Stop {
        let calls = || {
            let is_call = |block: &Block| matches!(block, Block::ToolUse { .. });
            self.content.iter().any(is_call)
        };
        let reason = match &self.end {
            Some(End::MaxTokens) => StopReason::MaxTokens,
            Some(End::Blocked(_)) => StopReason::Refusal,
            Some(End::Stop | End::Failed(_)) | None if calls() => StopReason::ToolUse,
            Some(End::Stop | End::Failed(_)) | None => StopReason::EndTurn,
        };
        let stop_details = match &self.end {
            Some(End::Blocked(reason)) => Some(StopDetails::Refusal {
                category: (),
                explanation: format!("Gemini's filters stopped the answer: {reason}."),
            }),
            Some(End::Stop | End::MaxTokens | End::Failed(_)) | None => None,
        };
        Stop {
            stop_reason: Some(reason),
            stop_sequence: (),
            stop_details,
        }
    }
}

impl crate::wire::translate::turn::Turn for Turn {
    fn take(&mut self, answer: Answer<'_>, events: &mut Events) {
        if self.progress == Progress::Over {
            return;
        }
        if let Some(usage) = answer.usage {
            self.usage = usage;
        }
        self.start(events);
        for part in answer.parts {
            self.take_part(part, events);
        }
        if let Some(end) = answer.end {
            self.end = Some(end.into_owned());
        }
        if let Some(grounding) = answer.grounding {
            self.search.update(grounding);
        }
    }

    fn end(&mut self, events: &mut Events) {
        if let Some(End::Failed(reason)) = &self.end {
            let message = StreamError::message_of_model(reason);
            self.fail(&StreamError::of_model(&message), events);
        }
        if self.progress == Progress::Over {
            return;
        }
        self.start(events);
        self.finish_search(events);
        self.progress = Progress::Over;
        let delta = MessageDelta {
            stop: self.stop_reason(),
            container: (),
        };
        let usage = self.tokens();
        Event::MessageDelta { delta, usage }.send(events);
        Event::MessageStop.send(events);
    }

    fn fail(&mut self, error: &StreamError<'_>, events: &mut Events) {
        if self.progress != Progress::Over {
            self.progress = Progress::Over;
            let body = error::envelope(error.status, error.code, error.message);
            events.push("error", &body);
        }
    }

    fn to_json(&self) -> Vec<u8> {
        // Values with string keys always serialize.
        serde_json::to_vec(&self.message(self.stop_reason())).unwrap_or_default()
    }

    fn has_failed(&self) -> bool {
        matches!(self.end, Some(End::Failed(_)))
    }

    fn signed_calls(&mut self) -> Vec<SignedCall> {
        std::mem::take(&mut self.signed_calls)
    }
}

impl Search {
    /// Later events repeat what earlier ones said, or say nothing.
    fn update(&mut self, found: Grounding<'_>) {
        let owned = |text: std::borrow::Cow<'_, str>| text.into_owned();
        if !found.queries.is_empty() {
            self.queries = found.queries.into_iter().map(owned).collect();
        }
        if !found.sources.is_empty() {
            let sources = found.sources.into_iter();
            self.sources = sources
                .map(|source| (owned(source.url), owned(source.title)))
                .collect();
            let citations = found.citations.into_iter();
            self.citations = citations
                .map(|citation| Passage {
                    place: citation.start..citation.end,
                    text: owned(citation.text),
                    sources: citation.sources,
                })
                .collect();
        }
    }
}

#[cfg(test)]
mod tests;
