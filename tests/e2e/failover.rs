//! Failover: the caller never notices a bad key.

use crate::support::{CHAT, HostKind, STREAM, Setup, key};
use fake_gemini::{Break, Condition, ManualClock, Quota, Reply, errors};
use futures::{StreamExt, stream};

use std::time::Duration;

const MODEL: &str = "gemini-2.5-flash";

#[tokio::test]
async fn plain_answers_and_streams_fail_over() {
    for body in [CHAT, STREAM] {
        let app = Setup::keys(3).start().await;
        app.gemini.script_any(Reply::error(errors::overloaded()));
        app.gemini
            .script_any(Reply::error(errors::resource_exhausted()));
        let answer = app.chat(body).await;
        answer.assert_status(200);
        assert_eq!(answer.header("x-keypool-attempts"), Some("3"));
        let mut keys = app.used_keys();
        let last = keys[2].unwrap().to_string();
        assert_eq!(answer.headers["x-keypool-key"], last);
        keys.sort_unstable();
        assert_eq!(keys, [Some(1), Some(2), Some(3)], "each key is used once");
        let rows = app.log_rows("attempt, outcome");
        assert_eq!(
            rows,
            ["1|model_overloaded", "2|quota_unspecified", "3|success"]
        );
    }
}

#[tokio::test]
async fn a_stream_is_not_repeated_after_its_first_event() {
    let app = Setup::keys(3).start().await;
    app.gemini
        .script_any(Reply::events(5).break_after(2, Break::End));
    let answer = app.chat(STREAM).await;
    assert_eq!(answer.status, 200);
    answer.assert_contains("data: {\"error\":{");
    assert!(!answer.body.contains("[DONE]"), "{}", answer.body);
    assert_eq!(app.gemini.calls().len(), 1);
    assert_eq!(app.log_rows("success, outcome"), ["0|upstream_trouble"]);
}

#[tokio::test]
async fn fails_over_when_the_upstream_is_silent() {
    let app = Setup::with(2, &[("answer_timeout", "0.2")]).start().await;
    app.gemini.script_any(Reply::silence());
    app.serve_chats(1).await;
    app.gemini.script_any(Reply::silence());
    app.gemini.script_any(Reply::silence());
    assert_eq!(app.chat(CHAT).await.status, 504);
}

#[tokio::test]
async fn fails_over_when_an_answer_stalls() {
    let app = Setup::with(2, &[("first_byte_timeout", "0.2")])
        .start()
        .await;
    let (stalls, steps) = Reply::ok().in_pieces_of(40).stepwise();
    steps.release(1);
    app.gemini.script_any(stalls);
    app.serve_chats(1).await;
    let rows = app.log_rows("attempt, response_status, outcome");
    assert_eq!(rows, ["1|200|upstream_trouble", "2|200|success"]);
}

#[tokio::test]
async fn a_cool_down_survives_a_restart() {
    let mut app = Setup::keys(1).start().await;
    let quota = errors::quota_per_minute(MODEL, 10, Duration::from_secs(55));
    app.script(Reply::error(quota));
    assert_eq!(app.chat(CHAT).await.status, 429);
    app.restart().await;
    let answer = app.chat(CHAT).await;
    assert_eq!((answer.status, app.gemini.calls().len()), (429, 1));
    let wait: u64 = answer.header("retry-after-ms").unwrap().parse().unwrap();
    assert!((1..=55_000).contains(&wait), "{wait}");
}

#[tokio::test]
async fn seven_bad_keys_of_ten_cost_no_answer() {
    let none = Quota::unlimited().requests_per_day(0);
    let setup = (4..=6).fold(Setup::keys(10), |setup, number| {
        let project = format!("projects/{number:012}");
        setup.gemini(|gemini| gemini.quota_of_project(&project, MODEL, none))
    });
    let setup = setup.gemini(|gemini| {
        gemini.default_reply(|call| match call.key_ordinal {
            Some(7) => Reply::ok().delay(Duration::from_millis(300)),
            _ => Reply::ok(),
        })
    });
    let app = setup.start().await;
    for number in 1..=3 {
        app.gemini.set_condition(&key(number), Condition::Expired);
    }
    let bodies = (0..1000).map(|index| if index % 2 == 0 { CHAT } else { STREAM });
    // A machine that is overloaded for seconds loses log rows, and says so.
    let mut answers = stream::iter(bodies)
        .map(|body| app.chat(body))
        .buffer_unordered(100);
    while let Some(answer) = answers.next().await {
        assert_eq!(answer.status, 200, "{}\n{}", answer.body, app.output());
    }
    assert_eq!(
        app.rows("SELECT count(DISTINCT request_id) FROM api_call_logs WHERE outcome = 'success'"),
        ["1000"]
    );
}

/// 23:59 in Los Angeles before the day on which daylight saving time ends.
const BEFORE_MIDNIGHT_MS: i64 = 1_793_516_340_000;

#[tokio::test]
async fn a_daily_quota_resets_at_midnight_in_los_angeles() {
    if HostKind::chosen() == HostKind::Spin {
        // Spin's clock cannot be set.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("now");
    let clock = ManualClock::at(BEFORE_MIDNIGHT_MS);
    let set = |ms: i64| {
        clock.set(ms);
        let next = folder.path().join("next");
        std::fs::write(&next, ms.to_string()).unwrap();
        std::fs::rename(&next, &file).unwrap();
    };
    set(BEFORE_MIDNIGHT_MS);
    let app = Setup::keys(1)
        .gemini(|gemini| {
            gemini
                .clock(clock.clock())
                .quota(Quota::unlimited().requests_per_day(2))
        })
        .arguments(&["--test-clock", file.to_str().unwrap()])
        .start()
        .await;
    app.serve_chats(2).await;
    let refused = app.chat(CHAT).await;
    refused.assert_status(429);
    assert_eq!(refused.header("retry-after"), Some("60"));
    set(BEFORE_MIDNIGHT_MS + 59_000);
    assert_eq!(app.chat(CHAT).await.status, 429);
    let calls = app.gemini.calls().len();
    assert_eq!(calls, 3, "the key cools until the end of the day");
    set(BEFORE_MIDNIGHT_MS + 60_000);
    app.serve_chats(2).await;
    let refused = app.chat(CHAT).await;
    refused.assert_status(429);
    // The learned limit prevents another error.
    assert_eq!(app.gemini.calls().len(), calls + 2);
    assert_eq!(refused.header("retry-after"), None);
    // A day of 25 hours.
    refused.assert_contains("available again in 90000 s");
    assert_eq!(refused.header("x-should-retry"), Some("false"));
}
