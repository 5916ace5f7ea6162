//! Affinity: a resource is used with the key that created it, or another key of its project.

use super::*;

const FILE: &str = r#"{"file":{"name":"files/abc","uri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}"#;
const USES_FILE: &str = r#"{"contents":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}]}]}"#;
const NATIVE_ANSWER: &str =
    r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP","index":0}]}"#;
const GENERATE: &str = "/v1beta/models/m:generateContent";

/// A pool of keys 1 to 9. Keys 7 and 8 belong to one project.
fn pool() -> Pool {
    let pool = Pool::new();
    for id in 2..=9 {
        let project = if id == 7 || id == 8 {
            "'projects/7'"
        } else {
            "NULL"
        };
        pool.database.run(&format!(
            "INSERT INTO api_keys (id, api_key, project) VALUES ({id}, 'AIzaFAKE-key-{id:03}', {project})"
        ));
    }
    pool
}

/// Whether a call used `key` or another key of its project.
fn used_project_of(answer: &Answer, key: &str) -> bool {
    let used = answer.header("x-keypool-key").unwrap();
    used == key || [used, key].iter().all(|key| ["7", "8"].contains(key))
}

impl Pool {
    fn script_json(&self, json: &str) {
        self.script(200, "application/json", &[json]);
    }

    fn insert_resource(&self, name: &str, key: i64, project: &str) {
        self.database.run(&format!(
            "INSERT INTO resources (name, api_key_id, project, made_at) VALUES ('{name}', {key}, {project}, '2027-01-15T08:00:00.000Z')"
        ));
    }
}

#[test]
fn uses_a_file_with_the_key_that_created_it() {
    let pool = pool();
    pool.script_json(FILE);
    let made = pool.call_gemini("POST", "/upload/v1beta/files?uploadType=multipart", "x");
    assert_eq!(made.status, 200);
    let key = made.header("x-keypool-key").unwrap().to_owned();
    let chat = USES_FILE.replace("contents", "messages");
    for _ in 0..5 {
        for (method, path, body, answer) in [
            ("POST", GENERATE, USES_FILE, NATIVE_ANSWER),
            ("GET", "/v1beta/files/abc", "", FILE),
            ("GET", "/v1beta/files/abc:download?alt=media", "", "bytes"),
            ("POST", "/v1beta/models/m:countTokens", USES_FILE, "{}"),
            ("POST", "/v1/chat/completions", chat.as_str(), ANSWER),
        ] {
            pool.script_json(answer);
            let used = pool.call_gemini(method, path, body);
            assert_eq!(used.status, 200, "{path}: {}", used.body);
            assert!(used_project_of(&used, &key), "{path}");
        }
    }
    pool.script_json("{}");
    assert_eq!(
        pool.call_gemini("DELETE", "/v1beta/files/abc", "").status,
        200
    );
    let left = "SELECT count(*) FROM resources";
    assert_eq!(pool.database.query(left), ["0"]);
}

