use super::*;
use crate::pool::Verdict;
use fake_gemini::errors::{self, ApiError as Fake};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use proptest::prelude::*;
use serde_json::json;
use std::io::Write;
use std::time::Duration;

const MODEL: &str = "gemini-flash-latest";
const PROJECT: &str = "projects/000000000001";
const METHOD: &str = "google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent";
const RETRY: Duration = Duration::from_millis(47_618);
const PAGE: &str =
    "<html>We're sorry but your computer or network may be sending automated queries</html>";

fn seen(status: u16, body: &[u8]) -> Diagnosis {
    let headers = HeaderMap::new();
    diagnose(Seen::Response {
        status,
        headers: &headers,
        body,
    })
}

fn outcome(status: u16, body: &str) -> Outcome {
    seen(status, body.as_bytes()).outcome
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// An error's body, as object, as array, compressed, and as an event.
fn forms(error: &Fake) -> [Vec<u8>; 6] {
    [
        error.pretty().into_bytes(),
        error.pretty_array().into_bytes(),
        error.compact().into_bytes(),
        gzip(error.pretty_array().as_bytes()),
        format!("data: {}\n\n", error.compact()).into_bytes(),
        format!("data: [{}]\n\n", error.compact()).into_bytes(),
    ]
}

fn recorded() -> Vec<(Fake, Outcome)> {
    use Outcome::*;
    vec![
        (errors::key_invalid(), KeyRejected),
        (errors::key_expired(), KeyRejected),
        (errors::key_not_found(), KeyRejected),
        (errors::two_credentials(), PoolFault),
        (errors::no_authorization_header(), PoolFault),
        (errors::location_unsupported(), EgressRefused),
        (errors::model_not_found(MODEL, "v1main", "x"), ClientFault),
        (errors::no_such_model(MODEL, "v1beta"), ClientFault),
        (errors::unknown_fields(&["seed", "top_k"]), ClientFault),
        (errors::unknown_field_in("messages[0]", "x"), ClientFault),
        (
            errors::invalid_value("stream", "TYPE_BOOL", "1"),
            ClientFault,
        ),
        (errors::invalid_json("{", 1), ClientFault),
        (errors::not_an_object(), ClientFault),
        (errors::no_contents(), ClientFault),
        (errors::no_model(), ClientFault),
        (errors::input_too_long(1_048_576), ClientFault),
        (errors::too_many_embeddings(), ClientFault),
        (errors::payload_too_large(), ClientFault),
        (errors::missing_thought_signature("f", 8), ClientFault),
        (errors::tools_with_json(), ClientFault),
        (errors::invalid_argument(), ClientFault),
        (errors::unauthenticated(METHOD), KeyRejected),
        (errors::unauthenticated_without_details(), KeyRejected),
        (errors::service_disabled(PROJECT), ProjectRefused),
        (errors::project_denied(), ProjectRefused),
        (errors::leaked(), KeyRejected),
        (errors::suspended("AIzaFAKE", PROJECT), KeyRejected),
        (errors::service_blocked(PROJECT, METHOD), KeyRejected),
        (errors::referrer_blocked(PROJECT), KeyRejected),
        (errors::ip_blocked(PROJECT, "192.0.2.1"), KeyRejected),
        (errors::no_credential(), PoolFault),
        (errors::permission_denied(), ResourceRefused),
        (errors::model_retired_for_new_users(MODEL), ModelRefused),
        (errors::model_retired(MODEL, "gemini-next"), ModelRefused),
        (errors::prepayment_depleted(), BillingExhausted),
        (errors::quota_zero(MODEL, RETRY), QuotaNone),
        (errors::embedding_quota_zero(MODEL, RETRY), QuotaNone),
        (
            errors::no_free_tier(
                "Gemini 2.5 Pro Preview",
                "Gemini 2.5 Pro Experimental (models/x)",
            ),
            QuotaNone,
        ),
        (errors::quota_per_day(MODEL, 20, RETRY), QuotaPerDay),
        (errors::quota_per_minute(MODEL, 15, RETRY), QuotaPerMinute),
        (
            errors::input_tokens_per_minute(MODEL, 250_000, RETRY),
            QuotaPerMinute,
        ),
        (errors::service_control("1", 150), QuotaPerMinute),
        (errors::paid_quota(), QuotaUnspecified),
        (errors::resource_exhausted(), QuotaUnspecified),
        (errors::shared_capacity(), QuotaUnspecified),
        (errors::cancelled(), UpstreamTrouble),
        (errors::internal(), UpstreamTrouble),
        (errors::internal_error_encountered(), UpstreamTrouble),
        (errors::overloaded(), ModelOverloaded),
        (errors::high_demand(), ModelOverloaded),
        (errors::unavailable(), ModelOverloaded),
        (errors::deadline_exceeded(), UpstreamTrouble),
    ]
}

#[test]
fn every_recorded_error_finds_its_culprit_in_every_form() {
    for (error, expected) in recorded() {
        for body in forms(&error) {
            let text = String::from_utf8_lossy(&body);
            let by_status = seen(error.code(), &body);
            assert_eq!(by_status.outcome, expected, "{text}");
            assert_eq!(by_status.status, Some(error.code()), "{text}");
            // After a head that said 200: the code inside counts.
            let in_stream = diagnose(Seen::InStream(&body));
            assert_eq!(in_stream, by_status, "{text}");
            let answer = seen(200, &body);
            assert_eq!(answer.outcome, expected, "{text}");
            assert_eq!(answer.status, Some(200), "{text}");
        }
    }
}

#[test]
fn what_cannot_be_read_goes_by_its_status_and_condemns_nobody() {
    use Outcome::*;
    for (status, nothing, page) in [
        (400, ClientFault, UpstreamTrouble),
        (401, UpstreamTrouble, UpstreamTrouble),
        (403, ResourceRefused, EgressRefused),
        (404, ClientFault, ClientFault),
        (408, UpstreamTrouble, UpstreamTrouble),
        (413, ClientFault, ClientFault),
        (429, QuotaUnspecified, EgressRefused),
        (499, UpstreamTrouble, UpstreamTrouble),
        (500, UpstreamTrouble, UpstreamTrouble),
        (502, UpstreamTrouble, UpstreamTrouble),
        (503, ModelOverloaded, UpstreamTrouble),
        (504, UpstreamTrouble, UpstreamTrouble),
        (302, UpstreamTrouble, UpstreamTrouble),
        (0, UpstreamTrouble, UpstreamTrouble),
        (999, UpstreamTrouble, UpstreamTrouble),
        (200, Success, Success),
    ] {
        for body in [
            "",
            "{}",
            "[]",
            "upstream connect error",
            "{\"error\": {\"co",
        ] {
            assert_eq!(outcome(status, body), nothing, "{status} {body}");
        }
        assert_eq!(outcome(status, PAGE), page, "{status}");
        let packed = seen(status, &gzip(PAGE.as_bytes()));
        assert_eq!(packed.outcome, page, "{status}");
    }
}

#[test]
fn somebody_on_the_way_condemns_nobody() {
    for body in [
        r#"{"error":{"code":401,"message":"Your API key was reported as leaked"}}"#,
        r#"{"error":{"message":"API key not valid","type":"auth","code":"invalid_api_key"}}"#,
        r#"{"error":{"message":"Your project has been denied access","status":"not a code"}}"#,
        r#"{"error":"API key not valid"}"#,
        r#"{"message":"API key not valid"}"#,
        r#"{"error":{}}"#,
    ] {
        for (status, expected) in [
            (400, Outcome::ClientFault),
            (401, Outcome::UpstreamTrouble),
            (403, Outcome::ResourceRefused),
        ] {
            assert_eq!(outcome(status, body), expected, "{status} {body}");
        }
    }
}

#[test]
fn what_was_cut_condemns_nobody() {
    for error in [
        errors::key_invalid(),
        errors::unauthenticated(METHOD),
        errors::suspended("AIzaFAKE", PROJECT),
        errors::service_disabled(PROJECT),
        errors::quota_zero(MODEL, RETRY),
    ] {
        for body in [error.pretty(), error.pretty_array(), error.compact()] {
            let end = body.trim_end().len();
            for cut in 0..end {
                let body = &body.as_bytes()[..cut];
                for diagnosis in [
                    seen(error.code(), body),
                    seen(error.code(), &gzip(body)),
                    diagnose(Seen::InStream(body)),
                ] {
                    assert_eq!(
                        diagnosis.outcome.verdict(),
                        Verdict::Unknown,
                        "{cut} {error:?}"
                    );
                    assert_eq!(diagnosis.error, ApiError::default(), "{cut}");
                }
            }
            // Compressed, and cut then: unless only the checksum is missing, the body is not whole.
            let packed = gzip(body.as_bytes());
            for cut in 0..packed.len() - 20 {
                let diagnosis = seen(error.code(), &packed[..cut]);
                assert_eq!(
                    diagnosis.outcome.verdict(),
                    Verdict::Unknown,
                    "{cut} {error:?}"
                );
            }
        }
    }
}

#[test]
fn a_bomb_is_an_answer_like_any_other() {
    let bomb = gzip(&vec![b'['; 20 * crate::gemini::MAX_ERROR_BYTES]);
    assert_eq!(seen(401, &bomb).outcome, Outcome::UpstreamTrouble);
    let padding = " ".repeat(20 * crate::gemini::MAX_ERROR_BYTES);
    let late = gzip(format!("{padding}{}", errors::unauthenticated(METHOD).compact()).as_bytes());
    assert_eq!(seen(401, &late).outcome, Outcome::UpstreamTrouble);
}

#[test]
fn what_a_request_says_never_condemns_a_key() {
    for text in [
        "API key not valid",
        "API key expired",
        "reported as leaked",
        "has been suspended",
        "are blocked",
        "unregistered callers",
        "it is disabled",
        "Your project has been denied access",
        "User location is not supported",
        "doesn't have a free quota tier",
        "Please retry in 99h.",
    ] {
        let unknown = errors::unknown_fields(&[text]);
        let diagnosis = seen(400, unknown.pretty().as_bytes());
        assert_eq!(diagnosis.outcome, Outcome::ClientFault, "{text}");
        assert_eq!(diagnosis.retry_after_ms, None, "{text}");
        let invalid = errors::invalid_json(&format!("\n{text}"), 1);
        assert_eq!(outcome(400, &invalid.pretty()), Outcome::ClientFault);
        let refused = format!("You do not have permission to access the file {text}");
        let refused = Fake::new(403, "PERMISSION_DENIED", refused);
        assert_eq!(outcome(403, &refused.pretty()), Outcome::ResourceRefused);
        let model = format!("models/{text} no longer available");
        let model = errors::model_not_found(&model, "v1main", "generateContent");
        assert_eq!(outcome(404, &model.pretty()), Outcome::ClientFault);
    }
}

#[test]
fn the_wait_is_googles_or_else_the_headers() {
    let with_header = |status, value: &str, body: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        diagnose(Seen::Response {
            status,
            headers: &headers,
            body,
        })
        .retry_after_ms
    };
    let minute = errors::quota_per_minute(MODEL, 15, RETRY).pretty();
    assert_eq!(with_header(429, "7", minute.as_bytes()), Some(47_618));
    for (value, expected) in [
        ("7", Some(7_000)),
        (" 7 ", Some(7_000)),
        ("0", Some(0)),
        ("-7", None),
        ("1.5", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None),
        ("18446744073709551615", None),
    ] {
        assert_eq!(with_header(429, value, b""), expected, "{value}");
        assert_eq!(with_header(503, value, b""), expected, "{value}");
        assert_eq!(with_header(200, value, b"{}"), None, "{value}");
    }
}

