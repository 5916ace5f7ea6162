//! Reads variables as values of a type, and collects all that is wrong with them.

use std::ops::RangeInclusive;
use std::str::FromStr;

/// The longest time that can be set: 1 h.
const MAX_TIME_MS: u64 = 3_600_000;

/// The variables, and the problems found so far. An invalid variable yields a value all the same,
/// so that one run finds every problem.
pub(super) struct Variables<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            get,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The warnings, or all problems.
    pub(super) fn finish(self) -> Result<Vec<String>, Vec<String>> {
        match self.problems.is_empty() {
            true => Ok(self.warnings),
            false => Err(self.problems),
        }
    }

    /// Adds a problem: the variable and what to set instead, never its value.
    pub(super) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// The value, or its type's default in place of a problem.
    pub(super) fn checked<T: Default>(&mut self, result: Result<T, String>) -> T {
        result.unwrap_or_else(|problem| {
            self.problem(problem);
            T::default()
        })
    }

    /// Whether a variable is defined, but empty.
    pub(super) fn is_blank(&self, name: &str) -> bool {
        (self.get)(name).is_some_and(|value| value.trim().is_empty())
    }

    /// A variable without the spaces around it, unless it is undefined or empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.get)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn flag(&mut self, name: &str, default: bool) -> bool {
        let text = self.text(name).map(|text| text.to_ascii_lowercase());
        match text.as_deref() {
            None => default,
            Some("false" | "0" | "no" | "off") => false,
            Some("true" | "1" | "yes" | "on") => true,
            Some(_) => {
                self.problem(format!("{name} must be true or false"));
                default
            }
        }
    }

    /// A whole number within `range`. `rule` completes "must be a whole number …".
    pub(super) fn number<T: FromStr + PartialOrd>(
        &mut self,
        name: &str,
        default: T,
        range: RangeInclusive<T>,
        rule: &str,
    ) -> T {
        let value = match self.text(name) {
            Some(text) => text.parse().ok(),
            None => Some(default),
        };
        value
            .filter(|value| range.contains(value))
            .unwrap_or_else(|| {
                self.problem(format!("{name} must be a whole number {rule}"));
                range.into_inner().0
            })
    }

    /// A whole number up to `max`, where 0 means no limit.
    pub(super) fn limit(&mut self, name: &str, default: u32, max: u32, rule: &str) -> Option<u32> {
        Some(self.number(name, default, 0..=max, rule)).filter(|limit| *limit > 0)
    }

    /// A number of seconds, in milliseconds; `None` if it is not set.
    pub(super) fn milliseconds(&mut self, name: &str, min: u64) -> Option<u64> {
        let ms = milliseconds(&self.text(name)?).filter(|ms| (min..=MAX_TIME_MS).contains(ms));
        if ms.is_none() {
            let min = if min == 0 { "0" } else { "0.001" };
            self.problem(format!(
                "{name} must be a number of seconds from {min} to 3600, such as 1.5"
            ));
        }
        ms
    }
}

/// Converts seconds to whole milliseconds.
fn milliseconds(seconds: &str) -> Option<u64> {
    let seconds: f64 = serde_json::from_str(seconds).ok()?;
    let ms = (seconds * 1000.0).round();
    (ms.is_finite() && (0.0..=MAX_TIME_MS as f64).contains(&ms)).then_some(ms as u64)
}
