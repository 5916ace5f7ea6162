//! Requests of APIs that Google does not serve, seen by the client and by the upstream. What is
//! translated how is tested in `wire::translate`.

use super::*;

const COMPLETION: &str = "/v1/completions";
const PROMPT: &str = r#"{"model":"m","prompt":"the prompt"}"#;
const STREAMED: &str = r#"{"model":"m","prompt":"the prompt","stream":true}"#;
const EVENT: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}],\"role\":\"model\"}}]}\r\n\r\n";
const LAST_EVENT: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"!\"}],\"role\":\"model\"},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":5,\"candidatesTokenCount\":2}}\r\n\r\n";

#[test]
fn a_translated_request_is_one_of_geminis_own_api() {
    let pool = Pool::new();
    pool.script_json(GENERATED);
    let answer = pool.post(&format!("{COMPLETION}?beta=true"), PROMPT);
    answer.assert_status(200);
    assert_eq!(answer.json()["choices"][0]["text"], "Hi");
    assert_eq!(answer.header("content-type"), Some(JSON));
    assert_eq!(answer.header("x-keypool-attempts"), Some("1"));
    let sent = pool.last_sent();
    assert_eq!(
        sent.uri,
        format!("{ORIGIN}/v1beta/models/m:generateContent")
    );
    assert_eq!(sent.headers["x-goog-api-key"], KEY);
    assert_eq!(
        json(&sent.body)["contents"][0]["parts"][0]["text"],
        "the prompt"
    );
    let columns = "model, outcome, input_tokens, output_tokens, thinking_tokens";
    assert_eq!(pool.log_rows(columns), ["m|success|5|2|7"]);
}

#[test]
fn a_stream_is_logged_before_its_end() {
    let pool = Pool::new();
    let (first, second) = EVENT.split_at(50);
    pool.script_events(&[first, second, LAST_EVENT]);
    let mut stream = pool.open(COMPLETION, BEARER, STREAMED);
    let uri = pool.last_sent().uri;
    assert_eq!(
        uri,
        format!("{ORIGIN}/v1beta/models/m:streamGenerateContent?alt=sse")
    );
    let mut received = String::new();
    loop {
        match block_on(stream.next()) {
            Chunk::Data(bytes) => {
                received += std::str::from_utf8(&bytes).unwrap();
                let is_last = received.contains("[DONE]");
                assert_eq!(pool.count("api_call_logs"), usize::from(is_last));
            }
            Chunk::Pending => {}
            Chunk::End => break,
            Chunk::Broken => panic!("broken"),
        }
    }
    assert!(received.ends_with("data: [DONE]\n\n"), "{received}");
    let texts = received.matches("\"text\":\"Hi\"").count();
    assert_eq!(texts, 1, "{received}");
}

#[test]
fn failover_happens_before_the_first_event() {
    let pool = Pool::of(2);
    pool.script_native_errors(1, &quota_per_minute());
    pool.script_events(&[EVENT, LAST_EVENT]);
    let answer = pool.post(COMPLETION, STREAMED);
    answer.assert_status(200);
    assert_eq!(answer.header("x-keypool-attempts"), Some("2"));
    assert_eq!(pool.attempts(), ["1 quota_per_minute", "2 success"]);
}

#[test]
fn a_broken_stream_ends_with_an_error() {
    let pool = Pool::new();
    let error = "data: {\"error\":{\"code\":503,\"message\":\"overloaded\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n";
    for (second, logged, code) in [
        (error, "model_overloaded", "unavailable"),
        (
            "data: {\"unknown\":\r\n\r\n",
            "upstream_trouble",
            "upstream_answer_broken",
        ),
    ] {
        pool.run("DELETE FROM api_call_logs");
        pool.script_events(&[EVENT, second]);
        let answer = pool.post(COMPLETION, STREAMED);
        assert_contains(&answer.body, "\"text\":\"Hi\"");
        assert_contains(&answer.body, &format!("\"code\":\"{code}\""));
        assert!(!answer.body.contains("[DONE]"), "{}", answer.body);
        assert_eq!(pool.log_rows("outcome"), [logged]);
    }
}

#[test]
fn a_stream_that_arrives_whole_is_streamed() {
    let pool = Pool::new();
    pool.script_json(GENERATED);
    let answer = pool.post(COMPLETION, STREAMED);
    assert_eq!(answer.header("content-type"), Some(EVENTS));
    assert!(answer.body.ends_with("data: [DONE]\n\n"), "{}", answer.body);
}

