//! Repairs streams of `chat.completion.chunk`s.

use super::answer::{Head, STOP, TOOL_CALLS, finish_reason, repair_call, repair_choices};
use super::context::{Context, Requested};
use super::ids::{CallIds, hash};
use super::parts::{Answer, Choice, Function, Message, ToolCall};
use crate::wire::json::{
    Members, Object, Patch, Raw, find, is_blank, is_text, member, read, read_object, text_of,
    text_or_blank,
};
use crate::wire::stream::is_blank_line;
use serde_json::value::RawValue;

#[cfg(test)]
mod tests;

pub(super) const KIND: &str = "chat.completion.chunk";

/// The data of the closing line.
const DONE: &[u8] = b"[DONE]";

/// The maximum number of choices repaired in a stream, which is OpenAI's maximum.
const MAX_CHOICES: usize = 128;

/// How many calls of a choice are remembered. Parts of further calls count as parts of the last.
const MAX_CALLS: usize = 1024;

/// Google's field for data that OpenAI's API lacks.
const EXTRA: &str = "extra_content";
/// A signature that must be sent back with the thought, or with the call that resulted from it.
const SIGNATURE: &str = "thought_signature";

/// How many signatures of a call are remembered.
const MAX_SIGNATURES: usize = 16;

/// Repairs a stream, given the lines that [`EventScanner`](crate::wire::stream::EventScanner)
/// returns.
///
/// A line that arrives in pieces because it is too long to be buffered passes unchanged.
#[derive(Debug)]
pub struct StreamRepair {
    context: Context,
    ids: CallIds,
    /// The upstream's values, as JSON, from the first chunk that has them.
    id: Option<String>,
    created: Option<String>,
    model: Option<String>,
    choices: Choices,
    usage: Option<Usage>,
    /// A line passed in pieces, so it is unknown which choices it finished.
    has_unread_line: bool,
    /// The latest line is incomplete.
    line_open: bool,
    /// The latest event still lacks its blank line.
    event_open: bool,
    /// The latest line was a removed event, so its blank line is removed, too.
    event_removed: bool,
    /// Lines end with CR LF.
    uses_crlf: bool,
    done: bool,
}

/// The latest usage in a stream, to be sent at its end.
#[derive(Debug)]
enum Usage {
    /// The usage removed from a chunk, as JSON.
    Taken(String),
    /// The line of an event with nothing but usage.
    Event(String),
}

/// Whether a line is forwarded.
#[derive(PartialEq, Eq)]
enum Action {
    Forward,
    Remove,
}

impl StreamRepair {
    /// Creates the repair of one stream.
    pub fn new(context: Context) -> Self {
        Self {
            ids: CallIds::new(context.seed),
            context,
            id: None,
            created: None,
            model: None,
            choices: Choices::default(),
            usage: None,
            has_unread_line: false,
            line_open: false,
            event_open: false,
            event_removed: false,
            uses_crlf: false,
            done: false,
        }
    }

