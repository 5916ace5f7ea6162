//! Repair: fields that Google rejects, answers that OpenAI's clients reject, and model aliases.

use super::*;
use serde_json::{Value, json};

const WITH_SEED: &str =
    r#"{"model":"m","seed":1,"messages":[],"frequency_penalty":0.5,"temperature":1.0e0}"#;
const WITHOUT: &str = r#"{"model":"m","messages":[],"temperature":1.0e0}"#;

const DROPPED: &str = "x-keypool-dropped";
/// Turns the repair of one answer off.
const REPAIR_OFF: (&str, &str) = ("x-keypool-repair", "off");
const STREAMED: &str = r#"{"model":"m","stream":true,"messages":[]}"#;

#[test]
fn removes_and_remembers_fields_unknown_to_google() {
    let pool = Pool::new();
    let chat = |body: &str| {
        pool.script_answer();
        let answer = pool.chat(body);
        answer.assert_status(200);
        answer
    };
    pool.script_error(&errors::unknown_fields(&["frequency_penalty", "seed"]));
    let answer = chat(WITH_SEED);
    assert_eq!(answer.headers[DROPPED], "frequency_penalty, seed");
    // The retry uses the only key.
    assert_eq!(answer.headers["x-keypool-attempts"], "2");
    let sent = pool
        .host
        .0
        .sent
        .borrow()
        .iter()
        .map(|sent| sent.body.clone())
        .collect::<Vec<_>>();
    assert_eq!(sent, [WITH_SEED, WITHOUT]);
    assert_eq!(pool.attempts(), ["1 client_fault", "2 success"]);
    let requests = "(SELECT DISTINCT request_id FROM api_call_logs)";
    assert_eq!(pool.count(requests), 1);
    for later in [0, 600] {
        pool.advance(later);
        assert_eq!(chat(WITH_SEED).headers[DROPPED], "frequency_penalty, seed");
        assert_eq!(pool.last_sent().body, WITHOUT);
    }
    // Another model is unaffected.
    let other = WITH_SEED.replace("\"m\"", "\"other\"");
    assert_eq!(chat(&other).header(DROPPED), None);
    assert_eq!(pool.last_sent().body, other);
    // After a week, the fields are sent again.
    pool.advance(7 * 24 * 3_600_000);
    chat(WITH_SEED);
    assert_eq!(pool.last_sent().body, WITH_SEED);
}

#[test]
fn removes_nested_fields_from_every_element() {
    let pool = Pool::new();
    let body = r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f","strict":true}}]}"#;
    pool.script_error(&errors::unknown_field_in("tools[0].function", "strict"));
    pool.script_answer();
    let answer = pool.chat(body);
    assert_eq!(answer.headers[DROPPED], "tools[0].function.strict");
    let sent = pool.last_sent().body;
    assert_eq!(sent, body.replace(",\"strict\":true", ""));
    let fields = "SELECT field FROM unsupported_fields";
    assert_eq!(pool.query(fields), ["tools[].function.strict"]);
    let second = "},{\"function\":{\"strict\":false,\"name\":\"g\"}}]}";
    pool.script_answer();
    let answer = pool.chat(&body.replace("}]}", second));
    assert_eq!(answer.headers[DROPPED], "tools[].function.strict");
    assert_eq!(answer.headers["x-keypool-attempts"], "1");
    let sent = pool.last_sent().body;
    assert!(!sent.contains("strict"), "{sent}");
}

#[test]
fn an_operator_can_reset_what_was_learned_of_a_model() {
    let pool = Pool::new();
    pool.script_error(&errors::unknown_fields(&["seed", "frequency_penalty"]));
    pool.script_answer();
    pool.chat(WITH_SEED).assert_status(200);
    let wrong = [("authorization", "Bearer x")];
    let refused = pool.call("POST", "/api/pool/forget?model=m", &wrong, "");
    refused.assert_status(401);
    for (model, sent) in [("other", WITHOUT), ("m", WITH_SEED)] {
        let path = format!("/api/pool/forget?model={model}");
        pool.post(&path, "").assert_status(200);
        pool.script_answer();
        pool.chat(WITH_SEED);
        assert_eq!(pool.last_sent().body, sent, "{model}");
    }
}

#[test]
fn removes_repaired_fields_from_later_requests() {
    let pool = Pool::new();
    pool.script_answer();
    let turn = r#"{"model":"m","messages":[{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"index","arguments":"{}"}}]}]}"#;
    assert_eq!(pool.chat(turn).header(DROPPED), None);
    let without = turn
        .replace("\"index\":0,", "")
        .replace("\"refusal\":null,", "");
    assert_eq!(pool.last_sent().body, without);
    assert_eq!(pool.sent(), 1);
}

