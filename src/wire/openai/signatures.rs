//! Thought signatures of tool calls.
//!
//! From Gemini 3 on, the first tool call of each step has a thought signature, and a request whose history has the call
//! without it is refused (<https://ai.google.dev/gemini-api/docs/thought-signatures>). Many of OpenAI's clients drop the
//! field that it comes in, `tool_calls[].extra_content.google.thought_signature`. So signatures are collected from answers,
//! and put back into requests.

use crate::wire::json::Patch;
use crate::wire::json::{Members, find, read};
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeSet, HashMap};

/// What Google takes in the place of a signature that nobody knows any more.
pub const PLACEHOLDER: &str = "skip_thought_signature_validator";

/// The longest signature that is kept, in bytes; they have been seen with a few thousand.
const LONGEST_SIGNATURE: usize = 64 * 1024;
/// Tool calls of one request whose signatures are looked up, the latest ones.
const MOST_LOOKED_UP: usize = 256;

/// What a tool call says: its id, the function's name and the arguments. Google's ids have six digits, so an id alone
/// does not tell calls apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    fn new(id: &str, name: &str, arguments: &str) -> Self {
        // Clients may write the arguments anew: only what they mean counts.
        let arguments = match serde_json::from_str(arguments) {
            Ok(value) => canonical(value).to_string(),
            Err(_) if arguments.trim().is_empty() => "{}".to_owned(),
            Err(_) => arguments.to_owned(),
        };
        Self(serde_json::json!([id, name, arguments]).to_string())
    }

    /// The bytes that tell it from other calls.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The value with its numbers as JavaScript has them, which writes 1.0 as 1.
fn canonical(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(number) => Value::String(format!("number {number}")),
            None => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(canonical).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, canonical(value)))
            .collect(),
        other => other,
    }
}

/// Collects the tool calls of an answer that have a signature.
#[derive(Debug, Default)]
pub struct Signatures {
    /// By choice, in the order of their beginnings.
    calls: HashMap<u32, Vec<Begun>>,
}

/// A tool call as far as it has arrived.
#[derive(Debug, Default)]
struct Begun {
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
    message: Option<Said>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    tool_calls: Option<Vec<Piece>>,
    #[serde(default)]
    extra_content: Option<ExtraContent>,
}

#[derive(Deserialize)]
struct Piece {
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
    (1..=LONGEST_SIGNATURE)
        .contains(&signature.len())
        .then_some(signature)
}

impl Signatures {
    /// Those of a whole answer, a completion or a stream of events.
    pub fn of_answer(answer: &[u8]) -> Vec<SignedCall> {
        let mut signatures = Self::default();
        signatures.take(answer);
        signatures.take_lines(answer);
        signatures.collected()
    }

    /// Looks at whole lines of a stream of events.
    pub fn take_lines(&mut self, lines: &[u8]) {
        if !is_of_interest(lines) {
            return;
        }
        for line in lines.split(|byte| *byte == b'\n') {
            if let Some(data) = line.strip_prefix(b"data:") {
                self.take(data);
            }
        }
    }

    /// Looks at a completion, or a chunk of one. What cannot be read has nothing.
    fn take(&mut self, answer: &[u8]) {
        if !is_of_interest(answer) {
            return;
        }
        let Ok(answer) = serde_json::from_slice::<Answer>(answer) else {
            return;
        };
        for choice in answer.choices {
            let calls = self.calls.entry(choice.index.unwrap_or(0)).or_default();
            let Some(said) = choice.message else {
                continue;
            };
            for piece in said.tool_calls.unwrap_or_default() {
                add(calls, piece);
            }
            // A signature that comes apart from the calls belongs to the first.
            if let Some(signature) = signature_of(said.extra_content)
                && let Some(first) = calls.first_mut()
            {
                first.signature.get_or_insert(signature);
            }
        }
    }

