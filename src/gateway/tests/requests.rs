//! Untrusted input in requests: names, fields, addresses, tokens and bodies.

use super::*;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

impl Pool {
    /// All stored texts that may contain input of a client.
    fn stored(&self) -> String {
        let texts = self.query(
            "SELECT model || coalesce(error_message, '') FROM api_call_logs
             UNION ALL SELECT model FROM api_call_hours
             UNION ALL SELECT model FROM cool_downs
             UNION ALL SELECT model FROM limits
             UNION ALL SELECT model FROM budget_usage
             UNION ALL SELECT model || field FROM unsupported_fields
             UNION ALL SELECT name FROM resources
             UNION ALL SELECT counter FROM rate_limits",
        );
        texts.join("\n")
    }

    fn models_logged(&self) -> Vec<String> {
        self.log_rows("model")
    }
}

/// The URL at which Google continues an upload.
const UPLOAD: &str = "https://generativelanguage.googleapis.com/upload/v1beta/files?upload_id=U";

#[test]
fn rejects_malformed_model_names_everywhere() {
    const CALLS: &str = r#"
        POST  /v1/chat/completions                {"model":"NAME","messages":[]}
        POST  /v1/embeddings                      {"model":"NAME","input":"a"}
        POST  /v1beta/openai/images/generations   {"prompt":"a","model":"NAME"}
        POST  /v1beta/interactions                {"model":"NAME"}
        POST  /v1beta/models/NAME:generateContent {"contents":[]}
        POST  /v1beta/models/NAME:countTokens     {"contents":[]}
        GET   /v1/models/NAME                     -
        GET   /v1beta/models/NAME                 -
        GET   /api/pool/explain?model=xNAME       -"#;
    let long = "n".repeat(129);
    for model in [
        &long,
        "my secret plan",
        "a%20b",
        "m\u{202e}n",
        "m\nn",
        "m;x",
    ] {
        let pool = Pool::with(&[("model_aliases", "alias=m")]);
        let json = serde_json::to_string(model).unwrap();
        let encoded = utf8_percent_encode(model, NON_ALPHANUMERIC).to_string();
        for [method, path, body] in table(CALLS) {
            let path = path.replace("NAME", &encoded);
            let body = body.trim_matches('-').replace("\"NAME\"", &json);
            let answer = pool.call(method, &path, &[credential(&path)], &body);
            if model.contains('\n') && path.contains("/models/") {
                assert_eq!(answer.status, 404, "a path with a control character");
                continue;
            }
            assert_eq!(answer.status, 400, "{model:?} {path}: {}", answer.body);
            assert_contains(&answer.body, "1 to 128 characters");
            assert!(!answer.body.contains(model), "{}", answer.body);
            if !path.contains("v1beta/models") && !path.contains("interactions") {
                assert_eq!(answer.error("param"), "model", "{path}");
            }
        }
        assert_eq!((pool.sent(), pool.stored().as_str()), (0, ""), "{model:?}");
    }
}

#[test]
fn accepts_a_model_name_of_the_maximum_length() {
    let pool = Pool::new();
    let nothing = pool.chat_for("models/");
    nothing.assert_status(400);
    assert_eq!(nothing.error("param"), "model");
    let model = "n".repeat(128);
    pool.script_answer();
    pool.chat_for(&model).assert_status(200);
    assert_eq!(pool.models_logged(), [model]);
}

#[test]
fn rejects_a_secret_in_place_of_a_name() {
    const CALLS: &str = r#"
        POST  /v1/chat/completions                  {"model":"SECRET","messages":[]}
        POST  /v1/chat/completions                  {"model":"models/x-SECRET","messages":[]}
        POST  /v1/embeddings                        {"model":"SECRET","input":"a"}
        POST  /v1beta/models/SECRET:generateContent  {"contents":[]}
        POST  /v1beta/models/ENCODED:generateContent {"contents":[]}
        POST  /v1beta/models/m:SECRET               {"contents":[]}
        GET   /v1beta/SECRET                        -
        GET   /v1beta/ENCODED/x                     -
        GET   /v1/files/SECRET                      -
        GET   /api/pool/explain?model=SECRET        -"#;
    let unknown_key = "AIzaFAKE-key-that-the-pool-does-not-have";
    for secret in [TOKEN, KEY, unknown_key, "AQ.Fake8BRn-fake_fake.fakefake"] {
        let pool = Pool::with(&[("model_aliases", "alias=m")]);
        let encoded = secret.replacen('-', "%2D", 1);
        let calls = CALLS.replace("SECRET", secret).replace("ENCODED", &encoded);
        for [method, path, body] in table(&calls) {
            let answer = pool.call(method, path, &[credential(path)], body.trim_matches('-'));
            answer.assert_status(400);
            assert!(!answer.body.contains(secret), "{}", answer.body);
        }
        let lines = pool.log_lines().concat();
        assert_eq!((pool.sent(), pool.stored().as_str()), (0, ""), "{secret}");
        assert!(!lines.contains(secret), "{lines}");
    }
}

