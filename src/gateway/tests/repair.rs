//! What OpenAI's clients send and Google does not take, and what they mean by a model's name.

use super::*;
use fake_gemini::errors;

const WITH_SEED: &str =
    r#"{"model":"m","seed":1,"messages":[],"frequency_penalty":0.5,"temperature":1.0e0}"#;
const WITHOUT: &str = r#"{"model":"m","messages":[],"temperature":1.0e0}"#;

impl Pool {
    fn bodies(&self) -> Vec<String> {
        let sent = self.outside.0.sent.borrow();
        sent.iter().map(|sent| sent.body.clone()).collect()
    }

    fn ok(&self) {
        self.script(200, "application/json", &[ANSWER]);
    }
}

#[test]
fn fields_that_google_does_not_know_are_left_out_and_remembered() {
    let pool = Pool::new();
    let unknown = errors::unknown_fields(&["frequency_penalty", "seed"]);
    pool.script(400, "application/json", &[&unknown.pretty_array()]);
    pool.ok();
    let answer = pool.chat(WITH_SEED);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        answer.header("x-keypool-dropped"),
        Some("frequency_penalty, seed")
    );
    assert_eq!(
        answer.header("x-keypool-attempts"),
        Some("2"),
        "the only key, once more"
    );
    assert_eq!(pool.bodies(), [WITH_SEED, WITHOUT]);
    for later in [0, 600] {
        pool.later(later);
        pool.ok();
        let answer = pool.chat(WITH_SEED);
        assert_eq!(
            answer.header("x-keypool-dropped"),
            Some("frequency_penalty, seed")
        );
        assert_eq!(pool.bodies().pop().unwrap(), WITHOUT);
    }
    let other = WITH_SEED.replace("\"m\"", "\"other\"");
    pool.ok();
    assert_eq!(pool.chat(&other).header("x-keypool-dropped"), None);
    assert_eq!(
        pool.bodies().pop().unwrap(),
        other,
        "of another model nothing is known"
    );
    // After a week it is tried again.
    pool.later(7 * 24 * 3_600_000);
    pool.ok();
    assert_eq!(pool.chat(WITH_SEED).status, 200);
    assert_eq!(pool.bodies().pop().unwrap(), WITH_SEED);
    let rows = pool.database.query("SELECT attempt, outcome FROM api_call_logs WHERE request_id = (SELECT request_id FROM api_call_logs ORDER BY id LIMIT 1)");
    assert_eq!(rows, ["1|client_fault", "2|success"]);
}

#[test]
fn a_field_further_in_is_left_out_of_this_request() {
    let pool = Pool::new();
    let body = r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f","strict":true}}]}"#;
    let unknown = errors::unknown_field_in("tools[0].function", "strict");
    pool.script(400, "application/json", &[&unknown.pretty_array()]);
    pool.ok();
    let answer = pool.chat(body);
    assert_eq!(
        answer.header("x-keypool-dropped"),
        Some("tools[0].function.strict")
    );
    assert_eq!(pool.bodies()[1], body.replace(",\"strict\":true", ""));
    assert_eq!(
        pool.database
            .query("SELECT count(*) FROM unsupported_fields"),
        ["0"]
    );
}

#[test]
fn what_cannot_be_left_out_is_told_as_it_is() {
    let unknown = errors::unknown_fields(&["seed"]).pretty_array();
    for (variables, headers, body) in [
        (vec![("repair", "false")], vec![], WITH_SEED),
        (vec![], vec![("x-keypool-repair", "off")], WITH_SEED),
        // It is not there.
        (vec![], vec![], CHAT),
        (vec![("max_attempts", "1")], vec![], WITH_SEED),
    ] {
        let pool = Pool::with(&variables);
        pool.script(400, "application/json", &[&unknown]);
        let bearer = format!("Bearer {TOKEN}");
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend(headers);
        let answer = pool.call("POST", "/v1/chat/completions", &all, body);
        assert_eq!((answer.status, pool.sent()), (400, 1), "{variables:?}");
        assert!(answer.error("message").contains("seed"));
    }
}

#[test]
fn an_alias_stands_for_its_model_on_both_apis() {
    let pool = Pool::with(&[("model_aliases", "gpt-4o=gemini-pro, small = gemini-lite")]);
    let google =
        |path: &str, body: &str| pool.call("POST", path, &[("x-goog-api-key", TOKEN)], body);
    for (path, body, upstream, sent, subject) in [
        (
            "/v1/chat/completions",
            r#"{"model":"gpt-4o","messages":[]}"#,
            "/v1beta/openai/chat/completions",
            r#"{"model":"gemini-pro","messages":[]}"#,
            "gemini-pro",
        ),
        (
            "/v1/chat/completions",
            r#"{"model":"models/gpt-4o","messages":[]}"#,
            "/v1beta/openai/chat/completions",
            r#"{"model":"gemini-pro","messages":[]}"#,
            "gemini-pro",
        ),
        (
            "/v1/chat/completions",
            r#"{"model":"models/gemini-pro","messages":[]}"#,
            "/v1beta/openai/chat/completions",
            r#"{"model":"models/gemini-pro","messages":[]}"#,
            "gemini-pro",
        ),
        (
            "/v1beta/openai/embeddings",
            r#"{"input":"x","model":"small"}"#,
            "/v1beta/openai/embeddings",
            r#"{"input":"x","model":"gemini-lite"}"#,
            "gemini-lite",
        ),
        (
            "/v1beta/models/gpt-4o:countTokens",
            "{}",
            "/v1beta/models/gemini-pro:countTokens",
            "{}",
            "gemini-pro:countTokens",
        ),
    ] {
        pool.ok();
        let answer = google(path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let last = pool.outside.0.sent.borrow();
        let last = last.last().unwrap();
        assert!(last.uri.ends_with(upstream), "{}", last.uri);
        assert_eq!(last.body, sent, "{path}");
        let row = pool
            .database
            .query("SELECT model FROM api_call_logs ORDER BY id DESC LIMIT 1");
        assert_eq!(row, [subject]);
    }
}
