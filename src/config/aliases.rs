//! Names under which clients may ask for models: the variable `model_aliases`.
//!
//! A name is a pattern if it contains `*`, which stands for any characters or none. The first name
//! that matches counts, so that a list can name exceptions before the rule. What it leads to is a
//! model and is not looked up again.

use super::is_path_safe_model;
use crate::pool::pattern::{ANY, matches};
use crate::wire::naming::{is_model, is_model_pattern};

/// The aliases, in the order given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelAliases(Vec<ModelAlias>);

/// A name or pattern, and the model that it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelAlias {
    /// The name or pattern.
    pub pattern: String,
    /// The model.
    pub model: String,
}

/// What is wrong with the variable, or may be, without any of its values.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl ModelAliases {
    /// Parses a list such as `gpt-4o=gemini-flash-latest,claude-*=gemini-pro-latest`. Empty entries
    /// are ignored.
    pub(super) fn parse(list: &str, is_secret: impl Fn(&str) -> bool) -> (Self, Findings) {
        let mut aliases = Self::default();
        let mut findings = Findings::default();
        let mut positions = Vec::new();
        let entries = list.split(',').map(str::trim);
        for (position, entry) in (1..).zip(entries.filter(|entry| !entry.is_empty())) {
            let alias = match ModelAlias::parse(entry, &is_secret) {
                Ok(alias) => alias,
                Err(problem) => {
                    let problem = format!("model_aliases: entry {position} {problem}");
                    findings.problems.push(problem);
                    continue;
                }
            };
            let mut earlier = aliases.0.iter().zip(&positions);
            if let Some((known, earlier)) = earlier.find(|(known, _)| known.covers(&alias)) {
                let entry = format!("model_aliases: entry {position}");
                if known.pattern == alias.pattern {
                    let problem = format!("{entry} repeats the name of entry {earlier}");
                    findings.problems.push(problem);
                } else {
                    let warning =
                        format!("{entry} has no effect, since entry {earlier} matches first");
                    findings.warnings.push(warning);
                }
            }
            aliases.0.push(alias);
            positions.push(position);
        }
        (aliases, findings)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The alias that a name matches; `None` if it is the name of a model itself.
    pub fn find(&self, name: &str) -> Option<&ModelAlias> {
        self.0.iter().find(|alias| alias.matches(name))
    }

    /// A name for each alias to show in lists of models, with its model. Whoever picks the name
    /// gets the model. For a pattern, it is an example of what matches; there is none if an earlier
    /// alias matches the example.
    pub fn examples(&self) -> impl Iterator<Item = (String, &str)> {
        let examples = self.0.iter().map(|alias| (alias.example(), alias));
        examples
            .filter(|(name, alias)| is_model(name) && self.find(name) == Some(alias))
            .map(|(name, alias)| (name, &*alias.model))
    }
}