    /// Repairs the next lines and returns them.
    ///
    /// Lines must be complete, except for pieces of one that is too long. `data: [DONE]` may be cut
    /// after its last bracket, and anything after it anywhere.
    pub fn lines(&mut self, lines: Vec<u8>) -> Vec<u8> {
        let mut patch = Patch::of(&lines);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if self.done {
                break;
            }
            let is_whole = line.ends_with(b"\n");
            let is_rest = std::mem::replace(&mut self.line_open, !is_whole);
            if !is_rest && self.repair_line(&mut patch, line, is_whole) == Action::Remove {
                patch.remove(patch.range_of(line));
            }
            self.has_unread_line |= is_rest;
            if is_whole {
                self.uses_crlf = line.ends_with(b"\r\n");
            }
        }
        patch.into_edits().apply(lines)
    }

    fn repair_line(&mut self, patch: &mut Patch<'_>, line: &[u8], is_whole: bool) -> Action {
        let is_blank = is_blank_line(line);
        let event_removed = std::mem::take(&mut self.event_removed);
        let action = if is_blank && event_removed {
            Action::Remove
        } else {
            self.repair_data(patch, line, is_whole)
                .unwrap_or(Action::Forward)
        };
        match action {
            Action::Forward => self.event_open = !is_blank,
            Action::Remove => self.event_removed = !is_blank && !self.event_open,
        }
        action
    }

    /// Handles a data line; `None` if it contains no chunk.
    fn repair_data(
        &mut self,
        patch: &mut Patch<'_>,
        line: &[u8],
        is_whole: bool,
    ) -> Option<Action> {
        let data = line.strip_prefix(b"data:")?;
        let blanks = data.iter().take_while(|byte| **byte == b' ').count();
        if data.iter().skip(blanks).take(DONE.len()).eq(DONE) {
            self.done = true;
            let events = self.closing_events();
            if !events.is_empty() {
                patch.insert_before(line, events);
            }
            return None;
        }
        let json = text_of(data).filter(|_| is_whole)?;
        let chunk: Answer<'_> = read_object(json).filter(|chunk: &Answer<'_>| chunk.is(KIND))?;
        store_first(&mut self.id, chunk.id, is_nonempty_string);
        store_first(&mut self.created, chunk.created, is_integer);
        store_first(&mut self.model, chunk.model, is_nonempty_string);
        let asks_for_usage = self.context.requested
            == Requested::Stream {
                include_usage: true,
            };
        let usage = chunk.usage();
        if usage.is_some() && !chunk.has_choices() && !chunk.is_refusal() {
            self.usage = asks_for_usage.then(|| Usage::Event(self.usage_event(line, json, &chunk)));
            return Some(Action::Remove);
        }
        self.fill_in(patch, json, &chunk);
        match usage {
            Some(usage) if asks_for_usage => {
                self.usage = Some(Usage::Taken(usage.get().to_owned()));
                patch.replace(usage, "null");
            }
            Some(_) => cut(patch, json, &["usage"]),
            None => {}
        }
        if chunk.is_refusal()
            && let Some(progress) = self.choices.progress_of(0)
        {
            progress.set_refused();
        }
        for choice in chunk.choices.iter().flatten() {
            self.repair_choice(patch, choice);
        }
        Some(Action::Forward)
    }

    /// Adds missing fields that every chunk has.
    fn fill_in(&self, patch: &mut Patch<'_>, json: &str, chunk: &Answer<'_>) {
        if Head::is_missing_in(chunk) {
            self.head().fill_in(patch, json, chunk, KIND);
        }
        repair_choices(patch, json, chunk, "delta");
    }

    /// Returns the repaired line of a usage-only event, without its line ending.
    fn usage_event(&self, line: &[u8], json: &str, chunk: &Answer<'_>) -> String {
        let mut patch = Patch::of(line);
        self.fill_in(&mut patch, json, chunk);
        let line = patch.into_edits().apply(line.to_vec());
        String::from_utf8_lossy(line.trim_ascii_end()).into_owned()
    }

    fn head(&self) -> Head {
        let defaults = Head::of(&self.context);
        Head {
            id: self.id.clone().unwrap_or(defaults.id),
            created: self.created.clone().unwrap_or(defaults.created),
            model: self.model.clone().unwrap_or(defaults.model),
        }
    }

    /// Returns the events to insert before the closing line: finish reasons of choices without one,
    /// and the usage.
    fn closing_events(&mut self) -> String {
        let Head { id, created, model } = self.head();
        let chunk = |rest: String| {
            format!(
                "data: {{\"id\":{id},\"object\":\"{KIND}\",\"created\":{created},\"model\":{model},{rest}}}"
            )
        };
        let unfinished = self
            .choices
            .0
            .iter()
            .filter(|(_, choice)| choice.end.is_none() && !self.has_unread_line);
        let mut lines: Vec<String> = unfinished
            .map(|(index, choice)| {
                let reason = choice.calls.end();
                chunk(format!(
                    r#""choices":[{{"index":{index},"delta":{{}},"finish_reason":"{reason}"}}]"#
                ))
            })
            .collect();
        match self.usage.take() {
            Some(Usage::Taken(usage)) => {
                lines.push(chunk(format!(r#""choices":[],"usage":{usage}"#)));
            }
            Some(Usage::Event(line)) => lines.push(line),
            None => {}
        }
        let end = if self.uses_crlf { "\r\n" } else { "\n" };
        let events = lines.iter().map(|line| format!("{line}{end}{end}"));
        let mut events: String = events.collect();
        if self.event_open && !events.is_empty() {
            events.insert_str(0, end);
        }
        events
    }

    /// Repairs a choice; `None` if there are more than are repaired.
    fn repair_choice(
        &mut self,
        patch: &mut Patch<'_>,
        choice: &Object<'_, Choice<'_>>,
    ) -> Option<()> {
        let index = choice.index.unwrap_or_default();
        let progress = self.choices.progress_of(index)?;
        let is_first = !std::mem::replace(&mut progress.has_begun, true);
        match &choice.delta {
            Some(delta) => {
                if is_first && is_blank(delta.role) {
                    patch.set(delta.json, "role", delta.role, "\"assistant\"");
                }
                progress.repair_delta(patch, delta, is_first, &mut self.ids);
            }
            None => {
                let delta = if is_first {
                    r#"{"role":"assistant"}"#
                } else {
                    "{}"
                };
                patch.set(choice.json, "delta", member(choice.json, "delta"), delta);
            }
        }
        progress.repair_finish_reason(patch, choice);
        Some(())
    }
}

/// Removes members of an object.
fn cut(patch: &mut Patch<'_>, object: &str, names: &[&str]) {
    if names.is_empty() {
        return;
    }
    if let Ok(Members(members)) = serde_json::from_str(object) {
        patch.cut(object, &members, |member| names.contains(&member));
    }
}

/// Stores the first valid value.
fn store_first(stored: &mut Option<String>, value: Raw<'_>, is_valid: impl Fn(&RawValue) -> bool) {
    if stored.is_none() {
        *stored = value
            .filter(|value| is_valid(value))
            .map(|value| value.get().to_owned());
    }
}

/// Whether a value is a readable string. One with half a surrogate pair must not spread to other
/// chunks.
fn is_nonempty_string(value: &RawValue) -> bool {
    text_or_blank(Some(value)).is_some_and(|text| !text.is_empty())
}

fn has_content(function: &Object<'_, Function<'_>>) -> bool {
    !is_blank(function.name) || !is_blank(function.arguments)
}

fn is_integer(value: &RawValue) -> bool {
    value.get().parse::<i64>().is_ok()
}

/// The progress of each choice, sorted by index.
#[derive(Debug, Default)]
struct Choices(Vec<(u32, Progress)>);

impl Choices {
    /// The progress of a choice; `None` if there are more than are repaired.
    fn progress_of(&mut self, index: u32) -> Option<&mut Progress> {
        let Self(choices) = self;
        let at = match choices.binary_search_by_key(&index, |(known, _)| *known) {
            Ok(at) => at,
            Err(_) if choices.len() >= MAX_CHOICES => return None,
            Err(at) => {
                choices.insert(at, (index, Progress::default()));
                at
            }
        };
        choices.get_mut(at).map(|(_, progress)| progress)
    }
}

/// The progress of a choice.
#[derive(Debug, Default)]
struct Progress {
    has_begun: bool,
    /// The finish reason.
    end: Option<&'static str>,
    calls: Calls,
    /// The signatures of its text, in either of their two places.
    signatures: Signatures,
    old_signatures: Signatures,
}

impl Progress {
    fn set_refused(&mut self) {
        self.has_begun = true;
        self.end = Some(super::answer::CONTENT_FILTER);
    }

    fn repair_delta(
        &mut self,
        patch: &mut Patch<'_>,
        delta: &Object<'_, Message<'_>>,
        is_first: bool,
        ids: &mut CallIds,
    ) {
        let mut repeated = Vec::new();
        if self.signatures.remove_repeated(patch, delta.extra_content) == Some(true) {
            repeated.push(EXTRA);
        }
        if !is_first && is_text(delta.role, "assistant") {
            repeated.push("role");
        }
        if self.old_signatures.is_repeated(delta.thought_signature) {
            repeated.push(SIGNATURE);
        }
        cut(patch, delta.json, &repeated);
        for entry in delta.tool_calls() {
            // The `stop` was premature.
            self.end = self.end.filter(|reason| *reason != STOP);
            self.calls.has_any = true;
            if let Some(call) = read_object(entry.get()) {
                self.calls.repair_part(patch, entry, &call, ids);
            }
        }
    }

    fn repair_finish_reason(&mut self, patch: &mut Patch<'_>, choice: &Choice<'_>) {
        let Some(old) = choice.finish_reason else {
            return;
        };
        let reason = finish_reason(choice, self.calls.end());
        if let Some(reason) = reason {
            self.calls.has_any |= reason == TOOL_CALLS;
            self.end = Some(reason);
        }
        match reason {
            Some(reason) if is_text(Some(old), reason) => {}
            Some(reason) => patch.replace(old, &format!("\"{reason}\"")),
            None if old.get() == "null" => {}
            None => patch.replace(old, "null"),
        }
    }
}

/// The signatures of a thought, usually one. Clients concatenate repetitions.
#[derive(Debug, Default)]
struct Signatures(Vec<u64>);

impl Signatures {
    /// Removes a repeated signature from `extra_content`, and returns whether that contains nothing
    /// else. If so, it must be removed as a whole, since some clients replace the previous value
    /// with the latest.
    fn remove_repeated(&mut self, patch: &mut Patch<'_>, extra_content: Raw<'_>) -> Option<bool> {
        let extra_content = extra_content?;
        let Members(all) = read(extra_content)?;
        let google = find(&all, "google")?;
        let Members(google_members) = read(google)?;
        if !self.is_repeated(find(&google_members, SIGNATURE)) {
            return None;
        }
        match (all.len(), google_members.len()) {
            (1, 1) => return Some(true),
            (_, 1) => cut(patch, extra_content.get(), &["google"]),
            _ => cut(patch, google.get(), &[SIGNATURE]),
        }
        Some(false)
    }

    /// Whether the signature is a repetition.
    fn is_repeated(&mut self, signature: Raw<'_>) -> bool {
        let text = text_or_blank(signature).filter(|text| !text.is_empty());
        text.is_some_and(|text| {
            let signature = hash(&text);
            let is_known = self.0.contains(&signature);
            if !is_known && self.0.len() < MAX_SIGNATURES {
                self.0.push(signature);
            }
            is_known
        })
    }
}

/// The tool calls of a choice so far, numbered in order of appearance.
///
/// A part that names a function starts a call. Google sends calls whole, so two names under one
/// index are two calls, whose arguments clients would otherwise concatenate.
#[derive(Debug, Default)]
struct Calls {
    /// There was a call, or the upstream said so.
    has_any: bool,
    /// The first [`MAX_CALLS`] of them.
    known: Vec<Call>,
    /// The index of the next call.
    next: usize,
}

/// A tool call so far.
#[derive(Debug, Default)]
struct Call {
    /// The upstream's index. A call without one gets its own, unless the upstream has used that.
    upstream_index: Option<usize>,
    /// One of the parts had a function.
    has_function: bool,
    signatures: Signatures,
}

impl Calls {
    /// The finish reason of a choice with these calls that did not break off.
    fn end(&self) -> &'static str {
        match self.has_any {
            true => TOOL_CALLS,
            false => STOP,
        }
    }

    /// Repairs a call or a part of one; `None` if its index is invalid.
    fn repair_part(
        &mut self,
        patch: &mut Patch<'_>,
        entry: &RawValue,
        call: &ToolCall<'_>,
        ids: &mut CallIds,
    ) -> Option<()> {
        let upstream_index = match call.index {
            Some(index) if index.get() != "null" => {
                Some(usize::try_from(index.get().parse::<u32>().ok()?).ok()?)
            }
            Some(_) | None => None,
        };
        let is_named = call
            .function
            .as_ref()
            .is_some_and(|function| !is_blank(function.name));
        let (index, is_first) = match self.continued_call(upstream_index, is_named) {
            Some(index) => (index, false),
            None => (self.start_call(upstream_index), true),
        };
        if upstream_index != Some(index) {
            patch.set(entry.get(), "index", call.index, &index.to_string());
        }
        if is_first {
            repair_call(patch, entry, call, ids);
        } else if let Some(id) = call.id.filter(|id| is_nonempty_string(id)) {
            // Clients would append it to the id that the call already has.
            patch.replace(id, "null");
        }
        if call.function.is_none() && call.custom.is_none() {
            let old = member(entry.get(), "function");
            patch.set(entry.get(), "function", old, r#"{"arguments":""}"#);
        }
        if let Some(known) = self.known.get_mut(index) {
            known.has_function |= call.function.as_ref().is_some_and(has_content);
            if known.signatures.remove_repeated(patch, call.extra_content) == Some(true) {
                cut(patch, entry.get(), &[EXTRA]);
            }
        }
        Some(())
    }

    /// Returns the index of the call that a part continues; `None` if the part starts a call.
    fn continued_call(&self, upstream_index: Option<usize>, is_named: bool) -> Option<usize> {
        let latest = self.next.checked_sub(1);
        let is_full = self.known.len() >= MAX_CALLS;
        let candidate = match upstream_index {
            Some(_) => self
                .latest_call(upstream_index)
                .or(latest.filter(|_| is_full)),
            None => latest,
        };
        let has_function = |index: &usize| {
            let call = self.known.get(*index);
            call.is_none_or(|call| call.has_function)
        };
        candidate.filter(|index| !is_named || !has_function(index))
    }

    /// The index of the latest call with this upstream index.
    fn latest_call(&self, upstream_index: Option<usize>) -> Option<usize> {
        let has_index = |call: &Call| call.upstream_index == upstream_index;
        self.known.iter().rposition(has_index)
    }

    fn start_call(&mut self, upstream_index: Option<usize>) -> usize {
        let index = self.next;
        self.next = index.saturating_add(1);
        if self.known.len() < MAX_CALLS {
            let own = Some(index);
            let is_free = || self.latest_call(own).is_none();
            self.known.push(Call {
                upstream_index: upstream_index.or_else(|| own.filter(|_| is_free())),
                ..Call::default()
            });
        }
        index
    }
}
