//! Whole completions.

use super::Context;
use super::answer::{Head, end_with_calls, mend_call};
use super::ids::CallIds;
use super::skim::{Answer, Choice, Object, Said, read_object, text_of};
use crate::openai::patch::{Edits, Patch};

const KIND: &str = "chat.completion";

/// Mends a `chat.completion`; anything else comes back as it is.
pub(super) fn completion(body: Vec<u8>, context: &Context) -> Vec<u8> {
    edits(&body, context).unwrap_or_default().apply(body)
}

fn edits(body: &[u8], context: &Context) -> Option<Edits> {
    let json = text_of(body)?;
    let answer: Answer<'_> = read_object(json)?;
    let mut choices = answer.choices.iter().flatten();
    if !answer.is(KIND) || choices.any(|Object(choice)| choice.camel_case.is_some()) {
        return None;
    }
    let mut patch = Patch::of(body);
    Head::of(context).fill_in(&mut patch, json, &answer, KIND);
    let mut ids = CallIds::new(context.seed);
    for Object(choice) in answer.choices.iter().flatten() {
        mend_choice(&mut patch, choice, &mut ids);
    }
    Some(patch.into_edits())
}

/// `None` if it has no message to be mended.
fn mend_choice(patch: &mut Patch<'_>, choice: &Choice<'_>, ids: &mut CallIds) -> Option<()> {
    let message = choice.message?.get();
    let said: Said<'_> = read_object(message)?;
    if said.content.is_none() {
        patch.set(message, "content", None, "null");
    }
    let calls = said.tool_calls();
    for entry in &calls {
        if let Some(call) = read_object(entry.get()) {
            mend_call(patch, entry, &call, ids);
        }
    }
    if !calls.is_empty() {
        end_with_calls(patch, choice);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{context, made, made_answer_id};
    use super::*;

    fn mend(body: &str) -> String {
        String::from_utf8(completion(body.into(), &context(false))).unwrap()
    }

    /// A body that lacks nothing but what is in its choice.
    fn with(choice: &str) -> String {
        format!(r#"{{"id":"i","object":"{KIND}","created":1,"model":"m","choices":[{choice}]}}"#)
    }

    #[test]
    fn what_every_answer_has_is_filled_in() {
        let made = made_answer_id();
        for (body, expected) in [
            (
                r#" {"choices":[]} "#,
                format!(
                    r#" {{"id":"{made}","object":"chat.completion","created":1790000000,"model":"asked-for","choices":[]}} "#
                ),
            ),
            (
                r#"{"object":"chat.completion","id":null,"created":null,"model":""}"#,
                format!(
                    r#"{{"object":"chat.completion","id":"{made}","created":1790000000,"model":"asked-for"}}"#
                ),
            ),
            (
                "{\n  \"choices\": [],\n  \"\\u0069d\": \"\",\n  \"created\": \"1\"\n}\n",
                format!(
                    "{{\"object\":\"chat.completion\",\"model\":\"asked-for\",\n  \"choices\": [],\n  \"\\u0069d\": \"{made}\",\n  \"created\": \"1\"\n}}\n"
                ),
            ),
        ] {
            assert_eq!(mend(body), expected, "{body}");
        }
    }

    #[test]
    fn a_message_has_content_and_its_calls_have_ids_and_types() {
        let (first, second) = (made(1), made(2));
        for (message, expected) in [
            ("{}", r#"{"content":null}"#.to_owned()),
            (r#"{"content":""}"#, r#"{"content":""}"#.to_owned()),
            (
                r#"{"content":"","tool_calls":[{"function":{}},{"id":"a","type":"custom"},{"id":"a","custom":{}},[""],{ }]}"#,
                format!(
                    r#"{{"content":"","tool_calls":[{{"id":"{first}","type":"function","function":{{}}}},{{"id":"a","type":"custom"}},{{"id":"{second}","custom":{{}}}},[""],{{"id":"{}" }}]}}"#,
                    made(3)
                ),
            ),
            ("[]", "[]".to_owned()),
            ("null", "null".to_owned()),
        ] {
            let body = with(&format!(r#"{{"message":{message}}}"#));
            let expected = with(&format!(r#"{{"message":{expected}}}"#));
            assert_eq!(mend(&body), expected, "{message}");
        }
    }

    #[test]
    fn the_ids_of_all_choices_are_apart() {
        let choice = r#"{"message":{"content":null,"tool_calls":[{"id":"a","type":"function"}]}}"#;
        let both = with(&format!("{choice},{choice}"));
        let expected = with(&format!(
            "{choice},{}",
            choice.replace("\"a\"", &format!("\"{}\"", made(1)))
        ));
        assert_eq!(mend(&both), expected);
    }

    #[test]
    fn a_choice_with_calls_ends_so() {
        let call = r#"{"id":"a","type":"function"}"#;
        for (calls, reason, expected) in [
            (call, "\"stop\"", "\"tool_calls\""),
            (call, "\"STOP\"", "\"tool_calls\""),
            (call, "\"st\\u006fp\"", "\"tool_calls\""),
            (call, "\"length\"", "\"length\""),
            (call, "null", "null"),
            ("", "\"stop\"", "\"stop\""),
        ] {
            let choice = |reason: &str| {
                with(&format!(
                    r#"{{"finish_reason":{reason},"message":{{"content":null,"tool_calls":[{calls}]}}}}"#
                ))
            };
            assert_eq!(mend(&choice(reason)), choice(expected), "{reason}");
        }
    }

    #[test]
    fn what_is_no_completion_passes_as_the_same_bytes() {
        for body in [
            "",
            "null",
            "{}",
            "[{\"choices\":[]}]",
            "[\"\",\"\",\"\",\"\",null,[]]",
            "{\"choices\":[]} x",
            "{\"choices\":[[]]}",
            "{\"choices\":[],\"id\":\"\",\"id\":\"\"}",
            r#"{"object":"list","data":[]}"#,
            r#"{"object":"chat.completion.chunk","choices":[]}"#,
            r#"{"error":{"code":503}}"#,
            r#"{"id":"","object":"chat.completion","choices":[{"message":{},"finishReason":"stop"}]}"#,
        ] {
            assert_eq!(mend(body), body);
        }
        let whole = with(r#"{"message":{"content":"x"}}"#).into_bytes();
        let place = whole.as_ptr();
        let mended = completion(whole, &context(false));
        assert_eq!(mended.as_ptr(), place);
    }

    #[test]
    fn deep_nesting_passes_and_does_not_overflow_the_stack() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let body = with(&format!(r#"{{"message":{{"tool_calls":{deep}}}}}"#));
        let expected = body.replace("{\"tool", "{\"content\":null,\"tool");
        assert!(mend(&body) == expected);
    }
}
