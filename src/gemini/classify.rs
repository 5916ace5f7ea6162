//! From an upstream's error to the fault behind it.
//!
//! Google says "your key is dead" with 400, 401 and 403, "this model is not for you" with 403, 404 and 429, and uses one
//! code for several faults, so the status alone never decides. Read top down, the first row that fits:
//!
//! | status | and | outcome |
//! |---|---|---|
//! | 403, 429 | an HTML page (Google's automated-queries page, or somebody on the way) | egress refused |
//! | 400, 401 | an HTML page | upstream trouble |
//! | 400 | reason `API_KEY_INVALID`, or a message that begins with "API key not valid / expired / not found" | key rejected |
//! | 400 | a message that begins with "Multiple authentication credentials" | pool fault |
//! | 400 | a message that begins with "User location is not supported" | egress refused |
//! | 401 | anything | key rejected |
//! | 403 | reason `CONSUMER_SUSPENDED`, `SERVICE_DISABLED` or `API_KEY_…_BLOCKED`, or a message that begins as [`DEAD_KEY`] says | key rejected |
//! | 403 | anything else | resource refused |
//! | 404 | "This model models/… is no longer available" | resource refused |
//! | 408, 499 | anything | upstream trouble |
//! | 429 | anything | quota exceeded |
//! | other 4xx | anything | client fault |
//! | everything else | anything | upstream trouble |
//!
//! Messages are looked at from their beginning alone: further on they quote the request, and a client that names a field
//! "API key not valid" must not disable a key with it.
//!
//! Sources: error bodies recorded from the API, <https://ai.google.dev/gemini-api/docs/troubleshooting>, and
//! <https://cloud.google.com/apis/design/errors>.

use super::ApiError;
use crate::pool::Outcome;

/// How messages of a 403 begin that tell of a dead key, with a piece that must follow.
const DEAD_KEY: [(&str, &str); 6] = [
    ("Your API key was reported as leaked", ""),
    ("Permission denied: Consumer ", "has been suspended"),
    ("Your project has been denied access", ""),
    ("Requests to this API ", "are blocked"),
    ("Method doesn't allow unregistered callers", ""),
    ("Generative Language API has not been used in project ", ""),
];

/// The outcome behind a response whose status is not 200. Total: every status and body has an answer.
pub fn classify(status: u16, error: &ApiError) -> Outcome {
    let message = error.message.as_deref().unwrap_or_default();
    let begins = |texts: &[&str]| texts.iter().any(|text| message.starts_with(text));
    let reason = error.reason.as_deref().unwrap_or_default();
    match status {
        403 | 429 if error.is_html => Outcome::EgressRefused,
        400 | 401 if error.is_html => Outcome::UpstreamTrouble,
        400 if reason == "API_KEY_INVALID"
            || begins(&[
                "API key not valid",
                "API key expired",
                "API Key not found",
                "API key not found",
            ]) =>
        {
            Outcome::KeyRejected
        }
        400 if begins(&["Multiple authentication credentials"]) => Outcome::PoolFault,
        400 if begins(&["User location is not supported"]) => Outcome::EgressRefused,
        401 => Outcome::KeyRejected,
        403 if is_dead_consumer(reason)
            || DEAD_KEY
                .iter()
                .any(|(begins, holds)| message.starts_with(begins) && message.contains(holds)) =>
        {
            Outcome::KeyRejected
        }
        403 => Outcome::ResourceRefused,
        404 if begins(&["This model models/"]) && message.contains("no longer available") => {
            Outcome::ResourceRefused
        }
        408 | 499 => Outcome::UpstreamTrouble,
        429 => Outcome::QuotaExceeded,
        400..=498 => Outcome::ClientFault,
        _ => Outcome::UpstreamTrouble,
    }
}

