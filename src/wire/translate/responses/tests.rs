//! Requests and answers together, and what the tests of both need.

use super::super::{Context, Delivery, Form, Translated, Translator, whole};
use super::request;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::rc::Rc;

pub(super) const MODEL: &str = "gemini-3.8-flash";

/// Translates a request, with an error as text.
pub(super) fn translate(body: &[u8]) -> Result<Translated<Form>, String> {
    let context = Context {
        default_model: MODEL,
        model_of: &|name| name.replace("gpt-5.5", MODEL),
        created: 1_780_000_000,
        seed: 7,
    };
    let translated = request(body, &context).map_err(|invalid| invalid.message())?;
    Ok(translated.map_form(|form| Form::Response(Rc::new(form))))
}

/// The body for Gemini.
pub(super) fn gemini(body: &Value) -> Value {
    let translated = translate(body.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&translated.body).unwrap()
}

pub(super) fn form(body: &Value) -> Form {
    translate(body.to_string().as_bytes()).unwrap().form
}

/// Gemini's answer as an event stream, translated in chunks of this size.
pub(super) fn stream(answers: &[Value], form: &Form, chunk: usize) -> Vec<Value> {
    let bytes: String = answers
        .iter()
        .map(|answer| format!("data: {answer}\r\n\r\n"))
        .collect();
    let mut translator = Translator::new(form).unwrap();
    let mut out = Vec::new();
    for chunk in bytes.as_bytes().chunks(chunk.max(1)) {
        out.extend(translator.push(chunk).unwrap());
    }
    out.extend(translator.end().unwrap());
    parse(&out)
}

/// The data of events, whose names must be their types.
pub(super) fn parse(events: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(events).unwrap();
    text.split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(
                name.strip_prefix("event: "),
                data["type"].as_str(),
                "{event}"
            );
            data
        })
        .collect()
}

