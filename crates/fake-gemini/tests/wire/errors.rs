//! The layouts of Google's errors.

use fake_gemini::errors::{self, ApiError, Layout, Violation};
use serde_json::{Value, json};
use std::time::Duration;

const SERVICE: &str = "generativelanguage.googleapis.com";

fn details_of(error: &ApiError) -> Value {
    let json: Value = serde_json::from_str(&error.compact()).unwrap();
    json["error"]["details"].clone()
}

#[test]
fn error_is_written_in_three_forms() {
    let error = errors::resource_exhausted();
    let compact = concat!(
        r#"{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","#,
        r#""status":"RESOURCE_EXHAUSTED"}}"#
    );
    assert_eq!(error.compact(), compact);
    let pretty = r#"{
  "error": {
    "code": 429,
    "message": "Resource has been exhausted (e.g. check quota).",
    "status": "RESOURCE_EXHAUSTED"
  }
}
"#;
    assert_eq!(error.pretty(), pretty);
    assert_eq!(error.pretty_array(), format!("[{pretty}]\n"));
    let own = ApiError::new(418, "ODD", "<odd>");
    assert!(own.compact().contains(r"\u003codd\u003e"), "{own:?}");
}

#[test]
fn error_about_a_key_has_a_reason_and_a_localized_message() {
    let message = "Permission denied: Consumer 'api_key:K' has been suspended.";
    let details = json!([
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "CONSUMER_SUSPENDED",
            "domain": "googleapis.com",
            "metadata": {
                "consumer": "projects/7",
                "service": SERVICE,
                "containerInfo": "api_key:K",
            },
        },
        {
            "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
            "locale": "en-US",
            "message": message,
        },
    ]);
    for project in ["7", "projects/7"] {
        assert_eq!(details_of(&errors::suspended("K", project)), details);
    }
}

#[test]
fn quota_error_names_the_quota_in_each_layout() {
    let delay = Duration::from_nanos(41_710_991_998);
    let violation = Violation::requests_per_minute("models/m", 10);
    let metric = "generate_content_free_tier_requests";
    let help = json!({
        "@type": "type.googleapis.com/google.rpc.Help",
        "links": [{
            "description": "Learn more about Gemini API quotas",
            "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
        }],
    });
    let failure = json!({
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{
            "quotaMetric": format!("{SERVICE}/{metric}"),
            "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
            "quotaDimensions": {"location": "global", "model": "m"},
            "quotaValue": "10",
        }],
    });
    let retry = json!({
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": "41s",
    });
    for (layout, line, details) in [
        (Layout::Y2025, "limit: 10", json!([failure, help, retry])),
        (
            Layout::Y2026,
            "limit: 10, model: m",
            json!([help, failure, retry]),
        ),
    ] {
        let error = errors::quota_exceeded(std::slice::from_ref(&violation), delay, layout);
        let line = format!("\n* Quota exceeded for metric: {SERVICE}/{metric}, {line}");
        let line = format!("{line}\nPlease retry in 41.710991998s.");
        assert!(error.message().ends_with(&line), "{}", error.message());
        assert_eq!(details_of(&error), details);
    }
    let none = errors::quota_zero("m", delay).compact();
    assert_eq!(none.matches("limit: 0, model: m").count(), 4, "{none}");
    assert!(!none.contains("quotaValue"), "{none}");
}

#[test]
fn field_errors_list_each_violation() {
    let error = errors::unknown_fields(&["seed", "top_k"]);
    let line = |name| {
        format!(r#"Invalid JSON payload received. Unknown name "{name}": Cannot find field."#)
    };
    assert_eq!(error.message(), [line("seed"), line("top_k")].join("\n"));
    let details = details_of(&errors::unknown_field_in("generation_config", "topK"));
    assert_eq!(
        details[0]["fieldViolations"][0]["field"],
        "generation_config"
    );
    let error = errors::invalid_json("{oops}", 1);
    assert!(error.message().ends_with("Unexpected token.\n{oops}\n ^"));
}
