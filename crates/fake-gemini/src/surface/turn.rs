//! The turn of a conversation that is going on: what came after the user's last words.
//!
//! A turn consists of steps: the calls that the model makes at once, and their results. On Gemini 3, the first call of each
//! step has a thought signature, which the client must send back until the turn ends.
//!
//! Source: <https://ai.google.dev/gemini-api/docs/thought-signatures>. How contents are counted is taken from published
//! errors: from 1, without the system's instructions.

use serde_json::Value;

/// The current turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// The first call of each step.
    pub(crate) calls: Vec<FirstCall>,
    /// How many results of tools came back.
    pub(crate) results: usize,
}

/// The first tool call of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FirstCall {
    pub(crate) function: String,
    /// The place of its content among all of them, from 1.
    pub(crate) position: usize,
    pub(crate) signature: Option<String>,
}

/// What a content is to a turn.
enum Content {
    /// The user says something: a new turn.
    Words,
    /// So many results of tools.
    Results(usize),
    /// The model calls tools.
    Calls {
        function: String,
        signature: Option<String>,
    },
    /// The model says something else.
    Other,
}

impl Turn {
    /// That of OpenAI's `messages`.
    pub(crate) fn of_messages(messages: &[Value]) -> Self {
        let messages = messages.iter().filter(|message| {
            let role = message.get("role").and_then(Value::as_str);
            !matches!(role, Some("system" | "developer"))
        });
        Self::of(messages.map(message))
    }

    /// That of Google's `contents`.
    pub(crate) fn of_contents(contents: &[Value]) -> Self {
        Self::of(contents.iter().map(content))
    }

    fn of(contents: impl Iterator<Item = Content>) -> Self {
        let mut turn = Self::default();
        let (mut position, mut in_results, mut in_step) = (0, false, false);
        for content in contents {
            let results = matches!(content, Content::Results(_));
            // Results that come one by one are one content.
            position += usize::from(!(results && in_results));
            in_results = results;
            match content {
                Content::Words => {
                    turn = Self::default();
                    in_step = false;
                }
                Content::Results(count) => {
                    turn.results += count;
                    in_step = false;
                }
                Content::Calls {
                    function,
                    signature,
                } => {
                    if !in_step {
                        turn.calls.push(FirstCall {
                            function,
                            position,
                            signature,
                        });
                    }
                    in_step = true;
                }
                Content::Other => {}
            }
        }
        turn
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(str::to_owned)
}

fn message(message: &Value) -> Content {
    match message.get("role").and_then(Value::as_str) {
        Some("tool" | "function") => Content::Results(1),
        Some("assistant" | "model") => {
            let calls = message.get("tool_calls").and_then(Value::as_array);
            match calls.and_then(|calls| calls.first()) {
                Some(call) => Content::Calls {
                    function: text(call.pointer("/function/name")).unwrap_or_default(),
                    signature: text(call.pointer("/extra_content/google/thought_signature")),
                },
                None => Content::Other,
            }
        }
        Some(_) | None => Content::Words,
    }
}

/// The field, in either of protobuf's spellings.
fn either<'a>(part: &'a Value, names: [&str; 2]) -> Option<&'a Value> {
    names.iter().find_map(|name| part.get(name))
}

fn content(content: &Value) -> Content {
    let parts = content.get("parts").and_then(Value::as_array);
    let parts = parts.map_or(&[][..], Vec::as_slice);
    if content.get("role").and_then(Value::as_str) == Some("model") {
        let mut calls = parts.iter().filter_map(|part| {
            let call = either(part, ["functionCall", "function_call"])?;
            Some((part, call))
        });
        return match calls.next() {
            Some((part, call)) => Content::Calls {
                function: text(call.get("name")).unwrap_or_default(),
                signature: text(either(part, ["thoughtSignature", "thought_signature"])),
            },
            None => Content::Other,
        };
    }
    let results = parts
        .iter()
        .filter(|part| either(part, ["functionResponse", "function_response"]).is_some())
        .count();
    if results > 0 && results == parts.len() {
        Content::Results(results)
    } else {
        Content::Words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(function: &str, position: usize, signature: Option<&str>) -> FirstCall {
        FirstCall {
            function: function.to_owned(),
            position,
            signature: signature.map(str::to_owned),
        }
    }

    #[test]
    fn a_turn_of_messages_begins_with_the_users_last_words() {
        let signed = json!({"google": {"thought_signature": "AVSo"}});
        let messages = json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "a"},
            {"role": "assistant", "tool_calls": [{"function": {"name": "old"}}]},
            {"role": "tool", "content": "1"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": [{"type": "text", "text": "c"}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"function": {"name": "f"}, "extra_content": signed}, {"function": {"name": "g"}},
            ]},
            {"role": "tool", "content": "1"},
            {"role": "tool", "content": "2"},
            {"role": "assistant", "tool_calls": [{"function": {"name": "h"}}]},
        ]);
        let turn = Turn::of_messages(messages.as_array().unwrap());
        assert_eq!(
            turn,
            Turn {
                calls: vec![call("f", 6, Some("AVSo")), call("h", 8, None)],
                results: 2,
            }
        );
    }

    #[test]
    fn a_turn_of_contents_is_the_same_in_both_spellings() {
        let contents = json!([
            {"parts": [{"text": "a"}]},
            {"role": "model", "parts": [
                {"text": "Hm.", "thought": true},
                {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "AVSo"},
                {"functionCall": {"name": "g", "args": {}}},
            ]},
            {"role": "user", "parts": [{"functionResponse": {}}, {"functionResponse": {}}]},
            {"role": "model", "parts": [{"function_call": {"name": "h"}, "thought_signature": "EpwI"}]},
            {"role": "function", "parts": [{"function_response": {}}]},
        ]);
        let turn = Turn::of_contents(contents.as_array().unwrap());
        assert_eq!(
            turn,
            Turn {
                calls: vec![call("f", 2, Some("AVSo")), call("h", 4, Some("EpwI"))],
                results: 3,
            }
        );
    }

    #[test]
    fn calls_in_a_row_are_one_step_and_whatever_has_another_form_is_none() {
        let calls =
            |name: &str| json!({"role": "model", "parts": [{"functionCall": {"name": name}}]});
        let turn = Turn::of_contents(&[json!({}), calls("f"), calls("g")]);
        assert_eq!(turn.calls, [call("f", 2, None)]);
        for odd in [
            json!(null),
            json!("x"),
            json!({"role": 7, "parts": {}}),
            json!({"role": "assistant", "tool_calls": [7]}),
        ] {
            let message = Turn::of_messages(std::slice::from_ref(&odd));
            assert!(message.calls.iter().all(|call| call.function.is_empty()));
            assert_eq!(Turn::of_contents(&[odd]), Turn::default());
        }
    }
}
