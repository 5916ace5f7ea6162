//! Names of tools that Gemini does not accept, and back.
//!
//! Clients name their tools by the rules of another API, so Gemini refuses some of them: Anthropic
//! allows 128 characters, and names of MCP tools are prefixed until they are long. Such a name is
//! replaced by what is acceptable of it and a hash of it, which tells names with the same beginning
//! apart and is the same in every request of a conversation.
//!
//! Gemini's rules differ by page and have changed. All agree on a letter or an underscore followed
//! by letters, digits, underscores and dashes, 64 in all
//! (<https://firebase.google.com/docs/reference/js/ai.functiondeclaration>). The API's reference
//! adds dots and colons (<https://ai.google.dev/api/caching#FunctionDeclaration>), but colons were
//! refused in 2025 (<https://github.com/google-gemini/gemini-cli/issues/2966>). So neither is used.

use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// The maximum length of a name, in characters.
const MAX_LENGTH: usize = 64;
/// How many hexadecimal digits of the hash follow the underscore at the end of a replaced name.
const HASH_DIGITS: usize = 8;

/// The names of a request's tools, at the client and at Gemini.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ToolNames {
    /// The names that Gemini does not accept, each with its replacement.
    replacements: HashMap<String, String>,
    /// The reverse of `replacements`.
    originals: HashMap<String, String>,
}

impl ToolNames {
    /// Maps the names of a request's tools. No two of them get the same name, and their order does
    /// not matter.
    ///
    /// A replacement depends on its name alone, unless it is the name of another tool or, by a
    /// chance of one in four billion, its replacement.
    pub fn new<'n>(mut names: impl Iterator<Item = &'n str>) -> Self {
        Self::of(&mut names)
    }

    fn of(names: &mut dyn Iterator<Item = &str>) -> Self {
        let (accepted, others): (BTreeSet<String>, BTreeSet<String>) =
            names.map(str::to_owned).partition(|name| is_accepted(name));
        let mut mapped = Self::default();
        for name in others {
            let is_free = |candidate: &String| {
                !accepted.contains(candidate) && !mapped.originals.contains_key(candidate)
            };
            let mut candidates = (0..=u32::MAX).map(|attempt| replacement(&name, attempt));
            if let Some(replacement) = candidates.find(is_free) {
                mapped.originals.insert(replacement.clone(), name.clone());
                mapped.replacements.insert(name, replacement);
            }
        }
        mapped
    }

    /// The name to send to Gemini. A name that was not given to [`new`](Self::new), such as that of
    /// an earlier call of a tool that is gone, gets the name it had then.
    pub fn to_gemini<'a>(&'a self, name: &'a str) -> Cow<'a, str> {
        match self.replacements.get(name) {
            Some(replacement) => Cow::Borrowed(replacement),
            None if is_accepted(name) => Cow::Borrowed(name),
            None => Cow::Owned(replacement(name, 0)),
        }
    }

    /// The client's name of a tool that Gemini calls. A name that is no replacement is returned as
    /// it is.
    pub fn to_client<'a>(&'a self, name: &'a str) -> &'a str {
        self.originals.get(name).map_or(name, String::as_str)
    }
}

/// Whether Gemini accepts a name.
fn is_accepted(name: &str) -> bool {
    name.len() <= MAX_LENGTH
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(is_accepted_character)
}

fn is_accepted_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

/// An accepted name in place of `name`. Each attempt yields another.
fn replacement(name: &str, attempt: u32) -> String {
    let has_first = name.starts_with(|first: char| !first.is_ascii_digit() && first != '-');
    let prefix = if has_first { "" } else { "_" };
    let stem = name.chars().map(|character| match character {
        accepted if is_accepted_character(accepted) => accepted,
        _ => '_',
    });
    let stem = prefix.chars().chain(stem);
    let mut replacement: String = stem.take(MAX_LENGTH - HASH_DIGITS - 1).collect();
    replacement.push('_');
    let mut hash = Sha256::new().chain_update(name);
    if attempt > 0 {
        hash.update(attempt.to_be_bytes());
    }
    let digits = hash
        .finalize()
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .take(HASH_DIGITS)
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect::<String>();
    replacement + &digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(names: &[&str]) -> ToolNames {
        ToolNames::new(names.iter().copied())
    }

    #[test]
    fn accepted_names_stay() {
        let longest = "x".repeat(64);
        let accepted = [
            "a",
            "_",
            "get_weather",
            "mcp__git-hub__list_2",
            longest.as_str(),
        ];
        let mapped = names(&accepted);
        for name in accepted {
            assert!(matches!(mapped.to_gemini(name), Cow::Borrowed(same) if same == name));
            assert_eq!(mapped.to_client(name), name);
        }
    }

    #[test]
    fn other_names_keep_what_is_acceptable_of_them() {
        for (name, stem) in [
            ("files.read", "files_read"),
            ("functions:run", "functions_run"),
            ("2fa", "_2fa"),
            ("-x", "_-x"),
            ("wetter für morgen", "wetter_f_r_morgen"),
            ("天气", "__"),
            ("", "_"),
            (&"y".repeat(65), &"y".repeat(55)),
        ] {
            let mapped = names(&[name]);
            let gemini = mapped.to_gemini(name);
            let (kept, hash) = gemini.rsplit_once('_').unwrap();
            assert_eq!((kept, hash.len()), (stem, HASH_DIGITS), "{name}");
            assert!(is_accepted(&gemini), "{gemini}");
            assert_eq!(mapped.to_client(&gemini), name);
        }
    }

    #[test]
    fn a_name_is_replaced_alike_in_every_request() {
        let expected = "files_read_601e4eb6";
        for others in [&[][..], &["files.read"], &["files.read", "files:read", "x"]] {
            assert_eq!(names(others).to_gemini("files.read"), expected);
        }
    }

    #[test]
    fn a_replacement_is_never_the_name_of_another_tool() {
        let replaced = names(&[]).to_gemini("files.read").into_owned();
        let mapped = names(&[&replaced, "files.read"]);
        let other = mapped.to_gemini("files.read");
        assert_ne!(other, replaced);
        assert_eq!(mapped.to_client(&other), "files.read");
        assert_eq!(mapped.to_client(&replaced), replaced);
    }

    proptest! {
        #[test]
        fn maps_one_to_one_in_any_order(
            tools in prop::collection::btree_set("[a-b0._:é-]{0,3}|[ab.]{63,66}|\\PC{0,80}", 0..20)
        ) {
            let mapped = ToolNames::new(tools.iter().map(String::as_str));
            let mut seen = BTreeSet::new();
            for name in &tools {
                let gemini = mapped.to_gemini(name);
                prop_assert!(is_accepted(&gemini), "{gemini}");
                prop_assert!(!is_accepted(name) || gemini == name.as_str());
                prop_assert_eq!(mapped.to_client(&gemini), name);
                prop_assert!(seen.insert(gemini.into_owned()));
            }
            let reversed = ToolNames::new(tools.iter().rev().map(String::as_str));
            prop_assert_eq!(mapped.replacements, reversed.replacements);
        }
    }
}
