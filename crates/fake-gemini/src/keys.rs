//! The registered keys, their projects, and what Google thinks of them.

use crate::errors::{self, ApiError};

/// What Google thinks of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// In order.
    Valid,
    /// 400: unknown to Google.
    Invalid,
    /// 400: expired.
    Expired,
    /// 400: deleted.
    NotFound,
    /// 401: a key of the newer kind that is not accepted.
    Unauthenticated,
    /// 403: found in public.
    Leaked,
    /// 403: suspended; the message repeats the key.
    Suspended,
    /// 403: the project is shut out.
    ProjectDenied,
    /// 403: the project has not enabled the API.
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

    /// The error for every call with the key; `None` for a valid one. `method` is the full name of
    /// the gRPC method.
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

/// A registered key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) text: String,
    /// Its place among the registered keys, from 1.
    pub(crate) ordinal: usize,
    pub(crate) project: String,
    pub(crate) condition: Condition,
}

/// All registered keys.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<Key>);

impl Keys {
    pub(crate) fn find(&self, text: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.text == text)
    }

    /// The key, registered if need be as a valid one of the project `projects/{ordinal}`.
    pub(crate) fn register(&mut self, text: &str) -> &mut Key {
        let known = self.0.iter().position(|key| key.text == text);
        let index = known.unwrap_or(self.0.len());
        if known.is_none() {
            self.0.push(Key {
                text: text.to_owned(),
                ordinal: index + 1,
                project: format!("projects/{:012}", index + 1),
                condition: Condition::Valid,
            });
        }
        &mut self.0[index]
    }
}
