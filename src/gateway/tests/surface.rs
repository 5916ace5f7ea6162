//! The two APIs: paths, credentials, and the formats of answers and errors.

use super::*;
use serde_json::json;

const STREAM: &str = "/v1beta/models/m:streamGenerateContent?alt=sse";
const UNFINISHED: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5}}"#;
const EMPTY: &str = r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5}}"#;

const STREAM_ARRAY: &str = "/v1beta/models/m:streamGenerateContent";
const INTERACTIONS: &str = "/v1beta/interactions";
const JSON_UTF8: &str = "application/json; charset=UTF-8";

impl Pool {
    fn rows(&self) -> Vec<String> {
        self.log_rows("model, outcome, input_tokens, output_tokens, thinking_tokens")
    }
}

fn event(json: &str) -> String {
    format!("data: {json}\r\n\r\n")
}

#[test]
fn routes_every_path_with_one_credential() {
    // Method, path, and the logged subject.
    const NATIVE: &str = "
        POST   /v1beta/models/m:generateContent         m
        POST   /v1/models/m:generateContent             m
        POST   /v1alpha/tunedModels/t:generateContent   tunedModels/t
        POST   /v1beta/models/m:countTokens             m:countTokens
        POST   /v1beta/models/e:embedContent?x=1        e
        GET    /v1beta/files?pageSize=5                 files
        GET    /v1/files                                files
        POST   /upload/v1beta/files                     files
        PATCH  /v1beta/cachedContents/c?updateMask=ttl  cachedContents
        DELETE /v1beta/files/f                          files
        GET    /v1beta/operations/o                     operations";
    // Method, path, path below `/v1beta/openai/`, the logged subject, and the body.
    const COMPATIBLE: &str = r#"
        POST /v1/embeddings                     embeddings          e        {"model":"models/e"}
        POST /v1beta/openai/images/generations  images/generations  i        {"model":"i"}
        GET  /v1/models                         models              models   -
        GET  /v1/models/m                       models/m            models   -
        GET  /v1/batches?limit=2                batches?limit=2     batches  -"#;
    let pool = Pool::new();
    let assert_routed = |method: &str, path: &str, upstream: &str, subject, token, body: &str| {
        let answer = pool.call(method, path, &[token], body);
        answer.assert_status(200);
        let sent = pool.last_sent();
        assert_eq!(sent.method, method);
        assert_eq!(sent.uri, [ORIGIN, upstream].concat());
        assert_eq!(sent.body, body);
        let row = pool.rows().pop().unwrap();
        assert_starts_with(&row, &format!("{subject}|success|"));
        sent.headers
    };
    for [method, path, subject] in table(NATIVE) {
        pool.script_json(GENERATED);
        let body = if method == "POST" { CONTENTS } else { "" };
        let separator = if path.contains('?') { '&' } else { '?' };
        let with_token = format!("{path}{separator}key={TOKEN}");
        let called = if method == "GET" { &with_token } else { path };
        let headers = assert_routed(method, called, path, subject, API_KEY, body);
        assert_eq!(headers["x-goog-api-key"], KEY);
        assert!(!headers.contains_key("authorization"), "{path}");
    }
    for [method, path, upstream, subject, body] in table(COMPATIBLE) {
        pool.script_json("{}");
        let upstream = format!("/v1beta/openai/{upstream}");
        let body = body.trim_matches('-');
        let headers = assert_routed(method, path, &upstream, subject, BEARER, body);
        assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
        assert!(!headers.contains_key("x-goog-api-key"), "{path}");
    }
}

