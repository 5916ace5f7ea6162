//! What a project may use of a model, and what it has used.
//!
//! Limits hold for a project and a model, not for a key (<https://ai.google.dev/gemini-api/docs/rate-limits>).
//!
//! | limit | window | counts |
//! |---|---|---|
//! | requests per minute, input tokens per minute | the last 60 s | answered calls, and those refused with 400 |
//! | requests per day, input tokens per day | until midnight in Los Angeles | answered calls |
//!
//! A call refused with 429 counts nowhere. Of embeddings, each text is a request. A minute is only kept account of
//! while a limit holds for it.

mod day;
mod meter;
mod minute;

pub(crate) use meter::{Cost, Meter, Use};

/// Limits of a project for a model. Without any, nothing is refused.
///
/// Refusals name the quotas of the free tier. For those of the paid tier, of which few are known, script
/// [`quota_exceeded`](crate::errors::quota_exceeded) with `Violation::paid_…`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    pub(crate) requests_per_minute: Option<u64>,
    pub(crate) requests_per_day: Option<u64>,
    pub(crate) input_tokens_per_minute: Option<u64>,
    pub(crate) input_tokens_per_day: Option<u64>,
    pub(crate) none: bool,
}

impl Quota {
    /// No limits.
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// Not in the plan at all: each call is refused with `limit: 0`.
    pub fn none() -> Self {
        Self {
            none: true,
            ..Self::default()
        }
    }

    /// At most `limit` requests in any 60 s.
    pub fn requests_per_minute(self, limit: u64) -> Self {
        Self {
            requests_per_minute: Some(limit),
            ..self
        }
    }

    /// At most `limit` requests in a Pacific day.
    pub fn requests_per_day(self, limit: u64) -> Self {
        Self {
            requests_per_day: Some(limit),
            ..self
        }
    }

    /// At most `limit` tokens of input in any 60 s.
    pub fn input_tokens_per_minute(self, limit: u64) -> Self {
        Self {
            input_tokens_per_minute: Some(limit),
            ..self
        }
    }

    /// At most `limit` tokens of input in a Pacific day.
    pub fn input_tokens_per_day(self, limit: u64) -> Self {
        Self {
            input_tokens_per_day: Some(limit),
            ..self
        }
    }

    /// Whether it matters when in the last minute something was used.
    pub(crate) fn limits_the_minute(&self) -> bool {
        self.requests_per_minute.is_some() || self.input_tokens_per_minute.is_some()
    }
}

/// Which quota holds where; the most specific rule that was set last wins.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<(Option<String>, Option<String>, Quota)>);

impl Rules {
    /// `None` stands for every project, or every model.
    pub(crate) fn set(&mut self, project: Option<&str>, model: Option<&str>, quota: Quota) {
        let model = model.map(crate::models::bare);
        self.0
            .push((project.map(str::to_owned), model.map(str::to_owned), quota));
    }

    /// The quota of `project` for `model`, which is bare.
    pub(crate) fn of(&self, project: &str, model: &str) -> Quota {
        let fits = |rule: &Option<String>, name: &str| rule.as_deref().is_none_or(|r| r == name);
        self.0
            .iter()
            .filter(|(p, m, _)| fits(p, project) && fits(m, model))
            // Of equals the last one is kept.
            .max_by_key(|(p, m, _)| (p.is_some(), m.is_some()))
            .map_or_else(Quota::unlimited, |(_, _, quota)| *quota)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_quota_wins_and_of_equals_the_last() {
        let limit = |limit| Quota::unlimited().requests_per_minute(limit);
        let mut rules = Rules::default();
        assert_eq!(rules.of("p", "m"), Quota::unlimited());
        rules.set(Some("p"), Some("models/m"), limit(1));
        rules.set(Some("p"), None, limit(2));
        rules.set(None, Some("m"), limit(3));
        rules.set(None, None, limit(4));
        for (project, model, expected) in
            [("p", "m", 1), ("p", "x", 2), ("x", "m", 3), ("x", "x", 4)]
        {
            assert_eq!(
                rules.of(project, model),
                limit(expected),
                "{project} {model}"
            );
        }
        rules.set(None, None, limit(5));
        assert_eq!(rules.of("x", "x"), limit(5));
    }
}
