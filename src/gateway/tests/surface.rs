//! The two APIs: paths, credentials, and the formats of answers and errors.

use super::*;
use fake_gemini::errors;

const GENERATE: &str = "/v1beta/models/m:generateContent";
const STREAM: &str = "/v1beta/models/m:streamGenerateContent?alt=sse";
const CONTENTS: &str = r#"{"contents":[{"parts":[{"text":"the prompt"}]}]}"#;
const UNFINISHED: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5}}"#;
const FINISHED: &str = r#"{"candidates":[{"content":{"parts":[{"text":"!"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2,"thoughtsTokenCount":7,"totalTokenCount":14}}"#;
const EMPTY: &str = r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5}}"#;

impl Pool {
    fn last_sent(&self) -> (String, String, String) {
        let sent = self.host.0.sent.borrow();
        let last = sent.last().unwrap();
        let uri = last
            .uri
            .strip_prefix("https://generativelanguage.googleapis.com")
            .unwrap();
        (last.method.to_string(), uri.to_owned(), last.body.clone())
    }

    /// Checks the credential and the logged subject of the latest call.
    fn assert_logged_with(&self, name: &str, credential: &str, other: &str, subject: &str) {
        let sent = self.host.0.sent.borrow();
        let last = sent.last().unwrap();
        assert_eq!(last.headers[name], credential);
        assert!(!last.headers.contains_key(other));
        let row = self.rows().pop().unwrap();
        let begins = format!("{subject}|success|");
        assert!(row.starts_with(&begins), "{}: {row}", last.uri);
    }

    fn rows(&self) -> Vec<String> {
        self.database.query(
            "SELECT model, outcome, input_tokens, output_tokens, thinking_tokens FROM api_call_logs ORDER BY id",
        )
    }
}

fn event(json: &str) -> String {
    format!("data: {json}\r\n\r\n")
}

