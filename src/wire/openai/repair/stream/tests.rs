use super::super::tests::{context, generated_answer_id, generated_id, repaired_stream};
use super::*;
use crate::wire::Kind;
use crate::wire::stream::EventScanner;
use serde_json::Value;

/// Chunks with these choices, complete except for the choice itself.
fn chunks(choices: &[&str]) -> String {
    let event = |choice: &&str| {
        format!(
            "data: {{\"id\":\"i\",\"object\":\"{KIND}\",\"created\":1,\"model\":\"m\",\"choices\":[{choice}]}}\n\n"
        )
    };
    choices.iter().map(event).collect()
}

/// A first delta with these calls.
fn calls(calls: &str) -> String {
    format!(r#"{{"index":0,"delta":{{"role":"assistant","tool_calls":[{calls}]}}}}"#)
}

/// The same for a delta that is not the first.
fn more(message: &str) -> String {
    calls(message).replace(r#""role":"assistant","#, "")
}

/// The repaired choices of [`chunks`].
fn repaired_choices(choices: &[&str]) -> Vec<Value> {
    let repaired = repaired_stream(&chunks(choices), false);
    let data = repaired
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str::<Value>(data).unwrap()["choices"][0].take())
        .collect()
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
    assert_eq!(
        indices(&[C_1, REST_1, A_0, REST_1, REST_0]),
        [0, 0, 1, 0, 1]
    );
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
    let call = |members: &str| format!("{{\"index\":0,{members}\"function\":{{\"name\":\"f\"}}}}");
    for (members, expected) in [
        (
            "",
            format!(
                "{{\"id\":\"{}\",\"type\":\"function\",\"index\":0,",
                generated_id(1)
            ),
        ),
        (
            r#""type":null,"id":null,"#,
            format!(
                r#"{{"index":0,"type":"function","id":"{}","#,
                generated_id(1)
            ),
        ),
        (
            r#""i\u0064":"","type":"function","#,
            format!(
                r#"{{"index":0,"i\u0064":"{}","type":"function","#,
                generated_id(1)
            ),
        ),
        (
            r#""id":"x","type":"function","#,
            r#"{"index":0,"id":"x","type":"function","#.to_owned(),
        ),
        // The type of this call is unknown.
        (
            r#""id":7,"type":8,"#,
            r#"{"index":0,"id":7,"type":8,"#.to_owned(),
        ),
    ] {
        let stream = chunks(&[&calls(&call(members))]);
        let rest = r#""function":{"name":"f"}}"#;
        let expected = stream.replace(&call(members), &format!("{expected}{rest}"));
        assert_eq!(repaired_stream(&stream, false), expected, "{members}");
    }
    let repaired = repaired_choices(&[&calls(A), &calls(&format!("{A},{B}"))]);
    let calls = &repaired[1]["delta"]["tool_calls"];
    assert_eq!(calls[0]["id"], generated_id(1));
    assert_eq!(calls[1]["id"], "b");
}

#[test]
fn a_choice_with_calls_finishes_with_tool_calls() {
    let stop = r#"{"index":0,"delta":{},"finish_reason":"stop"}"#;
    let upper_case = r#"{"index":0,"delta":{},"finish_reason":"STOP"}"#;
    let length = r#"{"index":0,"delta":{},"finish_reason":"length"}"#;
    let finished = r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}"#;
    let other = r#"{"index":1,"delta":{},"finish_reason":"stop"}"#;
    let at_once = calls(A).replacen('{', "{\"finish_reason\":\"stop\",", 1);
    assert_eq!(reasons(&[&calls(A), stop])[1], "tool_calls");
    assert_eq!(reasons(&[&calls(A), upper_case])[1], "tool_calls");
    assert_eq!(reasons(&[finished, stop]), ["tool_calls", "tool_calls"]);
    assert_eq!(reasons(&[&at_once, stop]), ["tool_calls", "tool_calls"]);
    assert_eq!(reasons(&[&calls(A), length])[1], "length");
    assert_eq!(reasons(&[&calls(A), other])[1], "stop");
    assert_eq!(reasons(&[stop, upper_case]), ["stop", "stop"]);
    assert_eq!(reasons(&[&calls(""), stop])[1], "stop");
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
    let (one, two) = (
        r#"{"total_tokens": 1}"#,
        r#"{ "total_tokens":2.0,"x":[{}] }"#,
    );
    let event = |usage| with_usage(WHOLE, usage);
    let usage_chunk = |usage| with_usage("", usage);
    let (plain, done) = (chunks(&[WHOLE]), DONE_EVENT);
    let later = |event: String| event.replace(r#""role":"assistant""#, "");
    for (stream, expected) in [
        (
            event(one) + &event(two) + &plain + done,
            event("null") + &later(event("null") + &plain) + &usage_chunk(two) + done,
        ),
        // The upstream's own chunk suffices.
        (
            event(one) + &usage_chunk(two) + done,
            event("null") + &usage_chunk(two) + done,
        ),
        // But not before the end, and only once.
        (
            usage_chunk(one) + &plain + &usage_chunk(two) + done,
            plain.clone() + &usage_chunk(two) + done,
        ),
        (
            usage_chunk(one) + &event(two) + done,
            event("null") + &usage_chunk(two) + done,
        ),
        (plain.clone() + done, plain.clone() + done),
        // Without an end, usage is not sent.
        (event(one), event("null")),
        (event("7") + done, event("7") + done),
    ] {
        assert_eq!(repaired_stream(&stream, true), expected, "{stream}");
    }
    let bare = r#"data: {"usage":{"total_tokens":1}}"#;
    let expected = format!(
        r#"data: {{"choices":[],"id":"i","object":"{KIND}","created":1,"model":"m","usage":{{"total_tokens":1}}}}"#
    );
    let repaired = repaired_stream(&format!("{plain}{bare}\n\n{done}"), true);
    let event = repaired.split_terminator("\n\n").nth(1).unwrap();
    let json = |event: &str| serde_json::from_str::<Value>(event.strip_prefix("data: ").unwrap());
    assert_eq!(json(event).unwrap(), json(&expected).unwrap());
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
    let delta = |index: u32, delta: &str| format!(r#"{{"index":{index},"delta":{delta}}}"#);
    for (message, first, later) in [
        ("{}", r#"{"role":"assistant"}"#, "{}"),
        (
            r#"{"content":"x"}"#,
            r#"{"role":"assistant","content":"x"}"#,
            r#"{"content":"x"}"#,
        ),
        (
            r#"{"role":null}"#,
            r#"{"role":"assistant"}"#,
            r#"{"role":null}"#,
        ),
        ("null", r#"{"role":"assistant"}"#, "{}"),
        (r#"{"role":"assistant"}"#, r#"{"role":"assistant"}"#, "{}"),
        (
            r#"{"role":"assistant", "content":"x"}"#,
            r#"{"role":"assistant", "content":"x"}"#,
            r#"{"content":"x"}"#,
        ),
        (r#"{"role":"x"}"#, r#"{"role":"x"}"#, r#"{"role":"x"}"#),
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
    let expected = incomplete.replace("{", "{\"choices\":[],");
    assert_eq!(
        repaired_stream(&format!("{incomplete}\n\n"), true),
        format!("{expected}\n\n")
    );
    let null = incomplete.replace('}', ",\"choices\":null}");
    let expected = null.replace("null", "[]");
    assert_eq!(
        repaired_stream(&format!("{null}\n\n"), true),
        format!("{expected}\n\n")
    );
}

#[test]
fn a_refused_prompt_finishes_its_choice() {
    let refused = r#"data: {"promptFeedback":{"blockReason":"SAFETY"},"usage":{"total_tokens":1}}"#;
    let repaired = repaired_stream(&format!("{refused}\n\n{DONE_EVENT}"), false);
    let events: Vec<&str> = repaired.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 2, "{repaired}");
    let chunk: Value = serde_json::from_str(events[0].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(chunk["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(chunk["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunk.get("usage"), None);
}

#[test]
fn an_unfinished_choice_is_finished_before_the_stream() {
    let end = |index: u32, reason: &str| {
        chunks(&[&format!(
            r#"{{"index":{index},"delta":{{}},"finish_reason":"{reason}"}}"#
        )])
    };
    let first_delta = |index: u32| format!(r#"{{"index":{index},"delta":{{"role":"assistant"}}}}"#);
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
        let has_begun = stream.contains("assistant");
        let first = if has_begun {
            "{}"
        } else {
            r#"{"role":"assistant"}"#
        };
        let stream = stream.replace("{}", first);
        let repaired = repaired_stream(&format!("{stream}{usage}{DONE_EVENT}"), true);
        assert_eq!(repaired, format!("{stream}{ends}{usage}{DONE_EVENT}"));
        assert_eq!(
            repaired_stream(&stream, true),
            stream,
            "the stream is truncated"
        );
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
    let call = |index: u32, signature: &str| {
        format!(
            r#"{{"index":{index},"extra_content":{{"google":{{"thought_signature":"{signature}"}}}}}}"#
        )
    };
    let started = |index: u32, id: &str| {
        let named = format!(
            r#""id":"{id}","type":"function","function":{{"name":"f","arguments":"{{}}"}},"extra"#
        );
        call(index, "s").replace("\"extra", &named)
    };
    let empty_call = |index: u32| format!(r#"{{"function":{{"arguments":""}},"index":{index}}}"#);
    let other = call(1, "t").replacen('{', r#"{"function":{},"#, 1);
    let stream = [
        started(0, "a"),
        call(0, "s"),
        started(1, "b"),
        other.clone(),
        call(0, "s"),
    ];
    let expected = [
        started(0, "a"),
        empty_call(0),
        started(1, "b"),
        other.clone(),
        empty_call(0),
    ];
    let all = |parts: &[String]| -> String {
        let later = parts.iter().skip(1).map(|part| chunks(&[&more(part)]));
        chunks(&[&calls(&parts[0])]) + &later.collect::<String>()
    };
    assert_eq!(repaired_stream(&all(&stream), false), all(&expected));
    let delta = r#"{"index":0,"delta":{"role":"assistant","thought_signature":"s","extra_content":{"google":{"thought":true,"thought_signature":"s"}}}}"#;
    let again = r#"{"index":0,"delta":{"extra_content":{"google":{"thought":true}}}}"#;
    assert_eq!(
        repaired_stream(&chunks(&[delta, delta]), false),
        chunks(&[delta, again])
    );
    for (extra, expected) in [
        (r#"{"google":{"thought_signature":"s"}}"#, "{}"),
        (
            r#"{"google":{"thought_signature":"s"},"x":1}"#,
            r#"{"extra_content":{"x":1}}"#,
        ),
    ] {
        let again = format!(r#"{{"index":0,"delta":{{"extra_content":{extra}}}}}"#);
        let expected = format!(r#"{{"index":0,"delta":{expected}}}"#);
        let repaired = repaired_stream(&chunks(&[delta, &again]), false);
        assert_eq!(repaired, chunks(&[delta, &expected]), "{extra}");
    }
}

#[test]
fn a_signature_before_its_call_starts_no_extra_call() {
    let signature = r#"{"extra_content":{"google":{"thought_signature":"s"}}}"#;
    let repaired = repaired_choices(&[&calls(signature), &calls(A), &calls(B)]);
    let call = |at: usize| &repaired[at]["delta"]["tool_calls"][0];
    assert_eq!(
        (&call(0)["index"], &call(1)["index"], &call(2)["index"]),
        (&0.into(), &0.into(), &1.into())
    );
    assert_eq!(
        (&call(0)["id"], &call(0)["type"]),
        (&generated_id(1).into(), &"function".into())
    );
    assert_eq!(call(1)["id"], Value::Null, "the call already has an id");
    assert_eq!(call(2)["id"], "b");
}

#[test]
fn every_framing_is_preserved() {
    let usage = r#""usage":{"total_tokens":1}"#;
    let event = format!(
        r#"{{"id":"i","object":"{KIND}","created":1,"model":"m","choices":[{{"delta":{{"role":"assistant"}},"finish_reason":"stop"}}],{usage}}}"#
    );
    let repaired = event.replace(usage, "\"usage\":null");
    let usage_chunk = event.replace(
        r#"{"delta":{"role":"assistant"},"finish_reason":"stop"}"#,
        "",
    );
    for (stream, expected) in [
        (
            format!("data: {event}\r\n\r\ndata: [DONE]\r\n\r\n"),
            format!("data: {repaired}\r\n\r\ndata: {usage_chunk}\r\n\r\ndata: [DONE]\r\n\r\n"),
        ),
        (
            format!("data:{event}\n\ndata:[DONE]\n\n"),
            format!("data:{repaired}\n\ndata: {usage_chunk}\n\ndata:[DONE]\n\n"),
        ),
        (
            format!(": hi\n\ndata:   {event} \n\ndata:\n\ndata: [DONE]"),
            format!(": hi\n\ndata:   {repaired} \n\ndata:\n\ndata: {usage_chunk}\n\ndata: [DONE]"),
        ),
        (
            format!("data: {event}\ndata: [DONE]\n\n"),
            format!("data: {repaired}\n\ndata: {usage_chunk}\n\ndata: [DONE]\n\n"),
        ),
        (
            format!("data: [DONE]\n\ndata: {event}\n\n"),
            format!("data: [DONE]\n\ndata: {event}\n\n"),
        ),
    ] {
        assert_eq!(repaired_stream(&stream, true), expected, "{stream}");
    }
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
    let first = format!(
        r#"{{"index":0,"id":"{}","type":"function",{function}}}"#,
        generated_id(1)
    );
    let expected = empty.replace("{},{ }", &format!("{first},{{\"index\":0,{function} }}"));
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
    let (mut scanner, mut repair) = (
        EventScanner::new(Kind::Chat),
        StreamRepair::new(context(true)),
    );
    let mut repaired = Vec::new();
    for part in parts {
        repaired.extend(repair.lines(scanner.push(part.into()).ready));
    }
    let expected = parts
        .concat()
        .replace(B, &B.replacen('{', "{\"index\":0,", 1));
    assert!(repaired == expected.as_bytes());
}

#[test]
fn remembered_stream_state_is_bounded() {
    let mut repair = StreamRepair::new(context(false));
    for number in 0..2 * MAX_CALLS {
        let call = format!(r#"{{"index":{number},"function":{{"name":"f"}}}}"#);
        repair.lines(chunks(&[&calls(&call)]).into_bytes());
        repair.lines(
            chunks(&[&calls(A).replace("\"index\":0", &format!("\"index\":{number}"))])
                .into_bytes(),
        );
    }
    assert_eq!(repair.choices.len(), MAX_CHOICES);
    assert!(repair.choices.values().all(|choice| {
        choice
            .calls
            .known
            .len()
            .max(choice.calls.by_upstream_index.len())
            <= MAX_CALLS
    }));
    // Indices continue.
    let repaired = repair.lines(chunks(&[&calls(B)]).into_bytes());
    let index = format!("\"tool_calls\":[{{\"index\":{},", 2 * MAX_CALLS + 1);
    assert!(String::from_utf8(repaired).unwrap().contains(&index));
}
