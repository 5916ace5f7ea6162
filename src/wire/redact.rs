//! Takes secrets out of texts that leave the pool: log rows, log lines, error messages.
//!
//! By value first (the key in use, the client's token), whatever their format; then by the shapes that Google's keys
//! have, since its errors may echo a key of which the pool knows nothing
//! (`Permission denied: Consumer 'api_key:AIza…' has been suspended.`).

use crate::pool::{MASK, SHORT_SECRET, mask};
use memchr::memchr2;
use serde::de::IgnoredAny;

/// A text shorter than this is no secret: it would be found everywhere.
const SHORTEST_SECRET: usize = 8;
/// A piece of a longer secret that has so many characters is taken for the secret: messages cut keys short.
const PIECE: usize = 8;
/// `AIza` and what may follow in a standard key: 35 characters, and some of them where it was cut.
const STANDARD_KEY: (&str, usize) = ("AIza", 16);
/// `AQ.` and at least this many characters in an authorization key.
const AUTHORIZATION_KEY: (&str, usize) = ("AQ.", 16);

/// `text` with every one of `secrets`, and everything that looks like a Google API key, masked, also in part. Takes time in
/// proportion to the text, since an upstream's error may be megabytes long.
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
    let text = mask_shape(&text, STANDARD_KEY, is_of_standard_key);
    mask_shape(&text, AUTHORIZATION_KEY, is_of_authorization_key)
}

/// The same for a JSON text: its strings are redacted as what they say, however they are escaped, and it stays JSON with
/// the same names. A name is masked only where it looks like a key or holds a long secret: a short one may be the name of a
/// field.
pub fn redact_json(json: &str, secrets: &[&str]) -> String {
    if serde_json::from_str::<IgnoredAny>(json).is_err() {
        return redact(json, secrets);
    }
    let long: Vec<&str> = secrets
        .iter()
        .copied()
        .filter(|secret| secret.chars().count() > SHORT_SECRET)
        .collect();
    let mut redacted = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(start) = rest.find('"') {
        let (before, from_quote) = rest.split_at(start);
        let (raw, after) = from_quote.split_at(string_length(from_quote));
        let is_name = after.trim_start().starts_with(':');
        redacted.push_str(before);
        match serde_json::from_str::<String>(raw) {
            Ok(name) if is_name && !reveals(&name, long.iter().copied()) => redacted.push_str(raw),
            Ok(text) => {
                let masked = redact(&text, secrets);
                if masked == text {
                    redacted.push_str(raw);
                } else {
                    redacted.push_str(&serde_json::Value::from(masked).to_string());
                }
            }
            // Half of a surrogate pair: JSON, but no text.
            Err(_) => redacted.push_str(&redact(raw, secrets)),
        }
        rest = after;
    }
    redacted.push_str(rest);
    redacted
}

/// Bytes of the JSON string at the start of `json`, with its quotes.
fn string_length(json: &str) -> usize {
    let bytes = json.as_bytes();
    let mut at = 1;
    while let Some(found) = memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += found;
        if bytes.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

/// Whether `text` has one of `secrets` in it, or anything that looks like a Google API key.
pub fn reveals<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> bool {
    let is_there = |secret: &str| {
        (SHORTEST_SECRET..=text.len()).contains(&secret.len()) && text.contains(secret)
    };
    secrets.into_iter().any(is_there)
        || has_shape(text, STANDARD_KEY, is_of_standard_key)
        || has_shape(text, AUTHORIZATION_KEY, is_of_authorization_key)
}

fn has_shape(
    text: &str,
    (prefix, at_least): (&str, usize),
    belongs: impl Fn(char) -> bool,
) -> bool {
    text.match_indices(prefix).any(|(at, _)| {
        let tail = text.get(at + prefix.len()..).unwrap_or_default();
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        // `AQ.` within a word is the end of one.
        (prefix == STANDARD_KEY.0 || !before.is_some_and(char::is_alphanumeric))
            && tail
                .chars()
                .take_while(|c| belongs(*c))
                .take(at_least)
                .count()
                == at_least
    })
}

fn is_of_standard_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_of_authorization_key(c: char) -> bool {
    is_of_standard_key(c) || c == '.'
}

/// Masks every run of text that is covered by pieces of `secret`, each of [`PIECE`] ASCII characters.
fn mask_pieces(text: &str, secret: &str) -> String {
    let pieces = Pieces::of(secret);
    let mut masked = String::with_capacity(text.len());
    let mut window = 0u64;
    // Up to where the text is in `masked`, or stands for the mask at its end.
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        window = window << 8 | u64::from(byte);
        let end = at + 1;
        if end < PIECE || !pieces.have(window) {
            continue;
        }
        let start = end - PIECE;
        if start >= done && (start > done || !masked.ends_with(MASK)) {
            masked.push_str(text.get(done..start).unwrap_or_default());
            masked.push_str(MASK);
        }
        done = end;
    }
    masked.push_str(text.get(done..).unwrap_or_default());
    masked
}

