use super::super::tests::{before_and_after, context, generated_answer_id, generated_id};
use super::*;

fn repaired(body: &str) -> String {
    String::from_utf8(completion(body.into(), &context(false))).unwrap()
}

/// A body that is complete except for its choice.
fn with(choice: &str) -> String {
    format!(r#"{{"id":"i","object":"{KIND}","created":1,"model":"m","choices":[{choice}]}}"#)
}

#[test]
fn fills_in_missing_answer_fields() {
    for (body, expected) in [
        (
            r#" {"choices":[]} "#,
            r#" {"id":"NEW","object":"chat.completion","created":1790000000,"model":"asked-for","choices":[]} "#,
        ),
        (
            r#"{"object":"chat.completion","id":null,"created":null,"model":"","choices":null}"#,
            r#"{"object":"chat.completion","id":"NEW","created":1790000000,"model":"asked-for","choices":[]}"#,
        ),
        (
            "{\n  \"choices\": [],\n  \"\\u0069d\": \"\",\n  \"created\": \"1\"\n}\n",
            "{\"object\":\"chat.completion\",\"model\":\"asked-for\",\n  \"choices\": [],\n  \"\\u0069d\": \"NEW\",\n  \"created\": \"1\"\n}\n",
        ),
    ] {
        let expected = expected.replace("NEW", &generated_answer_id());
        assert_eq!(repaired(body), expected, "{body}");
    }
}

#[test]
fn fills_in_content_and_call_ids_and_types() {
    for (message, expected) in [
        ("{}", r#"{"content":null}"#),
        (r#"{"content":""}"#, r#"{"content":""}"#),
        (
            r#"{"content":"","tool_calls":[{"function":{}},{"id":"a","type":"custom"},{"id":"a","custom":{}},[""],{ }]}"#,
            r#"{"content":"","tool_calls":[{"id":"NEW1","type":"function","function":{}},{"id":"a","type":"custom"},{"id":"NEW2","custom":{}},[""],{"id":"NEW3","type":"function" }]}"#,
        ),
        ("[]", "[]"),
        ("null", EMPTY_MESSAGE),
    ] {
        let choice = |message| {
            with(&format!(
                r#"{{"finish_reason":"length","message":{message}}}"#
            ))
        };
        let mut expected = choice(expected);
        for number in 1..=3 {
            expected = expected.replace(&format!("NEW{number}"), &generated_id(number));
        }
        assert_eq!(repaired(&choice(message)), expected, "{message}");
    }
}

#[test]
fn call_ids_are_unique_across_choices() {
    let choice = r#"{"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[{"id":"a","type":"function"}]}}"#;
    let renamed = choice.replace(r#""id":"a""#, &format!(r#""id":"{}""#, generated_id(1)));
    let both = with(&format!("{choice},{choice}"));
    assert_eq!(repaired(&both), with(&format!("{choice},{renamed}")));
}

#[test]
fn a_choice_with_calls_finishes_with_tool_calls() {
    let call = r#"{"id":"a","type":"function"}"#;
    for (calls, reason, expected) in [
        (call, "\"stop\"", "\"tool_calls\""),
        (call, "\"STOP\"", "\"tool_calls\""),
        (call, "\"st\\u006fp\"", "\"tool_calls\""),
        (call, "\"length\"", "\"length\""),
        (call, "\"content_filter: SAFETY\"", "\"content_filter\""),
        (call, "\"UNEXPECTED_TOOL_CALL\"", "\"tool_calls\""),
        (call, "null", "\"tool_calls\""),
        ("", "\"stop\"", "\"stop\""),
        ("", "null", "\"stop\""),
        ("", "\"\"", "\"stop\""),
        ("", "7", "\"stop\""),
        ("", "\"SAFETY\"", "\"content_filter\""),
    ] {
        let message = format!(r#""message":{{"content":null,"tool_calls":[{calls}]}}"#);
        let choice = |reason| with(&format!(r#"{{"finish_reason":{reason},{message}}}"#));
        assert_eq!(repaired(&choice(reason)), choice(expected), "{reason}");
    }
}

#[test]
fn fills_in_missing_choice_fields() {
    for case in [
        r#"{} -> {"message":EMPTY,"finish_reason":"stop"}"#,
        r#"{"index":0,"message":null} -> {"finish_reason":"stop","index":0,"message":EMPTY}"#,
        r#"{"message":[]} -> {"finish_reason":"stop","message":[]}"#,
    ] {
        let (choice, expected) = before_and_after(case);
        let expected = expected.replace("EMPTY", EMPTY_MESSAGE);
        assert_eq!(repaired(&with(choice)), with(&expected), "{choice}");
    }
}

#[test]
fn a_refused_prompt_becomes_a_filtered_choice() {
    let refused = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{}}"#;
    for body in [refused, &refused.replacen('{', r#"{"choices":[],"#, 1)] {
        let answer: serde_json::Value = serde_json::from_str(&repaired(body)).unwrap();
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "content_filter", "{body}");
        assert_eq!(choice["message"]["role"], "assistant");
        assert_eq!(answer["object"], KIND);
    }
}

fn streamed(body: &str, include_usage: bool) -> Option<String> {
    let stream = stream_of(body.as_bytes(), &context(include_usage))?;
    Some(String::from_utf8(stream).unwrap())
}

#[test]
fn converts_a_completion_to_the_requested_stream() {
    let head = r#""created":1,"model":"m","object":"chat.completion"#;
    let body = format!(
        "{{\n  \"choices\": [{{\"finish_reason\":\"STOP\",\"index\":0,\r\n\"message\":{{\"role\":\"assistant\",\"content\":\"a\\nb\",\"tool_calls\":[{{\"id\":\"\",\"function\":{{\"name\":\"f\"}}}}]}},\"logprobs\":null}}],\"id\":\"i\",{head}\",\"usage\":{{\"total_tokens\":3}}}}\n"
    );
    let chunk = |usage: &str| {
        format!(
            "data: {{   \"choices\": [{{\"finish_reason\":\"tool_calls\",\"index\":0,  \"delta\":{{\"role\":\"assistant\",\"content\":\"a\\nb\",\"tool_calls\":[{{\"type\":\"function\",\"index\":0,\"id\":\"{}\",\"function\":{{\"name\":\"f\"}}}}]}},\"logprobs\":null}}],\"id\":\"i\",{head}.chunk\"{usage}}}\n\n",
            generated_id(1)
        )
    };
    let usage = format!(
        "data: {{\"id\":\"i\",\"object\":\"{}\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{{\"total_tokens\":3}}}}\n\n",
        stream::KIND
    );
    let done = "data: [DONE]\n\n";
    let unordered = |text: &str| -> Vec<serde_json::Value> {
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data).ok())
            .collect()
    };
    let plain = streamed(&body, false).unwrap();
    assert_eq!(unordered(&plain), unordered(&chunk("")));
    assert!(plain.ends_with(done));
    let with_usage = streamed(&body, true).unwrap();
    let expected = chunk(",\"usage\":null") + &usage + done;
    assert_eq!(unordered(&with_usage), unordered(&expected));
    assert!(with_usage.ends_with(&(usage + done)));
}

#[test]
fn a_converted_stream_has_a_role_and_a_finish_reason() {
    let refused = r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#;
    for (body, choices) in [
        (with(r#"{"message":{"content":"x"}}"#), 2),
        (with(r#"{"index":0,"message":null}"#), 2),
        (with(r#"{"index":0}"#), 2),
        (with(r#"{"message":{},"finish_reason":"length"}"#), 1),
        (with("").replace("[]", "null"), 1),
        (refused.to_owned(), 1),
        (with("").replace(KIND, stream::KIND), 1),
    ] {
        let stream = streamed(&body, false).unwrap();
        let events: Vec<&str> = stream.split_terminator("\n\n").collect();
        assert_eq!(events.len(), choices + 1, "{stream}");
        let first = events[0].contains(r#""role":"assistant""#);
        let is_empty = events[0].contains(r#""choices":[]"#);
        assert!(first || is_empty, "{stream}");
        assert_eq!(events[choices], "data: [DONE]");
    }
}

#[test]
fn only_completions_convert_to_streams() {
    for body in [
        "",
        "{}",
        "[]",
        r#"{"choices":7}"#,
        r#"{"choices":[1]}"#,
        r#"{"choices":[{"message":[]}]}"#,
        r#"{"choices":[{"message":{},"finishReason":"STOP"}]}"#,
        r#"{"choices":[]} x"#,
        r#"{"object":"list","data":[]}"#,
        r#"{"error":{"code":503}}"#,
        "data: {\"choices\":[]}\n\n",
    ] {
        assert_eq!(streamed(body, true), None, "{body}");
    }
}

#[test]
fn other_answers_pass_unchanged() {
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
        assert_eq!(repaired(body), body);
    }
    let choice = r#"{"message":{"content":"x"},"finish_reason":"stop"}"#;
    let whole = with(choice).into_bytes();
    let place = whole.as_ptr();
    let repaired = completion(whole, &context(false));
    assert_eq!(repaired.as_ptr(), place);
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let body = with(&format!(
        r#"{{"finish_reason":"length","message":{{"tool_calls":{deep}}}}}"#
    ));
    let expected = body.replace("{\"tool", "{\"content\":null,\"tool");
    assert!(repaired(&body) == expected);
}
