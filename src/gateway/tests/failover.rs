//! Failover: which keys a request tries, when it stops, and what it returns.

use super::*;

impl Pool {
    fn cool_downs(&self) -> Vec<String> {
        self.query("SELECT model, reason, until, strikes FROM cool_downs ORDER BY scope, model")
    }

    /// The number of keys that were used so far.
    fn keys_used(&self) -> usize {
        self.count("(SELECT DISTINCT api_key_id FROM api_call_logs)")
    }
}

#[test]
fn fails_over_to_another_key() {
    let soon = Duration::from_secs(41);
    let disabled = errors::service_disabled("projects/7");
    let retired = errors::model_retired_for_new_users("m");
    let minute = errors::quota_per_minute("m", 10, soon);
    let day = errors::quota_per_day("m", 10, soon);
    for (error, outcome) in [
        (errors::key_invalid(), "key_rejected"),
        (errors::unauthenticated("Chat"), "key_rejected"),
        (disabled, "project_refused"),
        (errors::permission_denied(), "resource_refused"),
        (retired, "model_refused"),
        (minute, "quota_per_minute"),
        (day, "quota_per_day"),
        (errors::quota_zero("m", soon), "quota_none"),
        (errors::prepayment_depleted(), "billing_exhausted"),
        (errors::resource_exhausted(), "quota_unspecified"),
        (errors::location_unsupported(), "egress_refused"),
        (errors::overloaded(), "model_overloaded"),
        (errors::internal(), "upstream_trouble"),
    ] {
        let pool = Pool::of(2);
        pool.script_error(&error);
        pool.script_answer();
        let answer = pool.chat(CHAT);
        answer.assert_status(200);
        let attempts = [format!("1 {outcome}"), "2 success".into()];
        assert_eq!(pool.attempts(), attempts);
        assert_eq!(answer.header("x-keypool-attempts"), Some("2"));
        assert_eq!(pool.log_rows("api_key_id")[1], answer.key());
        assert_eq!(pool.keys_used(), 2, "{outcome}");
        let ids = pool.query("SELECT count(DISTINCT request_id), min(model) FROM api_call_logs");
        assert_eq!(ids, ["1|m"]);
    }
}

#[test]
fn does_not_retry_an_error_of_the_caller() {
    let pool = Pool::of(5);
    pool.script_error(&errors::invalid_argument());
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent()), (400, 1));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(answer.header("x-keypool-attempts"), Some("1"));
}

#[test]
fn a_cooling_key_is_not_used() {
    let unspecified = errors::resource_exhausted();
    let limited = "rate_limit_exceeded";
    let unpaid = "billing_exhausted";
    for (error, seconds, reason, code) in [
        (quota_per_minute(), 20, "quota_per_minute", limited),
        (unspecified, 5, "quota_unspecified", limited),
        (errors::prepayment_depleted(), 3_600, unpaid, unpaid),
    ] {
        let pool = Pool::new();
        pool.script_error(&error);
        let answer = pool.chat(CHAT);
        answer.assert_error(429, code);
        let wait = answer.reported_wait();
        assert!((seconds..=seconds + 1).contains(&wait), "{reason}: {wait}");
        let (in_header, retry) = if wait > 60 {
            (None, Some("false"))
        } else {
            (Some(wait), None)
        };
        let header = |name| {
            let value = answer.header(name);
            value.map(|value| value.parse::<i64>().unwrap())
        };
        assert_eq!(header("retry-after"), in_header);
        let ms = header("retry-after-ms").map(|ms| (ms + 999) / 1000);
        assert_eq!(ms, in_header);
        assert_eq!(answer.header("x-should-retry"), retry, "{reason}");
        answer.assert_message(&format!("Of 1 keys: 1 {reason}."));
        pool.advance(seconds * 1_000 - 2_000);
        pool.chat(CHAT).assert_status(429);
        assert_eq!(pool.sent(), 1, "{reason}");
        pool.advance(3_000);
        pool.serve_chats(1);
    }
}