#[test]
fn reports_unknown_fields_that_cannot_be_removed() {
    let unknown = errors::unknown_fields(&["seed"]).pretty_array();
    for (variables, headers, body, repairs) in [
        (vec![("repair", "false")], vec![], WITH_SEED, false),
        (vec![], vec![REPAIR_OFF], WITH_SEED, false),
        // The request does not have the field.
        (vec![], vec![], CHAT, true),
        (vec![("max_attempts", "1")], vec![], WITH_SEED, true),
    ] {
        let pool = Pool::with(&variables);
        pool.script(400, JSON, &[&unknown]);
        let answer = pool.post_with(COMPLETIONS, &headers, body);
        assert_eq!((answer.status, pool.sent()), (400, 1), "{variables:?}");
        assert_eq!(answer.header(DROPPED), None);
        if repairs {
            answer.assert_message("seed");
        } else {
            assert_eq!(answer.body, unknown, "unchanged");
        }
    }
}

#[test]
fn resolves_model_aliases_on_both_apis() {
    let aliases = "gpt-4o=gemini-pro, small = gemini-lite, claude-*-haiku*=small, claude-*=gpt-4o";
    let pool = Pool::with(&[("model_aliases", aliases)]);
    // Path, body, the model's name, the name that is sent, and the logged subject.
    let calls = r#"
        /v1/chat/completions {"model":"NAME","messages":[]} gpt-4o gemini-pro gemini-pro
        /v1/chat/completions {"model":"models/NAME","messages":[]} gpt-4o gemini-pro gemini-pro
        /v1/chat/completions {"model":"models/NAME","messages":[]} gemini-pro gemini-pro gemini-pro
        /v1beta/openai/embeddings {"input":"x","model":"NAME"} small gemini-lite gemini-lite
        /v1/chat/completions {"model":"NAME","messages":[]} claude-3-haiku small small
        /v1beta/models/NAME:countTokens {} claude-opus-4 gpt-4o gpt-4o:countTokens
        /v1beta/models/NAME:countTokens {} gpt-4o gemini-pro gemini-pro:countTokens"#;
    for [path, body, name, resolved, subject] in table(calls) {
        pool.script_answer();
        let answer = pool.gemini_post(&path.replace("NAME", name), &body.replace("NAME", name));
        answer.assert_status(200);
        let last = pool.last_sent();
        let upstream = path
            .replace("/v1/", "/v1beta/openai/")
            .replace("NAME", resolved);
        assert_eq!(last.uri, [ORIGIN, &upstream].concat());
        assert_eq!(last.body, body.replace("NAME", resolved), "{path}");
        assert_eq!(pool.log_rows("model").pop().unwrap(), subject);
    }
}

// An answer and an event as Google sends them.
const QUIRKY: &str = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"sig=="}},"function":{"arguments":"{}","name":"f"},"id":"","type":"function"}]}}],"created":5,"object":"chat.completion","usage":{"completion_tokens":2,"prompt_tokens":17,"total_tokens":49}}"#;
const TOOL_EVENT: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"arguments\":\"{}\",\"name\":\"f\"},\"id\":\"\",\"type\":\"function\"}]},\"finish_reason\":\"stop\",\"index\":0}],\"created\":5,\"model\":\"m\",\"object\":\"chat.completion.chunk\",\"usage\":{\"completion_tokens\":2,\"prompt_tokens\":17,\"total_tokens\":19}}\n\n";

#[test]
fn repairs_a_plain_answer() {
    let pool = Pool::new();
    pool.script_json(QUIRKY);
    let answer = pool.chat(CHAT).json();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    let call = &choice["message"]["tool_calls"][0];
    assert_starts_with(call["id"].as_str().unwrap(), "call_");
    let signature = &call["extra_content"]["google"]["thought_signature"];
    assert_eq!(signature, "sig==");
    assert_starts_with(answer["id"].as_str().unwrap(), "chatcmpl-");
    assert_eq!(answer["model"], "m");
    assert_eq!(answer["created"], 5);
    let row = "outcome, input_tokens, output_tokens, thinking_tokens";
    assert_eq!(pool.log_rows(row), ["success|17|2|30"]);
    pool.script_json(QUIRKY);
    assert_eq!(pool.chat_with(&[REPAIR_OFF]).body, QUIRKY);
}

#[test]
fn repairs_a_stream_event_by_event() {
    let pool = Pool::new();
    let with_usage =
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    for body in [with_usage, STREAMED] {
        // Chunks may end anywhere within an event.
        let (first, second) = TOOL_EVENT.split_at(70);
        pool.script_events(&[first, second, TOOL_EVENT, DONE]);
        let answer = pool.chat(body);
        let events = answer.body.strip_suffix(DONE).unwrap();
        let events = events.split_terminator("\n\n");
        let events: Vec<_> = events
            .map(|event| json(event.strip_prefix("data: ").unwrap()))
            .collect();
        let call = |index: usize| &events[index]["choices"][0]["delta"]["tool_calls"][0];
        assert_eq!(call(0)["index"], 0);
        assert_eq!(call(1)["index"], 1);
        assert_ne!(call(0)["id"], call(1)["id"]);
        assert_eq!(events[0]["id"], events[1]["id"]);
        assert_eq!(events[1]["choices"][0]["finish_reason"], "tool_calls");
        if body == with_usage {
            assert_eq!(events.len(), 3);
            assert_eq!(events[0]["usage"], Value::Null);
            assert_eq!(events[2]["choices"], json!([]));
            assert_eq!(events[2]["usage"]["prompt_tokens"], 17);
        } else {
            assert_eq!(events.len(), 2);
            assert_eq!(events[0].get("usage"), None, "not requested");
        }
    }
    let rows = pool.log_rows("outcome, input_tokens, output_tokens");
    assert_eq!(rows, ["success|17|2", "success|17|2"]);
}

