//! Who may call: tokens, paths, origins and rate limits.

use super::*;

const STATUS: &str = "/api/keys/status";
const APP: (&str, &str) = ("origin", "https://app.example");
const ALLOWED: (&str, &str) = ("allowed_origins", "https://app.example");
const ALLOW_ORIGIN: &str = "access-control-allow-origin";

#[test]
fn invalid_requests_use_no_key() {
    let pool = Pool::with(&[("max_body_bytes", "100")]);
    let big = format!(r#"{{"messages":["{}"]}}"#, "x".repeat(200));
    let huge = "x".repeat(1000);
    for (body, status, param) in [
        ("{", 400, "null"),
        ("[]", 400, "null"),
        (r#"{"messages":"hi"}"#, 400, "messages"),
        (r#"{"messages":[],"model":7}"#, 400, "model"),
        (&big, 413, "null"),
        (&huge, 413, "null"),
    ] {
        let answer = pool.chat(body);
        answer.assert_status(status);
        assert_eq!(answer.error("param"), param, "{body}");
        assert_eq!(answer.error("type"), "invalid_request_error");
    }
    assert_eq!((pool.sent(), pool.logged().len()), (0, 0));
    assert_eq!(pool.key_state(), "1|0|0|0");
}

#[test]
fn returns_503_without_a_usable_key() {
    let pool = Pool::new();
    for change in [
        "status = 0",
        "status = 2, disabled_until = '2027-01-15T08:30:00.000Z'",
    ] {
        pool.run(&format!("UPDATE api_keys SET {change}"));
        pool.advance(500);
        let answer = pool.chat(CHAT);
        answer.assert_error(503, "upstream_credentials_exhausted");
    }
    pool.run("DELETE FROM api_keys");
    pool.advance(500);
    assert_eq!(pool.chat(CHAT).error("code"), "no_usable_key");
    assert_eq!(pool.sent(), 0);
}

#[test]
fn uses_a_key_again_after_its_pause() {
    let pool = Pool::new();
    pool.run("UPDATE api_keys SET status = 2, consecutive_failures = 2, disabled_until = '2027-01-15T08:00:00.000Z'");
    pool.script_answer();
    pool.chat(CHAT).assert_status(200);
    assert_eq!(pool.key_state(), "1|0|1|1");
}

#[test]
fn skips_and_logs_a_key_that_fits_no_header() {
    let pool = Pool::new();
    pool.run("UPDATE api_keys SET api_key = 'two words'");
    pool.chat(CHAT).assert_status(503);
    let lines = pool.log_lines().concat();
    assert_contains(&lines, "key 1 is left out");
    assert!(!lines.contains("two words"), "{lines}");
}

#[test]
fn rejects_calls_without_the_client_token() {
    let pool = Pool::new();
    let longer = format!("Bearer {TOKEN}0");
    for (authorization, code) in [
        (None, "missing_client_token"),
        (Some("Bearer"), "missing_client_token"),
        (Some("Basic abc"), "missing_client_token"),
        (Some("Bearer wrong"), "invalid_client_token"),
        (Some(&*longer), "invalid_client_token"),
    ] {
        let headers: Vec<_> = authorization
            .map(|value| ("authorization", value))
            .into_iter()
            .collect();
        for (method, path) in [("POST", COMPLETIONS), ("GET", STATUS), ("POST", STATUS)] {
            let answer = pool.call(method, path, &headers, CHAT);
            answer.assert_error(401, code);
            assert_eq!(answer.error("type"), "authentication_error");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert_eq!(pool.sent(), 0);
}

#[test]
fn refuses_every_call_without_a_configured_token() {
    let pool = Pool::with(&[("my_api_token", "")]);
    let answer = pool.chat(CHAT);
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    for answer in [answer, pool.probe("/readyz")] {
        answer.assert_error(503, "client_token_not_configured");
        answer.assert_message("my_api_token");
    }
    pool.probe("/healthz").assert_status(200);
}

#[test]
fn reports_invalid_settings_to_every_caller() {
    let pool = Pool::with(&[
        ("rate_limit_per_minute", "many"),
        ("enforce_origin", "maybe"),
    ]);
    for path in ["/readyz", STATUS] {
        let answer = pool.probe(path);
        answer.assert_error(503, "invalid_configuration");
        answer.assert_message("rate_limit_per_minute");
        answer.assert_message("enforce_origin");
    }
    pool.probe("/healthz").assert_status(200);
}

#[test]
fn distinguishes_unknown_paths_from_wrong_methods() {
    let pool = Pool::new();
    for (method, path, status, allow) in [
        ("GET", "/", 404, None),
        ("POST", "/v2/completions", 404, None),
        ("GET", COMPLETIONS, 405, Some("POST, OPTIONS")),
        ("DELETE", STATUS, 405, Some("GET, POST, OPTIONS")),
        ("POST", "/healthz", 405, Some("GET, HEAD, OPTIONS")),
    ] {
        let answer = pool.call(method, path, &[], "");
        answer.assert_status(status);
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
        assert_eq!(answer.error("type"), "invalid_request_error");
    }
}

#[test]
fn status_lists_the_keys_for_get_and_post() {
    let pool = Pool::new();
    for method in ["GET", "POST"] {
        let answer = pool.call(method, STATUS, &[BEARER], "");
        answer.assert_status(200);
        assert_eq!(
            answer.body,
            r#"{"success":true,"data":[{"id":1,"name":null,"status":1,"consecutive_failures":0,"total_calls":0,"success_calls":0,"last_used_at":null,"success_rate":null,"project":null,"disabled_until":null,"disabled_reason":null,"last_outcome":null,"cooling":[]}],"suspicion":null}"#
        );
    }
}

#[test]
fn allowed_origins_get_cors_headers() {
    let pool = Pool::with(&[("allowed_origins", "https://app.example, *.example.com")]);
    for (headers, allowed) in [
        (&[APP][..], Some("https://app.example")),
        (
            &[("referer", "https://a.example.com/page")],
            Some("https://a.example.com"),
        ),
        (&[("origin", "https://evilexample.com")], None),
        (
            &[
                ("origin", "https://evil.org"),
                ("referer", "https://app.example/"),
            ],
            None,
        ),
        (&[], None),
    ] {
        let answer = pool.call("GET", "/healthz", headers, "");
        assert_eq!(answer.header("vary"), Some("origin"));
        assert_eq!(answer.header(ALLOW_ORIGIN), allowed, "{headers:?}");
    }
    let refused = pool.call("POST", COMPLETIONS, &[APP], CHAT);
    refused.assert_status(401);
    assert_eq!(refused.headers[ALLOW_ORIGIN], APP.1);
}

#[test]
fn preflight_needs_no_token() {
    let pool = Pool::with(&[ALLOWED]);
    let ask = |origin: &str, name: &str, value: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (name, value),
        ];
        pool.call("OPTIONS", COMPLETIONS, &headers, "")
    };
    let name = "access-control-request-headers";
    let asked = "authorization,x-stainless-lang";
    let answer = ask(APP.1, name, asked);
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    for (name, value) in [
        (ALLOW_ORIGIN, Some(APP.1)),
        ("access-control-allow-headers", Some(asked)),
        ("access-control-allow-methods", Some("POST, OPTIONS")),
        ("access-control-max-age", Some("86400")),
        ("access-control-allow-private-network", None),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    for (origin, allowed) in [(APP.1, Some("true")), ("https://other.example", None)] {
        let answer = ask(origin, "access-control-request-private-network", "true");
        let header = answer.header("access-control-allow-private-network");
        assert_eq!(header, allowed, "{origin}");
    }
    let answer = ask("https://other.example", name, asked);
    assert_eq!((answer.status, answer.header(ALLOW_ORIGIN)), (204, None));
}

#[test]
fn enforce_origin_refuses_only_pages_of_other_origins() {
    let pool = Pool::with(&[ALLOWED, ("enforce_origin", "true")]);
    let other = ("origin", "https://other.example");
    for (origin, status) in [
        (Some(APP), 200),
        (Some(("referer", "https://app.example/x")), 200),
        // A server-side client has no origin.
        (None, 200),
        (Some(other), 403),
        (Some(("referer", "https://other.example/x")), 403),
        (Some(("origin", "null")), 403),
    ] {
        let mut headers = vec![BEARER];
        headers.extend(origin);
        let answer = pool.call("GET", STATUS, &headers, "");
        assert_eq!(answer.status, status, "{origin:?}");
    }
    pool.call("OPTIONS", STATUS, &[other], "")
        .assert_status(403);
    pool.call("GET", "/healthz", &[other], "")
        .assert_status(200);
}

#[test]
fn refuses_calls_above_the_rate_limit_until_the_next_minute() {
    let pool = Pool::with(&[("rate_limit_per_minute", "2")]);
    let call = |client: &str, forwarded: &str| {
        let headers = [
            BEARER,
            ("spin-client-addr", client),
            ("x-forwarded-for", forwarded),
        ];
        pool.call("POST", COMPLETIONS, &headers, "{}")
    };
    // Ports and untrusted forwarded addresses are ignored.
    assert_eq!(call("10.0.0.1:1", "1.1.1.1").status, 400);
    assert_eq!(call("10.0.0.1:2", "2.2.2.2").status, 400);
    let refused = call("10.0.0.1:3", "3.3.3.3");
    refused.assert_error(429, "rate_limit_exceeded");
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!(call("10.0.0.2:1", "1.1.1.1").status, 400, "another client");
    assert_eq!(call("[::1]:1", "1.1.1.1").status, 400, "an IPv6 client");
    pool.host.0.now.set(60_000);
    assert_eq!(call("10.0.0.1:4", "1.1.1.1").status, 400, "another minute");
}

#[test]
fn takes_the_client_address_from_a_trusted_proxy() {
    let limit = ("rate_limit_per_minute", "1");
    let pool = Pool::with(&[limit, ("trust_forwarded_for", "true")]);
    for (rule, forwarded, status) in [
        ("a first client", "1.1.1.1", 400),
        ("only the proxy's entry counts", "6.6.6.6, 1.1.1.1", 429),
        ("another client", "1.1.1.1, 2.2.2.2", 400),
        (
            "the direct address counts without a forwarded one",
            " ",
            400,
        ),
    ] {
        let headers = [
            BEARER,
            ("spin-client-addr", "10.0.0.1:1"),
            ("x-forwarded-for", forwarded),
        ];
        let answer = pool.call("POST", COMPLETIONS, &headers, "{}");
        assert_eq!(answer.status, status, "{rule}");
    }
}
