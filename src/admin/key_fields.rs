//! The rules for what operators say of keys.

use crate::pool::UnixMillis;
use crate::wire::json::read;
use crate::wire::naming::is_model_pattern;
use crate::wire::parameters::{Invalid, each, list, text};
use serde_json::value::RawValue;

/// The rules for a text. Columns are read up to 4096 bytes.
#[derive(Clone, Copy)]
pub(super) struct TextRule {
    /// In characters.
    longest: usize,
    may_have_lines: bool,
}

/// A name or a project.
pub(super) const NAME: TextRule = TextRule {
    longest: 200,
    may_have_lines: false,
};
/// A tag.
pub(super) const TAG: TextRule = TextRule {
    longest: 50,
    may_have_lines: false,
};
/// A note or a reason.
pub(super) const NOTE: TextRule = TextRule {
    longest: 1_000,
    may_have_lines: true,
};

/// The most tags of a key.
const MAX_TAGS: usize = 20;
/// The most patterns of models that a key is allowed or forbidden, so that the column stays
/// readable.
const MAX_PATTERNS: usize = 20;
/// The highest priority.
const MAX_PRIORITY: i64 = 1_000_000;

/// A text without the spaces around it; `None` if it is empty.
pub(super) fn short(value: &RawValue, rule: TextRule) -> Result<Option<String>, Invalid> {
    trimmed(&text(value)?, rule)
}

/// See [`short`].
pub(super) fn trimmed(text: &str, rule: TextRule) -> Result<Option<String>, Invalid> {
    let longest = rule.longest;
    if text.chars().count() > longest {
        return Err(Invalid::new(format!(
            "must have at most {longest} characters"
        )));
    }
    if !rule.may_have_lines && text.contains(|c: char| c.is_ascii_control()) {
        return Err(Invalid::new("must be one line without control characters"));
    }
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// A priority.
pub(super) fn priority(value: &RawValue) -> Result<i64, Invalid> {
    priority_of(read(value))
}

/// A priority, if there is a number.
pub(super) fn priority_of(number: Option<i64>) -> Result<i64, Invalid> {
    number
        .filter(|number| (0..=MAX_PRIORITY).contains(number))
        .ok_or_else(|| Invalid::new(format!("must be a whole number from 0 to {MAX_PRIORITY}")))
}

/// A list of tags.
pub(super) fn tags(value: &RawValue) -> Result<Vec<String>, Invalid> {
    tags_of(list(value)?.into_iter().map(|tag| short(tag, TAG)))
}

/// Tags, each of which is a text that is not empty.
pub(super) fn tags_of(
    tags: impl Iterator<Item = Result<Option<String>, Invalid>>,
) -> Result<Vec<String>, Invalid> {
    let tags = each(tags, |tag| {
        tag?.ok_or_else(|| Invalid::new("must not be empty"))
    })?;
    at_most(MAX_TAGS, tags)
}

/// A list of patterns of models.
pub(super) fn patterns(value: &RawValue) -> Result<Vec<String>, Invalid> {
    let patterns = each(list(value)?, |pattern| {
        let pattern = text(pattern)?;
        match is_model_pattern(&pattern) {
            true => Ok(pattern.into_owned()),
            false => Err(Invalid::new(
                "must be a model, or a pattern such as `gemini-*-flash`",
            )),
        }
    })?;
    at_most(MAX_PATTERNS, patterns)
}

fn at_most(most: usize, texts: Vec<String>) -> Result<Vec<String>, Invalid> {
    match texts.len() <= most {
        true => Ok(texts),
        false => Err(Invalid::new(format!("must be at most {most}"))),
    }
}

/// A time in the future.
pub(super) fn later(value: &RawValue, now: UnixMillis) -> Result<UnixMillis, Invalid> {
    UnixMillis::parse(&text(value)?)
        .filter(|time| *time > now)
        .ok_or_else(|| Invalid::new("must be a time in the future, such as 2027-01-31T09:00:00Z"))
}
