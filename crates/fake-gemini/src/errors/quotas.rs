//! 429 in all its forms.
//!
//! The message and `QuotaFailure` say which quota it was; `RetryInfo` is short even when the quota lasts until
//! midnight Pacific (<https://ai.google.dev/gemini-api/docs/rate-limits>). Other forms name no quota at all.

use super::{ApiError, Detail, Link, QuotaViolation, SERVICE};
use crate::json::Fields;
use crate::models::bare;
use std::time::Duration;

const RATE_LIMITS: &str = "https://ai.google.dev/gemini-api/docs/rate-limits";

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
    /// Without the service in front, such as `generate_content_free_tier_requests`.
    pub metric: String,
    /// Contains `PerMinute` or `PerDay`, and mostly ends in `-FreeTier`.
    pub quota_id: String,
    /// The quota; 0 means that the model is not in the project's plan.
    pub limit: u64,
    /// Without `models/`. It may be another name of the model than the one asked for.
    pub model: String,
}

impl Violation {
    /// Any quota.
    pub fn new(metric: &str, quota_id: &str, model: &str, limit: u64) -> Self {
        Self {
            metric: metric.to_owned(),
            quota_id: quota_id.to_owned(),
            limit,
            model: bare(model).to_owned(),
        }
    }

    /// Requests in a minute, free tier.
    pub fn requests_per_minute(model: &str, limit: u64) -> Self {
        Self::new(
            "generate_content_free_tier_requests",
            "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
            model,
            limit,
        )
    }

    /// Requests in a day, free tier.
    pub fn requests_per_day(model: &str, limit: u64) -> Self {
        Self::new(
            "generate_content_free_tier_requests",
            "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
            model,
            limit,
        )
    }

    /// Input tokens in a minute, free tier.
    pub fn input_tokens_per_minute(model: &str, limit: u64) -> Self {
        Self::new(
            "generate_content_free_tier_input_token_count",
            "GenerateContentInputTokensPerModelPerMinute-FreeTier",
            model,
            limit,
        )
    }

    /// Input tokens in a day, free tier.
    pub fn input_tokens_per_day(model: &str, limit: u64) -> Self {
        Self::new(
            "generate_content_free_tier_input_token_count",
            "GenerateContentInputTokensPerModelPerDay-FreeTier",
            model,
            limit,
        )
    }

    /// Requests in a minute, paid tier.
    pub fn paid_requests_per_minute(model: &str, limit: u64) -> Self {
        Self::new(
            "generate_requests_per_model",
            "GenerateRequestsPerMinutePerProjectPerModel",
            model,
            limit,
        )
    }

    /// Requests in a day, paid tier.
    pub fn paid_requests_per_day(model: &str, limit: u64) -> Self {
        Self::new(
            "generate_requests_per_model_per_day",
            "GenerateRequestsPerDayPerProjectPerModel",
            model,
            limit,
        )
    }

    /// Input tokens in a minute, paid tier.
    pub fn paid_input_tokens_per_minute(model: &str, limit: u64) -> Self {
        Self::new(
            "generate_content_paid_tier_input_token_count",
            "GenerateContentPaidTierInputTokensPerModelPerMinute",
            model,
            limit,
        )
    }

    /// Texts to embed in a minute, free tier.
    pub fn embeddings_per_minute(model: &str, limit: u64) -> Self {
        Self::new(
            "embed_content_free_tier_requests",
            "EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier",
            model,
            limit,
        )
    }

    /// Texts to embed in a day, free tier.
    pub fn embeddings_per_day(model: &str, limit: u64) -> Self {
        Self::new(
            "embed_content_free_tier_requests",
            "EmbedContentRequestsPerDayPerUserPerProjectPerModel-FreeTier",
            model,
            limit,
        )
    }

