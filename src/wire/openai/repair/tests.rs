//! Recorded answers, and properties that hold for any answer.

use super::*;
use crate::wire::Kind;
use crate::wire::stream::EventScanner;
use crate::wire::stream::testing::pieces;
use proptest::prelude::*;
use serde_json::{Value, json};

pub(super) fn context(include_usage: bool) -> Context {
    Context {
        model: "asked-for".into(),
        created: 1_790_000_000,
        seed: 42,
        requested: Requested::Stream { include_usage },
    }
}

pub(super) fn repaired_stream(stream: &str, include_usage: bool) -> String {
    let repaired = StreamRepair::new(context(include_usage)).lines(stream.into());
    String::from_utf8(repaired).unwrap()
}

fn repaired_completion(body: &str) -> String {
    String::from_utf8(completion(body.into(), &context(false))).unwrap()
}

/// The id generated for [`context`] with this number.
pub(super) fn generated_id(number: usize) -> String {
    let mut ids = ids::CallIds::new(42);
    let ids = std::iter::repeat_with(|| ids.replacement("").unwrap());
    ids.take(number).last().unwrap()
}

pub(super) fn generated_answer_id() -> String {
    ids::answer_id(42)
}

/// The two sides of a case, such as `{} -> {"index":0}`.
pub(super) fn before_and_after(case: &str) -> (&str, &str) {
    let (before, after) = case.split_once("->").unwrap();
    (before.trim(), after.trim())
}

/// A recorded chunk without the usage at its end.
fn without_usage(chunk: &str) -> String {
    match chunk.split_once(",\"usage\":") {
        Some((before, _)) => format!("{before}}}"),
        None => chunk.to_owned(),
    }
}

/// Replaces `*1` by the first generated call id, and `*0` by the answer's.
fn with_ids(expected: &str) -> String {
    expected
        .replace("*0", &generated_answer_id())
        .replace("*1", &generated_id(1))
}

/// The paragraphs of a text: an answer, and on the next line what it becomes, if it changes.
fn recorded(text: &str) -> impl Iterator<Item = (&str, String)> {
    text.split("\n\n").map(|paragraph| {
        let (before, after) = paragraph.split_once('\n').unwrap_or((paragraph, paragraph));
        (before, with_ids(after))
    })
}

/// Recorded completions, each followed by its repaired form if that differs: a text, a tool call,
/// two tool calls with the same id and the signature inside one, and two answers of batches.
const COMPLETIONS: &str = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"Ghostbusters","role":"assistant"}}],"created":1763164273,"id":"ccAXad3iNNbiz7IPocTe0Ac","model":"gemini-2.5-flash","object":"chat.completion","usage":{"completion_tokens":2,"prompt_tokens":17,"total_tokens":49}}

{"choices":[{"finish_reason":"tool_calls","index":0,"message":{"extra_content":{"google":{"thought":true,"thought_signature":"AVSoXO4AzAXs7G"}},"role":"assistant","thought_signature":"AVSoXO4AzAXs7G","tool_calls":[{"function":{"arguments":"{}","name":"get_current_time"},"id":"","type":"function"}]}}],"created":1748902365,"id":"3SE-aKjdCcCEz7IPxpqjCA","model":"gemini-2.5-pro-preview-05-06","object":"chat.completion","usage":{"completion_tokens":12,"prompt_tokens":35,"total_tokens":109}}
{"choices":[{"finish_reason":"tool_calls","index":0,"message":{"content":null,"extra_content":{"google":{"thought":true,"thought_signature":"AVSoXO4AzAXs7G"}},"role":"assistant","thought_signature":"AVSoXO4AzAXs7G","tool_calls":[{"function":{"arguments":"{}","name":"get_current_time"},"id":"*1","type":"function"}]}}],"created":1748902365,"id":"3SE-aKjdCcCEz7IPxpqjCA","model":"gemini-2.5-pro-preview-05-06","object":"chat.completion","usage":{"completion_tokens":12,"prompt_tokens":35,"total_tokens":109}}

