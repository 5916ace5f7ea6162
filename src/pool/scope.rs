//! What a quota applies to: Google counts per project and model, so the keys of a project share its
//! quotas.

use std::fmt;

const PROJECT: &str = "project:";
const KEY: &str = "key:";

/// The key's row id: the only identification of a key that may appear in logs, headers and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub i64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The owner of a quota: a project, or a single key if its project is unknown.
///
/// Written as `project:projects/123` or `key:7` in the database and in reports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// All keys of a project.
    Project(String),
    /// One key.
    Key(KeyId),
}

impl Scope {
    /// Parses the text of a scope; `None` if it is invalid.
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

/// A scope and a model, to which a cool-down or a budget applies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuotaScope {
    /// The owner of the quota.
    pub scope: Scope,
    /// The model that the client requested; `None` for all models together.
    pub model: Option<String>,
}

/// Separates a model from a server-side tool. No model's name contains it.
const BEFORE_TOOL: char = '#';
/// Separates several tools.
pub const BETWEEN_TOOLS: char = '+';

/// The lookup key of a call for a model with a server-side tool:
/// `gemini-flash-latest#google_search`.
pub fn with_tool(model: &str, tool: Option<&str>) -> String {
    match tool {
        Some(tool) => format!("{model}{BEFORE_TOOL}{tool}"),
        None => model.to_owned(),
    }
}

/// The model of a [lookup key](with_tool).
pub(super) fn without_tool(model: &str) -> &str {
    model
        .split_once(BEFORE_TOOL)
        .map_or(model, |(model, _)| model)
}

/// Whether an entry for `covered` applies to a call for `model`, which may include a tool.
/// `covered` is a model, a model with a tool, or `None` for all models.
pub(super) fn covers(covered: Option<&str>, model: &str) -> bool {
    covered.is_none_or(|covered| {
        covered == model
            || model.split_once(BEFORE_TOOL).is_some_and(|(model, asked)| {
                let suffix = covered.strip_prefix(model);
                suffix.is_some_and(|suffix| match suffix.strip_prefix(BEFORE_TOOL) {
                    Some(tools) => tools
                        .split(BETWEEN_TOOLS)
                        .all(|tool| asked.split(BETWEEN_TOOLS).any(|asked| asked == tool)),
                    None => suffix.is_empty(),
                })
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Owner, PoolKey};

    #[test]
    fn scopes_parse_back_and_never_collide() {
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
    fn a_resource_is_shared_by_its_key_and_its_project() {
        let key = |id, project: Option<&str>| PoolKey {
            project: project.map(str::to_owned),
            ..crate::pool::testing::key(id)
        };
        let owner = |project: Option<&str>| Owner {
            key: KeyId(1),
            project: project.map(str::to_owned),
        };
        assert!(owner(None).shares_with(&key(1, None)));
        assert!(owner(Some("p")).shares_with(&key(1, Some("other"))));
        assert!(owner(Some("p")).shares_with(&key(2, Some("p"))));
        assert!(!owner(Some("p")).shares_with(&key(2, Some("q"))));
        assert!(
            !owner(None).shares_with(&key(2, None)),
            "two keys of unknown projects"
        );
    }

    #[test]
    fn a_scope_without_a_model_covers_all_models() {
        assert!(covers(None, "m") && covers(Some("m"), "m"));
        assert!(!covers(Some("m"), "n"));
    }

    #[test]
    fn a_tool_has_its_own_scope_within_its_model() {
        let asked = with_tool("m", Some("google_search"));
        for covered in [None, Some("m"), Some("m#google_search")] {
            assert!(covers(covered, &asked), "{covered:?}");
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
