//! The layouts of Google's errors.

use fake_gemini::errors::{self, ApiError, Layout, Violation};
use std::time::Duration;

const SERVICE: &str = "generativelanguage.googleapis.com";

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
    let info = format!(
        concat!(
            r#"{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","#,
            r#""reason":"CONSUMER_SUSPENDED","domain":"googleapis.com","#,
            r#""metadata":{{"consumer":"projects/7","service":"{}","#,
            r#""containerInfo":"api_key:K"}}}}"#
        ),
        SERVICE
    );
    let message = concat!(
        r#"{"@type":"type.googleapis.com/google.rpc.LocalizedMessage","locale":"en-US","#,
        r#""message":"Permission denied: Consumer 'api_key:K' has been suspended."}"#
    );
    let details = format!(r#""details":[{info},{message}]}}}}"#);
    for project in ["7", "projects/7"] {
        let error = errors::suspended("K", project).compact();
        assert!(error.ends_with(&details), "{error}");
    }
}

#[test]
fn quota_error_names_the_quota_in_each_layout() {
    let delay = Duration::from_nanos(41_710_991_998);
    let violation = Violation::requests_per_minute("models/m", 10);
    let help = concat!(
        r#"{"@type":"type.googleapis.com/google.rpc.Help","#,
        r#""links":[{"description":"Learn more about Gemini API quotas","#,
        r#""url":"https://ai.google.dev/gemini-api/docs/rate-limits"}]}"#
    );
    let failure = format!(
        concat!(
            r#"{{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{{"#,
            r#""quotaMetric":"{}/generate_content_free_tier_requests","#,
            r#""quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","#,
            r#""quotaDimensions":{{"location":"global","model":"m"}},"quotaValue":"10"}}]}}"#
        ),
        SERVICE
    );
    let retry = r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"41s"}"#;
    for (layout, line, details) in [
        (
            Layout::Y2025,
            "limit: 10",
            format!("{failure},{help},{retry}"),
        ),
        (
            Layout::Y2026,
            "limit: 10, model: m",
            format!("{help},{failure},{retry}"),
        ),
    ] {
        let error = errors::quota_exceeded(std::slice::from_ref(&violation), delay, layout);
        let metric = "generate_content_free_tier_requests";
        let line = format!("\n* Quota exceeded for metric: {SERVICE}/{metric}, {line}");
        let line = format!("{line}\nPlease retry in 41.710991998s.");
        assert!(error.message().ends_with(&line), "{}", error.message());
        let end = format!(r#","details":[{details}]}}}}"#);
        assert!(error.compact().ends_with(&end), "{}", error.compact());
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
    let error = errors::unknown_field_in("generation_config", "topK").compact();
    let field = r#""fieldViolations":[{"field":"generation_config","description":"Invalid JSON"#;
    assert!(error.contains(field), "{error}");
    let error = errors::invalid_json("{oops}", 1);
    assert!(error.message().ends_with("Unexpected token.\n{oops}\n ^"));
}
