//! Parses lists of keys, however they were pasted: separated by commas, semicolons, spaces or line
//! breaks, in quotes, in brackets, or as JSON. The variable `gemini_api_key` has such a list.

use crate::pool::ApiKey;
use std::ops::RangeInclusive;

/// Valid lengths of a key, in characters.
const LENGTHS: RangeInclusive<usize> = 8..=512;
/// What a key is, for messages.
pub(crate) const KEY_RULE: &str = "a key is 8 to 512 letters, digits and -._~+/";
/// Characters that may surround a key: quotes, brackets, and invisible marks.
const SURROUNDING: &str = "'\"`\\“”„‘’«»「」[]{}()<>【】（）\u{200b}\u{feff}";
/// The most positions that a warning lists.
const MAX_LISTED: usize = 20;

/// The parsed variable.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeyList {
    /// The keys in the given order, without duplicates.
    pub(super) keys: Vec<ApiKey>,
    /// Positions, from 1, of invalid entries.
    skipped: Vec<usize>,
    /// The number of entries.
    entries: usize,
}

/// The entries of a list; `None` for one that cannot be a key.
pub(crate) fn keys_in(text: &str) -> Vec<Option<ApiKey>> {
    // Some files and shells escape line breaks.
    let text = ["\\r", "\\n", "\\t"]
        .iter()
        .fold(text.to_owned(), |text, escape| text.replace(escape, "\n"));
    let plain = text.replace(|c: char| SURROUNDING.contains(c), " ");
    let has_separators = plain.contains(is_separator);
    let mut entries = Vec::new();
    for entry in plain.split(is_separator) {
        let pieces = entry.split_whitespace();
        let keys: Vec<Option<ApiKey>> = pieces.map(key).collect();
        let valid = keys.iter().flatten().count();
        // With separators, a space may be a mistake within a key, whose parts must not be taken
        // for keys.
        let is_broken_key = has_separators && valid < 2 && valid < keys.len();
        if is_broken_key {
            entries.push(None);
        } else {
            entries.extend(keys);
        }
    }
    entries
}

impl KeyList {
    pub(super) fn parse(text: &str) -> Self {
        let mut list = Self::default();
        keys_in(text).into_iter().for_each(|key| list.add(key));
        list
    }

    fn add(&mut self, key: Option<ApiKey>) {
        self.entries += 1;
        match key {
            Some(key) if self.keys.contains(&key) => {}
            Some(key) => self.keys.push(key),
            None => self.skipped.push(self.entries),
        }
    }

    /// The positions of skipped entries, and why; never their values.
    pub(super) fn warning(&self) -> Option<String> {
        let noun = match self.skipped.len() {
            0 => return None,
            1 => "entry",
            _ => "entries",
        };
        let listed = self.skipped.iter().take(MAX_LISTED).map(usize::to_string);
        let mut skipped = format!("{noun} {}", listed.collect::<Vec<_>>().join(", "));
        let more = self.skipped.len().saturating_sub(MAX_LISTED);
        if more > 0 {
            skipped.push_str(&format!(" and {more} more"));
        }
        Some(format!(
            "gemini_api_key: {skipped} of {} cannot be an API key and is skipped: {KEY_RULE}",
            self.entries
        ))
    }
}

/// Parses a key that `Authorization: Bearer` can carry (RFC 9110, `token68`).
pub(crate) fn key(text: &str) -> Option<ApiKey> {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    let is_key = LENGTHS.contains(&text.len()) && text.trim_end_matches('=').bytes().all(is_valid);
    is_key.then(|| ApiKey::try_new(text).ok())?
}

