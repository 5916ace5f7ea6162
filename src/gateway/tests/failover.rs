//! Failover: which keys a request tries, when it stops, and what it returns.

use super::*;
use fake_gemini::errors;
use std::time::Duration;

const MODEL: &str = "m";

fn error_body(error: &fake_gemini::errors::ApiError) -> String {
    error.pretty_array()
}

/// A pool of equal keys 1 to `keys`.
fn pool_of(keys: usize) -> Pool {
    pool_with(keys, &[])
}

fn pool_with(keys: usize, variables: &[(&str, &str)]) -> Pool {
    let pool = Pool::with(variables);
    for id in 2..=keys {
        pool.database.run(&format!(
            "INSERT INTO api_keys (id, api_key) VALUES ({id}, 'AIzaFAKE-key-of-the-pool-0000000000-{id:03}')"
        ));
    }
    pool
}

impl Pool {
    fn script_error(&self, status: u16, error: &fake_gemini::errors::ApiError) {
        self.script(status, "application/json", &[&error_body(error)]);
    }

    fn attempts(&self) -> Vec<String> {
        self.database
            .query("SELECT attempt || ' ' || outcome FROM api_call_logs ORDER BY id")
    }

    fn cool_downs(&self) -> Vec<String> {
        self.database
            .query("SELECT model, reason, until, strikes FROM cool_downs ORDER BY scope, model")
    }

    /// The number of keys that were used so far.
    fn keys_used(&self) -> usize {
        self.database
            .query("SELECT DISTINCT api_key_id FROM api_call_logs")
            .len()
    }
}

#[test]
fn fails_over_to_another_key() {
    let soon = Duration::from_secs(41);
    for (status, error, outcome) in [
        (400, errors::key_invalid(), "key_rejected"),
        (401, errors::unauthenticated("Chat"), "key_rejected"),
        (
            403,
            errors::service_disabled("projects/7"),
            "project_refused",
        ),
        (403, errors::permission_denied(), "resource_refused"),
        (
            404,
            errors::model_retired_for_new_users(MODEL),
            "model_refused",
        ),
        (
            429,
            errors::quota_per_minute(MODEL, 10, soon),
            "quota_per_minute",
        ),
        (429, errors::quota_per_day(MODEL, 10, soon), "quota_per_day"),
        (429, errors::quota_zero(MODEL, soon), "quota_none"),
        (429, errors::prepayment_depleted(), "billing_exhausted"),
        (429, errors::resource_exhausted(), "quota_unspecified"),
        (400, errors::location_unsupported(), "egress_refused"),
        (503, errors::overloaded(), "model_overloaded"),
        (500, errors::internal(), "upstream_trouble"),
    ] {
        let pool = pool_of(2);
        pool.script_error(status, &error);
        pool.script_answer();
        let answer = pool.chat(CHAT);
        assert_eq!(answer.status, 200, "{outcome}: {}", answer.body);
        assert_eq!(
            pool.attempts(),
            [format!("1 {outcome}"), "2 success".into()]
        );
        assert_eq!(answer.header("x-keypool-attempts"), Some("2"));
        let last = pool
            .database
            .query("SELECT max(id), api_key_id FROM api_call_logs");
        let key = answer.header("x-keypool-key").unwrap();
        assert_eq!(last, [format!("2|{key}")]);
        assert_eq!(pool.keys_used(), 2, "{outcome}");
        let ids = pool
            .database
            .query("SELECT count(DISTINCT request_id), min(model) FROM api_call_logs");
        assert_eq!(ids, ["1|m"]);
    }
}

#[test]
fn does_not_retry_an_error_of_the_caller() {
    let pool = pool_of(5);
    pool.script_error(400, &errors::invalid_argument());
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent()), (400, 1));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(answer.header("x-keypool-attempts"), Some("1"));
}

