//! Redacts secrets in texts that leave the pool: log rows, log lines and error messages.
//!
//! Known secrets (the key in use, the built-in client token) are redacted by value, whatever their
//! format. Google's keys are then redacted by shape, since its errors may echo a key unknown to the
//! pool (`Permission denied: Consumer 'api_key:AIza…' has been suspended.`); and so are the client
//! tokens that the pool has created, of which it knows only digests.

use crate::pool::{MASK, SHORT_SECRET, mask};
use memchr::memchr2;
use serde::de::IgnoredAny;
use std::collections::HashSet;

/// Shorter texts are not treated as secrets: they would match everywhere.
const MIN_SECRET_LENGTH: usize = 8;
/// A piece of a longer secret with this many characters counts as the secret, since messages
/// truncate keys.
const PIECE: usize = 8;
/// Prefix of a standard key, and the minimum number of characters after it. A full key has 35, a
/// truncated one fewer.
const STANDARD_KEY: (&str, usize) = ("AIza", 16);
/// Prefix of an authorization key, and the minimum number of characters after it.
const AUTHORIZATION_KEY: (&str, usize) = ("AQ.", 16);

/// Prefix of the client tokens that the pool creates.
pub const CLIENT_TOKEN_PREFIX: &str = "kp_";
/// With the minimum number of characters after it. A full token has 43.
const CLIENT_TOKEN: (&str, usize) = (CLIENT_TOKEN_PREFIX, 16);

/// Masks each of `secrets`, and everything that looks like a Google API key or a client token, in
/// whole or in part.
///
/// Takes linear time, since an upstream's error may be megabytes long.
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
    let text = mask_shape(&text, STANDARD_KEY, is_standard_key_char);
    let text = mask_shape(&text, CLIENT_TOKEN, is_standard_key_char);
    mask_shape(&text, AUTHORIZATION_KEY, is_authorization_key_char)
}

/// Redacts a JSON text: strings are redacted by their unescaped value, and the text stays valid
/// JSON with the same names.
///
/// A name is masked only if it looks like a key or contains a long secret: a short secret may be
/// the name of a field.
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
            // Valid JSON, but not a valid string: half of a surrogate pair.
            Err(_) => redacted.push_str(&redact(raw, secrets)),
        }
        rest = after;
    }
    redacted.push_str(rest);
    redacted
}

/// Returns the length in bytes of the JSON string at the start of `json`, quotes included.
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

/// Whether `text` contains one of `secrets`, or anything that looks like a Google API key or a
/// client token.
pub fn reveals<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> bool {
    let occurs = |secret: &str| {
        (MIN_SECRET_LENGTH..=text.len()).contains(&secret.len()) && text.contains(secret)
    };
    secrets.into_iter().any(occurs)
        || has_shape(text, STANDARD_KEY, is_standard_key_char)
        || has_shape(text, CLIENT_TOKEN, is_standard_key_char)
        || has_shape(text, AUTHORIZATION_KEY, is_authorization_key_char)
}

fn has_shape(
    text: &str,
    (prefix, min_length): (&str, usize),
    is_key_char: impl Fn(char) -> bool,
) -> bool {
    text.match_indices(prefix).any(|(at, _)| {
        let tail = text.get(at + prefix.len()..).unwrap_or_default();
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        // `AQ.` or `kp_` within a word is just its end.
        (prefix == STANDARD_KEY.0 || !before.is_some_and(char::is_alphanumeric))
            && tail
                .chars()
                .take_while(|c| is_key_char(*c))
                .take(min_length)
                .count()
                == min_length
    })
}

fn is_standard_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_authorization_key_char(c: char) -> bool {
    is_standard_key_char(c) || c == '.'
}

/// Masks every run of text covered by pieces of `secret`, each [`PIECE`] ASCII characters long.
fn mask_pieces(text: &str, secret: &str) -> String {
    let pieces = Pieces::of(secret);
    let mut masked = String::with_capacity(text.len());
    let mut window = 0u64;
    // How much of the text is copied to `masked` or covered by the mask at its end.
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        window = window << 8 | u64::from(byte);
        let end = at + 1;
        if end < PIECE || !pieces.contain(window) {
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

/// The pieces of a secret.
struct Pieces {
    /// The pieces as numbers.
    pieces: HashSet<u64>,
    /// A bit set of the last two bytes of each piece, as a cheap filter for most positions.
    ends: Vec<u64>,
}

impl Pieces {
    fn of(secret: &str) -> Self {
        let pieces: HashSet<u64> = secret
            .as_bytes()
            .windows(PIECE)
            .filter(|piece| piece.is_ascii())
            .map(|piece| {
                piece
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
            })
            .collect();
        let mut ends = vec![0u64; 1024];
        for piece in &pieces {
            let (word, bit) = Self::filter_bit(*piece);
            if let Some(word) = ends.get_mut(word) {
                *word |= bit;
            }
        }
        Self { pieces, ends }
    }

    fn contain(&self, window: u64) -> bool {
        let (word, bit) = Self::filter_bit(window);
        self.ends.get(word).is_some_and(|word| word & bit != 0) && self.pieces.contains(&window)
    }

    fn filter_bit(piece: u64) -> (usize, u64) {
        let end = piece & 0xffff;
        (
            usize::try_from(end >> 6).unwrap_or_default(),
            1 << (end & 63),
        )
    }
}

fn mask_shape(
    text: &str,
    (prefix, min_length): (&str, usize),
    is_key_char: impl Fn(char) -> bool,
) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(prefix) {
        let (before, candidate) = rest.split_at(start);
        let (_, tail) = candidate.split_at(prefix.len());
        let length: usize = tail
            .chars()
            .take_while(|c| is_key_char(*c))
            .map(char::len_utf8)
            .sum();
        let (secret, after) = candidate.split_at(prefix.len() + length);
        masked.push_str(before);
        if length >= min_length {
            // For an unknown key, there is no way to tell where it ends.
            masked.push_str(MASK);
        } else {
            masked.push_str(secret);
        }
        rest = after;
    }
    masked.push_str(rest);
    masked
}

/// Truncates `text` to `max` characters, and marks a cut with `…`.
pub fn truncate(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => {
            let (head, _) = text.split_at(end);
            format!("{head}…")
        }
    }
}

#[cfg(test)]
mod tests;
