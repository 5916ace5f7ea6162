//! Affinity: a resource is used with the key that created it, or another key of its project.

use super::*;

const FILE: &str = r#"{"file":{"name":"files/abc","uri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}"#;
const USES_FILE: &str = r#"{"contents":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}]}]}"#;
const COUNT_TOKENS: &str = "/v1beta/models/m:countTokens";
const UPLOAD: &str = "/upload/v1beta/files";
const INTERACTIONS: &str = "/v1beta/interactions";

/// A pool of keys 1 to 9. Keys 7 and 8 belong to one project.
fn pool() -> Pool {
    let pool = Pool::of(9);
    pool.run("UPDATE api_keys SET project = 'projects/7' WHERE id IN (7, 8)");
    pool
}

/// Checks that a call used `key` or another key of its project.
#[track_caller]
fn assert_used_project_of(answer: &Answer, key: &str) {
    answer.assert_status(200);
    let used = answer.key();
    let is_same_project = [used, key].iter().all(|key| ["7", "8"].contains(key));
    assert!(used == key || is_same_project, "{used} instead of {key}");
}

/// A request that uses two resources.
fn uses_file_and_cache() -> String {
    USES_FILE.replace("}]}]}", "}]}],\"cachedContent\":\"cachedContents/c\"}")
}

fn owner(pool: &Pool, name: &str) -> String {
    let owner = format!("SELECT api_key_id FROM resources WHERE name = '{name}'");
    pool.query(&owner).concat()
}

#[test]
fn uses_a_file_with_the_key_that_created_it() {
    let pool = pool();
    pool.script_json(FILE);
    let made = pool.gemini_post("/upload/v1beta/files?uploadType=multipart", "x");
    made.assert_status(200);
    let key = made.key();
    let chat = USES_FILE.replace("contents", "messages");
    for _ in 0..5 {
        for (method, path, body, answer) in [
            ("POST", GENERATE, USES_FILE, GENERATED),
            ("GET", "/v1beta/files/abc", "", FILE),
            ("GET", "/v1beta/files/abc:download?alt=media", "", "bytes"),
            ("POST", COUNT_TOKENS, USES_FILE, "{}"),
            ("POST", COMPLETIONS, chat.as_str(), ANSWER),
        ] {
            pool.script_json(answer);
            let used = pool.call(method, path, &[API_KEY], body);
            assert_used_project_of(&used, key);
        }
    }
    pool.script_json("{}");
    let deleted = pool.call("DELETE", "/v1beta/files/abc", &[API_KEY], "");
    deleted.assert_status(200);
    assert_eq!(pool.count("resources"), 0);
}

