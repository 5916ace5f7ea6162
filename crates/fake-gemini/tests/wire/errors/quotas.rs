//! 429 in all its forms.

use super::{check, detailed, status};
use fake_gemini::errors::{self, Layout, Violation};
use std::time::Duration;

const HELP: &str = r#"{"@type":"type.googleapis.com/google.rpc.Help","links":[{"description":"Learn more about Gemini API quotas","url":"https://ai.google.dev/gemini-api/docs/rate-limits"}]}"#;

fn failure(violations: &str) -> String {
    format!(
        r#"{{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{violations}]}}"#
    )
}

fn retry(delay: &str) -> String {
    format!(r#"{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{delay}"}}"#)
}

fn violation(metric: &str, id: &str, model: &str, value: &str) -> String {
    format!(
        r#"{{"quotaMetric":"generativelanguage.googleapis.com/{metric}","quotaId":"{id}","quotaDimensions":{{"location":"global","model":"{model}"}}{value}}}"#
    )
}

#[test]
fn quota_errors_of_2026() {
    let delay = Duration::from_nanos(47_618_338_084);
    let intro = "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. ";
    let requests = "generate_content_free_tier_requests";
    let tokens = "generate_content_free_tier_input_token_count";
    let one = |metric: &str, id: &str, limit: u64| {
        let message = format!(
            r"{intro}\n* Quota exceeded for metric: generativelanguage.googleapis.com/{metric}, limit: {limit}, model: m\nPlease retry in 47.618338084s."
        );
        let failure = failure(&violation(
            metric,
            id,
            "m",
            &format!(r#","quotaValue":"{limit}""#),
        ));
        let details = format!("{HELP},{failure},{}", retry("47s"));
        detailed(429, &message, "RESOURCE_EXHAUSTED", &details)
    };
    check([
        (
            errors::quota_per_minute("m", 15, delay),
            one(
                requests,
                "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
                15,
            ),
        ),
        (
            errors::quota_per_day("models/m", 20, delay),
            one(
                requests,
                "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
                20,
            ),
        ),
        (
            errors::input_tokens_per_minute("m", 250_000, delay),
            one(
                tokens,
                "GenerateContentInputTokensPerModelPerMinute-FreeTier",
                250_000,
            ),
        ),
        (
            errors::quota_exceeded(
                &[Violation::paid_input_tokens_per_minute("m", 1_000_000)],
                delay,
                Layout::Y2026,
            ),
            one(
                "generate_content_paid_tier_input_token_count",
                "GenerateContentPaidTierInputTokensPerModelPerMinute",
                1_000_000,
            ),
        ),
    ]);
    for (violation, metric, id) in [
        (
            Violation::input_tokens_per_day("m", 7),
            tokens,
            "GenerateContentInputTokensPerModelPerDay-FreeTier",
        ),
        (
            Violation::paid_requests_per_minute("m", 7),
            "generate_requests_per_model",
            "GenerateRequestsPerMinutePerProjectPerModel",
        ),
        (
            Violation::paid_requests_per_day("m", 7),
            "generate_requests_per_model_per_day",
            "GenerateRequestsPerDayPerProjectPerModel",
        ),
        (
            Violation::embeddings_per_minute("m", 7),
            "embed_content_free_tier_requests",
            "EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier",
        ),
        (
            Violation::embeddings_per_day("m", 7),
            "embed_content_free_tier_requests",
            "EmbedContentRequestsPerDayPerUserPerProjectPerModel-FreeTier",
        ),
        (
            Violation::embedding_tokens_per_minute("m", 7),
            "embed_content_free_tier_input_token_count",
            "EmbedContentInputTokensPerModelPerMinute-FreeTier",
        ),
        (
            Violation::embedding_tokens_per_day("m", 7),
            "embed_content_free_tier_input_token_count",
            "EmbedContentInputTokensPerModelPerDay-FreeTier",
        ),
    ] {
        let error = errors::quota_exceeded(&[violation], delay, Layout::Y2026);
        check([(error, one(metric, id, 7))]);
    }

    let line = |metric: &str| {
        format!(
            r"\n* Quota exceeded for metric: generativelanguage.googleapis.com/{metric}, limit: 0, model: m"
        )
    };
    let message = format!(
        r"{intro}{0}{0}{1}{1}\nPlease retry in 11.102306822s.",
        line(tokens),
        line(requests)
    );
    let violations = [
        (
            tokens,
            "GenerateContentInputTokensPerModelPerMinute-FreeTier",
        ),
        (tokens, "GenerateContentInputTokensPerModelPerDay-FreeTier"),
        (
            requests,
            "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
        ),
        (
            requests,
            "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        ),
    ]
    .map(|(metric, id)| violation(metric, id, "m", ""))
    .join(",");
    let details = format!("{HELP},{},{}", failure(&violations), retry("11s"));
    check([(
        errors::quota_zero("m", Duration::from_nanos(11_102_306_822)),
        detailed(429, &message, "RESOURCE_EXHAUSTED", &details),
    )]);
}

#[test]
fn quota_errors_of_2025() {
    let message = r"You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/usage?tab=rate-limit. \n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 10\nPlease retry in 41.710991998s.";
    let failure = failure(&violation(
        "generate_content_free_tier_requests",
        "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
        "gemini-2.5-flash",
        r#","quotaValue":"10""#,
    ));
    let details = format!("{failure},{HELP},{}", retry("41s"));
    check([(
        errors::quota_exceeded(
            &[Violation::requests_per_minute("gemini-2.5-flash", 10)],
            Duration::from_nanos(41_710_991_998),
            Layout::Y2025,
        ),
        detailed(429, message, "RESOURCE_EXHAUSTED", &details),
    )]);
}

#[test]
fn quota_errors_that_name_no_quota() {
    let exhausted = |message| status(429, message, "RESOURCE_EXHAUSTED");
    check([
        (
            errors::resource_exhausted(),
            exhausted("Resource has been exhausted (e.g. check quota)."),
        ),
        (
            errors::paid_quota(),
            detailed(
                429,
                "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.",
                "RESOURCE_EXHAUSTED",
                HELP,
            ),
        ),
        (
            errors::prepayment_depleted(),
            exhausted(
                "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing. Learn more at https://ai.google.dev/gemini-api/docs/billing#prepay. ",
            ),
        ),
        (
            errors::service_control("000000000001", 150),
            detailed(
                429,
                "Quota exceeded for quota metric 'Batch Embed Content API requests' and limit 'Batch embed contents request limit per minute for a region' of service 'generativelanguage.googleapis.com' for consumer 'project_number:000000000001'.",
                "RESOURCE_EXHAUSTED",
                r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED","domain":"googleapis.com","metadata":{"service":"generativelanguage.googleapis.com","consumer":"projects/000000000001","quota_limit":"BatchEmbedContentsRequestsPerMinutePerProjectPerRegion","quota_limit_value":"150","quota_metric":"generativelanguage.googleapis.com/batch_embed_contents_requests"}}"#,
            ),
        ),
        (
            errors::no_free_tier("Gemini 2.5 Pro Preview", "Gemini 2.5 Pro Experimental"),
            exhausted(
                "Gemini 2.5 Pro Preview doesn't have a free quota tier. Please use Gemini 2.5 Pro Experimental instead. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.",
            ),
        ),
        (
            errors::shared_capacity(),
            exhausted(
                "Resource exhausted. Please try again later. Please refer to https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.",
            ),
        ),
    ]);
}
