//! `GET /metrics`: who may read it, and that it tells what has happened.

use super::*;

const METRICS: &str = "/metrics";
const SCRAPER: (&str, &str) = ("authorization", "Bearer fake-metrics-token-1");
const TOKENS: [(&str, &str); 1] = [("metrics_token", "fake-metrics-token-1")];

/// A client at an address.
fn at(address: &'static str) -> (&'static str, &'static str) {
    ("spin-client-addr", address)
}

impl Pool {
    #[track_caller]
    fn metrics(&self) -> String {
        let answer = self.call("GET", METRICS, &[OPERATOR], "");
        answer.assert_status(200);
        answer.body
    }
}

#[track_caller]
fn assert_has(metrics: &str, sample: &str) {
    let has_line = metrics.lines().any(|line| line == sample);
    assert!(has_line, "{sample} is not in {metrics}");
}

#[test]
fn metrics_need_a_token_or_an_address() {
    let reader = ("authorization", "Bearer fake-read-token-00001");
    let guess = ("authorization", "Bearer fake-metrics-token-2");
    let [inside, outside, proxied] = [at("10.1.2.3:5"), at("11.1.2.3:5"), at("127.0.0.1:5")];
    let for_inside = ("x-forwarded-for", "10.1.2.3");
    let networks = ("metrics_networks", "2001:db8::/32,10.0.0.0/8");
    let [token] = TOKENS;
    let trusted = ("trust_forwarded_for", "true");
    for (rule, variables, headers, admitted) in [
        ("no token", &[token][..], &[][..], false),
        ("a client token", &[token], &[BEARER], false),
        ("a wrong token", &[token], &[guess], false),
        (
            "no bearer",
            &[token],
            &[("x-goog-api-key", "fake-metrics-token-1")],
            false,
        ),
        ("the token", &[token], &[SCRAPER], true),
        ("the token of operators", &[token], &[OPERATOR], true),
        ("the token of readers", &[token], &[reader], true),
        (
            "operators without a token for metrics",
            &[],
            &[OPERATOR],
            true,
        ),
        (
            "nothing is set",
            &[("admin_token", ""), ("admin_read_token", "")],
            &[OPERATOR],
            false,
        ),
        (
            "empty tokens are none",
            &[("admin_token", "")],
            &[("authorization", "Bearer ")],
            false,
        ),
        ("inside the network", &[networks], &[inside], true),
        (
            "an IPv6 address",
            &[networks],
            &[at("[2001:db8::1]:5")],
            true,
        ),
        ("outside the network", &[networks], &[outside], false),
        ("no address", &[networks], &[], false),
        (
            "no address that can be read",
            &[networks],
            &[at("10.1")],
            false,
        ),
        (
            "inside, with a wrong token",
            &[networks, token],
            &[inside, guess],
            true,
        ),
        (
            "outside, with the token",
            &[networks, token],
            &[outside, SCRAPER],
            true,
        ),
        (
            "a forged address",
            &[networks],
            &[outside, for_inside],
            false,
        ),
        (
            "behind a proxy",
            &[networks, trusted],
            &[proxied, for_inside],
            true,
        ),
        (
            "of a proxy inside",
            &[networks, trusted],
            &[inside, ("x-forwarded-for", "11.0.0.1")],
            false,
        ),
    ] {
        let answer = Pool::with(variables).call("GET", METRICS, headers, "");
        if admitted {
            assert_eq!(answer.status, 200, "{rule}: {}", answer.body);
            continue;
        }
        answer.assert_error(401, "invalid_metrics_token");
        answer.assert_message("metrics_networks");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{rule}");
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{rule}");
    }
}

#[test]
fn wrong_tokens_for_metrics_are_counted() {
    let pool = Pool::with(&TOKENS);
    let client = at("10.0.0.1:1");
    for _ in 0..20 {
        pool.call("GET", METRICS, &[client, BEARER], "")
            .assert_status(401);
    }
    let refused = pool.call("GET", METRICS, &[client, BEARER], "");
    refused.assert_error(429, "rate_limit_exceeded");
    pool.call("GET", METRICS, &[client, SCRAPER], "")
        .assert_status(200);
    pool.call("GET", METRICS, &[at("10.0.0.2:1"), BEARER], "")
        .assert_status(401);
}

#[test]
fn the_token_for_metrics_opens_nothing_else() {
    let pool = Pool::with(&TOKENS);
    for (method, path) in [
        ("POST", COMPLETIONS),
        ("GET", "/api/keys/status"),
        ("GET", "/v1/models"),
    ] {
        let answer = pool.call(method, path, &[SCRAPER], CHAT);
        answer.assert_error(401, "invalid_client_token");
    }
    for [method, path, body, _] in table(admin::CALLS) {
        pool.advance(60_000);
        let answer = pool.call(method, path, &[SCRAPER], body.trim_matches('-'));
        admin::assert_problem(&answer, path, 401, "invalid_operator_token");
    }
    assert_eq!(pool.sent(), 0);
}

#[test]
fn pages_of_other_origins_cannot_read_metrics() {
    let pool = Pool::with(&[
        ("metrics_networks", "0.0.0.0/0"),
        ("allowed_origins", "https://app.example"),
        ("enforce_origin", "true"),
    ]);
    for (origin, status) in [("https://app.example", 200), ("https://other.example", 403)] {
        let headers = [at("10.0.0.1:1"), ("origin", origin)];
        let answer = pool.call("GET", METRICS, &headers, "");
        assert_eq!(answer.status, status, "{origin}");
    }
}

