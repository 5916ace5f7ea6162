//! Validates the names that the pool stores: models, methods and collections.
//!
//! A name ends up in the log, the hourly totals and cool-downs, so its length and alphabet are
//! checked first.

use crate::pool::pattern::ANY;

/// The rule for model names, as shown to a client that breaks it.
pub const MODEL_RULE: &str = "`model` must be 1 to 128 characters long, each a letter, a digit or one of `.`, `_`, `:`, `/`, `@`, `-`";
/// Stands for a collection or method whose name is not stored.
pub const OTHER: &str = "other";

/// The maximum length of a model name.
const MAX_MODEL_LENGTH: usize = 128;
/// The maximum length of a collection or method name.
const MAX_WORD_LENGTH: usize = 40;

/// Whether this is a valid model name; see [`MODEL_RULE`].
pub fn is_model(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@-".contains(&byte);
    (1..=MAX_MODEL_LENGTH).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// Whether this is a model name in which each `*` stands for any characters.
pub fn is_model_pattern(pattern: &str) -> bool {
    // As a letter, the `*` counts towards the length.
    is_model(&pattern.replace(ANY, "x"))
}

/// Returns the name of a collection or method if it is a plain word, and [`OTHER`] if not.
pub fn word(name: &str) -> &str {
    let is_plain = (1..=MAX_WORD_LENGTH).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if is_plain { name } else { OTHER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_names_are_short_and_of_a_fixed_alphabet() {
        for name in [
            "m",
            "gemini-2.5-flash",
            "models/gemini-2.5-flash",
            "tunedModels/t_1",
            "google/gemini@001:free",
            &"m".repeat(128),
        ] {
            assert!(is_model(name), "{name}");
        }
        for name in [
            "",
            " m",
            "two words",
            "a%2fb",
            "a\nb",
            "a\\b",
            "gémini",
            "a\u{202e}b",
            "a\u{0}b",
            "m;x",
            &"m".repeat(129),
        ] {
            assert!(!is_model(name), "{name:?}");
        }
    }

    #[test]
    fn anything_but_a_plain_word_is_other() {
        for (name, expected) in [
            ("fileSearchStores", "fileSearchStores"),
            ("auth_tokens", "auth_tokens"),
            ("", OTHER),
            ("fake-client-token-0001", OTHER),
            ("files;x", OTHER),
            ("%66iles", OTHER),
            ("dateien2", OTHER),
            (&"x".repeat(41), OTHER),
        ] {
            assert_eq!(word(name), expected, "{name}");
        }
    }
}
