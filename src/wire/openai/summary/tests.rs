use super::*;
use proptest::prelude::*;

fn at(json: &str) -> Summary {
    summarize(json.as_bytes()).unwrap_or_else(|| panic!("no completion: {json}"))
}

fn usage(input: u64, output: u64, thinking: u64, cached: u64) -> Option<Usage> {
    Some(Usage {
        input,
        output,
        thinking,
        cached,
    })
}

/// Whether there is content, whether it is finished, and whether it is blocked.
fn flags(summary: Summary) -> (bool, bool, bool) {
    (summary.has_content, summary.is_finished, summary.is_blocked)
}

const TEXT: &str = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"Ghostbusters","role":"assistant"}}],"created":1763164273,"id":"ccAXad3iNNbiz7IPocTe0Ac","model":"gemini-2.5-flash","object":"chat.completion","usage":{"completion_tokens":2,"prompt_tokens":17,"total_tokens":49}}"#;
const TOOL_CALL: &str = r#"{"choices":[{"finish_reason":"tool_calls","index":0,"message":{"extra_content":{"google":{"thought":true,"thought_signature":"AVSoXO4AzAXs7G"}},"role":"assistant","thought_signature":"AVSoXO4AzAXs7G","tool_calls":[{"function":{"arguments":"{}","name":"get_current_time"},"id":"","type":"function"}]}}],"created":1748902365,"id":"3SE-aKjdCcCEz7IPxpqjCA","model":"gemini-2.5-pro-preview-05-06","object":"chat.completion","usage":{"completion_tokens":12,"prompt_tokens":35,"total_tokens":109}}"#;
const CHUNK: &str = r#"{"choices":[{"delta":{"content":" there","role":"assistant"},"index":0}],"created":1740894644,"model":"gemini-2.0-flash","object":"chat.completion.chunk","usage":{"completion_tokens":0,"prompt_tokens":4,"total_tokens":4}}"#;
const LAST_CHUNK: &str = r#"{"choices":[{"delta":{"content":"! How can I help you today?\n","role":"assistant"},"finish_reason":"stop","index":0}],"created":1740894644,"model":"gemini-2.0-flash","object":"chat.completion.chunk","usage":{"completion_tokens":11,"prompt_tokens":3,"total_tokens":14}}"#;
const TOOL_CHUNK: &str = r#"{"choices":[{"delta":{"role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"s"}},"function":{"arguments":"{\"offset\":1}","name":"read"},"id":"call_297140","type":"function"}]},"index":0}],"model":"gemini-3.8-flash","object":"chat.completion.chunk"}"#;
const THOUGHT: &str = r#"{"choices":[{"delta":{"content":"<thought>**Defining the Greeting**\n\n","extra_content":{"google":{"thought":true}},"role":"assistant"},"index":0}],"created":1752319190,"id":"1URyaLjuGKiqmtkPj86KuAI","model":"gemini-2.5-flash","object":"chat.completion.chunk"}"#;
const EMPTY: &str = r#"{"choices":[{"delta":{"role":"assistant"},"finish_reason":"stop","index":0}],"created":1784482218,"id":"qg","model":"gemini-2.5-flash","object":"chat.completion.chunk","usage":{"completion_tokens":0,"prompt_tokens":5051,"total_tokens":5051}}"#;

#[test]
fn summarizes_recorded_answers() {
    for (json, tokens, content, finished, empty) in [
        (TEXT, usage(17, 2, 30, 0), true, true, false),
        (TOOL_CALL, usage(35, 12, 62, 0), true, true, false),
        (CHUNK, usage(4, 0, 0, 0), true, false, false),
        (LAST_CHUNK, usage(3, 11, 0, 0), true, true, false),
        (TOOL_CHUNK, None, true, false, false),
        (THOUGHT, None, true, false, true),
        (EMPTY, usage(5051, 0, 0, 0), false, true, true),
    ] {
        let summary = at(json);
        assert_eq!(summary.usage, tokens, "{json}");
        assert_eq!(flags(summary), (content, finished, false), "{json}");
        assert_eq!(summary.is_empty_answer(), empty, "{json}");
    }
}