#[test]
fn a_cooling_key_is_not_used() {
    for (error, lasts_ms, reason, code) in [
        (
            errors::quota_per_minute(MODEL, 10, Duration::from_secs(20)),
            20_000,
            "quota_per_minute",
            "rate_limit_exceeded",
        ),
        (
            errors::resource_exhausted(),
            5_000,
            "quota_unspecified",
            "rate_limit_exceeded",
        ),
        (
            errors::prepayment_depleted(),
            3_600_000,
            "billing_exhausted",
            "billing_exhausted",
        ),
    ] {
        let pool = pool_of(1);
        pool.script_error(429, &error);
        let answer = pool.chat(CHAT);
        assert_eq!((answer.status, answer.error("code").as_str()), (429, code));
        let wait = answer.reported_wait();
        assert!(
            (lasts_ms / 1000..=lasts_ms / 1000 + 1).contains(&wait),
            "{reason}: {wait}"
        );
        let is_long = wait > 60;
        let header = |name| {
            answer
                .header(name)
                .map(|value| value.parse::<i64>().unwrap())
        };
        assert_eq!(header("retry-after"), (!is_long).then_some(wait));
        let ms = header("retry-after-ms").map(|ms| (ms + 999) / 1000);
        assert_eq!(ms, (!is_long).then_some(wait));
        assert_eq!(
            answer.header("x-should-retry"),
            is_long.then_some("false"),
            "{reason}"
        );
        let message = answer.error("message");
        assert!(
            message.contains(&format!("Of 1 keys: 1 {reason}.")),
            "{message}"
        );
        pool.advance(lasts_ms - 2_000);
        assert_eq!(pool.chat(CHAT).status, 429);
        assert_eq!(pool.sent(), 1, "{reason}");
        pool.advance(3_000);
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).status, 200, "{reason}");
    }
}

#[test]
fn a_daily_quota_resets_at_midnight_in_los_angeles() {
    let pool = pool_of(1);
    pool.script_error(
        429,
        &errors::quota_per_day(MODEL, 250, Duration::from_secs(5)),
    );
    assert_eq!(pool.chat(CHAT).status, 429);
    // `NOON` is midnight in Los Angeles.
    assert_eq!(
        pool.cool_downs(),
        ["m|quota_per_day|2027-01-16T08:00:00.000Z|1"]
    );
    pool.script_answer();
    let other = CHAT.replace("\"m\"", "\"other\"");
    assert_eq!(
        pool.chat(&other).status,
        200,
        "the quota of another model is unaffected"
    );
}

#[test]
fn retries_on_a_key_of_another_project() {
    let pool = pool_of(3);
    pool.database
        .run("UPDATE api_keys SET project = 'projects/1' WHERE id < 3");
    pool.database.run(
        "UPDATE api_keys SET priority = 0, last_used_at = '2027-01-15T08:00:00.000Z' WHERE id = 3",
    );
    pool.script_error(
        429,
        &errors::quota_per_minute(MODEL, 10, Duration::from_secs(20)),
    );
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert_eq!(
        pool.database
            .query("SELECT api_key_id FROM api_call_logs WHERE attempt = 2"),
        ["3"]
    );
}

#[test]
fn learns_a_project_from_an_error() {
    let pool = pool_of(1);
    pool.script_error(
        403,
        &errors::service_blocked("projects/000000000042", "Chat"),
    );
    pool.chat(CHAT);
    assert_eq!(
        pool.database.query("SELECT project FROM api_keys"),
        ["projects/000000000042"]
    );
}

#[test]
fn learns_a_limit_from_an_error_and_enforces_it() {
    let pool = pool_of(2);
    pool.database
        .run("UPDATE api_keys SET status = 0 WHERE id = 2");
    pool.script_error(
        429,
        &errors::quota_per_minute(MODEL, 2, Duration::from_secs(20)),
    );
    pool.chat(CHAT);
    assert_eq!(
        pool.database
            .query("SELECT model, unit, per, learned, preset FROM limits"),
        ["m|requests|minute|2|NULL"]
    );
    pool.advance(90_000);
    for _ in 0..2 {
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).status, 200);
    }
    let sent = pool.sent();
    let answer = pool.chat(CHAT);
    assert_eq!(
        (answer.status, pool.sent()),
        (429, sent),
        "the key is skipped before it fails"
    );
    assert!(
        answer.error("message").contains("1 budget_spent"),
        "{}",
        answer.body
    );
    assert_eq!(
        pool.database
            .query("SELECT sum(requests), sum(input_tokens) FROM budget_usage WHERE per = 'day'"),
        ["2|34"],
        "the actual tokens replace the expected ones"
    );
}