#[test]
fn learns_names_from_every_kind_of_answer() {
    // Path, answer, and the name in it.
    let calls = r#"
        /v1beta/cachedContents {"name":"cachedContents/c","model":"models/m"} cachedContents/c
        /v1beta/models/m:batchGenerateContent {"name":"batches/b","metadata":{}} batches/b
        /v1beta/models/v:predictLongRunning {"name":"models/v/operations/o"} models/v/operations/o
        /v1/batches {"id":"batches/b2","object":"batch"} batches/b2
        /v1/videos {"id":"v1","object":"video"} videos/v1"#;
    for [path, answer, name] in table(calls) {
        let pool = pool();
        pool.script_json(answer);
        let made = pool.post(path, "{}");
        made.assert_status(200);
        let key = made.key();
        let rows = pool.query("SELECT name, api_key_id FROM resources");
        assert_eq!(rows, [format!("{name}|{key}")], "{path}");
    }
    let pool = pool();
    pool.script_native_errors(1, &ApiError::new(400, "INVALID_ARGUMENT", "files/abc"));
    pool.gemini_post("/v1beta/cachedContents", r#"{"x":"files/abc"}"#);
    assert_eq!(pool.count("resources"), 0);
}

#[test]
fn retries_stay_within_the_owners_project() {
    for _ in 0..5 {
        let pool = pool();
        pool.insert_resource("files/abc", 7, "NULL");
        pool.script_native_errors(1, &errors::resource_exhausted());
        pool.script_native_errors(1, &errors::overloaded());
        pool.script_json(GENERATED);
        let answer = pool.gemini_post(GENERATE, USES_FILE);
        let keys = pool.used_keys();
        assert!(keys.chars().all(|key| "78".contains(key)), "{keys}");
        assert_ne!(answer.status, 200, "no other project has the file");
    }
}

#[test]
fn a_resource_of_a_missing_key_is_not_found() {
    let pool = pool();
    pool.insert_resource("files/abc", 99, "NULL");
    let answer = pool.gemini_post(GENERATE, USES_FILE);
    answer.assert_status(404);
    assert_contains(&answer.body, "RESOURCE_OWNER_GONE");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    pool.run("UPDATE resources SET api_key_id = 3; UPDATE api_keys SET status = 0 WHERE id = 3");
    pool.advance(500);
    pool.gemini_post(GENERATE, USES_FILE).assert_status(404);
    pool.insert_resource("cachedContents/c", 5, "'projects/5'");
    pool.run("UPDATE resources SET project = 'projects/3' WHERE name = 'files/abc'");
    let answer = pool.gemini_post(GENERATE, &uses_file_and_cache());
    answer.assert_status(400);
    assert_contains(&answer.body, "RESOURCES_OF_DIFFERENT_PROJECTS");
    assert_eq!(pool.sent(), 0);
    // A cooling owner is not a missing one.
    pool.run("INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
        ('key:5', '', 'billing_exhausted', '2027-01-15T08:00:00.000Z', '2027-01-15T09:00:00.000Z', 1)");
    pool.advance(500);
    let cached = r#"{"contents":[],"cachedContent":"cachedContents/c"}"#;
    let answer = pool.gemini_post(GENERATE, cached);
    answer.assert_status(429);
    assert_contains(&answer.body, "Of 1 keys: 1 billing_exhausted");
}

#[test]
fn an_upload_continues_with_its_key_and_no_token() {
    let pool = pool();
    let path = "/upload/v1beta/files?upload_id=AbC_1&upload_protocol=resumable";
    pool.script_upload(&format!("{ORIGIN}{path}&key=leak"));
    let headers = [
        API_KEY,
        ("host", "pool.example:3000"),
        ("x-goog-upload-command", "start"),
        (
            "spin-full-url",
            "http://pool.example:3000/upload/v1beta/files",
        ),
    ];
    let begun = pool.call("POST", UPLOAD, &headers, "{}");
    let here = format!("http://pool.example:3000{path}");
    assert_eq!(begun.headers["x-goog-upload-url"], here);
    assert_eq!(begun.headers["x-goog-upload-status"], "active");
    let key = begun.key();
    pool.script_json(FILE);
    let headers = [
        ("x-goog-upload-command", "upload, finalize"),
        ("x-goog-upload-offset", "0"),
    ];
    let ended = pool.call("POST", path, &headers, "the bytes");
    ended.assert_status(200);
    assert_eq!(ended.key(), key);
    let last = pool.last_sent();
    assert_eq!(last.uri, [ORIGIN, path].concat());
    assert_eq!(last.headers["x-goog-upload-command"], "upload, finalize");
    assert_eq!(last.body, "the bytes");

    // A wrong token is rejected despite the upload URL.
    let wrong = &[("x-goog-api-key", "other")][..];
    let sent = pool.sent();
    for (path, headers) in [
        ("/upload/v1beta/files?upload_id=other", &[][..]),
        (UPLOAD, &[]),
        ("/v1beta/files?upload_id=AbC_1", &[]),
        (path, wrong),
    ] {
        let refused = pool.call("POST", path, headers, "x");
        assert_eq!((refused.status, pool.sent()), (401, sent), "{path}");
    }
    let rows = pool.query("SELECT name, api_key_id FROM resources ORDER BY name");
    let names = ["files/abc", "uploads/upload/v1beta/files?AbC_1"];
    assert_eq!(rows, names.map(|name| format!("{name}|{key}")));
}

#[test]
fn a_sticky_conversation_stays_with_one_key() {
    let turns = |second: &str| {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"first"}}{second}]}}"#)
    };
    let later = r#",{"role":"assistant","content":"a"},{"role":"user","content":"b"}"#;
    let keys = |variables: &[(&str, &str)]| {
        let pool = Pool::with_keys(9, variables);
        for _ in 0..10 {
            for body in [turns(""), turns(later)] {
                pool.script_answer();
                pool.chat(&body).assert_status(200);
            }
        }
        pool.count("(SELECT DISTINCT api_key_id FROM api_call_logs)")
    };
    assert_eq!(keys(&[("sticky", "true")]), 1);
    assert!(keys(&[]) > 3);
}

#[test]
fn the_upstream_decides_if_no_project_is_known() {
    let pool = pool();
    pool.insert_resource("files/abc", 1, "NULL");
    pool.insert_resource("cachedContents/c", 2, "NULL");
    pool.script_json(GENERATED);
    let answer = pool.gemini_post(GENERATE, &uses_file_and_cache());
    answer.assert_status(200);
    assert!(["1", "2"].contains(&answer.key()));
}