#[test]
fn removes_the_prefix_of_a_model_name() {
    let pool = Pool::new();
    pool.script_json(r#"{"id":"models/m","object":"model"}"#);
    let model = pool.get("/v1/models/m").json();
    assert_eq!(model["id"], "m");
    assert!(model["created"].is_i64(), "{model}");
}

#[test]
fn turns_a_plain_answer_into_the_requested_stream() {
    let pool = Pool::new();
    pool.script(200, "application/json; charset=UTF-8", &[QUIRKY]);
    let answer = pool.chat(STREAMED);
    assert_eq!(answer.header("content-type"), Some(EVENTS));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let (event, done) = answer.body.split_once("\n\n").unwrap();
    assert_eq!(done, DONE);
    let chunk = json(event.strip_prefix("data: ").unwrap());
    assert_eq!(chunk["object"], "chat.completion.chunk");
    let choice = &chunk["choices"][0];
    assert_eq!(choice["delta"]["tool_calls"][0]["index"], 0);
    assert_eq!(choice["finish_reason"], "tool_calls");
    let rows = pool.log_rows("outcome, input_tokens, output_tokens");
    assert_eq!(rows, ["success|17|2"]);
    // A large answer.
    let text = "x".repeat(3 * 1024 * 1024);
    pool.script(200, JSON, &[&ANSWER.replace("Hi", &text)]);
    let large = pool.chat(STREAMED);
    assert!(large.body.contains(&text) && large.body.ends_with(DONE));
    pool.script_json(QUIRKY);
    let answer = pool.post_with(COMPLETIONS, &[REPAIR_OFF], STREAMED);
    assert_eq!(answer.body, QUIRKY, "unchanged");
    assert_eq!(answer.header("content-type"), Some(JSON));
}

#[test]
fn an_answer_that_cannot_become_a_stream_is_a_failure() {
    for body in [
        r#"{"choices":7}"#,
        r#"{"object":"list","data":[]}"#,
        "{}",
        "<html>",
    ] {
        let pool = Pool::with(&[("max_attempts", "1")]);
        pool.script_json(body);
        let answer = pool.chat(STREAMED);
        answer.assert_status(502);
        assert_eq!(pool.log_rows("outcome"), ["upstream_trouble"], "{body}");
    }
}

const EMBED: &str =
    r#"{"input":["a","b"],"model":"gemini-embedding-001","encoding_format":"base64"}"#;

/// Google's answer with two vectors of this length.
fn embeddings(numbers: usize) -> String {
    let entry = |index| {
        let numbers = vec!["0.5"; numbers].join(",");
        format!(r#"{{"object":"embedding","embedding":[{numbers}],"index":{index}}}"#)
    };
    let data = [entry(0), entry(1)].join(",");
    format!(r#"{{"data":[{data}],"model":"models/gemini-embedding-001","object":"list"}}"#)
}

#[test]
fn encodes_embeddings_of_any_size_as_base64() {
    let pool = Pool::new();
    let as_numbers = EMBED.replace("base64", "float");
    for numbers in [2, 300_000] {
        let body = embeddings(numbers);
        for request in [EMBED, &as_numbers] {
            let (first, second) = body.split_at(body.len() / 2);
            pool.script(200, JSON, &[first, second]);
            let answer = pool.post("/v1/embeddings", request);
            let got = answer.json();
            let vector = &got["data"][1]["embedding"];
            if request == EMBED {
                let text = vector.as_str().unwrap();
                assert_eq!(text.len(), (numbers * 4).div_ceil(3) * 4);
                assert!(text.starts_with("AAAAPwAAAD8"), "two times 0.5");
                let length = answer.body.len().to_string();
                assert_eq!(answer.header("content-length"), Some(length.as_str()));
            } else {
                assert_eq!(vector.as_array().unwrap().len(), numbers);
            }
            if request == EMBED || numbers == 2 {
                assert_eq!(got["usage"]["total_tokens"], 0);
                assert_eq!(got["model"], "gemini-embedding-001");
            }
        }
    }
    let body = embeddings(2);
    pool.script_json(&body);
    let off = pool.post_with("/v1/embeddings", &[REPAIR_OFF], EMBED);
    assert_eq!(off.body, body);
}