#[test]
fn enforces_a_preset_limit() {
    let pool = pool_of(1);
    pool.database.run("INSERT INTO limits (scope, model, unit, per, preset) VALUES ('key:1', '', 'requests', 'day', 1)");
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    let other = CHAT.replace("\"m\"", "\"other\"");
    assert_eq!(pool.chat(&other).status, 429, "the limit covers all models");
    assert_eq!(pool.sent(), 1);
}

#[test]
fn stops_after_max_attempts() {
    let pool = pool_with(9, &[("max_attempts", "3")]);
    for _ in 0..3 {
        pool.script_error(
            429,
            &errors::quota_per_minute(MODEL, 10, Duration::from_secs(20)),
        );
    }
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent(), pool.keys_used()), (429, 3, 3));
    assert_eq!(answer.header("x-keypool-attempts"), Some("3"));
}

#[test]
fn retries_upstream_trouble_with_backoff() {
    let pool = pool_of(9);
    for _ in 0..5 {
        pool.script_error(503, &errors::overloaded());
    }
    let before = pool.host.0.now.get();
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent(), pool.keys_used()), (503, 5, 5));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    let waited = pool.host.0.now.get() - before - 5 * (40 + 2 * 5);
    assert!(
        (750..=1500).contains(&waited),
        "100 + 200 + 400 + 800 ms with jitter: {waited}"
    );
    assert_eq!(
        pool.database.query("SELECT DISTINCT status FROM api_keys"),
        ["1"]
    );
}

#[test]
fn limits_retries_during_an_outage() {
    let pool = pool_of(9);
    let requests = 40;
    for _ in 0..requests * 5 {
        pool.script_error(503, &errors::overloaded());
    }
    for _ in 0..requests {
        let now = pool.host.0.now.get();
        assert_eq!(pool.chat(CHAT).status, 503);
        // Keep all requests within a minute.
        pool.host.0.now.set(now + 1);
    }
    let retries = pool.sent() - requests;
    assert!(
        (10..=10 + requests / 5).contains(&retries),
        "{retries} retries of {requests} requests"
    );
}

#[test]
fn fails_over_after_an_answer_timeout() {
    let pool = pool_with(2, &[("answer_timeout", "2")]);
    pool.script_silence();
    pool.script_answer();
    let before = pool.host.0.now.get();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert!(pool.host.0.now.get() - before < 2_500);
    assert_eq!(pool.attempts(), ["1 upstream_trouble", "2 success"]);
}

#[test]
fn a_silent_upstream_is_a_504_within_the_deadline() {
    for (variables, client, limit_ms) in [
        (vec![("answer_timeout", "2")], None, 11_600),
        (vec![("failover_deadline", "3")], None, 3_100),
        (vec![], Some("x-stainless-read-timeout"), 4_600),
        (vec![], Some("x-stainless-timeout"), 4_600),
        (vec![], Some("x-server-timeout"), 4_600),
    ] {
        let pool = pool_with(9, &variables);
        for _ in 0..5 {
            pool.script_silence();
        }
        let before = pool.host.0.now.get();
        let bearer = format!("Bearer {TOKEN}");
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(client.map(|name| (name, "5.0")));
        let answer = pool.call("POST", "/v1/chat/completions", &headers, CHAT);
        assert_eq!(answer.status, 504, "{variables:?} {client:?}");
        let took = pool.host.0.now.get() - before;
        assert!(took <= limit_ms, "{variables:?} {client:?}: {took} ms");
    }
}