#[test]
fn accepts_the_token_wherever_clients_put_it() {
    let query = format!("{GENERATE}?key={TOKEN}");
    let wrong_query = format!("{GENERATE}?key=x");
    for (path, headers) in [
        (GENERATE, vec![BEARER]),
        (GENERATE, vec![API_KEY]),
        (&query, vec![]),
        (GENERATE, vec![("authorization", "Bearer other"), API_KEY]),
    ] {
        let pool = Pool::new();
        pool.script_json(GENERATED);
        let answer = pool.call("POST", path, &headers, CONTENTS);
        answer.assert_status(200);
    }
    let pool = Pool::new();
    let foreign = vec![("x-goog-api-key", KEY)];
    for (path, headers, code) in [
        (GENERATE, vec![], "MISSING_CLIENT_TOKEN"),
        (GENERATE, foreign, "INVALID_CLIENT_TOKEN"),
        (&wrong_query, vec![], "INVALID_CLIENT_TOKEN"),
    ] {
        let answer = pool.call("POST", path, &headers, CONTENTS);
        answer.assert_status(401);
        assert_contains(&answer.body, code);
        assert_contains(&answer.body, "\"UNAUTHENTICATED\"");
    }
    // Operators' paths accept only the bearer token.
    pool.gemini_get("/api/keys/status").assert_status(401);
    assert_eq!(pool.sent(), 0);
}

#[test]
fn logs_the_tokens_of_an_answer_in_googles_format() {
    let pool = Pool::new();
    pool.script(200, JSON_UTF8, &[GENERATED]);
    let answer = pool.gemini_post(GENERATE, CONTENTS);
    assert_eq!((answer.status, answer.body.as_str()), (200, GENERATED));
    assert_eq!(answer.header("content-type"), Some(JSON_UTF8));
    assert_eq!(pool.rows(), ["m|success|5|2|7"]);
}

#[test]
fn retries_an_empty_answer_in_googles_format_once() {
    for (path, kind, first, second) in [
        (GENERATE, JSON, EMPTY.to_owned(), GENERATED.to_owned()),
        (STREAM, EVENTS, event(EMPTY), event(GENERATED)),
    ] {
        let pool = Pool::of(2);
        pool.script(200, kind, &[&first]);
        pool.script(200, kind, &[&second]);
        let answer = pool.gemini_post(path, CONTENTS);
        assert_eq!((answer.status, answer.body), (200, second), "{path}");
        assert_eq!(pool.rows(), ["m|empty_answer|5|0|0", "m|success|5|2|7"]);
    }
}

#[test]
fn logs_a_stream_in_googles_format_before_its_last_event() {
    let pool = Pool::new();
    let (first, last) = (event(UNFINISHED), event(GENERATED));
    pool.script_events(&[&first, &last]);
    let mut stream = pool.open(STREAM, API_KEY, CONTENTS);
    let mut next = || block_on(stream.next());
    assert_eq!(next(), Chunk::Data(first.into_bytes()));
    assert!(pool.rows().is_empty());
    assert_eq!(next(), Chunk::Pending, "it may be the last event");
    assert_eq!(next(), Chunk::Data(last.into_bytes()));
    assert_eq!(pool.rows(), ["m|success|5|2|7"]);
    assert_eq!(next(), Chunk::End);
}

#[test]
fn reports_a_failure_within_googles_stream_in_an_event() {
    let first = event(UNFINISHED);
    let error = errors::overloaded().pretty();
    for (chunks, outcome) in [
        (&[&*first, &error][..], "model_overloaded"),
        (&[&first], "upstream_trouble"),
        (&[&first, "data: {\"cand"], "upstream_trouble"),
    ] {
        let pool = Pool::new();
        pool.script_events(chunks);
        let answer = pool.gemini_post(STREAM, CONTENTS);
        let last = answer.body.strip_prefix(&format!("{first}data: ")).unwrap();
        assert!(last.ends_with("\n\n"));
        assert!(json(last)["error"]["code"].as_u64() >= Some(500), "{last}");
        assert_starts_with(&pool.rows().concat(), &format!("m|{outcome}|"));
    }
    // Before the first content, another key answers.
    let pool = Pool::of(2);
    pool.script_events(&[&error]);
    pool.script_events(&[&event(GENERATED)]);
    let answer = pool.gemini_post(STREAM, CONTENTS);
    assert_eq!(answer.body, event(GENERATED));
}

