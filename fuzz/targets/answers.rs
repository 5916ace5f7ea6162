//! Gemini's event streams, translated: events come in the order that clients expect, each stream is
//! closed once, and chunk boundaries make no difference.
//!
//! The first byte chooses the request, the second one the size of chunks; the stream follows.
#![no_main]

mod json;

use gemini_keypool::wire::translate::{
    Context, Delivery, Endpoint, Form, StreamError, Translator, request, whole,
};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use serde_json::Value;

const REQUESTS: [(Endpoint, &str); 10] = [
    (Endpoint::Responses, r#"{"input":"hi"}"#),
    (
        Endpoint::Responses,
        r#"{"input":"hi","store":false,"include":["reasoning.encrypted_content","web_search_call.action.sources"],"tools":[{"type":"function","name":"f"},{"type":"custom","name":"c"},{"type":"local_shell"},{"type":"shell"},{"type":"apply_patch"},{"type":"tool_search","execution":"client"}]}"#,
    ),
    (
        Endpoint::Messages,
        r#"{"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#,
    ),
    (
        Endpoint::Messages,
        r#"{"max_tokens":9,"messages":[{"role":"user","content":"hi"}],"thinking":{"type":"adaptive"},"tools":[{"name":"f.g","input_schema":{}}]}"#,
    ),
    (
        Endpoint::Messages,
        r#"{"max_tokens":9,"messages":[{"role":"user","content":"hi"}],"thinking":{"type":"adaptive","display":"omitted"}}"#,
    ),
    (Endpoint::Completions, r#"{"prompt":"hi"}"#),
    (
        Endpoint::Completions,
        r#"{"prompt":"hi","echo":true,"stream_options":{"include_usage":true}}"#,
    ),
    (Endpoint::Speech, r#"{"input":"hi","voice":"Puck"}"#),
    (
        Endpoint::Transcriptions,
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--b--\r\n",
    ),
    (
        Endpoint::Transcriptions,
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n\
         --b\r\nContent-Disposition: form-data; name=\"response_format\"\r\n\r\ntext\r\n--b--\r\n",
    ),
];

fn form(endpoint: Endpoint, body: &str) -> Form {
    let context = Context {
        default_model: "gemini-flash-latest",
        model_of: &str::to_owned,
        created: 1_800_000_000,
        seed: 7,
    };
    request(endpoint, body.as_bytes(), &context).unwrap().form
}

/// The translated stream; `None` if such answers are not streamed.
fn translate(form: &Form, stream: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut translator = Translator::new(form)?;
    let mut translated = Vec::new();
    let error = StreamError {
        status: 502,
        kind: "server_error",
        code: "upstream_error",
        message: "The stream broke off.",
    };
    for chunk in stream.chunks(size) {
        match translator.push(chunk) {
            Ok(events) => translated.extend(events),
            Err(_) => {
                translated.extend(translator.fail(&error));
                return Some(translated);
            }
        }
    }
    let end = translator.end().unwrap_or_else(|_| translator.fail(&error));
    translated.extend(end);
    Some(translated)
}

/// The names and the data of events.
fn events(stream: &[u8]) -> Vec<(&str, Value)> {
    let stream = std::str::from_utf8(stream).unwrap();
    let events = stream.strip_suffix("\n\n").unwrap().split("\n\n");
    events.map(event).collect()
}

fn event(event: &str) -> (&str, Value) {
    let (name, data) = event.split_once("\ndata: ").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let name = name.strip_prefix("event: ").unwrap();
    assert_eq!(data["type"], name);
    (name, data)
}

fn count(names: &[&str], of: &[&str]) -> usize {
    names.iter().filter(|name| of.contains(name)).count()
}

/// Items do not overlap, and the events are numbered.
fn check_response(stream: &[u8]) {
    let events = events(stream);
    let mut open = None;
    let mut finished = 0;
    for (number, (name, data)) in events.iter().enumerate() {
        assert_eq!(data["sequence_number"], number);
        match *name {
            "response.output_item.added" => {
                assert_eq!(open.replace(finished), None);
                assert_eq!(data["output_index"], finished);
            }
            "response.output_item.done" => {
                assert_eq!(open.take(), Some(finished));
                assert_eq!(data["output_index"], finished);
                finished += 1;
            }
            _ if data.get("output_index").is_some() => {
                assert_eq!(open, Some(finished));
                assert_eq!(data["output_index"], finished);
            }
            _ => {}
        }
    }
    let names: Vec<&str> = events.iter().map(|(name, _)| *name).collect();
    let closing = [
        "response.completed",
        "response.incomplete",
        "response.failed",
    ];
    assert!(names.starts_with(&["response.created", "response.in_progress"]));
    assert_eq!(count(&names, &closing), 1);
    assert!(closing.contains(names.last().unwrap()));
    let has_failed = names.ends_with(&["error", "response.failed"]);
    assert_eq!(count(&names, &["error"]), usize::from(has_failed));
    let (_, last) = events.last().unwrap();
    let output = last["response"]["output"].as_array().unwrap();
    assert_eq!(output.len(), finished);
    assert!(open.is_none() || has_failed);
}

/// Blocks do not overlap.
fn check_message(stream: &[u8]) {
    let events = events(stream);
    let (mut open, mut finished) = (false, 0);
    for (name, data) in &events {
        match *name {
            "content_block_start" => {
                assert!(!open && data["index"] == finished);
                open = true;
            }
            "content_block_delta" => assert!(open && data["index"] == finished),
            "content_block_stop" => {
                assert!(open && data["index"] == finished);
                (open, finished) = (false, finished + 1);
            }
            "message_delta" => assert!(!open),
            _ => {}
        }
    }
    let names: Vec<&str> = events.iter().map(|(name, _)| *name).collect();
    let closing = ["message_stop", "error"];
    assert!(names.starts_with(&["message_start", "ping"]) || names == ["error"]);
    assert_eq!(count(&names, &closing), 1);
    assert!(names.ends_with(&["message_delta", "message_stop"]) || names.ends_with(&["error"]));
}

/// The last event is an error or the closing line.
fn check_completion(stream: &[u8]) {
    let stream = std::str::from_utf8(stream).unwrap();
    let events = stream.strip_suffix("\n\n").unwrap().split("\n\n");
    let data: Vec<&str> = events
        .map(|event| event.strip_prefix("data: ").unwrap())
        .collect();
    let (last, others) = data.split_last().unwrap();
    for data in others {
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["object"], "text_completion");
    }
    if *last != "[DONE]" {
        let data: Value = serde_json::from_str(last).unwrap();
        assert!(data["error"].is_object());
    }
}

/// The last event is an error or the whole text.
fn check_transcript(stream: &[u8]) {
    let stream = std::str::from_utf8(stream).unwrap();
    let events = stream.strip_suffix("\n\n").unwrap().split("\n\n");
    let data = events.map(|event| event.strip_prefix("data: ").unwrap());
    let data: Vec<Value> = data
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let (last, others) = data.split_last().unwrap();
    assert!(
        others
            .iter()
            .all(|event| event["type"] == "transcript.text.delta")
    );
    assert!(last["type"] == "transcript.text.done" || last["error"].is_object());
}

fuzz_target!(|input: &[u8]| {
    let [choice, size, stream @ ..] = input else {
        return;
    };
    let (endpoint, body) = REQUESTS[usize::from(choice.wrapping_sub(b'0')) % REQUESTS.len()];
    let form = form(endpoint, body);
    let json = stream.trim_ascii().strip_prefix(b"data:").unwrap_or(stream);
    for delivery in [Delivery::Whole, Delivery::Stream] {
        if let Ok(whole) = whole(json, &form, delivery)
            && whole.content_type == "application/json"
        {
            serde_json::from_slice::<Value>(&whole.body).unwrap();
        }
    }
    let Some(translated) = translate(&form, stream, stream.len().max(1)) else {
        return;
    };
    match endpoint {
        Endpoint::Responses => check_response(&translated),
        Endpoint::Messages | Endpoint::CountTokens => check_message(&translated),
        Endpoint::Completions => check_completion(&translated),
        Endpoint::Transcriptions => check_transcript(&translated),
        Endpoint::Speech => {}
    }
    let in_pieces = translate(&form, stream, usize::from(*size).max(1));
    assert_eq!(in_pieces, Some(translated));
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    json::mutate(data, size, max_size, seed)
});
