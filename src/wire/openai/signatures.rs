//! Restores the thought signatures of tool calls.
//!
//! From Gemini 3 on, the first tool call of each step has a thought signature, and a request whose
//! history contains the call without it is refused
//! (<https://ai.google.dev/gemini-api/docs/thought-signatures>). Many OpenAI clients drop the field
//! that carries it, `tool_calls[].extra_content.google.thought_signature`. So signatures are
//! collected from answers and put back into requests.

use crate::wire::json::{Members, Patch, find, parse, read};
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What Google accepts in place of a signature that is no longer known.
pub const PLACEHOLDER: &str = "skip_thought_signature_validator";

/// The maximum size of a stored signature, in bytes. Observed ones have a few thousand.
const MAX_SIGNATURE_BYTES: usize = 64 * 1024;
/// How many tool calls of a request have their signatures looked up, starting with the latest.
pub(crate) const MAX_LOOKUPS: usize = 256;

/// The content of a tool call: its id, the function's name and the arguments. Google's ids have six
/// digits, so an id alone is not unique.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ToolCall(String);

/// A tool call and its thought signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCall {
    /// The call.
    pub call: ToolCall,
    /// Its signature.
    pub signature: String,
}

impl ToolCall {
    /// Creates a call. `arguments` is JSON.
    pub fn new(id: &str, name: &str, arguments: &str) -> Self {
        // Clients may reformat the arguments, so they are compared by value.
        let arguments = match serde_json::from_str(arguments) {
            Ok(mut value) => {
                canonicalize(&mut value);
                value.to_string()
            }
            Err(_) if arguments.trim().is_empty() => "{}".to_owned(),
            Err(_) => arguments.to_owned(),
        };
        Self(serde_json::json!([id, name, arguments]).to_string())
    }

    /// Bytes that are unique to the call.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Converts numbers the way JavaScript does, which writes 1.0 as 1.
fn canonicalize(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::Number(number) => {
            if let Some(number) = number.as_f64() {
                *value = Value::String(format!("number {number}"));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(canonicalize),
        Value::Object(members) => members.values_mut().for_each(canonicalize),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Collects the signed tool calls of an answer.
#[derive(Debug, Default)]
pub struct Signatures {
    /// The calls of each choice, in order of appearance.
    calls: HashMap<u32, Vec<PartialCall>>,
}

/// A partially received tool call.
#[derive(Debug, Default)]
struct PartialCall {
    index: Option<u32>,
    id: String,
    name: String,
    arguments: String,
    signature: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: Option<u32>,
    #[serde(alias = "delta")]
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    tool_calls: Option<Vec<CallPart>>,
    #[serde(default)]
    extra_content: Option<ExtraContent>,
}

#[derive(Deserialize)]
struct CallPart {
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<Function>,
    #[serde(default)]
    extra_content: Option<ExtraContent>,
}

#[derive(Default, Deserialize)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct ExtraContent {
    #[serde(default)]
    google: Option<Google>,
}

#[derive(Deserialize)]
struct Google {
    #[serde(default)]
    thought_signature: Option<String>,
}

fn signature_of(extra_content: Option<ExtraContent>) -> Option<String> {
    let signature = extra_content?.google?.thought_signature?;
    (1..=MAX_SIGNATURE_BYTES)
        .contains(&signature.len())
        .then_some(signature)
}

impl Signatures {
    /// Returns the signed calls of a complete answer, which is a completion or an event stream.
    pub fn of_answer(answer: &[u8]) -> Vec<SignedCall> {
        let mut signatures = Self::default();
        signatures.take(answer);
        signatures.take_lines(answer);
        signatures.collected()
    }

    /// Processes complete lines of an event stream.
    pub fn take_lines(&mut self, lines: &[u8]) {
        if !mentions_calls(lines) {
            return;
        }
        for line in lines.split(|byte| *byte == b'\n') {
            if let Some(data) = line.strip_prefix(b"data:") {
                self.take(data);
            }
        }
    }

    /// Processes a completion or a chunk of one. Unreadable input is ignored.
    fn take(&mut self, answer: &[u8]) {
        if !mentions_calls(answer) {
            return;
        }
        let Some(answer) = parse::<Answer>(answer) else {
            return;
        };
        for choice in answer.choices {
            let calls = self.calls.entry(choice.index.unwrap_or(0)).or_default();
            let Some(message) = choice.message else {
                continue;
            };
            for part in message.tool_calls.unwrap_or_default() {
                add_part(calls, part);
            }
            // A signature outside the calls belongs to the first.
            if let Some(signature) = signature_of(message.extra_content)
                && let Some(first) = calls.first_mut()
            {
                first.signature.get_or_insert(signature);
            }
        }
    }

    /// Returns the signed calls.
    pub fn collected(self) -> Vec<SignedCall> {
        let calls = self.calls.into_values().flatten();
        calls
            .filter(|call| !call.id.is_empty())
            .filter_map(|call| {
                Some(SignedCall {
                    call: ToolCall::new(&call.id, &call.name, &call.arguments),
                    signature: call.signature?,
                })
            })
            .collect()
    }
}

fn mentions_calls(answer: &[u8]) -> bool {
    ["\"tool_calls\"", "\"thought_signature\""]
        .iter()
        .any(|name| memmem::find(answer, name.as_bytes()).is_some())
}

/// Adds a piece to its call: the one with its index, or the latest unless the piece has an id of
/// its own.
fn add_part(calls: &mut Vec<PartialCall>, part: CallPart) {
    let continues = |call: &PartialCall| {
        let is_other = |id: &str| !id.is_empty() && !call.id.is_empty() && *id != call.id;
        !part.id.as_deref().is_some_and(is_other)
    };
    let existing = match part.index {
        Some(_) => calls.iter().rposition(|call| call.index == part.index),
        None => calls.len().checked_sub(1),
    };
    let existing = existing.filter(|at| calls.get(*at).is_some_and(continues));
    let at = existing.unwrap_or_else(|| {
        calls.push(PartialCall {
            index: part.index,
            ..PartialCall::default()
        });
        calls.len() - 1
    });
    let Some(call) = calls.get_mut(at) else {
        return;
    };
    if call.id.is_empty() {
        call.id = part.id.unwrap_or_default();
    }
    let function = part.function.unwrap_or_default();
    call.name.push_str(&function.name.unwrap_or_default());
    call.arguments
        .push_str(&function.arguments.unwrap_or_default());
    if let Some(signature) = signature_of(part.extra_content) {
        call.signature.get_or_insert(signature);
    }
}

/// A tool call in a request's history.
struct PastCall<'a> {
    /// The JSON object of the call.
    object: &'a RawValue,
    members: Members<'a>,
    /// Whether it is the first of its message.
    is_first: bool,
}

impl<'a> PastCall<'a> {
    fn extra_content(&self) -> Option<&'a RawValue> {
        find(&self.members.0, "extra_content")
    }

    /// Returns its signature, unless that is missing or empty.
    fn signature(&self) -> Option<String> {
        let extra_content: ExtraContent = read(self.extra_content()?)?;
        let signature = extra_content.google?.thought_signature?;
        (!signature.is_empty()).then_some(signature)
    }

    /// Returns its content; `None` if it does not call a function.
    fn call(&self) -> Option<ToolCall> {
        let id: String = read(find(&self.members.0, "id")?)?;
        let function: Function = read(find(&self.members.0, "function")?)?;
        let arguments = function.arguments.unwrap_or_default();
        Some(ToolCall::new(&id, function.name.as_deref()?, &arguments))
    }

    fn sign(&self, signature: &str, patch: &mut Patch<'a>) {
        let signature = serde_json::Value::from(signature);
        let members_of = |object: &'a RawValue| -> Option<Members<'a>> {
            object.get().starts_with('{').then(|| read(object))?
        };
        let member = |members: &Members<'a>, name: &str| {
            let found = members.0.iter().rev().find(|(member, _)| member == name);
            found.map(|(_, value)| *value)
        };
        // Insert at the deepest object that exists.
        let Some(extra) = self.extra_content() else {
            let value = serde_json::json!({ "google": { "thought_signature": signature } });
            let old = member(&self.members, "extra_content");
            patch.set(self.object.get(), "extra_content", old, &value.to_string());
            return;
        };
        let Some(members) = members_of(extra) else {
            return;
        };
        match find(&members.0, "google") {
            Some(google) => {
                if let Some(inner) = members_of(google) {
                    let old = member(&inner, "thought_signature");
                    patch.set(
                        google.get(),
                        "thought_signature",
                        old,
                        &signature.to_string(),
                    );
                }
            }
            None => {
                let value = serde_json::json!({ "thought_signature": signature });
                let old = member(&members, "google");
                patch.set(extra.get(), "google", old, &value.to_string());
            }
        }
    }
}