#[test]
fn streams_an_array_and_appends_its_error() {
    let first = format!("[{UNFINISHED}");
    let second = format!(",\r\n{GENERATED}");
    let pool = Pool::new();
    pool.script(200, JSON_UTF8, &[&first, &second, "]\n"]);
    let mut stream = pool.open(STREAM_ARRAY, API_KEY, CONTENTS);
    // It passes before the next element arrives.
    assert_eq!(block_on(stream.next()), Chunk::Data(first.clone().into()));
    let mut rest = Vec::new();
    while let Chunk::Data(more) = block_on(stream.next()) {
        rest.extend(more);
    }
    assert_eq!(String::from_utf8(rest).unwrap(), second + "]\n");
    assert_eq!(pool.rows(), ["m|success|5|2|7"]);

    let pool = Pool::new();
    let error = format!(",\r\n{}]\n", errors::overloaded().pretty());
    pool.script(200, JSON, &[&first, &error]);
    let all = pool.gemini_post(STREAM_ARRAY, CONTENTS).json();
    assert_eq!(all[1]["error"]["code"], 503, "{all}");
    assert_eq!(pool.rows(), ["m|model_overloaded|NULL|NULL|NULL"]);
}

#[test]
fn errors_have_the_format_of_the_requested_api() {
    let pool = Pool::new();
    // An error of the caller passes unchanged.
    let refused = errors::invalid_argument().pretty();
    pool.script(400, JSON_UTF8, &[&refused]);
    let answer = pool.gemini_post(GENERATE, CONTENTS);
    assert_eq!((answer.status, answer.body), (400, refused));
    // Errors about the pool's keys do not pass.
    pool.script_native_errors(1, &errors::unauthenticated("Generate"));
    let answer = pool.gemini_post(GENERATE, CONTENTS);
    answer.assert_status(503);
    let error = &answer.json()["error"];
    assert_eq!(error["status"], "UNAVAILABLE");
    let reason = &error["details"][0]["reason"];
    assert_eq!(reason, "UPSTREAM_CREDENTIALS_EXHAUSTED");
    assert!(!answer.body.contains("OAuth"), "{error}");

    let pool = Pool::new();
    pool.script(404, "text/html", &[]);
    let answer = pool.post("/v1/what/comes/next", "{}");
    answer.assert_status(404);
    assert_eq!(answer.error("type"), "invalid_request_error");
}

