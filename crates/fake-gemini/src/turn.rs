//! The current turn of a conversation: everything after the user's last text.
//!
//! A turn consists of steps: the tool calls of one response, and their results. On Gemini 3, the
//! first call of each step has a thought signature, which the client must send back until the turn
//! ends (<https://ai.google.dev/gemini-api/docs/thought-signatures>). Published errors count
//! contents from 1, without the system instruction.

use crate::json::either;
use serde_json::Value;

/// The current turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// The first call of each step.
    pub(crate) calls: Vec<FirstCall>,
    /// Number of tool results.
    pub(crate) results: usize,
    /// Number of the model's answers in the whole conversation.
    pub(crate) answers: usize,
}

/// The first tool call of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FirstCall {
    pub(crate) function: String,
    /// Position of its content in the conversation, from 1.
    pub(crate) position: usize,
    pub(crate) signature: Option<String>,
}

/// What a content means for the turn.
enum Content {
    /// The user says something: a new turn.
    Words,
    /// So many tool results.
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
    /// Reads OpenAI's `messages`.
    pub(crate) fn of_messages(messages: &[Value]) -> Self {
        let messages = messages.iter().filter(|message| {
            let role = message["role"].as_str();
            !matches!(role, Some("system" | "developer"))
        });
        Self::of(messages.map(message))
    }

    /// Reads Google's `contents`.
    pub(crate) fn of_contents(contents: &[Value]) -> Self {
        Self::of(contents.iter().map(content))
    }

    fn of(contents: impl Iterator<Item = Content>) -> Self {
        let mut turn = Self::default();
        let (mut position, mut in_results, mut in_step) = (0, false, false);
        let mut in_answer = false;
        for content in contents {
            let results = matches!(content, Content::Results(_));
            // Consecutive results are one content.
            position += usize::from(!(results && in_results));
            in_results = results;
            let answers = matches!(content, Content::Calls { .. } | Content::Other);
            // Consecutive contents of the model are one answer.
            turn.answers += usize::from(answers && !in_answer);
            in_answer = answers;
            match content {
                Content::Words => {
                    turn = Self {
                        answers: turn.answers,
                        ..Self::default()
                    };
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
    match message["role"].as_str() {
        Some("tool" | "function") => Content::Results(1),
        Some("assistant" | "model") => match message.pointer("/tool_calls/0") {
            Some(call) => Content::Calls {
                function: text(call.pointer("/function/name")).unwrap_or_default(),
                signature: text(call.pointer("/extra_content/google/thought_signature")),
            },
            None => Content::Other,
        },
        Some(_) | None => Content::Words,
    }
}

fn content(content: &Value) -> Content {
    let parts = content["parts"].as_array().map_or(&[][..], Vec::as_slice);
    if content["role"] == "model" {
        let mut calls = parts
            .iter()
            .map(|part| (part, either(part, "functionCall")));
        return match calls.find(|(_, call)| !call.is_null()) {
            Some((part, call)) => Content::Calls {
                function: text(call.get("name")).unwrap_or_default(),
                signature: text(Some(either(part, "thoughtSignature"))),
            },
            None => Content::Other,
        };
    }
    let is_result = |part: &&Value| !either(part, "functionResponse").is_null();
    match parts.iter().filter(is_result).count() {
        count if count > 0 && count == parts.len() => Content::Results(count),
        _ => Content::Words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn calls(turn: &Turn) -> Vec<(&str, usize, Option<&str>)> {
        let calls = turn.calls.iter();
        calls
            .map(|call| {
                (
                    call.function.as_str(),
                    call.position,
                    call.signature.as_deref(),
                )
            })
            .collect()
    }

    #[test]
    fn turn_starts_with_the_last_words_of_the_user() {
        let signed = json!({"google": {"thought_signature": "AVSo"}});
        let messages = json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "a"},
            {"role": "assistant", "tool_calls": [{"function": {"name": "old"}}]},
            {"role": "tool", "content": "1"},
            {"role": "user", "content": [{"type": "text", "text": "c"}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"function": {"name": "f"}, "extra_content": signed},
                {"function": {"name": "g"}},
            ]},
            {"role": "tool", "content": "1"},
            {"role": "tool", "content": "2"},
            {"role": "assistant", "tool_calls": [{"function": {"name": "h"}}]},
        ]);
        let turn = Turn::of_messages(messages.as_array().unwrap());
        assert_eq!(calls(&turn), [("f", 5, Some("AVSo")), ("h", 7, None)]);
        assert_eq!((turn.results, turn.answers), (2, 3));
        let contents = json!([
            {"parts": [{"text": "a"}]},
            {"role": "model", "parts": [
                {"text": "Hm.", "thought": true},
                {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "AVSo"},
                {"functionCall": {"name": "g", "args": {}}},
            ]},
            {"role": "user", "parts": [{"functionResponse": {}}, {"functionResponse": {}}]},
            {"role": "model", "parts": [{"function_call": {"name": "h"}}]},
        ]);
        let turn = Turn::of_contents(contents.as_array().unwrap());
        assert_eq!(calls(&turn), [("f", 2, Some("AVSo")), ("h", 4, None)]);
        assert_eq!((turn.results, turn.answers), (2, 2));
    }
}
