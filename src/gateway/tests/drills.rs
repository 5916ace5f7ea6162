//! Fault drills: the next calls of a key end with a fault, as if it were the upstream's.

use super::*;
use serde_json::{Value, json};

impl Pool {
    /// Starts a drill of a key, which must be reported.
    #[track_caller]
    fn drill(&self, key: usize, fault: &str, calls: usize) {
        let body = json!({"fault": fault, "calls": calls});
        let answer = self.admin("POST", &format!("keys/{key}/drill"), &body);
        answer.assert_status(200);
        let expected = json!({"fault": fault, "calls_left": calls});
        assert_eq!(answer.json()["drill"], expected);
    }

    /// A pool of two keys, of which the first is preferred.
    fn with_preferred_key() -> Self {
        let pool = Self::of(2);
        pool.run("UPDATE api_keys SET priority = 0 WHERE id = 2");
        pool
    }

    fn drilled(&self) -> Vec<String> {
        self.log_rows("api_key_id, outcome, response_status, drill")
    }
}

#[test]
fn calls_fail_over_during_a_drill_and_the_upstream_gets_none_of_it() {
    for (fault, expected, serves) in [
        ("429", "1|quota_per_minute|429|1", "2"),
        ("503", "1|model_overloaded|503|1", "2"),
        // After a broken connection, the same key may be tried.
        ("reset", "1|unanswered|NULL|1", "1"),
    ] {
        let pool = Pool::with_preferred_key();
        pool.drill(1, fault, 1);
        pool.script_answer();
        let answer = pool.chat(CHAT);
        answer.assert_status(200);
        assert_eq!((answer.key(), pool.sent()), (serves, 1), "{fault}");
        let served = format!("{serves}|success|200|NULL");
        assert_eq!(pool.drilled(), [expected, &served]);
        assert_eq!(pool.listed("keys/1")["drill"], Value::Null);
        assert_eq!(pool.count_lines(" (drill) status="), 1, "{fault}");
    }
}

#[test]
fn what_follows_is_what_follows_from_googles_own_answer() {
    let pool = Pool::new();
    pool.drill(1, "429", 3);
    let limited = pool.chat(CHAT);
    limited.assert_status(429);
    assert_eq!(limited.header("retry-after"), Some("5"));
    let key = pool.listed("keys/1");
    assert_eq!(key["cooling"][0]["reason"], "quota_per_minute");
    assert_eq!(key["limits"], json!([]), "nothing false is learned");
    pool.chat(CHAT).assert_status(429);
    let left = &pool.listed("keys/1")["drill"]["calls_left"];
    assert_eq!(
        (left, pool.sent()),
        (&json!(2), 0),
        "a cooling key gets no call"
    );
    // A reset ends the cool-down, and 0 calls end the drill.
    pool.admin("POST", "keys/1/reset", &json!({}))
        .assert_status(200);
    let ended = pool.admin("POST", "keys/1/drill", &json!({"calls": 0}));
    assert_eq!(ended.json()["drill"], Value::Null);
    pool.serve_chats(1);
    let audit = &pool.listed("audit?action=drill_key")["items"][0];
    assert_eq!(audit["before"]["drill"]["calls_left"], 2);
    assert_eq!(audit["after"]["drill"], Value::Null);
}

#[test]
fn a_request_that_spends_the_pool_gets_the_faults_error() {
    let pool = Pool::new();
    pool.drill(1, "503", 100);
    let answer = pool.chat(CHAT);
    answer.assert_status(503);
    answer.assert_message("The model is overloaded. Please try again later.");
    assert_eq!(pool.sent(), 0);
    let left = pool.listed("keys/1")["drill"]["calls_left"].clone();
    assert_eq!(left, json!(100 - pool.count("api_call_logs")));
}

#[test]
fn a_call_without_a_drill_costs_no_statement() {
    let statements = |pool: &Pool| {
        pool.advance(1000);
        let before = pool.database.statements();
        pool.serve_chats(1);
        pool.database.statements() - before
    };
    let pool = Pool::with_preferred_key();
    pool.serve_chats(1);
    let without = statements(&pool);
    // The drill of another key costs nothing, either.
    pool.drill(2, "503", 1);
    assert_eq!(statements(&pool), without);
}

#[test]
fn calls_are_made_while_a_drill_cannot_be_counted() {
    let pool = Pool::new();
    pool.drill(1, "503", 1);
    pool.database
        .fail("UPDATE fault_drills", "disk I/O error", 1);
    pool.serve_chats(1);
    assert_eq!(pool.count_lines("takes no part in the drill of key 1"), 1);
}

#[test]
fn tests_of_keys_take_no_part() {
    let pool = Pool::new();
    pool.drill(1, "503", 1);
    pool.script_json(r#"{"models":[]}"#);
    let test = pool.admin("POST", "keys/1/test", &json!({}));
    assert_eq!(test.json()["outcome"], "success");
    assert_eq!(pool.drilled(), ["1|success|200|NULL"]);
}

#[test]
fn the_log_tells_drills_from_calls() {
    let pool = Pool::with_preferred_key();
    pool.drill(1, "503", 1);
    pool.script_answer();
    let id = pool.chat(CHAT).header("x-request-id").unwrap().to_owned();
    for (query, outcome) in [("true", "model_overloaded"), ("false", "success")] {
        let calls = pool.listed(&format!("calls?drill={query}"));
        let items = calls["items"].as_array().unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!(items[0]["outcome"], outcome);
        assert_eq!(items[0]["drill"].to_string(), query);
    }
    let request = pool.listed(&format!("requests/{id}"));
    assert_eq!(request["attempts"][0]["drill"], true);
    let csv = pool.get("/admin/api/v1/calls/export?drill=true").body;
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].ends_with(",cached_tokens,drill"), "{csv}");
    assert!(lines[1].ends_with(",true") && lines.len() == 2, "{csv}");
}

#[test]
fn rows_that_are_written_later_have_the_mark_too() {
    let pool = Pool::with(&[("log_commit", "after"), ("max_attempts", "1")]);
    pool.drill(1, "reset", 1);
    pool.chat(CHAT).assert_status(502);
    pool.serve_chats(1);
    pool.finish_spawned(1);
    assert_eq!(
        pool.drilled(),
        ["1|unanswered|NULL|1", "1|success|200|NULL"]
    );
}

#[test]
fn only_keys_that_exist_have_drills() {
    let pool = Pool::new();
    let answer = pool.admin("POST", "keys/2/drill", &json!({"fault": "503"}));
    admin::assert_problem(&answer, "", 404, "unknown_key");
    assert_eq!(pool.count("audit_log"), 0);
}