    /// Input tokens of texts to embed in a minute, free tier. The id follows that for generating.
    pub fn embedding_tokens_per_minute(model: &str, limit: u64) -> Self {
        Self::new(
            "embed_content_free_tier_input_token_count",
            "EmbedContentInputTokensPerModelPerMinute-FreeTier",
            model,
            limit,
        )
    }

    /// Input tokens of texts to embed in a day, free tier. The id follows that for generating.
    pub fn embedding_tokens_per_day(model: &str, limit: u64) -> Self {
        Self::new(
            "embed_content_free_tier_input_token_count",
            "EmbedContentInputTokensPerModelPerDay-FreeTier",
            model,
            limit,
        )
    }

    fn line(&self, layout: Layout) -> String {
        let line = format!(
            "* Quota exceeded for metric: {SERVICE}/{}, limit: {}",
            self.metric, self.limit
        );
        match layout {
            Layout::Y2025 => line,
            Layout::Y2026 => format!("{line}, model: {}", self.model),
        }
    }

    fn detail(&self) -> QuotaViolation {
        QuotaViolation {
            quota_metric: format!("{SERVICE}/{}", self.metric),
            quota_id: self.quota_id.clone(),
            quota_dimensions: Fields(vec![
                ("location", "global".to_owned()),
                ("model", self.model.clone()),
            ]),
            // A zero is the default of its type, which protobuf's JSON leaves out.
            quota_value: (self.limit > 0).then(|| self.limit.to_string()),
        }
    }
}

/// One or more quotas exceeded, in either layout. `retry` is what `RetryInfo` and the message promise.
pub fn quota_exceeded(violations: &[Violation], retry: Duration, layout: Layout) -> ApiError {
    let monitor = match layout {
        Layout::Y2025 => "https://ai.dev/usage?tab=rate-limit",
        Layout::Y2026 => "https://ai.dev/rate-limit",
    };
    let mut message = format!(
        "You exceeded your current quota, please check your plan and billing details. For more information on this \
         error, head to: {RATE_LIMITS}. To monitor your current usage, head to: {monitor}. \n"
    );
    for violation in violations {
        message.push_str(&violation.line(layout));
        message.push('\n');
    }
    message.push_str(&format!("Please retry in {}.", spoken(retry)));

    let help = help();
    let failure = Detail::QuotaFailure {
        violations: violations.iter().map(Violation::detail).collect(),
    };
    let (first, second) = match layout {
        Layout::Y2025 => (failure, help),
        Layout::Y2026 => (help, failure),
    };
    exhausted(message)
        .with(first)
        .with(second)
        .with(Detail::RetryInfo {
            retry_delay: format!("{}s", retry.as_secs()),
        })
}

/// The quota of requests in a minute, in the layout of 2026.
pub fn quota_per_minute(model: &str, limit: u64, retry: Duration) -> ApiError {
    let violation = Violation::requests_per_minute(model, limit);
    quota_exceeded(&[violation], retry, Layout::Y2026)
}

/// The quota of requests in a day, in the layout of 2026. Google's `retry` is below a minute all the same.
pub fn quota_per_day(model: &str, limit: u64, retry: Duration) -> ApiError {
    let violation = Violation::requests_per_day(model, limit);
    quota_exceeded(&[violation], retry, Layout::Y2026)
}

/// The quota of input tokens in a minute, in the layout of 2026.
pub fn input_tokens_per_minute(model: &str, limit: u64, retry: Duration) -> ApiError {
    let violation = Violation::input_tokens_per_minute(model, limit);
    quota_exceeded(&[violation], retry, Layout::Y2026)
}

/// `limit: 0`: the project's plan does not have the model. Waiting never helps, whatever `retry` says.
pub fn quota_zero(model: &str, retry: Duration) -> ApiError {
    quota_exceeded(
        &[
            Violation::input_tokens_per_minute(model, 0),
            Violation::input_tokens_per_day(model, 0),
            Violation::requests_per_minute(model, 0),
            Violation::requests_per_day(model, 0),
        ],
        retry,
        Layout::Y2026,
    )
}

