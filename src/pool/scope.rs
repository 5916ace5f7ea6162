//! What a quota holds for: Google counts per project and model, so keys of one project share it.

use super::{KeyId, PoolKey};
use std::fmt;

const PROJECT: &str = "project:";
const KEY: &str = "key:";

/// Whose quota it is: a project's, or a key's own where nobody knows its project.
///
/// As text, in the database and in reports: `project:projects/123`, `key:7`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// All keys of a project.
    Project(String),
    /// One key.
    Key(KeyId),
}

impl Scope {
    /// Reads the text of a scope; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(PROJECT) {
            Some("") => None,
            Some(project) => Some(Self::Project(project.to_owned())),
            None => Some(Self::Key(KeyId(text.strip_prefix(KEY)?.parse().ok()?))),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(project) => write!(f, "{PROJECT}{project}"),
            Self::Key(id) => write!(f, "{KEY}{id}"),
        }
    }
}

/// Who made something at the upstream that only keys of one project can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The key that made it.
    pub key: KeyId,
    /// That key's project, where it is known.
    pub project: Option<String>,
}

impl Owner {
    /// Whether a key can use what was made.
    pub fn shares_with(&self, key: &PoolKey) -> bool {
        key.id == self.key || (self.project.is_some() && key.project == self.project)
    }
}

/// A scope and a model: what a cool-down or a budget is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuotaScope {
    /// Whose quota.
    pub scope: Scope,
    /// The model as it was asked for, or `None` for all models together.
    pub model: Option<String>,
}

/// Stands between a model and a server-side tool. No model's name has it.
const BEFORE_TOOL: char = '#';
/// Stands between several tools.
pub const BETWEEN_TOOLS: char = '+';

/// What a call for a model with a server-side tool is looked up under: `gemini-flash-latest#google_search`.
pub fn with_tool(model: &str, tool: Option<&str>) -> String {
    match tool {
        Some(tool) => format!("{model}{BEFORE_TOOL}{tool}"),
        None => model.to_owned(),
    }
}

/// Whether a place of `own`, a model, a model with a tool, or all, concerns a call for `model`, which may have a tool.
pub(super) fn covers(own: Option<&str>, model: &str) -> bool {
    own.is_none_or(|own| {
        own == model
            || model.split_once(BEFORE_TOOL).is_some_and(|(model, asked)| {
                let own_tools = own.strip_prefix(model);
                own_tools.is_some_and(|own| match own.strip_prefix(BEFORE_TOOL) {
                    Some(tools) => tools
                        .split(BETWEEN_TOOLS)
                        .all(|tool| asked.split(BETWEEN_TOOLS).any(|asked| asked == tool)),
                    None => own.is_empty(),
                })
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_back_and_never_collide() {
        for scope in [
            Scope::Key(KeyId(7)),
            Scope::Project("projects/123".into()),
            Scope::Project("key:7".into()),
        ] {
            assert_eq!(Scope::parse(&scope.to_string()), Some(scope));
        }
        for text in ["", "key:", "key:x", "project:", "7", "projects/1"] {
            assert_eq!(Scope::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_made_is_for_its_key_and_the_keys_of_its_project() {
        let of = |id, project: Option<&str>| PoolKey {
            project: project.map(str::to_owned),
            ..crate::pool::testing::key(id)
        };
        let owner = |project: Option<&str>| Owner {
            key: KeyId(1),
            project: project.map(str::to_owned),
        };
        assert!(owner(None).shares_with(&of(1, None)));
        assert!(owner(Some("p")).shares_with(&of(1, Some("other"))));
        assert!(owner(Some("p")).shares_with(&of(2, Some("p"))));
        assert!(!owner(Some("p")).shares_with(&of(2, Some("q"))));
        assert!(
            !owner(None).shares_with(&of(2, None)),
            "two that nobody knows the project of"
        );
    }

    #[test]
    fn a_place_without_a_model_covers_all() {
        assert!(covers(None, "m") && covers(Some("m"), "m"));
        assert!(!covers(Some("m"), "n"));
    }

    #[test]
    fn a_tool_has_a_place_of_its_own_below_its_model() {
        let asked = with_tool("m", Some("google_search"));
        for own in [None, Some("m"), Some("m#google_search")] {
            assert!(covers(own, &asked), "{own:?}");
        }
        assert!(!covers(Some("m#code_execution"), &asked));
        assert!(!covers(Some("m#google_search"), "m"));
        assert!(!covers(Some("m"), "m2#google_search"));
        let both = with_tool("m", Some("code_execution+google_search"));
        assert!(covers(Some("m#google_search"), &both));
        assert!(covers(Some("m#code_execution+google_search"), &both));
        assert!(!covers(Some("m#code_execution+google_search"), &asked));
    }
}
