//! Limits of projects, as a client meets them.

use crate::support::{KEY, OTHER_KEY, chat, chat_with, compat, contents, native, question, start};
use fake_gemini::{FakeGemini, ManualClock, Quota, errors};
use std::time::Duration;

const PROJECT: &str = "projects/000000000001";
const MODEL: &str = "gemini-2.5-flash";

async fn limited(quota: Quota, now_ms: i64) -> (FakeGemini, ManualClock) {
    let clock = ManualClock::at(now_ms);
    let gemini = FakeGemini::builder()
        .key_of_project(KEY, PROJECT)
        .key_of_project(OTHER_KEY, PROJECT)
        .quota(quota)
        .clock(clock.clock())
        .start()
        .await
        .unwrap();
    (gemini, clock)
}

#[tokio::test]
async fn keys_of_one_project_share_its_minute() {
    let quota = Quota::unlimited().requests_per_minute(2);
    let (gemini, clock) = limited(quota, 1_000_000).await;
    assert_eq!(chat(&gemini, "").await.status(), 200);
    clock.advance(Duration::from_millis(12_382));
    assert_eq!(
        chat_with(&gemini, OTHER_KEY, &question("")).await.status(),
        200
    );
    let refused = chat(&gemini, "").await;
    let error = errors::quota_per_minute(MODEL, 2, Duration::from_millis(47_618));
    assert_eq!(
        (refused.status(), refused.text()),
        (429, error.pretty_array().as_str())
    );
    let path = format!("models/{MODEL}:generateContent");
    let refused = native(&gemini, &path, &contents()).await;
    assert_eq!(
        refused.text(),
        error.pretty(),
        "both surfaces draw from one quota"
    );
    let lite = question("").replace(MODEL, "gemini-2.5-flash-lite");
    assert_eq!(chat_with(&gemini, KEY, &lite).await.status(), 200);
    clock.advance(Duration::from_millis(47_618));
    assert_eq!(chat(&gemini, "").await.status(), 200);
}

#[tokio::test]
async fn the_day_ends_at_pacific_midnight_on_both_sides_of_a_change_of_summer_time() {
    const HOUR: i64 = 3_600_000;
    for (midnight, name) in [
        (1_772_956_800_000, "2026-03-08T08:00:00Z, UTC-8"),
        (1_772_956_800_000 + 23 * HOUR, "2026-03-09T07:00:00Z, UTC-7"),
        (1_793_516_400_000, "2026-11-01T07:00:00Z, UTC-7"),
        (1_793_516_400_000 + 25 * HOUR, "2026-11-02T08:00:00Z, UTC-8"),
    ] {
        let quota = Quota::unlimited().requests_per_day(1);
        let (gemini, clock) = limited(quota, midnight - 22 * HOUR).await;
        assert_eq!(chat(&gemini, "").await.status(), 200);
        clock.set(midnight - 21_500);
        let refused = chat(&gemini, "").await;
        assert_eq!(
            refused.text(),
            errors::quota_per_day(MODEL, 1, Duration::from_millis(21_500)).pretty_array(),
            "{name}"
        );
        clock.set(midnight - 1);
        assert_eq!(chat(&gemini, "").await.status(), 429, "{name}");
        clock.set(midnight);
        assert_eq!(chat(&gemini, "").await.status(), 200, "{name}");
        assert_eq!(chat(&gemini, "").await.status(), 429, "{name}");
    }
}

#[tokio::test]
async fn input_counts_in_tokens() {
    let quota = Quota::unlimited().input_tokens_per_minute(5);
    let (gemini, _) = limited(quota, 0).await;
    // "Say hello." is 3 tokens.
    assert_eq!(chat(&gemini, "").await.status(), 200);
    let refused = chat(&gemini, "").await;
    assert_eq!(
        refused.text(),
        errors::input_tokens_per_minute(MODEL, 5, Duration::from_secs(60)).pretty_array()
    );
}

#[tokio::test]
async fn without_any_quota_waiting_does_not_help() {
    let (gemini, clock) = limited(Quota::none(), 48_900).await;
    let refused = chat(&gemini, "").await;
    assert_eq!(
        refused.text(),
        errors::quota_zero(MODEL, Duration::from_millis(11_100)).pretty_array()
    );
    clock.advance(Duration::from_secs(30 * 86_400));
    assert_eq!(chat(&gemini, "").await.status(), 429);
}