#[test]
fn an_answer_that_cannot_be_translated_is_a_failure() {
    let pool = Pool::new();
    for _ in 0..5 {
        pool.script_json("{\"models\":[]}");
    }
    let answer = pool.post(COMPLETION, PROMPT);
    answer.assert_error(502, "upstream_answer_broken");
    assert!(
        pool.log_rows("outcome")
            .iter()
            .all(|row| row == "upstream_trouble")
    );
}

#[test]
fn an_invalid_request_names_the_parameter_and_is_not_sent() {
    let pool = Pool::new();
    let answer = pool.post(COMPLETION, r#"{"model":"m","prompt":"x","n":2}"#);
    answer.assert_error(400, "invalid_request");
    assert_eq!(answer.error("param"), "n");
    answer.assert_message("send a request for each answer");
    let answer = pool.post(COMPLETION, r#"{"model":"../m","prompt":"x"}"#);
    answer.assert_error(400, "invalid_request");
    assert_eq!(answer.error("param"), "model");
    let answer = pool.call("GET", COMPLETION, &[BEARER], "");
    answer.assert_error(405, "method_not_allowed");
    assert_eq!(pool.sent(), 0);
}

#[test]
fn googles_errors_have_the_form_of_the_clients_api() {
    let pool = Pool::new();
    pool.script_native_errors(
        1,
        &errors::model_not_found("m", "v1beta", "generateContent"),
    );
    let answer = pool.post(COMPLETION, PROMPT);
    answer.assert_error(404, "not_found");
    answer.assert_message("is not found");
    answer.assert_message("with `model_aliases`");
}

#[test]
fn aliases_are_resolved_once() {
    let pool = Pool::with(&[("model_aliases", "a=b,b=c")]);
    pool.script_json(GENERATED);
    let answer = pool.post(COMPLETION, r#"{"model":"a","prompt":"x"}"#);
    assert_eq!(answer.json()["model"], "a");
    assert_eq!(
        pool.last_sent().uri,
        format!("{ORIGIN}/v1beta/models/b:generateContent")
    );
}

#[test]
fn anthropics_clients_may_send_the_token_as_a_key_of_theirs() {
    let pool = Pool::new();
    pool.script_json(GENERATED);
    let answer = pool.post_with(COMPLETION, &[("x-api-key", TOKEN)], PROMPT);
    answer.assert_status(200);
    assert!(!pool.last_sent().headers.contains_key("x-api-key"));
}

/// The headers of Anthropic's clients.
const ANTHROPIC: [(&str, &str); 2] = [("x-api-key", TOKEN), ("anthropic-version", "2023-06-01")];
const MESSAGES: &str = "/v1/messages";
const MESSAGE: &str =
    r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"the prompt"}]}"#;

#[test]
fn anthropics_clients_get_errors_of_anthropic() {
    let pool = Pool::new();
    let answer = pool.call("POST", MESSAGES, &[("x-api-key", "wrong-token")], MESSAGE);
    answer.assert_status(401);
    assert_eq!(answer.json()["error"]["type"], "authentication_error");
    assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
    let answer = pool.call("POST", MESSAGES, &ANTHROPIC, "{}");
    answer.assert_status(400);
    assert_eq!(answer.json()["type"], "error");
    let threaded = MESSAGE.replace("\"model\"", "\"thread\":{\"type\":\"create\"},\"model\"");
    let answer = pool.call("POST", MESSAGES, &ANTHROPIC, &threaded);
    assert_eq!(
        answer.json()["error"]["details"]["error_code"],
        "thread_unsupported_request"
    );
    for _ in 0..5 {
        pool.script(503, JSON, &["{}"]);
    }
    let answer = pool.call("POST", MESSAGES, &ANTHROPIC, MESSAGE);
    answer.assert_status(529);
    assert_eq!(answer.json()["error"]["type"], "overloaded_error");
}

