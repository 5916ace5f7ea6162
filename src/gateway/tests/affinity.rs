//! What was made with a key is used with that key, or one of its project.

use super::*;

const FILE: &str = r#"{"file":{"name":"files/abc","uri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}"#;
const USES_FILE: &str = r#"{"contents":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}]}]}"#;
const SAID: &str =
    r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP","index":0}]}"#;
const GENERATE: &str = "/v1beta/models/m:generateContent";

/// Keys 1 to 9; 7 and 8 are of one project.
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

/// Whether a call was made with `key`, or one of its project.
fn is_made_with(answer: &Answer, key: &str) -> bool {
    let used = answer.header("x-keypool-key").unwrap();
    used == key || [used, key].iter().all(|key| ["7", "8"].contains(key))
}

impl Pool {
    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.call(method, path, &[("x-goog-api-key", TOKEN)], body)
    }

    fn json(&self, json: &str) {
        self.script(200, "application/json", &[json]);
    }

    fn made_by(&self, name: &str, key: i64, project: &str) {
        self.database.run(&format!(
            "INSERT INTO resources (name, api_key_id, project, made_at) VALUES ('{name}', {key}, {project}, '2027-01-15T08:00:00.000Z')"
        ));
    }
}

#[test]
fn a_file_is_used_with_the_key_that_made_it() {
    let pool = pool();
    pool.json(FILE);
    let made = pool.ask("POST", "/upload/v1beta/files?uploadType=multipart", "x");
    assert_eq!(made.status, 200);
    let key = made.header("x-keypool-key").unwrap().to_owned();
    let chat = USES_FILE.replace("contents", "messages");
    for _ in 0..5 {
        for (method, path, body, answer) in [
            ("POST", GENERATE, USES_FILE, SAID),
            ("GET", "/v1beta/files/abc", "", FILE),
            ("GET", "/v1beta/files/abc:download?alt=media", "", "bytes"),
            ("POST", "/v1beta/models/m:countTokens", USES_FILE, "{}"),
            ("POST", "/v1/chat/completions", chat.as_str(), ANSWER),
        ] {
            pool.json(answer);
            let used = pool.ask(method, path, body);
            assert_eq!(used.status, 200, "{path}: {}", used.body);
            assert!(is_made_with(&used, &key), "{path}");
        }
    }
    pool.json("{}");
    assert_eq!(pool.ask("DELETE", "/v1beta/files/abc", "").status, 200);
    let left = "SELECT count(*) FROM resources";
    assert_eq!(pool.database.query(left), ["0"]);
}

