//! Identifies the conversation that a request continues, by its model and first messages, which
//! every later turn repeats.
//!
//! Google caches prompt prefixes per project and charges less for cached tokens
//! (<https://ai.google.dev/gemini-api/docs/caching>), so all turns of a conversation should go to
//! the same project.

use crate::wire::json::{Members, find, parse, read};
use crate::wire::{Kind, Surface};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many messages are searched for the first user message.
const FIRST_MESSAGES: usize = 8;

/// Returns a hash of the conversation, or `None` if the request does not continue one.
///
/// Hashes are only comparable within one build of the pool, which is all that is needed.
pub fn conversation(surface: Surface, kind: Kind, model: &str, body: &[u8]) -> Option<u64> {
    if kind == Kind::Other {
        return None;
    }
    let Members(members) = parse(body)?;
    let mut hasher = DefaultHasher::new();
    model.hash(&mut hasher);
    match surface {
        Surface::OpenAi => {
            let messages = find(&members, "messages").and_then(read::<Vec<&RawValue>>)?;
            messages.first()?;
            for message in messages.into_iter().take(FIRST_MESSAGES) {
                message.get().hash(&mut hasher);
                if role(message).is_some_and(|role| role == "user") {
                    break;
                }
            }
        }
        Surface::Gemini => {
            let instruction = ["systemInstruction", "system_instruction"]
                .into_iter()
                .find_map(|name| find(&members, name));
            instruction.map(RawValue::get).hash(&mut hasher);
            let contents = find(&members, "contents").and_then(read::<Vec<&RawValue>>)?;
            contents.first()?.get().hash(&mut hasher);
        }
    }
    Some(hasher.finish())
}

fn role(message: &RawValue) -> Option<Cow<'_, str>> {
    let Members(message) = read(message)?;
    find(&message, "role").and_then(read::<Cow<'_, str>>)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openai(model: &str, messages: &str) -> Option<u64> {
        let body = format!(r#"{{"x":1,"messages":[{messages}]}}"#);
        conversation(Surface::OpenAi, Kind::Chat, model, body.as_bytes())
    }

    const SYSTEM: &str = r#"{"role":"system","content":"s"}"#;
    const FIRST: &str = r#"{"role":"user","content":"first"}"#;
    const SECOND: &str = r#"{"role":"assistant","content":"a"},{"role":"user","content":"second"}"#;

    #[test]
    fn a_conversation_keeps_its_id_across_turns() {
        let expected = openai("m", &format!("{SYSTEM},{FIRST}"));
        assert!(expected.is_some());
        assert_eq!(openai("m", &format!("{SYSTEM},{FIRST},{SECOND}")), expected);
        for other in [
            openai("n", &format!("{SYSTEM},{FIRST}")),
            openai("m", FIRST),
            openai("m", &format!("{SYSTEM},{SECOND}")),
        ] {
            assert!(other.is_some() && other != expected);
        }
        let gemini =
            |body: &str| conversation(Surface::Gemini, Kind::Generate, "m", body.as_bytes());
        let expected = gemini(r#"{"systemInstruction":{"parts":[]},"contents":[{"a":1}]}"#);
        assert!(expected.is_some());
        assert_eq!(
            gemini(r#"{"contents":[{"a":1},{"b":2}],"systemInstruction":{"parts":[]}}"#),
            expected
        );
        assert_ne!(gemini(r#"{"contents":[{"a":1}]}"#), expected);
    }

    #[test]
    fn other_requests_have_no_conversation() {
        assert_eq!(openai("m", ""), None);
        for body in ["", "[]", "{}", r#"{"contents":[]}"#, r#"{"contents":{}}"#] {
            assert_eq!(
                conversation(Surface::Gemini, Kind::Generate, "m", body.as_bytes()),
                None,
                "{body}"
            );
        }
        let list = br#"{"contents":[{}]}"#;
        assert_eq!(conversation(Surface::Gemini, Kind::Other, "m", list), None);
    }
}