    /// What has been collected.
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

fn is_of_interest(answer: &[u8]) -> bool {
    ["\"tool_calls\"", "\"thought_signature\""]
        .iter()
        .any(|name| memmem::find(answer, name.as_bytes()).is_some())
}

/// Adds a piece to the call that it belongs to: that of its index, or the latest, unless it has an id of its own.
fn add(calls: &mut Vec<Begun>, piece: Piece) {
    let continues = |call: &Begun| {
        let is_other = |id: &str| !id.is_empty() && !call.id.is_empty() && *id != call.id;
        !piece.id.as_deref().is_some_and(is_other)
    };
    let begun = match piece.index {
        Some(_) => calls.iter().rposition(|call| call.index == piece.index),
        None => calls.len().checked_sub(1),
    };
    let begun = begun.filter(|at| calls.get(*at).is_some_and(continues));
    let at = begun.unwrap_or_else(|| {
        calls.push(Begun {
            index: piece.index,
            ..Begun::default()
        });
        calls.len() - 1
    });
    let Some(call) = calls.get_mut(at) else {
        return;
    };
    if call.id.is_empty() {
        call.id = piece.id.unwrap_or_default();
    }
    let function = piece.function.unwrap_or_default();
    call.name.push_str(&function.name.unwrap_or_default());
    call.arguments
        .push_str(&function.arguments.unwrap_or_default());
    if let Some(signature) = signature_of(piece.extra_content) {
        call.signature.get_or_insert(signature);
    }
}

/// A tool call in a request's history.
struct InHistory<'a> {
    /// The call, an object.
    object: &'a RawValue,
    members: Members<'a>,
    /// It is the first of its message.
    is_first: bool,
}

impl<'a> InHistory<'a> {
    fn extra_content(&self) -> Option<&'a RawValue> {
        find(&self.members.0, "extra_content")
    }

    /// Its signature; `None` where there is none, or an empty one.
    fn signature(&self) -> Option<String> {
        let extra_content: ExtraContent = read(self.extra_content()?)?;
        let signature = extra_content.google?.thought_signature?;
        (!signature.is_empty()).then_some(signature)
    }

    /// What it says; `None` if it is no call of a function.
    fn named(&self) -> Option<ToolCall> {
        let id: String = read(find(&self.members.0, "id")?)?;
        let function: Function = read(find(&self.members.0, "function")?)?;
        let arguments = function.arguments.unwrap_or_default();
        Some(ToolCall::new(&id, function.name.as_deref()?, &arguments))
    }

    fn sign(&self, signature: &str, patch: &mut Patch<'a>) {
        let signature = serde_json::Value::from(signature);
        let within = |object: &'a RawValue| -> Option<Members<'a>> {
            object.get().starts_with('{').then(|| read(object))?
        };
        let place = |members: &Members<'a>, name: &str| {
            let found = members.0.iter().rev().find(|(its, _)| its == name);
            found.map(|(_, value)| *value)
        };
        // As deep as there are objects to put it in.
        let Some(extra) = self.extra_content() else {
            let value = serde_json::json!({ "google": { "thought_signature": signature } });
            let old = place(&self.members, "extra_content");
            patch.set(self.object.get(), "extra_content", old, &value.to_string());
            return;
        };
        let Some(members) = within(extra) else {
            return;
        };
        match find(&members.0, "google") {
            Some(google) => {
                if let Some(inner) = within(google) {
                    let old = place(&inner, "thought_signature");
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
                let old = place(&members, "google");
                patch.set(extra.get(), "google", old, &value.to_string());
            }
        }
    }
}

/// The tool calls in a chat completion request's history, in order.
fn history(body: &[u8]) -> Vec<InHistory<'_>> {
    let mut calls = Vec::new();
    if memmem::find(body, b"\"tool_calls\"").is_none() {
        return calls;
    }
    let Ok(Members(members)) = serde_json::from_slice(body) else {
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
                calls.push(InHistory {
                    object,
                    members,
                    is_first: index == 0,
                });
            }
        }
    }
    calls
}

/// The tool calls of a request without a signature, as far as they are looked up.
pub fn unsigned(body: &[u8]) -> BTreeSet<ToolCall> {
    let unsigned = history(body)
        .into_iter()
        .rev()
        .filter(|call| call.signature().is_none());
    unsigned
        .filter_map(|call| call.named())
        .take(MOST_LOOKED_UP)
        .collect()
}

/// The request with these signatures where they are missing; `None` where nothing changes.
pub fn signed(body: &[u8], signatures: &HashMap<ToolCall, String>) -> Option<Vec<u8>> {
    edited(body, |call| {
        if signatures.is_empty() || call.signature().is_some() {
            return None;
        }
        signatures.get(&call.named()?).map(String::as_str)
    })
}

/// The request with the [placeholder](PLACEHOLDER) in each first call of a message that has no signature, or one of
/// `refused`; `None` where nothing changes.
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
    signature_for: impl Fn(&InHistory<'_>) -> Option<&'s str>,
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