#[test]
fn does_not_learn_names_that_a_request_mentions() {
    let named = USES_FILE.replace("}]}]}", "}]}],\"generationConfig\":{\"stopSequences\":[\"files/daily\"]},\"cachedContent\":\"cachedContents/c\"}");
    let chat = r#"{"model":"m","stop":["files/daily"],"messages":[],"extra_body":{"google":{"cached_content":"cachedContents/c"}}}"#;
    let embed = "/v1beta/models/m:embedContent";
    let counted = r#"{"totalTokens":3}"#;
    let batch = r#"{"batch":{"inputConfig":{"fileName":"files/in"}}}"#;
    let created = r#"{"name":"batches/b","metadata":{"inputConfig":{"fileName":"files/in"}}}"#;
    for (path, body, answer, learned) in [
        (GENERATE, &*named, GENERATED, &[][..]),
        (COMPLETIONS, chat, ANSWER, &[]),
        (COUNT_TOKENS, &named, counted, &[]),
        (embed, &named, counted, &[]),
        // Names that the answer repeats are not learned, either; names of created resources are.
        (
            "/v1beta/models/m:batchGenerateContent",
            batch,
            created,
            &["batches/b", "files/in"],
        ),
    ] {
        let pool = pool();
        pool.run("UPDATE api_keys SET project = NULL");
        pool.script_native_errors(1, &errors::file_denied("abc"));
        pool.script_json(answer);
        pool.gemini_post(path, body).assert_status(200);
        // No key is blamed for a foreign file.
        assert_eq!(pool.count("cool_downs"), 0);
        let names = pool.query("SELECT name FROM resources ORDER BY name");
        assert_eq!(names, learned, "{path}");
    }
}

#[test]
fn recreating_a_resource_changes_its_owner() {
    let file = r#"{"file":{"name":"files/daily"}}"#;
    let daily = &FILE.replace("abc", "daily");
    let cache = r#"{"name":"cachedContents/daily"}"#;
    let corpus = r#"{"name":"corpora/daily"}"#;
    let multipart = "/upload/v1beta/files?uploadType=multipart";
    let tune = "/v1beta/tunedModels?tunedModelId=daily";
    let tuned = r#"{"name":"tunedModels/daily/operations/o","metadata":{"tunedModel":"tunedModels/daily"}}"#;
    for (path, body, answer, name) in [
        (multipart, file, daily.as_str(), "files/daily"),
        ("/v1beta/files", file, daily, "files/daily"),
        (
            "/v1beta/cachedContents",
            cache,
            cache,
            "cachedContents/daily",
        ),
        ("/v1beta/corpora", corpus, corpus, "corpora/daily"),
        (tune, "{}", tuned, "tunedModels/daily"),
    ] {
        for _ in 0..4 {
            let pool = pool();
            // The previous owner is key 1.
            pool.insert_resource(name, 1, "'projects/1'");
            pool.script_json(answer);
            let made = pool.gemini_post(path, body);
            if path != multipart && path != tune {
                // The request names the resource, and so goes to its owner.
                made.assert_status(200);
            }
            assert_eq!(owner(&pool, name), made.key(), "{path}");
        }
    }
}