#[tokio::test]
async fn refused_requests_use_up_the_minute_and_refused_calls_do_not() {
    let quota = Quota::unlimited().requests_per_minute(2);
    let (gemini, clock) = limited(quota, 0).await;
    assert_eq!(chat(&gemini, r#","seed":1"#).await.status(), 400);
    assert_eq!(chat(&gemini, "").await.status(), 200);
    for _ in 0..5 {
        assert_eq!(chat(&gemini, "").await.status(), 429);
    }
    clock.advance(Duration::from_secs(60));
    assert_eq!(chat(&gemini, "").await.status(), 200);
}

#[tokio::test]
async fn each_embedded_text_counts_and_looking_around_is_free() {
    let quota = Quota::unlimited().requests_per_minute(3);
    let (gemini, _) = limited(quota, 0).await;
    let path = "models/gemini-embedding-001:batchEmbedContents";
    let two = r#"{"requests":[{"content":"a"},{"content":"b"}]}"#;
    assert_eq!(native(&gemini, path, two).await.status(), 200);
    let refused = native(&gemini, path, two).await;
    assert_eq!(refused.status(), 429);
    assert!(
        refused
            .text()
            .contains("EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier")
    );
    for _ in 0..5 {
        assert_eq!(native(&gemini, "models", "").await.status(), 200);
        let path = "models/gemini-2.5-flash:countTokens";
        assert_eq!(native(&gemini, path, &contents()).await.status(), 200);
    }
}

#[tokio::test]
async fn quotas_can_be_set_for_a_model_and_a_project_and_change() {
    let gemini = start(
        FakeGemini::builder()
            .key_of_project(KEY, PROJECT)
            .key(OTHER_KEY)
            .quota_of_model("models/gemini-2.5-flash", Quota::none())
            .quota_of_project("projects/000000000002", MODEL, Quota::unlimited()),
    )
    .await;
    assert_eq!(chat(&gemini, "").await.status(), 429);
    let other = chat_with(&gemini, OTHER_KEY, &question("")).await;
    assert_eq!(other.status(), 200);
    gemini.set_quota(PROJECT, MODEL, Quota::unlimited());
    assert_eq!(chat(&gemini, "").await.status(), 200);
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_400_and_uses_up_the_minute() {
    let quota = Quota::unlimited().input_tokens_per_minute(1_048_577);
    let (gemini, _) = limited(quota, 0).await;
    let tokens = |count: usize| {
        let text = "four".repeat(count);
        format!(r#"{{"model":"{MODEL}","messages":[{{"content":"{text}"}}]}}"#)
    };
    assert_eq!(chat_with(&gemini, KEY, &tokens(1)).await.status(), 200);
    let refused = chat_with(&gemini, KEY, &tokens(1_048_577)).await;
    assert_eq!(
        (refused.status(), refused.text()),
        (
            400,
            errors::input_too_long(1_048_576).pretty_array().as_str()
        )
    );
    assert_eq!(chat_with(&gemini, KEY, &tokens(1)).await.status(), 429);
    let (gemini, _) = limited(Quota::unlimited(), 0).await;
    let just = chat_with(&gemini, KEY, &tokens(1_048_576)).await;
    assert_eq!(just.status(), 200);
    let path = "models/gemini-embedding-001:embedContent";
    let long = format!(r#"{{"content":"{}"}}"#, "four".repeat(2049));
    let embedded = native(&gemini, path, &long).await;
    assert_eq!(embedded.status(), 200, "of those no error is known");
}

#[tokio::test]
async fn refused_input_counts_in_tokens_too() {
    let quota = Quota::unlimited().input_tokens_per_minute(5);
    let (gemini, _) = limited(quota, 0).await;
    // "Say hello." is 3 tokens.
    assert_eq!(chat(&gemini, r#","seed":1"#).await.status(), 400);
    assert_eq!(chat(&gemini, "").await.status(), 429);
}

#[tokio::test]
async fn input_of_a_day_is_limited_until_midnight() {
    let quota = Quota::unlimited().input_tokens_per_day(5);
    let (gemini, clock) = limited(quota, crate::support::MIDNIGHT - 21_500).await;
    assert_eq!(chat(&gemini, "").await.status(), 200);
    let refused = chat(&gemini, "").await;
    assert_eq!(refused.status(), 429);
    let id = "GenerateContentInputTokensPerModelPerDay-FreeTier";
    assert!(refused.text().contains(id), "{}", refused.text());
    clock.advance(Duration::from_millis(21_500));
    assert_eq!(chat(&gemini, "").await.status(), 200);
}

#[tokio::test]
async fn each_embedded_text_counts_in_the_day_under_its_own_name() {
    let quota = Quota::unlimited().requests_per_day(3);
    let (gemini, _) = limited(quota, 0).await;
    let two = r#"{"model":"gemini-embedding-001","input":["a","b"]}"#;
    let embed = async || compat(&gemini, "embeddings", two).await;
    assert_eq!(embed().await.status(), 200);
    let refused = embed().await;
    assert_eq!(refused.status(), 429);
    let violation = &refused.json()[0]["error"]["details"][1]["violations"][0];
    assert_eq!(
        violation["quotaId"],
        "EmbedContentRequestsPerDayPerUserPerProjectPerModel-FreeTier"
    );
    assert_eq!(
        violation["quotaMetric"],
        "generativelanguage.googleapis.com/embed_content_free_tier_requests"
    );
}

#[tokio::test]
async fn embeddings_that_are_not_in_the_plan_are_refused_under_their_own_names() {
    let (gemini, _) = limited(Quota::none(), 48_900).await;
    let path = "models/gemini-embedding-001:embedContent";
    let refused = native(&gemini, path, r#"{"content":"x"}"#).await;
    let retry = Duration::from_millis(11_100);
    let error = errors::embedding_quota_zero("gemini-embedding-001", retry);
    assert_eq!(
        (refused.status(), refused.text()),
        (429, error.pretty().as_str())
    );
}