#[test]
fn routes_every_path_with_one_credential() {
    let pool = Pool::new();
    for (method, path, upstream, subject) in [
        ("POST", GENERATE, GENERATE, "m"),
        (
            "POST",
            "/v1/models/m:generateContent",
            "/v1/models/m:generateContent",
            "m",
        ),
        (
            "POST",
            "/v1alpha/tunedModels/t:generateContent",
            "/v1alpha/tunedModels/t:generateContent",
            "tunedModels/t",
        ),
        (
            "POST",
            "/v1beta/models/m:countTokens",
            "/v1beta/models/m:countTokens",
            "m:countTokens",
        ),
        (
            "POST",
            "/v1beta/models/e:embedContent?x=1",
            "/v1beta/models/e:embedContent?x=1",
            "e",
        ),
        (
            "GET",
            "/v1beta/files?pageSize=5&key=fake-client-token-0001",
            "/v1beta/files?pageSize=5",
            "files",
        ),
        (
            "GET",
            "/v1/files?key=fake-client-token-0001",
            "/v1/files",
            "files",
        ),
        (
            "POST",
            "/upload/v1beta/files",
            "/upload/v1beta/files",
            "files",
        ),
        (
            "PATCH",
            "/v1beta/cachedContents/c?updateMask=ttl",
            "/v1beta/cachedContents/c?updateMask=ttl",
            "cachedContents",
        ),
        ("DELETE", "/v1beta/files/f", "/v1beta/files/f", "files"),
        (
            "GET",
            "/v1beta/operations/o",
            "/v1beta/operations/o",
            "operations",
        ),
    ] {
        pool.script(
            200,
            "application/json",
            &["{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}]}"],
        );
        let body = if method == "POST" { CONTENTS } else { "" };
        let answer = pool.call_gemini(method, path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_eq!(
            pool.last_sent(),
            (method.to_owned(), upstream.to_owned(), body.to_owned())
        );
        pool.assert_logged_with("x-goog-api-key", KEY, "authorization", subject);
    }
    for (method, path, upstream, body, subject) in [
        (
            "POST",
            "/v1/embeddings",
            "/v1beta/openai/embeddings",
            r#"{"model":"models/e","input":"x"}"#,
            "e",
        ),
        (
            "POST",
            "/v1beta/openai/images/generations",
            "/v1beta/openai/images/generations",
            r#"{"model":"i"}"#,
            "i",
        ),
        ("GET", "/v1/models", "/v1beta/openai/models", "", "models"),
        (
            "GET",
            "/v1/models/m",
            "/v1beta/openai/models/m",
            "",
            "models",
        ),
        (
            "GET",
            "/v1/batches?limit=2",
            "/v1beta/openai/batches?limit=2",
            "",
            "batches",
        ),
    ] {
        pool.script(200, "application/json", &["{}"]);
        let bearer = format!("Bearer {TOKEN}");
        let answer = pool.call(method, path, &[("authorization", &bearer)], body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_eq!(
            pool.last_sent(),
            (method.to_owned(), upstream.to_owned(), body.to_owned())
        );
        pool.assert_logged_with(
            "authorization",
            &format!("Bearer {KEY}"),
            "x-goog-api-key",
            subject,
        );
    }
}

#[test]
fn accepts_the_token_wherever_clients_put_it() {
    let bearer = format!("Bearer {TOKEN}");
    let query = format!("{GENERATE}?key={TOKEN}");
    for (path, headers) in [
        (GENERATE, vec![("authorization", bearer.as_str())]),
        (GENERATE, vec![("x-goog-api-key", TOKEN)]),
        (&query, vec![]),
        (
            GENERATE,
            vec![("authorization", "Bearer other"), ("x-goog-api-key", TOKEN)],
        ),
    ] {
        let pool = Pool::new();
        pool.script(200, "application/json", &[FINISHED]);
        assert_eq!(pool.call("POST", path, &headers, CONTENTS).status, 200);
    }
    let pool = Pool::new();
    for (path, headers, code) in [
        (GENERATE, vec![], "MISSING_CLIENT_TOKEN"),
        (
            GENERATE,
            vec![("x-goog-api-key", KEY)],
            "INVALID_CLIENT_TOKEN",
        ),
        (
            "/v1beta/models/m:generateContent?key=x",
            vec![],
            "INVALID_CLIENT_TOKEN",
        ),
    ] {
        let answer = pool.call("POST", path, &headers, CONTENTS);
        assert_eq!(answer.status, 401);
        assert!(
            answer.body.contains(code) && answer.body.contains("\"UNAUTHENTICATED\""),
            "{}",
            answer.body
        );
    }
    let operators = pool.call("GET", "/api/keys/status", &[("x-goog-api-key", TOKEN)], "");
    assert_eq!(
        operators.status, 401,
        "operators' paths accept only the bearer token"
    );
    assert_eq!(pool.sent(), 0);
}

#[test]
fn logs_the_tokens_of_an_answer_in_googles_format() {
    let pool = Pool::new();
    pool.script(200, "application/json; charset=UTF-8", &[FINISHED]);
    let answer = pool.call_gemini("POST", GENERATE, CONTENTS);
    assert_eq!((answer.status, answer.body.as_str()), (200, FINISHED));
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=UTF-8")
    );
    assert_eq!(pool.rows(), ["m|success|5|2|7"]);
}

#[test]
fn retries_an_empty_answer_in_googles_format_once() {
    for (path, kind, first, second) in [
        (
            GENERATE,
            "application/json",
            EMPTY.to_owned(),
            FINISHED.to_owned(),
        ),
        (STREAM, "text/event-stream", event(EMPTY), event(FINISHED)),
    ] {
        let pool = Pool::new();
        pool.database
            .run("INSERT INTO api_keys (id, api_key) VALUES (2, 'AIzaFAKE-second')");
        pool.script(200, kind, &[&first]);
        pool.script(200, kind, &[&second]);
        let answer = pool.call_gemini("POST", path, CONTENTS);
        assert_eq!((answer.status, answer.body), (200, second), "{path}");
        assert_eq!(pool.rows(), ["m|empty_answer|5|0|0", "m|success|5|2|7"]);
    }
}

#[test]
fn logs_a_stream_in_googles_format_before_its_last_event() {
    let pool = Pool::new();
    let (first, last) = (event(UNFINISHED), event(FINISHED));
    pool.script(200, "text/event-stream", &[&first, &last]);
    let reply = pool.reply("POST", STREAM, &[("x-goog-api-key", TOKEN)], CONTENTS);
    let Body::Stream(mut stream) = reply.body else {
        panic!("a stream")
    };
    assert_eq!(block_on(stream.next()), Chunk::Data(first.into_bytes()));
    assert!(pool.rows().is_empty());
    assert_eq!(
        block_on(stream.next()),
        Chunk::Pending,
        "it may be the last event"
    );
    assert_eq!(block_on(stream.next()), Chunk::Data(last.into_bytes()));
    assert_eq!(pool.rows(), ["m|success|5|2|7"]);
    assert_eq!(block_on(stream.next()), Chunk::End);
}

#[test]
fn reports_a_failure_within_googles_stream_in_an_event() {
    let first = event(UNFINISHED);
    let error = errors::overloaded().pretty();
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (vec![&first, &error], "model_overloaded"),
        (vec![&first], "upstream_trouble"),
        (vec![&first, "data: {\"cand"], "upstream_trouble"),
    ];
    for (chunks, outcome) in cases {
        let pool = Pool::new();
        pool.script(200, "text/event-stream", &chunks);
        let answer = pool.call_gemini("POST", STREAM, CONTENTS);
        let rest = answer.body.strip_prefix(&first).unwrap();
        let rest = rest
            .strip_prefix("data: ")
            .unwrap_or_else(|| panic!("{rest}"));
        assert!(rest.ends_with("\n\n"));
        let reported: serde_json::Value = serde_json::from_str(rest).unwrap();
        assert!(reported["error"]["code"].as_u64().unwrap() >= 500, "{rest}");
        let row = pool.rows().concat();
        assert!(row.starts_with(&format!("m|{outcome}|")), "{row}");
    }
    let pool = Pool::new();
    pool.database
        .run("INSERT INTO api_keys (id, api_key) VALUES (2, 'AIzaFAKE-second')");
    pool.script(200, "text/event-stream", &[&error]);
    pool.script(200, "text/event-stream", &[&event(FINISHED)]);
    let answer = pool.call_gemini("POST", STREAM, CONTENTS);
    assert_eq!(
        answer.body,
        event(FINISHED),
        "before the first content, another key answers"
    );
}

