use super::*;
use crate::pool::Outcome;
use crate::wire::gemini::{CallResult, Diagnosis, diagnose};
use crate::wire::request_traits::RequestTraits;
use fake_gemini::errors::{self, Layout, Violation};
use http::HeaderMap;
use serde_json::json;
use std::time::Duration;

const MODEL: &str = "gemini-flash-latest";
const RETRY: Duration = Duration::from_millis(47_618);

fn refused(body: &str) -> Diagnosis {
    let response = CallResult::Response {
        status: 429,
        headers: &HeaderMap::new(),
        body: body.as_bytes(),
    };
    diagnose(response, &RequestTraits::default())
}

/// An error with details that the fake's catalogue lacks.
fn exhausted(message: &str, details: serde_json::Value) -> Diagnosis {
    let body = json!([{"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}}]);
    refused(&body.to_string())
}

#[test]
fn the_longest_lasting_of_several_quotas_wins() {
    let minute = Violation::requests_per_minute(MODEL, 15);
    let tokens = Violation::input_tokens_per_minute(MODEL, 250_000);
    let day = Violation::requests_per_day(MODEL, 20);
    let none = Violation::input_tokens_per_day(MODEL, 0);
    for (violations, expected) in [
        (vec![&minute, &tokens], Outcome::QuotaPerMinute),
        (vec![&minute, &day], Outcome::QuotaPerDay),
        (vec![&day, &tokens], Outcome::QuotaPerDay),
        (vec![&day, &none, &minute], Outcome::QuotaNone),
    ] {
        let violations: Vec<Violation> = violations.into_iter().cloned().collect();
        for layout in [Layout::Y2025, Layout::Y2026] {
            let error = errors::quota_exceeded(&violations, RETRY, layout);
            let outcome = refused(&error.pretty_array()).outcome;
            assert_eq!(outcome, expected, "{error:?}");
        }
    }
}

#[test]
fn unknown_quotas_are_classified_by_other_fields() {
    use Outcome::*;
    const EXCEEDED: &str = "You exceeded your current quota, please check your plan.";
    let asks = format!("{EXCEEDED} \nPlease retry in 4.5s.");
    let zero = format!("{EXCEEDED} \n* Quota exceeded for metric: s/a, limit: 0, model: m\n");
    let control = |limit: &str| {
        format!(
            "Quota exceeded for quota metric 'Requests' and limit '{limit}' of service 'per day'."
        )
    };
    for (detail, expected) in [
        (
            r#"{"violations":[{"quotaId":"PerFortnight"}]}"#,
            QuotaPerMinute,
        ),
        (r#"{"violations":[{"quotaMetric":"s/a"}]}"#, QuotaPerMinute),
        (
            r#"{"violations":[{"quotaId":"X","quotaValue":0}]}"#,
            QuotaNone,
        ),
        (
            r#"{"metadata":{"quota_limit":"XPerDayPerProject"}}"#,
            QuotaPerDay,
        ),
        (
            r#"{"metadata":{"quota_limit":"X","quota_limit_value":"0"}}"#,
            QuotaNone,
        ),
        (r#"{"retryDelay":"9s"}"#, QuotaPerMinute),
        (r#"{"violations":[]}"#, QuotaUnspecified),
    ] {
        let details: serde_json::Value = serde_json::from_str(detail).unwrap();
        let outcome = exhausted(EXCEEDED, json!([details])).outcome;
        assert_eq!(outcome, expected, "{detail}");
    }
    for (message, expected) in [
        (EXCEEDED, QuotaUnspecified),
        (&asks, QuotaPerMinute),
        (&zero, QuotaNone),
        (&control("Requests per minute for a region"), QuotaPerMinute),
        (&control("Requests per day"), QuotaPerDay),
        (&control("Requests"), QuotaUnspecified),
        ("* Quota exceeded for metric: s/a, limit: 0", QuotaNone),
        (
            "\"my prompt\" doesn't have a free quota tier",
            QuotaUnspecified,
        ),
        (" doesn't have a free quota tier", QuotaUnspecified),
    ] {
        let outcome = exhausted(message, json!([])).outcome;
        assert_eq!(outcome, expected, "{message}");
    }
    let message = "Resource has been exhausted (e.g. check quota).";
    let unnamed = exhausted(message, json!([{"retryDelay": "9s"}]));
    assert_eq!(unnamed.outcome, QuotaUnspecified);
}

#[test]
fn quotas_reveal_their_limits() {
    let limit = |unit, window, value| Limit {
        unit,
        window,
        value,
    };
    let requests = |window, value| limit(Unit::Requests, window, value);
    let tokens = |window, value| limit(Unit::InputTokens, window, value);
    let texts = |window, value| limit(Unit::Texts, window, value);
    for (violations, expected) in [
        (
            vec![Violation::requests_per_minute(MODEL, 15)],
            vec![requests(Window::Minute, 15)],
        ),
        (
            vec![Violation::paid_requests_per_day(MODEL, 10_000)],
            vec![requests(Window::Day, 10_000)],
        ),
        (
            vec![
                Violation::input_tokens_per_day(MODEL, 6_000_000),
                Violation::paid_input_tokens_per_minute(MODEL, 1_000_000),
                Violation::requests_per_day(MODEL, 20),
                Violation::requests_per_day(MODEL, 20),
                Violation::paid_requests_per_minute(MODEL, 0),
            ],
            vec![
                requests(Window::Day, 20),
                tokens(Window::Minute, 1_000_000),
                tokens(Window::Day, 6_000_000),
            ],
        ),
        (
            vec![
                Violation::embeddings_per_minute(MODEL, 100),
                Violation::embeddings_per_day(MODEL, 1_000),
                Violation::new("x", "BatchEmbedContentsRequestsPerDay", MODEL, 9),
                Violation::new("x", "XRequestsPerFortnight", MODEL, 9),
                Violation::new("x", "ImagesPerMinute", MODEL, 9),
                Violation::new("x", "XRequestsPerMinutePerProjectPerRegion", MODEL, 9),
            ],
            vec![texts(Window::Minute, 100), texts(Window::Day, 1_000)],
        ),
    ] {
        let error = errors::quota_exceeded(&violations, RETRY, Layout::Y2026);
        let diagnosis = refused(&error.pretty());
        assert_eq!(diagnosis.limits, expected, "{violations:?}");
    }
    // The unit comes from the metric if the id lacks it, and the value from the message if it is
    // missing.
    let message = "You exceeded your current quota.\n* Quota exceeded for metric: s/x_input_token_count, limit: 125000, model: m";
    let details = json!([{"violations": [{"quotaMetric": "s/x_input_token_count", "quotaId": "XPerMinute"}]}]);
    let limits = exhausted(message, details).limits;
    assert_eq!(limits, [tokens(Window::Minute, 125_000)]);
}
