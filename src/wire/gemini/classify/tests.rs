use super::*;
use crate::pool::{RequestSize, Verdict};
use crate::wire::gemini::MAX_ERROR_BYTES;
use crate::wire::gemini::body::tests::gzip;
use fake_gemini::errors::{self, ApiError as Fake};
use http::HeaderValue;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

const MODEL: &str = "gemini-flash-latest";
const PROJECT: &str = "projects/000000000001";
const METHOD: &str = "google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent";
const PREVIEW: &str = "Gemini 2.5 Pro Preview";
const EXPERIMENTAL: &str = "Gemini 2.5 Pro Experimental (models/x)";
const RETRY: Duration = Duration::from_millis(47_618);
const PAGE: &str =
    "<html>We're sorry but your computer or network may be sending automated queries</html>";

/// A model call.
fn call() -> RequestTraits {
    RequestTraits {
        model: MODEL.to_owned(),
        is_model_call: true,
        takes_keys: true,
        ..RequestTraits::default()
    }
}

/// [`call`] with a change.
fn call_with(change: impl FnOnce(&mut RequestTraits)) -> RequestTraits {
    let mut request = call();
    change(&mut request);
    request
}

fn diagnose_for(request: &RequestTraits, status: u16, body: &[u8]) -> Diagnosis {
    diagnose(response(status, &HeaderMap::new(), body), request)
}

fn response<'a>(status: u16, headers: &'a HeaderMap, body: &'a [u8]) -> CallResult<'a> {
    CallResult::Response {
        status,
        headers,
        body,
    }
}

/// The headers of a response with this `Retry-After`.
fn retry_after(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).unwrap())])
}

fn diagnose_response(status: u16, body: &[u8]) -> Diagnosis {
    diagnose_for(&call(), status, body)
}

fn in_stream(text: &[u8]) -> Diagnosis {
    diagnose(CallResult::InStream(text), &call())
}

fn outcome(status: u16, body: &str) -> Outcome {
    diagnose_response(status, body.as_bytes()).outcome
}

/// The body of an error as an object, an array, compressed, and as an event.
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
    let tokens_per_minute = errors::input_tokens_per_minute(MODEL, 250_000, RETRY);
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
        (errors::invalid_value("x", "TYPE_BOOL", "1"), ClientFault),
        (errors::invalid_json("{", 1), ClientFault),
        (errors::not_an_object(), ClientFault),
        (errors::no_contents(), ClientFault),
        (errors::no_model(), ClientFault),
        (errors::input_too_long(1_048_576), ClientFault),
        (errors::too_many_embeddings(), ClientFault),
        (errors::payload_too_large(), ClientFault),
        (errors::missing_thought_signature("f", 8), SignatureMissing),
        (errors::tools_with_json(), ClientFault),
        (errors::invalid_argument(), ClientFault),
        (errors::unauthenticated(METHOD), KeyRejected),
        (errors::unauthenticated_without_details(), KeyRejected),
        (errors::service_disabled(PROJECT), ProjectRefused),
        (errors::project_denied(), ProjectRefused),
        (errors::leaked(), KeyRejected),
        (errors::suspended("AIzaFAKE", PROJECT), KeyRejected),
        (errors::service_blocked(PROJECT, METHOD), KeyRestricted),
        (errors::referrer_blocked(PROJECT), KeyRestricted),
        (errors::ip_blocked(PROJECT, "192.0.2.1"), KeyRestricted),
        (errors::no_credential(), PoolFault),
        (errors::permission_denied(), ResourceRefused),
        (errors::model_retired_for_new_users(MODEL), ModelRefused),
        (errors::model_retired(MODEL, "gemini-next"), ModelRefused),
        (errors::prepayment_depleted(), BillingExhausted),
        (errors::quota_zero(MODEL, RETRY), QuotaNone),
        (errors::embedding_quota_zero(MODEL, RETRY), QuotaNone),
        (errors::no_free_tier(PREVIEW, EXPERIMENTAL), QuotaNone),
        (errors::quota_per_day(MODEL, 20, RETRY), QuotaPerDay),
        (errors::quota_per_minute(MODEL, 15, RETRY), QuotaPerMinute),
        (tokens_per_minute, QuotaPerMinute),
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
fn recorded_errors_have_the_same_outcome_in_every_form() {
    for (error, expected) in recorded() {
        for body in forms(&error) {
            let text = String::from_utf8_lossy(&body);
            let by_status = diagnose_response(error.code(), &body);
            assert_eq!(by_status.outcome, expected, "{text}");
            assert_eq!(by_status.status, Some(error.code()), "{text}");
            // After a 200, the code in the error decides.
            let in_stream = in_stream(&body);
            assert_eq!(in_stream, by_status, "{text}");
            let answer = diagnose_response(200, &body);
            assert_eq!(answer.outcome, expected, "{text}");
            assert_eq!(answer.status, Some(200), "{text}");
        }
    }
}

