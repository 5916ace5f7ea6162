//! The 429s that name a quota or come with details.
//!
//! The message and `QuotaFailure` name the quota; `RetryInfo` is short even if the quota lasts
//! until midnight Pacific time (<https://ai.google.dev/gemini-api/docs/rate-limits>).

use super::{ApiError, SERVICE, detail, help};
use crate::models::bare;
use serde_json::{Value, json};
use std::time::Duration;

const RATE_LIMITS: &str = "https://ai.google.dev/gemini-api/docs/rate-limits";
const EXCEEDED: &str = "You exceeded your current quota, please check your plan and billing \
                        details. For more information on this error, head to: ";

fn exhausted(message: impl Into<String>) -> ApiError {
    ApiError::new(429, "RESOURCE_EXHAUSTED", message)
}

/// The wording and the order of details, which change over the years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `QuotaFailure`, `Help`, `RetryInfo`; the message does not name the model.
    Y2025,
    /// `Help`, `QuotaFailure`, `RetryInfo`.
    Y2026,
}

/// A quota that was exceeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    metric: String,
    quota_id: String,
    limit: u64,
    model: String,
}

macro_rules! known_quotas {
    ($($(#[$doc:meta])* $name:ident = $metric:literal, $id:literal;)*) => {
        impl Violation {$(
            $(#[$doc])*
            pub fn $name(model: &str, limit: u64) -> Self {
                Self::new($metric, $id, model, limit)
            }
        )*}
    };
}

known_quotas! {
    /// Requests per minute, free tier.
    requests_per_minute = "generate_content_free_tier_requests",
        "GenerateRequestsPerMinutePerProjectPerModel-FreeTier";
    /// Requests per day, free tier.
    requests_per_day = "generate_content_free_tier_requests",
        "GenerateRequestsPerDayPerProjectPerModel-FreeTier";
    /// Input tokens per minute, free tier.
    input_tokens_per_minute = "generate_content_free_tier_input_token_count",
        "GenerateContentInputTokensPerModelPerMinute-FreeTier";
    /// Input tokens per day, free tier.
    input_tokens_per_day = "generate_content_free_tier_input_token_count",
        "GenerateContentInputTokensPerModelPerDay-FreeTier";
    /// Requests per minute, paid tier.
    paid_requests_per_minute = "generate_requests_per_model",
        "GenerateRequestsPerMinutePerProjectPerModel";
    /// Requests per day, paid tier.
    paid_requests_per_day = "generate_requests_per_model_per_day",
        "GenerateRequestsPerDayPerProjectPerModel";
    /// Input tokens per minute, paid tier.
    paid_input_tokens_per_minute = "generate_content_paid_tier_input_token_count",
        "GenerateContentPaidTierInputTokensPerModelPerMinute";
    /// Texts to embed per minute, free tier.
    embeddings_per_minute = "embed_content_free_tier_requests",
        "EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier";
    /// Texts to embed per day, free tier.
    embeddings_per_day = "embed_content_free_tier_requests",
        "EmbedContentRequestsPerDayPerUserPerProjectPerModel-FreeTier";
    /// Input tokens to embed per minute, free tier.
    embedding_tokens_per_minute = "embed_content_free_tier_input_token_count",
        "EmbedContentInputTokensPerModelPerMinute-FreeTier";
    /// Input tokens to embed per day, free tier.
    embedding_tokens_per_day = "embed_content_free_tier_input_token_count",
        "EmbedContentInputTokensPerModelPerDay-FreeTier";
}

impl Violation {
    /// Any quota. `metric` comes without the service; `quota_id` contains `PerMinute` or
    /// `PerDay`. A `limit` of 0 means that the project's plan does not include the model.
    pub fn new(metric: &str, quota_id: &str, model: &str, limit: u64) -> Self {
        Self {
            metric: metric.to_owned(),
            quota_id: quota_id.to_owned(),
            limit,
            model: bare(model).to_owned(),
        }
    }

    fn line(&self, layout: Layout) -> String {
        let (metric, limit) = (&self.metric, self.limit);
        let model = match layout {
            Layout::Y2025 => String::new(),
            Layout::Y2026 => format!(", model: {}", self.model),
        };
        format!("* Quota exceeded for metric: {SERVICE}/{metric}, limit: {limit}{model}\n")
    }

    fn json(&self) -> Value {
        let mut json = json!({
            "quotaMetric": format!("{SERVICE}/{}", self.metric),
            "quotaId": self.quota_id,
            "quotaDimensions": {"location": "global", "model": self.model},
        });
        // Protobuf's JSON omits zeros.
        if self.limit > 0 {
            json["quotaValue"] = self.limit.to_string().into();
        }
        json
    }
}

/// One or more exceeded quotas. `retry` is what `RetryInfo` and the message promise.
pub fn quota_exceeded(violations: &[Violation], retry: Duration, layout: Layout) -> ApiError {
    let monitor = match layout {
        Layout::Y2025 => "https://ai.dev/usage?tab=rate-limit",
        Layout::Y2026 => "https://ai.dev/rate-limit",
    };
    let lines: String = violations.iter().map(|it| it.line(layout)).collect();
    let retry_in = format_delay(retry);
    let message = format!(
        "{EXCEEDED}{RATE_LIMITS}. To monitor your current usage, head to: {monitor}. \n\
         {lines}Please retry in {retry_in}."
    );
    let violations: Value = violations.iter().map(Violation::json).collect();
    let failure = detail("QuotaFailure", json!({"violations": violations}));
    let help = help("Learn more about Gemini API quotas", RATE_LIMITS);
    let (first, second) = match layout {
        Layout::Y2025 => (failure, help),
        Layout::Y2026 => (help, failure),
    };
    let retry = json!({"retryDelay": format!("{}s", retry.as_secs())});
    exhausted(message)
        .with(first)
        .with(second)
        .with(detail("RetryInfo", retry))
}

fn exceeded(violation: Violation, retry: Duration) -> ApiError {
    quota_exceeded(&[violation], retry, Layout::Y2026)
}

/// [`Violation::requests_per_minute`] in the layout of 2026.
pub fn quota_per_minute(model: &str, limit: u64, retry: Duration) -> ApiError {
    exceeded(Violation::requests_per_minute(model, limit), retry)
}

/// [`Violation::requests_per_day`] in the layout of 2026. Google's `retry` is below a minute.
pub fn quota_per_day(model: &str, limit: u64, retry: Duration) -> ApiError {
    exceeded(Violation::requests_per_day(model, limit), retry)
}

/// [`Violation::input_tokens_per_minute`] in the layout of 2026.
pub fn input_tokens_per_minute(model: &str, limit: u64, retry: Duration) -> ApiError {
    exceeded(Violation::input_tokens_per_minute(model, limit), retry)
}

/// `limit: 0`: the project's plan does not include the model, and waiting does not help.
pub fn quota_zero(model: &str, retry: Duration) -> ApiError {
    let violations = [
        Violation::input_tokens_per_minute(model, 0),
        Violation::input_tokens_per_day(model, 0),
        Violation::requests_per_minute(model, 0),
        Violation::requests_per_day(model, 0),
    ];
    quota_exceeded(&violations, retry, Layout::Y2026)
}

/// [`quota_zero`] for embeddings.
pub fn embedding_quota_zero(model: &str, retry: Duration) -> ApiError {
    let violations = [
        Violation::embedding_tokens_per_minute(model, 0),
        Violation::embedding_tokens_per_day(model, 0),
        Violation::embeddings_per_minute(model, 0),
        Violation::embeddings_per_day(model, 0),
    ];
    quota_exceeded(&violations, retry, Layout::Y2026)
}

/// A quota of a paid tier. The error does not name it; its only detail is `Help`.
pub fn paid_quota() -> ApiError {
    exhausted(format!("{EXCEEDED}{RATE_LIMITS}."))
        .with(help("Learn more about Gemini API quotas", RATE_LIMITS))
}

/// A quota in the older words of Google's Service Control. `project_number` is digits only.
pub fn service_control(project_number: &str, limit: u64) -> ApiError {
    let message = format!(
        "Quota exceeded for quota metric 'Batch Embed Content API requests' and limit 'Batch \
         embed contents request limit per minute for a region' of service '{SERVICE}' for \
         consumer 'project_number:{project_number}'."
    );
    let metadata = json!({
        "service": SERVICE,
        "consumer": format!("projects/{project_number}"),
        "quota_limit": "BatchEmbedContentsRequestsPerMinutePerProjectPerRegion",
        "quota_limit_value": limit.to_string(),
        "quota_metric": format!("{SERVICE}/batch_embed_contents_requests"),
    });
    let reason = "RATE_LIMIT_EXCEEDED";
    let info = json!({"reason": reason, "domain": "googleapis.com", "metadata": metadata});
    exhausted(message).with(detail("ErrorInfo", info))
}

/// `47.618338084s`, or `373.8ms` below a second, without trailing zeros.
fn format_delay(delay: Duration) -> String {
    let (whole, fraction, unit) = if delay.as_secs() > 0 || delay.is_zero() {
        (delay.as_secs(), format!("{:09}", delay.subsec_nanos()), "s")
    } else {
        let fraction = format!("{:06}", delay.subsec_nanos() % 1_000_000);
        (u64::from(delay.subsec_millis()), fraction, "ms")
    };
    match fraction.trim_end_matches('0') {
        "" => format!("{whole}{unit}"),
        fraction => format!("{whole}.{fraction}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_have_no_trailing_zeros() {
        for (nanos, text) in [
            (47_618_338_084, "47.618338084s"),
            (5_000_000_000, "5s"),
            (373_800_000, "373.8ms"),
            (1_000, "0.001ms"),
            (0, "0s"),
        ] {
            assert_eq!(format_delay(Duration::from_nanos(nanos)), text);
        }
    }
}
