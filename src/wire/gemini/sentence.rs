//! Reduces an error message to what may be logged.
//!
//! Messages about a request quote it: a field name, a value or a model, each of which may be part
//! of a prompt (`Invalid value at 'messages[0].content' (TYPE_STRING), "…"`). Quotes cannot be
//! removed reliably from every wording. So a message is logged in full only if it starts like one
//! about a key, a quota or a location, which quote no request; other known messages are replaced by
//! a fixed sentence, and all others by a placeholder.

use super::violation;

/// Prefixes of messages recorded from the API that quote no request.
const LOGGED_IN_FULL: [&str; 19] = [
    "API key not valid",
    "API key expired",
    "API Key not found",
    "API key not found",
    "Generative Language API has not been used in project ",
    "Method doesn't allow unregistered callers",
    "Missing or invalid Authorization header",
    "Multiple authentication credentials received",
    "Permission denied: Consumer ",
    "Quota exceeded for quota metric ",
    "Request had invalid authentication credentials",
    "Requests to this API ",
    "Resource exhausted. Please try again later",
    "Resource has been exhausted",
    "User location is not supported",
    "You exceeded your current quota",
    "Your API key was reported as leaked",
    "Your prepayment credits are depleted",
    "Your project has been denied access",
];

/// Prefixes of messages recorded from the API that are logged instead of the whole message.
const LOGGED_PREFIXES: [&str; 12] = [
    "Invalid JSON payload received",
    "Request contains an invalid argument",
    "Request payload size exceeds the limit",
    "Function call is missing a thought_signature",
    "The caller does not have permission",
    "An internal error has occurred",
    "Internal error encountered",
    "The model is overloaded",
    "This model is currently experiencing high demand",
    "The service is currently unavailable",
    "Deadline expired",
    "The operation was cancelled",
];

/// Prefixes of messages recorded from the API, each with its replacement.
const REPLACEMENTS: [(&str, &str); 8] = [
    ("Invalid value at ", "Invalid value in a field"),
    (
        "The input token count",
        "The input token count exceeds the maximum",
    ),
    (
        "Function calling with a response mime type",
        "Function calling with a response mime type is unsupported",
    ),
    (
        "* GenerateContentRequest.",
        "A field of GenerateContentRequest is missing or wrong",
    ),
    (
        "models/",
        "The model is not found for this API version, or does not support this method",
    ),
    (
        "This model models/",
        "The model is no longer available to this project",
    ),
    (
        "Requests from referer ",
        "Requests from this referer are blocked",
    ),
    (
        "The provided API key has an IP address restriction",
        "The provided API key has an IP address restriction",
    ),
];

/// Logged in place of any other message.
const WITHHELD: &str = "a message withheld because it may quote the request";

/// Returns the loggable form of a message. `description` is the one from its row in the error
/// table, which may be empty.
pub fn loggable<'a>(message: &'a str, description: &'a str) -> &'a str {
    let begins = |prefix: &&str| message.starts_with(prefix);
    if LOGGED_IN_FULL.iter().any(begins) {
        return message;
    }
    if violation::has_no_free_tier(message) {
        return "The model does not have a free quota tier";
    }
    let replacement = REPLACEMENTS.iter().find(|(prefix, _)| begins(prefix));
    replacement
        .map(|(_, replacement)| *replacement)
        .or_else(|| LOGGED_PREFIXES.iter().copied().find(begins))
        .or((!description.is_empty()).then_some(description))
        .unwrap_or(WITHHELD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_may_quote_the_request_are_not_logged() {
        let quota = "You exceeded your current quota, please check your plan and billing details.";
        assert_eq!(loggable(quota, ""), quota);
        for (message, expected) in [
            (
                "Invalid value at 'messages[0].content' (TYPE_STRING), \"my secret prompt\"",
                "Invalid value in a field",
            ),
            (
                "Invalid JSON payload received. Unknown name \"my secret prompt\": Cannot find field.",
                "Invalid JSON payload received",
            ),
            (
                "models/my-secret-prompt is not found for API version v1main",
                "The model is not found for this API version, or does not support this method",
            ),
            (
                "Gemini 2.5 Pro Preview doesn't have a free quota tier. Please use my secret prompt",
                "The model does not have a free quota tier",
            ),
            (
                "Requests from referer my secret prompt are blocked.",
                "Requests from this referer are blocked",
            ),
        ] {
            assert_eq!(loggable(message, ""), expected, "{message}");
        }
        for message in [
            "'my secret prompt' doesn't have a free quota tier",
            "Unsupported value: my secret prompt",
            "my secret prompt: You exceeded your current quota",
            "",
        ] {
            assert_eq!(loggable(message, ""), WITHHELD, "{message}");
            assert_eq!(loggable(message, "a description"), "a description");
        }
    }
}
