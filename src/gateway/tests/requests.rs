//! Untrusted input in requests: names, fields, addresses, tokens and bodies.

use super::*;
use fake_gemini::errors;

const GENERATE: &str = "/v1beta/models/m:generateContent";
const CONTENTS: &str = r#"{"contents":[{"parts":[{"text":"the prompt"}]}]}"#;
const GENERATED: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1,"totalTokenCount":2}}"#;

impl Pool {
    fn call_with_bearer(&self, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        self.call(method, path, &[("authorization", &bearer)], body)
    }

    /// Makes a call with a compressed body.
    fn call_encoded(&self, encoding: &str, path: &str, body: Vec<u8>) -> Answer {
        let request = Request::builder()
            .method("POST")
            .uri(path)
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-encoding", encoding);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let body = ScriptedBody {
            chunks: VecDeque::from([Ok(body)]),
            idle_ms: None,
            world: Rc::default(),
        };
        Answer::read(block_on(self.gateway.handle(parts, body)))
    }

    /// All stored texts that may contain input of a client.
    fn stored(&self) -> String {
        [
            "SELECT model, error_message FROM api_call_logs",
            "SELECT model FROM api_call_hours",
            "SELECT model FROM cool_downs",
            "SELECT model FROM limits",
            "SELECT model FROM budget_usage",
            "SELECT model, field FROM unsupported_fields",
            "SELECT name FROM resources",
            "SELECT client_address FROM rate_limits",
        ]
        .iter()
        .flat_map(|query| self.database.query(query))
        .collect::<Vec<_>>()
        .join("\n")
    }

    fn models_logged(&self) -> Vec<String> {
        self.database
            .query("SELECT model FROM api_call_logs ORDER BY id")
    }
}

/// The URL at which Google continues an upload.
const UPLOAD: &str = "https://generativelanguage.googleapis.com/upload/v1beta/files?upload_id=U";

