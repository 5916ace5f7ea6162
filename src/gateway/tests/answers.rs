//! Answers and errors of the upstream: what the client gets, and what is logged.

use super::*;
use crate::gateway::attempt::NO_ANSWER;

#[test]
fn passes_and_logs_a_plain_answer() {
    let pool = Pool::new();
    pool.script(200, JSON, &[&ANSWER[..10], &ANSWER[10..]]);
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, answer.body.as_str()), (200, ANSWER));
    assert_eq!(answer.header("content-type"), Some(JSON));
    assert_eq!(answer.header("server"), None, "it is not a listed header");
    assert_starts_with(answer.header("x-request-id").unwrap(), "req_");
    assert_eq!(pool.logged(), ["1|200|NULL"]);
    assert_eq!(pool.key_state(), "1|0|1|1");
    let times = pool.log_rows("response_time_ms, called_at");
    assert_eq!(times, ["55|2027-01-15T08:00:00.000Z"]);
}

#[test]
fn replaces_the_clients_credentials_by_the_pools_key() {
    let pool = Pool::new();
    pool.script_answer();
    let bearer = format!("bearer  {TOKEN}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("cookie", "session=1"),
        ("x-goog-api-key", "clients-own"),
        ("x-forwarded-for", "10.0.0.1"),
        ("spin-client-addr", "127.0.0.1:5000"),
        ("accept-encoding", "gzip"),
        ("connection", "keep-alive"),
        ("host", "pool.example"),
        ("accept", JSON),
        ("user-agent", "OpenAI/Python 3.3.1"),
        ("x-stainless-lang", "python"),
    ];
    let answer = pool.call("POST", "/v1/chat/completions?key=leak", &headers, CHAT);
    answer.assert_status(200);
    let sent = pool.last_sent();
    assert_eq!(sent.uri, format!("{ORIGIN}/v1beta/openai/chat/completions"));
    assert_eq!(sent.body, CHAT);
    let mut names: Vec<_> = sent.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = "accept accept-encoding authorization content-type user-agent";
    assert_eq!(names.join(" "), expected);
    assert_eq!(sent.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(sent.headers["accept-encoding"], "identity");
}

#[test]
fn fills_in_the_default_model() {
    let pool = Pool::with(&[("llm_model", "house-model")]);
    pool.script_answer();
    let answer = pool.chat(r#"{"messages":[],"unknown":{"a":1}}"#);
    answer.assert_status(200);
    let sent = r#"{"model":"house-model","messages":[],"unknown":{"a":1}}"#;
    assert_eq!(pool.last_sent().body, sent);
}

#[test]
fn logs_a_stream_before_its_last_event() {
    let pool = Pool::new();
    pool.script_events(&[FIRST, SECOND, DONE]);
    let mut stream = pool.chat_stream();
    for (event, rows_before) in [(FIRST, 0), (SECOND, 0), (DONE, 1)] {
        assert_eq!(block_on(stream.next()), Chunk::Data(event.into()));
        assert_eq!(pool.logged().len(), rows_before, "{event}");
    }
    assert_eq!(block_on(stream.next()), Chunk::End);
    assert_eq!(pool.logged(), ["1|200|NULL"]);
    pool.script_events(&[FIRST, DONE]);
    assert_eq!(pool.chat(CHAT).header("content-type"), Some(EVENTS));
}

#[test]
fn reports_an_incomplete_stream_in_an_event() {
    let unfinished = "the upstream ended the stream before its closing event";
    let timed_out = TransportError::TimedOut;
    for (last, error, reason) in [
        (SECOND, None, unfinished),
        (SECOND, Some(timed_out), "the upstream took too long"),
        ("data: {\"cut", Some(failed("reset")), "reset"),
    ] {
        let pool = Pool::new();
        let content_type = "text/event-stream; charset=utf-8";
        match error {
            None => pool.script(200, content_type, &[FIRST, last]),
            Some(error) => pool.script_broken(content_type, &[FIRST, last], error),
        }
        let answer = pool.chat(CHAT);
        let (before, event) = answer.body.rsplit_once("data: ").unwrap();
        // Complete events pass, and the error is an event of its own.
        let whole = if last.ends_with('\n') { last } else { "" };
        assert_eq!(before, [FIRST, whole].concat());
        assert_contains(json(event)["error"]["message"].as_str().unwrap(), reason);
        assert!(!answer.body.contains("[DONE]"));
        let row = &pool.logged()[0];
        assert!(row.starts_with("0|200|") && row.contains(reason), "{row}");
        assert_eq!(pool.key_state(), "1|0|1|0", "not the key's fault");
    }
}

#[test]
fn a_failure_before_the_first_event_is_a_plain_error() {
    for is_reset in [false, true] {
        let pool = Pool::new();
        if is_reset {
            pool.script_broken(EVENTS, &[], failed("ConnectionTerminated"));
        } else {
            pool.script_events(&[]);
        }
        pool.chat(CHAT).assert_error(502, "upstream_answer_broken");
        assert_eq!(pool.logged().len(), 1);
    }
}

#[test]
fn a_stopping_host_ends_calls_without_a_retry() {
    const REASON: &str = "the pool's host is stopping";
    let pool = Pool::of(2);
    pool.script_reply(Err(TransportError::Stopping));
    pool.script_broken(JSON, &["{"], TransportError::Stopping);
    pool.script_broken(EVENTS, &[], TransportError::Stopping);
    for expected in ["0|NULL|", "0|200|", "0|200|"] {
        let answer = pool.chat(CHAT);
        answer.assert_error(503, "pool_stopping");
        assert_eq!(answer.header("retry-after"), Some("1"));
        let logged = pool.logged();
        assert_eq!(logged.last().unwrap(), &format!("{expected}{REASON}"));
    }
    pool.script_broken(EVENTS, &[FIRST], TransportError::Stopping);
    let answer = pool.chat(CHAT);
    let (before, error) = answer.body.rsplit_once("data: ").unwrap();
    assert_eq!(before, FIRST);
    assert_contains(error, "\"pool_stopping\"");
    assert_eq!(pool.log_rows("outcome"), ["upstream_trouble"; 4]);
}

#[test]
fn reports_an_error_within_a_stream_in_openais_format() {
    let quota = r#"{"error":{"code":429,"message":"You exceeded your current quota with AIzaFAKE-first-key-of-the-pool-00000001.","status":"RESOURCE_EXHAUSTED"}}"#;
    let pretty = quota.replace("{\"code\"", "{\n  \"code\"");
    for (event, begun) in [
        (format!("data: {quota}\n\n"), true),
        (format!("data: [{quota}]\n\n"), true),
        (format!("[{pretty}\n]\n"), true),
        (pretty.clone(), true),
        (format!("data: {quota}\n\n"), false),
        (format!("[{pretty}\n]\n"), false),
    ] {
        let pool = Pool::new();
        let before = if begun { FIRST } else { "" };
        let stream = [before, &event].concat();
        let (first, second) = stream.split_at(stream.len() / 2);
        pool.script_events(&[first, second]);
        let answer = pool.chat(CHAT);
        let error = if begun {
            answer.assert_status(200);
            let (before, last) = answer.body.split_once("\n\n").unwrap();
            assert_eq!(before, FIRST.trim_end());
            last.strip_prefix("data: ").unwrap()
        } else {
            answer.assert_status(429);
            &answer.body
        };
        let error = &json(error)["error"];
        assert_eq!(error["code"], "rate_limit_exceeded", "{event}");
        assert_eq!(error["type"], "rate_limit_error", "{event}");
        assert!(!answer.body.contains(KEY), "{event}");
        assert_eq!(pool.key_state(), "1|0|1|0", "{event}: not the key's fault");
        let logged = "0|200|RESOURCE_EXHAUSTED: You exceeded";
        assert_starts_with(&pool.logged()[0], logged);
    }
}

#[test]
fn an_unreadable_error_within_a_stream_is_still_an_error() {
    for event in [
        "data: {\"error\": 7}\n\n",
        "{\"cut",
        "[",
        "data: {\"error\"",
    ] {
        let pool = Pool::new();
        pool.script_events(&[FIRST, event]);
        let answer = pool.chat(CHAT);
        let last = answer.body.trim_end().rsplit("\n\n").next().unwrap();
        assert_starts_with(last, "data: {\"error\":{");
        assert_starts_with(&pool.logged()[0], "0|200|");
        assert_eq!(pool.key_state(), "1|0|1|0", "{event}");
    }
}

#[test]
fn ignores_a_reset_after_the_closing_event() {
    let pool = Pool::new();
    let all = [FIRST, DONE].concat();
    pool.script_broken(EVENTS, &[&all], failed("ConnectionTerminated"));
    let answer = pool.chat(CHAT);
    assert_eq!((answer.body, answer.cut), (all, false));
    assert_eq!(pool.logged(), ["1|200|NULL"]);
}

#[test]
fn decompresses_gzip_answers_and_rejects_compressed_streams() {
    let pool = Pool::new();
    let script = |content_type, encoding, body: &[u8]| {
        let headers = [
            ("content-type", content_type),
            ("content-encoding", encoding),
        ];
        pool.script_with(200, &headers, &[body]);
    };
    script(JSON, "gzip", &gzip(ANSWER));
    // Other encodings pass unchanged.
    script(JSON, "br", b"squeezed");
    for (body, encoding) in [(ANSWER, None), ("squeezed", Some("br"))] {
        let answer = pool.chat(CHAT);
        assert_eq!(answer.body, body);
        assert_eq!(answer.header("content-encoding"), encoding);
    }
    script(JSON, "gzip", &gzip(ANSWER)[..20]);
    script(EVENTS, "gzip", &gzip("data: {}"));
    for reason in [NO_ANSWER, "the upstream compressed a stream"] {
        pool.chat(CHAT).assert_error(502, "upstream_answer_broken");
        let row = pool.logged().pop().unwrap();
        assert_starts_with(&row, &format!("0|200|{reason}"));
    }
}

#[test]
fn classifies_a_stream_error_after_the_client_left() {
    let pool = Pool::new();
    let quota = "data: {\"error\":{\"code\":429,\"message\":\"You exceeded your current quota\",\"status\":\"RESOURCE_EXHAUSTED\"}}";
    pool.script_events(&[FIRST, quota]);
    let mut stream = pool.chat_stream();
    assert!(matches!(block_on(stream.next()), Chunk::Data(_)));
    let next = block_on(stream.next());
    assert_eq!(next, Chunk::Pending, "the error's line is incomplete");
    block_on(stream.client_gone());
    assert_eq!(pool.key_state(), "1|0|1|0");
    assert_starts_with(&pool.logged()[0], "0|200|RESOURCE_EXHAUSTED");
}

#[test]
fn a_complete_error_ends_a_stream_at_once() {
    for error in [
        "data: {\"error\":{\"code\":503}}\n",
        "[{\n  \"error\": {\n    \"code\": 503\n  }\n}\n]\n",
    ] {
        let pool = Pool::new();
        // The script has one more chunk, which must not be requested.
        pool.script_events(&[FIRST, error, SECOND]);
        let answer = pool.chat(CHAT);
        assert_contains(&answer.body, "{\"error\":");
        assert!(!answer.body.contains("\"b\""), "{error}: {}", answer.body);
    }
}

#[test]
fn limits_the_length_of_logged_messages() {
    let pool = Pool::new();
    let message = format!("You exceeded your current quota {}", "x".repeat(2000));
    pool.script_error(&ApiError::new(429, "RESOURCE_EXHAUSTED", message));
    pool.chat(CHAT).assert_status(429);
    assert_eq!(pool.log_rows("length(error_message)"), ["501"]);
}

#[test]
fn reads_an_endless_error_body_up_to_the_limit() {
    let pool = Pool::new();
    let chunk = "x".repeat(600_000);
    pool.script(400, JSON, &[&chunk, &chunk, &chunk, &chunk]);
    pool.chat(CHAT).assert_status(400);
    // The head takes 40 ms, and each chunk 5 ms.
    assert_eq!(pool.now(), 40 + 2 * 5);
}

#[test]
fn tells_official_clients_when_to_retry() {
    for error in [
        errors::location_unsupported(),
        errors::model_retired_for_new_users("x"),
        errors::permission_denied(),
        errors::invalid_argument(),
    ] {
        let pool = Pool::new();
        pool.script_error(&error);
        let answer = pool.chat(CHAT);
        assert_eq!(answer.headers["x-should-retry"], "false", "{error:?}");
    }
    for status in [429, 503] {
        let pool = Pool::new();
        pool.script(status, JSON, &[]);
        assert_eq!(pool.chat(CHAT).header("x-should-retry"), None);
    }
}

#[test]
fn a_malformed_error_code_is_replaced() {
    let pool = Pool::new();
    pool.script_error(&ApiError::new(400, format!("bad {TOKEN} {KEY}"), "no"));
    assert_eq!(pool.chat(CHAT).error("code"), "invalid_request");
}

#[test]
fn a_disconnected_client_is_not_a_failure() {
    let pool = Pool::new();
    pool.script_events(&[FIRST, SECOND]);
    let mut stream = pool.chat_stream();
    assert!(matches!(block_on(stream.next()), Chunk::Data(_)));
    assert_eq!(pool.host.0.bodies_dropped.get(), 0);
    block_on(stream.client_gone());
    assert_eq!(pool.host.0.bodies_dropped.get(), 1);
    let reason = "the client closed the connection before the end of the answer";
    assert_eq!(pool.logged(), [format!("1|200|{reason}")]);
    assert_eq!(pool.key_state(), "1|0|1|1");
}

#[test]
fn streams_a_large_answer_and_logs_it_before_its_last_chunk() {
    let pool = Pool::new();
    let chunk = "x".repeat(600_000);
    pool.script(200, JSON, &[&chunk, &chunk, "middle", "last"]);
    let mut stream = pool.chat_stream();
    let mut chunks = Vec::new();
    while let Chunk::Data(bytes) = block_on(stream.next()) {
        chunks.push((bytes.len(), pool.logged().len()));
    }
    assert_eq!(chunks, [(1_200_000, 0), (6, 0), (4, 1)]);
}

#[test]
fn an_incomplete_answer_never_passes_as_complete() {
    let pool = Pool::new();
    pool.script_broken(JSON, &["{\"choices\":"], failed("ConnectionTerminated"));
    pool.chat(CHAT).assert_status(502);
    let large = "x".repeat(2_000_000);
    pool.script_broken(JSON, &[&large], TransportError::TimedOut);
    let answer = pool.chat(CHAT);
    assert!(answer.status == 200 && answer.cut, "the connection is cut");
    assert_eq!(pool.log_rows("success"), ["0", "0"]);
}

#[test]
fn a_large_answer_with_incomplete_json_cuts_the_connection() {
    let large = [
        r#"{"choices":[{"message":{"content":""#,
        &"x".repeat(2_000_000),
    ]
    .concat();
    for (rest, is_cut) in [
        (&[r#""}}]}"#][..], false),
        (&[r#""}}]}"#, "\n", " \n"], false),
        (&[r#""}}]"#], true),
        (&["x"], true),
        (&["}", "x"], true),
    ] {
        let pool = Pool::new();
        for path in [COMPLETIONS, GENERATE] {
            pool.script(200, JSON, &[&[large.as_str()], rest].concat());
            let answer = pool.post(path, CHAT);
            assert_eq!(answer.status, 200, "{path} {rest:?}");
            assert_eq!(answer.cut, is_cut, "{path} {rest:?}");
            let row = pool.logged().pop().unwrap();
            assert_eq!(row.starts_with("0|200"), is_cut, "{path} {rest:?}: {row}");
        }
    }
}

#[test]
fn translates_upstream_errors_and_blames_the_right_party() {
    let missing = "models/x is not found for API version v1main";
    let errors = [
        (errors::key_invalid(), 503, "upstream_credentials_exhausted"),
        (quota_per_minute(), 429, "rate_limit_exceeded"),
        (errors::invalid_argument(), 400, "invalid_argument"),
        (ApiError::new(404, "NOT_FOUND", missing), 404, "not_found"),
        (errors::overloaded(), 503, "unavailable"),
    ];
    let errors =
        errors.map(|(error, answered, code)| (error.code(), error.pretty_array(), answered, code));
    let others = [
        (413, String::new(), 413, "invalid_request"),
        (
            502,
            "<html>Bad Gateway</html>".into(),
            502,
            "upstream_error",
        ),
        (500, String::new(), 500, "upstream_error"),
    ];
    for (status, body, answered, code) in errors.into_iter().chain(others) {
        let pool = Pool::new();
        pool.script(status, JSON, &[&body]);
        pool.chat(CHAT).assert_error(answered, code);
        let is_disabled = code == "upstream_credentials_exhausted";
        let key = if is_disabled { "0|1|1|0" } else { "1|0|1|0" };
        assert_eq!(pool.key_state(), key, "{status} {body}");
        assert_starts_with(&pool.logged()[0], &format!("0|{status}|"));
    }
}

#[test]
fn transport_errors_do_not_count_against_the_key() {
    for (error, status) in [
        (TransportError::TimedOut, 504),
        (failed("ConnectionRefused"), 502),
        (TransportError::Denied, 502),
    ] {
        let pool = Pool::new();
        pool.script_reply(Err(error.clone()));
        pool.chat(CHAT).assert_status(status);
        assert_eq!(pool.key_state(), "1|0|1|0");
        assert_eq!(pool.logged(), [format!("0|NULL|{error}")]);
    }
}

#[test]
fn answers_rows_and_log_lines_contain_no_secret() {
    let pool = Pool::new();
    let echo =
        format!("Permission denied: Consumer 'api_key:{KEY}' and {TOKEN} has been suspended");
    pool.script_error(&ApiError::new(403, "PERMISSION_DENIED", echo));
    let answer = pool.chat(CHAT);
    let rows = pool.logged().concat();
    let lines = pool.log_lines().concat();
    for text in [&answer.body, &rows, &lines] {
        assert!(!text.contains(KEY) && !text.contains(TOKEN), "{text}");
        assert!(!text.contains("the prompt"), "{text}");
    }
    for text in [&rows, &lines] {
        assert_contains(text, "has been suspended");
    }
}