#[test]
fn logs_unknown_collections_and_methods_as_other() {
    let pool = Pool::new();
    for (path, logged) in [
        ("/v1beta/a-prompt-of-the-client/x", "other"),
        ("/v1beta/odd;x", "other"),
        ("/v1beta/files/f", "files"),
    ] {
        pool.script_json("{}");
        pool.get(path).assert_status(200);
        assert_eq!(pool.models_logged().pop().unwrap(), logged, "{path}");
    }
    pool.script_json("{}");
    pool.post("/v1beta/models/m:a-new-method", "{}");
    assert_eq!(pool.models_logged().pop().unwrap(), "m:other");
}

#[test]
fn reads_no_model_from_uploaded_content() {
    let pool = Pool::with(&[("model_aliases", "gpt-4o=m")]);
    let content = r#"{"model":"gpt-4o","a":"my secret plan"}"#;
    let odd = r#"{"model":"my secret plan"}"#;
    for body in [content, odd] {
        pool.script_json("{}");
        pool.post("/upload/v1beta/files", body).assert_status(200);
        assert_eq!(pool.last_sent().body, body);
    }
    assert_eq!(pool.models_logged(), ["files", "files"]);
}

#[test]
fn removes_only_valid_dispensable_fields() {
    let odd: Vec<String> = (0..21).map(|number| format!("field_{number}")).collect();
    let many: Vec<&str> = odd.iter().map(String::as_str).collect();
    let long = "f".repeat(65);
    for names in [
        vec!["my secret plan is Zebra"],
        vec!["seed", "é"],
        vec!["1st"],
        vec![long.as_str()],
        vec!["messages"],
        vec!["seed", "tools"],
        vec!["toolChoice"],
        vec!["response_format"],
        vec!["stream"],
        vec!["n"],
        vec!["seed", "stop"],
        vec!["something_new"],
        vec![TOKEN],
        vec![KEY],
        many,
    ] {
        let pool = Pool::new();
        let mut body = json!({"model": "m", "messages": []});
        for name in &names {
            body[*name] = json!([]);
        }
        pool.script_error(&errors::unknown_fields(&names));
        let answer = pool.chat(&body.to_string());
        assert_eq!((answer.status, pool.sent()), (400, 1), "{names:?}");
        assert_eq!(answer.header("x-keypool-dropped"), None);
        assert_eq!(pool.count("unsupported_fields"), 0, "{names:?}");
        assert!(!pool.stored().contains(TOKEN) && !pool.stored().contains("Zebra"));
    }
}

/// A request with these objects, each of which has one field, and Google's error about it.
fn with_unknown_field(objects: &[String], field: &str) -> (String, ApiError) {
    let mut body = json!({"model": "m", "messages": []});
    let mut lines = Vec::new();
    for name in objects {
        body[name] = json!({field: 1});
        lines.push(format!(
            "Invalid JSON payload received. Unknown name \"{field}\" at '{name}': Cannot find field."
        ));
    }
    let error = ApiError::new(400, "INVALID_ARGUMENT", lines.join("\n"));
    (body.to_string(), error)
}

#[test]
fn removes_twenty_fields_and_lists_them_in_one_kilobyte() {
    let pool = Pool::new();
    let name = |number| format!("an_object_with_a_rather_long_name_{number}");
    let objects: Vec<String> = (10..30).map(name).collect();
    let (body, error) = with_unknown_field(&objects, "cache_control");
    pool.script_error(&error);
    for _ in 0..2 {
        pool.script_answer();
        let answer = pool.chat(&body);
        answer.assert_status(200);
        let dropped = answer.header("x-keypool-dropped").unwrap();
        assert!((900..=1024).contains(&dropped.len()), "{dropped}");
        assert!(dropped.ends_with(", and 1 more"), "{dropped}");
        assert!(!pool.last_sent().body.contains("cache_control"));
    }
    assert_eq!(pool.sent(), 3);
}

