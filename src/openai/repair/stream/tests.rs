use super::super::tests::{context, made, made_answer_id, mend};
use super::*;
use crate::sse::EventScanner;
use crate::target::Surface;
use serde_json::Value;

/// Events with these choices, each complete but for what is in the choice.
fn chunks(choices: &[&str]) -> String {
    let event = |choice: &&str| {
        format!(
            "data: {{\"id\":\"i\",\"object\":\"{KIND}\",\"created\":1,\"model\":\"m\",\"choices\":[{choice}]}}\n\n"
        )
    };
    choices.iter().map(event).collect()
}

/// The calls of a delta, in the first choice.
fn calls(calls: &str) -> String {
    format!(r#"{{"index":0,"delta":{{"tool_calls":[{calls}]}}}}"#)
}

/// What has become of the choices of [`chunks`].
fn mended(choices: &[&str]) -> Vec<Value> {
    let mended = mend(&chunks(choices), false);
    let data = mended
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str::<Value>(data).unwrap()["choices"][0].take())
        .collect()
}

/// The indices of all calls in these deltas.
fn indices(deltas: &[&str]) -> Vec<u64> {
    let choices: Vec<String> = deltas.iter().map(|delta| calls(delta)).collect();
    let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
    mended(&choices)
        .iter()
        .flat_map(|choice| choice["delta"]["tool_calls"].as_array().unwrap())
        .map(|call| call["index"].as_u64().unwrap())
        .collect()
}