#[test]
fn names_are_learned_from_every_kind_of_answer() {
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
        pool.json(answer);
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
    pool.ask("POST", "/v1beta/cachedContents", r#"{"x":"files/abc"}"#);
    assert_eq!(pool.database.query("SELECT count(*) FROM resources"), ["0"]);
}

#[test]
fn keys_of_one_project_share_what_one_of_them_made_on_retries_too() {
    for _ in 0..5 {
        let pool = pool();
        pool.made_by("files/abc", 7, "NULL");
        let over = fake_gemini::errors::resource_exhausted();
        pool.script(429, "application/json", &[&over.pretty()]);
        pool.script(
            503,
            "application/json",
            &[&fake_gemini::errors::overloaded().pretty()],
        );
        pool.json(SAID);
        let answer = pool.ask("POST", GENERATE, USES_FILE);
        let keys = pool
            .database
            .query("SELECT DISTINCT api_key_id FROM api_call_logs ORDER BY api_key_id");
        assert!(keys.iter().all(|key| key == "7" || key == "8"), "{keys:?}");
        assert_ne!(answer.status, 200, "no other project can");
    }
}

#[test]
fn what_belongs_to_a_key_that_is_gone_is_not_found() {
    let pool = pool();
    pool.made_by("files/abc", 99, "NULL");
    let answer = pool.ask("POST", GENERATE, USES_FILE);
    assert_eq!(answer.status, 404);
    assert!(
        answer.body.contains("RESOURCE_OWNER_GONE"),
        "{}",
        answer.body
    );
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    pool.database
        .run("UPDATE resources SET api_key_id = 3; UPDATE api_keys SET status = 0 WHERE id = 3");
    pool.later(500);
    assert_eq!(pool.ask("POST", GENERATE, USES_FILE).status, 404);
    pool.made_by("cachedContents/c", 5, "'projects/5'");
    pool.database
        .run("UPDATE resources SET project = 'projects/3' WHERE name = 'files/abc'");
    let both = USES_FILE.replace("}]}]}", "}]}],\"cachedContent\":\"cachedContents/c\"}");
    let answer = pool.ask("POST", GENERATE, &both);
    assert_eq!(answer.status, 400);
    assert!(
        answer.body.contains("RESOURCES_OF_DIFFERENT_PROJECTS"),
        "{}",
        answer.body
    );
    assert_eq!(pool.sent(), 0);
    // Cooling is not gone.
    pool.database.run("INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
        ('key:5', '', 'billing_exhausted', '2027-01-15T08:00:00.000Z', '2027-01-15T09:00:00.000Z', 1)");
    pool.later(500);
    let cached = r#"{"contents":[],"cachedContent":"cachedContents/c"}"#;
    let answer = pool.ask("POST", GENERATE, cached);
    assert_eq!(answer.status, 429);
    assert!(
        answer.body.contains("Of 1 keys: 1 billing_exhausted"),
        "{}",
        answer.body
    );
}

#[test]
fn an_upload_goes_on_here_without_a_credential_and_with_its_key() {
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
    pool.json(FILE);
    let headers = [
        ("x-goog-upload-command", "upload, finalize"),
        ("x-goog-upload-offset", "0"),
    ];
    let ended = pool.call("POST", path, &headers, "the bytes");
    assert_eq!(ended.status, 200, "{}", ended.body);
    assert_eq!(ended.header("x-keypool-key"), Some(key));
    {
        let sent = pool.outside.0.sent.borrow();
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
        "a wrong token is no missing one"
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
            pool.json(ANSWER);
            pool.json(ANSWER);
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
fn of_things_whose_project_nobody_knows_the_upstream_decides() {
    let pool = pool();
    pool.made_by("files/abc", 1, "NULL");
    pool.made_by("cachedContents/c", 2, "NULL");
    let both = USES_FILE.replace("}]}]}", "}]}],\"cachedContent\":\"cachedContents/c\"}");
    pool.json(SAID);
    let answer = pool.ask("POST", GENERATE, &both);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(["1", "2"].contains(&answer.header("x-keypool-key").unwrap()));
}

#[test]
fn nothing_is_learned_from_what_a_request_merely_names() {
    let named = USES_FILE.replace("}]}]}", "}]}],\"generationConfig\":{\"stopSequences\":[\"files/daily\"]},\"cachedContent\":\"cachedContents/c\"}");
    let chat = r#"{"model":"m","stop":["files/daily"],"messages":[],"extra_body":{"google":{"cached_content":"cachedContents/c"}}}"#;
    let ask = |method: &str, path: &str, body: &str, answer: &str| {
        let pool = pool();
        pool.database.run("UPDATE api_keys SET project = NULL");
        let denied = fake_gemini::errors::file_denied("abc").pretty();
        pool.script(403, "application/json", &[&denied]);
        pool.json(answer);
        let answer = pool.ask(method, path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_eq!(
            pool.database.query("SELECT count(*) FROM cool_downs"),
            ["0"],
            "no key is to blame for a stranger's file"
        );
        pool.database
            .query("SELECT name FROM resources ORDER BY name")
    };
    let none = [""; 0];
    assert_eq!(ask("POST", GENERATE, &named, SAID), none);
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
    // An answer that repeats what the request has named is no news either; what it has made is.
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
fn what_is_made_again_under_its_own_name_belongs_to_the_key_that_made_it_last() {
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
            // Key 99 is gone, so that nobody could use what belongs to it.
            pool.made_by(name, 1, "'projects/1'");
            pool.json(answer);
            let made = pool.ask("POST", path, body);
            if name.starts_with("cachedContents")
                || name.starts_with("corpora")
                || path == "/v1beta/files"
            {
                // The request names it, and goes to its owner.
                assert_eq!(made.status, 200, "{path}: {}", made.body);
            }
            let key = made.header("x-keypool-key").unwrap();
            assert_eq!(owner(&pool, name), key, "{path}");
        }
    }
}

#[test]
fn a_listing_never_overwrites_and_teaches_what_nobody_knew() {
    let pool = pool();
    pool.made_by("files/known", 99, "'projects/7'");
    let list = r#"{"files":[{"name":"files/known"},{"name":"files/new"}]}"#;
    pool.json(list);
    let listed = pool.ask("GET", "/v1beta/files", "");
    let key = listed.header("x-keypool-key").unwrap();
    assert_eq!(owner(&pool, "files/known"), "99");
    assert_eq!(owner(&pool, "files/new"), key);
    pool.json(r#"{"name":"files/known"}"#);
    pool.ask("PATCH", "/v1beta/files/known", "{}");
    assert_eq!(owner(&pool, "files/known"), "99");
    pool.json(r#"{"name":"batches/b"}"#);
    pool.made_by("batches/b", 1, "NULL");
    pool.ask("POST", "/v1beta/batches/b:cancel", "{}");
    assert_eq!(owner(&pool, "batches/b"), "1");
}

#[test]
fn what_its_owner_does_not_have_any_more_is_forgotten() {
    let pool = pool();
    pool.made_by("cachedContents/c", 1, "NULL");
    let gone = fake_gemini::errors::no_such_entity().pretty();
    pool.script(404, "application/json", &[&gone]);
    assert_eq!(pool.ask("GET", "/v1beta/cachedContents/c", "").status, 404);
    assert_eq!(owner(&pool, "cachedContents/c"), "");
}

#[test]
fn a_name_is_found_however_json_escapes_it() {
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
            pool.made_by("files/abc", 5, "NULL");
            pool.json(SAID);
            let answer = pool.ask("POST", path, &body);
            assert_eq!(answer.header("x-keypool-key"), Some("5"), "{escaped}");
        }
    }
    let pool = pool();
    pool.json(&FILE.replace('/', r"\/"));
    pool.ask("POST", "/upload/v1beta/files?uploadType=multipart", "x");
    assert_ne!(owner(&pool, "files/abc"), "");
}

#[test]
fn an_upload_in_progress_is_no_token_for_anything_else() {
    let pool = pool();
    pool.made_by("uploads/upload/v1beta/files?id", 1, "NULL");
    let path = "/upload/v1beta/files?upload_id=id";
    let command = |path: &str, command: &str| {
        pool.call("POST", path, &[("x-goog-upload-command", command)], "x")
            .status
    };
    pool.json("{}");
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
    pool.later(2 * 24 * 3_600_000 + 1);
    assert_eq!(command(path, "upload"), 401, "two days later");
    assert_eq!(pool.sent(), 1);
}

#[test]
fn what_is_uploaded_is_content_whatever_it_mentions() {
    let pool = pool();
    pool.made_by("uploads/upload/v1beta/files?id", 2, "'projects/2'");
    pool.made_by("files/abc", 7, "NULL");
    pool.json(FILE);
    let headers = [("x-goog-upload-command", "upload, finalize")];
    let path = "/upload/v1beta/files?upload_id=id";
    let answer = pool.call("POST", path, &headers, USES_FILE);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("x-keypool-key"), Some("2"));
}

#[test]
fn an_interaction_goes_on_where_it_began() {
    let pool = pool();
    pool.json(r#"{"id":"v1_abc","outputs":[]}"#);
    let begun = pool.ask(
        "POST",
        "/v1beta/interactions",
        r#"{"model":"m","input":"x"}"#,
    );
    let key = begun.header("x-keypool-key").unwrap();
    for _ in 0..5 {
        pool.json(r#"{"id":"v1_def"}"#);
        let more = r#"{"model":"m","input":"y","previous_interaction_id":"v1_abc"}"#;
        let answer = pool.ask("POST", "/v1beta/interactions", more);
        assert!(is_made_with(&answer, key));
        pool.json("{}");
        let found = pool.ask("GET", "/v1beta/interactions/v1_def", "");
        assert!(is_made_with(&found, key));
    }
}

#[test]
fn a_streamed_interaction_goes_on_where_it_began() {
    let pool = pool();
    let created = "event: interaction.created\ndata: {\"event_type\":\"interaction.created\",\"interaction\":{\"id\":\"v1_abc\"}}\n\n";
    pool.script(200, "text/event-stream", &[created, "data: [DONE]\n\n"]);
    let body = r#"{"model":"m","input":"x","stream":true}"#;
    let begun = pool.ask("POST", "/v1beta/interactions", body);
    let key = begun.header("x-keypool-key").unwrap();
    for _ in 0..5 {
        pool.json("{}");
        let found = pool.ask("GET", "/v1beta/interactions/v1_abc", "");
        assert!(is_made_with(&found, key));
    }
}

#[test]
fn a_download_is_fetched_from_where_google_has_it_on_its_own_host() {
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
        let answer = pool.ask("GET", "/v1beta/files/abc:download?alt=media", "");
        assert_eq!(answer.status, expected, "{location}: {}", answer.body);
        let sent = pool.outside.0.sent.borrow();
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
fn what_others_host_belongs_to_nobody() {
    let pool = pool();
    let cdn = USES_FILE.replace(
        "https://generativelanguage.googleapis.com/v1beta/files/abc",
        "https://cdn.example.com/files/13.pdf",
    );
    pool.json(SAID);
    assert_eq!(pool.ask("POST", GENERATE, &cdn).status, 200);
    assert_eq!(pool.database.query("SELECT count(*) FROM resources"), ["0"]);
}

#[test]
fn an_answer_without_content_that_is_handed_on_after_all_is_its_own_keys() {
    let pool = Pool::new();
    pool.database
        .run("INSERT INTO api_keys (id, api_key) VALUES (2, 'AIzaFAKE-2')");
    let empty = SAID.replace("Hi", "");
    pool.json(&empty);
    let denied = fake_gemini::errors::cached_content_denied().pretty();
    pool.script(403, "application/json", &[&denied]);
    let body = r#"{"contents":[],"cachedContent":"cachedContents/c"}"#;
    let answer = pool.ask("POST", GENERATE, body);
    assert_eq!((answer.status, answer.body), (200, empty));
    let first = "SELECT api_key_id FROM api_call_logs WHERE attempt = 1";
    let first = pool.database.query(first).concat();
    assert_eq!(answer.headers["x-keypool-key"], first.as_str());
}