#[test]
fn rejects_malformed_model_names_everywhere() {
    let long = "n".repeat(129);
    for model in [
        long.as_str(),
        "my secret plan",
        "a%20b",
        "m\u{202e}n",
        "m\nn",
        "m;x",
    ] {
        let pool = Pool::with(&[("model_aliases", "alias=m")]);
        let json = serde_json::to_string(model).unwrap();
        let in_path: String =
            percent_encoding::utf8_percent_encode(model, percent_encoding::NON_ALPHANUMERIC)
                .to_string();
        for (method, path, body) in [
            (
                "POST",
                "/v1/chat/completions".to_owned(),
                format!(r#"{{"model":{json},"messages":[]}}"#),
            ),
            (
                "POST",
                "/v1/embeddings".to_owned(),
                format!(r#"{{"model":{json},"input":"a"}}"#),
            ),
            (
                "POST",
                "/v1beta/openai/images/generations".to_owned(),
                format!(r#"{{"prompt":"a","model":{json}}}"#),
            ),
            (
                "POST",
                "/v1beta/interactions".to_owned(),
                format!(r#"{{"model":{json}}}"#),
            ),
            (
                "POST",
                format!("/v1beta/models/{in_path}:generateContent"),
                CONTENTS.to_owned(),
            ),
            (
                "POST",
                format!("/v1beta/models/{in_path}:countTokens"),
                CONTENTS.to_owned(),
            ),
            ("GET", format!("/v1/models/{in_path}"), String::new()),
            ("GET", format!("/v1beta/models/{in_path}"), String::new()),
            (
                "GET",
                format!("/api/pool/explain?model=x{in_path}"),
                String::new(),
            ),
        ] {
            let answer = pool.call_with_bearer(method, &path, &body);
            if model.contains('\n') && path.contains("/models/") {
                assert_eq!(
                    answer.status, 404,
                    "paths with control characters are unknown"
                );
                continue;
            }
            assert_eq!(answer.status, 400, "{model:?} {path}: {}", answer.body);
            assert!(
                answer.body.contains("1 to 128 characters"),
                "{}",
                answer.body
            );
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
    let nothing = pool.chat(&CHAT.replace("\"m\"", "\"models/\""));
    assert_eq!(
        (nothing.status, nothing.error("param").as_str()),
        (400, "model")
    );
    let model = "n".repeat(128);
    pool.script_answer();
    assert_eq!(
        pool.chat(&CHAT.replace("\"m\"", &format!("\"{model}\"")))
            .status,
        200
    );
    assert_eq!(pool.models_logged(), [model]);
}

#[test]
fn rejects_a_secret_in_place_of_a_name() {
    let unknown_key = "AIzaFAKE-key-that-the-pool-does-not-have";
    for secret in [TOKEN, KEY, unknown_key, "AQ.Fake8BRn-fake_fake.fakefake"] {
        let pool = Pool::with(&[("model_aliases", "alias=m")]);
        let encoded = secret.replacen('-', "%2D", 1);
        for (method, path, body) in [
            (
                "POST",
                "/v1/chat/completions".to_owned(),
                format!(r#"{{"model":"{secret}","messages":[]}}"#),
            ),
            (
                "POST",
                "/v1/chat/completions".to_owned(),
                format!(r#"{{"model":"models/x-{secret}","messages":[]}}"#),
            ),
            (
                "POST",
                "/v1/embeddings".to_owned(),
                format!(r#"{{"model":"{secret}","input":"a"}}"#),
            ),
            (
                "POST",
                format!("/v1beta/models/{secret}:generateContent"),
                CONTENTS.to_owned(),
            ),
            (
                "POST",
                format!("/v1beta/models/{encoded}:generateContent"),
                CONTENTS.to_owned(),
            ),
            (
                "POST",
                format!("/v1beta/models/m:{secret}"),
                CONTENTS.to_owned(),
            ),
            ("GET", format!("/v1beta/{secret}"), String::new()),
            ("GET", format!("/v1beta/{encoded}/x"), String::new()),
            ("GET", format!("/v1/files/{secret}"), String::new()),
            (
                "GET",
                format!("/api/pool/explain?model={secret}"),
                String::new(),
            ),
        ] {
            let answer = pool.call_with_bearer(method, &path, &body);
            assert_eq!(answer.status, 400, "{path}: {}", answer.body);
            assert!(!answer.body.contains(secret), "{}", answer.body);
        }
        let lines = pool.host.0.log.borrow().concat();
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
        pool.script(200, "application/json", &["{}"]);
        assert_eq!(pool.call_with_bearer("GET", path, "").status, 200);
        assert_eq!(pool.models_logged().pop().unwrap(), logged, "{path}");
    }
    pool.script(200, "application/json", &["{}"]);
    pool.call_with_bearer("POST", "/v1beta/models/m:a-new-method", "{}");
    assert_eq!(pool.models_logged().pop().unwrap(), "m:other");
}

#[test]
fn reads_no_model_from_uploaded_content() {
    let pool = Pool::with(&[("model_aliases", "gpt-4o=m")]);
    let content = r#"{"model":"gpt-4o","a":"my secret plan"}"#;
    let odd = r#"{"model":"my secret plan"}"#;
    for body in [content, odd] {
        pool.script(200, "application/json", &["{}"]);
        assert_eq!(
            pool.call_with_bearer("POST", "/upload/v1beta/files", body)
                .status,
            200
        );
        assert_eq!(pool.host.0.sent.borrow().last().unwrap().body, body);
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
        let fields: serde_json::Map<String, serde_json::Value> = names
            .iter()
            .map(|name| ((*name).to_owned(), serde_json::json!([])))
            .collect();
        let mut body = serde_json::json!({ "model": "m", "messages": [] });
        body.as_object_mut().unwrap().extend(fields);
        let unknown = errors::unknown_fields(&names).pretty_array();
        pool.script(400, "application/json", &[&unknown]);
        let answer = pool.chat(&body.to_string());
        assert_eq!((answer.status, pool.sent()), (400, 1), "{names:?}");
        assert_eq!(answer.header("x-keypool-dropped"), None);
        let fields = "SELECT field FROM unsupported_fields";
        assert_eq!(pool.database.query(fields), [""; 0], "{names:?}");
        assert!(!pool.stored().contains(TOKEN) && !pool.stored().contains("Zebra"));
    }
}

/// Google's error about an unknown field in each of these objects.
fn unknown_in(paths: &[String], name: &str) -> String {
    let lines: Vec<String> = paths
        .iter()
        .map(|path| {
            format!(
                "Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field."
            )
        })
        .collect();
    errors::ApiError::new(400, "INVALID_ARGUMENT", lines.join("\n")).pretty_array()
}

#[test]
fn removes_twenty_fields_and_lists_them_in_one_kilobyte() {
    let pool = Pool::new();
    let odd: Vec<String> = (10..30)
        .map(|number| format!("an_object_with_a_rather_long_name_{number}"))
        .collect();
    let members: Vec<String> = odd
        .iter()
        .map(|name| format!(r#""{name}":{{"cache_control":1}}"#))
        .collect();
    let body = format!(r#"{{"model":"m",{},"messages":[]}}"#, members.join(","));
    pool.script(
        400,
        "application/json",
        &[&unknown_in(&odd, "cache_control")],
    );
    for _ in 0..2 {
        pool.script_answer();
        let answer = pool.chat(&body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let dropped = answer.header("x-keypool-dropped").unwrap();
        assert!((900..=1024).contains(&dropped.len()), "{dropped}");
        assert!(dropped.ends_with(", and 1 more"), "{dropped}");
        let sent = pool.host.0.sent.borrow();
        assert!(!sent.last().unwrap().body.contains("cache_control"));
    }
    assert_eq!(pool.sent(), 3);
}

#[test]
fn remembers_a_removed_field_only_after_success() {
    let pool = Pool::new();
    let body = r#"{"model":"m","seed":1,"messages":[]}"#;
    let unknown = errors::unknown_fields(&["seed"]).pretty_array();
    let fields = "SELECT model, field FROM unsupported_fields";
    for (status, error) in [
        (
            400,
            errors::ApiError::new(
                400,
                "INVALID_ARGUMENT",
                "Request contains an invalid argument.",
            ),
        ),
        (
            404,
            errors::ApiError::new(404, "NOT_FOUND", "No such thing."),
        ),
    ] {
        pool.script(400, "application/json", &[&unknown]);
        pool.script(status, "application/json", &[&error.pretty_array()]);
        let answer = pool.chat(body);
        assert_eq!(
            (answer.status, answer.header("x-keypool-dropped")),
            (status, Some("seed"))
        );
        assert_eq!(pool.database.query(fields), [""; 0]);
        pool.advance(600);
    }
    pool.script(400, "application/json", &[&unknown]);
    pool.script_answer();
    assert_eq!(pool.chat(body).status, 200);
    assert_eq!(pool.database.query(fields), ["m|seed"]);
}

#[test]
fn limits_the_unsupported_fields_of_a_model() {
    let pool = Pool::new();
    for round in 0..4 {
        let odd: Vec<String> = (0..20)
            .map(|number| format!("field_{round}_{number}"))
            .collect();
        let members: Vec<String> = odd
            .iter()
            .map(|name| format!(r#""{name}":{{"seed":1}}"#))
            .collect();
        let body = format!(r#"{{"model":"m",{},"messages":[]}}"#, members.join(","));
        pool.script(400, "application/json", &[&unknown_in(&odd, "seed")]);
        pool.script_answer();
        assert_eq!(pool.chat(&body).status, 200);
    }
    assert_eq!(
        pool.database
            .query("SELECT count(*) FROM unsupported_fields"),
        ["32"]
    );
}

#[test]
fn removes_credentials_from_the_query() {
    let pool = Pool::new();
    let credentials = format!("api_key={TOKEN}&x={KEY}&$httpHeaders=x&token=t&%24key=k&y={TOKEN}");
    pool.script(200, "application/json", &[GENERATED]);
    let path = format!("{GENERATE}?{credentials}&%24fields=candidates&quotaUser=u");
    assert_eq!(pool.call_with_bearer("POST", &path, CONTENTS).status, 200);
    pool.database.run(
        "INSERT INTO resources (name, api_key_id, made_at) VALUES ('uploads/upload/v1beta/files?U', 1, '2027-01-15T08:00:00.000Z')",
    );
    pool.script(200, "application/json", &["{}"]);
    let continues = [("x-goog-upload-command", "upload")];
    let path = format!("/upload/v1beta/files?upload_id=U&{credentials}&upload_protocol=resumable");
    assert_eq!(pool.call("POST", &path, &continues, "bytes").status, 200);
    let sent: Vec<String> = pool
        .host
        .0
        .sent
        .borrow()
        .iter()
        .map(|sent| sent.uri.clone())
        .collect();
    let origin = "https://generativelanguage.googleapis.com";
    assert_eq!(
        sent,
        [
            format!("{origin}{GENERATE}?%24fields=candidates&quotaUser=u"),
            format!("{origin}/upload/v1beta/files?upload_id=U&upload_protocol=resumable"),
        ]
    );
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
        assert_eq!(
            from(&format!("10.0.0.1:{number}"), token).status,
            401,
            "{number}"
        );
    }
    for token in ["a-wrong-token", ""] {
        let refused = from("10.0.0.1:99", token);
        assert_eq!(
            (refused.status, refused.error("code").as_str()),
            (429, "rate_limit_exceeded")
        );
        assert_eq!(refused.header("retry-after"), Some("60"));
        assert_eq!(refused.header("x-should-retry"), Some("false"));
    }
    assert_eq!(
        from("10.0.0.1:99", TOKEN).status,
        200,
        "the right token still works from this address"
    );
    assert_eq!(
        from("10.0.0.2:1", "a-wrong-token").status,
        401,
        "another address"
    );
    assert_eq!(
        pool.database
            .query("SELECT client_address, calls FROM rate_limits ORDER BY 1"),
        ["wrong token 10.0.0.1|22", "wrong token 10.0.0.2|1"]
    );
    pool.advance(60_000);
    assert_eq!(
        from("10.0.0.1:1", "a-wrong-token").status,
        401,
        "another minute"
    );
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
        pool.call("POST", "/v1/chat/completions", &headers, "{}")
            .status
    };
    let statuses = ["wrong-token", "wrong-token", TOKEN, "wrong-token", TOKEN].map(status);
    assert_eq!(statuses, [401, 401, 400, 429, 429]);
    assert_eq!(
        pool.database
            .query("SELECT client_address, calls FROM rate_limits"),
        ["2001:db8::/64|5"]
    );
}

#[test]
fn the_hosts_headers_override_forged_ones() {
    let pool = Pool::with(&[("rate_limit_per_minute", "1")]);
    let bearer = format!("Bearer {TOKEN}");
    let statuses = ["9.9.9.1:1", "9.9.9.2:1", "9.9.9.3:1"].map(|forged| {
        let headers = [
            ("authorization", bearer.as_str()),
            ("spin-client-addr", forged),
            ("spin-client-addr", "10.0.0.1:1"),
        ];
        pool.call("POST", "/v1/chat/completions", &headers, "{}")
            .status
    });
    assert_eq!(statuses, [400, 429, 429]);

    let pool = Pool::new();
    pool.script_upload(UPLOAD);
    let headers = [
        ("authorization", bearer.as_str()),
        ("spin-full-url", "https://evil.example/"),
        ("spin-full-url", "http://pool.example/upload/v1beta/files"),
        ("x-goog-upload-command", "start"),
    ];
    let begun = pool.call("POST", "/upload/v1beta/files", &headers, "{}");
    assert_eq!(
        begun.header("x-goog-upload-url"),
        Some("http://pool.example/upload/v1beta/files?upload_id=U")
    );
}

#[test]
fn head_has_the_length_of_get_and_no_body() {
    let pool = Pool::new();
    for path in ["/healthz", "/readyz", "/nowhere", "/v1/files/f"] {
        let get = pool.call("GET", path, &[], "");
        let head = pool.call("HEAD", path, &[], "");
        assert_eq!(
            (head.status, head.body.as_str()),
            (get.status, ""),
            "{path}"
        );
        assert_eq!(
            get.header("content-length"),
            Some(get.body.len().to_string().as_str())
        );
        assert_eq!(
            head.header("content-length"),
            get.header("content-length"),
            "{path}"
        );
    }
    let wrong_method = pool.call("HEAD", "/v1/chat/completions", &[], "");
    assert_eq!((wrong_method.status, wrong_method.body.as_str()), (405, ""));

    let scripted = |status, length: Option<&str>| {
        let length = length.map(|length| ("content-length", length.to_owned()));
        pool.script_reply(Ok(Scripted {
            status,
            content_type: "video/mp4",
            content_encoding: None,
            headers: length.into_iter().collect(),
            chunks: Vec::new(),
        }));
    };
    for (method, status, length, expected) in [
        ("HEAD", 200, Some("123456789"), Some("123456789")),
        ("HEAD", 200, None, None),
        ("GET", 304, Some("123456789"), Some("123456789")),
        ("GET", 304, None, None),
        ("GET", 200, None, Some("0")),
        ("DELETE", 204, None, None),
    ] {
        scripted(status, length);
        let answer = pool.call_with_bearer(method, "/v1beta/files/f:download", "");
        assert_eq!((answer.status, answer.body.as_str()), (status, ""));
        assert_eq!(
            answer.header("content-length"),
            expected,
            "{method} {status} {length:?}"
        );
    }
}

#[test]
fn is_not_ready_without_a_client_token() {
    let pool = Pool::with(&[("my_api_token", "")]);
    let answer = pool.call("GET", "/readyz", &[], "");
    assert_eq!(
        (answer.status, answer.error("code").as_str()),
        (503, "client_token_not_configured")
    );
    assert!(answer.error("message").contains("my_api_token"));
    assert_eq!(pool.call("GET", "/healthz", &[], "").status, 200);
}

#[test]
fn the_status_report_warns_of_malformed_keys() {
    let pool = Pool::with(&[("gemini_api_key", "AIzaFAKE-1,AIzaFAKE 2,AIzaFAKE-3")]);
    let report = pool.call_with_bearer("GET", "/api/keys/status", "");
    assert_eq!(report.status, 200);
    let json: serde_json::Value = serde_json::from_str(&report.body).unwrap();
    let warning = json["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("entry 2") && !report.body.contains("FAKE"),
        "{warning}"
    );
    let fine = Pool::new().call_with_bearer("GET", "/api/keys/status", "");
    assert!(!fine.body.contains("warnings"), "{}", fine.body);
}

#[test]
fn removes_response_headers_that_contain_a_secret() {
    let pool = Pool::new();
    pool.script_reply(Ok(Scripted {
        status: 200,
        content_type: "application/json",
        content_encoding: None,
        headers: vec![
            ("etag", format!("W/\"{KEY}\"")),
            (
                "content-disposition",
                format!("attachment; filename={TOKEN}"),
            ),
            ("last-modified", "Fri, 15 Jan 2027 08:00:00 GMT".to_owned()),
        ],
        chunks: vec![Ok(b"{}".to_vec())],
    }));
    let answer = pool.call_with_bearer("GET", "/v1beta/files/f", "");
    assert_eq!(answer.status, 200);
    assert!(answer.header("last-modified").is_some());
    assert!(!format!("{:?}", answer.headers).contains(KEY));
    assert!(answer.header("etag").is_none() && answer.header("content-disposition").is_none());
}

#[test]
fn decompresses_requests_before_sending_them() {
    let pool = Pool::with(&[("model_aliases", "gpt-4o=m")]);
    let embed = r#"{"model":"gpt-4o","input":"a"}"#;
    for (path, body, sent, answer) in [
        ("/v1/chat/completions", CHAT, CHAT, ANSWER),
        (
            "/v1/embeddings",
            embed,
            r#"{"model":"m","input":"a"}"#,
            "{}",
        ),
    ] {
        pool.script(200, "application/json", &[answer]);
        let reply = pool.call_encoded("gzip", path, gzip(body));
        assert_eq!(reply.status, 200, "{}", reply.body);
        let all = pool.host.0.sent.borrow();
        let last = all.last().unwrap();
        assert_eq!(
            (last.body.as_str(), last.headers.get("content-encoding")),
            (sent, None)
        );
    }
    assert_eq!(pool.models_logged(), ["m", "m"]);
    let other = pool.call_encoded("zstd", "/v1/embeddings", b"x".to_vec());
    assert_eq!(
        (
            other.status,
            other.error("code").as_str(),
            other.header("accept-encoding")
        ),
        (415, "unsupported_encoding", Some("gzip, identity"))
    );
    assert!(other.error("message").contains("gzip"));
    assert_eq!(pool.sent(), 2);
}

#[test]
fn removes_an_upload_url_from_a_foreign_model_list() {
    let pool = Pool::new();
    pool.script_reply(Ok(Scripted {
        status: 200,
        content_type: "text/plain",
        content_encoding: None,
        headers: vec![(
            "x-goog-upload-url",
            format!("https://other.example/?key={KEY}"),
        )],
        chunks: vec![Ok(b"no list".to_vec())],
    }));
    let answer = pool.call_with_bearer("GET", "/v1/models", "");
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
    assert_eq!(
        (answer.status, answer.error("code").as_str()),
        (503, "pool_busy")
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("x-should-retry"), None);
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    drop(held);
    pool.script_answer();
    assert_eq!(pool.chat(&large).status, 200);
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
            "https://example.com/gemini",
        ),
    ] {
        let pool = Pool::with(&settings);
        pool.script_upload(UPLOAD);
        let start = [
            ("x-goog-api-key", TOKEN),
            ("x-goog-upload-command", "start"),
        ];
        let headers = [&start, headers].concat();
        let begun = pool.call("POST", "/upload/v1beta/files", &headers, "{}");
        assert_eq!(
            begun.header("x-goog-upload-url").unwrap(),
            format!("{base}/upload/v1beta/files?upload_id=U")
        );
    }
}
