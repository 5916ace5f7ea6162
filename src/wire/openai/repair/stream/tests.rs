use super::super::tests::{
    before_and_after, context, generated_answer_id, generated_id, repaired_stream,
};
use super::*;
use crate::wire::Kind;
use crate::wire::stream::EventScanner;
use serde_json::Value;

/// Chunks with these choices, complete except for the choice itself.
fn chunks(choices: &[&str]) -> String {
    let head = format!(r#"data: {{"id":"i","object":"{KIND}","created":1,"model":"m","choices":["#);
    let events = choices
        .iter()
        .map(|choice| [&head, *choice, "]}\n\n"].concat());
    events.collect()
}

/// A first delta with these calls.
fn calls(calls: &str) -> String {
    let message = format!(r#"{{"role":"assistant","tool_calls":[{calls}]}}"#);
    delta(0, &message)
}

/// The same for a delta that is not the first.
fn more(message: &str) -> String {
    calls(message).replace(r#""role":"assistant","#, "")
}

/// A choice with this delta.
fn delta(index: u32, delta: &str) -> String {
    format!(r#"{{"index":{index},"delta":{delta}}}"#)
}

/// A choice that finishes for this reason.
fn finish(index: u32, reason: &str) -> String {
    format!(r#"{{"index":{index},"delta":{{}},"finish_reason":"{reason}"}}"#)
}

/// The data of an event.
fn data_of(event: &str) -> Value {
    serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap()
}

/// The repaired choices of [`chunks`].
fn repaired_choices(choices: &[&str]) -> Vec<Value> {
    let repaired = repaired_stream(&chunks(choices), false);
    let events = repaired.split_terminator("\n\n").map(data_of);
    events.map(|mut data| data["choices"][0].take()).collect()
}

/// The indices of all calls in these deltas.
fn indices(deltas: &[&str]) -> Vec<u64> {
    let choices: Vec<String> = deltas.iter().map(|delta| calls(delta)).collect();
    let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
    repaired_choices(&choices)
        .iter()
        .flat_map(|choice| choice["delta"]["tool_calls"].as_array().unwrap())
        .map(|call| call["index"].as_u64().unwrap())
        .collect()
}

/// The finish reasons of these choices.
fn reasons(choices: &[&str]) -> Vec<Value> {
    repaired_choices(choices)
        .iter_mut()
        .map(|choice| choice["finish_reason"].take())
        .collect()
}

const A: &str = r#"{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}"#;
const B: &str = r#"{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}"#;
const A_0: &str =
    r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}"#;
const B_0: &str =
    r#"{"index":0,"id":"b","type":"function","function":{"name":"f","arguments":"{"}}"#;
const C_1: &str =
    r#"{"index":1,"id":"c","type":"function","function":{"name":"f","arguments":"{"}}"#;
const REST: &str = r#"{"function":{"arguments":"}"}}"#;
const REST_0: &str = r#"{"index":0,"function":{"arguments":"}"}}"#;
const REST_1: &str = r#"{"index":1,"function":{"name":"","arguments":"}"}}"#;

#[test]
fn missing_indices_count_up() {
    assert_eq!(indices(&[A, B]), [0, 1]);
    assert_eq!(indices(&[&format!("{A},{B}")]), [0, 1]);
    let null = r#"{"index":null,"id":"c","function":{"name":"h"}}"#;
    assert_eq!(indices(&[&format!("{A},{B}"), null]), [0, 1, 2]);
}

#[test]
fn two_names_under_one_index_are_two_calls() {
    assert_eq!(indices(&[A_0, B_0, A_0]), [0, 1, 2]);
    assert_eq!(indices(&[&format!("{A_0},{B_0}"), C_1]), [0, 1, 2]);
    assert_eq!(indices(&[A, A_0, C_1]), [0, 1, 2]);
}

#[test]
fn valid_indices_are_preserved() {
    let deltas = [A_0, REST_0, C_1, REST_1, REST_0];
    assert_eq!(indices(&deltas), [0, 0, 1, 1, 0]);
    let mut choices = deltas.map(more);
    choices[0] = calls(deltas[0]);
    let stream = chunks(&choices.each_ref().map(String::as_str));
    assert_eq!(repaired_stream(&stream, true), stream);
}

#[test]
fn indices_are_contiguous_from_zero() {
    assert_eq!(indices(&[C_1, A_0, A]), [0, 1, 2]);
    let deltas = [C_1, REST_1, A_0, REST_1, REST_0];
    assert_eq!(indices(&deltas), [0, 0, 1, 0, 1]);
}

#[test]
fn a_part_without_a_name_continues_its_call() {
    assert_eq!(indices(&[A, REST, B, REST]), [0, 0, 1, 1]);
    // An index used by several calls refers to the latest.
    assert_eq!(indices(&[A_0, REST_0, B_0, REST_0]), [0, 0, 1, 1]);
    assert_eq!(indices(&[A, B, REST_0]), [0, 1, 0]);
    // The start of this call was never seen.
    assert_eq!(indices(&[REST, REST_1, A]), [0, 1, 2]);
}

#[test]
fn later_parts_get_neither_id_nor_type() {
    let signature = r#"{"id":"","extra_content":{"google":{"thought_signature":"s"}}}"#;
    let stream = chunks(&[&calls(A), &more(signature)]);
    let added = r#"{"index":0,"function":{"arguments":""},"#;
    let expected = stream
        .replace(A, &A.replacen('{', "{\"index\":0,", 1))
        .replace(signature, &signature.replacen('{', added, 1));
    assert_eq!(repaired_stream(&stream, false), expected);
}

#[test]
fn indices_are_counted_per_choice() {
    let second = calls(A).replacen("\"index\":0", "\"index\":1", 1);
    let repaired = repaired_choices(&[&calls(A), &second, &calls(B)]);
    let indices = repaired
        .iter()
        .map(|choice| &choice["delta"]["tool_calls"][0]["index"]);
    assert!(indices.eq([0, 0, 1].iter()));
}

#[test]
fn fills_in_missing_ids_and_types() {
    for case in [
        r#""index":0 -> "id":"NEW","type":"function","index":0"#,
        r#""index":0,"type":null,"id":null -> "index":0,"type":"function","id":"NEW""#,
        r#""index":0,"i\u0064":"","type":"function" ->
            "index":0,"i\u0064":"NEW","type":"function""#,
        r#""index":0,"id":"x","type":"function" -> "index":0,"id":"x","type":"function""#,
        // The type of this call is unknown.
        r#""index":0,"id":7,"type":8 -> "index":0,"id":7,"type":8"#,
    ] {
        let with_name = |fields| {
            chunks(&[&calls(&format!(
                r#"{{{fields},"function":{{"name":"f"}}}}"#
            ))])
        };
        let (fields, expected) = before_and_after(case);
        let expected = with_name(expected).replace("NEW", &generated_id(1));
        assert_eq!(
            repaired_stream(&with_name(fields), false),
            expected,
            "{case}"
        );
    }
    let repaired = repaired_choices(&[&calls(A), &calls(&format!("{A},{B}"))]);
    let calls = &repaired[1]["delta"]["tool_calls"];
    assert_eq!(calls[0]["id"], generated_id(1));
    assert_eq!(calls[1]["id"], "b");
}

#[test]
fn a_choice_with_calls_finishes_with_tool_calls() {
    let [stop, upper_case, length] = ["stop", "STOP", "length"].map(|reason| finish(0, reason));
    let finished = finish(0, "tool_calls");
    let at_once = calls(A).replacen('{', "{\"finish_reason\":\"stop\",", 1);
    assert_eq!(reasons(&[&calls(A), &stop])[1], "tool_calls");
    assert_eq!(reasons(&[&calls(A), &upper_case])[1], "tool_calls");
    assert_eq!(reasons(&[&finished, &stop]), ["tool_calls", "tool_calls"]);
    assert_eq!(reasons(&[&at_once, &stop]), ["tool_calls", "tool_calls"]);
    assert_eq!(reasons(&[&calls(A), &length])[1], "length");
    assert_eq!(reasons(&[&calls(A), &finish(1, "stop")])[1], "stop");
    assert_eq!(reasons(&[&stop, &upper_case]), ["stop", "stop"]);
    assert_eq!(reasons(&[&calls(""), &stop])[1], "stop");
}

#[test]
fn later_chunks_inherit_fields_of_the_first() {
    let stream = r#"data: {"choices":[],"id":""}

data: {"choices":[],"id":"own","created":5,"model":"its","object":"chat.completion.chunk"}

data: {"id":"","choices":[],"model":null}

data: {"object":"chat.completion.chunk","id":"other"}

"#;
    let expected = format!(
        r#"data: {{"object":"chat.completion.chunk","created":1790000000,"model":"asked-for","choices":[],"id":"{}"}}

data: {{"choices":[],"id":"own","created":5,"model":"its","object":"chat.completion.chunk"}}

data: {{"object":"chat.completion.chunk","created":5,"id":"own","choices":[],"model":"its"}}

data: {{"created":5,"model":"its","choices":[],"object":"chat.completion.chunk","id":"other"}}

"#,
        generated_answer_id()
    );
    assert_eq!(repaired_stream(stream, false), expected);
}

/// Events that also have this usage.
fn with_usage(choice: &str, usage: &str) -> String {
    chunks(&[choice]).replace("]}\n", &format!("],\"usage\":{usage}}}\n"))
}

const DONE_EVENT: &str = "data: [DONE]\n\n";
const WHOLE: &str = r#"{"index":0,"delta":{"role":"assistant"},"finish_reason":"stop"}"#;

#[test]
fn requested_usage_is_sent_once_in_the_last_chunk() {
    let one = r#"{"total_tokens": 1}"#;
    let two = r#"{ "total_tokens":2.0,"x":[{}] }"#;
    let event = |usage| with_usage(WHOLE, usage);
    let (plain, done) = (chunks(&[WHOLE]), DONE_EVENT);
    let later = |event: String| event.replace(r#""role":"assistant""#, "");
    let early = with_usage("", one);
    let end = with_usage("", two) + done;
    for (stream, expected) in [
        (
            event(one) + &event(two) + &plain + done,
            event("null") + &later(event("null") + &plain) + &end,
        ),
        // The upstream's own chunk suffices.
        (event(one) + &end, event("null") + &end),
        // But not before the end, and only once.
        (early.clone() + &plain + &end, plain.clone() + &end),
        (early.clone() + &event(two) + done, event("null") + &end),
        (plain.clone() + done, plain.clone() + done),
        // Without an end, usage is not sent.
        (event(one), event("null")),
        (event("7") + done, event("7") + done),
    ] {
        assert_eq!(repaired_stream(&stream, true), expected, "{stream}");
    }
    let bare = r#"data: {"usage":{"total_tokens":1}}"#;
    let repaired = repaired_stream(&format!("{plain}{bare}\n\n{done}"), true);
    let event = repaired.split_terminator("\n\n").nth(1).unwrap();
    assert_eq!(data_of(event), data_of(&early));
}

#[test]
fn unrequested_usage_is_removed() {
    let usage = r#"{"total_tokens":1}"#;
    let (plain, done) = (chunks(&[WHOLE]), DONE_EVENT);
    let event = with_usage(WHOLE, usage);
    let alone = with_usage("", usage);
    for (stream, expected) in [
        (event.clone() + done, plain.clone() + done),
        (plain.clone() + &alone + done, plain.clone() + done),
        (alone.replace('\n', "\r\n"), String::new()),
        // A blank line that also ends something else is not removed.
        (format!(": hi\n{alone}{done}"), format!(": hi\n\n{done}")),
        (with_usage(WHOLE, "null"), with_usage(WHOLE, "null")),
    ] {
        assert_eq!(repaired_stream(&stream, false), expected, "{stream}");
    }
    let first = event.replacen("data: {", &format!("data: {{\"usage\":{usage}, "), 1);
    let first = first.replace(&format!(",\"usage\":{usage}}}"), "}");
    assert_eq!(repaired_stream(&first, false), plain);
}

#[test]
fn only_the_first_delta_of_a_choice_has_a_role() {
    let role = r#"{"role":"assistant"}"#;
    let text = r#"{"role":"assistant", "content":"x"}"#;
    let text_later = r#"{"content":"x"}"#;
    let (null, other) = (r#"{"role":null}"#, r#"{"role":"x"}"#);
    for (message, first, later) in [
        ("{}", role, "{}"),
        (text_later, &text.replace(' ', ""), text_later),
        (null, role, null),
        ("null", role, "{}"),
        (role, role, "{}"),
        (text, text, text_later),
        (other, other, other),
    ] {
        let stream = chunks(&[&delta(0, message), &delta(1, message), &delta(0, message)]);
        let expected = chunks(&[&delta(0, first), &delta(1, first), &delta(0, later)]);
        assert_eq!(repaired_stream(&stream, false), expected, "{message}");
    }
    let repaired = repaired_choices(&[r#"{"index":0}"#, r#"{"index":0}"#]);
    assert_eq!(repaired[0]["delta"]["role"], "assistant");
    assert_eq!(repaired[1]["delta"], serde_json::json!({}));
}

#[test]
fn every_chunk_has_choices() {
    let incomplete = format!(r#"data: {{"id":"i","object":"{KIND}","created":1,"model":"m"}}"#);
    let null = incomplete.replace('}', ",\"choices\":null}");
    for (chunk, expected) in [
        (&incomplete, incomplete.replace('{', "{\"choices\":[],")),
        (&null, null.replace("null", "[]")),
    ] {
        let repaired = repaired_stream(&format!("{chunk}\n\n"), true);
        assert_eq!(repaired, format!("{expected}\n\n"));
    }
}

#[test]
fn a_refused_prompt_finishes_its_choice() {
    let refused = r#"data: {"promptFeedback":{"blockReason":"SAFETY"},"usage":{"total_tokens":1}}"#;
    let repaired = repaired_stream(&format!("{refused}\n\n{DONE_EVENT}"), false);
    let events: Vec<&str> = repaired.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 2, "{repaired}");
    let chunk = data_of(events[0]);
    assert_eq!(chunk["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(chunk["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunk.get("usage"), None);
}

#[test]
fn an_unfinished_choice_is_finished_before_the_stream() {
    let end = |index, reason| chunks(&[&finish(index, reason)]);
    let first_delta = |index| delta(index, r#"{"role":"assistant"}"#);
    let text = chunks(&[&first_delta(0)]);
    let both = chunks(&[&format!("{},{}", first_delta(0), first_delta(1))]);
    let called = chunks(&[&calls(A_0)]);
    let stopped = chunks(&[WHOLE]);
    let usage = with_usage("", r#"{"total_tokens":1}"#);
    for (stream, ends) in [
        (text.clone(), end(0, "stop")),
        (called.clone(), end(0, "tool_calls")),
        (both.clone(), end(0, "stop") + &end(1, "stop")),
        (both.clone() + &end(1, "length"), end(0, "stop")),
        (end(0, "length"), String::new()),
        (stopped.clone(), String::new()),
        // The call came after the supposed end.
        (stopped + &chunks(&[&more(A_0)]), end(0, "tool_calls")),
    ] {
        let stream = match stream.contains("assistant") {
            true => stream,
            false => stream.replace("{}", r#"{"role":"assistant"}"#),
        };
        let repaired = repaired_stream(&format!("{stream}{usage}{DONE_EVENT}"), true);
        assert_eq!(repaired, format!("{stream}{ends}{usage}{DONE_EVENT}"));
        // Not if the stream is truncated.
        assert_eq!(repaired_stream(&stream, true), stream);
    }
}

#[test]
fn an_empty_finish_reason_becomes_null() {
    for (message, expected) in [
        ("null", "null"),
        ("\"\"", "null"),
        ("7", "null"),
        ("\"SAFETY\"", "\"content_filter\""),
        ("\"MAX_TOKENS\"", "\"length\""),
    ] {
        let stream = chunks(&[&WHOLE.replace("\"stop\"", message)]);
        let expected = chunks(&[&WHOLE.replace("\"stop\"", expected)]);
        assert_eq!(repaired_stream(&stream, false), expected, "{message}");
    }
}

#[test]
fn a_signature_is_sent_once_per_call() {
    let first = r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s"}}}"#;
    let second = first.replace(r#"0,"id":"a""#, r#"1,"id":"b""#);
    let again = r#"{"index":0,"extra_content":{"google":{"thought_signature":"s"}}}"#;
    let other = r#"{"function":{},"index":1,"extra_content":{"google":{"thought_signature":"t"}}}"#;
    let empty = r#"{"function":{"arguments":""},"index":0}"#;
    let all = |repeated: &str| {
        let later = [repeated, &second, other, repeated].map(more);
        let [a, b, c, d] = later.each_ref().map(String::as_str);
        chunks(&[&calls(first), a, b, c, d])
    };
    assert_eq!(repaired_stream(&all(again), false), all(empty));
    let first = r#"{"role":"assistant","thought_signature":"s","extra_content":{"google":{"thought":true,"thought_signature":"s"}}}"#;
    for case in [
        &format!(r#"{first} -> {{"extra_content":{{"google":{{"thought":true}}}}}}"#),
        r#"{"extra_content":{"google":{"thought_signature":"s"}}} -> {}"#,
        r#"{"extra_content":{"google":{"thought_signature":"s"},"x":1}} ->
            {"extra_content":{"x":1}}"#,
    ] {
        let (repeated, expected) = before_and_after(case);
        let stream = |later| chunks(&[&delta(0, first), &delta(0, later)]);
        assert_eq!(
            repaired_stream(&stream(repeated), false),
            stream(expected),
            "{repeated}"
        );
    }
}

#[test]
fn a_signature_before_its_call_starts_no_extra_call() {
    let signature = r#"{"extra_content":{"google":{"thought_signature":"s"}}}"#;
    let repaired = repaired_choices(&[&calls(signature), &calls(A), &calls(B)]);
    let call = |at: usize| &repaired[at]["delta"]["tool_calls"][0];
    let indices = [0, 1, 2].map(|at| call(at)["index"].as_u64().unwrap());
    assert_eq!(indices, [0, 0, 1]);
    assert_eq!(call(0)["id"], generated_id(1));
    assert_eq!(call(0)["type"], "function");
    assert_eq!(call(1)["id"], Value::Null, "the call already has an id");
    assert_eq!(call(2)["id"], "b");
}

#[test]
fn every_framing_is_preserved() {
    let usage = r#""usage":{"total_tokens":1}"#;
    let choice = r#"{"delta":{"role":"assistant"},"finish_reason":"stop"}"#;
    let event = with_usage(choice, r#"{"total_tokens":1}"#);
    let event = event["data: ".len()..].trim_end();
    let repaired = event.replace(usage, "\"usage\":null");
    let usage_chunk = event.replace(choice, "");
    // The text between `<` and `>` is added.
    for template in [
        "data: EVENT\r\n\r\n<data: USAGE\r\n\r\n>data: [DONE]\r\n\r\n",
        "data:EVENT\n\n<data: USAGE\n\n>data:[DONE]\n\n",
        ": hi\n\ndata:   EVENT \n\ndata:\n\n<data: USAGE\n\n>data: [DONE]",
        "data: EVENT\n<\ndata: USAGE\n\n>data: [DONE]\n\n",
    ] {
        let (before, rest) = template.split_once('<').unwrap();
        let (added, after) = rest.split_once('>').unwrap();
        let stream = [before, after].concat().replace("EVENT", event);
        let expected = [before, added, after].concat().replace("EVENT", &repaired);
        let expected = expected.replace("USAGE", &usage_chunk);
        assert_eq!(repaired_stream(&stream, true), expected, "{template}");
    }
    let after_the_end = format!("data: [DONE]\n\ndata: {event}\n\n");
    assert_eq!(repaired_stream(&after_the_end, true), after_the_end);
}

#[test]
fn other_lines_pass_unchanged() {
    for stream in [
        "",
        "\n",
        "data: {}\n\n",
        "data: []\n\n",
        "data: {\"choices\":[{\"delta\":[]}]}\n\n",
        "data: {\"choices\":[[0,\"stop\",null,{\"tool_calls\":[{}]}]]}\n\n",
        "data: [\"\",\"\",\"\",\"\",null,[]]\n\n",
        "data: {\"choices\":{}}\n\n",
        "data: {\"choices\":[],\"choices\":[]}\n\n",
        "data: {\"choices\":[]} x\n\n",
        "data: {\"choices\":[]\n\n",
        "data: {\"choices\":[]",
        "data: {\"object\":\"chat.completion\",\"choices\":[]}\n\n",
        "data: {\"object\":7,\"choices\":[]}\n\n",
        "data: {\"error\":{\"code\":503}}\n\n",
        "event: {\"choices\":[]}\n\n",
    ] {
        assert_eq!(repaired_stream(stream, true), stream);
    }
    let whole = chunks(&[WHOLE]).into_bytes();
    let place = whole.as_ptr();
    let repaired = StreamRepair::new(context(true)).lines(whole);
    assert_eq!(repaired.as_ptr(), place);
}

#[test]
fn malformed_calls_do_not_affect_others() {
    for odd in [
        "null",
        "7",
        "[]",
        "[0,\"\",\"\",{\"name\":\"f\"}]",
        r#"{"index":"0","id":"","function":{"name":"f"}}"#,
        r#"{"index":-1,"function":{"name":"f"}}"#,
        r#"{"index":0.0,"function":{"name":"f"}}"#,
        r#"{"function":"f"}"#,
        r#"{"function":["f"]}"#,
        r#"{"id":"","id":"","function":{"name":"f"}}"#,
    ] {
        let stream = chunks(&[&calls(&format!("{odd},{A}"))]);
        let expected = stream.replace(A, &A.replacen('{', "{\"index\":0,", 1));
        assert_eq!(repaired_stream(&stream, false), expected, "{odd}");
    }
    let empty = chunks(&[&calls("{},{ }")]);
    let function = r#""function":{"arguments":""}"#;
    let id = generated_id(1);
    let expected = format!(
        r#"{{"index":0,"id":"{id}","type":"function",{function}}},{{"index":0,{function} }}"#
    );
    let expected = empty.replace("{},{ }", &expected);
    assert_eq!(repaired_stream(&empty, false), expected);
}

#[test]
fn a_line_in_pieces_passes_and_may_have_finished_a_choice() {
    let image = "x".repeat(2 * 1024 * 1024);
    let long = chunks(&[&calls(A).replace("{}", &image)]);
    let event = chunks(&[&calls(B)]);
    // The first piece ends within the call, and the next looks like a separate line.
    let (head, _) = long.split_at(long.len() - 9);
    let rest = "data: {\"choices\":[]}\n\n";
    let parts = [head, rest, &event, "data: [DONE]\n\n"];
    let mut scanner = EventScanner::new(Kind::Chat);
    let mut repair = StreamRepair::new(context(true));
    let mut repaired = Vec::new();
    for part in parts {
        repaired.extend(repair.lines(scanner.push(part.into()).ready));
    }
    let with_index = B.replacen('{', "{\"index\":0,", 1);
    let expected = parts.concat().replace(B, &with_index);
    assert!(repaired == expected.as_bytes());
}

#[test]
fn remembered_stream_state_is_bounded() {
    let mut repair = StreamRepair::new(context(false));
    for number in 0..2 * MAX_CALLS {
        let call = format!(r#"{{"index":{number},"function":{{"name":"f"}}}}"#);
        repair.lines(chunks(&[&calls(&call)]).into());
        let choice = calls(A).replace("\"index\":0", &format!("\"index\":{number}"));
        repair.lines(chunks(&[&choice]).into());
    }
    assert_eq!(repair.choices.0.len(), MAX_CHOICES);
    for (_, Progress { calls, .. }) in &repair.choices.0 {
        assert!(calls.known.len() <= MAX_CALLS);
    }
    // Indices continue.
    let repaired = repair.lines(chunks(&[&calls(B)]).into_bytes());
    let index = format!("\"tool_calls\":[{{\"index\":{},", 2 * MAX_CALLS + 1);
    assert!(String::from_utf8(repaired).unwrap().contains(&index));
}
