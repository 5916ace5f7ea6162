//! How much a model thinks: by level from Gemini 3 on, by budget before.
//!
//! Sources: <https://ai.google.dev/gemini-api/docs/thinking>,
//! <https://ai.google.dev/gemini-api/docs/openai#thinking>.

use super::generate::{ThinkingConfig, ThinkingLevel};

/// The generation of a model, by its name. Names without a version are of the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// Does not think: Gemma, and Gemini before 2.5.
    WithoutThought,
    /// Gemini 2.5.
    Gemini25,
    /// Gemini 3 and newer.
    Gemini3,
}

impl Generation {
    pub(crate) fn of(model: &str) -> Self {
        let is = |prefixes: &[&str]| prefixes.iter().any(|prefix| model.starts_with(prefix));
        if is(&["gemini-2.5"]) {
            Self::Gemini25
        } else if is(&["gemini-1", "gemini-2", "gemma", "learnlm"]) {
            Self::WithoutThought
        } else {
            Self::Gemini3
        }
    }
}

/// How much the client wants the model to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As little as the model can.
    None,
    /// At a level.
    Level(ThinkingLevel),
    /// With so many tokens.
    Tokens(u64),
}

/// Whether summaries of the thoughts are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thoughts {
    Included,
    Omitted,
}

/// Tokens for each level, as Google maps OpenAI's levels for Gemini 2.5.
const BUDGETS: [(ThinkingLevel, u64); 4] = [
    (ThinkingLevel::Minimal, 1_024),
    (ThinkingLevel::Low, 1_024),
    (ThinkingLevel::Medium, 8_192),
    (ThinkingLevel::High, 24_576),
];

/// The configuration for a model; `None` leaves all to its defaults.
pub(crate) fn config(
    model: &str,
    effort: Option<Effort>,
    thoughts: Thoughts,
) -> Option<ThinkingConfig> {
    let generation = Generation::of(model);
    if generation == Generation::WithoutThought || is_for_media(model) {
        return None;
    }
    let mut config = ThinkingConfig {
        include_thoughts: thoughts == Thoughts::Included,
        ..ThinkingConfig::default()
    };
    match generation {
        Generation::Gemini3 => {
            config.thinking_level = effort.map(|effort| supported(model, level(effort)));
        }
        Generation::Gemini25 | Generation::WithoutThought => {
            config.thinking_budget = effort.map(|effort| budget(model, effort));
        }
    }
    (config != ThinkingConfig::default()).then_some(config)
}

/// Whether a model makes images or speech, and refuses settings of thought.
fn is_for_media(model: &str) -> bool {
    ["-image", "-tts", "-audio"]
        .iter()
        .any(|kind| model.contains(kind))
}

fn level(effort: Effort) -> ThinkingLevel {
    match effort {
        Effort::None => ThinkingLevel::Minimal,
        Effort::Level(level) => level,
        Effort::Tokens(tokens) => BUDGETS
            .iter()
            .rev()
            .find(|(_, budget)| tokens >= *budget)
            .map_or(ThinkingLevel::Minimal, |(level, _)| *level),
    }
}

/// Parts of the names of models that accept the level `minimal`. The others refuse it, and a model
/// without a version may be one of those.
const MINIMAL: [&str; 4] = ["-lite", "-3-flash", "-3.5-flash", "-3.6-flash"];

/// The nearest level that a model accepts.
fn supported(model: &str, level: ThinkingLevel) -> ThinkingLevel {
    match MINIMAL.iter().any(|part| model.contains(part)) {
        true => level,
        false => level.max(ThinkingLevel::Low),
    }
}

/// The tokens that a model of Gemini 2.5 accepts.
fn budget(model: &str, effort: Effort) -> u64 {
    let (least, most) = match () {
        () if model.contains("pro") => (128, 32_768),
        () if model.contains("lite") => (512, 24_576),
        () => (1, 24_576),
    };
    match effort {
        Effort::None | Effort::Tokens(0) if model.contains("pro") => least,
        Effort::None | Effort::Tokens(0) => 0,
        Effort::Tokens(tokens) => tokens.clamp(least, most),
        Effort::Level(level) => BUDGETS
            .iter()
            .find(|(known, _)| *known == level)
            .map_or(most, |(_, budget)| (*budget).clamp(least, most)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effort_becomes_a_level_or_a_budget_that_the_model_accepts() {
        use ThinkingLevel::{High, Low, Medium, Minimal};
        for (model, effort, level, budget) in [
            ("gemini-3-flash-preview", Effort::None, Some(Minimal), None),
            ("gemini-3.1-pro-preview", Effort::None, Some(Low), None),
            ("gemini-3.8-flash", Effort::None, Some(Low), None),
            (
                "gemini-flash-lite-latest",
                Effort::None,
                Some(Minimal),
                None,
            ),
            (
                "gemini-flash-latest",
                Effort::Level(Medium),
                Some(Medium),
                None,
            ),
            ("gemini-3.8-flash", Effort::Tokens(31_999), Some(High), None),
            (
                "gemini-3.8-flash",
                Effort::Tokens(10_000),
                Some(Medium),
                None,
            ),
            ("gemini-3.8-flash", Effort::Tokens(1_024), Some(Low), None),
            ("gemini-2.5-flash", Effort::None, None, Some(0)),
            (
                "gemini-2.5-flash",
                Effort::Tokens(31_999),
                None,
                Some(24_576),
            ),
            ("gemini-2.5-pro", Effort::None, None, Some(128)),
            ("gemini-2.5-pro", Effort::Tokens(31_999), None, Some(31_999)),
            ("gemini-2.5-flash-lite", Effort::Tokens(5), None, Some(512)),
            ("gemini-2.5-flash", Effort::Level(High), None, Some(24_576)),
        ] {
            let config = config(model, Some(effort), Thoughts::Omitted).unwrap();
            assert_eq!(
                (config.thinking_level, config.thinking_budget),
                (level, budget),
                "{model} {effort:?}"
            );
        }
    }

    #[test]
    fn models_that_do_not_think_get_no_configuration() {
        for model in [
            "gemini-2.0-flash",
            "gemma-4-31b-it",
            "gemini-2.5-flash-image",
        ] {
            assert_eq!(config(model, Some(Effort::None), Thoughts::Included), None);
        }
        assert_eq!(config("gemini-3.8-flash", None, Thoughts::Omitted), None);
        let shown = config("gemini-3.8-flash", None, Thoughts::Included).unwrap();
        assert!(shown.include_thoughts && shown.thinking_level.is_none());
    }
}