#[test]
fn remembers_a_removed_field_only_after_success() {
    let pool = Pool::new();
    let body = r#"{"model":"m","seed":1,"messages":[]}"#;
    let unknown = errors::unknown_fields(&["seed"]);
    let fields = "SELECT model, field FROM unsupported_fields";
    let missing = ApiError::new(404, "NOT_FOUND", "No such thing.");
    for error in [errors::invalid_argument(), missing] {
        pool.script_error(&unknown);
        pool.script_error(&error);
        let answer = pool.chat(body);
        answer.assert_status(error.code());
        assert_eq!(answer.header("x-keypool-dropped"), Some("seed"));
        assert_eq!(pool.query(fields), [""; 0]);
        pool.advance(600);
    }
    pool.script_error(&unknown);
    pool.script_answer();
    pool.chat(body).assert_status(200);
    assert_eq!(pool.query(fields), ["m|seed"]);
}

#[test]
fn limits_the_unsupported_fields_of_a_model() {
    let pool = Pool::new();
    for round in 0..4 {
        let name = |number| format!("field_{round}_{number}");
        let objects: Vec<String> = (0..20).map(name).collect();
        let (body, error) = with_unknown_field(&objects, "seed");
        pool.script_error(&error);
        pool.script_answer();
        pool.chat(&body).assert_status(200);
    }
    assert_eq!(pool.count("unsupported_fields"), 32);
}

#[test]
fn removes_credentials_from_the_query() {
    let pool = Pool::new();
    let credentials = format!("api_key={TOKEN}&x={KEY}&$httpHeaders=x&token=t&%24key=k&y={TOKEN}");
    pool.script_json(GENERATED);
    let path = format!("{GENERATE}?{credentials}&%24fields=candidates&quotaUser=u");
    pool.post(&path, CONTENTS).assert_status(200);
    let rest = "?%24fields=candidates&quotaUser=u";
    assert_eq!(pool.last_sent().uri, [ORIGIN, GENERATE, rest].concat());

    pool.insert_resource("uploads/upload/v1beta/files?U", 1, "NULL");
    pool.script_json("{}");
    let continues = [("x-goog-upload-command", "upload")];
    let path = format!("/upload/v1beta/files?upload_id=U&{credentials}&upload_protocol=resumable");
    let answer = pool.call("POST", &path, &continues, "bytes");
    answer.assert_status(200);
    let rest = "/upload/v1beta/files?upload_id=U&upload_protocol=resumable";
    assert_eq!(pool.last_sent().uri, [ORIGIN, rest].concat());
    assert_eq!(pool.sent(), 2);
}

#[test]
fn limits_wrong_tokens_of_an_address_but_not_the_right_one() {
    let pool = Pool::new();
    let from = |address: &str, token: &str| {
        let authorization = format!("Bearer {token}");
        let mut headers = vec![("spin-client-addr", address)];
        if !token.is_empty() {
            headers.push(("authorization", &authorization));
        }
        pool.call("GET", "/api/keys/status", &headers, "")
    };
    for number in 1..=20 {
        let token = if number % 2 == 0 { "a-wrong-token" } else { "" };
        let answer = from(&format!("10.0.0.1:{number}"), token);
        assert_eq!(answer.status, 401, "{number}");
    }
    for token in ["a-wrong-token", ""] {
        let refused = from("10.0.0.1:99", token);
        refused.assert_error(429, "rate_limit_exceeded");
        assert_eq!(refused.header("retry-after"), Some("60"));
        assert_eq!(refused.header("x-should-retry"), Some("false"));
    }
    // The right token still works from this address.
    from("10.0.0.1:99", TOKEN).assert_status(200);
    from("10.0.0.2:1", "a-wrong-token").assert_status(401);
    let counted = pool.query("SELECT counter, calls FROM rate_limits ORDER BY 1");
    let expected = ["wrong token 10.0.0.1|22", "wrong token 10.0.0.2|1"];
    assert_eq!(counted, expected);
    pool.advance(60_000);
    from("10.0.0.1:1", "a-wrong-token").assert_status(401);
}

