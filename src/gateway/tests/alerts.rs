//! Alerts to the operator's webhook.

use super::*;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const URL: &str = "https://hooks.example/services/secret-path?token=secret-query";
const MINUTE: i64 = 60_000;

/// A pool that sends alerts.
fn alerting(keys: usize, rules: &[(&str, &str)]) -> Pool {
    let webhook = [
        ("alert_origin", "https://hooks.example"),
        ("alert_webhook", URL),
        ("alert_webhook_secret", "whsec_c2VjcmV0LW9mLXRoZS13ZWJob29r"),
    ];
    Pool::with_keys(keys, &[&webhook, rules].concat())
}

impl Pool {
    /// Makes the instance check, whatever it has done before, without running the check.
    fn start_check(&self) {
        let view = self.gateway.view.as_ref().unwrap();
        view.alerts_checked_at.set(None);
        self.probe("/readyz");
    }

    fn check(&self) {
        self.start_check();
        self.finish_spawned(1);
    }

    /// The events that were sent, each of which must be signed.
    fn events(&self) -> Vec<Value> {
        let sent = self.host.0.sent.borrow();
        let calls = sent.iter().filter(|call| call.uri == URL);
        calls.map(verified).collect()
    }
}

fn verified(call: &Sent) -> Value {
    assert_eq!(call.method, Method::POST);
    let header = |name: &str| call.headers[name].to_str().unwrap();
    assert_eq!(header("content-type"), JSON);
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret-of-the-webhook").unwrap();
    mac.update(format!("{id}.{timestamp}.{}", call.body).as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(header("webhook-signature"), format!("v1,{signature}"));
    let event = json(&call.body);
    assert_eq!(event["id"], id);
    event
}

#[test]
fn concurrent_checks_send_one_event() {
    let pool = alerting(2, &[("alert_min_usable_keys", "3")]);
    pool.database.answer_at_the_second_poll();
    (0..5).for_each(|_| pool.start_check());
    pool.script_json("{}");
    block_on(join_all(pool.host.0.spawned.take()));
    let [event] = &pool.events()[..] else {
        panic!("{:?}", pool.events());
    };
    assert_eq!(event["event"], "keys_low");
    assert_eq!(event["at"], NOON.to_iso());
    assert_eq!(event["text"], "Usable keys: 2, fewer than 3.");
    assert_eq!(
        (&event["usable_keys"], &event["min_usable_keys"]),
        (&json!(2), &json!(3))
    );
    pool.check();
    assert_eq!(pool.sent(), 1);
}

#[test]
fn an_instance_checks_at_most_every_30_seconds() {
    let pool = alerting(1, &[]);
    for (ms, checks) in [(0, 1), (29_000, 0), (1_000, 1)] {
        pool.advance(ms);
        pool.probe("/readyz");
        pool.serve_chats(1);
        pool.finish_spawned(checks);
    }
}

#[test]
fn without_a_webhook_nothing_is_checked() {
    let pool = Pool::with_keys(1, &[("alert_min_usable_keys", "5")]);
    pool.probe("/readyz");
    pool.serve_chats(1);
    pool.finish_spawned(0);
}

#[test]
fn a_delivery_that_fails_is_tried_again_and_logged_once() {
    let pool = alerting(1, &[("alert_min_usable_keys", "2")]);
    pool.script(500, "text/plain", &["secret of the receiver"]);
    pool.check();
    pool.check();
    assert_eq!(pool.sent(), 1, "not before a minute is over");
    pool.advance(MINUTE);
    pool.script_reply(Err(failed("ConnectionReset")));
    pool.check();
    pool.advance(4 * MINUTE);
    pool.script(204, JSON, &[]);
    pool.check();
    let events = pool.events();
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| *event == events[0]), "{events:?}");
    pool.advance(60 * MINUTE);
    pool.check();
    assert_eq!(pool.sent(), 3, "it is delivered");
    let lines = pool.log_lines();
    let expected = "is not delivered to https://hooks.example/: it answered 500;";
    assert_eq!(pool.count_lines(expected), 1, "{lines:?}");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].contains("secret"), "{lines:?}");
}

#[test]
fn a_webhook_that_never_answers_is_given_up() {
    let pool = alerting(1, &[("alert_min_usable_keys", "2")]);
    for _ in 0..5 {
        pool.script_silence();
        pool.check();
        pool.advance(41 * MINUTE);
    }
    pool.check();
    assert_eq!(pool.sent(), 5);
}