/// Returns the tool calls in the history of a chat completion request, in order.
fn history(body: &[u8]) -> Vec<PastCall<'_>> {
    let mut calls = Vec::new();
    if memmem::find(body, b"\"tool_calls\"").is_none() {
        return calls;
    }
    let Some(Members(members)) = parse(body) else {
        return calls;
    };
    let messages = find(&members, "messages").and_then(read::<Vec<&RawValue>>);
    for message in messages.unwrap_or_default() {
        let Some(Members(message)) = read(message) else {
            continue;
        };
        let listed = find(&message, "tool_calls").and_then(read::<Vec<&RawValue>>);
        for (index, object) in listed.unwrap_or_default().into_iter().enumerate() {
            if let Some(members) = read(object) {
                calls.push(PastCall {
                    object,
                    members,
                    is_first: index == 0,
                });
            }
        }
    }
    calls
}

/// Returns the tool calls without a signature, up to the look-up limit.
pub fn unsigned(body: &[u8]) -> HashSet<ToolCall> {
    let unsigned = history(body)
        .into_iter()
        .rev()
        .filter(|call| call.signature().is_none());
    unsigned
        .filter_map(|call| call.call())
        .take(MAX_LOOKUPS)
        .collect()
}

/// Inserts these signatures where they are missing; `None` if nothing changes.
pub fn signed(body: &[u8], signatures: &HashMap<ToolCall, String>) -> Option<Vec<u8>> {
    edited(body, |call| {
        if signatures.is_empty() || call.signature().is_some() {
            return None;
        }
        signatures.get(&call.call()?).map(String::as_str)
    })
}

/// Inserts the [placeholder](PLACEHOLDER) into the first call of each message if its signature is
/// missing or one of `refused`; `None` if nothing changes.
pub fn with_placeholders(body: &[u8], refused: &BTreeSet<String>) -> Option<Vec<u8>> {
    edited(body, |call| {
        let counts = match call.signature() {
            Some(signature) => refused.contains(&signature),
            None => call.is_first,
        };
        counts.then_some(PLACEHOLDER)
    })
}

fn edited<'s>(
    body: &[u8],
    signature_for: impl Fn(&PastCall<'_>) -> Option<&'s str>,
) -> Option<Vec<u8>> {
    let mut patch = Patch::of(body);
    for call in history(body) {
        if let Some(signature) = signature_for(&call) {
            call.sign(signature, &mut patch);
        }
    }
    let edits = patch.into_edits();
    (!edits.is_empty()).then(|| edits.apply(body.to_vec()))
}

#[cfg(test)]
mod tests;