/// The reasons with which these choices end.
fn reasons(choices: &[&str]) -> Vec<Value> {
    mended(choices)
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
fn indices_count_up_where_there_are_none() {
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
fn indices_that_are_fine_stay() {
    let deltas = [A_0, REST_0, C_1, REST_1, REST_0];
    assert_eq!(indices(&deltas), [0, 0, 1, 1, 0]);
    assert_eq!(indices(&[C_1, A_0, A]), [1, 0, 2]);
    let choices = deltas.map(calls);
    let stream = chunks(&choices.each_ref().map(String::as_str));
    assert_eq!(mend(&stream, true), stream);
}

#[test]
fn a_part_without_a_name_goes_on_with_the_call_that_is_meant() {
    assert_eq!(indices(&[A, REST, B, REST]), [0, 0, 1, 1]);
    // The upstream's index, where it is given to several: the latest.
    assert_eq!(indices(&[A_0, REST_0, B_0, REST_0]), [0, 0, 1, 1]);
    assert_eq!(indices(&[A, B, REST_0]), [0, 1, 0]);
    // Of a call that nobody has seen begin.
    assert_eq!(indices(&[REST, REST_1, A]), [0, 1, 0]);
}

#[test]
fn a_part_without_a_name_gets_neither_id_nor_type() {
    let signature = r#"{"id":"","extra_content":{"google":{"thought_signature":"s"}}}"#;
    let stream = chunks(&[&calls(A), &calls(signature)]);
    let expected = stream
        .replace(A, &A.replacen('{', "{\"index\":0,", 1))
        .replace(signature, &signature.replacen('{', "{\"index\":0,", 1));
    assert_eq!(mend(&stream, false), expected);
}

#[test]
fn choices_count_for_themselves() {
    let second = calls(A).replacen("\"index\":0", "\"index\":1", 1);
    let got = mended(&[&calls(A), &second, &calls(B)]);
    let indices = got
        .iter()
        .map(|choice| &choice["delta"]["tool_calls"][0]["index"]);
    assert!(indices.eq([0, 0, 1].iter()));
}

#[test]
fn ids_are_made_where_they_are_missing_or_repeated_and_types_where_they_are_missing() {
    let call = |members: &str| format!("{{\"index\":5,{members}\"function\":{{\"name\":\"f\"}}}}");
    for (members, expected) in [
        (
            "",
            format!(
                "{{\"id\":\"{}\",\"type\":\"function\",\"index\":5,",
                made(1)
            ),
        ),
        (
            r#""type":null,"id":null,"#,
            format!(r#"{{"index":5,"type":"function","id":"{}","#, made(1)),
        ),
        (
            r#""i\u0064":"","type":"function","#,
            format!(r#"{{"index":5,"i\u0064":"{}","type":"function","#, made(1)),
        ),
        (
            r#""id":"x","type":"function","#,
            r#"{"index":5,"id":"x","type":"function","#.to_owned(),
        ),
        // Nobody knows what that is.
        (
            r#""id":7,"type":8,"#,
            r#"{"index":5,"id":7,"type":8,"#.to_owned(),
        ),
    ] {
        let stream = chunks(&[&calls(&call(members))]);
        let expected = stream.replace(&format!("{{\"index\":5,{members}"), &expected);
        assert_eq!(mend(&stream, false), expected, "{members}");
    }
    let got = mended(&[&calls(A), &calls(&format!("{A},{B}"))]);
    let calls = &got[1]["delta"]["tool_calls"];
    assert_eq!(calls[0]["id"], made(1));
    assert_eq!(calls[1]["id"], "b");
}

#[test]
fn a_choice_that_has_called_ends_so() {
    let stop = r#"{"index":0,"delta":{},"finish_reason":"stop"}"#;
    let loud = r#"{"index":0,"delta":{},"finish_reason":"STOP"}"#;
    let length = r#"{"index":0,"delta":{},"finish_reason":"length"}"#;
    let said = r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}"#;
    let other = r#"{"index":1,"delta":{},"finish_reason":"stop"}"#;
    let at_once = calls(A).replacen('{', "{\"finish_reason\":\"stop\",", 1);
    assert_eq!(reasons(&[&calls(A), stop])[1], "tool_calls");
    assert_eq!(reasons(&[&calls(A), loud])[1], "tool_calls");
    assert_eq!(reasons(&[said, stop]), ["tool_calls", "tool_calls"]);
    assert_eq!(reasons(&[&at_once, stop]), ["tool_calls", "tool_calls"]);
    assert_eq!(reasons(&[&calls(A), length])[1], "length");
    assert_eq!(reasons(&[&calls(A), other])[1], "stop");
    assert_eq!(reasons(&[stop, loud]), ["stop", "STOP"]);
    assert_eq!(reasons(&[&calls(""), stop])[1], "stop");
}

#[test]
fn what_one_chunk_says_of_the_answer_holds_for_those_that_do_not() {
    let stream = r#"data: {"choices":[],"id":""}

data: {"choices":[],"id":"own","created":5,"model":"its","object":"chat.completion.chunk"}

data: {"id":"","choices":[],"model":null}

data: {"object":"chat.completion.chunk","id":"other"}

"#;
    let expected = format!(
        r#"data: {{"object":"chat.completion.chunk","created":1790000000,"model":"asked-for","choices":[],"id":"{}"}}

data: {{"choices":[],"id":"own","created":5,"model":"its","object":"chat.completion.chunk"}}

data: {{"object":"chat.completion.chunk","created":5,"id":"own","choices":[],"model":"its"}}

data: {{"created":5,"model":"its","object":"chat.completion.chunk","id":"other"}}

"#,
        made_answer_id()
    );
    assert_eq!(mend(stream, false), expected);
}

#[test]
fn usage_is_told_once_and_as_it_was_last() {
    let event = |choices: &str, usage: &str| {
        chunks(&[choices]).replace("]}\n", &format!("],\"usage\":{usage}}}\n"))
    };
    let told = |usage: &str| {
        format!(
            "data: {{\"id\":\"i\",\"object\":\"{KIND}\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{usage}}}\n\n"
        )
    };
    let (one, two) = (
        r#"{"total_tokens": 1}"#,
        r#"{ "total_tokens":2.0,"x":[{}] }"#,
    );
    let choice = r#"{"index":0,"delta":{"content":"x"}}"#;
    let plain = chunks(&[choice]);
    let done = "data: [DONE]\n\n";
    for (stream, expected) in [
        (
            event(choice, one) + &event(choice, two) + &plain + done,
            event(choice, "null") + &event(choice, "null") + &plain + &told(two) + done,
        ),
        // The upstream's own chunk will do.
        (
            event(choice, one) + &told(two) + done,
            event(choice, "null") + &told(two) + done,
        ),
        (plain.clone() + done, plain.clone() + done),
        // Without an end there is nothing to tell.
        (event(choice, one), event(choice, "null")),
        (event(choice, "7") + done, event(choice, "7") + done),
    ] {
        assert_eq!(mend(&stream, true), expected, "{stream}");
        assert_eq!(mend(&stream, false), stream);
    }
}

#[test]
fn every_framing_is_kept() {
    let usage = r#""usage":{"total_tokens":1}"#;
    let event = format!(
        r#"{{"id":"i","object":"{KIND}","created":1,"model":"m","choices":[{{"delta":{{}}}}],{usage}}}"#
    );
    let mended = event.replace(usage, "\"usage\":null");
    let told = event.replace("{\"delta\":{}}", "");
    for (stream, expected) in [
        (
            format!("data: {event}\r\n\r\ndata: [DONE]\r\n\r\n"),
            format!("data: {mended}\r\n\r\ndata: {told}\r\n\r\ndata: [DONE]\r\n\r\n"),
        ),
        (
            format!("data:{event}\n\ndata:[DONE]\n\n"),
            format!("data:{mended}\n\ndata: {told}\n\ndata:[DONE]\n\n"),
        ),
        (
            format!(": hi\n\ndata:   {event} \n\ndata:\n\ndata: [DONE]"),
            format!(": hi\n\ndata:   {mended} \n\ndata:\n\ndata: {told}\n\ndata: [DONE]"),
        ),
        (
            format!("data: {event}\ndata: [DONE]\n\n"),
            format!("data: {mended}\n\ndata: {told}\n\ndata: [DONE]\n\n"),
        ),
        (
            format!("data: [DONE]\n\ndata: {event}\n\n"),
            format!("data: [DONE]\n\ndata: {event}\n\n"),
        ),
    ] {
        assert_eq!(mend(&stream, true), expected, "{stream}");
    }
}

#[test]
fn what_is_no_chunk_passes_as_the_same_bytes() {
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
        assert_eq!(mend(stream, true), stream);
    }
    let whole = chunks(&[r#"{"index":0,"delta":{"content":"x"}}"#]).into_bytes();
    let place = whole.as_ptr();
    let mended = StreamRepair::new(context(true)).lines(whole);
    assert_eq!(mended.as_ptr(), place);
}

#[test]
fn odd_calls_pass_and_leave_the_others_alone() {
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
        assert_eq!(mend(&stream, false), expected, "{odd}");
    }
    let empty = chunks(&[&calls("{},{ }")]);
    let expected = empty.replace("{},{ }", "{\"index\":0},{\"index\":0 }");
    assert_eq!(mend(&empty, false), expected);
}

#[test]
fn a_line_that_passes_in_pieces_passes_as_it_is() {
    let image = "x".repeat(2 * 1024 * 1024);
    let long = chunks(&[&calls(A).replace("{}", &image)]);
    let event = chunks(&[&calls(B)]);
    // The first piece ends within the call, and the next looks like a line of its own.
    let (head, _) = long.split_at(long.len() - 9);
    let rest = "data: {\"choices\":[]}\n\n";
    let parts = [head, rest, &event, "data: [DONE]\n\n"];
    let (mut scanner, mut repair) = (
        EventScanner::new(Surface::OpenAi),
        StreamRepair::new(context(true)),
    );
    let mut got = Vec::new();
    for part in parts {
        got.extend(repair.lines(scanner.push(part.into()).ready));
    }
    let expected = parts
        .concat()
        .replace(B, &B.replacen('{', "{\"index\":0,", 1));
    assert!(got == expected.as_bytes());
}

#[test]
fn what_is_remembered_of_a_stream_has_a_bound() {
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
    assert!(
        repair
            .choices
            .values()
            .all(|calls| calls.taken.len() <= MAX_CALLS)
    );
    // Indices count on.
    let mended = repair.lines(chunks(&[&calls(B)]).into_bytes());
    let index = format!("\"tool_calls\":[{{\"index\":{},", 2 * MAX_CALLS);
    assert!(String::from_utf8(mended).unwrap().contains(&index));
}
