//! Repair: fields that Google rejects, answers that OpenAI's clients reject, and model aliases.

use super::*;
use fake_gemini::errors;

const WITH_SEED: &str =
    r#"{"model":"m","seed":1,"messages":[],"frequency_penalty":0.5,"temperature":1.0e0}"#;
const WITHOUT: &str = r#"{"model":"m","messages":[],"temperature":1.0e0}"#;

impl Pool {
    fn sent_bodies(&self) -> Vec<String> {
        let sent = self.host.0.sent.borrow();
        sent.iter().map(|sent| sent.body.clone()).collect()
    }
}

#[test]
fn removes_and_remembers_fields_unknown_to_google() {
    let pool = Pool::new();
    let unknown = errors::unknown_fields(&["frequency_penalty", "seed"]);
    pool.script(400, "application/json", &[&unknown.pretty_array()]);
    pool.script_answer();
    let answer = pool.chat(WITH_SEED);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        answer.header("x-keypool-dropped"),
        Some("frequency_penalty, seed")
    );
    assert_eq!(
        answer.header("x-keypool-attempts"),
        Some("2"),
        "the retry uses the only key"
    );
    assert_eq!(pool.sent_bodies(), [WITH_SEED, WITHOUT]);
    for later in [0, 600] {
        pool.advance(later);
        pool.script_answer();
        let answer = pool.chat(WITH_SEED);
        assert_eq!(
            answer.header("x-keypool-dropped"),
            Some("frequency_penalty, seed")
        );
        assert_eq!(pool.sent_bodies().pop().unwrap(), WITHOUT);
    }
    let other = WITH_SEED.replace("\"m\"", "\"other\"");
    pool.script_answer();
    assert_eq!(pool.chat(&other).header("x-keypool-dropped"), None);
    assert_eq!(
        pool.sent_bodies().pop().unwrap(),
        other,
        "another model is unaffected"
    );
    // After a week, the fields are sent again.
    pool.advance(7 * 24 * 3_600_000);
    pool.script_answer();
    assert_eq!(pool.chat(WITH_SEED).status, 200);
    assert_eq!(pool.sent_bodies().pop().unwrap(), WITH_SEED);
    let rows = pool.database.query("SELECT attempt, outcome FROM api_call_logs WHERE request_id = (SELECT request_id FROM api_call_logs ORDER BY id LIMIT 1)");
    assert_eq!(rows, ["1|client_fault", "2|success"]);
}

#[test]
fn removes_nested_fields_from_every_element() {
    let pool = Pool::new();
    let body = r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f","strict":true}}]}"#;
    let unknown = errors::unknown_field_in("tools[0].function", "strict");
    pool.script(400, "application/json", &[&unknown.pretty_array()]);
    pool.script_answer();
    let answer = pool.chat(body);
    assert_eq!(
        answer.header("x-keypool-dropped"),
        Some("tools[0].function.strict")
    );
    assert_eq!(pool.sent_bodies()[1], body.replace(",\"strict\":true", ""));
    let fields = "SELECT field FROM unsupported_fields";
    assert_eq!(pool.database.query(fields), ["tools[].function.strict"]);
    let two = body.replace(
        "}]}",
        "},{\"function\":{\"strict\":false,\"name\":\"g\"}}]}",
    );
    pool.script_answer();
    let answer = pool.chat(&two);
    assert_eq!(
        (
            answer.header("x-keypool-dropped"),
            answer.header("x-keypool-attempts")
        ),
        (Some("tools[].function.strict"), Some("1"))
    );
    assert!(
        !pool.sent_bodies()[2].contains("strict"),
        "{}",
        pool.sent_bodies()[2]
    );
}

