//! Streams of `chat.completion.chunk`s.

use super::answer::{Head, end_with_calls, mend_call};
use super::ids::CallIds;
use super::skim::{
    Answer, Choice, Object, Raw, ToolCall, is_blank, is_text, read_object, text_of, text_or_blank,
};
use super::{Asked, Context};
use crate::openai::patch::Patch;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

const KIND: &str = "chat.completion.chunk";

/// The data of the closing line.
const DONE: &[u8] = b"[DONE]";

/// So many choices of a stream are mended, as many as OpenAI gives at once.
const MAX_CHOICES: usize = 128;

/// So many indices of a choice's calls are remembered; of calls beyond, one that repeats another's index keeps it.
const MAX_CALLS: usize = 1024;

/// Mends one stream, in the lines that [`EventScanner`](crate::sse::EventScanner) hands on.
///
/// A line that passes in pieces, since it is too long to be held, passes as it is.
#[derive(Debug)]
pub struct StreamRepair {
    context: Context,
    ids: CallIds,
    /// The upstream's own, as JSON, from the first chunk that had it: the others belong to the same answer.
    id: Option<String>,
    created: Option<String>,
    model: Option<String>,
    choices: BTreeMap<u32, Calls>,
    /// The latest that was taken away from a chunk, as JSON.
    usage: Option<String>,
    /// The latest line has no end yet.
    line_open: bool,
    /// Of the latest event, the blank line is missing.
    event_open: bool,
    /// Lines end in CR LF.
    with_return: bool,
    done: bool,
}

impl StreamRepair {
    /// Begins a stream.
    pub fn new(context: Context) -> Self {
        Self {
            ids: CallIds::new(context.seed),
            context,
            id: None,
            created: None,
            model: None,
            choices: BTreeMap::new(),
            usage: None,
            line_open: false,
            event_open: false,
            with_return: false,
            done: false,
        }
    }

    /// Takes the next lines, all of them whole but for pieces of one that is too long. What follows `data: [DONE]` may be
    /// cut anywhere, and so may that line after its last bracket.
    pub fn lines(&mut self, lines: Vec<u8>) -> Vec<u8> {
        let mut patch = Patch::of(&lines);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if self.done {
                break;
            }
            let is_whole = line.ends_with(b"\n");
            let is_rest = std::mem::replace(&mut self.line_open, !is_whole);
            if !is_rest {
                self.line(&mut patch, line, is_whole);
                self.event_open = !matches!(line, b"\n" | b"\r\n");
            }
            if is_whole {
                self.with_return = line.ends_with(b"\r\n");
            }
        }
        patch.into_edits().apply(lines)
    }

    fn line(&mut self, patch: &mut Patch<'_>, line: &[u8], is_whole: bool) {
        let Some(data) = line.strip_prefix(b"data:") else {
            return;
        };
        let blanks = data.iter().take_while(|byte| **byte == b' ').count();
        if data.iter().skip(blanks).take(DONE.len()).eq(DONE) {
            self.done = true;
            self.tell_usage(patch, line);
        } else if is_whole && let Some(json) = text_of(data) {
            self.chunk(patch, json);
        }
    }

    /// `None` if it is no chunk.
    fn chunk(&mut self, patch: &mut Patch<'_>, json: &str) -> Option<()> {
        let chunk: Answer<'_> = read_object(json).filter(|chunk: &Answer<'_>| chunk.is(KIND))?;
        learn(&mut self.id, chunk.id, says_something);
        learn(&mut self.created, chunk.created, is_count);
        learn(&mut self.model, chunk.model, says_something);
        if Head::is_missing_in(&chunk) {
            self.head().fill_in(patch, json, &chunk, KIND);
        }
        if (self.context.asked
            == Asked::Stream {
                include_usage: true,
            })
        {
            self.take_usage(patch, &chunk);
        }
        for Object(choice) in chunk.choices.iter().flatten() {
            self.choice(patch, choice);
        }
        Some(())
    }

    fn head(&self) -> Head {
        let unsaid = Head::of(&self.context);
        Head {
            id: self.id.clone().unwrap_or(unsaid.id),
            created: self.created.clone().unwrap_or(unsaid.created),
            model: self.model.clone().unwrap_or(unsaid.model),
        }
    }

    /// Keeps a chunk's usage for the end.
    fn take_usage(&mut self, patch: &mut Patch<'_>, chunk: &Answer<'_>) {
        let Some(usage) = chunk.usage.filter(|usage| usage.get().starts_with('{')) else {
            return;
        };
        if chunk.choices.as_ref().is_none_or(Vec::is_empty) {
            // What was taken so far is in it.
            self.usage = None;
        } else {
            self.usage = Some(usage.get().to_owned());
            patch.replace(usage, "null");
        }
    }

    /// Tells the usage of all in an event of its own, before the closing line.
    fn tell_usage(&mut self, patch: &mut Patch<'_>, closing_line: &[u8]) {
        let Some(usage) = self.usage.take() else {
            return;
        };
        let Head { id, created, model } = self.head();
        let end = if self.with_return { "\r\n" } else { "\n" };
        let separator = if self.event_open { end } else { "" };
        let event = format!(
            "{separator}data: {{\"id\":{id},\"object\":\"{KIND}\",\"created\":{created},\"model\":{model},\
             \"choices\":[],\"usage\":{usage}}}{end}{end}"
        );
        patch.put_before(closing_line, event);
    }

    /// `None` if there is nothing to be mended in it.
    fn choice(&mut self, patch: &mut Patch<'_>, choice: &Choice<'_>) -> Option<()> {
        let said = choice.delta.as_ref().map(|Object(delta)| delta);
        let entries = said.map(|said| said.tool_calls()).unwrap_or_default();
        if entries.is_empty() && is_blank(choice.finish_reason) {
            return None;
        }
        let index = choice.index.unwrap_or_default();
        if self.choices.len() >= MAX_CHOICES && !self.choices.contains_key(&index) {
            return None;
        }
        let calls = self.choices.entry(index).or_default();
        calls.any |= !entries.is_empty() || is_text(choice.finish_reason, "tool_calls");
        for entry in entries {
            if let Some(call) = read_object(entry.get()) {
                mend_part(patch, entry, &call, calls, &mut self.ids);
            }
        }
        if calls.any {
            end_with_calls(patch, choice);
        }
        Some(())
    }
}