#[test]
fn separates_token_counts_and_ignores_invalid_ones() {
    for (counts, expected) in [
        (
            r#"{"completion_tokens":19,"prompt_tokens":4634,"prompt_tokens_details":{"cached_tokens":4088},"total_tokens":4653}"#,
            usage(4634, 19, 0, 4088),
        ),
        (r#"{"prompt_tokens":7}"#, usage(7, 0, 0, 0)),
        (r#"{"total_tokens":7,"prompt_tokens":9}"#, usage(9, 0, 0, 0)),
        (
            r#"{"prompt_tokens":-1,"completion_tokens":"2","total_tokens":3,"prompt_tokens_details":[]}"#,
            usage(0, 0, 3, 0),
        ),
        (
            r#"{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615,"total_tokens":1}"#,
            usage(u64::MAX, u64::MAX, 0, 0),
        ),
        (
            r#"{"prompt_tokens":1,"prompt_tokens":2}"#,
            usage(2, 0, 0, 0),
        ),
        ("{}", None),
        ("null", None),
        ("[1]", None),
        ("12", None),
    ] {
        let summary = at(&format!(r#"{{"choices":[],"usage":{counts}}}"#));
        assert_eq!(summary.usage, expected, "{counts}");
    }
}

#[test]
fn any_nonempty_field_is_content() {
    for (said, expected) in [
        (r#"{"role":"assistant"}"#, false),
        (r#"{"role":"assistant","content":""}"#, false),
        (r#"{"content":null}"#, false),
        (r#"{"content":[ ]}"#, false),
        (r#"{"content":{ }}"#, false),
        (r#"{"tool_calls":[],"refusal":null}"#, false),
        (r#"{"extra_content":{},"audio":""}"#, false),
        ("{}", false),
        ("null", false),
        ("7", false),
        (r#"{"content":" "}"#, true),
        (r#"{"content":"  \"  "}"#, true),
        (r#"{"content":"\n"}"#, true),
        (r#"{"content":[{"type":"text","text":"x"}]}"#, true),
        (r#"{"tool_calls":[{}]}"#, true),
        (r#"{"function_call":{"name":"f"}}"#, true),
        (r#"{"content":"","reasoning_content":"hm"}"#, true),
        (r#"{"content":null,"refusal":"no"}"#, true),
        (r#"{"audio":{"data":"AA=="}}"#, true),
        (
            r#"{"extra_content":{"google":{"thought_signature":"s"}}}"#,
            false,
        ),
        (r#"{"con\u0074ent":"x"}"#, true),
    ] {
        for name in ["message", "delta"] {
            let json = format!(r#"{{"choices":[{{"index":0}},{{"{name}":{said}}}]}}"#);
            assert_eq!(at(&json).has_content, expected, "{json}");
        }
    }
}

#[test]
fn a_blocked_answer_is_not_empty() {
    for (reason, finished, blocked) in [
        ("null", false, false),
        ("\"\"", false, false),
        ("7", false, false),
        ("\"stop\"", true, false),
        ("\"STOP\"", true, false),
        ("\"tool_calls\"", true, false),
        ("\"length\"", true, true),
        ("\"content_filter\"", true, true),
        ("\"content_filter: PROHIBITED_CONTENT\"", true, true),
        ("\"SAFETY\"", true, true),
    ] {
        let summary = at(&format!(r#"{{"choices":[{{"finish_reason":{reason}}}]}}"#));
        assert_eq!(flags(summary), (false, finished, blocked), "{reason}");
        assert_eq!(summary.is_empty_answer(), !blocked, "{reason}");
    }
    let refused =
        at(r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{}}"#);
    assert_eq!(flags(refused), (false, false, true));
    assert!(!refused.is_empty_answer());
}

#[test]
fn tokens_and_thoughts_alone_are_not_an_answer() {
    let role = r#"{"role":"assistant"}"#;
    let thought = r#"{"content":"hm","extra_content":{"google":{"thought":true}}}"#;
    let call = r#"{"tool_calls":[{}],"extra_content":{"google":{"thought":true}}}"#;
    let malformed = "function_call_filter: MALFORMED_FUNCTION_CALL";
    let unexpected = "function_call_filter: UNEXPECTED_TOOL_CALL";
    for (message, reason, empty) in [
        (role, "stop", true),
        (r#"{"content":"x"}"#, "stop", false),
        (thought, "stop", true),
        (r#"{"reasoning_content":"hm"}"#, "stop", true),
        (r#"{"reasoning_content":"hm","content":"x"}"#, "stop", false),
        (call, "tool_calls", false),
        (thought, "length", false),
        (r#"{"extra_content":{"google":{}}}"#, malformed, true),
        (role, unexpected, true),
        (role, "content_filter: OTHER", false),
    ] {
        let json = format!(
            r#"{{"choices":[{{"message":{message},"finish_reason":"{reason}"}}],"usage":{{"prompt_tokens":9,"completion_tokens":14,"total_tokens":800}}}}"#
        );
        assert_eq!(at(&json).is_empty_answer(), empty, "{json}");
    }
}

#[test]
fn summarizes_unusual_answers_and_ignores_others() {
    for json in [
        r#"{"choices":7}"#,
        r#"{"choices":{}}"#,
        r#"{"choices":[1,null,"x",[],{"message":[]}]}"#,
        r#"{"object":"chat.completion"}"#,
        r#"{"object":"chat.completion.chunk","choices":null}"#,
        r#" {"usage":{"total_tokens":1}} "#,
    ] {
        assert_eq!(flags(at(json)), (false, false, false), "{json}");
    }
    for json in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "[DONE]",
        "{\"choices\":[]} x",
        r#"{"error":{"code":503}}"#,
        r#"{"object":"list","data":[]}"#,
        r#"{"object":7}"#,
        r#"{"choices":null,"usage":null}"#,
        &TEXT[..TEXT.len() - 1],
    ] {
        assert_eq!(summarize(json.as_bytes()), None, "{json}");
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let content = format!(r#"{{"choices":[{{"delta":{{"content":{deep}}}}}]}}"#);
    assert!(at(&content).has_content);
    assert!(!at(&format!(r#"{{"choices":{deep}}}"#)).has_content);
}

proptest! {
    #[test]
    fn accepts_any_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = summarize(&body);
    }

    #[test]
    fn accepts_corrupt_answers(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = TOOL_CALL.as_bytes().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        if cut {
            body.truncate(at);
        }
        let _ = summarize(&body);
    }

    #[test]
    fn nonempty_text_is_content(text in ".*") {
        let json = serde_json::json!({"choices": [{"delta": {"role": "assistant", "content": text}}]});
        prop_assert_eq!(at(&json.to_string()).has_content, !text.is_empty());
    }
}
