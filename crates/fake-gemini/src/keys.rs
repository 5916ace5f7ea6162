//! The keys that the fake knows, the projects they belong to, and the state Google sees them in.
//!
//! Quotas count by project, so keys of one project share them; a key without a named project gets one of its own.

use crate::errors::{self, ApiError};
use std::collections::HashSet;
use std::str::FromStr;

/// What Google thinks of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// In order.
    Valid,
    /// 400: not a key.
    Invalid,
    /// 400: past its end date.
    Expired,
    /// 400: deleted.
    NotFound,
    /// 401: an authorization key that is not accepted.
    Unauthenticated,
    /// 403: found in public.
    Leaked,
    /// 403: suspended, with the key in the message.
    Suspended,
    /// 403: the project is shut out.
    ProjectDenied,
    /// 403: the project has not switched the API on.
    ServiceDisabled,
    /// 403: the key is restricted to other APIs.
    ServiceBlocked,
    /// 403 without a reason.
    PermissionDenied,
    /// 400: called from a country that is not served.
    LocationUnsupported,
}

impl Condition {
    /// Every condition.
    pub const ALL: [Self; 12] = [
        Self::Valid,
        Self::Invalid,
        Self::Expired,
        Self::NotFound,
        Self::Unauthenticated,
        Self::Leaked,
        Self::Suspended,
        Self::ProjectDenied,
        Self::ServiceDisabled,
        Self::ServiceBlocked,
        Self::PermissionDenied,
        Self::LocationUnsupported,
    ];

    /// The condition's name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::NotFound => "not-found",
            Self::Unauthenticated => "unauthenticated",
            Self::Leaked => "leaked",
            Self::Suspended => "suspended",
            Self::ProjectDenied => "project-denied",
            Self::ServiceDisabled => "service-disabled",
            Self::ServiceBlocked => "service-blocked",
            Self::PermissionDenied => "permission-denied",
            Self::LocationUnsupported => "location-unsupported",
        }
    }

    /// What every call with the key is answered; `None` for a key in order. `method` is the full name of the gRPC
    /// method.
    pub fn error(self, key: &str, project: &str, method: &str) -> Option<ApiError> {
        Some(match self {
            Self::Valid => return None,
            Self::Invalid => errors::key_invalid(),
            Self::Expired => errors::key_expired(),
            Self::NotFound => errors::key_not_found(),
            Self::Unauthenticated => errors::unauthenticated(method),
            Self::Leaked => errors::leaked(),
            Self::Suspended => errors::suspended(key, project),
            Self::ProjectDenied => errors::project_denied(),
            Self::ServiceDisabled => errors::service_disabled(project),
            Self::ServiceBlocked => errors::service_blocked(project, method),
            Self::PermissionDenied => errors::permission_denied(),
            Self::LocationUnsupported => errors::location_unsupported(),
        })
    }
}

/// A text that names no condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownCondition;

impl FromStr for Condition {
    type Err = UnknownCondition;

    fn from_str(text: &str) -> Result<Self, UnknownCondition> {
        Self::ALL
            .into_iter()
            .find(|condition| condition.name() == text)
            .ok_or(UnknownCondition)
    }
}

/// A registered key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) text: String,
    /// 1 for the key registered first.
    pub(crate) ordinal: usize,
    pub(crate) project: String,
    pub(crate) condition: Condition,
}

/// All registered keys.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<Key>);

impl Keys {
    /// Registers `keys` in order; of a key named twice, the last wins. A missing project becomes the first
    /// `projects/00000000000n` that is not named for another key.
    pub(crate) fn new(keys: Vec<(String, Option<String>, Condition)>) -> Self {
        let mut taken: HashSet<String> = keys
            .iter()
            .filter_map(|(_, project, _)| project.clone())
            .collect();
        let mut all = Self::default();
        for (text, project, condition) in keys {
            let project = project.unwrap_or_else(|| {
                let mut number = all.0.len();
                loop {
                    number += 1;
                    let project = format!("projects/{number:012}");
                    if taken.insert(project.clone()) {
                        break project;
                    }
                }
            });
            match all.find_mut(&text) {
                Some(key) => (key.project, key.condition) = (project, condition),
                None => all.0.push(Key {
                    text,
                    ordinal: all.0.len() + 1,
                    project,
                    condition,
                }),
            }
        }
        all
    }

    pub(crate) fn find(&self, text: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.text == text)
    }

    /// Changes a key's condition, and registers one that is not known yet.
    pub(crate) fn set_condition(&mut self, text: &str, condition: Condition) {
        match self.find_mut(text) {
            Some(key) => key.condition = condition,
            None => {
                let mut keys: Vec<_> = std::mem::take(&mut self.0)
                    .into_iter()
                    .map(|key| (key.text, Some(key.project), key.condition))
                    .collect();
                keys.push((text.to_owned(), None, condition));
                *self = Self::new(keys);
            }
        }
    }

    fn find_mut(&mut self, text: &str) -> Option<&mut Key> {
        self.0.iter_mut().find(|key| key.text == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_a_project_gets_one_that_no_other_key_has() {
        let named = |text: &str| Some(text.to_owned());
        let keys = Keys::new(vec![
            ("a".into(), None, Condition::Valid),
            ("b".into(), named("projects/000000000001"), Condition::Valid),
            ("c".into(), named("projects/000000000003"), Condition::Valid),
            ("d".into(), None, Condition::Valid),
        ]);
        let projects: Vec<_> = keys.0.iter().map(|key| key.project.as_str()).collect();
        assert_eq!(
            projects,
            [
                "projects/000000000002",
                "projects/000000000001",
                "projects/000000000003",
                "projects/000000000004"
            ]
        );
    }

    #[test]
    fn a_condition_set_on_an_unknown_key_registers_it() {
        let mut keys = Keys::new(vec![("a".into(), None, Condition::Valid)]);
        keys.set_condition("a", Condition::Leaked);
        keys.set_condition("b", Condition::Expired);
        let seen: Vec<_> = keys
            .0
            .iter()
            .map(|key| (key.text.as_str(), key.ordinal, key.condition))
            .collect();
        assert_eq!(
            seen,
            [("a", 1, Condition::Leaked), ("b", 2, Condition::Expired)]
        );
    }

    #[test]
    fn names_of_conditions_read_back() {
        for condition in Condition::ALL {
            assert_eq!(condition.name().parse(), Ok(condition));
        }
        assert_eq!(Condition::from_str("Leaked"), Err(UnknownCondition));
    }
}