/// [`quota_zero`] for embeddings.
pub fn embedding_quota_zero(model: &str, retry: Duration) -> ApiError {
    quota_exceeded(
        &[
            Violation::embedding_tokens_per_minute(model, 0),
            Violation::embedding_tokens_per_day(model, 0),
            Violation::embeddings_per_minute(model, 0),
            Violation::embeddings_per_day(model, 0),
        ],
        retry,
        Layout::Y2026,
    )
}

/// The 429 that says nothing: bursts, capacity, suspicion of abuse.
pub fn resource_exhausted() -> ApiError {
    exhausted("Resource has been exhausted (e.g. check quota).")
}

/// A paid tier's quota, which is not named: only `Help` comes along.
pub fn paid_quota() -> ApiError {
    exhausted(format!(
        "You exceeded your current quota, please check your plan and billing details. For more information on this \
         error, head to: {RATE_LIMITS}."
    ))
    .with(help())
}

/// A prepaid account that has run dry. It lasts until somebody pays.
pub fn prepayment_depleted() -> ApiError {
    exhausted(
        "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your \
         project and billing. Learn more at https://ai.google.dev/gemini-api/docs/billing#prepay. ",
    )
}

/// A quota in the older words of Google's Service Control. `project_number` is digits only.
pub fn service_control(project_number: &str, limit: u64) -> ApiError {
    exhausted(format!(
        "Quota exceeded for quota metric 'Batch Embed Content API requests' and limit 'Batch embed contents request \
         limit per minute for a region' of service '{SERVICE}' for consumer 'project_number:{project_number}'."
    ))
    .with(Detail::ErrorInfo {
        reason: "RATE_LIMIT_EXCEEDED".to_owned(),
        domain: Some("googleapis.com"),
        metadata: Fields(vec![
            ("service", SERVICE.to_owned()),
            ("consumer", format!("projects/{project_number}")),
            (
                "quota_limit",
                "BatchEmbedContentsRequestsPerMinutePerProjectPerRegion".to_owned(),
            ),
            ("quota_limit_value", limit.to_string()),
            (
                "quota_metric",
                format!("{SERVICE}/batch_embed_contents_requests"),
            ),
        ]),
    })
}

/// A preview without a free tier, as in April 2025. `model` and `instead` are display names.
pub fn no_free_tier(model: &str, instead: &str) -> ApiError {
    exhausted(format!(
        "{model} doesn't have a free quota tier. Please use {instead} instead. For more information on this error, \
         head to: {RATE_LIMITS}."
    ))
}

/// Capacity that is shared with others, in Vertex AI's words.
pub fn shared_capacity() -> ApiError {
    exhausted(
        "Resource exhausted. Please try again later. Please refer to \
         https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.",
    )
}

fn help() -> Detail {
    Detail::Help {
        links: vec![Link {
            description: "Learn more about Gemini API quotas",
            url: RATE_LIMITS.to_owned(),
        }],
    }
}

/// A duration as the message has it: `47.618338084s`, below a second `373.8ms`, and no zeros at the end.
fn spoken(duration: Duration) -> String {
    let (whole, fraction, unit) = if duration.as_secs() > 0 || duration.is_zero() {
        (
            duration.as_secs(),
            format!("{:09}", duration.subsec_nanos()),
            "s",
        )
    } else {
        (
            u64::from(duration.subsec_millis()),
            format!("{:06}", duration.subsec_nanos() % 1_000_000),
            "ms",
        )
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
    fn delays_read_as_googles() {
        for (nanos, text) in [
            (47_618_338_084, "47.618338084s"),
            (41_710_991_998, "41.710991998s"),
            (5_000_000_000, "5s"),
            (1_500_000_000, "1.5s"),
            (373_800_000, "373.8ms"),
            (1_000, "0.001ms"),
            (0, "0s"),
        ] {
            assert_eq!(spoken(Duration::from_nanos(nanos)), text);
        }
    }
}