/// Mends a call, or a part of one; `None` if its index is none.
fn mend_part(
    patch: &mut Patch<'_>,
    entry: &RawValue,
    call: &ToolCall<'_>,
    calls: &mut Calls,
    ids: &mut CallIds,
) -> Option<()> {
    let own = match call.index {
        Some(index) if index.get() != "null" => Some(index.get().parse().ok()?),
        Some(_) | None => None,
    };
    let function = call.function.as_ref();
    let is_named = function.is_some_and(|Object(function)| !is_blank(function.name));
    let index = if is_named {
        calls.open(own)
    } else {
        calls.go_on(own)
    };
    if own.map(u64::from) != Some(index) {
        patch.set(entry.get(), "index", call.index, &index.to_string());
    }
    if is_named {
        mend_call(patch, entry, call, ids);
    }
    Some(())
}

/// Keeps what a chunk says, if it is proper and the first to say it.
fn learn(known: &mut Option<String>, said: Raw<'_>, is_proper: impl Fn(&RawValue) -> bool) {
    if known.is_none() {
        *known = said
            .filter(|said| is_proper(said))
            .map(|said| said.get().to_owned());
    }
}

/// A text that cannot be read, such as one with half a pair of surrogates, is not spread to other chunks.
fn says_something(value: &RawValue) -> bool {
    text_or_blank(Some(value)).is_some_and(|text| !text.is_empty())
}

fn is_count(value: &RawValue) -> bool {
    value.get().parse::<i64>().is_ok()
}

/// The tool calls of one choice so far.
///
/// A part that names a function is a call's beginning. Google sends calls whole, so two names under one index are two
/// calls, and without this clients would put the arguments of both together.
#[derive(Debug, Default)]
struct Calls {
    /// There was one, or the upstream said so.
    any: bool,
    /// The indices of all calls. With each, the index of the call for which the upstream used it last.
    taken: BTreeMap<u64, u64>,
    /// The index after the highest.
    next: u64,
    /// The index of the latest call.
    latest: Option<u64>,
}

impl Calls {
    /// The index of a call that begins: its own, if no call before it has it.
    fn open(&mut self, own: Option<u32>) -> u64 {
        let own = own.map(u64::from);
        let is_full = self.taken.len() >= MAX_CALLS;
        let index = own
            .filter(|own| is_full || !self.taken.contains_key(own))
            .unwrap_or(self.next);
        if !is_full {
            self.taken.insert(own.unwrap_or(index), index);
            self.taken.insert(index, index);
        }
        self.next = self.next.max(index.saturating_add(1));
        self.latest = Some(index);
        index
    }

    /// The index of the call to which a part belongs that begins none.
    fn go_on(&self, own: Option<u32>) -> u64 {
        match own.map(u64::from) {
            Some(own) => self.taken.get(&own).copied().unwrap_or(own),
            None => self.latest.unwrap_or(self.next),
        }
    }
}