#[test]
fn metrics_are_open_metrics_and_have_a_length() {
    let pool = Pool::new();
    let answer = pool.call("GET", METRICS, &[OPERATOR], "");
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(content_type));
    assert!(answer.body.ends_with("\n# EOF\n"));
    let length = answer.body.len().to_string();
    assert_eq!(answer.header("content-length"), Some(&*length));
    let head = pool.call("HEAD", METRICS, &[OPERATOR], "");
    assert_eq!((head.status, &*head.body), (200, ""));
    assert_eq!(head.header("content-length"), Some(&*length));
    let post = pool.call("POST", METRICS, &[OPERATOR], "");
    post.assert_error(405, "method_not_allowed");
    assert_eq!(post.header("allow"), Some("GET, HEAD, OPTIONS"));
}

#[test]
fn metrics_tell_what_has_happened() {
    let pool = Pool::of(2);
    pool.run("UPDATE api_keys SET priority = -1000 WHERE id = 2");
    pool.insert_limit("key:2", "", "requests", "day", 5);
    pool.script_error(&quota_per_day());
    pool.serve_chats(1);
    let metrics = pool.metrics();
    for sample in [
        r#"keypool_attempts_total{key="1",model="m",outcome="quota_per_day"} 1"#,
        r#"keypool_attempts_total{key="2",model="m",outcome="success"} 1"#,
        r#"keypool_requests_total{model="m",token="0"} 1"#,
        r#"keypool_answers_total{model="m",token="0"} 1"#,
        r#"keypool_tokens_total{model="m",token="0",kind="input"} 17"#,
        r#"keypool_attempt_duration_seconds_bucket{model="m",le="0.064"} 2"#,
        r#"keypool_attempt_duration_seconds_count{model="m"} 2"#,
        r#"keypool_first_byte_seconds_bucket{model="m",le="+Inf"} 2"#,
        r#"keypool_keys{state="active"} 2"#,
        r#"keypool_key_usable{key="2"} 1"#,
        r#"keypool_budget_limit{scope="key:1",model="m",unit="requests",per="day"} 250"#,
        r#"keypool_budget_remaining{scope="key:2",model="",unit="requests",per="day"} 4"#,
        "keypool_retry_budget_remaining 10",
        "keypool_database_errors_total 0",
        r#"keypool_build_info{version="0.1.0"} 1"#,
    ] {
        assert_has(&metrics, sample);
    }
    for secret in [KEY, "AIzaFAKE", TOKEN, ADMIN_TOKEN, READ_TOKEN] {
        assert!(!metrics.contains(secret), "{metrics}");
    }
}

#[test]
fn metrics_are_those_of_now_and_of_keys_that_exist() {
    let pool = Pool::of(2);
    pool.serve_chats(4);
    let of_key_1 = r#"keypool_attempts_total{key="1","#;
    assert_contains(&pool.metrics(), of_key_1);
    pool.run(
        "UPDATE api_keys SET status = 2, disabled_until = '2027-01-15T09:00:00.000Z' WHERE id = 2",
    );
    pool.run("DELETE FROM api_keys WHERE id = 1");
    pool.advance(500);
    let metrics = pool.metrics();
    assert!(!metrics.contains(of_key_1), "{metrics}");
    assert_has(&metrics, r#"keypool_requests_total{model="m",token="0"} 4"#);
    assert_has(&metrics, r#"keypool_keys{state="cooling"} 1"#);
    assert_has(&metrics, r#"keypool_key_usable{key="2"} 0"#);
    pool.advance(3_600_000);
    assert_has(&pool.metrics(), r#"keypool_keys{state="active"} 1"#);
}

#[test]
fn metrics_have_at_most_100_models_of_their_own() {
    let pool = Pool::new();
    for number in 0..101 {
        pool.script_answer();
        pool.chat_for(&format!("m{number:03}")).assert_status(200);
    }
    let metrics = pool.metrics();
    assert_has(
        &metrics,
        r#"keypool_answers_total{model="m099",token="0"} 1"#,
    );
    assert_has(
        &metrics,
        r#"keypool_answers_total{model="other",token="0"} 1"#,
    );
    assert!(!metrics.contains("m100"), "{metrics}");
}

#[test]
fn a_failing_database_gives_no_metrics_but_counts() {
    let pool = Pool::new();
    let disk = "disk I/O error";
    pool.serve_chats(1);
    for part in ["FROM api_call_totals", "FROM api_keys", "FROM cool_downs"] {
        pool.advance(500);
        pool.database.fail(part, disk, 1);
        let answer = pool.call("GET", METRICS, &[OPERATOR], "");
        answer.assert_error(503, "database_unavailable");
        assert!(!answer.body.contains(disk), "{}", answer.body);
    }
    // Each request tries to add them.
    pool.database.fail("INTO database_errors", disk, 3);
    pool.finish_spawned(3);
    pool.advance(500);
    assert_has(&pool.metrics(), "keypool_database_errors_total 0");
    pool.finish_spawned(1);
    assert_has(&pool.metrics(), "keypool_database_errors_total 3");
    pool.finish_spawned(0);
}