#[test]
fn anthropics_clients_get_models_in_their_format() {
    let pool = Pool::with(&[("model_aliases", "claude-*=m")]);
    let model =
        r#"{"name":"models/m","displayName":"M","supportedGenerationMethods":["generateContent"]}"#;
    pool.script_json(&format!("{{\"models\":[{model}]}}"));
    let answer = pool.call("GET", "/v1/models?limit=1000", &ANTHROPIC, "");
    answer.assert_status(200);
    let list = answer.json();
    let ids: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["m", "claude-latest"]);
    assert_eq!(
        pool.last_sent().uri,
        format!("{ORIGIN}/v1beta/models?pageSize=1000")
    );
    pool.script_json(model);
    let answer = pool.call("GET", "/v1/models/claude-opus-4?beta=true", &ANTHROPIC, "");
    assert_eq!(answer.json()["display_name"], "M");
    assert_eq!(pool.last_sent().uri, format!("{ORIGIN}/v1beta/models/m"));
    // Other clients get theirs.
    pool.script_json(r#"{"object":"list","data":[{"id":"models/m"}]}"#);
    let answer = pool.get("/v1/models");
    assert_eq!(answer.json()["object"], "list");
}

#[test]
fn lost_thought_signatures_are_restored_or_replaced() {
    let pool = Pool::new();
    let call = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"id":"call_1","name":"f","args":{"a":1}},"thoughtSignature":"AVSo"}],"role":"model"},"finishReason":"STOP"}]}"#;
    let tools =
        r#""tools":[{"name":"f","input_schema":{"type":"object"}}],"max_tokens":9,"model":"m""#;
    pool.script_json(call);
    let first = format!(r#"{{{tools},"messages":[{{"role":"user","content":"x"}}]}}"#);
    let answer = pool.call("POST", MESSAGES, &ANTHROPIC, &first);
    let content = answer.json()["content"].clone();
    assert_eq!(content.as_array().map(Vec::len), Some(1), "{content}");
    let next = |content: &serde_json::Value| {
        format!(
            r#"{{{tools},"messages":[{{"role":"user","content":"x"}},{{"role":"assistant","content":{content}}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"call_1","content":"y"}}]}}]}}"#
        )
    };
    let signature = |pool: &Pool| {
        let sent = json(&pool.last_sent().body);
        sent["contents"][1]["parts"][0]["thoughtSignature"].clone()
    };
    pool.script_json(GENERATED);
    pool.call("POST", MESSAGES, &ANTHROPIC, &next(&content))
        .assert_status(200);
    assert_eq!(signature(&pool), "AVSo");
    // The call is unknown: the first refusal teaches that a signature is needed.
    let mut other = content;
    other[0]["input"]["a"] = 2.into();
    let missing = errors::missing_thought_signature("default_api:f", 2);
    pool.script_native_errors(1, &missing);
    pool.script_json(GENERATED);
    pool.call("POST", MESSAGES, &ANTHROPIC, &next(&other))
        .assert_status(200);
    assert_eq!(signature(&pool), "skip_thought_signature_validator");
    // Google refuses a restored signature: it is replaced, too.
    let refused = errors::corrupted_thought_signature();
    other[0]["input"]["a"] = 1.into();
    pool.script_native_errors(1, &refused);
    pool.script_json(GENERATED);
    pool.call("POST", MESSAGES, &ANTHROPIC, &next(&other))
        .assert_status(200);
    assert_eq!(signature(&pool), "skip_thought_signature_validator");
}

#[test]
fn an_answer_that_the_model_fails_to_complete_is_tried_once_more() {
    let pool = Pool::of(2);
    let malformed = r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}],"usageMetadata":{"promptTokenCount":3}}"#;
    pool.script_json(malformed);
    pool.script_json(malformed);
    let answer = pool.call("POST", MESSAGES, &ANTHROPIC, MESSAGE);
    answer.assert_status(502);
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(
        pool.log_rows("outcome, input_tokens"),
        ["empty_answer|3", "empty_answer|3"]
    );
}

#[test]
fn a_conversation_that_is_too_long_is_named_as_agents_expect() {
    let pool = Pool::new();
    let error = r#"{"error":{"code":400,"message":"The input token count (1050000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#;
    pool.script(400, JSON, &[error]);
    let responses = pool.post("/v1/responses", r#"{"model":"m","input":"the prompt"}"#);
    responses.assert_error(400, "context_length_exceeded");
    pool.script(400, JSON, &[error]);
    let answer = pool.call("POST", MESSAGES, &ANTHROPIC, MESSAGE);
    answer.assert_status(400);
    assert_eq!(
        answer.json()["error"]["message"],
        "prompt is too long: 1050000 tokens > 1048576 maximum"
    );
}