#[test]
fn streams_an_array_and_appends_its_error() {
    let path = "/v1beta/models/m:streamGenerateContent";
    let pool = Pool::new();
    let chunks = [
        format!("[{UNFINISHED}"),
        format!(",\r\n{FINISHED}"),
        "]\n".to_owned(),
    ];
    let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
    pool.script(200, "application/json; charset=UTF-8", &chunks);
    let reply = pool.reply("POST", path, &[("x-goog-api-key", TOKEN)], CONTENTS);
    let Body::Stream(mut stream) = reply.body else {
        panic!("a stream")
    };
    assert_eq!(
        block_on(stream.next()),
        Chunk::Data(chunks[0].into()),
        "before the next element arrives"
    );
    let mut rest = Vec::new();
    while let Chunk::Data(more) = block_on(stream.next()) {
        rest.extend(more);
    }
    assert_eq!(String::from_utf8(rest).unwrap(), chunks[1..].concat());
    assert_eq!(pool.rows(), ["m|success|5|2|7"]);

    let pool = Pool::new();
    let error = format!(",\r\n{}]\n", errors::overloaded().pretty());
    pool.script(200, "application/json", &[chunks[0], &error]);
    let answer = pool.call_gemini("POST", path, CONTENTS);
    let all: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(all[1]["error"]["code"], 503, "{}", answer.body);
    assert_eq!(pool.rows(), ["m|model_overloaded|NULL|NULL|NULL"]);
}

#[test]
fn errors_have_the_format_of_the_requested_api() {
    let pool = Pool::new();
    let refused = errors::invalid_argument();
    pool.script(400, "application/json; charset=UTF-8", &[&refused.pretty()]);
    let answer = pool.call_gemini("POST", GENERATE, CONTENTS);
    assert_eq!(
        (answer.status, answer.body),
        (400, refused.pretty()),
        "an error of the caller passes unchanged"
    );
    pool.script(
        401,
        "application/json",
        &[&errors::unauthenticated("Generate").pretty()],
    );
    let answer = pool.call_gemini("POST", GENERATE, CONTENTS);
    assert_eq!(answer.status, 503);
    let reported: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(reported["error"]["status"], "UNAVAILABLE");
    assert_eq!(
        reported["error"]["details"][0]["reason"],
        "UPSTREAM_CREDENTIALS_EXHAUSTED"
    );
    assert!(
        !answer.body.contains("OAuth"),
        "errors about the pool's keys do not pass"
    );

    let pool = Pool::new();
    pool.script(404, "text/html", &[]);
    let bearer = format!("Bearer {TOKEN}");
    let answer = pool.call(
        "POST",
        "/v1/what/comes/next",
        &[("authorization", &bearer)],
        "{}",
    );
    assert_eq!(
        (answer.status, answer.error("type").as_str()),
        (404, "invalid_request_error")
    );
}

