//! Takes secrets out of texts that leave the pool: log rows, log lines, error messages.
//!
//! By value first (the key in use, the client's token), whatever their format; then by the shapes that Google's keys
//! have, since its errors may echo a key of which the pool knows nothing
//! (`Permission denied: Consumer 'api_key:AIza…' has been suspended.`).

/// A secret no longer than this shows nothing at all: four characters of it would be too much of it.
const SHORT_SECRET: usize = 12;
/// A piece of a longer secret that has so many characters is taken for the secret: messages cut keys short.
const PIECE: usize = 8;
/// `AIza` and what may follow in a standard key: 35 characters, and some of them where it was cut.
const STANDARD_KEY: (&str, usize) = ("AIza", 16);
/// `AQ.` and at least this many characters in an authorization key.
const AUTHORIZATION_KEY: (&str, usize) = ("AQ.", 16);

/// `…` and the secret's last four characters; only `…` for a short secret.
pub fn mask(secret: &str) -> String {
    let length = secret.chars().count();
    if length <= SHORT_SECRET {
        return "…".to_owned();
    }
    format!("…{}", secret.chars().skip(length - 4).collect::<String>())
}

/// `text` with every one of `secrets`, and everything that looks like a Google API key, masked, also in part.
pub fn redact(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        if text.contains(secret) {
            text = text.replace(secret, &mask(secret));
        }
        if secret.chars().count() > SHORT_SECRET {
            text = mask_pieces(&text, secret);
        }
    }
    let text = mask_shape(&text, STANDARD_KEY, |c| {
        c.is_ascii_alphanumeric() || c == '_' || c == '-'
    });
    mask_shape(&text, AUTHORIZATION_KEY, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
    })
}

/// Masks every run of [`PIECE`] or more characters that `text` and `secret` share.
fn mask_pieces(text: &str, secret: &str) -> String {
    let text: Vec<char> = text.chars().collect();
    let secret: Vec<char> = secret.chars().collect();
    let mut masked = String::with_capacity(text.len());
    let mut rest = text.as_slice();
    while let Some((first, after)) = rest.split_first() {
        let shared = longest_shared_start(rest, &secret);
        if shared >= PIECE {
            masked.push('…');
            rest = rest.get(shared..).unwrap_or_default();
        } else {
            masked.push(*first);
            rest = after;
        }
    }
    masked
}

/// How many characters at the start of `text` stand together somewhere in `secret`.
fn longest_shared_start(text: &[char], secret: &[char]) -> usize {
    let shared_from = |from: usize| {
        let secret = secret.get(from..).unwrap_or_default();
        secret.iter().zip(text).take_while(|(a, b)| a == b).count()
    };
    (0..secret.len()).map(shared_from).max().unwrap_or_default()
}

fn mask_shape(
    text: &str,
    (prefix, at_least): (&str, usize),
    belongs: impl Fn(char) -> bool,
) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(prefix) {
        let (before, candidate) = rest.split_at(start);
        let (_, tail) = candidate.split_at(prefix.len());
        let length: usize = tail
            .chars()
            .take_while(|c| belongs(*c))
            .map(char::len_utf8)
            .sum();
        let (secret, after) = candidate.split_at(prefix.len() + length);
        masked.push_str(before);
        if length >= at_least {
            // Of a key that nobody here knows, who could say whether its end is its end.
            masked.push('…');
        } else {
            masked.push_str(secret);
        }
        rest = after;
    }
    masked.push_str(rest);
    masked
}

/// `text` cut to `max` characters, with `…` in place of what was cut.
pub fn truncate(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => {
            let (kept, _) = text.split_at(end);
            format!("{kept}…")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STANDARD: &str = "AIzaSyFAKE0123456789abcdefghijklmnoWXYZ";
    const AUTHORIZATION: &str = "AQ.Fake8BRn-fake_fake.fakefakefakeWXYZ";

    #[test]
    fn a_mask_shows_four_characters_of_a_long_secret_and_none_of_a_short_one() {
        assert_eq!(mask(STANDARD), "…WXYZ");
        assert_eq!(mask("exactly-12ch"), "…");
        assert_eq!(mask("now-13-chars!"), "…ars!");
        assert_eq!(mask(""), "…");
    }

    #[test]
    fn keys_are_masked_by_value_and_by_shape() {
        for (rule, text, secrets, expected) in [
            (
                "standard key by shape",
                format!("Consumer 'api_key:{STANDARD}' has"),
                vec![],
                "Consumer 'api_key:…' has",
            ),
            (
                "authorization key by shape",
                format!("key={AUTHORIZATION}&x"),
                vec![],
                "key=…&x",
            ),
            (
                "any secret by value",
                "token my-very-own-token here".into(),
                vec!["my-very-own-token"],
                "token …oken here",
            ),
            ("twice", format!("{STANDARD} {STANDARD}"), vec![], "… …"),
            (
                "a longer key than today's",
                format!("{STANDARD}99"),
                vec![],
                "…",
            ),
            (
                "a key of the shape that was cut short",
                format!("key {}…", &STANDARD[..25]),
                vec![],
                "key ……",
            ),
            (
                "a piece of any secret",
                "it begins with my-very-o, as yours".into(),
                vec!["my-very-own-token"],
                "it begins with …, as yours",
            ),
            (
                "seven characters are no piece",
                "it begins with my-very".into(),
                vec!["my-very-own-token"],
                "it begins with my-very",
            ),
            (
                "talk about keys stays",
                "keys start with AIza or AQ. today".into(),
                vec![],
                "keys start with AIza or AQ. today",
            ),
            (
                "an empty secret hides nothing",
                "text".into(),
                vec![""],
                "text",
            ),
        ] {
            assert_eq!(redact(&text, &secrets), expected, "{rule}");
        }
    }

    #[test]
    fn truncation_respects_characters() {
        assert_eq!(truncate("äöü", 3), "äöü");
        assert_eq!(truncate("äöü", 2), "äö…");
    }

    proptest! {
        #[test]
        fn no_secret_survives(before in ".*", after in "[^0-9A-Za-z_.-].*", secret in "[!-~]{13,60}") {
            let text = format!("{before}{secret}{after}");
            let redacted = redact(&text, &[&secret]);
            prop_assert!(!redacted.contains(&secret));
            let pieces = secret.as_bytes().windows(PIECE).map(|piece| std::str::from_utf8(piece).unwrap());
            // Masking may put characters side by side that were apart, but never so many of the secret.
            for piece in pieces {
                prop_assert!(!redacted.contains(piece), "{} in {}", piece, redacted);
            }
        }

        #[test]
        fn any_text_is_accepted(text in ".*", secret in ".{0,20}", max in 0usize..50) {
            let _ = truncate(&redact(&text, &[&secret]), max);
        }
    }
}