{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"s"}},"function":{"arguments":"{}","name":"f"},"id":"function-call-18439433602034082669","type":"function"},{"function":{"arguments":"{}","name":"g"},"id":"function-call-18439433602034082669"}]}}],"created":1,"model":"m","object":"chat.completion"}
{"id":"*0","choices":[{"finish_reason":"tool_calls","index":0,"message":{"content":null,"role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"s"}},"function":{"arguments":"{}","name":"f"},"id":"function-call-18439433602034082669","type":"function"},{"type":"function","function":{"arguments":"{}","name":"g"},"id":"*1"}]}}],"created":1,"model":"m","object":"chat.completion"}

{"response":{"status_code":200,"body":{"id":"okvA","usage":{"completionTokens":19,"promptTokens":9,"totalTokens":488},"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"..."},"finishReason":"stop"}],"created":"1757432746","model":"gemini-2.5-flash"}},"custom_id":"request-1"}

{"usage":{"completionTokens":19},"object":"chat.completion","choices":[{"message":{"role":"assistant"},"finishReason":"stop"}],"created":"1757432746"}"#;

#[test]
fn recorded_completions_are_repaired() {
    for (body, expected) in recorded(COMPLETIONS) {
        assert_eq!(repaired_completion(body), expected, "{body}");
    }
}

const HELLO: &str = r#"data: {"choices":[{"delta":{"content":"Hello","role":"assistant"},"index":0}],"created":1740894644,"model":"gemini-2.0-flash","object":"chat.completion.chunk","usage":{"completion_tokens":0,"prompt_tokens":4,"total_tokens":4}}

data: {"choices":[{"delta":{"content":" there","role":"assistant"},"index":0}],"created":1740894644,"model":"gemini-2.0-flash","object":"chat.completion.chunk","usage":{"completion_tokens":0,"prompt_tokens":4,"total_tokens":4}}

data: {"choices":[{"delta":{"content":"! How can I help you today?\n","role":"assistant"},"finish_reason":"stop","index":0}],"created":1740894644,"model":"gemini-2.0-flash","object":"chat.completion.chunk","usage":{"completion_tokens":11,"prompt_tokens":3,"total_tokens":14}}

data: [DONE]

"#;

#[test]
fn a_recorded_text_stream_has_one_id_role_and_usage() {
    let expected = r#"data: {"id":"*0","choices":[{"delta":{"content":"Hello","role":"assistant"},"index":0}],"created":1740894644,"model":"gemini-2.0-flash","object":"chat.completion.chunk","usage":null}

data: {"id":"*0","choices":[{"delta":{"content":" there"},"index":0}],"created":1740894644,"model":"gemini-2.0-flash","object":"chat.completion.chunk","usage":null}

data: {"id":"*0","choices":[{"delta":{"content":"! How can I help you today?\n"},"finish_reason":"stop","index":0}],"created":1740894644,"model":"gemini-2.0-flash","object":"chat.completion.chunk","usage":null}

data: {"id":"*0","object":"chat.completion.chunk","created":1740894644,"model":"gemini-2.0-flash","choices":[],"usage":{"completion_tokens":11,"prompt_tokens":3,"total_tokens":14}}

data: [DONE]

"#;
    assert_eq!(repaired_stream(HELLO, true), with_ids(expected));
    let with_id = format!("data: {{\"id\":\"{}\",", generated_answer_id());
    let (first, later) = HELLO.split_once("\n\n").unwrap();
    let later = later.replace(r#","role":"assistant""#, "");
    let without: String = format!("{first}\n\n{later}")
        .lines()
        .map(|line| without_usage(line) + "\n")
        .collect();
    let expected = without.replace("data: {", &with_id);
    assert_eq!(repaired_stream(HELLO, false), expected);
}

/// Recorded chunks: calls with and without an id, both tags of a thought, and an empty answer.
const CHUNKS: &str = r#"{"choices":[{"delta":{"role":"assistant","tool_calls":[{"function":{"arguments":"{\"value\":[1,2,3,4,5]}","name":"return_list_of_int"},"id":"","type":"function"}]},"finish_reason":"stop","index":0}],"created":1740894645,"model":"gemini-2.0-flash","object":"chat.completion.chunk","usage":{"completion_tokens":8,"prompt_tokens":25,"total_tokens":33}}
{"id":"*0","choices":[{"delta":{"role":"assistant","tool_calls":[{"index":0,"function":{"arguments":"{\"value\":[1,2,3,4,5]}","name":"return_list_of_int"},"id":"*1","type":"function"}]},"finish_reason":"tool_calls","index":0}],"created":1740894645,"model":"gemini-2.0-flash","object":"chat.completion.chunk","usage":{"completion_tokens":8,"prompt_tokens":25,"total_tokens":33}}

{"choices":[{"delta":{"role":"assistant","tool_calls":[{"function":{"arguments":"{\"pattern\":\"*\"}","name":"glob"},"id":"function-call-18439433602034082669","type":"function"}]},"finish_reason":"tool_calls","index":0}],"created":1788465147,"model":"gemini-2.5-flash","object":"chat.completion.chunk","usage":{"completion_tokens":12,"prompt_tokens":3379,"total_tokens":3459}}
{"id":"*0","choices":[{"delta":{"role":"assistant","tool_calls":[{"index":0,"function":{"arguments":"{\"pattern\":\"*\"}","name":"glob"},"id":"function-call-18439433602034082669","type":"function"}]},"finish_reason":"tool_calls","index":0}],"created":1788465147,"model":"gemini-2.5-flash","object":"chat.completion.chunk","usage":{"completion_tokens":12,"prompt_tokens":3379,"total_tokens":3459}}

{"choices":[{"delta":{"role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"…"}},"function":{"arguments":"{\"offset\":1}","name":"read"},"id":"call_297140","type":"function"}]},"index":0}],"model":"gemini-3.8-flash","object":"chat.completion.chunk"}
{"id":"*0","created":1790000000,"choices":[{"delta":{"role":"assistant","tool_calls":[{"index":0,"extra_content":{"google":{"thought_signature":"…"}},"function":{"arguments":"{\"offset\":1}","name":"read"},"id":"call_297140","type":"function"}]},"index":0}],"model":"gemini-3.8-flash","object":"chat.completion.chunk"}

{"choices":[{"delta":{"content":"<thought>**Defining the Greeting**\n\n...","extra_content":{"google":{"thought":true}},"role":"assistant"},"index":0}],"created":1752319190,"id":"1URyaLjuGKiqmtkPj86KuAI","model":"gemini-2.5-flash","object":"chat.completion.chunk"}

{"choices":[{"delta":{"content":"</thought>Hi","role":"assistant"},"finish_reason":"stop","index":0}],"created":1752319190,"id":"1URyaLjuGKiqmtkPj86KuAI","model":"gemini-2.5-flash","object":"chat.completion.chunk"}

{"choices":[{"delta":{"role":"assistant"},"finish_reason":"stop","index":0}],"created":1784482218,"id":"qg","model":"gemini-2.5-flash","object":"chat.completion.chunk","usage":{"completion_tokens":0,"prompt_tokens":5051,"total_tokens":5051}}"#;

#[test]
fn recorded_chunks_are_repaired() {
    for (chunk, expected) in recorded(CHUNKS) {
        let expected = without_usage(&expected);
        let repaired = repaired_stream(&format!("data: {chunk}\n\n"), false);
        assert_eq!(repaired, format!("data: {expected}\n\n"), "{chunk}");
    }
}

// Properties of relevant input: the right names in the right places, with arbitrary values.

/// A member with this name, which is sometimes escaped, and a value.
fn member(name: &'static str, value: BoxedStrategy<String>) -> BoxedStrategy<Option<String>> {
    let escaped = format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
    let name = prop_oneof![9 => Just(name.to_owned()), 1 => Just(escaped)];
    let blank = prop::sample::select(vec!["", "", " ", "\t"]);
    let text = (name, blank, value)
        .prop_map(|(name, blank, value)| format!("{blank}\"{name}\"{blank}:{blank}{value}{blank}"));
    prop::option::weighted(0.8, text).boxed()
}

/// An object with most of these members in any order, and rarely one of them twice.
fn object(members: Vec<BoxedStrategy<Option<String>>>) -> BoxedStrategy<String> {
    let twice = prop::option::weighted(0.04, any::<prop::sample::Index>());
    (members.prop_shuffle(), twice)
        .prop_map(|(members, twice)| {
            let mut members: Vec<String> = members.into_iter().flatten().collect();
            if let Some(twice) = twice.filter(|_| !members.is_empty()) {
                members.push(members[twice.index(members.len())].clone());
            }
            format!("{{{}}}", members.join(","))
        })
        .boxed()
}

fn list(item: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop::collection::vec(item, 0..4)
        .prop_map(|items| format!("[{}]", items.join(", ")))
        .boxed()
}

fn leaf() -> BoxedStrategy<String> {
    select(
        r#"null | "" | "stop" | "st\u006fp" | "STOP" | "tool_calls" | "length" | "chat.completion" |
        "chat.completion.chunk" | "list" | "model" | "models/m" | "models\/m" | "function" |
        "call_1" | "\ud800" | 0 | 1 | -1 | 1.50e+2 | 4294967295 | 18446744073709551616 | true |
        {} | { } | [] | [{}] | ["f"]"#,
    )
}

/// One of these alternatives, separated by `|`.
fn select(alternatives: &'static str) -> BoxedStrategy<String> {
    let texts = alternatives.split('|').map(|text| text.trim().to_owned());
    prop::sample::select(texts.collect::<Vec<_>>()).boxed()
}

/// Usually this, otherwise anything.
fn mostly(usual: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop_oneof![12 => usual, 1 => leaf()].boxed()
}

/// Usually one of these alternatives.
fn one_of(alternatives: &'static str) -> BoxedStrategy<String> {
    mostly(select(alternatives))
}

const SIGNATURES: &str = r#"{"google":{"thought_signature":"s"}} |
    {"google":{"thought":true, "thought_signature":"t"}}"#;
const FINISH_REASONS: &str = r#"null | "stop" | "STOP" | "tool_calls" | "SAFETY" | """#;
const USAGES: &str = r#"{"total_tokens": 1} | {"total_tokens":2} | null"#;
const MODEL_IDS: &str = r#""models/a" | "b" | "models/models/c" | "models/""#;

fn answer(kind: &'static str, field: &'static str) -> BoxedStrategy<String> {
    let function = object(vec![
        member("name", one_of(r#""f" | "g" | """#)),
        member("arguments", one_of(r#""{}" | "{\"a\":1}""#)),
    ]);
    let call = object(vec![
        member("index", one_of("0 | 0 | 1 | null")),
        member("id", one_of(r#""" | null | "call_1" | "call_2""#)),
        member("type", one_of(r#""function" | null"#)),
        member("function", mostly(function)),
        member("extra_content", one_of(SIGNATURES)),
    ]);
    let message = object(vec![
        member("role", one_of(r#""assistant""#)),
        member("content", leaf()),
        member("tool_calls", mostly(list(mostly(call)))),
        member("extra_content", one_of(SIGNATURES)),
        member("thought_signature", one_of(r#""s" | "t""#)),
    ]);
    let choice = object(vec![
        member("index", one_of("0 | 0 | 1")),
        member("finish_reason", one_of(FINISH_REASONS)),
        member(field, mostly(message)),
        member("x", leaf()),
    ]);
    object(vec![
        member("id", one_of(r#""a" | "b" | null"#)),
        member("object", one_of(kind)),
        member("created", one_of("1 | 2 | null")),
        member("model", one_of(r#""m" | """#)),
        member("usage", one_of(USAGES)),
        member("choices", mostly(list(mostly(choice)))),
        member("x", leaf()),
    ])
}

fn whole_answer() -> BoxedStrategy<String> {
    answer(r#""chat.completion""#, "message")
}

fn line() -> BoxedStrategy<String> {
    let chunk = answer(r#""chat.completion.chunk""#, "delta");
    let data = prop_oneof![
        20 => chunk,
        2 => leaf(),
        1 => Just(String::new()),
        1 => "[ -~é]{0,12}",
    ];
    let field = prop::sample::select(vec!["data: ", "data: ", "data:", "data:   ", ": ", "id: "]);
    let end = prop::sample::select(vec!["\n\n", "\n\n", "\r\n\r\n", "\n", "\r\n"]);
    (field, data, end)
        .prop_map(|(field, data, end)| format!("{field}{data}{end}"))
        .boxed()
}

fn stream() -> BoxedStrategy<String> {
    let (spaced, bare) = ("data: [DONE]\n\n", "data:[DONE]\r\n\r\n");
    let closing = prop::sample::select(vec![spaced, bare, "data: [DONE]", ""]);
    (prop::collection::vec(line(), 0..6), closing)
        .prop_map(|(lines, closing)| lines.concat() + closing)
        .boxed()
}

fn list_of_models() -> BoxedStrategy<String> {
    let model = object(vec![
        member("id", one_of(MODEL_IDS)),
        member("object", one_of(r#""model" | null"#)),
        member("created", one_of("1 | null")),
        member("owned_by", one_of(r#""google" | """#)),
        member("x", leaf()),
    ]);
    object(vec![
        member("object", one_of(r#""list""#)),
        member("data", mostly(list(mostly(model)))),
    ])
}

/// Whether the value at a path may change, from the first to the second.
type MayChange = dyn Fn(&str, Option<&Value>, &Value) -> bool;

/// Whether values differ only where allowed, by path.
fn differ_only_where(path: &str, before: &Value, after: &Value, may: &MayChange) -> bool {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            before.iter().all(|(name, value)| {
                after.contains_key(name) || may_be_removed(&format!("{path}/{name}"), value)
            }) && after.iter().all(|(name, after)| {
                let path = format!("{path}/{name}");
                match before.get(name) {
                    Some(before) => differ_only_where(&path, before, after, may),
                    None => may(&path, None, after),
                }
            })
        }
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len()
                && before.iter().zip(after).all(|(before, after)| {
                    differ_only_where(&format!("{path}/#"), before, after, may)
                })
        }
        (before, after) => before == after || may(path, Some(before), after),
    }
}

/// Whether a value is one of OpenAI's finish reasons.
fn is_reason(value: &Value) -> bool {
    let reasons = "stop length tool_calls content_filter function_call";
    let is_one = |text| reasons.split(' ').any(|reason| reason == text);
    value.as_str().is_some_and(is_one)
}

/// What may be removed from answers.
fn may_be_removed(path: &str, before: &Value) -> bool {
    path == "/usage" && before.is_object()
        || path == "/choices/#/delta/role" && before == "assistant"
        || path.ends_with("/thought_signature") && before.is_string()
        || path.ends_with("/extra_content") && before.is_object()
}

/// The parts of answers that may be repaired, with their permitted values before and after.
fn may_be_repaired(path: &str, before: Option<&Value>, after: &Value) -> bool {
    let was_blank = before.is_none_or(|before| before.is_null() || before == "");
    let starts = |prefix| after.as_str().is_some_and(|text| text.starts_with(prefix));
    match path {
        "/id" | "/model" => was_blank && after.is_string(),
        "/created" => was_blank && after.is_i64(),
        "/object" => was_blank && starts("chat.completion"),
        "/usage" => before.is_some_and(Value::is_object) && after.is_null(),
        "/choices" => {
            before.is_none_or(|before| before.is_null() || *before == json!([])) && after.is_array()
        }
        "/choices/#/finish_reason" => {
            if before.is_some_and(is_reason) {
                before.is_some_and(|before| before == "stop") && after == "tool_calls"
            } else {
                after.is_null() || is_reason(after)
            }
        }
        "/choices/#/message" => {
            was_blank && *after == json!({"role": "assistant", "content": null})
        }
        "/choices/#/message/content" => before.is_none() && after.is_null(),
        "/choices/#/delta" => {
            was_blank && (*after == json!({}) || *after == json!({"role": "assistant"}))
        }
        "/choices/#/delta/role" => was_blank && after == "assistant",
        "/choices/#/delta/tool_calls/#/function" => was_blank && *after == json!({"arguments": ""}),
        "/choices/#/delta/tool_calls/#/id" if after.is_null() => {
            before.is_some_and(Value::is_string)
        }
        "/choices/#/delta/tool_calls/#/index" => {
            before.is_none_or(|before| before.is_null() || before.is_u64()) && after.is_u64()
        }
        "/choices/#/delta/tool_calls/#/id" | "/choices/#/message/tool_calls/#/id" => {
            (was_blank || before.is_some_and(Value::is_string)) && starts("call_")
        }
        "/choices/#/delta/tool_calls/#/type" | "/choices/#/message/tool_calls/#/type" => {
            was_blank && after == "function"
        }
        _ => false,
    }
}

/// The parts of models that may be repaired.
fn may_be_repaired_in_model(path: &str, before: Option<&Value>, after: &Value) -> bool {
    let was_blank = before.is_none_or(|before| before.is_null() || before == "");
    match path.strip_prefix("/data/#").unwrap_or(path) {
        "/id" => before
            .and_then(Value::as_str)
            .zip(after.as_str())
            .is_some_and(|(before, after)| {
                before.starts_with("models/") && before.ends_with(after)
            }),
        "/object" => was_blank && after == "model",
        "/created" => was_blank && *after == json!(UNKNOWN_CREATED),
        "/owned_by" => was_blank && after == "google",
        _ => false,
    }
}

/// Whether both are the same bytes, or both are JSON and differ only where allowed.
fn is_repaired(before: &str, after: &str, may: &MayChange) -> bool {
    let parse = |text: &str| serde_json::from_str::<Value>(text);
    before == after
        || match (parse(before), parse(after)) {
            (Ok(before), Ok(after)) => differ_only_where("", &before, &after, may),
            // Input that this parser refuses, such as half a surrogate pair, passes in unrepaired
            // parts.
            (Err(_), _) => serde_json::from_str::<&serde_json::value::RawValue>(after).is_ok(),
            (Ok(_), Err(_)) => false,
        }
}

/// Whether an event contains nothing but usage and is removed.
fn is_usage_alone(line: &str) -> bool {
    let is_removed = repaired_stream(&format!("{line}\n\n"), false).is_empty();
    let data = line.strip_prefix("data:").unwrap_or_default();
    // The test's parser refuses half a surrogate pair.
    if let (true, Ok(chunk)) = (is_removed, serde_json::from_str::<Value>(data)) {
        assert!(chunk["usage"].is_object());
        assert!(chunk["choices"].as_array().is_none_or(Vec::is_empty));
    }
    is_removed
}

fn is_repaired_stream(before: &str, after: &str) -> bool {
    let data = |line: &str| {
        let data = line.strip_prefix("data:").unwrap_or_default();
        data.trim().to_owned()
    };
    let is_done = |line: &&str| data(line).starts_with("[DONE]");
    let mut after = after.lines().filter(|line| !line.is_empty()).peekable();
    let before = before.lines().filter(|line| !line.is_empty());
    let mut has_ended = false;
    let all_match = before.into_iter().all(|line| {
        if is_usage_alone(line) && !has_ended {
            return true;
        }
        let is_end = is_done(&line) && !has_ended;
        while is_end && after.peek().is_some_and(|line| !is_done(line)) {
            let Ok(added) = serde_json::from_str::<Value>(&data(after.next().unwrap())) else {
                continue;
            };
            match added["choices"].as_array().unwrap().as_slice() {
                [] => assert!(added["usage"].is_object() && after.peek().is_some_and(is_done)),
                [end] => {
                    let reason = end["finish_reason"].as_str().unwrap();
                    assert!(["stop", "tool_calls"].contains(&reason));
                }
                more => panic!("{more:?}"),
            }
        }
        has_ended |= is_end;
        let Some(repaired) = after.next() else {
            return false;
        };
        line == repaired || is_repaired(&data(line), &data(repaired), &may_be_repaired)
    });
    all_match && after.next().is_none()
}

/// A stream of chunks in which every value has the right type.
fn valid_stream() -> BoxedStrategy<String> {
    let (index, id) = (0..3_u32, prop::sample::select(vec!["", "a", "b"]));
    let call = (prop::option::of(index), id, 0..4).prop_map(|(index, id, kind)| {
        let mut call = match kind {
            0 => json!({"extra_content": {"google": {"thought_signature": "s"}}}),
            1 => json!({"function": {"arguments": "{"}}),
            _ => json!({"id": id, "function": {"name": "f", "arguments": "{}"}, "extra_content": {"google": {"thought_signature": "s"}}}),
        };
        if let Some(index) = index {
            call["index"] = index.into();
        }
        json!({"tool_calls": [call]})
    });
    let delta = prop_oneof![
        call,
        Just(json!({"role": "assistant", "content": "x"})),
        Just(json!({"content": "x"})),
        Just(json!(null)),
    ];
    let reasons = [None, None, Some(""), Some("stop"), Some("SAFETY")];
    let choice = (0..2_u32, delta, prop::sample::select(reasons.to_vec())).prop_map(
        |(index, delta, reason)| json!({"index": index, "delta": delta, "finish_reason": reason}),
    );
    let usage = prop::option::of(1..3)
        .prop_map(|tokens| json!(tokens.map(|tokens| json!({"total_tokens": tokens}))));
    let choices = prop::option::weighted(0.9, prop::collection::vec(choice, 0..3));
    let chunk = (choices, usage).prop_map(|(choices, usage)| {
        let chunk = json!({"object": "chat.completion.chunk", "choices": choices, "usage": usage});
        format!("data: {chunk}\n\n")
    });
    prop::collection::vec(chunk, 0..10)
        .prop_map(|chunks| chunks.concat() + "data: [DONE]\n\n")
        .boxed()
}

/// Reads a stream as strictly as the strictest helper of the official clients.
fn strict_client(stream: &str, include_usage: bool) {
    #[derive(Default)]
    struct Read {
        deltas: usize,
        end: Value,
        signatures: Vec<usize>,
    }
    let events = stream.split_terminator("\n\n");
    let mut data: Vec<&str> = events
        .map(|event| event.strip_prefix("data: ").expect("data"))
        .collect();
    assert_eq!(data.pop(), Some("[DONE]"));
    let mut choices: std::collections::BTreeMap<u64, Read> = Default::default();
    let mut ids = std::collections::BTreeSet::new();
    let mut has_usage = false;
    for chunk in data {
        let chunk: Value = serde_json::from_str(chunk).unwrap();
        assert!(!has_usage, "only the last chunk has usage");
        assert!(chunk["id"].is_string());
        let choices_of_chunk = chunk["choices"].as_array().expect("choices");
        has_usage = chunk["usage"].is_object();
        assert!(!has_usage || include_usage && choices_of_chunk.is_empty());
        for choice in choices_of_chunk {
            let index = choice["index"].as_u64().unwrap();
            let read = choices.entry(index).or_default();
            let delta = choice["delta"].as_object().expect("a delta");
            let role = delta.get("role").and_then(Value::as_str);
            let expected = (read.deltas == 0).then_some("assistant");
            assert_eq!(role, expected, "clients concatenate roles");
            read.deltas += 1;
            let calls = delta.get("tool_calls").and_then(Value::as_array);
            for call in calls.into_iter().flatten() {
                let index = call["index"].as_u64().expect("an index") as usize;
                if index == read.signatures.len() {
                    read.signatures.push(0);
                    assert_eq!(call["type"], "function");
                    let id = call["id"].as_str().expect("an id");
                    assert!(!id.is_empty() && ids.insert(id.to_owned()), "a unique id");
                } else {
                    let id = call["id"].as_str().unwrap_or_default();
                    assert_eq!(id, "", "an id is sent once");
                }
                assert!(call["function"].is_object());
                let signature = call.pointer("/extra_content/google/thought_signature");
                read.signatures[index] += usize::from(signature.is_some());
                assert!(read.signatures[index] <= 1);
            }
            match &choice["finish_reason"] {
                Value::Null => {}
                reason => read.end = reason.clone(),
            }
        }
    }
    for read in choices.into_values() {
        assert!(is_reason(&read.end), "{}", read.end);
        // A choice with calls does not end with `stop`.
        assert!(read.signatures.is_empty() || read.end != "stop");
    }
}

proptest! {
    #[test]
    fn stream_repair_is_minimal_and_idempotent(stream in stream(), include_usage: bool) {
        let repaired = repaired_stream(&stream, include_usage);
        prop_assert!(is_repaired_stream(&stream, &repaired), "{repaired}");
        prop_assert_eq!(repaired_stream(&repaired, include_usage), repaired);
    }

    #[test]
    fn chunk_boundaries_between_lines_make_no_difference(
        lines in prop::collection::vec(line(), 0..6),
        cuts in prop::collection::vec(any::<bool>(), 16),
        include_usage: bool,
    ) {
        let stream = lines.concat() + "data: [DONE]\n\n";
        let mut repair = StreamRepair::new(context(include_usage));
        let mut repaired = Vec::new();
        let mut chunk = String::new();
        for (line, cut) in stream.split_inclusive('\n').zip(cuts.iter().cycle()) {
            chunk += line;
            if *cut {
                repaired.extend(repair.lines(std::mem::take(&mut chunk).into_bytes()));
            }
        }
        repaired.extend(repair.lines(chunk.into_bytes()));
        prop_assert_eq!(String::from_utf8(repaired).unwrap(), repaired_stream(&stream, include_usage));
    }

    #[test]
    fn upstream_chunk_boundaries_make_no_difference(
        stream in stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        // The scanner holds back an unterminated last line.
        let stream = format!("{stream}\ndata: [DONE]\n\n").into_bytes();
        let (mut scanner, mut repair) = (EventScanner::new(Kind::Chat), StreamRepair::new(context(true)));
        let mut repaired = Vec::new();
        for piece in pieces(&stream, &cuts) {
            repaired.extend(repair.lines(scanner.push(piece).ready));
        }
        let whole = EventScanner::new(Kind::Chat).push(stream).ready;
        prop_assert_eq!(repaired, StreamRepair::new(context(true)).lines(whole));
    }

    #[test]
    fn completion_repair_is_minimal_and_idempotent(body in whole_answer()) {
        let repaired = repaired_completion(&body);
        prop_assert!(is_repaired(&body, &repaired, &may_be_repaired), "{repaired}");
        prop_assert_eq!(repaired_completion(&repaired), repaired);
    }

    #[test]
    fn model_repair_is_minimal_and_idempotent(body in list_of_models()) {
        for repair in [models, model] {
            let repaired = repair(body.clone().into_bytes());
            let text = std::str::from_utf8(&repaired).unwrap();
            prop_assert!(is_repaired(&body, text, &may_be_repaired_in_model), "{text}");
            prop_assert_eq!(&repair(repaired.clone()), &repaired);
        }
    }

    #[test]
    fn non_json_passes_unchanged(mut body in prop::collection::vec(any::<u8>(), 0..200), json in whole_answer(), cut in any::<prop::sample::Index>()) {
        let half = &json.as_bytes()[..cut.index(json.len())];
        body.insert(0, b'#');
        for bytes in [body.clone(), half.to_vec(), [json.as_bytes(), b"\xff"].concat(), [b"[", json.as_bytes(), b"]"].concat()] {
            prop_assert_eq!(&completion(bytes.clone(), &context(true)), &bytes);
            prop_assert_eq!(&models(bytes.clone()), &bytes);
            prop_assert_eq!(&model(bytes.clone()), &bytes);
            let stream = [b"data: ", bytes.as_slice(), b"\n\n"].concat();
            prop_assert_eq!(&StreamRepair::new(context(true)).lines(stream.clone()), &stream);
        }
        prop_assert_eq!(&StreamRepair::new(context(true)).lines(body.clone()), &body);
    }

    #[test]
    fn corrupt_chunks_pass_or_are_repaired(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut stream = HELLO.as_bytes().to_vec();
        let at = at.index(stream.len());
        stream[at] = byte;
        let once = StreamRepair::new(context(true)).lines(stream);
        prop_assert_eq!(&StreamRepair::new(context(true)).lines(once.clone()), &once);
    }

    #[test]
    fn a_strict_client_accepts_any_stream_of_valid_chunks(stream in valid_stream(), include_usage: bool) {
        strict_client(&repaired_stream(&stream, include_usage), include_usage);
    }

    /// Whole calls, as Google sends them, distributed over deltas and choices at random.
    #[test]
    fn each_call_reaches_the_client_as_a_separate_call(
        calls in prop::collection::vec((0..2_usize, prop::option::of(0..2_u32), prop::sample::select(vec!["", "a", "b"]), any::<bool>()), 1..8),
    ) {
        let mut stream = String::new();
        let mut entries: Vec<String> = Vec::new();
        for (number, (choice, index, id, together)) in calls.iter().enumerate() {
            let index = index.map(|index| format!("\"index\":{index},")).unwrap_or_default();
            entries.push(format!(r#"{{{index}"id":"{id}","function":{{"name":"f","arguments":"{{{choice}:{number}}}"}}}}"#));
            let continues = *together && calls.get(number + 1).is_some_and(|(next, ..)| next == choice);
            if !continues {
                let chunk = format!(r#"{{"choices":[{{"index":{choice},"delta":{{"tool_calls":[{}]}}}}]}}"#, entries.join(","));
                stream += &format!("data: {chunk}\n\n");
                entries.clear();
            }
        }
        let mut arguments: [Vec<String>; 2] = Default::default();
        let mut ids = std::collections::BTreeSet::new();
        for data in repaired_stream(&stream, false).lines().filter_map(|line| line.strip_prefix("data: ")) {
            let chunk: Value = serde_json::from_str(data).unwrap();
            let choice = &chunk["choices"][0];
            let of_choice = &mut arguments[choice["index"].as_u64().unwrap() as usize];
            for call in choice["delta"]["tool_calls"].as_array().unwrap() {
                let index = call["index"].as_u64().unwrap() as usize;
                of_choice.resize(of_choice.len().max(index + 1), String::new());
                of_choice[index] += call["function"]["arguments"].as_str().unwrap();
                prop_assert_eq!(&call["type"], "function");
                prop_assert!(call["id"] != "" && ids.insert(call["id"].as_str().unwrap().to_owned()));
            }
        }
        for (choice, of_choice) in arguments.iter().enumerate() {
            let mut got: Vec<String> = of_choice.iter().filter(|text| !text.is_empty()).cloned().collect();
            let mut sent: Vec<String> = calls.iter().enumerate()
                .filter(|(_, call)| call.0 == choice)
                .map(|(number, _)| format!("{{{choice}:{number}}}"))
                .collect();
            got.sort();
            sent.sort();
            prop_assert_eq!(got, sent);
        }
    }
}