/// An error from Google.
fn google(status: u16, code: &str, message: &str, reason: &str) -> String {
    let details = match reason {
        "" => json!([]),
        reason => json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]),
    };
    json!({"error": {"code": status, "message": message, "status": code, "details": details}})
        .to_string()
}

/// The index of the table row that an error matches.
fn row_of(request: &RequestTraits, status: u16, body: &str) -> Option<usize> {
    let error = ApiError::parse(body.as_bytes());
    let words = Words::of(error.message.as_deref().unwrap_or_default());
    TABLE
        .iter()
        .position(|row| row.matches(status, &error, &words, request))
}

const INVALID: &str = "INVALID_ARGUMENT";
const PRECONDITION: &str = "FAILED_PRECONDITION";
const DENIED: &str = "PERMISSION_DENIED";
const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
const EXHAUSTED: &str = "RESOURCE_EXHAUSTED";
const NOT_FOUND: &str = "NOT_FOUND";

/// A status, a body and the expected outcome.
type Reported = (u16, String, Outcome);

/// Makes errors with this outcome, status and code from their messages.
fn of(outcome: Outcome, status: u16, code: &str) -> impl Fn(&[&str]) -> Vec<Reported> {
    move |messages| {
        let bodies = messages.iter().map(|it| google(status, code, it, ""));
        bodies.map(|body| (status, body, outcome)).collect()
    }
}

