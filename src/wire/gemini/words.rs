//! Normalizes messages for matching: lower-case words, without quoted text.
//!
//! Google rewords its errors, so messages are matched by a few words rather than by sentence. They
//! also quote the request, and a client must not be able to disable a key by naming a field "API
//! key not valid". So quoted text, URLs and paths are dropped, and a rule can require its words to
//! occur near the start.

/// How many characters of a message are considered.
const MAX_CHARS: usize = 1_000;

/// The words of a message, delimited by spaces: ` your project has exceeded its spending cap `.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Words(String);

impl Words {
    pub(super) fn of(message: &str) -> Self {
        let text = without_quotes(&message.chars().take(MAX_CHARS).collect::<String>());
        let mut words = String::from(" ");
        for token in text.split_whitespace() {
            let token = if SIGNATURE.iter().any(|name| token.contains(name)) {
                "thought signature"
            } else if is_identifier(token) {
                continue;
            } else {
                token
            };
            let pieces = token.split(|c: char| !c.is_alphanumeric());
            for piece in pieces.filter(|piece| !piece.is_empty()) {
                words.push_str(&piece.to_ascii_lowercase());
                words.push(' ');
            }
        }
        // The start of a message states its subject, so leading articles are dropped.
        let mut rest = words.trim_start();
        while let Some(after) = ARTICLES
            .iter()
            .find_map(|article| rest.strip_prefix(article))
        {
            rest = after;
        }
        Self(format!(" {rest}"))
    }

    /// Whether `phrases` occur: `a|b + c` requires `a` or `b`, starting within `within` bytes, and
    /// `c`, anywhere.
    ///
    /// Phrases match whole words, except that a trailing `*` matches any word ending.
    pub(super) fn contain(&self, phrases: &str, within: usize) -> bool {
        let at = |phrase: &str| match phrase.strip_suffix('*') {
            Some(beginning) => self.0.find(&format!(" {beginning}")),
            None => self.0.find(&format!(" {phrase} ")),
        };
        let mut within = within;
        phrases.split(" + ").all(|alternatives| {
            let within = std::mem::replace(&mut within, usize::MAX);
            let mut found = alternatives.split('|').filter_map(at);
            found.any(|at| at <= within)
        })
    }
}

/// Words skipped at the start of a message.
const ARTICLES: [&str; 6] = ["the ", "this ", "your ", "a ", "an ", "provided "];

/// The spellings of the one identifier that rules match.
const SIGNATURE: [&str; 2] = ["thought_signature", "thoughtSignature"];

/// Whether a token is a path, an address, or the name of a field, function or model.
fn is_identifier(token: &str) -> bool {
    let inside = token.trim_matches(|c: char| !c.is_alphanumeric());
    inside.contains(['/', '@', '_', '[', ']', '(', '=', '.', ':', '\\'])
        || inside.matches('-').count() > 1
}

/// Returns the text without quoted parts. An unterminated quote extends to the end.
fn without_quotes(text: &str) -> String {
    let mut unquoted = String::with_capacity(text.len());
    let mut closing: Option<char> = None;
    let mut before = ' ';
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match closing {
            Some(quote) => {
                // An apostrophe within a word is not a closing quote.
                let follows_word = characters.peek().is_some_and(|next| next.is_alphanumeric());
                if c == quote && !(c == '\'' && follows_word) {
                    closing = None;
                    unquoted.push(' ');
                }
            }
            None => match c {
                '"' | '`' => closing = Some(c),
                '“' => closing = Some('”'),
                '\'' if !before.is_alphanumeric() => closing = Some(c),
                c => unquoted.push(c),
            },
        }
        before = c;
    }
    unquoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn drops_quotes_urls_and_paths() {
        for (message, words) in [
            ("", " "),
            (
                "Your project's cap.  See https://ai.studio/spend now!",
                " project s cap see now ",
            ),
            (
                "Invalid value at 'contents[0]' (TEXT), \"API key not valid\"",
                " invalid value at text ",
            ),
            (
                "Consumer 'api_key:AIzaFAKE' has been suspended",
                " consumer has been suspended ",
            ),
            ("models/api-key-expired is not found", " is not found "),
            ("doesn't have a free-tier", " doesn t have a free tier "),
            ("The provided API key expired", " api key expired "),
            ("Voice name api-key-expired", " voice name "),
            (
                "and the `thought_signature` of “API key” x",
                " and the of x ",
            ),
            ("a thought_signature.", " thought signature "),
            ("tools[0].api_key: bad get_api_key x.y", " bad "),
            ("(not valid), is-that so?", " not valid is that so "),
            ("never closed: 'API key not valid", " never closed "),
        ] {
            assert_eq!(Words::of(message).0, words, "{message}");
        }
    }

    #[test]
    fn phrases_match_whole_words_near_the_start() {
        let words = Words::of("Your prepaid credits are depleted");
        assert!(words.contain("prepaid + deplet*", 100));
        assert!(words.contain("prepaid + exhausted|deplet*", 100));
        assert!(words.contain("depleted|prepaid credits + depleted", 5));
        assert!(!words.contain("depleted + prepaid", 5));
        assert!(!words.contain("deplet", 100));
        assert!(!words.contain("pleted", 100));
        assert!(!words.contain("prepaid + exhausted", 100));
        assert!(!words.contain("", 100));
    }

    proptest! {
        #[test]
        fn quoted_text_never_matches(text in "[a-z ]{0,30}", quote in prop::sample::select(vec!['"', '`'])) {
            let words = Words::of(&format!("value: {quote}{text} zebra{quote}"));
            prop_assert!(!words.contain("zebra", 1000));
        }
    }
}
