//! Repairs complete answers.

use super::answer::{
    EMPTY_MESSAGE, Head, STOP, TOOL_CALLS, finish_reason, repair_call, repair_choices,
};
use super::context::Context;
use super::ids::CallIds;
use super::parts::{Answer, Choice, Message};
use super::stream::{self, StreamRepair};
use crate::wire::json::{Edits, Members, Object, Patch, Raw, is_text, read_object, text_of};

const KIND: &str = "chat.completion";

/// Repairs a `chat.completion`; anything else is returned unchanged.
pub(super) fn completion(body: Vec<u8>, context: &Context) -> Vec<u8> {
    edits(&body, context).unwrap_or_default().apply(body)
}

/// Converts a completion to the stream that was requested; `None` if it is not a completion.
pub(super) fn stream_of(body: &[u8], context: &Context) -> Option<Vec<u8>> {
    let json = text_of(body)?;
    let answer: Answer<'_> = read(json)?;
    if !answer.is(KIND) && !answer.is(stream::KIND) {
        return None;
    }
    let mut patch = Patch::of(json.as_bytes());
    let kind = format!("\"{}\"", stream::KIND);
    patch.set(json, "object", answer.object, &kind);
    for choice in answer.choices.iter().flatten() {
        // Anything but a message object could not be read as a delta.
        if let Some(message) = message_json(choice.message) {
            read_object::<Message<'_>>(message)?;
        }
        let Members(members) = serde_json::from_str(choice.json).ok()?;
        patch.rename(choice.json, &members, "message", "delta");
    }
    let edits = patch.into_edits();
    let mut chunk = edits.apply(json.into());
    // An event's data must be on one line. Line ends within strings are escaped.
    for byte in &mut chunk {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
    let events = [b"data: ", chunk.as_slice(), b"\n\ndata: [DONE]\n\n"].concat();
    Some(StreamRepair::new(context.clone()).lines(events))
}

fn edits(body: &[u8], context: &Context) -> Option<Edits> {
    let json = text_of(body)?;
    let answer = read(json).filter(|answer| answer.is(KIND))?;
    let mut patch = Patch::of(body);
    Head::of(context).fill_in(&mut patch, json, &answer, KIND);
    repair_choices(&mut patch, json, &answer, "message");
    let mut ids = CallIds::new(context.seed);
    for choice in answer.choices.iter().flatten() {
        let end = repair_message(&mut patch, choice, &mut ids).unwrap_or(STOP);
        let reason = finish_reason(choice, end).unwrap_or(end);
        if !is_text(choice.finish_reason, reason) {
            let reason = format!("\"{reason}\"");
            patch.set(choice.json, "finish_reason", choice.finish_reason, &reason);
        }
    }
    Some(patch.into_edits())
}

/// Parses an answer; `None` if it is not one, or is part of a batch output.
fn read(json: &str) -> Option<Answer<'_>> {
    let answer: Answer<'_> = read_object(json)?;
    let mut choices = answer.choices.iter().flatten();
    let is_batch_output = choices.any(|choice| choice.camel_case.is_some());
    (!is_batch_output).then_some(answer)
}

/// Repairs a message and returns how it ends if it did not break off; `None` if it is not a
/// message.
fn repair_message(
    patch: &mut Patch<'_>,
    choice: &Object<'_, Choice<'_>>,
    ids: &mut CallIds,
) -> Option<&'static str> {
    let Some(message) = message_json(choice.message) else {
        patch.set(choice.json, "message", choice.message, EMPTY_MESSAGE);
        return Some(STOP);
    };
    let parsed: Message<'_> = read_object(message)?;
    if parsed.content.is_none() {
        patch.set(message, "content", None, "null");
    }
    let calls = parsed.tool_calls();
    for entry in &calls {
        if let Some(call) = read_object(entry.get()) {
            repair_call(patch, entry, &call, ids);
        }
    }
    Some(match calls.is_empty() {
        true => STOP,
        false => TOOL_CALLS,
    })
}

/// Returns the JSON text of a message, unless it is missing or null.
fn message_json(message: Raw<'_>) -> Option<&str> {
    message
        .map(|message| message.get())
        .filter(|message| *message != "null")
}

#[cfg(test)]
mod tests;