/// A part of an answer, and the tool that it calls.
fn part() -> impl Strategy<Value = Value> {
    let signature = prop_oneof![3 => Just(None), 1 => "[A-Z]{1,4}".prop_map(Some)];
    let content = prop_oneof![
        "[a-zé𝄞 ]{0,6}".prop_map(|text| json!({"text": text})),
        "[a-zé ]{0,6}".prop_map(|text| json!({"text": text, "thought": true})),
        ("[a-c]?", 0..6usize, "[a-zé\"\\\\\n]{0,5}").prop_map(|(id, tool, input)| {
            let (name, args) = match tool {
                0 => ("get_weather", json!({"city": input})),
                1 => ("apply_patch", json!({"input": input})),
                2 => ("agents__spawn", json!({"task": input})),
                3 => ("tool_search", json!({"query": input})),
                4 => ("gone", json!({})),
                _ => ("agents__note", json!({"input": input})),
            };
            json!({"functionCall": {"id": id, "name": name, "args": args}})
        }),
        Just(json!({"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}})),
        Just(json!({"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}})),
        Just(json!({"executableCode": {}})),
    ];
    (content, signature).prop_map(|(mut part, signature)| {
        if let Some(signature) = signature {
            part["thoughtSignature"] = signature.into();
        }
        part
    })
}

fn grounding() -> impl Strategy<Value = Value> {
    let support = (0..30usize, 0..30usize, 0..4usize).prop_map(|(start, end, index)| {
        json!({"segment": {"startIndex": start, "endIndex": end}, "groundingChunkIndices": [index]})
    });
    prop::collection::vec(support, 0..3).prop_map(|supports| {
        json!({
            "webSearchQueries": ["q"],
            "groundingChunks": [{"web": {"uri": "https://a.example/", "title": "A"}}],
            "groundingSupports": supports,
        })
    })
}

/// The events of an answer, whose last one may say why it ends.
fn answers() -> impl Strategy<Value = Vec<Value>> {
    let end = prop::sample::select(vec![
        None,
        Some("STOP"),
        Some("STOP"),
        Some("MAX_TOKENS"),
        Some("SAFETY"),
        Some("MALFORMED_FUNCTION_CALL"),
    ]);
    let parts = prop::collection::vec(prop::collection::vec(part(), 0..4), 0..5);
    (parts, prop::option::of(grounding()), end).prop_map(|(parts, grounding, end)| {
        let mut answers: Vec<Value> = parts
            .into_iter()
            .map(|parts| json!({"candidates": [{"content": {"parts": parts, "role": "model"}}]}))
            .collect();
        let mut last = json!({
            "candidates": [{"content": {"parts": []}}],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 2},
        });
        if let Some(end) = end {
            last["candidates"][0]["finishReason"] = end.into();
        }
        if let Some(grounding) = grounding {
            last["candidates"][0]["groundingMetadata"] = grounding;
        }
        answers.push(last);
        answers
    })
}

/// All parts of these events.
fn all_parts(answers: &[Value]) -> Vec<Value> {
    answers
        .iter()
        .flat_map(|answer| {
            answer["candidates"][0]["content"]["parts"]
                .as_array()
                .unwrap()
        })
        .cloned()
        .collect()
}

fn request_with_tools() -> Value {
    json!({
        "model": MODEL,
        "input": "hi",
        "instructions": "Be brief.",
        "include": ["web_search_call.action.sources"],
        "tools": [
            {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": true},
            {"type": "custom", "name": "apply_patch"},
            {"type": "tool_search", "execution": "client", "description": "finds tools", "parameters": {"type": "object"}},
            {"type": "namespace", "name": "agents", "description": "", "tools": [
                {"type": "function", "name": "spawn"}, {"type": "custom", "name": "note"}]},
        ],
    })
}

/// Checks the order of a stream's events, and returns the last response.
///
/// Each item is announced, filled and ended before the next. A failure may leave one unfinished.
fn check_order(events: &[Value]) -> Value {
    let mut done: Vec<Value> = Vec::new();
    let mut open: Option<Value> = None;
    let mut filled = String::new();
    let mut last = None;
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
        assert!(last.is_none(), "nothing follows the end: {event}");
        let is_failing = number > 0 && events[number - 1]["type"] == "error";
        assert_eq!(is_failing, event["type"] == "response.failed", "{event}");
        let kind = event["type"].as_str().unwrap();
        match (number, kind) {
            (0, "response.created") | (1, "response.in_progress") => {
                assert_eq!(event["response"]["status"], "in_progress");
                assert_eq!(event["response"]["output"], json!([]));
                continue;
            }
            (0 | 1, other) => panic!("{other} is first"),
            (_, "error") => continue,
            _ => {}
        }
        if let Some(status) = ["completed", "incomplete", "failed"]
            .into_iter()
            .find(|status| kind == format!("response.{status}"))
        {
            assert!(open.is_none() || status == "failed", "{open:?}");
            assert_eq!(event["response"]["status"], status);
            assert_eq!(event["response"]["output"], json!(done));
            last = Some(event["response"].clone());
            continue;
        }
        assert_eq!(event["output_index"], done.len(), "{event}");
        match (kind, &open) {
            ("response.output_item.added", None) => {
                filled.clear();
                open = Some(event["item"].clone());
            }
            ("response.output_item.done", Some(announced)) => {
                let item = &event["item"];
                assert_eq!(item["id"], announced["id"]);
                assert_eq!(item["type"], announced["type"]);
                assert_eq!(filled, text_of(item), "{item}");
                done.push(item.clone());
                open = None;
            }
            (_, Some(announced)) => {
                assert_eq!(event["item_id"], announced["id"], "{event}");
                filled.push_str(event["delta"].as_str().unwrap_or_default());
            }
            (other, None) => panic!("{other} is in no item"),
        }
    }
    last.expect("the stream ends")
}

/// What deltas add up to.
fn text_of(item: &Value) -> &str {
    let text = match item["type"].as_str().unwrap() {
        "message" => &item["content"][0]["text"],
        "reasoning" => &item["summary"][0]["text"],
        "function_call" => &item["arguments"],
        "custom_tool_call" => &item["input"],
        _ => &Value::Null,
    };
    text.as_str().unwrap_or_default()
}

/// The output of a call; `None` if the item is none.
fn output(item: &Value) -> Option<Value> {
    let (kind, output) = match item["type"].as_str()? {
        "function_call" => ("function_call_output", json!("ok")),
        "custom_tool_call" => (
            "custom_tool_call_output",
            json!([{"type": "input_text", "text": "ok"}]),
        ),
        _ => return None,
    };
    Some(json!({"type": kind, "call_id": item["call_id"], "output": output}))
}

/// What Gemini should receive of the parts that it sent: without thoughts, and with texts joined.
fn expected_parts(parts: &[Value]) -> Vec<Value> {
    let mut expected: Vec<Value> = Vec::new();
    let mut waiting: Option<Value> = None;
    // Whether the last part is a text that can go on.
    let mut in_text = false;
    let mut in_thought = false;
    for part in parts {
        let signature = part.get("thoughtSignature").cloned();
        let is_text = part.get("text").is_some();
        let is_audio = part["inlineData"]["mimeType"] == "audio/wav";
        if part.get("executableCode").is_some() || is_audio {
            continue;
        }
        if part["thought"] == true || (is_text && part["text"] == "") {
            if part["thought"] == true {
                if !in_thought {
                    waiting = None;
                }
                (in_text, in_thought) = (false, true);
            }
            if in_thought {
                waiting = signature.or(waiting);
            }
            continue;
        }
        let signature = signature.or(waiting.take());
        if is_text && in_text {
            let text = expected.last_mut().unwrap();
            let joined = format!(
                "{}{}",
                text["text"].as_str().unwrap(),
                part["text"].as_str().unwrap()
            );
            text["text"] = joined.into();
            continue;
        }
        let mut part = part.clone();
        match signature {
            Some(signature) => part["thoughtSignature"] = signature,
            None => {
                part.as_object_mut().unwrap().remove("thoughtSignature");
            }
        }
        (in_text, in_thought) = (is_text, false);
        expected.push(part);
    }
    expected
}

proptest! {
    #[test]
    fn streams_keep_the_order_wherever_chunks_end(answers in answers(), chunk in 1..40usize) {
        let form = form(&request_with_tools());
        let events = stream(&answers, &form, usize::MAX);
        let response = check_order(&events);
        prop_assert_eq!(&stream(&answers, &form, chunk), &events);

        // The same answer in one piece.
        let mut answer = answers.last().unwrap().clone();
        answer["candidates"][0]["content"]["parts"] = all_parts(&answers).into();
        let whole = whole(answer.to_string().as_bytes(), &form, Delivery::Whole);
        if response["error"]["code"] == "server_error" {
            prop_assert!(whole.is_err(), "another attempt may succeed");
        } else {
            let body = whole.unwrap().body;
            prop_assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), response);
        }
    }

    #[test]
    fn items_sent_back_yield_the_same_parts(answers in answers()) {
        let mut answers = answers;
        answers.last_mut().unwrap()["candidates"][0]["finishReason"] = "STOP".into();
        let mut body = request_with_tools();
        let events = stream(&answers, &form(&body), usize::MAX);
        let response = check_order(&events);
        let mut input = vec![json!({"role": "user", "content": "hi"})];
        let items = response["output"].as_array().unwrap();
        input.extend(items.iter().cloned());
        let outputs: Vec<Value> = items.iter().filter_map(output).collect();
        input.extend(outputs.iter().cloned());
        body["input"] = input.into();
        let sent = gemini(&body);
        prop_assert_eq!(sent.to_string().matches("\"output\":\"ok").count(), outputs.len());
        let contents = sent["contents"].as_array().unwrap().iter();
        let mut parts: Vec<Value> = contents
            .filter(|content| content["role"] == "model")
            .flat_map(|content| content["parts"].as_array().unwrap().clone())
            .collect();
        let mut expected = expected_parts(&all_parts(&answers));
        for part in parts.iter_mut().chain(&mut expected) {
            // Generated where Gemini's is empty or used twice.
            if let Some(call) = part.get_mut("functionCall") {
                call["id"] = Value::Null;
            }
        }
        prop_assert_eq!(parts, expected);
    }
}