#[test]
fn a_daily_quota_resets_at_midnight_in_los_angeles() {
    let pool = Pool::new();
    pool.script_error(&quota_per_day());
    pool.chat(CHAT).assert_status(429);
    // `NOON` is midnight in Los Angeles.
    let cool_down = "m|quota_per_day|2027-01-16T08:00:00.000Z|1";
    assert_eq!(pool.cool_downs(), [cool_down]);
    // The quota of another model is unaffected.
    pool.script_answer();
    pool.chat_for("other").assert_status(200);
}

#[test]
fn retries_on_a_key_of_another_project() {
    let pool = Pool::of(3);
    pool.run(
        "UPDATE api_keys SET project = 'projects/1' WHERE id < 3;
         UPDATE api_keys SET priority = 0, last_used_at = '2027-01-15T08:00:00.000Z' WHERE id = 3",
    );
    pool.script_error(&quota_per_minute());
    pool.serve_chats(1);
    assert_eq!(pool.log_rows("api_key_id")[1], "3");
}

#[test]
fn learns_a_project_from_an_error() {
    let pool = Pool::new();
    pool.script_error(&errors::service_blocked("projects/000000000042", "Chat"));
    pool.chat(CHAT);
    let projects = pool.query("SELECT project FROM api_keys");
    assert_eq!(projects, ["projects/000000000042"]);
}

#[test]
fn learns_a_limit_from_an_error_and_enforces_it() {
    let pool = Pool::of(2);
    pool.run("UPDATE api_keys SET status = 0 WHERE id = 2");
    pool.script_error(&errors::quota_per_minute("m", 2, Duration::from_secs(20)));
    pool.chat(CHAT);
    let limits = pool.query("SELECT model, unit, per, learned, preset FROM limits");
    assert_eq!(limits, ["m|requests|minute|2|NULL"]);
    pool.advance(90_000);
    pool.serve_chats(2);
    // The key is skipped before it fails.
    let sent = pool.sent();
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent()), (429, sent));
    answer.assert_message("1 budget_spent");
    let usage = "SELECT sum(requests), sum(input_tokens) FROM budget_usage WHERE per = 'day'";
    assert_eq!(pool.query(usage), ["2|34"], "the tokens that were used");
}

#[test]
fn enforces_a_preset_limit() {
    let pool = Pool::new();
    pool.insert_limit("key:1", "", "requests", "day", 1);
    pool.serve_chats(1);
    // The limit covers all models.
    pool.chat_for("other").assert_status(429);
    assert_eq!(pool.sent(), 1);
}

#[test]
fn stops_after_max_attempts() {
    let pool = Pool::with_keys(9, &[("max_attempts", "3")]);
    pool.script_errors(3, &quota_per_minute());
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent(), pool.keys_used()), (429, 3, 3));
    assert_eq!(answer.header("x-keypool-attempts"), Some("3"));
}

#[test]
fn retries_upstream_trouble_with_backoff() {
    let pool = Pool::of(9);
    pool.script_errors(5, &errors::overloaded());
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent(), pool.keys_used()), (503, 5, 5));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    // 100 + 200 + 400 + 800 ms with jitter.
    let waited = pool.now() - 5 * (40 + 2 * 5);
    assert!((750..=1500).contains(&waited), "{waited}");
    assert_eq!(pool.statuses(), "111111111");
}

#[test]
fn limits_retries_during_an_outage() {
    let pool = Pool::of(9);
    let requests = 40;
    pool.script_errors(requests * 5, &errors::overloaded());
    for _ in 0..requests {
        let now = pool.now();
        pool.chat(CHAT).assert_status(503);
        // Keep all requests within a minute.
        pool.host.0.now.set(now + 1);
    }
    let retries = pool.sent() - requests;
    let allowed = 10..=10 + requests / 5;
    assert!(allowed.contains(&retries), "{retries} retries");
}