/// All pieces of a secret.
struct Pieces {
    /// As numbers, sorted.
    pieces: Vec<u64>,
    /// The last two bytes of each, as a set of bits: most texts have few of them, and are looked at no further.
    ends: Vec<u64>,
}

impl Pieces {
    fn of(secret: &str) -> Self {
        let mut pieces: Vec<u64> = secret
            .as_bytes()
            .windows(PIECE)
            .filter(|piece| piece.is_ascii())
            .map(|piece| {
                piece
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
            })
            .collect();
        pieces.sort_unstable();
        let mut ends = vec![0u64; 1024];
        for piece in &pieces {
            let (word, bit) = Self::place(*piece);
            if let Some(word) = ends.get_mut(word) {
                *word |= bit;
            }
        }
        Self { pieces, ends }
    }

    fn have(&self, window: u64) -> bool {
        let (word, bit) = Self::place(window);
        self.ends.get(word).is_some_and(|word| word & bit != 0)
            && self.pieces.binary_search(&window).is_ok()
    }

    fn place(piece: u64) -> (usize, u64) {
        let end = piece & 0xffff;
        (
            usize::try_from(end >> 6).unwrap_or_default(),
            1 << (end & 63),
        )
    }
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
            masked.push_str(MASK);
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

    #[test]
    fn megabytes_of_what_resembles_a_secret_are_redacted_piece_by_piece() {
        let secret = "abcdefgh-ijklmnop-qrstuvwx";
        let text = format!(
            "{}{secret}{}",
            "abcdefg".repeat(500_000),
            "qrstuvw".repeat(500_000)
        );
        let redacted = redact(&text, &[secret]);
        assert!(!redacted.contains(secret));
        assert!(redacted.len() < text.len() && redacted.ends_with("qrstuvw"));
        let whole = redact(&secret.repeat(100_000), &[&secret.repeat(2)]);
        assert!(whole.chars().count() < 500_000, "{}", whole.len());
    }

    #[test]
    fn json_stays_json_with_the_same_names() {
        for (rule, json, secrets, expected) in [
            (
                "a short token that is a field's name",
                r#"{"messages":"messages, all"}"#.to_owned(),
                vec!["messages"],
                r#"{"messages":"…, all"}"#,
            ),
            (
                "a part of a long token that is a field's name",
                r#"{"messages":"messages, all"}"#.to_owned(),
                vec!["token-of-messages"],
                r#"{"messages":"…, all"}"#,
            ),
            (
                "a token that looks like JSON",
                r#"{"error":{"code":400},"x":"{\"error\":"}"#.to_owned(),
                vec![r#"{"error":"#],
                r#"{"error":{"code":400},"x":"…"}"#,
            ),
            (
                "escapes",
                r#"{ "a" : "key my\u002dvery\/own-token." }"#.to_owned(),
                vec!["my-very/own-token"],
                r#"{ "a" : "key …oken." }"#,
            ),
            (
                "a key as a name, and numbers as they are",
                format!(r#"[{{"{STANDARD}":1.0e+2}},"\n"]"#),
                vec![],
                r#"[{"…":1.0e+2},"\n"]"#,
            ),
            (
                "no JSON",
                format!(r#"{{"a": {STANDARD}"#),
                vec![],
                r#"{"a": …"#,
            ),
            (
                "half a pair",
                format!(r#"["\ud800 {STANDARD}"]"#),
                vec![],
                r#"["\ud800 …"]"#,
            ),
        ] {
            assert_eq!(redact_json(&json, &secrets), expected, "{rule}");
        }
    }

    #[test]
    fn a_text_reveals_a_secret_by_value_or_by_shape() {
        for (text, secrets, expected) in [
            ("gemini-2.5-flash", vec!["my-token"], false),
            ("x/my-token:verb", vec!["my-token"], true),
            ("gemini", vec!["gem"], false),
            ("models/AIzaSyFAKE0123456789abcdef", vec![], true),
            ("AIzaFAKE-1", vec![], false),
            ("AIzaFAKE-1", vec!["AIzaFAKE-1"], true),
            ("AQ.Fake8BRn-fake_fake.fake", vec![], true),
            ("key=AQ.Fake8BRn-fake_fake.fake", vec![], true),
            ("FAQ.Fake8BRn-fake_fake.fake", vec![], false),
            ("AQ.short", vec![], false),
        ] {
            assert_eq!(reveals(text, secrets), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn redacted_json_is_json_of_the_same_shape(text in ".{0,20}", secret in "[!-~]{8,20}") {
            let json = serde_json::json!({ "messages": [text, { &secret: secret }], "n": 1.5 });
            let redacted = redact_json(&json.to_string(), &[&secret]);
            let read: serde_json::Value = serde_json::from_str(&redacted).unwrap();
            prop_assert!(!read["messages"].to_string().contains(&secret) || secret.len() <= SHORT_SECRET);
            prop_assert_eq!(&read["n"], 1.5);
        }

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
            let _ = redact_json(&text, &[&secret]);
        }
    }
}