fn is_dead_consumer(reason: &str) -> bool {
    matches!(reason, "CONSUMER_SUSPENDED" | "SERVICE_DISABLED")
        || (reason.starts_with("API_KEY_") && reason.ends_with("_BLOCKED"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(status: &str, message: &str, reason: &str) -> ApiError {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ApiError {
            code: None,
            status: some(status),
            message: some(message),
            reason: some(reason),
            is_html: false,
        }
    }

    #[test]
    fn every_row_of_the_table() {
        use Outcome::*;
        for (code, status, message, reason, expected) in [
            (
                400,
                "INVALID_ARGUMENT",
                "API key not valid. Please pass a valid API key.",
                "API_KEY_INVALID",
                KeyRejected,
            ),
            (
                400,
                "INVALID_ARGUMENT",
                "API key expired. Please renew the API key.",
                "",
                KeyRejected,
            ),
            (
                400,
                "INVALID_ARGUMENT",
                "API Key not found. Please pass a valid API key.",
                "",
                KeyRejected,
            ),
            (
                400,
                "INVALID_ARGUMENT",
                "Multiple authentication credentials received. Please pass only one.",
                "",
                PoolFault,
            ),
            (
                400,
                "FAILED_PRECONDITION",
                "User location is not supported for the API use.",
                "",
                EgressRefused,
            ),
            (
                400,
                "INVALID_ARGUMENT",
                "Request contains an invalid argument.",
                "",
                ClientFault,
            ),
            (
                400,
                "INVALID_ARGUMENT",
                "The input token count exceeds the maximum number of tokens allowed 1048576.",
                "",
                ClientFault,
            ),
            (
                400,
                "INVALID_ARGUMENT",
                "Function call is missing a thought_signature in functionCall parts.",
                "",
                ClientFault,
            ),
            (400, "", "", "", ClientFault),
            (
                401,
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials.",
                "ACCESS_TOKEN_TYPE_UNSUPPORTED",
                KeyRejected,
            ),
            (401, "", "", "", KeyRejected),
            (
                403,
                "PERMISSION_DENIED",
                "Your API key was reported as leaked. Please use another API key.",
                "",
                KeyRejected,
            ),
            (
                403,
                "PERMISSION_DENIED",
                "Permission denied: Consumer 'api_key:…' has been suspended.",
                "CONSUMER_SUSPENDED",
                KeyRejected,
            ),
            (
                403,
                "PERMISSION_DENIED",
                "Requests to this API generativelanguage.googleapis.com method x are blocked.",
                "API_KEY_SERVICE_BLOCKED",
                KeyRejected,
            ),
            (
                403,
                "PERMISSION_DENIED",
                "The provided API key has an IP address restriction.",
                "API_KEY_IP_ADDRESS_BLOCKED",
                KeyRejected,
            ),
            (
                403,
                "PERMISSION_DENIED",
                "Generative Language API has not been used in project 1 before or it is disabled.",
                "SERVICE_DISABLED",
                KeyRejected,
            ),
            (
                403,
                "PERMISSION_DENIED",
                "Your project has been denied access. Please contact support.",
                "",
                KeyRejected,
            ),
            (
                403,
                "PERMISSION_DENIED",
                "Method doesn't allow unregistered callers (callers without established identity).",
                "",
                KeyRejected,
            ),
            (
                403,
                "PERMISSION_DENIED",
                "The caller does not have permission",
                "",
                ResourceRefused,
            ),
            (403, "", "", "", ResourceRefused),
            (
                404,
                "NOT_FOUND",
                "models/x is not found for API version v1main, or is not supported for generateContent.",
                "",
                ClientFault,
            ),
            (
                404,
                "NOT_FOUND",
                "This model models/gemini-2.5-flash is no longer available to new users.",
                "",
                ResourceRefused,
            ),
            (404, "", "", "", ClientFault),
            (408, "", "", "", UpstreamTrouble),
            (413, "", "", "", ClientFault),
            (
                429,
                "RESOURCE_EXHAUSTED",
                "You exceeded your current quota, please check your plan and billing details.",
                "",
                QuotaExceeded,
            ),
            (
                429,
                "RESOURCE_EXHAUSTED",
                "Your prepayment credits are depleted.",
                "",
                QuotaExceeded,
            ),
            (429, "", "", "", QuotaExceeded),
            (
                499,
                "CANCELLED",
                "The operation was cancelled.",
                "",
                UpstreamTrouble,
            ),
            (
                500,
                "INTERNAL",
                "An internal error has occurred.",
                "",
                UpstreamTrouble,
            ),
            (502, "", "", "", UpstreamTrouble),
            (
                503,
                "UNAVAILABLE",
                "The model is overloaded. Please try again later.",
                "",
                UpstreamTrouble,
            ),
            (
                504,
                "DEADLINE_EXCEEDED",
                "Deadline expired before operation could complete.",
                "",
                UpstreamTrouble,
            ),
            (302, "", "", "", UpstreamTrouble),
        ] {
            assert_eq!(
                classify(code, &error(status, message, reason)),
                expected,
                "{code} {status} {message} {reason}"
            );
        }
    }

    #[test]
    fn what_a_request_says_never_rejects_a_key() {
        for text in [
            "API key not valid",
            "API key expired",
            "reported as leaked",
            "has been suspended",
            "are blocked",
            "unregistered callers",
            "it is disabled",
            "User location is not supported",
        ] {
            let unknown = format!(
                "Invalid JSON payload received. Unknown name \"{text}\": Cannot find field."
            );
            let outcome = classify(400, &error("INVALID_ARGUMENT", &unknown, ""));
            assert_eq!(outcome, Outcome::ClientFault, "{unknown}");
            let refused = format!("You do not have permission to access the file {text}");
            let outcome = classify(403, &error("PERMISSION_DENIED", &refused, ""));
            assert_eq!(outcome, Outcome::ResourceRefused, "{refused}");
            let model = format!("models/{text} no longer available is not found");
            let outcome = classify(404, &error("NOT_FOUND", &model, ""));
            assert_eq!(outcome, Outcome::ClientFault, "{model}");
        }
    }

    #[test]
    fn a_page_is_never_the_keys_fault() {
        let page = ApiError::parse(b"<html>log in here</html>");
        for (status, expected) in [
            (400, Outcome::UpstreamTrouble),
            (401, Outcome::UpstreamTrouble),
            (403, Outcome::EgressRefused),
            (404, Outcome::ClientFault),
            (429, Outcome::EgressRefused),
            (502, Outcome::UpstreamTrouble),
        ] {
            assert_eq!(classify(status, &page), expected, "{status}");
        }
    }

    proptest! {
        #[test]
        fn server_trouble_never_counts_against_a_key(code in 500u16..600, message in ".*", reason in ".*") {
            let outcome = classify(code, &error("X", &message, &reason));
            prop_assert_eq!(outcome, Outcome::UpstreamTrouble);
        }

        #[test]
        fn every_status_has_an_outcome_other_than_success(code in 0u16..1000, body in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_ne!(classify(code, &ApiError::parse(&body)), Outcome::Success);
        }
    }
}