#[test]
fn fails_over_after_an_answer_timeout() {
    let pool = Pool::with_keys(2, &[("answer_timeout", "2")]);
    pool.script_silence();
    pool.script_answer();
    let before = pool.now();
    assert_eq!(pool.chat(CHAT).status, 200);
    assert!(pool.now() - before < 2_500);
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
        let pool = Pool::with_keys(9, &variables);
        for _ in 0..5 {
            pool.script_silence();
        }
        let before = pool.now();
        let client: Vec<_> = client.map(|name| (name, "5.0")).into_iter().collect();
        let answer = pool.chat_with(&client);
        assert_eq!(answer.status, 504, "{variables:?} {client:?}");
        let took = pool.now() - before;
        assert!(took <= limit_ms, "{variables:?} {client:?}: {took} ms");
    }
}

#[test]
fn waits_for_a_key_that_is_available_soon() {
    let pool = Pool::of(2);
    pool.run("UPDATE api_keys SET status = 0 WHERE id = 2;
        INSERT INTO cool_downs (scope, model, reason, began_at, until, strikes) VALUES
        ('key:1', 'm', 'quota_per_minute', '2027-01-15T07:59:59.000Z', '2027-01-15T08:00:00.900Z', 1)");
    pool.serve_chats(1);
    assert_eq!(pool.log_rows("called_at"), ["2027-01-15T08:00:00.900Z"]);
}

const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"},\"index\":0}],\"object\":\"chat.completion.chunk\"}\n\n";
const EMPTY_END: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"},\"finish_reason\":\"stop\",\"index\":0}],\"object\":\"chat.completion.chunk\",\"usage\":{\"completion_tokens\":0,\"prompt_tokens\":5,\"total_tokens\":5}}\n\ndata: [DONE]\n\n";
const EMPTY_ANSWER: &str = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant"}}],"object":"chat.completion","usage":{"completion_tokens":0,"prompt_tokens":5,"total_tokens":5}}"#;

#[test]
fn retries_an_empty_answer_once() {
    for (content_type, body) in [
        (JSON, vec![EMPTY_ANSWER]),
        (JSON, vec![]),
        (EVENTS, vec![ROLE, EMPTY_END]),
        (EVENTS, vec![]),
    ] {
        let pool = Pool::of(3);
        pool.script(200, content_type, &body);
        pool.script_answer();
        let answer = pool.chat(CHAT);
        answer.assert_status(200);
        assert_eq!(answer.body, ANSWER, "{body:?}");
        let first = &*pool.attempts()[0];
        assert!(["1 empty_answer", "1 upstream_trouble"].contains(&first));
    }
}

#[test]
fn passes_an_empty_answer_without_a_retry_left() {
    for (retries, calls) in [("false", 1), ("true", 2)] {
        let variables = [("retry_empty", retries), ("repair", "false")];
        for (content_type, body) in [
            (JSON, EMPTY_ANSWER.to_owned()),
            (EVENTS, [ROLE, EMPTY_END].concat()),
        ] {
            let pool = Pool::with_keys(3, &variables);
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
    let quota = quota_per_minute().pretty_array();
    let hello = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\",\"role\":\"assistant\"},\"index\":0}],\"created\":1,\"id\":\"fake-id\",\"model\":\"m\",\"object\":\"chat.completion.chunk\"}\n\n";
    let end = hello.replace(
        r#"{"content":"Hi","role":"assistant"}"#,
        r#"{},"finish_reason":"stop""#,
    ) + DONE;
    for (broken, first) in [
        (vec![ROLE, &quota], "1 quota_per_minute"),
        (vec![ROLE], "1 upstream_trouble"),
    ] {
        let pool = Pool::of(2);
        pool.script_events(&broken);
        pool.script_events(&[hello, &end]);
        let answer = pool.chat(CHAT);
        assert_eq!(answer.body, [hello, &end].concat());
        assert_eq!(pool.attempts(), [first, "2 success"]);
    }
    let pool = Pool::of(2);
    pool.script_events(&[hello, &quota]);
    let answer = pool.chat(CHAT);
    let error = answer.body.strip_prefix(hello).unwrap();
    assert_starts_with(error, "data: {\"error\":{");
    assert!(!answer.body.contains("[DONE]"));
    assert_eq!(pool.attempts(), ["1 quota_per_minute"]);
    assert_eq!(pool.cool_downs().len(), 1, "the key still cools");
}

#[test]
fn logs_the_tokens_of_plain_and_streamed_answers() {
    let pool = Pool::new();
    pool.serve_chats(1);
    let last = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\",\"index\":0}],\"object\":\"chat.completion.chunk\",\"usage\":{\"completion_tokens\":19,\"prompt_tokens\":4634,\"prompt_tokens_details\":{\"cached_tokens\":4088},\"total_tokens\":4653}}\n\n";
    pool.script_events(&[last, DONE]);
    pool.chat(CHAT);
    assert_eq!(
        pool.log_rows(
            "input_tokens, output_tokens, thinking_tokens, cached_tokens, first_byte_ms > 0"
        ),
        ["17|2|30|0|1", "4634|19|0|4088|1"]
    );
}

#[test]
fn suspects_the_upstream_when_all_keys_fail_alike() {
    for error in [errors::key_invalid(), errors::leaked()] {
        let pool = Pool::of(5);
        pool.script_errors(5, &error);
        pool.chat(CHAT).assert_status(503);
        assert_eq!(pool.statuses(), "11111", "no key is disabled");
        pool.chat(CHAT).assert_error(503, "upstream_suspected");
        assert_eq!(pool.sent(), 5, "no key is used for a minute");
        let report = pool.get("/api/keys/status").json();
        assert_eq!(report["suspicion"]["keys"], 5, "{report}");
    }
}

#[test]
fn keys_of_refused_projects_stay_active_if_all_are_refused() {
    let pool = Pool::of(5);
    pool.script_errors(5, &errors::project_denied());
    pool.chat(CHAT).assert_status(503);
    assert_eq!(pool.statuses(), "11111");
}

#[test]
fn blames_a_key_only_if_another_serves_the_request() {
    let pool = Pool::of(2);
    pool.script_errors(2, &errors::permission_denied());
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.cool_downs().len()), (403, 0));
    pool.script_error(&errors::permission_denied());
    pool.serve_chats(1);
    assert!(pool.cool_downs()[0].starts_with("m|resource_refused|"));
}

#[test]
fn the_first_content_of_a_trial_ends_the_cool_down() {
    let pool = Pool::new();
    pool.insert_ended_cool_down();
    pool.script_events(&[FIRST, DONE]);
    let mut trial = pool.chat_stream();
    // The first content ends the trial.
    assert_eq!(pool.count("cool_downs"), 0);
    pool.serve_chats(1);
    while block_on(trial.next()) != Chunk::End {}
    assert_eq!(pool.attempts(), ["1 success", "1 success"]);
}

#[test]
fn a_caller_waits_while_another_call_is_on_trial() {
    let pool = Pool::new();
    pool.insert_ended_cool_down();
    pool.run("UPDATE cool_downs SET trial_until = '2027-01-15T08:01:00.000Z'");
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent()), (429, 0), "{}", answer.body);
    answer.assert_message("1 on_trial");
    assert_eq!(answer.header("retry-after-ms"), Some("1000"));
    assert_eq!(answer.header("x-should-retry"), None);
    assert!(pool.now() >= 900, "the caller waited");
    pool.run("DELETE FROM cool_downs");
    pool.advance(500);
    pool.serve_chats(1);
}