#[test]
fn waits_for_a_key_that_is_available_soon() {
    let pool = pool_of(2);
    pool.database.run("UPDATE api_keys SET status = 0 WHERE id = 2;
        INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
        ('key:1', 'm', 'quota_per_minute', '2027-01-15T07:59:59.000Z', '2027-01-15T08:00:00.900Z', 1)");
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert_eq!(
        pool.database.query("SELECT called_at FROM api_call_logs"),
        ["2027-01-15T08:00:00.900Z"]
    );
}

const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"},\"index\":0}],\"object\":\"chat.completion.chunk\"}\n\n";
const EMPTY_END: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"},\"finish_reason\":\"stop\",\"index\":0}],\"object\":\"chat.completion.chunk\",\"usage\":{\"completion_tokens\":0,\"prompt_tokens\":5,\"total_tokens\":5}}\n\ndata: [DONE]\n\n";
const EMPTY_ANSWER: &str = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant"}}],"object":"chat.completion","usage":{"completion_tokens":0,"prompt_tokens":5,"total_tokens":5}}"#;

#[test]
fn retries_an_empty_answer_once() {
    for (content_type, body) in [
        ("application/json", vec![EMPTY_ANSWER]),
        ("application/json", vec![]),
        ("text/event-stream", vec![ROLE, EMPTY_END]),
        ("text/event-stream", vec![]),
    ] {
        let pool = pool_of(3);
        pool.script(200, content_type, &body);
        pool.script_answer();
        let answer = pool.chat(CHAT);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, ANSWER),
            "{body:?}"
        );
        let first = &pool.attempts()[0];
        assert!(
            first == "1 empty_answer" || first == "1 upstream_trouble",
            "{first}"
        );
    }
}

#[test]
fn passes_an_empty_answer_without_a_retry_left() {
    for (retries, calls) in [("false", 1), ("true", 2)] {
        let variables = [("retry_empty", retries), ("repair", "false")];
        for (content_type, body) in [
            ("application/json", EMPTY_ANSWER.to_owned()),
            ("text/event-stream", [ROLE, EMPTY_END].concat()),
        ] {
            let pool = pool_with(3, &variables);
            for _ in 0..calls {
                pool.script(200, content_type, &[&body]);
            }
            let answer = pool.chat(CHAT);
            assert_eq!((answer.status, &answer.body), (200, &body));
            assert_eq!(answer.header("content-type"), Some(content_type));
            assert_eq!(pool.sent(), calls);
        }
    }
}

#[test]
fn a_stream_fails_over_only_before_its_first_content() {
    let quota = error_body(&errors::quota_per_minute(
        MODEL,
        10,
        Duration::from_secs(20),
    ));
    let hello = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\",\"role\":\"assistant\"},\"index\":0}],\"created\":1,\"id\":\"fake-id\",\"model\":\"m\",\"object\":\"chat.completion.chunk\"}\n\n";
    let end = hello.replace(
        r#"{"content":"Hi","role":"assistant"}"#,
        r#"{},"finish_reason":"stop""#,
    ) + "data: [DONE]\n\n";
    for (broken, first) in [
        (vec![ROLE, &quota], "1 quota_per_minute"),
        (vec![ROLE], "1 upstream_trouble"),
    ] {
        let pool = pool_of(2);
        pool.script(200, "text/event-stream", &broken);
        pool.script(200, "text/event-stream", &[hello, &end]);
        let answer = pool.chat(CHAT);
        assert_eq!(answer.body, [hello, &end].concat());
        assert_eq!(pool.attempts(), [first, "2 success"]);
    }
    let pool = pool_of(2);
    pool.script(200, "text/event-stream", &[hello, &quota]);
    let answer = pool.chat(CHAT);
    let error = answer.body.strip_prefix(hello).unwrap();
    assert!(error.starts_with("data: {\"error\":{"), "{error}");
    assert!(!answer.body.contains("[DONE]"));
    assert_eq!(pool.attempts(), ["1 quota_per_minute"]);
    assert_eq!(pool.cool_downs().len(), 1, "the key still cools");
}

