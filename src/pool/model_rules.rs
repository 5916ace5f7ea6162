//! Which models a key may be used for, as its operator has set it.

use super::pattern::matches;
use super::scope::without_tool;

/// Collections for which calls are made, too. They are not models, so that rules about models do
/// not apply to them.
const COLLECTIONS: [&str; 12] = [
    "models",
    "files",
    "batches",
    "operations",
    "cachedContents",
    "tunedModels",
    "corpora",
    "fileSearchStores",
    "interactions",
    "auth_tokens",
    "uploads",
    "other",
];

/// The models for which a key may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelRules {
    /// Patterns of the only models that are allowed; all are if there is none.
    pub allowed: Vec<String>,
    /// Patterns of models that are forbidden, even if they are allowed.
    pub forbidden: Vec<String>,
}

impl ModelRules {
    /// Whether the key may be used for `model`, which may include a tool, or a method after a `:`.
    pub fn admit(&self, model: &str) -> bool {
        let model = without_tool(model);
        let name = model.split_once(':').map_or(model, |(name, _)| name);
        let matches_any = |patterns: &[String]| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| matches(pattern, model) || matches(pattern, name))
        };
        COLLECTIONS.contains(&model)
            || (!matches_any(&self.forbidden)
                && (self.allowed.is_empty() || matches_any(&self.allowed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_admit_models_by_pattern() {
        let rules = |allowed: &[&str], forbidden: &[&str]| ModelRules {
            allowed: allowed.iter().map(|text| (*text).to_owned()).collect(),
            forbidden: forbidden.iter().map(|text| (*text).to_owned()).collect(),
        };
        let flash = rules(&["gemini-*-flash"], &[]);
        let no_pro = rules(&["gemini-*"], &["*-pro", "*-pro-*"]);
        for (rules, model, admitted) in [
            (&rules(&[], &[]), "any", true),
            (&flash, "gemini-3-flash", true),
            (&flash, "gemini-3-flash#google_search", true),
            (&flash, "gemini-3-flash:countTokens", true),
            (&flash, "gemini-3-pro", false),
            (&flash, "files", true),
            (&flash, "models", true),
            (&no_pro, "gemini-3-flash", true),
            (&no_pro, "gemini-3-pro", false),
            (&no_pro, "gemini-3-pro:countTokens", false),
            (&no_pro, "gemini-3-pro-preview#google_search", false),
            (&no_pro, "gemma-4", false),
            (&rules(&[], &["*"]), "gemini-3-flash", false),
        ] {
            assert_eq!(rules.admit(model), admitted, "{rules:?} {model}");
        }
    }
}