#[test]
fn the_first_content_of_a_trial_ends_the_pause() {
    let pool = Pool::new();
    pool.run("UPDATE api_keys SET status = 2, disabled_until = '2027-01-15T07:00:00.000Z'");
    pool.script_events(&[FIRST, DONE]);
    let mut trial = pool.chat_stream();
    pool.serve_chats(1);
    while block_on(trial.next()) != Chunk::End {}
    let trial = "SELECT status, trial_until FROM api_keys";
    assert_eq!(pool.query(trial), ["1|NULL"]);
}

#[test]
fn a_failed_trial_releases_its_lease() {
    for (status, error) in [
        (401, errors::unauthenticated("Chat")),
        (403, errors::permission_denied()),
        (429, quota_per_minute()),
        (503, errors::overloaded()),
        (400, errors::invalid_argument()),
    ] {
        let pool = Pool::with(&[("max_attempts", "1")]);
        pool.run("UPDATE api_keys SET status = 2, disabled_until = '2027-01-15T07:00:00.000Z'");
        pool.insert_ended_cool_down();
        pool.script_error(&error);
        pool.chat(CHAT);
        assert_eq!(pool.sent(), 1);
        let leases = "SELECT trial_until FROM cool_downs UNION SELECT trial_until FROM api_keys";
        assert_eq!(pool.query(leases), ["NULL"], "{status}");
    }
}