#[test]
fn logs_the_tokens_of_plain_and_streamed_answers() {
    let pool = pool_of(1);
    pool.script_answer();
    pool.chat(CHAT);
    let last = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\",\"index\":0}],\"object\":\"chat.completion.chunk\",\"usage\":{\"completion_tokens\":19,\"prompt_tokens\":4634,\"prompt_tokens_details\":{\"cached_tokens\":4088},\"total_tokens\":4653}}\n\n";
    pool.script(200, "text/event-stream", &[last, "data: [DONE]\n\n"]);
    pool.chat(CHAT);
    assert_eq!(
        pool.database.query("SELECT input_tokens, output_tokens, thinking_tokens, cached_tokens, first_byte_ms > 0 FROM api_call_logs ORDER BY id"),
        ["17|2|30|0|1", "4634|19|0|4088|1"]
    );
}

#[test]
fn suspects_the_upstream_when_all_keys_fail_alike() {
    for (status, error) in [(400, errors::key_invalid()), (403, errors::leaked())] {
        let pool = pool_of(5);
        for _ in 0..5 {
            pool.script_error(status, &error);
        }
        let answer = pool.chat(CHAT);
        assert_eq!(answer.status, 503, "{}", answer.body);
        let in_use = "SELECT count(*) FROM api_keys WHERE status = 1";
        assert_eq!(pool.database.query(in_use), ["5"], "no key is disabled");
        let again = pool.chat(CHAT);
        assert_eq!(
            (again.status, again.error("code").as_str()),
            (503, "upstream_suspected"),
            "{}",
            again.body
        );
        assert_eq!(pool.sent(), 5, "no key is used for a minute");
        let bearer = format!("Bearer {TOKEN}");
        let status = pool.call("GET", "/api/keys/status", &[("authorization", &bearer)], "");
        let report: serde_json::Value = serde_json::from_str(&status.body).unwrap();
        assert_eq!(report["suspicion"]["keys"], 5, "{}", status.body);
    }
}

#[test]
fn keys_of_refused_projects_stay_active_if_all_are_refused() {
    let pool = pool_of(5);
    for _ in 0..5 {
        pool.script_error(403, &errors::project_denied());
    }
    assert_eq!(pool.chat(CHAT).status, 503);
    let in_use = "SELECT count(*) FROM api_keys WHERE status = 1";
    assert_eq!(pool.database.query(in_use), ["5"]);
}

#[test]
fn blames_a_key_only_if_another_serves_the_request() {
    let pool = pool_of(2);
    pool.script_error(403, &errors::permission_denied());
    pool.script_error(403, &errors::permission_denied());
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.cool_downs().len()), (403, 0));
    pool.script_error(403, &errors::permission_denied());
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert!(pool.cool_downs()[0].starts_with("m|resource_refused|"));
}

#[test]
fn the_first_content_of_a_trial_ends_the_cool_down() {
    let pool = pool_of(1);
    pool.database.run("INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
        ('key:1', '', 'billing_exhausted', '2027-01-15T06:00:00.000Z', '2027-01-15T07:00:00.000Z', 3)");
    pool.script(
        200,
        "text/event-stream",
        &["data: {\"a\":1}\n\n", "data: [DONE]\n\n"],
    );
    let (_, mut trial) = pool.chat_stream();
    assert!(
        pool.cool_downs().is_empty(),
        "the first content ends the trial"
    );
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    while block_on(trial.next()) != Chunk::End {}
    assert_eq!(pool.attempts(), ["1 success", "1 success"]);
}

#[test]
fn a_caller_waits_while_another_call_is_on_trial() {
    let pool = pool_of(1);
    pool.database.run("INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes, trial_until) VALUES
        ('key:1', '', 'billing_exhausted', '2027-01-15T06:00:00.000Z', '2027-01-15T07:00:00.000Z', 3, '2027-01-15T08:01:00.000Z')");
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent()), (429, 0), "{}", answer.body);
    assert!(answer.error("message").contains("1 on_trial"));
    assert_eq!(answer.header("retry-after-ms"), Some("1000"));
    assert_eq!(answer.header("x-should-retry"), None);
    assert!(pool.host.0.now.get() >= 900, "the caller waited");
    pool.database.run("DELETE FROM cool_downs");
    pool.advance(500);
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
}

