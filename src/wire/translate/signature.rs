//! Thought signatures in the fields of other APIs: the `signature` of Anthropic's thinking and the
//! `encrypted_content` of OpenAI's reasoning.
//!
//! A conversation may have begun with another provider, whose signatures Gemini would refuse, so
//! the pool marks those of Gemini. The mark is valid base64 of whole bytes, so a client that decodes
//! the field still can.

use std::borrow::Cow;

/// Precedes Gemini's signature.
const MARK: &str = "gemini//";

/// The signature for the client.
pub(crate) fn to_client(signature: &str) -> String {
    format!("{MARK}{signature}")
}

/// Gemini's signature; `None` if it is another provider's, or empty.
pub(crate) fn from_client(field: &str) -> Option<&str> {
    field
        .strip_prefix(MARK)
        .filter(|signature| !signature.is_empty())
}

/// The same for a field of a request, which is borrowed if possible.
pub(crate) fn in_field(field: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match field {
        Cow::Borrowed(field) => from_client(field).map(Cow::Borrowed),
        Cow::Owned(field) => from_client(&field).map(|signature| Cow::Owned(signature.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_signatures_of_gemini_return() {
        assert_eq!(from_client(&to_client("AVSo==")), Some("AVSo=="));
        for foreign in ["", "gemini//", "EqoBCkYIBRgC", "gemini/AVSo"] {
            assert_eq!(from_client(foreign), None, "{foreign}");
        }
    }
}
