//! What may be kept of a message about a request: only what Google says to everybody.
//!
//! Its messages quote the request: a field's name, a value, a model, any of which may be a piece of a prompt
//! (`Invalid value at 'messages[0].content' (TYPE_STRING), "…"`). Cutting the quotes out of all the wordings there are
//! cannot be made sure, so nothing of the message is kept but which of the known sentences it is.

/// Beginnings of messages as recorded from the API, and what each says.
const SENTENCES: [(&str, &str); 18] = [
    (
        "Invalid JSON payload received",
        "Invalid JSON payload received",
    ),
    ("Invalid value at ", "Invalid value in a field"),
    (
        "Request contains an invalid argument",
        "Request contains an invalid argument",
    ),
    (
        "The input token count",
        "The input token count exceeds the maximum",
    ),
    (
        "Request payload size exceeds the limit",
        "Request payload size exceeds the limit",
    ),
    (
        "Function call is missing a thought_signature",
        "Function call is missing a thought_signature",
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
        "The caller does not have permission",
        "The caller does not have permission",
    ),
    (
        "An internal error has occurred",
        "An internal error has occurred",
    ),
    ("Internal error encountered", "Internal error encountered"),
    ("The model is overloaded", "The model is overloaded"),
    (
        "This model is currently experiencing high demand",
        "This model is currently experiencing high demand",
    ),
    (
        "The service is currently unavailable",
        "The service is currently unavailable",
    ),
    ("Deadline expired", "Deadline expired"),
    ("The operation was cancelled", "The operation was cancelled"),
];

/// What a message of Google's says, if it is one that is known.
pub fn known_sentence(message: &str) -> Option<&'static str> {
    SENTENCES
        .iter()
        .find(|(beginning, _)| message.starts_with(beginning))
        .map(|(_, says)| *says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_message_is_told_by_its_beginning_and_never_quoted() {
        for (message, says) in [
            (
                "Invalid value at 'messages[0].content' (TYPE_STRING), \"my secret prompt\"",
                Some("Invalid value in a field"),
            ),
            (
                "Invalid JSON payload received. Unknown name \"my secret prompt\": Cannot find field.",
                Some("Invalid JSON payload received"),
            ),
            (
                "models/my-secret-prompt is not found for API version v1main",
                Some(
                    "The model is not found for this API version, or does not support this method",
                ),
            ),
            ("Unsupported value: my secret prompt", None),
            ("my secret prompt: Deadline expired", None),
            ("", None),
        ] {
            assert_eq!(known_sentence(message), says, "{message}");
        }
    }
}