#[test]
fn the_first_content_of_a_trial_ends_the_pause() {
    let pool = pool_of(1);
    pool.database
        .run("UPDATE api_keys SET status = 2, disabled_until = '2027-01-15T07:00:00.000Z'");
    pool.script(
        200,
        "text/event-stream",
        &["data: {\"a\":1}\n\n", "data: [DONE]\n\n"],
    );
    let (_, mut trial) = pool.chat_stream();
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    while block_on(trial.next()) != Chunk::End {}
    assert_eq!(
        pool.database
            .query("SELECT status, trial_until FROM api_keys"),
        ["1|NULL"]
    );
}

#[test]
fn a_failed_trial_releases_its_lease() {
    for (status, error) in [
        (401, errors::unauthenticated("Chat")),
        (403, errors::permission_denied()),
        (
            429,
            errors::quota_per_minute(MODEL, 10, Duration::from_secs(20)),
        ),
        (503, errors::overloaded()),
        (400, errors::invalid_argument()),
    ] {
        let pool = pool_with(1, &[("max_attempts", "1")]);
        pool.database
            .run("UPDATE api_keys SET status = 2, disabled_until = '2027-01-15T07:00:00.000Z';
            INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
            ('key:1', '', 'billing_exhausted', '2027-01-15T06:00:00.000Z', '2027-01-15T07:00:00.000Z', 3)");
        pool.script_error(status, &error);
        pool.chat(CHAT);
        assert_eq!(pool.sent(), 1);
        let leases = "SELECT trial_until FROM cool_downs UNION SELECT trial_until FROM api_keys";
        assert_eq!(pool.database.query(leases), ["NULL"], "{status}");
    }
}

#[test]
fn a_failed_trial_doubles_the_cool_down() {
    let pool = pool_of(1);
    pool.script_error(429, &errors::prepayment_depleted());
    pool.chat(CHAT);
    pool.advance(3_600_000);
    pool.script_error(429, &errors::prepayment_depleted());
    let answer = pool.chat(CHAT);
    assert!(
        (7_200..=7_201).contains(&answer.reported_wait()),
        "{}",
        answer.body
    );
    assert_eq!(pool.sent(), 2);
}

#[test]
fn explains_the_pool_and_resets_a_key() {
    let pool = pool_of(2);
    let bearer = format!("Bearer {TOKEN}");
    let authorized = [("authorization", bearer.as_str())];
    pool.database.run("UPDATE api_keys SET status = 0, disabled_reason = 'key_rejected: expired' WHERE id = 2;
        INSERT INTO limits (scope, model, unit, per, preset) VALUES ('key:1', 'm', 'requests', 'day', 20)");
    let explain = |query: &str| {
        let answer = pool.call("GET", &format!("/api/pool/explain{query}"), &authorized, "");
        (answer.status, answer.body)
    };
    let (status, body) = explain("?model=m");
    assert_eq!(status, 200);
    let report: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&report["model"], &report["eligible"]),
        (&"m".into(), &1.into())
    );
    assert_eq!(report["keys"][0]["probability"], 1.0);
    assert_eq!(report["keys"][0]["budgets"][0]["limit"], 20);
    assert_eq!(report["keys"][1]["reason"], "disabled");
    assert_eq!(report["keys"][1]["detail"], "key_rejected: expired");
    assert!(!body.contains("AIza"), "{body}");
    assert_eq!(explain("?modle=m").0, 400);
    assert_eq!(explain("").0, 200);

    let reset = |id: i64| {
        let path = format!("/api/keys/{id}/reset");
        pool.call("POST", &path, &authorized, "").status
    };
    assert_eq!((reset(2), reset(9)), (200, 404));
    let (_, body) = explain("?model=m");
    assert!(body.contains("\"eligible\":2"), "{body}");
    assert_eq!(pool.call("POST", "/api/keys/2/reset", &[], "").status, 401);
}