impl ModelAlias {
    /// # Errors
    /// The end of a sentence about the entry.
    fn parse(entry: &str, is_secret: impl Fn(&str) -> bool) -> Result<Self, &'static str> {
        const NOT_A_PAIR: &str =
            "must be a pair such as gpt-4o=gemini-flash-latest or gpt-5*=gemini-pro-latest";
        let (pattern, model) = entry.split_once('=').ok_or(NOT_A_PAIR)?;
        let (pattern, model) = (pattern.trim(), model.trim());
        if model.contains(ANY) {
            return Err("must not have * in its model, only in the name before it");
        }
        if is_secret(entry) || !is_model_pattern(pattern) || !is_path_safe_model(model) {
            return Err(NOT_A_PAIR);
        }
        Ok(Self {
            pattern: pattern.to_owned(),
            model: model.to_owned(),
        })
    }

    fn matches(&self, name: &str) -> bool {
        !name.is_empty() && matches(&self.pattern, name)
    }

    /// Whether this matches all that another one matches.
    fn covers(&self, other: &Self) -> bool {
        // What matches the other's `*` itself matches any characters in its place.
        matches(&self.pattern, &other.pattern)
    }

    /// The name itself, or a name that matches the pattern: `gpt-5` for `gpt-5*`, and
    /// `claude-latest` for `claude-*`.
    fn example(&self) -> String {
        let mut example = String::new();
        for character in self.pattern.chars() {
            if character != ANY {
                example.push(character);
            } else if !example.ends_with(|last: char| last.is_ascii_alphanumeric()) {
                example.push_str("latest");
            }
        }
        example
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn aliases(list: &str) -> ModelAliases {
        let (aliases, findings) = ModelAliases::parse(list, |_| false);
        assert_eq!(findings, Findings::default(), "{list}");
        aliases
    }

    #[test]
    fn a_star_matches_any_characters() {
        for (pattern, names, others) in [
            (
                "gpt-5*",
                &["gpt-5", "gpt-5.1-codex"][..],
                &["gpt-4", "xgpt-5"][..],
            ),
            ("*-mini", &["-mini", "o4-mini"], &["o4-mini-high"]),
            (
                "claude-*-haiku*",
                &["claude-3-5-haiku-20241022", "claude--haiku"],
                &["claude-haiku", "claude-opus-4"],
            ),
            ("a*a", &["aa", "aba"], &["a"]),
            ("a*b*b*c", &["abbc", "a-b-b-c"], &["abc", "abcb"]),
            ("a**b", &["ab", "axb"], &["a"]),
            ("*", &["anything"], &[""]),
        ] {
            let aliases = aliases(&format!("{pattern}=m"));
            for name in names {
                assert!(aliases.find(name).is_some(), "{pattern} {name}");
            }
            for name in others {
                assert_eq!(aliases.find(name), None, "{pattern} {name}");
            }
        }
    }

    #[test]
    fn the_first_match_counts() {
        let aliases = aliases("claude-*-haiku*=lite,claude-opus-4=pro,claude-*=flash");
        for (name, model) in [
            ("claude-3-haiku", "lite"),
            ("claude-opus-4", "pro"),
            ("claude-opus-4-1", "flash"),
        ] {
            assert_eq!(aliases.find(name).unwrap().model, model, "{name}");
        }
    }

    #[test]
    fn an_entry_that_never_matches_causes_a_warning() {
        for (list, expected) in [
            (
                "claude-*=a,,claude-*-haiku*=b",
                "entry 2 has no effect, since entry 1 matches first",
            ),
            (
                "x=a,*=b,y=c",
                "entry 3 has no effect, since entry 2 matches first",
            ),
        ] {
            let (_, findings) = ModelAliases::parse(list, |_| false);
            assert_eq!(findings.problems, [""; 0]);
            assert!(
                findings.warnings[0].contains(expected),
                "{:?}",
                findings.warnings
            );
        }
    }

    #[test]
    fn lists_an_example_of_each_pattern() {
        let aliases = aliases("claude-*-haiku*=a,claude-*=b,gpt-5*=c,o4=d,gpt-4o*=e,gpt*=f,*=g");
        let examples: Vec<(String, &str)> = aliases.examples().collect();
        let expected = [
            ("claude-latest-haiku", "a"),
            ("claude-latest", "b"),
            ("gpt-5", "c"),
            ("o4", "d"),
            ("gpt-4o", "e"),
            ("gpt", "f"),
            ("latest", "g"),
        ];
        assert_eq!(
            examples,
            expected.map(|(name, model)| (name.to_owned(), model))
        );
        let hidden = ModelAliases::parse("claude-latest=a,claude-*=b", |_| false).0;
        assert_eq!(hidden.examples().count(), 1);
    }

    proptest! {
        #[test]
        fn an_example_matches_its_pattern(pattern in "[a.*-]{1,8}", name in "[a.-]{1,8}") {
            let alias = ModelAlias { pattern, model: "m".to_owned() };
            prop_assert!(alias.matches(&alias.example()));
            let other = ModelAlias { pattern: name.replace('.', "*"), model: "m".to_owned() };
            if alias.covers(&other) && other.matches(&name) {
                prop_assert!(alias.matches(&name));
            }
        }
    }
}