#[test]
fn learns_names_from_every_kind_of_answer() {
    for (path, answer, name) in [
        (
            "/v1beta/cachedContents",
            r#"{"name":"cachedContents/c","model":"models/m"}"#,
            "cachedContents/c",
        ),
        (
            "/v1beta/models/m:batchGenerateContent",
            r#"{"name":"batches/b","metadata":{}}"#,
            "batches/b",
        ),
        (
            "/v1beta/models/veo:predictLongRunning",
            r#"{"name":"models/veo/operations/o"}"#,
            "models/veo/operations/o",
        ),
        (
            "/v1/batches",
            r#"{"id":"batches/b2","object":"batch"}"#,
            "batches/b2",
        ),
        ("/v1/videos", r#"{"id":"v1","object":"video"}"#, "videos/v1"),
    ] {
        let pool = pool();
        pool.script_json(answer);
        let bearer = format!("Bearer {TOKEN}");
        let made = pool.call("POST", path, &[("authorization", &bearer)], "{}");
        assert_eq!(made.status, 200, "{path}");
        let key = made.header("x-keypool-key").unwrap();
        let rows = pool
            .database
            .query("SELECT name, api_key_id FROM resources");
        assert_eq!(rows, [format!("{name}|{key}")], "{path}");
    }
    let pool = pool();
    pool.script(
        400,
        "application/json",
        &[r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"files/abc"}}"#],
    );
    pool.call_gemini("POST", "/v1beta/cachedContents", r#"{"x":"files/abc"}"#);
    assert_eq!(pool.database.query("SELECT count(*) FROM resources"), ["0"]);
}

#[test]
fn retries_stay_within_the_owners_project() {
    for _ in 0..5 {
        let pool = pool();
        pool.insert_resource("files/abc", 7, "NULL");
        let over = fake_gemini::errors::resource_exhausted();
        pool.script(429, "application/json", &[&over.pretty()]);
        pool.script(
            503,
            "application/json",
            &[&fake_gemini::errors::overloaded().pretty()],
        );
        pool.script_json(NATIVE_ANSWER);
        let answer = pool.call_gemini("POST", GENERATE, USES_FILE);
        let keys = pool
            .database
            .query("SELECT DISTINCT api_key_id FROM api_call_logs ORDER BY api_key_id");
        assert!(keys.iter().all(|key| key == "7" || key == "8"), "{keys:?}");
        assert_ne!(answer.status, 200, "no other project has the file");
    }
}

#[test]
fn a_resource_of_a_missing_key_is_not_found() {
    let pool = pool();
    pool.insert_resource("files/abc", 99, "NULL");
    let answer = pool.call_gemini("POST", GENERATE, USES_FILE);
    assert_eq!(answer.status, 404);
    assert!(
        answer.body.contains("RESOURCE_OWNER_GONE"),
        "{}",
        answer.body
    );
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    pool.database
        .run("UPDATE resources SET api_key_id = 3; UPDATE api_keys SET status = 0 WHERE id = 3");
    pool.advance(500);
    assert_eq!(pool.call_gemini("POST", GENERATE, USES_FILE).status, 404);
    pool.insert_resource("cachedContents/c", 5, "'projects/5'");
    pool.database
        .run("UPDATE resources SET project = 'projects/3' WHERE name = 'files/abc'");
    let both = USES_FILE.replace("}]}]}", "}]}],\"cachedContent\":\"cachedContents/c\"}");
    let answer = pool.call_gemini("POST", GENERATE, &both);
    assert_eq!(answer.status, 400);
    assert!(
        answer.body.contains("RESOURCES_OF_DIFFERENT_PROJECTS"),
        "{}",
        answer.body
    );
    assert_eq!(pool.sent(), 0);
    // A cooling owner is not a missing one.
    pool.database.run("INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
        ('key:5', '', 'billing_exhausted', '2027-01-15T08:00:00.000Z', '2027-01-15T09:00:00.000Z', 1)");
    pool.advance(500);
    let cached = r#"{"contents":[],"cachedContent":"cachedContents/c"}"#;
    let answer = pool.call_gemini("POST", GENERATE, cached);
    assert_eq!(answer.status, 429);
    assert!(
        answer.body.contains("Of 1 keys: 1 billing_exhausted"),
        "{}",
        answer.body
    );
}

#[test]
fn an_upload_continues_with_its_key_and_no_token() {
    let pool = pool();
    let upstream = "https://generativelanguage.googleapis.com/upload/v1beta/files?upload_id=AbC_1&upload_protocol=resumable&key=leak";
    pool.script_upload(upstream);
    let headers = [
        ("x-goog-api-key", TOKEN),
        ("host", "pool.example:3000"),
        ("x-goog-upload-command", "start"),
        (
            "spin-full-url",
            "http://pool.example:3000/upload/v1beta/files",
        ),
    ];
    let begun = pool.call("POST", "/upload/v1beta/files", &headers, "{}");
    let here =
        "http://pool.example:3000/upload/v1beta/files?upload_id=AbC_1&upload_protocol=resumable";
    assert_eq!(begun.header("x-goog-upload-url"), Some(here));
    assert_eq!(begun.header("x-goog-upload-status"), Some("active"));
    let key = begun.header("x-keypool-key").unwrap();
    let path = here.strip_prefix("http://pool.example:3000").unwrap();
    pool.script_json(FILE);
    let headers = [
        ("x-goog-upload-command", "upload, finalize"),
        ("x-goog-upload-offset", "0"),
    ];
    let ended = pool.call("POST", path, &headers, "the bytes");
    assert_eq!(ended.status, 200, "{}", ended.body);
    assert_eq!(ended.header("x-keypool-key"), Some(key));
    {
        let sent = pool.host.0.sent.borrow();
        let last = sent.last().unwrap();
        assert_eq!(
            last.uri,
            format!("https://generativelanguage.googleapis.com{path}")
        );
        assert_eq!(last.headers["x-goog-upload-command"], "upload, finalize");
        assert_eq!(last.body, "the bytes");
    }
    let sent = pool.sent();
    for (path, status) in [
        ("/upload/v1beta/files?upload_id=other", 401),
        ("/upload/v1beta/files", 401),
        ("/v1beta/files?upload_id=AbC_1", 401),
    ] {
        assert_eq!(pool.call("POST", path, &[], "x").status, status, "{path}");
    }
    let wrong = pool.call("POST", path, &[("x-goog-api-key", "other")], "x");
    assert_eq!(
        (wrong.status, pool.sent()),
        (401, sent),
        "a wrong token is rejected despite the upload URL"
    );
    let rows = pool
        .database
        .query("SELECT name, api_key_id FROM resources ORDER BY name");
    assert_eq!(
        rows,
        [
            format!("files/abc|{key}"),
            format!("uploads/upload/v1beta/files?AbC_1|{key}")
        ]
    );
}

#[test]
fn a_sticky_conversation_stays_with_one_key() {
    let turns = |second: &str| {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"first"}}{second}]}}"#)
    };
    let keys = |variables: &[(&str, &str)]| {
        let pool = Pool::with(variables);
        for id in 2..=9 {
            pool.database.run(&format!(
                "INSERT INTO api_keys (id, api_key) VALUES ({id}, 'AIzaFAKE-key-{id:03}')"
            ));
        }
        for _ in 0..10 {
            pool.script_json(ANSWER);
            pool.script_json(ANSWER);
            assert_eq!(pool.chat(&turns("")).status, 200);
            let later = r#",{"role":"assistant","content":"a"},{"role":"user","content":"b"}"#;
            assert_eq!(pool.chat(&turns(later)).status, 200);
        }
        let used = "SELECT DISTINCT api_key_id FROM api_call_logs";
        pool.database.query(used).len()
    };
    assert_eq!(keys(&[("sticky", "true")]), 1);
    assert!(keys(&[]) > 3);
}