#[test]
fn reports_the_wait_in_googles_format() {
    let pool = Pool::new();
    pool.script_native_errors(1, &quota_per_minute());
    let answer = pool.gemini_post(GENERATE, CONTENTS);
    answer.assert_status(429);
    assert!(answer.header("retry-after").is_some());
    let error = &answer.json()["error"];
    assert_eq!(error["status"], "RESOURCE_EXHAUSTED");
    let delay = error["details"][1]["retryDelay"].as_str().unwrap();
    assert!(delay.ends_with('s'), "{delay}");
    // The quota applies to the model's answers, not to counting tokens.
    pool.script_json(r#"{"totalTokens":5}"#);
    let answer = pool.gemini_post("/v1beta/models/m:countTokens", CONTENTS);
    answer.assert_status(200);
}

#[test]
fn does_not_retry_calls_with_side_effects() {
    for (path, calls) in [(GENERATE, 2), ("/v1beta/models/m:batchGenerateContent", 1)] {
        let pool = Pool::of(2);
        pool.script_reply(Err(TransportError::TimedOut));
        pool.script_json(GENERATED);
        pool.gemini_post(path, CONTENTS);
        assert_eq!(pool.sent(), calls, "{path}");
    }
}

#[test]
fn caches_the_union_of_the_projects_model_lists() {
    let pool = Pool::with_keys(4, &[("model_aliases", "gpt-4o=a,claude-*=b")]);
    pool.run(
        "UPDATE api_keys SET project = 'projects/1' WHERE id IN (1, 2);
         UPDATE api_keys SET project = 'projects/3' WHERE id = 3;
         UPDATE api_keys SET status = 0 WHERE id = 4",
    );
    let ids = |answer: &Answer, list: &str, id: &str| {
        let json = answer.json();
        let entries = json[list].as_array().unwrap().iter();
        let ids = entries.map(|entry| entry[id].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    let script_list = |models: &[&str]| {
        let entry = |model: &&str| json!({"id": model, "object": "model"});
        let data: Vec<_> = models.iter().map(entry).collect();
        pool.script_json(&json!({"object": "list", "data": data}).to_string());
    };
    script_list(&["models/a", "models/b"]);
    script_list(&["models/b", "models/c"]);
    for _ in 0..3 {
        let answer = pool.get("/v1/models");
        answer.assert_status(200);
        let mut found = ids(&answer, "data", "id");
        found.sort();
        assert_eq!(found, ["a", "b", "c", "claude-latest", "gpt-4o"]);
        assert_eq!(pool.sent(), 2, "one call per project");
        pool.advance(60_000);
    }
    pool.advance(120_000);
    pool.script_error(&errors::resource_exhausted());
    script_list(&["models/d"]);
    let answer = pool.get("/v1/models");
    assert_eq!(ids(&answer, "data", "id"), ["d", "gpt-4o", "claude-latest"]);

    pool.run("DELETE FROM cool_downs");
    pool.advance(500);
    for names in [&["a", "b"][..], &["c"]] {
        let entry = |name: &&str| json!({"name": format!("models/{name}")});
        let models: Vec<_> = names.iter().map(entry).collect();
        pool.script_json(&json!({"models": models, "nextPageToken": "x"}).to_string());
    }
    let first = pool.gemini_get("/v1beta/models?pageSize=3");
    assert_eq!(ids(&first, "models", "name").len(), 3, "{}", first.body);
    let uri = pool.last_sent().uri;
    assert_eq!(uri, format!("{ORIGIN}/v1beta/models?pageSize=1000"));
    let rest = pool.gemini_get("/v1beta/models?pageSize=3&pageToken=keypool-3");
    assert_eq!(
        ids(&rest, "models", "name"),
        ["models/gpt-4o", "models/claude-latest"]
    );
    assert!(!rest.body.contains("nextPageToken"));
    let foreign = pool.gemini_get("/v1beta/models?pageToken=x");
    foreign.assert_status(400);
}

#[test]
fn reports_the_failure_if_no_project_lists_models() {
    let pool = Pool::new();
    pool.script_native_errors(1, &errors::unauthenticated("List"));
    let answer = pool.gemini_get("/v1beta/models");
    answer.assert_status(503);
    assert_eq!(answer.header("x-keypool-attempts"), Some("1"));
    assert_eq!(pool.count("model_lists"), 0);
}

#[test]
fn an_array_fails_over_early_and_always_ends_as_valid_json() {
    let open = format!("[{UNFINISHED}");
    let half = format!("{open},\r\n{{\"candidates\":");
    let error = errors::overloaded().pretty();
    for broken in [&*format!("[{error}]\n"), "[", &format!("[{EMPTY}]")] {
        let pool = Pool::of(2);
        let whole = format!("[{GENERATED}]");
        pool.script_json(broken);
        pool.script_json(&whole);
        let answer = pool.gemini_post(STREAM_ARRAY, CONTENTS);
        assert_eq!(answer.body, whole, "{broken}");
        assert_eq!(pool.sent(), 2);
    }
    for text in [&open, &half] {
        let pool = Pool::new();
        pool.script_broken(JSON, &[text], failed("reset"));
        let all = pool.gemini_post(STREAM_ARRAY, CONTENTS).json();
        assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
        assert_eq!(all[1]["error"]["code"], 502);
    }
    // An error in the same chunk as an element.
    let pool = Pool::new();
    pool.script_json(&format!("{open},\r\n{error}]\n"));
    let all = pool.gemini_post(STREAM_ARRAY, CONTENTS).json();
    assert_eq!(all[1]["error"]["code"], 503, "{all}");
    assert_starts_with(&pool.rows()[0], "m|model_overloaded|");
}

#[test]
fn a_finished_answer_survives_a_broken_connection() {
    let pool = Pool::new();
    let all = [event(UNFINISHED), event(GENERATED)].concat();
    pool.script_broken(EVENTS, &[&all], failed("reset"));
    let answer = pool.gemini_post(STREAM, CONTENTS);
    assert_eq!(answer.body, all);
    assert_eq!(pool.rows(), ["m|success|5|2|7"]);
}

#[test]
fn caches_a_model_list_per_api_version() {
    let pool = Pool::new();
    for (path, name) in [("/v1/models", "old"), ("/v1beta/models", "new")] {
        let name = format!("models/{name}");
        pool.script_json(&json!({"models": [{"name": name}]}).to_string());
        assert_contains(&pool.gemini_get(path).body, &name);
    }
}

#[test]
fn only_streamed_answers_may_pause() {
    let openai = |more: &str| format!(r#"{{"model":"m","messages":[]{more}}}"#);
    let chat = COMPLETIONS;
    for (path, body, may_pause) in [
        (chat, openai(""), false),
        (chat, openai(r#","stream":false"#), false),
        (chat, openai(r#","stream":null"#), false),
        (chat, openai(r#","stream":true"#), true),
        // Left to the upstream to interpret.
        (chat, openai(r#","stream":"true""#), true),
        (chat, openai(r#","stream":false,"stream":true"#), true),
        (GENERATE, "{}".into(), false),
        (STREAM_ARRAY, "{}".into(), true),
        (INTERACTIONS, r#"{"model":"m"}"#.into(), true),
    ] {
        let pool = Pool::with(&[("first_byte_timeout", "7")]);
        pool.script_answer();
        pool.post(path, &body);
        let timeouts = pool.last_sent().timeouts;
        let is_stream = may_pause && path != INTERACTIONS;
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
    // Returns the number of calls to the upstream so far, and the answer to all.
    let ask = |count: usize| {
        let asking = (0..count).map(|_| pool.handle("GET", "/v1/models", &[BEARER], b""));
        let replies = block_on(futures::future::join_all(asking));
        let mut answers = replies.into_iter().map(Answer::read);
        let first = answers.next().unwrap();
        for other in answers {
            assert_eq!((other.status, &other.body), (first.status, &first.body));
        }
        (pool.sent(), first)
    };
    // A failure is shared, too, and the next caller fetches again.
    pool.script_error(&errors::invalid_argument());
    let (sent, answer) = ask(20);
    assert_eq!((sent, answer.status), (1, 400));
    pool.script_json(r#"{"object":"list","data":[{"id":"models/a"}]}"#);
    let (sent, answer) = ask(20);
    assert_eq!((sent, answer.status), (2, 200));
    assert_contains(&answer.body, r#""id":"a""#);
    assert_eq!(ask(20).0, 2, "the list is cached");
    // The list has expired, and the database cannot store the next one.
    pool.advance(5 * 60_000);
    pool.database
        .fail("INTO model_lists", "disk I/O error", usize::MAX);
    pool.script_json(r#"{"object":"list","data":[{"id":"models/b"}]}"#);
    let (sent, answer) = ask(20);
    assert_eq!(sent, 3);
    assert_contains(&answer.body, r#""id":"b""#);
}

#[test]
fn an_unknown_path_is_answered_with_advice() {
    let pool = Pool::new();
    for (path, advice) in [
        ("/v1/responses/resp_1/cancel", "Send the whole conversation"),
        ("/v1/audio/translations", "To translate audio"),
        ("/v1/messages/batches?beta=true", "Anthropic"),
        ("/api/tags", "Ollama"),
        ("/v2/models", "base URL"),
    ] {
        let answer = pool.post(path, CHAT);
        answer.assert_error(404, "unknown_path");
        answer.assert_message(advice);
    }
    assert_eq!((pool.sent(), pool.logged().len()), (0, 0));
}

#[test]
fn answers_preflights_on_any_path() {
    let pool = Pool::with(&[("allowed_origins", "https://app.example")]);
    for path in [COMPLETIONS, "/v1/responses", "/chat", "/"] {
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
    let pool = Pool::new();
    for [path, credential, upstream] in table(
        "/chat/completions                    authorization   /v1beta/openai/chat/completions
         /v1//chat/completions/               authorization   /v1beta/openai/chat/completions
         /models/m:generateContent            x-goog-api-key  /v1beta/models/m:generateContent
         /v1beta/v1/models/m:generateContent  x-goog-api-key  /v1/models/m:generateContent
         /v1/interactions                     x-goog-api-key  /v1/interactions
         /v1/agents                           x-goog-api-key  /v1/agents
         /v1/agents                           authorization   /v1beta/openai/agents",
    ) {
        let generates = path.ends_with(":generateContent");
        pool.script_json(if generates { GENERATED } else { ANSWER });
        let token = if credential == BEARER.0 {
            BEARER
        } else {
            API_KEY
        };
        let answer = pool.call("POST", path, &[token], CHAT);
        answer.assert_status(200);
        assert!(pool.last_sent().uri.ends_with(upstream), "{path}");
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
            (0..3).for_each(|_| pool.script(status, "text/plain", &["no"]));
        }
        let headers = [
            ("x-goog-api-key", token),
            ("x-goog-upload-command", command),
        ];
        let answer = pool.call("POST", path, &headers, "part");
        let ended = answer.header("x-goog-upload-status");
        assert_eq!(ended, is_final.then_some("final"), "{command} {status}");
    }
}

const INTERACTION: &str = r#"{"model":"m","input":"x","stream":true}"#;
const CREATED: &str = "event: interaction.created\ndata: {\"interaction\":{\"id\":\"v1_fake\"},\"event_type\":\"interaction.created\"}\n\n";
const DELTA: &str =
    "event: step.delta\nid: 2\ndata: {\"index\":0,\"event_type\":\"step.delta\"}\n\n";

#[test]
fn streams_any_endpoint_event_by_event() {
    const DONE: &str = "event: done\ndata: [DONE]\n\n";
    for (events, rows) in [(vec![CREATED, DELTA, DONE], 1), (vec![CREATED, DELTA], 0)] {
        let pool = Pool::new();
        pool.script_events(&events);
        let mut stream = pool.open(INTERACTIONS, API_KEY, INTERACTION);
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
    let bare = ApiError::new(429, "RESOURCE_EXHAUSTED", QUOTA).compact() + "\n";
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
        pool.script_events(&[CREATED, DELTA, error]);
        let answer = pool.gemini_post(INTERACTIONS, INTERACTION);
        let before = [CREATED, DELTA, "data: "].concat();
        let last = json(answer.body.strip_prefix(&before).unwrap());
        assert_eq!(last["event_type"], "error");
        assert_eq!(last["error"]["code"], code);
        assert_eq!(last["error"]["message"], QUOTA);
        let row = pool.logged().concat();
        assert!(row.starts_with("0|200|") && row.contains(QUOTA), "{row}");
    }
    // Before the first event, the status can still change.
    let pool = Pool::new();
    pool.script_events(&[&bare]);
    assert_eq!(pool.gemini_post(INTERACTIONS, INTERACTION).status, 429);
    // A stream that was cut is a failure, too.
    let pool = Pool::new();
    pool.script_broken(EVENTS, &[CREATED], failed("ConnectionTerminated"));
    let answer = pool.gemini_post(INTERACTIONS, INTERACTION);
    assert_contains(&answer.body, r#""event_type":"error""#);
    assert_contains(&pool.logged().concat(), "ConnectionTerminated");
}

#[test]
fn passes_only_data_lines_on_geminis_surface() {
    let pool = Pool::new();
    let (unfinished, finished) = (event(UNFINISHED), event(GENERATED));
    pool.script_events(&[
        ": ping\n\n",
        &unfinished,
        "id: 3\n",
        ":\n\n",
        &finished,
        ": bye\n\n",
    ]);
    let answer = pool.gemini_post(STREAM, CONTENTS);
    assert_eq!(answer.body, [unfinished, finished].concat());
    assert_eq!(pool.logged(), ["1|200|NULL"]);
}

#[test]
fn an_interaction_detects_a_rejected_key() {
    let pool = Pool::of(2);
    let dead = r#"{"error":{"code":"authentication","message":"API key not valid. Please pass a valid API key."}}"#;
    pool.script(401, JSON, &[dead]);
    pool.script_json(r#"{"id":"v1_fake"}"#);
    let body = r#"{"model":"m","input":"x"}"#;
    pool.gemini_post(INTERACTIONS, body).assert_status(200);
    assert_contains(&pool.rows().concat(), "key_rejected");
    // An error with status 200 is not an interaction.
    let limit = r#"{"error":{"code":"rate_limit_exceeded","message":"Slow down."}}"#;
    pool.advance(60_000);
    pool.script_json(limit);
    pool.gemini_post(INTERACTIONS, body).assert_status(429);
}