#[test]
fn uses_another_key_when_a_trial_is_already_claimed() {
    let pool = pool_of(2);
    pool.database.run("INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
        ('key:1', '', 'billing_exhausted', '2027-01-15T06:00:00.000Z', '2027-01-15T07:00:00.000Z', 1)");
    for seed in 0..20 {
        pool.host.0.random_state.set(seed);
        // The view does not show the claim yet.
        pool.database
            .run("UPDATE cool_downs SET trial_until = NULL");
        pool.script_answer();
        pool.advance(500);
        pool.database.before_each({
            let database = Rc::clone(&pool.database);
            let statements = Cell::new(0);
            move || {
                statements.set(statements.get() + 1);
                if statements.get() == 3 {
                    database.run("UPDATE cool_downs SET trial_until = '2027-01-15T09:00:00.000Z'");
                }
            }
        });
        assert_eq!(pool.chat(CHAT).header("x-keypool-key"), Some("2"));
    }
}

#[test]
fn does_not_wait_for_a_limit_of_zero() {
    let pool = pool_of(1);
    pool.database.run("INSERT INTO limits (scope, model, unit, per, preset) VALUES ('key:1', '', 'requests', 'minute', 0)");
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent()), (429, 0));
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(pool.host.0.now.get(), 0, "no wait");
}

#[test]
fn a_failed_call_releases_its_reserved_tokens() {
    for reply in [
        Ok((503, error_body(&errors::overloaded()))),
        Err(TransportError::Failed("refused".into())),
    ] {
        let pool = pool_with(1, &[("max_attempts", "1")]);
        pool.database.run("INSERT INTO limits (scope, model, unit, per, preset) VALUES ('key:1', 'm', 'input_tokens', 'day', 900)");
        match reply {
            Ok((status, body)) => pool.script(status, "application/json", &[&body]),
            Err(error) => pool.script_reply(Err(error)),
        }
        pool.chat(CHAT);
        assert_eq!(
            pool.database
                .query("SELECT per, requests, input_tokens FROM budget_usage"),
            ["day|1|0", "minute|1|0"]
        );
    }
}

#[test]
fn fails_over_when_an_answer_stalls() {
    let pool = pool_of(2);
    let half = ANSWER.as_bytes()[..20].to_vec();
    pool.script_chunks(200, "application/json", vec![Ok(half), Ok(Vec::new())]);
    pool.script_answer();
    assert_eq!(pool.chat(CHAT).status, 200);
    let took = pool.host.0.now.get();
    assert!((60_000..60_400).contains(&took), "{took}");
    assert_eq!(pool.attempts(), ["1 upstream_trouble", "2 success"]);
}

#[test]
fn a_stalled_answer_ends_at_the_requests_deadline() {
    for chunks in [
        vec![Ok(ANSWER.as_bytes()[..20].to_vec()), Ok(Vec::new())],
        vec![Ok(Vec::new())],
    ] {
        let pool = pool_with(1, &[("failover_deadline", "5")]);
        pool.script_chunks(200, "application/json", chunks);
        assert_eq!(pool.chat(CHAT).status, 504);
        let took = pool.host.0.now.get();
        assert!((5_000..5_100).contains(&took), "{took}");
        assert_eq!(
            pool.database
                .query("SELECT response_status, outcome FROM api_call_logs"),
            ["200|upstream_trouble"]
        );
    }
}

