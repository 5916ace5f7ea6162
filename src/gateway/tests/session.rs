//! Sessions of operators in a browser.

use super::*;
use crate::pool::HOUR_MS;

const SESSION: &str = "/admin/api/v1/session";
const KEYS: &str = "/admin/api/v1/keys";
const NEW_KEY: &str = "fake-new-key-1";
const READER: (&str, &str) = ("authorization", "Bearer fake-read-token-00001");
const OWN_PAGE: (&str, &str) = ("sec-fetch-site", "same-origin");

impl Pool {
    /// Signs in, and returns the cookie as a browser sends it.
    fn sign_in(&self, token: (&str, &str)) -> String {
        let answer = self.call("POST", SESSION, &[token], "");
        answer.assert_status(200);
        let cookie = answer.header("set-cookie").unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    fn with_session(&self, method: &str, path: &str, cookie: &str, body: &str) -> Answer {
        self.call(method, path, &[("cookie", cookie), OWN_PAGE], body)
    }
}

#[test]
fn a_session_permits_what_its_token_does() {
    let pool = Pool::new();
    for (token, permission, added) in [(OPERATOR, "change", 200), (READER, "read", 403)] {
        let cookie = pool.sign_in(token);
        let session = pool.with_session("GET", SESSION, &cookie, "").json();
        assert_eq!(session["permission"], permission);
        assert_eq!(session["ends_at"], "2027-01-15T20:00:00.000Z");
        pool.with_session("GET", KEYS, &cookie, "")
            .assert_status(200);
        pool.with_session("GET", "/api/pool/explain?model=m", &cookie, "")
            .assert_status(200);
        pool.with_session("POST", KEYS, &cookie, NEW_KEY)
            .assert_status(added);
    }
    let cookie = pool.sign_in(OPERATOR);
    for headers in [&[READER][..], &[READER, ("cookie", &*cookie)]] {
        let by_token = pool.call("GET", SESSION, headers, "").json();
        assert_eq!(by_token["permission"], "read");
        assert!(by_token["ends_at"].is_null());
    }
}

#[test]
fn the_cookie_is_not_the_token_and_only_for_pages_of_the_pool() {
    let pool = Pool::new();
    for (headers, is_secure) in [
        (vec![OPERATOR], false),
        (vec![OPERATOR, ("origin", "http://127.0.0.1:3000")], false),
        (vec![OPERATOR, ("origin", "https://pool.example.com")], true),
    ] {
        let answer = pool.call("POST", SESSION, &headers, "");
        let cookie = answer.header("set-cookie").unwrap();
        let attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
        let mut expected = vec!["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"];
        expected.extend(is_secure.then_some("Secure"));
        assert_eq!(attributes, expected);
        let token = OPERATOR.1.trim_start_matches("Bearer ");
        assert!(!cookie.contains(token), "{cookie}");
    }
}

#[test]
fn a_session_ends_by_time_sign_out_or_a_new_token() {
    let pool = Pool::new();
    let cookie = pool.sign_in(OPERATOR);
    pool.advance(12 * HOUR_MS - 1);
    pool.with_session("GET", KEYS, &cookie, "")
        .assert_status(200);
    pool.advance(1);
    let ended = pool.with_session("GET", KEYS, &cookie, "");
    admin::assert_problem(&ended, KEYS, 401, "session_ended");

    let cookie = pool.sign_in(OPERATOR);
    let out = pool.with_session("DELETE", SESSION, &cookie, "");
    out.assert_status(204);
    let removed = out.header("set-cookie").unwrap();
    assert!(
        removed.starts_with("keypool_session=; Path=/; Max-Age=0;"),
        "{removed}"
    );

    let other = Pool::with(&[("admin_token", "fake-admin-token-0002")]);
    let ended = other.with_session("GET", KEYS, &cookie, "");
    admin::assert_problem(&ended, KEYS, 401, "session_ended");
}

#[test]
fn a_session_cannot_prolong_itself() {
    let pool = Pool::new();
    let cookie = pool.sign_in(OPERATOR);
    let answer = pool.with_session("POST", SESSION, &cookie, "");
    admin::assert_problem(&answer, SESSION, 401, "missing_operator_token");
}

#[test]
fn changed_cookies_are_refused_without_counting_as_wrong_tokens() {
    let pool = Pool::new();
    let reader = pool.sign_in(READER);
    let cookie = pool.sign_in(OPERATOR);
    let (claims, signature) = cookie.rsplit_once('.').unwrap();
    let mut changed = vec![
        reader.replace("=read.", "=change."),
        format!("{claims}."),
        format!("{claims}0.{signature}"),
        format!("{claims}.{}", signature.to_uppercase()),
        "keypool_session=".to_owned(),
        "keypool_session=..".to_owned(),
        format!("keypool_session={}", OPERATOR.1),
    ];
    // More than wrong tokens may come from an address in a minute.
    changed.extend((0..30).map(|number| format!("keypool_session=change.{number}.{signature}")));
    for cookie in changed {
        let answer = pool.with_session("GET", KEYS, &cookie, "");
        admin::assert_problem(&answer, KEYS, 401, "session_ended");
    }
    let among_others = format!("theme=dark; keypool_session=old; {cookie}; x");
    pool.with_session("GET", KEYS, &among_others, "")
        .assert_status(200);
    let others = pool.with_session("GET", KEYS, "my_keypool_session=1; theme=dark", "");
    admin::assert_problem(&others, KEYS, 401, "missing_operator_token");
}

#[test]
fn other_cookies_and_credentials_do_not_matter() {
    let pool = Pool::new();
    let cookie = pool.sign_in(OPERATOR);
    let cookies = format!("app=caf\u{e9}; {cookie}");
    // Of a proxy that asks for a password.
    let password = ("authorization", "Basic YTpi");
    pool.call("GET", KEYS, &[("cookie", &*cookies), password], "")
        .assert_status(200);
}

#[test]
fn an_ended_session_is_told_everywhere_and_not_counted_as_a_wrong_token() {
    let pool = Pool::new();
    for path in [KEYS, "/api/keys/status", "/api/pool/explain"] {
        for _ in 0..30 {
            let ended = pool.with_session("GET", path, "keypool_session=x", "");
            admin::assert_problem(&ended, path, 401, "session_ended");
        }
    }
    let no_operator = Pool::with(&[("admin_token", ""), ("admin_read_token", "")]);
    let answer = no_operator.with_session("GET", KEYS, "keypool_session=x", "");
    admin::assert_problem(&answer, KEYS, 403, "operator_token_not_configured");
}

#[test]
fn a_page_is_told_why_it_has_no_session() {
    let no_operator = Pool::with(&[("admin_token", ""), ("admin_read_token", "")]);
    for (pool, cookie, code) in [
        (&Pool::new(), "", "missing_operator_token"),
        (&Pool::new(), "keypool_session=x", "session_ended"),
        (&no_operator, "", "operator_token_not_configured"),
    ] {
        let answer = pool.with_session("GET", SESSION, cookie, "");
        answer.assert_status(200);
        let session = answer.json();
        assert!(session["permission"].is_null(), "{code}");
        assert_eq!(session["code"], code);
    }
    let pool = Pool::new();
    let wrong = ("authorization", "Bearer fake-admin-token-0009");
    let answer = pool.call("GET", SESSION, &[wrong], "");
    admin::assert_problem(&answer, SESSION, 401, "invalid_operator_token");
}

#[test]
fn bodies_of_strangers_are_not_held() {
    // Larger than any that may be held.
    let body = "x".repeat(1025);
    let pool = Pool::with(&[("max_body_bytes", "1024")]);
    for method in ["POST", "DELETE"] {
        let answer = pool.call(method, SESSION, &[], &body);
        admin::assert_problem(&answer, SESSION, 401, "missing_operator_token");
    }
    pool.call("GET", SESSION, &[], &body).assert_status(200);
}

#[test]
fn a_session_has_no_parameters() {
    let pool = Pool::new();
    for (method, path, body) in [
        ("GET", "/admin/api/v1/session?x=1", ""),
        ("POST", SESSION, r#"{"x":1}"#),
        ("DELETE", SESSION, "x"),
    ] {
        let answer = pool.call(method, path, &[OPERATOR], body);
        admin::assert_problem(&answer, SESSION, 400, "invalid_request");
    }
    pool.call("POST", SESSION, &[OPERATOR], "{}")
        .assert_status(200);
}

#[test]
fn with_a_session_only_pages_of_the_pool_make_changes() {
    for variables in [
        &[("allowed_origins", "*")][..],
        &[
            ("enforce_origin", "true"),
            ("allowed_origins", "app.example.com"),
        ],
    ] {
        let pool = Pool::with(variables);
        let cookie = pool.sign_in(OPERATOR);
        for (headers, status) in [
            (vec![OWN_PAGE], 200),
            (vec![OWN_PAGE, ("origin", "http://pool.example.com")], 200),
            // Over HTTP, browsers do not send Sec-Fetch-Site.
            (vec![("origin", "http://pool.example.com:8080")], 200),
            (vec![("referer", "http://pool.example.com:8080/keys")], 200),
            (vec![], 403),
            (vec![("sec-fetch-site", "same-site")], 403),
            (vec![("sec-fetch-site", "cross-site")], 403),
            (vec![("sec-fetch-site", "none")], 403),
            (vec![("origin", "http://pool.example.com")], 403),
            (vec![("origin", "http://app.example.com")], 403),
            (vec![("origin", "null")], 403),
        ] {
            let mut all = vec![("cookie", &*cookie), ("host", "pool.example.com:8080")];
            all.extend(&headers);
            let answer = pool.call("POST", "/admin/api/v1/keys/1/enable", &all, "");
            assert_eq!(answer.status, status, "{headers:?}: {}", answer.body);
            if status == 403 {
                admin::assert_problem(&answer, KEYS, 403, "origin_not_allowed");
                assert_contains(&answer.body, "only pages of the pool itself");
            }
        }
    }
}

#[test]
fn a_page_is_of_the_pool_if_it_has_its_host_and_port() {
    let pool = Pool::new();
    let behind_https = Pool::with(&[("public_url", "https://Pool.example:443/gemini")]);
    for (pool, host, origin, status) in [
        (&pool, "pool.example", "http://pool.example", 200),
        (&pool, "pool.example", "https://pool.example", 200),
        (&pool, "pool.example", "http://pool.example:80", 200),
        (&pool, "POOL.example:80", "http://pool.example", 200),
        (&pool, "[::1]:3000", "http://[::1]:3000", 200),
        (&pool, "pool.example", "http://pool.example:81", 403),
        (&pool, "pool.example:80", "https://pool.example", 403),
        (
            &pool,
            "pool.example",
            "http://pool.example.evil.example",
            403,
        ),
        (&pool, "null", "null", 403),
        (&pool, "pool.example", "pool.example", 403),
        (&behind_https, "backend:3000", "https://pool.example", 200),
        (&behind_https, "backend:3000", "http://backend:3000", 403),
    ] {
        let cookie = pool.sign_in(OPERATOR);
        let headers = [("cookie", &*cookie), ("host", host), ("origin", origin)];
        let answer = pool.call("POST", "/admin/api/v1/keys/1/enable", &headers, "");
        assert_eq!(answer.status, status, "{host} {origin}");
    }
}

#[test]
fn a_page_of_a_forged_host_is_still_of_another_origin() {
    let pool = Pool::with(&[
        ("enforce_origin", "true"),
        ("allowed_origins", "app.example.com"),
    ]);
    let evil = [
        BEARER,
        ("host", "evil.example"),
        ("origin", "http://evil.example"),
    ];
    let answer = pool.call("GET", "/api/keys/status", &evil, "");
    answer.assert_error(403, "origin_not_allowed");
}

#[test]
fn wrong_tokens_are_limited_when_signing_in() {
    let pool = Pool::new();
    let wrong = ("authorization", "Bearer fake-admin-token-0009");
    for _ in 0..20 {
        let answer = pool.call("POST", SESSION, &[wrong], "");
        admin::assert_problem(&answer, SESSION, 401, "invalid_operator_token");
        assert_eq!(answer.header("set-cookie"), None);
    }
    let answer = pool.call("POST", SESSION, &[wrong], "");
    admin::assert_problem(&answer, SESSION, 429, "rate_limit_exceeded");
    pool.sign_in(OPERATOR);
}