fn is_separator(c: char) -> bool {
    matches!(c, ',' | ';' | '\n' | '\r' | '，' | '；' | '、')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> (Vec<String>, Vec<usize>) {
        let list = KeyList::parse(text);
        let keys = list.keys.iter().map(|key| key.expose().to_owned());
        (keys.collect(), list.skipped)
    }

    #[test]
    fn parses_keys_in_any_list_format() {
        for text in [
            "AIzaFAKE-1,AIzaFAKE-2",
            " AIzaFAKE-1 ,, AIzaFAKE-2, AIzaFAKE-1,",
            r#"["AIzaFAKE-1","AIzaFAKE-2"]"#,
            r#"[ "AIzaFAKE-1" , "AIzaFAKE-2" ]"#,
            r#"[\"AIzaFAKE-1\",\"AIzaFAKE-2\"]"#,
            "'AIzaFAKE-1', 'AIzaFAKE-2'",
            "`AIzaFAKE-1` `AIzaFAKE-2`",
            "“AIzaFAKE-1”，“AIzaFAKE-2”",
            "AIzaFAKE-1\nAIzaFAKE-2\n",
            "AIzaFAKE-1\r\nAIzaFAKE-2\r\n",
            "AIzaFAKE-1;AIzaFAKE-2",
            "AIzaFAKE-1 AIzaFAKE-2",
            "AIzaFAKE-1\tAIzaFAKE-2",
            "(AIzaFAKE-1; AIzaFAKE-2)",
            "\u{feff}AIzaFAKE-1\u{a0}AIzaFAKE-2",
            "\"AIzaFAKE-1,AIzaFAKE-2\"",
            "[\n  \"AIzaFAKE-1\",\n  \"AIzaFAKE-2\"\n]",
        ] {
            let both = ["AIzaFAKE-1", "AIzaFAKE-2"].map(str::to_owned);
            assert_eq!(parsed(text), (both.to_vec(), vec![]), "{text:?}");
        }
    }

    #[test]
    fn skips_invalid_keys_and_reports_their_positions() {
        let [first, second, third] = ["AIzaFAKE-1", "AIzaFAKE-2", "AIzaFAKE-3"];
        for (text, keys, skipped) in [
            ("1st,AIzaFAKE 2,3rd", vec![first, third], vec![2]),
            ("1st;AIzaFAKE-key 2;3rd", vec![first, third], vec![2]),
            (r#"["1st", "AIzaFAKE-key 2"]"#, vec![first], vec![2]),
            ("1st x 3rd", vec![first, third], vec![2]),
            ("1st 2nd x, 3rd", vec![first, second, third], vec![3]),
            ("short,AIzaFAKE-é,NAME=1st,2nd", vec![second], vec![1, 2, 3]),
            ("# my keys\n1st", vec![first], vec![1]),
            ("", vec![], vec![]),
            (" , ", vec![], vec![]),
            ("[]", vec![], vec![]),
        ] {
            let text = text.replace("1st", first).replace("2nd", second);
            let text = text.replace("3rd", third);
            let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
            assert_eq!(parsed(&text), (keys, skipped), "{text:?}");
        }
        let long = "k".repeat(513);
        assert_eq!(parsed(&long), (vec![], vec![1]));
    }

    #[test]
    fn a_warning_lists_positions_but_no_values() {
        assert_eq!(KeyList::parse("AIzaFAKE-1").warning(), None);
        let one = KeyList::parse("AIzaFAKE-1,AIzaFAKE 2").warning().unwrap();
        assert!(one.starts_with("gemini_api_key: entry 2 of 2 "), "{one}");
        assert!(!one.contains("FAKE"), "{one}");
        let many = KeyList::parse(&"bad,".repeat(25)).warning().unwrap();
        for part in ["entries 1, 2, 3", "20 and 5 more of 25"] {
            assert!(many.contains(part), "{many}");
        }
    }

    proptest! {
        #[test]
        fn keys_contain_no_surrounding_characters(text in "[A-Za-z0-9'\"\\[\\]{}, ;\n-]{0,60}") {
            for key in KeyList::parse(&text).keys {
                prop_assert!(key.expose().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
            }
        }
    }
}