#[test]
fn wrong_tokens_count_against_the_rate_limit() {
    let pool = Pool::with(&[("rate_limit_per_minute", "3")]);
    let status = |token: &str| {
        let authorization = format!("Bearer {token}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("spin-client-addr", "[2001:db8::1]:1"),
        ];
        pool.call("POST", COMPLETIONS, &headers, "{}").status
    };
    let statuses = ["wrong-token", "wrong-token", TOKEN, "wrong-token", TOKEN].map(status);
    assert_eq!(statuses, [401, 401, 400, 429, 429]);
    let counted = pool.query("SELECT counter, calls FROM rate_limits");
    assert_eq!(counted, ["2001:db8::/64|5"]);
}

#[test]
fn the_hosts_headers_override_forged_ones() {
    let pool = Pool::with(&[("rate_limit_per_minute", "1")]);
    let statuses = ["9.9.9.1:1", "9.9.9.2:1", "9.9.9.3:1"].map(|forged| {
        let headers = [
            BEARER,
            ("spin-client-addr", forged),
            ("spin-client-addr", "10.0.0.1:1"),
        ];
        pool.call("POST", COMPLETIONS, &headers, "{}").status
    });
    assert_eq!(statuses, [400, 429, 429]);

    let pool = Pool::new();
    pool.script_upload(UPLOAD);
    let headers = [
        BEARER,
        ("spin-full-url", "https://evil.example/"),
        ("spin-full-url", "http://pool.example/upload/v1beta/files"),
        ("x-goog-upload-command", "start"),
    ];
    let begun = pool.call("POST", "/upload/v1beta/files", &headers, "{}");
    let url = "http://pool.example/upload/v1beta/files?upload_id=U";
    assert_eq!(begun.headers["x-goog-upload-url"], url);
}

#[test]
fn head_has_the_length_of_get_and_no_body() {
    let pool = Pool::new();
    for path in ["/healthz", "/readyz", "/nowhere", "/v1/files/f"] {
        let get = pool.probe(path);
        let head = pool.call("HEAD", path, &[], "");
        assert_eq!((head.status, &*head.body), (get.status, ""), "{path}");
        let length = get.body.len().to_string();
        for answer in [get, head] {
            assert_eq!(answer.header("content-length"), Some(&*length), "{path}");
        }
    }
    let wrong_method = pool.call("HEAD", COMPLETIONS, &[], "");
    assert_eq!((wrong_method.status, wrong_method.body.as_str()), (405, ""));

    for (method, status, length, expected) in [
        ("HEAD", 200, Some("123456789"), Some("123456789")),
        ("HEAD", 200, None, None),
        ("GET", 304, Some("123456789"), Some("123456789")),
        ("GET", 304, None, None),
        ("GET", 200, None, Some("0")),
        ("DELETE", 204, None, None),
    ] {
        let mut headers = vec![("content-type", "video/mp4")];
        headers.extend(length.map(|length| ("content-length", length)));
        pool.script_with(status, &headers, &[""; 0]);
        let answer = pool.call(method, "/v1beta/files/f:download", &[BEARER], "");
        assert_eq!((answer.status, answer.body.as_str()), (status, ""));
        let given = answer.header("content-length");
        assert_eq!(given, expected, "{method} {status} {length:?}");
    }
}

#[test]
fn the_status_report_warns_of_malformed_keys() {
    let pool = Pool::with(&[("gemini_api_key", "AIzaFAKE-1,AIzaFAKE 2,AIzaFAKE-3")]);
    let report = pool.get("/api/keys/status");
    report.assert_status(200);
    assert_contains(report.json()["warnings"][0].as_str().unwrap(), "entry 2");
    assert!(!report.body.contains("FAKE"), "{}", report.body);
    let fine = Pool::new().get("/api/keys/status");
    assert!(!fine.body.contains("warnings"), "{}", fine.body);
}

#[test]
fn removes_response_headers_that_contain_a_secret() {
    let pool = Pool::new();
    let headers = [
        ("content-type", JSON),
        ("etag", &format!("W/\"{KEY}\"")),
        (
            "content-disposition",
            &format!("attachment; filename={TOKEN}"),
        ),
        ("last-modified", "Fri, 15 Jan 2027 08:00:00 GMT"),
    ];
    pool.script_with(200, &headers, &["{}"]);
    let answer = pool.get("/v1beta/files/f");
    answer.assert_status(200);
    assert!(answer.header("last-modified").is_some());
    assert!(!format!("{:?}", answer.headers).contains(KEY));
    assert_eq!(answer.header("etag"), None);
    assert_eq!(answer.header("content-disposition"), None);
}