#[test]
fn too_few_keys_are_a_new_event_only_after_there_were_enough_for_a_while() {
    let pool = alerting(2, &[("alert_min_usable_keys", "2")]);
    let check = |status: u8, minutes: i64, events: usize| {
        pool.run(&format!(
            "UPDATE api_keys SET status = {status} WHERE id = 2"
        ));
        pool.advance(minutes * MINUTE);
        pool.script_json("{}");
        pool.check();
        pool.host.0.replies.borrow_mut().clear();
        assert_eq!(pool.events().len(), events, "{status} {minutes}");
    };
    check(1, 0, 0);
    check(0, 0, 1);
    check(1, 5, 1);
    check(0, 5, 1);
    // It holds for an hour, and keys come and go.
    (0..12).for_each(|_| check(0, 5, 1));
    check(1, 10, 1);
    check(0, 1, 1);
    // There are enough for a quarter of an hour.
    check(1, 15, 1);
    check(0, 1, 2);
    let events = pool.events();
    assert_ne!(events[0]["id"], events[1]["id"]);
}

#[test]
fn a_key_that_the_pool_disables_is_an_event_at_once() {
    let pool = alerting(2, &[("alert_min_usable_keys", "0"), ("max_attempts", "1")]);
    pool.run(&format!(
        "UPDATE api_keys SET name = 'Anna {KEY}', priority = 1000000 WHERE id = 1"
    ));
    pool.run("UPDATE api_keys SET priority = 0 WHERE id = 2");
    pool.check();
    pool.script_error(&errors::leaked());
    pool.chat(CHAT);
    assert_eq!(pool.statuses(), "01");
    pool.script_json("{}");
    pool.finish_spawned(1);
    let [event] = &pool.events()[..] else {
        panic!("{:?}", pool.events());
    };
    assert_eq!(event["event"], "key_disabled");
    assert_eq!(event["key"]["id"], 1);
    let told = event["key"]["reason"].as_str().unwrap();
    assert_starts_with(told, "key_rejected");
    assert_starts_with(event["key"]["name"].as_str().unwrap(), "Anna ");
    for part in [KEY, TOKEN, ADMIN_TOKEN] {
        assert!(!event.to_string().contains(&part[..12]), "{part}: {event}");
    }
    // By an operator.
    pool.admin("POST", "keys/2/disable", &json!({"reason": "mine"}));
    pool.check();
    assert_eq!(pool.events().len(), 1);
    // Enabled, and disabled again.
    pool.run("UPDATE api_keys SET status = 1, disabled_reason = NULL, disabled_at = NULL");
    pool.advance(MINUTE);
    pool.run(
        "UPDATE api_keys SET status = 0, pool_moves = pool_moves + 1, disabled_at = '2027-01-15T08:00:59.000Z' WHERE id = 1",
    );
    pool.script_json("{}");
    pool.check();
    assert_eq!(pool.events().len(), 2);
}

#[test]
fn a_budget_that_ends_soon_is_one_event_a_day() {
    let pool = alerting(1, &[("alert_budget_hours", "2")]);
    pool.insert_limit("key:1", "m", "requests", "day", 100);
    let at = |hour: i64, used: u64, events: usize| {
        let day = NOON.plus(hour / 24 * 24 * 60 * MINUTE).to_iso();
        pool.host.0.now.set(hour * 60 * MINUTE);
        let now = NOON.plus(hour * 60 * MINUTE).to_iso();
        pool.run(&format!(
            "INSERT OR REPLACE INTO budget_usage (scope, model, per, began_at, requests, input_tokens)
             VALUES ('key:1', 'm', 'day', '{day}', {used}, 0);
             DELETE FROM api_call_hours;
             INSERT INTO api_call_hours SELECT '{now}', 1, 'm', 'success', 0, 20, 20, 20,
                 0, 0, 0, 0, 0, 0, 0, 0"
        ));
        pool.script_json("{}");
        pool.check();
        pool.host.0.replies.borrow_mut().clear();
        assert_eq!(pool.events().len(), events, "{hour} {used}");
    };
    // Ten an hour.
    at(5, 79, 0);
    at(6, 81, 1);
    at(7, 95, 1);
    at(8, 100, 1);
    at(30, 79, 1);
    at(31, 85, 2);
    let budget = &pool.events()[0]["budget"];
    let expected = json!({
        "scope": "key:1", "model": "m", "unit": "requests", "limit": 100, "used": 81, "left": 19,
        "resets_at": "2027-01-16T08:00:00.000Z", "pace_per_hour": 10.0,
        "ends_at": "2027-01-15T15:54:00.000Z"
    });
    assert_eq!(*budget, expected);
}