#[test]
fn a_failed_trial_doubles_the_cool_down() {
    let pool = Pool::new();
    pool.script_error(&errors::prepayment_depleted());
    pool.chat(CHAT);
    pool.advance(3_600_000);
    pool.script_error(&errors::prepayment_depleted());
    let answer = pool.chat(CHAT);
    let wait = answer.reported_wait();
    assert!((7_200..=7_201).contains(&wait), "{wait}");
    assert_eq!(pool.sent(), 2);
}

#[test]
fn explains_the_pool_and_resets_a_key() {
    let pool = Pool::of(2);
    pool.run(
        "UPDATE api_keys SET status = 0, disabled_reason = 'key_rejected: expired' WHERE id = 2",
    );
    pool.insert_limit("key:1", "m", "requests", "day", 20);
    let explained = pool.get("/api/pool/explain?model=m");
    explained.assert_status(200);
    let report = explained.json();
    assert_eq!(report["model"], "m");
    assert_eq!(report["eligible"], 1);
    assert_eq!(report["keys"][0]["probability"], 1.0);
    assert_eq!(report["keys"][0]["budgets"][0]["limit"], 20);
    assert_eq!(report["keys"][1]["reason"], "disabled");
    assert_eq!(report["keys"][1]["detail"], "key_rejected: expired");
    assert!(!explained.body.contains("AIza"), "{report}");
    pool.get("/api/pool/explain?modle=m").assert_status(400);
    pool.get("/api/pool/explain").assert_status(200);

    pool.post("/api/keys/2/reset", "").assert_status(200);
    pool.post("/api/keys/9/reset", "").assert_status(404);
    assert_eq!(pool.get("/api/pool/explain?model=m").json()["eligible"], 2);
    let refused = pool.call("POST", "/api/keys/2/reset", &[], "");
    refused.assert_status(401);
}

#[test]
fn explains_where_an_alias_leads() {
    let aliases = "claude-*-haiku*=lite,claude-*=pro";
    let pool = Pool::with_keys(1, &[("model_aliases", aliases)]);
    pool.insert_limit("key:1", "pro", "requests", "day", 20);
    let explain = |name: &str| pool.get(&format!("/api/pool/explain?model={name}")).json();
    let report = explain("claude-opus-4");
    assert_eq!(report["model"], "pro");
    assert_eq!(report["alias"]["name"], "claude-opus-4");
    assert_eq!(report["alias"]["pattern"], "claude-*");
    assert_eq!(report["keys"][0]["budgets"][0]["model"], "pro");
    assert_eq!(explain("claude-3-haiku")["model"], "lite");
    let report = explain("pro");
    assert_eq!(report["model"], "pro");
    assert!(report["alias"].is_null());
}