#[test]
fn decompresses_requests_before_sending_them() {
    let pool = Pool::with(&[("model_aliases", "gpt-4o=m")]);
    let call = |encoding: &str, path: &str, body: &[u8]| {
        let headers = [BEARER, ("content-encoding", encoding)];
        Answer::read(pool.reply("POST", path, &headers, body))
    };
    let aliased = r#"{"model":"gpt-4o","input":"a"}"#;
    let resolved = r#"{"model":"m","input":"a"}"#;
    for (path, body, sent, answer) in [
        (COMPLETIONS, CHAT, CHAT, ANSWER),
        ("/v1/embeddings", aliased, resolved, "{}"),
    ] {
        pool.script_json(answer);
        call("gzip", path, &gzip(body)).assert_status(200);
        let last = pool.last_sent();
        assert_eq!(last.body, sent);
        assert_eq!(last.headers.get("content-encoding"), None);
    }
    assert_eq!(pool.models_logged(), ["m", "m"]);
    let other = call("zstd", "/v1/embeddings", b"x");
    other.assert_error(415, "unsupported_encoding");
    other.assert_message("gzip");
    assert_eq!(other.header("accept-encoding"), Some("gzip, identity"));
    assert_eq!(pool.sent(), 2);
}

#[test]
fn removes_an_upload_url_from_a_foreign_model_list() {
    let pool = Pool::new();
    let url = format!("https://other.example/?key={KEY}");
    let headers = [("content-type", "text/plain"), ("x-goog-upload-url", &*url)];
    pool.script_with(200, &headers, &["no list"]);
    let answer = pool.get("/v1/models");
    assert_eq!((answer.status, answer.body.as_str()), (200, "no list"));
    assert_eq!(answer.header("x-goog-upload-url"), None);
}

#[test]
fn refuses_large_bodies_while_memory_is_full() {
    let size = ("max_body_bytes", "200000");
    let pool = Pool::with(&[size, ("max_held_bytes", "200000")]);
    let memory = &pool.gateway.memory;
    let held = block_on(memory.acquire(1));
    let large = CHAT.replace("the prompt", &"x".repeat(100_000));
    let answer = pool.chat(&large);
    answer.assert_error(503, "pool_busy");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("x-should-retry"), None);
    pool.serve_chats(1);
    drop(held);
    pool.script_answer();
    pool.chat(&large).assert_status(200);
    assert_eq!(format!("{memory:?}"), "ByteSemaphore(0 of 200000 bytes)");
}

#[test]
fn an_upload_continues_at_the_address_of_the_client() {
    const PUBLIC: (&str, &str) = ("public_url", "https://example.com/gemini/");
    const TRUSTED: (&str, &str) = ("trust_forwarded_for", "true");
    let own = ("host", "10.0.0.7:3000");
    let forwarded = [
        own,
        ("x-forwarded-proto", "HTTPS, http"),
        ("x-forwarded-host", "pool.example, inner"),
        ("x-forwarded-prefix", "/keys/"),
    ];
    let odd = [
        own,
        ("x-forwarded-proto", "HTTPS"),
        ("x-forwarded-host", "someone@pool.example"),
        ("x-forwarded-prefix", "/keys?b=1"),
    ];
    let elsewhere = [
        own,
        ("x-forwarded-host", "pool.example/path"),
        ("x-forwarded-prefix", "//pool.example"),
    ];
    for (settings, headers, base) in [
        (vec![], &forwarded[..], "http://10.0.0.7:3000"),
        (vec![TRUSTED], &forwarded, "https://pool.example/keys"),
        (vec![TRUSTED], &[own], "http://10.0.0.7:3000"),
        (vec![TRUSTED], &odd[..], "https://10.0.0.7:3000"),
        (vec![TRUSTED], &elsewhere[..], "http://10.0.0.7:3000"),
        (
            vec![PUBLIC, TRUSTED],
            &forwarded,
            PUBLIC.1.trim_end_matches('/'),
        ),
    ] {
        let pool = Pool::with(&settings);
        pool.script_upload(UPLOAD);
        let start = [API_KEY, ("x-goog-upload-command", "start")];
        let headers = [&start, headers].concat();
        let begun = pool.call("POST", "/upload/v1beta/files", &headers, "{}");
        let url = format!("{base}/upload/v1beta/files?upload_id=U");
        assert_eq!(begun.headers["x-goog-upload-url"], url);
    }
}
