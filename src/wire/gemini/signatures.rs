//! Thought signatures in translated requests: the same rules as in [`openai::signatures`], where
//! they are explained, for Gemini's own format.
//!
//! [`openai::signatures`]: crate::wire::openai::signatures

use crate::wire::json::{Members, Patch, find, parse, read};
use crate::wire::openai::signatures::{MAX_LOOKUPS, PLACEHOLDER, ToolCall};
use memchr::memmem;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

const SIGNATURE: &str = "thoughtSignature";

/// A part of the model in a request's history.
struct PastPart<'a> {
    /// The JSON object of the part.
    object: &'a RawValue,
    members: Members<'a>,
    /// Whether it is the first tool call of its content.
    is_first_call: bool,
}

impl<'a> PastPart<'a> {
    fn signature(&self) -> Option<Cow<'a, str>> {
        let signature: Cow<'a, str> = find(&self.members.0, SIGNATURE).and_then(read)?;
        (!signature.is_empty()).then_some(signature)
    }

    /// The content of the tool call; `None` if the part is none.
    fn call(&self) -> Option<ToolCall> {
        let Members(call) = find(&self.members.0, "functionCall").and_then(read)?;
        let text = |name| find(&call, name).and_then(read::<Cow<'_, str>>);
        let args = find(&call, "args").map_or("{}", RawValue::get);
        Some(ToolCall::new(&text("id")?, &text("name")?, args))
    }

    fn sign(&self, signature: &str, patch: &mut Patch<'a>) {
        let value = serde_json::Value::from(signature).to_string();
        let old = find(&self.members.0, SIGNATURE);
        patch.set(self.object.get(), SIGNATURE, old, &value);
    }
}

/// Returns the model's parts in the history of a request, in order.
fn history(body: &[u8]) -> Vec<PastPart<'_>> {
    let mut parts = Vec::new();
    let mentions = |name: &str| memmem::find(body, name.as_bytes()).is_some();
    if !mentions("\"functionCall\"") && !mentions("\"thoughtSignature\"") {
        return parts;
    }
    let Some(Members(members)) = parse(body) else {
        return parts;
    };
    let contents = find(&members, "contents").and_then(read::<Vec<&RawValue>>);
    for Members(content) in contents.unwrap_or_default().into_iter().filter_map(read) {
        let is_model = find(&content, "role").is_some_and(|role| role.get() == "\"model\"");
        let listed = find(&content, "parts").and_then(read::<Vec<&RawValue>>);
        let mut has_call = false;
        for object in listed.filter(|_| is_model).unwrap_or_default() {
            let Some(members) = read::<Members<'_>>(object) else {
                continue;
            };
            let is_call = find(&members.0, "functionCall").is_some();
            parts.push(PastPart {
                object,
                is_first_call: is_call && !has_call,
                members,
            });
            has_call |= is_call;
        }
    }
    parts
}

/// Returns the tool calls without a signature, up to the look-up limit.
pub fn unsigned(body: &[u8]) -> HashSet<ToolCall> {
    let parts = history(body).into_iter().rev();
    let unsigned = parts.filter(|part| part.is_first_call && part.signature().is_none());
    unsigned
        .filter_map(|part| part.call())
        .take(MAX_LOOKUPS)
        .collect()
}

/// Inserts these signatures where they are missing; `None` if nothing changes.
pub fn signed(body: &[u8], signatures: &HashMap<ToolCall, String>) -> Option<Vec<u8>> {
    if signatures.is_empty() {
        return None;
    }
    edited(body, |part, patch| {
        if part.signature().is_none()
            && let Some(signature) = part.call().and_then(|call| signatures.get(&call))
        {
            part.sign(signature, patch);
        }
    })
}

/// Inserts the [placeholder](PLACEHOLDER) into the first call of each content if its signature is
/// missing; `None` if nothing changes.
pub fn with_placeholders(body: &[u8]) -> Option<Vec<u8>> {
    edited(body, |part, patch| {
        if part.is_first_call && part.signature().is_none() {
            part.sign(PLACEHOLDER, patch);
        }
    })
}

/// Replaces all signatures by placeholders, since the upstream has refused one of them; `None` if
/// nothing changes.
pub fn without_signatures(body: &[u8]) -> Option<Vec<u8>> {
    edited(body, |part, patch| match part.signature() {
        Some(signature) if signature == PLACEHOLDER => {}
        Some(_) if part.is_first_call => part.sign(PLACEHOLDER, patch),
        Some(_) => patch.cut(part.object.get(), &part.members.0, |name| name == SIGNATURE),
        None => {}
    })
}

fn edited<'b>(body: &'b [u8], edit: impl Fn(&PastPart<'b>, &mut Patch<'b>)) -> Option<Vec<u8>> {
    let mut patch = Patch::of(body);
    for part in history(body) {
        edit(&part, &mut patch);
    }
    let edits = patch.into_edits();
    (!edits.is_empty()).then(|| edits.apply(body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two steps: the first is signed, the second has two calls and none of them is.
    const BODY: &str = r#"{"contents":[{"role":"user","parts":[{"text":"functionCall"}]},{"role":"model","parts":[{"text":"Hm.","thoughtSignature":"text"},{"functionCall":{"id":"1","name":"f","args":{}},"thoughtSignature":"AVSo"}]},{"role":"user","parts":[{"functionResponse":{"name":"f"}}]},{"role":"model","parts":[{"functionCall":{"id":"2","name":"f","args":{"a":1}}},{"functionCall":{"id":"3","name":"g","args":{}}}]}]}"#;

    fn signatures(body: &[u8]) -> Vec<String> {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        let contents = body["contents"].as_array().unwrap().iter();
        contents
            .flat_map(|content| content["parts"].as_array().unwrap())
            .map(|part| part["thoughtSignature"].as_str().unwrap_or("-").to_owned())
            .collect()
    }

    #[test]
    fn only_first_calls_need_a_signature() {
        let call = ToolCall::new("2", "f", r#"{"a": 1.0}"#);
        assert_eq!(unsigned(BODY.as_bytes()), HashSet::from([call.clone()]));
        let known = HashMap::from([(call, "known".to_owned())]);
        let body = signed(BODY.as_bytes(), &known).unwrap();
        assert_eq!(signatures(&body), ["-", "text", "AVSo", "-", "known", "-"]);
        let body = with_placeholders(BODY.as_bytes()).unwrap();
        assert_eq!(
            signatures(&body),
            ["-", "text", "AVSo", "-", PLACEHOLDER, "-"]
        );
        assert_eq!(with_placeholders(&body), None);
    }

    #[test]
    fn refused_signatures_are_replaced() {
        let body = without_signatures(BODY.as_bytes()).unwrap();
        assert_eq!(signatures(&body), ["-", "-", PLACEHOLDER, "-", "-", "-"]);
        assert_eq!(without_signatures(&body), None);
    }

    #[test]
    fn other_bodies_stay() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"contents":[7,{"parts":"functionCall"}]}"#,
        ] {
            assert_eq!(with_placeholders(body.as_bytes()), None, "{body}");
            assert!(unsigned(body.as_bytes()).is_empty(), "{body}");
        }
    }
}