#[test]
fn uses_another_key_when_a_trial_is_already_claimed() {
    let pool = Pool::of(2);
    pool.insert_ended_cool_down();
    for seed in 0..20 {
        pool.host.0.random_state.set(seed);
        // The view does not show the claim yet.
        pool.run("UPDATE cool_downs SET trial_until = NULL");
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
    let pool = Pool::new();
    pool.insert_limit("key:1", "", "requests", "minute", 0);
    let answer = pool.chat(CHAT);
    assert_eq!((answer.status, pool.sent()), (429, 0));
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(pool.now(), 0, "no wait");
}

#[test]
fn a_failed_call_releases_its_reserved_tokens() {
    for has_answer in [true, false] {
        let pool = Pool::with(&[("max_attempts", "1")]);
        pool.insert_limit("key:1", "m", "input_tokens", "day", 900);
        if has_answer {
            pool.script_error(&errors::overloaded());
        } else {
            pool.script_reply(Err(failed("refused")));
        }
        pool.chat(CHAT);
        let usage = pool.query("SELECT per, requests, input_tokens FROM budget_usage");
        assert_eq!(usage, ["day|1|0", "minute|1|0"]);
    }
}

#[test]
fn fails_over_when_an_answer_stalls() {
    let pool = Pool::of(2);
    pool.script(200, JSON, &[&ANSWER[..20], STALL]);
    pool.serve_chats(1);
    let took = pool.now();
    assert!((60_000..60_400).contains(&took), "{took}");
    assert_eq!(pool.attempts(), ["1 upstream_trouble", "2 success"]);
}

#[test]
fn a_stalled_answer_ends_at_the_requests_deadline() {
    for chunks in [&[&ANSWER[..20], STALL][..], &[STALL]] {
        let pool = Pool::with(&[("failover_deadline", "5")]);
        pool.script(200, JSON, chunks);
        pool.chat(CHAT).assert_status(504);
        let took = pool.now();
        assert!((5_000..5_100).contains(&took), "{took}");
        let rows = pool.log_rows("response_status, outcome");
        assert_eq!(rows, ["200|upstream_trouble"]);
    }
}

#[test]
fn the_deadline_does_not_shorten_the_idle_timeout() {
    let pool = Pool::with(&[("failover_deadline", "5")]);
    pool.serve_chats(1);
    let timeouts = pool.last_sent().timeouts;
    assert_eq!((timeouts.head_ms, timeouts.idle_ms), (5_000, Some(60_000)));
}

#[test]
fn a_trickling_answer_ends_at_the_requests_deadline() {
    let pool = Pool::with(&[("failover_deadline", "90")]);
    pool.script(200, JSON, &[" "; 20_000]);
    pool.chat(CHAT).assert_status(504);
    let took = pool.now();
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
        (429, quota_per_minute()),
        (401, errors::unauthenticated("Chat")),
    ] {
        let pool = Pool::new();
        refuse(&pool, "INSERT");
        refuse(&pool, "UPDATE");
        pool.script_error(&error);
        pool.chat(CHAT);
        for _ in 0..3 {
            pool.advance(600);
            assert!(pool.chat(CHAT).status >= 429);
            assert_eq!(pool.sent(), 1, "{status}");
        }
        pool.advance(60_000);
        pool.serve_chats(1);
    }
    let pool = Pool::with_keys(2, &[("max_attempts", "2")]);
    refuse(&pool, "retry_budget");
    let mut retried = 0;
    for _ in 0..20 {
        pool.script_errors(2, &errors::overloaded());
        let now = pool.now();
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
        let pool = Pool::of(2);
        pool.script_answer();
        let headers: Vec<_> = client
            .map(|client| ("x-server-timeout", client))
            .into_iter()
            .collect();
        pool.chat_with(&headers).assert_status(200);
        let sent = pool.last_sent();
        assert!(sent.timeouts.head_ms > silent_ms, "{client:?}");
        let reported = sent.headers.get("x-server-timeout");
        assert_eq!(reported.map(|reported| reported.to_str().unwrap()), client);
    }
}

#[test]
fn leaves_half_of_a_short_client_timeout_for_a_retry() {
    let pool = Pool::of(2);
    pool.script_silence();
    pool.script_answer();
    pool.chat_with(&[("x-server-timeout", "8")])
        .assert_status(200);
    assert!(pool.now() < 4_000);
    let sent = pool.host.0.sent.borrow();
    let reported = |call: usize| sent[call].headers["x-server-timeout"].to_str().unwrap();
    assert_eq!([reported(0), reported(1)], ["8", "4"]);
}