#[test]
fn reports_the_wait_in_googles_format() {
    let pool = Pool::new();
    let over = errors::quota_per_minute("m", 5, std::time::Duration::from_secs(20));
    pool.script(429, "application/json", &[&over.pretty()]);
    let answer = pool.call_gemini("POST", GENERATE, CONTENTS);
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").is_some());
    let reported: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(reported["error"]["status"], "RESOURCE_EXHAUSTED");
    assert!(
        reported["error"]["details"][1]["retryDelay"]
            .as_str()
            .unwrap()
            .ends_with('s')
    );
    // The quota applies to the model's answers, not to counting tokens.
    pool.script(200, "application/json", &[r#"{"totalTokens":5}"#]);
    assert_eq!(
        pool.call_gemini("POST", "/v1beta/models/m:countTokens", CONTENTS)
            .status,
        200
    );
}

#[test]
fn does_not_retry_calls_with_side_effects() {
    for (path, calls) in [(GENERATE, 2), ("/v1beta/models/m:batchGenerateContent", 1)] {
        let pool = Pool::new();
        pool.database
            .run("INSERT INTO api_keys (id, api_key) VALUES (2, 'AIzaFAKE-second')");
        pool.script_reply(Err(TransportError::TimedOut));
        pool.script(200, "application/json", &[FINISHED]);
        pool.call_gemini("POST", path, CONTENTS);
        assert_eq!(pool.sent(), calls, "{path}");
    }
}

#[test]
fn caches_the_union_of_the_projects_model_lists() {
    let pool = Pool::with(&[("model_aliases", "gpt-4o=a")]);
    pool.database.run(
        "UPDATE api_keys SET project = 'projects/1';
         INSERT INTO api_keys (id, api_key, project) VALUES (2, 'AIzaFAKE-2', 'projects/1'), (3, 'AIzaFAKE-3', 'projects/3');
         INSERT INTO api_keys (id, api_key, status) VALUES (4, 'AIzaFAKE-4', 0)",
    );
    let bearer = format!("Bearer {TOKEN}");
    let openai = || pool.call("GET", "/v1/models", &[("authorization", &bearer)], "");
    let ids = |answer: &Answer, list: &str, id: &str| -> Vec<String> {
        let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let entries = json[list].as_array().unwrap();
        entries
            .iter()
            .map(|entry| entry[id].as_str().unwrap().to_owned())
            .collect()
    };
    let list = |models: &[&str]| {
        let entries: Vec<String> = models
            .iter()
            .map(|model| format!(r#"{{"id":"{model}","object":"model"}}"#))
            .collect();
        format!(r#"{{"object":"list","data":[{}]}}"#, entries.join(","))
    };
    pool.script(200, "application/json", &[&list(&["models/a", "models/b"])]);
    pool.script(200, "application/json", &[&list(&["models/b", "models/c"])]);
    for _ in 0..3 {
        let answer = openai();
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut found = ids(&answer, "data", "id");
        found.sort();
        assert_eq!(found, ["a", "b", "c", "gpt-4o"]);
        assert_eq!(pool.sent(), 2, "one call per project");
        pool.advance(60_000);
    }
    pool.advance(120_000);
    pool.script(
        429,
        "application/json",
        &[&errors::resource_exhausted().pretty_array()],
    );
    pool.script(200, "application/json", &[&list(&["models/d"])]);
    let projects = pool.host.0.replies.borrow().len();
    let answer = openai();
    assert_eq!(ids(&answer, "data", "id"), ["d", "gpt-4o"], "{projects}");

    let native = |names: &[&str]| {
        let entries: Vec<String> = names
            .iter()
            .map(|name| format!(r#"{{"name":"models/{name}"}}"#))
            .collect();
        format!(
            r#"{{"models":[{}],"nextPageToken":"x"}}"#,
            entries.join(",")
        )
    };
    pool.database.run("DELETE FROM cool_downs");
    pool.advance(500);
    pool.script(200, "application/json", &[&native(&["a", "b"])]);
    pool.script(200, "application/json", &[&native(&["c"])]);
    let first = pool.call_gemini("GET", "/v1beta/models?pageSize=3", "");
    assert_eq!(ids(&first, "models", "name").len(), 3, "{}", first.body);
    assert_eq!(pool.last_sent().1, "/v1beta/models?pageSize=1000");
    let rest = pool.call_gemini("GET", "/v1beta/models?pageSize=3&pageToken=keypool-3", "");
    assert_eq!(ids(&rest, "models", "name"), ["models/gpt-4o"]);
    assert!(!rest.body.contains("nextPageToken"));
    let foreign = pool.call_gemini("GET", "/v1beta/models?pageToken=x", "");
    assert_eq!(foreign.status, 400);
}

#[test]
fn reports_the_failure_if_no_project_lists_models() {
    let pool = Pool::new();
    pool.script(
        401,
        "application/json",
        &[&errors::unauthenticated("List").pretty()],
    );
    let answer = pool.call_gemini("GET", "/v1beta/models", "");
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.header("x-keypool-attempts"), Some("1"));
    let view = "SELECT count(*) FROM model_lists";
    assert_eq!(pool.database.query(view), ["0"]);
}

#[test]
fn an_array_fails_over_early_and_always_ends_as_valid_json() {
    let path = "/v1beta/models/m:streamGenerateContent";
    let (open, half) = (
        format!("[{UNFINISHED}"),
        format!("[{UNFINISHED},\r\n{{\"candidates\":"),
    );
    let error = errors::overloaded().pretty();
    let first = [format!("[{error}]\n"), "[".to_owned(), format!("[{EMPTY}]")];
    for broken in first {
        let pool = Pool::new();
        pool.database
            .run("INSERT INTO api_keys (id, api_key) VALUES (2, 'AIzaFAKE-second')");
        pool.script(200, "application/json", &[&broken]);
        pool.script(200, "application/json", &[&format!("[{FINISHED}]")]);
        let answer = pool.call_gemini("POST", path, CONTENTS);
        assert_eq!(answer.body, format!("[{FINISHED}]"), "{broken}");
        assert_eq!(pool.sent(), 2);
    }
    for text in [&open, &half] {
        let pool = Pool::new();
        let chunks = vec![
            Ok(text.clone().into_bytes()),
            Err(TransportError::Failed("reset".into())),
        ];
        pool.script_chunks(200, "application/json", chunks);
        let answer = pool.call_gemini("POST", path, CONTENTS);
        let all: Vec<serde_json::Value> = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(all.len(), 2, "{}", answer.body);
        assert_eq!(all[1]["error"]["code"], 502);
    }
    // An error in the same chunk as an element.
    let pool = Pool::new();
    pool.script(
        200,
        "application/json",
        &[&format!("{open},\r\n{error}]\n")],
    );
    let answer = pool.call_gemini("POST", path, CONTENTS);
    let all: Vec<serde_json::Value> = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(all[1]["error"]["code"], 503, "{}", answer.body);
    assert!(pool.rows()[0].starts_with("m|model_overloaded|"));
}

#[test]
fn a_finished_answer_survives_a_broken_connection() {
    let pool = Pool::new();
    let all = [event(UNFINISHED), event(FINISHED)].concat();
    let chunks = vec![
        Ok(all.clone().into_bytes()),
        Err(TransportError::Failed("reset".into())),
    ];
    pool.script_chunks(200, "text/event-stream", chunks);
    let answer = pool.call_gemini("POST", STREAM, CONTENTS);
    assert_eq!(answer.body, all);
    assert_eq!(pool.rows(), ["m|success|5|2|7"]);
}

#[test]
fn caches_a_model_list_per_api_version() {
    let pool = Pool::new();
    for (path, name) in [("/v1/models", "old"), ("/v1beta/models", "new")] {
        pool.script(
            200,
            "application/json",
            &[&format!(r#"{{"models":[{{"name":"models/{name}"}}]}}"#)],
        );
        let answer = pool.call_gemini("GET", path, "");
        assert!(answer.body.contains(name), "{path}: {}", answer.body);
    }
}

#[test]
fn only_streamed_answers_may_pause() {
    let openai = |more: &str| format!(r#"{{"model":"m","messages":[]{more}}}"#);
    let chat = "/v1/chat/completions";
    for (path, body, may_pause) in [
        (chat, openai(""), false),
        (chat, openai(r#","stream":false"#), false),
        (chat, openai(r#","stream":null"#), false),
        (chat, openai(r#","stream":true"#), true),
        // Left to the upstream to interpret.
        (chat, openai(r#","stream":"true""#), true),
        (chat, openai(r#","stream":false,"stream":true"#), true),
        ("/v1beta/models/m:generateContent", "{}".into(), false),
        ("/v1beta/models/m:streamGenerateContent", "{}".into(), true),
        ("/v1beta/interactions", r#"{"model":"m"}"#.into(), true),
    ] {
        let pool = Pool::with(&[("first_byte_timeout", "7")]);
        pool.script_answer();
        let bearer = format!("Bearer {TOKEN}");
        pool.call("POST", path, &[("authorization", &bearer)], &body);
        let timeouts = pool.host.0.sent.borrow()[0].timeouts;
        let is_stream = may_pause && path != "/v1beta/interactions";
        let head_ms = if is_stream { 7_000 } else { 600_000 };
        assert_eq!(timeouts.head_ms, head_ms, "{path} {body}");
        let idle_ms = (!may_pause).then_some(7_000);
        assert_eq!(timeouts.idle_ms, idle_ms, "{path} {body}");
    }
}

#[test]
fn concurrent_callers_share_one_fetch_of_the_models() {
    let pool = Pool::new();
    pool.database.answer_at_the_second_poll();
    let bearer = format!("Bearer {TOKEN}");
    let ask = |count: usize| {
        let asking = (0..count).map(|_| async {
            let request = Request::builder()
                .uri("/v1/models")
                .header("authorization", &bearer);
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let body = ScriptedBody {
                chunks: VecDeque::new(),
                idle_ms: None,
                world: Rc::default(),
            };
            let reply = pool.gateway.handle(parts, body).await;
            let Body::Whole(body) = reply.body else {
                panic!("a list");
            };
            (reply.status.as_u16(), String::from_utf8(body).unwrap())
        });
        let answers = block_on(futures::future::join_all(asking));
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        (pool.sent(), answers[0].clone())
    };
    // A failure is shared, too, and the next caller fetches again.
    let refused = fake_gemini::errors::invalid_argument().pretty_array();
    pool.script(400, "application/json", &[&refused]);
    let (sent, (status, _)) = ask(20);
    assert_eq!((sent, status), (1, 400));
    pool.script(
        200,
        "application/json",
        &[r#"{"object":"list","data":[{"id":"models/a"}]}"#],
    );
    let (sent, (status, body)) = ask(20);
    assert_eq!((sent, status), (2, 200));
    assert!(body.contains(r#""id":"a""#), "{body}");
    assert_eq!(ask(20).0, 2, "the list is cached");
    // The list has expired, and the database cannot store the next one.
    pool.advance(5 * 60_000);
    pool.database
        .fail("INTO model_lists", "disk I/O error", usize::MAX);
    pool.script(
        200,
        "application/json",
        &[r#"{"object":"list","data":[{"id":"models/b"}]}"#],
    );
    let (sent, (_, body)) = ask(20);
    assert_eq!(sent, 3);
    assert!(body.contains(r#""id":"b""#), "{body}");
}

#[test]
fn an_unknown_path_is_answered_with_advice() {
    let pool = Pool::new();
    let bearer = format!("Bearer {TOKEN}");
    let authorized = [("authorization", bearer.as_str())];
    for (path, advice) in [
        ("/v1/responses", "Set the client to chat completions"),
        ("/v1/completions", "is_chat_model=True"),
        ("/v1/audio/speech", "does not offer speech"),
        ("/v1/messages?beta=true", "Anthropic"),
        ("/api/tags", "Ollama"),
        ("/v2/models", "base URL"),
    ] {
        let answer = pool.call("POST", path, &authorized, CHAT);
        let code = answer.error("code");
        assert_eq!((answer.status, code.as_str()), (404, "unknown_path"));
        let message = answer.error("message");
        assert!(message.contains(advice), "{path}: {message}");
    }
    assert_eq!((pool.sent(), pool.logged().len()), (0, 0));
}

#[test]
fn answers_preflights_on_any_path() {
    let pool = Pool::with(&[("allowed_origins", "https://app.example")]);
    for path in ["/v1/chat/completions", "/v1/responses", "/chat", "/"] {
        let asks = [
            ("origin", "https://app.example"),
            ("access-control-request-method", "POST"),
        ];
        let answer = pool.call("OPTIONS", path, &asks, "");
        assert_eq!(answer.status, 204, "{path}");
        let allowed = answer.header("access-control-allow-methods").unwrap();
        assert!(allowed.contains("POST"), "{path}: {allowed}");
    }
}

#[test]
fn accepts_variants_of_the_base_url() {
    const NATIVE: &str =
        r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP","index":0}]}"#;
    let pool = Pool::new();
    let bearer = format!("Bearer {TOKEN}");
    for (path, credential, upstream) in [
        (
            "/chat/completions",
            "authorization",
            "/v1beta/openai/chat/completions",
        ),
        (
            "/v1//chat/completions/",
            "authorization",
            "/v1beta/openai/chat/completions",
        ),
        (
            "/models/m:generateContent",
            "x-goog-api-key",
            "/v1beta/models/m:generateContent",
        ),
        (
            "/v1beta/v1/models/m:generateContent",
            "x-goog-api-key",
            "/v1/models/m:generateContent",
        ),
        ("/v1/interactions", "x-goog-api-key", "/v1/interactions"),
        ("/v1/agents", "x-goog-api-key", "/v1/agents"),
        ("/v1/agents", "authorization", "/v1beta/openai/agents"),
    ] {
        let generates = path.ends_with(":generateContent");
        let answer = if generates { NATIVE } else { ANSWER };
        pool.script(200, "application/json", &[answer]);
        let token = if credential == "authorization" {
            &bearer
        } else {
            TOKEN
        };
        assert_eq!(
            pool.call("POST", path, &[(credential, token)], CHAT).status,
            200,
            "{path}"
        );
        let sent = pool.host.0.sent.borrow();
        assert!(sent.last().unwrap().uri.ends_with(upstream), "{path}");
    }
}

#[test]
fn a_refused_upload_part_ends_the_upload() {
    let path = "/upload/v1beta/files?upload_id=U1&upload_protocol=resumable";
    for (command, token, status, is_final) in [
        ("upload, finalize", "wrong", 401, true),
        ("start", "wrong", 401, false),
        ("upload", TOKEN, 400, true),
        ("upload", TOKEN, 429, false),
        ("upload", TOKEN, 500, false),
    ] {
        let pool = Pool::new();
        if token == TOKEN {
            for _ in 0..3 {
                pool.script(status, "text/plain", &["no"]);
            }
        }
        let headers = [
            ("x-goog-api-key", token),
            ("x-goog-upload-command", command),
        ];
        let answer = pool.call("POST", path, &headers, "part");
        let ended = answer.header("x-goog-upload-status");
        assert_eq!(
            ended,
            is_final.then_some("final"),
            "{command} {status}: {}",
            answer.status
        );
    }
}

const INTERACTION: &str = r#"{"model":"m","input":"x","stream":true}"#;
const CREATED: &str = "event: interaction.created\ndata: {\"interaction\":{\"id\":\"v1_fake\"},\"event_type\":\"interaction.created\"}\n\n";
const DELTA: &str =
    "event: step.delta\nid: 2\ndata: {\"index\":0,\"event_type\":\"step.delta\"}\n\n";

fn interaction(pool: &Pool) -> PoolReply {
    let credential = [("x-goog-api-key", TOKEN)];
    pool.reply("POST", "/v1beta/interactions", &credential, INTERACTION)
}

#[test]
fn streams_any_endpoint_event_by_event() {
    const DONE: &str = "event: done\ndata: [DONE]\n\n";
    for (events, rows) in [(vec![CREATED, DELTA, DONE], 1), (vec![CREATED, DELTA], 0)] {
        let pool = Pool::new();
        pool.script(200, "text/event-stream", &events);
        let Body::Stream(mut stream) = interaction(&pool).body else {
            panic!("a stream")
        };
        for event in &events {
            assert_eq!(pool.logged(), [""; 0]);
            let next = Chunk::Data(event.as_bytes().to_vec());
            assert_eq!(block_on(stream.next()), next, "at once and unchanged");
        }
        assert_eq!(pool.logged().len(), rows, "before the closing event");
        while block_on(stream.next()) != Chunk::End {}
        assert_eq!(pool.logged(), ["1|200|NULL"]);
    }
}

#[test]
fn reports_a_stream_error_of_any_endpoint() {
    const QUOTA: &str = "Resource has been exhausted (e.g. check quota).";
    let bare = format!(
        "{{\"error\":{{\"code\":429,\"message\":\"{QUOTA}\",\"status\":\"RESOURCE_EXHAUSTED\"}}}}\n"
    );
    let typed = format!(
        "event: error\ndata: {{\"event_type\":\"error\",\"error\":{{\"code\":\"rate_limit_exceeded\",\"message\":\"{QUOTA}\"}}}}\n\n"
    );
    let blocked = typed.replace("rate_limit_exceeded", "prohibited_content");
    for (error, code) in [
        (&bare, "rate_limit_exceeded"),
        (&typed, "rate_limit_exceeded"),
        (&blocked, "prohibited_content"),
    ] {
        let pool = Pool::new();
        pool.script(200, "text/event-stream", &[CREATED, DELTA, error]);
        let answer = Answer::read(interaction(&pool));
        let last = answer
            .body
            .strip_prefix(&[CREATED, DELTA, "data: "].concat());
        let last: serde_json::Value = serde_json::from_str(last.unwrap()).unwrap();
        assert_eq!(last["event_type"], "error");
        assert_eq!(last["error"]["code"], code);
        assert_eq!(last["error"]["message"], QUOTA);
        let row = pool.logged().concat();
        assert!(row.starts_with("0|200|") && row.contains(QUOTA), "{row}");
    }
    // Before the first event, the status can still change.
    let pool = Pool::new();
    pool.script(200, "text/event-stream", &[&bare]);
    assert_eq!(Answer::read(interaction(&pool)).status, 429);
    // A stream that was cut is a failure, too.
    let pool = Pool::new();
    let reset = || Err(TransportError::Failed("ConnectionTerminated".into()));
    let begun = || Ok(CREATED.as_bytes().to_vec());
    pool.script_chunks(200, "text/event-stream", vec![begun(), reset()]);
    let answer = Answer::read(interaction(&pool));
    assert!(
        answer.body.contains(r#""event_type":"error""#),
        "{}",
        answer.body
    );
    assert!(pool.logged().concat().contains("ConnectionTerminated"));
}

#[test]
fn passes_only_data_lines_on_geminis_surface() {
    let pool = Pool::new();
    let (unfinished, finished) = (event(UNFINISHED), event(FINISHED));
    pool.script(
        200,
        "text/event-stream",
        &[
            ": ping\n\n",
            &unfinished,
            "id: 3\n",
            ":\n\n",
            &finished,
            ": bye\n\n",
        ],
    );
    let answer = pool.call_gemini("POST", STREAM, CONTENTS);
    assert_eq!(answer.body, [unfinished, finished].concat());
    assert_eq!(pool.logged(), ["1|200|NULL"]);
}

#[test]
fn an_interaction_detects_a_rejected_key() {
    let pool = Pool::new();
    pool.database
        .run("INSERT INTO api_keys (id, api_key) VALUES (2, 'AIzaFAKE-2')");
    let dead = r#"{"error":{"code":"authentication","message":"API key not valid. Please pass a valid API key."}}"#;
    pool.script(401, "application/json", &[dead]);
    pool.script(200, "application/json", &[r#"{"id":"v1_fake"}"#]);
    let body = r#"{"model":"m","input":"x"}"#;
    let answer = pool.call_gemini("POST", "/v1beta/interactions", body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(pool.rows().concat().contains("key_rejected"));
    // An error with status 200 is not an interaction.
    let limit = r#"{"error":{"code":"rate_limit_exceeded","message":"Slow down."}}"#;
    pool.advance(60_000);
    pool.script(200, "application/json", &[limit]);
    let answer = pool.call_gemini("POST", "/v1beta/interactions", body);
    assert_eq!(answer.status, 429, "{}", answer.body);
}
