//! The line that each request leaves on the terminal: exactly one, when it is over.

use super::*;
use serde_json::Value;

const TEXT: (&str, &str) = ("log_format", "text");

impl Pool {
    /// The request lines so far, without the ids of their requests.
    fn request_lines(&self) -> Vec<String> {
        let lines = self.log_lines().into_iter();
        let lines = lines.filter(|line| line.contains(" token="));
        lines
            .map(|line| {
                let (id, rest) = line.split_once(' ').unwrap();
                assert_starts_with(id, "request=req_");
                rest.to_owned()
            })
            .collect()
    }
}

#[test]
fn a_whole_answer_has_a_line_with_the_id_that_the_client_sees() {
    let pool = Pool::with(&[TEXT]);
    pool.script_answer();
    let answer = pool.chat(CHAT);
    let lines = pool.log_lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let id = answer.header("x-request-id").unwrap();
    assert_starts_with(&lines[0], &format!("request={id} "));
    let expected = [
        "token=my_api_token model=m key=1 attempts=1 outcome=success status=200 ms=50 first_byte_ms=50",
    ];
    assert_eq!(pool.request_lines(), expected);
}

#[test]
fn attempts_are_counted_and_the_last_one_is_named() {
    let pool = Pool::with_keys(3, &[TEXT]);
    pool.script_error(&quota_per_minute());
    pool.script_error(&quota_per_minute());
    pool.script_answer();
    let answer = pool.chat(CHAT);
    let lines = pool.request_lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let expected = format!(
        "token=my_api_token model=m key={} attempts=3 outcome=success status=200 ",
        answer.key()
    );
    assert_starts_with(&lines[0], &expected);
}

#[test]
fn a_stream_has_its_line_after_its_end() {
    let pool = Pool::with(&[TEXT]);
    pool.script_events(&[FIRST, SECOND, DONE]);
    let mut stream = pool.chat_stream();
    let began = pool.now();
    loop {
        assert_eq!(pool.request_lines(), [""; 0], "it is not over");
        if block_on(stream.next()) == Chunk::End {
            break;
        }
    }
    pool.advance(100);
    drop(stream);
    let expected = format!(
        "token=my_api_token model=m key=1 attempts=1 outcome=success status=200 ms={} first_byte_ms={began}",
        pool.now()
    );
    assert_eq!(pool.request_lines(), [expected]);
}

#[test]
fn a_stream_that_ends_early_has_its_line_too() {
    let pool = Pool::with(&[TEXT]);
    pool.script_events(&[FIRST, SECOND, DONE]);
    let mut stream = pool.chat_stream();
    block_on(stream.next());
    block_on(stream.client_gone());
    pool.script_broken(EVENTS, &[FIRST, SECOND], failed("reset"));
    pool.chat(CHAT).assert_status(200);
    pool.script_events(&[FIRST, SECOND, DONE]);
    drop(pool.chat_stream());
    let lines = pool.request_lines();
    // The host has lost the last one, so nothing is known of its end.
    let outcomes = ["client_gone", "upstream_trouble", "-"];
    assert_eq!(lines.len(), outcomes.len(), "{lines:?}");
    for (line, outcome) in lines.iter().zip(outcomes) {
        assert_contains(line, &format!(" outcome={outcome} status=200 "));
    }
}

#[test]
fn failures_without_an_attempt_have_the_code_of_their_error() {
    let pool = Pool::with(&[TEXT, ("rate_limit_per_minute", "2")]);
    let start = |token, model, outcome, status| {
        format!(
            "token={token} model={model} key=- attempts=0 outcome={outcome} status={status} ms="
        )
    };
    let wrong = ("authorization", "Bearer wrong-token");
    pool.call("POST", COMPLETIONS, &[wrong], CHAT);
    pool.run("UPDATE api_keys SET status = 0");
    pool.chat(CHAT);
    pool.chat(CHAT);
    let expected = [
        start("-", "-", "invalid_client_token", 401),
        start("my_api_token", "m", "upstream_credentials_exhausted", 503),
        start("my_api_token", "-", "rate_limit_exceeded", 429),
    ];
    let lines = pool.request_lines();
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert_starts_with(line, &expected);
    }
}

#[test]
fn the_token_is_named_by_its_id() {
    let pool = Pool::with(&[TEXT]);
    let token = pool.admin("POST", "tokens", &serde_json::json!({"name": "n"}));
    let token = token.json()["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    pool.script_answer();
    let answer = pool.call("POST", COMPLETIONS, &[("authorization", &bearer)], CHAT);
    answer.assert_status(200);
    assert_starts_with(&pool.request_lines().concat(), "token=1 model=m ");
}

#[test]
fn health_checks_preflights_and_operators_have_no_line() {
    let pool = Pool::with(&[TEXT]);
    for path in ["/healthz", "/readyz"] {
        pool.probe(path).assert_status(200);
    }
    pool.get("/api/keys/status").assert_status(200);
    pool.get("/admin/api/v1/keys").assert_status(200);
    pool.get("/admin/api/v1/nothing").assert_status(404);
    pool.call("OPTIONS", COMPLETIONS, &[], "")
        .assert_status(204);
    pool.script_json(r#"{"models":[]}"#);
    pool.admin_text("POST", "keys/1/test", "")
        .assert_status(200);
    assert_eq!(pool.log_lines(), [""; 0]);
}

#[test]
fn a_line_has_nothing_that_a_client_made_up() {
    let pool = Pool::with(&[TEXT]);
    for model in [TOKEN, KEY, "two words", "m\\nrequest=forged"] {
        let answer = pool.chat(&CHAT.replace("\"m\"", &format!("\"{model}\"")));
        answer.assert_status(400);
    }
    pool.get("/forged%20token=x").assert_status(404);
    pool.script_json("{}");
    pool.get("/v1beta/forged%20token=x").assert_status(200);
    let lines = pool.request_lines();
    let expected = [
        "token=my_api_token model=- ",
        "token=my_api_token model=- ",
        "token=my_api_token model=- ",
        "token=my_api_token model=- ",
        "token=- model=- key=- attempts=0 outcome=unknown_path status=404 ",
        "token=my_api_token model=other ",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert_starts_with(line, expected);
    }
}

#[test]
fn lines_are_objects_with_json_and_left_out_with_none() {
    let pool = Pool::with(&[("log_format", "json")]);
    pool.script_answer();
    pool.chat(CHAT).assert_status(200);
    let lines = pool.log_lines();
    let line: Value = json(&lines.concat());
    assert_eq!(
        (&line["model"], &line["status"]),
        (&"m".into(), &200.into())
    );
    let pool = Pool::with(&[("log_format", "none")]);
    pool.serve_chats(1);
    assert_eq!(pool.log_lines(), [""; 0]);
}

#[test]
fn with_invalid_settings_requests_still_have_their_line() {
    let pool = Pool::with(&[TEXT, ("max_attempts", "many")]);
    pool.chat(CHAT).assert_status(503);
    assert_contains(
        &pool.request_lines().concat(),
        " outcome=invalid_configuration status=503 ",
    );
}