#[test]
fn an_operator_can_reset_what_was_learned_of_a_model() {
    let pool = Pool::new();
    let bearer = format!("Bearer {TOKEN}");
    let unknown = errors::unknown_fields(&["seed", "frequency_penalty"]).pretty_array();
    pool.script(400, "application/json", &[&unknown]);
    pool.script_answer();
    assert_eq!(pool.chat(WITH_SEED).status, 200);
    let forget = |path: &str, token: &str| pool.call("POST", path, &[("authorization", token)], "");
    assert_eq!(forget("/api/pool/forget?model=m", "Bearer x").status, 401);
    for (model, sent) in [("other", WITHOUT), ("m", WITH_SEED)] {
        let answer = forget(&format!("/api/pool/forget?model={model}"), &bearer);
        assert_eq!(answer.status, 200, "{}", answer.body);
        pool.script_answer();
        pool.chat(WITH_SEED);
        assert_eq!(pool.sent_bodies().pop().unwrap(), sent, "{model}");
    }
}

#[test]
fn removes_repaired_fields_from_later_requests() {
    let pool = Pool::new();
    pool.script_answer();
    let turn = r#"{"model":"m","messages":[{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"index","arguments":"{}"}}]}]}"#;
    let answer = pool.chat(turn);
    assert_eq!(answer.header("x-keypool-dropped"), None);
    assert_eq!(
        pool.sent_bodies(),
        [turn
            .replace("\"index\":0,", "")
            .replace("\"refusal\":null,", "")]
    );
}

#[test]
fn reports_unknown_fields_that_cannot_be_removed() {
    let unknown = errors::unknown_fields(&["seed"]).pretty_array();
    for (variables, headers, body, repairs) in [
        (vec![("repair", "false")], vec![], WITH_SEED, false),
        (vec![], vec![("x-keypool-repair", "off")], WITH_SEED, false),
        // The request does not have the field.
        (vec![], vec![], CHAT, true),
        (vec![("max_attempts", "1")], vec![], WITH_SEED, true),
    ] {
        let pool = Pool::with(&variables);
        pool.script(400, "application/json", &[&unknown]);
        let bearer = format!("Bearer {TOKEN}");
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend(headers);
        let answer = pool.call("POST", "/v1/chat/completions", &all, body);
        assert_eq!((answer.status, pool.sent()), (400, 1), "{variables:?}");
        assert_eq!(answer.header("x-keypool-dropped"), None);
        if repairs {
            assert!(answer.error("message").contains("seed"));
        } else {
            assert_eq!(answer.body, unknown, "unchanged");
        }
    }
}