/// Reported errors and rewordings of them, each with its expected outcome.
fn reported() -> Vec<Reported> {
    use Outcome::*;
    [
        of(BillingExhausted, 429, EXHAUSTED)(&[
            "Your project has exceeded its monthly spending cap. Please go to AI Studio at https://ai.studio/spend to manage your project spend cap.",
            "This project reached the spend cap that its owner set.",
            "The monthly spending limit of your project was reached.",
            "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing.",
            "Your prepaid balance is used up.",
            "All credits of this billing account have been exhausted.",
            "You are out of credits.",
            "Insufficient credits to complete the request.",
            "Your billing account has exceeded its monthly usage limit for this tier.",
            "This project has hit the spend limit you configured.",
            "Your prepaid balance is 0. Add funds to continue.",
            "Monthly budget exceeded for this project. Raise the cap in AI Studio.",
            "Your account has insufficient funds. Please top up.",
        ]),
        of(BillingExhausted, 403, DENIED)(&[
            "The billing account for the owning project is disabled in state closed",
            "Your billing account has been closed.",
            "The billing account of this project is not in good standing.",
            "Billing is disabled for this project.",
            "Lightning dunning decision is deny for project: projects/123",
        ]),
        of(BillingExhausted, 400, PRECONDITION)(&["Your project has reached its spending cap."]),
        of(FreeTierRefused, 400, PRECONDITION)(&[
            "Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.",
            "The free tier is unavailable in this region.",
            "Free-tier access isn't offered at your location.",
            "Unpaid usage of the Gemini API is not available in your country. Please set up billing.",
            "Gemini API is not available for free in your country.",
            "The free quota tier cannot be used from your location.",
        ]),
        of(PlanRefused, 400, INVALID)(&[
            "Imagen API is only accessible to billed users at this time.",
            "This feature requires billing to be enabled on your project.",
        ]),
        of(PlanDoubted, 400, INVALID)(&[
            "Veo 3 is only available to users on a paid plan.",
            "This model is not available on the free tier.",
            "This model isn't available in the free tier. Please upgrade.",
            "Veo is only available to users with billing enabled.",
            "Veo API is exclusively for accounts with an active billing account.",
            "Please enable billing to use this model.",
            "Upgrade to a higher tier to use this model.",
        ]),
        of(PlanRefused, 403, DENIED)(&[
            "This API method requires billing to be enabled. Please enable billing on project #42.",
        ]),
        of(EgressRefused, 400, PRECONDITION)(&[
            "User location is not supported for the API use.",
            "The user location is not supported for this model.",
            "This model is not available in your region.",
        ]),
        of(EntityNotFound, 404, NOT_FOUND)(&[
            "Requested entity was not found.",
            "The requested resource does not exist.",
            "Not found.",
        ]),
        of(ClientFault, 404, NOT_FOUND)(&[
            "models/gemini-9 is not found for API version v1beta, or is not supported for generateContent.",
            "gemini-flash-latest was not found.",
        ]),
        of(RequestRefused, 401, UNAUTHENTICATED)(&[
            "API keys are not supported by this API. Expected OAuth2 access token or other authentication credentials that assert a principal.",
            "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid authentication credential.",
            "This method requires OAuth 2.",
            "You need to sign in.",
        ]),
        of(RequestRefused, 403, DENIED)(&[
            "Request had insufficient authentication scopes.",
            "Cloud Vision API has not been used in project 42 before or it is disabled.",
        ]),
        of(ProjectRefused, 403, DENIED)(&[
            "Generative Language API has not been used in project 42 before or it is disabled.",
            "Your project has been denied access. Please contact support.",
        ]),
        of(KeyRejected, 400, INVALID)(&[
            "API key not valid. Please pass a valid API key.",
            "API key expired. Please renew the API key.",
            "The API key is invalid.",
            "Invalid API key provided.",
        ]),
        of(KeyRejected, 401, UNAUTHENTICATED)(&[
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.",
            "The API key is no longer valid.",
        ]),
        of(KeyRejected, 403, DENIED)(&[
            "Your API key was reported as leaked. Please use another API key.",
            "Permission denied: Consumer 'api_key:AIzaFAKE' has been suspended.",
            "This API key has been revoked.",
        ]),
        of(KeyRestricted, 403, DENIED)(&[
            "The provided API key has an IP address restriction. The originating IP address of the call (192.0.2.1) violates this restriction.",
            "Requests from referer https://app.example/ are blocked.",
            "Requests from this Android client application com.example are blocked.",
            "Requests to this API generativelanguage.googleapis.com method google.ai.GenerateContent are blocked.",
        ]),
        of(PoolFault, 400, INVALID)(&[
            "Multiple authentication credentials received. Please pass only one.",
            "Received more than one authentication credential.",
            "More than one credential was supplied.",
        ]),
        of(PoolFault, 403, DENIED)(&[
            "Method doesn't allow unregistered callers (callers without established identity).",
        ]),
        of(ModelRefused, 404, NOT_FOUND)(&["This model models/m is no longer available to new users."]),
        of(QuotaNone, 429, EXHAUSTED)(&[
            "You exceeded your current quota.\n* Quota exceeded for metric: s/a, limit: 0, model: m\n",
            "Quota exceeded for metric: s/a, limit: 0, model: imagen-4.0",
            "Gemini 2.5 Pro Preview doesn't have a free quota tier.",
            "This model is not available in the free tier.",
        ]),
        of(QuotaUnspecified, 429, EXHAUSTED)(&[
            "You exceeded your current quota, please check your plan and billing details.",
            "Resource has been exhausted (e.g. check quota).",
            "Something new.",
        ]),
        of(ClientFault, 400, INVALID)(&[
            "Request contains an invalid argument.",
            "Something new.",
            "tools[0].api_key: Invalid enum value.",
            "Function get_api_key is invalid.",
            "Parameter api_key of function login has an invalid type.",
            "Schema for tool check: API key not valid",
            "Function upgrade_account: parameter type is missing.",
            "Please update your SDK: this API version is planned for removal.",
            "Tier: not a valid enum value for field tier.",
            "Unsupported MIME type: api-key-expired",
            "Voice name api key expired is not supported",
            "Tool api key not valid is unknown.",
            "The model api key expired does not support tools.",
        ]),
        of(ClientFault, 400, PRECONDITION)(&[
            "The File files/abc is still being prepared and has no content yet.",
            "The file is being prepared, no need to retry.",
            "Credit card numbers expired or not are not allowed in prompts.",
            "API key expired? no: cache expired.",
            "Unsupported MIME type: billing-account-closed",
            "Unsupported MIME type of file: billing account closed",
            "The model free-tier-country does not support function calling.",
        ]),
        of(SignatureRefused, 400, INVALID)(&[
            "Corrupted thought signature.",
            "Thought signature is not valid.",
            "Invalid thought signature in part 3.",
            "The thought_signature could not be verified.",
        ]),
        of(SignatureMissing, 400, INVALID)(&[
            "Function call is missing a thought_signature in functionCall parts.",
            "A thought signature is required for function call 2.",
            "Function calls without a thoughtSignature are not supported.",
        ]),
        of(ResourceRefused, 403, DENIED)(&[
            "Something new.",
            "Access to tuned model api_key_revoked denied.",
            "Access to model api-key-leaked is forbidden.",
            "Access to tool project-has-been-blocked is forbidden.",
            "Fetching the URL was refused: IP address 10.0.0.1 is blocked.",
            "Project billing-demo has been blocked from model x for policy reasons.",
        ]),
    ]
    .concat()
}