#[test]
fn the_deadline_does_not_shorten_the_idle_timeout() {
    let pool = pool_with(1, &[("failover_deadline", "5")]);
    pool.script_answer();
    pool.chat(CHAT);
    let timeouts = pool.host.0.sent.borrow()[0].timeouts;
    assert_eq!((timeouts.head_ms, timeouts.idle_ms), (5_000, Some(60_000)));
}

#[test]
fn a_trickling_answer_ends_at_the_requests_deadline() {
    let pool = pool_with(1, &[("failover_deadline", "90")]);
    let chunks = vec![Ok(b" ".to_vec()); 20_000];
    pool.script_chunks(200, "application/json", chunks);
    let answer = pool.chat(CHAT);
    assert_eq!(answer.status, 504, "{}", answer.body);
    let took = pool.host.0.now.get();
    assert!((90_000..90_100).contains(&took), "{took}");
    assert_eq!(pool.attempts(), ["1 upstream_trouble"]);
}

#[test]
fn a_read_only_database_does_not_disable_cool_downs() {
    let refuse = |pool: &Pool, table: &str| {
        let error = "attempt to write a readonly database";
        pool.database.fail(table, error, 10_000);
    };
    for (status, error) in [
        (
            429,
            errors::quota_per_minute(MODEL, 10, Duration::from_secs(20)),
        ),
        (401, errors::unauthenticated("Chat")),
    ] {
        let pool = pool_of(1);
        refuse(&pool, "INSERT");
        refuse(&pool, "UPDATE");
        pool.script_error(status, &error);
        pool.chat(CHAT);
        for _ in 0..3 {
            pool.advance(600);
            assert!(pool.chat(CHAT).status >= 429);
            assert_eq!(pool.sent(), 1, "{status}");
        }
        pool.advance(60_000);
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).status, 200, "{status}");
    }
    let pool = pool_with(2, &[("max_attempts", "2")]);
    refuse(&pool, "retry_budget");
    let mut retried = 0;
    for _ in 0..20 {
        pool.script_error(503, &errors::overloaded());
        pool.script_error(503, &errors::overloaded());
        let now = pool.host.0.now.get();
        pool.chat(CHAT);
        pool.host.0.now.set(now);
        retried += 2 - pool.host.0.replies.borrow_mut().drain(..).count();
    }
    assert_eq!(retried - 20, 10, "the instance's minimum of retries");
}

#[test]
fn waits_for_an_answer_as_long_as_the_client() {
    for (client, silent_ms) in [
        (None, 599_000),
        (Some("300"), 299_000),
        (Some("1200"), 1_199_000),
    ] {
        let pool = pool_of(2);
        pool.script_reply(Ok(Scripted {
            status: 200,
            content_type: "application/json",
            content_encoding: None,
            headers: Vec::new(),
            chunks: vec![Ok(ANSWER.as_bytes().to_vec())],
        }));
        let bearer = format!("Bearer {TOKEN}");
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(client.map(|client| ("x-server-timeout", client)));
        let answer = pool.call("POST", "/v1/chat/completions", &headers, CHAT);
        assert_eq!(answer.status, 200);
        let sent = pool.host.0.sent.borrow();
        assert!(sent[0].timeouts.head_ms > silent_ms, "{client:?}");
        let reported = sent[0].headers.get("x-server-timeout");
        assert_eq!(reported.map(|reported| reported.to_str().unwrap()), client);
    }
}

#[test]
fn leaves_half_of_a_short_client_timeout_for_a_retry() {
    let pool = pool_of(2);
    pool.script_silence();
    pool.script_answer();
    let bearer = format!("Bearer {TOKEN}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-server-timeout", "8"),
    ];
    let answer = pool.call("POST", "/v1/chat/completions", &headers, CHAT);
    assert_eq!(answer.status, 200);
    assert!(pool.host.0.now.get() < 4_000);
    let sent = pool.host.0.sent.borrow();
    let reported: Vec<_> = sent
        .iter()
        .map(|sent| sent.headers["x-server-timeout"].to_str().unwrap())
        .collect();
    assert_eq!(reported, ["8", "4"]);
}