#[test]
fn an_error_names_its_project() {
    for (error, expected) in [
        (errors::suspended("AIzaFAKE", PROJECT), Some(PROJECT)),
        (errors::service_disabled(PROJECT), Some(PROJECT)),
        (errors::service_control("42", 150), Some("projects/42")),
        (errors::key_invalid(), None),
        (errors::leaked(), None),
    ] {
        let diagnosis = seen(error.code(), error.pretty_array().as_bytes());
        assert_eq!(diagnosis.project.as_deref(), expected, "{error:?}");
    }
}

#[test]
fn an_answer_with_an_error_inside_is_none() {
    for (body, expected) in [
        (r#"{"choices":[],"error":null}"#, Outcome::Success),
        (
            r#"{"choices":[{"message":{"content":"{\"error\":{\"code\":429}}"}}]}"#,
            Outcome::Success,
        ),
        (r#"{"error":7}"#, Outcome::Success),
        (
            "data: {\"choices\":[]}\n\ndata: [DONE]\n\n",
            Outcome::Success,
        ),
        (r#"{"error":{}}"#, Outcome::UpstreamTrouble),
        (r#"{"error":"slow down"}"#, Outcome::UpstreamTrouble),
        (r#"{"error":{"code":200}}"#, Outcome::UpstreamTrouble),
        (r#"{"error":{"code":8}}"#, Outcome::UpstreamTrouble),
        (r#"{"error":{"code":"429"}}"#, Outcome::QuotaUnspecified),
        (
            r#"{"object":"error","error":{"code":503}}"#,
            Outcome::ModelOverloaded,
        ),
    ] {
        assert_eq!(outcome(200, body), expected, "{body}");
    }
}

#[test]
fn an_error_in_a_stream_goes_by_the_code_that_it_names() {
    for (text, status, expected) in [
        ("", 500, Outcome::UpstreamTrouble),
        ("{\n  \"error\": {\n    \"co", 500, Outcome::UpstreamTrouble),
        (
            r#"{"error":{"message":"?"}}"#,
            500,
            Outcome::UpstreamTrouble,
        ),
        (r#"{"error":{"code":200}}"#, 500, Outcome::UpstreamTrouble),
        (r#"{"error":{"code":503}}"#, 503, Outcome::ModelOverloaded),
        (
            "[{\"error\":{\"code\":429}}\n]\ndata: [DONE]\n\n",
            429,
            Outcome::QuotaUnspecified,
        ),
        (PAGE, 500, Outcome::UpstreamTrouble),
    ] {
        let diagnosis = diagnose(Seen::InStream(text.as_bytes()));
        assert_eq!(
            (diagnosis.status, diagnosis.outcome),
            (Some(status), expected),
            "{text}"
        );
    }
}

#[test]
fn silence_is_not_the_keys_fault() {
    for (error, expected) in [
        (TransportError::Denied, Outcome::PoolFault),
        (TransportError::TimedOut, Outcome::UpstreamTrouble),
        (
            TransportError::Failed("reset".into()),
            Outcome::UpstreamTrouble,
        ),
    ] {
        let diagnosis = diagnose(Seen::NoResponse(&error));
        assert_eq!(
            diagnosis,
            Diagnosis::new(expected, None, ApiError::default())
        );
    }
}

/// Bytes, text, and errors with anything in them.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    let words = prop::sample::select(vec![
        "API key not valid",
        "Your API key was reported as leaked",
        "x",
    ]);
    let error = (".*", words, "[A-Z_]{0,12}").prop_map(|(text, begins, status)| {
        json!({"error": {"message": format!("{begins}{text}"), "status": status, "details": [{"reason": text}]}})
            .to_string()
            .into_bytes()
    });
    prop_oneof![
        bytes.clone(),
        bytes.prop_map(|body| gzip(&body)),
        ".*".prop_map(String::into_bytes),
        error,
    ]
}

proptest! {
    #[test]
    fn whatever_comes_has_an_outcome(status in any::<u16>(), body in any_body(), wait in "[ -~]{0,30}") {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(&wait).unwrap());
        let diagnosis = diagnose(Seen::Response { status, headers: &headers, body: &body });
        prop_assert_eq!(diagnosis.status, Some(status));
        prop_assert_eq!(diagnosis.outcome == Outcome::Success, status == 200 && ApiError::find(&body).is_none());
        let in_stream = diagnose(Seen::InStream(&body));
        prop_assert_ne!(in_stream.outcome.verdict(), Verdict::Works);
    }

    #[test]
    fn what_is_no_json_condemns_nobody(status in prop::sample::select(vec![400u16, 401, 403, 404, 429, 500]), body in any_body()) {
        prop_assume!(serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err());
        let verdict = seen(status, &body).outcome.verdict();
        prop_assert_eq!(verdict, Verdict::Unknown);
    }

    #[test]
    fn trouble_of_the_server_never_counts_against_a_key(status in 500u16..600, body in any_body()) {
        let outcome = seen(status, &body).outcome;
        prop_assert!(matches!(outcome, Outcome::UpstreamTrouble | Outcome::ModelOverloaded), "{outcome:?}");
    }
}