#[test]
fn the_upstream_decides_if_no_project_is_known() {
    let pool = pool();
    pool.insert_resource("files/abc", 1, "NULL");
    pool.insert_resource("cachedContents/c", 2, "NULL");
    let both = USES_FILE.replace("}]}]}", "}]}],\"cachedContent\":\"cachedContents/c\"}");
    pool.script_json(NATIVE_ANSWER);
    let answer = pool.call_gemini("POST", GENERATE, &both);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(["1", "2"].contains(&answer.header("x-keypool-key").unwrap()));
}

#[test]
fn does_not_learn_names_that_a_request_mentions() {
    let named = USES_FILE.replace("}]}]}", "}]}],\"generationConfig\":{\"stopSequences\":[\"files/daily\"]},\"cachedContent\":\"cachedContents/c\"}");
    let chat = r#"{"model":"m","stop":["files/daily"],"messages":[],"extra_body":{"google":{"cached_content":"cachedContents/c"}}}"#;
    let ask = |method: &str, path: &str, body: &str, answer: &str| {
        let pool = pool();
        pool.database.run("UPDATE api_keys SET project = NULL");
        let denied = fake_gemini::errors::file_denied("abc").pretty();
        pool.script(403, "application/json", &[&denied]);
        pool.script_json(answer);
        let answer = pool.call_gemini(method, path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_eq!(
            pool.database.query("SELECT count(*) FROM cool_downs"),
            ["0"],
            "no key is blamed for a foreign file"
        );
        pool.database
            .query("SELECT name FROM resources ORDER BY name")
    };
    let none = [""; 0];
    assert_eq!(ask("POST", GENERATE, &named, NATIVE_ANSWER), none);
    assert_eq!(ask("POST", "/v1/chat/completions", chat, ANSWER), none);
    for path in [
        "/v1beta/models/m:countTokens",
        "/v1beta/models/m:embedContent",
    ] {
        assert_eq!(
            ask("POST", path, &named, r#"{"totalTokens":3}"#),
            none,
            "{path}"
        );
    }
    // Names that the answer repeats are not learned, either; names of created resources are.
    assert_eq!(
        ask(
            "POST",
            "/v1beta/models/m:batchGenerateContent",
            r#"{"batch":{"inputConfig":{"fileName":"files/in"}}}"#,
            r#"{"name":"batches/b","metadata":{"inputConfig":{"fileName":"files/in"}}}"#,
        ),
        ["batches/b", "files/in"],
    );
}

fn owner(pool: &Pool, name: &str) -> String {
    let owner = format!("SELECT api_key_id FROM resources WHERE name = '{name}'");
    pool.database.query(&owner).concat()
}

#[test]
fn recreating_a_resource_changes_its_owner() {
    let daily = r#"{"file":{"name":"files/daily","uri":"https://generativelanguage.googleapis.com/v1beta/files/daily"}}"#;
    for (path, body, answer, name) in [
        (
            "/upload/v1beta/files?uploadType=multipart",
            r#"{"file":{"name":"files/daily"}}"#,
            daily,
            "files/daily",
        ),
        (
            "/v1beta/files",
            r#"{"file":{"name":"files/daily"}}"#,
            daily,
            "files/daily",
        ),
        (
            "/v1beta/cachedContents",
            r#"{"name":"cachedContents/daily"}"#,
            r#"{"name":"cachedContents/daily"}"#,
            "cachedContents/daily",
        ),
        (
            "/v1beta/corpora",
            r#"{"name":"corpora/daily"}"#,
            r#"{"name":"corpora/daily"}"#,
            "corpora/daily",
        ),
        (
            "/v1beta/tunedModels?tunedModelId=daily",
            "{}",
            r#"{"name":"tunedModels/daily/operations/o","metadata":{"tunedModel":"tunedModels/daily"}}"#,
            "tunedModels/daily",
        ),
    ] {
        for _ in 0..4 {
            let pool = pool();
            // The previous owner is key 1.
            pool.insert_resource(name, 1, "'projects/1'");
            pool.script_json(answer);
            let made = pool.call_gemini("POST", path, body);
            if name.starts_with("cachedContents")
                || name.starts_with("corpora")
                || path == "/v1beta/files"
            {
                // The request names the resource, and so goes to its owner.
                assert_eq!(made.status, 200, "{path}: {}", made.body);
            }
            let key = made.header("x-keypool-key").unwrap();
            assert_eq!(owner(&pool, name), key, "{path}");
        }
    }
}

#[test]
fn a_listing_adds_owners_but_never_overwrites_them() {
    let pool = pool();
    pool.insert_resource("files/known", 99, "'projects/7'");
    let list = r#"{"files":[{"name":"files/known"},{"name":"files/new"}]}"#;
    pool.script_json(list);
    let listed = pool.call_gemini("GET", "/v1beta/files", "");
    let key = listed.header("x-keypool-key").unwrap();
    assert_eq!(owner(&pool, "files/known"), "99");
    assert_eq!(owner(&pool, "files/new"), key);
    pool.script_json(r#"{"name":"files/known"}"#);
    pool.call_gemini("PATCH", "/v1beta/files/known", "{}");
    assert_eq!(owner(&pool, "files/known"), "99");
    pool.script_json(r#"{"name":"batches/b"}"#);
    pool.insert_resource("batches/b", 1, "NULL");
    pool.call_gemini("POST", "/v1beta/batches/b:cancel", "{}");
    assert_eq!(owner(&pool, "batches/b"), "1");
}

#[test]
fn forgets_a_resource_that_its_owner_no_longer_has() {
    let pool = pool();
    pool.insert_resource("cachedContents/c", 1, "NULL");
    let gone = fake_gemini::errors::no_such_entity().pretty();
    pool.script(404, "application/json", &[&gone]);
    assert_eq!(
        pool.call_gemini("GET", "/v1beta/cachedContents/c", "")
            .status,
        404
    );
    assert_eq!(owner(&pool, "cachedContents/c"), "");
}

#[test]
fn finds_names_with_any_json_escapes() {
    let uri = "https://generativelanguage.googleapis.com/v1beta/files/abc";
    for escaped in [
        uri.replace('/', r"\/"),
        uri.replace('/', r"\u002f"),
        uri.replace('/', r"\u002F"),
        uri.replace("files", r"\u0066iles"),
        uri.replace("abc", r"a\u0062c"),
        uri.replace("files/abc", r"fi\u006ces\/\u0061bc"),
    ] {
        for (path, body) in [
            (GENERATE, USES_FILE.replace(uri, &escaped)),
            (
                "/v1beta/models/m:countTokens",
                USES_FILE.replace(uri, &escaped),
            ),
        ] {
            let pool = pool();
            pool.insert_resource("files/abc", 5, "NULL");
            pool.script_json(NATIVE_ANSWER);
            let answer = pool.call_gemini("POST", path, &body);
            assert_eq!(answer.header("x-keypool-key"), Some("5"), "{escaped}");
        }
    }
    let pool = pool();
    pool.script_json(&FILE.replace('/', r"\/"));
    pool.call_gemini("POST", "/upload/v1beta/files?uploadType=multipart", "x");
    assert_ne!(owner(&pool, "files/abc"), "");
}

#[test]
fn an_upload_url_authorizes_nothing_but_its_upload() {
    let pool = pool();
    pool.insert_resource("uploads/upload/v1beta/files?id", 1, "NULL");
    let path = "/upload/v1beta/files?upload_id=id";
    let command = |path: &str, command: &str| {
        pool.call("POST", path, &[("x-goog-upload-command", command)], "x")
            .status
    };
    pool.script_json("{}");
    assert_eq!(command(path, "upload, finalize"), 200);
    for (path, text) in [
        (path, "start"),
        (path, "start, upload"),
        (path, ""),
        (
            "/upload/v1beta/models/m:generateContent?upload_id=id",
            "upload",
        ),
        ("/upload/v1alpha/files?upload_id=id", "upload"),
    ] {
        assert_eq!(command(path, text), 401, "{path} {text}");
    }
    assert_eq!(pool.call("POST", path, &[], "x").status, 401);
    pool.advance(2 * 24 * 3_600_000 + 1);
    assert_eq!(command(path, "upload"), 401, "two days later");
    assert_eq!(pool.sent(), 1);
}

#[test]
fn ignores_names_within_uploaded_content() {
    let pool = pool();
    pool.insert_resource("uploads/upload/v1beta/files?id", 2, "'projects/2'");
    pool.insert_resource("files/abc", 7, "NULL");
    pool.script_json(FILE);
    let headers = [("x-goog-upload-command", "upload, finalize")];
    let path = "/upload/v1beta/files?upload_id=id";
    let answer = pool.call("POST", path, &headers, USES_FILE);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("x-keypool-key"), Some("2"));
}

#[test]
fn an_interaction_continues_in_its_project() {
    let pool = pool();
    pool.script_json(r#"{"id":"v1_abc","outputs":[]}"#);
    let begun = pool.call_gemini(
        "POST",
        "/v1beta/interactions",
        r#"{"model":"m","input":"x"}"#,
    );
    let key = begun.header("x-keypool-key").unwrap();
    for _ in 0..5 {
        pool.script_json(r#"{"id":"v1_def"}"#);
        let more = r#"{"model":"m","input":"y","previous_interaction_id":"v1_abc"}"#;
        let answer = pool.call_gemini("POST", "/v1beta/interactions", more);
        assert!(used_project_of(&answer, key));
        pool.script_json("{}");
        let found = pool.call_gemini("GET", "/v1beta/interactions/v1_def", "");
        assert!(used_project_of(&found, key));
    }
}

#[test]
fn a_streamed_interaction_continues_in_its_project() {
    let pool = pool();
    let created = "event: interaction.created\ndata: {\"event_type\":\"interaction.created\",\"interaction\":{\"id\":\"v1_abc\"}}\n\n";
    pool.script(200, "text/event-stream", &[created, "data: [DONE]\n\n"]);
    let body = r#"{"model":"m","input":"x","stream":true}"#;
    let begun = pool.call_gemini("POST", "/v1beta/interactions", body);
    let key = begun.header("x-keypool-key").unwrap();
    for _ in 0..5 {
        pool.script_json("{}");
        let found = pool.call_gemini("GET", "/v1beta/interactions/v1_abc", "");
        assert!(used_project_of(&found, key));
    }
}

#[test]
fn follows_download_redirects_only_within_the_host() {
    for (location, expected) in [
        ("/download/v1beta/files/abc:download?alt=media", 200),
        (
            "https://generativelanguage.googleapis.com/download/v1beta/files/abc:download?alt=media",
            200,
        ),
        ("https://elsewhere.example/files/abc", 502),
    ] {
        let pool = Pool::with(&[("max_attempts", "1")]);
        pool.script_reply(Ok(Scripted {
            status: 302,
            content_type: "text/html",
            content_encoding: None,
            headers: vec![("location", location.to_owned())],
            chunks: Vec::new(),
        }));
        pool.script(200, "video/mp4", &["the film"]);
        let answer = pool.call_gemini("GET", "/v1beta/files/abc:download?alt=media", "");
        assert_eq!(answer.status, expected, "{location}: {}", answer.body);
        let sent = pool.host.0.sent.borrow();
        assert!(sent.iter().all(|sent| {
            sent.uri
                .starts_with("https://generativelanguage.googleapis.com/")
        }));
        if expected == 200 {
            assert_eq!(answer.body, "the film");
            assert!(
                sent[1]
                    .uri
                    .ends_with("/download/v1beta/files/abc:download?alt=media")
            );
            assert_eq!(sent[1].headers["x-goog-api-key"], KEY);
        }
        let rows = pool.database.query("SELECT count(*) FROM api_call_logs");
        assert_eq!(rows, ["1"], "one call");
    }
}

#[test]
fn a_file_on_another_host_has_no_owner() {
    let pool = pool();
    let cdn = USES_FILE.replace(
        "https://generativelanguage.googleapis.com/v1beta/files/abc",
        "https://cdn.example.com/files/13.pdf",
    );
    pool.script_json(NATIVE_ANSWER);
    assert_eq!(pool.call_gemini("POST", GENERATE, &cdn).status, 200);
    assert_eq!(pool.database.query("SELECT count(*) FROM resources"), ["0"]);
}

#[test]
fn an_empty_answer_reports_the_key_that_gave_it() {
    let pool = Pool::new();
    pool.database
        .run("INSERT INTO api_keys (id, api_key) VALUES (2, 'AIzaFAKE-2')");
    let empty = NATIVE_ANSWER.replace("Hi", "");
    pool.script_json(&empty);
    let denied = fake_gemini::errors::cached_content_denied().pretty();
    pool.script(403, "application/json", &[&denied]);
    let body = r#"{"contents":[],"cachedContent":"cachedContents/c"}"#;
    let answer = pool.call_gemini("POST", GENERATE, body);
    assert_eq!((answer.status, answer.body), (200, empty));
    let first = "SELECT api_key_id FROM api_call_logs WHERE attempt = 1";
    let first = pool.database.query(first).concat();
    assert_eq!(answer.headers["x-keypool-key"], first.as_str());
}
