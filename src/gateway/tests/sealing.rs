//! Keys at rest: sealed while calls are served, or sealed with another encryption key.

use super::*;
use crate::store;
use crate::store::testing::{encryption_key, vault};

const KEYS: &str = "SELECT id, api_key, key_digest FROM api_keys";

/// Seals the pool's keys with an encryption key of a number.
fn seal(pool: &Pool, number: u8) {
    let vault = vault(number, 0);
    let sealed = store::seal_keys(&*pool.database, &vault, || [7; 24]);
    assert_eq!(block_on(sealed), Ok(1));
    pool.advance(1_000);
}

#[test]
fn keys_are_sealed_in_the_background_while_calls_are_served() {
    let pool = Pool::with(&[("encryption_key", &encryption_key(1))]);
    pool.serve_chats(1);
    assert_contains(&pool.query(KEYS).concat(), KEY);
    pool.finish_spawned(1);
    let sealed = pool.query(KEYS).concat();
    assert!(!sealed.contains(KEY), "{sealed}");
    assert_eq!(
        pool.count_lines("1 keys were sealed with encryption_key. Now 1 are;"),
        1
    );
    pool.advance(1_000);
    pool.serve_chats(1);
    let sent = pool.host.0.sent.borrow();
    assert_eq!(sent[1].headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(pool.probe("/readyz").status, 200);
}

#[test]
fn rows_that_cannot_be_sealed_now_are_left_to_another_instance() {
    for (error, lines) in [("database is locked", 0), ("disk I/O error", 1)] {
        let pool = Pool::with(&[("encryption_key", &encryption_key(1))]);
        pool.database.fail("UPDATE OR IGNORE", error, usize::MAX);
        pool.finish_spawned(1);
        assert_contains(&pool.query(KEYS).concat(), KEY);
        assert_eq!(pool.count_lines("keys cannot be sealed"), lines);
        pool.serve_chats(1);
    }
}

#[test]
fn a_wrong_or_missing_encryption_key_is_a_503_that_changes_nothing() {
    let wrong = [("encryption_key", &*encryption_key(2))];
    for variables in [&[] as &[(&str, &str)], &wrong] {
        let pool = Pool::with(variables);
        pool.host.0.spawned.take();
        // The instance knows the key, but must not use it.
        pool.serve_chats(1);
        seal(&pool, 1);
        let sealed = pool.query(KEYS);
        for (method, path, body) in [
            ("POST", COMPLETIONS, CHAT),
            ("GET", "/v1/models", ""),
            ("GET", "/api/keys/status", ""),
            ("POST", "/api/keys/1/reset", ""),
            ("GET", "/api/pool/explain", ""),
            ("GET", "/readyz", ""),
        ] {
            let answer = pool.call(method, path, &[credential(path)], body);
            answer.assert_error(503, "encryption_key_wrong");
            assert_eq!(answer.header("x-should-retry"), Some("false"));
            pool.advance(1_000);
        }
        let native = pool.call("POST", GENERATE, &[API_KEY], CONTENTS);
        assert_eq!(native.status, 503);
        assert_contains(&native.body, "sealed with another encryption key");
        let encryption = pool.admin_text("GET", "encryption", "").json();
        assert_eq!(
            (&encryption["unreadable"], &encryption["sealed"]),
            (&1.into(), &0.into())
        );
        assert_eq!(pool.query(KEYS), sealed);
        assert_ne!(
            pool.count_lines("code=encryption_key_wrong: database: keys are sealed"),
            0
        );
        assert_eq!(pool.count_lines("continues with the keys"), 0);
        pool.run(&format!("UPDATE api_keys SET api_key = '{KEY}'"));
        pool.advance(1_000);
        pool.serve_chats(1);
    }
}

#[test]
fn a_moved_envelope_is_reported_once_and_ignored() {
    let pool = Pool::with_keys(2, &[("encryption_key", &encryption_key(1))]);
    pool.finish_spawned(1);
    pool.run(
        "CREATE TABLE copies AS SELECT * FROM api_keys;
         UPDATE api_keys SET api_key = 'AIzaFAKE-another' WHERE id = 2;
         UPDATE api_keys SET api_key = (SELECT api_key FROM copies WHERE id = 2) WHERE id = 1",
    );
    for _ in 0..3 {
        pool.script_answer();
        assert_eq!(pool.chat(CHAT).key(), "2");
        pool.advance(1_000);
    }
    assert_eq!(pool.count_lines("key 1 is left out"), 1);
}

#[test]
fn keys_that_an_operator_adds_are_sealed_and_never_twice_in_the_pool() {
    let pool = Pool::with(&[("encryption_key", &encryption_key(1))]);
    let added = "AIzaFAKE-key-of-an-operator-00000001";
    let add = |statuses: [&str; 2]| {
        let body = serde_json::json!({"keys": [KEY, added]});
        let answer = pool.admin("POST", "keys", &body);
        answer.assert_status(200);
        for (item, status) in answer.json()["items"]
            .as_array()
            .unwrap()
            .iter()
            .zip(statuses)
        {
            assert_eq!(item["status"], status);
        }
    };
    add(["duplicate", "new"]);
    let sealed = pool.query(KEYS).concat();
    assert!(sealed.contains(KEY) && !sealed.contains(added), "{sealed}");
    pool.finish_spawned(1);
    add(["duplicate", "duplicate"]);
    assert_eq!(pool.count("api_keys"), 2);
    pool.run("UPDATE api_keys SET priority = 0 WHERE id = 1");
    pool.advance(1_000);
    pool.serve_chats(1);
    let sent = pool.last_sent();
    assert_eq!(sent.headers["authorization"], format!("Bearer {added}"));
    // A dead key is remembered by what it was, not by how it was stored.
    pool.run(
        "UPDATE api_keys SET status = 0, disabled_at = '2027-01-15T08:00:00.000Z',
         rejected_at = '2027-01-16T08:00:00.000Z', pool_moves = 9 WHERE id = 2",
    );
    pool.admin("DELETE", "keys/2", &serde_json::json!({}));
    add(["duplicate", "known_dead"]);
}