#[test]
fn resolves_model_aliases_on_both_apis() {
    let pool = Pool::with(&[("model_aliases", "gpt-4o=gemini-pro, small = gemini-lite")]);
    let google =
        |path: &str, body: &str| pool.call("POST", path, &[("x-goog-api-key", TOKEN)], body);
    for (path, body, upstream, sent, subject) in [
        (
            "/v1/chat/completions",
            r#"{"model":"gpt-4o","messages":[]}"#,
            "/v1beta/openai/chat/completions",
            r#"{"model":"gemini-pro","messages":[]}"#,
            "gemini-pro",
        ),
        (
            "/v1/chat/completions",
            r#"{"model":"models/gpt-4o","messages":[]}"#,
            "/v1beta/openai/chat/completions",
            r#"{"model":"models/gemini-pro","messages":[]}"#,
            "gemini-pro",
        ),
        (
            "/v1/chat/completions",
            r#"{"model":"models/gemini-pro","messages":[]}"#,
            "/v1beta/openai/chat/completions",
            r#"{"model":"models/gemini-pro","messages":[]}"#,
            "gemini-pro",
        ),
        (
            "/v1beta/openai/embeddings",
            r#"{"input":"x","model":"small"}"#,
            "/v1beta/openai/embeddings",
            r#"{"input":"x","model":"gemini-lite"}"#,
            "gemini-lite",
        ),
        (
            "/v1beta/models/gpt-4o:countTokens",
            "{}",
            "/v1beta/models/gemini-pro:countTokens",
            "{}",
            "gemini-pro:countTokens",
        ),
    ] {
        pool.script_answer();
        let answer = google(path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let last = pool.host.0.sent.borrow();
        let last = last.last().unwrap();
        assert!(last.uri.ends_with(upstream), "{}", last.uri);
        assert_eq!(last.body, sent, "{path}");
        let row = pool
            .database
            .query("SELECT model FROM api_call_logs ORDER BY id DESC LIMIT 1");
        assert_eq!(row, [subject]);
    }
}

const QUIRKY: &str = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"sig=="}},"function":{"arguments":"{}","name":"f"},"id":"","type":"function"}]}}],"created":5,"object":"chat.completion","usage":{"completion_tokens":2,"prompt_tokens":17,"total_tokens":49}}"#;
const TOOL_EVENT: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"arguments\":\"{}\",\"name\":\"f\"},\"id\":\"\",\"type\":\"function\"}]},\"finish_reason\":\"stop\",\"index\":0}],\"created\":5,\"model\":\"m\",\"object\":\"chat.completion.chunk\",\"usage\":{\"completion_tokens\":2,\"prompt_tokens\":17,\"total_tokens\":19}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn repairs_a_plain_answer() {
    let pool = Pool::new();
    pool.script(200, "application/json", &[QUIRKY]);
    let answer = json(&pool.chat(CHAT).body);
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], serde_json::Value::Null);
    let call = &choice["message"]["tool_calls"][0];
    assert!(call["id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(
        call["extra_content"]["google"]["thought_signature"],
        "sig=="
    );
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(
        (&answer["model"], &answer["created"]),
        (&"m".into(), &5.into())
    );
    let row = "SELECT outcome, input_tokens, output_tokens, thinking_tokens FROM api_call_logs";
    assert_eq!(pool.database.query(row), ["success|17|2|30"]);
    pool.script(200, "application/json", &[QUIRKY]);
    let bearer = format!("Bearer {TOKEN}");
    let off = [
        ("authorization", bearer.as_str()),
        ("x-keypool-repair", "off"),
    ];
    assert_eq!(
        pool.call("POST", "/v1/chat/completions", &off, CHAT).body,
        QUIRKY
    );
}

#[test]
fn repairs_a_stream_event_by_event() {
    let pool = Pool::new();
    let request =
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    for body in [request, r#"{"model":"m","stream":true,"messages":[]}"#] {
        // Chunks may end anywhere within an event.
        let (first, second) = TOOL_EVENT.split_at(70);
        pool.script(200, "text/event-stream", &[first, second, TOOL_EVENT, DONE]);
        let answer = pool.chat(body);
        let events: Vec<_> = answer
            .body
            .split_terminator("\n\n")
            .map(|event| event.strip_prefix("data: ").unwrap())
            .collect();
        let (done, events) = events.split_last().unwrap();
        assert_eq!(*done, "[DONE]");
        let events: Vec<_> = events.iter().map(|event| json(event)).collect();
        let calls: Vec<_> = events[..2]
            .iter()
            .map(|event| &event["choices"][0]["delta"]["tool_calls"][0])
            .collect();
        assert_eq!(
            (&calls[0]["index"], &calls[1]["index"]),
            (&0.into(), &1.into())
        );
        assert_ne!(calls[0]["id"], calls[1]["id"]);
        assert_eq!(events[0]["id"], events[1]["id"]);
        assert_eq!(events[1]["choices"][0]["finish_reason"], "tool_calls");
        if body == request {
            assert_eq!(events.len(), 3);
            assert_eq!(events[0]["usage"], serde_json::Value::Null);
            assert_eq!(events[2]["choices"], serde_json::json!([]));
            assert_eq!(events[2]["usage"]["prompt_tokens"], 17);
        } else {
            assert_eq!(events.len(), 2);
            assert_eq!(events[0].get("usage"), None, "not requested");
        }
    }
    let row = "SELECT outcome, input_tokens, output_tokens FROM api_call_logs";
    assert_eq!(pool.database.query(row), ["success|17|2", "success|17|2"]);
}