#[test]
fn a_listing_adds_owners_but_never_overwrites_them() {
    let pool = pool();
    pool.insert_resource("files/known", 99, "'projects/7'");
    let list = r#"{"files":[{"name":"files/known"},{"name":"files/new"}]}"#;
    pool.script_json(list);
    let listed = pool.gemini_get("/v1beta/files");
    let key = listed.key();
    assert_eq!(owner(&pool, "files/known"), "99");
    assert_eq!(owner(&pool, "files/new"), key);
    pool.script_json(r#"{"name":"files/known"}"#);
    pool.call("PATCH", "/v1beta/files/known", &[API_KEY], "{}");
    assert_eq!(owner(&pool, "files/known"), "99");
    pool.script_json(r#"{"name":"batches/b"}"#);
    pool.insert_resource("batches/b", 1, "NULL");
    pool.gemini_post("/v1beta/batches/b:cancel", "{}");
    assert_eq!(owner(&pool, "batches/b"), "1");
}

#[test]
fn forgets_a_resource_that_its_owner_no_longer_has() {
    let pool = pool();
    pool.insert_resource("cachedContents/c", 1, "NULL");
    pool.script_native_errors(1, &errors::no_such_entity());
    let gone = pool.gemini_get("/v1beta/cachedContents/c");
    gone.assert_status(404);
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
        for path in [GENERATE, COUNT_TOKENS] {
            let pool = pool();
            pool.insert_resource("files/abc", 5, "NULL");
            pool.script_json(GENERATED);
            let answer = pool.gemini_post(path, &USES_FILE.replace(uri, &escaped));
            assert_eq!(answer.key(), "5", "{escaped}");
        }
    }
    let pool = pool();
    pool.script_json(&FILE.replace('/', r"\/"));
    pool.gemini_post("/upload/v1beta/files?uploadType=multipart", "x");
    assert_ne!(owner(&pool, "files/abc"), "");
}

#[test]
fn an_upload_url_authorizes_nothing_but_its_upload() {
    let pool = pool();
    pool.insert_resource("uploads/upload/v1beta/files?id", 1, "NULL");
    let path = "/upload/v1beta/files?upload_id=id";
    let command = |path: &str, command: &str| {
        let headers = [("x-goog-upload-command", command)];
        pool.call("POST", path, &headers, "x").status
    };
    pool.script_json("{}");
    assert_eq!(command(path, "upload, finalize"), 200);
    let generate = "/upload/v1beta/models/m:generateContent?upload_id=id";
    for (path, text) in [
        (path, "start"),
        (path, "start, upload"),
        (path, ""),
        (generate, "upload"),
        ("/upload/v1alpha/files?upload_id=id", "upload"),
    ] {
        assert_eq!(command(path, text), 401, "{path} {text}");
    }
    pool.call("POST", path, &[], "x").assert_status(401);
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
    answer.assert_status(200);
    assert_eq!(answer.key(), "2");
}

#[test]
fn an_interaction_continues_in_its_project() {
    let pool = pool();
    pool.script_json(r#"{"id":"v1_abc","outputs":[]}"#);
    let begun = pool.gemini_post(INTERACTIONS, r#"{"model":"m","input":"x"}"#);
    let key = begun.key();
    for _ in 0..5 {
        pool.script_json(r#"{"id":"v1_def"}"#);
        let more = r#"{"model":"m","input":"y","previous_interaction_id":"v1_abc"}"#;
        let answer = pool.gemini_post(INTERACTIONS, more);
        assert_used_project_of(&answer, key);
        pool.script_json("{}");
        let found = pool.gemini_get("/v1beta/interactions/v1_def");
        assert_used_project_of(&found, key);
    }
}

#[test]
fn a_streamed_interaction_continues_in_its_project() {
    let pool = pool();
    let created = "event: interaction.created\ndata: {\"event_type\":\"interaction.created\",\"interaction\":{\"id\":\"v1_abc\"}}\n\n";
    pool.script_events(&[created, DONE]);
    let body = r#"{"model":"m","input":"x","stream":true}"#;
    let begun = pool.gemini_post(INTERACTIONS, body);
    let key = begun.key();
    for _ in 0..5 {
        pool.script_json("{}");
        let found = pool.gemini_get("/v1beta/interactions/v1_abc");
        assert_used_project_of(&found, key);
    }
}

#[test]
fn follows_download_redirects_only_within_the_host() {
    let path = "/download/v1beta/files/abc:download?alt=media";
    let absolute = [ORIGIN, path].concat();
    for (location, expected) in [
        (path, 200),
        (&absolute, 200),
        ("https://elsewhere.example/files/abc", 502),
    ] {
        let pool = Pool::with(&[("max_attempts", "1")]);
        let headers = [("content-type", "text/html"), ("location", location)];
        pool.script_with(302, &headers, &[""; 0]);
        pool.script(200, "video/mp4", &["the film"]);
        let answer = pool.gemini_get("/v1beta/files/abc:download?alt=media");
        answer.assert_status(expected);
        let sent = pool.host.0.sent.borrow();
        let host = format!("{ORIGIN}/");
        assert!(sent.iter().all(|sent| sent.uri.starts_with(&host)));
        if expected == 200 {
            assert_eq!(answer.body, "the film");
            assert_eq!(sent[1].uri, absolute);
            assert_eq!(sent[1].headers["x-goog-api-key"], KEY);
        }
        assert_eq!(pool.count("api_call_logs"), 1, "one call");
    }
}

#[test]
fn a_file_on_another_host_has_no_owner() {
    let pool = pool();
    let cdn = USES_FILE.replace(
        "https://generativelanguage.googleapis.com/v1beta/files/abc",
        "https://cdn.example.com/files/13.pdf",
    );
    pool.script_json(GENERATED);
    pool.gemini_post(GENERATE, &cdn).assert_status(200);
    assert_eq!(pool.count("resources"), 0);
}

#[test]
fn an_empty_answer_reports_the_key_that_gave_it() {
    let pool = Pool::of(2);
    let empty = GENERATED.replace("Hi", "");
    pool.script_json(&empty);
    pool.script_native_errors(1, &errors::cached_content_denied());
    let body = r#"{"contents":[],"cachedContent":"cachedContents/c"}"#;
    let answer = pool.gemini_post(GENERATE, body);
    assert_eq!((answer.status, &answer.body), (200, &empty));
    assert_eq!(pool.log_rows("api_key_id")[0], answer.key());
}