#[test]
fn reported_errors_are_classified_by_their_words() {
    for (status, body, expected) in reported() {
        assert_eq!(outcome(status, &body), expected, "{status} {body}");
        let array = format!("[{body}]");
        assert_eq!(outcome(status, &array), expected, "{status} {array}");
    }
}

/// Errors whose outcome depends on the request.
fn ambiguous() -> Vec<(RequestTraits, u16, String, Outcome)> {
    use Outcome::*;
    let about_corpora = || RequestTraits {
        model: "corpora".to_owned(),
        is_model_call: false,
        takes_keys: false,
        ..call()
    };
    let with_file = || call_with(|request| request.names_resource = true);
    let with_search = || call_with(|request| request.tool = Some("google_search".to_owned()));
    let with_other_header = || call_with(|request| request.has_other_header = true);
    let large = |input_tokens, texts| {
        let size = RequestSize {
            input_tokens,
            texts,
        };
        call_with(|request| request.size = size)
    };
    let not_found = google(404, "NOT_FOUND", "Requested entity was not found.", "");
    let invalid = errors::unauthenticated(METHOD).compact();
    let blocked = errors::service_blocked(PROJECT, METHOD).compact();
    let credentials = errors::two_credentials().compact();
    let tokens = errors::input_tokens_per_minute(MODEL, 16_000, RETRY).compact();
    let texts = json!({"error": {"code": 429, "status": EXHAUSTED, "message": "You exceeded your current quota.", "details": [{"violations": [{
        "quotaMetric": "generativelanguage.googleapis.com/embed_content_free_tier_requests",
        "quotaId": "EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier",
        "quotaValue": "100",
    }]}]}});
    let vision = json!({"error": {"code": 403, "status": DENIED, "message": "It is disabled.",
        "details": [{"reason": "SERVICE_DISABLED",
            "metadata": {"service": "vision.googleapis.com"}}]}});
    let exceeded = "You exceeded your current quota, please check your plan and billing details.";
    let quota = google(429, EXHAUSTED, exceeded, "");
    let waits = format!("{exceeded}\nPlease retry in 9s.");
    let waits = google(429, EXHAUSTED, &waits, "");
    let by_message = format!(
        "{exceeded}\n* Quota exceeded for metric: s/x_input_token_count, limit: 16000, model: m\nPlease retry in 9s."
    );
    let by_message = google(429, EXHAUSTED, &by_message, "");
    let day = errors::quota_per_day(MODEL, 20, RETRY).compact();
    let places = json!({"error": {"code": 403, "status": DENIED,
        "message": "Requests to this API places.googleapis.com method google.maps.places.v1.Places.SearchText are blocked.",
        "details": [{"reason": "API_KEY_SERVICE_BLOCKED", "metadata": {"service": "places.googleapis.com"}}]}});
    let grounding = json!({"error": {"code": 429, "status": EXHAUSTED, "message": exceeded, "details": [{"violations": [{
        "quotaMetric": "generativelanguage.googleapis.com/search_grounding_free_tier_requests",
        "quotaId": "GroundingRequestsPerDayPerProject-FreeTier", "quotaValue": "500",
    }]}]}});
    // A named quota takes precedence over everything else in the error.
    let named = json!({"error": {"code": 429, "status": EXHAUSTED,
        "message": "You exceeded your current quota. Projects with a spending cap have lower limits.",
        "details": [{"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "10"}]}]}});
    let mut cases = vec![
        (about_corpora(), 404, not_found.clone(), ClientFault),
        (with_file(), 404, not_found, ClientFault),
        (about_corpora(), 401, invalid.clone(), RequestRefused),
        (with_other_header(), 401, invalid, CredentialMisplaced),
        (call(), 403, blocked.clone(), KeyRestricted),
        (about_corpora(), 403, blocked, RequestRefused),
        (call(), 403, vision.to_string(), RequestRefused),
        (call(), 403, places.to_string(), RequestRefused),
        (call(), 400, credentials.clone(), PoolFault),
        (with_other_header(), 400, credentials, CredentialMisplaced),
        (large(16_000, 0), 429, tokens.clone(), QuotaPerMinute),
        (large(16_001, 0), 429, tokens, RequestTooLarge),
        (large(0, 100), 429, texts.to_string(), QuotaPerMinute),
        (large(0, 143), 429, texts.to_string(), RequestTooLarge),
        (with_search(), 429, quota, ToolQuota),
        (call(), 429, waits.clone(), QuotaPerMinute),
        (with_search(), 429, waits, ToolQuota),
        (with_search(), 429, grounding.to_string(), ToolQuota),
        (call(), 429, named.to_string(), QuotaPerMinute),
        (large(16_001, 0), 429, by_message, RequestTooLarge),
        (with_search(), 429, day, QuotaPerDay),
        (call(), 401, "who are you".to_owned(), UpstreamTrouble),
    ];
    for (status, reason, expected) in [
        (401, "CREDENTIALS_MISSING", RequestRefused),
        (401, "API_KEY_INVALID", KeyRejected),
        (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT", RequestRefused),
        (403, "API_KEY_IP_ADDRESS_BLOCKED", KeyRestricted),
        (403, "API_KEY_HTTP_REFERRER_BLOCKED", KeyRestricted),
        (403, "CONSUMER_SUSPENDED", KeyRejected),
        (403, "BILLING_DISABLED", BillingExhausted),
        (400, "API_KEY_INVALID", KeyRejected),
    ] {
        let code = if status == 400 { INVALID } else { DENIED };
        let body = google(status, code, "Something new.", reason);
        cases.push((call(), status, body, expected));
    }
    cases
}

#[test]
fn the_request_decides_ambiguous_errors() {
    for (request, status, body, expected) in ambiguous() {
        let found = diagnose_for(&request, status, body.as_bytes()).outcome;
        assert_eq!(found, expected, "{status} {body} {request:?}");
    }
}

#[test]
fn every_row_has_a_source_and_an_example() {
    let recorded = recorded().into_iter();
    let pages = [400, 401, 403, 429].map(|status| (status, PAGE.to_owned()));
    let quota = (429, QUOTA_EXCEEDED.to_owned());
    let of_calls = recorded
        .map(|(error, _)| (error.code(), error.compact()))
        .chain(
            reported()
                .into_iter()
                .map(|(status, body, _)| (status, body)),
        )
        .chain(pages.into_iter().chain([quota]))
        .map(|(status, body)| row_of(&call(), status, &body));
    let ambiguous = ambiguous().into_iter();
    let of_ambiguous = ambiguous.map(|(request, status, body, _)| row_of(&request, status, &body));
    let rows: BTreeSet<usize> = of_calls.chain(of_ambiguous).flatten().collect();
    for (index, row) in TABLE.iter().enumerate() {
        assert!(rows.contains(&index), "no example: {row:?}");
        assert!(!row.source.is_empty(), "no source: {row:?}");
    }
}

#[test]
fn unreadable_errors_are_classified_by_status_and_harm_no_key() {
    use Outcome::*;
    for (status, nothing, page) in [
        (400, ClientFault, UpstreamTrouble),
        (401, UpstreamTrouble, RequestRefused),
        (403, ResourceRefused, RequestRefused),
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
        let half = r#"{"error": {"co"#;
        for body in ["", "{}", "[]", "upstream connect error", half] {
            assert_eq!(outcome(status, body), nothing, "{status} {body}");
        }
        assert_eq!(outcome(status, PAGE), page, "{status}");
        let packed = diagnose_response(status, &gzip(PAGE.as_bytes()));
        assert_eq!(packed.outcome, page, "{status}");
    }
}

#[test]
fn an_intermediary_cannot_condemn_a_key() {
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
fn a_truncated_error_cannot_condemn_a_key() {
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
                    diagnose_response(error.code(), body),
                    diagnose_response(error.code(), &gzip(body)),
                    in_stream(body),
                ] {
                    let verdict = diagnosis.outcome.verdict();
                    assert_eq!(verdict, Verdict::Unknown, "{cut} {error:?}");
                    assert_eq!(diagnosis.error, ApiError::default(), "{cut}");
                }
            }
            // A truncated gzip stream is incomplete unless only its checksum is missing.
            let packed = gzip(body.as_bytes());
            for cut in 0..packed.len() - 20 {
                let outcome = diagnose_response(error.code(), &packed[..cut]).outcome;
                assert_eq!(outcome.verdict(), Verdict::Unknown, "{cut} {error:?}");
            }
        }
    }
}

#[test]
fn a_decompression_bomb_is_classified_by_its_status() {
    let padding = " ".repeat(20 * MAX_ERROR_BYTES);
    let late = padding + &errors::unauthenticated(METHOD).compact();
    for body in [vec![b'['; 20 * MAX_ERROR_BYTES], late.into_bytes()] {
        let outcome = diagnose_response(401, &gzip(&body)).outcome;
        assert_eq!(outcome, Outcome::UpstreamTrouble);
    }
}

#[test]
fn echoed_request_content_cannot_condemn_a_key() {
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
        let diagnosis = diagnose_response(400, unknown.pretty().as_bytes());
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
fn the_body_takes_precedence_over_retry_after() {
    let with_header = |status, value: &str, body: &[u8]| {
        let headers = retry_after(value);
        diagnose(response(status, &headers, body), &call()).retry_after_ms
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
fn reads_the_project_from_an_error() {
    for (error, expected) in [
        (errors::suspended("AIzaFAKE", PROJECT), Some(PROJECT)),
        (errors::service_disabled(PROJECT), Some(PROJECT)),
        (errors::service_control("42", 150), Some("projects/42")),
        (errors::key_invalid(), None),
        (errors::leaked(), None),
    ] {
        let diagnosis = diagnose_response(error.code(), error.pretty_array().as_bytes());
        assert_eq!(diagnosis.project.as_deref(), expected, "{error:?}");
    }
}

#[test]
fn a_200_with_an_error_is_not_a_success() {
    let with_object = r#"{"object":"","error":{"code":503}}"#;
    for (body, expected) in [
        (r#"{"error":{}}"#, Outcome::UpstreamTrouble),
        (r#"{"error":"slow down"}"#, Outcome::UpstreamTrouble),
        (r#"{"error":{"code":200}}"#, Outcome::UpstreamTrouble),
        (r#"{"error":{"code":8}}"#, Outcome::UpstreamTrouble),
        (r#"{"error":{"code":"429"}}"#, Outcome::QuotaUnspecified),
        (with_object, Outcome::ModelOverloaded),
    ] {
        assert_eq!(outcome(200, body), expected, "{body}");
    }
    for answer in [
        r#"{"choices":[],"error":null}"#,
        r#"{"choices":[{"message":{"content":"{\"error\":{\"code\":429}}"}}]}"#,
        r#"{"error":7}"#,
        "data: {\"choices\":[]}\n\ndata: [DONE]\n\n",
    ] {
        assert_eq!(outcome(200, answer), Outcome::Success, "{answer}");
    }
}

#[test]
fn a_stream_error_is_classified_by_its_own_code() {
    use Outcome::*;
    let in_array = "[{\"error\":{\"code\":429}}\n]\ndata: [DONE]\n\n";
    for (text, status, expected) in [
        ("", 500, UpstreamTrouble),
        ("{\n  \"error\": {\n    \"co", 500, UpstreamTrouble),
        (r#"{"error":{"message":"?"}}"#, 500, UpstreamTrouble),
        (r#"{"error":{"code":200}}"#, 500, UpstreamTrouble),
        (r#"{"error":{"code":503}}"#, 503, ModelOverloaded),
        (in_array, 429, QuotaUnspecified),
        (PAGE, 500, UpstreamTrouble),
    ] {
        let diagnosis = in_stream(text.as_bytes());
        assert_eq!(diagnosis.status, Some(status), "{text}");
        assert_eq!(diagnosis.outcome, expected, "{text}");
    }
}

#[test]
fn transport_errors_do_not_blame_the_key() {
    use TransportError::*;
    for (error, expected) in [
        (Denied, Outcome::PoolFault),
        (TimedOut, Outcome::UpstreamTrouble),
        (NotSent("refused".into()), Outcome::NotSent),
        (Unanswered("reset".into()), Outcome::Unanswered),
        (Failed("reset".into()), Outcome::UpstreamTrouble),
    ] {
        let diagnosis = diagnose(CallResult::NoResponse(&error), &call());
        let expected = Diagnosis::new(expected, None, ApiError::default(), "");
        assert_eq!(diagnosis, expected);
    }
}

/// Random bytes, random text, and errors with random fields.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    let leaked = "Your API key was reported as leaked";
    let words = prop::sample::select(vec!["API key not valid", leaked, "x"]);
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
    fn any_response_has_an_outcome(status in any::<u16>(), body in any_body(), wait in "[ -~]{0,30}") {
        let headers = retry_after(&wait);
        let diagnosis = diagnose(response(status, &headers, &body), &call());
        prop_assert_eq!(diagnosis.status, Some(status));
        prop_assert_eq!(diagnosis.outcome == Outcome::Success, status == 200 && ApiError::find(&body).is_none());
        let in_stream = in_stream(&body);
        prop_assert_ne!(in_stream.outcome.verdict(), Verdict::Works);
    }

    #[test]
    fn non_json_cannot_condemn_a_key(status in prop::sample::select(vec![400u16, 401, 403, 404, 429, 500]), body in any_body()) {
        prop_assume!(serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err());
        let verdict = diagnose_response(status, &body).outcome.verdict();
        prop_assert_eq!(verdict, Verdict::Unknown);
    }

    #[test]
    fn server_errors_never_count_against_a_key(status in 500u16..600, body in any_body()) {
        let outcome = diagnose_response(status, &body).outcome;
        prop_assert!(matches!(outcome, Outcome::UpstreamTrouble | Outcome::ModelOverloaded), "{outcome:?}");
    }
}

const QUOTA_EXCEEDED: &str = r#"{"error":{"code":"quota_exceeded","message":"No more today."}}"#;

#[test]
fn interactions_errors_are_classified_by_their_code() {
    use Outcome::*;
    let interactions_error = |code: &str, message: &str| {
        json!({"error": {"code": code, "message": message}, "event_type": "error"}).to_string()
    };
    let (paid, invalid) = ("payment_required", "invalid_request");
    for (status, code, message, expected) in [
        (429, "rate_limit_exceeded", "Slow down.", QuotaUnspecified),
        (429, "too_many_requests", "Slow down.", QuotaUnspecified),
        (402, paid, "The balance is used up.", BillingExhausted),
        (400, invalid, "API key not valid. Please pass", KeyRejected),
        (400, invalid, "The value 'x' is not supported.", ClientFault),
        (503, "service_unavailable", "Try later.", ModelOverloaded),
    ] {
        let body = interactions_error(code, message);
        assert_eq!(outcome(status, &body), expected, "{code}");
        assert_eq!(in_stream(body.as_bytes()).outcome, expected, "{code}");
    }
    assert_eq!(outcome(429, QUOTA_EXCEEDED), QuotaPerDay);
    let blocked = interactions_error("prohibited_content", "The content is not allowed.");
    assert_eq!(in_stream(blocked.as_bytes()).outcome, ClientFault);
}