#[test]
fn removes_the_prefix_of_a_model_name() {
    let pool = Pool::new();
    pool.script(
        200,
        "application/json",
        &[r#"{"id":"models/m","object":"model"}"#],
    );
    let bearer = format!("Bearer {TOKEN}");
    let answer = pool.call("GET", "/v1/models/m", &[("authorization", &bearer)], "");
    let model = json(&answer.body);
    assert_eq!(
        (&model["id"], model["created"].is_i64()),
        (&"m".into(), true)
    );
}

#[test]
fn turns_a_plain_answer_into_the_requested_stream() {
    let pool = Pool::new();
    let request = r#"{"model":"m","stream":true,"messages":[]}"#;
    pool.script(200, "application/json; charset=UTF-8", &[QUIRKY]);
    let answer = pool.chat(request);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let (event, done) = answer.body.split_once("\n\n").unwrap();
    assert_eq!(done, DONE);
    let chunk = json(event.strip_prefix("data: ").unwrap());
    assert_eq!(chunk["object"], "chat.completion.chunk");
    let choice = &chunk["choices"][0];
    assert_eq!(choice["delta"]["tool_calls"][0]["index"], 0);
    assert_eq!(choice["finish_reason"], "tool_calls");
    let row = "SELECT outcome, input_tokens, output_tokens FROM api_call_logs";
    assert_eq!(pool.database.query(row), ["success|17|2"]);
    // A large answer.
    let text = "x".repeat(3 * 1024 * 1024);
    pool.script(200, "application/json", &[&ANSWER.replace("Hi", &text)]);
    let large = pool.chat(request);
    assert!(large.body.contains(&text) && large.body.ends_with(DONE));
    let bearer = format!("Bearer {TOKEN}");
    let off = [
        ("authorization", bearer.as_str()),
        ("x-keypool-repair", "off"),
    ];
    pool.script(200, "application/json", &[QUIRKY]);
    let answer = pool.call("POST", "/v1/chat/completions", &off, request);
    assert_eq!(answer.body, QUIRKY, "unchanged");
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[test]
fn an_answer_that_cannot_become_a_stream_is_a_failure() {
    let request = r#"{"model":"m","stream":true,"messages":[]}"#;
    for body in [
        r#"{"choices":7}"#,
        r#"{"object":"list","data":[]}"#,
        "{}",
        "<html>",
    ] {
        let pool = Pool::with(&[("max_attempts", "1")]);
        pool.script(200, "application/json", &[body]);
        let answer = pool.chat(request);
        assert_eq!(answer.status, 502, "{body}: {}", answer.body);
        assert_eq!(
            pool.database.query("SELECT outcome FROM api_call_logs"),
            ["upstream_trouble"],
            "{body}"
        );
    }
}

const EMBED: &str =
    r#"{"input":["a","b"],"model":"gemini-embedding-001","encoding_format":"base64"}"#;

fn embed(pool: &Pool, body: &str, more: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [&[("authorization", bearer.as_str())], more].concat();
    pool.call("POST", "/v1/embeddings", &headers, body)
}

/// Google's answer with two vectors of this length.
fn embeddings(numbers: usize) -> String {
    let entry = |index| {
        let numbers = vec!["0.5"; numbers].join(",");
        format!(r#"{{"object":"embedding","embedding":[{numbers}],"index":{index}}}"#)
    };
    format!(
        r#"{{"data":[{},{}],"model":"models/gemini-embedding-001","object":"list"}}"#,
        entry(0),
        entry(1)
    )
}

#[test]
fn encodes_embeddings_of_any_size_as_base64() {
    let pool = Pool::new();
    let as_numbers = EMBED.replace("base64", "float");
    for numbers in [2, 300_000] {
        let body = embeddings(numbers);
        for request in [EMBED, &as_numbers] {
            let (first, second) = body.split_at(body.len() / 2);
            pool.script(200, "application/json", &[first, second]);
            let answer = embed(&pool, request, &[]);
            let got = json(&answer.body);
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
    pool.script(200, "application/json", &[&body]);
    let off = embed(&pool, EMBED, &[("x-keypool-repair", "off")]);
    assert_eq!(off.body, body);
}
